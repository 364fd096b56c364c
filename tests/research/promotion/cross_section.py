"""The cross-section of eight large coins at one day, by ridge: the best that 923 walk-forward configurations found.

Scores of every component on the 4h and on the 1d clock are ranked across the coins; their weights are fitted on the
past alone, anew each month, a month purged; coins are held for a day in proportion to their ranks, long and short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.config import Settings
from virtuoso.prism.engine.score import score
from virtuoso.prism.registry import prism_from
from virtuoso.types import Array

FILE = Path("ohlcv") / "binance_um_4h_8sym_2020_2024.parquet"
CLOCKS = ("4h", "1d")
BAR_MS, BARS_A_DAY = 4 * 3_600_000, 6
SINCE = 1_609_459_200_000  # 2021-01-01, a year after the first bar
A_MONTH = 30 * BARS_A_DAY
CLIP, FEE, FUNDING = 3.0, 7e-4, 1e-4


@dataclass(frozen=True)
class Panel:
    """Ranked scores, shape (n_bars, n_coins, n_scores), opens and closes, and the bar from which it is traded."""

    ranks: Array
    opens: Array
    closes: Array
    begin: int

    @property
    def days(self) -> int:
        return (len(self.closes) - self.begin) // BARS_A_DAY

    def by_day(self, values: Array) -> Array:
        """Sum of each day out of sample."""
        return values[self.begin : self.begin + self.days * BARS_A_DAY].reshape(-1, BARS_A_DAY).sum(axis=1)


def panel(pack: Path, home: Path) -> Panel:
    """Import the coins and score them."""
    assert main(["data", "import", str(pack / FILE), "--venue", "binance-usdm", "--data", str(home), "-q"]) == 0
    lake = workflows.lake(home)
    frames = [lake.frame(one.symbol, "4h", None, None, one.venue) for one in lake.instruments()]
    first, stop = min(frame.start for frame in frames), max(frame.stop for frame in frames)
    opens, closes = np.full((2, stop - first, len(frames)), np.nan)
    scores: dict[tuple[str, str], Array] = {}
    for k, frame in enumerate(frames):
        here = slice(frame.start - first, frame.stop - first)
        bars = slice(frame.start - frame.base.first, frame.stop - frame.base.first)
        opens[here, k], closes[here, k] = (frame.base.columns[name][bars] for name in ("open", "close"))
        for clock, name, values, start in _scored(frame):
            table = scores.setdefault((clock, name), np.full(closes.shape, np.nan))
            table[start - first : start - first + len(values), k] = values
    ranks = np.stack([np.nan_to_num(_ranked(scores[key])) for key in sorted(scores)], axis=2)
    return Panel(ranks, opens, closes, SINCE // BAR_MS - first)


def _scored(frame) -> Iterator[tuple[str, str, Array, int]]:
    for clock in CLOCKS:
        prism = prism_from(Settings.load(env={}, overrides={"prism.timeframes": {clock: 1.0}}).prism)
        found = score(prism, frame)
        for face in found.faces.values():
            for name, part in face.components.items():
                if np.isfinite(part.score).any():
                    yield clock, f"{face.name}.{name}", part.score, found.start


def _ranked(values: Array) -> Array:
    """Ranks across the coins, -0.5..0.5; NaN where fewer than four are known."""
    known = np.isfinite(values)
    order = np.argsort(np.argsort(np.where(known, values, np.inf), axis=1), axis=1) + 0.5
    count = known.sum(axis=1, keepdims=True)
    return np.where(known & (count >= 4), order / np.maximum(count, 1) - 0.5, np.nan)


def traded(of: Panel, bars: int, penalty: float | None) -> tuple[Array, Array, Array]:
    """Gross return, cost and turnover of each day out of sample; without a penalty all scores weigh the same."""
    goal = _goal(of, bars)
    known, points = np.isfinite(goal), np.full(of.closes.shape, np.nan)
    for begin in range(of.begin, len(goal), A_MONTH):
        weights = np.ones(of.ranks.shape[2])
        if penalty is not None:
            past = slice(0, begin - A_MONTH)
            weights = _ridge(of.ranks[past][known[past]], goal[past][known[past]], penalty)
        points[begin : begin + A_MONTH] = of.ranks[begin : begin + A_MONTH] @ weights
    ranks = np.nan_to_num(_ranked(points))
    total = np.abs(ranks).sum(axis=1, keepdims=True)
    wanted = np.cumsum(np.divide(ranks, total, out=np.zeros_like(ranks), where=total > 0.0), axis=0)
    held = np.zeros_like(wanted)
    held[bars + 1 :] = (wanted[bars:-1] - wanted[: -bars - 1]) / bars  # the mean of what was decided before this bar
    change = np.zeros_like(held)
    change[1:] = np.nan_to_num(of.closes[1:] / of.closes[:-1] - 1.0)
    turned = np.abs(np.diff(held, axis=0, prepend=0.0)).sum(axis=1)
    funding = FUNDING * np.maximum(held, 0.0).sum(axis=1) * BAR_MS / (8 * 3_600_000)
    return of.by_day((held * change).sum(axis=1)), of.by_day(FEE * turned + funding), of.by_day(turned)


def _goal(of: Panel, bars: int) -> Array:
    """Return from the next open to the close one horizon later, in its own spread, clipped, less that of all coins."""
    n = len(of.closes)
    moves = np.nan_to_num(np.diff(np.log(of.closes), axis=0, prepend=np.nan) ** 2)
    total = np.cumsum(moves, axis=0)
    spread = np.full(of.closes.shape, np.nan)
    spread[A_MONTH:] = np.sqrt((total[A_MONTH:] - total[:-A_MONTH]) / A_MONTH * bars)
    goal = np.full(of.closes.shape, np.nan)
    moved = np.log(of.closes[bars:] / of.opens[1 : n - bars + 1])
    wide = spread[: n - bars]
    goal[: n - bars] = np.clip(np.divide(moved, wide, out=np.full(moved.shape, np.nan), where=wide > 0.0), -CLIP, CLIP)
    known = np.isfinite(goal)
    count = known.sum(axis=1, keepdims=True)
    return goal - np.where(known, goal, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)


def _ridge(scores: Array, goal: Array, penalty: float) -> Array:
    spread = np.where(scores.std(axis=0) > 1e-9, scores.std(axis=0), 1.0)
    table = scores / spread
    with_goal = table.T @ goal / len(goal) / goal.std()
    among = table.T @ table / len(table)
    return np.linalg.solve(among + penalty * np.eye(len(among)), with_goal) / spread
