"""New events meet stored events: what is added, what is the same, what is a revision, what is a conflict.

1. Two rows are the same event if their time and the key of their kind (market/schema/kinds.py) are equal.
2. The same event with values that agree is the same row; what only one of the two knows is added to it, and revises
   nothing.
3. Where versions of an event disagree, one of them holds, whatever the order in which they came (versions.py): by the
   rank of its source, then by the digest of its values. A new one that holds is a revision: it takes the place of the
   stored row. A new one that does not is a conflict. The versions that do not hold are kept among the revisions.
4. When an event was received is of the event, not of a version: where one source recorded it and the other did not,
   the recorded moment holds; of two recorders the earlier one, since from then on it could be known.
5. Rows that come into stored history carry `stored_at`, and so does what replaces another version, so that the store
   can still be read as it was.

The order in which files come does not matter: the rows are the same in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from virtuoso.lake.event_rows import EventRows, concat_event_rows, same_event
from virtuoso.lake.writing.versions import (
    UNION,
    MergedCounts,
    Places,
    Superseded,
    differs,
    fills,
    settle,
)
from virtuoso.types import Mask, Times


@dataclass(frozen=True, slots=True)
class MergedEvents:
    """Stored events after new ones were merged into them.

    Attributes
    ----------
    rows : EventRows
        All of them, in order of arrival.
    superseded : Superseded of EventRows
    counts : MergedCounts
    touched : bool
        Whether any row differs from what was stored.
    disputed : array of int64, ms
        Times of the events that were revised or are contradicted.
    """

    rows: EventRows
    superseded: Superseded[EventRows]
    counts: MergedCounts
    touched: bool
    disputed: Times

    @classmethod
    def joined(cls, parts: Sequence[MergedEvents]) -> MergedEvents:
        """Return the pieces of a partition as one."""
        if len(parts) == 1:
            return parts[0]
        kind, gone = parts[0].rows.kind, [part.superseded for part in parts]
        return cls(
            rows=concat_event_rows([part.rows for part in parts], kind).sorted(),
            superseded=Superseded(
                concat_event_rows([one.rows for one in gone], kind),
                np.concatenate([one.until for one in gone]),
                sum(one.revised for one in gone),
            ),
            counts=sum((part.counts for part in parts), MergedCounts()),
            touched=any(part.touched for part in parts),
            disputed=np.concatenate([part.disputed for part in parts]),
        )


def merge_events(
    stored: EventRows, incoming: EventRows, versions: EventRows, history: tuple[int, int] | None, now_ms: int
) -> MergedEvents:
    """Merge new events into stored ones.

    Parameters
    ----------
    stored : EventRows
        Each event once.
    incoming : EventRows
        A source may tell of one event several times.
    versions : EventRows
        Versions of these events that are among the revisions.
    history : tuple of int, ms, or None
        Times of the first and last event that were stored before this import.
    now_ms : int, ms

    Returns
    -------
    MergedEvents
    """
    held = _held(stored, incoming, versions)
    there = held.stored_at >= 0
    fresh = _dated(held.rows.take(~there), history, now_ms)
    now, before = held.rows.take(there), stored.take(held.stored_at[there])
    adds = fills(now.columns, before.columns)
    moved = differs(now.columns, before.columns) | fills(before.columns, now.columns)
    filled = adds & ~moved
    received = now.available_at != before.available_at
    later = np.maximum(now_ms, before.stored_at + 1)
    read = moved.copy()
    if history is not None:
        read |= (filled | received) & (before.event_time >= history[0]) & (before.event_time <= history[1])
    touched = adds | moved | received | (now.rank != before.rank) | (now.source_rank != before.source_rank)
    now = replace(now, stored_at=np.where(moved, later, before.stored_at))

    gone = np.zeros(len(stored), dtype=bool)
    gone[held.stored_at[there][touched]] = True
    rows = concat_event_rows([stored.take(~gone), now.take(touched), fresh], incoming.kind).sorted()
    shown = np.zeros(len(held.rows), dtype=bool)
    shown[np.flatnonzero(there)[read]] = True
    unread = held.kept.take(~(held.was_stored & shown[held.kept_row]))
    n_moved, n_conflicts = int(moved.sum()), len(held.conflicts)
    n_revised = int((moved & held.agreeing[there]).sum())
    counts = MergedCounts(
        stored=len(fresh),
        duplicates=len(incoming) - len(fresh) - n_revised - n_conflicts,
        revised=n_revised,
        conflicts=n_conflicts,
        filled=int(filled.sum()),
        shared=len(before),
        contradicted=held.contradicted,
        late=int((fresh.stored_at > 0).sum()) + n_moved,
        changed=bool(len(fresh) or touched.any() or len(unread)),
    )
    kept = concat_event_rows([before.take(read), unread], incoming.kind)
    until = np.append(later[read], np.zeros(len(unread), np.int64))
    return MergedEvents(
        rows=rows,
        superseded=Superseded(kept, until, n_moved),
        counts=counts,
        touched=bool(len(fresh) or touched.any()),
        disputed=np.append(now.event_time[moved], held.conflicts),
    )


class _Held(NamedTuple):
    """What holds of the events that new rows tell of.

    Attributes
    ----------
    rows : EventRows
        Each event once.
    stored_at : array of int, shape (n_rows,)
        Place of each among the stored events; -1 of new ones.
    kept : EventRows
        Versions that do not hold and must be kept.
    kept_row : array of int, shape (n_kept,)
        Place in `rows` of the event that each is of.
    was_stored : array of bool, shape (n_kept,)
        Which of them are what was stored.
    conflicts : array of int64, ms
        Times of the new rows that contradict what holds.
    contradicted : int
        Stored events that new rows contradict.
    agreeing : array of bool, shape (n_rows,)
        Whether a new row agrees with what holds.
    """

    rows: EventRows
    stored_at: Places
    kept: EventRows
    kept_row: Places
    was_stored: Mask
    conflicts: Times
    contradicted: int
    agreeing: Mask


def _held(stored: EventRows, incoming: EventRows, versions: EventRows) -> _Held:
    """Decide what holds of the events that new rows tell of; events of a single version need no decision."""
    kind = incoming.kind
    versions = versions.take(versions.source_rank != UNION)
    if len(incoming) == 0:
        nowhere: Places = np.empty(0, dtype=np.intp)
        return _Held(incoming, nowhere, incoming, nowhere, nowhere == 0, incoming.event_time, 0, nowhere == 0)
    low, high = incoming.event_time.min(), incoming.event_time.max()
    near = np.flatnonzero((stored.event_time >= low) & (stored.event_time <= high))
    numbers = concat_event_rows([stored.take(near), incoming, versions], kind).numbers()
    of_stored, of_told, of_version = np.split(numbers, np.cumsum([len(near), len(incoming)]))
    events, first, event = np.unique(of_told, return_index=True, return_inverse=True)
    place = np.full(int(numbers.max(initial=-1)) + 1, -1)
    place[events] = np.arange(len(events))
    stored_at = np.full(len(events), -1)
    told_of = place[of_stored] >= 0
    stored_at[place[of_stored][told_of]] = near[told_of]

    there = stored_at >= 0
    new, old = incoming.take(first), stored.take(stored_at[there])
    told = new.take(there)
    agree = ~differs(told.columns, old.columns)
    covered = agree & ~fills(told.columns, old.columns) & (told.source_rank <= old.source_rank)
    covers = agree & ~fills(old.columns, told.columns) & (told.source_rank >= old.source_rank)
    several = np.bincount(event, minlength=len(events)) > 1
    known: Mask = place[of_version] >= 0
    several[place[of_version][known]] = True
    several[there] |= ~covered & ~covers

    shared = there[event]
    clash = differs(incoming.take(shared).columns, stored.take(stored_at[event[shared]]).columns)
    contradicted = len(np.unique(event[shared][clash]))

    source = np.arange(len(events))
    source[there] = np.where(covered, len(events) + np.arange(len(old)), source[there])
    rows = concat_event_rows([new, old], kind).take(source)
    kept, kept_row = rows.take(slice(0, 0)), np.empty(0, np.intp)
    was_stored: Mask = np.empty(0, dtype=bool)
    conflicts: Times = np.empty(0, dtype=np.int64)
    contradicting = np.empty(0, np.intp)
    if several.any():
        number = np.cumsum(several) - 1
        own = several[there] & (old.source_rank != UNION)
        theirs, mine = known & several[place[of_version]], several[event]
        parts = [old.take(own), versions.take(theirs), incoming.take(mine)]
        row = np.concatenate([np.flatnonzero(there)[own], place[of_version[theirs]], event[mine]])
        origin = np.repeat([0, 1, 2], [len(part) for part in parts])
        every = concat_event_rows(parts, kind)
        settled = settle(number[row], every.source_rank, every.columns)
        columns = {name: values.copy() for name, values in rows.columns.items()}
        for name, values in columns.items():
            values[several] = settled.columns[name]
        ranks = rows.source_rank.copy()
        ranks[several] = settled.rank
        rows = replace(rows, columns=columns, source_rank=ranks)
        keep = settled.kept & (origin != 1)
        kept, kept_row, was_stored = every.take(keep), row[keep], origin[keep] == 0
        contradicts = settled.contradicts & (origin == 2)
        conflicts, contradicting = every.event_time[contradicts], row[contradicts]
    rows = _first_received(rows, event, incoming, there, old)
    agreeing = np.bincount(event, minlength=len(events)) > np.bincount(contradicting, minlength=len(events))
    return _Held(rows, stored_at, kept, kept_row, was_stored, conflicts, contradicted, agreeing)


def _first_received(rows: EventRows, event: Places, incoming: EventRows, there: Mask, old: EventRows) -> EventRows:
    """Return events with the first recorded moment of receipt among all who told of them, and their place within it."""
    if len(old) == 0 and len(incoming) == len(rows):
        return rows  # one row of each
    every = concat_event_rows([old, incoming], rows.kind)
    of = np.concatenate([np.flatnonzero(there), event])
    declared = every.available_at == every.event_time + rows.kind.lag_ms
    moment = np.where(declared, np.iinfo(np.int64).max, every.available_at)
    order = np.lexsort((every.rank, moment, of))
    first = order[np.diff(of[order], prepend=-1) != 0]
    return replace(rows, available_at=every.available_at[first], rank=every.rank[first])


def _pairs(stored: EventRows, incoming: EventRows) -> tuple[Mask, Places]:
    """Which new events are stored, and the places of those among the stored ones."""
    there = np.zeros(len(incoming), dtype=bool)
    nowhere: Places = np.empty(0, dtype=np.intp)
    if len(stored) == 0 or len(incoming) == 0:
        return there, nowhere
    first, last = incoming.event_time.min(), incoming.event_time.max()
    near = np.flatnonzero((stored.event_time >= first) & (stored.event_time <= last))
    if len(near) == 0:
        return there, nowhere
    order, same = same_event(concat_event_rows([stored.take(near), incoming], incoming.kind))
    twice = np.flatnonzero(same)  # of two that are equal the stored one stands first
    old, new = order[twice], order[twice + 1] - len(near)
    there[new] = True
    return there, near[old[np.argsort(new)]]


def aggregated_twice(incoming: EventRows, merged: EventRows) -> tuple[int, float]:
    """Find trades that are stored under other ids as well: same time, price and side.

    Single trades and the aggregated rows that stand for them are numbered apart, so that both would be stored and every
    trade count twice.

    Parameters
    ----------
    incoming, merged : EventRows
        New trades, and stored ones after the new ones were merged into them.

    Returns
    -------
    tuple of int and float
        How many times, prices and sides they share, and the share of the trades that have them, of new or of stored
        ones whichever is larger, in the time that both are of.
    """
    if len(merged) == len(incoming):
        return 0, 0.0
    _, own = _pairs(merged, incoming)
    foreign = np.ones(len(merged), dtype=bool)
    foreign[own] = False
    others = merged.take(foreign)
    low = max(rows.event_time.min() for rows in (incoming, others))
    high = min(rows.event_time.max() for rows in (incoming, others))
    sides = [rows.take((rows.event_time >= low) & (rows.event_time <= high)) for rows in (incoming, others)]
    if min(len(rows) for rows in sides) == 0:
        return 0, 0.0
    both = concat_event_rows(sides, incoming.kind)
    keys = [both.columns["side"], both.columns["price"], both.event_time]
    order = np.lexsort(keys)
    starts = np.append(True, np.any([np.diff(key[order]) != 0 for key in keys], axis=0))
    group = np.empty(len(both), dtype=np.int64)
    group[order] = np.cumsum(starts)
    mine, theirs = group[: len(sides[0])], group[len(sides[0]) :]
    shared = np.intersect1d(mine, theirs)
    return len(shared), float(max(np.isin(mine, shared).mean(), np.isin(theirs, shared).mean()))


def _dated(fresh: EventRows, history: tuple[int, int] | None, now_ms: int) -> EventRows:
    """Return added rows with the moment at which they were stored, where they come into stored history."""
    if history is None or len(fresh) == 0:
        return fresh
    inside = (fresh.event_time > history[0]) & (fresh.event_time < history[1])
    return replace(fresh, stored_at=np.where(inside, np.int64(now_ms), fresh.stored_at))
