"""The aggregator: a prism laid over a workspace, looked up once, from the values of components to the confluence.

1. Every component and gate whose columns are there has a row; on each timeframe of the ladder its buffer is known.
2. A stretch of base bars takes the scores of the bars it sees, timeframe by timeframe, into one matrix, and three
   kernels (aggregate.py) aggregate timeframes, faces and confluence. There is no second path: five years are stretches
   of CHUNK bars, one bar live is a stretch of one.
3. A live bar sees most slow bars again: their scores are kept until the next one closes.
4. Where weights differ by regime, a stretch is summed once a set of weights that holds in it, and each bar takes the
   sums of its own regime.
5. Of a long history only faces and confluence are aggregated at once. A component's own arrays are made when they are
   asked for, by the same kernel, from its values, which stay; what features found is forgotten on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from virtuoso.market.gaps import BRIDGED
from virtuoso.prism.component import Component
from virtuoso.prism.engine.aggregate import (
    ComponentArrays,
    Rows,
    Seen,
    aggregate_confluence,
    aggregate_faces,
    aggregate_timeframes,
    participation_of,
)
from virtuoso.prism.engine.alignment import positions, span
from virtuoso.prism.engine.buffers import NodeBuffer
from virtuoso.prism.engine.cache import AggregateCache
from virtuoso.prism.engine.graph import rows_of
from virtuoso.prism.engine.regimes import regimes_at
from virtuoso.prism.engine.workspace import THREADS, Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import Linear, Squash
from virtuoso.prism.words import REGIMES
from virtuoso.types import Array

CHUNK = 16_384
"""Bars assembled at once: what lies between component and confluence stays in the processor's cache."""


def is_long(start: int, stop: int) -> bool:
    """Whether of the base bars [start, stop) only faces and confluence are held."""
    return stop - start > CHUNK


class Aggregated(NamedTuple):
    """Faces and confluence of a stretch of base bars.

    Attributes
    ----------
    rows : Array, shape (4 n_faces + 6, n_bars)
        All that follows, one below the other.
    raw_score, score, coverage, gate : Array, shape (n_faces, n_bars)
    confluence, raw_confluence, known, agreement, reliability, effective_inputs : Array, shape (n_bars,)
    parts : ComponentArrays or None
        Components, then gates, shape (n_rows, n_bars); None where the stretch is long.
    """

    rows: Array
    raw_score: Array
    score: Array
    coverage: Array
    gate: Array
    confluence: Array
    raw_confluence: Array
    known: Array
    agreement: Array
    reliability: Array
    effective_inputs: Array
    parts: ComponentArrays | None

    @classmethod
    def empty(cls, faces: int, n: int, parts: ComponentArrays | None = None) -> Aggregated:
        """Room that is yet to be written."""
        rows = np.empty((4 * faces + 6, n))
        a, b = rows[: 4 * faces].reshape(4, faces, n), rows[4 * faces :]
        return cls(rows, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], b[4], b[5], parts)


class AlignedScores(NamedTuple):
    """What a stretch of base bars sees: the input of `aggregate_timeframes`, described there."""

    points: Array
    strengths: Array
    kinds: Array
    at: Seen
    sets: Rows | None = None
    """Of a prism that weighs by regime: which set of weights holds at each base bar."""


