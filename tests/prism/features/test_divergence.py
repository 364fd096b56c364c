"""Classic divergence: textbook situations by hand, and a slow twin written from the definition."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import market
from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import PRICES
from virtuoso.prism.engine.aggregate import BONUS_LIMIT
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.features.divergence import (
    HIDDEN_BEHIND,
    HIDDEN_WEIGHT,
    KINDS,
    PRICE_HALF,
    SCORE_HALF,
    ClassicDivergence,
)
from virtuoso.prism.features.swings import Pivots, standing
from virtuoso.prism.laws.disturb import changed, noisy

NODE = ClassicDivergence(oscillator=RSI())
N, REACH = 120, 5
NAN = float("nan")


def seen(side: str, *swings: tuple[int, float, float, float]) -> tuple[np.ndarray, list[str]]:
    """Swings by the bar that confirms them, price, RSI and weight; the strength and kind at every bar."""
    columns = {name: np.full(N, NAN) for name in Pivots._fields}
    oscillator = np.full(N, 50.0)
    for at, price, rsi, weight in swings:
        columns[side][at], columns[f"{side}_weight"][at], columns[f"{side}_height"][at] = price, weight, 2.0
        oscillator[at - REACH] = rsi
    found = NODE.value(swings=Pivots(**columns), atr=np.ones(N), oscillator=oscillator, wanted=0)
    return found.strength, [KINDS[int(k)] for k in found.kind]


def situation(side: str, first: tuple[float, float], second: tuple[float, float]) -> tuple[np.ndarray, list[str]]:
    """Two clear swings confirmed at bars 40 and 60, each a price and an RSI."""
    return seen(side, (40, *first, 1.0), (60, *second, 1.0))


class TestATextbookSituation:
    @pytest.mark.parametrize(
        ("side", "first", "second", "kind", "sign"),
        [
            ("low", (100, 30), (98, 40), "regular_bullish", 1),
            ("low", (98, 40), (100, 30), "hidden_bullish", 1),
            ("high", (100, 70), (102, 60), "regular_bearish", -1),
            ("high", (102, 60), (100, 70), "hidden_bearish", -1),
        ],
    )
    def test_is_named_and_signed_from_its_confirmation_on(self, side, first, second, kind, sign):
        strength, kinds = situation(side, first, second)
        assert (strength[:60] == 0.0).all()
        assert np.sign(strength[60]) == sign
        assert kinds[60] == kind

    def test_fades_to_nothing(self):
        strength, _ = situation("low", (100, 30), (98, 40))
        assert (np.diff(strength[60:]) <= 0).all()
        assert strength[60 + NODE.age - 1] > 0
        assert strength[60 + NODE.age if 60 + NODE.age < N else N - 1] == 0.0 or 60 + NODE.age >= N

    @pytest.mark.parametrize(("first", "second"), [((100, 30), (98, 20)), ((98, 30), (100, 40))])
    def test_where_the_oscillator_follows_is_none(self, first, second):
        assert (situation("low", first, second)[0] == 0.0).all()

    def test_that_is_negligible_weighs_about_nothing(self):
        assert situation("low", (100, 30), (99.999, 30.01))[0][60] < 1e-4


class TestATopOfTwo:
    """Tops a tick apart share one weight, and say together what one top says."""

    OLDER = (20, 100.0, 70.0, 1.0)

    def test_that_are_equal_is_the_first_of_them(self):
        one = seen("high", self.OLDER, (60, 102.0, 60.0, 1.0))[0]
        two = seen("high", self.OLDER, (60, 102.0, 60.0, 1.0), (63, 102.0, 60.0, 0.0))[0]
        assert np.array_equal(one, two)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_is_compared_with_what_came_before_both(self, share):
        one = seen("high", self.OLDER, (60, 102.0, 60.0, 1.0))[0]
        two = seen("high", self.OLDER, (60, 102.0, 60.0, 1.0 - share), (63, 102.0, 60.0, share))[0]
        assert two[63] == pytest.approx(max(1.0 - share, share * share) * one[60], rel=0.06)

    def test_that_hardly_counts_neither_ends_a_divergence_nor_hides_a_swing(self):
        plain = seen("high", self.OLDER, (60, 102.0, 60.0, 1.0), (80, 103.0, 55.0, 1.0))[0]
        beside = seen("high", self.OLDER, (60, 102.0, 60.0, 1.0), (70, 101.0, 65.0, 1e-6), (80, 103.0, 55.0, 1.0))[0]
        assert np.allclose(plain, beside, rtol=0, atol=1e-5)

    def test_that_says_less_leaves_the_stronger_divergence_in_force(self):
        strong = seen("high", self.OLDER, (60, 102.0, 50.0, 1.0))[0]
        weaker = seen("high", self.OLDER, (60, 102.0, 50.0, 1.0), (66, 102.1, 49.0, 1.0))[0]
        assert np.array_equal(strong, weaker)


def twin(swings, atr, points, age, apart):
    """The definition, one bar at a time, looking at all swings so far."""

    def grown(x, half):
        return abs(x) / np.sqrt(half * half + x * x)

    def said(t, side, price, weight, height):
        total, left = 0.0, standing(weight[t], height[t], atr[t])
        for s in range(t - 1, max(t - apart, REACH) - 1, -1):
            if left <= HIDDEN_BEHIND:
                break
            counts = standing(weight[s], height[s], atr[t])
            moved, climbed = (price[t] - price[s]) / atr[t], points[t - REACH] - points[s - REACH]
            if counts > 0 and moved * climbed < 0:
                hidden = HIDDEN_WEIGHT if moved * side < 0 else 1.0
                total += left * counts * hidden * grown(moved, PRICE_HALF) * grown(climbed, SCORE_HALF)
            left *= 1.0 - counts
        return total

    n = len(atr)
    strength = np.zeros(n)
    for side, *columns in ((1, *swings[:3]), (-1, *swings[3:])):
        sizes = np.array([said(t, side, *columns) if t >= REACH else 0.0 for t in range(n)])
        for t in range(n):
            back = np.arange(min(t + 1, age))
            strength[t] -= side * (sizes[t - back] * (1.0 - back / age)).max()
    return strength


def test_equals_its_slow_twin():
    frame = market(seed=9, bars=1_500, gaps=False, flats=False)
    bars, minute = frame.base, Timeframe("1m")
    workspace = Workspace(frame)
    swings = Pivots(*workspace.values(NODE.swings, minute, bars.first, bars.end))
    atr = workspace.values(NODE.atr, minute, bars.first, bars.end)[0]
    points = RSI().score(workspace.values(RSI(), minute, bars.first, bars.end)[0])
    found = workspace.values(NODE, minute, bars.first, bars.end)[0]
    start = 700
    expected = twin(swings, atr, points, NODE.age, NODE.apart)
    assert np.abs(found[start:]).max() > 0.05
    assert np.allclose(found[start:], expected[start:], rtol=0, atol=1e-12)


def test_a_tick_never_makes_or_breaks_one():
    """Noise of 1e-9 on coarse prices, where tops are often equal, moves no bonus by as much as a tenth of a point."""
    frame = market(seed=4, bars=4_000, gaps=False, flats=False)
    tick = frame.base.columns["close"][0] / 2_000.0
    columns = {name: tick * np.round(x / tick) if name in PRICES else x for name, x in frame.base.columns.items()}
    coarse = changed(frame, columns)
    minute = Timeframe("1m")

    def strength(of):
        return Workspace(of).values(NODE, minute, of.base.first, of.base.end)[0]

    there = strength(coarse)
    known = np.isfinite(there)
    assert known.mean() > 0.5
    assert np.abs(there - strength(noisy(coarse, 1e-9, seed=1)))[known].max() * BONUS_LIMIT < 0.1
