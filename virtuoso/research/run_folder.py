"""The run folder of a backtest: everything needed to repeat it, written whole or not at all.

| file | holds |
|---|---|
| `config.json` | terms of trading and the settings in force |
| `provenance.json` | instrument, stretch, digests of data, prism and intents, versions |
| `metrics.json` | figures, those of buying and holding, counts; null is *not testable* |
| `intents.parquet` | what was decided, one row an intent |
| `trades.parquet`, `equity.parquet` | what became of it |
| `score_buckets.parquet` | forward returns by score |
| `summary.txt`, `results.html` | the same for people |

The same inputs give the same bytes, with the same versions of the libraries: no clock and no path is written.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.market.disk import Disk

if TYPE_CHECKING:
    from virtuoso.research.results import BacktestResult


class Result(Protocol):
    """What a run folder is made from."""

    @property
    def provenance(self) -> dict[str, str]:
        """Where every number came from."""
        ...

    def configuration(self) -> dict[str, Any]:
        """Terms of trading and settings in force."""
        ...

    def files(self) -> dict[str, bytes]:
        """Contents of the files, by name."""
        ...


def holds_run(folder: Path, result: Result) -> bool:
    """Whether a run folder was made from the same data, configuration, code and terms."""
    expected = {"config.json": as_json(result.configuration()), "provenance.json": as_json(result.provenance)}
    return all((folder / n).is_file() and (folder / n).read_bytes() == data for n, data in expected.items())


def save(result: Result, folder: Path, *, replace: bool = False) -> Path:
    """Write the run folder beside its final place, then move it there in one step.

    Raises
    ------
    ConfigError
        If the folder exists and may not be replaced.
    """
    if folder.exists() and not replace:
        raise ConfigError(f"{folder} exists already and a run is never overwritten by accident. Name another folder.")
    disk = Disk()
    disk.make_folder(folder.parent)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        for name, data in result.files().items():
            disk.write(fresh / name, data)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    disk.sync_folder(folder.parent)
    return folder


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


def configuration(result: BacktestResult) -> dict[str, Any]:
    """Terms of trading and settings in force; says whether the market was simulated, as every file of a run does."""
    simulated = result.frame.instrument.is_simulated
    return {"simulated": simulated, "terms": asdict(result.terms), "settings": result.config}


def run_files(result: BacktestResult) -> dict[str, bytes]:
    """Contents of the files of a run, by name."""
    metrics = {
        "simulated": result.frame.instrument.is_simulated,
        "strategy": result.metrics,
        "buy_and_hold": result.benchmark_metrics,
        "counts": result.counts,
    }
    return {
        "config.json": as_json(configuration(result)),
        "provenance.json": as_json(result.provenance),
        "metrics.json": as_json(metrics),
        "trades.parquet": as_parquet(result.trades_table()),
        "equity.parquet": as_parquet(_equity_table(result)),
        "intents.parquet": as_parquet(intents_table(result.intents)),
        "score_buckets.parquet": as_parquet({name: result.buckets[name] for name in result.buckets.dtype.names or ()}),
        "summary.txt": (result.summary() + "\n").encode(),
        "results.html": result.page().html().encode(),
    }


def _equity_table(result: BacktestResult) -> dict[str, Any]:
    return {
        "close_time": result.close_times,
        "equity": result.equity,
        "buy_and_hold": result.benchmark,
        "drawdown": result.drawdown,
        "position": result.position,
    }


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
