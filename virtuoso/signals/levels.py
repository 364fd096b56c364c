"""Levels: where to enter, what proves the idea wrong, and where it has paid.

1. The map. On the structure timeframe every confirmed swing marks a price; it counts by how clearly it stood out, less
   with every bar of age, and swings near each other strengthen each other. What is worth enough is a level: support
   below the price, resistance above it, whichever it was born as (`LevelSnapshot`).
   Lasting walls of the book, and squeeze points where that is asked for, are levels too (extra_levels.py).
2. The stop lies beyond the nearest level on the losing side, by a buffer, within bounds; all in ATR.
   R is the distance from entry to stop.
3. Each target lies at the nearest opposing level that is far enough from entry and from the target before it, and at
   its multiple of R where no such level comes first.

Everything is seen from the close at which the signal is decided: slow bars count from their close on, swings from their
confirmation on. What is not known is NaN, and then there is no entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.swings import Pivots, Swings, standing
from virtuoso.prism.features.volatility import MeanRange
from virtuoso.prism.prism import Prism
from virtuoso.signals.extra_levels import extra_levels
from virtuoso.signals.rule import States
from virtuoso.signals.settings import LevelSettings
from virtuoso.types import Array

DEPTH = 6
"""Levels that are looked up on each side of the price."""
TARGETS = 3

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LevelSnapshot:
    """Volatility and the levels around the price, nearest first, as seen from some closes.

    Attributes
    ----------
    timeframe : Timeframe
        On which the levels were drawn.
    numbers : array of int64, shape (n,)
        Base bars at whose close it is taken.
    price : Array, shape (n,)
        Those closes.
    atr : Array, price units, shape (n,)
    supports, resistances : Array, price units, shape (n, DEPTH)
        Levels below and above the price, nearest first, NaN where there are no more.
    """

    timeframe: Timeframe
    numbers: Numbers
    price: Array
    atr: Array
    supports: Array
    resistances: Array

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Plans:
    """Entry, stop and targets of some signals; NaN where they are not known.

    Attributes
    ----------
    side : array of int8, shape (n,)
        1 long, -1 short, 0 none.
    limit : Array, price units, shape (n,)
        Limit price to enter at; NaN for a market order.
    expires : array of int64, shape (n,)
        Base bar after whose close an unfilled limit lapses.
    entry, stop : Array, price units, shape (n,)
        Entry is the limit, or else the close at which the signal was decided: the fill of a market order is its own.
    target : Array, price units, shape (n, 3)
    size : Array, shape (n, 3)
        Share of the position taken off at each target.
    """

    side: States
    limit: Array
    expires: Numbers
    entry: Array
    stop: Array
    target: Array
    size: Array

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a plan at all."""
        known: NDArray[np.bool_] = (self.side != 0) & np.isfinite(self.stop) & np.isfinite(self.target[:, 0])
        return known


def structure_timeframe(prism: Prism, base: Timeframe, settings: LevelSettings) -> Timeframe:
    """Timeframe on which levels are drawn: the one that is set, or else the slowest of the ladder."""
    ladder = [timeframe for timeframe, _ in prism.ladder(base)]
    return next((timeframe for timeframe in ladder if timeframe.name == settings.timeframe), ladder[-1])


def features(settings: LevelSettings) -> tuple[MeanRange, Swings]:
    """What levels are drawn from: the ATR and the confirmed swings of the structure timeframe."""
    return MeanRange(period=settings.atr_period), Swings()


