"""Classic divergence: textbook situations by hand, and a slow twin written from the definition."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import market
from virtuoso.clock import Timeframe
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.divergence import HIDDEN_WEIGHT, KINDS, MARGIN_HALF, PRICE_HALF, SCORE_HALF, ClassicDivergence
from virtuoso.prism.features.swings import SwingPoints
from virtuoso.prism.technical import RSI

NODE = ClassicDivergence(oscillator=RSI())
N, REACH = 120, 5
NAN = float("nan")


def situation(side: str, first: tuple[float, float], second: tuple[float, float]) -> tuple[np.ndarray, list[str]]:
    """Two swings confirmed at bars 40 and 60, each a price and an RSI; the strength and kind at every bar."""
    empty = np.full(N, NAN)
    swings = {name: empty.copy() for name in ("high", "high_margin", "low", "low_margin")}
    oscillator = np.full(N, 50.0)
    for at, (price, rsi) in ((40, first), (60, second)):
        swings[side][at], swings[f"{side}_margin"][at] = price, 0.5
        oscillator[at - REACH] = rsi
    flat = np.full(N, 100.0)
    points = SwingPoints(**{k: v for k, v in swings.items() if k in SwingPoints._fields})
    found = NODE.value(high=flat, low=flat, swings=points, atr=np.ones(N), oscillator=oscillator, wanted=0)
    return found.strength, [KINDS[int(k)] for k in found.kind]


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


def twin(swings, atr, points, age, apart):
    """The definition, one bar at a time, looking at all swings so far."""

    def grown(x, half):
        return x / np.sqrt(half * half + x * x)

    n = len(atr)
    strength = np.zeros(n)
    events = {1: (-1, 0.0), -1: (-1, 0.0)}
    for t in range(n):
        for side, price, margin in ((1, swings.low, swings.low_margin), (-1, swings.high, swings.high_margin)):
            older = [s for s in range(REACH, t) if not np.isnan(price[s])]
            if t < REACH or np.isnan(price[t]) or not older or t - older[-1] > apart or not atr[t] > 0:
                continue
            s = older[-1]
            moved, climbed = (price[t] - price[s]) / atr[t], points[t - REACH] - points[s - REACH]
            if moved * climbed >= 0:
                continue
            size = grown(margin[t] / atr[t], MARGIN_HALF) * grown(margin[s] / atr[t], MARGIN_HALF)
            size *= grown(abs(moved), PRICE_HALF) * grown(abs(climbed), SCORE_HALF)
            hidden = moved * side > 0
            events[side] = (t, size * (HIDDEN_WEIGHT if hidden else 1.0))
        parts = {
            s: size * (1 - (t - at) / age) if at >= 0 and t - at < age else 0.0 for s, (at, size) in events.items()
        }
        strength[t] = parts[1] - parts[-1]
    return strength


def test_equals_its_slow_twin():
    frame = market(seed=9, bars=1_500, gaps=False, flats=False)
    bars, minute = frame.base, Timeframe("1m")
    workspace = Workspace(frame)
    swings = SwingPoints(*workspace.values(NODE.swings, minute, bars.first, bars.end))
    atr = workspace.values(NODE.atr, minute, bars.first, bars.end)[0]
    points = RSI().score(workspace.values(RSI(), minute, bars.first, bars.end)[0])
    found = workspace.values(NODE, minute, bars.first, bars.end)[0]
    start = 700
    expected = twin(swings, atr, points, NODE.age, NODE.apart)
    assert np.abs(found[start:]).max() > 0.05
    assert np.allclose(found[start:], expected[start:], rtol=0, atol=1e-12)
