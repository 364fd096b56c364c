"""What every configuration of a sweep shares: the market it trades on, the charts, and how a plan is drawn into one.

A chart (close, ATR, levels on both sides) does not depend on weights, thresholds or measures, so a bar has one chart
for all configurations. The plan does: entry, stop and targets are drawn where a configuration wants to enter, by the
arithmetic of `virtuoso.signals.levels.plans`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import kernel, uncounted
from virtuoso.research.sweep.decisions import Changes
from virtuoso.research.sweep.scores import Rows, Steps
from virtuoso.research.sweep.skip import BarSummaries
from virtuoso.types import Array

# columns of a chart: close, ATR, then levels below and above, nearest first
PRICE, ATR, BELOW = 0, 1, 2
# columns of the measures of levels, in the order of `configurations`
BUFFER, LEAST, MOST, MIN_TARGET, GAP, REACH, FIRST_R = 0, 1, 2, 3, 4, 5, 6
# columns of a plan
PLAN_LIMIT, PLAN_STOP, PLAN_TARGET, PLAN_SIZE, PLAN_COLUMNS = 0, 1, 2, 5, 8

FIGURES = (
    "trades", "won", "gained", "lost", "fees", "funding", "slippage", "ambiguous", "held", "equity", "max_drawdown",
    "halted", "halted_on", "halted_equity", "traded",
)  # fmt: skip
"""Columns of what is found of a configuration: closed trades, those that gained, what they gained and lost ...; whether
a halt was reached, at which bar the first one (-1: at none), and what the account was worth then; the value of all
fills, quote currency."""
TRADES, WON, GAINED, LOST, FEES, FUNDING, SLIPPED, AMBIGUOUS, HELD_BARS, EQUITY, DRAWDOWN = range(11)
HALTED, HALTED_ON, HALTED_EQUITY, TRADED = range(11, 15)
FLOWS = ("trades", "fees", "funding", "slippage", "traded")
"""Figures that may be kept of each day: what they have come to by its end."""


class Market(NamedTuple):
    """What is traded on.

    Attributes
    ----------
    summaries : BarSummaries
    bars : Array, shape (n_bars, 1, BAR_COLUMNS)
        As the contract takes them.
    first, last : int
        Number of the first bar; position of the last known one.
    begins : array of bool, shape (n_bars,)
        Bars that another instrument of the same name opens.
    points, coverage, gates : Array
        Of the panel, over the same bars.
    run : array of int64, shape (n_bars,)
        Row of the coverage of each bar.
    face : array of int64
    """

    summaries: BarSummaries
    bars: Array
    first: int
    last: int
    begins: NDArray[np.bool_]
    points: Array
    coverage: Array
    gates: Array
    run: Rows
    face: Rows


class LevelTable(NamedTuple):
    """Charts that have been read.

    Attributes
    ----------
    table : Array, shape (room, 2 + 2 * DEPTH)
    row_of : array of int32, shape (n_bars,)
        Row of the chart of each bar, -1 where it has not been read.
    """

    table: Array
    row_of: Steps


class Rule(NamedTuple):
    """What of levels and orders is not varied.

    Attributes
    ----------
    sizes : Array, shape (3,)
        Share of the position taken off at each target.
    retest : bool
        Whether entries wait for a level.
    waits : int, bars
        How long they do.
    shorts : bool
    """

    sizes: Array
    retest: bool
    waits: int
    shorts: bool


class Found(NamedTuple):
    """What is found of some configurations, a row each.

    Attributes
    ----------
    figures : Array, shape (n, len(FIGURES))
    daily : Array, quote currency, shape (n, n_days)
        Equity at the end of each whole day.
    flows : Array, shape (n, n_days, len(FLOWS))
        Figures by the end of each whole day; shape (n, 0, len(FLOWS)) where they are not kept.
    """

    figures: Array
    daily: Array
    flows: Array

    @classmethod
    def none(cls, n: int, days: int, flows: bool = False) -> Found:
        """Make room; `flows` says whether figures are kept day by day."""
        kept = np.zeros((n, days if flows else 0, len(FLOWS)))
        return cls(np.zeros((n, len(FIGURES))), np.zeros((n, days)), kept)

    def rows(self, a: int, b: int) -> Found:
        """Return the rows [a, b), to be written."""
        return Found(self.figures[a:b], self.daily[a:b], self.flows[a:b])


@uncounted
def keep_flows(flows: Array, first: int, stop: int, figures: Array) -> None:
    """Write what figures have come to at the end of the days [first, stop), where that is kept; shape (n_days, 5)."""
    for day in range(first, min(stop, len(flows))):
        flows[day, 0], flows[day, 1], flows[day, 2] = figures[TRADES], figures[FEES], figures[FUNDING]
        flows[day, 3], flows[day, 4] = figures[SLIPPED], figures[TRADED]


@uncounted
def draw(levels: LevelTable, t: int, side: float, measures: Array, rule: Rule, plan: Array) -> bool:
    """Draw entry, stop and targets of one entry; says whether there is a plan.

    Parameters
    ----------
    levels : LevelTable
    t : int
        Bar at whose close it is decided.
    side : float
        1 or -1.
    measures : Array, shape (9,)
    rule : Rule
    plan : Array, shape (PLAN_COLUMNS,)
        Written.
    """
    chart = levels.table[levels.row_of[t]]
    depth = (len(chart) - BELOW) // 2
    price, atr = chart[PRICE], chart[ATR]
    if not (np.isfinite(atr) and np.isfinite(price)):
        return False
    with_it, against = (BELOW, BELOW + depth) if side > 0.0 else (BELOW + depth, BELOW)
    level, entry = chart[with_it], price
    plan[PLAN_LIMIT] = np.nan
    if rule.retest and side * (price - level) <= measures[REACH] * atr:
        plan[PLAN_LIMIT] = entry = level
    risk = np.inf if np.isnan(level) else side * (entry - level) + measures[BUFFER] * atr
    risk = min(max(risk, measures[LEAST] * atr), measures[MOST] * atr)
    least = measures[MIN_TARGET] * risk
    for k in range(3):
        reach = most = measures[FIRST_R + k] * risk
        for j in range(depth):
            away = side * (chart[against + j] - entry)
            if least <= away <= most and away < reach:
                reach = away
        plan[PLAN_TARGET + k], plan[PLAN_SIZE + k] = entry + side * reach, rule.sizes[k]
        least = reach + measures[GAP] * risk
    plan[PLAN_STOP] = entry - side * risk
    for k in (2, 1):
        if plan[PLAN_TARGET + k] <= 0.0:
            plan[PLAN_SIZE + k - 1] += plan[PLAN_SIZE + k]
            plan[PLAN_SIZE + k], plan[PLAN_TARGET + k] = 0.0, np.nan
    return bool(plan[PLAN_STOP] > 0.0 and plan[PLAN_TARGET] > 0.0)


@kernel
def undrawn(changes: Changes, row_of: Steps) -> Rows:
    """Bars of decisions to enter whose chart has not been read yet; some of them more than once."""
    at, to, counts = changes.at, changes.to, changes.counts
    figures, n = np.empty(counts.sum(), np.int64), 0
    for k in range(len(counts)):
        for d in range(counts[k]):
            if to[k, d] != 0 and row_of[at[k, d]] < 0:
                figures[n] = at[k, d]
                n += 1
    return figures[:n]
