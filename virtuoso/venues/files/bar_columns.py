"""Which column of a table of bars means what, and what it counts, in the spellings of exchanges and their users.

A name is believed for what it says: `volCcy` of a swap is in the coin and its `vol` counts contracts; `Volume USD` is
in dollars and never base volume, whether or not another column is; `confirm` says whether a bar had closed. What a name
does not say is settled by the caller (`--columns`), or judged over the file (ingest/units.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from virtuoso.account import markets
from virtuoso.account.symbols import QUOTES
from virtuoso.errors import AmbiguousError, ConfigError, did_you_mean
from virtuoso.venues.files.table import plain_name

SPELLINGS: dict[str, tuple[str, ...]] = {  # the first that a table carries is taken; numbers before dates
    "open_time": (
        *("open_time", "open_time_ms", "opentime", "kline_open_time", "unix", "unix_timestamp", "unix_time", "ts"),
        *("timestamp_ms", "epoch", "start_time", "starttime", "start_at", "timestamp", "open_datetime", "open_date"),
        *("datetime", "date_time", "date_utc", "time_utc", "date", "time", "start", "t", "ticks", "index_level_0"),
        *("index", ""),
    ),
    "close_time": ("close_time", "close_time_ms", "closetime", "close_datetime", "close_date", "end_time"),
    "open": ("open", "o", "open_price", "opening_price"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "closing_price", "price_close"),
    "volume": ("volume", "base_volume", "volume_base", "basevolume", "volumefrom", "base_vol", "vol", "v"),
    "quote_volume": (
        *("quote_volume", "quote_asset_volume", "quotevolume", "volume_quote", "quote_vol", "turnover", "volumeto"),
        *("volume_currency", "volume_notional", "notional_volume", "notional", "q", "cost"),
    ),
    "trades": (
        *("trades", "count", "number_of_trades", "num_trades", "n_trades", "trade_count", "tradecount", "nb_trades"),
        *("trades_count", "n"),
    ),
    "taker_buy_volume": (
        *("taker_buy_volume", "taker_buy_base_asset_volume", "taker_buy_base_volume", "taker_base_volume"),
        *("taker_buy_base", "taker_base_vol"),
    ),
    "taker_buy_quote_volume": (
        *("taker_buy_quote_volume", "taker_buy_quote_asset_volume", "taker_quote_volume", "taker_buy_quote"),
        "taker_quote_vol",
    ),
    "symbol": ("symbol", "pair", "ticker", "instrument", "instrument_name", "inst_id", "instid", "product_id", "tic"),
    "venue": ("venue", "exchange"),
    "closed": (
        *("confirm", "is_closed", "isclosed", "closed", "is_final", "isfinal", "final", "complete", "is_complete"),
        *("candle_closed", "x"),
    ),
}
PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "quote_volume")
NUMBERS = (*PRICES, *VOLUMES, "trades", "taker_buy_volume", "taker_buy_quote_volume")
CLOCK = "time"
"""Column of the time of day, beside one of the day."""
TICKS = ("tickvol", "tick_volume")
"""Columns that count changes of the price: no trades, and no coins."""
_OKX = {"vol": ("vol",), "ccy": ("volccy", "vol_ccy"), "quote": ("volccyquote", "vol_ccy_quote", "vol_quote")}
_CURRENCIES = "|".join(sorted({*QUOTES.split("|"), "USDS", "DAI", "KRW", "AUD", "CAD", "CHF", "UST", "USDE"}, key=len))
_VOLUME_OF = re.compile(r"(?i)(?:volume|vol)[ _(]+([a-z0-9]{2,12})\)?|([a-z0-9]{2,12})[ _](?:volume|vol)")
_SHOWN = {"time": "the time"}
_ALIASES = {"time": "open_time"}


def recognise(
    names: Sequence[str], venue: str = "", symbol: str = "", said: Sequence[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return the columns of bars among a table's columns: our name to the table's.

    Parameters
    ----------
    names : sequence of str
    venue, symbol : str
        Whose bars they are, as far as it is known: it tells contracts from coins, base from quote.
    said : sequence of (str, str)
        Our name and the table's, by the caller; believed before any spelling.

    Raises
    ------
    AmbiguousError
        The caller names a column that there is not, or a column counts contracts, and none counts the coin.

    Examples
    --------
    >>> recognise(["Open time", "Open", "Quote asset volume"])
    {'open_time': 'Open time', 'open': 'Open', 'quote_volume': 'Quote asset volume'}
    >>> recognise(["date", "Volume BTC", "Volume USD"])
    {'open_time': 'date', 'volume': 'Volume BTC', 'quote_volume': 'Volume USD'}
    """
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(plain_name(name), name)
    by_caller = _by_caller(names, plain, said)
    free = {short: name for short, name in plain.items() if name not in by_caller.values()}
    found: dict[str, str] = {}
    for meaning, spellings in SPELLINGS.items():
        spelling = next((s for s in spellings if s in free), None)
        if spelling is not None:
            found[meaning] = free[spelling]
    found |= _of_currencies(free.values(), symbol)
    found = _of_contracts(free, found, venue, symbol) if not {"volume", "quote_volume"} & by_caller.keys() else found
    found |= by_caller
    if "open_time" in by_caller:
        found.pop("close_time", None)
    return {meaning: found[meaning] for meaning in SPELLINGS if meaning in found}


