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

from typing import NamedTuple

import numpy as np
from numba import njit

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.swings import Pivots, WeightedSwings, standing

FAILED = 4.0
"""How much faster conviction fades once the close is an ATR back on the wrong side of the broken level."""
BOS, CHOCH = 1.0, 2.0
"""Codes of the events; negative where they point down."""


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
        Last confirmed swing high and low.
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
    swings = WeightedSwings(reach=5)
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
        out = np.full((8, len(close)), np.nan)
        reach = self.swings.reach
        _structure(high, low, close, unit, *swings, reach, self.age, self.guard, self.full, self.step, wanted, out)
        return StructureState(*out)


@njit(cache=True)
def _structure(
    high: Array, low: Array, close: Array, atr: Array,
    top: Array, top_weight: Array, top_height: Array, bottom: Array, bottom_weight: Array, bottom_height: Array,
    reach: int, age: int, guard: int, full: float, step: float, wanted: int, out: Array,
) -> None:  # fmt: skip
    """Run the machine. Uses `x[: t + 1]` only.

    Side 0 looks up; side 1 looks down, in negative prices, so that both follow the same rules.
    """
    last, prior = np.full(2, np.nan), np.full(2, np.nan)  # last two swings
    seen = np.full(2, -age)  # when the last of them was confirmed
    armed = np.zeros(2, dtype=np.bool_)  # whether the last swing is still unbroken
    behind = np.full(2, -np.inf)  # furthest price on the other side since it was made
    leg = np.full(2, -np.inf)  # furthest price since the last event
    trend, protected, base, base_at, conviction = -1, np.nan, np.nan, 0, 0.0
    for t in range(len(close)):
        event, broken = 0.0, np.nan
        for side in range(2):
            sign = 1.0 - 2.0 * side
            leg[side] = max(leg[side], high[t] if side == 0 else -low[t])
            behind[side] = max(behind[side], -low[t] if side == 0 else high[t])
            p = sign * (top[t] if side == 0 else bottom[t])
            if not np.isnan(p):
                weight = top_weight[t] if side == 0 else bottom_weight[t]
                weight = standing(weight, top_height[t] if side == 0 else bottom_height[t], atr[t])
                if weight > 0.0:
                    _confirm(p, weight, t, side, last, prior, seen)
                if weight >= 0.5:
                    armed[side] = True
                    behind[side] = _furthest(low, -1.0, t, reach) if side == 0 else _furthest(high, 1.0, t, reach)
        lost = _beyond(base, (1.0 - 2.0 * trend) * close[t], atr[t]) if trend >= 0 else 0.0
        conviction *= 1.0 - (1.0 + FAILED * lost) * 4.0 / age
        for side in range(2):
            sign = 1.0 - 2.0 * side
            guarded = trend == 1 - side and t - base_at < guard
            level = protected if guarded else last[side]
            beyond = _beyond(sign * close[t], level, full * atr[t]) if guarded or armed[side] else 0.0
            if beyond > 0.0:
                conviction = sign * max(sign * conviction, 2.0 * beyond - 1.0)
            if beyond == 1.0:
                event = sign * (BOS if trend == side else CHOCH)
                protected = behind[side] if trend == side else leg[1 - side]
                broken, base, base_at, trend = sign * level, level, t, side
                armed[side] = False
                leg[0], leg[1] = high[t], -low[t]
                break
        if trend >= 0:
            sign = 1.0 - 2.0 * trend
            fresh = max(1.0 - (t - base_at) / age, 0.0)
            reached = 2.0 * fresh * _beyond(sign * close[t], base, full * atr[t]) - 1.0
            conviction = sign * max(sign * conviction, reached)
        if t >= wanted and atr[t] > 0.0:
            unit = step * atr[t]
            out[0, t] = conviction
            out[1, t] = 0.5 * (_rise(last, prior, seen, 0, t, age, unit) - _rise(last, prior, seen, 1, t, age, unit))
            out[2, t] = 0.0 if trend < 0 else 1.0 - 2.0 * trend
            out[3, t], out[4, t] = event, broken
            out[5, t], out[6, t] = last[0], -last[1]
            out[7, t] = np.nan if trend < 0 else protected * (2.0 * trend - 1.0)


@njit(cache=True)
def _confirm(p: float, weight: float, t: int, side: int, last: Array, prior: Array, seen: Array) -> None:
    """Let a swing take the place of the last one, as far as it counts."""
    if np.isnan(last[side]):
        last[side] = p
    prior[side] = last[side] if np.isnan(prior[side]) else (1.0 - weight) * prior[side] + weight * last[side]
    last[side] = (1.0 - weight) * last[side] + weight * p
    seen[side] = t


@njit(cache=True)
def _beyond(y: float, level: float, clear: float) -> float:
    """How far a close is beyond a level, from 0 at the level to 1 at the clear distance and further out."""
    if clear <= 0.0 or not y > level:
        return 0.0
    return min((y - level) / clear, 1.0)


@njit(cache=True)
def _furthest(x: Array, sign: float, t: int, reach: int) -> float:
    """Largest `sign * x` of the bars t - reach to t."""
    furthest = -np.inf
    for i in range(max(t - reach, 0), t + 1):
        furthest = max(furthest, sign * x[i])
    return furthest


@njit(cache=True)
def _rise(last: Array, prior: Array, seen: Array, side: int, t: int, age: int, unit: float) -> float:
    """How much further the last swing of a side reaches than the one before it, -1..1, fading with age."""
    fresh = 1.0 - (t - seen[side]) / age
    if fresh <= 0.0 or unit <= 0.0:
        return 0.0
    x = (last[side] - prior[side]) / unit
    rise: float = fresh * x / np.sqrt(1.0 + x * x)
    return rise
