"""Entry, stop and targets: from confirmed structure and volatility, never from a fixed percentage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.signals import scenes
from tests.signals.scenes import PLAIN, chart
from virtuoso.clock import Span, Timeframe
from virtuoso.errors import NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.schema.columns import mirrored
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.swings import Swings, standing
from virtuoso.prism.features.volatility import MeanRange
from virtuoso.signals.levels import LevelSnapshot, Plans, _nearest, level_snapshot, plans, structure_timeframe
from virtuoso.signals.settings import LevelSettings

MINUTE = Timeframe("1m")
LONG, SHORT, NONE = (np.array([side], dtype=np.int8) for side in (1, -1, 0))


def plan(drawn: LevelSnapshot, side: np.ndarray = LONG, settings: LevelSettings = PLAIN) -> Plans:
    return plans(drawn, side, settings, MINUTE)


class TestTheStop:
    """Beyond the nearest level on the losing side, within bounds in ATR."""

    def test_lies_a_buffer_below_support(self):
        assert plan(chart(100, 2, supports=(97, 94))).stop[0] == 100 - 3 - 0.25 * 2

    def test_lies_a_buffer_above_resistance_for_a_short(self):
        assert plan(chart(100, 2, resistances=(103, 106)), SHORT).stop[0] == 100 + 3 + 0.25 * 2

    def test_is_not_nearer_than_volatility_allows(self):
        assert plan(chart(100, 2, supports=(99.9,))).stop[0] == 100 - 0.5 * 2

    def test_is_not_further_than_its_bound(self):
        assert plan(chart(100, 2, supports=(80,))).stop[0] == 100 - 3.0 * 2

    def test_without_a_level_lies_at_its_bound(self):
        assert plan(chart(100, 2)).stop[0] == 100 - 3.0 * 2


class TestTheTargets:
    """At the nearest opposing levels that are far enough, and at multiples of R where no level comes first."""

    def test_without_a_level_are_multiples_of_r(self):
        drawn = plan(chart(100, 2, supports=(98.5,)))
        r = 100 - drawn.stop[0]
        assert r == 2
        assert drawn.target[0].tolist() == [100 + 1.5 * r, 100 + 2.5 * r, 100 + 4 * r]

    def test_stand_at_the_levels_that_come_first(self):
        drawn = plan(chart(100, 2, supports=(98.5,), resistances=(102.5, 104.5, 107)))
        assert drawn.target[0].tolist() == [102.5, 104.5, 107]

    def test_a_level_within_one_r_is_not_worth_stopping_at(self):
        assert plan(chart(100, 2, supports=(98.5,), resistances=(101.5,))).target[0, 0] == 103

    def test_the_least_distance_is_a_setting(self):
        near = PLAIN.model_copy(update={"min_target_r": 0.5})
        assert plan(chart(100, 2, supports=(98.5,), resistances=(101.5,)), settings=near).target[0, 0] == 101.5

    def test_levels_next_to_each_other_are_not_two_targets(self):
        drawn = plan(chart(100, 2, supports=(98.5,), resistances=(102.5, 102.6)))
        assert drawn.target[0].tolist() == [102.5, 105, 108]

    def test_sizes_sum_to_one(self):
        assert plan(chart()).size[0].tolist() == [0.5, 0.3, 0.2]

    def test_of_a_short_lie_below(self):
        drawn = plan(chart(100, 2, supports=(97.5, 90), resistances=(101.5,)), SHORT)
        assert drawn.target[0].tolist() == [97.5, 95, 92]

    def test_a_price_below_zero_is_no_target_and_its_share_goes_to_the_one_before(self):
        drawn = plan(chart(1.0, 0.25, resistances=(1.2,)), SHORT)
        assert drawn.target[0, :2] == pytest.approx([1 - 1.5 * 0.2625, 1 - 2.5 * 0.2625])
        assert np.isnan(drawn.target[0, 2])
        assert drawn.size[0].tolist() == [0.5, 0.5, 0.0]

    def test_without_a_first_target_there_is_no_plan(self):
        drawn = plan(chart(1.0, 0.9), SHORT)
        assert not drawn.known[0]
        assert drawn.size[0].sum() == 0


class TestTheEntry:
    """At the next open, or with a limit at a level on the way back."""

    RETEST = PLAIN.model_copy(update={"entry": "retest", "retest_expiry": Span("1h")})

    def test_at_the_market_has_no_limit(self):
        drawn = plan(chart(100, 2, supports=(99,)))
        assert np.isnan(drawn.limit[0])
        assert drawn.entry[0] == 100
        assert drawn.expires[0] == 1_001

    def test_a_retest_waits_at_the_nearest_level(self):
        drawn = plan(chart(100, 2, supports=(99, 90)), settings=self.RETEST)
        assert drawn.limit[0] == drawn.entry[0] == 99
        assert drawn.expires[0] == 1_000 + 60

    def test_the_stop_of_a_retest_lies_beyond_the_level_that_is_retested(self):
        assert plan(chart(100, 2, supports=(99, 90)), settings=self.RETEST).stop[0] == 99 - 0.5 * 2

    def test_a_level_out_of_reach_is_not_waited_for(self):
        assert np.isnan(plan(chart(100, 2, supports=(97.9,)), settings=self.RETEST).limit[0])


class TestWhatIsNotKnown:
    """Without volatility or a price there is no plan, and nothing is made up."""

    @pytest.mark.parametrize("drawn", [chart(atr=float("nan")), chart(price=float("nan"))], ids=["atr", "price"])
    def test_gives_no_plan(self, drawn):
        made = plan(drawn)
        assert not made.known[0]
        assert np.isnan(made.stop[0])
        assert np.isnan(made.target).all()

    def test_neutral_has_no_plan(self):
        assert not plan(chart(), NONE).known[0]


prices = st.floats(50.0, 150.0)


class TestWhateverTheChart:
    """Levels are ordered, stops are bounded, and the mirrored chart has the mirrored plan."""

    @given(prices, st.floats(0.01, 3.0), st.lists(prices, max_size=12), st.sampled_from([1, -1]), st.booleans())
    def test_they_stand_in_order(self, price, atr, marks, side, retest):
        below = tuple(sorted((m for m in marks if m < price), reverse=True)[:6])
        above = tuple(sorted(m for m in marks if m > price)[:6])
        settings = PLAIN.model_copy(update={"entry": "retest" if retest else "market"})
        made = plan(chart(price, atr, below, above), np.array([side], dtype=np.int8), settings)
        ladder = side * np.array([made.stop[0], made.entry[0], *made.target[0]])
        assert (np.diff(ladder) > 0).all()
        assert 0.5 * atr * 0.999 <= abs(made.entry[0] - made.stop[0]) <= 3.0 * atr * 1.001
        assert abs(made.target[0, 0] - made.entry[0]) >= 0.999 * abs(made.entry[0] - made.stop[0])
        assert made.size[0].sum() == pytest.approx(1.0)

        pivot = 100.0
        other = chart(2 * pivot - price, atr, tuple(2 * pivot - m for m in above), tuple(2 * pivot - m for m in below))
        reflected = plan(other, np.array([-side], dtype=np.int8), settings)
        assert reflected.stop[0] == pytest.approx(2 * pivot - made.stop[0], abs=1e-9)
        assert reflected.target[0] == pytest.approx(2 * pivot - made.target[0], abs=1e-9)


def slow_levels(workspace: Workspace, timeframe: Timeframe, at: int, price: float, settings: LevelSettings) -> tuple:
    """The map of levels as the module's story tells it, in plain Python."""
    first = workspace.buffers(timeframe).bars.first
    low = max(at - settings.memory + 1, first)
    unit = workspace.values(MeanRange(period=settings.atr_period), timeframe, low, at + 1)[0]
    high, hw, hh, bottom, lw, lh = workspace.values(Swings(), timeframe, low, at + 1)
    marks = []
    for j in range(len(unit)):
        fresh = 1.0 - (len(unit) - 1 - j) / settings.memory
        for mark, weight, height in ((high[j], hw[j], hh[j]), (bottom[j], lw[j], lh[j])):
            if mark == mark and fresh * standing(weight, height, unit[j]) > 0:
                marks.append((mark, fresh * standing(weight, height, unit[j])))
    width = settings.apart * unit[-1]
    strong = []
    for i, (mark, own) in enumerate(marks):
        others = (w * (1 - abs(m - mark) / width) for k, (m, w) in enumerate(marks) if k != i and abs(m - mark) < width)
        if own + sum(others) >= settings.weakest:
            strong.append(mark)
    sides = []
    for side in (-1, 1):
        taken: list[float] = []
        for mark in sorted(strong, key=lambda m: side * (m - price)):
            away = side * (mark - price)
            if away > 0 and (not taken or away >= side * (taken[-1] - price) + width):
                taken.append(mark)
        sides.append(taken[:6])
    return tuple(sides)


