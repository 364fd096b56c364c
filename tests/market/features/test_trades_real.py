"""The fold of trades over recordings: bars against the venue's own, flow against pandas."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from virtuoso.clock import Timeframe
from virtuoso.market.events import events_of
from virtuoso.market.features.trades import TradeFeatures, bars_from_trades
from virtuoso.market.schema.kinds import KINDS
from virtuoso.venues.files.trades import read_trades

MINUTE = Timeframe("1m")


def events(rows):
    """Aggregated trades as Binance streams them."""
    columns = {
        "id": np.array([row["a"] for row in rows]),
        "price": np.array([float(row["p"]) for row in rows]),
        "size": np.array([float(row["q"]) for row in rows]),
        "side": np.array([-1 if row["m"] else 1 for row in rows]),
        "count": np.array([row["l"] - row["f"] + 1 for row in rows]),
    }
    return events_of(KINDS["trades"], np.array([row["T"] for row in rows]), columns)


@pytest.fixture(scope="module")
def streamed(real_data):
    """Half a minute of four symbols of Binance USD-M: aggregated trades, and klines as they grew."""
    text = gzip.decompress((real_data / "payloads/cryptofeed/BINANCE_FUTURES.ws.1.0.gz").read_bytes()).decode()
    told = [json.loads(line.split(": ", 1)[1])["data"] for line in text.splitlines() if ': {"stream"' in line]
    return (
        [message for message in told if message["e"] == "aggTrade"],
        [message["k"] for message in told if message["e"] == "kline"],
    )


class TestTheVenuesOwnBars:
    """Wherever a recording holds a minute's trades from its first on, the bar made of them is the venue's kline."""

    def test_every_kline_equals_the_bar_of_the_trades_up_to_its_last(self, streamed):
        told, klines = streamed
        compared = 0
        for kline in klines:
            trades = [t for t in told if t["s"] == kline["s"] and kline["f"] <= t["f"] and t["l"] <= kline["L"]]
            if not trades or trades[0]["f"] != kline["f"] or trades[-1]["l"] != kline["L"]:
                continue  # trades before the recording began are part of the kline
            rows = bars_from_trades(events(trades), MINUTE, since=kline["t"], until=kline["t"] + MINUTE.ms)
            ours = {name: values[0] for name, values in rows.columns.items()}
            theirs = {
                "open": kline["o"], "high": kline["h"], "low": kline["l"], "close": kline["c"], "volume": kline["v"],
                "quote_volume": kline["q"], "trades": kline["n"], "taker_buy_volume": kline["V"],
                "taker_buy_quote_volume": kline["Q"],
            }  # fmt: skip
            for name, value in theirs.items():
                assert ours[name] == pytest.approx(float(value), rel=1e-9), name
            assert rows.open_time.tolist() == [kline["t"]]
            compared += 1
        assert compared == 15


class TestAnHourOfSpotTrades:
    """Against pandas, minute by minute."""

    @pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "ETHBTC"])
    def test_flow_and_bars(self, real_data, symbol):
        packed = (real_data / f"trades/binance_spot_aggTrade_{symbol}_20201101T09.json.gz").read_bytes()
        trades = events(json.loads(gzip.decompress(packed)))
        ms = MINUTE.ms
        first, end = int(trades.event_time[0] // ms), int(trades.event_time[-1] // ms)
        table = pd.DataFrame({name: trades[name] for name in ("price", "size", "side", "count")})
        table["bar"] = (trades.available_at - 1) // ms
        moves = table["price"].diff().fillna(0.0)
        expected = pd.DataFrame(
            {
                "volume": table["size"],
                "trades": table["count"],
                "taker_buy_volume": table["size"].where(table["side"] > 0, 0.0),
                "taker_buy_trades": table["count"].where(table["side"] > 0, 0.0),
                "buy_move": moves.where(table["side"] > 0, 0.0),
                "sell_move": moves.where(table["side"] < 0, 0.0),
            }
        ).groupby(table["bar"])  # fmt: skip
        expected = expected.sum().loc[first + 1 : end - 1]
        out = TradeFeatures(MINUTE).bars({"trades": trades.between(-1, end * ms)}, first, end)
        assert len(expected) >= 58
        for name in expected:
            np.testing.assert_allclose(out[name][1:], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
        rows = bars_from_trades(trades, MINUTE)
        assert len(rows) == end - first - 1
        assert (rows.columns["high"] >= rows.columns["close"]).all()

    def test_what_is_large_is_a_tenth_of_the_orders_and_most_of_the_volume(self, real_data):
        packed = (real_data / "trades/binance_spot_aggTrade_BTCUSDT_20201101T09.json.gz").read_bytes()
        trades = events(json.loads(gzip.decompress(packed)))
        first, end = int(trades.event_time[0] // MINUTE.ms), int(trades.event_time[-1] // MINUTE.ms)
        out = TradeFeatures(MINUTE).bars({"trades": trades.between(-1, end * MINUTE.ms)}, first, end)
        large = out["large_buy_volume"] + out["large_sell_volume"]
        known = ~np.isnan(large)
        assert known.sum() >= 57
        assert 0.5 < large[known].sum() / out["volume"][known].sum() < 0.95


def test_two_hours_of_the_vendors_trades_fold(real_data):
    """tardis.dev files do not say how many single trades a row stands for; the rest is known."""
    name = "tardis_binance-futures_trades_BTCUSDT_20200222_first9999.csv.gz"
    (raw,) = read_trades(real_data / "trades" / name, now_ms=1_760_000_000_000)
    trades = events_of(KINDS["trades"], raw.event_time, raw.columns, raw.received_at)
    first, end = int(trades.available_at[0] // MINUTE.ms), int(trades.available_at[-1] // MINUTE.ms)
    out = TradeFeatures(MINUTE).bars({"trades": trades.between(-1, end * MINUTE.ms)}, first, end)
    assert np.isnan(out["trades"]).all()
    assert (~np.isnan(out["volume"])).sum() == end - first - 1
    assert (~np.isnan(out["large_buy_volume"])).sum() >= 120
