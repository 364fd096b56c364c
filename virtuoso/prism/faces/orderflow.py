"""The orderflow face: who is aggressive, and what price makes of it.

1. Klines with taker volumes suffice for cvd, liquidity and liquidity_zones; trade_flow, imbalance and pressure need
   the columns that are folded from trades, open_interest those of positioning.
2. Flow is measured against itself: a net flow over what it would be if all of its bars had agreed (`flow_bias`). That
   needs no history longer than its window, so minutes of a recording suffice.

docs/faces/orderflow.md shows the formulas and the measured distributions.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Component, Float, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.derivatives.activity import Quadrant, squashed
from virtuoso.prism.features.flow import Delta
from virtuoso.prism.features.levels import LevelMap, Levels
from virtuoso.prism.features.volatility import FLOOR, MeanRange
from virtuoso.prism.features.windows import even, fading, slope_weights, steps, unknown, weighted, wsum
from virtuoso.prism.scale import Squash, ratio
from virtuoso.types import Array

CALM_SHARE = 0.03
"""Share of volume that is added to the size of a flow: a lean of a hundredth is nobody's intention."""
LEAST_SIDE = 0.005
"""Share of volume that is added to that of each side, so that no impact is divided by nothing."""
STAND_OFF = 0.25
"""Distance in ATR from which price must come for a level to be swept and not just stood on."""
SWEPT, BACK = 0.5, 0.75
"""Depth of a sweep that counts half; distance of the close from the level at which it counts most. In ATR."""
ACCEPTED = 0.5
"""What a level that was taken and held counts against one that was reclaimed: the break itself is no secret."""


def flow_bias(net: Array, volume: Array, weights: Array) -> Array:
    """Weighted net flow over what it would be if all bars of the window had agreed: 1 all bought, -1 all sold.

    By the inequality of Cauchy and Schwarz it never leaves -1..1; flows of random sides have a deviation of about
    1 / sqrt(period), whatever the venue, the clock and the unit.

    Parameters
    ----------
    net, volume : Array, base units, shape (n_bars,)
    weights : Array, shape (period,)
        They sum to 1.

    Returns
    -------
    Array, -1..1, shape (n_bars,)
        Known from bar `period - 1` on, where anything was traded. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(net))
    _lean(net, volume, weights, _power(weights.tobytes()), CALM_SHARE / len(weights), out)
    return out


@cache
def _power(weights: bytes) -> float:
    """Sum of the squares of weights; they are few, and every bar asks anew."""
    values = np.frombuffer(weights)
    return float((values * values).sum())


@kernel
def _lean(net: Array, volume: Array, weights: Array, power: float, calm: float, out: Array) -> None:
    """Weight by weight instead of bar by bar: each bar adds its terms in the same order, in SIMD lanes."""
    head = min(len(weights) - 1, len(net))
    out[:head] = np.nan
    flow = out[head:]
    flow[:] = 0.0
    squares, total = np.zeros(len(flow)), np.zeros(len(flow))
    for j in range(len(weights)):
        weight, here, traded = weights[j], net[j:], volume[j:]
        for i in range(len(flow)):
            flow[i] += weight * here[i]
            squares[i] += here[i] * here[i]
            total[i] += traded[i]
    for i in range(len(flow)):
        size = np.sqrt(power * squares[i] + (calm * total[i]) * (calm * total[i]))
        flow[i] = flow[i] / size if size > 0.0 else np.nan


class CVD(Component):
    """Slope of cumulative volume delta: more where price follows it, less where price does not."""

    windowed = True
    title = "Cumulative volume delta"
    source = "Virtuoso, docs/faces/orderflow.md; signed volume Hasbrouck (1991), Journal of Finance 46(1)"
    scale = Squash(half=0.35)
    bands = {
        80: "Buyers are in steady control of the tape ({value:+.2f})",
        60: "Delta accumulates on the buyers' side ({value:+.2f})",
        40: "Delta goes nowhere, or price does not follow it ({value:+.2f})",
        20: "Delta accumulates on the sellers' side ({value:+.2f})",
        0: "Sellers are in steady control of the tape ({value:+.2f})",
    }
    oscillator = True
    delta = Delta()
    unit = MeanRange(period=14)

    period: int = Int(20, low=5, high=200)
    follow: float = Float(0.5, low=0.0, high=1.0, unit="share")

    def value(self, close: Array, volume: Array, delta: Array, unit: Array) -> Array:
        """Lean of delta, half as much again where price follows and half as much where it goes against, -1.5..1.5.

        Uses `x[: t + 1]` only.
        """
        weights = slope_weights(self.period)
        flow = flow_bias(delta, volume, weights)
        usual = np.sqrt(_power(weights.tobytes()))
        moved = squashed(ratio(weighted(steps(close), weights), usual * unit))
        return flow * (1.0 + self.follow * squashed(flow / usual) * moved)


class TradeFlow(Component):
    """Which side the largest trades take."""

    windowed = True
    title = "Large trades"
    source = "Virtuoso, docs/faces/orderflow.md; Easley and O'Hara (1987), Journal of Financial Economics 19(1)"
    scale = Squash(half=0.35)
    bands = {
        80: "Large trades buy, one after the other ({value:+.2f})",
        60: "Large trades lean to the buyers ({value:+.2f})",
        40: "Large trades take both sides ({value:+.2f})",
        20: "Large trades lean to the sellers ({value:+.2f})",
        0: "Large trades sell, one after the other ({value:+.2f})",
    }

    period: int = Int(15, low=2, high=200)

    def memory(self, timeframe: Timeframe) -> int:
        """The window."""
        return self.period

    def value(self, volume: Array, large_buy_volume: Array, large_sell_volume: Array) -> Array:
        """Lean of the largest tenth of the trades, newer ones weigh more, -1..1. Uses `x[: t + 1]` only."""
        return flow_bias(large_buy_volume - large_sell_volume, volume, fading(self.period))


class Imbalance(Component):
    """Price levels inside the bars at which one side overran the other, several in a row."""

    windowed = True
    title = "Footprint imbalance"
    source = "Virtuoso, docs/faces/orderflow.md, after the footprint school: stacked diagonal imbalances"
    scale = Squash(half=0.45)
    bands = {
        80: "Stacked buying imbalances, hardly any of selling ({value:+.2f})",
        60: "Stacked imbalances lean to the buyers ({value:+.2f})",
        40: "Stacked imbalances are balanced or absent ({value:+.2f})",
        20: "Stacked imbalances lean to the sellers ({value:+.2f})",
        0: "Stacked selling imbalances, hardly any of buying ({value:+.2f})",
    }

    period: int = Int(8, low=1, high=200)
    calm: float = Float(0.02, low=0.001, high=1.0, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The window."""
        return self.period

    def value(self, volume: Array, stacked_buy_volume: Array, stacked_sell_volume: Array) -> Array:
        """Stacked buying minus selling over both and a share of volume, newer ones weigh more, -1..1.

        Uses `x[: t + 1]` only.
        """
        weights = fading(self.period)
        bought, sold = weighted(stacked_buy_volume, weights), weighted(stacked_sell_volume, weights)
        return ratio(bought - sold, bought + sold + self.calm * weighted(volume, weights))


