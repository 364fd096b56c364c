"""`virtuoso data`: what is in the lake, how it got there, and what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call, verb
from virtuoso.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from virtuoso.account.instrument import Instrument
    from virtuoso.cli.terminal.event_tables import LedgerPart
    from virtuoso.ingest.report import FileReport, ImportReport
    from virtuoso.lake.lake import Coverage, EventCheck, EventCoverage, SeriesCheck
    from virtuoso.lake.writing.maintenance import Rebuilt, Verified
    from virtuoso.lake.writing.trash import Removal

app = typer.Typer(help="Stored market data (the lake): import, list, check, break, remove, verify, sql.")

SHOWN_ROWS, BRIEF_ROWS = 40, 20
CHECK_ROWS, BRIEF_PARTS, BRIEF_GAPS = 8, 2, 3
"""Of `data check` on the first screen: lines of each table, parts of the ledger, and lines of each part."""
DATA_ERROR = 3
COUNTS = {
    "ROWS": "rows_read",
    "STORED": "stored",
    "FLAT": "flat",
    "SAME": "duplicates",
    "REVISED": "revisions",
    "CONFLICT": "conflicts",
    "REFUSED": "quarantined",
    "FORMING": "forming",
    "LATE": "late",
    "LEFT OUT": "left_out",
    "BLANK": "blank",
}
"""Columns of the import table; one that would be empty is left out."""
EMPTY = "The lake is empty."


@verb(app, "import", "virtuoso data import raw/ --venue binance-usdm")
def import_(
    call: Call,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, and folders to be walked.")],
    kind: options.Kind = "auto",
    symbol: options.SymbolOfFiles = None,
    venue: options.VenueOfFiles = None,
    market: options.MarketOfFiles = None,
    timeframe: options.TimeframeOfFiles = None,
    time_unit: options.TimeUnit = "auto",
    time_zone: options.TimeZone = None,
    time_format: options.TimeFormat = None,
    columns: options.Columns = None,
    no_volume: options.NoVolume = False,
    max_bad_share: options.MaxBadShare = None,
    max_revised_share: options.MaxRevisedShare = None,
    prefer: options.Prefer = False,
) -> Answer:
    """Import bars and events from archives, tables and recordings."""
    from virtuoso.workflows import import_files

    strictness = {"max_bad_share": max_bad_share, "max_revised_share": max_revised_share}
    said: dict[str, Any] = {name: share for name, share in strictness.items() if share is not None}
    with call.progress("importing") as tick:
        report = import_files(
            paths,
            settings=call.settings,
            kind=kind,
            symbol=symbol,
            venue=venue,
            market=market,
            timeframe=timeframe,
            time_unit=time_unit,
            time_zone=time_zone,
            time_format=time_format,
            columns=_columns(columns or ()),
            no_volume=no_volume,
            prefer=prefer,
            progress=lambda done, total, name: tick(name, done, total),
            **said,
        )
    return Answer(
        report.to_dict(), lambda: _imported(report), _after_import(call, report), 0 if report.ok else DATA_ERROR
    )


def _columns(said: Iterable[str]) -> dict[str, str]:
    """Our names of columns and the file's, of `time=unix,volume=Volume BTC`."""
    from virtuoso.errors import ConfigError

    found: dict[str, str] = {}
    for part in (part for one in said for part in one.split(",") if part.strip()):
        name, mark, column = part.partition("=")
        if not mark:
            raise ConfigError(f'--columns {part} is no NAME=COLUMN. Try --columns time=unix,volume="Volume BTC".')
        found[name.strip()] = column.strip().strip("\"'")
    return found


def _after_import(call: Call, report: ImportReport) -> str:
    held = [file for file in report.files if file.status in ("imported", "unchanged") and file.timeframe]
    if not held:
        return call.next("data list")
    symbol, venue = held[0].instruments[0].split()
    return call.next("score", symbol, timeframe=held[0].timeframe, venue=venue)


