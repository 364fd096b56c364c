"""Writing to the lake: gather, merge, commit.

1. `add` merges new bars into the months they touch, `add_events` new events into their days or months, in memory
   (staged.py).
2. `commit` writes each changed partition as a new file, then the revisions, then the next manifest of their kind
   (`KindTransaction`). Only the manifest's rename makes any of it visible; a process killed before it leaves files that
   nobody names. Kinds are committed one after the other; importing the same files again completes what a kill cut
   short.
3. Replaced files are moved to `retired/`, where readers of older generations still find them, and deleted after a
   grace period (maintenance.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import StoreError
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.event_rows import rows_of_events
from virtuoso.lake.manifest import BARS, Manifest, Retired, Series, Source
from virtuoso.lake.writing.event_merge import MergedCounts, MergedEvents
from virtuoso.lake.writing.files import LakeFiles, RejectedRows
from virtuoso.lake.writing.merge import Merged
from virtuoso.lake.writing.staged import StagedBars, StagedEvents
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
        self._staged: dict[str, StagedBars | StagedEvents] = {}

    @property
    def manifest(self) -> Manifest:
        """The generation of bars that it builds on; the new one after `commit`."""
        return self.of_kind(BARS).manifest

    def of_kind(self, kind: str) -> KindTransaction:
        """One kind of the lake, bars or events."""
        if kind not in self._transactions:
            self._transactions[kind] = KindTransaction(self.catalog, kind, self._strays.get(kind, ()))
        return self._transactions[kind]

    def preview(self, instrument: Instrument, timeframe: Timeframe, incoming: Rows) -> Merged:
        """Merge new bars without taking the result.

        Parameters
        ----------
        instrument : Instrument
        timeframe : Timeframe
        incoming : Rows
            As validation accepts them: in order, one a bar, all traded.
        """
        return self._staged_bars(instrument, timeframe).merged(incoming, self.catalog.env.now_ms())

    def add(
        self,
        instrument: Instrument,
        timeframe: Timeframe,
        incoming: Rows,
        superseded: Rows | None = None,
        refused: RejectedRows | None = None,
        source: tuple[str, str, int] = ("", "", 0),
        merged: Merged | None = None,
    ) -> Merged:
        """Merge new bars; nothing is written before `commit`.

        Parameters
        ----------
        instrument, timeframe, incoming
            As for `preview`.
        superseded : Rows, optional
            Earlier versions of the same bars in the same source.
        refused : RejectedRows, optional
            Rows for the quarantine.
        source : tuple of (str, str, int)
            Name and sha256 of the file the rows come from, and how many it held.
        merged : Merged, optional
            What `preview` gave for the same rows.
        """
        staged = self._staged_bars(instrument, timeframe)
        merged = merged or self.preview(instrument, timeframe, incoming)
        staged.take(merged)
        if merged.touched.any():
            rule = "close; late rows at import" if merged.late else "close"
            counts = (merged.stored, merged.revised, merged.late)
            staged.sources.append(Source(*source, *counts, rule, self.catalog.env.now_ms()))
        if superseded is not None and len(superseded):
            new = staged.take_superseded(superseded)
            merged = replace(merged, revised=merged.revised + new, duplicates=merged.duplicates + len(superseded) - new)
        if refused is not None and refused.rows:
            staged.refused.append((source[0], refused))
        self.pending_rows += len(incoming)
        return merged

    def preview_events(self, instrument: Instrument, events: Events) -> dict[str, MergedEvents]:
        """Merge new events without taking the result: what becomes of each partition.

        Parameters
        ----------
        instrument : Instrument
        events : Events
            As validation accepts them: in order of arrival, each once.
        """
        staged = self._staged_events(instrument, events.kind.name)
        return staged.merged(rows_of_events(events), self.catalog.env.now_ms())

    def add_events(
        self,
        instrument: Instrument,
        events: Events,
        superseded: Events | None = None,
        refused: RejectedRows | None = None,
        source: tuple[str, str, int] = ("", "", 0),
    ) -> MergedCounts:
        """Merge new events; nothing is written before `commit`.

        Parameters
        ----------
        instrument, events
            As for `preview_events`.
        superseded : Events, optional
            Earlier versions of the same events in the same source.
        refused : RejectedRows, optional
            Rows for the quarantine.
        source : tuple of (str, str, int)
            Name and sha256 of the file the events come from, and how many rows it held.
        """
        staged = self._staged_events(instrument, events.kind.name)
        merged = self.preview_events(instrument, events)
        counts = MergedCounts.of(merged.values())
        staged.take(merged)
        if counts.changed:
            rule = "received, else the event and its kind's lag" + ("; late rows at import" if counts.late else "")
            now_ms = self.catalog.env.now_ms()
            staged.sources.append(Source(*source, counts.stored, counts.revised, counts.late, rule, now_ms))
        if superseded is not None and len(superseded):
            new = staged.take_superseded(rows_of_events(superseded))
            counts = replace(counts, revised=counts.revised + new, duplicates=counts.duplicates + len(superseded) - new)
        if refused is not None and refused.rows:
            staged.refused.append((source[0], refused))
        self.pending_rows += len(events)
        return counts

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

    def _staged_bars(self, instrument: Instrument, timeframe: Timeframe) -> StagedBars:
        new = Series(instrument.venue, instrument.symbol, timeframe.name)
        staged = self._staged.get(new.home)
        if not isinstance(staged, StagedBars):
            series, history = self._stored(new)
            staged = StagedBars(self.catalog, series, history, [rows for rows, _ in self.catalog.revisions(series)])
            self._staged[new.home] = staged
        return staged

    def _staged_events(self, instrument: Instrument, kind: str) -> StagedEvents:
        new = Series(instrument.venue, instrument.symbol, "", kind=kind)
        staged = self._staged.get(new.home)
        if not isinstance(staged, StagedEvents):
            series, history = self._stored(new)
            staged = StagedEvents(
                self.catalog, series, history, [rows for rows, _ in self.catalog.event_revisions(series)]
            )
            self._staged[new.home] = staged
        return staged

    def _stored(self, new: Series) -> tuple[Series, tuple[int, int] | None]:
        """What is stored of a series, and its extent when writing began."""
        transaction = self.of_kind(new.kind)
        return transaction.manifest.series.get(new.key, new), transaction.history.get(new.key)
