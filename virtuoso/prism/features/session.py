"""The session: what has been paid on average since it opened."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Feature
from virtuoso.prism.features.windows import unknown
from virtuoso.types import Array

DAY_MS = UNIT_MS["d"]
LONG_BAR_MS = 4 * UNIT_MS["h"]
MONDAY_MS = 4 * DAY_MS
"""1970-01-05, the first Monday after the epoch."""


class Session(NamedTuple):
    """How bars are grouped into sessions: bar number n opens one where (n - offset) % length == 0.

    Attributes
    ----------
    length, offset : int, bars
    """

    length: int
    offset: int

    @classmethod
    def of(cls, timeframe: Timeframe) -> Session:
        """Return the UTC day for bars shorter than 4h, the ISO week (from Monday on) for longer ones."""
        if timeframe.ms < LONG_BAR_MS:
            return cls(DAY_MS // timeframe.ms, 0)
        return cls(7 * DAY_MS // timeframe.ms, MONDAY_MS // timeframe.ms)


class SessionPrice(NamedTuple):
    """Volume-weighted price of the session so far.

    Attributes
    ----------
    vwap : Array, price units, shape (n_bars,)
    deviation : Array, price units, shape (n_bars,)
        Volume-weighted standard deviation of the typical price around it.
    """

    vwap: Array
    deviation: Array


class SessionVWAP(Feature):
    """Volume-weighted average price since the session opened, and the deviation around it.

    Not known before the first session start inside a run, nor before the first trade of a session.

    Source: Berkowitz, Logue and Noser (1988), Journal of Finance 43(1).
    """

    windowed = True
    outputs = SessionPrice

    def memory(self, timeframe: Timeframe) -> int:
        """One session."""
        return Session.of(timeframe).length

    def warmup(self, timeframe: Timeframe) -> int:
        """None of its own: what lies before the first session start is not known."""
        return 1

    def value(
        self, high: Array, low: Array, close: Array, volume: Array, first: int, timeframe: Timeframe, wanted: int = 0
    ) -> SessionPrice:
        """Price and deviation. Uses `x[: t + 1]` only."""
        session = Session.of(timeframe)
        vwap, deviation = unknown(len(close)), unknown(len(close))
        start = (session.offset - first) % session.length
        _session_vwap(high, low, close, volume, start, session.length, wanted, vwap, deviation)
        return SessionPrice(vwap, deviation)


@kernel
def _session_vwap(
    high: Array, low: Array, close: Array, volume: Array, start: int, length: int, wanted: int,
    vwap: Array, deviation: Array,
) -> None:  # fmt: skip
    """Sum prices from the first one of the session, so that the deviation does not cancel. Uses `x[: t + 1]` only."""
    left = 0
    anchor, total, moment, square = 0.0, 0.0, 0.0, 0.0
    for t in range(start, len(close)):
        price = (high[t] + low[t] + close[t]) / 3.0
        if left == 0:
            left = length
            anchor, total, moment, square = price, 0.0, 0.0, 0.0
        left -= 1
        x = price - anchor
        total += volume[t]
        moment += volume[t] * x
        square += volume[t] * x * x
        if t >= wanted and total > 0.0:
            mean = moment / total
            vwap[t] = anchor + mean
            deviation[t] = np.sqrt(max(square / total - mean * mean, 0.0))
