"""Order books to test on: written out row by row, or seeded ones that live for a while."""

from __future__ import annotations

import numpy as np

from virtuoso.market.events import Events, events_of
from virtuoso.market.schema.kinds import KINDS, NO_ID

START = 1_723_075_200_000  # 2024-08-08T00:00Z
SECOND = 1_000
COLUMNS = ("first_id", "last_id", "prev_id", "snapshot", "side", "price", "size")

Level = tuple[float, float]


def message(at, ids, bids=(), asks=(), snapshot=0):
    """Rows of one message `at` so many ms after START; ids are first, last and previous."""
    levels = [(1, *level) for level in bids] + [(-1, *level) for level in asks]
    return [(START + at, *ids, snapshot, *level) for level in levels or [(0, np.nan, np.nan)]]


def whole(at, last, bids, asks, cut=False):
    """Rows of a snapshot."""
    return message(at, (last, last, NO_ID), bids, asks, 2 if cut else 1)


def depth_of(*messages) -> Events:
    """Depth events of messages, in order."""
    made = np.array([row for rows in messages for row in rows], dtype=np.float64).reshape(-1, 8)
    columns = {name: made[:, i + 1] for i, name in enumerate(COLUMNS)}
    times = made[:, 0].astype(np.int64)
    return events_of(KINDS["depth"], times, columns, times)


def trades_of(*rows) -> Events:
    """Trades (ms after START, price, size, side)."""
    made = np.array(rows, dtype=np.float64).reshape(-1, 4)
    times = START + made[:, 0].astype(np.int64)
    columns = {"id": np.arange(len(made)), "price": made[:, 1], "size": made[:, 2], "side": made[:, 3]}
    return events_of(KINDS["trades"], times, columns, times)


def ladder(middle: float, levels: int = 40, step: float = 0.5, size: float = 2.0) -> tuple[list[Level], list[Level]]:
    """Bids and asks of one size around a middle price."""
    rungs = [step * (k + 0.5) for k in range(levels)]
    return [(middle - rung, size) for rung in rungs], [(middle + rung, size) for rung in rungs]


def living(seed: int = 3, seconds: int = 100, lost_at: int | None = None) -> dict[str, Events]:
    """A book and its trades: the middle wanders, levels change, large orders come and go, trades hit the best prices.

    Around `lost_at` seconds a message is missing; a new snapshot comes ten seconds later.
    """
    random = np.random.default_rng(seed)
    step, centre, levels = 0.5, 4_140, 60
    book = {(side, centre - side * k): 1.0 + random.integers(0, 8) / 4 for side in (1, -1) for k in range(1, levels)}
    rows = _snapshot(0, 1_000, book, step)
    last, trades, now, owed = 1_000, [], 0, False
    while True:
        now += int(random.integers(40, 260))
        if now >= seconds * SECOND:
            break
        centre += int(random.choice([-1, 0, 0, 0, 1]))
        changes = {key: 0.0 for key in book if key[0] * (key[1] - centre) >= 0}
        for side in (1, -1):
            for k in random.integers(1, 30, 3):
                changes[side, centre - side * int(k)] = float(random.choice([0.0, 0.5, 1.0, 2.0, 3.0, 25.0]))
            changes.setdefault((side, centre - side), 1.5)
            if changes[side, centre - side] == 0.0:
                changes[side, centre - side] = 0.75
        if random.random() < 0.5:
            taker = int(random.choice([-1, 1]))
            best = max(price * taker * -1 for side, price in book if side == -taker) * -taker
            trades.append((now - 3, best * step, float(random.integers(1, 8)) / 4, taker))
        book = {key: size for key, size in (book | changes).items() if size > 0.0}
        if lost_at is not None and lost_at * SECOND <= now < lost_at * SECOND + 400 and not owed:
            owed, last = True, last + 10
            continue
        levels_of = {one: [(p * step, size) for (side, p), size in changes.items() if side == one] for one in (1, -1)}
        rows += message(now, (last + 3, last + 9, last), levels_of[1], levels_of[-1])
        last += 9
        if owed and lost_at is not None and now > (lost_at + 10) * SECOND:
            rows += _snapshot(now + 1, last, book, step)
            lost_at, owed = None, False
    return {"depth": depth_of(rows), "trades": trades_of(*trades)}


def _snapshot(at, last, book, step):
    sides = [[(p * step, size) for (side, p), size in book.items() if side == one] for one in (1, -1)]
    return whole(at, last, sorted(sides[0], reverse=True), sorted(sides[1]))
