"""Ideas that the page of the demo shows with their code: what stands there is this file, as it runs."""

from __future__ import annotations

import numpy as np
import talib

import virtuoso as vt


class Tilt(vt.Component):
    """How far the price has come in two hours, in ATR."""

    title, source = "Tilt", "an idea"
    scale = vt.Squash(half=3.0)
    bands = {60: "tilted up", 40: "level", 0: "tilted down"}
    period: int = vt.Int(24, low=2, high=200)
    atr = vt.ATR()

    def value(self, close, atr):
        n, moved = self.period, np.full(len(close), np.nan)
        moved[n:] = close[n:] - close[:-n]
        return vt.ratio(moved, atr)


class PeekingTilt(Tilt):
    """Tilt, read one bar too early."""

    def value(self, close, atr):
        tilt = super().value(close, atr)
        tilt[:-1] = tilt[1:].copy()  # of bar t + 1, at bar t
        return tilt


class TradeSize(vt.Component):
    """A trade of the last hour, beside one of the last day."""

    title, source = "Trade size", "an idea"
    scale = vt.Linear(zero=0.8, hundred=1.2)
    bands = {60: "larger", 40: "as usual", 0: "smaller"}
    period: int = vt.Int(288, low=48, high=600)

    def value(self, volume, trades):
        hour, day = self.period // 24, self.period
        now = talib.SUM(volume, hour) / talib.SUM(trades, hour)
        usual = talib.SUM(volume, day) / talib.SUM(trades, day)
        return vt.ratio(now, usual)


class Coin(vt.Component):
    """Digits of the volume that mean nothing."""

    title, source = "Coin", "a coin"
    scale = vt.Linear(zero=0.0, hundred=1.0)
    bands = {0: "tossed"}

    def value(self, volume):
        return (volume * 7919.0) % 1.0


class EmaCross(vt.Strategy):
    """Long while the fast average is above the slow one."""

    fast: int = vt.Int(48, low=6, high=144)
    slow: int = vt.Int(288, low=24, high=1440)

    def decide(self, close):
        fast = talib.EMA(close, self.fast)
        slow = talib.EMA(close, self.slow)
        return np.where(fast > slow, 1.0, 0.0)


class FollowSize(vt.Strategy):
    """Long while trades are larger than usual, short while they are smaller."""

    size = TradeSize()
    away: float = vt.Float(38.0, low=2.0, high=40.0)

    def decide(self, size):
        large, small = size > 50.0 + self.away, size < 50.0 - self.away
        return np.where(large, 1.0, np.where(small, -1.0, np.nan))
