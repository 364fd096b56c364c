"""Market history: import it, look it over, find an instrument, load its frame."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from virtuoso.account.instrument import Instrument, compact
from virtuoso.caller import in_words_of_caller
from virtuoso.clock import UNIT_MS, Timeframe, parse_timerange
from virtuoso.config import Settings
from virtuoso.errors import AmbiguousError, ConfigError, NoDataError, did_you_mean
from virtuoso.ingest.importer import import_paths
from virtuoso.ingest.report import ImportReport
from virtuoso.labels import Moment, moment_ms
from virtuoso.lake.coverage import Coverage, EventCheck, EventCoverage, SeriesCheck
from virtuoso.lake.lake import Lake
from virtuoso.market.frame import MarketFrame
from virtuoso.workflows.paths import lake, settings_of

DAY_MS = UNIT_MS["d"]

log = logging.getLogger(__name__)


def import_files(
    paths: Iterable[str | Path] | str | Path,
    *,
    data: str | Path | None = None,
    settings: Settings | None = None,
    **said: Any,
) -> ImportReport:
    """Import files of bars and events into the lake: archives, tables, recorded streams.

    Parameters
    ----------
    paths : path or paths
        Files, and folders to be walked.
    data : str or Path, optional
        The data root; configuration says it if absent.
    settings : Settings, optional
    **said
        venue, market, symbol, timeframe, time_unit, time_zone, time_format, columns, no_volume, kind, prefer: see
        `virtuoso.ingest.importer.import_paths`.

    Returns
    -------
    ImportReport
        One line a file; a file that failed never loses the others.
    """
    report = import_paths(lake(data, settings), paths, **said)
    for file in report.files:
        file.error, file.notes = in_words_of_caller(file.error), [in_words_of_caller(note) for note in file.notes]
    fields = {"files": len(report.files), "stored": report.total("stored"), "failed": len(report.failed)}
    log.info("imported", extra={**fields, "generation": report.generation})
    return report


def checks(
    symbol: str | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> list[SeriesCheck]:
    """Gaps, defects and quarantine of every series of bars, or of those of one symbol.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    """
    home = lake(data, settings)
    _refuse_unknown(home, symbol, venue)
    return [check for check in home.check() if _is_of(check, symbol, venue)]


def event_checks(
    symbol: str | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> list[EventCheck]:
    """Gaps, defects and quarantine of every kind of event, or of those of one symbol.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    """
    home = lake(data, settings)
    _refuse_unknown(home, symbol, venue)
    return [check for check in home.event_check() if _is_of(check, symbol, venue)]


def set_break(
    symbol: str,
    at: int | str,
    *,
    remove: bool = False,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> tuple[Instrument, int, bool]:
    """Say that from a moment on a name means another instrument, or take it back.

    Parameters
    ----------
    symbol : str
    at : int (ms) or str
        The first moment of the new instrument.
    remove : bool
        Take back what was said.
    venue : str, optional
    data : str or Path, optional
    settings : Settings, optional

    Returns
    -------
    tuple of (Instrument, int, bool)
        Of what, at which moment (ms), and whether anything changed.

    Raises
    ------
    NoDataError
        Nothing is stored under that name, or what is to be taken back was never said.
    DataError
        What is stored does not lie on both sides of the moment.
    """
    home, moment = lake(data, settings), moment_ms(at)
    instrument = find(symbol, venue=venue, data=data, settings=settings)
    if remove:
        home.remove_break(instrument.symbol, moment, instrument.venue)
        return instrument, moment, True
    return instrument, moment, home.add_break(instrument.symbol, moment, instrument.venue)


def _refuse_unknown(home: Lake, symbol: str | None, venue: str | None) -> None:
    """Refuse a symbol of which neither bars nor events are stored."""
    stored: list[Coverage | EventCoverage] = [*home.coverage(), *home.event_coverage()]
    if symbol is not None and not any(_matches(line, symbol, venue) for line in stored):
        of_venue = f" of {venue!r}" if venue else ""
        near = did_you_mean(symbol, {line.symbol for line in stored})
        raise NoDataError(f"Nothing of {symbol} is stored{of_venue}. {near}")


def _is_of(check: SeriesCheck | EventCheck, symbol: str | None, venue: str | None) -> bool:
    return _matches(check.coverage, symbol, venue)


def _matches(stored: Coverage | EventCoverage, symbol: str | None, venue: str | None) -> bool:
    return venue in (None, stored.venue) and (symbol is None or compact(symbol) == stored.symbol)


def find(
    symbol: str,
    timeframe: str | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> Instrument:
    """Find the one instrument that a symbol means: where several venues have it, the one that is configured.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    AmbiguousError
        Several venues have it, and configuration names none of them or several.
    """
    home = lake(data, settings)
    try:
        return home.resolve(symbol, timeframe, venue)
    except AmbiguousError:
        stored = {i.venue for i in home.instruments() if i.symbol == compact(symbol)}
        configured = stored & {exchange.venue for exchange in settings_of(settings).exchanges}
        if venue is not None or len(configured) != 1:
            raise
        return home.resolve(symbol, timeframe, configured.pop())


@overload
def load(symbol: str, timeframe: str | None = None, **asked: Any) -> MarketFrame: ...
@overload
def load(symbol: Sequence[str], timeframe: str | None = None, **asked: Any) -> list[MarketFrame]: ...
def load(  # type: ignore[misc]  # the overloads leave out what does not change with the symbol
    symbol: str | Sequence[str],
    timeframe: str | None = None,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    timerange: str | None = None,
    venue: str | None = None,
    data: str | Path | None = None,
    as_of: Moment | None = None,
    settings: Settings | None = None,
) -> MarketFrame | list[MarketFrame]:
    """Load an instrument from the lake: its bars, and the columns of all its events.

    Parameters
    ----------
    symbol : str or sequence of str
        `BTCUSDT` or `BTC/USDT:USDT`; of several, a frame each.
    timeframe : str, optional
        The base timeframe, from 1s on; folded from finer bars, or from trades, where it is not stored. If absent, the
        finest of which more than a scrap is stored, or `prism.base` where that is slower.
    start, end : int (ms), str or timestamp, optional
        Answers are wanted for bars that open from `start` on and before `end`. Older ones are loaded to be remembered.
    timerange : str, optional
        Both in one: `20250704-20251031` or `2025-07-04:2025-10-31`.
    venue : str, optional
        Needed where several venues have the symbol and configuration names none of them.
    data : str or Path, optional
        The data root; configuration says it if absent.
    as_of : int (ms), str or timestamp, optional
        History as it was known then.
    settings : Settings, optional

    Returns
    -------
    MarketFrame, or list of MarketFrame
    """
    if not isinstance(symbol, str):
        asked = {"start": start, "end": end, "timerange": timerange, "venue": venue, "as_of": as_of}
        return [load(one, timeframe, data=data, settings=settings, **asked) for one in symbol]
    if timerange and (start is not None or end is not None):
        raise ConfigError("A range is said once: either timerange=, or start= and end=.")
    low, high = parse_timerange(timerange) if timerange else (_moment(start), _moment(end))
    home = lake(data, settings)
    instrument = find(symbol, timeframe, venue=venue, data=data, settings=settings)
    clock = _clock(home, instrument, timeframe, settings).name
    frame = home.frame(instrument.symbol, clock, low, high, instrument.venue, _moment(as_of))
    log.info("loaded", extra={"instrument": str(instrument), "timeframe": clock, "bars": len(frame.base)})
    return frame


def _clock(home: Lake, instrument: Instrument, timeframe: str | None, settings: Settings | None) -> Timeframe:
    """The base timeframe: the one that is named, else the finest stored, or the configured one where that is slower."""
    if timeframe:
        return Timeframe(timeframe)
    usual, base = home.usual_timeframe(instrument), settings_of(settings).prism.base
    return usual if base is None else max(usual, Timeframe(base))


def _moment(said: Moment | None) -> int | None:
    return None if said is None else moment_ms(said)


def frame_at(
    symbol: str, timeframe: str | None, at: Moment | None, *, venue: str | None, data: str | Path | None,
    settings: Settings,
) -> tuple[MarketFrame, int]:  # fmt: skip
    """The frame in which a moment lies, with what is remembered at it, and the moment; the newest close if absent."""
    home = lake(data, settings)
    instrument = find(symbol, timeframe, venue=venue, data=data, settings=settings)
    clock = _clock(home, instrument, timeframe, settings)
    moment = _moment(at)
    if moment is None:
        frame = home.frame(instrument.symbol, clock, venue=instrument.venue)
        return frame, clock.close_time(frame.stop - 1)
    # what follows changes nothing, but tells a bar that is missing from one that is not there yet
    opened = clock.open_time(clock.number(moment) - 1)
    closed = clock.close_time(clock.number(moment) - 1)
    sealed = min((seal.start for seal in home.seals_of(instrument) if seal.start >= closed), default=opened + DAY_MS)
    return home.frame(instrument.symbol, clock, opened, min(opened + DAY_MS, sealed), instrument.venue), moment
