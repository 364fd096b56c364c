"""Samplers ask whole generations, and the same ones whatever happened on the way."""

from __future__ import annotations

import numpy as np
import pytest

from tests.research.tuning.small import Plane
from virtuoso.errors import ConfigError
from virtuoso.research.tuning.samplers import COMPLETE, FAIL, PRUNED, SAMPLERS, Box, Sampler, Told, params_of

SPACE, SIZE = Plane(), 16


def value_of(point):
    return -((point[0] - 0.3) ** 2) - (point[1] - 0.3) ** 2 - ((point[2] - 7.0) / 10.0) ** 2


def told_of(points, generation, states=None):
    """Trials of a generation as a driver tells them."""
    found = []
    for slot, point in enumerate(points):
        state = COMPLETE if states is None else states[slot]
        found.append(Told(generation, slot, point, state, (value_of(point),) if state == COMPLETE else ()))
    return found


def asked(name, generations, *, seed=0, size=SIZE, directions=("maximize",)):
    """All points of some generations, one after another."""
    sampler, told, every = Sampler(name, directions, size, seed), [], []
    for generation in range(generations):
        points = sampler.ask(SPACE, "walk-1", generation, told, size)
        told += told_of(points, generation)
        every.append(points)
    return np.concatenate(every)


@pytest.mark.parametrize("name", SAMPLERS)
class TestAnySampler:
    def test_asks_points_of_the_space(self, name):
        points = asked(name, 3)
        for point in points:
            given = params_of(SPACE, point)
            assert all(range_._contains(range_.to_internal_repr(given[k])) for k, range_ in SPACE.distributions.items())
        assert len(np.unique(points, axis=0)) > 2 * SIZE

    def test_asks_the_same_again(self, name):
        assert asked(name, 3).tobytes() == asked(name, 3).tobytes()

    def test_asks_others_with_another_seed(self, name):
        assert not np.array_equal(asked(name, 1)[1:], asked(name, 1, seed=1)[1:])

    def test_asks_others_in_another_round(self, name):
        sampler = Sampler(name, ("maximize",), SIZE, 0)
        one, other = (sampler.ask(SPACE, round_name, 0, [], SIZE) for round_name in ("walk-1", "final"))
        assert not np.array_equal(one[1:], other[1:])

    def test_begins_with_what_is_in_force(self, name):
        assert asked(name, 1)[0].tolist() == SPACE.prior.tolist()

    def test_asks_a_part_of_a_generation_as_of_the_whole(self, name):
        """So more trials may be asked for later: the study is that of somebody who asked for all of them at once."""
        sampler = Sampler(name, ("maximize",), SIZE, 0)
        told = told_of(sampler.ask(SPACE, "final", 0, [], SIZE), 0)
        whole = sampler.ask(SPACE, "final", 1, told, SIZE)
        assert sampler.ask(SPACE, "final", 1, told, 5).tobytes() == whole[:5].tobytes()

    def test_does_not_see_its_own_generation_nor_the_order_of_telling(self, name):
        sampler = Sampler(name, ("maximize",), SIZE, 0)
        told = told_of(sampler.ask(SPACE, "final", 0, [], SIZE), 0)
        points = sampler.ask(SPACE, "final", 1, told, SIZE)
        more = [*told_of(points, 1), *reversed(told)]
        assert sampler.ask(SPACE, "final", 1, more, SIZE).tobytes() == points.tobytes()

    def test_goes_on_where_trials_failed_or_were_pruned(self, name):
        sampler = Sampler(name, ("maximize",), SIZE, 0)
        states = [COMPLETE, FAIL, PRUNED, COMPLETE] * 4
        told = told_of(sampler.ask(SPACE, "final", 0, [], SIZE), 0, states)
        told += told_of(sampler.ask(SPACE, "final", 1, told, SIZE), 1, [FAIL] * SIZE)
        assert np.isfinite(sampler.ask(SPACE, "final", 2, told, SIZE)).all()


@pytest.mark.parametrize("name", ["tpe", "cmaes", "nsga2"])
def test_a_sampler_that_learns_comes_nearer(name):
    points = asked(name, 12, size=16)
    first, last = (np.mean([value_of(p) for p in some]) for some in (points[:16], points[-16:]))
    assert last > first + 0.05


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3", "random", "qmc"])
def test_several_objectives(name):
    sampler = Sampler(name, ("maximize", "minimize"), SIZE, 0)
    points = sampler.ask(SPACE, "final", 0, [], SIZE)
    told = [Told(0, k, p, COMPLETE, (value_of(p), float(p[0]))) if k % 5 else Told(0, k, p, FAIL) for k, p in
            enumerate(points)]  # fmt: skip
    assert sampler.ask(SPACE, "final", 1, told, SIZE).shape == (SIZE, 4)


def test_qmc_fills_the_space_evenly():
    points = asked("qmc", 4)
    assert np.bincount((points[1:, 0] * 8).astype(int), minlength=8).min() >= 6


class TestRefused:
    def test_an_unknown_sampler(self):
        with pytest.raises(ConfigError, match="Did you mean 'tpe'"):
            Sampler("tpee", ("maximize",), 8)

    def test_several_objectives_of_cmaes(self):
        with pytest.raises(ConfigError, match="nsga2"):
            Sampler("cmaes", ("maximize", "minimize"), 8)

    def test_a_generation_too_small_to_learn_from(self):
        with pytest.raises(ConfigError, match="at least 4"):
            Sampler("cmaes", ("maximize",), 2)


class TestABox:
    def test_goes_there_and_back(self):
        box = Box(SPACE.distributions, SPACE.names)
        points = box.points(np.random.default_rng(0).random((500, 4)))
        again = box.points(box.units(points))
        np.testing.assert_allclose(again, points, rtol=1e-12)

    def test_gives_every_whole_number_and_category_alike(self):
        box = Box(SPACE.distributions, SPACE.names)
        points = box.points(np.random.default_rng(0).random((20_000, 4)))
        for column, values in ((2, range(2, 13)), (3, range(3))):
            counts = [int((points[:, column] == value).sum()) for value in values]
            assert sum(counts) == 20_000
            assert max(counts) < 1.15 * min(counts)
