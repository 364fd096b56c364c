"""Every bar cut: each component and feature asked bar by bar, as a live process does, and compared with the whole.

At its own bar a live value knows nothing that comes after. Where the whole says anything else there, it looked ahead,
however rarely: no bar is left out. The bars are shared out among fresh processes, which compute what components share
once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.graph import divergence_of
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws.disturb import copied, narrowed
from virtuoso.prism.laws.findings import Finding, answers, any_differing, finding_of, known_of_bars
from virtuoso.prism.laws.fresh_process import FreshProcess, LostError, report_step
from virtuoso.prism.laws.purity import out_of_reach
from virtuoso.types import Array, Progress

STEP = 512
"""Bars after which progress is reported."""
POLL_S = 0.2

Stretch = tuple[Timeframe, int, int]


def at_every_bar(frame: MarketFrame, pairs: Sequence[tuple[Node, Timeframe]], report: Progress) -> list[Finding]:
    """Cut components, their features and divergences after every bar of a market.

    Parameters
    ----------
    frame : MarketFrame
    pairs : sequence of tuple of Node and Timeframe
        What is examined.
    report : callable
        `callback(stage, done, total)`, in bars.

    Returns
    -------
    list of Finding
        Of the law of cutting, one a node and timeframe.
    """
    nodes: dict[Timeframe, list[Node]] = {}
    for component, timeframe in pairs:
        of_clock = nodes.setdefault(timeframe, [])
        of_clock += [node for node in _with_sources(component, timeframe) if node not in of_clock]
    processes = min(os.cpu_count() or 1, 8)
    shares: list[list[Stretch]] = [[] for _ in range(processes)]
    for timeframe in nodes:
        for share, (a, b) in zip(shares, _parts(frame, timeframe, processes), strict=True):
            share.append((timeframe, a, b))
    far = {timeframe: [node for node in of if not out_of_reach(node)] for timeframe, of in nodes.items()}
    near = {timeframe: [node for node in of if out_of_reach(node)] for timeframe, of in nodes.items()}
    total = sum(len(frame.bars(timeframe)) for timeframe in nodes)
    singly = _Singly({})
    if any(far.values()):
        left = _share_out(singly, far, frame, shares, lambda done: report("cut at every bar", min(done, total), total))
        for share in left:
            singly.take(far, share, one_by_one(far, frame, share))
    if any(near.values()):
        report("cut at every bar, in this process", 0, total)
        for share in shares:
            singly.take(near, share, one_by_one(near, frame, share))
    return [singly.judged(node, frame, timeframe) for timeframe in nodes for node in nodes[timeframe]]


Nodes = Mapping[Timeframe, Sequence[Node]]
Answers = list[list[list[Array]]]
"""A list a stretch, of a list a node, of arrays: its outputs and, of a component, the score."""


@dataclass
class _Singly:
    """What was found bar by bar: for each timeframe and node, the first bar and the arrays from there on."""

    found: dict[tuple[Timeframe, Node], list[tuple[int, list[Array]]]]

    def take(self, nodes: Nodes, share: Sequence[Stretch], answers_: Answers) -> None:
        """Keep what was found of some nodes over a share of the bars."""
        for (timeframe, start, _), of_stretch in zip(share, answers_, strict=True):
            for node, arrays in zip(nodes[timeframe], of_stretch, strict=True):
                self.found.setdefault((timeframe, node), []).append((start, arrays))

    def judged(self, node: Node, frame: MarketFrame, timeframe: Timeframe) -> Finding:
        """Compare what was found of a node with the whole."""
        own = copied(narrowed(frame, node))
        bars = own.bars(timeframe)
        whole = answers(node, Workspace(own).values(node, timeframe, bars.first, bars.end))
        offending = np.zeros(len(bars), dtype=bool)
        for start, alone in self.found[timeframe, node]:
            here = slice(start - bars.first, start - bars.first + len(alone[0]))
            offending[here] |= any_differing([x[here] for x in whole], alone)
        finding = finding_of("cutting", node, bars, offending, known_of_bars(whole[0], bars), float(offending.sum()),
                        bars.first, "cut at every bar")  # fmt: skip
        return replace(finding, rarest=1)


def _share_out(
    singly: _Singly, nodes: Nodes, frame: MarketFrame, shares: Sequence[list[Stretch]], report: Callable[[int], None]
) -> list[list[Stretch]]:
    """Have fresh processes ask for the bars, a share each; return the shares of those that were lost."""
    left: list[list[Stretch]] = []
    with ExitStack() as stack:
        bare = MarketFrame(frame.instrument, frame.base)
        processes = [stack.enter_context(FreshProcess(one_by_one, nodes, bare, share)) for share in shares]
        while not all(process.wait(POLL_S) for process in processes):
            report(STEP * sum(process.steps for process in processes))
        for share, process in zip(shares, processes, strict=True):
            try:
                singly.take(nodes, share, process.result())
            except LostError:
                left.append(share)
    return left


def one_by_one(nodes: Nodes, frame: MarketFrame, share: Sequence[Stretch]) -> Answers:
    """Ask nodes for one bar after the other, as a live process does, over a share of the bars."""
    workspace = Workspace(frame)
    return [_stretch(nodes[timeframe], workspace, timeframe, start, stop) for timeframe, start, stop in share]


def _stretch(
    nodes: Sequence[Node], workspace: Workspace, timeframe: Timeframe, start: int, stop: int
) -> list[list[Array]]:
    scored = {i: np.full(stop - start, np.nan) for i, node in enumerate(nodes) if isinstance(node, Component)}
    for number in range(start, stop):
        for i, node in enumerate(nodes):
            value = workspace.values(node, timeframe, number, number + 1)[0]
            if isinstance(node, Component):
                scored[i][number - start] = node.score(value)[0]
        if (number - start) % STEP == STEP - 1:
            report_step()
    found = [[x.copy() for x in workspace.values(node, timeframe, start, stop)] for node in nodes]
    for i, score in scored.items():
        found[i].append(score)
    return found


def _with_sources(component: Node, timeframe: Timeframe) -> Iterable[Node]:
    """A component, its divergence, and the features that it and they are made of on the same clock."""
    yield component
    if isinstance(component, Component) and component.oscillator:
        yield divergence_of(component)
    for name in component.arguments:
        source = component.input_of(name)
        if isinstance(source, Node) and source.clock(timeframe) == timeframe:
            yield from _with_sources(source, timeframe)


def _parts(frame: MarketFrame, timeframe: Timeframe, count: int) -> list[tuple[int, int]]:
    """Numbers of the bars of a timeframe in as many parts, cut between blocks."""
    bars, length = frame.bars(timeframe), block_length(timeframe)
    blocks = np.linspace(bars.first // length, -(-bars.end // length), count + 1).astype(np.int64) * length
    edges = np.clip(blocks, bars.first, bars.end).tolist()
    return list(pairwise(edges))
