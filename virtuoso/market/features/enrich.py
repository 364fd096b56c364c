"""Events become columns of a frame: every kind that is stored of an instrument, folded onto its base bars.

1. Each fold (`FOLDS`) is fed what arrived up to the close of the last bar, and nothing later. A light one is fed all
   that is stored; what it tells is short of memory or rare of events. The folds of trades and of the book are fed by
   the day and anchored (daily_reset.py), so that neither where a frame starts nor where it is cut changes a bit; their
   columns are kept (lake/column_cache.py).
2. A column that bars carry themselves stays theirs: volumes of two sources are never mixed, neither in a bar nor in a
   column. So trades give the columns of flow, and give volumes only where the bars were folded from them.
3. Where two folds give the same column, the first in `FOLDS` wins bar by bar: a recorded book over the best bid
   and ask alone, and over bands of depth.
4. An event column is known whether or not something traded in the bar; in bars that are unknown (gaps.py) nothing is.
5. `LiveColumns` does the same bar by bar, with the same folds: not one bit differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import UNIT_MS, Timeframe, iso
from virtuoso.errors import DataError
from virtuoso.lake import column_cache
from virtuoso.lake.event_store import EventReader, files_within
from virtuoso.lake.manifest import Series
from virtuoso.lake.rows import Rows, joined
from virtuoso.market.bars import Bars
from virtuoso.market.events import EventFold, Events
from virtuoso.market.features.daily_reset import DAY_MS, Anchored
from virtuoso.market.gaps import UNKNOWN, GapPolicy
from virtuoso.market.schema.columns import BAR_COLUMNS, POSITIONING_COLUMNS, Array
from virtuoso.market.schema.kinds import KINDS

if TYPE_CHECKING:
    from virtuoso.lake.lake import Lake

HOUR_MS = UNIT_MS["h"]
LATE_MS = UNIT_MS["m"]
"""How late a trade may arrive and still belong to a bar folded from trades."""
MOST_BARS = 10_000_000
"""Bars folded from trades at once, four months of seconds: with all columns, they fill 5 GB."""
Columns = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Source:
    """A fold, and how it is fed.

    Attributes
    ----------
    name : str
    kinds : tuple of str
        Kinds of events it is fed.
    needs : tuple of str
        Kinds without which it says nothing.
    begin : callable
        Makes a fold that has seen nothing; imports it, since folds are compiled.
    anchored : bool
        Whether it begins anew every day; its columns are kept then.
    reach_ms : int, ms, or None
        How far before a bar events matter to it; None if without end.
    """

    name: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]
    begin: Callable[[Timeframe], EventFold]
    anchored: bool = False
    reach_ms: int | None = None


def _trade_fold(timeframe: Timeframe) -> EventFold:
    from virtuoso.market.features.trades import TradeFold

    return TradeFold(timeframe)


def _book_fold(timeframe: Timeframe) -> EventFold:
    from virtuoso.market.features.book.columns import BookFold

    return BookFold(timeframe)


def _ticker_fold(timeframe: Timeframe) -> EventFold:
    from virtuoso.market.features.book.columns import TickerFold

    return TickerFold(timeframe)


def _bands_fold(timeframe: Timeframe) -> EventFold:
    from virtuoso.market.features.book.columns import BandsFold

    return BandsFold(timeframe)


def _positioning_fold(timeframe: Timeframe) -> EventFold:
    from virtuoso.market.features.derivatives import PositioningFold

    return PositioningFold(timeframe)


POSITIONING = ("open_interest", "ratios", "funding", "prices", "liquidations")
FOLDS = (
    Source("trades", ("trades",), ("trades",), _trade_fold, anchored=True),
    Source("book", ("depth", "trades"), ("depth",), _book_fold, anchored=True),
    Source("ticker", ("ticker",), ("ticker",), _ticker_fold, anchored=True),
    Source("bands", ("bands",), ("bands",), _bands_fold, reach_ms=DAY_MS),
    Source("positioning", POSITIONING, POSITIONING, _positioning_fold),
)
"""In order of precedence."""


def attached(bars: Bars, instrument: Instrument, lake: Lake, as_of: int | None = None) -> Bars:
    """Add the columns of all events that are stored of an instrument.

    Parameters
    ----------
    bars : Bars
        Base bars of a frame, from 1s on.
    instrument : Instrument
    lake : Lake
        Where the events are.
    as_of : int, ms, optional
        What was known then.

    Returns
    -------
    Bars
        The same ones, if no events are stored.
    """
    stored = [kind for kind in lake.kinds() if kind in KINDS and lake.event_series(kind, instrument) is not None]
    found: list[Columns] = []
    for source in FOLDS:
        if any(kind in stored for kind in source.needs):
            reader = EventReader(lake, instrument, [kind for kind in source.kinds if kind in stored], as_of)
            folded = _by_the_day if source.anchored else _at_once
            found.append(folded(source, reader, bars))
    if not found:
        return bars
    unknown = bars.state == UNKNOWN
    new = {name: np.where(unknown, np.nan, values) for name, values in _carried(first_known(found), stored).items()}
    return replace(bars, columns={**bars.columns, **new})


def _carried(columns: Columns, kinds: Sequence[str]) -> Columns:
    """Columns that events of these kinds tell: not those of bars, nor what a fold could tell of a kind that is absent.

    A column that is carried and not known is a gap; one of which there is nothing at all is missing.
    """
    absent = {name for name, column in POSITIONING_COLUMNS.items() if column.kind not in kinds}
    return {name: values for name, values in columns.items() if name not in BAR_COLUMNS and name not in absent}


def first_known(found: Sequence[Mapping[str, Array]]) -> Columns:
    """Columns of several folds, the earlier ones over the later, bar by bar."""
    answer: Columns = {}
    for columns in found:
        for name, values in columns.items():
            answer[name] = np.where(np.isnan(answer[name]), values, answer[name]) if name in answer else values
    return answer


def _at_once(source: Source, reader: EventReader, bars: Bars) -> Columns:
    """Fold all events that arrived by the last close; a month of them is in memory at a time, older ones all."""
    fold, step = source.begin(bars.timeframe), 31 * DAY_MS // bars.timeframe.ms
    edges = [bars.first, *range(bars.first + step, bars.end, step), bars.end]
    parts = []
    after = None if source.reach_ms is None else bars.first * bars.timeframe.ms - source.reach_ms
    for first, end in pairwise(edges):
        until = end * bars.timeframe.ms
        parts.append(fold.bars(reader.between(after, until), first, end))
        after = until
    return {name: np.concatenate([part[name] for part in parts]) for name in fold.columns}


def _by_the_day(source: Source, reader: EventReader, bars: Bars) -> Columns:
    """Fold day by day, or read the columns of days that were folded before."""
    empty = Anchored(source.begin, bars.timeframe)
    answer = {name: np.full(len(bars), np.nan) for name in empty.columns if name not in BAR_COLUMNS}
    for first, columns in _days(source, reader, bars):
        start = max(first, bars.first)
        for name, values in answer.items():
            some = columns[name][start - first :]
            values[start - bars.first : start - bars.first + len(some)] = some
    return answer


def _days(source: Source, reader: EventReader, bars: Bars) -> Iterator[tuple[int, Columns]]:
    """Columns of each day that events reach: number of its first bar, columns up to its last bar or that of `bars`."""
    timeframe, day = bars.timeframe, DAY_MS // bars.timeframe.ms
    fold, done = Anchored(source.begin, timeframe), -1
    for start in range(bars.first - bars.first % day, bars.end, day):
        end = min(start + day, bars.end)
        before, open_ms, close_ms = (start - day) * timeframe.ms, start * timeframe.ms, end * timeframe.ms
        if not reader.files(source.needs, before, close_ms):
            continue
        files = reader.files(source.kinds, before, close_ms)
        kept = _kept(source, reader, timeframe, start, column_cache.key_of(column_cache.source(), end, *files))
        columns = kept.read() if kept else None
        if columns is None:
            if done != start:
                fold = Anchored(source.begin, timeframe)
                fold.bars(reader.between(before, open_ms), start - day, start)
            folded, done = fold.bars(reader.between(open_ms, close_ms), start, end), end
            columns = {name: values for name, values in folded.items() if name not in BAR_COLUMNS}
            if kept:
                kept.write(columns)
        yield start, columns


def _kept(source: Source, reader: EventReader, timeframe: Timeframe, start: int, key: str) -> column_cache.Kept | None:
    """Where the columns of a day are kept; nowhere, if they are of history as it was known once."""
    if reader.as_of is not None:
        return None
    home = Series(reader.instrument.venue, reader.instrument.symbol, timeframe.name).key
    day = str(np.datetime64(start * timeframe.ms, "ms").astype("M8[D]"))
    return column_cache.Kept(reader.lake.path / "derived" / source.name / home, day, key, reader.lake.disk)


def bars_of_trades(
    lake: Lake, series: Series, timeframe: Timeframe, since: int | None, until: int | None, as_of: int | None
) -> Bars | None:
    """Bars folded from stored trades by the time of the trade, a day at a time.

    Parameters
    ----------
    lake : Lake
    series : Series
        Of trades.
    timeframe : Timeframe
    since, until : int, ms, optional
        Bars that open from then on, and before.
    as_of : int, ms, optional

    Returns
    -------
    Bars or None
        None if not one bar is whole. What was not recorded is unknown.

    Raises
    ------
    DataError
        The stretch is so long that its bars would not fit into memory.
    """
    reader = EventReader(lake, series.instrument, ["trades"], as_of)
    low = series.first if since is None else max(since, series.first)
    high = series.last if until is None else min(until, series.last)
    if high - low > MOST_BARS * timeframe.ms:
        raise DataError(
            f"From {iso(low)} to {iso(high)} there are {(high - low) // timeframe.ms:,} {timeframe} bars of "
            f"{series.instrument}, more than {MOST_BARS:,}. Ask for a shorter range, such as --timerange "
            f"{iso(high - DAY_MS)[:10].replace('-', '')}-, or for slower bars."
        )
    rows = joined(list(rows_of_trades(reader, series, timeframe, low, high)))
    if len(rows) == 0:
        return None
    return Bars.from_rows(timeframe, rows.open_time, rows.columns, GapPolicy("cut", 0), rows.state)


def rows_of_trades(
    reader: EventReader,
    series: Series,
    timeframe: Timeframe,
    low: int,
    high: int,
    wanted: Callable[[int, int], bool] = lambda start, end: True,
) -> Iterator[Rows]:
    """Bars folded from stored trades, day by day.

    Parameters
    ----------
    reader : EventReader
        Of trades.
    series : Series
        Of trades.
    timeframe : Timeframe
    low, high : int, ms
        Bars that open from then on, and close before or at that. A trade that arrives up to a minute after the close of
        its bar is of it all the same, as in the bar that a venue publishes: `as_of` leaves it out.
    wanted : callable
        Told the beginning and the end of a stretch of at most a day, ms: whether its bars are needed.
    """
    from virtuoso.market.features.trades import bars_from_trades

    for start in range(low - low % DAY_MS, high + 1, DAY_MS):
        end = min(start + DAY_MS, high)
        if not files_within(series, start - HOUR_MS, end) or not wanted(start, end):
            continue
        # an hour before tells whether the source was recording when the day began, and what traded last
        trades = reader.between(start - HOUR_MS, end + LATE_MS)["trades"]
        rows = bars_from_trades(trades, timeframe, until=end if end <= series.last else None)
        yield rows.take((rows.open_time >= max(start, low)) & (rows.open_time < end))


class LiveColumns:
    """The event columns of a live market: `attached`, bar by bar.

    Parameters
    ----------
    timeframe : Timeframe
        The base clock.
    kinds : sequence of str
        Kinds of events that are recorded.

    Examples
    --------
    >>> live = LiveColumns(Timeframe("1m"), ["trades", "open_interest"])     # doctest: +SKIP
    >>> live.remember(stored_events, number - 2 * 1440, number)             # doctest: +SKIP
    >>> feed.close(number, bar, live.close(number, events))                 # doctest: +SKIP
    """

    def __init__(self, timeframe: Timeframe, kinds: Sequence[str]) -> None:
        self.timeframe = timeframe
        self._kinds = tuple(kinds)
        used = [source for source in FOLDS if any(kind in kinds for kind in source.needs)]
        self._folds = [
            Anchored(source.begin, timeframe) if source.anchored else source.begin(timeframe) for source in used
        ]

    def remember(self, events: Mapping[str, Events], first: int, end: int) -> None:
        """Take history in before the first bar: anchored folds need it from the midnight before yesterday's last.

        Parameters
        ----------
        events : mapping of kind to Events
            All that arrived by the close of bar `end - 1`.
        first, end : int
            Numbers of bars: from the first one of the day before, to the first one that will close live.
        """
        self._columns(events, first, end)

    def close(self, number: int, events: Mapping[str, Events]) -> dict[str, float]:
        """Columns of the bar that has just closed.

        Parameters
        ----------
        number : int
            Of the bar: the one after the last.
        events : mapping of kind to Events
            Those that became available in it.
        """
        return {name: float(values[0]) for name, values in self._columns(events, number, number + 1).items()}

    def _columns(self, events: Mapping[str, Events], first: int, end: int) -> Columns:
        found = [
            fold.bars({kind: some for kind, some in events.items() if kind in fold.kinds}, first, end)
            for fold in self._folds
        ]
        return _carried(first_known(found), self._kinds)
