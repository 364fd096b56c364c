"""Runs in MLflow: what a run folder says, written once, by one writer, and nothing that is secret.

1. `open_store` opens a store. A fresh one is migrated under a lock: two that open it at once race in the migrations. In
   a SQLite store artifacts lie in `experiments/artifacts` of the project, and follow the project where it moves.
2. A run is made from its folder alone (runs/schema.py), so that a backtest, the winner of a study and what was promoted
   look alike. NaN and infinity are left out: MLflow would show them as numbers.
3. A store that is broken or out of reach loses nothing: `Untracked` says why, and the run goes on.
4. Nothing secret leaves: values of settings' secrets and of variables that are called like one are stars in every text,
   and a file that holds one is not uploaded. No command line and no user name is written.

Optuna's and MLflow's own ways are not used where they cost a run a trial: a study is one run, its best few are its
children, and all trials are one Parquet file (studies.py).
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import socket
import sqlite3
import subprocess
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from virtuoso.clock import Env
from virtuoso.errors import LockedError, printable
from virtuoso.files.atomic import Disk, writer_lock
from virtuoso.runs.read import RunData, read_run
from virtuoso.runs.schema import CONFIG, HONESTY, PROVENANCE, RESULT_HASH, decider_words

if TYPE_CHECKING:
    from mlflow import MlflowClient

BACKTESTS, STUDIES = "virtuoso/backtest", "virtuoso/tune"
"""Experiments."""
ARTIFACTS = Path("experiments") / "artifacts"
"""Of a SQLite store, below the root of the project."""
RUN_FOLDER = "run"
"""Artifact that holds the run folder."""
SQLITE = "sqlite:///"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Of our experiments: MLflow's page shows runs with their figures, and nothing of language models."""
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
KNOCKED = 10.0
"""Seconds until a server must have answered."""
WAITED = 300.0
"""Seconds that a store is waited for while another process opens it for the first time."""
BATCH, LONGEST_PARAMETER, LONGEST_TAG = 100, 6_000, 8_000
"""Of MLflow: parameters and tags a call, characters of one."""
COMPARED = ("total_return", "cagr", "sharpe", "max_drawdown")
"""Figures of what a run is compared with; of the run itself all are written."""
SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE", re.IGNORECASE)
SHORTEST_SECRET = 6
PASSWORD_IN_URL = re.compile(r"(://[^/@\s:]*:)[^@\s/]+@")
STARS = "********"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_\-. :/]")
SURROUNDINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOG_UV_FILES": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
"""Always: nothing is told to anybody, no tool is run, and no pickle is ever loaded."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""Unless the user says otherwise: a server that is down must not hold up a run for minutes."""

log = logging.getLogger(__name__)


