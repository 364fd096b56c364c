"""The open-interest room: who opened and closed contracts, who pays to hold them, and who would be forced out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import START, hours, market
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import MissingColumnError, NotLoadedError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.columns import mirrored
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.derivatives.interest import (
    AccountsLean,
    FundingLean,
    InterestCorrelation,
    InterestDivergence,
    InterestLevel,
    InterestMoves,
    InterestQuadrant,
)
from virtuoso.prism.features.swings import Pivots
from virtuoso.prism.laws import laws
from virtuoso.prism.laws.findings import differing
from virtuoso.prism.open_interest.analysis import analyse, pace, position_score, structure_timeframes
from virtuoso.prism.open_interest.report import OpenInterest, quadrant
from virtuoso.prism.open_interest.squeeze import (
    LEVERAGES,
    CrowdSide,
    Positions,
    liquidation_levels,
    squeeze_points,
    standing_positions,
    unbroken_swings,
)

FIVE, MINUTE = Timeframe("5m"), Timeframe("1m")
NAN = float("nan")
KEYS = {
    "oi_delta", "oi_price_correlation", "divergences", "funding", "concentration", "timeframe_structure", "score",
    "interpretation",
}  # fmt: skip
NODES = [
    InterestQuadrant(), InterestLevel(), InterestMoves(), InterestCorrelation(), AccountsLean(),
    InterestDivergence(),
]  # fmt: skip


def scene(price: np.ndarray, interest: np.ndarray, timeframe: Timeframe = FIVE, **more: np.ndarray) -> MarketFrame:
    """Bars that go through closes, with open interest counted at them."""
    columns = {
        "open": price, "high": price + 0.1, "low": price - 0.1, "close": price,
        "volume": np.full(len(price), 10.0), "open_interest": interest, "open_interest_value": interest * price, **more,
    }  # fmt: skip
    first = START // 5 if timeframe == FIVE else START
    times = (np.arange(len(price), dtype=np.int64) + first) * timeframe.ms
    return MarketFrame(
        Instrument("simulated", "BTCUSDT"), Bars.from_rows(timeframe, times, columns, GapPolicy("cut", 0))
    )


def calm(bars: int = 600, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A price and an open interest that wander and mean nothing."""
    random = np.random.default_rng(seed)
    price = 1_000.0 + np.sin(np.arange(bars) / 30.0) + 0.3 * random.standard_normal(bars)
    return price, 50_000.0 + 20.0 * random.standard_normal(bars)


def moved(price_step: float, interest_step: float) -> OpenInterest:
    """The room after 36 bars in which both went one way: three hours."""
    price, interest = calm()
    ramp = np.maximum(np.arange(600.0) - 563.0, 0.0)
    return analyse(scene(price + price_step * ramp, interest + interest_step * ramp))


class TestTheFourQuadrants:
    @pytest.mark.parametrize(
        ("price_step", "interest_step", "name"),
        [
            (0.5, 50.0, "strong_bullish"),
            (-0.5, 50.0, "strong_bearish"),
            (0.5, -50.0, "weak_bullish"),
            (-0.5, -50.0, "weak_bearish"),
        ],
    )
    def test_are_named_on_the_clocks_that_see_the_move(self, price_step, interest_step, name):
        structure = moved(price_step, interest_step).timeframe_structure
        assert structure["5m"].quadrant == structure["30m"].quadrant == name

    def test_score_new_contracts_more_than_closed_ones(self):
        joined, covered = moved(0.5, 50.0), moved(0.5, -50.0)
        sold, given_up = moved(-0.5, 50.0), moved(-0.5, -50.0)
        assert joined.score > covered.score + 5.0 > 60.0
        assert sold.score < given_up.score - 5.0 < 40.0

    def test_warn_of_reversal_where_contracts_are_closed(self):
        assert any("may turn" in sentence for sentence in moved(0.5, -50.0).interpretation)
        assert not any("may turn" in sentence for sentence in moved(0.5, 50.0).interpretation[:3])

    def test_stand_still_where_nothing_moves(self):
        assert quadrant(0.1, 3.0)[0] == quadrant(3.0, 0.1)[0] == "still"
        assert "opened" in quadrant(0.1, 3.0)[1]
        assert "closed" in quadrant(0.1, -3.0)[1]

    def test_are_not_guessed(self):
        assert quadrant(NAN, 1.0) == quadrant(1.0, NAN) == ("", "not known")


