"""Divergence: price and an oscillator that disagree, and fast scores that part from slow ones.

1. Classic: at each *confirmed* swing the price and the oscillator are compared with the swing before it. Regular
   divergence (a lower low that the oscillator does not follow) warns of a turn, hidden divergence (a higher low with
   a lower oscillator) of a continuation. Its strength grows from nothing with the distance in price (ATR), with that
   of the oscillator (points) and with how much both swings count, and fades with age; the strongest is what holds.
2. Across timeframes: the fast score of a component against the mean of its slower scores.

A swing that counts w hides w of those before it: two tops that are a tick apart are compared with what came before
them as one top would be, and a tick never makes or breaks a divergence.

Each adds a bounded bonus to the component's score; `prism/engine/aggregate.py` adds them up and clips.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.prism.component import Component, Feature, Int, Node, Of
from virtuoso.prism.features.swings import Pivots, Swings, standing
from virtuoso.prism.features.volatility import ATR
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

KINDS = (
    "none",
    "regular_bullish",
    "hidden_bullish",
    "regular_bearish",
    "hidden_bearish",
    "timeframe_bullish",
    "timeframe_bearish",
)
"""Names of the kinds of divergence by their code."""

HIDDEN_WEIGHT = 0.6
PRICE_HALF = 0.5
"""Distance in ATR at which the price part of the strength is 0.71."""
SCORE_HALF = 10.0
"""Distance in points at which the oscillator part of the strength is 0.71."""
HIDDEN_BEHIND = 0.001
"""Share of a swing below which nothing more is looked for: it is negligible, or newer ones hide what lies behind."""


class DivergenceState(NamedTuple):
    """Classic divergence at each bar.

    Attributes
    ----------
    strength : Array, -1..1, shape (n_bars,)
        Bullish minus bearish, faded by age.
    kind : Array, code of KINDS, shape (n_bars,)
        The stronger side.
    """

    strength: Array
    kind: Array


class ClassicDivergence(Feature):
    """Regular and hidden divergence of price and one oscillator on confirmed swings.

    Source: Brown (1999), Technical Analysis for the Trading Professional, ch. 1; strength and fading are ours.
    """

    windowed = True
    outputs = DivergenceState
    swings = Swings(reach=5)
    atr = ATR(period=14)

    oscillator: Node = Of()
    age: int = Int(60, low=10, high=500)
    apart: int = Int(100, low=10, high=500)

    def memory(self, timeframe: Timeframe) -> int:
        """An event of full age and the older swing it was compared with, by construction."""
        return self.age + self.apart + 2 * self.swings.reach + 2

    def value(self, swings: Pivots, atr: Array, oscillator: Array, wanted: int) -> DivergenceState:
        """Strength and kind. Uses `x[: t + 1]` only."""
        assert isinstance(self.oscillator, Component)
        points = self.oscillator.score(oscillator)
        state = DivergenceState(unknown(len(atr)), unknown(len(atr)))
        disagreements(swings, atr, points, SCORE_HALF, False, (1.0, 1.0),
                      self.swings.reach, self.age, self.apart, wanted, state)  # fmt: skip
        return state


@inner
def _grown(x: float) -> float:
    """From 0 at 0 towards 1: x / sqrt(1 + x^2), without its sign."""
    grown: float = abs(x) / np.sqrt(1.0 + x * x)
    return grown


@kernel
def disagreements(
    swings: Pivots, unit: Array, x: Array, half: float, relative: bool, senses: tuple[float, float],
    reach: int, age: int, apart: int, wanted: int, state: DivergenceState,
) -> None:  # fmt: skip
    """Compare each confirmed swing with those before it on its side. Uses `x[: t + 1]` only.

    Parameters
    ----------
    swings : Pivots
    unit : Array, price units
    x : Array
        What is held against the price.
    half : float, unit of `x`
        Distance at which its part of the strength is 0.71.
    relative : bool
        Whether distances of `x` are shares of its older value.
    senses : tuple of float
        At highs and at lows: 1 if `x` should go with the price, -1 if against it.
    reach, age, apart : int, bars
        From a swing to its confirmation; how long a divergence counts; how far swings may lie apart.
    wanted : int
    state : DivergenceState
        Written from `wanted` on.
    """
    n = len(unit)
    bear, bull = np.zeros((2, n)), np.zeros((2, n))
    _side(swings.high, swings.high_weight, swings.high_height, 1.0, unit, x, half, relative, senses[0],
          reach, age, apart, wanted, bear[0], bear[1])  # fmt: skip
    _side(swings.low, swings.low_weight, swings.low_height, -1.0, unit, x, half, relative, senses[1],
          reach, age, apart, wanted, bull[0], bull[1])  # fmt: skip
    for t in range(wanted, n):
        state.strength[t] = bull[0, t] - bear[0, t]
        state.kind[t] = bull[1, t] if bull[0, t] > bear[0, t] else bear[1, t] + 2.0 if bear[0, t] > bull[0, t] else 0.0


@inner
def _side(
    price: Array, weight: Array, height: Array, side: float, unit: Array, x: Array, half: float, relative: bool,
    sense: float, reach: int, age: int, apart: int, wanted: int, strength: Array, kind: Array,
) -> None:  # fmt: skip
    """Write the strongest divergence of a side, faded by age, and 1 for a regular, 2 for a hidden one."""
    born, size, code = np.empty(len(unit), dtype=np.int64), np.empty(len(unit)), np.empty(len(unit))
    first, end = 0, 0  # of those that count and that no newer one outdoes
    for t in range(max(reach, wanted - age + 1), len(unit)):
        regular, hidden = _compared(price, weight, height, side, unit, x, half, relative, sense, reach, apart, t)
        while first < end and t - born[first] >= age:
            first += 1
        if regular + hidden > 0.0:
            while first < end and size[end - 1] * (1.0 - (t - born[end - 1]) / age) <= regular + hidden:
                end -= 1
            born[end], size[end], code[end] = t, regular + hidden, 1.0 if regular >= hidden else 2.0
            end += 1
        for i in range(first, end if t >= wanted else first):
            faded = size[i] * (1.0 - (t - born[i]) / age)
            if faded > strength[t]:
                strength[t], kind[t] = faded, code[i]


@inner
def _compared(
    price: Array, weight: Array, height: Array, side: float, unit: Array, x: Array, half: float, relative: bool,
    sense: float, reach: int, apart: int, t: int,
) -> tuple[float, float]:  # fmt: skip
    """What the swing that is confirmed at bar t says, regular and hidden, against those that it does not hide."""
    regular, hidden = 0.0, 0.0
    seen = standing(weight[t], height[t], unit[t])
    s = t - 1
    while seen > HIDDEN_BEHIND and s >= max(t - apart, reach):
        counts = standing(weight[s], height[s], unit[t])
        if counts > 0.0:
            further = side * (price[t] - price[s]) / unit[t]
            moved = sense * side * (x[t - reach] - x[s - reach])
            if relative:
                moved /= x[s - reach]
            if further * moved < 0.0:
                part = seen * counts * _grown(further / PRICE_HALF) * _grown(moved / half)
                regular += part if further > 0.0 else 0.0
                hidden += HIDDEN_WEIGHT * part if further < 0.0 else 0.0
            seen *= 1.0 - counts
        s -= 1
    return regular, hidden
