"""Taking rows out of the lake, and bringing them back.

    trash/20240131T235900Z-BTCUSDT/
      removal.json          what was asked, and which files of the lake it took the place of
      bars.json             a sealed manifest of what was taken, one a kind
      bars/venue=.../...    the files themselves, under their paths in the lake
      done                  written last: without it, the removal is not

1. The files are linked into the trash first. Then each kind gets a generation that does not name them any more, and
   `done` is written. A process that is killed before that has removed nothing: the next writer puts back what was
   published of it.
2. Bringing back takes `done` away first, and then does what the next writer would.
3. Where a range cuts through a file, the rows before it, in it and after it become a file each.

Nothing here is ever deleted by Virtuoso: who wants the room deletes a folder of the trash.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.clock import iso
from virtuoso.errors import DataError, NoDataError, StoreError, did_you_mean
from virtuoso.files.atomic import Disk
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.manifest import BARS, FileEntry, Manifest, QuarantineEntry, Series, dump, parse
from virtuoso.lake.writing.files import LakeFiles, times_of
from virtuoso.lake.writing.staged import staged_series
from virtuoso.lake.writing.transaction import Writer
from virtuoso.market.schema.kinds import KINDS

TRASH = "trash"
_ABOUT, _DONE = "removal.json", "done"
_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_ALWAYS_RECORDED = ("depth", "ticker", "liquidations")


@dataclass(frozen=True, slots=True)
class Removal:
    """What was taken out of the lake.

    Attributes
    ----------
    id : str
        Name of its folder in the trash.
    venue, symbol : str
    kinds : tuple of str
    timeframes : tuple of str
        Of bars.
    since, until : int or None, ms
        From inclusive, to exclusive; all if absent.
    rows, bytes : int
    removed_at : int, ms
    replaced : dict of str to list of str
        Files of the lake that its generations do not name any more, by kind.
    """

    id: str
    venue: str
    symbol: str
    kinds: tuple[str, ...]
    timeframes: tuple[str, ...]
    since: int | None
    until: int | None
    rows: int
    bytes: int
    removed_at: int
    replaced: dict[str, list[str]]

    def to_dict(self) -> dict[str, Any]:
        """Return what was taken as plain values, for JSON."""
        told = {name: value for name, value in asdict(self).items() if name != "replaced"}
        return {**told, "removed_at_utc": iso(self.removed_at)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are to be taken out.

    Attributes
    ----------
    venue, symbol : str
    kind, timeframe : str or None
        All kinds, and all timeframes of bars, if absent.
    since, until : int or None, ms
        From inclusive, to exclusive.
    recorded : bool
        Recordings too, which nobody can fetch again.
    """

    venue: str
    symbol: str
    kind: str | None = None
    timeframe: str | None = None
    since: int | None = None
    until: int | None = None
    recorded: bool = False


def chosen(catalog: Catalog, wanted: Wanted) -> list[Series]:
    """Return the series that hold what is wanted.

    Raises
    ------
    NoDataError
        Nothing of it is stored.
    DataError
        It was recorded, and recordings are not wanted.
    """
    kinds = catalog.kinds() if wanted.kind is None else [wanted.kind]
    if wanted.timeframe is not None:
        kinds = [kind for kind in kinds if kind == BARS]
    there = [one for kind in kinds for one in catalog.manifest(kind).series.values() if one.venue == wanted.venue]
    found = [
        one
        for one in there
        if one.symbol == wanted.symbol
        and wanted.timeframe in (None, one.timeframe)
        and ((wanted.since is None and wanted.until is None) or any(_overlaps(file, wanted) for file in one.files))
    ]
    if not found:
        what = " ".join(part for part in (wanted.kind or "", wanted.timeframe or "") if part) or "anything"
        known = {one.symbol for one in there if one.symbol != wanted.symbol}
        raise NoDataError(
            f"The lake holds no {what} of {wanted.symbol} {wanted.venue} in that range. "
            f"{did_you_mean(wanted.symbol, known) if known else 'See: virtuoso data list'}"
        )
    recorded = [one for one in found if _is_recorded(one)]
    if recorded and not wanted.recorded:
        names = ", ".join(f"{one.kind} ({one.rows:,} rows)" for one in recorded)
        raise DataError(
            f"{names} of {wanted.symbol} {wanted.venue} was recorded, and nobody can fetch it again. To remove it all "
            "the same, pass --recorded; to remove something else, name it with --kind."
        )
    return found


