"""Notebooks: they run offline on the simulated market, and what they say is what the run showed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
MOST_CELLS = 20

CLAIMS = {
    "01-a-first-backtest": {
        "nothing is signalled in the first days": "trades['decided_at'].min().day >= 3",
        "Holding would have made a quarter": "0.2 < result.benchmark_metrics['total_return'] < 0.3",
        "the signals as shipped made less than a hundredth": "0.0 < result.metrics['total_return'] < 0.01",
        "from fewer than thirty trades": "0 < len(result.trades) < 30",
        "here they lie at 74 and 26": "round(50 + reach) == 74 and round(50 - reach) == 26",
        "Before costs their trades made something": "before.iloc[-1] > 0",
        "fees and slippage took more than four fifths of it": "(before - after).iloc[-1] > 0.8 * before.iloc[-1]",
        "about a fifth did better": "0.74 < result.random_entries.percentile < 0.84",
        "no interval lies clear of what all bars did anyway": "(lambda b: all(b['low_bp'] <= b['mean_bp'][-1]) and all(b['mean_bp'][-1] <= b['high_bp']))(result.buckets[result.buckets['horizon'] == '1h'])",  # noqa: E501
    },
    "02-my-own-component": {
        "no law found a bar at which it does not": "certificate.holds",
        "Shifted by one bar it was caught": "{'cutting', 'future', 'live'} <= {f.law for f in accusation.broken}",
        "the bar at which it can be seen": "accusation.broken[0].at is not None",
        "loses a third of the account": "-0.37 < honest.metrics['total_return'] < -0.28",
        "halted after a third of the time": "abs(honest.halted.share - 1 / 3) < 0.03",
        "most of it to costs": "honest.metrics['fees'] + honest.metrics['slippage'] > -0.5 * honest.trades['pnl'].sum()",  # noqa: E501
        "seem to more than double it": "dishonest.metrics['total_return'] > 1",
        "turns next to nothing into a loss": "together.metrics['total_return'] < -0.02 < without.metrics['total_return'] < 0.01",  # noqa: E501
    },
    "03-which-component-knows-something": {
        "sees the future where it is hidden": "ruler.rows['low'][ruler.rows['name'] == 'toys.peek'][0] > 0.3",
        "finds nothing in a coin": "ruler.rows['low'][ruler.rows['name'] == 'toys.coin'][0] < 0 < ruler.rows['high'][ruler.rows['name'] == 'toys.coin'][0]",  # noqa: E501
        "no score comes near what half a look at the future would show": "found.to_pandas()['ic'].abs().max() < 0.5 * ruler.rows['ic'][ruler.rows['name'] == 'toys.peek'][0]",  # noqa: E501
    },
    "04-from-vectorbt": {
        "so that the trades must be equal": "len(trades) == len(closed) > 30 and apart < 1e-9",
        "is `position=`": "abs(orders.value().iloc[-1] / weighted.equity.iloc[-1] - 1.0) < 1e-9",
        "the trades are the same": "(returned - mine).abs().max().max() < 1e-9",
        "Now there are funding": "paid != 0.0",
        "names the first bar at which something changes": "honest.holds and peeking.broken[0].at is not None",
    },
    "05-reading-a-study": {
        "tested on what follows, a day apart": "len(found.walk_forward['date']) == 3 * 14",
        "Failed ones count as tries": "verdict['tries'] >= len(trials) == 128",
        "What could not be tested does not pass": "verdict['passed'] < verdict['asked']",
        "would refuse, and say the same": "not verdict['promotable'] and verdict['reasons']",
        "the command that is printed here gives the same one": "found.winner_run.result_hash == found.result_hash",
    },
}
"""What the words say, and what must be true of the run for that."""
NEEDED = {"04-from-vectorbt": {"numpy", "pandas", "talib", "vectorbt"}}
"""What a notebook needs besides virtuoso, since it is about that."""


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a folder; an error in a cell is an error of the test."""
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return client.execute()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, in which the kernel keeps whatever it writes."""
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestANotebook:
    """One question, few cells, virtuoso alone, an answer that holds."""

    def test_runs_and_says_what_the_run_showed(self, path, home):
        claims = CLAIMS[path.stem]
        text = " ".join(re.sub(r"\n# ?", " ", path.read_text(encoding="utf-8")).split())
        assert [words for words in claims if words not in text] == []

        notebook = jupytext.read(path)
        checks = "\n".join(f"assert {claim}, {words!r}" for words, claim in claims.items())
        notebook.cells.append(nbformat.v4.new_code_cell(checks))
        try:
            done = run(notebook, home)
        except CellExecutionError as failed:
            pytest.fail(str(failed))

        outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
        said = [output.text for output in outputs if output.get("name") == "stderr"]
        assert not [text for text in said if not text.startswith("Virtuoso compiles kernels")]  # where none was yet
        assert [output for output in outputs if "image/png" in output.get("data", {})]

    def test_is_the_same_in_both_of_its_files_and_carries_no_outputs(self, path, home):
        reviewed, paired = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
        nbformat.validate(paired)
        assert [(cell.cell_type, cell.source) for cell in paired.cells] == [
            (cell.cell_type, cell.source) for cell in reviewed.cells
        ], "run: jupytext --sync notebooks/*.py"
        assert not [cell for cell in paired.cells if cell.get("outputs") or cell.get("execution_count")]
        assert {"display_name", "language"} <= set(paired.metadata.kernelspec)

    def test_is_short_asks_a_question_and_needs_virtuoso_alone(self, path, home):
        notebook = jupytext.read(path)
        assert len(notebook.cells) <= MOST_CELLS
        assert re.match(r"# [^\n]*\?\n", notebook.cells[0].source)
        imported = re.findall(r"^(?:import|from) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(imported) <= {"virtuoso", "tempfile", "os"} | NEEDED.get(path.stem, set())

    def test_needs_the_front_door_alone_and_shows_pictures(self, path, home):
        code = "\n".join(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")
        for line in re.findall(r"^.*\bvirtuoso\b.*$", code, re.MULTILINE):
            assert line == "import virtuoso as vt" or "mkdtemp" in line, line
        assert ".plot(" in code
        assert "letter" not in path.read_text(encoding="utf-8").lower()


def test_one_command_opens_them():
    """`make notebook` starts JupyterLab of the project's own environment, in the folder of the notebooks."""
    command = ["make", "-n", "--no-print-directory", "notebook"]  # these tests may themselves be run by make
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == [".venv/bin/jupyter", "lab", "--notebook-dir", "notebooks"]
