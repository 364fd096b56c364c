"""What the name of a file says: of which contract its rows are, where they are from, and how long its bars are.

| source | named |
|---|---|
| Binance archives | `BTCUSDT-1m-2020-12.zip`, `BTCUSD_PERP-aggTrades-2023-10-01.zip`, `BTCUSDT_240628-1h-2024-05.csv` |
| Bybit archives | `BTCUSDT2023-01-01.csv.gz`, `BTC-27JUN252025-01-01.csv.gz` |
| OKX, Coinbase, Deribit | `BTC-USDT-SWAP-1H.csv`, `BTC-USD.csv`, `BTC-PERPETUAL-1h.csv` |
| Kraken, Bitfinex | `XBTUSD_1.csv`, `PF_XBTUSD_60.csv`, `tBTCUSD_1m.csv` |
| Gate, MEXC, KuCoin | `BTC_USDT_1h.csv` |
| freqtrade | `BTC_USDT-1h.feather`, `BTC_USDT_USDT-1h-futures.feather`, `BTC_USDT_USDT-8h-funding_rate.feather` |
| TradingView | `BINANCE_BTCUSDT.P, 60.csv` |
| CryptoDataDownload | `Binance_BTCUSDT_1h.csv` |
| MetaTrader | `BTCUSD_M1_202401010000_202401312359.csv` |
| tardis | `binance-futures_trades_2020-02-22_BTCUSDT.csv.gz` |

Any other name says a symbol if one word of it ends in a common quote currency; what stands right behind it counts,
since `BTCUSDT_240628` is not `BTCUSDT`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from virtuoso.account import markets
from virtuoso.account.markets import Market
from virtuoso.account.symbols import DATED, INVERSE, OPTION, QUOTES, Contract, read_symbol
from virtuoso.errors import AmbiguousError

_SUFFIX = re.compile(r"(?i)\.(csv|txt|tsv|json|jsonl|feather|arrow|parquet|pq|zip|gz|bz2|xz|zst|xlsx?|part|data)$")
_WHAT = (
    "aggTrades|trades|fundingRate|metrics|bookDepth|bookTicker|liquidationSnapshot|klines|"
    "markPriceKlines|indexPriceKlines|premiumIndexKlines|BVOLIndex|EOHSummary"
)
_OF_DERIVATIVES = (
    "fundingRate|metrics|bookDepth|liquidationSnapshot|markPriceKlines|indexPriceKlines|premiumIndexKlines"
)
_LENGTH = r"\d+(?:s|m|h|d|w|M|mo|H|D|W)"
_DAY = r"\d{4}-\d{2}-\d{2}"
_TARDIS_MARKETS: dict[str, tuple[str, Market | None, str]] = {
    "binance-futures": ("binance", "linear", ""),
    "binance-delivery": ("binance", "linear", INVERSE),
    "binance-options": ("binance", "linear", OPTION),
    "binance-european-options": ("binance", "linear", OPTION),
    "binance-us": ("binanceus", "spot", ""),
    "binance": ("binance", "spot", ""),
    "bybit-spot": ("bybit", "spot", ""),
    "bybit-options": ("bybit", "linear", OPTION),
    "bybit": ("bybit", "linear", ""),
    "okex": ("okx", "spot", ""),
    "okex-swap": ("okx", "linear", ""),
    "okex-futures": ("okx", "linear", DATED),
    "okex-options": ("okx", "linear", OPTION),
    "huobi-dm": ("huobi", "linear", DATED),
    "huobi-dm-swap": ("huobi", "linear", INVERSE),
    "huobi-dm-linear-swap": ("huobi", "linear", ""),
    "cryptofacilities": ("kraken", "linear", ""),
    "kraken": ("kraken", "spot", ""),
    "gate-io-futures": ("gate", "linear", ""),
    "gate-io": ("gate", "spot", ""),
    "coinbase": ("coinbase", "spot", ""),
    "bitfinex": ("bitfinex", "spot", ""),
    "bitfinex-derivatives": ("bitfinex", "linear", ""),
    "bitstamp": ("bitstamp", "spot", ""),
    "deribit": ("deribit", "linear", ""),
    "bitmex": ("bitmex", "linear", ""),
    "hyperliquid": ("hyperliquid", "linear", ""),
    "dydx": ("dydx", "linear", ""),
}
"""Exchanges as tardis names them: ours, their market, and what their contracts are if they are not linear."""
_SAME = ({"okx", "okex"}, {"htx", "huobi"}, {"gate", "gateio"}, {"kraken", "krakenfutures"})
_FOLDERS: dict[tuple[str, ...], tuple[Market, str]] = {
    ("futures", "um"): ("linear", ""),
    ("futures", "cm"): ("linear", INVERSE),
    ("spot", "daily"): ("spot", ""),
    ("spot", "monthly"): ("spot", ""),
    ("option", "daily"): ("linear", OPTION),
}
"""Folders of Binance's archives."""


