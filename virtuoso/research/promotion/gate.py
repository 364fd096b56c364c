"""The gate of promotion: what is asked of a study before its winner becomes a file that others trade on.

1. Every question is a `Hurdle` (validation/verdict.py): passed, failed or not testable. *Not testable* never passes.
2. Statistics are those of validation/: the box of the walk-forward, deflated by all tries of the ledger; overfitting
   and superior ability of everything that was searched; a paired bootstrap against what else one could have done.
3. The questions of the winner's own backtest (costs doubled, a bar late, intrabar order, tail, foresight) are taken as
   they were answered there.
4. What it lets through without skill, and what with it, is measured on simulated studies: docs/guides/promotion.md.

A study that passes is a candidate for paper trading, and nothing more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import isfinite

import numpy as np

from virtuoso.clock import Env
from virtuoso.reports.format import NOT_TESTABLE, number, percent, plural, whole
from virtuoso.research.promotion.evidence import Evidence
from virtuoso.research.validation.overfitting import NAN, deflated_sharpe, paired_luck, sharpe_error
from virtuoso.research.validation.robustness import Robustness, RunReturns, annual_sharpe, robustness
from virtuoso.research.validation.verdict import (
    HOPELESS,
    LEAST_KEPT,
    MOST_LUCK,
    Decision,
    Hurdle,
    Verdict,
    chance,
    figure_gate,
    recorded,
    search,
)
from virtuoso.types import Array

LEAST_DEFLATED = 0.80
"""Deflated Sharpe ratio that days out of sample must reach: the confidence of their lower bound after all tries.

The verdict on a backtest asks for 0.95, since what it judges was chosen from those tries. Days out of sample were not:
the tries of a study deflate a record that none of them was chosen by. What 0.80 lets through, and what 0.95 would miss,
was measured on simulated studies (ADR 0043); MOST_LUCK stands beside it, and rules where few were tried.
"""
MOST_ALIKE = 0.20
"""Chance up to which a record that is no better would seem so, of each rival.

It is asked of three or more at once and all must be passed, so that the largest of the errors bounds that of them
together; how much of noise is shipped is ruled by deflation.
"""
LEAST_DECAY = 1.0 / 3.0
"""Share of the Sharpe ratio in sample that must be left out of sample."""
LEAST_GROSS = 2.0
"""How often a unit of turnover must earn what it costs."""
STRETCHES, LAST = 3, 2
"""Disjoint stretches of the days out of sample, and how many of the last must gain."""
BESIDE, LEAST_BESIDE = 12, 5
"""Trials nearest to the winner that are its neighbourhood, and how many there must be."""
REACH = 0.10
"""Farthest neighbour, as a share of the range of each name (root mean square)."""
OF_BACKTEST = ("costs", "delay", "ambiguity", "tail", "size", "marks", "foresight", "plausible")
"""Questions that the winner's own backtest answers."""

Question = Callable[[Evidence, Robustness, Env | None], Iterable[Hurdle]]


def judge(evidence: Evidence, *, env: Env | None = None) -> Verdict:
    """Ask everything of a study.

    Parameters
    ----------
    evidence : Evidence
    env : Env, optional
        Where bootstraps draw from; seeded with 0 if absent.
    """
    box = honesty(evidence, env=env)
    if "sharpe" in box.why:
        return Verdict(Decision.ITERATE, False, (Hurdle("sample", None, f"{NOT_TESTABLE}: {box.why['sharpe']}"),))
    return Verdict.of([hurdle for question in (*CHEAP, *DEAR) for hurdle in question(evidence, box, env)])


def ships(evidence: Evidence, *, env: Env | None = None) -> bool:
    """Whether a study would be promoted; the first refusal ends it, for measuring error rates over many studies."""
    walked = _walked(evidence, env)
    if "sharpe" in walked.why:
        return False
    for questions in (CHEAP, DEAR):
        box = walked if questions is CHEAP else honesty(evidence, env=env)
        for question in questions:
            if any(one.needed and not one.passed for one in question(evidence, box, env)):
                return False
    return True


