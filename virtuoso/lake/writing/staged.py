"""Series of the lake while they are being changed: partitions in memory, and what is written of them.

1. `put` merges new rows into the stored ones. A `copy` lets its caller see what becomes of them and think again.
2. `written` writes the partitions that changed, the versions that do not hold and the rows that were rejected.

Events are merged a piece of a partition at a time (event_merge.py); bars stretch by stretch, since a gap may reach over
the end of a month (merge.py). Pieces that are not needed any more are written early (pieces.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from virtuoso.lake.catalog import Catalog
from virtuoso.lake.coverage import ledger
from virtuoso.lake.event_rows import EventRows, concat_event_rows
from virtuoso.lake.manifest import BARS, Conflict, FileEntry, Gap, Series, Source
from virtuoso.lake.writing.event_merge import MergedEvents, merge_events
from virtuoso.lake.writing.files import LakeFiles, RejectedRows, times_of
from virtuoso.lake.writing.merge import Merged, merge, missing_stretches
from virtuoso.lake.writing.pieces import Pieces
from virtuoso.lake.writing.versions import UNION, MergedCounts, Superseded, open_conflicts
from virtuoso.market.gaps import TRADED, policy_for
from virtuoso.market.rows import Rows, concat_rows, empty_rows
from virtuoso.market.schema.kinds import Kind, kind_of
from virtuoso.types import Times

REACH = 8  # rows beside new bars that may change with them: a gap is filled by at most five flat rows

_NEVER = int(np.iinfo(np.int64).max)

SourceOf = tuple[str, str, int]
"""Name and sha256 of a file, and how many rows it or this chunk of it holds."""
R = TypeVar("R", Rows, EventRows)


@dataclass(slots=True)
class Staged(ABC, Generic[R]):
    """One series while it is being changed.

    Attributes
    ----------
    catalog : Catalog
    series : Series
    history : tuple of int, ms, or None
        Its extent when writing began, since the files of one import may come in any order.
    pieces : Pieces
        Its partitions, as they are by now.
    revisions : list of FileEntry
        Files of versions that do not hold, those that were written early included.
    superseded : list of Superseded
        Further versions that do not hold, in memory.
    refused : dict of (str, str) to RejectedRows
        Rows for the quarantine, by name and sha256 of their source.
    sources : dict of (str, str) to Source
        The same of what sources added and changed; they are listed once they did.
    telling : set of (str, str)
        Those of the sources that told anything new.
    disputed : set of str
        Partitions of which versions disagree.
    ends : dict of (str, str) to (int, int)
        Last moment of arrival (ms) in the chunk of a source before, and how many of its events arrived in it so far.
    """

    rule: ClassVar[str]
    """From when its rows count, in words."""

    catalog: Catalog
    series: Series
    history: tuple[int, int] | None
    pieces: Pieces[R] = field(init=False)
    revisions: list[FileEntry] = field(init=False)
    superseded: list[Superseded[R]] = field(default_factory=list)
    refused: dict[tuple[str, str], RejectedRows] = field(default_factory=dict)
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    telling: set[tuple[str, str]] = field(default_factory=set)
    disputed: set[str] = field(default_factory=set)
    ends: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pieces = Pieces(self.series, self._read, self._joined([]))
        self.revisions = list(self.series.revisions)

    def copy(self) -> Self:
        """Return staged rows that go on from here, while this one stays as it is."""
        other = replace(
            self,
            superseded=list(self.superseded),
            refused=dict(self.refused),
            sources=dict(self.sources),
            telling=set(self.telling),
            disputed=set(self.disputed),
            ends=dict(self.ends),
        )
        other.pieces, other.revisions = self.pieces.copy(), list(self.revisions)
        return other

    def note(self, source: SourceOf, rows: R, counts: MergedCounts, now_ms: int) -> None:
        """Remember what became of rows of a source; what its chunks did adds up."""
        name, sha256, n = source
        times = times_of(rows)
        before = self.sources.get((name, sha256))
        if before is None:
            before = Source(name, sha256, 0, 0, 0, 0, self.rule, now_ms, first=_NEVER, last=0)
        if counts.changed:
            self.telling.add((name, sha256))
        late = before.late + counts.late
        self.sources[name, sha256] = replace(
            before,
            rows=before.rows + n,
            stored=before.stored + counts.stored,
            revisions=before.revisions + counts.revised,
            late=late,
            available_at=self.rule + ("; late rows at import" if late else ""),
            conflicts=before.conflicts + counts.conflicts,
            first=int(times.min(initial=before.first)),
            last=int(times.max(initial=before.last)),
        )

    def refuse(self, source: SourceOf, refused: RejectedRows) -> None:
        """Keep rows for the quarantine; those of the chunks of a source follow each other."""
        before = self.refused.get(source[:2], RejectedRows())
        self.refused[source[:2]] = before.followed_by(refused)

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        early = len(self.revisions) > len(self.series.revisions)
        return bool(self.pieces.changed or self.superseded or early or self.refused)

    @property
    def rows_in_memory(self) -> int:
        """Rows and versions that lie in memory."""
        return self.pieces.rows_in_memory + self._versions_in_memory

    @property
    def _versions_in_memory(self) -> int:
        return sum(len(one.rows) for one in self.superseded)

    def paths(self) -> set[str]:
        """Return the files of its rows and versions, those that were written early included."""
        return self.pieces.paths() | {file.path for file in self.revisions}

    def spill(self, files: LakeFiles, few: int = 0) -> None:
        """Write what changed, and keep nothing in memory but a few versions."""
        self.pieces.spill(files)
        if self._versions_in_memory > few:
            rows = self._joined([one.rows for one in self.superseded])
            until = np.concatenate([one.until for one in self.superseded])
            revised = sum(one.revised for one in self.superseded)
            names = sorted({name for name, _ in self.sources})
            self.revisions.append(files.revisions(self.series, rows, until, names, revised))
            self.superseded.clear()

    def written(self, files: LakeFiles) -> Series:
        """Write what changed."""
        series = self.series
        self.spill(files)
        new = [source for key, source in self.sources.items() if key in self.telling]
        quarantine = {entry.path: entry for entry in series.quarantine}
        for (source, _), refused in self.refused.items():
            entry = files.quarantine(series, source, refused)
            quarantine.setdefault(entry.path, entry)
        parts = self.pieces.stored()
        return replace(
            series,
            files=tuple(parts),
            gaps=self._gaps(parts),
            revisions=tuple(self.revisions),
            quarantine=tuple(quarantine.values()),
            sources=series.sources + tuple(new),
            conflicts=self._conflicts(),
        )

    def counted_again(self) -> Series:
        """Return the series with its gaps and conflicts counted anew, after files were taken out or put back."""
        self.disputed |= {file.month for file in self.series.files}
        return replace(self.series, gaps=gaps_of(self.catalog, self.series), conflicts=self._conflicts())

    def _versions(self, times: Times) -> R:
        """All versions among the revisions from the first of some moments to the last."""
        if len(times) == 0:
            return self._joined([])
        low, high = times.min(), times.max()
        parts = [
            self._read(file) for file in self.revisions if file.min_open_time <= high and file.max_open_time >= low
        ]
        parts.extend(one.rows for one in self.superseded)
        return self._joined([rows.take((times_of(rows) >= low) & (times_of(rows) <= high)) for rows in parts])

    def _supersede(self, superseded: Superseded[R], disputed: Times, source: SourceOf) -> tuple[str, ...]:
        """Keep versions that do not hold, and who disagrees about them; name the other sources."""
        if len(superseded.rows):
            self.superseded.append(superseded)
        if len(disputed) == 0:
            return ()
        partitions = {name for (name, _), _ in self.pieces.places(disputed)}
        self.disputed |= partitions
        others = {name for partition in partitions for name in self._telling(partition, disputed)}
        return tuple(sorted(others - {source[0]}))

    def _telling(self, partition: str, times: Times) -> set[str]:
        """Names of the sources that tell of the stretch of some moments in a partition, as far as is known."""
        stored = {name for file in self.series.files if file.month == partition for name in file.sources}
        found = {one.name for one in self.series.sources if one.last == 0} & stored  # when they begin is not known
        for one in (*self.series.sources, *self.sources.values()):
            if one.first <= times.max() and one.last >= times.min():
                found.add(one.name)
        return found - {""}

    def _conflicts(self) -> tuple[Conflict, ...]:
        """The ledger of conflicts, once everything is written; it is counted again where anything changed."""
        found = {one.partition: one for one in self.series.conflicts if one.partition not in self.disputed}
        for name in self.pieces.changed | self.disputed:
            times = self._disputed_times(name)
            found[name] = Conflict(name, len(times), tuple(sorted(self._telling(name, times))) if len(times) else ())
        return tuple(found[name] for name in sorted(found) if found[name].rows)

    def _disputed_times(self, partition: str) -> Times:
        """Times of the rows of a partition of which versions disagree; one of its files is held at a time."""
        found: list[Times] = [np.empty(0, dtype=np.int64)]
        for file in self.pieces.files_of(partition):
            versions = self._told(self._versions(np.array([file.min_open_time, file.max_open_time])))
            if len(versions):
                rows = self._read(file)
                near = rows.take(np.isin(times_of(rows), times_of(versions)))
                found.append(times_of(open_conflicts(near, versions, self._joined)))
        return np.concatenate(found)

    @abstractmethod
    def put(self, incoming: R, source: SourceOf, now_ms: int) -> tuple[MergedCounts, Mapping[str, MergedEvents]]:
        """Merge new rows of a source; return what became of them and, of events, the partitions they are in."""

    @abstractmethod
    def _read(self, file: FileEntry) -> R:
        """Rows of one stored file."""

    @abstractmethod
    def _joined(self, parts: Sequence[R]) -> R:
        """Rows one after the other."""

    def _told(self, versions: R) -> R:
        """Those of some versions that a source has told, and that were not put together or filled in."""
        return versions.take(versions.source_rank != UNION)

    @abstractmethod
    def _gaps(self, files: Sequence[FileEntry]) -> tuple[Gap, ...]:
        """The ledger, once the changed partitions are among the files."""


class StagedBars(Staged[Rows]):
    """One series of bars while it is being changed; its partitions are months."""

    rule = "close"

    def put(self, incoming: Rows, source: SourceOf, now_ms: int) -> tuple[MergedCounts, Mapping[str, MergedEvents]]:
        """Merge new bars into the stretch they touch."""
        series, incoming = self.series, incoming.sorted()
        stored, policy = self._around(incoming.open_time), policy_for(series.venue, series.clock.ms)
        versions = self._versions(incoming.open_time)
        merged = merge(stored, incoming, versions, self.history, series.clock, policy, now_ms)
        against = self._supersede(merged.superseded, merged.disputed, source)
        if merged.touched.any():
            self._take(merged, source[0])
        return replace(merged.counts, against=against), {}

    def _take(self, merged: Merged, source: str) -> None:
        """Let merged rows take the place of those they were made of, and write their gaps into the ledger."""
        times, clock = merged.rows.open_time, self.series.clock
        for key, places in list(self.pieces.places(times)):
            if merged.touched[places].any():
                old, rows = self.pieces.get(key), merged.rows.take(places)
                before, after = (old.take(side) for side in (old.open_time < times[0], old.open_time > times[-1]))
                self.pieces.put(key, concat_rows([before, rows, after]), source)
        known = {(gap.start, gap.end): gap for gap in self.series.gaps}  # a gap that stays as it was keeps its status
        outside = [gap for gap in self.series.gaps if gap.end <= times[0] or gap.start > times[-1]]
        inside = [known.get((gap.start, gap.end), gap) for gap in missing_stretches(times, clock)]
        self.series = replace(self.series, gaps=tuple(sorted([*outside, *inside], key=lambda gap: gap.start)))

    def _around(self, times: Times) -> Rows:
        """Stored rows that new bars lie among, without a break, and a few on either side."""
        if len(times) == 0:
            return empty_rows()
        order, first, last = self.pieces.order(), self.pieces.place(int(times[0])), self.pieces.place(int(times[-1]))
        inside = concat_rows([self.pieces.get(key) for key in order[max(first, 0) : last + 1]])
        start, stop = np.searchsorted(inside.open_time, times[[0, -1]])
        parts = [inside.take(slice(max(start - REACH, 0), stop + 1 + REACH))]
        if start < REACH and first > 0:  # the piece before holds the rest
            parts = [self.pieces.get(order[first - 1]).take(slice(-REACH, None)), *parts]
        if len(inside) - stop <= REACH:
            parts += [self.pieces.get(key).take(slice(REACH)) for key in order[last + 1 : last + 2]]
        return concat_rows(parts)

    def _read(self, file: FileEntry) -> Rows:
        return self.catalog.rows_of(file, self.series.clock)

    def _joined(self, parts: Sequence[Rows]) -> Rows:
        return concat_rows(parts)

    def _told(self, versions: Rows) -> Rows:
        return versions.take((versions.source_rank != UNION) & (versions.state == TRADED))

    def _gaps(self, files: Sequence[FileEntry]) -> tuple[Gap, ...]:
        return self.series.gaps  # `take` has kept them


class StagedEvents(Staged[EventRows]):
    """One series of events while it is being changed; its partitions are days or months."""

    rule = "received, else the event and its kind's lag"

    @property
    def kind(self) -> Kind:
        """What it is of."""
        return kind_of(self.series.kind)

    def put(
        self, incoming: EventRows, source: SourceOf, now_ms: int
    ) -> tuple[MergedCounts, Mapping[str, MergedEvents]]:
        """Merge new events into the pieces they touch."""
        incoming = self._placed(incoming, source)
        versions = self._versions(incoming.event_time)
        merged: dict[str, list[MergedEvents]] = {}
        against: set[str] = set()
        for key, places in list(self.pieces.places(incoming.event_time)):
            result = merge_events(self.pieces.get(key), incoming.take(places), versions, self.history, now_ms)
            merged.setdefault(key[0], []).append(result)
            if result.touched:
                self.pieces.put(key, result.rows, source[0])
            against.update(self._supersede(result.superseded, result.disputed, source))
        partitions = {name: MergedEvents.joined(parts) for name, parts in merged.items()}
        counts = sum((one.counts for one in partitions.values()), MergedCounts())
        return replace(counts, against=tuple(sorted(against))), partitions

    def _placed(self, incoming: EventRows, source: SourceOf) -> EventRows:
        """Count the places within a millisecond of arrival on, where the chunk of a source before ended in it."""
        if not source[0] or len(incoming) == 0:
            return incoming
        moment, before = self.ends.get(source[:2], (_NEVER, 0))
        goes_on, last = incoming.available_at == moment, int(incoming.available_at.max())
        n_last = int((incoming.available_at == last).sum())
        self.ends[source[:2]] = (last, n_last + (before if last == moment else 0))
        return replace(incoming, rank=incoming.rank + np.where(goes_on, before, 0)) if before else incoming

    def _read(self, file: FileEntry) -> EventRows:
        return self.catalog.event_rows_of(file, self.kind)

    def _joined(self, parts: Sequence[EventRows]) -> EventRows:
        return concat_event_rows(parts, self.kind)

    def _gaps(self, files: Sequence[FileEntry]) -> tuple[Gap, ...]:
        return ledger(self.series, files, {name: self.pieces.of(name) for name in self.pieces.changed})


def staged_series(catalog: Catalog, series: Series, history: tuple[int, int] | None = None) -> Staged[Any]:
    """Return a series that is to be changed, as it is stored."""
    if series.kind == BARS:
        return StagedBars(catalog, series, history)
    return StagedEvents(catalog, series, history)


def gaps_of(catalog: Catalog, series: Series) -> tuple[Gap, ...]:
    """Return the ledger of a series, from its rows; gaps of bars that are in it already keep their status."""
    if series.kind != BARS:
        names = {file.month for file in series.files}
        read = {name: _pieces(catalog, series, name) for name in names}
        return ledger(series, series.files, read)
    known = {(gap.start, gap.end): gap for gap in series.gaps}
    rows = concat_rows([catalog.rows_of(file, series.clock) for file in series.files]).sorted()
    return tuple(known.get((gap.start, gap.end), gap) for gap in missing_stretches(rows.open_time, series.clock))


def _pieces(catalog: Catalog, series: Series, partition: str) -> Iterator[EventRows]:
    """Yield the rows of the files of a partition, in order of time."""
    for file in sorted(series.files, key=lambda file: file.min_open_time):
        if file.month == partition:
            yield catalog.event_rows_of(file, kind_of(series.kind)).sorted()
