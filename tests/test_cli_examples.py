"""Each `--help` ends with an example, and each example works; a shell completes what is stored."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from virtuoso.cli import main
from virtuoso.cli.app import app
from virtuoso.research.tuning.study import Study
from virtuoso.venues.simulator import simulate, write_archive

DAYS = 12
NEED_A_RUN = ("report", "runs")
BARS = "1735689600000,100,101,99,100.5,12,1735689659999,1206,5,6,603,0\n"

TINY = """\
market: {symbols: [BTCUSDT], timeframe: 5m, venue: simulated}
search: {weights: [faces], thresholds: {enter: [2, 6]}}
sampler: random
trials: 24
generation: 8
least_trades: 1
walk_forward: {splits: 2, test: 3d, least: 4d, least_test: 2d, purge: 1d}
terms: {assume_funding: 0.0001, mark: last}
"""
"""A study that twelve days suffice for."""


def commands(group=None, path=()):
    """Every command of the command line, by its words."""
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


COMMANDS = tuple(commands())


def example_of(command: str) -> list[str]:
    """The example of a command, without the program's name."""
    shown = CliRunner().invoke(app, [*command.split(), "--help"]).output
    words = shlex.split(shown.partition("Example:")[2].strip())
    assert words[0] == "virtuoso", command
    return words[1:]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with `data/`, that holds two simulated coins, and `raw/`, that holds a file of a venue."""
    folder = tmp_path_factory.mktemp("market")
    write_archive(folder / "archives", simulate(["BTCUSDT", "ETHUSDT"], days=DAYS, seed=7))
    source = str(folder / "archives" / "simulated")
    assert main(["data", "import", source, "--venue", "simulated", "--data", str(folder / "data"), "-q"]) == 0
    (folder / "raw").mkdir()
    (folder / "raw" / "BTCUSDT-1m-2025-01-01.csv").write_text(BARS)
    return folder


@pytest.fixture
def here(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(market / "data", tmp_path / "data")
    shutil.copytree(market / "raw", tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUOSO_DATA", raising=False)
    return tmp_path


def finished(name: str) -> None:
    """Leave what a study leaves that found a winner: the market of the examples is too short for one."""
    home = Path("experiments") / "studies" / name
    (home / "result").mkdir(parents=True)
    terms = {"assume_funding": 0.0001, "mark": "last"}
    (home / "study.yaml").write_text(Study.read(name).changed(terms=terms).written())
    (home / "result" / "winner.yaml").write_text("signals: {bull_enter: 60}\n")


class TestExamples:
    def test_every_command_has_one_of_its_own(self):
        assert len(COMMANDS) >= 20
        for command in COMMANDS:
            assert " ".join(example_of(command)).startswith(command), command

    @pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])  # tests/journeys runs the demo
    def test_works(self, here: Path, capsys: pytest.CaptureFixture[str], command: str):
        if command in NEED_A_RUN:
            assert main([*example_of("backtest"), "--no-report"]) == 0
        if command == "promote":
            Path("tiny.yaml").write_text(TINY)
            assert main(["tune", "tiny.yaml", "-j", "1"]) == 0
        if command == "holdout open":
            assert main(example_of("holdout seal")) == 0
            finished("demo")
        if command == "signals show":
            assert main(example_of("signals list")) == 0
        if command == "data import":
            shutil.rmtree("data")
        capsys.readouterr()
        code = main(example_of(command))
        out, err = capsys.readouterr()
        assert code == 0, err
        assert len(out.splitlines()) <= 40, out
        following = shlex.split(out.splitlines()[-1].removeprefix("next: virtuoso "))
        # they lead to a backtest, which test_cli runs, and a venue to one that serves until it is stopped
        if command not in ("sweep", "calibrate", "verify", "explain", "venue"):
            assert main(following) == 0, (following, capsys.readouterr().err)

    def test_one_line_says_what_each_is_for(self):
        for group in ("", "data", "signals", "config", "holdout"):
            shown = CliRunner().invoke(app, [*group.split(), "--help"]).output
            assert "..." not in shown.replace("[ARGS]...", ""), shown


class TestCompletion:
    """`virtuoso --install-completion` makes a shell ask for these."""

    @pytest.mark.parametrize(
        ("typed", "offered"),
        [
            ("virtuoso back", {"backtest"}),
            ("virtuoso runs --com", {"--compare"}),
            ("virtuoso score BT", {"BTCUSDT"}),
            ("virtuoso score BTCUSDT --venue s", {"simulated"}),
            ("virtuoso score BTCUSDT -i 1", {"1m", "15m", "1h", "1d"}),
            ("virtuoso score BTCUSDT -p res", {"research"}),
            ("virtuoso score BTCUSDT --set signals.bull_e", {"signals.bull_enter="}),
            ("virtuoso report la", {"last"}),
        ],
    )
    def test_of_what_is_there(self, here: Path, typed: str, offered: set[str]):
        assert completed(typed) == offered

    def test_of_another_data_root(self, here: Path, tmp_path_factory: pytest.TempPathFactory):
        empty = tmp_path_factory.mktemp("empty")
        assert completed(f"virtuoso score --data {empty} B") == set()

    def test_where_configuration_is_broken_offers_nothing(self, here: Path):
        (here / "configs").mkdir()
        (here / "configs" / "base.yaml").write_text("signals: [")
        assert completed("virtuoso score B") == set()


def completed(typed: str) -> set[str]:
    """What a shell is offered."""
    code = "import sys; from virtuoso.cli import main; sys.exit(main())"
    asked = {
        "_VIRTUOSO_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked}, timeout=120
    )
    assert done.stderr == ""
    return set(done.stdout.split())
