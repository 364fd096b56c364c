"""Foresight: whether orders know of bars that come after the close at which they were decided.

1. Everything after the close of an order is cut off: what was ordered up to that close, and nothing else, is ordered
   again. So too after closes at which nothing was ordered, so that orders which were left out are found.
2. Everything after it is replaced by another future: prices mirrored about the last close and nearer or further, all
   other columns in another order. So too in one market at a time, while the others go on.
3. Cutting off is done in a fresh process, from the oldest cut to the newest: whatever is remembered from call to call
   there has never seen the future, has another hash seed and another hour on its clock.

The cuts are spread over all orders, and lie also where the market did most in their favour: foresight pays there. The
finding says how rare a leak it finds with 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.clock import Env, Timeframe, iso
from virtuoso.errors import DataError, NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import TRADED
from virtuoso.market.schema.columns import PRICES
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.graph import missing_columns, parts, sources, timeframes, timeframes_of
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws.fresh_process import in_fresh_process
from virtuoso.prism.laws.pristine import pristine
from virtuoso.prism.prism import Prism
from virtuoso.reports.format import plural, whole
from virtuoso.signals.declared import Strategy
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import Frames, Orders, intents
from virtuoso.types import Array

Decide = Callable[[Frames], Orders]
Answer = TypeVar("Answer")
Values = Array
"""Values of nodes, each on each clock."""
Rule = tuple[Prism, SignalSettings, Sequence["Place"]]
"""The shipped rule, and where its orders are asked for as well."""

CUTS = 160
"""Orders after which everything is cut off: a leak in one order of 53 is found with 95 %."""
POINTED = 32
"""Further orders: those after which the market did most in their favour."""
IDLE = 48
"""Closes without an order after which everything is cut off; more where there are fewer orders than CUTS."""
OWN_CUTS = 12
"""Orders of a prism whose components all ship with Virtuoso: that they know the past alone is proved by its laws."""
SURE = 0.95
CLOSE_ENOUGH = 1e-9
"""Share of a price that arithmetic over a longer array may change in its last digits; no knowledge is so small."""
REACHES = (-1.0, -0.25, -3.0)
"""Another future goes so much as far as the real one, to the other side, on a scale of logarithms."""
REACH = 131_072
"""Bars that are kept before a cut of the standard rule; twice as many where it remembers more."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What the check found.

    Attributes
    ----------
    holds : bool or None
        Whether orders know the past alone; None is not tested, or not testable.
    detail : str
        For people: what was cut and what came of it, and the rarest leak that is found with 95 %.
    cuts : int
        Orders after which the future was taken away.
    rarest : float
        A leak in one order of so many is found with 95 %; infinite where every order was cut at.
    damning : bool
        Whether a failure is knowledge of later bars; else it depends on the clock, the process or earlier calls.
    untold : bool
        Whether nothing was found in this process, and there could be no other to ask.
    """

    holds: bool | None
    detail: str
    cuts: int = 0
    rarest: float = float("nan")
    damning: bool = True
    untold: bool = False


@dataclass(frozen=True)
class OneFrame:
    """A function of one frame, as one of a mapping that holds this frame alone."""

    name: Instrument
    decide: Callable[[MarketFrame], np.ndarray]

    def __call__(self, frames: Frames) -> Orders:
        """Give what it orders."""
        return {self.name: self.decide(frames[self.name])}

    def __deepcopy__(self, memo: object) -> OneFrame:
        return OneFrame(self.name, pristine(self.decide))


@dataclass(frozen=True, slots=True)
class Place:
    """A close after which to cut: the moment, ms, the instrument that is looked at, and whether it ordered there."""

    moment: int
    name: Instrument
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class Wrong:
    """What was ordered otherwise at a place; `failed` where nothing could be decided there."""

    place: Place
    words: str
    failed: bool = False


def check(
    frames: Frames,
    decide: Decide,
    *,
    orders: Orders | None = None,
    moments: Sequence[int] | None = None,
    count: int = CUTS,
    fresh: bool = True,
) -> Foresight:
    """Take the future away from a function that decides, and see whether it decides otherwise.

    Parameters
    ----------
    frames : mapping of Instrument to MarketFrame
    decide : callable
        Everything from all frames to the intents of all instruments, such as `Decider.orders`. It is never called
        itself but in copies, so that what its object or its closure keeps from call to call is as it was handed in.
    orders : mapping of Instrument to array of INTENT, optional
        What was traded; what it decides now if absent.
    moments : sequence of int, optional
        Closes after which to cut, ms; chosen if absent.
    count : int
        Orders after which to cut, at most; it is called about three times for each.
    fresh : bool
        Whether to ask in a fresh process as well.

    Returns
    -------
    Foresight
    """
    made = pristine(decide)(frames) if orders is None else orders
    places = _given(moments, frames, made) if moments is not None else chosen(frames, made, count)
    if not any(place.ordered for place in places):
        return _nothing(made)
    last = Place(max(frame.base.end * frame.timeframe.ms for frame in frames.values()), places[-1].name)
    once = pristine(decide)
    for _ in range(2):
        if odd := _asked(frames, once, made, last, "asked once more on the same bars"):
            return Foresight(None, f"not testable: {odd[0].words}", damning=False)
    other, repeats, obstacle = _with_other_futures(frames, pristine(decide), made, places), True, ""
    wrong = [one for one in other if not one.failed]
    if not wrong:
        done, obstacle = in_fresh_process(_cut_off, frames, decide, made, places) if fresh else (None, "not asked for")
        wrong, repeats = done if done is not None else _cut_off(frames, pristine(decide), made, places)
        if 2 * len(other) > len(places):  # now and then a made-up market may be refused
            wrong += other
    return _told(frames, made, places, wrong, repeats, obstacle)


def check_rule(prism: Prism, settings: SignalSettings, frames: Frames, orders: Orders) -> Foresight:
    """Do the same for orders that the standard rule made from the scores of a prism.

    An instrument is decided on by itself, and a single close costs no more than the blocks that end with it. Where all
    components ship with Virtuoso a few orders are cut at. What is private is asked for its values at as many closes as
    any strategy, with another future too, and in a fresh process.

    Parameters
    ----------
    prism : Prism
    settings : SignalSettings
    frames : mapping of Instrument to MarketFrame
        As they were scored: windows are kept.
    orders : mapping of Instrument to array of INTENT
        What was traded.
    """
    private = [node for node in _nodes(prism) if not type(node).__module__.startswith("virtuoso.")]
    few = chosen(frames, orders, OWN_CUTS, idle=OWN_CUTS // 4)
    if not any(place.ordered for place in few):
        return _nothing(orders)
    if not private:
        told = _told(frames, orders, few, _orders_at(prism, settings, frames, orders, few), True, "")
        return replace(told, detail=f"{told.detail}; all components ship with Virtuoso") if told.holds else told
    asked = Asked("a private component", tuple(private), prism)
    return _check_values(asked, frames, orders, chosen(frames, orders), (prism, settings, few))


def check_strategy(strategy: Strategy, frames: Frames, orders: Orders) -> Foresight:
    """Do the same for orders of a strategy that is declared: it is asked what it decides at single closes.

    A close costs no more than the blocks that end with it. Where it looks at the scores of a prism, which cost the
    most, fewer orders are cut at.

    Parameters
    ----------
    strategy : Strategy
    frames : mapping of Instrument to MarketFrame
    orders : mapping of Instrument to array of INTENT
        What was traded.
    """
    looks_at_scores = any(parts(node) for source in sources(strategy) for node in (source, *sources(source)))
    places = chosen(frames, orders, *((CUTS // 4, IDLE // 4) if looks_at_scores else ()))
    if not any(place.ordered for place in places):
        return _nothing(orders)
    for frame in frames.values():
        strategy.shaped_on(Workspace(frame))
    return _check_values(Asked(f"{strategy!r}", (strategy,)), frames, orders, places)


def _check_values(
    asked: Asked, frames: Frames, orders: Orders, places: Sequence[Place], rule: Rule | None = None
) -> Foresight:
    """Ask nodes for their values at some places, with another future, and with none in a fresh process."""
    values = _values(asked, frames, places)
    each = slice(None, None, len(REACHES))
    other, repeats, obstacle = _spoiled_values(asked, frames, places[each], values[each]), True, ""
    wrong = [one for one in other if not one.failed]
    if not wrong:
        given = (asked, frames, orders, places, values, rule)
        done, obstacle = in_fresh_process(_cut_values, *given)
        wrong, repeats = done if done is not None else _cut_values(*given)
        if 2 * len(other) > len(places[each]):
            wrong += other
    return _told(frames, orders, places, wrong, repeats, obstacle)


def rarest(cuts: int, of: int) -> float:
    """A leak in one order of so many is found with 95 % by so many cuts; infinite where every order was cut at."""
    return float("inf") if cuts >= of else 1.0 / (1.0 - (1.0 - SURE) ** (1.0 / max(cuts, 1)))


def _told(
    frames: Frames, orders: Orders, places: Sequence[Place], wrong: Sequence[Wrong], repeats: bool, obstacle: str
) -> Foresight:
    """Put what was found into words."""
    cuts = sum(place.ordered for place in places)
    of = sum(len(_testable(frames[name], made)) for name, made in orders.items() if name in frames)
    rare = rarest(cuts, of)
    looked = f"cut after {plural(cuts, 'order')} of {whole(of)} and {plural(len(places) - cuts, 'close')} without one"
    worst = next((one for one in wrong if not one.failed), None)
    if worst is not None:
        known = "know of later bars" if repeats else "depend on earlier calls, the clock or the process"
        detail = f"orders {known}: {worst.words}; {looked}, {plural(len(wrong), 'differs', 'differ')}"
        return Foresight(False, detail, cuts, rare, damning=repeats)
    if wrong:
        return Foresight(None, f"not testable: {wrong[0].words}", cuts, rare, damning=False)
    if obstacle:
        return Foresight(
            None, f"no later bar mattered, but what is kept from call to call was not tested: {obstacle}; {looked}",
            cuts, rare, damning=False, untold=True,
        )  # fmt: skip
    leak = "a leak at any order" if rare == float("inf") else f"a leak in 1 of {int(rare)} orders"
    return Foresight(True, f"orders know the past alone; {looked}; {leak} is found with 95 %", cuts, rare)


def _nothing(orders: Orders) -> Foresight:
    made = sum(len(rows) for rows in orders.values())
    why = "nothing was ordered" if not made else "no bar follows any order"
    return Foresight(None, f"proves nothing: {why}", damning=False)


# where to cut


def chosen(frames: Frames, orders: Orders, count: int = CUTS, idle: int = IDLE) -> list[Place]:
    """Closes after which to cut, oldest first.

    One order of each of `count` stretches that hold as many orders, drawn by lot; those after which the market did
    most in their favour; and closes without an order from the first order on.
    """
    random = Env(seed=count).random()
    rows = [
        (int(number), name, int(side))
        for name in sorted(frames)
        for number, side in _testable(frames[name], orders.get(name, np.empty(0, INTENT)))[["number", "side"]].tolist()
    ]
    made = [(Place((number + 1) * frames[name].timeframe.ms, name), side) for number, name, side in rows]
    made.sort(key=lambda one: (one[0].moment, one[0].name))
    places = [place for place, _ in made]
    edges = np.linspace(0, len(places), min(count, len(places)) + 1).astype(int)
    taken = {places[int(random.integers(a, b))] for a, b in pairwise(edges.tolist())}
    favour = np.array([_favour(frames[place.name], place.moment, side) for place, side in made])
    taken |= {places[int(k)] for k in np.argsort(-favour, kind="stable")[: min(POINTED, count // 4)]}
    return sorted(
        taken | set(_idle(frames, places, idle + max(min(count, CUTS) - len(taken), 0), random)), key=_in_time
    )


def _in_time(place: Place) -> tuple[int, Instrument]:
    return place.moment, place.name


def _idle(frames: Frames, ordered: Sequence[Place], count: int, random: np.random.Generator) -> Iterable[Place]:
    """Closes at which an instrument ordered nothing, after the first order of all and before the last bar."""
    if not ordered:
        return
    begun, busy, names = ordered[0].moment, set(ordered), sorted(frames)
    for k in range(count):
        frame = frames[names[k % len(names)]]
        ms = frame.timeframe.ms
        first, last = max(frame.start, begun // ms), frame.stop - 1
        if first < last:
            place = Place((int(random.integers(first, last)) + 1) * ms, frame.instrument)
            if place not in busy:
                yield replace(place, ordered=False)


def _testable(frame: MarketFrame, made: np.ndarray) -> np.ndarray:
    """The orders that bars follow, of which there is a future to take away."""
    return made[(made["number"] >= frame.base.first) & (made["number"] + 1 < frame.base.end)]


def _favour(frame: MarketFrame, moment: int, side: int) -> float:
    """By how much the next bar went an order's way; to be out is right before a move to either side."""
    close = frame.base.columns["close"]
    at = moment // frame.timeframe.ms - frame.base.first
    moved = float(close[at] / close[at - 1]) - 1.0
    gained = side * moved if side else abs(moved)
    return gained if gained == gained else -1.0


