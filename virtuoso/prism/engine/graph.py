"""The graph of nodes: what a node is computed from, and which rows a prism has on the columns that are there.

Everything here follows from declarations alone; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import NamedTuple

from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.prism.component import Assembled, Component, Node
from virtuoso.prism.engine.workspace import visible
from virtuoso.prism.features.divergence import ClassicDivergence
from virtuoso.prism.features.regime import Regime
from virtuoso.prism.prism import Prism


def sources(node: Node) -> Iterator[Node]:
    """Nodes whose values are inputs of a node."""
    given = (node.input_of(name) for name in node.arguments)
    return (source for source in given if source is not None)


def parts(node: Node) -> set[Node]:
    """Nodes that a node is assembled from, which the columns that are there may leave out."""
    return {part for part, _ in node.parts(Timeframe("1d"))} if isinstance(node, Assembled) else set()


@cache
def columns_of(node: Node) -> frozenset[str]:
    """Columns a node looks at, its features' included."""
    within = [*sources(node), *parts(node)]
    return frozenset(_needed(node).union(*map(columns_of, within)))


@cache
def _needed(node: Node) -> frozenset[str]:
    """Columns a node cannot do without, its features' included."""
    own = {name for name in node.arguments if name in COLUMNS and node.input_of(name) is None}
    return frozenset(own.union(*map(_needed, sources(node))))


def missing_columns(node: Node, columns: Collection[str]) -> tuple[str, ...]:
    """Columns a node needs that are not there, in the order of their names."""
    return tuple(sorted(_needed(node).difference(columns)))


@cache
def bears_holes(node: Node) -> bool:
    """Whether a node, or a feature it builds on, is known though some of its inputs are not."""
    return node.holes or any(map(bears_holes, sources(node)))


@cache
def divergence_of(component: Component) -> ClassicDivergence:
    """Classic divergence of price and a component."""
    return ClassicDivergence(oscillator=component)


def timeframes_of(node: Node, timeframe: Timeframe) -> set[Timeframe]:
    """Timeframes on which a node and its features run when it is asked for on one."""
    asked = [(source, source.clock(timeframe)) for source in sources(node)]
    asked += node.parts(timeframe) if isinstance(node, Assembled) else ()
    return {timeframe}.union(*(timeframes_of(source, clock) for source, clock in asked))


def timeframes(prism: Prism, base: Timeframe) -> list[Timeframe]:
    """Every timeframe that scoring a base timeframe touches, slow features' own ones included, fastest first."""
    nodes = [*(component for _, component, _ in prism), *(gate for face in prism.faces for gate in face.gates)]
    ladder = [timeframe for timeframe, _ in prism.ladder(base)]
    return sorted({*ladder}.union(*(timeframes_of(node, timeframe) for node in nodes for timeframe in ladder)))


def total_warmup(node: Node, timeframe: Timeframe) -> int:
    """Bars of `timeframe` after the start of history before the node answers, its features included."""
    own = 0
    for source in sources(node):
        clock = source.clock(timeframe)
        bars = total_warmup(source, clock) * max(clock.ms, timeframe.ms) // timeframe.ms
        own = max(own, bars + (clock.ms // timeframe.ms if clock != timeframe else 0))
    return own + node.warmup(timeframe)


def reach(node: Node, timeframe: Timeframe, number: int, block: Callable[[Timeframe], int]) -> dict[Timeframe, int]:
    """Number of the first bar of each timeframe on which the value of a node at a bar depends.

    Parameters
    ----------
    node : Node
    timeframe : Timeframe
    number : int
        Of the bar.
    block : callable
        Bars in a block of a timeframe.

    Returns
    -------
    dict of Timeframe to int
    """
    start = number // block(timeframe) * block(timeframe) - node.memory(timeframe)
    first = {timeframe: start}
    for source in sources(node):
        clock = source.clock(timeframe)
        seen = start if clock == timeframe else visible(start, timeframe, clock)
        for other, there in reach(source, clock, seen, block).items():
            first[other] = min(first.get(other, there), there)
    return first


class ScoredRow(NamedTuple):
    """A component or gate whose columns are there.

    Attributes
    ----------
    node : Component
    face : int
        Position of its face in the prism.
    share : float
        Weight within the face, of all that is declared, with its sign; 0 of a gate.
    divergence : ClassicDivergence or None
        Of a component that is an oscillator.
    """

    node: Component
    face: int
    share: float
    divergence: ClassicDivergence | None


def rows_of(prism: Prism, columns: Collection[str]) -> tuple[list[ScoredRow], list[ScoredRow]]:
    """Components, then gates, whose columns are there, in the fixed order in which they are aggregated."""
    components, gates = [], []
    for f, face in enumerate(prism.faces):
        total = sum(map(abs, face.components.values())) + sum(map(abs, face.unavailable.values()))
        for component, weight in face.components.items():
            if not missing_columns(component, columns):
                divergence = divergence_of(component) if component.oscillator else None
                components.append(ScoredRow(component, f, weight / total if total > 0.0 else 0.0, divergence))
        gates += [ScoredRow(gate, f, 0.0, None) for gate in face.gates if not missing_columns(gate, columns)]
    return components, gates


def nodes_of(prism: Prism, columns: Collection[str]) -> list[Node]:
    """Every node that scoring evaluates on some columns: components, gates, divergences, the regime it weighs by."""
    rows = [row for kind in rows_of(prism, columns) for row in kind]
    divergences = [row.divergence for row in rows if row.divergence is not None]
    return [*(row.node for row in rows), *divergences, *([Regime()] if prism.by_regime else [])]
