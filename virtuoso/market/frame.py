"""One symbol, one clock: the base bars of an instrument and the slower timeframes folded from them.

1. `bars(timeframe)` folds the base bars (resample.py), once.
2. `until(time)` forgets everything that was not known then.
3. `within(start, end)` says for which bars answers are wanted; the bars before them are kept to be remembered.
4. Subscripts, attributes and tables have the manners of pandas (labels.py): `frame["close"]`, `frame.close`,
   `frame["2025-08"]`, `frame[-100:]`, `frame.tail()`. They show the bars for which answers are wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import ConfigError, DataError, NotLoadedError, did_you_mean
from virtuoso.labels import Moment, Tabular, close_index, is_date, moment_ms, places, unknown_name
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import marked
from virtuoso.market.gaps import TRADED, UNKNOWN, GapPolicy
from virtuoso.market.resample import fold_bars
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.market.splice import Origin
from virtuoso.pictures import Chartable
from virtuoso.types import Times

if TYPE_CHECKING:
    import pandas as pd

STAMPS: dict[str, Literal["open", "close"]] = {"open_time": "open", "close_time": "close"}
"""Names of an index that say by which end it labels bars."""
HINTS = {
    "loc": "frame['2025-08-01':'2025-09-01']",
    "iloc": "frame[100:200]",
    "values": "frame.to_pandas().to_numpy()",
    "rolling": "frame.close.rolling(20)",
    "index": "frame.to_pandas().index",
}


@dataclass(frozen=True)
class MarketFrame(Tabular, Chartable):
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
        """The base timeframe."""
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

    def within(self, start: Moment | None, end: Moment | None) -> MarketFrame:
        """Want answers only for bars that open in a time range, from inclusive, to exclusive.

        What lies before is kept to be remembered.
        """
        first = self.base.first if start is None else -(-moment_ms(start) // self.timeframe.ms)
        stop = self.base.end if end is None else -(-moment_ms(end) // self.timeframe.ms)
        return self._wanted(first, stop)

    def _wanted(self, first: int, stop: int) -> MarketFrame:
        window = (max(first, self.start), min(stop, self.stop))
        return MarketFrame(self.instrument, self.base, window, self._folded, self.origin, self.breaks)

    # --- as pandas has it ---

    @property
    def close_times(self) -> Times:
        """Moment at which each bar that is asked about is known, ms."""
        return (np.arange(self.start, self.start + len(self), dtype=np.int64) + 1) * self.timeframe.ms

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.base.columns)

    def __getitem__(self, key: Any) -> Any:
        """Return a column as a Series, several as a DataFrame, or the frame of a slice of dates or places."""
        if isinstance(key, str) and key in self.base.columns:
            return self._series(key)
        if isinstance(key, str) and key == "state":
            return self.to_pandas()[key]
        if isinstance(key, list | tuple):
            return self.to_pandas()[list(key)] if set(key) <= {*self.columns, "state"} else self._lacks(key)
        if isinstance(key, slice) or is_date(key):
            first, stop = places(self.close_times, key)
            return self._wanted(self.start + first, self.start + stop)
        if isinstance(key, int | np.integer):
            return self.to_pandas().iloc[int(key)]
        raise unknown_name(repr(self), key, self.columns)

    def _lacks(self, names: Any) -> Any:
        raise unknown_name(repr(self), next(name for name in names if name not in self.base.columns), self.columns)

    def __iter__(self) -> Any:
        raise ConfigError(f"{self!r} is one market. Iterate over .to_pandas(), or over .columns.")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "base":
            raise AttributeError(name)
        if name in self.base.columns:
            return self._series(name)
        if name in COLUMNS:
            raise AttributeError(f"{self!r} does not carry {name!r}. It holds {', '.join(self.columns)}.")
        remedy = f"Try {HINTS[name]}." if name in HINTS else did_you_mean(name, [*dir(type(self)), *self.columns])
        raise AttributeError(f"A MarketFrame has no {name!r}. {remedy}")

    def _series(self, name: str) -> pd.Series:
        import pandas as pd

        at = self.start - self.base.first
        values = self.base.columns[name][at : at + len(self)]
        return pd.Series(values, index=close_index(self.close_times), name=name)

    def describe(self) -> pd.DataFrame:
        """Return count, mean, spread and quantiles of each column."""
        return self.to_pandas().drop(columns="state").describe()

    def resample(self, timeframe: str | Timeframe) -> MarketFrame:
        """Return the same market on a slower clock, by the one fold; of bars that have closed only."""
        clock = Timeframe(timeframe) if isinstance(timeframe, str) else timeframe
        bars, ratio = self.bars(clock), clock.ratio(self.timeframe)
        window = None if self.window is None else (-(-self.start // ratio), self.stop // ratio)
        return MarketFrame(self.instrument, bars, window, breaks=self.breaks)

    def _repr_html_(self) -> str:
        simulated = " <b>SIMULATED</b>" if self.instrument.is_simulated else ""
        return f"<p>{escape(repr(self))}{simulated}</p>{self.tail().to_html(max_cols=12)}"

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

    def to_pandas(self, timeframe: str | Timeframe | None = None) -> pd.DataFrame:
        """Return the bars that are asked about as a table, indexed by close time (UTC), with the state of each."""
        import pandas as pd

        if timeframe is not None and str(timeframe) != self.timeframe.name:
            return self.resample(timeframe).to_pandas()
        at = slice(self.start - self.base.first, self.start - self.base.first + len(self))
        columns = {name: values[at] for name, values in self.base.columns.items()}
        return pd.DataFrame({**columns, "state": self.base.state[at]}, index=close_index(self.close_times))

    @classmethod
    def from_pandas(
        cls,
        table: pd.DataFrame,
        timeframe: str,
        symbol: str = "DATA",
        venue: str = "notebook",
        policy: GapPolicy | None = None,
        breaks: Sequence[int] = (),
        index: Literal["open", "close"] | None = None,
    ) -> MarketFrame:
        """Make a frame of a table with a DatetimeIndex and columns of the data dictionary, in any case.

        Parameters
        ----------
        table : DataFrame
            In order of time. A column that is not in the dictionary is an error.
        timeframe : str
        symbol, venue : str
            What it is called; a venue that ends in -spot is bought with cash alone.
        policy : GapPolicy, optional
            What a missing row means; if absent it is not known, and cuts the run.
        breaks : sequence of int, ms
            Moments from which on the rows are of another instrument, beside those that breaks.py finds.
        index : str, optional
            Whether the index holds the bars' open or close times. If absent, its name says it (`open_time`,
            `close_time`), else they are open times, as exchanges and vectorbt write them.

        Raises
        ------
        DataError
            If the index carries no time zone, is unsorted or holds a time twice.
        """
        import pandas as pd

        if not isinstance(table.index, pd.DatetimeIndex) or table.index.tz is None:
            raise DataError("The table needs a DatetimeIndex with a time zone. Try table.tz_localize('UTC').")
        if len(table) > 1 and table.index[0] > table.index[-1]:
            raise DataError("The table runs backwards. Try table.sort_index().")
        if index not in (None, "open", "close"):
            raise ConfigError(f"index says which times the table is labelled by: 'open' or 'close', was {index!r}.")
        clock = Timeframe(timeframe)
        stamped = index or STAMPS.get(str(table.index.name), "open")
        times = table.index.tz_convert("UTC").as_unit("ms").astype("int64").to_numpy()
        times = times - clock.ms if stamped == "close" else times
        columns = {str(name).lower(): table[name].to_numpy(dtype=np.float64, copy=True) for name in table.columns}
        state = columns.pop("state", None)
        if state is not None:  # a table that a frame gave: what was missing is missing again, marks are found again
            there = state != UNKNOWN
            times, state = times[there], np.where(state > UNKNOWN, TRADED, state)[there].astype(np.int8)
            columns = {name: values[there] for name, values in columns.items()}
        bars = Bars.from_rows(clock, times, columns, policy or GapPolicy("cut", 0), state)
        return cls(Instrument(venue, symbol), marked(bars, breaks), breaks=tuple(breaks))
