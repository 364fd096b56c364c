"""One series of events while it is being changed: partitions in memory, and what is written of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from virtuoso.market.event_gaps import gaps_between, gaps_within, is_within
from virtuoso.market.event_merge import MergedEvents, equal_to_any, merge_events
from virtuoso.market.event_rows import EventRows, by_partition, joined_rows, no_rows
from virtuoso.market.files import LakeFiles, Refused
from virtuoso.market.kinds import Kind, kind_of
from virtuoso.market.manifest import FileEntry, Gap, Series, Source
from virtuoso.market.rows import Times

if TYPE_CHECKING:
    from virtuoso.market.store import Lake


@dataclass(slots=True)
class EventDraft:
    """One series of events while it is being changed.

    Attributes
    ----------
    lake : Lake
    series : Series
    history : tuple of int, ms, or None
        Its extent when writing began, since the files of one import may come in any order.
    """

    lake: Lake
    series: Series
    history: tuple[int, int] | None
    parts: dict[str, EventRows] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    versions: list[tuple[EventRows, Times]] = field(default_factory=list)
    refused: list[tuple[str, Refused]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """What it is of."""
        return kind_of(self.series.kind)

    def merged(self, incoming: EventRows, now_ms: int) -> dict[str, MergedEvents]:
        """Merge new events into the partitions they touch, without taking the result."""
        versions = self._all_versions()
        return {
            name: merge_events(self._part(name), rows, versions, self.history, now_ms)
            for name, rows in by_partition(incoming)
        }

    def take(self, merged: dict[str, MergedEvents]) -> None:
        """Let merged events take the place of the partitions they were made of."""
        for name, result in merged.items():
            if result.changed:
                self.parts[name] = result.rows
                self.changed.add(name)
            if len(result.superseded):
                self.versions.append((result.superseded, result.superseded_at))

    def take_superseded(self, rows: EventRows) -> int:
        """Keep earlier versions that a source itself replaced, as of no time; say how many were not known yet."""
        new = rows.take(~equal_to_any(rows, self._all_versions()))
        if len(new):
            self.versions.append((new, new.available_at))
        return len(new)

    def _all_versions(self) -> EventRows:
        stored = [rows for rows, _ in self.lake.event_revisions(self.series)]
        return joined_rows([*stored, *(rows for rows, _ in self.versions)], self.kind)

    def _part(self, name: str) -> EventRows:
        if name not in self.parts:
            files = [file for file in self.series.files if file.month == name]
            rows = [self.lake.event_rows_of(file, self.kind) for file in files]
            self.parts[name] = joined_rows(rows, self.kind).sorted() if rows else no_rows(self.kind)
        return self.parts[name]

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
            revisions.append(files.event_revisions(series, self.versions, sorted(new)))
        quarantine = {entry.path: entry for entry in series.quarantine}
        for source, refused in self.refused:
            entry = files.quarantine(series, source, refused)
            quarantine.setdefault(entry.path, entry)
        return replace(
            series,
            files=tuple(parts),
            gaps=ledger(series, parts, {name: self.parts[name] for name in self.changed}),
            revisions=tuple(revisions),
            quarantine=tuple(quarantine.values()),
            sources=(*series.sources, *self.sources),
        )


def ledger(series: Series, files: Sequence[FileEntry], changed: dict[str, EventRows]) -> tuple[Gap, ...]:
    """Gaps of a series whose changed partitions are given: those within them, and between all of them."""
    kind = kind_of(series.kind)
    kept = [gap for gap in series.gaps if (inside := is_within(gap, kind)) and inside not in changed]
    within = [gap for rows in changed.values() for gap in gaps_within(rows)]
    return tuple(sorted({*kept, *within, *gaps_between(kind, files)}, key=lambda gap: (gap.start, gap.end, gap.status)))
