"""Simulated bars as files, in the shape of the public archives of Binance USD-M.

So the demo takes the road that recorded data takes: zip, checksum, header, milliseconds, importer. The same bars give
the same bytes (with the same zlib). The files lie in a folder named `simulated`, and each zip says what it is in its
comment, since a file may be moved.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from virtuoso.venues.simulator.coins import coin
from virtuoso.venues.simulator.market import MINUTE, VENUE, SimulatedBars

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
COMMENT = b"simulated by Virtuoso, not a recording"


def write_archive(folder: str | Path, market: Mapping[str, SimulatedBars]) -> list[Path]:
    """Write one zip with its checksum per coin and month, such as `simulated/BTCUSDT-1m-2025-01.zip`.

    Parameters
    ----------
    folder : str or Path
        Where the folder `simulated` is made; files of the same name in it are replaced.
    market : mapping of str to SimulatedBars
        As `simulate` made it.

    Returns
    -------
    list of Path
        The zips, by coin and month; each has its `.CHECKSUM` beside it.
    """
    home = Path(folder) / VENUE
    home.mkdir(parents=True, exist_ok=True)
    written = []
    for symbol, bars in market.items():
        months = bars["open_time"].astype("M8[ms]").astype("M8[M]")
        for month in np.unique(months):
            stem = f"{symbol}-{MINUTE}-{month}"
            inside = months == month
            text = _csv(symbol, {name: values[inside] for name, values in bars.items()})
            content = _zip(f"{stem}.csv", text.encode())
            path = home / f"{stem}.zip"
            path.write_bytes(content)
            path.with_name(f"{path.name}.CHECKSUM").write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
            written.append(path)
    return written


def _csv(symbol: str, bars: SimulatedBars) -> str:
    """Rows as Binance prints them: fixed decimals, the close time one millisecond before the next bar."""
    price, lot = coin(symbol).tick_decimals, coin(symbol).lot_decimals
    prices, base, quote = f"%.{price}f", f"%.{lot}f", f"%.{price + lot}f"
    row = f"%d,{prices},{prices},{prices},{prices},{base},%d,{quote},%d,{base},{quote},0"
    columns = [
        bars["open_time"], bars["open"], bars["high"], bars["low"], bars["close"], bars["volume"],
        bars["open_time"] + (MINUTE.ms - 1), bars["quote_volume"], bars["trades"],
        bars["taker_buy_volume"], bars["taker_buy_quote_volume"],
    ]  # fmt: skip
    lines = map(row.__mod__, zip(*(column.tolist() for column in columns), strict=True))
    return "\n".join([HEADER, *lines, ""])


def _zip(name: str, content: bytes) -> bytes:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # the earliest a zip can say: no wall clock
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every platform
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = COMMENT
        archive.writestr(entry, content, compresslevel=1)
    return buffer.getvalue()
