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
from virtuoso.prism.engine.buffers import Clock
from virtuoso.prism.engine.fingerprint import node_digest, node_fingerprint
from virtuoso.prism.engine.graph import columns_of, nodes_of, reach
from virtuoso.prism.engine.workspace import THREADS, block_length
from virtuoso.prism.prism import Prism


class Key(NamedTuple):
    """What the cached blocks of a series are known by.

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
        self._clocks: dict[str, Clock] = {}
        self._columns: dict[tuple[str, str], list[bytes]] = {}
        self._inputs: dict[tuple[Any, ...], list[str]] = {}
        self._found: dict[tuple[str, Node], Key] = {}
        self._codes: dict[Node, str] = {}
        self._prisms: dict[str, tuple[str, list[tuple[Timeframe, int]]]] = {}

    def of(self, node: Node, clock: Clock) -> Key:
        """What the blocks of a node on a clock are known by, oldest first."""
        asked = (clock.bars.timeframe.name, node)
        if asked not in self._found:
            timeframe, reached = clock.bars.timeframe, []
            for other, ms in sorted(self._looks_back(node, timeframe).items()):
                length = self._clock(other.name).block * other.ms
                whole = -(-ms // length) * length // other.ms  # blocks: many nodes look at the same
                reached.append((other.name, whole))
            inputs = self._digests(clock, tuple(reached), tuple(sorted(columns_of(node))))
            self._found[asked] = Key(self._fingerprint(node, clock), inputs)
        return self._found[asked]

    def of_stretch(self, prism: Prism, start: int, stop: int) -> str:
        """What faces and confluence of the base bars [start, stop) are known by: all that they look back at.

        Slow bars are folded from base bars, so the digests of these alone tell.
        """
        base, rows = self._clock(self.frame.timeframe.name), nodes_of(prism, self.frame.base.columns)
        ms, oldest = base.bars.timeframe.ms, start * base.bars.timeframe.ms
        fingerprints, reaches = self._reaches(prism, rows)
        for timeframe, reached in reaches:
            length = self._clock(timeframe.name).block
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
                text += [self._fingerprint(row, self._clock(timeframe.name)) for row in rows]
                furthest = max((ms for row in rows for ms in self._looks_back(row, timeframe).values()), default=0)
                reaches.append((timeframe, furthest))
            self._prisms[prism.fingerprint] = " ".join(text), reaches
        return self._prisms[prism.fingerprint]

    def _fingerprint(self, node: Node, clock: Clock) -> str:
        """By what the values of a node on a clock are computed; its code is looked at once a frame."""
        if node not in self._codes:
            self._codes[node] = node_digest(node)
        return node_fingerprint(node, clock.bars.timeframe, clock.block, self._codes[node])

    def _looks_back(self, node: Node, timeframe: Timeframe) -> dict[Timeframe, int]:
        """How far before a block of a timeframe a node looks on each timeframe that it touches, ms.

        Found at the block that begins at 0. The blocks of another timeframe begin elsewhere before other blocks: up to
        a whole one earlier.
        """
        first = reach(node, timeframe, 0, lambda other: self._clock(other.name).block)
        earlier = sum(self._clock(other.name).block * other.ms for other in first if other != timeframe)
        return {other: earlier - number * other.ms for other, number in first.items()}

    def _clock(self, name: str) -> Clock:
        """Bars and block length of a timeframe."""
        if name not in self._clocks:
            timeframe = Timeframe(name)
            self._clocks[name] = Clock(self.frame.bars(timeframe), self.block or block_length(timeframe))
        return self._clocks[name]

    def _digests(self, clock: Clock, reached: tuple[tuple[str, int], ...], columns: tuple[str, ...]) -> list[str]:
        """Digest of all that each block of a clock sees of some columns."""
        key = (clock.bars.timeframe.name, reached, columns)
        if key not in self._inputs:
            parts = [
                (self._clock(name), memory, [self._column(name, column) for column in columns])
                for name, memory in reached
            ]
            self._inputs[key] = [self._digest(parts, clock, block) for block in range(self._blocks(clock))]
        return self._inputs[key]

    def _digest(self, parts: list[tuple[Clock, int, list[list[bytes]]]], clock: Clock, block: int) -> str:
        """Digest of the input blocks on every clock that a block and its memory touch."""
        start = (clock.first_block + block) * clock.block * clock.bars.timeframe.ms
        end = start + clock.block * clock.bars.timeframe.ms
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
            clock = self._clock(timeframe)
            bars, found = clock.bars, []
            values = np.ascontiguousarray(bars.columns[name])
            for block in range(self._blocks(clock)):
                a = max((clock.first_block + block) * clock.block - bars.first, 0)
                b = min((clock.first_block + block + 1) * clock.block - bars.first, len(bars))
                digest = hashlib.sha256(f"{name} {a + bars.first} {b - a}".encode())
                digest.update(np.ascontiguousarray(bars.state[a:b]).data)
                digest.update(values[a:b].data)
                found.append(digest.digest())
            self._columns[timeframe, name] = found
        return self._columns[timeframe, name]

    @staticmethod
    def _blocks(clock: Clock) -> int:
        return (clock.bars.end - 1) // clock.block - clock.first_block + 1 if len(clock.bars) else 0
