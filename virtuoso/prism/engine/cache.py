"""The cache: finished blocks by the address of their content. Deleting it loses nothing.

1. One file holds the components of a symbol, timeframe, face and segment of 65,536 bars, a column each; the keys of its
   blocks (cache_keys.py) stand in the head. A file a block would be slower than computing it again.
2. `fill` puts blocks whose key still holds into a workspace; `keep` writes what was computed. The unfinished block at
   the end is never written.
3. Faces and confluence, which most runs ask for alone, lie beside them as they were aggregated last, a matrix a segment
   that is named by its key: where it holds, no component is read. Other weights give another key, and are aggregated
   from the components.
4. Files are sealed (files/sealed.py): what does not add up is computed anew, and a disk that takes or gives nothing
   costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.files import sealed
from virtuoso.prism.component import Node
from virtuoso.prism.engine.buffers import NodeBuffer, TimeframeBuffers
from virtuoso.prism.engine.cache_keys import BlockKey, BlockKeys
from virtuoso.prism.engine.graph import rows_of
from virtuoso.prism.engine.workspace import THREADS, Workspace
from virtuoso.prism.prism import Prism
from virtuoso.types import Array

SEGMENT = 65_536


@dataclass(slots=True)
class CachedNode:
    """A node whose blocks are cached, and the names of its columns in the file, one an output."""

    node: Node
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its keys stand under."""
        return self.columns[0]


