"""Where positions would be forced out: estimated liquidation levels, and squeeze points built on them.

Nobody publishes entries and leverage. What is known is when and at which price open interest was added. Everything
here is an estimate that follows from it, and says so:

1. Each step up of open interest is a position opened at the price it was counted at, one long and one short. Later
   steps down close all standing positions in proportion.
2. With leverage L a long is liquidated `1/L - maintenance` below its entry, a short as far above. Levels that price
   has reached since are gone.
3. A squeeze point is a price not reached yet where such levels crowd or where an unbroken swing holds stops, worth
   more the more the crowd leans to the side that would be forced out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from virtuoso.prism.features.swings import Pivots, standing
from virtuoso.types import Array

LEVERAGES = (5, 10, 25, 50, 100)
"""Buckets of leverage; how positions are spread over them is not known, so each is shown as if it were all."""
MAINTENANCE = 0.004
"""Margin that must remain, a share of notional: the first tier of large contracts (Binance USD-M, BTCUSDT)."""
CROWDED_SHARE = 0.10
"""Share of a side's estimated notional near one price that makes half a squeeze point by itself (0.71)."""
SHOWN_POINTS = 3
FARTHEST = 20.0
"""ATR from the price beyond which a squeeze point is not looked for."""


@dataclass(frozen=True, slots=True)
class LiquidationLevel:
    """Estimated liquidation levels of one leverage bucket and side.

    Attributes
    ----------
    leverage : int
    side : str
        'long' (below) or 'short' (above): who would be liquidated.
    price : float, price units
        Mean of the levels, weighted by notional.
    nearest : float, price units
        The one nearest to the price.
    notional : float, quote currency
        Of the positions behind them, if all of them used this leverage.
    estimate : bool
    """

    leverage: int
    side: str
    price: float
    nearest: float
    notional: float
    estimate: bool = True


