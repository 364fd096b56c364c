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

from virtuoso.account.engine import DUST
from virtuoso.account.margin import liquidation_price, maintenance
from virtuoso.account.state import (
    BY,
    CALLED,
    CLOSED,
    DOUBTED,
    ENTERED,
    ENTRY,
    EVENT,
    FRESH,
    HIGH,
    LAPSED,
    LEVERAGE,
    LIMIT,
    LOW,
    MAKER,
    MARGIN,
    MARK,
    MARK_CLOSE,
    OPEN,
    ORDER_SHARE,
    ORDER_STOP,
    ORDER_TARGET,
    ORDER_TRAIL,
    OUT,
    QUANTITY,
    RANK,
    REJECTED,
    RESTS,
    SHARE,
    SIZE,
    SLIPPAGE,
    STOP,
    STOPPED,
    TAKER,
    TARGET,
    TARGETED,
    TRAIL,
    WHOLE,
)
from virtuoso.jit.kernel import uncounted
from virtuoso.market.schema.columns import Array
from virtuoso.research.sweep.scores import Rows
from virtuoso.research.sweep.skip import LOW as REACHED_LOW
from virtuoso.research.sweep.skip import MARK_HIGH, MARK_LOW, Ground

SLACK = 1e-9
"""Share of price by which a liquidation is looked for too early: the step itself decides."""
E_KIND, E_SIZE, E_FEE, E_SLIPPAGE, E_REALISED, E_FUNDING, E_AMBIGUOUS = (
    (EVENT.names or ()).index(name) for name in ("kind", "size", "fee", "slippage", "realised", "funding", "ambiguous")
)


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
    size, quantity = own[SIZE], order[QUANTITY]
    if np.isnan(bar[OPEN]) or ground.bars[t, REACHED_LOW] == -np.inf:
        return False
    if size != 0.0 and _near(ground, t, size, called):
        return False
    if quantity != 0.0:
        if not np.isnan(order[LIMIT]) or (size != 0.0 and order[OUT] == 0.0):
            return False
        price = bar[OPEN] * (1.0 + (1.0 if quantity > 0.0 else -1.0) * bar[SLIPPAGE])
        margin = abs(quantity) * price / term[LEVERAGE]
        if _near(ground, t, quantity, liquidated_at(tiers, quantity, price, margin)):
            return False
    if size != 0.0:
        _leave_at_open(instant, bar, term, purse)
    order[OUT] = 0.0
    if quantity != 0.0:
        _enter(instant, bar, term, tiers, purse)
    if own[SIZE] != 0.0:
        _meet(instant, bar, term, purse, pessimistic)
    if own[SIZE] != 0.0:
        own[MARK] = bar[MARK_CLOSE]
    return True


@uncounted
def _near(ground: Ground, t: int, size: float, mark: float) -> bool:
    """Whether the marks of a bar come near to the one that liquidates."""
    return bool(ground.bars[t, MARK_LOW] <= mark if size > 0.0 else ground.bars[t, MARK_HIGH] >= mark)


@uncounted
def _leave_at_open(instant: int, bar: Array, term: Array, purse: Purse) -> None:
    """Leave where the open is at or beyond the stop, or where it was decided so."""
    own = purse.own
    stopped = (1.0 if own[SIZE] > 0.0 else -1.0) * (bar[OPEN] - own[STOP]) <= 0.0
    if stopped or purse.order[OUT] != 0.0:
        kind = float(STOPPED) if stopped else float(CLOSED)
        _leave(instant, kind, own[SIZE], bar[OPEN], bar[SLIPPAGE], term[TAKER], purse)


