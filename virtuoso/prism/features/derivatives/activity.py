"""What price, open interest and turnover do together, on the clock of their own data.

1. Open interest and ratios are published every five minutes: on faster bars their last value is repeated, which is not
   "no change". What compares them with their own past runs on bars of five minutes, or slower ones if those ask.
2. Outages are holes in a long history: what is missing is left out as long as three quarters of it are known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.windows import known_mean, known_rms
from virtuoso.prism.scale import ratio
from virtuoso.types import Array

PUBLISHED = Timeframe("5m")
"""How often open interest and ratios are published."""
LEAST_SPAN = "30m"
"""The shortest window over which open interest is compared: several publications on any clock."""
FAINT = 0.1
"""What a move of price counts that money leaves as fast as it ever does, and a crowd without leverage."""


def not_faster(own: Timeframe, timeframe: Timeframe) -> Timeframe:
    """A clock of its own, or the asker's where that is slower or does not fill it."""
    return own if own.ms % timeframe.ms == 0 else timeframe


def usual_size(x: Array, period: int, first: int) -> Array:
    """Root mean square of the known among the last `period` values; see `known_mean`."""
    return known_rms(x, period, 0.0, first)


def squashed(x: Array) -> Array:
    """A value between -1 and 1, 0.71 at 1: x / sqrt(1 + x^2)."""
    out = np.empty(len(x))
    _squashed(x, out)
    return out


@kernel
def _squashed(x: Array, out: Array) -> None:
    """Write what is left."""
    for t in range(len(x)):
        out[t] = x[t] / np.sqrt(1.0 + x[t] * x[t])


def conviction(growth: Array) -> Array:
    """What a move counts, FAINT..1, by how much money conviction it, -1..1."""
    return FAINT + (1.0 - FAINT) * (1.0 + growth) / 2.0


class PositionChanges(NamedTuple):
    """What price, open interest and turnover did over a window, against what they usually do.

    Attributes
    ----------
    price, interest : Array, usual changes, shape (n_bars,)
        Change over the window, in root mean squares of such changes.
    turnover : Array, shape (n_bars,)
        Volume of the window over what is usual; 1 where it is.
    """

    price: Array
    interest: Array
    turnover: Array


class PositionMoves(Feature):
    """Price, open interest and turnover over the same window. Source: Virtuoso, docs/faces/orderflow.md."""

    windowed = True
    holes = True
    outputs = PositionChanges

    period: int = Int(12, low=2, high=200)
    history: int = Int(96, low=20, high=2_000)

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """The pace at which open interest is published."""
        return not_faster(PUBLISHED, timeframe)

    def window(self, timeframe: Timeframe) -> int:
        """Bars over which changes are taken."""
        return max(self.period, timeframe.bars(LEAST_SPAN))

    def memory(self, timeframe: Timeframe) -> int:
        """The window, and the history of such windows."""
        return self.window(timeframe) + self.history

    def value(
        self, close: Array, volume: Array, open_interest: Array, first: int, timeframe: Timeframe
    ) -> PositionChanges:
        """Changes over the window that ends at each bar. Uses `x[: t + 1]` only."""
        bars = self.window(timeframe)
        moved, grown = np.empty((2, len(close)))
        _moves(close, open_interest, bars, moved, grown)
        turned = ratio(known_mean(volume, bars, first), known_mean(volume, self.history, first))
        return PositionChanges(
            ratio(moved, usual_size(moved, self.history, first)),
            ratio(grown, usual_size(grown, self.history, first)),
            turned,
        )


@kernel
def _moves(close: Array, interest: Array, bars: int, moved: Array, grown: Array) -> None:
    """Write the change of price, and of open interest as a share of what it was, from so many bars before."""
    for t in range(len(close)):
        if t < bars:
            moved[t], grown[t] = np.nan, np.nan
            continue
        before = interest[t - bars]
        moved[t] = close[t] - close[t - bars]
        grown[t] = (interest[t] - before) / before if before != 0.0 else np.nan


class Quadrant(Feature):
    """The four quadrants of open interest and price: new money confirms a move, leaving money does not.

    Source: Murphy (1999), Technical Analysis of the Financial Markets, ch. 7; without a step, ours.
    """

    windowed = True
    moves = PositionMoves(period=12, history=96)

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """The pace at which open interest is published."""
        return not_faster(PUBLISHED, timeframe)

    def value(self, moves: PositionChanges) -> Array:
        """Direction of price times how much open interest grew with it, -1..1, shape (n_bars,)."""
        return squashed(moves.price) * conviction(squashed(moves.interest))


class Activity(Feature):
    """Whether money comes in, as open interest and as turnover, and which way price went with it.

    Source: Bessembinder and Seguin (1993), Journal of Financial and Quantitative Analysis 28(1), for the pair.
    """

    windowed = True
    moves = PositionMoves(period=36, history=216)

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """The pace at which open interest is published."""
        return not_faster(PUBLISHED, timeframe)

    def value(self, moves: PositionChanges) -> Array:
        """Direction of price times growth of open interest and turnover, -1..1, shape (n_bars,)."""
        busy = squashed(2.0 * (moves.turnover - 1.0))
        return squashed(moves.price) * conviction((squashed(moves.interest) + busy) / 2.0)
