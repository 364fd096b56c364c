"""Small archive files to import: the shapes that exchanges and their users write, from readable numbers."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.builders import columns as walk
from virtuoso.clock import Env
from virtuoso.ingest.validated import BadRows
from virtuoso.types import Array
from virtuoso.venues.files.options import MAX_BAD_SHARE

MINUTE = 60_000
JANUARY = 1_704_067_200_000  # 2024-01-01T00:00Z
NOW = 1_735_689_600_000  # 2025-01-01T00:00Z
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_PER_MS = {"ms": 1, "us": 1_000}


def env(now_ms: int = NOW) -> Env:
    """An outside world that stands still."""
    return Env(now_ms=now_ms)


def minutes(n: int, start: int = JANUARY, step: int = MINUTE) -> np.ndarray:
    """Open times of n bars in a row, ms."""
    return start + np.arange(n, dtype=np.int64) * step


def bars(n: int, seed: int = 1) -> dict[str, Array]:
    """Columns of n bars of a made-up market, with as many digits as exchanges print."""
    return {name: np.round(values, 6) for name, values in walk(seed, n, flats=False).items()}


def flat_bars(closes: Sequence[float]) -> dict[str, Array]:
    """The plainest bars: open, high, low and close equal, volume 1."""
    price = np.array(closes, dtype=np.float64)
    return {**dict.fromkeys(("open", "high", "low", "close"), price), "volume": np.ones(len(price))}


def lines(times: np.ndarray, made: Mapping[str, Array], unit: str = "ms", step: int = MINUTE) -> list[str]:
    """Rows as Binance prints them; columns that are not given are 0."""
    zero = np.zeros(len(times))
    names = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
    further = [made.get(name, zero) for name in names]
    scale = _PER_MS[unit]
    return [
        ",".join(
            [
                str(int(times[i]) * scale),
                *(f"{made[name][i]:.8f}" for name in ("open", "high", "low", "close", "volume")),
                str((int(times[i]) + step) * scale - 1),
                *(f"{values[i]:.8f}" for values in further),
                "0",
            ]
        )
        for i in range(len(times))
    ]


def write(path: Path, rows: Sequence[str], header: bool = True, checksum: bool = False) -> Path:
    """Write lines as a CSV, a gzipped CSV or a zip, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([HEADER, *rows] if header else rows) + "\n"
    if path.name.endswith(".gz"):
        data = gzip.compress(text.encode(), mtime=0)
    elif path.name.endswith(".zip"):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(path.stem + ".csv"), text)
        data = sink.getvalue()
    else:
        data = text.encode()
    path.write_bytes(data)
    if checksum:
        path.with_name(path.name + ".CHECKSUM").write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}")
    return path


def day(folder: Path, n: int = 1440, start: int = JANUARY, symbol: str = "BTCUSDT", seed: int = 1) -> Path:
    """A daily archive such as `BTCUSDT-1m-2024-01-01.zip`."""
    date = np.datetime64(start, "ms").astype("M8[D]")
    return write(
        folder / f"{symbol}-1m-{date}.zip", lines(minutes(n, start), bars(n, seed)), header=False, checksum=True
    )


def reject_bad_file(parts, rules, max_bad_share=MAX_BAD_SHARE):
    """Reject a file of some validated parts, as an import does at its end."""
    bad = BadRows(max_bad_share)
    for part in parts:
        bad.see(part, rules)
    bad.conclude()
