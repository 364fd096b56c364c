"""The signal context: everything that is known at the close of one bar, for the insights.

What is not known is not in it, so that no rule can mistake it for balance. Everything is seen from that close: slow
bars from their own close on, levels and breaks once they are confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import PRICES
from virtuoso.prism.component import Node
from virtuoso.prism.engine.graph import columns_of
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.structure import CHOCH, Structure
from virtuoso.prism.open_interest.analysis import squeezes_at
from virtuoso.prism.open_interest.squeeze import SqueezePoint
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.explanation import Explanation, Row, impact_of
from virtuoso.signals.calibration import Basis
from virtuoso.signals.decision import Decisions
from virtuoso.signals.history import AfterScores, life_of
from virtuoso.signals.levels import TARGETS
from virtuoso.signals.message.large_traders import Institutions, MarketMakers, institutions, market_makers
from virtuoso.signals.regime import Regime, regime_name, regime_timeframe
from virtuoso.signals.reliability import misfit
from virtuoso.signals.rule import NEUTRAL
from virtuoso.types import Array

BREAK_BARS = 3
"""Closed bars within which a break of structure is recent."""
SLOPE_BARS = 3
"""Bars over which momentum gains or loses speed."""
MOMENTUM = {"technical.macd": "MACD", "technical.ao": "AO"}
"""Whose slopes say so."""
TICK_BARS = 256
"""Bars from whose prices the tick is read."""
ON_TICK = 0.6
"""Share of the prices that lie on the tick; some venues print averages between them."""
LARGEST_EXACT = 1e13
"""Number of ticks up to which a price tells its digits."""


class Break(NamedTuple):
    """A recent break of structure: which way, through which price, on which timeframe, and of what kind."""

    side: int
    price: float
    timeframe: str
    kind: str


class Slope(NamedTuple):
    """A momentum component on one timeframe: its raw value, and the change of that over SLOPE_BARS."""

    value: float
    change: float


class Divergence(NamedTuple):
    """The divergence of a component: its title, the kind, and the points it adds."""

    title: str
    kind: str
    bonus: float


class Trade(NamedTuple):
    """Entry, stop and targets of the moment; `expires` is when a limit entry lapses, ms."""

    side: int
    entry: float
    is_limit: bool
    expires: int
    stop: float
    targets: tuple[float, ...]
    sizes: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalContext:
    """What is known at the close of one bar.

    Attributes
    ----------
    state : int
        BULLISH, BEARISH or NEUTRAL.
    reason : str
        Why.
    price, atr, confluence, reliability, coverage, effective_inputs : float
        NaN where not known; ATR of the structure timeframe.
    basis : str
        Whether reliability is a probability ('calibrated') or 'heuristic'.
    misfit : str
        Why a calibration that there is does not apply; empty where there is none or it fits.
    decided, lapses : int, ms
    awaited : str
        What would begin a side.
    after : AfterScores, optional
        What prices did after scores like this one.
    standing : str
        What the weights have shown.
    faces, components : mapping of str to float
        Scores of those that are known; components by dotted name.
    unseen : tuple of str
        Titles of the faces of which nothing is known.
    timeframes : mapping of str to float
        Weighted mean of the known component scores on each timeframe of the ladder, NaN where none is.
    divergences : tuple of Divergence
    slopes : mapping of str to Slope
        By the names in MOMENTUM.
    slope_timeframe, structure_timeframe : str
    broken : Break or None
    supports, resistances : tuple of float
        Nearest first.
    trade : Trade or None
    regime, regime_timeframe : str
        Empty where it is not known.
    entered_in : tuple of str
        Regimes in which positions are entered.
    is_stopped : bool
        Whether the regime stops an entry that the rule would make.
    institutions : Institutions
    market_makers : MarketMakers
    squeezes : tuple of SqueezePoint
        Estimates, nearest first on each side.
    bid_wall, ask_wall : float
        Prices of lasting walls of the book, NaN where there is none.
    decimals : int
        Digits that prices are written with.
    """

    state: int = NEUTRAL
    reason: str = ""
    price: float = float("nan")
    atr: float = float("nan")
    confluence: float = float("nan")
    reliability: float = float("nan")
    basis: Basis = "heuristic"
    misfit: str = ""
    coverage: float = 0.0
    effective_inputs: float = float("nan")
    decided: int = 0
    lapses: int = 0
    awaited: str = "confluence reaches 68 or 32"
    after: AfterScores | None = None
    standing: str = ""
    faces: Mapping[str, float]
    components: Mapping[str, float]
    unseen: tuple[str, ...] = ()
    timeframes: Mapping[str, float]
    divergences: tuple[Divergence, ...] = ()
    slopes: Mapping[str, Slope]
    slope_timeframe: str = ""
    structure_timeframe: str = ""
    broken: Break | None = None
    supports: tuple[float, ...] = ()
    resistances: tuple[float, ...] = ()
    trade: Trade | None = None
    regime: str = ""
    regime_timeframe: str = ""
    entered_in: tuple[str, ...] = ()
    is_stopped: bool = False
    institutions: Institutions = field(default_factory=Institutions)
    market_makers: MarketMakers = field(default_factory=MarketMakers)
    squeezes: tuple[SqueezePoint, ...] = ()
    bid_wall: float = float("nan")
    ask_wall: float = float("nan")
    decimals: int = 2

    def shown(self, price: float) -> str:
        """Write a price with the digits of its market."""
        return "not known" if price != price else f"{price:,.{self.decimals}f}"


def decimals(prices: Array) -> int:
    """How many digits after the point the prices of a market have: those that ON_TICK of them need.

    Six significant ones where there is no tick.
    """
    known = np.sort(prices[np.isfinite(prices) & (prices > 0.0)])
    if len(known) == 0:
        return 2
    digits = 0
    while (grown := known * 10.0**digits)[-1] < LARGEST_EXACT:
        if (np.abs(grown - np.round(grown)) <= np.maximum(1e-6, grown * 1e-15)).mean() >= ON_TICK:
            return digits
        digits += 1
    whole = len(str(int(known[-1]))) if known[-1] >= 1.0 else 1 - int(f"{known[-1]:e}".split("e-")[1])
    return max(0, 6 - whole)


def looks_at(prism: Prism, base: Timeframe) -> list[tuple[Node, Timeframe, int]]:
    """What a moment reads besides scores and levels: nodes, their timeframe, and how many bars back."""
    components = {name: component for name, component, _ in prism}
    slow = _second(prism, base)
    found: list[tuple[Node, Timeframe, int]] = [
        (components[name], slow, SLOPE_BARS) for name in MOMENTUM if name in components
    ]
    found += [(Structure(), timeframe, BREAK_BARS - 1) for timeframe, _ in prism.ladder(base)]
    found.append((Regime(), regime_timeframe(prism, base), 0))
    return found


def _second(prism: Prism, base: Timeframe) -> Timeframe:
    """The timeframe after the base timeframe: fast enough to show a turn, slow enough not to show every twitch."""
    ladder = [timeframe for timeframe, _ in prism.ladder(base)]
    return ladder[min(1, len(ladder) - 1)]


def context_of(decided: Decisions, j: int, explanation: Explanation) -> SignalContext:
    """Gather what is known at the j-th decision.

    Parameters
    ----------
    decided : Decisions
    j : int
    explanation : Explanation
        Of the same bar.
    """
    scores, snapshot = decided.scores, decided.levels
    i, number, base = int(decided.at[j]), int(snapshot.numbers[j]), scores.frame.timeframe
    rows = {f"{face}.{row.name}": row for face, parts in explanation.faces.items() for row in parts}
    known = {name: row for name, row in rows.items() if row.score == row.score}
    return SignalContext(
        state=int(decided.rule.state[i]),
        reason=decided.rule.reason(i),
        price=float(snapshot.price[j]),
        atr=float(snapshot.atr[j]),
        confluence=explanation.confluence,
        reliability=float(decided.reliability[j]),
        basis="calibrated" if decided.calibrated[j] else "heuristic",
        misfit=_misfit(decided, j),
        coverage=explanation.coverage,
        effective_inputs=explanation.effective_inputs,
        decided=explanation.time,
        lapses=explanation.time + life_of(scores.prism, decided.settings).ms,
        awaited=decided.rule.awaited(i),
        after=decided.past.after(number),
        standing=scores.prism.standing,
        faces={row.name: row.score for row in explanation.total if row.score == row.score},
        components={name: row.score for name, row in known.items()},
        unseen=tuple(row.title for row in explanation.total if row.score != row.score),
        timeframes=_by_timeframe(scores.prism, base, explanation, known),
        divergences=tuple(
            Divergence(row.title, row.divergence, row.bonus) for row in known.values() if row.divergence != "none"
        ),
        slopes=_slopes(scores.prism, scores.workspace, number),
        slope_timeframe=_second(scores.prism, base).name,
        structure_timeframe=snapshot.timeframe.name,
        broken=_last_break(scores.prism, scores.workspace, number),
        supports=_finite(snapshot.supports[j]),
        resistances=_finite(snapshot.resistances[j]),
        trade=_trade(decided, j),
        regime=regime_name(int(decided.regime[j])),
        regime_timeframe=regime_timeframe(scores.prism, base).name,
        entered_in=decided.settings.regimes,
        is_stopped=bool(decided.stopped[j]),
        institutions=institutions(scores.workspace, number),
        market_makers=market_makers(scores.workspace, number),
        squeezes=tuple(squeezes_at(scores.workspace, number)),
        bid_wall=_last(scores.workspace, "bid_wall", number),
        ask_wall=_last(scores.workspace, "ask_wall", number),
        decimals=_decimals_at(scores.workspace, number),
    )


def _misfit(decided: Decisions, j: int) -> str:
    """Why the reliability of a plan is a heuristic although there is a calibration."""
    if decided.settings.calibration is None or decided.calibrated[j] or not decided.plans.known[j]:
        return ""
    return misfit(decided.scores, decided.settings) or "the calibration had learned nothing by then"


def _last(workspace: Workspace, name: str, number: int) -> float:
    """A column at the close of a base bar, NaN where it is not there."""
    base = workspace.frame.base
    return float(base.columns[name][number - base.first]) if name in base.columns else float("nan")


def _finite(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values if value == value)


def _by_timeframe(
    prism: Prism, base: Timeframe, explanation: Explanation, known: Mapping[str, Row]
) -> dict[str, float]:
    """Weighted mean of the known component scores on each timeframe, summed in fixed order."""
    weights = {row.name: row.weight for row in explanation.total}
    means = {}
    for timeframe, _ in prism.ladder(base):
        total = weight = 0.0
        for dotted, row in known.items():
            score, _ = row.timeframes[timeframe.name]
            if score == score:
                own = weights[dotted.partition(".")[0]] * row.weight
                total, weight = total + impact_of(own, score), weight + abs(own)
        means[timeframe.name] = total / weight if weight > 0.0 else float("nan")
    return means


def _back(
    node: Node, workspace: Workspace, timeframe: Timeframe, number: int, bars: int
) -> tuple[int, list[Array]] | None:
    """The last bar of a timeframe seen at a base bar, and the values of a node from `bars` before it up to it."""
    own = workspace.buffers(timeframe).bars
    seen = int(workspace.visible(np.array([number]), workspace.frame.timeframe, timeframe)[0])
    if not own.first <= seen < own.end or not columns_of(node) <= set(workspace.frame.base.columns):
        return None
    workspace.require_loaded(timeframe, seen - bars)
    low = max(seen - bars, own.first)
    return seen, workspace.values(node, timeframe, low, seen + 1)


def _slopes(prism: Prism, workspace: Workspace, number: int) -> dict[str, Slope]:
    """Momentum and its change, where both are known."""
    components = {name: component for name, component, _ in prism}
    timeframe = _second(prism, workspace.frame.timeframe)
    found = {}
    for name in MOMENTUM:
        read = _back(components[name], workspace, timeframe, number, SLOPE_BARS) if name in components else None
        if read is not None and len(read[1][0]) > SLOPE_BARS:
            value, before = float(read[1][0][-1]), float(read[1][0][0])
            if value == value and before == before:
                found[name] = Slope(value, value - before)
    return found


def _last_break(prism: Prism, workspace: Workspace, number: int) -> Break | None:
    """The last break of structure within BREAK_BARS closed bars, on the slowest timeframe that shows one."""
    fields = Structure.outputs._fields
    for timeframe, _ in reversed(prism.ladder(workspace.frame.timeframe)):
        read = _back(Structure(), workspace, timeframe, number, BREAK_BARS - 1)
        if read is None:
            continue
        event, broken = read[1][fields.index("event")], read[1][fields.index("broken")]
        for k in range(len(event) - 1, -1, -1):
            if abs(event[k]) > 0.0:
                kind = "change of character" if abs(event[k]) == CHOCH else "break of structure"
                return Break(1 if event[k] > 0.0 else -1, float(broken[k]), timeframe.name, kind)
    return None


def _trade(decided: Decisions, j: int) -> Trade | None:
    plan = decided.plans
    if not plan.known[j]:
        return None
    there = [k for k in range(TARGETS) if plan.target[j, k] == plan.target[j, k]]
    return Trade(
        side=int(plan.side[j]),
        entry=float(plan.entry[j]),
        is_limit=bool(plan.limit[j] == plan.limit[j]),
        expires=decided.scores.frame.timeframe.close_time(int(plan.expires[j])),
        stop=float(plan.stop[j]),
        targets=tuple(float(plan.target[j, k]) for k in there),
        sizes=tuple(float(plan.size[j, k]) for k in there),
    )


def _decimals_at(workspace: Workspace, number: int) -> int:
    """Digits of the prices of the last bars."""
    base = workspace.frame.base
    workspace.require_loaded(base.timeframe, number - TICK_BARS + 1)
    here = slice(max(number - TICK_BARS + 1 - base.first, 0), number + 1 - base.first)
    return decimals(np.concatenate([base.columns[name][here] for name in PRICES]))