class OpenInterest(Component):
    """The four quadrants of open interest and price: new money confirms a move, leaving money does not."""

    windowed = True
    title = "Open interest"
    source = "Virtuoso, docs/faces/orderflow.md; Murphy (1999), Technical Analysis of the Financial Markets, ch. 7"
    scale = Squash(half=0.4)
    bands = {
        80: "New longs carry the rise ({value:+.2f})",
        60: "Price rises; little of it is new money ({value:+.2f})",
        40: "Price and open interest agree on nothing ({value:+.2f})",
        20: "Price falls; little of it is new money ({value:+.2f})",
        0: "New shorts carry the fall ({value:+.2f})",
    }
    quadrant = Quadrant()

    def value(self, quadrant: Array) -> Array:
        """Direction of price times how much open interest grew with it, -1..1. Uses `x[: t + 1]` only."""
        return quadrant


class Pressure(Component):
    """How far buying moves price, against how far selling does: the way of least resistance."""

    windowed = True
    title = "Price impact"
    source = (
        "Kyle (1985), Econometrica 53(6), lambda; Amihud (2002), Journal of Financial Markets 5(1); each side apart"
    )
    scale = Squash(half=0.35)
    bands = {
        80: "Buying moves price far more than selling does ({value:+.2f})",
        60: "Buying moves price more than selling does ({value:+.2f})",
        40: "Buying and selling move price alike ({value:+.2f})",
        20: "Selling moves price more than buying does ({value:+.2f})",
        0: "Selling moves price far more than buying does ({value:+.2f})",
    }
    unit = MeanRange(period=14)

    period: int = Int(20, low=2, high=200)

    def memory(self, timeframe: Timeframe) -> int:
        """The window."""
        return self.period

    def value(
        self, volume: Array, taker_buy_volume: Array, buy_move: Array, sell_move: Array, unit: Array, first: int
    ) -> Array:
        """Impact of buying minus that of selling over the size of both, -1..1. Uses `x[: t + 1]` only."""
        columns = (volume, taker_buy_volume, buy_move, sell_move)
        total, bought, rise, fall = (wsum(x, self.period, first) for x in columns)
        out = np.empty(len(unit))
        _impact(total, bought, rise, fall, unit, self.period, out)
        return out


@kernel
def _impact(total: Array, bought: Array, rise: Array, fall: Array, unit: Array, period: int, out: Array) -> None:
    """Write how far a unit bought moves price against a unit sold; not known where price or volume stands still."""
    for t in range(len(out)):
        least = LEAST_SIDE * total[t]
        buying, selling = bought[t] + least, (total[t] - bought[t]) + least
        out[t] = np.nan
        if (unit[t] > 0.0) & (buying != 0.0) & (selling != 0.0) & (total[t] != 0.0):
            up, down, noise = rise[t] / buying, -fall[t] / selling, FLOOR * unit[t] / (total[t] / period)
            size = np.sqrt(up * up + down * down + noise * noise)
            out[t] = (up - down) / size if size != 0.0 else np.nan


