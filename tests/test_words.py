"""Words of the field on every surface, at one boundary; a reliability that nobody calibrated is never a number."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.reports.explanations import EXPLANATION
from tests.test_cli_examples import COMMANDS
from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.cli.app import app
from virtuoso.cli.terminal.console import leaning
from virtuoso.prism.result.explanation import face_bias
from virtuoso.prism.words import BEARISH_TO, BULLISH_FROM, RANKS, lean, lean_words, reliability_rank, reliability_words
from virtuoso.reports.contribution import TEXTURES, gauge
from virtuoso.reports.metrics import METRICS
from virtuoso.reports.palette import LIGHT
from virtuoso.venues.simulator import simulate, write_archive

AROUND = [
    (30.0, "strongly bearish"),
    (30.1, "bearish"),
    (45.0, "bearish"),
    (45.04, "bearish"),  # shown as 45.0
    (45.06, "neutral"),
    (50.0, "neutral"),
    (54.94, "neutral"),
    (54.96, "bullish"),  # shown as 55.0
    (55.0, "bullish"),
    (69.9, "bullish"),
    (70.0, "strongly bullish"),
]


PRIVATE = re.compile(
    r"\b(deepest|ways? out|by lot|trades that gained|growth a year|mean trade|time in the market|held smaller|"
    r"doubtful data|beside the returns|what else it might have come to|told and kept|(better|worse) order|"
    r"order within bars|order inside|luck|lucky|base clock|clocks|holding made|not left in time|"
    r"a room of|letters to|heuristic|1 (instruments|trades|signals|runs|gaps|files|bars|symbols))\b",
    re.IGNORECASE,
)
"""Words of a private dialect, for which a trader who searches a page finds nothing; and plurals of one."""
TERMS = "-i 5m --assume-funding 0.0001 --mark last"
SCREENS = (
    "score BTCUSDT -i 5m -v", "explain BTCUSDT -i 5m -v",
    f"backtest BTCUSDT {TERMS}", f"backtest BTCUSDT ETHUSDT {TERMS} --bounds -v", "report last", "runs", "runs last",
    f"sweep BTCUSDT {TERMS} --configurations 20", "verify BTCUSDT -i 5m --live-bars 100 -v",
    "signals list BTCUSDT -i 5m --write", "signals show last", "data list", "data check", "data verify",
    "config show", "doctor",
)  # fmt: skip
"""What prints on the terminal, in an order in which each has what it needs."""


def without_code(page: str) -> str:
    """What a page says: without scripts, styles and tags."""
    return re.sub(r"<[^>]*>", "\n", re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL))


def text_of_pdf(file: Path) -> str:
    """What a PDF says, where there is a program that reads it."""
    if shutil.which("pdftotext") is None:
        return ""
    return subprocess.run(["pdftotext", "-layout", str(file), "-"], check=True, capture_output=True, text=True).stdout


def private_words(text: str) -> list[str]:
    """Lines that speak the private dialect."""
    return [line.strip() for line in text.splitlines() if PRIVATE.search(line)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the lake of two simulated coins."""
    folder = tmp_path_factory.mktemp("words")
    write_archive(folder / "archives", simulate(["BTCUSDT", "ETHUSDT"], days=12, seed=7))
    source = str(folder / "archives" / "simulated")
    assert main(["data", "import", source, "--venue", "simulated", "--data", str(folder / "data"), "-q"]) == 0
    return folder