class TestTheMap:
    """Support and resistance: confirmed swings of the structure timeframe, weighed and thinned out."""

    SETTINGS = LevelSettings(timeframe="5m", memory=120)

    def read(self, numbers: np.ndarray, workspace: Workspace | None = None) -> LevelSnapshot:
        return level_snapshot(scenes.PRISM, workspace or scenes.scores().workspace, numbers, self.SETTINGS)

    def test_is_that_of_its_slow_twin(self):
        numbers = scenes.frame().base.first + np.arange(600, 7_000, 173)
        read, compared = self.read(numbers), 0
        for i, number in enumerate(numbers):
            if np.isfinite(read.atr[i]):
                at = (int(number) + 1) // 5 - 1
                twin = slow_levels(scenes.scores().workspace, Timeframe("5m"), at, read.price[i], self.SETTINGS)
                for levels, expected in zip((read.supports[i], read.resistances[i]), twin, strict=True):
                    assert levels[np.isfinite(levels)].tolist() == expected
                    compared += len(expected)
        assert compared > 50

    def test_equal_prices_are_one_level(self):
        out = np.full(3, np.nan)
        _nearest(np.array([99.0, 98.0, 99.0]), np.ones(3), 100.0, -1.0, 0.0, 0.5, out)
        assert out[:2].tolist() == [99.0, 98.0]
        assert np.isnan(out[2])

    def test_supports_lie_below_and_resistances_above_nearest_first(self):
        read = self.read(scenes.frame().base.first + np.arange(1_000, 7_000, 50))
        for levels, side in ((read.supports, -1), (read.resistances, 1)):
            away = side * (levels - read.price[:, None])
            assert np.nanmin(away) > 0
            assert np.nanmin(np.diff(away, axis=1)) > 0

    def test_a_slow_bar_counts_from_its_close_on(self):
        first = scenes.frame().base.first
        seen = [int(x) for x in self.read(first + np.arange(1_000, 1_011)).atr.view(np.int64)]
        changes = [first + 1_001 + i for i in range(10) if seen[i] != seen[i + 1]]
        assert [(number + 1) % 5 for number in changes] == [0, 0]

    @given(st.integers(1_000, 6_999))
    def test_of_a_cut_history_is_the_same(self, bars):
        number = np.array([scenes.frame().base.first + bars - 1])
        cut = self.read(number, Workspace(scenes.until(bars), block=scenes.BLOCK))
        whole = self.read(number)
        for a, b in ((cut.atr, whole.atr), (cut.supports, whole.supports), (cut.resistances, whole.resistances)):
            assert np.array_equal(a, b, equal_nan=True)

    def test_of_the_mirrored_market_is_mirrored(self):
        frame = scenes.frame()
        pivot = float(frame.base.columns["close"][0])
        other = MarketFrame(frame.instrument, replace(frame.base, columns=mirrored(frame.base.columns, pivot)))
        numbers = frame.base.first + np.arange(1_000, 7_000, 50)
        read, reflected = self.read(numbers), self.read(numbers, Workspace(other, block=scenes.BLOCK))
        assert np.isfinite(read.supports).sum() > 100
        assert reflected.resistances == pytest.approx(2 * pivot - read.supports, abs=1e-9, nan_ok=True)
        assert reflected.supports == pytest.approx(2 * pivot - read.resistances, abs=1e-9, nan_ok=True)
        assert reflected.atr == pytest.approx(read.atr, abs=1e-9, nan_ok=True)

    def test_a_swing_is_no_level_before_it_is_confirmed(self):
        workspace, timeframe = scenes.scores().workspace, Timeframe("5m")
        bars = workspace.buffers(timeframe).bars
        tops = workspace.values(Swings(), timeframe, bars.first, bars.end)[0]
        confirmed = bars.first + np.flatnonzero(np.isfinite(tops))
        known_before = 0
        for at in confirmed[20:80]:
            number = np.array([(int(at) + 1) * 5 - 2])  # the last base bar before the confirming slow bar closes
            read, top = self.read(number), tops[at - bars.first]
            earlier = tops[max(0, at - bars.first - 120) : at - bars.first]
            known_before += top in np.concatenate((read.resistances[0], read.supports[0])) and top not in earlier
        assert known_before == 0

    def test_bars_that_swings_are_remembered_from_must_be_loaded(self):
        whole = scenes.frame()
        late = MarketFrame(whole.instrument, whole.base.since(whole.base.first + 3_000))
        with pytest.raises(NotLoadedError, match="Load an earlier start"):
            self.read(np.array([late.base.first + 400]), Workspace(late, block=scenes.BLOCK))


