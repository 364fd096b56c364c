"""The command line, as people and programs use it: in this process where that is enough, else in one of its own."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import re
import resource
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from tests.markets import copy_market
from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.cli.app import ORDER, app
from virtuoso.cli.terminal.command import Answer, Call, in_two, verb
from virtuoso.cli.terminal.console import leaning, pairs, show, table
from virtuoso.cli.terminal.log import log_to_stderr
from virtuoso.errors import printable
from virtuoso.venues.simulator import simulate, write_archive

DAYS = 12
FEW = "signals: {min_coverage: 0.05}\n"
SAME = ("--timeframe", "5m", "--venue", "simulated")
TRADED = ("backtest", "BTCUSDT", *SAME, "--assume-funding", "0.0001", "--mark", "last")
NO_PAGE = (*TRADED, "--no-report")
VERBS = ("demo", "score", "explain", "backtest", "verify", "doctor")
GROUPED = tuple(f"data {name}" for name in ("import", "list", "check", "break", "verify", "sql"))
COMMANDS = (*VERBS, *GROUPED, "signals list", "signals show", "config show")
SHARED = ("--json", "--data DIR", "-c, --config FILE", "-p, --profile NAME", "-q, --quiet", "-v, --verbose")
HEAVY = ("pandas", "numpy", "numba", "vectorbt", "mlflow", "ccxt", "sklearn", "matplotlib", "pydantic", "duckdb")
NEVER_FOR_SCORES = ("vectorbt", "mlflow", "matplotlib", "sklearn", "ccxt", "optuna")


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        return json.loads(self.out, parse_constant=refuse)

    @property
    def next(self) -> list[str]:
        line = next(line for line in self.out.splitlines() if line.startswith("next: virtuoso "))
        return shlex.split(line.removeprefix("next: virtuoso "))


Virtuoso = Callable[..., Outcome]


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve days of two simulated coins, as archive files."""
    folder = tmp_path_factory.mktemp("archives")
    write_archive(folder, simulate(["BTCUSDT", "ETHUSDT"], days=DAYS, seed=7))
    return folder / "simulated"


