"""Columns that were folded before: disposable files beside the lake, each named by all that went into it.

    derived/book/venue=binance-usdm/symbol=BTCUSDT/timeframe=1m/2024-08-08-<key>-<sum>.parquet

`<key>` is a digest of the stored files that were folded, of the sources of this room and of the bars; `<sum>` is one
of the file itself. A file whose bytes do not add up to its name is folded again, and so is everything if the folder
is deleted. Nothing that is decided depends on whether a file is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from virtuoso.files.atomic import Disk
from virtuoso.files.digest import code_digest
from virtuoso.market.schema.columns import Array

DIGITS = 16
FOLDS = "virtuoso.market.features.enrich"
"""Where columns of slow sources are laid beside the bars: every fold is imported from here."""

log = logging.getLogger(__name__)


def key_of(*parts: object) -> str:
    """Digest of what went into a file."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:DIGITS]


@cache
def source() -> str:
    """Digest of the sources that fold columns: of this room, and of all that it imports."""
    return code_digest(modules=[FOLDS])


@dataclass(frozen=True, slots=True)
class Kept:
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