@dataclass(frozen=True, slots=True)
class FileName:
    """What a name says.

    Attributes
    ----------
    written : tuple of str
        Symbols as the name writes them; none if it says none, several if it could be any of them.
    contracts : tuple of Contract
        What each of them is.
    exchange : str
        As tokens of venues begin; empty where the name does not say it.
    """

    written: tuple[str, ...] = ()
    contracts: tuple[Contract, ...] = ()
    exchange: str = ""

    @property
    def symbols(self) -> list[str]:
        """The compact symbols, each once, in order of their names."""
        return sorted({contract.symbol for contract in self.contracts})


def read_name(path: Path, venue: str = "") -> FileName:
    """Return what the name of a file, and the folders of an archive, say of its rows."""
    found = next(filter(None, (scheme(stem_of(path), venue) for scheme in _SCHEMES)), FileName())
    folder = _of_folders(path)
    if folder is None or not found.contracts:
        return found
    market, refused = folder
    contracts = tuple(c._replace(market=market, refused=c.refused or refused) for c in found.contracts)
    return FileName(found.written, contracts, "binance")


def stem_of(path: Path) -> str:
    """Return a file's name without what says how it is packed."""
    stem = path.name
    while _SUFFIX.search(stem):
        stem = _SUFFIX.sub("", stem)
    return stem


def symbol_of(path: Path, venue: str = "") -> str | None:
    """Return the one symbol that a file's name says, compact, or None."""
    symbols = read_name(path, venue).symbols
    return symbols[0] if len(symbols) == 1 else None


def is_other_exchange(named: str, venue: str) -> bool:
    """Whether a venue is of another exchange than a name says."""
    own = markets.split(venue)[0]
    return bool(named) and not own.startswith((named, "simulated")) and not any({own, named} <= s for s in _SAME)


def _of_folders(path: Path) -> tuple[Market, str] | None:
    parts = [part.lower() for part in path.parts[:-1]]
    pairs = pairwise(parts)
    return next((_FOLDERS[pair] for pair in pairs if pair in _FOLDERS), None)


def _named(written: str, venue: str, exchange: str = "", market: Market | None = None, refused: str = "") -> FileName:
    """What a scheme found, if it is a symbol."""
    try:
        contract = read_symbol(written, venue)
    except AmbiguousError:
        return FileName(exchange=exchange)
    contract = contract._replace(market=contract.market or market, refused=contract.refused or refused)
    return FileName((written,), (contract,), exchange)


def _tardis(stem: str, venue: str) -> FileName | None:
    what = (
        "trades|derivative_ticker|liquidations|incremental_book_L2|book_snapshot_\\d+|quotes|book_ticker|options_chain"
    )
    found = re.fullmatch(rf"([a-z][a-z-]*)_(?:{what})_{_DAY}_([A-Za-z0-9_:.-]+)", stem)
    if found is None or found[1] not in _TARDIS_MARKETS:
        return None
    exchange, market, refused = _TARDIS_MARKETS[found[1]]
    if re.fullmatch("SPOT|PERPETUALS|FUTURES|OPTIONS", found[2]):  # all of a market, named by a column
        return FileName(exchange=exchange)
    return _named(found[2], f"{exchange}-{market}", exchange, market, refused)


