"""One configuration with stops and targets, walked from event to event.

As accounts.py does for the shipped rule: bars on which nothing can happen are passed over by their summaries (skip.py),
ordinary ones by ordinary.py, and the rest by `account.engine.step`, so that events are those of `backtest.engine.run`,
bit for bit. What trails, adds or reduces is not for it.
"""

from __future__ import annotations

import numpy as np

from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.risk import LIMITS, Rules, as_the_venue_accepts, risked
from virtuoso.account.state import Books
from virtuoso.jit.kernel import kernel, uncounted
from virtuoso.research.backtest.engine import PLAIN_TIERS, Account, orders_of
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.sweep.accounts import Accounts, AccountTerms, close_bar, event_of, step_over
from virtuoso.research.sweep.ordinary import liquidated_at, ordinary
from virtuoso.research.sweep.plans import (
    DRAWDOWN,
    EQUITY,
    FIGURES,
    HALTED,
    HALTED_EQUITY,
    HALTED_ON,
    HELD_BARS,
    Market,
    keep_flows,
)
from virtuoso.research.sweep.scores import Rows
from virtuoso.research.sweep.skip import DAY, DEEPEST, FIRST_EQUITY, FIRST_HALT, HELD, LEAST, mark, summaries_of
from virtuoso.types import Array

SIDE, PRICE, WEIGHT, RELIABILITY = range(4)
"""Columns of what a decision wishes."""


def market_of(panel: SimulationPanel, days: Rows) -> Market:
    """Return what accounts are walked over: the bars of one instrument, without scores."""
    begins, last = panel.begins()[:, 0], int(panel.last[0])
    none, rows = np.empty((0, 0)), np.empty(0, np.int64)
    return Market(
        summaries_of(panel.bars[:, 0], begins, last, days), panel.bars, panel.first, last, begins, none, none, none,
        rows, rows,
    )  # fmt: skip


def terms_of(account: Account, instrument: Instrument) -> AccountTerms:
    """Return the terms on which an account trades an instrument."""
    leverage = 1.0 if instrument.is_spot else account.leverage
    rates = np.array([[account.maker, account.taker, account.liquidation_fee, leverage]])
    tiers = account.tiers.get(instrument, PLAIN_TIERS).table[None]
    rules = np.array([account.rules.get(instrument, Rules())], dtype=np.float64)
    return AccountTerms(account.cash, rates, tiers, rules, account.limits, account.halt, 0, True)


def walk(
    market: Market, terms: AccountTerms, account: Account, instrument: Instrument, made: np.ndarray, daily: Array,
    flows: Array,
) -> Array:  # fmt: skip
    """Walk one configuration.

    Parameters
    ----------
    market, terms
        Of `market_of` and `terms_of`.
    account : Account
    instrument : Instrument
    made : array of INTENT
        Its intents; at most one at a close.
    daily : Array, quote currency, shape (n_days,)
        Written: equity at the end of each day.
    flows : Array, shape (n_days, len(FLOWS))
        Written: figures by the end of each day; with no days they are not kept.

    Returns
    -------
    Array, shape (len(FIGURES),)
    """
    wanted = orders_of(made, account, np.broadcast_to(terms.rules, (len(made), terms.rules.shape[1])))
    wishes = np.column_stack((made["side"].astype(np.float64), made["price"], made["weight"], made["reliability"]))
    figures = np.zeros(len(FIGURES))
    accounts, at = Accounts.opened(1, account.cash), made["number"] - market.first
    daily[:] = account.cash
    _walk(market, terms, at, wishes, wanted, not instrument.is_spot, accounts, figures, daily, flows)
    return figures


