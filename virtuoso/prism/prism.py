"""The prism: faces, weights and timeframes, and the one call that scores a frame.

1. The ladder: the base clock and the configured timeframes slower than it, weights renormalised.
2. Each component is evaluated on each clock of the ladder in anchored blocks (blocks.py).
3. `assemble` sees slow scores from their close on, blends timeframes, adds divergence, and sums faces and
   confluence, for any stretch of bars: five years in a backtest, one bar live. There is no second path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.market.columns import BAR_COLUMNS, Array
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED
from virtuoso.prism.blend import blend, bonus, participation, trust
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Component, Node
from virtuoso.prism.divergence import ClassicDivergence
from virtuoso.prism.face import Face
from virtuoso.prism.scores import ComponentScores, FaceScores, Scores

CHUNK = 65_536
"""Bars assembled at once: bounds the memory of what lies between component and confluence."""
DEFAULT_TIMEFRAMES = {"1m": 0.40, "5m": 0.30, "30m": 0.20, "4h": 0.10}
DEFAULT_FACE_WEIGHTS = {
    "technical": 0.17,
    "volume": 0.12,
    "orderflow": 0.25,
    "orderbook": 0.20,
    "price_structure": 0.16,
    "sentiment": 0.10,
}


def columns_of(node: Node) -> set[str]:
    """Columns a node needs, its features' included."""
    needed = {name for name in node.arguments if name in BAR_COLUMNS}
    for name in node.arguments:
        source = getattr(node, name, None)
        if isinstance(source, Node):
            needed = (needed - {name}) | columns_of(source)
    return needed


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
    >>> scores = Prism.standard().score(frame)  # doctest: +SKIP
    >>> scores.explain()                        # doctest: +SKIP
    """

    faces: tuple[Face, ...]
    face_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FACE_WEIGHTS))
    timeframes: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_TIMEFRAMES))

    def __post_init__(self) -> None:
        names = [face.name for face in self.faces]
        for name in self.face_weights:
            if name not in names:
                raise ConfigError(f"There is no face {name!r} to weight. {did_you_mean(name, names)}")

    @classmethod
    def standard(cls) -> Prism:
        """Give the six faces with the weights that ship with Virtuoso."""
        from virtuoso.prism.registry import FACES

        return cls(FACES)

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
        """Give the same prism with other weights.

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
            waiting = {n: changes.pop(f"{face.name}.{n}", w) for n, w in face.waiting.items()}
            faces.append(replace(face, components=own, waiting=waiting))
        if changes:
            name = next(iter(changes))
            raise ConfigError(
                f"There is no component {name!r} to weight. {did_you_mean(name, [n for n, _, _ in self])}"
            )
        weights = dict(self.face_weights) | dict(face_weights or {})
        return replace(self, faces=tuple(faces), face_weights=weights)

    def ladder(self, base: Timeframe) -> list[tuple[Timeframe, float]]:
        """Clocks that are scored from a base clock, fastest first, with weights that sum to 1.

        The base clock always takes part: with the weight configured for it, else with that of the fastest
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
                [face.name, [[repr(c), w] for c, w in face.components.items()], [repr(g) for g in face.gates]]
                for face in self.faces
            ],
            "face_weights": dict(self.face_weights),
            "timeframes": dict(self.timeframes),
        }
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()

    def score(self, frame: MarketFrame, block: int | None = None, cache: Path | None = None) -> Scores:
        """Score the window of a frame.

        Parameters
        ----------
        frame : MarketFrame
        block : int, optional
            Length of a block; the standard lengths if absent.
        cache : Path, optional
            Folder in which finished blocks are kept between runs.

        Returns
        -------
        Scores
        """
        from virtuoso.prism.cache import ScoreCache

        workspace = Workspace(frame, block)
        if cache is not None:
            ScoreCache(cache).fill(workspace, self)
        scores = self.assemble(workspace, frame.start, frame.stop)
        if cache is not None:
            ScoreCache(cache).keep(workspace, self)
        return scores

    def assemble(self, workspace: Workspace, start: int, stop: int) -> Scores:
        """Scores of the base bars numbered [start, stop): the same for five years and for one bar."""
        frame = workspace.frame
        scores = Scores.empty(self, workspace, start, stop)
        ladder = self.ladder(frame.timeframe)
        for a in range(start, stop, CHUNK):
            b = min(a + CHUNK, stop)
            here = slice(a - start, b - start)
            for face in self.faces:
                for component in face.components:
                    part = scores.faces[face.name].components[component.name]
                    if not part.missing:
                        self._blend_component(component, workspace, ladder, a, b, here, part)
                self._blend_face(face, scores.faces[face.name], here)
                self._gate(face, workspace, ladder, a, b, scores.faces[face.name].gate[here])
            self._blend_confluence(scores, here)
        self._independence(scores, workspace, start, stop)
        return scores

    def _blend_component(
        self, component: Component, workspace: Workspace, ladder: list[tuple[Timeframe, float]],
        a: int, b: int, here: slice, part: ComponentScores,
    ) -> None:  # fmt: skip
        """Blend one component over the ladder for the base bars [a, b)."""
        weights = np.array([weight for _, weight in ladder])
        points = np.empty((len(ladder), b - a))
        strengths = np.full((len(ladder), b - a), np.nan)
        kinds = np.zeros((len(ladder), b - a))
        divergence = ClassicDivergence(oscillator=component) if component.oscillator else None
        for k, (timeframe, _) in enumerate(ladder):
            points[k] = seen_scores(component, workspace, timeframe, a, b)
            if divergence is not None:
                arrays, known = seen(divergence, workspace, timeframe, a, b)
                strengths[k] = np.where(known, arrays[0], np.nan)
                kinds[k] = np.where(known, arrays[1], 0.0)
        blend(points, weights.reshape(-1, 1), part.raw_score[here], part.coverage[here])
        bonus(points, strengths, kinds, weights, part.divergence_bonus[here], part.divergence_kind[here])
        part.divergence_bonus[here][np.isnan(part.raw_score[here])] = 0.0
        part.score[here] = np.clip(part.raw_score[here] + part.divergence_bonus[here], 0.0, 100.0)

    def _blend_face(self, face: Face, part: FaceScores, here: slice) -> None:
        """Sum a face: adjusted and raw scores of its components, by weight and by how much of each is known."""
        n = here.stop - here.start
        parts = list(part.components.values())
        total = sum(face.components.values()) + sum(face.waiting.values())
        if not parts or total <= 0.0:
            part.score[here], part.raw_score[here], part.coverage[here] = np.nan, np.nan, 0.0
            return
        weights = np.empty((len(parts), max(n, 2)))
        adjusted, raw = np.empty((len(parts), n)), np.empty((len(parts), n))
        for k, (component, own) in enumerate(zip(parts, face.components.values(), strict=True)):
            weights[k, :n] = own / total * component.coverage[here]
            adjusted[k], raw[k] = component.score[here], component.raw_score[here]
        blend(raw, weights, part.raw_score[here], part.coverage[here])
        blend(adjusted, weights, part.score[here], part.coverage[here])

    def _gate(
        self, face: Face, workspace: Workspace, ladder: list[tuple[Timeframe, float]], a: int, b: int, out: Array
    ) -> None:
        """Share of its reliability that the gates of a face let through; 1 where none is known."""
        out[:] = 1.0
        weights = np.array([[weight] for _, weight in ladder])
        for gate in face.gates:
            if columns_of(gate) <= set(workspace.frame.base.columns):
                points = np.stack([seen_scores(gate, workspace, tf, a, b) for tf, _ in ladder])
                open_share, known = np.empty(b - a), np.empty(b - a)
                blend(points, weights, open_share, known)
                out *= np.where(known > 0.0, open_share / 100.0, 1.0)

    def _blend_confluence(self, scores: Scores, here: slice) -> None:
        """Sum the faces, by weight and by how much of each is known."""
        n = here.stop - here.start
        parts = list(scores.faces.values())
        weights = np.empty((len(parts), max(n, 2)))
        adjusted, raw = np.empty((len(parts), n)), np.empty((len(parts), n))
        gates = np.empty((len(parts), n))
        for k, part in enumerate(parts):
            weights[k, :n] = self.face_weights[part.name] * part.coverage[here]
            adjusted[k], raw[k] = part.score[here], part.raw_score[here]
            gates[k] = np.where(np.isnan(part.score[here]), np.nan, part.gate[here])
        gate = np.empty(n)
        blend(gates, weights, gate, scores.coverage[here])
        blend(raw, weights, scores.raw_confluence[here], scores.coverage[here])
        blend(adjusted, weights, scores.confluence[here], scores.coverage[here])
        trust(adjusted, weights, scores.coverage[here], scores.confluence[here], gate,
              scores.agreement[here], scores.reliability[here])  # fmt: skip

    def _independence(self, scores: Scores, workspace: Workspace, start: int, stop: int) -> None:
        """Effective number of independent inputs at each bar, from the last finished block of the base clock."""
        clock = workspace.clock(workspace.frame.timeframe)
        for block in range(start // clock.block, (stop - 1) // clock.block + 1 if stop > start else 0):
            a, b = max(block * clock.block, start), min((block + 1) * clock.block, stop)
            scores.effective_inputs[a - start : b - start] = self._effective_inputs(workspace, block - 1)

    def _effective_inputs(self, workspace: Workspace, block: int) -> float:
        """Participation of the component scores over one whole block; NaN where it is not whole."""
        timeframe = workspace.frame.timeframe
        clock = workspace.clock(timeframe)
        start, stop = block * clock.block, (block + 1) * clock.block
        if start < clock.bars.first:
            return float("nan")
        if block not in workspace.participation:
            available = set(workspace.frame.base.columns)
            rows = [
                component.score(workspace.values(component, timeframe, start, stop)[0])
                for _, component, weight in self
                if weight > 0.0 and columns_of(component) <= available
            ]
            known = [row for row in rows if np.isfinite(row).all()]
            workspace.participation[block] = participation(np.array(known)) if known else float("nan")
        return workspace.participation[block]


def seen(
    node: Node, workspace: Workspace, timeframe: Timeframe, a: int, b: int
) -> tuple[list[Array], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Values of a node on a timeframe as the base bars [a, b) see them, and where they are known."""
    return workspace.aligned(node, timeframe, workspace.frame.timeframe, a, b)


def seen_scores(component: Component, workspace: Workspace, timeframe: Timeframe, a: int, b: int) -> Array:
    """Scores of a component on a timeframe as the base bars [a, b) see them.

    A bridged bar keeps the run alive for others, but its own score is not known.
    """
    bars = workspace.clock(timeframe).bars
    arrays, known = seen(component, workspace, timeframe, a, b)
    if timeframe == workspace.frame.timeframe:
        known = known & (bars.state[a - bars.first : b - bars.first] != BRIDGED)
    return np.where(known, component.score(arrays[0]), np.nan)
