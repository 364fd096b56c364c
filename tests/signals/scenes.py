"""A market that was scored once, and small charts drawn by hand, for the tests of this room."""

from __future__ import annotations

from functools import cache

import numpy as np

from tests.builders import market
from virtuoso.clock import Span, Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.levels import DEPTH, LevelSnapshot
from virtuoso.signals.settings import LevelSettings, SignalSettings

BLOCK = 64
PRISM = Prism.classic()
SETTINGS = SignalSettings(
    min_coverage=0.1, max_age=Span("1h"), bull_enter=58.0, bull_leave=53.0, bear_leave=47.0, bear_enter=42.0
)
"""Three faces of six, often only their fast timeframes, are known in a market of a few days: thresholds lie wide."""


@cache
def frame() -> MarketFrame:
    return market(seed=21, bars=7_000)


@cache
def scores() -> Scores:
    return score(PRISM, frame(), block=BLOCK)


def until(bars: int) -> MarketFrame:
    """The market as it was known after some bars."""
    whole = frame()
    return whole.until((whole.base.first + bars) * whole.timeframe.ms)


def chart(
    price: float = 100.0, atr: float = 2.0, supports: tuple[float, ...] = (), resistances: tuple[float, ...] = ()
) -> LevelSnapshot:
    """One chart with round numbers."""
    sides = np.full((2, 1, DEPTH), np.nan)
    sides[0, 0, : len(supports)] = supports
    sides[1, 0, : len(resistances)] = resistances
    return LevelSnapshot(Timeframe("30m"), np.array([1_000]), np.array([price]), np.array([atr]), sides[0], sides[1])


def busiest(numbers: np.ndarray, bars: int) -> int:
    """Where the stretch of so many bars begins in which most of the numbers lie, a few bars before the first."""
    count = np.searchsorted(numbers, numbers + bars - 5) - np.arange(len(numbers))
    return int(numbers[count.argmax()]) - 5


PLAIN = LevelSettings(
    stop_buffer=0.25, stop_min=0.5, stop_max=3.0, min_target_r=1.0, target_gap_r=0.5, target_r=(1.5, 2.5, 4.0)
)
