"""How the columns of a table of bars are named: by its header, wherever it stands, or by the form of its rows.

| table | told by |
|---|---|
| with a header row | the names; what stands above it, such as the address in files of CryptoDataDownload, is no row |
| yfinance | three lines `Price`, `Ticker`, `Date`; its volume of coins is in quote currency, its days are UTC |
| Binance klines | 12 or 11 columns |
| Kraken archives | 7 columns, times in seconds: the last two are volume and trades |
| Kraken answers | 8 columns, times in seconds, a mean price before the volume |
| OKX answers | 9 columns: three volumes and `confirm` |
| Bybit answers | 7 columns, times in milliseconds: the last is the turnover |
| KuCoin answers | 7 columns, times in seconds, the close behind the open: the last is the turnover |
| MetaTrader 4 | 7 columns, a date `2020.01.31` and a clock before the prices; the last counts ticks |
| ccxt, Bitfinex, Coinbase | 6 columns: the prices in the order in which high and low bound them |
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from virtuoso.account import markets
from virtuoso.errors import AmbiguousError
from virtuoso.venues.files.bar_columns import (
    CLOCK,
    PRICES,
    SPELLINGS,
    TICKS,
    missing_columns,
    recognise,
    why_no_bars,
)
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.table import Fields, Layout, is_header, plain_name, unique
from virtuoso.venues.naming import stem_of, symbol_of

KLINE_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
"""Columns of a Binance kline file, in order, under the names used here."""

_KRAKEN = ("open_time", *PRICES, "volume", "trades")
_KRAKEN_ANSWER = ("open_time", *PRICES, "vwap", "volume", "trades")
_BYBIT = ("open_time", *PRICES, "volume", "quote_volume")
_OKX = ("open_time", *PRICES, "vol", "volccy", "volccyquote", "confirm")
_METATRADER = ("date", "time", *PRICES, "tick_volume")
_KUCOIN = ("open_time", "open", "close", "high", "low", "volume", "quote_volume")
_ORDERS: dict[
    tuple[str, ...], tuple[int, int]
] = {  # of the four prices behind the time, with where high and low stand among them
    PRICES: (1, 2),
    ("open", "close", "high", "low"): (2, 3),
    ("low", "high", "open", "close"): (1, 0),
}
_OF_EXCHANGE = {"bitfinex": ("open", "close", "high", "low"), "coinbase": ("low", "high", "open", "close")}
_YFINANCE = ("price", "ticker")
_YFINANCE_NAMES = {"Date", "Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits"}


class Shape(NamedTuple):
    """How a table of bars is read, as its first lines tell.

    Attributes
    ----------
    symbol : str
        Where the header names it; empty if not.
    zone : str or None
        In which the source is known to write times without one.
    quote_alone : bool
        Whether the volume is known to be in quote currency.
    """

    symbol: str = ""
    zone: str | None = None
    quote_alone: bool = False


_OTHER_KIND = re.compile(r"(?i)-(funding_rate|mark|index|premiumindex)$|premiumIndexKlines|BVOLIndex")
"""Names of files that look like bars of trades and are none: freqtrade's, and archives of Binance."""


def layout_of(lines: Sequence[Fields], path: Path, options: ImportOptions) -> Layout | str:
    """Return how the columns are named, or why it is no table of bars.

    Raises
    ------
    AmbiguousError
        It holds bars, and does not say what their volume is.
    """
    other = _OTHER_KIND.search(stem_of(path)) or _OTHER_KIND.search(str(path.parent))
    if other:
        return f"by its name it is about something else than trades ({other[0].strip('-')})"
    if _is_yfinance(lines):
        tickers = set(lines[1][1:]) - {""}
        if len(tickers) != 1:
            return f"it holds {len(tickers)} tickers side by side; write one file each"
        return _checked(Layout(unique(["Date", *lines[0][1:]]), header=True, renamed=False, above=2), path, options)
    headers = [place for place, fields in enumerate(lines) if is_header(fields)]
    reasons = []
    for place in headers:
        layout = Layout(unique(lines[place]), header=True, renamed=False, above=place)
        found = _checked(layout, path, options)
        if isinstance(found, Layout):
            return found
        reasons.append((len(lines[place]), found))
    if is_header(lines[0]):
        return max(reasons, key=lambda reason: reason[0])[1]
    names = _names_of(lines, options)
    return names if isinstance(names, str) else _checked(Layout(names, header=False, renamed=False), path, options)


def shape_of(lines: Sequence[Fields], path: Path) -> Shape:
    """Return what the first lines tell of the source."""
    if _is_yfinance(lines):
        return Shape(next((field for field in lines[1][1:] if field), ""), "UTC", quote_alone=True)
    plain = {plain_name(field) for fields in lines for field in fields}
    if any("cryptodatadownload" in name for name in plain):
        return Shape(zone="UTC")
    yahoo = _is_one_line_of_yfinance(lines)
    return Shape(zone="UTC" if yahoo else None, quote_alone=yahoo)


def named_columns(names: Sequence[str], path: Path, options: ImportOptions) -> dict[str, str]:
    """Return which column means what, of a file: our name to the table's."""
    symbol = options.symbol or symbol_of(path, options.venue) or ""
    return recognise(names, options.venue, symbol, options.columns)


