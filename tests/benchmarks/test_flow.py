"""The fold of trades against pandas in the same run: two million trades of five hours into bars of a minute.

`trades_per_s` in the extra info is the figure to compare. pandas does less: sums, OHLC and moves by side, neither large
trades nor the footprint.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.tape import tape
from virtuoso.clock import Timeframe
from virtuoso.market.features.footprint import footprint
from virtuoso.market.features.trades import TradeFeatures, bars_from_trades

MINUTE = Timeframe("1m")


@pytest.fixture(scope="module")
def day():
    return tape(1, orders=1_110_000, mean_gap_ms=16.0, unsided=True)


def rate(benchmark, trades):
    benchmark.extra_info["trades_per_s"] = round(len(trades) / benchmark.stats["min"])


def folded(trades, timeframe):
    first, end = int((trades.available_at[0] - 1) // timeframe.ms), int((trades.available_at[-1] - 1) // timeframe.ms)
    return TradeFeatures(timeframe).bars({"trades": trades}, first, end + 1)


@pytest.mark.parametrize("timeframe", ["1s", "1m", "1h"])
def test_fold(benchmark, day, timeframe):
    benchmark.pedantic(folded, args=(day, Timeframe(timeframe)), rounds=5, warmup_rounds=1)
    rate(benchmark, day)


def test_bars_from_trades(benchmark, day):
    benchmark.pedantic(bars_from_trades, args=(day, MINUTE), rounds=5, warmup_rounds=1)
    rate(benchmark, day)


def test_peer_pandas_groupby(benchmark, day):
    def by_groups():
        buy = day["side"] > 0
        bought = np.where(buy, day["size"], 0.0)
        quote, moved = day["price"] * day["size"], np.diff(day["price"], prepend=day["price"][0])
        table = pd.DataFrame(
            {
                "price": day["price"], "volume": day["size"], "quote_volume": quote, "trades": day["count"],
                "taker_buy_volume": bought, "taker_buy_quote_volume": np.where(buy, quote, 0.0),
                "taker_buy_trades": np.where(buy, day["count"], 0.0), "buy_move": np.where(buy, moved, 0.0),
                "sell_move": np.where(day["side"] < 0, moved, 0.0),
            }
        ).groupby((day.available_at - 1) // MINUTE.ms)  # fmt: skip
        return table["price"].agg(["first", "max", "min", "last"]), table.sum()

    benchmark.pedantic(by_groups, rounds=5, warmup_rounds=1)
    rate(benchmark, day)


def test_footprint_of_one_minute(benchmark, day):
    minute = day.take(slice(0, 6_000))
    benchmark.pedantic(footprint, args=(minute,), rounds=50, warmup_rounds=1)
    rate(benchmark, minute)
