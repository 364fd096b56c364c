"""Own signals against vectorbt and raptorbt, with a parity gate: no time is shown where the engines' trades differ.

    python -m tests.benchmarks.own_signals [--only WORKLOAD] [--out docs/benchmarks.md]

Each engine runs each workload in a fresh process, so that its memory is its own. It first trades a sample of the
configurations, and hands over entries, exits, prices and final equity; what it was given before the clock started
(imports, compiling, the market) is not counted. Signals are computed by the same NumPy lines for every engine, inside
the clock.

The market is one that all engines can model: bought with cash, no funding, no slippage, each bar opens where the one
before it closed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

CASH, FEE = 10_000.0, 0.0005
STOP, TARGET = 0.02, 0.04
FIVE = 5
CLOSE_ENOUGH = 1e-9
"""Relative difference of prices and equity that is rounding."""
FAST, SLOW = range(5, 105), range(110, 310, 2)
"""100 x 100 lengths of the averages."""
OUT = Path("docs/benchmarks.md")


@dataclass(frozen=True)
class Workload:
    """What is traded: `measured` says how many configurations each engine runs; the rest is extrapolated."""

    name: str
    words: str
    bars: int
    configurations: int
    measured: dict[str, int]
    sample: int = 6


WORKLOADS = [
    Workload(
        "crosses", "SMA crosses, long or out, all of the equity; exits by signals alone", 200_000, 10_000,
        {"virtuoso": 10_000, "vt.sweep": 200, "vectorbt-rust": 40, "vectorbt-numba": 20, "raptorbt": 100},
    ),
    Workload(
        "brackets", f"the same entries; out by a stop of {STOP:.0%} or a target of {TARGET:.0%} alone", 200_000, 10_000,
        {"virtuoso": 400, "vt.sweep": 100, "vectorbt-rust": 40, "vectorbt-numba": 20, "raptorbt": 100},
    ),
    Workload(
        "both", "the same stops and targets, and the opposite cross as an exit as well", 200_000, 10_000,
        {"virtuoso": 400, "vectorbt-rust": 40, "vectorbt-numba": 20, "raptorbt": 100},
    ),
    Workload(
        "book", "five instruments in one book, a fifth of the equity in each above its slow SMA", 200_000, 1_000,
        {"virtuoso": 4, "vectorbt-rust": 4, "vectorbt-numba": 4, "raptorbt": 4},
    ),
]  # fmt: skip
ENGINES = ("virtuoso", "vt.sweep", "vectorbt-rust", "vectorbt-numba", "raptorbt")


# --- what is traded ---


@dataclass(frozen=True)
class Bars:
    """Bars of one instrument."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray

    @classmethod
    def made(cls, n: int, seed: int) -> Bars:
        """Make a market of one-minute bars that moves by a tenth of a percent a bar."""
        random = np.random.default_rng(seed)
        close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 1e-3, n)))
        opened = np.concatenate(([100.0], close[:-1]))
        high = np.maximum(opened, close) * (1.0 + np.abs(random.normal(0.0, 3e-4, n)))
        low = np.minimum(opened, close) * (1.0 - np.abs(random.normal(0.0, 3e-4, n)))
        return cls(opened, high, low, close)


class Averages:
    """Averages of closes, each computed once."""

    def __init__(self, close: np.ndarray) -> None:
        self._sums = np.concatenate(([0.0], np.cumsum(close)))
        self._known: dict[int, np.ndarray] = {}

    def __getitem__(self, period: int) -> np.ndarray:
        if period not in self._known:
            if period in SLOW:  # the grid goes through the fast ones once for each slow one
                self._known = {fast: known for fast, known in self._known.items() if fast in FAST}
            found = np.full(len(self._sums) - 1, np.nan)
            found[period - 1 :] = (self._sums[period:] - self._sums[:-period]) / period
            self._known[period] = found
        return self._known[period]


