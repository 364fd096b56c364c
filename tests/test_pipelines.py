"""The research day as DVC stages: it runs offline from nothing, and runs nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
NEEDED = (".dvc/config", ".dvcignore", ".gitignore", "dvc.yaml", "configs", "pipelines", "virtuoso")
DAYS = 60


class Project:
    """A copy of the checkout, under git, in which DVC may do as it likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in NEEDED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
            else:
                shutil.copy(source, target)
        local = f"[core]\n    site_cache_dir = {folder.parent / 'site'}\n"
        (folder / ".dvc" / "config.local").write_text(local)
        (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params["symbols"] = ["BTCUSDT"]
        self.params["simulate"] |= {"days": DAYS, "trade_days": 2, "book_days": 1}
        self.params["tune"] |= {"trials": 16}
        self.write()
        self.git("init", "--quiet")
        self.commit()

    @property
    def data(self) -> Path:
        return self.folder / self.params["data"]

    def write(self) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params))

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        return subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "as it is")

    def dvc(self, *words: str) -> str:
        """What a command of DVC prints."""
        env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(
            [BIN / "dvc", *words],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def held(self) -> dict[str, bytes]:
        """What nobody can make again: every file of the lake, and a recording beside it."""
        paths = [*(self.data / "lake").rglob("*"), *(self.folder / "data" / "raw").rglob("*")]
        kept = [path for path in paths if path.is_file() and "derived" not in path.parts and path.name != "lock"]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    if not (BIN / "dvc").exists():
        pytest.skip("dvc is not installed; it comes with the extra 'dev'")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Project(tmp_path_factory.mktemp("project") / "checkout")


def stages_run(printed: str) -> list[str]:
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]


@pytest.mark.slow
def test_a_research_day_runs_from_nothing_and_only_what_is_out_of_date_runs_again(project):
    assert stages_run(project.dvc("repro")) == [
        "simulate", "import", "score@BTCUSDT", "backtest@BTCUSDT", "tune", "report@BTCUSDT",
    ]  # fmt: skip
    data = project.data
    held = json.loads((data / "imported.json").read_text())
    bars, *events = held
    assert (bars["symbol"], bars["timeframe"], bars["bars"] + bars["missing"]) == ("BTCUSDT", "1m", DAYS * 1_440)
    assert {one["kind"] for one in events} == {
        *("trades", "depth", "open_interest", "ratios", "funding", "prices", "liquidations", "instruments"),
    }  # fmt: skip
    assert len({one["fingerprint"] for one in held}) == len(held)
    assert pq.read_metadata(data / "scores" / "BTCUSDT.parquet").num_rows == DAYS * 288
    whole = json.loads((data / "backtests" / "BTCUSDT" / "metrics.json").read_text())
    assert whole["counts"]["intents"] > 0
    small = json.loads((data / "metrics" / "backtest_BTCUSDT.json").read_text())
    assert small["result_hash"] == whole["result_hash"]
    assert (data / "reports" / "BTCUSDT" / "tearsheet.html").is_file()
    study = project.folder / "experiments" / "studies" / "pipeline" / "result"
    tuned = json.loads((data / "metrics" / "tune.json").read_text())
    assert tuned["trials"] == 16
    assert json.loads((study / "winner.json").read_text())["result_hash"] == tuned["result_hash"]

    assert stages_run(project.dvc("repro")) == []
    project.commit()
    assert project.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_no_command_of_dvc_deletes_what_was_imported_or_recorded(project):
    project.dvc("repro")
    recording = project.folder / "data" / "raw" / "binance" / "2026-11-30.ndjson"
    recording.parent.mkdir(parents=True)
    recording.write_text("a message that comes once\n")
    (project.data / "lake" / "trades" / "from-another-import.parquet").write_bytes(b"rows of another import")
    before = project.held()
    assert len(before) > 10
    project.dvc("repro", "--force", "import")
    project.dvc("checkout", "--force")
    project.dvc("gc", "--workspace", "--force")
    project.dvc("repro", "--force", "score@BTCUSDT")
    assert project.held() == before


@pytest.mark.slow
def test_an_experiment_runs_what_its_parameter_changes_and_is_compared(project):
    project.dvc("repro")
    project.commit()
    before = project.held()
    printed = project.dvc("exp", "run", "--name", "dear", "--set-param", "backtest.fees=0.001", "backtest@BTCUSDT")
    assert stages_run(printed) == ["backtest@BTCUSDT"]
    told = json.loads(project.dvc("params", "diff", "--json"))["params.yaml"]
    assert told == {"backtest.fees": {"old": 0.0005, "new": 0.001, "diff": 0.0005}}
    fees = json.loads(project.dvc("metrics", "diff", "--json"))["diff"]["data/pipeline/metrics/backtest_BTCUSDT.json"]
    assert fees["fees"]["diff"] > 0.0
    assert "dear" in project.dvc("exp", "list")
    assert project.held() == before


def test_the_lake_belongs_to_no_stage():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outs = [out for stage in stages for kind in ("outs", "metrics") for out in stage.get("do", stage).get(kind, ())]
    assert len(outs) >= 8
    assert not [
        out for out in outs if "lake" in out or out in ("${data}", "data", "experiments", "experiments/studies")
    ]


@pytest.mark.parametrize("script", sorted((ROOT / "pipelines").glob("*.py")), ids=lambda path: path.name)
def test_a_stage_is_a_few_lines_around_a_verb(script):
    assert 10 <= len(script.read_text().splitlines()) <= 40
