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
NEEDED = (".dvc/config", ".dvcignore", "dvc.yaml", "configs", "pipelines", "virtuoso")


class Project:
    """A copy of the checkout in which DVC may do as it likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in NEEDED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
            else:
                shutil.copy(source, target)
        local = f"[core]\n    no_scm = true\n    site_cache_dir = {folder / 'site'}\n"
        (folder / ".dvc" / "config.local").write_text(local)
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params["symbols"] = ["BTCUSDT"]
        self.params["simulate"] |= {"days": 40, "trade_days": 2, "book_days": 1}

    def repro(self) -> str:
        """What `dvc repro` prints."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params))
        env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(
            [BIN / "dvc", "repro"],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    if not (BIN / "dvc").exists():
        pytest.skip("dvc is not installed; it comes with the extra 'dev'")
    return Project(tmp_path_factory.mktemp("project"))


def stages_run(printed: str) -> list[str]:
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]


@pytest.mark.slow
def test_a_research_day_runs_from_nothing_and_only_what_is_out_of_date_runs_again(project):
    assert stages_run(project.repro()) == ["simulate", "import", "score@BTCUSDT", "backtest@BTCUSDT"]

    data = project.folder / project.params["data"]
    held = json.loads((data / "imported.json").read_text())
    bars, *events = held
    assert (bars["symbol"], bars["timeframe"], bars["bars"] + bars["missing"]) == ("BTCUSDT", "1m", 40 * 1_440)
    assert {one["kind"] for one in events} == {
        *("trades", "depth", "open_interest", "ratios", "funding", "prices", "liquidations", "instruments"),
    }  # fmt: skip
    assert len({one["fingerprint"] for one in held}) == len(held)
    assert pq.read_metadata(data / "scores" / "BTCUSDT.parquet").num_rows == 40 * 288
    assert json.loads((data / "backtests" / "BTCUSDT" / "metrics.json").read_text())["counts"]["intents"] > 0

    assert stages_run(project.repro()) == []

    project.params["backtest"]["fees"] = 0.001
    assert stages_run(project.repro()) == ["backtest@BTCUSDT"]


def test_the_lake_belongs_to_no_stage():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outs = [out for stage in stages for out in stage.get("do", stage)["outs"]]
    assert outs
    assert not [out for out in outs if "lake" in out]


@pytest.mark.parametrize("script", sorted((ROOT / "pipelines").glob("*.py")), ids=lambda path: path.name)
def test_a_stage_is_a_few_lines_around_a_verb(script):
    assert 10 <= len(script.read_text().splitlines()) <= 40
