"""Components that leak on purpose, and clean ones that resemble them: the laws are themselves tested.

Every leak below was met in the wild: in peers' issue trackers, in textbooks, in notebooks.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import filtfilt, savgol_filter

from virtuoso.market.columns import Array
from virtuoso.prism.component import Component, Int
from virtuoso.prism.scale import Linear, Squash, ratio

BANDS = {0: "value {value:.2f}"}


class Example(Component):
    """What the examples share."""

    title = "Example"
    source = "tests/laws"
    scale = Squash(half=1.0)
    bands = BANDS
    period: int = Int(20, low=2, high=200)

    def memory(self, timeframe):
        return 2 * self.period

    def warmup(self, timeframe):
        return self.period

    def value(self, close: Array) -> Array:
        raise AssertionError("an example overrides this")


def trailing(x: Array, n: int) -> Array:
    """Mean of the last n values, window by window."""
    out = np.full(len(x), np.nan)
    if len(x) >= n:
        out[n - 1 :] = np.lib.stride_tricks.sliding_window_view(x, n).mean(axis=1)
    return out


def unit(high: Array, low: Array, n: int = 20) -> Array:
    """Mean range: the unit that makes prices comparable."""
    return trailing(high - low, n)


# --- leaks ------------------------------------------------------------------------------------------------------


class CentredAverage(Example):
    """A moving average around the bar instead of before it."""

    def value(self, close, high, low):
        return ratio(close - uniform_filter1d(close, self.period, mode="nearest"), unit(high, low))


class Gradient(Example):
    """np.gradient looks one bar ahead."""

    def value(self, close, high, low):
        return ratio(np.gradient(close) if len(close) > 1 else np.zeros(len(close)), unit(high, low))


class WholeZScore(Example):
    """Normalised by the mean and deviation of everything that was loaded."""

    def value(self, close):
        return ratio(close - close.mean(), np.full(len(close), close.std()))


class WholeRank(Example):
    """Rank among everything that was loaded."""

    scale = Linear(0.0, 1.0)

    def value(self, close):
        return np.argsort(np.argsort(close)) / len(close)


class WholeRange(Example):
    """Position between the lowest low and the highest high that will ever be."""

    scale = Linear(0.0, 1.0)

    def value(self, close, high, low):
        return ratio(close - low.min(), np.full(len(close), high.max() - low.min()))


class TwoWayFilter(Example):
    """A filter run forward and backward has no lag because it knows the end."""

    def value(self, close, high, low):
        smooth = filtfilt([0.2], [1.0, -0.8], close, padlen=0)
        return ratio(close - smooth, unit(high, low))


class SavitzkyGolay(Example):
    """A polynomial fitted around the bar."""

    def value(self, close, high, low):
        smooth = savgol_filter(close, 11, 2) if len(close) > 11 else close
        return ratio(close - smooth, unit(high, low))


class NextClose(Example):
    """The return of the next bar, the plainest of all."""

    def value(self, close, high, low):
        return ratio(np.append(np.diff(close), 0.0), unit(high, low))


class UnconfirmedSwing(Example):
    """A swing marked at its own bar, five bars before anyone could know it."""

    def value(self, high, low):
        n, reach = len(high), 5
        top = np.array([high[t] >= high[max(0, t - reach) : t + reach + 1].max() for t in range(n)], dtype=float)
        bottom = np.array([low[t] <= low[max(0, t - reach) : t + reach + 1].min() for t in range(n)], dtype=float)
        return bottom - top


class BackwardFill(Example):
    """What is missing is taken from the future."""

    def value(self, close, high, low):
        moved = np.where(np.arange(len(close)) % 7 == 0, close, np.nan)
        following = np.minimum.accumulate(np.where(np.isnan(moved), len(moved) - 1, np.arange(len(moved)))[::-1])[::-1]
        return ratio(close - close[following], unit(high, low))


class RareLeak(Example):
    """Right on 499 bars of 500, one bar ahead on the other: sampled detectors miss it."""

    def value(self, close, high, low, first):
        ahead = np.append(np.diff(close), 0.0)
        behind = np.concatenate(([0.0], np.diff(close)))
        rare = (np.arange(len(close)) + first) % 50 == 0
        return ratio(np.where(rare, ahead, behind), unit(high, low))


class FormingHour(Example):
    """The hour's close used from its first minute on."""

    def value(self, close, high, low, first):
        hour = (np.arange(len(close)) + first) // 60
        last = np.searchsorted(hour, hour, side="right") - 1
        return ratio(close[last] - close, unit(high, low))


class SessionTotal(Example):
    """Volume against the volume of the whole session, whose end is not known."""

    scale = Linear(0.0, 0.05)

    def value(self, volume, first):
        session = (np.arange(len(volume)) + first) // 240
        total = np.bincount(session - session[0], weights=volume)
        return ratio(volume, total[session - session[0]])


class SinceForever(Example):
    """On-balance volume since whatever bar happened to be loaded first."""

    def value(self, close, volume):
        flow = np.cumsum(volume * np.sign(np.diff(close, prepend=close[0])))
        return ratio(flow, trailing(volume, self.period) * 10.0)


