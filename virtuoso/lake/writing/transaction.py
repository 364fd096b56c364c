"""Writing to the lake: gather, merge, commit.

1. `add` merges batches of new rows into the partitions they touch, in memory (staged.py): all of them, or none where
   its caller refuses what would become of one. `savepoint` does the same for all that a block adds, such as the chunks
   of a file.
2. What does not fit into memory is written early, under its final name (pieces.py); no manifest names it yet.
3. `commit` writes what is left of the changed partitions, then the revisions, then the next manifest of their kind
   (`KindTransaction`). Only the manifest's rename makes any of it visible; a process killed before it leaves files that
   nobody names. Kinds are committed one after the other; importing the same files again completes what a kill cut
   short.
4. Replaced files are moved to `retired/`, where readers of older generations still find them, and deleted after a
   grace period (maintenance.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import StoreError
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.event_rows import EventRows, concat_event_rows, rows_of_events
from virtuoso.lake.manifest import BARS, Manifest, Retired, Series
from virtuoso.lake.writing.event_merge import MergedEvents
from virtuoso.lake.writing.files import LakeFiles, RejectedRows
from virtuoso.lake.writing.staged import Staged, staged_series
from virtuoso.lake.writing.versions import MergedCounts
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows, concat_rows

HELD_ROWS = 250_000
"""Rows that stay in memory between two calls of `add`."""

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
        What else the same source tells of the same rows: versions like those in `rows`.
    refused : RejectedRows or None
        Rows for the quarantine.
    source : tuple of (str, str, int)
        Name and sha256 of the file the rows come from, and how many it held, or this chunk of it.
    rank : int
        How far the source is believed where sources disagree (ingest/source_rank.py).
    """

    instrument: Instrument
    rows: Rows | Events
    timeframe: Timeframe | None = None
    superseded: Rows | Events | None = None
    refused: RejectedRows | None = None
    source: tuple[str, str, int] = ("", "", 0)
    rank: int = 0

    @property
    def series(self) -> Series:
        """Return the series that it belongs to."""
        kind = self.rows.kind.name if isinstance(self.rows, Events) else BARS
        clock = "" if self.timeframe is None else self.timeframe.name
        return Series(self.instrument.venue, self.instrument.symbol, clock, kind=kind)


Check = Callable[[Batch, MergedCounts, Mapping[str, MergedEvents]], None]
"""Raises where a batch must not be taken, for what became of it and, of events, the partitions it is in."""


