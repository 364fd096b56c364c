"""The volume face: which side carries the business.

Volume alone has no direction: each component signs it by who was aggressive, by where bars close or by where price
stands in what was traded. docs/faces/volume.md shows the formulas and the measured distributions.
"""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Component, Float, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.flow import MoneyFlow
from virtuoso.prism.features.profile import ProfileLevels, ValueArea
from virtuoso.prism.features.seasonality import Usual, UsualVolume
from virtuoso.prism.features.session import SessionPrice, SessionVWAP
from virtuoso.prism.features.volatility import FLOOR, MeanRange, moving
from virtuoso.prism.features.windows import each, slope_weights, steps, weighted, wsum, zscore
from virtuoso.prism.scale import Squash, ratio
from virtuoso.types import Array

HEAVIEST = 5.0
"""Usual volumes that a bar's volume comes near to and never reaches: ten times as heavy is hardly heavier than five."""


class VolumeDelta(Component):
    """Who took: taker buying minus taker selling, against its own history."""

    windowed = True
    title = "Volume delta"
    source = "Virtuoso, docs/faces/volume.md; aggressor volume Hasbrouck (1991), Journal of Finance 46(1)"
    scale = Squash(half=2.1)
    bands = {
        80: "Takers buy far more than usual ({value:+.1f} deviations)",
        60: "Takers buy more than usual ({value:+.1f} deviations)",
        40: "Takers buy and sell as usual ({value:+.1f} deviations)",
        20: "Takers sell more than usual ({value:+.1f} deviations)",
        0: "Takers sell far more than usual ({value:+.1f} deviations)",
    }

    holes = True

    period: int = Int(20, low=2, high=200)
    history: int = Int(240, low=50, high=1_000)

    def memory(self, timeframe: Timeframe) -> int:
        """The window, and the history it is held against."""
        return self.period + self.history

    def value(self, volume: Array, taker_buy_volume: Array, first: int) -> Array:
        """Share of net taker buying, in standard deviations of its history, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        return zscore(taker_share(volume, taker_buy_volume, self.period, first), self.history, first)


def taker_share(volume: Array, taker_buy_volume: Array, period: int, first: int) -> Array:
    """(Taker buying - taker selling) / volume over a window, -1..1; not known without trades.

    Uses `x[: t + 1]` only.
    """
    net = wsum(2.0 * taker_buy_volume - volume, period, first)
    return ratio(net, wsum(volume, period, first))


class ADL(Component):
    """Accumulation and distribution, against what price made of it."""

    windowed = True
    title = "Accumulation/distribution"
    source = "Chaikin's accumulation/distribution line; its slope against that of price, Virtuoso, docs/faces/volume.md"
    scale = Squash(half=1.3)
    bands = {
        80: "Accumulated well beyond what price shows ({value:+.1f} deviations)",
        60: "Accumulated more than price shows ({value:+.1f} deviations)",
        40: "Accumulation and price agree ({value:+.1f} deviations)",
        20: "Distributed more than price shows ({value:+.1f} deviations)",
        0: "Distributed well beyond what price shows ({value:+.1f} deviations)",
    }
    oscillator = True
    holes = True
    flow = MoneyFlow()

    period: int = Int(30, low=5, high=200)
    history: int = Int(200, low=50, high=1_000)
    against: float = Float(0.5, low=0.0, high=1.0, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The slope, the history it is held against, and the close before it."""
        return self.period + self.history + 1

    def value(self, close: Array, flow: Array, first: int) -> Array:
        """Slope of the line minus half the slope of price, each in deviations of its history, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        weights = slope_weights(self.period)
        accumulated = zscore(weighted(flow, weights), self.history, first)
        moved = zscore(weighted(steps(close), weights), self.history, first)
        return accumulated - self.against * moved


class CMF(Component):
    """Share of volume that was bought, estimated from where bars close."""

    windowed = True
    title = "Chaikin Money Flow"
    source = "Chaikin (1980s), with a tenth of the mean true range in each range"
    scale = Squash(half=0.2)
    bands = {
        80: "CMF {value:+.2f}: money flows in strongly",
        60: "CMF {value:+.2f}: money flows in",
        40: "CMF {value:+.2f}: no net flow",
        20: "CMF {value:+.2f}: money flows out",
        0: "CMF {value:+.2f}: money flows out strongly",
    }
    oscillator = True
    flow = MoneyFlow()
    unit = MeanRange(period=14)

    period: int = Int(20, low=2, high=200)

    def memory(self, timeframe: Timeframe) -> int:
        """The window."""
        return self.period

    def value(self, volume: Array, flow: Array, unit: Array, first: int) -> Array:
        """Net flow as a share of volume, -1..1, shape (n_bars,). Uses `x[: t + 1]` only."""
        return moving(ratio(wsum(flow, self.period, first), wsum(volume, self.period, first)), unit)


class RelativeVolume(Component):
    """Volume against its usual at this hour, signed by the bar."""

    windowed = True
    title = "Relative volume"
    source = "Virtuoso, docs/faces/volume.md; the daily pattern Admati and Pfleiderer (1988)"
    scale = Squash(half=1.1)
    bands = {
        80: "Heavy volume behind rising bars ({value:+.1f} x usual)",
        60: "Volume leans to the buyers ({value:+.1f} x usual)",
        40: "Volume takes no side ({value:+.1f} x usual)",
        20: "Volume leans to the sellers ({value:+.1f} x usual)",
        0: "Heavy volume behind falling bars ({value:+.1f} x usual)",
    }
    usual = UsualVolume()
    unit = MeanRange(period=14)

    def value(
        self, open: Array, high: Array, low: Array, close: Array, volume: Array,
        usual: Usual, unit: Array, first: int, timeframe: Timeframe,
    ) -> Array:  # fmt: skip
        """Volume in usual volumes, HEAVIEST at most, times body and close location (-1..1), shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        bars = self.usual.clock(timeframe).ratio(timeframe)
        expected = usual.following.copy()
        closing = slice((-first - 1) % bars, None, bars)  # here the hour has just closed: it is the one that is seen
        expected[closing] = usual.this[closing]
        side = ratio((close - open) + (2.0 * close - high - low), 2.0 * (high - low + FLOOR * unit))
        times = ratio(bars * volume, expected)
        return times / np.sqrt(1.0 + times * times / (HEAVIEST * HEAVIEST)) * side


