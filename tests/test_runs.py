"""The runs of a project: listed, named shortly, shown again, laid side by side; damaged ones listed with the reason."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import virtuoso as vt
from tests.reports.run_folders import BEGIN, CASH, HOUR, run_folder
from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.errors import ConfigError, NoDataError, UnreadableFileError
from virtuoso.reports.compare import RunComparison
from virtuoso.runs.catalog import find_run, saved_runs
from virtuoso.runs.read import read_run

HOME = Path("reports/runs")
NAMES = ("v_BTCUSDT_1h_aaaa111111", "v_BTCUSDT_1h_aabb222222", "v_ETHUSDT_4h_cccc333333")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of a project, made one after the other, and three folders that are none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUOSO_DATA", raising=False)
    for k, name in enumerate(NAMES):
        folder = run_folder(HOME / name, seed=k + 3)
        stamp(folder, 1_700_000_000 + 1_000 * k)
    (HOME / "notes").mkdir()
    run_folder(HOME / "cut", without=("equity.parquet",))
    broken = run_folder(HOME / "broken")
    (broken / "metrics.json").write_text('{"strategy": {')
    return HOME


def stamp(folder: Path, second: int) -> None:
    os.utime(folder / "config.json", (second, second))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        return main([str(argument) for argument in arguments]), *capsys.readouterr()

    return call


class TestTheList:
    def test_holds_every_folder_the_newest_last(self, home: Path):
        found = {one.name: one for one in saved_runs(home)}
        assert set(found) == {*NAMES, "notes", "cut", "broken"}
        assert [one.name for one in saved_runs(home) if not one.problem] == list(NAMES)
        first = found[NAMES[0]]
        assert (first.total_return, first.max_drawdown, first.trades, first.verdict) == (0.05, -0.031, 40.0, "iterate")
        assert np.isnan(first.sharpe)
        assert (first.what, first.timeframe, first.time) == ("backtest", "1h", 1_700_000_000_000)

    def test_says_what_is_wrong_with_the_others(self, home: Path):
        wrong = {one.name: one.problem for one in saved_runs(home) if one.problem}
        assert wrong == {
            "notes": "holds no metrics.json: not a whole run",
            "cut": "holds no equity.parquet: not a whole run",
            "broken": "metrics.json is not JSON",
        }

    @pytest.mark.parametrize("content", ["[]", "7", '{"strategy": 3}', '{"strategy": {"sharpe": "x"}}', "\xff"])
    def test_bears_any_content(self, home: Path, content: str):
        (home / "broken" / "metrics.json").write_text(content, encoding="latin-1")
        assert len(saved_runs(home)) == 6

    def test_is_empty_where_nothing_was_run(self, tmp_path: Path):
        assert saved_runs(tmp_path / "nowhere") == []

    def test_is_printed_with_the_next_command_that_works(self, home: Path, run):
        code, out, err = run("runs")
        assert (code, err) == (0, "")
        assert all(digits in out for digits in ("aaaa111111", "aabb222222", "cccc333333"))
        assert "broken: metrics.json is not JSON" in out
        assert "6 runs, newest last" in out
        following = out.splitlines()[-1].removeprefix("next: virtuoso ")
        code, out, err = run(*shlex.split(following))
        assert (code, err) == (0, "")

    def test_as_json_and_as_a_table(self, home: Path, run):
        _, out, _ = run("runs", "--json")
        assert [one["name"] for one in json.loads(out)["runs"]][-1]
        table = vt.saved_runs()
        assert table.loc[NAMES[0], "total_return"] == 0.05
        assert table.loc[NAMES[2], "time"] == pd.Timestamp(1_700_002_000, unit="s", tz="UTC")
        assert table.loc["notes", "problem"]

    def test_of_nothing_says_how_to_make_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run):
        monkeypatch.chdir(tmp_path)
        code, out, _ = run("runs")
        assert code == 0
        assert "virtuoso backtest" in out


class TestNames:
    def test_of_a_run_may_be_short(self, home: Path):
        assert find_run(home, NAMES[0]).name == NAMES[0]
        assert find_run(home, "aaaa").name == NAMES[0]
        assert find_run(home, "v_ETH").name == NAMES[2]
        assert find_run(home, home / NAMES[1]) == home / NAMES[1]
        assert find_run(home, "last").name == NAMES[2]

    def test_the_last_is_the_one_that_was_run_last(self, home: Path):
        stamp(home / NAMES[0], 1_800_000_000)
        assert find_run(home, "last").name == NAMES[0]

    def test_that_fit_several_are_refused_and_those_that_fit_none_too(self, home: Path):
        with pytest.raises(ConfigError, match=r"2 runs begin with 'aa': .*aaaa111111, .*aabb222222\. Write more"):
            find_run(home, "aa")
        with pytest.raises(NoDataError, match=r"There is no run v_BTCUSDT_1h_aaaa11111x.*Did you mean"):
            find_run(home, "v_BTCUSDT_1h_aaaa11111x")
        with pytest.raises(NoDataError, match="virtuoso backtest"):
            find_run(home / "nowhere", "last")

    def test_work_for_the_report_too(self, home: Path, run):
        assert run("report", "cccc", "--out", "here")[0] == 0
        assert run("report", "last", "--out", "there")[0] == 0
        assert {path.name for path in Path("here").iterdir()} == {path.name for path in Path("there").iterdir()}


class TestOneRun:
    def test_is_shown_again_from_what_its_folder_still_holds(self, home: Path, run):
        code, out, err = run("runs", "last")
        assert (code, err) == (0, "")
        for words in ("BTCUSDT and friends 1h", "Max drawdown", "3.1 %", "Random entries", "verdict: iterate"):
            assert words in out
        assert len(out.splitlines()) <= 40
        assert "as it was written then" in run("runs", "last", "-v")[1]

    @pytest.mark.parametrize("lacking", ["config.json", "provenance.json", "words.json", "honesty.json"])
    def test_or_without_a_part_of_it(self, home: Path, run, lacking: str):
        (home / NAMES[0] / lacking).unlink()
        code, out, err = run("runs", NAMES[0])
        assert (code, err) == (0, "")
        assert "Max drawdown" in out

    def test_several_without_compare_are_a_question(self, home: Path, run):
        code, _, err = run("runs", "aaaa", "cccc")
        assert code == 2
        assert "Add --compare" in err


class TestCompare:
    def test_shows_what_differs_first_then_the_figures(self, home: Path, run):
        terms = json.loads((home / NAMES[1] / "config.json").read_text())
        terms["terms"]["leverage"] = 5.0
        (home / NAMES[1] / "config.json").write_text(json.dumps(terms))
        code, out, err = run("runs", "--compare", "aaaa", "aabb", "cccc", "--out", "page.html")
        assert (code, err) == (0, "")
        assert out.index("What differs") < out.index("leverage") < out.index("Figures") < out.index("Max drawdown")
        page = Path("page.html").read_text()
        assert page.index("What differs") < page.index("<svg") < page.index("Max drawdown")
        assert "<script" not in page
        assert "http" not in page.replace("http://www.w3.org", "")

    def test_json_holds_the_numbers(self, home: Path, run):
        _, out, _ = run("runs", "--compare", "aaaa", "cccc", "--json")
        told = json.loads(out)
        assert told["runs"] == {"A": NAMES[0], "B": NAMES[2]}
        assert told["figures"][NAMES[0]]["total_return"] == 0.05

    def test_equal_runs_differ_in_nothing(self, home: Path):
        one, two = read_run(home / NAMES[0]), read_run(home / NAMES[1])
        assert RunComparison((one, two)).differences == []

    def test_equity_is_rebased_to_the_first_moment_that_all_know(self, home: Path):
        late = home / NAMES[2] / "equity.parquet"
        table = pq.read_table(late).slice(100)
        pq.write_table(table, late)
        found = RunComparison((read_run(home / NAMES[0]), read_run(home / NAMES[2])))
        assert found.start == BEGIN + 101 * HOUR
        for (_, times, growth), one in zip(found.curves(), found.runs, strict=True):
            assert times[0] == found.start
            equity = one.table("equity.parquet")["equity"]
            at = int(np.flatnonzero(one.close_times == found.start)[0])
            assert growth[0] == 1.0
            assert growth[-1] == pytest.approx(equity[-1] / equity[at])

    def test_runs_that_share_no_time_begin_each_at_its_own_start(self, home: Path):
        late = home / NAMES[2] / "equity.parquet"
        table = pq.read_table(late)
        shifted = pa.array(table["close_time"].to_numpy() + 10_000 * HOUR)
        pq.write_table(table.set_column(0, "close_time", shifted), late)
        found = RunComparison((read_run(home / NAMES[0]), read_run(home / NAMES[2])))
        assert found.start is None
        assert "share no time" in found.basis
        assert "<svg" in found.html()

    def test_a_name_runs_no_script(self, home: Path):
        evil = run_folder(home / "x<img src=y onerror=alert(1)>", seed=9)
        page = RunComparison((read_run(evil), read_run(home / NAMES[0]))).html()
        assert "<img" not in page

    @pytest.mark.parametrize(
        ("names", "error", "what"),
        [
            (("aaaa",), ConfigError, "2 to 5 runs are compared, were 1"),
            (("aaaa", NAMES[0]), ConfigError, "is named twice"),
            (("aaaa", "notes"), NoDataError, "is not a run folder"),
            (("aaaa", "broken"), UnreadableFileError, "is not JSON"),
            (("aaaa", "nope"), NoDataError, "There is no run nope"),
        ],
    )
    def test_what_cannot_be_compared_is_said(self, home: Path, names, error, what):
        with pytest.raises(error, match=what):
            workflows.compare_runs(*names)

    def test_a_sweep_is_no_single_run(self, home: Path):
        sweep = home / "v_BTCUSDT_1h_sweep_dddd444444"
        sweep.mkdir()
        pq.write_table(pa.table({"trades": [1]}), sweep / "trials.parquet")
        (sweep / "best.json").write_text(json.dumps({"best": [{"net_return": 0.2, "trades": 3.0, "sharpe": None}]}))
        found = next(one for one in saved_runs(home) if one.name == sweep.name)
        assert (found.what, found.total_return, found.trades, found.problem) == ("sweep", 0.2, 3.0, "")
        with pytest.raises(NoDataError, match="is a sweep of many configurations"):
            workflows.compare_runs("aaaa", "dddd")


class TestOlderRuns:
    def test_a_hit_rate_is_a_win_rate(self, tmp_path: Path):
        folder = run_folder(tmp_path / "old")
        told = json.loads((folder / "metrics.json").read_text().replace("win_rate", "hit_rate"))
        (folder / "metrics.json").write_text(json.dumps(told))
        table = pq.read_table(folder / "breakdowns.parquet")
        names = ["hit_rate" if name == "win_rate" else name for name in table.column_names]
        pq.write_table(table.rename_columns(names), folder / "breakdowns.parquet")
        found = read_run(folder)
        assert found.figures_of("strategy")["win_rate"] == 0.45
        assert found.figures["faces_alone"]["price_structure"]["win_rate"] == 0.45
        assert found.table("breakdowns.parquet")["win_rate"].tolist() == [0.45, 0.5, 0.4]
        assert found.cash == CASH
