"""The sentiment face: how the crowd is positioned, what it pays, and what it is forced to do."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import hours, market
from tests.prism.faces.test_orderflow import of
from tests.prism.faces.test_volume import quiet
from tests.prism.lit import frame_of, judge, positioned, ranks, scores
from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import NEUTRAL_FUNDING
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.sentiment import (
    FACE,
    FundingRate,
    Liquidations,
    LongShortRatio,
    MarketActivity,
    Risk,
    Volatility,
)
from virtuoso.prism.features.derivatives.activity import Activity, PositionChanges
from virtuoso.prism.features.derivatives.crowd import (
    Crowded,
    Crowding,
    FundingExtreme,
    FundingLevel,
    Leverage,
    UsualFunding,
    UsualShares,
)

MINUTE, FIVE, HOUR, EIGHT_HOURS = Timeframe("1m"), Timeframe("5m"), Timeframe("1h"), Timeframe("8h")
START_HOUR = 438_336  # 2020-01-03T00:00Z
EVERYTHING = list(FACE.components)


def hourly(columns: dict):
    """An hourly market with the columns given beside quiet bars."""
    n = len(next(iter(columns.values())))
    times = (np.arange(n, dtype=np.int64) + START_HOUR) * HOUR.ms
    return frame_of(HOUR, times, quiet(n) | columns, "simulated", "BTCUSDT")


class TestFundingRate:
    """Contrary at the extremes of its own distribution; the ordinary rate says nothing."""

    @staticmethod
    def after(usual, last, bars=700):
        rate = np.full(bars, NEUTRAL_FUNDING) + usual * np.sin(np.arange(bars) // 8 * 2.0)
        rate[-8:] = last
        return scores(FundingRate(), hourly({"funding_rate": rate}))[-1]

    def test_is_bearish_when_longs_pay_more_than_ever(self):
        assert self.after(0.00005, 0.0004) < 5.0

    def test_is_bullish_when_shorts_pay(self):
        assert self.after(0.00005, -0.0002) > 95.0

    def test_is_neutral_at_the_ordinary_rate(self):
        assert self.after(0.00005, NEUTRAL_FUNDING) == 50.0

    def test_is_neutral_at_the_ordinary_rate_even_where_the_market_is_used_to_less(self):
        rate = np.full(700, 0.00003) + 0.00002 * np.sin(np.arange(700) // 8 * 2.0)
        rate[-8:] = NEUTRAL_FUNDING
        assert scores(FundingRate(), hourly({"funding_rate": rate}))[-1] == 50.0

    def test_does_not_call_what_a_market_always_pays_news(self):
        rate = np.full(700, 0.0003) + 0.00005 * np.sin(np.arange(700) // 8 * 2.0)
        rate[-8:] = rate[:-8].mean()
        assert scores(FundingRate(), hourly({"funding_rate": rate}))[-1] == pytest.approx(50.0, abs=2.0)

    def test_knows_what_is_extreme_from_three_weeks_of_settlements(self):
        found = scores(FundingRate(), hourly({"funding_rate": np.full(700, 0.0002)}))
        first = int(np.argmax(np.isfinite(found)))
        assert 63 * 8 - 1 <= first <= 63 * 8 + 8

    def test_survives_a_missed_settlement(self):
        rate = 0.00005 * np.sin(np.arange(900) // 8 * 2.0)
        rate[640:648] = np.nan
        found = scores(FundingRate(), hourly({"funding_rate": rate}))
        assert np.isnan(found[640:648]).all()
        assert np.isfinite(found[648:]).all()


class TestLiquidations:
    """With the wave while it runs, against it once it is spent."""

    @staticmethod
    def wave(side, ago, share=0.2, bars=200):
        made = quiet(bars)
        made |= {f"{which}_liquidations": np.zeros(bars) for which in ("long", "short")}
        place = slice(bars - ago - 4, bars - ago)
        made[f"{side}_liquidations"][place] = share * made["volume"][place] * made["close"][place]
        return scores(Liquidations(), of(made))[-1]

    def test_of_longs_are_bearish_while_they_run(self):
        assert self.wave("long", 0) < 15.0

    def test_of_longs_are_contrary_once_the_wave_is_spent(self):
        assert self.wave("long", 12) > 65.0

    def test_of_shorts_are_the_other_way_round(self):
        assert self.wave("short", 0) > 85.0
        assert self.wave("short", 12) < 35.0

    def test_are_forgotten_after_half_an_hour(self):
        assert self.wave("long", 31) == 50.0

    def test_that_are_negligible_beside_the_volume_count_for_nothing(self):
        assert self.wave("long", 0, share=1e-5) == pytest.approx(50.0, abs=1.0)

    def test_that_did_not_happen_are_a_finding(self):
        assert self.wave("long", 0, share=0.0) == 50.0

    def test_that_nobody_recorded_are_not_known(self):
        bars = quiet(200)
        nothing = np.full(200, np.nan)
        frame = of(bars | {"long_liquidations": nothing, "short_liquidations": nothing})
        assert np.isnan(scores(Liquidations(), frame)).all()


class TestLongShortRatio:
    @staticmethod
    def crowd(seed=1, bars=400):
        random = np.random.default_rng(seed)
        return {
            name: np.exp(0.3 + 0.1 * random.standard_normal(bars))
            for name in ("accounts_ratio", "top_accounts_ratio", "top_positions_ratio")
        }

    def test_is_bearish_when_the_crowd_is_longer_than_it_was(self):
        made = self.crowd()
        made["accounts_ratio"][-1] = 2.5
        assert scores(LongShortRatio(), hourly(made))[-1] < 10.0

    def test_is_bullish_when_the_crowd_is_shorter_than_it_was(self):
        made = self.crowd()
        made["accounts_ratio"][-1] = 0.7
        assert scores(LongShortRatio(), hourly(made))[-1] > 90.0

    def test_follows_the_largest_against_the_crowd(self):
        made = self.crowd()
        before = scores(LongShortRatio(), hourly(made))[-1]
        made["top_accounts_ratio"][-1] = made["top_positions_ratio"][-1] = 2.5
        assert scores(LongShortRatio(), hourly(made))[-1] > before + 15.0

    def test_does_not_call_a_crowd_that_is_always_long_news(self):
        made = {name: np.full(400, 3.0) for name in self.crowd()}
        np.testing.assert_allclose(scores(LongShortRatio(), hourly(made))[170:], 50.0)

    def test_does_not_fall_silent_where_the_venue_published_only_one_of_three(self):
        """All but one ratio of Binance are NULL in most of 2022."""
        made = self.crowd()
        made["accounts_ratio"][-1] = 2.5
        made["top_accounts_ratio"][:] = made["top_positions_ratio"][:] = np.nan
        assert scores(LongShortRatio(), hourly(made))[-1] < 10.0

    def test_reads_the_largest_where_the_crowd_is_not_known(self):
        made = self.crowd()
        made["top_positions_ratio"][-1] = 2.5
        made["accounts_ratio"][:] = np.nan
        assert scores(LongShortRatio(), hourly(made))[-1] > 75.0

    def test_is_not_known_where_nothing_is(self):
        made = {name: np.full(400, np.nan) for name in self.crowd()}
        assert np.isnan(scores(LongShortRatio(), hourly(made))).all()

    def test_of_a_ratio_and_of_its_reciprocal_are_opposite(self):
        made = self.crowd()
        here = scores(LongShortRatio(), hourly(made))
        there = scores(LongShortRatio(), hourly({name: 1.0 / x for name, x in made.items()}))
        np.testing.assert_allclose(here, 100.0 - there, atol=1e-9)


class TestVolatility:
    @staticmethod
    def jumpy(sign, bars=300):
        """Small steps one way and one leap the other way: the level comes back, the variance has a side."""
        made = quiet(bars)
        close = made["close"].copy()
        saw = np.arange(bars) % 16
        close = 1_000.0 - sign * (saw - 8.0) * 0.5
        made["close"], made["open"] = close, np.concatenate((close[:1], close[:-1]))
        made["high"] = np.maximum(made["open"], close) + 0.1
        made["low"] = np.minimum(made["open"], close) - 0.1
        return scores(Volatility(), of(made))[-1]

    def test_is_bullish_where_rises_are_leaps(self):
        assert self.jumpy(1.0) > 80.0

    def test_is_bearish_where_falls_are_leaps(self):
        assert self.jumpy(-1.0) < 20.0

    def test_does_not_call_a_rough_market_anything(self):
        made = quiet(600)
        calm = scores(Volatility(), of(made))
        rough = {name: made[name] + 50.0 * (made["close"] - 1_000.0) for name in ("open", "high", "low", "close")}
        rough["high"] = np.maximum(rough["open"], rough["close"])
        rough["low"] = np.minimum(rough["open"], rough["close"])
        assert np.nanmean(np.abs(scores(Volatility(), of(made | rough)) - 50.0)) < 1.5 * np.nanmean(np.abs(calm - 50.0))

    def test_is_not_known_where_nothing_moves(self):
        made = quiet(300)
        for name in ("open", "high", "low", "close"):
            made[name][-120:] = 1_000.0
        found = scores(Volatility(), of(made))
        assert np.isnan(found[-100:]).all()
        assert np.isfinite(found[150])


class TestMarketActivity:
    @staticmethod
    def of_moves(price, interest, turnover):
        moves = PositionChanges(np.array([price]), np.array([interest]), np.array([turnover]))
        return MarketActivity().score(MarketActivity().value(Activity().value(moves)))[0]

    def test_goes_with_price_as_far_as_money_joins(self):
        assert self.of_moves(1.5, 2.0, 2.0) > 90.0
        assert self.of_moves(-1.5, 2.0, 2.0) < 10.0
        assert 50.0 < self.of_moves(1.5, -2.0, 0.4) < 75.0

    def test_counts_turnover_and_open_interest_alike(self):
        both, one, other, none = (self.of_moves(1.0, *pair) for pair in ((2, 2), (2, 0.5), (-2, 2), (-2, 0.5)))
        assert both > one > none
        assert both > other > none

    def test_takes_no_side_where_price_goes_nowhere(self):
        assert self.of_moves(0.0, 3.0, 5.0) == 50.0


class TestRisk:
    """Crowded is who pays and has borrowed to."""

    LEVEL = FundingLevel(np.array([0.0001]), np.array([0.00005]), np.array([0.00005]))

    def score(self, leverage, paid):
        crowding = Crowding(np.array([leverage]), np.array([paid]))
        return Risk().score(Risk().value(Crowded().value(crowding, self.LEVEL)))[0]

    def test_is_bearish_where_longs_pay_on_leverage(self):
        assert self.score(2.0, 0.0003) < 10.0

    def test_is_bullish_where_shorts_pay_on_leverage(self):
        assert self.score(2.0, -0.0001) > 90.0

    def test_says_little_where_nobody_borrowed(self):
        assert 30.0 < self.score(-3.0, 0.0003) < 50.0

    def test_says_nothing_where_nobody_pays(self):
        assert self.score(3.0, NEUTRAL_FUNDING) == 50.0

    def test_measures_leverage_in_days_of_turnover(self):
        """Open interest that doubles over the same turnover is leverage; with turnover that doubles it is not."""
        n = 500
        made = {"open_interest": np.full(n, 1_000.0), "funding_rate": np.full(n, 0.0002), "volume": np.full(n, 10.0)}
        made["open_interest"] += np.sin(np.arange(n))
        built = made | {"open_interest": np.where(np.arange(n) < n - 24, 1.0, 2.0) * made["open_interest"]}
        grown = built | {"volume": np.where(np.arange(n) < n - 24, 1.0, 2.0) * made["volume"]}
        leverage = [
            Workspace(frame).values(Leverage(), HOUR, START_HOUR, START_HOUR + n)[0][-1]
            for frame in map(hourly, (built, grown))
        ]
        assert leverage[0] > 2.0
        assert abs(leverage[1]) < 0.5


class TestThePace:
    """Each measure is taken when its data come, and seen from their close on."""

    @pytest.mark.parametrize(
        ("feature", "asker", "own"),
        [
            (FundingExtreme(), "1s", "5m"), (FundingExtreme(), "1m", "5m"), (FundingExtreme(), "4h", "4h"),
            (UsualFunding(), "5m", "8h"), (UsualFunding(), "1d", "1d"), (UsualShares(), "1m", "1h"),
            (UsualShares(), "4h", "4h"), (Activity(), "2m", "2m"),
        ],
    )  # fmt: skip
    def test_is_that_of_the_data_or_of_a_slower_asker(self, feature, asker, own):
        assert feature.clock(Timeframe(asker)) == Timeframe(own)

    def test_windows_span_several_publications_on_any_clock(self):
        assert Activity.moves.window(Timeframe("30m")) == 36
        assert Activity.moves.replace(period=2).window(Timeframe("5m")) == 6

    def test_a_week_is_a_week_on_any_clock(self):
        assert [UsualShares().memory(Timeframe(clock)) for clock in ("1h", "4h", "1d")] == [168, 42, 20]

    def test_a_funding_rate_is_seen_at_the_close_of_five_minutes(self):
        frame = hours(bars=3_000, lit=True)
        found = scores(FundingRate(), frame)
        assert np.isfinite(found[600:]).mean() > 0.9


class TestTheFace:
    def test_holds_the_components_of_the_book_with_their_weights(self):
        weights = {component.name: weight for component, weight in FACE.components.items()}
        assert weights == {
            "funding_rate": 0.20, "liquidations": 0.20, "long_short_ratio": 0.15, "volatility": 0.18,
            "market_activity": 0.15, "risk": 0.12,
        }  # fmt: skip
        assert sum(weights.values()) == pytest.approx(1.0)
        assert not FACE.unavailable

    @pytest.mark.parametrize("component", EVERYTHING, ids=lambda c: c.name)
    def test_explains_itself_in_a_sentence_at_every_score(self, component):
        for score in (0.0, 19.9, 20.0, 50.0, 80.0, 100.0):
            assert component.explain(score, 0.123).strip()


class TestNoTwoComponentsAreOneNumber:
    """The rank correlation of scores stays well below one, and most components count as independent."""

    def test_in_a_made_up_market(self):
        judge(ranks(hours(bars=4_000, lit=True), HOUR, EVERYTHING), 4.0, most=0.9)

    @pytest.mark.parametrize(("symbol", "timeframe"), [("BTCUSDT", FIVE), ("ETHUSDT", Timeframe("30m"))])
    def test_on_metrics_of_a_quarter(self, real_data, symbol, timeframe):
        known = [component for component in EVERYTHING if component != Liquidations()]
        judge(ranks(positioned(real_data, symbol), timeframe, known), 2.7)

    def test_and_market_activity_is_not_the_quadrant_of_the_orderflow_face(self):
        from virtuoso.prism.faces.orderflow import OpenInterest

        table = ranks(market(bars=6_000, gaps=False, lit=True), FIVE, [OpenInterest(), MarketActivity()])
        assert abs(table.rank().corr().to_numpy()[0, 1]) < 0.75
