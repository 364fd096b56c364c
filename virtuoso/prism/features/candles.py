"""Candles as a chart shows them: short holes drawn flat, and the size of an ordinary candle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.volatility import mean_range
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

LONGEST_HOLE = 5
"""Unknown bars in a row that are drawn flat; from the next one on the chart is cut."""


class CandleBars(NamedTuple):
    """The candles of a chart.

    Attributes
    ----------
    open, high, low, close : Array, price units, shape (n_bars,)
        As published; flat at the last close in the first bars of a hole.
    unit : Array, price units, shape (n_bars,)
        Mean true range over the period, the ATR in which this face measures; exactly 0 where nothing has moved.
    bridged : Array, 0 or 1, shape (n_bars,)
        1 where the bar itself is not known; nothing may be said about it.
    """

    open: Array
    high: Array
    low: Array
    close: Array
    unit: Array
    bridged: Array


class Candles(Feature):
    """What levels, zones, swings and averages are drawn on.

    One unknown 4h bar among hundreds must not wipe out months of structure: up to LONGEST_HOLE bars are bridged, as
    the fold bridges up to five minutes. The rule is causal: it asks how long the hole has lasted so far.
    """

    outputs = CandleBars
    windowed = True
    holes = True

    period: int = Int(30, low=5, high=500)

    def memory(self, timeframe: Timeframe) -> int:
        """The window, the close before it, and the hole in which it may begin."""
        return self.period + LONGEST_HOLE + 2

    def warmup(self, timeframe: Timeframe) -> int:
        """The window and the close before it."""
        return self.period + 1

    def value(self, open: Array, high: Array, low: Array, close: Array, first: int, wanted: int) -> CandleBars:
        """Candles and their unit. Uses `x[: t + 1]` only."""
        start = max(0, wanted - self.period - LONGEST_HOLE - 1)
        drawn, bridged = unknown(5, len(close)), np.zeros(len(close))
        _bridge(open, high, low, close, start, drawn, bridged)
        open, high, low, close, unit = drawn
        unit[start:] = mean_range(high[start:], low[start:], close[start:], self.period, first + start)
        return CandleBars(open, high, low, close, unit, bridged)


@kernel
def _bridge(open: Array, high: Array, low: Array, close: Array, start: int, prices: Array, bridged: Array) -> None:
    """Write known bars as they are and the first of a hole flat. Uses `x[: t + 1]` only."""
    silent, last = 0, np.nan
    for t in range(start, len(close)):
        if np.isfinite(open[t] + high[t] + low[t] + close[t]):
            silent, last = 0, close[t]
            prices[0, t], prices[1, t], prices[2, t], prices[3, t] = open[t], high[t], low[t], close[t]
            continue
        silent += 1
        if silent <= LONGEST_HOLE:
            prices[0, t], prices[1, t], prices[2, t], prices[3, t] = last, last, last, last
            bridged[t] = 1.0
