"""A recording, line by line: when each was received, and what it says; whatever cannot be read is set aside by number.

Lines are written as `<time> <JSON>`, `<time>: <JSON>` or `<address> -> <time>: <JSON>`, or without a time; a file may
also be one JSON list. Times are of the machine that recorded, in s, ms, us or ns, and are rounded up to the
millisecond: nothing is known before it came. A recorder that was killed leaves a gzip without an end: what is there is
read, and said to end early, since a recording cannot be made again. Messages come in stretches, so that a recording of
any length fits into memory.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from virtuoso.errors import UnreadableFileError
from virtuoso.venues.files.file_io import Bytes, checked_digest, unpacked
from virtuoso.venues.files.lines import MOST_BROKEN, Stretch, stretches
from virtuoso.venues.raw_events import NO_LINES, Lines

_TIME = re.compile(rb"(\d{9,19})(?:\.(\d+))?:?$")
_SYMBOL = re.compile(rb"[?&]symbol=([A-Za-z0-9]+)")
_NS = 1_000_000_000
_NO_TEXT = "\ufffd".encode()
_SPACES = re.compile(r"[\ufeff \t\n\r]*")
_TEXT_BYTES = 1 << 20
SHOWN = 200
"""Characters of a rejected row that are kept."""
STRETCH_BYTES = 8 << 20
LISTED = 20_000
"""Messages of a list that make a stretch."""
LONGEST_LISTED = 16 << 20
"""Characters of one message of a list."""


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
    lines : Lines
        What was read since the last events were made of it.
    left_out : int
        How many of these lines make no event.
    """

    path: Path
    sha256: str
    rejected: list[tuple[int, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: Lines = NO_LINES
    left_out: int = 0

    def reject(self, row: int, reason: str, text: bytes | str) -> None:
        """Set a row aside.

        Raises
        ------
        UnreadableFileError
            There are so many that it cannot be what it should be.
        """
        if len(self.rejected) >= MOST_BROKEN:
            number, why, shown = self.rejected[0]
            raise UnreadableFileError(
                f"{self.path}: over {MOST_BROKEN:,} rows are refused, the first is row {number} ({why}): "
                f"{shown[:60]!r}. Nothing was stored. Is it the right file?"
            )
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        self.rejected.append((row, reason, shown.strip()[:SHOWN]))

    def read(self, lines: int = 0, blank: int = 0, header: int = 0) -> None:
        """Count what was read."""
        self.lines = self.lines.plus(Lines(lines, blank, header))


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
        It cannot be opened, or differs from the checksum beside it.
    """
    return Recording(path, checked_digest(path))


def messages(recording: Recording) -> Iterator[Iterator[Line]]:
    """Yield the messages of a file in order, a stretch at a time; what is no JSON is rejected.

    Raises
    ------
    UnreadableFileError
        The file is damaged, empty, or one JSON list that does not end.
    """
    path = recording.path
    with unpacked(path) as opened:
        stream = _UntilCut(recording, opened)
        start = stream.read(STRETCH_BYTES)
        while start.isspace():
            start += stream.read(STRETCH_BYTES) or b"\0"
        if not start or (stream.cut and not stream.n_lines):
            why = "ends before its first line. Record it again." if stream.cut else "is empty."
            raise UnreadableFileError(f"{path} {why}")
        stream.give_back(start)
        if start.lstrip().startswith(b"["):
            listed = _listed(recording, _texts(stream))
            while some := list(islice(listed, LISTED)):
                yield iter(some)
            return
        for stretch in stretches(stream, STRETCH_BYTES):
            yield _lines(recording, stretch, stream)


def _texts(stream: Bytes) -> Iterator[str]:
    """Yield what a stream gives as text; bytes that are no text are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while data := stream.read(_TEXT_BYTES):
        yield decoder.decode(data)


class _UntilCut:
    """A stream that ends where a packed file was cut."""

    def __init__(self, recording: Recording, stream: Bytes) -> None:
        self._recording = recording
        self._stream = stream
        self._given_back = b""
        self.n_lines = 0
        self.cut = False

    def give_back(self, data: bytes) -> None:
        """Take what was read, to be read again."""
        self._given_back = data

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end, or where what follows was cut off.

        Raises
        ------
        UnreadableFileError
            What follows is damaged.
        """
        if self._given_back:
            data, self._given_back = self._given_back[:size], self._given_back[size:]
            return data
        if self.cut:
            return b""
        try:
            data = self._stream.read(size)
        except EOFError:
            self.cut = True
            if self.n_lines:
                many = f"{self.n_lines:,} lines were readable"
                self._recording.notes.append(f"ends early, as a recorder that was killed leaves it: {many}")
            return b""
        except (OSError, zlib.error) as error:
            raise UnreadableFileError(
                f"{self._recording.path} is damaged after line {self.n_lines:,} ({error}). Nothing was stored. Copy "
                "it again."
            ) from None
        self.n_lines += data.count(b"\n")
        return data

    def whole_lines(self, stretch: Stretch) -> int:
        """Return how many lines of a stretch are whole: of a file that was cut the last one is not."""
        n_lines = stretch.text.count(b"\n")
        if self.cut and stretch.first + n_lines - 1 > self.n_lines:
            return n_lines - 1
        return n_lines


def _lines(recording: Recording, stretch: Stretch, stream: _UntilCut) -> Iterator[Line]:
    """Yield the messages of a stretch of lines."""
    n_lines, n_blank = stream.whole_lines(stretch), 0
    for place, text in enumerate(islice(stretch.text.split(b"\n"), n_lines)):
        row = stretch.first + place
        if stretch.cut and place == 0:
            recording.reject(row, "not_json", text)
        elif not text or text.isspace():
            n_blank += 1
        else:
            line = _line(recording, row, text)
            if line is not None:
                yield line
    recording.read(n_lines, n_blank)


def _line(recording: Recording, row: int, text: bytes) -> Line | None:
    """Read `<time> <JSON>`; None where it is rejected or only names a connection."""
    start = text.find(b"{")
    if start < 0:
        if b"://" in text[:16]:
            recording.read(header=1)
        else:
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
        if _NO_TEXT in text:
            raise ValueError("bytes that are no text")  # noqa: TRY301
    except ValueError:
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


def _listed(recording: Recording, parts: Iterator[str]) -> Iterator[Line]:
    """Yield the messages of a file that is one JSON list; they are numbered from 1."""
    decoder, text, at, row = json.JSONDecoder(), "", 0, 0
    opened = False
    while True:
        at = _after_spaces(text, at)
        try:
            if not opened:
                at, opened = _after(text, at, "["), True
                continue
            if text[at] == "]":
                _reject_rest(recording, text[at + 1 :], parts)
                return
            start = _after_spaces(text, _after(text, at, ",")) if row else at
            message, end = decoder.raw_decode(text, start)
            text[_after_spaces(text, end)]  # a number may go on in what follows
        except (ValueError, IndexError):
            more = next(parts, None) if len(text) - at < LONGEST_LISTED else None
            if more is None:
                raise UnreadableFileError(
                    f"{recording.path} is not whole JSON: message {row + 1:,} of its list cannot be read. Download it "
                    "again."
                ) from None
            text, at = text[at:] + more, 0
            continue
        at, row = end, row + 1
        recording.read(1)
        yield Line(row, None, None, message)


def _after_spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at


def _after(text: str, at: int, mark: str) -> int:
    """Return the place after a mark that must stand there."""
    if text[at] != mark:
        raise ValueError(mark)
    return at + 1


def _reject_rest(recording: Recording, text: str, parts: Iterator[str]) -> None:
    """Reject a file that goes on after the end of its list."""
    if text.strip() or any(part.strip() for part in parts):
        raise UnreadableFileError(
            f"{recording.path} goes on after the end of its JSON list. Write one message a line, or one list a file."
        )