def _given(moments: Sequence[int], frames: Frames, orders: Orders) -> list[Place]:
    """Closes that somebody else chose; they count as orders where one lies before them."""
    name = min(frames)
    firsts = [(int(made["number"][0]) + 1) * frames[one].timeframe.ms for one, made in orders.items() if len(made)]
    begun = min(firsts, default=None)
    return [Place(moment, name, begun is not None and begun <= moment) for moment in sorted(moments)]


# what is asked


def _cut_off(frames: Frames, decide: Decide, orders: Orders, places: Sequence[Place]) -> tuple[list[Wrong], bool]:
    """Cut everything off, from the oldest cut to the newest; say also whether the whole is ordered as it was before."""
    found = []
    for moment, place in {place.moment: place for place in places}.items():
        short = {name: frame.until(moment) for name, frame in frames.items()}
        short = {name: frame for name, frame in short.items() if len(frame.base)}  # not listed yet: not known of
        found += _asked(short, decide, orders, place, "with what follows cut off", exact=True)
    return found, not found or not _difference(frames, orders, decide(frames))


def _with_other_futures(frames: Frames, decide: Decide, orders: Orders, places: Sequence[Place]) -> list[Wrong]:
    """Let another future follow: of all markets, and of one at a time."""
    found, names = [], sorted(frames)
    for k, (moment, place) in enumerate({place.moment: place for place in places}.items()):
        factor = REACHES[k % len(REACHES)]
        other = {name: other_future(frame, moment, factor) for name, frame in frames.items()}
        found += _asked(other, decide, orders, place, "with another future")
        if len(names) > 1:
            one = names[k % len(names)]
            found += _asked({**frames, one: other[one]}, decide, orders, place, f"with another future of {one} alone")
    return found