def _is_recorded(series: Series) -> bool:
    """Whether a receipt was written down, or its kind can only be recorded."""
    if series.kind == BARS:
        return False
    lag = KINDS[series.kind].lag_ms
    return series.kind in _ALWAYS_RECORDED or any(
        file.min_available_at - file.min_open_time != lag or file.max_available_at - file.max_open_time != lag
        for file in series.files
    )


def _overlaps(file: FileEntry, wanted: Wanted) -> bool:
    before = wanted.until is not None and file.min_open_time >= wanted.until
    after = wanted.since is not None and file.max_open_time < wanted.since
    return not (before or after)


def _lies_within(file: FileEntry, wanted: Wanted) -> bool:
    from_start = wanted.since is None or file.min_open_time >= wanted.since
    to_end = wanted.until is None or file.max_open_time < wanted.until
    return from_start and to_end


def remove(writer: Writer, wanted: Wanted) -> Removal:
    """Take rows out of the lake; nothing is added by the writer meanwhile.

    Raises
    ------
    NoDataError, DataError
        As `chosen`.
    StoreError
        The disk refused; the lake is as it was.
    """
    catalog = writer.catalog
    found = chosen(catalog, wanted)
    folder = _new_folder(catalog, wanted)
    try:
        return _removed(writer, wanted, found, folder)
    except OSError as error:
        raise StoreError(
            f"Removing {wanted.symbol} from {catalog.path} failed ({error.strerror or error}). The next command that "
            "writes undoes what was begun. Mend the disk, then run the same command again."
        ) from error


def _removed(writer: Writer, wanted: Wanted, found: list[Series], folder: Path) -> Removal:
    catalog, disk = writer.catalog, writer.catalog.disk
    kinds = tuple(dict.fromkeys(one.kind for one in found))
    halves = {kind: [_halves(writer, one, wanted, folder) for one in found if one.kind == kind] for kind in kinds}
    taken = [gone for pairs in halves.values() for gone, _ in pairs]
    for series in taken:
        for path in _paths(series):
            _place(disk, catalog.path / path, folder / path)
    removal = Removal(
        id=folder.name,
        venue=wanted.venue,
        symbol=wanted.symbol,
        kinds=kinds,
        timeframes=tuple(one.timeframe for one in found if one.timeframe),
        since=wanted.since,
        until=wanted.until,
        rows=sum(one.rows for one in taken),
        bytes=sum(file.bytes for one in taken for file in _entries(one)),
        removed_at=catalog.env.now_ms(),
        replaced={
            kind: sorted({path for one in found if one.kind == kind for path in _paths(one)} - _kept(pairs))
            for kind, pairs in halves.items()
        },
    )
    for kind, pairs in halves.items():
        sealed = Manifest(kind=kind, series={gone.key: gone for gone, _ in pairs})
        disk.write(folder / f"{kind}.json", dump(sealed))
    disk.write(folder / _ABOUT, json.dumps(asdict(removal), indent=1).encode())
    for kind, pairs in halves.items():
        manifest = writer.of_kind(kind).manifest
        for _, kept in pairs:
            manifest = manifest.with_series(kept)
        writer.of_kind(kind).publish(manifest)
    disk.write(folder / _DONE, b"")
    _forget_derived(catalog, wanted.venue, wanted.symbol)
    return removal


def _kept(pairs: list[tuple[Series, Series]]) -> set[str]:
    return {path for _, kept in pairs for path in _paths(kept)}


def _paths(series: Series) -> list[str]:
    return [entry.path for entry in _entries(series)]


def _entries(series: Series) -> list[FileEntry | QuarantineEntry]:
    return [*series.files, *series.revisions, *series.quarantine]


