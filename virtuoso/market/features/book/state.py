"""Levels of an order book in sorted arrays, and the kernels that rebuild it (book.py tells how).

Prices are kept as keys, sorted, the best one last: a bid's price, an ask's price negated. So both sides are one code,
most changes move only the few levels before the end, and the mirrored market gives the mirrored bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import inner, kernel
from virtuoso.market.events import Events
from virtuoso.market.schema.kinds import NO_ID
from virtuoso.types import Array

Integers = NDArray[np.int64]
Record = Any
"""A record of a structured array; numba knows its fields."""

SILENCE_MS = 60_000
"""A book of which nothing was heard for so long is not known."""
HELD_ROWS = 16_384
"""Changes that are held until a snapshot comes; older ones are forgotten."""

CHANGE, WHOLE, CUT = 0, 1, 2
"""What a message is: changes, the whole book, the best levels of one (market/schema/kinds.py, column `snapshot`)."""
REASONS = ("no snapshot yet", "gap in the sequence", "crossed or locked", "impossible level", "silence")
_BEGINNING, _GAP, _CROSSED, _IMPOSSIBLE, _SILENT = cast(list[int], [np.int64(i) for i in range(len(REASONS))])
NEVER = np.iinfo(np.int64).min
_LEAVE_OUT, _APPLY, _HOLD = range(3)

STANDING = np.dtype(
    [
        ("in_sync", np.int64), ("synced_at", np.int64), ("last_id", np.int64), ("seen_at", np.int64),
        ("unknown_from", np.int64), ("reason", np.int64), ("gaps", np.int64),
        # levels for which there was no room; see `drained`
        ("without_room", np.int64),
        # levels a side, and the key of the worst that the last snapshot showed: beyond it only changes are known
        ("count", np.int64, (2,)), ("reach", np.float64, (2,)),
        # changes that wait for a snapshot, a ring
        ("held_from", np.int64), ("held", np.int64), ("held_first", np.int64, (HELD_ROWS,)),
        ("held_last", np.int64, (HELD_ROWS,)), ("held_previous", np.int64, (HELD_ROWS,)),
        ("held_side", np.int8, (HELD_ROWS,)), ("held_price", np.float64, (HELD_ROWS,)),
        ("held_size", np.float64, (HELD_ROWS,)),
    ],
    align=True,
)  # fmt: skip
"""Where a book stands, in one record."""


class BookState(NamedTuple):
    """A book in arrays, as the kernels take it.

    Attributes
    ----------
    key : array, price, shape (2, capacity)
        Levels of the bids (0) and the asks (1), the best one last; asks negated.
    size : array, base, shape (2, capacity)
    now : record array, shape (1,)
        Of `STANDING`.
    """

    key: Array
    size: Array
    now: NDArray[Any]


def new_state(capacity: int = 4_096) -> BookState:
    """Return a book that has seen nothing, with room for so many levels a side."""
    now = np.zeros(1, dtype=STANDING)
    now["last_id"], now["seen_at"], now["unknown_from"], now["reach"] = NO_ID, NEVER, NEVER, np.inf
    return BookState(np.empty((2, capacity)), np.empty((2, capacity)), now)


def with_room(book: BookState, rows: int) -> BookState:
    """Return the same book with room for as many more levels as rows may bring."""
    needed = int(book.now["count"].max()) + rows + int(book.now["held"][0])
    capacity = book.key.shape[1]
    if needed <= capacity:
        return book
    grown = np.empty((2, max(needed, 2 * capacity))), np.empty((2, max(needed, 2 * capacity)))
    for new, old in zip(grown, (book.key, book.size), strict=True):
        new[:, :capacity] = old
    return book._replace(key=grown[0], size=grown[1])


class Rows(NamedTuple):
    """Rows of depth events, as the kernels take them: arrival (ms), ids, kind of message, side, price, size."""

    arrived: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    previous: NDArray[np.int64]
    kind: NDArray[np.int8]
    side: NDArray[np.int8]
    price: Array
    size: Array


def rows_of(depth: Events) -> Rows:
    """Return the columns of depth events for the kernels; read-only arrays would compile every kernel a second time."""
    names = ("first_id", "last_id", "prev_id", "snapshot", "side", "price", "size")
    arrays = (depth.available_at, *(depth[name] for name in names))
    return Rows(*(np.require(array, requirements=["C", "W"]) for array in arrays))


@kernel
def feed_rows(book: BookState, rows: Rows, old: Array, ids: Integers, quotes: Array, gaps: Integers) -> int:
    """Feed rows; write ids, arrivals and best prices after each message, and finished gaps; give how many quotes."""
    made: Any = np.int64(0)
    start: Any = np.int64(0)  # a bare 0 would compile everything below once more, for the number 0
    while start < len(rows.arrived):
        end = message_end(rows, start)
        if take_message(book, rows, start, end, old, gaps) and book.now[0].count[0] > 0 and book.now[0].count[1] > 0:
            bid, ask = book.now[0].count[0] - 1, book.now[0].count[1] - 1
            ids[made, 0], ids[made, 1] = book.now[0].last_id, rows.arrived[start]
            quotes[made, 0], quotes[made, 1] = book.key[0, bid], book.size[0, bid]
            quotes[made, 2], quotes[made, 3] = -book.key[1, ask], book.size[1, ask]
            made += 1
        start = end
    return int(made)


@inner
def message_end(rows: Rows, start: int) -> int:
    """Position after the last row of the message that starts at a row."""
    end = start + 1
    while (
        end < len(rows.arrived) and rows.last[end] == rows.last[start] and rows.arrived[end] == rows.arrived[start]
        and rows.kind[end] == rows.kind[start] and rows.first[end] == rows.first[start]
    ):  # fmt: skip
        end += 1
    return end


@inner
def take_message(book: BookState, rows: Rows, start: int, end: int, old: Array, gaps: Integers) -> bool:
    """Apply, hold or leave out a message; give whether the book is known and contains it now.

    The size that each level had before is written to `old`, NaN where it was not applied.
    """
    now = book.now[0]
    arrived, kind = rows.arrived[start], rows.kind[start]
    old[start:end] = np.nan
    action = open_message(book, arrived, rows.first[start], rows.last[start], rows.previous[start], kind, gaps)
    if action == _HOLD:
        hold_rows(book, rows, start, end)
    if action != _APPLY:
        return False
    if not put_rows(book.key, book.size, now, rows.side, rows.price, rows.size, start, end, kind, old):
        lose_sync(book, arrived, _IMPOSSIBLE)
        return False
    now.last_id, now.seen_at = rows.last[start], arrived
    if kind != CHANGE:
        for side in range(2):
            known = now.count[side] > 0
            now.reach[side] = -np.inf if kind == WHOLE else book.key[side, 0] if known else np.inf
        if not apply_held(book):
            lose_sync(book, arrived, _GAP)
            return False
    bid, ask = now.count[0] - 1, now.count[1] - 1
    if bid >= 0 and ask >= 0 and book.key[0, bid] + book.key[1, ask] >= 0.0:
        lose_sync(book, arrived, _CROSSED)
        return False
    if now.in_sync == 0:
        note_gap(book, now.unknown_from, arrived, now.reason, gaps)
        now.in_sync, now.synced_at = 1, arrived
    return True


@inner
def open_message(book: BookState, arrived: int, first: int, last: int, previous: int, kind: int, gaps: Integers) -> int:
    """Decide what becomes of a message: it is applied, held until a snapshot comes, or left out."""
    now = book.now[0]
    if now.unknown_from == NEVER:
        now.unknown_from = arrived
    silent = now.in_sync != 0 and arrived - now.seen_at > SILENCE_MS
    if silent and last == NO_ID:
        lose_sync(book, now.seen_at + SILENCE_MS, _SILENT)
    if kind != CHANGE:
        if now.in_sync != 0 and not silent and last != NO_ID and last < now.last_id:
            return _LEAVE_OUT
        if silent:
            lose_sync(book, now.seen_at + SILENCE_MS, _SILENT)
        now.count[:] = 0
        return _APPLY
    if now.in_sync == 0:
        return _LEAVE_OUT if last == NO_ID else _HOLD
    if last != NO_ID and now.last_id != NO_ID:
        if last <= now.last_id:
            return _LEAVE_OUT
        if (previous if previous != NO_ID else first - 1) > now.last_id:
            lose_sync(book, arrived, _GAP)
            return _HOLD
    if silent:  # its ids prove that nothing was missed
        note_gap(book, now.seen_at + SILENCE_MS, arrived, _SILENT, gaps)
    return _APPLY


@inner
def hold_rows(book: BookState, rows: Rows, start: int, end: int) -> None:
    """Keep a message until a snapshot comes; where there is no room, the oldest messages are forgotten."""
    now = book.now[0]
    while now.held > 0 and now.held + end - start > HELD_ROWS:
        oldest = now.held_last[now.held_from]
        while now.held > 0 and now.held_last[now.held_from] == oldest:
            now.held_from = (now.held_from + 1) % HELD_ROWS
            now.held -= 1
    if end - start > HELD_ROWS:
        return
    for i in range(start, end):
        at = (now.held_from + now.held) % HELD_ROWS
        now.held += 1
        now.held_first[at] = rows.first[i]
        now.held_last[at] = rows.last[i]
        now.held_previous[at] = rows.previous[i]
        now.held_side[at] = rows.side[i]
        now.held_price[at] = rows.price[i]
        now.held_size[at] = rows.size[i]


@inner
def put_rows(
    key: Array,
    size: Array,
    now: Record,
    sides: NDArray[np.int8],
    prices: Array,
    sizes: Array,
    start: int,
    end: int,
    kind: int,
    old: Array,
) -> bool:
    """Put levels into the book, and the sizes they had into `old`; give whether each of them can be."""
    for i in range(start, end):
        if sides[i] == 0:
            continue
        new, price = sizes[i], prices[i]
        if not (price > 0.0 and price < np.inf and new >= 0.0 and new < np.inf) or (new == 0.0 and kind != CHANGE):
            return False
        side = 0 if sides[i] > 0 else 1
        level = price if sides[i] > 0 else -price
        n = now.count[side]
        low, high, step = n - 1, n, 1
        while low >= 0 and key[side, low] >= level:  # most are near the best one: search from there, in growing steps
            high = low
            low -= step
            step *= 2
        low = max(low + 1, 0)
        while low < high:
            middle = (low + high) >> 1
            if key[side, middle] < level:
                low = middle + 1
            else:
                high = middle
        there = low < n and key[side, low] == level
        old[i] = size[side, low] if there else 0.0
        if there and new > 0.0:
            size[side, low] = new
        elif there:
            close_up(key[side], low, n - 1)
            close_up(size[side], low, n - 1)
            now.count[side] = n - 1
        elif new > 0.0 and n == key.shape[1]:
            now.without_room += 1
        elif new > 0.0:
            make_room(key[side], low, n)
            make_room(size[side], low, n)
            key[side, low], size[side, low] = level, new
            now.count[side] = n + 1
    return True


@inner
def apply_held(book: BookState) -> bool:
    """Apply the held changes that the snapshot does not contain; give whether they follow it without a gap."""
    now = book.now[0]
    count, start = now.held, now.held_from
    follows = False
    # as rows of their own: with the ring itself, everything that puts rows would be compiled once more
    side, price, size, old = np.empty(1, dtype=np.int8), np.empty(1), np.empty(1), np.empty(1)
    changes: Any = np.int8(CHANGE)
    only: Any = np.int64(0)
    for k in range(count if now.last_id != NO_ID else 0):
        at = (start + k) % HELD_ROWS
        last = now.held_last[at]
        if k == 0 or last != now.held_last[at - 1]:
            previous = now.held_previous[at] if now.held_previous[at] != NO_ID else now.held_first[at] - 1
            if last > now.last_id and previous > now.last_id:
                now.held_from, now.held = at, count - k  # a later snapshot may reach these
                return False
            follows = last > now.last_id
        if follows:
            now.last_id = last
            side[0], price[0], size[0] = now.held_side[at], now.held_price[at], now.held_size[at]
            put_rows(book.key, book.size, now, side, price, size, only, only + 1, changes, old)
    now.held = 0
    return True


@inner
def make_room(values: Array, start: int, end: int) -> None:
    """Move `values[start:end]` up by one; unsigned numbers spare the check for negative ones and are 3x as fast."""
    one, top = np.uint64(1), np.uint64(end)
    for i in range(np.uint64(end - start)):
        values[top - i] = values[top - i - one]


@inner
def close_up(values: Array, start: int, end: int) -> None:
    """Move `values[start + 1:end + 1]` down by one."""
    one = np.uint64(1)
    for i in range(np.uint64(start), np.uint64(end)):
        values[i] = values[i + one]


@inner
def lose_sync(book: BookState, since: int, reason: int) -> None:
    """From a moment on the book is not known."""
    now = book.now[0]
    if now.in_sync != 0:
        now.in_sync, now.unknown_from, now.held = 0, since, 0
        now.reason = reason
    now.count[:] = 0


@inner
def note_gap(book: BookState, since: int, until: int, reason: int, gaps: Integers) -> None:
    """Write a finished gap into the ledger; where there is no room, it is only counted."""
    now = book.now[0]
    if until > since:
        if now.gaps < len(gaps):
            gaps[now.gaps, 0], gaps[now.gaps, 1], gaps[now.gaps, 2] = since, until, reason
        now.gaps += 1
