"""Statistics that argue back, against the published numbers (reference: the papers named in overfitting.py)."""

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.research.validation.overfitting import (
    Moments,
    deflated_sharpe,
    effective_trials,
    expected_maximum,
    inflation_of,
    min_backtest_length,
    min_track_record,
    overfitting_probability,
    psr,
    sharpe_error,
    stepwise,
    superior_ability,
)


def noise(seed, periods=1_200, trials=50):
    return 0.01 * np.random.default_rng(seed).standard_normal((periods, trials))


class TestOneTrackRecord:
    """Bailey and Lopez de Prado (2012)."""

    def test_psr_of_the_paper(self):
        assert psr(Moments(24, 0.458)) == pytest.approx(0.981675, abs=1e-6)
        assert psr(Moments(24, 0.458, -2.448, 10.164)) == pytest.approx(0.913361, abs=1e-6)
        assert psr(Moments(24, 1.585 / sqrt(12), -2.448, 10.164)) == pytest.approx(0.913234, abs=1e-6)

    @pytest.mark.parametrize(
        ("record", "error", "years"),
        [
            (Moments(134, 0.7079, -0.2250, 2.9570), 0.1028, 0.7152),
            (Moments(134, 0.8183, -1.4455, 7.0497), 0.1550, 1.1593),
        ],
    )
    def test_standard_error_and_track_record_of_the_paper(self, record, error, years):
        assert sharpe_error(record) == pytest.approx(error, abs=5e-5)
        assert min_track_record(record) / 12 == pytest.approx(years, abs=5e-5)

    @pytest.mark.parametrize(("periods", "years"), [(250, 2.7312), (52, 2.8288), (12, 3.2398)])
    def test_track_record_of_figure_8(self, periods, years):
        record = Moments(1_000, 2.0 / sqrt(periods))
        assert min_track_record(record, 1.0 / sqrt(periods)) / periods == pytest.approx(years, abs=5e-5)

    def test_track_record_of_figure_8_with_skew(self):
        record = Moments(1_000, 2.0 / sqrt(12), -0.72, 5.78)
        assert min_track_record(record, 1.0 / sqrt(12)) / 12 == pytest.approx(4.9913, abs=5e-5)

    def test_normal_returns_have_the_variance_of_the_textbook(self):
        assert Moments(100, 0.5).variance_factor == pytest.approx(1.0 + 0.5**2 / 2.0)

    def test_measures_raw_kurtosis(self):
        found = Moments.of(np.random.default_rng(1).standard_normal(200_000))
        assert found.kurtosis == pytest.approx(3.0, abs=0.05)
        assert found.skew == pytest.approx(0.0, abs=0.02)

    def test_too_little_is_not_testable(self):
        assert np.isnan(psr(Moments.of(np.array([0.01, np.nan]))))
        assert np.isnan(psr(Moments.of(np.full(50, 0.01))))
        assert min_track_record(Moments(100, -0.1)) == float("inf")


class TestDaysThatHangTogether:
    """They are fewer than they look; never more."""

    @staticmethod
    def overlapping(seed, n=600, over=5):
        drawn = np.random.default_rng(seed).standard_normal(n + over - 1)
        return 0.01 * np.convolve(drawn, np.ones(over) / over, "valid")

    @pytest.mark.parametrize("rho", [0.0, 0.15, 0.5, 0.8])
    def test_an_autoregression_is_known_in_closed_form(self, rho):
        drawn = lfilter([1.0], [1.0, -rho], np.random.default_rng(1).standard_normal(200_000))
        assert inflation_of(drawn - drawn.mean()) == pytest.approx((1.0 + rho) / (1.0 - rho), rel=0.03)

    def test_overlap_is_no_independence(self):
        found = Moments.of(self.overlapping(2))
        assert found.n == 600
        assert found.independent < 600 / 4

    @given(st.integers(0, 2**32 - 1), st.floats(-0.9, 0.9), st.integers(12, 200))
    @settings(max_examples=60)
    def test_never_amount_to_more_than_there_are(self, seed, rho, n):
        found = Moments.of(lfilter([1.0], [1.0, -rho], np.random.default_rng(seed).standard_normal(n)))
        assert 1.0 <= found.inflation < 1e6
        assert found.independent <= found.n
        assert not abs(psr(found) - 0.5) > abs(psr(found.plain) - 0.5) + 1e-12
        assert not min_track_record(found) < min_track_record(found.plain)

    def test_order_is_what_tells(self):
        returns = self.overlapping(3)
        assert Moments.of(np.random.default_rng(4).permutation(returns)).inflation < 1.5

    def test_scale_does_not_matter(self):
        returns = self.overlapping(5)
        assert Moments.of(returns * 1e-6).inflation == pytest.approx(Moments.of(returns).inflation, rel=1e-9)

    def test_the_track_record_grows_with_them(self):
        hanging, plain = Moments(400, 0.1, inflation=4.0), Moments(400, 0.1)
        assert min_track_record(hanging) == pytest.approx(4.0 * min_track_record(plain))
        assert sharpe_error(hanging) == pytest.approx(sharpe_error(Moments(100, 0.1)))


