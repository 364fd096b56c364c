"""E45, E48 and E49 of the fault catalogue in the backtest that users run: refused, not testable, one order list."""

import numpy as np
import pytest

from tests.reports.pages import page_of
from tests.research.backtest.test_backtest import COSTLY, NO_FUNDING, run, trade, two, whole
from tests.research.scenes import bars, flat, intents, market, random_intents, unscored, walk
from virtuoso.errors import NoDataError
from virtuoso.market.events import events_of
from virtuoso.market.schema.kinds import KINDS
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.panel import FundingTerms

HOUR = 3_600_000
MONTH = 60 * 24 * 40


class TestWhatIsNotKnownOfAPerpetual:
    """Funding and mark prices are never 0 or the last price unless somebody says so; then everything says it too."""

    def refused(self, terms, funding=None):
        frame = flat(n=60 * 24)
        with pytest.raises(NoDataError) as refused:
            backtest(
                [unscored(frame)], COSTLY, intents_of={frame.instrument: intents(frame)}, funding_terms=terms,
                funding=None if funding is None else {frame.instrument: funding(frame)},
            )  # fmt: skip
        return str(refused.value)

    def test_E45_without_funding_the_run_refuses_and_names_the_option(self):
        words = self.refused(FundingTerms(None, True))
        assert "Funding of BTCUSDT binance-usdm is not known from 2020-01-03" in words
        assert "--assume-funding 0.0001" in words

    def test_E45_without_mark_prices_the_run_refuses_and_names_the_option(self):
        words = self.refused(FundingTerms(0.0, False))
        assert "Mark prices of BTCUSDT binance-usdm are not known for 1,440 of 1,440 bars" in words
        assert "--mark last" in words

    def test_E45_a_hole_in_recorded_funding_is_no_zero(self):
        def with_a_hole(frame):
            times = frame.start * 60_000 + np.array([0, 8]) * HOUR  # the settlement at 16:00 is missing
            columns = {"rate": np.zeros(2), "hours": np.full(2, 8.0), "mark": np.full(2, 100.0)}
            return events_of(KINDS["funding"], times.astype(np.int64), columns)

        assert "is not known from 2020-01-03 08:00:00Z" in self.refused(FundingTerms(None, True), with_a_hole)

    def test_E45_what_was_assumed_is_printed(self, tmp_path):
        result = run(flat(n=60 * 24), (10, 1, 90.0, 200.0), terms=FundingTerms(0.001, True))
        assert "ASSUMED: funding of 0.1000% every eight hours" in result.summary()
        assert "ASSUMED: the last price stands for the mark price" in result.summary()
        page = page_of(result, tmp_path)
        assert "ASSUMED: funding of 0.1000% every eight hours" in page
        assert result.metrics["funding"] == pytest.approx(-2 * 0.001 * result.trade_records["size"][0] * 100.0)

    def test_E45_spot_needs_neither(self):
        frame = flat(n=60, venue="binance-spot")
        result = backtest([unscored(frame)], COSTLY, intents_of={frame.instrument: intents(frame)})
        assert result.panel.assumptions == ()


class TestTooLittleToJudge:
    """Without trades, or with one, nothing is claimed: no ratio is 0 or infinite."""

    RATIOS = ("sharpe", "sortino", "calmar", "cagr", "volatility", "win_rate", "profit_factor", "expectancy", "mean_r")

    @pytest.mark.parametrize("made", [(), ((10, 1, 1.0, 1e6), (500, 0))], ids=["zero trades", "one trade"])
    def test_E48_is_not_testable(self, made):
        result = run(walk(1, MONTH), *made)
        assert result.metrics["trades"] == len(made) // 2
        for name in self.RATIOS:
            assert np.isnan(result.metrics[name]), name
        assert np.isfinite(result.benchmark_metrics["sharpe"])
        assert result.random_entries.draws == 0
        words = result.summary()
        assert "not testable" in words
        assert "inf" not in words.replace("inf" + "orm", "")

    def test_E48_zero_trades_say_that_nothing_was_traded(self, tmp_path):
        result = run(walk(1, MONTH))
        assert "Nothing was traded: there is nothing to judge." in result.summary()
        assert len(result.breakdowns) == 0
        assert np.isnan(result.metrics["repaired_share"])
        assert "not testable" in page_of(result, tmp_path)


class TestOverlapsAndReversals:
    """Signals that overlap or contradict each other give one order list, whole or bar by bar."""

    FRAME = bars(*[(p, p, p, p) for p in (100, 100, 110, 121, 110, 100)])

    def test_E49_a_second_signal_the_same_way_changes_nothing(self):
        once = run(self.FRAME, (0, 1, 50.0, 200.0))
        thrice = run(self.FRAME, (0, 1, 50.0, 200.0), (1, 1, 60.0, 300.0), (2, 1, 70.0, 400.0))
        assert once.run.events.tobytes() == thrice.run.events.tobytes()

    def test_E49_a_reversal_closes_and_opens_at_one_open(self):
        result = run(self.FRAME, (0, 1, 50.0, 200.0), (2, -1, 200.0, 50.0))
        assert result.trade_records["side"].tolist() == [1, -1]
        assert result.trade_records["exit_number"][0] == result.trade_records["entry_number"][1] == self.FRAME.start + 3

    @pytest.mark.parametrize("seed", range(3))
    def test_E49_what_happened_by_then_does_not_depend_on_what_followed(self, seed):
        """Batch is live: cut history anywhere, and the events before the cut are the same bytes."""
        scores, made = two(seed)
        events = trade(scores, made).run.events
        assert len(events) > 100
        for cut in (700, 1_777, 2_500):
            end = scores[0].frame.start + cut
            frames = [market(seed, bars=3_000), market(seed + 1, bars=3_000, symbol="ETHUSDT")]
            short = [unscored(frame.until(end * 60_000)) for frame in frames]
            early = {name: rows[rows["number"] < end] for name, rows in made.items()}
            expected = events[events["instant"] < end]
            assert trade(short, early).run.events.tobytes() == expected.tobytes()

    def test_E49_every_bar_may_contradict_the_last_one(self):
        frame = walk(2, 400)
        sides = np.random.default_rng(2).choice([-1, 1], 399)
        close = frame.base.columns["close"]
        made = [(k, int(s), float(close[k] * (1 - 0.02 * s))) for k, s in enumerate(sides)]
        result = run(frame, whole(intents(frame, *made)))
        flips = 1 + int((np.diff(sides) != 0).sum())
        assert len(result.trade_records) == flips
        np.testing.assert_array_equal(
            result.trade_records["exit_number"][:-1], result.trade_records["entry_number"][1:]
        )

    def test_E49_random_signals_cost_what_they_cost(self):
        frame = walk(6, 3_000)
        result = run(frame, random_intents(frame, 6, 200), account=COSTLY, terms=NO_FUNDING)
        gross = result.trade_records["gross"].sum()
        assert result.trade_records["pnl"].sum() == pytest.approx(gross - result.metrics["fees"])
