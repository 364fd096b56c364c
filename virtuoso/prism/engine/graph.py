"""Views: what a node needs, and how bars of the base clock see its values on another timeframe.

A bar of a slower timeframe is seen from its close on, never before; where none has closed yet, or the one that is seen
was bridged, a score is not known.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.market.gaps import BRIDGED
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.workspace import Workspace, visible
from virtuoso.prism.faces.divergence import ClassicDivergence
from virtuoso.types import Array

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


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


def missing_columns(node: Node, carried: frozenset[str]) -> tuple[str, ...]:
    """Columns a node needs that are not carried, in the order of their names."""
    return tuple(sorted(columns_of(node) - carried))


@cache
def bears_holes(node: Node) -> bool:
    """Whether a node, or a feature it builds on, is known though some of its inputs are not."""
    sources = (getattr(node, name, None) for name in node.arguments)
    return node.holes or any(bears_holes(source) for source in sources if isinstance(source, Node))


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


def span(workspace: Workspace, timeframe: Timeframe, a: int, b: int) -> tuple[int, int]:
    """Numbers of the bars of a timeframe that the base bars [a, b) see, from inclusive, to exclusive.

    Raises
    ------
    NotLoadedError
        If one of them exists but was not loaded.
    """
    base, bars = workspace.frame.timeframe, workspace.clock(timeframe).bars
    if timeframe == base:
        return a, b
    oldest, newest = (a + 1) * base.ms // timeframe.ms - 1, b * base.ms // timeframe.ms - 1
    workspace.insist_loaded(timeframe, oldest)
    start = max(oldest, bars.first)
    return start, max(start, min(newest + 1, bars.end))


def positions(workspace: Workspace, timeframe: Timeframe, a: int, b: int, start: int) -> tuple[Index, Mask]:
    """Position, from bar `start`, of the bar of a timeframe that each of the base bars [a, b) sees.

    And where nothing is seen: no bar has closed yet, or its own score is not known since it was bridged.
    """
    bars = workspace.clock(timeframe).bars
    numbers = visible(np.arange(a, b), workspace.frame.timeframe, timeframe)
    there = (numbers >= start) & (numbers < bars.end)
    if not there.any():
        return np.zeros(b - a, dtype=np.int64), ~there
    bridged = bars.state[np.where(there, numbers, start) - bars.first] == BRIDGED
    return np.where(there, numbers - start, 0), ~there | bridged


def seen(node: Node, workspace: Workspace, timeframe: Timeframe, a: int, b: int) -> tuple[list[Array], Mask]:
    """Values of a node on a timeframe as the base bars [a, b) see them, and where they are known."""
    return workspace.aligned(node, timeframe, workspace.frame.timeframe, a, b)


def seen_scores(component: Component, workspace: Workspace, timeframe: Timeframe, a: int, b: int) -> Array:
    """Scores of a component on a timeframe as the base bars [a, b) see them."""
    start, stop = span(workspace, timeframe, a, b)
    at, silent = positions(workspace, timeframe, a, b, start)
    if start == stop:
        return np.full(b - a, np.nan)
    scores = component.score(workspace.values(component, timeframe, start, stop)[0])
    return np.where(silent, np.nan, scores[at])
