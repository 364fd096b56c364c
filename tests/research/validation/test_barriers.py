"""Outcomes: first target before stop within the life of a signal, told by bars; what is doubtful is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tests.research.scenes import NAN, PRISM, bars, unscored, walk
from tests.signals import scenes
from virtuoso.clock import Span
from virtuoso.errors import DataError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.research.validation.barriers import NEITHER, REACHED, STOPPED, barrier_labels, labels_of_decisions
from virtuoso.signals.decision import Decisions, decide
from virtuoso.signals.levels import LevelSnapshot, Plans
from virtuoso.signals.rule import apply_rule
from virtuoso.signals.settings import SignalSettings

LIFE = SignalSettings(max_age=Span("4m"))
STILL = (100.0, 100.5, 99.5, 100.0)
UP, DOWN = (100.0, 103.5, 99.9, 103.0), (100.0, 100.1, 96.5, 97.0)
BOTH = (100.0, 103.5, 96.5, 100.0)


def planned(frame: MarketFrame, *plans, settings=LIFE) -> Decisions:
    """Decisions written by hand: (bar from the start, side, stop, target[, limit, bars that it waits])."""
    scores, n = unscored(frame), len(plans)
    at = np.array([plan[0] for plan in plans], dtype=np.int64)
    side = np.array([plan[1] for plan in plans], dtype=np.int8)
    levels = np.array([[*plan[2:], NAN, 1][:4] for plan in plans], dtype=np.float64)
    price = frame.base.columns["close"][at]
    numbers, empty = at + frame.start, np.full((n, 3), NAN)
    target = empty.copy()
    target[:, 0] = levels[:, 1]
    return Decisions(
        scores, settings, apply_rule(scores, settings), at,
        LevelSnapshot(frame.timeframe, numbers, price, np.ones(n), empty, empty),
        Plans(side, levels[:, 2], numbers + levels[:, 3].astype(np.int64), price, levels[:, 0], target, empty),
        np.zeros(n, np.int8), np.zeros(n, bool), np.full(n, 0.5), np.zeros(n, bool),
    )  # fmt: skip


def became(*after, plan=(0, 1, 97.0, 103.0), **how):
    """Outcome of a plan at the first of some still bars, by the bars that follow."""
    rows, why = labels_of_decisions(planned(bars(STILL, *after, **how), plan))
    assert len(rows) + sum(why.values()) == 1
    return rows[0] if len(rows) else next(iter(why))


class TestWhatWasTouchedFirst:
    """A long from 100 with its stop at 97 and its first target at 103; four bars to live."""

    def test_the_target_is_right(self):
        found = became(STILL, UP, DOWN, STILL)
        assert (found["touched"], found["right"], found["ambiguous"]) == (REACHED, True, False)

    def test_the_stop_is_wrong_whatever_follows(self):
        found = became(STILL, DOWN, UP, STILL)
        assert (found["touched"], found["right"], found["ambiguous"]) == (STOPPED, False, False)

    def test_neither_in_time_is_wrong(self):
        found = became(STILL, STILL, STILL, STILL, UP)
        assert (found["touched"], found["right"]) == (NEITHER, False)

    def test_the_last_bar_of_its_life_counts(self):
        assert became(STILL, STILL, STILL, UP)["right"]

    def test_E41_both_in_one_bar_is_wrong_and_ambiguous(self):
        found = became(STILL, BOTH, STILL, STILL)
        assert (found["touched"], found["right"], found["ambiguous"]) == (STOPPED, False, True)

    def test_a_touch_is_enough(self):
        assert became((100.0, 103.0, 99.5, 100.0), STILL, STILL, STILL)["right"]
        assert became((100.0, 103.0, 97.0, 100.0), STILL, STILL, STILL)["touched"] == STOPPED

    def test_the_bar_of_the_decision_itself_does_not_count(self):
        rows, _ = labels_of_decisions(planned(bars(UP, STILL, STILL, STILL, STILL), (0, 1, 97.0, 103.0)))
        assert rows["touched"].tolist() == [NEITHER]

    def test_a_short_is_the_mirror(self):
        assert became(DOWN, STILL, STILL, STILL, plan=(0, -1, 103.0, 97.0))["right"]
        assert became(UP, STILL, STILL, STILL, plan=(0, -1, 103.0, 97.0))["touched"] == STOPPED

    def test_bars_that_are_not_known_take_no_part(self):
        """Bar 2 would have stopped it; nobody published it."""
        found = became(STILL, DOWN, UP, STILL, missing=(2,))
        assert found["right"]


class TestWhatHasNoOutcome:
    """Left out and counted, never guessed."""

    def test_a_life_that_is_not_over_even_where_its_target_was_reached(self):
        assert became(STILL, UP, STILL) == "its life is not over"

    def test_a_next_bar_that_is_not_known(self):
        assert became(STILL, UP, STILL, STILL, missing=(1,)) == "the next bar is not known"

    def test_an_open_beyond_the_stop(self):
        assert became((96.0, 103.5, 95.0, 103.0), STILL, STILL, STILL) == "opened beyond its stop"

    def test_decisions_without_a_plan_are_not_asked(self):
        rows, why = labels_of_decisions(planned(bars(*[STILL] * 6), (0, 0, NAN, NAN), (1, 1, NAN, NAN)))
        assert len(rows) == 0
        assert why == {}


class TestLimitEntries:
    """A limit at 99 that waits for two bars: entered where price trades through it."""

    PLAN = (0, 1, 97.0, 103.0, 99.0, 2)
    DIP = (100.0, 100.5, 98.5, 100.0)

    def test_that_are_not_reached_have_no_outcome(self):
        assert became(STILL, STILL, self.DIP, UP, plan=self.PLAN) == "its limit was not reached"

    def test_a_touch_does_not_fill(self):
        touch = (100.0, 100.5, 99.0, 100.0)
        assert became(touch, touch, STILL, UP, plan=self.PLAN) == "its limit was not reached"

    def test_a_target_before_the_entry_does_not_count(self):
        assert became(UP, self.DIP, STILL, STILL, plan=self.PLAN)["touched"] == NEITHER

    def test_a_target_after_it_does(self):
        assert became(self.DIP, STILL, UP, STILL, plan=self.PLAN)["right"]

    def test_on_the_bar_of_the_entry_a_target_counts_if_the_close_lies_beyond_it(self):
        back, kept = (100.0, 103.5, 98.5, 100.0), (100.0, 103.5, 98.5, 103.2)
        assert became(kept, STILL, STILL, STILL, plan=self.PLAN)["right"]
        found = became(back, STILL, STILL, STILL, plan=self.PLAN)
        assert (found["touched"], found["ambiguous"]) == (NEITHER, True)

    def test_an_open_beyond_the_limit_enters_at_the_open(self):
        assert became((98.0, 103.5, 97.5, 100.0), STILL, STILL, STILL, plan=self.PLAN)["right"]


def slow_outcome(frame: MarketFrame, number: int, side: int, stop: float, target: float, age: int) -> int | None:
    """The rule for market entries, one bar after the other."""
    rows = [frame.base.columns[name][number - frame.base.first + 1 :][:age] for name in ("open", "high", "low")]
    if len(rows[0]) < age or side * (rows[0][0] - stop) <= 0.0:
        return None
    for high, low in zip(*rows[1:], strict=True):
        if (low <= stop) if side > 0 else (high >= stop):
            return STOPPED
        if (high >= target) if side > 0 else (low <= target):
            return REACHED
    return NEITHER


class TestAgainstASlowTwin:
    """The same, told bar by bar."""

    @pytest.mark.parametrize("seed", range(4))
    def test_on_random_walks(self, seed):
        frame, random = walk(seed, 400), np.random.default_rng(seed)
        at = np.sort(random.choice(398, 150, replace=False))
        close, side = frame.base.columns["close"][at], random.choice([-1, 1], 150)
        wide = random.uniform(0.02, 0.4, (2, 150))
        plans = list(zip(at, side, close - side * wide[0], close + side * wide[1], strict=True))
        rows, why = labels_of_decisions(planned(frame, *plans, settings=SignalSettings(max_age=Span("20m"))))
        slow = [slow_outcome(frame, frame.start + int(bar), s, x, y, 20) for bar, s, x, y in plans]
        assert rows["touched"].tolist() == [found for found in slow if found is not None]
        assert set(rows["touched"]) == {NEITHER, STOPPED, REACHED}
        assert sum(why.values()) == slow.count(None)


class TestOfScoredMarkets:
    """Every plan has an outcome or a reason; several instruments are put together by time."""

    def test_every_plan_is_accounted_for(self):
        found = barrier_labels([scenes.scores()], scenes.SETTINGS)
        decided = decide(scenes.scores(), scenes.SETTINGS)
        assert len(found) + sum(found.left_out.values()) == decided.plans.known.sum()
        at = found.rows["number"] - scenes.scores().start
        assert np.array_equal(found.rows["heuristic"], scenes.scores().reliability[at])
        assert ((found.rows["ends"] - found.rows["decided"]) == scenes.SETTINGS.max_age.ms).all()
        assert (found.rows["decided"] == scenes.scores().close_times[at]).all()

    def test_instruments_are_put_together_by_time(self):
        found = barrier_labels([scenes.scores(), scenes.scores()], scenes.SETTINGS)
        assert (np.diff(found.rows["decided"]) >= 0).all()
        assert found.rows["instrument"][:4].tolist() == [0, 1, 0, 1]

    def test_scores_of_two_prisms_are_refused(self):
        with pytest.raises(DataError, match="one prism on one timeframe"):
            barrier_labels([scenes.scores(), score(PRISM, scenes.frame())], scenes.SETTINGS)
