"""Charts drawn by hand: one ATR is one point, bars are numbered from 0."""

from __future__ import annotations

import itertools

import numpy as np

from virtuoso.prism.features.candles import CandleBars

WICK = 0.1


def candles(rows: list[tuple[float, float, float, float]]) -> CandleBars:
    """Candles typed as (open, high, low, close), with an ATR of exactly 1."""
    o, h, low, c = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    return CandleBars(o, h, low, c, np.ones(len(c)), np.zeros(len(c)))


def path(turns: list[float], bars: int = 6) -> CandleBars:
    """Walk straight from turn to turn, `bars` bars each; turn k is the close of bar k * bars.

    Bodies join without gaps, wicks reach WICK beyond them.
    """
    closes = [turns[0]]
    for a, b in itertools.pairwise(turns):
        closes += [a + (b - a) * i / bars for i in range(1, bars + 1)]
    opens = [closes[0], *closes[:-1]]
    return candles([(o, max(o, c) + WICK, min(o, c) - WICK, c) for o, c in zip(opens, closes, strict=True)])


def flat(price: float, bars: int) -> list[tuple[float, float, float, float]]:
    """Quiet candles around a price."""
    return [(price, price + WICK, price - WICK, price)] * bars


def upside_down(chart: CandleBars, pivot: float = 100.0) -> CandleBars:
    """The same chart hung from the ceiling."""
    o, h, low, c, unit, bridged = chart
    return CandleBars(2 * pivot - o, 2 * pivot - low, 2 * pivot - h, 2 * pivot - c, unit, bridged)


def joined(*charts: CandleBars) -> CandleBars:
    """Charts one after the other."""
    return CandleBars(*(np.concatenate(parts) for parts in zip(*charts, strict=True)))
