"""The run folder: everything needed to repeat a run, written whole or not at all.

What lies in it is told where the result is: vectorbt_result.py, portfolio_files.py, sweep_result.py. The same inputs
give the same bytes, with the same versions of the libraries: no clock and no path is written.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.market.disk import Disk

if TYPE_CHECKING:
    import pandas as pd


class Result(ABC):
    """What a run found, and what its folder is made from."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, str]:
        """Where every number came from."""

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Terms of trading and settings in force; says whether a market was simulated, as every file of a run does."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Contents of the files of the run folder, by name."""

    def save(self, folder: Path | str, *, replace: bool = False) -> Path:
        """Write a run folder with everything needed to repeat this, whole or not at all.

        It is written beside its final place, then moved there in one step.

        Parameters
        ----------
        folder : Path or str
        replace : bool
            Whether a run folder that is already there may be replaced.

        Raises
        ------
        ConfigError
            If the folder exists and may not be replaced.
        """
        target = Path(folder)
        if target.exists() and not replace:
            raise ConfigError(
                f"{target} exists already and a run is never overwritten by accident. Name another folder."
            )
        disk = Disk()
        disk.make_folder(target.parent)
        fresh = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            for name, data in self.files().items():
                disk.write(fresh / name, data)
            _put_in_place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        disk.sync_folder(target.parent)
        return target


def holds_run(folder: Path, result: Result) -> bool:
    """Whether a run folder was made from the same data, configuration, code and terms."""
    expected = {"config.json": as_json(result.configuration()), "provenance.json": as_json(result.provenance)}
    return all((folder / n).is_file() and (folder / n).read_bytes() == data for n, data in expected.items())


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename a finished folder to its name; an older run steps aside first and is removed last."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def trades_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Columns of `trades.parquet` for pandas: one row a trade, times in UTC."""
    import pandas as pd

    table = pd.DataFrame(columns)
    for name in ("decided_at", "entry_time", "exit_bar_time"):
        table[name] = pd.to_datetime(table[name], unit="ms", utc=True)
    return table


def fields_of(table: np.ndarray) -> dict[str, Any]:
    """Columns of an array of records."""
    return {name: table[name] for name in table.dtype.names or ()}


def intents_table(intents: np.ndarray) -> dict[str, Any]:
    """Columns of `intents.parquet`, one row an intent; each target and its size is a column."""
    columns: dict[str, Any] = {}
    for name in intents.dtype.names or ():
        values = intents[name]
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}{k + 1}": values[:, k] for k in range(values.shape[1])}
    return columns


def as_json(value: object) -> bytes:
    """JSON that any reader takes: NaN and infinity are null."""
    return (json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


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
