"""The run folder: everything needed to repeat a run, written whole or not at all.

1. schema.py says what lies in it. The same inputs give the same bytes: no clock and no path is written.
2. Everything is written in a temporary folder beside the final place and renamed once; what a killed writer left there
   is removed by the next one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.files.atomic import TEMPORARY, Disk
from virtuoso.files.json import to_json
from virtuoso.runs.schema import COLUMNS, CONFIG, PROVENANCE, SUFFIXES

if TYPE_CHECKING:
    import pandas as pd


class Writable(Protocol):
    """What a run folder is written from."""

    @property
    def provenance(self) -> dict[str, str]:
        """Where every number came from."""

    def configuration(self) -> dict[str, Any]:
        """Return terms of trading and settings in force."""

    def files(self) -> dict[str, bytes]:
        """Return the contents of the files that the same inputs repeat, by name."""

    @property
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder."""


Finish = Callable[[Path], object]
"""Adds to a folder what is not among `files`: what depends on everything that was tried."""


def write_run(run: Writable, folder: Path, *, replace: bool = False, finish: Finish | None = None) -> None:
    """Write a run folder, whole or not at all.

    Parameters
    ----------
    run : Writable
    folder : Path
    replace : bool
        Whether a run folder that is already there may be replaced.
    finish : callable, optional
        Called with the folder before it is moved to its place.

    Raises
    ------
    ConfigError
        If the folder exists and may not be replaced.
    """
    if folder.exists() and not replace:
        raise ConfigError(f"{folder} exists already and a run is never overwritten by accident. Name another folder.")
    with _written(run, folder, finish) as fresh:
        Disk().put_in_place(fresh, folder)


def complete_run(run: Writable, folder: Path, *, finish: Finish | None = None) -> None:
    """Write all files of a run folder of this very run anew, since some are missing; others that lie there stay."""
    with _written(run, folder, finish) as fresh:
        for file in sorted(fresh.iterdir()):
            file.replace(folder / file.name)
    Disk().sync_folder(folder)


@contextmanager
def _written(run: Writable, target: Path, finish: Finish | None) -> Iterator[Path]:
    """Write everything into a temporary folder beside the final place."""
    disk = Disk()
    with disk.beside(target, _is_run) as fresh:
        for name, data in run.files().items():
            disk.write(fresh / name, data)
        if finish is not None:
            finish(fresh)
        yield fresh


def holds_run(folder: Path, run: Writable) -> bool:
    """Whether a run folder was made from the same data, configuration, code and terms; it need not be whole."""
    expected = {CONFIG: as_json(run.configuration()), PROVENANCE: as_json(run.provenance)}
    return all((folder / n).is_file() and (folder / n).read_bytes() == data for n, data in expected.items())


def is_whole(folder: Path, run: Writable, without: Collection[str] = ()) -> bool:
    """Whether no file of a run folder is missing or empty, but for some that are not wanted."""
    wanted = run.names - set(without)
    return all((folder / name).is_file() and (folder / name).stat().st_size for name in wanted)


def _is_run(path: Path) -> bool:
    """Whether a folder with a temporary name holds nothing but what runs are made of."""
    return path.is_dir() and all(file.suffix in (*SUFFIXES, TEMPORARY) for file in path.iterdir())


def trades_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return columns of `trades.parquet` for pandas: one row a trade, times in UTC."""
    import pandas as pd

    table = pd.DataFrame(columns)
    for name in ("decided_at", "entry_time", "exit_bar_time"):
        table[name] = pd.to_datetime(table[name], unit="ms", utc=True)
    return table


def fields_of(table: np.ndarray) -> dict[str, Any]:
    """Return the columns of an array of records; a field of several values gives a column each."""
    columns: dict[str, Any] = {}
    for name in table.dtype.names or ():
        values = table[name]
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}{k + 1}": values[:, k] for k in range(values.shape[1])}
    return columns


def as_json(value: object) -> bytes:
    """Return one JSON document as bytes."""
    return to_json(value).encode()


def as_parquet(columns: Mapping[str, Any]) -> bytes:
    """One table, the same bytes for the same values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        text = values.dtype == object or values.dtype.kind == "U"
        arrays[name] = pa.array(values, type=pa.string()) if text else pa.array(np.ascontiguousarray(values))
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer, compression="zstd")
    return buffer.getvalue()


def encoded(contents: Mapping[str, Any]) -> dict[str, bytes]:
    """Return files of a run folder: text, JSON of facts, Parquet of columns, by the ends of their names.

    Raises
    ------
    ValueError
        A table has other columns than the schema says.
    """
    return {name: _encoded(name, content) for name, content in contents.items()}


def _encoded(name: str, content: Any) -> bytes:
    if name.endswith(".json"):
        return as_json(content)
    if name.endswith(".txt"):
        return str(content).encode()
    expected = COLUMNS.get(name)
    if expected is not None and tuple(content) != expected:
        raise ValueError(f"{name} has the columns {tuple(content)}, and the schema says {expected}")
    return as_parquet(content)