@dataclass(frozen=True, slots=True)
class SqueezePoint:
    """A price at which one side would be forced out: a candidate for a level, and an estimate.

    Attributes
    ----------
    price : float, price units
    side : str
        'above' (shorts are forced to buy) or 'below' (longs are forced to sell).
    strength : float, 0..1
        How much meets there, times how far the crowd leans to the side that would be forced out.
    distance : float, ATR
        From the price, without a sign.
    swing : float
        Fresh unbroken swings near it; 0 where there is none.
    notional : float, quote currency
        Estimated liquidations near it, with leverage spread evenly over the buckets.
    basis : tuple of str
        What it rests on: swings, liquidations, funding, accounts.
    estimate : bool
    """

    price: float
    side: str
    strength: float
    distance: float
    swing: float
    notional: float
    basis: tuple[str, ...]
    estimate: bool = True


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions that were opened and stand, as far as open interest tells; arrays of shape (n_entries,).

    Attributes
    ----------
    entry : Array, price units
    size : Array, base units
    lowest, highest : Array, price units
        Reached after the bar of the entry; infinite if none has closed since.
    """

    entry: Array
    size: Array
    lowest: Array
    highest: Array

    def liquidations(self, leverage: int, side: str) -> tuple[Array, Array]:
        """Levels that have not been reached, and the notional behind each, shape (n_left,)."""
        away = 1.0 / leverage - MAINTENANCE
        level = self.entry * (1.0 - away if side == "long" else 1.0 + away)
        left = (self.lowest > level) if side == "long" else (self.highest < level)
        return level[left], (self.size * self.entry)[left]


def standing_positions(interest: Array, price: Array, low: Array, high: Array) -> Positions:
    """Positions behind the open interest of some bars.

    Parameters
    ----------
    interest : Array, base units, shape (n_bars,)
        Bars on which it is not known are passed over.
    price : Array, price units, shape (n_bars,)
        At which it was counted.
    low, high : Array, price units, shape (n_bars,)

    Returns
    -------
    Positions
        One entry a step up. Those opened before the first bar are not in it: where they stand is not known.
    """
    lowest, highest = np.full(len(low), np.inf), np.full(len(high), -np.inf)
    lowest[:-1] = np.fmin.accumulate(low[:0:-1])[::-1]
    highest[:-1] = np.fmax.accumulate(high[:0:-1])[::-1]
    at = np.flatnonzero(np.isfinite(interest) & np.isfinite(price) & (np.nan_to_num(interest) > 0.0))
    step = np.diff(interest[at])
    kept = np.ones(len(at))  # share of what stood at each bar that later steps down have left
    if len(at) > 1:
        kept[:-1] = np.cumprod(np.minimum(interest[at][1:] / interest[at][:-1], 1.0)[::-1])[::-1]
    opened = np.flatnonzero(step > 0.0) + 1
    bars = at[opened]
    return Positions(price[bars], step[opened - 1] * kept[opened], lowest[bars], highest[bars])


def liquidation_levels(positions: Positions) -> list[LiquidationLevel]:
    """Estimated liquidation levels of each leverage bucket and side of which one is left, longs first."""
    found = []
    for side in ("long", "short"):
        for leverage in LEVERAGES:
            level, notional = positions.liquidations(leverage, side)
            total = float(notional.sum())
            if total > 0.0:
                mean = float((level * notional).sum()) / total
                nearest = float(level.max() if side == "long" else level.min())
                found.append(LiquidationLevel(leverage, side, mean, nearest, total))
    return found


@dataclass(frozen=True, slots=True)
class CrowdSide:
    """Which side is crowded, -1 (shorts) to 1 (longs), and what says so; 0 and nothing where it is not known."""

    lean: float
    basis: tuple[str, ...]

    @classmethod
    def of(cls, funding: float, accounts: float) -> CrowdSide:
        """CrowdSide as funding and accounts show it, each in its usual size, NaN where not known."""
        known = {name: x for name, x in (("funding", funding), ("accounts", accounts)) if x == x}
        if not known:
            return cls(0.0, ())
        return cls(sum(float(x / np.sqrt(1.0 + x * x)) for x in known.values()) / len(known), tuple(known))


def unbroken_swings(swings: Pivots, unit: Array, low: Array, high: Array, side: str) -> tuple[Array, Array]:
    """Confirmed swings that price has not passed since, and what each is worth, 0..1, less with age.

    Parameters
    ----------
    swings : Pivots, arrays of shape (n_bars,)
    unit, low, high : Array, price units, shape (n_bars,)
    side : str
        'above' for swing highs, 'below' for swing lows.
    """
    marks, weights, heights = swings[:3] if side == "above" else swings[3:]
    n, prices, worth = len(marks), [], []
    for j in np.flatnonzero(np.isfinite(marks)):
        after = slice(int(j) + 1, n)
        passed = (high[after] > marks[j]).any() if side == "above" else (low[after] < marks[j]).any()
        own = float(standing(float(weights[j]), float(heights[j]), float(unit[j]))) * (1.0 - (n - 1 - int(j)) / n)
        if own > 0.0 and not passed:
            prices.append(float(marks[j]))
            worth.append(own)
    return np.array(prices), np.array(worth)


def squeeze_points(
    price: float,
    atr: float,
    positions: Positions,
    above: tuple[Array, Array],
    below: tuple[Array, Array],
    crowd: CrowdSide,
) -> list[SqueezePoint]:
    """Prices where crowded shorts (above) or longs (below) would be forced out, nearest first on each side.

    Parameters
    ----------
    price, atr : float, price units
    positions : Positions
    above, below : tuple of Array
        Unbroken swings of each side, price and worth, from `unbroken_swings`.
    crowd : CrowdSide

    Returns
    -------
    list of SqueezePoint
        At most SHOWN_POINTS a side, the strongest ones, at least one ATR apart.
    """
    if not atr > 0.0:
        return []
    return [
        *_points(price, atr, positions, "below", below, crowd),
        *_points(price, atr, positions, "above", above, crowd),
    ]


def _points(
    price: float, atr: float, positions: Positions, side: str, swings: tuple[Array, Array], crowd: CrowdSide
) -> list[SqueezePoint]:
    forced, sign = ("short", 1.0) if side == "above" else ("long", -1.0)
    parts = [positions.liquidations(leverage, forced) for leverage in LEVERAGES]
    level = np.concatenate([part[0] for part in parts])
    notional = np.concatenate([part[1] for part in parts]) / len(LEVERAGES)
    marks, worth = swings
    width, total = 0.5 * atr, float(notional.sum())
    pull = 0.5 * (1.0 - sign * crowd.lean)
    made = []
    for mark in _candidates(level, notional, width, marks):
        away = sign * (mark - price) / atr
        if not 0.0 < away <= FARTHEST:
            continue
        near, beside = np.maximum(1.0 - np.abs(level - mark) / width, 0.0), np.abs(marks - mark) < width
        forced_there, swing = float((notional * near).sum()), float(worth[beside].sum())
        share = forced_there / total if total > 0.0 else 0.0
        meets = 1.0 - (1.0 - _grown(swing, 1.0)) * (1.0 - _grown(share, CROWDED_SHARE))
        basis = (*(("swings",) if swing > 0.0 else ()), *(("liquidations",) if share > 0.0 else ()), *crowd.basis)
        made.append(SqueezePoint(mark, side, meets * pull, away, swing, forced_there, basis))
    chosen: list[SqueezePoint] = []
    for point in sorted(made, key=lambda p: (-p.strength, p.distance)):
        if all(abs(point.price - other.price) >= atr for other in chosen):
            chosen.append(point)
    return sorted(chosen[:SHOWN_POINTS], key=lambda p: p.distance)


def _candidates(level: Array, notional: Array, width: float, marks: Array) -> list[float]:
    """Prices worth looking at: every swing, and the middle of what lies within each stretch of one width."""
    found = [float(mark) for mark in marks]
    shelf = np.floor(level / width)
    for s in np.unique(shelf):
        here = shelf == s
        found.append(float((level[here] * notional[here]).sum() / notional[here].sum()))
    return found


def _grown(x: float, half: float) -> float:
    """From 0 at 0 towards 1: x / sqrt(half^2 + x^2)."""
    return float(x / np.sqrt(half * half + x * x))
