"""The manifest: which files are the lake, one generation after another.

1. A generation is one file, `manifests/bars/manifest-000012.json`, written whole (files/atomic.py) and never changed.
   It ends in a checksum of itself. Bars and every kind of event (market/schema/kinds.py) have generations of their own.
2. A reader takes the newest generation that can be read and opens exactly the files it names, so it sees one
   consistent lake while another process writes.
3. Where the newest generation is damaged, readers fall back to the one before it, and say so; writers refuse until
   `rebuild` has made a new one from the files.

Everything a manifest knows about a file also stands in the file's own metadata.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import ManifestError
from virtuoso.files.atomic import TEMPORARY, Disk
from virtuoso.lake.parquet import SCHEMA_VERSION, check_version
from virtuoso.market.schema.kinds import KINDS

KEPT_GENERATIONS = 20
BARS = "bars"
"""The kind that is no kind of event."""
_NAME = re.compile(r"manifest-(\d{6,})\.json")
_SEAL = ',\n"sha256": "'

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One immutable Parquet file.

    Attributes
    ----------
    path : str
        Below the lake's folder, with forward slashes.
    month : str
        The hive partition: '2019-03', or '2019-03-31' of kinds that are kept by the day; empty for revisions.
    rows, no_trade, late : int
        Rows in all; flat rows among them; rows known only later than their close among them, or added later inside
        stored history.
    min_open_time, max_open_time : int, ms
        Of bars; of events, the first and last event time.
    min_available_at, max_available_at : int, ms
        When the first and the last event of the file could be known; 0 for bars.
    revised : int
        Of superseded versions, how many another one has replaced that disagrees; -1, so all, in files of old.
    bytes, sha256 : int, str
        Of the file.
    sources : tuple of str
        Names of the files whose bars it holds.
    imported_at : int, ms
    """

    path: str
    month: str
    rows: int
    min_open_time: int
    max_open_time: int
    bytes: int
    sha256: str
    sources: tuple[str, ...] = ()
    imported_at: int = 0
    no_trade: int = 0
    late: int = 0
    schema_version: int = SCHEMA_VERSION - 1
    min_available_at: int = 0
    max_available_at: int = 0
    revised: int = -1


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Rows of a source that validation rejected, kept with their reason."""

    path: str
    source: str
    rows: int
    reasons: Mapping[str, int]
    bytes: int
    sha256: str
    imported_at: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose bars were stored.

    Attributes
    ----------
    name, sha256 : str
    rows : int
        Rows it held.
    stored, revisions, late : int
        Bars it added, bars it changed, and how many of these lie inside history that was stored before.
    available_at : str
        The rule: 'close' (an archive's bar counts from its close), or 'close; late rows at import'.
    imported_at : int, ms
    conflicts : int
        Bars that contradict what holds.
    first, last : int, ms
        Times of its first and last row; 0 where an older Virtuoso stored it.
    """

    name: str
    sha256: str
    rows: int
    stored: int
    revisions: int
    late: int
    available_at: str
    imported_at: int
    conflicts: int = 0
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rows of a partition of which versions disagree, while no source is preferred.

    Attributes
    ----------
    partition : str
        A month or a day.
    rows : int
    sources : tuple of str
        Names of the files that tell of that time.
    """

    partition: str
    rows: int
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of bars or events that should exist and do not: from inclusive, to exclusive, ms."""

    start: int
    end: int
    status: str = "missing"


