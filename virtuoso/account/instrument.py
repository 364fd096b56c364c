"""An instrument is a venue and a symbol; the venue token carries the market."""

from __future__ import annotations

import re
from dataclasses import dataclass

from virtuoso.account import markets
from virtuoso.account.symbols import read_symbol, refusal
from virtuoso.errors import AmbiguousError

_COMPACT = re.compile(r"[A-Z0-9]{2,30}")
_VENUE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def compact(symbol: str) -> str:
    """Write a symbol as files and the API do: `BTC/USDT:USDT`, `BTC-USDT-SWAP` and `btcusdt` become `BTCUSDT`.

    Raises
    ------
    AmbiguousError
        If the text is not a symbol of a spot or linear market.
    """
    text = symbol.strip().upper()
    if _COMPACT.fullmatch(text):  # as the lake names them
        return text
    contract = read_symbol(symbol)
    if contract.refused:
        raise AmbiguousError(refusal(symbol, contract, ""))
    return contract.symbol


@dataclass(frozen=True, slots=True, order=True)
class Instrument:
    """What is traded, and where: `Instrument("binance-usdm", "BTCUSDT")`.

    Spot and perpetual share a symbol and must never merge, so the venue names the market:
    `binance-spot`, `binance-usdm`, `bybit-linear`, `bitfinex-spot`, `simulated`.
    """

    venue: str
    symbol: str

    def __post_init__(self) -> None:
        if not _VENUE.fullmatch(self.venue):
            raise AmbiguousError(f"{self.venue!r} is not a venue. Try binance-usdm, binance-spot or bybit-linear.")
        object.__setattr__(self, "symbol", compact(self.symbol))

    def __str__(self) -> str:
        return f"{self.symbol} {self.venue}"

    @property
    def is_spot(self) -> bool:
        """Whether it is bought with cash alone: no short side, no funding."""
        return markets.is_spot(self.venue)

    @property
    def is_simulated(self) -> bool:
        """Whether its history was made by the simulator; everything shown of it says so."""
        return self.venue == "simulated" or self.venue.startswith("simulated-")
