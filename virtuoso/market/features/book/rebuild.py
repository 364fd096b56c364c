"""The order book of one instrument, rebuilt from snapshots and changes, message by message.

1. A message is a run of rows with the same ids and the same arrival: levels with their new sizes; size 0 removes one.
2. A snapshot puts the book in sync. Changes that arrived before it are held, and those that it does not contain yet
   are applied after it, as Binance documents it (spot: `U <= lastUpdateId + 1 <= u`; USD-M: `pu <= lastUpdateId <= u`).
3. A change covers the ids from the last of the message before (`pu`, or `U - 1`) to its own last one. If it covers
   more than is missing nothing is lost; if something lies between, that is a gap: the book is not known until the next
   snapshot. What it contains already is left out. Sources without ids (`NO_ID`) cannot be checked like that.
4. A crossed or locked book and a level that cannot be (no positive price, a negative size, an empty level of a
   snapshot) put it out of sync as well, and so does a minute of silence of a source without ids.
5. Every stretch in which the book was not known stands in the ledger: from, to, why.

The levels themselves, and the kernels, are in state.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.errors import ConfigError, DataError, check_room
from virtuoso.market.events import Events, events_of
from virtuoso.market.features.book.state import (
    NEVER,
    REASONS,
    BookState,
    Integers,
    feed_rows,
    new_state,
    rows_of,
    with_room,
)
from virtuoso.market.schema.kinds import KINDS
from virtuoso.types import Array


class OutOfSync(NamedTuple):
    """A stretch in which the book was not known."""

    start: int
    end: int | None
    reason: str


class Book:
    """The order book of one instrument.

    Nothing is shared between two books, and a history may be fed whole or in pieces.

    Examples
    --------
    >>> book = Book()
    >>> book.in_sync
    False
    """

    def __init__(self) -> None:
        self._state = new_state()
        self._until = NEVER
        self._gaps: list[OutOfSync] = []

    def feed(self, depth: Events) -> Events:
        """Take messages of the book.

        Parameters
        ----------
        depth : Events
            Of kind depth, later than all before; a millisecond is not split.

        Returns
        -------
        Events
            Of kind ticker: best bid and ask after each message after which both are known.

        Raises
        ------
        DataError
            They are of another kind, or not later than those before.
        """
        if depth.kind.name != "depth":
            raise DataError(f"A book is made of depth events, not of {depth.kind.name}.")
        if len(depth) == 0:
            return events_of(KINDS["ticker"], np.empty(0, np.int64), dict.fromkeys(KINDS["ticker"].columns, ()))
        if depth.available_at[0] <= self._until:
            raise DataError(
                f"The book has seen everything until {self._until} ms, the next message arrived at "
                f"{depth.available_at[0]} ms. Hand in messages in order of arrival, a millisecond in one piece."
            )
        self._until = int(depth.available_at[-1])
        self._state = with_room(self._state, len(depth))
        gaps = np.empty((len(depth) + 2, 3), dtype=np.int64)
        ids, quotes = np.empty((len(depth), 2), dtype=np.int64), np.empty((len(depth), 4))
        made = feed_rows(self._state, rows_of(depth), np.empty(len(depth)), ids, quotes, gaps)
        self._gaps += drained(self._state, gaps)
        bids = dict(zip(("bid", "bid_size", "ask", "ask_size"), quotes[:made].T, strict=True))
        return events_of(KINDS["ticker"], ids[:made, 1], {"id": ids[:made, 0], **bids}, ids[:made, 1])

    @property
    def in_sync(self) -> bool:
        """Whether the book is known, as of the last message."""
        return bool(self._state.now["in_sync"][0])

    @property
    def last_id(self) -> int:
        """Id of the last change that the book contains; NO_ID where the source has none."""
        return int(self._state.now["last_id"][0])

    @property
    def gaps(self) -> list[OutOfSync]:
        """Stretches in which the book was not known (ms); the last may still be open."""
        return [*self._gaps, *open_gap(self._state)]

    def levels(self, side: str) -> tuple[Array, Array]:
        """Prices and sizes of the bids or the asks, the best first; empty while the book is not known.

        Returns
        -------
        tuple of array (price), array (base), each of shape (n_levels,)
        """
        if side not in ("bid", "ask"):
            raise ConfigError(f"A book has the sides 'bid' and 'ask', not {side!r}.")
        row = 0 if side == "bid" else 1
        n = int(self._state.now["count"][0, row]) if self.in_sync else 0
        return np.abs(self._state.key[row, :n][::-1]), self._state.size[row, :n][::-1].copy()


def drained(book: BookState, gaps: Integers) -> list[OutOfSync]:
    """Take the finished gaps that a kernel wrote down.

    Raises
    ------
    DataError
        There was no room for all of them, or for all levels of the book.
    """
    count, capacity = int(book.now["gaps"][0]), book.key.shape[1]
    check_room("gaps of an order book", count, len(gaps))
    check_room("levels of an order book", capacity + int(book.now["without_room"][0]), capacity)
    book.now["gaps"] = 0
    return [OutOfSync(int(start), int(end), REASONS[reason]) for start, end, reason in gaps[:count]]


def open_gap(book: BookState) -> list[OutOfSync]:
    """Return the stretch in which the book is not known now, if it is not."""
    now = book.now[0]
    if now["in_sync"] or now["unknown_from"] == NEVER:
        return []
    return [OutOfSync(int(now["unknown_from"]), None, REASONS[int(now["reason"])])]
