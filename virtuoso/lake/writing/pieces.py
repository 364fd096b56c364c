"""Partitions of a series while it is being changed, in pieces that fit into memory.

1. A partition is one piece, or several that follow each other in time without overlap: each holds the rows from its
   first moment on, up to the first one of the next. A piece that grows past `PIECE_ROWS` is split.
2. A piece lies in memory, in a stored file, or in a file that was written under its final name and that no manifest
   names yet (`spill`). A process that is killed leaves such files to the next writer, who sweeps them.
3. A `copy` goes on from here while this one stays as it is; both may share files.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from virtuoso.lake.event_rows import EventRows
from virtuoso.lake.manifest import FileEntry, Series
from virtuoso.lake.writing.files import LakeFiles, times_of
from virtuoso.market.rows import Rows
from virtuoso.types import Times

PIECE_ROWS = 250_000
"""Rows that a piece may hold: at 65 bytes an event, merging one takes about a hundred megabytes."""

Key = tuple[str, int]
"""Name of a partition, and the first moment of a piece in it, ms."""
_FIRST = int(np.iinfo(np.int64).min)
_UNITS = {"day": "M8[D]", "month": "M8[M]"}

R = TypeVar("R", Rows, EventRows)


class Pieces(Generic[R]):
    """All pieces of one series.

    Parameters
    ----------
    series : Series
    read : callable
        The rows of a stored file.
    empty : rows
        None.
    """

    def __init__(self, series: Series, read: Callable[[FileEntry], R], empty: R) -> None:
        self._series = series
        self._read: Callable[[FileEntry], R] = read
        self._empty: R = empty
        self._files: dict[Key, FileEntry] = {}
        self._rows: dict[Key, R] = {}  # the one that was used last stands last
        self._changed: dict[Key, set[str]] = {}
        self._starts: dict[str, list[int]] = {}
        for file in sorted(series.files, key=lambda file: file.min_open_time):
            self._files[self._add(file.month, file.min_open_time)] = file

    def copy(self) -> Self:
        """Return pieces that go on from here."""
        other = type(self)(replace(self._series, files=()), self._read, self._empty)
        other._series, other._files, other._rows = self._series, dict(self._files), dict(self._rows)
        other._changed = {key: set(names) for key, names in self._changed.items()}
        other._starts = {name: list(starts) for name, starts in self._starts.items()}
        return other

    # what there is

    @property
    def rows_in_memory(self) -> int:
        """Rows that lie in memory, changed or not."""
        return sum(len(rows) for rows in self._rows.values())

    @property
    def changed(self) -> set[str]:
        """Names of the partitions that differ from what is stored."""
        stored = {file.path for file in self._series.files}
        spilled = {key for key, file in self._files.items() if file.path not in stored}
        return {name for name, _ in self._changed.keys() | spilled}

    def paths(self) -> set[str]:
        """Return the files that pieces lie in."""
        return {file.path for file in self._files.values()}

    def order(self) -> list[Key]:
        """Return all pieces in order of time."""
        return [(name, start) for name in sorted(self._starts) for start in self._starts[name]]

    def of(self, name: str) -> Iterator[R]:
        """Yield the pieces of a partition in order of time; what lies in files is not kept in memory."""
        for start in self._starts.get(name, ()):
            key = name, start
            yield self._rows[key] if key in self._rows else self._read(self._files[key])

    def files_of(self, name: str) -> list[FileEntry]:
        """Return the files of a partition in order of time, once everything is spilled."""
        return [self._files[name, start] for start in self._starts.get(name, ())]

    def get(self, key: Key) -> R:
        """Return the rows of a piece, as it is by now; none if there is no such piece."""
        rows = self._rows.pop(key, None)
        if rows is None:
            rows = self._read(self._files[key]).sorted() if key in self._files else self._empty
        if len(rows):
            self._rows[key] = rows
        return rows

    def places(self, times: Times) -> Iterator[tuple[Key, NDArray[np.intp]]]:
        """Yield the pieces that rows of some moments belong to, and the places of these rows; new ones are made."""
        numbers = times.astype("M8[ms]").astype(_UNITS[self._series.partition])
        for number in np.unique(numbers):
            name, inside = str(number), np.flatnonzero(numbers == number)
            starts = self._starts.get(name, [_FIRST])
            piece = np.searchsorted(starts, times[inside], side="right") - 1
            for k in np.unique(piece):
                yield (name, starts[k]), inside[piece == k]

    def place(self, moment: int) -> int:
        """Return the place in `order` of the last piece that begins at or before a moment; -1 if there is none."""
        name = str(np.datetime64(moment, "ms").astype(_UNITS[self._series.partition]))
        return bisect_right(self.order(), (name, moment)) - 1

    # changes

    def put(self, key: Key, rows: R, source: str) -> None:
        """Let rows, in their order, take the place of a piece; a long one is split."""
        self._rows.pop(key, None)
        stored = self._files[key].sources if key in self._files else ()
        names = self._changed.pop(key, set(stored))
        name, start = key
        for first, part in _split(rows, start):
            self._add(name, first)
            self._rows[name, first] = part
            self._changed[name, first] = names | ({source} - {""})

    def spill(self, files: LakeFiles) -> None:
        """Write what was changed, and keep nothing in memory."""
        for key in sorted(self._changed):
            self._files[key] = files.part(self._series, key[0], self._rows[key], sorted(self._changed[key]))
        self._changed.clear()
        self._rows.clear()

    def stored(self) -> list[FileEntry]:
        """Return the files in order of time, once everything is spilled."""
        return sorted(self._files.values(), key=lambda file: file.min_open_time)

    def _add(self, name: str, start: int) -> Key:
        starts = self._starts.setdefault(name, [])
        first = start if starts else _FIRST
        if first not in starts:
            starts.insert(bisect_right(starts, first), first)
        return name, first


def _split(rows: R, start: int) -> Iterable[tuple[int, R]]:
    """Cut rows into pieces: full ones and a last one, each with its first moment; rows of one moment stay together."""
    n = len(rows)
    if n <= PIECE_ROWS:
        return [(start, rows)]
    times = times_of(rows)
    ordered: Times = np.sort(times)
    cuts: Times = np.unique(ordered[np.arange(PIECE_ROWS, n, PIECE_ROWS)])
    edges = [start, *(int(cut) for cut in cuts if cut > ordered[0])]
    piece = np.searchsorted(edges, times, side="right") - 1
    return [(edge, rows.take(piece == k)) for k, edge in enumerate(edges)]
