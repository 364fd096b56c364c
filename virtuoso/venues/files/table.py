"""Tables of events in files: bytes in, named columns out. What the columns mean is the decoders' work.

Names of columns are compared in lower case with underscores, since every source spells them its own way.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
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
    looks_like_a_table,
    row_numbers,
    text_table,
    to_numbers,
    unpacked,
)
from virtuoso.venues.files.timestamps import FileTimes, TimeUnit, read_times
from virtuoso.venues.raw_events import RawEvents

_NAMED = re.compile(r"([A-Z0-9]{2,30}?)-")
_LEADING_NUMBER = re.compile(r"-?[\d.]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller says about a file.

    Attributes
    ----------
    now_ms : int, ms
        The present, for the plausible range of times.
    venue, symbol : str or None
        Whose rows are wanted, where a file mixes several or does not say.
    time_zone : str or None
        Of times that carry none.
    time_unit : str
        Of numeric times; 'auto' decides once a file.
    """

    now_ms: int
    venue: str | None = None
    symbol: str | None = None
    time_zone: str | None = None
    time_unit: TimeUnit = "auto"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, in its order.

    Attributes
    ----------
    path : Path
    sha256 : str
    columns : mapping of str to pyarrow column
        By plain name.
    rows : array of int64, shape (n_rows,)
        Number of each in the file, from 1; a header row counts.
    broken : tuple of (int, str)
        Lines that have too few or too many fields.
    simulated : bool
    """

    path: Path
    sha256: str
    columns: Mapping[str, Any]
    rows: NDArray[np.int64]
    broken: tuple[tuple[int, str], ...]
    simulated: bool

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values of a column, and which of them are text that is no number; NaN where it is absent."""
        if name not in self.columns:
            return np.full(len(self), np.nan), np.zeros(len(self), dtype=bool)
        return to_numbers(self.columns[name])

    def times(self, name: str, asked: Asked, zone: str | None = None) -> FileTimes:
        """Moments of a column; in `zone` where its source is known to write them so."""
        return read_times(self.columns[name], name, asked.time_unit, zone or asked.time_zone, asked.now_ms)

    def text(self, position: int) -> str:
        """One row as the file has it, as JSON."""
        return json.dumps({name: column[position].as_py() for name, column in self.columns.items()}, default=str)

    def symbols(self, name: str) -> dict[str, NDArray[np.bool_]]:
        """Which rows belong to which symbol.

        Raises
        ------
        AmbiguousError
            A row names none, or what it names is not a symbol.
        """
        import pyarrow as pa

        coded = self.columns[name].cast(pa.string()).combine_chunks().dictionary_encode()
        codes = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy()
        if (codes < 0).any():
            row = int(self.rows[int(np.argmax(codes < 0))])
            raise AmbiguousError(f"{self.path}: row {row} names no symbol. Remove such rows, or name them.")
        found: dict[str, NDArray[np.bool_]] = {}
        for code, written in enumerate(coded.dictionary.to_pylist()):
            symbol = compact(written.split(" ")[0].replace("-", "").replace("_", ""))
            found[symbol] = found.get(symbol, False) | (codes == code)
        return dict(sorted(found.items()))