class TestDelta:
    def test_is_the_change_over_several_spans(self):
        price, interest = np.full(600, 100.0), 1_000.0 + np.arange(600.0)
        delta = analyse(scene(price, interest)).oi_delta
        assert [delta[span].change for span in ("5m", "30m", "4h", "1d")] == [1.0, 6.0, 48.0, 288.0]
        assert delta["4h"].share == pytest.approx(48.0 / (1_599.0 - 48.0))
        assert delta["4h"].notional == pytest.approx(4_800.0)

    def test_of_a_span_that_history_does_not_hold_is_not_known_and_says_so(self):
        found = analyse(scene(*calm(200)))
        assert np.isnan(found.oi_delta["1d"].change)
        assert np.isfinite(found.oi_delta["4h"].change)
        assert "oi_delta.1d" in found.reasons


class TestCorrelation:
    def test_is_one_where_every_rise_opens_contracts_and_minus_one_where_every_fall_does(self):
        price, _ = calm()
        for sign in (1.0, -1.0):
            interest = 50_000.0 + sign * 10.0 * (price - 1_000.0)
            assert analyse(scene(price, interest)).oi_price_correlation.value == pytest.approx(sign, abs=0.01)

    def test_compares_open_interest_with_the_price_it_was_counted_at(self):
        """Published a bar late: the close has gone on, the notional still tells the price of the count."""
        price, _ = calm()
        interest = 50_000.0 + 10.0 * (price - 1_000.0)
        late = scene(price, np.roll(interest, 1), open_interest_value=np.roll(interest * price, 1))
        assert analyse(late).oi_price_correlation.value == pytest.approx(1.0, abs=0.01)

    def test_is_that_of_pandas(self):
        import pandas as pd

        price, interest = calm()
        found = Workspace(frame := scene(price, interest)).values(InterestCorrelation(), FIVE, frame.start, frame.stop)
        expected = pd.Series(interest).diff().rolling(48).corr(pd.Series(price).diff()).to_numpy()
        np.testing.assert_allclose(found[0][48:], expected[48:], atol=1e-9)

    def test_is_not_known_where_open_interest_stands_still(self):
        price, _ = calm()
        found = analyse(scene(price, np.full(600, 50_000.0)))
        assert np.isnan(found.oi_price_correlation.value)
        assert "oi_price_correlation" in found.reasons


def two_swings(side: float, second: float, interest_at_second: float) -> MarketFrame:
    """Two tops (side 1) or bottoms (-1) thirty bars apart, confirmed, and what open interest was at the second."""
    bars = 400
    price = 1_000.0 + 0.02 * np.sin(np.arange(bars))
    for middle, height in ((350, 10.0), (380, 10.0 + second)):
        price += side * height * np.maximum(1.0 - np.abs(np.arange(bars) - middle) / 10.0, 0.0)
    interest = 50_000.0 + 50.0 * np.sin(np.arange(bars) / 5.0)
    interest[345:356] = 51_500.0
    interest[375:] = interest_at_second
    return scene(price, interest)


