"""What does not vary is not testable: rounding is no spread, copies are no choice, a lost account has no returns."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from virtuoso.account import metrics
from virtuoso.account.metrics import ROUNDING, spread_is_rounding
from virtuoso.research.tracking.experiments import TrialCount, mean_correlation, sharpes
from virtuoso.research.validation.overfitting import (
    Moments,
    min_track_record,
    overfitting_probability,
    psr,
    sharpe_error,
    stepwise,
    superior_ability,
)
from virtuoso.research.validation.resampling import drawn_days
from virtuoso.research.validation.robustness import NOTHING_CHOSEN, RunReturns, annual_sharpe, robustness
from virtuoso.research.validation.splits import WalkForward
from virtuoso.research.validation.tail_risk import Tail, follows
from virtuoso.research.validation.verdict import Decision, reach_verdict

NAN, INF = float("nan"), float("inf")
SCALES = st.integers(-12, 12).map(lambda k: 10.0**k)
DAYS = 400


def grown(rate, cash=10_000.0, days=DAYS):
    """Returns of an account that grows by the same share every day, rounding and all."""
    return metrics.returns_of(cash * (1.0 + rate) ** np.arange(1, days + 1), cash)


def one(seed=3, sharpe=3.0, days=DAYS):
    return 0.01 * (np.random.default_rng(seed).standard_normal(days) + sharpe / np.sqrt(365.0))


class TestSpread:
    """Whether values differ by more than rounding."""

    @given(SCALES, st.floats(-1.0, 1.0), st.integers(0, 3))
    @example(1.0, 5e-324, 1)
    def test_a_constant_does_not_vary_at_any_scale(self, scale, value, jitter):
        values = np.full(50, value * scale)
        for _ in range(jitter):
            values[::3] = np.nextafter(values[::3], INF)
        assert spread_is_rounding(values)
        assert spread_is_rounding(values, scale=0.0) or value == 0.0

    @given(SCALES)
    def test_what_stands_for_itself_is_measured_by_its_own_size(self, scale):
        values = scale * np.array([1.0, 1.0 + 1e-9, 1.0])
        assert not spread_is_rounding(values, scale=0.0)
        assert spread_is_rounding(scale * np.array([1.0, 1.0 + ROUNDING / 2.0]), scale=0.0)

    @pytest.mark.parametrize(
        "values", [[], [1.0], [NAN, NAN], [NAN, 0.3, INF], [0.1, 0.1 + 1e-16], [0.0, -0.0], [INF, -INF]]
    )
    def test_too_little_does_not_vary(self, values):
        assert spread_is_rounding(np.array(values, dtype=np.float64))

    @pytest.mark.parametrize("values", [[0.0, 1e-9], [-1.7e308, 1.7e308], [NAN, 1.0, 2.0, INF]])
    def test_a_difference_is_one(self, values):
        assert not spread_is_rounding(np.array(values))

    def test_each_column_has_its_own(self):
        table = np.column_stack((np.full(5, 0.1), np.arange(5.0), np.full(5, NAN)))
        assert spread_is_rounding(table).tolist() == [True, False, True]


class TestConstantGrowth:
    """It had a Sharpe ratio of 4.8e13 and was real with 100 %."""

    @given(st.floats(-0.02, 0.02), SCALES)
    @settings(max_examples=60)
    def test_has_no_ratio(self, rate, cash):
        returns = grown(rate, cash)
        record = Moments.of(returns)
        assert np.isnan([record.sharpe, psr(record), sharpe_error(record), min_track_record(record)]).all()
        assert np.isnan([annual_sharpe(returns), metrics.sharpe(returns, 365.0), metrics.sortino(returns, 365.0)]).all()
        assert metrics.volatility(returns, 365.0) == 0.0
        assert np.isnan(sharpes(np.column_stack((returns, returns)))).all()
        assert np.isnan(mean_correlation(np.column_stack((returns, returns))))
        assert np.isnan(follows(returns, returns))

    def test_is_not_testable_with_its_reason_and_never_shipped(self):
        found = robustness(RunReturns(grown(0.0003), trades=300))
        assert set(found.why.values()) == {"the daily returns do not vary by more than rounding"}
        verdict = reach_verdict(found)
        assert (verdict.decision, verdict.testable) == (Decision.ITERATE, False)

    def test_an_account_of_it_withholds_its_ratios(self):
        equity = 10_000.0 * 1.0003 ** np.arange(1, DAYS + 1)
        found = metrics.account_metrics(metrics.DAY_MS * np.arange(1, DAYS + 1), equity, 10_000.0, 0)
        assert np.isnan([found["sharpe"], found["sortino"], found["calmar"]]).all()
        assert found["cagr"] == pytest.approx(1.0003**365 - 1.0)

    def test_rounding_is_neither_loss_nor_fall_nor_risk(self):
        assert np.isnan(metrics.profit_factor(np.array([5.0, 5.0, -1e-15])))
        assert np.isnan(metrics.calmar(0.2, -1e-16))
        assert np.isnan(metrics.r_multiples(np.array([5.0]), np.array([1e-14]))).all()


class TestCopies:
    """Fifty copies of one configuration: nothing was chosen from anything."""

    @pytest.mark.parametrize("trials", [2, 3, 50])
    def test_are_no_search(self, trials):
        copies = np.repeat(one()[:, None], trials, axis=1)
        copies[:, 1::2] *= 1.0 + 1e-15
        found = overfitting_probability(copies)
        assert np.isnan([found.probability, found.loss, found.slope]).all()
        box = robustness(RunReturns(one(), 300, copies, np.full(trials, 300)))
        assert {box.why[name] for name in ("overfitting", "superior", "outside")} == {NOTHING_CHOSEN}
        needed = {gate.name for gate in reach_verdict(box).gates if gate.needed}
        assert not needed & {"overfitting", "superior", "walk forward"}

    def test_beside_those_that_never_trade_are_none_either(self):
        table = np.column_stack((np.zeros(DAYS), one(), one()))
        assert robustness(RunReturns(one(), 300, table)).why["overfitting"] == NOTHING_CHOSEN

    def test_of_a_dominating_one_among_others_share_its_rank(self):
        table = 0.01 * np.random.default_rng(1).standard_normal((DAYS, 10))
        table[:, 0] += 0.02
        table[:, 1] = table[:, 0] * (1.0 + 1e-13)
        assert overfitting_probability(table).probability == 0.0

    def test_count_as_one_try(self):
        assert TrialCount.of_search(np.repeat(one()[:, None], 50, axis=1)).effective == pytest.approx(1.0)


class TestALostAccount:
    """Equity at 0 or below: no warning, no infinite return."""

    @pytest.mark.parametrize("end", [0.0, -5.0, -0.0, NAN, INF, 1e308, 1e-308])
    def test_is_measured_without_a_warning(self, end):
        equity = 10_000.0 * np.cumprod(1.0 + one())
        equity[200:] = end
        returns = metrics.returns_of(equity, 10_000.0)
        assert not np.isinf(returns).any()
        assert np.isnan(returns[201:]).all() or end > 0.0
        found = metrics.account_metrics(metrics.DAY_MS * np.arange(1, DAYS + 1), equity, 10_000.0, 0)
        assert not np.isinf([found[name] for name in ("sharpe", "sortino", "calmar", "cagr", "volatility")]).any()
        box = robustness(RunReturns(returns, 300))
        assert not np.isinf([box.sharpe, box.psr, box.deflated, box.luck]).any()
        box.lines()
        reach_verdict(box)
        Tail.of_days(returns, 1.0)
        drawn_days(returns[np.isfinite(returns)])

    def test_all_that_was_lost_was_lost_once(self):
        assert metrics.returns_of(np.array([50.0, 0.0, 0.0, -3.0]), 100.0)[:2].tolist() == [-0.5, -1.0]

    def test_of_many_accounts_each_is_its_own(self):
        table = np.array([[50.0, 110.0], [0.0, 121.0], [0.0, 121.0]])
        both = metrics.returns_of(table, 100.0)
        for k in range(2):
            assert np.array_equal(both[:, k], metrics.returns_of(table[:, k], 100.0), equal_nan=True)


VALUES = st.sampled_from([0.0, -0.0, 1e-300, 1e-18, 1e-12, 0.01, -0.01, 1.0, -1.0, 1e6, 1e12, NAN, INF, -INF])


class TestAnything:
    """Never a warning, never an infinite ratio: NaN with a reason."""

    @given(st.lists(VALUES, max_size=80), st.integers(0, 60))
    @settings(max_examples=150, deadline=None)
    def test_of_one_series(self, drawn, padding):
        returns = np.array([*drawn, *one(days=padding)], dtype=np.float64)
        record = Moments.of(returns)
        figures = [
            record.sharpe,
            record.skew,
            record.kurtosis,
            psr(record),
            sharpe_error(record),
            annual_sharpe(returns),
        ]
        figures += [metrics.sharpe(returns, 365.0), metrics.sortino(returns, 365.0), metrics.volatility(returns, 365.0)]
        assert not np.isinf(figures).any()
        assert record.sharpe != record.sharpe or abs(record.sharpe) < 1e13
        assert record.sharpe != record.sharpe or 1.0 <= record.inflation <= 1e6
        box = robustness(RunReturns(returns, 300))
        assert bool(box.why) or np.isfinite(box.sharpe)
        reach_verdict(box)

    @given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 70))
    @settings(max_examples=40, deadline=None)
    def test_of_a_search(self, seed, columns, days):
        random = np.random.default_rng(seed)
        table = random.choice([0.0, 1e-18, 0.01, -0.01, 0.02, 1e12], (days, columns))
        daily = table[:, 0].copy()
        robustness(RunReturns(daily, 300, table, np.full(columns, 300)))
        superior_ability(table, resamples=10)
        stepwise(table, resamples=10)
        assert not np.isinf(sharpes(table)).any()
        mean_correlation(table)

    def test_a_walk_forward_of_nothing(self):
        table = np.zeros((100, 3))
        assert robustness(RunReturns(one(days=100), 300, table)).why["outside"] == NOTHING_CHOSEN
        assert list(WalkForward(5).split(table))
        assert np.isnan(follows(np.zeros(50), np.zeros(50)))
