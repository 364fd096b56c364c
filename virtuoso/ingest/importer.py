"""Import of files into the lake, bars and events alike, in five stations.

1. Decode: the first decoder that recognises a file reads it (venues/registry.py). Files that hold something else
   are skipped, with the reason.
2. Identify: which instrument and timeframe its rows belong to (detect.py). Where the caller, the columns, the file's
   name and the bars disagree or say nothing, the file fails with the option that would settle it. The venue is never
   guessed.
3. Validate: every row is checked (validate_bars.py, validate_events.py); bad rows go to quarantine, or fail the file
   if they are too many (validated.py).
4. Merge: the rest is merged into the lake, all of a file or nothing. A file that contradicts what is stored is of
   another market; trades are not taken both one by one and aggregated.
5. Commit: many small files at a time.

One bad file never loses the others: each has its own line in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Env, Timeframe
from virtuoso.errors import AmbiguousError, ConfigError, DataError, NoDataError, UnknownContentError, did_you_mean
from virtuoso.ingest import event_rules, validate_bars
from virtuoso.ingest.detect import identify_bars, identify_events, symbols_of, timeframe_of, wanted_symbol
from virtuoso.ingest.report import FileReport, ImportReport
from virtuoso.ingest.validate_events import validate_events
from virtuoso.ingest.validated import Validated, reject_bad_file
from virtuoso.ingest.venue import venue_of
from virtuoso.lake.event_rows import by_partition, rows_of_events
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.event_merge import MergedCounts, MergedEvents, aggregated_twice
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.transaction import Batch, Writer
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows
from virtuoso.market.schema.kinds import KINDS
from virtuoso.venues.files.bar_columns import check_meanings
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.file_io import CHECKSUM
from virtuoso.venues.files.options import AUTO, MAX_BAD_SHARE, MAX_REVISED_SHARE, ImportOptions
from virtuoso.venues.files.timestamps import TimeUnit
from virtuoso.venues.files.timestamps import time_zone as named_zone
from virtuoso.venues.raw_events import RawEvents
from virtuoso.venues.registry import decode

COMMIT_ROWS = 500_000  # what a killed import may have to read again
FEW_REVISED = 10
"""Changed rows that do not make a file one of another market."""
MOST_AGGREGATED_TWICE = 0.5
"""Share of trades with the time, price and side of stored ones of other ids, beyond which they are the same trades."""


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
        Largest share of rows that may be rejected, and of stored rows that may be changed.
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
        ),
        symbol,
        timeframe,
    )
    files = list(_files([Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]))
    if env is not None:
        lake = Lake(lake.path, env=env, disk=lake.disk)
    started = lake.env.stopwatch()
    reports: list[FileReport] = []
    with lake.writing() as writer:
        for done, path in enumerate(files):
            if progress is not None:
                progress(done, len(files), path.name)
            reports.append(_import_file(writer, path, options, lake.env.now_ms()))
            if writer.pending_rows >= COMMIT_ROWS:
                writer.commit()
        writer.commit()
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


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files in folders, in order of their names; checksums belong to their files, hidden files to nobody."""
    named = set(paths)
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            yield from (p for p in inside if not p.name.endswith(CHECKSUM))
        elif not path.exists():
            raise NoDataError(f"{path} does not exist.")
        elif not path.name.endswith(CHECKSUM) or path.with_name(path.name.removesuffix(CHECKSUM)) not in named:
            yield path


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one kind and instrument in a file, validated.

    Attributes
    ----------
    kind : str
    instrument : Instrument
    validated : Validated
    source : tuple of (str, str, int)
        Name and sha256 of the file, and how many rows it held.
    timeframe : Timeframe or None
        Of bars.
    """

    kind: str
    instrument: Instrument
    validated: Validated[Rows] | Validated[Events]
    source: tuple[str, str, int]
    timeframe: Timeframe | None = None

    def batch(self) -> Batch:
        """Return what the lake is given of it."""
        found = self.validated
        refused = RejectedRows(
            rows=[row.number for row in found.rejected],
            reasons=[row.reason for row in found.rejected],
            open_times=[row.time for row in found.rejected],
            raw=[row.text for row in found.rejected],
        )
        return Batch(self.instrument, found.accepted, self.timeframe, found.superseded, refused, self.source)


def _import_file(writer: Writer, path: Path, options: ImportOptions, now_ms: int) -> FileReport:
    """Import one file; whatever is wrong with it stays with it."""
    report = FileReport(str(path))
    try:
        raws = decode(path, options, now_ms)
        report.kinds = list(dict.fromkeys(raw.kind for raw in raws))
        parts = [part for raw in raws for part in _parts(raw, options, now_ms, report)]
        _describe(parts, raws, options, report)
        _reject_bad(path, parts, options, report)
        counts = writer.add(*(part.batch() for part in parts), check=_check(path, options))
        _count(parts, counts, report)
    except UnknownContentError as error:
        report.status, report.error = "skipped", str(error)
    except DataError as error:
        report.status, report.error = "failed", str(error)
    return report


def _parts(raw: RawBars | RawEvents, options: ImportOptions, now_ms: int, report: FileReport) -> list[_Part]:
    """Identify and validate what a decoder read, as far as it is of the wanted symbol."""
    if isinstance(raw, RawBars):
        groups = identify_bars(raw, options)
        report.timeframe = groups[0].timeframe.name
        n_rows = sum(int(group.rows.sum()) for group in groups) + len(raw.table.broken)
        report.rows_read += n_rows
        source = (raw.path.name, raw.table.sha256, n_rows)
        return [
            _Part(
                BARS,
                group.instrument,
                validate_bars.validate_bars(raw, group.rows, group.timeframe, now_ms, first=number == 0),
                source,
                group.timeframe,
            )
            for number, group in enumerate(groups)
        ]
    if _others(raw, options):
        return []
    instrument, n_rows = identify_events(raw, options), len(raw) + len(raw.rejected)
    report.rows_read += n_rows
    return [_Part(raw.kind, instrument, validate_events(raw, now_ms), (raw.path.name, raw.sha256, n_rows))]


def _others(raw: RawBars | RawEvents, options: ImportOptions) -> set[str]:
    """Return the symbols that are not the wanted one."""
    if isinstance(raw, RawBars):
        kept = symbols_of(raw, options) if raw.symbols else {}
        wanted = {written for written, name in kept.items() if options.symbol in (None, name)}
        return set(raw.symbols or ()) - wanted
    if options.symbol is None:
        return set()
    return set() if raw.symbol in (None, options.symbol) else {str(raw.symbol)}


def _describe(
    parts: Sequence[_Part], raws: Sequence[RawBars | RawEvents], options: ImportOptions, report: FileReport
) -> None:
    """Write into the report what a file holds, how it was read and which rules its rows break."""
    report.instruments = sorted({str(part.instrument) for part in parts})
    report.kinds = list(dict.fromkeys(part.kind for part in parts))
    report.notes = list(dict.fromkeys(note for part in parts for note in part.validated.notes))
    others = {symbol for raw in raws for symbol in _others(raw, options)}
    if others:
        report.notes.append(f"left out {len(others)} other symbols")
    if any(part.validated.disordered for part in parts):
        report.notes.append("rows were out of order and have been sorted")
    for part in parts:
        for reason, count in part.validated.counts.items():
            report.refused[reason] = report.refused.get(reason, 0) + count


def _reject_bad(path: Path, parts: Sequence[_Part], options: ImportOptions, report: FileReport) -> None:
    """Reject a file with too many bad rows, or with bars of several markets under one name."""
    bars = any(part.kind == BARS for part in parts)
    rules = validate_bars.RULES if bars else event_rules.RULES
    reject_bad_file([part.validated for part in parts], rules, options.max_bad_share)
    conflicts = sum(len(part.validated.superseded) for part in parts)
    if bars and conflicts > FEW_REVISED and conflicts > options.max_revised_share * report.rows_read:
        raise AmbiguousError(
            f"{path.name} holds {conflicts:,} bars twice with different values; does it mix markets? Nothing was "
            "stored. Write one file a market, or raise --max-revised-share."
        )


def _check(path: Path, options: ImportOptions) -> Callable[[Batch, MergedCounts, Mapping[str, MergedEvents]], None]:
    """Return what the lake asks before it takes the rows of a file."""

    def check(batch: Batch, counts: MergedCounts, partitions: Mapping[str, MergedEvents]) -> None:
        _reject_another_market(batch, counts, options)
        if isinstance(batch.rows, Events) and batch.rows.kind.name == "trades":
            _reject_aggregated_twice(path, batch.instrument, batch.rows, partitions)

    return check


def _reject_another_market(batch: Batch, counts: MergedCounts, options: ImportOptions) -> None:
    """Reject rows that contradict what is stored so often that they must be of another market."""
    shared = counts.duplicates + counts.revised
    if counts.conflicts > FEW_REVISED and counts.conflicts > options.max_revised_share * shared:
        raise AmbiguousError(
            f"{counts.conflicts:,} of {shared:,} {batch.series.kind} differ from those stored of {batch.instrument}. "
            "Are they of another market or in another time zone? Nothing was stored. If they are right, raise "
            "--max-revised-share."
        )


def _reject_aggregated_twice(
    path: Path, instrument: Instrument, trades: Events, partitions: Mapping[str, MergedEvents]
) -> None:
    """Reject single trades where aggregated ones are stored, or the other way round: each would count twice."""
    for day, rows in by_partition(rows_of_events(trades)):
        shared, share = aggregated_twice(rows, partitions[day].rows)
        if shared > FEW_REVISED and share > MOST_AGGREGATED_TWICE:
            raise AmbiguousError(
                f"{share:.0%} of the trades that {path.name} and the lake both have of {instrument} on "
                f"{day} are the same under other ids: one holds single trades, the other aggregated ones, and each "
                "trade would count twice. Nothing was stored. Keep to one of them; of a file of several kinds, --kind "
                "depth takes the book alone."
            )


def _count(parts: Sequence[_Part], counts: Sequence[MergedCounts], report: FileReport) -> None:
    """Count what became of the rows of a file that was taken."""
    for part, merged in zip(parts, counts, strict=True):
        report.stored += merged.stored
        report.duplicates += merged.duplicates + part.validated.duplicates
        report.revisions += merged.revised
        report.late += merged.late
        report.flat += merged.flat
        report.forming += part.validated.left_out if part.kind == BARS else 0
    report.quarantined = sum(report.refused.values())
    if any(merged.changed for merged in counts):
        report.status = "imported"
