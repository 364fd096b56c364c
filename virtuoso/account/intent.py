"""An intent: what is to be done about an instrument, decided at the close of a bar.

Only `signals/strategy.py` makes intents from scores; backtest, paper and live act on the same records, no earlier
than the next open.
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
    ]
)
"""One row an intent, in the order of `number`."""
