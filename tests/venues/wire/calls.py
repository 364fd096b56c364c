"""The unified calls of ccxt that the venue serves, with arguments; docs/guides/venue.md lists the same."""

from __future__ import annotations

from typing import Any

from tests.venues.wire.serving import BTC, ETH

PAIRS = [[BTC, "1m"], [ETH, "1m"]]
BOTH = [BTC, ETH]

CALLS: dict[str, tuple[Any, ...]] = {
    "load_markets": (),
    "fetch_markets": (),
    "fetch_currencies": (),
    "fetch_time": (),
    "fetch_status": (),
    "fetch_ohlcv": (BTC, "1m", None, 5),
    "fetch_mark_ohlcv": (BTC, "1h", None, 5),
    "fetch_index_ohlcv": (BTC, "1h", None, 5),
    "fetch_premium_index_ohlcv": (BTC, "1h", None, 5),
    "fetch_trades": (BTC, None, 5),
    "fetch_order_book": (BTC, 20),
    "fetch_l2_order_book": (BTC, 20),
    "fetch_ticker": (BTC,),
    "fetch_tickers": (BOTH,),
    "fetch_bids_asks": (BOTH,),
    "fetch_funding_rate": (BTC,),
    "fetch_funding_rates": (BOTH,),
    "fetch_funding_rate_history": (BTC,),
    "fetch_open_interest": (BTC,),
    "fetch_open_interest_history": (BTC, "1h"),
    "fetch_long_short_ratio_history": (BTC, "1h"),
    "fetch_leverage_tiers": (BOTH,),
    "fetch_market_leverage_tiers": (BTC,),
    "load_time_difference": (),
    "watch_ohlcv": (BTC, "1m"),
    "watch_ohlcv_for_symbols": (PAIRS,),
    "watch_order_book": (BTC, 50),
    "watch_order_book_for_symbols": (BOTH, 50),
    "watch_trades": (BTC,),
    "watch_trades_for_symbols": (BOTH,),
    "watch_ticker": (BTC,),
    "watch_tickers": (BOTH,),
    "watch_bids_asks": (BOTH,),
    "un_watch_ohlcv": (BTC, "1m"),
    "un_watch_ohlcv_for_symbols": (PAIRS,),
    "un_watch_order_book": (BTC,),
    "un_watch_order_book_for_symbols": (BOTH,),
    "un_watch_trades": (BTC,),
    "un_watch_trades_for_symbols": (BOTH,),
    "un_watch_ticker": (BTC,),
    "un_watch_tickers": (BOTH,),
    "watch_liquidations": (BTC,),
}
"""Served on both venues."""

OF_BINANCE: dict[str, tuple[Any, ...]] = {
    "fetch_last_prices": (BOTH,),
    "fetch_mark_price": (BTC,),
    "fetch_mark_prices": (BOTH,),
    "fetch_funding_interval": (BTC,),
    "fetch_funding_intervals": (BOTH,),
    "fetch_trading_limits": (BOTH,),
    "watch_mark_price": (BTC,),
    "watch_mark_prices": (BOTH,),
    "watch_liquidations_for_symbols": (BOTH,),
    "un_watch_mark_price": (BTC,),
    "un_watch_mark_prices": (BOTH,),
    "un_watch_bids_asks": (BOTH,),
}
"""Only there: ccxt has no such call for Bybit."""

WATCHED_FIRST = {name: name.removeprefix("un_") for name in (*CALLS, *OF_BINANCE) if name.startswith("un_")}
ON_EACH = [
    *((venue, name, arguments) for venue in ("binance", "bybit") for name, arguments in CALLS.items()),
    *(("binance", name, arguments) for name, arguments in OF_BINANCE.items()),
]
