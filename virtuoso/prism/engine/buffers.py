"""Buffers: the growing values of a node on a timeframe, and all that is looked up once instead of at every bar.

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
from virtuoso.market.gaps import UNKNOWN, begins_anew
from virtuoso.prism.component import RESERVED, Assembled, Node
from virtuoso.types import Array, Mask


class ValidityMask:
    """Where all of some columns are known on one timeframe; extended, not recomputed, when bars were added.

    Parameters
    ----------
    columns : frozenset of str
    """

    def __init__(self, columns: frozenset[str]) -> None:
        self._columns = columns
        self._mask: Mask = np.empty(0, dtype=bool)
        self._n = 0
        self._clear = 0

    def over(self, buffers: TimeframeBuffers, low: int, high: int) -> Mask | None:
        """Which of the bars at positions [low, high) are known; None where all are."""
        if self._n < high:
            self._extend(buffers)
        return None if self._clear <= low else self._mask[low:high]

    def _extend(self, buffers: TimeframeBuffers) -> None:
        bars, n = buffers.bars, buffers.n
        if n > len(self._mask):
            self._mask = _padded(self._mask, _room(len(self._mask), n), False)
        if self._n == n - 1:  # the live step
            known = self._columns.isdisjoint(buffers.silent)
            self._mask[n - 1] = known
            self._clear = self._clear if known else n
        else:
            fresh = slice(self._n, n)
            self._mask[fresh] = ~begins_anew(bars.state[fresh])
            for name in self._columns:
                self._mask[fresh] &= np.isfinite(bars.columns[name][fresh])
            unknown = np.flatnonzero(~self._mask[fresh])
            self._clear = self._n + int(unknown[-1]) + 1 if len(unknown) else self._clear
        self._n = n


@dataclass(slots=True)
class CrossTimeframeInput:
    """An argument that runs on a timeframe of its own.

    Attributes
    ----------
    place : int
        Among the arguments.
    node : Node
    own : Timeframe
    outputs : class or None
        Of its named arrays.
    kept : tuple of int
        Number of the slow bar that was looked up last, and how many bars looked at it.
    values, known : list of Array, and array of bool or None
        What they saw of it, None where it is known: until the slow bar closes, the next ones see the same.
    """

    place: int
    node: Node
    own: Timeframe
    outputs: type[tuple[Any, ...]] | None
    kept: tuple[int, int] = (-1, 0)
    values: list[Array] = field(default_factory=list)
    known: Mask | None = None


class NodeBuffer:
    """The growing values of one node on one timeframe, and where its inputs come from, looked up once.

    Parameters
    ----------
    node : Node
    buffers : TimeframeBuffers

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
    block, first_block : int
        Bars of a block of this node, and the number of the one that holds the first bar.
    """

    __slots__ = (
        "arity",
        "block",
        "clear",
        "columns",
        "done",
        "end",
        "first",
        "first_block",
        "inner",
        "known",
        "memory",
        "node",
        "outputs",
        "ready",
        "reserved",
        "slower",
        "validity",
        "value",
        "warmup",
        "windowed",
    )  # fmt: skip

    def __init__(self, node: Node, buffers: TimeframeBuffers) -> None:
        timeframe = buffers.bars.timeframe
        self.node = node
        self.block = buffers.block * node.blocks
        self.first_block = buffers.bars.first // self.block
        self.value: Any = None if isinstance(node, Assembled) else node.value
        self.windowed = node.windowed
        self.memory, self.warmup = node.memory(timeframe), node.warmup(timeframe)
        if self.warmup > self.memory:
            raise DeclarationError(f"{node!r} on {timeframe} has memory {self.memory} below its warm-up {self.warmup}.")
        self.outputs = [np.empty(0) for _ in range(node.n_outputs)]
        self.first = self.end = buffers.bars.first
        self.known: Mask = np.empty(0, dtype=bool)
        self.done: list[int] = []
        self.clear = buffers.bars.first
        self.ready = (0, 0)
        self.arity = len(node.arguments)
        self.columns: list[tuple[int, str]] = []
        self.validity: ValidityMask | None = None
        self.inner: list[tuple[int, NodeBuffer, type[tuple[Any, ...]] | None]] = []
        self.slower: list[CrossTimeframeInput] = []
        self.reserved: list[tuple[int, str]] = []
        for place, name in enumerate(node.arguments):
            given = node.input_of(name)
            if given is None:
                (self.reserved if name in RESERVED else self.columns).append((place, name))
            elif given.clock(timeframe) == timeframe:
                self.inner.append((place, buffers.of(given), given.outputs))
            else:
                self.slower.append(CrossTimeframeInput(place, given, given.clock(timeframe), given.outputs))

    def between(self, start: int, stop: int) -> list[Array]:
        """Values of the bars numbered [start, stop), one array an output; views."""
        return [values[start - self.first : stop - self.first] for values in self.outputs]

    def make_room(self, buffers: TimeframeBuffers, start: int, stop: int) -> None:
        """Have room for the bars [start, stop) and for half as many again, beside those that are held."""
        oldest = max(start // self.block * self.block, buffers.bars.first)
        first = min(self.first, oldest) if len(self.known) else oldest
        if first < self.first or stop > self.first + len(self.known):
            skip, used = max(self.first - first, 0), max(self.end - self.first, 0)
            room = (max(self.end, stop) - first) * 3 // 2
            self.outputs = [_moved(values[:used], skip, np.empty(room)) for values in self.outputs]
            self.known = _moved(self.known[:used], skip, np.zeros(room, dtype=bool))
            self.first, self.end = first, max(self.end, first)
        for block in range(self.first_block + len(self.done), (buffers.bars.end - 1) // self.block + 1):
            self.done.append(max(block * self.block, buffers.bars.first))

    def evict(self, buffers: TimeframeBuffers, before: int) -> None:
        """Drop the blocks that end at a bar or before it; what is kept moves into their place.

        The same pages are then written again and again: that is quicker than fresh ones, and memory does not grow.
        """
        begin, end = self.first // self.block, min(before // self.block, self.first_block + len(self.done))
        held = end * self.block - self.first
        if held <= 0:
            return
        stop = max(self.end - self.first, held)
        for values in (*self.outputs, self.known):
            values[: stop - held] = values[held:stop]
        self.known[stop - held : stop] = False
        for block in range(begin, end):
            self.done[block - self.first_block] = max(block * self.block, buffers.bars.first)
        self.first, self.end = self.first + held, self.first + stop
        self.ready = (max(self.ready[0], self.first), max(self.ready[1], self.first))

    def rebuild_mask(self) -> None:
        """Find `clear` again after values were loaded from the cache."""
        unknown = np.flatnonzero(~self.known[: self.end - self.first])
        if len(unknown):
            self.clear = max(self.clear, self.first + int(unknown[-1]) + 1)


class TimeframeBuffers:
    """The bars of one timeframe and all that was computed on them."""

    def __init__(self, bars: Bars, block: int) -> None:
        self.block = block
        self.first_block = bars.first // block
        self.grow(bars)
        self.by_node: dict[Node, NodeBuffer] = {}
        self._validity: dict[frozenset[str], ValidityMask] = {}

    def grow(self, bars: Bars) -> None:
        """Take longer bars in the place of the ones known so far; what was computed stays."""
        self.bars = bars
        self.first, self.columns, self.n = bars.first, bars.columns, len(bars)
        self._silent: frozenset[str] | None = None

    def forget_alignment(self) -> None:
        """Look up once more what bars see of slower ones: history has begun anew."""
        for buffer in self.by_node.values():
            for slower in buffer.slower:
                slower.kept = (-1, 0)

    @property
    def silent(self) -> frozenset[str]:
        """Columns that are not known at the last bar; found once a bar, asked by every node."""
        if self._silent is None:
            bars = self.bars
            lost = bars.state[-1] >= UNKNOWN
            self._silent = frozenset(name for name, column in bars.columns.items() if lost or not isfinite(column[-1]))
        return self._silent

    def of(self, node: Node) -> NodeBuffer:
        """Return the buffer of a node; opened when it is first asked for."""
        buffer = self.by_node.get(node)
        if buffer is None:
            buffer = self.by_node[node] = NodeBuffer(node, self)
        return buffer

    def validity(self, columns: frozenset[str]) -> ValidityMask:
        """Return the mask of where some columns are known; opened when it is first asked for."""
        return self._validity.setdefault(columns, ValidityMask(columns))


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
