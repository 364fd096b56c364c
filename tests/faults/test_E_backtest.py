"""E41 to E48 of the fault catalogue: in the first backtest, and in the perpetual contract."""

import numpy as np
import pytest

from tests.account.event_lists import bar, kinds, long_, still, trade
from tests.account.slow_account import Order
from tests.builders import START
from tests.reports.pages import page_of
from tests.research.backtest.test_backtest import run as run_portfolio
from tests.research.scenes import bars, flat, intents, unscored, walk
from virtuoso.account.records import STOP
from virtuoso.account.risk import LIMITS, Limits, Rules
from virtuoso.clock import Env
from virtuoso.errors import NoDataError
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.engine import run as trade_portfolio
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.crosscheck.simulate import simulate
from virtuoso.research.validation.quantiles import score_buckets


def run(frame, *made, **terms):
    return simulate(unscored(frame), intents(frame, *made), **({"fees": 0.0, "slippage": 0.0, "risk": 1.0} | terms))


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


class TestThePerpetualContract:
    """The same bars on an account of perpetuals."""

    def test_E41_stop_and_target_in_one_bar_have_two_bounds_and_are_marked(self):
        moments = (long_(stop=98.0, targets=[(105.0, 1.0)]), still()), (None, bar(100, 106, 97, 104))
        for pessimistic, why, price in ((True, "stop", 98.0), (False, "target", 105.0)):
            events, _ = trade(*moments, pessimistic=pessimistic)
            assert kinds(events) == ["entry", why]
            assert (events["price"][1], events["ambiguous"][1]) == (price, True)

    def test_E42_a_gap_through_the_stop_fills_at_the_open_with_slippage(self):
        events, _ = trade((long_(stop=98.0), still()), (None, bar(95, 106, 93, 100, slippage=0.001)))
        assert kinds(events) == ["entry", "stop"]
        assert events["price"][1] == pytest.approx(95.0 * 0.999)
        assert not events["ambiguous"].any()

    def test_E43_a_stop_hit_on_the_entry_bar_exits_on_that_bar(self):
        events, _ = trade((long_(stop=98.0), bar(100, 101, 97, 100)))
        assert kinds(events) == ["entry", "stop"]
        assert events["instant"].tolist() == [0, 0]

    def test_E44_funding_while_flat_is_none_and_exactly_at_the_entry_the_worse_case(self):
        flat_, _ = trade((None, still(at_open=0.01)), (None, still(inside=0.01)))
        assert len(flat_) == 0
        paid, _ = trade((long_(), still(at_open=0.01)))
        assert paid["funding"].sum() == pytest.approx(-0.1)
        received, _ = trade((long_(), still(at_open=-0.01)))
        assert received["funding"].sum() == 0.0
        left, _ = trade((long_(), still()), (Order(out=True), still(at_open=0.01)))
        assert left["funding"].sum() == pytest.approx(-0.1)  # held at the settlement, and out right after it

    def test_E45_without_funding_or_marks_there_is_no_stage(self):
        with pytest.raises(NoDataError, match="--mark last"):
            SimulationPanel.of([flat()], terms=FundingTerms(assume=0.0001))
        with pytest.raises(NoDataError, match="--assume-funding"):
            SimulationPanel.of([flat()], terms=FundingTerms(mark_is_last=True))

    def test_E46_a_leverage_that_the_tier_does_not_allow_is_rejected(self):
        tiers = ((0.0, 0.005), (1_500.0, 0.1))
        events, _ = trade((long_(14.0), still()), leverage=25.0, tiers=tiers)
        assert kinds(events) == ["entry"]
        events, _ = trade((long_(24.0), still()), leverage=25.0, tiers=tiers)
        assert kinds(events) == ["rejected"]

    @pytest.mark.parametrize(
        ("rules", "size", "limit"),
        [
            (Rules(0.3, 0.0, 0.0), 4.8, None),
            (Rules(0.0, 6.0, 0.0), None, "size_step"),
            (Rules(0.0, 0.0, 600.0), None, "min_notional"),
        ],
    )
    def test_E46_sizes_are_rounded_down_or_refused_as_the_venue_would(self, rules, size, limit):
        frame = flat()
        panel = SimulationPanel.of([frame], terms=FundingTerms(0.0, True))
        account = Account(limits=Limits(least_scale=1.0), rules={frame.instrument: rules})
        result = trade_portfolio(panel, {frame.instrument: intents(frame, (2, 1, 80.0))}, account)
        assert result.events["size"].tolist() == ([] if size is None else [pytest.approx(size)])
        assert {name: result.refused[name] for name in LIMITS if result.refused[name]} == ({limit: 1} if limit else {})

    def test_E47_liquidation_before_the_stop_is_booked_and_equity_stays_above_nothing(self):
        events, books = trade(
            (long_(40.0, stop=70.0), still()), (None, bar(100, 100, 60, 65)), cash=405.0, leverage=10.0
        )
        assert kinds(events) == ["entry", "liquidation"]
        assert events["price"][1] > 90.0
        assert books.wallet[0] >= 0.0


class TestTooLittleToJudge:
    """Without trades, or with one, nothing is claimed: no ratio is 0 or infinite."""

    RATIOS = ("sharpe", "sortino", "calmar", "cagr", "win_rate", "profit_factor", "expectancy")

    def test_E48_zero_trades_is_not_testable(self):
        result = run(walk(1, 60 * 24 * 40))
        assert result.metrics["total_return"] == 0.0
        for name in self.RATIOS:
            assert np.isnan(result.metrics[name]), name

    def test_E48_one_trade_is_not_testable(self):
        result = run(walk(1, 60 * 24 * 40), (10, 1), (500, 0))
        assert result.metrics["trades"] == 1
        assert np.isnan(result.metrics["sharpe"])

    def test_E48_the_score_buckets_of_nothing_are_not_zero(self):
        table = score_buckets(unscored(flat(n=40)), env=Env(seed=0))
        assert table["bars"].sum() == 0
        assert np.isnan(table["mean_bp"]).all()

    @pytest.mark.parametrize("made", [(), ((10, 1), (20, 0))])
    def test_E48_a_page_and_a_summary_say_not_testable(self, made, tmp_path):
        result = run_portfolio(flat(n=60), *made)
        assert "not testable" in result.summary()
        assert "not testable" in page_of(result, tmp_path)
