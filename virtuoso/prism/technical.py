"""The technical face: momentum and the volatility that carries it."""

from __future__ import annotations

import numpy as np
import talib

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.component import Component, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.volatility import WILDER_MEMORY
from virtuoso.prism.scale import Squash


class RSI(Component):
    """Share of recent price movement that was upward."""

    title = "Relative Strength Index"
    source = "Wilder (1978), New Concepts in Technical Trading Systems, ch. 6"
    scale = Squash(half=20.0, centre=50.0)
    bands = {
        80: "RSI {value:.0f}: buyers in full control, stretched",
        60: "RSI {value:.0f}: upward momentum",
        40: "RSI {value:.0f}: momentum is balanced",
        20: "RSI {value:.0f}: downward momentum",
        0: "RSI {value:.0f}: sellers in full control, stretched",
    }
    oscillator = True

    period: int = Int(14, low=2, high=100)

    def memory(self, timeframe: Timeframe) -> int:
        """Wilder's average forgets its start."""
        return WILDER_MEMORY * self.period

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts."""
        return 7 * self.period + 1

    def value(self, close: Array) -> Array:
        """RSI, 0..100, shape (n_bars,). Uses `x[: t + 1]` only."""
        if len(close) <= self.period:
            return np.full(len(close), np.nan)
        rsi: Array = talib.RSI(close, self.period)
        return rsi


FACE = Face("technical", "Technical", {RSI(): 0.20})
