"""Lives of an account: written by hand, or random on wild bars of a coarse grid of prices with orders of every kind."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from tests.account.slow_account import NAN, Bar, Order, SlowAccount, Terms
from virtuoso.account import state as s
from virtuoso.account.engine import lapse_entries, step
from virtuoso.account.margin import Tiers
from virtuoso.account.records import KINDS
from virtuoso.account.state import Books, unrealised
from virtuoso.jit.kernel import kernel

GRID = 0.5
TIERS = [(0.0, 0.005), (3_000.0, 0.01), (10_000.0, 0.05)]
LEVERAGES = (1.0, 3.0, 10.0, 25.0)


@dataclass
class Life:
    """What happens to an account: bars[t][i], None where not known, and the orders decided before each bar.

    At the closes of the bars in `halts` a halt is latched.
    """

    cash: float
    terms: list[Terms]
    bars: list[list[Bar | None]]
    orders: list[dict[int, Order]]
    isolated: bool
    pessimistic: bool
    halts: tuple[int, ...] = ()


@kernel
def latch(instant: int, books: Books) -> None:
    """Latch a halt: `lapse_entries` for Python."""
    lapse_entries(instant, books)


def life(seed: int) -> Life:
    """A life of one to three instruments over 5 to 30 bars."""
    draw = random.Random(seed)
    n, length = draw.choice((1, 1, 1, 2, 2, 3)), min(draw.randint(5, 30), draw.randint(5, 30))
    terms = [Terms(0.0002, 0.0005, 0.0125, draw.choice(LEVERAGES), TIERS) for _ in range(n)]
    closes = [100.0] * n
    bars, orders = [], []
    for t in range(length):
        decided = {}
        for i in range(n):
            if draw.random() < 0.3:
                decided[i] = _order(draw, t, i, closes[i])
        orders.append(decided)
        row = [_bar(draw, closes[i]) if draw.random() > 0.08 else None for i in range(n)]
        closes = [bar.close if bar else closes[i] for i, bar in enumerate(row)]
        bars.append(row)
    halts = tuple(t for t in range(length) if draw.random() < 0.04)
    return Life(1_000.0, terms, bars, orders, draw.random() < 0.5, draw.random() < 0.5, halts)


def _on_grid(price: float) -> float:
    return max(round(price / GRID) * GRID, 5.0)


def _bar(draw: random.Random, before: float) -> Bar:
    wild = draw.choice((0.005, 0.02, 0.06))
    start = before if draw.random() < 0.6 else _on_grid(before * (1.0 + draw.uniform(-wild, wild)))
    end = _on_grid(start * (1.0 + draw.uniform(-wild, wild)))
    high = _on_grid(max(start, end) * (1.0 + wild * draw.random()))
    low = _on_grid(min(start, end) * (1.0 - wild * draw.random()))
    high, low = max(high, start, end), min(low, start, end)
    premium = 1.0 + draw.choice((0.0, 0.0, 0.001, -0.002))
    opened, inside = (draw.choice((0.0, 0.0, 0.0, 0.001, -0.001)) * start for _ in range(2))
    return Bar(
        start, high, low, end, start * premium, high * premium, low * premium, end * premium,
        draw.choice((0.0, 0.0002, 0.002)), opened, inside,
    )  # fmt: skip


def _order(draw: random.Random, t: int, i: int, close: float) -> Order:
    rank, action = 10 * t + draw.randint(0, 9), draw.random()
    if action < 0.15:
        return Order(out=draw.choice((1.0, 1.0, 0.25)), rank=rank)
    side = draw.choice((-1.0, 1.0))
    near = _on_grid(close * (1.0 - side * draw.choice((-0.01, 0.0, 0.01, 0.03))))
    limit = near if draw.random() < 0.4 else NAN
    # most make sense where they fill, some do not
    stop = _on_grid(near * (1.0 - side * draw.uniform(0.005, 0.08))) if draw.random() < 0.8 else NAN
    shares = draw.choice(((), (1.0,), (0.5, 0.5), (0.5, 0.3, 0.2), (0.4, 0.3)))
    targets = [(_on_grid(near * (1.0 + side * (0.01 + 0.02 * k))), share) for k, share in enumerate(shares)]
    quantity = side * draw.choice((0.5, 2.0, 10.0, 40.0, 150.0))
    return Order(
        firm=quantity * draw.choice((0.0, 0.5, 1.0)) if draw.random() < 0.7 else None,
        out=draw.choice((0.0, 0.0, 0.0, 1.0, 1.0, 0.5)),
        **_fitting(draw),
        quantity=quantity,
        limit=limit,
        expires=t + draw.randint(0, 4),
        stop=stop,
        trail=close * 0.02 if draw.random() < 0.2 else NAN,
        targets=targets,
        rank=rank,
    )


def _fitting(draw: random.Random) -> dict:
    """Of some orders, that they are cut to what can be paid, and how small a venue accepts them."""
    if draw.random() < 0.7:
        return {}
    step = draw.choice((0.0, 0.1, 1.0))
    return {"fitted": True, "step": step, "least": step, "least_notional": draw.choice((0.0, 50.0))}


def lived_slowly(one: Life) -> tuple[list[tuple], SlowAccount]:
    """Events of the reference, and the account they leave."""
    account = SlowAccount(one.cash, one.terms, isolated=one.isolated, pessimistic=one.pessimistic)
    for t, (bars, orders) in enumerate(zip(one.bars, one.orders, strict=True)):
        for i, order in orders.items():
            account.orders[i] = Order(**{**vars(order), "targets": list(order.targets)})
        account.live(t, bars)
        if t in one.halts:
            account.halt()
    return account.events, account


def lived(one: Life) -> tuple[Books, list[float]]:
    """Books of the contract, and its equity at each close."""
    n = len(one.terms)
    books = Books.opened(n, one.cash, s.EVENTS_A_BAR * n * len(one.bars))
    terms = np.array([(a.maker, a.taker, a.liquidation_fee, a.leverage) for a in one.terms])
    tiers = np.array([Tiers.of(*zip(*a.tiers, strict=True)).table for a in one.terms])
    table, equity = np.full((len(one.bars), n, s.BAR_COLUMNS), np.nan), []
    for t, row in enumerate(one.bars):
        for i, bar in enumerate(row):
            if bar:
                table[t, i] = tuple(vars(bar).values())
        for i, order in one.orders[t].items():
            books.orders[i] = _row(order)
        step(t, table[t], terms, tiers, books, one.isolated, one.pessimistic)
        if t in one.halts:
            latch(t, books)
        equity.append(books.wallet[0] + unrealised(books.positions))
    return books, equity


def _row(order: Order) -> np.ndarray:
    row = np.zeros(s.ORDER_COLUMNS)
    row[: s.RESTED] = (
        order.out, order.quantity, order.limit, order.expires, order.stop, order.trail, order.rank,
    )  # fmt: skip
    row[s.ORDER_TARGET : s.ORDER_TARGET + 3] = NAN
    row[s.FITTED : s.FITTED_NOTIONAL + 1] = order.fitted, order.step, order.least, order.least_notional
    row[s.CONDITIONAL], row[s.FIRM_QUANTITY] = order.firm is not None, order.firm or 0.0
    for k, (price, share) in enumerate(order.targets):
        row[s.ORDER_TARGET + k], row[s.ORDER_SHARE + k] = price, share
    return row


def as_table(events: list[tuple]) -> np.ndarray:
    """Events of the reference in the columns of the contract's."""
    rows = [(*e[:2], KINDS.index(e[2]), *e[3:]) for e in events]
    return np.array(rows, dtype=np.float64).reshape(-1, s.EVENT_COLUMNS)


def bar(open_, high, low, close, *, slippage=0.0, at_open=0.0, inside=0.0, mark=1.0):
    """A bar whose mark is a constant share of its price."""
    return Bar(open_, high, low, close, *(mark * p for p in (open_, high, low, close)), slippage, at_open, inside)


def still(price=100.0, **how):
    return bar(price, price, price, price, **how)


def trade(*moments, cash=1_000.0, leverage=10.0, isolated=True, pessimistic=True, tiers=((0.0, 0.005),)):
    """Live through (order or None, bar) of one instrument; gives its events and its books."""
    orders = [{0: order} if order else {} for order, _ in moments]
    terms = Terms(0.0002, 0.0005, 0.0125, leverage, list(tiers))
    one = Life(cash, [terms], [[b] for _, b in moments], orders, isolated, pessimistic)
    books, _ = lived(one)
    return books.named(), books


def kinds(events):
    return [KINDS[kind] for kind in events["kind"]]


def long_(quantity=10.0, **how):
    return Order(quantity=quantity, **how)