class TestTheBestOfMany:
    """Bailey and Lopez de Prado (2014): an annual Sharpe ratio of 2.5 over five years, after 100 trials."""

    DAYS, VARIANCE = 250, 0.5

    @pytest.mark.parametrize(
        ("skew", "kurtosis", "trials", "expected"),
        [
            (-3, 10, 100, 0.900397),
            (-3, 10, 46, 0.950502),
            (-3, 10, 45, 0.951607),
            (-3, 10, 47, 0.949404),
            (0, 3, 88, 0.950491),
        ],
    )
    def test_deflated_ratio_of_the_paper(self, skew, kurtosis, trials, expected):
        record = Moments(1_250, 2.5 / sqrt(self.DAYS), skew, kurtosis)
        assert deflated_sharpe(record, trials, self.VARIANCE / self.DAYS) == pytest.approx(expected, abs=1e-6)

    def test_benchmark_of_the_paper(self):
        assert sqrt(self.VARIANCE / self.DAYS) * expected_maximum(100) == pytest.approx(0.113172, abs=1e-6)

    def test_expected_maximum(self):
        assert expected_maximum(100) == pytest.approx(2.5306028932, abs=1e-9)
        assert expected_maximum(1) == 0.0

    @pytest.mark.parametrize(
        ("trials", "exact"),
        [(1, 0.0), (2, 1.0 / sqrt(np.pi)), (3, 1.5 / sqrt(np.pi)), (5, 1.1629644736), (10, 1.5387527308)],
    )
    def test_expected_maximum_of_few_is_exact(self, trials, exact):
        assert expected_maximum(trials) == pytest.approx(exact, abs=1e-9)

    @pytest.mark.parametrize("trials", [1.1, 1.28, 1.5, 2.7, 12.3])
    def test_expected_maximum_of_shares_of_a_trial(self, trials):
        at = np.linspace(-10.0, 10.0, 200_001)
        density = trials * np.exp(-at * at / 2.0) / sqrt(2.0 * np.pi) * ndtr(at) ** (trials - 1.0)
        assert expected_maximum(trials) == pytest.approx(float((at * density).sum() * (at[1] - at[0])), abs=1e-7)

    @given(st.floats(0.0, 14.0), st.floats(0.0, 3.0))
    def test_expected_maximum_never_decreases(self, tries, more):
        assert 0.0 <= expected_maximum(np.exp(tries)) <= expected_maximum(np.exp(tries + more)) + 1e-15

    @pytest.mark.parametrize("trials", [50.0, 1e3, 1e6, 1e12, 1e18])
    def test_expected_maximum_of_many_is_the_approximation_of_the_paper(self, trials):
        gamma = 0.5772156649015329
        expected = -(1.0 - gamma) * ndtri(1.0 / trials) - gamma * ndtri(1.0 / trials / np.e)
        assert expected_maximum(trials) == pytest.approx(expected, rel=1e-12)
        assert expected_maximum(trials) > 0.99 * expected_maximum(trials - 1e-9 * trials) > 0.0

    @pytest.mark.parametrize("trials", [0.0, 0.99, -1.0, float("nan"), float("inf")])
    def test_expected_maximum_of_less_than_one_is_not_known(self, trials):
        assert np.isnan(expected_maximum(trials))

    def test_a_second_run_never_raises_the_deflated_ratio(self):
        record = Moments(400, 0.04)
        found = [
            deflated_sharpe(record, n, 0.002) for n in (1.0, 1.01, 1.05, 1.1, 1.2, 1.27, 1.5, 2.0, 3.0, 20.0, 46.0)
        ]
        assert found[0] == psr(record)
        assert found == sorted(found, reverse=True)

    def test_five_years_allow_45_trials(self):
        assert min_backtest_length(45) == pytest.approx(4.99809, abs=1e-4)
        assert min_backtest_length(45) < 2.0 * np.log(45)

    def test_correlated_trials_count_less(self):
        assert effective_trials(100, 0.0) == 100
        assert effective_trials(100, 1.0) == 1
        assert effective_trials(100, 0.5) == 50.5

    def test_an_unknown_variance_is_never_assumed(self):
        assert np.isnan(deflated_sharpe(Moments(1_250, 0.1), 100, float("nan")))


