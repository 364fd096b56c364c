"""From fills to trades, equity and what it was compared with: plain arithmetic on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import OPEN, SIGNAL, STOP, TARGET, TRADE
from virtuoso.errors import DataError
from virtuoso.research.crosscheck.orders import EITHER, KnownBars, Terms
from virtuoso.research.crosscheck.vectorbt import FILL
from virtuoso.types import Array


def pair_trades(
    fills: np.ndarray, orders: np.ndarray, intents: np.ndarray, tape: KnownBars, terms: Terms
) -> np.ndarray:
    """Join the fill that opened each position and the one that closed it.

    Parameters
    ----------
    fills : array of FILL
    orders : array of ORDER
    intents : array of INTENT
    tape : KnownBars
    terms : Terms

    Returns
    -------
    array of TRADE
        The last one is marked to the last close if it is still open.

    Raises
    ------
    DataError
        If a position could not be closed whole: a short has lost more than the account held.
    """
    entry, exit_ = fills[0::2], fills[1::2]
    still_open = len(entry) > len(exit_)
    if still_open:
        exit_ = np.append(exit_, _marked(entry[-1], tape))
    whole = np.isclose(entry["size"], exit_["size"], rtol=1e-9) & (entry["side"] != exit_["side"])
    if not whole.all():
        raise _ruined(int(tape.numbers[entry["bar"][np.argmin(whole)]]))
    order = orders[entry["order"]]
    intent = intents[order["intent"]]
    side = entry["side"].astype(np.float64)
    trades = np.empty(len(entry), dtype=TRADE)
    trades["number"], trades["score"], trades["reliability"] = intent["number"], intent["score"], intent["reliability"]
    trades["side"], trades["size"] = entry["side"], entry["size"]
    trades["entry_number"], trades["exit_number"] = tape.numbers[entry["bar"]], tape.numbers[exit_["bar"]]
    trades["entry_price"], trades["exit_price"] = entry["price"], exit_["price"]
    trades["stop"], trades["target"] = order["stop"], order["target"]
    trades["fees"] = entry["fees"] + exit_["fees"]
    trades["slippage"] = _slipped(entry, terms) + np.where(_is_mark(exit_), 0.0, _slipped(exit_, terms))
    trades["pnl"] = side * entry["size"] * (exit_["price"] - entry["price"]) - trades["fees"]
    trades["risk"] = entry["size"] * np.abs(entry["price"] - order["stop"])
    trades["reason"] = _reasons(entry, exit_, orders, terms.slippage)
    trades["ambiguous"] = _ambiguous(trades, exit_, tape)
    trades["across_gap"] = (trades["exit_number"] - trades["entry_number"]) != exit_["bar"] - entry["bar"]
    return trades


def check_solvent(equity: Array, tape: KnownBars) -> None:
    """Refuse an account that lost everything: what follows such a moment is not what a venue would have done.

    Raises
    ------
    DataError
        Names the first bar at whose close nothing was left.
    """
    if (equity <= 0.0).any():
        raise _ruined(int(tape.numbers[np.argmax(equity <= 0.0)]))


def _ruined(number: int) -> DataError:
    return DataError(
        f"A short position lost all that the account held, seen at base bar {number}. This backtest knows no "
        "liquidation: give the intents a stop, or risk less."
    )


_MARK = -2
"""Order of a fill that never happened: the last close of a position that is still open."""


def _marked(entry: np.void, tape: KnownBars) -> np.ndarray:
    last = len(tape) - 1
    return np.array([(last, _MARK, -entry["side"], entry["size"], tape.close[last], 0.0)], dtype=FILL)


def _is_mark(fills: np.ndarray) -> NDArray[np.bool_]:
    marks: NDArray[np.bool_] = fills["order"] == _MARK
    return marks


def _slipped(fills: np.ndarray, terms: Terms) -> Array:
    """Quote currency that slippage cost in each fill."""
    slip = terms.slippage * fills["side"]
    cost: Array = fills["size"] * np.abs(fills["price"] * (slip / (1.0 + slip)))
    return cost


def _reasons(entry: np.ndarray, exit_: np.ndarray, orders: np.ndarray, slippage: float) -> NDArray[np.int8]:
    """Why each trade ended: by an order that closes its side, else at its stop if it lost and its target if it won."""
    side = entry["side"]
    at_order = exit_["order"] >= 0
    closes = np.zeros(len(exit_), dtype=np.int8)
    closes[at_order] = orders["closes"][exit_["order"][at_order]]
    by_signal = at_order & ((closes == side) | (closes == EITHER))
    unslipped = exit_["price"] / (1.0 + slippage * exit_["side"])  # the stop or beyond it, the target or beyond it
    lost = side * (unslipped - entry["price"]) < 0.0
    reasons = np.where(by_signal, SIGNAL, np.where(lost, STOP, TARGET))
    return np.where(_is_mark(exit_), OPEN, reasons).astype(np.int8)


def _ambiguous(trades: np.ndarray, exit_: np.ndarray, tape: KnownBars) -> NDArray[np.bool_]:
    """Whether the bar that closed a trade held stop and target, so that nobody knows which came first."""
    bar, long = exit_["bar"], trades["side"] > 0
    stop, target = trades["stop"], trades["target"]
    low, high = tape.low[bar], tape.high[bar]
    both = np.where(long, (low <= stop) & (high >= target), (high >= stop) & (low <= target))
    opened_beyond = np.where(long, tape.open[bar] <= stop, tape.open[bar] >= stop)
    inside: NDArray[np.bool_] = (exit_["order"] == -1) & both & ~opened_beyond
    return inside


def equity_of(fills: np.ndarray, tape: KnownBars, cash: float) -> tuple[Array, Array]:
    """Equity and position at each close.

    Returns
    -------
    equity : Array, quote currency, shape (n_bars,)
    position : Array, base currency, negative where short, shape (n_bars,)
    """
    bought: Array = fills["side"].astype(np.float64) * fills["size"]
    paid: Array = bought * fills["price"] + fills["fees"]
    position: Array = np.cumsum(np.bincount(fills["bar"], weights=bought, minlength=len(tape)))
    money = np.full(len(tape), cash) - np.cumsum(np.bincount(fills["bar"], weights=paid, minlength=len(tape)))
    return money + position * tape.close, position


def held_equity(tape: KnownBars, terms: Terms) -> Array:
    """Equity of all the cash in the market from the second known open on, on the same terms, never sold.

    Returns
    -------
    Array, quote currency, shape (n_bars,)
        The cash itself before the purchase: a decision at the first close is filled at the next open.
    """
    equity = np.full(len(tape), terms.cash)
    if len(tape) > 1:
        units = terms.cash / (tape.open[1] * (1.0 + terms.slippage) * (1.0 + terms.fees))
        equity[1:] = units * tape.close[1:]
    return equity
