"""Measure the tables of the orderbook page anew, from the recorded books of the real-data pack.

Run from the repository root: `VIRTUOSO_REAL_DATA=<folder of the pack> python docs/faces/recordings.py`.
As tables.py does for bars, it replaces the table and the scale under each `## component (weight)` of orderbook.md.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
from tables import renewed

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.events import Events, concat_events, events_of
from virtuoso.market.features.book.columns import BookFeatures
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.kinds import KINDS
from virtuoso.prism.faces.orderbook import FACE
from virtuoso.venues.streams.binance import read_recording

HOUR = "20201101T09"
SETS = (
    ("ETHBTC Binance spot 2020-11-01, 1 h", "binance-spot", "ETHBTC", ("1s", "5s", "15s"),
     (f"l2/binance_spot_ETHBTC_{HOUR}_snapshot.json.gz", f"l2/binance_spot_ETHBTC_{HOUR}_update.json.gz",
      f"trades/binance_spot_aggTrade_ETHBTC_{HOUR}.json.gz")),
    ("BTCUSDT Binance perpetual 2024-08-08, 6 min", "binance-usdm", "BTCUSDT", ("1s",),
     ("l2/binance_usdm_btcusdt_20240808.gz",)),
    ("BTCUSDT Binance spot 2024-08-08, 11 min", "binance-spot", "BTCUSDT", ("1s",),
     ("l2/binance_spot_btcusdt_20240808.gz", "l2/binance_spot_btcusdt_20240809.gz")),
)  # fmt: skip


def recorded(paths: list[Path], instrument: Instrument) -> MarketFrame:
    """Seconds of a rebuilt book, the middle price in the place of trades."""
    second = Timeframe("1s")
    parts: dict[str, list[Events]] = {"depth": [], "trades": []}
    for path in paths:
        for raw in read_recording(path):
            if raw.kind in parts:
                parts[raw.kind].append(events_of(KINDS[raw.kind], raw.event_time, raw.columns, raw.received_at))
    events = {kind: concat_events(found, KINDS[kind]) for kind, found in parts.items()}
    first, end = (int(events["depth"].available_at[i]) // second.ms for i in (0, -1))
    until = {kind: found.between(0, second.open_time(end)) for kind, found in events.items()}
    made = BookFeatures(second).bars(until, first, end)
    there = np.isfinite(made["bid"])
    made = {name: values[there] for name, values in made.items()}
    middle = (made["bid"] + made["ask"]) / 2.0
    made |= dict.fromkeys(("open", "high", "low", "close"), middle) | {"volume": np.ones(len(middle))}
    times = np.arange(first, end, dtype=np.int64)[there] * second.ms
    return MarketFrame(instrument, Bars.from_rows(second, times, made, GapPolicy("cut", 0)))


def main() -> None:
    """Renew the page."""
    folder = os.environ.get("VIRTUOSO_REAL_DATA")
    if folder is None:
        sys.exit("Set VIRTUOSO_REAL_DATA to the folder of the real-data pack.")
    frames = {
        name: (recorded([Path(folder) / file for file in files], Instrument(venue, symbol)), timeframes)
        for name, venue, symbol, timeframes, files in SETS
    }
    page = Path(__file__).with_name("orderbook.md")
    parts = re.split(r"(?m)^(?=## )", page.read_text(encoding="utf-8"))
    named = {f"## {node.name} (": node for node in (*FACE.components, *FACE.gates)}
    for i, part in enumerate(parts):
        for heading, node in named.items():
            if part.startswith(heading):
                parts[i] = renewed(part, node, frames) + ("\n" if i < len(parts) - 1 else "")
    page.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
