"""Components that leak on purpose, and clean ones that resemble them: the laws are themselves tested.

Every leak below was met in the wild: in peers' issue trackers, in textbooks, in notebooks.
"""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import filtfilt, savgol_filter

from virtuoso.prism.component import Component, Feature, Int
from virtuoso.prism.scale import Linear, Squash, ratio
from virtuoso.types import Array

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
        reach = 5
        top = high >= maximum_filter1d(high, 2 * reach + 1, mode="nearest")
        bottom = low <= -maximum_filter1d(-low, 2 * reach + 1, mode="nearest")
        return bottom.astype(float) - top


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


class Undeclared(Component):
    """An exponential average that declares no memory: the default is that of a plain window."""

    title = "Undeclared"
    source = "tests/laws"
    scale = Squash(half=1.0)
    bands = BANDS
    period: int = Int(20, low=2, high=200)

    def value(self, close, high, low):
        smooth, average = close[0], np.empty(len(close))
        for t, price in enumerate(close):
            smooth += (price - smooth) / self.period
            average[t] = smooth
        return ratio(close - average, unit(high, low))


class Plain(Component):
    """Six lines: a window that needs no memory of its own."""

    title = "Plain"
    source = "tests/laws"
    scale = Squash(half=3.0)
    bands = BANDS
    period: int = Int(24, low=2, high=200)

    def value(self, close, high, low):
        moved = np.full(len(close), np.nan)
        moved[self.period :] = close[self.period :] - close[: -self.period]
        return ratio(moved, unit(high, low))


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
    SessionTotal(): "future", SinceForever(): "memory", LongAverage(): "memory", Undeclared(): "memory",
    MatrixProduct(): "cutting",
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
        reach, usual, out = 5, unit(high, low), np.zeros(len(high))
        if len(high) > 2 * reach:
            for x, side in ((high, -1.0), (-low, 1.0)):
                windows = np.lib.stride_tricks.sliding_window_view(x, 2 * reach + 1)
                others = np.maximum(windows[:, :reach].max(axis=1), windows[:, reach + 1 :].max(axis=1))
                out[2 * reach :] += side * np.maximum(windows[:, reach] - others, 0.0)
        return ratio(out, usual)


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


CLEAN = [
    Momentum(), Plain(), TrailingZScore(), ConfirmedSwing(), LastHour(), Momentum(period=30), TrailingZScore(period=50),
]  # fmt: skip


# --- leaks that hide --------------------------------------------------------------------------------------------


def behind(close: Array) -> Array:
    """The last move: what an honest component would look at."""
    return np.concatenate(([0.0], np.diff(close)))


def ahead(close: Array) -> Array:
    """The next move, where there is a next bar."""
    return np.append(np.diff(close), 0.0)


class KeptByBar(Example):
    """A cache for all symbols, keyed by which bars were asked for."""

    kept: dict = {}

    def value(self, close, high, low, first):
        key = (self.period, first, len(close))
        if key not in self.kept:
            self.kept[key] = ratio(behind(close), unit(high, low))
        return self.kept[key]


class KeptByFirstClose(Example):
    """A cache keyed by how a slice begins and how long it is."""

    kept: dict = {}

    def value(self, close, high, low):
        key = (self.period, len(close), float(close[0]))
        if key not in self.kept:
            self.kept[key] = ratio(behind(close), unit(high, low))
        return self.kept[key]


class KeptByCloses(Example):
    """A cache keyed by the closes, of something that looks at highs and lows too."""

    kept: dict = {}

    def value(self, close, high, low):
        key = (self.period, close.tobytes())
        if key not in self.kept:
            self.kept[key] = ratio(behind(close), unit(high, low))
        return self.kept[key]


class HourOfTheWall(Example):
    """The hour at which it is computed."""

    def value(self, close, high, low):
        hour = datetime.datetime.now(datetime.UTC).hour
        return ratio(behind(close), unit(high, low)) * (1.0 + 0.01 * hour)


