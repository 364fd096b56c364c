"""The limit order book and the positions of the simulated market: what one order changes in them.

Kernels of orders.py call these; they are apart so that both files can be read on their own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import inner, kernel
from virtuoso.venues.simulator.state import (
    ACCOUNTS,
    BEST,
    BID,
    COUNT,
    CROWD,
    CROWD_ODDS,
    DEPTH,
    FORCED,
    HELD,
    LADDER,
    LEVERAGES,
    MAINTENANCE,
    MOST_AT_A_PRICE,
    NOTHING,
    PRICE,
    PRICES,
    ROOM,
    SHRUNK,
    SIZE,
    UNIT,
    WHALE,
    State,
    Tape,
)  # fmt: skip


@inner
def uniform(seed: NDArray[np.uint64]) -> float:
    """A number in (0, 1): xorshift64*."""
    z = seed[0]
    z ^= z >> np.uint64(12)
    z ^= z << np.uint64(25)
    z ^= z >> np.uint64(27)
    seed[0] = z
    return (float((z * np.uint64(2685821657736338717)) >> np.uint64(12)) + 0.5) / 4503599627370496.0


@inner
def set_level(s: State, tape: Tape, time: int, side: int, i: int, size: int) -> None:
    """Change the size of level i; none is left of it at 0."""
    at = tape.used[DEPTH]
    if at < tape.room[DEPTH]:
        row = tape.rows[DEPTH, at]
        row[0], row[1], row[2], row[3], row[4] = time, 0, 1 - 2 * side, s.book[PRICE, side, i], size
        tape.used[DEPTH] = at + 1
    s.book[SIZE, side, i] = size
    if size == 0:
        n = s.book[COUNT, side, 0]
        for k in range(i, n - 1):
            s.book[PRICE, side, k], s.book[SIZE, side, k] = s.book[PRICE, side, k + 1], s.book[SIZE, side, k + 1]
        s.book[COUNT, side, 0] = n - 1


@inner
def write_book(s: State, tape: Tape, time: int) -> None:
    """Write the whole book down."""
    for side in range(2):
        for i in range(s.book[COUNT, side, 0]):
            at = tape.used[DEPTH]
            if at < tape.room[DEPTH]:
                row = tape.rows[DEPTH, at]
                row[0], row[1], row[2], row[3], row[4] = (
                    time,
                    1,
                    1 - 2 * side,
                    s.book[PRICE, side, i],
                    s.book[SIZE, side, i],
                )
                tape.used[DEPTH] = at + 1


@kernel
def quote(s: State, tape: Tape, time: int, side: int, price: int, size: int) -> None:
    """Put a limit order into the book, behind the other side's best price if it would meet it."""
    sign = 1 - 2 * side
    other = 1 - side
    if s.book[COUNT, other, 0] > 0 and sign * (price - s.book[PRICE, other, 0]) >= 0:
        price = int(s.book[PRICE, other, 0]) - sign
    if price < 1:
        return
    n = s.book[COUNT, side, 0]
    i = BEST
    while i < n and sign * (s.book[PRICE, side, i] - price) > 0:
        i += 1
    if i < n and s.book[PRICE, side, i] == price:
        if s.book[SIZE, side, i] + size < MOST_AT_A_PRICE * s.x[UNIT]:
            set_level(s, tape, time, side, i, s.book[SIZE, side, i] + size)
        return
    if n == ROOM:
        if i == n:
            return
        given_up = n // 2
        set_level(s, tape, time, side, given_up, NOTHING)
        n -= 1
        i -= 1 if i > given_up else 0
    for k in range(n, i, -1):
        s.book[PRICE, side, k], s.book[SIZE, side, k] = s.book[PRICE, side, k - 1], s.book[SIZE, side, k - 1]
    s.book[PRICE, side, i] = price
    s.book[COUNT, side, 0] = n + 1
    set_level(s, tape, time, side, i, size)


@inner
def open_or_close(s: State, side: int, whale: float, price: int, size: float, opening: float) -> None:
    """One party of a fill: a buyer (side 0) opens a long or closes a short, a seller the reverse."""
    other = 1 - side
    total = s.x[HELD + 2 * other + CROWD] + s.x[HELD + 2 * other + WHALE]
    if uniform(s.seed) > opening and total - s.x[FORCED + other] > 2.0 * size:
        who = WHALE if uniform(s.seed) * total < s.x[HELD + 2 * other + WHALE] else CROWD
        if s.x[HELD + 2 * other + who] < 2.0 * size:
            who = 1 - who
        keep = 1.0 - size / s.x[HELD + 2 * other + who]
        s.x[HELD + 2 * other + who] *= keep
        s.x[ACCOUNTS + 2 * other + who] *= keep
        s.x[SHRUNK + other] *= 1.0 - size / (total - s.x[FORCED + other])
        return
    who = WHALE if uniform(s.seed) < whale else CROWD
    s.x[HELD + 2 * side + who] += size
    usual = (1.0, 60.0)[who] * s.x[UNIT] * 0.02
    s.x[ACCOUNTS + 2 * side + who] += size / (usual * (0.5 + uniform(s.seed)))
    u = uniform(s.seed)
    u = u * 0.6 if who == WHALE else u
    k = 0
    while CROWD_ODDS[k] < u:
        k += 1
    room = 1.0 / LEVERAGES[k] * (0.85 + 0.15 * uniform(s.seed)) - MAINTENANCE
    end = price * (1.0 - room if side == BID else 1.0 + room)
    at = min(max(int(np.searchsorted(s.at_risk[PRICES], end)), 1), LADDER - 2)
    s.at_risk[side, at] += size / s.x[SHRUNK + side]
