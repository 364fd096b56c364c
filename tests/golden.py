"""Golden digests: what the whole of Virtuoso computes on fixed markets, as one short digest a value.

    python -m tests.golden --write               compute and write tests/data/golden.json
    python -m tests.golden --against FILE        compute and say what differs from a file
    python -m tests.golden --real FOLDER ...     the same, with the sections that need the real-data pack

1. Values are digested, never words, ids, paths, fingerprints of code or times of running: what is only rewritten,
   renamed or moved leaves every digest as it is. NaN is one value, whatever its payload.
2. `simulated` is a market of the simulated venue, imported by the real importer; `real` are short stretches of the
   data pack. What goes through vectorbt has sections of its own.
3. Bits depend on the machine: exp and log of NumPy, BLAS, the libraries. `about` says which machine made the digests;
   elsewhere they prove nothing, see `differences`.
4. Where a value changes on purpose, write the file anew in the commit that changes it, and say in its message which
   entries changed and why.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import json
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

import virtuoso as vt
from tests.benchmarks.vectorbt_sweep import VectorbtSweep
from virtuoso import workflows
from virtuoso.account.instrument import Instrument
from virtuoso.cli import main as command_line
from virtuoso.clock import UNIT_MS, Env, Timeframe, parse_time
from virtuoso.config import Settings
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.crosscheck.orders import Terms
from virtuoso.research.crosscheck.simulate import simulate
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.plans import FIGURES
from virtuoso.research.sweep.result import SweepResult
from virtuoso.research.validation.barriers import barrier_labels
from virtuoso.research.validation.calibration import calibrate
from virtuoso.research.validation.ic import information
from virtuoso.research.validation.overfitting import (
    Moments,
    deflated_sharpe,
    overfitting_probability,
    stepwise,
    superior_ability,
)
from virtuoso.research.validation.robustness import RunReturns, robustness
from virtuoso.research.validation.stress import costs, delay
from virtuoso.signals.strategy import intents
from virtuoso.types import Array
from virtuoso.venues.simulator import START, record, write_recordings

GOLDEN = Path(__file__).parent / "data" / "golden.json"
DIGITS = 12
"""Of each SHA-256: enough that two values never share one by chance."""
LIBRARIES = ("numpy", "scipy", "numba", "TA-Lib", "pandas", "pyarrow", "duckdb", "vectorbt", "bottleneck")

Found = Iterator[tuple[str, Any]]
"""Names and values of a case."""


# --- 1 digests --------------------------------------------------------------------------------------------------


def digest(value: Any) -> str:
    """Return the digest of an array or of plain values."""
    found = hashlib.sha256()
    for piece in _pieces(value):
        found.update(piece)
    return found.hexdigest()[:DIGITS]


def _pieces(value: Any) -> Iterator[bytes]:
    """Bytes of a value, each led by its type, so that no two values share them."""
    match value:
        case None:
            yield b"none;"
        case bool() | np.bool_():
            yield b"bool:%d;" % value
        case int() | np.integer():
            yield b"int:%d;" % value
        case float() | np.floating():
            yield b"float:" + _bits(np.array([value], dtype=np.float64))
        case str():
            code = "" if " " in value else value  # a sentence is words, a code is a value
            yield f"str{len(code)}:{code};".encode()
        case np.ndarray():
            yield f"{value.dtype.str}{value.shape}:".encode() + _bits(value)
        case Mapping():
            yield b"mapping:"
            for name in sorted(value):
                yield f"{name}=".encode()
                yield from _pieces(value[name])
            yield b"end;"
        case list() | tuple():
            yield b"list:"
            for item in value:
                yield from _pieces(item)
            yield b"end;"
        case _:
            raise TypeError(f"no digest of {type(value).__name__}")


def _bits(values: np.ndarray) -> bytes:
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), values.dtype.type("nan"), values)
    return np.ascontiguousarray(values).tobytes()


def plain(value: Any) -> Any:
    """Dataclasses as mappings, all the way down."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def parts(value: Any) -> Found:
    """What is digested alone: columns of a table, fields of a dataclass, entries of a mapping; no columns of text."""
    if isinstance(value, np.ndarray):
        value = {name: value[name] for name in value.dtype.names or ()}
    for name, part in plain(value).items():
        if not (isinstance(part, np.ndarray) and part.dtype.kind in "USO"):
            yield name, part


