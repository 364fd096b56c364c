"""Public archive files and other tables of bars, read as they are: bytes in, named raw columns out.

1. `read_bars` opens a zip with one CSV in it, a CSV, a gzipped CSV or a Parquet file, and checks the bytes against a
   sibling `.CHECKSUM`.
2. Columns are recognised by name, in the spellings that exchanges and their users write; a table without a header row
   is taken for Binance klines if it has their twelve columns, else it is not a table of bars.
3. Times become UTC milliseconds (timestamps.py), numbers float64. Rows are not judged here: that is the border's
   work (market/quality.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.venues.files.file_io import (
    SUFFIXES,
    checked_bytes,
    decoding,
    is_simulated,
    looks_like_a_table,
    row_numbers,
    text_table,
    to_numbers,
    unpacked,
)
from virtuoso.venues.files.headers import KLINE_COLUMNS, NUMBERS, recognise, why_no_bars
from virtuoso.venues.files.timestamps import NO_TIME, FileTimes, TimeUnit, read_times


@dataclass(frozen=True, slots=True)
class NotBars:
    """A file that holds something else.

    Attributes
    ----------
    path : Path
    reason : str
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class RawBars:
    """Rows of a file, in its order, under our names.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file's bytes.
    rows : array of int64, shape (n_rows,)
        Number of each row in the file, from 1; a header row counts.
    times : FileTimes
        Open times, or close times if `stamped_at_close`.
    stamped_at_close : bool
    span_ms : int or None, ms
        Usual distance from a row's open time to its close time, if the file has both.
    columns : mapping of str to array of float64, shape (n_rows,)
        NaN where the file says nothing, NaN or text.
    garbled : array of bool, shape (n_rows,)
        Rows with text where a number should be.
    symbols : tuple of str, or None
        The symbols it names, as it writes them; None if it has no such column.
    symbol_of_row : array of int, shape (n_rows,)
        Position of each row's symbol among them; -1 where it names none.
    broken : tuple of (int, str)
        Lines that have too few or too many fields.
    simulated : bool
        Whether the file says that the simulator made it.
    """

    path: Path
    sha256: str
    rows: NDArray[np.int64]
    times: FileTimes
    stamped_at_close: bool
    span_ms: int | None
    columns: Mapping[str, NDArray[np.float64]]
    garbled: NDArray[np.bool_]
    symbols: tuple[str, ...] | None
    symbol_of_row: NDArray[np.int64]
    broken: tuple[tuple[int, str], ...]
    simulated: bool
    table: Any

    def __len__(self) -> int:
        return len(self.rows)

    def raw(self, position: int) -> str:
        """One row as the file has it, as JSON."""
        return json.dumps(self.table.slice(position, 1).to_pylist()[0], default=str)


def read_bars(
    path: Path, *, now_ms: int, time_unit: TimeUnit = "auto", time_zone: str | None = None
) -> RawBars | NotBars:
    """Read a file of bars.

    Parameters
    ----------
    path : Path
    now_ms : int, ms
        The present, for the plausible range of times.
    time_unit : str
        'auto' decides once a file, from the size of its times.
    time_zone : str, optional
        Zone of times that carry none.

    Returns
    -------
    RawBars, or NotBars with the reason

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum or is not what its name says.
    AmbiguousError
        The unit or the zone of its times, or its venue, would have to be guessed.
    """
    if not looks_like_a_table(path):
        return NotBars(path, f"{path.suffix or 'a file without a suffix'} is none of {', '.join(SUFFIXES)}")
    data, sha256 = checked_bytes(path)
    with decoding(path):
        if path.name.lower().endswith((".parquet", ".pq")):
            opened = _open_parquet(path, data)
        else:
            opened = _open_csv(path, unpacked(path, data))
        if isinstance(opened, NotBars):
            return opened

        def times_of(column: Any, name: str) -> FileTimes:
            return read_times(column, name, time_unit, time_zone, now_ms)

        return _raw_bars(path, data, sha256, opened, times_of)


