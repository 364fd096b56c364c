"""Which stored series answer a question about a symbol and a timeframe, in which order; or an error that says why none.

Bars answer on every timeframe that theirs divides, the slowest first; stored trades come after them, on every one.
What answers at a bar depends on what is stored there, never on the range that is asked (splice.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from virtuoso.account.instrument import Instrument, compact
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import AmbiguousError, NoDataError, did_you_mean
from virtuoso.lake.manifest import BARS, Manifest, Series

LONG_GAP_MS = 30 * 86_400_000
"""History before a gap as long as this touches nothing after it: no timeframe's run of known bars spans it."""
LEAST_OF_HISTORY = 0.1
SCRAP_BARS = 2_000
"""A clock is not meant where none is named, if less of it is stored than these bars and than this share of the longest
history of the instrument."""
MOST_GAP_BARS = 5_000_000
"""Bars of a gap that are read as not known: nine years of minutes, some 400 MB."""
FOLDED_FROM_TRADES = (Timeframe("1s"), Timeframe("1m"))
"""Timeframes on which an instrument is offered that has trades and no bars; others can be asked for."""


def resolve_instrument(
    symbol: str, timeframe: Timeframe | None, venue: str | None, stored: Sequence[Series], lake: object
) -> Instrument:
    """Find the one instrument that a symbol means.

    Parameters
    ----------
    symbol : str
        `BTCUSDT`, `BTC/USDT` (spot) or `BTC/USDT:USDT` (perpetual).
    timeframe : Timeframe or None
        Only instruments whose bars or trades can answer on it.
    venue : str or None
    stored : sequence of Series
        Of bars and of trades.
    lake : object
        Named in errors.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    AmbiguousError
        Several venues have it.
    """
    name = compact(symbol)
    if not stored:
        raise NoDataError(f"The lake {lake} is empty. Try: virtuoso data import PATH --venue binance-spot")
    found = _of_venue([s for s in stored if s.symbol == name], name, venue, stored)
    if timeframe is not None:
        found = _answering(found, timeframe, name)
    instruments = sorted({s.instrument for s in found})
    if len(instruments) > 1 and "/" in symbol:
        instruments = [i for i in instruments if i.is_spot != (":" in symbol)] or instruments
    if len(instruments) > 1:
        listed = ", ".join(i.venue for i in instruments)
        raise AmbiguousError(f"{name} is stored of {len(instruments)} venues: {listed}. Pass --venue, one of them.")
    return instruments[0]


def _of_venue(found: list[Series], name: str, venue: str | None, stored: Sequence[Series]) -> list[Series]:
    if not found:
        raise NoDataError(f"No bars of {name} are stored. {did_you_mean(name, {s.symbol for s in stored})}")
    if venue is None:
        return found
    of_venue = [s for s in found if s.venue == venue]
    if not of_venue:
        raise NoDataError(f"No bars of {name} are stored of {venue!r}. {did_you_mean(venue, {s.venue for s in found})}")
    return of_venue


def _answering(found: list[Series], clock: Timeframe, name: str) -> list[Series]:
    able = [s for s in found if answers(s, clock)]
    if not able:
        listed = ", ".join(sorted({f"{s.timeframe} ({s.venue})" for s in found}))
        raise NoDataError(f"{clock} bars of {name} cannot be made of what is stored: {listed}. Import finer bars.")
    return able


def answers(series: Series, clock: Timeframe) -> bool:
    """Whether bars of a timeframe can be made of a series."""
    return series.kind != BARS or clock.ms % series.clock.ms == 0


def answering(manifest: Manifest, instrument: Instrument, clock: Timeframe) -> list[Series]:
    """Return the series of bars that can answer on a timeframe, by precedence: the slowest first, so the stored clock.

    The order does not depend on a range, nor on when something was imported.
    """
    able = [s for s in manifest.readable() if s.instrument == instrument and clock.ms % s.clock.ms == 0]
    return sorted(able, key=lambda s: -s.clock.ms)