def _asked(
    frames: Frames, decide: Decide, orders: Orders, place: Place, how: str, *, exact: bool = False
) -> list[Wrong]:
    """Decide once more, and compare what was ordered up to the place."""
    try:
        again = decide(frames)
    except Exception as refused:  # whatever a strategy raises: it cannot decide with what was known then
        name = type(refused).__name__
        return [Wrong(place, f"at {iso(place.moment)}, {how}, it cannot decide ({name}: {refused})", failed=True)]
    words = _difference(frames, orders, again, place.moment, exact=exact)
    return [Wrong(place, f"{how}, {words}")] if words else []


# the standard rule


def _nodes(prism: Prism) -> list[Component]:
    """Components and gates of a prism."""
    return [*(component for _, component, _ in prism), *(gate for face in prism.faces for gate in face.gates)]


def _short(frame: MarketFrame, clocks: Sequence[Timeframe], moment: int, reach: int) -> MarketFrame:
    """What was known of a frame at a moment, without bars that lie too long before it; slower bars are not folded anew.

    Parameters
    ----------
    reach : int, ms
    """
    since = moment - reach
    folded = {clock.name: frame.bars(clock).since(-(-since // clock.ms)).until(moment // clock.ms) for clock in clocks}
    base = folded.pop(frame.timeframe.name)
    return MarketFrame(frame.instrument, base, frame.window, folded)


def _reaching(
    frame: MarketFrame, clocks: Sequence[Timeframe], moment: int, ask: Callable[[MarketFrame], Answer]
) -> Answer:
    """Ask something of what was known at a moment; of more of it where older bars are remembered."""
    reach = REACH * frame.timeframe.ms
    while True:
        short = _short(frame, clocks, moment, reach)
        try:
            return ask(short)
        except NotLoadedError:
            if short.base.first == frame.base.first:
                raise
            reach *= 2


def _orders_at(
    prism: Prism, settings: SignalSettings, frames: Frames, orders: Orders, places: Sequence[Place]
) -> list[Wrong]:
    """What is ordered otherwise at each place once everything is cut off that follows."""
    found = []
    for place in places:
        frame = frames[place.name]
        number = place.moment // frame.timeframe.ms - 1

        def ask(short: MarketFrame, number: int = number) -> np.ndarray:
            return intents(assemble(prism, Workspace(short), number, number + 1), settings)

        made = orders.get(place.name, np.empty(0, INTENT))
        again = _reaching(frame, timeframes(prism, frame.timeframe), place.moment, ask)
        words = _unlike(place.name, frame, made[made["number"] == number], again)
        found += [Wrong(place, f"with what follows cut off, {words}")] if words else []
    return found


# private components, and strategies that are declared


@dataclass(frozen=True)
class Asked:
    """Nodes that are asked for their values.

    Attributes
    ----------
    who : str
        They, in words.
    nodes : tuple of Node
    prism : Prism, optional
        On the clocks of whose ladder; on the base clock alone if absent.
    """

    who: str
    nodes: tuple[Node, ...]
    prism: Prism | None = None

    def on(self, frame: MarketFrame) -> list[tuple[Node, Timeframe]]:
        """Which node is asked on which clock: as far as its columns are there."""
        carried = frozenset(frame.base.columns)
        return [(n, clock) for n in self.nodes if not missing_columns(n, carried) for clock in self.ladder(frame)]

    def ladder(self, frame: MarketFrame) -> list[Timeframe]:
        """The clocks."""
        base = frame.timeframe
        return [base] if self.prism is None else [clock for clock, _ in self.prism.ladder(base)]

    def clocks(self, frame: MarketFrame) -> list[Timeframe]:
        """All clocks that answering touches."""
        if self.prism is not None:
            return timeframes(self.prism, frame.timeframe)
        return sorted({frame.timeframe}.union(*(timeframes_of(node, frame.timeframe) for node in self.nodes)))


def _values(asked: Asked, frames: Frames, places: Sequence[Place]) -> list[Values]:
    """What nodes say at each place in one pass over the whole history."""
    passes = {}
    for name in {place.name for place in places}:
        frame, workspace = frames[name], Workspace(frames[name])
        passes[name] = [
            (bars.first, clock, output)
            for node, clock in asked.on(frame)
            if len(bars := frame.bars(clock))
            for output in workspace.values(node, clock, bars.first, bars.end)
        ]
    return [
        np.array([_at(values, place.moment // clock.ms - 1 - first) for first, clock, values in passes[place.name]])
        for place in places
    ]


def _at(values: Array, position: int) -> float:
    """A value, NaN before the first one."""
    return float(values[position]) if position >= 0 else float("nan")


def _values_at(asked: Asked, frame: MarketFrame, moment: int, ahead: bool = False) -> Values:
    """What nodes say at the last closed bar of each clock; with a block computed ahead, or not."""
    workspace, found = Workspace(frame), []
    for node, clock in asked.on(frame):
        bars, number = frame.bars(clock), moment // clock.ms - 1
        stop = min(number + 1 + (block_length(clock) if ahead else 0), bars.end)
        if number < bars.end and (bars.first <= number or not bars.complete):
            found += [_at(output, 0) for output in workspace.values(node, clock, number, stop)]
        else:
            found += [float("nan")] * node.n_outputs
    return np.array(found)


def _compared(who: str, place: Place, before: Values, how: str, ask: Callable[[], Values]) -> list[Wrong]:
    """Whether nodes say otherwise of another frame."""
    try:
        after = ask()
    except NotLoadedError:  # of a frame that was made too short
        raise
    except Exception as refused:  # whatever people's own code raises
        what = f"{how}, {who} says nothing ({type(refused).__name__}: {refused})"
        return [Wrong(place, f"at {iso(place.moment)}, {what}", failed=True)]
    if np.isclose(before, after, CLOSE_ENOUGH, 0.0, equal_nan=True).all():
        return []
    return [Wrong(place, f"{how}, {who} says otherwise of {place.name} at {iso(place.moment)}")]


def _spoiled_values(asked: Asked, frames: Frames, places: Sequence[Place], values: Sequence[Values]) -> list[Wrong]:
    """What nodes say otherwise once another future follows, as far as their blocks reach."""
    found = []
    for k, (place, before) in enumerate(zip(places, values, strict=True)):
        frame = frames[place.name]
        longest = max(block_length(clock) * clock.ms for clock in asked.ladder(frame))
        ahead = frame.until(place.moment + longest)
        near = MarketFrame(frame.instrument, ahead.base.since(place.moment // frame.timeframe.ms - REACH))

        def ask(of: MarketFrame, place: Place = place, factor: float = REACHES[k % len(REACHES)]) -> Values:
            return _values_at(asked, other_future(of, place.moment, factor), place.moment, ahead=True)

        try:
            found += _compared(asked.who, place, before, "with another future", partial(ask, near))
        except NotLoadedError:
            found += _compared(asked.who, place, before, "with another future", partial(ask, ahead))
    return found


def _cut_values(
    asked: Asked, frames: Frames, orders: Orders, places: Sequence[Place], values: Sequence[Values], rule: Rule | None
) -> tuple[list[Wrong], bool]:
    """Cut everything off from the oldest cut to the newest; say also whether the whole says what it said before."""
    found = []
    for place, before in zip(places, values, strict=True):
        frame = frames[place.name]
        said = partial(_values_at, asked, moment=place.moment)
        ask = partial(_reaching, frame, asked.clocks(frame), place.moment, said)
        found += _compared(asked.who, place, before, "with what follows cut off", ask)
    if rule is not None and not any(one.failed for one in found):
        prism, settings, few = rule
        found += _orders_at(prism, settings, frames, orders, few)
    if not found:
        return [], True
    again = partial(_values, asked, frames, places[-1:])
    return found, not _compared(asked.who, places[-1], values[-1], "", lambda: again()[0])


def other_future(frame: MarketFrame, moment: int, factor: float = -1.0) -> MarketFrame:
    """The same frame with other bars from a moment on.

    Parameters
    ----------
    frame : MarketFrame
    moment : int, ms
        The first bar that is changed opens then or later.
    factor : float, below 0
        How far prices go from the last known close, as a multiple of how far they really go, of logarithms. Other
        columns are those of the same bars in another order; what is not known stays so.
    """
    base = frame.base
    at = min(max(-(-moment // frame.timeframe.ms) - base.first, 0), len(base))
    if at in (0, len(base)):
        return frame
    columns = {name: values.copy() for name, values in base.columns.items()}
    known = np.flatnonzero(np.isfinite(columns["close"][:at]))
    pivot = float(columns["close"][known[-1]]) if len(known) else 1.0
    for name, source in zip(PRICES, ("open", "low", "high", "close"), strict=True):
        columns[name][at:] = pivot * _power(base.columns[source][at:] / pivot, factor)
    rows = np.flatnonzero(base.state[at:] == TRADED) + at
    order = Env(seed=at).random().permutation(rows)
    for name in columns:
        if name not in PRICES:
            columns[name][rows] = base.columns[name][order]
    return MarketFrame(frame.instrument, replace(base, columns=columns), frame.window)


def _power(ratio: Array, factor: float) -> Array:
    """Ratios of prices to a power; as far as floats go."""
    with np.errstate(all="ignore"):
        return np.clip(ratio**factor, 1e-12, 1e12)


# what differs


def _difference(
    frames: Frames, orders: Orders, again: Orders, moment: int | None = None, *, exact: bool = False
) -> str:
    """Say what was ordered otherwise up to a moment; empty if nothing was.

    With `exact` orders after the moment are an offence as well: the bars of which they are decided are not there.
    """
    for name in sorted({*orders, *again}):
        frame = frames.get(name)
        if frame is None:  # not listed yet
            if len(again.get(name, ())):
                return f"{name} is ordered before its first bar"
            continue
        before, after = (_checked(name, made.get(name, np.empty(0, INTENT))) for made in (orders, again))
        if moment is not None:
            last = moment // frame.timeframe.ms - 1
            if exact and (after["number"] > last).any():
                return f"{name} orders at closes that have not come"
            before, after = before[before["number"] <= last], after[after["number"] <= last]
        words = _unlike(name, frame, before, after)
        if words:
            return words
    return ""


def _checked(name: Instrument, made: np.ndarray) -> np.ndarray:
    if getattr(made, "dtype", None) != INTENT:
        raise DataError(f"What is decided about {name} must be an array of INTENT, was {type(made).__name__}.")
    return made


def _unlike(name: Instrument, frame: MarketFrame, before: np.ndarray, after: np.ndarray) -> str:
    """Say in which order of an instrument two tables differ; empty if they are the same bytes, or as good as that."""
    if before.tobytes() == after.tobytes():
        return ""
    extra = np.setxor1d(before["number"], after["number"])
    if len(extra) or len(before) != len(after):
        number = int(extra[0]) if len(extra) else int((before if len(before) > len(after) else after)["number"][0])
        there = "vanishes" if number in before["number"] else "appears"
        return f"an order for {name} {there} at {iso(frame.timeframe.close_time(number))}"
    for field_name in INTENT.names or ():
        one, two = before[field_name], after[field_name]
        off = one != two if one.dtype.kind in "iu" else ~np.isclose(one, two, CLOSE_ENOUGH, 0.0, equal_nan=True)
        off = off.reshape(len(before), -1).any(axis=1)
        if off.any():
            at = int(np.argmax(off))
            when = iso(frame.timeframe.close_time(int(before["number"][at])))
            return f"{field_name} of {name} at {when} is {_plain(two[at])}, not {_plain(one[at])}"
    return ""


def _plain(value: NDArray[np.generic] | np.generic) -> str:
    return ", ".join(f"{float(one):g}" for one in np.atleast_1d(value))
