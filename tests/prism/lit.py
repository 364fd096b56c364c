"""Real recordings as frames with all that they can light: trades of an hour, five-minute metrics and funding.

And how far the scores that they give are scores of different things.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.events import events_of
from virtuoso.market.features.derivatives import DerivativesFeatures
from virtuoso.market.features.trades import TradeFeatures, bars_from_trades
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.kinds import KINDS
from virtuoso.prism.component import Component
from virtuoso.prism.engine.graph import columns_of
from virtuoso.prism.engine.workspace import Workspace

RATIOS = {
    "accounts_ratio": "count_long_short_ratio",
    "top_accounts_ratio": "count_toptrader_long_short_ratio",
    "top_positions_ratio": "sum_toptrader_long_short_ratio",
    "taker_ratio": "sum_taker_long_short_vol_ratio",
}


def frame_of(timeframe: Timeframe, times: np.ndarray, columns: dict, venue: str, symbol: str) -> MarketFrame:
    rows = Bars.from_rows(timeframe, times, columns, GapPolicy("cut", 0))
    return MarketFrame(Instrument(venue, symbol), rows)


@lru_cache
def positioned(folder: Path, symbol: str = "BTCUSDT") -> MarketFrame:
    """Bars of 5m of a perpetual in 2025, with its open interest, ratios and funding."""
    clock = Timeframe("5m")
    bars = pd.read_parquet(folder / "ohlcv" / "binance_um_5m_6sym_20250704_20251031.parquet")
    bars = bars[bars["symbol"] == symbol].sort_values("open_time_ms")
    times = bars["open_time_ms"].to_numpy("int64")
    first, end = int(times[0]) // clock.ms, int(times[-1]) // clock.ms + 1
    until = end * clock.ms
    metrics = pd.read_parquet(folder / "derivatives" / "binance_um_metrics_5m_4sym_20250704_20251031.parquet")
    metrics = metrics[metrics["symbol"] == symbol].sort_values("create_time")
    when = metrics["create_time"].to_numpy("datetime64[ms]").astype("int64")
    held = {"open_interest": "sum_open_interest", "open_interest_value": "sum_open_interest_value"}
    held = {name: metrics[source].to_numpy(float) for name, source in held.items()}
    there = held["open_interest"] > 0.0  # 0 is an outage
    ratios = {name: metrics[source].to_numpy(float) for name, source in RATIOS.items()}
    rates = pd.read_parquet(folder / "derivatives" / "funding" / "binance_um_funding_BTC_ETH_2022_202510.parquet")
    rates = rates[rates["symbol"] == symbol].sort_values("funding_time_ms")
    settled = rates["funding_time_ms"].to_numpy("int64")
    funding = {
        "rate": rates["fundingRate"].to_numpy(float), "hours": np.full(len(rates), 8.0),
        "mark": np.full(len(rates), np.nan),
    }  # fmt: skip
    events = {
        "open_interest": events_of(KINDS["open_interest"], when[there], {name: x[there] for name, x in held.items()}),
        "ratios": events_of(KINDS["ratios"], when, ratios),
        "funding": events_of(KINDS["funding"], settled, funding),
    }
    events = {kind: found.between(-1, until) for kind, found in events.items()}
    positioning = DerivativesFeatures(clock).bars(events, first, end)
    columns = {name: bars[name].to_numpy(float) for name in ("open", "high", "low", "close", "volume")}
    columns |= {name: x[times // clock.ms - first] for name, x in positioning.items()}
    return frame_of(clock, times, columns, "binance-usdm", symbol)


@lru_cache
def traded(folder: Path, symbol: str, timeframe: str) -> MarketFrame:
    """Bars of an hour of recorded spot trades, with all that trades say."""
    with gzip.open(folder / "trades" / f"binance_spot_aggTrade_{symbol}_20201101T09.json.gz") as file:
        rows = sorted(json.load(file), key=lambda row: row["a"])
    columns = {
        "id": [row["a"] for row in rows], "price": [float(row["p"]) for row in rows],
        "size": [float(row["q"]) for row in rows], "side": [-1 if row["m"] else 1 for row in rows],
        "count": [row["l"] - row["f"] + 1 for row in rows],
    }  # fmt: skip
    trades = events_of(KINDS["trades"], np.array([row["T"] for row in rows]), columns)
    clock = Timeframe(timeframe)
    bars = bars_from_trades(trades, clock)
    times = bars.open_time
    first, end = int(times[0]) // clock.ms, int(times[-1]) // clock.ms + 1
    flow = TradeFeatures(clock).bars({"trades": trades.between(-1, end * clock.ms)}, first, end)
    made = {name: x[times // clock.ms - first] for name, x in flow.items() if name not in bars.columns}
    return frame_of(clock, times, dict(bars.columns) | made, "binance-spot", symbol)


@lru_cache
def klines(folder: Path) -> MarketFrame:
    """Minutes of FILUSDT over a quarter of 2023, with taker volumes and counts."""
    table = pd.read_parquet(folder / "ohlcv" / "binance_um_1m_FILUSDT_202304_202306.parquet")
    table = table.rename(columns={"count": "trades"})
    names = ("open", "high", "low", "close", "volume", "trades", "taker_buy_volume")
    columns = {name: table[name].to_numpy(float) for name in names}
    return frame_of(Timeframe("1m"), table["open_time_ms"].to_numpy("int64"), columns, "binance-usdm", "FILUSDT")


def scores(component: Component, frame: MarketFrame, timeframe: Timeframe | None = None) -> np.ndarray:
    """Scores on the bars of a timeframe, the base clock if absent."""
    timeframe = timeframe or frame.timeframe
    bars = frame.bars(timeframe)
    return component.score(Workspace(frame).values(component, timeframe, bars.first, bars.end)[0])


def ranks(frame: MarketFrame, timeframe: Timeframe, components: Iterable[Component]) -> pd.DataFrame:
    """Scores of the components that a frame lights, where all are known."""
    carried = set(frame.base.columns)
    return pd.DataFrame({c.name: scores(c, frame, timeframe) for c in components if columns_of(c) <= carried}).dropna()


def judge(table: pd.DataFrame, least: float, most: float = 0.75) -> None:
    """Insist that no two scores are ordered alike, and that at least so many of them count as independent."""
    correlation = table.rank().corr().to_numpy()
    worst = max(abs(correlation[i, j]) for i, j in itertools.combinations(range(len(correlation)), 2))
    squares = (table.corr().to_numpy() ** 2).sum()  # participation ratio, see prism/engine/aggregate.py
    assert len(table) > 300
    assert worst < most, table.rank().corr()
    assert len(correlation) ** 2 / squares > least