def under(name: str, value: Any) -> Found:
    """The parts of a value, their names below another."""
    for part, found in parts(value):
        yield f"{name}.{part}", found


def without(value: Any, *names: str) -> Any:
    """Plain values without what lies under some names, wherever they stand."""
    if isinstance(value, Mapping):
        return {name: without(part, *names) for name, part in value.items() if name not in names}
    if isinstance(value, list | tuple):
        return [without(part, *names) for part in value]
    return value


# --- 2 what is computed of a market -----------------------------------------------------------------------------

RULE = {"min_coverage": 0.1, "max_age": "4h", "bull_enter": 57, "bull_leave": 52, "bear_enter": 43, "bear_leave": 48}
"""A rule that trades often: the more is traded, the more a digest sees."""


def settings_of(**sections: Mapping[str, Any]) -> Settings:
    """Return settings with the rule above and the classic weights: where all are equal, one taken for another hides."""
    given = {"signals": RULE, **sections}
    changed = {f"{section}.{name}": value for section, values in given.items() for name, value in values.items()}
    return Settings.load(overrides={"prism.weights": "weights/classic.yaml", **changed}, root=Path.cwd(), env={})


@dataclass(frozen=True)
class Market:
    """A data root, and what is looked at in it.

    Attributes
    ----------
    data : Path
    cache : Path or None
        Folder of the block cache.
    """

    data: Path
    cache: Path | None = None

    @cached_property
    def settings(self) -> Settings:
        """Settings with a rule that trades often, and weights that differ from each other."""
        return settings_of()

    def take(self, files: list[Path], venue: str) -> None:
        """Import files, all of which must be taken."""
        report = workflows.import_files(files, venue=venue, data=self.data, settings=self.settings)
        refused = [f"{file.path}: {file.status} {file.error}" for file in report.files if file.status != "imported"]
        assert report.files, files
        assert not refused, refused

    def frame(self, symbol: str, venue: str, timeframe: str, timerange: str = "") -> MarketFrame:
        """Load bars with the columns of their events."""
        return vt.load(
            symbol, timeframe, timerange=timerange or None, venue=venue, data=self.data, settings=self.settings
        )

    def scores(self, *which: str, prism: Prism | None = None) -> Scores:
        """Score bars; as for `frame`."""
        return vt.score(self.frame(*which), prism, settings=self.settings, cache=self.cache)

    def backtest(self, scores: list[Scores], settings: Settings | None = None, **terms: Any) -> PortfolioResult:
        """Trade the signals of scores with one wallet."""
        how: dict[str, Any] = {"mark": "last", "assume_funding": 0.0001} | terms
        return vt.backtest(scores, settings=settings or self.settings, data=self.data, record=False, **how)

    def sweep(self, scores: Scores, n: int, **terms: Any) -> SweepResult:
        """Trade n configurations."""
        how: dict[str, Any] = {"mark": "last", "assume_funding": 0.0001} | terms
        return vt.sweep(scores, n, settings=self.settings, data=self.data, record=False, **how)

    def told(self, *command: str) -> Any:
        """Run a command and return what it prints for programs, without what is no value."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            code = command_line([*command, "--data", str(self.data), "--json"])
        assert code == 0, f"virtuoso {' '.join(command)} ended with {code}"
        return without(json.loads(printed.getvalue()), *NO_VALUES)


NO_VALUES = (
    "next", "lake", "folder", "file", "files", "file_references", "seconds", "bytes", "id", "schema_version",
    "provenance", "prism", "config", "code", "fingerprint", "environment", "words", "reason", "reasons", "title",
    "interpretation",
)  # fmt: skip
"""Names under which paths, ids, digests and sentences stand."""


def of_frame(frame: MarketFrame, *timeframes: str) -> Found:
    """Bars and columns of events on a clock, and folded to slower ones."""
    for timeframe in (frame.timeframe.name, *timeframes):
        bars = frame.bars(Timeframe(timeframe))
        yield from under(f"{timeframe}.columns", dict(bars.columns))
        yield from under(timeframe, {"first": bars.first, "state": bars.state, "share": bars.share})
    yield "gaps", frame.gaps()


def of_scores(scores: Scores) -> Found:
    """Every array of the scores, and the moments they are known at."""
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, array in scores.arrays().items():
        face_or_component = ".".join(name.split(".")[:2])
        grouped.setdefault(face_or_component, {})[name] = array
    yield from parts(grouped)
    yield "close_times", scores.close_times
    yield "known_shares", workflows.known_shares(scores)


def of_backtest(result: PortfolioResult) -> Found:
    """Everything that stepping through the bars gave, and its figures."""
    run = result.run
    yield from under("events", run.events)
    yield from parts({"intent_of": run.intent_of, "equity": run.equity, "exposure": run.exposure})
    yield "halts", [run.halts, run.halt_equity]
    yield "intents", dict(parts(run.intents))
    yield from under("trades", result.trade_records)
    yield from under("metrics", result.metrics)
    yield "counts", sorted(result.counts.values())
    yield "limits", [sorted(run.refused.values()), sorted(run.cut.values()), run.correlation_unknown]


def of_comparisons(result: PortfolioResult) -> Found:
    """What stands beside a backtest: bounds, benchmarks, breakdowns, stress, what it is worth."""
    yield "optimistic.events", dict(parts(result.optimistic.events))
    yield "optimistic.metrics", result.optimistic_metrics
    yield "inverted", result.inverted_metrics
    yield from under("faces_alone", result.faces_alone)
    yield "benchmark", result.benchmark
    yield "benchmark_metrics", result.benchmark_metrics
    yield "random_entries", plain(result.random_entries)
    yield from under("breakdowns", result.breakdowns)
    yield from under("buckets", result.buckets)
    yield "daily_returns", result.daily_returns
    run = result.panel, result.intents_of, result.account
    for case in (*costs(*run), *delay(*run)):
        yield f"stress.{case.name}", plain(case)
    evidence = RunReturns(result.daily_returns, len(result.closed))
    yield "honesty", plain(robustness(evidence))


def of_sweep(result: SweepResult) -> Found:
    """Every column of a sweep, and the equity of its days."""
    yield from under("table", result.table())
    yield "found", result.figures[:, : FIGURES.index("traded")]
    yield "traded", result.column("traded")
    yield "daily", result.daily
    yield "best", result.best(20)


def of_statistics(daily: Array, trades: NDArray[np.int64]) -> Found:
    """How much of the best of a search luck explains; a column a configuration, a row a day."""
    best = int(np.argmax(daily.mean(axis=0)))
    yield "honesty", plain(robustness(RunReturns(daily[:, best].copy(), int(trades[best]), daily, trades)))
    yield from under("overfitting", overfitting_probability(daily))
    yield from under("superior", superior_ability(daily, trades))
    yield "stepwise", stepwise(daily, trades)
    moments = Moments.of(daily[:, best])
    yield "moments", plain(moments)
    yield "deflated", [deflated_sharpe(moments, float(n), 0.01) for n in (1, 10, 1_000)]


def made_up_search() -> tuple[Array, NDArray[np.int64]]:
    """Days of a search that knows a little: the simulated market is too short to be judged."""
    random = np.random.default_rng(SEED)
    days, n = 160, 40
    daily = 0.01 * (random.standard_normal((days, n)) + random.standard_normal((days, 1)) + np.linspace(-0.1, 0.4, n))
    return daily, random.integers(20, 200, n)


def of_vectorbt(market: Market, scores: Scores, configurations: int) -> Found:
    """The same intents through vectorbt, and the sweep by its fills."""
    terms = Terms(risk=market.settings.trading.base_position_size)
    found = simulate(scores, intents(scores, market.settings.signals), risk=terms.risk)
    yield from under("cross_check.trades", found.trades)
    yield from under("cross_check", {"equity": found.equity, "position": found.position, "benchmark": found.benchmark})
    yield from under("cross_check.metrics", found.metrics)
    yield "cross_check.counts", sorted(found.counts.values())
    tried = Configurations.around(scores.prism, market.settings.signals, configurations, Env(seed=0))
    for name, value in of_sweep(VectorbtSweep(scores, tried, terms).run()):
        yield f"sweep.{name}", value


def of_research(scores: list[Scores], market: Market) -> Found:
    """What scores know of the returns that follow."""
    yield from under("information", information(scores[0], ("1h", "4h")).rows)
    found = barrier_labels(scores, market.settings.signals)
    yield from under("outcomes", found.rows)
    yield "outcomes.left_out", sorted(found.left_out.values())
    study = calibrate(scores, market.settings.signals)
    yield from under("calibration", {name: getattr(study, name) for name in ("told", "base", "gain", "low", "high")})
    table = study.calibration.model_dump(mode="json")
    yield "calibration.table", without(table, "learned_with", "data")


def of_signals(scores: Scores, market: Market, last: int) -> Found:
    """Signals as the files hold them, without words, ids and where they come from."""
    for i, signal in enumerate(vt.issued(scores, settings=market.settings, last=last)):
        yield from under(f"signal {i}", without(json.loads(signal.to_json()), *NO_VALUES))


def of_lake(market: Market) -> Found:
    """Every event that is stored, and what the commands say of bars and events."""
    lake = workflows.lake(market.data)
    for one in lake.event_coverage():
        events = lake.events(one.kind, Instrument(one.venue, one.symbol))
        name = f"{one.venue}.{one.symbol}.{one.kind}"
        yield from under(name, {"event_time": events.event_time, "available_at": events.available_at})
        yield from under(name, dict(events.columns))
    for command in ("list", "check"):
        yield f"data {command}", market.told("data", command)


def of_moment(scores: Scores, at: str) -> Found:
    """One moment explained, and what open interest says of it."""
    found = plain(scores.explain(at))
    found.pop("face")  # which of its tables is shown: no value
    found.pop("standing")  # a sentence
    for table in ("total", "faces"):
        yield from under(f"explain.{table}", _rows(found.pop(table)))
    yield "explain", found
    if np.isfinite(scores.frame.base.columns.get("open_interest", np.array([]))).any():
        yield "open_interest", without(scores.open_interest(at).to_dict(), *NO_VALUES)


def _rows(found: Any) -> Any:
    """Rows of contribution tables by the name of what contributes."""
    if isinstance(found, Mapping):
        return {name: _rows(part) for name, part in found.items()}
    return {row["name"]: without(row, *NO_VALUES) for row in found}


def of_laws(frame: MarketFrame, prism: Prism) -> Found:
    """Figures of every finding of the laws on a small prism."""
    found = vt.verify(frame, prism, live_bars=60)
    by_law: dict[str, list[Any]] = {}
    for one in found.findings:
        figures = [one.timeframe, one.verdict, one.compared, one.known, one.worst, one.at]
        by_law.setdefault(one.law, []).append([str(one.node), *figures])
    yield from parts(by_law)
    yield "rarest", found.rarest


# --- 3 the simulated market -------------------------------------------------------------------------------------

DAYS, SEED = 14, 11
COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
STRETCH = (parse_time(START), parse_time(START) + DAYS * UNIT_MS["d"])
WHOLE = f"{STRETCH[0]}-{STRETCH[1]}"


def simulated_market(home: Path, cache: Path | None = None) -> Market:
    """Make a market of three coins, one with its trades and book of the last day, and a second as spot."""
    made = record(COINS[:1], DAYS, SEED, trade_days=1, book_days=1) | record(
        COINS[1:], DAYS, SEED, trade_days=0, book_days=0
    )
    files = write_recordings(home / "raw", made)
    market = Market(home / "data", cache)
    market.take([home / "raw"], "simulated")
    (home / "spot").mkdir()
    bars = (file for file in files if file.parent.name == "simulated" and file.name.startswith("ETHUSDT-1m-"))
    market.take([Path(copy(file, home / "spot")) for file in bars], "simulated-spot")
    return market


def _last(hours: int) -> str:
    """The last hours of the simulated market as a time range."""
    return f"{STRETCH[1] - hours * UNIT_MS['h']}-{STRETCH[1]}"


def simulated(market: Market) -> Found:
    """Everything of the simulated market but what goes through vectorbt."""
    yield from _in("lake", of_lake(market))
    scores = [market.scores(coin, "simulated", "5m", WHOLE) for coin in COINS]
    for coin, of_one in zip(COINS, scores, strict=True):
        yield from _in(f"bars.{coin}.5m", of_frame(of_one.frame, "30m", "4h"))
        yield from _in(f"scores.{coin}.5m", of_scores(of_one))
    for timeframe, hours in (("1m", 24), ("15s", 3)):
        fine = market.scores(COINS[0], "simulated", timeframe, _last(hours))
        yield from _in(f"bars.{COINS[0]}.{timeframe}", of_frame(fine.frame, "5m"))
        yield from _in(f"scores.{COINS[0]}.{timeframe}", of_scores(fine))
        yield from _in(f"signals.{COINS[0]}.{timeframe}", of_signals(fine, market, 3))
    for coin, of_one in zip(COINS, scores, strict=True):
        yield from _in(f"signals.{coin}.5m", of_signals(of_one, market, 6))
        yield from _in(f"moment.{coin}.5m", of_moment(of_one, "2025-01-14T12:00Z"))
    yield from _in("backtest", _simulated_backtests(market, scores))
    swept = market.sweep(scores[0], 200)
    yield from _in("sweep.perpetual", of_sweep(swept))
    yield from _in("statistics", of_statistics(*made_up_search()))
    yield from _in("sweep.halt", of_sweep(market.sweep(scores[1], 40, halt=True, risk=0.1, by="net_return")))
    spot = market.scores("ETHUSDT", "simulated-spot", "5m", WHOLE)
    yield from _in("sweep.spot", of_sweep(market.sweep(spot, 40, fees=0.001)))
    yield from _in("research", of_research(scores, market))
    few = market.frame(COINS[0], "simulated", "5m", f"{STRETCH[0]}-{STRETCH[0] + 5 * UNIT_MS['d']}")
    yield from _in("laws", of_laws(few, _small(scores[0].prism)))


def _small(prism: Prism) -> Prism:
    """One face of a prism on one timeframe: enough to exercise every law."""
    face = next(face for face in prism.faces if face.name == "technical")
    return replace(prism, faces=(face,), face_weights={"technical": 1.0}, timeframes={"5m": 1.0})


def _simulated_backtests(market: Market, scores: list[Scores]) -> Found:
    plainly = market.backtest(scores)
    yield from _in("plain", of_backtest(plainly))
    yield from _in("plain", of_comparisons(plainly))
    tight = {"trading": {"max_positions": 2}, "risk": {"position_heat": 0.015, "correlation_limit": 0.3}}
    waiting = {"signals": RULE | {"levels": {"entry": "retest", "squeezes": True}}}
    fall = {"risk": {"max_drawdown": 0.02}}
    spot = [market.scores("ETHUSDT", "simulated-spot", "5m", WHOLE)]
    for name, traded, settings, terms in (
        ("one clock", scores[:1], {}, {"inside": "none"}),
        ("limits", scores, tight, {}),
        ("limit entries", scores[1:2], waiting, {}),
        ("halt", scores, fall, {"halt": True}),
        ("halt lifted", scores, fall, {"halt": True, "reset_halt": 1}),
        ("halt reported", scores, fall, {}),
        ("cross, trailing, leverage", scores, {}, {"margin": "cross", "trail": 1.0, "leverage": 3.0, "risk": 0.05}),
        ("costs", scores, {}, {"maker": 0.0, "taker": 0.001, "slippage": 0.001}),
        ("spread", [market.scores(COINS[0], "simulated", "1m", _last(24))], {}, {"slippage": 0.0}),
        ("spot", spot, {}, {"fees": 0.001, "cash": 1_000.0}),
    ):
        result = market.backtest(traded, settings_of(**settings), **terms)
        yield from _in(name, of_backtest(result))


def simulated_vectorbt(market: Market) -> Found:
    """What goes through vectorbt."""
    scores = market.scores(COINS[0], "simulated", "5m", WHOLE)
    yield from of_vectorbt(market, scores, 100)


# --- 4 the data pack --------------------------------------------------------------------------------------------

AUTUMN = ("2025-09-20", "2025-10-14")
"""Three weeks, the crash of 2025-10-10 among them."""
MARCH = ("2019-03-01", "2019-03-15")
YEARS = ("2022-01-01", "2024-12-31")
TRADED = ("BTCUSDT", "ETHUSDT", "1000PEPEUSDT")


def real_market(pack: Path, home: Path, cache: Path | None = None) -> Market:
    """Import short stretches of recorded files; tables are cut first, archives and recordings are whole."""
    market = Market(home / "data", cache)
    (home / "cut").mkdir(parents=True)
    perpetual = [
        _cut(pack / file, home / "cut", column, stretch, TRADED)
        for file, column, stretch in (
            ("ohlcv/binance_um_5m_6sym_20250704_20251031.parquet", "open_time_ms", AUTUMN),
            ("ohlcv/binance_um_4h_8sym_2020_2024.parquet", "open_time_ms", YEARS),
            ("derivatives/binance_um_metrics_5m_4sym_20250704_20251031.parquet", "create_time", AUTUMN),
            ("derivatives/funding/binance_um_funding_BTC_ETH_2022_202510.parquet", "funding_time_ms", AUTUMN),
        )
    ]
    thin = _cut(pack / "ohlcv/bitfinex_1m_BTCUSD_2019.parquet", home / "cut", "open_time_ms", MARCH)
    archives = [pack / f"raw_archives/BTCUSDT-1m-{name}.zip" for name in ("2020-01-01", "2026-03")]
    for venue, files in (
        ("binance-usdm", perpetual),
        ("binance-usdm", [*sorted(pack.glob("l2/binance_usdm*")), pack / "liquidations/paul_2025-01.csv.gz"]),
        ("binance-spot", archives),
        ("binance-spot", sorted(pack.glob("l2/binance_spot_ETHBTC_20201101T09*"))),
        ("binance-spot", sorted(pack.glob("trades/binance_spot_aggTrade_ETHBTC*"))),
        ("bitfinex-spot", [thin]),
    ):
        market.take(files, venue)
    return market


def _cut(path: Path, folder: Path, column: str, days: tuple[str, str], symbols: tuple[str, ...] = ()) -> Path:
    """Write the rows of a stretch, and of some symbols, under the same name."""
    times = [pd.Timestamp(day, tz="UTC") for day in days]
    since, until = [int(time.timestamp() * 1_000) for time in times] if column.endswith("_ms") else times
    rows = [(column, ">=", since), (column, "<", until)]
    table = pq.read_table(path, filters=[*rows, ("symbol", "in", list(symbols))] if symbols else rows)
    pq.write_table(table, folder / path.name)
    return folder / path.name


def real(market: Market) -> Found:
    """Everything of the data pack but what goes through vectorbt."""
    yield from _in("lake", of_lake(market))
    wanted = "20250927-20251014"
    scores = [market.scores(symbol, "binance-usdm", "5m", wanted) for symbol in TRADED]
    for symbol, of_one in zip(TRADED, scores, strict=True):
        yield from _in(f"bars.{symbol}.5m", of_frame(of_one.frame, "30m", "4h"))
        yield from _in(f"scores.{symbol}.5m", of_scores(of_one))
        yield from _in(f"moment.{symbol}.5m", of_moment(of_one, "2025-10-10T21:20Z"))
        yield from _in(f"signals.{symbol}.5m", of_signals(of_one, market, 4))
    yield from _in("backtest.plain", of_backtest(market.backtest(scores)))
    yield from _in("backtest.halt", of_backtest(market.backtest(scores, halt=True, risk=0.05)))
    yield from _in("sweep.autumn", of_sweep(market.sweep(scores[0], 100)))
    years = market.scores("BTCUSDT", "binance-usdm", "4h", "20220701-20241201")
    yield from _in("scores.BTCUSDT.4h", of_scores(years))
    swept = market.sweep(years, 60)
    yield from _in("sweep.years", of_sweep(swept))
    yield from _in("sweep.years", of_statistics(swept.daily_returns, swept.column("trades").astype(np.int64)))
    yield from _in("research", of_research(scores, market))
    for symbol, venue, timeframe, timerange in (
        ("BTCUSDT", "binance-usdm", "1s", "20240808-20240809"),
        ("ETHBTC", "binance-spot", "5s", ""),
        ("ETHBTC", "binance-spot", "1m", ""),
        ("BTCUSDT", "binance-spot", "1m", "20260310-20260312"),
        ("BTCUSD", "bitfinex-spot", "1m", "20190310-20190315"),
    ):
        found = market.scores(symbol, venue, timeframe, timerange)
        yield from _in(f"bars.{venue}.{symbol}.{timeframe}", of_frame(found.frame, "5m"))
        yield from _in(f"scores.{venue}.{symbol}.{timeframe}", of_scores(found))
        if len(found) > 2_000:
            yield from _in(f"backtest.{venue}.{symbol}.{timeframe}", of_backtest(market.backtest([found])))


def real_vectorbt(market: Market) -> Found:
    """What goes through vectorbt."""
    scores = market.scores("BTCUSDT", "binance-spot", "1m", "20260310-20260312")
    yield from of_vectorbt(market, scores, 30)


# --- 5 the file -------------------------------------------------------------------------------------------------


def _in(name: str, found: Found) -> Found:
    """Values of a case below its name."""
    for part, value in found:
        yield f"{name}.{part}", value


def simulated_sections(market: Market) -> dict[str, dict[str, str]]:
    """Digests of everything that is computed of the simulated market."""
    return {"simulated": digests(simulated(market)), "simulated vectorbt": digests(simulated_vectorbt(market))}


def real_sections(market: Market) -> dict[str, dict[str, str]]:
    """Digests of everything that is computed of the data pack."""
    return {"real": digests(real(market)), "real vectorbt": digests(real_vectorbt(market))}


def digests(found: Found) -> dict[str, str]:
    """Digests of the values of cases, by name."""
    entries: dict[str, str] = {}
    for name, value in found:
        assert name not in entries, f"two values are named {name}"
        entries[name] = digest(value)
    return entries


def about() -> dict[str, Any]:
    """What bits depend on beside the code: Python, the libraries, the C library and the CPU as NumPy found it."""
    features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "cpu": sorted(name for name, there in features.items() if there),
        **{name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def elsewhere(golden: Mapping[str, Any]) -> list[str]:
    """In what this machine differs from the one that made the digests; where it does, they prove nothing."""
    here = about()
    names = dict.fromkeys((*golden["about"], *here))
    return [
        f"{name}: {golden['about'].get(name)} there, {here.get(name)} here"
        for name in names
        if golden["about"].get(name) != here.get(name)
    ]


def differences(golden: Mapping[str, Any], found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What differs, a line an entry: changed, gone, new; only sections that were computed are compared."""
    lines = []
    for section, entries in found.items():
        before = golden.get(section, {})
        for name in sorted({*before, *entries}):
            old, new = before.get(name), entries.get(name)
            if old != new:
                what = "new" if old is None else "gone" if new is None else "changed"
                lines.append(f"{what:<8} {section}: {name}")
    return lines


def main() -> int:
    """Compute the digests, then write or compare them."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description="Golden digests of values.")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="the data pack, for the sections that need it")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="score with the block cache in this folder")
    parser.add_argument("--write", action="store_true", help=f"write {GOLDEN.name}")
    parser.add_argument("--against", type=Path, metavar="FILE", default=GOLDEN, help="compare with this file")
    chosen = parser.parse_args()
    cache = chosen.cache.resolve() if chosen.cache else None
    pack = chosen.real.resolve() if chosen.real else None
    against = chosen.against.resolve()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # an empty folder, which no configuration reaches
        home = Path(folder)
        found = simulated_sections(simulated_market(home / "simulated", cache))
        if pack is not None:
            found |= real_sections(real_market(pack, home / "real", cache))
    if chosen.write:
        GOLDEN.write_text(json.dumps({"about": about(), **found}, indent=1) + "\n")
        print(f"wrote {sum(map(len, found.values())):,} entries to {GOLDEN}")
        return 0
    golden = json.loads(against.read_text())
    for line in elsewhere(golden):
        print(f"another machine: {line}")
    lines = differences(golden, found)
    print("\n".join(lines) or f"{sum(map(len, found.values())):,} entries, none differs")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