class TestDivergences:
    """A trend that is believed in opens contracts, whichever way it goes."""

    def kinds(self, frame: MarketFrame) -> list[str]:
        return [found.kind for found in analyse(frame).divergences if found.timeframe == "5m"]

    def test_a_higher_high_on_fewer_contracts_warns(self):
        assert self.kinds(two_swings(1.0, 3.0, 49_000.0)) == ["regular_bearish"]

    def test_a_lower_low_on_fewer_contracts_warns(self):
        assert self.kinds(two_swings(-1.0, 3.0, 49_000.0)) == ["regular_bullish"]

    def test_a_higher_high_or_lower_low_on_more_contracts_is_no_divergence(self):
        assert self.kinds(two_swings(1.0, 3.0, 53_000.0)) == []
        assert self.kinds(two_swings(-1.0, 3.0, 53_000.0)) == []

    def test_a_lower_high_on_more_contracts_is_joined_selling(self):
        assert self.kinds(two_swings(1.0, -5.0, 56_000.0)) == ["hidden_bearish"]

    def test_move_the_score_by_at_most_ten_points(self):
        frame = two_swings(1.0, 3.0, 49_000.0)
        workspace = Workspace(frame)
        strength = workspace.values(NODES[-1], FIVE, frame.start, frame.stop)[0]
        assert -1.0 <= np.nanmin(strength) < -0.1
        assert np.nanmax(np.abs(strength)) <= 1.0

    def test_are_not_seen_before_the_swing_is_confirmed(self):
        frame = two_swings(1.0, 3.0, 49_000.0)
        before = frame.until((frame.base.first + 384) * FIVE.ms)
        assert self.kinds(before) == []


class TestFunding:
    def with_rate(self, rate: float) -> OpenInterest:
        return analyse(scene(*calm(), funding_rate=np.full(600, rate)))

    def test_says_who_pays_and_how_much_a_day(self):
        found = self.with_rate(0.0003)
        assert found.funding.payer == "longs"
        assert found.funding.per_day == pytest.approx(3 * 0.0003 * found.open_interest_value)
        assert self.with_rate(-0.0003).funding.payer == "shorts"
        assert self.with_rate(0.0).funding.payer == "nobody"

    def test_is_not_known_where_the_source_has_none(self):
        found = analyse(scene(*calm()))
        assert found.funding.payer == ""
        assert np.isnan(found.funding.rate)
        assert found.reasons["funding"] == "the source has no funding"
        assert not any("Funding" in sentence for sentence in found.interpretation)

    def test_is_not_known_past_its_hold(self):
        rate = np.full(600, 0.0003)
        rate[-1] = np.nan
        found = analyse(scene(*calm(), funding_rate=rate))
        assert found.reasons["funding"] == "no settled rate in force"


class TestLiquidationLevels:
    """Estimates, by hand: ten contracts opened at 100."""

    def opened(self, low=99.5, high=100.5, after=()) -> Positions:
        interest = np.array([90.0, 90.0, 100.0, *([100.0] * 3), *after])
        n = len(interest)
        lows, highs = np.full(n, 99.5), np.full(n, 100.5)
        lows[4], highs[4] = low, high
        return standing_positions(interest, np.full(n, 100.0), lows, highs)

    def test_lie_where_margin_is_used_up(self):
        levels = {(level.leverage, level.side): level.price for level in liquidation_levels(self.opened())}
        assert levels[10, "long"] == pytest.approx(90.4)
        assert levels[10, "short"] == pytest.approx(109.6)
        assert levels[100, "long"] == pytest.approx(99.4)

    def test_of_high_leverage_are_nearest(self):
        longs = [level.price for level in liquidation_levels(self.opened()) if level.side == "long"]
        assert longs == sorted(longs)

    def test_are_gone_once_price_has_been_there(self):
        sides = {(level.leverage, level.side) for level in liquidation_levels(self.opened(low=90.0))}
        assert sides == {(5, "long"), *((leverage, "short") for leverage in LEVERAGES)}

    def test_shrink_as_contracts_are_closed(self):
        assert self.opened().size.sum() == pytest.approx(10.0)
        assert self.opened(after=(50.0, 50.0)).size.sum() == pytest.approx(5.0)

    def test_pass_over_an_outage(self):
        """Not known is not zero: no position was closed and none was opened by it."""
        found = self.opened(after=(NAN, NAN, 100.0))
        assert found.size.sum() == pytest.approx(10.0)
        assert len(found.entry) == 1

    def test_of_a_market_without_growth_are_none(self):
        flat = np.full(5, 100.0)
        assert liquidation_levels(standing_positions(flat, flat, flat, flat)) == []

    def test_are_marked_as_estimates(self):
        assert all(level.estimate for level in liquidation_levels(self.opened()))


