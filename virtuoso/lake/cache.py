"""Caches beside the lake: disposable files, each named by all that went into it. Deleting `derived/` loses nothing.

    derived/book/venue=binance-usdm/symbol=BTCUSDT/timeframe=1m/2024-08-08-<key>-<sum>.parquet
    derived/bars/venue=binance-usdm/symbol=BTCUSDT/timeframe=1m/bars-<key>.columns

Columns of events, a file a day and builder (`CachedColumns`): `<key>` is a digest of the stored files, of the code that
builds columns and of the bars, `<sum>` one of the file itself. A file whose bytes do not match its name is built again.

Dense bars of a whole series (`bars_until`), a sealed file (files/sealed.py) that is mapped into memory:

1. The Parquet files are the truth, and `data verify` reads them alone. Everything reads the same with the cache and
   without.
2. `<key>` is a digest of the checksums of all stored files of the series, of the gap policy and of the sources that
   make bars of rows: another import, and the name is another one.
3. All columns are added up at every read, at the speed of memory: a bit that has flipped, a page that was never written
   or lies elsewhere, or the file of another series, is found, and the bars are made of the Parquet files again.
4. A short series is not kept: reading it takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.files import sealed
from virtuoso.files.atomic import Disk
from virtuoso.files.digest import code_digest
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.manifest import Series
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import policy_for
from virtuoso.market.rows import Rows
from virtuoso.types import Array

DIGITS = 16
COLUMN_SOURCES = "virtuoso.lake.enrich"
"""Where columns of events are laid beside the bars: every feature builder is imported from here."""

LEAST_ROWS = 50_000
"""Rows below which a series is not kept: a month of minutes."""
LONGEST_END_MS = 31 * 86_400_000
"""Missing bars that are shown at the end of a range, ms: more than the slowest bar is long."""
log = logging.getLogger(__name__)


def key_of(*parts: object) -> str:
    """Return the digest of what went into a file."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:DIGITS]


@cache
def columns_digest() -> str:
    """Return the digest of the code that builds columns: of one module, and of all that it imports."""
    return code_digest(modules=[COLUMN_SOURCES])


@dataclass(frozen=True, slots=True)
class CachedColumns:
    """Columns of one stretch of bars, kept or not.

    Attributes
    ----------
    folder : Path
    name : str
        Of the stretch; of one name one file is kept.
    key : str
        Digest of all that goes into the columns.
    disk : Disk
    """

    folder: Path
    name: str
    key: str
    disk: Disk

    def read(self) -> dict[str, Array] | None:
        """Read the columns, or None where they were never kept or are not what was written."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in self.folder.glob(f"{self.name}-{self.key}-*.parquet"):
            with contextlib.suppress(OSError, pa.ArrowException):
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest()[:DIGITS] == path.stem.rpartition("-")[2]:
                    table = pq.read_table(pa.BufferReader(data))
                    if (table.schema.metadata or {}).get(b"key") != self.key.encode():
                        continue  # the file of another stretch under the name of this one
                    return {column: np.array(table.column(column).to_numpy()) for column in table.column_names}
        return None

    def write(self, columns: Mapping[str, Array]) -> None:
        """Keep columns; what was kept under the same name goes. A disk that refuses costs time, nothing else."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        # floats that lie close together resemble each other byte by byte: so split, they take a third less
        split = dict.fromkeys(columns, "BYTE_STREAM_SPLIT")
        table = pa.table(dict(columns)).replace_schema_metadata({"key": self.key})
        pq.write_table(table, sink, compression="zstd", use_dictionary=False, column_encoding=split)
        data = bytes(sink.getvalue())
        path = self.folder / f"{self.name}-{self.key}-{hashlib.sha256(data).hexdigest()[:DIGITS]}.parquet"
        try:
            self.disk.write(path, data)
            for other in self.folder.glob(f"{self.name}-*.parquet"):
                if other != path:
                    self.disk.remove(other)
        except OSError as error:
            log.debug("%s could not be kept: %s", path, error)


