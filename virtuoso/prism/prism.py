"""The prism: which faces there are and how they, their components and the timeframes are weighted.

It declares and does not compute: `virtuoso.score(frame, prism)` scores a frame (prism/engine/score.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.component import Component
from virtuoso.prism.face import Face
from virtuoso.prism.faces import FACES

DEFAULT_TIMEFRAMES = {"1m": 0.40, "5m": 0.30, "30m": 0.20, "4h": 0.10}
DEFAULT_FACE_WEIGHTS = {
    "technical": 0.17,
    "volume": 0.12,
    "orderflow": 0.25,
    "orderbook": 0.20,
    "price_structure": 0.16,
    "sentiment": 0.10,
}

ROUNDING = 1e-6
"""How far weights may be off a sum of 1."""

_MOVED = {
    "score": "virtuoso.score(frame, prism)",
    "assemble": "virtuoso.prism.engine.score.assemble(prism, workspace, start, stop)",
    "clocks": "virtuoso.prism.engine.graph.timeframes(prism, base)",
}
"""Methods of earlier versions and what does their work."""


@dataclass(frozen=True)
class Prism:
    """Six faces and how they are weighted.

    Attributes
    ----------
    faces : tuple of Face
    face_weights : mapping of str to float
        Weight of each face in the confluence; they sum to 1.
    timeframes : mapping of str to float
        Weight of each timeframe of the ladder, base first.

    Examples
    --------
    >>> scores = virtuoso.score(frame, Prism.standard())  # doctest: +SKIP
    >>> scores.explain()                                  # doctest: +SKIP
    """

    faces: tuple[Face, ...]
    face_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FACE_WEIGHTS))
    timeframes: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_TIMEFRAMES))

    def __post_init__(self) -> None:
        names = [face.name for face in self.faces]
        for name in self.face_weights:
            if name not in names:
                raise ConfigError(f"There is no face {name!r} to weight. {did_you_mean(name, names)}")
        for name in names:
            if name not in self.face_weights:
                raise ConfigError(f"The face {name!r} has no weight. Give it one; 0 leaves it out of the confluence.")

    @classmethod
    def standard(cls) -> Prism:
        """Return the six faces with the weights that ship with Virtuoso."""
        return cls(FACES)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Raise AttributeError that names what does the work of a former method."""
            if name in _MOVED:
                raise AttributeError(
                    f"A prism only declares and has no {name!r}. Use {_MOVED[name]}.", name=name, obj=self
                )
            raise AttributeError(f"'Prism' object has no attribute {name!r}", name=name, obj=self)

    def __repr__(self) -> str:
        """One line a face: its weight, and its components with theirs."""
        lines = [f"<Prism of {len(self.faces)} faces, {sum(len(face.components) for face in self.faces)} components"]
        for face in self.faces:
            inside = [f"{component.name} {weight:g}" for component, weight in face.components.items()]
            inside += [f"{name} {weight:g} (no data)" for name, weight in face.unavailable.items()]
            lines.append(f"  {face.name} {self.face_weights[face.name]:g}: {', '.join(inside)}")
        clocks = ", ".join(f"{name} {weight:g}" for name, weight in self.timeframes.items())
        return "\n".join([*lines, f"  timeframes: {clocks}>"])

    def __iter__(self) -> Iterator[tuple[str, Component, float]]:
        """Dotted name, component and weight within its face, in fixed order."""
        for face in self.faces:
            for component, weight in face.components.items():
                yield f"{face.name}.{component.name}", component, weight

    def __getitem__(self, dotted: str) -> Component:
        """The component with a dotted name, such as `technical.rsi`."""
        components = {name: component for name, component, _ in self}
        if dotted not in components:
            raise ConfigError(f"There is no component {dotted!r}. {did_you_mean(dotted, components)}")
        return components[dotted]

    def reweighted(
        self, face_weights: Mapping[str, float] | None = None, components: Mapping[str, float] | None = None
    ) -> Prism:
        """Return the same prism with other weights.

        Parameters
        ----------
        face_weights : mapping of str to float, optional
        components : mapping of dotted name to float, optional
            Weights within the faces; the others stay.
        """
        changes = dict(components or {})
        faces = []
        for face in self.faces:
            own = {c: changes.pop(f"{face.name}.{c.name}", w) for c, w in face.components.items()}
            unavailable = {n: changes.pop(f"{face.name}.{n}", w) for n, w in face.unavailable.items()}
            faces.append(replace(face, components=own, unavailable=unavailable))
        if changes:
            name = next(iter(changes))
            raise ConfigError(
                f"There is no component {name!r} to weight. {did_you_mean(name, [n for n, _, _ in self])}"
            )
        weights = dict(self.face_weights) | dict(face_weights or {})
        if face_weights:
            _check_sum(weights, "face weights")
        for face in faces if components else ():
            inside = {component.name: weight for component, weight in face.components.items()}
            _check_sum(inside | dict(face.unavailable), f"weights of the components of {face.name!r}")
        return replace(self, faces=tuple(faces), face_weights=weights)

    def joined(self, face: str, components: Mapping[Component, float]) -> Prism:
        """Return the same prism with more components in a face; the others make room for them in proportion."""
        names = [known.name for known in self.faces]
        if face not in names:
            raise ConfigError(f"There is no face {face!r}. {did_you_mean(face, names)}")
        room = 1.0 - sum(components.values())
        if not 0.0 <= room < 1.0:
            raise ConfigError(f"Weights of components that join a face must sum to 0..1, sum to {1.0 - room:g}.")
        faces = []
        for known in self.faces:
            if known.name == face:
                older = {component: weight * room for component, weight in known.components.items()}
                unavailable = {name: weight * room for name, weight in known.unavailable.items()}
                known = replace(known, components={**older, **components}, unavailable=unavailable)
            faces.append(known)
        return replace(self, faces=tuple(faces))

    def ladder(self, base: Timeframe) -> list[tuple[Timeframe, float]]:
        """Clocks that are scored from a base timeframe, fastest first, with weights that sum to 1.

        The base timeframe always takes part: with the weight configured for it, else with that of the fastest
        configured timeframe.
        """
        configured = sorted((Timeframe(name), weight) for name, weight in self.timeframes.items())
        slower = [(tf, weight) for tf, weight in configured if tf.ms > base.ms and tf.ms % base.ms == 0]
        own = dict(configured).get(base, configured[0][1])
        total = sum(weight for _, weight in slower) + own
        return [(base, own / total), *((tf, weight / total) for tf, weight in slower)]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of components, parameters and weights."""
        text = {
            "faces": [
                [
                    face.name,
                    [[repr(c), w] for c, w in face.components.items()],
                    [repr(g) for g in face.gates],
                    dict(face.unavailable),
                ]
                for face in self.faces
            ],
            "face_weights": dict(self.face_weights),
            "timeframes": dict(self.timeframes),
        }
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()


def _check_sum(weights: Mapping[str, float], what: str) -> None:
    """Refuse weights that do not sum to 1, as configuration does."""
    total = sum(weights.values())
    if abs(total - 1.0) > ROUNDING:
        listed = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        raise ConfigError(f"The {what} sum to {total:g} instead of 1: {listed}. Give the others as well.")
