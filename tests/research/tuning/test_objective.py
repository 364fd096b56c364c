"""Values by hand: an objective is a figure of the days of one window, shrunk, reduced, or not there with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from tests.research.tuning.markets import study
from virtuoso.account import metrics
from virtuoso.research.tuning.objective import OBJECTIVES, ScenarioReturns, directions, judge, survivors
from virtuoso.research.tuning.rounds import rounds_of

DAY = 86_400_000


def returns(daily, traded=None, name="all", turned=0.0):
    daily = np.asarray(daily, dtype=np.float64)
    traded = np.ones_like(daily) if traded is None else np.broadcast_to(traded, daily.shape)
    whole = np.full_like(daily, turned)
    return ScenarioReturns(
        name, np.arange(len(daily), dtype=np.int64) * DAY, daily, traded, whole, whole * 0.001,
        np.zeros((0, *daily.shape)),
    )  # fmt: skip


def random_days(n=3, days=120, seed=0):
    return np.random.default_rng(seed).normal(0.0005, 0.01, (days, n))


class TestFigures:
    def test_they_are_those_of_every_other_report(self):
        daily = random_days(4)
        seen = returns(daily, turned=0.3)
        found = {name: goal.value(seen) for name, goal in OBJECTIVES.items() if name != "linear_ic"}
        for k in range(4):
            own, equity = daily[:, k], np.cumprod(1.0 + daily[:, k])
            assert found["sharpe"][k] == pytest.approx(metrics.sharpe(own, 365.0), rel=1e-9)
            assert found["sortino"][k] == pytest.approx(metrics.sortino(own, 365.0), rel=1e-9)
            assert found["max_drawdown"][k] == pytest.approx(metrics.max_drawdown(equity, 1.0), rel=1e-9)
            assert found["net_return"][k] == pytest.approx(equity[-1] - 1.0, rel=1e-9)
            yearly = equity[-1] ** (365.0 / 120.0) - 1.0
            assert found["calmar"][k] == pytest.approx(yearly / -found["max_drawdown"][k], rel=1e-9)
            gains, losses = own[own > 0.0].sum(), -own[own < 0.0].sum()
            assert found["profit_factor"][k] == pytest.approx(gains / losses, rel=1e-9)
            assert found["turnover"][k] == pytest.approx(0.3)

    def test_what_cannot_be_known_is_not_a_number(self):
        assert np.isnan(OBJECTIVES["sharpe"].value(returns(random_days(days=4)))).all()
        assert np.isnan(OBJECTIVES["sharpe"].value(returns(np.full((60, 1), 0.001)))).all()
        assert np.isnan(OBJECTIVES["profit_factor"].value(returns(np.full((60, 1), 0.001)))).all()
        assert np.isnan(OBJECTIVES["calmar"].value(returns(np.full((60, 1), 0.001)))).all()

    def test_linear_ic_is_the_correlation(self):
        random = np.random.default_rng(2)
        x, y = random.normal(size=(2, 40))
        sums = np.zeros((6, 4, 1))
        for k in range(40):
            sums[:, k % 4, 0] += [1.0, x[k], y[k], x[k] ** 2, y[k] ** 2, x[k] * y[k]]
        plain = returns(np.zeros((4, 1)))
        seen = ScenarioReturns("all", plain.days, plain.daily, plain.traded, plain.turned, plain.costs, sums)
        assert OBJECTIVES["linear_ic"].value(seen)[0] == pytest.approx(np.corrcoef(x, y)[0, 1])

    def test_directions(self):
        assert directions(study(objectives=["sharpe", "turnover"])) == ("maximize", "minimize")


class TestJudging:
    def rounds(self, **changed):
        made = study(**changed)
        return made, rounds_of(made, dict.fromkeys(made.markets, 120))

    def test_in_sample_and_out_of_sample_are_the_windows(self):
        made, (first, *_) = self.rounds(shrink=0.0)
        daily, window = random_days(), first.windows["all"]
        judged = judge(made, [returns(daily)], first, np.zeros(3))
        train, test = daily[window.train_first : window.train_stop], daily[window.test_first : window.test_stop]
        assert judged.values[:, 0] == pytest.approx([metrics.sharpe(train[:, k], 365.0) for k in range(3)])
        assert judged.outside[:, 0] == pytest.approx([metrics.sharpe(test[:, k], 365.0) for k in range(3)])
        assert judged.trades.tolist() == [len(train)] * 3
        other = daily.copy()
        other[window.train_stop :] = 7.0
        again = judge(made, [returns(other)], first, np.zeros(3))
        assert again.values.tobytes() == judged.values.tobytes()

    def test_the_last_round_tests_nothing(self):
        made, rounds = self.rounds()
        judged = judge(made, [returns(random_days())], rounds[-1], np.zeros(3))
        assert np.isnan(judged.outside).all()
        assert np.isfinite(judged.values).all()

    @pytest.mark.parametrize(("objective", "sign"), [("sharpe", -1.0), ("turnover", 1.0)])
    def test_distance_from_the_prior_costs_in_sample_alone(self, objective, sign):
        made, (first, *_) = self.rounds(objectives=[objective], shrink=0.5)
        seen, distance = [returns(random_days(), turned=0.2)], np.array([0.0, 1.0, 3.0])
        judged = judge(made, seen, first, distance)
        np.testing.assert_allclose(judged.values[:, 0] - judged.inside[:, 0], sign * 0.5 * distance, rtol=1e-12)
        assert judged.outside.tobytes() == judge(made, seen, first, np.zeros(3)).outside.tobytes()

    def test_without_trades_there_is_a_reason_and_no_value(self):
        made, (first, *_) = self.rounds(least_trades=5)
        traded = np.zeros((120, 3))
        traded[3:7, 1], traded[:, 2] = 1.0, 1.0
        traded[first.windows["all"].train_stop :, 0] = 1.0  # trades of later days do not help
        judged = judge(made, [returns(random_days(), traded)], first, np.zeros(3))
        assert judged.reasons[0].startswith("no trade in the days that are tuned on")
        assert judged.reasons[1].startswith("4 trades in the days that are tuned on, fewer than 5")
        assert judged.reasons[2] is None
        assert np.isnan(judged.values[:2]).all()
        assert np.isfinite(judged.values[2]).all()

    def test_what_is_not_a_number_has_a_reason_too(self):
        made, (first, *_) = self.rounds(objectives=["sharpe", "profit_factor"])
        daily = np.column_stack((random_days(1)[:, 0], np.full(120, 0.001), np.full(120, np.nan)))
        judged = judge(made, [returns(daily)], first, np.zeros(3))
        assert judged.reasons[0] is None
        assert "is not known" in judged.reasons[1]
        assert "equity is not known" in judged.reasons[2]
        assert np.isnan(judged.values[1:]).all()

    def test_a_scenario_without_value_leaves_the_trial_without(self):
        made, (first, *_) = self.rounds(scenarios={"a": {}, "b": {}}, least_trades=3)
        quiet = returns(random_days(seed=1), np.array([1.0, 0.0, 1.0]), "b")
        judged = judge(made, [returns(random_days(), name="a"), quiet], first, np.zeros(3))
        assert judged.reasons[1] is not None
        assert "in b" in judged.reasons[1]
        assert judged.reasons[0] is None

    def test_the_worst_of_what_should_be_small_is_the_largest(self):
        made, (first, *_) = self.rounds(
            scenarios={"a": {}, "b": {}}, objectives=["turnover"], reducer="worst", shrink=0
        )
        seen = [returns(random_days(), name="a", turned=0.2), returns(random_days(), name="b", turned=0.5)]
        assert judge(made, seen, first, np.zeros(3)).values[:, 0] == pytest.approx([0.5] * 3)


class TestSurvivors:
    def test_the_best_part_goes_on_and_what_has_no_value_goes_last(self):
        made = study(pruning={"keep": 0.5, "least": 2})
        (first, *_) = rounds_of(made, {"all": 120})
        daily = random_days(1, seed=3) + np.linspace(-0.002, 0.002, 8)
        daily[:, 7] = np.nan
        alive = np.ones(8, dtype=bool)
        alive[6] = False
        going = survivors(made, [returns(daily)], first, alive)
        assert np.flatnonzero(going).tolist() == [2, 3, 4, 5]
        assert survivors(study(), [returns(daily)], first, alive) is alive
