"""Series of the lake while they are being changed: partitions in memory, and what is written of them.

1. `put` merges new rows into the stored ones. A `copy` lets its caller see what becomes of them and think again.
2. `take_superseded` keeps earlier versions that a source itself replaced.
3. `written` writes the partitions that changed, the versions that were superseded and the rows that were rejected.

Events are merged a partition at a time (event_merge.py); bars stretch by stretch, since a gap may reach over the
end of a month (merge.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from virtuoso.lake.catalog import Catalog
from virtuoso.lake.coverage import ledger
from virtuoso.lake.event_rows import EventRows, by_partition, concat_event_rows
from virtuoso.lake.manifest import FileEntry, Gap, Series, Source
from virtuoso.lake.writing.event_merge import MergedCounts, MergedEvents, equal_to_any, merge_events
from virtuoso.lake.writing.files import LakeFiles, RejectedRows
from virtuoso.lake.writing.merge import Merged, merge, missing_stretches, same_versions
from virtuoso.market.gaps import policy_for
from virtuoso.market.rows import Rows, by_month, concat_rows, empty_rows, month_of
from virtuoso.market.schema.kinds import Kind, kind_of
from virtuoso.types import Mask, Times

REACH = 8  # rows beside new bars that may change with them: a gap is filled by at most five flat rows

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
    known_versions : sequence of rows
        What was superseded before.
    parts : dict of str to rows
        Partitions that were read or changed, by name.
    changed : set of str
        Names of those that differ from what is stored.
    versions : list of (rows, array of int64, ms)
        What is superseded now, and when each row stopped being the truth.
    refused : list of (str, RejectedRows)
        Rows for the quarantine, with the name of their source.
    sources : list of Source
    """

    rule: ClassVar[str]
    """From when its rows count, in words."""

    catalog: Catalog
    series: Series
    history: tuple[int, int] | None
    known_versions: Sequence[R]
    parts: dict[str, R] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    versions: list[tuple[R, Times]] = field(default_factory=list)
    refused: list[tuple[str, RejectedRows]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def copy(self) -> Self:
        """Return staged rows that go on from here, while this one stays as it is."""
        return replace(
            self,
            parts=dict(self.parts),
            changed=set(self.changed),
            versions=list(self.versions),
            refused=list(self.refused),
            sources=list(self.sources),
        )

    def part(self, name: str) -> R:
        """One partition, as it is by now; empty if there is none."""
        if name not in self.parts:
            files = [file for file in self.series.files if file.month == name]
            self.parts[name] = self._joined([self._read(file) for file in files]).sorted()
        return self.parts[name]

    def take_superseded(self, rows: R) -> int:
        """Keep earlier versions that a source itself replaced, as of no time; say how many were not known yet."""
        new = rows.take(~self._among(rows, self._all_versions()))
        if len(new):
            # replaced the moment it came: no reading as of any time shows it
            self.versions.append((new, new.available_at))
        return len(new)

    def written(self, files: LakeFiles) -> Series:
        """Write what changed."""
        series = self.series
        new = {source.name for source in self.sources}
        parts = [file for file in series.files if file.month not in self.changed]
        for name in sorted(self.changed):
            before = {source for file in series.files if file.month == name for source in file.sources}
            parts.append(files.part(series, name, self.parts[name], sorted(before | new)))
        parts.sort(key=lambda file: file.min_open_time)
        revisions = list(series.revisions)
        if self.versions:
            rows = self._joined([rows for rows, _ in self.versions])
            superseded_at = np.concatenate([at for _, at in self.versions])
            revisions.append(files.revisions(series, rows, superseded_at, sorted(new)))
        quarantine = {entry.path: entry for entry in series.quarantine}
        for source, refused in self.refused:
            entry = files.quarantine(series, source, refused)
            quarantine.setdefault(entry.path, entry)
        return replace(
            series,
            files=tuple(parts),
            gaps=self._gaps(parts),
            revisions=tuple(revisions),
            quarantine=tuple(quarantine.values()),
            sources=series.sources + tuple(self.sources),
        )

    def _all_versions(self) -> R:
        """Every version that was superseded so far."""
        versions = list(self.known_versions)
        versions.extend(rows for rows, _ in self.versions)
        return self._joined(versions)

    @abstractmethod
    def put(self, incoming: R, now_ms: int) -> tuple[MergedCounts, Mapping[str, MergedEvents]]:
        """Merge new rows; return what became of them and, of events, the partitions they are in."""

    @abstractmethod
    def _read(self, file: FileEntry) -> R:
        """Rows of one stored file."""

    @abstractmethod
    def _joined(self, parts: Sequence[R]) -> R:
        """Rows one after the other."""

    @abstractmethod
    def _among(self, rows: R, versions: R) -> Mask:
        """Which rows equal one of some versions in all they carry."""

    @abstractmethod
    def _gaps(self, files: Sequence[FileEntry]) -> tuple[Gap, ...]:
        """The ledger, once the changed partitions are among the files."""


class StagedBars(Staged[Rows]):
    """One series of bars while it is being changed; its partitions are months."""

    rule = "close"

    def put(self, incoming: Rows, now_ms: int) -> tuple[MergedCounts, Mapping[str, MergedEvents]]:
        """Merge new bars into the stretch they touch."""
        series = self.series
        stored, policy = self._around(incoming.open_time), policy_for(series.venue, series.clock.ms)
        merged = merge(stored, incoming, self._all_versions(), self.history, series.clock, policy, now_ms)
        self._take(merged)
        changed = bool(merged.touched.any())
        counts = MergedCounts(
            merged.stored, merged.duplicates, merged.revised, merged.conflicts, merged.late, changed, merged.flat
        )
        return counts, {}

    def _take(self, merged: Merged) -> None:
        """Let merged rows take the place of those they were made of, and write their gaps into the ledger."""
        if len(merged.superseded):
            self.versions.append((merged.superseded, merged.superseded_at))
        if not merged.touched.any():
            return
        times, clock = merged.rows.open_time, self.series.clock
        changed: NDArray[np.str_] = np.unique(month_of(times[merged.touched]))
        self.changed |= set(changed.tolist())
        for month, rows in by_month(merged.rows):
            if month in self.changed:
                old = self.part(month)
                untouched = (old.take(old.open_time < times[0]), old.take(old.open_time > times[-1]))
                self.parts[month] = concat_rows([untouched[0], rows, untouched[1]])
        known = {(gap.start, gap.end): gap for gap in self.series.gaps}  # a gap that stays as it was keeps its status
        outside = [gap for gap in self.series.gaps if gap.end <= times[0] or gap.start > times[-1]]
        inside = [known.get((gap.start, gap.end), gap) for gap in missing_stretches(times, clock)]
        self.series = replace(self.series, gaps=tuple(sorted([*outside, *inside], key=lambda gap: gap.start)))

    def _around(self, times: Times) -> Rows:
        """Stored rows that new bars lie among, without a break, and a few on either side."""
        if len(times) == 0:
            return empty_rows()
        first, last = month_of(times[[0, -1]])
        months = sorted({file.month for file in self.series.files} | self.parts.keys())
        inside = concat_rows([self.part(month) for month in months if first <= month <= last])
        start, stop = np.searchsorted(inside.open_time, times[[0, -1]])
        parts = [inside.take(slice(max(start - REACH, 0), stop + 1 + REACH))]
        if start < REACH:  # the month before holds the rest
            before = [month for month in months if month < first][-1:]
            parts = [*(self.part(month).take(slice(-REACH, None)) for month in before), *parts]
        if len(inside) - stop <= REACH:
            after = [month for month in months if month > last][:1]
            parts = [*parts, *(self.part(month).take(slice(REACH)) for month in after)]
        return concat_rows(parts)

    def _read(self, file: FileEntry) -> Rows:
        return self.catalog.rows_of(file, self.series.clock)

    def _joined(self, parts: Sequence[Rows]) -> Rows:
        return concat_rows(parts)

    def _among(self, rows: Rows, versions: Rows) -> Mask:
        return same_versions(rows, versions)

    def _gaps(self, files: Sequence[FileEntry]) -> tuple[Gap, ...]:
        return self.series.gaps  # `take` has kept them


class StagedEvents(Staged[EventRows]):
    """One series of events while it is being changed; its partitions are days or months."""

    rule = "received, else the event and its kind's lag"

    @property
    def kind(self) -> Kind:
        """What it is of."""
        return kind_of(self.series.kind)

    def put(self, incoming: EventRows, now_ms: int) -> tuple[MergedCounts, Mapping[str, MergedEvents]]:
        """Merge new events into the partitions they touch."""
        versions = self._all_versions()
        merged = {
            name: merge_events(self.part(name), rows, versions, self.history, now_ms)
            for name, rows in by_partition(incoming)
        }
        for name, result in merged.items():
            if result.changed:
                self.parts[name] = result.rows
                self.changed.add(name)
            if len(result.superseded):
                self.versions.append((result.superseded, result.superseded_at))
        return MergedCounts.of(merged.values()), merged

    def _read(self, file: FileEntry) -> EventRows:
        return self.catalog.event_rows_of(file, self.kind)

    def _joined(self, parts: Sequence[EventRows]) -> EventRows:
        return concat_event_rows(parts, self.kind)

    def _among(self, rows: EventRows, versions: EventRows) -> Mask:
        return equal_to_any(rows, versions)

    def _gaps(self, files: Sequence[FileEntry]) -> tuple[Gap, ...]:
        return ledger(self.series, files, {name: self.parts[name] for name in self.changed})
