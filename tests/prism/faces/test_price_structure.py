"""Price structure on charts drawn by hand: which bar says what, and on which side it stands."""

from __future__ import annotations

import numpy as np
import pytest

from tests.prism.drawing import candles, flat, joined, path, upside_down
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.faces.price_structure import (
    FACE,
    FairValueGaps,
    MarketStructure,
    OrderBlocks,
    RangeAnalysis,
    SupportResistance,
    TrendPosition,
    VolumeProfile,
)
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.levels import LevelMap, Levels
from virtuoso.prism.features.profile import ProfileLevels
from virtuoso.prism.features.structure import BOS, CHOCH, Structure, StructureState
from virtuoso.prism.features.swings import Pivots, Swings
from virtuoso.prism.features.zones import BlockZones, GapZones, ZoneMap
from virtuoso.types import Array

MINUTE = Timeframe("1m")


def swings_of(chart: CandleBars) -> Pivots:
    return Swings().value(chart, 0)


def levels_of(chart: CandleBars) -> tuple[LevelMap, Array]:
    levels = Levels().value(chart, swings_of(chart), 0, MINUTE)
    component = SupportResistance()
    return levels, component.score(component.value(levels, chart.close))


def structure_of(chart: CandleBars) -> tuple[StructureState, Array]:
    state = Structure().value(chart, swings_of(chart), 0)
    component = MarketStructure()
    return state, component.score(component.value(state, chart.close))


def blocks_of(chart: CandleBars) -> tuple[ZoneMap, Array]:
    zones, component = BlockZones().value(chart, 0, MINUTE), OrderBlocks()
    return zones, component.score(component.value(zones, chart.close))


def gaps_of(chart: CandleBars) -> tuple[ZoneMap, Array]:
    zones, component = GapZones().value(chart, 0, MINUTE), FairValueGaps()
    return zones, component.score(component.value(zones, chart.close))


def events(state: StructureState) -> dict[int, float]:
    return {int(i): float(state.event[i]) for i in np.flatnonzero(state.event)}


class TestTheFace:
    """Seven components whose weights sum to one."""

    def test_weights_are_those_of_the_product(self):
        weights = {component.name: weight for component, weight in FACE.components.items()}
        assert weights == {
            "support_resistance": 0.15, "order_blocks": 0.20, "trend_position": 0.15, "volume_profile": 0.10,
            "market_structure": 0.20, "range_analysis": 0.10, "fair_value_gaps": 0.10,
        }  # fmt: skip
        assert sum(weights.values()) == pytest.approx(1.0)

    @pytest.mark.parametrize("component", FACE.components, ids=lambda c: c.name)
    def test_every_band_can_be_said(self, component):
        for score in (0.0, 25.0, 50.0, 75.0, 100.0):
            assert component.explain(score, score / 50.0 - 1.0)


class TestSwings:
    """A swing is reported once `reach` bars have closed after it, and equal highs are one swing."""

    def test_a_top_at_bar_6_is_confirmed_at_bar_11_and_not_before(self):
        swings = swings_of(path([100, 106, 100]))
        assert list(np.flatnonzero(np.isfinite(swings.high))) == [11]
        assert swings.high[11] == pytest.approx(106.1)
        assert swings.high_weight[11] == 1.0

    def test_it_stands_as_high_as_its_lower_side(self):
        chart = path([100, 106, 104, 103])  # 6 up to the top, 2 down in six bars
        swings = swings_of(chart)
        assert swings.high_height[11] == pytest.approx(chart.high[6] - chart.low[7:12].min())

    def test_of_two_equal_tops_the_first_counts(self):
        chart = path([100, 106, 105, 106, 100], bars=2)
        assert chart.high[2] == chart.high[6] == chart.high.max()
        swings = Swings(reach=4).value(joined(candles(flat(99.0, 4)), chart, candles(flat(99.0, 6))), 0)
        assert list(np.flatnonzero(swings.high_weight > 0.5)) == [4 + 2 + 4]
        assert np.nansum(swings.high_weight) == pytest.approx(1.0)

    def test_a_tick_between_two_tops_moves_the_weight_smoothly(self):
        totals = []
        for tick in np.linspace(-0.3, 0.3, 13):
            chart = joined(candles(flat(99.0, 4)), path([100, 106, 105, 106 + tick, 100], bars=2), candles(flat(99, 6)))
            totals.append(np.nansum(Swings(reach=4).value(chart, 0).high_weight))
        assert totals == pytest.approx([1.0] * 13, abs=0.02)

    def test_a_flat_market_has_none(self):
        swings = swings_of(candles(flat(100.0, 40)))
        assert not np.isfinite(swings.high).any()
        assert not np.isfinite(swings.low).any()


