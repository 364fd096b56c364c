"""The contract beside vectorbt, on what vectorbt models: market entries, one stop, one target, no leverage.

Both trade the same intents; what differs is named, and each difference is a test (docs/guides/backtest.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.research.backtest.test_backtest import trade, two
from tests.research.scenes import bars, intents, market, random_intents, unscored, walk
from virtuoso.account.instrument import Instrument
from virtuoso.account.metrics import max_drawdown
from virtuoso.account.records import CLOSED, ENTERED, KINDS, OPEN, REASONS, STOPPED, TARGETED
from virtuoso.account.risk import Limits
from virtuoso.clock import Timeframe
from virtuoso.files.json import to_json
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.research.backtest.backtest import backtest as portfolio_backtest
from virtuoso.research.backtest.engine import Account, bounds, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.crosscheck import orders
from virtuoso.research.crosscheck.compare import compare
from virtuoso.research.crosscheck.simulate import simulate

RISK = 0.0002
SMALL = Limits(base_size=RISK, least_scale=1.0, max_leverage=1.0, heat=1.0, max_drawdown=0.99)
FREE = FundingTerms(assume=0.0, mark_is_last=True)


def contract(frame, made, fees=0.0, slippage=0.0, **how):
    made = made.copy()
    made["size"][:, 0] = 1.0
    panel = SimulationPanel.of([frame], slippage=slippage, terms=FREE)
    account = Account(maker=fees, taker=fees, leverage=1.0, limits=SMALL)
    return run(panel, {frame.instrument: made}, account, **how)


def trades_of(result):
    """Trades as (entry bar, exit bar, side, entry price, exit price, why), those that ended."""
    found, entry = [], None
    for event in result.events:
        if event["kind"] == ENTERED:
            entry = event
        elif event["kind"] in (CLOSED, STOPPED, TARGETED):
            side = 1 if entry["size"] > 0 else -1
            row = (entry["instant"], event["instant"], side, entry["price"], event["price"], KINDS[event["kind"]])
            found.append(row)
    return found


def of_vectorbt(frame, made, fees=0.0, slippage=0.0):
    result = simulate(unscored(frame), made, fees=fees, slippage=slippage, risk=RISK)
    ended = result.trades[result.trades["reason"] != OPEN]
    return [
        (t["entry_number"], t["exit_number"], t["side"], t["entry_price"], t["exit_price"], REASONS[t["reason"]])
        for t in ended
    ]


def assert_equal(ours, theirs):
    assert [row[:3] + row[5:] for row in ours] == [row[:3] + row[5:] for row in theirs]
    np.testing.assert_allclose([row[3:5] for row in ours], [row[3:5] for row in theirs], rtol=1e-12)


class TestEqualTrades:
    """Where both model the case, they trade the same bars at the same prices for the same reasons."""

    @pytest.mark.parametrize("seed", range(6))
    def test_on_random_markets(self, seed):
        frame = walk(seed, 2_000)
        made = random_intents(frame, seed, 300)
        ours, theirs = trades_of(contract(frame, made)), of_vectorbt(frame, made)
        assert len(ours) > 100
        assert_equal(ours, theirs)

    @pytest.mark.parametrize("seed", range(3))
    def test_on_markets_with_holes_gaps_and_slippage_without_targets(self, seed):
        frame = market(seed, bars=2_500)
        made = random_intents(frame, seed, 300)
        made["target"] = np.nan
        ours = trades_of(contract(frame, made, 0.0005, 0.0002))
        theirs = of_vectorbt(frame, made, 0.0005, 0.0002)
        assert len(ours) > 100
        assert_equal(ours, theirs)

    def test_the_money_is_the_same(self):
        frame = walk(9, 2_000)
        made = random_intents(frame, 9, 200)
        ours = contract(frame, made, fees=0.0005)
        theirs = simulate(unscored(frame), made, fees=0.0005, slippage=0.0, risk=RISK)
        # sizes differ by what the open differs from the close before; the return does not beyond that
        assert ours.equity[-1] / 10_000.0 == pytest.approx(theirs.equity[-1] / 10_000.0, rel=2e-4)


class TestNamedDifferences:
    """Where they differ, the contract is the more careful one, and by how much is known."""

    def test_targets_are_limits_here_and_market_orders_there(self):
        """vectorbt lets a target slip as a stop does; a resting limit fills at its price."""
        frame = walk(3, 2_000)
        made = random_intents(frame, 3, 300)
        slippage = 0.0001
        ours = {row[:3]: row for row in trades_of(contract(frame, made, 0.0, slippage)) if row[5] == "target"}
        theirs = {row[:3]: row for row in of_vectorbt(frame, made, 0.0, slippage) if row[5] == "target"}
        both = ours.keys() & theirs.keys()
        assert len(both) > 15
        for key in both:
            assert theirs[key][4] == pytest.approx(ours[key][4] * (1.0 - key[2] * slippage), rel=1e-12)

    def test_a_target_the_open_is_beyond_fills_at_the_target_here_and_at_the_open_there(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99, 100), (108, 109, 107, 108), (108, 108, 108, 108))
        made = intents(frame, (0, 1, 95.0, 105.0))
        assert trades_of(contract(frame, made))[0][4] == 105.0
        assert of_vectorbt(frame, made)[0][4] == pytest.approx(108.0)

    def test_a_stop_on_the_entry_bar(self):
        """vectorbt alone never looks at the stop on the bar of the entry; vectorbt.py hands it rows so that it does."""
        frame = bars((70, 70, 70, 70), (70, 72, 60, 71), (71, 80, 71, 79), (79, 79, 79, 79))
        made = intents(frame, (0, 1, 63.0, 100.0))
        assert [row[5] for row in trades_of(contract(frame, made))] == ["stop"]
        assert of_vectorbt(frame, made) == trades_of(contract(frame, made))
        alone = _alone(frame, entry=1, stop=0.1)
        assert len(alone) == 1  # it still holds

    def test_stops_slip(self):
        """vectorbt's own default (StopLimit) fills a stop at its price whatever slippage is asked for."""
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 85, 88), (88, 88, 88, 88))
        made = intents(frame, (0, 1, 90.0, 150.0))
        alone = _alone(frame, entry=1, stop=0.1, slippage=0.01)
        assert alone["price"].tolist() == [pytest.approx(101.0), pytest.approx(101.0 * 0.9)]
        assert trades_of(contract(frame, made, slippage=0.01))[0][4] == pytest.approx(90.0 * 0.99)

    def test_the_first_bar_counts_in_the_drawdown(self):
        """vectorbt's accessor measures from the first close, so that a loss on the first bar is none."""
        import pandas as pd
        import vectorbt  # noqa: F401  # it registers the accessor

        returns = pd.Series([-0.10, 0.05], index=pd.date_range("2024", periods=2, freq="D"))
        assert returns.vbt.returns.max_drawdown() == 0.0
        ours = max_drawdown(1_000.0 * np.cumprod(1.0 + returns.to_numpy()), 1_000.0)
        assert abs(ours) == pytest.approx(0.10)


