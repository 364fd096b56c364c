"""Divergence: price and an oscillator that disagree, and fast scores that part from slow ones.

1. Classic: at each *confirmed* swing the price and the oscillator are compared with the swing before it. Regular
   divergence (a lower low that the oscillator does not follow) warns of a turn, hidden divergence (a higher low with
   a lower oscillator) of a continuation. Its strength grows from nothing with the distance in price (ATR), the
   distance of the oscillator (points) and the margin of both swings, and fades with age.
2. Across timeframes: the fast score of a component against the mean of its slower scores.

Each adds a bounded bonus to the component's score; `blend.py` adds them up and clips.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from virtuoso.clock import Timeframe
from virtuoso.compiled import inner
from virtuoso.market.columns import Array
from virtuoso.prism.component import Component, Feature, Int, Node, Of
from virtuoso.prism.features.swings import SwingPoints, Swings
from virtuoso.prism.features.volatility import ATR
from virtuoso.prism.features.windows import unknown

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
MARGIN_HALF = 0.05
"""Margin in ATR at which a swing counts 0.71."""


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

    def value(
        self, high: Array, low: Array, swings: SwingPoints, atr: Array, oscillator: Array, wanted: int
    ) -> DivergenceState:
        """Strength and kind. Uses `x[: t + 1]` only."""
        assert isinstance(self.oscillator, Component)
        points = self.oscillator.score(oscillator)
        strength, kind = unknown(len(atr)), unknown(len(atr))
        _divergence(swings.high, swings.high_margin, swings.low, swings.low_margin, atr, points,
                    self.swings.reach, self.age, self.apart, wanted, strength, kind)  # fmt: skip
        return DivergenceState(strength, kind)


@inner
def _grown(x: float, half: float) -> float:
    """From 0 at 0 towards 1: x / sqrt(half^2 + x^2)."""
    grown: float = x / np.sqrt(half * half + x * x)
    return grown


@inner
def _strength(price: float, points: float, margin: float, older_margin: float) -> float:
    """How much a pair of swings says: 0 where any part of it is negligible."""
    swing = _grown(margin, MARGIN_HALF) * _grown(older_margin, MARGIN_HALF)
    strength: float = _grown(abs(price), PRICE_HALF) * _grown(abs(points), SCORE_HALF) * swing
    return strength


@njit(cache=True)
def _divergence(
    top: Array, top_margin: Array, bottom: Array, bottom_margin: Array, atr: Array, points: Array,
    reach: int, age: int, apart: int, wanted: int, strength: Array, kind: Array,
) -> None:  # fmt: skip
    """Compare each confirmed swing with the one before it on its side. Uses `x[: t + 1]` only."""
    last_top, last_bottom = -1, -1
    bull, bull_at, bull_kind = 0.0, -1, 0
    bear, bear_at, bear_kind = 0.0, -1, 0
    start = max(0, wanted - age - apart - 2 * reach)
    for t in range(start, len(atr)):
        if t >= reach and not np.isnan(bottom[t]):
            if last_bottom >= 0 and t - last_bottom <= apart and atr[t] > 0:
                price = (bottom[t] - bottom[last_bottom]) / atr[t]
                moved = points[t - reach] - points[last_bottom - reach]
                if price * moved < 0:
                    size = _strength(price, moved, bottom_margin[t] / atr[t], bottom_margin[last_bottom] / atr[t])
                    bull, bull_at, bull_kind = (size, t, 1) if price < 0 else (HIDDEN_WEIGHT * size, t, 2)
            last_bottom = t
        if t >= reach and not np.isnan(top[t]):
            if last_top >= 0 and t - last_top <= apart and atr[t] > 0:
                price = (top[t] - top[last_top]) / atr[t]
                moved = points[t - reach] - points[last_top - reach]
                if price * moved < 0:
                    size = _strength(price, moved, top_margin[t] / atr[t], top_margin[last_top] / atr[t])
                    bear, bear_at, bear_kind = (size, t, 3) if price > 0 else (HIDDEN_WEIGHT * size, t, 4)
            last_top = t
        if t >= wanted:
            up = bull * (1.0 - (t - bull_at) / age) if bull_at >= 0 and t - bull_at < age else 0.0
            down = bear * (1.0 - (t - bear_at) / age) if bear_at >= 0 and t - bear_at < age else 0.0
            strength[t] = up - down
            kind[t] = 0 if up == down else (bull_kind if up > down else bear_kind)
