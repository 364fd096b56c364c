"""Costs: what it takes to be in a market and out again, beside which a move is worth something or nothing."""

from __future__ import annotations

from typing import NamedTuple

FUNDING_MS = 8 * 3_600_000
"""Funding rates are told for eight hours."""
DAY_MS = 24 * 3_600_000


class Costs(NamedTuple):
    """What a taker pays.

    Attributes
    ----------
    taker : float
        Fee, of the notional of a fill.
    slippage : float
        Of the price of a fill: what it is worse than the price seen.
    funding : float
        Rate that longs pay per eight hours, of the notional; 0 for spot, NaN where it is not known.
    """

    taker: float = 0.0005
    slippage: float = 0.0002
    funding: float = float("nan")

    @property
    def round_trip(self) -> float:
        """Of the notional, for an entry and an exit as a taker."""
        return 2.0 * (self.taker + self.slippage)

    def held(self, ms: float) -> float:
        """Funding that a long pays while it is held so long, of the notional; a short receives it."""
        return self.funding * ms / FUNDING_MS

    @property
    def funding_a_day(self) -> float:
        """Funding that a long pays in a day, of the notional."""
        return self.held(DAY_MS)
