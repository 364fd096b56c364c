"""Looking at the book: every second at the levels near the middle, ten times a bar at its price, lean and depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from virtuoso.jit.kernel import inner
from virtuoso.market.features.book.orderflow import (
    ABSORBED,
    BEST_PRICE,
    BEST_SIZE,
    CAME_AT,
    DEPTH,
    FLEETING,
    LARGE_MS,
    LARGE_NEAR,
    LEAN,
    MICRO,
    MOST_LOOKED_AT,
    MOST_WALLS,
    SHARES,
    SPREAD,
    TAKEN,
    UPDATES,
    WALL_AT,
    WALL_SIZE,
    keep_large,
)
from virtuoso.market.features.book.state import SILENCE_MS, BookState, Record
from virtuoso.market.schema.columns import BANDS
from virtuoso.types import Array

LEAST_SAMPLES = 9
"""Of them, how many must find a known book, or the bar is not known."""
LEAN_REACH = BANDS["10bp"]
"""Share of the middle within which levels lean, the less the farther; a spread is added, for coarse price steps."""
LEARNED_MS = 120_000
"""From then on the levels within `LEAN_REACH` are known without having stood in the snapshot: after two minutes of
changes at most 1.6 % of the notional there had not been touched, on three recordings (docs/guides/order-book.md)."""
TRADES_MS = 3_600_000
"""Without a trade for so long, trades are taken not to be recorded."""
USUAL_SECONDS = 300.0
"""Memory of the usual size of a level."""
WALL, WALL_NEAR, WALL_MS, NEIGHBOURS = 5.0, 0.02, 30_000, 20
"""A wall is so many times its neighbours' mean, within this share of the middle, for at least this time."""

# where they stand in BOOK_COLUMNS
AT_CLOSE, AT_SPREAD, AT_MEANS, AT_SUMS, AT_WALLS, AT_UPDATES = 0, 4, 6, 18, 28, 32


@inner
def is_known(book: BookState, now: int) -> bool:
    """Whether the book is in sync, has both sides and was heard lately."""
    state = book.now[0]
    both = state.count[0] > 0 and state.count[1] > 0
    return bool(state.in_sync != 0 and both and now - state.seen_at <= SILENCE_MS)


@inner
def look_over(book: BookState, tally: Record, now: int) -> None:
    """Once a second: the usual size of a level, and which ones stand out; what is no longer watched is forgotten."""
    if tally.trading != 0 and now - tally.traded_at > TRADES_MS:
        tally.trading, tally.source_changed = 0, 1
    kept: Any = np.int64(0)
    for k in range(tally.large):
        if now - tally.larges[CAME_AT, k] <= LARGE_MS:
            keep_large(tally.larges, k, kept)
            kept += 1
    tally.large = kept
    if not is_known(book, now):
        tally.wall_count[:] = 0
        return
    counts, notional_to = book.now[0].count, tally.notional_to
    middle = (book.key[0, counts[0] - 1] - book.key[1, counts[1] - 1]) / 2.0
    total, levels = 0.0, 0
    for side in range(2):
        worst = (1.0 if side == 0 else -1.0) * middle
        keys, sizes, n = book.key[side], book.size[side], counts[side]
        looked: Any = np.int64(0)
        near: Any = np.int64(0)
        notional_to[0] = 0.0
        for r in range(min(n, MOST_LOOKED_AT)):  # notional of the r best levels
            key = keys[n - 1 - r]
            if worst - key > WALL_NEAR * middle:
                break
            notional_to[r + 1] = notional_to[r] + abs(key) * sizes[n - 1 - r]
            looked = r + 1
            if worst - key <= LARGE_NEAR * middle:
                near = looked
        total += notional_to[near]
        levels += near
        find_walls(tally, now, side, keys, sizes, n, looked)
    if levels > 0:
        mean = total / levels
        tally.usual = mean if tally.usual == 0.0 else tally.usual + (mean - tally.usual) / USUAL_SECONDS


