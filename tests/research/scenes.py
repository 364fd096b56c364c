"""Small scenes to trade on: bars written by hand, intents written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.builders import START, market
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.engine.assembly import Aggregated, Aggregator
from virtuoso.prism.engine.score import score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.face import Face
from virtuoso.prism.faces import orderbook
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores

NAN = float("nan")
PRISM = Prism(
    (Face("technical", "Technical", {RSI(): 1.0}), orderbook.FACE), {"technical": 0.6, "orderbook": 0.4}, {"1m": 1.0}
)
"""One component that is quick to score, and a face of which nothing is known."""


def unscored(frame: MarketFrame) -> Scores:
    """Scores of which nothing is known: enough where only the fills matter."""
    workspace = Workspace(frame)
    found = Aggregated.empty(len(PRISM.faces), len(frame))
    found.rows[:] = np.nan
    found.coverage[:], found.known[:], found.gate[:] = 0.0, 0.0, 1.0
    return Scores.of(PRISM, workspace, frame.start, found, Aggregator(PRISM, workspace))


def scored(frame: MarketFrame) -> Scores:
    return score(PRISM, frame)


def with_confluence(frame: MarketFrame, confluence) -> Scores:
    return replace(unscored(frame), confluence=np.asarray(confluence, dtype=np.float64))


def bars(*ohlc, volume=1.0, venue="binance-usdm", missing=(), meaning="cut", timeframe="1m") -> MarketFrame:
    """A market of hand-written bars (open, high, low, close); those in `missing` were never published."""
    clock = Timeframe(timeframe)
    first = START * 60_000 // clock.ms
    table = np.array(ohlc, dtype=np.float64)
    keep = [k for k in range(len(table)) if k not in missing]
    columns = {name: table[keep, k].copy() for k, name in enumerate(("open", "high", "low", "close"))}
    columns["volume"] = np.full(len(keep), volume)
    times = (first + np.array(keep, dtype=np.int64)) * clock.ms
    return MarketFrame(Instrument(venue, "BTCUSDT"), Bars.from_rows(clock, times, columns, GapPolicy(meaning, 5)))


def flat(price=100.0, n=12, **how) -> MarketFrame:
    return bars(*[(price, price, price, price)] * n, **how)


def intents(frame: MarketFrame, *made) -> np.ndarray:
    """Intents as (bar from the start, side, stop, target); the rest is plain."""
    rows = np.zeros(len(made), dtype=INTENT)
    rows["entry"], rows["stop"], rows["target"] = NAN, NAN, NAN
    for row, (bar, side, *levels) in zip(rows, made, strict=True):
        row["number"], row["side"] = frame.start + bar, side
        row["stop"], row["target"][0] = (*levels, NAN, NAN)[:2]
        row["price"] = frame.base.columns["close"][bar]
    return rows


def random_intents(frame: MarketFrame, seed: int, n: int, levels: bool = True) -> np.ndarray:
    """Random sides at random bars, stops and targets of random width on a grid of 0.01."""
    random = np.random.default_rng(seed)
    known = np.flatnonzero(np.isfinite(frame.base.columns["close"]))
    chosen = np.sort(random.choice(known, size=n, replace=False))
    close = frame.base.columns["close"][chosen]
    side = random.choice([-1, 0, 1], size=n)
    made = intents(frame, *[(int(bar), int(s)) for bar, s in zip(chosen, side, strict=True)])
    if levels:
        wide = close * random.uniform(0.0005, 0.01, (2, n))
        made["stop"] = np.where(side == 0, NAN, np.round(close - side * wide[0], 2))
        made["target"][:, 0] = np.where(side == 0, NAN, np.round(close + side * wide[1], 2))
    return made


def walk(seed: int, n: int, venue: str = "simulated", drift: float = 0.0, step: float = 0.0008) -> MarketFrame:
    """Prices without memory on a grid of 0.01: nothing can be known about the next bar."""
    random = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(random.normal(drift, step, n))), 2)
    open_ = np.concatenate(([100.0], close[:-1]))
    reach = np.abs(random.normal(0.0, step * 60.0, (2, n)))
    table = np.column_stack((open_, np.maximum(open_, close) + reach[0], np.minimum(open_, close) - reach[1], close))
    return bars(*np.round(table, 2), venue=venue)


__all__ = [
    "NAN",
    "PRISM",
    "bars",
    "flat",
    "intents",
    "market",
    "random_intents",
    "scored",
    "unscored",
    "walk",
    "with_confluence",
]
