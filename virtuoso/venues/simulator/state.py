"""What the order-driven market remembers, and what is written down of it: arrays that the kernels of orders.py change.

Few arrays, since every call of a compiled function copies their descriptions.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from virtuoso.types import Array
from virtuoso.venues.simulator.coin_profiles import Coin
from virtuoso.venues.simulator.price_factors import SLICES

Counts = NDArray[np.int64]

SLICE_MS = 60_000 // SLICES
ROOM = 48
"""Price levels that a side of the book holds; one in the middle is given up for another."""
MOST_AT_A_PRICE = 80.0
"""Usual trades that makers leave at one price."""
BID, ASK = 0, 1
# Typed, so that numba does not compile the functions that are given them again for literals.
BEST, NOTHING = cast(int, np.int64(0)), cast(int, np.int64(0))
CROWD, WHALE = 0, 1
MOST_A_SLICE = 4_096
"""Rows that one slice may add to a tape: where fewer are free, the tape is emptied first."""

LARGE_ORDERS = 3
LENGTHS = np.rint(5.0 * (np.arange(1, 1_025) / 1_024.0) ** (-1.0 / 1.5))
"""Quantiles of the number of pieces of a large order: a power law with exponent 1.5."""
LEVERAGES = np.array((3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0))
CROWD_ODDS = np.array((0.33, 0.60, 0.79, 0.91, 0.975, 0.99, 1.0))
MAINTENANCE = 0.005
FUNDING_HOURS = 8
STEP = 1.002
"""Ratio of one price of the ladder on which liquidation prices are counted to the one below."""
LADDER = 7_000


class State(NamedTuple):
    """What the market remembers from one slice to the next; arrays that are changed in place.

    Attributes
    ----------
    book : array of int64, shape (4, 2, ROOM)
        PRICE (ticks) and SIZE (lots) of the levels of bids and asks, best first; COUNT of them; PIECES: side and
        remaining pieces of the large orders that are being worked off.
    at_risk : Array, shape (3, LADDER)
        Lots of longs and of shorts by the price at which they are liquidated, before SHRUNK; those PRICES in ticks.
    x : Array, shape (NUMBERS,)
        Numbers by the names below.
    seed : array of uint64, shape (1,)
    """

    book: Counts
    at_risk: Array
    x: Array
    seed: NDArray[np.uint64]


PRICE, SIZE, COUNT, PIECES = 0, 1, 2, 3
PRICES = 2
SHRUNK = 0  # and 1: what is left of each lot in at_risk, for longs and shorts
FORCED = 2  # and 3: lots of longs and shorts waiting to be sold and bought by force
IMPACT, DISLOCATION, LEAN, TREND, APPETITE = 4, 5, 6, 7, 8
PREMIUM, MARK_GAP, PREMIUM_SUM, PREMIUM_SLICES = 9, 10, 11, 12
NEXT_ID, TARGET, UNIT, CASH, INTEREST = 13, 14, 15, 16, 17
HELD = 18  # lots of longs of the crowd and of whales, of shorts of the crowd and of whales
ACCOUNTS = 22  # the same, in numbers of accounts
NUMBERS = 26


class Tape(NamedTuple):
    """What is written down.

    Attributes
    ----------
    rows : array of int64, shape (3, room, 5)
        TRADES: time, id, price, size, side. DEPTH: time, snapshot, side, price, size. FORCED_ROWS: time, side, limit,
        average price, size.
    used, room : array of int64, shape (3,)
        Rows written of each, and how many there may be: none of what nobody records.
    bars : array of int64, shape (n_minutes, 9)
        Open, high, low, close; lots, lots bought by takers, ticks times lots, the same bought; trades.
    told : Array, shape (n_minutes, 9)
        At the end of each minute: mark and index (ticks), open interest (lots), long over short of accounts, of large
        accounts, of their positions, the funding rate settled then (NaN if none), spread and its middle (ticks).
    """

    rows: Counts
    used: Counts
    room: Counts
    bars: Counts
    told: Array


TRADES, DEPTH, FORCED_ROWS = 0, 1, 2


def new_tape(minutes: int, room: int) -> Tape:
    """Give a tape for the bars of so many minutes, and for so many rows of everything else."""
    return Tape(
        np.zeros((3, room, 5), dtype=np.int64), np.zeros(3, dtype=np.int64), np.full(3, room),
        np.zeros((minutes, 9), dtype=np.int64), np.full((minutes, 9), np.nan),
    )  # fmt: skip


def opened(listed: Coin, value: float, seed: int) -> State:
    """Give the market as it opens: an empty book, and the positions of somebody's past, longs and shorts alike.

    Parameters
    ----------
    listed : Coin
    value : float, ticks
    seed : int
        Of everything that is drawn here.
    """
    x = np.zeros(NUMBERS)
    x[SHRUNK : SHRUNK + 2] = 1.0
    x[NEXT_ID] = 1.0
    x[CASH] = listed.trade_size * 10.0 ** (listed.lot_decimals + listed.tick_decimals)
    x[INTEREST] = 800.0 * listed.trades
    x[UNIT] = x[CASH] / value
    x[TARGET] = x[INTEREST] * x[UNIT]
    at_risk = np.zeros((3, LADDER))
    ladder = at_risk[PRICES]
    ladder[:] = np.cumprod(np.full(LADDER, STEP))
    ladder *= value / ladder[LADDER // 2]
    odds = np.diff(CROWD_ODDS, prepend=0.0)
    entries = value * (1.0 + np.linspace(-0.08, 0.08, 81))
    for side, sign in ((BID, 1.0), (ASK, -1.0)):
        ends = entries[:, None] * (1.0 - sign * (1.0 / LEVERAGES - MAINTENANCE))
        weight = np.where(sign * (value - ends) > 0.015 * value, odds, 0.0)
        np.add.at(at_risk[side], np.searchsorted(ladder, ends), weight * (x[TARGET] / weight.sum()))
    x[HELD : HELD + 4] = np.array([0.6, 0.4, 0.6, 0.4]) * x[TARGET]
    x[ACCOUNTS : ACCOUNTS + 4] = x[HELD : HELD + 4] / (0.02 * x[UNIT] * np.array([1.0, 60.0, 1.0, 60.0]))
    return State(np.zeros((4, 2, ROOM), dtype=np.int64), at_risk, x, np.array([seed], dtype=np.uint64))
