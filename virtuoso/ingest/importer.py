"""Import of files into the lake, bars and events alike, in five stations.

1. Decode: the first decoder that recognises a file reads it (venues/registry.py). Files that hold something else
   are skipped, with the reason.
2. Identify: which instrument and timeframe its rows belong to (detect.py). Where the caller, the columns, the file's
   name and the bars disagree or say nothing, the file fails with the option that would settle it. The venue is never
   guessed.
3. Validate: every row is checked (validate_bars.py, validate_events.py); bad rows go to quarantine.
4. Merge: the rest is merged into the lake. The first four stations see a file part by part; at its end it is judged as
   a whole (verdict.py): with too many bad rows, or as one of another market, all of it is taken back.
5. Commit: many small files at a time.

A file that has not changed since it was imported is not read again (remembered.py).

One bad file never loses the others: each has its own line in the report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Env, Timeframe
from virtuoso.errors import ConfigError, DataError, UnknownContentError, did_you_mean, failure
from virtuoso.ingest import validate_bars
from virtuoso.ingest.detect import identify_bars, identify_events, symbols_of, timeframe_of, wanted_symbol
from virtuoso.ingest.remembered import Remembered
from virtuoso.ingest.report import FileReport, ImportReport, Status
from virtuoso.ingest.source_rank import rank_of
from virtuoso.ingest.validate_events import validate_events
from virtuoso.ingest.validated import Validated
from virtuoso.ingest.venue import venue_of
from virtuoso.ingest.verdict import Verdict
from virtuoso.ingest.walk import files_of
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.transaction import Batch, Writer
from virtuoso.lake.writing.versions import MergedCounts
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows
from virtuoso.market.schema.kinds import KINDS
from virtuoso.venues.files.bar_columns import check_meanings
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.options import AUTO, MAX_BAD_SHARE, MAX_REVISED_SHARE, ImportOptions
from virtuoso.venues.files.timestamps import TimeUnit
from virtuoso.venues.files.timestamps import time_zone as named_zone
from virtuoso.venues.raw_events import RawEvents, added_up
from virtuoso.venues.registry import decode

COMMIT_ROWS = 500_000  # what a killed import may have to read again
INTERNAL_ERRORS_RAISE = False  # tests set it, so that an error of ours does not pass for one of a file
NAMED = 3
"""Files that a note names."""
log = logging.getLogger(__name__)

DISORDERED = "rows were out of order and have been sorted"


def import_paths(
    lake: Lake,
    paths: Iterable[str | Path] | str | Path,
    *,
    symbol: str | None = None,
    venue: str | None = None,
    market: str | None = None,
    timeframe: str | Timeframe | None = None,
    time_unit: TimeUnit = "auto",
    time_zone: str | None = None,
    time_format: str | None = None,
    columns: Mapping[str, str] | None = None,
    no_volume: bool = False,
    kind: str = AUTO,
    max_bad_share: float = MAX_BAD_SHARE,
    max_revised_share: float = MAX_REVISED_SHARE,
    prefer: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    env: Env | None = None,
) -> ImportReport:
    """Import files of bars and events.

    Parameters
    ----------
    lake : Lake
    paths : path or paths
        Files, and folders to be walked.
    symbol : str, optional
        Of the rows; of a file with several symbols, only this one is taken.
    venue : str
        Such as 'binance-spot'; never guessed.
    market : 'spot' or 'linear', optional
        Where the venue does not say it, as 'kraken'; needed once, the lake then knows.
    timeframe : str or Timeframe, optional
    time_unit : 'auto', 's', 'ms', 'us' or 'ns'
        Of numeric times; 'auto' decides by their size.
    time_zone : str, optional
        Of times that carry none.
    time_format : str, optional
        Of times as text, such as '%d.%m.%Y %H:%M', where they are not ISO 8601.
    columns : mapping of str to str, optional
        Our name of a column of bars to the file's, such as `{"time": "unix", "volume": "Volume BTC"}`.
    no_volume : bool
        Store prices without volume, which is then not known, nor is what is computed from it.
    kind : str
        'auto' finds out what a file holds; 'bars' or a name of market/schema/kinds.py takes that alone.
    max_bad_share, max_revised_share : float
        Largest share of rows that may be rejected, and of stored rows that may be contradicted.
    prefer : bool
        Take the files to be right where they contradict others, whatever is imported later.
    progress : callable, optional
        `callback(files_done, files, name_of_the_next)`.
    env : Env, optional
        The lake's, if not given.

    Raises
    ------
    AmbiguousError
        No venue was given, or one that does not say its market.
    NoDataError
        A path does not exist.
    LockedError, StoreError
        The lake cannot be written.
    """
    venue, note = venue_of(venue, market, _venues(lake))
    options = _options(
        ImportOptions(
            venue=venue,
            kind=kind,
            time_unit=time_unit,
            time_zone=time_zone,
            time_format=time_format,
            columns=tuple(sorted((columns or {}).items())),
            no_volume=no_volume,
            max_bad_share=max_bad_share,
            max_revised_share=max_revised_share,
            prefer=prefer,
        ),
        symbol,
        timeframe,
    )
    files = list(files_of([Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]))
    if env is not None:
        lake = Lake(lake.path, env=env, disk=lake.disk)
    started = lake.env.stopwatch()
    reports: list[FileReport] = []
    with lake.writing() as writer:
        remembered = Remembered(lake.path, options, lambda kind: writer.of_kind(kind).manifest.generation)
        for done, path in enumerate(files):
            if progress is not None:
                progress(done, len(files), path.name)
            reports.append(remembered.report_of(path) or _import_file(writer, path, options, remembered, lake.env))
            if writer.pending_rows >= COMMIT_ROWS:
                writer.commit()
        writer.commit()
        remembered.write(lake.disk)
        if progress is not None:
            progress(len(files), len(files), "")
        generation, written = writer.manifest.generation, writer.bytes_written
    for report in reports if note else ():
        report.notes.insert(0, note)
    return ImportReport(tuple(reports), generation, written, lake.env.stopwatch() - started)


def _venues(lake: Lake) -> set[str]:
    """Tokens of venues that a lake holds."""
    return {series.venue for kind in lake.kinds() for series in lake.manifest(kind).readable()}


def _options(said: ImportOptions, symbol: str | None, timeframe: str | Timeframe | None) -> ImportOptions:
    """Return what the caller says, checked, with the symbol as the lake writes it and the timeframe as it is stored."""
    if said.kind not in (AUTO, BARS, *KINDS):
        raise ConfigError(f"--kind {said.kind!r} cannot be imported. {did_you_mean(said.kind, [AUTO, BARS, *KINDS])}")
    if said.time_unit not in ("auto", "s", "ms", "us", "ns"):
        raise ConfigError(f"--time-unit {said.time_unit!r} is none of auto, s, ms, us, ns.")
    if said.time_zone is not None:
        named_zone(said.time_zone)
    check_meanings(said.columns)
    clock = Timeframe(timeframe) if isinstance(timeframe, str) else timeframe
    clock = timeframe_of(clock.ms) if clock else None  # '60m' is stored as '1h'
    name = None if symbol is None else wanted_symbol(symbol, said.venue)
    return replace(said, symbol=name, timeframe=clock)


def _import_file(writer: Writer, path: Path, options: ImportOptions, remembered: Remembered, env: Env) -> FileReport:
    """Import one file; whatever is wrong with it stays with it."""
    report, now_ms = FileReport(str(path)), env.now_ms()
    try:
        with writer.savepoint():
            _import_parts(writer, path, options, now_ms, report)
    except DataError as error:
        status: Status = "skipped" if isinstance(error, UnknownContentError) else "failed"
        report.refuse(status, str(error) if path.name in str(error) else f"{path.name}: {error}")
    except MemoryError:
        raise
    except Exception as error:  # of foreign bytes, nobody knows all that they may do
        if INTERNAL_ERRORS_RAISE:
            raise
        log.exception("%s could not be imported", path)
        report.refuse("failed", f"{path} could not be read ({failure(error)}). Nothing was stored. Report it, please.")
    remembered.remember(path, report, now_ms)
    return report


def _import_parts(writer: Writer, path: Path, options: ImportOptions, now_ms: int, report: FileReport) -> None:
    """Import a file part by part; what it shows as a whole is judged at its end."""
    verdict = Verdict(path, options)
    others: set[str] = set()
    counted = MergedCounts()
    for raw in decode(path, options, now_ms, verdict.count):
        others |= _others(raw, options)
        parts = _parts(raw, options, now_ms)
        for part in parts:
            verdict.see(part.kind, part.found)
        _describe(raw, parts, report)
        counted = sum(writer.add(*(part.batch() for part in parts), check=verdict.take), counted)
        if parts and parts[0].timeframe is not None:  # a later part may be too short to tell
            options = replace(options, timeframe=parts[0].timeframe)
    _count(counted, report)
    verdict.conclude()
    verdict.account(report)
    report.notes = [*added_up(report.notes), *_told_conflicts(counted)]
    if others:
        report.notes.append(f"left out {len(others)} other symbols")


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one kind and instrument in a part of a file, validated.

    Attributes
    ----------
    kind : str
    instrument : Instrument
    found : Validated
    source : tuple of (str, str, int)
        Name and sha256 of the file, and how many rows the part held.
    timeframe : Timeframe or None
        Of bars.
    rank : int
        How far the file is believed where others contradict it.
    """

    kind: str
    instrument: Instrument
    found: Validated[Rows] | Validated[Events]
    source: tuple[str, str, int]
    timeframe: Timeframe | None = None
    rank: int = 0

    def batch(self) -> Batch:
        """Return what the lake is given of it."""
        found = self.found
        refused = RejectedRows(
            rows=[row.number for row in found.rejected],
            reasons=[row.reason for row in found.rejected],
            open_times=[row.time for row in found.rejected],
            raw=[row.text for row in found.rejected],
        )
        return Batch(self.instrument, found.accepted, self.timeframe, found.superseded, refused, self.source, self.rank)


