"""Between component and confluence: what is not known takes no part, and its weight is missing from the coverage."""

from __future__ import annotations

import numpy as np
import pytest

from virtuoso.prism.blend import blend, bonus, participation, trust
from virtuoso.prism.divergence import KINDS

NAN = float("nan")


def mean(scores, weights):
    scores, weights = np.array(scores, float).reshape(-1, 1), np.array(weights, float).reshape(-1, 1)
    value, coverage = np.empty(1), np.empty(1)
    blend(scores, weights, value, coverage)
    return value[0], coverage[0]


class TestE35OneDimensionMissing:
    """Weights are renormalised; nan-as-0 would give 43.75 and a dot product nan."""

    def test_gives_the_mean_of_what_is_known(self):
        value, coverage = mean([62.5, 50.0, NAN], [0.3, 0.5, 0.2])
        assert value == pytest.approx(54.6875)
        assert coverage == pytest.approx(0.8)

    def test_all_missing_is_not_known(self):
        value, coverage = mean([NAN, NAN], [0.5, 0.5])
        assert np.isnan(value)
        assert coverage == 0.0


def points(scores, strengths=(), kinds=(), weights=(0.4, 0.3, 0.2, 0.1)):
    rows = np.array(scores, float).reshape(-1, 1)
    strong, kind = np.array(strengths, float).reshape(-1, 1), np.array(kinds, float).reshape(-1, 1)
    value, code = np.empty(1), np.empty(1, np.int8)
    bonus(rows, strong, kind, np.array(weights[: len(rows)]), value, code)
    return value[0], KINDS[code[0]]


class TestTheBonus:
    def test_is_nothing_where_all_timeframes_agree(self):
        assert points([60, 60, 60, 60]) == (0.0, "none")

    def test_favours_the_side_to_which_the_fast_score_parts_from_the_slow_ones(self):
        up, kind = points([80, 40, 40, 40])
        assert 2.0 < up < 3.0
        assert kind == "timeframe_bullish"
        down, kind = points([20, 60, 60, 60])
        assert down == pytest.approx(-up)
        assert kind == "timeframe_bearish"

    def test_of_a_classic_divergence_names_it(self):
        value, kind = points([50, 50, 50, 50], [0.8, 0.0, 0.0, 0.0], [1, 0, 0, 0])
        assert value == pytest.approx(3.2)
        assert kind == "regular_bullish"

    def test_is_bounded_by_ten_points(self):
        assert points([100, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1])[0] == 10.0
        assert points([0, 100, 100, 100], [-1, -1, -1, -1], [3, 3, 3, 3])[0] == -10.0

    def test_is_nothing_where_nothing_is_known(self):
        assert points([NAN, NAN, NAN, NAN], [NAN] * 4, [0] * 4) == (0.0, "none")


class TestTrust:
    @staticmethod
    def of(faces, weights, gate=1.0):
        faces, weights = np.array(faces, float).reshape(-1, 1), np.array(weights, float).reshape(-1, 1)
        confluence, coverage = np.empty(1), np.empty(1)
        blend(faces, np.hstack([weights, weights]), confluence, coverage)
        agreement, reliability = np.empty(1), np.empty(1)
        trust(faces, weights, coverage, confluence, np.array([gate]), agreement, reliability)
        return agreement[0], reliability[0]

    def test_agreement_is_one_where_faces_agree_and_none_where_they_oppose(self):
        assert self.of([70, 70], [0.5, 0.5])[0] == pytest.approx(1.0)
        assert self.of([100, 0], [0.5, 0.5])[0] == pytest.approx(0.0)

    def test_reliability_falls_with_coverage_with_the_gate_and_towards_fifty(self):
        best = self.of([90, 90], [0.5, 0.5])[1]
        assert self.of([90, NAN], [0.5, 0.5])[1] == pytest.approx(best / 2)
        assert self.of([90, 90], [0.5, 0.5], gate=0.5)[1] == pytest.approx(best / 2)
        assert self.of([55, 55], [0.5, 0.5])[1] < best
        assert 0.0 < best <= 1.0


class TestEffectiveInputs:
    def test_of_copies_is_one(self):
        wave = np.sin(np.arange(256.0))
        out = np.empty(1)
        participation(np.stack([wave, 3 * wave + 2, -wave]), 256, out)
        assert out[0] == pytest.approx(1.0)

    def test_of_independent_rows_is_their_number(self):
        rows = np.random.default_rng(1).standard_normal((5, 20_000))
        out = np.empty(1)
        participation(rows, 20_000, out)
        assert out[0] == pytest.approx(5.0, rel=0.01)

    def test_leaves_out_rows_that_are_not_known_throughout_or_do_not_vary(self):
        rows = np.random.default_rng(1).standard_normal((3, 2_000))
        rows[1, 7] = NAN
        rows[2] = 50.0
        out = np.empty(1)
        participation(rows, 2_000, out)
        assert out[0] == pytest.approx(1.0)
