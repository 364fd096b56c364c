"""The page of a sweep: from its run folder alone; its ranking, heat map and plateau are those of the result."""

import re

import numpy as np
import pytest

from tests.reports.pages import Tree, drawn
from tests.reports.test_browser import CHROMIUM, DESK, PHONE, PLANTED, sync_api
from tests.research.scenes import market, scored
from virtuoso import workflows
from virtuoso.errors import NoDataError
from virtuoso.reports.sweep_page import MOST_ROWS, SweepPage, html
from virtuoso.runs.read import RunData, read_sweep
from virtuoso.runs.schema import CONFIG, HONESTY, PROVENANCE, TRIALS

GRID = {"bull_enter": [58, 60, 62, 64], "bear_enter": [42, 40, 38]}


@pytest.fixture(scope="module")
def result():
    return workflows.sweep(scored(market(7, bars=4_000)), GRID, record=False, mark="last", assume_funding=0.0001)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    return workflows.save_run(result, tmp_path_factory.mktemp("runs") / "sweep")[0]


@pytest.fixture(scope="module")
def page(folder):
    return SweepPage(read_sweep(folder))


def run_of(n=12, **columns):
    """A sweep written by hand: two parameters in a grid, or whatever columns say."""
    a, b = np.meshgrid([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0])
    table = {"configuration": np.arange(n), "fast": a.ravel(), "slow": b.ravel(), "trades": np.full(n, 40.0),
             "net_return": np.linspace(-0.1, 0.1, n), "sharpe": np.linspace(-1.0, 1.2, n),
             "max_drawdown": np.full(n, -0.1)} | columns  # fmt: skip
    facts = {CONFIG: {"simulated": False, "ranked_by": "sharpe"}, HONESTY: {"rows": [["Tries so far", "12", "1 run"]]},
             PROVENANCE: {"instrument": "BTCUSDT binance-usdm", "timeframe": "1h"}}  # fmt: skip
    return RunData("hand", facts, {TRIALS: table}, "a sweep\nPlateau around the best: a spike.")


class TestWhatItShows:
    """What the result says, and nothing else."""

    def test_it_is_written_with_the_run(self, folder, result):
        assert (folder / "sweep.html").is_file()
        assert {path.name for path in folder.iterdir()} == result.names

    def test_the_ranking_is_that_of_the_result(self, page, result):
        assert page.order[: len(result.best(12))] == result.best(12).tolist()
        assert page.chosen == result.chosen
        assert [row.first for row in page.rows].count(True) == 1

    def test_the_heat_map_holds_each_cell_of_the_grid(self):
        heat = SweepPage(run_of()).heat
        assert (heat.across, heat.up) == ("fast", "slow")
        assert heat.columns == ["1", "2", "3", "4"]
        assert [name for name, _ in heat.rows] == ["30", "20", "10"]
        assert [cell.best for cell in heat.rows[0][1]] == [False, False, False, True]
        assert heat.rows[0][1][3].text == "1.20"
        assert heat.rows[2][1][0].lean == "bearish"

    def test_what_cannot_be_tested_is_hatched_and_never_ranked(self):
        sharpe = np.linspace(-1.0, 1.2, 12)
        sharpe[11] = np.nan
        page = SweepPage(run_of(sharpe=sharpe))
        assert page.heat.rows[0][1][3].lean == "unknown"
        assert page.chosen == 10
        assert "1 could not be tested" in page.ranking_words

    def test_more_parameters_are_told_by_their_median(self):
        a, b, c = np.meshgrid([1.0, 2.0, 3.0], [10.0, 20.0], [0.1, 0.2])
        page = SweepPage(run_of(12, fast=a.ravel(), slow=b.ravel(), stop=c.ravel(), sharpe=np.arange(12.0)))
        assert page.parameters == ["fast", "slow"]  # columns after `trades` are figures
        assert "Median over the other parameters" in page.heat.words

    def test_random_draws_have_no_heat_map(self):
        page = SweepPage(run_of(fast=np.random.default_rng(0).random(12), slow=np.random.default_rng(1).random(12)))
        assert page.heat is None
        assert "in order" in html(page)

    def test_long_sweeps_list_the_best_and_the_first(self):
        n = 400
        page = SweepPage(run_of(n, fast=np.arange(n) % 20.0, slow=np.arange(n) // 20.0))
        assert len(page.rows) == MOST_ROWS + 1
        assert page.rows[-1].first

    def test_nothing_ranked_is_still_a_page(self):
        page = SweepPage(run_of(sharpe=np.full(12, np.nan)))
        assert "12 could not be tested" in html(page)

    def test_words_are_text(self):
        run = run_of()
        run.facts[PROVENANCE] = {"instrument": PLANTED, PLANTED: PLANTED}
        run.facts[HONESTY] = {"rows": [[PLANTED] * 3]}
        run.tables[TRIALS] = {PLANTED if name == "fast" else name: of for name, of in run.tables[TRIALS].items()}
        made = html(SweepPage(run))
        assert "<script>planted" not in made
        assert "<img" not in made
        tree = Tree()
        tree.feed(made)
        assert tree.open == []

    def test_it_is_reported_again_and_another_folder_is_refused(self, folder, tmp_path):
        before = (folder / "sweep.html").read_bytes()
        (made,) = workflows.report(folder, tmp_path / "out")
        assert made.read_bytes() == before
        with pytest.raises(NoDataError, match="not the run folder of a sweep"):
            read_sweep(tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_a_browser_sorts_it_and_fetches_nothing(folder, size):
    file = folder / "sweep.html"
    assert not re.search(r"url\((?!#)", drawn(file.read_text()))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=size)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1]
        page.get_by_role("button", name="Max drawdown").click()
        column = page.evaluate(
            "[...document.querySelectorAll('table.sortable tbody tr')].map(row => Number(row.cells[5].dataset.value))"
        )
        assert column == sorted(column, reverse=True)
        assert said == []
        assert asked == [file.as_uri()]
        browser.close()