class Aggregator:
    """A prism laid over a workspace.

    Parameters
    ----------
    prism : Prism
    workspace : Workspace

    Attributes
    ----------
    row_of : dict of Component to int
        Row of each component that is there.
    """

    def __init__(self, prism: Prism, workspace: Workspace) -> None:
        ladder = prism.ladder(workspace.frame.timeframe)
        self.timeframes = [timeframe for timeframe, _ in ladder]
        self.weights = np.array([weight for _, weight in ladder])
        self.face_weights = np.array([prism.face_weights[face.name] for face in prism.faces])
        components, gates = rows_of(prism, workspace.frame.base.columns)
        rows = [*components, *gates]
        self.row_of = {row.node: c for c, row in enumerate(components)}
        self.components = len(components)
        self.rows = [row.node for row in rows]
        self.face = np.array([row.face for row in rows], dtype=np.int64)
        self.share = np.array([row.share for row in rows])
        self._all = range(len(self.rows))
        self._sets = [(self.share, self.face_weights)]
        """Shares and weights of faces: where no regime says otherwise, then of each regime that does."""
        self._set_of = np.zeros(len(REGIMES) + 1, dtype=np.int64)
        """Which of them holds in a regime, by its code; where it is not known the first, which stands last."""
        for regime in prism.by_regime:
            own = prism.in_regime(regime)
            shares = np.array([row.share for kind in rows_of(own, workspace.frame.base.columns) for row in kind])
            self._set_of[REGIMES.index(regime)] = len(self._sets)
            self._sets.append((shares, np.array([own.face_weights[face.name] for face in own.faces])))
        self._prism = prism
        self._inputs = np.flatnonzero(np.any([shares != 0.0 for shares, _ in self._sets], axis=0))
        divergences = {c: row.divergence for c, row in enumerate(rows) if row.divergence is not None}
        self._oscillators = list(divergences)
        self.divergence = np.full(len(self.rows), -1, dtype=np.int64)
        self.divergence[self._oscillators] = np.arange(len(self._oscillators))
        self._buffers = [workspace.buffers(timeframe) for timeframe in self.timeframes]
        self._buffers_of = [[buffers.of(row) for row in self.rows] for buffers in self._buffers]
        self._divergences = [
            [buffers.of(divergence) for divergence in divergences.values()] for buffers in self._buffers
        ]
        self._own = frozenset(buffer for buffers in self._buffers_of for buffer in buffers)
        self._cached = self._own.union(*self._divergences)
        self._everything = [[*own, *found] for own, found in zip(self._buffers_of, self._divergences, strict=True)]
        self._computed = [(0, 0, 0)] * len(ladder)
        self._scorers = [_scorer(component) for component in self.rows]
        self._last = self._room(len(ladder) + 1, 1)
        self._last_numbers = [-1] * len(ladder)
        self._participation: dict[int, float] = {}

    def compute(self, workspace: Workspace, a: int, b: int) -> None:
        """Evaluate everything that the base bars [a, b) see."""
        for k, timeframe in enumerate(self.timeframes):
            seen = span(workspace, timeframe, a, b)
            if (*seen, workspace.evictions) != self._computed[k]:
                for buffer in self._everything[k]:
                    workspace.compute(buffer, self._buffers[k], *seen)
                self._computed[k] = (*seen, workspace.evictions)

    def assemble(
        self,
        workspace: Workspace,
        start: int,
        stop: int,
        progress: Callable[[int, int], None] | None = None,
        kept: AggregateCache | None = None,
    ) -> Aggregated:
        """Faces and confluence of the base bars [start, stop): the same for five years and for one bar.

        Parameters
        ----------
        workspace : Workspace
        start, stop : int
        progress : callable, optional
            `callback(done, total)`, in bars.
        kept : AggregateCache, optional
            Where faces and confluence of a long stretch are kept between runs.
        """
        if stop <= start:
            return Aggregated.empty(len(self.face_weights), 0, ComponentArrays.empty(len(self.rows), 0))
        if is_long(start, stop):
            return self._long_stretch(workspace, start, stop, progress, kept)
        return self.stretch(workspace, start, stop)

    def stretch(self, workspace: Workspace, start: int, stop: int) -> Aggregated:
        """Everything about the base bars [start, stop)."""
        self.compute(workspace, start, stop)
        aligned = (
            self._align_one(workspace, start) if stop - start == 1 else self._align(workspace, start, stop, self._all)
        )
        found = self._aggregate(aligned, start, stop)
        self._independence(workspace, start, stop, found.effective_inputs)
        return found

    def _long_stretch(
        self,
        workspace: Workspace,
        start: int,
        stop: int,
        progress: Callable[[int, int], None] | None,
        kept: AggregateCache | None,
    ) -> Aggregated:
        """Faces and confluence of the base bars [start, stop): what another run has kept, and the rest aggregated."""
        found = Aggregated.empty(len(self.face_weights), stop - start)

        def report(done: int) -> None:
            if progress is not None:
                progress(done - start, stop - start)

        for a, b in kept.files if kept is not None else [(start, stop)]:
            rows = found.rows[:, a - start : b - start]
            if kept is None or not kept.read(a, b, rows):
                self._aggregate_chunks(workspace, a, b, rows, report, self._cached if kept is not None else self._own)
                if kept is not None:
                    kept.write(a, b, rows)
            report(b)
        return found

    def _aggregate_chunks(
        self,
        workspace: Workspace,
        start: int,
        stop: int,
        rows: Array,
        report: Callable[[int], None],
        spared: frozenset[NodeBuffer],
    ) -> None:
        """Write faces and confluence of the base bars [start, stop), chunk by chunk.

        Each chunk is made of its own bars, so a thread may aggregate one while the next is computed.
        """

        def aggregate(a: int, b: int, aligned: AlignedScores) -> None:
            self._align_scores(workspace, a, b, self._all, aligned)
            chunk = self._aggregate(aligned, a, b)
            rows[:-1, a - start : b - start] = chunk.rows[:-1]

        with ThreadPoolExecutor(THREADS) as pool:
            aggregating = []
            for a, b in self._computed_chunks(workspace, start, stop, self._everything, spared):
                aligned = self._align_divergences(workspace, a, b, self._all)  # now: they may be evicted with the chunk
                aggregating.append(pool.submit(aggregate, a, b, aligned))
                report(a)
            for waiting in aggregating:
                waiting.result()
        self._independence(workspace, start, stop, rows[-1])

    def component(
        self, workspace: Workspace, row: int, start: int, stop: int, *, divergence: bool = True
    ) -> ComponentArrays:
        """One component over the base bars [start, stop); without its divergence, where that is not looked at."""
        out = ComponentArrays.empty(stop - start)
        own, found = [[buffers[row]] for buffers in self._buffers_of], np.array([-1])
        if divergence and self.divergence[row] >= 0:
            own = [[*mine, both[self.divergence[row]]] for mine, both in zip(own, self._divergences, strict=True)]
            found[0] = 0
        for a, b in self._computed_chunks(workspace, start, stop, own, self._own):
            part = self._aggregate_timeframes(self._align(workspace, a, b, [row], divergence), found, 1)
            for name, values in part._asdict().items():
                getattr(out, name)[a - start : b - start] = values[0]
        return out

    def _computed_chunks(
        self,
        workspace: Workspace,
        start: int,
        stop: int,
        wanted: Sequence[Sequence[NodeBuffer]],
        spared: frozenset[NodeBuffer],
    ) -> Iterator[tuple[int, int]]:
        """The base bars [start, stop) in chunks, some buffers of each timeframe computed on each.

        What is not spared is evicted as they go; of that the last bars alone see the end.
        """
        workspace.load_cache()
        for k, timeframe in enumerate(self.timeframes):
            whole = span(workspace, timeframe, start, stop)
            for buffer in wanted[k]:
                buffer.make_room(self._buffers[k], *(whole if buffer in spared else (whole[0], whole[0] + 1)))
        for a, b in _chunks(start, stop):
            for k, timeframe in enumerate(self.timeframes):
                seen = span(workspace, timeframe, a, b)
                for buffer in wanted[k]:
                    workspace.compute(buffer, self._buffers[k], *seen)
            yield a, b
            workspace.evict(b, spared)

    def _aggregate(self, aligned: AlignedScores, a: int, b: int) -> Aggregated:
        """Everything but the effective inputs of the base bars [a, b), as they see it."""
        self._participate(aligned.points, a, b)
        parts = self._aggregate_timeframes(aligned, self.divergence, self.components)
        if aligned.sets is None:
            return self._summed(parts, 0)
        first, *others = np.unique(aligned.sets).tolist()
        found = self._summed(parts, first)
        for other in others:
            here = aligned.sets == other
            found.rows[:, here] = self._summed(parts, other).rows[:, here]
        return found

    def _summed(self, parts: ComponentArrays, which: int) -> Aggregated:
        """Faces and confluence by one set of weights."""
        shares, face_weights = self._sets[which]
        found = Aggregated.empty(len(face_weights), parts.score.shape[1], parts)
        aggregate_faces(
            parts.raw_score, parts.score, parts.coverage, self.face, shares, self.components,
            found.raw_score, found.score, found.coverage, found.gate,
        )  # fmt: skip
        aggregate_confluence(
            found.raw_score, found.score, found.coverage, found.gate, face_weights,
            found.confluence, found.raw_confluence, found.known, found.agreement, found.reliability,
        )  # fmt: skip
        return found

    def sets_at(self, workspace: Workspace, numbers: Rows) -> Rows | None:
        """Return which set of weights holds at some base bars, in increasing order; None where there is but one."""
        return None if len(self._sets) == 1 else self._set_of[regimes_at(self._prism, workspace, numbers)]

    def weights_at(self, workspace: Workspace, numbers: Rows) -> Array:
        """Return the weights of the faces at some base bars, in increasing order, shape (n_faces, n)."""
        sets, weights = self.sets_at(workspace, numbers), np.array([own for _, own in self._sets])
        found: Array = weights[np.zeros(len(numbers), dtype=np.int64) if sets is None else sets].T
        return found

    def _aggregate_timeframes(self, aligned: AlignedScores, divergence: Rows, components: int) -> ComponentArrays:
        """Aggregate what is seen of some rows, of which so many are components."""
        out = ComponentArrays.empty(len(aligned.points), aligned.at.shape[1])
        aggregate_timeframes(
            aligned.points, aligned.strengths, aligned.kinds, divergence, aligned.at, self.weights, components,
            out.raw_score, out.score, out.divergence_bonus, out.divergence_kind, out.coverage,
        )  # fmt: skip
        return out

    def _align(
        self, workspace: Workspace, a: int, b: int, rows: range | list[int], divergence: bool = True
    ) -> AlignedScores:
        """Scores and divergences of some rows as the base bars [a, b) see them."""
        aligned = self._align_divergences(workspace, a, b, rows, divergence)
        self._align_scores(workspace, a, b, rows, aligned)
        return aligned

    def _align_divergences(
        self, workspace: Workspace, a: int, b: int, rows: range | list[int], divergence: bool = True
    ) -> AlignedScores:
        """Room for what the base bars [a, b) see of some rows, with their divergences in it where they are wanted."""
        spans = [span(workspace, timeframe, a, b) for timeframe in self.timeframes]
        width = sum(stop - start for start, stop in spans) + 1
        oscillators = [row for row in rows if divergence and self.divergence[row] >= 0]
        aligned, begin = self._room(width, b - a, len(rows), len(oscillators)), 0
        for k, (start, stop) in enumerate(spans):
            there = slice(begin, begin := begin + stop - start)
            for place, row in enumerate(oscillators):
                found = self._divergences[k][self.divergence[row]].between(start, stop)
                aligned.strengths[place, there], aligned.kinds[place, there] = found
        return aligned._replace(sets=self.sets_at(workspace, np.arange(a, b)) if rows is self._all else None)

    def _align_scores(
        self, workspace: Workspace, a: int, b: int, rows: range | list[int], aligned: AlignedScores
    ) -> None:
        """Write which bars of each timeframe the base bars [a, b) see, and the scores of some rows there."""
        width, begin = aligned.points.shape[1], 0
        for k, timeframe in enumerate(self.timeframes):
            start, stop = span(workspace, timeframe, a, b)
            position, silent = positions(workspace, timeframe, a, b, start)
            aligned.at[k] = np.where(silent, width - 1, position + begin)
            there = slice(begin, begin := begin + stop - start)
            for place, row in enumerate(rows):
                (values,) = self._buffers_of[k][row].between(start, stop)
                aligned.points[place, there] = self.rows[row].score(values)

    def _align_one(self, workspace: Workspace, number: int) -> AlignedScores:
        """Scores and divergences as one base bar sees them: a column a timeframe, written when its bar is another."""
        aligned = self._last
        for k, timeframe in enumerate(self.timeframes):
            start, stop = span(workspace, timeframe, number, number + 1)
            open_to_view = stop > start and not workspace.is_hidden(start, number, timeframe)
            if start == self._last_numbers[k] and open_to_view:
                continue
            bars = self._buffers[k].bars
            there = open_to_view and bars.state[start - bars.first] != BRIDGED
            aligned.at[k, 0] = k if there else len(self.timeframes)
            self._last_numbers[k] = start if open_to_view else -1
            if there:
                points, strengths, kinds = aligned.points[:, k], aligned.strengths[:, k], aligned.kinds[:, k]
                for row, (buffer, score) in enumerate(zip(self._buffers_of[k], self._scorers, strict=True)):
                    points[row] = score(buffer.outputs[0].item(start - buffer.first))
                for d, buffer in enumerate(self._divergences[k]):
                    strengths[d], kinds[d] = (output[start - buffer.first] for output in buffer.outputs)
        return aligned._replace(sets=self.sets_at(workspace, np.array([number])))

    def _room(self, width: int, n: int, rows: int | None = None, oscillators: int | None = None) -> AlignedScores:
        """Room for what is seen; the last column is not known."""
        points = np.empty((len(self.rows) if rows is None else rows, width))
        strengths, kinds = np.empty((2, len(self._oscillators) if oscillators is None else oscillators, width))
        points[:, -1] = strengths[:, -1] = kinds[:, -1] = np.nan
        return AlignedScores(points, strengths, kinds, np.empty((len(self.timeframes), n), dtype=np.uint64))

    def _independence(self, workspace: Workspace, start: int, stop: int, out: Array) -> None:
        """Effective number of independent inputs at each bar, from the last finished block of the base timeframe."""
        block = self._buffers[0].block
        for b in range(start // block, (stop - 1) // block + 1):
            if b - 1 not in self._participation:
                self._participate_before(workspace, (b - 1) * block, b * block)
            out[max(b * block, start) - start : min((b + 1) * block, stop) - start] = self._participation[b - 1]
        for number in workspace.cuts_between((start // block - 1) * block, stop):  # no whole block since
            out[max(number, start) - start : max(min((number // block + 2) * block, stop) - start, 0)] = np.nan

    def _participate_before(self, workspace: Workspace, a: int, b: int) -> None:
        """Find the participation of the block [a, b), which the stretch does not hold; NaN if history begins in it."""
        buffers, timeframe = self._buffers[0], self.timeframes[0]
        if a < buffers.bars.first:
            workspace.require_loaded(timeframe, a)
            self._participation[a // buffers.block] = float("nan")
            return
        points = np.empty((len(self.rows), b - a))
        for row in self._inputs.tolist():
            points[row] = self.rows[row].score(workspace.values(self.rows[row], timeframe, a, b)[0])
        self._participate(points, a, b)

    def _participate(self, points: Array, a: int, b: int) -> None:
        """Find the participation of the whole blocks in the base bars [a, b); their scores come first in `points`."""
        block = self._buffers[0].block
        blocks = range(-(-a // block), b // block)
        if any(b not in self._participation for b in blocks):
            found = np.empty(len(blocks))
            participation_of(points, self._inputs, blocks.start * block - a, block, found)
            self._participation.update(zip(blocks, found.tolist(), strict=True))


def _chunks(start: int, stop: int) -> list[tuple[int, int]]:
    """Cut a stretch at the absolute multiples of CHUNK."""
    edges = [start, *range((start // CHUNK + 1) * CHUNK, stop, CHUNK), stop]
    return list(pairwise(edges))


def _scorer(component: Component) -> Callable[[float], float]:
    """Score of one value, the bits it has in an array; our own scales answer a plain number ten times as fast."""
    if type(component).score is Component.score and isinstance(component.scale, (Linear, Squash)):
        return component.scale.of
    return lambda value: float(component.score(np.array([value]))[0])
