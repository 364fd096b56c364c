"""The unit of price: mean true range, forgotten exactly."""

from __future__ import annotations

import numpy as np
import pytest

from virtuoso.prism.features.volatility import MeanRange, mean_range, moving, true_range


class TestTrueRange:
    def test_includes_the_step_into_the_bar(self):
        high, low, close = np.array([10.0, 15.0, 9.0]), np.array([9.0, 14.0, 8.0]), np.array([9.5, 14.5, 8.5])
        assert true_range(high, low, close)[1:].tolist() == [5.5, 6.5]

    def test_of_the_first_bar_is_not_known(self):
        assert np.isnan(true_range(np.ones(1), np.ones(1), np.ones(1))).all()

    @pytest.mark.parametrize("lost", range(3))
    def test_is_not_known_where_one_of_its_prices_is_not(self, lost):
        prices = np.array([[10.0, 15.0, 9.0, 9.0], [9.0, 14.0, 8.0, 8.0], [9.5, 14.5, 8.5, 8.5]])
        prices[lost, 1] = np.nan
        known = np.isfinite(true_range(*prices)).tolist()
        assert known == [False, lost == 2, lost < 2, True]


class TestTheMeanRange:
    def test_is_known_once_the_window_and_the_close_before_it_are(self):
        ones = np.ones(40)
        known = np.isfinite(mean_range(ones + 1.0, ones, ones, 14, 3))
        assert known.tolist() == [False] * 14 + [True] * 26

    def test_is_exactly_zero_when_nothing_has_moved_for_the_window(self):
        price = np.concatenate((0.1 * np.arange(50.0), np.full(14, 0.1 * 49)))
        unit = MeanRange().value(price, price, price, 5)
        assert unit[-2] > 0.0
        assert unit[-1] == 0.0

    def test_decides_what_is_known(self):
        assert np.isnan(moving(np.ones(3), np.array([0.0, np.nan, 1.0]))).tolist() == [True, True, False]
