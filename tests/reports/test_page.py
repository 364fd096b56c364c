"""The tear sheet of a backtest: one file that needs nothing else, honest on its first screen."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from tests.reports.pages import Tree, assert_nothing_is_fetched, drawn, page_of
from tests.research.backtest.test_backtest import COSTLY, whole
from tests.research.scenes import bars, flat, intents, market, random_intents, scored, unscored
from virtuoso.account.records import TRADE
from virtuoso.clock import Timeframe
from virtuoso.market.gaps import TRADED
from virtuoso.reports.charts.base import MOST_POINTS, thinned
from virtuoso.reports.charts.candles import chart_bars
from virtuoso.reports.format import number
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.panel import FundingTerms
from virtuoso.runs.read import read_run

ASSUMED = FundingTerms(0.0001, True)


def run(scores, made):
    rows = whole(made)
    return backtest([scores], COSTLY, intents_of={scores.frame.instrument: rows}, funding_terms=ASSUMED)


@pytest.fixture(scope="module")
def result():
    frame = market(7, bars=3_000)
    scores, made = scored(frame), random_intents(frame, 7, 120)
    return run(scores, made[np.isfinite(scores.confluence[made["number"] - scores.start])])


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    return page_of(result, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def tree(page):
    parser = Tree()
    parser.feed(page)
    return parser


class TestOneFile:
    """Self-contained: no network, only our scripts, valid enough to be parsed back."""

    def test_every_tag_is_closed(self, tree):
        assert tree.open == []

    def test_nothing_is_fetched(self, page, tree):
        assert_nothing_is_fetched(page, tree)

    def test_no_id_is_used_twice(self, tree):
        assert len(tree.ids) == len(set(tree.ids))

    def test_every_reference_leads_somewhere(self, page, tree):
        wanted = set(re.findall(r'url\(#([^)"]+)\)', drawn(page))) | set(re.findall(r'xlink:href="#([^"]+)"', page))
        assert wanted <= set(tree.ids)
        assert wanted

    def test_it_is_not_too_heavy(self, page):
        assert len(page) < 1_500_000

    def test_light_dark_and_print(self, page):
        assert "prefers-color-scheme: dark" in page
        assert "@media print" in page
        assert "var(--bullish)" in page
        assert not re.search(r'style="[^"]*#0072b2', page), "a chart kept a colour of its own"


class TestWhatItSays:
    """The honesty beside the equity, and everything a reader may ask for."""

    def test_the_honesty_comes_before_the_figures(self, page):
        assert page.index("Before you believe it") < page.index("<h2>Figures</h2>")
        for words in ("Closed trades", "Intrabar ambiguity", "Costs paid", "Tuning", "Not tested here"):
            assert words in page

    @pytest.mark.parametrize(
        "heading",
        ["Figures", "Limits, and how often they mattered", "Months and years", "What prices did after each score",
         "Trades on price", "All trades", "What the trades were like", "Worst drawdowns",
         "What was known", "Why it signalled, the last time", "Assumptions", "Provenance"],
    )  # fmt: skip
    def test_it_has_every_section(self, page, heading):
        assert heading in page

    def test_the_figures_are_those_of_the_result(self, result, tree):
        text = " ".join(" ".join(tree.text).split())
        assert f"Closed trades {int(result.metrics['trades'])}" in text
        assert "not testable" in text  # two days are not annualised

    def test_what_is_not_known_says_why(self, page):
        assert "no data for it in the store" in page
        assert re.search(r"Nothing is known of [^.]*Orderbook", page)

    def test_it_tells_where_the_numbers_come_from(self, result, page):
        assert result.provenance[f"data {result.instruments[0]}"] in page
        assert result.provenance["prism"] in page

    def test_it_gives_no_advice(self, page):
        assert "not advice" in page

    def test_simulated_data_says_so_everywhere(self, page, tree):
        assert "simulated market" in page
        assert page.count(">simulated</text>") == page.count('<svg class="chart"') > 6  # each chart, wide and narrow
        assert "nobody traded at these prices" in page

    def test_real_data_is_not_called_simulated(self, tmp_path):
        frame = market(7, bars=1_200, venue="binance-usdm")
        html = page_of(run(scored(frame), random_intents(frame, 7, 40)), tmp_path)
        assert "simulated market" not in html
        assert ">simulated</text>" not in html

    def test_the_same_result_gives_the_same_bytes(self, result, page, tmp_path):
        assert page_of(result, tmp_path) == page

    def test_the_best_and_the_worst_trades_are_listed(self, result, tree):
        text = " ".join(" ".join(tree.text).split())
        pnl = np.sort(result.closed["pnl"])
        listed = text[text.index("The best trades") : text.index("What the trades were like")]
        best, worst = listed.split("The worst trades")
        for shown, expected in ((best, pnl[::-1][:10]), (worst, pnl[:10])):
            places = [shown.index(number(gain, 2, signed=True)) for gain in expected]
            assert places == sorted(places)

    def test_scores_of_the_last_signal_are_those_that_were_scored(self, result, tree):
        text = " ".join(" ".join(tree.text).split())
        scores = result.scores[0]
        at = int(result.trade_records["number"][-1]) - scores.start
        assert f"FINAL SCORE {scores.confluence[at]:.1f}" in text
        assert f"{100.0 * np.isfinite(scores.confluence).mean():.2f} % scored" in text

    def test_the_candles_stand_above_the_scores_at_their_closes(self, result, tmp_path):
        run = read_run(result.save(tmp_path / "run"))
        strips = run.fact("scores.json")["strips"]
        clock, scores = Timeframe(strips["timeframe"]), result.scores[0]
        k = len(strips["scores"]["Confluence"]) - 30
        close = (strips["first"] + k + 1) * clock.ms // 60_000 - 1 - scores.start
        assert strips["scores"]["Confluence"][k] == scores.confluence[close]


class TestSmallAndEmpty:
    """A page of nothing is still a page."""

    def test_no_trade(self, tmp_path):
        html = page_of(run(unscored(flat(n=30)), intents(flat(n=30))), tmp_path)
        assert "Nothing was traded" in html
        assert "The scores of the last bar" in html

    def test_two_bars(self, tmp_path):
        assert "<h1>" in page_of(run(unscored(flat(n=2)), intents(flat(n=2))), tmp_path)

    def test_bars_longer_than_every_horizon_but_a_day(self, tmp_path):
        frame = bars(*[(p, p + 1, p - 1, p) for p in range(100, 160)], timeframe="1d")
        html = page_of(run(unscored(frame), intents(frame, (2, 1), (20, -1), (40, 0))), tmp_path)
        assert "after 1d, bp" in html
        assert "2020" in html


class TestTheCandles:
    """Never a drawn candle that was not in the data."""

    def test_only_published_bars_are_drawn(self):
        frame = market(3, bars=900)
        shown = chart_bars(unscored(frame), np.empty(0, dtype=TRADE), 900)
        drawn = shown.bars.first + np.flatnonzero(shown.drawn)
        published = frame.base.first + np.flatnonzero(frame.base.state == TRADED)
        assert set(drawn.tolist()) == set(published.tolist())
        assert not shown.drawn.all()

    def test_a_long_trade_is_shown_on_a_slower_clock(self):
        from dataclasses import replace

        from tests.research.scenes import PRISM

        frame = market(3, bars=4_000, gaps=False)
        scores = unscored(frame)
        slower = replace(scores, prism=replace(PRISM, timeframes={"1m": 0.6, "30m": 0.4}))
        result = run(slower, intents(frame, (1_000, 1, 1.0, 1e6), (3_000, 0)))
        shown = chart_bars(slower, result.trade_records)
        assert shown.bars.timeframe == Timeframe("30m")
        first, last = (
            shown.place(result.trade_records["entry_number"])[0],
            shown.place(result.trade_records["exit_number"])[0],
        )
        assert 0.0 <= first < last <= len(shown.bars)

    def test_a_base_bar_lies_where_its_slow_bar_is_drawn(self):
        shown = chart_bars(unscored(flat(n=50)), np.empty(0, dtype=TRADE))
        numbers = np.arange(shown.bars.first, shown.bars.end)
        np.testing.assert_allclose(shown.place(numbers), np.arange(len(numbers)))


class TestThinning:
    """A line of half a million points is drawn with the points that a screen shows."""

    def test_every_point_lies_in_exactly_one_bin(self):
        for n in (1, 2, MOST_POINTS, MOST_POINTS + 1, 525_600):
            bins = thinned(n)
            assert bins[0] == 0
            assert len(bins) == min(n, MOST_POINTS)
            assert (np.diff(np.append(bins, n)) > 0).all()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here to render the page with")
def test_a_browser_renders_it(page, tmp_path):
    """Nothing is clipped or broken badly enough that a browser shows less than the page holds."""
    (tmp_path / "tearsheet.html").write_text(page)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
               f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'shot.png'}",
               "--window-size=1400,1000", (tmp_path / "tearsheet.html").as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "shot.png").stat().st_size > 30_000
