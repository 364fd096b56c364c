"""New bars meet stored bars: what is added, what is the same, what is a revision.

1. A bar that agrees with the stored one in every column both know is a duplicate.
2. A bar that differs is a revision: it takes the place of the stored one, which is kept among the revisions with the
   moment at which it was superseded. A version that was superseded before does not come back, so that importing the
   same files in any order, any number of times, ends in the same store.
3. Bars are never mixed: a column that a revision does not carry is not known any more. Only where every shared column
   agrees may an import add columns to a bar.
4. At venues that publish only bars with trades, the first bars of a gap are written flat and marked NO_TRADE.
5. What lies outside stored history counts from its close, as an archive does; what is added or changed inside it
   counts from now, so that the store can still be read as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.lake.manifest import Gap
from virtuoso.market.gaps import NO_TRADE, TRADED, GapPolicy
from virtuoso.market.rows import Rows, concat_rows, flat_rows
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
    superseded : Rows
        Earlier versions of changed bars.
    superseded_at : array of int64, ms
        When each of them stopped being the truth.
    stored, duplicates, revised, conflicts, flat, late : int
        Bars added; bars that were there already; bars changed, and how many of them because a shared column differs
        (the others gained columns); flat bars added; added or changed bars that count from now.
    """

    rows: Rows
    touched: Mask
    superseded: Rows
    superseded_at: Times
    stored: int
    duplicates: int
    revised: int
    conflicts: int
    flat: int
    late: int


def merge(
    stored: Rows,
    incoming: Rows,
    known_versions: Rows,
    history: tuple[int, int] | None,
    timeframe: Timeframe,
    policy: GapPolicy,
    now_ms: int,
) -> Merged:
    """Merge new bars into stored ones.

    Parameters
    ----------
    stored, incoming : Rows
        Each in order, one a bar; all incoming ones traded.
    known_versions : Rows
        Versions of these bars that were superseded before.
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
    _, there = _places(stored.open_time, incoming.open_time)
    superseded_before = there & same_versions(incoming, known_versions)
    incoming = _without(incoming, superseded_before)
    at, there = _places(stored.open_time, incoming.open_time)
    shared, old = incoming.take(there), stored.take(at[there])
    differs, adds = shared.differs(old), shared.fills(old)
    was_flat = old.state == NO_TRADE  # a bar that was taken for one without a trade and turned out to have traded
    changed = differs | adds | was_flat
    replacing = _take_over(shared, old, differs | was_flat).take(changed)

    fresh = concat_rows([replacing, incoming.take(~there)])
    untouched = _without(stored, np.isin(stored.open_time, replacing.open_time))
    traded = concat_rows([untouched.take(untouched.state == TRADED), fresh]).sorted()
    flat = flat_rows(traded, policy, timeframe.ms)
    _, covered = _places(flat.open_time, untouched.open_time)
    kept_flat = untouched.take((untouched.state == NO_TRADE) & ~covered)
    rows = concat_rows([traded, flat, kept_flat]).sorted()
    rows, touched, was = _dated(rows, stored, history, timeframe, now_ms)

    gone = stored.take(was[touched & (was >= 0)])
    superseded_at = rows.available_at[touched & (was >= 0)]
    return Merged(
        rows=rows,
        touched=touched,
        superseded=gone,
        superseded_at=superseded_at,
        stored=int((~there).sum()),
        duplicates=int((~changed).sum() + superseded_before.sum()),
        revised=int(changed.sum()),
        conflicts=int((differs & ~was_flat).sum()),
        flat=int((touched & (was < 0) & (rows.state == NO_TRADE)).sum()),
        late=int((touched & (rows.available_at > rows.open_time + timeframe.ms)).sum()),
    )


def _places(times: Times, wanted: Times) -> tuple[Times, Mask]:
    """Where each wanted time stands among sorted times, and whether it is there at all."""
    at = np.minimum(np.searchsorted(times, wanted), max(len(times) - 1, 0))
    there = times[at] == wanted if len(times) else np.zeros(len(wanted), dtype=bool)
    return at, there


def _without(rows: Rows, mask: Mask) -> Rows:
    return rows.take(~mask) if mask.any() else rows


def same_versions(incoming: Rows, known: Rows) -> Mask:
    """Return which bars equal a known version of the same bar, in every column that they carry.

    Parameters
    ----------
    incoming : Rows
        In order of time; the same bar may come more than once.
    known : Rows
        In any order, any number of versions a bar.
    """
    answer = np.zeros(len(incoming), dtype=bool)
    known = known.take(known.state == TRADED).sorted()
    while len(known):  # one round a version of the same bar: rarely more than one
        latest = np.append(np.diff(known.open_time) > 0, True)
        version = known.take(latest)
        at, there = _places(version.open_time, incoming.open_time)
        mine, theirs = incoming.take(there), version.take(at[there])
        answer[there] |= ~mine.differs(theirs) & ~mine.fills(theirs)
        known = known.take(~latest)
    return answer


def _take_over(new: Rows, old: Rows, alone: Mask) -> Rows:
    """The version that follows: the new bar alone where it differs, with the old bar's further columns where not."""
    both = concat_rows([new, old])  # the same columns on both sides
    n = len(new)
    columns = {
        name: np.where(np.isnan(values[:n]) & ~alone, values[n:], values[:n]) for name, values in both.columns.items()
    }
    return Rows(new.open_time, columns, new.state, new.available_at)


def _dated(
    rows: Rows, stored: Rows, history: tuple[int, int] | None, timeframe: Timeframe, now_ms: int
) -> tuple[Rows, Mask, Times]:
    """Return dated rows, which of them were touched, and which stored row each of them was (-1: none)."""
    at, there = _places(stored.open_time, rows.open_time)
    was = np.where(there, at, -1)
    available = rows.open_time + timeframe.ms
    touched = np.ones(len(rows), dtype=bool)
    if there.any():
        now, before = rows.take(there), stored.take(at[there])
        same = ~now.differs(before) & ~now.fills(before) & ~before.fills(now) & (now.state == before.state)
        touched[there] = ~same
        # a later version is known later than the one before it, whatever the clock says
        later = np.maximum(np.maximum(available[there], now_ms), before.available_at + 1)
        available[there] = np.where(same, before.available_at, later)
    if history is not None:
        inside = ~there & (rows.open_time > history[0]) & (rows.open_time < history[1])
        available[inside] = np.maximum(available[inside], now_ms)
    return Rows(rows.open_time, rows.columns, rows.state, available), touched, was


def missing_stretches(times: Times, timeframe: Timeframe) -> list[Gap]:
    """Return stretches without a bar between bars in order of time."""
    holes = np.flatnonzero(np.diff(times) > timeframe.ms)
    return [Gap(int(times[i]) + timeframe.ms, int(times[i + 1])) for i in holes]