def _checked(layout: Layout, path: Path, options: ImportOptions) -> Layout | str:
    named = named_columns(layout.names, path, options)
    wanted = {*named.values(), *(name for name in layout.names if plain_name(name) in (CLOCK, *TICKS))}
    reason = why_no_bars(named, layout.names, options.no_volume)
    if reason:
        missing = missing_columns(named, layout.names, options.no_volume)
        said = f"{reason}. {_remedy(missing, path, options)}" if len(layout.names) > len(PRICES) else reason
        if missing == ["volume"]:  # bars beyond doubt
            raise AmbiguousError(f"{path.name}: {said}")
        return said
    return layout._replace(wanted=tuple(name for name in layout.names if name in wanted))


def _remedy(missing: Sequence[str], path: Path, options: ImportOptions) -> str:
    """The command that settles which columns are meant, as far as it was given, and completed."""
    given = [("--venue", options.venue), ("--symbol", options.symbol), ("-i", options.timeframe)]
    given += [("--time-zone", options.time_zone), ("--time-format", options.time_format)]
    said = " ".join(f"{name} {shlex.quote(str(value))}" for name, value in given if value)
    columns = [f"{name}={shlex.quote(column)}" for name, column in options.columns] + [
        f'{name}="…"' for name in missing
    ]
    command = " ".join(filter(None, ("virtuoso data import", shlex.quote(str(path)), said, "--columns")))
    known = f"Names that are known: time, {', '.join(name for name in SPELLINGS if name != 'open_time')}"
    alone = ", or --no-volume" if missing == ["volume"] else ""
    return f"{known}. Say which column is which: {command} {','.join(columns)}{alone}"


def _is_yfinance(lines: Sequence[Fields]) -> bool:
    return len(lines) > 2 and tuple(plain_name(fields[0]) for fields in lines[:2]) == _YFINANCE


def _is_one_line_of_yfinance(lines: Sequence[Fields]) -> bool:
    """Whether a table has yfinance's header of one line: days, and volumes of millions without a fraction."""
    names = set(lines[0])
    if "Adj Close" in names and {"Date", "Volume"} <= names:
        return True
    if not {"Date", "Volume"} <= names <= _YFINANCE_NAMES or len(lines) < 2:
        return False
    days, volumes = ([fields[lines[0].index(name)] for fields in lines[1:]] for name in ("Date", "Volume"))
    return all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days) and all(
        re.fullmatch(r"\d{7,}(\.0)?", volume) for volume in volumes
    )


def _names_of(lines: Sequence[Fields], options: ImportOptions) -> tuple[str, ...] | str:
    """Names of the columns of rows without a header, or why they are not known."""
    first = lines[0]
    n = len(first)
    seconds = re.fullmatch(r"\d{9,10}(\.\d+)?", first[0]) is not None
    if n in (len(KLINE_COLUMNS), len(KLINE_COLUMNS) - 1):
        return KLINE_COLUMNS[:n]
    if n == 7 and re.fullmatch(r"\d{4}\.\d\d\.\d\d", first[0]):
        return _METATRADER
    by_form: Mapping[tuple[int, bool], tuple[str, ...]] = {
        (7, True): _KRAKEN,
        (8, True): _KRAKEN_ANSWER,
        (7, False): _BYBIT,
        (9, False): _OKX,
    }
    names = by_form.get((n, seconds))
    if names is not None and _fits(lines, PRICES):
        return names
    if n == 7 and seconds and _fits(lines, _KUCOIN[1:5]):
        return _KUCOIN
    if n in (5, 6):
        order = _order_of(lines, options)
        if order:
            return ("open_time", *order, "volume")[:n]
    return f"no header row, and {n} columns in no order that is known (Binance klines have {len(KLINE_COLUMNS)})"


def _order_of(lines: Sequence[Fields], options: ImportOptions) -> tuple[str, ...]:
    """Order of four prices; of several that fit the exchange's own, else the usual one."""
    own = _OF_EXCHANGE.get(markets.split(options.venue)[0])
    fitting = [order for order in _ORDERS if _fits(lines, order)]
    if own in fitting and own is not None:
        return own
    return max(fitting, key=lambda order: _bounded(lines, order)[0], default=())


def _fits(lines: Sequence[Fields], order: tuple[str, ...]) -> bool:
    """Whether high and low bound the prices of most of the first lines in an order; a damaged line decides nothing."""
    bounded, n = _bounded(lines, order)
    return 2 * bounded > n


def _bounded(lines: Sequence[Fields], order: tuple[str, ...]) -> tuple[int, int]:
    """In how many lines high and low bound the prices, and how many lines hold four prices."""
    high, low = _ORDERS[order]
    bounded, n = 0, 0
    for fields in lines:
        try:
            prices = [float(field) for field in fields[1:5]]
        except ValueError:
            continue
        if len(prices) == len(order):
            n += 1
            bounded += prices[high] >= max(prices) and prices[low] <= min(prices) and min(prices) > 0
    return bounded, n
