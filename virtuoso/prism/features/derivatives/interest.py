"""Open interest as arrays: how it moves against its usual, with price, and how far it has built up.

Open interest is published late and every few minutes. `open_interest_value / open_interest` is the price at which it
was counted, so a step of open interest is compared with the step of that very price and with no other: joined as of
the same moment, whatever the lag was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import NEUTRAL_FUNDING
from virtuoso.prism.component import Component, Feature, Float, Int
from virtuoso.prism.features.divergence import DivergenceState, disagreements
from virtuoso.prism.features.swings import Pivots, Swings
from virtuoso.prism.features.volatility import FLOOR, MeanRange
from virtuoso.prism.features.windows import known_mean, unknown
from virtuoso.prism.scale import Squash, ratio
from virtuoso.types import Array

STILL = 0.0001
"""Share of open interest below which a step of it means nothing."""
INTEREST_HALF = 0.01
"""Change of open interest between two swings, as a share, at which its part of a divergence is 0.71."""
ROUNDING = 1e-9
"""Share of a price, or of a mean square, below which a change, or a variance, is rounding."""
FOUR_HOURS = Timeframe("4h")


def counted_at(open_interest: Array, open_interest_value: Array, close: Array) -> Array:
    """Price at which open interest was counted; the close where the source does not tell, price units."""
    price = ratio(open_interest_value, open_interest)
    return np.where(np.isfinite(price), price, np.where(np.isfinite(open_interest), close, np.nan))


def change(x: Array, bars: int = 1) -> Array:
    """Change of each value from the one `bars` before it, shape (n_bars,); of the first ones it is not known.

    A price that is a quotient differs from itself by rounding: what is that small is no change.
    """
    moved = unknown(len(x))
    np.subtract(x[bars:], x[:-bars], out=moved[bars:])
    return np.where(np.abs(moved) <= ROUNDING * np.abs(x), 0.0, moved)


class InterestChanges(NamedTuple):
    """InterestChanges of price and of open interest over a few bars, in their usual moves of that length.

    Attributes
    ----------
    price, interest : Array, usual moves, shape (n_bars,)
    """

    price: Array
    interest: Array


class InterestMoves(Feature):
    """What price and open interest have done in the last bars, each against its own root mean square."""

    outputs = InterestChanges
    windowed = True
    holes = True
    unit = MeanRange(period=14)

    period: int = Int(3, low=1, high=50)
    history: int = Int(20, low=5, high=500)

    def value(
        self, open_interest: Array, open_interest_value: Array, close: Array, unit: Array, first: int
    ) -> InterestChanges:
        """Changes of both. Uses `x[: t + 1]` only."""
        price = counted_at(open_interest, open_interest_value, close)
        return InterestChanges(
            self._move(price, FLOOR * unit, first),
            self._move(open_interest, STILL * open_interest, first),
        )

    def _move(self, x: Array, floor: Array, first: int) -> Array:
        step = change(x)
        usual = np.sqrt(self.period * (known_mean(step * step, self.history, first) + floor * floor))
        return ratio(change(x, self.period), usual)


class InterestQuadrant(Component):
    """Price and open interest together: moves on new contracts count fully, moves on closed ones less."""

    windowed = True
    holes = True
    title = "Open interest and price"
    source = "Murphy (1999), Technical Analysis of the Financial Markets, ch. 7, volume and open interest"
    scale = Squash(half=1.2)
    bands = {
        80: "Price rises, its move weighs {value:+.1f} usual moves with open interest",
        60: "Price leans up, its move weighs {value:+.1f} usual moves with open interest",
        40: "Price goes nowhere ({value:+.1f} usual moves), whatever open interest does",
        20: "Price leans down, its move weighs {value:+.1f} usual moves with open interest",
        0: "Price falls, its move weighs {value:+.1f} usual moves with open interest",
    }
    moves = InterestMoves()

    weakest: float = Float(0.4, low=0.0, high=1.0, unit="share")

    def value(self, moves: InterestChanges) -> Array:
        """Move of price, weighed by whether contracts were opened or closed, usual moves, shape (n_bars,)."""
        opened = 0.5 + 0.5 * moves.interest / np.sqrt(1.0 + moves.interest * moves.interest)
        return moves.price * (self.weakest + (1.0 - self.weakest) * opened)


class InterestLevel(Component):
    """Open interest against its mean: how much has built up. It has no direction."""

    windowed = True
    holes = True
    mirror = "same"
    title = "Open interest against its usual"
    source = "Virtuoso, docs/faces/open_interest.md"
    scale = Squash(half=1.5)
    bands = {0: "Open interest is {value:+.1f} deviations from its usual"}

    history: int = Int(96, low=10, high=2_000)
    floor: float = Float(0.002, low=0.0001, high=0.1, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return self.history

    def value(self, open_interest: Array, first: int) -> Array:
        """Distance from the mean in standard deviations, at least a floor of them, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        usual = known_mean(open_interest, self.history, first)
        spread = np.maximum(known_mean(open_interest * open_interest, self.history, first) - usual * usual, 0.0)
        return ratio(open_interest - usual, np.sqrt(spread + (self.floor * usual) * (self.floor * usual)))