def _imported(report: ImportReport) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, seconds, size, table
    from virtuoso.reports.format import plural, whole

    many = len(report.files) > BRIEF_ROWS
    shown = [file for file in report.files if not many or file.status in ("failed", "skipped")]
    if shown:
        counts = {name: what for name, what in COUNTS.items() if any(getattr(file, what) for file in shown)}
        rows = (_file_row(file, counts.values()) for file in shown)
        yield table(("FILE", "STATUS", "HOLDS", *counts), rows, left=3)
        yield ""
    told = f"{plural(len(report.files), 'file')}, {whole(report.total('rows_read'))} rows: "
    told += f"{whole(report.total('stored'))} stored, {size(report.bytes_written)} written"
    failed = f", {plural(len(report.failed), 'file')} failed" if report.failed else ""
    yield f"{told} in {seconds(report.seconds)}{failed}"
    remarks = list(_remarks(shown))
    if remarks:
        yield heading("Remarks")
        yield from map(prose, remarks)


def _file_row(file: FileReport, counts: Iterable[str]) -> tuple[str, ...]:
    from virtuoso.reports.format import whole

    held = file.status in ("imported", "unchanged")
    cells = (whole(getattr(file, what)) if held else "" for what in counts)
    return (Path(file.path).name, file.status, file.timeframe or ", ".join(file.kinds), *cells)


def _remarks(files: Iterable[FileReport]) -> Iterator[str]:
    """What is wrong, file by file; then what is worth knowing, with the files that it is about."""
    about: dict[str, list[str]] = {}
    for file in files:
        name = Path(file.path).name
        if file.error:
            yield f"{name}: {file.error.removeprefix(file.path).removeprefix(name).lstrip(' :')}"
        if file.refused:
            yield f"{name}: refused " + ", ".join(f"{count:,} {rule}" for rule, count in file.refused.items())
        for note in file.notes:
            about.setdefault(note, []).append(name)
    for note, names in about.items():
        yield f"{note} ({len(names)} files)" if len(names) > 1 else f"{names[0]}: {note}"


@verb(app, "list", "virtuoso data list")
def list_(call: Call) -> Answer:
    """Show what is stored: one line a series of bars, or a kind of event."""
    stored, events, breaks = call.lake.coverage(), call.lake.event_coverage(), call.lake.breaks()
    trash = call.lake.trash()
    first = stored[0] if stored else None
    following = (
        call.next("score", first.symbol, timeframe=first.timeframe, venue=first.venue)
        if first
        else call.next("data import", "PATH", venue="binance-spot")
    )
    told: dict[str, Any] = {
        "series": [series.to_dict() for series in stored],
        "events": [series.to_dict() for series in events],
    }
    if trash:
        told["trash"] = [removal.to_dict() for removal in trash]
    if breaks:
        told["breaks"] = [{"instrument": str(instrument), "at": at} for instrument, at in breaks]
    return Answer({"lake": call.lake.path, **told}, lambda: _listed(call, stored, events, breaks, trash), following)


def _listed(
    call: Call,
    stored: list[Coverage],
    events: list[EventCoverage],
    breaks: list[tuple[Instrument, int]],
    trash: list[Removal],
) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import moment
    from virtuoso.cli.terminal.event_tables import events_table, more
    from virtuoso.reports.format import plural, whole

    yield from (f"in the trash: {removal.id}, {_removed(removal)}" for removal in trash)
    if not stored and not events:
        yield EMPTY
        return
    yield from ("",) if trash else ()
    most = None if call.wants_all else BRIEF_ROWS
    if stored:
        yield _bars_table(stored[:most])
        yield from more(len(stored), most)
    if events:
        yield from ("",) if stored else ()
        yield from events_table(events, most)
    yield ""
    instruments = {(s.venue, s.symbol) for s in stored} | {(s.venue, s.symbol) for s in events}
    bars, rows = sum(s.bars for s in stored), sum(s.rows for s in events)
    counts = [f"{whole(n)} {what}" for n, what in ((bars, "bars"), (rows, "events")) if n]
    yield f"{' and '.join(counts)} of {plural(len(instruments), 'instrument')}"
    for instrument, at in breaks:
        yield f"{instrument} is another instrument from {moment(at)} on"


