"""The orderflow face: who is aggressive, and what price makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import START, market
from tests.prism.faces.test_volume import quiet
from tests.prism.lit import frame_of, judge, klines, positioned, ranks, scores, traded
from virtuoso.clock import Timeframe
from virtuoso.errors import MissingColumnError
from virtuoso.market.schema.columns import REQUIRED
from virtuoso.prism.engine.graph import columns_of
from virtuoso.prism.faces.orderflow import (
    CVD,
    FACE,
    Imbalance,
    Liquidity,
    LiquidityZones,
    OpenInterest,
    Pressure,
    TradeFlow,
)
from virtuoso.prism.features.candles import CandleBars
from virtuoso.prism.features.derivatives.activity import PositionChanges, Quadrant
from virtuoso.prism.features.levels import LevelMap

MINUTE, FIVE, HALF_HOUR = Timeframe("1m"), Timeframe("5m"), Timeframe("30m")
EVERYTHING = list(FACE.components)


def of(bars: dict, timeframe=MINUTE):
    times = (np.arange(len(bars["close"]), dtype=np.int64) + START) * timeframe.ms
    return frame_of(timeframe, times, bars, "simulated", "BTCUSDT")


def busy(bars: int = 300, seed: int = 1) -> dict[str, np.ndarray]:
    """The quiet market with trades, large and small, that take no side."""
    made, random = quiet(bars, seed), np.random.default_rng(seed)
    bought, sold = made["taker_buy_volume"], made["volume"] - made["taker_buy_volume"]
    share = np.clip(0.4 + 0.1 * random.standard_normal((2, bars)), 0.0, 1.0)
    return made | {
        "trades": np.full(bars, 100.0),
        "large_buy_volume": share[0] * bought, "large_sell_volume": share[1] * sold,
        "stacked_buy_volume": np.zeros(bars), "stacked_sell_volume": np.zeros(bars),
        "buy_move": 0.01 * bought, "sell_move": -0.01 * sold,
    }  # fmt: skip


def shifted(bars: dict, path: np.ndarray) -> dict:
    """The market with something added to its prices."""
    return bars | {name: bars[name] + path for name in ("open", "high", "low", "close")}


RISE = 0.3 * np.maximum(np.arange(300.0) - 280.0, 0.0)


class TestCVD:
    """More where price follows the flow, less where it does not."""

    @staticmethod
    def after_twenty_bars_of(share, path=0.0):
        bars = shifted(busy(), path)
        bars["taker_buy_volume"][-20:] = share * bars["volume"][-20:]
        return scores(CVD(), of(bars))[-1]

    def test_is_bullish_when_takers_buy_bar_after_bar(self):
        assert self.after_twenty_bars_of(0.8) > 85.0

    def test_is_bearish_when_takers_sell_bar_after_bar(self):
        assert self.after_twenty_bars_of(0.2) < 15.0

    def test_counts_more_when_price_follows_and_less_when_it_goes_the_other_way(self):
        followed, alone, absorbed = (self.after_twenty_bars_of(0.6, way * RISE) for way in (1.0, 0.0, -1.0))
        assert followed > alone + 2.0 > absorbed + 4.0
        assert absorbed > 50.0

    def test_does_not_call_a_venue_that_always_sells_bearish(self):
        bars = busy()
        bars["taker_buy_volume"] = 0.3 * bars["volume"]
        np.testing.assert_allclose(scores(CVD(), of(bars))[100:], 50.0, atol=1e-6)

    def test_takes_little_from_a_lean_of_a_five_hundredth(self):
        """However steady it is: without any noise the consistency of a flow alone would call it full control."""
        bars = busy()
        bars["taker_buy_volume"] = 0.5 * bars["volume"]
        bars["taker_buy_volume"][-20:] *= 1.002
        assert 50.0 < scores(CVD(), of(bars))[-1] < 60.0

    def test_answers_within_an_hour(self):
        assert int(np.argmax(np.isfinite(scores(CVD(), of(busy()))))) <= 60

    def test_does_not_know_the_side_of_bars_without_taker_volumes(self):
        bars = busy()
        del bars["taker_buy_volume"]
        with pytest.raises(MissingColumnError, match="taker_buy_volume"):
            scores(CVD(), of(bars))


class TestTradeFlow:
    @pytest.mark.parametrize(("side", "low", "high"), [("buy", 85.0, 100.0), ("sell", 0.0, 15.0)])
    def test_goes_with_the_side_of_the_large(self, side, low, high):
        bars = busy()
        for other in ("buy", "sell"):
            bars[f"large_{other}_volume"][-15:] = bars["volume"][-15:] * (0.3 if other == side else 0.05)
        assert low < scores(TradeFlow(), of(bars))[-1] < high

    def test_does_not_ask_what_the_small_do(self):
        bars = busy()
        before = scores(TradeFlow(), of(bars))
        bars["taker_buy_volume"] = 0.1 * bars["volume"]
        np.testing.assert_array_equal(scores(TradeFlow(), of(bars)), before)

    def test_weighs_the_newer_more(self):
        found = []
        for bought, sold in ((slice(-15, -8), slice(-7, None)), (slice(-7, None), slice(-15, -8))):
            bars = busy()
            bars["large_buy_volume"][-15:] = bars["large_sell_volume"][-15:] = 0.0
            bars["large_buy_volume"][bought] = bars["large_sell_volume"][sold] = 5.0
            found.append(scores(TradeFlow(), of(bars))[-1])
        assert found[0] < 40.0 < 60.0 < found[1]


class TestImbalance:
    def test_is_balanced_where_nothing_is_stacked(self):
        """Looked, and found nothing: that is known."""
        np.testing.assert_array_equal(scores(Imbalance(), of(busy()))[10:], 50.0)

    @pytest.mark.parametrize(("side", "low", "high"), [("buy", 80.0, 100.0), ("sell", 0.0, 20.0)])
    def test_goes_with_the_side_that_stacked(self, side, low, high):
        bars = busy()
        bars[f"stacked_{side}_volume"][-3:] = 0.5 * bars["volume"][-3:]
        assert low < scores(Imbalance(), of(bars))[-1] < high

    def test_takes_little_from_a_stack_of_a_thousandth_of_the_volume(self):
        bars = busy()
        bars["stacked_buy_volume"][-1] = 0.001 * bars["volume"][-1]
        assert 50.0 < scores(Imbalance(), of(bars))[-1] < 55.0

    def test_forgets_after_eight_bars(self):
        bars = busy()
        bars["stacked_buy_volume"][200] = 0.5 * bars["volume"][200]
        found = scores(Imbalance(), of(bars))
        assert (found[200:208] > 55.0).all()
        assert found[208] == 50.0


class TestOpenInterest:
    """Four quadrants without a step between them."""

    @staticmethod
    def quadrant(price, interest):
        moves = PositionChanges(np.array([price]), np.array([interest]), np.ones(1))
        return OpenInterest().score(OpenInterest().value(Quadrant().value(moves)))[0]

    def test_calls_new_money_strong_and_leaving_money_weak(self):
        up_in, up_out = self.quadrant(1.5, 2.0), self.quadrant(1.5, -2.0)
        down_in, down_out = self.quadrant(-1.5, 2.0), self.quadrant(-1.5, -2.0)
        assert up_in > 90.0 > 70.0 > up_out > 50.0
        assert down_in < 10.0 < 30.0 < down_out < 50.0

    def test_takes_no_side_where_price_goes_nowhere(self):
        assert self.quadrant(0.0, 3.0) == 50.0

    def test_grows_with_the_money_that_joins(self):
        assert np.all(np.diff([self.quadrant(1.0, g) for g in np.linspace(-3.0, 3.0, 61)]) > 0.0)

    def test_compares_publications_and_not_minutes(self):
        """Open interest is repeated on the minutes between two publications: the score holds between them."""
        bars = market(bars=3_000, gaps=False, lit=True).base
        columns = {name: bars.columns[name].copy() for name in {*REQUIRED, *columns_of(OpenInterest())}}
        held = columns["open_interest"]
        columns["open_interest"] = np.repeat(held[4::5], 5)[: len(held)]
        found = scores(OpenInterest(), of(columns))
        inside = (np.arange(len(found)) + START + 1) % 5 != 0
        changed = np.flatnonzero(np.diff(found[2_000:]) != 0.0)
        assert len(changed) > 150
        assert not inside[2_000:][changed + 1].any()

    def test_survives_an_outage_of_open_interest(self):
        bars = market(bars=6_000, gaps=False, lit=True)
        found = scores(OpenInterest(), bars, FIVE)
        lost = np.flatnonzero(np.isnan(bars.bars(FIVE).columns["open_interest"]))
        assert len(lost) >= 9
        assert np.isnan(found[lost]).all()
        assert np.isfinite(found[lost[-1] + 13 :]).all()


class TestPressure:
    @pytest.mark.parametrize(
        ("up", "down", "low", "high"), [(3.0, 1.0, 85, 100), (1.0, 3.0, 0, 15), (2.0, 2.0, 49, 51)]
    )
    def test_goes_the_way_of_least_resistance(self, up, down, low, high):
        bars = busy()
        bars["buy_move"], bars["sell_move"] = up * bars["buy_move"], down * bars["sell_move"]
        assert low <= scores(Pressure(), of(bars))[-1] <= high

    def test_does_not_ask_who_traded_more(self):
        """Twice the buying that moves price twice as far is the same impact."""
        bars = busy()
        bars["taker_buy_volume"] = 0.8 * bars["volume"]
        bars["buy_move"], bars["sell_move"] = 0.01 * 0.8 * bars["volume"], -0.01 * 0.2 * bars["volume"]
        assert scores(Pressure(), of(bars))[-1] == pytest.approx(50.0, abs=2.0)

    def test_says_little_where_nothing_moves_price(self):
        bars = busy()
        bars["buy_move"], bars["sell_move"] = 1e-6 * bars["buy_move"], 3e-6 * bars["sell_move"]
        assert scores(Pressure(), of(bars))[-1] == pytest.approx(50.0, abs=1.0)


class TestLiquidity:
    @staticmethod
    def rush(trades, share):
        bars = busy()
        bars["taker_buy_volume"] = bars["volume"] * np.where(np.arange(300) % 2, 0.45, 0.55)
        bars["taker_buy_volume"][-4:] = share * bars["volume"][-4:]
        bars["trades"][-4:] = trades
        return scores(Liquidity(), of(bars))[-1]

    def test_is_bullish_when_buyers_rush_in_and_bearish_when_sellers_do(self):
        assert self.rush(300.0, 0.8) > 85.0
        assert self.rush(300.0, 0.2) < 15.0

    def test_counts_the_same_lean_less_where_few_trade(self):
        assert 50.0 < self.rush(30.0, 0.8) < self.rush(100.0, 0.8) < self.rush(300.0, 0.8)

    def test_takes_no_side_for_a_rush_on_both_sides(self):
        assert abs(self.rush(300.0, 0.5) - 50.0) < 12.0


class TestLiquidityZones:
    """Drawn by hand: support at 99 and resistance at 103, one ATR is one point."""

    @staticmethod
    def drawn(closes, lows=None, highs=None, strength=2.0):
        close = np.concatenate((np.full(30, 101.0), closes))
        high, low = close + 0.1, close - 0.1
        for place, price in (lows or {}).items():
            low[30 + place] = price
        for place, price in (highs or {}).items():
            high[30 + place] = price
        ones = np.ones(len(close))
        candles = CandleBars(close, high, low, close, ones, 0.0 * ones)
        levels = LevelMap(ones, ones, 99.0 * ones, strength * ones, 103.0 * ones, strength * ones)
        component = LiquidityZones()
        return component.score(component.value(levels, candles, 0))[-1]

    def test_sees_nothing_where_nothing_was_swept(self):
        assert self.drawn([101.0, 101.5, 100.5]) == 50.0

    def test_is_bullish_where_lows_were_swept_and_reclaimed(self):
        assert self.drawn([100.0, 99.8], lows={1: 98.0}) > 65.0

    def test_is_bearish_where_the_low_was_taken_and_held(self):
        assert self.drawn([100.0, 98.2], lows={1: 98.0}) < 35.0

    def test_is_bearish_where_highs_were_swept_and_rejected(self):
        assert self.drawn([102.0, 102.2], highs={1: 104.0}) < 35.0

    def test_is_bullish_where_the_high_was_taken_and_held(self):
        assert self.drawn([102.0, 103.8], highs={1: 104.0}) > 65.0

    def test_counts_a_deep_sweep_of_a_strong_level_more(self):
        shallow, deep = self.drawn([100.0, 99.8], lows={1: 98.9}), self.drawn([100.0, 99.8], lows={1: 97.5})
        weak = self.drawn([100.0, 99.8], lows={1: 97.5}, strength=0.5)
        assert 50.0 < shallow < deep
        assert 50.0 < weak < deep

    def test_fades_and_forgets(self):
        found = [self.drawn([100.0, *[99.8] * n], lows={1: 98.0}) for n in (1, 12, 24, 25)]
        assert found[0] > found[1] > found[2] > found[3] == 50.0

    def test_knows_a_tick_beyond_from_a_sweep(self):
        assert self.drawn([100.0, 99.8], lows={1: 98.999}) == pytest.approx(50.0, abs=0.2)


class TestTheFace:
    def test_holds_the_components_of_the_book_with_their_weights(self):
        weights = {component.name: weight for component, weight in FACE.components.items()}
        assert weights == {
            "cvd": 0.25, "trade_flow": 0.20, "imbalance": 0.15, "open_interest": 0.15, "pressure": 0.10,
            "liquidity": 0.10, "liquidity_zones": 0.05,
        }  # fmt: skip
        assert sum(weights.values()) == pytest.approx(1.0)
        assert not FACE.unavailable

    def test_needs_klines_alone_for_four_tenths_of_its_weight(self):
        plain = {"open", "high", "low", "close", "volume", "trades", "taker_buy_volume"}
        assert sum(w for c, w in FACE.components.items() if columns_of(c) <= plain) == pytest.approx(0.40)

    def test_of_trades_answers_within_the_hour_of_a_recording(self):
        """All but the zones, which need days of swings, and open interest, which trades do not tell."""
        for component in (CVD(), TradeFlow(), Imbalance(), Pressure(), Liquidity()):
            found = scores(component, of(busy()))
            assert int(np.argmax(np.isfinite(found))) <= 60, component

    @pytest.mark.parametrize("component", EVERYTHING, ids=lambda c: c.name)
    def test_explains_itself_in_a_sentence_at_every_score(self, component):
        for score in (0.0, 19.9, 20.0, 50.0, 80.0, 100.0):
            assert component.explain(score, 0.123).strip()


class TestNoTwoComponentsAreOneNumber:
    """The rank correlation of scores stays well below one, and most components count as independent."""

    def test_in_a_made_up_market(self):
        judge(ranks(market(bars=6_000, gaps=False, lit=True), MINUTE, EVERYTHING), 4.0)

    def test_on_klines_of_a_quarter(self, real_data):
        judge(ranks(klines(real_data), MINUTE, EVERYTHING), 2.3)

    @pytest.mark.parametrize(("symbol", "timeframe"), [("BTCUSDT", "1s"), ("BTCUSDT", "5s"), ("ETHUSDT", "5s")])
    def test_on_recorded_trades(self, real_data, symbol, timeframe):
        frame = traded(real_data, symbol, timeframe)
        judge(ranks(frame, frame.timeframe, [CVD(), TradeFlow(), Imbalance(), Pressure(), Liquidity()]), 3.0)

    def test_on_metrics_of_a_quarter(self, real_data):
        judge(ranks(positioned(real_data), HALF_HOUR, EVERYTHING), 1.4)
