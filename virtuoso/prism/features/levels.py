"""Levels: prices at which confirmed swings cluster, above and below.

1. Every confirmed swing, high or low, marks a price. It counts by how clearly it stood out, less with every bar of
   age, and nothing once it has expired.
2. Swings near each other are one level: the strength of a level is that of the swing plus that of its neighbours.
3. A level below price is support, above it resistance, whichever it was born as. At the level itself it is neither:
   its pull grows from nothing, is strongest `near` away and then fades.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.swings import Pivots, Swings, standing
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

LIFE = "20d"
"""However slow the clock, what is drawn into a chart is forgotten after this span."""
PULL_TOP = 16.0 / (3.0 * np.sqrt(3.0))
"""1 / the largest value of u / (1 + u^2)^2."""
PEAK_U = 1.0 / np.sqrt(3.0)
"""The u at which it is reached."""

BORN, PRICE, OWN, CLUSTER = range(4)
"""Columns of a level: when its swing was confirmed and where, what it counts by itself and with its neighbours."""


class LevelMap(NamedTuple):
    """Support and resistance at each bar.

    Attributes
    ----------
    below, above : Array, >= 0, shape (n_bars,)
        Pull of all levels below and above the close: about the number of fresh swings at their most telling distance.
        NaN where the market has not moved at all.
    support, resistance : Array, price units, shape (n_bars,)
        Nearest level below and above the close that is worth at least `weakest`; NaN where there is none.
    support_strength, resistance_strength : Array, swings, shape (n_bars,)
        What that level is worth: 1 for one clear, fresh swing; NaN where there is none.
    """

    below: Array
    above: Array
    support: Array
    support_strength: Array
    resistance: Array
    resistance_strength: Array


class Levels(Feature):
    """Clustered confirmed swings. Source: Virtuoso, docs/faces/price_structure.md."""

    outputs = LevelMap
    windowed = True
    sparse = True
    swings = Swings(reach=5)
    candles = Candles()

    age: int = Int(240, low=20, high=2000)
    near: float = Float(1.0, low=0.1, high=10.0, unit="ATR")
    width: float = Float(0.5, low=0.1, high=3.0, unit="ATR")
    weakest: float = Float(0.5, low=0.0, high=10.0, unit="swings")

    def lifetime(self, timeframe: Timeframe) -> int:
        """Bars after which a swing is forgotten."""
        return min(self.age, timeframe.bars(LIFE))

    def memory(self, timeframe: Timeframe) -> int:
        """A level of full age, and the neighbours of full age it had at its birth: by construction."""
        return 2 * self.lifetime(timeframe) + 1

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point of support_resistance in 99.5 % of starts."""
        return self.lifetime(timeframe)

    def value(self, candles: CandleBars, swings: Pivots, wanted: int, timeframe: Timeframe) -> LevelMap:
        """Levels and their pull. Uses `x[: t + 1]` only."""
        out = unknown(6, len(candles.close))
        _levels(candles.close, candles.unit, *swings,
                self.lifetime(timeframe), self.near, self.width, self.weakest, wanted, out)  # fmt: skip
        return LevelMap(*out)


@kernel
def _levels(
    close: Array, unit: Array,
    high: Array, high_weight: Array, high_height: Array, low: Array, low_weight: Array, low_height: Array,
    age: int, near: float, width: float, weakest: float, wanted: int, out: Array,
) -> None:  # fmt: skip
    """Keep the swings that have not expired, oldest first, and weigh them at each bar. Uses `x[: t + 1]` only."""
    start = max(0, wanted - 2 * age)
    levels = np.empty((2 * (len(close) - start), 4))
    oldest: Any = np.int64(0)  # a bare 0 would compile everything below once more, for the number 0
    n: Any = np.int64(0)
    for t in range(start, len(close)):
        while oldest < n and t - levels[oldest, BORN] >= age:
            oldest += 1
        own = standing(high_weight[t], high_height[t], unit[t])
        if own > 0.0:
            n = _join(levels, oldest, n, t, high[t], own, age, width * unit[t])
        own = standing(low_weight[t], low_height[t], unit[t])
        if own > 0.0:
            n = _join(levels, oldest, n, t, low[t], own, age, width * unit[t])
        if t >= wanted and unit[t] > 0.0:
            _weigh(levels, oldest, n, t, close[t], PEAK_U / (near * unit[t]), 1.0 / age, weakest, out)


@inner
def _join(levels: Array, oldest: int, n: int, t: int, price: float, own: float, age: int, width: float) -> int:
    """Add a swing; it strengthens its neighbours and they, as far as they are fresh, strengthen it."""
    cluster = own
    for j in range(oldest, n):
        overlap = 1.0 - abs(levels[j, PRICE] - price) / width
        if overlap > 0.0:
            cluster += overlap * levels[j, OWN] * (1.0 - (t - levels[j, BORN]) / age)
            levels[j, CLUSTER] += overlap * own
    levels[n, BORN], levels[n, PRICE], levels[n, OWN], levels[n, CLUSTER] = t, price, own, cluster
    return n + 1


@inner
def _weigh(
    levels: Array, oldest: int, n: int, t: int, close: float, scale: float, per_age: float, weakest: float, out: Array
) -> None:
    """Pull of the levels on both sides of a close, and the nearest of each side."""
    net, total = 0.0, 0.0
    support, resistance, floor, ceiling = -1, -1, -np.inf, np.inf
    for j in range(oldest, n):
        fresh = 1.0 - (t - levels[j, BORN]) * per_age
        u = (close - levels[j, PRICE]) * scale
        beside = 1.0 + u * u
        pull = u / (beside * beside) * (levels[j, OWN] * fresh)
        net += pull
        total += abs(pull)
        if floor < levels[j, PRICE] < ceiling and levels[j, CLUSTER] * fresh >= weakest:
            if u > 0.0:
                support, floor = j, levels[j, PRICE]
            elif u < 0.0:
                resistance, ceiling = j, levels[j, PRICE]
    out[0, t], out[1, t] = PULL_TOP * 0.5 * (total + net), PULL_TOP * 0.5 * (total - net)
    if support >= 0:
        out[2, t], out[3, t] = floor, levels[support, CLUSTER] * (1.0 - (t - levels[support, BORN]) * per_age)
    if resistance >= 0:
        out[4, t], out[5, t] = ceiling, levels[resistance, CLUSTER] * (1.0 - (t - levels[resistance, BORN]) * per_age)