class AggregateCache:
    """Faces and confluence of a stretch of base bars, a file a segment.

    Parameters
    ----------
    place : Path
        Folder of the files.
    start, stop : int
    key : callable
        Gives what a part of the stretch is known by.

    Attributes
    ----------
    files : dict of tuple of int to Path
        File of the bars [a, b), for each part of the stretch.
    """

    def __init__(self, place: Path, start: int, stop: int, key: Callable[[int, int], str]) -> None:
        edges = [start, *range((start // SEGMENT + 1) * SEGMENT, stop, SEGMENT), stop]
        self.files = {(a, b): place / f"{a // SEGMENT:08d}-{key(a, b)[:32]}.rows" for a, b in pairwise(edges)}

    def read(self, a: int, b: int, out: Array) -> bool:
        """Write what is kept of the bars [a, b), shape (n_rows, b - a); return whether it was there.

        Where it was not, `out` is to be written anew.
        """
        file = sealed.opened(self.files[a, b])
        if file is None:
            return False
        with file:
            names = tuple(str(row) for row in range(len(out)))
            return (file.about, file.names) == ({"name": self.files[a, b].name}, names) and all(
                file.read(name, row) is not None for name, row in zip(names, out, strict=True)
            )

    def write(self, a: int, b: int, rows: Array) -> None:
        """Keep the bars [a, b) in the place of what was kept of their segment, where the disk takes it."""
        file = self.files[a, b]
        if sealed.write(file, {"name": file.name}, {str(row): values for row, values in enumerate(rows)}):
            with suppress(OSError):
                for older in file.parent.glob(f"{file.name[:8]}-*"):
                    if older != file:
                        older.unlink(missing_ok=True)


class ScoreCache:
    """Finished blocks on disk, below one folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: BlockKeys | None = None
        self._damaged: set[Path] = set()

    def _keys_of(self, workspace: Workspace) -> BlockKeys:
        """Keys of a workspace's blocks: what is filled and what is kept have the same."""
        frame, block = workspace.frame, workspace.block
        if self._keys is None or self._keys.frame is not frame or self._keys.block != block:
            self._keys = BlockKeys(frame, block)
        return self._keys

    def aggregates(self, workspace: Workspace, prism: Prism) -> AggregateCache:
        """Faces and confluence of the frame's window, as far as they are kept."""
        frame = workspace.frame
        place = self._place(workspace, workspace.buffers(frame.timeframe), "confluence")
        return AggregateCache(place, frame.start, frame.stop, partial(self._keys_of(workspace).of_stretch, prism))

    def fill(self, workspace: Workspace, prism: Prism) -> int:
        """Put every block whose key holds into the workspace; return how many."""
        keys = self._keys_of(workspace)
        work: list[tuple[Path, TimeframeBuffers, list[CachedNode], dict[str, BlockKey]]] = []
        for buffers, face, entries in self._cached_nodes(workspace, prism):
            for entry in entries:
                buffers.of(entry.node).make_room(buffers, buffers.bars.first, buffers.bars.end)
            wanted = {entry.name: keys.of(entry.node, buffers) for entry in entries}
            work += [(file, buffers, entries, wanted) for file in self._files(workspace, buffers, face)]
        with ThreadPoolExecutor(THREADS) as pool:  # each file fills blocks of its own
            filled = sum(pool.map(lambda task: self._fill_from(*task), work))
        for buffers, _, entries in self._cached_nodes(workspace, prism):
            for entry in entries:
                buffers.by_node[entry.node].rebuild_mask()
        return filled

    def keep(self, workspace: Workspace, prism: Prism) -> int:
        """Write the finished blocks of every segment that holds one which is not on disk; return how many files."""
        keys, written = self._keys_of(workspace), 0
        for buffers, face, entries in self._cached_nodes(workspace, prism):
            known_by = {entry.name: keys.of(entry.node, buffers) for entry in entries}
            place = self._place(workspace, buffers, face)
            for segment in _segments(buffers):
                written += self._keep_segment(place / _name(segment), segment, buffers, entries, known_by)
        return written

    def _cached_nodes(
        self, workspace: Workspace, prism: Prism
    ) -> Iterator[tuple[TimeframeBuffers, str, list[CachedNode]]]:
        """Yield every timeframe and face with the nodes that are cached for it."""
        by_face: dict[int, list[CachedNode]] = {}
        for kind in rows_of(prism, workspace.frame.base.columns):
            for row in kind:
                entries, name = by_face.setdefault(row.face, []), row.node.name
                entries.append(CachedNode(row.node, (name,)))
                if row.divergence is not None:
                    entries.append(CachedNode(row.divergence, (f"{name}.divergence", f"{name}.divergence_kind")))
        for timeframe, _ in prism.ladder(workspace.frame.timeframe):
            buffers = workspace.buffers(timeframe)
            if len(buffers.bars):
                for face, entries in by_face.items():
                    yield buffers, prism.faces[face].name, entries

    def _place(self, workspace: Workspace, buffers: TimeframeBuffers, face: str) -> Path:
        instrument = workspace.frame.instrument
        return self.folder / instrument.venue / instrument.symbol / buffers.bars.timeframe.name / face

    def _files(self, workspace: Workspace, buffers: TimeframeBuffers, face: str) -> list[Path]:
        """Where the segments of a timeframe and face would lie."""
        place = self._place(workspace, buffers, face)
        return [place / _name(segment) for segment in _segments(buffers)]

    def _fill_from(
        self, path: Path, buffers: TimeframeBuffers, entries: list[CachedNode], wanted: dict[str, BlockKey]
    ) -> int:
        file = sealed.opened(path)
        if file is None:
            return 0
        filled = 0
        with file:
            matching = _matching(file.about, buffers, entries, wanted)
            for entry in entries:
                blocks = matching.get(entry.name, [])
                values = [file.read(column) for column in entry.columns] if blocks else []
                whole = [array for array in values if array is not None]
                if len(whole) < len(values):
                    self._damaged.add(path)
                elif blocks:
                    _put(buffers, entry.node, whole, int(file.about["first"]), blocks)
                    filled += len(blocks)
        return filled

    def _keep_segment(
        self, path: Path, segment: int, buffers: TimeframeBuffers, entries: list[CachedNode], keys: dict[str, BlockKey]
    ) -> int:
        start, stop = max(segment * SEGMENT, buffers.bars.first), min((segment + 1) * SEGMENT, buffers.bars.end)
        blocks = list(range(start // buffers.block, stop // buffers.block))  # finished ones only
        columns: dict[str, Array] = {}
        head: dict[str, Any] = {"first": start, "block": buffers.block, "blocks": blocks, "nodes": {}, "keys": {}}
        for entry in entries:
            buffer = buffers.by_node.get(entry.node)
            if buffer is None or not blocks:
                continue
            whole = [buffer.done[b - buffers.first_block] >= (b + 1) * buffers.block for b in blocks]
            if not any(whole):
                continue
            columns |= zip(entry.columns, _computed(buffer, buffers, start, stop), strict=True)
            key = keys[entry.name]
            head["nodes"][entry.name] = key.node
            head["keys"][entry.name] = [
                key.blocks[b - buffers.first_block] if done else "" for b, done in zip(blocks, whole, strict=True)
            ]
        if not columns or (path not in self._damaged and head == _holds(path)):
            return 0
        return int(sealed.write(path, head, columns))


def _computed(buffer: NodeBuffer, buffers: TimeframeBuffers, start: int, stop: int) -> list[Array]:
    """Outputs over the bars [start, stop), NaN where they were not computed."""
    outputs = [values.copy() for values in buffer.between(start, stop)]
    for block in range(start // buffers.block, (stop - 1) // buffers.block + 1):
        done = max(buffer.done[block - buffers.first_block], start)
        for values in outputs:
            values[done - start : max((block + 1) * buffers.block - start, 0)] = np.nan
    return outputs


def _name(segment: int) -> str:
    """Name of the file of a segment."""
    return f"{segment:08d}.blocks"


def _segments(buffers: TimeframeBuffers) -> range:
    """Segments that the bars of a timeframe touch."""
    return range(buffers.bars.first // SEGMENT, (buffers.bars.end - 1) // SEGMENT + 1)


def _matching(
    head: dict[str, Any], buffers: TimeframeBuffers, entries: list[CachedNode], wanted: dict[str, BlockKey]
) -> dict[str, list[int]]:
    """Blocks of each column whose key still holds."""
    if head["block"] != buffers.block:
        return {}
    first = buffers.first_block
    return {
        entry.name: [
            block
            for block, key in zip(head["blocks"], head["keys"][entry.name], strict=True)
            if 0 <= block - first < len(wanted[entry.name].blocks) and wanted[entry.name].blocks[block - first] == key
        ]
        for entry in entries
        if head["nodes"].get(entry.name) == wanted[entry.name].node
    }


def _holds(path: Path) -> dict[str, Any] | None:
    """What a file says it holds, or None where there is none to read."""
    file = sealed.opened(path)
    if file is None:
        return None
    with file:
        return file.about


def _put(buffers: TimeframeBuffers, node: Node, outputs: list[Array], first: int, blocks: list[int]) -> None:
    """Copy cached blocks into the buffer of a node, a stretch of blocks at once, and mark them computed.

    All outputs of a node or none: a block is computed or it is not.
    """
    buffer, bars = buffers.of(node), buffers.bars
    edges = np.flatnonzero(np.diff(blocks) != 1) + 1
    for stretch in np.split(np.array(blocks), edges):
        a, b = max(int(stretch[0]) * buffers.block, bars.first, first), int(stretch[-1] + 1) * buffers.block
        here = slice(a - buffer.first, b - buffer.first)
        for output, values in zip(buffer.outputs, outputs, strict=True):
            output[here] = values[a - first : b - first]
        buffer.known[here] = np.isfinite(buffer.outputs[0][here])
        for block in stretch.tolist():
            buffer.done[block - buffers.first_block] = (block + 1) * buffers.block
        buffer.end = max(buffer.end, b)
