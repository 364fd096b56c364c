"""Reliability: a table turns the heuristic into a probability, by what was known when a signal was decided."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.signals import scenes
from virtuoso.clock import Span, iso
from virtuoso.prism.engine.score import score
from virtuoso.signals.calibration import Calibration, Step
from virtuoso.signals.decision import decide
from virtuoso.signals.reliability import misfit, rule_digest
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import intents, signal_at, signals

NAN = float("nan")
SINCE = (scenes.frame().base.first + 5_000) * 60_000
"""From here on something had been learned."""


def step(since: int = SINCE, knots=(0.1, 0.2, 0.4), probability=(0.3, 0.5, 0.6)) -> Step:
    return Step(since=iso(since), signals=100, right=40, knots=knots, probability=probability)


def table(*steps: Step, **changed) -> Calibration:
    about = {
        "timeframe": "1m",
        "learned_with": rule_digest(scenes.PRISM, scenes.SETTINGS),
        "instruments": ("BTCUSDT simulated",),
        "data": "0" * 64,
        "first": "2020-01-01",
        "last": "2020-01-02",
        "signals": 100,
        "right": 40,
        "brier": 0.2,
        "brier_of_base_rate": 0.24,
        "verdict": "better than the base rate",
        "is_forced": False,
    }
    return Calibration(steps=steps or (step(),), **(about | changed))


def calibrated(made: Calibration | None = None) -> SignalSettings:
    return scenes.SETTINGS.model_copy(update={"calibration": made or table()})


class TestTheCurve:
    """Straight lines between knots, flat beyond them."""

    def test_between_knots_it_is_interpolated(self):
        told = step().at(np.array([0.1, 0.15, 0.2, 0.3, 0.4]))
        assert told == pytest.approx([0.3, 0.4, 0.5, 0.55, 0.6], abs=1e-15)

    def test_beyond_the_outermost_it_stays(self):
        assert step().at(np.array([0.0, 0.05, 0.5, 1.0])).tolist() == [0.3, 0.3, 0.6, 0.6]

    def test_what_is_not_known_stays_unknown(self):
        assert np.isnan(step().at(np.array([NAN]))).all()
        assert np.isnan(step(knots=(0.2,), probability=(0.4,)).at(np.array([NAN]))).all()

    def test_one_knot_is_a_base_rate(self):
        assert step(knots=(0.2,), probability=(0.4,)).at(np.array([0.0, 0.9])).tolist() == [0.4, 0.4]

    @given(
        st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda p: p[0]),
        st.lists(st.floats(0, 1), min_size=2, max_size=20),
    )
    def test_it_never_falls_never_leaves_its_values_and_tells_each_signal_alone_the_same(self, points, asked):
        knots = tuple(sorted(x for x, _ in points))
        values = tuple(sorted(y for _, y in points))
        curve, x = step(knots=knots, probability=values), np.sort(np.array(asked))
        told = curve.at(x)
        assert (np.diff(told) >= 0.0).all()
        assert told.min() >= values[0]
        assert told.max() <= values[-1]
        assert np.array_equal(told, np.concatenate([curve.at(x[k : k + 1]) for k in range(len(x))]))

    @pytest.mark.parametrize(
        ("knots", "values", "said"),
        [
            ((0.2, 0.1), (0.3, 0.4), "knots that increase"),
            ((0.1, 0.1), (0.3, 0.4), "knots that increase"),
            ((0.1, 0.2), (0.4, 0.3), "probabilities that never fall"),
            ((0.1, 0.2), (0.4,), "2 knots and 1 probabilities"),
            ((0.1, 1.2), (0.3, 0.4), "less than or equal to 1"),
            ((), (), "at least 1 item"),
        ],
    )
    def test_a_table_that_is_none_is_refused(self, knots, values, said):
        with pytest.raises(ValidationError, match=said):
            step(knots=knots, probability=values)

    def test_steps_come_in_order(self):
        with pytest.raises(ValidationError, match="`since` increases"):
            table(step(SINCE), step(SINCE))


class TestWhatWasKnown:
    """A signal is told by the last step before it, and by none before the first."""

    TIMES = SINCE + np.array([-60_000, 0, 60_000, 120_000, 180_000])

    def told(self, *steps: Step) -> np.ndarray:
        return table(*steps).probability(np.full(5, 0.2), self.TIMES)

    def test_nothing_is_told_before_the_first_step(self):
        told = self.told(step())
        assert np.isnan(told[0])
        assert told[1:].tolist() == [0.5] * 4

    def test_a_later_step_takes_over(self):
        told = self.told(step(), step(SINCE + 120_000, probability=(0.0, 0.1, 0.2)))
        assert told[1:].tolist() == [0.5, 0.5, 0.1, 0.1]

    def test_what_is_learned_later_changes_nothing_earlier(self):
        steps = [step(SINCE + 120_000, probability=(p, p, p)) for p in (0.0, 1.0)]
        assert np.array_equal(self.told(step(), steps[0])[:3], self.told(step(), steps[1])[:3], equal_nan=True)


class TestWhatItFits:
    """A table is of one rule: other weights, thresholds or clocks leave reliability a heuristic, and say so."""

    def test_its_own_rule(self):
        assert misfit(scenes.scores(), calibrated()) == ""
        assert misfit(scenes.scores(), scenes.SETTINGS) == ""

    def test_not_another_clock(self):
        assert "learned on 5m, not 1m" in misfit(scenes.scores(), calibrated(table(timeframe="5m")))

    @pytest.mark.parametrize("changed", [{"bull_enter": 67.0}, {"max_age": Span("2h")}, {"regimes": ("calm trend",)}])
    def test_not_other_settings(self, changed):
        assert "other weights or signal settings" in misfit(scenes.scores(), calibrated().model_copy(update=changed))

    def test_not_other_weights(self):
        other = scenes.PRISM.reweighted({name: float(name == "technical") for name in scenes.PRISM.face_weights})
        scores = replace(scenes.scores(), prism=other)
        assert "other weights" in misfit(scores, calibrated())

    def test_where_reports_are_kept_does_not_matter(self):
        assert misfit(scenes.scores(), calibrated().model_copy(update={"reports": "elsewhere"})) == ""

    def test_signals_say_why_it_does_not_apply(self):
        decided = decide(scenes.scores(), scenes.SETTINGS)
        at = int(scenes.scores().close_times[decided.at[np.flatnonzero(decided.plans.known)[-1]]])
        made = signal_at(scenes.scores(), calibrated(table(timeframe="5m")), iso(at))
        assert made.reliability_basis == "heuristic"
        assert "(uncalibrated: the calibration was learned on 5m, not 1m)" in made.actionable_insights[0]


@cache
def told_signals():
    return signals(scenes.scores(), calibrated())


class TestSignals:
    """Where there is a plan and something had been learned, reliability is a probability; elsewhere a heuristic."""

    def test_without_a_table_everything_says_heuristic(self):
        assert {s.reliability_basis for s in signals(scenes.scores(), scenes.SETTINGS)} == {"heuristic"}

    def test_with_one_the_basis_follows_from_time_and_plan(self):
        expected = ["calibrated" if s.targets and s.timestamp >= SINCE else "heuristic" for s in told_signals()]
        assert [s.reliability_basis for s in told_signals()] == expected
        assert {"calibrated", "heuristic"} == set(expected)

    def test_the_probability_is_that_of_the_table(self):
        for made in told_signals():
            i = int(np.searchsorted(scenes.scores().close_times, made.timestamp))
            heuristic = scenes.scores().reliability[i : i + 1]
            if made.reliability_basis == "calibrated":
                assert made.reliability == step().at(heuristic)[0]
            else:
                assert made.reliability == pytest.approx(heuristic[0], nan_ok=True) or made.reliability is None

    def test_intents_carry_the_same(self):
        made = intents(scenes.scores(), calibrated())
        shown = [NAN if s.reliability is None else s.reliability for s in told_signals()]
        assert np.array_equal(made["reliability"], np.array(shown), equal_nan=True)

    def test_nothing_else_about_an_intent_changes(self):
        made, plain = intents(scenes.scores(), calibrated()), intents(scenes.scores(), scenes.SETTINGS)
        for name in made.dtype.names:
            if name != "reliability":
                assert np.array_equal(made[name], plain[name], equal_nan=made[name].dtype.kind == "f"), name

    def test_the_bias_says_what_the_number_means(self):
        made = next(s for s in told_signals() if s.reliability_basis == "calibrated")
        said = made.actionable_insights[0]
        assert f"{made.reliability:.0%} of past signals like it reached their first target before their stop" in said
        early = next(s for s in told_signals() if s.targets and s.timestamp < SINCE)
        assert "(uncalibrated: the calibration had learned nothing by then)" in early.actionable_insights[0]

    def test_another_table_is_another_signal(self):
        other = signals(scenes.scores(), calibrated(table(step(probability=(0.1, 0.1, 0.1)))))
        assert not {s.id for s in other} & {s.id for s in told_signals()}

    @pytest.mark.parametrize("bars", [5_400, 6_500])
    def test_those_of_a_cut_history_are_the_beginning_of_the_whole(self, bars):
        part = intents(score(scenes.PRISM, scenes.until(bars), block=scenes.BLOCK), calibrated())
        whole = intents(scenes.scores(), calibrated())[: len(part)]
        assert len(part) > 20
        assert np.array_equal(part["reliability"], whole["reliability"], equal_nan=True)
