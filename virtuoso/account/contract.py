"""The contract: what one bar does to an account of linear perpetuals. Spot is leverage 1, long only, no funding.

The only place where money moves: portfolio backtest, paper broker and simulated exchange all call `step`. One bar, in
this order:

1. Funding that settles at the open is paid by what was held before it.
2. A mark beyond the liquidation price at the open liquidates, even where a stop existed.
3. A stop that the open is beyond fills at the open; not at the stop.
4. Orders decided at the close before act at the open: ways out first, then entries. A limit that the open is beyond
   fills at the open. What is entered at the instant of a settlement pays it where that costs, and never receives it.
5. Funding that settles inside the bar is paid at once where it costs, and received only by what is still held at the
   close.
6. Inside the bar the order of prices is not known. Pessimistic: a limit entry fills only where price trades through
   it; what is adverse comes first, the nearer of stop and liquidation; a target counts on the bar of a limit entry only
   if the close lies beyond it. Optimistic: targets come first. Where the two differ the bar is `ambiguous`.
7. At the close trailing stops follow the extreme of the bar, and orders that have waited long enough lapse; a way out
   waits for the next bar that is known.

Stops and market orders pay the taker fee and slippage, against us always; limits and targets pay the maker fee and
fill at their price. equity = wallet + unrealised at the mark, and wallet = cash + realised + funding - fees, after
every event. Arrays and numba only; portfolio.py gives names to what comes out.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.account.margin import liquidation_price, maintenance

Array = NDArray[np.float64]

# columns of a position, one row an instrument
SIZE, ENTRY, MARGIN, STOP, TRAIL, WHOLE = range(6)
"""Signed size; average entry price; margin set aside (isolated); stop price; distance a stop trails; largest size."""
TARGET, SHARE = 6, 9
"""First of three target prices and of the shares of the whole that leave there."""
POSITION_COLUMNS = 12

# columns of an order, one row an instrument; all zero or NaN is no order
OUT, QUANTITY, LIMIT, EXPIRES, ORDER_STOP, ORDER_TRAIL = range(6)
"""Whether to close first; signed size to enter; limit price or NaN for market; last instant of a limit; bracket."""
ORDER_TARGET, ORDER_SHARE = 6, 9
ORDER_COLUMNS = 12

# columns of a bar, one row an instrument
OPEN, HIGH, LOW, CLOSE, MARK_OPEN, MARK_HIGH, MARK_LOW, MARK_CLOSE, SLIPPAGE, FUNDING_OPEN, FUNDING_INSIDE = range(11)
"""Prices, NaN where the bar is not known; slippage as a share of price; funding rate x mark price, summed."""
BAR_COLUMNS = 11

# columns of the terms, one row an instrument
MAKER, TAKER, LIQUIDATION_FEE, LEVERAGE = range(4)
TERM_COLUMNS = 4

# kinds of events
ENTERED, CLOSED, STOPPED, TARGETED, LIQUIDATED, FUNDED, LAPSED, REJECTED = range(8)
KINDS = ("entry", "signal", "stop", "target", "liquidation", "funding", "lapsed", "rejected")

EVENT = np.dtype(
    [
        ("instant", np.int64),
        ("instrument", np.int64),
        ("kind", np.int8),
        ("size", np.float64),  # signed change of the position, base currency
        ("price", np.float64),  # of the fill, slippage included
        ("fee", np.float64),  # quote currency
        ("slippage", np.float64),  # quote currency, against the price without it
        ("realised", np.float64),  # quote currency, without fee
        ("funding", np.float64),  # quote currency, received if positive
        ("wallet", np.float64),  # quote currency, afterwards
        ("ambiguous", np.bool_),
    ]
)
"""One row an event."""

DUST = 1e-12
"""Share of the whole position below which what is left is nothing."""


@njit(cache=True)
def step(
    instant: int, bars: Array, orders: Array, positions: Array, terms: Array, tiers: Array, wallet: Array,
    isolated: bool, pessimistic: bool, events: np.ndarray, n: int,
) -> int:  # fmt: skip
    """Let one bar act on an account.

    Parameters
    ----------
    instant : int
        Number of the bar.
    bars : Array, shape (n_instruments, BAR_COLUMNS)
    orders : Array, shape (n_instruments, ORDER_COLUMNS)
        Decided at the close before; limits that still wait stay in it, everything else is taken out.
    positions : Array, shape (n_instruments, POSITION_COLUMNS)
        Changed.
    terms : Array, shape (n_instruments, TERM_COLUMNS)
    tiers : Array, shape (n_instruments, 3, n_tiers)
    wallet : Array, shape (1,)
        Changed.
    isolated : bool
        Margin mode; else cross.
    pessimistic : bool
        Which order of prices is assumed inside the bar.
    events : array of EVENT
        With room for 12 events an instrument.
    n : int
        Events so far.

    Returns
    -------
    int
        Events, those of this bar included.
    """
    for i in range(len(bars)):
        if np.isnan(bars[i, OPEN]):
            continue
        n = _at_open(instant, i, bars, orders, positions, terms, tiers, wallet, isolated, events, n)
    for i in range(len(bars)):
        if not np.isnan(bars[i, OPEN]):
            n = _inside(instant, i, bars, orders, positions, terms, tiers, wallet, isolated, pessimistic, events, n)
            _at_close(i, bars, positions)
        if orders[i, QUANTITY] != 0.0 and instant >= orders[i, EXPIRES]:
            n = _note(events, n, instant, i, LAPSED, 0.0, orders[i, LIMIT], 0.0, 0.0, 0.0, 0.0, wallet[0], False)
            orders[i, QUANTITY] = 0.0
    return n


@njit(cache=True)
def unrealised(positions: Array, bars: Array, column: int) -> float:
    """Profit of all positions at a mark price; what has no price counts at its entry."""
    total = 0.0
    for i in range(len(positions)):
        price = bars[i, column]
        if positions[i, SIZE] != 0.0 and not np.isnan(price):
            total += positions[i, SIZE] * (price - positions[i, ENTRY])
    return total


@njit(cache=True)
def _at_open(
    instant: int, i: int, bars: Array, orders: Array, positions: Array, terms: Array, tiers: Array, wallet: Array,
    isolated: bool, events: np.ndarray, n: int,
) -> int:  # fmt: skip
    """Everything that happens at the first price of the bar."""
    bar, own, order = bars[i], positions[i], orders[i]
    if own[SIZE] != 0.0:
        n = _fund(instant, i, -own[SIZE] * bar[FUNDING_OPEN], own, wallet, isolated, events, n)
        price = _liquidation(i, bars, positions, tiers, wallet, isolated, MARK_OPEN, MARK_OPEN)
        if own[SIZE] * (bar[MARK_OPEN] - price) <= 0.0:
            n = _liquidate(instant, i, price, own, terms[i], wallet, isolated, events, n)
        elif own[SIZE] * (bar[OPEN] - own[STOP]) <= 0.0:
            n = _leave(instant, i, STOPPED, own[SIZE], bar[OPEN], bar[SLIPPAGE], terms[i, TAKER], own, wallet, False,
                       events, n)  # fmt: skip
    if order[OUT] != 0.0:
        if own[SIZE] != 0.0:
            n = _leave(instant, i, CLOSED, own[SIZE], bar[OPEN], bar[SLIPPAGE], terms[i, TAKER], own, wallet, False,
                       events, n)  # fmt: skip
        order[OUT] = 0.0
    if order[QUANTITY] != 0.0:
        side = 1.0 if order[QUANTITY] > 0.0 else -1.0
        if np.isnan(order[LIMIT]) or side * (order[LIMIT] - bar[OPEN]) >= 0.0:
            paid = bar[OPEN] * (1.0 + side * bar[SLIPPAGE])
            if not np.isnan(order[LIMIT]):
                paid = side * min(side * paid, side * order[LIMIT])
            n = _enter(instant, i, paid, bar[OPEN], terms[i, TAKER], orders, positions, terms, wallet, isolated, events,
                       n)  # fmt: skip
            if own[SIZE] != 0.0:
                due = -own[SIZE] * bar[FUNDING_OPEN]
                if due < 0.0 and events[n - 1]["kind"] == ENTERED:
                    n = _fund(instant, i, due, own, wallet, isolated, events, n)
    return n


@njit(cache=True)
def _inside(
    instant: int, i: int, bars: Array, orders: Array, positions: Array, terms: Array, tiers: Array, wallet: Array,
    isolated: bool, pessimistic: bool, events: np.ndarray, n: int,
) -> int:  # fmt: skip
    """Everything that happens between open and close."""
    bar, own, order = bars[i], positions[i], orders[i]
    entered_inside = False
    if order[QUANTITY] != 0.0 and not np.isnan(order[LIMIT]):
        side = 1.0 if order[QUANTITY] > 0.0 else -1.0
        extreme = bar[LOW] if side > 0.0 else bar[HIGH]
        if side * (order[LIMIT] - extreme) > 0.0:
            n = _enter(instant, i, order[LIMIT], order[LIMIT], terms[i, MAKER], orders, positions, terms, wallet,
                       isolated, events, n)  # fmt: skip
            entered_inside = events[n - 1]["kind"] == ENTERED
    if own[SIZE] == 0.0:
        return n
    due = -own[SIZE] * bar[FUNDING_INSIDE]
    if due < 0.0:
        n = _fund(instant, i, due, own, wallet, isolated, events, n)

    side = 1.0 if own[SIZE] > 0.0 else -1.0
    adverse, mark_adverse = (LOW, MARK_LOW) if side > 0.0 else (HIGH, MARK_HIGH)
    best = bar[HIGH] if side > 0.0 else bar[LOW]
    price = _liquidation(i, bars, positions, tiers, wallet, isolated, mark_adverse, -1)
    liquidated = side * (bar[mark_adverse] - price) <= 0.0
    stopped = side * (bar[adverse] - own[STOP]) <= 0.0
    if liquidated and stopped and side * (own[STOP] - price) > 0.0:
        liquidated = False  # the stop lies nearer, so it was met first
    reached = _targets_reached(own, side, best)
    certain = _targets_reached(own, side, bar[CLOSE]) if entered_inside else reached
    lost = liquidated or stopped
    ambiguous = (lost and reached > 0) or reached != certain
    if not lost or not pessimistic:
        n = _take_targets(instant, i, certain if pessimistic else reached, own, terms[i], wallet, ambiguous, events, n)
    if own[SIZE] != 0.0 and liquidated:
        n = _liquidate(instant, i, price, own, terms[i], wallet, isolated, events, n)
        events[n - 1]["ambiguous"] = ambiguous
    elif own[SIZE] != 0.0 and stopped:
        # an entry inside the bar, or an open between stop and entry, cannot fill better than the stop
        n = _leave(instant, i, STOPPED, own[SIZE], own[STOP], bar[SLIPPAGE], terms[i, TAKER], own, wallet, ambiguous,
                   events, n)  # fmt: skip
    if own[SIZE] != 0.0 and -own[SIZE] * bar[FUNDING_INSIDE] > 0.0:
        n = _fund(instant, i, -own[SIZE] * bar[FUNDING_INSIDE], own, wallet, isolated, events, n)
    return n


@njit(cache=True)
def _at_close(i: int, bars: Array, positions: Array) -> None:
    """Let a trailing stop follow the extreme of the bar; it counts from the next bar on."""
    own = positions[i]
    if own[SIZE] == 0.0 or np.isnan(own[TRAIL]):
        return
    if own[SIZE] > 0.0:
        raised = bars[i, HIGH] - own[TRAIL]
        own[STOP] = raised if np.isnan(own[STOP]) else max(own[STOP], raised)
    else:
        lowered = bars[i, LOW] + own[TRAIL]
        own[STOP] = lowered if np.isnan(own[STOP]) else min(own[STOP], lowered)


@njit(cache=True)
def _liquidation(
    i: int, bars: Array, positions: Array, tiers: Array, wallet: Array, isolated: bool, column: int, others_at: int
) -> float:
    """Mark price that liquidates a position, not better than the bar's own open; NaN where none does.

    With cross margin the other positions stand at the column `others_at` of their bars; at -1 each at the extreme that
    is adverse to it.
    """
    own = positions[i]
    if isolated:
        return liquidation_price(tiers[i], own[SIZE], own[ENTRY], own[MARGIN], 0.0)
    others = 0.0
    for k in range(len(positions)):
        size = positions[k, SIZE]
        if k == i or size == 0.0:
            continue
        at = others_at if others_at >= 0 else (MARK_LOW if size > 0.0 else MARK_HIGH)
        mark = bars[k, at] if not np.isnan(bars[k, at]) else positions[k, ENTRY]
        others += size * (mark - positions[k, ENTRY]) - maintenance(tiers[k], abs(size) * mark)
    price = liquidation_price(tiers[i], own[SIZE], own[ENTRY], wallet[0], others)
    if column != MARK_OPEN and own[SIZE] * (bars[i, MARK_OPEN] - price) < 0.0:
        return float(bars[i, MARK_OPEN])  # the others have drawn the price past this bar's open
    return price


@njit(cache=True)
def _targets_reached(own: Array, side: float, price: float) -> int:
    """How many of the targets that are left a price lies at or beyond."""
    reached = 0
    for k in range(3):
        if own[SHARE + k] > 0.0 and side * (price - own[TARGET + k]) >= 0.0:
            reached += 1
    return reached


@njit(cache=True)
def _take_targets(
    instant: int, i: int, reached: int, own: Array, term: Array, wallet: Array, ambiguous: bool, events: np.ndarray,
    n: int,
) -> int:  # fmt: skip
    """Take the share of the nearest targets off."""
    for k in range(3):
        if reached == 0 or own[SIZE] == 0.0:
            break
        if own[SHARE + k] > 0.0:
            side = 1.0 if own[SIZE] > 0.0 else -1.0
            part = side * min(own[SHARE + k] * own[WHOLE], abs(own[SIZE]))
            n = _leave(instant, i, TARGETED, part, own[TARGET + k], 0.0, term[MAKER], own, wallet, ambiguous, events, n)
            own[SHARE + k] = 0.0
            reached -= 1
    return n


@njit(cache=True)
def _enter(
    instant: int, i: int, price: float, quoted: float, fee_rate: float, orders: Array, positions: Array, terms: Array,
    wallet: Array, isolated: bool, events: np.ndarray, n: int,
) -> int:  # fmt: skip
    """Enter or add at a price, if the wallet covers margin and fee and the stop is still on the losing side."""
    own, order = positions[i], orders[i]
    quantity = order[QUANTITY]
    side = 1.0 if quantity > 0.0 else -1.0
    margin, fee = abs(quantity) * price / terms[i, LEVERAGE], abs(quantity) * price * fee_rate
    set_aside = 0.0
    for k in range(len(positions)):
        set_aside += positions[k, MARGIN]
    against = own[SIZE] * quantity < 0.0
    beyond = side * (price - order[ORDER_STOP]) <= 0.0
    if against or beyond or margin + fee > wallet[0] - set_aside:
        n = _note(events, n, instant, i, REJECTED, quantity, price, 0.0, 0.0, 0.0, 0.0, wallet[0], False)
        _forget(order)
        return n
    size = own[SIZE] + quantity
    own[ENTRY] = (own[SIZE] * own[ENTRY] + quantity * price) / size if own[SIZE] != 0.0 else price
    own[SIZE] = size
    own[MARGIN] += margin
    own[WHOLE] = abs(size)
    own[STOP], own[TRAIL] = order[ORDER_STOP], order[ORDER_TRAIL]
    for k in range(3):
        own[TARGET + k] = order[ORDER_TARGET + k]
        own[SHARE + k] = order[ORDER_SHARE + k] if not np.isnan(order[ORDER_TARGET + k]) else 0.0
    wallet[0] -= fee
    slipped = abs(quantity) * abs(price - quoted)
    n = _note(events, n, instant, i, ENTERED, quantity, price, fee, slipped, 0.0, 0.0, wallet[0], False)
    _forget(order)
    return n


@njit(cache=True)
def _leave(
    instant: int, i: int, kind: int, part: float, quoted: float, slippage: float, fee_rate: float, own: Array,
    wallet: Array, ambiguous: bool, events: np.ndarray, n: int,
) -> int:  # fmt: skip
    """Take a signed part of a position off."""
    side = 1.0 if own[SIZE] > 0.0 else -1.0
    price = quoted * (1.0 - side * slippage)
    left = own[SIZE] - part
    if abs(left) <= DUST * own[WHOLE]:
        part, left = own[SIZE], 0.0
    fee, realised = abs(part) * price * fee_rate, part * (price - own[ENTRY])
    wallet[0] += realised - fee
    own[MARGIN] *= abs(left) / abs(own[SIZE])
    own[SIZE] = left
    slipped = abs(part) * abs(price - quoted)
    n = _note(events, n, instant, i, kind, -part, price, fee, slipped, realised, 0.0, wallet[0], ambiguous)
    if left == 0.0:
        _clear(own)
    return n


@njit(cache=True)
def _liquidate(
    instant: int, i: int, price: float, own: Array, term: Array, wallet: Array, isolated: bool, events: np.ndarray,
    n: int,
) -> int:  # fmt: skip
    """Close a position at its liquidation price; what it loses, fee included, never exceeds what backs it."""
    size = own[SIZE]
    backing = max(own[MARGIN] if isolated else wallet[0], 0.0)
    realised = max(size * (price - own[ENTRY]), -backing)
    fee = max(min(abs(size) * price * term[LIQUIDATION_FEE], backing + realised), 0.0)
    wallet[0] += realised - fee
    n = _note(events, n, instant, i, LIQUIDATED, -size, price, fee, 0.0, realised, 0.0, wallet[0], False)
    _clear(own)
    return n


@njit(cache=True)
def _fund(
    instant: int, i: int, amount: float, own: Array, wallet: Array, isolated: bool, events: np.ndarray, n: int
) -> int:
    """Pay or receive funding; an isolated position pays from, and receives into, its own margin."""
    if amount == 0.0:
        return n
    wallet[0] += amount
    if isolated:
        own[MARGIN] += amount
    return _note(events, n, instant, i, FUNDED, 0.0, np.nan, 0.0, 0.0, 0.0, amount, wallet[0], False)


@njit(cache=True)
def _note(
    events: np.ndarray, n: int, instant: int, i: int, kind: int, size: float, price: float, fee: float,
    slippage: float, realised: float, funding: float, wallet: float, ambiguous: bool,
) -> int:  # fmt: skip
    """Write an event."""
    event = events[n]
    event["instant"], event["instrument"], event["kind"] = instant, i, kind
    event["size"], event["price"], event["fee"], event["slippage"] = size, price, fee, slippage
    event["realised"], event["funding"], event["wallet"], event["ambiguous"] = realised, funding, wallet, ambiguous
    return n + 1


@njit(cache=True)
def _forget(order: Array) -> None:
    """Take an order out."""
    order[:] = 0.0
    order[LIMIT] = np.nan


@njit(cache=True)
def _clear(own: Array) -> None:
    """Make a position none."""
    own[:] = 0.0
    own[STOP], own[TRAIL] = np.nan, np.nan


@njit(cache=True)
def no_positions(instruments: int) -> Array:
    """Give the positions of an account that holds nothing, shape (instruments, POSITION_COLUMNS)."""
    positions = np.zeros((instruments, POSITION_COLUMNS))
    positions[:, STOP] = np.nan
    positions[:, TRAIL] = np.nan
    return positions


@njit(cache=True)
def no_orders(instruments: int) -> Array:
    """Give the orders of an instant without any, shape (instruments, ORDER_COLUMNS)."""
    orders = np.zeros((instruments, ORDER_COLUMNS))
    orders[:, LIMIT] = np.nan
    return orders