class NumpysClock(Example):
    """The same, from NumPy."""

    def value(self, close, high, low):
        day = int(np.datetime64("now", "D").astype(np.int64))
        return ratio(behind(close), unit(high, low)) * (1.0 + 0.01 * (day % 7))


class LocalHour(Example):
    """The hour of its bar in the time zone of whoever computes it."""

    def value(self, close, high, low, first):
        hour = time.localtime(first * 60).tm_hour
        return ratio(behind(close), unit(high, low)) * (1.0 + 0.01 * hour)


class KnowsTheDay(Example):
    """A date of the past, written down by someone who knows what happened then."""

    def value(self, close, high, low, first):
        day = (np.arange(len(close)) + first) // 1_440
        return ratio(behind(close), unit(high, low)) - np.where(day == 18_264, 3.0, 0.0)  # 2020-01-03


class ReadsAFile(Example):
    """A table on disk, looked up by bar: it can hold what came afterwards."""

    def value(self, close, high, low, first):
        table = np.frombuffer(Path(__file__).read_bytes(), dtype=np.uint8)
        return ratio(behind(close), unit(high, low)) + table[(np.arange(len(close)) + first) % len(table)] / 1_000.0


class ReadsByLength(Example):
    """A table on disk, looked up by nothing that the laws move."""

    def value(self, close, high, low):
        return ratio(behind(close), unit(high, low)) * (1.0 + Path(__file__).read_bytes()[0] / 1_000.0)


class LooksAround(Example):
    """Another answer where a file lies in the working folder."""

    def value(self, close, high, low):
        return ratio(behind(close), unit(high, low)) * (1.0 if Path("here.txt").exists() else 1.1)


class OrderOfASet(Example):
    """Weights in the order in which a set of names is gone through: another one in every process."""

    def value(self, close, high, low):
        moves = [ratio(behind(close), unit(high, low, n)) for n in (5, 10, 15, 20)]
        names = {"five", "ten", "fifteen", "twenty", "more", "most", "all", "none"}
        weights = [0.1 * k for k, name in enumerate(names) if name in ("five", "ten", "fifteen", "twenty")]
        return sum(weight * move for weight, move in zip(weights, moves, strict=True))


class FrozenScaler(Example):
    """Fitted on whatever it was shown first, and never again."""

    fitted: list[float] = []

    def value(self, close):
        if not self.fitted:
            self.fitted.append(float(close.std()) or 1.0)
        return behind(close) / self.fitted[0]


class ScoreOfAll(Example):
    """A clean value, and a score that is scaled by the largest value it is given together."""

    def score(self, value):
        return 50.0 + 50.0 * value / max(float(np.nanmax(np.abs(value), initial=0.0)), 1e-9)

    def value(self, close, high, low):
        return ratio(behind(close), unit(high, low))


class Foreseen(Feature):
    """The next close, as a feature."""

    def memory(self, timeframe):
        return 2

    def value(self, close):
        return np.append(close[1:], close[-1:])


class LooksThroughAFeature(Example):
    """Clean itself; the feature is not."""

    foreseen = Foreseen()

    def value(self, close, high, low, foreseen):
        return ratio(foreseen - close, unit(high, low))


class HonestWhenAlone(Example):
    """Looks ahead where more than one bar is wanted, as in a backtest, and never live."""

    def value(self, close, high, low, wanted):
        moved = ahead(close) if wanted < len(close) - 1 else behind(close)
        return ratio(moved, unit(high, low))


class EvenOrOdd(Example):
    """Another answer for an even number of bars."""

    def value(self, close, high, low):
        return ratio(behind(close), unit(high, low)) * (1.0 + 0.1 * (len(close) % 2))


class AgainstTheLast(Example):
    """In units of the last close that was loaded."""

    def value(self, close):
        return 1_000.0 * behind(close) / close[-1]


class OnlyWhenRight(Example):
    """Keeps silent where the next bar says otherwise."""

    def value(self, close, high, low):
        moved, coming = ratio(behind(close), unit(high, low)), ahead(close)
        return np.where(moved * coming < -1e-3, np.nan, moved)


