"""What an ordinary bar does to one isolated position: the arithmetic of `contract.step` where little can happen.

Ordinary is a bar that is known and settles no funding, whose marks stay away from liquidation, and at whose open
nothing but a market order waits. Then the order of things is short: what is held leaves at the open if the open lies
beyond its stop or it was decided so; a market order enters; targets are met inside the bar, and the stop.

`ordinary` does all of a bar or nothing of it. Where it refuses, `contract.step` is asked; where both could answer they
answer with the same bits, events included, and tests hold them against each other on random bars.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.engine import DUST
from virtuoso.account.margin import liquidation_price, maintenance
from virtuoso.jit.kernel import uncounted
from virtuoso.research.sweep.scores import Rows
from virtuoso.research.sweep.skip import LOW as REACHED_LOW
from virtuoso.research.sweep.skip import MARK_HIGH, MARK_LOW, Ground
from virtuoso.types import Array

SLACK = 1e-9
"""Share of price by which a liquidation is looked for too early: the step itself decides."""


class Purse(NamedTuple):
    """The books of one account that trades one instrument; see `Books`.

    Attributes
    ----------
    own : Array, shape (POSITION_COLUMNS,)
    order : Array, shape (ORDER_COLUMNS,)
    wallet : Array, quote currency, shape (1,)
    events : Array, shape (room, EVENT_COLUMNS)
    written : array of int64, shape (1,)
    """

    own: Array
    order: Array
    wallet: Array
    events: Array
    written: Rows


@uncounted
def liquidated_at(tiers: Array, size: float, entry: float, margin: float) -> float:
    """Mark at which a position may be liquidated, a little too early; one that is never reached where there is none."""
    price = liquidation_price(tiers, size, entry, margin, 0.0)
    if np.isnan(price):
        return -np.inf if size > 0.0 else np.inf
    return price * (1.0 + SLACK) if size > 0.0 else price * (1.0 - SLACK)


@uncounted
def ordinary(
    instant: int, t: int, ground: Ground, bars: Array, term: Array, tiers: Array, called: float, purse: Purse,
    pessimistic: bool,
) -> bool:  # fmt: skip
    """Let one bar act on an account if it is ordinary; says whether it was.

    Parameters
    ----------
    instant, t : int
        Number and position of the bar.
    ground : Ground
    bars : Array, shape (n_bars, 1, BAR_COLUMNS)
    term : Array, shape (TERM_COLUMNS,)
    tiers : Array, shape (3, n_tiers)
    called : float
        Mark at which what is held may be liquidated.
    purse : Purse
        Changed, or left as it is.
    pessimistic : bool
    """
    own, order, bar = purse.own, purse.order, bars[t, 0]
    size, quantity = own[s.SIZE], order[s.QUANTITY]
    if np.isnan(bar[s.OPEN]) or ground.bars[t, REACHED_LOW] == -np.inf:
        return False
    if size != 0.0 and _near(ground, t, size, called):
        return False
    if quantity != 0.0:
        if not np.isnan(order[s.LIMIT]) or (size != 0.0 and order[s.CLOSE_FIRST] == 0.0):
            return False
        price = bar[s.OPEN] * (1.0 + (1.0 if quantity > 0.0 else -1.0) * bar[s.SLIPPAGE])
        margin = abs(quantity) * price / term[s.LEVERAGE]
        if _near(ground, t, quantity, liquidated_at(tiers, quantity, price, margin)):
            return False
    if size != 0.0:
        _leave_at_open(instant, bar, term, purse)
    order[s.CLOSE_FIRST] = 0.0
    if quantity != 0.0:
        _enter(instant, bar, term, tiers, purse)
    if own[s.SIZE] != 0.0:
        _meet(instant, bar, term, purse, pessimistic)
    if own[s.SIZE] != 0.0:
        own[s.MARK] = bar[s.MARK_CLOSE]
    return True


@uncounted
def _near(ground: Ground, t: int, size: float, mark: float) -> bool:
    """Whether the marks of a bar come near to the one that liquidates."""
    return bool(ground.bars[t, MARK_LOW] <= mark if size > 0.0 else ground.bars[t, MARK_HIGH] >= mark)


@uncounted
def _leave_at_open(instant: int, bar: Array, term: Array, purse: Purse) -> None:
    """Leave where the open is at or beyond the stop, or where it was decided so."""
    own = purse.own
    stopped = (1.0 if own[s.SIZE] > 0.0 else -1.0) * (bar[s.OPEN] - own[s.STOP]) <= 0.0
    if stopped or purse.order[s.CLOSE_FIRST] != 0.0:
        kind = float(r.STOPPED) if stopped else float(r.CLOSED)
        _leave(instant, kind, own[s.SIZE], bar[s.OPEN], bar[s.SLIPPAGE], term[s.TAKER], purse)


@uncounted
def _enter(instant: int, bar: Array, term: Array, tiers: Array, purse: Purse) -> None:
    """Enter at the open if the account can carry it; nothing is held."""
    own, order = purse.own, purse.order
    quantity = order[s.QUANTITY]
    side, quoted = 1.0 if quantity > 0.0 else -1.0, bar[s.OPEN]
    price = quoted * (1.0 + side * bar[s.SLIPPAGE])
    margin, fee = abs(quantity) * price / term[s.LEVERAGE], abs(quantity) * price * term[s.TAKER]
    refused = side * (quoted - order[s.ORDER_STOP]) <= 0.0 or margin + fee > purse.wallet[0]
    for k in range(3):
        refused = refused or (order[s.ORDER_SHARE + k] > 0.0 and side * (order[s.ORDER_TARGET + k] - price) <= 0.0)
    if refused or margin <= maintenance(tiers, abs(quantity) * price):
        _note(purse, instant, float(r.REJECTED), order[s.RANK], quantity, price, 0.0, 0.0, 0.0, 0.0)
    else:
        own[s.ENTRY], own[s.SIZE], own[s.MAX_SIZE], own[s.FILLED_INTRABAR] = price, quantity, abs(quantity), 0.0
        own[s.MARGIN], own[s.ENTRY_ORDER] = margin, order[s.RANK]
        own[s.STOP], own[s.TRAIL] = order[s.ORDER_STOP], order[s.ORDER_TRAIL]
        for k in range(3):
            own[s.TARGET + k] = order[s.ORDER_TARGET + k]
            own[s.SHARE + k] = order[s.ORDER_SHARE + k] if not np.isnan(order[s.ORDER_TARGET + k]) else 0.0
        purse.wallet[0] -= fee
        slipped = abs(quantity) * abs(price - quoted)
        _note(purse, instant, float(r.ENTERED), order[s.RANK], quantity, price, fee, slipped, 0.0, 0.0)
    order[s.QUANTITY], order[s.LIMIT], order[s.RESTED] = 0.0, np.nan, 0.0


@uncounted
def _meet(instant: int, bar: Array, term: Array, purse: Purse, pessimistic: bool) -> None:
    """Let the prices inside the bar meet targets and stop."""
    own = purse.own
    side, adverse, best = (1.0, bar[s.LOW], bar[s.HIGH]) if own[s.SIZE] > 0.0 else (-1.0, bar[s.HIGH], bar[s.LOW])
    stopped = side * (adverse - own[s.STOP]) <= 0.0
    for k in range(3):
        if own[s.SIZE] != 0.0 and own[s.SHARE + k] > 0.0 and side * (best - own[s.TARGET + k]) >= 0.0:
            if stopped:
                own[s.AMBIGUOUS] = 1.0
            if not pessimistic or not stopped:
                part = side * min(own[s.SHARE + k] * own[s.MAX_SIZE], abs(own[s.SIZE]))
                own[s.SHARE + k] = 0.0
                _leave(instant, float(r.TARGETED), part, own[s.TARGET + k], 0.0, term[s.MAKER], purse)
    if own[s.SIZE] != 0.0 and stopped:
        price = side * min(side * own[s.STOP], side * bar[s.OPEN])
        _leave(instant, float(r.STOPPED), own[s.SIZE], price, bar[s.SLIPPAGE], term[s.TAKER], purse)


@uncounted
def _leave(
    instant: int, kind: float, part: float, quoted: float, slippage: float, fee_rate: float, purse: Purse
) -> None:
    """Take a signed part of the position off; it loses at most its margin, fee included."""
    own, wallet = purse.own, purse.wallet
    price = quoted * (1.0 - slippage if own[s.SIZE] > 0.0 else 1.0 + slippage)
    left = own[s.SIZE] - part
    if abs(left) <= DUST * own[s.MAX_SIZE]:
        part, left = own[s.SIZE], 0.0
    backing = own[s.MARGIN] * (part / own[s.SIZE])
    realised = max(part * (price - own[s.ENTRY]), -max(backing, 0.0))
    fee = min(abs(part) * price * fee_rate, max(backing + realised, 0.0))
    wallet[0] += realised - fee
    own[s.MARGIN] *= left / own[s.SIZE]
    own[s.SIZE] = left
    slipped = abs(part) * abs(price - quoted)
    _note(purse, instant, kind, own[s.ENTRY_ORDER], -part, price, fee, slipped, realised, own[s.AMBIGUOUS])
    if left == 0.0:
        own[:] = 0.0
        own[s.STOP], own[s.TRAIL], own[s.LIQ_PRICE] = np.nan, np.nan, np.nan


@uncounted
def lapse_entry(instant: int, purse: Purse) -> None:
    """Let what waits to enter lapse, as `contract.lapse_entries` does; a way out stays."""
    order = purse.order
    if order[s.QUANTITY] != 0.0:
        _note(purse, instant, float(r.LAPSED), order[s.RANK], 0.0, order[s.LIMIT], 0.0, 0.0, 0.0, 0.0)
        order[s.QUANTITY], order[s.LIMIT], order[s.RESTED] = 0.0, np.nan, 0.0


@uncounted
def _note(
    purse: Purse, instant: int, kind: float, by: float, size: float, price: float, fee: float, slippage: float,
    realised: float, ambiguous: float,
) -> None:  # fmt: skip
    """Write an event of the one instrument, or only count it where there is no room."""
    row = purse.written[0]
    purse.written[0] = row + 1
    if row >= len(purse.events):
        return
    event = purse.events[row]
    event[0], event[1], event[2], event[3], event[4], event[5] = instant, 0.0, kind, by, size, price
    event[6], event[7], event[8], event[9], event[10], event[11] = (
        fee, slippage, realised, 0.0, purse.wallet[0], ambiguous,
    )  # fmt: skip
