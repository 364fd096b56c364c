"""Scores as inputs of a function over arrays: of a component, and the faces and the confluence of a prism.

1. `ComponentScore` is the score of one component on the timeframe of the node that asks: 0..100, NaN where not known.
2. `PrismScores` is a whole prism on the base timeframe, assembled by the one engine stretch by stretch; `ScoreOf` picks
   one of its arrays by name, so that several inputs of one node cost one assembly.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.prism.component import Assembled, Feature, Node, Of
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.regime import Regime
from virtuoso.prism.prism import Prism
from virtuoso.types import Array

WHOLE = ("confluence", "coverage", "agreement", "reliability")
"""Names of what a prism says as a whole."""


class ComponentScore(Feature):
    """The score of a component."""

    component = Of()

    def value(self, component: Array) -> Array:
        """Score of each raw value, 0..100."""
        score: Array = self.component.score(component)
        return score


class PrismScores(Assembled):
    """What a prism says of each bar.

    Parameters
    ----------
    prism : Prism
    """

    sparse = True
    prism: Prism

    def __init__(self, prism: Prism) -> None:
        super().__init__()
        _fix(self, (prism.fingerprint,), prism=prism, outputs=_arrays(tuple(face.name for face in prism.faces)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the prism."""
        return PrismScores, (self.prism,)

    def __repr__(self) -> str:
        return f"PrismScores({self.prism.fingerprint[:12]})"

    def assembled(self, workspace: Workspace, start: int, stop: int) -> tuple[Array, ...]:
        """Return the arrays of WHOLE and the score of each face."""
        found = assemble(self.prism, workspace, start, stop)
        return (*(getattr(found, name) for name in WHOLE), *(face.score for face in found.faces.values()))

    def parts(self, timeframe: Timeframe) -> Iterator[tuple[Node, Timeframe]]:
        """Yield components, gates and the regime that weights go by with the timeframes of the ladder."""
        nodes: list[Node] = [c for _, c, _ in self.prism]
        nodes += [gate for face in self.prism.faces for gate in face.gates]
        nodes += [Regime()] if self.prism.by_regime else []
        ladder = [clock for clock, _ in self.prism.ladder(timeframe)]
        return ((node, clock) for node in nodes for clock in ladder)


class ScoreOf(Feature):
    """One array of the scores of a prism, not known where it is NaN.

    Parameters
    ----------
    scores : PrismScores
    name : str
        Of WHOLE, or of a face.
    """

    scores = Of()
    name: str

    def __init__(self, scores: PrismScores, name: str) -> None:
        super().__init__(scores=scores)
        _fix(self, (scores, name), name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of."""
        return ScoreOf, (self.scores, self.name)

    def __repr__(self) -> str:
        return f"ScoreOf({self.scores!r}, {self.name!r})"

    def value(self, scores: Any) -> Array:
        """Pick the array."""
        array: Array = getattr(scores, self.name).copy()
        return array


def names_of(prism: Prism) -> dict[str, str]:
    """Name as which a function may ask for each score of a prism, and what it is called there.

    A face that is called as a column is asked for as `volume_face`: `volume` is the column.
    """
    faces = {f"{face.name}_face" if face.name in COLUMNS else face.name: face.name for face in prism.faces}
    return {name: name for name in WHOLE} | faces


def _fix(node: Node, key: tuple[Any, ...], **attributes: Any) -> None:
    """Give a node what it is made with, and make it equal to those that are made with the same."""
    for name, value in attributes.items():
        object.__setattr__(node, name, value)
    object.__setattr__(node, "_key", (type(node), key))
    object.__setattr__(node, "_hash", hash(node._key))


@lru_cache(64)
def _arrays(faces: tuple[str, ...]) -> type[tuple[Any, ...]]:
    return namedtuple("Arrays", (*WHOLE, *faces))
