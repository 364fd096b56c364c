"""What a run went through, from the tables of its folder: drawdowns, rolling figures, streaks, the best and the worst.

Everything here is sums and order statistics of columns that the folder holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import (
    DAYS_A_YEAR,
    daily_returns,
    drawdown_periods,
    longest_streak,
    sharpe,
    volatility,
)
from virtuoso.clock import iso
from virtuoso.reports.format import DASH, number, percent, plural
from virtuoso.reports.rows import duration
from virtuoso.runs.read import RunData, RunTable
from virtuoso.runs.schema import EQUITY, TRADES
from virtuoso.types import Array

DEEPEST = 5
"""Drawdowns that are listed."""
EXTREMES = 10
"""Best and worst trades that are listed."""
WINDOWS = (30, 90)
"""Days of a rolling window: the longer one from a year on."""
DAY_MS = 86_400_000


class Rolling(NamedTuple):
    """Figures of the days before each day.

    Attributes
    ----------
    days : int
        Length of the window.
    times : array of int64, ms, shape (n,)
        Ends of the windows.
    sharpe, volatility, exposure : Array, shape (n,)
        Annualised ratio, annualised share, and mean notional over equity.
    """

    days: int
    times: NDArray[np.int64]
    sharpe: Array
    volatility: Array
    exposure: Array


def minutes(ms: int) -> str:
    """Write a moment to the minute: `2025-10-10 21:15Z`; with seconds only where it has some."""
    text = iso(ms)
    return text if ms % 60_000 else f"{text[:16].replace('T', ' ')}Z"


def drawdown_rows(run: RunData) -> list[tuple[str, ...]]:
    """Return the deepest drawdowns: depth, start, trough, recovery, length, each written."""
    first = int(run.close_times[0]) - run.bar_ms
    found = drawdown_periods(run.close_times, run.table(EQUITY)["equity"], run.cash, first)
    order = np.argsort(found["depth"], kind="stable")[:DEEPEST]
    return [
        (
            percent(found["depth"][k]),
            minutes(int(found["start"][k])),
            minutes(int(found["trough"][k])),
            minutes(int(found["recovery"][k])) if found["recovery"][k] >= 0 else "not yet",
            duration(int(found["length"][k])),
        )
        for k in order.tolist()
    ]


def rolling(run: RunData) -> Rolling | None:
    """Return rolling figures; None where the run is shorter than two windows."""
    first = int(run.close_times[0]) - run.bar_ms
    gained = daily_returns(run.close_times, run.table(EQUITY)["equity"], run.cash, first)
    days = WINDOWS[1] if len(gained) >= DAYS_A_YEAR else WINDOWS[0]
    if len(gained) < 2 * days:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(gained, days)
    ratios = np.array([(sharpe(window, DAYS_A_YEAR), volatility(window, DAYS_A_YEAR)) for window in windows])
    ends = first + DAY_MS * np.arange(days, len(gained) + 1, dtype=np.int64)
    return Rolling(days, ends, ratios[:, 0], ratios[:, 1], _exposed(run, ends, days))


def _exposed(run: RunData, ends: NDArray[np.int64], days: int) -> Array:
    """Mean notional over equity in each window; NaN where the folder does not hold it."""
    exposure = run.curve("exposure")
    if exposure is None:
        return np.full(len(ends), np.nan)
    equity = run.table(EQUITY)["equity"]
    share = np.divide(exposure, equity, out=np.zeros(len(equity)), where=(equity > 0.0) & np.isfinite(exposure))
    sums = np.concatenate(([0.0], np.cumsum(share)))
    last = np.searchsorted(run.close_times, ends, side="right")
    before = np.searchsorted(run.close_times, ends - DAY_MS * days, side="right")
    mean: Array = (sums[last] - sums[before]) / np.maximum(last - before, 1)
    return mean


def closed_trades(run: RunData) -> RunTable:
    """Return the trades that have ended, in the order of their exits; empty where there are none."""
    table = run.table(TRADES)
    if not len(table.get("pnl", ())):
        return {}
    ended = np.flatnonzero(table["reason"] != "open")
    order = ended[np.argsort(table["exit_bar_time"][ended], kind="stable")]
    return {name: of[order] for name, of in table.items()} if len(order) else {}


def returns_of_trades(trades: RunTable) -> tuple[Array, str]:
    """Return what trades made and its unit: R where they risked something, else % of what was entered, else money."""
    r = np.asarray(trades["r"], dtype=np.float64)
    if np.isfinite(r).any():
        return r, "R"
    if "size" in trades:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 100.0 * trades["pnl"] / (trades["size"] * trades["entry_price"]), "%"
    return np.asarray(trades["pnl"], dtype=np.float64), "quote currency"


def trade_figures(run: RunData) -> list[tuple[str, str]]:
    """Return names and values of what the trades were like, one by one; empty where none has ended."""
    trades = closed_trades(run)
    if not trades:
        return []
    pnl = trades["pnl"]
    won, lost = pnl > 0.0, pnl < 0.0
    held = trades["exit_bar_time"] - trades["entry_time"] + run.bar_ms
    rows = [
        ("Best trade, quote currency", number(float(pnl.max()), 2, signed=True)),
        ("Worst trade, quote currency", number(float(pnl.min()), 2, signed=True)),
        ("Average winner, quote currency", _mean(pnl[won])),
        ("Average loser, quote currency", _mean(pnl[lost])),
        ("Longest winning streak", plural(longest_streak(won), "trade")),
        ("Longest losing streak", plural(longest_streak(lost), "trade")),
        ("Average holding time, winners", duration(int(held[won].mean())) if won.any() else DASH),
        ("Average holding time, losers", duration(int(held[lost].mean())) if lost.any() else DASH),
    ]
    return [*rows, *_days(run)]


def _mean(values: Array) -> str:
    return number(float(values.mean()), 2, signed=True) if len(values) else DASH


def _days(run: RunData) -> list[tuple[str, str]]:
    first = int(run.close_times[0]) - run.bar_ms
    gained = daily_returns(run.close_times, run.table(EQUITY)["equity"], run.cash, first)
    gained = gained[np.isfinite(gained)]
    if len(gained) < 2:
        return []
    moved = gained[gained != 0.0]
    return [
        ("Best day", percent(float(gained.max()), 2, signed=True)),
        ("Worst day", percent(float(gained.min()), 2, signed=True)),
        ("Winning days, of those that moved", percent(float((moved > 0.0).mean())) if len(moved) else DASH),
    ]


def extremes(run: RunData) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the best and the worst closed trades by P&L, as rows of the table; the same trade is in one of them."""
    trades = closed_trades(run)
    if not trades:
        return [], []
    order = np.argsort(-trades["pnl"], kind="stable")
    most = min(EXTREMES, -(-len(order) // 2))
    return _rows(trades, order[:most]), _rows(trades, order[::-1][: min(EXTREMES, len(order) - most)])


def _rows(trades: RunTable, order: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [{name: of[k] for name, of in trades.items()} for k in order.tolist()]


def by_clock(trades: RunTable) -> Mapping[str, tuple[Array, NDArray[np.int64]]]:
    """Return the mean result of the trades entered in each hour and on each weekday (UTC), and how many there are.

    Monday is the first day. Means of groups without a trade are NaN.
    """
    gained, _ = returns_of_trades(trades)
    known = np.isfinite(gained)
    hours = trades["entry_time"][known] // 3_600_000
    places = {"hour": (hours % 24, 24), "weekday": ((hours // 24 + 3) % 7, 7)}  # 1970 began on a Thursday
    found = {}
    for name, (place, n) in places.items():
        count = np.bincount(place, minlength=n)
        sums = np.bincount(place, weights=gained[known], minlength=n)
        found[name] = (np.where(count > 0, sums / np.maximum(count, 1), np.nan), count)
    return found


def streaks(won: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many trades each run of equal outcomes lasts."""
    ends = np.append(np.flatnonzero(won[1:] != won[:-1]) + 1, len(won))
    lengths: NDArray[np.int64] = np.diff(ends, prepend=0)
    return lengths