def _alone(frame, entry, stop, slippage=0.0):
    """vectorbt as it comes: one entry at the open, a stop as a share of the fill."""
    import pandas as pd
    from vectorbt import Portfolio

    columns = frame.base.columns
    times = pd.date_range("2024-01-01", periods=len(columns["close"]), freq="min")
    series = {name: pd.Series(columns[name], times) for name in ("open", "high", "low", "close")}
    entries = pd.Series(np.arange(len(times)) == entry, times)
    portfolio = Portfolio.from_signals(
        series["close"], entries=entries, price=series["open"], open=series["open"], high=series["high"],
        low=series["low"], sl_stop=stop, stop_entry_price="fillprice", slippage=slippage, size=1.0,
    )  # fmt: skip
    return portfolio.order_records


class TestFinerBars:
    """Finer bars tell the order of prices that a bar hides: the contract runs on them, decisions stay."""

    EVERY = 5

    def frames(self, seed):
        fine = walk(seed, 6_000)
        fine = MarketFrame(Instrument("simulated", "BTCUSDT"), fine.base)
        rows = {name: fine.base.columns[name].reshape(-1, self.EVERY) for name in ("open", "high", "low", "close")}
        columns = {
            "open": rows["open"][:, 0].copy(), "high": rows["high"].max(axis=1), "low": rows["low"].min(axis=1),
            "close": rows["close"][:, -1].copy(), "volume": np.ones(len(rows["open"])),
        }  # fmt: skip
        clock = Timeframe("5m")
        first = fine.start // self.EVERY
        times = (first + np.arange(len(columns["open"]))) * clock.ms
        return MarketFrame(fine.instrument, Bars.from_rows(clock, times, columns, GapPolicy("cut", 0))), fine

    def trade(self, seed):
        slow, fine = self.frames(seed)
        made = random_intents(slow, seed, 250)
        made["size"][:, 0] = 1.0
        made["stop"] = np.round(made["price"] * (1.0 - 0.0012 * made["side"]), 2)
        made["target"][:, 0] = np.round(made["price"] * (1.0 + 0.0012 * made["side"]), 2)
        account, given = Account(leverage=1.0, limits=SMALL), {slow.instrument: made}
        by_slow = bounds(SimulationPanel.of([slow], terms=FREE), given, account)
        return by_slow, bounds(SimulationPanel.of([slow], terms=FREE, inside={fine.instrument: fine}), given, account)

    def test_ambiguous_trades_become_few_and_the_bounds_close_in(self):
        doubted, apart = np.zeros(2), np.zeros(2)
        for seed in range(3):
            for k, (worst, best) in enumerate(self.trade(seed)):
                doubted[k] += worst.events["ambiguous"].sum()
                apart[k] += best.equity[-1] - worst.equity[-1]
        assert doubted[0] > 20
        assert doubted[1] < 0.5 * doubted[0]
        assert 0.0 <= apart[1] < 0.5 * apart[0]

    def test_what_was_decided_enters_at_the_same_prices(self):
        (slow, _), (fine, _) = self.trade(4)
        price = {int(e["order"]): e["price"] for e in slow.events if e["kind"] == ENTERED}
        again = {int(e["order"]): e["price"] for e in fine.events if e["kind"] == ENTERED}
        both = price.keys() & again.keys()
        assert len(both) > 0.8 * len(price)
        assert all(price[k] == again[k] for k in both)

    def test_the_truth_lies_between_the_bounds(self):
        for seed in range(3):
            (worst, best), (finer, _) = self.trade(seed)
            assert worst.equity[-1] - 1.0 <= finer.equity[-1] <= best.equity[-1] + 1.0


