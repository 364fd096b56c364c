"""State of an account: what it holds, what it has ordered, what has happened; and the columns of its tables.

Plain tables of floats, one row an instrument, since that is what numba compiles quickly. Import the module, not its
constants: `from virtuoso.account import state as s` and `position[s.SIZE]`; numba resolves them when it compiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import EVENT
from virtuoso.errors import check_room
from virtuoso.jit.kernel import kernel

Array = NDArray[np.float64]

# columns of a position, one row an instrument
SIZE, ENTRY, MARGIN, STOP, TRAIL, MAX_SIZE, MARK, LIQ_PRICE, FILLED_INTRABAR, ENTRY_ORDER, AMBIGUOUS = range(11)
"""Signed size; average entry price; margin set aside; stop price; distance a stop trails; largest size; last mark;
mark at which this bar liquidates, NaN if it does not; 1 on the bar in which a limit filled inside; rank of the
order that entered last; 1 once the order of prices inside a bar has mattered."""
TARGET, SHARE = 11, 14
"""First of three target prices and of the shares of the largest size that leave there."""
POSITION_COLUMNS = 17

# columns of an order, one row an instrument; all zero or NaN is no order
CLOSE_FIRST, QUANTITY, LIMIT, EXPIRES, ORDER_STOP, ORDER_TRAIL, RANK, RESTED = range(8)
"""Share of what is held that leaves first, 1 for all of it; signed size to enter; limit price or NaN for market; last
instant of a limit; bracket; which order comes first, smallest first, then by row; whether it has rested for a bar."""
ORDER_TARGET, ORDER_SHARE = 8, 11
CONDITIONAL, FIRM_QUANTITY = 14, 15
"""Whether its size counts on the place of something that is to leave at the next open; what is left of the size if that
does not leave then."""
FITTED, FITTED_STEP, FITTED_SIZE, FITTED_NOTIONAL = 16, 17, 18, 19
"""Whether it is cut to what the account can pay rather than rejected as a whole; step, least size and least notional of
what is then left, 0 for none."""
ORDER_COLUMNS = 20

# columns of a bar, one row an instrument
OPEN, HIGH, LOW, CLOSE, MARK_OPEN, MARK_HIGH, MARK_LOW, MARK_CLOSE, SLIPPAGE, FUNDING_OPEN, FUNDING_INSIDE = range(11)
"""Prices, NaN where the bar is not known; slippage as a share of price; funding rate x mark price, summed."""
BAR_COLUMNS = 11

# columns of the terms, one row an instrument
MAKER, TAKER, LIQUIDATION_FEE, LEVERAGE = range(4)
TERM_COLUMNS = 4

EVENT_COLUMNS = len(EVENT.names or ())
EVENT_KIND, EVENT_SIZE, EVENT_PRICE, EVENT_FEE, EVENT_SLIPPAGE, EVENT_REALISED, EVENT_FUNDING, EVENT_AMBIGUOUS = (
    (EVENT.names or ()).index(name)
    for name in ("kind", "size", "price", "fee", "slippage", "realised", "funding", "ambiguous")
)
EVENT_INSTANT = 0
EVENTS_A_BAR = 12
"""Events that one bar can bring to one instrument, at most."""
EVENTS_AN_ORDER = 8
"""Events that one order can bring, at most: withdrawn in part twice, entered, three targets, an exit; one to spare."""
EVENTS_A_SETTLEMENT = 3
"""Events that one settlement of funding can bring: of what is held, and of what enters at its instant."""


class Books(NamedTuple):
    """What a step changes.

    Attributes
    ----------
    positions : Array, shape (n_instruments, POSITION_COLUMNS)
    orders : Array, shape (n_instruments, ORDER_COLUMNS)
        Decided at the close before; limits that still wait stay in it, everything else is taken out.
    wallet : Array, quote currency, shape (1,)
    events : Array, shape (room, EVENT_COLUMNS)
        What does not fit is not written, only counted.
    written : array of int64, shape (1,)
        Events so far; more than there is room for where some were not written.
    """

    positions: Array
    orders: Array
    wallet: Array
    events: Array
    written: NDArray[np.int64]

    @classmethod
    def opened(cls, instruments: int, cash: float, room: int) -> Books:
        """Open the books of an account that holds nothing, with room for so many events."""
        positions, orders = np.zeros((instruments, POSITION_COLUMNS)), np.zeros((instruments, ORDER_COLUMNS))
        positions[:, [STOP, TRAIL, LIQ_PRICE]] = np.nan
        orders[:, LIMIT] = np.nan
        return cls(positions, orders, np.array([cash]), np.empty((room, EVENT_COLUMNS)), np.zeros(1, np.int64))

    def named(self) -> np.ndarray:
        """Events so far as an array of EVENT.

        Raises
        ------
        DataError
            There were more of them than there was room for.
        """
        check_room("events of an account", int(self.written[0]), len(self.events))
        events = np.empty(int(self.written[0]), dtype=EVENT)
        for column, name in enumerate(EVENT.names or ()):
            events[name] = self.events[: len(events), column]
        return events


def room_for(orders: int, bars: Array) -> int:
    """Events that so many orders can bring, at most, on the bars that are stepped through.

    Parameters
    ----------
    orders : int
    bars : Array, shape (n_bars, n_instruments, BAR_COLUMNS)
        Those that `step` is given, not slower ones: each of their settlements is an event of its own.
    """
    settlements = int(np.count_nonzero(np.nan_to_num(bars[:, :, FUNDING_OPEN:])))
    room: int = EVENTS_AN_ORDER * orders + EVENTS_A_SETTLEMENT * settlements + EVENTS_A_BAR * bars.shape[1]
    return room


@kernel
def unrealised(positions: Array) -> float:
    """Profit of all positions at their last marks, quote currency."""
    total = 0.0
    for i in range(len(positions)):
        total += positions[i, SIZE] * (positions[i, MARK] - positions[i, ENTRY])
    return total
