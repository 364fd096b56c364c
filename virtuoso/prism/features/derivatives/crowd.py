"""The crowd: on which side it is, how far that is unusual, and what it pays and borrows to be there.

1. What is usual over days and weeks (shares of accounts, leverage, funding) is computed on hours and on bars of eight
   hours, and seen from their close on.
2. What is held against it runs at the pace at which it is published.
3. What is missing is left out of a history as long as three quarters of it are known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.market.schema.columns import NEUTRAL_FUNDING
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.derivatives.activity import PUBLISHED, conviction, not_faster, squashed
from virtuoso.prism.features.windows import known_deviation, known_mean
from virtuoso.prism.scale import ratio
from virtuoso.types import Array

HOUR, SETTLED = Timeframe("1h"), Timeframe("8h")
"""A calm clock for weeks of ratios and turnover; how often funding is settled."""
FEWEST = 20
"""Bars that make a history on the slowest clocks."""
LEAST_SPREAD = 0.005
"""Share of accounts that is added to a deviation: half a per cent of them is no opinion."""
CROWD, TOP, POSITIONS = 0.6, -0.2, -0.2
"""What all accounts, top accounts and top positions count for how far the crowd is on one side."""
LEAST_RATE = 1e-6
"""Funding below which differences mean nothing: venues publish eight decimals."""
ORDINARY = 0.1
"""Distance from the neutral rate, in usual distances, at which a rate counts 0.71."""
CALM_DAYS = 0.05
"""Share of leverage itself that is added to its deviation, so that rounding is never divided by rounding."""


def days_of(days: int, timeframe: Timeframe) -> int:
    """Bars of so many days, at least FEWEST."""
    return max(timeframe.bars(f"{days}d"), FEWEST)


def share_long(longs_per_short: Array) -> Array:
    """Share of those who are long, 0..1, from how many there are for one who is short."""
    return longs_per_short / (1.0 + longs_per_short)


class Shares(NamedTuple):
    """What is usual of a share: its mean and its deviation, of all accounts, top accounts and top positions.

    Attributes
    ----------
    crowd, top, positions : Array, 0..1, shape (n_bars,)
    crowd_spread, top_spread, positions_spread : Array, shape (n_bars,)
    """

    crowd: Array
    crowd_spread: Array
    top: Array
    top_spread: Array
    positions: Array
    positions_spread: Array


class UsualShares(Feature):
    """Mean and deviation of the shares that are long, over a week of hours. Source: Virtuoso, docs/faces/sentiment.md.

    Each ratio is judged by itself: a source that published one of three is no reason to forget it.
    """

    windowed = True
    holes = True
    sparse = True
    outputs = Shares

    days: int = Int(7, low=1, high=90, unit="days")

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Hours."""
        return not_faster(HOUR, timeframe)

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return days_of(self.days, timeframe)

    def value(
        self, accounts_ratio: Array, top_accounts_ratio: Array, top_positions_ratio: Array,
        first: int, timeframe: Timeframe,
    ) -> Shares:  # fmt: skip
        """Means and deviations. Uses `x[: t + 1]` only."""
        found: list[Array] = []
        history = days_of(self.days, timeframe)
        for column in (accounts_ratio, top_accounts_ratio, top_positions_ratio):
            found += known_deviation(share_long(column), history, LEAST_SPREAD, first)
        return Shares(*found)


class CrowdLean(Feature):
    """How long the crowd is against its week, less how long the largest accounts are.

    Source: contrary opinion Neill (1954), The Art of Contrary Thinking; Virtuoso, docs/faces/sentiment.md.
    """

    windowed = True
    holes = True
    usual = UsualShares()

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """The pace at which ratios are published."""
        return not_faster(PUBLISHED, timeframe)

    def value(
        self, accounts_ratio: Array, top_accounts_ratio: Array, top_positions_ratio: Array, usual: Shares
    ) -> Array:
        """Crowd minus the largest, in deviations of their shares, from what is known of them, shape (n_bars,)."""
        total, weight = np.zeros((2, len(accounts_ratio)))
        _add_lean(accounts_ratio, usual.crowd, usual.crowd_spread, CROWD, total, weight)
        _add_lean(top_accounts_ratio, usual.top, usual.top_spread, TOP, total, weight)
        _add_lean(top_positions_ratio, usual.positions, usual.positions_spread, POSITIONS, total, weight)
        return ratio(total, weight)


@kernel
def _add_lean(ratios: Array, mean: Array, spread: Array, own: float, total: Array, weight: Array) -> None:
    """Add how long one group is against its week, where it is known, and what it counts for."""
    for t in range(len(ratios)):
        apart = (ratios[t] / (1.0 + ratios[t]) - mean[t]) / spread[t]
        if np.isfinite(apart):
            total[t] += own * apart
            weight[t] += abs(own)


