"""Market structure: swings in sequence, breaks of structure, changes of character.

1. Higher highs and higher lows make an uptrend, lower highs and lower lows a downtrend. A swing takes part once it is
   confirmed; one that barely stands out moves the sequence barely.
2. In an uptrend the last swing high is watched: a close clearly above it is a *break of structure* (BOS), and the low
   from which it came becomes the protected low.
3. A close clearly below the protected low is a *change of character* (CHoCH): the trend turns, and the highest high
   of the old trend becomes the protected high. A low is protected for `guard` bars after the break that made it; then
   the last swing low takes its place. In a downtrend everything is the other way round.
4. Conviction is what a break is worth: it moves from the old side to the new one as the close moves from the level to
   a clear distance beyond it, stays while the close holds there, and fades with age, faster where the break fails.
   A tick decides nothing.

The machine has no bounded memory by construction, but it coalesces: after a few breaks it no longer matters where it
was started. The memory law checks that.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.swings import Pivots, Swings, standing
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

FAILED = 4.0
"""How much faster conviction fades once the close is an ATR back on the wrong side of the broken level."""
BOS, CHOCH = 1.0, 2.0
"""Codes of the events; negative where they point down."""
UP, DOWN = cast(int, np.int64(0)), cast(int, np.int64(1))
"""Rows of the sides; typed, since a bare 0 would compile what is given it once more, for the number 0."""
LAST, PRIOR, SEEN, ARMED, BEHIND, LEG = range(6)
"""Columns of a side: its last two swings, when the last was confirmed and whether it is unbroken, the furthest price on
the other side since it was made, the furthest price on its own side since the last event."""


class StructureState(NamedTuple):
    """Market structure at each bar.

    Attributes
    ----------
    conviction : Array, -1..1, shape (n_bars,)
        What the last break is worth: 1 for a fresh upward one that the close stands well above.
    sequence : Array, -1..1, shape (n_bars,)
        Mean of how much higher the last swing high and the last swing low are than the ones before them.
        Both are NaN, as is all else, where the market has not moved at all.
    trend : Array, -1, 0 or 1, shape (n_bars,)
        Direction of the last break; 0 before the first one.
    event : Array, shape (n_bars,)
        BOS or CHOCH, negative where downward, 0 where nothing broke.
    broken : Array, price units, shape (n_bars,)
        Level that was broken at this bar, NaN where none was.
    high, low : Array, price units, shape (n_bars,)
        Last confirmed swing high and low, the levels to be broken: the price of a swing that counts fully, and where
        it counts w a mean of weight w with the swing before it. Swings has the prices themselves.
    protected : Array, price units, shape (n_bars,)
        Level beyond which the character would change.
    """

    conviction: Array
    sequence: Array
    trend: Array
    event: Array
    broken: Array
    high: Array
    low: Array
    protected: Array


class Structure(Feature):
    """State of the market structure.

    Source: Dow's trend of higher highs and higher lows (Hamilton 1922, The Stock Market Barometer); break of
    structure, change of character and protected swing as the smart-money school draws them, as defined in
    docs/faces/price_structure.md.
    """

    outputs = StructureState
    sparse = True
    swings = Swings(reach=5)
    candles = Candles()

    age: int = Int(240, low=20, high=2000)
    guard: int = Int(24, low=1, high=2000)
    full: float = Float(0.25, low=0.05, high=5.0, unit="ATR")
    step: float = Float(1.5, low=0.1, high=10.0, unit="ATR")

    def memory(self, timeframe: Timeframe) -> int:
        """Measured: of 25,000 starts none was still felt after 512 bars."""
        return 768

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts; quiet minutes have few swings."""
        return 300 if timeframe.ms < 300_000 else 180

    def value(self, candles: CandleBars, swings: Pivots, wanted: int) -> StructureState:
        """Structure at each bar. Uses `x[: t + 1]` only."""
        _, high, low, close, unit, _ = candles
        out = unknown(8, len(close))
        sides = np.array([[np.nan, np.nan, -self.age, 0.0, -np.inf, -np.inf]] * 2)
        reach, age, guard = self.swings.reach, self.age, self.guard
        _structure(high, low, close, unit, *swings, sides, reach, age, guard, self.full, self.step, wanted, out)
        return StructureState(*out)