@kernel
def _walk(
    market: Market, terms: AccountTerms, at: Rows, wishes: Array, wanted: Array, shorts: bool, accounts: Accounts,
    figures: Array, daily: Array, flows: Array,
) -> None:  # fmt: skip
    """Trade the decisions at the closes of the bars `at`, in their order."""
    books = Books(accounts.positions[0], accounts.orders[0], accounts.wallet[0], accounts.events, accounts.written)
    own, order, wallet, record = books.positions[0], books.orders[0], books.wallet, accounts.record[0]
    summaries, stop, limit = market.summaries, len(market.bars), terms.limits.max_drawdown
    refused = np.zeros(len(LIMITS), np.int64)  # counted in a backtest
    t, d, count = 0, 0, len(at)
    while True:
        while d < count and at[d] == t - 1:
            _order(terms, summaries.bars[t - 1, LEAST], wishes[d], wanted[d], shorts, books, refused)
            d += 1
        if t >= stop:
            break
        until = min(at[d] + 1, stop) if d < count else stop
        event, least, most, called = until, 0.0, 0.0, 0.0
        if own[s.SIZE] != 0.0:
            called = liquidated_at(terms.tiers[0], own[s.SIZE], own[s.ENTRY], own[s.MARGIN])
        if order[s.QUANTITY] != 0.0 or order[s.CLOSE_FIRST] != 0.0:
            event = t
        elif own[s.SIZE] != 0.0:
            event, least, most = event_of(summaries, own, called, t, until)
        day = int(record[DAY])
        mark(summaries, t, event, least, most, wallet[0], own[s.SIZE], own[s.ENTRY], limit, terms.reset, record, daily)
        keep_flows(flows, day, int(record[DAY]), figures)
        t = event
        if event < until:
            rates, tiers = terms.rates[0], terms.tiers[0]
            if not ordinary(
                market.first + t, t, summaries, market.bars, rates, tiers, called, books, terms.pessimistic
            ):
                step_over(market, terms, accounts, 0, t)
            rows = figures.reshape(1, -1), daily.reshape(1, -1), flows.reshape(1, len(flows), -1)
            close_bar(market, terms, accounts, books, 0, t, rows[0], rows[1], rows[2])
            t += 1
    figures[HELD_BARS], figures[DRAWDOWN] = record[HELD], record[DEEPEST]
    figures[HALTED], figures[EQUITY] = 1.0 if record[FIRST_HALT] >= 0.0 else 0.0, wallet[0]
    figures[HALTED_ON], figures[HALTED_EQUITY] = record[FIRST_HALT], record[FIRST_EQUITY]
    if own[s.SIZE] != 0.0:
        figures[EQUITY] += own[s.SIZE] * (summaries.bars[stop - 1, LEAST] - own[s.ENTRY])


@uncounted
def _order(
    terms: AccountTerms, close: float, wish: Array, wanted: Array, shorts: bool, books: Books, refused: Rows
) -> None:
    """Order what a decision wishes, as the backtest does with one instrument whose limits are only reported."""
    own, order, side = books.positions[0], books.orders[0], wish[SIDE]
    held = own[s.SIZE]
    if side * held > 0.0:  # it is there already: what still waited is called off
        order[s.CLOSE_FIRST], order[s.QUANTITY], order[s.LIMIT] = 0.0, 0.0, np.nan
        return
    for k in range(s.ORDER_COLUMNS):
        order[k] = wanted[k]
    order[s.CLOSE_FIRST] = 1.0 if held != 0.0 else 0.0
    equity = books.wallet[0] + held * (close - own[s.ENTRY]) if held != 0.0 else books.wallet[0]
    if side == 0.0 or (side < 0.0 and not shorts) or not equity > 0.0:
        return
    price, stop = wish[PRICE], wanted[s.ORDER_STOP]
    size = wish[WEIGHT] * equity / price
    if not wish[WEIGHT] > 0.0:
        size = risked(terms.limits, equity, wish[RELIABILITY], price, stop)
    if np.isnan(size) or (not np.isnan(stop) and not side * (price - stop) > 0.0):
        return
    order[s.QUANTITY] = order[s.FIRM_QUANTITY] = side * as_the_venue_accepts(size, price, terms.rules[0], refused)
