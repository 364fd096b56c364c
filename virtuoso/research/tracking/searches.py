"""Which search a backtest was chosen from: sweeps whose run folders lie beside its own.

A sweep keeps every configuration as a row of `trials.parquet` and its equity day by day in `daily.parquet`. A backtest
of one of those rows, on the same bars over the same stretch, is judged with all of them: whoever runs the best of a
thousand in full has still chosen it from a thousand. Sweeps of more configurations than `daily.parquet` is written for
are counted by the ledger alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.sweep.grid import in_force
from virtuoso.types import Array

SAME = 1e-9
"""Share by which a figure that went through a file may differ."""


class Search(NamedTuple):
    """What something was chosen from.

    Attributes
    ----------
    daily : Array, shape (n_days, n_configurations)
        Returns of each whole day.
    trades : array of int64, shape (n_configurations,)
        Closed trades.
    """

    daily: Array
    trades: NDArray[np.int64]


def search_of(result: PortfolioFigures, home: Path) -> Search | None:
    """Find the largest sweep that a backtest came out of; None where there is none.

    Parameters
    ----------
    result : PortfolioFigures
    home : Path
        Folder of run folders.
    """
    if result.rule is None or len(result.instruments) > 1:
        return None
    chosen = in_force(result.scores[0].prism, result.rule)
    found = [_read(folder, result, chosen) for folder in sorted(home.glob("[!.]*_sweep_*"))]
    return max((search for search in found if search is not None), key=lambda s: s.daily.shape[1], default=None)


def _read(folder: Path, result: PortfolioFigures, chosen: dict[str, float]) -> Search | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        told = json.loads((folder / "provenance.json").read_bytes())
        if not _same_stretch(told, result):
            return None
        table = pq.read_table(folder / "trials.parquet")
        if not set(chosen) <= set(table.column_names) or not _holds(table, chosen):
            return None
        equity = pq.read_table(folder / "daily.parquet")
        daily = np.column_stack([equity.column(str(k)).to_numpy() for k in range(table.num_rows)])
        trades = table.column("trades").to_numpy().astype(np.int64)
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None  # no sweep that can be read; the ledger has counted it
    if len(daily) != len(result.daily_returns):
        return None
    return Search(metrics.returns_of(daily, result.account.cash), trades)


def _same_stretch(told: dict[str, Any], result: PortfolioFigures) -> bool:
    own, instrument = result.provenance, str(result.instruments[0])
    return (told.get("instrument"), told.get("data"), told.get("from"), told.get("to")) == (
        instrument, own.get(f"data {instrument}"), own["from"], own["to"],
    )  # fmt: skip


def _holds(table: Any, chosen: dict[str, float]) -> bool:
    """Whether one of the rows is what was chosen."""
    same = np.ones(table.num_rows, dtype=bool)
    for name, value in chosen.items():
        same &= np.abs(table.column(name).to_numpy() - value) <= SAME * max(abs(value), 1.0)
    return bool(same.any())
