"""The arithmetic between component scores and confluence: timeframes, bonus, face, confluence.

Weighted means are summed in fixed order by one loop a bar, never by a matrix product: a row of `X @ w` differs in
bits from the same row of a longer X. What is not known takes no part, and its weight is missing from the coverage.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.market.columns import Array

BONUS_LIMIT = 10.0
"""Points that divergence may add or take at most."""
TIMEFRAME_BONUS = 3.0
TIMEFRAME_HALF = 40.0
"""Distance between fast and slow scores, in points, at which their bonus is 0.71 of its limit."""
NEGLIGIBLE_BONUS = 0.5
"""Below this many points no divergence is named."""
RELUCTANCE = 0.25
"""Reliability of a finding at 50 as a share of one at the edge."""
CONVICTION_HALF = 15.0

Codes = NDArray[np.int8]


@njit(cache=True, nogil=True)
def blend(scores: Array, weights: Array, mean: Array, coverage: Array) -> None:
    """Mean of the known rows, and the share of the weight that is known.

    Parameters
    ----------
    scores : Array, shape (n_rows, n_bars)
    weights : Array, shape (n_rows, n_bars) or (n_rows, 1)
        Weight of each row; of each bar where rows are themselves partly known.
    mean, coverage : Array, shape (n_bars,)
        Written.
    """
    rows, n = scores.shape
    own = weights.shape[1] > 1
    for t in range(n):
        total = 0.0
        known = 0.0
        for k in range(rows):
            weight = weights[k, t] if own else weights[k, 0]
            if not np.isnan(scores[k, t]):
                total += weight * scores[k, t]
                known += weight
        mean[t] = total / known if known > 0.0 else np.nan
        coverage[t] = known


@njit(cache=True, nogil=True)
def bonus(scores: Array, strengths: Array, kinds: Array, weights: Array, points: Array, code: Codes) -> None:
    """Points of divergence: classic on every timeframe, and the fastest score against the slower ones.

    Parameters
    ----------
    scores : Array, shape (n_timeframes, n_bars)
        Fastest first.
    strengths, kinds : Array, shape (n_timeframes, n_bars) or (0, n_bars)
        Of classic divergence, NaN where not known; no row for a component without it.
    weights : Array, shape (n_timeframes,)
    points : Array, shape (n_bars,)
        Written: -BONUS_LIMIT..BONUS_LIMIT.
    code : array of int8, shape (n_bars,)
        Written: code of divergence.KINDS of the largest part.
    """
    rows, n = scores.shape
    classic_rows = strengths.shape[0]
    for t in range(n):
        classic = 0.0
        known = 0.0
        largest = 0.0
        kind = 0
        for k in range(classic_rows):
            strength = strengths[k, t]
            if strength == strength:
                part = weights[k] * strength
                classic += part
                known += weights[k]
                if abs(part) > largest:
                    largest, kind = abs(part), int(kinds[k, t])
        if known > 0.0:
            classic = BONUS_LIMIT * classic / known
        across = 0.0
        fast = scores[0, t]
        if fast == fast:
            slow = 0.0
            slow_known = 0.0
            for k in range(1, rows):
                if scores[k, t] == scores[k, t]:
                    slow += weights[k] * scores[k, t]
                    slow_known += weights[k]
            if slow_known > 0.0:
                apart = fast - slow / slow_known
                across = TIMEFRAME_BONUS * apart / np.sqrt(TIMEFRAME_HALF * TIMEFRAME_HALF + apart * apart)
        total = min(max(classic + across, -BONUS_LIMIT), BONUS_LIMIT)
        points[t] = total
        if abs(total) < NEGLIGIBLE_BONUS:
            code[t] = 0
        elif abs(classic) >= abs(across) and kind > 0:
            code[t] = kind
        else:
            code[t] = 5 if across > 0.0 else 6


@njit(cache=True, nogil=True)
def trust(faces: Array, weights: Array, coverage: Array, confluence: Array, gate: Array,
          agreement: Array, reliability: Array) -> None:  # fmt: skip
    """Agreement of the known faces, and the heuristic reliability.

    agreement = 1 - weighted deviation of the faces / 50; reliability = coverage x agreement x gate x conviction,
    where conviction grows with the distance from 50.

    Parameters
    ----------
    faces, weights : Array, shape (n_faces, n_bars)
        Face scores and their effective weights, which sum to the coverage.
    coverage, confluence, gate : Array, shape (n_bars,)
    agreement, reliability : Array, shape (n_bars,)
        Written, 0..1.
    """
    rows, n = faces.shape
    for t in range(n):
        if np.isnan(confluence[t]):
            agreement[t] = np.nan
            reliability[t] = np.nan
            continue
        spread = 0.0
        for k in range(rows):
            if not np.isnan(faces[k, t]):
                apart = faces[k, t] - confluence[t]
                spread += weights[k, t] * apart * apart
        agreement[t] = 1.0 - min(np.sqrt(spread / coverage[t]) / 50.0, 1.0)
        far = abs(confluence[t] - 50.0)
        conviction = RELUCTANCE + (1.0 - RELUCTANCE) * far / np.sqrt(CONVICTION_HALF * CONVICTION_HALF + far * far)
        reliability[t] = min(coverage[t], 1.0) * agreement[t] * gate[t] * conviction


@njit(cache=True, nogil=True)
def participation(scores: Array, block: int, out: Array) -> None:
    """Effective number of independent rows in each block: m^2 / sum of squared correlations of rows that vary.

    Source: the participation ratio of the eigenvalues of the correlation matrix, (sum l)^2 / sum l^2.

    Parameters
    ----------
    scores : Array, shape (n_rows, n_blocks * block)
        A row takes part in a block where it is known throughout.
    block : int, bars
    out : Array, shape (n_blocks,)
        Written; NaN where no row is known and varies.
    """
    rows = scores.shape[0]
    centred = np.empty((rows, block))
    for b in range(len(out)):
        varies = 0
        for k in range(rows):
            mean = 0.0
            for t in range(b * block, (b + 1) * block):
                mean += scores[k, t]
            mean /= block
            size = 0.0
            for t in range(b * block, (b + 1) * block):
                size += (scores[k, t] - mean) * (scores[k, t] - mean)
            if size > 0.0:
                size = np.sqrt(size)
                for t in range(block):
                    centred[varies, t] = (scores[k, b * block + t] - mean) / size
                varies += 1
        squares = float(varies)
        for i in range(varies):
            for j in range(i):
                correlation = 0.0
                for t in range(block):
                    correlation += centred[i, t] * centred[j, t]
                squares += 2.0 * correlation * correlation
        out[b] = varies * varies / squares if varies else np.nan