class LongAverage(Example):
    """An exponential average whose memory is declared far too short."""

    def value(self, close, high, low):
        smooth, average = close[0], np.empty(len(close))
        for t, price in enumerate(close):
            smooth += (price - smooth) / 400.0
            average[t] = smooth
        return ratio(close - average, unit(high, low))


class MatrixProduct(Example):
    """Weighted sums by BLAS: a row of the product depends on how many rows there are."""

    def value(self, close, open, high, low, volume):  # `open` is the name of the column
        table = np.stack([close, open, high, low, close - open, high - low] * 10, axis=1)
        weights = np.linspace(-1.0, 1.0, table.shape[1])
        return ratio(np.asfortranarray(table) @ weights - close, unit(high, low))


class Jitter(Example):
    """A random tie-break."""

    def value(self, close, high, low):
        noise = np.random.default_rng().normal(size=len(close)) * 1e-12
        return ratio(np.concatenate(([0.0], np.diff(close))), unit(high, low)) + noise


class Remembering(Example):
    """A global that outlives the call."""

    calls: list[int] = []

    def value(self, close, high, low):
        self.calls.append(len(close))
        return ratio(np.concatenate(([0.0], np.diff(close))), unit(high, low)) + 1e-9 * len(self.calls)


class Writing(Example):
    """Smooths its input in place, for everyone."""

    def value(self, close, high, low):
        close[1:] += 1e-7 * (close[:-1] - close[1:])
        return ratio(np.concatenate(([0.0], np.diff(close))), unit(high, low))


class RawPrice(Example):
    """In price units: a coin at 0.00001 scores 50 for ever."""

    def value(self, close):
        return np.concatenate(([0.0], np.diff(close)))


class AlwaysBullish(Example):
    """Magnitude counted as direction."""

    def value(self, close, high, low):
        return ratio(np.abs(np.concatenate(([0.0], np.diff(close)))), unit(high, low))


class Sign(Example):
    """A bare sign: noise of a billionth decides."""

    scale = Linear(-1.0, 1.0)

    def value(self, close):
        moved = np.concatenate(([0.0], np.diff(np.round(close, 1))))
        return np.sign(moved) + 0.0 * trailing(close, self.period)


class OutOfBounds(Example):
    """A score of 130."""

    def score(self, value):
        return 50.0 + 60.0 * value

    def value(self, close, high, low):
        return ratio(np.concatenate(([0.0], np.diff(close))), unit(high, low))


LEAKS = {
    CentredAverage(): "future", Gradient(): "future", WholeZScore(): "future", WholeRank(): "future",
    WholeRange(): "future", TwoWayFilter(): "future", SavitzkyGolay(): "future", NextClose(): "future",
    UnconfirmedSwing(): "future", BackwardFill(): "future", RareLeak(): "cutting", FormingHour(): "future",
    SessionTotal(): "future", SinceForever(): "memory", LongAverage(): "memory", MatrixProduct(): "cutting",
    Jitter(): "purity", Remembering(): "purity", Writing(): "purity", RawPrice(): "units",
    AlwaysBullish(): "mirror", Sign(): "mirror", OutOfBounds(): "bounds",
}  # fmt: skip
"""Every leak, and the law that must name it."""


# --- clean ones that resemble them ------------------------------------------------------------------------------


class Momentum(Example):
    """The last move in units of the usual range."""

    def value(self, close, high, low):
        return ratio(np.concatenate(([0.0], np.diff(close))), unit(high, low))


class TrailingZScore(Example):
    """Distance from the trailing mean in trailing deviations, steadied by a tenth of the usual range."""

    def value(self, close, high, low):
        out, usual = np.full(len(close), np.nan), unit(high, low, self.period)
        windows = np.lib.stride_tricks.sliding_window_view(close, self.period)
        out[self.period - 1 :] = np.sqrt(windows.var(axis=1))
        away = ratio(close - trailing(close, self.period), np.sqrt(out * out + 0.01 * usual * usual))
        return np.where(usual > 0, away, np.nan)  # a flat window's deviation is rounding, not a finding


class ConfirmedSwing(Example):
    """The swing of UnconfirmedSwing, told five bars later and weighted by its margin."""

    def value(self, high, low):
        n, reach = len(high), 5
        out = np.zeros(n)
        usual = unit(high, low)
        for t in range(2 * reach, n):
            for x, side in ((high, -1.0), (-low, 1.0)):
                window = x[t - 2 * reach : t + 1]
                margin = x[t - reach] - np.delete(window, reach).max()
                out[t] += side * max(margin, 0.0) / usual[t] if usual[t] > 0 else 0.0
        return np.where(usual > 0, out, np.nan)


class LastHour(Example):
    """The close of the last hour that has closed, where it is inside the slice."""

    def memory(self, timeframe):
        return 60 + self.period

    def warmup(self, timeframe):
        return 60 + self.period

    def value(self, close, high, low, first):
        number = np.arange(len(close)) + first
        at = (number + 1) // 60 * 60 - 1 - first
        known = at >= 0
        return np.where(known, ratio(close - close[np.maximum(at, 0)], unit(high, low)), np.nan)


CLEAN = [Momentum(), TrailingZScore(), ConfirmedSwing(), LastHour(), Momentum(period=30), TrailingZScore(period=50)]