def _halves(writer: Writer, series: Series, wanted: Wanted, folder: Path) -> tuple[Series, Series]:
    """What goes of a series, and what stays."""
    nothing = Series(series.venue, series.symbol, series.timeframe, kind=series.kind)
    if all(_lies_within(file, wanted) for file in series.files):
        return series, nothing
    files = writer.files_of(series.kind)
    gone: list[FileEntry] = []
    kept: list[FileEntry] = []
    for file in series.files:
        if not _overlaps(file, wanted):
            kept.append(file)
        elif _lies_within(file, wanted):
            gone.append(file)
        else:
            for inside, part in _cut(writer.catalog, files, series, file, wanted, folder):
                (gone if inside else kept).append(part)
    versions = [_cut_versions(writer.catalog, files, series, file, wanted, folder) for file in series.revisions]
    old = tuple(part for pair in versions for part in pair[0])
    stays = replace(series, files=tuple(kept), revisions=tuple(part for pair in versions for part in pair[1]))
    goes = replace(nothing, files=tuple(gone), revisions=old, sources=series.sources)
    return goes, staged_series(writer.catalog, stays).counted_again()


def _cut_versions(
    catalog: Catalog, files: LakeFiles, series: Series, file: FileEntry, wanted: Wanted, folder: Path
) -> tuple[list[FileEntry], list[FileEntry]]:
    """Files of the versions of rows that go, and of those that stay."""
    if _lies_within(file, wanted):
        return [file], []
    if not _overlaps(file, wanted):
        return [], [file]
    alone = replace(series, revisions=(file,))
    read = catalog.revisions(alone) if series.kind == BARS else catalog.event_revisions(alone)
    ((rows, until),) = read
    times = times_of(rows)
    inside = (times >= (_FIRST if wanted.since is None else wanted.since)) & (
        times < (_LAST if wanted.until is None else wanted.until)
    )
    parts: list[list[FileEntry]] = []
    for root, some in ((folder, inside), (files.root, ~inside)):
        revised = int((until > rows.read_from)[some].sum()) if file.revised else 0
        where = replace(files, root=root)
        parts.append(
            [where.revisions(series, rows.take(some), until[some], file.sources, revised)] if some.any() else []
        )
    return parts[0], parts[1]


def _cut(
    catalog: Catalog, files: LakeFiles, series: Series, file: FileEntry, wanted: Wanted, folder: Path
) -> Iterator[tuple[bool, FileEntry]]:
    """Write the rows of a file before, in and after a range apart; those in it straight into the trash."""
    rows = (
        catalog.rows_of(file, series.clock) if series.kind == BARS else catalog.event_rows_of(file, KINDS[series.kind])
    )
    times = times_of(rows)
    before = times < (_FIRST if wanted.since is None else wanted.since)
    after = times >= (_LAST if wanted.until is None else wanted.until)
    for inside, some in ((False, before), (True, ~before & ~after), (False, after)):
        if some.any():
            where = replace(files, root=folder) if inside else files
            yield inside, where.part(series, file.month, rows.take(some), file.sources)


def _new_folder(catalog: Catalog, wanted: Wanted) -> Path:
    moment = iso(catalog.env.now_ms())[:19].replace("-", "").replace(":", "").replace(" ", "T")
    name = f"{moment}Z-{wanted.symbol}"
    taken = {path.name for path in (catalog.path / TRASH).glob("*")}
    number = next(n for n in range(1, len(taken) + 2) if (name if n == 1 else f"{name}-{n}") not in taken)
    return catalog.path / TRASH / (name if number == 1 else f"{name}-{number}")


def _place(disk: Disk, source: Path, target: Path) -> None:
    """Let a file be at a second place too, linked where the file system can, else copied."""
    if target.exists():
        return
    disk.make_folder(target.parent)
    disk.step("link", target)
    try:
        os.link(source, target)
    except OSError:
        disk.write(target, source.read_bytes())
    disk.sync_folder(target.parent)


def _forget_derived(catalog: Catalog, venue: str, symbol: str) -> None:
    for folder in (catalog.path / "derived").glob(f"*/venue={venue}/symbol={symbol}"):
        shutil.rmtree(folder, ignore_errors=True)


def in_trash(catalog: Catalog) -> list[Removal]:
    """Return what lies in the trash, the newest last."""
    found = [_read(folder) for folder in (catalog.path / TRASH).glob("*") if (folder / _DONE).exists()]
    return sorted(found, key=lambda removal: (removal.removed_at, removal.id))


