"""The demo, small: one command from nothing to a page that a person opens."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from inspect import getsource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import virtuoso as vt
from tests.markets import copy_market
from tests.reports.pages import drawn
from virtuoso.cli import main
from virtuoso.config import Settings
from virtuoso.demo import exhibits, ideas, market
from virtuoso.demo.journal import Journal
from virtuoso.demo.market import SEED, SYMBOLS, simulate
from virtuoso.demo.run import OWN, SHIPPED, TIMEFRAME, load, run, work
from virtuoso.errors import ConfigError
from virtuoso.reports.exhibits import Accused, Believed, Leak, Measured, Planted, stands_out
from virtuoso.reports.format import number, percent
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
        patch.setattr(market, "TRADE_DAYS", 2)
        patch.setattr(market, "BOOK_DAYS", 1)
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

    def test_holds_a_page_with_a_link_to_each_run(self, project: Path):
        demo = project / "reports" / "demo"
        links = [link for link in Links((demo / "index.html").read_text()).links if not link.startswith("#")]
        assert {f"{run}/tearsheet.html" for run in (SHIPPED, OWN)} <= set(links)
        assert all((demo / link).is_file() for link in links)

    def test_loads_nothing_from_anywhere(self, project: Path):
        for page in (project / "reports" / "demo").rglob("*.html"):
            text = page.read_text()
            assert Links(text).loaded == []
            said = drawn(text).replace("https://www.tradingview.com/", "")  # the link that the charts' licence asks for
            assert "http://" not in said.replace("http://www.w3.org/", "")
            assert "https://" not in said
        assert "<script" not in (project / "reports" / "demo" / "index.html").read_text()

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


def _facts(project: Path) -> dict[str, object]:
    found = json.loads((project / "reports" / "demo" / "demo.json").read_text())
    return {name: found[name] for name in ("symbols", "leak", "planted", "own_idea", "shipped_weights")}


class TestWhatThePageShows:
    """The page is made of facts, and says what they say; eight days are few, and it says that too."""

    @pytest.fixture
    def page(self, project: Path) -> str:
        """Its text, without markup."""
        written = (project / "reports" / "demo" / "index.html").read_text()
        text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", written, flags=re.DOTALL)
        return " ".join(unescape(text).split())

    def test_the_leak_is_caught_and_its_honest_twin_acquitted(self, project: Path, page: str):
        leak = _facts(project)["leak"]
        assert leak["caught"]
        assert leak["acquitted"]
        assert leak["one_bar_ahead_return"] > leak["honest_return"]
        assert {"cutting", "future"} <= {one["law"] for one in leak["broken"]}
        first = leak["broken"][0]
        assert "A leak, caught" in page
        named = f"{first['law']} on {first['timeframe']}, first at the close of {first['first_utc']}"
        assert f"vt.verify names the bar: {named}" in page
        for name in ("honest_return", "one_bar_ahead_return"):
            assert percent(leak[name], signed=True) in page

    def test_a_planted_effect_is_looked_for_where_it_is_and_where_it_is_not(self, project: Path, page: str):
        planted = _facts(project)["planted"]
        here = planted["information"]["Trade size"]
        assert here["planted"]["ic"] > here["not_planted"]["ic"]
        assert ("A planted effect, found" in page) == planted["found"]
        assert (
            f"{number(here['planted']['low'], 2, signed=True)} to {number(here['planted']['high'], 2, signed=True)}"
            in page
        )

    def test_the_code_it_shows_is_the_code_that_ran(self, page: str):
        for idea in (ideas.Tilt, ideas.PeekingTilt, ideas.TradeSize, ideas.EmaCross):
            assert " ".join(getsource(idea).split()) in page

    def test_the_own_idea_and_the_shipped_weights_are_judged(self, project: Path, page: str):
        for name in ("own_idea", "shipped_weights"):
            assert percent(_facts(project)[name]["total_return"], signed=True) in page
        assert "No edge is claimed for the weights that ship" in page


class TestRunningItAgain:
    """What is there is used; what belongs to somebody else is left alone."""

    @pytest.fixture
    def settings(self, project: Path) -> Settings:
        return Settings.load(project / "soon.yaml", root=project, env={}, overrides=_places(project))

    def test_gives_the_same_figures_from_the_same_archives(self, project: Path, settings: Settings):
        before = _facts(project)
        told: list[str] = []
        run(settings, days=DAYS, say=told.append)
        assert any("are there already" in line for line in told)
        assert _facts(project) == before

    def test_fewer_days_of_the_same_seed_need_no_other_market(self, project: Path, settings: Settings):
        told: list[str] = []
        journal, root = Journal(say=told.append), project / "data" / "simulated"
        simulate(root, DAYS - 2, SEED, journal)
        assert any("are there already" in line for line in told)
        made = work(load(root, TIMEFRAME, DAYS - 2, settings), root, settings, journal)
        assert len(made.scores[0]) == (DAYS - 2) * 288

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


class TestAnExhibit:
    """Words follow from facts: what was not found is told as not found."""

    def test_plants_nothing_but_a_drift_after_each_score(self):
        frame = random_frame(400)
        scores = vt.score(frame, exhibits.alone(ideas.Coin(), clock="5m"))
        moved = exhibits.plant(frame, scores).base.columns
        was = frame.base.columns
        assert np.array_equal(moved["volume"], was["volume"])
        growth = np.log(moved["close"] / was["close"])
        lean = scores.confluence / 50.0 - 1.0
        per_bar = exhibits.PLANTED_BP / 1e4 / 12.0
        assert np.allclose(np.diff(growth), per_bar * lean[:-1], atol=1e-12)  # a score moves the bar after it
        assert np.allclose(moved["open"][1:] / was["open"][1:], moved["close"][:-1] / was["close"][:-1])
        assert (moved["high"] >= np.maximum(moved["open"], moved["close"])).all()
        assert (moved["low"] <= np.minimum(moved["open"], moved["close"])).all()

    def test_an_effect_that_is_there_is_found_and_one_that_is_not_is_not(self):
        frame = random_frame(12_000)
        found = exhibits.planted(frame, Settings.load(env={}))
        assert found.found, found.measured
        assert not any(stands_out(one) for one in (found.measured[1].planted, found.measured[1].absent))
        assert found.heading == "A planted effect, found"

    @pytest.mark.parametrize(("planted", "absent", "told"), [
        ((0.1, 0.05, 0.15), (0.0, -0.05, 0.05), "and nothing where it is not"),
        ((0.1, 0.05, 0.15), (0.1, 0.05, 0.15), "excludes 0 too"),
        ((0.01, -0.05, 0.07), (0.0, -0.05, 0.05), "is not found"),
        (None, None, "is not found"),
    ])  # fmt: skip
    def test_says_what_was_seen(self, planted, absent, told):
        rows = np.empty(0)
        assert told in Planted([Measured("Size", planted, absent)], rows, rows, 20.0, "1h", "").verdict

    def test_a_leak_that_no_law_could_see_is_not_called_caught(self):
        both = [Believed(name, np.arange(2), np.ones(2), 0, 0.0) for name in ("honest", "one bar ahead")]
        leak = Leak((both[0], both[1]), [], True, [], "")
        assert not leak.caught
        assert "too few bars" in leak.verdict
        accused = Leak((both[0], both[1]), [Accused("future", "5m", 0, "")], False, [], "")
        assert not accused.caught
        assert "should not be" in accused.verdict


def random_frame(n: int) -> vt.MarketFrame:
    """A random walk whose trades are larger in some hours than in others, whatever the price does."""
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, n)))
    opened = np.concatenate(([100.0], close[:-1]))
    size = np.exp(0.4 * np.repeat(rng.normal(size=n // 10 + 1), 10)[:n])
    trades = rng.poisson(50.0, n) + 1.0
    table = pd.DataFrame(
        {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close,
         "volume": trades * size, "trades": trades},
        index=pd.date_range("2025-01-01", periods=n, freq="5min", tz="UTC"),
    )  # fmt: skip
    return vt.MarketFrame.from_pandas(table, "5m", symbol="BTCUSDT", venue="simulated", index="open")


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
        assert steps == [
            "simulate",
            "import",
            "score",
            "backtest",
            "signals",
            "leak",
            "planted",
            "own",
            "tune",
            "pages",
        ]
        following = next(line for line in out.splitlines() if line.startswith("next: virtuoso "))
        assert main(following.split()[2:]) == 0
        assert "BTCUSDT Confluence Score Contribution Breakdown" in capsys.readouterr().out

    def test_json_is_one_document(self, here: Path, capsys: pytest.CaptureFixture[str]):
        shutil.move("reports/demo", "pages")
        assert main(["demo", "--days", f"{DAYS}", "-c", "soon.yaml", "--json", "--out", "pages"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["page"] == "pages/index.html"
        assert set(found["symbols"]) == set(SYMBOLS)
