"""Which stored series answers a question: of a symbol, a timeframe and a range, one; or an error that says why none.

Bars answer on every timeframe that theirs divides. Where no stored bars do, stored trades do, on every timeframe.
"""

from __future__ import annotations

from collections.abc import Sequence

from virtuoso.account.instrument import Instrument, compact
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import AmbiguousError, NoDataError, did_you_mean
from virtuoso.market.manifest import BARS, Manifest, Series

LONG_GAP_MS = 30 * 86_400_000
"""History before a gap as long as this touches nothing after it: no timeframe's run of known bars spans it."""
FOLDED_FROM_TRADES = (Timeframe("1s"), Timeframe("1m"))
"""Timeframes on which an instrument is offered that has trades and no bars; others can be asked for."""


def instrument_meant(
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


def best_series(
    manifest: Manifest, instrument: Instrument, clock: Timeframe, since: int | None, until: int | None
) -> Series:
    """Choose the slowest stored timeframe that divides the asked one and covers the range as well as any.

    Raises
    ------
    NoDataError
        None divides it.
    """
    able = [s for s in manifest.readable() if s.instrument == instrument and clock.ms % s.clock.ms == 0]
    if not able:
        raise NoDataError(f"No bars of {instrument} that divide {clock} are stored any more. Import them again.")

    def covered(series: Series) -> int:
        first = series.first if since is None else max(series.first, since)
        last = series.last + series.clock.ms
        return max((last if until is None else min(last, until)) - first, 0)

    most = max(covered(series) for series in able)
    return max((s for s in able if covered(s) > most - clock.ms), key=lambda s: s.clock.ms)


def memory_start(series: Series, since: int | None) -> int | None:
    """Where to begin reading: after the last long gap before the range, else at the beginning of history."""
    if since is None:
        return None
    ends = [gap.end for gap in series.gaps if gap.end <= since and gap.end - gap.start >= LONG_GAP_MS]
    return max(ends, default=None)


def recording_start(series: Series, since: int | None) -> int | None:
    """Where to begin reading trades: as `memory_start`, but after a long gap that a range begins in as well.

    Of a gap of bars a frame tells; a gap of years at bars of a second would fill the memory with nothing.
    """
    if since is None:
        return None
    ends = [gap.end for gap in series.gaps if gap.start < since < gap.end and gap.end - gap.start >= LONG_GAP_MS]
    return max(ends, default=memory_start(series, since))


def nothing_there(series: Series, clock: Timeframe, since: int | None, until: int | None, as_of: int | None) -> str:
    """Say that a range holds no bar, and what there is."""
    what, step = (series.timeframe + " bars", series.clock.ms) if series.kind == BARS else (series.kind, 0)
    span = f"from {iso(series.first)} to {iso(series.last + step)}"
    wanted = " ".join(
        f"{word} {iso(moment)}"
        for word, moment in (("from", since), ("before", until), ("as known at", as_of))
        if moment is not None
    )
    return f"No closed {clock} bar of {series.instrument} {wanted}: {what} are stored {span}."
