"""The price structure face: where price stands among its own levels, zones, swings and ranges.

Components read features (features/swings.py, levels.py, zones.py, structure.py, profile.py), and the same
features give the signals room its prices: support and resistance, open zones, the last confirmed swings.
"""

from __future__ import annotations

import numpy as np
import talib

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.prism.component import Component, Float, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.levels import LevelMap, Levels
from virtuoso.prism.features.profile import CompositeArea, ProfileLevels
from virtuoso.prism.features.structure import Structure, StructureState
from virtuoso.prism.features.volatility import FLOOR, moving
from virtuoso.prism.features.windows import unknown, wmean
from virtuoso.prism.features.zones import BlockZones, GapZones, ZoneMap
from virtuoso.prism.scale import Linear, ratio
from virtuoso.types import Array

SWEPT = 0.5
"""Depth in ATR at which a sweep beyond the range counts half."""
TAKEN_BACK = 0.5
"""Distance in ATR back inside the range from which a sweep counts fully."""


def balance(bull: Array, bear: Array, calm: float) -> Array:
    """Weigh two sides against each other: (bull - bear) / (bull + bear + calm), so that little evidence says little.

    Parameters
    ----------
    bull, bear : Array, >= 0, shape (n_bars,)
    calm : float, unit of both
        Evidence that counts for neither.

    Returns
    -------
    Array, -1..1, shape (n_bars,)
    """
    return (bull - bear) / (bull + bear + calm)


class SupportResistance(Component):
    """Support near below against resistance near above."""

    windowed = True
    title = "Support and resistance"
    source = (
        "Virtuoso, docs/faces/price_structure.md; Murphy (1999), Technical Analysis of the Financial Markets, ch. 4"
    )
    scale = Linear(zero=-1.0, hundred=1.0)
    bands = {
        80: "support is near below and hardly any resistance above ({value:+.2f})",
        60: "support below outweighs resistance above ({value:+.2f})",
        40: "support and resistance are balanced ({value:+.2f})",
        20: "resistance above outweighs support below ({value:+.2f})",
        0: "resistance is near above and hardly any support below ({value:+.2f})",
    }
    levels = Levels()

    calm: float = Float(0.5, low=0.05, high=10.0, unit="swings")

    def value(self, levels: LevelMap, close: Array) -> Array:
        """Support minus resistance over both, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        return balance(levels.below, levels.above, self.calm)


class OrderBlocks(Component):
    """Open bullish order blocks below against bearish ones above."""

    windowed = True
    title = "Order blocks"
    source = "Virtuoso, docs/faces/price_structure.md, after the smart-money school"
    scale = Linear(zero=-1.05, hundred=1.05)
    bands = {
        80: "fresh demand: bullish order blocks at hand, none against ({value:+.2f})",
        60: "bullish order blocks outweigh bearish ones ({value:+.2f})",
        40: "order blocks are balanced or far away ({value:+.2f})",
        20: "bearish order blocks outweigh bullish ones ({value:+.2f})",
        0: "fresh supply: bearish order blocks at hand, none against ({value:+.2f})",
    }
    zones = BlockZones()

    calm: float = Float(0.2, low=0.01, high=10.0, unit="zones")

    def value(self, zones: ZoneMap, close: Array) -> Array:
        """Demand minus supply over both, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        return balance(zones.bull, zones.bear, self.calm)


class FairValueGaps(Component):
    """Open bullish fair value gaps below against bearish ones above."""

    windowed = True
    title = "Fair value gaps"
    source = "Virtuoso, docs/faces/price_structure.md, after the smart-money school"
    scale = Linear(zero=-1.2, hundred=1.2)
    bands = {
        80: "open bullish gaps at hand, none against ({value:+.2f})",
        60: "open bullish gaps outweigh bearish ones ({value:+.2f})",
        40: "gaps are balanced, filled or far away ({value:+.2f})",
        20: "open bearish gaps outweigh bullish ones ({value:+.2f})",
        0: "open bearish gaps at hand, none against ({value:+.2f})",
    }
    zones = GapZones()

    calm: float = Float(0.2, low=0.01, high=10.0, unit="zones")

    def value(self, zones: ZoneMap, close: Array) -> Array:
        """Bullish minus bearish gaps over both, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        return balance(zones.bull, zones.bear, self.calm)


class MarketStructure(Component):
    """Breaks of structure, changes of character, and the sequence of highs and lows."""

    windowed = True
    title = "Market structure"
    source = "Virtuoso, docs/faces/price_structure.md; Hamilton (1922), The Stock Market Barometer"
    scale = Linear(zero=-1.3, hundred=1.3)
    bands = {
        80: "uptrend intact: higher highs and lows, structure broken upward ({value:+.2f})",
        60: "structure leans upward ({value:+.2f})",
        40: "structure is undecided or stale ({value:+.2f})",
        20: "structure leans downward ({value:+.2f})",
        0: "downtrend intact: lower highs and lows, structure broken downward ({value:+.2f})",
    }
    structure = Structure()

    share: float = Float(0.6, low=0.0, high=1.0, unit="share")

    def value(self, structure: StructureState, close: Array) -> Array:
        """Conviction of the last break and sequence of swings, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        return self.share * structure.conviction + (1.0 - self.share) * structure.sequence