def check_meanings(said: Sequence[tuple[str, str]]) -> None:
    """Check the names of columns that the caller gives.

    Raises
    ------
    ConfigError
        One is none of ours.
    """
    for given, name in said:
        if given not in SPELLINGS and given not in _ALIASES:
            known = [*_ALIASES, *SPELLINGS]
            raise ConfigError(f"--columns {given}={name}: {given!r} is no column of bars. {did_you_mean(given, known)}")


def _by_caller(names: Sequence[str], plain: Mapping[str, str], said: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What the caller says columns mean."""
    found: dict[str, str] = {}
    for given, name in said:
        meaning = _ALIASES.get(given, given)
        written = name if name in names else plain.get(plain_name(name), "")
        if written not in names:
            raise AmbiguousError(f"--columns {given}={name}: the file has no such column. {did_you_mean(name, names)}")
        found[meaning] = written
    return found


def _of_currencies(names: Collection[str], symbol: str) -> dict[str, str]:
    """Volumes that name their currency: `Volume BTC`, `volume_usd`, `Volume (Currency)`."""
    written = {name: found[1] or found[2] for name in names if (found := _VOLUME_OF.fullmatch(name.strip()))}
    pair = symbol.replace("XBT", "BTC", 1)
    named = {
        currency.upper(): name
        for name, currency in written.items()
        if re.fullmatch(_CURRENCIES, currency.upper()) or (pair and pair.startswith(currency.upper()))
    }
    for name, currency in written.items():  # an unknown coin beside a known currency, as `Volume SHIB`, `Volume USDT`
        if named and currency.isupper() and currency not in named:
            named[currency] = name
    answer: dict[str, str] = {}
    for currency, name in named.items():
        is_base = pair.startswith(currency) if pair else not _is_quote(currency, named)
        answer.setdefault("volume" if is_base else "quote_volume", name)
    return answer


def _is_quote(currency: str, named: Collection[str]) -> bool:
    """Whether a currency is the one in which the other is priced, where no symbol tells."""
    ranks = {other: _rank_of_money(other) for other in named}
    return ranks[currency] == 3 or (len(ranks) > 1 and 0 < ranks[currency] == max(ranks.values()))


def _rank_of_money(currency: str) -> int:
    """How likely others are priced in a currency: money before BTC before coins that are quotes now and then."""
    if currency in ("BTC", "ETH", "BNB"):
        return 2 if currency == "BTC" else 1
    return 3 if re.fullmatch(_CURRENCIES, currency) else 0


def _of_contracts(plain: Mapping[str, str], found: Mapping[str, str], venue: str, symbol: str) -> dict[str, str]:
    """OKX's three volumes: `vol` counts contracts of a swap and coins of a pair, `volCcy` coins or quote currency."""
    if markets.split(venue)[0] in ("htx", "huobi") and {"amount", "vol"} <= plain.keys():  # the other way round
        return {**found, "volume": plain["amount"], "quote_volume": plain["vol"]}
    vol, ccy, quote = (next((plain[s] for s in spellings if s in plain), None) for spellings in _OKX.values())
    answer = dict(found)
    is_okx = markets.split(venue)[0] in ("okx", "okex")
    spot = markets.named_market(venue) == "spot"
    if ccy is not None and vol is not None:
        answer["volume"] = vol if spot else ccy
        if quote or spot:
            answer["quote_volume"] = quote or ccy
    elif ccy is not None:
        answer |= {"quote_volume": ccy} if spot else {"volume": ccy}
    elif is_okx and not spot and vol is not None and answer.get("volume") == vol and "open" in found:
        raise AmbiguousError(
            f"The column {vol!r} of OKX counts contracts of a swap, not coins, and no column volCcy counts those. Get "
            'the file with volCcy, or say which column counts coins: --columns volume="…".'
        )
    return answer


def why_no_bars(named: Mapping[str, str], names: Sequence[str], no_volume: bool = False) -> str:
    """Return why a table with these columns does not hold bars; empty if it may."""
    missing = missing_columns(named, names, no_volume)
    listed = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:8])
    shown = ", ".join(_SHOWN.get(name, name) for name in missing)
    return f"no column for {shown} among {listed}{', …' if len(names) > 8 else ''}" if missing else ""


def missing_columns(named: Mapping[str, str], names: Sequence[str], no_volume: bool = False) -> list[str]:
    """Return which columns a table of bars still needs, under our names."""
    missing = [name for name in PRICES if name not in named]
    counted = any(name in named for name in VOLUMES) or any(plain_name(name) in TICKS for name in names)
    if not (no_volume or counted):
        missing.append("volume")
    if "open_time" not in named and "close_time" not in named:
        missing.append("time")
    return missing
