"""Swings: highs and lows that have been confirmed, never before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.windows import unknown

TIE = 0.02
"""Share of the height of the bars around a swing within which two tops are about equal."""
LOWEST, CLEAR = 0.5, 1.5
"""Height in ATR at which a swing begins to count and from which it counts fully."""


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

    windowed = True
    outputs = SwingPoints
    sparse = True

    reach: int = Int(5, low=1, high=50)

    def memory(self, timeframe: Timeframe) -> int:
        """The window: `reach` bars on either side."""
        return 2 * self.reach + 1

    def value(self, high: Array, low: Array) -> SwingPoints:
        """Confirmed swings. Uses `x[: t + 1]` only."""
        tops, top_margins = unknown(len(high)), unknown(len(high))
        bottoms, bottom_margins = unknown(len(low)), unknown(len(low))
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


class Pivots(NamedTuple):
    """Confirmed swings with how much each counts; the swing itself lies `reach` bars back.

    Attributes
    ----------
    high, low : Array, price units, shape (n_bars,)
        Price of the swing high (low) confirmed at this bar, NaN where none is.
    high_weight, low_weight : Array, 0..1, shape (n_bars,)
        1 for a clear swing. Of (nearly) equal tops the first counts and the others do not; in between the weight
        moves over smoothly, and the weights of one top sum to about 1.
    high_height, low_height : Array, price units, shape (n_bars,)
        How far price came to the swing and went away from it within `reach` bars, the smaller of both.
    """

    high: Array
    high_weight: Array
    high_height: Array
    low: Array
    low_weight: Array
    low_height: Array


class WeightedSwings(Feature):
    """Swings as levels are drawn from: equal highs are one swing, and a tick never makes or breaks one.

    A bar counts by how clearly it stands above the `reach` bars before it, times how little the `reach` bars after
    it stand above it; both are measured against TIE, a share of the height of those bars.
    """

    windowed = True
    outputs = Pivots
    sparse = True
    candles = Candles()

    reach: int = Int(5, low=1, high=50)

    def memory(self, timeframe: Timeframe) -> int:
        """The window: `reach` bars on either side."""
        return 2 * self.reach + 1

    def value(self, candles: CandleBars, wanted: int) -> Pivots:
        """Confirmed swings. Uses `x[: t + 1]` only."""
        high, low = candles.high, candles.low
        out = unknown(6, len(high))
        _pivots(high, low, 1.0, self.reach, wanted, out[0], out[1], out[2])
        _pivots(low, high, -1.0, self.reach, wanted, out[3], out[4], out[5])
        return Pivots(*out)


@njit(cache=True)
def _pivots(
    x: Array, other: Array, side: float, reach: int, wanted: int, price: Array, weight: Array, height: Array
) -> None:
    """Write at bar t the swing of bar t - reach. Uses `x[: t + 1]` only."""
    for t in range(max(2 * reach, wanted), len(x)):
        c = t - reach
        top = side * x[c]
        before = side * x[c - 1]
        for i in range(c - reach, c - 1):
            before = max(before, side * x[i])
            if before >= top:
                break
        if before >= top:
            continue
        after = -np.inf
        left, right = np.inf, np.inf
        for i in range(1, reach + 1):
            after = max(after, side * x[c + i])
            left = min(left, side * other[c - i])
            right = min(right, side * other[c + i])
        tie = TIE * (max(top, after) - min(left, right))
        if after - top < tie:
            price[t] = x[c]
            weight[t] = min((top - before) / tie, 1.0) * min(1.0 - (after - top) / tie, 1.0)
            height[t] = top - max(left, right)


@njit(cache=True)
def standing(weight: float, height: float, unit: float) -> float:
    """How much a swing counts, 0..1: its weight, times how far it stands out, from nothing at LOWEST on; 0 for NaN."""
    if not height > LOWEST * unit or unit <= 0.0:
        return 0.0
    return weight * min((height / unit - LOWEST) / (CLEAR - LOWEST), 1.0)
