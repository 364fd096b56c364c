"""Decisions of many configurations at once: where the state of each one's rule changes, bit for bit as in the backtest.

1. The sums of a block of bars (weight x score x coverage) are made for several configurations by one product of
   matrices in single precision. It decides nothing: a sum is trusted only if it lies further from every threshold than
   its rounding can be, whatever the order of summation (`error_bound`).
2. While a rule is neutral, bars that reach no threshold to enter are passed over; while it is not, bars that are
   certain to stay are. Bars are flagged by vector instructions and passed over eight at a time.
3. What counts against has a negative weight in the product, and its sum lacks 100 times that weight (`_mirrored`).
4. A bar nearer to a threshold is decided from the prism's own arithmetic: the same sums in the same order
   (prism/engine/aggregate.py).

Hysteresis, `max_age` and `min_coverage` are those of `virtuoso.signals.rule`, and so is where the thresholds of a run
lie, of which a configuration knows so much (`_widen`). When the threshold to enter was last
reached is looked up where an entry may have lapsed, and at the end of a block. Nothing is written but changes of state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import kernel, uncounted
from virtuoso.prism.engine.aggregate import CONVICTION_HALF, RELUCTANCE
from virtuoso.research.sweep.scores import BLOCK, Rows, Single, Steps
from virtuoso.types import Array

TOGETHER = 8
"""Configurations in one product; with a block of 512 bars small enough for one thread of the library."""
WORD = 8
"""Bars passed over at once."""
EPSILON = 2.0**-24
"""Relative rounding of single precision."""

BULL_ENTER, BULL_LEAVE, BEAR_LEAVE, BEAR_ENTER, MIN_COVERAGE = range(5)
SIDE, SINCE = 0, 1
"""Columns of a state: the side of the rule, and the last bar that reached the threshold to enter it."""

Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]
Sides = NDArray[np.int8]


class Inputs(NamedTuple):
    """What is known of every bar; see `ScoreMatrix`."""

    points: Array
    singles: Single
    edges: Rows
    coverage: Array
    face: Rows


class Candidates(NamedTuple):
    """Configurations, one row each.

    Attributes
    ----------
    shares : Array, shape (n, n_components)
    face_weights : Array, shape (n, n_faces)
    thresholds : Array, shape (n, 5)
    """

    shares: Array
    face_weights: Array
    thresholds: Array


class Changes(NamedTuple):
    """Where the state of each configuration's rule changes; the states go on from one stretch of blocks to the next.

    Attributes
    ----------
    states : array of int64, shape (n, 2)
        SIDE and SINCE.
    at, to : array, shape (n, room)
        Bars of the changes of this stretch, and the sides they change to; with room for every bar.
    counts : array of int64, shape (n,)
        How many they are; more than there is room for where some were not written.
    """

    states: Rows
    at: Steps
    to: Sides
    counts: Rows

    @classmethod
    def none(cls, n: int, room: int) -> Changes:
        """Before the first bar every rule is neutral."""
        at, to = np.empty((n, room), dtype=np.int32), np.empty((n, room), dtype=np.int8)
        return cls(np.zeros((n, 2), dtype=np.int64), at, to, np.zeros(n, dtype=np.int64))


class Scratch(NamedTuple):
    """What is worked on: the sums of a block, and flags of the bars that may enter (hot) or may leave (loose)."""

    sums: Single
    hot: Flags
    hot_words: Words
    loose: Flags
    loose_words: Words


def error_bound(components: int) -> float:
    """Points by which a weighted sum in single precision may be off: every rounding of it, twice."""
    return 2.0 * (components + 8) * EPSILON * 100.0


@kernel
def decide(
    inputs: Inputs, candidates: Candidates, age: int, bound: float, first: int, last: int, lead: int, changes: Changes
) -> None:
    """Find where the state of each configuration changes within some blocks of bars.

    Parameters
    ----------
    inputs : Inputs
    candidates : Candidates
    age : int, bars
        How long an entry lives.
    bound : float, points
    first, last : int
        From which block on, and before which one.
    lead : int
        Bars that are only remembered: changes before it are not written, and bars are counted from it.
    changes : Changes
        Written.
    """
    n, components = candidates.shares.shape
    weights, sums = np.empty((n, components), np.float32), np.empty((TOGETHER, BLOCK), np.float32)
    for k in range(n):
        for c in range(components):
            weights[k, c] = candidates.shares[k, c] * candidates.face_weights[k, inputs.face[c]]
    hot, loose = np.zeros(BLOCK // WORD, np.uint64), np.zeros(BLOCK // WORD, np.uint64)
    scratch = Scratch(sums, hot.view(np.bool_), hot, loose.view(np.bool_), loose)
    known, mirrored, known_of = np.empty(n), np.empty(n), np.full(n, -1)
    limits, singles = np.empty((n, MIN_COVERAGE)), inputs.singles
    run, edges = int(np.searchsorted(inputs.edges, first * BLOCK, side="right")) - 1, inputs.edges
    changes.counts[:] = 0
    for block in range(first, last):
        end = min((block + 1) * BLOCK, len(inputs.points))
        for lot in range(0, n, TOGETHER):
            np.dot(weights[lot : lot + TOGETHER], singles[block], sums[: min(TOGETHER, n - lot)])
            _decide_lot(
                inputs,
                candidates,
                age,
                bound,
                block * BLOCK,
                end,
                run,
                lot,
                lead,
                known,
                mirrored,
                known_of,
                limits,
                scratch,
                changes,
            )
        while edges[run + 1] <= end and run + 2 < len(edges):
            run += 1


@uncounted
def _decide_lot(
    inputs: Inputs, candidates: Candidates, age: int, bound: float, begin: int, end: int, run: int, lot: int, lead: int,
    known: Array, mirrored: Array, known_of: Rows, limits: Array, scratch: Scratch, changes: Changes,
) -> None:  # fmt: skip
    """Follow the rules of the configurations whose sums over a block were made together."""
    for k in range(lot, min(lot + TOGETHER, len(candidates.shares))):
        start, r, sums = begin, run, scratch.sums[k - lot]
        while start < end:
            stop = min(inputs.edges[r + 1], end)
            if known_of[k] != r:
                known[k], known_of[k] = _weight(inputs, candidates, k, r), r
                mirrored[k] = _mirrored(inputs, candidates, k, r)
                _widen(candidates.thresholds[k], known[k], limits[k])
            most, least = limits[k, BULL_ENTER] - bound, limits[k, BEAR_ENTER] + bound
            most, least = most * known[k] - mirrored[k], least * known[k] - mirrored[k]
            if _heat(sums, most, least, scratch.hot) or changes.states[k, SIDE] != 0:
                _follow(
                    inputs,
                    candidates,
                    limits[k],
                    scratch,
                    sums,
                    changes,
                    k,
                    r,
                    known[k],
                    mirrored[k],
                    age,
                    bound,
                    begin,
                    start,
                    stop,
                    lead,
                )
            start, r = stop, r + 1


@uncounted
def _weight(inputs: Inputs, candidates: Candidates, k: int, r: int) -> float:
    """Weight that is known over a run, as the prism sums it; -1 where it is too little to go by."""
    face, coverage, shares, total, c = inputs.face, inputs.coverage, candidates.shares, 0.0, 0
    for f in range(candidates.face_weights.shape[1]):
        known = 0.0
        while c < len(face) and face[c] == f:
            known += abs(shares[k, c]) * coverage[r, c]
            c += 1
        if known > 0.0:
            total += abs(candidates.face_weights[k, f]) * known
    return total if total > 0.0 and total >= candidates.thresholds[k, MIN_COVERAGE] else -1.0


@uncounted
def _mirrored(inputs: Inputs, candidates: Candidates, k: int, r: int) -> float:
    """What a sum over a run lacks of weight x (100 - score): 100 times the weight that counts against."""
    total = 0.0
    for c in range(len(inputs.face)):
        weight = candidates.shares[k, c] * candidates.face_weights[k, inputs.face[c]]
        if weight < 0.0:
            total -= 100.0 * weight * inputs.coverage[r, c]
    return total


@uncounted
def _widen(thresholds: Array, known: float, limits: Array) -> None:
    """Where the thresholds lie while so much is known (`virtuoso.signals.rule.widened`)."""
    root = np.sqrt(known) if known > 0.0 else 1.0
    for limit in range(MIN_COVERAGE):
        limits[limit] = 50.0 + (thresholds[limit] - 50.0) / root


@uncounted
def _follow(
    inputs: Inputs, candidates: Candidates, limits: Array, scratch: Scratch, sums: Single, changes: Changes, k: int,
    r: int, known: float, mirrored: float, age: int, bound: float, begin: int, start: int, stop: int, lead: int,
) -> None:  # fmt: skip
    """Follow the rule of one configuration through the bars [start, stop) of one run and one block."""
    side, since = changes.states[k, SIDE], changes.states[k, SINCE]
    i, n = start - begin, stop - begin
    if known < 0.0:
        if side != 0:
            _change(changes, k, start - lead, 0)
        return
    if side != 0:
        _loosen(sums[:n], i, side, limits, known, mirrored, bound, scratch.loose)
    while True:
        if side == 0:
            i = _next(scratch.hot, scratch.hot_words, i, n)
        else:
            i, since = _stay(
                inputs, candidates, limits, scratch, sums, k, r, known, mirrored, age, bound, begin, start, i, n, side,
                since,
            )  # fmt: skip
        if i >= n:
            break
        t, now = begin + i, 0
        value = _value(inputs, candidates, limits, k, r, t, (sums[i] + mirrored) / known, bound)
        if value >= limits[BULL_ENTER]:
            now, since = 1, t
        elif value <= limits[BEAR_ENTER]:
            now, since = -1, t
        elif side > 0 and value >= limits[BULL_LEAVE] and t - since < age:
            now = 1
        elif side < 0 and value <= limits[BEAR_LEAVE] and t - since < age:
            now = -1
        i += 1
        if now != side:
            side = now
            _change(changes, k, t - lead, side)
            if side != 0:
                _loosen(sums[:n], i, side, limits, known, mirrored, bound, scratch.loose)
    changes.states[k, SINCE] = since


@uncounted
def _change(changes: Changes, k: int, t: int, side: int) -> None:
    """Change the state of a rule; what changes before the first bar is remembered and not written."""
    changes.states[k, SIDE] = side
    if t >= 0:
        n = changes.counts[k]
        if n < changes.at.shape[1]:
            changes.at[k, n], changes.to[k, n] = t, side
        changes.counts[k] = n + 1


@uncounted
def _heat(sums: Single, most: float, least: float, hot: Flags) -> bool:
    """Flag the bars that may enter; says whether there are any."""
    high, low, found = np.float32(most), np.float32(least), False
    for i in range(len(sums)):
        hot[i] = (sums[i] >= high) | (sums[i] <= low)
        found |= hot[i]
    return found


@uncounted
def _loosen(
    sums: Single, start: int, side: int, limits: Array, known: float, mirrored: float, bound: float, loose: Flags
) -> None:
    """Flag the bars from one on that may leave a side."""
    sign, leave = np.float32(side), limits[BULL_LEAVE] if side > 0 else -limits[BEAR_LEAVE]
    rest, flags, least = sums[start:], loose[start:], np.float32((leave + bound) * known - side * mirrored)
    for i in range(len(rest)):
        flags[i] = sign * rest[i] <= least


@uncounted
def _next(flags: Flags, words: Words, i: int, n: int) -> int:
    """First flagged bar from i on, or n."""
    while i < n and not flags[i]:
        i += 1
        if i % WORD == 0:
            while i < n and words[i // WORD] == 0:
                i += WORD
    return min(i, n)


@uncounted
def _stay(
    inputs: Inputs, candidates: Candidates, limits: Array, scratch: Scratch, sums: Single, k: int, r: int, known: float,
    mirrored: float, age: int, bound: float, begin: int, start: int, i: int, n: int, side: int, since: int,
) -> tuple[int, int]:  # fmt: skip
    """First bar from i on that may leave a side, or n; and the last bar that is known to have entered it before.

    Entries are looked for from the start of the run on: between them and i there may be a bar that nearly left.
    """
    loose = _next(scratch.loose, scratch.loose_words, i, n)
    while True:
        lapses = since + age - begin
        if loose < n and loose < lapses:
            return loose, since
        end = min(loose, lapses)
        first = max(since + 1, start) - begin
        last = _last_entry(
            inputs, candidates, limits, scratch, sums, k, r, known, mirrored, bound, begin, first, end, side
        )
        if last < 0:
            return end, since
        since = begin + last
        if end == n:
            return n, since


@uncounted
def _last_entry(
    inputs: Inputs, candidates: Candidates, limits: Array, scratch: Scratch, sums: Single, k: int, r: int, known: float,
    mirrored: float, bound: float, begin: int, first: int, end: int, side: int,
) -> int:  # fmt: skip
    """Last bar of [first, end) that reaches the threshold to enter a side, or -1; no bar may reach the other one."""
    i = end
    while i > first:
        if i % WORD == 0 and i - WORD >= first and scratch.hot_words[i // WORD - 1] == 0:
            i -= WORD
            continue
        i -= 1
        if scratch.hot[i]:
            value = _value(inputs, candidates, limits, k, r, begin + i, (sums[i] + mirrored) / known, bound)
            if value >= limits[BULL_ENTER] if side > 0 else value <= limits[BEAR_ENTER]:
                return i
    return -1


@uncounted
def _value(
    inputs: Inputs, candidates: Candidates, limits: Array, k: int, r: int, t: int, value: float, bound: float
) -> float:  # fmt: skip
    """Confluence of a bar, as the prism has it where single precision cannot tell on which side of a threshold."""
    near = np.inf
    for limit in range(MIN_COVERAGE):
        near = min(near, abs(value - limits[limit]))
    if near > bound:
        return value
    return confluence(
        inputs.points[t], inputs.coverage[r], inputs.face, candidates.shares[k], candidates.face_weights[k]
    )[0]


@uncounted
def confluence(points: Array, coverage: Array, face: Rows, shares: Array, face_weights: Array) -> tuple[float, float]:
    """Confluence and known weight of one bar, by the arithmetic of `aggregate_faces` and `aggregate_confluence`."""
    total, whole, c = 0.0, 0.0, 0
    for f in range(len(face_weights)):
        score, known = 0.0, 0.0
        while c < len(face) and face[c] == f:
            weight = abs(shares[c]) * coverage[c]
            score += weight * (100.0 - points[c] if shares[c] < 0.0 else points[c])
            known += weight
            c += 1
        if known > 0.0:
            weight, score = abs(face_weights[f]) * known, score / known
            total += weight * (100.0 - score if face_weights[f] < 0.0 else score)
            whole += weight
    return total / whole, whole


@uncounted
def reliability(points: Array, coverage: Array, gates: Array, face: Rows, shares: Array, face_weights: Array) -> float:
    """Reliability of one bar by the prism's own arithmetic (`aggregate_confluence`)."""
    centre, whole = confluence(points, coverage, face, shares, face_weights)
    spread, open_share, c = 0.0, 0.0, 0
    for f in range(len(face_weights)):
        score, known = 0.0, 0.0
        while c < len(face) and face[c] == f:
            weight = abs(shares[c]) * coverage[c]
            score += weight * (100.0 - points[c] if shares[c] < 0.0 else points[c])
            known += weight
            c += 1
        if known > 0.0:
            score /= known
            apart = (100.0 - score if face_weights[f] < 0.0 else score) - centre
            spread += abs(face_weights[f]) * known * apart * apart
            open_share += abs(face_weights[f]) * known * gates[f]
    agreement = 1.0 - min(np.sqrt(spread / whole) / 50.0, 1.0)
    far = abs(centre - 50.0)
    conviction = RELUCTANCE + (1.0 - RELUCTANCE) * far / np.sqrt(CONVICTION_HALF * CONVICTION_HALF + far * far)
    return float(min(whole, 1.0) * agreement * (open_share / whole) * conviction)
