"""The sweep against vectorbt (Rust and Numba) and backtesting.py: bar-configurations per CPU second, in one run.

Density (trades a configuration) stands beside every figure, since it decides what a sweep costs. The peers simulate the
entries and exits of one configuration that were decided for them; the sweep decides as well.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from tests.benchmarks.vectorbt_sweep import VectorbtSweep
from virtuoso.account.risk import Limits
from virtuoso.clock import Env
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.sweep import Sweep
from virtuoso.signals.decision import decide
from virtuoso.signals.settings import SignalSettings

ACCOUNT = Account(limits=Limits(max_drawdown=0.999))  # nobody is halted: all the trades of the year are made
DENSITIES = {"dense": 68.0, "ordinary": 71.2, "sparse": 74.0}
"""Thresholds to enter, by how often they are reached."""


def settings_of(enter: float) -> SignalSettings:
    return SignalSettings(min_coverage=0.3, bull_enter=enter, bear_enter=100.0 - enter)


@pytest.fixture(scope="module")
def scored(year):
    return score(Prism.classic(), year)


def ready(scores, fills, enter, n=64):
    tried = Configurations.around(scores.prism, settings_of(enter), n, Env(seed=3), points=0.5)
    if fills == "vectorbt":
        return VectorbtSweep(scores, tried)
    return Sweep(scores, tried, SimulationPanel.of([scores.frame], terms=FundingTerms(0.0001, True)), ACCOUNT)


def cpu(work, rounds=5):
    """CPU seconds of a call, the least of some."""
    work()
    times = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def note(benchmark, bars, configurations, seconds, trades):
    benchmark.extra_info["bar_configurations_per_cpu_s"] = f"{bars * configurations / seconds:.3g}"
    benchmark.extra_info["ns_per_bar_configuration"] = round(seconds / bars / configurations * 1e9, 2)
    benchmark.extra_info["trades_a_configuration"] = round(float(trades))


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("fills", ["contract", "vectorbt"])
def test_sweep(benchmark, scored, fills, density):
    swept = ready(scored, fills, DENSITIES[density])
    result = swept.run(1)
    seconds = cpu(lambda: swept.run(1))
    benchmark.pedantic(swept.run, args=(1,), rounds=3)
    note(benchmark, len(scored), len(result), seconds, result.column("trades").mean())


def signals_of(scores, enter):
    """Entries, exits, stops and targets of what is in force, as vectorbt takes them."""
    decided = decide(scores, settings_of(enter))
    base, n = scores.frame.base, len(scores)
    at = np.minimum(decided.at + 1, n - 1)
    flags = np.zeros((3, n), dtype=bool)
    stops = np.full((2, n), np.nan)
    for row, side in ((0, 1), (1, -1), (2, 0)):
        flags[row, at[np.where(decided.plans.known, decided.plans.side, 0) == side]] = True
    opened = base.columns["open"][scores.start - base.first :][:n]
    stops[0, at] = np.abs(decided.plans.stop / opened[at] - 1.0)
    stops[1, at] = np.abs(decided.plans.target[:, 0] / opened[at] - 1.0)
    return flags, stops, opened


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("engine", ["rust", "numba"])
@pytest.mark.parametrize("statistics", [False, True], ids=["simulation", "statistics"])
def test_peer_vectorbt(benchmark, scored, engine, statistics, density):
    import pandas as pd
    import vectorbt

    flags, stops, opened = signals_of(scored, DENSITIES[density])
    base, n = scored.frame.base, len(scored)
    columns = {name: base.columns[name][scored.start - base.first :][:n] for name in ("high", "low", "close")}
    index = pd.DatetimeIndex(((scored.start + np.arange(n)) * 60_000).astype("M8[ms]"))

    def work():
        portfolio = vectorbt.Portfolio.from_signals(
            pd.Series(columns["close"], index), open=opened, high=columns["high"], low=columns["low"], price=opened,
            entries=flags[0], short_entries=flags[1], exits=flags[1] | flags[2], short_exits=flags[0] | flags[2],
            sl_stop=stops[0], tp_stop=stops[1], fees=0.0005, slippage=0.0002, init_cash=10_000.0, freq="1min",
            engine=engine,
        )  # fmt: skip
        trades = portfolio.trades.count()
        if statistics:
            portfolio.stats()
        return trades

    trades = work()
    seconds = cpu(work, 3)
    benchmark.pedantic(work, rounds=1)
    note(benchmark, n, 1, seconds, trades)


@pytest.mark.filterwarnings("ignore")  # it uses what pandas 3 deprecates
def test_peer_backtesting_py(benchmark, scored):
    peer = pytest.importorskip("backtesting", reason="backtesting.py is not installed; it is no dependency of ours")
    import pandas as pd

    flags, _, opened = signals_of(scored, DENSITIES["ordinary"])
    base, n = scored.frame.base, 50_000
    columns = {name.title(): base.columns[name][scored.start - base.first :][:n] for name in ("high", "low", "close")}
    table = pd.DataFrame({"Open": opened[:n], **columns}, pd.DatetimeIndex((np.arange(n) * 60_000).astype("M8[ms]")))
    table = table.ffill()  # it takes no bar that is not known

    class Follow(peer.Strategy):
        def init(self):
            self.bar = 0

        def next(self):
            self.bar = len(self.data) - 1
            if flags[2, self.bar]:
                self.position.close()
            elif flags[0, self.bar]:
                self.buy()
            elif flags[1, self.bar]:
                self.sell()

    def work():
        return peer.Backtest(table, Follow, cash=1e7, commission=0.0005, exclusive_orders=True).run()

    found = work()
    seconds = cpu(work, 1)
    benchmark.pedantic(work, rounds=1)
    note(benchmark, n, 1, seconds, found["# Trades"])


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_growth_with_bars(benchmark, scored, share):
    """Flat in the length of history: the figure a bar-configuration is that of the whole year."""
    ms = scored.frame.timeframe.ms
    end = scored.start + int(len(scored) * share)
    part = score(scored.prism, scored.frame.within(scored.start * ms, end * ms))
    swept = ready(part, "vectorbt", DENSITIES["sparse"])
    result = swept.run(1)
    seconds = cpu(lambda: swept.run(1))
    benchmark.pedantic(swept.run, args=(1,), rounds=3)
    note(benchmark, len(part), len(result), seconds, result.column("trades").mean())


@pytest.mark.parametrize("configurations", [32, 512])
def test_growth_and_memory_with_configurations(benchmark, scored, configurations):
    """Memory of a run beside the panel: what is decided a batch at a time, and the answer itself."""
    swept = ready(scored, "vectorbt", DENSITIES["sparse"], configurations)
    result = swept.run(1)
    tracemalloc.start()
    swept.run(2)
    benchmark.extra_info["peak_mb_of_a_run"] = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
    tracemalloc.stop()
    matrix = swept.matrix
    held = sum(array.nbytes for array in (matrix.points, matrix.singles, matrix.gates, matrix.coverage))
    held += sum(array.nbytes for array in swept.market.summaries) + swept.market.bars.nbytes
    benchmark.extra_info["mb_of_the_market"] = round(held / 1e6, 1)
    benchmark.extra_info["mb_of_the_answer"] = round((result.figures.nbytes + result.daily.nbytes) / 1e6, 2)
    seconds = cpu(lambda: swept.run(1), 2)
    benchmark.pedantic(swept.run, args=(1,), rounds=1)
    note(benchmark, len(scored), len(result), seconds, result.column("trades").mean())
