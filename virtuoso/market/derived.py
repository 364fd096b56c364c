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

from virtuoso.market.columns import Array
from virtuoso.market.disk import Disk

DIGITS = 16

log = logging.getLogger(__name__)


def key_of(*parts: object) -> str:
    """Digest of what went into a file."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:DIGITS]


@cache
def source() -> str:
    """Digest of the sources of this room, since a fold may call any of them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


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
                    return {column: np.array(table.column(column).to_numpy()) for column in table.column_names}
        return None

    def write(self, columns: Mapping[str, Array]) -> None:
        """Keep columns; what was kept under the same name goes. A disk that refuses costs time, nothing else."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        # floats that lie close together resemble each other byte by byte: so split, they take a third less
        split = dict.fromkeys(columns, "BYTE_STREAM_SPLIT")
        pq.write_table(pa.table(dict(columns)), sink, compression="zstd", use_dictionary=False, column_encoding=split)
        data = bytes(sink.getvalue())
        path = self.folder / f"{self.name}-{self.key}-{hashlib.sha256(data).hexdigest()[:DIGITS]}.parquet"
        try:
            self.disk.write(path, data)
            for other in self.folder.glob(f"{self.name}-*.parquet"):
                if other != path:
                    self.disk.remove(other)
        except OSError as error:
            log.warning("%s could not be kept: %s", path, error)
