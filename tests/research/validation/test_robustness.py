"""The honesty box: a figure with everything that was tried beside it, or the reason why there is none."""

import numpy as np
import pytest

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.research.tracking.experiments import Trial, TrialCount
from virtuoso.research.validation.overfitting import (
    Moments,
    deflated_sharpe,
    min_track_record,
    overfitting_probability,
    psr,
    sharpe_error,
    superior_ability,
)
from virtuoso.research.validation.robustness import NOTHING_CHOSEN, RunReturns, annual_sharpe, robustness


def daily(seed=1, sharpe=2.0, days=600):
    return 0.01 * (np.random.default_rng(seed).standard_normal(days) + sharpe / np.sqrt(DAYS_A_YEAR))


def search(seed=2, trials=20, days=600, sharpe=0.0):
    returns = 0.01 * np.random.default_rng(seed).standard_normal((days, trials))
    returns[:, 0] += 0.01 * sharpe / np.sqrt(DAYS_A_YEAR)
    return returns


def best(returns, **how):
    winner = int(np.argmax([annual_sharpe(x) for x in returns.T]))
    return RunReturns(returns[:, winner], 100, returns, **how)


class TestOneConfiguration:
    """Where nothing else was tried."""

    def test_sharpe_ratio_is_annualised_by_the_calendar(self):
        found = robustness(RunReturns(daily(), 100))
        assert found.sharpe == pytest.approx(Moments.of(daily()).sharpe * np.sqrt(365))
        assert found.days == 600

    def test_needs_no_deflation(self):
        found = robustness(RunReturns(daily(), 100))
        assert found.deflated == found.psr == psr(Moments.of(daily()))
        assert found.luck == pytest.approx(1.0 - found.psr)
        assert found.days_needed == min_track_record(Moments.of(daily()))

    def test_questions_about_a_search_are_not_testable(self):
        found = robustness(RunReturns(daily(), 100))
        assert np.isnan([found.overfitting, found.superior, found.outside, found.decay]).all()
        assert {found.why[name] for name in ("overfitting", "superior", "outside")} == {NOTHING_CHOSEN}

    def test_a_loss_never_becomes_a_track_record(self):
        found = robustness(RunReturns(daily(sharpe=-3.0), 100))
        assert found.days_needed == float("inf")
        assert any("never" in line for line in found.lines())

    def test_halves(self):
        returns = np.concatenate((daily(1, 4.0, 300), daily(2, -4.0, 300)))
        first, second = robustness(RunReturns(returns, 100)).halves
        assert first > 1.0 > -1.0 > second


class TestTheLedgerCounts:
    """What was tried before deflates what was found now."""

    def tried(self, others):
        runs = [Trial("", ("x",), 0, 1, "", str(k)).seen(daily(50 + k, 0.0)) for k in range(others)]
        return TrialCount.of([*runs, Trial("", ("x",), 0, 1, "", "this").seen(daily())])

    def test_deflation_is_that_of_the_paper_with_the_variance_of_the_others(self):
        others = [0.05 * k * daily(50 + k, 4.0 * (-1.0) ** k) for k in range(1, 31)]
        runs = [Trial("", ("x",), 0, 1, "", str(k)).seen(returns) for k, returns in enumerate(others)]
        tried = TrialCount.of([*runs, Trial("", ("x",), 0, 1, "", "this").seen(daily())])
        found = robustness(RunReturns(daily(), 100), tried)
        variance = np.var([Moments.of(returns).sharpe for returns in others], ddof=1)
        assert found.deflated == pytest.approx(deflated_sharpe(Moments.of(daily()), tried.effective, variance))
        assert found.luck == pytest.approx(1.0 - found.psr**tried.effective)

    def test_what_is_judged_does_not_raise_its_own_bar(self):
        low, high = (robustness(RunReturns(daily(sharpe=s), 100), self.beside(daily(sharpe=s))) for s in (3.0, 6.0))
        assert low.deflated < high.deflated

    def test_tries_that_resemble_each_other_by_chance_are_no_excuse(self):
        """Ratios of tries without skill scatter at least as much as one is uncertain."""
        record = Moments.of(daily())
        alike = self.beside(daily())
        found = robustness(RunReturns(daily(), 100), alike)
        assert alike.variance_beside(record.sharpe) < 1e-12
        assert found.deflated == deflated_sharpe(record, alike.effective, sharpe_error(record) ** 2)

    def beside(self, chosen):
        """Nine others of the very same Sharpe ratio, 0."""
        drawn = [daily(50 + k, 0.0) for k in range(9)]
        runs = [Trial("", ("x",), 0, 1, "", str(k)).seen(returns - returns.mean()) for k, returns in enumerate(drawn)]
        return TrialCount.of([*runs, Trial("", ("x",), 0, 1, "", "this").seen(chosen)])

    def test_more_tries_make_less_of_the_same_result(self):
        found = [robustness(RunReturns(daily(), 100), self.tried(n)) for n in (0, 5, 40)]
        assert found[0].deflated > found[1].deflated > found[2].deflated
        assert found[0].luck < found[1].luck < found[2].luck
        assert found[0].sharpe == found[2].sharpe

    def test_unknown_tries_are_not_assumed_away(self):
        idle = [Trial("", ("x",), 0, 1, "", str(k)).seen(np.zeros(600)) for k in range(3)]
        found = robustness(
            RunReturns(daily(), 100), TrialCount.of([*idle, Trial("", ("x",), 0, 1, "", "this").seen(daily())])
        )
        assert np.isnan(found.deflated)
        assert "no Sharpe ratios" in found.why["deflated"]