class OBV(Component):
    """Slope of on-balance volume, against its own history."""

    windowed = True
    title = "On-Balance Volume"
    source = "Granville (1963), New Key to Stock Market Profits; signed smoothly by the step in mean true ranges"
    scale = Squash(half=2.0)
    bands = {
        80: "OBV climbs far faster than usual ({value:+.1f} deviations)",
        60: "OBV climbs ({value:+.1f} deviations)",
        40: "OBV goes its usual way ({value:+.1f} deviations)",
        20: "OBV falls ({value:+.1f} deviations)",
        0: "OBV falls far faster than usual ({value:+.1f} deviations)",
    }
    oscillator = True
    holes = True
    unit = MeanRange(period=14)

    period: int = Int(20, low=5, high=200)
    history: int = Int(200, low=50, high=1_000)

    def memory(self, timeframe: Timeframe) -> int:
        """The slope, the history it is held against, and the close before it."""
        return self.period + self.history + 1

    def value(self, close: Array, volume: Array, unit: Array, first: int) -> Array:
        """Slope in standard deviations of its history, shape (n_bars,). Uses `x[: t + 1]` only."""
        flow = balance_steps(close, volume, FLOOR * unit)
        slope = weighted(flow, slope_weights(self.period))
        return moving(zscore(slope, self.history, first), unit)


def balance_steps(close: Array, volume: Array, floor: Array | float) -> Array:
    """Steps of on-balance volume: the volume, signed by the step of the close, d / sqrt(d^2 + floor^2).

    Parameters
    ----------
    close, volume : Array, shape (n_bars,)
    floor : Array or float, price units
        0 gives the sign of Granville's own line.

    Returns
    -------
    Array, base units, shape (n_bars,)
        Known from the second bar on. Uses `x[: t + 1]` only.
    """
    flow = np.empty(len(close))
    _balance_steps(close, volume, each(floor, len(close)), flow)
    return flow


@kernel
def _balance_steps(close: Array, volume: Array, floor: Array, out: Array) -> None:
    """Write steps; none where price does not move and nothing is added."""
    before = np.nan
    for t in range(len(out)):
        step = close[t] - before
        before = close[t]
        size = np.sqrt(step * step + floor[t] * floor[t])
        out[t] = volume[t] * step / size if size != 0.0 else 0.0


class VolumeProfile(Component):
    """Price against where most was traded."""

    windowed = True
    title = "Volume profile"
    source = "Steidlmayer (1984), Market Profile; Dalton (1990), Mind over Markets, ch. 2"
    scale = Squash(half=1.95)
    bands = {
        80: "{value:+.1f} half value areas from the point of control: accepted above value",
        60: "{value:+.1f} half value areas from the point of control: in the upper part of value",
        40: "At the point of control ({value:+.1f} half value areas): price is fair",
        20: "{value:+.1f} half value areas from the point of control: in the lower part of value",
        0: "{value:+.1f} half value areas from the point of control: accepted below value",
    }
    area = ValueArea()

    def value(self, close: Array, area: ProfileLevels) -> Array:
        """Distance from the point of control, in half widths of the value area, shape (n_bars,)."""
        return ratio(close - area.control, (area.high - area.low) / 2.0)


class VWAP(Component):
    """Distance from what the session has paid on average."""

    windowed = True
    title = "Session VWAP"
    source = "Berkowitz, Logue and Noser (1988), Journal of Finance 43(1); bands in volume-weighted deviations"
    scale = Squash(half=1.4)
    bands = {
        80: "{value:+.1f} deviations from VWAP: buyers of the session are well ahead",
        60: "{value:+.1f} deviations from VWAP: buyers of the session are ahead",
        40: "{value:+.1f} deviations from VWAP: the session is balanced",
        20: "{value:+.1f} deviations from VWAP: sellers of the session are ahead",
        0: "{value:+.1f} deviations from VWAP: sellers of the session are well ahead",
    }
    session = SessionVWAP()
    unit = MeanRange(period=14)

    def value(self, close: Array, session: SessionPrice, unit: Array) -> Array:
        """Distance from VWAP in its deviations, a mean range included, shape (n_bars,). Uses `x[: t + 1]` only."""
        spread = np.sqrt(session.deviation * session.deviation + unit * unit)
        return moving(ratio(close - session.vwap, spread), unit)


FACE = Face(
    "volume",
    "Volume",
    {
        VolumeDelta(): 0.20,
        ADL(): 0.15,
        CMF(): 0.15,
        RelativeVolume(): 0.15,
        OBV(): 0.15,
        VolumeProfile(): 0.10,
        VWAP(): 0.10,
    },
)