@pytest.fixture(scope="session")
def stored(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds them; tests leave its lake as it is."""
    root = tmp_path_factory.mktemp("stored") / "data"
    assert main(["data", "import", str(archives), "--venue", "simulated", "--data", str(root), "-q"]) == 0
    return root


@pytest.fixture
def virtuoso(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Virtuoso:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUOSO_DATA", raising=False)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Settings that leave one light component a face, for tests that run every law or need signals soon."""
    path = tmp_path / "few.yaml"
    path.write_text(FEW)
    return path


def process(*arguments: str, code: str = "", cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command line, or Python code, in a process of its own."""
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "virtuoso.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **env}, timeout=300)


def imported_by(arguments: list[str], names: tuple[str, ...], cwd: Path) -> list[str]:
    """Which of some modules a command imports."""
    code = (
        "import sys\nfrom virtuoso.cli import main\n"
        f"code = main({arguments!r})\n"
        f"print('imported', *[name for name in {names!r} if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = process(code=code, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return next(line for line in done.stderr.splitlines() if line.startswith("imported")).split()[1:]


class TestHelp:
    """`virtuoso --help` is instant, plain, and says everything that a script needs to know."""

    def test_lists_the_verbs_in_the_order_in_which_they_are_met(self):
        shown = CliRunner().invoke(app, ["--help"])
        assert shown.exit_code == 0
        after = shown.output.partition("Commands:")[2].splitlines()
        assert tuple(line.split()[0] for line in after[1 : len(ORDER) + 1]) == ORDER

    def test_documents_the_exit_codes(self):
        shown = CliRunner().invoke(app, ["--help"]).output
        assert "0 done, 1 unexpected, 2 usage or settings, 3 data, 4 a law is broken," in shown

    def test_is_what_an_empty_command_line_shows(self, virtuoso: Virtuoso):
        assert virtuoso().out == virtuoso("--help").out
        assert virtuoso().code == 0

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_documents_json(self, command: str):
        shown = CliRunner().invoke(app, [*command.split(), "--help"])
        assert shown.exit_code == 0
        for option in (
            "--json",
            "--data DIR",
            "-c, --config FILE",
            "-p, --profile NAME",
            "-q, --quiet",
            "-v, --verbose",
        ):
            assert option in shown.output

    def test_fits_a_hundred_columns(self):
        for command in ("", *COMMANDS):
            shown = CliRunner().invoke(app, [*command.split(), "--help"]).output
            assert max(map(len, shown.splitlines())) <= 100, command

    def test_imports_nothing_that_computes(self, tmp_path: Path):
        assert imported_by(["--help"], HEAVY, tmp_path) == []

    def test_takes_less_than_three_tenths_of_a_second(self, tmp_path: Path):
        spent = []
        for _ in range(4):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert process(code="from virtuoso.cli import main; main(['--help'])", cwd=tmp_path).returncode == 0
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert min(spent) < 0.3

    def test_says_the_version(self, virtuoso: Virtuoso):
        assert virtuoso("--version").out.startswith("virtuoso 0.")


class TestLazyImports:
    """A verb pays for what it uses."""

    def test_score_imports_no_backtester_tracker_or_plotter(self, stored: Path, tmp_path: Path):
        command = ["score", "BTCUSDT", "--data", str(stored), *SAME, "--out", str(tmp_path / "s.parquet"), "-q"]
        assert imported_by(command, NEVER_FOR_SCORES, tmp_path) == []

    def test_list_imports_nothing_that_scores(self, stored: Path, tmp_path: Path):
        heavy = ("pandas", "numba", "duckdb", "talib", "pyarrow", *NEVER_FOR_SCORES)
        assert imported_by(["data", "list", "--data", str(stored)], heavy, tmp_path) == []


class TestJson:
    """--json writes one valid document on stdout and nothing else there."""

    @pytest.mark.parametrize(
        "command",
        [
            "data list",
            "data check",
            "data check BTCUSDT",
            "data verify",
            "data sql 'select * from bars limit 3'",
            "score BTCUSDT -i 5m --venue simulated --out s.parquet",
            "explain BTCUSDT -i 5m",
            "backtest BTCUSDT -i 5m --assume-funding 0.0001 --mark last",
            "signals list BTCUSDT -i 5m",
            "signals list",
            "config show",
            "doctor",
        ],
    )
    def test_is_one_document(self, virtuoso: Virtuoso, stored: Path, command: str):
        done = virtuoso(*shlex.split(command), "--data", stored, "--json")
        assert done.code == 0, done.err
        assert done.json["next"].startswith("virtuoso ")
        assert done.err == ""

    def test_of_an_import(self, virtuoso: Virtuoso, archives: Path):
        found = virtuoso("data", "import", archives, "--venue", "simulated", "--data", "d", "--json").json
        assert found["ok"]
        assert found["total"]["stored"] == 2 * (DAYS * 1440 - 16) or found["total"]["stored"] > 30_000

    def test_of_what_is_not_known_is_null(self, virtuoso: Virtuoso, stored: Path):
        found = virtuoso("explain", "BTCUSDT", *SAME, "--data", stored, "--json").json
        assert next(row for row in found["total"] if row["name"] == "orderbook")["score"] is None

    def test_of_an_error_says_what_and_what_to_do(self, virtuoso: Virtuoso, stored: Path):
        done = virtuoso("explain", "BTCUSTD", "--data", stored, "--json")
        assert done.code == 3
        assert done.json["error"] == {
            "kind": "NoDataError",
            "what": "No bars of BTCUSTD are stored.",
            "remedy": "Did you mean 'BTCUSDT'?",
            "exit_code": 3,
        }


class TestTheNextCommand:
    """Every answer ends with a command that works, on the same data."""

    def test_leads_from_the_import_to_a_signal(self, virtuoso: Virtuoso, archives: Path):
        done, seen = virtuoso("data", "import", archives, "--venue", "simulated", "--data", "my data"), []
        for _ in range(5):
            seen.append(done.next[0])
            assert done.next[-2:] == ["--data", "my data"]
            done = virtuoso(*done.next)
            assert done.code == 0, done.err
        assert seen == ["score", "explain", "backtest", "signals", "explain"]

    @pytest.mark.parametrize("command", ["data list", "data check", "data verify", "config show", "doctor"])
    def test_of_the_others_works_too(self, virtuoso: Virtuoso, stored: Path, command: str):
        following = virtuoso(*command.split(), "--data", stored).next
        assert virtuoso(*following).code == 0

    def test_keeps_configuration_files_and_profile(self):
        call = Call(data=Path("d"), config=[Path("a b.yaml"), Path("c.yaml")], profile="paper")
        assert call.next("score", "BTCUSDT", venue=None) == (
            "virtuoso score BTCUSDT --data d --profile paper --config 'a b.yaml' --config c.yaml"
        )

    @pytest.mark.parametrize(
        "command",
        [
            "score BTCUSDT -i 5m", "explain BTCUSDT -i 5m", "explain BTCUSDT -i 5m --face technical",
            "backtest BTCUSDT -i 5m --assume-funding 0.0001 --mark last --no-report",
            "sweep BTCUSDT -i 5m --assume-funding 0.0001 --mark last --configurations 20",
            "verify BTCUSDT -i 5m --live-bars 100", "signals list BTCUSDT -i 5m", "data list", "data check",
            "data check BTCUSDT", "data verify", "doctor",
        ],
    )  # fmt: skip
    def test_stands_on_one_screen_with_the_answer(self, virtuoso: Virtuoso, stored: Path, command: str):
        done = virtuoso(*shlex.split(command), "--data", stored)
        assert done.code == 0, done.err
        lines = done.out.splitlines()
        assert len(lines) <= 40, "\n".join(lines)
        assert lines[-1].startswith("next: virtuoso ")

    def test_is_left_out_when_quiet(self, virtuoso: Virtuoso, stored: Path):
        assert "next:" not in virtuoso("data", "list", "--data", stored, "-q").out


class TestABreak:
    """`data break` says that a symbol means another instrument, and takes it back."""

    def test_is_said_shown_and_taken_back(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        copy_market(stored, tmp_path / "data")
        there = ("--data", tmp_path / "data")
        said = virtuoso("data", "break", "BTCUSDT", "--at", "2025-01-02T12:00Z", *there)
        assert said.code == 0
        assert "BTCUSDT simulated is another instrument from 2025-01-02 12:00Z on" in said.out
        assert "next: virtuoso data check BTCUSDT --venue simulated" in said.out
        assert "was said before" in virtuoso("data", "break", "BTCUSDT", "--at", "2025-01-02T12:00Z", *there).out
        assert "BTCUSDT simulated is another instrument" in virtuoso("data", "list", *there).out
        check = virtuoso("data", "check", "BTCUSDT", *there)
        assert "from 2025-01-02 12:00Z on another instrument: as said" in check.out
        told = virtuoso("data", "check", "BTCUSDT", *there, "--json").json
        assert told["series"][0]["breaks"][0]["made"] == "said"
        gone = virtuoso("data", "break", "BTCUSDT", "--at", "2025-01-02T12:00Z", "--remove", *there)
        assert "no break at 2025-01-02 12:00Z any more" in gone.out
        assert "another instrument" not in virtuoso("data", "list", *there).out

    @pytest.mark.parametrize(
        ("arguments", "code", "what"),
        [
            ("data break BTCUSDT", 2, "Missing option '--at'"),
            ("data break BTCUSDT --at soon", 2, "is not a time"),
            ("data break BTCUSDT --at 2019-01-01", 3, "does not divide it"),
            ("data break BTCUSDT --at 2025-01-02 --remove", 3, "none was said"),
            ("data break BTCUSTD --at 2025-01-02", 3, "BTCUSTD"),
        ],
    )
    def test_that_cannot_be(self, virtuoso: Virtuoso, stored: Path, arguments: str, code: int, what: str):
        done = virtuoso(*shlex.split(arguments), "--data", stored)
        assert done.code == code
        assert what in done.err


class TestErrors:
    """What goes wrong is two lines on stderr, what is wrong and what to do, and an exit code that says which kind."""

    @pytest.mark.parametrize(
        ("arguments", "code", "what", "remedy"),
        [
            ("scoer", 2, "No such command 'scoer'", "virtuoso --help"),
            ("score BTCUSDT --venu x", 2, "No such option: --venu", "virtuoso score --help"),
            ("score", 2, "Missing argument 'SYMBOL...'", "virtuoso score --help"),
            ("score BTCUSDT -i 7m", 2, "must divide a day", ""),
            ("score BTCUSDT --timerange 2025", 2, "A timerange is FROM-TO", ""),
            ("explain BTCUSDT --at yesterday", 2, "is not a time", "Try 2025-10-10T21:15Z"),
            ("explain BTCUSDT --face technicl", 2, "no face 'technicl'", "Did you mean 'technical'?"),
            ("config show signal", 2, "no section 'signal'", "Did you mean 'signals'?"),
            ("score BTCUSDT -c nowhere.yaml", 2, "nowhere.yaml", ""),
            ("data sql 'select 1' --out x.txt", 2, "ends neither in .csv nor in .parquet", "Name one"),
            ("data import nowhere --venue binance-spot", 3, "nowhere does not exist", ""),
            ("data import .", 3, "which venue", "Pass --venue"),
            ("data sql 'drop view bars'", 3, "Only a single SELECT", ""),
            ("score BTCUSTD", 3, "No bars of BTCUSTD", "Did you mean 'BTCUSDT'?"),
            ("score BTCUSDT --venue simulatde", 3, "of 'simulatde'", "Did you mean 'simulated'?"),
            ("explain BTCUSDT --at 20300101", 3, "are stored from", "virtuoso data list"),
            ("signals show 0123456789", 3, "no signal with the id", "virtuoso signals list"),
        ],
    )
    def test_is_two_lines_and_a_code(
        self, virtuoso: Virtuoso, stored: Path, arguments: str, code: int, what: str, remedy: str
    ):
        done = virtuoso(*shlex.split(arguments), *([] if arguments == "scoer" else ["--data", stored]))
        lines = done.err.splitlines()
        assert (done.code, len(lines), done.out) == (code, 2, "")
        assert lines[0].startswith("error: ")
        assert what in lines[0]
        assert remedy in lines[1]

    def test_an_empty_lake_says_how_to_fill_it(self, virtuoso: Virtuoso):
        done = virtuoso("score", "BTCUSDT")
        assert done.code == 3
        assert done.err.splitlines()[1].startswith("Try: virtuoso data import PATH")

    def test_a_path_that_cannot_be_written_is_named(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        (tmp_path / "file").write_text("")
        done = virtuoso("score", "BTCUSDT", "--data", stored, *SAME, "--out", "file/scores.parquet")
        assert done.code == 1
        assert "file" in done.err.splitlines()[0]
        assert "Traceback" not in done.err

    def test_what_nobody_foresaw_is_called_a_fault_of_ours(self, capsys: pytest.CaptureFixture[str]):
        scratch = typer.Typer()

        @verb(scratch, "break", "virtuoso break")
        def broken(call: Call) -> Answer:
            """Break."""
            return Answer({"third": printable(None)}, lambda: ["never"])  # type: ignore[arg-type]

        with pytest.raises(SystemExit) as ended:
            scratch([])
        assert ended.value.code == 1
        assert capsys.readouterr().err == (
            "error: unexpected TypeError: object of type 'NoneType' has no len()\n"
            "This is a fault of Virtuoso: run it again with --debug and report what it prints.\n"
        )

    def test_what_terminals_obey_reaches_none_of_them(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        hostile = "BTC\x1b[31mUSDT\x9b2J\u202e"
        for arguments in (["score", hostile], ["score", "BTCUSDT", "--venu\x1b[31m", "x"], ["\x1b[31m"]):
            for as_json in ([], ["--json"]):
                done = virtuoso(*arguments, *([] if len(arguments) == 1 else ["--data", stored, *as_json]))
                assert done.code in (2, 3)
                assert not set("\x1b\x9b\u202e") & set(done.out + done.err)

    def test_nor_through_tables_text_and_log_lines(self, capsys: pytest.CaptureFixture[str]):
        hostile = "x\x1b]0;gone\x07y"
        show([hostile, table(["A"], [[hostile]]), pairs([("name", hostile)])], next_command=hostile)
        Call().note(hostile)
        Call(as_json=True).give(Answer({"name": "x\x9by\u202e"}, lambda: []))
        log_to_stderr("INFO")
        logging.getLogger("virtuoso.test").info("read", extra={"file_name": hostile})
        done = capsys.readouterr()
        assert not set("\x1b\x07\x9b\u202e") & set(done.out + done.err)
        assert done.out.count(r"x\x1b]0;gone") == 4  # rich takes the bell out by itself
        assert json.loads(done.out[done.out.index("{") :])["name"] == "x\x9by\u202e"

    def test_colours_of_our_own_still_work(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.delenv("NO_COLOR", raising=False)
        show([leaning("58.0", 80.0)])
        assert "\x1b[" in capsys.readouterr().out

    def test_debug_adds_the_traceback(self, virtuoso: Virtuoso, stored: Path):
        done = virtuoso("score", "BTCUSTD", "--data", stored, "--debug")
        assert done.code == 3
        assert "Traceback (most recent call last)" in done.err
        assert done.err.splitlines()[-1] == "Did you mean 'BTCUSDT'?"

    @pytest.mark.parametrize(
        ("message", "parts"),
        [
            ("It is gone. Try again.", ("It is gone.", "Try again.")),
            ("bars of 0.5 h are odd, was 1.5. Pass one.", ("bars of 0.5 h are odd, was 1.5.", "Pass one.")),
            ("There is no 'x'. Did you mean 'y'? Or not.", ("There is no 'x'.", "Did you mean 'y'? Or not.")),
            ("One sentence only.", ("One sentence only.", "")),
        ],
    )
    def test_messages_are_split_where_the_remedy_begins(self, message: str, parts: tuple[str, str]):
        assert in_two(message) == parts


class TestCtrlC:
    """Whoever stops a run is told what is there of it."""

    @pytest.mark.parametrize("verb", ["backtest", "sweep"])
    def test_says_that_nothing_was_recorded(self, virtuoso: Virtuoso, monkeypatch: pytest.MonkeyPatch, verb: str):
        def stop(*args: object, **how: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(workflows, "load", stop)
        done = virtuoso(verb, "BTCUSDT", "-i", "5m")
        assert (done.code, done.out) == (130, "")
        assert done.err == "interrupted\nNothing of this run was recorded or written.\n"


class TestTheTerminal:
    """Pipes and NO_COLOR are respected, tables fit a hundred columns, progress never reaches stdout."""

    def test_a_pipe_gets_no_escape_codes(self, virtuoso: Virtuoso, stored: Path):
        for command in ("data list", "data check", "explain BTCUSDT -i 5m", "config show"):
            assert "\x1b" not in virtuoso(*command.split(), "--data", stored).out

    @pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
    def test_a_terminal_gets_colours_unless_it_refuses_them(self, stored: Path, no_color: str, coloured: bool):
        pty = pytest.importorskip("pty")
        near, far = pty.openpty()
        command = [sys.executable, "-m", "virtuoso.cli", "explain", "BTCUSDT", *SAME, "--data", str(stored)]
        env = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm-256color"}
        seen = b""
        with subprocess.Popen(command, stdout=far, stderr=far, env=env) as running:
            os.close(far)
            with contextlib.suppress(OSError):  # what the near end of a terminal says when the far end is closed
                while part := os.read(near, 4096):
                    seen += part
        os.close(near)
        assert running.returncode == 0
        assert (b"\x1b[38;" in seen) is coloured

    @pytest.mark.parametrize(
        "command", ["data list", "data check", "score BTCUSDT -i 5m", "explain BTCUSDT", "config show"]
    )
    def test_fits_a_hundred_columns(self, virtuoso: Virtuoso, stored: Path, command: str):
        out = virtuoso(*command.split(), "--data", stored).out
        shown = [line for line in out.splitlines() if not line.startswith(("next:", "->"))]
        assert max(len(line.rstrip()) for line in shown) <= 100

    def test_a_reader_that_leaves_early_is_no_error(self, stored: Path, tmp_path: Path):
        command = [sys.executable, "-m", "virtuoso.cli", "explain", "BTCUSDT", *SAME, "--data", str(stored)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as running:
            running.stdout.close()
            assert running.stderr.read() == b""
        assert running.returncode == 0

    def test_verbose_tells_events_with_fields_on_stderr(self, virtuoso: Virtuoso, stored: Path):
        done = virtuoso("score", "BTCUSDT", "--data", stored, *SAME, "--out", "s.parquet", "-v")
        assert any("INFO scored" in line and "bars=3456" in line for line in done.err.splitlines())
        assert virtuoso("score", "BTCUSDT", "--data", stored, *SAME, "--out", "s.parquet").err == ""


class TestDataImport:
    """One line a file; what is wrong with one never loses the others."""

    def test_a_bad_file_is_named_and_the_others_are_stored(self, virtuoso: Virtuoso, archives: Path, tmp_path: Path):
        (tmp_path / "in").mkdir()
        good = sorted(archives.glob("*.zip"))[0]
        for name in (good.name, f"{good.name}.CHECKSUM"):
            (tmp_path / "in" / name).write_bytes((archives / name).read_bytes())
        (tmp_path / "in" / "ETHUSDT-1m-2025-01.zip").write_bytes(b"not a zip")
        done = virtuoso("data", "import", "in", "--venue", "simulated", "--data", "d")
        assert done.code == 3
        assert "imported" in done.out
        assert "failed" in done.out
        assert "ETHUSDT-1m-2025-01.zip:" in done.out
        assert virtuoso("data", "list", "--data", "d", "--json").json["series"][0]["symbol"] == "BTCUSDT"

    def test_the_same_files_again_change_nothing(self, virtuoso: Virtuoso, archives: Path, stored: Path):
        before = workflows.lake(stored).manifest().generation
        done = virtuoso("data", "import", archives, "--venue", "simulated", "--data", stored, "--json")
        assert {file["status"] for file in done.json["files"]} == {"unchanged"}
        assert workflows.lake(stored).manifest().generation == before

    def test_says_what_files_do_not(self, virtuoso: Virtuoso, tmp_path: Path):
        rows = [f"0{i}.01.2024 0{i}:00,9,12,8,11,{i}" for i in range(1, 7)]
        (tmp_path / "prices.csv").write_text("\n".join(["when,open,high,low,close,coins traded", *rows]))
        said = ["data", "import", "prices.csv", "--symbol", "BTC/USD", "-i", "1h", "--data", "d"]
        done = virtuoso(*said, "--venue", "kraken")
        assert done.code == 3
        assert "Pass --market spot or --market linear once" in done.err
        said += ["--venue", "kraken", "--market", "spot"]
        assert "no column for volume, the time among when" in virtuoso(*said).out.replace("\n  ", " ")
        assert "Pass their form, such as --time-format" in virtuoso(*said, "--columns", "time=when", "--no-volume").out
        said += ["--time-format", "%d.%m.%Y %H:%M", "--time-zone", "UTC", "--columns"]
        done = virtuoso(*said, "time=when,volume=coins traded")
        assert (done.code, "stored as kraken-spot" in done.out) == (0, True)
        assert "virtuoso score BTCUSD --timeframe 1h --venue kraken-spot" in done.out
        assert virtuoso(*said, "when").code == 2
        assert virtuoso("data", "list", "--data", "d", "--json").json["series"][0]["venue"] == "kraken-spot"

    def test_simulated_files_are_refused_under_another_venue(self, virtuoso: Virtuoso, archives: Path):
        done = virtuoso("data", "import", archives, "--venue", "binance-usdm", "--data", "d")
        assert done.code == 3
        assert "made by the simulator" in done.out


class TestDataOfEvents:
    """Is imported, listed, checked and asked for like bars."""

    @pytest.fixture(scope="class")
    @staticmethod
    def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A data root with a minute of trades, and open interest with an outage."""
        root = tmp_path_factory.mktemp("recorded")
        begin = 1_704_067_200_000
        tape = [f"{k},{42_000 + k % 7}.5,0.1,{k},{k},{begin + 300 * k},true" for k in range(1, 700)]
        (root / "BTCUSDT-aggTrades-2024-01-01.csv").write_text("\n".join(tape) + "\n")
        head = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
        head += "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
        shares = [
            f"2024-01-01 {k // 12:02d}:{k % 12 * 5:02d}:00,BTCUSDT,{0 if 50 < k < 60 else 80_000 + k},3.4e9,1,1,1,1"
            for k in range(1, 200)
        ]
        (root / "BTCUSDT-metrics-2024-01-01.csv").write_text("\n".join([head, *shares]) + "\n")
        files = [str(path) for path in sorted(root.glob("*.csv"))]
        assert main(["data", "import", *files, "--venue", "binance-usdm", "--data", str(root / "data"), "-q"]) == 0
        return root / "data"

    def test_is_listed_by_kind(self, virtuoso, recorded):
        done = virtuoso("data", "list", "--data", recorded, "--json")
        rows = {series["kind"]: series["rows"] for series in done.json["events"]}
        assert rows == {"trades": 699, "open_interest": 190, "ratios": 199}
        told = virtuoso("data", "list", "--data", recorded).out
        assert "open_interest" in told
        assert "1,088 events of 1 instrument\n" in told

    def test_is_checked_with_its_gaps_and_refused_rows(self, virtuoso, recorded):
        done = virtuoso("data", "check", "BTCUSDT", "--data", recorded, "--json")
        (interest,) = [series for series in done.json["events"] if series["kind"] == "open_interest"]
        assert interest["refused"] == {"outage": 9}
        assert [gap["status"] for gap in interest["ledger"]] == ["silent"]
        assert "9 outage" in virtuoso("data", "check", "--data", recorded).out

    def test_of_nobody_names_the_nearest(self, virtuoso, recorded):
        done = virtuoso("data", "check", "BTCUSD", "--data", recorded)
        assert done.code == 3
        assert "Did you mean 'BTCUSDT'" in done.err

    def test_is_asked_for_with_sql(self, virtuoso, recorded):
        done = virtuoso("data", "sql", "select count(*) n from trades", "--data", recorded, "--json")
        assert done.json["rows"] == [[699]]

    def test_is_verified(self, virtuoso, recorded):
        assert virtuoso("data", "verify", "--data", recorded, "--json").json["files"] == 3

    def test_is_loaded_by_the_second_where_there_are_no_bars(self, recorded):
        frame = workflows.load("BTCUSDT", "1s", data=recorded)
        assert len(frame) == 208
        assert np.isfinite(frame.base.columns["taker_buy_trades"][1:]).all()


class TestDataVerify:
    """Damage is found, set aside and named with its source; lost manifests are made again."""

    @pytest.fixture
    def own(self, virtuoso: Virtuoso, archives: Path, tmp_path: Path) -> Path:
        virtuoso("data", "import", archives, "--venue", "simulated", "--data", "own")
        return tmp_path / "own"

    def test_a_flipped_byte_is_found(self, virtuoso: Virtuoso, own: Path):
        file = sorted((own / "lake" / "bars").rglob("*.parquet"))[0]
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))
        done = virtuoso("data", "verify", "--data", own)
        assert done.code == 3
        assert "differs from its checksum" in done.out
        assert "BTCUSDT-1m-2025-01.zip" in done.out
        assert virtuoso("data", "verify", "--data", own).code == 0

    def test_lost_manifests_are_rebuilt(self, virtuoso: Virtuoso, own: Path):
        bars = virtuoso("data", "list", "--data", own, "--json").json["series"]
        for manifest in (own / "lake" / "manifests" / "bars").iterdir():
            manifest.unlink()
        lost = virtuoso("data", "list", "--data", own)
        assert lost.code == 3
        assert "virtuoso data verify --rebuild" in lost.err
        assert virtuoso("data", "verify", "--rebuild", "--data", own).code == 0
        assert [s["bars"] for s in virtuoso("data", "list", "--data", own, "--json").json["series"]] == [
            s["bars"] for s in bars
        ]


