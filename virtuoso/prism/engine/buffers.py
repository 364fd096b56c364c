"""Series: the growing values of a node on a clock, and all that is looked up once instead of at every bar.

A live bar evaluates a hundred nodes, each in some microseconds; what a node needs and where it comes from never changes
while a workspace lives. workspace.py computes what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.errors import DeclarationError
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import UNKNOWN
from virtuoso.prism.component import RESERVED, Feature, Node
from virtuoso.types import Array

Mask = NDArray[np.bool_]


class Known:
    """Where all of some columns are known on one clock; extended, not recomputed, when bars were added.

    Parameters
    ----------
    columns : frozenset of str
    """

    def __init__(self, columns: frozenset[str]) -> None:
        self._columns = columns
        self._mask: Mask = np.empty(0, dtype=bool)
        self._n = 0
        self._clear = 0

    def over(self, clock: Clock, low: int, high: int) -> Mask | None:
        """Which of the bars at positions [low, high) are known; None where all are."""
        if self._n < high:
            self._extend(clock)
        return None if self._clear <= low else self._mask[low:high]

    def _extend(self, clock: Clock) -> None:
        bars, n = clock.bars, clock.n
        if n > len(self._mask):
            self._mask = _padded(self._mask, _room(len(self._mask), n), False)
        if self._n == n - 1:  # the live step
            known = self._columns.isdisjoint(clock.silent)
            self._mask[n - 1] = known
            self._clear = self._clear if known else n
        else:
            fresh = slice(self._n, n)
            self._mask[fresh] = bars.state[fresh] != UNKNOWN
            for name in self._columns:
                self._mask[fresh] &= np.isfinite(bars.columns[name][fresh])
            unknown = np.flatnonzero(~self._mask[fresh])
            self._clear = self._n + int(unknown[-1]) + 1 if len(unknown) else self._clear
        self._n = n


@dataclass(slots=True)
class Slower:
    """An argument that runs on a clock of its own.

    Attributes
    ----------
    place : int
        Among the arguments.
    node : Node
    own : Timeframe
    outputs : class or None
        Of its named arrays.
    kept : tuple of int
        Number of the slow bar that a few bars saw together, and how many they were.
    values, known : list of Array, and array of bool or None
        What they saw of it, None where it is known: until the slow clock closes, the next ones see the same.
    """

    place: int
    node: Node
    own: Timeframe
    outputs: type[tuple[Any, ...]] | None
    kept: tuple[int, int] = (-1, 0)
    values: list[Array] = field(default_factory=list)
    known: Mask | None = None


class Series:
    """The growing values of one node on one timeframe, and where its inputs come from, looked up once.

    Parameters
    ----------
    node : Node
    clock : Clock

    Attributes
    ----------
    first : int
        Number of the oldest bar that is held: the first of a block, or of the history.
    end : int
        Number after the newest bar that was computed.
    outputs : list of Array, shape (capacity,)
        Value of bar `first + i` at position i, NaN where not known; only what is computed was ever written.
    known : array of bool, shape (capacity,)
        Where the node answered.
    done : list of int
        Number after the last bar computed in each block; the block's start if none.
    clear : int
        Number from which on the node answered at every bar that was computed.
    ready : tuple of int
        Numbers of a stretch, from inclusive, to exclusive, that is known to be computed.
    """

    __slots__ = (
        "arity", "clear", "columns", "columns_known", "done", "end", "first", "inner", "known", "memory", "node",
        "outputs", "ready", "reserved", "slower", "value", "warmup", "windowed",
    )  # fmt: skip

    def __init__(self, node: Node, clock: Clock) -> None:
        timeframe = clock.bars.timeframe
        self.node = node
        self.value, self.windowed = node.value, node.windowed
        self.memory, self.warmup = node.memory(timeframe), node.warmup(timeframe)
        if self.warmup > self.memory:
            raise DeclarationError(f"{node!r} on {timeframe} has memory {self.memory} below its warm-up {self.warmup}.")
        kind = _outputs(node)
        self.outputs = [np.empty(0) for _ in range(len(kind._fields) if kind is not None else 1)]  # type: ignore[attr-defined]
        self.first = self.end = clock.bars.first
        self.known: Mask = np.empty(0, dtype=bool)
        self.done: list[int] = []
        self.clear = clock.bars.first
        self.ready = (0, 0)
        self.arity = len(node.arguments)
        self.columns: list[tuple[int, str]] = []
        self.columns_known: Known | None = None
        self.inner: list[tuple[int, Series, type[tuple[Any, ...]] | None]] = []
        self.slower: list[Slower] = []
        self.reserved: list[tuple[int, str]] = []
        for place, name in enumerate(node.arguments):
            given = None if name in RESERVED else getattr(node, name, None)
            if not isinstance(given, Node):
                (self.reserved if name in RESERVED else self.columns).append((place, name))
            elif given.clock(timeframe) == timeframe:
                self.inner.append((place, clock.open_series(given), _outputs(given)))
            else:
                self.slower.append(Slower(place, given, given.clock(timeframe), _outputs(given)))

    def between(self, start: int, stop: int) -> list[Array]:
        """Values of the bars numbered [start, stop), one array an output; views."""
        return [values[start - self.first : stop - self.first] for values in self.outputs]

    def make_room(self, clock: Clock, start: int, stop: int) -> None:
        """Have room for the bars [start, stop) and for half as many again, beside those that are held."""
        oldest = max(start // clock.block * clock.block, clock.bars.first)
        first = min(self.first, oldest) if len(self.known) else oldest
        if first < self.first or stop > self.first + len(self.known):
            skip, used = max(self.first - first, 0), max(self.end - self.first, 0)
            room = (max(self.end, stop) - first) * 3 // 2
            self.outputs = [_moved(values[:used], skip, np.empty(room)) for values in self.outputs]
            self.known = _moved(self.known[:used], skip, np.zeros(room, dtype=bool))
            self.first, self.end = first, max(self.end, first)
        for block in range(clock.first_block + len(self.done), clock.first_block + clock.blocks):
            self.done.append(max(block * clock.block, clock.bars.first))

    def forget(self, clock: Clock, before: int) -> None:
        """Let go of the blocks that end at a bar or before it; what is kept moves into their place.

        The same pages are then written again and again: that is quicker than fresh ones, and memory does not grow.
        """
        begin, end = self.first // clock.block, min(before // clock.block, clock.first_block + len(self.done))
        held = end * clock.block - self.first
        if held <= 0:
            return
        stop = max(self.end - self.first, held)
        for values in (*self.outputs, self.known):
            values[: stop - held] = values[held:stop]
        self.known[stop - held : stop] = False
        for block in range(begin, end):
            self.done[block - clock.first_block] = max(block * clock.block, clock.bars.first)
        self.first, self.end = self.first + held, self.first + stop
        self.ready = (max(self.ready[0], self.first), max(self.ready[1], self.first))

    def mend(self) -> None:
        """Find `clear` anew after values were put in from elsewhere."""
        unknown = np.flatnonzero(~self.known[: self.end - self.first])
        if len(unknown):
            self.clear = max(self.clear, self.first + int(unknown[-1]) + 1)


class Clock:
    """The bars of one timeframe and all that was computed on them."""

    def __init__(self, bars: Bars, block: int) -> None:
        self.block = block
        self.first_block = bars.first // block
        self.grow(bars)
        self.series: dict[Node, Series] = {}
        self._known: dict[frozenset[str], Known] = {}

    def grow(self, bars: Bars) -> None:
        """Take longer bars in the place of the ones known so far; what was computed stays."""
        self.bars = bars
        self.first, self.columns, self.n = bars.first, bars.columns, len(bars)
        self._silent: frozenset[str] | None = None
        self.blocks = (bars.end - 1) // self.block - self.first_block + 1 if self.n else 0

    @property
    def silent(self) -> frozenset[str]:
        """Columns that are not known at the last bar; found once a bar, asked by every node."""
        if self._silent is None:
            bars = self.bars
            lost = bars.state[-1] == UNKNOWN
            self._silent = frozenset(name for name, column in bars.columns.items() if lost or not isfinite(column[-1]))
        return self._silent

    def open_series(self, node: Node) -> Series:
        """Find or start the series of a node."""
        series = self.series.get(node)
        if series is None:
            series = self.series[node] = Series(node, self)
        return series

    def known(self, columns: frozenset[str]) -> Known:
        """Find or start the record of where some columns are known."""
        return self._known.setdefault(columns, Known(columns))


def _outputs(node: Node) -> type[tuple[Any, ...]] | None:
    """The named arrays a node gives, None where it gives one."""
    return node.outputs if isinstance(node, Feature) else None


def _moved(values: NDArray[Any], skip: int, room: NDArray[Any]) -> NDArray[Any]:
    """The room, with the values in it after the first few places."""
    room[skip : skip + len(values)] = values
    return room


def _room(have: int, n: int) -> int:
    """Room for n values: exactly that at first, with half as much again once it grows."""
    return n if have == 0 else max(n, have + have // 2)


def _padded(values: NDArray[Any], room: int, fill: float | bool) -> NDArray[Any]:
    out = np.full(room, fill, dtype=values.dtype)
    out[: len(values)] = values
    return out