NOBODY = Positions(*(np.empty(0) for _ in range(4)))
NONE = (np.empty(0), np.empty(0))


class TestSqueezePoints:
    """Where crowded shorts (above) or longs (below) would be forced out."""

    SWINGS = (np.array([110.0]), np.array([1.0])), (np.array([90.0]), np.array([1.0]))

    def found(self, crowd: CrowdSide, positions: Positions = NOBODY) -> dict[str, float]:
        return {p.side: p.strength for p in squeeze_points(100.0, 2.0, positions, *self.SWINGS, crowd)}

    def test_lie_at_unbroken_swings(self):
        points = squeeze_points(100.0, 2.0, NOBODY, *self.SWINGS, CrowdSide.of(NAN, NAN))
        assert [(p.side, p.price, p.distance) for p in points] == [("below", 90.0, 5.0), ("above", 110.0, 5.0)]
        assert all(p.estimate and p.basis == ("swings",) for p in points)

    def test_are_stronger_above_where_shorts_are_crowded_and_below_where_longs_are(self):
        shorts, longs = self.found(CrowdSide.of(-3.0, -2.0)), self.found(CrowdSide.of(3.0, 2.0))
        assert shorts["above"] > 2.0 * shorts["below"]
        assert longs["below"] > 2.0 * longs["above"]
        assert shorts["above"] == pytest.approx(longs["below"])

    def test_are_stronger_where_liquidations_are_estimated(self):
        """Opened at 100 with leverage 10: liquidated at 109.6 and 90.4, beside the swings."""
        positions = Positions(np.array([100.0]), np.array([10.0]), np.array([99.9]), np.array([100.1]))
        crowd = CrowdSide.of(NAN, NAN)
        assert self.found(crowd, positions)["above"] > self.found(crowd)["above"] + 0.05

    def test_are_not_looked_for_far_away(self):
        assert squeeze_points(100.0, 0.2, NOBODY, *self.SWINGS, CrowdSide.of(1.0, 1.0)) == []

    def test_are_at_least_a_range_apart(self):
        swings = (np.array([110.0, 110.5, 111.0, 118.0]), np.ones(4))
        points = squeeze_points(100.0, 2.0, NOBODY, swings, NONE, CrowdSide.of(NAN, NAN))
        assert len(points) == 2
        assert points[1].price == 118.0

    def test_know_no_crowd_where_neither_funding_nor_accounts_are_known(self):
        assert CrowdSide.of(NAN, NAN) == CrowdSide(0.0, ())
        assert CrowdSide.of(2.0, NAN).basis == ("funding",)

    def test_forget_a_swing_that_price_has_passed(self):
        nothing = np.full(6, NAN)
        marks, ones = np.array([NAN, 110.0, NAN, NAN, NAN, NAN]), np.ones(6)
        swings = Pivots(marks, ones, 5.0 * ones, nothing, nothing, nothing)
        for reached, count in ((109.0, 1), (111.0, 0)):
            high = np.array([100.0, 105.0, 104.0, reached, 100.0, 100.0])
            assert len(unbroken_swings(swings, ones, high - 1.0, high, "above")[0]) == count


