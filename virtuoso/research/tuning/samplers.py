"""Samplers: the points of a whole generation at once, a pure function of the seed and of what is told so far.

1. A trial has a place: its round, its generation, its slot in the generation. `ask` gives the points of the first slots
   of a generation from the trials of *earlier* generations of the same round, in the order of their places. So a study
   that was killed and resumed, one with two workers, and one whose number of trials was raised later ask the same.
2. Random, QMC (scrambled Sobol) and CMA-ES work on whole arrays. TPE, NSGA-II and NSGA-III are Optuna's own, asked on a
   study in memory that is made of those trials. Nothing outlives the call, and nothing is pickled.
3. The first point of a round is what is in force: the untuned default is a trial like any other, and the best one can
   never be worse in sample than doing nothing.

A point holds numbers as Optuna keeps them: a category is the number of its choice.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.types import Array

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

TPE, CMAES, NSGA2, NSGA3, RANDOM, QMC = "tpe", "cmaes", "nsga2", "nsga3", "random", "qmc"
Direction = Literal["maximize", "minimize"]
SAMPLERS = (TPE, CMAES, NSGA2, NSGA3, RANDOM, QMC)
SPREAD = 1.0 / 6.0
"""Standard deviation of the first generation of CMA-ES, as a share of each range: three of them reach its ends."""
LEAST_POPULATION = 4
"""Trials of a generation that CMA-ES and the genetic samplers need."""
MAXIMIZE: Direction = "maximize"
MINIMIZE: Direction = "minimize"
COMPLETE, PRUNED, FAIL = "complete", "pruned", "fail"


class Searched(Protocol):
    """What a sampler must know of a space."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its dimensions."""

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Range of each, as Optuna has it."""

    @property
    def prior(self) -> Array:
        """What is in force, shape (n_names,)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A trial of the round whose outcome is known.

    Attributes
    ----------
    generation, slot : int
        Its place.
    point : Array, shape (n_names,)
    state : str
        'complete', 'pruned' or 'fail'.
    values : tuple of float
        One an objective, finite; empty unless it is complete.
    """

    generation: int
    slot: int
    point: Array
    state: str = COMPLETE
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the points of a study are chosen.

    Attributes
    ----------
    name : str
        One of `SAMPLERS`.
    directions : tuple of str
        'maximize' or 'minimize', one an objective.
    generation : int
        Trials of a generation.
    seed : int

    Examples
    --------
    >>> Sampler("cmaes", ("maximize", "minimize"), 64, 0)
    Traceback (most recent call last):
    ...
    virtuoso.errors.ConfigError: CMA-ES tunes one objective, the study has 2. Name one, or take sampler: nsga2 or tpe.
    """

    name: str
    directions: tuple[Direction, ...]
    generation: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise ConfigError(f"There is no sampler {self.name!r}. {did_you_mean(self.name, SAMPLERS)}")
        if not self.directions:
            raise ConfigError("A study has no objective. Name one under objectives, such as sharpe.")
        if self.name == CMAES and len(self.directions) > 1:
            raise ConfigError(
                f"CMA-ES tunes one objective, the study has {len(self.directions)}. Name one, or take sampler: nsga2 "
                "or tpe."
            )
        least = LEAST_POPULATION if self.name in (CMAES, NSGA2, NSGA3) else 1
        if self.generation < least:
            raise ConfigError(
                f"The sampler {self.name} learns from whole generations of at least {least} trials, generation: was "
                f"{self.generation}. Take more, or sampler: tpe."
            )

    def ask(self, space: Searched, round_name: str, generation: int, told: Iterable[Told], count: int) -> Array:
        """Return the points of the first slots of a generation.

        Parameters
        ----------
        space : Space
        round_name : str
        generation : int
        told : iterable of Told
            Trials of this round; those of this generation and of later ones are not looked at.
        count : int
            How many slots, at most `generation` of the sampler.

        Returns
        -------
        Array, shape (count, n_names)
            The points of fewer slots are the first of those of more.
        """
        known = sorted((one for one in told if one.generation < generation), key=lambda one: (one.generation, one.slot))
        box = Box(space.distributions, space.names)
        if self.name == RANDOM:
            points = box.points(np.random.default_rng(self._seed(round_name, generation)).random((count, len(box))))
        elif self.name == QMC:
            points = box.points(self._sobol(len(box), round_name, generation, count))
        elif self.name == CMAES:
            points = box.points(self._evolved(box, space.prior, round_name, generation, known, count))
        else:
            points = self._by_optuna(space, box, round_name, generation, known, count)
        if generation == 0 and count:
            points[0] = space.prior
        return points

    def _seed(self, *place: object) -> int:
        """Seed of a place: 32 bits of a digest, so that neighbours share nothing."""
        text = "\x1f".join(map(str, (self.name, self.seed, *place)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _sobol(self, n: int, round_name: str, generation: int, count: int) -> Array:
        from scipy.stats import qmc

        first = generation * self.generation
        whole = math.ceil(math.log2(max(first + count, 2)))  # a power of two keeps the sequence balanced
        drawn: Array = qmc.Sobol(n, scramble=True, rng=self._seed(round_name)).random_base2(whole)
        return drawn[first : first + count]

    def _evolved(
        self, box: Box, prior: Array, round_name: str, generation: int, known: Sequence[Told], count: int
    ) -> Array:
        """Replay CMA-ES over the generations that were told whole, then draw the next one."""
        from cmaes import CMA  # type: ignore[import-untyped]

        n, size = len(box), self.generation
        bounds = np.tile([0.0, 1.0], (n, 1))
        start = np.clip(box.units(prior[None])[0], 0.0, 1.0)
        # outside of the box a point is moved to its edge: in many dimensions a new draw would hardly ever be inside
        optimizer = CMA(start, SPREAD, bounds=bounds, n_max_resampling=0, population_size=size, seed=0)
        for number in range(generation):
            trials = [one for one in known if one.generation == number and one.slot < size]
            if len(trials) == size:  # others are still being evaluated, by another driver
                units = box.units(np.stack([one.point for one in trials]))
                optimizer.tell(list(zip(units, self._losses(trials), strict=True)))
        optimizer.reseed_rng(self._seed(round_name, generation))
        return np.stack([optimizer.ask() for _ in range(count)]) if count else np.empty((0, n))

    def _losses(self, trials: Sequence[Told]) -> list[float]:
        """What CMA-ES minimises; of what has no value, more than of all others."""
        sign = -1.0 if self.directions[0] == MAXIMIZE else 1.0
        return [sign * one.values[0] if one.state == COMPLETE else math.inf for one in trials]

    def _by_optuna(
        self, space: Searched, box: Box, round_name: str, generation: int, known: Sequence[Told], count: int
    ) -> Array:
        import optuna

        with _quiet():
            sampler = self._optuna_sampler(self._seed(round_name, generation))
            study = optuna.create_study(directions=list(self.directions), sampler=sampler)
            study.add_trials([frozen for one in known if (frozen := self._frozen(one, space)) is not None])
            points = np.empty((count, len(box)))
            for slot in range(count):
                if generation == 0 and slot == 0:
                    study.add_trial(_running(space, space.prior))
                    points[0] = space.prior
                    continue
                asked = study.ask(dict(space.distributions))
                points[slot] = [space.distributions[name].to_internal_repr(asked.params[name]) for name in space.names]
            return points

    def _optuna_sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import NSGAIIISampler, NSGAIISampler, TPESampler

        if self.name == NSGA2:
            return NSGAIISampler(population_size=self.generation, seed=seed)
        if self.name == NSGA3:
            return NSGAIIISampler(population_size=self.generation, seed=seed)
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def _frozen(self, one: Told, space: Searched) -> FrozenTrial | None:
        """Return a trial as Optuna's samplers know it; None where they cannot learn from it."""
        from optuna.trial import TrialState, create_trial

        genetic = self.name in (NSGA2, NSGA3)
        state = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAIL: TrialState.FAIL}[one.state]
        values: list[float] | None = list(one.values) or None
        if genetic and values is None:  # a generation is over when all its trials are complete: the worst there is
            state, values = TrialState.COMPLETE, [math.inf if d == MINIMIZE else -math.inf for d in self.directions]
        if state == TrialState.FAIL or (state == TrialState.PRUNED and len(self.directions) > 1):
            return None
        key = f"{'NSGAIISampler' if self.name == NSGA2 else 'NSGAIIISampler'}:generation"
        return create_trial(
            state=state,
            values=values if state == TrialState.COMPLETE else None,
            params=params_of(space, one.point),
            distributions=dict(space.distributions),
            system_attrs={key: one.generation} if genetic else None,
        )


class Box:
    """The unit cube in which arrays are drawn, and the space it stands for.

    Parameters
    ----------
    distributions : mapping of str to BaseDistribution
    names : tuple of str
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], names: Sequence[str]) -> None:
        self._axes = [_Axis.of(distributions[name]) for name in names]

    def __len__(self) -> int:
        return len(self._axes)

    def points(self, units: Array) -> Array:
        """Points at places in the cube, shape (n, n_names)."""
        return np.column_stack([axis.values(units[:, k]) for k, axis in enumerate(self._axes)])

    def units(self, points: Array) -> Array:
        """Places of points in the cube; of what comes in steps the middle of its cell."""
        return np.column_stack([axis.units(points[:, k]) for k, axis in enumerate(self._axes)])


@dataclass(frozen=True, slots=True)
class _Axis:
    """One dimension: a range, in steps or without (`step` 0), in logarithms or not."""

    low: float
    high: float
    step: float = 0.0
    log: bool = False

    @classmethod
    def of(cls, distribution: BaseDistribution) -> _Axis:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if isinstance(distribution, CategoricalDistribution):
            return cls(0.0, len(distribution.choices) - 1.0, 1.0)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        return cls(float(distribution.low), float(distribution.high), float(distribution.step or 0), distribution.log)

    def values(self, units: Array) -> Array:
        half = 0.5 * self.step
        low, high = self.low - half, self.high + half
        even = low + units * (high - low)
        found = np.exp(np.log(low) + units * (np.log(high) - np.log(low))) if self.log else even
        if self.step:
            found = self.low + np.round((found - self.low) / self.step) * self.step
        clipped: Array = np.clip(found, self.low, self.high)
        return clipped

    def units(self, values: Array) -> Array:
        half = 0.5 * self.step
        low, high = self.low - half, self.high + half
        if not high > low:
            return np.full(len(values), 0.5)
        if self.log:
            logs: Array = (np.log(values) - np.log(low)) / (np.log(high) - np.log(low))
            return logs
        return (values - low) / (high - low)


def params_of(space: Searched, point: Array) -> dict[str, Any]:
    """Return a point as Optuna and people write it: whole numbers, names of categories.

    Parameters
    ----------
    space : Space
    point : Array, shape (n_names,)
    """
    return {n: space.distributions[n].to_external_repr(float(v)) for n, v in zip(space.names, point, strict=True)}


def _running(space: Searched, point: Array) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    given = dict(space.distributions)
    return create_trial(state=TrialState.RUNNING, params=params_of(space, point), distributions=given)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells of every study it makes, and that NSGA-III is experimental; nobody asked for those in memory."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
