"""What is missing among stored events: the ledger that `virtuoso data check` shows.

- `silent`     longer without an event than the kind allows (market/schema/kinds.py): the recorder was off, or the venue
  was.
- `sequence`   the venue's own numbers skip: messages of the book were lost, and it must be found again.
- `short day`  a day with less than nine tenths of the rows that its usual spacing would give outside of silences.
- `damaged`    a file that was not what was written (maintenance.py).

The ledger tells people. Nothing is decided by it: the folds judge silence and sequence by what they have seen so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from virtuoso.clock import UNIT_MS
from virtuoso.lake.event_rows import EventRows, partition_of
from virtuoso.lake.manifest import FileEntry, Gap, Series
from virtuoso.lake.rows import Times
from virtuoso.market.schema.kinds import NO_ID, Kind, kind_of

SILENCE_MS = 60_000
"""Recorded streams tell of something more often than this."""
FULL_SHARE = 0.9
ENOUGH_STEPS = 20
_STREAMS = ("trades", "depth", "ticker")
_REGULAR = ("open_interest", "ratios", "prices", "bands")


def ledger(series: Series, files: Sequence[FileEntry], changed: dict[str, EventRows]) -> tuple[Gap, ...]:
    """Gaps of a series whose changed partitions are given: those within them, and between all of them."""
    kind = kind_of(series.kind)
    kept = [gap for gap in series.gaps if (inside := is_within(gap, kind)) and inside not in changed]
    within = [gap for rows in changed.values() for gap in gaps_within(rows)]
    return tuple(sorted({*kept, *within, *gaps_between(kind, files)}, key=lambda gap: (gap.start, gap.end, gap.status)))


def longest_silence(kind: Kind) -> int:
    """How long, ms, nothing may come before it is called a gap; 0 where events are rare by nature."""
    return SILENCE_MS if kind.name in _STREAMS else kind.hold_ms


def gaps_within(rows: EventRows) -> list[Gap]:
    """Gaps between the events of one partition."""
    times = np.sort(rows.event_time)
    silences = _silences(rows.kind, times)
    found = [*silences, *_lost_messages(rows), *_short_days(rows.kind, times, silences)]
    return sorted(found, key=lambda gap: gap.start)


def gaps_between(kind: Kind, files: Sequence[FileEntry]) -> list[Gap]:
    """Silences from the end of one partition to the beginning of the next; `files` in order of time."""
    allowed = longest_silence(kind)
    return [
        Gap(before.max_open_time, after.min_open_time, "silent")
        for before, after in pairwise(files)
        if allowed and after.min_open_time - before.max_open_time > allowed
    ]


def is_within(gap: Gap, kind: Kind) -> str:
    """Name the partition that a gap lies in, empty if it lies between two."""
    first, last = partition_of(kind, np.array([gap.start, gap.end - 1]))
    return str(first) if first == last else ""


def _silences(kind: Kind, times: Times) -> list[Gap]:
    allowed = longest_silence(kind)
    holes = np.flatnonzero(np.diff(times) > allowed) if allowed else ()
    return [Gap(int(times[i]), int(times[i + 1]), "silent") for i in holes]


def _lost_messages(rows: EventRows) -> list[Gap]:
    """Where changes of the book do not follow each other by their numbers."""
    if rows.kind.name != "depth":
        return []
    changes = rows.take((rows.columns["snapshot"] == 0) & (rows.columns["last_id"] != NO_ID))
    last, first, before = (changes.columns[name] for name in ("last_id", "first_id", "prev_id"))
    message = np.flatnonzero(np.diff(last, prepend=NO_ID) != 0)
    last, first, before, times = last[message], first[message], before[message], changes.event_time[message]
    follows = np.where(before[1:] != NO_ID, before[1:] == last[:-1], first[1:] <= last[:-1] + 1)
    follows |= (before[1:] == NO_ID) & (first[1:] == NO_ID)
    return [Gap(int(times[i]), max(int(times[i + 1]), int(times[i]) + 1), "sequence") for i in np.flatnonzero(~follows)]


def _short_days(kind: Kind, times: Times, silences: Sequence[Gap]) -> list[Gap]:
    """Days with too few rows, by the most common distance of two rows."""
    moments = np.unique(times)
    if kind.name not in _REGULAR or len(moments) <= ENOUGH_STEPS:
        return []
    steps, counts = np.unique(np.diff(moments), return_counts=True)
    step, day = int(steps[counts.argmax()]), UNIT_MS["d"]
    found = []
    for number, count in zip(*np.unique(moments // day, return_counts=True), strict=True):
        start = max(int(number) * day, int(moments[0]))
        end = min((int(number) + 1) * day, int(moments[-1]) + step)
        silent = sum(max(min(gap.end, end) - max(gap.start, start), 0) for gap in silences)
        if count < FULL_SHARE * ((end - start - silent) // step):
            found.append(Gap(start, end, "short day"))
    return found
