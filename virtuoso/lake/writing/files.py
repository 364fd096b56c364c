"""The files of the lake, one writer each: parts of history, superseded versions, rejected rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.files.atomic import Disk
from virtuoso.lake.event_rows import EventRows
from virtuoso.lake.manifest import BARS, FileEntry, QuarantineEntry, Series
from virtuoso.lake.parquet import SCHEMA_VERSION, encode
from virtuoso.market.gaps import NO_TRADE
from virtuoso.market.rows import Rows
from virtuoso.types import Times


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Rows that validation rejected, as they came.

    Attributes
    ----------
    rows : sequence of int
        Their numbers in the source.
    reasons : sequence of str
    open_times : sequence of int or None, ms
        Of events, their own times.
    raw : sequence of str
    """

    rows: Sequence[int] = ()
    reasons: Sequence[str] = ()
    open_times: Sequence[int | None] = ()
    raw: Sequence[str] = ()

    def followed_by(self, other: RejectedRows) -> RejectedRows:
        """Return these rows and others after them."""
        return RejectedRows(
            [*self.rows, *other.rows],
            [*self.reasons, *other.reasons],
            [*self.open_times, *other.open_times],
            [*self.raw, *other.raw],
        )


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

    def part(self, series: Series, month: str, rows: Rows | EventRows, sources: Sequence[str]) -> FileEntry:
        """Write one partition of a series, a month or a day."""
        stem = f"{series.home}/{series.partition}={month}/part"
        return self._parquet(stem, series, rows, None, self._about(series, month, sources))

    def revisions(
        self, series: Series, rows: Rows | EventRows, superseded_at: Times, sources: Sequence[str], revised: int
    ) -> FileEntry:
        """Write versions that do not hold, each with the moment (ms) it stopped being the truth; 0 if it never was.

        `revised` of them have been replaced by others that disagree.
        """
        order = np.argsort(times_of(rows), kind="stable")
        about = {**self._about(series, "", sources), "revised": revised}
        return self._parquet(f"revisions/{series.home}/rev", series, rows.take(order), superseded_at[order], about)

    def quarantine(self, series: Series, source: str, refused: RejectedRows) -> QuarantineEntry:
        """Write rejected rows as lines of JSON; the same rows of the same source are written once."""
        columns = (refused.rows, refused.reasons, refused.open_times, refused.raw)
        moment = "open_time" if series.kind == BARS else "event_time"
        lines = [
            json.dumps({"source": source, "row": row, "reason": reason, moment: time, "raw": raw})
            for row, reason, time, raw in zip(*columns, strict=True)
        ]
        data = ("\n".join(lines) + "\n").encode()
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"quarantine/{series.home}/refused-{sha256[:8]}.jsonl"
        counts = dict(Counter(refused.reasons))
        entry = QuarantineEntry(path, source, len(lines), counts, len(data), sha256, self.now_ms)
        if path not in {known.path for known in series.quarantine}:
            self._write(path, data)
        return entry

    def _about(self, series: Series, month: str, sources: Sequence[str]) -> dict[str, Any]:
        named = {"timeframe": series.timeframe} if series.kind == BARS else {"kind": series.kind}
        return {
            "venue": series.venue,
            "symbol": series.symbol,
            **named,
            "month": month,
            "generation": self.generation,
            "imported_at": self.now_ms,
            "sources": list(sources),
        }

    def _parquet(
        self,
        stem: str,
        series: Series,
        rows: Rows | EventRows,
        superseded_at: Times | None,
        about: Mapping[str, Any],
    ) -> FileEntry:
        """Write rows, those that were superseded with the moment of it, and describe the file."""
        extra = None if superseded_at is None else {"superseded_at": superseded_at}
        data = encode(rows, about, extra)
        sha256 = hashlib.sha256(data).hexdigest()
        times = times_of(rows)
        path = f"{stem}-{times.min()}-{times.max()}-{sha256[:8]}.parquet"
        self._write(path, data)
        return describe(path, series, str(about["month"]), rows, len(data), sha256, about)

    def _write(self, path: str, data: bytes) -> None:
        self.disk.write(self.root / path, data)
        self.written += len(data)


def times_of(rows: Rows | EventRows) -> Times:
    """Return the open times of bars, or the times of events, ms."""
    return rows.open_time if isinstance(rows, Rows) else rows.event_time


def describe(
    path: str,
    series: Series,
    month: str,
    rows: Rows | EventRows,
    n_bytes: int,
    sha256: str,
    about: Mapping[str, Any],
) -> FileEntry:
    """Return what the manifest holds of a file of bars or events."""
    entry = FileEntry(
        path=path,
        month=month,
        rows=len(rows),
        min_open_time=0,
        max_open_time=0,
        bytes=n_bytes,
        sha256=sha256,
        sources=tuple(about.get("sources", ())),
        imported_at=int(about.get("imported_at", 0)),
        revised=int(about.get("revised", -1)),
        schema_version=int(about.get("schema_version", SCHEMA_VERSION)),
    )
    if isinstance(rows, Rows):
        return replace(
            entry,
            min_open_time=int(rows.open_time[0]),
            max_open_time=int(rows.open_time[-1]),
            no_trade=int((rows.state == NO_TRADE).sum()),
            late=int((rows.available_at > rows.open_time + series.clock.ms).sum()),
        )
    return replace(
        entry,
        min_open_time=int(rows.event_time.min()),
        max_open_time=int(rows.event_time.max()),
        min_available_at=int(rows.available_at.min()),
        max_available_at=int(rows.available_at.max()),
        late=int((rows.stored_at > 0).sum()),
    )
