"""Venue tokens and the market that each names: `binance-usdm` is linear, `kraken-spot` is spot.

The last word of a token says the market. A token without one is what that name has always meant at the exchange
(`hyperliquid` trades perpetuals, `kraken` spot), and spot where nobody knows: nothing is ever sold short, or paid
funding, that may be bought with cash alone.
"""

from __future__ import annotations

from typing import Literal

from virtuoso.errors import did_you_mean

Market = Literal["spot", "linear"]

_SPOT = ("spot",)
_LINEAR = ("usdm", "um", "linear", "perp", "perpetual", "swap", "futures", "usdt", "usdc")
_REFUSED = {
    **dict.fromkeys(
        ("coinm", "cm", "inverse", "coin", "delivery"), "inverse contracts, which are margined in the coin"
    ),
    **dict.fromkeys(("option", "options"), "options"),
    "quanto": "quanto contracts",
}
"""Markets of which no contract is linear, by the last word of a token."""

_LINEAR_ALONE = frozenset({"simulated", "notebook", "hyperliquid", "dydx", "binanceusdm", "krakenfutures", "aster"})
_REFUSED_ALONE = {"binancecoinm": _REFUSED["inverse"]}
EXCHANGES = frozenset({
    "aster", "binance", "binanceus", "bingx", "bitfinex", "bitflyer", "bitget", "bithumb", "bitmart",
    "bitmex", "bitso", "bitstamp", "bitvavo", "bybit", "coinbase", "cryptocom", "deribit", "dydx", "gate",
    "gateio", "gemini", "htx", "huobi", "hyperliquid", "kraken", "krakenfutures", "kucoin", "lighter", "mexc",
    "okex", "okx", "paradex", "phemex", "poloniex", "simulated", "upbit", "woo",
})  # fmt: skip
"""Exchanges as their tokens begin; others are as welcome, but not taken for a slip of the pen."""
KNOWN = (
    *("binance-spot", "binance-usdm", "bybit-spot", "bybit-linear", "okx-spot", "okx-linear", "kraken-spot"),
    *("kraken-linear", "coinbase-spot", "bitfinex-spot", "bitfinex-linear", "bitstamp-spot", "hyperliquid-perp"),
    *("bitget-linear", "gate-linear", "kucoin-spot", "deribit-linear", "dydx-perp", "simulated"),
)
"""Tokens to suggest."""


def split(venue: str) -> tuple[str, str]:
    """Return the exchange of a token and the word for its market, such as ('binance', 'usdm'); '' where it has none."""
    exchange, _, word = venue.rpartition("-")
    if exchange and (word in _SPOT or word in _LINEAR or word in _REFUSED):
        return exchange, word
    return venue, ""


def named_market(venue: str) -> Market | None:
    """Return the market that a token names; None where it names none."""
    _, word = split(venue)
    if word in _SPOT:
        return "spot"
    return "linear" if word in _LINEAR or venue in _LINEAR_ALONE or venue.startswith("simulated-") else None


def is_spot(venue: str) -> bool:
    """Whether a token stands for a market that is bought with cash alone."""
    return named_market(venue) != "linear" and not why_refused(venue)


def why_refused(venue: str) -> str:
    """Return what the market of a token trades that is neither spot nor linear; empty for any other."""
    return _REFUSED.get(split(venue)[1], "") or _REFUSED_ALONE.get(venue, "")


def near_miss(venue: str) -> str:
    """Return what a token was probably meant to be, as `did_you_mean` says it; empty where it is right or its own."""
    exchange, word = split(venue)
    if not word and "-" in venue:  # no market that is known
        return did_you_mean(venue, KNOWN)
    meant = next((known for known in sorted(EXCHANGES) if _is_slip(exchange, known)), "")
    return f"Did you mean {venue.replace(exchange, meant, 1)!r}?" if meant and exchange not in EXCHANGES else ""


def _is_slip(written: str, meant: str) -> bool:
    """Whether one name is the other with a letter changed, added, left out, or two of them exchanged."""
    if abs(len(written) - len(meant)) > 1 or min(len(written), len(meant)) < 4:
        return False
    same = next(
        (k for k, (a, b) in enumerate(zip(written, meant, strict=False)) if a != b), min(len(written), len(meant))
    )
    a, b = written[same:], meant[same:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
