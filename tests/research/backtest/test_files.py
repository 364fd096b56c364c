"""From a backtest to its tear sheet: the files it is made from hold what the result holds, and nothing is run again."""

import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pandas as pd
import pytest

from tests.research.backtest.test_backtest import COSTLY, trade, two
from tests.research.backtest.test_backtest import whole as whole_intents
from tests.research.scenes import market, random_intents, scored
from virtuoso import workflows
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.write import write_tearsheet
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.files import MOST_BARS, _windows, pane_table, price_table, reliability_facts, views
from virtuoso.research.backtest.judgement import trial_of, write_honesty
from virtuoso.research.backtest.panel import FundingTerms
from virtuoso.runs.read import read_run


@pytest.fixture(scope="module")
def result():
    """Signals of the rule on two markets of three days."""
    scores = [scored(market(seed, bars=4_320, symbol=name)) for seed, name in ((7, "BTCUSDT"), (8, "ETHUSDT"))]
    return backtest(scores, COSTLY, funding_terms=FundingTerms(0.0001, True))


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    home = result.save(tmp_path_factory.mktemp("runs") / "one")
    write_honesty(result, result.recording, home)
    write_tearsheet(home)
    return home


def judged_in(result, home):
    return write_honesty(result, result.recording, home)


class TestTheSheetOfARun:
    """Everything that the tear sheet shows is in the folder."""

    def test_nothing_is_absent(self, folder):
        sheet = TearSheet(read_run(folder))
        assert sheet.absent == []
        assert sheet.decision in ("ship", "iterate", "discard")
        assert sheet.last_chart() is not None
        assert (folder / "tearsheet.html").stat().st_size > 100_000
        assert (folder / "tearsheet.pdf").read_bytes().startswith(b"%PDF")

    def test_the_figures_are_those_of_the_result(self, result, folder):
        sheet = TearSheet(read_run(folder))
        told = {finding.title: finding.value for finding in sheet.honesty}
        assert told["Closed trades"] == f"{len(result.closed):,}"
        assert sheet.verdict in " ".join(result.summary().splitlines()[:4])

    def test_a_run_judged_alone_counts_one_try(self, folder):
        found = json.loads((folder / "honesty.json").read_bytes())
        assert found["rows"][0][:2] == ["Tries so far", "1"]
        assert [case["name"] for case in found["stress"]] == ["Costs doubled", "One bar late"]


@pytest.fixture(scope="module")
def long():
    """A run that is longer than what is kept of it on its own clock."""
    frame = market(7, bars=13_000)
    rows = random_intents(frame, 7, 60)
    return backtest([scored(frame)], COSTLY, intents_of={frame.instrument: whole_intents(rows)},
                    funding_terms=FundingTerms(0.0001, True))  # fmt: skip


class TestPrices:
    """Bars of every instrument: all of the run, those around each trade, and the last trades of the most traded."""

    def test_they_are_bars_of_the_market(self, result):
        table = price_table(views(result), result)
        frame = result.frames[result.most_traded]
        last = table["view"] == "last"
        at = table["open_time"][last] // frame.timeframe.ms - frame.start
        assert set(table["timeframe"][last]) == {"1m"}
        np.testing.assert_array_equal(table["close"][last], frame.base.columns["close"][at])

    def test_every_instrument_is_kept_whole_on_its_own_clock_where_it_is_short(self, result):
        table = price_table(views(result), result)
        kept = table["view"] == "whole"
        assert set(table["symbol"][kept]) == {one.symbol for one in result.instruments}
        assert set(table["timeframe"][kept]) == {"1m"}
        assert "near" not in set(table["view"])

    def test_a_long_run_is_folded_and_kept_in_full_around_its_trades(self, long):
        table, frame = price_table(views(long), long), long.frames[0]
        kept, near = table["view"] == "whole", table["view"] == "near"
        assert set(table["timeframe"][kept]) == {"5m"}
        assert 0 < kept.sum() <= MOST_BARS
        assert table["high"][kept].max() == np.nanmax(frame.base.columns["high"])
        assert set(table["timeframe"][near]) == {"1m"}
        opens = set(table["open_time"][near].tolist())
        for life in long.trade_records:
            known = np.isfinite(frame.base.columns["open"][life["entry_number"] - frame.base.first])
            assert not known or int(life["entry_number"]) * 60_000 in opens

    def test_scores_stand_at_the_closes_of_the_bars(self, long):
        found = views(long)
        table, panes, scores = price_table(found, long), pane_table(found, long), long.scores[0]
        assert {len(values) for values in panes.values()} == {len(table["open_time"])}
        close = table["open_time"] + np.where(table["timeframe"] == "5m", 300_000, 60_000)
        at = close // 60_000 - 1 - scores.start
        expected = scores.confluence[at].astype(np.float32)
        np.testing.assert_array_equal(panes["Confluence"], expected)

    def test_without_scores_what_was_held_stands_below(self):
        frame = market(7, bars=600, gaps=False)
        weights = pd.Series(np.where(np.arange(len(frame)) // 50 % 2, 1.0, -0.5), frame.df.index)
        made = workflows.backtest(frame, position=weights, record=False, mark="last", assume_funding=0.0001)
        found = views(made)
        table, panes = price_table(found, made), pane_table(found, made)
        held = panes["Position"][table["view"] == "whole"]
        assert list(panes) == ["Position"]
        np.testing.assert_array_equal(np.sign(held[1:]), np.sign(weights.to_numpy()[:-1]))  # filled at the next open
        np.testing.assert_allclose(np.abs(held[60:98]), 1.0, atol=0.1)

    def test_bars_around_trades_have_their_measure(self):
        frame = market(3, bars=1_000, gaps=False)
        lives = np.zeros(2, dtype=[("entry_number", np.int64), ("exit_number", np.int64)])
        lives["entry_number"], lives["exit_number"] = frame.base.first + 100, frame.base.first + np.array([110, 600])
        kept = np.flatnonzero(_windows(lives, 10, 50, frame.base))
        assert kept.tolist() == [*range(90, 121), *range(590, 611)]


class TestReliability:
    """What reliability told against what was right, or why that is not known."""

    def test_the_bins_hold_all_signals(self, result):
        found = reliability_facts(result)
        assert found["basis"] == "heuristic"
        assert sum(row["signals"] for row in found["bins"]) == found["signals"] > 0
        assert sum(row["signals"] * row["right"] for row in found["bins"]) == pytest.approx(found["right"])

    def test_intents_that_were_handed_in_have_none(self):
        assert "handed in" in reliability_facts(trade(*two(n=600)))["reason"]


class TestTries:
    """Each run is recorded once, and judged against all that were made on its data."""

    def test_a_second_configuration_raises_the_count_of_both(self, result, folder, tmp_path):
        mine, own = replace(result), copytree(folder, tmp_path / "one")
        mine.record()
        first, again = judged_in(mine, own), judged_in(mine, own)
        other = backtest(result.scores, COSTLY, slippage=0.001, funding_terms=FundingTerms(0.0001, True))
        other.record()
        assert trial_of(other).identity != trial_of(result).identity
        told = [found["rows"][0][1] for found in (first, again, judged_in(other, own), judged_in(mine, own))]
        assert told == ["1", "1", "2", "2"]

    def test_one_that_is_not_recorded_says_so(self, result, folder, tmp_path):
        found = judged_in(replace(result), copytree(folder, tmp_path / "one"))
        assert found["recording"]["recorded"] is False

    def test_the_files_that_repeat_do_not_hold_the_count(self, result):
        assert "honesty.json" not in result.files()
