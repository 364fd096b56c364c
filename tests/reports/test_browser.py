"""The page of a run in a browser: used as a reader uses it, and unable to run or fetch what a run says."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reports.run_folders import SCORES, WORDS, run_folder
from virtuoso.reports.format import MINUS
from virtuoso.reports.tearsheet.html import html
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.runs.read import read_run

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to use the page with")

PLANTED = "<script>planted()</script></script><img src=x onerror=planted()>\"'\u2028\u2029`${planted()}`"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MANY = 5_000


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Open a page of a size; give what it said and asked for beside it."""
    contexts = []

    def opened(file, size=DESK, **how):
        context = chromium.new_context(viewport=size, **how)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda fault: page.said.append(str(fault)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        if how.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready=yes]", timeout=30_000)
        return page

    yield opened
    for context in contexts:
        context.close()


def written(folder, file):
    file.write_text(html(TearSheet(read_run(folder))), encoding="utf-8")
    return file


def rewrite(file, **columns):
    table = pq.read_table(file)
    for name, values in columns.items():
        made = pa.array(values)
        at = table.schema.get_field_index(name)
        table = table.append_column(name, made) if at < 0 else table.set_column(at, name, made)
    pq.write_table(table, file)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A run of two instruments with scores, of which a stretch is kept on the base clock."""
    home = tmp_path_factory.mktemp("browser")
    folder = run_folder(home / "run")
    trades, prices = (pq.read_table(folder / f"{name}.parquet").to_pydict() for name in ("trades", "prices"))
    rewrite(folder / "trades.parquet", symbol=["BTCUSDT", "ETHUSDT"] * 20, size=[1.0] * 40,
            mae=[-0.01] * 40, mfe=[0.02] * 40)  # fmt: skip
    views = {"BTCUSDT": ("whole", "near"), "ETHUSDT": ("whole", "near")}
    rows = {name: [] for name in prices}
    for symbol, (slow, fast) in views.items():
        for k, view in enumerate(prices["view"]):
            for name, of in prices.items():
                rows[name].append({"view": slow if view == "whole" else fast, "symbol": symbol}.get(name, of[k]))
    pq.write_table(pa.table(rows), folder / "prices.parquet")
    scores = 50.0 + 20.0 * np.sin(np.arange(len(rows["view"])) / 9.0)
    panes = {"Confluence": pa.array(scores, pa.float32()), "Technical": pa.array(100.0 - scores, pa.float32())}
    pq.write_table(pa.table(panes), folder / "panes.parquet")
    assert len(trades["symbol"]) == 40
    return written(folder, home / "page.html")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The page of a run of MANY trades."""
    home = tmp_path_factory.mktemp("many")
    folder = run_folder(home / "run")
    table = pq.read_table(folder / "trades.parquet")
    random = np.random.default_rng(1)
    rows = table.take(np.sort(random.integers(0, len(table), MANY)))
    pq.write_table(rows, folder / "trades.parquet")
    rewrite(folder / "trades.parquet", pnl=random.normal(0.0, 90.0, MANY), r=random.normal(0.0, 1.0, MANY),
            size=random.random(MANY), mae=-random.random(MANY), mfe=random.random(MANY))  # fmt: skip
    return written(folder, home / "page.html")


def cells(page, column):
    """Words of a column of the list, in the order of the screen."""
    rows = page.evaluate(
        "name => [...document.querySelectorAll('#rows .row:not([hidden])')]"
        ".map(row => [row.getAttribute('aria-rowindex'), row.querySelector('.c-' + name).textContent])",
        column,
    )
    return [words for _, words in sorted(rows, key=lambda row: int(row[0]))]


def figure(words):
    return float(words.replace(",", "").replace(MINUS, "-").rstrip(" %"))


