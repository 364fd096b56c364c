"""The score matrix: component scores of one market laid out for a sweep, the same for every configuration.

1. `points` holds every component's score of a bar side by side: a bar is decided exactly from one row of it.
2. Coverage hardly ever changes: it is kept a *run*, a stretch of bars on which that of every component stays the same.
3. A prism that weighs by regime has a column of each component for every set of weights (`by_regime`).
4. `singles` holds score x coverage in single precision, block by block, for the first look at a bar (decisions.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.prism.engine.aggregate import ComponentArrays
from virtuoso.prism.engine.assembly import Aggregator
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.rule import memory
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array, Mask

BLOCK = 512
"""Bars whose sums are made together."""

Single = NDArray[np.float32]
Rows = NDArray[np.int64]
Steps = NDArray[np.int32]


@dataclass(frozen=True)
class ScoreMatrix:
    """Component scores of a stretch of base bars.

    Attributes
    ----------
    first : int
        Number of the first bar: some bars that the rule remembers come before those that were scored.
    lead : int
        How many they are.
    names : tuple of str
        Dotted names of the components that are known anywhere, in their order.
    columns : array of int64, shape (n_components,)
        Their positions among all components of the prism.
    face : array of int64, shape (n_components,)
        Row of the face each belongs to.
    points : Array, 0..100, shape (n_bars, n_components)
        0 where not known.
    edges : array of int64, shape (n_runs + 1,)
        Where runs begin, and the number of bars.
    coverage : Array, 0..1, shape (n_runs, n_components)
    gates : Array, 0..1, shape (n_bars, n_faces)
    singles : array of float32, shape (n_blocks, n_components, BLOCK)
    """

    first: int
    lead: int
    names: tuple[str, ...]
    columns: Rows
    face: Rows
    points: Array
    edges: Rows
    coverage: Array
    gates: Array
    singles: Single

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of(cls, scores: Scores, settings: SignalSettings) -> ScoreMatrix:
        """Lay out scores, with the bars before them that the rule remembers.

        Raises
        ------
        NotLoadedError
            If bars that the rule remembers exist but were not loaded.
        """
        base, timeframe = scores.frame.base, scores.frame.timeframe
        wanted = scores.start - memory(settings, timeframe)
        scores.workspace.require_loaded(timeframe, wanted)
        first = max(wanted, base.first)
        before = assemble(scores.prism, scores.workspace, first, scores.start) if first < scores.start else None
        parts = [scores] if before is None else [before, scores]
        n, lead = sum(len(part) for part in parts), scores.start - first
        known = _known(parts)
        points, coverage, changes = np.empty((n, len(known))), [], np.zeros(n, dtype=bool)
        singles = np.zeros((-(-n // BLOCK), len(known), BLOCK), dtype=np.float32)
        for c, (_, _, face, name) in enumerate(known):
            score, covered = _component(parts, face, name)
            score[np.isnan(score)] = 0.0
            points[:, c] = score
            changed = np.flatnonzero(np.diff(covered, prepend=np.nan) != 0.0)
            coverage.append((changed, covered[changed]))
            changes[changed] = True
            singles[:, c] = _blocks(score * covered)
        starts, table = _runs(coverage, changes)
        gates = np.ones((n, len(scores.prism.faces)))
        for f, own in enumerate(scores.prism.faces):
            gates[:, f] = np.concatenate([part.faces[own.name].gate for part in parts])
        return cls(
            first, lead, tuple(f"{face}.{name}" for _, _, face, name in known),
            np.array([column for column, _, _, _ in known], dtype=np.int64),
            np.array([row for _, row, _, _ in known], dtype=np.int64),
            points, np.append(starts, n), table, gates, singles,
        )  # fmt: skip

    def reparameterised(self, before: Prism, after: Prism, workspace: Workspace) -> ScoreMatrix:
        """Return the matrix of a prism whose components have other parameters; only what differs is computed.

        Parameters
        ----------
        before, after : Prism
            Of what this matrix is, and of what the new one is: the same faces, names, gates and timeframes.
        workspace : Workspace
            What is computed on it stays there.
        """
        known = set(self.names)
        aggregator = Aggregator(after, workspace)
        found: list[tuple[int, int, str, ComponentArrays | None]] = []
        n, ladder = len(self), zip(before, after, strict=True)
        rows = {face.name: row for row, face in enumerate(after.faces)}
        for column, ((name, older, _), (_, newer, _)) in enumerate(ladder):
            if older == newer:
                found += [(column, rows[name.split(".")[0]], name, None)] if name in known else []
            elif newer in aggregator.row_of:
                arrays = aggregator.component(workspace, aggregator.row_of[newer], self.first, self.first + n)
                if arrays.coverage.any():
                    found.append((column, rows[name.split(".")[0]], name, arrays))
        return self._laid(found)

    def by_regime(self, prism: Prism, workspace: Workspace) -> ScoreMatrix:
        """Return the matrix of a prism that weighs by regime: the same columns once a set of weights.

        Each set has faces and columns of its own, whose coverage is 0 at the bars of other sets: what is not known
        takes no part, so that a bar is summed by the weights of its regime alone, in the order of the prism.
        """
        sets = Aggregator(prism, workspace).sets_at(workspace, self.first + np.arange(len(self)))
        if sets is None:
            return self
        n, (n_sets, n_faces) = len(self.names), (1 + len(prism.by_regime), len(prism.faces))
        leads = ("", *(f"{regime}." for regime in prism.by_regime))
        turns = np.flatnonzero(np.diff(sets)) + 1
        edges = np.union1d(self.edges, turns)
        run = np.searchsorted(self.edges, edges[:-1], side="right") - 1
        coverage, singles = (
            np.zeros((len(run), n_sets * n)),
            np.zeros((len(self.singles), n_sets * n, BLOCK), np.float32),
        )
        of_blocks = _blocks(sets.astype(np.float64))
        for k in range(n_sets):
            own = slice(k * n, (k + 1) * n)
            here = sets[edges[:-1]] == k
            coverage[here, own] = self.coverage[run[here]]
            singles[:, own] = np.where((of_blocks == k)[:, None], self.singles, np.float32(0.0))
        every = np.arange(n_sets)[:, None]
        components = sum(len(face.components) for face in prism.faces)
        return replace(
            self,
            names=tuple(lead + name for lead in leads for name in self.names),
            columns=(every * components + self.columns).ravel(),
            face=(every * n_faces + self.face).ravel(),
            points=np.tile(self.points, n_sets),
            edges=edges,
            coverage=coverage,
            gates=np.tile(self.gates, n_sets),
            singles=singles,
        )

    def _laid(self, found: list[tuple[int, int, str, ComponentArrays | None]]) -> ScoreMatrix:
        """Lay out components: those of this matrix where no arrays are given."""
        n, at = len(self), {name: c for c, name in enumerate(self.names)}
        points, singles = np.empty((n, len(found))), np.empty((len(self.singles), len(found), BLOCK), dtype=np.float32)
        coverage, changes = [], np.zeros(n, dtype=bool)
        for c, (_, _, name, arrays) in enumerate(found):
            if arrays is None:
                own = at[name]
                points[:, c], singles[:, c] = self.points[:, own], self.singles[:, own]
                turns = np.flatnonzero(np.diff(self.coverage[:, own], prepend=np.nan) != 0.0)
                changed, values = self.edges[turns], self.coverage[turns, own]
            else:
                score, covered = np.nan_to_num(arrays.score), arrays.coverage
                points[:, c], singles[:, c] = score, _blocks(score * covered)
                changed = np.flatnonzero(np.diff(covered, prepend=np.nan) != 0.0)
                values = covered[changed]
            coverage.append((changed, values))
            changes[changed] = True
        starts, table = _runs(coverage, changes)
        return ScoreMatrix(
            self.first, self.lead, tuple(name for _, _, name, _ in found),
            np.array([column for column, _, _, _ in found], dtype=np.int64),
            np.array([row for _, row, _, _ in found], dtype=np.int64),
            points, np.append(starts, n), table, self.gates, singles,
        )  # fmt: skip


def _blocks(values: Array) -> Array:
    """Cut values into blocks, the last one filled up with 0, shape (n_blocks, BLOCK)."""
    cut: Array = np.concatenate((values, np.zeros(-len(values) % BLOCK))).reshape(-1, BLOCK)
    return cut


def _runs(coverage: list[tuple[Rows, Array]], changes: Mask) -> tuple[Rows, Array]:
    """Where runs begin, and what is covered in each: of each component where its coverage changes, and to what."""
    starts = np.flatnonzero(changes) if coverage else np.zeros(min(len(changes), 1), dtype=np.int64)
    table = np.empty((len(starts), len(coverage)))
    for c, (changed, values) in enumerate(coverage):
        table[:, c] = values[np.searchsorted(changed, starts, side="right") - 1]
    return starts, table


def _known(parts: list[Scores]) -> list[tuple[int, int, str, str]]:
    """Components that are known anywhere: position, row of the face, name of the face and own name."""
    found, column = [], 0
    for row, face in enumerate(parts[-1].prism.faces):
        for component in face.components:
            carried = not parts[-1].faces[face.name].components[component.name].missing
            if carried and any(part.faces[face.name].components[component.name].coverage.any() for part in parts):
                found.append((column, row, face.name, component.name))
            column += 1
    return found


def _component(parts: list[Scores], face: str, name: str) -> tuple[Array, Array]:
    """Score and coverage of one component over all parts, copied."""
    blended = [part.faces[face].components[name].arrays() for part in parts]
    return np.concatenate([one.score for one in blended]), np.concatenate([one.coverage for one in blended])
