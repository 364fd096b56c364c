"""A venue with a clock that stands still, and unpatched ccxt beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self

import ccxt.pro
import orjson

from virtuoso.clock import parse_time
from virtuoso.venues.wire import API_KEY, API_SECRET, Fault, Scenario, Venue, VenueClock, World, venue_session

SYMBOLS = ("BTCUSDT", "ETHUSDT")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
AT = parse_time("2025-01-04T06:00:30Z")
MINUTE = 60_000


class Served:
    """The venue, its clock, and one exchange object of ccxt for each protocol."""

    def __init__(self, world: World, scenario: Scenario | None = None, at: int = AT, *, timeout: int = 10_000) -> None:
        self.world, self.clock = world, VenueClock(at, speed=0.0)
        self.venue = Venue(world, self.clock, scenario)
        self._timeout = timeout
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.venue)
        self.session = await self._stack.enter_async_context(venue_session(self.venue.authority, self.venue.port))
        common = {
            "session": self.session,
            "apiKey": API_KEY,
            "secret": API_SECRET,
            "enableRateLimit": False,
            "timeout": self._timeout,
        }
        clock = {"adjustForTimeDifference": True}  # the venue's clock stands in January 2025
        self.binance = ccxt.pro.binanceusdm({**common, "options": clock})
        self.bybit = ccxt.pro.bybit({**common, "options": {**clock, "fetchMarkets": {"types": ["linear"]}}})
        self._stack.push_async_callback(self.binance.close)
        self._stack.push_async_callback(self.bybit.close)
        await self.bybit.load_time_difference()  # its load_markets signs a request before it asks for the time
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def exchange(self, venue: str) -> Any:
        return self.binance if venue == "binance" else self.bybit

    async def get(self, host: str, path: str, **params: object) -> tuple[int, Any, Any]:
        """Ask without ccxt: status, JSON or text, headers."""
        query = {name: str(value) for name, value in params.items()}
        async with self.session.get(f"https://{host}{path}", params=query) as answer:
            body = await answer.read()
            json = answer.content_type == "application/json" and body
            return answer.status, orjson.loads(body) if json else body, answer.headers

    async def fapi(self, path: str, **params: object) -> Any:
        return (await self.get("fapi.binance.com", path, **params))[1]

    async def v5(self, path: str, **params: object) -> Any:
        answer = (await self.get("api.bybit.com", path, category="linear", **params))[1]
        return answer["result"] if answer["retCode"] == 0 else answer

    def fault(self, **given: Any) -> None:
        self.venue.faults.replace(Scenario(faults=(Fault(**given),)))

    def mend(self) -> None:
        self.venue.faults.replace(Scenario())

    async def while_time_passes(
        self, waiting: Coroutine[Any, Any, Any], *, step: int = 500, limit: float = 10.0
    ) -> Any:
        """Wait for an answer while the clock moves on."""

        async def run() -> None:
            while True:
                self.clock.advance(step)
                await asyncio.sleep(0.01)

        running = asyncio.create_task(run())
        try:
            return await asyncio.wait_for(waiting, limit)
        finally:
            running.cancel()