def level_snapshot(prism: Prism, workspace: Workspace, numbers: Numbers, settings: LevelSettings) -> LevelSnapshot:
    """Take the snapshot at the close of some base bars.

    Parameters
    ----------
    prism : Prism
        Whose ladder says which timeframes there are.
    workspace : Workspace
    numbers : array of int64, shape (n,)
        Increasing.
    settings : LevelSettings

    Returns
    -------
    LevelSnapshot

    Raises
    ------
    NotLoadedError
        If bars that swings are remembered from exist but were not loaded.
    """
    base = workspace.frame.base
    timeframe = structure_timeframe(prism, base.timeframe, settings)
    price = base.columns["close"][numbers - base.first]
    atr, below, above = np.full(len(numbers), np.nan), *np.full((2, len(numbers), DEPTH), np.nan)
    bars = workspace.buffers(timeframe).bars
    seen = workspace.visible(numbers, base.timeframe, timeframe)
    begun = workspace.begins(numbers, base.timeframe, timeframe)
    there = np.flatnonzero((seen >= bars.first) & (seen < bars.end) & np.isfinite(price))
    if len(there):
        seen, begun = seen[there], begun[there]
        low, end = int(seen[0]) - settings.memory + 1, int(seen[-1]) + 1
        workspace.require_loaded(timeframe, low)
        low = max(low, bars.first)
        atr_feature, swings_feature = features(settings)
        unit = workspace.values(atr_feature, timeframe, low, end)[0]
        swings = Pivots(*workspace.values(swings_feature, timeframe, low, end))
        atr[there] = unit[seen - low]
        sides = np.empty((2, len(there), DEPTH))
        first = np.maximum(np.maximum(seen - settings.memory + 1, begun) - low, 0)
        _map(*swings, unit, first, seen - low, price[there], settings.memory, settings.weakest, settings.apart, sides)
        below[there], above[there] = sides[0], sides[1]
        further = extra_levels(workspace, numbers[there], settings)
        _join(further, price[there], settings.apart * atr[there], below, above, there)
    atr[atr <= 0.0] = np.nan
    return LevelSnapshot(timeframe, numbers, price, atr, below, above)


@kernel
def _map(
    high: Array, high_weight: Array, high_height: Array, low: Array, low_weight: Array, low_height: Array,
    unit: Array, first: Numbers, at: Numbers, price: Array, memory: int, weakest: float, apart: float, out: Array,
) -> None:  # fmt: skip
    """Write the levels below and above each price, nearest first. Uses the bars from `first` up to `at` only."""
    mark, own, worth = np.empty(2 * memory), np.empty(2 * memory), np.empty(2 * memory)
    out[:] = np.nan
    for i in range(len(at)):
        width = apart * unit[at[i]]
        if np.isnan(width):
            continue
        n = 0
        for j in range(first[i], at[i] + 1):
            fresh = 1.0 - (at[i] - j) / memory
            if not np.isnan(high[j]):
                mark[n], own[n] = high[j], fresh * standing(high_weight[j], high_height[j], unit[j])
                n += own[n] > 0.0
            if not np.isnan(low[j]):
                mark[n], own[n] = low[j], fresh * standing(low_weight[j], low_height[j], unit[j])
                n += own[n] > 0.0
        for j in range(n):
            worth[j] = own[j]
            for k in range(n):
                gap = abs(mark[k] - mark[j])
                if k != j and gap < width:
                    worth[j] += own[k] * (1.0 - gap / width)
        _nearest(mark[:n], worth[:n], price[i], -1.0, width, weakest, out[0, i])
        _nearest(mark[:n], worth[:n], price[i], 1.0, width, weakest, out[1, i])


@kernel
def _nearest(mark: Array, worth: Array, price: float, side: float, width: float, weakest: float, out: Array) -> None:
    """Write the levels on one side of a price, nearest first, at least `width` from each other."""
    reached, step = 0.0, 0.0
    for k in range(len(out)):
        best = -1
        for j in range(len(mark)):
            away = side * (mark[j] - price)
            beyond = away > reached and away >= reached + step
            if beyond and worth[j] >= weakest and (best < 0 or away < side * (mark[best] - price)):
                best = j
        if best < 0:
            break
        out[k] = mark[best]
        reached, step = side * (mark[best] - price), width


