"""The certificate of one node on the base timeframe: of a strategy, by the laws of a component that apply to decisions.

1. The node and what of it is private are examined by every law that does not ask for a score: cutting, another future,
   memory, purity, epoch; on the clock on which each is used.
2. A fresh process in another world finds the same bits; another one lets the last bars arrive one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.files.digest import of_house
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Assembled, Node
from virtuoso.prism.engine.fingerprint import environment, node_digest
from virtuoso.prism.engine.graph import missing_columns, sources, timeframes_of
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws import laws
from virtuoso.prism.laws.certificate import Certificate, arriving
from virtuoso.prism.laws.disturb import copied
from virtuoso.prism.laws.exhaustive import at_every_bar
from virtuoso.prism.laws.findings import Finding, any_differing, finding_of, outputs, untested
from virtuoso.prism.laws.fresh_process import FreshProcess, LostError
from virtuoso.prism.laws.purity import FreshValues, out_of_reach
from virtuoso.types import Array, Progress

LEAST_BLOCKS = 2
"""Blocks that bars must fill for a cut to have blocks on both sides."""


def certify_node(
    node: Node,
    frame: MarketFrame,
    *,
    live_bars: int = 3_000,
    exhaustive: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """Examine a node, with what of it is private, on a market.

    Parameters
    ----------
    node : Node
        A strategy that knows what it gives.
    frame : MarketFrame
    live_bars, exhaustive, progress
        As for `certificate.certify`.

    Returns
    -------
    Certificate
    """
    report = progress if progress is not None else lambda what, done, total: None
    findings: list[Finding] = []
    pairs = [pair for pair in dict.fromkeys(_examined(node, frame.timeframe)) if _is_testable(*pair, frame, findings)]
    lent = copied(frame)
    with FreshValues(pairs, frame) as elsewhere:
        for done, (one, clock) in enumerate(pairs):
            report(f"{one!r} {clock}", done, len(pairs) + 2)
            found = laws.within(one, lent, clock)
            findings += found
            if any(finding.law == "purity" and finding.broken for finding in found):
                lent = copied(frame)  # it may have written to what others are examined on
        report("in a fresh process", len(pairs), len(pairs) + 2)
        findings += [laws.purity_elsewhere(one, frame, clock, elsewhere) for one, clock in pairs]
    if exhaustive:
        findings += at_every_bar(copied(frame), pairs, report)
    report("bar by bar in another process", len(pairs) + 1, len(pairs) + 2)
    bars = min(live_bars, len(frame) // 2)
    if bars > 0 and pairs:
        findings.append(bar_by_bar(node, copied(frame), bars))
    reasons = [f"{f.node} on {f.timeframe}: {f.law} {f.detail}" for f in findings if f.verdict == "not tested"]
    named = hashlib.sha256(f"{type(node).__module__}.{node!r}".encode()).hexdigest()
    return Certificate(
        str(frame.instrument), frame.timeframe.name, frame.timeframe.open_time(frame.start),
        frame.timeframe.open_time(frame.stop), findings, list(dict.fromkeys(reasons)), max(bars, 0), frame.fingerprint,
        named, node_digest(node), environment(),
    )  # fmt: skip


def _examined(node: Node, clock: Timeframe) -> Iterator[tuple[Node, Timeframe]]:
    """Yield a node, and whatever it is made of that does not ship with Virtuoso, each with its clock."""
    yield node, clock
    within = [(source, source.clock(clock)) for source in sources(node)]
    within += node.parts(clock) if isinstance(node, Assembled) else ()
    for source, own in within:
        for one, its in _examined(source, own):
            if not of_house(type(one).__module__):
                yield one, its


def _is_testable(node: Node, clock: Timeframe, frame: MarketFrame, findings: list[Finding]) -> bool:
    """Whether a node can be examined on a market; a finding says why not."""
    missing = missing_columns(node, frame.base.columns)
    bars, needed = len(frame.bars(clock)), node.memory(clock) + LEAST_BLOCKS * block_length(clock)
    reason = f"missing column {', '.join(missing)}" if missing else ""
    if not reason and bars < needed:
        reason = f"{bars:,} bars are fewer than the {needed:,} it takes"
    if not reason and not np.isfinite(outputs(node, copied(frame), clock)[0]).any():
        reason = "it never answers on this market"
    if reason:
        findings.append(untested("cutting", node, clock, reason))
    return not reason


def bar_by_bar(node: Node, frame: MarketFrame, bars: int) -> Finding:
    """Ask for the last bars one by one in another process, as they would arrive; every bit is that of the whole."""
    plain = MarketFrame(frame.instrument, frame.base, breaks=frame.breaks)
    clock, obstacle = frame.timeframe, out_of_reach(node)
    single: list[Array] | None = None
    if not obstacle:
        with FreshProcess(replayed, node, plain, bars) as process:
            try:
                single = process.result()
            except LostError as lost:
                obstacle = f"it ended early: {lost}"
    if single is None:
        single = replayed(node, plain, bars)
    whole = Workspace(plain).values(node, clock, plain.stop - bars, plain.stop)
    different = any_differing(whole, single)
    where = f"in this process, for another one {obstacle}" if obstacle else "in another process"
    return finding_of(
        "live", node, frame.bars(clock), different, np.isfinite(whole[0]), float(different.sum()), plain.stop - bars,
        f"{bars:,} bars, one by one {where}",
    )  # fmt: skip


def replayed(node: Node, frame: MarketFrame, bars: int) -> list[Array]:
    """Every array of a node over the last bars, each computed when its bar arrived."""
    clock, found = frame.timeframe, []
    for workspace, number in arriving(frame, bars, sorted(timeframes_of(node, frame.timeframe))):
        found.append([array.copy() for array in workspace.values(node, clock, number, number + 1)])
    return [np.concatenate(arrays) for arrays in zip(*found, strict=True)]
