"""What is counted of an order book from event to event: order flow, what was taken and put back, large orders.

After each message the ten best levels are compared with those before. Trades are remembered until it shows whether
their price held, large orders until they have stayed or left. What is looked at in turns stands in sampling.py.

A side is 0 for bids and 1 for asks; keys are prices, of asks negated, so that better is always larger.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import inner
from virtuoso.market.features.book.state import BookState, Record, Rows
from virtuoso.market.schema.columns import BANDS
from virtuoso.types import Array

TOP = 10
"""Levels whose order flow counts."""
REFILL_MS, SLOT_MS = 5_000, 100
"""What comes back within this time of being taken is a refill; takes are remembered in slots of so much."""
HELD_MS = 1_000
"""A price that still stands so long after a trade has absorbed it."""
LARGE, LARGE_NEAR, LARGE_MS = 5.0, 0.01, 5_000
"""An order is large at so many usual levels, watched within this share of the middle, fleeting within this time."""
SHARES = tuple(BANDS.values())
_SLOTS = 64
_ROOM = 8_192  # trades of the last second; larges and walls have less
_LARGES = 256
MOST_WALLS = 64
MOST_LOOKED_AT = 2_000  # levels a side near the middle, at most

SPREAD, MICRO, LEAN, DEPTH = cast(list[int], [np.int64(i) for i in range(4)])
OFI_BEST, OFI_DEEP, TAKEN, REFILL, ABSORBED, FLEETING, UPDATES = 0, 1, 2, 4, 6, 8, 10
BEST_PRICE, BEST_SIZE, WALL_AT, WALL_SIZE = 0, 2, 4, 6
CAME_AT, SIDE, KEY, BEFORE, SIZE, TRADED = range(6)


TALLY = np.dtype(
    [
        # sums over the samples of a bar, and over how many: spread, lean of the microprice, of the book, depth bands
        ("means", np.float64, (DEPTH + 2 * len(SHARES),)), ("known", np.int64, (DEPTH + 2 * len(SHARES),)),
        # sums over a bar: order flow, a pair a side of taken, refill, absorbed and fleeting, messages
        ("sums", np.float64, (UPDATES + 1,)), ("spread_high", np.float64),
        # as of the last sample, a pair a side: best price, its size, wall, its notional
        ("closes", np.float64, (8,)),
        ("samples", np.int64), ("changes", np.int64), ("snapshots", np.int64),
        # whether trades are recorded, whether that changed within the bar, when the last one came
        ("trading", np.int64), ("source_changed", np.int64), ("traded_at", np.int64),
        # the best levels after the message before
        ("has_top", np.int64), ("middle", np.float64), ("top_key", np.float64, (2, TOP)),
        ("top_size", np.float64, (2, TOP)), ("top_count", np.int64, (2,)),
        # what was taken lately and did not come back, by slot of time
        ("taken", np.float64, (2, _SLOTS)), ("taken_slot", np.int64, (2, _SLOTS)),
        # trades of the last second, a ring: when they are settled
        ("pending_from", np.int64), ("pending", np.int64), ("due", np.int64, (_ROOM,)),
        ("due_side", np.int64, (_ROOM,)), ("due_key", np.float64, (_ROOM,)), ("due_notional", np.float64, (_ROOM,)),
        # large orders, a column each: when they came, their level, its size before, theirs, what was traded there since
        ("usual", np.float64), ("large", np.int64), ("larges", np.float64, (6, _LARGES)),
        # levels that stand out, the best first, and since when; now and a second before
        ("wall_count", np.int64, (2,)), ("wall_key", np.float64, (2, MOST_WALLS)),
        ("wall_since", np.int64, (2, MOST_WALLS)), ("wall_key_before", np.float64, (MOST_WALLS,)),
        ("wall_since_before", np.int64, (MOST_WALLS,)),
        ("notional_to", np.float64, (MOST_LOOKED_AT + 1,)),
    ]
)  # fmt: skip
"""Everything that is remembered between two events, in one record."""


class Trades(NamedTuple):
    """Rows of trades, as the kernels take them."""

    arrived: NDArray[np.int64]
    side: NDArray[np.int8]
    price: Array
    size: Array


def new_tally() -> NDArray[Any]:
    """Return a tally of nothing, shape (1,)."""
    tally = np.zeros(1, dtype=TALLY)
    tally["closes"], tally["taken_slot"] = np.nan, -1
    return tally


@inner
def take_trade(tally: Record, now: int, taker: int, price: float, size: float) -> None:
    """Count a trade against the side that the taker met; whether its price holds is settled later."""
    if taker == 0:  # not known
        return
    side = 0 if taker < 0 else 1
    if tally.trading == 0:
        tally.trading, tally.source_changed = 1, 1
    tally.traded_at = now
    notional, key = price * size, price if side == 0 else -price
    tally.sums[TAKEN + side] += notional
    remember_taken(tally, now, side, notional)
    due, due_side, due_key, due_notional = tally.due, tally.due_side, tally.due_key, tally.due_notional
    last = (tally.pending_from + tally.pending - 1) % _ROOM
    merged = tally.pending > 0 and due[last] == now + HELD_MS and due_side[last] == side
    if merged and due_key[last] == key:
        due_notional[last] += notional
    else:
        if tally.pending == _ROOM:  # more prices traded in a second than there is room for: the oldest is forgotten
            tally.pending_from = (tally.pending_from + 1) % _ROOM
            tally.pending -= 1
        last = (tally.pending_from + tally.pending) % _ROOM
        tally.pending += 1
        due[last], due_side[last], due_key[last], due_notional[last] = now + HELD_MS, side, key, notional
    larges = tally.larges
    for k in range(tally.large):
        if larges[SIDE, k] == side and larges[KEY, k] == key:
            larges[TRADED, k] += notional


@inner
def remember_taken(tally: Record, now: int, side: int, notional: float) -> None:
    """Remember what may be put back within the next seconds."""
    taken, slots = tally.taken, tally.taken_slot
    slot = now // SLOT_MS
    k = slot % _SLOTS
    if slots[side, k] != slot:
        slots[side, k], taken[side, k] = slot, 0.0
    taken[side, k] += notional


@inner
def settle(book: BookState, tally: Record, until: int) -> None:
    """Count the trades that are due as absorbed where the best price is still no worse than theirs."""
    now = book.now[0]
    while tally.pending > 0 and tally.due[tally.pending_from] <= until:
        k = tally.pending_from
        side = tally.due_side[k]
        best = now.count[side] - 1
        if now.in_sync != 0 and best >= 0 and book.key[side, best] >= tally.due_key[k]:
            tally.sums[ABSORBED + side] += tally.due_notional[k]
        tally.pending_from = (k + 1) % _ROOM
        tally.pending -= 1


@inner
def watch_large(tally: Record, rows: Rows, old: Array, start: int, end: int) -> None:
    """Note large orders near the middle as they come, and count those that leave again at once, untraded."""
    if tally.has_top == 0 or tally.usual <= 0.0:
        return
    now, larges, usual, middle = rows.arrived[start], tally.larges, tally.usual, tally.middle
    for i in range(start, end):
        added = rows.size[i] - old[i]  # NaN of a row without a level is neither
        price = rows.price[i]
        side = 0 if rows.side[i] > 0 else 1
        key = price if side == 0 else -price
        if added * price >= LARGE * usual and abs(price - middle) <= LARGE_NEAR * middle:
            k = tally.large
            if k < _LARGES:
                tally.large = k + 1
                larges[CAME_AT, k], larges[SIDE, k], larges[KEY, k] = now, side, key
                larges[BEFORE, k], larges[SIZE, k], larges[TRADED, k] = old[i], added, 0.0
        elif added < 0.0:
            kept: Any = np.int64(0)
            for k in range(tally.large):
                order = larges[SIZE, k]
                gone = rows.size[i] <= larges[BEFORE, k] + 0.2 * order
                if larges[SIDE, k] == side and larges[KEY, k] == key and gone:
                    left = order * price - larges[TRADED, k]
                    if now - larges[CAME_AT, k] <= LARGE_MS and left > 0.5 * order * price:
                        tally.sums[FLEETING + side] += left
                else:
                    keep_large(larges, k, kept)
                    kept += 1
            tally.large = kept


@inner
def keep_large(larges: Array, k: int, at: int) -> None:
    """Move a watched order to another place."""
    for what in range(len(larges)):
        larges[what, at] = larges[what, k]


@inner
def compare_tops(book: BookState, tally: Record, now: int) -> None:
    """Compare the best levels with those before the message, and remember them."""
    counts = book.now[0].count
    if counts[0] == 0 or counts[1] == 0:
        tally.has_top = 0
        return
    top_key, top_size = tally.top_key, tally.top_size
    for side in range(2):
        keys, sizes, n = book.key[side], book.size[side], counts[side]
        if tally.has_top != 0:
            deep, sign = 0.0, 1.0 - 2.0 * side
            for r in range(min(n, tally.top_count[side])):
                key, before = keys[n - 1 - r], top_key[side, r]
                flow = abs(key) * sizes[n - 1 - r] if key >= before else 0.0
                flow -= abs(before) * top_size[side, r] if key <= before else 0.0
                deep += flow / (r + 1.0)
                if r == 0:
                    tally.sums[OFI_BEST] += sign * flow
            tally.sums[OFI_DEEP] += sign * deep
            count_refill(tally, now, side, keys, sizes, n)
        count = min(n, TOP)
        tally.top_count[side] = count
        for r in range(count):
            top_key[side, r], top_size[side, r] = keys[n - 1 - r], sizes[n - 1 - r]
    tally.has_top = 1
    tally.middle = (top_key[0, 0] - top_key[1, 0]) / 2.0
    tally.spread_high = max(tally.spread_high, -top_key[1, 0] - top_key[0, 0])


@inner
def count_refill(tally: Record, now: int, side: int, keys: Array, sizes: Array, n: int) -> None:
    """Count what came at or inside the best price as put back, as far as so much was taken within the last seconds.

    Where no trades are recorded, what the best level lost counts as taken.
    """
    best, size = tally.top_key[side, 0], tally.top_size[side, 0]
    if tally.trading == 0 and keys[n - 1] <= best:
        left = sizes[n - 1] if keys[n - 1] == best else 0.0
        lost = abs(best) * max(size - left, 0.0)
        if lost > 0.0:
            tally.sums[TAKEN + side] += lost
            remember_taken(tally, now, side, lost)
    came = 0.0
    for r in range(min(n, TOP)):
        key = keys[n - 1 - r]
        if key > best:
            came += key * sizes[n - 1 - r] if side == 0 else -key * sizes[n - 1 - r]
        elif key == best:
            came += abs(key) * max(sizes[n - 1 - r] - size, 0.0)
        if key <= best:
            break
    slot, taken, slots = now // SLOT_MS, tally.taken, tally.taken_slot
    for s in range(slot - REFILL_MS // SLOT_MS, slot + 1):
        if came <= 0.0:
            break
        k = s % _SLOTS
        if slots[side, k] == s:
            back = min(taken[side, k], came)
            taken[side, k] -= back
            tally.sums[REFILL + side] += back
            came -= back