class TestDataSql:
    """One SELECT on the view `bars`."""

    def test_counts_what_is_stored(self, virtuoso: Virtuoso, stored: Path):
        query = "select symbol, count(*) as n from bars group by 1 order by 1"
        found = virtuoso("data", "sql", query, "--data", stored, "--json").json
        assert found["columns"] == ["symbol", "n"]
        assert [row[0] for row in found["rows"]] == ["BTCUSDT", "ETHUSDT"]

    def test_keeps_the_order_of_the_columns(self, virtuoso: Virtuoso, stored: Path):
        done = virtuoso("data", "sql", "select 1 as n, symbol from bars limit 1", "--data", stored)
        assert done.out.splitlines()[0].split() == ["n", "symbol"]

    def test_shows_a_wide_row_value_by_value(self, virtuoso: Virtuoso, stored: Path):
        lines = virtuoso("data", "sql", "select * from bars limit 1", "--data", stored).out.splitlines()
        assert any(line.split()[:1] == ["taker_buy_quote_volume"] for line in lines)
        assert any(line.startswith("time") and line.rstrip().endswith("2025-01-01 00:00:00Z") for line in lines)

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_writes_files(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path, suffix: str):
        done = virtuoso("data", "sql", "select close from bars limit 5", "--data", stored, "--out", f"x.{suffix}")
        assert done.code == 0
        assert (tmp_path / f"x.{suffix}").stat().st_size > 0

    def test_writes_no_file_of_the_lake(self, virtuoso: Virtuoso, stored: Path):
        part = next((stored / "lake").rglob("part-*.parquet"))
        before = part.read_bytes()
        tries = (["select 1 as n", "--out", part], [f"explain analyze copy (select 1) to '{part}' (format parquet)"])
        codes = [virtuoso("data", "sql", *arguments, "--data", stored).code for arguments in tries]
        assert codes == [2, 3]
        assert part.read_bytes() == before

    def test_ends_when_its_time_is_up(self, virtuoso: Virtuoso, stored: Path):
        query = "select count(*) from range(100000000000)"
        done = virtuoso("data", "sql", query, "--data", stored, "--timeout", 0.2)
        assert done.code == 3
        assert "took longer than 0.2 s" in done.err


