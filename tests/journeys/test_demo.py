"""The demo, small: one command from nothing to a page that a person opens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.markets import copy_market
from tests.reports.pages import drawn
from virtuoso import demo
from virtuoso.cli import main
from virtuoso.config import Settings
from virtuoso.demo import SEED, SYMBOLS, TIMEFRAME, Journal, run, simulate, work
from virtuoso.errors import ConfigError
from virtuoso.signals.message.signal import Signal

DAYS = 8


class Links(HTMLParser):
    """What a page points to, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "a":
            self.links.append(found["href"])
        elif tag in ("img", "link", "iframe") or (tag == "script" and "src" in found):
            self.loaded.append(found.get("src") or found.get("href") or tag)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture(scope="module", autouse=True)
def few_streams() -> Iterator[None]:
    """Trades and book changes of a day or two: most of the work, and tests/test_docs.py makes all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "TRADE_DAYS", 2)
        patch.setattr(demo, "BOOK_DAYS", 1)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, few_streams: None) -> Path:
    """A folder in which the demo ran, with a threshold that eight days can reach."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "soon.yaml").write_text("signals: {min_coverage: 0.05}\n")
    settings = Settings.load(folder / "soon.yaml", root=folder, env={}, overrides=_places(folder))
    run(settings, days=DAYS)
    return folder


def _places(folder: Path) -> dict[str, str]:
    return {"data.root": str(folder / "data"), "signals.reports": str(folder / "reports")}


class TestTheFolderOfTheDemo:
    """Pages that need nothing else, run folders, signals: all of it labelled simulated."""

    def test_holds_a_page_with_a_link_to_each_coin(self, project: Path):
        demo = project / "reports" / "demo"
        page = Links((demo / "index.html").read_text())
        assert {f"{symbol}/tearsheet.html" for symbol in SYMBOLS} <= set(page.links)
        assert all((demo / link).is_file() for link in page.links)

    def test_loads_nothing_from_anywhere(self, project: Path):
        for page in (project / "reports" / "demo").rglob("*.html"):
            text = page.read_text()
            assert Links(text).loaded == []
            said = drawn(text).replace("https://www.tradingview.com/", "")  # the link that the charts' licence asks for
            assert "http://" not in said.replace("http://www.w3.org/", "")
            assert "https://" not in said

    def test_says_simulated_on_every_page_and_in_every_document(self, project: Path):
        demo = project / "reports" / "demo"
        for page in demo.rglob("*.html"):
            assert "simulated market" in page.read_text()
        documents = list(demo.rglob("*.json"))
        assert len(documents) > 3 * len(SYMBOLS)
        for document in documents:
            found = json.loads(document.read_text(), parse_constant=_refuse)
            assert found.get("simulated") is True or found["instruments"].endswith(" simulated")

    def test_holds_signals_that_say_so_in_their_names_too(self, project: Path):
        files = sorted((project / "reports" / "demo" / "json").iterdir())
        assert files
        for file in files:
            signal = Signal.from_json(file.read_bytes())
            assert signal.simulated
            assert signal.venue == "simulated"
            assert "-SIMULATED" in file.name

    def test_keeps_the_market_apart_from_recorded_ones(self, project: Path):
        assert not (project / "data" / "lake").exists()
        assert (project / "data" / "simulated" / "lake").is_dir()
        assert (project / "data" / "simulated" / "raw" / "simulated").is_dir()

    def test_names_what_is_not_there_yet(self, project: Path):
        text = (project / "reports" / "demo" / "index.html").read_text()
        assert "Not there yet" in text
        assert "recorded for the last days only" in text


class TestRunningItAgain:
    """What is there is used; what belongs to somebody else is left alone."""

    @pytest.fixture
    def settings(self, project: Path) -> Settings:
        return Settings.load(project / "soon.yaml", root=project, env={}, overrides=_places(project))

    def test_gives_the_same_figures_from_the_same_archives(self, project: Path, settings: Settings):
        before = json.loads((project / "reports" / "demo" / "demo.json").read_text())["symbols"]
        told: list[str] = []
        run(settings, days=DAYS, say=told.append)
        assert any("are there already" in line for line in told)
        assert json.loads((project / "reports" / "demo" / "demo.json").read_text())["symbols"] == before

    def test_fewer_days_of_the_same_seed_need_no_other_market(self, project: Path, settings: Settings):
        told: list[str] = []
        journal, root = Journal(say=told.append), project / "data" / "simulated"
        simulate(root, DAYS - 2, SEED, journal)
        assert any("are there already" in line for line in told)
        made = work(root, TIMEFRAME, DAYS - 2, settings, journal)
        assert len(made[0].scores) == (DAYS - 2) * 288

    def test_another_seed_is_another_market(self, tmp_path: Path):
        made = []
        for seed in (1, 2, 1):
            simulate(tmp_path / "simulated", 1, seed, Journal(say=lambda text: None))
            made.append(sorted((file.name, file.read_bytes()) for file in tmp_path.rglob("*.zip")))
        assert made[0] == made[2] != made[1]

    def test_a_folder_of_somebody_else_is_not_touched(self, settings: Settings, tmp_path: Path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("precious")
        with pytest.raises(ConfigError, match=r"mine holds something that the demo did not make.*--out"):
            run(settings, days=DAYS, out=tmp_path / "mine")
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


class TestTheCommand:
    """`virtuoso demo` tells what it does while it does it."""

    @pytest.fixture
    def here(self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A working folder in which somebody ran the demo before."""
        copy_market(project, tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("VIRTUOSO_DATA", raising=False)
        return tmp_path

    def test_tells_each_step_and_ends_with_a_command_that_works(self, here: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["demo", "--days", f"{DAYS}", "-c", "soon.yaml"]) == 0
        out = capsys.readouterr().out
        assert "SIMULATED" in out.splitlines()[0]
        steps = [line.split()[1] for line in out.splitlines() if line.startswith("  ")]
        assert steps == ["simulate", "import", "score", "backtest", "signals", "pages"]
        following = next(line for line in out.splitlines() if line.startswith("next: virtuoso "))
        assert main(following.split()[2:]) == 0
        assert "BTCUSDT Confluence Score Contribution Breakdown" in capsys.readouterr().out

    def test_json_is_one_document(self, here: Path, capsys: pytest.CaptureFixture[str]):
        shutil.move("reports/demo", "pages")
        assert main(["demo", "--days", f"{DAYS}", "-c", "soon.yaml", "--json", "--out", "pages"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["page"] == "pages/index.html"
        assert set(found["symbols"]) == set(SYMBOLS)
