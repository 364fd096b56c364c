"""What a decoder of files and streams gives: events as the source has them, under our names, not validated yet.

A source may hold several kinds and symbols; there is one `RawEvents` for each. The import validates the rows
(ingest/validate_events.py), the lake stores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from virtuoso.types import Times

CHANGE, WHOLE, CUT = 0, 1, 2
"""What a message of the book is: changes, the whole book, the best levels of one."""
Rejected = tuple[int, str, str]
"""A row that could not be read: its number, the reason, its text."""


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

    def __len__(self) -> int:
        return len(self.rows)
