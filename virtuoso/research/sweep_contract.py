"""The account of one configuration on the contract, walked from event to event.

Money moves where it moves in the portfolio backtest: `contract.step` and `risk.admitted` are called, so that events are
those of `portfolio.run`, bit for bit. Only bars on which `step` would do nothing are left out: nothing waits, nothing
settles, and neither stop nor target nor liquidation is reached.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.account.books import (
    CALLED,
    CLOSED,
    ENTERED,
    ENTRY,
    EVENT,
    EVENT_COLUMNS,
    EVENTS_A_BAR,
    EXPIRES,
    FUNDED,
    LIMIT,
    MARGIN,
    ORDER_COLUMNS,
    ORDER_SHARE,
    ORDER_STOP,
    ORDER_TARGET,
    ORDER_TRAIL,
    OUT,
    POSITION_COLUMNS,
    QUANTITY,
    RANK,
    SHARE,
    SIZE,
    STOP,
    TAKER,
    TARGET,
    TRAIL,
    Books,
)
from virtuoso.account.contract import leave, step
from virtuoso.account.intent import NEXT_OPEN
from virtuoso.account.margin import liquidation_price
from virtuoso.account.risk import LIMITS, Limits, admitted
from virtuoso.market.columns import Array
from virtuoso.research.panel import Rows
from virtuoso.research.sweep_kernel import reliability
from virtuoso.research.sweep_plan import (
    AMBIGUOUS,
    DRAWDOWN,
    EQUITY,
    FEES,
    FUNDING,
    GAINED,
    HALTED,
    HELD_BARS,
    LOST,
    PLAN_COLUMNS,
    PLAN_LIMIT,
    PLAN_SIZE,
    PLAN_STOP,
    PLAN_TARGET,
    PRICE,
    SLIPPED,
    TRADES,
    WON,
    Market,
    Rule,
    draw,
)
from virtuoso.research.sweep_walk import (
    DEEPEST,
    HALTED_AT,
    HELD,
    PEAK,
    RECORD_COLUMNS,
    TOP,
    Ground,
    mark,
    next_event,
)

SLACK = 1e-9
"""Share of price by which a liquidation is looked for too early: the step itself decides."""
E_KIND, E_SIZE, E_FEE, E_SLIPPAGE, E_REALISED, E_FUNDING, E_AMBIGUOUS = (
    (EVENT.names or ()).index(name) for name in ("kind", "size", "fee", "slippage", "realised", "funding", "ambiguous")
)
LIFE_SIZE, LIFE_PNL, LIFE_DOUBT = 0, 1, 2


class Money(NamedTuple):
    """The account, the same for every configuration; see `portfolio.Account`."""

    cash: float
    terms: Array
    tiers: Array
    rules: Array
    limits: Limits
    reset: int
    pessimistic: bool


@njit(cache=True, nogil=True, error_model="numpy")
def by_contract(
    market: Market, rule: Rule, money: Money, shares: Array, face_weights: Array, measures: Array, at: Rows,
    to: NDArray[np.int8], charts: Array, chart_of: Rows, events: Array, found: Array, daily: Array,
) -> int:  # fmt: skip
    """Trade the decisions of one configuration.

    Parameters
    ----------
    market, rule, money
    shares, face_weights, measures : Array
        Of the configuration.
    at, to : shape (n_decisions,)
        Bars at whose close the state of its rule changes, and to what.
    charts : Array, shape (n_charts, 2 + 2 * DEPTH)
    chart_of : array of int64, shape (n_bars,)
        Row of the chart of each bar.
    events : Array, shape (room, EVENT_COLUMNS)
        Written; with room for one bar only, those of a bar are overwritten by the next.
    found : Array, shape (len(FOUND),)
        Written.
    daily : Array, quote currency, shape (n_days,)
        Written: equity at the end of each day.

    Returns
    -------
    int
        Events in `events`.
    """
    n, ground, limit = len(market.bars), market.ground, money.limits.max_drawdown
    positions, orders = np.zeros((1, POSITION_COLUMNS)), np.zeros((1, ORDER_COLUMNS))
    own, order = positions[0], orders[0]
    own[STOP], own[TRAIL], own[CALLED], order[LIMIT] = np.nan, np.nan, np.nan, np.nan
    books = Books(positions, orders, np.array([money.cash]), events, np.zeros(1, np.int64))
    record, plan, life, prices = np.zeros(RECORD_COLUMNS), np.zeros(PLAN_COLUMNS), np.zeros(3), np.zeros(1)
    record[TOP], record[PEAK], record[HALTED_AT] = money.cash, money.cash, -1.0
    found[:], daily[:] = 0.0, money.cash
    d, t, only = 0, int(np.int64(0)), int(np.int64(0))  # for literals numba would compile everything again
    while t < n:
        decision = at[d] if d < len(at) else n
        if record[HALTED_AT] >= 0.0 and money.reset == 0 and own[SIZE] == 0.0 and order[QUANTITY] == 0.0:
            decision = n  # nothing is entered any more
        stop, event = min(decision + 1, n), min(decision + 1, n)
        if order[QUANTITY] != 0.0 or order[OUT] != 0.0:
            event = t
        elif own[SIZE] != 0.0:
            event = _event_of(ground, own, money.tiers[0], t, stop)
        mark(ground, t, event, books.wallet[0], own[SIZE], own[ENTRY], limit, money.reset, record, daily)
        t = event
        if event < stop:
            seen = books.written[0]
            step(market.first + t, market.bars[t], money.terms, money.tiers, books, True, money.pessimistic)
            if t == market.last and t < n - 1 and own[SIZE] != 0.0:  # delisted: settled at its last mark
                taker = money.terms[0, TAKER]
                leave(market.first + t, only, float(CLOSED), own[SIZE], ground.close[t], 0.0, taker, books, True)
            _count(events, seen, books.written[0], life, found)
            if len(events) <= EVENTS_A_BAR:
                books.written[0] = 0
            mark(ground, t, t + 1, books.wallet[0], own[SIZE], own[ENTRY], limit, money.reset, record, daily)
            t += 1
        if t == decision + 1:
            prices[0] = ground.close[decision]
            side, trusted = float(to[d]), 0.0
            known = side != 0.0 and draw(charts[chart_of[decision]], side, measures, rule, plan)
            if known and side * own[SIZE] <= 0.0:
                trusted = reliability(
                    market.points[decision], market.coverage[market.run[decision]], market.gates[decision], market.face,
                    shares, face_weights,
                )  # fmt: skip
            _decide(
                side if known else 0.0, plan, charts[chart_of[decision], PRICE] if known else np.nan, trusted,
                market.first + decision, float(d), rule, money, books, prices, record[HALTED_AT] >= 0.0,
            )  # fmt: skip
            d += 1
    found[HELD_BARS], found[DRAWDOWN], found[EQUITY] = record[HELD], record[DEEPEST], books.wallet[0]
    found[HALTED] = 1.0 if record[HALTED_AT] >= 0.0 else 0.0
    if own[SIZE] != 0.0:
        found[EQUITY] += own[SIZE] * (ground.close[n - 1] - own[ENTRY])
    return int(books.written[0])


@njit(cache=True, nogil=True, error_model="numpy")
def _decide(
    side: float, plan: Array, close: float, trusted: float, number: int, rank: float, rule: Rule, money: Money,
    books: Books, prices: Array, halted: bool,
) -> None:  # fmt: skip
    """Turn a decision into an order, as the portfolio does with one instrument."""
    own, order = books.positions[0], books.orders[0]
    if side * own[SIZE] > 0.0:
        order[OUT] = 0.0  # it is there already, and a way out that still waited is called off
        return
    order[QUANTITY], size = 0.0, 0.0
    if side != 0.0 and (rule.shorts or side > 0.0):
        price = close if np.isnan(plan[PLAN_LIMIT]) else plan[PLAN_LIMIT]
        equity = books.wallet[0] + own[SIZE] * (prices[0] - own[ENTRY]) if own[SIZE] != 0.0 else books.wallet[0]
        refused, cut = np.zeros(len(LIMITS), np.int64), np.zeros(len(LIMITS), np.int64)
        size = admitted(
            0, side, price, plan[PLAN_STOP], trusted, equity, halted, np.zeros((0, 1)), prices, books.orders,
            books.positions, money.limits, money.rules, refused, cut,
        )  # fmt: skip
    order[:] = 0.0
    order[LIMIT], order[ORDER_STOP], order[ORDER_TRAIL], order[RANK] = np.nan, np.nan, np.nan, rank
    order[EXPIRES] = number + NEXT_OPEN
    for k in range(3):
        order[ORDER_TARGET + k] = plan[PLAN_TARGET + k] if side != 0.0 else np.nan
        order[ORDER_SHARE + k] = plan[PLAN_SIZE + k] if side != 0.0 else 0.0
    if side != 0.0:
        order[LIMIT], order[ORDER_STOP] = plan[PLAN_LIMIT], plan[PLAN_STOP]
        if not np.isnan(plan[PLAN_LIMIT]):
            order[EXPIRES] = number + rule.waits
    order[OUT], order[QUANTITY] = 1.0 if own[SIZE] != 0.0 else 0.0, size


@njit(cache=True, nogil=True, error_model="numpy")
def _event_of(ground: Ground, own: Array, tiers: Array, t: int, stop: int) -> int:
    """First bar on which something may happen to what is held."""
    called = liquidation_price(tiers, own[SIZE], own[ENTRY], own[MARGIN], 0.0)
    nearest = np.inf
    for k in range(3):
        if own[SHARE + k] > 0.0:
            nearest = min(nearest, own[TARGET + k] if own[SIZE] > 0.0 else -own[TARGET + k])
    if own[SIZE] > 0.0:
        below = called * (1.0 + SLACK) if not np.isnan(called) else -np.inf
        return next_event(ground, t, stop, own[STOP], nearest, below, np.inf)
    above = called * (1.0 - SLACK) if not np.isnan(called) else np.inf
    return next_event(ground, t, stop, -nearest, own[STOP], -np.inf, above)


@njit(cache=True, nogil=True, error_model="numpy")
def _count(events: Array, seen: int, written: int, life: Array, found: Array) -> None:
    """Add up what new events cost, and what each position brought that ends with them."""
    for e in range(seen, written):
        kind = events[e, E_KIND]
        found[FEES] += events[e, E_FEE]
        found[SLIPPED] += events[e, E_SLIPPAGE]
        found[FUNDING] += events[e, E_FUNDING]
        if kind > FUNDED:
            continue
        life[LIFE_SIZE] += events[e, E_SIZE]
        life[LIFE_PNL] += events[e, E_REALISED] - events[e, E_FEE] + events[e, E_FUNDING]
        life[LIFE_DOUBT] = max(life[LIFE_DOUBT], events[e, E_AMBIGUOUS])
        if life[LIFE_SIZE] == 0.0 and kind != ENTERED and kind != FUNDED:
            pnl = life[LIFE_PNL]
            found[TRADES] += 1.0
            found[AMBIGUOUS] += life[LIFE_DOUBT]
            if pnl > 0.0:
                found[WON] += 1.0
                found[GAINED] += pnl
            else:
                found[LOST] -= pnl
            life[:] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def contract_batch(
    market: Market, rule: Rule, money: Money, shares: Array, face_weights: Array, measures: Array, offsets: Rows,
    at: Rows, to: NDArray[np.int8], charts: Array, chart_of: Rows, found: Array, daily: Array,
) -> None:  # fmt: skip
    """Trade the decisions of several configurations; those of the k-th are offsets[k] to offsets[k + 1]."""
    events = np.empty((EVENTS_A_BAR, EVENT_COLUMNS))
    for k in range(len(found)):
        mine = slice(offsets[k], offsets[k + 1])
        by_contract(
            market, rule, money, shares[k], face_weights[k], measures[k], at[mine], to[mine], charts, chart_of, events,
            found[k], daily[k],
        )  # fmt: skip
