"""The catalog: which generations the folder of a lake holds, which files they name, and the rows in these files.

Everything that reads or writes a lake takes a `Catalog`; `Lake` (lake.py) is one with the methods that users call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Env, Timeframe
from virtuoso.errors import CorruptFileError, ManifestError, StoreError
from virtuoso.files.atomic import Disk
from virtuoso.lake import seal
from virtuoso.lake.event_rows import EventRows, concat_event_rows
from virtuoso.lake.manifest import BARS, FileEntry, Generations, Manifest, Series
from virtuoso.lake.parquet import decode, decode_events, parse, read_checked
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows, concat_rows
from virtuoso.market.schema.kinds import KINDS, Kind, kind_of
from virtuoso.types import Times

R = TypeVar("R", Rows, EventRows)
T = TypeVar("T")
_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class Catalog:
    """The generations and files below one folder.

    Parameters
    ----------
    path : str or Path
        The lake's folder, such as `data/lake`, or the data root that holds it. Reading creates nothing but what
        `derived/` keeps.
    env : Env, optional
        Where the present comes from.
    disk : Disk, optional
        The file system; tests pass one that fails.
    """

    def __init__(self, path: str | Path, *, env: Env | None = None, disk: Disk | None = None) -> None:
        inside = Path(path) / "lake"
        is_root = (inside / "manifests").is_dir() and not (Path(path) / "manifests").is_dir()
        self.path = inside if is_root else Path(path)
        self.env = env or Env()
        self.disk = disk or Disk()
        self._generations: dict[str, Generations] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    # generations

    @property
    def generations(self) -> Generations:
        """The generations of bars."""
        return self.generations_of(BARS)

    def generations_of(self, kind: str) -> Generations:
        """Return the generations of bars, or of a kind of event."""
        if kind not in self._generations:
            self._generations[kind] = Generations(self.path / "manifests" / kind, kind)
        return self._generations[kind]

    def kinds(self) -> list[str]:
        """Return what is stored: bars, and the kinds of events that have a folder."""
        there = (kind for kind in KINDS if (self.path / kind).is_dir() or (self.path / "manifests" / kind).is_dir())
        return [BARS, *there]

    def manifest(self, kind: str = BARS) -> Manifest:
        """Read the newest generation of a kind.

        Raises
        ------
        ManifestError
            No generation can be read, though files are there.
        """
        generations = self.generations_of(kind)
        manifest = generations.newest()
        if not generations.names() and any((self.path / kind).rglob("part-*.parquet")):
            raise ManifestError(
                f"{self.path} holds {kind} but no manifest. Run `virtuoso data verify --rebuild` to make one from them."
            )
        return manifest

    def event_series(self, kind: str, instrument: Instrument) -> Series | None:
        """Return everything stored of one kind and instrument, or None."""
        key = Series(instrument.venue, instrument.symbol, "", kind=kind).key
        found = self.manifest(kind).series.get(key) if kind in self.kinds() else None
        return found if found is not None and found.files else None

    def consistently(self, read: Callable[[Manifest], T], kind: str = BARS) -> T:
        """Read from one generation; from a newer one if a writer has removed its files meanwhile."""
        manifest = self.manifest(kind)
        while True:
            try:
                return read(manifest)
            except (FileNotFoundError, StoreError) as error:
                newer = self.manifest(kind)
                if newer.generation > manifest.generation:
                    manifest = newer
                    continue
                if isinstance(error, StoreError):
                    raise
                raise CorruptFileError(
                    f"{error.filename} is named by generation {manifest.generation} of {self.path} but is not there. "
                    "Run `virtuoso data verify`, then import its source again."
                ) from None

    # seals

    def seals_of(self, instrument: Instrument) -> tuple[seal.Seal, ...]:
        """Return what closes history of an instrument to whoever reads now, in order of time (seal.py).

        Raises
        ------
        BrokenChainError
            A ledger of hold-outs does not hold.
        """
        return seal.in_force(self.path, instrument)

    # files

    def locate(self, file: FileEntry) -> Path:
        """Return where a file of a generation lies now; a replaced one waits among the retired."""
        path = self.path / file.path
        return path if path.exists() else self.path / "retired" / file.path

    def rows_of(self, file: FileEntry, timeframe: Timeframe) -> Rows:
        """Return the rows of bars in one stored file.

        Raises
        ------
        CorruptFileError
            Its bytes are not those that were written.
        """
        return decode(self._table_of(file), timeframe.ms)

    def event_rows_of(self, file: FileEntry, kind: Kind) -> EventRows:
        """Return the events in one stored file.

        Raises
        ------
        CorruptFileError
            Its bytes are not those that were written.
        """
        return decode_events(self._table_of(file), kind)

    def revisions(self, series: Series) -> Iterator[tuple[Rows, Times]]:
        """Yield superseded versions of bars, with the moment each stopped being the truth (ms)."""
        for file in series.revisions:
            table = self._table_of(file)
            yield decode(table, series.clock.ms), np.asarray(table.column("superseded_at").to_numpy())

    def event_revisions(self, series: Series) -> Iterator[tuple[EventRows, Times]]:
        """Yield superseded versions of events, with the moment each stopped being the truth (ms)."""
        for file in series.revisions:
            table = self._table_of(file)
            yield decode_events(table, kind_of(series.kind)), np.asarray(table.column("superseded_at").to_numpy())

    def _table_of(self, file: FileEntry) -> Any:
        """Open a stored file after comparing its checksum: 7 ms a symbol-year of 1m, so every read does it."""
        path = self.locate(file)
        return parse(read_checked(path, file.sha256), path)

    # rows

    def read(
        self,
        series: Series,
        start: int | None = None,
        end: int | None = None,
        as_of: int | None = None,
        *,
        timed: int | None = None,
    ) -> Rows:
        """Read stored rows that are not sealed.

        Parameters
        ----------
        series : Series
        start, end : int, ms, optional
            Rows that open from then on, and before.
        as_of : int, ms, optional
            What was known then.
        timed : int, ms, optional
            Of rows that open from then on only the times are used, so they are given though they may be sealed.
        """
        files = [
            file
            for file in series.files
            if (start is None or file.max_open_time >= start) and (end is None or file.min_open_time < end)
        ]
        parts = [self.rows_of(file, series.clock) for file in sorted(files, key=lambda f: f.min_open_time)]
        rows = concat_rows(parts)
        if as_of is not None:
            rows = _as_known(rows, self.revisions(series), as_of, concat_rows)
        rows = rows.sorted()
        inside = np.ones(len(rows), dtype=bool)
        if start is not None:
            inside &= rows.open_time >= start
        if end is not None:
            inside &= rows.open_time < end
        open_to_all = seal.bars_outside(rows.open_time, series.clock.ms, self.seals_of(series.instrument))
        if open_to_all is not None:
            inside &= open_to_all if timed is None else open_to_all | (rows.open_time >= timed)
        return rows if inside.all() else rows.take(inside)

    def read_events(self, series: Series, after: int | None, until: int | None, as_of: int | None) -> EventRows:
        """Read the events that arrived after a moment, up to and at another (ms), as known at `as_of`.

        Returns
        -------
        EventRows
            In order of arrival.
        """
        kind = kind_of(series.kind)
        low, high = _FIRST if after is None else after, _LAST if until is None else until
        parts = [self.event_rows_of(file, kind) for file in files_within(series, low, high)]
        seals = self.seals_of(series.instrument)
        if as_of is None:
            return concat_event_rows([_within(part, low, high, seals) for part in parts], kind).sorted()

        def joined(parts: Sequence[EventRows]) -> EventRows:
            return concat_event_rows(parts, kind)

        return _within(_as_known(joined(parts), self.event_revisions(series), as_of, joined), low, high, seals).sorted()


def _as_known(newest: R, revisions: Iterable[tuple[R, Times]], moment: int, joined: Callable[[Sequence[R]], R]) -> R:
    """Return the rows as they were known at a moment.

    Of each row the version counts that was superseded first after the moment, the newest one where none was. Versions
    that were superseded before they could be known were never read by anyone.
    """
    parts, ends = [newest], [np.full(len(newest), _LAST)]
    for rows, until in revisions:
        later = (until > moment) & (until > rows.read_from)
        parts.append(rows.take(later))
        ends.append(until[later])
    rows, until = joined(parts), np.concatenate(ends)
    if len(rows) > len(newest):
        numbers = rows.numbers()
        first = np.lexsort((until, numbers))
        first = first[np.diff(numbers[first], prepend=-1) != 0]
        rows = rows.take(np.sort(first))
    return rows.take(rows.known_by(moment))


def files_within(series: Series, after: int, until: int) -> list[FileEntry]:
    """Return the files that hold events which arrived after a moment, up to and at another (ms)."""
    return [file for file in series.files if file.max_available_at > after and file.min_available_at <= until]


def _within(rows: EventRows, after: int, until: int, seals: Sequence[seal.Seal]) -> EventRows:
    """Events that arrived after a moment, up to and at another, and are not sealed."""
    inside = (rows.available_at > after) & (rows.available_at <= until)
    open_to_all = seal.events_outside(rows.event_time, rows.available_at, seals)
    if open_to_all is not None:
        inside &= open_to_all
    return rows if inside.all() else rows.take(inside)


class EventReader:
    """Reads events of an instrument stretch by stretch; files that two stretches share are decoded once.

    Parameters
    ----------
    catalog : Catalog
    instrument : Instrument
    kinds : sequence of str
        Those to read.
    as_of : int, ms, optional
        What was known then.
    """

    def __init__(
        self, catalog: Catalog, instrument: Instrument, kinds: Sequence[str], as_of: int | None = None
    ) -> None:
        self.catalog = catalog
        self.instrument = instrument
        self.as_of = as_of
        found = {kind: catalog.event_series(kind, instrument) for kind in kinds}
        self.series = {kind: series for kind, series in found.items() if series is not None}
        self.seals = catalog.seals_of(instrument)
        self._decoded: dict[str, dict[str, EventRows]] = {kind: {} for kind in self.series}

    def files(self, kinds: Sequence[str], after: int, until: int) -> list[str]:
        """Return checksums of the files of some kinds that hold what arrived after a moment, up to and at another."""
        series = [self.series[kind] for kind in kinds if kind in self.series]
        return [file.sha256 for one in series for file in files_within(one, after, until)]

    def between(self, after: int | None, until: int) -> dict[str, Events]:
        """Return events of each kind that arrived after a moment, up to and at another (ms), in order of arrival."""
        return {kind: self._between(series, after, until) for kind, series in self.series.items()}

    def _between(self, series: Series, after: int | None, until: int) -> Events:
        if self.as_of is not None:
            return self.catalog.read_events(series, after, until, self.as_of).events()
        kind, low = kind_of(series.kind), _FIRST if after is None else after
        before, now = self._decoded[series.kind], {}
        for file in files_within(series, low, until):
            now[file.path] = before[file.path] if file.path in before else self.catalog.event_rows_of(file, kind)
        self._decoded[series.kind] = dict(list(now.items())[-2:])
        return (
            concat_event_rows([_within(rows, low, until, self.seals) for rows in now.values()], kind).sorted().events()
        )
