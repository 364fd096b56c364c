"""The order book at a moment: recorded changes applied up to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Level = tuple[int, int]
"""Price in ticks, size in lots; in a change a size of 0 removes."""
Sides = tuple[dict[int, int], dict[int, int]]
"""Sizes by price, of bids and of asks."""


class BookCursor:
    """A book that follows a recording.

    Attributes
    ----------
    update : int
        Number of the last change that is in it: changes are counted from 1, the same for everyone who asks.
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self._times, self._rows = np.ascontiguousarray(rows[:, 0]), rows
        whole = rows[:, 1] == 1
        fresh = np.ones(len(rows), dtype=bool)  # a snapshot begins where the row before is none, or an older one's
        fresh[1:] = ~whole[:-1] | (rows[1:, 0] != rows[:-1, 0])
        self._snapshots = np.flatnonzero(whole & fresh)
        self._begins = frozenset(self._snapshots.tolist())
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self.update = 0

    def fresh(self) -> BookCursor:
        """Give another cursor over the same recording."""
        return BookCursor(self._rows)

    def move(self, now: int) -> None:
        """Apply what happened up to a moment; where that lies behind, begin again at the snapshot before it."""
        end = int(np.searchsorted(self._times, now, side="right"))
        n = int(np.searchsorted(self._snapshots, end))
        newest = int(self._snapshots[n - 1]) if n else 0
        if end < self.update or newest > self.update:
            self.update = newest
        for _, _, side, price, size in self._rows[self.update : end].tolist():
            if self.update in self._begins:
                self._bids.clear()
                self._asks.clear()
            self.update += 1
            levels = self._bids if side > 0 else self._asks
            if size:
                levels[price] = size
            else:
                levels.pop(price, None)

    def levels(self, most: int) -> tuple[list[Level], list[Level]]:
        """Give bids and asks, best first, at most so many of each."""
        return sorted(self._bids.items(), reverse=True)[:most], sorted(self._asks.items())[:most]

    def sides(self, most: int) -> Sides:
        """Give the same as sizes by price, to be kept and compared."""
        bids, asks = self.levels(most)
        return dict(bids), dict(asks)


def changes(before: Sides, after: Sides) -> tuple[list[Level], list[Level]]:
    """Give what must be done to one book to have the other: bids and asks, best first."""
    bids, asks = (
        [(p, new.get(p, 0)) for p in sorted(old.keys() | new.keys(), reverse=best) if new.get(p, 0) != old.get(p, 0)]
        for old, new, best in zip(before, after, (True, False), strict=True)
    )
    return bids, asks
