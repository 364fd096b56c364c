"""Breakdowns of the trades: by symbol, side, month, regime, face that led, score, exit reason, with honest intervals.

1. What is compared is R, the gain of a trade in units of what it risked: trades of all sizes count alike.
2. Trades that lie near each other in time share the market they were made in, whatever their symbol. The interval of a
   mean comes from a bootstrap of whole blocks of time, at least a day and three mean lives long.
3. A group that lies in fewer than ten blocks has no interval: not testable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import DAY_MS, r_multiples
from virtuoso.clock import Env
from virtuoso.prism.result.scores import Scores
from virtuoso.prism.words import REGIMES
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.research.backtest.round_trips import REASONS
from virtuoso.research.validation.quantiles import intervals
from virtuoso.signals.history import EDGES
from virtuoso.signals.regime import UNKNOWN_REGIME, regimes

BREAKDOWN = np.dtype(
    [
        ("by", "U16"),
        ("name", "U40"),
        ("trades", np.int64),
        ("pnl", np.float64),  # quote currency
        ("fees", np.float64),  # quote currency
        ("slippage", np.float64),  # quote currency
        ("funding", np.float64),  # quote currency, received if positive
        ("win_rate", np.float64),  # share that gained
        ("mean_r", np.float64),
        ("low_r", np.float64),  # 95 % interval of the mean, NaN where there are too few blocks
        ("high_r", np.float64),
    ]
)
"""One row a group of closed trades; the first one, of `all`, is of every trade."""
LEAST_LIVES = 3
"""Least length of a block in mean lives."""
MOST_BLOCKS = 500

TradeLabels = Mapping[str, Sequence[str]]


def breakdowns(lives: np.ndarray, labels: TradeLabels, timeframe_ms: int, env: Env | None = None) -> np.ndarray:
    """Break closed trades down.

    Parameters
    ----------
    lives : array of LIFE
        Closed ones.
    labels : mapping of str to sequence of str, shape (n_lives,)
        Name of each trade's group, for each way of grouping; an empty one takes no part.
    timeframe_ms : int
        Length of a bar.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    array of BREAKDOWN
    """
    if not len(lives):
        return np.empty(0, dtype=BREAKDOWN)
    rng = (env or Env(seed=0)).random()
    block = np.unique(_blocks(lives, timeframe_ms), return_inverse=True)[1]
    tables = [
        _grouped(by, np.asarray(names), lives, block, rng) for by, names in {**_everything(lives), **labels}.items()
    ]
    return np.concatenate(tables)


def _everything(lives: np.ndarray) -> TradeLabels:
    return {"all": ["all trades"] * len(lives)}


def _blocks(lives: np.ndarray, timeframe_ms: int) -> NDArray[np.int64]:
    """Block of time in which each trade was entered."""
    entered = lives["entry_number"] * timeframe_ms
    life = float((lives["exit_number"] - lives["entry_number"] + 1).mean()) * timeframe_ms
    length = max(DAY_MS, int(LEAST_LIVES * life), int(np.ptp(entered)) // MOST_BLOCKS)
    blocks: NDArray[np.int64] = entered // length
    return blocks


def _grouped(
    by: str, names: NDArray[Any], lives: np.ndarray, block: NDArray[np.int64], rng: np.random.Generator
) -> np.ndarray:
    """Rows of one way of grouping, in the order of the names."""
    groups, group = np.unique(names, return_inverse=True)
    gained = r_multiples(lives["pnl"], lives["risk"])
    known = np.isfinite(gained)
    blocks, n = int(block.max()) + 1, len(groups)
    cell = (block * n + group)[known]
    sums = np.asarray(np.bincount(cell, weights=gained[known], minlength=blocks * n), np.float64).reshape(blocks, n)
    of_cell: NDArray[np.int64] = np.bincount(cell, minlength=blocks * n).reshape(blocks, n)
    rows = np.zeros(n, dtype=BREAKDOWN)
    rows["by"], rows["name"] = by, groups
    rows["trades"] = np.bincount(group, minlength=n)
    for name in ("pnl", "fees", "slippage", "funding"):
        rows[name] = np.bincount(group, weights=lives[name], minlength=n)
    rows["win_rate"] = np.bincount(group, weights=lives["pnl"] > 0.0, minlength=n) / rows["trades"]
    rows["mean_r"] = np.where(of_cell.sum(axis=0) > 0, sums.sum(axis=0) / np.maximum(of_cell.sum(axis=0), 1), np.nan)
    rows["low_r"], rows["high_r"] = intervals(sums, of_cell, rng)
    named: np.ndarray = rows[groups != ""]
    return named


def labels_of(run: PortfolioRun, lives: np.ndarray, scores: Sequence[Scores]) -> dict[str, list[str]]:
    """Groups of trades, for each way of grouping.

    Parameters
    ----------
    run : PortfolioRun
    lives : array of LIFE
    scores : sequence of Scores
        In the order of the stage's instruments; without any there are no groups by regime, face and score.
    """
    ms = run.panel.timeframe.ms
    venues = {one.venue for one in run.panel.instruments}
    names = [one.symbol if len(venues) == 1 else str(one) for one in run.panel.instruments]
    months = (lives["entry_number"] * ms).astype("M8[ms]").astype("M8[M]").astype(str)
    of_scores = {
        "regime": _by_instrument(lives, scores, _regimes),
        "face": _by_instrument(lives, scores, _leading_faces),
        "score": [_bucket(score) for score in lives["score"]],
    }
    return {
        "symbol": [names[i] for i in lives["instrument"]],
        "side": ["long" if side > 0 else "short" for side in lives["side"]],
        "month": months.tolist(),
        **(of_scores if scores else {}),
        "exit reason": [REASONS[int(code)] for code in lives["reason"]],
    }


def _by_instrument(lives: np.ndarray, scores: Sequence[Scores], label: Any) -> list[str]:
    found = np.full(len(lives), "", dtype="U40")
    for i, of_one in enumerate(scores):
        mine = np.flatnonzero(lives["instrument"] == i)
        if len(mine):
            found[mine] = label(of_one, lives[mine])
    return found.tolist()


def _regimes(scores: Scores, lives: np.ndarray) -> list[str]:
    """Regime at the close of each decision."""
    first, last = int(lives["number"].min()), int(lives["number"].max())
    codes = regimes(scores.prism, scores.workspace, first, last + 1)[lives["number"] - first]
    return ["not known" if code == UNKNOWN_REGIME else REGIMES[code] for code in codes]


def _leading_faces(scores: Scores, lives: np.ndarray) -> list[str]:
    """Face that moved the confluence furthest to the side of the trade, at the close of each decision."""
    at, side = lives["number"] - scores.start, lives["side"].astype(np.float64)
    faces = list(scores.faces.values())
    pushes = np.array([face.coverage[at] * (face.score[at] - 50.0) * side for face in faces])
    pulls = np.nan_to_num(scores.weights_of_faces(at) * pushes, nan=-np.inf)
    leading = pulls.argmax(axis=0)
    led = np.isfinite(pulls.max(axis=0))
    return [faces[f].title if known else "not known" for f, known in zip(leading, led, strict=True)]


def _bucket(score: float) -> str:
    """Name of a bucket of the confluence; written so that names sort as scores do."""
    if score != score:
        return "not known"
    k = min(max(int(np.searchsorted(EDGES, score, side="right")) - 1, 0), len(EDGES) - 2)
    return f"{EDGES[k]:02.0f} to {EDGES[k + 1]:.0f}"
