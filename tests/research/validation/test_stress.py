"""Stress tests: small tables of what becomes of a result when reality adds to it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from tests.research.scenes import NAN, bars, intents, walk
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import ENTERED
from virtuoso.account.risk import Limits
from virtuoso.clock import Env
from virtuoso.errors import ConfigError, DataError
from virtuoso.market.gaps import NO_TRADE, TRADED, UNKNOWN
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.validation import stress

TERMS = FundingTerms(assume=0.0, mark_is_last=True)
ACCOUNT = Account(limits=Limits(max_drawdown=0.9))


def stage_of(*frames, **how):
    return SimulationPanel.of(frames, terms=TERMS, **how)


def scene(seed=1, n=600, every=10):
    """A walk on which a position is turned around every few bars."""
    frame = walk(seed, n)
    turns = [(bar, 1 if k % 2 else -1) for k, bar in enumerate(range(5, n - 5, every))]
    made = intents(frame, *turns)
    made["stop"] = made["price"] * (1.0 - 0.05 * made["side"])
    made["expires"] = made["number"] + 1
    return frame, {frame.instrument: made}


def knowing(frame):
    """Intents that know each next bar's direction: what an edge looks like that one bar of delay destroys."""
    close, open_ = frame.base.columns["close"], frame.base.columns["open"]
    turns = [(bar, 1 if close[bar + 1] >= open_[bar + 1] else -1) for bar in range(5, len(frame) - 5)]
    made = intents(frame, *turns)
    made["stop"] = made["price"] * (1.0 - 0.05 * made["side"])
    return {frame.instrument: made}


class TestCosts:
    """Fees and slippage times 0, 1, 2, 3."""

    def test_dearer_is_worse_and_once_is_the_backtest_itself(self):
        frame, made = scene()
        cases = stress.costs(stage_of(frame), made, ACCOUNT)
        nets = [case.net for case in cases]
        assert nets == sorted(nets, reverse=True)
        assert nets[0] > nets[-1]
        assert cases[1].net == run(stage_of(frame), made, ACCOUNT).equity[-1] / ACCOUNT.cash - 1.0
        assert cases[2].name == "costs x 2"

    def test_free_costs_are_no_costs(self):
        frame, made = scene()
        free = stress.costs(stage_of(frame, slippage=0.0), made, replace(ACCOUNT, maker=0.0, taker=0.0))
        assert len({case.net for case in free}) == 1

    def test_slippage_is_doubled_too(self):
        frame, made = scene()
        feeless = replace(ACCOUNT, maker=0.0, taker=0.0)
        _, once, twice, _ = stress.costs(stage_of(frame), made, feeless)
        assert twice.net < once.net

    def test_leaves_the_stage_as_it_was(self):
        frame, made = scene()
        panel = stage_of(frame)
        before = panel.bars.tobytes()
        stress.costs(panel, made, ACCOUNT)
        assert panel.bars.tobytes() == before


class TestDelay:
    """Intents act some bars late."""

    def test_acts_one_open_later(self):
        frame, made = scene()
        found = run(stage_of(frame), stress.delayed(made, 1), ACCOUNT)
        soon = run(stage_of(frame), made, ACCOUNT)
        entered = [done.events["instant"][done.events["kind"] == ENTERED] for done in (soon, found)]
        assert (entered[1] == entered[0] + 1).all()

    def test_an_edge_of_one_bar_does_not_survive_one_bar(self):
        frame = walk(3, 600, step=0.01)
        none, one, _ = stress.delay(
            stage_of(frame, slippage=0.0), knowing(frame), replace(ACCOUNT, maker=0.0, taker=0.0)
        )
        assert none.net > 0.5
        assert abs(one.net) < 0.1 * none.net


class TestPlateau:
    """Neighbours of the chosen parameters."""

    def trade(self, parameters):
        frame = walk(3, 600, step=0.01)
        made = knowing(frame)[frame.instrument]
        off = abs(parameters["threshold"] - 68.0)  # the further away, the fewer intents are still right
        made["side"][: int(len(made) * min(off / 10.0, 1.0))] *= -1
        made["stop"] = made["price"] * (1.0 - 0.05 * made["side"])
        return run(stage_of(frame), {frame.instrument: made}, ACCOUNT)

    def test_one_parameter_at_a_time_a_step_up_and_down(self):
        found = stress.neighbours({"threshold": 68.0, "weight": 0.4}, {"threshold": 2.0, "weight": 0.1})
        assert list(found) == ["threshold 66", "threshold 70", "weight 0.3", "weight 0.5"]
        assert found["weight 0.3"] == {"threshold": 68.0, "weight": pytest.approx(0.3)}

    def test_a_plateau_keeps_and_a_peak_loses(self):
        flat = stress.plateau({"threshold": 68.0}, {"threshold": 0.05}, self.trade)
        peak = stress.plateau({"threshold": 68.0}, {"threshold": 6.0}, self.trade)
        assert flat.kept > 0.8
        assert flat.gaining == 1.0
        assert peak.kept < 0.2

    def test_a_loss_has_no_plateau(self):
        lost = stress.Case("lost", -0.1, -1.0, -0.2, 40)
        assert np.isnan(stress.Plateau(lost, [lost]).kept)
        assert np.isnan(stress.Plateau(replace(lost, net=0.1), []).gaining)

    @pytest.mark.parametrize("steps", [{"treshold": 1.0}, {"threshold": 0.0}])
    def test_refuses_steps_of_nothing(self, steps):
        with pytest.raises(ConfigError, match="Parameters: threshold"):
            stress.neighbours({"threshold": 68.0}, steps)


