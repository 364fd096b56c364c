"""Between component and confluence: what is not known takes no part, and its weight is missing from the coverage."""

from __future__ import annotations

import numpy as np
import pytest

from virtuoso.prism.engine.aggregate import (
    LANE,
    ComponentArrays,
    aggregate_confluence,
    aggregate_faces,
    aggregate_timeframes,
    participation,
    participation_of,
)  # fmt: skip
from virtuoso.prism.features.divergence import KINDS

NAN = float("nan")


def blended(points, strengths=None, kinds=None, weights=(0.4, 0.3, 0.2, 0.1), bars=1):
    """One component whose score on each timeframe is seen by all bars."""
    rows = len(points)
    columns = np.array([[*points, NAN]], float)
    strong = np.full((1, rows + 1), NAN) if strengths is None else np.array([[*strengths, NAN]], float)
    kind = np.array([[*(kinds or [0] * rows), NAN]], float)
    at = np.repeat(np.arange(rows, dtype=np.uint64).reshape(-1, 1), bars, axis=1)
    out = ComponentArrays.empty(1, bars)
    row = np.array([-1 if strengths is None else 0])
    aggregate_timeframes(columns, strong, kind, row, at, np.array(weights[:rows], float), 1, *out)
    return ComponentArrays(*(array[0] for array in out))


class TestE35OneDimensionMissing:
    """Weights are renormalised; nan-as-0 would give 43.75 and a dot product nan."""

    def test_gives_the_mean_of_what_is_known(self):
        found = blended([62.5, 50.0, NAN], weights=[0.3, 0.5, 0.2])
        assert found.raw_score[0] == pytest.approx(54.6875)
        assert found.coverage[0] == pytest.approx(0.8)

    def test_all_missing_is_not_known(self):
        found = blended([NAN, NAN], weights=[0.5, 0.5])
        assert np.isnan(found.raw_score[0])
        assert np.isnan(found.score[0])
        assert found.coverage[0] == 0.0

    def test_is_the_same_for_faces_and_confluence(self):
        found = confluence_of([62.5, 50.0, NAN], [0.3, 0.5, 0.2])
        assert found["confluence"] == pytest.approx(54.6875)
        assert found["coverage"] == pytest.approx(0.8)


class TestAStretch:
    """A bar's bits are those of its own sums, wherever the sums of its neighbours end."""

    def test_of_many_bars_gives_each_what_it_gives_alone(self):
        random, bars = np.random.default_rng(3), LANE + 300
        columns = random.uniform(0.0, 100.0, (2, bars + 4))
        columns[:, random.integers(0, bars, 200)], columns[:, -1] = NAN, NAN
        strengths, kinds = random.uniform(-1.0, 1.0, (1, bars + 4)), random.integers(0, 5, (1, bars + 4)).astype(float)
        at = np.stack([np.arange(bars), *(bars + random.integers(0, 4, (2, bars)))]).astype(np.uint64)
        weights, divergence = np.array([0.5, 0.3, 0.2]), np.array([0, -1])
        whole, single = ComponentArrays.empty(2, bars), ComponentArrays.empty(2, 1)
        aggregate_timeframes(columns, strengths, kinds, divergence, at, weights, 2, *whole)
        for t in (0, 1, LANE - 1, LANE, bars - 1, *random.integers(0, bars, 100)):
            aggregate_timeframes(columns, strengths, kinds, divergence, at[:, t : t + 1].copy(), weights, 2, *single)
            for name, array in single._asdict().items():
                assert np.array_equal(getattr(whole, name)[:, t], array[:, 0], equal_nan=array.dtype != np.int8), name


def points(scores, strengths=None, kinds=None):
    found = blended(scores, strengths, kinds)
    return found.divergence_bonus[0], KINDS[found.divergence_kind[0]]


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

    def test_names_the_largest_of_several(self):
        assert points([50, 50, 50, 50], [0.3, -0.9, NAN, 0.0], [1, 3, 2, 0])[1] == "regular_bearish"

    def test_is_bounded_by_ten_points(self):
        assert points([100, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1])[0] == 10.0
        assert points([0, 100, 100, 100], [-1, -1, -1, -1], [3, 3, 3, 3])[0] == -10.0

    def test_leaves_the_score_within_its_bounds(self):
        assert blended([98, 98, 98, 98], [1, 1, 1, 1], [1, 1, 1, 1]).score[0] == 100.0
        assert blended([2, 2, 2, 2], [-1, -1, -1, -1], [3, 3, 3, 3]).score[0] == 0.0

    def test_is_nothing_where_nothing_is_known(self):
        assert points([NAN, NAN, NAN, NAN], [NAN] * 4, [0] * 4) == (0.0, "none")


