"""Import of files into the lake: read, identify, judge, merge, commit.

1. Files of events are read by the decoder that recognises them (import_events.py), all others by `venues.archive` as
   bars. Files that hold something else are skipped, with the reason.
2. Which instrument and timeframe its rows belong to: the caller's word, else a symbol column, the file's name, the
   spacing of its bars. Where these disagree or say nothing, the file fails with the option that would settle it. The
   venue is never guessed.
3. The border judges the rows (validate_bars.py); what it refuses goes to quarantine, or fails the file if it is too
   much.
4. The rest is merged into the lake (lake/merge.py) and committed, many small files at a time.

One bad file never loses the others: each has its own line in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import Instrument, compact
from virtuoso.clock import Env, Timeframe
from virtuoso.errors import AmbiguousError, ConfigError, DataError, NoDataError, UnknownContentError, did_you_mean
from virtuoso.ingest import detect
from virtuoso.ingest.detect import FEW_REVISED, timeframe_of
from virtuoso.ingest.import_events import import_events
from virtuoso.ingest.report import FileReport, ImportReport
from virtuoso.ingest.validate_bars import (
    Inspected,
    describe,
    inspect,
    opens_from_closes,
    refuse_bad_batch,
)
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.merge import Merged
from virtuoso.lake.writing.transaction import Writer
from virtuoso.market.schema.kinds import KINDS
from virtuoso.types import Mask, Times
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.file_io import CHECKSUM
from virtuoso.venues.files.options import AUTO, MAX_BAD_SHARE, MAX_REVISED_SHARE, ImportOptions
from virtuoso.venues.files.registry import decode
from virtuoso.venues.files.timestamps import NO_TIME, TimeUnit
from virtuoso.venues.files.timestamps import time_zone as named_zone
from virtuoso.venues.raw_events import RawEvents

__all__ = ["FileReport", "ImportReport", "import_paths"]

COMMIT_ROWS = 500_000  # what a killed import may have to read again


def import_paths(
    lake: Lake,
    paths: Iterable[str | Path] | str | Path,
    *,
    symbol: str | None = None,
    venue: str | None = None,
    timeframe: str | Timeframe | None = None,
    time_unit: TimeUnit = "auto",
    time_zone: str | None = None,
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
    timeframe : str or Timeframe, optional
    time_unit : 'auto', 's', 'ms', 'us' or 'ns'
        Of numeric times; 'auto' decides once a file.
    time_zone : str, optional
        Of times that carry none.
    kind : str
        'auto' finds out what a file holds; 'bars' or a name of market/schema/kinds.py takes that alone.
    max_bad_share, max_revised_share : float
        Largest share of rows that may be refused, and of stored bars that may be changed.
    progress : callable, optional
        Told (files done, files in all, name of the next).
    env : Env, optional
        The lake's, if not given.

    Raises
    ------
    AmbiguousError
        No venue was given.
    NoDataError
        A path does not exist.
    LockedError, StoreError
        The lake cannot be written.
    """
    wanted = _wanted(kind, venue, symbol, timeframe, time_unit, time_zone, max_bad_share, max_revised_share)
    files = list(_files([Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]))
    if env is not None:
        lake = Lake(lake.path, env=env, disk=lake.disk)
    started = lake.env.stopwatch()
    reports: list[FileReport] = []
    with lake.writing() as writer:
        for done, path in enumerate(files):
            if progress is not None:
                progress(done, len(files), path.name)
            reports.append(_import_file(writer, path, wanted, lake.env.now_ms()))
            if writer.pending_rows >= COMMIT_ROWS:
                writer.commit()
        writer.commit()
        if progress is not None:
            progress(len(files), len(files), "")
        generation, written = writer.manifest.generation, writer.bytes_written
    return ImportReport(tuple(reports), generation, written, lake.env.stopwatch() - started)


def _wanted(
    kind: str,
    venue: str | None,
    symbol: str | None,
    timeframe: str | Timeframe | None,
    time_unit: TimeUnit,
    time_zone: str | None,
    max_bad_share: float,
    max_revised_share: float,
) -> ImportOptions:
    if kind not in (AUTO, BARS, *KINDS):
        raise ConfigError(f"--kind {kind!r} cannot be imported. {did_you_mean(kind, [AUTO, BARS, *KINDS])}")
    if time_unit not in ("auto", "s", "ms", "us", "ns"):
        raise ConfigError(f"--time-unit {time_unit!r} is none of auto, s, ms, us, ns.")
    if venue is None:
        raise AmbiguousError(
            "Files do not say which venue their rows are from, and spot and perpetual share their symbols. "
            "Pass --venue, such as binance-spot, binance-usdm or bitfinex-spot."
        )
    Instrument(venue, "BTCUSDT")  # says now if it is no venue
    if time_zone is not None:
        named_zone(time_zone)
    clock = Timeframe(timeframe) if isinstance(timeframe, str) else timeframe
    clock = timeframe_of(clock.ms) if clock else None  # '60m' is stored as '1h'
    name = None if symbol is None else compact(symbol)
    return ImportOptions(venue, name, kind, clock, time_unit, time_zone, max_bad_share, max_revised_share)


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


def _import_file(writer: Writer, path: Path, wanted: ImportOptions, now_ms: int) -> FileReport:
    """Import one file; whatever is wrong with it stays with it."""
    report = FileReport(str(path))
    try:
        raws = decode(path, wanted, now_ms)
        bars = [raw for raw in raws if isinstance(raw, RawBars)]
        for raw in bars:
            report.kinds = [BARS]
            _import_bars(writer, raw, wanted, now_ms, report)
        if not bars:
            import_events(writer, path, [raw for raw in raws if isinstance(raw, RawEvents)], wanted, now_ms, report)
    except UnknownContentError as error:
        report.status, report.error = "skipped", str(error)
    except DataError as error:
        report.status, report.error = "failed", str(error)
    return report


