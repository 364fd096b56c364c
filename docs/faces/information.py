"""Measure what each component knew about the returns that followed, on the real-data pack: docs/faces/information.md.

Run from the repository root: `VIRTUOSO_REAL_DATA=<folder of the pack> python docs/faces/information.py`. It imports
the files into a lake of its own, scores them and replaces everything below the line `<!-- measured -->`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import virtuoso as vt
from virtuoso.research.validation.ic import Information
from virtuoso.workflows import import_files

PERPETUAL = (
    "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet",
    "derivatives/binance_um_metrics_5m_4sym_20250704_20251031.parquet",
    "derivatives/funding/binance_um_funding_BTC_ETH_2022_202510.parquet",
    "ohlcv/binance_um_1m_FILUSDT_202304_202306.parquet",
    "ohlcv/binance_um_4h_8sym_2020_2024.parquet",
    "l2/binance_usdm_btcusdt_20240808.gz",
)
SPOT = (
    "l2/binance_spot_btcusdt_20240808.gz",
    "l2/binance_spot_btcusdt_20240809.gz",
    "l2/binance_spot_ETHBTC_20201101T09_snapshot.json.gz",
    "l2/binance_spot_ETHBTC_20201101T09_update.json.gz",
    "trades/binance_spot_aggTrade_ETHBTC_20201101T09.json.gz",
)
SOURCES = (
    ("binance-usdm", PERPETUAL),
    ("binance-spot", SPOT),
    ("bitfinex-spot", ("ohlcv/bitfinex_1m_BTCUSD_2019.parquet",)),
)
LONG, SHORT = ("15m", "1h", "4h", "1d"), ("5s", "15s", "1m")
SLOW = ("4h", "1d", "3d")
FUNDING = 0.0001
"""Per eight hours, on perpetuals; where venues begin."""
RECENT, YEARS = "20250704-20251101", "20200101-20250101"
SETS = (
    *((symbol, "5m", "binance-usdm", RECENT, LONG) for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "LINKUSDT")),
    *(
        (symbol, "4h", "binance-usdm", "20200101-20250101", SLOW)
        for symbol in ("BTCUSDT", "ETHUSDT", "LTCUSDT", "TRXUSDT")
    ),
    ("FILUSDT", "1m", "binance-usdm", "20230401-20230701", LONG),
    ("BTCUSD", "1m", "bitfinex-spot", None, LONG),
    ("BTCUSDT", "1s", "binance-usdm", "20240808-20240809", SHORT),
    ("BTCUSDT", "1s", "binance-spot", None, SHORT),
    ("ETHBTC", "1s", "binance-spot", None, SHORT),
)
MARK = "<!-- measured -->"


def measured(data: Path, home: str) -> Iterator[str]:
    """One section a set."""
    for venue, files in SOURCES:
        report = import_files([data / file for file in files], venue=venue, data=home)
        if not report.ok:
            sys.exit("\n".join(file.error for file in report.failed))
    for symbol, timeframe, venue, timerange, horizons in SETS:
        frame = vt.load(symbol, timeframe, venue=venue, timerange=timerange, data=home)
        found = vt.information(vt.score(frame), horizons, assume_funding=FUNDING)
        yield section(found, f"{symbol} {venue} {timeframe}")


def section(found: Information, title: str) -> str:
    """The tables of one set, every score among them."""
    parts = [f"## {title}", found.market.partition(": ")[2].partition("; last")[0] + "."]
    coefficients = found.tables(everything=True)[0]
    for heading, headers, rows in (coefficients, *found.tables()[1:]):
        rule = "|---|" + "---:|" * (len(headers) - 1)
        lines = [" | ".join(row) for row in rows]
        parts.append(
            "\n".join([f"{heading}:", "", f"| {' | '.join(headers)} |", rule, *(f"| {line} |" for line in lines)])
        )
    return "\n\n".join([*parts, " ".join(found.words())])


def main() -> None:
    """Rewrite the measured part of the page."""
    pack = os.environ.get("VIRTUOSO_REAL_DATA")
    if not pack:
        sys.exit("VIRTUOSO_REAL_DATA names no folder.")
    page = Path(__file__).with_name("information.md")
    words = page.read_text(encoding="utf-8").partition(MARK)[0]
    with TemporaryDirectory() as home:
        sections = list(measured(Path(pack), home))
    page.write_text(words + MARK + "\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
