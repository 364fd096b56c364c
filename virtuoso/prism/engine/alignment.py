"""Alignment: how bars of the base timeframe see the values of a node on another one.

A bar of a slower timeframe is seen from its close on, never before; where none has closed yet, or the one that is seen
was bridged, a score is not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.market.gaps import BRIDGED
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.types import Array, Mask

Index = NDArray[np.int64]


def span(workspace: Workspace, timeframe: Timeframe, a: int, b: int) -> tuple[int, int]:
    """Numbers of the bars of a timeframe that the base bars [a, b) see, from inclusive, to exclusive.

    Raises
    ------
    NotLoadedError
        If one of them exists but was not loaded.
    """
    base, bars = workspace.frame.timeframe, workspace.buffers(timeframe).bars
    if timeframe == base:
        return a, b
    oldest, newest = (a + 1) * base.ms // timeframe.ms - 1, b * base.ms // timeframe.ms - 1
    workspace.require_loaded(timeframe, oldest)
    start = max(oldest, bars.first)
    return start, max(start, min(newest + 1, bars.end))


def positions(workspace: Workspace, timeframe: Timeframe, a: int, b: int, start: int) -> tuple[Index, Mask]:
    """Position, from bar `start`, of the bar of a timeframe that each of the base bars [a, b) sees.

    And where nothing is seen: no bar has closed yet, or its own score is not known since it was bridged.
    """
    bars = workspace.buffers(timeframe).bars
    numbers = workspace.visible(np.arange(a, b), workspace.frame.timeframe, timeframe)
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
