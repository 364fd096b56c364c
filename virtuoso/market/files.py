"""The files of the lake, one writer each: parts of history, superseded versions, refused rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.disk import Disk
from virtuoso.market.gaps import NO_TRADE
from virtuoso.market.manifest import FileEntry, QuarantineEntry, Series
from virtuoso.market.rows import SCHEMA_VERSION, Rows, Times, encode, joined


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that the border refused, as they came.

    Attributes
    ----------
    rows : sequence of int
        Their numbers in the source.
    reasons : sequence of str
    open_times : sequence of int or None, ms
    raw : sequence of str
    """

    rows: Sequence[int] = ()
    reasons: Sequence[str] = ()
    open_times: Sequence[int | None] = ()
    raw: Sequence[str] = ()


@dataclass(slots=True)
class LakeFiles:
    """Writes files below a lake's folder and describes them for the manifest.

    Attributes
    ----------
    root : Path
    disk : Disk
    generation : int
        The one the files are written for.
    now_ms : int, ms
    written : int
        Bytes so far.
    """

    root: Path
    disk: Disk
    generation: int
    now_ms: int
    written: int = 0

    def part(self, series: Series, month: str, rows: Rows, sources: Sequence[str]) -> FileEntry:
        """Write one month of a series."""
        data = encode(rows, self._about(series, month, sources))
        return self._bars(f"bars/{series.key}/month={month}/part", series.clock, month, rows, data, sources)

    def revisions(self, series: Series, versions: Sequence[tuple[Rows, Times]], sources: Sequence[str]) -> FileEntry:
        """Write superseded versions, each with the moment (ms) it stopped being the truth."""
        rows = joined([rows for rows, _ in versions])
        order = np.argsort(rows.open_time, kind="stable")
        superseded_at = np.concatenate([at for _, at in versions])[order]
        rows = rows.take(order)
        data = encode(rows, self._about(series, "", sources), {"superseded_at": superseded_at})
        return self._bars(f"revisions/bars/{series.key}/rev", series.clock, "", rows, data, sources)

    def quarantine(self, series: Series, source: str, refused: Refused) -> QuarantineEntry:
        """Write refused rows as lines of JSON; the same rows of the same source are written once."""
        columns = (refused.rows, refused.reasons, refused.open_times, refused.raw)
        lines = [
            json.dumps({"source": source, "row": row, "reason": reason, "open_time": time, "raw": raw})
            for row, reason, time, raw in zip(*columns, strict=True)
        ]
        data = ("\n".join(lines) + "\n").encode()
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"quarantine/bars/{series.key}/refused-{sha256[:8]}.jsonl"
        counts = dict(Counter(refused.reasons))
        entry = QuarantineEntry(path, source, len(lines), counts, len(data), sha256, self.now_ms)
        if path not in {known.path for known in series.quarantine}:
            self._write(path, data)
        return entry

    def _about(self, series: Series, month: str, sources: Sequence[str]) -> dict[str, Any]:
        return {
            "venue": series.venue,
            "symbol": series.symbol,
            "timeframe": series.timeframe,
            "month": month,
            "generation": self.generation,
            "imported_at": self.now_ms,
            "sources": list(sources),
        }

    def _bars(
        self, stem: str, timeframe: Timeframe, month: str, rows: Rows, data: bytes, sources: Sequence[str]
    ) -> FileEntry:
        about = {"sources": sources, "imported_at": self.now_ms, "schema_version": SCHEMA_VERSION}
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{stem}-{rows.open_time[0]}-{rows.open_time[-1]}-{sha256[:8]}.parquet"
        self._write(path, data)
        return describe(path, month, rows, timeframe, len(data), sha256, about)

    def _write(self, path: str, data: bytes) -> None:
        self.disk.write(self.root / path, data)
        self.written += len(data)


def describe(
    path: str, month: str, rows: Rows, timeframe: Timeframe, n_bytes: int, sha256: str, about: Mapping[str, Any]
) -> FileEntry:
    """Say of a file of bars what the manifest wants to know."""
    return FileEntry(
        path=path,
        month=month,
        rows=len(rows),
        min_open_time=int(rows.open_time[0]),
        max_open_time=int(rows.open_time[-1]),
        bytes=n_bytes,
        sha256=sha256,
        sources=tuple(about.get("sources", ())),
        imported_at=int(about.get("imported_at", 0)),
        no_trade=int((rows.state == NO_TRADE).sum()),
        late=int((rows.available_at > rows.open_time + timeframe.ms).sum()),
        schema_version=int(about.get("schema_version", SCHEMA_VERSION)),
    )
