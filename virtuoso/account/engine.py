"""The contract: what one bar does to an account of linear perpetuals. Spot is leverage 1, long only, no funding.

The only place where money moves: portfolio backtest, paper broker and simulated exchange all call `step`. One bar, in
this order:

1. Funding that settles at the open is paid by what was held before it.
2. A mark at or beyond the liquidation price at the open liquidates at that mark, even where a stop existed.
3. A stop that the open is at or beyond fills at the open, not at the stop. Then exits decided at the close before, of
   all that is held or of a share of it: of all instruments before anything enters.
4. An entry that counts on the place of something that was to leave at this open, and does not since its own bar is not
   known, is cut to what fits beside it, or withdrawn where nothing does.
5. Entries decided at the close before act at the open, by rank: market orders, and limits that the open is at or
   beyond, at the open and as takers. A limit that has rested since an earlier bar fills at its own price, as a maker,
   where the open is beyond it. What is entered at the instant of a settlement pays it where that costs, and never
   receives it.
6. A limit entry fills inside the bar where price trades through it; a touch is not enough.
7. Funding that settles inside the bar is paid at once where it costs, and received only by what is still held at the
   close.
8. Inside the bar the order of prices is not known. Pessimistic: what is adverse comes first, the nearer of stop and
   liquidation; a target counts on the bar of a limit entry only if the close lies beyond it. Optimistic: targets come
   first. Once the two differ, what becomes of the position is `ambiguous`.
9. At the close trailing stops follow the best price since the entry, and orders that have waited long enough lapse; a
   exit waits for the next bar that is known.

Where a halt is latched at a close, whatever waits to enter lapses (`lapse_entries`); exits stay.

Stops and market orders pay the taker fee and slippage, against us always; limits and targets pay the maker fee and
fill at their price, even where the open is beyond it. An entry is rejected where the account cannot set its margin and
fee aside, where the margin would not exceed maintenance, where price is already beyond its stop or a target, or where
the other side is held; one that may be cut enters as far as the account can pay, and is rejected where that is less
than the venue accepts. An add takes its own stop and targets along, and they then stand for the whole position.

With isolated margin a position is liquidated by its own margin. With cross margin the account is liquidated as a
whole: all marks are taken to move together from open to adverse extreme, each position leaving at its stop on the way,
and where equity meets maintenance everything else leaves at its mark. An exit loses at most what backs it, its
margin or the rest of the equity; what is missing is the venue's insurance fund's.

equity = wallet + unrealised at the mark, and wallet = cash + realised + funding - fees, after every event. Arrays and
numba only; portfolio.py gives names to what comes out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.margin import maintenance
from virtuoso.account.state import Books, unrealised
from virtuoso.jit.kernel import inner, kernel, uncounted

Array = NDArray[np.float64]

AT_OPEN, INSIDE, AFTERWARDS = range(3)
"""Phases of a bar."""
DUST = 1e-12
"""Share of the whole position below which what is left is nothing."""
ROUNDING = 1e-12
"""Share by which an order may exceed what the account can pay before it is cut: that much is rounding."""
LEAST_CUT = 1e-6
"""Share of an order below which what can be paid of it is nothing: rounding of what was spent, not cash."""
HALVINGS = 60
"""Of the way from open to extreme, to find where equity meets maintenance."""


@kernel
def step(
    instant: int, bars: Array, terms: Array, tiers: Array, books: Books, isolated: bool, pessimistic: bool
) -> None:
    """Let one bar act on an account.

    Parameters
    ----------
    instant : int
        Number of the bar.
    bars : Array, shape (n_instruments, BAR_COLUMNS)
    terms : Array, shape (n_instruments, TERM_COLUMNS)
    tiers : Array, shape (n_instruments, 3, n_tiers)
    books : Books
        Changed.
    isolated : bool
        Margin mode; else cross.
    pessimistic : bool
        Which order of prices is assumed inside the bar.
    """
    if _quiet(bars, tiers, books, isolated):
        return
    for phase in range(3):
        for i in range(len(bars)):
            if books.positions[i, s.SIZE] != 0.0 and not np.isnan(bars[i, s.OPEN]):
                _settle(instant, i, bars[i], books, isolated, phase)
        if phase == AFTERWARDS:
            break
        _call(bars, tiers, books, isolated, phase)
        for i in range(len(bars)):
            if not np.isnan(bars[i, s.OPEN]):
                _hold(instant, i, bars[i], terms[i], books, isolated, phase, pessimistic)
        if phase == AT_OPEN:
            leans = False
            for i in range(len(bars)):
                leans = leans or books.orders[i, s.CONDITIONAL] != 0.0
            if leans:
                _firm(instant, books)
            _enter_all(instant, bars, terms, tiers, books, isolated)
    for i in range(len(bars)):
        _close(instant, i, bars[i], books)


@inner
def _quiet(bars: Array, tiers: Array, books: Books, isolated: bool) -> bool:
    """Whether a bar only moves marks, as most do; they are then moved, and nothing else is to be done.

    Nothing waits, no funding settles, no stop, target or liquidation is reached, and nothing trails.
    """
    waits, held = False, False
    for i in range(len(bars)):
        order = books.orders[i]
        waits = waits or order[s.QUANTITY] != 0.0 or order[s.CLOSE_FIRST] != 0.0
        held = held or books.positions[i, s.SIZE] != 0.0
    if waits or not held:
        return not waits
    for i in range(len(bars)):
        own, bar = books.positions[i], bars[i]
        if own[s.SIZE] == 0.0 or np.isnan(bar[s.OPEN]):
            continue
        side, adverse, best = 1.0, min(bar[s.LOW], bar[s.OPEN]), bar[s.HIGH]
        if own[s.SIZE] < 0.0:
            side, adverse, best = -1.0, max(bar[s.HIGH], bar[s.OPEN]), bar[s.LOW]
        happens = bar[s.FUNDING_OPEN] != 0.0 or bar[s.FUNDING_INSIDE] != 0.0 or not np.isnan(own[s.TRAIL])
        happens = happens or side * (adverse - own[s.STOP]) <= 0.0
        for k in range(3):
            happens = happens or (own[s.SHARE + k] > 0.0 and side * (best - own[s.TARGET + k]) >= 0.0)
        if happens:
            return False
    for phase in range(AT_OPEN, AFTERWARDS):
        for i in range(len(bars)):
            own = books.positions[i]
            if own[s.SIZE] == 0.0 or np.isnan(bars[i, s.OPEN]):
                continue
            own[s.MARK] = bars[i, s.MARK_OPEN]
            if isolated and _room(bars, tiers, books, phase, 1.0, i) <= 0.0:
                return False
        if not isolated and _room(bars, tiers, books, phase, 1.0, -1) <= 0.0:
            return False
    for i in range(len(bars)):
        own = books.positions[i]
        if own[s.SIZE] != 0.0 and not np.isnan(bars[i, s.OPEN]):
            own[s.MARK], own[s.FILLED_INTRABAR] = bars[i, s.MARK_CLOSE], 0.0
    return True


@inner
def _settle(instant: int, i: int, bar: Array, books: Books, isolated: bool, phase: int) -> None:
    """Settle funding: at the open whatever it is, inside the bar what costs, afterwards what is received."""
    own = books.positions[i]
    if phase == AT_OPEN:
        own[s.MARK] = bar[s.MARK_OPEN]
        _fund(instant, i, -own[s.SIZE] * bar[s.FUNDING_OPEN], books, isolated)
    elif (own[s.SIZE] * bar[s.FUNDING_INSIDE] > 0.0) == (phase == INSIDE):
        _fund(instant, i, -own[s.SIZE] * bar[s.FUNDING_INSIDE], books, isolated)


@inner
def _call(bars: Array, tiers: Array, books: Books, isolated: bool, phase: int) -> None:
    """Write down at which mark each position is liquidated, at the open or on the way to the adverse extreme."""
    way, whole = 2.0, False
    for i in range(len(bars)):
        own = books.positions[i]
        own[s.LIQ_PRICE] = np.nan
        if own[s.SIZE] == 0.0 or np.isnan(bars[i, s.OPEN]):
            continue
        if isolated or not whole:  # an account on cross margin is called as a whole
            way, whole = _way(bars, tiers, books, phase, i if isolated else -1), True
        if way <= 1.0:
            own[s.LIQ_PRICE] = own[s.MARK] = _mark_at(bars[i], own, phase, way)


@inner
def _way(bars: Array, tiers: Array, books: Books, phase: int, alone: int) -> float:
    """Share of the way to the adverse extremes on which equity meets maintenance; 2 if it never does."""
    safe, way = 0.0, 2.0
    for k in range(HALVINGS + 2):
        tried = 1.0 if k == 0 else 0.0 if k == 1 else 0.5 * (safe + way)
        if _room(bars, tiers, books, phase, tried, alone) <= 0.0:
            way = tried
        elif k == 0:
            break
        else:
            safe = tried
    return way


@inner
def _room(bars: Array, tiers: Array, books: Books, phase: int, way: float, alone: int) -> float:
    """Equity less maintenance when all marks have gone so much of their way; what a stop frees is not counted.

    Of one position `alone` with its own margin, or of all with the wallet at -1.
    """
    room = books.wallet[0] if alone < 0 else books.positions[alone, s.MARGIN]
    for i in range(len(bars)):
        own = books.positions[i]
        if own[s.SIZE] == 0.0 or (alone >= 0 and i != alone):
            continue
        mark, adverse = _mark_at(bars[i], own, phase, way), bars[i, s.LOW] if own[s.SIZE] > 0.0 else bars[i, s.HIGH]
        stopped = own[s.SIZE] * (adverse - own[s.STOP]) <= 0.0
        if phase == INSIDE and stopped and own[s.SIZE] * (mark - own[s.STOP]) < 0.0:
            mark = own[s.STOP]
        room += own[s.SIZE] * (mark - own[s.ENTRY]) - maintenance(tiers[i], abs(own[s.SIZE]) * mark)
    return float(room)


@inner
def _mark_at(bar: Array, own: Array, phase: int, way: float) -> float:
    """Mark on the way from where it was last seen to the adverse extreme of the bar; unmoved where there is no way."""
    if phase == AT_OPEN or np.isnan(bar[s.OPEN]):
        return float(own[s.MARK])
    end = bar[s.MARK_LOW] if own[s.SIZE] > 0.0 else bar[s.MARK_HIGH]
    return float(own[s.MARK] + way * (end - own[s.MARK]))


@inner
def _hold(
    instant: int, i: int, bar: Array, term: Array, books: Books, isolated: bool, phase: int, pessimistic: bool
) -> None:
    """Let what is held leave, at the open or between open and close; afterwards nothing waits to leave."""
    own, inside = books.positions[i], phase == INSIDE
    side, adverse, best = 1.0, bar[s.LOW], bar[s.HIGH]
    if own[s.SIZE] < 0.0:
        side, adverse, best = -1.0, bar[s.HIGH], bar[s.LOW]
    if not inside:
        adverse, best = bar[s.OPEN], np.nan
    called = not np.isnan(own[s.LIQ_PRICE])
    stopped = side * (adverse - own[s.STOP]) <= 0.0
    if inside and called and stopped and side * (own[s.STOP] - own[s.LIQ_PRICE]) > 0.0:
        called = False  # the stop lies nearer, so it was met first
    sure = bar[s.CLOSE] if own[s.FILLED_INTRABAR] == 1.0 else best
    for k in range(3):
        if own[s.SIZE] != 0.0 and own[s.SHARE + k] > 0.0 and side * (best - own[s.TARGET + k]) >= 0.0:
            certain = side * (sure - own[s.TARGET + k]) >= 0.0
            if called or stopped or not certain:
                own[s.AMBIGUOUS] = 1.0
            if not pessimistic or (certain and not called and not stopped):
                part = side * min(own[s.SHARE + k] * own[s.MAX_SIZE], abs(own[s.SIZE]))
                own[s.SHARE + k] = 0.0
                leave(instant, i, float(r.TARGETED), part, own[s.TARGET + k], 0.0, term[s.MAKER], books, isolated)
    if own[s.SIZE] != 0.0:
        # a resting limit may have filled beyond its stop, and then the stop cannot fill better than the open
        kind, price = float(r.STOPPED), side * min(side * own[s.STOP], side * bar[s.OPEN])
        slippage, fee = bar[s.SLIPPAGE], term[s.TAKER]
        if called:
            kind, price, slippage, fee = float(r.LIQUIDATED), own[s.LIQ_PRICE], 0.0, term[s.LIQUIDATION_FEE]
        elif not stopped and books.orders[i, s.CLOSE_FIRST] != 0.0:
            kind, price = float(r.CLOSED), bar[s.OPEN]
        if called or stopped or kind == r.CLOSED:
            part = own[s.SIZE] * (books.orders[i, s.CLOSE_FIRST] if kind == r.CLOSED else 1.0)
            leave(instant, i, kind, part, price, slippage, fee, books, isolated)
    books.orders[i, s.CLOSE_FIRST] = 0.0


@inner
def _firm(instant: int, books: Books) -> None:
    """Settle what entries counted on: where an exit still waits, they are cut to what fits beside what it holds."""
    stays, orders = False, books.orders
    for i in range(len(orders)):
        stays = stays or (orders[i, s.CLOSE_FIRST] != 0.0 and books.positions[i, s.SIZE] != 0.0)
    for i in range(len(orders)):
        order = orders[i]
        if order[s.CONDITIONAL] != 0.0:
            order[s.CONDITIONAL] = 0.0
            if stays and order[s.QUANTITY] != order[s.FIRM_QUANTITY]:
                missing, price = order[s.QUANTITY] - order[s.FIRM_QUANTITY], order[s.LIMIT]
                order[s.QUANTITY] = order[s.FIRM_QUANTITY]
                if order[s.FIRM_QUANTITY] == 0.0:
                    take_entry_out(order)
                note(books, instant, i, float(r.WITHDRAWN), order[s.RANK], missing, price, 0.0, 0.0, 0.0, 0.0, 0.0)


@inner
def lapse_entries(instant: int, books: Books) -> None:
    """Let everything that waits to enter lapse, as at the latch of a halt; exits stay."""
    for i in range(len(books.orders)):
        if books.orders[i, s.QUANTITY] != 0.0:
            lapse(instant, i, books)


@inner
def _enter_all(instant: int, bars: Array, terms: Array, tiers: Array, books: Books, isolated: bool) -> None:
    """Let orders enter by rank: at the open first, then those whose limit price trades through."""
    for inside in (False, True):
        i = _next(books.orders, bars, -np.inf, -1.0)
        while i >= 0:
            rank = books.orders[i, s.RANK]
            _enter(instant, i, bars[i], terms[i], tiers[i], books, isolated, inside)
            i = _next(books.orders, bars, rank, float(i))


@inner
def _next(orders: Array, bars: Array, rank: float, row: float) -> int:
    """Give the first order after a rank and a row whose bar is known; -1 if there is none."""
    found = -1
    for k in range(len(orders)):
        if orders[k, s.QUANTITY] == 0.0 or np.isnan(bars[k, s.OPEN]):
            continue
        later = orders[k, s.RANK] > rank or (orders[k, s.RANK] == rank and k > row)
        if later and (found < 0 or orders[k, s.RANK] < orders[found, s.RANK]):
            found = k
    return found


@inner
def _enter(
    instant: int, i: int, bar: Array, term: Array, tiers: Array, books: Books, isolated: bool, inside: bool
) -> None:
    """Enter or add if the bar fills the order and the account can carry it."""
    own, order = books.positions[i], books.orders[i]
    quantity, limit = order[s.QUANTITY], order[s.LIMIT]
    side = 1.0 if quantity > 0.0 else -1.0
    quoted, rests = bar[s.OPEN], order[s.RESTED] == 1.0
    price, fee_rate = quoted * (1.0 + side * bar[s.SLIPPAGE]), term[s.TAKER]
    if not np.isnan(limit):
        price = side * min(side * price, side * limit)
        if inside or rests:
            price, quoted, fee_rate = limit, limit, term[s.MAKER]
        reached = (bar[s.LOW] if side > 0.0 else bar[s.HIGH]) if inside else bar[s.OPEN]
        if side * (limit - reached) < 0.0 or (limit == reached and (inside or rests)):
            return
    elif inside:
        return
    free = books.wallet[0] if isolated else books.wallet[0] + unrealised(books.positions)
    for k in range(len(books.positions)):
        free -= books.positions[k, s.MARGIN]
    fitted = order[s.FITTED] == 1.0
    if fitted:
        quantity = side * affordable(abs(quantity), price, free, 1.0 / term[s.LEVERAGE] + fee_rate, order)
    margin, fee = abs(quantity) * price / term[s.LEVERAGE], abs(quantity) * price * fee_rate
    size = own[s.SIZE] + quantity
    refused = quantity == 0.0 or (not fitted and margin + fee > free)
    refused = refused or own[s.SIZE] * quantity < 0.0 or side * (quoted - order[s.ORDER_STOP]) <= 0.0
    for k in range(3):
        refused = refused or (order[s.ORDER_SHARE + k] > 0.0 and side * (order[s.ORDER_TARGET + k] - price) <= 0.0)
    if refused or own[s.MARGIN] + margin <= maintenance(tiers, abs(size) * price):
        missing = order[s.QUANTITY]
        note(books, instant, i, float(r.REJECTED), order[s.RANK], missing, price, 0.0, 0.0, 0.0, 0.0, 0.0)
        take_entry_out(order)
        return
    if quantity != order[s.QUANTITY]:
        missing = order[s.QUANTITY] - quantity
        note(books, instant, i, float(r.WITHDRAWN), order[s.RANK], missing, price, 0.0, 0.0, 0.0, 0.0, 0.0)
        order[s.QUANTITY] = quantity
    fill(instant, i, price, abs(price - quoted), margin, fee, books)
    own[s.FILLED_INTRABAR] = 1.0 if inside else 0.0
    own[s.MARK] = price if inside else bar[s.MARK_OPEN]
    if not inside and quantity * bar[s.FUNDING_OPEN] > 0.0:
        _fund(instant, i, -quantity * bar[s.FUNDING_OPEN], books, isolated)


@inner
def affordable(size: float, price: float, free: float, share: float, order: Array) -> float:
    """Size of an order, cut to what the account can pay of it; 0 where the venue accepts no order as small."""
    if size * price * share <= free * (1.0 + ROUNDING):
        return size
    most = max(free, 0.0) / (price * share)
    if order[s.FITTED_STEP] > 0.0:
        most = np.floor(most / order[s.FITTED_STEP] * (1.0 + ROUNDING)) * order[s.FITTED_STEP]
    if most <= LEAST_CUT * size or most < order[s.FITTED_SIZE] or most * price < order[s.FITTED_NOTIONAL]:
        return 0.0
    return float(most)


@uncounted
def fill(instant: int, i: int, price: float, slipped: float, margin: float, fee: float, books: Books) -> None:
    """Let an order enter or add at a price; its stop and targets then stand for the whole position."""
    own, order, quantity = books.positions[i], books.orders[i], books.orders[i, s.QUANTITY]
    size = own[s.SIZE] + quantity
    own[s.ENTRY] = (own[s.SIZE] * own[s.ENTRY] + quantity * price) / size if own[s.SIZE] != 0.0 else price
    own[s.SIZE], own[s.MAX_SIZE] = size, abs(size)
    own[s.MARGIN] += margin
    own[s.ENTRY_ORDER] = order[s.RANK]
    own[s.STOP], own[s.TRAIL] = order[s.ORDER_STOP], order[s.ORDER_TRAIL]
    for k in range(3):
        own[s.TARGET + k] = order[s.ORDER_TARGET + k]
        own[s.SHARE + k] = order[s.ORDER_SHARE + k] if not np.isnan(order[s.ORDER_TARGET + k]) else 0.0
    books.wallet[0] -= fee
    slippage = abs(quantity) * slipped
    note(books, instant, i, float(r.ENTERED), order[s.RANK], quantity, price, fee, slippage, 0.0, 0.0, 0.0)
    take_entry_out(order)


@uncounted
def leave(
    instant: int, i: int, kind: float, part: float, quoted: float, slippage: float, fee_rate: float, books: Books,
    isolated: bool,
) -> None:  # fmt: skip
    """Take a signed part of a position off; it loses at most what backs it, fee included."""
    own, wallet = books.positions[i], books.wallet
    price = quoted * (1.0 - slippage if own[s.SIZE] > 0.0 else 1.0 + slippage)
    left = own[s.SIZE] - part
    if abs(left) <= DUST * own[s.MAX_SIZE]:
        part, left = own[s.SIZE], 0.0
    backing = own[s.MARGIN] * (part / own[s.SIZE])
    if not isolated:
        backing = wallet[0] + unrealised(books.positions) - own[s.SIZE] * (own[s.MARK] - own[s.ENTRY])
    realised = max(part * (price - own[s.ENTRY]), -max(backing, 0.0))
    fee = min(abs(part) * price * fee_rate, max(backing + realised, 0.0))
    wallet[0] += realised - fee
    own[s.MARGIN] *= left / own[s.SIZE]
    own[s.SIZE] = left
    slipped = abs(part) * abs(price - quoted)
    note(
        books, instant, i, kind, own[s.ENTRY_ORDER], -part, price, fee, slipped, realised, 0.0, own[s.AMBIGUOUS]
    )  # fmt: skip
    if left == 0.0:
        own[:] = 0.0
        own[s.STOP], own[s.TRAIL], own[s.LIQ_PRICE] = np.nan, np.nan, np.nan


@inner
def part_with(instant: int, i: int, price: float, taker: float, books: Books, isolated: bool) -> None:
    """Settle what is held at its last mark and let what waits lapse: the next bar is another instrument's."""
    if books.positions[i, s.SIZE] != 0.0:
        leave(instant, i, float(r.BROKEN), books.positions[i, s.SIZE], price, 0.0, taker, books, isolated)
    if books.orders[i, s.QUANTITY] != 0.0:
        lapse(instant, i, books)
    books.orders[i, s.CLOSE_FIRST] = 0.0


