"""`vt.tune` and `virtuoso tune` on a small market: what they write, how they resume, and what they refuse."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import virtuoso as vt
from virtuoso.cli import main
from virtuoso.errors import ConfigError
from virtuoso.research.tracking.experiments import FOLDER, TrialLedger
from virtuoso.research.tuning.estimate import Estimate, duration
from virtuoso.research.tuning.result import FILES
from virtuoso.research.tuning.study import Study
from virtuoso.venues.simulator import simulate, write_archive

STUDY = """\
market: {symbols: [BTCUSDT], timeframe: 1h}
search:
  weights: [faces]
  thresholds: {enter: [2, 12], leave: [0, 0.9]}
sampler: random
trials: 24
generation: 6
least_trades: 1
walk_forward: {splits: 1, test: 12d, purge: 1d, least: 30d, least_test: 5d}
terms: {assume_funding: 0.0001, mark: last}
"""

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 50 days of a simulated market, and a study of it."""
    folder = tmp_path_factory.mktemp("market")
    write_archive(folder / "archives", simulate(["BTCUSDT"], days=50, seed=7))
    source = str(folder / "archives" / "simulated")
    assert main(["data", "import", source, "--venue", "simulated", "--data", str(folder / "data"), "-q"]) == 0
    (folder / "configs" / "studies").mkdir(parents=True)
    (folder / "configs" / "studies" / "mini.yaml").write_text(STUDY)
    (folder / "virtuoso.toml").touch()
    return folder


