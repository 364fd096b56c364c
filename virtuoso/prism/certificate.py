"""The certificate: the laws on the user's own data and components, and every stage bar by bar in another process.

1. Each component and gate is examined by every law on each timeframe of the ladder that the data can fill.
2. The whole prism is scored in one pass and again bar by bar, as a live process would, by a fresh process.
3. What is broken is named with its first offending bar; what could not be tested says why.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from virtuoso.clock import Timeframe, iso
from virtuoso.market.columns import BAR_COLUMNS
from virtuoso.market.feed import Feed
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import NO_TRADE, TRADED, policy_for
from virtuoso.prism import laws
from virtuoso.prism.blocks import Workspace, block_length
from virtuoso.prism.component import Component
from virtuoso.prism.evidence import KNOWN_SHARE, Finding, differing, outputs
from virtuoso.prism.fingerprint import environment, sources_digest
from virtuoso.prism.prism import Prism
from virtuoso.prism.views import columns_of, total_warmup

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the laws found.

    Attributes
    ----------
    instrument, timeframe : str
    first, last : int, ms
        Open of the first bar and close of the last.
    findings : list of Finding
    untested : list of str
        What could not be tested, with the reason.
    live_bars : int
        Bars that were scored one by one by another process.
    data, prism, code : str
        Fingerprints.
    environment : dict
        Versions of the wheels and the CPU level.
    """

    instrument: str
    timeframe: str
    first: int
    last: int
    findings: list[Finding]
    untested: list[str]
    live_bars: int
    data: str
    prism: str
    code: str
    environment: dict[str, str]

    @property
    def holds(self) -> bool:
        """Whether no law is broken."""
        return all(finding.holds for finding in self.findings)

    @property
    def broken(self) -> list[Finding]:
        """What is broken, worst news first: by the time of the first offending bar."""
        return sorted((f for f in self.findings if not f.holds), key=lambda f: (f.at is None, f.at or 0))

    def to_dict(self) -> dict[str, Any]:
        """As JSON writes it."""
        return {"holds": self.holds, **asdict(self)}

    def __str__(self) -> str:
        laws_seen = sorted({finding.law for finding in self.findings})
        verdict = f"{len(self.broken)} findings are BROKEN"
        if self.holds:
            verdict = "every law that could be tested holds" if self.untested else "every law holds"
        lines = [
            f"{self.instrument} {self.timeframe} {iso(self.first)} to {iso(self.last)}: {verdict}",
            f"{len(self.findings)} examinations ({', '.join(laws_seen)}), {self.live_bars:,} bars one by one",
            *(f"  {finding}" for finding in self.broken),
            *(f"  not tested: {reason}" for reason in self.untested),
        ]
        return "\n".join(lines)


LEAST_KNOWN = 0.6
"""Share of the bars on which a component must be known: the laws ask for half of any stretch that they compare."""