def honesty(evidence: Evidence, *, env: Env | None = None) -> Robustness:
    """Return the honesty box of a study.

    Sharpe ratio, PSR, deflation and luck are those of the days out of sample, against all tries of the ledger; PBO and
    superior ability those of the trials that the winner was chosen from; inside and outside the means of its rounds.
    """
    walked = _walked(evidence, env)
    table = evidence.search
    chosen = evidence.space.chosen if evidence.space is not None else 0
    names = ("overfitting", "superior")
    if "sharpe" in walked.why or table.ndim != 2 or not table.shape[1] > chosen:
        return walked
    counts = evidence.search_trades
    own = int(counts[chosen]) if counts is not None else evidence.trades
    searched = robustness(RunReturns(table[:, chosen], own, table, counts), evidence.tried, env=env)
    why = {name: words for name, words in searched.why.items() if name in names}
    left = {name: words for name, words in walked.why.items() if name not in names}
    return replace(
        walked, overfitting=searched.overfitting, loss=searched.loss, superior=searched.superior,
        better=searched.better, why=left | why,
    )  # fmt: skip


def _walked(evidence: Evidence, env: Env | None) -> Robustness:
    """Box of the days out of sample, with what the rounds kept of their Sharpe ratio."""
    box = robustness(RunReturns(evidence.walk, evidence.trades), evidence.tried, env=env)
    if "sharpe" in box.why:
        return box
    # Tries are counted as they are, but their Sharpe ratios are of other and of fewer days (the first rounds): without
    # skill, and on as many days as these, they scatter by the error of these.
    least = max(evidence.tried.effective, 1.0)
    deflated = deflated_sharpe(box.record, least, sharpe_error(box.record) ** 2)
    inside = evidence.inside[np.isfinite(evidence.inside)]
    why = {name: words for name, words in box.why.items() if name not in ("outside", "deflated")}
    if not len(inside):
        why["outside"] = "no round has a winner with a Sharpe ratio in sample"
        return replace(box, deflated=deflated, why=why)
    return replace(box, deflated=deflated, inside=float(inside.mean()), outside=box.sharpe, why=why)


# --- questions --------------------------------------------------------------------------------------------------


def _luck(evidence: Evidence, box: Robustness, env: Env | None) -> Iterator[Hurdle]:
    """Ask whether it gained out of sample, and whether that is luck: by itself, and after all tries of the ledger."""
    tries = plural(box.tried.configurations, "try", "tries")
    yield next(one for one in chance(box) if one.name == "gain")
    yield figure_gate(
        "deflated", box.deflated, box.deflated >= LEAST_DEFLATED,
        f"deflated Sharpe {percent(box.deflated)} out of sample after {tries}, {percent(LEAST_DEFLATED, 0)} needed",
        f"cannot be deflated: {box.why.get('deflated', NOT_TESTABLE)}", damning=box.deflated < HOPELESS,
    )  # fmt: skip
    luck = 1.0 - box.psr
    words = f"p-value {number(luck, 3)} of the days out of sample alone, {MOST_LUCK:g} at most"
    yield figure_gate("p-value", luck, luck <= MOST_LUCK, words, NOT_TESTABLE)
    yield recorded(box)


