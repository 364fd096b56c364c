"""Zones: stretches of price that one side left behind in a hurry, order blocks and fair value gaps.

1. An event makes a zone: a displacement leaves the last opposite candle (order block), three bars leave a stretch
   that was not traded both ways (fair value gap). It counts by how far it is beyond its threshold: a negligible one
   counts about nothing.
2. From the next bar on price may come back. What the deepest return has left of the zone is what still counts;
   a tenth of an ATR beyond its far edge, nothing is left.
3. A zone counts less with every bar of age, and nothing once it has expired.
4. A bullish zone lies below price or around it and pulls it up, a bearish one pulls it down; the nearer the more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.levels import LIFE
from virtuoso.prism.features.volatility import FLOOR
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

LOOK_BACK = 6
"""Bars before a displacement among which the last opposite candle is looked for."""
BODY = 0.2
"""Body in ATR from which a candle is fully an opposite one; a doji is not."""
CLEARANCE = 0.25
"""Distance in ATR by which a displacement must have left its block to count fully."""

WHOLE, BOTTOM, TOP, BORN, EDGE, DEEPEST, LEFT = range(7)
"""Columns of an open zone: what it was worth when it was made, where it lies, when that was, where it is used up, how
deep price has come back, what is left of it."""


class ZoneMap(NamedTuple):
    """Open zones at each bar.

    Attributes
    ----------
    bull, bear : Array, >= 0, shape (n_bars,)
        Pull of all open zones of a side: about the number of fresh, untouched zones at hand. NaN where the market
        has not moved at all.
    bull_bottom, bull_top, bear_bottom, bear_top : Array, price units, shape (n_bars,)
        Nearest open zone of a side that is worth at least `weakest`; NaN where there is none.
    bull_strength, bear_strength : Array, 0..1, shape (n_bars,)
        What that zone is worth: 1 if made by a clear event, untouched and fresh; NaN where there is none.
    """

    bull: Array
    bull_bottom: Array
    bull_top: Array
    bull_strength: Array
    bear: Array
    bear_bottom: Array
    bear_top: Array
    bear_strength: Array


class _Zones(Feature):
    """What order blocks and gaps share: how zones are kept, filled and forgotten."""

    outputs = ZoneMap
    windowed = True
    sparse = True
    candles = Candles()

    age: int = Int(240, low=20, high=2000)
    near: float = Float(2.0, low=0.2, high=20.0, unit="ATR")
    weakest: float = Float(0.1, low=0.0, high=1.0, unit="zones")

    def lifetime(self, timeframe: Timeframe) -> int:
        """Bars after which a zone is forgotten."""
        return min(self.age, timeframe.bars(LIFE))

    def memory(self, timeframe: Timeframe) -> int:
        """A zone of full age and the bars that made it: by construction."""
        return self.lifetime(timeframe) + LOOK_BACK + 2

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts."""
        return self.lifetime(timeframe)

    def _kept(self, bull: Array, bear: Array, candles: CandleBars, wanted: int, age: int) -> ZoneMap:
        """Keep the zones made at each bar (strength, bottom, top); a bearish one is bullish in negative prices."""
        _, high, low, close, atr, _ = candles
        up, down = unknown(2, 4, len(close))
        _zones(bull, low, close, atr, age, self.near, self.weakest, wanted, up)
        _zones(bear, -high, -close, atr, age, self.near, self.weakest, wanted, down)
        return ZoneMap(up[0], up[1], up[2], up[3], down[0], -down[2], -down[1], down[3])


class BlockZones(_Zones):
    """The last opposite candle before a displacement.

    A displacement is a body of more than one ATR (of the bar before it), full from two ATR on. Which candle was the
    last opposite one is shared out where that is a doji: the zone is then the weighted mean of the candidates.

    Source: the order block of the smart-money school, which has no single text; as defined in
    docs/faces/price_structure.md.
    """

    def value(self, candles: CandleBars, wanted: int, timeframe: Timeframe) -> ZoneMap:
        """Open order blocks. Uses `x[: t + 1]` only."""
        open, high, low, close, atr, _ = candles
        age = self.lifetime(timeframe)
        bull, bear = np.zeros((2, 3, len(close)))
        _blocks(open, high, low, close, atr, wanted - age, bull)
        _blocks(-open, -low, -high, -close, atr, wanted - age, bear)
        return self._kept(bull, bear, candles, wanted, age)


class GapZones(_Zones):
    """Three bars whose first and third do not touch: what lies between was traded one way only.

    It counts x^2 / (1/4 + x^2) for a height of x ATR.

    Source: the fair value gap of the smart-money school, which has no single text; as defined in
    docs/faces/price_structure.md.
    """

    age: int = Int(120, low=20, high=2000)

    def value(self, candles: CandleBars, wanted: int, timeframe: Timeframe) -> ZoneMap:
        """Open gaps. Uses `x[: t + 1]` only."""
        _, high, low, close, atr, _ = candles
        age = self.lifetime(timeframe)
        bull, bear = np.zeros((2, 3, len(close)))
        _gaps(high, low, atr, wanted - age, bull)
        _gaps(-low, -high, atr, wanted - age, bear)
        return self._kept(bull, bear, candles, wanted, age)


