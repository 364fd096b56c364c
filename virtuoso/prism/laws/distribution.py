"""How the scores of a component are spread on real data: a scale is judged by what it does, not by its formula.

A good scale uses most of 0..100 (5-95 % span of at least 60 points), saturates rarely (under 5 % of bars beyond 1 or
99) and takes no side over a long time (mean 50 +/- 5, unless the market did).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED
from virtuoso.prism.component import Component
from virtuoso.prism.engine.workspace import Workspace

LEAST_SPAN = 60.0
MOST_SATURATED = 0.05
LARGEST_LEAN = 5.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """Scores of one component on the bars of one timeframe.

    Attributes
    ----------
    component, timeframe : str
    bars : int
    known : float, share of the bars
    low, high : float, points
        5 % and 95 % quantile of the known scores.
    saturated : float, share of the known scores
        Below 1 or above 99.
    mean : float, points
    directional : bool
        Whether the mean says anything; that of a gate does not.
    """

    component: str
    timeframe: str
    bars: int
    known: float
    low: float
    high: float
    saturated: float
    mean: float
    directional: bool = True

    @property
    def span(self) -> float:
        """Points between the 5 % and the 95 % quantile."""
        return self.high - self.low

    @property
    def good(self) -> bool:
        """Whether the scale does its work here."""
        fair = not self.directional or abs(self.mean - 50.0) <= LARGEST_LEAN
        return self.span >= LEAST_SPAN and self.saturated < MOST_SATURATED and fair


def distribution(component: Component, frame: MarketFrame, timeframes: Iterable[str]) -> list[Distribution]:
    """Distribution of a component's scores on its own closed bars of each timeframe.

    Parameters
    ----------
    component : Component
    frame : MarketFrame
    timeframes : iterable of str
        The base timeframe or slower ones.

    Returns
    -------
    list of Distribution
        One a timeframe; quantiles and mean are NaN where no score is known.

    Raises
    ------
    MissingColumnError
        The frame does not carry a column that the component needs.
    """
    workspace = Workspace(frame)
    rows = []
    for timeframe in map(Timeframe, timeframes):
        bars = frame.bars(timeframe)
        scores = component.score(workspace.values(component, timeframe, bars.first, bars.end)[0])
        known = scores[np.isfinite(scores) & (bars.state != BRIDGED)]
        low, high, mean, saturated = (float("nan"),) * 4
        if len(known):
            low, high = (float(edge) for edge in np.percentile(known, [5, 95]))
            mean, saturated = float(known.mean()), float(((known < 1.0) | (known > 99.0)).mean())
        share, directional = len(known) / max(len(bars), 1), component.mirror != "same"
        row = Distribution(component.name, timeframe.name, len(bars), share, low, high, saturated, mean, directional)
        rows.append(row)
    return rows


def markdown(rows: Iterable[tuple[str, Distribution]]) -> str:
    """Table for the documentation: name of the data set and distribution in each row.

    Examples
    --------
    >>> rows = [("FILUSDT 2023", row) for row in distribution(RSI(), frame, ["1m", "4h"])]  # doctest: +SKIP
    >>> print(markdown(rows))                                                                # doctest: +SKIP
    """
    lines = ["| data | timeframe | bars | known | 5 % | 95 % | span | saturated | mean | |", "|---" * 10 + "|"]
    for name, row in rows:
        found = "| | | | | | nothing known |"
        if row.known:
            found = (
                f"| {row.low:.1f} | {row.high:.1f} | {row.span:.1f} | {row.saturated:.1%} | {row.mean:.1f} "
                f"| {'' if row.good else 'outside'} |"
            )
        lines.append(f"| {name} | {row.timeframe} | {row.bars:,} | {row.known:.1%} {found}")
    return "\n".join(lines)
