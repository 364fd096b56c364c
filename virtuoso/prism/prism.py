"""The prism: which faces there are and how they, their components and the timeframes are weighted.

It declares and does not compute: `virtuoso.score(frame, prism)` scores a frame (prism/engine/score.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from virtuoso.clock import Span, Timeframe
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.component import Component
from virtuoso.prism.face import Face
from virtuoso.prism.faces import FACES
from virtuoso.prism.weights import NO_EDGE, Certificate, Standard
from virtuoso.prism.words import REGIMES

TIMEFRAMES = ("1m", "5m", "30m", "4h")
"""The ladder that ships with Virtuoso."""
CLASSIC_TIMEFRAMES = {"1m": 0.40, "5m": 0.30, "30m": 0.20, "4h": 0.10}
CLASSIC_FACE_WEIGHTS = {
    "technical": 0.17,
    "volume": 0.12,
    "orderflow": 0.25,
    "orderbook": 0.20,
    "price_structure": 0.16,
    "sentiment": 0.10,
}
"""Of configs/weights/classic.yaml; those of components within a face stand where the face is declared."""

ROUNDING = 1e-6
"""How far weights may be off a sum of 1."""

_MOVED = {
    "score": "virtuoso.score(frame, prism)",
    "assemble": "virtuoso.prism.engine.score.assemble(prism, workspace, start, stop)",
    "clocks": "virtuoso.prism.engine.graph.timeframes(prism, base)",
}
"""Methods of earlier versions and what does their work."""


@dataclass(frozen=True)
class RegimeWeights:
    """Weights that differ while the market is in one regime; what is not named is as it is elsewhere.

    Attributes
    ----------
    faces : mapping of str to float
    components : mapping of dotted name to float
        Weights within the faces.
    """

    faces: Mapping[str, float] = field(default_factory=dict)
    components: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Prism:
    """Six faces and how they are weighted.

    Attributes
    ----------
    faces : tuple of Face
    face_weights : mapping of str to float
        Weight of each face in the confluence; they sum to 1, signs aside. Without any, every component of every face
        counts the same.
    timeframes : mapping of str to float
        Weight of each timeframe of the ladder, base first; equal ones by default.
    by_regime : mapping of str to RegimeWeights
        Other weights of faces and components, by the regime of each bar (features/regime.py), as it is known at the
        bar's close; where it is not known the weights above hold.
    horizon : Span, optional
        Hold that the weights are meant for.
    usual : Standard, optional
        Mean and spread of the confluence over the stretch that the weights were fitted on.
    certificate : Certificate, optional
        What the weights have shown.

    Notes
    -----
    A face or component of negative weight counts as 100 - score, by the size of its weight.

    Examples
    --------
    >>> scores = virtuoso.score(frame, Prism.standard())  # doctest: +SKIP
    >>> scores.explain()                                  # doctest: +SKIP
    """

    faces: tuple[Face, ...]
    face_weights: Mapping[str, float] = field(default_factory=dict)
    timeframes: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TIMEFRAMES, 1 / len(TIMEFRAMES)))
    by_regime: Mapping[str, RegimeWeights] = field(default_factory=dict)
    horizon: Span | None = None
    usual: Standard | None = None
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        names = [face.name for face in self.faces]
        if not self.face_weights:
            parts = {face.name: len(face.components) + len(face.unavailable) for face in self.faces}
            total = sum(parts.values())
            object.__setattr__(self, "face_weights", {name: n / total for name, n in parts.items() if total})
        for name in self.face_weights:
            if name not in names:
                raise ConfigError(f"There is no face {name!r} to weight. {did_you_mean(name, names)}")
        for name in names:
            if name not in self.face_weights:
                raise ConfigError(f"The face {name!r} has no weight. Give it one; 0 leaves it out of the confluence.")
        for regime in self.by_regime:
            if regime not in REGIMES:
                raise ConfigError(f"There is no regime {regime!r} to weight. {did_you_mean(regime, REGIMES)}")
            self.in_regime(regime)  # refuses what it cannot weigh

    @classmethod
    def standard(cls) -> Prism:
        """Return the six faces with the weights that ship with Virtuoso: equal ones, configs/weights/default.yaml."""
        return cls(FACES).equalised()

    @classmethod
    def classic(cls) -> Prism:
        """Return the six faces with the weights of earlier versions, configs/weights/classic.yaml."""
        return cls(FACES, dict(CLASSIC_FACE_WEIGHTS), dict(CLASSIC_TIMEFRAMES))

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
        for regime, other in self.by_regime.items():
            said = ", ".join(f"{name} {weight:g}" for name, weight in {**other.faces, **other.components}.items())
            lines.append(f"  in a {regime}: {said or 'as elsewhere'}")
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

    def in_regime(self, regime: str) -> Prism:
        """Return the prism whose weights hold in a regime, everywhere; without those of regimes where it has none."""
        own = self.by_regime.get(regime, RegimeWeights())
        plain = replace(self, by_regime={})
        return plain.reweighted(own.faces, own.components) if own.faces or own.components else plain

    def equalised(self) -> Prism:
        """Return the same prism with equal weights, so that confluence is the mean of the components that are known.

        Every component that has a weight counts the same, whatever its face, and so does every timeframe.
        """
        faces, parts = [], {}
        for face in self.faces:
            weights = (*face.components.values(), *face.unavailable.values())
            n = sum(weight != 0.0 for weight in weights) if self.face_weights[face.name] else 0
            own = {component: 1 / n if weight and n else weight for component, weight in face.components.items()}
            absent = {name: 1 / n if weight and n else weight for name, weight in face.unavailable.items()}
            faces.append(replace(face, components=own, unavailable=absent))
            parts[face.name] = n
        total = sum(parts.values())
        shares = {name: n / total if total else 0.0 for name, n in parts.items()}
        clocks = dict.fromkeys(self.timeframes, 1 / len(self.timeframes))
        made = replace(self, faces=tuple(faces), face_weights=shares, timeframes=clocks, by_regime={})
        return replace(made, usual=None, certificate=None)

    @cached_property
    def is_equal(self) -> bool:
        """Whether every component that has a weight counts the same, and every timeframe too."""
        if self.by_regime:
            return False
        equal, clocks = self.equalised(), sorted(self.timeframes.values())
        pairs = [(self.face_weights[name], share) for name, share in equal.face_weights.items()]
        pairs += [(own, level) for (_, _, own), (_, _, level) in zip(self, equal, strict=True)]
        return all(abs(own - level) <= ROUNDING for own, level in [*pairs, (clocks[0], clocks[-1])])

    @property
    def is_promoted(self) -> bool:
        """Whether these very weights passed the promotion gate; forced ones did not."""
        certificate = self.certificate
        return certificate is not None and certificate.verdict == "ship" and certificate.prism == self.fingerprint

    @cached_property
    def standing(self) -> str:
        """Which weights are in force and what they have shown, in one line: `equal weights: no edge shown`."""
        certificate = self.certificate
        study = certificate.study if certificate else None
        if certificate is not None and study is not None and certificate.prism == self.fingerprint:
            meant = f", for a hold of {self.horizon.text}" if self.horizon else ""
            return f"weights of study {study}{meant}: {certificate.words()}"
        classic = self.fingerprint == Prism.classic().fingerprint
        kind = "equal weights" if self.is_equal else "classic weights" if classic else "weights set by hand"
        return f"{kind}{f', others than study {study} gave' if study else ''}: {NO_EDGE}"

    def joined(self, face: str, components: Mapping[Component, float]) -> Prism:
        """Return the same prism with more components in a face; the others make room for them in proportion."""
        names = [known.name for known in self.faces]
        if face not in names:
            raise ConfigError(f"There is no face {face!r}. {did_you_mean(face, names)}")
        room = 1.0 - sum(map(abs, components.values()))
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
        text: dict[str, Any] = {
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
        if self.by_regime:
            text["by_regime"] = {
                regime: [dict(other.faces), dict(other.components)] for regime, other in self.by_regime.items()
            }
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()


def _check_sum(weights: Mapping[str, float], what: str) -> None:
    """Refuse weights whose sizes do not sum to 1, as configuration does."""
    total = sum(map(abs, weights.values()))
    if abs(total - 1.0) > ROUNDING:
        listed = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        signs = ", signs aside," if min(weights.values()) < 0.0 else ""
        raise ConfigError(f"The {what}{signs} sum to {total:g} instead of 1: {listed}. Give the others as well.")
