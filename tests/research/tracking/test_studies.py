"""A study in a real MLflow store: one run, a child each for the best, all trials as one file, figures a generation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import virtuoso as vt
from tests.test_own_signals import market
from virtuoso import workflows
from virtuoso.errors import NoDataError
from virtuoso.research.tracking.mlflow import STUDIES, open_store
from virtuoso.research.tracking.studies import BEST, track_promotion, track_study

URI = "sqlite:///experiments/tracking.db"
NAMES = ["weights.technical", "bull_enter", "fixed"]
ROUNDS = (("walk-1", 2), ("walk-2", 2), ("final", 4))
OF_GENERATION = 8


def study_folder(root: Path, objectives: tuple[str, ...] = ("sharpe",), trials: int = OF_GENERATION) -> Path:
    """The folder of a finished study, as research/tuning/result.py writes it, small and made up."""
    random = np.random.default_rng(7)
    rows = [(name, generation, k) for name, n in ROUNDS for generation in range(n) for k in range(trials)]
    n = len(rows)
    points = {name: random.uniform(0.1, 1.0, n) for name in NAMES[:2]} | {"fixed": np.full(n, 0.5)}
    value = 2.0 - (points["weights.technical"] - 0.4) ** 2 * 9 + 0.05 * random.standard_normal(n)
    state = np.array(["complete"] * n, dtype=object)
    state[5], state[17] = "pruned", "fail"
    columns: dict = {
        "number": np.array([generation * trials + k for _, generation, k in rows]),
        "round": np.array([name for name, *_ in rows], dtype=object),
        "generation": np.array([generation for _, generation, _ in rows]), "state": state,
    }  # fmt: skip
    heads = ["value"] if len(objectives) == 1 else [f"value_{name}" for name in objectives]
    for k, (head, name) in enumerate(zip(heads, objectives, strict=True)):
        of = np.where(state == "complete", value if k == 0 else 1.0 - value * random.uniform(0.5, 1.5, n), np.nan)
        columns |= {head: of, f"in_{name}": of, f"out_{name}": of * 0.3}
    columns |= {"trades": np.full(n, 40.0), "turnover": np.full(n, 1.5), **points}
    home = root / "experiments" / "studies" / "tiny" / "result"
    home.mkdir(parents=True)
    pq.write_table(pa.table(columns), home / "trials.parquet")
    days = 0.01 * random.standard_normal(90) + 0.002
    walked = {"date": np.arange(90) * 86_400_000, "round": ["walk-1"] * 90, "return": days, "untuned": days / 2,
              "buy_and_hold": -days}  # fmt: skip
    pq.write_table(pa.table(walked), home / "walk_forward.parquet")
    final = np.flatnonzero((columns["round"] == "final") & (state == "complete"))
    best = int(final[np.argmax(columns[heads[0]][final])])
    won = {"trial": int(columns["number"][best]), "result_hash": "ab" * 32, "values": {objectives[0]: 1.5}}
    study = {"name": "tiny", "objectives": list(objectives), "seed": 5, "market": {"symbols": ["BTCUSDT"]}, "trials": n}
    files = {
        "config.json": {"simulated": True, "study": study, "names": NAMES}, "winner.json": won,
        "provenance.json": {"study": "tiny", "data digest": "cd" * 32, "code digest": "ef" * 32},
        "verdict.json": {"decision": "discard"},
    }  # fmt: skip
    for name, content in files.items():
        (home / name).write_text(json.dumps(content))
    (home / "summary.txt").write_text("StudyResult of tiny\n")
    (home.parent / "study.yaml").write_text("name: tiny\n")
    return home.parent


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("project")
    (made / "virtuoso.toml").touch()
    return made


@pytest.fixture(scope="module")
def folder(root):
    made = study_folder(root)
    frame = market()
    run = vt.backtest(frame, position=(frame.close > frame.close.rolling(20).mean()) * 1.0, record=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        workflows.save_run(run, made / "result" / "winner", report=False)
    return made


@pytest.fixture(scope="module")
def tracked(root, folder):
    return track_study(folder, URI, root)


@pytest.fixture(scope="module")
def runs(root, tracked):
    assert tracked.reason == ""
    with open_store(URI, root) as store:
        number = store.client.get_experiment_by_name(STUDIES).experiment_id
        return {one.info.run_id: one for one in store.client.search_runs([number])}


class TestTheRun:
    def test_one_parent_and_its_best(self, tracked, runs):
        runs = {name: one for name, one in runs.items() if "promoted" not in one.data.tags}  # another test's
        children = [one for one in runs.values() if one.data.tags.get("mlflow.parentRunId") == tracked.run_id]
        assert len(runs) == 1 + len(children) == 1 + BEST
        trials = pq.read_table(Path(runs[tracked.run_id].info.artifact_uri.removeprefix("file://")) / "result"
                               / "trials.parquet").to_pandas()  # fmt: skip
        final = trials[(trials["round"] == "final") & (trials["state"] == "complete")].nlargest(BEST, "value")
        assert {int(one.data.tags["trial"]) for one in children} == set(final["number"])
        winner = next(one for one in children if one.data.tags.get("winner"))
        assert int(winner.data.tags["trial"]) == final["number"].iloc[0]
        assert winner.data.tags["result_hash"]
        other = next(one for one in children if not one.data.tags.get("winner"))
        assert set(other.data.params) == set(NAMES)
        assert other.data.metrics["out_sharpe"] == pytest.approx(0.3 * other.data.metrics["value"])

    def test_what_it_says(self, tracked, runs):
        data = runs[tracked.run_id].data
        assert data.params["objectives"] == '["sharpe"]'
        assert data.params["market.symbols"] == '["BTCUSDT"]'
        assert data.tags["verdict"] == "discard"
        assert data.tags["simulated"] == "true"
        assert (data.tags["seed"], data.tags["result_hash"]) == ("5", "ab" * 32)
        assert data.tags["data digest"] == "cd" * 32
        assert data.metrics["trials"] == 64.0
        assert (data.metrics["trials.pruned"], data.metrics["trials.fail"]) == (1.0, 1.0)
        assert math.isfinite(data.metrics["out_of_sample.sharpe.return"])

    def test_figures_once_a_generation(self, root, tracked):
        with open_store(URI, root) as store:
            told = store.client.get_metric_history(tracked.run_id, "trials_told")
            best = store.client.get_metric_history(tracked.run_id, "best.final.sharpe")
        assert [one.step for one in sorted(told, key=lambda one: one.step)] == list(range(8))
        values = [one.value for one in sorted(best, key=lambda one: one.step)]
        assert values == sorted(values)
        assert len(values) == 4

    def test_its_files(self, tracked, runs):
        place = Path(runs[tracked.run_id].info.artifact_uri.removeprefix("file://"))
        assert {"trials.parquet", "winner.json", "winner", "verdict.json"} <= {
            one.name for one in (place / "result").iterdir()
        }

    def test_what_was_promoted_is_a_child(self, root, folder, tracked, tmp_path):
        written = tmp_path / "default.yaml"
        written.write_text("certificate: {}\n")
        told = track_promotion(folder, written, URI, root, forced=True)
        with open_store(URI, root) as store:
            found = store.client.get_run(told.run_id)
        assert found.data.tags["mlflow.parentRunId"] == tracked.run_id
        assert (found.data.tags["promoted"], found.data.tags["forced"]) == ("default", "true")


class TestWhatElse:
    def test_no_result(self, root, tmp_path):
        with pytest.raises(NoDataError, match="virtuoso tune"):
            track_study(tmp_path, URI, root)

    def test_a_store_out_of_reach(self, folder, root):
        told = track_study(folder, "http://127.0.0.1:9", root)
        assert "cannot be written" in told.line