class Untracked(Exception):
    """Why a run is not in MLflow: a state of the run, never an error that ends it."""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run in MLflow, or why it is not there.

    Attributes
    ----------
    run_id, experiment, name : str
        Empty `run_id` where it is not there.
    store : str
        Where it is, without a password.
    reason : str
        Why it is not there; empty where it is.
    seconds : float
        That tracking took.
    """

    run_id: str = ""
    experiment: str = ""
    name: str = ""
    store: str = ""
    reason: str = ""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """What is said of it."""
        if self.reason:
            return f"not tracked: {self.reason}"
        return f"tracked: run {self.run_id[:8]} of {self.experiment} in {self.store}"

    def told(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {"run_id": self.run_id or None, "experiment": self.experiment, "name": self.name, "store": self.store,
                "reason": self.reason or None}  # fmt: skip


@dataclass(frozen=True)
class Store:
    """An open tracking store.

    Attributes
    ----------
    client : mlflow.MlflowClient
    root : Path
        Of the project.
    shown : str
        Its address without a password.
    secrets : tuple of str
        Values that nothing may hold.
    """

    client: MlflowClient = field(repr=False)
    root: Path
    shown: str
    secrets: tuple[str, ...] = field(repr=False, default=())
    is_local: bool = True

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if it is not there; one that was deleted in the UI is brought back."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            home = (self.root / ARTIFACTS / name.replace("/", "-")).as_uri() if self.is_local else None
            return str(self.client.create_experiment(name, artifact_location=home, tags=KIND))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def write(
        self,
        experiment: str,
        name: str,
        *,
        parameters: Mapping[str, Any],
        figures: Mapping[str, float],
        tags: Mapping[str, Any],
        steps: Sequence[tuple[int, Mapping[str, float]]] = (),
        files: Mapping[Path, str] | None = None,
        data: Mapping[str, str] | None = None,
        parent: str = "",
    ) -> str:
        """Write one run, whole, and return its id.

        Parameters
        ----------
        experiment, name : str
        parameters : mapping
            Flat, by dotted path.
        figures : mapping of str to float
            Those that are not finite are left out.
        tags : mapping
        steps : sequence of (int, mapping of str to float)
            Figures over time.
        files : mapping of Path to str
            Files or folders, and where among the artifacts they go.
        data : mapping of str to str
            Fingerprint of each instrument's data.
        parent : str
            Id of the run that it is a part of.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = Env().now_ms()
        told = {**tags, **({"mlflow.parentRunId": parent} if parent else {})}
        run = self.client.create_run(self.experiment(experiment), run_name=name)
        run_id, state = str(run.info.run_id), "FAILED"
        try:
            numbers = [Metric(_name(key), value, now, 0) for key, value in figures.items() if math.isfinite(value)]
            for step, of_step in steps:
                numbers += [Metric(_name(k), value, now, step) for k, value in of_step.items() if math.isfinite(value)]
            texts = [Param(_name(key), self.clean(value)[:LONGEST_PARAMETER]) for key, value in parameters.items()]
            marks = [RunTag(_name(key), self.clean(value)[:LONGEST_TAG]) for key, value in told.items()]
            for one in _batches(texts):
                self.client.log_batch(run_id, params=one)
            for one in _batches(marks):
                self.client.log_batch(run_id, tags=one)
            for one in _batches(numbers, 10 * BATCH):
                self.client.log_batch(run_id, metrics=one)
            self._log_data(run_id, data or {})
            for path, place in (files or {}).items():
                self._upload(run_id, path, place)
            state = "FINISHED"
        finally:
            self.client.set_terminated(run_id, state)
        return run_id

    def _log_data(self, run_id: str, data: Mapping[str, str]) -> None:
        """Name the data as MLflow's own data sets: their fingerprints stand in its columns."""
        from mlflow.entities import Dataset, DatasetInput

        source = json.dumps({"lake": "virtuoso"})
        named = [DatasetInput(Dataset(self.clean(name), digest[:36], "local", source)) for name, digest in data.items()]
        if named:
            self.client.log_inputs(run_id, datasets=named)

    def _upload(self, run_id: str, path: Path, place: str) -> None:
        """Upload a file, or a folder file by file; one that holds a secret stays behind, and that is said."""
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_file():
                continue
            at = "/".join(part for part in (place, _below(file, path)) if part)
            if self._holds_secret(file):
                log.warning("not uploaded, it holds a secret", extra={"file": str(file)})
                continue
            self.client.log_artifact(run_id, str(file), at or None)

    def _holds_secret(self, file: Path) -> bool:
        content = file.read_bytes()
        return any(secret.encode() in content for secret in self.secrets)

    def clean(self, value: object) -> str:
        """Return a value as text, with stars in place of what is secret."""
        return masked(str(value), self.secrets)


def _below(file: Path, path: Path) -> str:
    """Return the folder of a file below another one."""
    return file.parent.relative_to(path).as_posix().removeprefix(".") if path.is_dir() else ""


def _name(text: str) -> str:
    """Return a name that MLflow takes."""
    return _NOT_IN_NAMES.sub("_", text)[:250]