class Dense(NamedTuple):
    """The bars of a whole series, and which of them were published.

    Attributes
    ----------
    bars : Bars
    published : array of int8, shape (n_bars,)
        1 where a row is stored.
    """

    bars: Bars
    published: NDArray[np.int8]

    def until(self, end_ms: int | None) -> Bars | None:
        """Return the bars that open before a moment, as `bars_before` makes them of the rows."""
        if end_ms is None:
            return self.bars
        number = -(-end_ms // self.bars.timeframe.ms)
        before = np.flatnonzero(self.published[: max(number - self.bars.first, 0)])
        return _cut(self.bars, number, self.bars.first + int(before[-1])) if len(before) else None


def _cut(bars: Bars, number: int, last: int) -> Bars:
    """The bars before a number, those included that are missing at the end while history goes on after them.

    At the close of a missing bar nobody knows whether it comes, but its time has passed: a slower bar that needs it is
    closed, as a live one is. So what is known of it does not depend on whether later bars were asked for.
    """
    return bars.until(min(number, last + 1 + LONGEST_END_MS // bars.timeframe.ms))


def bars_of(series: Series, rows: Rows) -> Bars:
    """Make dense bars of the rows of a series."""
    policy = policy_for(series.instrument.venue, series.clock.ms)
    return Bars.from_rows(series.clock, rows.open_time, rows.columns, policy, rows.state)


def bars_until(catalog: Catalog, series: Series, end: int | None) -> Bars | None:
    """Return the bars of a series from the beginning of its history; None if there are none.

    Parameters
    ----------
    catalog : Catalog
    series : Series
    end : int, ms, optional
        Only bars that open before.

    Raises
    ------
    CorruptFileError
        A stored file is not what was written.
    """
    if any(one.reaches(series.last + series.clock.ms, end) for one in catalog.seals_of(series.instrument)):
        return bars_before(catalog, series, None, end)  # what is kept holds sealed bars as well
    worth = sum(file.rows for file in series.files) >= LEAST_ROWS and _all_there(catalog, series)
    dense = _read(catalog, series) if worth else None
    if dense is not None:
        return dense.until(end)
    whole = end is None or end > series.last
    if not whole:
        return bars_before(catalog, series, None, end)
    rows = catalog.read(series)
    if len(rows) == 0:
        return None
    bars = bars_of(series, rows)
    if worth:
        published = np.zeros(len(bars), dtype=np.int8)
        published[rows.open_time // series.clock.ms - bars.first] = 1
        _keep(catalog, series, Dense(bars, published))
    return bars


def bars_before(
    catalog: Catalog, series: Series, start: int | None, end: int | None, as_of: int | None = None
) -> Bars | None:
    """Return the bars of a series that open from a moment on and before another; None if there are none."""
    # one row after the end tells that what is missing before it is missing, and not yet to come
    later = [file.max_open_time for file in series.files if end is not None and file.max_open_time >= end]
    rows = catalog.read(series, start, None if end is None else min(later, default=end - 1) + 1, as_of, timed=end)
    if end is None:
        return bars_of(series, rows) if len(rows) else None
    before, ms = int(np.searchsorted(rows.open_time, end)), series.clock.ms
    if before == 0:
        return None
    rows = rows.take(slice(0, before + 1))
    last = int(rows.open_time[before - 1]) // ms
    if len(rows) > before:  # as early as it can be without being seen: the gap to it may be one of years
        nearest = min(int(rows.open_time[before]), (last + 1 + LONGEST_END_MS // ms) * ms)
        rows = replace(rows, open_time=np.append(rows.open_time[:before], nearest))
    return _cut(bars_of(series, rows), -(-end // ms), last)


def _all_there(catalog: Catalog, series: Series) -> bool:
    """Whether the files that the bars were made of are all there: what is lost shall be noticed when it is read."""
    with contextlib.suppress(OSError):
        return all(catalog.locate(file).stat().st_size == file.bytes for file in series.files)
    return False


def _place(catalog: Catalog, series: Series) -> Path:
    """Return the file that holds the present bars of a series, or would."""
    policy = policy_for(series.instrument.venue, series.clock.ms)
    key = key_of(
        code_digest(modules=[__name__]), repr(policy), *(f"{file.sha256} {file.min_open_time}" for file in series.files)
    )
    return catalog.path / "derived" / "bars" / series.key / f"bars-{key}.columns"


def _read(catalog: Catalog, series: Series) -> Dense | None:
    """Map the kept bars of a series; None where they were never kept or are not what was written."""
    path = _place(catalog, series)
    file = sealed.opened(path)
    if file is None:
        return None
    with file:
        if file.about.get("name") != path.name:
            return None
        found = {name: file.map(name) for name in file.names}
        first = int(file.about["first"])
    known = {name: values for name, values in found.items() if values is not None}
    if len(known) < len(found):
        return None
    state, share, published = (known.pop(name) for name in ("#state", "#share", "#published"))
    return Dense(Bars(series.clock, first, known, state, share), published)


def _keep(catalog: Catalog, series: Series, dense: Dense) -> None:
    """Write the bars of a series and drop what was kept of it. A disk that refuses costs time, nothing else."""
    bars, path = dense.bars, _place(catalog, series)
    arrays: dict[str, NDArray[Any]] = {
        **bars.columns, "#state": bars.state, "#share": bars.share, "#published": dense.published
    }  # fmt: skip
    if sealed.write(path, {"name": path.name, "first": bars.first}, arrays):
        with contextlib.suppress(OSError):
            for other in path.parent.glob("bars-*.columns"):
                if other != path:
                    other.unlink(missing_ok=True)
