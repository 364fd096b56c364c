"""Markets and studies that tests of tuning share: small, hourly, without gaps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from tests.builders import hours
from virtuoso.account.instrument import Instrument
from virtuoso.config import Settings
from virtuoso.market.frame import MarketFrame
from virtuoso.research.tuning.evaluate import Evaluator
from virtuoso.research.tuning.study import Study

CLOCKS = {"1h": 0.5, "4h": 0.3, "1d": 0.2}
TERMS = {"assume_funding": 0.0001, "mark": "last"}


@cache
def settings() -> Settings:
    """Settings whose clocks suit hourly bars, and whose thresholds are reached often."""
    return Settings.load(
        env={}, overrides={"prism.timeframes": CLOCKS, "signals.bull_enter": 58, "signals.bull_leave": 52,
                           "signals.bear_leave": 48, "signals.bear_enter": 42}
    )  # fmt: skip


@cache
def frame(seed: int = 11, bars: int = 2_900, symbol: str = "BTCUSDT") -> MarketFrame:
    """120 days of hourly bars."""
    made = hours(seed, bars)
    return MarketFrame(Instrument("simulated", symbol), made.base)


def until(given: MarketFrame, stop: int) -> MarketFrame:
    """The same market as it is known at a bar."""
    return MarketFrame(given.instrument, given.base.until(stop))


def changed_after(given: MarketFrame, stop: int, seed: int = 1) -> MarketFrame:
    """The same market with other prices and volumes from a bar on."""
    base, factor = given.base, np.ones(len(given.base))
    at = stop - base.first
    factor[at:] = np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.02, len(base) - at)))
    columns = {
        name: values * factor if name in ("open", "high", "low", "close", "volume") else values
        for name, values in base.columns.items()
    }
    return MarketFrame(given.instrument, replace(base, columns=columns))


def study(**changed) -> Study:
    """A small study of the shipped rule."""
    plain = {
        "name": "small", "market": {"symbols": "BTCUSDT"},
        "search": {"weights": True, "thresholds": ["enter", "leave"]},
        "walk_forward": {"splits": 2, "least": "30d"}, "trials": 30, "generation": 8, "least_trades": 1, "terms": TERMS,
    }  # fmt: skip
    return Study.of({**plain, **changed})


def evaluator(*frames: MarketFrame, **changed) -> Evaluator:
    """A small study over frames of one scenario."""
    return Evaluator.on(study(**changed), settings(), {"all": frames or (frame(),)})


def points(space, n: int, seed: int = 0) -> np.ndarray:
    """The prior, then points anywhere."""
    drawn = space.low + (space.high - space.low) * np.random.default_rng(seed).random((n, len(space)))
    drawn[0] = space.prior
    return drawn
