"""Views: what a node needs, and how bars of the base clock see its values on another timeframe.

A bar of a slower timeframe is seen from its close on, never before; where none has closed yet, or the one that is seen
was bridged, a score is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.market.columns import COLUMNS, Array
from virtuoso.market.gaps import BRIDGED
from virtuoso.prism.blocks import Workspace, visible
from virtuoso.prism.component import Component, Node
from virtuoso.prism.divergence import ClassicDivergence


@cache
def columns_of(node: Node) -> frozenset[str]:
    """Columns a node needs, its features' included."""
    needed: set[str] = set()
    for name in node.arguments:
        source = getattr(node, name, None)
        if isinstance(source, Node):
            needed |= columns_of(source)
        elif name in COLUMNS:
            needed.add(name)
    return frozenset(needed)


@cache
def divergence_of(component: Component) -> ClassicDivergence:
    """Classic divergence of price and a component."""
    return ClassicDivergence(oscillator=component)


def clocks_of(node: Node, timeframe: Timeframe) -> set[Timeframe]:
    """Clocks on which a node and its features run when it is asked for on a timeframe."""
    found = {timeframe}
    for name in node.arguments:
        source = getattr(node, name, None)
        if isinstance(source, Node):
            found |= clocks_of(source, source.clock(timeframe))
    return found


def total_warmup(node: Node, timeframe: Timeframe) -> int:
    """Bars of `timeframe` after the start of history before the node answers, its features included."""
    own = 0
    for name in node.arguments:
        source = getattr(node, name, None)
        if isinstance(source, Node):
            clock = source.clock(timeframe)
            bars = total_warmup(source, clock) * max(clock.ms, timeframe.ms) // timeframe.ms
            own = max(own, bars + (clock.ms // timeframe.ms if clock != timeframe else 0))
    return own + node.warmup(timeframe)


@dataclass(frozen=True, slots=True)
class View:
    """How a stretch of base bars sees the bars of one timeframe.

    Attributes
    ----------
    timeframe : Timeframe
    weight : float
        In the ladder.
    start, stop : int
        Numbers of the bars of the timeframe that are seen.
    at : array of int64 or None, shape (n_bars,)
        Position, from `start`, of the bar that each base bar sees; None on the base clock.
    silent : array of bool or None, shape (n_bars,)
        Where a score is not known whatever the values: no bar yet, or a bridged one.
    """

    timeframe: Timeframe
    weight: float
    start: int
    stop: int
    at: NDArray[np.int64] | None
    silent: NDArray[np.bool_] | None

    @classmethod
    def of(cls, workspace: Workspace, timeframe: Timeframe, weight: float, a: int, b: int) -> View:
        """View of the base bars [a, b) on a timeframe."""
        bars = workspace.clock(timeframe).bars
        if timeframe == workspace.frame.timeframe:
            bridged = bars.state[a - bars.first : b - bars.first] == BRIDGED
            return cls(timeframe, weight, a, b, None, bridged if bridged.any() else None)
        numbers = visible(np.arange(a, b), workspace.frame.timeframe, timeframe)
        workspace.insist_loaded(timeframe, int(numbers[0]))
        start, stop = max(int(numbers[0]), bars.first), min(int(numbers[-1]) + 1, bars.end)
        if start >= stop:
            return cls(timeframe, weight, start, start, None, np.ones(b - a, dtype=bool))
        at = np.maximum(numbers - start, 0)
        bridged = bars.state[start - bars.first : stop - bars.first] == BRIDGED
        silent = (numbers < start) | bridged[at]
        return cls(timeframe, weight, start, stop, at, silent if silent.any() else None)

    def compute(self, node: Node, workspace: Workspace) -> None:
        """Evaluate a node for the bars that are seen."""
        if self.start < self.stop:
            workspace.values(node, self.timeframe, self.start, self.stop)

    def values(self, node: Node, workspace: Workspace) -> list[Array]:
        """Outputs of a node as the base bars see them, NaN where there is no bar yet."""
        if self.start == self.stop:
            assert self.silent is not None
            return [np.full(len(self.silent), np.nan) for _ in workspace.values(node, self.timeframe, 0, 0)]
        return self._kept(
            workspace.clock(self.timeframe).viewed,
            node,
            lambda: workspace.values(node, self.timeframe, self.start, self.stop),
        )

    def scores(self, component: Component, workspace: Workspace) -> Array:
        """Scores of a component as the base bars see them; a bridged bar's own score is not known."""
        if self.start == self.stop:
            return self.values(component, workspace)[0]
        return self._kept(
            workspace.clock(self.timeframe).scored,
            component,
            lambda: [component.score(workspace.values(component, self.timeframe, self.start, self.stop)[0])],
        )[0]

    def _kept(
        self, kept: dict[Node, tuple[int, list[Array]]], node: Node, found: Callable[[], list[Array]]
    ) -> list[Array]:
        """Values spread over the base bars; those of one slow bar are seen by many single fast ones in a row."""
        if self.at is None or len(self.at) > 1:
            return [self._spread(values) for values in found()]
        number, spread = kept.get(node, (-1, []))
        if number != self.start:
            spread = [self._spread(values) for values in found()]
            kept[node] = (self.start, spread)
        return spread

    def _spread(self, values: Array) -> Array:
        spread = values if self.at is None else values.take(self.at)
        return spread if self.silent is None else np.where(self.silent, np.nan, spread)


def seen(
    node: Node, workspace: Workspace, timeframe: Timeframe, a: int, b: int
) -> tuple[list[Array], NDArray[np.bool_]]:
    """Values of a node on a timeframe as the base bars [a, b) see them, and where they are known."""
    return workspace.aligned(node, timeframe, workspace.frame.timeframe, a, b)


def seen_scores(component: Component, workspace: Workspace, timeframe: Timeframe, a: int, b: int) -> Array:
    """Scores of a component on a timeframe as the base bars [a, b) see them."""
    return View.of(workspace, timeframe, 1.0, a, b).scores(component, workspace)
