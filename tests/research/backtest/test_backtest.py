"""The backtest that users run: one wallet, the contract bar by bar, and everything that belongs beside a result."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.builders import START
from tests.research.scenes import bars, flat, intents, market, random_intents, scored, unscored, walk
from virtuoso.account.records import CLOSED, STOPPED, TARGETED
from virtuoso.account.risk import Limits
from virtuoso.errors import ConfigError, DataError, NoDataError
from virtuoso.reports.summary import Summary
from virtuoso.reports.tearsheet.html import html
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms
from virtuoso.research.backtest.round_trips import STILL_OPEN
from virtuoso.runs.read import read_run
from virtuoso.runs.schema import REPEATED
from virtuoso.runs.write import encoded
from virtuoso.signals.strategy import intents as intents_of_rule

NO_FUNDING = FundingTerms(assume=0.0, mark_is_last=True)
NEVER = Limits(base_size=0.01, least_scale=1.0, max_leverage=2.8, max_drawdown=0.99, correlation=1.0)
FREE = Account(maker=0.0, taker=0.0, limits=NEVER)
COSTLY = Account(limits=NEVER)


def run(frame, *made, account=FREE, slippage=0.0, terms=NO_FUNDING):
    """Trade hand-written intents of one instrument whose scores do not matter."""
    rows = whole(made[0] if made and isinstance(made[0], np.ndarray) else intents(frame, *made))
    return backtest(
        [unscored(frame)], account, intents_of={frame.instrument: rows}, slippage=slippage, funding_terms=terms
    )


def whole(made):
    """Intents that leave whole at their first target where they do not say otherwise."""
    made["size"][~made["size"].any(axis=1), 0] = 1.0
    return made


def two(seed=7, n=3_000, score=unscored):
    """Two random markets, and random intents for both."""
    frames = [market(seed, bars=n), market(seed + 1, bars=n, symbol="ETHUSDT")]
    made = {frame.instrument: whole(random_intents(frame, seed, n // 25)) for frame in frames}
    return [score(frame) for frame in frames], made


def trade(scores, made, account=COSTLY, **how):
    return backtest(scores, account, intents_of=made, funding_terms=FundingTerms(0.0001, True), **how)


class TestTrades:
    """One row the life of a position, from the decision to the last fill."""

    FRAME = bars(
        (100, 100, 100, 100), (100, 101, 99.5, 100), (100, 106, 99, 104), (104, 104, 104, 104), (104, 104, 104, 104)
    )

    def test_says_when_it_was_decided_entered_and_left(self):
        table = run(self.FRAME, (0, 1, 98.0, 105.0)).to_pandas()
        ms = 60_000
        assert table["decided_at"][0].value // 10**6 == (START + 1) * ms
        assert table["entry_time"][0].value // 10**6 == (START + 1) * ms
        assert table["exit_bar_time"][0].value // 10**6 == (START + 2) * ms
        assert (table["symbol"][0], table["venue"][0], table["side"][0]) == ("BTCUSDT", "binance-usdm", "long")

    def test_leaves_a_share_at_each_target_and_counts_them(self):
        made = intents(self.FRAME, (0, 1, 98.0, 102.0))
        made["target"][0], made["size"][0] = (102.0, 105.0, 120.0), (0.5, 0.3, 0.2)
        found = run(self.FRAME, made).trade_records[0]
        assert (found["targets"], found["reason"]) == (2, STILL_OPEN)
        assert found["gross"] == pytest.approx(found["size"] * (0.5 * 2.0 + 0.3 * 5.0 + 0.2 * 4.0))

    def test_the_stop_loses_the_risk(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 90, 90), (90, 90, 90, 90))
        result = run(frame, (0, 1, 95.0, 120.0))
        assert result.trade_records[0]["pnl"] == pytest.approx(-100.0)
        assert result.trades_table()["r"][0] == pytest.approx(-1.0)
        assert result.trades_table()["reason"][0] == "stop"

    @pytest.mark.parametrize("seed", range(3))
    def test_their_gains_are_the_change_of_the_equity(self, seed):
        result = trade(*two(seed))
        assert len(result.trade_records) > 50
        assert result.trade_records["pnl"].sum() == pytest.approx(result.run.equity[-1] - result.account.cash, abs=1e-7)

    def test_a_life_through_unknown_bars_is_marked(self):
        frame = bars(*[(p, p, p, p) for p in (100, 100, 100, 1, 1, 90, 90)], missing=(3, 4))
        result = run(frame, (0, 1, 50.0, 200.0), (5, 0))
        assert result.across_gap.tolist() == [True]
        assert result.trade_records["repaired"].tolist() == [True]
        assert result.counts["trades across a gap"] == 1
        assert result.metrics["repaired_share"] == 1.0
        assert result.metrics["repaired_pnl"] == pytest.approx(result.trade_records["pnl"][0])

    def test_a_life_on_published_bars_is_not(self):
        result = run(flat(n=8), (0, 1, 50.0, 200.0), (5, 0))
        assert result.across_gap.tolist() == [False]
        assert result.counts["trades on repaired or missing data"] == 0


class TestOneWallet:
    """Many instruments share the cash, decide at one instant, and change nothing by their order of arrival."""

    def test_the_order_of_the_scores_changes_nothing(self):
        scores, made = two()
        here, there = trade(scores, made), trade(scores[::-1], made)
        assert here.run.events.tobytes() == there.run.events.tobytes()
        assert here.instruments == there.instruments

    def test_the_cash_is_shared(self):
        scores, made = two()
        both = trade(scores, made)
        alone = [trade([one], {one.frame.instrument: made[one.frame.instrument]}) for one in scores]
        assert both.account.cash == alone[0].account.cash
        own = both.trade_records[both.trade_records["instrument"] == 0]["size"]
        assert own[0] == alone[0].trade_records["size"][0]
        assert (own[-1] != alone[0].trade_records["size"][-1]) or len(own) != len(alone[0].trade_records)

    def test_scores_of_two_prisms_are_refused(self):
        scores, made = two(n=500)
        other = replace(scores[1], prism=scores[1].prism.reweighted({"technical": 0.9, "orderbook": 0.1}))
        with pytest.raises(DataError, match="one prism"):
            trade([scores[0], other], made)

    def test_spot_is_long_only_and_says_so(self):
        frame = bars(*[(p, p, p, p) for p in (100, 100, 110, 121, 110, 100)], venue="binance-spot")
        result = run(frame, (0, 1, 50.0, 200.0), (2, -1, 300.0, 50.0), account=replace(FREE, leverage=1.0))
        assert result.trade_records["side"].tolist() == [1]
        assert result.trade_records["reason"].tolist() == [CLOSED]
        assert result.counts["refused: short on spot"] == 1
        assert "Spot is long only" in result.summary()
        assert "liquidated" not in result.summary()

    def test_the_rule_makes_the_intents_where_none_are_handed_in(self):
        scores, _ = two(n=6_000, score=scored)
        result = backtest(scores, COSTLY, funding_terms=NO_FUNDING)
        made = {one.frame.instrument: intents_of_rule(one, result.rule) for one in scores}
        again = trade(scores, made)
        assert result.run.intents.tobytes() == again.run.intents.tobytes()


class TestFigures:
    """What is measured, from events and lives."""

    def test_time_in_the_market_turnover_and_leverage(self):
        result = run(flat(n=1_440), (9, 1, 90.0, 200.0), (369, 0))
        assert result.metrics["exposure"] == 0.25
        assert result.metrics["mean_leverage"] == pytest.approx(0.1)
        assert result.metrics["mean_hours"] == pytest.approx(361 / 60)
        assert result.metrics["turnover"] == pytest.approx(2 * 0.1)

    def test_fees_slippage_and_funding_are_what_the_events_paid(self):
        result = trade(*two(), slippage=0.0005)
        events = result.run.events
        assert result.metrics["fees"] == pytest.approx(events["fee"].sum())
        assert result.metrics["slippage"] == pytest.approx(events["slippage"].sum())
        assert result.metrics["funding"] == pytest.approx(events["funding"].sum())
        assert result.metrics["funding"] != 0.0

    def test_both_orders_of_prices_are_run_and_the_ambiguous_trade_is_counted(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 106, 97, 104), (104, 104, 104, 104))
        made = intents(frame, (0, 1, 98.0, 105.0))
        made["size"][0] = (1.0, 0.0, 0.0)
        result = run(frame, made)
        assert result.trade_records["reason"].tolist() == [STOPPED]
        assert result.counts["ambiguous trades"] == 1
        assert result.metrics["total_return"] < 0.0 < result.optimistic_metrics["total_return"]
        assert TARGETED in result.optimistic.events["kind"]
        assert "the truth lies between" in result.summary()

    def test_capacity_is_what_the_recorded_book_would_have_taken(self):
        frame = flat(n=20)
        frame.base.columns["ask_depth_10bp"] = np.full(20, 50_000.0)
        result = run(frame, (2, 1, 90.0, 200.0), (10, 0))
        notional = result.trade_records["size"][0] * 100.0
        assert result.metrics["capacity_multiple"] == pytest.approx(0.1 * 50_000.0 / notional)
        assert result.metrics["capacity_cash"] == pytest.approx(result.account.cash * 5_000.0 / notional)
        assert result.metrics["capacity_known"] == 1.0

    def test_capacity_is_not_known_where_no_book_was_recorded(self):
        result = run(flat(n=20), (2, 1, 90.0, 200.0), (10, 0))
        assert np.isnan(result.metrics["capacity_cash"])
        assert "recorded at none of the entries" in " ".join(result.summary().split())

    def halting(self, max_drawdown=0.02, **how):
        frame, limits = walk(3, 4_000), NEVER._replace(max_drawdown=max_drawdown, base_size=0.02)
        return run(frame, random_intents(frame, 3, 200), account=replace(COSTLY, limits=limits, **how))

    def test_a_halt_that_is_enforced_is_told_with_its_moment(self):
        result = self.halting(halt=True)
        assert result.counts["halts"] == 1
        assert result.counts["refused: halted"] > 0
        words = " ".join(result.summary().split())
        assert "no position was entered from then on, never lifted" in words
        assert "and stayed halted." in words
        assert result.configuration()["terms"]["halt"] is True

    def test_a_halt_is_reported_and_ends_nothing(self):
        result, free = self.halting(), self.halting(0.99)
        assert result.run.events.tobytes() == free.run.events.tobytes()
        assert str(result.inverted_metrics) == str(free.inverted_metrics)
        assert result.random_entries == free.random_entries
        assert result.counts["refused: halted"] == 0
        told, at = result.halted, result.run.halts[0]
        close = int(np.flatnonzero(result.close_times == told.at)[0])
        assert told.equity == result.run.equity[close] <= 0.98 * max(10_000.0, result.run.equity[:close].max())
        assert told.return_after == pytest.approx(result.run.equity[-1] / told.equity - 1.0)
        assert told.signals_after == sum(row["side"] != 0 and row["number"] >= at for row in result.run.intents)
        words = " ".join(result.summary().split())
        assert "this run reports it and trades on" in words
        assert f"{told.signals_after} of {result.counts['intents to open']} signals to open" in words
        assert "it is reported and not enforced, and" in Summary(result.data).verdict
        assert any("reports it and trades on" in finding.words for finding in Summary(result.data).limits)
        assert result.configuration()["terms"]["halt"] is False
        assert free.halted is None

    def test_faces_alone_are_not_ended_by_a_halt(self):
        frame = market(7, bars=6_000)
        limits = NEVER._replace(max_drawdown=0.001)
        shown = [
            backtest([scored(frame)], replace(COSTLY, limits=one), funding_terms=NO_FUNDING).faces_alone
            for one in (limits, limits._replace(max_drawdown=0.99))
        ]
        assert str(shown[0]) == str(shown[1])
        assert sum(figures["trades"] for figures in shown[0].values()) > 0

    def test_what_is_not_known_of_correlations_is_said(self):
        scores, made = two(n=400)
        for k, of_one in enumerate(scores):  # few bars lie behind them
            price = of_one.frame.base.columns["close"][10 + k]
            made[of_one.frame.instrument] = whole(intents(of_one.frame, (10 + k, 1, 0.9 * price, 2.0 * price)))
        result = trade(scores, made)
        assert result.counts["correlation_unknown"] == 1
        assert "share too few bars (under 30)" in " ".join(result.summary().split())


class TestWhatIsRefused:
    """Terms that no account has, markets that hold nothing, intents of something else."""

    @pytest.mark.parametrize(
        ("account", "name"),
        [
            (replace(FREE, taker=-0.1), "taker"),
            (replace(FREE, maker=0.2), "maker"),
            (replace(FREE, cash=0.0), "cash"),
            (replace(FREE, leverage=0.5), "leverage"),
            (replace(FREE, limits=NEVER._replace(base_size=0.0)), "risk"),
            (replace(FREE, trail=-1.0), "trail"),
        ],
    )
    def test_impossible_terms(self, account, name):
        with pytest.raises(ConfigError, match=name):
            run(flat(), (0, 1), account=account)

    def test_a_market_without_two_known_bars(self):
        with pytest.raises(NoDataError, match="two known bars"):
            run(flat(n=1))

    def test_intents_of_bars_that_were_not_scored(self):
        frame = flat(n=12)
        made = intents(frame, (0, 1))
        made["number"] += 100
        with pytest.raises(DataError, match="were scored"):
            run(frame, made)


@pytest.fixture(scope="module")
def made():
    """Two scored markets and what is traded on them."""
    return two(score=scored)


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """Their run folder."""
    return trade(*made).save(tmp_path_factory.mktemp("runs") / "a")


class TestTheRunFolder:
    """Everything needed to repeat it; the same inputs give the same bytes."""

    FILES = (
        "config.json", "provenance.json", "metrics.json", "intents.parquet", "events.parquet", "trades.parquet",
        "equity.parquet", "breakdowns.parquet", "score_buckets.parquet", "summary.txt", "words.json",
        "scores.json", "reliability.json", "fans.json", "prices.parquet", "panes.parquet",
    )  # fmt: skip

    def test_the_same_inputs_give_the_same_bytes(self, made, folder, tmp_path):
        again = trade(*two(score=scored)).save(tmp_path / "b")
        names = {path.name for path in folder.iterdir()}
        assert names == set(self.FILES) == REPEATED
        assert names == {path.name for path in again.iterdir()}
        for name in names:
            assert (folder / name).read_bytes() == (again / name).read_bytes(), name

    def test_another_seed_moves_intervals_and_no_trade(self, made, folder, tmp_path):
        from virtuoso.clock import Env

        other = trade(*made, env=Env(seed=1)).save(tmp_path / "b")
        assert (folder / "trades.parquet").read_bytes() == (other / "trades.parquet").read_bytes()
        assert (folder / "metrics.json").read_bytes() != (other / "metrics.json").read_bytes()

    def test_the_files_hold_what_the_result_holds(self, made, folder):
        result = trade(*made)
        trades, events = pq.read_table(folder / "trades.parquet"), pq.read_table(folder / "events.parquet")
        equity, decided = pq.read_table(folder / "equity.parquet"), pq.read_table(folder / "intents.parquet")
        np.testing.assert_array_equal(trades["pnl"].to_numpy(), result.trade_records["pnl"])
        np.testing.assert_array_equal(events["wallet"].to_numpy(), result.run.events["wallet"])
        np.testing.assert_array_equal(equity["equity"].to_numpy(), result.run.equity)
        np.testing.assert_array_equal(decided["target1"].to_numpy(), result.run.intents["target"][:, 0])
        assert set(decided["symbol"].to_pylist()) == {"BTCUSDT", "ETHUSDT"}

    def test_terms_and_assumptions_stand_in_the_configuration(self, folder):
        found = json.loads((folder / "config.json").read_bytes())
        assert found["terms"]["margin"] == "isolated"
        assert found["terms"]["limits"]["base_size"] == 0.01
        assert "the last price stands for the mark price" in found["assumed"]

    def test_what_is_not_testable_is_null(self, tmp_path):
        folder = run(flat(n=30), (0, 1, 90.0, 200.0)).save(tmp_path / "run")
        found = json.loads((folder / "metrics.json").read_bytes())
        assert found["strategy"]["sharpe"] is None
        assert found["random_entries"]["percentile"] is None

    def test_a_run_is_never_overwritten_by_accident(self, made, folder):
        result, names = trade(*made), {path.name for path in folder.iterdir()}
        with pytest.raises(ConfigError, match="never overwritten"):
            result.save(folder)
        (folder / "stray.txt").write_text("old")
        result.save(folder, replace=True)
        assert {path.name for path in folder.iterdir()} == names

    def test_a_failure_leaves_nothing_behind(self, made, tmp_path, monkeypatch):
        result = trade(*made)
        monkeypatch.setattr(type(result), "summary", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            result.save(tmp_path / "run")
        assert list(tmp_path.iterdir()) == []

    def test_a_table_that_is_not_as_the_schema_says_is_not_written(self):
        with pytest.raises(ValueError, match=r"equity\.parquet has the columns"):
            encoded({"equity.parquet": {"close_time": np.arange(3)}})

    def test_trades_turn_into_pandas(self, made):
        result = trade(*made)
        table = result.to_pandas()
        assert len(table) == len(result.trade_records) > 0
        assert str(table["entry_time"].dtype).endswith("UTC]")
        assert (table["entry_time"] >= table["decided_at"]).all()

    def test_the_summary_is_at_most_100_columns_wide(self, made):
        assert max(len(line) for line in trade(*made).summary(bounds=True).splitlines()) <= 100

    def test_the_page_names_all_instruments_and_shows_comparisons(self, folder):
        page = html(TearSheet(read_run(folder)))
        for words in (
            "2 instruments (BTCUSDT, ETHUSDT) 1m",
            "Compared on the same terms",
            "By regime",
            "ASSUMED",
        ):
            assert words in page