@kernel
def _join(further: Array, price: Array, width: Array, below: Array, above: Array, at: Numbers) -> None:
    """Put further levels among those of each snapshot, unless one stands within `width` of them already."""
    for i in range(len(further)):
        for mark in further[i]:
            if np.isnan(mark) or np.isnan(width[i]) or mark == price[i]:
                continue
            levels, side = (above[at[i]], 1.0) if mark > price[i] else (below[at[i]], -1.0)
            place = 0
            while place < len(levels) and side * (mark - levels[place]) > 0.0:
                place += 1
            beside = place > 0 and abs(levels[place - 1] - mark) < width[i]
            if place < len(levels):
                beside = beside or abs(levels[place] - mark) < width[i]
            if not beside and place < len(levels):
                for k in range(len(levels) - 1, place, -1):
                    levels[k] = levels[k - 1]
                levels[place] = mark


def plans(snapshot: LevelSnapshot, side: States, settings: LevelSettings, base: Timeframe) -> Plans:
    """Draw entry, stop and targets between levels.

    Parameters
    ----------
    snapshot : LevelSnapshot
    side : array of int8, shape (n,)
        1 long, -1 short, 0 none.
    settings : LevelSettings
    base : Timeframe
        Clock of the numbers.

    Returns
    -------
    Plans
        Long: stop < entry < target1 < target2 < target3; short the other way round.
    """
    toward = side.astype(np.float64)
    with_it = np.where(side[:, None] > 0, snapshot.supports, snapshot.resistances)  # levels that carry the idea
    against = np.where(side[:, None] > 0, snapshot.resistances, snapshot.supports)
    known = (side != 0) & np.isfinite(snapshot.atr) & np.isfinite(snapshot.price)
    atr = np.where(known, snapshot.atr, np.nan)
    near = toward * (snapshot.price - with_it[:, 0]) <= settings.retest_reach * atr
    limit = np.where((settings.entry == "retest") & near, with_it[:, 0], np.nan)
    entry = np.where(known, np.where(np.isnan(limit), snapshot.price, limit), np.nan)
    risk = np.clip(
        np.where(np.isnan(with_it[:, 0]), np.inf, toward * (entry - with_it[:, 0]) + settings.stop_buffer * atr),
        settings.stop_min * atr,
        settings.stop_max * atr,
    )
    reach = _reach(toward[:, None] * (against - entry[:, None]), risk, settings)
    stop, target = entry - toward * risk, entry[:, None] + toward[:, None] * reach
    size = np.where(known[:, None], np.array(settings.target_sizes), 0.0)
    _drop_impossible(stop, target, size)
    waits = np.where(np.isnan(limit), 1, base.bars(settings.retest_expiry))
    return Plans(side, limit, snapshot.numbers + waits, entry, stop, target, size)


def _reach(opposing: Array, risk: Array, settings: LevelSettings) -> Array:
    """Distance of each target from entry, shape (n, 3): the nearest opposing level in its range, or a multiple of R.

    Parameters
    ----------
    opposing : Array, price units, shape (n, DEPTH)
        Distances of the opposing levels from entry.
    risk : Array, price units, shape (n,)
        R.
    """
    reach = np.full((len(risk), TARGETS), np.nan)
    least = settings.min_target_r * risk
    for k, r in enumerate(settings.target_r):
        most = r * risk
        in_range = (opposing >= least[:, None]) & (opposing <= most[:, None])
        reach[:, k] = np.min(np.where(in_range, opposing, most[:, None]), axis=1)
        least = reach[:, k] + settings.target_gap_r * risk
    return reach


def _drop_impossible(stop: Array, target: Array, size: Array) -> None:
    """A price must be positive: where a target is not, the one before it takes its share; without a first, no plan."""
    for k in range(TARGETS - 1, 0, -1):
        gone = target[:, k] <= 0.0
        size[gone, k - 1] += size[gone, k]
        size[gone, k], target[gone, k] = 0.0, np.nan
    hopeless = (stop <= 0.0) | (target[:, 0] <= 0.0)
    stop[hopeless], target[hopeless], size[hopeless] = np.nan, np.nan, 0.0
