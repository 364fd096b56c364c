"""What goes wrong by scenario and seed, budgets and bans, and the control port."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.venues.wire.serving import AT, BTC, MINUTE, Served
from virtuoso.errors import ConfigError
from virtuoso.venues.wire import Fault, Scenario, World
from virtuoso.venues.wire.faults import Faults

FAPI, V5 = "fapi.binance.com", "api.bybit.com"

SEEN = [
    ("binance", {"kind": "rate_limited", "retry_after": 7}, "DDoSProtection"),
    ("bybit", {"kind": "rate_limited", "retry_after": 7}, "RateLimitExceeded"),
    ("binance", {"kind": "server_error"}, "ExchangeNotAvailable"),
    ("bybit", {"kind": "server_error", "status": 504}, "RequestTimeout"),
    ("binance", {"kind": "maintenance"}, "BadRequest"),
    ("bybit", {"kind": "maintenance"}, "ExchangeError"),
    ("binance", {"kind": "truncated"}, "ExchangeError"),
    ("bybit", {"kind": "truncated"}, "ExchangeError"),
    ("binance", {"kind": "disconnect"}, "ExchangeNotAvailable"),
    ("bybit", {"kind": "disconnect"}, "ExchangeNotAvailable"),
    ("binance", {"kind": "hang"}, "RequestTimeout"),
    ("bybit", {"kind": "hang"}, "RequestTimeout"),
]


@pytest.mark.parametrize(("venue", "fault", "expected"), SEEN, ids=[f"{v} {f['kind']}" for v, f, _ in SEEN])
def test_a_fault_is_the_class_that_production_gives(
    world: World, loop: asyncio.AbstractEventLoop, venue: str, fault: dict[str, Any], expected: str
):
    async def caught() -> str:
        async with Served(world, timeout=300) as served:
            served.fault(**fault, times=2 if fault["kind"] == "disconnect" else 1)  # aiohttp asks again by itself
            exchange = served.exchange(venue)
            with pytest.raises(ccxt.BaseError) as error:
                await exchange.fetch_time()
            assert await exchange.fetch_time() == AT  # it was met once
            return type(error.value).__name__

    assert loop.run_until_complete(caught()) == expected


class TestAnswers:
    """What a client gets that looks like an answer."""

    @pytest.fixture
    def broken(self, served: Served, loop: asyncio.AbstractEventLoop) -> Any:
        def ask(path: str, host: str = FAPI, *, fault: dict[str, Any], **params: object) -> Any:
            served.fault(**fault)
            try:
                return loop.run_until_complete(served.get(host, path, **params))
            finally:
                served.mend()

        return ask

    def test_html_and_nothing_come_with_status_200(self, broken: Any):
        status, body, headers = broken("/fapi/v1/time", fault={"kind": "html"})
        assert (status, headers["Content-Type"][:9]) == (200, "text/html")
        assert body.startswith(b"<html>")
        assert broken("/fapi/v1/time", fault={"kind": "empty"})[:2] == (200, b"")

    def test_json_may_end_too_early(self, served: Served, loop: asyncio.AbstractEventLoop):
        served.fault(kind="malformed")
        try:
            found = loop.run_until_complete(served.session.get(f"https://{FAPI}/fapi/v1/exchangeInfo"))
            text = loop.run_until_complete(found.text())
        finally:
            served.mend()
        assert found.status == 200
        assert text.startswith("{")
        assert not text.endswith("}")

    def test_may_be_of_a_minute_ago(self, broken: Any):
        asked = {"symbol": "BTCUSDT", "interval": "1m", "limit": 2}
        fresh = broken("/fapi/v1/klines", fault={"kind": "stale", "ms": 0}, **asked)[1]
        old = broken("/fapi/v1/klines", fault={"kind": "stale", "ms": MINUTE}, **asked)[1]
        assert old[-1][0] == fresh[-2][0]

    @pytest.mark.parametrize("ms", [2_000, -2_000])
    def test_the_clock_may_be_wrong(self, broken: Any, ms: int):
        assert broken("/fapi/v1/time", fault={"kind": "skew", "ms": ms})[1] == {"serverTime": AT + ms}
        bybit = broken("/v5/market/time", V5, fault={"kind": "skew", "ms": ms})[1]
        assert bybit["result"]["timeNano"] == str((AT + ms) * 1_000_000)

    def test_bars_may_be_missing_the_same_ones_each_time(self, broken: Any):
        asked = {"symbol": "BTCUSDT", "interval": "1m", "limit": 500}
        whole = {row[0] for row in broken("/fapi/v1/klines", fault={"kind": "holes", "part": 0.0}, **asked)[1]}
        holes = {"kind": "holes", "part": 0.2}
        first = {row[0] for row in broken("/fapi/v1/klines", fault=holes, **asked)[1]}
        again = {row[0] for row in broken("/fapi/v1/klines", fault=holes, **asked)[1]}
        assert first == again < whole
        assert 0.1 < 1.0 - len(first) / len(whole) < 0.3
        page = broken("/v5/market/kline", V5, fault=holes, symbol="BTCUSDT", interval=1, category="linear", limit=500)
        assert {int(row[0]) for row in page[1]["result"]["list"]} == first


class TestBudgets:
    def test_binance_says_what_was_used_then_refuses_then_bans(self, world: World, loop: asyncio.AbstractEventLoop):
        async def spend() -> None:
            async with Served(world, Scenario(weight_per_minute=50)) as served:
                used = []
                for _ in range(2):
                    _, _, headers = await served.get(FAPI, "/fapi/v1/aggTrades", symbol="BTCUSDT")
                    used.append(headers["X-MBX-USED-WEIGHT-1M"])
                assert [int(b) - int(a) for a, b in itertools.pairwise(used)] == [20]
                statuses = [await served.get(FAPI, "/fapi/v1/aggTrades", symbol="BTCUSDT") for _ in range(15)]
                assert [status for status, *_ in statuses] == [429] * 10 + [418] * 5
                assert statuses[0][2]["Retry-After"] == "30"  # the minute is over then
                assert statuses[-1][1]["code"] == -1003
                assert "banned until" in statuses[-1][1]["msg"]
                with pytest.raises(ccxt.DDoSProtection):
                    await served.binance.fetch_time()
                served.clock.advance(119_000)
                assert (await served.get(FAPI, "/fapi/v1/time"))[0] == 418
                served.clock.advance(1_000)
                assert (await served.get(FAPI, "/fapi/v1/time"))[0] == 200

        loop.run_until_complete(spend())

    def test_bybit_counts_requests_and_bans_for_ten_minutes(self, world: World, loop: asyncio.AbstractEventLoop):
        async def spend() -> None:
            async with Served(world, Scenario(requests_per_5s=5)) as served:
                served.clock.advance(5_000)
                left = [(await served.get(V5, "/v5/market/time"))[2]["X-Bapi-Limit-Status"] for _ in range(5)]
                assert left == ["4", "3", "2", "1", "0"]
                with pytest.raises(ccxt.RateLimitExceeded):
                    await served.bybit.fetch_time()
                served.clock.advance(599_000)
                assert (await served.get(V5, "/v5/market/time"))[:2] == (403, b"access too frequent")
                served.clock.advance(1_000)
                assert (await served.get(V5, "/v5/market/time"))[0] == 200

        loop.run_until_complete(spend())

    @pytest.mark.parametrize(
        ("limit", "cost"), [(50, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1_000, 5), (1_500, 10)]
    )
    def test_a_longer_page_of_bars_weighs_more(
        self, served: Served, loop: asyncio.AbstractEventLoop, limit: int, cost: int
    ):
        def used(**params: object) -> int:
            _, _, headers = loop.run_until_complete(served.get(FAPI, "/fapi/v1/klines", **params))
            return int(headers["X-MBX-USED-WEIGHT-1M"])

        before = used(symbol="BTCUSDT", interval="1m", limit=1)
        assert used(symbol="BTCUSDT", interval="1m", limit=limit) - before == cost


class TestScenario:
    def test_the_same_seed_meets_the_same_requests(self):
        given = {"seed": 3, "faults": [{"kind": "disconnect", "share": 0.2}]}

        def met(seed: int) -> list[bool]:
            faults = Faults(Scenario.read(given | {"seed": seed}))
            return [faults.meet(("disconnect",), "binance", "/fapi/v1/klines", AT) is not None for _ in range(2_000)]

        assert met(3) == met(3) != met(4)
        assert 0.15 < sum(met(3)) / 2_000 < 0.25

    def test_one_request_does_not_take_the_draw_of_another(self):
        alone, beside = (Faults(Scenario(seed=1, faults=(Fault(kind="html", share=0.5),))) for _ in range(2))
        a = [alone.meet(("html",), "binance", "/a", AT) is not None for _ in range(50)]
        b = []
        for _ in range(50):
            beside.meet(("html",), "binance", "/b", AT)
            b.append(beside.meet(("html",), "binance", "/a", AT) is not None)
        assert a == b

    def test_latency_lies_between_its_bounds(self, world: World, loop: asyncio.AbstractEventLoop):
        faults = Faults(Scenario(latency_ms=(40.0, 150.0)))
        drawn = [faults.latency("/fapi/v1/klines") for _ in range(500)]
        assert 0.040 <= min(drawn) < 0.060
        assert 0.130 < max(drawn) <= 0.150

        async def timed() -> float:
            async with Served(world, Scenario(latency_ms=(60.0, 60.0))) as served:
                begin = time.perf_counter()
                await served.fapi("/fapi/v1/time")
                return time.perf_counter() - begin

        assert loop.run_until_complete(timed()) >= 0.060

    def test_a_file_says_it_all(self, tmp_path: Path):
        path = tmp_path / "scenario.yaml"
        path.write_text(
            "seed: 5\nlatency_ms: [40, 150]\nfaults:\n"
            "- {kind: rate_limited, venue: binance, match: /fapi/v1/*, share: 0.01, retry_after: 7}\n"
            "- {kind: silence, match: '*@depth*', since: 2025-01-04T06:10Z, ms: 30000}\n"
        )
        scenario = Scenario.load(path)
        assert scenario.latency_ms == (40.0, 150.0)
        assert scenario.faults[1].since == AT + 570_000

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("sed: 1", "sed"),
            ("latency_ms: [150, 40]", "least and the most"),
            ("faults: [{kind: earthquake}]", "faults.0.kind"),
            ("faults: [{kind: error}]", "status and code"),
            ("faults: [{kind: html, share: 2}]", "faults.0.share"),
            ("- 1", "not a table"),
            ("a: [", "cannot be read"),
        ],
    )
    def test_a_wrong_file_says_what_is_wrong(self, tmp_path: Path, text: str, said: str):
        path = tmp_path / "scenario.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            Scenario.load(path)


class TestControl:
    def test_moves_the_clock_and_changes_the_scenario(self, world: World, loop: asyncio.AbstractEventLoop):
        async def steer() -> None:
            async with Served(world) as served, aiohttp.ClientSession() as plain:
                home = f"http://127.0.0.1:{served.venue.control_port}"
                async with plain.post(f"{home}/clock", json={"advance_ms": 5_000}) as answer:
                    assert await answer.json() == {"now": AT + 5_000}
                async with plain.post(f"{home}/faults", json={"kind": "html", "match": "/fapi/v1/time"}) as answer:
                    assert await answer.json() == {"faults": 1}
                assert (await served.get(FAPI, "/fapi/v1/time"))[1].startswith(b"<html>")
                async with plain.get(f"{home}/state") as answer:
                    state = await answer.json()
                assert (state["now"], state["met"], state["seed"]) == (AT + 5_000, [1], 7)
                assert state["requests"]["/fapi/v1/time"] == 1
                async with plain.delete(f"{home}/faults") as answer:
                    assert answer.status == 200
                assert await served.fapi("/fapi/v1/time") == {"serverTime": AT + 5_000}
                async with plain.put(f"{home}/scenario", json={"weight_per_minute": 1}) as answer:
                    assert answer.status == 200
                assert [(await served.get(FAPI, "/fapi/v1/time"))[0] for _ in range(2)] == [200, 429]

        loop.run_until_complete(steer())

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("post", "/faults", '{"kind": "earthquake"}'),
            ("put", "/scenario", '{"sed": 1}'),
            ("put", "/scenario", "{"),
            ("post", "/clock", '{"advance_ms": -1}'),
            ("post", "/clock", '{"advance_ms": "soon"}'),
            ("post", "/clock", "[]"),
        ],
    )
    def test_says_what_is_wrong(
        self, served: Served, loop: asyncio.AbstractEventLoop, method: str, path: str, body: str
    ):
        async def ask() -> tuple[int, Any]:
            async with aiohttp.ClientSession() as plain:
                url = f"http://127.0.0.1:{served.venue.control_port}{path}"
                async with plain.request(method, url, data=body) as answer:
                    return answer.status, await answer.json()

        status, told = loop.run_until_complete(ask())
        assert status == 422
        assert told["error"]


def test_signed_requests_are_checked(world: World, loop: asyncio.AbstractEventLoop):
    async def ask() -> None:
        async with Served(world) as served:
            await served.binance.load_time_difference()
            assert await served.binance.fetch_leverage_tiers([BTC])
            served.binance.secret = "another"
            with pytest.raises(ccxt.AuthenticationError, match="-1022"):
                await served.binance.fapiPrivateGetLeverageBracket()
            served.binance.apiKey = "unknown"
            with pytest.raises(ccxt.BaseError, match="-2015"):
                await served.binance.fapiPrivateGetLeverageBracket()
            served.bybit.secret = "another"
            with pytest.raises(ccxt.AuthenticationError, match="10004"):
                await served.bybit.privateGetV5AssetCoinQueryInfo()
            served.bybit.options["timeDifference"] = 0
            with pytest.raises(ccxt.InvalidNonce, match="10002"):
                await served.bybit.privateGetV5AssetCoinQueryInfo()

    loop.run_until_complete(ask())


def test_a_name_that_is_not_served_cannot_be_reached(served: Served, loop: asyncio.AbstractEventLoop):
    with pytest.raises(aiohttp.ClientConnectorError, match="not served here"):
        loop.run_until_complete(served.get("www.okx.com", "/api/v5/public/time"))
