"""The cache: finished blocks by the address of their content. Deleting it loses nothing.

1. One uncompressed Parquet file holds the components of a symbol, timeframe, face and segment of 65,536 bars; the
   keys of its blocks (keys.py) stand in the footer. A file a block would be slower than computing it again.
2. `fill` puts blocks whose key still holds into a workspace; `keep` writes what was computed. The unfinished block at
   the end is never written.
3. Faces and confluence, which most runs ask for alone, lie beside them as they were blended last, a matrix a segment
   that is named by its key: where it holds, no component is read. Other weights give another key, and are blended
   from the components.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.market.columns import Array
from virtuoso.prism.assembly import THREADS
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Node
from virtuoso.prism.divergence import ClassicDivergence
from virtuoso.prism.keys import BlockKeys, Key
from virtuoso.prism.prism import Prism
from virtuoso.prism.series import Clock, Series
from virtuoso.prism.views import columns_of

SEGMENT = 65_536


@dataclass(slots=True)
class Entry:
    """One cached series: its node, and the name of its column in the file."""

    node: Node
    column: str
    output: int


class KeptBlends:
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
        self.files = {(a, b): place / f"{a // SEGMENT:08d}-{key(a, b)[:32]}.npy" for a, b in pairwise(edges)}

    def read(self, a: int, b: int, out: Array) -> bool:
        """Write what is kept of the bars [a, b), shape (n_rows, b - a); say whether it was there."""
        try:
            out[:] = np.load(self.files[a, b], mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False  # not there, or damaged: it is blended again
        return True

    def write(self, a: int, b: int, rows: Array) -> None:
        """Keep the bars [a, b) in the place of what was kept of their segment."""
        file = self.files[a, b]
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as out:
            np.save(out, np.ascontiguousarray(rows))
        temporary.replace(file)
        for older in file.parent.glob(f"{file.name[:8]}-*.npy"):
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

    def _keys_of(self, workspace: Workspace) -> BlockKeys:
        """Keys of a workspace's blocks: what is filled and what is kept have the same."""
        frame, block = workspace.frame, workspace.block
        if self._keys is None or self._keys.frame is not frame or self._keys.block != block:
            self._keys = BlockKeys(frame, block)
        return self._keys

    def blends(self, workspace: Workspace, prism: Prism) -> KeptBlends:
        """Faces and confluence of the frame's window, as far as they are kept."""
        frame = workspace.frame
        place = self._place(workspace, workspace.clock(frame.timeframe), "confluence")
        return KeptBlends(place, frame.start, frame.stop, partial(self._keys_of(workspace).of_stretch, prism))

    def fill(self, workspace: Workspace, prism: Prism) -> int:
        """Put every block whose key holds into the workspace; give how many."""
        keys = self._keys_of(workspace)
        work: list[tuple[Path, Clock, list[Entry], dict[str, Key]]] = []
        for clock, face, entries in self._series(workspace, prism):
            for entry in entries:
                clock.open_series(entry.node).make_room(clock, clock.bars.first, clock.bars.end)
            wanted = {entry.column: keys.of(entry.node, clock) for entry in entries}
            work += [(file, clock, entries, wanted) for file in self._place(workspace, clock, face).glob("*.parquet")]
        with ThreadPoolExecutor(THREADS) as pool:  # each file fills blocks of its own
            filled = sum(pool.map(lambda task: self._fill_from(*task), work))
        for clock, _, entries in self._series(workspace, prism):
            for entry in entries:
                clock.series[entry.node].mend()
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
    values = series.between(start, stop)[output].copy()
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
        here = slice(a - series.first, b - series.first)
        series.outputs[entry.output][here] = values[a - first : b - first]
        if entry.output == 0:
            series.known[here] = np.isfinite(series.outputs[0][here])
        if entry.output == len(series.outputs) - 1:
            for block in stretch.tolist():
                series.done[block - clock.first_block] = (block + 1) * clock.block
            series.end = max(series.end, b)