class TestItIsUsed:
    """Sorted, filtered, zoomed, and a click on a trade brings it to the middle of the chart."""

    def test_nothing_is_fetched_and_nothing_fails(self, opened, file):
        page = opened(file)
        assert page.asked == [file.as_uri()]
        assert page.said == []

    def test_the_licence_of_the_charts_is_kept(self, opened, file):
        page = opened(file)
        link = page.locator("#price a[href='https://www.tradingview.com/']").first
        assert link.is_visible()
        assert "TradingView Lightweight Charts" in page.locator("#price").inner_text()

    def test_a_head_sorts_and_sorts_back(self, opened, file):
        page = opened(file)
        page.click("[data-by=pnl]")
        falling = [figure(words) for words in cells(page, "pnl")]
        assert falling == sorted(falling, reverse=True)
        assert page.locator("[data-by=pnl]").locator("..").get_attribute("aria-sort") == "descending"
        page.click("[data-by=pnl]")
        rising = [figure(words) for words in cells(page, "pnl")]
        assert rising == sorted(rising)
        assert rising[0] < falling[-1]

    def test_filters_are_told_with_their_figures(self, opened, file):
        page = opened(file)
        assert page.locator("#found").inner_text().startswith("40 of 40 trades, win rate")
        page.select_option("#of-instrument", label="ETHUSDT")
        page.select_option("#of-side", label="long")
        assert set(cells(page, "instrument")) == {"ETHUSDT"}
        assert set(cells(page, "side")) == {"▲ long"}
        page.select_option("#of-reason", label="stop")
        assert set(cells(page, "reason")) <= {"stop"}

    def test_a_click_on_a_trade_shows_it_on_the_base_clock(self, opened, file):
        page = opened(file)
        assert page.locator("#clock").inner_text() == "overview in 4h bars"
        page.select_option("#of-instrument", label="ETHUSDT")
        page.locator("#rows .row[aria-rowindex='2']").click()
        page.wait_for_function("document.querySelector('#clock').textContent.includes('1h bars around')")
        assert page.locator("#instrument").evaluate("select => select.selectedOptions[0].text") == "ETHUSDT"
        assert page.locator("#rows .row[aria-selected=true]").count() == 1

    def test_the_wheel_zooms(self, opened, file):
        page = opened(file)
        box = page.locator("#market").bounding_box()
        page.locator("#market").scroll_into_view_if_needed()
        box = page.locator("#market").bounding_box()
        page.mouse.move(box["x"] + 300, box["y"] + 100)
        before = page.locator("#market").screenshot()
        for _ in range(6):
            page.mouse.wheel(0, -240)
        page.wait_for_timeout(300)
        assert page.locator("#market").screenshot() != before

    def test_a_pane_is_hidden_and_shown(self, opened, file):
        page = opened(file)
        chip = page.locator("#panes button", has_text="Technical")
        assert chip.get_attribute("aria-pressed") == "true"
        assert "Technical" in page.locator("#market-legend").inner_text()
        chip.click()
        page.mouse.move(0, 0)
        page.locator("#market").hover(position={"x": 200, "y": 60})
        page.wait_for_function("!document.querySelector('#market-legend').textContent.includes('Technical')")

    def test_the_keyboard_walks_through_the_trades(self, opened, file):
        page = opened(file)
        page.focus("#trades")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.wait_for_function(
            "document.querySelector('#rows .row[aria-selected=true]').getAttribute('aria-rowindex') === '3'"
        )

    def test_without_scripts_it_is_still_the_page(self, opened, file):
        page = opened(file, java_script_enabled=False)
        assert page.locator(".static svg.chart").first.is_visible()
        assert page.get_by_text("The worst trades").is_visible()
        assert not page.locator("#market").is_visible()


class TestWidths:
    """Nothing is clipped and what is tapped is large enough, on a desk and on a phone, light and dark."""

    CLIPPED = """() => [...document.querySelectorAll('body *')].filter(one => {
        if (one.closest('.scroll, .trades, .canvas, svg') || !one.textContent.trim()) return false;
        const style = getComputedStyle(one);
        return style.display !== 'none' && style.display !== 'inline' && one.clientWidth > 0
            && one.scrollWidth > one.clientWidth + 1;
    }).map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.trim().slice(0, 60))"""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [DESK, PHONE])
    def test_nothing_is_clipped(self, opened, file, size, scheme):
        page = opened(file, size, color_scheme=scheme)
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1]
        assert page.evaluate(self.CLIPPED) == []
        assert page.said == []

    def test_trades_are_cards_on_a_phone(self, opened, file):
        page = opened(file, PHONE)
        assert not page.locator("#heads").is_visible()
        assert page.locator("#sort").is_visible()
        row = page.locator("#rows .row[aria-rowindex='2']")
        assert row.bounding_box()["height"] >= 44
        assert row.locator(".c-pnl").is_visible()
        page.select_option("#sort", value="pnl -1")
        shown = [figure(words) for words in cells(page, "pnl")]
        assert shown == sorted(shown, reverse=True)

    def test_what_is_tapped_is_large_enough(self, opened, file):
        page = opened(file, PHONE)
        small = page.evaluate(
            "[...document.querySelectorAll('button, select')].filter(one => one.offsetParent && one.offsetHeight < 44)"
            ".map(one => one.textContent)"
        )
        assert small == []

    def test_the_first_column_stays_where_a_table_is_moved(self, opened, file):
        page = opened(file, PHONE)
        moved = page.evaluate("""() => [...document.querySelectorAll('.scroll')].filter(one => {
            one.scrollLeft = 60;
            const cell = one.querySelector('tbody th:first-child');
            return one.scrollLeft > 20 && cell && one.offsetParent
                && Math.abs(cell.getBoundingClientRect().left - one.getBoundingClientRect().left) > 1;
        }).map(one => one.textContent.slice(0, 40))""")
        assert moved == []