def plain_name(name: str) -> str:
    """Write the name of a column plainly: `Funding Rate` becomes `funding_rate`."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().strip('"').lower()).strip("_")


def peek(path: Path, head: bytes) -> tuple[str, ...]:
    """Plain names of a table's columns, without reading the whole file; none if it is no table with a header.

    Parameters
    ----------
    path : Path
    head : bytes
        The first bytes of the file, as they lie there.
    """
    name = path.name.lower()
    if not looks_like_a_table(path):
        return ()
    try:
        if name.endswith((".parquet", ".pq")):
            import pyarrow.parquet as pq

            return tuple(plain_name(column) for column in pq.read_schema(path).names)
        fields = _first_fields(_head_of_text(path, head))
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError):
        return ()  # a damaged file is an error of whoever reads it
    return () if not fields or _LEADING_NUMBER.fullmatch(fields[0]) else tuple(plain_name(field) for field in fields)


def _head_of_text(path: Path, head: bytes) -> str:
    name = path.name.lower()
    if name.endswith(".gz"):
        head = zlib.decompressobj(wbits=31).decompress(head, 1 << 16)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive, archive.open(archive.infolist()[0]) as packed:
            head = packed.read(1 << 12)
    return head.decode("utf-8-sig", "replace")


def _first_fields(text: str) -> list[str]:
    first = text.lstrip().split("\n", 1)[0].strip()
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    return [field.strip().strip('"') for field in first.split(delimiter)] if first else []


def open_table(path: Path, names: tuple[str, ...] = ()) -> Table:
    """Open a CSV, a gzipped CSV, a zip with one CSV in it or a Parquet file.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Of the columns of a file without a header row.

    Raises
    ------
    UnreadableFileError
        The file is damaged, empty, differs from its checksum or is not what its name says.
    """
    data, sha256 = checked_bytes(path)
    broken: tuple[tuple[int, str], ...] = ()
    with decoding(path):
        if path.name.lower().endswith((".parquet", ".pq")):
            table, skip = _parquet(data), 0
        else:
            table, skip, broken = _csv(path, unpacked(path, data), names)
        simulated = is_simulated(path, data)
    rows = row_numbers(path, len(table), 1 + skip, broken)
    columns = {plain_name(name): table[name] for name in table.column_names}
    return Table(path, sha256, columns, rows, broken, simulated)


def _parquet(data: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(data)).read()


def _csv(path: Path, data: bytes, names: tuple[str, ...]) -> tuple[Any, int, tuple[tuple[int, str], ...]]:
    text = data.decode("utf-8-sig", "replace")
    fields = _first_fields(text[: 1 << 16])
    if not fields:
        raise UnreadableFileError(f"{path} is empty.")
    header = not _LEADING_NUMBER.fullmatch(fields[0])
    if not header and len(fields) > len(names):
        raise UnreadableFileError(
            f"{path} has no header row, and {len(fields)} columns where {len(names)} were expected."
        )
    delimiter = next((mark for mark in ",;\t" if mark in text.lstrip().split("\n", 1)[0]), ",")
    table, broken = text_table(text, fields if header else list(names[: len(fields)]), int(header), delimiter)
    return table, int(header), broken


def raw_events(
    table: Table,
    kind: str,
    symbol: str | None,
    times: NDArray[np.int64],
    columns: Mapping[str, tuple[NDArray[np.float64], NDArray[np.bool_]]],
    wanted: NDArray[np.bool_] | None = None,
    notes: tuple[str, ...] = (),
    *,
    first: bool = True,
) -> RawEvents:
    """Events of some rows of a table; those with text where a number should be are refused.

    Parameters
    ----------
    table : Table
    kind : str
    symbol : str or None
    times : array of int64, ms, shape (n_rows,)
        Of the events.
    columns : mapping of str to (values, garbled), each of shape (n_rows,)
    wanted : array of bool, shape (n_rows,), optional
        Rows of this symbol; all if absent.
    notes : tuple of str
    first : bool
        Whether these are the first events of the file: they carry its broken lines.
    """
    wanted = np.ones(len(table), dtype=bool) if wanted is None else wanted
    garbled = np.any([text for _, text in columns.values()], axis=0) & wanted
    kept = wanted & ~garbled
    refused = [(int(table.rows[i]), "not_a_number", table.text(int(i))) for i in np.flatnonzero(garbled)]
    refused += [(number, "broken_line", text) for number, text in table.broken] if first else []
    return RawEvents(
        path=table.path,
        sha256=table.sha256,
        kind=kind,
        symbol=symbol,
        rows=table.rows[kept],
        event_time=times[kept],
        columns={name: values[kept] for name, (values, _) in columns.items()},
        refused=tuple(sorted(refused)),
        notes=notes,
        simulated=table.simulated,
    )


def symbol_in_name(path: Path) -> str | None:
    """Symbol with which an archive's name begins, such as `BTCUSDT-metrics-2024-01-01.zip`; None if it does not."""
    match = _NAMED.match(path.name)
    return match[1] if match else None
