"""A frame from the lake: bars, stored or folded, and the columns of all events beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import NoDataError
from virtuoso.lake import resolve
from virtuoso.lake.cache import bars_before, bars_of, bars_until
from virtuoso.lake.catalog import Catalog, EventReader
from virtuoso.lake.enrich import attached, bars_of_trades, rows_of_trades
from virtuoso.lake.manifest import Manifest, Series
from virtuoso.lake.seal import window
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import breaks_of, marked, still_broken, unmarked
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN, GapPolicy
from virtuoso.market.resample import fold_bars
from virtuoso.market.splice import Origin, Splice

ALL_BUT = 0.99
"""Share of what the fullest clock covers that a finer one must cover to be taken for the bars inside."""
Range = tuple[int | None, int | None]
"""From inclusive, to exclusive, ms."""


def load_frame(
    catalog: Catalog, instrument: Instrument, clock: Timeframe, since: int | None, until: int | None, as_of: int | None
) -> MarketFrame:
    """Read the bars of an instrument and the columns of its events.

    Parameters
    ----------
    catalog : Catalog
    instrument : Instrument
    clock : Timeframe
        The base timeframe.
    since, until : int, ms, optional
        Answers are wanted for bars that open from `since` on and before `until`. Nothing after `until` is used.
    as_of : int, ms, optional
        What was known then.

    Raises
    ------
    NoDataError
        No bar lies in the range.
    SealedError
        The range was named and reaches into a hold-out; one without an end ends before it.
    """
    until = unsealed(catalog, instrument, clock, since, until)
    history = spliced(catalog, instrument, clock, (since, until), as_of)
    if not len(history):
        raise NoDataError(resolve.nothing_there(_nearest(catalog, instrument, clock), clock, since, until, as_of))
    bars, of = history.bars()
    origin = Origin(catalog.path, tuple(history.names), bars.first, of)
    said = catalog.manifest().breaks_of(instrument, as_of)
    breaks = tuple(sorted({*said, *still_broken(bars, history.breaks)}))
    bars = attached(marked(bars, breaks), instrument, catalog, as_of)
    frame = MarketFrame(instrument, bars, origin=origin, breaks=breaks).within(since, until)
    window = slice(frame.start - bars.first, max(frame.stop, frame.start) - bars.first)
    if len(frame) == 0 or (until is not None and bool((bars.state[window] == UNKNOWN).all())):
        raise NoDataError(resolve.nothing_there(_nearest(catalog, instrument, clock), clock, since, until, as_of))
    return frame


def unsealed(
    catalog: Catalog, instrument: Instrument, clock: Timeframe, since: int | None, until: int | None
) -> int | None:
    """Return where a range ends that research may read.

    Raises
    ------
    SealedError
        It was named and reaches into a hold-out.
    """
    seals = catalog.seals_of(instrument)
    if not seals:
        return until
    stored = [(s.first, s.last + s.clock.ms) for s in resolve.answering(catalog.manifest(), instrument, clock)]
    trades = catalog.event_series("trades", instrument)
    stored += [] if trades is None else [(trades.first, trades.last)]
    span = min((first for first, _ in stored), default=0), max((end for _, end in stored), default=0)
    end = window(seals, instrument, since, until, span)
    return end if end is None or end == until else end - end % clock.ms  # a bar that reaches into it is sealed


def spliced(
    catalog: Catalog,
    instrument: Instrument,
    clock: Timeframe,
    wanted: Range,
    as_of: int | None,
    without: Collection[str] = (),
) -> Splice:
    """Read the bars of an instrument from all series that can tell something of them, without events.

    Parameters
    ----------
    catalog : Catalog
    instrument : Instrument
    clock : Timeframe
    wanted : tuple of int, ms
    as_of : int, ms, optional
    without : collection of str
        Homes of series that are left out, as if they were not stored.

    Returns
    -------
    Splice
        Empty where nothing is stored in the range.
    """
    wanted = wanted[0], unsealed(catalog, instrument, clock, *wanted)
    trades = catalog.event_series("trades", instrument)
    if trades is not None and trades.home in without:
        trades = None

    def read(manifest: Manifest) -> tuple[Splice, int | None]:
        said = manifest.breaks_of(instrument, as_of)
        several = [s for s in resolve.answering(manifest, instrument, clock) if s.home not in without]
        every = [*several, *([] if trades is None else [trades])]
        start = resolve.memory_start(every, wanted[0]) if several else None
        whole = wanted[1] is None or all(wanted[1] > series.last for series in every)
        history = Splice(clock, from_the_beginning=start is None, to_the_end=whole)
        for series in several:
            stretch = _lacking(history, series, clock, (start, wanted[1]))
            if stretch is not None:
                bars = _read(catalog, series, stretch, as_of)
                if bars is not None and series.clock != clock:
                    bars = marked(bars, said)
                    history.breaks += breaks_of(bars)
                    bars = unmarked(fold_bars(bars, clock))
                if bars is not None:
                    history.add(resolve.label_of(series, clock), bars)
        return history, start

    history, start = catalog.consistently(read)
    if trades is not None:
        _add_trades(catalog, history, trades, clock, (start if len(history) else wanted[0], wanted[1]), as_of)
    return history


def _read(catalog: Catalog, series: Series, stretch: Range, as_of: int | None) -> Bars | None:
    """Bars of a series in a stretch: mapped, where they are wanted from the beginning."""
    since, until = stretch
    if as_of is None and (since is None or since <= series.first):
        return bars_until(catalog, series, until)
    return bars_before(catalog, series, since, until, as_of)


def _lacking(history: Splice, series: Series, clock: Timeframe, wanted: Range) -> Range | None:
    """The stretch in which a further series could add something; None if nowhere."""
    if not len(history):
        return wanted
    since, until = wanted
    first = (series.first if since is None else max(series.first, since)) // clock.ms
    end = -(-min(series.last + 1, series.last + 1 if until is None else until) // clock.ms)
    if end <= first:
        return None
    lacking = np.flatnonzero(history.lacking(first, end))
    if len(lacking) == 0:
        return None
    low, high = (first + int(lacking[0])) * clock.ms, (first + int(lacking[-1]) + 1) * clock.ms
    return low if low > series.first else since, high if until is None else min(high, until)


def _add_trades(
    catalog: Catalog, history: Splice, trades: Series, clock: Timeframe, wanted: Range, as_of: int | None
) -> None:
    """Add bars folded from trades: all of them where there are no others, else of the days that lack something."""
    name = resolve.label_of(trades, clock)

    def read(manifest: Manifest) -> None:
        series = manifest.series[trades.key]
        if not len(history):
            since = resolve.recording_start(series, wanted[0])
            bars = bars_of_trades(catalog, series, clock, since, wanted[1], as_of)
            if bars is not None:
                history.add(name, bars)
            return
        low = series.first if wanted[0] is None else max(wanted[0], series.first)
        high = series.last if wanted[1] is None else min(wanted[1], series.last)
        first = low // clock.ms
        lacking = history.lacking(first, max(-(-high // clock.ms), first))

        def needed(start: int, end: int) -> bool:
            return bool(lacking[max(start // clock.ms - first, 0) : -(-end // clock.ms) - first].any())

        reader = EventReader(catalog, series.instrument, ["trades"], as_of)
        for rows in rows_of_trades(reader, series, clock, low, high, needed):
            if len(rows):
                bars = Bars.from_rows(clock, rows.open_time, rows.columns, GapPolicy("cut", 0), rows.state)
                history.add(name, bars)

    catalog.consistently(read, "trades")


def _nearest(catalog: Catalog, instrument: Instrument, clock: Timeframe) -> Series:
    """The series that an error tells of: the first that could have answered."""
    able = resolve.answering(catalog.manifest(), instrument, clock)
    if able:
        return max(able, key=lambda s: resolve.covered_ms(s, s.first, s.last + s.clock.ms))
    trades = catalog.event_series("trades", instrument)
    if trades is None:
        raise NoDataError(f"No bars of {instrument} that divide {clock} are stored any more. Import them again.")
    return trades


def finer_frames(
    catalog: Catalog, spans: Mapping[Instrument, tuple[int, int]], clock: Timeframe, finer: Timeframe | None = None
) -> dict[Instrument, MarketFrame]:
    """Read stored bars that are finer than a clock, without the columns of events.

    Parameters
    ----------
    catalog : Catalog
    spans : mapping of Instrument to tuple of int, ms
        From inclusive, to exclusive.
    clock : Timeframe
    finer : Timeframe, optional
        Which ones; if absent those that fill the most of the spans, of these the finest.

    Returns
    -------
    dict of Instrument to MarketFrame
        All on one clock; instruments without such bars in their span are left out.
    """

    def read(manifest: Manifest) -> dict[Instrument, MarketFrame]:
        stored = [
            s for s in manifest.readable()
            if s.instrument in spans and s.clock < clock and clock.ms % s.clock.ms == 0 and finer in (None, s.clock)
            and s.first < spans[s.instrument][1] and s.last >= spans[s.instrument][0]
        ]  # fmt: skip
        covered: defaultdict[Timeframe, float] = defaultdict(float)
        for s in stored:
            since, until = spans[s.instrument]
            covered[s.clock] += resolve.covered_ms(s, since, until) / (until - since)
        most = max(covered.values(), default=0)
        chosen = min((of for of, there in covered.items() if there >= most * ALL_BUT), default=None)
        rows = {s: catalog.read(s, *spans[s.instrument]) for s in stored if s.clock == chosen}
        return {s.instrument: MarketFrame(s.instrument, bars_of(s, some)) for s, some in rows.items() if len(some)}

    return catalog.consistently(read)
