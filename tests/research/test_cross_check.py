"""The contract beside vectorbt, on what vectorbt models: market entries, one stop, one target, no leverage.

Both trade the same intents; what differs is named, and each difference is a test (docs/guides/backtest.md).
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.research.scenes import bars, intents, market, random_intents, unscored, walk
from virtuoso.account.instrument import Instrument
from virtuoso.account.metrics import max_drawdown
from virtuoso.account.records import CLOSED, ENTERED, KINDS, OPEN, REASONS, STOPPED, TARGETED
from virtuoso.account.risk import Limits
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.research.backtest.engine import Account, bounds, run
from virtuoso.research.backtest.panel import FundingTerms, Stage
from virtuoso.research.crosscheck.compare import backtest

RISK = 0.0002
SMALL = Limits(base_size=RISK, least_scale=1.0, max_leverage=1.0, heat=1.0, max_drawdown=0.99)
FREE = FundingTerms(assume=0.0, mark_is_last=True)


def contract(frame, made, fees=0.0, slippage=0.0, **how):
    made = made.copy()
    made["size"][:, 0] = 1.0
    stage = Stage.of([frame], slippage=slippage, terms=FREE)
    account = Account(maker=fees, taker=fees, leverage=1.0, limits=SMALL)
    return run(stage, {frame.instrument: made}, account, **how)


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
    result = backtest(unscored(frame), made, fees=fees, slippage=slippage, risk=RISK)
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
        theirs = backtest(unscored(frame), made, fees=0.0005, slippage=0.0, risk=RISK)
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
        """vectorbt alone never looks at the stop on the bar of the entry; `fills.py` hands it rows so that it does."""
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
        by_slow = bounds(Stage.of([slow], terms=FREE), given, account)
        return by_slow, bounds(Stage.of([slow], terms=FREE, inside={fine.instrument: fine}), given, account)

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
