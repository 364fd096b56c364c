"""What a decoder of files and streams gives: events as the source has them, under our names, not validated yet.

A source may hold several kinds and symbols, and is read in parts: there is one `RawEvents` for each of a part. The
import validates the rows (ingest/validate_events.py), the lake stores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from numpy.typing import NDArray

from virtuoso.types import Times

CHANGE, WHOLE, CUT = 0, 1, 2
"""What a message of the book is: changes, the whole book, the best levels of one."""
Rejected = tuple[int, str, str]
"""A row that could not be read: its number, the reason, its text."""


class Lines(NamedTuple):
    """What of a file has been read: its lines, or its messages, and how many of them are no rows."""

    read: int = 0
    blank: int = 0
    header: int = 0

    def plus(self, other: Lines) -> Lines:
        """Return the counts of both."""
        return Lines(self.read + other.read, self.blank + other.blank, self.header + other.header)


NO_LINES = Lines()


class Counted(str):
    """A note with a count, which reads as text and adds up over the parts of a file.

    Attributes
    ----------
    text : str
        `{n}` stands for the count in it, `{s}` for the plural's s, `{most}` for the largest amount.
    n, most : int
    """

    text: str
    n: int
    most: int

    def __new__(cls, text: str, n: int, most: int = 0) -> Self:
        """Return a note about `n` things, the largest of them `most`."""
        made = super().__new__(cls, text.format(n=f"{n:,}", s="" if n == 1 else "s", most=f"{most:,}"))
        made.text, made.n, made.most = text, n, most
        return made


def added_up(notes: Iterable[str]) -> list[str]:
    """Return each note once; of those with a count one for all parts of a file."""
    found: dict[str, str] = {}
    for note in notes:
        key = note.text if isinstance(note, Counted) else note
        before = found.get(key)
        if isinstance(note, Counted) and isinstance(before, Counted):
            note = Counted(note.text, before.n + note.n, max(before.most, note.most))
        found[key] = note
    return list(found.values())


@dataclass(frozen=True, slots=True)
class RawEvents:
    """Events of one kind and symbol in one source, in its order.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file's bytes as they lie there.
    kind : str
        A name of market/kinds.py.
    symbol : str or None
        Compact, `BTCUSDT`; None where the source does not say.
    rows : array of int64, shape (n_events,)
        Number of each row in the source, from 1; several events may come from one row.
    event_time : array of int64, ms, shape (n_events,)
        `archive_times.NO_TIME` where there is none.
    columns : mapping of str to array, shape (n_events,)
        Those of the kind; NaN, -1 (ids) or 0 (sides) where the source does not say.
    received_at : array of int64, ms, or None
        When each was received, rounded up; None where nobody wrote it down.
    rejected : tuple of (int, str, str)
        Rows that could not be read at all: number, reason, text.
    notes : tuple of str
        How it was read, and what is worth knowing.
    simulated : bool
        Whether the source says that the simulator made it.
    lines : Lines
        What was read of the source since the events before, which may be of another kind or symbol.
    left_out : int
        Lines read that make no event of any kind, such as those of a market that is none of ours.
    """

    path: Path
    sha256: str
    kind: str
    symbol: str | None
    rows: Times
    event_time: Times
    columns: Mapping[str, NDArray[Any]]
    received_at: Times | None = None
    rejected: tuple[tuple[int, str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())
    simulated: bool = False
    lines: Lines = NO_LINES
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.rows)