class VolumeProfile(Component):
    """Whether the market accepts prices above or below the value of the last days."""

    windowed = True
    title = "Composite profile"
    source = "Dalton (1990), Mind over Markets, ch. 4; Virtuoso, docs/faces/price_structure.md"
    scale = Linear(zero=-1.15, hundred=1.15)
    bands = {
        80: "price is accepted above composite value ({value:+.2f})",
        60: "price trades in the upper part of composite value ({value:+.2f})",
        40: "price trades around the middle of composite value ({value:+.2f})",
        20: "price trades in the lower part of composite value ({value:+.2f})",
        0: "price is accepted below composite value ({value:+.2f})",
    }
    area = CompositeArea()
    candles = Candles()

    stay: int = Int(24, low=1, high=500)

    def memory(self, timeframe: Timeframe) -> int:
        """The bars over which acceptance is judged."""
        return self.stay

    def value(self, candles: CandleBars, area: ProfileLevels, first: int, wanted: int) -> Array:
        """Where the close stands and where the closes of the last bars stood, -1..1, shape (n_bars,).

        A distance from the middle of the value area counts in half widths of it, squashed; its edge counts 0.71. The
        close and its mean over `stay` bars count the same. Uses `x[: t + 1]` only.
        """
        start = max(0, wanted - self.stay + 1)
        _, _, _, close, unit, bridged = (x[start:] for x in candles)
        high, low = area.high[start:], area.low[start:]
        half = (high - low) / 2.0 + FLOOR * unit
        away = close - (high + low) / 2.0
        place = ratio(away, np.sqrt(half * half + away * away))
        accepted = (place + wmean(place, self.stay, first + start)) / 2.0
        out = unknown(len(candles.close))
        out[start:] = moving(accepted, np.where(bridged > 0.0, 0.0, unit))
        return out


