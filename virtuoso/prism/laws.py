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

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe, iso
from virtuoso.errors import LawBrokenError
from virtuoso.market.bars import Bars
from virtuoso.market.columns import PRICES, Array, mirrored, scaled
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN, GapPolicy, State
from virtuoso.prism.blocks import Workspace, block_length
from virtuoso.prism.component import Component, Feature, Node
from virtuoso.prism.views import total_warmup

MEMORY_TOLERANCE = 1e-6
"""Points that a longer memory may change."""
MIRROR_TOLERANCE = 1e-6
MIRROR_SPREAD = 20.0
"""Points by which scores must spread for the mirror to prove anything."""
NOISE, TIE_BREAK = 1e-9, 1e-5
RESTLESS_SHARE, RESTLESS_POINTS = 0.001, 1.0
WARM_SHARE = 0.995
KNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """What a law found about a node.

    Attributes
    ----------
    law, node, timeframe : str
    holds : bool
    compared : int
        Values that were compared.
    known : float
        Share of them that is known.
    worst : float, points (or differing values)
    at : int or None, ms
        Close time of the first offending bar.
    detail : str
    """

    law: str
    node: str
    timeframe: str
    holds: bool
    compared: int
    known: float
    worst: float = 0.0
    at: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "BROKEN"
        where = f" first at {iso(self.at)}" if self.at is not None else ""
        return f"{self.law} {verdict} for {self.node} {self.timeframe}{where}: {self.detail}"

    def insist(self) -> None:
        """Raise LawBrokenError unless the law holds."""
        if not self.holds:
            raise LawBrokenError(str(self))


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


# --- what is compared -------------------------------------------------------------------------------------------