class TestTheWholeSearch:
    """Combinatorially symmetric cross-validation."""

    def test_sixteen_blocks_make_12870_splits(self):
        assert len(overfitting_probability(noise(1, 320, 5)).logits) == comb(16, 8) == 12_870

    def test_a_dominating_trial_is_not_overfitted(self):
        returns = noise(2, 320, 10)
        returns[:, 3] += 0.02
        found = overfitting_probability(returns)
        assert found.probability == 0.0
        assert found.loss == 0.0

    def test_trials_without_a_mean_over_the_whole_sample_are_nothing_but_overfitted(self):
        returns = noise(3, 1_600, 20)
        assert overfitting_probability(returns - returns.mean(axis=0)).probability > 0.99

    def test_noise_is_overfitted_about_half_of_the_time(self):
        found = [overfitting_probability(noise(seed, 640, 20), blocks=10).probability for seed in range(20)]
        assert 0.4 < np.mean(found) < 0.62

    def test_order_of_trials_does_not_matter(self):
        returns = noise(4, 320, 8)
        assert overfitting_probability(returns[:, ::-1]).probability == overfitting_probability(returns).probability

    @pytest.mark.parametrize(("shape", "blocks"), [((320, 1), 16), ((20, 5), 16), ((320, 5), 7)])
    def test_refuses_what_cannot_be_split(self, shape, blocks):
        with pytest.raises(ConfigError, match="PBO needs"):
            overfitting_probability(np.ones(shape), blocks)

    def test_refuses_unknown_returns(self):
        returns = noise(5, 320, 5)
        returns[7, 2] = np.nan
        with pytest.raises(ConfigError, match="every trial in every period"):
            overfitting_probability(returns)


class TestSuperiorAbility:
    """Hansen's test, and StepM."""

    def test_noise_is_rarely_superior(self):
        rejected = sum(
            superior_ability(noise(seed, 500, 20), resamples=300, env=Env(seed=seed)).consistent < 0.05
            for seed in range(40)
        )
        assert rejected <= 6

    def test_skill_is_found_and_named(self):
        gains = noise(7, 1_200, 20)
        gains[:, 11] += 0.0025
        assert superior_ability(gains).consistent < 0.01
        assert stepwise(gains).tolist() == [11]

    def test_p_values_are_in_order(self):
        gains = noise(8, 500, 10)
        gains[:, :5] -= 0.004
        found = superior_ability(gains)
        assert found.lower <= found.consistent <= found.upper

    def test_a_strategy_that_never_trades_does_not_win(self):
        found = superior_ability(np.zeros((500, 3)))
        assert np.isnan(found.consistent)
        assert "ever differs" in found.reason
        assert len(stepwise(np.zeros((500, 3)))) == 0

    def test_too_few_trades_are_not_testable(self):
        found = superior_ability(noise(9, 500, 3), trades=np.array([3, 29, 0]))
        assert np.isnan(found.consistent)
        assert "30 trades" in found.reason
        assert len(stepwise(noise(9, 500, 3) + 0.01, trades=np.array([3, 29, 0]))) == 0
