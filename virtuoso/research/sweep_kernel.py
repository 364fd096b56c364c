"""Decisions of many configurations at once: where the state of each one's rule changes, bit for bit as in the backtest.

1. The sums of a block of bars (weight x score x coverage) are made for several configurations by one product of
   matrices in single precision. It decides nothing: a sum is trusted only if it lies further from every threshold than
   its rounding can be, whatever the order of summation (`guard_of`).
2. A bar nearer to a threshold is decided from the prism's own arithmetic: the same sums in the same order (blend.py).
3. While a rule is neutral, bars that reach no threshold to enter are passed over eight at a time.

Hysteresis, `max_age` and `min_coverage` are those of `virtuoso.signals.rule`. Nothing is written but changes of state.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.market.columns import Array
from virtuoso.prism.blend import CONVICTION_HALF, RELUCTANCE
from virtuoso.research.panel import BLOCK, Rows, Single

TOGETHER = 8
"""Configurations in one product; with a block of 512 bars small enough for one thread of the library."""
WORD = 8
"""Bars passed over at once."""
EPSILON = 2.0**-24
"""Relative rounding of single precision."""

BULL_ENTER, BULL_LEAVE, BEAR_LEAVE, BEAR_ENTER, MIN_COVERAGE = range(5)
SIDE, SINCE = 0, 1
"""Columns of a state: the side of the rule, and the last bar that reached the threshold to enter it."""


def guard_of(components: int) -> float:
    """Points by which a weighted sum in single precision may be off: every rounding of it, twice."""
    return 2.0 * (components + 8) * EPSILON * 100.0


@njit(cache=True, nogil=True, error_model="numpy")
def decide(
    points: Array, singles: Single, edges: Rows, coverage: Array, face: Rows, shares: Array, face_weights: Array,
    thresholds: Array, age: int, guard: float, first: int, last: int, states: Rows, at: NDArray[np.int32],
    to: NDArray[np.int8], counts: Rows,
) -> None:  # fmt: skip
    """Find where the state of each configuration changes within some blocks of bars.

    Parameters
    ----------
    points, singles, edges, coverage, face
        Of the panel.
    shares : Array, shape (n, n_components)
    face_weights : Array, shape (n, n_faces)
    thresholds : Array, shape (n, 5)
    age : int, bars
        How long an entry lives.
    guard : float, points
    first, last : int
        From which block on, and before which one.
    states : array of int64, shape (n, 2)
        Side and last entry of each configuration; changed, so that the next blocks go on from there.
    at, to, counts : shape (n, n_bars of the blocks), (n, n_bars of the blocks), (n,)
        Written: bars of the changes, the sides they change to, and how many they are.
    """
    n, components = shares.shape
    weights = np.empty((n, components), np.float32)
    for k in range(n):
        for c in range(components):
            weights[k, c] = shares[k, c] * face_weights[k, face[c]]
    counts[:] = 0
    whole, whole_of = np.empty(n), np.full(n, -1)
    sums, hot = np.empty((TOGETHER, BLOCK), np.float32), np.zeros(BLOCK, np.bool_)
    run = np.searchsorted(edges, first * BLOCK, side="right") - 1
    for block in range(first, last):
        stop = min((block + 1) * BLOCK, len(points))
        for begin in range(0, n, TOGETHER):
            end = min(begin + TOGETHER, n)
            np.dot(weights[begin:end], singles[block], sums[: end - begin])
            for k in range(begin, end):
                start, r = block * BLOCK, run
                while start < stop:
                    until = min(edges[r + 1], stop)
                    if whole_of[k] != r:
                        least = thresholds[k, MIN_COVERAGE]
                        whole[k], whole_of[k] = _weight(coverage[r], face, shares[k], face_weights[k], least), r
                    counts[k] = _follow(
                        points, coverage[r], face, shares[k], face_weights[k], thresholds[k], whole[k], age, guard,
                        start, until, sums[k - begin, start - block * BLOCK :], hot, states[k], at[k], to[k], counts[k],
                    )  # fmt: skip
                    start, r = until, r + 1
        while edges[run + 1] <= stop and run + 2 < len(edges):
            run += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _weight(coverage: Array, face: Rows, shares: Array, face_weights: Array, least: float) -> float:
    """Weight that is known over a run, as the prism sums it; -1 where it is too little to go by."""
    total, c = 0.0, 0
    for f in range(len(face_weights)):
        known = 0.0
        while c < len(face) and face[c] == f:
            known += shares[c] * coverage[c]
            c += 1
        if known > 0.0:
            total += face_weights[f] * known
    return total if total > 0.0 and total >= least else -1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    points: Array, coverage: Array, face: Rows, shares: Array, face_weights: Array, thresholds: Array,
    known: float, age: int, guard: float, start: int, stop: int, sums: Single, hot: NDArray[np.bool_], state: Rows,
    at: NDArray[np.int32], to: NDArray[np.int8], count: int,
) -> int:  # fmt: skip
    """Follow the rule of one configuration through bars of one run; gives the number of changes so far."""
    side, since, n = state[SIDE], state[SINCE], stop - start
    if known < 0.0:
        if side != 0:
            at[count], to[count] = start, 0
            count += 1
        state[SIDE] = 0
        return count
    bull_enter, bull_leave = thresholds[BULL_ENTER], thresholds[BULL_LEAVE]
    bear_leave, bear_enter = thresholds[BEAR_LEAVE], thresholds[BEAR_ENTER]
    _heat(sums, n, (bull_enter - guard) * known, (bear_enter + guard) * known, hot)
    words, i, inverse = hot.view(np.uint64), 0, 1.0 / known
    while i < n:
        if side == 0:
            if i % WORD == 0 and words[i // WORD] == 0:
                i += WORD
                continue
            if not hot[i]:
                i += 1
                continue
        value, t, now = sums[i] * inverse, start + i, 0
        near = min(
            min(abs(value - bull_enter), abs(value - bull_leave)), min(abs(value - bear_leave), abs(value - bear_enter))
        )
        if near <= guard:
            value = confluence(points[t], coverage, face, shares, face_weights)[0]
        if value >= bull_enter:
            now, since = 1, t
        elif value <= bear_enter:
            now, since = -1, t
        elif side > 0 and value >= bull_leave and t - since < age:
            now = 1
        elif side < 0 and value <= bear_leave and t - since < age:
            now = -1
        if now != side:
            at[count], to[count] = t, now
            count += 1
            side = now
        i += 1
    state[SIDE], state[SINCE] = side, since
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _heat(sums: Single, n: int, most: float, least: float, hot: NDArray[np.bool_]) -> None:
    """Say which bars may enter; those after the last one may not."""
    high, low = np.float32(most), np.float32(least)
    for i in range(n):
        hot[i] = (sums[i] >= high) | (sums[i] <= low)
    hot[n:] = False


@njit(cache=True, nogil=True, error_model="numpy")
def confluence(points: Array, coverage: Array, face: Rows, shares: Array, face_weights: Array) -> tuple[float, float]:
    """Confluence and known weight of one bar by the prism's own arithmetic (`blend_faces`, `blend_confluence`)."""
    total, whole, c = 0.0, 0.0, 0
    for f in range(len(face_weights)):
        score, known = 0.0, 0.0
        while c < len(face) and face[c] == f:
            weight = shares[c] * coverage[c]
            score += weight * points[c]
            known += weight
            c += 1
        if known > 0.0:
            weight = face_weights[f] * known
            total += weight * (score / known)
            whole += weight
    return total / whole, whole


@njit(cache=True, nogil=True, error_model="numpy")
def reliability(points: Array, coverage: Array, gates: Array, face: Rows, shares: Array, face_weights: Array) -> float:
    """Reliability of one bar by the prism's own arithmetic (`blend_confluence`)."""
    centre, whole = confluence(points, coverage, face, shares, face_weights)
    spread, open_share, c = 0.0, 0.0, 0
    for f in range(len(face_weights)):
        score, known = 0.0, 0.0
        while c < len(face) and face[c] == f:
            weight = shares[c] * coverage[c]
            score += weight * points[c]
            known += weight
            c += 1
        if known > 0.0:
            apart = score / known - centre
            spread += face_weights[f] * known * apart * apart
            open_share += face_weights[f] * known * gates[f]
    agreement = 1.0 - min(np.sqrt(spread / whole) / 50.0, 1.0)
    far = abs(centre - 50.0)
    conviction = RELUCTANCE + (1.0 - RELUCTANCE) * far / np.sqrt(CONVICTION_HALF * CONVICTION_HALF + far * far)
    return float(min(whole, 1.0) * agreement * (open_share / whole) * conviction)