class TestSupportAndResistance:
    """Levels are confirmed swings: bullish below, bearish above, stronger together, forgotten with age."""

    def test_a_low_becomes_support_at_its_confirmation_and_lifts_the_score(self):
        chart = path([106, 100, 103, 101.5])  # low at bar 6, confirmed at bar 11; price comes back towards it
        levels, score = levels_of(chart)
        assert np.isnan(levels.support[10])
        assert levels.support[11] == pytest.approx(99.9)
        assert levels.support_strength[11] == pytest.approx(1.0)
        assert score[10] == pytest.approx(50.0)
        assert score[11] > 60.0

    def test_a_high_becomes_resistance_and_lowers_it(self):
        chart = path([94, 100, 97, 98.5])
        levels, score = levels_of(chart)
        assert levels.resistance[11] == pytest.approx(100.1)
        assert score[11] < 40.0

    def test_resistance_that_gave_way_is_support(self):
        chart = path([94, 100, 97, 104, 101])  # high 100.1 confirmed at bar 11, crossed on the way to bar 18
        levels, score = levels_of(chart)
        crossed = int(np.argmax((chart.close > 100.1) & (np.arange(len(chart.close)) > 11)))
        assert levels.resistance[crossed - 1] == pytest.approx(100.1)
        assert levels.support[crossed] == pytest.approx(100.1)
        assert score[crossed - 1] < 50.0 < score[crossed + 1]

    def test_a_level_tested_twice_is_worth_more_than_one(self):
        once, _ = levels_of(path([106, 100, 104, 103]))
        twice, _ = levels_of(path([106, 100, 104, 100.1, 104, 103]))
        assert once.support_strength[-1] < 1.01
        assert twice.support_strength[-1] > 1.5

    def test_a_level_is_forgotten_with_age(self):
        chart = joined(path([106, 100, 102]), path([102, 103], bars=260))  # the only swing is the low of bar 6
        levels, score = levels_of(chart)
        assert levels.support_strength[71] == pytest.approx(0.75)  # 60 of 240 bars after its confirmation at bar 11
        assert np.isfinite(levels.support[131])
        assert np.isnan(levels.support[132])  # less than half of it is left: no longer worth naming
        assert np.all(np.diff(score[30:251]) <= 0.0)
        assert score[251] == pytest.approx(50.0)

    def test_a_swing_that_hardly_stands_out_says_nothing(self):
        levels, score = levels_of(path([100.2, 100.0, 100.2, 100.1]))
        assert np.isnan(levels.support).all()
        assert score == pytest.approx(50.0)


UPTREND = [100.0, 103.0, 101.0, 105.0, 103.0, 107.0, 105.0]
"""Turns at bars 0, 6, 12, ...: highs at 6, 18, 30; lows at 12, 24, 36."""


