"""The assembly: a prism laid over a workspace, looked up once, from the values of components to the confluence.

1. Every component and gate whose columns are there has a row; on each clock of the ladder its series is known.
2. A stretch of base bars takes the scores of the bars it sees, one clock after the other, into one matrix, and three
   kernels (aggregate.py) blend timeframes, faces and confluence. There is no second path: five years are stretches of
   CHUNK bars, one bar live is a stretch of one.
3. A live bar sees most slow bars again: their scores are kept until the next one closes.
4. Of a long history only faces and confluence are blended at once. A component's own arrays are blended when they are
   asked for, by the same kernel, from its values, which stay; what features found is forgotten on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from virtuoso.market.gaps import BRIDGED
from virtuoso.prism.component import Component
from virtuoso.prism.engine.aggregate import (
    Blended,
    Rows,
    Seen,
    blend_confluence,
    blend_faces,
    blend_timeframes,
    participation_of,
)
from virtuoso.prism.engine.graph import columns_of, divergence_of, positions, span
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.scale import Linear, Squash
from virtuoso.types import Array

if TYPE_CHECKING:
    from virtuoso.prism.engine.cache import KeptBlends
    from virtuoso.prism.prism import Prism

CHUNK = 16_384
"""Bars assembled at once: what lies between component and confluence stays in the processor's cache."""
THREADS = 2