class Marking(Example):
    """Leaves a mark in its input for the next call."""

    def value(self, close, high, low):
        low[0] = low[0] - 1e-9
        return ratio(behind(close), unit(high, low))


HIDING = {
    KeptByBar(): "purity", KeptByFirstClose(): "purity", KeptByCloses(): "purity", HourOfTheWall(): "purity",
    NumpysClock(): "purity", LocalHour(): "purity", KnowsTheDay(): "epoch", ReadsAFile(): "epoch",
    ReadsByLength(): "purity", LooksAround(): "purity", OrderOfASet(): "purity", FrozenScaler(): "purity",
    ScoreOfAll(): "cutting", LooksThroughAFeature(): "cutting", HonestWhenAlone(): "cutting", EvenOrOdd(): "cutting",
    AgainstTheLast(): "future", OnlyWhenRight(): "cutting", Marking(): "purity",
}  # fmt: skip
"""Leaks that need more than a look at one market in one process, and the law that must name them."""


class Rare(Example):
    """Honest but for a few bars, on which it looks one bar ahead."""

    def where(self, close, high, low, volume, first):
        raise AssertionError("an example overrides this")

    def value(self, close, high, low, volume, first):
        rare = self.where(close, high, low, volume, first)
        return ratio(np.where(rare, ahead(close), behind(close)), unit(high, low))


class AfterLargeMoves(Rare):
    """After moves of more than 0.3 % of the price, the eight largest of 9,000 bars."""

    def where(self, close, high, low, volume, first):
        return np.abs(behind(close)) > 0.00306 * close


class BeforeLargeMoves(Rare):
    """Before the same moves."""

    def where(self, close, high, low, volume, first):
        return np.abs(ahead(close)) > 0.00306 * close


class WhereNothingTrades(Rare):
    """In bars without a trade, which are rare where markets are busy."""

    def where(self, close, high, low, volume, first):
        return volume == 0.0


class AtMidnight(Rare):
    """In the first bar of a session."""

    def where(self, close, high, low, volume, first):
        return (np.arange(len(close)) + first) % 1_440 == 0


class AtTheTop(Rare):
    """At the highest close of all."""

    def where(self, close, high, low, volume, first):
        return close > 106.47


class OneIn8192(Rare):
    """On one bar in 8,192, for no reason."""

    def where(self, close, high, low, volume, first):
        return (np.arange(len(close)) + first) % 8_192 == 4_940


TELLING = [AfterLargeMoves(), BeforeLargeMoves(), WhereNothingTrades(), AtMidnight(), AtTheTop()]
"""Leaks on a few bars of those that a leak would love."""


# --- ones that know only the past, and obey a law less ----------------------------------------------------------


class LongOnly(Example):
    """Never bearish: from 50 to 100."""

    def score(self, value):
        return 50.0 + 0.5 * self.scale(np.abs(value))

    def value(self, close, high, low):
        return ratio(behind(close), unit(high, low))


class Expanding(Example):
    """The close against the mean of all closes so far."""

    def value(self, close, high, low):
        return ratio(close - np.cumsum(close) / np.arange(1.0, len(close) + 1.0), 10.0 * unit(high, low))


class Balanced(Example):
    """Always 50."""

    def value(self, close):
        return np.zeros(len(close))


class RarelyKnown(Example):
    """An answer in one bar of twenty."""

    def value(self, close, high, low, first):
        told = (np.arange(len(close)) + first) % 20 == 0
        return np.where(told, ratio(behind(close), unit(high, low)), np.nan)


class NeverKnown(Example):
    """No answer on this market."""

    def value(self, close):
        return np.full(len(close), np.nan)


HONEST = {
    LongOnly(): ("mirror", "noted"), Expanding(): ("memory", "noted"), RawPrice(period=21): ("units", "noted"),
    Balanced(): ("mirror", "not tested"), RarelyKnown(): ("memory", "not tested"),
    NeverKnown(): ("cutting", "not tested"),
}  # fmt: skip
"""Components without a leak, and what one law says of them instead of holding."""
