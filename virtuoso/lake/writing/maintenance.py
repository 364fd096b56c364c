"""Keeping the lake in order: sweep after killed writers, verify checksums, rebuild lost manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from virtuoso.errors import CorruptFileError, LockedError, ManifestError, StoreError
from virtuoso.files.atomic import TEMPORARY, writer_lock
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.manifest import BARS, FileEntry, Gap, Manifest, Series
from virtuoso.lake.parquet import SCHEMA_VERSION, about, decode, decode_events, parse
from virtuoso.lake.writing import trash
from virtuoso.lake.writing.files import describe
from virtuoso.lake.writing.staged import gaps_of
from virtuoso.lake.writing.transaction import Writer
from virtuoso.market.schema.kinds import kind_of

GRACE_MS = 15 * 60_000  # longer than the longest query
KEPT_FOR_FALLBACK = 3  # generations whose files stay, in case newer manifests are damaged


def _homes(kind: str) -> tuple[str, ...]:
    """Folders of a kind below the lake's."""
    return kind, f"revisions/{kind}", f"quarantine/{kind}"


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not as it was written.

    Attributes
    ----------
    path : str
    problem : str
    sources : tuple of str
        The files to import again.
    moved_to : str or None
        Where it lies now.
    """

    path: str
    problem: str
    sources: tuple[str, ...]
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found."""

    files: int
    bytes: int
    damaged: tuple[Damage, ...]
    damaged_manifests: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.damaged and not self.damaged_manifests

    def raise_if_damaged(self) -> None:
        """Turn damage into an error.

        Raises
        ------
        CorruptFileError
            Names the damaged files and what to import again.
        """
        if self.damaged:
            listed = "; ".join(f"{d.path} {d.problem}" for d in self.damaged[:5])
            sources = ", ".join(sorted({name for d in self.damaged for name in d.sources})) or "their sources"
            raise CorruptFileError(f"{len(self.damaged)} of {self.files} files: {listed}. Import {sources} again.")
        if self.damaged_manifests:
            raise CorruptFileError(
                f"Damaged: {', '.join(self.damaged_manifests)}. Run `virtuoso data verify --rebuild`."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What `rebuild` made."""

    generation: int
    based_on: int
    files: int
    rows: int
    unreadable: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


@contextmanager
def opened_for_writing(catalog: Catalog) -> Iterator[Writer]:
    """Hold the writer's lock on a lake that is swept and whole."""
    with _locked(catalog):
        manifests = {kind: catalog.manifest(kind) for kind in catalog.kinds()}
        damaged = [name for kind in manifests for name in catalog.generations_of(kind).damaged]
        if damaged:
            raise ManifestError(
                f"{', '.join(damaged)} of {catalog.path} cannot be read, so writing would forget what it "
                "held. Run `virtuoso data verify --rebuild` first; reading goes on with the generation before."
            )
        try:
            strays = {kind: sweep(catalog, manifest) for kind, manifest in manifests.items()}
        except OSError as error:
            raise StoreError(f"{catalog.path} cannot be written: {error.strerror or error}.") from error
        writer = Writer(catalog, strays)
        trash.recover(writer)
        try:
            yield writer
        finally:
            writer.forget()


@contextmanager
def _locked(catalog: Catalog) -> Iterator[None]:
    """Hold the writer's lock of a lake, which comes into being if need be."""
    with ExitStack() as stack:
        try:
            catalog.disk.make_folder(catalog.path)
            stack.enter_context(writer_lock(catalog.path / "lock"))
        except OSError as error:
            raise StoreError(f"{catalog.path} cannot be written: {error.strerror or error}.") from error
        yield


def sweep(catalog: Catalog, manifest: Manifest) -> list[str]:
    """Clear away what killed writers left of one kind, and retired files whose time is over.

    Returns
    -------
    list of str
        Files that the manifest neither names nor knows as retired. They are set aside, not deleted: if a manifest was
        lost, they are its rows.
    """
    homes = _homes(manifest.kind)
    named, listed = manifest.paths(), {file.path for file in manifest.retired}
    strays = []
    for home in (*homes, *(f"retired/{home}" for home in homes), f"manifests/{manifest.kind}", "derived"):
        for path in (catalog.path / home).rglob("*"):
            if path.name.endswith(TEMPORARY):
                catalog.disk.remove(path)
    for home in homes:
        for path in sorted((catalog.path / home).rglob("*-*.*")):
            inside = path.relative_to(catalog.path).as_posix()
            if path.is_file() and inside not in named:
                catalog.disk.move(path, catalog.path / "retired" / inside)
        for path in sorted((catalog.path / "retired" / home).rglob("*.*")):
            inside = path.relative_to(catalog.path / "retired").as_posix()
            if path.is_file() and inside not in listed:
                strays.append(inside)
    over = catalog.env.now_ms() - GRACE_MS
    for file in manifest.retired:
        if file.at < over and file.generation < manifest.generation - KEPT_FOR_FALLBACK:
            catalog.disk.remove(catalog.path / "retired" / file.path)
    catalog.generations_of(manifest.kind).prune(catalog.disk)
    return strays


def verify(catalog: Catalog, *, quarantine: bool = True) -> Verified:
    """Compare every file of the newest generation of every kind with its checksum.

    Parameters
    ----------
    catalog : Catalog
    quarantine : bool
        Move damaged files aside and go on without them; their rows become a gap marked 'damaged'. While another
        process writes they are only reported.
    """
    found: list[tuple[Series, FileEntry, str]] = []
    count = size = 0
    for series in [series for kind in catalog.kinds() for series in catalog.manifest(kind).series.values()]:
        for file in (*series.files, *series.revisions):
            count, size = count + 1, size + file.bytes
            problem = _problem(catalog.locate(file), file)
            if problem:
                found.append((series, file, problem))
    moved: dict[str, str] = {}
    damaged = tuple(_named(kind, name) for kind in catalog.kinds() for name in catalog.generations_of(kind).damaged)
    if found and quarantine and not damaged:
        try:
            moved = _set_aside(catalog, found)
        except LockedError:
            moved = {}
    damage = tuple(Damage(file.path, problem, file.sources, moved.get(file.path)) for _, file, problem in found)
    return Verified(count, size, damage, damaged)


def _named(kind: str, manifest: str) -> str:
    return manifest if kind == BARS else f"{kind}/{manifest}"


def _problem(path: Path, file: FileEntry) -> str:
    if not path.exists():
        return "is missing"
    if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
        return "differs from its checksum"
    return ""


def _set_aside(catalog: Catalog, found: list[tuple[Series, FileEntry, str]]) -> dict[str, str]:
    """Write generations without the damaged files, then move them to quarantine."""
    moved: dict[str, str] = {}
    lost = {file.path for _, file, _ in found}
    with opened_for_writing(catalog) as writer:
        for kind in sorted({series.kind for series, _, _ in found}):
            transaction = writer.of_kind(kind)
            keys = {series.key for series, _, _ in found if series.kind == kind} & transaction.manifest.series.keys()
            transaction.take([_without(catalog, transaction.manifest.series[key], lost) for key in sorted(keys)])
        for path in (file.path for _, file, _ in found):
            retired = catalog.path / "retired" / path  # where `take` has put it, unless it was missing
            if retired.exists():
                moved[path] = f"damaged/{path}"
                catalog.disk.move(retired, catalog.path / moved[path])
    return moved


def _without(catalog: Catalog, series: Series, damaged: set[str]) -> Series:
    """A series without some files; the ledger says what is missing now and why."""
    files = tuple(file for file in series.files if file.path not in damaged)
    kept = tuple(file for file in series.revisions if file.path not in damaged)
    gaps = gaps_of(catalog, replace(series, files=files))
    step = series.clock.ms if series.kind == BARS else 1
    lost = [file for file in series.files if file.path in damaged]
    inside = [replace(gap, status="damaged") if any(_overlap(gap, file) for file in lost) else gap for gap in gaps]
    outside = [  # before the first and after the last row that is left
        Gap(file.min_open_time, file.max_open_time + step, "damaged")
        for file in lost
        if not any(_overlap(gap, file) for gap in inside)
    ]
    marked = sorted([*inside, *outside], key=lambda gap: gap.start)
    return replace(series, files=files, revisions=kept, gaps=tuple(marked))


def _overlap(gap: Gap, file: FileEntry) -> bool:
    return gap.start <= file.max_open_time and gap.end > file.min_open_time


def rebuild(catalog: Catalog) -> Rebuilt:
    """Make new manifests from the files themselves, with what the last readable ones know besides.

    Of each partition the newest readable part counts. Files that cannot be read stay where they are and are listed.

    Raises
    ------
    LockedError
        Another process writes.
    SchemaVersionError
        A newer Virtuoso wrote the lake.
    """
    unreadable: list[str] = []
    with _locked(catalog):
        made = {kind: _rebuilt(catalog, kind, unreadable) for kind in catalog.kinds()}
    files = [file for _, after in made.values() for series in after.readable() for file in series.files]
    before, after = made[BARS]
    return Rebuilt(after.generation, before.generation, len(files), sum(file.rows for file in files), tuple(unreadable))


def _rebuilt(catalog: Catalog, kind: str, unreadable: list[str]) -> tuple[Manifest, Manifest]:
    """Commit a new generation of one kind: the last readable one, and the new one."""
    generations = catalog.generations_of(kind)
    try:
        base = generations.newest()
    except ManifestError:
        base = Manifest(kind=kind)
    parts = _newest_parts(_files_in(catalog, kind, f"{kind}/**/part-*.parquet", unreadable))
    versions = _files_in(catalog, kind, f"revisions/{kind}/**/rev-*.parquet", unreadable)
    manifest = base
    for key in {*base.series, *parts, *(key for key, _, _ in versions)}:
        series = replace(
            base.series.get(key) or _series_of(kind, key),
            files=tuple(sorted(parts.get(key, ()), key=lambda file: file.min_open_time)),
            revisions=tuple(file for home, _, file in versions if home == key),
        )
        manifest = manifest.with_series(replace(series, gaps=gaps_of(catalog, series)))
    for name in generations.damaged:
        catalog.disk.move(generations.folder / name, catalog.path / "damaged" / "manifests" / _named(kind, name))
    return base, generations.commit(manifest, catalog.disk, catalog.env.now_ms())


def _files_in(catalog: Catalog, kind: str, pattern: str, unreadable: list[str]) -> list[tuple[str, int, FileEntry]]:
    """Describe files of a kind: series, the generation each was written for, entry."""
    found = []
    for path in sorted(catalog.path.glob(pattern)):
        inside = path.relative_to(catalog.path).as_posix()
        places = dict(folder.split("=", 1) for folder in inside.split("/") if "=" in folder)
        series = Series(places["venue"], places["symbol"], places.get("timeframe", ""), kind=kind)
        try:
            data = path.read_bytes()
            table = parse(data, path)
            rows = decode(table, series.clock.ms) if kind == BARS else decode_events(table, kind_of(kind))
        except CorruptFileError:
            unreadable.append(inside)
            continue
        known = {"schema_version": SCHEMA_VERSION - 1, **about(table)}
        sha256 = hashlib.sha256(data).hexdigest()
        entry = describe(inside, series, places.get(series.partition, ""), rows, len(data), sha256, known)
        found.append((series.key, int(known.get("generation", 0)), entry))
    return found


def _newest_parts(found: list[tuple[str, int, FileEntry]]) -> dict[str, list[FileEntry]]:
    """Of the parts of each partition that share time, the ones written for the latest generation.

    The files of one generation share none; one that replaces another holds all its rows, so that it reaches as far.
    """
    parts: dict[str, list[FileEntry]] = {}
    for key, _, entry in sorted(found, key=lambda one: one[1], reverse=True):
        kept = parts.setdefault(key, [])
        if not any(file.month == entry.month and _share_time(file, entry) for file in kept):
            kept.append(entry)
    return parts


def _share_time(file: FileEntry, other: FileEntry) -> bool:
    return file.min_open_time <= other.max_open_time and other.min_open_time <= file.max_open_time


def _series_of(kind: str, key: str) -> Series:
    places = dict(folder.split("=", 1) for folder in key.split("/"))
    return Series(places["venue"], places["symbol"], places.get("timeframe", ""), kind=kind)