class TestScore:
    """One row a bar, in Parquet; the same bits from the cache."""

    def test_writes_beside_the_lake_if_nothing_is_said(self, virtuoso: Virtuoso, archives: Path, tmp_path: Path):
        virtuoso("data", "import", archives, "--venue", "simulated", "--data", "d")
        found = virtuoso("score", "BTCUSDT", "--data", "d", *SAME, "--json").json
        assert found["file"] == "d/scores/simulated_BTCUSDT_5m.parquet"
        table = pq.read_table(tmp_path / found["file"])
        assert table.num_rows == found["bars"] == DAYS * 288
        assert json.loads(table.schema.metadata[b"virtuoso"])["simulated"] is True

    def test_the_second_run_gives_the_same_table(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        for name in ("a", "b"):
            virtuoso("score", "ETHUSDT", "--data", stored, *SAME, "--out", f"{name}.parquet")
        virtuoso("score", "ETHUSDT", "--data", stored, *SAME, "--out", "c.parquet", "--no-cache")
        first = pq.read_table(tmp_path / "a.parquet")
        assert first.equals(pq.read_table(tmp_path / "b.parquet"))
        assert first.equals(pq.read_table(tmp_path / "c.parquet"))

    def test_says_which_components_are_known_on_which_timeframe(self, virtuoso: Virtuoso, stored: Path):
        found = virtuoso("score", "BTCUSDT", "--data", stored, *SAME, "--out", "s.parquet", "--json").json
        assert set(found["known_shares"]["technical.rsi"]) == {"5m", "30m", "4h"}
        assert 0.9 < found["known_shares"]["technical.rsi"]["5m"] < 1.0
        assert found["components"] == sum(bool(shares) for shares in found["known_shares"].values())

    def test_takes_the_finest_timeframe_if_none_is_given(self, virtuoso: Virtuoso, stored: Path):
        done = virtuoso(
            "score", "BTCUSDT", "--data", stored, "--timerange", "20250110-20250111", "--out", "s.parquet", "--json"
        )
        assert (done.json["timeframe"], done.json["bars"]) == ("1m", 1440)

    def test_says_that_the_market_is_simulated(self, virtuoso: Virtuoso, stored: Path):
        assert virtuoso("score", "BTCUSDT", "--data", stored, *SAME, "--out", "s.parquet").out.startswith(
            "SIMULATED DATA"
        )


class TestExplain:
    """Any past moment, from the bars that were known then."""

    def test_says_what_the_whole_history_says(self, virtuoso: Virtuoso, stored: Path):
        scores = workflows.score(workflows.load("BTCUSDT", "5m", data=stored))
        for at in ("2025-01-05T13:37Z", "2025-01-12T00:00Z"):
            found = virtuoso("explain", "BTCUSDT", "-i", "5m", "--at", at, "--data", stored, "--json").json
            expected = scores.explain(at)
            assert found["time"] == expected.time
            assert found["confluence"] == expected.confluence
            assert [row["impact"] for row in found["faces"]["technical"]] == [
                row.impact for row in expected.faces["technical"]
            ]

    def test_impacts_sum_to_the_confluence(self, virtuoso: Virtuoso, stored: Path):
        found = virtuoso("explain", "ETHUSDT", *SAME, "--data", stored, "--json").json
        assert sum(row["impact"] or 0.0 for row in found["total"]) == pytest.approx(found["confluence"], abs=1e-9)

    def test_one_face_is_one_table(self, virtuoso: Virtuoso, stored: Path):
        out = virtuoso("explain", "BTCUSDT", *SAME, "--data", stored, "--face", "volume").out
        assert out.count("Score Contribution Breakdown") == 1
        assert "Session VWAP" in out

    def test_faces_of_which_nothing_is_known_are_named_in_a_line(self, virtuoso: Virtuoso, stored: Path):
        brief, whole = (virtuoso("explain", "BTCUSDT", *SAME, "--data", stored, *more).out for more in ([], ["-v"]))
        assert "Nothing is known of Orderbook." in brief
        assert "Nothing is known of Orderbook." in whole
        assert whole.count("Score Contribution Breakdown") == 6
        assert brief.count("Score Contribution Breakdown") == 1
        assert "components that move it most" in brief

    def test_words_are_added_on_request(self, virtuoso: Virtuoso, stored: Path):
        assert "RSI" in virtuoso("explain", "BTCUSDT", *SAME, "--data", stored, "--face", "technical", "--words").out


@pytest.fixture(scope="module")
def plain(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which somebody ran it once, and what that said as JSON."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "few.yaml").write_text(FEW)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as said:
        assert main([*TRADED, "--data", str(stored), "-c", "few.yaml", "--json"]) == 0
    (folder / "said.json").write_text(said.getvalue())
    return folder


OWN = """
import numpy as np
import virtuoso as vt


class Rising(vt.Strategy):
    n = vt.Int(20, low=2, high=100)

    def decide(self, close):
        before = np.concatenate((np.full(self.n, np.nan), close[: -self.n]))[: len(close)]
        return np.where(close > before, 1.0, 0.0)


class Falling(Rising):
    def decide(self, close):
        return np.where(np.append(close[1:], close[-1]) < close, 1.0, 0.0)
"""


class TestOwnStrategy:
    """`--strategy MODULE:CLASS` beside the working folder, with its parameters."""

    @pytest.fixture(autouse=True)
    def module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        (tmp_path / "own_idea.py").write_text(OWN)
        monkeypatch.setattr(sys, "path", list(sys.path))
        yield
        sys.modules.pop("own_idea", None)

    def test_is_traded_with_its_parameters(self, virtuoso: Virtuoso, stored: Path):
        command = (*NO_PAGE, "--data", stored, "--strategy", "own_idea:Rising")
        said = virtuoso(*command, "--param", "n=12", "--json").json
        assert said["decided_by"]["class"] == "own_idea:Rising"
        assert said["decided_by"]["parameters"] == {"n": 12}
        assert said["metrics"]["trades"] > 10
        assert virtuoso(*command, "--json").json["folder"] != said["folder"]
        assert virtuoso(*command).next[:2] == ["verify", "BTCUSDT"]

    def test_is_verified(self, virtuoso: Virtuoso, stored: Path):
        command = ("verify", "BTCUSDT", *SAME, "--data", stored, "--live-bars", "50", "--strategy")
        clean, leaky = virtuoso(*command, "own_idea:Rising", "--param", "n=12"), virtuoso(*command, "own_idea:Falling")
        assert (clean.code, leaky.code) == (0, 4)
        assert clean.next[clean.next.index("--strategy") :][:4] == ["--strategy", "own_idea:Rising", "--param", "n=12"]
        assert "Falling() breaks the law of cutting on 5m first at the bar that closed" in leaky.err

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (("--strategy", "own_idea:Risin"), "Did you mean 'Rising'?"),
            (("--strategy", "own_idea"), "--strategy names 'own_idea'; a class is named as module:Class"),
            (("--strategy", "other_idea:Rising"), "No module named 'other_idea'"),
            (("--strategy", "own_idea:Rising", "--param", "m=3"), "Rising has no parameter 'm'"),
            (("--strategy", "own_idea:Rising", "--param", "n"), "Write --param NAME=VALUE"),
            (("--strategy", "own_idea:Rising", "--param", "n=500"), "must lie in 2..100 bars"),
            (("--param", "n=5"), "Name it with --strategy MODULE:CLASS"),
            (("--strategy", "own_idea:Rising", "--trail", "1"), "gives its own trail"),
        ],
    )
    def test_what_is_wrong_speaks_of_the_options(self, virtuoso: Virtuoso, stored: Path, given, said):
        refused = virtuoso(*NO_PAGE, "--data", stored, *given)
        assert refused.code in (1, 2)
        assert said in refused.err


