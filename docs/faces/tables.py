"""Measure the tables of the face pages anew, from the real-data pack.

Run from the repository root: `VIRTUOSO_REAL_DATA=<folder of the pack> python docs/faces/tables.py technical volume`.
Under each `## component (weight)` of docs/faces/<face>.md it replaces the table, and the scale in the line that
begins with `Scale:`. The words stay.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pandas as pd

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import policy_for
from virtuoso.prism.component import Component
from virtuoso.prism.engine.graph import columns_of
from virtuoso.prism.faces import FACES
from virtuoso.prism.laws.distribution import distribution, markdown

LADDER = ("1m", "5m", "30m", "4h")
ARCHIVE = ["open_time_ms", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
           "taker_buy_volume", "taker_buy_quote_volume", "ignore"]  # fmt: skip
RENAMED = {
    "count": "trades",
    "taker_buy_base_asset_volume": "taker_buy_volume",
}
SETS = (
    ("BTCUSD Bitfinex spot 2019", "ohlcv/bitfinex_1m_BTCUSD_2019.parquet", "bitfinex-spot", "BTCUSD", LADDER),
    ("BTCUSDT Binance perpetual 2025-07 to 10", "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet",
     "binance-usdm", "BTCUSDT", LADDER[1:]),
    ("FILUSDT Binance perpetual 2023-04 to 06", "ohlcv/binance_um_1m_FILUSDT_202304_202306.parquet",
     "binance-usdm", "FILUSDT", LADDER),
    ("BTCUSDT Binance spot 2026-03", "raw_archives/BTCUSDT-1m-2026-03.zip", "binance-spot", "BTCUSDT", LADDER),
    ("BTCUSDT Binance perpetual 2020 to 2024", "ohlcv/binance_um_4h_8sym_2020_2024.parquet",
     "binance-usdm", "BTCUSDT", LADDER[3:]),
)  # fmt: skip


def load(path: Path, venue: str, symbol: str, timeframe: str) -> MarketFrame:
    """Bars of one file of the pack, with every column that it holds."""
    if path.suffix == ".zip":
        table = pd.read_csv(path, header=None, names=ARCHIVE)
        table["open_time_ms"] //= 1_000  # published in microseconds since 2025
    else:
        table = pd.read_parquet(path).rename(columns=RENAMED)
        table = table[table["symbol"] == symbol] if "symbol" in table else table
    clock = Timeframe(timeframe)
    names = [name for name in ARCHIVE if name in table and name not in ("open_time_ms", "close_time", "ignore")]
    table = table.sort_values("open_time_ms").drop_duplicates("open_time_ms")
    columns = {name: table[name].to_numpy("float64", copy=True) for name in names}
    times = table["open_time_ms"].to_numpy("int64")
    return MarketFrame(Instrument(venue, symbol), Bars.from_rows(clock, times, columns, policy_for(venue, clock.ms)))


def renewed(section: str, component: Component, frames: dict[str, tuple[MarketFrame, tuple[str, ...]]]) -> str:
    """A section of a page with the table and the scale of today; sets that lack a column are left out."""
    needed = columns_of(component)
    rows = [
        (name, row)
        for name, (frame, timeframes) in frames.items()
        if needed <= set(frame.base.columns)
        for row in distribution(component, frame, timeframes)
    ]
    section = re.sub(r"^Scale: `[^`]*`", lambda _: f"Scale: `{component.scale!r}`", section, flags=re.MULTILINE)
    return re.sub(r"\| data \|.*?(?=\n\n|\Z)", lambda _: markdown(rows), section.rstrip("\n"), flags=re.DOTALL) + "\n"


def main() -> None:
    """Renew the pages of the faces that are named."""
    folder = os.environ.get("VIRTUOSO_REAL_DATA")
    if folder is None or len(sys.argv) < 2:
        sys.exit("Set VIRTUOSO_REAL_DATA to the folder of the real-data pack, and name a face: price_structure.")
    frames = {
        name: (load(Path(folder) / file, venue, symbol, timeframes[0]), timeframes)
        for name, file, venue, symbol, timeframes in SETS
    }
    for face in (face for face in FACES if face.name in sys.argv[1:]):
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
