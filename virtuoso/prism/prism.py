"""The prism: faces, weights and timeframes, and the one call that scores a frame.

1. The ladder: the base clock and the configured timeframes slower than it, weights renormalised.
2. Each component is evaluated on each clock of the ladder in anchored blocks (blocks.py).
3. `assemble` sees slow scores from their close on, blends timeframes, adds divergence, and sums faces and
   confluence, for any stretch of bars: five years in a backtest, one bar live. There is no second path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.market.columns import Array
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.blend import blend, bonus, participation, trust
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Component
from virtuoso.prism.face import Face
from virtuoso.prism.scores import ComponentScores, FaceScores, Scores
from virtuoso.prism.views import View, clocks_of, columns_of, divergence_of

CHUNK = 65_536
"""Bars assembled at once: bounds the memory of what lies between component and confluence."""
THREADS = 2
NO_DIVERGENCE = np.empty((0, 1))
DEFAULT_TIMEFRAMES = {"1m": 0.40, "5m": 0.30, "30m": 0.20, "4h": 0.10}
DEFAULT_FACE_WEIGHTS = {
    "technical": 0.17,
    "volume": 0.12,
    "orderflow": 0.25,
    "orderbook": 0.20,
    "price_structure": 0.16,
    "sentiment": 0.10,
}


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
        for name in names:
            if name not in self.face_weights:
                raise ConfigError(f"The face {name!r} has no weight. Give it one; 0 leaves it out of the confluence.")

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

    def joined(self, face: str, components: Mapping[Component, float]) -> Prism:
        """Give the same prism with more components in a face; the others make room for them in proportion."""
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
                waiting = {name: weight * room for name, weight in known.waiting.items()}
                known = replace(known, components={**older, **components}, waiting=waiting)
            faces.append(known)
        return replace(self, faces=tuple(faces))

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

    def clocks(self, base: Timeframe) -> list[Timeframe]:
        """Every clock that is touched when a base clock is scored, slow features' own ones included, fastest first."""
        nodes = [*(component for _, component, _ in self), *(gate for face in self.faces for gate in face.gates)]
        found = {timeframe for timeframe, _ in self.ladder(base)}
        for timeframe in tuple(found):
            for node in nodes:
                found |= clocks_of(node, timeframe)
        return sorted(found)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of components, parameters and weights."""
        text = {
            "faces": [
                [
                    face.name,
                    [[repr(c), w] for c, w in face.components.items()],
                    [repr(g) for g in face.gates],
                    dict(face.waiting),
                ]
                for face in self.faces
            ],
            "face_weights": dict(self.face_weights),
            "timeframes": dict(self.timeframes),
        }
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()

    def score(
        self,
        frame: MarketFrame,
        block: int | None = None,
        cache_folder: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Scores:
        """Score the window of a frame.

        Parameters
        ----------
        frame : MarketFrame
        block : int, optional
            Length of a block; the standard lengths if absent.
        cache_folder : Path, optional
            Folder in which finished blocks are kept between runs.
        progress : callable, optional
            Told how many bars are scored and how many there are.

        Returns
        -------
        Scores
        """
        from virtuoso.prism.cache import ScoreCache

        workspace = Workspace(frame, block)
        cache = ScoreCache(cache_folder) if cache_folder is not None else None
        if cache is not None:
            cache.fill(workspace, self)
        scores = self.assemble(workspace, frame.start, frame.stop, progress)
        if cache is not None:
            cache.keep(workspace, self)
        return scores

    def assemble(
        self, workspace: Workspace, start: int, stop: int, progress: Callable[[int, int], None] | None = None
    ) -> Scores:
        """Scores of the base bars numbered [start, stop): the same for five years and for one bar."""
        scores = Scores.empty(self, workspace, start, stop)
        if stop - start <= CHUNK:
            self._assemble_chunk(workspace, scores, start, stop)
        else:  # each chunk is made of its own bars, so a thread may blend one while the next is computed
            with ThreadPoolExecutor(THREADS) as pool:
                blending = []
                for a in range(start, stop, CHUNK):
                    b = min(a + CHUNK, stop)
                    self._compute(workspace, a, b)
                    blending.append(pool.submit(self._assemble_chunk, workspace, scores, a, b))
                    if progress is not None:
                        progress(b - start, stop - start)
                for chunk in blending:
                    chunk.result()
        self._independence(scores, workspace, start, stop)
        return scores

    def _compute(self, workspace: Workspace, a: int, b: int) -> None:
        """Evaluate everything that the base bars [a, b) see."""
        carried = frozenset(workspace.frame.base.columns)
        for timeframe, weight in self.ladder(workspace.frame.timeframe):
            view = View.of(workspace, timeframe, weight, a, b)
            for face in self.faces:
                for node in (*face.components, *face.gates):
                    if columns_of(node) <= carried:
                        view.compute(node, workspace)
                        if node.oscillator:
                            view.compute(divergence_of(node), workspace)

    def _assemble_chunk(self, workspace: Workspace, scores: Scores, a: int, b: int) -> None:
        """Blend everything for the base bars [a, b)."""
        if a >= b:
            return
        here = slice(a - scores.start, b - scores.start)
        ladder = self.ladder(workspace.frame.timeframe)
        views = [View.of(workspace, timeframe, weight, a, b) for timeframe, weight in ladder]
        for face in self.faces:
            part = scores.faces[face.name]
            for component in face.components:
                if not part.components[component.name].missing:
                    self._blend_component(component, workspace, views, here, part.components[component.name])
            self._blend_face(face, part, here)
            self._gate(face, workspace, views, part.gate[here])
        self._blend_confluence(scores, here)

    def _blend_component(
        self, component: Component, workspace: Workspace, views: list[View], here: slice, part: ComponentScores
    ) -> None:
        """Blend one component over the ladder, and add what its divergences say."""
        n = here.stop - here.start
        weights = np.array([view.weight for view in views])
        points = np.empty((len(views), n))
        for k, view in enumerate(views):
            points[k] = view.scores(component, workspace)
        strengths = kinds = NO_DIVERGENCE
        if component.oscillator:
            strengths, kinds = np.empty((len(views), n)), np.empty((len(views), n))
            for k, view in enumerate(views):
                strengths[k], kinds[k] = view.values(divergence_of(component), workspace)
        blend(points, weights.reshape(-1, 1), part.raw_score[here], part.coverage[here])
        bonus(points, strengths, kinds, weights, part.divergence_bonus[here], part.divergence_kind[here])
        np.clip(part.raw_score[here] + part.divergence_bonus[here], 0.0, 100.0, out=part.score[here])

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

    def _gate(self, face: Face, workspace: Workspace, views: list[View], out: Array) -> None:
        """Share of its reliability that the gates of a face let through; 1 where none is known."""
        out[:] = 1.0
        for gate in face.gates:
            if columns_of(gate) <= set(workspace.frame.base.columns):
                points = np.stack([view.scores(gate, workspace) for view in views])
                open_share, known = np.empty(len(out)), np.empty(len(out))
                blend(points, np.array([[view.weight] for view in views]), open_share, known)
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
        if stop <= start:
            return
        blocks = range(start // clock.block, (stop - 1) // clock.block + 1)
        known = workspace.participation.setdefault(self.fingerprint, {})
        self._participate(workspace, [block - 1 for block in blocks if block - 1 not in known], known)
        for block in blocks:
            a, b = max(block * clock.block, start), min((block + 1) * clock.block, stop)
            scores.effective_inputs[a - start : b - start] = known[block - 1]

    def _participate(self, workspace: Workspace, blocks: list[int], known: dict[int, float]) -> None:
        """Find the participation of a stretch of blocks; NaN for one in which history begins."""
        timeframe = workspace.frame.timeframe
        clock = workspace.clock(timeframe)
        partial = [block for block in blocks if block * clock.block < clock.bars.first]
        for block in partial:
            workspace.insist_loaded(timeframe, block * clock.block)
        known.update(dict.fromkeys(partial, float("nan")))
        whole = [block for block in blocks if block not in partial]
        whole = list(range(whole[0], whole[-1] + 1)) if whole else []  # what is known in between comes out the same
        carried = frozenset(workspace.frame.base.columns)
        inputs = [c for _, c, weight in self if weight > 0.0 and columns_of(c) <= carried]
        together = max(CHUNK // clock.block, 1)
        for group in (whole[i : i + together] for i in range(0, len(whole), together)):
            found = np.full(len(group), np.nan)
            a, b = group[0] * clock.block, (group[-1] + 1) * clock.block
            if inputs:
                rows = np.stack([c.score(workspace.values(c, timeframe, a, b)[0]) for c in inputs])
                participation(rows, clock.block, found)
            known.update(zip(group, found.tolist(), strict=True))