class TestASearch:
    """Where returns of everything that was tried are there."""

    def test_figures_are_those_of_the_statistics(self):
        returns = search(sharpe=3.0)
        found = robustness(best(returns))
        assert found.tried.configurations == 20
        assert found.overfitting == overfitting_probability(returns).probability
        assert found.superior == superior_ability(returns).consistent
        assert found.better is not None

    def test_skill_is_told_from_noise(self):
        skill, noise = robustness(best(search(sharpe=4.0))), robustness(best(search()))
        assert skill.deflated > 0.95 > 0.8 > noise.deflated
        assert skill.overfitting < 0.1 < noise.overfitting
        assert skill.decay > 0.5 > noise.decay

    def test_walking_forward_chooses_from_the_past_alone(self):
        returns = search(3, 2, 600)
        returns[:, 0], returns[:, 1] = daily(1, 6.0), daily(2, 6.0)
        returns[300:, 0] -= 0.02  # wins at first, loses afterwards
        returns[:300, 1] -= 0.002
        found = robustness(best(returns))
        assert found.inside > 0.0 > found.outside

    def test_a_benchmark_takes_the_place_of_doing_nothing(self):
        returns = search(sharpe=3.0)
        found = robustness(best(returns, benchmark=returns[:, 0] + 0.001))
        assert found.superior > 0.9
        assert found.better == 0

    def test_configurations_that_hardly_trade_take_no_part(self):
        few = np.full(20, 3)
        found = robustness(best(search(), search_trades=few))
        assert "30 trades" in found.why["superior"]

    def test_a_wide_search_is_split_into_fewer_blocks(self):
        returns = search(5, 250, 120)
        assert robustness(best(returns)).overfitting == overfitting_probability(returns, 10).probability

    def test_too_few_days_to_split_are_not_testable(self):
        returns = search(6, 5, 31)
        returns[:12, 2] = np.nan
        found = robustness(RunReturns(returns[:, 0], 100, returns))
        assert "19 days" in found.why["overfitting"]
        assert "60 are needed" in found.why["outside"]

    def test_a_search_in_which_nothing_trades(self):
        returns = np.column_stack((daily(), np.zeros((600, 3))))
        found = robustness(RunReturns(daily(), 100, returns, np.array([100, 0, 0, 0])))
        assert "1 configurations that trade" in found.why["overfitting"]

    def test_the_same_inputs_give_the_same_box(self):
        assert robustness(best(search())).lines() == robustness(best(search())).lines()
        assert robustness(best(search()), env=Env(seed=4)).superior != robustness(best(search())).superior

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(ConfigError, match="one row a day"):
            RunReturns(daily(), 100, search(days=599))
        with pytest.raises(ConfigError, match="benchmark of 3 days"):
            RunReturns(daily(), 100, benchmark=np.zeros(3))


class TestNotTestable:
    """E48: nothing is an answer too, with its reason."""

    @pytest.mark.parametrize(
        ("evidence", "reason"),
        [
            (RunReturns(np.zeros(600), 0), "no trade was closed, 30 are needed"),
            (RunReturns(daily(), 1), "1 closed trade, 30 are needed"),
            (RunReturns(daily(days=29), 100), "29 days, 30 are needed"),
            (RunReturns(np.full(600, 0.001), 100), "do not vary"),
            (RunReturns(np.empty(0), 0), "no trade was closed"),
        ],
    )
    def test_E48_says_why(self, evidence, reason):
        found = robustness(evidence)
        assert np.isnan([found.sharpe, found.psr, found.deflated, found.luck]).all()
        assert reason in found.why["sharpe"]
        assert sum("not testable" in line for line in found.lines()) == len(found.rows()) - 1

    def test_the_number_of_tries_is_known_nevertheless(self):
        found = robustness(RunReturns(np.zeros(600), 0, search()))
        assert found.tried.configurations == 20
        assert found.rows()[0][1] == "20"
