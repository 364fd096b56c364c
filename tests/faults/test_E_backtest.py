"""E41 to E48 of the fault catalogue, as far as the first backtest goes (E44 to E47 need the perpetual account)."""

import numpy as np
import pytest

from tests.builders import START
from tests.research.scenes import bars, flat, intents, unscored, walk
from virtuoso.account.trades import STOP
from virtuoso.research.backtest import backtest


def run(frame, *made, **terms):
    return backtest(unscored(frame), intents(frame, *made), **({"fees": 0.0, "slippage": 0.0, "risk": 1.0} | terms))


class TestWithinABar:
    """What one bar hides is taken from its worse side, and counted."""

    def test_E41_stop_and_target_in_one_bar_is_the_stop_and_counted(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 106, 97, 104), (104, 104, 104, 104))
        result = run(frame, (0, 1, 98.0, 105.0))
        assert result.trades[0]["reason"] == STOP
        assert result.counts["ambiguous trades"] == 1

    def test_E42_a_gap_through_the_stop_fills_at_the_open_with_slippage(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (90, 106, 85, 88), (88, 88, 88, 88))
        result = run(frame, (0, 1, 98.0, 105.0), slippage=0.001)
        assert result.trades[0]["exit_price"] == pytest.approx(90.0 * 0.999)
        assert result.trades[0]["reason"] == STOP
        assert result.counts["ambiguous trades"] == 0  # the open came first, there is nothing to guess

    def test_E43_a_stop_hit_on_the_entry_bar_exits_on_that_bar(self):
        frame = bars((100, 100, 100, 100), (100, 101, 90, 100), (100, 120, 100, 120), (120, 120, 120, 120))
        result = run(frame, (0, 1, 98.0, 110.0))
        trade = result.trades[0]
        assert (trade["entry_number"], trade["exit_number"], trade["reason"]) == (START + 1, START + 1, STOP)
        assert result.counts["stopped on the bar of the entry"] == 1


class TestTooLittleToJudge:
    """Without trades, or with one, nothing is claimed: no ratio is 0 or infinite."""

    def test_E48_zero_trades_is_not_testable(self):
        result = run(walk(1, 60 * 24 * 40))
        assert result.metrics["total_return"] == 0.0
        for name in ("sharpe", "sortino", "calmar", "cagr", "hit_rate", "profit_factor", "expectancy"):
            assert np.isnan(result.metrics[name]), name
        assert "not testable" in result.summary()
        assert "Nothing was traded" in result.summary()

    def test_E48_one_trade_is_not_testable(self):
        result = run(walk(1, 60 * 24 * 40), (10, 1), (500, 0))
        assert result.metrics["trades"] == 1
        assert np.isnan(result.metrics["sharpe"])
        assert np.isfinite(result.benchmark_metrics["sharpe"])

    def test_E48_the_score_buckets_of_nothing_are_not_zero(self):
        table = run(flat(n=40)).buckets
        assert table["bars"].sum() == 0
        assert np.isnan(table["mean_bp"]).all()

    @pytest.mark.parametrize("made", [(), ((10, 1), (20, 0))])
    def test_E48_a_page_and_a_summary_say_not_testable(self, made):
        result = run(flat(n=60), *made)
        assert "not testable" in result.summary()
        assert "not testable" in result.page().html()
