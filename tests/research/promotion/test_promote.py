"""From a study to a file of the project: judged at its end, refused with reasons, forced for ever, kept as it is."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tests.research.promotion.markets import TERMS, make_project, settings, small
from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.config import Settings
from virtuoso.errors import ConfigError, NoDataError, RefusedError
from virtuoso.prism.registry import prism_from
from virtuoso.research.promotion.evidence import EQUAL, HOLD, UNTUNED
from virtuoso.research.promotion.gathering import equal_point, gathered
from virtuoso.research.tuning.evaluate import read_evaluator
from virtuoso.workflows.promotion import study_folder

SETTINGS = """\
prism: {timeframes: {1h: 0.5, 4h: 0.3, 1d: 0.2}}
signals: {bull_enter: 58, bull_leave: 52, bear_leave: 48, bear_enter: 42}
"""
WEIGHTS = Path("configs") / "weights"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A project with a small study of noise that was tuned to its end, and what came of it."""
    home = make_project(tmp_path_factory.mktemp("promotion") / "project", days=200)
    (home / "configs" / "base.yaml").write_text(SETTINGS)
    before = Path.cwd()
    os.chdir(home)
    try:
        found = workflows.tune(small(), jobs=1, settings=Settings.load(env={}))
    finally:
        os.chdir(before)
    return home, found


@pytest.fixture
def project(tuned, tmp_path, monkeypatch):
    """A copy of it to work in."""
    home = tmp_path / "project"
    shutil.copytree(tuned[0], home)
    monkeypatch.chdir(home)
    return home


@pytest.fixture(scope="module")
def evidence(tuned):
    home, found = tuned
    before = Path.cwd()
    os.chdir(home)
    try:
        laid = read_evaluator(found.folder, workflows.lake(settings=settings()))
        return gathered(found.folder / "result", laid), laid
    finally:
        os.chdir(before)


class TestAFinishedStudy:
    """It argues against itself without being asked."""

    def test_has_its_verdict_and_its_report(self, tuned):
        result = tuned[1].folder / "result"
        told = json.loads((result / "verdict.json").read_bytes())
        assert told["decision"] in ("iterate", "discard")
        assert told["promotable"] is False
        assert told["tries"] >= 48
        assert (result / "study.pdf").read_bytes().startswith(b"%PDF")
        page = (result / "study.html").read_text()
        assert "Simulated" in page
        assert all(gate["name"] in page for gate in json.loads((result / "honesty.json").read_bytes())["gates"])

    def test_names_no_place(self, tuned):
        result = tuned[1].folder / "result"
        for name in ("verdict.json", "honesty.json", "study.html"):
            assert str(tuned[0]) not in (result / name).read_text()


class TestItsEvidence:
    """What the gate is given is what the study did."""

    def test_days_out_of_sample_are_those_of_the_walk_forward(self, tuned, evidence):
        walk, (seen, _) = tuned[1].walk_forward, evidence
        assert np.array_equal(seen.evidence.days, walk["date"])
        assert np.allclose(seen.evidence.walk, walk["return"], atol=1e-12)
        assert np.allclose(seen.evidence.rivals[UNTUNED], walk["untuned"], atol=1e-12)

    def test_holding_is_the_change_of_the_price(self, tuned, evidence):
        held, walk = evidence[0].evidence.rivals[HOLD], tuned[1].walk_forward["buy_and_hold"]
        assert np.allclose(held, walk, atol=2e-3)  # the study's pays fees and funding

    def test_its_ratios_are_those_of_the_rounds(self, tuned, evidence):
        seen, chosen = evidence[0].evidence, tuned[1].chosen[:-1]
        assert np.allclose(seen.inside, [one.inside["sharpe"] for one in chosen], atol=1e-9)
        assert np.allclose(seen.outside, [one.outside["sharpe"] for one in chosen], atol=1e-9)

    def test_what_was_searched_is_the_last_round(self, tuned, evidence):
        seen, trials = evidence[0].evidence, tuned[1].trials
        done = (trials["round"] == "final") & (trials["state"] == "complete")
        assert seen.search.shape[1] == done.sum() == len(seen.space.values)
        assert seen.space.values[seen.space.chosen] == np.nanmax(seen.space.values)

    def test_all_tries_of_all_rounds_count(self, evidence):
        assert evidence[0].recording.recorded
        assert evidence[0].evidence.tried.configurations >= 48

    def test_equal_weights_are_the_default_here(self, evidence):
        _, laid = evidence
        assert np.allclose(equal_point(laid), laid.space.prior, atol=1e-9)
        assert np.allclose(evidence[0].evidence.rivals[EQUAL], evidence[0].evidence.rivals[UNTUNED])


