"""Trials in a database by URL: SQLite, or PostgreSQL for several drivers at once.

1. The tables are Optuna's, so that its dashboard and its readers work. A generation is claimed in one transaction, and
   told in one: parameter by parameter, as Optuna writes, a trial costs 40 to 50 ms.
2. Whoever claims locks the row of the study first: of two drivers one is told that the place is taken. So no trial is
   run twice.
3. A driver's running trials have a heartbeat. When it stops, or when the driver is known to be dead, others take them.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import orm

from virtuoso.clock import Env
from virtuoso.errors import ConfigError, LockedError, failure
from virtuoso.research.tuning.owner import is_dead, me
from virtuoso.research.tuning.rows import OWNER, PLACE, Row, TakenError

MISSED = 3
"""Signs of life that are missed before a driver counts as dead."""
SCHEMA_LOCK = 0x5649_5254
"""Number of PostgreSQL's advisory lock under which tables are made."""
MOST_ASKED = 500
"""Trials that one query reads."""
_HOPELESS = ("authentication failed", "does not exist", "no password supplied", "unknown host", "not known")
Answer = TypeVar("Answer")


def masked(url: str) -> str:
    """Return a URL as it may be shown, without its password; of what is no URL, nothing."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "(not shown)"


def patiently(work: Callable[[], Answer], url: str, patience: float) -> Answer:
    """Do something with a database; wait while it is locked or away.

    Parameters
    ----------
    work : callable
        Done again from its beginning when it failed, so it may do nothing twice.
    url : str
    patience : float, seconds

    Raises
    ------
    LockedError
        It is locked or away for longer.
    ConfigError
        It refuses us.
    """
    end, pause = time.monotonic() + patience, 0.05
    while True:
        try:
            return work()
        except (sa.exc.OperationalError, StorageInternalError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
            said = _said(cause, url)
            if any(words in said for words in _HOPELESS):
                raise ConfigError(f"The storage {masked(url)} refuses us: {said}. Correct the URL.") from None
            if time.monotonic() >= end:
                raise LockedError(
                    f"The storage {masked(url)} is locked or away, after {patience:g} s of waiting: {said}. What was "
                    "told is kept and nothing half; run the same command again when it answers."
                ) from None
        time.sleep(min(pause, max(end - time.monotonic(), 0.0)))
        pause = min(2.0 * pause, 2.0)


def _said(error: BaseException, url: str) -> str:
    """First line of what a driver of databases says, without the password."""
    original = getattr(error, "orig", None) or error
    line = (str(original).strip() or type(original).__name__).splitlines()[0].rstrip(".")
    password = sa.make_url(url).password
    return line.replace(str(password), "***") if password else line


class Database:
    """The trials of studies in tables.

    Parameters
    ----------
    url : str
    heartbeat : float, seconds
    patience : float, seconds
    """

    def __init__(self, url: str, heartbeat: float, patience: float) -> None:
        self.url, self.heartbeat, self._patience = _with_driver(url), heartbeat, patience
        self.owner = f"{me()} #{uuid.uuid4().hex[:8]}"  # two drivers may live in one process
        self._rdb = patiently(self._made, self.url, patience)
        self.storage: BaseStorage = self._rdb

    def _made(self) -> RDBStorage:
        """Open the storage, its tables made by one of those who open it first."""
        try:
            engine = sa.create_engine(self.url)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"The storage {masked(self.url)} cannot be opened: {failure(error)}. Write "
                "postgresql://USER:${PASSWORD}@HOST/NAME or sqlite:///FILE."
            ) from None
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    connection.execute(sa.text("SELECT pg_advisory_lock(:n)"), {"n": SCHEMA_LOCK})
                elif engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers and the writer do not wait
                return self._opened()
        finally:
            engine.dispose()  # which frees the lock

    def _opened(self) -> RDBStorage:
        for attempt in range(10):
            try:
                return RDBStorage(self.url, engine_kwargs={"pool_pre_ping": True})
            except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
                if attempt == 9:
                    raise
                time.sleep(0.1)  # another process makes the same tables
        raise AssertionError

    def close(self) -> None:
        """Give all connections back."""
        self._rdb.remove_session()
        self._rdb.engine.dispose()

    def done(self, work: Callable[[orm.Session], Answer]) -> Answer:
        """Do something in one transaction, again where the database was locked or away."""

        def once() -> Answer:
            with orm.Session(self._rdb.engine, expire_on_commit=False) as session, session.begin():
                return work(session)

        return patiently(once, self.url, self._patience)

    def read(self, work: Callable[[], Answer]) -> Answer:
        """Read through Optuna, again where the database was locked or away."""
        return patiently(work, self.url, self._patience)

    def claim(self, study: int, fresh: Sequence[FrozenTrial], waiting: Sequence[int]) -> list[int]:
        """Make trials, and take some that wait.

        Parameters
        ----------
        study : int
            Its id.
        fresh : sequence of FrozenTrial
            RUNNING, with their places.
        waiting : sequence of int
            Ids.

        Returns
        -------
        list of int
            Ids of the fresh ones.

        Raises
        ------
        TakenError
            Another driver has one of them.
        """
        places = {tuple(one.user_attrs[PLACE][:2]) for one in fresh}

        def work(session: orm.Session) -> list[int]:
            _lock(session, study)
            owned = _owned(session, study, places)
            if places and set(owned) == places and all(owner == self.owner for _, owner in owned.values()):
                return [owned[tuple(one.user_attrs[PLACE][:2])][0] for one in fresh]  # it was ours, unheard
            if owned:
                raise TakenError
            ids = _insert(session, study, fresh)
            if waiting:
                self._take(session, waiting)
            return ids

        return self.done(work)

    def _take(self, session: orm.Session, waiting: Sequence[int]) -> None:
        rows = session.scalars(sa.select(models.TrialModel).where(models.TrialModel.trial_id.in_(waiting))).all()
        if any(row.state != TrialState.WAITING for row in rows) or len(rows) != len(waiting):
            raise TakenError
        begun = _now()
        for row in rows:
            row.state, row.datetime_start = TrialState.RUNNING, begun
        owner = models.TrialUserAttributeModel
        session.execute(sa.delete(owner).where(owner.trial_id.in_(waiting), owner.key == OWNER))
        session.execute(
            sa.insert(owner), [{"trial_id": i, "key": OWNER, "value_json": json.dumps(self.owner)} for i in waiting]
        )
        session.execute(sa.insert(models.TrialHeartbeatModel), [{"trial_id": i} for i in waiting])

    def tell(self, study: int, told: Sequence[tuple[int, str, Sequence[float] | None, dict[str, Any]]]) -> int:
        """Write down what became of trials; of those that are not running any more, nothing.

        Parameters
        ----------
        study : int
        told : sequence of (id, state, values, attributes)

        Returns
        -------
        int
            How many were written.
        """

        def work(session: orm.Session) -> int:
            ids = [one[0] for one in told]
            rows = session.scalars(
                sa.select(models.TrialModel).where(models.TrialModel.trial_id.in_(ids)).with_for_update()
            ).all()
            running = {int(row.trial_id): row for row in rows if row.state == TrialState.RUNNING}
            values, attributes = [], []
            for i, state, numbers, attrs in told:
                if i not in running:
                    continue
                running[i].state, running[i].datetime_complete = TrialState[state.upper()], _now()
                values += [_value(i, k, number) for k, number in enumerate(numbers or ())]
                attributes += [{"trial_id": i, "key": k, "value_json": json.dumps(v)} for k, v in attrs.items()]
            if values:
                session.execute(sa.insert(models.TrialValueModel), values)
            if attributes:
                session.execute(sa.insert(models.TrialUserAttributeModel), attributes)
            return len(running)

        return self.done(work)

    def retire(self, study: int, dead: Sequence[tuple[int, dict[str, Any], FrozenTrial | None]]) -> int:
        """Fail running trials whose driver is dead, and put others in their places that wait.

        Parameters
        ----------
        study : int
        dead : sequence of (id, attributes, trial to wait in its place or None)

        Returns
        -------
        int
            How many were failed: not those that another driver has retired or that were told meanwhile.
        """

        def work(session: orm.Session) -> int:
            _lock(session, study)
            rows = session.scalars(
                sa.select(models.TrialModel).where(models.TrialModel.trial_id.in_([one[0] for one in dead]))
            ).all()
            running = {int(row.trial_id): row for row in rows if row.state == TrialState.RUNNING}
            queued, attributes = [], []
            for i, attrs, successor in dead:
                if i in running:
                    running[i].state, running[i].datetime_complete = TrialState.FAIL, _now()
                    attributes += [{"trial_id": i, "key": k, "value_json": json.dumps(v)} for k, v in attrs.items()]
                    queued += [successor] if successor is not None else []
            if attributes:
                session.execute(sa.insert(models.TrialUserAttributeModel), attributes)
            _insert(session, study, queued)
            return len(running)

        return self.done(work)

    def rows(self, study: int, skip: Container[int]) -> list[Row]:
        """Return the trials of a study but some, in the order in which they were made.

        Parameters
        ----------
        study : int
        skip : container of int
            Ids.
        """
        trial = models.TrialModel
        asked = sa.select(trial.trial_id, trial.number, trial.state, trial._datetime_start_utc)

        def work(session: orm.Session) -> list[Row]:
            found = [row for row in session.execute(asked.where(trial.study_id == study)) if row[0] not in skip]
            found.sort(key=lambda row: int(row[1]))
            rows = []
            for first in range(0, len(found), MOST_ASKED):
                some = found[first : first + MOST_ASKED]
                params, attributes, values = _parts(session, [row[0] for row in some])
                for i, number, state, since in some:
                    begun = None if since is None else since.replace(tzinfo=UTC)
                    told = tuple(values[i][k] for k in sorted(values[i]))
                    rows.append(Row(i, number, state.name.lower(), params[i], attributes[i], told, begun))
            return rows

        return self.done(work)

    def dead(self, running: Sequence[Row]) -> list[Row]:
        """Return the running trials among some whose driver does not live: its heartbeat stopped, or its process is."""
        beat, ids = models.TrialHeartbeatModel, [row.trial for row in running]

        def work(session: orm.Session) -> tuple[datetime, dict[int, datetime]]:
            now = session.execute(sa.select(sa.func.current_timestamp())).scalar_one().replace(tzinfo=None)
            asked = sa.select(beat.trial_id, beat.heartbeat).where(beat.trial_id.in_(ids))
            return now, {int(i): last for i, last in session.execute(asked)}

        now, last = self.done(work)
        grace = timedelta(seconds=MISSED * self.heartbeat)

        def is_stale(row: Row) -> bool:
            if is_dead(str(row.attributes.get(OWNER, ""))):
                return True
            if row.trial in last:
                return now - last[row.trial] > grace
            return row.since is None or _now() - row.since > grace  # made by other means: its age must do

        return [row for row in running if is_stale(row)]

    @contextmanager
    def alive(self, ids: Sequence[int]) -> Iterator[None]:
        """Give running trials a heartbeat for as long as the block runs."""
        over = threading.Event()

        def beat() -> None:
            model = models.TrialHeartbeatModel
            while not over.wait(self.heartbeat):
                now = sa.update(model).where(model.trial_id.in_(ids)).values(heartbeat=sa.func.current_timestamp())
                try:
                    with self._rdb.engine.begin() as connection:
                        connection.execute(now)
                except sa.exc.SQLAlchemyError:  # the next beat may get through; whoever tells, waits and complains
                    continue

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _with_driver(url: str) -> str:
    """Name the driver that ships with Virtuoso; make the folder of a SQLite file."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError(
            "The storage is no URL (not shown, since it may hold a password). Write "
            "postgresql://USER:${PASSWORD}@HOST/NAME or sqlite:///FILE."
        ) from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("postgresql", "sqlite"):
        raise ConfigError(
            f"Studies are kept in PostgreSQL or SQLite, the storage {masked(url)} is neither. Write "
            "postgresql://USER:${PASSWORD}@HOST/NAME or sqlite:///FILE."
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    return parsed.render_as_string(hide_password=False)


def _lock(session: orm.Session, study: int) -> None:
    """Let one driver at a time count and make trials of a study: its row is written, so it is locked everywhere."""
    model = models.StudyModel
    session.execute(sa.update(model).where(model.study_id == study).values(study_name=model.study_name))


def _owned(session: orm.Session, study: int, places: set[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[int, str]]:
    """Which of some places are taken, by which trial and by whom."""
    trial, attribute = models.TrialModel, models.TrialUserAttributeModel
    rows = session.execute(
        sa.select(trial.trial_id, attribute.key, attribute.value_json)
        .join(attribute, attribute.trial_id == trial.trial_id)
        .where(trial.study_id == study, attribute.key.in_((PLACE, OWNER)))
    ).all()
    owners = {i: json.loads(text) for i, key, text in rows if key == OWNER}
    found = ((tuple(json.loads(text)[:2]), i) for i, key, text in rows if key == PLACE)
    return {place: (i, str(owners.get(i, ""))) for place, i in found if place in places}


def _parts(
    session: orm.Session, ids: Sequence[int]
) -> tuple[dict[int, dict[str, float]], dict[int, dict[str, Any]], dict[int, dict[int, float]]]:
    """Read parameters, attributes and values of trials, each by id."""
    param, attribute, value = models.TrialParamModel, models.TrialUserAttributeModel, models.TrialValueModel
    params: dict[int, dict[str, float]] = {i: {} for i in ids}
    attributes: dict[int, dict[str, Any]] = {i: {} for i in ids}
    values: dict[int, dict[int, float]] = {i: {} for i in ids}
    asked = sa.select(param.trial_id, param.param_name, param.param_value)
    for i, name, number in session.execute(asked.where(param.trial_id.in_(ids))):
        params[i][name] = number
    asked = sa.select(attribute.trial_id, attribute.key, attribute.value_json)
    for i, key, text in session.execute(asked.where(attribute.trial_id.in_(ids))):
        attributes[i][key] = json.loads(text)
    told = sa.select(value.trial_id, value.objective, value.value, value.value_type)
    for i, objective, number, kind in session.execute(told.where(value.trial_id.in_(ids))):
        values[i][objective] = value.stored_repr_to_value(number, kind)
    return params, attributes, values


def _insert(session: orm.Session, study: int, trials: Sequence[FrozenTrial]) -> list[int]:
    """Make trials with all they have; give their ids."""
    if not trials:
        return []
    trial = models.TrialModel
    count = session.execute(sa.select(sa.func.count()).where(trial.study_id == study)).scalar_one()
    rows = []
    for k, one in enumerate(trials):
        row = trial(study_id=study, number=count + k, state=one.state)
        row.datetime_start = one.datetime_start
        rows.append(row)
    session.add_all(rows)
    session.flush()
    texts: dict[Any, str] = {}
    params, attributes, system, beats = [], [], [], []
    for row, one in zip(rows, trials, strict=True):
        for name, value in one.params.items():
            range_ = one.distributions[name]
            if range_ not in texts:
                texts[range_] = distribution_to_json(range_)
            params.append(
                {
                    "trial_id": row.trial_id, "param_name": name, "param_value": range_.to_internal_repr(value),
                    "distribution_json": texts[range_],
                }
            )  # fmt: skip
        attributes += [
            {"trial_id": row.trial_id, "key": k, "value_json": json.dumps(v)} for k, v in one.user_attrs.items()
        ]
        system += [
            {"trial_id": row.trial_id, "key": k, "value_json": json.dumps(v)} for k, v in one.system_attrs.items()
        ]
        beats += [{"trial_id": row.trial_id}] if one.state == TrialState.RUNNING else []
    for model, entries in (
        (models.TrialParamModel, params), (models.TrialUserAttributeModel, attributes),
        (models.TrialSystemAttributeModel, system), (models.TrialHeartbeatModel, beats),
    ):  # fmt: skip
        if entries:
            session.execute(sa.insert(model), entries)
    return [int(row.trial_id) for row in rows]


def _value(trial: int, objective: int, number: float) -> dict[str, Any]:
    value, kind = models.TrialValueModel.value_to_stored_repr(number)
    return {"trial_id": trial, "objective": objective, "value": value, "value_type": kind}


def _now() -> datetime:
    """Return the time, as Optuna's tables hold it."""
    return datetime.fromtimestamp(Env().now_ms() / 1000.0, UTC)
