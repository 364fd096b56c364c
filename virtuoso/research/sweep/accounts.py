"""The accounts of several configurations, walked from event to event.

Money moves where it moves in a backtest, so that events are those of `backtest.engine.run`, bit for bit:

1. Bars on which `engine.step` would do nothing are left out: nothing waits, nothing settles, and neither stop nor
   target nor liquidation is reached.
2. Ordinary bars, nearly all of the others, are passed by the same arithmetic without its detours (ordinary.py).
3. For the rest `engine.step` is called, and `risk.admitted` for every order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.engine import lapse, leave, part_with, step
from virtuoso.account.records import NEXT_OPEN
from virtuoso.account.risk import LIMITS, Limits, admitted
from virtuoso.account.state import Books
from virtuoso.jit.kernel import inner, kernel, uncounted
from virtuoso.research.sweep.decisions import Candidates, Changes, reliability
from virtuoso.research.sweep.ordinary import (
    ONLY,
    liquidated_at,
    ordinary,
)
from virtuoso.research.sweep.plans import (
    AMBIGUOUS,
    DRAWDOWN,
    EQUITY,
    FEES,
    FUNDING,
    GAINED,
    HALTED,
    HALTED_EQUITY,
    HALTED_ON,
    HELD_BARS,
    LOST,
    PLAN_COLUMNS,
    PLAN_LIMIT,
    PLAN_SIZE,
    PLAN_STOP,
    PLAN_TARGET,
    PRICE,
    SLIPPED,
    TRADED,
    TRADES,
    WON,
    LevelTable,
    Market,
    Rule,
    draw,
    keep_flows,
)
from virtuoso.research.sweep.scores import Rows
from virtuoso.research.sweep.skip import (
    DAY,
    DEEPEST,
    FIRST_EQUITY,
    FIRST_HALT,
    HALTED_AT,
    HELD,
    LEAST,
    BarSummaries,
    advance,
    mark,
    recorded,
)
from virtuoso.types import Array

LIFE_SIZE, LIFE_PNL, LIFE_DOUBT = 0, 1, 2
NOTHING, STEP, ORDER = range(3)
"""What is due where ordinary bars end: nothing, a step of the engine, an order."""


class AccountTerms(NamedTuple):
    """Terms of the account, the same for every configuration; see `backtest.engine.Account`."""

    cash: float
    rates: Array
    tiers: Array
    rules: Array
    limits: Limits
    halt: bool
    reset: int
    pessimistic: bool


class Admission(NamedTuple):
    """Arguments of `admitted` beside the account: the last mark, closes of other instruments, and counters."""

    prices: Array
    closes: Array
    refused: Rows
    cut: Rows
    unknown: Rows


class Accounts(NamedTuple):
    """Accounts of several configurations, one row each: carried from one stretch of bars to the next.

    Attributes
    ----------
    positions : Array, shape (n, 1, POSITION_COLUMNS)
    orders : Array, shape (n, 1, ORDER_COLUMNS)
    wallet : Array, quote currency, shape (n, 1)
    record : Array, shape (n, RECORD_COLUMNS)
    life : Array, shape (n, 3)
        Size, profit and doubt of the position that is held.
    decided : array of int64, shape (n,)
        Decisions so far.
    events : Array, shape (room, EVENT_COLUMNS)
        With room for one bar only, those of a bar are overwritten by the next. What does not fit is only counted.
    written, counted : array of int64, shape (1,)
        Events in `events`, and how many of them are in the figures.
    """

    positions: Array
    orders: Array
    wallet: Array
    record: Array
    life: Array
    decided: Rows
    events: Array
    written: Rows
    counted: Rows

    @classmethod
    def opened(cls, n: int, cash: float, room: int = s.EVENTS_A_BAR) -> Accounts:
        """Open accounts that hold nothing."""
        books = Books.opened(n, cash, room)
        return cls(
            books.positions[:, None].copy(), books.orders[:, None].copy(), np.full((n, 1), cash), recorded(n, cash),
            np.zeros((n, 3)), np.zeros(n, np.int64), books.events, books.written, books.written.copy(),
        )  # fmt: skip


@kernel
def walk_accounts(
    market: Market, rule: Rule, terms: AccountTerms, levels: LevelTable, candidates: Candidates, measures: Array,
    changes: Changes, start: int, stop: int, accounts: Accounts, figures: Array, daily: Array, flows: Array,
) -> None:  # fmt: skip
    """Trade the decisions of several configurations over the bars [start, stop).

    Parameters
    ----------
    market, rule, terms, levels, candidates
    measures : Array, shape (n, 9)
    changes : Changes
        Over these bars.
    start, stop : int
    accounts : Accounts
        Changed.
    figures : Array, shape (n, len(FIGURES))
        Changed.
    daily : Array, quote currency, shape (n, n_days)
        Written: equity at the end of each day.
    flows : Array, shape (n, n_days, len(FLOWS))
        Written: figures by the end of each day; with no days they are not kept.
    """
    plan, counts = np.zeros(PLAN_COLUMNS), np.zeros(len(LIMITS), np.int64)
    admission = Admission(np.zeros(1), np.zeros((0, 1)), counts, counts.copy(), counts.copy())
    for k in range(len(measures)):
        t, d, due = start, 0, NOTHING
        while t < stop or due != NOTHING:
            t, d, due = _pass_ordinary(
                market,
                rule,
                terms,
                levels,
                measures,
                changes,
                k,
                t,
                d,
                due == STEP,
                stop,
                accounts,
                plan,
                figures,
                daily,
                flows,
            )
            if due == STEP:
                step_over(market, terms, accounts, k, t)
            elif due == ORDER:
                _order(market, terms, levels, candidates, accounts, k, t - 1, float(changes.to[k, d]), plan, admission)
                d += 1
        accounts.decided[k] += d
        own, record = accounts.positions[k, 0], accounts.record[k]
        figures[k, HELD_BARS], figures[k, DRAWDOWN] = record[HELD], record[DEEPEST]
        figures[k, HALTED], figures[k, EQUITY] = 1.0 if record[FIRST_HALT] >= 0.0 else 0.0, accounts.wallet[k, 0]
        figures[k, HALTED_ON], figures[k, HALTED_EQUITY] = record[FIRST_HALT], record[FIRST_EQUITY]
        if own[s.SIZE] != 0.0:
            figures[k, EQUITY] += own[s.SIZE] * (market.summaries.bars[stop - 1, LEAST] - own[s.ENTRY])


@uncounted
def _pass_ordinary(
    market: Market, rule: Rule, terms: AccountTerms, levels: LevelTable, measures: Array, changes: Changes, k: int,
    t: int, d: int, stepped: bool, stop: int, accounts: Accounts, plan: Array, figures: Array, daily: Array,
    flows: Array,
) -> tuple[int, int, int]:  # fmt: skip
    """Walk one account from a bar and a decision on; over a bar that has been stepped over, it is closed first.

    Returns
    -------
    tuple of int
        The bar and the decision that were come to, and what is due there: a STEP over the bar, an ORDER for the
        decision of the close before it, or NOTHING any more.
    """
    summaries, at, to, count = market.summaries, changes.at[k], changes.to[k], changes.counts[k]
    books = Books(accounts.positions[k], accounts.orders[k], accounts.wallet[k], accounts.events, accounts.written)
    own, order, wallet = books.positions[0], books.orders[0], books.wallet
    record, limit = accounts.record[k], terms.limits.max_drawdown
    while True:
        if stepped:
            close_bar(market, terms, accounts, books, k, t, figures, daily, flows)
            t, stepped = t + 1, False
        if d < count and at[d] == t - 1:
            side, rank = float(to[d]), float(accounts.decided[k] + d)
            if side != 0.0 and not draw(levels, at[d], side, measures[k], rule, plan):
                side = 0.0
            if side * own[s.SIZE] > 0.0:  # it is there already: what still waited is called off
                order[s.CLOSE_FIRST], order[s.QUANTITY], order[s.LIMIT] = 0.0, 0.0, np.nan
            else:
                _write(order, side, plan, rank, market.first + at[d], rule, 1.0 if own[s.SIZE] != 0.0 else 0.0)
                if side > 0.0 or (side < 0.0 and rule.shorts):
                    return t, d, ORDER
            d += 1
        if t >= stop:
            return t, d, NOTHING
        until = min(at[d] + 1, stop) if d < count else stop
        idle = own[s.SIZE] == 0.0 and order[s.QUANTITY] == 0.0
        if idle and terms.halt and terms.reset == 0 and record[HALTED_AT] >= 0.0:
            d, until = count, stop  # nothing is entered any more
        event, least, most, called = until, 0.0, 0.0, 0.0
        if own[s.SIZE] != 0.0:
            called = liquidated_at(terms.tiers[0], own[s.SIZE], own[s.ENTRY], own[s.MARGIN])
        if order[s.QUANTITY] != 0.0 or order[s.CLOSE_FIRST] != 0.0:
            event = t
        elif own[s.SIZE] != 0.0:
            event, least, most = event_of(summaries, own, called, t, until)
        day = int(record[DAY])
        mark(
            summaries, t, event, least, most, wallet[0], own[s.SIZE], own[s.ENTRY], limit, terms.reset, record, daily[k]
        )
        keep_flows(flows[k], day, int(record[DAY]), figures[k])
        t = event
        if event < until:
            if not ordinary(
                market.first + t, t, summaries, market.bars, terms.rates[0], terms.tiers[0], called, books,
                terms.pessimistic,
            ):  # fmt: skip
                return t, d, STEP
            stepped = True


@inner
def step_over(market: Market, terms: AccountTerms, accounts: Accounts, k: int, t: int) -> None:
    """Let the engine step over a bar that is not ordinary."""
    books = Books(accounts.positions[k], accounts.orders[k], accounts.wallet[k], accounts.events, accounts.written)
    own = books.positions[0]
    if market.begins[t]:  # nothing was held over a break that no bar precedes
        last = market.summaries.bars[max(t - 1, 0), LEAST]
        part_with(market.first + t, ONLY, last, terms.rates[0, s.TAKER], books, True)
    step(market.first + t, market.bars[t], terms.rates, terms.tiers, books, True, terms.pessimistic)
    if t == market.last and t < len(market.bars) - 1 and own[s.SIZE] != 0.0:  # delisted: settled at its last mark
        price, taker = market.summaries.bars[t, LEAST], terms.rates[0, s.TAKER]
        leave(market.first + t, ONLY, float(r.CLOSED), own[s.SIZE], price, 0.0, taker, books, True)


@uncounted
def close_bar(
    market: Market, terms: AccountTerms, accounts: Accounts, books: Books, k: int, t: int, figures: Array, daily: Array,
    flows: Array,
) -> None:  # fmt: skip
    """Close a bar on which something may have happened: equity is marked, what a halt ends lapses, events are counted.

    A halt that is latched elsewhere ends nothing: where something waits to enter, every bar is closed here.
    """
    own, close, record = books.positions[0], market.summaries.bars[t, LEAST], accounts.record[k]
    limit, size, entry, wallet = terms.limits.max_drawdown, own[s.SIZE], own[s.ENTRY], books.wallet[0]
    day = int(record[DAY])
    mark(market.summaries, t, t + 1, close, close, wallet, size, entry, limit, terms.reset, record, daily[k])
    if terms.halt and record[HALTED_AT] >= 0.0 and books.orders[0, s.QUANTITY] != 0.0:
        lapse(market.first + t, ONLY, books)
    written, room = accounts.written[0], len(accounts.events)
    accounts.counted[0] = count_events(
        accounts.events, accounts.counted[0], min(written, room), accounts.life[k], figures[k]
    )
    keep_flows(flows[k], day, int(record[DAY]), figures[k])
    if room <= s.EVENTS_A_BAR and written <= room:
        accounts.written[0] = accounts.counted[0] = 0


@uncounted
def _write(order: Array, side: float, plan: Array, rank: float, number: int, rule: Rule, out: float) -> None:
    """Write an order down as the portfolio does with one instrument; its size is not known yet."""
    order[:] = 0.0
    order[s.LIMIT], order[s.ORDER_STOP], order[s.ORDER_TRAIL], order[s.RANK] = np.nan, np.nan, np.nan, rank
    order[s.EXPIRES], order[s.CLOSE_FIRST] = number + NEXT_OPEN, out
    for j in range(3):
        order[s.ORDER_TARGET + j] = plan[PLAN_TARGET + j] if side != 0.0 else np.nan
        order[s.ORDER_SHARE + j] = plan[PLAN_SIZE + j] if side != 0.0 else 0.0
    if side != 0.0:
        order[s.LIMIT], order[s.ORDER_STOP] = plan[PLAN_LIMIT], plan[PLAN_STOP]
        if not np.isnan(plan[PLAN_LIMIT]):
            order[s.EXPIRES] = number + rule.waits


@uncounted
def _order(
    market: Market, terms: AccountTerms, levels: LevelTable, candidates: Candidates, accounts: Accounts, k: int, t: int,
    side: float, plan: Array, admission: Admission,
) -> None:  # fmt: skip
    """Size an order that was decided at the close of a bar."""
    positions, orders, prices = accounts.positions[k], accounts.orders[k], admission.prices
    prices[0] = market.summaries.bars[t, LEAST]
    own, equity = positions[0], accounts.wallet[k, 0]
    if own[s.SIZE] != 0.0:
        equity += own[s.SIZE] * (prices[0] - own[s.ENTRY])
    trusted = reliability(
        market.points[t], market.coverage[market.run[t]], market.gates[t], market.face, candidates.shares[k],
        candidates.face_weights[k],
    )  # fmt: skip
    price = levels.table[levels.row_of[t], PRICE] if np.isnan(plan[PLAN_LIMIT]) else plan[PLAN_LIMIT]
    orders[0, s.QUANTITY] = admitted(
        0, side, price, plan[PLAN_STOP], trusted, equity, terms.halt and accounts.record[k, HALTED_AT] >= 0.0,
        admission.closes, prices, orders, positions, terms.limits, terms.rules, False, admission.refused, admission.cut,
        admission.unknown,
    )  # fmt: skip


@uncounted
def event_of(summaries: BarSummaries, own: Array, called: float, t: int, stop: int) -> tuple[int, float, float]:
    """First bar on which something may happen to what is held; least and greatest close of those before it."""
    nearest = np.inf
    for k in range(3):
        if own[s.SHARE + k] > 0.0:
            nearest = min(nearest, own[s.TARGET + k] if own[s.SIZE] > 0.0 else -own[s.TARGET + k])
    below, above, mark_below, mark_above = own[s.STOP], nearest, called, np.inf
    if own[s.SIZE] < 0.0:
        below, above, mark_below, mark_above = -nearest, own[s.STOP], -np.inf, called
    return advance(summaries, t, stop, below, above, mark_below, mark_above)


@uncounted
def count_events(events: Array, seen: int, written: int, life: Array, figures: Array) -> int:
    """Add up what new events cost, and what each position brought that ends with them; return the events so far."""
    for e in range(seen, written):
        kind = events[e, s.EVENT_KIND]
        figures[FEES] += events[e, s.EVENT_FEE]
        figures[SLIPPED] += events[e, s.EVENT_SLIPPAGE]
        figures[FUNDING] += events[e, s.EVENT_FUNDING]
        if kind > r.FUNDED and kind != r.BROKEN:
            continue
        if kind != r.FUNDED:
            figures[TRADED] += abs(events[e, s.EVENT_SIZE]) * events[e, s.EVENT_PRICE]
        life[LIFE_SIZE] += events[e, s.EVENT_SIZE]
        life[LIFE_PNL] += events[e, s.EVENT_REALISED] - events[e, s.EVENT_FEE] + events[e, s.EVENT_FUNDING]
        life[LIFE_DOUBT] = max(life[LIFE_DOUBT], events[e, s.EVENT_AMBIGUOUS])
        if life[LIFE_SIZE] == 0.0 and kind != r.ENTERED and kind != r.FUNDED:
            pnl = life[LIFE_PNL]
            figures[TRADES] += 1.0
            figures[AMBIGUOUS] += life[LIFE_DOUBT]
            if pnl > 0.0:
                figures[WON] += 1.0
                figures[GAINED] += pnl
            else:
                figures[LOST] -= pnl
            life[:] = 0.0
    return written
