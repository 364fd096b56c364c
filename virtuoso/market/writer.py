"""Writing to the lake: gather, merge, commit.

1. `add` merges new bars into the months they touch (merge.py), `add_events` new events into their days or months
   (event_merge.py), in memory.
2. `commit` writes each changed partition as a new file, then the revisions, then the next manifest of their kind
   (shelf.py). Only the manifest's rename makes any of it visible; a process killed before it leaves files that nobody
   names. Kinds are committed one after the other; importing the same files again completes what a kill cut short.
3. Replaced files are moved to `retired/`, where readers of older generations still find them, and deleted after a
   grace period (upkeep.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import StoreError
from virtuoso.market.event_draft import EventDraft
from virtuoso.market.event_merge import MergedCounts, MergedEvents
from virtuoso.market.event_rows import rows_of_events
from virtuoso.market.events import Events
from virtuoso.market.files import LakeFiles, Refused
from virtuoso.market.gaps import policy_for
from virtuoso.market.manifest import BARS, Manifest, Series, Source
from virtuoso.market.merge import Merged, merge, missing_stretches, same_versions
from virtuoso.market.rows import Rows, Times, by_month, empty_rows, joined, month_of
from virtuoso.market.shelf import Shelf

if TYPE_CHECKING:
    from virtuoso.market.store import Lake

REACH = 8  # rows beside new bars that may change with them: a silence is at most five flat rows and the next bar


@dataclass(slots=True)
class _Draft:
    """One series while it is being changed.

    `history` is its extent when writing began, since the files of one import may come in any order.
    """

    series: Series
    history: tuple[int, int] | None
    known_versions: list[Rows]
    months: dict[str, Rows] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    versions: list[tuple[Rows, Times]] = field(default_factory=list)
    refused: list[tuple[str, Refused]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def all_versions(self) -> Rows:
        return joined([*self.known_versions, *(rows for rows, _ in self.versions)])

    def written(self, files: LakeFiles) -> Series:
        """Write what changed."""
        series = self.series
        new = {source.name for source in self.sources}
        parts = [file for file in series.files if file.month not in self.changed]
        for month in sorted(self.changed):
            before = {name for file in series.files if file.month == month for name in file.sources}
            parts.append(files.part(series, month, self.months[month], sorted(before | new)))
        parts.sort(key=lambda file: file.min_open_time)
        revisions = list(series.revisions)
        if self.versions:
            revisions.append(files.revisions(series, self.versions, sorted(new)))
        quarantine = {entry.path: entry for entry in series.quarantine}
        for source, refused in self.refused:
            entry = files.quarantine(series, source, refused)
            quarantine.setdefault(entry.path, entry)
        return replace(
            series,
            files=tuple(parts),
            revisions=tuple(revisions),
            quarantine=tuple(quarantine.values()),
            sources=(*series.sources, *self.sources),
        )


class Writer:
    """The one who may change a lake; `with lake.writing() as writer`.

    Attributes
    ----------
    pending_rows : int
        Rows gathered and not committed yet.
    bytes_written : int
        By all commits so far, manifests not counted.
    """

    def __init__(self, lake: Lake, strays: Mapping[str, Sequence[str]] | None = None) -> None:
        self.lake = lake
        self.pending_rows = 0
        self.bytes_written = 0
        self._strays = strays or {}
        self._shelves: dict[str, Shelf] = {}
        self._drafts: dict[str, _Draft | EventDraft] = {}

    @property
    def manifest(self) -> Manifest:
        """The generation of bars that it builds on; the new one after `commit`."""
        return self.shelf(BARS).manifest

    def shelf(self, kind: str) -> Shelf:
        """One kind of the lake, bars or events."""
        if kind not in self._shelves:
            self._shelves[kind] = Shelf(self.lake, kind, self._strays.get(kind, ()))
        return self._shelves[kind]

    def preview(self, instrument: Instrument, timeframe: Timeframe, incoming: Rows) -> Merged:
        """Merge new bars without taking the result.

        Parameters
        ----------
        instrument : Instrument
        timeframe : Timeframe
        incoming : Rows
            Accepted by the border: in order, one a bar, all traded.
        """
        draft = self._draft(instrument, timeframe)
        stored = self._around(draft, incoming.open_time)
        policy = policy_for(instrument.venue, timeframe.ms)
        now_ms = self.lake.env.now_ms()
        return merge(stored, incoming, draft.all_versions(), draft.history, timeframe, policy, now_ms)

    def add(
        self,
        instrument: Instrument,
        timeframe: Timeframe,
        incoming: Rows,
        superseded: Rows | None = None,
        refused: Refused | None = None,
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
        refused : Refused, optional
            Rows for the quarantine.
        source : tuple of (str, str, int)
            Name and sha256 of the file the rows come from, and how many it held.
        merged : Merged, optional
            What `preview` gave for the same rows.
        """
        draft = self._draft(instrument, timeframe)
        merged = merged or self.preview(instrument, timeframe, incoming)
        if merged.touched.any():
            self._take(draft, merged)
            rule = "close; late rows at import" if merged.late else "close"
            counts = (merged.stored, merged.revised, merged.late)
            draft.sources.append(Source(*source, *counts, rule, self.lake.env.now_ms()))
        if superseded is not None and len(superseded):
            new = superseded.take(~same_versions(superseded, draft.all_versions()))
            merged = replace(
                merged,
                revised=merged.revised + len(new),
                duplicates=merged.duplicates + len(superseded) - len(new),
            )
            if len(new):
                # replaced the moment it came: no reading as of any time shows it
                draft.versions.append((new, new.available_at))
        if len(merged.superseded):
            draft.versions.append((merged.superseded, merged.superseded_at))
        if refused is not None and refused.rows:
            draft.refused.append((source[0], refused))
        self.pending_rows += len(incoming)
        return merged

    def preview_events(self, instrument: Instrument, events: Events) -> dict[str, MergedEvents]:
        """Merge new events without taking the result: what becomes of each partition.

        Parameters
        ----------
        instrument : Instrument
        events : Events
            Accepted by the border: in order of arrival, each once.
        """
        draft = self._event_draft(instrument, events.kind.name)
        return draft.merged(rows_of_events(events), self.lake.env.now_ms())

    def add_events(
        self,
        instrument: Instrument,
        events: Events,
        superseded: Events | None = None,
        refused: Refused | None = None,
        source: tuple[str, str, int] = ("", "", 0),
    ) -> MergedCounts:
        """Merge new events; nothing is written before `commit`.

        Parameters
        ----------
        instrument, events
            As for `preview_events`.
        superseded : Events, optional
            Earlier versions of the same events in the same source.
        refused : Refused, optional
            Rows for the quarantine.
        source : tuple of (str, str, int)
            Name and sha256 of the file the events come from, and how many rows it held.
        """
        draft = self._event_draft(instrument, events.kind.name)
        merged = self.preview_events(instrument, events)
        counts = MergedCounts.of(merged.values())
        draft.take(merged)
        if counts.changed:
            rule = "received, else the event and its kind's lag" + ("; late rows at import" if counts.late else "")
            now_ms = self.lake.env.now_ms()
            draft.sources.append(Source(*source, counts.stored, counts.revised, counts.late, rule, now_ms))
        if superseded is not None and len(superseded):
            new = draft.take_superseded(rows_of_events(superseded))
            counts = replace(counts, revised=counts.revised + new, duplicates=counts.duplicates + len(superseded) - new)
        if refused is not None and refused.rows:
            draft.refused.append((source[0], refused))
        self.pending_rows += len(events)
        return counts

    def commit(self) -> Manifest:
        """Make everything added so far visible, in one step a kind. Without a change, not one byte is written.

        Raises
        ------
        StoreError
            The disk refused; the lake is as it was before, or holds some kinds of what was added, whole.
        """
        kinds = sorted({draft.series.kind for draft in self._drafts.values()})
        done = ""
        try:
            for kind in kinds:
                done = kind
                self._commit(self.shelf(kind))
        except OSError as error:
            shelf = self.shelf(done)
            seen = self.lake.generations_of(done).newest().generation > shelf.manifest.generation
            before = f"; {', '.join(kinds[: kinds.index(done)])} are stored" if kinds.index(done) else ""
            raise StoreError(
                f"Writing {done} to {self.lake.path} failed ({error.strerror or error}); "
                f"{f'the new {done} are there, but may not survive a power cut' if seen else 'the lake is as it was'}"
                f"{before}. Free some space or mend the disk, then run the same command again."
            ) from error
        finally:
            self._drafts.clear()
            self.pending_rows = 0
        return self.manifest

    def _commit(self, shelf: Shelf) -> None:
        """Write what changed of one kind."""
        files = LakeFiles(self.lake.path, self.lake.disk, shelf.manifest.generation + 1, self.lake.env.now_ms())
        drafts = [draft for draft in self._drafts.values() if draft.series.kind == shelf.kind]
        shelf.take([draft.written(files) for draft in drafts])
        self.bytes_written += files.written

    def _event_draft(self, instrument: Instrument, kind: str) -> EventDraft:
        new = Series(instrument.venue, instrument.symbol, "", kind=kind)
        draft = self._drafts.get(new.home)
        if not isinstance(draft, EventDraft):
            shelf = self.shelf(kind)
            draft = EventDraft(self.lake, shelf.manifest.series.get(new.key, new), shelf.history.get(new.key))
            self._drafts[new.home] = draft
        return draft

    def _draft(self, instrument: Instrument, timeframe: Timeframe) -> _Draft:
        new = Series(instrument.venue, instrument.symbol, timeframe.name)
        draft = self._drafts.get(new.home)
        if not isinstance(draft, _Draft):
            shelf = self.shelf(BARS)
            series = shelf.manifest.series.get(new.key, new)
            versions = [rows for rows, _ in self.lake.revisions(series)]
            draft = _Draft(series, shelf.history.get(new.key), versions)
            self._drafts[new.home] = draft
        return draft

    def _around(self, draft: _Draft, times: Times) -> Rows:
        """Stored rows that new bars lie among, without a break, and a few on either side."""
        if len(times) == 0:
            return empty_rows()
        first, last = month_of(times[[0, -1]])
        months = sorted({file.month for file in draft.series.files} | draft.months.keys())
        inside = joined([self._month(draft, month) for month in months if first <= month <= last])
        start, stop = np.searchsorted(inside.open_time, times[[0, -1]])
        parts = [inside.take(slice(max(start - REACH, 0), stop + 1 + REACH))]
        if start < REACH:  # the month before holds the rest
            before = [month for month in months if month < first][-1:]
            parts = [*(self._month(draft, month).take(slice(-REACH, None)) for month in before), *parts]
        if len(inside) - stop <= REACH:
            after = [month for month in months if month > last][:1]
            parts = [*parts, *(self._month(draft, month).take(slice(REACH)) for month in after)]
        return joined(parts)

    def _month(self, draft: _Draft, month: str) -> Rows:
        if month not in draft.months:
            files = [file for file in draft.series.files if file.month == month]
            draft.months[month] = joined([self.lake.rows_of(file, draft.series.clock) for file in files]).sorted()
        return draft.months[month]

    def _take(self, draft: _Draft, merged: Merged) -> None:
        """Let merged rows take the place of the months they were made of, and write their gaps into the ledger."""
        times, clock = merged.rows.open_time, draft.series.clock
        changed: NDArray[np.str_] = np.unique(month_of(times[merged.touched]))
        draft.changed |= set(changed.tolist())
        for month, rows in by_month(merged.rows):
            if month in draft.changed:
                old = self._month(draft, month)
                untouched = (old.take(old.open_time < times[0]), old.take(old.open_time > times[-1]))
                draft.months[month] = joined([untouched[0], rows, untouched[1]])
        ledger = {(gap.start, gap.end): gap for gap in draft.series.gaps}  # a gap that stays as it was keeps its status
        outside = [gap for gap in draft.series.gaps if gap.end <= times[0] or gap.start > times[-1]]
        inside = [ledger.get((gap.start, gap.end), gap) for gap in missing_stretches(times, clock)]
        gaps = sorted([*outside, *inside], key=lambda gap: gap.start)
        draft.series = replace(draft.series, gaps=tuple(gaps))
