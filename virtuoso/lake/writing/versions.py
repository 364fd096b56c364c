"""Several versions of one row: which of them holds, whatever the order in which they came.

A version is what one source told of a row, with the declared rank of that source (ingest/source_rank.py).

1. A version is needless beside another that tells all it tells, with the same values, by a source of no lower rank.
2. The others are put in order: the higher rank first, of equal ranks the larger digest of their values (splitmix64 of
   the bits of each known value and the name of its column, added up), last the values themselves.
3. The first one holds. Each further one either contradicts what holds by then in a value that both know, and is passed
   over whole, or adds what it alone knows. Rows are never mixed of sources that disagree.

So what holds depends on the set of versions alone. All that are not needless are kept: what holds, and the others
among the revisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from virtuoso.lake.event_rows import EventRows, known
from virtuoso.market.rows import Rows
from virtuoso.types import Mask, Times

UNION = -1
"""Rank of a row that was put together from several versions, and is none itself."""
PREFERRED = 100
"""Rank of a source that somebody has called right: what contradicts it is settled."""

Places = NDArray[np.intp]
Ranks = NDArray[np.int16]
Columns = Mapping[str, NDArray[Any]]
R = TypeVar("R", Rows, EventRows)
_COUNTS = ("stored", "duplicates", "revised", "conflicts", "filled", "shared", "contradicted", "flat", "late")


@dataclass(frozen=True, slots=True)
class MergedCounts:
    """What became of new rows of one series. Each is counted once in the first four.

    Attributes
    ----------
    stored, duplicates, revised, conflicts : int
        Rows added; rows that agree with what is stored; rows that took the place of others; rows that contradict what
        holds.
    filled : int
        Stored rows to which columns were added; the new ones are among the duplicates.
    shared, contradicted : int
        Stored rows that the new ones tell of, and how many of them they contradict.
    flat : int
        Flat bars added.
    late : int
        Rows added or revised that count from now, since they lie inside stored history.
    changed : bool
        Whether anything is to be written.
    against : tuple of str
        Names of the other sources that tell of the time in which rows disagree.
    """

    stored: int = 0
    duplicates: int = 0
    revised: int = 0
    conflicts: int = 0
    filled: int = 0
    shared: int = 0
    contradicted: int = 0
    flat: int = 0
    late: int = 0
    changed: bool = False
    against: tuple[str, ...] = ()

    def __add__(self, other: MergedCounts) -> MergedCounts:
        summed = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        against = tuple(sorted({*self.against, *other.against}))
        return MergedCounts(**summed, changed=self.changed or other.changed, against=against)


@dataclass(frozen=True, slots=True)
class Superseded(Generic[R]):
    """Versions that do not hold, or do not hold any more.

    Attributes
    ----------
    rows : Rows or EventRows
    until : array of int64, ms, shape (n_rows,)
        When each stopped being the truth; 0 for those that nobody ever read.
    revised : int
        How many of them another version has replaced, which disagrees.
    """

    rows: R
    until: Times
    revised: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds of several rows.

    Attributes
    ----------
    columns : mapping of str to array, shape (n_rows,)
    rank : array of int16, shape (n_rows,)
        Of the version that holds; UNION where others add to it.
    kept : array of bool, shape (n_versions,)
        Versions that are not needless and are not what holds themselves.
    contradicts : array of bool, shape (n_versions,)
        Versions that differ from what holds.
    """

    columns: Columns
    rank: Ranks
    kept: Mask
    contradicts: Mask


def open_conflicts(held: R, versions: R, joined: Callable[[Sequence[R]], R]) -> R:
    """Return the rows of which a version contradicts what holds, while no source of them is preferred."""
    both = joined([held, versions])
    row, rank = both.numbers(), both.source_rank
    at = np.zeros(len(both), dtype=np.intp)
    at[row[: len(held)]] = np.arange(len(held))
    contradicts = differs(both.columns, _taken(both.columns, at[row]))
    disputed = np.intersect1d(row[contradicts], row[: len(held)])
    return both.take(at[np.setdiff1d(disputed, row[rank >= PREFERRED])])


