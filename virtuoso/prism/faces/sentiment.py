"""The sentiment face: how the crowd is positioned, and what it has to pay for it.

1. Contrarian where the crowd is far on one side: funding_rate, long_short_ratio, risk.
2. With the market where money moves: market_activity, volatility. Liquidations are both in turn: a wave of long
   liquidations is bearish while it runs, and contrarian once it is spent.
3. Each measure is taken at the pace of its own data (features/derivatives) and held against its own past.

docs/faces/sentiment.md shows the formulas and the measured distributions.
"""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.prism.component import Component, Float, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.derivatives.activity import Activity
from virtuoso.prism.features.derivatives.crowd import Crowded, CrowdLean, FundingExtreme
from virtuoso.prism.features.volatility import FLOOR, MeanRange, moving
from virtuoso.prism.features.windows import fading, steps, weighted, wsum
from virtuoso.prism.scale import Squash, ratio
from virtuoso.types import Array

NEGLIGIBLE = 0.002
"""Share of volume below which liquidations are not worth counting."""


class FundingRate(Component):
    """What longs pay to hold, read the other way where it is extreme."""

    windowed = True
    title = "Funding rate"
    source = "Virtuoso, docs/faces/sentiment.md; carry and crowding Schmeling, Schrimpf and Todorov (2023), BIS WP 1087"
    scale = Squash(half=-0.7)
    bands = {
        80: "Shorts pay far more than usual ({value:+.1f} deviations): the crowd is short",
        60: "Funding is low ({value:+.1f} deviations)",
        40: "Funding is ordinary ({value:+.1f} deviations)",
        20: "Funding is high ({value:+.1f} deviations)",
        0: "Longs pay far more than usual ({value:+.1f} deviations): the crowd is long",
    }
    extreme = FundingExtreme()

    def value(self, extreme: Array) -> Array:
        """Deviations of the rate from its usual, none at the neutral rate, shape (n_bars,)."""
        return extreme


