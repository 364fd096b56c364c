"""What was tried is counted: inside the verbs, in one ledger a project, before anything is shown."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.research.scenes import market, scored
from virtuoso import workflows
from virtuoso.config import Settings
from virtuoso.files.atomic import Disk
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest.judgement import honesty_facts
from virtuoso.research.tracking.experiments import FOLDER, TrialLedger, family_of
from virtuoso.research.tracking.recording import UNWANTED
from virtuoso.runs.write import is_whole

TERMS = {"assume_funding": 0.0001, "mark": "last", "data": "data"}


@pytest.fixture(scope="module")
def scores():
    """A market of one day."""
    return scored(market(7, bars=1_500))


@pytest.fixture(scope="module")
def other():
    """The same days of another symbol."""
    return scored(market(8, bars=1_500, symbol="ETHUSDT"))


@pytest.fixture
def project(working_folder):
    """A project, in which one works."""
    (working_folder / "virtuoso.toml").touch()
    return working_folder


def count(root=Path()):
    return sum(trial.configurations for trial in TrialLedger(root / FOLDER).trials())


class TestWhatIsRecorded:
    """The six ways in which tries were lost."""

    def test_from_python_as_from_the_command_line(self, scores, project):
        swept = workflows.sweep(scores, 300, **TERMS)
        assert count() == 300
        best = swept.configurations.prism(swept.chosen)
        tested = workflows.backtest(workflows.score(scores.frame, best), **TERMS)
        assert count() == 301
        for result in (swept, tested):
            assert result.recording.recorded
            assert result.recording.tried.configurations == 301  # of the sweep, too: it is judged by what is known now
        assert "301 tries on this data" in repr(tested)
        assert honesty_facts(tested, tested.recording)["recording"]["tries"] == 301

    def test_saving_records_what_no_verb_has(self, scores, project):
        result = replace(workflows.sweep(scores, 3, record=False, **TERMS))
        assert count() == 0
        result.save("run")
        assert count() == 3
        result.save("another")
        assert count() == 3

    @pytest.mark.parametrize(
        "how",
        [{"fees": 0.001}, {"leverage": 2.0}, {"halt": True}, {"slippage": 0.001}, {"cash": 5_000.0}, {"risk": 0.005},
         {"assume_funding": 0.0002}, {"seed": 1}],
        ids=lambda how: next(iter(how)),
    )  # fmt: skip
    def test_a_sweep_on_other_terms_is_another(self, scores, project, how):
        workflows.sweep(scores, 3, **TERMS)
        workflows.sweep(scores, 3, **TERMS)
        assert count() == 3
        workflows.sweep(scores, 3, **(TERMS | how))
        assert count() == 6

    @pytest.mark.parametrize("rule", ["max_age: 2h", "levels: {entry: retest}", "levels: {atr_period: 20}"])
    def test_a_sweep_by_another_rule_is_another(self, scores, project, rule):
        Path("own.yaml").write_text(f"signals:\n  {rule}\n")
        workflows.sweep(scores, 3, **TERMS)
        workflows.sweep(scores, 3, settings=Settings.load("own.yaml"), **TERMS)
        assert count() == 6

    def test_a_run_folder_that_is_there_changes_nothing(self, scores, project):
        folder, fresh = workflows.save_run(workflows.sweep(scores, 3, **TERMS))
        assert fresh
        for file in FOLDER.glob("*.json"):
            file.unlink()
        again = workflows.sweep(scores, 3, **TERMS)
        assert count() == 3
        assert workflows.save_run(again) == (folder, False)

    def test_another_working_folder_of_the_project_is_the_same_ledger(self, scores, project, monkeypatch):
        workflows.backtest(scores, **TERMS)
        (project / "notes" / "today").mkdir(parents=True)
        monkeypatch.chdir(project / "notes" / "today")
        result = workflows.backtest(scores, slippage=0.001, **TERMS)
        assert result.recording.tried.configurations == 2
        assert count(project) == 2
        assert "recorded in ../../experiments/trials" in " ".join(result.recorded_lines())

    def test_a_cross_check_shows_no_return_and_is_no_further_try(self, scores, project):
        result = workflows.backtest(scores, **TERMS)
        assert "return" not in repr(workflows.cross_check(result))
        assert count() == 1
        assert result.recording.tried.configurations == 1

    def test_the_same_market_on_another_venue_is_the_same_data(self, scores, project):
        elsewhere = scored(market(9, bars=1_500, venue="binance-usdm"))
        workflows.backtest(scores, **TERMS)
        found = workflows.backtest(elsewhere, **TERMS).recording.tried
        assert (found.configurations, found.elsewhere) == (2, 0)


class TestFamilies:
    """Whoever picks among symbols has tried as often."""

    def test_the_same_prism_on_another_symbol_counts(self, scores, other, project):
        workflows.backtest(scores, **TERMS)
        result = workflows.backtest(other, **TERMS)
        assert str(result.recording.tried) == "2 tries: 1 on this data, 1 of the same family elsewhere"

    def test_weights_are_no_other_family_and_a_component_of_ones_own_joins_it(self):
        prism = Prism.classic()
        assert family_of(prism) == family_of(prism.reweighted({"technical": 0.19, "volume": 0.10}))


class TestWhereItCannotBeWritten:
    """The run goes on, says so, and can never ship."""

    def test_a_file_in_the_way(self, scores, project):
        Path("experiments").write_text("not a folder")
        result = workflows.backtest(scores, **TERMS)
        assert not result.recording.recorded
        assert "NOT RECORDED" in repr(result)
        assert honesty_facts(result, result.recording)["recording"]["recorded"] is False

    @pytest.mark.parametrize("error", [28, 30], ids=["full", "read-only"])
    def test_a_disk_that_takes_nothing(self, scores, project, monkeypatch, error):
        def refuse(self, path, data, **how):
            raise OSError(error, os.strerror(error), str(path))

        with monkeypatch.context() as broken:
            broken.setattr(Disk, "write", refuse)
            result = workflows.backtest(scores, **TERMS)
            assert not result.recording.recorded
            assert os.strerror(error) in result.recording.reason
        assert result.recording.recorded  # it was tried again when there was room

    def test_a_ledger_that_cannot_be_read(self, scores, project):
        FOLDER.mkdir(parents=True)
        (FOLDER / "ruined.json").write_text("{")
        result = workflows.backtest(scores, **TERMS)
        assert not result.recording.recorded
        assert "ruined.json" in result.recording.reason
        (FOLDER / "ruined.json").unlink()
        assert count() == 1

    def test_one_that_was_not_to_be_recorded(self, scores, project):
        result = workflows.sweep(scores, 3, record=False, **TERMS)
        assert count() == 0
        assert (result.recording.recorded, result.recording.reason) == (False, UNWANTED)
        result.save("run")
        workflows.save_run(result)
        assert count() == 0


class TestTheProject:
    """One ledger a root; without one every result says so."""

    def test_without_a_project_every_result_says_so(self, scores, working_folder):
        result = workflows.backtest(scores, **TERMS)
        assert count() == 1
        assert result.recording.root == working_folder
        assert "no project here" in repr(result)
        swept = workflows.sweep(scores, 2, **TERMS)
        assert "no project here" in str(swept)
        folder, _ = workflows.save_run(swept)
        assert "no project" in json.loads((folder / "honesty.json").read_bytes())["recording"]["project"]

    def test_run_folders_do_not_know_where_the_project_is(self, scores, working_folder, monkeypatch):
        made = []
        for name in ("one", "another"):
            (working_folder / name).mkdir()
            monkeypatch.chdir(working_folder / name)
            Path("virtuoso.toml").touch()
            workflows.sweep(scores, 2 + len(name), **TERMS)
            result = workflows.sweep(scores, 2, **TERMS)
            made.append((workflows.run_folder(result).name, result.files()))
        assert made[0] == made[1]


class TestRunFolders:
    """What is met is checked, completed and judged by what is known now."""

    @pytest.mark.usefixtures("undrawn")
    def test_names_are_those_of_the_files(self, scores, project):
        for one in (workflows.sweep(scores, 2, **TERMS), workflows.backtest(scores, **TERMS)):
            folder, fresh = workflows.save_run(one)
            assert fresh
            assert {path.name for path in folder.iterdir()} == one.names
            assert workflows.save_run(one) == (folder, False)

    @pytest.mark.parametrize("lost", ["honesty.json", "trials.parquet"])
    def test_half_a_folder_is_completed_and_keeps_what_is_not_ours(self, scores, project, lost):
        result = workflows.sweep(scores, 2, **TERMS)
        folder, _ = workflows.save_run(result)
        (folder / lost).unlink()
        (folder / "my notes.md").write_text("mine")
        assert workflows.save_run(result) == (folder, True)
        assert is_whole(folder, result)
        assert (folder / "my notes.md").read_text() == "mine"

    def test_it_is_judged_anew_when_more_was_tried(self, scores, project):
        result = workflows.sweep(scores, 2, **TERMS)
        folder, _ = workflows.save_run(result)
        before = {name: (folder / name).read_bytes() for name in result.names}
        workflows.sweep(scores, 40, **TERMS)
        assert workflows.save_run(workflows.sweep(scores, 2, **TERMS)) == (folder, False)
        changed = {name for name, data in before.items() if (folder / name).read_bytes() != data}
        assert changed == {"honesty.json", "honesty.txt", "sweep.html"}
        assert json.loads((folder / "honesty.json").read_bytes())["recording"]["tries"] == 42

    def test_a_backtest_that_was_killed_before_its_tear_sheet_is_completed(self, scores, project):
        result = workflows.backtest(scores, **TERMS)
        folder, _ = workflows.save_run(result)
        assert {path.name for path in folder.iterdir()} == result.names
        before = {name: (folder / name).read_bytes() for name in result.names}
        workflows.sweep(scores, 40, **TERMS)
        (folder / "tearsheet.html").unlink()
        assert workflows.save_run(workflows.backtest(scores, **TERMS)) == (folder, True)
        changed = {name for name, data in before.items() if (folder / name).read_bytes() != data}
        assert changed == {"honesty.json", "tearsheet.html"}

    def test_what_the_dead_left_is_swept_and_what_the_living_write_is_not(self, scores, project):
        result = workflows.sweep(scores, 2, **TERMS)
        home = workflows.run_folder(result).parent
        dead = home / ".simulated_BTCUSDT_1m_0123456789.4194305.tmp"
        alive = home / f".simulated_BTCUSDT_1m_0123456789.{os.getppid()}.tmp"
        foreign = home / ".something.4194305.tmp"
        for folder in (dead, alive, foreign):
            folder.mkdir(parents=True)
            (folder / "config.json").write_text("{}")
        (foreign / "thesis.doc").write_text("precious")
        aside = home / ".kept_run.4194305.old"
        aside.mkdir()
        workflows.save_run(result)
        assert not dead.exists()
        assert alive.is_dir()
        assert foreign.is_dir()
        assert (home / "kept_run").is_dir()  # the newer one never came

    def test_ctrl_c_says_what_is_there(self, scores, project, monkeypatch):
        result = workflows.sweep(scores, 2, **TERMS)

        def stop(self, folder):
            raise KeyboardInterrupt

        with monkeypatch.context() as pressed:
            pressed.setattr(type(result), "judge", stop)
            with pytest.raises(KeyboardInterrupt) as stopped:
                workflows.save_run(result)
        assert stopped.value.__notes__ == [
            f"The try is in the ledger; its run folder {workflows.run_folder(result)} was not written."
        ]
        assert list(workflows.run_folder(result).parent.iterdir()) == []