class TestEverySurface:
    def test_of_the_terminal(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        """One test of all: tests run in any order, and these need what stands before them."""
        monkeypatch.chdir(home)
        monkeypatch.delenv("VIRTUOSO_DATA", raising=False)
        for command in SCREENS:
            capsys.readouterr()
            code = main(shlex.split(command))
            out, err = capsys.readouterr()
            assert code == 0, (command, err)
            assert private_words(out) == [], command

    def test_of_the_pages(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        """Run page, PDF, page of a sweep, comparison, and the words that a run folder keeps."""
        monkeypatch.chdir(home)
        monkeypatch.delenv("VIRTUOSO_DATA", raising=False)
        for command in (f"backtest BTCUSDT {TERMS}", f"backtest ETHUSDT {TERMS}", "report last"):
            assert main(shlex.split(command)) == 0
        names = [run.name for run in workflows.list_runs() if run.what == "backtest"]
        assert main(["runs", "--compare", *names[:2]]) == 0
        seen = {}
        for file in sorted(home.glob("reports/**/*")):
            if file.suffix == ".html":
                seen[str(file)] = without_code(file.read_text())
            elif file.suffix == ".pdf":
                seen[str(file)] = text_of_pdf(file)
            elif file.name in ("words.json", "honesty.json", "summary.txt"):
                seen[str(file)] = file.read_text()
        assert {Path(name).suffix for name in seen} == {".html", ".pdf", ".json", ".txt"}
        capsys.readouterr()
        assert {name: found for name, text in seen.items() if (found := private_words(text))} == {}

    @pytest.mark.parametrize("command", ["", *COMMANDS])
    def test_of_the_help(self, command: str):
        assert private_words(CliRunner().invoke(app, [*command.split(), "--help"]).output) == []

    def test_of_the_figures(self):
        headings = [metric.heading for metric in METRICS]
        assert private_words("\n".join(headings)) == []
        for words in ("CAGR", "Max drawdown", "Exposure", "Win rate", "Profit factor", "Expectancy, R"):
            assert words in headings

    def test_the_scan_finds_what_it_is_for(self):
        for said in ("Deepest drawdown", "entered by lot", "better order", "reliability 0.56 (heuristic)", "1 trades"):
            assert private_words(said) == [said]
        assert private_words("11 trades, max drawdown, 1 trade") == []


class TestOneBoundary:
    @pytest.mark.parametrize(("score", "words"), AROUND)
    def test_words_colours_and_gauge_change_together(self, score, words):
        side = words.rpartition(" ")[2]
        assert lean(score) == side
        assert lean_words(score) == words
        assert face_bias("Technical", score) == f"Technical is {words} at {score:.1f}"
        colour = {"bullish": LIGHT.bullish, "bearish": LIGHT.bearish}.get(side, "")
        assert leaning("x", score).style == colour
        assert set(gauge(score)) - {" ", "│"} <= {TEXTURES[side]}

    def test_what_is_not_known_leans_nowhere(self):
        assert lean(np.nan) == lean_words(np.nan) == "unknown"
        assert face_bias("Technical", np.nan) == "Technical is not known"

    def test_a_number_that_reads_alike_is_called_alike(self):
        """What is printed decides: 54.96 reads 55.0, and 55.0 is bullish."""
        for score in np.random.default_rng(1).uniform(0.0, 100.0, 2_000):
            assert lean(score) == lean(float(f"{score:.1f}"))
            assert (lean(score) == "bullish") == (float(f"{score:.1f}") >= BULLISH_FROM)
            assert (lean(score) == "bearish") == (float(f"{score:.1f}") <= BEARISH_TO)


class TestReliability:
    def test_the_ranks_part_the_scale(self):
        assert [word for _, word in RANKS] == ["high", "medium", "low"]
        assert [reliability_rank(x) for x in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == [
            "low", "low", "medium", "medium", "high", "high",
        ]  # fmt: skip

    def test_uncalibrated_it_is_no_number(self):
        for x in np.linspace(0.0, 1.0, 101):
            assert not any(letter.isdigit() for letter in reliability_words(float(x)))

    def test_calibrated_it_is_a_percentage(self):
        assert reliability_words(0.56, "calibrated") == "56 % (calibrated)"
        assert reliability_words(0.56, "heuristic", "learned on 1h") == "medium (uncalibrated: learned on 1h)"
        assert reliability_words(np.nan, "calibrated") == "not known"

    def test_an_explanation_ranks_it(self):
        found = EXPLANATION
        assert f"reliability {reliability_words(found.reliability)}" in repr(found)
        assert f"{found.reliability:.2f}" not in repr(found)
