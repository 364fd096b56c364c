"""What trades on the simulated venue: the character of each coin.

Three symbols have about the size and the liveliness of their namesakes, so that a chart looks familiar. Any other
symbol is a small coin whose character is drawn from its name alone: the same for every seed. No price here was ever
quoted by anyone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from virtuoso.account.instrument import compact

MARKET_DAILY = 0.018
"""Standard deviation of the common factor over a day, as a fraction: about that of bitcoin in 2025."""


@dataclass(frozen=True, slots=True)
class Coin:
    """One simulated coin.

    Attributes
    ----------
    symbol : str
    price : float, quote currency
        Where its history starts.
    tick_decimals, lot_decimals : int
        Prices are multiples of `10 ** -tick_decimals`, volumes of `10 ** -lot_decimals`.
    beta : float
        Its return per return of the common factor.
    own_daily : float
        Standard deviation over a day of what is its own, as a fraction.
    trades : float, per minute
        In an average minute.
    trade_size : float, quote currency
        Of an average trade.
    """

    symbol: str
    price: float
    tick_decimals: int
    lot_decimals: int
    beta: float
    own_daily: float
    trades: float
    trade_size: float

    @property
    def daily(self) -> float:
        """Standard deviation of its return over a day, as a fraction."""
        return float(np.sqrt((self.beta * MARKET_DAILY) ** 2 + self.own_daily**2))


_KNOWN = {
    coin.symbol: coin
    for coin in (
        Coin("BTCUSDT", 60_000.0, 1, 3, beta=1.0, own_daily=0.007, trades=24.0, trade_size=90_000.0),
        Coin("ETHUSDT", 3_000.0, 2, 3, beta=1.4, own_daily=0.018, trades=22.0, trade_size=55_000.0),
        Coin("SOLUSDT", 150.0, 2, 2, beta=1.7, own_daily=0.030, trades=18.0, trade_size=20_000.0),
    )
}
DEFAULT_SYMBOLS = tuple(_KNOWN)


def coin(symbol: str) -> Coin:
    """Look up a coin of the simulated venue, or draw a small one from its name.

    Parameters
    ----------
    symbol : str
        `BTCUSDT` or `BTC/USDT:USDT`.

    Raises
    ------
    AmbiguousError
        If the text is not a symbol.
    """
    name = compact(symbol)
    if name in _KNOWN:
        return _KNOWN[name]
    draw = np.random.default_rng(np.random.SeedSequence(0, spawn_key=tuple(name.encode())))
    magnitude = int(draw.integers(-2, 2))
    return Coin(
        name,
        price=round(float(draw.uniform(1.0, 10.0)), 3) * 10.0**magnitude,
        tick_decimals=3 - magnitude,
        lot_decimals=max(0, magnitude),
        beta=float(draw.uniform(1.2, 2.0)),
        own_daily=float(draw.uniform(0.03, 0.06)),
        trades=float(draw.uniform(2.5, 6.0)),
        trade_size=float(draw.uniform(200.0, 800.0)),
    )
