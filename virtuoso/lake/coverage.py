"""What is stored and what is missing, series by series: plain values to print, to compare and to write as JSON.

What is missing among stored events stands in a ledger, which `virtuoso data check` shows:

- `silent`     longer without an event than the kind allows (market/schema/kinds.py): the recorder was off, or the venue
  was.
- `sequence`   the venue's own numbers skip: messages of the book were lost, and it must be found again.
- `short day`  a day with less than nine tenths of the rows that its usual spacing would give outside of waits.
- `damaged`    a file that was not what was written (writing/maintenance.py).

The ledger informs people. Nothing is decided by it: feature builders find gaps in what they have read so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from virtuoso.clock import UNIT_MS, iso
from virtuoso.lake.event_rows import EventRows, concat_event_rows, no_rows, partition_of
from virtuoso.lake.manifest import Conflict, FileEntry, Gap, Series
from virtuoso.market.schema.kinds import NO_ID, Kind, kind_of
from virtuoso.types import Times

LONGEST_WAIT_MS = 60_000
"""Recorded streams hold an event more often than this."""
FULL_SHARE = 0.9
ENOUGH_STEPS = 20
_STREAMS = ("trades", "depth", "ticker")
_REGULAR = ("open_interest", "ratios", "prices", "bands")
Defects = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of one instrument on one timeframe.

    Attributes
    ----------
    venue, symbol, timeframe : str
    start, end : int, ms
        Open time of the first bar, close time of the last.
    bars, no_trade, missing : int
        Bars stored; flat ones among them; bars that are not there.
    gaps, revisions, conflicts, quarantined, late : int
        Stretches of missing bars; versions that others have replaced; bars of which versions disagree, while no source
        is preferred; rows rejected; bars known only after their close.
    files, bytes : int
    """

    venue: str
    symbol: str
    timeframe: str
    start: int
    end: int
    bars: int
    no_trade: int
    missing: int
    gaps: int
    revisions: int
    conflicts: int
    quarantined: int
    late: int
    files: int
    bytes: int

    @property
    def share(self) -> float:
        """Share of the bars between start and end that are there."""
        return self.bars / (self.bars + self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {**_values(self), "share": self.share, "start_utc": iso(self.start), "end_utc": iso(self.end)}


@dataclass(frozen=True, slots=True)
class SeriesCheck:
    """The gaps and defects of one series.

    Attributes
    ----------
    coverage : Coverage
    gaps : tuple of (int, int, int, str)
        Open time of the first missing bar, of the next one that is there, how many are missing, and the status.
    refused : dict of str to int
        Rows in quarantine, by rule.
    breaks : tuple of (int, str)
        Moments, ms, from which on the name means another instrument; and whether that was 'said' or 'found'.
    misprints : tuple of (int, int), ms
        Open time of a misprint, which is kept as published; close time of the bar that shows it to be one.
    conflicts : tuple of Conflict
        Months in which versions of bars disagree, with the files that tell of them.
    """

    coverage: Coverage
    gaps: tuple[tuple[int, int, int, str], ...]
    refused: dict[str, int]
    breaks: tuple[tuple[int, str], ...] = ()
    misprints: tuple[tuple[int, int], ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON; breaks and misprints where there are some."""
        gaps = [
            {"start": a, "end": b, "bars": n, "status": status, "start_utc": iso(a), "end_utc": iso(b)}
            for a, b, n, status in self.gaps
        ]
        breaks = [{"at": at, "made": made, "at_utc": iso(at)} for at, made in self.breaks]
        misprints = [
            {"open_time": at, "known_at": known, "open_time_utc": iso(at), "known_at_utc": iso(known)}
            for at, known in self.misprints
        ]
        marks = {name: some for name, some in (("breaks", breaks), ("misprints", misprints)) if some}
        return {**self.coverage.to_dict(), "gaps": gaps, "refused": self.refused, **marks, **_disagreeing(self)}


def _disagreeing(check: SeriesCheck | EventCheck) -> dict[str, Any]:
    """The conflicts of a series, for JSON; nothing where there are none."""
    found = [{"partition": one.partition, "rows": one.rows, "sources": list(one.sources)} for one in check.conflicts]
    return {"disagreeing": found} if found else {}


def _values(coverage: Coverage | EventCoverage) -> dict[str, Any]:
    """What a line of coverage says; of conflicts only where there are some."""
    values = {name: getattr(coverage, name) for name in coverage.__slots__}
    return values if coverage.conflicts else {name: value for name, value in values.items() if name != "conflicts"}


def coverage_of(series: Series) -> Coverage:
    """Return what is stored of a series of bars."""
    step = series.clock.ms
    return Coverage(
        venue=series.venue,
        symbol=series.symbol,
        timeframe=series.timeframe,
        start=series.first,
        end=series.last + step,
        bars=series.rows,
        no_trade=sum(file.no_trade for file in series.files),
        missing=sum((gap.end - gap.start) // step for gap in series.gaps),
        gaps=len(series.gaps),
        revisions=_revised(series),
        conflicts=sum(conflict.rows for conflict in series.conflicts),
        quarantined=sum(entry.rows for entry in series.quarantine),
        late=sum(file.late for file in series.files),
        files=len(series.files),
        bytes=sum(file.bytes for file in series.files),
    )


def check_of(series: Series) -> SeriesCheck:
    """Return what is missing or wrong in a series of bars, from the ledger."""
    step = series.clock.ms
    gaps = tuple((gap.start, gap.end, (gap.end - gap.start) // step, gap.status) for gap in series.gaps)
    return SeriesCheck(coverage_of(series), gaps, _refused(series), conflicts=series.conflicts)


def _revised(series: Series) -> int:
    """Versions that others have replaced which disagree."""
    return sum(file.rows if file.revised < 0 else file.revised for file in series.revisions)


def _refused(series: Series) -> dict[str, int]:
    """Rows in quarantine, by rule."""
    refused: dict[str, int] = {}
    for entry in series.quarantine:
        for rule, count in entry.reasons.items():
            refused[rule] = refused.get(rule, 0) + count
    return refused


@dataclass(frozen=True, slots=True)
class EventCoverage:
    """What is stored of one kind of event of one instrument.

    Attributes
    ----------
    kind, venue, symbol : str
    start, end : int, ms
        Time of the first and of the last event.
    rows : int
    partitions : int
        Days or months that hold some.
    gaps : dict of str to int
        Gaps by status: silent, sequence, short day, damaged.
    revisions, conflicts, quarantined, late : int
        Versions that others have replaced; events of which versions disagree, while no source is preferred; rows
        rejected; rows that came into stored history later.
    files, bytes : int
    """

    kind: str
    venue: str
    symbol: str
    start: int
    end: int
    rows: int
    partitions: int
    gaps: dict[str, int]
    revisions: int
    conflicts: int
    quarantined: int
    late: int
    files: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {**_values(self), "start_utc": iso(self.start), "end_utc": iso(self.end)}


@dataclass(frozen=True, slots=True)
class EventCheck:
    """The gaps and defects of one kind of event of one instrument.

    Attributes
    ----------
    coverage : EventCoverage
    gaps : tuple of (int, int, str)
        Time of the last event before and of the first one after, ms, and the status.
    refused : dict of str to int
        Rows in quarantine, by rule.
    conflicts : tuple of Conflict
        Days or months in which versions of events disagree, with the files that tell of them.
    """

    coverage: EventCoverage
    gaps: Defects
    refused: dict[str, int]
    conflicts: tuple[Conflict, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        ledger = [
            {"start": a, "end": b, "status": status, "start_utc": iso(a), "end_utc": iso(b)}
            for a, b, status in self.gaps
        ]
        return {**self.coverage.to_dict(), "ledger": ledger, "refused": self.refused, **_disagreeing(self)}


def event_coverage_of(series: Series) -> EventCoverage:
    """Return what is stored of a series of events; of one that holds rejected rows only, nothing from 0 to 0."""
    gaps: dict[str, int] = {}
    for gap in series.gaps:
        gaps[gap.status] = gaps.get(gap.status, 0) + 1
    return EventCoverage(
        kind=series.kind,
        venue=series.venue,
        symbol=series.symbol,
        start=series.first if series.files else 0,
        end=series.last if series.files else 0,
        rows=series.rows,
        partitions=len({file.month for file in series.files}),
        gaps=gaps,
        revisions=_revised(series),
        conflicts=sum(conflict.rows for conflict in series.conflicts),
        quarantined=sum(entry.rows for entry in series.quarantine),
        late=sum(file.late for file in series.files),
        files=len(series.files),
        bytes=sum(file.bytes for file in series.files),
    )


def event_check_of(series: Series) -> EventCheck:
    """Return what is missing or wrong in a series of events, from the ledger."""
    gaps = tuple((gap.start, gap.end, gap.status) for gap in series.gaps)
    return EventCheck(event_coverage_of(series), gaps, _refused(series), conflicts=series.conflicts)


def ledger(series: Series, files: Sequence[FileEntry], changed: Mapping[str, Iterable[EventRows]]) -> tuple[Gap, ...]:
    """Return gaps of a series whose changed partitions are given, in pieces: those within, and between all files."""
    kind = kind_of(series.kind)
    kept = [gap for gap in series.gaps if (inside := is_within(gap, kind)) and inside not in changed]
    within = [gap for pieces in changed.values() for gap in gaps_within(kind, pieces)]
    return tuple(sorted({*kept, *within, *gaps_between(kind, files)}, key=lambda gap: (gap.start, gap.end, gap.status)))


def longest_wait(kind: Kind) -> int:
    """Return how long, ms, nothing may come before it is a gap; 0 where events are rare by nature."""
    return LONGEST_WAIT_MS if kind.name in _STREAMS else kind.hold_ms


def gaps_within(kind: Kind, pieces: Iterable[EventRows]) -> list[Gap]:
    """Return gaps between the events of one partition, whose pieces follow each other in time; one is held at a time.

    Silences between two pieces are those between two files (`gaps_between`).
    """
    found: list[Gap] = []
    moments: list[Times] = []
    before = no_rows(kind)
    for rows in pieces:
        times = np.sort(rows.event_time)
        found += _waits(kind, times)
        moments += [np.unique(times)] if kind.name in _REGULAR else []
        if kind.name == "depth":
            changes = rows.take((rows.columns["snapshot"] == 0) & (rows.columns["last_id"] != NO_ID))
            found += _lost_messages(concat_event_rows([before, changes], kind))
            before = changes.take(slice(-1, None)) if len(changes) else before
    if moments:
        found += _short_days(np.concatenate(moments), [gap for gap in found if gap.status == "silent"])
    return sorted(found, key=lambda gap: gap.start)


def gaps_between(kind: Kind, files: Sequence[FileEntry]) -> list[Gap]:
    """Silences from the end of one partition to the beginning of the next; `files` in order of time."""
    allowed = longest_wait(kind)
    return [
        Gap(before.max_open_time, after.min_open_time, "silent")
        for before, after in pairwise(files)
        if allowed and after.min_open_time - before.max_open_time > allowed
    ]


def is_within(gap: Gap, kind: Kind) -> str:
    """Name the partition that a gap lies in, empty if it lies between two."""
    first, last = partition_of(kind, np.array([gap.start, gap.end - 1]))
    return str(first) if first == last else ""


def _waits(kind: Kind, times: Times) -> list[Gap]:
    allowed = longest_wait(kind)
    holes = np.flatnonzero(np.diff(times) > allowed) if allowed else ()
    return [Gap(int(times[i]), int(times[i + 1]), "silent") for i in holes]


def _lost_messages(changes: EventRows) -> list[Gap]:
    """Where changes of the book do not follow each other by their numbers."""
    last, first, before = (changes.columns[name] for name in ("last_id", "first_id", "prev_id"))
    message = np.flatnonzero(np.diff(last, prepend=NO_ID) != 0)
    last, first, before, times = last[message], first[message], before[message], changes.event_time[message]
    follows = np.where(before[1:] != NO_ID, before[1:] == last[:-1], first[1:] <= last[:-1] + 1)
    follows |= (before[1:] == NO_ID) & (first[1:] == NO_ID)
    return [Gap(int(times[i]), max(int(times[i + 1]), int(times[i]) + 1), "sequence") for i in np.flatnonzero(~follows)]


def _short_days(moments: Times, waits: Sequence[Gap]) -> list[Gap]:
    """Days with too few rows, by the most common distance of two rows."""
    if len(moments) <= ENOUGH_STEPS:
        return []
    steps, counts = np.unique(np.diff(moments), return_counts=True)
    step, day = int(steps[counts.argmax()]), UNIT_MS["d"]
    found = []
    for number, count in zip(*np.unique(moments // day, return_counts=True), strict=True):
        start = max(int(number) * day, int(moments[0]))
        end = min((int(number) + 1) * day, int(moments[-1]) + step)
        silent = sum(max(min(gap.end, end) - max(gap.start, start), 0) for gap in waits)
        if count < FULL_SHARE * ((end - start - silent) // step):
            found.append(Gap(start, end, "short day"))
    return found
