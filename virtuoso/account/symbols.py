"""Symbols as venues write them, and what contract each of them names.

Virtuoso trades spot and linear perpetual contracts. A symbol that names something else (an inverse contract, margined
in the coin; a quanto; one with a day of delivery; an option; an index) is told by its own name and never becomes the
perpetual that shares its first letters.

| scheme | written | is |
|---|---|---|
| ccxt | `BTC/USDT`, `BTC/USDT:USDT`, `BTC/USD:BTC`, `BTC/USDT:USDT-240628` | spot, linear, inverse, dated |
| Binance | `BTCUSDT`, `BTCUSD_PERP`, `BTCUSDT_240628` | either market, inverse, dated |
| Bybit | `BTCPERP`, `BTCUSD`, `BTC-27JUN25`, `BTCUSDM25` | linear in USDC, inverse, dated, dated |
| OKX | `BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-SWAP`, `BTC-USD-240628` | spot, linear, inverse, dated |
| Deribit | `BTC_USDC-PERPETUAL`, `BTC-PERPETUAL`, `BTC-27JUN25-60000-C` | linear, inverse, option |
| Kraken | `XBTUSD`, `PF_XBTUSD`, `PI_XBTUSD`, `FI_XBTUSD_240628` | spot, linear, inverse, dated |
| Bitfinex | `tBTCUSD`, `tBTCF0:USTF0`, `fUSD` | spot, linear, lending |
| TradingView | `BINANCE:BTCUSDT`, `BINANCE:BTCUSDT.P`, `CME:BTC1!` | spot, perpetual, dated |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from virtuoso.account import markets
from virtuoso.account.markets import Market
from virtuoso.errors import AmbiguousError

INVERSE = "an inverse contract, margined in the coin"
QUANTO = "a quanto contract, margined in another coin"
DATED = "a contract with a day of delivery"
OPTION = "an option"

QUOTES = "USDT|USDC|FDUSD|BUSD|TUSD|USD|EUR|GBP|JPY|TRY|BRL|BTC|ETH|BNB"
_DOLLARS = ("USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD")
_INVERSE_BY_USD: dict[
    str, tuple[str, ...]
] = {  # exchanges whose contracts in USD are inverse, and their quotes that only end like it
    "binance": ("FDUSD", "BUSD", "TUSD"),
    **dict.fromkeys(("bybit", "bitmex", "okx", "okex", "deribit", "htx", "huobi", "bitget", "gate", "phemex"), ()),
}
_SPOT_BY_DASH = ("okx", "okex", "coinbase")
_MANY = re.compile(r"^10{3,}(?=[A-Z])|(?<=[A-Z])10{3,}(?=USD[TC]?$)")  # a thousand or a million of a cheap coin
_PLAIN = re.compile(r"[A-Z0-9]{2,30}")
_OF_EXCHANGE = re.compile(r"^[A-Z]{3,}:(?=[A-Z0-9.!]+$)")  # `BINANCE:BTCUSDT.P`
_DAY = r"(?:\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|20\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
_WRITTEN_DAY = r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2}"
_QUARTERS = r"(?:(?:CURRENT|NEXT|BI|THIS)[_-])?(?:QUARTER|QUARTERLY|WEEK|MONTH)|CQ|NQ|CW|NW|DELIVERY"
_PERPETUAL = r"PERP|PERPETUAL|SWAP"


class Contract(NamedTuple):
    """What a symbol names.

    Attributes
    ----------
    symbol : str
        Compact: `BTCUSDT`.
    market : 'spot', 'linear' or None
        As far as the name tells it.
    refused : str
        What it is where it is neither spot nor a linear perpetual contract, else empty.
    """

    symbol: str
    market: Market | None = None
    refused: str = ""


def read_symbol(written: str, venue: str = "") -> Contract:
    """Return what contract a symbol names, in the scheme of its venue.

    Parameters
    ----------
    written : str
        As the source writes it.
    venue : str
        Such as 'bybit-linear': the same letters mean different contracts at different venues.

    Raises
    ------
    AmbiguousError
        It is no symbol in any scheme that is known.

    Examples
    --------
    >>> read_symbol("BTC-USD-SWAP").refused
    'an inverse contract, margined in the coin'
    >>> read_symbol("BTCPERP", "bybit-linear")
    Contract(symbol='BTCUSDC', market='linear', refused='')
    """
    exchange = markets.split(venue)[0].split("-")[0]
    text = written.strip()
    plain = _OF_EXCHANGE.sub("", text.upper())
    for shown, schemes in ((text, _BITFINEX), (plain, _SCHEMES)):
        for pattern, read in schemes:
            found = pattern.fullmatch(shown)
            contract = read(found, exchange) if found else None
            if contract is not None:
                return contract
    if _PLAIN.fullmatch(plain):
        return _plain(plain, exchange, venue)
    raise AmbiguousError(f"{written!r} is not a symbol. Try BTCUSDT or BTC/USDT:USDT.")


def symbol_of(instrument: str) -> str:
    """Symbol of an instrument as it is compared across venues.

    Examples
    --------
    >>> [symbol_of(text) for text in ("BTCUSDT binance-spot", "binance-usdm:BTCUSDT", "1000PEPEUSDT binance-usdm")]
    ['BTCUSDT', 'BTCUSDT', 'PEPEUSDT']
    >>> symbol_of("SHIB1000USDT bybit-linear")
    'SHIBUSDT'
    """
    symbol = instrument.partition(" ")[0].rpartition(":")[2]
    return _MANY.sub("", symbol.upper())


def refusal(written: str, contract: Contract, venue: str) -> str:
    """Return why a symbol cannot be of a venue: of another kind of contract or another market; empty if it can."""
    if contract.refused:
        never = "" if contract.symbol in written.upper().split() else f", and it never becomes {contract.symbol}"
        return f"{written} is {contract.refused}. Virtuoso trades spot and linear perpetual contracts{never}."
    market = markets.named_market(venue)
    if contract.market and market and contract.market != market and not venue.startswith("simulated"):
        other = "spot" if contract.market == "spot" else "a linear perpetual contract"
        return f"{written} is {other} by its name, and {venue} is not. Pass the --venue of that market."
    return ""


def _perpetual(base: str, quote: str, exchange: str) -> Contract:
    """A perpetual contract of a pair: inverse where it is in plain dollars at an exchange that has both."""
    inverse = quote == "USD" and exchange in ("", *_INVERSE_BY_USD)
    return Contract(base + quote, "linear", INVERSE if inverse else "")


def _unified(found: re.Match[str], exchange: str) -> Contract:
    base, quote, settled, day, option = found.groups()
    if option or day:
        return Contract(base + quote, "linear", OPTION if option else DATED)
    if settled is None:
        return Contract(base + quote)
    linear = settled == quote or (settled in _DOLLARS and quote in _DOLLARS)
    return Contract(base + quote, "linear", "" if linear else INVERSE if settled == base else QUANTO)


def _of_pair(found: re.Match[str], exchange: str) -> Contract | None:
    base, quote, ending = found["base"], found["quote"], found["ending"]
    if ending is None:
        spot = exchange in _SPOT_BY_DASH and "-" in found[0]
        return Contract(base + quote, "spot" if spot else None)
    if re.fullmatch(_PERPETUAL, ending):
        return _perpetual(base, quote, exchange)
    return Contract(base + quote, "linear", OPTION if re.fullmatch(r".*-[\d.]+-[CP]", ending) else DATED)


def _joined(found: re.Match[str], exchange: str) -> Contract | None:
    """`BTCUSD_PERP`, `BTCUSDT_240628`, `BTCUSDTPERP`, `BTCUSDT.P`: a pair without a mark between its currencies."""
    pair = re.fullmatch(rf"(.+?)({QUOTES})", found["pair"])
    if pair is None:
        return None
    if re.fullmatch(_PERPETUAL + "|P", found["ending"]):
        return _perpetual(pair[1], pair[2], exchange)
    return Contract(found["pair"], "linear", DATED)


def _kraken(found: re.Match[str], exchange: str) -> Contract:
    kind, pair, day = found.groups()
    dated = kind in ("FF", "FI") or day is not None
    return Contract(pair, "linear", DATED if dated else INVERSE if kind == "PI" else "")


def _deribit(found: re.Match[str], exchange: str) -> Contract:
    base, quote, ending = found["base"], found["quote"] or "USD", found["ending"]
    if ending.startswith("PERP"):
        return Contract(base + quote, "linear", "" if found["quote"] else INVERSE)
    return Contract(base + quote, "linear", OPTION if ending.endswith(("-C", "-P")) else DATED)


def _in_usdc(found: re.Match[str], exchange: str) -> Contract | None:
    """`BTCPERP` is Bybit's contract in USDC."""
    return Contract(f"{found[1]}USDC", "linear") if not re.fullmatch(rf".+({QUOTES})", found[1]) else None


