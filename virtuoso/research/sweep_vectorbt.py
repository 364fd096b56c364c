"""The account of one configuration with vectorbt's fills, walked from event to event.

The rules are those of `plan.py` and `fills.py`: market entries at the next open if that bar is known, the first target
alone, one stop, a share of the equity at risk and nothing but cash behind it. What a limit entry or further targets
would change is not modelled, as it is not there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.account.books import HIGH, LOW, OPEN
from virtuoso.account.trades import SIGNAL
from virtuoso.account.trades import STOP as BY_STOP
from virtuoso.account.trades import TARGET as BY_TARGET
from virtuoso.market.columns import Array
from virtuoso.research.panel import Rows
from virtuoso.research.sweep_plan import (
    AMBIGUOUS,
    DRAWDOWN,
    EQUITY,
    FEES,
    GAINED,
    HELD_BARS,
    LOST,
    PLAN_COLUMNS,
    PLAN_STOP,
    PLAN_TARGET,
    SLIPPED,
    TRADES,
    WON,
    Market,
    Rule,
    draw,
)
from virtuoso.research.sweep_walk import DEEPEST, HALTED_AT, HELD, PEAK, RECORD_COLUMNS, TOP, mark, next_event

# what is held: signed size, price it was filled at, stop, target, fee paid, bar of the entry, bar of the decision
SIZE, PRICE, STOP, TARGET, FEE, SINCE, DECIDED = range(7)
TRADE_COLUMNS = 8
"""Columns of a trade: bar of the decision, side, bars of entry and exit, prices of both, size, reason."""
NEVER = 2.0


class Cash(NamedTuple):
    """On what terms is traded; see `plan.Terms`."""

    cash: float
    fees: float
    slippage: float
    risk: float


@njit(cache=True, nogil=True, error_model="numpy")
def by_vectorbt(
    market: Market, rule: Rule, terms: Cash, measures: Array, at: Rows, to: NDArray[np.int8], charts: Array,
    chart_of: Rows, trades: Array, found: Array, daily: Array,
) -> int:  # fmt: skip
    """Trade the decisions of one configuration.

    Parameters
    ----------
    market, rule, terms
    measures, at, to, charts, chart_of, found, daily
        As for `sweep_contract.by_contract`.
    trades : Array, shape (room, TRADE_COLUMNS)
        Written as far as there is room.

    Returns
    -------
    int
        Closed trades.
    """
    n, ground = len(market.bars), market.ground
    own, plan, wallet, record = np.zeros(7), np.zeros(PLAN_COLUMNS), np.array([terms.cash]), np.zeros(RECORD_COLUMNS)
    record[TOP], record[PEAK], record[HALTED_AT] = terms.cash, terms.cash, -1.0
    found[:], daily[:] = 0.0, terms.cash
    d, t, leaves_long, leaves_short, wanted = 0, int(np.int64(0)), False, False, 0.0
    while t < n:
        decision = at[d] if d < len(at) else n
        stop, event = min(decision + 1, n), min(decision + 1, n)
        if leaves_long or leaves_short or wanted != 0.0:
            event = t
        elif own[SIZE] > 0.0:
            event = next_event(ground, t, stop, own[STOP], own[TARGET], -np.inf, np.inf)
        elif own[SIZE] < 0.0:
            event = next_event(ground, t, stop, own[TARGET], own[STOP], -np.inf, np.inf)
        mark(ground, t, event, wallet[0], own[SIZE], own[PRICE], NEVER, 0, record, daily)
        t = event
        if event < stop:
            bar = market.bars[t, 0]
            if not np.isnan(bar[OPEN]):
                if own[SIZE] != 0.0 and (leaves_long if own[SIZE] > 0.0 else leaves_short):
                    _leave(t, bar[OPEN], SIGNAL, False, own, wallet, terms, trades, found)
                leaves_long, leaves_short = False, False
                if own[SIZE] != 0.0:
                    _meet(t, bar[OPEN], bar[OPEN], bar[OPEN], own, wallet, terms, trades, found)
                if wanted != 0.0 and own[SIZE] == 0.0 and (wanted > 0.0 or rule.shorts):
                    _enter(t, bar[OPEN], wanted, plan, own, wallet, terms, found)
                if own[SIZE] != 0.0:
                    _meet(t, bar[OPEN], bar[LOW], bar[HIGH], own, wallet, terms, trades, found)
            wanted = 0.0  # a way in does not wait for a bar that is known
            mark(ground, t, t + 1, wallet[0], own[SIZE], own[PRICE], NEVER, 0, record, daily)
            t += 1
        if t == decision + 1:
            side = float(to[d])
            wanted = side if side != 0.0 and draw(charts[chart_of[decision]], side, measures, rule, plan) else 0.0
            leaves_long, leaves_short = leaves_long or wanted <= 0.0, leaves_short or wanted >= 0.0
            d += 1
    found[HELD_BARS], found[DRAWDOWN], found[EQUITY] = record[HELD], record[DEEPEST], wallet[0]
    if own[SIZE] != 0.0:
        found[EQUITY] += own[SIZE] * (ground.close[n - 1] - own[PRICE])
    return int(found[TRADES])


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(
    t: int, quoted: float, side: float, plan: Array, own: Array, wallet: Array, terms: Cash, found: Array
) -> None:
    """Enter at an open unless it lies beyond the stop or the fill beyond the target."""
    price = quoted * (1.0 + terms.slippage * side)
    if side * (quoted - plan[PLAN_STOP]) <= 0.0 or side * (plan[PLAN_TARGET] - price) <= 0.0:
        return
    share = min(1.0, terms.risk / (abs(price - plan[PLAN_STOP]) / price))
    size = share * wallet[0] / (price * (1.0 + terms.fees))
    own[SIZE], own[PRICE], own[STOP], own[TARGET] = side * size, price, plan[PLAN_STOP], plan[PLAN_TARGET]
    own[FEE], own[SINCE], own[DECIDED] = size * price * terms.fees, t, t - 1
    wallet[0] -= own[FEE]
    found[FEES] += own[FEE]
    found[SLIPPED] += size * abs(price - quoted)


@njit(cache=True, nogil=True, error_model="numpy")
def _meet(
    t: int, opened: float, low: float, high: float, own: Array, wallet: Array, terms: Cash, trades: Array, found: Array
) -> None:
    """Let prices between two meet the stop first, then the target; an open beyond either fills at the open."""
    side = 1.0 if own[SIZE] > 0.0 else -1.0
    worst, best = (low, high) if side > 0.0 else (high, low)
    stopped, reached = side * (worst - own[STOP]) <= 0.0, side * (best - own[TARGET]) >= 0.0
    if stopped:
        price = opened if low == high else own[STOP]
        _leave(t, price, BY_STOP, reached and low != high, own, wallet, terms, trades, found)
    elif reached:
        price = opened if low == high else own[TARGET]
        _leave(t, price, BY_TARGET, False, own, wallet, terms, trades, found)


@njit(cache=True, nogil=True, error_model="numpy")
def _leave(
    t: int, quoted: float, reason: int, doubted: bool, own: Array, wallet: Array, terms: Cash, trades: Array,
    found: Array,
) -> None:  # fmt: skip
    """Leave whole."""
    side, size = (1.0, own[SIZE]) if own[SIZE] > 0.0 else (-1.0, -own[SIZE])
    price = quoted * (1.0 - terms.slippage * side)
    fee, gained = size * price * terms.fees, own[SIZE] * (price - own[PRICE])
    wallet[0] += gained - fee
    pnl, row = gained - fee - own[FEE], int(found[TRADES])
    if row < len(trades):
        trades[row, 0], trades[row, 1], trades[row, 2], trades[row, 3] = own[DECIDED], side, own[SINCE], t
        trades[row, 4], trades[row, 5], trades[row, 6], trades[row, 7] = own[PRICE], price, size, reason
    found[TRADES] += 1.0
    found[AMBIGUOUS] += 1.0 if doubted else 0.0
    found[FEES] += fee
    found[SLIPPED] += size * abs(price - quoted)
    if pnl > 0.0:
        found[WON] += 1.0
        found[GAINED] += pnl
    else:
        found[LOST] -= pnl
    own[:] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def vectorbt_batch(
    market: Market, rule: Rule, terms: Cash, measures: Array, offsets: Rows, at: Rows, to: NDArray[np.int8],
    charts: Array, chart_of: Rows, found: Array, daily: Array,
) -> None:  # fmt: skip
    """Trade the decisions of several configurations; those of the k-th are offsets[k] to offsets[k + 1]."""
    trades = np.empty((0, TRADE_COLUMNS))
    for k in range(len(found)):
        mine = slice(offsets[k], offsets[k + 1])
        by_vectorbt(market, rule, terms, measures[k], at[mine], to[mine], charts, chart_of, trades, found[k], daily[k])
