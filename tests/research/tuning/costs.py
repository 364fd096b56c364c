"""What a trial costs before anything is traded: milliseconds of asking, claiming, telling and reading, by sampler.

Time on the clock, and of the processor in brackets: on a machine that does other work they differ. Run as
`python -m tests.research.tuning.costs [TRIALS]`; docs/guides/tuning.md quotes it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

from tests.research.tuning.servers import binaries, server
from virtuoso.research.tuning.samplers import SAMPLERS, Sampler
from virtuoso.research.tuning.storage import Outcome, trials_of

DIMENSIONS, GENERATION = 40, 256


def space():
    ranges = {f"x{k}": FloatDistribution(0.0, 1.0) for k in range(DIMENSIONS - 1)} | {"n": IntDistribution(2, 100)}
    return SimpleNamespace(names=tuple(ranges), distributions=ranges, prior=np.full(DIMENSIONS, 0.5) + 13.5 * (
        np.arange(DIMENSIONS) == DIMENSIONS - 1))  # fmt: skip


def now() -> np.ndarray:
    """Seconds on the clock, and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def cost(sampler: str, where, trials: int) -> np.ndarray:
    """Milliseconds a trial: rows sampler and storage, columns clock and processor."""
    ours, source = space(), Sampler(sampler, ("maximize",), GENERATION, 0)
    asking, storing = np.zeros(2), np.zeros(2)
    with trials_of(f"costs-{sampler}", ["final"], ours, ("maximize",), where) as store:
        for first in range(0, trials, GENERATION):
            start = now()
            told = [one.told for one in store.kept("final")]
            read = now()
            count = min(GENERATION, trials - first)
            points = source.ask(ours, "final", first // GENERATION, told, count)
            asked = now()
            claims = store.claim("final", [(first // GENERATION, slot) for slot in range(count)], points)
            assert claims is not None
            figures = {"in_sharpe": 1.0, "out_sharpe": 1.0, "trades": 3.0, "turnover": 1.0, "seconds": 0.1}
            far = [-float(((claim.point[:-1] - 0.3) ** 2).sum()) for claim in claims]
            store.tell("final", claims, [Outcome("complete", (value,), "", figures) for value in far])
            asking += asked - read
            storing += read - start + now() - asked
    return np.stack((asking, storing)) * 1e3 / trials


def main(trials: int = 2_000) -> None:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {"journal": lambda name: home / f"{name}.log", "SQLite": lambda name: f"sqlite:///{home}/studies.db"}
        if binaries() is not None:
            url = stack.enter_context(server())
            places["PostgreSQL"] = lambda name: url
        print(f"{trials:,} trials of {DIMENSIONS} coordinates, ms a trial: sampler, storage")
        for place, where in places.items():
            for sampler in reversed(SAMPLERS) if place == "journal" else ("random",):
                asking, storing = cost(sampler, where(sampler), trials)
                told = (f"{clock:8.3f} ({processor:6.3f})" for clock, processor in (asking, storing))
                print(f"{place:<11} {sampler:<7}", *told, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
