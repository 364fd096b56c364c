"""A recording, line by line: when each was received, and what it says; whatever cannot be read is set aside by number.

Lines are written as `<time> <JSON>`, `<time>: <JSON>` or `<address> -> <time>: <JSON>`, or without a time; a file may
also be one JSON list. Times are of the machine that recorded, in s, ms, us or ns, and are rounded up to the
millisecond: nothing is known before it came. A recorder that was killed leaves a gzip without an end: what is there is
read, and said to end early, since a recording cannot be made again.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from virtuoso.errors import UnreadableFileError
from virtuoso.venues.files.file_io import LARGEST_BYTES

_TIME = re.compile(rb"(\d{9,19})(?:\.(\d+))?:?$")
_SYMBOL = re.compile(rb"[?&]symbol=([A-Za-z0-9]+)")
_NS = 1_000_000_000
SHOWN = 200
"""Characters of a rejected row that are kept."""


@dataclass(slots=True)
class Recording:
    """What was found while a file was read.

    Attributes
    ----------
    path : Path
    sha256 : str
    rejected : list of (int, str, str)
        Rows that could not be read: number from 1, reason, text.
    notes : list of str
    """

    path: Path
    sha256: str
    rejected: list[tuple[int, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reject(self, row: int, reason: str, text: bytes | str) -> None:
        """Set a row aside."""
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        self.rejected.append((row, reason, shown.strip()[:SHOWN]))


@dataclass(frozen=True, slots=True)
class Line:
    """One message: number of its row from 1, when it was received (ms) if that is known, the symbol asked for, JSON."""

    row: int
    received_at: int | None
    symbol: str | None
    message: Any


def open_recording(path: Path) -> Recording:
    """Take the checksum of a file before it is read.

    Raises
    ------
    UnreadableFileError
        It cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return Recording(path, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from None


def messages(recording: Recording) -> Iterator[Line]:
    """Yield each message of a file in order; what is no JSON is rejected.

    Raises
    ------
    UnreadableFileError
        The file is damaged, empty, or one JSON list that does not end.
    """
    path = recording.path
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        lines = _lines(recording, gzip.GzipFile(fileobj=file) if packed else file)
        row, text = next(lines, (0, b""))
        if not text:
            raise UnreadableFileError(f"{path} is empty.")
        if text.lstrip().startswith(b"["):
            yield from _listed(recording, text, lines)
            return
        for number, one in chain([(row, text)], lines):
            line = _line(recording, number, one)
            if line is not None:
                yield line


def _lines(recording: Recording, stream: Any) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, as far as they can be unpacked."""
    row = 0
    try:
        for text in stream:
            row += 1
            if not text.isspace():
                yield row, text
    except EOFError:
        if row == 0:
            raise UnreadableFileError(f"{recording.path} ends before its first line. Record it again.") from None
        recording.notes.append(f"ends early, as a recorder that was killed leaves it: {row:,} lines were readable")
    except (OSError, zlib.error) as error:
        raise UnreadableFileError(
            f"{recording.path} is damaged after line {row:,} ({error}). Nothing was stored. Copy it again."
        ) from None


def _line(recording: Recording, row: int, text: bytes) -> Line | None:
    """Read `<time> <JSON>`; None where it is rejected or only names a connection."""
    start = text.find(b"{")
    if start < 0:
        if b"://" not in text[:16]:
            recording.reject(row, "not_json", text)
        return None
    prefix = text[:start].rstrip()
    if prefix.endswith(b"["):  # a list of events, as streams of all symbols send them
        start, prefix = text.find(b"["), prefix[:-1].rstrip()
    received = _received(prefix) if prefix else None
    if prefix and received is None:
        recording.reject(row, "time_unreadable", text)
        return None
    try:
        message = orjson.loads(text[start:])
    except orjson.JSONDecodeError:
        recording.reject(row, "not_json", text)
        return None
    asked = _SYMBOL.search(prefix) if b"symbol=" in prefix else None
    return Line(row, received, asked[1].decode().upper() if asked else None, message)


def _received(prefix: bytes) -> int | None:
    """Milliseconds, rounded up, of the time at the end of a prefix."""
    found = _TIME.fullmatch(prefix[prefix.rfind(b" ") + 1 :])
    if found is None:
        return None
    whole, part = found[1], (found[2] or b"")[:9]
    per_unit = _NS if len(whole) <= 10 else 10 ** max(19 - len(whole), 0)
    ns = int(whole) * per_unit + (int(part.ljust(9, b"0")) * per_unit // _NS if part else 0)
    return -(-ns // 1_000_000)


def _listed(recording: Recording, first: bytes, lines: Iterator[tuple[int, bytes]]) -> Iterator[Line]:
    """Read a file that is one JSON list of messages; they are numbered from 1."""
    parts, size = [first], len(first)
    for _, text in lines:
        parts.append(text)
        size += len(text)
        if size > LARGEST_BYTES:
            raise UnreadableFileError(f"{recording.path} is one JSON list of over {LARGEST_BYTES >> 30} GiB. Split it.")
    try:
        listed = orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError as error:
        raise UnreadableFileError(f"{recording.path} is not whole JSON ({error}). Download it again.") from None
    for row, message in enumerate(listed, 1):
        yield Line(row, None, None, message)