class TestMarketStructure:
    """Breaks of structure in the trend, a change of character against it; only closes and confirmed swings count."""

    def test_higher_highs_and_lows_break_upward(self):
        # high 103.1 of bar 6 is broken by the close of bar 16 (103.67), high 105.1 of bar 18 by that of bar 28 (105.67)
        state, score = structure_of(path(UPTREND))
        assert [(i, e > 0) for i, e in events(state).items()] == [(16, True), (28, True)]
        assert state.event[28] == BOS
        assert state.broken[16] == pytest.approx(103.1)
        assert state.broken[28] == pytest.approx(105.1)
        assert state.trend[28] == 1.0
        assert score[30] > 80.0

    def test_lower_highs_and_lows_break_downward(self):
        up, score_up = structure_of(path(UPTREND))
        down, score_down = structure_of(upside_down(path(UPTREND)))
        assert {i: -e for i, e in events(down).items()} == events(up)
        assert score_down == pytest.approx(100.0 - score_up)

    def test_the_low_before_a_break_is_protected_and_losing_it_changes_the_character(self):
        # the break of bar 28 came from the low 102.9 of bar 24; the close of bar 41 (102.5) is the first clearly below
        state, score = structure_of(path([*UPTREND[:6], 101.0, 99.0], bars=6))
        assert state.protected[30] == pytest.approx(102.9)
        turn = max(events(state))
        assert state.event[turn] == -CHOCH
        assert state.broken[turn] == pytest.approx(102.9)
        assert state.trend[turn - 1] == 1.0
        assert state.trend[turn] == -1.0
        assert score[turn - 3] > 60.0
        assert score[turn] < 40.0

    def test_a_wick_beyond_a_level_breaks_nothing(self):
        chart = path([*UPTREND[:3], 102.5, 101.5])
        chart.high[17] = 104.5  # far above the swing high of 103.1, but the bar closes below it
        state, _ = structure_of(chart)
        assert events(state) == {}

    def test_a_close_a_tick_beyond_breaks_nothing_and_a_clear_one_does(self):
        for close, broke in ((103.11, False), (103.3, False), (103.4, True)):
            chart = path([*UPTREND[:3], close, 102.0], bars=6)
            state, _ = structure_of(chart)
            assert (18 in events(state)) is broke, close

    def test_conviction_grows_from_the_old_side_to_the_new_one_with_the_margin(self):
        convictions = []
        for close in np.linspace(102.9, 103.5, 25):
            state, _ = structure_of(path([100, 103, 101, close], bars=6))
            convictions.append(state.conviction[18])
        assert np.abs(np.diff(convictions)).max() < 0.25
        assert convictions[-1] == pytest.approx(1.0)

    def test_a_swing_does_not_count_before_it_is_confirmed(self):
        chart = path(UPTREND)
        state, _ = structure_of(chart)
        assert state.high[10] != pytest.approx(103.1, nan_ok=True)
        assert state.high[11] == pytest.approx(103.1)

    def test_a_break_that_fails_fades_faster_than_one_that_holds(self):
        start = path([100, 103, 101, 104.0])
        holds, _ = structure_of(joined(start, candles(flat(104.0, 20))))
        fails, _ = structure_of(joined(start, candles(flat(101.5, 20))))
        assert holds.conviction[38] > 0.8
        assert 0.0 < fails.conviction[38] < 0.4

    def test_an_old_structure_says_nothing(self):
        _, score = structure_of(joined(path(UPTREND), candles(flat(105.0, 600))))
        assert score[-1] == pytest.approx(50.0, abs=0.5)


DEMAND = [*flat(100.0, 8), (100.1, 100.2, 99.4, 99.5), (99.5, 102.6, 99.4, 102.5), (102.5, 103.1, 102.4, 103.0)]
"""The down candle of bar 8 (99.4 to 100.2), then at bar 9 a body of three ATR."""


