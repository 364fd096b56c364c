"""A project with a small lake: hourly bars of simulated coins, with nothing in them or with a drift that persists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.cli import main
from virtuoso.config import Settings

START = 1_735_689_600_000  # 2025-01-01
HOUR = 3_600_000
CLOCKS = {"1h": 0.5, "4h": 0.3, "1d": 0.2}
TERMS = {"assume_funding": 0.0001, "mark": "last"}


def settings() -> Settings:
    """Settings whose clocks suit hourly bars, and whose thresholds are reached often."""
    return Settings.load(
        env={}, overrides={"prism.timeframes": CLOCKS, "signals.bull_enter": 58, "signals.bull_leave": 52,
                           "signals.bear_leave": 48, "signals.bear_enter": 42}
    )  # fmt: skip


def make_project(folder: Path, symbols: tuple[str, ...] = ("AAAUSDT", "BBBUSDT"), days: int = 140, *,
                 drift: float = 0.0, seed: int = 3) -> Path:  # fmt: skip
    """Write a project whose lake holds some coins; `drift` is the spread of a daily trend that lasts for days."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "base.yaml").write_text("{}\n")
    raw = folder / "raw"
    raw.mkdir()
    for k, symbol in enumerate(symbols):
        (raw / f"{symbol}-1h-2025-01.csv").write_text(_bars(days * 24, drift, np.random.default_rng([seed, k])))
    told = ["data", "import", str(raw), "--venue", "simulated", "--data", str(folder / "data"), "-q"]
    assert main(told) == 0
    return folder


def _bars(n: int, drift: float, random: np.random.Generator) -> str:
    """Hourly klines as an archive of a venue has them."""
    trend, trends = 0.0, np.empty(n)
    for t in range(n):
        trend += -trend / 96.0 + random.standard_normal() * np.sqrt(2.0 / 96.0)
        trends[t] = trend
    steps = 0.006 * random.standard_normal(n) + drift / 24.0 * trends
    close = 100.0 * np.exp(np.cumsum(steps))
    opened = np.concatenate(([100.0], close[:-1]))
    reach = np.exp(np.abs(0.003 * random.standard_normal((2, n))))
    high, low = np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1]
    volume = 1_000.0 * np.exp(0.3 * random.standard_normal(n))
    bought = volume * np.clip(0.5 + 10.0 * steps, 0.05, 0.95)
    rows = []
    for t in range(n):
        at = START + t * HOUR
        rows.append(
            f"{at},{opened[t]:.6f},{high[t]:.6f},{low[t]:.6f},{close[t]:.6f},{volume[t]:.4f},{at + HOUR - 1},"
            f"{volume[t] * close[t]:.4f},900,{bought[t]:.4f},{bought[t] * close[t]:.4f},0"
        )
    return "\n".join(rows) + "\n"


def small(**changed: Any) -> dict[str, Any]:
    """A small study of the shipped rule on one coin."""
    plain = {
        "name": "small", "market": {"symbols": ["AAAUSDT"], "timeframe": "1h"},
        "search": {"weights": ["faces"], "thresholds": ["enter", "leave"]}, "sampler": "random",
        "walk_forward": {"splits": 3, "least": "30d", "purge": "1d"}, "trials": 48, "generation": 12,
        "least_trades": 1, "terms": TERMS,
    }  # fmt: skip
    return {**plain, **changed}