class TestWhatARunSays:
    """A symbol, a name or a sentence is text, whatever stands in it."""

    @pytest.fixture
    def planted(self, tmp_path):
        folder = run_folder(tmp_path / "run")
        for name, n in (("trades", 40), ("prices", len(pq.read_table(folder / "prices.parquet")))):
            rewrite(folder / f"{name}.parquet", symbol=[PLANTED] * n)
        rewrite(folder / "trades.parquet", reason=[PLANTED] * 40)
        n = len(pq.read_table(folder / "prices.parquet"))
        pq.write_table(pa.table({PLANTED: pa.array(np.full(n, 55.0), pa.float32())}), folder / "panes.parquet")
        finding = {"title": PLANTED, "value": PLANTED, "words": PLANTED}
        words = {"title": PLANTED, "verdict": PLANTED, "honesty": [finding], "limits": [finding],
                 "assumptions": [PLANTED]}  # fmt: skip
        (folder / "words.json").write_text(json.dumps(WORDS | words))
        told = json.loads(json.dumps(SCORES))
        told["explanation"]["faces"]["technical"][0] |= {"title": PLANTED, "words": PLANTED, "name": PLANTED}
        told["explanation"]["symbol"] = told["coverage"][0]["title"] = PLANTED
        (folder / "scores.json").write_text(json.dumps(told))
        (folder / "provenance.json").write_text(json.dumps({"instruments": PLANTED, PLANTED: PLANTED}))
        return folder

    def test_nothing_of_it_runs(self, opened, planted, tmp_path):
        sheet = TearSheet(read_run(planted))
        object.__setattr__(sheet.run, "name", PLANTED)
        file = tmp_path / "page.html"
        file.write_text(html(sheet), encoding="utf-8")
        page = opened(file)
        page.locator("#rows .row[aria-rowindex='2']").click()
        page.wait_for_timeout(200)
        assert page.said == []
        assert page.asked == [file.as_uri()]
        assert page.evaluate("typeof planted") == "undefined"
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 5
        assert cells(page, "instrument")[0] == PLANTED
        assert PLANTED.split("\u2028")[0] in page.locator("h1").inner_text()

    def test_only_scripts_whose_hashes_are_named_may_run(self, opened, file, tmp_path):
        other = tmp_path / "other.html"
        other.write_text(file.read_text(encoding="utf-8").replace("</body>", "<script>planted()</script></body>"))
        page = opened(other)
        assert any("Content Security Policy" in words for words in page.said)
        assert not any("planted is not defined" in words for words in page.said)


class TestManyTrades:
    """Five thousand trades: at most 3 MB, on the screen within a second, sorted at once."""

    def test_it_is_light_and_painted_within_a_second(self, opened, many):
        assert many.stat().st_size <= 3_000_000
        page = opened(many)
        painted = page.evaluate("performance.getEntriesByType('paint').map(entry => entry.startTime)")
        assert max(painted) < 1_000.0
        assert page.locator("#rows .row").count() < 60

    def test_sorting_and_scrolling_are_quick(self, opened, many):
        page = opened(many)
        took = page.evaluate("""() => {
            const begun = performance.now();
            document.querySelector('[data-by=pnl]').click();
            document.querySelector('#trades').scrollTop = 60000;
            return performance.now() - begun;
        }""")
        assert took < 500.0
        page.wait_for_function(
            "[...document.querySelectorAll('#rows .row')].some(row => Number(row.getAttribute('aria-rowindex')) > 1500)"
        )
