"""Scores of faces and their components over a stretch of base bars, laid out by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from virtuoso.prism.component import Component
from virtuoso.prism.engine.aggregate import Codes, ComponentArrays
from virtuoso.prism.engine.assembly import Aggregated, Aggregator
from virtuoso.prism.engine.graph import missing_columns
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.types import Array, Mask


@dataclass(slots=True)
class ComponentScores:
    """One component on the base timeframe, its timeframes aggregated; `ComponentArrays` describes them.

    Attributes
    ----------
    component : Component
    weight : float
        Within its face.
    missing : tuple of str
        Columns it needs that the frame does not carry; it is then not known anywhere.
    arrays : callable
        Gives its arrays. Over a long history they are made when they are asked for, and only those of the component
        that was asked last are kept: what is to be used twice is best taken once.
    """

    component: Component
    weight: float
    missing: tuple[str, ...]
    arrays: Callable[[], ComponentArrays]
    plain: Callable[[], ComponentArrays]
    """The same without divergence: quicker, where only the raw score or what is known is looked at."""

    @property
    def known(self) -> Mask:
        """Where the component is known on at least one timeframe, shape (n_bars,)."""
        known: Mask = np.isfinite(self.plain().raw_score)
        return known

    @property
    def raw_score(self) -> Array:
        """Score before divergence, 0..100, shape (n_bars,)."""
        return self.arrays().raw_score

    @property
    def score(self) -> Array:
        """Score after divergence, 0..100, shape (n_bars,)."""
        return self.arrays().score

    @property
    def divergence_bonus(self) -> Array:
        """Points that divergence adds, shape (n_bars,)."""
        return self.arrays().divergence_bonus

    @property
    def divergence_kind(self) -> Codes:
        """Code of divergence.KINDS, shape (n_bars,)."""
        return self.arrays().divergence_kind

    @property
    def coverage(self) -> Array:
        """Weight of the timeframes that are known, 0..1, shape (n_bars,)."""
        return self.arrays().coverage


class _Asked:
    """Components by their rows: all of a short stretch, else aggregated when asked for; the last one is kept."""

    def __init__(self, parts: ComponentArrays | None, make: Callable[..., ComponentArrays]) -> None:
        self._parts, self._make = parts, make
        self._row, self._last = -1, ComponentArrays.unknown(0)

    def row(self, row: int) -> ComponentArrays:
        if self._parts is not None:
            return ComponentArrays._make([array[row] for array in self._parts])
        if row != self._row:
            self._row, self._last = -1, ComponentArrays.unknown(0)  # let go of the one before first
            self._last, self._row = self._make(row), row
        return self._last

    def plain(self, row: int) -> ComponentArrays:
        at_hand = self._parts is not None or row == self._row
        return self.row(row) if at_hand else self._make(row, divergence=False)


@dataclass(slots=True)
class FaceScores:
    """One face: its score before and after divergence, its coverage and what its gates let through."""

    name: str
    title: str
    weight: float
    components: Mapping[str, ComponentScores]
    unavailable: Mapping[str, float]
    raw_score: Array
    score: Array
    coverage: Array
    gate: Array


def faces_of(
    prism: Prism, workspace: Workspace, start: int, found: Aggregated, aggregator: Aggregator
) -> dict[str, FaceScores]:
    """Faces and their components by name, of what was assembled from base bar `start` on."""
    n, rows = len(found.confluence), aggregator.row_of
    asked = _Asked(found.parts, partial(aggregator.component, workspace, start=start, stop=start + n))
    unknown = partial(ComponentArrays.unknown, n)
    carried = workspace.frame.base.columns
    faces = {}
    for f, face in enumerate(prism.faces):
        components = {
            component.name: ComponentScores(
                component,
                weight,
                () if component in rows else missing_columns(component, carried),
                partial(asked.row, rows[component]) if component in rows else unknown,
                partial(asked.plain, rows[component]) if component in rows else unknown,
            )
            for component, weight in face.components.items()
        }
        faces[face.name] = FaceScores(
            face.name, face.title, prism.face_weights[face.name], components, face.unavailable,
            found.raw_score[f], found.score[f], found.coverage[f], found.gate[f],
        )  # fmt: skip
    return faces
