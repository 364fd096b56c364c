"""Records: what is decided (INTENT), what happens to an account (EVENT), what became of an intent (TRADE).

Only a strategy (signals/strategy.py) makes intents; backtest, paper and live act on the same ones, no earlier than the
next open. Only the engine (engine.py) makes events.
"""

from __future__ import annotations

import numpy as np

NEXT_OPEN = 1
"""Bars between the close at which an intent is decided and the first open at which it may be acted on."""

INTENT = np.dtype(
    [
        ("number", np.int64),  # base bar at whose close it was decided
        ("side", np.int8),  # +1 be long, -1 be short, 0 be out
        ("price", np.float64),  # close of that bar
        ("entry", np.float64),  # limit price, NaN for a market order
        ("expires", np.int64),  # base bar after whose close an unfilled limit lapses
        ("stop", np.float64),  # price that proves the idea wrong, NaN for none
        ("target", np.float64, (3,)),  # prices, NaN where there is none
        ("size", np.float64, (3,)),  # share of the position taken off at each target
        ("score", np.float64),  # confluence 0..100
        ("reliability", np.float64),  # 0..1
        ("weight", np.float64),  # share of the equity at the decision; NaN is sized by what it risks to its stop
        ("trail", np.float64),  # distance in price at which its stop trails, NaN for the account's
        ("adjust", np.bool_),  # bring what is held to the weight; else one of the side that is held changes nothing
    ]
)
"""One row an intent, in the order of `number`."""


def blank_intents(n: int) -> np.ndarray:
    """Return intents to be out that know nothing: market orders without levels, NaN where a value is not known.

    Returns
    -------
    array of INTENT, shape (n,)
    """
    made = np.zeros(n, dtype=INTENT)
    for name in ("price", "entry", "stop", "target", "score", "reliability", "weight", "trail"):
        made[name] = np.nan
    return made


ENTERED, CLOSED, STOPPED, TARGETED, LIQUIDATED, FUNDED, LAPSED, REJECTED, WITHDRAWN, BROKEN = range(10)
KINDS = ("entry", "signal", "stop", "target", "liquidation", "funding", "lapsed", "rejected", "withdrawn", "break")
"""Kinds of events, by their code; at a break a position is settled at its last mark. What is withdrawn of an order is
what has no place beside what did not leave, at the price of its limit; or what cannot be paid, at that of its fill."""
UNFILLED = (LAPSED, REJECTED, WITHDRAWN)
"""Kinds of events in which nothing is filled or paid."""

EVENT = np.dtype(
    [
        ("instant", np.int64),  # base bar
        ("instrument", np.int64),
        ("kind", np.int8),  # code of KINDS
        ("order", np.int64),  # rank of the order behind it
        ("size", np.float64),  # signed change of the position, base currency; of an UNFILLED one, what is not entered
        ("price", np.float64),  # of the fill, slippage included
        ("fee", np.float64),  # quote currency
        ("slippage", np.float64),  # quote currency, against the price without it
        ("realised", np.float64),  # quote currency, without fee
        ("funding", np.float64),  # quote currency, received if positive
        ("wallet", np.float64),  # quote currency, afterwards
        ("ambiguous", np.bool_),
    ]
)
"""One row an event, in the order in which they happened; kernels write the same columns into a table of floats."""

OPEN, STOP, TARGET, SIGNAL, LIQUIDATION = range(5)
REASONS = ("open", "stop", "target", "signal", "liquidation")
"""Why a trade ended, by its code: it has not, its stop, its target, an intent to be out or on the other side, or the
venue."""

TRADE = np.dtype(
    [
        ("number", np.int64),  # base bar at whose close the intent was decided
        ("side", np.int8),  # +1 long, -1 short
        ("entry_number", np.int64),  # base bar of the fill that opened it
        ("exit_number", np.int64),  # base bar of the fill that closed it, of the last mark while open
        ("entry_price", np.float64),  # fill, slippage included
        ("exit_price", np.float64),  # fill, slippage included; the last close while open
        ("size", np.float64),  # base currency
        ("stop", np.float64),  # price, NaN for none
        ("target", np.float64),  # price, NaN for none
        ("fees", np.float64),  # quote currency, both fills
        ("slippage", np.float64),  # quote currency, both fills, against the prices without it
        ("pnl", np.float64),  # quote currency, after fees and slippage; marked to the last close while open
        ("risk", np.float64),  # quote currency lost if the fill at the stop were exact, NaN without a stop
        ("reason", np.int8),  # code of REASONS
        ("ambiguous", np.bool_),  # the bar that closed it held both its stop and its target
        ("across_gap", np.bool_),  # bars between its fills are not known
        ("score", np.float64),  # confluence of the intent, 0..100
        ("reliability", np.float64),  # of the intent, 0..1
    ]
)
"""One row a trade, from the fill that opened it to the fill that closed it, in the order of `entry_number`."""