def _stored_form(batch: Batch) -> Rows | EventRows:
    """All that a batch tells, as it is stored: one NaN, one zero."""
    parts = [batch.rows] if batch.superseded is None else [batch.rows, batch.superseded]
    rows: Rows | EventRows
    if isinstance(batch.rows, Events):
        rows = concat_event_rows([rows_of_events(part) for part in parts if isinstance(part, Events)], batch.rows.kind)
    else:
        rows = concat_rows([part for part in parts if isinstance(part, Rows)])
    columns = {name: _plain(values) for name, values in rows.columns.items()}
    return replace(rows, columns=columns, source_rank=np.full(len(rows), batch.rank, dtype=np.int16))


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in one form: equal numbers are equal bits."""
    return np.where(np.isnan(values), np.nan, values + 0.0) if values.dtype.kind == "f" else values


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
        self._before: list[dict[str, Staged[Any]]] = []
        self._spilled: set[str] = set()

    @property
    def manifest(self) -> Manifest:
        """The generation of bars that it builds on; the new one after `commit`."""
        return self.of_kind(BARS).manifest

    def of_kind(self, kind: str) -> KindTransaction:
        """One kind of the lake, bars or events."""
        if kind not in self._transactions:
            self._transactions[kind] = KindTransaction(self.catalog, kind, self._strays.get(kind, ()))
        return self._transactions[kind]

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Take everything that a block adds, or nothing of it where the block ends in an error.

        Rows, superseded versions, rows for the quarantine, sources and gaps are as they were before the block then.
        Savepoints may stand inside each other; nothing is committed inside one.
        """
        before, pending_rows = dict(self._staged), self.pending_rows
        self._before.append(before)
        try:
            yield
        except BaseException:
            self._staged, self.pending_rows = before, pending_rows
            raise
        finally:
            self._before.pop()
            self._forget_spilled()

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
            rows = _stored_form(batch)
            counts, partitions = staged.put(rows, batch.source, now_ms)
            if check is not None:
                check(batch, counts, partitions)
            staged.note(batch.source, rows, counts, now_ms)
            if batch.refused is not None and batch.refused.rows:
                staged.refuse(batch.source, batch.refused)
            found.append(counts)
        self._staged |= touched
        self.pending_rows += sum(len(batch.rows) for batch in batches)
        self._spill()
        return found

    def _spill(self) -> None:
        """Write early what does not fit into memory."""
        if sum(staged.rows_in_memory for staged in self._staged.values()) <= HELD_ROWS:
            return
        try:
            for home, staged in self._staged.items():
                if staged.rows_in_memory:
                    self._staged[home] = self._spilled_copy(staged)
        except OSError as error:
            raise StoreError(
                f"Writing to {self.catalog.path} failed ({error.strerror or error}); the lake is as it was. Free some "
                "space or mend the disk, then run the same command again."
            ) from error
        self._forget_spilled()

    def _spilled_copy(self, staged: Staged[Any]) -> Staged[Any]:
        """The same series, all of it in files."""
        files, after = self.files_of(staged.series.kind), staged.copy()
        try:
            after.spill(files, HELD_ROWS // 2)
        finally:
            self._spilled |= after.paths() - {file.path for file in (*staged.series.files, *staged.series.revisions)}
            self.bytes_written += files.written
        return after

    def _forget_spilled(self) -> None:
        """Delete what was written early and is not needed any more."""
        states = [*self._before, self._staged]
        needed = {path for state in states for staged in state.values() for path in staged.paths()}
        needed.update(*(transaction.manifest.paths() for transaction in self._transactions.values()))
        for path in sorted(self._spilled - needed):
            with suppress(OSError):  # the next writer sweeps what is left
                self.catalog.disk.remove(self.catalog.path / path)
        self._spilled &= needed

    def forget(self) -> None:
        """Drop everything that was added and not committed."""
        self._staged.clear()
        self.pending_rows = 0
        self._forget_spilled()

    def commit(self) -> Manifest:
        """Make everything added so far visible, in one step a kind. Without a change, not one byte is written.

        Raises
        ------
        StoreError
            The disk refused; the lake is as it was before, or holds some kinds of what was added, whole.
        """
        if self._before:
            raise ValueError("commit() was called inside a savepoint. Call it after the block.")
        kinds = sorted({staged.series.kind for staged in self._staged.values()})
        done = ""
        try:
            for kind in kinds:
                done = kind
                self._commit(self.of_kind(kind))
        except OSError as error:
            transaction = self.of_kind(done)
            self._spilled.clear()  # what a new generation may name is left to the next writer
            seen = self.catalog.generations_of(done).newest().generation > transaction.manifest.generation
            before = f"; {', '.join(kinds[: kinds.index(done)])} are stored" if kinds.index(done) else ""
            raise StoreError(
                f"Writing {done} to {self.catalog.path} failed ({error.strerror or error}); "
                f"{f'the new {done} are there, but may not survive a power cut' if seen else 'the lake is as it was'}"
                f"{before}. Free some space or mend the disk, then run the same command again."
            ) from error
        finally:
            self.forget()
        return self.manifest

    def _commit(self, transaction: KindTransaction) -> None:
        """Write what changed of one kind."""
        changes = [staged for staged in self._staged.values() if staged.series.kind == transaction.kind]
        if any(staged.changes for staged in changes):
            files = self.files_of(transaction.kind)
            transaction.take([staged.written(files) for staged in changes])
            self.bytes_written += files.written

    def files_of(self, kind: str) -> LakeFiles:
        """Return what writes the files of the next generation of a kind, whose first one there is by now."""
        transaction = self.of_kind(kind)
        transaction.begin()
        return LakeFiles(
            self.catalog.path, self.catalog.disk, transaction.manifest.generation + 1, self.catalog.env.now_ms()
        )

    def _staged_of(self, new: Series) -> Staged[Any]:
        """What is staged of a series so far; what is stored of it if nothing is."""
        found = self._staged.get(new.home)
        if found is None:
            series, history = self._stored(new)
            found = staged_series(self.catalog, series, history)
            self._staged[new.home] = found
        return found

    def _stored(self, new: Series) -> tuple[Series, tuple[int, int] | None]:
        """What is stored of a series, and its extent when writing began."""
        transaction = self.of_kind(new.kind)
        return transaction.manifest.series.get(new.key, new), transaction.history.get(new.key)
