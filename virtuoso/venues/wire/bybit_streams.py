"""Streams of Bybit v5, public linear: what each topic says between two moments.

Sources: bybit-exchange.github.io/docs/v5/websocket/public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from virtuoso.venues.wire.binance_streams import Message, Stream, crossed
from virtuoso.venues.wire.book import Sides, changes
from virtuoso.venues.wire.bybit_rest import INTERVALS, ticker, trade_id
from virtuoso.venues.wire.listing import Listing, next_open, open_time_of
from virtuoso.venues.wire.world import World

DEPTHS = {1: 100, 50: 100, 200: 200, 1_000: 300}
"""Levels of a book stream, and how often it speaks, ms; the two quickest are slower here than at Bybit."""


def open_stream(world: World, topic: str) -> Stream | None:
    """Give the stream of a topic, None where there is no such topic."""
    kind, _, rest = topic.partition(".")
    setting, _, symbol = rest.rpartition(".")
    listing = world.listings.get(symbol)
    if listing is None:
        return None
    if kind == "orderbook" and re.fullmatch(r"\d+", setting) and int(setting) in DEPTHS:
        return _book(listing, topic, int(setting))
    if kind == "kline" and setting in INTERVALS:
        return _klines(listing, topic, setting)
    plain = {"publicTrade": _trades, "tickers": _tickers, "allLiquidation": _liquidations}
    return plain[kind](listing, topic) if kind in plain and not setting else None


def _message(topic: str, kind: str, at: int, data: Any, **more: Any) -> dict[str, Any]:
    return {"topic": topic, "type": kind, "ts": at, "data": data, **more}


def _book(listing: Listing, topic: str, levels: int) -> Stream:
    """A snapshot, then changes of the best levels; `u` rises by one with each message."""
    cursor = listing.book.fresh()
    known: Sides | None = None
    number = 0

    def rows(side: list[tuple[int, int]]) -> list[list[str]]:
        return [[listing.ticks(p), listing.lots(q) if q else "0"] for p, q in side]

    def step(before: int, at: int) -> Iterable[Message]:
        nonlocal known, number
        if known is not None and not crossed(DEPTHS[levels], before, at):
            return
        cursor.move(at)
        now = cursor.sides(levels)
        bids, asks = cursor.levels(levels) if known is None else changes(known, now)
        if known is not None and not bids and not asks:
            return
        number = cursor.update if known is None else number + 1
        kind = "snapshot" if known is None else "delta"
        known = now
        data = {"s": listing.symbol, "b": rows(bids), "a": rows(asks), "u": number, "seq": cursor.update}
        yield _message(topic, kind, at, data, cts=at)

    return step


def _trades(listing: Listing, topic: str) -> Stream:
    last, rising = 0, True

    def step(before: int, at: int) -> Iterable[Message]:
        nonlocal last, rising
        rows = listing.trades_in(before + 1, at).tolist()
        data = []
        for t, i, p, q, side in rows:
            same = p == last
            rising = rising if same else p > last
            last = p
            data.append({
                "T": t, "s": listing.symbol, "S": "Buy" if side > 0 else "Sell", "v": listing.lots(q),
                "p": listing.ticks(p), "L": f"{'Zero' if same else ''}{'Plus' if rising else 'Minus'}Tick",
                "i": trade_id(listing, i), "BT": False, "seq": i,
            })  # fmt: skip
        if data:
            yield _message(topic, "snapshot", at, data)

    return step


def _tickers(listing: Listing, topic: str) -> Stream:
    """Everything once, then what has changed."""
    known: dict[str, Any] = {}

    def step(_before: int, at: int) -> Iterable[Message]:
        nonlocal known
        now = ticker(listing, at)
        changed = {name: value for name, value in now.items() if known.get(name) != value}
        if not changed:
            return
        kind = "delta" if known else "snapshot"
        known = now
        yield _message(topic, kind, at, {"symbol": listing.symbol} | changed, cs=at)

    return step


def _klines(listing: Listing, topic: str, interval: str) -> Stream:
    """The bar that forms, once a second, and once more when it is over."""
    length = INTERVALS[interval]
    quote = listing.coin.tick_decimals + listing.coin.lot_decimals

    def message(open_time: int, at: int, *, over: bool) -> Iterable[Message]:
        for bar in listing.bars(length, open_time, open_time, 1, newest=True, now=at):
            prices = {name: listing.price(getattr(bar, name)) for name in ("open", "close", "high", "low")}
            row = {
                "start": bar.open_time, "end": bar.close_time, "interval": interval, **prices,
                "volume": listing.size(bar.volume), "turnover": f"{bar.quote_volume:.{quote}f}", "confirm": over,
                "timestamp": at,
            }  # fmt: skip
            yield _message(topic, "snapshot", at, [row])

    def step(before: int, at: int) -> Iterable[Message]:
        opened = open_time_of(before, length)
        if next_open(opened, length) <= at:
            yield from message(opened, next_open(opened, length), over=True)
            opened = next_open(opened, length)
        if crossed(1_000, before, at):
            yield from message(opened, at, over=False)

    return step


def _liquidations(listing: Listing, topic: str) -> Stream:
    """Every one; `S` is the side of the position, so that a long that was sold says Buy."""

    def step(before: int, at: int) -> Iterable[Message]:
        if not crossed(500, before, at):
            return
        end = at // 500 * 500
        data = [
            {
                "T": t, "s": listing.symbol, "S": "Buy" if side < 0 else "Sell", "v": listing.lots(size),
                "p": listing.ticks(limit),
            }
            for t, side, limit, _average, size in listing.liquidations_in(end - 499, end).tolist()
        ]  # fmt: skip
        if data:
            yield _message(topic, "snapshot", at, data)

    return step
