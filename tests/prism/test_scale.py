"""Scales are continuous, bounded and symmetric."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtuoso.errors import ParameterError
from virtuoso.prism.scale import Linear, Squash, ratio

SCALES = [Linear(30, 70), Linear(70, 30), Squash(2.0), Squash(-2.0), Squash(5.0, centre=50.0)]


@pytest.mark.parametrize("scale", SCALES, ids=repr)
@given(x=st.floats(-1e6, 1e6), step=st.floats(1e-6, 10.0))
def test_a_step_in_the_value_is_at_most_its_slope_in_the_score(scale, x, step):
    a, b = scale(np.array([x, x + step]))
    assert 0.0 <= a <= 100.0
    assert abs(b - a) <= scale.slope * step * (1 + 1e-6) + 1e-9


def test_anchors():
    assert Linear(30, 70)(np.array([30.0, 50.0, 70.0, 90.0])).tolist() == [0.0, 50.0, 100.0, 100.0]
    assert Squash(2.0)(np.array([0.0, 2.0])).tolist() == [50.0, pytest.approx(85.355339)]


def test_not_known_stays_not_known():
    for scale in SCALES:
        assert np.isnan(scale(np.array([np.nan]))).all()


def test_a_scale_without_width_is_refused():
    with pytest.raises(ParameterError):
        Linear(5, 5)
    with pytest.raises(ParameterError):
        Squash(0.0)


def test_a_ratio_over_nothing_is_not_known():
    found = ratio(np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 0.0]))
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize("scale", SCALES, ids=repr)
def test_one_value_scores_the_bits_it_scores_in_an_array(scale):
    values = np.concatenate((np.random.default_rng(5).normal(40.0, 40.0, 3_000), [np.nan, -0.0, 30.0, 70.0, 1e300]))
    single = np.array([scale.of(value) for value in values.tolist()])
    assert np.array_equal(scale(values).view(np.int64)[:-5], single.view(np.int64)[:-5])
    assert np.array_equal(scale(values), single, equal_nan=True)
