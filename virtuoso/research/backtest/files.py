"""The run folder of a portfolio backtest; runs/write.py writes it whole or not at all.

| file | holds |
|---|---|
| `config.json` | terms of trading, what was assumed, and the settings in force |
| `provenance.json` | instruments, stretch, digests of data, prism and intents, versions |
| `metrics.json` | figures, both bounds, benchmarks, counts; null is *not testable* |
| `intents.parquet` | what was decided, one row an intent |
| `events.parquet` | what happened to the account, one row an event |
| `trades.parquet` | one row the life of a position |
| `equity.parquet` | equity at each close, its bound and what it is compared with |
| `breakdowns.parquet` | trades by symbol, side, month, regime, leading face, score and way out |
| `score_buckets.parquet` | forward returns by score |
| `words.json`, `reliability.json`, `fans.json`, `prices.parquet` | what else a tear sheet needs, see sheet_files.py |
| `summary.txt`, `results.html` | the same for people |
| `honesty.json`, `tearsheet.html`, `tearsheet.pdf` | what is left of it after everything that was tried |

The same inputs give the same bytes, with the same versions of the libraries: no clock and no path is written. The last
row stands apart: it is judged anew when more was tried.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.account.metrics import monthly_returns, r_multiples
from virtuoso.account.records import KINDS
from virtuoso.clock import iso
from virtuoso.reports.tearsheet.page import HONESTY, HTML, PDF
from virtuoso.research.backtest.round_trips import REASONS
from virtuoso.research.backtest.sheet_files import sheet_files
from virtuoso.runs.write import as_json, as_parquet, fields_of, intents_table

if TYPE_CHECKING:
    from virtuoso.research.backtest.result import PortfolioResult

NAMES = frozenset({
    "config.json", "provenance.json", "metrics.json", "intents.parquet", "events.parquet", "trades.parquet",
    "equity.parquet", "breakdowns.parquet", "score_buckets.parquet", "words.json", "reliability.json", "fans.json",
    "prices.parquet", "summary.txt", "results.html", HONESTY, HTML, PDF,
})  # fmt: skip
"""Files of a whole run folder; the last three depend on what else was tried, and repeat no bytes."""


def run_files(result: PortfolioResult) -> dict[str, bytes]:
    """Contents of the files of a run, by name."""
    return {
        "config.json": as_json(configuration(result)),
        "provenance.json": as_json(result.provenance),
        "metrics.json": as_json(figures(result)),
        "intents.parquet": as_parquet(_intents(result)),
        "events.parquet": as_parquet(events_table(result)),
        "trades.parquet": as_parquet(trades_table(result)),
        "equity.parquet": as_parquet(equity_table(result)),
        "breakdowns.parquet": as_parquet(fields_of(result.breakdowns)),
        "score_buckets.parquet": as_parquet(fields_of(result.buckets)),
        **sheet_files(result),
        "summary.txt": (result.summary() + "\n").encode(),
        "results.html": result.page().html().encode(),
    }


def configuration(result: PortfolioResult) -> dict[str, Any]:
    """Terms of trading and settings in force; says whether a market was simulated, as every file of a run does."""
    account = result.account
    plain = ("cash", "maker", "taker", "liquidation_fee", "leverage", "trail", "halt", "reset_halt")
    return {
        "simulated": result.is_simulated,
        "terms": {name: getattr(account, name) for name in plain}
        | {
            "margin": "isolated" if account.isolated else "cross",
            "slippage": result.slippage,
            "inside": None if result.stage.inside is None else result.stage.inside.timeframe.name,
            "limits": account.limits._asdict(),
            "tiers": {str(name): tiers.table.tolist() for name, tiers in sorted(account.tiers.items())},
            "rules": {str(name): rules._asdict() for name, rules in sorted(account.rules.items())},
        },
        "assumed": list(result.assumed),
        **({"explained": result.explained} if result.explained else {}),
        "settings": result.config,
    }


def figures(result: PortfolioResult) -> dict[str, Any]:
    """Figures of the run, of its optimistic bound and of what it is compared with."""
    ms, halted = result.timeframe.ms, result.halted
    told = {} if halted is None else {**halted._asdict(), "at": iso(halted.at)}
    return {
        "simulated": result.is_simulated,
        "strategy": result.metrics,
        "optimistic": result.optimistic_metrics,
        "buy_and_hold": result.benchmark_metrics,
        "inverted": result.inverted_metrics,
        "faces_alone": result.faces_alone,
        "random_entries": asdict(result.random_entries),
        "months": monthly_returns(result.close_times, result.equity, result.account.cash),
        "counts": result.counts,
        "halt": {"enforced": result.account.halt, "reached": halted is not None, **told},
        "halted_at": [iso((int(number) + 1) * ms) for number in result.run.halts],
    }


def trades_table(result: PortfolioResult) -> dict[str, Any]:
    """Columns of `trades.parquet`, one row the life of a position.

    Moments are UTC milliseconds: `decided_at` is the close of the decision, `entry_time` and `exit_bar_time` the opens
    of the bars of the first and the last fill.
    """
    trades, ms = result.trades, result.timeframe.ms
    chosen = [result.instruments[i] for i in trades["instrument"]]
    columns: dict[str, Any] = {
        "symbol": np.array([one.symbol for one in chosen], dtype=object),
        "venue": np.array([one.venue for one in chosen], dtype=object),
        "decided_at": (trades["number"] + 1) * ms,
        "side": np.array(["short", "", "long"], dtype=object)[trades["side"].astype(np.int64) + 1],
        "entry_time": trades["entry_number"] * ms,
        "exit_bar_time": trades["exit_number"] * ms,
    }
    columns |= {name: trades[name] for name in ("entry_price", "exit_price", "size", "stop")}
    columns["target"] = result.run.intents["target"][trades["intent"], 0]
    columns |= {name: trades[name] for name in ("fees", "slippage", "funding", "gross", "pnl", "risk")}
    columns["r"] = r_multiples(trades["pnl"], trades["risk"])
    columns["reason"] = np.array([REASONS[int(code)] for code in trades["reason"]], dtype=object)
    columns |= {"targets": trades["targets"], "ambiguous": trades["ambiguous"], "across_gap": result.across_gap}
    return columns | {name: trades[name] for name in ("repaired", "score", "reliability")}


def events_table(result: PortfolioResult) -> dict[str, Any]:
    """Columns of `events.parquet`, one row an event of the account; `bar_time` is the open of its bar."""
    events = result.run.events
    columns: dict[str, Any] = {
        "bar_time": events["instant"] * result.timeframe.ms,
        "symbol": _symbols(result, events["instrument"]),
        "kind": np.array(KINDS, dtype=object)[events["kind"]],
    }
    names = ("size", "price", "fee", "slippage", "realised", "funding", "wallet", "ambiguous")
    return columns | {name: events[name] for name in names} | {"intent": result.run.intent_of}


def equity_table(result: PortfolioResult) -> dict[str, Any]:
    """Columns of `equity.parquet`, one row a bar."""
    return {
        "close_time": result.close_times,
        "equity": result.equity,
        "optimistic": result.optimistic.equity,
        "buy_and_hold": result.benchmark,
        "inverted": result.inverted.equity,
        "drawdown": result.drawdown,
        "exposure": result.run.exposure,
    }


def _intents(result: PortfolioResult) -> dict[str, Any]:
    symbols = _symbols(result, result.run.instrument_of)
    return {"symbol": symbols, **intents_table(result.run.intents)}


def _symbols(result: PortfolioResult, instruments: np.ndarray) -> np.ndarray:
    names: np.ndarray = np.array([one.symbol for one in result.instruments], dtype=object)[instruments]
    return names
