"""A study in MLflow: one run, a child for each of its best trials and for what was promoted of it, never one a trial.

The run holds what the study found (its result folder, all trials as one Parquet file), figures once a generation, and
`plots.html`. A nested run a trial costs 20 to 80 ms, which is more than the trial; the whole of this costs seconds.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.errors import NoDataError
from virtuoso.files.atomic import Disk
from virtuoso.research.tracking.experiments import sharpes
from virtuoso.research.tracking.mlflow import (
    STUDIES,
    Store,
    TrackedRun,
    Untracked,
    code_tags,
    flat,
    open_store,
    write_backtest,
)
from virtuoso.research.tuning.objective import OBJECTIVES
from virtuoso.runs.schema import CONFIG, PROVENANCE, RESULT_HASH, SUMMARY, TRIALS, VERDICT
from virtuoso.runs.schema import WINNER as WINNER_JSON
from virtuoso.types import Array

RESULT, WINNER, WALK_FORWARD = "result", "winner", "walk_forward.parquet"
FINAL, COMPLETE = "final", "complete"
BEST = 5
"""Trials of the last round that get a run of their own."""
TRACKED = "tracking.json"
"""In the folder of a study: where its run is, for what is promoted later."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyFolder:
    """What the folder of a finished study says.

    Attributes
    ----------
    folder : Path
        Of the study; `result/` lies in it.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """The folder of its result."""
        return self.folder / RESULT

    def facts(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the result; nothing where it is not there."""
        file = self.home / name
        found: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
        return found

    @cached_property
    def config(self) -> dict[str, Any]:
        """Study, names of the space, and what is in force."""
        return self.facts(CONFIG)

    @cached_property
    def study(self) -> dict[str, Any]:
        """The study as it was read."""
        return dict(self.config["study"])

    @cached_property
    def objectives(self) -> list[str]:
        """Names of the objectives."""
        return list(self.study["objectives"])

    @property
    def directions(self) -> list[str]:
        """Whether each objective is to be large or small."""
        return [OBJECTIVES[name].direction for name in self.objectives]

    @cached_property
    def trials(self) -> dict[str, np.ndarray]:
        """Columns of `trials.parquet`."""
        return _columns(self.home / TRIALS)

    @cached_property
    def values(self) -> Array:
        """Values of the objectives, shape (n_trials, n_objectives); NaN where a trial has none."""
        heads = ["value"] if len(self.objectives) == 1 else [f"value_{name}" for name in self.objectives]
        return np.column_stack([self.trials[name].astype(np.float64) for name in heads])

    @property
    def names(self) -> list[str]:
        """Names of the space: columns of the trials."""
        return list(self.config["names"])

    def best(self, rows: np.ndarray, n: int) -> list[int]:
        """Return the best of some rows by the first objective, the best first."""
        sign = 1.0 if self.directions[0] == "maximize" else -1.0
        of = self.values[rows, 0] * sign
        order = rows[np.argsort(-of, kind="stable")]
        return [int(row) for row in order if math.isfinite(self.values[row, 0])][:n]

    @cached_property
    def final(self) -> np.ndarray:
        """Rows of the last round that have values."""
        return np.flatnonzero((self.trials["round"] == FINAL) & (self.trials["state"] == COMPLETE))


