"""The technical face: momentum and the volatility that carries it.

All oscillators follow momentum: high is bullish. Exhaustion belongs to divergence and regimes. Distances are in mean
true ranges, so that a coin at 100,000 and one at 0.00001 are comparable, and where nothing has moved for a whole
window nothing is known. docs/faces/technical.md shows the formulas and the measured distributions.
"""

from __future__ import annotations

import numpy as np
import talib

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Component, Gate, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.volatility import FLOOR, WILDER_MEMORY, mean_range, moving, write_ranges
from virtuoso.prism.features.windows import mean_deviation, steps, unknown, wmean, write_means, write_sums, wsum
from virtuoso.prism.scale import Squash, ratio
from virtuoso.types import Array

LAMBERT = 0.015
"""Lambert (1980): about three quarters of the values fall within +-100."""
DEVIATION_FLOOR = 0.02
"""Share of the mean true range that is added to a mean deviation; a deviation is itself a fraction of a range."""


class RSI(Component):
    """Share of recent price movement that was upward."""

    title = "Relative Strength Index"
    source = "Wilder (1978), New Concepts in Technical Trading Systems, ch. 6"
    scale = Squash(half=22.0, centre=50.0)
    bands = {
        80: "RSI {value:.0f}: buyers in full control, stretched",
        60: "RSI {value:.0f}: upward momentum",
        40: "RSI {value:.0f}: momentum is balanced",
        20: "RSI {value:.0f}: downward momentum",
        0: "RSI {value:.0f}: sellers in full control, stretched",
    }
    oscillator = True

    period: int = Int(14, low=2, high=100)

    def memory(self, timeframe: Timeframe) -> int:
        """Wilder's average forgets its start."""
        return WILDER_MEMORY * self.period

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts."""
        return 7 * self.period + 1

    def value(self, close: Array, first: int, wanted: int = 0) -> Array:
        """RSI, 0..100, shape (n_bars,). Uses `x[: t + 1]` only."""
        index: Array = talib.RSI(close, self.period)
        start = max(wanted - self.period, 0)
        moved = wsum(np.abs(steps(close[start:])), self.period, first + start)
        index[start:] = moving(index[start:], moved)
        return index


class AO(Component):
    """Short against long mean of the median price: which way the market is being pulled."""

    windowed = True
    title = "Awesome Oscillator"
    source = "Williams (1998), New Trading Dimensions, ch. 6; in mean true ranges instead of prices"
    scale = Squash(half=3.4)
    bands = {
        80: "AO {value:+.1f} ranges: strong upward pull",
        60: "AO {value:+.1f} ranges: pulled upward",
        40: "AO {value:+.1f} ranges: no pull either way",
        20: "AO {value:+.1f} ranges: pulled downward",
        0: "AO {value:+.1f} ranges: strong downward pull",
    }
    oscillator = True

    fast: int = Int(5, low=2, high=50)
    slow: int = Int(34, low=5, high=200)

    def value(self, high: Array, low: Array, close: Array, first: int) -> Array:
        """Difference of the means, in mean true ranges, shape (n_bars,). Uses `x[: t + 1]` only."""
        pull = awesome(high, low, self.fast, self.slow, first)
        return ratio(pull, mean_range(high, low, close, max(self.fast, self.slow), first))


def awesome(high: Array, low: Array, fast: int, slow: int, first: int) -> Array:
    """Awesome Oscillator as published, price units, shape (n_bars,). Uses `x[: t + 1]` only."""
    median = (high + low) / 2.0
    return wmean(median, fast, first) - wmean(median, slow, first)


class MACD(Component):
    """Momentum of momentum: the MACD histogram and where it is heading."""

    title = "MACD histogram"
    source = "Appel (1979), The Moving Average Convergence-Divergence Method; histogram Aspray (1986)"
    scale = Squash(half=0.48)
    bands = {
        80: "MACD histogram {value:+.2f} ranges: momentum builds up fast",
        60: "MACD histogram {value:+.2f} ranges: momentum turns up",
        40: "MACD histogram {value:+.2f} ranges: momentum holds",
        20: "MACD histogram {value:+.2f} ranges: momentum turns down",
        0: "MACD histogram {value:+.2f} ranges: momentum falls away fast",
    }
    oscillator = True

    fast: int = Int(12, low=2, high=100)
    slow: int = Int(26, low=3, high=200)
    signal: int = Int(9, low=2, high=50)
    slope: int = Int(3, low=1, high=20)

    def memory(self, timeframe: Timeframe) -> int:
        """Three exponential averages forget their start, and the bars the slope looks back."""
        return 20 * (max(self.fast, self.slow) + self.signal) + self.slope

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts."""
        return 3 * max(self.fast, self.slow) + 3 * self.signal + self.slope

    def value(self, high: Array, low: Array, close: Array, first: int, wanted: int = 0) -> Array:
        """Histogram plus half of its change, in mean true ranges, shape (n_bars,). Uses `x[: t + 1]` only."""
        histogram = talib.MACD(close, self.fast, self.slow, self.signal)[2]
        begin, period = max(wanted, self.slope), max(self.fast, self.slow)
        turning = unknown(len(close))
        turning[begin:] = 1.5 * histogram[begin:] - 0.5 * histogram[begin - self.slope : -self.slope]
        start = max(begin - period, 0)
        turning[start:] = ratio(
            turning[start:], mean_range(high[start:], low[start:], close[start:], period, first + start)
        )
        return turning