def outputs(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> list[Array]:
    """All values of a node over a frame, one array an output; of a component, its raw value."""
    bars = frame.bars(timeframe)
    return [x.copy() for x in Workspace(frame, block).values(node, timeframe, bars.first, bars.end)]


def scores(component: Component, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> Array:
    """Scores of a component over a frame, shape (n_bars,)."""
    return component.score(outputs(component, frame, timeframe, block)[0])


def digest(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> str:
    """Digest of all values, to compare with another process or machine."""
    total = hashlib.sha256()
    for values in outputs(node, frame, timeframe, block):
        total.update(_bits(values).tobytes())
    return total.hexdigest()


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Bit patterns, every NaN the same one; codes stand for themselves."""
    return np.where(np.isnan(values), np.nan, values).view(np.int64) if values.dtype == np.float64 else values


def differing(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ in a bit; unknown equals unknown."""
    different: NDArray[np.bool_] = _bits(a) != _bits(b)
    return different


def _differing(a: Sequence[Array], b: Sequence[Array]) -> NDArray[np.bool_]:
    """Where any output differs in a bit."""
    different = np.zeros(len(a[0]), dtype=bool)
    for x, y in zip(a, b, strict=True):
        different |= differing(x, y)
    return different


def _judge(
    law: str,
    node: Node,
    bars: Bars,
    offending: NDArray[np.bool_],
    known: NDArray[np.bool_],
    worst: float,
    start: int,
    detail: str,
    tolerated: int = 0,
) -> Finding:
    """Make a finding of what offended among bars numbered from `start`."""
    compared, count = len(offending), int(offending.sum())
    share = float(known.mean()) if compared else 0.0
    sparse = isinstance(node, Feature) and node.sparse
    vacuous = compared == 0 or (share < KNOWN_SHARE and not sparse)
    at = bars.timeframe.close_time(start + int(np.argmax(offending))) if count else None
    text = f"{count} of {compared} values differ; {detail}" if count else f"{compared} values compared; {detail}"
    if vacuous:
        text = f"proves nothing, only {share:.0%} of {compared} values are known; {detail}"
    holds = count <= tolerated and not vacuous
    return Finding(law, repr(node), bars.timeframe.name, holds, compared, share, worst, at, text)


# --- the laws ---------------------------------------------------------------------------------------------------


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
        offending[here] |= _differing([x[here] for x in whole], part)
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
    return _judge("cutting", node, bars, offending[start - bars.first :], known, float(offending.sum()), start,
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
                other = outputs(node, _spoiled(frame, timeframe.open_time(place), garbage), timeframe, block)
            offending[:keep] |= _differing([x[:keep] for x in whole], [x[:keep] for x in other])
    known = np.isfinite(whole[0][:seen])
    return _judge("future", node, bars, offending[:seen], known, float(offending.sum()), bars.first,
                  f"NaN, 1e300 and shuffled bars after {len(places)} places")  # fmt: skip


def _spoiled(frame: MarketFrame, time_ms: int, garbage: str) -> MarketFrame:
    """The frame with everything that opens at or after a moment replaced."""
    base = frame.base
    at = time_ms // base.timeframe.ms - base.first
    order = Env(seed=at).random().permutation(len(base) - at) + at
    columns = {}
    for name, values in base.columns.items():
        spoiled = values.copy()
        spoiled[at:] = {"nan": np.nan, "huge": 1e300}.get(garbage, values[order])
        columns[name] = spoiled
    return MarketFrame(frame.instrument, replace(base, columns=columns))


def memory(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Feeding more than `memory` changes at most 1e-6 points; past `warmup`, 99.5 % of starts at most one point."""
    bars = frame.bars(timeframe)
    whole = _points(node, outputs(node, frame, timeframe, block))
    offending = np.zeros(len(bars), dtype=bool)
    worst = 0.0
    for extra in (1, 7, 64, node.memory(timeframe)):
        deeper = Workspace(frame, block, extra_memory=extra)
        other = _points(node, deeper.values(node, timeframe, bars.first, bars.end))
        distance = _distance(whole, other)
        offending |= distance > MEMORY_TOLERANCE
        worst = max(worst, float(distance.max(initial=0.0)))
    known = np.isfinite(whole[0])
    late, starts = _late_starts(node, frame, timeframe, block, whole)
    expected = (1 - WARM_SHARE) * starts
    cold = starts > 0 and late > expected + 3.0 * np.sqrt(expected)  # a sample of starts scatters
    detail = f"{late} of {starts} fresh starts are more than a point off after the warm-up"
    finding = _judge("memory", node, bars, offending, known, worst, bars.first, detail)
    return replace(finding, holds=finding.holds and not cold)


def _points(node: Node, values: Sequence[Array]) -> list[Array]:
    """What is compared: the score of a component, the outputs of a feature relative to their size."""
    if isinstance(node, Component):
        return [node.score(values[0])]
    return [100.0 * x / max(float(np.nanmax(np.abs(x), initial=0.0)), 1e-300) for x in values]


def _distance(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Largest difference at each bar; infinite where one side is known and the other is not."""
    total = np.zeros(len(a[0]))
    for x, y in zip(a, b, strict=True):
        one_sided = np.isnan(x) != np.isnan(y)
        total = np.maximum(total, np.where(one_sided, np.inf, np.nan_to_num(np.abs(x - y))))
    return total


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
        here, there = _points(node, value)[0][0], whole[0][at - bars.first]
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
        other = scores(component, _changed(frame, scaled(frame.base.columns, price, base)), timeframe, block)
        offending |= _differing([whole], [other])
    return _judge("units", component, bars, offending, np.isfinite(whole), float(offending.sum()), bars.first,
                  "prices and volumes in four other units")  # fmt: skip


def bounds(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """0 <= score <= 100, or NaN."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    offending = np.isinf(whole) | (whole < 0.0) | (whole > 100.0)
    worst = float(np.nanmax(np.abs(whole - 50.0), initial=0.0)) - 50.0
    return _judge("bounds", component, bars, offending, np.isfinite(whole), max(worst, 0.0), bars.first, "0 to 100")


def mirror(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """In the mirrored market a directional component scores 100 - score; a gate scores the same."""
    bars = frame.bars(timeframe)
    whole = scores(component, frame, timeframe, block)
    pivot = float(frame.base.columns["close"][np.argmax(frame.base.state != UNKNOWN)])
    columns = _reciprocal(frame, pivot) if component.mirror == "ratio" else mirrored(frame.base.columns, pivot)
    other = scores(component, _changed(frame, columns), timeframe, block)
    expected = whole if component.mirror == "same" else 100.0 - whole
    distance = _distance([expected], [other])
    offending = distance > MIRROR_TOLERANCE
    spread = float(np.nanmax(whole, initial=0.0) - np.nanmin(whole, initial=100.0))
    finding = _judge("mirror", component, bars, offending, np.isfinite(whole), float(distance.max(initial=0.0)),
                     bars.first, f"{component.mirror} mirror, scores spread over {spread:.0f} points")  # fmt: skip
    return replace(finding, holds=finding.holds and spread >= MIRROR_SPREAD)


def _reciprocal(frame: MarketFrame, pivot: float) -> dict[str, Array]:
    """The ratio mirror: prices c^2 / p, highs and lows exchanged, buying and selling exchanged."""
    columns = mirrored(frame.base.columns, pivot)
    for name, source in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
        columns[name] = pivot * pivot / frame.base.columns[source]
    return columns


def continuity(component: Component, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """The scale is Lipschitz; noise of 1e-9 on prices moves at most 0.1 % of bars by more than a point."""
    bars = frame.bars(timeframe)
    calm = _noisy(frame, TIE_BREAK, seed=1)
    value = outputs(component, calm, timeframe, block)[0]
    whole = component.score(value)
    other = scores(component, _noisy(calm, NOISE, seed=2), timeframe, block)
    distance = _distance([whole], [other])
    restless = distance > RESTLESS_POINTS
    tolerated = int(RESTLESS_SHARE * len(bars))
    steep = _steepest(component, value)
    detail = f"{restless.mean():.3%} of bars move by more than a point; steepest slope {steep:.3f} of the declared"
    finding = _judge("continuity", component, bars, restless, np.isfinite(whole),
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


def _noisy(frame: MarketFrame, size: float, seed: int) -> MarketFrame:
    """The frame with prices disturbed by a relative noise; bars stay bars."""
    random = Env(seed=seed).random()
    columns = dict(frame.base.columns)
    for name in PRICES:
        columns[name] = columns[name] * (1.0 + size * random.standard_normal(len(frame.base)))
    columns["high"] = np.maximum.reduce([columns[name] for name in PRICES])
    columns["low"] = np.minimum.reduce([columns[name] for name in PRICES])
    return _changed(frame, columns)


def _changed(frame: MarketFrame, columns: dict[str, Array]) -> MarketFrame:
    return MarketFrame(frame.instrument, replace(frame.base, columns=columns))


def purity(node: Node, frame: MarketFrame, timeframe: Timeframe, *, block: int | None = None) -> Finding:
    """Inputs are not written to; the same inputs give the same bits, whatever was computed in between."""
    bars = frame.bars(timeframe)
    before = {name: values.copy() for name, values in bars.columns.items()}
    first = outputs(node, frame, timeframe, block)
    outputs(node, _changed(frame, scaled(frame.base.columns, 1.25, 3.0)), timeframe, block)
    again = outputs(node, frame, timeframe, block)
    offending = _differing(first, again)
    written = [name for name, values in bars.columns.items() if _differing([values], [before[name]]).any()]
    detail = f"it wrote to {', '.join(written)}" if written else "twice, with another market in between"
    finding = _judge("purity", node, bars, offending, np.isfinite(first[0]), float(offending.sum()), bars.first, detail)
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
        offending[i] = len(x[0]) != len(y[0]) or _differing(x, y).any()
        known[i] = len(x[0]) > 0 and bool(np.isfinite(x[0][-1]))
    bars = read(decisions[0]).bars(timeframe)
    return _judge("arrival", node, bars, offending, known, float(offending.sum()), bars.first,
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
