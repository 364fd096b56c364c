"""The bytes of a file: checked against their checksum, unpacked, and taken for a table of text and of numbers.

All readers of files begin here, so that a damaged file is the same error to each of them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import UnreadableFileError, VirtuosoError

SUFFIXES = (".zip", ".csv", ".csv.gz", ".parquet", ".pq")
CHECKSUM = ".CHECKSUM"
LARGEST_BYTES = 4 << 30
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NAMES_NO_NUMBER = r"(?i)^[+-]?(nan|inf|infinity)$"
_NO_VALUE = r"(?i)^(|null|none|na|n/a|-)$"


def looks_like_a_table(path: Path) -> bool:
    """Whether the file's name is one that `read_bars` opens."""
    return path.name.lower().endswith(SUFFIXES)


def checked_bytes(path: Path) -> tuple[bytes, str]:
    """Bytes of a file and their sha256, which a sibling `.CHECKSUM` must promise if there is one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from None
    sha256 = hashlib.sha256(data).hexdigest()
    beside = path.with_name(path.name + CHECKSUM)
    if beside.is_file():
        promised = beside.read_text(encoding="utf-8", errors="replace").strip().split(" ")[0].lower()
        if not re.fullmatch("[0-9a-f]{64}", promised):
            raise UnreadableFileError(f"{beside} is not a sha256 checksum. Download it again, or remove it.")
        if promised != sha256:
            raise UnreadableFileError(
                f"{path} differs from its checksum ({sha256[:8]}… instead of {promised[:8]}…). Nothing was stored. "
                "Download it again."
            )
    return data, sha256


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Say that a file is damaged where its decoders fail.

    Raises
    ------
    UnreadableFileError
    """
    try:
        yield
    except VirtuosoError:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise UnreadableFileError(f"{path} is damaged ({error}). Nothing was stored. Download it again.") from error


def row_numbers(path: Path, n_rows: int, first: int, broken: Sequence[tuple[int, str]]) -> NDArray[np.int64]:
    """Number of each row in its file, where the lines that are no rows are counted as well.

    Parameters
    ----------
    path : Path
    n_rows : int
    first : int
        Line of the first row, from 1; a header row counts.
    broken : sequence of (int, str)
        Lines that are no rows.

    Raises
    ------
    UnreadableFileError
        There is no row.
    """
    if n_rows == 0:
        raise UnreadableFileError(f"{path} holds no row.")
    lines = np.arange(first, first + n_rows + len(broken), dtype=np.int64)
    return np.setdiff1d(lines, [number for number, _ in broken])


def unpacked(path: Path, data: bytes) -> bytes:
    """What is in a gzipped file, or in the one CSV of a zip; any other file as it is."""
    name = path.name.lower()
    if name.endswith(".gz"):
        with gzip.open(io.BytesIO(data)) as packed:
            data = packed.read(LARGEST_BYTES + 1)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) != 1 or not members[0].filename.lower().endswith(".csv"):
                found = ", ".join(m.filename for m in members[:5]) or "nothing"
                raise UnreadableFileError(f"{path} should hold one CSV, holds {found}. Unpack it first.")
            with archive.open(members[0]) as packed:
                data = packed.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise UnreadableFileError(f"{path} unpacks to more than {LARGEST_BYTES >> 30} GiB. Split it.")
    return data


def is_simulated(path: Path, data: bytes) -> bool:
    """Whether the comment of a zip or gzip says so; the simulator writes it because files are moved."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return _gzip_comment(data).startswith(b"simulated")
    if not name.endswith(".zip"):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.comment.startswith(b"simulated")


def _gzip_comment(data: bytes) -> bytes:
    """Comment in the header of a gzip (RFC 1952) without extra fields; empty if it has none."""
    flags = data[3] if len(data) > 10 else 0
    if not flags & 0x10 or flags & 0x04:
        return b""
    rest = data[10:]
    if flags & 0x08:
        rest = rest.partition(b"\0")[2]
    return rest.partition(b"\0")[0]


def text_table(
    text: str, names: list[str], skip: int = 0, delimiter: str = ","
) -> tuple[Any, tuple[tuple[int, str], ...]]:
    """Read delimited text as a table of text, with the lines that have too few or too many fields set aside.

    Parameters
    ----------
    text : str
    names : list of str
        Of its columns.
    skip : int
        Lines before the first row.
    delimiter : str
    """
    import pyarrow as pa
    from pyarrow import csv

    broken: list[tuple[int, str]] = []

    def set_aside(row: Any) -> str:
        broken.append((int(row.number or 0), str(row.text)))
        return "skip"

    table = csv.read_csv(
        io.BytesIO(text.encode()),
        read_options=csv.ReadOptions(column_names=names, skip_rows=skip, use_threads=False),
        parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=set_aside),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return table, tuple(broken)


def to_numbers(column: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values as float64, and which of them are text that is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = np.zeros(len(column), dtype=bool)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        try:
            return column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64), nothing
        except pa.ArrowException:
            return np.full(len(column), np.nan), ~nothing
    try:  # nearly always every value is a number
        return column.cast(pa.float64()).to_numpy().astype(np.float64), nothing
    except pa.ArrowInvalid:
        text = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    number = pc.or_(pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _NAMES_NO_NUMBER))
    values = pc.if_else(number, text, None).cast(pa.float64()).to_numpy()
    known = pc.or_(number, pc.match_substring_regex(text, _NO_VALUE)).to_numpy(zero_copy_only=False)
    return values.astype(np.float64), ~known.astype(bool)