def lengths(k: int, n: int) -> tuple[int, int]:
    """Lengths of configuration k, when n of them are to be spread over the whole grid."""
    cell = k * (len(FAST) * len(SLOW)) // n
    return FAST[cell % len(FAST)], SLOW[cell // len(FAST)]


def crossings(averages: Averages, fast: int, slow: int) -> tuple[np.ndarray, np.ndarray]:
    """Bars at whose close the fast average has crossed above the slow one, and below it."""
    above = averages[fast] > averages[slow]
    up, down = np.zeros(len(above), dtype=bool), np.zeros(len(above), dtype=bool)
    up[1:], down[1:] = above[1:] & ~above[:-1], above[:-1] & ~above[1:]
    up[:slow] = down[:slow] = False
    return up, down


# --- engines: each gives a function that trades configurations, and what the sample did ---

Found = dict[str, np.ndarray]
Trade = Callable[[list[tuple[int, int]]], Any]


def virtuoso(workload: Workload, markets: list[Bars]) -> tuple[Trade, Callable[[list[tuple[int, int]]], list[Found]]]:
    """Lanes where exits are signals alone, from event to event where there are stops, the engine for a book."""
    from virtuoso.account import state as s
    from virtuoso.account.instrument import Instrument
    from virtuoso.account.metrics import returns_of
    from virtuoso.account.records import NEXT_OPEN, blank_intents
    from virtuoso.clock import Timeframe
    from virtuoso.research.backtest.engine import Account, run
    from virtuoso.research.backtest.panel import SimulationPanel
    from virtuoso.research.sweep.plans import Found as SweepFound
    from virtuoso.research.sweep.strategies import LANES, LaneMarket, MarketOrders
    from virtuoso.research.tracking.experiments import sharpes

    names = tuple(Instrument("binance-spot", f"AA{k}USDT") for k in range(len(markets)))
    bars = np.zeros((workload.bars, len(markets), s.BAR_COLUMNS))
    for i, one in enumerate(markets):
        bars[:, i, : s.CLOSE + 1] = np.column_stack((one.open, one.high, one.low, one.close))
        bars[:, i, s.MARK_OPEN : s.MARK_CLOSE + 1] = bars[:, i, : s.CLOSE + 1]
    last = np.full(len(markets), workload.bars - 1)
    panel = SimulationPanel(names, Timeframe("1m"), 26_000_000, bars, np.zeros(bars.shape[:2], bool), last)
    account = Account(cash=CASH, maker=FEE, taker=FEE, limited=False)
    averages = [Averages(one.close) for one in markets]

    def made(i: int, at: np.ndarray, weight: np.ndarray) -> np.ndarray:
        intents = blank_intents(len(at))
        intents["number"], intents["price"] = panel.first + at, markets[i].close[at]
        intents["side"], intents["weight"] = np.sign(weight), weight
        intents["expires"] = intents["number"] + NEXT_OPEN
        return intents

    def intents_of(fast: int, slow: int) -> dict[Instrument, np.ndarray]:
        found = {}
        for i, name in enumerate(names):
            up, down = crossings(averages[i], fast, slow)
            at = np.flatnonzero(up if workload.name == "brackets" else up | down)
            entered = up[at]
            intents = made(i, at, np.where(entered, 1.0 / len(names), 0.0))
            if workload.name in ("brackets", "both"):
                intents["stop"] = np.where(entered, intents["price"] * (1.0 - STOP), np.nan)
                intents["target"][:, 0] = np.where(entered, intents["price"] * (1.0 + TARGET), np.nan)
                intents["size"][:, 0] = entered
            found[name] = intents
        return found

    market = LaneMarket.of(panel, account) if len(names) == 1 else None

    def trade(configurations: list[tuple[int, int]]) -> np.ndarray:
        days = market.days if market is not None else np.arange(1_440, workload.bars, 1_440) - 1
        kept = SweepFound.none(len(configurations), len(days))
        part = []
        for row, (fast, slow) in enumerate(configurations):
            if market is None:
                done = run(panel, intents_of(fast, slow), account)
                kept.daily[row] = done.equity[days]
            elif workload.name == "crosses":
                up, down = crossings(averages[0], fast, slow)
                at = np.flatnonzero(up | down)
                part.append(MarketOrders(row, at.astype(np.int32), up[at] * 1.0, markets[0].close[at], False))
                if len(part) == LANES or row == len(configurations) - 1:
                    market.walk(part, kept)
                    part = []
            else:
                market.trade(row, intents_of(fast, slow)[names[0]], kept)
        return sharpes(returns_of(np.ascontiguousarray(kept.daily.T), CASH))

    def sample(configurations: list[tuple[int, int]]) -> list[Found]:
        found = []
        for fast, slow in configurations:
            done = run(panel, intents_of(fast, slow), account)
            found.append(_found(done, panel.first))
            if market is not None:  # what is timed is held against what is compared
                kept = SweepFound.none(1, len(market.days))
                market.trade(0, intents_of(fast, slow)[names[0]], kept)
                assert kept.figures[0, 0] == len(found[-1]["entry"])
        return found

    return trade, sample


def _found(done: Any, first: int) -> Found:
    """Closed trades of a run of ours, and its final equity."""
    from virtuoso.research.backtest.round_trips import lives

    held = lives(done)
    closed = held[held["reason"] >= 0]
    places = {"entry": closed["entry_number"] - first, "exit": closed["exit_number"] - first}
    kept = {name: closed[name] for name in ("instrument", "entry_price", "exit_price")}
    return {**kept, **places, "equity": done.equity[-1:]}


def vectorbt(
    workload: Workload, markets: list[Bars], engine: str
) -> tuple[Trade, Callable[[list[tuple[int, int]]], list[Found]]]:
    """vectorbt's portfolio from signals; a book from orders of target shares with cash that is shared."""
    import pandas as pd
    import vectorbt as vbt

    index = pd.date_range("2020-01-01", periods=workload.bars, freq="1min")
    averages = [Averages(one.close) for one in markets]
    one = markets[0]

    def later(flags: np.ndarray) -> np.ndarray:
        return np.concatenate((np.zeros((1, *flags.shape[1:]), flags.dtype), flags[:-1]))

    def signals(configurations: list[tuple[int, int]]) -> Any:
        pairs = [crossings(averages[0], fast, slow) for fast, slow in configurations]
        entries = later(np.column_stack([up for up, _ in pairs]))
        exits = later(np.column_stack([down for _, down in pairs]))
        levels = {}
        if workload.name != "crosses":
            levels = {"sl_stop": STOP, "tp_stop": TARGET, "stop_entry_price": "fillprice"}
        return vbt.Portfolio.from_signals(
            pd.Series(one.close, index), open=one.open[:, None], high=one.high[:, None], low=one.low[:, None],
            price=one.open[:, None], entries=entries, exits=exits & (workload.name != "brackets"), fees=FEE,
            init_cash=CASH, freq="1min", engine=engine, **levels,
        )  # fmt: skip

    def book(configurations: list[tuple[int, int]]) -> Any:
        found = []
        closes = np.column_stack([each.close for each in markets])
        opens = np.column_stack([each.open for each in markets])
        for fast, slow in configurations:
            shares = np.full(closes.shape, np.nan)
            for i in range(len(markets)):
                up, down = crossings(averages[i], fast, slow)
                shares[up, i], shares[down, i] = 1.0 / len(markets), 0.0
            wanted = np.vstack((np.full((1, len(markets)), np.nan), shares[:-1]))
            terms = {"fees": FEE, "init_cash": CASH, "cash_sharing": True, "call_seq": "auto", "freq": "1min"}
            made = vbt.Portfolio.from_orders(
                pd.DataFrame(closes, index), wanted, size_type="targetpercent", price=opens,
                val_price=np.vstack((opens[:1], closes[:-1])), group_by=True, engine=engine, **terms,
            )  # fmt: skip
            found.append(made)
        return found

    def trade(configurations: list[tuple[int, int]]) -> Any:
        together = 10
        for a in range(0, len(configurations), together):
            part = configurations[a : a + together]
            for portfolio in book(part) if len(markets) > 1 else [signals(part)]:
                portfolio.trades.count()
                portfolio.max_drawdown()
                portfolio.sharpe_ratio()

    def sample(configurations: list[tuple[int, int]]) -> list[Found]:
        found = []
        for pair in configurations:
            portfolio = book([pair])[0] if len(markets) > 1 else signals([pair])
            records = portfolio.trades.records
            closed = records[records["status"] == 1].sort_values(["entry_idx", "col"], kind="stable")
            names = {"instrument": "col", "entry": "entry_idx", "exit": "exit_idx"}
            found.append(
                {name: closed[column].to_numpy() for name, column in names.items()}
                | {name: closed[name].to_numpy() for name in ("entry_price", "exit_price")}
                | {"equity": np.atleast_1d(np.asarray(portfolio.value())[-1:]).ravel()[:1]}
            )
        return found

    return trade, sample


def raptorbt(workload: Workload, markets: list[Bars]) -> tuple[Trade, Callable[[list[tuple[int, int]]], list[Found]]]:
    """raptorbt's single backtest, with all of its figures; a book by its portfolio backtest."""
    import raptorbt as peer

    averages = [Averages(one.close) for one in markets]
    times = 1_577_836_800_000_000_000 + 60_000_000_000 * np.arange(workload.bars)
    volume = np.ones(workload.bars)
    config = peer.BacktestConfig(initial_capital=CASH, fees=FEE, slippage=0.0, fill_timing="next_bar_open")
    if workload.name in ("brackets", "both"):
        config.set_fixed_stop(STOP)
        config.set_fixed_target(TARGET)

    def signals(i: int, pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        up, down = crossings(averages[i], *pair)
        return up, down & (workload.name != "brackets")

    def run(pair: tuple[int, int]) -> Any:
        if len(markets) == 1:
            one, (up, down) = markets[0], signals(0, pair)
            return peer.run_single_backtest(
                times, one.open, one.high, one.low, one.close, volume, up, down, 1, 1.0, "A", config
            )
        rows = [
            (times, one.open, one.high, one.low, one.close, volume, *signals(i, pair), 1, 1.0 / len(markets), f"A{i}")
            for i, one in enumerate(markets)
        ]
        return peer.run_portfolio_backtest(rows, config, "equal_weight").result

    def trade(configurations: list[tuple[int, int]]) -> Any:
        return [run(pair).metrics.sharpe_ratio for pair in configurations]

    def sample(configurations: list[tuple[int, int]]) -> list[Found]:
        found = []
        for pair in configurations:
            done = run(pair)
            trades = [one for one in done.trades() if one.exit_reason != "EndOfData"]
            trades.sort(key=lambda one: (one.entry_idx, one.symbol))
            numbers = {
                "entry": "entry_idx",
                "exit": "exit_idx",
                "entry_price": "entry_price",
                "exit_price": "exit_price",
            }
            found.append(
                {name: np.array([getattr(one, of) for one in trades]) for name, of in numbers.items()}
                | {"instrument": np.array([int(one.symbol[1:] or 0) for one in trades], dtype=np.int64)}
                | {"equity": np.asarray(done.equity_curve())[-1:]}
            )
        return found

    return trade, sample


def swept(workload: Workload, markets: list[Bars]) -> tuple[Trade, Callable[[list[tuple[int, int]]], list[Found]]]:
    """`vt.sweep` of a strategy that a user would write, its function evaluated in anchored blocks as everywhere."""
    import pandas as pd
    import talib

    import virtuoso as vt

    class SmaCross(vt.Strategy):
        fast = vt.Int(10, low=2, high=200)
        slow = vt.Int(50, low=5, high=400)

        def memory(self, timeframe: Any) -> int:
            return self.slow + 1  # a plain window, and the bar before it

        def decide(self, close: np.ndarray) -> Any:
            slow = talib.SMA(close, self.slow)
            above, known = talib.SMA(close, self.fast) > slow, np.isfinite(slow)
            crossed = np.concatenate(([False], (above[1:] != above[:-1]) & known[:-1]))
            if workload.name == "brackets":
                return {"entries": above & crossed, "stop": STOP, "target": TARGET}
            return {"entries": above & crossed, "exits": ~above & crossed}

    one, index = markets[0], pd.date_range("2019-06-08", periods=workload.bars, freq="1min", tz="UTC")
    table = pd.DataFrame({"open": one.open, "high": one.high, "low": one.low, "close": one.close, "volume": 1.0}, index)
    frame = vt.MarketFrame.from_pandas(table, "1m", symbol="AA0USDT", venue="binance-spot", index="open")
    terms = {"fees": FEE, "slippage": 0.0, "cash": CASH, "record": False}

    def trade(configurations: list[tuple[int, int]]) -> Any:
        fasts, slows = (sorted(set(values)) for values in zip(*configurations, strict=True))
        grid = {"fast": fasts, "slow": slows}
        return vt.sweep(frame, SmaCross, grid, **terms).metrics["sharpe"]

    def sample(configurations: list[tuple[int, int]]) -> list[Found]:
        found = []
        for fast, slow in configurations:
            done = vt.backtest(frame, strategy=SmaCross(fast=fast, slow=slow), inside="none", **terms).run
            found.append(_found(done, frame.start))
        return found

    return trade, sample


def ready(engine: str, workload: Workload) -> tuple[Trade, Callable[[list[tuple[int, int]]], list[Found]]]:
    """Make an engine ready to trade a workload."""
    markets = [Bars.made(workload.bars, seed) for seed in range(FIVE if workload.name == "book" else 1)]
    if engine == "virtuoso":
        return virtuoso(workload, markets)
    if engine == "raptorbt":
        return raptorbt(workload, markets)
    if engine == "vt.sweep":
        return swept(workload, markets)
    return vectorbt(workload, markets, engine.removeprefix("vectorbt-"))


# --- one engine in a process of its own ---


def child(engine: str, workload: Workload, folder: Path) -> None:
    """Trade a workload; write the sample, and print what it took."""
    import warnings

    warnings.filterwarnings("ignore")
    trade, sample = ready(engine, workload)
    pairs = [lengths(k, workload.sample) for k in range(workload.sample)]
    for k, found in enumerate(sample(pairs)):
        np.savez(folder / f"{engine}-{workload.name}-{k}.npz", **found)
    n = workload.measured[engine]
    trade(pairs[:2])  # whatever is compiled is compiled by now
    wall, cpu = time.perf_counter(), time.process_time()
    trade([lengths(k, n) for k in range(n)])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1_024)
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": peak, "configurations": n}))


def measured(engine: str, workload: Workload, folder: Path) -> dict[str, Any]:
    """Run an engine in a fresh process; what it took, or why it did not run."""
    command = [sys.executable, "-m", "tests.benchmarks.own_signals", "--child", engine, workload.name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode != 0:
        return {"why": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "ended without a word"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- the gate ---


def differences(workload: Workload, engine: str, folder: Path) -> str:
    """In what the trades of an engine differ from ours over the sample; empty where they do not."""
    trades = other = prices = 0
    equity = 0.0
    for k in range(workload.sample):
        ours, theirs = (np.load(folder / f"{name}-{workload.name}-{k}.npz") for name in ("virtuoso", engine))
        if len(ours["entry"]) != len(theirs["entry"]):
            return f"{len(theirs['entry']):,} trades instead of {len(ours['entry']):,} in configuration {k + 1}"
        trades += len(ours["entry"])
        places = ("instrument", "entry", "exit")
        moved = np.any([ours[name] != theirs[name] for name in places], axis=0)
        priced = np.any(
            [np.abs(theirs[of] / ours[of] - 1.0) > CLOSE_ENOUGH for of in ("entry_price", "exit_price")], axis=0
        )
        other, prices = other + int(moved.sum()), prices + int((priced & ~moved).sum())
        equity = max(equity, abs(float(theirs["equity"][0] / ours["equity"][0]) - 1.0))
    said = []
    if other:
        said.append(f"{other:,} of {trades:,} trades on other bars")
    if prices:
        said.append(f"{prices:,} of {trades:,} trades at other prices")
    if equity > CLOSE_ENOUGH and not said:
        said.append(f"the same trades, of other sizes: final equity {equity:.2g} apart")
    return ", ".join(said)


def rows_of(workload: Workload, folder: Path) -> Iterator[dict[str, Any]]:
    """Run every engine on a workload, ours first."""
    for engine in (name for name in ENGINES if name in workload.measured):
        took = measured(engine, workload, folder)
        if "why" not in took and engine != "virtuoso":
            took["differs"] = differences(workload, engine, folder)
        yield {"engine": engine, **took}


# --- the page ---

NAMES = {"virtuoso": "virtuoso, signals as arrays", "vt.sweep": "virtuoso, `vt.sweep` of a vt.Strategy"}
REASONS = {
    ("brackets", "raptorbt"): "without an exit signal it makes no trade after its first stop",
    ("both", "vectorbt-rust"): "where the exit signal fills at an open and the stop is touched later in that bar, it "
    "fills at the stop",
    ("both", "vectorbt-numba"): "the same",
}
"""What a peer was seen to do otherwise, by workload and engine."""


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """Write the page."""
    lines = [
        "# Benchmarks of own signals",
        "",
        "Made by `make benchmarks-page` (`python -m tests.benchmarks.own_signals`); no figure is typed by hand.",
        "",
        f"Measured on {machine()}, one thread. Peers: {peers()}. Only ratios travel to other machines.",
        "",
        "Each engine trades the same signals on the same bars in a process of its own. **Parity gate:** before "
        "anything is timed, entries, exits, prices and final equity of a sample of configurations are compared to "
        f"{CLOSE_ENOUGH:g}; where they differ no time is shown, and the row says what differs. The clock holds the "
        "signals (the same NumPy lines for all but `vt.sweep`, whose strategy computes its own), trades, equity, max "
        "drawdown and Sharpe ratio (raptorbt: all of its 48 figures); importing and compiling are left out. Memory is "
        f"the peak of the process, imports included. The market is bought with cash, fees of {FEE:.2%}, no slippage, "
        "and opens each bar where the last one closed, so that all engines can model it. Compare CPU seconds: the wall "
        "clock also counts what else the machine was doing.",
    ]
    for workload in WORKLOADS:
        if workload.name not in found:
            continue
        lines += [
            "", f"## {workload.configurations:,} x {workload.bars:,} bars: {workload.words}", "",
            "| engine | wall s | CPU s | ns a bar and configuration | memory MB | times ours |",
            "|---|---:|---:|---:|---:|---:|",
        ]  # fmt: skip
        ours = found[workload.name][0]
        lines += [_row(workload, row, ours) for row in found[workload.name]]
    ran = (f"{one.name}: {', '.join(f'{name} {n:,}' for name, n in one.measured.items())}" for one in WORKLOADS)
    lines += [
        "", f"`~` marks what is extrapolated from fewer configurations ({'; '.join(ran)}). A ratio below 1 is a "
        "peer that is faster than Virtuoso.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _row(workload: Workload, row: dict[str, Any], ours: dict[str, Any]) -> str:
    if "why" in row:
        return f"| {row['engine']} | not run: {row['why'][:120]} | | | | |"
    if row.get("differs"):
        reason = REASONS.get((workload.name, row["engine"]))
        return f"| {row['engine']} | no time: {row['differs']}{f' ({reason})' if reason else ''} | | | | |"
    each = row["cpu"] / row["configurations"]
    scale, told = (
        workload.configurations / row["configurations"],
        "" if row["configurations"] == workload.configurations else "~",
    )
    ratio = each / (ours["cpu"] / ours["configurations"])
    instruments = FIVE if workload.name == "book" else 1
    name = NAMES.get(row["engine"], row["engine"])
    return (
        f"| {name} | {told}{row['wall'] * scale:,.1f} | {told}{row['cpu'] * scale:,.1f} | "
        f"{each / workload.bars / instruments * 1e9:,.2f} | {row['memory'] / 2**20:,.0f} | {ratio:,.1f} |"
    )


def machine() -> str:
    """The machine, in general terms."""
    kind = {"x86_64": "x86-64", "arm64": "ARM"}.get(platform.machine(), platform.machine())
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"a machine of {os.cpu_count()} virtual {kind} processors, Python {platform.python_version()}, {day}"


def peers() -> str:
    """Versions of what is compared."""
    named = []
    for name in ("vectorbt", "vectorbt-rust", "raptorbt", "numba", "numpy"):
        try:
            named.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            named.append(f"{name} not installed")
    return ", ".join(named)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=[one.name for one in WORKLOADS], action="append")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--child", nargs=3, metavar=("ENGINE", "WORKLOAD", "FOLDER"))
    given = parser.parse_args()
    by_name = {one.name: one for one in WORKLOADS}
    if given.child:
        engine, workload, folder = given.child
        child(engine, by_name[workload], Path(folder))
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only or list(by_name):
            found[name] = list(rows_of(by_name[name], Path(folder)))
            for row in found[name]:
                print(name, row, flush=True)
            given.out.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
