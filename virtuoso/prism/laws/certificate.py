"""The certificate: the laws on someone's own data and components, and the whole prism bar by bar in another process.

1. Each component and gate is examined by every law on each timeframe of the ladder that the data can fill.
2. A fresh process in another world (purity.py) computes all of them meanwhile; it must find the same bits.
3. The whole prism is scored in one pass and again bar by bar, as a live process would, by a fresh process.
4. Asked to be exhaustive, every component and feature is cut at every bar (exhaustive.py).
5. What is broken is named with its first offending bar; what could not be tested says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from virtuoso.clock import Timeframe, iso
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import NO_TRADE, has_traded, policy_for
from virtuoso.market.live import LiveFrame
from virtuoso.market.schema.columns import BAR_COLUMNS
from virtuoso.pictures import Plottable
from virtuoso.prism.component import Component
from virtuoso.prism.engine.fingerprint import environment, sources_digest
from virtuoso.prism.engine.graph import columns_of, timeframes, total_warmup
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws import laws
from virtuoso.prism.laws.disturb import copied
from virtuoso.prism.laws.exhaustive import at_every_bar
from virtuoso.prism.laws.findings import KNOWN_SHARE, Finding, Verdict, differing, known_of_bars, outputs
from virtuoso.prism.laws.fresh_process import FreshProcess, LostError
from virtuoso.prism.laws.purity import FreshValues, out_of_reach
from virtuoso.prism.prism import Prism
from virtuoso.types import Progress


@dataclass(frozen=True, slots=True, repr=False)
class Certificate(Plottable):
    """What the laws found.

    Attributes
    ----------
    instrument, timeframe : str
    first, last : int, ms
        Open of the first bar and close of the last.
    findings : list of Finding
        Of every law that was tried; their verdicts say what came of it.
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
        """Whether no law is broken; what was not tested, and what is no look-ahead, breaks none."""
        return not any(finding.broken for finding in self.findings)

    @property
    def broken(self) -> list[Finding]:
        """What is broken, worst news first: by the time of the first offending bar."""
        return sorted((f for f in self.findings if f.broken), key=lambda f: (f.at is None, f.at or 0))

    @property
    def noted(self) -> list[Finding]:
        """What a law found that is no look-ahead: a score that is not symmetric, a value that begins with its block."""
        return [finding for finding in self.findings if finding.verdict == "noted"]

    @property
    def rarest(self) -> dict[str, int]:
        """A leak that shows on one bar in so many is caught with 95 %, a timeframe; 1 where every bar was cut."""
        by_node: dict[tuple[str, str], int] = {}
        for finding in self.findings:
            if finding.rarest is not None:
                key = finding.timeframe, finding.node
                by_node[key] = min(by_node.get(key, finding.rarest), finding.rarest)
        found: dict[str, int] = {}
        for (timeframe, _), bars in by_node.items():
            found[timeframe] = max(found.get(timeframe, 1), bars)
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON writes it."""
        findings = [{"holds": finding.holds, **asdict(finding)} for finding in self.findings]
        return {"holds": self.holds, **asdict(self), "findings": findings, "rarest": self.rarest}

    def summary(self) -> Iterator[str]:
        """What was examined and found, in two or three lines."""
        verdict = f"{len(self.broken)} findings are BROKEN"
        if self.holds:
            verdict = "every law that could be tested holds" if self.untested or self.noted else "every law holds"
        if self.holds and self.noted:
            verdict = f"no law of look-ahead is broken, {len(self.noted)} findings are noted"
        yield f"{self.instrument} {self.timeframe} {iso(self.first)} to {iso(self.last)}: {verdict}"
        laws_seen = sorted({finding.law for finding in self.findings})
        yield f"{len(self.findings)} examinations ({', '.join(laws_seen)}), {self.live_bars:,} bars one by one"
        if self.rarest:
            yield rarest_words(self.rarest)

    def __repr__(self) -> str:
        lines = str(self).splitlines()
        more = [f"  and {len(lines) - SCREEN} lines more: print(certificate)"] if len(lines) > SCREEN else []
        return "\n".join([*lines[:SCREEN], *more])

    def __str__(self) -> str:
        lines = [
            *self.summary(),
            *(f"  {finding}" for finding in (*self.broken, *self.noted)),
            *(f"  not tested: {reason}" for reason in self.untested),
        ]
        return "\n".join(lines)


def rarest_words(rarest: dict[str, int]) -> str:
    """Return the rarest leak that would have been caught, a timeframe."""
    sampled = {timeframe: bars for timeframe, bars in rarest.items() if bars > 1}
    if not sampled:
        return "cut at every bar: no leak of a component is too rare to be caught"
    each = ", ".join(f"{bars:,} on {timeframe}" for timeframe, bars in sampled.items())
    return f"a leak on one bar in {each} is caught with 95 %, a rarer one may escape; --exhaustive cuts at every bar"


SCREEN = 20
"""Lines that a notebook shows of a certificate."""
LEAST_KNOWN = 0.6
"""Share of the bars on which a component must be known: the laws ask for half of any stretch that they compare."""


@dataclass
class _Examination:
    """A prism on a market while it is examined."""

    prism: Prism
    frame: MarketFrame
    findings: list[Finding]
    untested: list[str]

    def pairs(self) -> list[tuple[str, Component, Timeframe]]:
        """Every component and gate by its dotted name, on each timeframe of the ladder."""
        parts = [(name, component) for name, component, _ in self.prism]
        parts += [(f"{face.name}.{gate.name}", gate) for face in self.prism.faces for gate in face.gates]
        return [(name, c, timeframe) for name, c in parts for timeframe, _ in self.prism.ladder(self.frame.timeframe)]

    def take(self, name: str, found: list[Finding], only_broken: bool = False) -> None:
        """Keep findings, and the reasons of what they could not test; of what is hardly known, only what is broken."""
        for finding in found:
            if finding.broken or not only_broken:
                self.findings.append(finding)
                if finding.verdict == "not tested":
                    self.unable(f"{name} on {finding.timeframe}: {finding.law} {finding.detail}")

    def unable(self, reason: str) -> None:
        """Keep a reason, once."""
        if reason not in self.untested:
            self.untested.append(reason)


def certify(
    prism: Prism,
    frame: MarketFrame,
    *,
    live_bars: int = 3_000,
    exhaustive: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """Examine a prism on a market.

    Parameters
    ----------
    prism : Prism
    frame : MarketFrame
    live_bars : int
        How many bars at the end to score one by one in another process and compare bit for bit.
    exhaustive : bool
        Whether to cut at every bar, so that no leak is too rare to be met.
    progress : callable, optional
        `callback(stage, done, total)`.

    Returns
    -------
    Certificate
    """
    report = progress if progress is not None else lambda what, done, total: None
    seen, lent = _Examination(prism, copied(frame), [], []), copied(frame)
    tested, hardly = _testable(seen)
    total = len(tested) + len(hardly) + 2
    with FreshValues([(component, timeframe) for _, component, timeframe in tested], frame) as elsewhere:
        for done, (name, component, timeframe) in enumerate(tested + hardly):
            report(f"{name} {timeframe}", done, total)
            found = laws.within(component, lent, timeframe)
            seen.take(name, found, only_broken=done >= len(tested))
            if any(finding.law == "purity" and finding.broken for finding in found):
                lent = copied(frame)  # it may have written to what others are examined on
        report("in a fresh process", total - 2, total)
        for name, component, timeframe in tested:
            if obstacle := elsewhere.obstacle(component):
                seen.unable(f"another process: {obstacle}")
            else:
                seen.take(name, [laws.purity_elsewhere(component, frame, timeframe, elsewhere)])
    if exhaustive:
        seen.findings += at_every_bar(frame, [(c, timeframe) for _, c, timeframe in tested], report)
    report("bar by bar in another process", total - 1, total)
    bars = min(live_bars, len(frame) // 2)
    if bars > 0:
        live, obstacle = bar_by_bar(prism, copied(frame), bars)
        seen.findings.append(live)
        if obstacle:
            seen.unable(f"another process: {obstacle}")
    return Certificate(
        str(frame.instrument), frame.timeframe.name, frame.timeframe.open_time(frame.start),
        frame.timeframe.open_time(frame.stop), seen.findings, seen.untested, max(bars, 0), frame.fingerprint,
        prism.fingerprint, sources_digest(), environment(),
    )  # fmt: skip


Pairs = list[tuple[str, Component, Timeframe]]


def _testable(seen: _Examination) -> tuple[Pairs, Pairs]:
    """What the data can test, and what is hardly known on it: there, only a difference proves anything."""
    tested: Pairs = []
    hardly: Pairs = []
    carried = set(seen.frame.base.columns)
    for name, component, timeframe in seen.pairs():
        if reason := _untestable(component, seen.frame, timeframe, carried):
            seen.unable(f"{name} on {timeframe}: {reason}")
            continue
        value = outputs(component, seen.frame, timeframe)[0]
        answered = known_of_bars(value, seen.frame.bars(timeframe))
        known = float(answered.mean()) if len(answered) else 0.0
        if known < LEAST_KNOWN:
            seen.unable(f"{name} on {timeframe}: known on only {known:.0%} of the bars, which proves nothing")
        if known >= LEAST_KNOWN:
            tested.append((name, component, timeframe))
        elif known > 0.0:
            hardly.append((name, component, timeframe))
    return tested, hardly


def _untestable(component: Component, frame: MarketFrame, timeframe: Timeframe, carried: set[str]) -> str:
    missing = sorted(columns_of(component) - carried)
    if missing:
        return f"missing column {', '.join(missing)}"
    bars = frame.bars(timeframe)
    needed = total_warmup(component, timeframe) * 2 + 2 * block_length(timeframe)
    return f"{len(bars)} bars are fewer than the {needed} it takes" if len(bars) < needed else ""


def bar_by_bar(prism: Prism, frame: MarketFrame, bars: int) -> tuple[Finding, str]:
    """Score the last bars one by one in another process, as they would arrive, and compare every array bit for bit.

    Returns
    -------
    tuple of Finding and str
        What was found, and why it was done in this process if it was; empty if not.
    """
    whole = score(prism, frame.within(frame.timeframe.open_time(frame.stop - bars), None)).arrays()
    single, obstacle = _elsewhere(prism, frame, bars)
    offending = np.zeros(bars, dtype=bool)
    worst = ""
    for name, values in whole.items():
        different = differing(values, single[name])
        if different.any() and not worst:
            worst = f"{name} differs; "
        offending |= different
    known = float(np.isfinite(whole["confluence"]).mean())
    verdict: Verdict = "BROKEN" if offending.any() else "holds"
    if verdict == "holds" and known < KNOWN_SHARE:
        verdict, worst = "not tested", f"proves nothing, only {known:.0%} of the bars have a confluence; "
    at = frame.timeframe.close_time(frame.stop - bars + int(np.argmax(offending))) if offending.any() else None
    where = "in this process" if obstacle else "in another process"
    finding = Finding(
        "live", "the whole prism", frame.timeframe.name, verdict, bars * len(whole), known,
        float(offending.sum()), at, f"{worst}{bars:,} bars x {len(whole)} arrays, one by one {where}",
    )  # fmt: skip
    return finding, obstacle


def _elsewhere(prism: Prism, frame: MarketFrame, bars: int) -> tuple[dict[str, np.ndarray[Any, Any]], str]:
    """Replay bars in a fresh process; in this one where there can be none, with the reason."""
    nodes = [*(c for _, c, _ in prism), *(gate for face in prism.faces for gate in face.gates)]
    reason = next(filter(None, map(out_of_reach, nodes)), "")
    if not reason:
        plain = MarketFrame(frame.instrument, frame.base, frame.window, breaks=frame.breaks)
        with FreshProcess(replayed, prism, plain, bars) as process:
            try:
                found: dict[str, np.ndarray[Any, Any]] = process.result()
            except LostError as lost:
                reason = f"it ended early: {lost}"
            else:
                return found, ""
    return replayed(prism, frame, bars), reason


def replayed(prism: Prism, frame: MarketFrame, bars: int) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of the scores of the last bars, each computed when its bar arrived."""
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    for workspace, number in arriving(frame, bars, timeframes(prism, frame.timeframe)):
        for name, array in assemble(prism, workspace, number, number + 1).arrays().items():
            found.setdefault(name, []).append(array)
    return {name: np.concatenate(arrays) for name, arrays in found.items()}


def arriving(frame: MarketFrame, bars: int, clocks: list[Timeframe]) -> Iterator[tuple[Workspace, int]]:
    """Let the last bars of a frame arrive one by one: yield the workspace as it is then, and the number of the bar."""
    base = frame.base
    start = frame.stop - bars
    policy = policy_for(frame.instrument.venue, frame.timeframe.ms)
    history = MarketFrame(frame.instrument, base.until(start))
    live = LiveFrame(history, clocks, policy, breaks=frame.breaks)
    workspace = Workspace(live.frame)
    for number in range(start, frame.stop):
        i = number - base.first
        row = {name: float(column[i]) for name, column in base.columns.items()}
        event_columns = {name: value for name, value in row.items() if name not in BAR_COLUMNS}
        # where only bars with trades are published, a minute without one must be recognised from them alone
        no_trade = bool(base.state[i] == NO_TRADE and policy.meaning != "no_trade")
        bar = row if has_traded(base.state[i]) or no_trade else None
        workspace.grow(live.close(number, bar, event_columns=event_columns, no_trade=no_trade))
        yield workspace, number