class TestOrderBlocks:
    """The last opposite candle before a displacement, until price has come back through it."""

    def test_the_last_down_candle_before_a_displacement_is_demand(self):
        zones, score = blocks_of(candles(DEMAND))
        assert np.isnan(zones.bull_bottom[8])
        assert zones.bull_bottom[9] == pytest.approx(99.4)
        assert zones.bull_top[9] == pytest.approx(100.2)
        assert zones.bull_strength[9] == pytest.approx(1.0)
        assert score[8] == pytest.approx(50.0)
        assert score[9] > 65.0

    def test_the_last_up_candle_before_a_fall_is_supply(self):
        up, score_up = blocks_of(candles(DEMAND))
        down, score_down = blocks_of(upside_down(candles(DEMAND)))
        assert down.bear_bottom == pytest.approx(200.0 - up.bull_top, nan_ok=True)
        assert down.bear_top == pytest.approx(200.0 - up.bull_bottom, nan_ok=True)
        assert score_down == pytest.approx(100.0 - score_up)

    def test_a_body_of_one_atr_displaces_nothing_and_it_counts_by_what_is_beyond(self):
        worth = []
        for body in (0.9, 1.0, 1.01, 1.5, 2.0):
            rows = [*flat(100.0, 8), (100.1, 100.15, 99.4, 99.5), (99.5, 99.6 + body, 99.4, 99.5 + body)]
            worth.append(np.nan_to_num(BlockZones(weakest=0.0).value(candles(rows), 0, MINUTE).bull_strength[9]))
        assert worth[:2] == [0.0, 0.0]
        assert 0.0 < worth[2] < 0.02
        assert worth[3] == pytest.approx(0.5)
        assert worth[4] == pytest.approx(1.0)

    def test_price_that_comes_back_uses_it_up(self):
        half, full = (103.0, 103.1, 99.75, 102.9), (102.9, 103.0, 99.2, 102.9)  # wicks
        zones, score = blocks_of(candles([*DEMAND, half, full]))
        assert zones.bull_strength[11] == pytest.approx(0.5, abs=0.02)  # half way down to 99.3
        assert np.isnan(zones.bull_strength[12])
        assert zones.bull[12] == 0.0
        assert score[12] == pytest.approx(50.0)

    def test_it_fades_with_age_and_distance(self):
        chart = candles([*DEMAND, *flat(103.0, 250)])
        zones, _ = blocks_of(chart)
        assert zones.bull_strength[9 + 120] == pytest.approx(0.5)
        assert zones.bull[9 + 120] == pytest.approx(0.5 / (1.0 + (2.8 / 2.0) ** 2))
        assert zones.bull[9 + 239] > 0.0
        assert zones.bull[9 + 240] == 0.0

    def test_a_doji_is_not_the_opposite_candle(self):
        doji = (99.5, 99.9, 99.1, 99.5)
        zones, _ = blocks_of(candles([*DEMAND[:9], doji, *DEMAND[9:]]))
        assert zones.bull_bottom[10] == pytest.approx(99.4)
        assert zones.bull_top[10] == pytest.approx(100.2)

    def test_between_doji_and_candle_the_zone_moves_smoothly(self):
        bottoms = []
        for body in np.linspace(0.0, 0.3, 31):
            last = (99.5 + body, 99.9, 99.1, 99.5)
            zones, _ = blocks_of(candles([*DEMAND[:9], last, *DEMAND[9:]]))
            bottoms.append(zones.bull_bottom[10])
        assert bottoms[0] == pytest.approx(99.4)
        assert bottoms[-1] == pytest.approx(99.1)
        assert np.abs(np.diff(bottoms)).max() < 0.03


GAP = [*flat(100.0, 4), (100.0, 101.3, 99.9, 101.2), (101.2, 101.8, 100.9, 101.7), *flat(101.3, 2)]
"""Bar 3 reaches up to 100.1, bar 5 down to 100.9: nothing but bar 4 traded between."""


