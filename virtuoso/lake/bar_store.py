"""Reading rows of bars of the lake: those that open in a stretch of time, as known at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from virtuoso.lake.manifest import Series
from virtuoso.lake.rows import Rows, joined

if TYPE_CHECKING:
    from virtuoso.lake.lake import Lake


def read_rows(lake: Lake, series: Series, start: int | None, end: int | None, as_of: int | None) -> Rows:
    """Read stored rows that open from `start` on and before `end` (ms), as known at `as_of`."""
    files = [
        file
        for file in series.files
        if (start is None or file.max_open_time >= start) and (end is None or file.min_open_time < end)
    ]
    parts = [lake.rows_of(file, series.clock) for file in sorted(files, key=lambda f: f.min_open_time)]
    if as_of is not None:
        parts = [part.take(part.available_at <= as_of) for part in parts]
        for versions, superseded_at in lake.revisions(series):
            parts.append(versions.take((versions.available_at <= as_of) & (superseded_at > as_of)))
    rows = joined(parts).sorted()
    inside = np.ones(len(rows), dtype=bool)
    if start is not None:
        inside &= rows.open_time >= start
    if end is not None:
        inside &= rows.open_time < end
    return rows if inside.all() else rows.take(inside)