def _parts(raw: RawBars | RawEvents, options: ImportOptions, now_ms: int) -> list[_Part]:
    """Identify and validate what a decoder read, as far as it is of the wanted symbol."""
    if isinstance(raw, RawBars):
        groups = identify_bars(raw, options)
        n_rows = sum(int(group.rows.sum()) for group in groups) + len(raw.table.broken)
        source = (raw.path.name, raw.table.sha256, n_rows)
        return [
            _Part(
                BARS,
                group.instrument,
                validate_bars.validate_bars(raw, group.rows, group.timeframe, now_ms, first=number == 0),
                source,
                group.timeframe,
                rank_of(raw.path, prefer=options.prefer),
            )
            for number, group in enumerate(groups)
        ]
    if _others(raw, options):
        return []
    instrument, n_rows = identify_events(raw, options), len(raw) + len(raw.rejected)
    rank = rank_of(raw.path, received=raw.received_at is not None, prefer=options.prefer)
    source = (raw.path.name, raw.sha256, n_rows)
    return [_Part(raw.kind, instrument, validate_events(raw, now_ms), source, rank=rank)]


def _others(raw: RawBars | RawEvents, options: ImportOptions) -> set[str]:
    """Return the symbols that are not the wanted one."""
    if isinstance(raw, RawBars):
        kept = symbols_of(raw, options) if raw.symbols else {}
        wanted = {written for written, name in kept.items() if options.symbol in (None, name)}
        return set(raw.symbols or ()) - wanted
    if options.symbol is None:
        return set()
    return set() if raw.symbol in (None, options.symbol) else {str(raw.symbol)}


