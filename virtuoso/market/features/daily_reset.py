"""Builders that begin anew every day: their columns do not depend on where history starts.

A builder of trades or of the book carries state without end: the last thousand orders, a book, averages. So that the
same bar gets the same bits whether history was read whole, from somewhere in the middle, or live since yesterday, its
columns of a UTC day are those of a builder that began with the day before, and nothing older. Two builders run side by
side: one shows its columns, the other one, begun at the last midnight, will show them tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np

from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.market.events import Events, FeatureBuilder
from virtuoso.types import Array

DAY_MS = UNIT_MS["d"]


class DailyReset:
    """A `FeatureBuilder` that begins anew every midnight, UTC, and shows a day of it from the next midnight on.

    Parameters
    ----------
    begin : callable
        Makes a builder that has seen nothing.
    timeframe : Timeframe
    """

    def __init__(self, begin: Callable[[Timeframe], FeatureBuilder], timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        self._begin = begin
        self._shown = self._next = begin(timeframe)
        self.kinds, self.columns = self._shown.kinds, self._shown.columns
        self._started = False

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end), which follow those of the call before.

        Parameters
        ----------
        events : mapping of kind to Events
            As for every `FeatureBuilder`, but older ones than the first bar are left out. Hand in events since the
            midnight before the day whose columns are wanted.
        first, end : int
            Numbers of bars.
        """
        parts = [self._piece(piece, a, b) for a, b, piece in self._pieces(events, first, end)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts] or [np.empty(0)]) for name in self.columns}

    def _pieces(
        self, events: Mapping[str, Events], first: int, end: int
    ) -> Iterator[tuple[int, int, Mapping[str, Events]]]:
        """Cut a stretch of bars at midnights."""
        day = DAY_MS // self.timeframe.ms
        edges = [first, *range(first - first % day + day, end, day), end] if end > first else []
        for a, b in pairwise(edges):
            opened, closed = a * self.timeframe.ms, b * self.timeframe.ms
            yield a, b, {kind: some.between(opened, closed) for kind, some in events.items()}

    def _piece(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        if self._started and first * self.timeframe.ms % DAY_MS == 0:
            self._shown, self._next = self._next, self._begin(self.timeframe)
        self._started = True
        if self._next is not self._shown:
            self._next.bars(events, first, end)
        return self._shown.bars(events, first, end)
