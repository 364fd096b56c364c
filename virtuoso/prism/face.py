"""A face of the prism: a table of components and their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from virtuoso.prism.component import Component, Gate


@dataclass(frozen=True)
class Face:
    """Components and weights that answer one question about the market.

    Attributes
    ----------
    name, title : str
    components : mapping of Component to float
        Weights within the face; where a face is declared they are those of `Prism.classic`. Configuration changes
        them.
    gates : tuple of Gate
        They scale the face's reliability and never its direction.
    unavailable : mapping of str to float
        Components that are declared but whose data the store does not hold yet, with their weights. They count
        towards what could be known, so coverage is honest.
    """

    name: str
    title: str
    components: Mapping[Component, float] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    unavailable: Mapping[str, float] = field(default_factory=dict)
