"""A trade: what became of an intent, from the fill that opened it to the fill that closed it."""

from __future__ import annotations

import numpy as np

REASONS = ("open", "stop", "target", "signal", "liquidation")
"""Why a trade ended, by its code: it has not, its stop, its target, an intent to be out or on the other side, or the
venue."""

OPEN, STOP, TARGET, SIGNAL, LIQUIDATION = range(5)

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
"""One row a trade, in the order of `entry_number`."""
