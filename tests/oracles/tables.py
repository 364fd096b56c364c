"""The published series and hand-calculated tables of the data pack: independent of our code and of each other."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd


@lru_cache
def quotes(folder: Path, name: str = "default") -> dict[str, np.ndarray]:
    """Open, high, low, close and volume of a published example, oldest first."""
    table = pd.read_csv(folder / "reference" / "quotes" / f"{name}.csv", encoding="utf-8-sig")
    return {column: table[column].to_numpy(dtype=float) for column in ("open", "high", "low", "close", "volume")}


@lru_cache
def published(folder: Path, indicator: str, field: str) -> np.ndarray:
    """A series of Stock.Indicators over the default quotes, NaN until its first full window."""
    table = pd.read_parquet(folder / "reference" / "stock_indicators_baselines.parquet")
    rows = table[(table["indicator"] == indicator) & (table["field"] == field)].sort_values("date")
    return rows["value"].to_numpy(dtype=float)


@lru_cache
def by_hand(folder: Path, name: str, column: str) -> np.ndarray:
    """A column of a hand-made spreadsheet over the default quotes (VWAP: over the intraday quotes)."""
    table = pd.read_csv(folder / "reference" / "excel_hand_calc_csv" / f"{name}.csv.gz")
    return pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)


def agree(ours: np.ndarray, theirs: np.ndarray, relative: float = 1e-9, least: int = 100) -> None:
    """Compare where both are known; an oracle that knows nothing proves nothing."""
    n = min(len(ours), len(theirs))
    both = np.isfinite(ours[:n]) & np.isfinite(theirs[:n])
    assert both.sum() >= least
    size = np.abs(theirs[:n][both]).max()
    np.testing.assert_allclose(ours[:n][both], theirs[:n][both], rtol=relative, atol=relative * size)