def _bars_table(stored: list[Coverage]) -> RenderableType:
    from virtuoso.cli.terminal.console import day, size, table
    from virtuoso.reports.format import percent, whole

    headers = ("SYMBOL", "VENUE", "TF", "FROM", "TO", "BARS", "COVERAGE", "GAPS", "SIZE")
    rows = (
        (
            series.symbol,
            series.venue,
            series.timeframe,
            day(series.start),
            day(series.end),
            whole(series.bars),
            percent(series.share, 2),
            whole(series.gaps),
            size(series.bytes),
        )
        for series in stored
    )
    return table(headers, rows, left=5)


@verb(app, "check", "virtuoso data check BTCUSDT")
def check(
    call: Call,
    symbol: Annotated[str | None, typer.Argument(metavar="[SYMBOL]", help="Only this one.")] = None,
    venue: options.Venue = None,
) -> Answer:
    """Show gaps, defects, quarantine, revisions and files that disagree."""
    from virtuoso.workflows import checks, event_checks

    found = checks(symbol, venue=venue, settings=call.settings)
    events = event_checks(symbol, venue=venue, settings=call.settings)
    told = {"series": [series.to_dict() for series in found], "events": [series.to_dict() for series in events]}
    following = call.next("data verify")
    return Answer({"lake": call.lake.path, **told}, lambda: _checked(call, found, events), following)


def _checked(call: Call, found: list[SeriesCheck], events: list[EventCheck]) -> Iterator[RenderableType]:
    """Coverage of bars and events, then the ledger; on the first screen what calls for action before what does not."""
    from virtuoso.cli.terminal.event_tables import checked_events, event_ledger, more

    if not found and not events:
        yield EMPTY
        return
    most, shown = (None, None) if call.wants_all else (CHECK_ROWS, BRIEF_GAPS)
    if found:
        yield from _checked_bars(found, most)
    if events:
        yield from ("",) if found else ()
        yield from checked_events(events, most)
    parts = [part for series in found for part in _ledger(series, shown)]
    parts += [part for series in events for part in event_ledger(series, shown)]
    first = parts if call.wants_all else sorted(parts, key=lambda part: part.rank)[:BRIEF_PARTS]
    for part in first:
        yield from part.lines
    if len(first) < len(parts):
        yield ""
        yield from more(len(parts), len(first), "of the ledger of gaps and defects")


def _checked_bars(found: list[SeriesCheck], most: int | None) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import table
    from virtuoso.cli.terminal.event_tables import more
    from virtuoso.reports.format import percent, whole

    headers = ("SERIES", "BARS", "FLAT", "MISSING", "COVERAGE", "GAPS", "REVISED", "LATE", "REFUSED")
    rows = (
        (
            f"{c.symbol} {c.venue} {c.timeframe}",
            *(whole(count) for count in (c.bars, c.no_trade, c.missing)),
            percent(c.share, 2),
            *(whole(count) for count in (c.gaps, c.revisions, c.late, c.quarantined)),
        )
        for c in (series.coverage for series in found[:most])
    )
    yield table(headers, rows)
    yield from more(len(found), most)
    yield ""
    yield "FLAT: bars without a trade that the source leaves out. LATE: known only after their close."


def _ledger(series: SeriesCheck, shown: int | None) -> Iterator[LedgerPart]:
    """The gaps of a series, the longest first, what is odd in it, what was refused, and files that disagree."""
    from virtuoso.cli.terminal.conflicts import disagreeing
    from virtuoso.cli.terminal.console import heading, moment, table
    from virtuoso.cli.terminal.event_tables import CONFLICTS, GAPS, ODD, REFUSED, LedgerPart, more
    from virtuoso.reports.format import plural, whole

    c = series.coverage
    name = f"{c.symbol} {c.venue} {c.timeframe}"
    longest = sorted(series.gaps, key=lambda gap: (-gap[2], gap[0]))[:shown]
    if longest:
        headers = ("FROM", "TO", "STATUS", "BARS")
        rows = ((moment(a), moment(b), status, whole(n)) for a, b, n, status in longest)
        title = heading(f"{name}: {plural(c.gaps, 'gap')}, the longest first")
        yield LedgerPart(GAPS, [title, table(headers, rows, left=3), *more(c.gaps, shown)])
    for what, lines in (("break", _breaks(series)), ("misprint", _misprints(series))):
        if lines:
            title = heading(f"{name}: {plural(len(lines), what)}")
            yield LedgerPart(ODD, [title, *lines[:shown], *more(len(lines), shown)])
    if series.refused:
        listed = ", ".join(f"{count:,} {rule}" for rule, count in sorted(series.refused.items()))
        yield LedgerPart(REFUSED, [heading(f"{name}: refused rows, stored in quarantine"), listed])
    if series.conflicts:
        yield LedgerPart(CONFLICTS, list(disagreeing(name, c.venue, series.conflicts, shown)))


