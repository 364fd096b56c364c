"""The verdict: ship, iterate or discard, with reasons, calibrated on worlds of which the truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from tests.research.scenes import random_intents, walk
from tests.research.worlds import World, shipped, stressed, verdict_in
from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.tracking.experiments import Trial, TrialCount
from virtuoso.research.validation.robustness import RunReturns, robustness
from virtuoso.research.validation.stress import Case, Plateau, costs, delay
from virtuoso.research.validation.verdict import Decision, Stressed, reach_verdict

SHIP, ITERATE, DISCARD = Decision.SHIP, Decision.ITERATE, Decision.DISCARD


def daily(seed=1, sharpe=3.0, days=1_200):
    """Returns of exactly this annual Sharpe ratio."""
    drawn = np.random.default_rng(seed).standard_normal(days)
    return 0.01 * ((drawn - drawn.mean()) / drawn.std(ddof=1) + sharpe / np.sqrt(DAYS_A_YEAR))


def honest(sharpe=3.0, trades=300, **how):
    return robustness(RunReturns(daily(sharpe=sharpe, **how), trades))


KIND = stressed(daily())
LOSS = Case("lost", -0.1, -1.0, -0.3, 300)


class TestShip:
    """Everything that was asked speaks for it."""

    def test_passes_every_gate(self):
        found = reach_verdict(honest(), KIND)
        assert found.decision is SHIP
        assert all(gate.passed for gate in found.gates if gate.needed)
        assert str(found).startswith("ship: Sharpe ratio 3.00 a year over 1,200 days and 300 trades; ")

    def test_a_search_must_pass_its_own_questions(self):
        returns = 0.01 * np.random.default_rng(3).standard_normal((1_200, 10))
        returns[:, 0] = daily(sharpe=4.0)
        found = reach_verdict(robustness(RunReturns(returns[:, 0], 300, returns)), KIND)
        assert found.decision is SHIP
        assert {gate.name for gate in found.gates if gate.needed} >= {
            "overfitting",
            "superior",
            "walk forward",
            "plateau",
        }

    def test_where_nothing_was_searched_nothing_is_asked_of_it(self):
        asked = {gate.name for gate in reach_verdict(honest(), KIND).gates if gate.needed}
        assert asked == {
            "gain", "deflated", "p-value", "costs", "delay", "ambiguity", "tail", "size", "marks", "foresight",
            "plausible", "recorded",
        }  # fmt: skip

    def test_what_is_not_recorded_never_ships(self):
        honesty = honest()
        unknown = replace(honesty.tried, recorded=False, reason="record=False")
        found = reach_verdict(replace(honesty, tried=unknown), KIND)
        assert found.decision is ITERATE
        assert found.reasons == ["not recorded: record=False"]


class TestIterate:
    """One thing stands against it, or is not known."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"costs_doubled": LOSS}, "with costs doubled it nets \N{MINUS SIGN}10.0 %"),
            ({"costs_doubled": None}, "it was not tried with costs doubled"),
            ({"one_bar_late": LOSS}, "one bar late it nets \N{MINUS SIGN}10.0 %"),
            ({"one_bar_late": None}, "it was not tried one bar late"),
            ({"bounds": None}, "only one intrabar path"),
            ({"bounds": (100.0, 130.0)}, "30.0 % of the profit depends on"),
            ({"bounds": (-1.0, 130.0)}, "there is no profit"),
        ],
    )
    def test_one_failure_is_enough_and_is_named(self, change, reason):
        found = reach_verdict(honest(), replace(KIND, **change))
        assert found.decision is ITERATE
        assert len(found.reasons) == 1
        assert reason in found.reasons[0]

    def test_nothing_is_shipped_untested(self):
        found = reach_verdict(honest())
        assert found.decision is ITERATE
        assert len(found.reasons) == 6

    @pytest.mark.parametrize("change", [None, Plateau(replace(LOSS, net=1.0), [LOSS])])
    def test_what_was_chosen_from_several_needs_a_plateau(self, change):
        runs = [Trial("", ("x",), 0, 1, "", str(k)).seen(daily(k, 3.0 - 0.01 * k)) for k in range(2)]
        honesty = robustness(RunReturns(daily(), 300), TrialCount.of(runs))
        assert reach_verdict(honesty, KIND).decision is SHIP
        assert reach_verdict(honesty, replace(KIND, plateau=change)).decision is ITERATE

    def test_a_short_record_may_be_luck(self):
        found = reach_verdict(honest(sharpe=3.0, days=200), KIND)
        assert found.decision is ITERATE
        assert "of the best of 1 try" in " ".join(found.reasons)


