"""Strategies as functions of frames: lies that know of later bars, and honest ones that look as good as they can.

They live in a module of their own so that another process can import them.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from tests.builders import START
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.laws.pristine import pristine

NAN = float("nan")
DAY = 24


@dataclass(frozen=True)
class Function:
    """A function of frames as a strategy."""

    function: Callable

    def orders(self, frames):
        return self.function(frames)

    def __deepcopy__(self, memo):
        return Function(pristine(self.function))


def market(n=2_400, count=1, seed=3, step=0.004, timeframe="1h", bounce=0.0, common=0.0):
    """Prices without memory, but for a bounce from bar to bar; some of each step is common to all."""
    random = np.random.default_rng(seed)
    clock, shared = Timeframe(timeframe), random.standard_normal(n)
    frames = {}
    for name in ("AAAUSDT", "BBBUSDT", "CCCUSDT")[:count]:
        drawn = np.sqrt(common) * shared + np.sqrt(1.0 - common) * random.standard_normal(n)
        walked = np.cumsum(step * drawn) + bounce * random.standard_normal(n)
        close = 100.0 * np.exp(walked)
        open_ = np.concatenate(([100.0], close[:-1]))
        reach = np.exp(np.abs(random.normal(0.0, step / 2.0, (2, n))))
        columns = {
            "open": open_,
            "high": np.maximum(open_, close) * reach[0],
            "low": np.minimum(open_, close) / reach[1],
            "close": close,
            "volume": random.uniform(1.0, 2.0, n),
        }
        times = (START * 60_000 // clock.ms + np.arange(n)) * clock.ms
        instrument = Instrument("binance-usdm", name)
        frames[instrument] = MarketFrame(instrument, Bars.from_rows(clock, times, columns, GapPolicy("cut", 5)))
    return frames


def orders(frame, at, side, stop=0.2, **more):
    """Orders at the market at some positions; the stop lies so far away, a share of the price, or where it is said."""
    at = np.asarray(at, dtype=np.int64)
    made = np.zeros(len(at), INTENT)
    close = frame.base.columns["close"][at]
    made["number"], made["side"], made["price"] = frame.base.first + at, side, close
    made["entry"], made["target"], made["expires"] = NAN, NAN, made["number"] + 1
    made["stop"] = np.where(made["side"] != 0, close * (1.0 - stop * made["side"]), NAN)
    made["reliability"] = 0.5
    for name, values in more.items():
        if name == "target":
            made["target"][:, 0], made["size"][:, 0] = values, 1.0
        else:
            made[name] = values
    return made


def later(values, bars):
    """The values of so many bars later; the last one where there are no more."""
    at = np.minimum(np.arange(len(values)) + bars, len(values) - 1)
    return values[at]


def days_that_persist(persistence, days=700, seed=1):
    """One market whose days go the way of the day before with some probability; inside a day it walks at random."""
    random = np.random.default_rng(seed)
    walked = 0.006 * random.standard_normal((days, DAY))
    way = np.cumprod(np.where(random.random(days) < persistence, 1.0, -1.0))
    walked *= (way * np.sign(walked.sum(axis=1)))[:, None]
    close = 100.0 * np.exp(np.cumsum(walked.ravel()))
    open_ = np.concatenate(([100.0], close[:-1]))
    columns = {"open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close), "close": close}
    columns["volume"] = np.ones(len(close))
    clock, instrument = Timeframe("1h"), Instrument("binance-usdm", "AAAUSDT")
    times = (START * 60_000 // 86_400_000 * DAY + np.arange(len(close))) * clock.ms
    return {instrument: MarketFrame(instrument, Bars.from_rows(clock, times, columns, GapPolicy("cut", 5)))}


def follow_the_day(frames):
    """At each midnight, go the way of the day that ends."""
    made = {}
    for name, frame in frames.items():
        close = frame.base.columns["close"]
        at = np.arange(2 * DAY - 1, len(close), DAY)
        side = np.sign(close[at] - close[at - DAY])
        made[name] = orders(frame, at, side, stop=0.06, target=close[at] * (1.0 + 0.12 * side))
    return made


def each(decide):
    """Decide on each frame by itself."""

    def together(frames):
        return {name: decide(frame) for name, frame in frames.items()}

    return together


def closes(frame):
    return frame.base.columns["close"]


def in_and_out(frame, at, side, hold, **more):
    """Enter at some positions and be out so many bars later."""
    last = len(frame.base)
    at, side = np.asarray(at), np.asarray(side)
    entries = orders(frame, at, side, **more)
    exits = orders(frame, (at + hold)[at + hold < last], 0)
    made = np.concatenate((entries, exits))
    return made[np.argsort(made["number"], kind="stable")]


def momentum_side(frame, at, bars=5):
    close = closes(frame)
    at = np.asarray(at)
    return np.where(close[at] >= close[np.maximum(at - bars, 0)], 1, -1)


# lies


def once_in_48(frames):
    """Honest at three of four places; at every 48th bar it goes where the next twelve go."""

    def decide(frame):
        close, at = closes(frame), np.arange(36, len(frame.base), 12)
        ahead = np.where(later(close, 12)[at] >= close[at], 1, -1)
        side = np.where(at % 48 == 0, ahead, momentum_side(frame, at))
        made = orders(frame, at, side)
        made["reliability"] = np.where(at % 48 == 0, 0.9, 0.1)
        return made

    return each(decide)(frames)


def once_in_48_alone(frames):
    """Every 48th bar goes where the next twelve go, and out again."""

    def decide(frame):
        close, at = closes(frame), np.arange(48, len(frame.base), 48)
        return in_and_out(frame, at, np.where(later(close, 12)[at] >= close[at], 1, -1), 12)

    return each(decide)(frames)


def once_in_48_winners(frames):
    """Every 48th bar, where the next twelve go far enough to pay for it."""

    def decide(frame):
        close, at = closes(frame), np.arange(48, len(frame.base), 48)
        gain = later(close, 12)[at] / close[at] - 1.0
        pays = np.abs(gain) > 0.004
        return in_and_out(frame, at[pays], np.sign(gain[pays]), 12)

    return each(decide)(frames)


def at_the_coming_low(frames):
    """Buys at the low of the next bar, and is out at the bar after."""

    def decide(frame):
        low, at = frame.base.columns["low"], np.arange(10, len(frame.base) - 1, 4)
        return in_and_out(frame, at, np.ones(len(at)), 1, entry=later(low, 1)[at] * (1.0 + 1e-12))

    return each(decide)(frames)


def best_of_tomorrow(frames):
    """Holds the one of them that gains most on the next day."""
    names, n = sorted(frames), min(len(frame.base) for frame in frames.values())
    at = np.arange(DAY, n, DAY)
    gains = np.array([later(closes(frames[name]), DAY)[at] / closes(frames[name])[at] for name in names])
    best = gains.argmax(axis=0)
    return {name: orders(frames[name], at, np.where(best == k, 1, 0)) for k, name in enumerate(names)}


def through_another(frames):
    """The first goes where the second goes tomorrow; they move together."""
    one, two = (frames[name] for name in sorted(frames)[:2])
    n = min(len(one.base), len(two.base))
    at = np.arange(DAY, n, DAY)
    side = np.where(later(closes(two), DAY)[at] >= closes(two)[at], 1, -1)
    return {one.instrument: orders(one, at, side)}


def through_another_backwards(frames):
    """The same the other way round: the second knows the first."""
    one, two = sorted(frames)[:2]
    turned = through_another({Instrument("x", "A"): frames[two], Instrument("x", "B"): frames[one]})
    return dict(turned)


def a_day_apart(frames):
    """One order in 288 bars; one in three of them knows the next day."""

    def decide(frame):
        close, at = closes(frame), np.arange(288, len(frame.base), 288)
        ahead = np.where(later(close, 288)[at] >= close[at], 1, -1)
        return orders(frame, at, np.where(at // 288 % 3 == 0, ahead, momentum_side(frame, at)))

    return each(decide)(frames)


def _honest_places(frame):
    return np.arange(30, len(frame.base), 7)


def stops_beyond_the_coming_low(frames):
    def decide(frame):
        at = _honest_places(frame)
        windows = np.array([frame.base.columns["low"][t + 1 : t + 8].min(initial=closes(frame)[t]) for t in at])
        made = orders(frame, at, 1)
        made["stop"] = windows * 0.999
        return made

    return each(decide)(frames)


def targets_at_the_coming_high(frames):
    def decide(frame):
        at = _honest_places(frame)
        windows = np.array([frame.base.columns["high"][t + 1 : t + 8].max(initial=closes(frame)[t]) for t in at])
        return orders(frame, at, 1, target=windows)

    return each(decide)(frames)


def sized_by_the_outcome(frames):
    def decide(frame):
        at, close = _honest_places(frame), closes(frame)
        gain = later(close, 6)[at] / close[at] - 1.0
        return orders(frame, at, 1, reliability=np.clip(0.5 + 20.0 * gain, 0.0, 1.0))

    return each(decide)(frames)


def expiring_by_the_outcome(frames):
    def decide(frame):
        at, close = _honest_places(frame), closes(frame)
        made = orders(frame, at, 1, entry=close[at] * 0.998)
        made["expires"] = made["number"] + np.where(later(close, 6)[at] > close[at], 6, 1)
        return made

    return each(decide)(frames)


def left_out_if_it_loses(frames):
    """Drops the orders that will lose; what it cannot know yet it keeps."""

    def decide(frame):
        at, close = _honest_places(frame), closes(frame)
        side = momentum_side(frame, at)
        known = at + 6 < len(close)
        loses = known & (side * (later(close, 6)[at] - close[at]) < 0.0)
        return orders(frame, at[~loses], side[~loses])

    return each(decide)(frames)


def only_before_large_moves(frames):
    """Knows nothing of the direction, but when it will be wild; what it cannot know yet it keeps."""

    def decide(frame):
        at, close = _honest_places(frame), closes(frame)
        wild = (at + 1 >= len(close)) | (np.abs(later(close, 1)[at] / close[at] - 1.0) > 0.004)
        return orders(frame, at[wild], 1)

    return each(decide)(frames)


def at_the_best_hour(frames):
    """Trades at the hour of the day that paid most over the whole history."""

    def decide(frame):
        close = closes(frame)
        n = len(close) // DAY * DAY
        gains = np.diff(np.log(close[:n]), append=np.log(close[n - 1])).reshape(-1, DAY).mean(axis=0)
        return orders(frame, np.arange(int(gains.argmax()) + DAY, len(close), DAY), 1)

    return each(decide)(frames)


def scaled_by_all_of_it(frames):
    def decide(frame):
        close, at = closes(frame), _honest_places(frame)
        return orders(frame, at, np.where(close[at] < close.mean() - 0.2 * close.std(), 1, -1))

    return each(decide)(frames)


def fitted_to_all_of_it(frames):
    """A regression of the next return on the last one, fitted once to everything."""

    def decide(frame):
        moved = np.diff(np.log(closes(frame)), prepend=np.log(closes(frame)[0]))
        slope = float(moved[:-1] @ moved[1:] / (moved @ moved))
        at = _honest_places(frame)
        return orders(frame, at, np.where(moved[at] * slope > 0.0, 1, -1), score=50.0 + 1e4 * slope * moved[at])

    return each(decide)(frames)


def told_by_the_last_close(frames):
    def decide(frame):
        close, at = closes(frame), _honest_places(frame)
        return orders(frame, at, np.where(close[-1] > close[at], 1, -1))

    return each(decide)(frames)


def told_by_the_length(frames):
    """Cheats only in a history as long as that of the backtest, and only far from its end."""

    def decide(frame):
        close, at = closes(frame), _honest_places(frame)
        ahead = np.where(later(close, 6)[at] > close[at], 1, -1)
        cheats = (len(close) - at > 100) & (len(close) >= 1_200)
        return orders(frame, at, np.where(cheats, ahead, momentum_side(frame, at)))

    return each(decide)(frames)


def after_the_largest_moves(frames):
    """Honest but after the eight largest moves of all."""

    def decide(frame):
        close, at = closes(frame), np.arange(30, len(frame.base))
        moved = np.abs(np.diff(np.log(close), prepend=np.log(close[0])))
        largest = np.argsort(-moved)[:8]
        ahead = np.where(later(close, 1)[at] > close[at], 1, -1)
        return orders(frame, at, np.where(np.isin(at, largest), ahead, momentum_side(frame, at)))

    return each(decide)(frames)


def before_the_best_moves(frames):
    """Honest but at six of thousands of bars: those before the largest moves."""

    def decide(frame):
        close, at = closes(frame), np.arange(30, len(frame.base))
        gain = later(close, 1)[at] / close[at] - 1.0
        return orders(frame, at, np.where(np.abs(gain) > 0.0125, np.sign(gain), momentum_side(frame, at)))

    return each(decide)(frames)


def through_another_clock(frames):
    """Trades hours by the half day, of another market, that has not closed yet."""
    slow, fast = sorted(frames.values(), key=lambda frame: -frame.timeframe.ms)
    at = np.arange(30, len(fast.base), 5)
    now = (fast.base.first + at) * fast.timeframe.ms // slow.timeframe.ms - slow.base.first
    inside = now < len(slow.base)
    side = np.where(closes(slow)[now[inside]] > slow.base.columns["open"][now[inside]], 1, -1)
    return {fast.instrument: orders(fast, at[inside], side)}


def of_another_clock(frames):
    """The same by the half day that has closed."""
    slow, fast = sorted(frames.values(), key=lambda frame: -frame.timeframe.ms)
    at = np.arange(30, len(fast.base), 5)
    seen = (fast.base.first + at + 1) * fast.timeframe.ms // slow.timeframe.ms - 1 - slow.base.first
    side = np.where(closes(slow)[seen] > slow.base.columns["open"][seen], 1, -1)
    return {fast.instrument: orders(fast, at, side)}


def written_into_the_bars(frames):
    """Scales the closes in place by all of them, and trades on what it wrote."""

    def decide(frame):
        close, at = closes(frame), _honest_places(frame)
        close -= close.mean() - 100.0
        return orders(frame, at, np.where(close[at] < 100.0, 1, -1))

    return each(decide)(frames)


_SEEN: dict = {}


def remembering(frames):
    """Looks up what follows in the longest history that it was ever given."""
    made = {}
    for name, frame in frames.items():
        if name not in _SEEN or len(_SEEN[name]) < len(frame.base):
            _SEEN[name] = closes(frame).copy()
        close, at = _SEEN[name], _honest_places(frame)
        made[name] = orders(frame, at, np.where(later(close, 6)[at] > close[at], 1, -1))
    return made


class Remembering:
    """The same, kept in an object."""

    def __init__(self):
        self.seen = {}

    def __call__(self, frames):
        made = {}
        for name, frame in frames.items():
            close = self.seen.setdefault(name, closes(frame).copy())
            at = np.arange(30, min(len(frame.base), len(close)), 7)
            made[name] = orders(frame, at, np.where(later(close, 6)[at] > close[at], 1, -1))
        return made


def remembering_inside():
    """The same, kept in a closure and in a default."""
    seen = {}

    def look(name, close, first=[]):  # noqa: B006  # it is this that is tested
        first.append(seen.setdefault(name, close.copy()))
        return first[0]

    def decide(frames):
        made = {}
        for name, frame in frames.items():
            close = look(name, closes(frame))
            at = np.arange(30, min(len(frame.base), len(close)), 7)
            made[name] = orders(frame, at, np.where(later(close, 6)[at] > close[at], 1, -1))
        return made

    return decide


def counting():
    """A clean one that counts its calls in a closure."""
    calls = [0]

    def decide(frames):
        calls[0] += 1
        return crossing(frames)

    return decide


_FIRST: dict = {}


def frozen_by_the_first(frames):
    """Goes on with what it computed from the first history that it was given."""
    made = {}
    for name, frame in frames.items():
        mean = _FIRST.setdefault(name, float(closes(frame).mean()))
        at = _honest_places(frame)
        made[name] = orders(frame, at, np.where(closes(frame)[at] < mean, 1, -1))
    return made


_RANDOM = np.random.default_rng(5)


def by_lot(frames):
    return each(lambda frame: orders(frame, at := _honest_places(frame), _RANDOM.choice([-1, 1], len(at))))(frames)


def by_the_clock(frames):
    day = int(time.time() // 86_400)
    return each(lambda frame: orders(frame, at := _honest_places(frame), np.where((at + day) % 8 < 4, 1, -1)))(frames)


def surroundings():
    """What a process sees that no strategy should look at: day by two clocks, hour, and the hash of a word."""
    return {
        "day": int(time.time() // 86_400),
        "date": datetime.now().toordinal(),  # noqa: DTZ005  # as users write it
        "dated": dt.datetime.today().toordinal(),  # noqa: DTZ002
        "hour": time.gmtime().tm_hour,
        "hash": hash("AAAUSDT"),
    }


def dated_ahead(frames):
    """Orders at bars that have not come."""

    def decide(frame):
        made = orders(frame, at := _honest_places(frame), 1)
        made["number"] = frame.base.first + at
        ahead = made[-1:].copy()
        ahead["number"] = max(int(ahead["number"][0]) + 1_000, 0)
        return np.concatenate((made, ahead))

    return each(decide)(frames)


# honest


def crossing(frames):
    """Simple moving averages by cumulated sums."""

    def decide(frame):
        close = closes(frame)
        summed = np.concatenate(([0.0], np.cumsum(close)))
        fast = (summed[20:] - summed[:-20])[30:] / 20
        slow = (summed[50:] - summed[:-50]) / 50
        side = np.where(fast > slow, 1, -1)
        at = np.flatnonzero(np.diff(side)) + 1
        return orders(frame, at + 49, side[at])

    return each(decide)(frames)


def holding(frames):
    return each(lambda frame: orders(frame, [0], 1))(frames)


def long_only(frames):
    def decide(frame):
        close, at = closes(frame), _honest_places(frame)
        return orders(
            frame, at, np.where(close[at] > close[at - 24], 1, 0), target=np.where(True, close[at] * 1.02, NAN)
        )

    return each(decide)(frames)


def expanding(frames):
    """Scaled by the mean and spread of everything so far."""

    def decide(frame):
        close, n = closes(frame), np.arange(1, len(frame.base) + 1)
        mean = np.cumsum(close) / n
        spread = np.sqrt(np.maximum(np.cumsum(close**2) / n - mean**2, 1e-12))
        at = _honest_places(frame)
        score = (close[at] - mean[at]) / spread[at]
        return orders(frame, at, np.where(score < 0.0, 1, -1), score=50.0 + score)

    return each(decide)(frames)


def convolved(frames):
    """Averages by a transform whose last digits depend on the length of the history."""

    def decide(frame):
        close = closes(frame)
        size = 1 << int(np.ceil(np.log2(len(close) + 24)))
        smooth = np.fft.irfft(np.fft.rfft(close, size) * np.fft.rfft(np.full(24, 1 / 24), size), size)[: len(close)]
        at = _honest_places(frame)
        return orders(frame, at, np.where(close[at] > smooth[at], 1, -1), stop=0.1, score=smooth[at])

    return each(decide)(frames)


def with_pandas(frames):
    import pandas as pd

    def decide(frame):
        close = pd.Series(closes(frame))
        side = np.sign(close.ewm(span=12).mean() - close.rolling(48).mean()).fillna(0.0).to_numpy().astype(int)
        at = np.flatnonzero(np.diff(side)) + 1
        return orders(frame, at, side[at])

    return each(decide)(frames)


def strongest_of_yesterday(frames):
    """Holds the one of them that gained most on the day before."""
    names, n = sorted(frames), min(len(frame.base) for frame in frames.values())
    at = np.arange(DAY, n, DAY)
    gains = np.array([closes(frames[name])[at] / closes(frames[name])[at - DAY] for name in names])
    best = gains.argmax(axis=0)
    return {name: orders(frames[name], at, np.where(best == k, 1, 0)) for k, name in enumerate(names)}


def by_the_session(frames):
    """Enters at eight and leaves at sixteen, by the times of the bars."""

    def decide(frame):
        hours = frame.base.open_times // 3_600_000 % 24
        at = np.flatnonzero((hours == 8) | (hours == 16))
        return orders(frame, at, np.where(hours[at] == 8, 1, 0))

    return each(decide)(frames)


def limits_that_know_nothing(frames):
    """Buys a little below the last close, and sells a little above what it paid."""

    def decide(frame):
        at, close = np.arange(10, len(frame.base) - 1, 4), closes(frame)
        until = frame.base.first + at + 3
        return orders(frame, at, 1, stop=0.006, entry=close[at] * 0.998, expires=until, target=close[at] * 1.003)

    return each(decide)(frames)


def fading(frames):
    """Against the last bar: takes the bounce, which nobody who pays gets."""

    def decide(frame):
        close = closes(frame)
        at = np.arange(1, len(close))
        return orders(frame, at, np.where(close[at] > close[at - 1], -1, 1))

    return each(decide)(frames)


@dataclass(frozen=True)
class Breakout:
    """A strategy with a parameter: long above the highest close of the bars before, out below the lowest."""

    bars: int = 12
    peeks: int = 0

    def orders(self, frames):
        return {name: self.orders_of(frame) for name, frame in frames.items()}

    def orders_of(self, frame):
        close = later(closes(frame), self.peeks)
        before = np.lib.stride_tricks.sliding_window_view(close, self.bars)[:-1]
        above, below = close[self.bars :] > before.max(axis=1), close[self.bars :] < before.min(axis=1)
        wanted = above.astype(np.int8) - below
        at = np.flatnonzero(wanted)
        changed = np.flatnonzero(np.diff(wanted[at], prepend=-1))
        at = at[changed]
        return orders(frame, at + self.bars, np.maximum(wanted[at], 0), stop=0.1)
