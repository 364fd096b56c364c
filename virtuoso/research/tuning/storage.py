"""The trials of a study, in an Optuna storage, which alone is the truth.

1. Each round is an Optuna study of its own, `NAME/walk-1` ... `NAME/final`, in one storage: by default the journal in
   the folder of the study, else a database by URL. Optuna's dashboard reads both.
2. A generation is claimed (its trials are RUNNING), evaluated, and told. The place of a trial, generation and slot, is
   an attribute of it: after a restart, the trials that are missing are those whose places are free.
3. What a dead driver left RUNNING is failed, and the same point waits in its place, three times; then it stays failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.research.tuning.owner import me
from virtuoso.research.tuning.rows import OUTCOME, OWNER, PLACE, RUNNING, WAITING, Row, TakenError
from virtuoso.research.tuning.samplers import COMPLETE, FAIL, Direction, Searched, Told, params_of
from virtuoso.types import Array

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial

    from virtuoso.research.tuning.database import Database
    from virtuoso.research.tuning.journal import BatchedFile

MOST_RETRIES = 3
"""How often a point is evaluated again whose driver died."""
PATIENCE = 30.0
"""Seconds for which a storage may be locked before that is an error."""
HEARTBEAT = 30.0
"""Seconds between two signs of life of a driver on a database."""
JOURNAL = "journal.log"
WORKER_DIED = f"its worker died {MOST_RETRIES + 1} times"
FOREIGN = -1
"""Generation of trials that somebody left running who was no driver of ours."""
IDENTITY = "identity"
"""Attribute of an Optuna study: digests of what its trials are of."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that is ours to evaluate.

    Attributes
    ----------
    trial : int
        Its id in the storage.
    generation, slot : int
    point : Array, shape (n_names,)
    """

    trial: int
    generation: int
    slot: int
    point: Array


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial.

    Attributes
    ----------
    state : str
        'complete', 'pruned' or 'fail'.
    values : tuple of float
        One an objective, in sample; empty unless it is complete.
    reason : str
        Why it has none.
    figures : mapping of str to float
        What else is kept of it: in_*, out_*, trades, turnover, seconds. NaN is not known.
    """

    state: str
    values: tuple[float, ...] = ()
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A trial whose outcome is in the storage.

    Attributes
    ----------
    number : int
        Within its round, as Optuna counts.
    told : Told
    outcome : Outcome
    """

    number: int
    told: Told
    outcome: Outcome


@contextmanager
def trials_of(
    name: str,
    rounds: Sequence[str],
    space: Searched,
    directions: Sequence[Direction],
    where: str | Path,
    *,
    patience: float = PATIENCE,
    heartbeat: float = HEARTBEAT,
    say: Callable[[str], object] = lambda words: None,
) -> Iterator[Trials]:
    """Open the trials of a study for its driver.

    Parameters
    ----------
    name : str
        Of the study.
    rounds : sequence of str
        Their names.
    space : Space
    directions : sequence of str
        'maximize' or 'minimize', one an objective.
    where : str or Path
        A journal file, or the URL of a database.
    patience : float, seconds
        For how long a locked storage is waited for.
    heartbeat : float, seconds
        Between two signs of life on a database.
    say : callable
        Told in a sentence what was found damaged or left behind.

    Raises
    ------
    LockedError
        The storage is locked, or another driver works on the journal.
    ConfigError
        The storage holds a study of this name with other objectives or parameters, or cannot be opened.
    """
    import optuna

    with ExitStack() as stack:
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        stack.callback(optuna.logging.set_verbosity, before)
        backend: _Journal | Database
        if is_url(where):
            from virtuoso.research.tuning.database import Database

            backend = Database(str(where), heartbeat, patience)
            stack.callback(backend.close)
        else:
            from virtuoso.research.tuning.journal import opened

            backend = _Journal(*stack.enter_context(opened(Path(where), patience, say)))
        trials = Trials(name, tuple(rounds), space, tuple(directions), backend)
        trials.retire(say)
        yield trials


def is_url(where: str | Path) -> bool:
    """Whether a storage is a database by URL, or else a journal file."""
    return isinstance(where, str) and "://" in where


class Trials:
    """The trials of all rounds of a study.

    Parameters
    ----------
    name : str
    rounds : tuple of str
    space : Space
    directions : tuple of str
    backend
        Where they are kept.

    Attributes
    ----------
    is_shared : bool
        Whether other drivers may work on them at the same time.
    """

    def __init__(
        self,
        name: str,
        rounds: tuple[str, ...],
        space: Searched,
        directions: tuple[Direction, ...],
        backend: _Journal | Database,
    ) -> None:
        self.name, self.rounds, self._space, self._backend = name, rounds, space, backend
        self.is_shared = not isinstance(backend, _Journal)
        self._distributions = dict(space.distributions)
        self._rounds = {one: _Round() for one in rounds}
        self._ids = {one: backend.read(lambda one=one: self._study(one, directions)) for one in rounds}  # type: ignore[misc]

    def _study(self, name: str, directions: tuple[Direction, ...]) -> int:
        """Find or make the Optuna study of a round; give its id."""
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        storage, full = self._backend.storage, f"{self.name}/{name}"
        wanted = [StudyDirection[one.upper()] for one in directions]
        try:
            study = storage.get_study_id_from_name(full)
        except KeyError:
            try:
                return storage.create_new_study(wanted, full)
            except DuplicatedStudyError:  # two drivers begin at once
                study = storage.get_study_id_from_name(full)
        found: list[StudyDirection] = list(storage.get_study_directions(study))
        if found != wanted:
            raise ConfigError(
                f"The storage holds a study {full} with other objectives ({', '.join(d.name.lower() for d in found)}). "
                "Give the study another name, or pass --storage with another one."
            )
        return study

    def identified(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the trials in the storage are of; the first who asks says it.

        Parameters
        ----------
        identity : mapping
            Plain values: digests of data, space, settings and code.
        """
        study, storage = self._ids[self.rounds[-1]], self._backend.storage
        found = self._backend.read(lambda: storage.get_study_user_attrs(study)).get(IDENTITY)
        if found is None:
            self._backend.read(lambda: storage.set_study_user_attr(study, IDENTITY, dict(identity)))
            return dict(identity)
        return dict(found)

    def _refresh(self, round_name: str) -> None:
        """Read what is new in the storage; a finished trial never changes."""
        known = self._rounds[round_name]
        known.open = []
        for row in self._backend.rows(self._ids[round_name], known.finished):
            if row.state in (RUNNING, WAITING):
                known.open.append(row)
                continue
            known.finished.add(row.trial)
            if row.place is not None:
                known.places.add(row.place[:2])
            kept = self._kept(row)
            if kept is not None:
                known.kept.setdefault((kept.told.generation, kept.told.slot), kept)

    def kept(self, round_name: str) -> list[Kept]:
        """Return the trials of a round whose outcome is known, in the order of their places."""
        self._refresh(round_name)
        kept = self._rounds[round_name].kept
        return [kept[place] for place in sorted(kept)]

    def places(self, round_name: str) -> set[tuple[int, int]]:
        """Return the places of a round that are taken, as of the last reading of it."""
        known = self._rounds[round_name]
        return known.places | {row.place[:2] for row in known.open if row.place is not None}

    def open(self, round_name: str) -> list[Row]:
        """Return the trials that run or wait, as of the last reading of a round."""
        return list(self._rounds[round_name].open)

    def claim(
        self, round_name: str, places: Sequence[tuple[int, int]], points: Array, waiting: Sequence[Row] = ()
    ) -> list[Claim] | None:
        """Make trials at some places, and take some that wait; all of them or none.

        Parameters
        ----------
        round_name : str
        places : sequence of (generation, slot)
            Free ones.
        points : Array, shape (n_places, n_names)
        waiting : sequence of Row
            Of `open`.

        Returns
        -------
        list of Claim or None
            None where another driver was quicker.
        """
        own = {OWNER: self._backend.owner}
        fresh = [
            self._made(RUNNING, point, {PLACE: [*place, 0], **own}) for place, point in zip(places, points, strict=True)
        ]
        try:
            ids = self._backend.claim(self._ids[round_name], fresh, [one.trial for one in waiting])
        except TakenError:
            return None
        made = [Claim(i, *place, point) for i, place, point in zip(ids, places, points, strict=True)]
        taken = [Claim(one.trial, *one.place[:2], self._point(one)) for one in waiting if one.place is not None]
        return sorted([*made, *taken], key=lambda one: (one.generation, one.slot))

    def tell(self, round_name: str, claims: Sequence[Claim], outcomes: Sequence[Outcome]) -> int:
        """Write down what became of claimed trials, at once and durably; give how many were still ours."""
        told = [
            (claim.trial, one.state, one.values or None, {OUTCOME: _written(claim, one)})
            for claim, one in zip(claims, outcomes, strict=True)
        ]
        return self._backend.tell(self._ids[round_name], told)

    @contextmanager
    def alive(self, claims: Iterable[Claim]) -> Iterator[None]:
        """Let other drivers know for as long as the block runs that these trials are being evaluated."""
        with self._backend.alive([one.trial for one in claims]):
            yield

    def release(self, round_name: str, claims: Sequence[Claim]) -> None:
        """Let claimed trials wait again that nobody evaluates: whoever claimed them stops, and did not die."""
        given = {claim.trial for claim in claims}
        self._refresh(round_name)
        ours = [row for row in self._rounds[round_name].open if row.trial in given and row.state == RUNNING]
        if ours:
            self._backend.retire(self._ids[round_name], [self._retired(row, died=False) for row in ours])

    def retire(self, say: Callable[[str], object] = lambda words: None) -> int:
        """Fail what dead drivers left running, and let the same points wait in their places; give how many."""
        count = 0
        for name in self.rounds:
            self._refresh(name)
            running = [row for row in self._rounds[name].open if row.state == RUNNING]
            dead = self._backend.dead(running) if running else []
            if dead:
                count += self._backend.retire(self._ids[name], [self._retired(one) for one in dead])
        if count:
            say(f"{count:,} trials that a driver left running when it died are failed, and their points wait again.")
        return count

    def _retired(self, row: Row, *, died: bool = True) -> tuple[int, dict[str, Any], FrozenTrial | None]:
        """Say how a trial of a dead driver is failed, and what waits in its place: nothing after too many attempts."""
        generation, slot, attempt = row.place or (FOREIGN, row.number, 0)
        if set(row.params) != set(self._distributions):
            return row.trial, {}, None  # a point of another space, made by other means
        point = self._point(row)
        if died and attempt >= MOST_RETRIES:
            claim = Claim(row.trial, generation, slot, point)
            return row.trial, {OUTCOME: _written(claim, Outcome(FAIL, reason=WORKER_DIED))}, None
        return (
            row.trial,
            {},
            self._made(WAITING, point, {PLACE: [generation, slot, attempt + died]}, retry_of=row.number),
        )

    def _made(self, state: str, point: Array, attributes: dict[str, Any], **system: Any) -> FrozenTrial:
        from optuna.trial import FrozenTrial, TrialState

        return FrozenTrial(
            number=-1,
            trial_id=-1,
            state=TrialState[state.upper()],
            value=None,
            datetime_start=datetime.now(UTC) if state == RUNNING else None,
            datetime_complete=None,
            params=params_of(self._space, point),
            distributions=self._distributions,
            user_attrs=attributes,
            system_attrs=system,
            intermediate_values={},
        )

    def _point(self, row: Row) -> Array:
        return np.array([row.params[name] for name in self._space.names], dtype=np.float64)

    def _kept(self, row: Row) -> Kept | None:
        """Return a finished trial; None where it was retired, or is by other means."""
        outcome = row.attributes.get(OUTCOME)
        if row.place is None or not outcome or outcome["place"] != list(row.place[:2]):
            return None
        values = row.values if row.state == COMPLETE else ()
        figures = {name: math.nan if value is None else value for name, value in outcome["figures"].items()}
        told = Told(*row.place[:2], self._point(row), row.state, values)
        return Kept(row.number, told, Outcome(row.state, values, outcome["reason"], figures))