class TestPaths:
    """Histories put together from blocks of the real one."""

    def test_changes_of_price_are_those_that_were(self):
        frame = walk(5, 300)
        (drawn,) = stress.resampled([frame], 20)
        real, new = (f.base.columns["close"][1:] / f.base.columns["close"][:-1] for f in (frame, drawn))
        real = np.append(real, frame.base.columns["close"][0] / frame.base.columns["open"][0])
        assert np.abs(new[:, None] - real).min(axis=1).max() < 1e-12
        assert not np.array_equal(drawn.base.columns["close"], frame.base.columns["close"])

    def test_a_bar_stays_a_bar(self):
        (drawn,) = stress.resampled([market(seed=3, bars=600, lit=True)], 30)
        c = drawn.base.columns
        known = np.isin(drawn.base.state, (TRADED, NO_TRADE))
        assert known.sum() > 300
        assert (c["high"] >= np.maximum(c["open"], c["close"]) * (1 - 1e-12))[known].all()
        assert (c["low"] <= np.minimum(c["open"], c["close"]) * (1 + 1e-12))[known].all()
        booked = known & np.isfinite(c["bid"])
        assert booked.any()
        assert (c["bid"] <= c["ask"])[booked].all()
        assert np.isnan(c["close"][~known]).all()
        assert (drawn.base.state[~known] == UNKNOWN).all()

    def test_volumes_are_moved_not_scaled_and_notionals_follow_the_price(self):
        frame = market(seed=3, bars=600, lit=True)
        (drawn,) = stress.resampled([frame], 30)
        one, two = frame.base.columns, drawn.base.columns
        known = np.isfinite(two["close"])
        assert set(two["volume"][known]) <= set(one["volume"])
        ratios = []
        for c in (one, two):
            traded = c["volume"] > 0.0
            ratios.append(c["quote_volume"][traded] / c["volume"][traded] / c["close"][traded])
        assert np.abs(ratios[1][:, None] - ratios[0]).min(axis=1).max() < 1e-9

    def test_instruments_are_moved_together(self):
        twins = [replace(walk(5, 300), instrument=Instrument("simulated", name)) for name in ("AUSDT", "BUSDT")]
        one, two = stress.resampled(twins, 20)
        assert np.array_equal(one.base.columns["close"], two.base.columns["close"])

    def test_blocks_are_as_long_as_asked(self):
        picks = stress.picked(50_000, 25, Env(seed=1).random())
        assert 50_000 / (1 + np.count_nonzero((np.diff(picks) % 50_000) != 1)) == pytest.approx(25, rel=0.1)
        assert len(np.unique(stress.picked(50_000, 1, Env(seed=1).random()))) == pytest.approx(
            50_000 * (1 - 1 / np.e), rel=0.02
        )

    def test_what_one_does_not_know_none_draws(self):
        holes = bars(*[(100.0, 101.0, 99.0, 100.0)] * 40, missing=range(10, 30))
        other = replace(bars(*[(100.0, 101.0, 99.0, 100.5)] * 40), instrument=Instrument("binance-usdm", "ETHUSDT"))
        one, two = stress.resampled([holes, other], 5)
        assert np.array_equal(np.isnan(one.base.columns["close"]), np.isnan(two.base.columns["close"]))

    def test_refuses_frames_that_share_nothing(self):
        with pytest.raises(DataError, match="all instruments know"):
            stress.resampled([bars((1.0, 1.0, 1.0, 1.0))], 5)

    def test_runs_the_whole_strategy_on_each(self):
        frame, _ = scene(3, 400)

        def trade(frames):
            return run(stage_of(*frames), knowing(frames[0]), ACCOUNT)

        real, *drawn = stress.paths([frame], trade, 10, draws=3)
        assert real.name == "real"
        assert real.net == trade([frame]).equity[-1] / ACCOUNT.cash - 1.0
        assert len({case.net for case in drawn}) == 3
        assert stress.table([real]).count("\n") == 1


def test_cases_are_measured_by_whole_days():
    days = bars(*[(100.0, 101.0, 99.0, 100.0)] * 10, timeframe="1d")
    done = run(stage_of(days), {}, ACCOUNT)
    assert stress.daily_returns(done).tolist() == [0.0] * 10
    assert np.isnan(stress.Case.of("idle", done).sharpe)
    assert NAN != stress.Case.of("idle", done).net == 0.0
