"""How much a market moves: the unit in which prices become comparable."""

from __future__ import annotations

import numpy as np
import talib

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.windows import unknown, write_means
from virtuoso.prism.scale import NOT_KNOWN
from virtuoso.types import Array

WILDER_MEMORY = 46
"""Wilder's average forgets (1 - 1/n)^k; 46 n leaves 1e-20, and the memory law checks what that means in points."""


FLOOR = 0.1
"""Share of the mean true range that is added to a bare range or step before dividing by it: a tick is not a trend."""


class ATR(Feature):
    """Average true range: Wilder's average of the true range, in price units.

    Source: Wilder (1978), New Concepts in Technical Trading Systems, ch. 3.
    """

    period: int = Int(14, low=2, high=100)

    def memory(self, timeframe: Timeframe) -> int:
        """Wilder's average forgets its start."""
        return WILDER_MEMORY * self.period

    def warmup(self, timeframe: Timeframe) -> int:
        """Bars after which the start is worth less than one point in 99.5 % of starts."""
        return 6 * self.period + 1

    def value(self, high: Array, low: Array, close: Array) -> Array:
        """Average true range, price units, shape (n_bars,). Uses `x[: t + 1]` only."""
        if len(close) <= self.period:
            return unknown(len(close))
        atr: Array = talib.ATR(high, low, close, self.period)
        return atr


class MeanRange(Feature):
    """Plain mean of the true range over a window: the unit of price where the past must be forgotten exactly.

    It is exactly 0 where nothing has moved for the whole window, which Wilder's average never is: what is divided by
    it is then not known instead of frozen.

    Source: Wilder (1978), ch. 3, with a simple mean.
    """

    windowed = True
    period: int = Int(14, low=2, high=500)

    def value(self, high: Array, low: Array, close: Array, first: int) -> Array:
        """Mean true range, price units, shape (n_bars,). Uses `x[: t + 1]` only."""
        return mean_range(high, low, close, self.period, first)


def mean_range(high: Array, low: Array, close: Array, period: int, first: int) -> Array:
    """Mean true range of the last `period` bars, price units, shape (n_bars,).

    Known from bar `period` on: the first bar of a slice has no close before it. Uses `x[: t + 1]` only.
    """
    reach, mean = np.empty((2, len(close)))
    _mean_range(high, low, close, period, first % period, reach, mean)
    return mean


@kernel
def _mean_range(high: Array, low: Array, close: Array, period: int, place: int, reach: Array, mean: Array) -> None:
    """Write ranges and their means."""
    write_ranges(high, low, close, reach)
    write_means(reach, period, place, mean)


def true_range(high: Array, low: Array, close: Array) -> Array:
    """Reach of each bar and of the step into it, price units, shape (n_bars,); of the first bar it is not known.

    Uses `x[: t + 1]` only.
    """
    reach = np.empty(len(close))
    write_ranges(high, low, close, reach)
    return reach


@kernel
def write_ranges(high: Array, low: Array, close: Array, out: Array) -> None:
    """Write what lies between the outermost of high, low and the close before; NaN where one of them is."""
    before = np.nan
    for t in range(len(close)):
        top = high[t] if high[t] > before or high[t] != high[t] else before
        bottom = low[t] if low[t] < before or low[t] != low[t] else before
        out[t] = top - bottom
        before = close[t]


def moving(value: Array, unit: Array) -> Array:
    """The value where the market moves at all; not known where its mean range is 0."""
    moves = unit > 0.0
    return value if np.count_nonzero(moves) == len(moves) else np.where(moves, value, NOT_KNOWN)