def label_of(series: Series, clock: Timeframe) -> str:
    """Return the name of a series as one reads it beside an answer."""
    if not series.timeframe:
        return f"folded from {series.kind}"
    return f"{series.timeframe} stored" if series.clock == clock else f"folded from {series.timeframe}"


def covered_ms(series: Series, since: int, until: int) -> int:
    """Return how much of a stretch of time the bars of a series fill: what lies in its gaps is not there, ms."""
    first, end = max(series.first, since), min(series.last + series.clock.ms, until)
    missing = sum(max(min(gap.end, end) - max(gap.start, first), 0) for gap in series.gaps)
    return max(end - first - missing, 0)


def usual_clock(stored: Sequence[Series]) -> Timeframe:
    """Return the timeframe that is meant where none is named: the finest that is no scrap beside the others."""
    covered = {s.clock: covered_ms(s, s.first, s.last + s.clock.ms) for s in stored}
    least = max(covered.values()) * LEAST_OF_HISTORY
    return min(clock for clock, there in covered.items() if there >= min(least, SCRAP_BARS * clock.ms))


def memory_start(several: Sequence[Series], since: int | None) -> int | None:
    """Return where to begin reading: at the beginning of history, unless a gap before the range would fill the memory.

    What is known behind a gap depends on the gap: a window of which a tenth may be missing is known earlier than one at
    which history begins. So a gap is read like any other stretch, and left out only where it is long and holds more
    than MOST_GAP_BARS, as months do at bars of a second.

    Parameters
    ----------
    several : sequence of Series
        That answer together: a gap is what none of them fills.
    since : int, ms, or None
    """
    if since is None:
        return None
    step = min((one.clock.ms for one in several if one.kind == BARS), default=1_000)
    least = max(LONG_GAP_MS, MOST_GAP_BARS * step)
    ends = [end for start, end in _shared_gaps(several) if end <= since and end - start >= least]
    return max(ends, default=None)


def _shared_gaps(several: Sequence[Series]) -> list[tuple[int, int]]:
    """Stretches between the first and the last bar of several series in which none of them has one, ms."""
    there = sorted(stretch for series in several for stretch in _stretches(series))
    gaps, reached = [], there[0][1]
    for start, end in there:
        if start > reached:
            gaps.append((reached, start))
        reached = max(reached, end)
    return gaps


def _stretches(series: Series) -> list[tuple[int, int]]:
    """Stretches between the gaps of a series, ms."""
    end = series.last + (series.clock.ms if series.kind == BARS else 0)
    gaps = sorted((gap.start, gap.end) for gap in series.gaps if gap.start > series.first and gap.end < end)
    starts, ends = [series.first, *(b for _, b in gaps)], [*(a for a, _ in gaps), end]
    return list(zip(starts, ends, strict=True))


def recording_start(series: Series, since: int | None) -> int | None:
    """Return where to begin reading trades: as `memory_start`, but after a long gap that a range begins in as well.

    A frame shows gaps between bars; but a gap of years at bars of a second would fill the memory with unknown bars.
    """
    if since is None:
        return None
    ends = [gap.end for gap in series.gaps if gap.start < since < gap.end and gap.end - gap.start >= LONG_GAP_MS]
    return max(ends, default=memory_start([series], since))


def nothing_there(series: Series, clock: Timeframe, since: int | None, until: int | None, as_of: int | None) -> str:
    """Return the message that a range holds no bar, and what there is."""
    what, step = (series.timeframe + " bars", series.clock.ms) if series.kind == BARS else (series.kind, 0)
    span = f"from {iso(series.first)} to {iso(series.last + step)}"
    wanted = " ".join(
        f"{word} {iso(moment)}"
        for word, moment in (("from", since), ("before", until), ("as known at", as_of))
        if moment is not None
    )
    return f"No closed {clock} bar of {series.instrument} {wanted}: {what} are stored {span}."