class TestTheRoom:
    def test_gives_the_keys_of_the_api_and_the_reports(self):
        assert set(analyse(scene(*calm())).to_dict()) >= KEYS

    def test_says_why_something_is_not_known(self):
        found = analyse(scene(*calm(200)))
        assert np.isnan(found.timeframe_structure["1d"].score)
        assert found.reasons["timeframe_structure.1d"]

    def test_knows_nothing_during_an_outage_and_invents_nothing(self):
        price, interest = calm()
        interest[-4:] = NAN
        found = analyse(scene(price, interest))
        assert np.isnan(found.open_interest)
        assert np.isnan(found.oi_delta["5m"].change)
        assert found.reasons["open_interest"] == "open interest was not published in time"
        assert found.timeframe_structure["5m"].quadrant == ""

    def test_calls_a_build_up_abnormal(self):
        price, interest = calm()
        assert not analyse(scene(price, interest)).concentration.abnormal
        interest[-5:] += 5_000.0
        found = analyse(scene(price, interest))
        assert found.concentration.abnormal
        assert found.concentration.build_up > 2.0

    def test_refuses_spot_and_says_what_to_import(self):
        frame = market(bars=500)
        with pytest.raises(MissingColumnError, match="Import the venue's metrics"):
            analyse(frame)

    def test_refuses_a_moment_that_is_not_loaded(self):
        with pytest.raises(NotLoadedError):
            analyse(scene(*calm()), "2031-01-01")

    @pytest.mark.parametrize(
        ("base", "expected"),
        [("1s", "5m 30m 4h 1d"), ("5m", "5m 30m 4h 1d"), ("1h", "4h 1d"), ("4h", "4h 1d"), ("1d", "1d")],
    )
    def test_reads_the_clocks_that_the_base_allows(self, base, expected):
        assert " ".join(map(str, structure_timeframes(Timeframe(base)))) == expected
        assert pace(Timeframe(base)) == max(Timeframe(base), FIVE)


class TestTheLaw:
    """Cut the end of the history anywhere: not one bit changes."""

    FRAME = market(bars=4_000, lit=True)

    def test_the_score_of_a_batch_is_that_of_every_single_bar(self):
        whole = position_score(Workspace(self.FRAME, 64), self.FRAME.start, self.FRAME.stop)
        live, numbers = Workspace(self.FRAME, 64), range(self.FRAME.stop - 1_200, self.FRAME.stop, 7)
        single = np.array([position_score(live, number, number + 1)[0] for number in numbers])
        there = whole[np.array(numbers) - self.FRAME.start]
        assert np.isfinite(there).mean() > 0.5
        assert not differing(there, single).any()

    def test_nothing_that_came_later_changes_a_moment(self):
        at = (self.FRAME.base.first + 2_345) * MINUTE.ms
        cut = analyse(self.FRAME.until(at)).to_dict()
        whole = analyse(self.FRAME, at).to_dict()
        assert np.isfinite(whole["score"])
        assert repr(cut) == repr(whole)

    @pytest.mark.parametrize("node", NODES, ids=repr)
    def test_is_obeyed_by_every_node(self, node):
        for finding in laws.examine(node, self.FRAME, MINUTE, block=64):
            assert finding.holds, str(finding)

    def test_is_obeyed_by_funding_on_its_own_clock(self):
        frame = hours(bars=3_000, lit=True)
        for finding in laws.examine(FundingLean(), frame, Timeframe("4h"), block=64):
            assert finding.holds, str(finding)

    def test_the_mirrored_market_turns_quadrants_divergences_and_crowds_around(self):
        frame = self.FRAME
        pivot = float(frame.base.columns["close"][0])
        other = MarketFrame(frame.instrument, replace(frame.base, columns=mirrored(frame.base.columns, pivot)))
        a, b = frame.start, frame.stop
        one, two = position_score(Workspace(frame), a, b), position_score(Workspace(other), a, b)
        assert np.nanmax(one) - np.nanmin(one) > 40.0
        np.testing.assert_allclose(one, 100.0 - two, atol=1e-6)
