"""New bars meet stored bars: what is added, what is the same, what is a revision, what is a conflict.

1. A bar that agrees with the stored one in every column both know is the same; what it alone knows is added to it, and
   revises nothing.
2. Where versions of a bar disagree, one of them holds, whatever the order in which they came (versions.py): by the rank
   of its source, then by the digest of its values. A new one that holds is a revision: it takes the place of the stored
   one. A new one that does not is a conflict. The versions that do not hold are kept among the revisions.
3. Bars are never mixed: a column that the version that holds does not carry is not known.
4. At venues that publish only bars with trades, the first bars of a gap are written flat and marked NO_TRADE.
5. What lies outside stored history counts from its close, as an archive does; what is added inside it, and what
   replaces another version, counts from now, so that the store can still be read as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.lake.manifest import Gap
from virtuoso.lake.writing.versions import UNION, MergedCounts, Superseded, settle
from virtuoso.market.gaps import NO_TRADE, TRADED, GapPolicy
from virtuoso.market.rows import Rows, concat_rows, flat_rows, traded_rows
from virtuoso.types import Mask, Times


@dataclass(frozen=True, slots=True)
class Merged:
    """Stored bars after new ones were merged into them.

    Attributes
    ----------
    rows : Rows
        In order, one a bar.
    touched : array of bool, shape (n_rows,)
        Which of them were added or changed.
    superseded : Superseded of Rows
    counts : MergedCounts
    disputed : array of int64, ms
        Open times of the bars that were revised or are contradicted.
    """

    rows: Rows
    touched: Mask
    superseded: Superseded[Rows]
    counts: MergedCounts
    disputed: Times


def merge(
    stored: Rows,
    incoming: Rows,
    versions: Rows,
    history: tuple[int, int] | None,
    timeframe: Timeframe,
    policy: GapPolicy,
    now_ms: int,
) -> Merged:
    """Merge new bars into stored ones.

    Parameters
    ----------
    stored : Rows
        In order, one a bar.
    incoming : Rows
        In order of time, all traded; a source may tell of one bar several times.
    versions : Rows
        Versions of these bars that are among the revisions.
    history : tuple of int, ms, or None
        Open times of the first and last bar that were stored before this import.
    timeframe : Timeframe
    policy : GapPolicy
        Whether gaps are flat bars.
    now_ms : int, ms

    Returns
    -------
    Merged
    """
    held = _held(stored, incoming, versions, timeframe)
    at, there = _places(stored.open_time, held.rows.open_time)
    now, before = held.rows.take(there), stored.take(at[there])
    stays = np.zeros(len(held.rows), dtype=bool)
    stays[there] = _same(now, before) & (now.source_rank == before.source_rank)

    fresh = _without(held.rows, stays)
    untouched = _without(stored, np.isin(stored.open_time, fresh.open_time))
    traded = concat_rows([untouched.take(untouched.state == TRADED), fresh]).sorted()
    flat = flat_rows(traded, policy, timeframe.ms)
    _, covered = _places(flat.open_time, untouched.open_time)
    kept_flat = untouched.take((untouched.state == NO_TRADE) & ~covered)
    dated = _dated(concat_rows([traded, flat, kept_flat]).sorted(), stored, history, timeframe, now_ms)

    unread = held.kept.take(~(held.was_stored & np.isin(held.kept.open_time, dated.read.open_time)))
    told = np.unique(incoming.open_time, return_counts=True)[1]
    told -= np.bincount(np.searchsorted(held.rows.open_time, held.conflicts), minlength=len(told))
    revised = np.isin(held.rows.open_time, dated.moved) & (told > 0)
    stored_before = np.isin(dated.moved, stored.open_time[stored.state == TRADED])
    n_new, n_revised, n_conflicts = int((~there).sum()), int(revised.sum()), len(held.conflicts)
    counts = MergedCounts(
        stored=n_new,
        duplicates=len(incoming) - n_new - n_revised - n_conflicts,
        revised=n_revised,
        conflicts=n_conflicts,
        filled=int(np.isin(held.rows.open_time, dated.filled).sum()),
        shared=held.shared,
        contradicted=held.contradicted,
        flat=int((dated.added & (dated.rows.state == NO_TRADE)).sum()),
        late=dated.late,
        changed=bool(dated.touched.any() or len(unread)),
    )
    return Merged(
        rows=dated.rows,
        touched=dated.touched,
        superseded=Superseded(
            concat_rows([dated.read, unread]), np.append(dated.until, np.zeros(len(unread), np.int64)), len(dated.moved)
        ),
        counts=counts,
        disputed=np.append(dated.moved[stored_before], held.conflicts),
    )


class _Held(NamedTuple):
    """What holds of the bars that new rows tell of.

    Attributes
    ----------
    rows : Rows
        In order of time, one a bar.
    kept : Rows
        Versions that do not hold and must be kept.
    was_stored : array of bool, shape (n_kept,)
        Which of them are what was stored.
    conflicts : array of int64, ms
        Open times of the new rows that contradict what holds.
    shared, contradicted : int
        Stored bars that new rows tell of, and how many of them they contradict.
    """

    rows: Rows
    kept: Rows
    was_stored: Mask
    conflicts: Times
    shared: int
    contradicted: int


def _held(stored: Rows, incoming: Rows, versions: Rows, timeframe: Timeframe) -> _Held:
    """Decide what holds of the bars that new rows tell of; bars of a single version need no decision."""
    versions = versions.take((versions.state == TRADED) & (versions.source_rank != UNION))
    times, first, bar = np.unique(incoming.open_time, return_index=True, return_inverse=True)
    at, there = _places(stored.open_time, times)
    there[there] = stored.state[at[there]] == TRADED
    new, old = incoming.take(first), stored.take(at[there])
    of_version, known = _places(times, versions.open_time)
    several = np.bincount(bar, minlength=len(times)) > 1
    several[of_version[known]] = True
    told = new.take(there)
    agree = ~told.differs(old)
    covered = agree & ~told.fills(old) & (told.source_rank <= old.source_rank)
    covers = agree & ~old.fills(told) & (told.source_rank >= old.source_rank)
    several[there] |= ~covered & ~covers

    place = np.cumsum(there) - 1
    of_stored = there[bar]
    clash = incoming.take(of_stored).differs(old.take(place[bar[of_stored]]))
    shared, contradicted = len(old), len(np.unique(bar[of_stored][clash]))

    source = np.arange(len(times))
    source[there] = np.where(covered, len(times) + np.arange(len(old)), source[there])
    single = concat_rows([new, old]).take(source[~several])
    nothing = new.take(slice(0))
    if not several.any():
        return _Held(single, nothing, np.empty(0, dtype=bool), nothing.open_time, shared, contradicted)

    number = np.cumsum(several) - 1
    own = several[there] & (old.source_rank != UNION)
    theirs, mine = known & several[of_version], several[bar]
    parts = [old.take(own), versions.take(theirs), incoming.take(mine)]
    row = np.concatenate([number[there][own], number[of_version[theirs]], number[bar[mine]]])
    origin = np.repeat([0, 1, 2], [len(part) for part in parts])
    every = concat_rows(parts)
    settled = settle(row, every.source_rank, every.columns)
    decided = replace(traded_rows(times[several], settled.columns, timeframe.ms), source_rank=settled.rank)
    keep = settled.kept & (origin != 1)
    return _Held(
        rows=concat_rows([single, decided]).sorted(),
        kept=every.take(keep),
        was_stored=origin[keep] == 0,
        conflicts=every.open_time[settled.contradicts & (origin == 2)],
        shared=shared,
        contradicted=contradicted,
    )


def _places(times: Times, wanted: Times) -> tuple[NDArray[np.intp], Mask]:
    """Where each wanted time stands among sorted times, and whether it is there at all."""
    at = np.minimum(np.searchsorted(times, wanted), max(len(times) - 1, 0))
    there = times[at] == wanted if len(times) else np.zeros(len(wanted), dtype=bool)
    return at, there


def _without(rows: Rows, mask: Mask) -> Rows:
    return rows.take(~mask) if mask.any() else rows


def _same(now: Rows, before: Rows) -> Mask:
    """Return, row by row, whether nothing that is read differs."""
    agree = ~now.differs(before) & ~now.fills(before) & ~before.fills(now)
    return np.asarray(agree & (now.state == before.state))


class _Dated(NamedTuple):
    """Rows with the moments from which they count.

    Attributes
    ----------
    rows : Rows
    touched, added : array of bool, shape (n_rows,)
        Which of them must be written; which were not stored.
    read : Rows
        Stored versions that were read until now.
    until : array of int64, ms, shape (n_read,)
        When each of them stopped being the truth.
    moved, filled : array of int64, ms
        Open times of the rows that another version has replaced, and of those to which columns were added.
    late : int
        Rows that were added or replaced and count from now.
    """

    rows: Rows
    touched: Mask
    added: Mask
    read: Rows
    until: Times
    moved: Times
    filled: Times
    late: int


def _dated(rows: Rows, stored: Rows, history: tuple[int, int] | None, timeframe: Timeframe, now_ms: int) -> _Dated:
    """Date rows: what was added to a row leaves its own moment alone, and was not known before all the same."""
    at, there = _places(stored.open_time, rows.open_time)
    now, before = rows.take(there), stored.take(at[there])
    available = rows.open_time + timeframe.ms
    same = _same(now, before)
    fills = ~same & ~now.differs(before) & ~before.fills(now) & (now.state == before.state)
    moved = ~same & ~fills
    # a later version is known later than the one before it, whatever the clock says
    later = np.maximum(now_ms, before.available_at + 1)
    available[there] = np.where(moved, np.maximum(available[there], later), before.available_at)
    read = moved.copy()
    inside = np.zeros(len(rows), dtype=bool)
    if history is not None:
        inside = ~there & (rows.open_time > history[0]) & (rows.open_time < history[1])
        available[inside] = np.maximum(available[inside], now_ms)
        read |= fills & (before.open_time >= history[0]) & (before.open_time <= history[1])
    touched = ~there
    touched[there] = ~same | (now.source_rank != before.source_rank)
    changed = ~there
    changed[there] = moved
    return _Dated(
        rows=replace(rows, available_at=available),
        touched=touched,
        added=~there,
        read=before.take(read),
        until=np.where(moved, available[there], later)[read],
        moved=now.open_time[moved],
        filled=now.open_time[fills],
        late=int((changed & (available > rows.open_time + timeframe.ms)).sum()),
    )


def missing_stretches(times: Times, timeframe: Timeframe) -> list[Gap]:
    """Return stretches without a bar between bars in order of time."""
    holes = np.flatnonzero(np.diff(times) > timeframe.ms)
    return [Gap(int(times[i]) + timeframe.ms, int(times[i + 1])) for i in holes]
