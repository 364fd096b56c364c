"""The technical face: which way each component leans, by how much, and when it has nothing to say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import START, market
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.technical import ADX, AO, CCI, FACE, MACD, RSI, ATRThrust, WilliamsR

MINUTE = Timeframe("1m")
DIRECTIONAL = list(FACE.components)
EVERYTHING = [*DIRECTIONAL, *FACE.gates]
BARS = 1_200


def frame_of(close, reach=0.5) -> MarketFrame:
    """Bars that go from close to close, reaching a little beyond."""
    close = np.asarray(close, dtype=float)
    open_ = np.concatenate((close[:1], close[:-1]))
    columns = {
        "open": open_, "high": np.maximum(open_, close) + reach, "low": np.minimum(open_, close) - reach,
        "close": close.copy(), "volume": np.ones(len(close)),
    }  # fmt: skip
    times = (np.arange(len(close), dtype=np.int64) + START) * 60_000
    return MarketFrame(Instrument("simulated", "BTCUSDT"), Bars.from_rows(MINUTE, times, columns, GapPolicy("cut", 0)))


def scores(component, frame) -> np.ndarray:
    values = Workspace(frame).values(component, MINUTE, frame.base.first, frame.base.end)[0]
    return component.score(values)


def waves(drift: float) -> np.ndarray:
    """A price that swings, and drifts."""
    t = np.arange(BARS)
    return 1_000.0 + drift * t + 3.0 * np.sin(t / 6.0) + np.sin(t / 2.3)


@pytest.mark.parametrize("component", [RSI(), MACD(), ADX()], ids=lambda c: c.name)
@pytest.mark.parametrize("wanted", [0, 1, 13, 14, 400, BARS - 1])
def test_what_is_wanted_has_the_bits_it_has_in_the_whole(component, wanted):
    bars = frame_of(waves(0.1)).base.columns
    inputs = [bars[name] for name in component.arguments if name in bars]
    whole, tail = component.value(*inputs, 77), component.value(*inputs, 77, wanted)
    assert np.isfinite(whole[-1])
    assert np.array_equal(whole[wanted:], tail[wanted:], equal_nan=True)


@pytest.mark.parametrize("component", DIRECTIONAL, ids=lambda c: c.name)
class TestEveryDirectionalComponent:
    def test_is_bullish_on_average_in_a_rising_market_and_bearish_in_a_falling_one(self, component):
        rising = np.nanmean(scores(component, frame_of(waves(0.3)))[300:])
        falling = np.nanmean(scores(component, frame_of(waves(-0.3)))[300:])
        if component.name == "macd":  # momentum of momentum: a steady drift is none
            assert abs(rising - 50.0) < 1.0
            return
        assert rising > 53.0
        assert falling < 47.0

    def test_turns_bullish_when_price_starts_to_rise(self, component):
        turn = np.concatenate((np.full(600, 100.0) + np.tile([0.0, 0.4], 300), 100.0 + 0.6 * np.arange(12.0)))
        assert scores(component, frame_of(turn))[-1] > 65.0

    def test_turns_bearish_when_price_starts_to_fall(self, component):
        turn = np.concatenate((np.full(600, 100.0) + np.tile([0.0, 0.4], 300), 100.0 - 0.6 * np.arange(12.0)))
        assert scores(component, frame_of(turn))[-1] < 35.0

    def test_does_not_care_what_a_coin_costs(self, component):
        """Ten thousand times dearer, not a power of two: the same but for rounding."""
        close = waves(0.1)
        cheap, dear = frame_of(1e-4 * close, 0.5e-4), frame_of(close)
        np.testing.assert_allclose(scores(component, cheap), scores(component, dear), atol=1e-6)

    def test_says_nothing_once_nothing_has_moved(self, component):
        frozen = np.concatenate((waves(0.1)[:600], np.full(200, 1_000.0)))
        found = scores(component, frame_of(frozen, reach=0.0))
        assert np.isfinite(found[599])
        assert np.isnan(found[-100:]).all()

    def test_explains_itself_in_a_sentence_at_every_score(self, component):
        for score in (0.0, 19.9, 20.0, 50.0, 80.0, 100.0):
            assert component.explain(score, 0.123).strip()
        assert "not known" in component.explain(float("nan"), float("nan"))


class TestRSI:
    def test_scores_fifty_at_fifty(self):
        assert RSI().score(np.array([50.0])) == 50.0

    def test_does_not_jump_at_thirty_and_seventy(self):
        edge = np.array([29.999, 30.001, 69.999, 70.001])
        assert np.abs(np.diff(RSI().score(edge))[[0, 2]]).max() < 0.01


class TestAO:
    def test_counts_in_true_ranges(self):
        """A drift of d a bar is 14.5 d between the means; each bar reaches 2 + d."""
        found = Workspace(frame_of(1_000.0 + np.arange(300.0), 1.0))
        assert found.values(AO(), MINUTE, START + 200, START + 201)[0][0] == pytest.approx(14.5 / 3.0)


class TestMACD:
    def test_sees_momentum_build_up_before_it_is_there(self):
        accelerating = 1_000.0 + 1e-3 * np.arange(400.0) ** 2
        assert scores(MACD(), frame_of(accelerating))[-1] > 50.0
        slowing = 1_000.0 + 30.0 * np.sqrt(np.arange(400.0))
        assert scores(MACD(), frame_of(slowing))[-1] < 50.0


class TestWilliamsR:
    def test_at_the_top_of_its_range_is_near_zero_but_never_there(self):
        value = WilliamsR().value(*(np.arange(100.0) + x for x in (0.0, -1.0, 0.0)), 0)
        assert -1.0 < value[-1] < 0.0

    def test_of_one_tick_in_a_dead_window_is_no_extreme(self):
        """The textbook jumps to 0 or -100 on a tick; here a tick in a window that once moved is small."""
        high = np.concatenate((1_000.0 + np.tile([0.0, 10.0], 100), np.full(13, 1_000.0), [1_000.01]))
        assert abs(WilliamsR().value(high, high, high, 0)[-1] + 50.0) < 25.0


class TestCCI:
    def test_is_zero_at_the_mean(self):
        price = np.tile([99.0, 101.0, 100.0], 100)
        assert CCI(period=21).value(price, price, price, 0)[-1] == pytest.approx(0.0, abs=1e-9)


class TestTheVolatilityThrust:
    """High volatility alone is not bullish."""

    CALM = np.full(600, 1_000.0) + np.tile([0.0, 0.4], 300)

    def test_is_bullish_when_large_bars_rise(self):
        assert scores(ATRThrust(), frame_of(np.concatenate((self.CALM, [1_010.0]))))[-1] > 75.0

    def test_is_bearish_when_large_bars_fall(self):
        assert scores(ATRThrust(), frame_of(np.concatenate((self.CALM, [990.0]))))[-1] < 25.0

    def test_takes_no_side_when_large_bars_go_both_ways(self):
        both = np.concatenate((self.CALM, 1_000.0 + 5.0 * (-1.0) ** np.arange(15)))
        assert 45.0 < scores(ATRThrust(), frame_of(both))[-1] < 55.0

    def test_takes_no_side_when_ranges_shrink(self):
        shrinking = 1_000.0 + np.cumsum(np.linspace(1.0, 0.01, 400))
        assert abs(scores(ATRThrust(), frame_of(shrinking, 0.0))[-1] - 50.0) < 1.0

    def test_carries_the_name_the_field_uses(self):
        assert ATRThrust().name == "atr"


class TestTheADXGate:
    def test_opens_in_a_trend_whichever_way(self):
        up, down = (scores(ADX(), frame_of(1_000.0 + d * np.arange(400.0)))[-1] for d in (0.4, -0.4))
        assert up == pytest.approx(down, abs=1e-6)
        assert up > 90.0

    def test_closes_where_the_market_goes_nowhere(self):
        nowhere = 1_000.0 + np.random.default_rng(4).standard_normal(2_000)
        assert np.nanmean(scores(ADX(), frame_of(nowhere))) < 25.0

    def test_does_not_jump_where_a_bar_reaches_beyond_both_ends_alike(self):
        """Wilder gives such a bar to one side or none: a breath of price decides over all of it."""
        random = np.random.default_rng(9)
        middle = 1_000.0 + np.cumsum(random.standard_normal(400))
        reach = np.tile([1.0, 4.0], 200)
        middle[1::2] = middle[::2]
        high, low = middle + reach, middle - reach
        before = ADX().score(ADX().value(high, low, 0))[-1]
        assert ADX().score(ADX().value(high + 1e-9 * random.standard_normal(400), low, 0))[-1] == pytest.approx(
            before, abs=1e-3
        )


class TestTheFace:
    def test_holds_the_components_of_the_book_with_their_weights(self):
        weights = {component.name: weight for component, weight in FACE.components.items()}
        assert weights == {"rsi": 0.20, "ao": 0.20, "macd": 0.15, "williams_r": 0.15, "cci": 0.15, "atr": 0.15}
        assert sum(weights.values()) == pytest.approx(1.0)
        assert [gate.name for gate in FACE.gates] == ["adx"]

    def test_looks_for_divergence_in_what_oscillates(self):
        assert {c.name for c in DIRECTIONAL if c.oscillator} == {"rsi", "ao", "macd", "williams_r", "cci"}

    @pytest.mark.parametrize("component", EVERYTHING, ids=lambda c: c.name)
    def test_answers_again_once_a_gap_is_its_warmup_ago(self, component):
        frame = market(seed=3, bars=3_000, flats=False)
        known = np.isfinite(scores(component, frame))
        gap = np.flatnonzero(frame.base.state == 3)[-1]
        warmup = component.warmup(MINUTE)
        assert not known[gap : gap + warmup].any()
        assert known[gap + warmup]
