"""Run folders written by hand, small and whole, so that a test can leave parts of them out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.builders import START

HOUR = 3_600_000
HOURS = 24 * 60
CASH = 10_000.0
BEGIN = START * 60_000 // HOUR * HOUR
WORDS = {
    "title": "BTCUSDT and friends 1h",
    "verdict": "It made money, less than doing nothing would have.",
    "honesty": [
        {"title": "Closed trades", "value": "40", "words": "52 signals asked to open"},
        {"title": "Funding", "value": "-12", "words": "as it was recorded"},
    ],
    "limits": [{"title": "Refused", "value": "3", "words": "leverage spent"}],
    "assumptions": ["Fills are at the next open.", "ASSUMED: funding of 0.01 % every eight hours."],
}
HONESTY = {
    "decision": "iterate",
    "testable": True,
    "reasons": ["after 1204 tries its Sharpe ratio is real with 61.0 %"],
    "rows": [
        ["Tries so far", "1,204", "7 runs"],
        ["Overfitting (PBO)", "not testable", "nothing was chosen"],
        ["Walk forward", "not testable", "nothing was chosen"],
    ],
    "stress": [{"name": "Costs doubled", "net": -0.031, "sharpe": None, "drawdown": -0.2, "entries": 40}],
    "gates": [
        {"name": "deflated", "passed": False, "needed": True, "reason": "real with 61.0 %"},
        {"name": "plateau", "passed": None, "needed": False, "reason": "not tried"},
    ],
}
_ROW = {
    "name": "rsi", "title": "RSI", "score": 61.0, "raw_score": 60.0, "weight": 1.0, "impact": 61.0, "bonus": 1.0,
    "divergence": "none", "words": "RSI at 61 leans bullish", "reason": "", "timeframes": {"1h": [61.0, None]},
}  # fmt: skip
_NOTHING = _ROW | {"name": "imbalance", "title": "Imbalance", "score": None, "raw_score": None, "weight": 0.0,
                   "impact": None, "bonus": 0.0, "words": "", "reason": "missing column bid_5",
                   "timeframes": {}}  # fmt: skip
SCORES = {
    "instrument": "BTCUSDT binance-usdm",
    "known": 0.99,
    "scored": 0.9,
    "of_trade": True,
    "explanation": {
        "symbol": "BTCUSDT", "venue": "binance-usdm", "timeframe": "1h", "time": BEGIN + HOUR * 1_400, "price": 101.5,
        "confluence": 61.0, "raw_confluence": 60.0, "coverage": 0.6, "agreement": 1.0, "reliability": 0.4,
        "effective_inputs": 1.0,
        "total": [_ROW | {"name": "technical", "title": "Technical"},
                  _NOTHING | {"name": "orderbook", "title": "Orderbook", "reason": "no data for it in the store"}],
        "faces": {"technical": [_ROW], "orderbook": [_NOTHING]},
    },
    "coverage": [
        {"title": "Technical", "weight": 0.6, "unavailable": [],
         "components": [{"title": "RSI", "share": 0.987, "missing": []}]},
        {"title": "Orderbook", "weight": 0.4, "unavailable": ["spread"],
         "components": [{"title": "Imbalance", "share": 0.0, "missing": ["bid_5"]}]},
    ],
    "strips": {"timeframe": "1h", "first": BEGIN // HOUR + HOURS - 120,
               "scores": {"Confluence": [None, *[55.0] * 119], "Technical": [45.0] * 120}},
}  # fmt: skip
RELIABILITY = {
    "basis": "heuristic",
    "signals": 60,
    "right": 24,
    "brier": {"score": 0.2412},
    "calibration_error": 0.11,
    "bins": [
        {"low": 0.3, "high": 0.5, "signals": 30, "told": 0.42, "right": 0.3, "low_right": 0.2, "high_right": 0.44},
        {"low": 0.5, "high": 0.7, "signals": 30, "told": 0.61, "right": 0.5, "low_right": None, "high_right": None},
    ],
}


def run_folder(home: Path, *, without: tuple[str, ...] = (), simulated: bool = False, seed: int = 3) -> Path:
    """Write a run of sixty days with forty trades, less the files in `without`."""
    random = np.random.default_rng(seed)
    closes = BEGIN + HOUR * np.arange(1, HOURS + 1, dtype=np.int64)
    drawn = random.normal(0.0, 0.002, (3, HOURS))
    own, held, other = CASH * np.exp(np.cumsum(drawn, axis=1))
    price = 100.0 * np.exp(np.cumsum(drawn[1]))
    own[-1] = CASH * 1.05
    figures = {"total_return": 0.05, "max_drawdown": -0.031, "sharpe": None, "trades": 40.0, "win_rate": 0.45,
               "mean_r": 0.07, "fees": 120.0, "slippage": 33.0}  # fmt: skip
    files = {
        "metrics.json": {
            "simulated": simulated, "strategy": figures, "optimistic": {**figures, "total_return": 0.09},
            "buy_and_hold": {"total_return": 0.12, "max_drawdown": -0.2, "sharpe": 1.1},
            "faces_alone": {"price_structure": {**figures, "total_return": -0.02}},
            "random_entries": {"draws": 1000, "own": 500.0, "mean": -20.0, "low": -310.0, "high": 280.0,
                               "percentile": 0.985},
            "counts": {"ambiguous trades": 7},
        },
        "config.json": {"simulated": simulated, "terms": {"cash": CASH}, "assumed": ["the last price stands for mark"]},
        "provenance.json": {"instruments": "binance-usdm:BTCUSDT", "timeframe": "1h", "prism": "ab" * 32},
        "words.json": WORDS,
        "honesty.json": HONESTY,
        "scores.json": SCORES,
        "reliability.json": RELIABILITY,
        "fans.json": {"trades": _fan(random, 40, 1), "days": _fan(random, 60, 4)},
        "equity.parquet": {"close_time": closes, "equity": own, "optimistic": own * np.linspace(1.0, 1.04, HOURS),
                           "buy_and_hold": held, "inverted": other},
        "trades.parquet": _trades(random, closes, price),
        "breakdowns.parquet": {
            "by": ["all", "side", "side"], "name": ["all trades", "long", "short"], "trades": [40, 25, 15],
            "pnl": [500.0, 620.0, -120.0], "win_rate": [0.45, 0.5, 0.4], "mean_r": [0.07, 0.12, -0.1],
            "low_r": [-0.1, -0.05, np.nan], "high_r": [0.2, 0.3, np.nan],
        },
        "score_buckets.parquet": {
            "horizon": ["4h"] * 3, "low": [0.0, 0.0, 50.0], "high": [100.0, 50.0, 100.0], "bars": [1400, 700, 700],
            "windows": [350, 170, 170], "mean_bp": [1.0, -3.0, 5.0], "low_bp": [-2.0, -6.0, 2.0],
            "high_bp": [4.0, 0.5, 8.0], "up_share": [0.5, 0.48, 0.53],
        },
        "prices.parquet": _prices(price),
    }  # fmt: skip
    home.mkdir(parents=True)
    for name, content in files.items():
        if name in without:
            continue
        if name.endswith(".json"):
            (home / name).write_text(json.dumps(content))
        else:
            pq.write_table(pa.table(content), home / name)
    (home / "summary.txt").write_text("Backtest of BTCUSDT\nas it was written then\n")
    return home


def _trades(random, closes, price):
    at = np.sort(random.choice(HOURS - 60, 40, replace=False)) + 5
    long = random.random(40) < 0.6
    side = np.where(long, 1.0, -1.0)
    end = at + random.integers(1, 20, 40)
    return {
        "symbol": ["BTCUSDT"] * 40, "venue": ["binance-usdm"] * 40, "decided_at": closes[at - 1],
        "side": np.where(long, "long", "short").tolist(), "entry_time": closes[at - 1],
        "exit_bar_time": closes[end - 1],
        "entry_price": price[at], "exit_price": price[end], "stop": price[at] * (1.0 - side * 0.01),
        "target": price[at] * (1.0 + side * 0.02), "pnl": random.normal(10.0, 90.0, 40),
        "r": random.normal(0.1, 1.5, 40), "reason": random.choice(["stop", "target", "signal"], 40).tolist(),
    }  # fmt: skip


def _fan(random, n, block):
    ways = np.cumprod(1.0 + random.normal(0.001, 0.01, (200, n + 1)), axis=1) / 1.0
    bands = np.quantile(ways, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    return {
        "draws": 200, "block": block, "steps": list(range(n + 1)), "bands": bands.tolist(), "real": ways[0].tolist(),
        "fall": {"low": -0.11, "middle": -0.06, "high": -0.02, "real": -0.05}, "losing": 0.234,
    }  # fmt: skip


def _prices(price):
    """Bars of the whole run in four hours, and of its last five days in one."""
    views = {"whole": ("4h", np.arange(0, HOURS, 4)), "last": ("1h", np.arange(HOURS - 120, HOURS))}
    rows = {name: [] for name in ("view", "venue", "symbol", "timeframe", "open_time", "close")}
    for view, (clock, at) in views.items():
        rows["view"] += [view] * len(at)
        rows["venue"] += ["binance-usdm"] * len(at)
        rows["symbol"] += ["BTCUSDT"] * len(at)
        rows["timeframe"] += [clock] * len(at)
        rows["open_time"] += (BEGIN + HOUR * at).tolist()
        rows["close"] += price[at].tolist()
    close = np.array(rows["close"])
    return rows | {"open": close * 0.999, "high": close * 1.002, "low": close * 0.997, "volume": close * 0.0 + 5.0}
