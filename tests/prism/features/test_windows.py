"""Windowed kernels: right, free of drift, and the same bits wherever the slice begins."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from virtuoso.prism.features.windows import (
    deviation,
    known_deviation,
    known_mean,
    known_rms,
    mean_deviation,
    rms,
    slope_weights,
    steps,
    weighted,
    wmean,
    wsum,
    zscore,
)


@pytest.fixture(scope="module")
def x():
    return 1e4 + np.random.default_rng(1).standard_normal(1_000)


class TestTheWindowedSum:
    @pytest.mark.parametrize("period", [1, 2, 5, 34, 200])
    def test_is_the_sum_of_the_window(self, x, period):
        ours = wsum(x, period, 12_345)
        assert np.isnan(ours[: period - 1]).all()
        for t in range(period - 1, 1_000, 37):
            assert ours[t] == pytest.approx(math.fsum(x[t - period + 1 : t + 1]), rel=1e-14)

    @pytest.mark.parametrize("start", [1, 7, 200, 333])
    def test_keeps_its_bits_wherever_the_slice_begins(self, x, start):
        whole, part = wsum(x, 34, 90), wsum(x[start:], 34, 90 + start)
        assert np.array_equal(whole[start + 33 :], part[33:])

    def test_of_zeros_is_zero_after_anything(self):
        x = np.concatenate((np.full(50, 1e17), np.full(50, 0.1), np.zeros(50)))
        assert wsum(x, 10, 3)[-40:].tolist() == [0.0] * 40

    def test_is_not_known_as_long_as_the_window_holds_an_unknown_value(self, x):
        holed = x.copy()
        holed[500] = np.nan
        unknown = np.flatnonzero(np.isnan(wsum(holed, 20, 3)))
        assert unknown.tolist() == [*range(19), *range(500, 520)]

    def test_of_fewer_bars_than_the_window_is_not_known(self, x):
        assert np.isnan(wsum(x[:9], 10, 0)).all()
        assert len(wsum(x[:0], 10, 0)) == 0


class TestTheWeightedSum:
    def test_weighs_the_oldest_value_with_the_first_weight(self):
        assert weighted(np.array([1.0, 10.0, 100.0, 1000.0]), np.array([1.0, 2.0, 3.0]))[2:].tolist() == [321.0, 3210.0]

    def test_adds_in_the_order_of_the_window_without_fusing(self, x):
        """Fused multiply-add would round once instead of twice and give other bits on other machines."""
        weights = slope_weights(30)
        ours = weighted(x, weights)
        for t in range(29, 1_000, 41):
            total = 0.0
            for j in range(30):
                total += weights[j] * x[t - 29 + j]
            assert ours[t] == total

    def test_keeps_its_bits_wherever_the_slice_begins(self, x):
        weights = slope_weights(20)
        assert np.array_equal(weighted(x, weights)[119:], weighted(x[100:], weights)[19:])

    def test_of_fewer_bars_than_weights_is_not_known(self, x):
        assert np.isnan(weighted(x[:5], slope_weights(20))).all()

    def test_with_slope_weights_is_the_regression_slope_of_the_path(self, x):
        ours = weighted(steps(x), slope_weights(20))
        for t in range(20, 1_000, 53):
            assert ours[t] == pytest.approx(np.polyfit(np.arange(21), x[t - 20 : t + 1], 1)[0], abs=1e-9)


class TestTheMeanDeviation:
    def test_is_the_mean_distance_from_the_given_mean(self, x):
        ours = mean_deviation(x, x + 1.0, 20)
        for t in range(19, 1_000, 53):
            assert ours[t] == pytest.approx(np.abs(x[t - 19 : t + 1] - x[t] - 1.0).mean())


class TestTheZscore:
    def test_is_that_of_pandas_but_for_its_calm(self, x):
        x = x - 1e4
        window = pd.Series(x).rolling(200)
        square = pd.Series(x * x).rolling(200).mean()
        expected = (x - window.mean()) / np.sqrt(window.var(ddof=0) + 0.01 * square)
        np.testing.assert_allclose(zscore(x, 200, 17)[199:], expected[199:], rtol=1e-9)

    def test_leaves_unknown_values_out_while_three_quarters_are_known(self, x):
        x = x - 1e4
        x[300:350] = np.nan
        ours = zscore(x, 200, 0)
        assert np.isnan(ours[300:350]).all()
        assert np.isfinite(ours[350:]).all()
        kept = x[151:351][np.isfinite(x[151:351])]
        assert ours[350] == pytest.approx((x[350] - kept.mean()) / np.sqrt(kept.var() + 0.01 * (kept**2).mean()))

    def test_is_not_known_when_a_quarter_and_more_is_missing(self, x):
        x = x - 1e4
        x[300:351] = np.nan
        assert np.isnan(zscore(x, 200, 0)[300:500]).all()
        assert np.isfinite(zscore(x, 200, 0)[500])

    def test_of_zeros_is_not_known(self):
        assert np.isnan(zscore(np.zeros(300), 200, 0)).all()

    def test_of_a_constant_is_nothing_out_of_the_ordinary(self):
        np.testing.assert_allclose(zscore(np.full(300, 0.1), 200, 0)[199:], 0.0, atol=1e-12)


class TestSizes:
    """One kernel each; what they answer is that of the sums they are made of, bit for bit."""

    def test_a_mean_is_the_sum_over_the_window(self, x):
        assert np.array_equal(wmean(x, 34, 90), wsum(x, 34, 90) / 34, equal_nan=True)

    def test_a_root_mean_square_has_its_floor_under_the_root(self, x):
        expected = np.sqrt(wsum(x * x, 34, 90) / 34 + 0.3 * 0.3)
        assert np.array_equal(rms(x, 34, 0.3, 90), expected, equal_nan=True)

    def test_a_deviation_is_the_floor_where_nothing_varies(self):
        mean, spread = deviation(np.full(20, 7.0), 5, 0.25, 3)
        assert mean[4:].tolist() == [7.0] * 16
        assert spread[4:].tolist() == [0.25] * 16

    def test_a_deviation_is_that_of_the_window(self, x):
        mean, spread = deviation(x - 1e4, 50, 0.0, 11)
        window = pd.Series(x - 1e4).rolling(50)
        assert np.allclose(mean[49:], window.mean()[49:], rtol=1e-9, atol=1e-12)
        assert np.allclose(spread[49:], window.std(ddof=0)[49:], rtol=1e-9)

    def test_the_known_ones_leave_out_what_is_missing(self, x):
        holed = x - 1e4
        holed[::7] = np.nan
        mean, spread = known_deviation(holed, 50, 0.1, 11)
        assert np.array_equal(mean, known_mean(holed, 50, 11), equal_nan=True)
        squares = known_mean(holed * holed, 50, 11)
        assert np.array_equal(known_rms(holed, 50, 0.1, 11), np.sqrt(squares + 0.1 * 0.1), equal_nan=True)
        assert np.array_equal(spread, np.sqrt(squares - mean * mean + 0.1 * 0.1), equal_nan=True)
        assert np.isfinite(spread[49:]).all()
