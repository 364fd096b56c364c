"""What an ordinary bar does to one isolated position: `engine.step` without the detours, where little can happen.

An ordinary bar is known and settles no funding, its marks stay away from liquidation, and at its open nothing but a
market order waits. Then the order of events is short: what is held leaves at the open if the open lies beyond its stop
or it was decided so; a market order enters; targets are met inside the bar, and the stop.

`ordinary` does all of a bar or nothing of it; what it does not, `engine.step` does. Money moves in the same functions
of the engine (`fill`, `leave`); when they are called is said here once more, and a test on random bars and accounts
holds both against each other, bit for bit.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.engine import affordable, fill, leave, note, take_entry_out
from virtuoso.account.margin import liquidation_price, maintenance
from virtuoso.account.state import Books
from virtuoso.jit.kernel import uncounted
from virtuoso.research.sweep.skip import LOW as REACHED_LOW
from virtuoso.research.sweep.skip import MARK_HIGH, MARK_LOW, BarSummaries
from virtuoso.types import Array

ONLY = cast(int, np.int64(0))
"""Row of the one instrument; a literal 0 would be a type of its own, and be compiled once more."""
SLACK = 1e-9
"""Share of price by which a liquidation is looked for too early: the step itself decides."""


@uncounted
def liquidated_at(tiers: Array, size: float, entry: float, margin: float) -> float:
    """Mark at which a position may be liquidated, a little too early; one that is never reached where there is none."""
    price = liquidation_price(tiers, size, entry, margin, 0.0)
    if np.isnan(price):
        return -np.inf if size > 0.0 else np.inf
    return price * (1.0 + SLACK) if size > 0.0 else price * (1.0 - SLACK)


@uncounted
def ordinary(
    instant: int, t: int, summaries: BarSummaries, bars: Array, term: Array, tiers: Array, called: float, books: Books,
    pessimistic: bool,
) -> bool:  # fmt: skip
    """Let one bar act on an account if it is ordinary; says whether it was.

    Parameters
    ----------
    instant, t : int
        Number and position of the bar.
    summaries : BarSummaries
    bars : Array, shape (n_bars, 1, BAR_COLUMNS)
    term : Array, shape (TERM_COLUMNS,)
    tiers : Array, shape (3, n_tiers)
    called : float
        Mark at which what is held may be liquidated.
    books : Books
        Of one account that trades one instrument; changed, or left as it is.
    pessimistic : bool
    """
    own, order, bar = books.positions[0], books.orders[0], bars[t, 0]
    size, quantity = own[s.SIZE], order[s.QUANTITY]
    if np.isnan(bar[s.OPEN]) or summaries.bars[t, REACHED_LOW] == -np.inf:
        return False
    if size != 0.0 and _near(summaries, t, size, called):
        return False
    if quantity != 0.0:
        if not np.isnan(order[s.LIMIT]) or (size != 0.0 and order[s.CLOSE_FIRST] == 0.0):
            return False
        price = bar[s.OPEN] * (1.0 + (1.0 if quantity > 0.0 else -1.0) * bar[s.SLIPPAGE])
        margin = abs(quantity) * price / term[s.LEVERAGE]
        if _near(summaries, t, quantity, liquidated_at(tiers, quantity, price, margin)):
            return False
    if size != 0.0:
        _leave_at_open(instant, bar, term, books)
    order[s.CLOSE_FIRST] = 0.0
    if quantity != 0.0:
        _enter(instant, bar, term, tiers, books)
    if own[s.SIZE] != 0.0:
        _meet(instant, bar, term, books, pessimistic)
    if own[s.SIZE] != 0.0:
        own[s.MARK] = bar[s.MARK_CLOSE]
    return True


@uncounted
def _near(summaries: BarSummaries, t: int, size: float, mark: float) -> bool:
    """Whether the marks of a bar come near to the one that liquidates."""
    return bool(summaries.bars[t, MARK_LOW] <= mark if size > 0.0 else summaries.bars[t, MARK_HIGH] >= mark)


@uncounted
def _leave_at_open(instant: int, bar: Array, term: Array, books: Books) -> None:
    """Leave where the open is at or beyond the stop, or where it was decided so."""
    own = books.positions[0]
    stopped = (1.0 if own[s.SIZE] > 0.0 else -1.0) * (bar[s.OPEN] - own[s.STOP]) <= 0.0
    if stopped or books.orders[0, s.CLOSE_FIRST] != 0.0:
        kind = float(r.STOPPED) if stopped else float(r.CLOSED)
        leave(instant, ONLY, kind, own[s.SIZE], bar[s.OPEN], bar[s.SLIPPAGE], term[s.TAKER], books, True)


@uncounted
def _enter(instant: int, bar: Array, term: Array, tiers: Array, books: Books) -> None:
    """Enter at the open if the account can carry it; nothing is held."""
    own, order = books.positions[0], books.orders[0]
    quantity = order[s.QUANTITY]
    side, quoted = 1.0 if quantity > 0.0 else -1.0, bar[s.OPEN]
    price, fitted = quoted * (1.0 + side * bar[s.SLIPPAGE]), order[s.FITTED] == 1.0
    if fitted:
        share = 1.0 / term[s.LEVERAGE] + term[s.TAKER]
        quantity = side * affordable(abs(quantity), price, books.wallet[0], share, order)
    margin, fee = abs(quantity) * price / term[s.LEVERAGE], abs(quantity) * price * term[s.TAKER]
    refused = quantity == 0.0 or (not fitted and margin + fee > books.wallet[0])
    refused = refused or side * (quoted - order[s.ORDER_STOP]) <= 0.0
    for k in range(3):
        refused = refused or (order[s.ORDER_SHARE + k] > 0.0 and side * (order[s.ORDER_TARGET + k] - price) <= 0.0)
    if refused or margin <= maintenance(tiers, abs(quantity) * price):
        missing = order[s.QUANTITY]
        note(books, instant, ONLY, float(r.REJECTED), order[s.RANK], missing, price, 0.0, 0.0, 0.0, 0.0, 0.0)
        take_entry_out(order)
    else:
        if quantity != order[s.QUANTITY]:
            missing = order[s.QUANTITY] - quantity
            note(books, instant, ONLY, float(r.WITHDRAWN), order[s.RANK], missing, price, 0.0, 0.0, 0.0, 0.0, 0.0)
            order[s.QUANTITY] = quantity
        fill(instant, ONLY, price, abs(price - quoted), margin, fee, books)
        own[s.FILLED_INTRABAR] = 0.0


@uncounted
def _meet(instant: int, bar: Array, term: Array, books: Books, pessimistic: bool) -> None:
    """Let the prices inside the bar meet targets and stop."""
    own = books.positions[0]
    side, adverse, best = (1.0, bar[s.LOW], bar[s.HIGH]) if own[s.SIZE] > 0.0 else (-1.0, bar[s.HIGH], bar[s.LOW])
    stopped = side * (adverse - own[s.STOP]) <= 0.0
    for k in range(3):
        if own[s.SIZE] != 0.0 and own[s.SHARE + k] > 0.0 and side * (best - own[s.TARGET + k]) >= 0.0:
            if stopped:
                own[s.AMBIGUOUS] = 1.0
            if not pessimistic or not stopped:
                part = side * min(own[s.SHARE + k] * own[s.MAX_SIZE], abs(own[s.SIZE]))
                own[s.SHARE + k] = 0.0
                leave(instant, ONLY, float(r.TARGETED), part, own[s.TARGET + k], 0.0, term[s.MAKER], books, True)
    if own[s.SIZE] != 0.0 and stopped:
        price = side * min(side * own[s.STOP], side * bar[s.OPEN])
        leave(instant, ONLY, float(r.STOPPED), own[s.SIZE], price, bar[s.SLIPPAGE], term[s.TAKER], books, True)