@pytest.fixture
def here(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    for name in ("data", "configs"):
        shutil.copytree(market / name, tmp_path / name)
    (tmp_path / "virtuoso.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def tuned(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `vt.tune("mini")`."""
    folder = tmp_path_factory.mktemp("tuned")
    for name in ("data", "configs"):
        shutil.copytree(market / name, folder / name)
    (folder / "virtuoso.toml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("virtuoso.reports.tearsheet.write.pages", lambda sheet: {"tearsheet.html": "not drawn"})
        vt.tune("mini", jobs=1, track=False)
    return folder


def result_of(home: Path, name: str = "mini") -> Path:
    return home / "experiments" / "studies" / name / "result"


class TestAStudyThatWasTuned:
    def test_lies_in_a_run_folder(self, tuned):
        folder = result_of(tuned)
        assert {file.name for file in folder.iterdir()} >= FILES
        assert (folder / "winner" / "metrics.json").is_file()
        told = json.loads((folder / "winner.json").read_bytes())
        assert told["result_hash"] == json.loads((folder / "winner" / "metrics.json").read_bytes())["result_hash"]

    def test_reproduces_its_winner_by_the_command_it_says(self, tuned, monkeypatch, capsys):
        monkeypatch.chdir(tuned)
        told = json.loads((result_of(tuned) / "winner.json").read_bytes())
        words = shlex.split(told["command"])
        assert words[:3] == ["virtuoso", "backtest", "BTCUSDT"]
        assert main([*words[1:], "--json", "--no-report", "--no-record"]) == 0
        assert json.loads(capsys.readouterr().out)["result_hash"] == told["result_hash"]

    def test_counted_every_trial(self, tuned):
        entries = TrialLedger(tuned / FOLDER).trials()
        assert sum(one.configurations for one in entries if one.command == "tune") == 24
        assert sum(one.configurations for one in entries if one.command == "backtest") == 1

    def test_is_read_when_it_is_tuned_again(self, tuned, monkeypatch):
        monkeypatch.chdir(tuned)
        before = {file: file.stat().st_mtime_ns for file in result_of(tuned).rglob("*")}
        said = []
        found = vt.tune("mini", jobs=1, say=said.append)
        assert not found.fresh
        assert "is finished" in said[0]
        assert before == {file: file.stat().st_mtime_ns for file in result_of(tuned).rglob("*")}
        assert "24 trials" in repr(found)

    def test_that_was_stopped_before_its_verdict_is_judged_when_it_is_tuned_again(self, tuned, monkeypatch):
        monkeypatch.chdir(tuned)
        file = result_of(tuned) / "verdict.json"
        before = file.read_bytes()
        file.unlink()
        found = vt.tune("mini", jobs=1, track=False)
        assert found.verdict["decision"] == json.loads(before)["decision"]

    def test_shows_its_rounds(self, tuned, monkeypatch):
        monkeypatch.chdir(tuned)
        rounds = vt.tune("mini", jobs=1, track=False).rounds
        assert rounds.index.tolist() == ["walk-1", "final"]
        assert rounds.columns.tolist() == ["trial", "in sample", "out of sample"]
        assert rounds["out of sample"].isna().tolist() == [False, True]

    def test_holds_no_path_of_this_machine(self, tuned):
        for file in result_of(tuned).iterdir():
            assert not file.is_file() or str(tuned).encode() not in file.read_bytes(), file.name

    def test_of_two_jobs_is_the_same(self, tuned, here):
        """E54: trials and winner do not depend on how many work."""
        vt.tune("mini", jobs=2, track=False)
        for name in FILES:
            assert (result_of(here) / name).read_bytes() == (result_of(tuned) / name).read_bytes(), name

    def test_draws_its_walk_forward(self, tuned, monkeypatch):
        monkeypatch.chdir(tuned)
        axes = vt.tune("mini").plot()
        assert len(axes.lines) >= 4


class TestAStudyThatCannotGoOn:
    @pytest.fixture
    def again(self, tuned, here) -> Path:
        shutil.copytree(tuned / "experiments", here / "experiments")
        return here

    def test_says_what_changed(self, again):
        file = again / "configs" / "studies" / "mini.yaml"
        file.write_text(STUDY.replace("least_trades: 1", "least_trades: 2"))
        with pytest.raises(ConfigError, match=r"least_trades was 1, is 2.*anyway=True.*mini-2"):
            vt.tune("mini")

    def test_says_that_the_seed_changed(self, again):
        with pytest.raises(ConfigError, match="seed was 0, is 1"):
            vt.tune("mini", seed=1)

    def test_says_that_the_data_changed(self, again):
        told = again / "experiments" / "studies" / "mini" / "identity.json"
        told.write_text(told.read_text().replace(json.loads(told.read_text())["data"].popitem()[1], "f" * 64))
        with pytest.raises(ConfigError, match=r"data of all BTCUSDT simulated was ffffffffffff, is "):
            vt.tune("mini")

    def test_says_that_code_changed(self, again):
        told = again / "experiments" / "studies" / "mini" / "identity.json"
        told.write_text(told.read_text().replace(json.loads(told.read_text())["code"], "f" * 64))
        with pytest.raises(ConfigError, match="code of the components was ffffffffffff"):
            vt.tune("mini")

    def test_says_which_setting_changed(self, again):
        with pytest.raises(ConfigError, match=r"signals\.min_coverage was 0\.4, is 0\.6"):
            vt.tune("mini", settings=vt.Settings.load(overrides={"signals.min_coverage": 0.6}))

    def test_begins_another_one_anyway(self, again):
        found = vt.tune("mini", seed=1, anyway=True, jobs=1, track=False)
        assert found.study.name == "mini-2"
        told = json.loads((result_of(again, "mini-2") / "config.json").read_bytes())
        assert told["came_from"] == "mini"
        assert told["changed"] == ["seed was 0, is 1"]
        assert not vt.tune("mini", seed=1, anyway=True, jobs=1, track=False).fresh  # the same one, not a third

    def test_takes_more_trials(self, again):
        found = vt.tune("mini", trials=30, jobs=1, track=False)
        assert found.fresh
        assert found.n_trials == 30


class TestADryRun:
    def test_says_what_it_costs_and_writes_nothing(self, here):
        before = sorted(here.rglob("*"))
        cost = vt.tune("mini", dry_run=True, jobs=1)
        assert isinstance(cost, Estimate)
        assert (cost.trials, cost.rounds) == (24, 2)
        assert cost.memory > 0
        assert cost.seconds > 0.0
        assert [path for path in sorted(here.rglob("*")) if "data" not in path.parts] == [
            path for path in before if "data" not in path.parts
        ]

    def test_of_what_does_not_fit_is_refused(self):
        with pytest.raises(ConfigError, match=r"needs about 100\.0 GB of memory"):
            Estimate("big", 1, 0, 1, 1, 100 * 10**9, 0, 1.0, 0.0, 1, 10**9).check()

    def test_warns_of_generations_that_teach_little(self, here):
        study = Study.read("mini").changed(sampler="cmaes", generation=12)
        assert any("would teach it more" in line for line in vt.tune(study, dry_run=True).lines())

    def test_says_times_as_people_do(self):
        assert [duration(s) for s in (0.2, 59, 75, 3_600, 7_300)] == ["1 s", "59 s", "1 min 15 s", "1 h", "2 h 1 min"]


class TestTheCommand:
    def test_says_what_it_found_and_the_next_command(self, tuned, monkeypatch, capsys):
        monkeypatch.chdir(tuned)
        assert main(["tune", "mini"]) == 0
        out = capsys.readouterr().out
        assert "SIMULATED DATA" in out
        assert "OUT OF SAMPLE" in out
        assert "next: virtuoso backtest BTCUSDT" in out

    def test_says_it_for_programs(self, tuned, monkeypatch, capsys):
        monkeypatch.chdir(tuned)
        assert main(["tune", "mini", "--json", "-q"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["trials"] == 24
        assert len(told["result_hash"]) == 64

    def test_of_an_unknown_study_names_the_nearest(self, here, capsys):
        assert main(["tune", "minni"]) == 2
        assert "Did you mean 'mini'?" in capsys.readouterr().err

    def test_speaks_the_language_of_the_command_line(self, tuned, monkeypatch, capsys):
        monkeypatch.chdir(tuned)
        assert main(["tune", "mini", "--seed", "5"]) == 2
        assert "--anyway" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["mini", Path("configs/studies/mini.yaml")])
def test_a_study_is_taken_by_its_name_its_file_or_as_it_is(here, given):
    assert vt.tune(given, dry_run=True).trials == 24
    study = Study.read(given)
    assert vt.tune(study, dry_run=True).name == "mini"
    assert vt.tune(study.model_dump(mode="json"), dry_run=True).name == "mini"


def test_what_is_no_study_is_refused():
    with pytest.raises(TypeError, match="was a int"):
        vt.tune(3)


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on_as_if_nothing_had_been(tuned, here):
    """kill -9 of the real command, then the same command: every file of the result is that of an undisturbed study."""
    journal = here / "experiments" / "studies" / "mini" / "journal.log"
    words = [sys.executable, "-m", "virtuoso.cli", "tune", "mini", "-j", "1", "--no-track", "-q"]
    child = subprocess.Popen(words, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300.0
    while child.poll() is None and time.monotonic() < end:
        if journal.is_file() and journal.read_bytes().count(b'"op_code":6') >= 6:
            child.kill()
            break
        time.sleep(0.002)
    child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not (result_of(here) / "winner.json").exists()
    found = vt.tune("mini", jobs=1, track=False)
    assert found.fresh
    for name in FILES:
        assert (result_of(here) / name).read_bytes() == (result_of(tuned) / name).read_bytes(), name
