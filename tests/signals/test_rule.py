"""The rule: hysteresis with a bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.signals import scenes
from virtuoso.clock import Span, Timeframe
from virtuoso.errors import NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.signals.rule import (
    BEARISH,
    BULLISH,
    NEUTRAL,
    RuleStates,
    apply_rule,
    apply_rule_to_bars,
    memory,
    states,
    widened,
)
from virtuoso.signals.settings import SignalSettings

MINUTE = Timeframe("1m")
RULE = SignalSettings(max_age=Span("4m"))  # enters at 68 and 32, leaves at 55 and 45
NAN = float("nan")
LAPSING = SignalSettings(
    min_coverage=0.1, max_age=Span("4m"), bull_enter=60.0, bull_leave=51.0, bear_leave=49.0, bear_enter=40.0
)
"""So little is asked for to stay that most signals lapse."""


def run(*confluence: float, coverage: list[float] | None = None, settings: SignalSettings = RULE) -> list[int]:
    score = np.array(confluence, dtype=float)
    known = np.ones(len(score)) if coverage is None else np.array(coverage)
    return [int(state) for state in states(score, known, settings, MINUTE)]


class TestTheStates:
    """BULLISH from 68 on until 55 is lost, BEARISH from 32 down until 45 is passed."""

    def test_nothing_begins_between_the_thresholds(self):
        assert run(50, 67.9, 33, 50) == [0, 0, 0, 0]

    def test_it_begins_on_the_bar_that_reaches_the_threshold(self):
        assert run(50, 68, 50, 32) == [0, 1, 0, -1]

    def test_it_holds_while_confluence_stays_on_the_near_side(self):
        assert run(70, 60, 55) == [1, 1, 1]
        assert run(30, 40, 45) == [-1, -1, -1]

    def test_it_ends_on_the_first_bar_beyond(self):
        assert run(70, 54.9, 60) == [1, 0, 0]
        assert run(30, 45.1, 40) == [-1, 0, 0]

    def test_it_turns_over_without_a_bar_between(self):
        assert run(70, 30, 70) == [1, -1, 1]

    def test_it_lapses_max_age_after_the_last_bar_that_reached_the_threshold(self):
        assert run(70, 60, 60, 60, 60, 60) == [1, 1, 1, 1, 0, 0]

    def test_every_bar_that_reaches_the_threshold_renews_it(self):
        assert run(70, 60, 70, 60, 60, 60, 60) == [1, 1, 1, 1, 1, 1, 0]

    def test_what_is_not_known_ends_it(self):
        assert run(70, NAN, 60) == [1, 0, 0]

    def test_too_little_coverage_ends_it_and_begins_nothing(self):
        assert run(80, 80, 80, coverage=[0.4, 0.39, 0.4]) == [1, 0, 1]
        assert run(80, 60, 80, coverage=[0.3, 0.9, 0.3]) == [0, 0, 0]

    def test_an_age_shorter_than_a_bar_is_one_bar(self):
        settings = SignalSettings(max_age=Span("1m"))
        assert [int(s) for s in states(np.array([70.0, 60.0]), np.ones(2), settings, Timeframe("1h"))] == [1, 0]


class TestThresholdsKnowCoverage:
    """The mean of a quarter of what is independent strays twice as far from 50, and so lie the thresholds."""

    QUARTER = SignalSettings(max_age=Span("4m"), min_coverage=0.1)

    def test_of_a_quarter_they_lie_twice_as_far(self):
        quarter = [0.25] * 4
        assert run(85.9, 86, 60, 59.9, coverage=quarter, settings=self.QUARTER) == [0, 1, 1, 0]
        assert run(14.1, 14, 40, 40.1, coverage=quarter, settings=self.QUARTER) == [0, -1, -1, 0]

    def test_of_all_they_are_those_that_are_set(self):
        assert widened(68.0, np.ones(1))[0] == 68.0

    @given(st.floats(50.0, 100.0), st.floats(0.1, 1.0), st.floats(0.1, 1.0))
    def test_both_sides_alike_the_further_the_less_is_known_and_never_by_a_jump(self, threshold, one, other):
        less, more = sorted((one, other))
        here, there = widened(threshold, np.array([less, more]))
        assert here >= there >= threshold - 1e-9
        assert here - there <= 50.0 * 0.5 * less**-1.5 * (more - less) + 1e-9
        assert 100.0 - here == pytest.approx(widened(100.0 - threshold, np.array([less]))[0])

    def test_what_cannot_be_reached_is_never_reached(self):
        far = SignalSettings(max_age=Span("4m"), bull_enter=90.0, bear_enter=10.0)
        assert run(100, 0, coverage=[0.5, 0.5], settings=far) == [0, 0]


def slow_state(confluence: list[float], coverage: list[float], t: int, settings: SignalSettings, age: int) -> int:
    """The rule as it is written, bar by bar."""
    for side, enter, leave in (
        (BULLISH, settings.bull_enter, settings.bull_leave),
        (BEARISH, settings.bear_enter, settings.bear_leave),
    ):
        for s in range(max(0, t - age + 1), t + 1):
            entered = side * (confluence[s] - _far(enter, coverage[s])) >= 0 and coverage[s] >= settings.min_coverage
            left = any(
                not (side * (confluence[u] - _far(leave, coverage[u])) >= 0) or coverage[u] < settings.min_coverage
                for u in range(s + 1, t + 1)
            )
            if entered and not left:
                return side
    return NEUTRAL


def _far(limit: float, coverage: float) -> float:
    return 50.0 + (limit - 50.0) / math.sqrt(coverage)


points = st.sampled_from([14.0, 20.0, 59.0, 79.0, 32.0, 33.0, 45.0, 46.0, 50.0, 54.0, 55.0, 67.0, 68.0, 80.0, NAN])
bars = st.lists(st.tuples(points, st.sampled_from([0.39, 0.4, 1.0])), min_size=1, max_size=60)


class TestTheRuleAgainstItsSlowTwin:
    """The vectorised rule is the sentence it is written in."""

    @given(bars, st.integers(1, 9))
    def test_every_state_is_the_same(self, history, age):
        settings = SignalSettings(max_age=Span(f"{age}m"))
        confluence, coverage = [c for c, _ in history], [k for _, k in history]
        expected = [slow_state(confluence, coverage, t, settings, age) for t in range(len(history))]
        assert [int(s) for s in states(np.array(confluence), np.array(coverage), settings, MINUTE)] == expected

    @given(bars, st.integers(1, 9), st.data())
    def test_with_its_memory_before_it_any_stretch_gives_the_same(self, history, age, data):
        settings = SignalSettings(max_age=Span(f"{age}m"))
        confluence, coverage = np.array([c for c, _ in history]), np.array([k for _, k in history])
        whole = states(confluence, coverage, settings, MINUTE)
        a = data.draw(st.integers(0, len(history) - 1))
        b = data.draw(st.integers(a + 1, len(history)))
        low = max(0, a - memory(settings, MINUTE) + 1)
        part = states(confluence[low:b], coverage[low:b], settings, MINUTE)[a - low :]
        assert np.array_equal(part, whole[a:b])


class TestReasons:
    """Every state says why, with the numbers that decided it."""

    def rule(self, *confluence: float, coverage: list[float] | None = None) -> RuleStates:
        score = np.array(confluence, dtype=float)
        known = np.ones(len(score)) if coverage is None else np.array(coverage)
        state = states(score, known, RULE, MINUTE)
        before = np.concatenate(([0], state[:-1])).astype(np.int8)
        return RuleStates(RULE, MINUTE, 0, state, before, score, known)

    def test_of_a_beginning(self):
        assert self.rule(71.24).reason(0) == "confluence 71.2 reached 68"
        assert self.rule(30).reason(0) == "confluence 30.0 reached 32"

    def test_of_holding_on(self):
        assert self.rule(70, 60).reason(1) == "confluence 60.0 has not come back to 55 since it reached 68"

    def test_of_an_end(self):
        assert self.rule(70, 54).reason(1) == "confluence 54.0 came back past 55"
        assert self.rule(30, 46).reason(1) == "confluence 46.0 came back past 45"

    def test_of_a_lapse(self):
        assert self.rule(70, 60, 60, 60, 60).reason(4) == "confluence 60.0: 68 was last reached 4m ago"

    def test_of_too_little_coverage(self):
        assert self.rule(70, coverage=[0.31]).reason(0) == "coverage 0.31 below 0.40"

    def test_of_coverage_that_misses_by_a_hair(self):
        assert self.rule(70, coverage=[0.3996]).reason(0) == "coverage 0.3996 below 0.40"

    def test_names_the_threshold_of_what_is_known(self):
        half = [0.5, 0.5]
        assert self.rule(52, coverage=half).reason(0) == "confluence 52.0 has reached neither 75.5 nor 24.5"
        assert self.rule(76, coverage=half).reason(0) == "confluence 76.0 reached 75.5"
        assert self.rule(76, 57, coverage=half).reason(1) == "confluence 57.0 came back past 57.1"

    def test_of_knowing_nothing(self):
        assert self.rule(NAN, coverage=[0.0]).reason(0) == "confluence is not known"

    def test_of_balance(self):
        assert self.rule(52).reason(0) == "confluence 52.0 has reached neither 68 nor 32"


class TestTheLawOnAMarket:
    """Cut anywhere, in a window, bar by bar: the same states."""

    def whole(self) -> RuleStates:
        return apply_rule(scenes.scores(), scenes.SETTINGS)

    def test_the_market_has_all_three_states(self):
        assert set(np.unique(self.whole().state)) == {BEARISH, NEUTRAL, BULLISH}

    @pytest.mark.parametrize("settings", [scenes.SETTINGS, LAPSING], ids=["usual", "lapsing"])
    @given(st.integers(0, 6_800), st.integers(1, 200))
    def test_a_window_is_a_part_of_the_whole(self, settings, at, length):
        first, whole = scenes.frame().base.first, apply_rule(scenes.scores(), settings)
        part = apply_rule_to_bars(scenes.PRISM, scenes.scores().workspace, first + at, first + at + length, settings)
        assert np.array_equal(part.state, whole.state[at : at + length])
        assert np.array_equal(part.before, whole.before[at : at + length])

    def test_bar_by_bar_on_a_growing_history_is_the_whole(self):
        whole, at = self.whole(), scenes.busiest(self.whole().changes(), 120)
        workspace = Workspace(scenes.until(at), block=scenes.BLOCK)
        for i in range(at, at + 120):
            workspace.grow(scenes.until(i + 1))
            bar = scenes.frame().base.first + i
            now = apply_rule_to_bars(scenes.PRISM, workspace, bar, bar + 1, scenes.SETTINGS)
            assert (now.state[0], now.before[0]) == (whole.state[i], whole.before[i])

    def test_one_bar_after_a_lapse_is_that_of_the_whole(self):
        whole = apply_rule(scenes.scores(), LAPSING)
        lapsed = [int(i) for i in whole.changes() if "last reached" in whole.reason(i)]
        assert len(lapsed) > 10
        for i in lapsed[:40]:
            for bar in (scenes.scores().start + i - 1, scenes.scores().start + i):
                now = apply_rule_to_bars(scenes.PRISM, scenes.scores().workspace, bar, bar + 1, LAPSING)
                at = bar - scenes.scores().start
                assert (now.state[0], now.before[0]) == (whole.state[at], whole.before[at])

    def test_live_no_bar_is_assembled_twice(self, monkeypatch):
        assembled = []
        real = assemble

        def spy(prism, workspace, start, stop, *rest):
            assembled.append(stop - start)
            return real(prism, workspace, start, stop, *rest)

        monkeypatch.setattr("virtuoso.signals.rule.assemble", spy)
        first, workspace = scenes.frame().base.first, Workspace(scenes.frame(), block=scenes.BLOCK)
        for number in range(first + 5_000, first + 5_010):
            apply_rule_to_bars(scenes.PRISM, workspace, number, number + 1, scenes.SETTINGS)
        assert assembled == [1, memory(scenes.SETTINGS, MINUTE), *[1] * 9]

    def test_rules_with_different_memories_do_not_disturb_each_other(self):
        first, workspace = scenes.frame().base.first, Workspace(scenes.frame(), block=scenes.BLOCK)
        wholes = [(rule, apply_rule(scenes.scores(), rule)) for rule in (LAPSING, scenes.SETTINGS)]
        for i in range(5_000, 5_060):
            for rule, whole in (wholes[i % 2], wholes[i % 3 == 0]):
                now = apply_rule_to_bars(scenes.PRISM, workspace, first + i, first + i + 1, rule)
                assert (now.state[0], now.before[0]) == (whole.state[i], whole.before[i])

    def test_bars_it_remembers_must_be_loaded(self):
        whole = scenes.frame()
        late = MarketFrame(whole.instrument, whole.base.since(whole.base.first + 100))
        with pytest.raises(NotLoadedError, match="Load an earlier start"):
            apply_rule_to_bars(
                scenes.PRISM, Workspace(late), late.base.first + 10, late.base.first + 20, scenes.SETTINGS
            )
