"""The regime: trend or range, calm or volatile, told from closed bars by declared rules.

1. Efficiency is the way from the close `span` bars ago over the path since then, -1..1 (Kaufman's efficiency ratio with
   its sign). A trend begins where its size reaches `trend_enter` and ends where it falls below `trend_leave`.
2. Stretch is the mean true range of the last bars over that of the last many. The market is volatile from
   `volatile_enter` on until it falls below `volatile_leave`.
3. Either state lapses `age` bars after it was last entered, so that its memory is bounded and obeys the one law.

Nothing here looks ahead, and nothing is smoothed afterwards: what is called a trend is one that could be seen.

Source: Kaufman (1995), Smarter Trading, ch. 7, for the ratio; states and hysteresis are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.market.columns import Array
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.volatility import FLOOR, MeanRange
from virtuoso.prism.features.windows import steps, wsum
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import ratio
from virtuoso.signals.rule import alive

REGIMES = ("calm range", "volatile range", "calm trend", "volatile trend")
"""Names by code: trending x 2 + volatile."""
UNKNOWN_REGIME = -1

Codes = NDArray[np.int8]


class RegimeState(NamedTuple):
    """What the market is like at each bar.

    Attributes
    ----------
    efficiency : Array, -1..1, shape (n_bars,)
        Above 0 upwards.
    stretch : Array, shape (n_bars,)
        1 is as volatile as usual.
    code : Array, shape (n_bars,)
        Of REGIMES.
    """

    efficiency: Array
    stretch: Array
    code: Array


class Regime(Feature):
    """Trend or range, calm or volatile."""

    windowed = True
    outputs = RegimeState
    unit = MeanRange(period=14)
    usual = MeanRange(period=200)

    span: int = Int(40, low=5, high=200)
    age: int = Int(120, low=10, high=500)
    trend_enter: float = Float(0.35, low=0.05, high=0.95, unit="share")
    trend_leave: float = Float(0.20, low=0.0, high=0.9, unit="share")
    volatile_enter: float = Float(1.30, low=1.0, high=5.0, unit="of the usual range")
    volatile_leave: float = Float(1.05, low=0.5, high=5.0, unit="of the usual range")

    def memory(self, timeframe: Timeframe) -> int:
        """The states' age, the path behind the oldest of them, and the close before it."""
        return self.age + self.span + 1

    def value(self, close: Array, unit: Array, usual: Array, first: int) -> RegimeState:
        """Efficiency, stretch and code. Uses `x[: t + 1]` only."""
        way = np.full(len(close), np.nan)
        way[self.span :] = close[self.span :] - close[: -self.span]
        # a path of ticks is no trend: a tenth of the mean range a bar is added to it
        path = wsum(np.abs(steps(close)), self.span, first) + FLOOR * unit * self.span
        efficiency, stretch = ratio(way, path), ratio(unit, usual)
        size = np.abs(efficiency)
        trending = alive(size >= self.trend_enter, ~(size >= self.trend_leave), self.age)
        volatile = alive(stretch >= self.volatile_enter, ~(stretch >= self.volatile_leave), self.age)
        code = np.where(np.isfinite(efficiency) & np.isfinite(stretch), 2.0 * trending + volatile, np.nan)
        return RegimeState(efficiency, stretch, code)


def clock_of(prism: Prism, base: Timeframe) -> Timeframe:
    """Timeframe on which the regime is told: the second slowest of the ladder, slow enough to be a state."""
    ladder = [timeframe for timeframe, _ in prism.ladder(base)]
    return ladder[-2] if len(ladder) > 1 else ladder[0]


def regimes(prism: Prism, workspace: Workspace, start: int, stop: int, regime: Regime | None = None) -> Codes:
    """Regime at the close of each base bar numbered [start, stop).

    Parameters
    ----------
    prism : Prism
        Whose ladder says which timeframes there are.
    workspace : Workspace
    start, stop : int
    regime : Regime, optional

    Returns
    -------
    array of int8, shape (stop - start,)
        Codes of REGIMES; UNKNOWN_REGIME where it is not known.
    """
    base = workspace.frame.timeframe
    own, node = clock_of(prism, base), regime or Regime()
    if own == base:
        code = workspace.values(node, own, start, stop)[RegimeState._fields.index("code")]
    else:
        arrays, seen = workspace.aligned(node, own, base, start, stop)
        code = np.where(seen, arrays[RegimeState._fields.index("code")], np.nan)
    return np.where(np.isnan(code), UNKNOWN_REGIME, code).astype(np.int8)