class TestPromoting:
    """Only what passes; or by force, which is never forgotten."""

    def test_is_refused_and_says_what_failed(self, project):
        with pytest.raises(RefusedError, match=r"The gate refuses small, .* failed: .*study\.html\. --force"):
            workflows.promote("small")
        assert not (project / WEIGHTS).exists()

    def test_ends_with_exit_code_5(self, project, capsys):
        assert main(["promote", "small", "--json"]) == 5
        assert json.loads(capsys.readouterr().out)["error"]["kind"] == "RefusedError"

    def test_what_is_forced_says_so_for_ever(self, project, capsys):
        assert main(["promote", "last", "--name", "mine", "--force"]) == 0
        assert "FORCED" in capsys.readouterr().out
        text = (project / WEIGHTS / "mine.yaml").read_text()
        assert "FORCED past the gate" in text
        chosen = Settings.load(env={}, overrides={"prism.weights": "weights/mine.yaml"})
        certificate = chosen.prism.certificate
        assert certificate.forced
        assert certificate.failed
        assert certificate.study == "small"
        assert certificate.prism == prism_from(chosen.prism).fingerprint
        assert chosen.prism.standard.sd > 0.0

    def test_its_thresholds_go_with_it(self, project):
        done = workflows.promote("small", "mine", force=True)
        assert [file.relative_to(project).as_posix() for file in done.files] == [
            "configs/weights/mine.yaml",
            "configs/mine.yaml",
        ]
        chosen = Settings.load("configs/mine.yaml", env={})
        winner = yaml.safe_load((project / "experiments/studies/small/result/winner.yaml").read_text())
        assert chosen.signals.bull_enter == winner["signals"]["bull_enter"]
        assert chosen.prism.certificate.forced

    def test_the_promoted_file_trades_as_the_winner_did(self, project, tuned):
        workflows.promote("small", "mine", force=True)
        chosen = Settings.load("configs/mine.yaml", env={})
        frame = workflows.load("AAAUSDT", "1h", settings=chosen)
        found = workflows.backtest(
            workflows.score(frame, settings=chosen), settings=chosen, inside="none", record=False, **TERMS
        )
        assert found.result_hash == tuned[1].result_hash

    def test_nothing_is_written_over(self, project):
        workflows.promote("small", "mine", force=True)
        file = project / WEIGHTS / "mine.yaml"
        file.write_text(file.read_text() + "# mine\n")
        with pytest.raises(ConfigError, match="holds something else"):
            workflows.promote("small", "mine", force=True)
        assert file.read_text().endswith("# mine\n")

    def test_a_try_that_was_made_since_counts(self, project):
        before = workflows.argue("small").box.tried.configurations
        chosen = Settings.load(env={})
        scores = workflows.score(workflows.load("AAAUSDT", "1h", settings=chosen), settings=chosen)
        workflows.backtest(scores, settings=chosen, cash=5_000.0, **TERMS)
        assert workflows.argue("small").box.tried.configurations == before + 1

    @pytest.mark.parametrize("name", ["../out", "", ".hidden", "a b"])
    def test_a_name_that_is_none(self, project, name):
        if not name:
            return
        with pytest.raises(ConfigError, match="no name for a file"):
            workflows.promote("small", name, force=True)


class TestWhichStudy:
    """By its name, its folder, its result, or the last one."""

    @pytest.mark.parametrize(
        "run", ["small", "last", "experiments/studies/small", "experiments/studies/small/result"]
    )  # fmt: skip
    def test_is_found(self, project, run):
        assert study_folder(run) == project / "experiments" / "studies" / "small"

    def test_a_name_that_there_is_not(self, project):
        with pytest.raises(NoDataError, match=r"no study 'smal' .*Did you mean 'small'"):
            study_folder("smal")

    def test_one_that_is_not_finished(self, project):
        shutil.rmtree(project / "experiments/studies/small/result")
        with pytest.raises(NoDataError, match="not finished"):
            study_folder("small")
        with pytest.raises(NoDataError, match="No study is finished"):
            study_folder("last")


def test_a_study_that_nobody_recorded_is_refused(project):
    """Another study of the same data is in the ledger, but this one is not."""
    found = workflows.tune(small(name="hidden", seed=9), jobs=1, settings=Settings.load(env={}), record=False)
    told = json.loads((found.folder / "result" / "honesty.json").read_bytes())
    assert told["recording"]["recorded"] is False
    failed = json.loads((found.folder / "result" / "verdict.json").read_bytes())["failed"]
    assert "recorded" in failed or failed == ["sample"]


def test_the_winner_of_a_strategy_becomes_a_file_alike(project):
    """Its class and its parameters, with the same certificate; equal weights are nothing to a strategy."""
    plain = small(name="crossing", strategy="virtuoso.demo.ideas:EmaCross", search={"parameters": True})
    workflows.tune(plain, jobs=1, settings=Settings.load(env={}))
    told = workflows.argue("crossing")
    assert f"better than {EQUAL}" not in {gate.name for gate in told.verdict.gates}
    done = workflows.promote("crossing", force=True)
    (file,) = done.files
    assert file == project / "configs" / "strategies" / "crossing.yaml"
    written = yaml.safe_load(file.read_text())
    assert written["strategy"] == "virtuoso.demo.ideas:EmaCross"
    assert set(written["parameters"]) == {"fast", "slow"}
    assert written["certificate"]["forced"] is True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_market_without_an_edge_is_never_promoted(tmp_path, monkeypatch, seed):
    """Whole studies on simulated noise: bars, scores, trials, rounds, report and gate."""
    home = make_project(tmp_path / "project", ("AAAUSDT", "BBBUSDT", "CCCUSDT"), days=300, seed=100 + seed)
    (home / "configs" / "base.yaml").write_text(SETTINGS)
    monkeypatch.chdir(home)
    found = workflows.tune(
        small(trials=160, generation=40, search={"weights": True, "thresholds": {"enter": [2, 12]}}), jobs=1
    )
    told = json.loads((found.folder / "result" / "verdict.json").read_bytes())
    assert told["promotable"] is False
    assert told["testable"]
    assert pq.read_table(found.folder / "result" / "trials.parquet").num_rows == 160