@kernel
def _structure(
    high: Array, low: Array, close: Array, atr: Array,
    top: Array, top_weight: Array, top_height: Array, bottom: Array, bottom_weight: Array, bottom_height: Array,
    sides: Array, reach: int, age: int, guard: int, full: float, step: float, wanted: int, out: Array,
) -> None:  # fmt: skip
    """Run the machine. Uses `x[: t + 1]` only.

    Side 0 looks up; side 1 looks down, in negative prices, so that both follow the same rules.
    """
    trend, protected, base, base_at, conviction = -1, np.nan, np.nan, 0, 0.0
    for t in range(len(close)):
        _reach_out(sides, high[t], low[t])
        counts = standing(top_weight[t], top_height[t], atr[t])
        if counts > 0.0:
            _confirm(sides, UP, t, top[t], counts, _furthest(low, -1.0, t, reach))
        counts = standing(bottom_weight[t], bottom_height[t], atr[t])
        if counts > 0.0:
            _confirm(sides, DOWN, t, -bottom[t], counts, _furthest(high, 1.0, t, reach))
        lost = _beyond(base, (1.0 - 2.0 * trend) * close[t], atr[t]) if trend >= 0 else 0.0
        conviction *= 1.0 - (1.0 + FAILED * lost) * 4.0 / age
        event, broken = 0.0, np.nan
        for side in range(2):
            sign = 1.0 - 2.0 * side
            guarded = trend == 1 - side and t - base_at < guard
            level = protected if guarded else sides[side, LAST]
            if not guarded and sides[side, ARMED] == 0.0:
                continue
            beyond = _beyond(sign * close[t], level, full * atr[t])
            if beyond > 0.0:
                conviction = sign * max(sign * conviction, 2.0 * beyond - 1.0)
            if beyond == 1.0:
                event, broken = sign * (BOS if trend == side else CHOCH), sign * level
                protected = sides[side, BEHIND] if trend == side else sides[1 - side, LEG]
                base, base_at, trend = level, t, side
                sides[side, ARMED] = 0.0
                sides[0, LEG], sides[1, LEG] = high[t], -low[t]
                break
        if trend >= 0:
            sign = 1.0 - 2.0 * trend
            fresh = max(1.0 - (t - base_at) / age, 0.0)
            reached = 2.0 * fresh * _beyond(sign * close[t], base, full * atr[t]) - 1.0
            conviction = sign * max(sign * conviction, reached)
        if t >= wanted and atr[t] > 0.0:
            out[0, t] = conviction
            out[1, t] = 0.5 * (_rise(sides, UP, t, age, step * atr[t]) - _rise(sides, DOWN, t, age, step * atr[t]))
            out[2, t] = 0.0 if trend < 0 else 1.0 - 2.0 * trend
            out[3, t], out[4, t] = event, broken
            out[5, t], out[6, t] = sides[0, LAST], -sides[1, LAST]
            out[7, t] = np.nan if trend < 0 else protected * (2.0 * trend - 1.0)


@inner
def _reach_out(sides: Array, high: float, low: float) -> None:
    """Take a bar into the furthest prices of each side."""
    sides[0, LEG], sides[1, LEG] = max(sides[0, LEG], high), max(sides[1, LEG], -low)
    sides[0, BEHIND], sides[1, BEHIND] = max(sides[0, BEHIND], -low), max(sides[1, BEHIND], high)


@inner
def _confirm(sides: Array, side: int, t: int, price: float, counts: float, behind: float) -> None:
    """Let a swing take the place of the last one, as far as it counts; half a swing is one to be broken."""
    if np.isnan(sides[side, LAST]):
        sides[side, LAST], sides[side, PRIOR] = price, price
    sides[side, PRIOR] = (1.0 - counts) * sides[side, PRIOR] + counts * sides[side, LAST]
    sides[side, LAST] = (1.0 - counts) * sides[side, LAST] + counts * price
    sides[side, SEEN] = t
    if counts >= 0.5:
        sides[side, ARMED], sides[side, BEHIND] = 1.0, behind


@inner
def _beyond(y: float, level: float, clear: float) -> float:
    """How far a close is beyond a level, from 0 at the level to 1 at the clear distance and further out."""
    if clear <= 0.0 or not y > level:
        return 0.0
    return min((y - level) / clear, 1.0)


@inner
def _furthest(x: Array, sign: float, t: int, reach: int) -> float:
    """Largest of the bars t - reach to t, times a sign."""
    furthest: float = sign * x[t]
    for i in range(max(t - reach, 0), t):
        furthest = max(furthest, sign * x[i])
    return furthest


@inner
def _rise(sides: Array, side: int, t: int, age: int, unit: float) -> float:
    """How much further the last swing of a side reaches than the one before it, -1..1, fading with age."""
    fresh = 1.0 - (t - sides[side, SEEN]) / age
    if fresh <= 0.0:
        return 0.0
    x = (sides[side, LAST] - sides[side, PRIOR]) / unit
    rise: float = fresh * x / np.sqrt(1.0 + x * x)
    return rise
