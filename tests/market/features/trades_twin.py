"""The fold of trades once more, slowly: plain Python over lists, a bar at a time, written from the definitions."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np

from virtuoso.market.events import Events
from virtuoso.market.schema.columns import FLOW_COLUMNS

NAMES = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", *FLOW_COLUMNS)


def slow_fold(trades: Events, ms: int, first: int, end: int) -> dict[str, np.ndarray]:
    """Columns of the bars [first, end) of a tape that begins at or after `first`."""
    by_bar = defaultdict(list)
    for row in zip(
        *(trades.available_at.tolist(), trades.event_time.tolist()),
        *(trades[name].tolist() for name in ("price", "size", "side", "count")),
        strict=True,
    ):
        by_bar[math.ceil(row[0] / ms) - 1].append(row)
    out = {name: np.full(end - first, np.nan) for name in NAMES}
    orders: list[tuple[float, int]] = []  # notional of every order so far, and how long it was waited for
    last, last_order, previous = None, None, None
    for bar in range(first, end):
        limit = 60_000
        if len(orders) >= 200:
            waits = [wait for _, wait in orders[-1_000:]]
            limit = max(limit, 20 * sum(waits) // len(waits))
        window = sorted(notional for notional, _ in orders[-1_000:])
        border = window[len(window) - len(window) // 10 - 1] if len(window) >= 200 else None
        known, values = True, dict.fromkeys(NAMES, 0.0)
        for when, _, price, size, side, count in by_bar[bar]:
            if last is None or when - last > limit:
                known, previous = False, None
            moved = 0.0 if previous is None else price - previous
            last, previous = when, price
            values["volume"] += size
            values["quote_volume"] += price * size
            values["trades"] += count
            if side == 1:
                values["taker_buy_volume"] += size
                values["taker_buy_quote_volume"] += price * size
                values["taker_buy_trades"] += count
                values["buy_move"] += moved
            elif side == -1:
                values["sell_move"] += moved
        if any(row[4] == 0 for row in by_bar[bar]):
            for name in ("taker_buy_volume", "taker_buy_quote_volume", "taker_buy_trades"):
                values[name] = math.nan
        for order in _orders(by_bar[bar]):
            notional = volume = 0.0
            for _, _, price, size, _, _ in order:
                notional, volume = notional + price * size, volume + size
            when, side = order[-1][0], order[0][4]
            if border is not None and notional > border and side:
                values["large_buy_volume" if side == 1 else "large_sell_volume"] += volume
            orders.append((notional, 300_000 if last_order is None else min(when - last_order, 300_000)))
            last_order = when
        if border is None:
            values["large_buy_volume"] = values["large_sell_volume"] = math.nan
        values["stacked_buy_volume"], values["stacked_sell_volume"] = slow_stacks(
            [(price, size, side) for _, _, price, size, side, _ in by_bar[bar]]
        )
        if known and last is not None and (bar + 1) * ms - last <= limit:
            for name, value in values.items():
                out[name][bar - first] = value
    return out


def _orders(rows: list) -> list[list]:
    """Fills of one order together."""
    orders: list[list] = []
    for row in rows:
        before = orders[-1][-1] if orders else None
        same = before is not None and row[4] != 0 and (row[1], row[4]) == (before[1], before[4])
        if same and (row[2] >= before[2] if row[4] == 1 else row[2] <= before[2]):
            orders[-1].append(row)
        else:
            orders.append([row])
    return orders


def slow_stacks(rows: list[tuple[float, float, int]]) -> tuple[float, float]:
    """Volume of stacked imbalances, bought and sold."""
    steps = {abs(a[0] - b[0]) for a, b in pairwise(rows)} - {0.0}
    if not steps:
        return 0.0, 0.0
    low, high = min(row[0] for row in rows), max(row[0] for row in rows)
    ticks = int((high - low) / min(steps) + 0.5)
    per_level = max(n for n in range(1, ticks + 1, 2) if n == 1 or n * 16 <= ticks)
    bought, sold = defaultdict(float), defaultdict(float)
    levels = set()
    for price, size, side in rows:
        # an even number of ticks has one in the middle, and a level around it; an odd number a border of levels there
        half_ticks = ((price - low) + (price - high)) / ((high - low) / ticks)
        away = abs(half_ticks) / 2 / per_level
        above = half_ticks > 0 or (half_ticks == 0 and side == 1)
        if ticks % 2:
            level = math.floor(away) if above else -1 - math.floor(away)
        else:
            level = math.floor(away + 0.5) * (1 if above else -1)
        levels.add(level)
        if side:
            (bought if side == 1 else sold)[level] += size
    ladder = range(min(levels), max(levels) + 1)
    return _stacked(bought, sold, ladder, -1), _stacked(sold, bought, ladder, 1)


def _stacked(mine: dict[int, float], theirs: dict[int, float], levels: range, across: int) -> float:
    least = 0.5 * sum(mine[k] + theirs[k] for k in levels) / (2 * len(levels))
    one = [
        k + across in levels and mine[k] > 0 and mine[k] >= 3 * theirs[k + across] and mine[k] >= least for k in levels
    ]
    runs = [any(all(one[j : j + 3]) for j in range(max(i - 2, 0), min(i + 1, len(one) - 2))) for i in range(len(one))]
    return sum(mine[k] for k, stacked in zip(levels, runs, strict=True) if stacked)
