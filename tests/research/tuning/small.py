"""A small space and a small study, evaluated in microseconds: what the driver needs, and nothing of a market."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from virtuoso.account.instrument import Instrument
from virtuoso.research.tuning.evaluate import Evaluation
from virtuoso.research.tuning.objective import ScenarioReturns
from virtuoso.research.tuning.rounds import rounds_of
from virtuoso.research.tuning.study import Study

DAYS = 200
DAY_MS = 86_400_000


class Plane:
    """Two floats, a whole number and a category; the best point is (0.3, 0.3, 7, any)."""

    names = ("x", "y", "n", "kind")
    distributions = {
        "x": FloatDistribution(0.0, 1.0),
        "y": FloatDistribution(0.01, 1.0, log=True),
        "n": IntDistribution(2, 12),
        "kind": CategoricalDistribution(("a", "b", "c")),
    }
    prior = np.array([0.5, 0.5, 5.0, 1.0])

    def distance(self, points):
        return np.zeros(len(points))

    def overlay(self, point):
        return {"prism": {"x": float(point[0]), "y": float(point[1])}}


def study_of(**given: Any) -> Study:
    """A study of it; the market that it names is never looked at."""
    walk = {"splits": 2, "purge": None, "least": "30d", "least_test": "5d"}
    base = {
        "name": "small", "market": {"symbols": ["BTCUSDT"]}, "search": {"weights": True}, "sampler": "random",
        "trials": 60, "generation": 8, "walk_forward": walk, "shrink": 0.0, "seed": 3,
    }  # fmt: skip
    return Study.of(base | given)


@dataclass
class SmallEvaluator:
    """Daily returns that are the better the nearer a point lies to the best one."""

    study: Study
    seconds: float = 0.0
    raises: Any = None
    unknown: Any = None
    evaluated: list[tuple[str, int]] = field(default_factory=list)
    space: Plane = field(default_factory=Plane)
    instruments: tuple[Instrument, ...] = (Instrument("simulated", "BTCUSDT"),)
    family: tuple[str, ...] = ("shipped",)
    code: str = "c0"
    nbytes = 1_000

    def __post_init__(self):
        self.days = {"all": DAYS}
        self.rounds = rounds_of(self.study, self.days)
        self.starts = np.arange(DAYS, dtype=np.int64) * DAY_MS + 1_600_000_000_000 // DAY_MS * DAY_MS
        rng = np.random.default_rng(11)
        self.noise = rng.normal(0.0, 0.01, DAYS)

    @property
    def identity(self):
        digest = hashlib.sha256(repr(self.space.distributions).encode()).hexdigest()
        return {"study": self.study.digest, "settings": "s", "space": digest, "code": self.code, "data": {"all": "d0"}}

    def generation_bytes(self, n):
        return 8 * n * DAYS * 4

    def write(self, folder: Path):
        import json

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.yaml").write_text(self.study.written())
        (folder / "identity.json").write_text(json.dumps(self.identity))

    def held(self):
        return {"all": self.noise}

    @property
    def day_starts(self):
        return {"all": self.starts}

    def evaluate(self, points, round_, executor=None, folder=None, progress=None):
        self.evaluated.append((round_.name, len(points)))
        if self.seconds:
            time.sleep(self.seconds)
        stop = round_.windows["all"].stop
        far = (points[:, 0] - 0.3) ** 2 + (points[:, 1] - 0.3) ** 2 + ((points[:, 2] - 7.0) / 10.0) ** 2
        daily = self.noise[:stop, None] + 0.01 * (0.5 - far)[None, :]
        failed: list[str | None] = [None] * len(points)
        for k, point in enumerate(points):
            if self.unknown is not None and self.unknown(point):
                daily[:, k] = np.nan
            if self.raises is not None and self.raises(point):
                daily[:, k], failed[k] = np.nan, "ValueError: it does not work there"
        ones = np.ones_like(daily)
        returns = ScenarioReturns(
            "all", self.starts[:stop], daily, ones, ones, 0.0001 * ones, np.empty((0, *daily.shape))
        )
        return Evaluation((returns,), tuple(failed), (None,) * len(points))
