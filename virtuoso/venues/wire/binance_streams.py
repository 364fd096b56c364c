"""Streams of Binance USD-M: what each one says between two moments.

A stream is made once for each connection that asks for it, then asked for every step of the venue's clock; it holds
what its sequence rules need. Sources: developers.binance.com, USDS-margined futures, websocket market streams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from virtuoso.venues.wire.binance_rest import INTERVALS, day_ticker, premium_index
from virtuoso.venues.wire.book import changes
from virtuoso.venues.wire.listing import Bar, Listing, next_open, open_time_of
from virtuoso.venues.wire.world import World

Message = dict[str, Any] | list[dict[str, Any]]
Stream = Callable[[int, int], Iterable[Message]]
"""Gives the messages of the stretch (before, at], ms."""
LEVELS = 1_000
TRADE_TYPE = "MARKET"


def crossed(step: int, before: int, at: int) -> bool:
    """Say whether a multiple of `step` lies in (before, at]."""
    return at // step > before // step


def open_stream(world: World, name: str) -> Stream:
    """Give the stream of a name; as at Binance, one that there is not is accepted and stays silent."""
    if name.startswith("!"):
        return _of_all(world, name)
    symbol, _, kind = name.partition("@")
    if kind.startswith("continuousKline_"):
        symbol, _, contract = symbol.partition("_")
        if contract != "perpetual":
            return _silent
    listing = world.listings.get(symbol.upper())
    if listing is None:
        return _silent
    kind, _, speed = kind.partition("@")
    if match := re.fullmatch(r"(kline|continuousKline)_(\w+)", kind):
        return _klines(listing, match[2], match[1]) if match[2] in INTERVALS else _silent
    if match := re.fullmatch(r"depth(5|10|20)?", kind):
        step = {"": 250, "100ms": 100, "250ms": 250, "500ms": 500}.get(speed)
        if step is None:
            return _silent
        return _top(listing, int(match[1]), step) if match[1] else _depth(listing, step)
    made: dict[str, Callable[[Listing], Stream]] = {
        "aggTrade": _agg_trades,
        "trade": _trades,
        "bookTicker": _book_ticker,
        "ticker": lambda each: _every(1_000, lambda at: ticker(each, at)),
        "miniTicker": lambda each: _every(1_000, lambda at: mini_ticker(each, at)),
        "markPrice": lambda each: _every(1_000 if speed == "1s" else 3_000, lambda at: mark_price(each, at)),
        "forceOrder": _force_orders,
    }
    return made[kind](listing) if kind in made else _silent


def _of_all(world: World, name: str) -> Stream:
    listings = list(world.listings.values())
    lists: dict[str, tuple[int, Callable[[Listing, int], dict[str, Any]]]] = {
        "!ticker@arr": (1_000, ticker),
        "!miniTicker@arr": (1_000, mini_ticker),
        "!markPrice@arr": (3_000, mark_price),
        "!markPrice@arr@1s": (1_000, mark_price),
    }
    if name in lists:
        step, tell = lists[name]
        return _every(step, lambda at: [tell(listing, at) for listing in listings])
    singles = {"!bookTicker": _book_ticker, "!forceOrder@arr": _force_orders}
    if name not in singles:
        return _silent
    parts = [singles[name](listing) for listing in listings]
    return lambda before, at: [message for part in parts for message in part(before, at)]


def _silent(_before: int, _at: int) -> Iterable[Message]:
    return ()


def _every(step: int, tell: Callable[[int], Message]) -> Stream:
    return lambda before, at: [tell(at)] if crossed(step, before, at) else ()


def _trades(listing: Listing) -> Stream:
    def step(before: int, at: int) -> Iterable[Message]:
        for t, i, p, q, side in listing.trades_in(before + 1, at).tolist():
            yield {
                "e": "trade", "E": at, "T": t, "s": listing.symbol, "t": i, "p": listing.ticks(p),
                "q": listing.lots(q), "X": TRADE_TYPE, "m": side < 0,
            }  # fmt: skip

    return step


def _agg_trades(listing: Listing) -> Stream:
    def step(before: int, at: int) -> Iterable[Message]:
        for t, i, p, q, side in listing.trades_in(before + 1, at).tolist():
            yield {
                "e": "aggTrade", "E": at, "a": i, "s": listing.symbol, "p": listing.ticks(p), "q": listing.lots(q),
                "f": i, "l": i, "T": t, "m": side < 0,
            }  # fmt: skip

    return step


def _depth(listing: Listing, every: int) -> Stream:
    """Changes of the book: `pu` is the `u` of the message before, `U` the first update after that."""
    cursor = listing.book.fresh()
    known = None

    def step(before: int, at: int) -> Iterable[Message]:
        nonlocal known
        if known is None:
            cursor.move(before)
            known = cursor.sides(LEVELS)
        if not crossed(every, before, at):
            return
        last = cursor.update
        cursor.move(at)
        if cursor.update == last:
            return
        now = cursor.sides(LEVELS)
        bids, asks = changes(known, now)
        known = now
        yield {
            "e": "depthUpdate", "E": at, "T": at, "s": listing.symbol, "U": last + 1, "u": cursor.update, "pu": last,
            "b": [[listing.ticks(p), listing.lots(q)] for p, q in bids],
            "a": [[listing.ticks(p), listing.lots(q)] for p, q in asks],
        }  # fmt: skip

    return step


def _top(listing: Listing, levels: int, every: int) -> Stream:
    """The best levels, whole each time."""
    cursor = listing.book.fresh()

    def step(before: int, at: int) -> Iterable[Message]:
        if not crossed(every, before, at):
            return
        last = cursor.update
        cursor.move(at)
        bids, asks = cursor.levels(levels)
        yield {
            "e": "depthUpdate", "E": at, "T": at, "s": listing.symbol, "U": min(last + 1, cursor.update),
            "u": cursor.update, "pu": last, "b": [[listing.ticks(p), listing.lots(q)] for p, q in bids],
            "a": [[listing.ticks(p), listing.lots(q)] for p, q in asks],
        }  # fmt: skip

    return step


def _book_ticker(listing: Listing) -> Stream:
    cursor = listing.book.fresh()
    told: Any = None

    def step(_before: int, at: int) -> Iterable[Message]:
        nonlocal told
        cursor.move(at)
        best = cursor.levels(1)
        if best == told or not (best[0] and best[1]):
            return
        told = best
        (bid, bid_size), (ask, ask_size) = best[0][0], best[1][0]
        yield {
            "e": "bookTicker", "u": cursor.update, "s": listing.symbol, "b": listing.ticks(bid),
            "B": listing.lots(bid_size), "a": listing.ticks(ask), "A": listing.lots(ask_size), "T": at, "E": at,
        }  # fmt: skip

    return step


def _klines(listing: Listing, interval: str, kind: str) -> Stream:
    """The bar that forms, four times a second while it trades, and once more when it is over."""
    length = INTERVALS[interval]

    def message(open_time: int, at: int, *, over: bool) -> Iterable[Message]:
        for bar in listing.bars(length, open_time, open_time, 1, newest=True, now=at):
            yield _kline(listing, interval, kind, bar, at, over=over)

    def step(before: int, at: int) -> Iterable[Message]:
        opened = open_time_of(before, length)
        if next_open(opened, length) <= at:
            yield from message(opened, next_open(opened, length), over=True)
            opened = next_open(opened, length)
        if crossed(250, before, at) and len(listing.trades_in(before + 1, at)):
            yield from message(opened, at, over=False)

    return step


def _kline(listing: Listing, interval: str, kind: str, bar: Bar, at: int, *, over: bool) -> dict[str, Any]:
    ids = listing.trades_in(bar.open_time, min(bar.close_time, at))[:, 1]
    quote = listing.coin.tick_decimals + listing.coin.lot_decimals
    k = {
        "t": bar.open_time, "T": bar.close_time, "s": listing.symbol, "i": interval,
        "f": int(ids[0]) if len(ids) else -1, "L": int(ids[-1]) if len(ids) else -1, "o": listing.price(bar.open),
        "c": listing.price(bar.close), "h": listing.price(bar.high), "l": listing.price(bar.low),
        "v": listing.size(bar.volume), "n": bar.trades, "x": over, "q": f"{bar.quote_volume:.{quote}f}",
        "V": listing.size(bar.taker_buy_volume), "Q": f"{bar.taker_buy_quote_volume:.{quote}f}", "B": "0",
    }  # fmt: skip
    if kind == "kline":
        return {"e": "kline", "E": at, "s": listing.symbol, "k": k}
    del k["s"]
    return {"e": "continuous_kline", "E": at, "ps": listing.symbol, "ct": "PERPETUAL", "k": k}


def ticker(listing: Listing, at: int) -> dict[str, Any]:
    """Give the last 24 hours under the short names of streams."""
    long = day_ticker(listing, at)
    names = {
        "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "c": "lastPrice", "Q": "lastQty",
        "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime",
        "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
    }  # fmt: skip
    return {"e": "24hrTicker", "E": at, "s": listing.symbol} | {short: long[name] for short, name in names.items()}


def mini_ticker(listing: Listing, at: int) -> dict[str, Any]:
    """Give the shorter form of it."""
    whole = ticker(listing, at)
    return {"e": "24hrMiniTicker", "E": at, "s": listing.symbol} | {name: whole[name] for name in "cohlvq"}


def mark_price(listing: Listing, at: int) -> dict[str, Any]:
    """Give mark, index and funding."""
    long = premium_index(listing, at)
    return {
        "e": "markPriceUpdate", "E": at, "s": listing.symbol, "p": long["markPrice"], "i": long["indexPrice"],
        "P": long["estimatedSettlePrice"], "r": long["lastFundingRate"], "T": long["nextFundingTime"],
    }  # fmt: skip


def _force_orders(listing: Listing) -> Stream:
    """Liquidations: only the largest of a second, as at Binance."""

    def step(before: int, at: int) -> Iterable[Message]:
        if not crossed(1_000, before, at):
            return
        end = at // 1_000 * 1_000
        rows = listing.liquidations_in(end - 999, end)
        if len(rows) == 0:
            return
        t, side, limit, average, size = rows[int(np.argmax(rows[:, 4]))].tolist()
        yield {
            "e": "forceOrder", "E": at,
            "o": {
                "s": listing.symbol, "S": "SELL" if side < 0 else "BUY", "o": "LIMIT", "f": "IOC",
                "q": listing.lots(size), "p": listing.ticks(limit), "ap": listing.ticks(average), "X": "FILLED",
                "l": listing.lots(size), "z": listing.lots(size), "T": t,
            },
        }  # fmt: skip

    return step
