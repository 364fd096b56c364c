"""Writing to the lake: gather, merge, commit.

1. `add` merges batches of new rows into the partitions they touch, in memory (staged.py): all of them, or none where
   its caller refuses what would become of one.
2. `commit` writes each changed partition as a new file, then the revisions, then the next manifest of their kind
   (`KindTransaction`). Only the manifest's rename makes any of it visible; a process killed before it leaves files that
   nobody names. Kinds are committed one after the other; importing the same files again completes what a kill cut
   short.
3. Replaced files are moved to `retired/`, where readers of older generations still find them, and deleted after a
   grace period (maintenance.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import StoreError
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.event_rows import EventRows, rows_of_events
from virtuoso.lake.manifest import BARS, Manifest, Retired, Series, Source
from virtuoso.lake.writing.event_merge import MergedCounts, MergedEvents
from virtuoso.lake.writing.files import LakeFiles, RejectedRows
from virtuoso.lake.writing.staged import Staged, StagedBars, StagedEvents
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows

log = logging.getLogger(__name__)


class KindTransaction:
    """The files of one kind, and the one generation that names them.

    Parameters
    ----------
    catalog : Catalog
        Whose lock is held.
    kind : str
        'bars', or a name of market/schema/kinds.py.
    strays : sequence of str
        Files among the retired that no generation knows of.

    Attributes
    ----------
    manifest : Manifest
        The generation it builds on; the new one after `publish`.
    """

    def __init__(self, catalog: Catalog, kind: str, strays: Sequence[str] = ()) -> None:
        self.catalog = catalog
        self.kind = kind
        self.manifest = catalog.manifest(kind)
        self._strays = strays
        self.history = {key: (s.first, s.last) for key, s in self.manifest.series.items() if s.files}
        """Extent of each series when writing began, ms: what comes inside it is late."""

    def begin(self) -> None:
        """Write generation 0 before the first file: cut short, a first write is then no lost manifest."""
        generations = self.catalog.generations_of(self.kind)
        if not generations.names():
            generations.begin(self.catalog.disk)

    def take(self, written: Iterable[Series]) -> None:
        """Publish changed series; without a change, nothing is written."""
        manifest = self.manifest
        for series in written:
            manifest = manifest.with_series(series)
        if manifest.series != self.manifest.series:
            self.publish(manifest)

    def publish(self, manifest: Manifest) -> None:
        """Write the next generation and retire the files that it does not name any more."""
        now_ms, root, disk = self.catalog.env.now_ms(), self.catalog.path, self.catalog.disk
        before = self.manifest
        gone = sorted((before.paths() | set(self._strays)) - manifest.paths())
        waiting = [file for file in manifest.retired if (root / "retired" / file.path).exists()]
        retired = (*waiting, *(Retired(path, before.generation, now_ms) for path in gone))
        generations = self.catalog.generations_of(self.kind)
        self.manifest = generations.commit(replace(manifest, retired=retired), disk, now_ms)
        self._strays = ()
        for path in gone:
            try:
                disk.move(root / path, root / "retired" / path)
            except OSError as error:  # the new generation stands; the next writer sweeps what is left
                log.warning("%s could not be retired: %s", path, error)


@dataclass(frozen=True, slots=True)
class Batch:
    """New rows of one series, from one source.

    Attributes
    ----------
    instrument : Instrument
    rows : Rows or Events
        Validated: bars in order, one a bar, all traded; events in order of arrival, each once.
    timeframe : Timeframe or None
        Of bars.
    superseded : Rows or Events, or None
        Earlier versions of the same rows in the same source.
    refused : RejectedRows or None
        Rows for the quarantine.
    source : tuple of (str, str, int)
        Name and sha256 of the file the rows come from, and how many it held.
    """

    instrument: Instrument
    rows: Rows | Events
    timeframe: Timeframe | None = None
    superseded: Rows | Events | None = None
    refused: RejectedRows | None = None
    source: tuple[str, str, int] = ("", "", 0)

    @property
    def series(self) -> Series:
        """Return the series that it belongs to."""
        kind = self.rows.kind.name if isinstance(self.rows, Events) else BARS
        clock = "" if self.timeframe is None else self.timeframe.name
        return Series(self.instrument.venue, self.instrument.symbol, clock, kind=kind)


Check = Callable[[Batch, MergedCounts, Mapping[str, MergedEvents]], None]
"""Raises where a batch must not be taken, for what became of it and, of events, the partitions it is in."""


def _stored_form(rows: Rows | Events) -> Rows | EventRows:
    return rows_of_events(rows) if isinstance(rows, Events) else rows


class Writer:
    """The one who may change a lake; `with lake.writing() as writer`.

    Attributes
    ----------
    pending_rows : int
        Rows gathered and not committed yet.
    bytes_written : int
        By all commits so far, manifests not counted.
    """

    def __init__(self, catalog: Catalog, strays: Mapping[str, Sequence[str]] | None = None) -> None:
        self.catalog = catalog
        self.pending_rows = 0
        self.bytes_written = 0
        self._strays = strays or {}
        self._transactions: dict[str, KindTransaction] = {}
        self._staged: dict[str, Staged[Any]] = {}

    @property
    def manifest(self) -> Manifest:
        """The generation of bars that it builds on; the new one after `commit`."""
        return self.of_kind(BARS).manifest

    def of_kind(self, kind: str) -> KindTransaction:
        """One kind of the lake, bars or events."""
        if kind not in self._transactions:
            self._transactions[kind] = KindTransaction(self.catalog, kind, self._strays.get(kind, ()))
        return self._transactions[kind]

    def add(self, *batches: Batch, check: Check | None = None) -> list[MergedCounts]:
        """Merge batches of new rows, all or none; nothing is written before `commit`.

        Parameters
        ----------
        *batches : Batch
        check : callable, optional
            Called with each batch and what becomes of it, before any is taken; where it raises, none is.

        Returns
        -------
        list of MergedCounts
            What became of each batch.
        """
        now_ms = self.catalog.env.now_ms()
        touched: dict[str, Staged[Any]] = {}
        found = []
        for batch in batches:
            home = batch.series.home
            staged = touched[home] = touched.get(home) or self._staged_of(batch.series).copy()
            counts, partitions = staged.put(_stored_form(batch.rows), now_ms)
            if check is not None:
                check(batch, counts, partitions)
            if counts.changed:
                rule = staged.rule + ("; late rows at import" if counts.late else "")
                staged.sources.append(Source(*batch.source, counts.stored, counts.revised, counts.late, rule, now_ms))
            if batch.superseded is not None and len(batch.superseded):
                new, n = staged.take_superseded(_stored_form(batch.superseded)), len(batch.superseded)
                counts = replace(counts, revised=counts.revised + new, duplicates=counts.duplicates + n - new)
            if batch.refused is not None and batch.refused.rows:
                staged.refused.append((batch.source[0], batch.refused))
            found.append(counts)
        self._staged |= touched
        self.pending_rows += sum(len(batch.rows) for batch in batches)
        return found

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Take back all that is added inside where an exception leaves the block."""
        staged, rows = dict(self._staged), self.pending_rows
        try:
            yield
        except BaseException:
            self._staged, self.pending_rows = staged, rows
            raise

    def commit(self) -> Manifest:
        """Make everything added so far visible, in one step a kind. Without a change, not one byte is written.

        Raises
        ------
        StoreError
            The disk refused; the lake is as it was before, or holds some kinds of what was added, whole.
        """
        kinds = sorted({staged.series.kind for staged in self._staged.values()})
        done = ""
        try:
            for kind in kinds:
                done = kind
                self._commit(self.of_kind(kind))
        except OSError as error:
            transaction = self.of_kind(done)
            seen = self.catalog.generations_of(done).newest().generation > transaction.manifest.generation
            before = f"; {', '.join(kinds[: kinds.index(done)])} are stored" if kinds.index(done) else ""
            raise StoreError(
                f"Writing {done} to {self.catalog.path} failed ({error.strerror or error}); "
                f"{f'the new {done} are there, but may not survive a power cut' if seen else 'the lake is as it was'}"
                f"{before}. Free some space or mend the disk, then run the same command again."
            ) from error
        finally:
            self._staged.clear()
            self.pending_rows = 0
        return self.manifest

    def _commit(self, transaction: KindTransaction) -> None:
        """Write what changed of one kind."""
        files = LakeFiles(
            self.catalog.path, self.catalog.disk, transaction.manifest.generation + 1, self.catalog.env.now_ms()
        )
        changes = [staged for staged in self._staged.values() if staged.series.kind == transaction.kind]
        if any(staged.changed or staged.refused or staged.versions for staged in changes):
            transaction.begin()
        transaction.take([staged.written(files) for staged in changes])
        self.bytes_written += files.written

    def _staged_of(self, new: Series) -> Staged[Any]:
        """What is staged of a series so far; what is stored of it if nothing is."""
        found = self._staged.get(new.home)
        if found is None:
            series, history = self._stored(new)
            if new.kind == BARS:
                bars = [rows for rows, _ in self.catalog.revisions(series)]
                found = StagedBars(self.catalog, series, history, bars)
            else:
                events = [rows for rows, _ in self.catalog.event_revisions(series)]
                found = StagedEvents(self.catalog, series, history, events)
            self._staged[new.home] = found
        return found

    def _stored(self, new: Series) -> tuple[Series, tuple[int, int] | None]:
        """What is stored of a series, and its extent when writing began."""
        transaction = self.of_kind(new.kind)
        return transaction.manifest.series.get(new.key, new), transaction.history.get(new.key)