def backtested(frame, made, account=None, slippage=0.0):
    """A backtest without costs and limits that bind, unless it is said otherwise."""
    made = made.copy()
    made["size"][~made["size"].any(axis=1), 0] = 1.0
    terms = account or Account(maker=0.0, taker=0.0, leverage=1.0, limits=SMALL)
    given = {frame.instrument: made}
    return portfolio_backtest([unscored(frame)], terms, intents_of=given, slippage=slippage, funding_terms=FREE)


class TestDifferencesAreNamed:
    """Each trade that the two do not make alike has a cause; one without a known cause says so."""

    @pytest.mark.parametrize("seed", range(3))
    def test_where_both_model_the_case_nothing_differs(self, seed):
        frame = walk(seed, 2_000)
        found = compare(backtested(frame, random_intents(frame, seed, 300)))
        assert found.contract == found.vectorbt == found.same > 100
        assert list(found.differences) == []

    @pytest.mark.parametrize("seed", range(3))
    def test_on_random_markets_with_slippage_only_targets_and_what_follows_differ(self, seed):
        frame = walk(seed, 2_000)
        found = compare(backtested(frame, random_intents(frame, seed, 300), slippage=0.0001))
        assert found.causes["target"] > 10
        assert set(found.causes) <= {"target", "follows"}
        assert found.same + len(found.differences) >= max(found.contract, found.vectorbt)

    def of_one(self, frame, made, account=None, slippage=0.0):
        found = compare(backtested(frame, made, account, slippage))
        (one,) = found.differences
        assert found.causes == {one.cause: 1}
        return one

    def test_a_limit_entry(self):
        frame = bars(*[(100, 101, 99, 100)] * 3, *[(100, 101, 95, 100)] * 3)
        made = intents(frame, (0, 1, 80.0, 150.0))
        made["entry"], made["expires"] = 97.0, frame.start + 5
        one = self.of_one(frame, made)
        assert one.cause == "limit entry"
        assert (one.contract.entry_price, one.vectorbt.entry_price) == (97.0, 100.0)

    def test_a_limit_entry_that_is_never_filled(self):
        frame = bars(*[(100, 101, 99, 100)] * 6)
        made = intents(frame, (0, 1, 80.0, 150.0))
        made["entry"], made["expires"] = 90.0, frame.start + 2
        one = self.of_one(frame, made)
        assert (one.cause, one.contract) == ("limit entry", None)
        assert one.vectorbt.reason == "open"

    def test_several_targets(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 106, 100, 106), (106, 121, 106, 121),
                     (121, 121, 121, 121))  # fmt: skip
        made = intents(frame, (0, 1, 90.0, 105.0))
        made["target"][0, 1], made["size"][0, :2] = 120.0, 0.5
        one = self.of_one(frame, made)
        assert one.cause == "several targets"
        assert one.contract.exit > one.vectorbt.exit

    def test_a_target_beyond_which_a_bar_opens(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99, 100), (108, 109, 107, 108), (108, 108, 108, 108))
        one = self.of_one(frame, intents(frame, (0, 1, 95.0, 105.0)))
        assert one.cause == "target"
        assert (one.contract.exit_price, one.vectorbt.exit_price) == (105.0, pytest.approx(108.0))

    def test_a_stop_that_trails(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 130, 100, 130), (130, 130, 105, 105),
                     (105, 105, 105, 105))  # fmt: skip
        account = Account(maker=0.0, taker=0.0, leverage=1.0, limits=SMALL, trail=1.0)
        assert self.of_one(frame, intents(frame, (0, 1, 90.0, 200.0)), account).cause == "trailing stop"

    def test_a_liquidation(self):
        frame = bars(*[(100, 100, 100, 100)] * 2, (100, 100, 60, 65), (65, 65, 65, 65))
        account = Account(maker=0.0, taker=0.0, leverage=10.0, limits=SMALL)
        one = self.of_one(frame, intents(frame, (0, 1, 40.0, 200.0)), account)
        assert (one.cause, one.contract.reason) == ("liquidation", "liquidation")

    def test_an_entry_that_the_limits_refuse(self):
        frame = bars(*[(100, 100, 100, 100)] * 6)
        account = Account(maker=0.0, taker=0.0, leverage=1.0, limits=SMALL._replace(max_positions=0))
        one = self.of_one(frame, intents(frame, (0, 1, 90.0, 200.0)), account)
        assert (one.cause, one.contract) == ("limits of risk", None)

    def test_what_another_difference_leads_to(self):
        frame = bars(*[(100, 101, 99, 100)] * 9)
        made = intents(frame, (0, 1, 80.0, 150.0), (4, 1, 80.0, 150.0))
        made["entry"][0], made["expires"][0] = 90.0, frame.start + 2
        found = compare(backtested(frame, made))
        assert found.causes == {"limit entry": 1, "follows": 1}

    def test_a_fill_at_another_bar_is_explained_by_nothing(self, monkeypatch):
        frame = walk(2, 600)
        result = backtested(frame, random_intents(frame, 2, 60))
        monkeypatch.setattr(orders, "NEXT_OPEN", 2)
        found = compare(result)
        assert found.causes["unexplained"] > 10
        assert "unexplained: no cause is known: look at these" in repr(found)

    def test_facts_are_plain_and_say_what_each_did(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99, 100), (108, 109, 107, 108), (108, 108, 108, 108))
        told = compare(backtested(frame, intents(frame, (0, 1, 95.0, 105.0)))).to_dict()
        assert told["trades"] == {"contract": 1, "vectorbt": 1, "same": 0}
        (one,) = json.loads(to_json(told))["differences"]
        assert (one["side"], one["cause"], one["contract"]["reason"]) == ("long", "target", "target")