class FundingLevel(NamedTuple):
    """What is usual of funding.

    Attributes
    ----------
    mean, spread : Array, share of notional per eight hours, shape (n_bars,)
        Mean and deviation.
    away : Array, share of notional per eight hours, shape (n_bars,)
        Mean distance from the neutral rate.
    """

    mean: Array
    spread: Array
    away: Array


class UsualFunding(Feature):
    """What funding usually is, over three weeks of settlements. Source: Virtuoso, docs/faces/sentiment.md."""

    windowed = True
    holes = True
    outputs = FundingLevel

    days: int = Int(21, low=7, high=365, unit="days")

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Eight hours."""
        return not_faster(SETTLED, timeframe)

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return days_of(self.days, timeframe)

    def value(self, funding_rate: Array, first: int, timeframe: Timeframe) -> FundingLevel:
        """Mean, deviation, and mean distance from neutral. Uses `x[: t + 1]` only."""
        rate, history = funding_rate - NEUTRAL_FUNDING, days_of(self.days, timeframe)
        mean, spread = known_deviation(rate, history, 0.0, first)
        return FundingLevel(mean + NEUTRAL_FUNDING, spread, known_mean(np.abs(rate), history, first))


def extremity(rate: Array, usual: FundingLevel) -> Array:
    """How extreme a funding rate is: deviations from its mean, and nothing where it is the neutral rate.

    What a market always pays is no news, and neither is the interest part of the rate: a rate that is high for its
    market and yet the ordinary one says nothing.

    Parameters
    ----------
    rate : Array, share of notional per eight hours, shape (n_bars,)
    usual : FundingLevel

    Returns
    -------
    Array, deviations, shape (n_bars,)
        Above 0 where longs pay more than usual.
    """
    away, near = rate - NEUTRAL_FUNDING, ORDINARY * usual.away
    told = np.abs(away) / np.sqrt(away * away + near * near + LEAST_RATE * LEAST_RATE)
    return (rate - usual.mean) / (usual.spread + LEAST_RATE) * told


class FundingExtreme(Feature):
    """How extreme the funding rate is for its market. Source: Virtuoso, docs/faces/sentiment.md."""

    windowed = True
    usual = UsualFunding()

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Minutes after a settlement, not eight hours."""
        return not_faster(PUBLISHED, timeframe)

    def value(self, funding_rate: Array, usual: FundingLevel) -> Array:
        """Deviations of the rate from its usual, none at the neutral rate, shape (n_bars,)."""
        return extremity(funding_rate, usual)


class Crowding(NamedTuple):
    """How much leverage has been built up, and who paid for it.

    Attributes
    ----------
    leverage : Array, deviations, shape (n_bars,)
        Open interest in days of turnover, against its own week.
    paid : Array, share of notional per eight hours, shape (n_bars,)
        Mean funding rate over a day.
    """

    leverage: Array
    paid: Array


class Leverage(Feature):
    """Open interest over a day of turnover, and the funding of that day. Source: Virtuoso, docs/faces/sentiment.md."""

    windowed = True
    holes = True
    outputs = Crowding

    days: int = Int(7, low=1, high=90, unit="days")

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Hours."""
        return not_faster(HOUR, timeframe)

    def memory(self, timeframe: Timeframe) -> int:
        """A day, and the history of such days."""
        return timeframe.bars("1d") + days_of(self.days, timeframe)

    def value(
        self, volume: Array, open_interest: Array, funding_rate: Array, first: int, timeframe: Timeframe
    ) -> Crowding:
        """Leverage and who paid. Uses `x[: t + 1]` only."""
        day, history = timeframe.bars("1d"), days_of(self.days, timeframe)
        turned = ratio(open_interest, known_mean(volume, day, first))
        mean = known_mean(turned, history, first)
        power = known_mean(turned * turned, history, first)
        spread = np.sqrt(np.maximum(power - mean * mean, 0.0) + CALM_DAYS * CALM_DAYS * power)
        return Crowding(ratio(turned - mean, spread), known_mean(funding_rate, day, first))


class Crowded(Feature):
    """Leverage that has been built up, on the side that funding says is paying.

    Source: leverage cycles Geanakoplos (2010), NBER Macroeconomics Annual 24; Virtuoso, docs/faces/sentiment.md.
    """

    windowed = True
    crowding = Leverage()
    usual = UsualFunding()

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Hours."""
        return not_faster(HOUR, timeframe)

    def value(self, crowding: Crowding, usual: FundingLevel) -> Array:
        """Side that pays times how much leverage it has, -1..1, above 0 if longs are crowded, shape (n_bars,)."""
        return squashed(extremity(crowding.paid, usual)) * conviction(squashed(crowding.leverage))
