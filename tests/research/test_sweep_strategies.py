"""Sweeps of a strategy of one's own: every row is what `vt.backtest` says of that strategy."""

import numpy as np
import pytest
import talib

import virtuoso as vt
from tests.builders import market
from virtuoso.errors import ConfigError, ParameterError
from virtuoso.research.sweep import parameters

TERMS = {"assume_funding": 0.0001, "mark": "last", "record": False}


class EmaCross(vt.Strategy):
    fast = vt.Int(10, low=2, high=100)
    slow = vt.Int(50, low=5, high=300)

    def decide(self, close):
        fast, slow = talib.EMA(close, self.fast), talib.EMA(close, self.slow)
        return np.where(fast > slow, 1.0, -0.5)


class Bracket(vt.Strategy):
    fast = vt.Int(10, low=2, high=100)
    stop = vt.Float(0.004, low=0.001, high=0.1)

    def decide(self, close):
        above = close > talib.EMA(close, self.fast)
        return {"entries": above, "exits": ~above, "stop": self.stop, "target": 2.0 * self.stop}


@pytest.fixture(scope="module")
def frame():
    return market(7, bars=6_000)


def alone_of(frame, strategy):
    """The full backtest of a strategy."""
    return vt.backtest(frame, strategy, inside="none", **TERMS)


@pytest.mark.parametrize(
    ("strategy", "grid"),
    [(EmaCross, {"fast": range(5, 25, 5), "slow": [30, 60]}), (Bracket, {"fast": [10, 30], "stop": [0.003, 0.01]})],
)
def test_every_row_is_the_backtest_of_that_strategy(frame, strategy, grid):
    found = vt.sweep(frame, strategy, grid, **TERMS)
    for row in range(len(found)):
        chosen = found.configurations[row]
        alone = alone_of(frame, chosen)
        assert found.column("trades")[row] == alone.metrics["trades"]
        assert found.column("equity")[row] == alone.equity.iloc[-1]
        assert found.metrics["max_drawdown"][row] == pytest.approx(alone.metrics["max_drawdown"], abs=1e-15)
        assert found.metrics["fees"][row] == pytest.approx(alone.metrics["fees"], rel=1e-12)


def test_threads_and_batches_change_nothing(frame):
    grid = {"fast": range(2, 100, 7), "slow": range(5, 300, 20)}
    one, two = (vt.sweep(frame, EmaCross, grid, **TERMS) for _ in range(2))
    assert one.figures.tobytes() == two.figures.tobytes()
    assert len(one) == 15 * 14
    part = vt.sweep(frame, EmaCross, {"fast": [16], "slow": [45]}, **TERMS)
    row = int(
        np.flatnonzero((one.configurations.columns["fast"] == 16) & (one.configurations.columns["slow"] == 45))[0]
    )
    assert part.figures[0].tobytes() == one.figures[row].tobytes()


def test_the_best_row_is_a_strategy_again(frame):
    found = vt.sweep(frame, EmaCross(fast=7), {"slow": [30, 60, 90]}, by="net_return", **TERMS)
    best = found.strategy()
    assert isinstance(best, EmaCross)
    assert best.fast == 7
    assert best.slow == int(found.configurations.columns["slow"][found.chosen])
    assert found.to_pandas()["slow"].tolist() == [30, 60, 90]


def test_a_notebook_shows_the_best_five_and_a_heat_map(frame):
    found = vt.sweep(frame, EmaCross, {"fast": [5, 10, 15], "slow": [30, 60]}, by="net_return", **TERMS)
    shown = found._repr_html_()
    assert "configurations of EmaCross" in shown
    assert shown.count("<tr") == 6
    assert "SIMULATED" in shown or "simulated" in shown
    drawn = found.plot(by="net_return")
    assert drawn.images[0].get_array().shape == (2, 3)


class TestDraws:
    def test_are_different_within_the_declared_ranges_and_begin_with_what_is_declared(self, frame):
        found = vt.sweep(frame, EmaCross, 40, seed=3, **TERMS)
        table = found.to_pandas()[["fast", "slow"]]
        assert table.iloc[0].tolist() == [10, 50]
        assert not table.duplicated().any()
        assert table["fast"].between(2, 100).all()
        assert table["slow"].between(5, 300).all()

    def test_are_no_more_than_there_are(self, frame):
        class Narrow(vt.Strategy):
            fast = vt.Int(3, low=2, high=4)

            def decide(self, close):
                return close * 0.0 + 1.0 / self.fast

        assert len(vt.sweep(frame, Narrow, 500, **TERMS)) == 3


class TestWhatIsRefused:
    def test_an_unknown_parameter(self, frame):
        with pytest.raises(ConfigError, match=r"EmaCross has no parameter 'fats'\. Did you mean 'fast'"):
            vt.sweep(frame, EmaCross, {"fats": [5]}, **TERMS)

    def test_a_value_outside_the_declared_range(self, frame):
        with pytest.raises(ParameterError, match=r"EmaCross.fast must lie in 2..100 bars, was 500"):
            vt.sweep(frame, EmaCross, {"fast": [5, 500]}, **TERMS)

    @pytest.mark.parametrize("grid", [{}, {"fast": []}, {"fast": range(0)}])
    def test_an_empty_grid(self, frame, grid):
        with pytest.raises(ConfigError, match=r"grid is empty|range\(0, 0\) is empty|\[\] is empty"):
            vt.sweep(frame, EmaCross, grid, **TERMS)

    def test_a_grid_larger_than_memory_before_it_starts(self, frame, monkeypatch):
        monkeypatch.setattr(parameters, "memory", lambda: 2**20)
        with pytest.raises(ConfigError, match=r"1,000 configurations of EmaCross.* GB .*draw at random"):
            vt.sweep(frame, EmaCross, {"fast": range(2, 52), "slow": range(5, 25)}, **TERMS)

    def test_a_frame_without_a_strategy(self, frame):
        with pytest.raises(TypeError, match=r"vt.sweep\(frame, MyStrategy"):
            vt.sweep(frame, {"bull_enter": [60, 65]}, **TERMS)

    def test_what_is_no_market(self):
        with pytest.raises(TypeError, match="was given a str"):
            vt.sweep("BTCUSDT", 5, **TERMS)


class TestLedger:
    def test_every_configuration_is_a_try(self, frame):
        trial = vt.sweep(frame, EmaCross, {"fast": [5, 10, 15]}, **TERMS).trial()
        assert trial.configurations == 3
        assert trial.family == ("ema_cross",)

    def test_other_values_are_other_tries_and_the_same_ones_are_not(self, frame):
        def of(values):
            return vt.sweep(frame, EmaCross, {"fast": values}, **TERMS).trial().identity

        assert of([5, 10]) == of([5, 10]) != of([5, 11])


class TestPlateau:
    def test_neighbours_are_one_step_away_in_one_parameter(self, frame):
        found = vt.sweep(frame, EmaCross, {"fast": [5, 10, 20], "slow": [30, 60, 90]}, **TERMS)
        columns = found.configurations.columns
        middle = int(np.flatnonzero((columns["fast"] == 10) & (columns["slow"] == 60))[0])
        beside = found.neighbours(middle)
        assert {(columns["fast"][k], columns["slow"][k]) for k in beside} == {(5, 60), (20, 60), (10, 30), (10, 90)}

    def test_draws_have_none(self, frame):
        found = vt.sweep(frame, EmaCross, 5, **TERMS)
        assert len(found.neighbours(0)) == 0
        assert "not testable" in found.plateau_words
