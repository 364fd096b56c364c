"""The driver of a study: rounds and generations, claimed, evaluated, recorded, told; resumed wherever it was stopped.

1. Round by round, generation by generation: points are asked for (samplers.py), claimed in the storage (storage.py),
   evaluated as columns of one sweep, written into the ledger of tries, and told. What is told is kept: a driver that is
   killed loses the generation that it was evaluating and nothing else.
2. A trial whose evaluation raises, or whose value is not a number, has failed with a reason, and the study goes on. If
   the whole first generation of a round raises, it is the study that is wrong: that stops it.
3. Several drivers on one database share the generations of all rounds among them. Whoever finds none left waits for the
   others, and takes over what a dead one left behind.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from virtuoso.clock import UNIT_MS, Env
from virtuoso.errors import NoDataError, VirtuosoError
from virtuoso.research.tracking.experiments import Trial
from virtuoso.research.tuning.evaluate import Executor
from virtuoso.research.tuning.objective import Judged, ScenarioReturns, directions, judge
from virtuoso.research.tuning.result import (
    FRONT_RULE,
    ONE_RULE,
    StudyResult,
    best_of,
    chosen_of,
    combined,
    front_of,
    holding_of,
    keep_daily,
    kept_daily,
    number_of,
    stretch_words,
    tested,
    trials_table,
)
from virtuoso.research.tuning.rounds import Round
from virtuoso.research.tuning.rows import WAITING, Row
from virtuoso.research.tuning.samplers import COMPLETE, FAIL, MAXIMIZE, PRUNED, Sampler, Searched
from virtuoso.research.tuning.storage import Claim, Kept, Outcome, Trials
from virtuoso.research.tuning.study import Study
from virtuoso.runs.write import as_json
from virtuoso.types import Array, Times

if TYPE_CHECKING:
    from virtuoso.account.instrument import Instrument
    from virtuoso.types import Progress

POLL = 0.5
"""Seconds between two looks at what other drivers do."""
DAY_MS = UNIT_MS["d"]
UNKNOWN = "its value is not a number"


class Space(Searched, Protocol):
    """What the driver must know of a space beside its sampler."""

    def distance(self, points: Array) -> Array:
        """Return the mean squared log-ratio of the weights to what is in force, shape (n,)."""

    def overlay(self, point: Array) -> dict[str, Any]:
        """Return what one point is as settings."""


class Evaluated(Protocol):
    """What trials did."""

    @property
    def returns(self) -> Sequence[ScenarioReturns]:
        """One a scenario."""

    @property
    def failed(self) -> Sequence[str | None]:
        """Why a trial could not be evaluated."""

    @property
    def pruned(self) -> Sequence[str | None]:
        """After which part a trial was dropped."""


class Evaluates(Protocol):
    """What trades the trials of a study: `virtuoso.research.tuning.evaluate.Evaluator`."""

    @property
    def space(self) -> Space:
        """What is searched."""

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds of the study on its data."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Digests of study, settings, data, space and code."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What is traded."""

    @property
    def family(self) -> tuple[str, ...]:
        """What it is made of, for the ledger of tries."""

    def evaluate(
        self, points: Array, round_: Round, executor: Executor | None = None, folder: Path | None = None
    ) -> Evaluated:
        """Return what points did up to the end of a round."""

    @property
    def day_starts(self) -> Mapping[str, Times]:
        """First moment of each day of each scenario, ms."""

    def held(self) -> Mapping[str, Array]:
        """Return what holding returned on each day of each scenario."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a study is; what its progress shows.

    Attributes
    ----------
    done, total : int
        Trials told, and wanted.
    round_name : str
        That is being worked on.
    best : float
        First objective of the best trial of the round so far, out of sample; of the last round, which has no test
        window, in sample. NaN before there is one.
    rate : float
        Trials a second since this driver began; NaN before the first.
    """

    done: int
    total: int
    round_name: str
    best: float
    rate: float

    def __str__(self) -> str:
        parts = [self.round_name]
        if math.isfinite(self.best):
            parts.append(f"best {self.best:.3g}")
        if math.isfinite(self.rate):
            parts.append(f"{self.rate:.3g}/s")
        return ", ".join(parts)


