"""The hash of what a run came to: the same trades give the same one, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import virtuoso as vt
from tests.test_own_signals import PERPETUAL, QUIET, market
from virtuoso import workflows
from virtuoso.account import records as r
from virtuoso.cli.runs import HASH_DIGITS
from virtuoso.research.backtest.outcome import hash_of, result_hash
from virtuoso.runs.catalog import saved_runs
from virtuoso.runs.read import read_run


@pytest.fixture(scope="module")
def frame() -> vt.MarketFrame:
    return market()


@pytest.fixture(scope="module")
def up(frame: vt.MarketFrame) -> pd.Series:
    return frame.close.ewm(span=10).mean() > frame.close.ewm(span=30).mean()


@pytest.fixture(scope="module")
def result(frame, up):
    return vt.backtest(frame, entries=up, exits=~up, **QUIET)


class Momentum(vt.Strategy):
    """In the market while the close lies above that of some bars ago."""

    fast: int = vt.Int(20, low=2, high=100)
    slow: int = vt.Int(30, low=5, high=200)

    def memory(self, timeframe):
        return self.slow + self.fast

    def decide(self, close):
        rising = close > np.concatenate((np.full(self.fast, np.nan), close[: -self.fast]))
        return {"entries": rising, "exits": ~rising}


class TestWaysToTheSameTrades:
    """Booleans, weights and a strategy agree where their trades do."""

    def test_booleans_and_weights(self, frame, up, result):
        weights = vt.backtest(frame, position=up * 1.0, **QUIET)
        assert weights.trades.equals(result.trades)
        assert weights.result_hash == result.result_hash
        assert weights.provenance["intents"] != result.provenance["intents"]

    def test_a_strategy(self, frame):
        declared = vt.backtest(frame, Momentum(), **QUIET)
        rising = frame.close > frame.close.shift(20)
        rising.iloc[:49] = False  # a strategy waits for its memory
        given = vt.backtest(frame, entries=rising, exits=~rising, **QUIET)
        assert len(declared.trades) > 20
        assert given.result_hash == declared.result_hash
        assert given.configuration()["decided_by"] != declared.configuration()["decided_by"]

    @pytest.mark.parametrize("how", [{"halt": True}, {"limits": True, "risk": None}, {"seed": 9}, {"explained": "so"}])
    def test_terms_that_never_bind(self, frame, up, how):
        small = {"entries": up, "exits": ~up, "size": 0.01, **QUIET}
        plain, other = vt.backtest(frame, **small), vt.backtest(frame, **small, **how)
        assert not len(other.run.halts)
        assert other.run.events.tobytes() == plain.run.events.tobytes()
        assert other.result_hash == plain.result_hash
        assert (other.provenance, other.configuration()) != (plain.provenance, plain.configuration())

    def test_the_order_in_which_markets_are_named(self):
        pair = [market(2, venue="x-usdm"), market(3, "ETHUSDT", "x-usdm")]
        weights = [pd.Series(np.sign(np.sin(np.arange(1_500) / 40.0)) / 2, one.df.index) for one in pair]
        found = []
        for order in ([0, 1], [1, 0]):
            columns = pd.concat({pair[i].instrument.symbol: weights[i] for i in order}, axis=1)
            found.append(vt.backtest([pair[i] for i in order], position=columns, **PERPETUAL))
        assert found[0].result_hash == found[1].result_hash

    def test_an_order_that_never_filled_is_no_trade(self, result):
        run = result.run
        more = np.zeros(1, dtype=run.events.dtype)
        more["kind"], more["instant"], more["size"] = r.LAPSED, run.events["instant"][-1], 1.0
        told = replace(
            run, events=np.concatenate((run.events, more)), intent_of=np.append(run.intent_of, 0).astype(np.int64)
        )
        assert result_hash(told) == result.result_hash


class TestWhatCounts:
    @pytest.mark.parametrize("name", ["size", "price", "fee", "slippage", "realised", "funding", "instant", "kind"])
    def test_one_bit_of_an_event(self, result, name):
        events = result.run.events.copy()
        at = int(np.flatnonzero(events["kind"] == r.CLOSED)[2])
        old = events[name][at]
        events[name][at] = np.nextafter(old, np.inf) if isinstance(old, np.floating) else old + 1
        assert result_hash(replace(result.run, events=events)) != result.result_hash

    @pytest.mark.parametrize("name", ["order", "ambiguous"])
    def test_not_what_is_only_told_of_one(self, result, name):
        events = result.run.events.copy()
        events[name] = 1
        assert result_hash(replace(result.run, events=events)) == result.result_hash

    def test_one_bit_of_the_equity_at_any_close(self, result):
        for at in (0, 700, -1):
            equity = result.run.equity.copy()
            equity[at] = np.nextafter(equity[at], np.inf)
            assert result_hash(replace(result.run, equity=equity)) != result.result_hash

    def test_instrument_clock_and_stretch(self, frame, up, result):
        other = market(symbol="ETHUSDT")
        assert vt.backtest(other, entries=up, exits=~up, **QUIET).result_hash != result.result_hash
        none = up & False
        half = frame.within(frame.start * 3_600_000, (frame.stop - 1) * 3_600_000)
        still = vt.backtest(frame, entries=none, exits=none, **QUIET)
        assert still.result_hash != vt.backtest(half, entries=none[:-1], exits=none[:-1], **QUIET).result_hash

    def test_zero_and_nan_have_one_form(self):
        odd = np.array([np.uint64(0x7FF8000000000001)], dtype=np.uint64).view(np.float64)
        one = hash_of(("x",), {"a": np.array([0.0, np.nan])})
        assert hash_of(("x",), {"a": np.concatenate(([-0.0], odd))}) == one
        assert hash_of(("x",), {"b": np.array([0.0, np.nan])}) != one
        assert hash_of(("x",), {"a": np.array([0.0]), "b": np.array([np.nan])}) != one

    def test_the_same_in_another_process(self, result):
        code = (
            "import virtuoso as vt; from tests.test_own_signals import market; frame = market(); "
            "up = frame.close.ewm(span=10).mean() > frame.close.ewm(span=30).mean(); "
            "print(vt.backtest(frame, entries=up, exits=~up, record=False).result_hash)"
        )
        home = [path for path in sys.path if path]
        found = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {home!r}; {code}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert found.stdout.split()[-1] == result.result_hash


class TestWhereItIsSaid:
    def test_everywhere(self, frame, up, tmp_path):
        result = vt.backtest(frame, entries=up, exits=~up, **QUIET)
        line = f"result_hash: {result.result_hash}"
        assert all(line in said for said in (repr(result), str(result), result._repr_html_()))
        folder, _ = workflows.save_run(result, tmp_path / "runs" / "one", report=False)
        assert json.loads((folder / "metrics.json").read_text())["result_hash"] == result.result_hash
        assert read_run(folder).result_hash == result.result_hash
        assert [one.result_hash for one in saved_runs(tmp_path / "runs")] == [result.result_hash]
        other, _ = workflows.save_run(
            vt.backtest(frame, position=up * 0.5, **QUIET), tmp_path / "runs" / "two", report=False
        )
        rows = {key: values for key, _, values in workflows.compare_runs(folder, other).figures}
        assert rows["result_hash"][0] == result.result_hash[:10] != rows["result_hash"][1]
        assert HASH_DIGITS <= 10

    def test_of_a_sweep(self, frame, tmp_path):
        grid = {"fast": [5, 10], "slow": [30, 60]}
        one, again = (vt.sweep(frame, Momentum, grid, **QUIET) for _ in range(2))
        other = vt.sweep(frame, Momentum, {"fast": [5, 11], "slow": [30, 60]}, **QUIET)
        assert one.result_hash == again.result_hash != other.result_hash
        assert f"result_hash: {one.result_hash}" in str(one)
        folder, _ = workflows.save_run(one, tmp_path / "runs" / "sweep", report=False)
        assert json.loads((folder / "best.json").read_text())["result_hash"] == one.result_hash
        assert saved_runs(tmp_path / "runs")[0].result_hash == one.result_hash
