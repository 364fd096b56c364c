"""Measure the tables of the orderflow and sentiment pages anew, from the real-data pack.

Run from the repository root: `VIRTUOSO_REAL_DATA=<folder of the pack> python docs/faces/flows.py`.
As tables.py does for bars, it replaces the table and the scale under each `## component (weight)` of both pages: over
klines with taker volumes, over recorded trades, and over bars with the open interest, ratios and funding of their
time.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from tables import renewed

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.events import Events, concat_events, events_of
from virtuoso.market.features.derivatives import DerivativesFeatures
from virtuoso.market.features.trades import TradeFeatures, bars_from_trades
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.kinds import KINDS
from virtuoso.prism.faces import orderflow, sentiment
from virtuoso.venues.streams.binance import read_recording

Frames = dict[str, tuple[MarketFrame, tuple[str, ...]]]
CUT = GapPolicy("cut", 0)
LADDER = ("1m", "5m", "30m", "4h")
KLINES = (
    ("FILUSDT Binance perpetual 2023-04 to 06", "ohlcv/binance_um_1m_FILUSDT_202304_202306.parquet", "FILUSDT"),
    ("BTCUSDT Binance perpetual 2025-06, 10 d", "ohlcv/binance_um_1m_taker_BTCUSDT_202506_10d.parquet", "BTCUSDT"),
)
RENAMED = {"count": "trades", "taker_buy_base_asset_volume": "taker_buy_volume"}
CARRIED = ("open", "high", "low", "close", "volume", "trades", "taker_buy_volume")
TRADES = (
    ("BTCUSDT Binance spot 2020-11-01, 1 h", "binance-spot", "BTCUSDT", "1s", ("1s", "5s", "1m"),
     ("trades/binance_spot_aggTrade_BTCUSDT_20201101T09.json.gz",)),
    ("ETHUSDT Binance spot 2020-11-01, 1 h", "binance-spot", "ETHUSDT", "5s", ("5s", "1m"),
     ("trades/binance_spot_aggTrade_ETHUSDT_20201101T09.json.gz",)),
    ("BTCUSDT Binance perpetual 2024-08-08, 6 min", "binance-usdm", "BTCUSDT", "1s", ("1s",),
     ("l2/binance_usdm_btcusdt_20240808.gz",)),
    ("BTCUSDT Binance spot 2024-08-08, 11 min", "binance-spot", "BTCUSDT", "1s", ("1s",),
     ("l2/binance_spot_btcusdt_20240808.gz", "l2/binance_spot_btcusdt_20240809.gz")),
)  # fmt: skip
POSITIONED = ("BTCUSDT", "ETHUSDT")
BARS = "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet"
METRICS = "derivatives/binance_um_metrics_5m_4sym_20250704_20251031.parquet"
FUNDING = "derivatives/funding/binance_um_funding_BTC_ETH_2022_202510.parquet"
OPEN = {"open_interest": "sum_open_interest", "open_interest_value": "sum_open_interest_value"}
RATIOS = {
    "accounts_ratio": "count_long_short_ratio",
    "top_accounts_ratio": "count_toptrader_long_short_ratio",
    "top_positions_ratio": "sum_toptrader_long_short_ratio",
    "taker_ratio": "sum_taker_long_short_vol_ratio",
}


def klines(path: Path, symbol: str) -> MarketFrame:
    """Minutes with taker volumes."""
    table = pd.read_parquet(path).rename(columns=RENAMED).sort_values("open_time_ms")
    columns = {name: table[name].to_numpy("float64") for name in CARRIED if name in table}
    times = table["open_time_ms"].to_numpy("int64")
    return MarketFrame(Instrument("binance-usdm", symbol), Bars.from_rows(Timeframe("1m"), times, columns, CUT))


def traded(paths: list[Path], instrument: Instrument, timeframe: Timeframe) -> MarketFrame:
    """Bars of recorded trades, with all that trades say; each trade counts when it happened."""
    parts = [
        events_of(KINDS["trades"], raw.event_time, {"count": np.ones(len(raw.event_time)), **raw.columns})
        for path in paths
        for raw in read_recording(path)
        if raw.kind == "trades"
    ]
    trades = concat_events(parts, KINDS["trades"])
    rows = bars_from_trades(trades, timeframe)
    numbers = rows.open_time // timeframe.ms
    first, end = int(numbers[0]), int(numbers[-1]) + 1
    flow = TradeFeatures(timeframe).bars({"trades": trades.between(-1, end * timeframe.ms)}, first, end)
    own = {name: values[numbers - first] for name, values in flow.items() if name not in rows.columns}
    return MarketFrame(instrument, Bars.from_rows(timeframe, rows.open_time, dict(rows.columns) | own, CUT))


def positioned(folder: Path, symbol: str) -> MarketFrame:
    """Bars of five minutes of a perpetual, with the open interest, ratios and funding that were known."""
    clock = Timeframe("5m")
    bars, metrics, rates = (pd.read_parquet(folder / file) for file in (BARS, METRICS, FUNDING))
    bars = bars[bars["symbol"] == symbol].sort_values("open_time_ms")
    times = bars["open_time_ms"].to_numpy("int64")
    first, end = int(times[0]) // clock.ms, int(times[-1]) // clock.ms + 1
    events = {kind: found.between(-1, end * clock.ms) for kind, found in _events(metrics, rates, symbol).items()}
    positions = DerivativesFeatures(clock).bars(events, first, end)
    columns = {name: bars[name].to_numpy("float64") for name in ("open", "high", "low", "close", "volume")}
    columns |= {name: values[times // clock.ms - first] for name, values in positions.items()}
    return MarketFrame(Instrument("binance-usdm", symbol), Bars.from_rows(clock, times, columns, CUT))


def _events(metrics: pd.DataFrame, rates: pd.DataFrame, symbol: str) -> dict[str, Events]:
    metrics = metrics[metrics["symbol"] == symbol]
    rates = rates[rates["symbol"] == symbol]
    when = metrics["create_time"].to_numpy("datetime64[ms]").astype("int64")
    held = {name: metrics[source].to_numpy("float64") for name, source in OPEN.items()}
    held = {name: np.where(values > 0.0, values, np.nan) for name, values in held.items()}  # 0 is an outage
    ratios = {name: metrics[source].to_numpy("float64") for name, source in RATIOS.items()}
    settled = {
        "rate": rates["fundingRate"].to_numpy("float64"),
        "hours": np.full(len(rates), 8.0),
        "mark": np.full(len(rates), np.nan),
    }
    return {
        "open_interest": events_of(KINDS["open_interest"], when, held),
        "ratios": events_of(KINDS["ratios"], when, ratios),
        "funding": events_of(KINDS["funding"], rates["funding_time_ms"].to_numpy("int64"), settled),
    }


def main() -> None:
    """Renew both pages."""
    if "VIRTUOSO_REAL_DATA" not in os.environ:
        sys.exit("Set VIRTUOSO_REAL_DATA to the folder of the real-data pack.")
    folder = Path(os.environ["VIRTUOSO_REAL_DATA"])
    frames: Frames = {name: (klines(folder / file, symbol), LADDER) for name, file, symbol in KLINES}
    for name, venue, symbol, base, timeframes, files in TRADES:
        paths = [folder / file for file in files]
        frames[name] = traded(paths, Instrument(venue, symbol), Timeframe(base)), timeframes
    for symbol in POSITIONED:
        frames[f"{symbol} Binance perpetual 2025-07 to 10"] = positioned(folder, symbol), LADDER[1:]
    for face in (orderflow.FACE, sentiment.FACE):
        page = Path(__file__).with_name(f"{face.name}.md")
        parts = re.split(r"(?m)^(?=## )", page.read_text(encoding="utf-8"))
        named = {f"## {component.name} (": component for component in face.components}
        for i, part in enumerate(parts):
            for heading, component in named.items():
                if part.startswith(heading):
                    parts[i] = renewed(part, component, frames) + ("\n" if i < len(parts) - 1 else "")
        page.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
