"""Swings: highs and lows that have been confirmed, never before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.component import Feature, Int


class SwingPoints(NamedTuple):
    """What is confirmed at each bar; the swing itself lies `reach` bars back.

    Attributes
    ----------
    high, low : Array, price units, shape (n_bars,)
        Price of the swing high (low) confirmed at this bar, NaN where none is.
    high_margin, low_margin : Array, price units, shape (n_bars,)
        By how much it stands out from the second highest (lowest) bar around it: a swing that a tick more would
        undo weighs about nothing.
    """

    high: Array
    high_margin: Array
    low: Array
    low_margin: Array


class Swings(Feature):
    """Bars that stand above (below) all `reach` bars on either side, reported once those have closed.

    Source: Williams (1995), Trading Chaos, fractals, with a reach of five instead of two.
    """

    outputs = SwingPoints
    sparse = True

    reach: int = Int(5, low=1, high=50)

    def memory(self, timeframe: Timeframe) -> int:
        """The window: `reach` bars on either side."""
        return 2 * self.reach + 1

    def value(self, high: Array, low: Array) -> SwingPoints:
        """Confirmed swings. Uses `x[: t + 1]` only."""
        tops, top_margins = np.full(len(high), np.nan), np.full(len(high), np.nan)
        bottoms, bottom_margins = np.full(len(low), np.nan), np.full(len(low), np.nan)
        _swings(high, 1.0, self.reach, tops, top_margins)
        _swings(low, -1.0, self.reach, bottoms, bottom_margins)
        return SwingPoints(tops, top_margins, bottoms, bottom_margins)


@njit(cache=True)
def _swings(x: Array, side: float, reach: int, price: Array, margin: Array) -> None:
    """Write at bar t the swing of bar t - reach, if it stands out strictly. Uses `x[: t + 1]` only."""
    for t in range(2 * reach, len(x)):
        top = side * x[t - reach]
        rival = -np.inf
        for i in range(t - 2 * reach, t + 1):
            if i != t - reach:
                rival = max(rival, side * x[i])
                if rival >= top:
                    break
        if rival < top:
            price[t] = x[t - reach]
            margin[t] = top - rival
