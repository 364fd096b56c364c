"""Swings: highs and lows that have been confirmed, never before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

TIE = 0.02
"""Share of the height of the bars around a swing within which two tops are about equal."""
LOWEST, CLEAR = 0.5, 1.5
"""Height in ATR at which a swing begins to count and from which it counts fully."""


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


class Swings(Feature):
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


@kernel
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


@kernel
def standing(weight: float, height: float, unit: float) -> float:
    """How much a swing counts, 0..1: its weight, times how far it stands out, from nothing at LOWEST on; 0 for NaN."""
    if not height > LOWEST * unit or unit <= 0.0:
        return 0.0
    return weight * min((height / unit - LOWEST) / (CLEAR - LOWEST), 1.0)
