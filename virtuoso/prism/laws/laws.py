"""The laws of the prism: plain functions that accuse or acquit one component on one market.

1. `cutting`     any end cut, any chunks, bar by bar: the same bits, of values and of scores.
2. `future`      everything after t replaced by garbage: nothing at or before t changes.
3. `memory`      feeding more than `memory` changes nothing; past `warmup` a start is worth at most a point.
4. `units`       prices x 8 and volumes x 4, and powers of two up to 2^+-30: the same bits.
5. `bounds`      0 <= score <= 100, or NaN.
6. `mirror`      in the mirrored market a directional component scores 100 - score, a gate the same.
7. `continuity`  the scale is Lipschitz, and noise of 1e-9 moves at most 0.1 % of bars by more than a point.
8. `purity`      inputs are not written to, and nothing but the inputs matters: other markets in between, and a fresh
   process with another hash seed, clock, time zone and folder, give the same bits.
9. `epoch`       the same bars at another time score the same: neither dates nor files are read.
10. `arrival`    rows that became available after the decision do not matter.
11. `silence`    a missing bar is classified by the past alone, never by how long the silence turned out to be.

A breach of `memory`, `units`, `mirror` or `continuity` is by itself no look-ahead: it is noted, any other is BROKEN.
A comparison of mostly unknown values proves nothing: where it finds no difference, the law was not tested. `examine`
runs 1 to 9; hypothesis and the seeded leaks live in our own tests, and `virtuoso verify` runs the same functions on
the user's data and components. Of our own components every law is required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe
from virtuoso.files.digest import of_house
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN, GapPolicy, State
from virtuoso.market.schema.columns import mirrored, scaled
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.graph import timeframes_of, total_warmup
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws.cuts import (
    RANDOM,
    Positions,
    answering_at,
    cut_points,
    garbage_places,
    scattered,
    singles,
    stretches,
    turning,
)
from virtuoso.prism.laws.disturb import changed, copied, moved, narrowed, noisy, others, reciprocal, spoiled
from virtuoso.prism.laws.findings import (
    Finding,
    Verdict,
    answers,
    any_differing,
    differing,
    distances,
    finding_of,
    known_of_bars,
    outputs,
    points,
    rarest,
    scores,
    untested,
)
from virtuoso.prism.laws.purity import FreshValues, Task, over
from virtuoso.types import Array

MEMORY_TOLERANCE = 1e-6
"""Points that a longer memory may change."""
CLOSE_CALLS = 0.001
"""Share of its decisions that a longer memory may turn: sums differ in the last digit by where they begin."""
MIRROR_TOLERANCE = 1e-6
MIRROR_SPREAD = 20.0
"""Points by which scores must spread for the mirror to prove anything."""
NOISE, TIE_BREAK = 1e-9, 1e-5
RESTLESS_SHARE, RESTLESS_POINTS = 0.001, 1.0
WARM_SHARE = 0.995
EPOCH_TOLERANCE = 1e-6
WEEK = 7 * 86_400_000
"""ms."""


def examine(
    node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None, *, exhaustive: bool = False
) -> list[Finding]:
    """Run every law over one component (or feature) on one market.

    Parameters
    ----------
    node : Component or Feature
    frame : MarketFrame
        Longer than the node's memory and two blocks.
    timeframe : Timeframe
        The base timeframe of the frame or a slower one.
    block : int, optional
        Block length; the standard one if absent.
    exhaustive : bool
        Whether to cut at every bar, so that no leak is too rare to be met.
    """
    with FreshValues([(node, timeframe)], frame, block) as elsewhere:
        findings = within(node, frame, timeframe, block, exhaustive=exhaustive)
        return [*findings, purity_elsewhere(node, frame, timeframe, elsewhere, block=block)]


def within(
    node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None, *, exhaustive: bool = False
) -> list[Finding]:
    """Run every law that this process can judge by itself; parameters as for `examine`."""
    found = [cutting(node, frame, timeframe, block=block, exhaustive=exhaustive)]
    found += [law(node, frame, timeframe, block=block) for law in (future, memory, purity, epoch)]
    if isinstance(node, Component):
        found += [law(node, frame, timeframe, block=block) for law in (units, bounds, mirror, continuity)]
    return found


def cutting(
    node: Node,
    frame: MarketFrame,
    timeframe: Timeframe,
    *,
    block: int | None = None,
    cuts: Iterable[int] | None = None,
    exhaustive: bool = False,
) -> Finding:
    """Cut the end anywhere, compute in chunks from anywhere, or bar by bar: not one bit of value or score changes.

    Parameters
    ----------
    node, frame, timeframe, block : see `examine`
    cuts : iterable of int, optional
        Numbers of the bars before which to cut, and nowhere else; chosen (cuts.py) if absent.
    exhaustive : bool
        Whether to cut after every bar.
    """
    frame = narrowed(frame, node)
    bars, length = frame.bars(timeframe), block or block_length(timeframe)
    whole = answers(node, outputs(node, frame, timeframe, block))
    given = sorted(cuts) if cuts is not None else None
    places = cut_points(frame, timeframe, block) if given is None else given
    offending, seen = np.zeros((2, len(bars)), dtype=bool)

    def compare(workspace: Workspace, start: int, stop: int) -> None:
        part = answers(node, workspace.values(node, timeframe, start, stop))
        here = slice(start - bars.first, stop - bars.first)
        offending[here] |= any_differing([x[here] for x in whole], part)
        seen[here] = True

    for cut in places:
        cut_frame = frame.until(timeframe.open_time(cut))
        compare(Workspace(cut_frame, block), max(bars.first, (cut - 1) // length * length), cut)
    middle = places[len(places) // 2] if places else bars.first
    chunked = Workspace(frame, block)
    for start, stop in zip([middle, *places], [*places, bars.end], strict=True):
        if start < stop:
            compare(chunked, start, stop)
    answering = answering_at(whole[0], bars)
    at_random = answering if exhaustive else scattered(answering, RANDOM)
    further = np.union1d(at_random, turning(whole))
    alone = singles(bars, length, further) if given is None else np.array(given) - bars.first - 1
    _one_by_one(node, Workspace(frame, block), bars, alone, whole, offending, seen)
    known = np.isfinite(whole[0])[alone]
    detail = f"{len(places)} end cuts, chunks and {len(alone)} single bars"
    finding = finding_of("cutting", node, bars, offending, known, float(offending.sum()), bars.first, detail, seen=seen)
    return replace(finding, rarest=rarest(len(at_random), len(answering)) if given is None else None)


def _one_by_one(
    node: Node, workspace: Workspace, bars: Bars, singles: Positions, whole: Sequence[Array],
    offending: NDArray[np.bool_], seen: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Ask for single bars as a live process does, nothing after them being there; note where one differs.

    A block is extended to the bar asked for, so those between it and the one before are compared as well.
    """
    timeframe, reached = bars.timeframe, bars.first
    length, scored = workspace.buffers(timeframe).block, np.full(len(singles), np.nan)
    for i, position in enumerate(singles.tolist()):
        number = bars.first + position
        start = max(reached, number // length * length)
        part = workspace.values(node, timeframe, start, number + 1)
        here = slice(start - bars.first, position + 1)
        for x, y in zip(whole, part, strict=False):  # of a component, the score comes after the values
            offending[here] |= differing(x[here], y)
        seen[here] = True
        if isinstance(node, Component):
            scored[i] = node.score(part[0][-1:])[0]
        reached = number + 1
    if isinstance(node, Component):
        offending[singles] |= differing(whole[-1][singles], scored)


def future(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Replace everything after t by garbage (NaN, 1e300, shuffled): nothing at or before t changes, nor its score.

    Garbage can reach what lies in its own block; that block and the next are computed, at places all over the market
    and after the largest moves.
    """
    frame = narrowed(frame, node)
    bars, length = frame.bars(timeframe), block or block_length(timeframe)
    whole = answers(node, outputs(node, frame, timeframe, block))
    answering = answering_at(whole[0], bars)
    offending, seen = np.zeros((2, len(bars)), dtype=bool)
    places = garbage_places(answering, bars)
    for place in places:
        number = bars.first + place
        start = max((number - 1) // length * length, bars.first)
        stop = min(start + 2 * length, bars.end)
        here = slice(start - bars.first, place)
        seen[here] = True
        for garbage in ("nan", "huge", "shuffled"):
            with np.errstate(all="ignore"):  # 1e300 overflows, which is the point of it
                other = Workspace(spoiled(frame, timeframe.open_time(number), garbage), block)
                part = answers(node, other.values(node, timeframe, start, stop))
            offending[here] |= any_differing([x[here] for x in whole], [x[: number - start] for x in part])
    known = np.isfinite(whole[0])[seen]
    return finding_of("future", node, bars, offending, known, float(offending.sum()), bars.first,
                 f"NaN, 1e300 and shuffled bars after {len(places)} places", seen=seen)  # fmt: skip


def memory(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Feeding more than `memory` changes at most 1e-6 points; past `warmup`, 99.5 % of starts at most one point."""
    frame = narrowed(frame, node)
    bars = frame.bars(timeframe)
    whole = points(node, outputs(node, frame, timeframe, block))
    offending = np.zeros(len(bars), dtype=bool)
    worst = 0.0
    for extra in (1, 7, 64, node.memory(timeframe)):
        deeper = Workspace(frame, block, extra_memory=extra)
        other = points(node, deeper.values(node, timeframe, bars.first, bars.end))
        distance = distances(whole, other)
        offending |= distance > MEMORY_TOLERANCE
        worst = max(worst, float(distance.max(initial=0.0)))
    late, starts, apart = _late_starts(node, frame, timeframe, block, whole)
    # a sample of starts scatters; starts closer than a warm-up look at the same bars and are one trial
    cold = starts > 0 and late / starts > 1.0 - WARM_SHARE + 3.0 * np.sqrt(WARM_SHARE * (1.0 - WARM_SHARE) / apart)
    detail = f"fed 1, 7, 64 and {node.memory(timeframe):,} bars more"
    if starts:
        detail = f"{late} of {starts} fresh starts are more than a point off after the warm-up"
    also = ["too short a warm-up"] if cold else []
    close_calls = int(CLOSE_CALLS * len(bars)) if node.decides else 0
    if (cold or offending.sum() > close_calls) and of_house(type(node).memory.__module__):
        also.append(
            f"declare memory(timeframe) if it looks at more than the {node.memory(timeframe)} bars of the default"
        )
    return finding_of("memory", node, bars, offending, known_of_bars(whole[0], bars), worst, bars.first, detail,
                      tolerated=close_calls, also="; ".join(also))  # fmt: skip


def _late_starts(
    node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None, whole: Sequence[Array], count: int = 200
) -> tuple[int, int, int]:
    """How many of some fresh starts are more than a point off at the first bar past their warm-up, and of how many.

    And how many of them share no bar of their warm-ups.
    """
    bars = frame.bars(timeframe)
    ratio = timeframe.ratio(frame.timeframe)
    first_known = total_warmup(node, timeframe) - 1
    latest = len(bars) - first_known - 2
    if latest <= 0 or not isinstance(node, Component):
        return 0, 0, 1
    late = tried = 0
    for skip in Env(seed=count).random().integers(0, latest, count):
        start = bars.first + int(skip)
        at = start + first_known
        fresh = replace(frame.base.since(start * ratio).until((at + 1) * ratio), complete=True)
        value = Workspace(MarketFrame(frame.instrument, fresh), block).values(node, timeframe, at, at + 1)
        here, there = points(node, value)[0][0], whole[0][at - bars.first]
        if here == here and there == there:
            tried += 1
            late += abs(here - there) > 1.0
    return late, tried, max(min(tried, latest // max(first_known, 1)), 1)


def units(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Prices x 8 and volumes x 4, and powers of two up to 2^+-30: the same bits."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    offending = np.zeros(len(bars), dtype=bool)
    for price, base in ((8.0, 4.0), (2.0**-30, 1.0), (2.0**30, 2.0**-30), (1.0, 2.0**30)):
        other = scores(component, changed(frame, scaled(frame.base.columns, price, base)), timeframe, block)
        offending |= any_differing([whole], [other])
    return finding_of("units", component, bars, offending, known_of_bars(whole, bars),
                      float(offending.sum()), bars.first, "prices and volumes in four other units")  # fmt: skip


def bounds(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """0 <= score <= 100, or NaN."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    offending = np.isinf(whole) | (whole < 0.0) | (whole > 100.0)
    worst = float(np.nanmax(np.abs(whole - 50.0), initial=0.0)) - 50.0
    return finding_of(
        "bounds", component, bars, offending, known_of_bars(whole, bars), max(worst, 0.0), bars.first, "0 to 100"
    )


def mirror(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """In the mirrored market a directional component scores 100 - score; a gate scores the same."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    pivot = float(frame.base.columns["close"][np.argmax(frame.base.state != UNKNOWN)])
    columns = reciprocal(frame, pivot) if component.mirror == "ratio" else mirrored(frame.base.columns, pivot)
    other = scores(component, changed(frame, columns), timeframe, block)
    expected = whole if component.mirror == "same" else 100.0 - whole
    distance = distances([expected], [other])
    offending = distance > MIRROR_TOLERANCE
    spread = float(np.nanmax(whole, initial=0.0) - np.nanmin(whole, initial=100.0))
    finding = finding_of("mirror", component, bars, offending, known_of_bars(whole, bars),
                    float(distance.max(initial=0.0)), bars.first,
                    f"{component.mirror} mirror, scores spread over {spread:.0f} points")  # fmt: skip
    if finding.holds and spread < MIRROR_SPREAD:
        reason = f"proves nothing, scores spread over only {spread:.0f} points"
        return replace(finding, verdict="not tested", detail=reason)
    return finding


def continuity(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """The scale is Lipschitz; noise of 1e-9 on prices moves at most 0.1 % of bars by more than a point."""
    bars = frame.bars(timeframe)
    calm = noisy(frame, TIE_BREAK, seed=1)
    value = outputs(component, calm, timeframe, block)[0]
    whole = component.score(value)
    other = scores(component, noisy(calm, NOISE, seed=2), timeframe, block)
    distance = distances([whole], [other])
    restless = distance > RESTLESS_POINTS
    tolerated = int(RESTLESS_SHARE * len(bars))
    steep = _steepest(component, value)
    detail = f"{restless.mean():.3%} of bars move by more than a point; steepest slope {steep:.3f} of the declared"
    return finding_of("continuity", component, bars, restless, known_of_bars(whole, bars),
                 float(distance.max(initial=0.0)), bars.first, detail, tolerated,
                 also="" if steep <= 1.001 else "the scale is steeper than it declares")  # fmt: skip


def _steepest(component: Component, value: Array) -> float:
    """Largest slope of the scale over the values it meets, as a share of the slope it declares."""
    finite = value[np.isfinite(value)]
    if len(finite) == 0:
        return 0.0
    grid = np.linspace(finite.min(), finite.max(), 20_001)
    step = grid[1] - grid[0]
    if step == 0:
        return 0.0
    return float(np.abs(np.diff(component.score(grid))).max() / step / component.scale.slope)


def purity(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Inputs are not written to; the same inputs give the same bits, whatever was computed in between.

    What another symbol gives in between must be what it gives at another time, where nothing is kept of this one.
    """
    frame = narrowed(frame, node)
    bars = frame.bars(timeframe)
    before = {name: values.copy() for name, values in bars.columns.items()}
    first = answers(node, outputs(node, frame, timeframe, block))
    task = Task(node, timeframe, stretches(first[0], bars, block or block_length(timeframe)))
    offending = np.zeros(len(bars), dtype=bool)
    mixed = False
    if task.stretches:
        here = np.concatenate([np.arange(a, b) for a, b in task.stretches]) - bars.first
        mixed = _mixes(task, frame, block)
        offending[here] |= any_differing([x[here] for x in first], over(task, frame, block))
    written = [name for name, values in bars.columns.items() if any_differing([values], [before[name]]).any()]
    also = f"it wrote to {', '.join(written)}" if written else "another symbol gets what was kept of this one" * mixed
    return finding_of(
        "purity", node, bars, offending, known_of_bars(first[0], bars), float(offending.sum()), bars.first,
        "twice, with other markets in between", also=also,
    )  # fmt: skip


def _mixes(task: Task, frame: MarketFrame, block: int | None) -> bool:
    """Whether another symbol is given what was kept of this one.

    The truth about the other symbol is what it gives at another time, if this one gives the same at both.
    """
    node, timeframe = task.node, task.timeframe
    shift = 2 * _weeks(node, frame, timeframe, block)
    ahead = shift // timeframe.ms
    late = replace(task, stretches=tuple((a + ahead, b + ahead) for a, b in task.stretches))

    def tells_time(market: MarketFrame) -> bool:
        near, far = over(task, market, block), over(late, moved(market, shift), block)
        return bool((distances(points(node, near), points(node, far)) > EPOCH_TOLERANCE).any())

    return not tells_time(frame) and any(tells_time(other) for other in others(frame))


def purity_elsewhere(
    node: Node, frame: MarketFrame, timeframe: Timeframe, elsewhere: FreshValues, *, block: int | None = None
) -> Finding:
    """A fresh process with another hash seed, hour and folder, which saw other markets first, finds the same bits."""
    task, reply, obstacle = elsewhere.reply(node, timeframe)
    if obstacle or task is None:
        return untested("purity", node, timeframe, f"a fresh process gave no answer: {obstacle}")
    frame = copied(narrowed(frame, node))
    bars = frame.bars(timeframe)
    offending, seen = np.zeros((2, len(bars)), dtype=bool)
    here = np.concatenate([np.arange(a, b) for a, b in task.stretches]) - bars.first
    seen[here] = True
    own = over(task, frame, block)
    also = f"it failed there: {reply.failed}" if reply.failed else ""
    if not also:
        *before, there = reply.values
        offending[here] = any_differing(own, there)
        markets = others(frame)
        if any(any_differing(over(task, other, block), x).any() for other, x in zip(markets, before, strict=True)):
            also = "another symbol is not computed as it is alone"
        elif reply.opened:
            also = f"while it was computed there was: {', '.join(sorted(set(reply.opened))[:3])}"
    return finding_of("purity", node, bars, offending, np.isfinite(own[0]), float(offending.sum()), bars.first,
                 "in a fresh process with another hash seed, clock, time zone and folder", also=also,
                 seen=seen)  # fmt: skip


def epoch(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """The same bars, moved by 32 weeks (or so many that blocks begin where they did): the same to 1e-6 points.

    Weekday and hour stay as they are; what is otherwise comes from a date, or from a file that is read by one.
    """
    frame = narrowed(frame, node)
    bars, shift = frame.bars(timeframe), _weeks(node, frame, timeframe, block)
    whole = points(node, outputs(node, frame, timeframe, block))
    distance = distances(whole, points(node, outputs(node, moved(frame, shift), timeframe, block)))
    return finding_of("epoch", node, bars, distance > EPOCH_TOLERANCE, known_of_bars(whole[0], bars),
                 float(distance.max(initial=0.0)), bars.first,
                 f"the same bars {shift // WEEK} weeks later")  # fmt: skip


def _weeks(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None) -> int:
    """A multiple of 32 weeks, in ms, after which the blocks of every clock of a node begin where they did."""
    clocks = {frame.timeframe, timeframe, *timeframes_of(node, timeframe)}
    spans = [(block or block_length(clock)) * clock.ms for clock in clocks]
    fitting = (n for n in range(1, 65) if all(n * 32 * WEEK % span == 0 for span in spans))
    return next(fitting, 1) * 32 * WEEK


def arrival(
    node: Node, read: Callable[[int], MarketFrame], later: Callable[[int], MarketFrame], timeframe: Timeframe,
    decisions: Sequence[int], block: int | None = None,
) -> Finding:  # fmt: skip
    """Rows that became available after a decision do not change it.

    Parameters
    ----------
    node, timeframe, block : see `examine`
    read : callable, ms -> MarketFrame
        Reads what was known at a moment.
    later : callable, ms -> MarketFrame
        Reads the same moment from a store that has since received repairs, revisions and late rows.
    decisions : sequence of int, ms
        Moments to decide at.
    """
    offending, known = np.zeros(len(decisions), dtype=bool), np.zeros(len(decisions), dtype=bool)
    for i, moment in enumerate(decisions):
        a, b = read(moment), later(moment)
        x, y = outputs(node, a, timeframe, block), outputs(node, b, timeframe, block)
        offending[i] = len(x[0]) != len(y[0]) or any_differing(x, y).any()
        known[i] = len(x[0]) > 0 and bool(np.isfinite(x[0][-1]))
    bars = read(decisions[0]).bars(timeframe)
    return finding_of("arrival", node, bars, offending, known, float(offending.sum()), bars.first,
                  f"{len(decisions)} decisions")  # fmt: skip


def silence(
    rule: Callable[[NDArray[np.bool_], GapPolicy], State],
    present: NDArray[np.bool_],
    policy: GapPolicy,
    cuts: Iterable[int],
) -> Finding:
    """States of a cut history are the beginning of those of the whole.

    Parameters
    ----------
    rule : callable
        Gives the state of each bar from whether a row was published, such as `gaps.classify`.
    present : array of bool, shape (n_bars,)
    policy : GapPolicy
    cuts : iterable of int
        How many bars to keep.
    """
    whole = rule(present, policy)
    offending = np.zeros(len(present), dtype=bool)
    for cut in cuts:
        offending[:cut] |= rule(present[:cut], policy) != whole[:cut]
    count = int(offending.sum())
    detail = f"{count} of {len(present)} states depend on what came later"
    verdict: Verdict = "BROKEN" if count else "holds"
    return Finding("silence", rule.__name__, "rows", verdict, len(present), 1.0, float(count), None, detail)
