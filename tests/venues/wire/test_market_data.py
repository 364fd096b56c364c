"""Market data over HTTP: order of rows, paging, limits and refusals as each venue has them, and no future."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest

from tests.venues.wire.serving import AT, BTC, MINUTE, Served
from virtuoso.venues.simulator import outages, simulate
from virtuoso.venues.wire import World

START = AT - AT % 86_400_000 - 3 * 86_400_000
HOUR = 60 * MINUTE
LONG_AGO = AT - 31 * 86_400_000
FAPI, V5 = "fapi.binance.com", "api.bybit.com"


@pytest.fixture
def ask(served: Served, loop: asyncio.AbstractEventLoop) -> Any:
    def asked(path: str, **params: object) -> Any:
        way = served.v5 if path.startswith("/v5") else served.fapi
        return loop.run_until_complete(way(path, **params))

    return asked


class TestBars:
    def test_are_the_simulated_minutes_to_the_last_digit(self, ask: Any):
        truth = simulate(["BTCUSDT"], days=1, seed=7)["BTCUSDT"]
        rows = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=START, limit=1_000)
        assert [row[0] for row in rows] == truth["open_time"][:1_000].tolist()
        for column, name in ((1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume")):
            assert [float(row[column]) for row in rows] == truth[name][:1_000].tolist()
        assert [row[8] for row in rows] == truth["trades"][:1_000].astype(int).tolist()

    def test_of_bybit_are_the_same_and_newest_first(self, ask: Any):
        rows = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="5m", startTime=START, limit=100)
        same = ask("/v5/market/kline", symbol="BTCUSDT", interval=5, start=START, limit=100)["list"]
        assert [[str(row[0]), *row[1:6]] for row in rows] == [row[:6] for row in reversed(same)]

    @pytest.mark.parametrize(("interval", "minutes"), [("3m", 3), ("1h", 60), ("4h", 240), ("1d", 1_440)])
    def test_longer_ones_are_made_of_minutes(self, ask: Any, interval: str, minutes: int):
        long = ask("/fapi/v1/klines", symbol="ETHUSDT", interval=interval, startTime=START, limit=1)[0]
        short = ask("/fapi/v1/klines", symbol="ETHUSDT", interval="1m", startTime=START, limit=minutes)
        assert (long[1], long[4]) == (short[0][1], short[-1][4])
        assert float(long[2]) == max(float(row[2]) for row in short)
        assert float(long[3]) == min(float(row[3]) for row in short)
        assert Decimal(long[5]) == sum(Decimal(row[5]) for row in short)
        assert long[6] == START + minutes * MINUTE - 1

    def test_a_week_begins_on_monday_and_a_month_on_its_first(self, ask: Any):
        week = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="1w")[0]
        month = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="1M")[0]
        assert week[0] == START - 2 * 86_400_000  # 2025-01-01 was a Wednesday
        assert month[0] == START
        assert month[6] == START + 31 * 86_400_000 - 1

    def test_the_last_one_forms_and_closed_ones_never_change(self, world: World, loop: asyncio.AbstractEventLoop):
        async def look() -> None:
            async with Served(world) as served:
                asked = {"symbol": "BTCUSDT", "interval": "1m", "limit": 10}
                first = await served.fapi("/fapi/v1/klines", **asked)
                assert first[-1][0] == AT // MINUTE * MINUTE
                served.clock.advance(20_000)
                second = await served.fapi("/fapi/v1/klines", **asked)
                assert second[:-1] == first[:-1]
                assert second[-1] != first[-1]
                served.clock.advance(MINUTE)
                third = await served.fapi("/fapi/v1/klines", **asked)
                assert third[:-2] == first[1:-1]
                assert third[-2][8] >= second[-1][8]

        loop.run_until_complete(look())

    def test_pages_join_without_a_gap(self, ask: Any):
        begin, rows = START, []
        while page := ask("/fapi/v1/klines", symbol="BTCUSDT", interval="5m", startTime=begin, limit=300):
            rows += page
            begin = page[-1][0] + 1
        opens = [row[0] for row in rows]
        ((down, back),) = outages(4, seed=7)
        whole = range(START, AT + 1, 5 * MINUTE)
        assert opens == [at for at in whole if not (down <= at and at + 5 * MINUTE <= back)]

    def test_only_an_end_gives_the_rows_before_it(self, ask: Any):
        end = START + HOUR
        rows = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", endTime=end, limit=3)
        assert [row[0] for row in rows] == [end - 2 * MINUTE, end - MINUTE, end]

    @pytest.mark.parametrize("which", ["markPriceKlines", "indexPriceKlines", "premiumIndexKlines"])
    def test_of_told_prices_begin_where_the_one_before_ended(self, ask: Any, which: str):
        key = "pair" if which.startswith("index") else "symbol"
        rows = ask(f"/fapi/v1/{which}", **{key: "BTCUSDT"}, interval="1m", limit=50)
        assert len(rows) == 50
        assert [row[1] for row in rows[1:]] == [row[4] for row in rows[:-1]]


class TestTrades:
    def test_ids_follow_each_other_over_pages(self, ask: Any):
        first = ask("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=AT - HOUR, endTime=AT, limit=200)
        following = ask("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=first[-1]["a"] + 1, limit=200)
        ids = [row["a"] for row in first + following]
        assert ids == list(range(ids[0], ids[0] + 400))

    def test_nothing_happens_after_now(self, ask: Any):
        assert max(row["T"] for row in ask("/fapi/v1/aggTrades", symbol="BTCUSDT")) <= AT
        assert max(row["time"] for row in ask("/fapi/v1/trades", symbol="BTCUSDT")) <= AT
        assert max(int(row["time"]) for row in ask("/v5/market/recent-trade", symbol="BTCUSDT")["list"]) <= AT
        late = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=AT + MINUTE)
        assert late == []

    def test_of_a_minute_make_its_bar(self, ask: Any):
        minute = AT // MINUTE * MINUTE - 5 * MINUTE
        bar = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=minute, limit=1)[0]
        rows = ask("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=minute, endTime=minute + MINUTE - 1, limit=1_000)
        assert Decimal(bar[5]) == sum(Decimal(row["q"]) for row in rows)
        assert Decimal(bar[9]) == sum(Decimal(row["q"]) for row in rows if not row["m"])
        assert (bar[1], bar[4], bar[8]) == (rows[0]["p"], rows[-1]["p"], len(rows))

    def test_bybit_gives_the_newest_first(self, ask: Any):
        times = [int(row["time"]) for row in ask("/v5/market/recent-trade", symbol="BTCUSDT", limit=50)["list"]]
        assert times == sorted(times, reverse=True)


class TestDerivatives:
    def test_funding_is_settled_every_eight_hours(self, ask: Any):
        rows = ask("/fapi/v1/fundingRate", symbol="BTCUSDT")
        assert [row["fundingTime"] for row in rows] == list(range(START + 8 * HOUR, AT, 8 * HOUR))
        same = ask("/v5/market/funding/history", symbol="BTCUSDT")["list"]
        assert [row["fundingRate"] for row in reversed(same)] == [row["fundingRate"] for row in rows]

    def test_bybit_refuses_a_start_of_funding_without_an_end(self, ask: Any):
        assert ask("/v5/market/funding/history", symbol="BTCUSDT", startTime=START)["retCode"] == 10_001

    def test_open_interest_lies_on_the_grid_of_its_period(self, ask: Any):
        rows = ask("/futures/data/openInterestHist", symbol="BTCUSDT", period="1h", limit=10)
        assert [row["timestamp"] for row in rows] == list(range(AT // HOUR * HOUR - 9 * HOUR, AT, HOUR))
        assert ask("/fapi/v1/openInterest", symbol="BTCUSDT")["time"] <= AT

    def test_bybits_cursor_walks_to_the_end(self, ask: Any):
        seen, cursor = [], ""
        for _ in range(100):
            page = ask("/v5/market/open-interest", symbol="BTCUSDT", intervalTime="5min", limit=200, cursor=cursor)
            seen += [int(row["timestamp"]) for row in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
        assert seen == sorted(seen, reverse=True)
        ((down, back),) = outages(4, seed=7)
        whole = range(START + 5 * MINUTE, AT + 1, 5 * MINUTE)
        assert seen[::-1] == [at for at in whole if not down <= at - MINUTE < back]

    def test_the_long_share_and_the_ratio_agree(self, ask: Any):
        for path in ("globalLongShortAccountRatio", "topLongShortAccountRatio", "topLongShortPositionRatio"):
            for row in ask(f"/futures/data/{path}", symbol="ETHUSDT", period="5m"):
                long, short = float(row["longAccount"]), float(row["shortAccount"])
                assert long + short == pytest.approx(1.0, abs=1e-4)
                assert long / short == pytest.approx(float(row["longShortRatio"]), abs=1e-3)

    def test_takers_are_those_of_the_bars(self, ask: Any):
        row = ask("/futures/data/takerlongshortRatio", symbol="BTCUSDT", period="5m", limit=1)[0]
        start = row["timestamp"] - 5 * MINUTE
        bar = ask("/fapi/v1/klines", symbol="BTCUSDT", interval="5m", startTime=start, limit=1)[0]
        assert float(row["buyVol"]) == pytest.approx(float(bar[9]), abs=1e-3)
        assert float(row["buyVol"]) + float(row["sellVol"]) == pytest.approx(float(bar[5]), abs=1e-3)

    def test_tiers_make_the_margin_continuous(self, served: Served, loop: asyncio.AbstractEventLoop):
        for venue in ("binance", "bybit"):
            loop.run_until_complete(served.exchange(venue).load_time_difference())
            loop.run_until_complete(served.exchange(venue).load_markets())
            tiers = loop.run_until_complete(served.exchange(venue).fetch_market_leverage_tiers(BTC))
            rates = [tier["maintenanceMarginRate"] for tier in tiers]
            assert rates == sorted(rates)
            deducted = "cum" if venue == "binance" else "mmDeduction"
            for lower, upper in itertools.pairwise(tiers):
                at = upper["minNotional"]
                assert lower["maxNotional"] == at
                below, above = (
                    at * tier["maintenanceMarginRate"] - float(tier["info"].get(deducted) or 0)
                    for tier in (lower, upper)
                )
                assert below == pytest.approx(above)


REFUSED = [
    ("/fapi/v1/klines", {"symbol": "NOPEUSDT", "interval": "1m"}, 400, -1121),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, -1120),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT"}, 400, -1102),
    ("/fapi/v1/klines", {"interval": "1m"}, 400, -1102),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1_501}, 400, -1130),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "yesterday"}, 400, -1130),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": -1}, 400, -1100),
    ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 7}, 400, -4021),
    ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "startTime": START, "endTime": AT}, 400, -1127),
    ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "7m"}, 400, -1130),
    ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "5m", "startTime": LONG_AGO}, 400, -1130),
    ("/fapi/v1/leverageBracket", {}, 401, -2014),
    ("/fapi/v1/historicalTrades", {"symbol": "BTCUSDT"}, 401, -2014),
    ("/v5/market/kline", {"symbol": "NOPEUSDT", "interval": "1", "category": "linear"}, 200, 10_001),
    ("/v5/market/kline", {"symbol": "BTCUSDT", "interval": "7", "category": "linear"}, 200, 10_001),
    ("/v5/market/kline", {"symbol": "BTCUSDT", "interval": "1", "category": "spot"}, 200, 10_001),
    ("/v5/market/tickers", {}, 200, 10_001),
    ("/v5/market/orderbook", {"symbol": "BTCUSDT", "category": "linear", "limit": 501}, 200, 10_001),
    ("/v5/asset/coin/query-info", {}, 200, 10_003),
]  # fmt: skip


@pytest.mark.parametrize(("path", "params", "status", "code"), REFUSED)
def test_a_bad_request_is_refused_as_the_venue_does(
    served: Served, loop: asyncio.AbstractEventLoop, path: str, params: dict[str, object], status: int, code: int
):
    got, body, _ = loop.run_until_complete(served.get(V5 if path.startswith("/v5") else FAPI, path, **params))
    assert (got, body.get("code", body.get("retCode"))) == (status, code)


def test_a_path_that_there_is_not_is_not_found(served: Served, loop: asyncio.AbstractEventLoop):
    for host in (FAPI, V5):
        assert loop.run_until_complete(served.get(host, "/v9/nothing"))[0] == 404


def test_the_same_seed_is_the_same_venue(world: World, loop: asyncio.AbstractEventLoop):
    again = World.made(["BTCUSDT"], seed=7, days=3, ahead=2, stream_days=1)

    async def answers(of: World) -> list[Any]:
        async with Served(of) as served:
            paths = ("/fapi/v1/klines", "/fapi/v1/aggTrades", "/fapi/v1/premiumIndex", "/fapi/v1/ticker/24hr")
            return [await served.fapi(path, symbol="BTCUSDT", interval="1m", limit=50) for path in paths]

    # The other one has a longer future and one symbol fewer: what has happened is the same.
    assert loop.run_until_complete(answers(world)) == loop.run_until_complete(answers(again))