class Liquidations(Component):
    """Forced buying against forced selling: with the wave while it runs, against it once it is spent."""

    windowed = True
    title = "Liquidations"
    source = "Virtuoso, docs/faces/sentiment.md; Brunnermeier and Pedersen (2009), Review of Financial Studies 22(6)"
    scale = Squash(half=2.0)
    bands = {
        80: "Shorts are being liquidated, or a wave of long liquidations is spent ({value:+.1f} x usual)",
        60: "Liquidations lean upward ({value:+.1f} x usual)",
        40: "Liquidations are few or on both sides ({value:+.1f} x usual)",
        20: "Liquidations lean downward ({value:+.1f} x usual)",
        0: "Longs are being liquidated, or a wave of short liquidations is spent ({value:+.1f} x usual)",
    }

    running: int = Int(5, low=1, high=100)
    spent: int = Int(30, low=2, high=500)
    history: int = Int(60, low=5, high=2_000)
    rebound: float = Float(0.75, low=0.0, high=1.0, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The longest of the windows."""
        return max(self.running, self.spent, self.history)

    def value(
        self, close: Array, volume: Array, long_liquidations: Array, short_liquidations: Array, first: int
    ) -> Array:
        """Running minus spent forced flow, in usual liquidations, shape (n_bars,). Uses `x[: t + 1]` only.

        Shorts that are liquidated buy, longs that are liquidated sell. In base units, so that a price that falls
        does not make the same contracts fewer.
        """
        bought, sold = ratio(short_liquidations, close), ratio(long_liquidations, close)
        net = bought - sold
        wave = weighted(net, fading(self.running)) - self.rebound * weighted(net, fading(self.spent))
        usual = wsum(bought + sold, self.history, first) + NEGLIGIBLE * wsum(volume, self.history, first)
        return ratio(wave * self.history, usual)


class LongShortRatio(Component):
    """How many are long, read the other way; the largest accounts are believed."""

    windowed = True
    title = "Long/short ratio"
    source = "Virtuoso, docs/faces/sentiment.md; contrary opinion Neill (1954), The Art of Contrary Thinking"
    scale = Squash(half=-0.9)
    bands = {
        80: "The crowd is far shorter than usual, the largest accounts are not ({value:+.2f})",
        60: "The crowd is shorter than usual ({value:+.2f})",
        40: "The crowd is positioned as usual ({value:+.2f})",
        20: "The crowd is longer than usual ({value:+.2f})",
        0: "The crowd is far longer than usual, the largest accounts are not ({value:+.2f})",
    }
    lean = CrowdLean()

    def value(self, lean: Array) -> Array:
        """Crowd minus the largest, in deviations of their shares, shape (n_bars,)."""
        return lean


class Volatility(Component):
    """Whether the ups or the downs make the volatility."""

    windowed = True
    title = "Volatility skew"
    source = "Barndorff-Nielsen, Kinnebrock and Shephard (2010), realised semivariance, in Volatility and Time Series"
    scale = Squash(half=0.35)
    bands = {
        80: "Volatility is made of rises ({value:+.0%} of variance)",
        60: "Rises are rougher than falls ({value:+.0%} of variance)",
        40: "Rises and falls are alike ({value:+.0%} of variance)",
        20: "Falls are rougher than rises ({value:+.0%} of variance)",
        0: "Volatility is made of falls ({value:+.0%} of variance)",
    }
    unit = MeanRange(period=14)

    period: int = Int(96, low=5, high=1_000)

    def value(self, close: Array, unit: Array, first: int) -> Array:
        """Upside minus downside semivariance as a share of both, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        step = steps(close)
        rough, calm = wsum(step * np.abs(step), self.period, first), FLOOR * unit
        return moving(ratio(rough, wsum(step * step, self.period, first) + self.period * (calm * calm)), unit)


class MarketActivity(Component):
    """Whether money comes in, open interest and turnover, and which way price went with it."""

    windowed = True
    title = "Market activity"
    source = "Virtuoso, docs/faces/sentiment.md; Bessembinder and Seguin (1993), JFQA 28(1), volume and open interest"
    scale = Squash(half=0.4)
    bands = {
        80: "Money comes in and price rises ({value:+.2f})",
        60: "Price rises; few join ({value:+.2f})",
        40: "Nothing moves, or nobody joins ({value:+.2f})",
        20: "Price falls; few join ({value:+.2f})",
        0: "Money comes in and price falls ({value:+.2f})",
    }
    activity = Activity()

    def value(self, activity: Array) -> Array:
        """Direction of price times growth of open interest and turnover, -1..1, shape (n_bars,)."""
        return activity


class Risk(Component):
    """Leverage that has been built up, on the side that funding says is paying."""

    windowed = True
    title = "Crowding"
    source = "Virtuoso, docs/faces/sentiment.md; leverage cycles Geanakoplos (2010), NBER Macroeconomics Annual 24"
    scale = Squash(half=-0.35)
    bands = {
        80: "Shorts pay and leverage is high: a squeeze upward is possible ({value:+.2f})",
        60: "Shorts lean on leverage ({value:+.2f})",
        40: "No side is crowded ({value:+.2f})",
        20: "Longs lean on leverage ({value:+.2f})",
        0: "Longs pay and leverage is high: a cascade downward is possible ({value:+.2f})",
    }
    crowded = Crowded()

    def value(self, crowded: Array) -> Array:
        """Side that pays times how much leverage it has, -1..1, above 0 if longs are crowded, shape (n_bars,)."""
        return crowded


FACE = Face(
    "sentiment",
    "Sentiment",
    {
        FundingRate(): 0.20,
        Liquidations(): 0.20,
        LongShortRatio(): 0.15,
        Volatility(): 0.18,
        MarketActivity(): 0.15,
        Risk(): 0.12,
    },
)