def _import_bars(writer: Writer, raw: RawBars, wanted: ImportOptions, now_ms: int, report: FileReport) -> None:
    """Judge all rows of a file, then merge them: all of its instruments or none."""
    if raw.table.simulated and not Instrument(wanted.venue, "BTCUSDT").is_simulated:
        raise AmbiguousError(
            f"{raw.path} was made by the simulator and says so; its bars are not of {wanted.venue!r}. "
            "Pass --venue simulated."
        )
    groups = detect.instruments(raw, wanted)
    clock = detect.timeframe(raw, groups, wanted)
    if len(groups) < len(raw.symbols or groups):
        report.notes.append(f"left out {len(raw.symbols or ()) - len(groups)} other symbols")
    report.rows_read = sum(int(rows.sum()) for rows in groups.values()) + len(raw.table.broken)
    report.timeframe, report.instruments = clock.name, [str(instrument) for instrument in groups]
    report.notes.append(f"times: {raw.times.meaning}{', stamped at the close' if raw.stamped_at_close else ''}")
    inspected = {instrument: _judged(raw, rows, clock, now_ms) for instrument, rows in groups.items()}
    _settle(raw, inspected, groups, wanted, report)
    merged = {instrument: writer.preview(instrument, clock, judged.rows) for instrument, judged in inspected.items()}
    for instrument, result in merged.items():
        _refuse_another_market(instrument, result, wanted)
    for number, (instrument, judged) in enumerate(inspected.items()):
        result = merged[instrument]
        refused = _refused(raw, groups[instrument], judged, with_broken=number == 0)
        source = (raw.path.name, raw.table.sha256, report.rows_read)
        result = writer.add(instrument, clock, judged.rows, judged.superseded, refused, source, result)
        report.stored += result.stored
        report.duplicates += result.duplicates + judged.duplicates
        report.revisions += result.revised
        report.late += result.late
        report.flat += result.flat
        report.forming += judged.forming
    report.quarantined = sum(report.refused.values())
    if any(result.touched.any() for result in merged.values()):
        report.status = "imported"


def _judged(raw: RawBars, rows: Mask, clock: Timeframe, now_ms: int) -> Inspected:
    times: Times = raw.times.ms[rows]
    unread = times == NO_TIME
    if raw.stamped_at_close:
        times, off_grid = opens_from_closes(np.where(unread, 0, times), clock)
    else:
        times, off_grid = np.where(unread, 0, times), ~raw.times.exact[rows]
    columns = {name: values[rows] for name, values in raw.columns.items()}
    return inspect(times, columns, clock, now_ms, no_time=unread, off_grid=off_grid, garbled=raw.garbled[rows])


def _settle(
    raw: RawBars,
    inspected: dict[Instrument, Inspected],
    groups: dict[Instrument, Mask],
    wanted: ImportOptions,
    report: FileReport,
) -> None:
    """Count what was refused, and refuse the whole file if that is too much."""
    counts: dict[str, int] = {"broken_line": len(raw.table.broken)} if raw.table.broken else {}
    example = f"row {raw.table.broken[0][0]}" if raw.table.broken else ""
    for instrument, judged in inspected.items():
        for reason, count in judged.counts.items():
            counts[reason] = counts.get(reason, 0) + count
        if len(judged.bad) and not example:
            position = int(np.flatnonzero(groups[instrument])[judged.bad[0]])
            moment = int(raw.times.ms[position])
            known = moment if moment != NO_TIME else None
            example = describe(str(raw.table.rows[position]), judged.reasons[0], known)
    accepted = sum(len(judged.rows) + judged.forming for judged in inspected.values())
    refuse_bad_batch(counts, report.rows_read, accepted, wanted.max_bad_share, example)
    conflicts = sum(len(judged.superseded) for judged in inspected.values())
    if conflicts > FEW_REVISED and conflicts > wanted.max_revised_share * report.rows_read:
        raise AmbiguousError(
            f"{raw.path.name} holds {conflicts:,} bars twice with different values; does it mix markets? Nothing was "
            "stored. Write one file a market, or raise --max-revised-share."
        )
    if any(judged.disordered for judged in inspected.values()):
        report.notes.append("rows were out of order and have been sorted")
    report.refused = counts


def _refuse_another_market(instrument: Instrument, result: Merged, wanted: ImportOptions) -> None:
    """Refuse bars that contradict what is stored so often that they must be of another market."""
    shared = result.duplicates + result.revised
    if result.conflicts > FEW_REVISED and result.conflicts > wanted.max_revised_share * shared:
        raise AmbiguousError(
            f"{result.conflicts:,} of {shared:,} bars differ from the stored bars of {instrument}. Are they of another "
            "market or in another time zone? Nothing was stored. If they are right, raise --max-revised-share."
        )


def _refused(raw: RawBars, rows: Mask, judged: Inspected, with_broken: bool) -> RejectedRows:
    positions: NDArray[np.int64] = np.flatnonzero(rows)[judged.bad]
    times = [None if moment == NO_TIME else int(moment) for moment in raw.times.ms[positions]]
    broken = raw.table.broken if with_broken else ()
    return RejectedRows(
        rows=[*(number for number, _ in broken), *(int(row) for row in raw.table.rows[positions])],
        reasons=[*("broken_line" for _ in broken), *judged.reasons],
        open_times=[*(None for _ in broken), *times],
        raw=[*(text for _, text in broken), *(raw.table.text(int(position)) for position in positions)],
    )
