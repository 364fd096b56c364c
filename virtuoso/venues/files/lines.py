"""The lines of a table as text: each is a row, blank, a header, or broken, and none takes others along.

1. `stretches` cuts a stream into stretches of whole lines, however they end (LF, CRLF, CR). The rest of a line that is
   too long for any row is read past, not held.
2. `sorted_out` says of each line of a stretch what it is. A line with a stray quote, too few or too many fields is
   broken; the fields of these files hold no line ends, so that a quote never reaches into the next line.
3. What is left are lines with as many fields as there are columns, ready for the parser.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.types import Mask
from virtuoso.venues.files.file_io import Bytes

STRETCH_BYTES = 8 << 20
LONGEST_LINE = 1 << 20
SHOWN = 500
"""Bytes of a broken line that are kept."""
MOST_BROKEN = 200_000
"""Broken lines that are kept of a file in which they are the most."""
_SHORT_LINE = 16
_DENSE_BYTES = 1 << 20
_BOM = "\ufeff"
_LF, _QUOTE = 0x0A, 0x22


class Stretch(NamedTuple):
    """Whole lines of a text, each ended by LF.

    Attributes
    ----------
    text : bytes
        UTF-8; bytes that are no text are replaced, and so spoil their line alone.
    first : int
        Number of the first line, from 1.
    cut : bool
        Whether the first line was longer than any row and is cut.
    """

    text: bytes
    first: int
    cut: bool = False


def stretches(stream: Bytes, size: int = STRETCH_BYTES) -> Iterator[Stretch]:
    """Yield the lines of a stream in stretches of about so many bytes; what has no end ends with the stream."""
    rest, number, cut, end = b"", 1, False, False
    while not end:
        piece = _piece(stream, size)
        end = len(piece) < size
        if cut:  # of a line that is too long, nothing is kept but its beginning
            at = min((i for i in (piece.find(b"\n"), piece.find(b"\r")) if i >= 0), default=len(piece))
            piece = piece[at:]
            if not piece and not end:
                continue
        data = rest + piece
        half = data.endswith(b"\r") and not end  # its LF may come next
        data = data[: len(data) - half]
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if end and data and not data.endswith(b"\n"):
            data += b"\n"
        length = data.rfind(b"\n") + 1
        whole, rest = data[:length], data[length:] + b"\r" * half
        for part in _not_too_many(whole):
            yield Stretch(_as_utf_8(part), number, cut)
            number, cut = number + part.count(b"\n"), False
        if len(rest) > LONGEST_LINE:
            rest, cut = rest[:SHOWN], True


def _not_too_many(whole: bytes) -> Iterator[bytes]:
    """Yield whole lines as they are, or in smaller parts where they are so short that there are very many."""
    size = len(whole) if whole.count(b"\n") * _SHORT_LINE < len(whole) else _DENSE_BYTES
    at = 0
    while at < len(whole):
        end = whole.find(b"\n", min(at + size, len(whole)) - 1) + 1
        yield whole[at:end] if end - at < len(whole) else whole
        at = end


def _piece(stream: Bytes, size: int) -> bytes:
    """Return so many bytes of a stream, fewer only at its end."""
    found = []
    while size > 0 and (piece := stream.read(size)):
        found.append(piece)
        size -= len(piece)
    return b"".join(found)


def _as_utf_8(data: bytes) -> bytes:
    """Text as it is; bytes that are no text are replaced, marks of its order left out, which joined files repeat."""
    return data if data.isascii() else data.decode("utf-8", "replace").replace(_BOM, "").encode()


class SortedOut(NamedTuple):
    """What the lines of a stretch are.

    Attributes
    ----------
    text : bytes
        The rows, a line each.
    rows : array of int64, shape (n_rows,)
        Their numbers.
    broken : tuple of (int, str)
        Number and text of lines with too few or too many fields, or a stray quote.
    blank, header : int
        Number of lines in which nothing stands, and of those that name the columns.
    quoted : bool
        Whether fields are quoted.
    """

    text: bytes
    rows: NDArray[np.int64]
    broken: tuple[tuple[int, str], ...]
    blank: int
    header: int
    quoted: bool


def sorted_out(stretch: Stretch, n_fields: int, delimiter: str, headers: Collection[str], above: int = 0) -> SortedOut:
    """Say what the lines of a stretch are.

    Parameters
    ----------
    stretch : Stretch
    n_fields : int
        Of a row.
    delimiter : str
    headers : collection of str
        Lines that are no rows wherever they stand, such as the header of each of several joined files.
    above : int
        Lines at the beginning of the stretch, blank ones counted, that are no rows whatever stands there.
    """
    array = np.frombuffer(stretch.text, dtype=np.uint8)
    ends = np.flatnonzero(array == _LF)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts
    marks = array == ord(delimiter)
    found = np.add.reduceat(marks, starts, dtype=np.int64)
    good = (found == n_fields - 1) & (lengths <= LONGEST_LINE)
    surplus = (found == n_fields) & (ends > 0) & marks[ends - 1] & (lengths > 0)  # a delimiter at the end of each row
    quoted = _sort_quoted(stretch.text, array, starts, ends, good, surplus, n_fields, delimiter)
    blank = lengths == found
    for i in np.flatnonzero(~good & ~blank & (lengths < SHOWN))[: MOST_BROKEN + 1]:
        blank[i] = not _line(stretch.text, starts[i], ends[i]).replace(delimiter, "").strip()
    header = _headers(stretch.text, starts, ends, headers) & ~blank
    header[:above] = ~blank[:above]
    if stretch.cut:
        good[0] = surplus[0] = header[0] = blank[0] = False
    rows = (good | surplus) & ~blank & ~header
    broken = [
        (int(stretch.first + i), _line(stretch.text, starts[i], min(ends[i], starts[i] + SHOWN)))
        for i in np.flatnonzero(~rows & ~blank & ~header)[: MOST_BROKEN + 1]
    ]
    kept = np.repeat(rows, lengths + 1)
    kept[ends[surplus & rows] - 1] = False
    return SortedOut(
        stretch.text if kept.all() else array[kept].tobytes(),
        stretch.first + np.flatnonzero(rows),
        tuple(broken),
        int(blank.sum()),
        int(header.sum()),
        quoted,
    )


def _line(text: bytes, start: int, end: int) -> str:
    return text[start:end].decode("utf-8", "replace")


def _sort_quoted(
    text: bytes,
    array: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    good: Mask,
    surplus: Mask,
    n_fields: int,
    delimiter: str,
) -> bool:
    """Correct which lines with quotes are good: each field is quoted whole or not at all. Say whether there are any."""
    if b'"' not in text:
        return False
    at = np.unique(np.searchsorted(ends, np.flatnonzero(array == _QUOTE)))
    mark = re.escape(delimiter)
    plain = _matches(text, starts, _fields(mark, "\n" + mark) + "\n$")[at]  # no delimiter stands inside of quotes
    good[at] &= plain
    surplus[at] &= plain
    whole = re.compile(_fields(mark, "\n") + "$")
    for i in at[~plain]:
        line = _line(text, starts[i], ends[i])
        good[i] = whole.match(line) is not None and _n_fields(line, delimiter) == n_fields
    return True


def _fields(mark: str, never: str) -> str:
    """Return the pattern of a line whose fields are quoted whole or not at all; some bytes never stand in quotes."""
    field = rf'(?:[^"{mark}\n]*|"(?:[^"{never}]|"")*")'
    return f"^{field}(?:{mark}{field})*"


def _matches(text: bytes, starts: NDArray[np.int64], pattern: str) -> Mask:
    """Return which lines, their ends included, match a pattern."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.append(starts, len(text)).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(text))
    found: Mask = pc.match_substring_regex(lines, pattern).to_numpy(zero_copy_only=False)
    return found


def _n_fields(line: str, delimiter: str) -> int:
    return len(next(csv.reader([line], delimiter=delimiter), []))


def _headers(text: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], headers: Collection[str]) -> Mask:
    """Return which lines are one of some headers; only lines of their length are looked at."""
    answer: Any = np.zeros(len(starts), dtype=bool)
    for header in headers:
        place = text.find(header.encode())
        while place >= 0:
            i = int(np.searchsorted(ends, place))
            answer[i] |= _line(text, starts[i], ends[i]).strip() == header
            place = text.find(header.encode(), int(ends[i]))
    return np.asarray(answer, dtype=bool)
