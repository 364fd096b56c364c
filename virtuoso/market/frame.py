"""One symbol, one clock: the base bars of an instrument and the slower timeframes folded from them.

1. `bars(timeframe)` folds the base bars (resample.py), once.
2. `until(time)` forgets everything that was not known then.
3. `within(start, end)` says for which bars answers are wanted; the bars before them are kept to be remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import DataError, NotLoadedError
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import marked
from virtuoso.market.gaps import UNKNOWN, GapPolicy
from virtuoso.market.resample import fold_bars
from virtuoso.market.splice import Origin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MarketFrame:
    """The bars of one instrument on a base clock, and slower clocks folded from them.

    Attributes
    ----------
    instrument : Instrument
    base : Bars
    window : tuple of int, or None
        Numbers of the base bars for which answers are wanted, from inclusive, to exclusive; all if None.
    origin : Origin, or None
        Which stored series answer at its bars; None if it is not of a lake.
    breaks : tuple of int, ms
        Moments from which on, as the user says, the name means another instrument.

    Examples
    --------
    >>> frame = vt.load("BTCUSDT", "1m")            # doctest: +SKIP
    >>> frame.bars(Timeframe("4h")).columns["close"]  # doctest: +SKIP
    """

    instrument: Instrument
    base: Bars
    window: tuple[int, int] | None = None
    _folded: dict[str, Bars] = field(default_factory=dict, repr=False, compare=False)
    origin: Origin | None = field(default=None, repr=False, compare=False)
    breaks: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @property
    def timeframe(self) -> Timeframe:
        """The base clock."""
        return self.base.timeframe

    @property
    def start(self) -> int:
        """Number of the first base bar for which an answer is wanted."""
        return self.base.first if self.window is None else max(self.window[0], self.base.first)

    @property
    def stop(self) -> int:
        """Number after the last base bar for which an answer is wanted."""
        return self.base.end if self.window is None else min(self.window[1], self.base.end)

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)

    def __repr__(self) -> str:
        if len(self) == 0:
            return f"<MarketFrame {self.instrument} {self.timeframe} empty>"
        first, last = self.timeframe.open_time(self.start), self.timeframe.close_time(self.stop - 1)
        made = f", {self.made_of}" if self.origin is not None and self.origin.of is not None else ""
        return f"<MarketFrame {self.instrument} {self.timeframe} {len(self):,} bars {iso(first)} to {iso(last)}{made}>"

    @property
    def sources(self) -> dict[str, float]:
        """Share of the bars for which answers are wanted at which each stored series answers; empty if of no lake."""
        return {} if self.origin is None else self.origin.shares(self.start, self.stop)

    @property
    def made_of(self) -> str:
        """Which stored series answer, in words: `5m stored 98.2 %, folded from 1m 1.8 %`."""
        if len(self.sources) == 1:
            return next(iter(self.sources))
        return ", ".join(f"{name} {100.0 * share:.1f} %" for name, share in self.sources.items())

    def bars(self, timeframe: Timeframe) -> Bars:
        """Return the bars of this or a slower timeframe; only closed ones; resample.py says which are known."""
        if timeframe == self.timeframe:
            return self.base
        if timeframe.name not in self._folded:
            self._folded[timeframe.name] = fold_bars(self.base, timeframe)
        return self._folded[timeframe.name]

    def until(self, time_ms: int) -> MarketFrame:
        """Return what was known at a moment: bars closed by then, and nothing else."""
        base = self.base.until(time_ms // self.timeframe.ms)
        return MarketFrame(self.instrument, base, self.window, origin=self.origin, breaks=self.breaks)

    def within(self, start_ms: int | None, end_ms: int | None) -> MarketFrame:
        """Want answers only for bars that open in a time range; what lies before is kept to be remembered."""
        first = self.base.first if start_ms is None else -(-start_ms // self.timeframe.ms)
        stop = self.base.end if end_ms is None else -(-end_ms // self.timeframe.ms)
        window = (max(first, self.start), min(stop, self.stop))
        return MarketFrame(self.instrument, self.base, window, self._folded, self.origin, self.breaks)

    def number_at(self, time_ms: int) -> int:
        """Return number of the last base bar that was closed at a moment.

        Raises
        ------
        NotLoadedError
            If the frame does not hold it.
        """
        number = time_ms // self.timeframe.ms - 1
        if not self.base.first <= number < self.base.end:
            raise NotLoadedError(
                f"No {self.timeframe} bar of {self.instrument} closed at {iso(time_ms)} is loaded; there are closes "
                f"from {iso(self.timeframe.close_time(self.base.first))} to {iso(self.base.end * self.timeframe.ms)}."
            )
        return number

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the instrument and the logical values of its bars."""
        return hashlib.sha256(f"{self.instrument} {self.base.fingerprint()}".encode()).hexdigest()

    def gaps(self) -> list[tuple[int, int]]:
        """Return stretches of unknown bars: open time of the first, open time after the last, ms."""
        unknown = np.concatenate(([0], (self.base.state == UNKNOWN).astype(np.int8), [0]))
        edges = np.flatnonzero(np.diff(unknown)).reshape(-1, 2) + self.base.first
        return [(int(a) * self.timeframe.ms, int(b) * self.timeframe.ms) for a, b in edges]

    def to_pandas(self, timeframe: Timeframe | None = None) -> pd.DataFrame:
        """Return the bars as a table, indexed by open time (UTC), with the state of each."""
        import pandas as pd

        bars = self.bars(timeframe or self.timeframe)
        index = pd.DatetimeIndex(bars.open_times.astype("M8[ms]"), name="open_time").tz_localize("UTC")
        return pd.DataFrame({**bars.columns, "state": bars.state}, index=index)

    @classmethod
    def from_pandas(
        cls,
        table: pd.DataFrame,
        timeframe: str,
        symbol: str = "DATA",
        venue: str = "notebook",
        policy: GapPolicy | None = None,
        breaks: Sequence[int] = (),
    ) -> MarketFrame:
        """Make a frame of a table with a UTC DatetimeIndex of open times and columns of the data dictionary.

        Parameters
        ----------
        table : DataFrame
        timeframe, symbol, venue : str
        policy : GapPolicy, optional
            What a missing row means; that nothing is known of it if absent.
        breaks : sequence of int, ms
            Moments from which on the rows are of another instrument, beside those that breaks.py finds.

        Raises
        ------
        DataError
            If the index carries no time zone, is unsorted or holds a time twice.
        """
        import pandas as pd

        if not isinstance(table.index, pd.DatetimeIndex) or table.index.tz is None:
            raise DataError("The table needs a DatetimeIndex with a time zone. Try table.tz_localize('UTC').")
        clock = Timeframe(timeframe)
        times = table.index.tz_convert("UTC").as_unit("ms").astype("int64").to_numpy()
        columns = {str(name): table[name].to_numpy(dtype=np.float64, copy=True) for name in table.columns}
        bars = Bars.from_rows(clock, times, columns, policy or GapPolicy("cut", 0))
        return cls(Instrument(venue, symbol), marked(bars, breaks), breaks=tuple(breaks))
