"""Websockets: the sequence rules of the books, closed bars, every trade once, and what goes wrong on a stream."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt
import numpy as np
import orjson
import pytest

from tests.venues.wire.serving import AT, BTC, MINUTE, Served
from virtuoso.venues.wire import Fault, Scenario, World
from virtuoso.venues.wire.connection import STEP

FSTREAM, STREAM = "wss://fstream.binance.com", "wss://stream.bybit.com/v5/public/linear"


class Listener:
    """A plain client: what it hears while the clock moves on."""

    def __init__(self, served: Served, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.served, self.socket = served, socket

    async def hear(self, ms: int) -> list[Any]:
        """Let time pass, give every message of it."""
        self.served.clock.advance(ms)
        heard = []
        while True:
            was_behind = self._behind()
            try:
                message = await self.socket.receive(timeout=0.25)
            except TimeoutError:
                if was_behind:
                    continue  # the server may have used all of that time for its steps
                return heard
            if message.type is not aiohttp.WSMsgType.TEXT:
                return heard
            heard.append(message.data)

    def _behind(self) -> bool:
        now = self.served.clock.now()
        return any(connection._at + STEP <= now for connection in self.served.venue._connections)

    async def told(self, ms: int) -> list[Any]:
        return [orjson.loads(text) for text in await self.hear(ms)]


@asynccontextmanager
async def listening(
    world: World, url: str, *, scenario: Scenario | None = None, say: Any = None, at: int = AT
) -> AsyncIterator[Listener]:
    async with Served(world, scenario, at) as served, served.session.ws_connect(url, autoping=False) as socket:
        listener = Listener(served, socket)
        if say is not None:
            await socket.send_str(orjson.dumps(say).decode())
            listener.answer = await socket.receive_json(timeout=2)
        await asyncio.sleep(0.05)
        yield listener


def run(loop: asyncio.AbstractEventLoop, made: Any) -> Any:
    return loop.run_until_complete(made)


def subscribed(*names: str) -> dict[str, Any]:
    return {"method": "SUBSCRIBE", "params": list(names), "id": 1}


def bybit(*topics: str) -> dict[str, Any]:
    return {"op": "subscribe", "args": list(topics), "req_id": "1"}


class TestBinance:
    def test_changes_of_the_book_follow_each_other_and_lead_to_the_snapshot(
        self, world: World, loop: asyncio.AbstractEventLoop
    ):
        async def follow() -> None:
            async with listening(world, f"{FSTREAM}/ws/btcusdt@depth@100ms") as it:
                before = await it.served.fapi("/fapi/v1/depth", symbol="BTCUSDT", limit=1_000)
                events = await it.told(60_000)
                after = await it.served.fapi("/fapi/v1/depth", symbol="BTCUSDT", limit=1_000)
                assert len(events) > 20
                last = before["lastUpdateId"]
                sides = {"b": dict(before["bids"]), "a": dict(before["asks"])}
                for event in events:
                    assert event["pu"] == last
                    assert last < event["U"] <= event["u"]
                    last = event["u"]
                    for side in ("b", "a"):
                        for price, size in event[side]:
                            sides[side].pop(price, None) if float(size) == 0 else sides[side].update({price: size})
                assert last == after["lastUpdateId"]
                assert sides == {"b": dict(after["bids"]), "a": dict(after["asks"])}

        run(loop, follow())

    def test_a_closed_bar_is_what_rest_says(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with listening(world, f"{FSTREAM}/stream?streams=btcusdt@kline_1m/ethusdt@aggTrade") as it:
                heard = await it.told(MINUTE)
                assert {message["stream"] for message in heard} == {"btcusdt@kline_1m", "ethusdt@aggTrade"}
                bars = [message["data"]["k"] for message in heard if message["data"]["e"] == "kline"]
                (closed,) = [bar for bar in bars if bar["x"]]
                row = (await it.served.fapi("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=2))[0]
                assert [closed[k] for k in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")] == row[:11]
                assert all(bar["t"] in (closed["t"], closed["t"] + MINUTE) for bar in bars)

        run(loop, follow())

    def test_every_trade_is_told_once(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with listening(world, f"{FSTREAM}/ws", say=subscribed("btcusdt@aggTrade")) as it:
                assert it.answer == {"result": None, "id": 1}
                ids = [message["a"] for part in (7_000, 23_000, 40_000) for message in await it.told(part)]
                start, end = AT, AT + 70_000
                rows = await it.served.fapi("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=start + 1, endTime=end)
                assert ids == [row["a"] for row in rows]
                assert ids

        run(loop, follow())

    def test_only_the_largest_liquidation_of_a_second_is_told_and_bybit_tells_all(
        self, world: World, loop: asyncio.AbstractEventLoop
    ):
        async def follow(url: str, say: Any) -> list[Any]:
            async with listening(world, url, say=say, at=begin) as it:
                return await it.told(10 * MINUTE)

        forced = world.listings["BTCUSDT"].liquidations[:, 0]
        begin = int(forced[np.searchsorted(forced, AT)]) - 2_000

        few = run(loop, follow(f"{FSTREAM}/ws", subscribed("btcusdt@forceOrder")))
        many = run(loop, follow(STREAM, bybit("allLiquidation.BTCUSDT")))
        times = [message["o"]["T"] // 1_000 for message in few]
        assert times
        assert len(times) == len(set(times))
        everyone = [row for message in many for row in message["data"]]
        assert len(everyone) >= len(few)
        sides = {"SELL": "Buy", "BUY": "Sell"}  # of the order, of the position
        for message in few:
            order = message["o"]
            assert any((row["T"], row["S"]) == (order["T"], sides[order["S"]]) for row in everyone)

    def test_speaks_the_protocol_of_subscriptions(self, world: World, loop: asyncio.AbstractEventLoop):
        async def talk() -> None:
            async with listening(world, f"{FSTREAM}/ws", say=subscribed("btcusdt@trade", "nope@trade")) as it:

                async def ask(text: str) -> Any:
                    await it.socket.send_str(text)
                    return await it.socket.receive_json(timeout=2)

                assert (await ask('{"method":"LIST_SUBSCRIPTIONS","id":2}'))["result"] == [
                    "btcusdt@trade",
                    "nope@trade",
                ]
                assert await ask('{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":3}') == {
                    "result": None,
                    "id": 3,
                }
                assert await it.told(30_000) == []
                assert (await ask("{"))["error"]["code"] == 3
                assert (await ask('{"method":"DANCE","id":4}'))["error"]["code"] == 2
                await it.socket.ping(b"now")
                assert (await it.socket.receive(timeout=2)).type is aiohttp.WSMsgType.PONG

        run(loop, talk())

    def test_pings_every_three_minutes_and_closes_without_a_pong(self, world: World, loop: asyncio.AbstractEventLoop):
        async def wait() -> None:
            async with listening(world, f"{FSTREAM}/ws") as it:
                it.served.clock.advance(180_000)
                assert (await it.socket.receive(timeout=2)).type is aiohttp.WSMsgType.PING
                it.served.clock.advance(600_000)  # no pong was sent
                while (await it.socket.receive(timeout=2)).type is aiohttp.WSMsgType.PING:
                    pass
                assert it.socket.close_code == 1008

        run(loop, wait())


class TestBybit:
    def test_a_snapshot_then_changes_that_lead_to_the_book(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with listening(world, STREAM, say=bybit("orderbook.50.BTCUSDT")) as it:
                assert it.answer["success"] is True
                first, *rest = await it.told(60_000)
                assert first["type"] == "snapshot"
                assert {message["type"] for message in rest} == {"delta"}
                numbers = [message["data"]["u"] for message in (first, *rest)]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                sides = {side: dict(first["data"][side]) for side in ("b", "a")}
                for message in rest:
                    for side in ("b", "a"):
                        for price, size in message["data"][side]:
                            sides[side].pop(price, None) if size == "0" else sides[side].update({price: size})
                book = await it.served.v5("/v5/market/orderbook", symbol="BTCUSDT", limit=50)
                assert sides == {"b": dict(book["b"]), "a": dict(book["a"])}

        run(loop, follow())

    def test_a_bar_is_confirmed_once(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with listening(world, STREAM, say=bybit("kline.1.BTCUSDT")) as it:
                rows = [row for message in await it.told(MINUTE) for row in message["data"]]
                (closed,) = [row for row in rows if row["confirm"]]
                listed = (await it.served.v5("/v5/market/kline", symbol="BTCUSDT", interval=1, limit=2))["list"][1]
                assert [
                    str(closed["start"]),
                    *(closed[k] for k in ("open", "high", "low", "close", "volume")),
                ] == listed[:6]

        run(loop, follow())

    def test_the_ticker_is_whole_once_then_only_what_changed(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with listening(world, STREAM, say=bybit("tickers.BTCUSDT")) as it:
                first, *rest = await it.told(20_000)
                whole = dict(first["data"])
                assert first["type"] == "snapshot"
                for message in rest:
                    assert message["type"] == "delta"
                    assert len(message["data"]) < len(whole)
                    whole |= message["data"]
                told = (await it.served.v5("/v5/market/tickers", symbol="BTCUSDT"))["list"][0]
                assert whole == told

        run(loop, follow())

    @pytest.mark.parametrize("topic", ["orderbook.7.BTCUSDT", "kline.1.NOPEUSDT", "weather.BTCUSDT"])
    def test_a_topic_that_there_is_not_is_refused(self, world: World, loop: asyncio.AbstractEventLoop, topic: str):
        async def ask() -> None:
            async with listening(world, STREAM, say=bybit(topic)) as it:
                assert it.answer["success"] is False
                assert topic in it.answer["ret_msg"]

        run(loop, ask())


class TestFaults:
    @pytest.mark.parametrize("venue", ["binance", "bybit"])
    def test_a_stream_may_fall_silent_while_its_socket_lives(
        self, world: World, loop: asyncio.AbstractEventLoop, venue: str
    ):
        name, url, say = {
            "binance": (
                "btcusdt@depth@100ms",
                f"{FSTREAM}/ws",
                subscribed("btcusdt@depth@100ms", "ethusdt@bookTicker"),
            ),
            "bybit": ("orderbook.50.BTCUSDT", STREAM, bybit("orderbook.50.BTCUSDT", "tickers.ETHUSDT")),
        }[venue]
        silence = Fault(kind="silence", match=name, since=AT + 10_000, times=1, ms=30_000)

        async def follow() -> tuple[str, str, str]:
            async with listening(world, url, scenario=Scenario(faults=(silence,)), say=say) as it:
                return "".join(await it.hear(9_000)), "".join(await it.hear(30_000)), "".join(await it.hear(30_000))

        before, during, after = run(loop, follow())
        mark = '"depthUpdate"' if venue == "binance" else '"topic":"orderbook'
        assert mark in before
        assert mark not in during[len(during) // 2 :]
        assert '"ETHUSDT"' in during  # the other stream goes on
        assert mark in after

    def test_a_gap_is_seen_by_ccxt_at_binance(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with Served(world) as served:
                await served.while_time_passes(served.binance.watch_order_book(BTC))
                served.fault(kind="gap", match="btcusdt@depth*", times=1)

                async def until_it_fails() -> None:
                    while True:
                        await served.binance.watch_order_book(BTC)

                with pytest.raises(ccxt.ChecksumError):
                    await served.while_time_passes(until_it_fails())

        run(loop, follow())

    def test_a_gap_at_bybit_is_a_number_that_is_missing(self, world: World, loop: asyncio.AbstractEventLoop):
        gap = Fault(kind="gap", match="orderbook*", since=AT + 5_000, times=1)

        async def follow() -> list[int]:
            async with listening(
                world, STREAM, scenario=Scenario(faults=(gap,)), say=bybit("orderbook.50.BTCUSDT")
            ) as it:
                return [message["data"]["u"] for message in await it.told(30_000)]

        numbers = run(loop, follow())
        steps = [b - a for a, b in itertools.pairwise(numbers)]
        assert sorted(set(steps)) == [1, 2]
        assert steps.count(2) == 1

    def test_a_frame_may_end_too_early(self, world: World, loop: asyncio.AbstractEventLoop):
        bad = Fault(kind="bad_frame", match="btcusdt@trade", times=1)

        async def follow() -> list[str]:
            async with listening(world, f"{FSTREAM}/ws/btcusdt@trade", scenario=Scenario(faults=(bad,))) as it:
                return await it.hear(60_000)

        first, *rest = run(loop, follow())
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(first)
        assert all(orjson.loads(text)["e"] == "trade" for text in rest)

    def test_a_socket_may_be_closed_and_ccxt_says_so(self, world: World, loop: asyncio.AbstractEventLoop):
        async def follow() -> None:
            async with Served(world) as served:
                await served.while_time_passes(served.bybit.watch_trades(BTC))
                served.fault(kind="close", match="publicTrade*", times=1)

                async def until_it_fails() -> None:
                    while True:
                        await served.bybit.watch_trades(BTC)

                with pytest.raises(ccxt.NetworkError):
                    await served.while_time_passes(until_it_fails())
                assert await served.while_time_passes(served.bybit.watch_trades(BTC))  # it comes back

        run(loop, follow())

    def test_a_ping_may_go_unanswered(self, world: World, loop: asyncio.AbstractEventLoop):
        deaf = Scenario(faults=(Fault(kind="no_pong", times=1),))

        async def follow() -> list[Any]:
            async with listening(world, STREAM, scenario=deaf) as it:
                for _ in range(2):
                    await it.socket.send_str('{"op":"ping","req_id":"9"}')
                return await it.told(0)

        assert [message["ret_msg"] for message in run(loop, follow())] == ["pong"]
