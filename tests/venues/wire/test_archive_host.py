"""The archive host: files of days and months, their checksums, when they appear, and what is wrong with some."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from typing import Any

import pytest

from tests.venues.wire.serving import AT, Served
from virtuoso.venues.wire import World

HOST, HOME = "data.binance.vision", "/data/futures/um"
DAY = f"{HOME}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-02.zip"


@pytest.fixture
def get(served: Served, loop: asyncio.AbstractEventLoop) -> Any:
    def asked(path: str) -> tuple[int, bytes]:
        return loop.run_until_complete(served.get(HOST, path))[:2]

    return asked


def lines(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return archive.read(name).decode().splitlines()


def test_a_day_is_the_rows_of_rest(get: Any, served: Served, loop: asyncio.AbstractEventLoop):
    status, content = get(DAY)
    rows = [line.split(",") for line in lines(content)]
    first = int(rows[1][0])
    asked = served.fapi("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=first, limit=1_440)
    assert status == 200
    assert rows[0][:2] == ["open_time", "open"]
    assert rows[1:] == [[str(value) for value in row] for row in loop.run_until_complete(asked)]


def test_a_checksum_is_that_of_its_file(get: Any):
    said = get(f"{DAY}.CHECKSUM")[1].decode()
    assert said == f"{hashlib.sha256(get(DAY)[1]).hexdigest()}  BTCUSDT-1m-2025-01-02.zip\n"


@pytest.mark.parametrize(
    ("path", "header", "rows"),
    [
        ("daily/klines/ETHUSDT/1h/ETHUSDT-1h-2025-01-02.zip", "open_time", 24),
        ("daily/markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2025-01-02.zip", "open_time", 1_440),
        ("daily/indexPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2025-01-02.zip", "open_time", 1_440),
        ("daily/metrics/BTCUSDT/BTCUSDT-metrics-2025-01-02.zip", "create_time", 288),
        ("daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-03.zip", "agg_trade_id", None),
    ],
)
def test_every_kind_has_its_header_and_its_rows(get: Any, path: str, header: str, rows: int | None):
    status, content = get(f"{HOME}/{path}")
    assert status == 200
    first, *rest = lines(content)
    assert first.startswith(header)
    assert len(rest) == rows if rows is not None else len(rest) > 1_000


@pytest.mark.parametrize(
    "path",
    [
        "daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-04.zip",  # today
        "daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12-31.zip",  # before it was listed
        "daily/klines/BTCUSDT/7m/BTCUSDT-7m-2025-01-02.zip",
        "daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-13-45.zip",
        "daily/klines/NOPEUSDT/1m/NOPEUSDT-1m-2025-01-02.zip",
        "monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01.zip",  # the month is not over
        "monthly/metrics/BTCUSDT/BTCUSDT-metrics-2025-01.zip",  # only days
        "daily/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-01-02.zip",  # only months
        "daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-02.zip",  # not recorded then
        "daily/klines/BTCUSDT/1m/../../../../secret",
    ],
)
def test_what_there_is_not_is_not_found(get: Any, path: str):
    assert get(f"{HOME}/{path}")[0] == 404
    assert get(f"{HOME}/{path}.CHECKSUM")[0] == 404


def test_a_file_appears_after_its_day_and_stays_the_same(world: World, loop: asyncio.AbstractEventLoop):
    path = f"{HOME}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-03.zip"

    async def watch() -> tuple[int, int, bool]:
        async with Served(world, at=AT - 3 * 3_600_000) as served:  # three in the morning
            early = (await served.get(HOST, path))[0]
            served.clock.advance(2 * 3_600_000)
            late, content, _ = await served.get(HOST, path)
            served.clock.advance(10 * 3_600_000)
            return early, late, (await served.get(HOST, path))[1] == content

    assert loop.run_until_complete(watch()) == (404, 200, True)


def test_months_of_bars_and_of_funding(loop: asyncio.AbstractEventLoop):
    world = World.made(["SOLUSDT"], seed=7, start="2025-01-30", days=4, ahead=1, stream_days=0)

    async def fetch() -> tuple[list[str], list[str]]:
        async with Served(world, at=world.first + 4 * 86_400_000) as served:
            bars = await served.get(HOST, f"{HOME}/monthly/klines/SOLUSDT/5m/SOLUSDT-5m-2025-01.zip")
            paid = await served.get(HOST, f"{HOME}/monthly/fundingRate/SOLUSDT/SOLUSDT-fundingRate-2025-01.zip")
            return lines(bars[1]), lines(paid[1])

    bars, paid = loop.run_until_complete(fetch())
    assert len(bars) == 1 + 2 * 288
    assert paid[0] == "calc_time,funding_interval_hours,last_funding_rate"
    assert len(paid) == 1 + 6


class TestFaults:
    def test_a_day_may_be_missing(self, get: Any, served: Served):
        served.fault(kind="missing_file", match="*2025-01-02.zip")
        try:
            assert get(DAY)[0] == get(f"{DAY}.CHECKSUM")[0] == 404
            assert get(DAY.replace("01-02", "01-03"))[0] == 200
        finally:
            served.mend()

    def test_a_zip_may_be_broken_while_its_checksum_is_of_the_whole(self, get: Any, served: Served):
        good = get(f"{DAY}.CHECKSUM")[1]
        served.fault(kind="bad_zip", match="*2025-01-02.zip")
        try:
            content = get(DAY)[1]
            assert get(f"{DAY}.CHECKSUM")[1] == good
        finally:
            served.mend()
        with pytest.raises(zipfile.BadZipFile):
            lines(content)

    def test_a_checksum_may_be_wrong(self, get: Any, served: Served):
        served.fault(kind="bad_checksum", match="*2025-01-02.zip")
        try:
            assert hashlib.sha256(get(DAY)[1]).hexdigest() not in get(f"{DAY}.CHECKSUM")[1].decode()
        finally:
            served.mend()

    def test_a_file_that_is_bad_by_chance_stays_bad(self, get: Any, served: Served):
        served.fault(kind="missing_file", share=0.5)
        try:
            days = [
                DAY.replace("BTCUSDT", s).replace("1m", i) for s in ("BTCUSDT", "ETHUSDT") for i in ("1m", "5m", "1h")
            ]
            seen = [tuple(get(day)[0] for day in days) for _ in range(3)]
        finally:
            served.mend()
        assert seen[0] == seen[1] == seen[2]
        assert set(seen[0]) == {200, 404}
