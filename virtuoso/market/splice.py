"""One history of several series: at each bar the first series that knows it answers, later ones add what it lacks.

1. The order is fixed (lake/resolve.py): the asked clock as it is stored, then slower bars before finer ones, then
   trades. It depends neither on the range that is asked nor on the order of imports.
2. A bar is known if one of the series knows it; its values are those of the first that does. A column that it does not
   carry is taken from the next one that does, if it fits: more cannot have been bought than was traded, and money is
   between the lowest and the highest price times volume. So a series that comes later may tell more, never less.
3. Where no series knows a bar, one that bridges it does (resample.py).
4. Scraps at the ends are left out: a few bars before a hole with which history would begin, of which nothing can be
   scored, but which long memories would see; and pieces after the last bar that fill not one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS, Timeframe, iso
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import BRIDGED, NO_TRADE, UNKNOWN, State
from virtuoso.market.resample import KNOWN_SHARE
from virtuoso.market.schema.columns import BAR_COLUMNS, COLUMNS, Columns
from virtuoso.types import Array, Mask

SeriesIndex = NDArray[np.int8]

MOST_BARS = 10_000_000
"""Bars that are mostly nothing, of series that lie far apart: with all columns they fill a GB."""
LEAST_BARS = 12
"""Known bars in a row, at the beginning, of which something can be scored."""
ROUNDING = 1e-6
"""How far sums of the same trades may differ, as a share."""
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Origin:
    """What the bars of a frame were made of.

    Attributes
    ----------
    lake : Path
        Where they are stored.
    names : tuple of str
        Of the series, in order of precedence: `5m stored`, `folded from 1m`.
    first : int
        Number of the first bar.
    of : array of int8, shape (n_bars,), or None
        Position in `names` of the series that answers at each bar, -1 for none; None where one series answers alone.
    """

    lake: Path
    names: tuple[str, ...]
    first: int = 0
    of: SeriesIndex | None = None

    def shares(self, start: int, stop: int) -> dict[str, float]:
        """Return the share of the bars [start, stop) at which each series answers, where it answers at all."""
        if self.of is None:
            return {self.names[0]: 1.0}
        some = self.of[max(start - self.first, 0) : max(stop - self.first, 0)]
        counts = {name: int((some == k).sum()) for k, name in enumerate(self.names)}
        total = max(sum(counts.values()), 1)
        return {name: count / total for name, count in counts.items() if count}


class Splice:
    """Bars of one clock that are put together, series by series, in order of precedence.

    Parameters
    ----------
    clock : Timeframe
    from_the_beginning, to_the_end : bool
        Whether the first and the last bar that are stored of any series are among what is added.

    Examples
    --------
    >>> history = Splice(clock)                                        # doctest: +SKIP
    >>> history.add("5m stored", stored)                               # doctest: +SKIP
    >>> history.add("folded from 1m", fold_bars(minutes, clock))       # doctest: +SKIP
    >>> bars, of = history.bars()                                      # doctest: +SKIP
    """

    def __init__(self, clock: Timeframe, from_the_beginning: bool = True, to_the_end: bool = True) -> None:
        self.clock = clock
        self.from_the_beginning, self.to_the_end = from_the_beginning, to_the_end
        self.names: list[str] = []
        self.breaks: list[tuple[int, int]] = []
        """Where finer series break: close of the last bar before and open of the first one after, ms."""
        self._parts: list[tuple[int, Bars]] = []

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, name: str, bars: Bars) -> None:
        """Add bars of the next series; several stretches of one are added under one name."""
        if name not in self.names:
            self.names.append(name)
        if len(bars):
            self._parts.append((self.names.index(name), bars))

    def lacking(self, first: int, end: int) -> Mask:
        """Return at which of the bars [first, end) a further series could add something: the bar, or a column of it."""
        full = np.zeros(end - first, dtype=bool)
        if self._parts:
            bars = self._parts[0][1] if len(self._parts) == 1 else self._put_together()[0]
            inside = slice(max(bars.first - first, 0), max(min(bars.end, end) - first, 0))
            there = slice(max(first - bars.first, 0), max(min(bars.end, end) - bars.first, 0))
            if len(BAR_COLUMNS.keys() - bars.columns.keys()) == 0:
                known = bars.state[there] <= NO_TRADE
                for name in BAR_COLUMNS:
                    known &= ~np.isnan(bars.columns[name][there])
                full[inside] = known
        return ~full

    def bars(self) -> tuple[Bars, SeriesIndex | None]:
        """Return all bars, and which series each is of: its position in `names`, -1 for none; None if there is but one.

        Raises
        ------
        DataError
            The series lie so far apart that the bars between them would fill the memory.
        """
        if len(self._parts) == 1 and len(self.names) == 1:
            return self._parts[0][1], None
        return self._put_together()

    def _put_together(self) -> tuple[Bars, SeriesIndex]:
        first, end = min(b.first for _, b in self._parts), max(b.end for _, b in self._parts)
        if end - first > MOST_BARS and end - first > 2 * sum(len(b) for _, b in self._parts):
            raise DataError(
                f"From {iso(first * self.clock.ms)} to {iso(end * self.clock.ms)} there are {end - first:,} "
                f"{self.clock} bars, of which little is stored. Ask for a shorter range, such as --timerange "
                f"{iso(end * self.clock.ms - 86_400_000)[:10].replace('-', '')}-, or for slower bars."
            )
        names = [name for name in COLUMNS if any(name in b.columns for _, b in self._parts)]
        columns = {name: np.full(end - first, np.nan) for name in names}
        state: State = np.full(end - first, UNKNOWN, dtype=np.int8)
        share, of = np.zeros(end - first), np.full(end - first, NOTHING, dtype=np.int8)
        for bridging in (False, True):
            for k, part in self._parts:
                at = slice(part.first - first, part.end - first)
                there = part.state == BRIDGED if bridging else part.state <= NO_TRADE
                taken = there & ((state[at] == UNKNOWN) if bridging else (state[at] > NO_TRADE))
                shown = {name: values[at] for name, values in columns.items()}
                for name, values in part.columns.items():
                    shown[name][taken] = values[taken]
                state[at][taken], share[at][taken], of[at][taken] = part.state[taken], part.share[taken], k
                _add(shown, part.columns, there & ~taken & (state[at] == (BRIDGED if bridging else state[at])))
        whole = Bars(self.clock, first, columns, state, share)
        return _without_scraps(whole, of, self.from_the_beginning, self.to_the_end)


def _add(columns: Columns, more: Columns, where: Mask) -> None:
    """Add columns of a further series to bars that do not know them, where they fit."""
    for name, values in more.items():
        if name in BAR_COLUMNS:
            wanted = where & np.isnan(columns[name]) & ~np.isnan(values)
            if wanted.any():
                wanted &= _fits(name, values, columns)
                columns[name][wanted] = values[wanted]


def _fits(name: str, values: Array, columns: Columns) -> Mask:
    """Whether values of a column can be of bars: a part is not more than the whole, money is price times volume."""
    if name.startswith("taker_buy_"):
        whole = columns.get(name.removeprefix("taker_buy_"))
        if whole is None:
            return np.ones(len(values), dtype=bool)
        return ~(values > whole * (1.0 + ROUNDING))  # also where the whole is not known
    if name == "quote_volume":
        low, high = (columns[side] * columns["volume"] for side in ("low", "high"))
        # a fold may know all but a tenth of a bar
        return (values >= low * (KNOWN_SHARE - ROUNDING)) & (values <= high * (1.0 + ROUNDING))
    return np.ones(len(values), dtype=bool)


def _without_scraps(
    bars: Bars, of: SeriesIndex, from_the_beginning: bool, to_the_end: bool
) -> tuple[Bars, SeriesIndex]:
    """Leave out what is too little to be scored before history begins, and what fills not one bar after it ends."""
    known, nothing = np.flatnonzero(bars.state <= NO_TRADE), np.flatnonzero(bars.state == UNKNOWN)
    start, stop = 0, len(bars)
    if len(known) and from_the_beginning:
        edges = np.append(nothing, len(bars))
        enough = np.diff(np.searchsorted(known, edges), prepend=0) >= LEAST_BARS
        first = int(np.argmax(enough)) if enough.any() else int(np.searchsorted(edges, known[0]))
        start = int(edges[first - 1]) + 1 if first else 0
    if len(known) and to_the_end:
        day = UNIT_MS["d"] // bars.timeframe.ms
        after = nothing[nothing > known[-1]]
        over = bars.first + int(after[0]) if len(after) else bars.end
        stop = min(-(-over // day) * day if day else over, bars.end) - bars.first
    kept = bars.until(bars.first + stop)
    columns = {name: values[start:] for name, values in kept.columns.items()}
    first_number = bars.first + start
    return Bars(bars.timeframe, first_number, columns, kept.state[start:], kept.share[start:]), of[start:stop]
