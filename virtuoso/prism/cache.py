"""The cache: finished blocks by the address of their content. Deleting it loses nothing.

1. A block's key is a digest of the node's fingerprint and of every input block that its memory touches, features
   included: change a bar, a parameter, a source line or a library, and the key is another one.
2. One uncompressed Parquet file holds a symbol, timeframe, face and segment of 65,536 bars; the keys of its blocks
   stand in the footer. A file a block would be slower than computing it again.
3. `fill` puts blocks whose key still holds into a workspace before it is asked; `keep` writes what was computed.
   The unfinished block at the end is never written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.assembly import THREADS
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Node
from virtuoso.prism.divergence import ClassicDivergence
from virtuoso.prism.fingerprint import node_fingerprint
from virtuoso.prism.prism import Prism
from virtuoso.prism.series import Clock, Series
from virtuoso.prism.views import columns_of

SEGMENT = 65_536


def reach(node: Node, timeframe: Timeframe, bars: int = 0) -> dict[str, int]:
    """How far back a node's inputs lie on each clock it touches, in bars of that clock.

    Parameters
    ----------
    node : Node
    timeframe : Timeframe
    bars : int
        How far before a block its own consumer looks back.
    """
    own = bars + node.memory(timeframe)
    found = {timeframe.name: own}
    for name in node.arguments:
        source = getattr(node, name, None)
        if isinstance(source, Node):
            clock = source.clock(timeframe)
            there = -(-own * timeframe.ms // clock.ms) + 1 if clock != timeframe else own
            for key, value in reach(source, clock, there).items():
                found[key] = max(found.get(key, 0), value)
    return found


@dataclass(slots=True)
class Entry:
    """One cached series: its node, and the name of its column in the file."""

    node: Node
    column: str
    output: int


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
    """Keys of the blocks of one workspace; every block of every column is hashed once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._columns: dict[tuple[str, str], list[bytes]] = {}
        self._inputs: dict[tuple[Any, ...], list[str]] = {}
        self._found: dict[tuple[str, Node], Key] = {}

    def of(self, node: Node, clock: Clock) -> Key:
        """What the blocks of a node on a clock are known by, oldest first."""
        asked = (clock.bars.timeframe.name, node)
        if asked not in self._found:
            timeframe, reached = clock.bars.timeframe, []
            for name, bars in sorted(reach(node, timeframe).items()):
                length = self.workspace.clock(Timeframe(name)).block
                reached.append((name, -(-bars // length) * length))  # whole blocks: many nodes look at the same
            inputs = self._digests(clock, tuple(reached), tuple(sorted(columns_of(node))))
            self._found[asked] = Key(node_fingerprint(node, timeframe, clock.block), inputs)
        return self._found[asked]

    def _digests(self, clock: Clock, reached: tuple[tuple[str, int], ...], columns: tuple[str, ...]) -> list[str]:
        """Digest of all that each block of a clock sees of some columns."""
        key = (clock.bars.timeframe.name, reached, columns)
        if key not in self._inputs:
            parts = [
                (self.workspace.clock(Timeframe(name)), memory, [self._column(name, column) for column in columns])
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
            clock = self.workspace.clock(Timeframe(timeframe))
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


class ScoreCache:
    """Finished blocks on disk, below one folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: BlockKeys | None = None

    def _keys_of(self, workspace: Workspace) -> BlockKeys:
        """Keys of a workspace's blocks: what is filled and what is kept have the same."""
        if self._keys is None or self._keys.workspace is not workspace:
            self._keys = BlockKeys(workspace)
        return self._keys

    def fill(self, workspace: Workspace, prism: Prism) -> int:
        """Put every block whose key holds into the workspace; give how many."""
        keys = self._keys_of(workspace)
        work: list[tuple[Path, Clock, list[Entry], dict[str, Key]]] = []
        for clock, face, entries in self._series(workspace, prism):
            for entry in entries:
                clock.open_series(entry.node).make_room(clock)
            wanted = {entry.column: keys.of(entry.node, clock) for entry in entries}
            work += [(file, clock, entries, wanted) for file in self._place(workspace, clock, face).glob("*.parquet")]
        with ThreadPoolExecutor(THREADS) as pool:  # each file fills blocks of its own
            filled = sum(pool.map(lambda task: self._fill_from(*task), work))
        for clock, _, entries in self._series(workspace, prism):
            for entry in entries:
                clock.series[entry.node].mend(clock.bars.first)
        return filled

    def keep(self, workspace: Workspace, prism: Prism) -> int:
        """Write the finished blocks of every segment that holds one which is not on disk; give how many files."""
        keys, written = self._keys_of(workspace), 0
        for clock, face, entries in self._series(workspace, prism):
            columns = {entry.column: keys.of(entry.node, clock) for entry in entries}
            place = self._place(workspace, clock, face)
            first = clock.bars.first // SEGMENT
            for segment in range(first, (clock.bars.end - 1) // SEGMENT + 1):
                written += self._keep_segment(place / f"{segment:08d}.parquet", segment, clock, entries, columns)
        return written

    def _series(self, workspace: Workspace, prism: Prism) -> Iterator[tuple[Clock, str, list[Entry]]]:
        """Every clock and face with the series that are cached for it."""
        carried = set(workspace.frame.base.columns)
        for timeframe, _ in prism.ladder(workspace.frame.timeframe):
            clock = workspace.clock(timeframe)
            if not len(clock.bars):
                continue
            for face in prism.faces:
                entries = []
                for component in (*face.components, *face.gates):
                    if columns_of(component) <= carried:
                        entries.append(Entry(component, component.name, 0))
                        if component.oscillator:
                            divergence = ClassicDivergence(oscillator=component)
                            entries.append(Entry(divergence, f"{component.name}.divergence", 0))
                            entries.append(Entry(divergence, f"{component.name}.divergence_kind", 1))
                if entries:
                    yield clock, face.name, entries

    def _place(self, workspace: Workspace, clock: Clock, face: str) -> Path:
        instrument = workspace.frame.instrument
        return self.folder / instrument.venue / instrument.symbol / clock.bars.timeframe.name / face

    def _fill_from(self, file: Path, clock: Clock, entries: list[Entry], wanted: dict[str, Key]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            source = pq.ParquetFile(file, memory_map=True)
            footer = json.loads(source.schema_arrow.metadata[b"virtuoso"])
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
            return 0  # a damaged cache file is no loss: the blocks are computed again
        if footer["block"] != clock.block:
            return 0
        matching = {
            entry.column: [
                block
                for block, key in zip(footer["blocks"], footer["keys"][entry.column], strict=True)
                if 0 <= block - clock.first_block < len(wanted[entry.column].blocks)
                and wanted[entry.column].blocks[block - clock.first_block] == key
            ]
            for entry in entries
            if footer.get("nodes", {}).get(entry.column) == wanted[entry.column].node
        }
        found = [column for column, blocks in matching.items() if blocks]
        if not found:
            return 0
        table = source.read(columns=found, use_threads=False)
        for entry in entries:
            if entry.column in found:
                values = table.column(entry.column).combine_chunks().to_numpy(zero_copy_only=False)
                _put(clock, entry, values, int(footer["first"]), matching[entry.column])
        return sum(len(blocks) for blocks in matching.values())

    def _keep_segment(self, file: Path, segment: int, clock: Clock, entries: list[Entry], keys: dict[str, Key]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        start, stop = max(segment * SEGMENT, clock.bars.first), min((segment + 1) * SEGMENT, clock.bars.end)
        blocks = list(range(start // clock.block, stop // clock.block))  # finished ones only
        columns: dict[str, Array] = {}
        footer: dict[str, Any] = {"first": start, "block": clock.block, "blocks": blocks, "nodes": {}, "keys": {}}
        for entry in entries:
            series = clock.series.get(entry.node)
            if series is None or not blocks:
                continue
            whole = [series.done[b - clock.first_block] >= (b + 1) * clock.block for b in blocks]
            if not any(whole):
                continue
            columns[entry.column] = _computed(series, clock, entry.output, start, stop)
            key = keys[entry.column]
            footer["nodes"][entry.column] = key.node
            footer["keys"][entry.column] = [
                key.blocks[b - clock.first_block] if done else "" for b, done in zip(blocks, whole, strict=True)
            ]
        if not columns or footer == _footer(file):
            return 0
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(columns).replace_schema_metadata({"virtuoso": json.dumps(footer)})
        temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
        pq.write_table(table, temporary, compression="none", use_dictionary=False, write_statistics=False)
        temporary.replace(file)
        return 1


def _computed(series: Series, clock: Clock, output: int, start: int, stop: int) -> Array:
    """Values of the bars [start, stop), NaN where they were not computed."""
    values = series.outputs[output][start - clock.bars.first : stop - clock.bars.first].copy()
    for block in range(start // clock.block, (stop - 1) // clock.block + 1):
        done = max(series.done[block - clock.first_block], start)
        values[done - start : max((block + 1) * clock.block - start, 0)] = np.nan
    return values


def _footer(file: Path) -> object:
    """What a file says it holds, or None where there is none to read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return json.loads(pq.read_schema(file).metadata[b"virtuoso"])
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
        return None


def _put(clock: Clock, entry: Entry, values: Array, first: int, blocks: list[int]) -> None:
    """Copy cached blocks into the series of a node, a stretch of blocks at once, and mark them computed."""
    series, bars = clock.open_series(entry.node), clock.bars
    edges = np.flatnonzero(np.diff(blocks) != 1) + 1
    for stretch in np.split(np.array(blocks), edges):
        a, b = max(int(stretch[0]) * clock.block, bars.first, first), int(stretch[-1] + 1) * clock.block
        here = slice(a - bars.first, b - bars.first)
        series.outputs[entry.output][here] = values[a - first : b - first]
        if entry.output == 0:
            series.known[here] = np.isfinite(series.outputs[0][here])
        if entry.output == len(series.outputs) - 1:
            for block in stretch.tolist():
                series.done[block - clock.first_block] = (block + 1) * clock.block
