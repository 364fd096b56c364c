"""Cells that several pages show alike: months, score buckets, durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import monthly_returns
from virtuoso.reports.format import NOT_TESTABLE, number, whole
from virtuoso.types import Array

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FULL_TINT = 0.20
"""Return of a month at which its cell is fully tinted."""
TINT = 45.0
"""Per cent of the colour in a cell that is fully tinted."""


def month_rows(
    close_times: NDArray[np.int64], equity: Array, benchmark: Array | None, cash: float
) -> tuple[list[str], list[dict[str, object]]]:
    """Return the months that the run has in any year, and one row a year.

    A row holds cells of these months and of the whole year, `own`, and `held` of what it is compared with.

    Parameters
    ----------
    close_times : array of int64, ms, shape (n,)
    equity : Array, quote currency, shape (n,)
    benchmark : Array, quote currency, shape (n,), or None
        Without it there are no `held` cells.
    cash : float
        What both began with.
    """
    own = monthly_returns(close_times, equity, cash)
    held = {} if benchmark is None else monthly_returns(close_times, benchmark, cash)
    there = sorted({int(month[5:]) for month in own})
    rows: list[dict[str, object]] = []
    for year in sorted({month[:4] for month in own}):
        beside = _year_of_cells(held, year, there) if held else []
        rows.append({"year": year, "own": _year_of_cells(own, year, there), "held": beside})
    return [MONTHS[m - 1] for m in there], rows


def _year_of_cells(months: Mapping[str, float], year: str, there: Sequence[int]) -> list[dict[str, str]]:
    return [_cell(months.get(f"{year}-{m:02d}")) for m in there] + [_cell(_year(months, year))]


def _year(months: Mapping[str, float], year: str) -> float:
    grown = 1.0
    for month, gain in months.items():
        if month.startswith(year):
            grown *= 1.0 + gain
    return grown - 1.0


def _cell(gain: float | None) -> dict[str, str]:
    """A cell of the monthly table, tinted by how far it is from nothing."""
    if gain is None:
        return {"text": "", "lean": "none", "tint": "0"}
    lean = "bullish" if gain > 0.0 else "bearish" if gain < 0.0 else "none"
    tint = f"{min(abs(gain) / FULL_TINT, 1.0) * TINT:.0f}"
    return {"text": number(100.0 * gain, 1, signed=True), "lean": lean, "tint": tint}


def bucket_rows(buckets: np.ndarray) -> tuple[list[str], list[dict[str, object]]]:
    """Horizons of score buckets, and one row a bucket with a cell for each horizon.

    Parameters
    ----------
    buckets : array
        Fields horizon, low, high, bars, windows, mean_bp, low_bp, high_bp.
    """
    horizons = list(dict.fromkeys(buckets["horizon"].tolist()))
    rows: list[dict[str, object]] = []
    for low, high in dict.fromkeys(zip(buckets["low"].tolist(), buckets["high"].tolist(), strict=True)):
        chosen = buckets[(buckets["low"] == low) & (buckets["high"] == high)]
        name = "all bars" if (low, high) == (0.0, 100.0) else f"{low:g} to {high:g}"
        bars = whole(float(chosen["bars"].max()))
        rows.append({"name": name, "bars": bars, "cells": [_bucket_cell(row) for row in chosen]})
    return horizons, rows


def _bucket_cell(row: np.void) -> dict[str, str]:
    low, high = float(row["low_bp"]), float(row["high_bp"])
    return {
        "mean": number(float(row["mean_bp"]), 1, signed=True),
        "interval": f"{number(low, 1, signed=True)} to {number(high, 1, signed=True)}" if low == low else NOT_TESTABLE,
        "windows": whole(float(row["windows"])),
        "lean": "bullish" if low > 0.0 else "bearish" if high < 0.0 else "none",
    }


def duration(ms: int) -> str:
    """Write a duration as `30 s`, `15 min`, `4.5 h` or `3.0 d`."""
    minutes = ms // 60_000
    if minutes < 60:
        return f"{minutes} min" if minutes or not ms else f"{ms // 1_000} s"
    hours = minutes / 60.0
    return f"{number(hours, 1)} h" if hours < 48.0 else f"{number(hours / 24.0, 1)} d"
