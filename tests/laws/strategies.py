"""Strategies that look ahead, each in a way that is met in notebooks, and beside each its honest twin."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

import virtuoso as vt


class Idea(vt.Strategy):
    """What the examples share."""

    n = vt.Int(20, low=2, high=200)


# --- the next bar -----------------------------------------------------------------------------------------------


class NextClose(Idea):
    def decide(self, close):
        return np.where(pd.Series(close).shift(-1) > close, 1.0, -1.0)


class LastClose(Idea):
    def decide(self, close):
        return np.where(pd.Series(close).shift(1) > close, 1.0, -1.0)


class RolledRound(Idea):
    def decide(self, close):
        return {"entries": np.roll(close, -1) > 1.001 * close, "exits": np.roll(close, -1) < close}


class RolledBack(Idea):
    def decide(self, close):
        before = np.concatenate(([np.nan], close[:-1]))
        return {"entries": close > 1.001 * before, "exits": close < before}


# --- a centred window -------------------------------------------------------------------------------------------


class Centred(Idea):
    def decide(self, close):
        return np.where(close > pd.Series(close).rolling(self.n, center=True).mean(), 1.0, 0.0)


class Trailing(Idea):
    def decide(self, close):
        return np.where(close > pd.Series(close).rolling(self.n).mean(), 1.0, 0.0)


class Gradient(Idea):
    def decide(self, close):
        return np.sign(np.gradient(close)) if len(close) > 1 else np.zeros(len(close))


class Difference(Idea):
    def decide(self, close):
        return np.sign(np.diff(close, prepend=close[0]))


# --- normalised by the whole ------------------------------------------------------------------------------------


class WholeMaximum(Idea):
    def decide(self, close):
        return np.where(close / close.max() > 0.98, 1.0, 0.0)


class RollingMaximum(Idea):
    def decide(self, close):
        return np.where(close / pd.Series(close).rolling(self.n).max() > 0.98, 1.0, 0.0)


class WholeQuantile(Idea):
    def decide(self, close, volume):
        return {"entries": volume > np.quantile(volume, 0.9), "exits": close < np.median(close), "stop": 0.02}


class RollingQuantile(Idea):
    def decide(self, close, volume):
        v, c = pd.Series(volume).rolling(self.n), pd.Series(close).rolling(self.n)
        return {"entries": volume > v.quantile(0.9), "exits": close < c.median(), "stop": 0.02}


# --- a slower bar before it has closed ---------------------------------------------------------------------------


class FormingHour(Idea):
    """The last close of the hour, as a resampled bar has it that is labelled by its open."""

    def decide(self, close, first):
        hour = (first + np.arange(len(close))) // 60
        return np.where(pd.Series(close).groupby(hour).transform("last") > close, 1.0, 0.0)


class ClosedHour(Idea):
    def decide(self, close, first):
        hour = (first + np.arange(len(close))) // 60
        last = pd.Series(close).groupby(hour).last().shift(1)
        return np.where(last.reindex(hour).to_numpy() > close, 1.0, 0.0)


class DayRange(Idea):
    def decide(self, close, high, low, first):
        day = (first + np.arange(len(close))) // 1_440
        top, bottom = (pd.Series(x).groupby(day) for x in (high, low))
        return np.where(close > 0.5 * (top.transform("max") + bottom.transform("min")), 1.0, 0.0)


class DayRangeSoFar(Idea):
    def memory(self, timeframe):
        return 1_441

    def decide(self, close, high, low, first):
        day = (first + np.arange(len(close))) // 1_440
        top, bottom = (pd.Series(x).groupby(day) for x in (high, low))
        return np.where(close > 0.5 * (top.cummax() + bottom.cummin()), 1.0, 0.0)


# --- fitted on the whole ----------------------------------------------------------------------------------------


class WholeScore(Idea):
    def decide(self, close):
        z = (close - close.mean()) / close.std()
        return np.where(z < -1.0, 1.0, np.where(z > 1.0, -1.0, 0.0))


class RollingScore(Idea):
    def decide(self, close):
        rolling = pd.Series(close).rolling(self.n)
        z = (close - rolling.mean()) / rolling.std()
        return np.where(z < -1.0, 1.0, np.where(z > 1.0, -1.0, 0.0))


class WholeRegression(Idea):
    def decide(self, close):
        at = np.arange(len(close))
        slope, level = np.polyfit(at, close, 1) if len(close) > 1 else (0.0, close[0])
        return np.where(close < slope * at + level, 1.0, 0.0)


class RollingRegression(Idea):
    def decide(self, close):
        return np.where(close < talib.LINEARREG(close, self.n), 1.0, 0.0)


# --- memory from call to call -----------------------------------------------------------------------------------


class ListOfTheClass(Idea):
    seen: list[float] = []  # it is this that is tested

    def decide(self, close):
        self.seen.append(float(close.max()))
        return np.where(close < 0.99 * max(self.seen), 1.0, 0.0)


class ListOfTheCall(Idea):
    def decide(self, close):
        seen = []
        for price in close:
            seen.append(price)
        return np.where(close < 0.99 * pd.Series(seen).rolling(self.n).max(), 1.0, 0.0)


class TableOfTheClass(Idea):
    table: dict[int, float] = {}

    def decide(self, close, first):
        self.table.update(zip(range(first, first + len(close)), close.tolist(), strict=True))
        following = [self.table.get(first + i + 1, price) for i, price in enumerate(close.tolist())]
        return np.where(np.array(following) > close, 1.0, 0.0)


class TableOfTheCall(Idea):
    def decide(self, close, first):
        table = dict(zip(range(first, first + len(close)), close.tolist(), strict=True))
        before = [table.get(first + i - 1, price) for i, price in enumerate(close.tolist())]
        return np.where(np.array(before) > close, 1.0, 0.0)


class DefaultOfAFunction(Idea):
    def decide(self, close):
        return np.where(close > _first_of(close), 1.0, 0.0)


class AboveTheOneBefore(Idea):
    def decide(self, close):
        return np.where(close > pd.Series(close).shift(self.n), 1.0, 0.0)


def _first_of(close, kept={}):  # noqa: B006
    return kept.setdefault("highest", float(close.max()))


PAIRS = {
    NextClose: LastClose,
    RolledRound: RolledBack,
    Centred: Trailing,
    Gradient: Difference,
    WholeMaximum: RollingMaximum,
    WholeQuantile: RollingQuantile,
    FormingHour: ClosedHour,
    DayRange: DayRangeSoFar,
    WholeScore: RollingScore,
    WholeRegression: RollingRegression,
    ListOfTheClass: ListOfTheCall,
    TableOfTheClass: TableOfTheCall,
    DefaultOfAFunction: AboveTheOneBefore,
}
"""A strategy that knows later bars or earlier calls, and one that resembles it and knows neither."""