def _columns(file: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    return {name: table[name].to_numpy() for name in table.column_names}


def track_study(folder: Path, uri: str, root: Path, secrets: Collection[str] = ()) -> TrackedRun:
    """Write a finished study to MLflow; where that cannot be, say why.

    Parameters
    ----------
    folder : Path
        Of the study.
    uri : str
        The store, see `mlflow.open_store`.
    root : Path
        Of the project.
    secrets : collection of str

    Returns
    -------
    TrackedRun
        The parent run.

    Raises
    ------
    NoDataError
        The study has no result.
    """
    begun, told = time.monotonic(), StudyFolder(Path(folder))
    if not (told.home / TRIALS).is_file():
        raise NoDataError(f"{folder} holds no result of a study. Run it: virtuoso tune {Path(folder).name}")
    try:
        with open_store(uri, root, secrets) as store:
            run_id = _write(store, told)
            found = TrackedRun(run_id, STUDIES, str(told.study["name"]), store.shown)
            Disk().write(told.folder / TRACKED, json.dumps({"run_id": run_id, "store": store.shown}).encode())
    except Untracked as reason:
        log.warning("not tracked", extra={"reason": str(reason)})
        found = TrackedRun(experiment=STUDIES, reason=str(reason))
    return TrackedRun(found.run_id, found.experiment, found.name, found.store, found.reason, time.monotonic() - begun)


def _write(store: Store, told: StudyFolder) -> str:
    """Write the parent, then its children."""
    files = {told.home: RESULT}
    for name in ("study.yaml", "identity.json"):
        if (told.folder / name).is_file():
            files[told.folder / name] = ""
    parent = store.write(
        STUDIES,
        str(told.study["name"]),
        parameters=dict(flat(told.study)) | {"names": len(told.names)},
        figures=dict(_figures(told)),
        tags={**_tags(told), **code_tags(store.root), "mlflow.note.content": _note(told)},
        steps=list(_generations(told)),
        files=files,
        data={"study": of} if (of := told.facts(PROVENANCE).get("data digest")) else {},
    )
    chosen = int(told.facts(WINNER_JSON).get("trial", -1))
    for row in told.best(told.final, BEST):
        if int(told.trials["number"][row]) != chosen:
            _write_trial(store, told, row, parent)
    if (told.home / WINNER).is_dir():
        write_backtest(
            store, told.home / WINNER, experiment=STUDIES, parent=parent,
            tags={"study": told.study["name"], "trial": chosen, "winner": "true"},
        )  # fmt: skip
    return parent


def _write_trial(store: Store, told: StudyFolder, row: int, parent: str) -> None:
    """Write one of the best trials."""
    trials, number = told.trials, int(told.trials["number"][row])
    figures = {name: float(trials[name][row]) for name in trials if name.startswith(("value", "in_", "out_"))}
    figures |= {name: float(trials[name][row]) for name in ("trades", "turnover") if name in trials}
    store.write(
        STUDIES,
        f"{told.study['name']}-trial-{number}",
        parameters={name: float(trials[name][row]) for name in told.names},
        figures=figures,
        tags={"study": told.study["name"], "trial": number, "round": FINAL,
              "simulated": str(bool(told.config.get("simulated"))).lower()},
        parent=parent,
    )  # fmt: skip


def _figures(told: StudyFolder) -> Iterator[tuple[str, float]]:
    """Give what is reported of a study: out of sample first, then how much was tried."""
    walked = _columns(told.home / WALK_FORWARD)
    for name in ("return", "untuned", "buy_and_hold"):
        days = walked[name].astype(np.float64)
        if len(days):
            yield f"out_of_sample.sharpe.{name}", float(sharpes(days[:, None])[0] * math.sqrt(DAYS_A_YEAR))
            yield f"out_of_sample.growth.{name}", float(np.prod(1.0 + days) - 1.0)
    yield "trials", float(len(told.trials["number"]))
    for state in dict.fromkeys(told.trials["state"].tolist()):
        yield f"trials.{state}", float((told.trials["state"] == state).sum())
    for name, values in (told.facts(WINNER_JSON).get("values") or {}).items():
        yield f"in_sample.{name}", math.nan if values is None else float(values)


def _generations(told: StudyFolder) -> Iterator[tuple[int, Mapping[str, float]]]:
    """Give once a generation: trials so far, the best value so far in its round, and that trial out of sample."""
    trials, first = told.trials, told.objectives[0]
    step = 0
    for name in dict.fromkeys(trials["round"].tolist()):
        of_round = trials["round"] == name
        for generation in np.unique(trials["generation"][of_round]):
            rows = np.flatnonzero(of_round & (trials["generation"] <= generation) & (trials["state"] == COMPLETE))
            best = told.best(rows, 1)
            figures = {"trials_told": float((of_round & (trials["generation"] <= generation)).sum())}
            if best:
                figures[f"best.{name}.{first}"] = float(told.values[best[0], 0])
                outside = trials.get(f"out_{first}")
                figures[f"best_out_of_sample.{name}.{first}"] = math.nan if outside is None else float(outside[best[0]])
            yield step, figures
            step += 1


def _tags(told: StudyFolder) -> dict[str, Any]:
    source, won, judged = told.facts(PROVENANCE), told.facts(WINNER_JSON), told.facts(VERDICT)
    return {
        RESULT_HASH: won.get(RESULT_HASH, ""),
        "simulated": str(bool(told.config.get("simulated"))).lower(),
        "verdict": judged.get("decision") or judged.get("verdict") or "not judged",
        "seed": told.study.get("seed", ""),
        "winner": won.get("trial", ""),
        **source,
    }


def _note(told: StudyFolder) -> str:
    """What the run's page shows first."""
    file = told.home / SUMMARY
    said = file.read_text(encoding="utf-8")[:4_000] if file.is_file() else ""
    made = "**SIMULATED DATA**\n\n" if told.config.get("simulated") else ""
    return f"{made}```\n{said.rstrip()}\n```\n"


def track_promotion(
    folder: Path, written: Path, uri: str, root: Path, secrets: Collection[str] = (), *, forced: bool = False
) -> TrackedRun:
    """Write what was promoted of a study as a child of its run; where that cannot be, say why.

    Parameters
    ----------
    folder : Path
        Of the study.
    written : Path
        The file with its certificate, such as `configs/weights/NAME.yaml`.
    uri, root, secrets
        As for `track_study`.
    forced : bool
        Whether it was promoted although the gate refused it.
    """
    told = StudyFolder(Path(folder))
    file = told.folder / TRACKED
    parent = str(json.loads(file.read_bytes())["run_id"]) if file.is_file() else ""
    tags = {"study": told.study["name"], "promoted": written.stem, "forced": str(forced).lower()}
    try:
        with open_store(uri, root, secrets) as store:
            if (told.home / WINNER).is_dir():
                run_id = write_backtest(store, told.home / WINNER, experiment=STUDIES, parent=parent, tags=tags)
            else:
                run_id = store.write(
                    STUDIES, f"{told.study['name']}-promoted", parameters={}, figures={}, tags=tags, parent=parent
                )
            store.client.log_artifact(run_id, str(written), "promoted")
            return TrackedRun(run_id, STUDIES, written.stem, store.shown)
    except Untracked as reason:
        log.warning("not tracked", extra={"reason": str(reason)})
        return TrackedRun(experiment=STUDIES, reason=str(reason))
