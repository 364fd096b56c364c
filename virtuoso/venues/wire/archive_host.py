"""The archive host of Binance: files of days and months with their checksums, and what is wrong with some of them.

| path below /data/futures/um | files |
|---|---|
| {daily,monthly}/klines/BTCUSDT/1m | BTCUSDT-1m-2025-01-31.zip, BTCUSDT-1m-2025-01.zip; any interval |
| {daily,monthly}/{markPriceKlines,indexPriceKlines}/BTCUSDT/1m | the same names |
| {daily,monthly}/aggTrades/BTCUSDT | BTCUSDT-aggTrades-2025-01-31.zip; only days whose trades were recorded |
| daily/metrics/BTCUSDT | BTCUSDT-metrics-2025-01-31.zip |
| monthly/fundingRate/BTCUSDT | BTCUSDT-fundingRate-2025-01.zip |

A file appears some hours after its day or month is over, and is the same for ever.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import numpy as np

from virtuoso.venues.simulator.archive import CHECKSUM, HEADER, csv_text, tables, zipped
from virtuoso.venues.wire.binance_rest import INTERVALS, kline
from virtuoso.venues.wire.faults import ARCHIVE, Faults
from virtuoso.venues.wire.listing import DAY, MINUTE, MONTH, Listing, next_open
from virtuoso.venues.wire.request import Reply
from virtuoso.venues.wire.world import World

PUBLISHED_AFTER = {"daily": 4 * 60 * MINUTE, "monthly": DAY}
ONLY = {"metrics": "daily", "fundingRate": "monthly"}
TABLES = ("markPriceKlines", "indexPriceKlines", "aggTrades", "metrics", "fundingRate")
_PATH = re.compile(
    r"/data/futures/um/(daily|monthly)/(\w+)/([A-Z0-9]+)/(?:(\w+)/)?\3-(\w+)-(\d{4}-\d{2}(?:-\d{2})?)\.zip"
)
_MISSING = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Key>{key}</Key></Error>'


class Archive:
    """Makes the files as they are asked for; the last ones are kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made = lru_cache(maxsize=64)(self._make)

    def answer(self, path: str, now: int, faults: Faults) -> Reply:
        """Answer a request for a file or its checksum."""
        wanted = path.removesuffix(CHECKSUM)
        fault = faults.meet(ARCHIVE, "archive", wanted, now)
        kind = fault.kind if fault is not None else ""
        content = None if kind == "missing_file" else self._content(wanted, now)
        if content is None:
            return Reply(_MISSING.format(key=path.lstrip("/")).encode(), 404, {}, "application/xml")
        name = wanted.rsplit("/", 1)[-1]
        if path.endswith(CHECKSUM):
            said = hashlib.sha256(content + b"!" * (kind == "bad_checksum")).hexdigest()
            return Reply(f"{said}  {name}\n".encode(), 200, {}, "text/plain")
        if kind == "bad_zip":  # as an upload that broke off
            content = content[: len(content) // 2]
        return Reply(content, 200, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}, "application/zip")

    def _content(self, path: str, now: int) -> bytes | None:
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        length, kind, symbol, interval, part, stamp = match.groups()
        listing = self._world.listings.get(symbol)
        if listing is None or (length == "daily") != (stamp.count("-") == 2):
            return None
        if ONLY.get(kind, length) != length or part != (interval or kind):
            return None
        try:
            first = int(np.datetime64(stamp).astype("M8[ms]").astype(np.int64))
        except ValueError:
            return None
        end = next_open(first, DAY if length == "daily" else MONTH)
        if end <= listing.listed or end + PUBLISHED_AFTER[length] > now:
            return None
        return self._made(path.rsplit("/", 1)[-1], symbol, kind, interval, first, end)

    def _make(
        self, name: str, symbol: str, kind: str, interval: str | None, first: int, end: int
    ) -> bytes | None:  # fmt: skip
        listing = self._world.listings[symbol]
        text = _bars(listing, interval, first, end) if kind == "klines" else _table(listing, kind, interval, first, end)
        return None if text is None else zipped(name.replace(".zip", ".csv"), text)


def _bars(listing: Listing, interval: str | None, first: int, end: int) -> bytes | None:
    length = INTERVALS.get(interval or "")
    if length is None:
        return None
    bars = listing.bars(length, first, end - 1, (end - first) // MINUTE, newest=False, now=end)
    rows = [",".join(map(str, kline(listing, bar))) for bar in bars if bar.open_time < end]
    return "\n".join([HEADER, *rows, ""]).encode()


def _table(listing: Listing, kind: str, interval: str | None, first: int, end: int) -> bytes | None:
    if kind not in TABLES or (interval or "1m") != "1m":
        return None
    for name, header, times, columns in tables(listing.symbol, listing.recording):
        if name == kind:
            before = times.astype(np.int64) - 1  # what is stamped at midnight ends the day before
            inside = slice(*np.searchsorted(before, (first, end)))
            if inside.stop <= inside.start or (kind == "aggTrades" and int(times[0]) - first > 10 * MINUTE):
                return None
            return csv_text(header, [column[inside] for column in columns])
    return None
