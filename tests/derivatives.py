"""Small files about derivatives to import, as plain text, gzipped or zipped."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
"""Header of Binance's `metrics` files."""


def written(path: Path, lines: Sequence[str], bom: bool = False) -> Path:
    """Write a table as the name of its file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = ("\n".join(lines) + "\n").encode("utf-8-sig" if bom else "utf-8")
    if path.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    elif path.name.endswith(".zip"):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr(zipfile.ZipInfo(path.stem + ".csv"), data)
        data = sink.getvalue()
    path.write_bytes(data)
    return path