class TestFairValueGaps:
    """Three bars whose first and third do not touch, until price has come back through the gap."""

    def test_three_bars_leave_a_bullish_gap(self):
        zones, score = gaps_of(candles(GAP))
        assert np.isnan(zones.bull_bottom[4])
        assert zones.bull_bottom[5] == pytest.approx(100.1)
        assert zones.bull_top[5] == pytest.approx(100.9)
        assert zones.bull_strength[5] == pytest.approx(0.64 / (0.25 + 0.64))
        assert score[5] > 65.0

    def test_three_falling_bars_leave_a_bearish_one(self):
        up, score_up = gaps_of(candles(GAP))
        down, score_down = gaps_of(upside_down(candles(GAP)))
        assert down.bear_top[5] == pytest.approx(200.0 - up.bull_bottom[5])
        assert score_down == pytest.approx(100.0 - score_up)

    def test_a_negligible_gap_weighs_nothing(self):
        tiny = [*flat(100.0, 4), (100.0, 100.3, 99.9, 100.2), (100.2, 100.4, 100.12, 100.3)]
        zones, score = gaps_of(candles(tiny))
        assert 0.0 < zones.bull[5] < 0.002
        assert score[5] == pytest.approx(50.0, abs=0.5)

    def test_a_return_into_it_fills_it_and_a_return_through_it_closes_it(self):
        into, through = (101.3, 101.4, 100.5, 101.3), (101.3, 101.4, 99.9, 101.3)
        zones, score = gaps_of(candles([*GAP, into, through]))
        made = zones.bull_strength[5]
        left = (100.5 - 100.0) / (100.9 - 100.0)  # a tenth of an ATR below its bottom it is closed
        assert zones.bull_strength[8] == pytest.approx(made * left * (1 - 3 / 120))
        assert zones.bull[9] == 0.0
        assert score[9] == pytest.approx(50.0)

    def test_it_is_forgotten_after_120_bars(self):
        zones, score = gaps_of(candles([*GAP, *flat(101.3, 130)]))
        assert zones.bull[5 + 119] > 0.0
        assert zones.bull[5 + 120] == 0.0
        assert score[5 + 120] == pytest.approx(50.0)

    def test_the_nearest_gap_is_named(self):
        second = [(101.3, 102.9, 101.2, 102.8), (102.8, 103.3, 102.2, 103.2)]
        zones, _ = gaps_of(candles([*GAP, *second]))
        assert zones.bull_bottom[7] == pytest.approx(100.1)
        assert zones.bull_bottom[9] == pytest.approx(101.4)


def range_score(tail: list[tuple[float, float, float, float]]) -> Array:
    """Score after 160 bars between 98 and 102 and a tail."""
    box = path([98.0, 102.0] * 20, bars=4)
    component = RangeAnalysis()
    return component.score(component.value(joined(box, candles(tail)), 0))


class TestRangeAnalysis:
    """Position in the established range; a sweep that is taken back turns it around."""

    def test_the_middle_of_the_range_is_balance(self):
        assert range_score(flat(100.0, 2))[-1] == pytest.approx(50.0)

    def test_the_upper_part_leans_up_and_the_lower_part_down(self):
        upper, lower = range_score(flat(101.5, 2))[-1], range_score(flat(98.5, 2))[-1]
        assert 60.0 < upper < 90.0
        assert upper + lower == pytest.approx(100.0)

    def test_acceptance_above_the_range_is_bullish(self):
        assert range_score(flat(104.0, 10))[-1] > 75.0

    def test_a_high_swept_and_taken_back_is_bearish(self):
        swept = range_score([(101.5, 104.0, 100.9, 101.0)])[-1]
        quiet = range_score([(101.5, 101.6, 100.9, 101.0)])[-1]
        assert quiet > 60.0
        assert swept < 40.0

    def test_a_low_swept_and_taken_back_is_bullish(self):
        assert range_score([(98.5, 99.1, 96.0, 99.0)])[-1] > 60.0

    def test_a_sweep_is_forgotten_after_the_recent_bars(self):
        score = range_score([(101.5, 104.0, 100.9, 101.0), *flat(101.0, 23)])
        assert np.all(np.diff(score[-24:-1]) > 0.0)
        assert score[-2] > 54.0

    def test_a_flat_market_is_not_known(self):
        o, h, low, c, unit, bridged = candles([(100.0, 100.0, 100.0, 100.0)] * 200)
        assert np.isnan(RangeAnalysis().value(CandleBars(o, h, low, c, unit * 0.0, bridged), 0)).all()


def trend_score(chart: CandleBars) -> Array:
    component = TrendPosition()
    return component.score(component.value(chart, 0))


