"""New events meet stored events: what is added, what is the same, what is a revision.

1. Two rows are the same event if their time and the key of their kind (market/schema/kinds.py) are equal.
2. The same event with the same values is a duplicate. Where one source recorded when it was received and the other
   did not, the recorded moment holds; of two recorders the earlier one, since from then on it could be known.
3. The same event with other values is a revision: it takes the place of the stored row, which is kept among the
   revisions with the moment at which it was superseded. A superseded version does not come back.
4. Where all values agree that both know, what only one of them knows is added.
5. Rows that come into stored history carry `stored_at`, and so does what replaces another row, so that the store can
   still be read as it was.

Without revisions the order in which files come does not matter: the rows are the same in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.lake.event_rows import EventRows, concat_event_rows, filled, known, same_event
from virtuoso.types import Mask, Times

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class MergedEvents:
    """Stored events after new ones were merged into them.

    Attributes
    ----------
    rows : EventRows
        All of them, in order of arrival.
    superseded : EventRows
        Earlier versions of changed events.
    superseded_at : array of int64, ms
        When each of them stopped being the truth.
    stored, duplicates, revised, conflicts, late : int
        Events added; events that were there; events changed, and how many of them because a value differs; events
        added or changed that are stored later than the history around them.
    changed : bool
        Whether any row differs from what was stored.
    """

    rows: EventRows
    superseded: EventRows
    superseded_at: Times
    stored: int
    duplicates: int
    revised: int
    conflicts: int
    late: int
    changed: bool


@dataclass(frozen=True, slots=True)
class MergedCounts:
    """What became of new rows of one series.

    Attributes
    ----------
    stored, duplicates, revised, conflicts, late : int
        See `Merged` of bars and `MergedEvents`.
    changed : bool
        Whether any row differs from what was stored.
    flat : int
        Flat bars added.
    """

    stored: int
    duplicates: int
    revised: int
    conflicts: int
    late: int
    changed: bool
    flat: int = 0

    @classmethod
    def of(cls, merged: Iterable[MergedEvents]) -> MergedCounts:
        """Add the counts of partitions up."""
        parts = list(merged)
        names = ("stored", "duplicates", "revised", "conflicts", "late")
        counts = {name: sum(int(getattr(part, name)) for part in parts) for name in names}
        return cls(**counts, changed=any(part.changed for part in parts))


def merge_events(
    stored: EventRows, incoming: EventRows, versions: EventRows, history: tuple[int, int] | None, now_ms: int
) -> MergedEvents:
    """Merge new events into stored ones.

    Parameters
    ----------
    stored, incoming : EventRows
        Each event once on either side.
    versions : EventRows
        Versions of events that were superseded before.
    history : tuple of int, ms, or None
        Times of the first and last event that were stored before this import.
    now_ms : int, ms

    Returns
    -------
    MergedEvents
    """
    kind, n = incoming.kind, len(incoming)
    there, old_at = _pairs(stored, incoming)
    new, old = incoming.take(there), stored.take(old_at)
    differs = _differs(new, old)
    superseded_before = differs & equal_to_any(new, versions)
    new, old = new.take(~superseded_before), old.take(~superseded_before)
    differs, adds, old_at = differs[~superseded_before], _adds(new, old), old_at[~superseded_before]
    sooner = _received_before(new, old)
    changed = differs | adds | (sooner & (new.available_at != old.available_at))
    version = filled(new, old, differs)
    keep = ~(sooner | differs)  # the moment of receipt that is stored holds
    at = np.where(changed, np.maximum(now_ms, old.stored_at + 1), old.stored_at)
    version = replace(
        version,
        available_at=np.where(keep, old.available_at, new.available_at),
        rank=np.where(keep, old.rank, new.rank),
        stored_at=at,
    )
    fresh = _dated(incoming.take(~there), history, now_ms)
    touched = changed | sooner
    gone = np.zeros(len(stored), dtype=bool)
    gone[old_at[touched]] = True
    rows = concat_event_rows([stored.take(~gone), version.take(touched), fresh], kind).sorted()
    return MergedEvents(
        rows=rows,
        superseded=old.take(changed),
        superseded_at=at[changed],
        stored=len(fresh),
        duplicates=n - len(fresh) - int(changed.sum()),
        revised=int(changed.sum()),
        conflicts=int(differs.sum()),
        late=int((fresh.stored_at > 0).sum() + changed.sum()),
        changed=bool(len(fresh) or touched.any()),
    )


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
    others = merged.take(np.setdiff1d(np.arange(len(merged)), own))
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


def _differs(new: EventRows, old: EventRows) -> Mask:
    """Return, row by row, whether a column that both know differs."""
    answer = np.zeros(len(new), dtype=bool)
    for name, mine in new.columns.items():
        theirs = old.columns[name]
        answer |= (mine != theirs) & known(mine) & known(theirs)
    return answer


def _adds(new: EventRows, old: EventRows) -> Mask:
    """Return, row by row, whether a column is known that was not."""
    answer = np.zeros(len(new), dtype=bool)
    for name, mine in new.columns.items():
        answer |= known(mine) & ~known(old.columns[name])
    return answer


def _received_before(new: EventRows, old: EventRows) -> Mask:
    """Return, row by row, whether the new row tells better when the event could be known, or its place within then."""
    lag = new.kind.lag_ms
    mine, theirs = (
        np.where(rows.available_at == rows.event_time + lag, np.iinfo(np.int64).max, rows.available_at)
        for rows in (new, old)
    )
    return np.asarray((mine < theirs) | ((mine == theirs) & (new.rank < old.rank)))


def equal_to_any(incoming: EventRows, versions: EventRows) -> Mask:
    """Return which events equal a version that was superseded by other values, in all they carry.

    Either side may hold an event several times.
    """
    answer = np.zeros(len(incoming), dtype=bool)
    for told in _once_each(incoming):
        rows = incoming.take(told)
        for superseded in _once_each(versions):
            there, at = _pairs(versions.take(superseded), rows)
            mine, theirs = rows.take(there), versions.take(superseded[at])
            answer[told[there]] |= ~_differs(mine, theirs) & ~_adds(mine, theirs)
    return answer


def _once_each(rows: EventRows) -> Iterator[Places]:
    """Yield places of rows among which each event stands once: a round a version, rarely more than one."""
    remaining: Places = np.arange(len(rows), dtype=np.intp)
    while len(remaining):
        order, same = same_event(rows.take(remaining))
        last = np.append(~same, True)
        yield remaining[order[last]]
        remaining = remaining[order[~last]]


def _dated(fresh: EventRows, history: tuple[int, int] | None, now_ms: int) -> EventRows:
    """Return added rows with the moment at which they were stored, where they come into stored history."""
    if history is None or len(fresh) == 0:
        return fresh
    inside = (fresh.event_time > history[0]) & (fresh.event_time < history[1])
    return replace(fresh, stored_at=np.where(inside, np.int64(now_ms), fresh.stored_at))
