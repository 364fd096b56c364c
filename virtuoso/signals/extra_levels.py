"""Further prices that may be levels: lasting walls of the order book, and estimated squeeze points.

Walls are what the fold of the book found (market/features/book): large, near and long-lived; they may still be taken
away. Squeeze points are estimates (prism/open_interest/squeeze.py). Both are seen at the close at which a level is
drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.open_interest.analysis import squeezes_at
from virtuoso.prism.open_interest.squeeze import SHOWN_POINTS
from virtuoso.signals.settings import LevelSettings
from virtuoso.types import Array

WALLS = ("bid_wall", "ask_wall")
LEAST_STRENGTH = 0.4
"""Strength below which a squeeze point is no level."""


def extra_levels(workspace: Workspace, numbers: NDArray[np.int64], settings: LevelSettings) -> Array:
    """Prices that may be levels at the close of some base bars, NaN where there are no more, shape (n, n_most).

    Parameters
    ----------
    workspace : Workspace
    numbers : array of int64, shape (n,)
        Base bars that are loaded.
    settings : LevelSettings
        Which kinds are asked for.
    """
    base = workspace.frame.base
    found = []
    if settings.walls:
        found += [base.columns[name][numbers - base.first] for name in WALLS if name in base.columns]
    if settings.squeezes and "open_interest" in base.columns:
        found += list(_squeezes(workspace, numbers).T)
    return np.column_stack(found) if found else np.empty((len(numbers), 0))


def _squeezes(workspace: Workspace, numbers: NDArray[np.int64]) -> Array:
    """Squeeze points that are strong enough, shape (n, 2 * SHOWN_POINTS)."""
    prices = np.full((len(numbers), 2 * SHOWN_POINTS), np.nan)
    for row, number in zip(prices, numbers, strict=True):
        strong = [point.price for point in squeezes_at(workspace, int(number)) if point.strength >= LEAST_STRENGTH]
        row[: len(strong)] = strong
    return prices
