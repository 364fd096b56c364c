"""Volume with a side, estimated from bars alone."""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.volatility import FLOOR, MeanRange
from virtuoso.prism.features.windows import each, wsum
from virtuoso.prism.scale import ratio
from virtuoso.types import Array


class MoneyFlow(Feature):
    """Volume times where in its range the bar closed: all of it bought at the high, all of it sold at the low.

    Source: Chaikin's accumulation/distribution line (1970s), with a tenth of the mean true range in the range, so
    that one tick between high and low does not decide the side of all volume.
    """

    windowed = True
    unit = MeanRange(period=14)

    def value(self, high: Array, low: Array, close: Array, volume: Array, unit: Array) -> Array:
        """Signed volume, base units, shape (n_bars,). Uses `x[: t + 1]` only."""
        return money_flow(high, low, close, volume, FLOOR * unit)


def money_flow(high: Array, low: Array, close: Array, volume: Array, floor: Array | float) -> Array:
    """Signed volume with something added to the range; none where the bar has no range at all."""
    flow = np.empty(len(close))
    _money_flow(high, low, close, volume, each(floor, len(close)), flow)
    return flow


@kernel
def _money_flow(high: Array, low: Array, close: Array, volume: Array, floor: Array, out: Array) -> None:
    """Write signed volumes."""
    for t in range(len(out)):
        reach = high[t] - low[t] + floor[t]
        out[t] = volume[t] * (2.0 * close[t] - high[t] - low[t]) / reach if reach > 0.0 else 0.0


class Delta(Feature):
    """Volume that takers bought minus what they sold, beyond the share that they bought of late.

    Takers of some venues sell all year long, as they do in every hedge; what counts is when they do it more or less.
    Source: Virtuoso, docs/faces/orderflow.md.
    """

    windowed = True
    period: int = Int(40, low=5, high=1_000)

    def memory(self, timeframe: Timeframe) -> int:
        """The window over which the usual share is taken."""
        return self.period

    def value(self, volume: Array, taker_buy_volume: Array, first: int) -> Array:
        """Net taker buying beyond the usual, base units, shape (n_bars,). Uses `x[: t + 1]` only."""
        net = 2.0 * taker_buy_volume - volume
        return net - volume * ratio(wsum(net, self.period, first), wsum(volume, self.period, first))