@dataclass(slots=True)
class _Round:
    """What is known of the trials of a round.

    Attributes
    ----------
    finished : set of int
        Ids of those that never change any more.
    places : set of (generation, slot)
        Theirs.
    kept : dict
        Those with an outcome, by place.
    open : list of Row
        Those that run or wait.
    """

    finished: set[int] = field(default_factory=set)
    places: set[tuple[int, int]] = field(default_factory=set)
    kept: dict[tuple[int, int], Kept] = field(default_factory=dict)
    open: list[Row] = field(default_factory=list)


def _written(claim: Claim, outcome: Outcome) -> dict[str, Any]:
    """What is kept of an outcome: plain values, NaN as null."""
    figures = {name: float(v) if math.isfinite(v) else None for name, v in outcome.figures.items()}
    return {"place": [claim.generation, claim.slot], "reason": outcome.reason, "figures": figures}


class _Journal:
    """The trials of studies in a journal, of which we are the one driver.

    Parameters
    ----------
    storage : JournalStorage
    file : BatchedFile
    """

    def __init__(self, storage: BaseStorage, file: BatchedFile) -> None:
        self.storage, self._file = storage, file
        self.owner = me()

    def read(self, work: Callable[[], Answer]) -> Answer:
        return work()

    def claim(self, study: int, fresh: Sequence[FrozenTrial], waiting: Sequence[int]) -> list[int]:
        from optuna.trial import TrialState

        with self._file.batch():
            for one in waiting:
                self.storage.set_trial_state_values(one, TrialState.RUNNING)
            return [self.storage.create_new_trial(study, one) for one in fresh]

    def rows(self, study: int, skip: Container[int]) -> list[Row]:
        trials = self.storage.get_all_trials(study, deepcopy=False)
        return [_row(one) for one in trials if one._trial_id not in skip]

    def tell(self, study: int, told: Sequence[tuple[int, str, Sequence[float] | None, dict[str, Any]]]) -> int:
        from optuna.trial import TrialState

        with self._file.batch():
            for i, state, values, attributes in told:
                for key, value in attributes.items():
                    self.storage.set_trial_user_attr(i, key, value)
                self.storage.set_trial_state_values(i, TrialState[state.upper()], values)
        return len(told)

    def retire(self, study: int, dead: Sequence[tuple[int, dict[str, Any], FrozenTrial | None]]) -> int:
        from optuna.trial import TrialState

        with self._file.batch():
            for i, attributes, successor in dead:
                for key, value in attributes.items():
                    self.storage.set_trial_user_attr(i, key, value)
                self.storage.set_trial_state_values(i, TrialState.FAIL)
                if successor is not None:
                    self.storage.create_new_trial(study, successor)
        return len(dead)

    def dead(self, running: Sequence[Row]) -> list[Row]:
        """All that run: we hold the lock, and run nothing yet."""
        return list(running)

    @contextmanager
    def alive(self, ids: Sequence[int]) -> Iterator[None]:
        yield


def _row(trial: FrozenTrial) -> Row:
    state, params = trial.state.name.lower(), trial.params
    ranges = trial.distributions
    inner = {name: ranges[name].to_internal_repr(value) for name, value in params.items()}
    values = tuple(trial.values) if trial.values is not None else ()
    return Row(trial._trial_id, trial.number, state, inner, trial.user_attrs, values, trial.datetime_start)
