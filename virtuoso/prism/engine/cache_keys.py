"""Keys: by what a computed block is known, so that it is found again as long as nothing it rests on has changed.

1. The key of a block is a digest of the node's fingerprint and of every input block that its memory touches, features
   included: change a bar, a parameter, a line or a constant of any own module that the node reaches (files/digest.py),
   or a library, and the key is another one.
2. The key of a stretch of faces and confluence is a digest of all that its rows look back at, and of the weights.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Node
from virtuoso.prism.engine.buffers import TimeframeBuffers
from virtuoso.prism.engine.fingerprint import node_digest, node_fingerprint
from virtuoso.prism.engine.graph import columns_of, nodes_of, reach
from virtuoso.prism.engine.workspace import THREADS, block_length
from virtuoso.prism.prism import Prism


class BlockKey(NamedTuple):
    """What the cached blocks of a node are known by.

    Attributes
    ----------
    node : str
        Fingerprint of how it is computed.
    blocks : list of str
        Digest of what each block sees, oldest first.
    """

    node: str
    blocks: list[str]


class BlockKeys:
    """Keys of the blocks of one frame; every block of every column is hashed once.

    Parameters
    ----------
    frame : MarketFrame
    block : int or None
        Length of a block on every timeframe; the standard lengths if None.
    """

    def __init__(self, frame: MarketFrame, block: int | None) -> None:
        self.frame, self.block = frame, block
        self._opened: dict[str, TimeframeBuffers] = {}
        self._columns: dict[tuple[str, str], list[bytes]] = {}
        self._inputs: dict[tuple[Any, ...], list[str]] = {}
        self._found: dict[tuple[str, Node], BlockKey] = {}
        self._codes: dict[Node, str] = {}
        self._prisms: dict[str, tuple[str, list[tuple[Timeframe, int]]]] = {}

    def of(self, node: Node, buffers: TimeframeBuffers) -> BlockKey:
        """What the blocks of a node on a timeframe are known by, oldest first."""
        asked = (buffers.bars.timeframe.name, node)
        if asked not in self._found:
            timeframe, reached = buffers.bars.timeframe, []
            for other, ms in sorted(self._looks_back(node, timeframe).items()):
                length = self._buffers(other.name).block * other.ms
                whole = -(-ms // length) * length // other.ms  # blocks: many nodes look at the same
                reached.append((other.name, whole))
            inputs = self._digests(buffers, tuple(reached), tuple(sorted(columns_of(node))))
            self._found[asked] = BlockKey(self._fingerprint(node, buffers), inputs)
        return self._found[asked]

    def of_stretch(self, prism: Prism, start: int, stop: int) -> str:
        """What faces and confluence of the base bars [start, stop) are known by: all that they look back at.

        Slow bars are folded from base bars, so the digests of these alone tell.
        """
        base, rows = self._buffers(self.frame.timeframe.name), nodes_of(prism, self.frame.base.columns)
        ms, oldest = base.bars.timeframe.ms, start * base.bars.timeframe.ms
        fingerprints, reaches = self._reaches(prism, rows)
        for timeframe, reached in reaches:
            length = self._buffers(timeframe.name).block
            seen = (start - base.block) * ms // timeframe.ms - 1  # independent inputs are counted a block late
            oldest = min(oldest, seen // length * length * timeframe.ms - reached)
        columns = [(base.bars.timeframe.name, name) for name in sorted({c for row in rows for c in columns_of(row)})]
        with ThreadPoolExecutor(THREADS) as pool:
            digests = list(pool.map(lambda column: self._column(*column), columns))
        begin, end = oldest // ms // base.block - base.first_block, -(-stop // base.block) - base.first_block
        text = [f"{fingerprints} {start} {stop} {base.bars.complete} {min(begin, 0)}".encode()]
        for blocks in digests:
            text += blocks[max(begin, 0) : end]
        return hashlib.sha256(b"".join(text)).hexdigest()

    def _reaches(self, prism: Prism, rows: list[Node]) -> tuple[str, list[tuple[Timeframe, int]]]:
        """By what the rows of a prism are computed, and how far before a block of each timeframe they look, ms."""
        if prism.fingerprint not in self._prisms:
            text, reaches = [prism.fingerprint], []
            for timeframe, _ in prism.ladder(self.frame.timeframe):
                text += [self._fingerprint(row, self._buffers(timeframe.name)) for row in rows]
                furthest = max((ms for row in rows for ms in self._looks_back(row, timeframe).values()), default=0)
                reaches.append((timeframe, furthest))
            self._prisms[prism.fingerprint] = " ".join(text), reaches
        return self._prisms[prism.fingerprint]

    def _fingerprint(self, node: Node, buffers: TimeframeBuffers) -> str:
        """By what the values of a node on a timeframe are computed; its code is looked at once a frame."""
        if node not in self._codes:
            self._codes[node] = node_digest(node)
        return node_fingerprint(node, buffers.bars.timeframe, buffers.block, self._codes[node])

    def _looks_back(self, node: Node, timeframe: Timeframe) -> dict[Timeframe, int]:
        """How far before a block of a timeframe a node looks on each timeframe that it touches, ms.

        Found at the block that begins at 0. The blocks of another timeframe begin elsewhere before other blocks: up to
        a whole one earlier.
        """
        first = reach(node, timeframe, 0, lambda other: self._buffers(other.name).block)
        earlier = sum(self._buffers(other.name).block * other.ms for other in first if other != timeframe)
        return {other: earlier - number * other.ms for other, number in first.items()}

    def _buffers(self, name: str) -> TimeframeBuffers:
        """Bars and block length of a timeframe."""
        if name not in self._opened:
            timeframe = Timeframe(name)
            self._opened[name] = TimeframeBuffers(self.frame.bars(timeframe), self.block or block_length(timeframe))
        return self._opened[name]

    def _digests(
        self, buffers: TimeframeBuffers, reached: tuple[tuple[str, int], ...], columns: tuple[str, ...]
    ) -> list[str]:
        """Digest of all that each block of a timeframe sees of some columns."""
        key = (buffers.bars.timeframe.name, reached, columns)
        if key not in self._inputs:
            parts = [
                (self._buffers(name), memory, [self._column(name, column) for column in columns])
                for name, memory in reached
            ]
            self._inputs[key] = [self._digest(parts, buffers, block) for block in range(self._blocks(buffers))]
        return self._inputs[key]

    def _digest(
        self, parts: list[tuple[TimeframeBuffers, int, list[list[bytes]]]], buffers: TimeframeBuffers, block: int
    ) -> str:
        """Digest of the input blocks on every timeframe that a block and its memory touch."""
        start = (buffers.first_block + block) * buffers.block * buffers.bars.timeframe.ms
        end = start + buffers.block * buffers.bars.timeframe.ms
        text: list[bytes] = []
        for other, memory, columns in parts:
            length = other.block * other.bars.timeframe.ms
            low = (start - memory * other.bars.timeframe.ms) // length - other.first_block
            high = -(-end // length) - other.first_block
            text.append(f"{min(low, 0)} {high} ".encode())
            for blocks in columns:
                text += blocks[max(low, 0) : max(high, 0)]
        return hashlib.sha256(b"".join(text)).hexdigest()

    def _column(self, timeframe: str, name: str) -> list[bytes]:
        """Digest of each block of a column and the states of its bars."""
        if (timeframe, name) not in self._columns:
            buffers = self._buffers(timeframe)
            bars, found = buffers.bars, []
            values = np.ascontiguousarray(bars.columns[name])
            for block in range(self._blocks(buffers)):
                a = max((buffers.first_block + block) * buffers.block - bars.first, 0)
                b = min((buffers.first_block + block + 1) * buffers.block - bars.first, len(bars))
                digest = hashlib.sha256(f"{name} {a + bars.first} {b - a}".encode())
                digest.update(np.ascontiguousarray(bars.state[a:b]).data)
                digest.update(values[a:b].data)
                found.append(digest.digest())
            self._columns[timeframe, name] = found
        return self._columns[timeframe, name]

    @staticmethod
    def _blocks(buffers: TimeframeBuffers) -> int:
        return (buffers.bars.end - 1) // buffers.block - buffers.first_block + 1 if len(buffers.bars) else 0
