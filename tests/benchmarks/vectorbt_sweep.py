"""The sweep with vectorbt's fills: a peer that trades what vectorbt trades, to compare speed and trades with it.

The rules are those of vectorbt as `research/crosscheck` uses it: market entries at the next open if that bar is known,
the first target alone, one stop, a share of the equity at risk and nothing but cash behind it. What a limit entry or
further targets would change is not modelled, as it is not there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.metrics import DAY_MS
from virtuoso.errors import NoDataError, check_room
from virtuoso.jit.kernel import kernel, uncounted
from virtuoso.research.crosscheck.orders import KnownBars, Terms
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
    LevelTable,
    Market,
    Rule,
    draw,
)
from virtuoso.research.sweep.scores import Steps
from virtuoso.research.sweep.skip import DEEPEST, HELD, HIGH, LEAST, LOW, OPENED, advance, mark, recorded, summarised
from virtuoso.research.sweep.sweep import Sweep
from virtuoso.types import Array

# what is held: signed size, price it was filled at, stop, target, fee paid, bar of the entry, bar of the decision;
# the wallet; and what the last decision wants: a side to enter at the next bar, longs and shorts to be left
SIZE, PRICE, STOP, TARGET, FEE, SINCE, DECIDED, WALLET, WANTED, LEAVES_LONG, LEAVES_SHORT = range(11)
HELD_COLUMNS = 7
TRADE_COLUMNS = 8
"""Columns of a trade: bar of the decision, side, bars of entry and exit, prices of both, size, reason."""
NEVER = 2.0


class Cash(NamedTuple):
    """On what terms is traded; see `crosscheck.orders.Terms`."""

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
    market: Market, rule: Rule, terms: Cash, levels: LevelTable, measures: Array, changes: Changes, start: int,
    stop: int, holdings: Holdings, figures: Array, daily: Array,
) -> None:  # fmt: skip
    """Trade the decisions of several configurations over the bars [start, stop).

    Parameters
    ----------
    market, rule, terms, levels
    measures : Array, shape (n, 9)
    changes : Changes
        Over these bars.
    start, stop : int
    holdings : Holdings
        Changed.
    figures, daily
        As for `accounts.walk_accounts`.
    """
    for k in range(len(measures)):
        _trade(
            market, rule, terms, levels, measures[k], changes.at[k], changes.to[k], changes.counts[k], start, stop,
            holdings.own[k], holdings.plan[k], holdings.record[k], holdings.trades, figures[k], daily[k],
        )  # fmt: skip


@uncounted
def _trade(
    market: Market, rule: Rule, terms: Cash, levels: LevelTable, measures: Array, at: Steps, to: Sides, count: int,
    start: int, stop: int, own: Array, plan: Array, record: Array, trades: Array, figures: Array, daily: Array,
) -> None:  # fmt: skip
    """Trade the decisions of one configuration over some bars."""
    summaries, bars, t, d = market.summaries, market.summaries.bars, start, 0
    while t < stop:
        decision = at[d] if d < count else stop
        until = min(decision + 1, stop)
        event, least, most, size = until, 0.0, 0.0, own[SIZE]
        if own[WANTED] != 0.0 or (size > 0.0 and own[LEAVES_LONG] != 0.0) or (size < 0.0 and own[LEAVES_SHORT] != 0.0):
            event = t
        elif size != 0.0:
            below, above = (own[STOP], own[TARGET]) if size > 0.0 else (own[TARGET], own[STOP])
            event, least, most = advance(summaries, t, until, below, above, -np.inf, np.inf)
        mark(summaries, t, event, least, most, own[WALLET], size, own[PRICE], NEVER, 0, record, daily)
        t = event
        if event < until:
            _pass(t, bars[t, OPENED], bars[t, LOW], bars[t, HIGH], rule, plan, own, terms, trades, figures)
            close = bars[t, LEAST]
            mark(summaries, t, t + 1, close, close, own[WALLET], own[SIZE], own[PRICE], NEVER, 0, record, daily)
            t += 1
        if t == decision + 1:
            side = float(to[d])
            wanted = side if side != 0.0 and draw(levels, decision, side, measures, rule, plan) else 0.0
            own[WANTED] = wanted
            own[LEAVES_LONG] = 1.0 if wanted <= 0.0 else own[LEAVES_LONG]
            own[LEAVES_SHORT] = 1.0 if wanted >= 0.0 else own[LEAVES_SHORT]
            d += 1
    figures[HELD_BARS], figures[DRAWDOWN], figures[EQUITY] = record[HELD], record[DEEPEST], own[WALLET]
    if own[SIZE] != 0.0:
        figures[EQUITY] += own[SIZE] * (bars[stop - 1, LEAST] - own[PRICE])


@uncounted
def _pass(
    t: int, opened: float, low: float, high: float, rule: Rule, plan: Array, own: Array, terms: Cash, trades: Array,
    figures: Array,
) -> None:  # fmt: skip
    """Let one bar pass: what was decided happens at its open, stop and target are met at the open and inside."""
    wanted, own[WANTED] = own[WANTED], 0.0  # a way in does not wait for a bar that is known
    if np.isnan(opened):
        return
    if own[SIZE] != 0.0 and own[LEAVES_LONG if own[SIZE] > 0.0 else LEAVES_SHORT] != 0.0:
        _leave(t, opened, float(r.SIGNAL), False, own, terms, trades, figures)
    own[LEAVES_LONG], own[LEAVES_SHORT] = 0.0, 0.0
    if own[SIZE] != 0.0:
        _meet(t, opened, opened, opened, False, own, terms, trades, figures)
    if wanted != 0.0 and own[SIZE] == 0.0 and (wanted > 0.0 or rule.shorts):
        _enter(t, opened, wanted, plan, own, terms, figures)
    if own[SIZE] != 0.0:
        _meet(t, opened, low, high, True, own, terms, trades, figures)


@uncounted
def _enter(t: int, quoted: float, side: float, plan: Array, own: Array, terms: Cash, figures: Array) -> None:
    """Enter at an open unless it lies beyond the stop or the fill beyond the target."""
    price = quoted * (1.0 + terms.slippage * side)
    if side * (quoted - plan[PLAN_STOP]) <= 0.0 or side * (plan[PLAN_TARGET] - price) <= 0.0:
        return
    share = min(1.0, terms.risk / (abs(price - plan[PLAN_STOP]) / price))
    size = share * own[WALLET] / (price * (1.0 + terms.fees))
    own[SIZE], own[PRICE], own[STOP], own[TARGET] = side * size, price, plan[PLAN_STOP], plan[PLAN_TARGET]
    own[FEE], own[SINCE], own[DECIDED] = size * price * terms.fees, t, t - 1
    own[WALLET] -= own[FEE]
    figures[FEES] += own[FEE]
    figures[SLIPPED] += size * abs(price - quoted)


@uncounted
def _meet(
    t: int, opened: float, low: float, high: float, inside: bool, own: Array, terms: Cash, trades: Array, figures: Array
) -> None:
    """Let prices meet the stop first, then the target; an open beyond either fills at the open."""
    side = 1.0 if own[SIZE] > 0.0 else -1.0
    worst, best = (low, high) if side > 0.0 else (high, low)
    stopped, reached = side * (worst - own[STOP]) <= 0.0, side * (best - own[TARGET]) >= 0.0
    if stopped or reached:
        price, reason = (own[STOP], float(r.STOP)) if stopped else (own[TARGET], float(r.TARGET))
        _leave(t, price if inside else opened, reason, inside and stopped and reached, own, terms, trades, figures)


@uncounted
def _leave(
    t: int, quoted: float, reason: float, doubted: bool, own: Array, terms: Cash, trades: Array,
    figures: Array,
) -> None:  # fmt: skip
    """Leave whole."""
    side, size = (1.0, own[SIZE]) if own[SIZE] > 0.0 else (-1.0, -own[SIZE])
    price = quoted * (1.0 - terms.slippage * side)
    fee, gained = size * price * terms.fees, own[SIZE] * (price - own[PRICE])
    own[WALLET] += gained - fee
    pnl, row = gained - fee - own[FEE], int(figures[TRADES])
    if row < len(trades):
        trades[row, 0], trades[row, 1], trades[row, 2], trades[row, 3] = own[DECIDED], side, own[SINCE], t
        trades[row, 4], trades[row, 5], trades[row, 6], trades[row, 7] = own[PRICE], price, size, reason
    figures[TRADES] += 1.0
    figures[AMBIGUOUS] += 1.0 if doubted else 0.0
    figures[FEES] += fee
    figures[SLIPPED] += size * abs(price - quoted)
    if pnl > 0.0:
        figures[WON] += 1.0
        figures[GAINED] += pnl
    else:
        figures[LOST] -= pnl
    own[:HELD_COLUMNS] = 0.0


class VectorbtSweep(Sweep):
    """The sweep, with accounts that fill as vectorbt does; `trades` repeats one configuration."""

    def __init__(self, scores, configurations, terms=None):
        self.vectorbt = terms or Terms()
        super().__init__(scores, configurations)
        self.cash = self.vectorbt.cash

    def trades(self, row):
        """Closed trades of one configuration, shape (n_trades, TRADE_COLUMNS)."""
        changes = self._changes(row)
        holdings = Holdings.opened(1, self.cash, int(changes.counts[0]) + 1)
        closed = int(self._repeat(row, changes, holdings)[TRADES])
        check_room("trades of a configuration", closed, len(holdings.trades))
        return holdings.trades[:closed]

    def _bars(self, stage):
        """Known bars as vectorbt is handed them, at their own places; NaN elsewhere."""
        tape = KnownBars.of(self.scores.frame.base, self.scores.start, self.scores.start + len(self.scores))
        bars = np.full((len(self.scores), 1, s.BAR_COLUMNS), np.nan)
        at = tape.numbers - self.scores.start
        columns = ((s.OPEN, tape.open), (s.HIGH, tape.high), (s.LOW, tape.low), (s.CLOSE, tape.close))
        for column, values in (*columns, (s.MARK_CLOSE, tape.close)):
            bars[at, 0, column] = values
        return bars

    def _summaries(self, bars):
        """What is walked over, from the first known bar to the last: there are no marks and no funding."""
        one, ms = bars[:, 0], self.scores.frame.timeframe.ms
        known = np.flatnonzero(np.isfinite(one[:, s.OPEN]))
        if len(known) < 2:
            raise NoDataError(f"A sweep needs at least two known bars, found {len(known)}.")
        first, last = int(known[0]), int(known[-1])
        days = np.arange(1, (last + 1 - first) * ms // DAY_MS + 1) * DAY_MS // ms + first - 1
        reach = np.tile([np.inf, -np.inf, np.inf, -np.inf], (len(one), 1))
        reach[:, 0] = np.fmin(reach[:, 0], np.fmin(one[:, s.LOW], one[:, s.OPEN]))
        reach[:, 1] = np.fmax(reach[:, 1], np.fmax(one[:, s.HIGH], one[:, s.OPEN]))
        return days, summarised(reach, one[:, s.MARK_CLOSE], one[:, s.OPEN], days), last

    def _opened(self, n):
        return Holdings.opened(n, self.cash)

    def _walk(self, a, b, changes, start, stop, accounts, found):
        terms = Cash(self.vectorbt.cash, self.vectorbt.fees, self.vectorbt.slippage, self.vectorbt.risk)
        by_vectorbt(
            self.market, self.rule, terms, self._charts.at(changes), self.configurations.measures[a:b], changes, start,
            stop, accounts, found.figures, found.daily,
        )  # fmt: skip