class TestAPortfolioOfVectorbt:
    """`to_vectorbt` hands over the fills as they were; its figures are ours, but for funding."""

    def test_it_is_worth_what_our_account_is(self):
        scores, made = two(n=2_000)
        result = trade(scores, made)
        given = result.to_vectorbt()
        funding = np.zeros(len(result.equity))
        np.add.at(funding, result.run.events["instant"] - result.panel.first, result.run.events["funding"])
        assert len(given.orders.records) > 100
        np.testing.assert_allclose(given.value().to_numpy(), result.equity - np.cumsum(funding), rtol=1e-9)

    def test_its_trades_are_ours(self):
        frame = walk(4, 1_500)
        result = backtested(frame, random_intents(frame, 4, 100))
        ours, theirs = result.trades, result.to_vectorbt().trades.records
        assert len(theirs) == len(ours) > 30
        np.testing.assert_allclose(np.sort(theirs["pnl"]), np.sort(ours["pnl"]), rtol=1e-9, atol=1e-9)
        assert str(result.to_vectorbt().wrapper.index[0]) == "2020-01-03 00:01:00"


class TestWithoutVectorbt:
    """Nothing but the cross-check needs vectorbt: a process in which it cannot be imported does all the rest."""

    SCRIPT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "vectorbt":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from tests.research.backtest.test_backtest import trade, two
from tests.research.scenes import market, scored
from virtuoso import workflows
from virtuoso.config import Settings
from virtuoso.demo import exhibits
from virtuoso.errors import ConfigError
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.runs.read import read_run

Path("virtuoso.toml").touch()
settings, terms = Settings(), {"mark": "last", "assume_funding": 0.0001}
scores = scored(market(9, bars=1_500, venue="simulated"))
result = workflows.backtest(scores, settings=settings, **terms)
folder, _ = workflows.save_run(result, settings=settings)
assert all(file.is_file() for file in workflows.report(folder, settings=settings))
assert len(workflows.sweep(scores, 3, settings=settings, **terms)) == 3
assert TearSheet(read_run(folder)).simulated
assert exhibits.planted(market(9, bars=1_500, venue="simulated"), settings).measured
for needs_it in (result.to_vectorbt, lambda: workflows.cross_check(result)):
    try:
        needs_it()
    except ConfigError as refused:
        assert "pip install vectorbt" in str(refused)
    else:
        raise AssertionError("it went through vectorbt all the same")
assert "vectorbt" not in sys.modules
"""

    def test_everything_else_works(self, tmp_path):
        root = Path(__file__).resolve().parents[3]
        done = subprocess.run(
            [sys.executable, "-c", self.SCRIPT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2_000:]