@verb(app, "remove", "virtuoso data remove ETHUSDT --venue simulated --yes")
def remove(
    call: Call,
    symbol: Annotated[
        str | None, typer.Argument(metavar="[SYMBOL]", help="What to remove; with --undo, the name of a removal.")
    ] = None,
    venue: options.Venue = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="bars, trades, depth ...; all if absent.")] = None,
    timeframe: Annotated[
        str | None, typer.Option("-i", "--timeframe", metavar="TF", help="Of bars; all of them if absent.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From then on, UTC.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then, UTC.")] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="Recordings too, which nobody can fetch again.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Bring the newest removal back, or the one that is named.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    """Move stored rows to the trash of the lake, or bring them back."""
    if undo:
        back = call.lake.undo_remove(symbol)
        return Answer({"restored": back.to_dict()}, lambda: [f"brought back {_removed(back)}"], call.next("data list"))
    if symbol is None or venue is None:
        raise ConfigError("Say what to remove: virtuoso data remove SYMBOL --venue VENUE. `data list` shows both.")
    if not yes:
        _ask(f"Move {kind or 'everything'} of {symbol} {venue} to the trash of {call.lake.path}?")
    gone = call.lake.remove(
        symbol, venue=venue, kind=kind, timeframe=timeframe, since=since, until=until, recorded=recorded
    )
    told = f"moved {_removed(gone)} to the trash as {gone.id}"
    return Answer({"removed": gone.to_dict()}, lambda: [told], call.next("data remove --undo", gone.id))


def _ask(question: str) -> None:
    """Ask at a terminal; without one, nobody can answer."""
    if not sys.stdin.isatty():
        raise ConfigError("Nobody can be asked without a terminal. Pass --yes to remove it.")
    if not typer.confirm(question, err=True):
        raise typer.Abort


def _removed(removal: Removal) -> str:
    from virtuoso.cli.terminal.console import size
    from virtuoso.reports.format import plural

    what = ", ".join(removal.kinds)
    return f"{plural(removal.rows, 'row')} of {removal.symbol} {removal.venue} ({what}; {size(removal.bytes)})"


def _breaks(series: SeriesCheck) -> list[str]:
    from virtuoso.cli.terminal.console import moment

    how = {"said": "as said with `virtuoso data break`", "found": "a gap, and another level of prices after it"}
    return [f"from {moment(at)} on another instrument: {how[made]}" for at, made in series.breaks]


def _misprints(series: SeriesCheck) -> list[str]:
    from virtuoso.cli.terminal.console import moment

    what = "stored as published, left out of lookbacks"
    return [f"{moment(at)}, known at {moment(known)}: {what}" for at, known in series.misprints]


@verb(app, "break", "virtuoso data break BTCUSDT --at 2025-01-08")
def break_(
    call: Call,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="First moment of the new instrument, UTC.")],
    venue: options.Venue = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take it back.")] = False,
) -> Answer:
    """Say that from a moment on a symbol means another instrument: relaunched, redenominated."""
    from virtuoso.workflows import set_break

    instrument, moment_ms, changed = set_break(symbol, at, remove=remove, venue=venue, settings=call.settings)
    told = {"instrument": str(instrument), "at": moment_ms, "removed": remove, "changed": changed}
    following = call.next("data check", instrument.symbol, venue=instrument.venue)
    return Answer(told, lambda: _broken(str(instrument), moment_ms, remove, changed), following)


def _broken(instrument: str, at: int, remove: bool, changed: bool) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import moment

    if remove:
        yield f"{instrument}: no break at {moment(at)} any more"
    elif changed:
        yield f"{instrument} is another instrument from {moment(at)} on: nothing is held or remembered over it"
    else:
        yield f"{instrument}: the break at {moment(at)} was said before"


@verb(app, "verify", "virtuoso data verify")
def verify(
    call: Call,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make a new manifest from the files first.")] = False,
) -> Answer:
    """Compare every file with its checksum; damaged ones are set aside."""
    made = call.lake.rebuild() if rebuild else None
    found = call.lake.verify()
    data = {**found.to_dict(), "rebuilt": made.to_dict() if made else None}
    code = 0 if found.ok and not (made and made.unreadable) else DATA_ERROR
    following = call.next("data list") if found.ok else call.next("data import", "PATH")
    return Answer(data, lambda: _verified(found, made), following, code)


def _verified(found: Verified, made: Rebuilt | None) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import size
    from virtuoso.reports.format import plural

    if made:
        yield (
            f"rebuilt generation {made.generation} from {plural(made.files, 'file')} with {plural(made.rows, 'row')}, "
            f"on top of generation {made.based_on}"
        )
        yield from (f"cannot be read: {path}" for path in made.unreadable)
    verdict = "every byte is as it was written" if found.ok else f"{plural(len(found.damaged), 'file')} damaged"
    yield f"{plural(found.files, 'file')}, {size(found.bytes)}: {verdict}"
    for damage in found.damaged:
        moved = f"; moved to {damage.moved_to}" if damage.moved_to else ""
        yield f"  {damage.path} {damage.problem}{moved}"
        if damage.sources:
            yield f"    import again: {', '.join(damage.sources)}"
    yield from (f"  manifest damaged: {name}; run with --rebuild" for name in found.damaged_manifests)


@verb(app, "sql", "virtuoso data sql 'select symbol, count(*) from bars group by symbol'")
def sql(
    call: Call,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT on the views `bars`, `trades` ...")],
    out: Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Write a .csv or .parquet file.")] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.001, help="Longest that it may take.")] = 60.0,
    memory: Annotated[int, typer.Option(metavar="MB", min=64, help="Most memory that it may take.")] = 2_048,
) -> Answer:
    """Look at bars and events with SQL, read-only: one view a kind."""
    found = call.lake.sql(query, seconds=timeout, memory_mb=memory)
    if out is not None:
        _write(found, out, call.lake.path)
    data = {"columns": list(found.columns), "rows": _records(found), "out": out}
    return Answer(data, lambda: _answered(found, out), call.next("data list"))


def _write(found: pd.DataFrame, out: Path, lake: Path) -> None:
    if out.resolve().is_relative_to(lake.resolve()):
        raise ConfigError(f"--out {out} lies in the lake, which only imports write. Name another folder.")

    if out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--out {out} ends neither in .csv nor in .parquet. Name one of them.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".csv":
        found.to_csv(out, index=False)
    else:
        found.to_parquet(out, index=False)


def _records(found: pd.DataFrame) -> list[list[Any]]:
    return [list(row) for row in found.itertuples(index=False, name=None)]


def _answered(found: pd.DataFrame, out: Path | None) -> Iterator[RenderableType]:
    """A table where it fits, else one value a line, as a wide row cannot be read."""
    from virtuoso.cli.terminal.console import WIDTH, heading, pairs, table
    from virtuoso.reports.format import plural

    names = [str(name) for name in found.columns]
    rows = [tuple(map(_cell, row)) for row in _records(found.head(SHOWN_ROWS))]
    widths = [max(map(len, cells)) + 2 for cells in zip(names, *rows, strict=True)]
    if sum(widths) <= WIDTH:
        words = {k for k, name in enumerate(found.columns) if found[name].dtype.kind not in "iuf"}
        yield table(names, rows, left=words)
        yield ""
    else:
        for number, row in enumerate(rows, 1):
            yield heading(f"row {number}")
            yield pairs(zip(names, row, strict=True))
        yield ""
    rest = f", the first {SHOWN_ROWS} shown; --json and --out give all" if len(found) > SHOWN_ROWS else ""
    yield f"{plural(len(found), 'row')}{rest}" + (f" -> {out}" if out else "")


def _cell(value: Any) -> str:
    from virtuoso.reports.format import DASH

    if value is None or value != value:
        return DASH
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
