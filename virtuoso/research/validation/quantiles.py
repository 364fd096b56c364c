"""What prices did after each score: mean forward returns by bucket of the confluence, with honest intervals.

1. The score of bar t is known at its close; the return runs from the next open to the close `horizon` bars later.
2. Returns of neighbouring bars share most of their path, so a count of bars overstates what is known. The interval
   comes from a bootstrap of whole blocks of time, at least three horizons long; `windows` counts disjoint horizons.
3. A bar whose score, next open or last close is not known is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Span, Timeframe
from virtuoso.errors import ConfigError
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.history import EDGES
from virtuoso.signals.moves import forward_returns
from virtuoso.types import Array

HORIZONS = ("15m", "1h", "4h", "1d")
RESAMPLES = 1_000
MOST_BLOCKS = 500
LEAST_BLOCKS = 10
"""Blocks that hold a bucket, below which its interval is not testable."""
BLOCK_HORIZONS = 3
"""Least length of a block in horizons: returns that share their path should lie in one block."""
TAIL = 0.025

BUCKET = np.dtype(
    [
        ("horizon", "U8"),
        ("low", np.float64),  # of the score, inclusive
        ("high", np.float64),  # exclusive, but for 100
        ("bars", np.int64),
        ("windows", np.int64),  # disjoint stretches of one horizon that hold at least one of the bars
        ("mean_bp", np.float64),  # mean forward return
        ("low_bp", np.float64),  # 95 % interval of the mean, NaN where there are too few blocks
        ("high_bp", np.float64),
        ("up_share", np.float64),  # share of the bars after which the price stood higher
    ]
)
"""One row a horizon and bucket; the row from 0 to 100 is all bars together, what the market did anyway."""


def score_buckets(
    scores: Scores,
    horizons: Sequence[str] = HORIZONS,
    edges: Sequence[float] = EDGES,
    *,
    env: Env | None = None,
) -> np.ndarray:
    """Mean forward return by bucket of the confluence.

    Parameters
    ----------
    scores : Scores
    horizons : sequence of str
        Spans such as '15m'; those shorter than a bar are left out.
    edges : sequence of float
        Of the buckets, increasing from 0 to 100.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    array of BUCKET
    """
    bounds = np.asarray(edges, dtype=np.float64)
    if len(bounds) < 3 or (np.diff(bounds) <= 0.0).any() or bounds[0] != 0.0 or bounds[-1] != 100.0:
        raise ConfigError(f"Edges of score buckets increase from 0 to 100, were {', '.join(f'{e:g}' for e in edges)}.")
    bars = scores.frame.base
    rng = (env or Env(seed=0)).random()
    tables = []
    for name, horizon in in_bars(horizons, bars.timeframe).items():
        gained = forward_returns(bars, scores.start, len(scores), horizon)
        known = np.isfinite(scores.confluence) & np.isfinite(gained)
        number = scores.start + np.flatnonzero(known)
        drawn = blocks_drawn(len(np.unique(number // horizon_block(horizon, len(number)))), rng)
        tables.append(bucket_table(name, horizon, bounds, scores.confluence[known], gained[known], number, drawn))
    return np.concatenate(tables) if tables else np.empty(0, dtype=BUCKET)


def in_bars(horizons: Sequence[str], timeframe: Timeframe) -> dict[str, int]:
    """Lengths of horizons in bars, by name; those shorter than a bar are left out."""
    spans = {name: Span(name) for name in horizons}
    return {name: timeframe.bars(span) for name, span in spans.items() if span.ms >= timeframe.ms}


def horizon_block(horizon: int, bars: int) -> int:
    """Bars in a block of the bootstrap: some horizons, and not so few that there are needlessly many blocks."""
    return max(BLOCK_HORIZONS * horizon, bars // MOST_BLOCKS, 1)


def bucket_table(
    name: str, horizon: int, bounds: Array, scores: Array, gained: Array, number: NDArray[np.int64],
    drawn: NDArray[np.int64] | None,
) -> np.ndarray:  # fmt: skip
    """Rows of one horizon: each bucket of a score, then all of them together in the last one.

    Parameters
    ----------
    name : str
        Of the horizon.
    horizon : int, bars
    bounds : Array, points
        Edges of the buckets.
    scores, gained : Array, shape (n,)
        Points, and what followed in bp; both known.
    number : array of int64, shape (n,)
        Of each bar.
    drawn : array of int64, shape (n_resamples, n_blocks), optional
        How often each block of time is drawn; without it no interval is known.

    Returns
    -------
    array of BUCKET
    """
    n = len(bounds) - 1
    bucket = np.clip(np.searchsorted(bounds, scores, side="right") - 1, 0, n - 1)
    length = horizon_block(horizon, len(gained))
    sums, counts = _by_block(number // length, bucket, gained, n)
    rows = np.zeros(n + 1, dtype=BUCKET)
    rows["horizon"] = name
    rows["low"], rows["high"] = np.append(bounds[:-1], bounds[0]), np.append(bounds[1:], bounds[-1])
    rows["bars"] = counts.sum(axis=0)
    rows["windows"] = _disjoint(number // horizon, bucket, n)
    rows["mean_bp"] = _ratio(sums.sum(axis=0), counts.sum(axis=0))
    rose = np.bincount(bucket, weights=(gained > 0.0).astype(np.float64), minlength=n)
    rows["up_share"] = _ratio(np.append(rose, rose.sum()), counts.sum(axis=0))
    rows["low_bp"], rows["high_bp"] = np.nan, np.nan
    if drawn is not None:
        rows["low_bp"], rows["high_bp"] = _intervals(sums, counts, drawn)
    return rows


def _by_block(
    block: NDArray[np.int64], bucket: NDArray[np.int64], gained: Array, n: int
) -> tuple[Array, NDArray[np.int64]]:
    """Sum and count of the returns of each bucket in each block; the last column is all buckets."""
    rank = np.unique(block, return_inverse=True)[1]
    blocks = int(rank.max()) + 1 if len(rank) else 0
    cell = rank * n + bucket
    sums = np.bincount(cell, weights=gained, minlength=blocks * n).reshape(blocks, n)
    counts = np.bincount(cell, minlength=blocks * n).reshape(blocks, n)
    return np.column_stack((sums, sums.sum(axis=1))), np.column_stack((counts, counts.sum(axis=1)))


def _disjoint(window: NDArray[np.int64], bucket: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """How many disjoint windows hold a bar of each bucket; the last is of any."""
    pairs = np.unique(window * n + bucket)
    return np.append(np.bincount(pairs % n, minlength=n), len(np.unique(window)))


def intervals(sums: Array, counts: NDArray[np.int64], rng: np.random.Generator) -> tuple[Array, Array]:
    """95 % interval of each mean from the spread of resampled means: blocks drawn with replacement, sums over counts.

    Parameters
    ----------
    sums, counts : Array, shape (n_blocks, n_means)
        Of what lies in each block of time.
    rng : Generator

    Returns
    -------
    tuple of Array, shape (n_means,)
        NaN where fewer than LEAST_BLOCKS hold anything.

    Notes
    -----
    Few blocks know their own spread badly, so its multiple is Student's, with the blocks that hold the bucket.
    """
    drawn = blocks_drawn(len(sums), rng)
    if drawn is None:
        return np.full(sums.shape[1], np.nan), np.full(sums.shape[1], np.nan)
    return _intervals(sums, counts, drawn)


def blocks_drawn(blocks: int, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """How often each block is drawn in each resample, shape (RESAMPLES, n_blocks); None below LEAST_BLOCKS."""
    if blocks < LEAST_BLOCKS:
        return None
    return rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=RESAMPLES)


def _intervals(sums: Array, counts: NDArray[np.int64], drawn: NDArray[np.int64]) -> tuple[Array, Array]:
    """Intervals of the means from blocks that were drawn; see `intervals`."""
    from scipy.special import stdtrit

    columns = sums.shape[1]
    low, high = np.full(columns, np.nan), np.full(columns, np.nan)
    for k in range(columns):
        holding = int((counts[:, k] > 0).sum())
        if holding < LEAST_BLOCKS:
            continue
        means = _ratio((drawn * sums[:, k]).sum(axis=1), (drawn * counts[:, k]).sum(axis=1))
        reach = -stdtrit(holding - 1, TAIL) * np.nanstd(means) * np.sqrt(holding / (holding - 1))
        mean = float(sums[:, k].sum() / counts[:, k].sum())
        low[k], high[k] = mean - reach, mean + reach
    return low, high


def _ratio(over: Array, under: NDArray[np.int64]) -> Array:
    """`over / under`, NaN where there is nothing to divide by."""
    ratio = np.full(len(over), np.nan)
    np.divide(over, under, out=ratio, where=under > 0)
    return ratio