class TestDiscard:
    """The evidence speaks against it."""

    def test_a_loss(self):
        found = reach_verdict(honest(sharpe=-1.0), KIND)
        assert found.decision is DISCARD
        assert "Sharpe ratio \N{MINUS SIGN}1.00 a year" in found.reasons[0]

    def test_what_luck_explains_better(self):
        rivals = [Trial("", ("x",), 0, 1, "", str(k)).seen(daily(k, s)) for k, s in enumerate(np.linspace(-2, 1.4, 60))]
        found = reach_verdict(robustness(RunReturns(daily(sharpe=1.0), 300), TrialCount.of(rivals)), KIND)
        assert found.decision is DISCARD
        assert found.reasons[0].startswith("deflated Sharpe ")
        assert found.reasons[0].endswith(" after 60 tries")

    def test_an_overfitted_search(self):
        returns = 0.01 * np.random.default_rng(4).standard_normal((1_200, 12))
        returns -= returns.mean(axis=0)  # what wins in one half must lose in the other
        found = reach_verdict(robustness(RunReturns(daily(sharpe=0.8), 300, returns)), KIND)
        assert found.decision is DISCARD
        assert any("overfitting (PBO)" in reason for reason in found.reasons)


class TestNotTestable:
    """Too little is no verdict about the strategy."""

    @pytest.mark.parametrize(
        ("trades", "days", "reason"),
        [(0, 600, "no trade was closed"), (29, 600, "29 closed trades, 30 are needed"), (300, 20, "20 days")],
    )
    def test_says_what_is_missing(self, trades, days, reason):
        found = reach_verdict(honest(trades=trades, days=days), KIND)
        assert found.decision is ITERATE
        assert not found.testable
        assert f"not testable: {reason}" in str(found)

    def test_unknown_tries_cannot_be_deflated(self):
        idle = [Trial("", ("x",), 0, 1, "", str(k)).seen(np.zeros(1_200)) for k in range(3)]
        tried = TrialCount.of([*idle, Trial("", ("x",), 0, 1, "", "this").seen(daily())])
        found = reach_verdict(robustness(RunReturns(daily(), 300), tried), KIND)
        assert found.decision is ITERATE
        assert "cannot be deflated" in found.reasons[0]

    def test_stress_of_nothing_is_nothing(self):
        assert reach_verdict(honest(), Stressed()).gates == reach_verdict(honest()).gates


class TestStressed:
    """Stress tests of a portfolio, in one call."""

    def test_are_those_of_the_tables(self):
        frame = walk(3, 600, step=0.01)
        made = {frame.instrument: random_intents(frame, 5, 60)}
        made[frame.instrument]["size"][:, 0] = 1.0  # all of it leaves at the target, often in a bar that holds the stop
        panel, account = SimulationPanel.of([frame], terms=FundingTerms(assume=0.0, mark_is_last=True)), Account()
        found = Stressed.of(panel, made, account)
        assert found.costs_doubled is not None
        assert found.one_bar_late is not None
        assert found.bounds is not None
        assert found.costs_doubled.net == costs(panel, made, account)[2].net
        assert found.one_bar_late.net == delay(panel, made, account)[1].net
        assert found.bounds[0] < found.bounds[1]
        assert found.bounds[0] == run(panel, made, account).equity[-1] - account.cash
        assert found.plateau is None


class TestCalibration:
    """Few worlds here; the guide has those of `python -m tests.research.worlds`."""

    @pytest.mark.parametrize(
        ("world", "worlds"),
        [
            (World(), 60),
            (World(configurations=1), 60),
            (World(configurations=3), 60),
            (World(one_by_one=True, correlation=0.9), 20),
        ],
        ids=str,
    )
    def test_of_worlds_without_skill_hardly_any_is_shipped(self, world, worlds):
        assert shipped(world, worlds, seed=11) <= 0.02

    @pytest.mark.parametrize(
        ("world", "worlds"), [(World(skill=3.0, one_by_one=True), 20), (World(skill=3.0), 3)], ids=str
    )
    def test_a_true_sharpe_ratio_of_3_is_shipped(self, world, worlds):
        assert shipped(world, worlds, seed=11) >= 0.66

    def test_a_true_sharpe_ratio_of_1_is_not_proved_by_three_years(self):
        assert shipped(World(skill=1.0), 20, seed=11) <= 0.05

    def test_noise_is_iterated_or_discarded(self):
        random = np.random.default_rng(12)
        found = [verdict_in(World(days=600, configurations=20), random).decision for _ in range(6)]
        assert SHIP not in found
        assert DISCARD in found
