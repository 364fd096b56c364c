"""Tables of events in text files: opened, checked, split by symbol; what their columns mean is their reader's work.

Readers of trades (trades.py) and of liquidations (liquidations.py) share it. A table is text until a reader
asks for numbers or times; a row whose text cannot be read is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import compact
from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.venues.files.file_io import (
    checked_bytes,
    decoding,
    is_simulated,
    row_numbers,
    text_table,
    to_numbers,
    unpacked,
)
from virtuoso.venues.files.timestamps import NO_TIME, TimeUnit, read_times
from virtuoso.venues.raw_events import RawEvents, Times

SUFFIXES = (".csv", ".csv.gz", ".zip")
NO_ID = -1
HEAD_LINES = 5  # a recorder may have written garbage into the first line

Names = tuple[str, ...]
Layout = Callable[[list[str]], tuple[Names, bool] | None]
"""What the fields of a line say: the table's columns under our names, and whether the line is their header."""

_WHOLE = r"^\d{1,18}$"


@dataclass
class EventTable:
    """The rows of a file, as text, with what was refused of them so far.

    Attributes
    ----------
    path : Path
    sha256 : str
    table : pyarrow.Table
        Of text, under our names.
    rows : array of int64, shape (n_rows,)
        Number of each row in the file, from 1; a header row counts.
    simulated : bool
    refused : list of (int, str, str)
        Lines that are no rows.
    garbled : array of bool, shape (n_rows,)
        Rows in which something else stands where a number should be.
    """

    path: Path
    sha256: str
    table: Any
    rows: Times
    simulated: bool
    refused: list[tuple[int, str, str]]
    garbled: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.garbled = np.zeros(len(self.rows), dtype=bool)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.table.column_names

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where there is none."""
        values, text = to_numbers(self.table[name])
        self.garbled |= text
        return values

    def ids(self, name: str) -> Times:
        """A column of whole numbers; NO_ID where there is none, throughout if some are something else."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.table[name]
        whole = pc.match_substring_regex(column, _WHOLE)
        if not pc.all(whole).as_py():
            return np.full(len(self), NO_ID, dtype=np.int64)
        values: Times = column.cast(pa.int64()).to_numpy()
        return values

    def times(self, name: str, unit: TimeUnit, now_ms: int, up: bool = False) -> Times:
        """A column of times, ms, rounded down, or up (a moment of receipt); NO_TIME where there is none."""
        read = read_times(self.table[name], name, unit, None, now_ms)
        later = up & ~read.exact & (read.ms != NO_TIME)
        answer: Times = read.ms + later
        return answer

    def words(self, name: str, meaning: dict[str, int]) -> NDArray[np.int8]:
        """A column of words as numbers, whatever their case; 0 where nothing stands."""
        import pyarrow.compute as pc

        coded = pc.utf8_lower(self.table[name]).combine_chunks().dictionary_encode()
        words = [str(word) for word in coded.dictionary.to_pylist()]
        known = {**meaning, "": 0}
        self.garbled |= np.array([word not in known for word in words] or [False])[coded.indices.to_numpy()]
        codes = np.array([known.get(word, 0) for word in words] or [0], dtype=np.int8)
        answer: NDArray[np.int8] = codes[coded.indices.to_numpy()]
        return answer

    def symbols(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """The symbols of a column, as the file writes them, and the position of each row's."""
        coded = self.table[name].combine_chunks().dictionary_encode()
        return [str(symbol) for symbol in coded.dictionary.to_pylist()], coded.indices.to_numpy().astype(np.int64)

    def text(self, position: int) -> str:
        """One row as the file has it."""
        return ",".join(str(value) for value in self.table.slice(position, 1).to_pylist()[0].values())

    def refuse(self, positions: NDArray[np.int64], reason: str) -> None:
        """Set rows aside, with a reason of the border's rules."""
        self.refused += [(int(self.rows[i]), reason, self.text(int(i))) for i in positions]


def first_lines(head: bytes | str) -> list[list[str]]:
    """Split the first lines of a text into their fields."""
    text = head if isinstance(head, str) else head.decode("utf-8-sig", "replace")
    lines = [line.strip() for line in text[: 1 << 14].splitlines() if line.strip()]
    return [[value.strip().strip('"') for value in line.split(",")] for line in lines[:HEAD_LINES]]


def laid_out(head: bytes | str, layout: Layout) -> tuple[Names, bool] | None:
    """Columns of a text whose first lines a layout knows, and whether it has a header row."""
    return next((found for found in map(layout, first_lines(head)) if found), None)


def open_table(path: Path, layout: Layout, what: str) -> EventTable:
    """Read a CSV, a gzipped CSV or a zip with one CSV in it as text.

    Parameters
    ----------
    path : Path
    layout : callable
        Columns from the fields of one of the first lines.
    what : str
        Of what, for messages.

    Raises
    ------
    UnreadableFileError
        The file is damaged, empty, differs from its checksum, or holds something else.
    """
    data, sha256 = checked_bytes(path)
    with decoding(path):
        text = unpacked(path, data).decode("utf-8-sig", "replace")
        if not text.strip():
            raise UnreadableFileError(f"{path} is empty.")
        found = laid_out(text, layout)
        if found is None:
            raise UnreadableFileError(f"{path} holds no {what}: its first line is {text.splitlines()[0][:80]!r}.")
        names, header = found
        table, broken = text_table(text, list(names), int(header))
        simulated = is_simulated(path, data)
    rows = row_numbers(path, len(table), 1 + int(header), broken)
    refused = [(number, "broken_line", line) for number, line in broken]
    return EventTable(path, sha256, _trimmed(table), rows, simulated, refused)


def _trimmed(table: Any) -> Any:
    """The table without spaces around its values, nothing where nothing stands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [pc.utf8_trim_whitespace(pc.fill_null(column, "")) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def events_by_symbol(
    opened: EventTable,
    kind: str,
    event_time: Times,
    columns: dict[str, NDArray[Any]],
    symbols: tuple[Sequence[str | None], NDArray[np.int64]],
    received_at: Times | None,
    notes: Sequence[str],
    good: NDArray[np.bool_],
) -> list[RawEvents]:
    """One `RawEvents` a symbol, in the order in which they first appear; refused lines and notes go with the first.

    Parameters
    ----------
    good : array of bool, shape (n_rows,)
        Rows to give; the others were refused or left out.
    """
    names, code = symbols
    of_name: dict[str | None, list[int]] = {}
    unnamed: list[str] = []
    for i, name in enumerate(names):
        try:
            of_name.setdefault(None if name is None else compact(name), []).append(i)
        except AmbiguousError:
            unnamed.append(str(name))
    told = list(notes)
    if unnamed:
        told.append(f"left out: {', '.join(sorted(unnamed)[:5])}, which are not symbols of a spot or linear market")
    answer: list[RawEvents] = []
    for name, codes in of_name.items():
        at = np.flatnonzero(good & np.isin(code, codes))
        if not len(at) and (answer or len(of_name) > 1):
            continue
        answer.append(
            RawEvents(
                opened.path,
                opened.sha256,
                kind,
                name,
                opened.rows[at],
                event_time[at],
                {column: values[at] for column, values in columns.items()},
                None if received_at is None else received_at[at],
                () if answer else tuple(sorted(opened.refused)),
                () if answer else tuple(told),
                opened.simulated,
            )
        )
    return answer


def symbol_in_name(path: Path, words: str) -> str | None:
    """Symbol of a file that is named as Binance names them, such as `BTCUSDT-aggTrades-2024-01-01.zip`."""
    found = re.match(rf"([A-Z0-9]{{4,30}})-(?:{words})-\d{{4}}", path.name)
    return found[1] if found else None