class TestAFace:
    @staticmethod
    def of(raw, coverage, share, components):
        rows = len(raw)
        room = np.empty((4, 1, 1))
        raw = np.array(raw, float).reshape(-1, 1)
        aggregate_faces(raw, raw + 1.0, np.array(coverage, float).reshape(-1, 1), np.zeros(rows, np.int64),
                    np.array(share, float), components, *room)  # fmt: skip
        return dict(zip(("raw_score", "score", "coverage", "gate"), room[:, 0, 0].tolist(), strict=True))

    def test_weighs_its_components_by_how_much_of_each_is_known(self):
        found = self.of([80.0, 20.0], [1.0, 0.5], [0.5, 0.5], 2)
        assert found["raw_score"] == pytest.approx(60.0)
        assert found["score"] == pytest.approx(61.0)
        assert found["coverage"] == pytest.approx(0.75)

    def test_without_a_known_component_is_not_known(self):
        found = self.of([NAN, 30.0], [0.0, 1.0], [0.5, 0.0], 2)
        assert np.isnan(found["score"])
        assert found["coverage"] == 0.0

    def test_is_let_through_by_its_gates_as_far_as_they_are_known(self):
        assert self.of([80.0, 40.0, 50.0, NAN], [1.0] * 4, [1.0, 0.0, 0.0, 0.0], 1)["gate"] == pytest.approx(0.2)
        assert self.of([80.0, NAN], [1.0, 0.0], [1.0, 0.0], 1)["gate"] == 1.0


def confluence_of(faces, weights, gate=1.0):
    """Confluence of faces that are known throughout or not at all."""
    score = np.array(faces, float).reshape(-1, 1)
    coverage, gates = np.where(np.isnan(score), 0.0, 1.0), np.full(score.shape, gate)
    room = np.empty((5, 1))
    aggregate_confluence(score, score, coverage, gates, np.array(weights, float), *room)
    names = ("confluence", "raw_confluence", "coverage", "agreement", "reliability")
    return dict(zip(names, room[:, 0].tolist(), strict=True))


class TestTrust:
    @staticmethod
    def of(faces, weights, gate=1.0):
        found = confluence_of(faces, weights, gate)
        return found["agreement"], found["reliability"]

    def test_agreement_is_one_where_faces_agree_and_none_where_they_oppose(self):
        assert self.of([70, 70], [0.5, 0.5])[0] == pytest.approx(1.0)
        assert self.of([100, 0], [0.5, 0.5])[0] == pytest.approx(0.0)

    def test_reliability_falls_with_coverage_with_the_gate_and_towards_fifty(self):
        best = self.of([90, 90], [0.5, 0.5])[1]
        assert self.of([90, NAN], [0.5, 0.5])[1] == pytest.approx(best / 2)
        assert self.of([90, 90], [0.5, 0.5], gate=0.5)[1] == pytest.approx(best / 2)
        assert self.of([55, 55], [0.5, 0.5])[1] < best
        assert 0.0 < best <= 1.0

    def test_of_nothing_known_is_not_known(self):
        assert all(np.isnan(x) for x in self.of([NAN, NAN], [0.5, 0.5]))


class TestEffectiveInputs:
    def test_of_copies_is_one(self):
        wave = np.sin(np.arange(256.0))
        out = np.empty(1)
        participation(np.stack([wave, 3 * wave + 2, -wave]), 256, out)
        assert out[0] == pytest.approx(1.0)

    def test_of_independent_rows_is_their_number(self):
        rows = np.random.default_rng(1).standard_normal((19, 20_000))
        out = np.empty(1)
        participation(rows, 20_000, out)
        assert out[0] == pytest.approx(19.0, rel=0.01)

    def test_is_the_sum_of_squared_correlations_block_by_block(self):
        random = np.random.default_rng(2)
        rows = random.standard_normal((12, 5 + 3 * 200)) + random.standard_normal(605)
        out = np.empty(3)
        participation_of(rows, np.arange(1, 12), 5, 200, out)
        for b in range(3):
            correlations = np.corrcoef(rows[1:, 5 + b * 200 : 5 + (b + 1) * 200])
            assert out[b] == pytest.approx(11 * 11 / (correlations * correlations).sum())

    def test_leaves_out_rows_that_are_not_known_throughout_or_do_not_vary(self):
        rows = np.random.default_rng(1).standard_normal((3, 2_000))
        rows[1, 7] = NAN
        rows[2] = 50.0
        out = np.empty(1)
        participation(rows, 2_000, out)
        assert out[0] == pytest.approx(1.0)
