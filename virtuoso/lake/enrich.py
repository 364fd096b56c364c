"""Frames from the lake, enriched: the events stored of an instrument become columns of its base bars.

Which builders there are and which column of two wins stands in market/features/builders.py. The columns of those that
begin anew every day are cached (cache.py). `LiveFrame` (market/live.py) does the same bar by bar, with the same
builders: not one bit differs. At a break (market/breaks.py) every builder begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import UNIT_MS, Timeframe, iso
from virtuoso.errors import DataError
from virtuoso.lake import cache
from virtuoso.lake.catalog import Catalog, EventReader, files_within
from virtuoso.lake.manifest import Series
from virtuoso.lake.seal import LATE_MS
from virtuoso.market.bars import Bars
from virtuoso.market.events import Events
from virtuoso.market.features.builders import BUILDERS, Builder, Columns, carried, first_known
from virtuoso.market.features.daily_reset import DAY_MS, DailyReset
from virtuoso.market.features.trades import bars_from_trades
from virtuoso.market.gaps import BREAK, UNKNOWN, GapPolicy
from virtuoso.market.rows import Rows, concat_rows
from virtuoso.market.schema.columns import BAR_COLUMNS
from virtuoso.market.schema.kinds import KINDS

HOUR_MS = UNIT_MS["h"]
MOST_BARS = 10_000_000
"""Bars folded from trades at once, four months of seconds: with all columns, they fill 5 GB."""


def attached(bars: Bars, instrument: Instrument, catalog: Catalog, as_of: int | None = None) -> Bars:
    """Add the columns of all events that are stored of an instrument.

    Parameters
    ----------
    bars : Bars
        Base bars of a frame, from 1s on.
    instrument : Instrument
    catalog : Catalog
        Where the events are.
    as_of : int, ms, optional
        What was known then.

    Returns
    -------
    Bars
        The same ones, if no events are stored.
    """
    stored = [kind for kind in catalog.kinds() if kind in KINDS and catalog.event_series(kind, instrument) is not None]
    found: list[Columns] = []
    for builder in BUILDERS:
        if any(kind in stored for kind in builder.needs):
            reader = EventReader(catalog, instrument, [kind for kind in builder.kinds if kind in stored], as_of)
            folded = _by_the_day if builder.daily else _at_once
            found.append(folded(builder, reader, bars))
    if not found:
        return bars
    unknown = bars.state == UNKNOWN
    new = {name: np.where(unknown, np.nan, values) for name, values in carried(first_known(found), stored).items()}
    return replace(bars, columns={**bars.columns, **new})


def _at_once(builder: Builder, reader: EventReader, bars: Bars) -> Columns:
    """Fold all events that arrived by the last close; a month of them is in memory at a time, older ones all."""
    fold, step, ms = builder.begin(bars.timeframe), 31 * DAY_MS // bars.timeframe.ms, bars.timeframe.ms
    breaks = _breaks(bars)
    edges = sorted({bars.first, *range(bars.first + step, bars.end, step), *breaks, bars.end})
    parts = []
    after = None if builder.reach_ms is None else bars.first * ms - builder.reach_ms
    for first, end in pairwise(edges):
        if first in breaks:
            fold, after = builder.begin(bars.timeframe), first * ms
        until = end * ms
        parts.append(fold.bars(reader.between(after, until), first, end))
        after = until
    return {name: np.concatenate([part[name] for part in parts]) for name in fold.columns}


def _breaks(bars: Bars) -> list[int]:
    """Numbers of the bars at which another instrument begins: what came before is not of it."""
    return (bars.first + np.flatnonzero(bars.state == BREAK)).tolist()


def _by_the_day(builder: Builder, reader: EventReader, bars: Bars) -> Columns:
    """Fold day by day, or read the columns of days that were folded before."""
    empty = DailyReset(builder.begin, bars.timeframe)
    answer = {name: np.full(len(bars), np.nan) for name in empty.columns if name not in BAR_COLUMNS}
    for first, columns in _days(builder, reader, bars):
        start = max(first, bars.first)
        for name, values in answer.items():
            some = columns[name][start - first :]
            values[start - bars.first : start - bars.first + len(some)] = some
    return answer


def _days(builder: Builder, reader: EventReader, bars: Bars) -> Iterator[tuple[int, Columns]]:
    """Columns of each day that events reach: number of its first bar, columns up to its last bar or that of `bars`."""
    timeframe, day, breaks = bars.timeframe, DAY_MS // bars.timeframe.ms, _breaks(bars)
    fold, done = DailyReset(builder.begin, timeframe), -1
    for start in range(bars.first - bars.first % day, bars.end, day):
        end = min(start + day, bars.end)
        begun = max([start - day, *(number for number in breaks if number <= start)])
        before, close_ms = begun * timeframe.ms, end * timeframe.ms
        if not reader.files(builder.needs, before, close_ms):
            continue
        inside = [number for number in breaks if begun < number < end]
        files = reader.files(builder.kinds, before, close_ms)
        edges = [number for number in breaks if start - day < number < end]
        sealed = [(one.start, one.end) for one in reader.seals if one.start < close_ms and one.end > before]
        marks = [*(f"break {number}" for number in edges), *(f"sealed {stretch}" for stretch in sealed)]
        key = cache.key_of(cache.columns_digest(), end, *files, *marks)
        cached = _cached(builder, reader, timeframe, start, key)
        columns = cached.read() if cached else None
        if columns is None:
            if done != start or start in breaks:
                fold = DailyReset(builder.begin, timeframe)
                fold.bars(_within(reader, timeframe, begun, start), begun, start)
            parts = []
            for a, b in pairwise([start, *inside, end]):
                fold = DailyReset(builder.begin, timeframe) if a in inside else fold
                parts.append(fold.bars(_within(reader, timeframe, a, b), a, b))
            done = end
            columns = {n: np.concatenate([part[n] for part in parts]) for n in fold.columns if n not in BAR_COLUMNS}
            if cached:
                cached.write(columns)
        yield start, columns


def _within(reader: EventReader, timeframe: Timeframe, first: int, end: int) -> dict[str, Events]:
    """Events that arrived in the bars [first, end)."""
    return reader.between(first * timeframe.ms, end * timeframe.ms)


def _cached(
    builder: Builder, reader: EventReader, timeframe: Timeframe, start: int, key: str
) -> cache.CachedColumns | None:
    """Return the cache file of the columns of a day; None if they are of history as it was known once."""
    if reader.as_of is not None:
        return None
    home = Series(reader.instrument.venue, reader.instrument.symbol, timeframe.name).key
    day = str(np.datetime64(start * timeframe.ms, "ms").astype("M8[D]"))
    return cache.CachedColumns(reader.catalog.path / "derived" / builder.name / home, day, key, reader.catalog.disk)


def bars_of_trades(
    catalog: Catalog, series: Series, timeframe: Timeframe, since: int | None, until: int | None, as_of: int | None
) -> Bars | None:
    """Return bars made of stored trades by the time of the trade, a day at a time.

    Parameters
    ----------
    catalog : Catalog
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
    reader = EventReader(catalog, series.instrument, ["trades"], as_of)
    low = series.first if since is None else max(since, series.first)
    high = series.last if until is None else min(until, series.last)
    if high - low > MOST_BARS * timeframe.ms:
        raise DataError(
            f"From {iso(low)} to {iso(high)} there are {(high - low) // timeframe.ms:,} {timeframe} bars of "
            f"{series.instrument}, more than {MOST_BARS:,}. Ask for a shorter range, such as --timerange "
            f"{iso(high - DAY_MS)[:10].replace('-', '')}-, or for slower bars."
        )
    rows = concat_rows(list(rows_of_trades(reader, series, timeframe, low, high)))
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
    """Return bars made of stored trades, day by day.

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
        `wanted(start, end)`, ms, of a stretch of at most a day: whether its bars are needed.
    """
    for start in range(low - low % DAY_MS, high + 1, DAY_MS):
        end = min(start + DAY_MS, high)
        if not files_within(series, start - HOUR_MS, end) or not wanted(start, end):
            continue
        # an hour before tells whether the source was recording when the day began, and what traded last
        trades = reader.between(start - HOUR_MS, end + LATE_MS)["trades"]
        rows = bars_from_trades(trades, timeframe, until=end if end <= series.last else None)
        yield rows.take((rows.open_time >= max(start, low)) & (rows.open_time < end))
