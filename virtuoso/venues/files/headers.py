"""The columns of bars, in the spellings that exchanges and their users write."""

from __future__ import annotations

import re
from collections.abc import Mapping

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

SPELLINGS: dict[str, tuple[str, ...]] = {  # the first that a table carries is taken
    "open_time": (
        *("open_time", "open_time_ms", "opentime", "open_datetime", "open_date", "kline_open_time", "start_time"),
        *("timestamp", "timestamp_ms", "datetime", "date", "time", "unix", "ts", "start", "__index_level_0__"),
    ),
    "close_time": ("close_time", "close_time_ms", "closetime", "close_datetime", "close_date", "end_time"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "quotevolume", "volume_quote", "turnover"),
    "trades": ("trades", "count", "number_of_trades", "num_trades", "n_trades", "trade_count"),
    "taker_buy_volume": (
        "taker_buy_volume",
        "taker_buy_base_asset_volume",
        "taker_buy_base_volume",
        "taker_base_volume",
    ),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume", "taker_quote_volume"),
    "symbol": ("symbol", "pair", "ticker", "instrument"),
    "venue": ("venue", "exchange"),
}
NEEDED = ("open", "high", "low", "close", "volume")
NUMBERS = (*NEEDED, "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def recognise(names: list[str]) -> dict[str, str]:
    """Find the columns of bars among a table's columns: our name to the table's.

    Examples
    --------
    >>> recognise(["Open time", "Open", "Quote asset volume"])
    {'open_time': 'Open time', 'open': 'Open', 'quote_volume': 'Quote asset volume'}
    """
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()), name)
    found = {}
    for meaning, spellings in SPELLINGS.items():
        spelling = next((s for s in spellings if s in plain), None)
        if spelling is not None:
            found[meaning] = plain[spelling]
    return found


def why_no_bars(named: Mapping[str, str], names: list[str]) -> str:
    """Say why a table with these columns does not hold bars; empty if it may."""
    missing = [name for name in NEEDED if name not in named]
    if "open_time" not in named and "close_time" not in named:
        missing.append("the time")
    listed = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:8])
    return f"no column for {', '.join(missing)} among {listed}{', …' if len(names) > 8 else ''}" if missing else ""