def _batches(many: Sequence[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    return (many[k : k + size] for k in range(0, len(many), size))


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text with stars in place of secrets and of passwords in addresses."""
    for secret in secrets:
        text = text.replace(secret, STARS)
    return PASSWORD_IN_URL.sub(rf"\g<1>{STARS}@", text)


def known_secrets(given: Iterable[str] = (), env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return values that must not be written anywhere, the longest first: those given, and of variables called so.

    Parameters
    ----------
    given : iterable of str
    env : mapping, optional
        `os.environ` if absent.
    """
    called = [value for name, value in (os.environ if env is None else env).items() if SECRET_NAME.search(name)]
    found = {value.strip() for value in (*given, *called)}
    return tuple(sorted((one for one in found if len(one) >= SHORTEST_SECRET), key=lambda one: (-len(one), one)))


# --- the store ---


@contextmanager
def open_store(uri: str, root: Path, secrets: Collection[str] = ()) -> Iterator[Store]:
    """Open a tracking store, fresh or not.

    Parameters
    ----------
    uri : str
        `sqlite:///experiments/tracking.db`, below the root; a database or a server by URL, its password filled in.
    root : Path
        Of the project.
    secrets : collection of str
        Values that nothing may hold, beside those of the environment.

    Raises
    ------
    Untracked
        It cannot be opened, or what was written in the block failed: with the reason, without a password.
    """
    kept = known_secrets((*secrets, unquote(urlsplit(uri).password or ""), urlsplit(uri).password or ""))
    try:
        with _quiet():
            yield _opened(uri, root.absolute(), kept)
    except Untracked:
        raise
    except Exception as fault:  # whatever a store raises: the run is more than its record
        said = masked(f"{type(fault).__name__}: {fault}", kept)
        raise Untracked(f"{masked(uri, kept)} cannot be written: {printable(' '.join(said.split()), 300)}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's warnings and its story of migrations away from the terminal, and its surroundings as we want them.

    The environment is that of the process; MLflow reads it whenever it pleases, so it stays.
    """
    os.environ.update(SURROUNDINGS)
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _opened(uri: str, root: Path, secrets: tuple[str, ...]) -> Store:
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # importing them sets the levels of their loggers
        logging.getLogger(name).setLevel(logging.ERROR)
    is_local = urlsplit(uri).scheme.partition("+")[0] in DATABASES
    place, file = uri, None
    if uri.startswith(SQLITE):
        file = root / uri.removeprefix(SQLITE)  # an absolute path stays as it is
        place = f"{SQLITE}{file.as_posix()}"
        Disk().make_folder(file.parent)
    _knock(uri)
    with _alone(root if file is None else file.parent, is_local):
        client = MlflowClient(tracking_uri=place, registry_uri=place)
        client.search_experiments(max_results=1)  # the first question migrates
        if file is not None:
            _follow(file, root)
    return Store(client, root, masked(uri, secrets), secrets, is_local)


def _knock(uri: str) -> None:
    """Ask whether anybody answers at an address: MLflow would try a database for minutes."""
    parts = urlsplit(uri)
    port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), timeout=KNOCKED).close()


@contextmanager
def _alone(folder: Path, needed: bool) -> Iterator[None]:
    """Hold the lock of who opens a store; wait for another one."""
    if not needed:
        yield
        return
    lock = folder / ".tracking.lock" if folder.name == "experiments" else folder / "experiments" / ".tracking.lock"
    Disk().make_folder(lock.parent)
    until = time.monotonic() + WAITED
    while True:
        try:
            with writer_lock(lock):
                yield
                return
        except LockedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _follow(file: Path, root: Path) -> None:
    """Let artifacts be found where the project lies now: MLflow keeps absolute places, and a project may be moved."""
    home = (root / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(file)) as store, store:
        rows = store.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
        for number, name, place in rows:
            wanted = f"{home}/{str(name).replace('/', '-')}"
            if str(name) not in (BACKTESTS, STUDIES) or place == wanted:
                continue
            store.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (wanted, number))
            store.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ?",
                (wanted, len(place) + 1, number),
            )


# --- a run folder as a run ---


def write_backtest(
    store: Store, folder: Path, *, experiment: str = BACKTESTS, parent: str = "", tags: Mapping[str, Any] | None = None
) -> str:
    """Write the run folder of a backtest as a run, and return its id.

    Parameters
    ----------
    store : Store
    folder : Path
    experiment, parent : str
        Of a study's winner, those of the study.
    tags : mapping, optional
        Beside its own.
    """
    run = read_run(folder)
    return store.write(
        experiment,
        run_name(run),
        parameters=dict(flat(_parameters(run))),
        figures=dict(_figures(run)),
        tags={**_tags(run), **code_tags(store.root), **(tags or {}), "mlflow.note.content": _note(run)},
        files={folder: RUN_FOLDER},
        data=_data(run),
        parent=parent,
    )


def run_name(run: RunData) -> str:
    """Return `rule-BTCUSDT-5m-60de2b38a6`: what decided, on what, and the digits by which `virtuoso runs` finds it."""
    source = run.fact(PROVENANCE)
    first, *others = str(source.get("instruments", "")).split(", ")
    decided = str((run.fact(CONFIG).get("decided_by") or {}).get("name", "rule")).replace(" ", "_")
    traded = first.partition(" ")[0] + (f"+{len(others)}" if others else "")
    return "-".join((decided, traded, str(source.get("timeframe", "")), run.name.rpartition("_")[2]))


def _parameters(run: RunData) -> dict[str, Any]:
    config = run.fact(CONFIG)
    return {name: config[name] for name in ("decided_by", "terms", "assumed", "settings") if config.get(name)}


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give the values of a tree by dotted path; of a list as JSON."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _figures(run: RunData) -> Iterator[tuple[str, float]]:
    """Give all figures of the strategy, and the first ones of what it is compared with."""
    yield from run.figures_of("strategy").items()
    for name in ("optimistic", "buy_and_hold", "inverted"):
        yield from ((f"{name}.{key}", value) for key, value in run.figures_of(name).items() if key in COMPARED)
    halted = run.figures.get("halt") or {}
    yield "halt_reached", float(bool(halted.get("reached")))


def _data(run: RunData) -> dict[str, str]:
    """Fingerprint of the data of each instrument."""
    told = run.fact(PROVENANCE).items()
    return {name.removeprefix("data ").replace(" ", "."): str(of) for name, of in told if name.startswith("data ")}


def _tags(run: RunData) -> dict[str, Any]:
    source, judged = run.fact(PROVENANCE), run.fact(HONESTY)
    named = ("instruments", "timeframe", "from", "to", "seed", "prism", "config", "code", "stage", "intents")
    return {
        RESULT_HASH: run.result_hash,
        "simulated": str(run.is_simulated).lower(),
        "verdict": judged.get("decision") or "not judged",
        "run": run.name,
        **{name: source[name] for name in named if name in source},
        **{f"data.{name}": of for name, of in _data(run).items()},
        **{name.replace(" ", "."): of for name, of in source.items() if name.startswith("version ")},
    }


def _note(run: RunData) -> str:
    """What the run's page shows first."""
    made = "**SIMULATED DATA**\n\n" if run.is_simulated else ""
    decided = decider_words(run.fact(CONFIG).get("decided_by") or {})
    return f"{made}{decided}\n\n```\n{run.summary[: LONGEST_TAG // 2]}\n```\n".lstrip()


def code_tags(root: Path) -> dict[str, str]:
    """Return the commit of the project, whether anything differs from it, and the digest of DVC's lock; what is there.

    Parameters
    ----------
    root : Path
    """
    commit, changed = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")
    found = {} if not commit else {"git_sha": commit, "git_dirty": str(bool(changed)).lower()}
    lock = root / "dvc.lock"
    if lock.is_file():
        import hashlib

        found["dvc_lock"] = hashlib.md5(lock.read_bytes(), usedforsecurity=False).hexdigest()
    return found


def _git(root: Path, *arguments: str) -> str:
    """Return what git says; nothing where there is none."""
    if not (root / ".git").exists():
        return ""
    try:
        told = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()


def track_run(folder: Path, uri: str, root: Path, secrets: Collection[str] = ()) -> TrackedRun:
    """Write the run folder of a backtest to MLflow; where that cannot be, say why.

    Parameters
    ----------
    folder : Path
    uri : str
    root : Path
        Of the project.
    secrets : collection of str

    Returns
    -------
    TrackedRun
    """
    begun = time.monotonic()
    try:
        with open_store(uri, root, secrets) as store:
            run_id = write_backtest(store, folder)
            name = run_name(read_run(folder))
            return TrackedRun(run_id, BACKTESTS, name, store.shown, seconds=time.monotonic() - begun)
    except Untracked as reason:
        log.warning("not tracked", extra={"reason": str(reason)})
        return TrackedRun(experiment=BACKTESTS, reason=str(reason), seconds=time.monotonic() - begun)
