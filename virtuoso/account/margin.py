"""Margin of linear perpetuals: maintenance tiers, and the price at which a position is liquidated.

A position is signed, `size` > 0 long and < 0 short, in base currency; prices and money are in quote currency.

Maintenance of a notional is `notional * rate - deduction` of the tier it lies in; deductions make it continuous:
`deduction_n = floor_n * (rate_n - rate_(n-1)) + deduction_(n-1)`.

Sources: Binance, Liquidation Price of USD-M Futures Contracts (FAQ b3c689c1f50a44cabb3a84e663b81d93); Bybit,
Liquidation Price (USDT Contract), Isolated Margin. Their worked examples are tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import ConfigError
from virtuoso.jit.kernel import inner, kernel

Array = NDArray[np.float64]

MOST_ROUNDS = 50


@dataclass(frozen=True)
class Tiers:
    """Maintenance tiers of an instrument.

    Attributes
    ----------
    floor : Array, quote currency, shape (n_tiers,)
        Notional from which each tier holds; the first is 0.
    rate : Array, shape (n_tiers,)
        Maintenance margin rate, 0.005 is half a percent.
    deduction : Array, quote currency, shape (n_tiers,)
    """

    floor: Array
    rate: Array
    deduction: Array

    @classmethod
    def of(cls, floors: Sequence[float], rates: Sequence[float]) -> Tiers:
        """Make tiers; the deductions follow.

        Raises
        ------
        ConfigError
            Floors do not begin at 0 and rise, or rates do not lie in 0..1 and rise.
        """
        floor, rate = np.asarray(floors, dtype=np.float64), np.asarray(rates, dtype=np.float64)
        rising = len(floor) == len(rate) > 0 and floor[0] == 0.0 and (np.diff(floor) > 0).all()
        if not rising or (np.diff(rate) < 0).any() or not ((rate >= 0.0) & (rate < 1.0)).all():
            raise ConfigError(
                f"Maintenance tiers begin at a notional of 0 and rise, with rates from 0 to under 1 that rise with "
                f"them; was floors {list(floors)}, rates {list(rates)}."
            )
        deduction = np.zeros(len(floor))
        for n in range(1, len(floor)):
            deduction[n] = floor[n] * (rate[n] - rate[n - 1]) + deduction[n - 1]
        return cls(floor, rate, deduction)

    @property
    def table(self) -> Array:
        """Floors, rates and deductions, shape (3, n_tiers): what the kernels take."""
        return np.stack((self.floor, self.rate, self.deduction))

    def maintenance(self, notional: float) -> float:
        """Maintenance margin of a notional, quote currency."""
        return float(maintenance(self.table, notional))


@inner
def tier_of(tiers: Array, notional: float) -> int:
    """Tier of a notional."""
    tier = 0
    while tier + 1 < tiers.shape[1] and notional >= tiers[0, tier + 1]:
        tier += 1
    return tier


@kernel
def maintenance(tiers: Array, notional: float) -> float:
    """Maintenance margin of a notional, quote currency.

    Parameters
    ----------
    tiers : Array, shape (3, n_tiers)
        `Tiers.table`.
    notional : float
    """
    n = tier_of(tiers, notional)
    margin: float = notional * tiers[1, n] - tiers[2, n]
    return margin


@kernel
def liquidation_price(tiers: Array, size: float, entry: float, wallet: float, others: float) -> float:
    """Mark price at which a position is liquidated.

    Parameters
    ----------
    tiers : Array, shape (3, n_tiers)
    size, entry : float
    wallet : float, quote currency
        The position's own margin if it is isolated, else the whole wallet.
    others : float, quote currency
        Unrealised profit of the other cross positions less their maintenance; 0 if isolated.

    Returns
    -------
    float
        NaN where no positive price liquidates it. The tier is that of the notional at the price itself.
    """
    if size == 0.0:
        return np.nan
    held, tier, price = abs(size), tier_of(tiers, abs(size) * entry), np.nan
    for _ in range(MOST_ROUNDS):
        price = (wallet + others + tiers[2, tier] - size * entry) / (held * tiers[1, tier] - size)
        if not price > 0.0:
            return np.nan
        now = tier_of(tiers, held * price)
        if now == tier:
            break
        tier = now
    return float(price)


@kernel
def bybit_liquidation_price(tiers: Array, size: float, entry: float, leverage: float, extra: float) -> float:
    """Liquidation price of an isolated USDT position at Bybit, where initial and maintenance margin are those at entry.

    Parameters
    ----------
    tiers : Array, shape (3, n_tiers)
    size, entry, leverage : float
    extra : float, quote currency
        Margin that was added.
    """
    if size == 0.0:
        return np.nan
    held = abs(size)
    room = (held * entry / leverage - maintenance(tiers, held * entry) + extra) / held
    price: float = entry - room if size > 0.0 else entry + room
    return price if price > 0.0 else np.nan