@uncounted
def _enter(instant: int, bar: Array, term: Array, tiers: Array, purse: Purse) -> None:
    """Enter at the open if the account can carry it; nothing is held."""
    own, order = purse.own, purse.order
    quantity = order[QUANTITY]
    side, quoted = 1.0 if quantity > 0.0 else -1.0, bar[OPEN]
    price = quoted * (1.0 + side * bar[SLIPPAGE])
    margin, fee = abs(quantity) * price / term[LEVERAGE], abs(quantity) * price * term[TAKER]
    refused = side * (quoted - order[ORDER_STOP]) <= 0.0 or margin + fee > purse.wallet[0]
    for k in range(3):
        refused = refused or (order[ORDER_SHARE + k] > 0.0 and side * (order[ORDER_TARGET + k] - price) <= 0.0)
    if refused or margin <= maintenance(tiers, abs(quantity) * price):
        _note(purse, instant, float(REJECTED), order[RANK], quantity, price, 0.0, 0.0, 0.0, 0.0)
    else:
        own[ENTRY], own[SIZE], own[WHOLE], own[FRESH] = price, quantity, abs(quantity), 0.0
        own[MARGIN], own[BY] = margin, order[RANK]
        own[STOP], own[TRAIL] = order[ORDER_STOP], order[ORDER_TRAIL]
        for k in range(3):
            own[TARGET + k] = order[ORDER_TARGET + k]
            own[SHARE + k] = order[ORDER_SHARE + k] if not np.isnan(order[ORDER_TARGET + k]) else 0.0
        purse.wallet[0] -= fee
        slipped = abs(quantity) * abs(price - quoted)
        _note(purse, instant, float(ENTERED), order[RANK], quantity, price, fee, slipped, 0.0, 0.0)
    order[QUANTITY], order[LIMIT], order[RESTS] = 0.0, np.nan, 0.0


@uncounted
def _meet(instant: int, bar: Array, term: Array, purse: Purse, pessimistic: bool) -> None:
    """Let the prices inside the bar meet targets and stop."""
    own = purse.own
    side, adverse, best = (1.0, bar[LOW], bar[HIGH]) if own[SIZE] > 0.0 else (-1.0, bar[HIGH], bar[LOW])
    stopped = side * (adverse - own[STOP]) <= 0.0
    for k in range(3):
        if own[SIZE] != 0.0 and own[SHARE + k] > 0.0 and side * (best - own[TARGET + k]) >= 0.0:
            if stopped:
                own[DOUBTED] = 1.0
            if not pessimistic or not stopped:
                part = side * min(own[SHARE + k] * own[WHOLE], abs(own[SIZE]))
                own[SHARE + k] = 0.0
                _leave(instant, float(TARGETED), part, own[TARGET + k], 0.0, term[MAKER], purse)
    if own[SIZE] != 0.0 and stopped:
        price = side * min(side * own[STOP], side * bar[OPEN])
        _leave(instant, float(STOPPED), own[SIZE], price, bar[SLIPPAGE], term[TAKER], purse)


@uncounted
def _leave(
    instant: int, kind: float, part: float, quoted: float, slippage: float, fee_rate: float, purse: Purse
) -> None:
    """Take a signed part of the position off; it loses at most its margin, fee included."""
    own, wallet = purse.own, purse.wallet
    price = quoted * (1.0 - slippage if own[SIZE] > 0.0 else 1.0 + slippage)
    left = own[SIZE] - part
    if abs(left) <= DUST * own[WHOLE]:
        part, left = own[SIZE], 0.0
    backing = own[MARGIN] * (part / own[SIZE])
    realised = max(part * (price - own[ENTRY]), -max(backing, 0.0))
    fee = min(abs(part) * price * fee_rate, max(backing + realised, 0.0))
    wallet[0] += realised - fee
    own[MARGIN] *= left / own[SIZE]
    own[SIZE] = left
    slipped = abs(part) * abs(price - quoted)
    _note(purse, instant, kind, own[BY], -part, price, fee, slipped, realised, own[DOUBTED])
    if left == 0.0:
        own[:] = 0.0
        own[STOP], own[TRAIL], own[CALLED] = np.nan, np.nan, np.nan


@uncounted
def lapse_entry(instant: int, purse: Purse) -> None:
    """Let what waits to enter lapse, as `contract.lapse_entries` does; a way out stays."""
    order = purse.order
    if order[QUANTITY] != 0.0:
        _note(purse, instant, float(LAPSED), order[RANK], 0.0, order[LIMIT], 0.0, 0.0, 0.0, 0.0)
        order[QUANTITY], order[LIMIT], order[RESTS] = 0.0, np.nan, 0.0


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
