"""From a backtest to its tear sheet: the files it is made from hold what the result holds, and nothing is run again."""

import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

from tests.research.backtest.test_backtest import COSTLY, trade, two
from tests.research.scenes import market, scored
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.write import write_tearsheet
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.files import MOST_BARS, price_table, reliability_facts
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


class TestPrices:
    """Bars of the instrument that was traded most: all of the run, and its last trades."""

    def test_they_are_bars_of_the_market(self, result):
        table = price_table(result)
        frame = result.frames[result.most_traded]
        last = table["view"] == "last"
        at = table["open_time"][last] // frame.timeframe.ms - frame.start
        assert set(table["timeframe"][last]) == {"1m"}
        np.testing.assert_array_equal(table["close"][last], frame.base.columns["close"][at])

    def test_the_whole_run_is_kept_on_a_slower_clock(self, result):
        table = price_table(result)
        whole = table["view"] == "whole"
        assert set(table["timeframe"][whole]) == {"5m"}
        assert 0 < whole.sum() <= MOST_BARS

    def test_an_extreme_of_a_base_bar_is_in_the_slower_one(self, result):
        table, frame = price_table(result), result.frames[result.most_traded]
        whole = table["view"] == "whole"
        assert table["high"][whole].max() == np.nanmax(frame.base.columns["high"])


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
