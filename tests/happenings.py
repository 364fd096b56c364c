"""Events of a made-up instrument: seeded, with the habits of real ones. Trades, a book, open interest, funding ..."""

from __future__ import annotations

import numpy as np

from virtuoso.market.events import Events, events_of
from virtuoso.market.schema.kinds import KINDS

START = 1_723_075_200_000  # 2024-08-08T00:00Z
DAY, MINUTE = 86_400_000, 60_000


def trades(seed: int = 1, n: int = 4_000, start: int = START, span: int = DAY, received: bool = True) -> Events:
    """Trades at random times, several in some milliseconds, received up to 80 ms later."""
    random = np.random.default_rng(seed)
    times = start + np.sort(random.integers(0, span, n))
    times[n // 2 : n // 2 + 5] = times[n // 2]
    price = 60_000.0 + np.cumsum(random.choice([-0.5, 0.0, 0.5], n))
    columns = {
        "id": start // 1_000 + np.arange(n),
        "price": price,
        "size": np.round(random.gamma(0.6, 0.2, n) + 0.001, 3),
        "side": random.choice(np.array([-1, 1], dtype=np.int8), n),
        "count": np.ones(n),
    }
    late = np.maximum.accumulate(times + random.integers(2, 80, n)) if received else None
    return events_of(KINDS["trades"], times, columns, late)


def depth(seed: int = 2, messages: int = 500, start: int = START, span: int = DAY, levels: int = 20) -> Events:
    """A whole book, then changes of it, numbered as Binance USD-M does, each with a few levels."""
    random, number = np.random.default_rng(seed), 1_000 * ((start - START) // MINUTE)
    times = start + np.sort(random.choice(span, messages, replace=False))
    rows: list[tuple[float, ...]] = []
    for k in range(messages):
        whole = k == 0
        ids = number + 100 * k, number + 100 * k + 99, number + 100 * k - 1
        for side, sign in ((1, -1.0), (-1, 1.0)):
            steps = np.arange(1, levels + 1) if whole else np.sort(random.choice(np.arange(1, levels + 1), 2, False))
            for step in steps:
                size = 1.0 + float(random.integers(0, 50)) / 10.0
                price = 60_000.0 + sign * step / 2
                rows.append((times[k], *ids, whole, side, price, size))
    made = np.array(rows)
    names = ("first_id", "last_id", "prev_id", "snapshot", "side", "price", "size")
    columns = {name: made[:, i + 1] for i, name in enumerate(names)}
    when = made[:, 0].astype(np.int64)
    return events_of(KINDS["depth"], when, columns, when + 7)


def open_interest(seed: int = 3, n: int = 576, start: int = START, step: int = 5 * MINUTE) -> Events:
    """Open interest on a grid of five minutes."""
    walk = 80_000.0 + np.cumsum(np.random.default_rng(seed).standard_normal(n))
    times = start + step * np.arange(1, n + 1)
    return events_of(KINDS["open_interest"], times, {"open_interest": walk, "open_interest_value": 60_000.0 * walk})


def funding(n: int = 6, start: int = START, hours: int = 8) -> Events:
    """Settlements every so many hours."""
    times = start + hours * 3_600_000 * np.arange(n)
    columns = {"rate": 0.0001 + 0.00001 * np.arange(n), "hours": np.full(n, float(hours)), "mark": np.full(n, np.nan)}
    return events_of(KINDS["funding"], times, columns)
