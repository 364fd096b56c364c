"""The account of one configuration with vectorbt's fills, walked from event to event.

The rules are those of `plan.py` and `fills.py`: market entries at the next open if that bar is known, the first target
alone, one stop, a share of the equity at risk and nothing but cash behind it. What a limit entry or further targets
would change is not modelled, as it is not there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.account.records import SIGNAL
from virtuoso.account.records import STOP as BY_STOP
from virtuoso.account.records import TARGET as BY_TARGET
from virtuoso.jit.kernel import kernel, uncounted
from virtuoso.market.schema.columns import Array
from virtuoso.research.sweep.decisions import Changes, Sides
from virtuoso.research.sweep.plans import (
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
    Drawn,
    Market,
    Rule,
    draw,
)
from virtuoso.research.sweep.scores import Steps
from virtuoso.research.sweep.skip import DEEPEST, HELD, HIGH, LEAST, LOW, OPENED, advance, mark, recorded

# what is held: signed size, price it was filled at, stop, target, fee paid, bar of the entry, bar of the decision;
# the wallet; and what the last decision wants: a side to enter at the next bar, longs and shorts to be left
SIZE, PRICE, STOP, TARGET, FEE, SINCE, DECIDED, WALLET, WANTED, LEAVES_LONG, LEAVES_SHORT = range(11)
HELD_COLUMNS = 7
TRADE_COLUMNS = 8
"""Columns of a trade: bar of the decision, side, bars of entry and exit, prices of both, size, reason."""
NEVER = 2.0


class Cash(NamedTuple):
    """On what terms is traded; see `plan.Terms`."""

    cash: float
    fees: float
    slippage: float
    risk: float


class Holdings(NamedTuple):
    """Accounts of several configurations, one row each: carried from one stretch of bars to the next.

    Attributes
    ----------
    own : Array, shape (n, 11)
    plan : Array, shape (n, PLAN_COLUMNS)
        Of the last decision to enter.
    record : Array, shape (n, RECORD_COLUMNS)
    trades : Array, shape (room, TRADE_COLUMNS)
        Closed trades are written as far as there is room: of one configuration, not of several.
    """

    own: Array
    plan: Array
    record: Array
    trades: Array

    @classmethod
    def opened(cls, n: int, cash: float, room: int = 0) -> Holdings:
        """Open accounts that hold nothing."""
        own = np.zeros((n, LEAVES_SHORT + 1))
        own[:, WALLET] = cash
        return cls(own, np.zeros((n, PLAN_COLUMNS)), recorded(n, cash), np.empty((room, TRADE_COLUMNS)))


@kernel
def by_vectorbt(
    market: Market, rule: Rule, terms: Cash, drawn: Drawn, measures: Array, changes: Changes, start: int, stop: int,
    holdings: Holdings, found: Array, daily: Array,
) -> None:  # fmt: skip
    """Trade the decisions of several configurations over the bars [start, stop).

    Parameters
    ----------
    market, rule, terms, drawn
    measures : Array, shape (n, 9)
    changes : Changes
        Over these bars.
    start, stop : int
    holdings : Holdings
        Changed.
    found, daily
        As for `sweep_contract.by_contract`.
    """
    for k in range(len(measures)):
        _trade(
            market, rule, terms, drawn, measures[k], changes.at[k], changes.to[k], changes.counts[k], start, stop,
            holdings.own[k], holdings.plan[k], holdings.record[k], holdings.trades, found[k], daily[k],
        )  # fmt: skip


@uncounted
def _trade(
    market: Market, rule: Rule, terms: Cash, drawn: Drawn, measures: Array, at: Steps, to: Sides, count: int,
    start: int, stop: int, own: Array, plan: Array, record: Array, trades: Array, found: Array, daily: Array,
) -> None:  # fmt: skip
    """Trade the decisions of one configuration over some bars."""
    ground, bars, t, d = market.ground, market.ground.bars, start, 0
    while t < stop:
        decision = at[d] if d < count else stop
        until = min(decision + 1, stop)
        event, least, most, size = until, 0.0, 0.0, own[SIZE]
        if own[WANTED] != 0.0 or (size > 0.0 and own[LEAVES_LONG] != 0.0) or (size < 0.0 and own[LEAVES_SHORT] != 0.0):
            event = t
        elif size != 0.0:
            below, above = (own[STOP], own[TARGET]) if size > 0.0 else (own[TARGET], own[STOP])
            event, least, most = advance(ground, t, until, below, above, -np.inf, np.inf)
        mark(ground, t, event, least, most, own[WALLET], size, own[PRICE], NEVER, 0, record, daily)
        t = event
        if event < until:
            _pass(t, bars[t, OPENED], bars[t, LOW], bars[t, HIGH], rule, plan, own, terms, trades, found)
            close = bars[t, LEAST]
            mark(ground, t, t + 1, close, close, own[WALLET], own[SIZE], own[PRICE], NEVER, 0, record, daily)
            t += 1
        if t == decision + 1:
            side = float(to[d])
            wanted = side if side != 0.0 and draw(drawn, decision, side, measures, rule, plan) else 0.0
            own[WANTED] = wanted
            own[LEAVES_LONG] = 1.0 if wanted <= 0.0 else own[LEAVES_LONG]
            own[LEAVES_SHORT] = 1.0 if wanted >= 0.0 else own[LEAVES_SHORT]
            d += 1
    found[HELD_BARS], found[DRAWDOWN], found[EQUITY] = record[HELD], record[DEEPEST], own[WALLET]
    if own[SIZE] != 0.0:
        found[EQUITY] += own[SIZE] * (bars[stop - 1, LEAST] - own[PRICE])


@uncounted
def _pass(
    t: int, opened: float, low: float, high: float, rule: Rule, plan: Array, own: Array, terms: Cash, trades: Array,
    found: Array,
) -> None:  # fmt: skip
    """Let one bar pass: what was decided happens at its open, stop and target are met at the open and inside."""
    wanted, own[WANTED] = own[WANTED], 0.0  # a way in does not wait for a bar that is known
    if np.isnan(opened):
        return
    if own[SIZE] != 0.0 and own[LEAVES_LONG if own[SIZE] > 0.0 else LEAVES_SHORT] != 0.0:
        _leave(t, opened, float(SIGNAL), False, own, terms, trades, found)
    own[LEAVES_LONG], own[LEAVES_SHORT] = 0.0, 0.0
    if own[SIZE] != 0.0:
        _meet(t, opened, opened, opened, False, own, terms, trades, found)
    if wanted != 0.0 and own[SIZE] == 0.0 and (wanted > 0.0 or rule.shorts):
        _enter(t, opened, wanted, plan, own, terms, found)
    if own[SIZE] != 0.0:
        _meet(t, opened, low, high, True, own, terms, trades, found)


@uncounted
def _enter(t: int, quoted: float, side: float, plan: Array, own: Array, terms: Cash, found: Array) -> None:
    """Enter at an open unless it lies beyond the stop or the fill beyond the target."""
    price = quoted * (1.0 + terms.slippage * side)
    if side * (quoted - plan[PLAN_STOP]) <= 0.0 or side * (plan[PLAN_TARGET] - price) <= 0.0:
        return
    share = min(1.0, terms.risk / (abs(price - plan[PLAN_STOP]) / price))
    size = share * own[WALLET] / (price * (1.0 + terms.fees))
    own[SIZE], own[PRICE], own[STOP], own[TARGET] = side * size, price, plan[PLAN_STOP], plan[PLAN_TARGET]
    own[FEE], own[SINCE], own[DECIDED] = size * price * terms.fees, t, t - 1
    own[WALLET] -= own[FEE]
    found[FEES] += own[FEE]
    found[SLIPPED] += size * abs(price - quoted)


@uncounted
def _meet(
    t: int, opened: float, low: float, high: float, inside: bool, own: Array, terms: Cash, trades: Array, found: Array
) -> None:
    """Let prices meet the stop first, then the target; an open beyond either fills at the open."""
    side = 1.0 if own[SIZE] > 0.0 else -1.0
    worst, best = (low, high) if side > 0.0 else (high, low)
    stopped, reached = side * (worst - own[STOP]) <= 0.0, side * (best - own[TARGET]) >= 0.0
    if stopped or reached:
        price, reason = (own[STOP], float(BY_STOP)) if stopped else (own[TARGET], float(BY_TARGET))
        _leave(t, price if inside else opened, reason, inside and stopped and reached, own, terms, trades, found)


@uncounted
def _leave(
    t: int, quoted: float, reason: float, doubted: bool, own: Array, terms: Cash, trades: Array,
    found: Array,
) -> None:  # fmt: skip
    """Leave whole."""
    side, size = (1.0, own[SIZE]) if own[SIZE] > 0.0 else (-1.0, -own[SIZE])
    price = quoted * (1.0 - terms.slippage * side)
    fee, gained = size * price * terms.fees, own[SIZE] * (price - own[PRICE])
    own[WALLET] += gained - fee
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
    own[:HELD_COLUMNS] = 0.0
