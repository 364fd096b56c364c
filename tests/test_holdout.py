"""A hold-out from its seal to its openings: through the functions and through the command line."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.clock import parse_time
from virtuoso.errors import ConfigError, NoDataError, SealedError
from virtuoso.lake import seal
from virtuoso.research.tracking.experiments import TrialLedger
from virtuoso.research.tracking.holdouts import begin_opening, holdout_record, holdout_records
from virtuoso.research.tuning.study import Study
from virtuoso.venues.simulator import simulate, write_archive
from virtuoso.workflows.holdout import commit

DAYS = 20
STUDY = {
    "market": {"symbols": ["BTCUSDT"], "venue": "simulated", "timeframe": "1h"},
    "search": {"weights": "faces"},
    "terms": {"assume_funding": 0.0001, "mark": "last"},
}
OWN = """import virtuoso as vt

class Cross(vt.Strategy):
    fast: int = vt.Int(5, low=2, high=20)
    slow: int = vt.Int(20, low=5, high=90)

    def decide(self, close):
        import pandas as pd
        fast, slow = (pd.Series(close).rolling(n).mean().to_numpy() for n in (self.fast, self.slow))
        return {"position": (fast > slow) * 1.0}
"""
WINNER = {"signals": {"bull_enter": 55, "bull_leave": 52, "bear_enter": 45, "bear_leave": 48}}


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    """A data root with twenty simulated days."""
    folder = tmp_path_factory.mktemp("market")
    write_archive(folder / "archives", simulate(["BTCUSDT"], days=DAYS, seed=7))
    assert main(["data", "import", str(folder / "archives"), "--venue", "simulated", "--data", str(folder), "-q"]) == 0
    return folder


@pytest.fixture
def stretch(market) -> tuple[str, str]:
    """The last four days, as days are written."""
    (bars,) = workflows.lake(market).coverage()
    return tuple(str(np.datetime64(bars.end - n * 86_400_000, "ms").astype("M8[D]")) for n in (5, 1))


@pytest.fixture
def project(market, stretch, working_folder, monkeypatch) -> Path:
    """A project with a study that names a hold-out."""
    (working_folder / "virtuoso.toml").touch()
    monkeypatch.setenv("VIRTUOSO_DATA", str(market))
    write_study(working_folder, "trend", holdout=dict(zip(("start", "end"), stretch, strict=True)))
    return working_folder


def write_study(root: Path, name: str, **more) -> None:
    home = root / "configs" / "studies"
    home.mkdir(parents=True, exist_ok=True)
    (home / f"{name}.yaml").write_text(yaml.safe_dump({**STUDY, **more}))


def finish(root: Path, name: str = "trend", winner=WINNER) -> Path:
    """What `tune` leaves of a study that found a winner."""
    home = root / "experiments" / "studies" / name
    (home / "result").mkdir(parents=True, exist_ok=True)
    (home / "study.yaml").write_text(Study.read(name).written())
    (home / "result" / "winner.yaml").write_text(yaml.safe_dump(winner))
    return home / "result" / "winner.yaml"


def end_ms(stretch) -> tuple[int, int]:
    return parse_time(stretch[0]), parse_time(stretch[1])


class TestSealing:
    """Once, before the study, by its own dates; then nothing reads the stretch."""

    def test_closes_the_stretch_that_the_study_names(self, project, stretch):
        record = workflows.seal_holdout("trend")
        assert (record.seal.start, record.seal.end) == end_ms(stretch)
        assert (record.seal.symbols, record.seal.is_simulated) == (("BTCUSDT",), True)
        assert record.seal.digest == Study.read("trend").digest
        with pytest.raises(SealedError, match=r"study 'trend'.*End the range before it, as with start='"):
            workflows.load("BTCUSDT", "1h", end=stretch[1])
        assert workflows.load("BTCUSDT", "1h").stop * 3_600_000 == record.seal.start

    def test_again_is_the_seal_that_is_there(self, project):
        before = workflows.seal_holdout("trend").seal
        assert workflows.seal_holdout("trend").seal == before
        assert len(holdout_records()) == 1

    def test_of_a_study_that_names_none_does_nothing(self, project):
        write_study(project, "plain")
        assert workflows.seal_holdout("plain") is None
        assert not (project / "experiments").exists()

    def test_of_a_study_that_names_none_takes_a_given_stretch(self, project, stretch):
        write_study(project, "plain")
        assert workflows.seal_holdout("plain", end_ms(stretch)).seal.study == "plain"

    def test_does_not_move(self, project, stretch):
        workflows.seal_holdout("trend")
        write_study(project, "trend", holdout={"start": stretch[0], "end": "2030-01-01"})
        with pytest.raises(SealedError, match="a seal does not move"):
            workflows.seal_holdout("trend")

    def test_refuses_a_stretch_beside_the_one_that_is_named(self, project):
        with pytest.raises(ConfigError, match=r"holdout in configs/studies/trend.yaml, line"):
            workflows.seal_holdout("trend", (0, 1))

    def test_refuses_a_market_that_goes_on_into_it(self, project, stretch):
        market = {**STUDY["market"], "end": stretch[1]}
        write_study(project, "greedy", market=market, holdout=dict(zip(("start", "end"), stretch, strict=True)))
        with pytest.raises(ConfigError, match=r"market in configs/studies/greedy.yaml, line 4 goes on to"):
            workflows.seal_holdout("greedy")

    def test_counts_what_had_seen_the_stretch_before(self, project, stretch):
        frame = workflows.load("BTCUSDT", "1h", start=stretch[0])
        workflows.backtest(frame, position=np.ones(len(frame)), assume_funding=0.0001, mark="last")
        early = workflows.load("BTCUSDT", "1h", end=stretch[0])
        workflows.backtest(early, position=np.ones(len(early)), assume_funding=0.0001, mark="last")
        assert workflows.seal_holdout("trend").seen_before == 1


class TestOpening:
    """Trades the stretch by the committed winner; every look is counted and deflates."""

    @pytest.fixture
    def sealed(self, project):
        workflows.seal_holdout("trend")
        winner = finish(project)
        assert commit("trend")
        return winner

    def test_trades_the_sealed_stretch_alone_and_writes_down_what_came_of_it(self, sealed, project, stretch):
        record, opening, result = workflows.open_holdout("trend", "the study is done")
        start, end = end_ms(stretch)
        assert (result.start_ms, int(result.close_times[-1])) == (start, end)
        assert opening.result["result_hash"] == result.result_hash
        assert (opening.number, opening.because, record.looks) == (1, "the study is done", 1)
        assert opening.result["days"] == 4
        assert opening.result["trades"] == len(result.trade_records) > 0
        assert opening.winner == hashlib.sha256(sealed.read_bytes()).hexdigest()
        assert holdout_record("trend") == record

    def test_is_a_try_on_that_data(self, sealed, project, stretch):
        workflows.open_holdout("trend", "the study is done")
        (trial,) = TrialLedger(project / "experiments" / "trials").trials()
        assert (trial.first, trial.stop) == end_ms(stretch)

    def test_leaves_it_sealed(self, sealed, stretch):
        _, _, result = workflows.open_holdout("trend", "the study is done")
        with pytest.raises(SealedError):
            workflows.load("BTCUSDT", "1h", start=stretch[0])
        with pytest.raises(SealedError):
            workflows.backtest(result.frames[0], position=np.ones(96), assume_funding=0.0001, mark="last")

    def test_again_is_counted_and_deflates(self, sealed):
        first = workflows.open_holdout("trend", "the study is done")[1].result
        record, second, _ = workflows.open_holdout("trend", "I could not believe it")
        third = workflows.open_holdout("trend", "nor now")[1]
        assert (record.looks, second.number, third.number) == (2, 2, 3)
        assert first["result_hash"] == second.result["result_hash"]
        assert first["deflated"] == first["probability"]
        assert third.result["deflated"] < second.result["deflated"] < first["deflated"]

    def test_by_another_study_of_the_same_stretch_is_counted_too(self, sealed, project, stretch):
        write_study(project, "other", holdout={"start": stretch[0], "end": "2035-01-01"})
        workflows.seal_holdout("other")
        finish(project, "other")
        workflows.open_holdout("other", "mine is done, too")
        record, opening, _ = workflows.open_holdout("trend", "the study is done")
        assert (record.looks, opening.number, len(record.own)) == (2, 2, 1)

    def test_that_is_stopped_has_been_taken(self, sealed, project, monkeypatch):
        def stop(*arguments, **named):
            raise KeyboardInterrupt

        monkeypatch.setattr("virtuoso.workflows.holdout.backtest", stop)
        with pytest.raises(KeyboardInterrupt):
            workflows.open_holdout("trend", "the study is done")
        monkeypatch.undo()
        record = holdout_record("trend", project)
        assert record.looks == 1
        assert record.openings[0].result["failed"].startswith("KeyboardInterrupt")

    def test_a_look_that_was_killed_counts(self, sealed, project):
        begin_opening("trend", "and then the power went", holdout_record("trend").winner)
        assert holdout_record("trend").openings[0].result is None
        assert workflows.open_holdout("trend", "again")[1].number == 2

    def test_refuses_a_winner_that_was_changed(self, sealed):
        sealed.write_text(yaml.safe_dump({"signals": {"bull_enter": 70}}))
        with pytest.raises(SealedError, match="was committed when the study ended"):
            workflows.open_holdout("trend", "the study is done")
        assert holdout_record("trend").looks == 0

    def test_refuses_other_settings_than_the_winner_was_found_with(self, sealed, project):
        folder = sealed.parent / "winner"
        folder.mkdir()
        (folder / "provenance.json").write_text(json.dumps({"config": "0" * 64}))
        with pytest.raises(SealedError, match="settings in force are not those"):
            workflows.open_holdout("trend", "the study is done")
        assert holdout_record("trend").looks == 0

    def test_refuses_a_study_without_a_seal_a_winner_or_a_reason(self, project):
        with pytest.raises(NoDataError, match="has sealed no hold-out"):
            workflows.open_holdout("trend", "the study is done")
        workflows.seal_holdout("trend")
        with pytest.raises(ConfigError, match=r"no winner yet.*virtuoso tune trend"):
            workflows.open_holdout("trend", "the study is done")
        finish(project)
        with pytest.raises(ConfigError, match="because="):
            workflows.open_holdout("trend", "  ")
        with pytest.raises(NoDataError, match="Did you mean 'trend'"):
            workflows.open_holdout("trand", "the study is done")

    def test_of_a_strategy_trades_its_parameters(self, project, stretch, monkeypatch):
        monkeypatch.syspath_prepend(str(project))
        (project / "held_out_ideas.py").write_text(OWN)
        write_study(
            project, "own", strategy="held_out_ideas:Cross", search={"parameters": True},
            holdout=dict(zip(("start", "end"), stretch, strict=True)),
        )  # fmt: skip
        workflows.seal_holdout("own")
        finish(project, "own", {"strategy": "held_out_ideas:Cross", "parameters": {"fast": 3, "slow": 9}})
        _, opening, result = workflows.open_holdout("own", "the study is done")
        assert opening.result["trades"] > 0
        assert (result.strategy.fast, result.strategy.slow) == (3, 9)


class TestAStudyThatIsRun:
    """`tune` seals before its first trial, never sees a sealed day, and commits its winner."""

    SHORT = {
        "walk_forward": {"splits": 0, "least": "10d", "purge": None},
        "trials": 6,
        "generation": 6,
        "sampler": "random",
        "least_trades": 1,
    }

    @pytest.mark.slow
    def test_from_the_seal_to_the_opening(self, project, stretch):
        days = dict(zip(("start", "end"), stretch, strict=True))
        search = {"thresholds": {"enter": [2.0, 8.0], "leave": [0.1, 0.9]}}
        write_study(
            project,
            "short",
            holdout=days,
            **self.SHORT | {"search": search, "market": {**STUDY["market"], "timeframe": "5m"}},
        )
        found = workflows.tune("short", jobs=1)
        sealed = holdout_record("short").seal
        assert max(found.daily["date"]) < sealed.start
        assert int(found.winner_run.close_times[-1]) <= sealed.start
        record, opening, result = workflows.open_holdout("short", "the study is done")
        assert record.winner == hashlib.sha256((found.folder / "result" / "winner.yaml").read_bytes()).hexdigest()
        assert (result.start_ms, int(result.close_times[-1])) == (sealed.start, sealed.end)
        assert opening.result["result_hash"] == result.result_hash

    def test_whose_holdout_another_one_has_looked_at_says_so(self, project, stretch):
        workflows.seal_holdout("trend")
        finish(project)
        workflows.open_holdout("trend", "the study is done")
        write_study(project, "later", holdout=dict(zip(("start", "end"), stretch, strict=True)))
        record = workflows.seal_holdout("later")
        assert (record.looks, len(record.own), record.seen_before) == (1, 0, 1)


class TestTheCommandLine:
    """Seals, lists and opens, and its refusals speak its own words."""

    def test_seal_list_and_open(self, project, stretch, capsys):
        assert main(["holdout", "seal", "trend"]) == 0
        out = capsys.readouterr().out
        assert "sealed: BTCUSDT" in out
        assert out.splitlines()[-1] == "next: virtuoso holdout list"
        finish(project)
        assert main(["holdout", "open", "trend", "--because", "the study is done"]) == 0
        out = capsys.readouterr().out
        assert "SIMULATED DATA" in out
        assert "look 1" in out
        assert main(["holdout", "open", "trend", "--because", "again"]) == 0
        assert "It is look 2 at this stretch" in capsys.readouterr().out
        assert main(["holdout", "list"]) == 0
        out = capsys.readouterr().out
        assert "because the study is done" in out
        assert "because again" in out
        assert len(max(out.splitlines(), key=len)) <= 120
        assert main(["holdout", "list", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["holdouts"][0]
        assert (told["looks"], told["study"], len(told["openings"])) == (2, "trend", 2)

    @pytest.mark.parametrize(
        "command",
        [
            ["score", "BTCUSDT"],
            ["explain", "BTCUSDT", "--at"],
            ["information", "BTCUSDT", "--assume-funding", "0.0001"],
            ["backtest", "BTCUSDT", "--assume-funding", "0.0001", "--mark", "last"],
            ["sweep", "BTCUSDT", "--assume-funding", "0.0001", "--mark", "last"],
            ["verify", "BTCUSDT"],
            ["signals", "list", "BTCUSDT"],
        ],
        ids=lambda command: command[0],
    )
    def test_every_verb_that_reads_is_refused_in_its_own_words(self, project, stretch, capsys, command):
        workflows.seal_holdout("trend")
        moment, day = stretch[1], stretch[0].replace("-", "")
        asked = [*command, moment] if "--at" in command else [*command, "--timerange", f"{day}-"]
        assert main([*asked, "-i", "1h"]) == 3
        err = capsys.readouterr().err
        assert "the hold-out of study 'trend': research does not read it" in err
        assert "--timerange" in err

    def test_sql_is_refused(self, project, stretch, capsys):
        workflows.seal_holdout("trend")
        assert main(["data", "sql", f"select max(close) from bars where time >= '{stretch[0]}'"]) == 3
        assert "reaches into what is sealed: BTCUSDT" in capsys.readouterr().err
        assert main(["data", "sql", "select max(time) from bars"]) == 0
        out, err = capsys.readouterr()
        assert "the answer is without what is sealed" in err
        assert stretch[0] not in out

    def test_list_and_check_go_on(self, project, capsys):
        workflows.seal_holdout("trend")
        assert main(["data", "list"]) == main(["data", "check"]) == main(["data", "verify"]) == 0

    def test_a_broken_ledger_says_why(self, project, capsys):
        workflows.seal_holdout("trend")
        path = seal.chain_of(project).path
        path.write_text(path.read_text().replace("trend", "trand"))
        assert main(["score", "BTCUSDT", "-i", "1h"]) == 3
        err = capsys.readouterr().err
        assert "ledger.jsonl is not what was written: line 1 is not what was written" in err
        assert "from git or a backup" in err
