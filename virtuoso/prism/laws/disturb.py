"""Disturbed markets: what the laws (laws.py) compute a node on beside the market itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from virtuoso.clock import Env
from virtuoso.market.frame import MarketFrame
from virtuoso.market.schema.columns import COLUMNS, PRICES, Unit, mirrored, scaled
from virtuoso.prism.component import Node
from virtuoso.prism.engine.graph import columns_of
from virtuoso.types import Array

PRICE = Unit(price=1)


def copied(frame: MarketFrame) -> MarketFrame:
    """The frame with columns of its own: what is examined may write to them."""
    columns = {name: values.copy() for name, values in frame.base.columns.items()}
    return MarketFrame(frame.instrument, replace(frame.base, columns=columns), frame.window, breaks=frame.breaks)


def narrowed(frame: MarketFrame, node: Node) -> MarketFrame:
    """The frame with the columns that a node looks at: sixty cost more to copy than the node to compute."""
    columns = {name: frame.base.columns[name] for name in sorted(columns_of(node)) if name in frame.base.columns}
    return changed(frame, columns)


def moved(frame: MarketFrame, ms: int) -> MarketFrame:
    """The same bars at another time."""
    return MarketFrame(frame.instrument, replace(frame.base, first=frame.base.first + ms // frame.timeframe.ms))


def others(frame: MarketFrame) -> list[MarketFrame]:
    """Other symbols on the same clock, each a trap for what is kept by too short a key.

    In order: the later half first; other units; half of the bars others; all but open and close others.
    """
    base, random = frame.base, Env(seed=len(frame.base)).random()
    n, size = len(base), random.uniform(0.5, 2.0, len(base))
    away = np.where(random.random(n) < 0.5, 0.0, 0.01 * random.standard_normal(n))
    half, beside = {}, {}
    for name, values in base.columns.items():
        price = COLUMNS[name].unit == PRICE
        half[name] = values * (1.0 + away) if price else np.where(away != 0.0, values * size, values)
        wider = {"high": 1.001, "low": 0.999, "open": 1.0, "close": 1.0}.get(name)
        beside[name] = values * (size if wider is None else wider)
    later = replace(
        base,
        columns={name: np.roll(values, n // 2) for name, values in base.columns.items()},
        state=np.roll(base.state, n // 2),
        share=np.roll(base.share, n // 2),
    )
    in_other_units = changed(frame, scaled(base.columns, 1.25, 3.0))
    return [MarketFrame(frame.instrument, later), in_other_units, changed(frame, half), changed(frame, beside)]


def spoiled(frame: MarketFrame, time_ms: int, garbage: str) -> MarketFrame:
    """The frame with everything that opens at or after a moment replaced."""
    base = frame.base
    at = time_ms // base.timeframe.ms - base.first
    order = Env(seed=at).random().permutation(len(base) - at) + at
    columns = {}
    for name, values in base.columns.items():
        spoiled = values.copy()
        spoiled[at:] = {"nan": np.nan, "huge": 1e300}.get(garbage, values[order])
        columns[name] = spoiled
    return MarketFrame(frame.instrument, replace(base, columns=columns))


def reciprocal(frame: MarketFrame, pivot: float) -> dict[str, Array]:
    """The ratio mirror: prices c^2 / p, highs and lows exchanged, buying and selling exchanged."""
    columns = mirrored(frame.base.columns, pivot)
    for name, source in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
        columns[name] = pivot * pivot / frame.base.columns[source]
    return columns


def noisy(frame: MarketFrame, size: float, seed: int) -> MarketFrame:
    """The frame with prices disturbed by a relative noise; bars stay bars."""
    random = Env(seed=seed).random()
    columns = dict(frame.base.columns)
    for name in PRICES:
        columns[name] = columns[name] * (1.0 + size * random.standard_normal(len(frame.base)))
    columns["high"] = np.maximum.reduce([columns[name] for name in PRICES])
    columns["low"] = np.minimum.reduce([columns[name] for name in PRICES])
    return changed(frame, columns)


def changed(frame: MarketFrame, columns: dict[str, Array]) -> MarketFrame:
    """The frame with other columns on the same bars."""
    return MarketFrame(frame.instrument, replace(frame.base, columns=columns))