def certify(
    prism: Prism, frame: MarketFrame, *, live_bars: int = 3_000, progress: Progress | None = None
) -> Certificate:
    """Examine a prism on a market.

    Parameters
    ----------
    prism : Prism
    frame : MarketFrame
    live_bars : int
        How many bars at the end to score one by one in another process and compare bit for bit.
    progress : callable, optional
        Called with what is being examined, how many are done, and how many there are.

    Returns
    -------
    Certificate
    """
    carried = set(frame.base.columns)
    parts = [(name, component) for name, component, _ in prism]
    parts += [(f"{face.name}.{gate.name}", gate) for face in prism.faces for gate in face.gates]
    findings: list[Finding] = []
    untested: list[str] = []
    work = [(name, c, timeframe) for name, c in parts for timeframe, _ in prism.ladder(frame.timeframe)]
    for done, (name, component, timeframe) in enumerate(work):
        if progress is not None:
            progress(f"{name} {timeframe}", done, len(work) + 1)
        reason = _untestable(component, frame, timeframe, carried)
        if reason:
            untested.append(f"{name} on {timeframe}: {reason}")
        else:
            findings += laws.examine(component, frame, timeframe)
    if progress is not None:
        progress("bar by bar in another process", len(work), len(work) + 1)
    bars = min(live_bars, len(frame) // 2)
    if bars > 0:
        live, obstacle = bar_by_bar(prism, frame, bars)
        findings.append(live)
        if obstacle:
            untested.append(f"another process: {obstacle}")
    return Certificate(
        str(frame.instrument), frame.timeframe.name, frame.timeframe.open_time(frame.start),
        frame.timeframe.open_time(frame.stop), findings, untested, max(bars, 0), frame.fingerprint,
        prism.fingerprint, sources_digest(), environment(),
    )  # fmt: skip


def _untestable(component: Component, frame: MarketFrame, timeframe: Timeframe, carried: set[str]) -> str:
    missing = sorted(columns_of(component) - carried)
    if missing:
        return f"missing column {', '.join(missing)}"
    bars = frame.bars(timeframe)
    needed = total_warmup(component, timeframe) * 2 + 2 * block_length(timeframe)
    if len(bars) < needed:
        return f"{len(bars)} bars are fewer than the {needed} it takes"
    known = float(np.isfinite(outputs(component, frame, timeframe)[0]).mean())
    return f"known on only {known:.0%} of the bars, which proves nothing" if known < LEAST_KNOWN else ""


def bar_by_bar(prism: Prism, frame: MarketFrame, bars: int) -> tuple[Finding, str]:
    """Score the last bars one by one in another process, as they would arrive, and compare every array bit for bit.

    Returns
    -------
    tuple of Finding and str
        What was found, and why it was done in this process if it was; empty if not.
    """
    whole = prism.score(frame.within(frame.timeframe.open_time(frame.stop - bars), None)).arrays()
    single, obstacle = _elsewhere(prism, frame, bars)
    offending = np.zeros(bars, dtype=bool)
    worst = ""
    for name, values in whole.items():
        different = differing(values, single[name])
        if different.any() and not worst:
            worst = f"{name} differs; "
        offending |= different
    known = float(np.isfinite(whole["confluence"]).mean())
    vacuous = known < KNOWN_SHARE
    if vacuous:
        worst = f"proves nothing, only {known:.0%} of the bars have a confluence; {worst}"
    at = frame.timeframe.close_time(frame.stop - bars + int(np.argmax(offending))) if offending.any() else None
    where = "in this process" if obstacle else "in another process"
    finding = Finding(
        "live", "the whole prism", frame.timeframe.name, not (offending.any() or vacuous), bars * len(whole), known,
        float(offending.sum()), at, f"{worst}{bars:,} bars x {len(whole)} arrays, one by one {where}",
    )  # fmt: skip
    return finding, obstacle


def _elsewhere(prism: Prism, frame: MarketFrame, bars: int) -> tuple[dict[str, np.ndarray[Any, Any]], str]:
    """Replay bars in a fresh process; in this one where there can be none, with the reason."""
    typed = _typed_here(prism)
    if typed:
        return replayed(prism, frame, bars), f"it could not import {typed}: write it into a module of its own"
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(replayed, prism, frame, bars).result(), ""
    except BrokenProcessPool:
        # a fresh process runs the program that started it once more, up to its main guard
        return replayed(
            prism, frame, bars
        ), "it ended early: does the script keep its calls under __name__ == '__main__'?"


def _typed_here(prism: Prism) -> str:
    """Name a component whose class lives in a notebook or in a function, where no other process finds it."""
    main = sys.modules["__main__"]
    notebook = getattr(main, "__file__", None) is None and getattr(main, "__spec__", None) is None
    gates = [gate for face in prism.faces for gate in face.gates]
    for node in [*(component for _, component, _ in prism), *gates]:
        cls = type(node)
        if "<locals>" in cls.__qualname__ or (notebook and cls.__module__ == "__main__"):
            return cls.__name__
    return ""


def replayed(prism: Prism, frame: MarketFrame, bars: int) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of the scores of the last bars, each computed when its bar arrived."""
    base = frame.base
    start = frame.stop - bars
    policy = policy_for(frame.instrument.venue, frame.timeframe.ms)
    history = MarketFrame(frame.instrument, base.until(start))
    feed = Feed(history, prism.clocks(frame.timeframe), policy)
    workspace = Workspace(feed.frame)
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    for number in range(start, frame.stop):
        i = number - base.first
        row = {name: float(column[i]) for name, column in base.columns.items()}
        beside = {name: value for name, value in row.items() if name not in BAR_COLUMNS}
        # where only bars with trades are published, the feed must tell a minute without one by itself
        calm = base.state[i] == NO_TRADE and policy.meaning != "no_trade"
        published = base.state[i] == TRADED or calm
        workspace.grow(feed.close(number, row if published else None, beside, calm=bool(calm)))
        for name, array in prism.assemble(workspace, number, number + 1).arrays().items():
            found.setdefault(name, []).append(array)
    return {name: np.concatenate(arrays) for name, arrays in found.items()}