class TestTheStructureTimeframe:
    """The one that is set, or else the slowest of the ladder."""

    def test_is_the_one_that_is_set(self):
        assert structure_timeframe(scenes.PRISM, MINUTE, LevelSettings()) == Timeframe("30m")

    def test_is_the_slowest_where_the_ladder_does_not_hold_it(self):
        assert structure_timeframe(scenes.PRISM, Timeframe("1h"), LevelSettings()) == Timeframe("4h")
        alone = replace(scenes.PRISM, timeframes={"1m": 1.0})
        assert structure_timeframe(alone, MINUTE, LevelSettings()) == MINUTE


class TestTheSettings:
    """Impossible levels are refused when they are set."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"timeframe": "7m"},
            {"target_sizes": (0.5, 0.5, 0.5)},
            {"target_sizes": (1.2, -0.1, -0.1)},
            {"target_r": (2.0, 1.5, 4.0)},
            {"target_r": (0.5, 2.0, 3.0)},
            {"stop_min": 4.0},
        ],
        ids=repr,
    )
    def test_are_checked(self, wrong):
        with pytest.raises(ValidationError):
            LevelSettings(**wrong)


class TestImpossibleLevels:
    """Refused with the numbers that do not go together."""

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"stop_min": 5, "stop_max": 2}, "needs stop_min <= stop_max, has 5, 2"),
            ({"target_r": (1, 1.2, 3)}, "places target2 at 1.2 R, nearer than .* allow \\(1.5 R\\)"),
        ],
    )
    def test_say_which(self, given, said):
        with pytest.raises(ValueError, match=said):
            LevelSettings(**given)
