"""How much a market moves: the unit in which prices become comparable."""

from __future__ import annotations

import numpy as np
import talib

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.component import Feature, Int

WILDER_MEMORY = 46
"""Wilder's average forgets (1 - 1/n)^k; 46 n leaves 1e-20, and the memory law checks what that means in points."""


class ATR(Feature):
    """Average true range: Wilder's average of the true range, in price units.

    Source: Wilder (1978), New Concepts in Technical Trading Systems, ch. 3.
    """

    period: int = Int(14, low=2, high=100)

    def memory(self, timeframe: Timeframe) -> int:
        """Wilder's average forgets its start."""
        return WILDER_MEMORY * self.period

    def warmup(self, timeframe: Timeframe) -> int:
        """Bars after which the start is worth less than one point in 99.5 % of starts."""
        return 6 * self.period + 1

    def value(self, high: Array, low: Array, close: Array) -> Array:
        """Average true range, price units, shape (n_bars,). Uses `x[: t + 1]` only."""
        if len(close) <= self.period:
            return np.full(len(close), np.nan)
        atr: Array = talib.ATR(high, low, close, self.period)
        return atr