class Liquidity(Component):
    """How fast trades arrive against their usual, signed by who takes."""

    windowed = True
    title = "Trade arrival"
    source = "Virtuoso, docs/faces/orderflow.md; Easley, Kiefer, O'Hara and Paperman (1996), Journal of Finance 51(4)"
    scale = Squash(half=0.8)
    bands = {
        80: "Trades rush in, and they buy ({value:+.2f} x usual)",
        60: "Arriving trades lean to the buyers ({value:+.2f} x usual)",
        40: "Trades arrive on both sides ({value:+.2f} x usual)",
        20: "Arriving trades lean to the sellers ({value:+.2f} x usual)",
        0: "Trades rush in, and they sell ({value:+.2f} x usual)",
    }

    delta = Delta()

    period: int = Int(4, low=1, high=60)
    history: int = Int(20, low=5, high=1_000)

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return max(self.history, self.period)

    def value(self, volume: Array, trades: Array, delta: Array, first: int) -> Array:
        """Trades of the last bars in usual numbers of trades, times the lean of their volume.

        Uses `x[: t + 1]` only.
        """
        recent = wsum(trades, self.period, first) * self.history
        pace = ratio(recent, wsum(trades, self.history, first) * self.period)
        return pace * flow_bias(delta, volume, even(self.period))


class LiquidityZones(Component):
    """Sweeps of clustered lows and highs: reclaimed they turn price, accepted they lead it on."""

    windowed = True
    title = "Liquidity sweeps"
    source = "Virtuoso, docs/faces/orderflow.md; stop clusters Osler (2003), Journal of Finance 58(5)"
    scale = Squash(half=1.1)
    bands = {
        80: "Lows were swept and reclaimed, or highs taken and held ({value:+.2f})",
        60: "Sweeps lean to the buyers ({value:+.2f})",
        40: "No sweep of weight ({value:+.2f})",
        20: "Sweeps lean to the sellers ({value:+.2f})",
        0: "Highs were swept and rejected, or lows taken and held ({value:+.2f})",
    }
    levels = Levels()
    candles = Candles()

    recent: int = Int(24, low=2, high=200)

    def memory(self, timeframe: Timeframe) -> int:
        """The bars that may have swept, the one before, and time for the levels to gather.

        Measured at 5m and 30m: after half a life of theirs 0.4 % of starts are still felt, on one market 1.2 %, after
        three quarters none of 5,200.
        """
        return self.recent + 1 + 3 * self.levels.lifetime(timeframe) // 4

    def value(self, levels: LevelMap, candles: CandleBars, wanted: int) -> Array:
        """Sweeps of the last bars, each by depth, age, strength of its level and side of the close.

        Uses `x[: t + 1]` only.
        """
        out = unknown(len(candles.close))
        _sweeps(candles.high, candles.low, candles.close, candles.unit, candles.bridged,
                levels.support, levels.support_strength, levels.resistance, levels.resistance_strength,
                self.recent, max(wanted, self.recent), out)  # fmt: skip
        return out


@kernel
def _sweeps(
    high: Array, low: Array, close: Array, unit: Array, bridged: Array,
    support: Array, support_strength: Array, resistance: Array, resistance_strength: Array,
    recent: int, wanted: int, out: Array,
) -> None:  # fmt: skip
    """Keep what the bars swept of the levels that stood when they opened, and weigh it. Uses `x[: t + 1]` only."""
    start = max(wanted - recent + 1, 1)
    at, level, worth, way = np.empty((4, 2 * max(len(close) - start, 0)))
    oldest, n = 0, 0
    for t in range(start, len(close)):
        before = close[t - 1]
        for price, edge, strength, sign in (
            (support[t - 1], low[t], support_strength[t - 1], 1.0),
            (resistance[t - 1], high[t], resistance_strength[t - 1], -1.0),
        ):
            beyond, near = sign * (price - edge), sign * (before - price)
            if beyond > 0.0 and unit[t] > 0.0:
                depth = beyond / (beyond + SWEPT * unit[t])
                at[n], level[n], way[n] = t, price, sign
                worth[n] = strength * depth * min(near / (STAND_OFF * unit[t]), 1.0)
                n += 1
        while oldest < n and t - at[oldest] >= recent:
            oldest += 1
        if t < wanted or not unit[t] > 0.0 or bridged[t] > 0.0:
            continue
        total, scale = 0.0, 1.0 / (BACK * unit[t])
        for i in range(oldest, n):
            u = (close[t] - level[i]) * scale
            side = 2.0 * u / (1.0 + u * u)  # most at BACK; further away it has been traded
            counts = 1.0 if side * way[i] > 0.0 else ACCEPTED
            total += (1.0 - (t - at[i]) / recent) * worth[i] * side * counts
        out[t] = total


FACE = Face(
    "orderflow",
    "Orderflow",
    {
        CVD(): 0.25,
        TradeFlow(): 0.20,
        Imbalance(): 0.15,
        OpenInterest(): 0.15,
        Pressure(): 0.10,
        Liquidity(): 0.10,
        LiquidityZones(): 0.05,
    },
)
