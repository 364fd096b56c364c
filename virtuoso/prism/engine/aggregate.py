"""The arithmetic between component scores and confluence: timeframes, bonus, face, confluence.

1. A stretch of base bars sees each timeframe through an index: `at[k, t]` is the column of `points` that bar t sees on
   timeframe k. Scores of a slow timeframe are neither copied nor repeated, and one bar live is the stretch of length 1.
2. Weighted means are summed in fixed order by one loop a bar, never by a matrix product: a row of `X @ w` differs in
   bits from the same row of a longer X. What is not known takes no part, and its weight is missing from the coverage.
3. What has a negative weight counts as 100 - score, by the size of its weight.
4. The sums of all bars advance row by row: the inner loops are then free of order and run in SIMD lanes, and the bits
   of a bar are those of its own sequence of + - x / sqrt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import inner, kernel
from virtuoso.types import Array

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

LANE = 1_024
"""Bars whose sums advance together: what is held beside them stays in the first cache."""

X, FAST, SLOW, SLOW_KNOWN, CLASSIC, KNOWN, LARGEST, CODE = range(8)
"""Rows of the room in which the sums of a component advance."""

Codes = NDArray[np.int8]
Rows = NDArray[np.int64]
Seen = NDArray[np.uint64]


class ComponentArrays(NamedTuple):
    """Components over their timeframes; every array has shape (n_components, n_bars) or, of one, (n_bars,).

    Attributes
    ----------
    raw_score, score : Array, 0..100
        Before and after divergence.
    divergence_bonus : Array, points
    divergence_kind : array of int8
        Code of divergence.KINDS.
    coverage : Array, 0..1
        Weight of the timeframes that are known.
    """

    raw_score: Array
    score: Array
    divergence_bonus: Array
    divergence_kind: Codes
    coverage: Array

    @classmethod
    def empty(cls, *shape: int) -> ComponentArrays:
        """Room that is yet to be written."""
        raw, score, points, coverage = np.empty((4, *shape))
        return cls(raw, score, points, np.empty(shape, dtype=np.int8), coverage)

    @classmethod
    def unknown(cls, n: int) -> ComponentArrays:
        """One component of which nothing is known."""
        return cls(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n), np.zeros(n, dtype=np.int8), np.zeros(n))


@kernel
def aggregate_timeframes(
    points: Array, strengths: Array, kinds: Array, divergence: Rows, at: Seen, weights: Array, bonused: int,
    raw: Array, score: Array, bonus: Array, kind: Codes, coverage: Array,
) -> None:  # fmt: skip
    """Aggregate components over the ladder, and add what their divergences say.

    Parameters
    ----------
    points : Array, shape (n_components, n_columns)
        Scores on the timeframes of the ladder, one after the other; the last column holds NaN.
    strengths, kinds : Array, shape (n_oscillators, n_columns)
        Classic divergence in the same columns, NaN where not known.
    divergence : array of int64, shape (n_components,)
        Row of a component's divergence in them, -1 if it has none.
    at : array of uint64, shape (n_timeframes, n_bars)
        Column that each bar sees on each timeframe, fastest first.
    weights : Array, shape (n_timeframes,)
    bonused : int
        Number of components, from the first, that divergence touches; gates come after them.
    raw, score, bonus, kind, coverage : Array, shape (n_components, n_bars)
        Written, as in `ComponentArrays`.
    """
    n = at.shape[1]
    room = np.empty((8, min(n, LANE)))
    for begin in range(0, n, LANE):
        end = min(begin + LANE, n)
        for c in range(len(points)):
            mean = raw[c][begin:end]
            _aggregate_scores(points[c], at, begin, weights, room, mean, coverage[c][begin:end])
            if c < bonused:
                _aggregate_divergence(strengths, kinds, divergence[c], at, begin, end, weights, room)
                _add_bonus(room, mean, score[c][begin:end], bonus[c][begin:end], kind[c][begin:end])


@inner
def _aggregate_scores(
    points: Array, at: Seen, begin: int, weights: Array, room: Array, mean: Array, coverage: Array
) -> None:
    """Mean of the known timeframes and its coverage; into the room, how the fastest parts from the slower ones."""
    n = len(mean)
    x, fast, slow, slow_known = room[X][:n], room[FAST][:n], room[SLOW][:n], room[SLOW_KNOWN][:n]
    for t in range(n):
        mean[t], coverage[t], slow[t], slow_known[t] = 0.0, 0.0, 0.0, 0.0
    _gather(points, at[0][begin : begin + n], fast)
    _add(fast, weights[0], mean, coverage)
    for k in range(1, len(weights)):
        _gather(points, at[k][begin : begin + n], x)
        _add(x, weights[k], mean, coverage)
        _add(x, weights[k], slow, slow_known)
    for t in range(n):
        mean[t] = mean[t] / coverage[t] if coverage[t] > 0.0 else np.nan
    for t in range(n):
        there = (fast[t] == fast[t]) & (slow_known[t] > 0.0)
        apart = fast[t] - slow[t] / (slow_known[t] if there else 1.0)
        across = TIMEFRAME_BONUS * apart / np.sqrt(TIMEFRAME_HALF * TIMEFRAME_HALF + apart * apart)
        slow[t] = across if there else 0.0


@inner
def _aggregate_divergence(
    strengths: Array, kinds: Array, row: int, at: Seen, begin: int, end: int, weights: Array, room: Array
) -> None:
    """Into the room, points of classic divergence over the timeframes and the kind of the largest part."""
    n = end - begin
    x, classic, known = room[X][:n], room[CLASSIC][:n], room[KNOWN][:n]
    largest, code = room[LARGEST][:n], room[CODE][:n]
    for t in range(n):
        classic[t], known[t], largest[t], code[t] = 0.0, 0.0, 0.0, 0.0
    for k in range(len(weights) if row >= 0 else 0):
        seen, weight = at[k][begin:end], weights[k]
        _gather(strengths[row], seen, x)
        _add(x, weight, classic, known)
        for t in range(n):  # most bars have no divergence
            part = abs(weight * x[t])
            if part > largest[t]:
                largest[t], code[t] = part, kinds[row, seen[t]]
    for t in range(n):
        classic[t] = BONUS_LIMIT * classic[t] / known[t] if known[t] > 0.0 else 0.0


@inner
def _gather(values: Array, at: Seen, out: Array) -> None:
    """Fetch what each bar sees; alone, so that the arithmetic after it has its values side by side."""
    for t in range(len(at)):
        out[t] = values[at[t]]


@inner
def _add(x: Array, weight: float, total: Array, known: Array) -> None:
    """Add what is known, weighted, and its weight."""
    for t in range(len(x)):
        there = x[t] == x[t]
        total[t] += weight * x[t] if there else 0.0
        known[t] += weight if there else 0.0


@inner
def _add_bonus(room: Array, mean: Array, score: Array, bonus: Array, kind: Codes) -> None:
    """Add both kinds of divergence within their limit and the bounds of a score, and name the larger one."""
    n = len(mean)
    classic, across, code = room[CLASSIC][:n], room[SLOW][:n], room[CODE][:n]
    for t in range(n):
        total = classic[t] + across[t]
        total = -BONUS_LIMIT if total < -BONUS_LIMIT else total
        bonus[t] = BONUS_LIMIT if total > BONUS_LIMIT else total
    for t in range(n):
        moved = mean[t] + bonus[t]
        moved = 0.0 if moved < 0.0 else moved
        score[t] = 100.0 if moved > 100.0 else moved
    for t in range(n):
        slower = 5.0 if across[t] > 0.0 else 6.0
        named = code[t] if (abs(classic[t]) >= abs(across[t])) & (code[t] > 0.0) else slower
        kind[t] = np.int8(0.0 if abs(bonus[t]) < NEGLIGIBLE_BONUS else named)


@kernel
def aggregate_faces(
    raw: Array, score: Array, coverage: Array, face: Rows, share: Array, components: int,
    raw_score: Array, face_score: Array, face_coverage: Array, gate: Array,
) -> None:  # fmt: skip
    """Sum faces: adjusted and raw scores of their components, by weight and by how much of each is known.

    Parameters
    ----------
    raw, score, coverage : Array, shape (n_components + n_gates, n_bars)
        As in `ComponentArrays`; the gates come last.
    face : array of int64, shape (n_components + n_gates,)
        Row of the face each belongs to.
    share : Array, shape (n_components + n_gates,)
        Weight within the face; negative counts as 100 - score.
    components : int
        How many of them are no gates.
    raw_score, face_score, face_coverage : Array, shape (n_faces, n_bars)
        Written.
    gate : Array, shape (n_faces, n_bars)
        Written: share of its reliability that the gates of a face let through, 1 where none is known.
    """
    faces, n = face_score.shape
    for f in range(faces):
        for t in range(n):
            raw_score[f, t], face_score[f, t], face_coverage[f, t], gate[f, t] = 0.0, 0.0, 0.0, 1.0
    for c in range(len(raw)):
        f, size, against = face[c], abs(share[c]), share[c] < 0.0
        for t in range(n):
            x = raw[c, t]
            there = x == x
            if c < components:
                weight = size * coverage[c, t]
                before, after = (100.0 - x, 100.0 - score[c, t]) if against else (x, score[c, t])
                raw_score[f, t] += weight * before if there else 0.0
                face_score[f, t] += weight * after if there else 0.0
                face_coverage[f, t] += weight if there else 0.0
            else:
                gate[f, t] *= x / 100.0 if there else 1.0
    for f in range(faces):
        for t in range(n):
            known = face_coverage[f, t]
            raw_score[f, t] = raw_score[f, t] / known if known > 0.0 else np.nan
            face_score[f, t] = face_score[f, t] / known if known > 0.0 else np.nan


@kernel
def aggregate_confluence(
    raw: Array, score: Array, coverage: Array, gate: Array, weights: Array,
    confluence: Array, raw_confluence: Array, known: Array, agreement: Array, reliability: Array,
) -> None:  # fmt: skip
    """Sum the faces, by weight and by how much of each is known; their agreement and the heuristic reliability.

    agreement = 1 - weighted deviation of the faces / 50; reliability = coverage x agreement x gate x conviction,
    where conviction grows with the distance from 50.

    Parameters
    ----------
    raw, score, coverage, gate : Array, shape (n_faces, n_bars)
    weights : Array, shape (n_faces,)
        Negative counts as 100 - score.
    confluence, raw_confluence, known, agreement, reliability : Array, shape (n_bars,)
        Written; `known` is the weight that is known.
    """
    faces, n = score.shape
    for t in range(n):
        total, total_raw, open_share, weight_known = 0.0, 0.0, 0.0, 0.0
        for f in range(faces):
            x = score[f, t]
            if x == x:
                weight = abs(weights[f]) * coverage[f, t]
                total += weight * (100.0 - x if weights[f] < 0.0 else x)
                total_raw += weight * (100.0 - raw[f, t] if weights[f] < 0.0 else raw[f, t])
                open_share += weight * gate[f, t]
                weight_known += weight
        known[t] = weight_known
        if not weight_known > 0.0:
            confluence[t] = raw_confluence[t] = agreement[t] = reliability[t] = np.nan
            continue
        confluence[t], raw_confluence[t] = total / weight_known, total_raw / weight_known
        spread = 0.0
        for f in range(faces):
            if score[f, t] == score[f, t]:
                apart = (100.0 - score[f, t] if weights[f] < 0.0 else score[f, t]) - confluence[t]
                spread += abs(weights[f]) * coverage[f, t] * apart * apart
        agreement[t] = 1.0 - min(np.sqrt(spread / weight_known) / 50.0, 1.0)
        far = abs(confluence[t] - 50.0)
        conviction = RELUCTANCE + (1.0 - RELUCTANCE) * far / np.sqrt(CONVICTION_HALF * CONVICTION_HALF + far * far)
        reliability[t] = min(weight_known, 1.0) * agreement[t] * (open_share / weight_known) * conviction


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
    participation_of(scores, np.arange(len(scores)), 0, block, out)


@kernel
def participation_of(scores: Array, rows: Rows, first: int, block: int, out: Array) -> None:
    """Find the participation of some rows in the blocks from column `first` on; see `participation`."""
    centred = np.empty((block, (len(rows) + 7) // 8 * 8))
    correlations = np.empty((len(rows), len(rows) + 8))
    for b in range(len(out)):
        varies = 0
        for k in rows:
            here = scores[k][first + b * block : first + (b + 1) * block]
            mean = 0.0
            for t in range(block):
                mean += here[t]
            mean /= block
            size = 0.0
            for t in range(block):
                size += (here[t] - mean) * (here[t] - mean)
            if size > 0.0:
                size = np.sqrt(size)
                for t in range(block):
                    centred[t, varies] = (here[t] - mean) / size
                varies += 1
        for i in range(varies):
            for j in range(0, i, 8):
                _correlate(centred, i, j, correlations[i])
        squares = float(varies)
        for i in range(varies):
            for j in range(i):
                squares += 2.0 * correlations[i, j] * correlations[i, j]
        out[b] = varies * varies / squares if varies else np.nan


@inner
def _correlate(centred: Array, i: int, j: int, out: Array) -> None:
    """Correlation of row i with the eight rows from j on; eight sums at once, each in order of time."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(len(centred)):
        own = centred[t, i]
        a += own * centred[t, j]
        b += own * centred[t, j + 1]
        c += own * centred[t, j + 2]
        d += own * centred[t, j + 3]
        e += own * centred[t, j + 4]
        f += own * centred[t, j + 5]
        g += own * centred[t, j + 6]
        h += own * centred[t, j + 7]
    out[j], out[j + 1], out[j + 2], out[j + 3] = a, b, c, d
    out[j + 4], out[j + 5], out[j + 6], out[j + 7] = e, f, g, h
