"""Answers have the shapes of recorded and documented payloads: every name, and the same kind of value."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.venues.wire.serving import Served

BINANCE, BYBIT = "payloads/jkorf_binance_docs_shaped/", "payloads/jkorf_bybit_docs_shaped/"
SYMBOL = {"symbol": "BTCUSDT"}
BARS = {**SYMBOL, "interval": "1m", "limit": 5}
HISTORY = {**SYMBOL, "period": "5m", "limit": 5}
DOCUMENTED: dict[str, dict[str, Any]] = {
    "GetAggregatedTradeHistory": SYMBOL,
    "GetBookPrice": SYMBOL,
    "GetContinuousContractKlines": {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "1m"},
    "GetExchangeInfo": {},
    "GetFundingInfo": {},
    "GetFundingRates": SYMBOL,
    "GetIndexPriceConstituents": SYMBOL,
    "GetIndexPriceKlines": {"pair": "BTCUSDT", "interval": "1m"},
    "GetKlines": BARS,
    "GetMarkPrice": SYMBOL,
    "GetMarkPriceKlines": BARS,
    "GetOpenInterest": SYMBOL,
    "GetOpenInterestHistory": HISTORY,
    "GetOrderBook": SYMBOL,
    "GetPremiumIndexKlines": BARS,
    "GetPrice": SYMBOL,
    "GetRecentTrades": SYMBOL,
    "GetServerTime": {},
    "GetTakerBuySellVolumeRatio": HISTORY,
    "GetTicker": SYMBOL,
    "GetTopLongShortPositionRatio": HISTORY,
}
OF_BYBIT: dict[str, dict[str, Any]] = {
    "GetFundingRateHistory": SYMBOL,
    "GetIndexPriceKlines": {**SYMBOL, "interval": 1},
    "GetKlines": {**SYMBOL, "interval": 1},
    "GetLinearInverseSymbols": {},
    "GetLinearInverseTickers": SYMBOL,
    "GetLongShortRatio": {**SYMBOL, "period": "5min"},
    "GetMarkPriceKlines": {**SYMBOL, "interval": 1},
    "GetOpenInterest": {**SYMBOL, "intervalTime": "5min"},
    "GetPremiumIndexPriceKlines": {**SYMBOL, "interval": 1},
    "GetRiskLimit": SYMBOL,
    "GetTradeHistory": SYMBOL,
}
RECORDED = {
    "/fapi/v1/aggTrades": SYMBOL,
    "/fapi/v1/depth": SYMBOL,
    "/fapi/v1/exchangeInfo": {},
    "/fapi/v1/fundingRate": SYMBOL,
    "/fapi/v1/klines": BARS,
    "/fapi/v1/openInterest": SYMBOL,
    "/fapi/v1/premiumIndex": SYMBOL,
    "/fapi/v1/ticker/24hr": SYMBOL,
    "/fapi/v1/ticker/bookTicker": SYMBOL,
    "/fapi/v1/trades": SYMBOL,
    "/futures/data/globalLongShortAccountRatio": HISTORY,
    "/futures/data/openInterestHist": HISTORY,
    "/futures/data/takerlongshortRatio": HISTORY,
    "/futures/data/topLongShortAccountRatio": HISTORY,
    "/futures/data/topLongShortPositionRatio": HISTORY,
}
RETIRED = {"settlePlan", "lastUpdateId", "requiredMarginPercent", "maintMarginPercent", "pair", "id"}
"""Names that only some ages of the payloads have."""


def lacking(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """What an answer lacks of a payload: names, and kinds of values other than a number for its text."""
    if isinstance(theirs, list):
        if not isinstance(ours, list):
            return [f"{where} is no list"]
        if theirs and isinstance(theirs[0], list):  # rows
            return [] if len(ours[0]) == len(theirs[0]) else [f"{where}: {len(ours[0])} columns, not {len(theirs[0])}"]
        return lacking(ours[0], theirs[0], f"{where}[0]") if theirs and ours else []
    if isinstance(theirs, dict):
        out = [f"{where}.{name}" for name in theirs.keys() - ours.keys() - RETIRED]
        return out + [
            each
            for name in theirs.keys() & ours.keys()
            for each in lacking(ours[name], theirs[name], f"{where}.{name}")
        ]
    return (
        [] if isinstance(ours, str) == isinstance(theirs, str) or theirs is None else [f"{where}: {ours!r}, {theirs!r}"]
    )


def documented(path: Path) -> tuple[str, Any]:
    """Path and answer of a page of the exchange's documentation."""
    lines = path.read_text().splitlines()
    return lines[1].strip(), json.loads("\n".join(lines[3:]))


@pytest.mark.real_data
@pytest.mark.parametrize("name", DOCUMENTED)
def test_binance_has_every_documented_name(served: Served, loop: asyncio.AbstractEventLoop, real_data: Path, name: str):
    path, payload = documented(real_data / BINANCE / f"Endpoints/UsdFutures/ExchangeData/{name}.txt")
    ours = loop.run_until_complete(served.fapi(path, **DOCUMENTED[name]))
    # The page quotes times and writes this amount as a number; the recorded answers have it as we do.
    elsewhere = re.compile(r"timestamp: \d+, '\d+'$|autoAssetExchange")
    assert [one for one in lacking(ours, payload) if not elsewhere.search(one)] == []


@pytest.mark.real_data
@pytest.mark.parametrize("name", OF_BYBIT)
def test_bybit_has_every_documented_name(served: Served, loop: asyncio.AbstractEventLoop, real_data: Path, name: str):
    path, payload = documented(real_data / BYBIT / f"Endpoints/V5Api/ExchangeData/{name}.txt")
    answer = loop.run_until_complete(served.get("api.bybit.com", path, category="linear", **OF_BYBIT[name]))[1]
    assert lacking(answer, payload) == []


@pytest.mark.real_data
@pytest.mark.parametrize("path", RECORDED)
def test_binance_has_every_recorded_name(served: Served, loop: asyncio.AbstractEventLoop, real_data: Path, path: str):
    with gzip.open(real_data / "payloads/binance_rest_recorded_gocryptotrader.json.gz") as file:
        recorded = json.load(file)["routes"].get(path)
    if recorded is None:
        pytest.skip(f"{path} was not recorded")
    payloads = [one["data"] for one in recorded["GET"] if not (isinstance(one["data"], dict) and "code" in one["data"])]
    ours = loop.run_until_complete(served.fapi(path, **RECORDED[path]))
    wanted = next((one for one in payloads if isinstance(one, type(ours)) and one), None)
    assert wanted is None or lacking(ours, wanted) == []