def _describe(raw: RawBars | RawEvents, parts: Sequence[_Part], report: FileReport) -> None:
    """Write into the report what a part holds, how it was read and which rules its rows break."""
    n_rows = len(raw) + len(raw.table.broken if isinstance(raw, RawBars) else raw.rejected)
    report.rows_read += n_rows + raw.left_out
    report.left_out += raw.left_out
    unseen = n_rows - sum(part.found.total for part in parts)
    if isinstance(raw, RawBars) or not parts:
        report.left_out += unseen  # of other symbols
    else:
        report.duplicates += unseen  # what one event filled in another is of the same event
    for part in parts:
        report.instruments = sorted({*report.instruments, str(part.instrument)})
        report.kinds = list(dict.fromkeys([*report.kinds, part.kind]))
        report.timeframe = part.timeframe.name if part.timeframe is not None else ""
        report.notes += part.found.notes
        if part.found.disordered and DISORDERED not in report.notes:
            report.notes.append(DISORDERED)
        for reason, count in part.found.counts.items():
            report.refused[reason] = report.refused.get(reason, 0) + count
        report.duplicates += part.found.duplicates
        if part.kind == BARS:
            report.forming += part.found.left_out
        else:
            report.left_out += part.found.left_out
    report.quarantined = sum(report.refused.values())


def _count(counted: MergedCounts, report: FileReport) -> None:
    """Count what became of the rows of a file in the lake."""
    report.stored += counted.stored
    report.duplicates += counted.duplicates
    report.revisions += counted.revised
    report.conflicts += counted.conflicts
    report.late += counted.late
    report.flat += counted.flat
    if counted.changed:
        report.status = "imported"


def _told_conflicts(counts: MergedCounts) -> list[str]:
    """What a file contradicts, and how it is settled for good."""
    contradicted = counts.revised + counts.conflicts
    if not contradicted:
        return []
    several = f" and {len(counts.against) - NAMED} more" if len(counts.against) > NAMED else ""
    others = ", ".join(counts.against[:NAMED]) + several if counts.against else "what is stored"
    return [
        f"contradicts {others} in {contradicted:,} of its rows: it holds in {counts.revised:,}, the other version in "
        f"{counts.conflicts:,}. To make a file right for good, import it with --prefer."
    ]
