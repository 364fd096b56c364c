"""What else might have been: fans of the equity, of the same trades in other orders and of histories of its own days.

1. *Other orders*: the closed trades by lot one after another, each gaining the share of the equity that it gained. They
   end where the run ended, by other ways. It takes trades not to know of each other.
2. *Drawn days*: whole days in blocks (stationary bootstrap), so that what follows a day within a block still does. How
   much of the result, and of its max drawdown, was the luck of these days.

A strategy that is scored and traded again on drawn bars is `stress.paths`, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import LEAST_DAYS
from virtuoso.clock import Env
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.research.validation.overfitting import LEAST_TRADES
from virtuoso.research.validation.stress import picked
from virtuoso.types import Array

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DRAWS = 1_000
AT_ONCE = 2_000_000
"""Values of resampled trades that are held at once."""
MOST_STEPS = 200
"""Places along the way at which a fan is kept."""


@dataclass(frozen=True, slots=True)
class Interval:
    """How far a figure spreads over draws: its 5 %, 50 % and 95 % quantiles, and the real one."""

    low: float
    middle: float
    high: float
    real: float


@dataclass(frozen=True)
class Fan:
    """Quantiles of the equity of many draws along the way, as multiples of what it began with.

    Attributes
    ----------
    draws : int
    block : int
        Mean days of a block; 1 where there are none.
    steps : array of int64, shape (n_steps,)
        Trades or days that have passed.
    bands : Array, shape (5, n_steps)
        At QUANTILES.
    real : Array, shape (n_steps,)
    fall : Interval
        Max drawdown from the peak.
    losing : float, 0..1
        Share of the draws that end below their beginning.
    """

    draws: int
    block: int
    steps: NDArray[np.int64]
    bands: Array
    real: Array
    fall: Interval
    losing: float

    def told(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            "draws": self.draws, "block": self.block, "steps": self.steps.tolist(), "bands": self.bands.tolist(),
            "real": self.real.tolist(), "fall": asdict(self.fall), "losing": self.losing,
        }  # fmt: skip


def shares(pnl: Array, entry_numbers: NDArray[np.int64], done: PortfolioRun) -> Array:
    """Gain of each trade as a share of the equity before its entry, shape (n_trades,)."""
    before = np.concatenate(([done.account.cash], done.equity))[entry_numbers - done.panel.first]
    gained: Array = pnl / before
    return gained


def other_orders(gained: Array, draws: int = DRAWS, env: Env | None = None) -> Fan | None:
    """Put trades in other orders.

    Parameters
    ----------
    gained : Array, shape (n_trades,)
        Gain of each closed trade as a share of the equity, in the order in which they ended.
    draws : int
    env : Env, optional
        Seeded with 0 if absent.

    Returns
    -------
    Fan or None
        None of fewer than LEAST_TRADES trades.
    """
    if len(gained) < LEAST_TRADES:
        return None
    random = (env or Env(seed=0)).random()
    return _fan(gained, draws, 1, lambda n: random.permuted(np.broadcast_to(gained, (n, len(gained))), axis=1))


def drawn_days(daily: Array, draws: int = DRAWS, env: Env | None = None) -> Fan | None:
    """Put histories together from blocks of days, a third root of all days long in the mean.

    Parameters
    ----------
    daily : Array, shape (n_days,)
        Returns of whole days.
    draws : int
    env : Env, optional
        Seeded with 0 if absent.

    Returns
    -------
    Fan or None
        None of fewer than LEAST_DAYS days.
    """
    if len(daily) < LEAST_DAYS:
        return None
    random, block = (env or Env(seed=0)).random(), max(round(len(daily) ** (1.0 / 3.0)), 1)
    return _fan(daily, draws, block, lambda n: np.stack([daily[picked(len(daily), block, random)] for _ in range(n)]))


def _fan(gained: Array, draws: int, block: int, draw: Callable[[int], Array]) -> Fan:
    steps = np.unique(np.linspace(0, len(gained), min(len(gained), MOST_STEPS) + 1).round().astype(np.int64))
    at_once = max(AT_ONCE // len(gained), 1)
    ways, falls = [], []
    for start in range(0, draws, at_once):
        drawn = draw(min(at_once, draws - start))
        ways.append(_way(drawn)[:, steps])
        falls.append(_deepest(drawn))
    way, real = np.concatenate(ways), _way(gained[None, :])[0]
    low, middle, high = np.quantile(np.concatenate(falls), (0.05, 0.5, 0.95))
    fall = Interval(float(low), float(middle), float(high), float(_deepest(gained[None, :])[0]))
    losing = float((way[:, -1] < 1.0).mean())
    return Fan(draws, block, steps, np.quantile(way, QUANTILES, axis=0), real[steps], fall, losing)


def _way(gained: Array) -> Array:
    """Equity before the first and after each gain, as multiples of the beginning, shape (n, 1 + n_gains)."""
    begin = np.ones((len(gained), 1))
    return np.concatenate((begin, np.cumprod(1.0 + gained, axis=1)), axis=1)


def _deepest(gained: Array) -> Array:
    """Max drawdown from the peak of rows of gains, 0 or negative."""
    way = _way(gained)
    falls: Array = (way / np.maximum.accumulate(way, axis=1)).min(axis=1) - 1.0
    return falls
