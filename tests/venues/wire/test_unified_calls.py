"""Unpatched ccxt, async and pro, at its real addresses: every call of the table answers something of the market."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.venues.wire.calls import CALLS, ON_EACH, WATCHED_FIRST
from tests.venues.wire.serving import AT, BTC, ETH, Served


@pytest.mark.parametrize(("venue", "name", "arguments"), ON_EACH, ids=[f"{v} {n}" for v, n, _ in ON_EACH])
def test_a_unified_call_is_answered(
    served: Served, loop: asyncio.AbstractEventLoop, venue: str, name: str, arguments: tuple[Any, ...]
):
    exchange = served.exchange(venue)

    async def asked() -> Any:
        await exchange.load_time_difference()  # earlier calls have moved the clock
        if name in WATCHED_FIRST:
            await served.while_time_passes(getattr(exchange, WATCHED_FIRST[name])(*arguments))
            return await getattr(exchange, name)(*arguments)
        call = getattr(exchange, name)(*arguments)
        return await (served.while_time_passes(call) if name.startswith("watch") else call)

    async def asked_before_one_happens() -> Any:
        forced = served.world.listings["BTCUSDT"].liquidations[:, 0]
        at = int(forced[np.searchsorted(forced, AT)]) - 2_000
        async with Served(served.world, at=at) as own:
            return await own.while_time_passes(getattr(own.exchange(venue), name)(*arguments))

    rare = name.startswith("watch_liquidations")
    found = loop.run_until_complete(asked_before_one_happens() if rare else asked())
    assert found or name in ("fetch_currencies", "load_time_difference"), found


def test_the_market_is_in_what_is_answered(served: Served, loop: asyncio.AbstractEventLoop):
    for venue in ("binance", "bybit"):
        exchange = served.exchange(venue)
        markets = loop.run_until_complete(exchange.load_markets())
        assert set(markets) == {BTC, ETH}
        precision = markets[BTC]["precision"]
        assert (precision["amount"], precision["price"]) == (0.001, 0.1)
        book = loop.run_until_complete(exchange.fetch_order_book(BTC, 20))
        ticker = loop.run_until_complete(exchange.fetch_ticker(BTC))
        assert book["bids"][0][0] < book["asks"][0][0]
        assert abs(ticker["last"] / book["bids"][0][0] - 1.0) < 0.01


def test_both_venues_know_sixty_calls_and_more():
    assert len(CALLS) * 2 >= 60
    assert len(ON_EACH) >= 90