class WilliamsR(Component):
    """Where the close stands between the highest high and the lowest low."""

    windowed = True
    title = "Williams %R"
    source = "Williams (1973), How I Made One Million Dollars, with a tenth of the mean true range in the range"
    scale = Squash(half=49.0, centre=-50.0)
    bands = {
        80: "%R {value:.0f}: closing at the top of its range",
        60: "%R {value:.0f}: in the upper part of its range",
        40: "%R {value:.0f}: in the middle of its range",
        20: "%R {value:.0f}: in the lower part of its range",
        0: "%R {value:.0f}: closing at the bottom of its range",
    }
    oscillator = True

    period: int = Int(14, low=2, high=100)

    def value(self, high: Array, low: Array, close: Array, first: int) -> Array:
        """%R, -100..0, shape (n_bars,). Uses `x[: t + 1]` only."""
        return williams(high, low, close, self.period, FLOOR * mean_range(high, low, close, self.period, first))


def williams(high: Array, low: Array, close: Array, period: int, floor: Array | float) -> Array:
    """%R, -100..0, with something added to the range; not known where both are 0. Uses `x[: t + 1]` only."""
    top, bottom = talib.MAX(high, period), talib.MIN(low, period)
    return 50.0 * ratio(2.0 * close - top - bottom, top - bottom + floor) - 50.0


class CCI(Component):
    """How far the typical price has left its mean, in mean deviations."""

    windowed = True
    title = "Commodity Channel Index"
    source = "Lambert (1980), Commodities 10/1980, with a fiftieth of the mean true range in the deviation"
    scale = Squash(half=215.0)
    bands = {
        80: "CCI {value:+.0f}: breaking away upward",
        60: "CCI {value:+.0f}: above its mean",
        40: "CCI {value:+.0f}: at its mean",
        20: "CCI {value:+.0f}: below its mean",
        0: "CCI {value:+.0f}: breaking away downward",
    }
    oscillator = True

    period: int = Int(20, low=5, high=200)

    def value(self, high: Array, low: Array, close: Array, first: int) -> Array:
        """CCI, shape (n_bars,). Uses `x[: t + 1]` only."""
        unit = mean_range(high, low, close, self.period, first)
        return moving(channel_index(high, low, close, self.period, first, DEVIATION_FLOOR * unit), unit)


def channel_index(high: Array, low: Array, close: Array, period: int, first: int, floor: Array | float) -> Array:
    """CCI with something added to the mean deviation; not known where that is 0. Uses `x[: t + 1]` only."""
    typical = (high + low + close) / 3.0
    mean = wmean(typical, period, first)
    return ratio(typical - mean, LAMBERT * (mean_deviation(typical, mean, period) + floor))