class InterestCorrelation(Feature):
    """Correlation of the steps of open interest with those of the price it was counted at."""

    windowed = True
    holes = True

    period: int = Int(48, low=10, high=1_000)

    def value(self, open_interest: Array, open_interest_value: Array, close: Array, first: int) -> Array:
        """Correlation, -1..1, shape (n_bars,); NaN where one of the two did not move. Uses `x[: t + 1]` only."""
        x, y = change(open_interest), change(counted_at(open_interest, open_interest_value, close))
        x, y = x + 0.0 * y, y + 0.0 * x  # a pair is known where both are
        mean_x, mean_y = (known_mean(z, self.period, first) for z in (x, y))
        power_x, power_y, both = (known_mean(z, self.period, first) for z in (x * x, y * y, x * y))
        spread_x, spread_y = _spread(power_x, mean_x), _spread(power_y, mean_y)
        return np.clip(ratio(both - mean_x * mean_y, np.sqrt(spread_x) * np.sqrt(spread_y)), -1.0, 1.0)


def _spread(power: Array, mean: Array) -> Array:
    """Variance from mean square and mean; 0 where it is nothing but rounding."""
    spread = power - mean * mean
    return np.where(spread > ROUNDING * power, spread, np.where(np.isnan(spread), np.nan, 0.0))


class InterestDivergence(Feature):
    """Price and open interest that disagree on confirmed swings.

    A trend that is believed in opens contracts, whichever way it goes: a higher high or a lower low on fewer open
    contracts than at the swing before warns of a turn (regular), a lower high or a higher low on more of them speaks
    for going on (hidden). Both are bearish at highs and bullish at lows. Strength grows from nothing with the distance
    of both in price (ATR) and in contracts (share), and with how much each swing counts; it fades with age.

    Source: Murphy (1999), Technical Analysis of the Financial Markets, ch. 7; strength and fading are ours.
    """

    outputs = DivergenceState
    windowed = True
    holes = True
    swings = Swings(reach=5)
    atr = MeanRange(period=14)

    age: int = Int(60, low=10, high=500)
    apart: int = Int(100, low=10, high=500)

    def memory(self, timeframe: Timeframe) -> int:
        """An event of full age and the older swing it was compared with, by construction."""
        return self.age + self.apart + 2 * self.swings.reach + 2

    def value(self, swings: Pivots, atr: Array, open_interest: Array, wanted: int) -> DivergenceState:
        """Strength and kind; not known where open interest is not. Uses `x[: t + 1]` only."""
        state = DivergenceState(unknown(len(atr)), unknown(len(atr)))
        disagreements(swings, atr, open_interest, INTEREST_HALF, True, (1.0, -1.0),
                      self.swings.reach, self.age, self.apart, wanted, state)  # fmt: skip
        known = np.isfinite(open_interest) & np.isfinite(atr)
        return DivergenceState(*(np.where(known, values, np.nan) for values in state))


class FundingLean(Feature):
    """Funding against its own last week: who pays more than usual to hold.

    Neutral funding, the interest part, is taken off, so that what is left changes sign in the mirror.
    """

    windowed = True
    holes = True

    history: int = Int(42, low=5, high=1_000)
    floor: float = Float(0.00005, low=0.000001, high=0.01, unit="rate")

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Four hours, or the asker's own bars where those are slower or do not fill them."""
        return FOUR_HOURS if FOUR_HOURS.ms % timeframe.ms == 0 else timeframe

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return self.history

    def value(self, funding_rate: Array, first: int) -> Array:
        """Funding beyond neutral in its usual size, longs paying above 0, shape (n_bars,). Uses `x[: t + 1]` only."""
        beyond = funding_rate - NEUTRAL_FUNDING
        usual = known_mean(beyond * beyond, self.history, first)
        return beyond / np.sqrt(usual + self.floor * self.floor)


class AccountsLean(Feature):
    """Accounts that are long minus accounts that are short, against their own mean."""

    windowed = True
    holes = True

    history: int = Int(96, low=10, high=2_000)
    floor: float = Float(0.02, low=0.001, high=0.5, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return self.history

    def value(self, accounts_ratio: Array, first: int) -> Array:
        """Lean of the crowd in standard deviations, long above 0, shape (n_bars,). Uses `x[: t + 1]` only."""
        lean = ratio(accounts_ratio - 1.0, accounts_ratio + 1.0)
        usual = known_mean(lean, self.history, first)
        spread = np.maximum(known_mean(lean * lean, self.history, first) - usual * usual, 0.0)
        return (lean - usual) / np.sqrt(spread + self.floor * self.floor)