class TrendPosition(Component):
    """Price above or below its averages, and the averages in order."""

    title = "Trend position"
    source = "Appel (2005), Technical Analysis: Power Tools, ch. 1; distances in ATR are ours"
    scale = Linear(zero=-0.89, hundred=0.89)
    bands = {
        80: "price is above its averages, fast above slow ({value:+.2f})",
        60: "price and averages lean upward ({value:+.2f})",
        40: "price is among its averages ({value:+.2f})",
        20: "price and averages lean downward ({value:+.2f})",
        0: "price is below its averages, fast below slow ({value:+.2f})",
    }
    candles = Candles()

    slowest: int = Int(200, low=40, high=1000)
    half: float = Float(0.3, low=0.05, high=5.0, unit="ATR")

    def memory(self, timeframe: Timeframe) -> int:
        """The slowest average forgets: (1 - 2 / (n + 1))^(13 n) is 5e-12."""
        return 13 * self.slowest

    def warmup(self, timeframe: Timeframe) -> int:
        """Measured: the start is worth less than one point in 99.5 % of starts; minutes wander further."""
        return (275 if timeframe.ms < 300_000 else 240) * self.slowest // 100

    def periods(self) -> Array:
        """Lengths of the averages: 10, 20, 50, 100, 200 of 200."""
        periods: Array = self.slowest * np.array([0.05, 0.1, 0.25, 0.5, 1.0])
        return periods

    def value(self, candles: CandleBars, wanted: int) -> Array:
        """Mean of nine distances, each squashed, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        _, _, _, close, unit, bridged = candles
        periods = self.periods()
        out = unknown(len(close))
        _trend(close, unit, bridged, 2.0 / (periods + 1.0), self.half * np.sqrt(periods), wanted, out)
        return out


@kernel
def _trend(close: Array, unit: Array, bridged: Array, alpha: Array, half: Array, wanted: int, out: Array) -> None:
    """Write where the close stands among five averages and they among each other. Uses `x[: t + 1]` only.

    A distance is measured in ATR times the square root of the average's length, as far as a random walk gets.
    """
    a, b, c, d, e = close[0], close[0], close[0], close[0], close[0]
    for t in range(len(close)):
        x = close[t]
        a += alpha[0] * (x - a)
        b += alpha[1] * (x - b)
        c += alpha[2] * (x - c)
        d += alpha[3] * (x - d)
        e += alpha[4] * (x - e)
        if t >= wanted and unit[t] > 0.0 and bridged[t] == 0.0:
            ladder = (x, a, b, c, d, e)
            total = 0.0
            for k in range(5):
                usual = half[k] * unit[t]
                total += _squashed(x - ladder[k + 1], usual)
                if k > 0:
                    total += _squashed(ladder[k] - ladder[k + 1], usual)
            out[t] = total / 9.0


@inner
def _squashed(x: float, half: float) -> float:
    """A distance between -1 and 1, 0.71 at `half`: x / sqrt(half^2 + x^2)."""
    squashed: float = x / np.sqrt(half * half + x * x)
    return squashed


class RangeAnalysis(Component):
    """Position in the established range, and sweeps beyond its edges that were taken back."""

    windowed = True
    title = "Range analysis"
    source = "Virtuoso, docs/faces/price_structure.md; Donchian's channel; Wyckoff's spring and upthrust"
    scale = Linear(zero=-1.2, hundred=1.2)
    bands = {
        80: "accepted above the range or springing off its low ({value:+.2f})",
        60: "in the upper part of the range ({value:+.2f})",
        40: "in the middle of the range ({value:+.2f})",
        20: "in the lower part of the range ({value:+.2f})",
        0: "accepted below the range or rejected from its high ({value:+.2f})",
    }
    candles = Candles()

    length: int = Int(96, low=10, high=1000)
    recent: int = Int(24, low=2, high=200)

    def memory(self, timeframe: Timeframe) -> int:
        """The range and the recent bars after it."""
        return self.length + self.recent

    def value(self, candles: CandleBars, wanted: int) -> Array:
        """Position and sweeps, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        out = unknown(len(candles.close))
        start = max(0, wanted - self.length - self.recent + 1)
        _, high, low, close, unit, bridged = (x[start:] for x in candles)
        if len(close) >= self.length + self.recent:
            edges = talib.MAX(high, self.length), talib.MIN(low, self.length)
            recent = talib.MAX(high, self.recent), talib.MIN(low, self.recent)
            _range(high, low, close, unit, bridged, *edges, *recent, self.recent, wanted - start, out[start:])
        return out


@kernel
def _range(
    high: Array, low: Array, close: Array, unit: Array, bridged: Array,
    top: Array, bottom: Array, highest: Array, lowest: Array, recent: int, wanted: int, out: Array,
) -> None:  # fmt: skip
    """Judge each close by the range that ended `recent` bars before it. Uses `x[: t + 1]` only."""
    for t in range(max(wanted, recent), len(close)):
        ceiling, floor = top[t - recent], bottom[t - recent]
        if not unit[t] > 0.0 or bridged[t] > 0.0 or np.isnan(ceiling):
            continue
        above, below = 0.0, 0.0  # how far price has been beyond the edges, fading with age
        if highest[t] > ceiling or lowest[t] < floor:
            for i in range(t - recent + 1, t + 1):
                fresh = 1.0 - (t - i) / recent
                above = max(above, fresh * (high[i] - ceiling))
                below = max(below, fresh * (floor - low[i]))
        upthrust = _taken_back(above, ceiling - close[t], unit[t])
        spring = _taken_back(below, close[t] - floor, unit[t])
        position = (2.0 * close[t] - ceiling - floor) / (ceiling - floor + FLOOR * unit[t])
        out[t] = _squashed(position, 1.0) + spring - upthrust


@inner
def _taken_back(beyond: float, inside: float, unit: float) -> float:
    """Worth of a sweep, 0..1: how far it went beyond the edge, times how far inside the close is again."""
    return beyond / (beyond + SWEPT * unit) * min(max(inside / (TAKEN_BACK * unit), 0.0), 1.0)


FACE = Face(
    "price_structure",
    "Price structure",
    {
        SupportResistance(): 0.15,
        OrderBlocks(): 0.20,
        TrendPosition(): 0.15,
        VolumeProfile(): 0.10,
        MarketStructure(): 0.20,
        RangeAnalysis(): 0.10,
        FairValueGaps(): 0.10,
    },
)