class TestBacktest:
    """A run folder with everything in it, named by what went in, never overwritten."""

    @pytest.fixture
    def first(self, plain: Path, virtuoso: Virtuoso, tmp_path: Path) -> dict:
        """What the first run said, in a copy of its working folder."""
        copytree(plain, tmp_path, dirs_exist_ok=True)
        return json.loads((tmp_path / "said.json").read_text())

    def test_the_same_run_is_found_again(self, virtuoso: Virtuoso, stored: Path, few: Path, first: dict):
        again = virtuoso(*TRADED, "--data", stored, "-c", few, "--json").json
        assert first["folder"].startswith("reports/runs/simulated_BTCUSDT_5m_")
        assert (first["fresh"], again["fresh"]) == (True, False)
        assert again["folder"] == first["folder"]
        assert first["metrics"] == again["metrics"]

    def test_other_terms_are_another_run(self, virtuoso: Virtuoso, stored: Path, few: Path, first: dict):
        range_ = ("--timerange", "20250104-20250112")
        terms = (("--taker", "0.001"), ("--leverage", "2"), range_, ("--seed", "1"), ("--margin", "cross"))
        command = (*NO_PAGE, "--data", stored, "-c", few, "--json")
        folders = {first["folder"], *(virtuoso(*command, *given).json["folder"] for given in terms)}
        assert len(folders) == 6

    def test_the_tear_sheet_can_be_left_out_and_written_later(
        self, virtuoso: Virtuoso, stored: Path, few: Path, tmp_path: Path
    ):
        command = (*TRADED, "--data", stored, "-c", few)
        said, again = (virtuoso(*command, "--no-report") for _ in range(2))
        assert "page:" not in said.out
        assert "verdict:" in said.out
        folder = next(line for line in said.out.splitlines() if line.startswith("run folder: "))[12:]
        assert not list((tmp_path / folder).glob("tearsheet.*"))
        assert "it was only judged anew" in again.err
        assert virtuoso("report", tmp_path / folder).code == 0
        assert {path.suffix for path in (tmp_path / folder).glob("tearsheet.*")} == {".html", ".pdf"}

    def test_another_run_is_never_overwritten(self, virtuoso: Virtuoso, stored: Path, few: Path):
        command = (*NO_PAGE, "--data", stored, "-c", few, "--out", "mine")
        assert virtuoso(*command).code == 0
        refused = virtuoso(*command, "--cash", "5000")
        assert refused.code == 2
        assert "mine exists already" in refused.err

    def test_prints_what_the_run_is_worth(
        self, virtuoso: Virtuoso, stored: Path, few: Path, tmp_path: Path, first: dict
    ):
        done, whole = (virtuoso(*TRADED, "--data", stored, "-c", few, "--bounds", *more) for more in ([], ["-v"]))
        both = ("Total return", "optimistic", "Random entries", "the last price stands for the mark price", "page:")
        for words in (*both, "Assumed: ", "too few to tell skill from chance"):
            assert words in done.out
        for words in (*both, "ASSUMED: funding of 0.0100%", "Mean forward return over 4h", "By side"):
            assert words in whole.out
        page = next(line for line in done.out.splitlines() if line.startswith("page: "))
        assert "simulated" in (tmp_path / page.removeprefix("page: ")).read_text()

    def test_stored_finer_bars_tell_the_order_of_prices(self, virtuoso: Virtuoso, stored: Path, few: Path, first: dict):
        command = (*NO_PAGE, "--data", stored, "-c", few)
        told, plain = first, virtuoso(*command, "--inside", "none", "--json").json
        assert told["inside"]["timeframe"] == "1m"
        assert told["inside"]["share"] > 0.9
        assert plain["inside"] is None
        assert told["folder"] != plain["folder"]
        assert "1m bars resolve it in" in virtuoso(*command, "--inside", "1m", "-v").out

    def test_finer_bars_that_are_not_stored_are_named(self, virtuoso: Virtuoso, stored: Path, few: Path):
        refused = virtuoso(*TRADED, "--data", stored, "-c", few, "--inside", "15s")
        assert refused.code == 3
        assert "No 15s bars" in refused.err
        assert "leave --inside out" in refused.err

    def test_maintenance_tiers_are_the_venues_where_they_were_imported(
        self, virtuoso: Virtuoso, stored: Path, few: Path, tmp_path: Path, first: dict
    ):
        command = (*NO_PAGE, "-c", few, "--json")
        assert "maintenance tiers: flat 0.5 %" in first["assumed"]
        brackets = [{"notionalFloor": 0, "maintMarginRatio": 0.004, "initialLeverage": 125},
                    {"notionalFloor": 50_000, "maintMarginRatio": 0.01, "initialLeverage": 50}]  # fmt: skip
        file = tmp_path / "leverageBracket-2024-12-01.json"
        file.write_text(json.dumps([{"symbol": "BTCUSDT", "brackets": brackets}]))
        own = copytree(stored, tmp_path / "own")
        assert virtuoso("data", "import", file, "--venue", "simulated", "--data", own).code == 0
        found = virtuoso(*command, "--data", own).json
        assert not [words for words in found["assumed"] if "maintenance" in words]
        terms = json.loads((tmp_path / found["folder"] / "config.json").read_text())["terms"]
        assert terms["tiers"] == {"BTCUSDT simulated": [[0.0, 50_000.0], [0.004, 0.01], [0.0, 300.0]]}

    def test_many_symbols_share_one_wallet(self, virtuoso: Virtuoso, stored: Path, few: Path, tmp_path: Path):
        both = (*NO_PAGE[:1], "ETHUSDT", *NO_PAGE[1:])
        found = virtuoso(*both, "--data", stored, "-c", few, "--json").json
        assert [market["symbol"] for market in found["instruments"]] == ["ETHUSDT", "BTCUSDT"]
        assert "/simulated_BTCUSDT_and_1_more_5m_" in found["folder"]
        trades = pq.read_table(tmp_path / found["folder"] / "trades.parquet")
        assert set(trades["symbol"].to_pylist()) == {"BTCUSDT", "ETHUSDT"}

    def test_E45_without_funding_it_is_refused_and_names_the_option(self, virtuoso: Virtuoso, stored: Path):
        refused = virtuoso("backtest", "BTCUSDT", *SAME, "--data", stored, "--mark", "last")
        assert refused.code == 3
        assert "Funding of BTCUSDT simulated is not known from 2025-01-01" in refused.err
        assert "--assume-funding 0.0001" in refused.err

    def test_E45_without_mark_prices_it_is_refused_and_names_the_option(self, virtuoso: Virtuoso, stored: Path):
        refused = virtuoso("backtest", "BTCUSDT", *SAME, "--data", stored, "--assume-funding", "0.0001")
        assert refused.code == 3
        assert "--mark last" in refused.err

    def test_risk_is_what_configuration_says(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        (tmp_path / "r.yaml").write_text("trading: {base_position_size: 0.03}\n")
        folder = virtuoso(*NO_PAGE, "--data", stored, "-c", "r.yaml", "--json").json["folder"]
        terms = json.loads((tmp_path / folder / "config.json").read_text())["terms"]
        assert terms["limits"]["base_size"] == 0.03

    def test_crosscheck_lists_trades_that_vectorbt_makes_otherwise(
        self, virtuoso: Virtuoso, stored: Path, few: Path, tmp_path: Path
    ):
        command = (*NO_PAGE, "--data", stored, "-c", few, "--trail", "0.2", "--crosscheck")
        said = virtuoso(*command).out
        assert "trades by the contract" in said
        listed = said[said.index("Cross-check") :]
        assert re.search(r"DECIDED +TRADE +CAUSE +CONTRACT +VECTORBT", listed)
        assert re.search(r"2025-01-\d\d \d\d:\d\d +[▲▼] BTCUSDT +trailing stop", listed)
        found = virtuoso(*command, "--json").json
        assert found["crosscheck"]["trades"]["contract"] == len(found["crosscheck"]["differences"]) + (
            found["crosscheck"]["trades"]["same"]
        ) - sum(one["contract"] is None for one in found["crosscheck"]["differences"])
        assert "unexplained" not in found["crosscheck"]["causes"]
        kept = json.loads((tmp_path / found["folder"] / "crosscheck.json").read_text())
        assert kept == found["crosscheck"]

    @pytest.mark.parametrize("fills", ["vectorbt", "vectorbtt"])
    def test_other_fills_are_refused_and_the_cross_check_is_named(self, virtuoso: Virtuoso, stored: Path, fills: str):
        refused = virtuoso("backtest", "BTCUSDT", *SAME, "--data", stored, "--fills", fills)
        assert refused.code == 2
        assert "--crosscheck" in refused.err


SWEPT_STRATEGY = """
import numpy as np
import virtuoso as vt


class Cross(vt.Strategy):
    fast = vt.Int(5, low=2, high=50)
    slow = vt.Int(30, low=10, high=100)

    def decide(self, close):
        mean = lambda n: np.convolve(close, np.ones(n) / n)[: len(close)]
        return np.where(mean(self.fast) > mean(self.slow), 1.0, 0.0)
"""


class TestSweep:
    """Many configurations at once; what the best of so many is worth; and the best one run in full."""

    SWEPT = ("sweep", "BTCUSDT", *SAME, "--configurations", "40", "--assume-funding", "0.0001", "--mark", "last")

    def test_the_full_backtest_of_the_best_finds_the_same(self, virtuoso: Virtuoso, stored: Path, few: Path):
        swept = virtuoso(*self.SWEPT, "--data", stored, "-c", few, "--by", "net_return", "--json").json
        full = virtuoso(*shlex.split(swept["next"])[1:], "--no-report", "--json").json["metrics"]
        best = swept["best"][0]
        assert best["trades"] > 0
        assert (full["total_return"], full["max_drawdown"]) == (best["net_return"], best["max_drawdown"])
        assert full["trades"] == best["trades"]

    def test_the_same_sweep_is_found_again(self, virtuoso: Virtuoso, stored: Path, few: Path):
        first, again = (virtuoso(*self.SWEPT, "--data", stored, "-c", few, "--json").json for _ in range(2))
        assert first["folder"].startswith("reports/runs/simulated_BTCUSDT_5m_sweep_")
        assert (first["fresh"], again["fresh"]) == (True, False)
        assert (first["folder"], first["best"]) == (again["folder"], again["best"])

    def test_a_strategy_is_swept_over_a_grid_and_its_best_run_in_full(
        self, virtuoso: Virtuoso, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "swept_by_me.py").write_text(SWEPT_STRATEGY)
        monkeypatch.syspath_prepend(tmp_path)
        asked = ("--strategy", "swept_by_me:Cross", "--grid", "fast=5:20:5", "--grid", "slow=30,60")
        terms = ("--assume-funding", "0.0001", "--mark", "last", "--data", stored)
        swept = virtuoso("sweep", "BTCUSDT", *SAME, *asked, *terms, "--by", "net_return", "--json").json
        assert swept["configurations"] == 6
        full = virtuoso(*shlex.split(swept["next"])[1:], "--no-report", "--json").json["metrics"]
        assert full["total_return"] == swept["best"][0]["net_return"]
        shown = virtuoso("sweep", "BTCUSDT", *SAME, *asked, *terms).out
        for words in ("configurations of Cross", "FAST", "SLOW", "lateau around the best"):
            assert words in shown

    @pytest.mark.parametrize("said", ["fast", "fast=", "fast=a,b", "fast=9:5", "fast=1:2:0", "=5"])
    def test_a_grid_that_gives_no_values_is_refused_with_the_form(self, virtuoso: Virtuoso, stored: Path, said: str):
        done = virtuoso("sweep", "BTCUSDT", *SAME, "--grid", said, "--data", stored)
        assert "Write --grid NAME=VALUES" in done.err

    def test_says_how_many_were_tried_and_what_luck_explains(self, virtuoso: Virtuoso, stored: Path, few: Path):
        shown = virtuoso(*self.SWEPT, "--data", stored, "-c", few).out
        for words in ("SIMULATED DATA", "tries so far", "owes much to chance", "page: "):
            assert words in shown
        whole = virtuoso(*self.SWEPT, "--data", stored, "-c", few, "-v").out
        for words in ("PSR", "deflated Sharpe (DSR)", "p-value, best of N", "overfitting (PBO)"):
            assert words in whole

    def test_is_counted_once_among_all_tries_on_the_same_data(self, virtuoso: Virtuoso, stored: Path, few: Path):
        counts = [virtuoso(*self.SWEPT, "--data", stored, "-c", few, "--json").json["honesty"]["tries"] for _ in (1, 2)]
        more = virtuoso(*self.SWEPT, "--seed", "5", "--data", stored, "-c", few, "--json").json["honesty"]["tries"]
        assert counts == [40, 40]
        assert more == 80

    def test_what_it_cannot_express_is_refused(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        (tmp_path / "calm.yaml").write_text("signals: {regimes: [calm range]}")
        refused = virtuoso(*self.SWEPT, "--data", stored, "-c", tmp_path / "calm.yaml")
        assert refused.code == 2
        assert "calm range" in refused.err

    def test_what_cannot_be_ranked_is_refused(self, virtuoso: Virtuoso, stored: Path, few: Path):
        refused = virtuoso(*self.SWEPT, "--data", stored, "-c", few, "--by", "sharp")
        assert refused.code == 2
        assert "Did you mean 'sharpe'" in refused.err


class TestVerify:
    """A certificate on the user's own data; exit code 4 where a law is broken."""

    RANGE = ("--timerange", "20250101-20250106", "--live-bars", "40")

    def test_writes_a_certificate_that_holds(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        done = virtuoso("verify", "BTCUSDT", *SAME, "--data", stored, *self.RANGE, "--json")
        assert done.code == 0, done.err
        assert done.json["holds"] is True
        written = [tmp_path / file for file in done.json["files"]]
        assert [file.suffix for file in written] == [".json", ".txt"]
        assert json.loads(written[0].read_text())["live_bars"] == 40
        assert "every law that could be tested holds" in written[1].read_text()
        assert set(done.json["rarest"]) == {"5m"}
        assert {finding["verdict"] for finding in done.json["findings"]} <= {"holds", "not tested"}

    def test_too_few_bars_certify_nothing(self, virtuoso: Virtuoso, stored: Path, tmp_path: Path):
        done = virtuoso("verify", "BTCUSDT", *SAME, "--data", stored, "--timerange", "20250101-20250102")
        assert done.code == 3
        assert "too few to examine one component on" in done.err.splitlines()[0]
        assert not (tmp_path / "reports").exists()

    def test_a_leak_is_named_with_its_first_bar(
        self, virtuoso: Virtuoso, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "peeking.py").write_text(
            "import numpy as np\n"
            "from virtuoso import Component, Squash, ratio\n\n\n"
            "class Peeking(Component):\n"
            '    """The next close against this one."""\n\n'
            '    title, source, scale = "Peeking", "a test", Squash(half=1.0)\n'
            '    bands = {0: "{value}"}\n\n'
            "    def memory(self, timeframe):\n        return 2\n\n"
            "    def value(self, close, high, low):\n"
            "        return ratio(np.append(close[1:], close[-1:]) - close, high - low)\n"
        )
        weights = "rsi: 0.20, ao: 0.20, macd: 0.15, williams_r: 0.15, cci: 0.10, atr: 0.10, peeking: 0.10"
        (tmp_path / "p.yaml").write_text(
            f"prism:\n  components: ['peeking:Peeking']\n  faces: {{technical: {{components: {{{weights}}}}}}}\n"
        )
        monkeypatch.setattr(sys, "path", [*sys.path])  # the module lies beside the settings, and is found there
        done = virtuoso("verify", "BTCUSDT", *SAME, "--data", stored, *self.RANGE, "-c", "p.yaml", "-q")
        assert done.code == 4
        lines = done.err.splitlines()
        assert len(lines) == 2
        assert "Peeking" in lines[0]
        assert "first at the bar that closed 2025-01-0" in lines[0]
        assert "BROKEN" in done.out


class TestSignals:
    """What history said, and what is on file."""

    @pytest.fixture
    def said(self, virtuoso: Virtuoso, stored: Path, few: Path) -> list[dict]:
        done = virtuoso(
            "signals", "list", "BTCUSDT", *SAME, "--data", stored, "-c", few, "--write", "--limit", "4", "--json"
        )
        assert done.code == 0, done.err
        return done.json["signals"]

    def test_are_derived_from_history_newest_first(self, said: list[dict]):
        times = [signal["timestamp"] for signal in said]
        assert len(times) == 4
        assert times == sorted(times, reverse=True)
        assert all(signal["simulated"] for signal in said)

    def test_are_listed_from_file(self, virtuoso: Virtuoso, said: list[dict]):
        listed = virtuoso("signals", "list", "--limit", "2", "--json").json["signals"]
        assert [signal["id"] for signal in listed] == [signal["id"] for signal in said[:2]]
        assert "BTCUSDT simulated 5m" in virtuoso("signals", "list").out

    def test_are_the_same_on_whatever_range_they_are_derived(
        self, virtuoso: Virtuoso, stored: Path, few: Path, said: list[dict]
    ):
        options = (*SAME, "--data", stored, "-c", few, "--limit", "4", "--timerange", "20250108-", "--json")
        again = virtuoso("signals", "list", "BTCUSDT", *options).json["signals"]
        assert [signal["id"] for signal in again] == [signal["id"] for signal in said]

    def test_are_shown_by_id_by_file_name_and_by_path(self, virtuoso: Virtuoso, tmp_path: Path, said: list[dict]):
        name = said[0]["file_references"]["json"].rsplit("/", 1)[1]
        for key in (said[0]["id"], said[0]["id"][:8], name, f"reports/json/{name}"):
            assert virtuoso("signals", "show", key, "--json").json["id"] == said[0]["id"]
        out = virtuoso("signals", "show", said[0]["id"]).out
        assert out.startswith("SIMULATED DATA  ")
        assert "Insights" in out

    def test_that_are_not_there_are_none(self, virtuoso: Virtuoso):
        done = virtuoso("signals", "list")
        assert done.code == 0
        assert done.out.startswith("0 signals on file in reports/json")


class TestConfigShow:
    """What is in force, and who set it; never a secret."""

    def test_names_the_origin_of_what_is_not_default(
        self, virtuoso: Virtuoso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "mine.yaml").write_text("signals: {bull_enter: 70}\n")
        monkeypatch.setenv("VIRTUOSO_API__PORT", "9000")
        out = virtuoso("config", "show", "-c", "mine.yaml", "--data", "elsewhere").out
        assert any(line.startswith("signals.bull_enter") and "mine.yaml" in line for line in out.splitlines())
        assert any(line.startswith("api.port") and "9000" in line for line in out.splitlines())
        assert any(line.startswith("data.root") and "elsewhere" in line for line in out.splitlines())

    def test_never_shows_a_secret(self, virtuoso: Virtuoso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "x.yaml").write_text(
            'exchanges: [{name: binance, type: spot, api_key: "${A_KEY}", api_secret: "${A_SECRET}"}]\n'
        )
        monkeypatch.setenv("A_KEY", "hunter2-and-more")
        for form in ((), ("--json",)):
            done = virtuoso("config", "show", "-c", "x.yaml", *form)
            assert done.code == 0
            assert "hunter2" not in done.out + done.err
            assert "A_SECRET" in done.out


class TestSet:
    """`--set signals.bull_enter=60`: one setting, from the command line, above every file."""

    def test_is_typed_wins_over_files_and_environment_and_is_carried_on(
        self, virtuoso: Virtuoso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "mine.yaml").write_text("signals: {bull_enter: 70}")
        monkeypatch.setenv("VIRTUOSO_SIGNALS__BULL_ENTER", "71")
        given = ("--set", "signals.bull_enter=60", "--set", "prism.timeframes={5m: 0.6, 1h: 0.4}")
        done = virtuoso("config", "show", "-c", "mine.yaml", *given, "--json").json
        assert done["settings"]["signals"]["bull_enter"] == 60
        assert done["settings"]["prism"]["timeframes"] == {"5m": 0.6, "1h": 0.4}
        assert done["origins"]["signals.bull_enter"] == "--set"
        assert shlex.split(done["next"])[-4:] == list(given)

    def test_the_later_one_wins_and_data_wins_over_both(self, virtuoso: Virtuoso):
        given = (
            "--set",
            "signals.bull_enter=60",
            "--set",
            "signals.bull_enter=61",
            "--set",
            "data.root=a",
            "--data",
            "b",
        )
        found = virtuoso("config", "show", *given, "--json").json
        assert found["settings"]["signals"]["bull_enter"] == 61
        assert found["settings"]["data"]["root"] == "b"

    @pytest.mark.parametrize(
        ("given", "what", "remedy"),
        [
            ("signals.bull_entr=60", "signals.bull_entr in --set", "Did you mean 'bull_enter'?"),
            ("bull_enter=60", "bull_enter in --set", "Did you mean 'signals.bull_enter'?"),
            ("signal.bull_enter=60", "signal in --set", "Did you mean 'signals'?"),
            ("signals.bull_enter", "not KEY=VALUE", "--set signals.bull_enter=60"),
            ("signals.bull_enter=high", "must be a number, was 'high'", "default is 68"),
            ("signals.bull_enter={", "not valid YAML", ""),
            ("signals=60", "must hold keys of its own", ""),
            ("exchanges[0].name=x", "not KEY=VALUE", ""),
        ],
    )
    def test_what_is_wrong_is_said_of_it(self, virtuoso: Virtuoso, given: str, what: str, remedy: str):
        done = virtuoso("config", "show", "--set", given)
        assert (done.code, done.out) == (2, "")
        first, second = done.err.splitlines()
        assert what in first
        assert "--set" in first
        assert remedy in second

    def test_every_verb_takes_it(self):
        for command in COMMANDS:
            assert "--set KEY=VALUE" in CliRunner().invoke(app, [*command.split(), "--help"]).output, command


class TestDoctor:
    """Everything that Virtuoso stands on, with a remedy for what does not hold."""

    def test_is_content_with_a_good_place(self, virtuoso: Virtuoso, stored: Path):
        done = virtuoso("doctor", "--data", stored, "--json")
        assert done.code == 0
        verdicts = {check["name"]: check["verdict"] for check in done.json["checks"]}
        assert {"python", "libraries", "TA-Lib", "configuration", "components", "lake", "clock"} <= set(verdicts)
        assert "fails" not in verdicts.values()

    def test_a_broken_setting_is_code_2_and_named_once(self, virtuoso: Virtuoso, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("VIRTUOSO_SIGNALS__BULL_ENTER", "40")
        done = virtuoso("doctor")
        assert done.code == 2
        assert "VIRTUOSO_SIGNALS__BULL_ENTER" in done.out
        assert "1 check failed" in done.out

    def test_a_missing_private_component_is_found(self, virtuoso: Virtuoso, tmp_path: Path):
        (tmp_path / "x.yaml").write_text("prism: {components: ['nowhere_at_all:Thing']}\n")
        done = virtuoso("doctor", "-c", "x.yaml", "--json")
        assert done.code == 2
        failed = next(check for check in done.json["checks"] if check["verdict"] == "fails")
        assert "nowhere_at_all" in failed["found"]

    def test_a_damaged_manifest_is_code_3(self, virtuoso: Virtuoso, archives: Path, tmp_path: Path):
        virtuoso("data", "import", archives, "--venue", "simulated", "--data", "d")
        newest = max((tmp_path / "d" / "lake" / "manifests" / "bars").iterdir())
        newest.write_text(newest.read_text()[:-40])
        done = virtuoso("doctor", "--data", "d")
        assert done.code == 3


class TestPrivateCode:
    """Code of the user's own that fails is named as his: file, line, what Python says; it never ends the program."""

    WEIGHTS = "faces: {technical: {components: {cci: 1/12, tilt: 1/12}}}"
    BODY = """
        import sys
        import virtuoso as vt

        class Tilt(vt.Component):
            title, source = "Tilt", "own"
            scale = vt.Linear(zero=-1, hundred=1)
            bands = {0: "tilted"}

            def memory(self, timeframe):
                return 10

            def value(self, close):
                return %s
    """

    @pytest.fixture
    def own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
        """Write the module, and say which options of a command name it."""
        (tmp_path / "own").mkdir()
        monkeypatch.syspath_prepend(tmp_path / "own")

        def write(text: str) -> list[str]:
            (tmp_path / "own" / "tilted_ideas.py").write_text(textwrap.dedent(text))
            (tmp_path / "x.yaml").write_text(f"prism: {{components: ['tilted_ideas:Tilt'], {self.WEIGHTS}}}\n")
            monkeypatch.delitem(sys.modules, "tilted_ideas", raising=False)
            importlib.invalidate_caches()
            return ["-c", "x.yaml"]

        return write

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("def broken(:\n", "line 1: SyntaxError: invalid syntax"),
            ("\n\nraise SystemExit(0)\n", "line 3: SystemExit: 0"),
            ("import sys\nsys.exit()\n", "line 2: SystemExit"),
            ("x = undefined\n", "line 1: NameError: name 'undefined' is not defined"),
            ("raise ValueError('z' * 50_000_000)\n", "line 1: ValueError: zzz"),
            ("class Stop(BaseException): ...\nraise Stop('now')\n", "line 2: Stop: now"),
            ("from virtuoso import NoSuchThing\n", "line 1: ImportError"),
            ("raise ValueError('\\x1b[2J')\n", r"ValueError: \x1b[2J"),
        ],
    )
    def test_that_cannot_be_imported(self, virtuoso: Virtuoso, stored: Path, own, text: str, said: str):
        done = virtuoso("score", "BTCUSDT", "--data", stored, *SAME, *own(text))
        assert (done.code, done.out) == (2, "")
        assert "prism.components names 'tilted_ideas:Tilt', whose code fails in" in done.err
        assert "tilted_ideas.py" in done.err
        assert said in done.err
        assert "fault of Virtuoso" not in done.err
        assert len(done.err) < 5_000

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            ("close.rolling(3)", "AttributeError: 'numpy.ndarray' object has no attribute 'rolling'"),
            ("sys.exit(0)", "Tilt().value ends the program in"),
            ("list(close)", "Tilt().value gave a list; it must give a NumPy array"),
            ("None", "Tilt().value gave a NoneType"),
            ("close[1:]", "gave an array of shape"),
        ],
    )
    def test_that_fails_on_the_data(self, virtuoso: Virtuoso, stored: Path, own, returned: str, said: str):
        done = virtuoso("score", "BTCUSDT", "--data", stored, *SAME, *own(self.BODY % returned))
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert "Tilt()" in done.err
        assert "fault of Virtuoso" not in done.err

    def test_that_works_is_scored(self, virtuoso: Virtuoso, stored: Path, own):
        works = own(self.BODY % "close * 0.0")
        assert virtuoso("score", "BTCUSDT", "--data", stored, *SAME, *works).code == 0


class TestKnownShares:
    """What `score` prints about coverage is counted on each timeframe's own bars."""

    def test_is_the_share_of_finite_scores(self, stored: Path):
        scores = workflows.score(workflows.load("BTCUSDT", "5m", data=stored))
        shares = workflows.known_shares(scores)["technical.rsi"]
        rsi = scores.prism["technical.rsi"]
        bars = scores.frame.bars(scores.prism.ladder(scores.frame.timeframe)[1][0])
        values = scores.workspace.values(rsi, bars.timeframe, bars.first, bars.end)[0]
        assert shares["30m"] == pytest.approx(float(np.isfinite(values).mean()), abs=0.01)