def _bitfinex(found: re.Match[str], exchange: str) -> Contract:
    base, quote = found[1], found[2].removesuffix("F0")
    perpetual = found[1].endswith("F0") and found[2].endswith("F0")
    quote = "USDT" if quote == "UST" else quote
    return Contract(base.removesuffix("F0") + quote, "linear" if perpetual else "spot")


def _plain(text: str, exchange: str, venue: str) -> Contract:
    """`BTCUSDT`: of either market; in plain dollars inverse, at a derivatives market of an exchange that has both."""
    if markets.why_refused(venue):
        return Contract(text, "linear", INVERSE)
    inverse = (
        exchange in _INVERSE_BY_USD
        and markets.named_market(venue) == "linear"
        and text.endswith("USD")
        and not any(text.endswith(quote) for quote in _INVERSE_BY_USD[exchange])
    )
    return Contract(text, "linear" if inverse else None, INVERSE if inverse else "")


def _refused(what: str) -> Callable[[re.Match[str], str], Contract]:
    return lambda found, exchange: Contract(found[1], None, what)


_Schemes = tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Contract | None]], ...]
_BITFINEX: _Schemes = (  # the small letter tells
    (re.compile(r"t([A-Z0-9]+F0)[:_]?([A-Z0-9]+F0)"), _bitfinex),
    (re.compile(r"t([A-Z0-9]{3,10})[:_]([A-Z0-9]{3,10})"), _bitfinex),
    (re.compile(r"t([A-Z0-9]{3})([A-Z0-9]{3})"), _bitfinex),
    (re.compile(r"f([A-Z]{3,4})"), _refused("a market of lending")),
)
_SCHEMES: _Schemes = (
    (
        re.compile(rf"([A-Z0-9]{{1,20}})/([A-Z0-9]{{1,10}})(?::([A-Z0-9]{{1,10}}))?(?:-({_DAY})(-[\d.]+-[CP])?)?"),
        _unified,
    ),
    (re.compile(r"(PF|PI|FF|FI)_([A-Z0-9]+?)(?:_(\d{6}))?"), _kraken),
    (
        re.compile(
            rf"(?P<base>[A-Z0-9]{{1,12}})(?:_(?P<quote>USDC|USDT|EURR))?-"
            rf"(?P<ending>PERPETUAL|{_WRITTEN_DAY}(?:-[\dD.]+-[CP])?)"
        ),
        lambda found, exchange: None if re.fullmatch(rf".+({QUOTES})", found["base"]) else _deribit(found, exchange),
    ),
    (
        re.compile(
            rf"(?P<base>[A-Z0-9]{{1,20}})[-_](?P<quote>{QUOTES})(?:_UM)?"
            rf"(?:[-_ ](?P<ending>{_PERPETUAL}|{_QUARTERS}|{_DAY}(?:-[\d.]+-[CP])?|{_WRITTEN_DAY}(?:-[\d.]+-[CP])?))?"
        ),
        _of_pair,
    ),
    (re.compile(rf"(?P<pair>[A-Z0-9]{{3,30}}?)[_ -](?P<ending>{_PERPETUAL})(?:\.[A-Z0-9]+)?"), _joined),
    (re.compile(r"(?P<pair>[A-Z0-9]{3,30}?)(?P<ending>PERP)"), _joined),
    (re.compile(r"(?P<pair>[A-Z0-9]{3,30}?)\.(?P<ending>P)"), _joined),
    (
        re.compile(rf"(?P<pair>[A-Z0-9]{{3,30}}?)[_ -](?P<ending>{_DAY}|{_WRITTEN_DAY}|(?:{_QUARTERS})(?: \d+)?)"),
        _joined,
    ),
    (re.compile(r"([A-Z0-9]{1,20})PERP"), _in_usdc),
    (re.compile(r"([A-Z0-9]{2,12}(?:USD|USDT|USDC)|XBT|BTC|ETH|SOL|XRP|LTC|ADA)[FGHJKMNQUVXZ]\d{2}"), _refused(DATED)),
    (re.compile(r"([A-Z]{2,6})[12]!"), _refused(DATED)),
    (re.compile(r"([A-Z0-9]+) (?:CM|COIN-M)(?: .*)?"), _refused(INVERSE)),
)
"""Forms of symbols in capitals, each with how it is read; the first that fits and reads is taken."""