class Assembled(NamedTuple):
    """Faces and confluence of a stretch of base bars.

    Attributes
    ----------
    rows : Array, shape (4 n_faces + 6, n_bars)
        All that follows, one below the other.
    raw_score, score, coverage, gate : Array, shape (n_faces, n_bars)
    confluence, raw_confluence, known, agreement, reliability, effective_inputs : Array, shape (n_bars,)
    parts : Blended or None
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
    parts: Blended | None

    @classmethod
    def empty(cls, faces: int, n: int, parts: Blended | None = None) -> Assembled:
        """Room that is yet to be written."""
        rows = np.empty((4 * faces + 6, n))
        a, b = rows[: 4 * faces].reshape(4, faces, n), rows[4 * faces :]
        return cls(rows, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], b[4], b[5], parts)


class Sight(NamedTuple):
    """What a stretch of base bars sees: the input of `blend_timeframes`, described there."""

    points: Array
    strengths: Array
    kinds: Array
    at: Seen


class Assembly:
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
        carried = frozenset(workspace.frame.base.columns)
        components: list[tuple[Component, int, float]] = []
        gates: list[tuple[Component, int, float]] = []
        self.row_of: dict[Component, int] = {}
        for f, face in enumerate(prism.faces):
            total = sum(face.components.values()) + sum(face.waiting.values())
            for component, weight in face.components.items():
                if columns_of(component) <= carried:
                    self.row_of[component] = len(components)
                    components.append((component, f, weight / total if total > 0.0 else 0.0))
            gates += [(gate, f, 0.0) for gate in face.gates if columns_of(gate) <= carried]
        self.components = len(components)
        self.rows: list[Component] = [component for component, _, _ in (*components, *gates)]
        self.face = np.array([f for _, f, _ in (*components, *gates)], dtype=np.int64)
        self.share = np.array([share for _, _, share in (*components, *gates)])
        self._all = range(len(self.rows))
        self._inputs = np.flatnonzero(self.share > 0.0)
        self._oscillators = [row for row in range(self.components) if self.rows[row].oscillator]
        self.divergence = np.full(len(self.rows), -1, dtype=np.int64)
        self.divergence[self._oscillators] = np.arange(len(self._oscillators))
        self._clocks = [workspace.clock(timeframe) for timeframe in self.timeframes]
        self._series = [[clock.open_series(row) for row in self.rows] for clock in self._clocks]
        self._divergences = [
            [clock.open_series(divergence_of(self.rows[row])) for row in self._oscillators] for clock in self._clocks
        ]
        self._own = frozenset(s for clock in (*self._series, *self._divergences) for s in clock)
        self._computed = [(0, 0)] * len(ladder)
        self._scorers = [_scorer(component) for component in self.rows]
        self._last = self._room(len(ladder) + 1, 1)
        self._last_numbers = [-1] * len(ladder)
        self._participation: dict[int, float] = {}

    def compute(self, workspace: Workspace, a: int, b: int) -> None:
        """Evaluate everything that the base bars [a, b) see."""
        for k, timeframe in enumerate(self.timeframes):
            seen = span(workspace, timeframe, a, b)
            if seen != self._computed[k]:
                for series in (*self._series[k], *self._divergences[k]):
                    workspace.compute(series, self._clocks[k], *seen)
                self._computed[k] = seen

    def stretch(self, workspace: Workspace, start: int, stop: int) -> Assembled:
        """Everything about the base bars [start, stop)."""
        self.compute(workspace, start, stop)
        sight = self._see_one(workspace, start) if stop - start == 1 else self._see(workspace, start, stop, self._all)
        found = self._blend(sight, start, stop)
        self._independence(workspace, start, stop, found.effective_inputs)
        return found

    def long_stretch(
        self,
        workspace: Workspace,
        start: int,
        stop: int,
        progress: Callable[[int, int], None] | None = None,
        kept: KeptBlends | None = None,
    ) -> Assembled:
        """Faces and confluence of the base bars [start, stop): what another run has kept, and the rest blended."""
        found = Assembled.empty(len(self.face_weights), stop - start)

        def told(done: int) -> None:
            if progress is not None:
                progress(done - start, stop - start)

        for a, b in kept.files if kept is not None else [(start, stop)]:
            rows = found.rows[:, a - start : b - start]
            if kept is None or not kept.read(a, b, rows):
                self._blend_chunks(workspace, a, b, rows, told)
                if kept is not None:
                    kept.write(a, b, rows)
            told(b)
        return found

    def _blend_chunks(
        self, workspace: Workspace, start: int, stop: int, rows: Array, told: Callable[[int], None]
    ) -> None:
        """Write faces and confluence of the base bars [start, stop), chunk by chunk.

        Each chunk is made of its own bars, so a thread may blend one while the next is computed.
        """

        def blend(a: int, b: int) -> None:
            chunk = self._blend(self._see(workspace, a, b, self._all), a, b)
            rows[:-1, a - start : b - start] = chunk.rows[:-1]

        with ThreadPoolExecutor(THREADS) as pool:
            blending = []
            for a, b in self._computed_chunks(workspace, start, stop):
                blending.append(pool.submit(blend, a, b))
                told(a)
            for waiting in blending:
                waiting.result()
        self._independence(workspace, start, stop, rows[-1])

    def component(self, workspace: Workspace, row: int, start: int, stop: int) -> Blended:
        """One component over the base bars [start, stop)."""
        out = Blended.empty(stop - start)
        for a, b in self._computed_chunks(workspace, start, stop):
            divergence = np.array([min(self.divergence[row], 0)])
            part = self._blend_timeframes(self._see(workspace, a, b, [row]), divergence, 1)
            for name, values in part._asdict().items():
                getattr(out, name)[a - start : b - start] = values[0]
        return out

    def _computed_chunks(self, workspace: Workspace, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The base bars [start, stop) in chunks, each computed; of what features found, the last ones see the end."""
        workspace.recall()
        for k, timeframe in enumerate(self.timeframes):
            for series in (*self._series[k], *self._divergences[k]):
                series.make_room(self._clocks[k], *span(workspace, timeframe, start, stop))
        for a, b in _chunks(start, stop):
            self.compute(workspace, a, b)
            yield a, b
            workspace.forget(b, self._own)

    def _blend(self, sight: Sight, a: int, b: int) -> Assembled:
        """Everything but the effective inputs of the base bars [a, b), as they see it."""
        self._participate(sight.points, a, b)
        parts = self._blend_timeframes(sight, self.divergence, self.components)
        found = Assembled.empty(len(self.face_weights), b - a, parts)
        blend_faces(
            parts.raw_score, parts.score, parts.coverage, self.face, self.share, self.components,
            found.raw_score, found.score, found.coverage, found.gate,
        )  # fmt: skip
        blend_confluence(
            found.raw_score, found.score, found.coverage, found.gate, self.face_weights,
            found.confluence, found.raw_confluence, found.known, found.agreement, found.reliability,
        )  # fmt: skip
        return found

    def _blend_timeframes(self, sight: Sight, divergence: Rows, components: int) -> Blended:
        """Blend what is seen of some rows, of which so many are components."""
        out = Blended.empty(len(sight.points), sight.at.shape[1])
        blend_timeframes(
            sight.points, sight.strengths, sight.kinds, divergence, sight.at, self.weights, components,
            out.raw_score, out.score, out.divergence_bonus, out.divergence_kind, out.coverage,
        )  # fmt: skip
        return out

    def _see(self, workspace: Workspace, a: int, b: int, rows: range | list[int]) -> Sight:
        """Scores and divergences of some rows as the base bars [a, b) see them."""
        spans = [span(workspace, timeframe, a, b) for timeframe in self.timeframes]
        width = sum(stop - start for start, stop in spans) + 1
        oscillators = [row for row in rows if self.divergence[row] >= 0]
        sight = self._room(width, b - a, len(rows), len(oscillators))
        begin = 0
        for k, (timeframe, (start, stop)) in enumerate(zip(self.timeframes, spans, strict=True)):
            position, silent = positions(workspace, timeframe, a, b, start)
            sight.at[k] = np.where(silent, width - 1, position + begin)
            there = slice(begin, begin + stop - start)
            for place, row in enumerate(rows):
                (values,) = self._series[k][row].between(start, stop)
                sight.points[place, there] = self.rows[row].score(values)
            for place, row in enumerate(oscillators):
                found = self._divergences[k][self.divergence[row]].between(start, stop)
                sight.strengths[place, there], sight.kinds[place, there] = found
            begin += stop - start
        return sight

    def _see_one(self, workspace: Workspace, number: int) -> Sight:
        """Scores and divergences as one base bar sees them: a column a timeframe, written when its bar is another."""
        sight = self._last
        for k, timeframe in enumerate(self.timeframes):
            start, stop = span(workspace, timeframe, number, number + 1)
            if start == self._last_numbers[k] and stop > start:
                continue
            bars = self._clocks[k].bars
            there = stop > start and bars.state[start - bars.first] != BRIDGED
            sight.at[k, 0] = k if there else len(self.timeframes)
            self._last_numbers[k] = start if stop > start else -1
            if there:
                points, strengths, kinds = sight.points[:, k], sight.strengths[:, k], sight.kinds[:, k]
                for row, (series, score) in enumerate(zip(self._series[k], self._scorers, strict=True)):
                    points[row] = score(series.outputs[0].item(start - series.first))
                for d, series in enumerate(self._divergences[k]):
                    strengths[d], kinds[d] = (output[start - series.first] for output in series.outputs)
        return sight

    def _room(self, width: int, n: int, rows: int | None = None, oscillators: int | None = None) -> Sight:
        """Room for what is seen; the last column is not known."""
        points = np.empty((len(self.rows) if rows is None else rows, width))
        strengths, kinds = np.empty((2, len(self._oscillators) if oscillators is None else oscillators, width))
        points[:, -1] = strengths[:, -1] = kinds[:, -1] = np.nan
        return Sight(points, strengths, kinds, np.empty((len(self.timeframes), n), dtype=np.uint64))

    def _independence(self, workspace: Workspace, start: int, stop: int, out: Array) -> None:
        """Effective number of independent inputs at each bar, from the last finished block of the base clock."""
        block = self._clocks[0].block
        for b in range(start // block, (stop - 1) // block + 1):
            if b - 1 not in self._participation:
                self._participate_before(workspace, (b - 1) * block, b * block)
            out[max(b * block, start) - start : min((b + 1) * block, stop) - start] = self._participation[b - 1]

    def _participate_before(self, workspace: Workspace, a: int, b: int) -> None:
        """Find the participation of the block [a, b), which the stretch does not hold; NaN if history begins in it."""
        clock, timeframe = self._clocks[0], self.timeframes[0]
        if a < clock.bars.first:
            workspace.insist_loaded(timeframe, a)
            self._participation[a // clock.block] = float("nan")
            return
        points = np.empty((len(self.rows), b - a))
        for row in self._inputs.tolist():
            points[row] = self.rows[row].score(workspace.values(self.rows[row], timeframe, a, b)[0])
        self._participate(points, a, b)

    def _participate(self, points: Array, a: int, b: int) -> None:
        """Find the participation of the whole blocks in the base bars [a, b); their scores come first in `points`."""
        block = self._clocks[0].block
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