@kernel
def _blocks(open: Array, high: Array, low: Array, close: Array, atr: Array, start: int, found: Array) -> None:
    """Write the bullish order block that a bar makes; a bearish one is that of the negative prices."""
    for t in range(max(start, LOOK_BACK), len(close)):
        unit = atr[t - 1]
        body = close[t] - open[t]
        if unit <= 0.0 or body <= unit:
            continue
        left, bottom, top = 1.0, 0.0, 0.0  # share of the zone that is still to be given to an earlier candle
        for i in range(t - 1, t - LOOK_BACK - 1, -1):
            share = left * min(max((open[i] - close[i]) / (BODY * unit), 0.0), 1.0)
            bottom += share * low[i]
            top += share * high[i]
            left -= share
            if left <= 0.0:
                break
        if left < 1.0:
            bottom, top = bottom / (1.0 - left), top / (1.0 - left)
            clear = min(max((close[t] - top) / (CLEARANCE * unit), 0.0), 1.0)
            found[WHOLE, t] = min(body / unit - 1.0, 1.0) * clear * (1.0 - left)
            found[BOTTOM, t], found[TOP, t] = bottom, top


@kernel
def _gaps(high: Array, low: Array, atr: Array, start: int, found: Array) -> None:
    """Write the bullish gap that three bars leave; a bearish one is that of the negative prices."""
    for t in range(max(start, 2), len(high)):
        height = low[t] - high[t - 2]
        if height > 0.0 and atr[t - 2] > 0.0:
            x = height / atr[t - 2]
            found[WHOLE, t], found[BOTTOM, t], found[TOP, t] = x * x / (0.25 + x * x), high[t - 2], low[t]


@kernel
def _zones(
    found: Array, low: Array, close: Array, atr: Array, age: int, near: float, weakest: float, wanted: int, out: Array
) -> None:
    """Keep the open bullish zones, oldest first, and weigh them at each bar. Uses `x[: t + 1]` only."""
    start = max(0, wanted - age)
    zones = np.empty((len(close) - start, 7))
    lowest = np.empty(len(close) - start)  # lowest low after each bar and before `wanted`
    deepest = np.inf
    for s in range(len(close) - 1, start - 1, -1):
        lowest[s - start] = deepest
        if s < wanted:
            deepest = min(deepest, low[s])
    oldest: Any = np.int64(0)  # a bare 0 would compile everything below once more, for the number 0
    n: Any = np.int64(0)
    for t in range(start, len(close)):
        if t >= wanted:
            while oldest < n and t - zones[oldest, BORN] >= age:
                oldest += 1
            n = _fill(zones, oldest, n, low[t])
        if found[WHOLE, t] > 0.0:
            zones[n, WHOLE], zones[n, BOTTOM], zones[n, TOP] = found[WHOLE, t], found[BOTTOM, t], found[TOP, t]
            zones[n, BORN], zones[n, EDGE] = t, found[BOTTOM, t] - FLOOR * atr[t]
            zones[n, DEEPEST] = lowest[t - start]
            zones[n, LEFT] = _left(zones, n)
            n += zones[n, LEFT] > 0.0
        if t >= wanted and atr[t] > 0.0:
            _weigh(zones, oldest, n, t, close[t], 1.0 / (near * atr[t]), 1.0 / age, weakest, out)


@inner
def _left(zones: Array, j: int) -> float:
    """What is left of a zone: its strength, times the share of it that price has not come back to."""
    share: float = (zones[j, DEEPEST] - zones[j, EDGE]) / (zones[j, TOP] - zones[j, EDGE])
    left: float = zones[j, WHOLE] * min(max(share, 0.0), 1.0)
    return left


@inner
def _fill(zones: Array, oldest: int, n: int, low: float) -> int:
    """Take from the open zones what a low has reached; drop those of which nothing is left, say how many remain."""
    filled = False
    for j in range(oldest, n):
        if low < zones[j, DEEPEST]:
            zones[j, DEEPEST] = low
            zones[j, LEFT] = _left(zones, j)
            filled = filled or zones[j, LEFT] == 0.0
    if not filled:
        return n
    kept = oldest
    for j in range(oldest, n):
        if zones[j, LEFT] > 0.0:
            for k in range(7):
                zones[kept, k] = zones[j, k]
            kept += 1
    return kept


@inner
def _weigh(
    zones: Array, oldest: int, n: int, t: int, close: float, per_near: float, per_age: float, weakest: float, out: Array
) -> None:
    """Add up the pull of the open zones at bar t, and find the nearest that is worth naming."""
    pull, nearest, strongest = 0.0, -1, 0.0
    for j in range(oldest, n):
        worth = zones[j, LEFT] * (1.0 - (t - zones[j, BORN]) * per_age)
        away = max(close - zones[j, TOP], 0.0) * per_near
        pull += worth / (1.0 + away * away)
        if worth >= weakest and (nearest < 0 or zones[j, TOP] > zones[nearest, TOP]):
            nearest, strongest = j, worth
    out[0, t] = pull
    if nearest >= 0:
        out[1, t], out[2, t], out[3, t] = zones[nearest, BOTTOM], zones[nearest, TOP], strongest
