"""The one seam to vectorbt: orders at opens go in and fills come out; fills go in and a portfolio comes out.

vectorbt knows bars and at most one order a bar, checks stops before signals, and no stop at all on the bar of the
entry. So it is handed more rows than there are bars:

1. An open at which something is decided is a row of its own, an *instant*: open = high = low = close. One instant
   closes what must be closed, a second one opens.
2. The bar itself follows as the next row, so that its stops are checked against its whole range from the entry on,
   and a position that was left at the open is no longer there to be stopped.
3. Prices of stops and targets become fractions of the fill, rounded so that a touch to the tick counts.

Only known bars are handed over: vectorbt would value a missing price at the last one without a word.

`portfolio_of` simulates nothing: it writes fills that have happened as vectorbt's own records of orders, so that its
figures, plots and accessors can be had of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import UNFILLED
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError
from virtuoso.research.crosscheck.orders import KnownBars, Terms
from virtuoso.types import Array

if TYPE_CHECKING:
    import pandas as pd

FILL = np.dtype(
    [
        ("bar", np.int64),  # index into the known bars
        ("order", np.int64),  # index into the orders at whose instant it happened, -1 inside the bar
        ("side", np.int8),  # +1 bought, -1 sold
        ("size", np.float64),  # base currency
        ("price", np.float64),  # slippage included
        ("fees", np.float64),  # quote currency
    ]
)
"""One row a fill, in the order in which they happened."""


def fill_orders(orders: np.ndarray, tape: KnownBars, terms: Terms, timeframe: Timeframe) -> np.ndarray:
    """Fill orders through vectorbt.

    Parameters
    ----------
    orders : array of ORDER
    tape : KnownBars
    terms : Terms
    timeframe : Timeframe

    Returns
    -------
    array of FILL
        Openings and closings alternate.
    """
    if not (orders["side"] != 0).any():
        return np.empty(0, dtype=FILL)
    rows = _Rows(orders, len(tape))
    records = _simulate(rows, orders, tape, terms, timeframe)
    fills = np.empty(len(records), dtype=FILL)
    at = records["idx"]
    fills["bar"], fills["order"] = rows.bar[at], rows.order[at]
    fills["side"] = 1 - 2 * records["side"]
    fills["size"], fills["price"], fills["fees"] = records["size"], records["price"], records["fees"]
    return fills


class _Rows:
    """Which row is which bar, and at which instants orders act.

    Attributes
    ----------
    bar, order : array of int64, shape (n_rows,)
        The bar of a row, and the order at whose instant it stands (-1 for a whole bar).
    closes, opens : array of int64
        Rows at which each order closes; rows at which those that open do.
    """

    def __init__(self, orders: np.ndarray, n_bars: int) -> None:
        opening = orders["side"] != 0
        before = np.cumsum(opening) - opening
        self.closes = orders["bar"] + np.arange(len(orders)) + before
        self.opens = self.closes[opening] + 1
        n_rows = n_bars + len(orders) + int(opening.sum())
        self.order = np.full(n_rows, -1, dtype=np.int64)
        self.order[self.closes] = np.arange(len(orders))
        self.order[self.opens] = np.flatnonzero(opening)
        whole = self.order < 0
        self.bar: NDArray[np.int64] = np.cumsum(whole) - whole


def _simulate(rows: _Rows, orders: np.ndarray, tape: KnownBars, terms: Terms, timeframe: Timeframe) -> np.ndarray:
    """Run vectorbt on the rows and give its order records."""
    import pandas as pd

    instant = rows.order >= 0
    price = tape.open[rows.bar]
    opening = orders[orders["side"] != 0]
    fill = price[rows.opens] * (1.0 + terms.slippage * opening["side"])

    def at(where: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        flags = np.zeros(len(price), dtype=bool)
        flags[where[chosen]] = True
        return flags

    def of_openings(values: Array, elsewhere: float) -> Array:
        full = np.full(len(price), elsewhere)
        full[rows.opens] = values
        return full

    portfolio = _vectorbt("vectorbt").Portfolio.from_signals(
        pd.Series(np.where(instant, price, tape.close[rows.bar]), _row_times(rows, tape, timeframe)),
        open=price,
        high=np.where(instant, price, tape.high[rows.bar]),
        low=np.where(instant, price, tape.low[rows.bar]),
        price=price,
        entries=at(rows.opens, opening["side"] > 0),
        short_entries=at(rows.opens, opening["side"] < 0),
        exits=at(rows.closes, orders["closes"] > 0),
        short_exits=at(rows.closes, orders["closes"] != 1),
        size=of_openings(opening["share"], 0.0),
        size_type="percent",
        sl_stop=of_openings(_fraction(fill, opening["stop"]), np.nan),
        tp_stop=of_openings(_fraction(fill, opening["target"]), np.nan),
        stop_entry_price="fillprice",
        stop_exit_price="stopmarket",
        fees=terms.fees,
        slippage=terms.slippage,
        init_cash=terms.cash,
        lock_cash=True,
        accumulate=False,
    )
    records: np.ndarray = portfolio.order_records
    return records


def _row_times(rows: _Rows, tape: KnownBars, timeframe: Timeframe) -> pd.DatetimeIndex:
    """Times of the rows, without a zone: instants from the open on, the bar at its last millisecond."""
    import pandas as pd

    first = np.flatnonzero(np.diff(rows.bar, prepend=-1))
    nth = np.arange(len(rows.bar)) - first[rows.bar]
    opens = tape.numbers[rows.bar] * timeframe.ms
    return pd.DatetimeIndex((opens + np.where(rows.order >= 0, nth, timeframe.ms - 1)).astype("M8[ms]"))


def _fraction(fill: Array, level: Array) -> Array:
    """Distance of a price from the fill as vectorbt wants it, so that it finds the price again.

    vectorbt multiplies the fill by 1 - f or 1 + f. The product is nudged by single roundings until it is not on the
    far side of the level: a bar whose low is exactly the stop has touched it.
    """
    above = level > fill
    factor = level / fill
    with np.errstate(invalid="ignore"):
        for _ in range(4):
            off = np.where(above, fill * factor > level, fill * factor < level)
            if not off.any():
                break
            factor = np.where(off, np.nextafter(factor, np.where(above, -np.inf, np.inf)), factor)
    return np.abs(factor - 1.0)


def portfolio_of(
    events: np.ndarray, close: Array, close_times: NDArray[np.int64], first: int, names: Sequence[str], cash: float,
    timeframe: Timeframe,
) -> Any:  # fmt: skip
    """Return fills as a portfolio of vectorbt; all instruments share its cash.

    Parameters
    ----------
    events : array of EVENT
        Of which those with a price are fills, but for what was not entered.
    close : Array, shape (n_bars, n_instruments)
    close_times : array of int64, ms, shape (n_bars,)
    first : int
        Number of the first bar.
    names : sequence of str
        Of the instruments.
    cash : float
        What the account began with.
    timeframe : Timeframe

    Returns
    -------
    vectorbt.Portfolio
    """
    import pandas as pd

    enums, portfolio = _vectorbt("vectorbt.portfolio.enums"), _vectorbt("vectorbt").Portfolio
    wrapping = _vectorbt("vectorbt.base.array_wrapper")
    filled = np.isfinite(events["price"]) & (events["size"] != 0.0) & ~np.isin(events["kind"], UNFILLED)
    fills = events[filled]
    fills = fills[np.lexsort((fills["instant"], fills["instrument"]))]
    orders = np.zeros(len(fills), dtype=enums.order_dt)
    orders["id"], orders["col"], orders["idx"] = np.arange(len(fills)), fills["instrument"], fills["instant"] - first
    orders["size"], orders["price"], orders["fees"] = np.abs(fills["size"]), fills["price"], fills["fee"]
    orders["side"] = np.where(fills["size"] > 0.0, enums.OrderSide.Buy, enums.OrderSide.Sell)
    index = pd.DatetimeIndex(close_times.astype("M8[ms]"))
    prices = pd.DataFrame(close, index, list(names))
    wrapper = wrapping.ArrayWrapper.from_obj(prices, freq=pd.Timedelta(timeframe.ms, "ms"), group_by=True)
    return portfolio(
        wrapper, prices, orders, np.empty(0, dtype=enums.log_dt), np.array([cash]), cash_sharing=True, fillna_close=True
    )


def _vectorbt(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as absent:
        raise ConfigError(
            "This goes through vectorbt, which is not installed: pip install vectorbt. Nothing else needs it."
        ) from absent