def _raw_bars(
    path: Path, data: bytes, sha256: str, opened: _Opened, times_of: Callable[[Any, str], FileTimes]
) -> RawBars:
    named = opened.named
    _refuse_mixed_venues(path, opened)
    stamped_at_close = "open_time" not in named
    name = named["close_time" if stamped_at_close else "open_time"]
    times = times_of(opened.table[name], name)
    columns, garbled = {}, np.zeros(len(times.ms), dtype=bool)
    for meaning in NUMBERS:
        if meaning in named:
            columns[meaning], text = to_numbers(opened.table[named[meaning]])
            garbled |= text
    symbols, symbol_of_row = _symbols(opened)
    return RawBars(
        path,
        sha256,
        opened.rows,
        times,
        stamped_at_close,
        None if stamped_at_close else _span(opened, times, times_of),
        columns,
        garbled,
        symbols,
        symbol_of_row,
        opened.broken,
        is_simulated(path, data),
        opened.table,
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    table: Any
    named: dict[str, str]
    rows: NDArray[np.int64]
    broken: tuple[tuple[int, str], ...]


def _open_csv(path: Path, data: bytes) -> _Opened | NotBars:
    # bytes that are no text spoil their row, not the file
    text = data.decode("utf-8-sig", "replace")
    if not text.strip():
        raise UnreadableFileError(f"{path} is empty.")
    first = text[: 1 << 16].lstrip().split("\n", 1)[0].strip()
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    fields = [field.strip().strip('"') for field in first.split(delimiter)]
    header = not re.match(r"^-?[\d.]+$", fields[0])
    if not header and len(fields) not in (len(KLINE_COLUMNS), len(KLINE_COLUMNS) - 1):
        return NotBars(path, f"no header row, and {len(fields)} columns where Binance klines have {len(KLINE_COLUMNS)}")
    names = _unique(fields) if header else list(KLINE_COLUMNS[: len(fields)])
    named = recognise(names)
    missing = why_no_bars(named, names)
    if missing:
        return NotBars(path, missing)
    table, broken = text_table(text, names, int(header), delimiter)
    return _opened(path, table, named, 1 + int(header), broken)


def _open_parquet(path: Path, data: bytes) -> _Opened | NotBars:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    names = list(file.schema_arrow.names)
    named = recognise(names)
    missing = why_no_bars(named, names)
    if missing:
        return NotBars(path, missing)
    return _opened(path, file.read(columns=list(named.values())), named)


def _opened(
    path: Path, table: Any, named: dict[str, str], first: int = 1, broken: tuple[tuple[int, str], ...] = ()
) -> _Opened:
    return _Opened(table, named, row_numbers(path, len(table), first, broken), broken)


def _unique(names: list[str]) -> list[str]:
    """Tell columns of the same name apart; the first keeps it."""
    return [name if name not in names[:i] else f"{name}.{i}" for i, name in enumerate(names)]


def _refuse_mixed_venues(path: Path, opened: _Opened) -> None:
    if "venue" in opened.named:
        venues = sorted({str(v) for v in opened.table[opened.named["venue"]].unique().to_pylist()})
        if len(venues) > 1:
            raise AmbiguousError(
                f"{path} mixes the bars of {len(venues)} venues ({', '.join(venues[:5])}). Write one file a venue."
            )


def _symbols(opened: _Opened) -> tuple[tuple[str, ...] | None, NDArray[np.int64]]:
    """The symbols of the rows: their names, and the position of each row's."""
    import pyarrow as pa

    if "symbol" not in opened.named:
        return None, np.zeros(len(opened.table), dtype=np.int64)
    coded = opened.table[opened.named["symbol"]].cast(pa.string()).combine_chunks().dictionary_encode()
    return tuple(coded.dictionary.to_pylist()), coded.indices.cast(pa.int64()).fill_null(-1).to_numpy()


def _span(opened: _Opened, times: FileTimes, times_of: Callable[[Any, str], FileTimes]) -> int | None:
    """Usual time from a row's open to its close, ms; closes are written as the last ms, us or second, or next open."""
    if "close_time" not in opened.named:
        return None
    name = opened.named["close_time"]
    closes = times_of(opened.table[name], name).ms
    known = (closes != NO_TIME) & (times.ms != NO_TIME)
    span = float(np.median(closes[known] - times.ms[known])) if known.any() else 0.0
    return round(span / 1_000) * 1_000