@inner
def find_walls(tally: Record, now: int, side: int, keys: Array, sizes: Array, n: int, looked: int) -> None:
    """Find the levels of a side that stand out among their neighbours, since when, and the largest that lasts."""
    were, count, k = tally.wall_count[side], 0, 0
    before, since = tally.wall_key_before, tally.wall_since_before
    wall_key, wall_since, notional_to = tally.wall_key[side], tally.wall_since[side], tally.notional_to
    for w in range(were):
        before[w], since[w] = wall_key[w], wall_since[w]
    wall, size = np.nan, np.nan
    largest = 0.0
    for r in range(looked if looked > NEIGHBOURS else 0):
        key, notional = keys[n - 1 - r], abs(keys[n - 1 - r]) * sizes[n - 1 - r]
        low = max(min(r - NEIGHBOURS // 2, looked - 1 - NEIGHBOURS), 0)
        mean = (notional_to[low + NEIGHBOURS + 1] - notional_to[low] - notional) / NEIGHBOURS
        if notional < WALL * mean or count == MOST_WALLS:
            continue
        while k < were and before[k] > key:
            k += 1
        start = since[k] if k < were and before[k] == key else now
        wall_key[count], wall_since[count] = key, start
        count += 1
        if now - start >= WALL_MS and notional > largest:
            largest = notional
            wall, size = abs(key), notional
    tally.wall_count[side] = count
    tally.closes[WALL_AT + side], tally.closes[WALL_SIZE + side] = wall, size


@inner
def sample(book: BookState, tally: Record, now: int) -> None:
    """Look at the book at an instant: best prices, spread, lean and depth."""
    known, state, closes = is_known(book, now), book.now[0], tally.closes
    for side in range(2):
        n = state.count[side]
        closes[BEST_PRICE + side] = abs(book.key[side, n - 1]) if known else np.nan
        closes[BEST_SIZE + side] = book.size[side, n - 1] if known else np.nan
    if not known:
        closes[WALL_AT:] = np.nan
        return
    tally.samples += 1
    bid, ask, bids, asks = closes[0], closes[1], closes[2], closes[3]
    middle, spread = (bid + ask) / 2.0, ask - bid
    tally.spread_high = max(tally.spread_high, spread)
    add_mean(tally, SPREAD, spread)
    add_mean(tally, MICRO, (bids - asks) / (bids + asks) / 2.0)
    reach = LEAN_REACH * middle + spread
    learned = now - state.synced_at >= LEARNED_MS
    apart = both = 0.0
    for side in range(2):
        near = add_depth(book, tally, side, middle, reach, learned)
        apart += (1.0 - 2.0 * side) * near
        both += near
    if learned or min(middle - state.reach[0], -middle - state.reach[1]) >= reach:
        add_mean(tally, LEAN, apart / both)


@inner
def add_mean(tally: Record, k: int, value: float) -> None:
    """Count a sample of a mean."""
    tally.means[k] += value
    tally.known[k] += 1


@inner
def add_depth(book: BookState, tally: Record, side: int, middle: float, reach: float, learned: bool) -> float:
    """Add the notional in each band that is known; give the notional near the middle, the less weight the farther."""
    state = book.now[0]
    keys, sizes, n, shown = book.key[side], book.size[side], state.count[side], state.reach[side]
    start = middle if side == 0 else -middle
    near = total = 0.0
    band = 0
    for r in range(n + 1):
        away = start - keys[n - 1 - r] if r < n else np.inf
        while band < len(SHARES) and away > SHARES[band] * middle:
            if start - SHARES[band] * middle >= shown or (band == 0 and learned):
                add_mean(tally, DEPTH + 2 * band + side, total)
            band += 1
        if band == len(SHARES) and away > reach:
            break
        notional = abs(keys[n - 1 - r]) * sizes[n - 1 - r]
        total += notional
        near += notional * max(1.0 - away / reach, 0.0)
    return near


@inner
def write_bar(tally: Record, out: Array, bar: int) -> None:
    """Write the bar that closes, NaN where it is not known, and start the next one."""
    out[:, bar] = np.nan
    means, known, sums, closes = tally.means, tally.known, tally.sums, tally.closes
    if tally.samples >= LEAST_SAMPLES:
        for k in range(4):
            out[AT_CLOSE + k, bar], out[AT_WALLS + k, bar] = closes[k], closes[WALL_AT + k]
        out[AT_SPREAD, bar], out[AT_SPREAD + 1, bar] = means[SPREAD] / known[SPREAD], tally.spread_high
        for k in range(MICRO, len(means)):
            if known[k] >= LEAST_SAMPLES:
                out[AT_MEANS + k - MICRO, bar] = means[k] / known[k]
        for k in range(UPDATES):
            traded = TAKEN <= k < FLEETING
            unclear = (traded and tally.source_changed != 0) or (ABSORBED <= k < FLEETING and tally.trading == 0)
            # whole books alone do not say whether an order left or was never there
            unclear = unclear or (k >= FLEETING and tally.changes == 0 and tally.snapshots > 0)
            out[AT_SUMS + k, bar] = np.nan if unclear else sums[k]
        out[AT_UPDATES, bar] = sums[UPDATES]
    means[:], known[:], sums[:] = 0.0, 0, 0.0
    tally.samples, tally.changes, tally.snapshots, tally.source_changed, tally.spread_high = 0, 0, 0, 0, 0.0
