"""Bybit v5 over HTTP, category linear: market data as its pages describe it, newest first.

Everything answers 200 with a code of its own in the body; only limits and faults have another status.

Sources: bybit-exchange.github.io/docs/v5, market endpoints, error codes, rate limits.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from virtuoso.venues.wire.binance_rest import base_of
from virtuoso.venues.wire.listing import DAY, MINUTE, MONTH, WEEK, Listing
from virtuoso.venues.wire.request import Json, Params, Refusal, Request, Route

HOST = "api.bybit.com"
INTERVALS = {
    "1": MINUTE, "3": 3 * MINUTE, "5": 5 * MINUTE, "15": 15 * MINUTE, "30": 30 * MINUTE, "60": 60 * MINUTE,
    "120": 120 * MINUTE, "240": 240 * MINUTE, "360": 360 * MINUTE, "720": 720 * MINUTE, "D": DAY, "W": WEEK,
    "M": MONTH,
}  # fmt: skip
PERIODS = {
    "5min": 5 * MINUTE, "15min": 15 * MINUTE, "30min": 30 * MINUTE, "1h": 60 * MINUTE, "4h": 240 * MINUTE, "1d": DAY,
}  # fmt: skip
TIERS = (
    # Upper bound of the position value, maintenance and initial margin rate, largest leverage.
    (2_000_000, 0.005, 0.01, 100.0), (2_600_000, 0.0056, 0.0111, 90.0), (3_200_000, 0.0062, 0.0125, 80.0),
    (20_000_000, 0.01, 0.02, 50.0), (80_000_000, 0.02, 0.04, 25.0), (200_000_000, 0.05, 0.1, 10.0),
)  # fmt: skip
RECV_WINDOW, CLOCK_AHEAD = 5_000, 1_000
FUNDING_MINUTES = 480
_PARAMS_ERROR = 10_001


def refuse(name: str, reason: str) -> Refusal:
    """Give what Bybit answers to a parameter that it cannot use."""
    words = {
        "unknown": f"params error: {name} invalid",
        "missing": f"params error: {name} is required",
        "invalid": f"params error: {name} invalid",
    }
    return Refusal(200, _PARAMS_ERROR, words[reason])


def failed(refusal: Refusal, now: int) -> Json:
    """Give the body of a refusal."""
    return {"retCode": refusal.code, "retMsg": refusal.message, "result": {}, "retExtInfo": {}, "time": now}


def answered(result: Json, now: int) -> Json:
    """Wrap a result."""
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}


def check_signed(request: Request, key: str, secret: str) -> None:
    """Refuse a signed request without the right key, time or signature."""
    headers = request.headers
    given, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
    if given != key:
        raise Refusal(200, 10_003, "API key is invalid.")
    window = headers.get("X-BAPI-RECV-WINDOW") or str(RECV_WINDOW)
    if not stamp.isdigit() or not window.isdigit():
        raise refuse("timestamp", "invalid")
    if not request.now - int(window) <= int(stamp) < request.now + CLOCK_AHEAD:
        raise Refusal(
            200, 10_002, "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{request.now}],recv_window[{window}]",
        )  # fmt: skip
    payload = f"{stamp}{given}{window}{request.body if request.method == 'POST' else request.query}"
    wanted = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, headers.get("X-BAPI-SIGN", "")):
        raise Refusal(200, 10_004, "error sign! please check your signature generation algorithm.")


def _category(read: Params) -> str:
    category = read.text("category")
    if category not in ("linear", "inverse", "option", "spot"):
        raise Refusal(200, _PARAMS_ERROR, "params error: Category is invalid")
    return category


def _linear(read: Params) -> Listing:
    """Give the coin that is named; the other categories list none."""
    if read.text("category", "linear") != "linear":
        _category(read)
        raise refuse("symbol", "unknown")
    return read.listing()


def instruments(request: Request) -> Json:
    """Rules of trading: GET /v5/market/instruments-info."""
    read = Params(request, refuse)
    category, limit = _category(read), read.limit(500, 1_000)
    listed = read.listings() if category == "linear" and read.text("status", "Trading") == "Trading" else []
    page, cursor = _page([_rules(listing) for listing in listed], read, limit)
    return {"category": category, "list": page, "nextPageCursor": cursor}


def _page(rows: list[Any], read: Params, limit: int) -> tuple[list[Any], str]:
    """Cut one page out; the cursor says where the next one begins, empty after the last."""
    cursor = read.text("cursor", "0")
    if not cursor.isdigit():
        raise refuse("cursor", "invalid")
    begin = int(cursor)
    page = rows[begin : begin + limit]
    return page, str(begin + limit) if begin + limit < len(rows) else ""


def _rules(listing: Listing) -> dict[str, Any]:
    tick, lot = listing.price(1.0 / listing.tick), listing.size(1.0 / listing.lot)
    return {
        "symbol": listing.symbol, "contractType": "LinearPerpetual", "status": "Trading",
        "baseCoin": base_of(listing.symbol), "quoteCoin": "USDT", "launchTime": str(listing.listed),
        "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": str(listing.coin.tick_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000", "minOrderQty": lot, "qtyStep": lot, "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000", "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True, "fundingInterval": FUNDING_MINUTES, "settleCoin": "USDT", "copyTrading": "both",
        "upperFundingRate": "0.005", "lowerFundingRate": "-0.005", "isPreListing": False, "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }  # fmt: skip


def _bounds(read: Params, start: str, end: str) -> tuple[int, int, bool]:
    first, until = read.whole(start, 0), read.whole(end, 2**62)
    if first > until:
        raise refuse(start, "invalid")
    return first, until, not (read.has(start) and not read.has(end))


def kline(request: Request) -> Json:
    """Bars of trades: GET /v5/market/kline."""
    read = Params(request, refuse)
    listing, length, limit = _series(read)
    first, until, newest = _bounds(read, "start", "end")
    bars = listing.bars(length, first, until, limit, newest=newest, now=request.now)
    quote = listing.coin.tick_decimals + listing.coin.lot_decimals
    rows = [
        [str(bar.open_time), *(listing.price(p) for p in (bar.open, bar.high, bar.low, bar.close)),
         listing.size(bar.volume), f"{bar.quote_volume:.{quote}f}"]
        for bar in reversed(bars)
    ]  # fmt: skip
    return {"symbol": listing.symbol, "category": "linear", "list": rows}


def _series(read: Params) -> tuple[Listing, int, int]:
    listing, name = _linear(read), read.text("interval")
    if name not in INTERVALS:
        raise Refusal(200, _PARAMS_ERROR, "Invalid period!")
    return listing, INTERVALS[name], read.limit(200, 1_000, clip=True)


def told_kline(which: str) -> Route:
    """Bars of the mark price, the index price or the premium."""

    def answer(request: Request) -> Json:
        read = Params(request, refuse)
        listing, length, limit = _series(read)
        first, until, newest = _bounds(read, "start", "end")
        bars = listing.told_bars(which, length, first, until, limit, newest=newest, now=request.now)
        decimals = 6 if which == "premium" else listing.coin.tick_decimals
        rows = [
            [str(bar.open_time), *(f"{p:.{decimals}f}" for p in (bar.open, bar.high, bar.low, bar.close))]
            for bar in reversed(bars)
        ]
        return {"symbol": listing.symbol, "category": "linear", "list": rows}

    return answer


def order_book(request: Request) -> Json:
    """The order book: GET /v5/market/orderbook."""
    read = Params(request, refuse)
    _category(read)
    listing, limit = _linear(read), read.limit(25, 500)
    listing.book.move(request.now)
    bids, asks = listing.book.levels(limit)
    return {
        "s": listing.symbol,
        "b": [[listing.ticks(p), listing.lots(q)] for p, q in bids],
        "a": [[listing.ticks(p), listing.lots(q)] for p, q in asks],
        "ts": request.now, "u": listing.book.update, "seq": listing.book.update, "cts": request.now,
    }  # fmt: skip


def trade_id(listing: Listing, number: int) -> str:
    """Give the id of a trade in the shape that Bybit gives linear trades."""
    text = hashlib.sha256(f"{listing.symbol}{number}".encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def recent_trades(request: Request) -> Json:
    """The newest trades: GET /v5/market/recent-trade."""
    read = Params(request, refuse)
    _category(read)
    listing, limit = _linear(read), read.limit(500, 1_000)
    rows = listing.trades_in(0, request.now)[-limit:]
    found = [
        {
            "execId": trade_id(listing, i), "symbol": listing.symbol, "price": listing.ticks(p),
            "size": listing.lots(q), "side": "Buy" if side > 0 else "Sell", "time": str(t), "isBlockTrade": False,
            "isRPITrade": False, "seq": str(i),
        }
        for t, i, p, q, side in reversed(rows.tolist())
    ]  # fmt: skip
    return {"category": "linear", "list": found}


def ticker(listing: Listing, now: int) -> dict[str, Any]:
    """Give all that Bybit says of a symbol at once."""
    bar = listing.day(now)
    mark, index = listing.mark_and_index(now)
    rate, settles = listing.funding(now)
    interest, _ = listing.open_interest(now) or (0.0, now)
    hour_ago = listing.last_price(now - 60 * MINUTE) or bar.open
    listing.book.move(now)
    bids, asks = listing.book.levels(1)
    (bid, bid_size), (ask, ask_size) = (bids or [(0, 0)])[0], (asks or [(0, 0)])[0]
    return {
        "symbol": listing.symbol, "lastPrice": listing.price(bar.close), "indexPrice": listing.price(index),
        "markPrice": listing.price(mark), "prevPrice24h": listing.price(bar.open),
        "price24hPcnt": f"{bar.close / bar.open - 1.0:.6f}", "highPrice24h": listing.price(bar.high),
        "lowPrice24h": listing.price(bar.low), "prevPrice1h": listing.price(hour_ago),
        "openInterest": listing.size(interest), "openInterestValue": f"{interest * mark:.2f}",
        "turnover24h": f"{bar.quote_volume:.4f}", "volume24h": listing.size(bar.volume), "fundingRate": f"{rate:.8f}",
        "nextFundingTime": str(settles), "predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "",
        "deliveryTime": "0", "ask1Size": listing.lots(ask_size), "bid1Price": listing.ticks(bid),
        "ask1Price": listing.ticks(ask), "bid1Size": listing.lots(bid_size), "basis": "",
        "fundingIntervalHour": str(FUNDING_MINUTES // 60), "fundingCap": "0.005",
    }  # fmt: skip


def tickers(request: Request) -> Json:
    """What the last day was and what stands: GET /v5/market/tickers."""
    read = Params(request, refuse)
    category = _category(read)
    listed = read.listings() if category == "linear" else []
    return {"category": category, "list": [ticker(listing, request.now) for listing in listed]}


def funding_history(request: Request) -> Json:
    """Settled funding: GET /v5/market/funding/history."""
    read = Params(request, refuse)
    _category(read)
    listing, limit = _linear(read), read.limit(200, 200)
    if read.has("startTime") and not read.has("endTime"):
        raise Refusal(200, _PARAMS_ERROR, "params error: endTime is required where startTime is given")
    first, until, _ = _bounds(read, "startTime", "endTime")
    rows = listing.settlements(first, min(until, request.now))[-limit:]
    found = [
        {"symbol": listing.symbol, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(int(t))}
        for t, rate, _ in reversed(rows.tolist())
    ]
    return {"category": "linear", "list": found}


def _metrics(request: Request, period_key: str, most: int) -> tuple[Params, Listing, list[list[float]], int]:
    read = Params(request, refuse)
    _category(read)
    period = read.text(period_key)
    if period not in PERIODS:
        raise refuse(period_key, "invalid")
    limit = read.limit(50, most)
    first, until, _ = _bounds(read, "startTime", "endTime")
    listing = _linear(read)
    rows = listing.metrics_in(first, min(until, request.now), PERIODS[period])
    return read, listing, rows[::-1].tolist(), limit


def open_interest(request: Request) -> Json:
    """What stood: GET /v5/market/open-interest."""
    read, listing, rows, limit = _metrics(request, "intervalTime", 200)
    page, cursor = _page(rows, read, limit)
    found = [
        {"openInterest": f"{values[1] / listing.lot:.8f}", "timestamp": str(int(values[0]))} for values in page
    ]  # fmt: skip
    return {"symbol": listing.symbol, "category": "linear", "list": found, "nextPageCursor": cursor}


def account_ratio(request: Request) -> Json:
    """Share of accounts that were long: GET /v5/market/account-ratio."""
    read, listing, rows, limit = _metrics(request, "period", 500)
    page, cursor = _page(rows, read, limit)
    found = [
        {
            "symbol": listing.symbol, "buyRatio": f"{values[3] / (1.0 + values[3]):.4f}",
            "sellRatio": f"{1.0 / (1.0 + values[3]):.4f}", "timestamp": str(int(values[0])),
        }
        for values in page
    ]  # fmt: skip
    return {"list": found, "nextPageCursor": cursor}


def risk_limit(request: Request) -> Json:
    """Tiers of leverage: GET /v5/market/risk-limit."""
    read = Params(request, refuse)
    category = _category(read)
    listed = read.listings() if category == "linear" else []
    rows, number = [], 0
    for listing in listed:
        floor, rate, deducted = 0, 0.0, 0.0
        for n, (cap, maintenance, initial, leverage) in enumerate(TIERS):
            number += 1
            deducted += floor * (maintenance - rate) if n else 0.0
            rows.append({
                "id": number, "symbol": listing.symbol, "riskLimitValue": str(cap),
                "maintenanceMargin": f"{maintenance:g}", "initialMargin": f"{initial:g}", "isLowestRisk": int(n == 0),
                "maxLeverage": f"{leverage:.2f}", "mmDeduction": f"{deducted:g}" if n else "",
            })  # fmt: skip
            floor, rate = cap, maintenance
    return {"category": category, "list": rows, "nextPageCursor": ""}


def server_time(request: Request) -> Json:
    """The venue's clock: GET /v5/market/time."""
    return {"timeSecond": str(request.now // 1_000), "timeNano": str(request.now * 1_000_000)}


def system_status(_request: Request) -> Json:
    """Announced maintenance, of which there is none: GET /v5/system/status."""
    return {"list": []}


PUBLIC: dict[str, Route] = {
    "/v5/market/time": server_time,
    "/v5/market/instruments-info": instruments,
    "/v5/market/kline": kline,
    "/v5/market/mark-price-kline": told_kline("mark"),
    "/v5/market/index-price-kline": told_kline("index"),
    "/v5/market/premium-index-price-kline": told_kline("premium"),
    "/v5/market/orderbook": order_book,
    "/v5/market/recent-trade": recent_trades,
    "/v5/market/tickers": tickers,
    "/v5/market/funding/history": funding_history,
    "/v5/market/open-interest": open_interest,
    "/v5/market/account-ratio": account_ratio,
    "/v5/market/risk-limit": risk_limit,
    "/v5/system/status": system_status,
}
SIGNED: dict[str, Route] = {
    "/v5/asset/coin/query-info": lambda _: {"rows": []},  # asked for by load_markets where there is a key
}