def _decay(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask how much of what was found in sample is left out of sample."""
    kept = box.decay
    words = f"out of sample {percent(kept, 0)} of the Sharpe ratio in sample is left ({number(box.outside)} of "
    words += f"{number(box.inside)})"
    missing = f"walk-forward decay {NOT_TESTABLE}: {box.why.get('outside', 'nothing was gained in sample')}"
    return (figure_gate("decay", kept, kept >= LEAST_DECAY, words, missing),)


def _stretches(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask whether it still gains: the last stretches of the days out of sample."""
    parts = [part[np.isfinite(part)] for part in np.array_split(evidence.walk, STRETCHES)]
    if any(len(part) < 10 for part in parts):
        return (Hurdle("stretches", None, f"too few days for {STRETCHES} disjoint stretches"),)
    means = [float(part.sum()) for part in parts]
    told = ", ".join(percent(mean, signed=True) for mean in means)
    return (
        Hurdle("stretches", all(mean > 0.0 for mean in means[-LAST:]),
               f"{told} in {STRETCHES} disjoint stretches out of sample; the last {LAST} must gain"),
    )  # fmt: skip


def _turnover(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask whether a unit of turnover earns twice what it costs."""
    known = np.isfinite(evidence.gross) & np.isfinite(evidence.costs) & np.isfinite(evidence.turnover)
    traded = float(evidence.turnover[known].sum())
    if not traded > 0.0:
        return (Hurdle("turnover", None, "what was traded and what that cost is not known"),)
    gross, cost = (float(of[known].sum()) / traded * 1e4 for of in (evidence.gross, evidence.costs))
    words = f"{number(gross, 1)} bp gross a unit of turnover, which costs {number(cost, 1)} bp"
    words += f"; {LEAST_GROSS:g} times that is needed"
    return (Hurdle("turnover", gross > 0.0 and gross >= LEAST_GROSS * cost, words),)


def _rivals(evidence: Evidence, box: Robustness, env: Env | None) -> Iterator[Hurdle]:
    """Ask whether it is better than what else one could have done on the same days."""
    for name in dict.fromkeys((*evidence.least, *evidence.rivals)):
        title = f"better than {name}"
        if name not in evidence.rivals:
            yield Hurdle(title, None, f"{name} was not measured on the same days")
            continue
        other = evidence.rivals[name]
        luck = paired_luck(evidence.walk, other, env=env)
        theirs = annual_sharpe(other)
        if luck != luck and theirs != theirs:
            still = bool(np.isfinite(other).all())  # what never moves gains nothing, and that is known
            gained = box.sharpe > 0.0
            yield Hurdle(title, gained if still else None, f"{name} never moves" if still else f"{name} is not known")
            continue
        words = f"Sharpe ratio {number(box.sharpe)} against {number(theirs)} of {name}, p-value {number(luck, 3)}"
        yield figure_gate(title, luck, luck <= MOST_ALIKE, f"{words} (paired bootstrap)", f"{title} {NOT_TESTABLE}")


def _windows(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask whether so much can be known from so many windows, and whether it is worth trading."""
    claim = evidence.claimed
    if not (isfinite(claim.ic) and isfinite(claim.breakeven)):
        return (Hurdle("windows", None, "what it claims to know (linear IC) cannot be measured"),)
    worth = f"claimed linear IC {number(claim.ic, 3)}, where costs eat {number(claim.breakeven, 3)}"
    few = f"seen in {whole(claim.windows)} windows, {whole(claim.needed) if isfinite(claim.needed) else 'none suffice'}"
    few += " needed for two errors" if isfinite(claim.needed) else ""
    passed = claim.ic >= 2.0 * claim.breakeven and claim.windows >= claim.needed
    return (Hurdle("windows", passed, f"{worth}; {few}"),)


def _outsiders(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask whether symbols that the study never saw agree in sign."""
    known = {name: net for name, net in evidence.outsiders.items() if net == net}
    if not known:
        return (Hurdle("outsiders", None, "no symbol outside the study was at hand to agree or not"),)
    agree = sum(net > 0.0 for net in known.values())
    told = ", ".join(f"{name} {percent(net, signed=True)}" for name, net in sorted(known.items()))
    words = f"{agree} of {plural(len(known), 'symbol')} outside the study gain: {told}"
    return (Hurdle("outsiders", 2 * agree > len(known), words),)


def _holdout(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask the sealed stretch, where the study names one."""
    sealed = evidence.holdout
    if sealed is None:
        return (Hurdle("hold-out", None, "the study names no sealed hold-out", needed=False),)
    if not sealed.opened:
        return (Hurdle("hold-out", None, f"its hold-out is sealed: virtuoso holdout open {evidence.study} opens it"),)
    if sealed.net != sealed.net:
        return (Hurdle("hold-out", None, "the hold-out has no result"),)
    words = f"on the hold-out it nets {percent(sealed.net, signed=True)}"
    passed = sealed.net > 0.0
    if sealed.openings > 1:  # the first look is evidence, of later ones what their number leaves of it
        words += f", opened {sealed.openings} times: deflated Sharpe {percent(sealed.deflated)}"
        words += f", {percent(LEAST_DEFLATED, 0)} needed"
        passed = passed and sealed.deflated >= LEAST_DEFLATED
    return (Hurdle("hold-out", passed, words, damning=not sealed.net > 0.0),)


def _scenarios(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask every scenario, where there are several."""
    if len(evidence.scenarios) < 2:
        return (Hurdle("scenarios", None, "the study has one scenario", needed=False),)
    nets = {name: _sum(daily) for name, daily in evidence.scenarios.items()}
    told = ", ".join(f"{name} {percent(net, signed=True)}" for name, net in nets.items())
    unknown = any(net != net for net in nets.values())
    return (Hurdle("scenarios", None if unknown else min(nets.values()) > 0.0, f"out of sample: {told}"),)


def _regimes(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask whether more is left than one state of the market."""
    known = {name: net for name, net in evidence.regimes.items() if net == net}
    if len(known) < 2:
        return (Hurdle("regimes", None, "fewer than two states of the market are known", needed=False),)
    best = max(known, key=lambda name: known[name])
    rest = sum(net for name, net in known.items() if name != best)
    told = ", ".join(f"{name} {percent(net, signed=True)}" for name, net in known.items())
    return (Hurdle("regimes", rest > 0.0, f"without {best}, its best, it makes {percent(rest, signed=True)}: {told}"),)


def _own(evidence: Evidence, box: Robustness, env: Env | None) -> Iterator[Hurdle]:
    """Give the answers of the winner's own backtest; one that is missing was not tested."""
    answers = {hurdle.name: hurdle for hurdle in evidence.asked}
    for name in OF_BACKTEST:
        yield answers.get(name) or Hurdle(name, None, f"the winner's backtest was not asked for its {name}")


def _plateau(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask the neighbourhood of the winner: a plateau may be real, a spike was fitted.

    Where too few trials lie near it, the steps that its own backtest took beside it answer.
    """
    near, kept = neighbourhood(evidence)
    if kept != kept:
        few = f"{plural(len(near), 'trial')} near the winner, {LEAST_BESIDE} are needed"
        own = [one for one in evidence.asked if one.name == "plateau" and one.passed is not None]
        return own or (Hurdle("plateau", None, f"plateau or spike {NOT_TESTABLE}: {few}"),)
    words = f"the median of {plural(len(near), 'trial')} nearest to the winner keeps {percent(kept, 0)} of its value"
    return (Hurdle("plateau", kept >= LEAST_KEPT, words),)


def _search(evidence: Evidence, box: Robustness, env: Env | None) -> Sequence[Hurdle]:
    """Ask whether what wins in sample wins out of sample (PBO), and whether any of it is better than nothing (SPA)."""
    return [replace(one, needed=True) for one in search(box) if one.name != "walk forward"]


CHEAP: tuple[Question, ...] = (
    _luck, _decay, _stretches, _turnover, _windows, _holdout, _scenarios, _regimes, _outsiders, _own, _plateau,
)  # fmt: skip
DEAR: tuple[Question, ...] = (_rivals, _search)
"""Questions that draw many times; asked last, so that a refusal need not wait for them."""


def neighbourhood(evidence: Evidence) -> tuple[list[int], float]:
    """Return the trials nearest to the winner, and the share of its value that their median keeps.

    Returns
    -------
    tuple of list of int and float
        Rows of `Space.points`, the nearest first; NaN where fewer than LEAST_BESIDE lie within REACH, or the winner has
        no positive value to keep.
    """
    space = evidence.space
    if space is None or not len(space.points):
        return [], NAN
    away = np.sqrt(np.mean((space.points - space.points[space.chosen]) ** 2, axis=1))
    beside = (away <= REACH) & (away > 0.0) & np.isfinite(space.values)
    rows = np.flatnonzero(beside)
    near = [int(row) for row in rows[np.argsort(away[rows], kind="stable")][:BESIDE]]
    best = float(space.values[space.chosen])
    if len(near) < LEAST_BESIDE or not best > 0.0:
        return near, NAN
    return near, float(np.median(space.values[near])) / best


def _sum(daily: Array) -> float:
    known = daily[np.isfinite(daily)]
    return float(known.sum()) if len(known) else NAN