@dataclass(frozen=True, slots=True)
class Series:
    """Everything stored of one instrument on one timeframe, or of one kind of event.

    Attributes
    ----------
    venue, symbol : str
    timeframe : str
        Of bars; empty for events.
    files, gaps, revisions, quarantine, sources, conflicts : tuple
    kind : str
        'bars', or a name of market/schema/kinds.py.
    """

    venue: str
    symbol: str
    timeframe: str
    files: tuple[FileEntry, ...] = ()
    gaps: tuple[Gap, ...] = ()
    revisions: tuple[FileEntry, ...] = ()
    quarantine: tuple[QuarantineEntry, ...] = ()
    sources: tuple[Source, ...] = ()
    kind: str = BARS
    conflicts: tuple[Conflict, ...] = ()

    @property
    def key(self) -> str:
        """Its folder below the folder of its kind."""
        folder = f"venue={self.venue}/symbol={self.symbol}"
        return f"{folder}/timeframe={self.timeframe}" if self.kind == BARS else folder

    @property
    def home(self) -> str:
        """Its folder below the lake's."""
        return f"{self.kind}/{self.key}"

    @property
    def partition(self) -> str:
        """What its files are split by: 'month' or 'day'."""
        return "month" if self.kind == BARS else KINDS[self.kind].partition

    @property
    def instrument(self) -> Instrument:
        """What is traded, and where."""
        return Instrument(self.venue, self.symbol)

    @property
    def clock(self) -> Timeframe:
        """Its timeframe."""
        return Timeframe(self.timeframe)

    @property
    def rows(self) -> int:
        """Bars stored, flat ones included, or events."""
        return sum(file.rows for file in self.files)

    @property
    def first(self) -> int:
        """Open time of the first bar, or time of the first event, ms."""
        return min(file.min_open_time for file in self.files)

    @property
    def last(self) -> int:
        """Open time of the last bar, or time of the last event, ms."""
        return max(file.max_open_time for file in self.files)


@dataclass(frozen=True, slots=True)
class Break:
    """A moment from which on, as a user says, a name means another instrument.

    Attributes
    ----------
    venue, symbol : str
    at : int, ms
    said_at : int, ms
        When it was said: history as of an earlier moment does not know it.
    """

    venue: str
    symbol: str
    at: int
    said_at: int


@dataclass(frozen=True, slots=True)
class Retired:
    """A file that newer ones replaced; kept for readers of older generations, then deleted."""

    path: str
    generation: int
    at: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation of one kind: bars, or a kind of event."""

    generation: int = 0
    kind: str = BARS
    written_at: int = 0
    series: Mapping[str, Series] = field(default_factory=dict)
    retired: tuple[Retired, ...] = ()
    breaks: tuple[Break, ...] = ()
    """Of instruments; in the manifest of bars, whatever else is stored of them."""

    def breaks_of(self, instrument: Instrument, as_of: int | None = None) -> tuple[int, ...]:
        """Return the moments at which a user says that an instrument became another one, as known at a moment, ms."""
        return tuple(
            one.at
            for one in sorted(self.breaks, key=lambda one: one.at)
            if (one.venue, one.symbol) == (instrument.venue, instrument.symbol)
            and (as_of is None or one.said_at <= as_of)
        )

    def with_series(self, series: Series) -> Manifest:
        """Return the manifest with one series changed; a series without any file disappears."""
        changed = {**self.series, series.key: series}
        if not (series.files or series.revisions or series.quarantine):
            del changed[series.key]
        return replace(self, series=changed)

    def readable(self) -> list[Series]:
        """Return the series that hold bars or events, in order of their keys."""
        return [self.series[key] for key in sorted(self.series) if self.series[key].files]

    def paths(self) -> set[str]:
        """Return all files that this generation names."""
        return {
            entry.path
            for series in self.series.values()
            for entries in (series.files, series.revisions, series.quarantine)
            for entry in entries
        }


E = TypeVar("E")


def _entry(kind: type[E], values: Mapping[str, Any]) -> E:
    """Read an entry: keys added by a newer writer of the same schema are left alone, absent ones get their default."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # every E here is a dataclass
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in known})


def _series(values: Mapping[str, Any]) -> Series:
    kinds = {
        "files": FileEntry,
        "gaps": Gap,
        "revisions": FileEntry,
        "quarantine": QuarantineEntry,
        "sources": Source,
        "conflicts": Conflict,
    }
    inner: dict[str, list[Any]] = {
        name: [_entry(kind, v) for v in values.get(name, ())] for name, kind in kinds.items()
    }
    return _entry(Series, {**values, **inner})


def dump(manifest: Manifest) -> bytes:
    """Write a generation as JSON whose last key is the checksum of what stands before it."""
    body = {
        "schema_version": SCHEMA_VERSION,
        **asdict(manifest),
        "series": [asdict(manifest.series[key]) for key in sorted(manifest.series)],
    }
    text = json.dumps(body, indent=1).removesuffix("\n}")
    return f'{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n'.encode()