def _tradingview(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(r"([A-Z]{3,})_([A-Z0-9.!]+), ?\w+(?:[_ ].*)?", stem)
    if found is None:
        return None
    exchange = found[1].lower()
    if exchange not in markets.EXCHANGES:
        return _named(found[2], venue)
    perpetual = found[2].endswith((".P", "PERP"))
    return _named(
        found[2], f"{exchange}-{'linear' if perpetual else 'spot'}", exchange, "linear" if perpetual else "spot"
    )


def _crypto_data_download(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(
        r"([A-Z][A-Za-z]+)_([A-Z0-9]+)_(?:\d{4}_)?(minute|hour|daily|d|h|\d+\s?(?:m|h|hr|min|d))", stem
    )
    if found is None or found[1].lower() not in markets.EXCHANGES:
        return None
    return _named(found[2], venue, found[1].lower())


def _freqtrade(stem: str, venue: str) -> FileName | None:
    of = "futures|mark|index|premiumIndex|funding_rate|spot"
    found = re.fullmatch(
        rf"([A-Z0-9]+)_([A-Z0-9]+?)(?:_([A-Z0-9]+))?(?:-(\d{{6}}))?-(?:{_LENGTH}|trades)(?:-({of}))?", stem
    )
    if found is None or not re.fullmatch(rf"{QUOTES}|USDS|DAI", found[2]):
        return None
    base, quote, settled, day, kind = found.groups()
    if settled and not re.fullmatch(rf"{QUOTES}|{base}", settled):
        return None
    written = f"{base}/{quote}" + (f":{settled}" if settled else "") + (f"-{day}" if day else "")
    return _named(written, venue, market="linear" if settled or kind not in (None, "spot") else "spot")


def _binance(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(rf"([A-Z0-9]+(?:_PERP|_\d{{6}})?)-({_LENGTH}|{_WHAT})(?:[-_ (].*)?", stem)
    if found is None or not re.fullmatch(rf".+({QUOTES})(_PERP|_\d{{6}})?", found[1]):
        return None
    return _named(found[1], venue, market="linear" if re.fullmatch(_OF_DERIVATIVES, found[2]) else None)


def _bybit(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(rf"([A-Z0-9]+(?:-\d{{1,2}}[A-Z]{{3}}\d{{2}})?){_DAY}", stem)
    return _named(found[1], venue or "bybit-linear", "bybit") if found else None


def _bitfinex(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(
        r"(t(?:[A-Z0-9]+F0[:_][A-Z0-9]+F0|[A-Z0-9]{3,}:[A-Z0-9]+|[A-Z0-9]{6}))(?:[-_ ,].*)?", stem.replace("%3A", ":")
    )
    return _named(found[1], "bitfinex", "bitfinex") if found else None


def _kraken(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(r"((?:PF|PI|FF|FI)_[A-Z0-9]+(?:_\d{6}(?!\d))?)(?:[-_ ,].*)?", stem)
    return _named(found[1], venue, "kraken") if found else None


def _unified(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(r"([A-Z0-9]+)[-_]([A-Z0-9]+):([A-Z0-9]+(?:-\d{6})?)(?:[-_ ,].*)?", stem)
    return _named(f"{found[1]}/{found[2]}:{found[3]}", venue) if found else None


def _dashed(stem: str, venue: str) -> FileName | None:
    """`BTC-USDT-SWAP-1H`, `BTC-USD`, `BTC-PERPETUAL-1h`, `BTC-27JUN25`."""
    date = r"\d{6}(?:-\d+-[CP])?(?!\d)"
    written = r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2}(?:-\d+-[CP])?(?!\d)"
    found = re.match(
        rf"([A-Z0-9]+-(?:(?:{QUOTES})(?:-(?:SWAP|PERP|PERPETUAL|{date}|{written}))?)|"
        rf"[A-Z0-9]+(?:_(?:USDC|USDT))?-(?:PERPETUAL|{written}))(?![A-Za-z0-9])",
        stem,
    )
    return _named(found[1], venue) if found else None


def _underscored(stem: str, venue: str) -> FileName | None:
    """`BTC_USDT`, `BTC_USDT_1h`: only of dollars that are nothing else, since `PRICES_USD` may be prices in USD."""
    found = re.match(r"([A-Z0-9]{1,12})_(USDT|USDC|BUSD|FDUSD)(?![A-Za-z0-9])", stem)
    if found is None or found[1].lower() in markets.EXCHANGES:
        return None
    behind = _BEHIND.match(stem, found.end())
    return _named(f"{found[1]}{found[2]}{behind[0].upper() if behind else ''}", venue)


def _metatrader(stem: str, venue: str) -> FileName | None:
    found = re.fullmatch(rf"([A-Z0-9]+(?:{QUOTES}))[-_, ]?(?:M1|M5|M15|M30|H1|H4|D1|W1|MN1?|Daily)(?:[-_ ].*)?", stem)
    return _named(found[1], venue) if found else None


_WORD = re.compile(rf"(?<![A-Za-z0-9])([A-Z0-9]{{2,15}}(?:{QUOTES}))(?![A-Za-z0-9])")
_BEHIND = re.compile(
    r"(?i)[_-](PERP|\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)|\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2}(?![A-Za-z0-9])"
    r"|(?:(?:CURRENT|NEXT|BI|THIS)[_-])?QUARTER(?:LY)?|CQ|NQ|DELIVERY)(?![A-Za-z])|(\.P|PERP)(?![A-Za-z0-9])"
)
_PERP_WORD = re.compile(r"(?<![A-Za-z0-9])([A-Z0-9]{2,15}PERP)(?![A-Za-z0-9])")


def _any(stem: str, venue: str) -> FileName | None:
    found = [_named(word, venue) for word in _words(stem)]
    contracts = {
        written: contract for one in found for written, contract in zip(one.written, one.contracts, strict=True)
    }
    return FileName(tuple(contracts), tuple(contracts.values())) if contracts else None


def _words(stem: str) -> Iterator[str]:
    """Words of a name that look like symbols, with what stands right behind them."""
    for found in _WORD.finditer(stem):
        behind = _BEHIND.match(stem, found.end())
        yield found[1] + (behind[0].upper() if behind else "")
    yield from _PERP_WORD.findall(stem)


_SCHEMES = (
    _tardis,
    _tradingview,
    _freqtrade,
    _binance,
    _bybit,
    _kraken,
    _bitfinex,
    _unified,
    _crypto_data_download,
    _dashed,
    _underscored,
    _metatrader,
    _any,
)
"""In the order in which they are asked: the more a scheme asks of a name, the sooner."""


_LENGTHS = re.compile(r"(?<![A-Za-z0-9])([1-9]\d*)\s?(s|m|h|d|w|mo|M|H|D|W|min|hr)(?![A-Za-z0-9])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "hr": 3_600_000, "H": 3_600_000, "d": 86_400_000}
_DAY_MS = 86_400_000
_LONG_MS = {"D": _DAY_MS, "w": 7 * _DAY_MS, "W": 7 * _DAY_MS, "M": 30 * _DAY_MS, "mo": 30 * _DAY_MS}
_METATRADER = re.compile(r"(?<![A-Za-z0-9])(MN1?|M1|M5|M15|M30|H1|H4|D1|W1)(?![A-Za-z0-9])")
_METATRADER_MS = {"M": 60_000, "H": 3_600_000, "D": _DAY_MS, "W": 7 * _DAY_MS}
_WORDS_MS = {"minute": 60_000, "hour": 3_600_000, "hourly": 3_600_000, "daily": _DAY_MS, "weekly": 7 * _DAY_MS}
_TRADINGVIEW = re.compile(r", ?(\d+)(?![\dA-Za-z])|, ?(\d*)([SDWM])(?![A-Za-z0-9])")


def lengths_in(path: Path) -> set[int]:
    """Return how long the bars of a file may be by its name, ms; a month counts as 30 days."""
    stem = stem_of(path)
    found = {int(number) * (_UNIT_MS | _LONG_MS)[unit] for number, unit in _LENGTHS.findall(stem)}
    for minutes, number, unit in _TRADINGVIEW.findall(stem):
        per = {"S": 1_000, "D": _DAY_MS, "W": 7 * _DAY_MS, "M": 30 * _DAY_MS}
        found.add(int(minutes) * 60_000 if minutes else int(number or 1) * per[unit])
    for word in _METATRADER.findall(stem):
        found.add(30 * _DAY_MS if word.startswith("MN") else int(word[1:]) * _METATRADER_MS[word[0]])
    return found | {length for word, length in _WORDS_MS.items() if re.search(rf"(?i)(?<![a-z]){word}(?![a-z])", stem)}
