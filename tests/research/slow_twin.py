"""The fills of the first backtest again, bar by bar in plain Python: slow, and written from the words alone.

1. At the open: what an intent of the bar before closes is closed at that price; then it may open.
2. A position that opens beyond its stop or target leaves at the open.
3. Inside the bar the stop is looked at first, then the target, on the bar of the entry too.
"""

from __future__ import annotations

import math

import numpy as np

from virtuoso.market.gaps import NO_TRADE


def trade(frame, intents, *, fees, slippage, cash, risk, shorts):
    """Trades as (side, entry bar, exit bar, entry price, exit price, size, reason), and the final cash."""
    base = frame.base
    columns = {name: base.columns[name] for name in ("open", "high", "low", "close")}
    pending_exit = set()
    by_number = {int(row["number"]): row for row in intents}
    trades, position = [], None
    money = cash
    for k in range(frame.start - base.first, frame.stop - base.first):
        number = base.first + k
        decided = by_number.get(number - 1)
        if decided is not None:
            pending_exit |= {1, -1} if decided["side"] == 0 else {-int(decided["side"])}
        if base.state[k] > NO_TRADE:
            continue
        open_, high, low = (float(columns[name][k]) for name in ("open", "high", "low"))

        def leave(price, reason, number=number):
            nonlocal money, position
            side, size = position["side"], position["size"]
            got = price * (1.0 - slippage * side)
            money += side * size * got - size * got * fees if side > 0 else -(size * got) - size * got * fees
            trades.append((side, position["number"], number, position["price"], got, size, reason))
            position = None

        if position is not None and position["side"] in pending_exit:
            leave(open_, "signal")
        pending_exit = set()
        if position is not None:
            _at_open(position, open_, leave)
        if decided is not None and decided["side"] != 0 and position is None and (decided["side"] > 0 or shorts):
            position = _entered(decided, open_, money, number, fees, slippage, risk)
            if position is not None:
                paid = position["side"] * position["size"] * position["price"]
                money -= paid + position["size"] * position["price"] * fees
        if position is not None:
            _inside(position, low, high, leave)
    return trades, money, position


def _entered(decided, open_, money, number, fees, slippage, risk):
    side, stop, target = int(decided["side"]), float(decided["stop"]), float(decided["target"][0])
    price = open_ * (1.0 + slippage * side)
    if not math.isnan(stop) and side * (open_ - stop) <= 0.0:
        return None
    if not math.isnan(target) and side * (target - price) <= 0.0:
        return None
    share = min(1.0, risk / (1.0 if math.isnan(stop) else abs(price - stop) / price))
    size = share * money / (price * (1.0 + fees))
    return {"side": side, "price": price, "size": size, "stop": stop, "target": target, "number": number}


def _at_open(position, open_, leave):
    side = position["side"]
    if side * (open_ - position["stop"]) <= 0.0:
        leave(open_, "stop")
    elif side * (open_ - position["target"]) >= 0.0:
        leave(open_, "target")


def _inside(position, low, high, leave):
    side = position["side"]
    worst, best = (low, high) if side > 0 else (high, low)
    if side * (worst - position["stop"]) <= 0.0:
        leave(position["stop"], "stop")
    elif side * (best - position["target"]) >= 0.0:
        leave(position["target"], "target")


def as_rows(result):
    """The trades of a result, as the twin gives its own (those that ended)."""
    from virtuoso.account.records import OPEN, REASONS

    return [
        (
            int(t["side"]), int(t["entry_number"]), int(t["exit_number"]), float(t["entry_price"]),
            float(t["exit_price"]), float(t["size"]), REASONS[t["reason"]],
        )
        for t in result.trades[result.trades["reason"] != OPEN]
    ]  # fmt: skip


def assert_same(result, trades):
    ours = as_rows(result)
    assert [row[:3] + row[6:] for row in ours] == [row[:3] + row[6:] for row in trades]
    for mine, theirs in zip(ours, trades, strict=True):
        np.testing.assert_allclose(mine[3:6], theirs[3:6], rtol=1e-9)