class ATRThrust(Component):
    """Expansion of the average true range, signed by the moves that caused it."""

    windowed = True
    title = "Volatility thrust"
    source = "Virtuoso, docs/faces/technical.md; true range Wilder (1978), ch. 3"
    scale = Squash(half=0.22)
    bands = {
        80: "Thrust {value:+.0%} of the usual range: volatility breaks out upward",
        60: "Thrust {value:+.0%} of the usual range: rising bars are the large ones",
        40: "Thrust {value:+.0%} of the usual range: no side drives volatility",
        20: "Thrust {value:+.0%} of the usual range: falling bars are the large ones",
        0: "Thrust {value:+.0%} of the usual range: volatility breaks out downward",
    }

    period: int = Int(14, low=2, high=100)
    usual: int = Int(60, low=20, high=500)

    @property
    def name(self) -> str:
        """The word the field uses."""
        return "atr"

    def memory(self, timeframe: Timeframe) -> int:
        """The window, the bars behind its oldest one that say what is usual, and the close before them."""
        return self.period + self.usual

    def value(self, high: Array, low: Array, close: Array, first: int) -> Array:
        """Mean signed excess of the true range over its usual size, in usual sizes, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        room = np.empty((5, len(close)))
        _thrust(high, low, close, self.period, first % self.period, self.usual, first % self.usual, room)
        thrust: Array = room[0]
        return thrust


@kernel
def _thrust(
    high: Array, low: Array, close: Array, period: int, place: int, usual: int, usual_place: int, room: Array
) -> None:
    """Write thrusts into the first row; not known where nothing has moved in the window. Uses `x[: t + 1]` only."""
    out, reach, unit, moved, signed = room[0], room[1], room[2], room[3], room[4]
    write_ranges(high, low, close, reach)
    write_means(reach, usual, usual_place, unit)
    write_sums(reach, period, place, moved)
    before = np.nan
    for t in range(len(out)):
        step, excess, floor = close[t] - before, reach[t] - unit[t], FLOOR * unit[t]
        before = close[t]
        size = np.sqrt(step * step + floor * floor)
        signed[t] = step * (0.0 if excess < 0.0 else excess) / size if size != 0.0 else 0.0
    write_means(signed, period, place, out)
    for t in range(len(out)):
        known = (moved[t] > 0.0) & (unit[t] != 0.0)
        out[t] = out[t] / unit[t] if known else np.nan


class ADX(Gate):
    """How directional the market is, whichever way: it carries momentum or wears it out."""

    title = "Average Directional Index"
    source = "Wilder (1978), New Concepts in Technical Trading Systems, ch. 4; outside bars count by their net"
    scale = Squash(half=10.0, centre=20.0)
    bands = {
        70: "ADX {value:.0f}: a trend that carries momentum",
        30: "ADX {value:.0f}: a trend may be forming",
        0: "ADX {value:.0f}: no trend, momentum wears out",
    }

    period: int = Int(14, low=2, high=100)

    def memory(self, timeframe: Timeframe) -> int:
        """Wilder's average of Wilder's average."""
        return 55 * self.period

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts."""
        return 10 * self.period

    def value(self, high: Array, low: Array, first: int, wanted: int = 0) -> Array:
        """ADX, 0..100, shape (n_bars,). Uses `x[: t + 1]` only."""
        rise, fall = np.empty((2, len(high)))
        _movements(high, low, rise, fall)
        index = directional_index(rise, fall, self.period)
        start = max(wanted - self.period, 0)
        index[start:] = moving(index[start:], wsum(rise[start:] + fall[start:], self.period, first + start))
        return index


@kernel
def _movements(high: Array, low: Array, rise: Array, fall: Array) -> None:
    """Write directional movements; of a bar that reaches further both ways, what one way has left of the other."""
    top, bottom = np.nan, np.nan
    for t in range(len(high)):
        up, down = high[t] - top, bottom - low[t]
        risen, fallen = up - (0.0 if down < 0.0 else down), down - (0.0 if up < 0.0 else up)
        rise[t], fall[t] = 0.0 if risen < 0.0 else risen, 0.0 if fallen < 0.0 else fallen
        top, bottom = high[t], low[t]


def directional_index(rise: Array, fall: Array, period: int) -> Array:
    """Wilder's average of how one-sided Wilder's averages of rises and falls are, 0..100.

    An exponential mean of 2 n - 1 bars has Wilder's weight 1 / n. The true range, by which Wilder divides both
    averages, cancels. TA-Lib rounds its means once where a loop of our own would twice: they keep their bits.

    Parameters
    ----------
    rise, fall : Array, price units, shape (n_bars,)
        Directional movement up and down; the first bar has none.
    period : int, bars

    Returns
    -------
    Array, shape (n_bars,)
        Uses `x[: t + 1]` only.
    """
    up, down = talib.EMA(rise, 2 * period - 1), talib.EMA(fall, 2 * period - 1)
    index: Array = talib.EMA(100.0 * ratio(np.abs(up - down), up + down), 2 * period - 1)
    return index


FACE = Face(
    "technical",
    "Technical",
    {RSI(): 0.20, AO(): 0.20, MACD(): 0.15, WilliamsR(): 0.15, CCI(): 0.15, ATRThrust(): 0.15},
    gates=(ADX(),),
)
