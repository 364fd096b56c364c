"""An order-driven market: takers, makers and forced orders meet in a limit order book, ten seconds at a time.

1. The book: price levels of each side in whole ticks and lots, best first, `ROOM` a side.
2. Makers quote around the fair price, at distances with a power law that widens with volatility, far orders at round
   prices; nearer orders are taken back sooner. What lies on the wrong side of news is partly cancelled, partly hit.
3. Takers: some belong to large orders that are worked off in pieces, so that buying follows buying; the rest do not.
   What they take moves the fair price for some minutes.
4. Every fill opens or closes positions, with leverage. A position that the mark price reaches becomes a forced order,
   which pushes the price further: cascades are made here, not drawn.
5. The perpetual trades at a premium where takers have leaned to one side for hours; funding follows from it.

Whole ticks and lots, + - * / sqrt and comparisons, and a generator of its own: one seed is one market, whatever the
CPU. Only what is before a moment moves it.

Sources: Farmer, Patelli, Zovko (2005), PNAS 102 (zero intelligence on a book); Bouchaud, Mezard, Potters (2002),
Quantitative Finance 2 (power law of distances); Lillo, Mike, Farmer (2005), Phys. Rev. E 71 (split orders make the
memory of signs); Marsaglia (2003), J. Stat. Softw. 8, and Vigna (2016), ACM TOMS 42 (xorshift*); the funding formula
and the mark price are those of Binance's contract pages.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import inner, kernel
from virtuoso.types import Array
from virtuoso.venues.simulator.levels import open_or_close, quote, set_level, uniform, write_book
from virtuoso.venues.simulator.price_factors import SLICES
from virtuoso.venues.simulator.state import (
    ACCOUNTS,
    APPETITE,
    ASK,
    BEST,
    BID,
    CASH,
    COUNT,
    CROWD,
    DEPTH,
    DISLOCATION,
    FORCED,
    FORCED_ROWS,
    FUNDING_HOURS,
    HELD,
    IMPACT,
    INTEREST,
    LADDER,
    LARGE_ORDERS,
    LEAN,
    LENGTHS,
    MARK_GAP,
    MOST_A_SLICE,
    NEXT_ID,
    NOTHING,
    PIECES,
    PREMIUM,
    PREMIUM_SLICES,
    PREMIUM_SUM,
    PRICE,
    PRICES,
    ROOM,
    SHRUNK,
    SIZE,
    SLICE_MS,
    TARGET,
    TRADES,
    TREND,
    UNIT,
    WHALE,
    State,
    Tape,
)  # fmt: skip


@inner
def _take(s: State, tape: Tape, time: int, t: int, side: int, size: int, limit: int, whale: float) -> int:
    """Send a market order of a buyer (side 0) or seller; it takes no price beyond `limit`. Gives what was filled.

    With probability `whale` it is a large account's. Below 0 it is a forced order: then only the maker's position is
    changed here.
    """
    sign = 1 - 2 * side
    book = 1 - side
    left = size
    while left > 0 and s.book[COUNT, book, 0] > 0 and sign * (limit - s.book[PRICE, book, 0]) >= 0:
        price = s.book[PRICE, book, 0]
        fill = min(left, s.book[SIZE, book, 0])
        left -= fill
        set_level(s, tape, time, book, BEST, s.book[SIZE, book, 0] - fill)
        n = tape.used[TRADES]
        if n < tape.room[TRADES]:
            row = tape.rows[TRADES, n]
            row[0], row[1], row[2], row[3], row[4] = time, int(s.x[NEXT_ID]), price, fill, sign
            tape.used[TRADES] = n + 1
        s.x[NEXT_ID] += 1.0
        bar = tape.bars[t]
        if bar[8] == 0:
            bar[:4] = price
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4] += fill
        bar[6] += price * fill
        bar[8] += 1
        if side == BID:
            bar[5] += fill
            bar[7] += price * fill
        interest = s.x[HELD + 2 * BID + CROWD] + s.x[HELD + 2 * BID + WHALE]
        opening = 0.5 + 0.35 * s.x[APPETITE] + 1.2 * (s.x[TARGET] - interest) / s.x[TARGET]
        opening = min(max(opening, 0.04), 0.96)
        if whale >= 0.0:
            open_or_close(s, side, whale, price, float(fill), opening)
        open_or_close(s, book, 0.7, price, float(fill), opening)
    return size - left


@inner
def _call_in(s: State, side: int, k: int, share: float) -> None:
    """Let a share of the positions of one step of the ladder wait for their liquidation."""
    found = s.at_risk[side, k] * s.x[SHRUNK + side] * share
    if found > 0.0:
        s.x[FORCED + side] += found
        s.at_risk[side, k] *= 1.0 - share


@kernel
def liquidate(s: State, tape: Tape, time: int, t: int, mark: float, most: float) -> None:
    """Find the positions that the mark price has reached, and sell or buy what is waiting, as far as the book goes."""
    at = int(np.searchsorted(s.at_risk[PRICES], mark))
    for k in range(max(at - 30, 0), min(at + 30, LADDER)):
        side = BID if k >= at else ASK
        _call_in(s, side, k, 1.0)
    for side in range(2):
        _call_in(s, side, at - 1 if side == BID else at, 0.04)  # the mark lies inside this step of the ladder
    for side in range(2):
        waiting = min(s.x[FORCED + side], most)
        lots = int(waiting)
        total = s.x[HELD + 2 * side + CROWD] + s.x[HELD + 2 * side + WHALE]
        if lots < max(1.0, 0.03 * s.x[UNIT]) or total < 2.0 * lots:
            continue
        sign = 1 - 2 * side  # a long is sold
        limit = int(mark * (1.0 - 0.003 * sign))
        value = tape.bars[t, 6]
        filled = _take(s, tape, time, t, 1 - side, lots, max(limit, 1), -1.0)
        if filled == 0:
            continue
        s.x[FORCED + side] -= filled
        crowd = min(0.9 * filled, 0.9 * s.x[HELD + 2 * side + CROWD])
        for who, part in ((CROWD, crowd), (WHALE, filled - crowd)):
            keep = max(1.0 - part / s.x[HELD + 2 * side + who], 0.01)
            s.x[HELD + 2 * side + who] *= keep
            s.x[ACCOUNTS + 2 * side + who] *= keep
        s.x[DISLOCATION] -= sign * 0.08 * filled / total
        n = tape.used[FORCED_ROWS]
        if n < tape.room[FORCED_ROWS]:
            row = tape.rows[FORCED_ROWS, n]
            average = (tape.bars[t, 6] - value) // filled
            row[0], row[1], row[2], row[3], row[4] = time, -sign, limit, average, filled
            tape.used[FORCED_ROWS] = n + 1


@inner
def _make(s: State, tape: Tape, time: int, side: int, fair: float, half: float, made: int) -> None:
    """One limit order of a maker; the first two of a slice are the quotes of a market maker."""
    u = uniform(s.seed)
    if made < 2:
        away = half * (0.5 + u)
    elif u < 0.988:
        least = half if u < 0.8 else half + 0.0012 * fair
        away = min(least / uniform(s.seed), fair * (0.03 + 0.025 * uniform(s.seed)))
    else:
        away = fair * (0.055 + 0.03 * uniform(s.seed))
    grid = 1
    while grid * 30 <= away:
        grid *= 10
    grid = grid * 5 if grid * 15 <= away else grid * 2 if grid * 6 <= away else grid
    sign = 1 - 2 * side
    price = int(np.floor((fair - sign * away) / grid)) * grid + (grid if side == ASK else 0)
    far = away / (away + 0.002 * fair)
    size = s.x[UNIT] * (0.5 + 0.8 / np.sqrt(uniform(s.seed))) * (1.0 + 5.0 * far)
    quote(s, tape, time, side, price, 1 + int(min(size, 40.0 * s.x[UNIT])))


@inner
def _open_book(s: State, tape: Tape, time: int, value: float, usual: float) -> None:
    """Fill the book before the market opens; nobody has recorded that."""
    room = tape.room[DEPTH]
    tape.room[DEPTH] = 0
    for n in range(2 * ROOM):
        _make(s, tape, time, n % 2, value, _half_spread(value, usual), n + 2)
    tape.room[DEPTH] = room


@inner
def _half_spread(value: float, usual: float) -> float:
    """Least distance from the fair price at which makers quote: wider when a slice usually moves more."""
    return max(0.000012 * value + 0.12 * usual, 0.5)


@inner
def _cancel(s: State, tape: Tape, time: int, fair: float) -> None:
    """One order is taken back; the nearer it lies, the likelier."""
    i = int((s.book[COUNT, BID, 0] + s.book[COUNT, ASK, 0]) * uniform(s.seed))
    side = BID if i < s.book[COUNT, BID, 0] else ASK
    i -= s.book[COUNT, BID, 0] if side == ASK else 0
    if s.book[COUNT, side, 0] < 4:
        return
    away = abs(s.book[PRICE, side, i] - fair)
    near = 0.0006 * fair
    if uniform(s.seed) < 0.07 + near / (near + away):
        size = s.book[SIZE, side, i]
        order = 1 + int(s.x[UNIT] * (0.4 + 0.5 / np.sqrt(uniform(s.seed))) * (1.0 + 5.0 * away / (away + 0.002 * fair)))
        set_level(s, tape, time, side, i, size - order if size > 2 * order else 0)


@inner
def _noise(s: State, tape: Tape, time: int, t: int, reach: float) -> None:
    """One taker who knows nothing: a piece of a large order, or someone of the crowd who trades against the trend."""
    trend = s.x[TREND] / (1.0 + abs(s.x[TREND]))
    whale = 0.05
    if uniform(s.seed) < 0.75:
        whale = 0.7
        i = int(LARGE_ORDERS * uniform(s.seed))
        if s.book[PIECES, 1, i] <= 0:
            s.book[PIECES, 0, i] = BID if uniform(s.seed) < 0.5 + 0.12 * trend else ASK
            s.book[PIECES, 1, i] = int(LENGTHS[int(1_024 * uniform(s.seed))])
        s.book[PIECES, 1, i] -= 1
        side = s.book[PIECES, 0, i]
    else:
        side = BID if uniform(s.seed) < 0.5 - 0.25 * trend else ASK
    sign = 1 - 2 * side
    wanted = s.x[UNIT] * (0.1 + 0.45 / np.sqrt(uniform(s.seed)))
    size = 1 + int(min(wanted, 12.0 * s.x[UNIT]))
    if s.book[COUNT, 1 - side, 0] == 0:
        return
    limit = s.book[PRICE, 1 - side, 0] + sign * int(1.0 + 0.6 * reach)
    filled = _take(s, tape, time, t, side, size, limit, whale)
    pressure = filled / s.x[UNIT]
    s.x[IMPACT] += sign * 0.03 * reach * np.sqrt(pressure)
    s.x[LEAN] += 0.00008 * (sign * min(pressure, 4.0) - s.x[LEAN])


@inner
def _news(s: State, tape: Tape, time: int, t: int, fair: float) -> None:
    """Quotes on the wrong side of the fair price: makers take some back, quick takers hit the rest."""
    for book in range(2):
        sign = 1 - 2 * book
        stale = 0
        i = BEST
        while i < s.book[COUNT, book, 0] and sign * (s.book[PRICE, book, i] - fair) > 0.0:
            size = s.book[SIZE, book, i]
            left = int(size * 0.5 * uniform(s.seed)) if i < 4 else 0
            set_level(s, tape, time, book, i, left)
            if left > 0:
                stale += left
                i += 1
        if stale > 0:
            _take(s, tape, time + 40, t, 1 - book, stale, s.book[PRICE, book, i - 1], 0.5)


@inner
def _remember(s: State, moved: float, usual: float) -> None:
    """Let impact, dislocation, trend and appetite fade; a slice is ten seconds."""
    s.x[IMPACT] *= 0.97  # half of it is gone after four minutes
    s.x[DISLOCATION] = min(max(s.x[DISLOCATION] * 0.995, -0.06), 0.06)  # after twenty-three minutes
    s.x[TREND] = s.x[TREND] * 0.9994 + 0.035 * moved / usual  # after three hours
    s.x[APPETITE] = s.x[APPETITE] * 0.9994 + 0.042 * (uniform(s.seed) - 0.5)


@kernel
def trade(
    s: State,
    tape: Tape,
    path: Array,
    spread: Array,
    takers: NDArray[np.int16],
    snapshots: NDArray[np.bool_],
    first_minute: int,
    begin: int,
    end: int,
) -> int:
    """Run the slices [begin, end), or until a tape is nearly full. Uses `path[: k + 2]` only for slice k.

    Parameters
    ----------
    s : State
    tape : Tape
        Bars of all minutes; rows of trades, depth and forced orders where it has room for any.
    path : Array, ticks, shape (n_minutes * SLICES + 1,)
        Value of the coin at the end of each slice, after where it starts.
    spread : Array, fraction, shape (n_minutes,)
        Standard deviation of a minute's return as it was before the minute.
    takers : array of int16, shape (n_minutes, SLICES)
        Takers who know nothing, in each slice.
    snapshots : array of bool, shape (n_minutes,)
        Whether the whole book is written down before the minute.
    first_minute : int
        Number since the epoch.
    begin, end : int
        Slices to run.

    Returns
    -------
    int
        The next slice: `end`, or less where the tape has to be emptied first.
    """
    for k in range(begin, end):
        for which in range(3):
            if tape.room[which] > 0 and tape.used[which] + MOST_A_SLICE > tape.room[which]:
                return k
        t, j = k // SLICES, k % SLICES
        start = (first_minute + t) * 60_000 + j * SLICE_MS
        value = path[k + 1]
        usual = value * spread[t] / np.sqrt(1.0 * SLICES)
        if k == 0:
            _open_book(s, tape, start, value, usual)
        if j == 0:
            s.x[UNIT] = s.x[CASH] / value
            s.x[TARGET] = s.x[INTEREST] * s.x[UNIT]
            tape.bars[t, :4] = tape.bars[t - 1, 3] if t > 0 else int(path[0])
            if snapshots[t]:
                write_book(s, tape, start)
        _remember(s, value - path[k], usual)
        s.x[PREMIUM] = 0.00005 + 0.012 * s.x[LEAN] + s.x[DISLOCATION]
        fair = value * (1.0 + s.x[PREMIUM]) + s.x[IMPACT]
        _news(s, tape, start + 5 + int(60.0 * uniform(s.seed)), t, fair)
        mark = value * (1.0 + s.x[MARK_GAP])
        liquidate(s, tape, start + 110 + int(80.0 * uniform(s.seed)), t, mark, 10.0 * s.x[UNIT])
        n_takers = int(takers[t, j])
        _trade_a_slice(s, tape, start, t, n_takers, fair, _half_spread(value, usual), usual)
        if s.book[COUNT, BID, 0] > 0 and s.book[COUNT, ASK, 0] > 0:
            middle = 0.5 * (s.book[PRICE, BID, 0] + s.book[PRICE, ASK, 0])
            gap = middle / value - 1.0
            s.x[MARK_GAP] += 0.28 * (gap - s.x[MARK_GAP])
            s.x[PREMIUM_SUM] += gap
            s.x[PREMIUM_SLICES] += 1.0
        if j == SLICES - 1:
            _tell(s, tape, t, value, (first_minute + t + 1) % (FUNDING_HOURS * 60) == 0)
    return end


@inner
def _trade_a_slice(
    s: State, tape: Tape, start: int, t: int, n_takers: int, fair: float, half: float, usual: float
) -> None:
    """Makers, cancellations and takers of one slice, in an order that is drawn."""
    makers = 4 + n_takers
    cancels = (makers * (s.book[COUNT, BID, 0] + s.book[COUNT, ASK, 0])) // 40
    left = makers + cancels + n_takers
    made = NOTHING
    for n in range(left):
        time = start + 200 + ((SLICE_MS - 220) * n) // left
        u = uniform(s.seed) * (makers + cancels + n_takers)
        if made < 2 or u < makers:
            _make(s, tape, time, made % 2 if made < 2 else (BID if uniform(s.seed) < 0.5 else ASK), fair, half, made)
            made += 1
            makers -= 1
        elif u < makers + cancels:
            _cancel(s, tape, time, fair)
            cancels -= 1
        elif n_takers > 0:
            _noise(s, tape, time, t, usual)
            n_takers -= 1


@inner
def _tell(s: State, tape: Tape, t: int, value: float, settles: bool) -> None:
    """Write down what the venue publishes at the end of a minute."""
    told = tape.told[t]
    told[0], told[1] = value * (1.0 + s.x[MARK_GAP]), value
    longs, shorts = s.x[HELD : HELD + 2], s.x[HELD + 2 : HELD + 4]
    by_long, by_short = s.x[ACCOUNTS : ACCOUNTS + 2], s.x[ACCOUNTS + 2 : ACCOUNTS + 4]
    told[2] = longs[CROWD] + longs[WHALE]
    told[3] = (by_long[CROWD] + by_long[WHALE]) / (by_short[CROWD] + by_short[WHALE])
    told[4] = by_long[WHALE] / by_short[WHALE]
    told[5] = longs[WHALE] / shorts[WHALE]
    told[6] = np.nan
    if settles:
        premium = s.x[PREMIUM_SUM] / max(s.x[PREMIUM_SLICES], 1.0)
        rate = premium + min(max(0.0001 - premium, -0.0005), 0.0005)
        told[6] = min(max(rate, -0.02), 0.02)
        s.x[PREMIUM_SUM], s.x[PREMIUM_SLICES] = 0.0, 0.0
    told[7] = (
        s.book[PRICE, ASK, 0] - s.book[PRICE, BID, 0]
        if s.book[COUNT, BID, 0] > 0 and s.book[COUNT, ASK, 0] > 0
        else np.nan
    )
    told[8] = 0.5 * (s.book[PRICE, ASK, 0] + s.book[PRICE, BID, 0])