class TestTrendPosition:
    """Price above or below five averages, and the averages in order."""

    def test_a_steady_rise_is_above_all_of_them(self):
        assert trend_score(path([100, 200], bars=600))[-1] > 80.0

    def test_a_steady_fall_is_the_mirror(self):
        rise = path([100, 150], bars=600)
        assert trend_score(upside_down(rise)) == pytest.approx(100.0 - trend_score(rise))

    def test_a_quiet_market_is_balanced(self):
        assert trend_score(candles(flat(100.0, 300)))[-1] == pytest.approx(50.0)

    def test_a_pullback_in_an_uptrend_stays_above_balance(self):
        score = trend_score(joined(path([100, 160], bars=400), path([160, 157], bars=8)))
        assert 55.0 < score[-1] < score[400]

    def test_a_bar_that_is_not_known_has_no_score_and_the_next_one_has(self):
        o, h, low, c, unit, bridged = path([100, 110], bars=300)
        bridged[200] = 1.0
        score = trend_score(CandleBars(o, h, low, c, unit, bridged))
        assert np.isnan(score[200])
        assert np.isfinite(score[[199, 201]]).all()


def profile_score(closes: list[float]) -> Array:
    """Score against a value area of 98 to 102."""
    chart = candles([(c, c + 0.1, c - 0.1, c) for c in closes])
    level = np.ones(len(closes))
    component = VolumeProfile()
    return component.score(component.value(chart, ProfileLevels(100.0 * level, 98.0 * level, 102.0 * level), 0, 0))


class TestVolumeProfile:
    """Acceptance above or below the value area: being there, and having stayed there."""

    def test_the_middle_of_value_is_balance(self):
        assert profile_score([100.0] * 30)[-1] == pytest.approx(50.0)

    def test_staying_above_value_is_bullish(self):
        assert profile_score([104.0] * 30)[-1] > 75.0

    def test_a_visit_is_worth_half_of_a_stay(self):
        visit = profile_score([100.0] * 29 + [104.0])[-1]
        stay = profile_score([104.0] * 30)[-1]
        assert visit - 50.0 == pytest.approx((stay - 50.0) * (1 + 1 / 24) / 2)

    def test_below_value_is_the_mirror(self):
        assert profile_score([96.0] * 30)[-1] == pytest.approx(100.0 - profile_score([104.0] * 30)[-1])

    def test_its_edge_is_not_a_cliff(self):
        scores = [profile_score([100.0] * 29 + [c])[-1] for c in np.linspace(101.0, 103.0, 41)]
        assert np.all(np.diff(scores) > 0.0)
        assert np.diff(scores).max() < 1.0


class TestCandles:
    """Short holes are drawn flat and say nothing of their own; long ones cut the chart."""

    @staticmethod
    def chart(missing: list[int]) -> CandleBars:
        bars = path([100, 106, 100, 106, 100, 106, 100, 106])
        keep = np.setdiff1d(np.arange(len(bars.close)), missing)
        columns = {name: getattr(bars, name)[keep] for name in ("open", "high", "low", "close")}
        rows = Bars.from_rows(MINUTE, keep * 60_000, {**columns, "volume": columns["close"]}, GapPolicy("cut", 0))
        dense = rows.columns
        return Candles(period=5).value(dense["open"], dense["high"], dense["low"], dense["close"], 0, 0)

    def test_a_hole_of_five_bars_is_flat_at_the_last_close(self):
        chart = self.chart([20, 21, 22, 23, 24])
        for prices in chart[:4]:
            assert (prices[20:25] == chart.close[19]).all()
        assert list(np.flatnonzero(chart.bridged)) == [20, 21, 22, 23, 24]
        assert np.isfinite(chart.unit[5:]).all()

    def test_the_sixth_bar_of_a_hole_is_not_known_and_the_unit_starts_anew(self):
        chart = self.chart([20, 21, 22, 23, 24, 25])
        assert np.isfinite(chart.close[24])
        assert np.isnan(chart.close[25])
        assert np.isnan(chart.unit[25:31]).all()
        assert np.isfinite(chart.unit[31])

    def test_the_unit_is_the_mean_true_range(self):
        chart = self.chart([])
        steps = np.maximum(chart.high[1:], chart.close[:-1]) - np.minimum(chart.low[1:], chart.close[:-1])
        assert chart.unit[20] == pytest.approx(steps[15:20].mean())
