"""What a study will cost, before it starts: trials, memory, disk, time.

The time comes from trading a few points on the real market, in the last round and in the first; the sampler's share
from what samplers cost, measured at 40 parameters (docs/guides/tuning.md). It is an estimate: other work on the
machine, and trials that trade more than the few, make it longer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.research.tuning.objective import directions
from virtuoso.research.tuning.rounds import Round
from virtuoso.research.tuning.samplers import CMAES, NSGA2, NSGA3, QMC, RANDOM, TPE, Box, Sampler, Searched
from virtuoso.research.tuning.study import Study
from virtuoso.types import Array

SAMPLER_SECONDS = {RANDOM: 0.0, QMC: 0.0004, CMAES: 0.0002, NSGA2: 0.006, NSGA3: 0.006, TPE: 0.02}
"""Of one trial."""
TPE_GROWS = 0.000_018
"""Seconds that a trial of TPE takes longer for each trial of its round: 20 ms with few, 56 ms with 2,000."""
STORAGE_SECONDS = 0.002
TIMED = 16
"""Points that are traded to learn how long it takes."""
BYTES_A_NUMBER = 150
"""Of one coordinate of one trial in the storage."""
KEPT_FREE = 0.9
"""Share of the free memory that a study may take."""
FEW_GENERATIONS = 8
"""Below so many generations a round, a sampler that learns from whole ones has learnt little."""


class Timed(Protocol):
    """What an estimate is made of: `virtuoso.research.tuning.evaluate.Evaluator`."""

    @property
    def space(self) -> Searched:
        """What is searched."""

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds."""

    @property
    def days(self) -> Mapping[str, int]:
        """Whole days of each scenario."""

    @property
    def nbytes(self) -> int:
        """Memory that what is made ready takes."""

    def generation_bytes(self, n: int) -> int:
        """Memory that the answer of n trials takes."""

    def evaluate(self, points: Array, round_: Round) -> object:
        """Trade points."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a study will cost.

    Attributes
    ----------
    name : str
    trials, told, rounds, dimensions : int
        Trials of all rounds, those that are told already, rounds, and what is searched.
    memory, disk : int, bytes
        At its peak, whatever the number of trials; and of all trials together.
    seconds : float
        Of the trials that are left.
    sampling : float
        Share of that in the sampler.
    jobs : int
    free : int, bytes
        Memory that is free now; 0 where nobody says.
    hints : tuple of str
        What could be chosen better.
    """

    name: str
    trials: int
    told: int
    rounds: int
    dimensions: int
    memory: int
    disk: int
    seconds: float
    sampling: float
    jobs: int
    free: int
    hints: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Say it for people, a line each."""
        left = f"{self.trials:,} trials" if not self.told else f"{self.trials:,} trials, {self.told:,} of them told"
        said = [
            f"{left}, in {self.rounds} rounds over {self.dimensions} dimensions",
            f"memory {_bytes(self.memory)}" + (f" of {_bytes(self.free)} that are free" if self.free else ""),
            f"disk {_bytes(self.disk)}",
            f"time about {duration(self.seconds)} with {self.jobs} job{'s' if self.jobs > 1 else ''}, "
            f"{self.sampling:.0%} of it in the sampler",
        ]
        return [*said, *self.hints]

    def told_as(self) -> dict[str, Any]:
        """The same for --json."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        return "\n  ".join([f"{self.name} would cost:", *self.lines()])

    def check(self) -> None:
        """Refuse what does not fit into memory.

        Raises
        ------
        ConfigError
        """
        if self.free and self.memory > KEPT_FREE * self.free:
            raise ConfigError(
                f"The study {self.name} needs about {_bytes(self.memory)} of memory, {_bytes(self.free)} are free. "
                "Take a smaller generation, fewer jobs, fewer symbols at once, or a shorter stretch."
            )


def estimate(study: Study, evaluator: Timed, jobs: int = 1, told: int = 0, env: Env | None = None) -> Estimate:
    """Measure what a study will cost.

    Parameters
    ----------
    study : Study
    evaluator : Evaluator
    jobs : int
        Tasks at once.
    told : int
        Trials that are told already.
    env : Env, optional
        Its stopwatch.
    """
    watch = (env or Env()).stopwatch
    box = Box(evaluator.space.distributions, evaluator.space.names)
    points = box.points(np.random.default_rng(study.seed).random((TIMED, len(box))))
    final, first = evaluator.rounds[-1], evaluator.rounds[0]
    evaluator.evaluate(points[:1], final)  # makes ready: once, whatever the number of trials
    seconds = {}
    for one in {final.name: final, first.name: first}.values():
        start = watch()
        evaluator.evaluate(points, one)
        seconds[one.name] = (watch() - start) / TIMED
    each = np.linspace(seconds[first.name], seconds[final.name], len(evaluator.rounds))
    counts = np.array([study.trials_of(one.number) for one in evaluator.rounds])
    left = 1.0 - min(told, study.trials) / study.trials
    trading = float(each @ counts) / max(jobs, 1) * left
    asking = SAMPLER_SECONDS[study.sampler] + (TPE_GROWS * counts if study.sampler == TPE else 0.0)
    sampling = float(((asking + STORAGE_SECONDS) * counts).sum()) * left
    size = min(study.generation, int(counts.max()))
    memory = (
        evaluator.nbytes + 3 * evaluator.generation_bytes(size) + 8 * sum(evaluator.days.values()) * int(counts[-1])
    )
    disk = study.trials * len(box) * BYTES_A_NUMBER + 8 * sum(evaluator.days.values()) * int(counts[-1])
    total = trading + sampling
    return Estimate(
        study.name, study.trials, told, len(evaluator.rounds), len(box), memory, disk, total,
        sampling / total if total > 0.0 else 0.0, jobs, free_memory(), tuple(_hints(study, int(counts.max()))),
    )  # fmt: skip


def _hints(study: Study, a_round: int) -> list[str]:
    Sampler(study.sampler, directions(study), study.generation, study.seed)  # refuses what cannot be sampled
    learns = study.sampler in (CMAES, NSGA2, NSGA3)
    generations = -(-a_round // study.generation)
    if learns and generations < FEW_GENERATIONS:
        smaller = max(a_round // (2 * FEW_GENERATIONS), 4)
        return [
            f"{study.sampler} learns from whole generations, and a round has {generations}: generation: {smaller} "
            "would teach it more."
        ]
    return []


def free_memory() -> int:
    """Return the memory that is free, bytes; 0 where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1_000.0:
            return f"{count:.0f} {unit}"
        count /= 1_000.0
    return f"{count:,.1f} GB"


def duration(seconds: float) -> str:
    """Say how long something takes.

    Examples
    --------
    >>> duration(0.2), duration(75), duration(7_300)
    ('1 s', '1 min 15 s', '2 h 2 min')
    """
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
