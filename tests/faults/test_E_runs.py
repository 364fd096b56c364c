"""A run that is killed: nothing shown is missing from the ledger, and half a run is never taken for a whole one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from virtuoso.cli import main
from virtuoso.venues.simulator import simulate, write_archive

ROOT = Path(__file__).resolve().parents[2]
MANY = int(os.environ.get("VIRTUOSO_KILLS", "0"))
"""Kills over score, backtest and sweep together; a few of sweeps where nobody asks for more."""

SEED = int(os.environ.get("VIRTUOSO_KILLS_SEED", "5"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project with three days of a simulated coin."""
    folder = tmp_path_factory.mktemp("killed")
    write_archive(folder / "raw", simulate(["BTCUSDT"], days=3, seed=7))
    told = ("--venue", "simulated", "--data", str(folder / "data"), "-q")
    assert main(["data", "import", str(folder / "raw" / "simulated"), *told]) == 0
    (folder / "virtuoso.toml").touch()
    (folder / "few.yaml").write_text("signals: {min_coverage: 0.05}\n")
    return folder


def killed(home: Path, seed: int, count: int, *verbs: str) -> list[dict]:
    """What was found after each kill and each run that lived, and what was left at the end."""
    command = [sys.executable, "-m", "tests.faults.run_killers", str(home), str(seed), str(count), *verbs]
    alone = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **alone}, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_E50_runs_that_are_killed(home):
    """No half run is taken for a whole one, no try is missing, nothing is left once the next run has ended."""
    verbs = ("score", "sweep", "score", "sweep", "backtest") if MANY else ("sweep",)
    found = killed(home, SEED, MANY or 10, *verbs)
    *states, end = found
    kills = [one for one in states if "lived" not in one]
    assert sum(one["killed"] for one in kills) >= len(kills) // 2
    for one in states:
        before = one["before"]
        assert one["half"] == [], one
        if one["verb"] != "score":
            assert one["runs"] - before["runs"] <= one["trials"] - before["trials"] <= 1, one
            if one.get("shown") or "lived" in one:
                assert one["trials"] == before["trials"] + 1, one
        if "lived" in one:
            assert one["code"] == 0, one
            assert one["same"], one
            assert one["verb"] == "score" or one["runs"] == before["runs"] + 1, one
    assert end["left"] == []
    if MANY:
        print(f"{len(kills)} kills, {sum(one['killed'] for one in kills)} of them before the run had ended")
