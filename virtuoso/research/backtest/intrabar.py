"""What happens inside a bar: finer bars tell the order of prices that a slow one hides.

1. A bar of the stage is *told* where all finer bars of its span are known and are the same prices: they open, turn and
   close where it does. The contract then steps through them.
2. A bar that is not told stands as a whole in the first of its finer places and leaves the others empty, which is the
   same to the contract as if there were no finer clock.
3. Decisions, marks of the equity and everything that is reported stay on the clock of the stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import state as s
from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import is_published
from virtuoso.types import Array


@dataclass(frozen=True)
class Intrabar:
    """Finer bars inside those of a stage.

    Attributes
    ----------
    timeframe : Timeframe
    bars : Array, shape (n_bars * every, n_instruments, BAR_COLUMNS)
        As the contract steps through them.
    told : array of bool, shape (n_bars, n_instruments)
        Bars of the stage whose order of prices they tell.
    """

    timeframe: Timeframe
    bars: Array
    told: NDArray[np.bool_]

    @property
    def every(self) -> int:
        """Finer bars in a bar of the stage."""
        return len(self.bars) // max(len(self.told), 1)


def prices_of(frame: MarketFrame, first: int, n: int) -> tuple[Array, NDArray[np.bool_]]:
    """Open, high, low and close of n bars from a number on, and which of them are published.

    Returns
    -------
    Array, shape (n, 4)
        NaN outside the frame.
    array of bool, shape (n,)
    """
    prices, known = np.full((n, 4), np.nan), np.zeros(n, dtype=bool)
    base = frame.base
    start, stop = max(first, base.first), min(first + n, base.end)
    if start >= stop:
        return prices, known
    rows, here = slice(start - first, stop - first), slice(start - base.first, stop - base.first)
    for column, name in enumerate(("open", "high", "low", "close")):
        prices[rows, column] = base.columns[name][here]
    state = base.state[here]
    known[rows] = is_published(state) & (prices[rows] > 0.0).all(axis=1)
    return prices, known


def spread(slow: Array, prices: Array, known: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Put finer bars inside slow ones.

    Parameters
    ----------
    slow : Array, shape (n, BAR_COLUMNS)
        Bars of one instrument, NaN where not known.
    prices : Array, shape (n, every, 4)
        Open, high, low and close of the finer bars.
    known : array of bool, shape (n, every)

    Returns
    -------
    Array, shape (n, every, BAR_COLUMNS)
        Funding is that of the slow bar where it is not told, and 0 elsewhere.
    array of bool, shape (n,)
        Which bars are told.
    """
    same = (
        (prices[:, 0, s.OPEN] == slow[:, s.OPEN]) & (prices[:, :, s.HIGH].max(axis=1) == slow[:, s.HIGH])
        & (prices[:, :, s.LOW].min(axis=1) == slow[:, s.LOW]) & (prices[:, -1, s.CLOSE] == slow[:, s.CLOSE])
    )  # fmt: skip
    told = known.all(axis=1) & same
    fine = np.full((len(slow), prices.shape[1], s.BAR_COLUMNS), np.nan)
    fine[:, 0] = slow
    fine[told, :, s.OPEN : s.CLOSE + 1] = prices[told]
    fine[told, :, s.SLIPPAGE] = slow[told, None, s.SLIPPAGE]
    fine[told, :, s.FUNDING_OPEN], fine[told, :, s.FUNDING_INSIDE] = 0.0, 0.0
    # marks are known at slow closes: between them those of the last price with the premium of both ends, as in `_mark`
    earlier = slow[told, s.MARK_OPEN, None] / slow[told, s.OPEN, None]
    premium = slow[told, s.MARK_CLOSE, None] / slow[told, s.CLOSE, None]
    fine[told, :, s.MARK_OPEN] = prices[told, :, s.OPEN] * earlier
    fine[told, :, s.MARK_HIGH] = prices[told, :, s.HIGH] * np.fmax(premium, earlier)
    fine[told, :, s.MARK_LOW] = prices[told, :, s.LOW] * np.fmin(premium, earlier)
    fine[told, :, s.MARK_CLOSE] = prices[told, :, s.CLOSE] * earlier
    fine[told, 0, s.MARK_OPEN], fine[told, -1, s.MARK_CLOSE] = slow[told, s.MARK_OPEN], slow[told, s.MARK_CLOSE]
    return fine, told