def parse(data: bytes, name: str) -> Manifest:
    """Read a generation.

    Raises
    ------
    ManifestError
        It is truncated or was changed.
    SchemaVersionError
        It was written by a version this one cannot read.
    """
    try:
        text, _, seal = data.decode().rpartition(_SEAL)
        body = json.loads(data)
        check_version(int(body["schema_version"]), f"The lake's {name}")
        if hashlib.sha256(text.encode()).hexdigest() != seal.partition('"')[0]:
            raise ManifestError(f"{name} differs from its checksum.")
        series = [_series(values) for values in body["series"]]
        retired = tuple(_entry(Retired, values) for values in body.get("retired", ()))
        breaks = tuple(_entry(Break, values) for values in body.get("breaks", ()))
        kept = {s.key: s for s in series}
        return Manifest(int(body["generation"]), str(body["kind"]), int(body["written_at"]), kept, retired, breaks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{name} is not a manifest ({type(error).__name__}: {error}).") from None


def _named(generation: int) -> str:
    return f"manifest-{generation:06d}.json"


class Generations:
    """The folder of generations: `newest` reads, `commit` writes the next one."""

    def __init__(self, folder: Path, kind: str = BARS) -> None:
        self.folder = folder
        self.kind = kind
        self._seen: tuple[str, Manifest] | None = None
        self.damaged: tuple[str, ...] = ()
        """Names of generations newer than the one that `newest` gave, which could not be read."""

    def names(self) -> list[str]:
        """Name the generation files, newest first."""
        if not self.folder.is_dir():
            return []
        found = [(int(match[1]), path.name) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [name for _, name in sorted(found, reverse=True)]

    def newest(self) -> Manifest:
        """Read the newest generation that can be read; generation 0, empty, where none was ever written.

        Raises
        ------
        ManifestError
            Generations exist and not one can be read.
        SchemaVersionError
            The newest was written by a version this one cannot read.
        """
        names = self.names()
        if self._seen is not None and names and names[0] == self._seen[0] and not self.damaged:
            return self._seen[1]
        damaged: list[str] = []
        for name in names:
            try:
                manifest = parse((self.folder / name).read_bytes(), name)
            except FileNotFoundError:
                return self.newest()  # a writer pruned it since the folder was listed, so there are newer ones
            except ManifestError as error:
                log.warning("manifest damaged, falling back: %s Run `virtuoso data verify --rebuild`.", error)
                damaged.append(name)
                continue
            if manifest.generation == 0 and damaged:
                break  # it says what was before anything was written
            self._seen, self.damaged = (name, manifest), tuple(damaged)
            return manifest
        self.damaged = tuple(damaged)
        if damaged:
            raise ManifestError(
                f"No generation in {self.folder} can be read ({', '.join(damaged)}). The {self.kind} themselves are in "
                "the Parquet files: run `virtuoso data verify --rebuild`."
            )
        return Manifest(kind=self.kind)

    def begin(self, disk: Disk) -> None:
        """Write generation 0, empty."""
        disk.write(self.folder / _named(0), dump(Manifest(kind=self.kind)))

    def commit(self, manifest: Manifest, disk: Disk, now_ms: int) -> Manifest:
        """Write the next generation; from this moment on it is what readers see."""
        newest = max((int(match[1]) for name in self.names() if (match := _NAME.fullmatch(name))), default=0)
        following = replace(manifest, generation=max(newest, manifest.generation) + 1, written_at=now_ms)
        name = _named(following.generation)
        disk.write(self.folder / name, dump(following))
        self._seen, self.damaged = (name, following), ()
        if (empty := self.folder / _named(0)).exists():
            disk.remove(empty)  # left alone by a later loss, it would say that nothing is stored
        return following

    def prune(self, disk: Disk) -> None:
        """Delete the oldest generations and what a killed writer left of a new one."""
        if not self.folder.is_dir():
            return
        for name in self.names()[KEPT_GENERATIONS:]:
            disk.remove(self.folder / name)
        for path in self.folder.glob(f".*{TEMPORARY}"):
            disk.remove(path)