def _read(folder: Path) -> Removal:
    values: dict[str, Any] = json.loads((folder / _ABOUT).read_bytes())
    values["kinds"], values["timeframes"] = tuple(values["kinds"]), tuple(values["timeframes"])
    return Removal(**values)


def undo(writer: Writer, name: str | None = None) -> Removal:
    """Bring back what was taken out.

    Parameters
    ----------
    writer : Writer
    name : str, optional
        Of the removal; the newest if absent.

    Raises
    ------
    NoDataError
        There is no such removal.
    DataError
        Something newer is stored where its rows belong.
    """
    there = in_trash(writer.catalog)
    found = [removal for removal in there if name in (None, removal.id)]
    if not found:
        known = f"There are: {', '.join(removal.id for removal in there)}." if there else "It is empty."
        raise NoDataError(f"The trash holds no {name or 'removal'}. {known}")
    removal = found[-1]
    folder = writer.catalog.path / TRASH / removal.id
    for kind in removal.kinds:
        _refuse_newer(writer, kind, _taken(folder, kind), removal)
    try:
        writer.catalog.disk.remove(folder / _DONE)
        _put_back(writer, folder, removal)
    except OSError as error:
        raise StoreError(
            f"Bringing {removal.id} back failed ({error.strerror or error}). Mend the disk; the next command that "
            "writes completes it."
        ) from error
    return removal


def _taken(folder: Path, kind: str) -> dict[str, Series]:
    return dict(parse((folder / f"{kind}.json").read_bytes(), f"{folder.name}/{kind}.json").series)


def _refuse_newer(writer: Writer, kind: str, taken: dict[str, Series], removal: Removal) -> None:
    now = writer.of_kind(kind).manifest.series
    for key, series in taken.items():
        for file in series.files:
            for other in now[key].files if key in now else ():
                if other.min_open_time <= file.max_open_time and other.max_open_time >= file.min_open_time:
                    sources = ", ".join(other.sources[:3]) or "another import"
                    raise DataError(
                        f"{kind} of {series.symbol} {series.venue} from {iso(other.min_open_time)} to "
                        f"{iso(other.max_open_time)} are newer than {removal.id} ({sources}). Remove them first: "
                        f"virtuoso data remove {series.symbol} --venue {series.venue} --kind {kind}"
                    )


def _put_back(writer: Writer, folder: Path, removal: Removal) -> None:
    """Name the files of a removal again, where a generation does not name them any more; then forget the removal."""
    catalog = writer.catalog
    for kind in removal.kinds:
        transaction = writer.of_kind(kind)
        named = transaction.manifest.paths()
        if named & set(removal.replaced[kind]):
            continue  # this kind was never published without them
        manifest = transaction.manifest
        for key, series in _taken(folder, kind).items():
            for path in _paths(series):
                if path not in named:
                    _place(catalog.disk, folder / path, catalog.path / path)
            manifest = manifest.with_series(_joined(catalog, manifest.series.get(key), series))
        if manifest.paths() != named:
            transaction.publish(manifest)
    shutil.rmtree(folder)
    _forget_derived(catalog, removal.venue, removal.symbol)


def _joined(catalog: Catalog, now: Series | None, taken: Series) -> Series:
    """A series with what was taken out of it."""
    if now is None:
        return taken
    files = {file.path: file for file in (*now.files, *taken.files)}
    both = replace(
        now,
        files=tuple(sorted(files.values(), key=lambda file: file.min_open_time)),
        revisions=tuple({file.path: file for file in (*now.revisions, *taken.revisions)}.values()),
        quarantine=tuple({entry.path: entry for entry in (*now.quarantine, *taken.quarantine)}.values()),
        sources=tuple(dict.fromkeys((*now.sources, *taken.sources))),
    )
    return staged_series(catalog, both).counted_again()


def recover(writer: Writer) -> None:
    """Put back what a killed removal has published, and finish what a killed undoing has begun."""
    for folder in sorted((writer.catalog.path / TRASH).glob("*")):
        if not (folder / _DONE).exists():
            if (folder / _ABOUT).exists():
                _put_back(writer, folder, _read(folder))
            else:
                shutil.rmtree(folder)
