"""Many configurations of one instrument in step: market orders sized by weights, one lane of the processor each.

Between two of its own decisions a configuration's equity is `wallet + size x (mark - entry)`: three numbers and the
same mark for all. So bars are passed in blocks, and in each bar all lanes are marked together (`_mark`), a few at a
time as the processor's vectors hold them; they write only where one reaches a new peak or a new low. What a lane
decides is rare and walked lane by lane, by the arithmetic of `account.engine.step` on a bar with one isolated position
and market orders (`_act`), in its order, so that money is the same bit for bit.

What a lane does not know it does not guess. Where marks come near the one that liquidates, the lane is `doubtful`, and
whoever called runs that configuration by `backtest.engine.run` instead. Stops, targets, trails, limits, cross margin
and an enforced halt are not for lanes at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.account import state as s
from virtuoso.account.engine import DUST, affordable
from virtuoso.account.instrument import Instrument
from virtuoso.account.margin import maintenance
from virtuoso.account.risk import LIMITS, ROUNDING, Rules, as_the_venue_accepts
from virtuoso.jit.kernel import kernel, uncounted
from virtuoso.research.backtest.engine import PLAIN_TIERS, Account
from virtuoso.research.sweep.ordinary import liquidated_at
from virtuoso.research.sweep.plans import (
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
    SLIPPED,
    TRADED,
    TRADES,
    WON,
    keep_flows,
)
from virtuoso.research.sweep.scores import Rows, Steps
from virtuoso.types import Array, Mask

LANES = 128
"""Configurations that pass the bars together: their state lies in the nearest cache."""
CHUNK = 32
"""Lanes that are looked at closely where one of them reaches a new peak or low."""
BLOCK = 256
"""Bars whose decisions are sorted at once."""
LENIENT = 1.0 + 1e-14
"""Above 1 by more than a product is rounded by: a lane is looked at too early rather than too late."""


class LaneBars(NamedTuple):
    """Bars of one instrument, a column each, shape (n_bars,); NaN in `opened` where a bar is not known.

    Attributes
    ----------
    opened, slippage, funding_open, funding_inside, mark_open : Array
        As the contract takes them.
    low, high : Array
        Extremes of the mark, its open and close included.
    mark : Array
        At the close; the last known one stands where it is not known.
    begins : array of bool
        Bars that another instrument of the same name opens.
    last : int
        Position of the last known bar.
    days : array of int64, shape (n_days,)
        Last bar that has closed by the end of each whole day.
    """

    opened: Array
    slippage: Array
    funding_open: Array
    funding_inside: Array
    mark_open: Array
    low: Array
    high: Array
    mark: Array
    begins: Mask
    last: int
    days: Rows

    @classmethod
    def of(cls, bars: Array, begins: Mask, last: int, days: Rows) -> LaneBars:
        """Lay out the bars of one instrument, shape (n_bars, BAR_COLUMNS)."""
        close = bars[:, s.MARK_CLOSE]
        known = np.maximum.accumulate(np.where(np.isnan(close), 0, np.arange(len(close))))
        names = (s.OPEN, s.SLIPPAGE, s.FUNDING_OPEN, s.FUNDING_INSIDE, s.MARK_OPEN)
        opened, slippage, at_open, inside, mark_open = (np.ascontiguousarray(bars[:, name]) for name in names)
        marks = bars[:, [s.MARK_OPEN, s.MARK_HIGH, s.MARK_LOW, s.MARK_CLOSE]]
        low, high = np.fmin.reduce(marks, axis=1), np.fmax.reduce(marks, axis=1)
        mark = close[known]
        return cls(opened, slippage, at_open, inside, mark_open, low, high, mark, begins, last, days)


class LaneTerms(NamedTuple):
    """Terms of the account, the same for every lane.

    Attributes
    ----------
    cash : float, quote currency
    taker, leverage : float
    tiers : Array, shape (3, n_tiers)
    rules : Array, shape (3,)
        Step, least size, least notional.
    order : Array, shape (ORDER_COLUMNS,)
        One that is cut to what the account can pay, with the same rules; see `account.state`.
    max_drawdown : float
        Fall from the peak at which a halt is reported.
    shorts : bool
        Whether the instrument can be sold short.
    """

    cash: float
    taker: float
    leverage: float
    tiers: Array
    rules: Array
    order: Array
    max_drawdown: float
    shorts: bool

    @classmethod
    def of(cls, account: Account, instrument: Instrument) -> LaneTerms:
        """Terms on which an account trades an instrument."""
        rules, order = np.array(account.rules.get(instrument, Rules()), dtype=np.float64), np.zeros(s.ORDER_COLUMNS)
        order[s.FITTED], order[s.FITTED_STEP : s.FITTED_NOTIONAL + 1] = 1.0, rules
        return cls(
            account.cash, account.taker, 1.0 if instrument.is_spot else account.leverage,
            account.tiers.get(instrument, PLAIN_TIERS).table, rules, order, account.limits.max_drawdown,
            not instrument.is_spot,
        )  # fmt: skip


class Decisions(NamedTuple):
    """What several configurations decide, one after another.

    Attributes
    ----------
    at : array of int32, shape (n_decisions,)
        Position of the bar at whose close it is decided, rising within a configuration.
    weight : Array, shape (n_decisions,)
        Signed share of the equity to hold; 0 is to be out.
    price : Array, quote currency, shape (n_decisions,)
        Close of the bar, by which it is sized.
    offsets : array of int64, shape (n_configurations + 1,)
        Where those of each configuration begin.
    adjust : bool
        Whether what is held is brought to the weight; else one of the side that is held changes nothing.
    """

    at: Steps
    weight: Array
    price: Array
    offsets: Rows
    adjust: bool


class Lanes(NamedTuple):
    """What each lane holds and awaits, one array a thing, shape (n_lanes,).

    Attributes
    ----------
    wallet, size, entry, margin, whole : Array
        As the engine has them: cash, signed size, mean entry price, margin set aside, largest size since the entry.
    peak, worst, floor : Array
        Highest equity so far, least quotient of equity and peak, and the equity below which that becomes less.
    below, above : Array
        Marks near to the one that liquidates, of what is long and of what is short.
    life : Array, quote currency
        What the position that is held has brought so far.
    since : array of int64
        Bar at whose close it was held first.
    out, quantity : Array
        Share of what is held that leaves at the next open, and signed size that enters there.
    waits, doubtful : array of bool
        Whether something is to be done at the next known bar; whether the engine must tell what becomes of it.
    """

    wallet: Array
    size: Array
    entry: Array
    margin: Array
    whole: Array
    peak: Array
    worst: Array
    floor: Array
    below: Array
    above: Array
    life: Array
    since: Rows
    out: Array
    quantity: Array
    waits: Mask
    doubtful: Mask

    @classmethod
    def opened(cls, configurations: int, cash: float) -> Lanes:
        """Open the accounts of so many configurations, and of lanes that do nothing up to a whole CHUNK."""
        n = -(-configurations // CHUNK) * CHUNK
        wallet, size, entry, margin, whole = np.full(n, cash), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
        peak, worst, floor, below, above = (np.full(n, value) for value in (cash, 1.0, cash, -np.inf, np.inf))
        return cls(
            wallet, size, entry, margin, whole, peak, worst, floor, below, above, np.zeros(n), np.zeros(n, np.int64),
            np.zeros(n), np.zeros(n), np.zeros(n, bool), np.zeros(n, bool),
        )  # fmt: skip


class Due(NamedTuple):
    """Decisions of a block of bars in the order of their bars: rows, lanes, and where those of each bar begin."""

    row: Rows
    lane: Rows
    begin: Rows


@kernel
def walk_lanes(
    bars: LaneBars, terms: LaneTerms, decisions: Decisions, lanes: Lanes, figures: Array, daily: Array, flows: Array
) -> None:
    """Trade the decisions of several configurations over all bars.

    Parameters
    ----------
    bars : LaneBars
    terms : LaneTerms
    decisions : Decisions
    lanes : Lanes
        Opened for as many configurations; changed.
    figures : Array, shape (n_configurations, len(FIGURES))
        Added to; of a lane that is doubtful they say nothing.
    daily : Array, quote currency, shape (n_configurations, n_days)
        Written: equity at the end of each day.
    flows : Array, shape (n_configurations, n_days, len(FLOWS))
        Written: figures by the end of each day; with no days they are not kept.
    """
    n, count, limit, day = len(bars.opened), len(figures), 1.0 - terms.max_drawdown, 0
    offsets, opened, marks, begins = decisions.offsets, bars.opened, bars.mark, bars.begins
    ahead, waiting, waiters, room = offsets[:-1].copy(), np.empty(count, np.int64), 0, 0
    for lane in range(count):
        room += min(BLOCK, offsets[lane + 1] - offsets[lane])
    due = Due(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(BLOCK + 1, np.int64))
    none = np.zeros(len(LIMITS), np.int64)  # refusals are counted in a backtest
    figures[:, HALTED_ON], figures[:, HALTED_EQUITY] = -1.0, np.nan
    for start in range(0, n, BLOCK):
        stop, low, high, near = min(start + BLOCK, n), np.inf, -np.inf, False
        _sort(decisions, ahead, start, stop, due)
        for t in range(start, stop):
            low = bars.low[t] if bars.low[t] < low else low  # not min: of a bar that is not known it might be NaN
            high = bars.high[t] if bars.high[t] > high else high
        for lane in range(count):
            near = near or lanes.below[lane] >= low or lanes.above[lane] <= high
        for t in range(start, stop):
            if begins[t]:
                for lane in range(count):
                    _settle(lanes, lane, t, marks[max(t - 1, 0)], terms, figures)
            if not np.isnan(opened[t]):
                near = _trade(lanes, waiting, waiters, t, low, high, near, bars, terms, figures)
                waiters = 0
            else:
                for w in range(waiters):
                    lanes.quantity[waiting[w]] = 0.0  # an entry lapses; what is to leave waits for a bar that is known
            _mark(lanes, t, marks[t], count, limit, figures)
            while day < len(bars.days) and bars.days[day] <= t:
                for lane in range(count):
                    daily[lane, day] = terms.cash if bars.days[day] < 0 else _equity(lanes, lane, marks[t])
                    keep_flows(flows[lane], day, day + 1, figures[lane])
                day += 1
            for k in range(due.begin[t - start], due.begin[t - start + 1]):
                lane, row = due.lane[k], due.row[k]
                price, weight = decisions.price[row], decisions.weight[row]
                _decide(lanes, lane, price, marks[t], weight, decisions.adjust, terms, none)
                if not lanes.waits[lane]:
                    lanes.waits[lane] = True
                    waiting[waiters] = lane
                    waiters += 1
    for lane in range(count):
        figures[lane, EQUITY], figures[lane, DRAWDOWN] = _equity(lanes, lane, marks[n - 1]), lanes.worst[lane] - 1.0
        figures[lane, HALTED] = 1.0 if figures[lane, HALTED_ON] >= 0.0 else 0.0
        if lanes.size[lane] != 0.0:
            figures[lane, HELD_BARS] += n - lanes.since[lane]


@uncounted
def _trade(
    lanes: Lanes, waiting: Rows, waiters: int, t: int, low: float, high: float, near: bool, bars: LaneBars,
    terms: LaneTerms, figures: Array,
) -> bool:  # fmt: skip
    """Let a bar that is known act on all lanes, of which the first `waiters` of `waiting` have ordered something.

    Lanes are asked one by one whether they are liquidated only in blocks whose marks, from `low` to `high`, come near
    to that; returns whether this is one.
    """
    count, at_open, inside = len(figures), bars.funding_open[t], bars.funding_inside[t]
    if at_open != 0.0:
        for lane in range(count):
            _fund(lanes, lane, -lanes.size[lane] * at_open, terms, figures)
            near = near or lanes.below[lane] >= low or lanes.above[lane] <= high
    for w in range(waiters):
        lane = waiting[w]
        _act(lanes, lane, t, bars, terms, figures)
        near = near or lanes.below[lane] >= low or lanes.above[lane] <= high
    if inside != 0.0:
        near = True
        for lane in range(count):
            _fund(lanes, lane, min(-lanes.size[lane] * inside, 0.0), terms, figures)
    if near:
        for lane in range(count):
            if bars.low[t] <= lanes.below[lane] or bars.high[t] >= lanes.above[lane]:
                lanes.doubtful[lane] = True
    if inside != 0.0:
        for lane in range(count):
            _fund(lanes, lane, max(-lanes.size[lane] * inside, 0.0), terms, figures)
    if t == bars.last and t < len(bars.opened) - 1:  # delisted: settled at its last mark
        for lane in range(count):
            _settle(lanes, lane, t, bars.mark[t], terms, figures)
    return near


@uncounted
def _sort(decisions: Decisions, ahead: Rows, start: int, stop: int, due: Due) -> None:
    """Sort the decisions at the closes of the bars [start, stop) by their bars; `ahead` goes on to those after them."""
    at, offsets, begin = decisions.at, decisions.offsets, due.begin
    begin[:] = 0
    for lane in range(len(ahead)):
        row = ahead[lane]
        while row < offsets[lane + 1] and at[row] < stop:
            if at[row] - start + 1 < BLOCK:
                begin[at[row] - start + 2] += 1
            row += 1
    for k in range(1, BLOCK + 1):
        begin[k] += begin[k - 1]
    for lane in range(len(ahead)):  # begin[k + 1] runs from where those of bar k begin to where they end
        row = ahead[lane]
        while row < offsets[lane + 1] and at[row] < stop:
            k = begin[at[row] - start + 1]
            due.row[k], due.lane[k] = row, lane
            begin[at[row] - start + 1] += 1
            row += 1
        ahead[lane] = row


@uncounted
def _equity(lanes: Lanes, lane: int, mark: float) -> float:
    """Equity of a lane at a mark."""
    return float(lanes.wallet[lane] + lanes.size[lane] * (mark - lanes.entry[lane]))


@uncounted
def _mark(lanes: Lanes, t: int, mark: float, count: int, limit: float, figures: Array) -> None:
    """Mark all lanes at a close. The inner loop writes nothing, so that the compiler makes vectors of it."""
    wallet, size, entry, peak, floor = lanes.wallet, lanes.size, lanes.entry, lanes.peak, lanes.floor
    for first in range(0, len(wallet), CHUNK):
        reached = 0
        for lane in range(first, first + CHUNK):
            equity = wallet[lane] + size[lane] * (mark - entry[lane])
            reached += 1 if (equity > peak[lane]) | (equity < floor[lane]) else 0
        if reached > 0:
            for lane in range(first, min(first + CHUNK, count)):
                equity = wallet[lane] + size[lane] * (mark - entry[lane])
                if equity > peak[lane]:
                    peak[lane] = equity
                    floor[lane] = equity * lanes.worst[lane] * LENIENT
                elif equity < floor[lane]:
                    lanes.worst[lane], floor[lane] = min(lanes.worst[lane], equity / peak[lane]), equity
                    if figures[lane, HALTED_ON] < 0.0 and equity <= limit * peak[lane]:
                        figures[lane, HALTED_ON], figures[lane, HALTED_EQUITY] = t, equity


@uncounted
def _decide(
    lanes: Lanes, lane: int, price: float, mark: float, weight: float, adjust: bool, terms: LaneTerms, refused: Rows
) -> None:
    """Order what brings a lane to a weight, as the backtest does with the intents of one instrument."""
    held = lanes.size[lane]
    if weight * held > 0.0 and not adjust:  # it is there already: what still waited is called off
        lanes.out[lane], lanes.quantity[lane] = 0.0, 0.0
        return
    lanes.quantity[lane], lanes.out[lane] = 0.0, 1.0 if held != 0.0 else 0.0
    if weight == 0.0 or (weight < 0.0 and not terms.shorts):
        return
    side, equity, step = (1.0 if weight > 0.0 else -1.0), _equity(lanes, lane, mark), terms.rules[0]
    size, beside = abs(weight) * equity / price, abs(held) if weight * held > 0.0 else 0.0
    if beside != 0.0:
        left = max(size, 0.0)
        if step > 0.0:
            left = np.floor(left / step * (1.0 + 1e-12)) * step
        share = 1.0 - left / beside
        lanes.out[lane] = share if share > ROUNDING else 0.0
    if equity > 0.0 and (beside == 0.0 or size > beside):
        size -= beside
        if size > ROUNDING * beside:
            lanes.quantity[lane] = side * as_the_venue_accepts(size, price, terms.rules, refused)


@uncounted
def _act(lanes: Lanes, lane: int, t: int, bars: LaneBars, terms: LaneTerms, figures: Array) -> None:
    """Let a lane leave and enter at the open, as `account.engine.step` does with market orders."""
    out, quantity, mark = lanes.out[lane], lanes.quantity[lane], bars.mark_open[t]
    lanes.out[lane], lanes.quantity[lane], lanes.waits[lane] = 0.0, 0.0, False
    if mark <= lanes.below[lane] or mark >= lanes.above[lane]:
        lanes.doubtful[lane] = True
    if out != 0.0 and lanes.size[lane] != 0.0:
        price = bars.opened[t] * (1.0 - bars.slippage[t] if lanes.size[lane] > 0.0 else 1.0 + bars.slippage[t])
        _leave(lanes, lane, t, lanes.size[lane] * out, price, abs(price - bars.opened[t]), terms, figures)
    if quantity != 0.0:
        _enter(lanes, lane, t, quantity, bars, terms, figures)


@uncounted
def _leave(
    lanes: Lanes, lane: int, t: int, part: float, price: float, slipped: float, terms: LaneTerms, figures: Array
) -> None:
    """Take a signed part of a position off: `account.engine.leave` with isolated margin."""
    size, row = lanes.size[lane], figures[lane]
    left = size - part
    if abs(left) <= DUST * lanes.whole[lane]:
        part, left = size, 0.0
    backing = lanes.margin[lane] * (part / size)
    realised = max(part * (price - lanes.entry[lane]), -max(backing, 0.0))
    fee = min(abs(part) * price * terms.taker, max(backing + realised, 0.0))
    lanes.wallet[lane] += realised - fee
    lanes.margin[lane] *= left / size
    lanes.size[lane] = left
    lanes.life[lane] += realised - fee
    row[FEES] += fee
    row[SLIPPED] += abs(part) * slipped
    row[TRADED] += abs(part) * price
    if left == 0.0:
        pnl = lanes.life[lane]
        row[TRADES] += 1.0
        row[HELD_BARS] += t - lanes.since[lane]
        if pnl > 0.0:
            row[WON] += 1.0
            row[GAINED] += pnl
        else:
            row[LOST] -= pnl
        lanes.life[lane], lanes.entry[lane], lanes.margin[lane], lanes.whole[lane] = 0.0, 0.0, 0.0, 0.0
    _watch(lanes, lane, terms)


@uncounted
def _enter(lanes: Lanes, lane: int, t: int, quantity: float, bars: LaneBars, terms: LaneTerms, figures: Array) -> None:
    """Enter or add as far as the account can pay: `account.engine._enter` with a market order that may be cut."""
    side, quoted, size, row = 1.0 if quantity > 0.0 else -1.0, bars.opened[t], lanes.size[lane], figures[lane]
    price, share = quoted * (1.0 + side * bars.slippage[t]), 1.0 / terms.leverage + terms.taker
    wanted = affordable(abs(quantity), price, lanes.wallet[lane] - lanes.margin[lane], share, terms.order)
    quantity = side * wanted
    margin, fee, whole = wanted * price / terms.leverage, wanted * price * terms.taker, size + quantity
    refused = wanted == 0.0 or size * quantity < 0.0
    if refused or lanes.margin[lane] + margin <= maintenance(terms.tiers, abs(whole) * price):
        return
    lanes.entry[lane] = (size * lanes.entry[lane] + quantity * price) / whole if size != 0.0 else price
    if size == 0.0:
        lanes.since[lane] = t
    lanes.size[lane], lanes.whole[lane] = whole, abs(whole)
    lanes.margin[lane] += margin
    lanes.wallet[lane] -= fee
    lanes.life[lane] -= fee
    row[FEES] += fee
    row[SLIPPED] += wanted * abs(price - quoted)
    row[TRADED] += wanted * price
    if quantity * bars.funding_open[t] > 0.0:
        _fund(lanes, lane, -quantity * bars.funding_open[t], terms, figures)
    _watch(lanes, lane, terms)


@uncounted
def _fund(lanes: Lanes, lane: int, amount: float, terms: LaneTerms, figures: Array) -> None:
    """Pay or receive funding from and into the position's own margin."""
    if amount != 0.0:
        lanes.wallet[lane] += amount
        lanes.margin[lane] += amount
        lanes.life[lane] += amount
        figures[lane, FUNDING] += amount
        _watch(lanes, lane, terms)


@uncounted
def _settle(lanes: Lanes, lane: int, t: int, price: float, terms: LaneTerms, figures: Array) -> None:
    """Settle what is held at a mark, and let what waits lapse: what follows is another instrument, or nothing."""
    lanes.out[lane], lanes.quantity[lane] = 0.0, 0.0
    if lanes.size[lane] != 0.0:
        _leave(lanes, lane, t, lanes.size[lane], price, 0.0, terms, figures)


@uncounted
def _watch(lanes: Lanes, lane: int, terms: LaneTerms) -> None:
    """Write down at which marks the engine must be asked."""
    size = lanes.size[lane]
    lanes.below[lane], lanes.above[lane] = -np.inf, np.inf
    if size != 0.0:
        called = liquidated_at(terms.tiers, size, lanes.entry[lane], lanes.margin[lane])
        if size > 0.0:
            lanes.below[lane] = called
        else:
            lanes.above[lane] = called
