"""Moves: what prices did after a bar, and how much they were known to move at its close.

1. The forward return of bar t runs from the open of bar t + 1, where a decision at the close of t first acts, to the
   close one hold later.
2. The deviation of bar t is that of the returns of the bars before it and its own: what is known at its close. A hold
   of n bars is expected to move by its root of n.
3. Where prices are not known, and over the beginning of another instrument of the same name, neither is known.
"""

from __future__ import annotations

import numpy as np

from virtuoso.account.costs import DAY_MS
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import BREAK, is_published
from virtuoso.prism.features.windows import KNOWN_SHARE, wsum
from virtuoso.types import Array

BP = 1e4
CLIP = 3.0
"""Deviations at which a scaled return is clipped: one crash should not decide what a score knows."""
SPAN_MS = 7 * DAY_MS
"""Whose returns tell how much a day moves; LEAST_PERIOD bars where these are more."""
LEAST_PERIOD = 100
"""Bars whose returns tell the deviation, at least."""
PERIOD_HOLDS = 20
"""As many holds, where that is more: a deviation that lasts as long as what is held."""


def forward_returns(bars: Bars, start: int, n: int, horizon: int) -> Array:
    """Return in bp from the open of bar t + 1 to the close of bar t + horizon.

    Parameters
    ----------
    bars : Bars
    start, n : int
        Number of the first bar t, and how many.
    horizon : int, bars

    Returns
    -------
    Array, shape (n,)
        NaN where one of the two prices is not known or lies outside the stretch, or where another instrument begins
        under the same name before the second.
    """
    here = slice(start - bars.first, start - bars.first + n)
    state = bars.state[here]
    known = is_published(state)
    bought = np.where(known, bars.columns["open"][here], np.nan)
    sold = np.where(known, bars.columns["close"][here], np.nan)
    gained = np.full(n, np.nan)
    if n > horizon:
        breaks = np.cumsum(state == BREAK)
        of_one = breaks[horizon:] == breaks[: n - horizon]
        returned = BP * (sold[horizon:] / bought[1 : n - horizon + 1] - 1.0)
        gained[: n - horizon] = np.where(of_one, returned, np.nan)
    return gained


def period_of_hold(horizon: int) -> int:
    """How many bars tell the deviation of a hold of so many bars."""
    return max(PERIOD_HOLDS * horizon, LEAST_PERIOD)


def deviations(bars: Bars, start: int, n: int, period: int) -> Array:
    """Root mean square of the last `period` returns from close to close, in bp a bar.

    Parameters
    ----------
    bars : Bars
    start, n : int
        Number of the first bar t, and how many.
    period : int, bars

    Returns
    -------
    Array, shape (n,)
        NaN where fewer than KNOWN_SHARE of the returns are known, or none of them moved. Uses bars up to t only.

    Notes
    -----
    About 0 and not about the mean: over a few hundred bars the mean is noise, and what drifts also moves.
    """
    first = max(start - period, bars.first)
    here = slice(first - bars.first, start - bars.first + n)
    close = np.where(is_published(bars.state[here]), bars.columns["close"][here], np.nan)
    returns = np.full(len(close), np.nan)
    returns[1:] = BP * (close[1:] / close[:-1] - 1.0)
    returns[bars.state[here] == BREAK] = np.nan
    known = np.isfinite(returns)
    squares = wsum(np.where(known, returns * returns, 0.0), period, first)
    counts = wsum(known.astype(np.float64), period, first)
    enough = (counts >= KNOWN_SHARE * period) & (squares > 0.0)
    found = np.full(len(close), np.nan)
    np.divide(squares, counts, out=found, where=enough)
    deviation: Array = np.sqrt(found)[start - first :]
    return deviation


def daily_deviations(bars: Bars, start: int, n: int) -> Array:
    """Deviation of a day's return as known at the close of each bar, by the bars of the last SPAN_MS, as a share.

    Parameters
    ----------
    bars : Bars
    start, n : int
        Number of the first bar, and how many.

    Returns
    -------
    Array, shape (n,)
        NaN where it is not known, see `deviations`. Uses bars up to each only.
    """
    ms = bars.timeframe.ms
    of_bar = deviations(bars, start, n, max(SPAN_MS // ms, LEAST_PERIOD))
    of_day: Array = of_bar / BP * np.sqrt(DAY_MS / ms)
    return of_day


def scaled(moves: Array, deviation: Array) -> Array:
    """Moves in their deviations, clipped at CLIP; NaN where either is not known."""
    with np.errstate(invalid="ignore"):
        return np.clip(moves / deviation, -CLIP, CLIP)
