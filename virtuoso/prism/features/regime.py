"""The regime: trend or range, calm or volatile, read from closed bars by declared rules.

1. Efficiency is the way from the close `span` bars ago over the path since then, -1..1 (Kaufman's efficiency ratio with
   its sign). A trend begins where its size reaches `trend_enter` and ends where it falls below `trend_leave`.
2. Stretch is the mean true range of the last bars over that of the last many. The market is volatile from
   `volatile_enter` on until it falls below `volatile_leave`.
3. Either state lapses `age` bars after it was last entered, so that its memory is bounded and obeys the one law.

Nothing here looks ahead, and nothing is smoothed afterwards: what is called a trend is one that could be seen.

Source: Kaufman (1995), Smarter Trading, ch. 7, for the ratio; states and hysteresis are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.hysteresis import active
from virtuoso.prism.features.volatility import FLOOR, MeanRange
from virtuoso.prism.features.windows import steps, wsum
from virtuoso.prism.scale import ratio
from virtuoso.types import Array


class RegimeState(NamedTuple):
    """What the market is like at each bar.

    Attributes
    ----------
    efficiency : Array, -1..1, shape (n_bars,)
        Above 0 upwards.
    stretch : Array, shape (n_bars,)
        1 is as volatile as usual.
    code : Array, shape (n_bars,)
        Of REGIMES.
    """

    efficiency: Array
    stretch: Array
    code: Array


class Regime(Feature):
    """Trend or range, calm or volatile."""

    windowed = True
    outputs = RegimeState
    unit = MeanRange(period=14)
    usual = MeanRange(period=200)

    span: int = Int(40, low=5, high=200)
    age: int = Int(120, low=10, high=500)
    trend_enter: float = Float(0.35, low=0.05, high=0.95, unit="share")
    trend_leave: float = Float(0.20, low=0.0, high=0.9, unit="share")
    volatile_enter: float = Float(1.30, low=1.0, high=5.0, unit="of the usual range")
    volatile_leave: float = Float(1.05, low=0.5, high=5.0, unit="of the usual range")

    def memory(self, timeframe: Timeframe) -> int:
        """The states' age, the path behind the oldest of them, and the close before it."""
        return self.age + self.span + 1

    def value(self, close: Array, unit: Array, usual: Array, first: int) -> RegimeState:
        """Efficiency, stretch and code. Uses `x[: t + 1]` only."""
        way = np.full(len(close), np.nan)
        way[self.span :] = close[self.span :] - close[: -self.span]
        # a path of ticks is no trend: a tenth of the mean range a bar is added to it
        path = wsum(np.abs(steps(close)), self.span, first) + FLOOR * unit * self.span
        efficiency, stretch = ratio(way, path), ratio(unit, usual)
        size = np.abs(efficiency)
        trending = active(size >= self.trend_enter, ~(size >= self.trend_leave), self.age)
        volatile = active(stretch >= self.volatile_enter, ~(stretch >= self.volatile_leave), self.age)
        code = np.where(np.isfinite(efficiency) & np.isfinite(stretch), 2.0 * trending + volatile, np.nan)
        return RegimeState(efficiency, stretch, code)
