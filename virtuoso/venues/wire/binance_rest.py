"""Binance USD-M over HTTP: market data as its pages describe it, sorted from the oldest to the newest.

Sources: developers.binance.com, USDS-margined futures, market data endpoints, error codes, general info.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from virtuoso.venues.wire.listing import DAY, MINUTE, MONTH, WEEK, Bar, Listing
from virtuoso.venues.wire.request import Json, Params, Refusal, Request, Route

HOST = "fapi.binance.com"
HOUR = 60 * MINUTE
INTERVALS = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR,
    "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY, "3d": 3 * DAY,
    "1w": WEEK, "1M": MONTH,
}  # fmt: skip
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
RETENTION = 30 * DAY
"""How far back open interest and ratios are given."""
DEPTHS = (5, 10, 20, 50, 100, 500, 1_000)
TIERS = (
    # Upper bound of the notional, largest leverage, maintenance margin rate.
    (50_000, 125, 0.004), (600_000, 100, 0.005), (3_000_000, 75, 0.0065), (12_000_000, 50, 0.01),
    (70_000_000, 25, 0.02), (100_000_000, 20, 0.025), (230_000_000, 10, 0.05), (480_000_000, 5, 0.1),
    (600_000_000, 4, 0.125), (800_000_000, 3, 0.15), (1_200_000_000, 2, 0.25), (1_800_000_000, 1, 0.5),
)  # fmt: skip
RECV_WINDOW, CLOCK_AHEAD = 5_000, 1_000
_WORDS = {
    "missing": (-1102, "Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
    "invalid": (-1130, "Data sent for parameter '{name}' is not valid."),
    "malformed": (-1100, "Illegal characters found in parameter '{name}'."),
}


def refuse(name: str, reason: str) -> Refusal:
    """Give what Binance answers to a parameter that it cannot use."""
    if reason == "unknown":
        return Refusal(400, -1121, "Invalid symbol.")
    code, words = _WORDS[reason]
    return Refusal(400, code, words.format(name=name))


def failed(refusal: Refusal) -> Json:
    """Give the body of a refusal."""
    return {"code": refusal.code, "msg": refusal.message}


def weight(path: str, params: dict[str, str]) -> int:
    """Say what a request costs of the budget of a minute."""
    single = bool(params.get("symbol"))
    limit = int(params["limit"]) if params.get("limit", "").isdigit() else 500
    if path.endswith(("lines", "klines")) and "/fapi/" in path:
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10
    if path.endswith("/depth"):
        return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
    if path.startswith("/futures/data/") or path.endswith("/fundingInfo"):
        return 0
    fixed = {"aggTrades": 20, "historicalTrades": 20, "trades": 5, "constituents": 2}
    by_symbol = {"24hr": (1, 40), "bookTicker": (2, 5), "price": (1, 2), "premiumIndex": (1, 10)}
    name = path.rsplit("/", 1)[-1]
    if name in by_symbol:
        return by_symbol[name][0 if single else 1]
    return fixed.get(name, 1)


def check_signed(request: Request, key: str, secret: str) -> None:
    """Refuse a signed request without the right key, time or signature."""
    given = request.headers.get("X-MBX-APIKEY")
    if not given:
        raise Refusal(401, -2014, "API-key format invalid.")
    if given != key:
        raise Refusal(401, -2015, "Invalid API-key, IP, or permissions for action.")
    read = Params(request, refuse)
    stamp, window = read.whole("timestamp"), read.whole("recvWindow", RECV_WINDOW)
    if stamp > request.now + CLOCK_AHEAD:
        raise Refusal(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if request.now - stamp > window:
        raise Refusal(400, -1021, "Timestamp for this request is outside of the recvWindow.")
    read.text("signature")
    payload = "&".join(part for part in f"{request.query}&{request.body}".split("&") if part[:10] != "signature=")
    wanted = hmac.new(secret.encode(), payload.strip("&").encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, read.text("signature")):
        raise Refusal(400, -1022, "Signature for this request is not valid.")


def exchange_info(request: Request) -> Json:
    """Rules of trading: GET /fapi/v1/exchangeInfo."""
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2_400},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1_200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ]
    return {
        "timezone": "UTC",
        "serverTime": request.now,
        "futuresType": "U_MARGINED",
        "rateLimits": limits,
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_rules(listing) for listing in request.world.listings.values()],
    }


def base_of(symbol: str) -> str:
    """Give the base asset of a symbol that is settled in USDT."""
    return symbol.removesuffix("USDT")


def _rules(listing: Listing) -> dict[str, Any]:
    tick, lot = listing.price(1.0 / listing.tick), listing.size(1.0 / listing.lot)
    return {
        "symbol": listing.symbol, "pair": listing.symbol, "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000, "onboardDate": listing.listed, "status": "TRADING",
        "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000", "baseAsset": base_of(listing.symbol),
        "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": listing.coin.tick_decimals,
        "quantityPrecision": listing.coin.lot_decimals, "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "underlyingSubType": ["PoW"], "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10_000,
        "permissionSets": ["GRID", "COPY"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "100000", "stepSize": lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": [
            "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip


def _interval(read: Params) -> int:
    name = read.text("interval")
    if name not in INTERVALS:
        raise Refusal(400, -1120, "Invalid interval.")
    return INTERVALS[name]


def _span(read: Params) -> tuple[int, int, bool]:
    """First and last moment asked for, and whether the newest rows are meant."""
    first, until = read.whole("startTime", 0), read.whole("endTime", 2**62)
    if first < 0 or until < 0:
        raise refuse("startTime" if first < 0 else "endTime", "malformed")
    return first, until, not read.has("startTime")


def kline(listing: Listing, bar: Bar) -> list[Any]:
    """Write a bar of trades as a row."""
    quote = listing.coin.tick_decimals + listing.coin.lot_decimals
    return [
        bar.open_time, *(listing.price(p) for p in (bar.open, bar.high, bar.low, bar.close)),
        listing.size(bar.volume), bar.close_time, f"{bar.quote_volume:.{quote}f}", bar.trades,
        listing.size(bar.taker_buy_volume), f"{bar.taker_buy_quote_volume:.{quote}f}", "0",
    ]  # fmt: skip


def klines(request: Request) -> Json:
    """Bars of trades: GET /fapi/v1/klines, and /fapi/v1/continuousKlines by pair."""
    read = Params(request, refuse)
    if request.path.endswith("continuousKlines"):
        pair, kind = read.text("pair"), read.text("contractType")
        if kind not in ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"):
            raise Refusal(400, -1115, "Invalid contractType.")
        listing = request.world.listings.get(pair)
        if listing is None or kind != "PERPETUAL":
            raise refuse("symbol", "unknown")
    else:
        listing = read.listing()
    length, limit = _interval(read), read.limit(500, 1_500)
    first, until, newest = _span(read)
    bars = listing.bars(length, first, until, limit, newest=newest, now=request.now)
    return [kline(listing, bar) for bar in bars]


def told_klines(which: str, symbol_key: str) -> Route:
    """Bars of the mark price, the index price or the premium."""

    def answer(request: Request) -> Json:
        read = Params(request, refuse)
        listing = request.world.listings.get(read.text(symbol_key))
        if listing is None:
            raise refuse("symbol", "unknown")
        length, limit = _interval(read), read.limit(500, 1_500)
        first, until, newest = _span(read)
        bars = listing.told_bars(which, length, first, until, limit, newest=newest, now=request.now)
        return [
            [bar.open_time, *(f"{p:.8f}" for p in (bar.open, bar.high, bar.low, bar.close)),
             "0", bar.close_time, "0", 60, "0", "0", "0"]
            for bar in bars
        ]  # fmt: skip

    return answer


def agg_trades(request: Request) -> Json:
    """Trades, an order and price a row: GET /fapi/v1/aggTrades."""
    read = Params(request, refuse)
    listing, limit = read.listing(), read.limit(500, 1_000)
    first, until, newest = _span(read)
    if read.has("fromId"):
        rows = listing.trades_from(read.whole("fromId"), request.now)[:limit]
    else:
        if read.has("startTime") and read.has("endTime") and until - first > HOUR:
            raise Refusal(400, -1127, "More than 1 hours between startTime and endTime.")
        rows = listing.trades_in(first, min(until, request.now))
        rows = rows[-limit:] if newest else rows[:limit]
    return [
        {"a": i, "p": listing.ticks(p), "q": listing.lots(q), "f": i, "l": i, "T": t, "m": side < 0}
        for t, i, p, q, side in rows.tolist()
    ]


def trades(request: Request) -> Json:
    """The newest trades, and old ones from an id: GET /fapi/v1/trades and /fapi/v1/historicalTrades."""
    read = Params(request, refuse)
    listing, limit = read.listing(), read.limit(500, 1_000)
    if request.path.endswith("historicalTrades"):
        if not request.headers.get("X-MBX-APIKEY"):
            raise Refusal(401, -2014, "API-key format invalid.")
        if read.has("fromId"):
            rows = listing.trades_from(read.whole("fromId"), request.now)[:limit]
        else:
            rows = listing.trades_in(0, request.now)[-limit:]
    else:
        rows = listing.trades_in(0, request.now)[-limit:]
    return [
        {
            "id": i, "price": listing.ticks(p), "qty": listing.lots(q),
            "quoteQty": f"{p / listing.tick * q / listing.lot:.2f}", "time": t, "isBuyerMaker": side < 0,
        }
        for t, i, p, q, side in rows.tolist()
    ]  # fmt: skip


def depth(request: Request) -> Json:
    """The order book: GET /fapi/v1/depth."""
    read = Params(request, refuse)
    listing, limit = read.listing(), read.whole("limit", 500)
    if limit not in DEPTHS:
        raise Refusal(400, -4021, f"Invalid depth limit. Valid limits are {', '.join(map(str, DEPTHS))}.")
    listing.book.move(request.now)
    bids, asks = listing.book.levels(limit)
    return {
        "lastUpdateId": listing.book.update,
        "E": request.now,
        "T": request.now,
        "bids": [[listing.ticks(p), listing.lots(q)] for p, q in bids],
        "asks": [[listing.ticks(p), listing.lots(q)] for p, q in asks],
    }


def day_ticker(listing: Listing, now: int) -> dict[str, Any]:
    """Give what the last 24 hours were, under the long names of REST."""
    bar = listing.day(now)
    rows = listing.trades_in(now - DAY, now)
    change = bar.close - bar.open
    return {
        "symbol": listing.symbol, "priceChange": listing.price(change),
        "priceChangePercent": f"{100.0 * change / bar.open:.3f}",
        "weightedAvgPrice": listing.price(bar.quote_volume / bar.volume if bar.volume else bar.close),
        "lastPrice": listing.price(bar.close), "lastQty": listing.lots(int(rows[-1, 3]) if len(rows) else 0),
        "openPrice": listing.price(bar.open), "highPrice": listing.price(bar.high), "lowPrice": listing.price(bar.low),
        "volume": listing.size(bar.volume), "quoteVolume": f"{bar.quote_volume:.2f}", "openTime": now - DAY,
        "closeTime": now, "firstId": int(rows[0, 1]) if len(rows) else -1,
        "lastId": int(rows[-1, 1]) if len(rows) else -1, "count": bar.trades,
    }  # fmt: skip


def _of_one_or_all(answer: Callable[[Listing, int], dict[str, Any]]) -> Route:
    """Answer with an object where a symbol is named, else with a list of all."""

    def route(request: Request) -> Json:
        read = Params(request, refuse)
        made = [answer(listing, request.now) for listing in read.listings()]
        return made[0] if read.has("symbol") else made

    return route


def book_ticker(listing: Listing, now: int) -> dict[str, Any]:
    """Give the best bid and ask."""
    listing.book.move(now)
    bids, asks = listing.book.levels(1)
    (bid, bid_size), (ask, ask_size) = (bids or [(0, 0)])[0], (asks or [(0, 0)])[0]
    return {
        "lastUpdateId": listing.book.update, "symbol": listing.symbol, "bidPrice": listing.ticks(bid),
        "bidQty": listing.lots(bid_size), "askPrice": listing.ticks(ask), "askQty": listing.lots(ask_size), "time": now,
    }  # fmt: skip


def last_price(listing: Listing, now: int) -> dict[str, Any]:
    """Give the price of the last trade."""
    return {
        "symbol": listing.symbol,
        "price": listing.price(listing.last_price(now) or listing.coin.price),
        "time": now,
    }


def premium_index(listing: Listing, now: int) -> dict[str, Any]:
    """Give mark, index and funding."""
    mark, index = listing.mark_and_index(now)
    rate, settles = listing.funding(now)
    return {
        "symbol": listing.symbol, "markPrice": f"{mark:.8f}", "indexPrice": f"{index:.8f}",
        "estimatedSettlePrice": f"{index:.8f}", "lastFundingRate": f"{rate:.8f}", "interestRate": "0.00010000",
        "nextFundingTime": settles, "time": now,
    }  # fmt: skip


def funding_rate(request: Request) -> Json:
    """Settled funding: GET /fapi/v1/fundingRate."""
    read = Params(request, refuse)
    limit = read.limit(100, 1_000)
    first, until, newest = _span(read)
    rows = sorted(
        (int(t), listing.symbol, rate, mark / listing.tick)
        for listing in read.listings()
        for t, rate, mark in listing.settlements(first, min(until, request.now)).tolist()
    )
    rows = rows[-limit:] if newest else rows[:limit]
    return [
        {"symbol": symbol, "fundingTime": t, "fundingRate": f"{rate:.8f}", "markPrice": f"{mark:.8f}"}
        for t, symbol, rate, mark in rows
    ]


def funding_info(listing: Listing, _now: int) -> dict[str, Any]:
    """Give the interval and the bounds of funding."""
    return {
        "symbol": listing.symbol, "adjustedFundingRateCap": "0.02000000", "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": 8, "disclaimer": False,
    }  # fmt: skip


def open_interest(request: Request) -> Json:
    """What stands now: GET /fapi/v1/openInterest."""
    listing = Params(request, refuse).listing()
    lots, time = listing.open_interest(request.now) or (0.0, request.now)
    return {"symbol": listing.symbol, "openInterest": listing.size(lots), "time": time}


def constituents(request: Request) -> Json:
    """What the index is made of: GET /fapi/v1/constituents."""
    listing = Params(request, refuse).listing()
    _, index = listing.mark_and_index(request.now)
    part = {"exchange": "simulated", "symbol": listing.symbol, "price": f"{index:.8f}", "weight": "1.00000000"}
    return {"symbol": listing.symbol, "time": request.now, "constituents": [part]}


def history(row: Callable[[Listing, list[float], int], dict[str, Any]]) -> Route:
    """Rows of /futures/data: the last 30 days, at multiples of the period."""

    def answer(request: Request) -> Json:
        read = Params(request, refuse)
        listing, period = read.listing(), read.text("period")
        if period not in PERIODS:
            raise refuse("period", "invalid")
        limit = read.limit(30, 500)
        first, until, newest = _span(read)
        if read.has("startTime") and first < request.now - RETENTION:
            raise refuse("startTime", "invalid")
        step = INTERVALS[period]
        rows = listing.metrics_in(max(first, request.now - RETENTION), min(until, request.now), step)
        rows = rows[-limit:] if newest else rows[:limit]
        return [row(listing, values, step) for values in rows.tolist()]

    return answer


def _interest_row(listing: Listing, values: list[float], _step: int) -> dict[str, Any]:
    lots, mark = values[1] / listing.lot, values[2] / listing.tick
    return {
        "symbol": listing.symbol, "sumOpenInterest": f"{lots:.8f}", "sumOpenInterestValue": f"{lots * mark:.8f}",
        "CMCCirculatingSupply": "0", "timestamp": int(values[0]),
    }  # fmt: skip


def _ratio_row(column: int) -> Callable[[Listing, list[float], int], dict[str, Any]]:
    def row(listing: Listing, values: list[float], _step: int) -> dict[str, Any]:
        long = values[column] / (1.0 + values[column])
        return {
            "symbol": listing.symbol, "longAccount": f"{long:.4f}", "longShortRatio": f"{values[column]:.4f}",
            "shortAccount": f"{1.0 - long:.4f}", "timestamp": int(values[0]),
        }  # fmt: skip

    return row


def _takers_row(listing: Listing, values: list[float], step: int) -> dict[str, Any]:
    bought, sold = listing.takers(int(values[0]) - step, int(values[0]))
    return {
        "buySellRatio": f"{bought / sold if sold else 0.0:.4f}", "sellVol": f"{sold:.4f}", "buyVol": f"{bought:.4f}",
        "timestamp": int(values[0]),
    }  # fmt: skip


def brackets() -> list[dict[str, Any]]:
    """Give the tiers of leverage with the amounts to deduct that make the margin continuous."""
    out: list[dict[str, Any]] = []
    floor, rate, deducted = 0, 0.0, 0.0
    for n, (cap, leverage, maintenance) in enumerate(TIERS):
        deducted += floor * (maintenance - rate) if n else 0.0
        out.append({
            "bracket": n + 1, "initialLeverage": leverage, "notionalCap": cap, "notionalFloor": floor,
            "maintMarginRatio": maintenance, "cum": round(deducted, 6),
        })  # fmt: skip
        floor, rate = cap, maintenance
    return out


def leverage_bracket(request: Request) -> Json:
    """Tiers of leverage: GET /fapi/v1/leverageBracket, signed."""
    read = Params(request, refuse)
    made: list[Any] = [{"symbol": listing.symbol, "brackets": brackets()} for listing in read.listings()]
    return made[0] if read.has("symbol") else made


PUBLIC: dict[str, Route] = {
    "/fapi/v1/ping": lambda _: {},
    "/fapi/v1/time": lambda request: {"serverTime": request.now},
    "/fapi/v1/exchangeInfo": exchange_info,
    "/fapi/v1/klines": klines,
    "/fapi/v1/continuousKlines": klines,
    "/fapi/v1/markPriceKlines": told_klines("mark", "symbol"),
    "/fapi/v1/indexPriceKlines": told_klines("index", "pair"),
    "/fapi/v1/premiumIndexKlines": told_klines("premium", "symbol"),
    "/fapi/v1/aggTrades": agg_trades,
    "/fapi/v1/trades": trades,
    "/fapi/v1/historicalTrades": trades,
    "/fapi/v1/depth": depth,
    "/fapi/v1/ticker/24hr": _of_one_or_all(day_ticker),
    "/fapi/v1/ticker/price": _of_one_or_all(last_price),
    "/fapi/v2/ticker/price": _of_one_or_all(last_price),
    "/fapi/v1/ticker/bookTicker": _of_one_or_all(book_ticker),
    "/fapi/v1/premiumIndex": _of_one_or_all(premium_index),
    "/fapi/v1/fundingRate": funding_rate,
    "/fapi/v1/fundingInfo": lambda r: [funding_info(each, r.now) for each in r.world.listings.values()],
    "/fapi/v1/openInterest": open_interest,
    "/fapi/v1/constituents": constituents,
    "/futures/data/openInterestHist": history(_interest_row),
    "/futures/data/globalLongShortAccountRatio": history(_ratio_row(3)),
    "/futures/data/topLongShortAccountRatio": history(_ratio_row(4)),
    "/futures/data/topLongShortPositionRatio": history(_ratio_row(5)),
    "/futures/data/takerlongshortRatio": history(_takers_row),
}
SIGNED: dict[str, Route] = {
    "/fapi/v1/leverageBracket": leverage_bracket,
}
