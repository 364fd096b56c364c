"""Size by volatility: calm markets are held large and wild ones small, as known at the decision, within the limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import virtuoso as vt
from tests.research.scenes import intents, scored, unscored, walk
from virtuoso.account.records import ENTERED
from virtuoso.account.risk import Limits
from virtuoso.account.settings import RiskSettings, TradingSettings
from virtuoso.config import Settings
from virtuoso.errors import ConfigError, DataError
from virtuoso.reports.summary import Summary
from virtuoso.research.backtest.account import account_from
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.signals.moves import daily_deviations

WIDE = Limits(max_leverage=1e6, heat=1e6, correlation=1.0, max_drawdown=0.99)
BY_VOLATILITY = Account(limits=WIDE, leverage=100.0, target_volatility=0.001)
WEEK = 7 * 1_440


def entered(frame, made, account=BY_VOLATILITY):
    """Bars decided at, and sizes entered."""
    done = run(SimulationPanel.of([frame]), {frame.instrument: made}, account)
    events = done.events[done.events["kind"] == ENTERED]
    return done, events


class TestTheDeviationOfADay:
    """Root mean square of the returns of the last week, to the bar and no further."""

    def test_is_that_of_pandas(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        returns = pd.Series(frame.base.columns["close"]).pct_change()
        expected = ((returns**2).rolling(WEEK).mean() ** 0.5 * 1_440**0.5).to_numpy()
        found = daily_deviations(frame.base, frame.start, len(frame))
        assert found[WEEK:] == pytest.approx(expected[WEEK:], rel=1e-9)

    def test_bars_before_what_is_traded_count(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        late = frame.within((frame.start + WEEK + 100) * 60_000, frame.stop * 60_000)
        whole = SimulationPanel.of([frame]).volatility
        assert np.array_equal(SimulationPanel.of([late]).volatility, whole[WEEK + 100 :], equal_nan=True)
        assert np.isfinite(whole[WEEK + 100 :]).all()

    def test_whatever_comes_later_changes_nothing(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        cut = frame.until((frame.start + WEEK + 200) * 60_000)
        part = daily_deviations(cut.base, cut.start, len(cut))
        assert part.tobytes() == daily_deviations(frame.base, frame.start, len(frame))[: len(part)].tobytes()


class TestTheSize:
    """Target over the deviation of the market's day, times the equity, over the price; scaled by reliability."""

    def test_is_the_target_over_what_the_market_moves(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        made = intents(frame, (WEEK + 300, 1, 50.0, 500.0))
        made["size"][:, 0], made["reliability"] = 1.0, 0.5
        done, events = entered(frame, made)
        deviation = daily_deviations(frame.base, frame.start, len(frame))[WEEK + 300]
        weight = 0.001 * 0.75 / deviation
        assert events["size"][0] == pytest.approx(weight * done.equity[WEEK + 300] / made["price"][0])

    def test_a_wild_market_is_held_smaller_by_as_much_as_it_is_wilder(self):
        sizes = []
        for step in (0.0004, 0.0008):
            frame = walk(5, WEEK + 400, "binance-spot", step=step)
            made = intents(frame, (WEEK + 300, 1, 50.0, 500.0))
            _, events = entered(frame, made)
            sizes.append(events["size"][0] * made["price"][0])
        assert sizes[0] / sizes[1] == pytest.approx(2.0, rel=0.05)

    def test_limits_cut_it(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        made = intents(frame, (WEEK + 300, 1, 50.0, 500.0))
        account = replace(BY_VOLATILITY, limits=WIDE._replace(max_leverage=0.1), target_volatility=0.5)
        done, events = entered(frame, made, account)
        assert events["size"][0] * made["price"][0] == pytest.approx(0.1 * 10_000.0)
        assert done.cut["leverage"] == 1

    def test_where_it_is_not_known_nothing_is_entered_and_that_is_counted(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        done, events = entered(frame, intents(frame, (50, 1, 50.0, 500.0), (WEEK + 300, 1, 50.0, 500.0)))
        assert len(events) == 1
        assert done.refused["volatility"] == 1

    def test_a_weight_that_was_asked_for_stays(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        made = intents(frame, (WEEK + 300, 1))
        made["weight"] = 0.25
        _, events = entered(frame, made)
        assert events["size"][0] * made["price"][0] == pytest.approx(2_500.0)

    def test_a_panel_without_it_is_refused(self):
        frame = walk(1, 500, "binance-spot")
        panel = replace(SimulationPanel.of([frame]), volatility=None)
        with pytest.raises(DataError, match="this panel does not hold"):
            run(panel, {frame.instrument: intents(frame, (50, 1, 50.0, 500.0))}, BY_VOLATILITY)

    def test_off_it_is_sized_by_its_stop_as_before(self):
        frame = walk(1, WEEK + 500, "binance-spot")
        made = intents(frame, (WEEK + 300, 1, 90.0, 500.0))
        off = replace(BY_VOLATILITY, target_volatility=0.0, leverage=3.0)
        panel, traded = SimulationPanel.of([frame]), {frame.instrument: made}
        one, two = run(panel, traded, Account(limits=WIDE)), run(panel, traded, off)
        assert one.events.tobytes() == two.events.tobytes()
        assert "volatility" not in one.refused


class TestTheSetting:
    """`trading.size_by` and `trading.target_volatility`, for the shipped rule."""

    def test_makes_the_account(self):
        trading = TradingSettings(size_by="volatility", target_volatility=0.02)
        assert account_from(trading, RiskSettings(), []).target_volatility == 0.02
        assert account_from(TradingSettings(), RiskSettings(), []).target_volatility == 0.0

    def test_a_risk_beside_it_is_refused(self):
        with pytest.raises(ConfigError, match=r"trading\.size_by is volatility"):
            account_from(TradingSettings(size_by="volatility"), RiskSettings(), [], risk=0.02)

    def test_reaches_the_shipped_rule_and_says_so(self):
        frame = walk(3, WEEK + 3_000, "binance-spot")
        settings = Settings.load(env={}, overrides={"trading": {"size_by": "volatility", "target_volatility": 0.005}})
        found = vt.backtest(scored(frame), settings=settings, record=False)
        assert found.account.target_volatility == 0.005
        assert "moves by 0.5 % of the equity a day" in str(Summary(found.data).words())

    def test_leaves_ones_own_signals_alone(self):
        frame = walk(3, WEEK + 500, "binance-spot")
        settings = Settings.load(env={}, overrides={"trading": {"size_by": "volatility"}})
        entries = np.zeros(len(frame), dtype=bool)
        entries[WEEK + 100] = True
        found = vt.backtest(frame, entries=entries, stop=0.02, risk=0.01, settings=settings, record=False)
        assert found.account.target_volatility == 0.0

    def test_a_sweep_refuses_it(self):
        from virtuoso.clock import Env
        from virtuoso.research.sweep.grid import Configurations
        from virtuoso.research.sweep.sweep import sweep
        from virtuoso.signals.settings import SignalSettings

        scores = unscored(walk(3, 600, "binance-spot"))
        tried = Configurations.around(scores.prism, SignalSettings(), 2, Env(seed=1))
        with pytest.raises(ConfigError, match="sizes by volatility"):
            sweep(scores, tried, account=BY_VOLATILITY)

    def test_the_same_intents_are_traded(self):
        frame = walk(3, WEEK + 3_000, "binance-spot")
        accounts = Account(leverage=1.0), replace(BY_VOLATILITY, leverage=1.0)
        by_risk, by_volatility = (backtest([scored(frame)], account) for account in accounts)
        for name, made in by_risk.intents_of.items():
            assert made.tobytes() == by_volatility.intents_of[name].tobytes()