@dataclass
class Driver:
    """Runs the trials of a study until all of them are told.

    Parameters
    ----------
    study : Study
    evaluator : Evaluator
    trials : Trials
        Opened by `trials_of`.
    folder : Path
        Of the study; daily returns of the last round are kept below it.
    executor : Executor, optional
        Evaluates columns of a generation beside each other.
    record : callable
        Writes a `Trial` into the ledger of the project.
    progress : callable, optional
    env : Env
        The stopwatch of the progress.

    Attributes
    ----------
    spent : dict of str to float, seconds
        In the sampler, the storage, the evaluation and the ledger.
    """

    study: Study
    evaluator: Evaluates
    trials: Trials
    folder: Path
    executor: Executor | None = None
    record: Callable[[Trial], object] = field(default=lambda trial: None)
    progress: Progress | None = None
    env: Env = field(default_factory=Env)

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.study.sampler, directions(self.study), self.study.generation, self.study.seed)
        self._began, self._told = self.env.stopwatch(), 0
        self._kept: dict[str, list[Kept]] = {}
        self.spent = dict.fromkeys(("sampler", "storage", "evaluation", "ledger"), 0.0)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = self.env.stopwatch()
        try:
            yield
        finally:
            self.spent[what] += self.env.stopwatch() - start

    def run(self) -> None:
        """Claim, evaluate and tell until every trial of every round has an outcome.

        Raises
        ------
        VirtuosoError
            A whole first generation could not be evaluated, or the storage is locked or away.
        """
        while True:
            worked = False
            for one in self.evaluator.rounds:
                while self._generation(one):
                    worked = True
            if all(self._done(one) >= self._wanted(one) for one in self.evaluator.rounds):
                return
            if not worked:  # what is left is being evaluated by other drivers
                time.sleep(POLL)
                self.trials.retire()

    def standing(self, one: Round) -> Standing:
        """How far the study is."""
        rounds = self.evaluator.rounds
        done, total = sum(map(self._done, rounds)), sum(map(self._wanted, rounds))
        seconds = self.env.stopwatch() - self._began
        rate = self._told / seconds if self._told and seconds > 0.0 else math.nan
        chosen = best_of(self._kept.get(one.name, []), self.sampler.directions)
        figure = f"{'in' if one.is_final else 'out'}_{self.study.objectives[0]}"
        best = math.nan if chosen is None else chosen.outcome.figures.get(figure, math.nan)
        return Standing(done, total, one.name, best, rate)

    def _wanted(self, one: Round) -> int:
        return self.study.trials_of(one.number)

    def _done(self, one: Round) -> int:
        """How many of the trials that are wanted of a round are told."""
        size, wanted = self.sampler.generation, self._wanted(one)
        told = (kept.told for kept in self._kept.get(one.name, []))
        return sum(1 for trial in told if 0 <= trial.generation * size + trial.slot < wanted)

    def _generation(self, one: Round) -> bool:
        """Do one generation of a round, or what is left of it; say whether there was anything to do."""
        with self._timed("storage"):
            kept = self._kept[one.name] = self.trials.kept(one.name)
        found = self._free(one)
        if found is None:
            return False
        generation, slots, waiting = found
        points = np.empty((0, len(self.evaluator.space.names)))
        if slots:
            told = [trial.told for trial in kept]
            with self._timed("sampler"):
                asked = self.sampler.ask(self.evaluator.space, one.name, generation, told, max(slots) + 1)
            points = asked[slots]
        with self._timed("storage"):
            claims = self.trials.claim(one.name, [(generation, slot) for slot in slots], points, waiting)
        if claims is None:  # another driver was quicker: look again
            return True
        try:
            with self.trials.alive(claims):
                outcomes, fault = self._evaluated(one, claims)
        except BaseException:  # Ctrl-C or a full disk: these points wait for the next driver, and nobody died
            self.trials.release(one.name, claims)
            raise
        with self._timed("storage"):
            self._told += self.trials.tell(one.name, claims, outcomes)
        if fault is not None:
            raise fault
        with self._timed("storage"):
            self._kept[one.name] = self.trials.kept(one.name)
        if self.progress is not None:
            standing = self.standing(one)
            self.progress(str(standing), standing.done, standing.total)
        return True

    def _free(self, one: Round) -> tuple[int, list[int], list[Row]] | None:
        """Return the first generation of a round in which something is to be done, its free slots, and what waits."""
        size, taken = self.sampler.generation, self.trials.places(one.name)
        waiting = [(row.place[0], row) for row in self.trials.open(one.name) if row.state == WAITING and row.place]
        free = [(k // size, k % size) for k in range(self._wanted(one)) if (k // size, k % size) not in taken]
        begun = [number for number, _ in free] + [number for number, _ in waiting]
        if not begun:
            return None
        generation = min(begun)
        slots = [slot for number, slot in free if number == generation]
        return generation, slots, [row for number, row in waiting if number == generation]

    def _evaluated(self, one: Round, claims: Sequence[Claim]) -> tuple[list[Outcome], VirtuosoError | None]:
        """Evaluate trials, write them down in the ledger, and say what became of each, and what stops the study."""
        start, points = self.env.stopwatch(), np.stack([claim.point for claim in claims])
        with self._timed("evaluation"):
            found = self.evaluator.evaluate(points, one, self.executor, self.folder)
        failed = [why or dropped for why, dropped in zip(found.failed, found.pruned, strict=True)]
        judged = judge(self.study, found.returns, one, self.evaluator.space.distance(points), failed)
        with self._timed("ledger"):
            self.record(self._tries(one, points, found.returns, judged))
        if one.is_final:
            keep_daily(self.folder, claims, combined(found.returns)[1], self.sampler.generation)
        each = (self.env.stopwatch() - start) / len(claims)
        outcomes = list(outcomes_of(self.study, judged, found.pruned, each))
        whole = claims[0].generation == 0 and len(claims) == min(self.sampler.generation, self._wanted(one))
        if not whole or any(why is None for why in found.failed):
            return outcomes, None
        said = f"No trial of the first generation of {one.name} could be evaluated: {found.failed[0]}."
        return outcomes, VirtuosoError(f"{said} Mend it, and run the study again with --anyway.")

    def _tries(self, one: Round, points: Array, returns: Sequence[ScenarioReturns], judged: Judged) -> Trial:
        """Return the entry of a generation in the ledger of tries: all its trials, of which one is best."""
        days, daily = combined(returns)
        sign = 1.0 if self.sampler.directions[0] == MAXIMIZE else -1.0
        values = np.where(np.isfinite(judged.values[:, 0]), sign * judged.values[:, 0], -np.inf)
        identity = {name: value for name, value in self.evaluator.identity.items() if name != "study"}
        return Trial(
            command="tune",
            instruments=tuple(dict.fromkeys(map(str, self.evaluator.instruments))),
            first=int(days[0]),
            stop=int(days[-1]) + DAY_MS,
            data=hashlib.sha256(as_json(identity["data"])).hexdigest(),
            config=generation_digest(points, one.name, identity, self.study),
            family=tuple(self.evaluator.family),
        ).seen(np.nan_to_num(daily), int(np.argmax(values)))  # what failed gains and loses nothing


def generation_digest(points: Array, round_name: str, identity: Mapping[str, object], study: Study) -> str:
    """Return what a generation is called in the ledger of tries: its points, its round, what they were tried on."""
    digest = hashlib.sha256(np.ascontiguousarray(points, dtype=np.float64).tobytes())
    digest.update(as_json([round_name, identity, study.terms.given()]))
    return digest.hexdigest()


def outcomes_of(study: Study, judged: Judged, pruned: Sequence[str | None], seconds: float) -> Iterator[Outcome]:
    """Say what became of each trial that was judged."""
    for k, reason in enumerate(judged.reasons):
        figures = {f"in_{name}": float(judged.inside[k, n]) for n, name in enumerate(study.objectives)}
        figures |= {f"out_{name}": float(judged.outside[k, n]) for n, name in enumerate(study.objectives)}
        figures |= {"trades": float(judged.trades[k]), "turnover": float(judged.turnover[k]), "seconds": seconds}
        values = tuple(map(float, judged.values[k]))
        if pruned[k] is not None:
            yield Outcome(PRUNED, (), str(pruned[k]), figures)
        elif reason is not None or not np.isfinite(values).all():
            yield Outcome(FAIL, (), reason or UNKNOWN, figures)
        else:
            yield Outcome(COMPLETE, values, "", figures)


def collected(
    study: Study, evaluator: Evaluates, trials: Trials, folder: Path, executor: Executor | None = None
) -> StudyResult:
    """Put together what a study found whose trials are all told.

    Raises
    ------
    NoDataError
        No trial of a round has a value.
    """
    told = directions(study)
    kept = {one.name: _wanted(study, one, trials.kept(one.name)) for one in evaluator.rounds}
    best = {name: best_of(some, told) for name, some in kept.items()}
    for name, one in best.items():
        if one is None:
            reasons = [trial.outcome.reason for trial in kept[name]]
            most = max(set(reasons), key=reasons.count)
            raise NoDataError(
                f"No trial of {name} of the study {study.name} has a value; of most: {most}. Give it a longer history, "
                "lower least_trades, or search elsewhere."
            )
    winners = {name: one for name, one in best.items() if one is not None}
    final = evaluator.rounds[-1]
    days, daily = _daily_of(study, evaluator, folder, final, kept[final.name], executor)
    numbers = [str(number_of(one, study.generation)) for one in kept[final.name]]
    front = front_of(kept[final.name], told) if len(told) > 1 else [winners[final.name]]
    simulated = any(one.is_simulated for one in evaluator.instruments)
    return StudyResult(
        study=study,
        folder=folder,
        trials=trials_table(study, evaluator.space.names, kept),
        walk_forward=_walked(evaluator, winners, executor, folder),
        daily={"date": days} | dict(zip(numbers, daily.T, strict=True)),
        chosen=tuple(chosen_of(study, name, one) for name, one in winners.items()),
        overlay=evaluator.space.overlay(winners[final.name].told.point),
        front=tuple(number_of(one, study.generation) for one in front),
        config={
            "simulated": simulated, "study": study.model_dump(mode="json"), "names": list(evaluator.space.names),
            "winner_rule": ONE_RULE if len(told) == 1 else FRONT_RULE, "trials": sum(map(len, kept.values())),
            "untuned": evaluator.space.prior.tolist(),
        },
        provenance={
            "study": study.name,
            "instruments": ", ".join(dict.fromkeys(map(str, evaluator.instruments))),
            "days": stretch_words(days),
            **{f"{name} digest": _flat(value) for name, value in evaluator.identity.items()},
        },
    )  # fmt: skip


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else hashlib.sha256(as_json(value)).hexdigest()


def _wanted(study: Study, one: Round, kept: Sequence[Kept]) -> list[Kept]:
    """Leave out trials beyond those that are asked for: of an earlier run with more of them."""
    return [trial for trial in kept if number_of(trial, study.generation) < study.trials_of(one.number)]


def _daily_of(
    study: Study, evaluator: Evaluates, folder: Path, final: Round, kept: Sequence[Kept], executor: Executor | None
) -> tuple[Times, Array]:
    """Return daily returns of the trials of the last round, as kept; what another machine did is done again."""
    days = combined(evaluator.evaluate(evaluator.space.prior[None], final, None, folder).returns)[0]
    whole = np.full((len(days), len(kept)), np.nan)
    for generation in sorted({one.told.generation for one in kept}):
        at = [k for k, one in enumerate(kept) if one.told.generation == generation]
        found = kept_daily(folder, generation, [kept[k].told.slot for k in at], len(days))
        if found is None:
            points = np.stack([kept[k].told.point for k in at])
            found = combined(evaluator.evaluate(points, final, executor, folder).returns)[1]
        whole[:, at] = found
    return days, whole


def _walked(
    evaluator: Evaluates, winners: Mapping[str, Kept], executor: Executor | None, folder: Path
) -> dict[str, np.ndarray]:
    """Return the test days of the rounds' winners one after another, beside what is in force and beside holding."""
    held = evaluator.held()
    dates, names, returns = [], [], []
    for one in evaluator.rounds:
        if one.is_final:
            continue
        points = np.stack([winners[one.name].told.point, evaluator.space.prior])
        days, daily = tested(evaluator.evaluate(points, one, executor, folder).returns, one)
        holding = holding_of(held, evaluator.day_starts, one)
        dates.append(days)
        names += [one.name] * len(days)
        returns.append(np.column_stack((daily, holding)))
    table = np.concatenate(returns) if returns else np.empty((0, 3))
    return {
        "date": np.concatenate(dates) if dates else np.empty(0, dtype=np.int64),
        "round": np.array(names, dtype=object),
        "return": table[:, 0],
        "untuned": table[:, 1],
        "buy_and_hold": table[:, 2],
    }