def settle(row: Places, rank: Ranks, columns: Columns) -> Settled:
    """Decide what holds of rows of which there are several versions.

    Parameters
    ----------
    row : array of int, shape (n_versions,)
        Which row each version is of, from 0; every row has one.
    rank : array of int16, shape (n_versions,)
    columns : mapping of str to array, shape (n_versions,)
        Their values, without those that identify a row.
    """
    keys = [columns[name] for name in sorted(columns, reverse=True)]
    order = np.lexsort((*keys, ~digests(columns), -rank.astype(np.int64), row))
    needless = np.zeros(len(row), dtype=bool)
    needless[order] = _needless(row[order], rank[order], _taken(columns, order))
    order = order[~needless[order]]
    place = _places_within(row[order])
    first = order[place == 0]
    held = {name: values[first].copy() for name, values in columns.items()}
    union = np.zeros(len(first), dtype=bool)
    for k in range(1, int(place.max(initial=0)) + 1):
        version = order[place == k]
        at, told = row[version], _taken(columns, version)
        fits = ~differs(told, _taken(held, at))
        for name, values in held.items():
            adds = fits & known(told[name]) & ~known(values[at])
            values[at[adds]] = told[name][adds]
            union[at[adds]] = True
    kept = ~needless
    kept[first[~union]] = False
    return Settled(
        columns=held,
        rank=np.where(union, np.int16(UNION), rank[first]),
        kept=kept,
        contradicts=differs(columns, _taken(held, row)),
    )


def _needless(row: Places, rank: Ranks, columns: Columns) -> Mask:
    """Which versions, in order, another of the same row makes needless; of two equal ones the later is."""
    answer = np.zeros(len(row), dtype=bool)
    longest = int(_places_within(row).max(initial=0))
    for lag in range(1, longest + 1):
        first = np.flatnonzero(row[lag:] == row[:-lag])
        before, after = _taken(columns, first), _taken(columns, first + lag)
        agree = ~differs(before, after)
        covered = agree & ~fills(after, before)
        answer[(first + lag)[covered]] = True
        covers = agree & ~covered & ~fills(before, after) & (rank[first] == rank[first + lag])
        answer[first[covers]] = True
    return answer


def _places_within(row: Places) -> Places:
    """Place of each version among those of its row; versions of a row stand together."""
    position = np.arange(len(row))
    starts = np.diff(row, prepend=-1) != 0
    place: Places = position - np.maximum.accumulate(np.where(starts, position, 0))
    return place


def _taken(columns: Columns, index: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: values[index] for name, values in columns.items()}


def differs(new: Columns, old: Columns) -> Mask:
    """Return, row by row, whether a column that both know differs."""
    answer = np.zeros(_length(new), dtype=bool)
    for name, mine in new.items():
        theirs = old[name]
        answer |= (mine != theirs) & known(mine) & known(theirs)
    return answer


def fills(new: Columns, old: Columns) -> Mask:
    """Return, row by row, whether the new one knows a column that the old one does not."""
    answer = np.zeros(_length(new), dtype=bool)
    for name, mine in new.items():
        answer |= known(mine) & ~known(old[name])
    return answer


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def digests(columns: Columns) -> NDArray[np.uint64]:
    """Return the digest of the known values of each version; the order of the columns does not matter."""
    total = np.zeros(_length(columns), dtype=np.uint64)
    for name, values in columns.items():
        wide = values.astype(np.float64 if values.dtype.kind == "f" else np.int64).view(np.uint64)
        total += np.where(known(values), _mixed(wide ^ _salt(name)), np.uint64(0))
    return total


@cache
def _salt(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The splitmix64 finaliser: every bit depends on all others."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
