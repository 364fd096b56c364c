"""The laws of the prism: plain functions that accuse or acquit one component on one market.

1. `cutting`     any end cut, any chunks, bar by bar: the same bits.
2. `future`      everything after t replaced by garbage: nothing at or before t changes.
3. `memory`      feeding more than `memory` changes nothing; past `warmup` a start is worth at most a point.
4. `units`       prices x 8 and volumes x 4, and powers of two up to 2^+-30: the same bits.
5. `bounds`      0 <= score <= 100, or NaN.
6. `mirror`      in the mirrored market a directional component scores 100 - score, a gate the same.
7. `continuity`  the scale is Lipschitz, and noise of 1e-9 moves at most 0.1 % of bars by more than a point.
8. `purity`      inputs are not written to, and nothing but the inputs matters.
9. `arrival`     rows that became available after the decision do not matter.
10. `silence`    a missing bar is classified by the past alone, never by how long the silence turned out to be.

A comparison of mostly unknown values proves nothing, so a law also fails where fewer than half of the values it
compared are known. `examine` runs 1 to 8; hypothesis and the seeded leaks live in our own tests, and
`virtuoso verify` runs the same functions on the user's data and components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe
from virtuoso.market.columns import Array, mirrored, scaled
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN, GapPolicy, State
from virtuoso.prism.blocks import Workspace, block_length
from virtuoso.prism.component import Component, Node
from virtuoso.prism.evidence import (
    Finding,
    any_differing,
    changed,
    distances,
    judge,
    noisy,
    outputs,
    points,
    reciprocal,
    scores,
    spoiled,
)
from virtuoso.prism.views import total_warmup

MEMORY_TOLERANCE = 1e-6
"""Points that a longer memory may change."""
MIRROR_TOLERANCE = 1e-6
MIRROR_SPREAD = 20.0
"""Points by which scores must spread for the mirror to prove anything."""
NOISE, TIE_BREAK = 1e-9, 1e-5
RESTLESS_SHARE, RESTLESS_POINTS = 0.001, 1.0
WARM_SHARE = 0.995


def examine(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> list[Finding]:
    """Run every law over one component (or feature) on one market.

    Parameters
    ----------
    node : Component or Feature
    frame : MarketFrame
        Longer than the node's memory and two blocks.
    timeframe : Timeframe
        The base clock of the frame or a slower one.
    block : int, optional
        Block length; the standard one if absent.
    """
    checks: list[Callable[[], Finding]] = [
        lambda: cutting(node, frame, timeframe, block=block),
        lambda: future(node, frame, timeframe, block=block),
        lambda: memory(node, frame, timeframe, block=block),
        lambda: purity(node, frame, timeframe, block=block),
    ]
    if isinstance(node, Component):
        checks += [
            lambda: units(node, frame, timeframe, block=block),
            lambda: bounds(node, frame, timeframe, block=block),
            lambda: mirror(node, frame, timeframe, block=block),
            lambda: continuity(node, frame, timeframe, block=block),
        ]
    return [check() for check in checks]


def cut_points(frame: MarketFrame, timeframe: Timeframe, block: int | None = None, count: int = 12) -> list[int]:
    """Numbers at which to cut: block edges, gaps, session starts and scattered bars; ends are exclusive."""
    bars = frame.bars(timeframe)
    length = block or block_length(timeframe)
    last_block = (bars.end - 1) // length * length
    cuts = {last_block, last_block + 1, last_block - 1, bars.end - 1}
    day = 86_400_000 // timeframe.ms
    if day:
        session = (bars.end - 1) // day * day
        cuts |= {session, session + 1}
    holes = np.flatnonzero(np.diff((bars.state == UNKNOWN).astype(np.int8))) + bars.first + 1
    cuts |= {int(h) + d for h in holes[-2:] for d in (0, 1)}
    scattered = Env(seed=len(bars)).random().integers(bars.first + len(bars) // 2, bars.end, count)
    cuts |= {int(c) for c in scattered}
    return sorted(c for c in cuts if bars.first + 1 < c < bars.end)


def cutting(
    node: Node,
    frame: MarketFrame,
    timeframe: Timeframe,
    *,
    block: int | None = None,
    cuts: Iterable[int] | None = None,
) -> Finding:
    """Cut the end anywhere, compute in chunks from anywhere, or bar by bar: not one bit changes.

    Parameters
    ----------
    node, frame, timeframe, block : see `examine`
    cuts : iterable of int, optional
        Numbers of the bars before which to cut; chosen at edges, gaps and random if absent.
    """
    bars = frame.bars(timeframe)
    whole = outputs(node, frame, timeframe, block)
    places = sorted(cuts) if cuts is not None else cut_points(frame, timeframe, block)
    offending = np.zeros(len(bars), dtype=bool)
    seen = np.zeros(len(bars), dtype=bool)
    length = block or block_length(timeframe)

    def compare(workspace: Workspace, start: int, stop: int) -> None:
        part = workspace.values(node, timeframe, start, stop)
        here = slice(start - bars.first, stop - bars.first)
        offending[here] |= any_differing([x[here] for x in whole], part)
        seen[here] = True

    for cut in places:
        cut_frame = frame.until(timeframe.open_time(cut))
        start = max(bars.first, (cut - 1) // length * length)
        compare(Workspace(cut_frame, block), start, cut)
    middle = places[len(places) // 2]
    chunked = Workspace(frame, block)
    for start, stop in zip([middle, *places], [*places, bars.end], strict=True):
        if start < stop:
            compare(chunked, start, stop)
    by_bar = Workspace(frame, block)
    for number in range(max(bars.first, bars.end - length - 8), bars.end):
        compare(by_bar, number, number + 1)
    known = np.isfinite(whole[0])[seen]
    start = bars.first + int(np.argmax(seen))
    return judge("cutting", node, bars, offending[start - bars.first :], known, float(offending.sum()), start,
                  f"{len(places)} end cuts, chunks and {length + 8} single bars")  # fmt: skip


def future(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Replace everything after t by garbage (NaN, 1e300, shuffled): nothing at or before t changes."""
    bars = frame.bars(timeframe)
    whole = outputs(node, frame, timeframe, block)
    offending = np.zeros(len(bars), dtype=bool)
    answered = np.flatnonzero(np.isfinite(whole[0]))
    places = (
        [bars.first + int(answered[len(answered) * part // 100]) + 1 for part in (50, 80, 97)] if len(answered) else []
    )
    seen = 0
    for place in places:
        keep = place - bars.first
        seen = max(seen, keep)
        for garbage in ("nan", "huge", "shuffled"):
            with np.errstate(all="ignore"):  # 1e300 overflows, which is the point of it
                other = outputs(node, spoiled(frame, timeframe.open_time(place), garbage), timeframe, block)
            offending[:keep] |= any_differing([x[:keep] for x in whole], [x[:keep] for x in other])
    known = np.isfinite(whole[0][:seen])
    return judge("future", node, bars, offending[:seen], known, float(offending.sum()), bars.first,
                  f"NaN, 1e300 and shuffled bars after {len(places)} places")  # fmt: skip


def memory(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Feeding more than `memory` changes at most 1e-6 points; past `warmup`, 99.5 % of starts at most one point."""
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
    known = np.isfinite(whole[0])
    late, starts = _late_starts(node, frame, timeframe, block, whole)
    alike = starts * total_warmup(node, timeframe) / len(bars)
    cold = starts > 0 and late > tolerated_late(starts, alike)
    detail = f"{late} of {starts} fresh starts are more than a point off after the warm-up"
    finding = judge("memory", node, bars, offending, known, worst, bars.first, detail)
    return replace(finding, holds=finding.holds and not cold)


def tolerated_late(starts: int, alike: float) -> float:
    """How many late starts a component that is right may have in a sample, within three standard deviations.

    Starts nearer to each other than a warm-up see the same bars: they are late together, and a sample of them scatters
    as a smaller one would.

    Parameters
    ----------
    starts : int
        How many were tried.
    alike : float
        How many of them there are in the length of a warm-up.
    """
    expected = (1 - WARM_SHARE) * starts
    tolerated: float = expected + 3.0 * np.sqrt(expected * max(alike, 1.0))
    return tolerated


def _late_starts(
    node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None, whole: Sequence[Array], count: int = 200
) -> tuple[int, int]:
    """How many of some fresh starts are more than a point off at the first bar past their warm-up."""
    bars = frame.bars(timeframe)
    ratio = timeframe.ratio(frame.timeframe)
    first_known = total_warmup(node, timeframe) - 1
    latest = len(bars) - first_known - 2
    if latest <= 0 or not isinstance(node, Component):
        return 0, 0
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
    return late, tried


def units(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Prices x 8 and volumes x 4, and powers of two up to 2^+-30: the same bits."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    offending = np.zeros(len(bars), dtype=bool)
    for price, base in ((8.0, 4.0), (2.0**-30, 1.0), (2.0**30, 2.0**-30), (1.0, 2.0**30)):
        other = scores(component, changed(frame, scaled(frame.base.columns, price, base)), timeframe, block)
        offending |= any_differing([whole], [other])
    return judge("units", component, bars, offending, np.isfinite(whole), float(offending.sum()), bars.first,
                  "prices and volumes in four other units")  # fmt: skip


def bounds(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """0 <= score <= 100, or NaN."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    offending = np.isinf(whole) | (whole < 0.0) | (whole > 100.0)
    worst = float(np.nanmax(np.abs(whole - 50.0), initial=0.0)) - 50.0
    return judge("bounds", component, bars, offending, np.isfinite(whole), max(worst, 0.0), bars.first, "0 to 100")


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
    finding = judge("mirror", component, bars, offending, np.isfinite(whole), float(distance.max(initial=0.0)),
                     bars.first, f"{component.mirror} mirror, scores spread over {spread:.0f} points")  # fmt: skip
    return replace(finding, holds=finding.holds and spread >= MIRROR_SPREAD)


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
    finding = judge("continuity", component, bars, restless, np.isfinite(whole),
                     float(distance.max(initial=0.0)), bars.first, detail, tolerated)  # fmt: skip
    return replace(finding, holds=finding.holds and steep <= 1.001)


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
    """Inputs are not written to; the same inputs give the same bits, whatever was computed in between."""
    bars = frame.bars(timeframe)
    before = {name: values.copy() for name, values in bars.columns.items()}
    first = outputs(node, frame, timeframe, block)
    outputs(node, changed(frame, scaled(frame.base.columns, 1.25, 3.0)), timeframe, block)
    again = outputs(node, frame, timeframe, block)
    offending = any_differing(first, again)
    written = [name for name, values in bars.columns.items() if any_differing([values], [before[name]]).any()]
    detail = f"it wrote to {', '.join(written)}" if written else "twice, with another market in between"
    finding = judge("purity", node, bars, offending, np.isfinite(first[0]), float(offending.sum()), bars.first, detail)
    return replace(finding, holds=finding.holds and not written)


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
    return judge("arrival", node, bars, offending, known, float(offending.sum()), bars.first,
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
    return Finding("silence", rule.__name__, "rows", count == 0, len(present), 1.0, float(count), None, detail)
