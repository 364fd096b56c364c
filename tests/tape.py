"""Tapes to test on: seeded trades as venues print them, with orders that fill at several prices, and silences."""

from __future__ import annotations

import numpy as np

from virtuoso.market.events import Events, events_of
from virtuoso.market.schema.kinds import KINDS

START = 1_722_470_400_000  # 2024-08-01T00:00Z


def tape(
    seed: int = 1,
    orders: int = 3_000,
    mean_gap_ms: float = 200.0,
    silences: tuple[tuple[int, int], ...] = (),
    unsided: bool = False,
    latency_ms: int = 0,
) -> Events:
    """Trades of a made-up market on a grid of 1/64: exact in binary, so that scaling and mirroring are too.

    Parameters
    ----------
    seed : int
    orders : int
        Takers' orders; each fills at one to four prices that lie ever further away.
    mean_gap_ms : float, ms
    silences : tuple of (int, int)
        After which order nothing is recorded, and for how long, ms.
    unsided : bool
        Whether one trade in two hundred says no side.
    latency_ms : int, ms
        Largest time from a trade to its receipt.
    """
    random = np.random.default_rng(seed)
    gaps = np.floor(random.exponential(mean_gap_ms, orders)).astype(np.int64)
    for after, ms in silences:
        gaps[after] += ms
    sides = np.where(random.random(orders) < 0.5 + 0.35 * np.sin(np.arange(orders) / 97.0), 1, -1)
    fills = random.choice([1, 1, 1, 2, 4], orders)
    middle = 6_400 + np.cumsum(sides * (random.random(orders) < 0.4) - np.round(0.3 * np.sin(np.arange(orders) / 97.0)))
    order = np.repeat(np.arange(orders), fills)
    fill = np.arange(len(order)) - np.repeat(np.cumsum(fills) - fills, fills)
    side = sides[order]
    price = (2 * (middle[order] + side * fill) + 1) / 64.0
    size = np.ceil(64 * random.pareto(1.5, len(order)) + 1) / 64.0
    if unsided:
        side = np.where(random.random(len(order)) < 0.005, 0, side)
    when = START + np.cumsum(gaps)[order]
    columns = {
        "id": np.arange(len(order)), "price": price, "size": size, "side": side,
        "count": random.integers(1, 4, len(order)).astype(np.float64),
    }  # fmt: skip
    received = when + np.sort(random.integers(0, latency_ms + 1, len(order))) if latency_ms else None
    return events_of(KINDS["trades"], when, columns, received)


def trades(*rows: tuple[int, float, float, int], count: float = 1.0) -> Events:
    """A few trades: (ms after START, price, size, side)."""
    when, price, size, side = (np.array(values) for values in zip(*rows, strict=True))
    columns = {"id": np.arange(len(when)), "price": price, "size": size, "side": side}
    return events_of(KINDS["trades"], START + when, {**columns, "count": np.full(len(when), count)})