@inner
def _close(instant: int, i: int, bar: Array, books: Books) -> None:
    """Close the bar: trailing stops follow, to count from the next bar on; orders lapse or rest."""
    own, order = books.positions[i], books.orders[i]
    if own[s.SIZE] != 0.0 and not np.isnan(bar[s.OPEN]):
        side, best = (1.0, bar[s.HIGH]) if own[s.SIZE] > 0.0 else (-1.0, bar[s.LOW])
        followed = side * ((bar[s.CLOSE] if own[s.FILLED_INTRABAR] == 1.0 else best) - side * own[s.TRAIL])
        if not np.isnan(own[s.TRAIL]):
            own[s.STOP] = side * (followed if np.isnan(own[s.STOP]) else max(side * own[s.STOP], followed))
        own[s.MARK], own[s.FILLED_INTRABAR] = bar[s.MARK_CLOSE], 0.0
    order[s.RESTED] = 1.0 if order[s.QUANTITY] != 0.0 else 0.0
    if order[s.QUANTITY] != 0.0 and instant >= order[s.EXPIRES]:
        lapse(instant, i, books)


@uncounted
def lapse(instant: int, i: int, books: Books) -> None:
    """Let what an order would enter lapse."""
    order = books.orders[i]
    note(books, instant, i, float(r.LAPSED), order[s.RANK], 0.0, order[s.LIMIT], 0.0, 0.0, 0.0, 0.0, 0.0)
    take_entry_out(order)


