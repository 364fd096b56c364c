"""How well told probabilities were kept: the reliability diagram, and the Brier score taken apart.

Signals are put into bins by what they were told; beside the mean of a bin stands the share that was right, with a
bootstrap of blocks of time, since signals that live at the same time share their market.

Sources: Murphy (1973), A New Vector Partition of the Probability Score; Stephenson et al. (2008), Two Extra Components
in the Brier Score Decomposition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import DAY_MS
from virtuoso.clock import Env
from virtuoso.prism.result.scores import Scores
from virtuoso.research.validation.barriers import BarrierLabels, barrier_labels
from virtuoso.research.validation.quantiles import MOST_BLOCKS, intervals
from virtuoso.signals.calibration import Basis
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

BINS = 10
BLOCK_LIVES = 3

DIAGRAM = np.dtype(
    [
        ("low", np.float64),  # of the told probability, inclusive
        ("high", np.float64),  # inclusive in the last bin
        ("signals", np.int64),
        ("told", np.float64),  # mean of what was told
        ("right", np.float64),  # share that was right
        ("low_right", np.float64),  # 95 % interval of that share, NaN where there are too few blocks
        ("high_right", np.float64),
    ]
)
"""One row a bin of the reliability diagram, each with about as many signals."""


class Brier(NamedTuple):
    """Mean squared error of told probabilities, and what it is made of.

    score = reliability - resolution + uncertainty + within: how far bins lie from the truth, how far they lie apart,
    how uncertain the outcome is at all, and what the bins hide.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclass(frozen=True)
class Diagram:
    """How well told probabilities were met.

    Attributes
    ----------
    bins : array of DIAGRAM
    brier : Brier
    calibration_error : float
        Mean distance of told and right over the bins (ECE), weighted by signals. Chance alone keeps it above 0.
    """

    bins: np.ndarray
    brier: Brier
    calibration_error: float


def diagram(told: Array, known: BarrierLabels, *, bins: int = BINS, env: Env | None = None) -> Diagram:
    """Compare what was told with what was right.

    Parameters
    ----------
    told : Array, 0..1, shape (n_signals,)
        Signals of which it is NaN take no part.
    known : BarrierLabels
    bins : int
        At most; signals that were told the same lie in one bin.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    Diagram
        Without bins, and with figures that are NaN, where no signal takes part.
    """
    there = np.isfinite(told)
    if not there.any():
        return Diagram(np.empty(0, DIAGRAM), Brier(*[float("nan")] * 5), float("nan"))
    p, right = told[there], known.rows["right"][there].astype(np.float64)
    edges = np.unique(np.quantile(p, np.linspace(0.0, 1.0, bins + 1)))
    of = np.unique(np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(len(edges) - 2, 0)), return_inverse=True)
    group = of[1]
    sums, counts = by_block(right, blocks_of(known)[there], group)
    rows = np.zeros(len(of[0]), dtype=DIAGRAM)
    rows["low"], rows["high"] = edges[of[0]], edges[np.minimum(of[0] + 1, len(edges) - 1)]
    rows["signals"] = np.bincount(group)
    rows["told"] = np.bincount(group, weights=p) / rows["signals"]
    rows["right"] = sums.sum(axis=0) / rows["signals"]
    rows["low_right"], rows["high_right"] = (
        np.clip(bound, 0.0, 1.0) for bound in intervals(sums, counts, (env or Env(seed=0)).random())
    )
    weight = rows["signals"] / len(p)
    return Diagram(rows, _brier(p, right, rows, group), float((weight * np.abs(rows["right"] - rows["told"])).sum()))


class Reliability(NamedTuple):
    """How well signals kept what their reliability told.

    Attributes
    ----------
    basis : str
        'calibrated' where a calibration told some of them, and the diagram is of those; 'heuristic' otherwise.
    outcomes : BarrierLabels
    diagram : Diagram
    """

    basis: Basis
    outcomes: BarrierLabels
    diagram: Diagram


def reliability_of(scores: Sequence[Scores], settings: SignalSettings, *, env: Env | None = None) -> Reliability:
    """Compare the reliability that signals carried with what became of them: the diagram of a tear sheet.

    A calibration tells a signal only what had been learned when it was decided, so this is out of sample.

    Parameters
    ----------
    scores : sequence of Scores
        One an instrument, of one prism and on one clock.
    settings : SignalSettings
        With their calibration, if there is one.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.
    """
    known = barrier_labels(scores, settings)
    calibrated = known.rows["calibrated"]
    if calibrated.any():
        told = np.where(calibrated, known.rows["told"], np.nan)
        return Reliability("calibrated", known, diagram(told, known, env=env))
    return Reliability("heuristic", known, diagram(known.rows["heuristic"], known, env=env))


def _brier(p: Array, right: Array, bins: np.ndarray, group: NDArray[np.int64]) -> Brier:
    """Take the mean squared error apart; the parts sum to it whatever the bins are."""
    weight, rate = bins["signals"] / len(p), float(right.mean())
    off, missed = p - bins["told"][group], right - bins["right"][group]
    return Brier(
        score=float(np.square(p - right).mean()),
        reliability=float((weight * np.square(bins["told"] - bins["right"])).sum()),
        resolution=float((weight * np.square(bins["right"] - rate)).sum()),
        uncertainty=rate * (1.0 - rate),
        within=float((np.square(off) - 2.0 * off * missed).mean()),
    )


def blocks_of(known: BarrierLabels) -> NDArray[np.int64]:
    """Block of time in which each signal was decided: some lives long, and at least a day."""
    decided = known.rows["decided"]
    span = int(np.ptp(decided)) if len(decided) else 0
    blocks: NDArray[np.int64] = decided // max(DAY_MS, BLOCK_LIVES * known.life, span // MOST_BLOCKS)
    return blocks


def by_block(
    values: Array, block: NDArray[np.int64], group: NDArray[np.int64] | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """Sum and count of the values of each group in each block, shape (n_blocks, n_groups)."""
    rank = np.unique(block, return_inverse=True)[1]
    of = np.zeros(len(values), dtype=np.int64) if group is None else group
    shape = (int(rank.max()) + 1, int(of.max()) + 1)
    cell = rank * shape[1] + of
    sums: Array = np.bincount(cell, values, shape[0] * shape[1]).astype(np.float64).reshape(shape)
    return sums, np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
