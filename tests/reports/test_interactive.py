"""`.chart()` in a notebook: a page in a frame without rights, that holds everything and fetches nothing."""

import hashlib
import json
import re
from importlib.resources import files

import numpy as np
import pytest

from tests.reports.pages import Tree, assert_nothing_is_fetched
from tests.reports.test_browser import CHROMIUM, DESK, PLANTED, sync_api
from tests.research.backtest.test_backtest import COSTLY
from tests.research.scenes import market, scored
from virtuoso.reports.scripts import LIBRARY, UNKNOWN, data_block, decimals, packed, policy, scaled, source
from virtuoso.reports.tearsheet.payload import SCRIPTS
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.panel import FundingTerms

PINNED = "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf"
"""sha256 of the standalone production build of lightweight-charts 5.2.1, as the npm registry has it."""


@pytest.fixture(scope="module")
def frame():
    return market(7, bars=12_000)


@pytest.fixture(scope="module")
def charts(frame):
    scores = scored(frame)
    result = backtest([scores], COSTLY, funding_terms=FundingTerms(0.0001, True))
    return {"frame": frame.chart(), "scores": scores.chart(), "result": result.chart()}


def told(chart):
    return json.loads(re.search(r'id="run-data">(.*?)</script>', chart.html, re.DOTALL)[1])


class TestThePackage:
    """The vendored charts are those that were published, with their licence; scripts are found by importlib alone."""

    def test_the_library_is_pinned(self):
        data = files("virtuoso.reports.scripts").joinpath(*LIBRARY.split("/")).read_bytes()
        assert hashlib.sha256(data).hexdigest() == PINNED

    def test_its_licence_and_notice_lie_beside_it(self):
        folder = files("virtuoso.reports.scripts").joinpath("vendor")
        assert "Apache License" in folder.joinpath("LICENSE").read_text()
        assert "https://www.tradingview.com/" in folder.joinpath("NOTICE").read_text()

    def test_the_policy_names_each_script_and_lets_nothing_else_in(self):
        said = policy(SCRIPTS)
        assert said.startswith("default-src 'none'; ")
        assert said.count("'sha256-") == len(SCRIPTS) == 4
        assert "connect-src" not in said
        assert "unsafe-eval" not in said

    def test_no_script_puts_words_on_the_page_as_html(self):
        for name in SCRIPTS:
            if "vendor" not in name:
                assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", source(name))


class TestPacking:
    """Numbers come back as they went in; words cannot end the element that they stand in."""

    def test_no_word_ends_its_element(self):
        text = str(data_block({PLANTED: [PLANTED]}))
        assert not set("<>&\u2028\u2029") & set(text)
        assert json.loads(text) == {PLANTED: [PLANTED]}

    def test_what_is_not_known_is_no_number(self):
        assert scaled(np.array([1.25, np.nan, -0.5, np.inf]), 2).tolist() == [125, UNKNOWN, -50, UNKNOWN]

    @pytest.mark.parametrize(
        ("prices", "digits"),
        [([1.0, 2.0], 0), ([109_543.1], 1), ([0.00001234], 8), ([], 2), ([np.nan], 2), ([1e9 + 0.5], 0)],
    )
    def test_prices_are_told_apart_as_far_as_32_bits_hold_them(self, prices, digits):
        assert decimals(np.array(prices)) == digits

    def test_steps_that_leave_32_bits_come_back(self):
        import base64
        import zlib

        values = np.array([2**31 - 1, -(2**31), 0, 5, UNKNOWN, 7], dtype=np.int64)
        planes = np.frombuffer(zlib.decompress(base64.b64decode(packed(values))), np.uint8).reshape(4, -1)
        steps = np.ascontiguousarray(planes.T).view("<i4").ravel()
        assert np.cumsum(steps, dtype=np.int32).tolist() == values.tolist()


class TestCharts:
    """Frames, scores and results."""

    @pytest.mark.parametrize("kind", ["frame", "scores", "result"])
    def test_it_is_a_frame_without_rights_that_fetches_nothing(self, charts, kind):
        shown = charts[kind]._repr_html_()
        assert shown.startswith('<iframe sandbox="allow-scripts allow-popups"')
        assert "allow-same-origin" not in shown
        tree = Tree()
        tree.feed(charts[kind].html)
        assert tree.open == []
        assert_nothing_is_fetched(charts[kind].html, tree)

    def test_a_long_frame_has_an_overview_and_its_last_bars(self, charts, frame):
        (instrument,) = told(charts["frame"])["instruments"]
        assert {view: of["clock"] for view, of in instrument["views"].items()} == {"whole": "5m", "near": "1m"}
        assert "Last bars" in charts["frame"].html

    def test_scores_stand_in_panes(self, charts):
        (instrument,) = told(charts["scores"])["instruments"]
        assert "Confluence" in instrument["views"]["whole"]["panes"]
        assert told(charts["frame"])["instruments"][0]["views"]["whole"]["panes"] == {}

    def test_a_result_has_its_trades(self, charts):
        assert told(charts["result"])["trades"]["n"] > 0
        assert told(charts["scores"])["trades"]["n"] == 0

    def test_it_says_how_it_is_shown_and_is_saved(self, charts, tmp_path):
        assert "the last line of a cell shows it" in repr(charts["frame"])
        assert charts["frame"].save(tmp_path / "chart.html").read_text(encoding="utf-8") == charts["frame"].html

    @pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
    @pytest.mark.parametrize("kind", ["frame", "scores", "result"])
    def test_a_browser_draws_it_in_its_frame(self, charts, kind, tmp_path):
        (tmp_path / "notebook.html").write_text(f"<!doctype html><body>{charts[kind]._repr_html_()}", encoding="utf-8")
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport=DESK)
            faults = []
            page.on("pageerror", lambda fault: faults.append(str(fault)))
            page.goto((tmp_path / "notebook.html").as_uri())
            inside = page.frame_locator("iframe")
            inside.locator("html[data-ready=yes]").wait_for(state="attached", timeout=30_000)
            assert inside.locator("#market canvas").count() > 1
            assert inside.locator("#market-legend").inner_text().count("Z") == 1
            browser.close()
        assert faults == []