@uncounted
def take_entry_out(order: Array) -> None:
    """Take what an order would enter out of it; an exit stays."""
    order[s.QUANTITY], order[s.LIMIT], order[s.RESTED], order[s.CONDITIONAL] = 0.0, np.nan, 0.0, 0.0


@inner
def _fund(instant: int, i: int, amount: float, books: Books, isolated: bool) -> None:
    """Pay or receive funding; an isolated position pays from, and receives into, its own margin."""
    if amount == 0.0:
        return
    books.wallet[0] += amount
    if isolated:
        books.positions[i, s.MARGIN] += amount
    by = books.positions[i, s.ENTRY_ORDER]
    note(books, instant, i, float(r.FUNDED), by, 0.0, np.nan, 0.0, 0.0, 0.0, amount, 0.0)


@uncounted
def note(
    books: Books, instant: int, i: int, kind: float, by: float, size: float, price: float, fee: float,
    slippage: float, realised: float, funding: float, ambiguous: float,
) -> None:  # fmt: skip
    """Write an event, or only count it where there is no room: whoever reads the events then refuses them.

    Floats only, since numba compiles a function again for each literal integer it is called with.
    """
    row = books.written[0]
    books.written[0] = row + 1
    if row >= len(books.events):
        return
    event = books.events[row]
    event[0], event[1], event[2], event[3], event[4], event[5] = instant, i, kind, by, size, price
    event[6], event[7], event[8], event[9], event[10], event[11] = (
        fee, slippage, realised, funding, books.wallet[0], ambiguous,
    )  # fmt: skip
