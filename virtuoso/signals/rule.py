"""The rule: when confluence becomes a signal, and when it stops being one.

1. BULLISH begins on a bar whose confluence reaches `bull_enter` while enough weight is known (`min_coverage`).
2. It ends on the first bar on which confluence is below `bull_leave`, is not known, or is known of too little weight.
3. It lapses `max_age` after the last bar that reached `bull_enter`. BEARISH is the same from the other side.
4. The thresholds are those of a bar of which all is known. The mean of a part of the faces strays further from 50
   than that of all, so the less is known, the further away they lie (`widened`).
5. With `signals.min_edge` no threshold counts but the move that is expected of a hold (edge.py): a side begins where
   its net exceeds so many round trips, and ends where the expected move turns its sign, or is not known, or one hold
   after it last was enough.

So the state at bar t depends on the bars (t - max_age, t] alone: a state machine with hysteresis and a bounded memory.
It needs no running state, obeys the one law, and a process that starts now says what one says that never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.hysteresis import active
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.edge import Edges, edges_of
from virtuoso.signals.history import hold_of
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

BEARISH, NEUTRAL, BULLISH = -1, 0, 1
WORDS = {BULLISH: "BULLISH", BEARISH: "BEARISH", NEUTRAL: "NEUTRAL"}

States = NDArray[np.int8]

_JUDGED: WeakKeyDictionary[Workspace, dict[str, tuple[int, Array, Array]]] = WeakKeyDictionary()


def memory(settings: SignalSettings, timeframe: Timeframe) -> int:
    """How many bars, this one included, the rule looks at."""
    return timeframe.bars(settings.max_age)


def widened(threshold: float, coverage: Array) -> Array:
    """Where a threshold lies at bars of which so much is known: 50 + (threshold - 50) / sqrt(coverage).

    A mean of independent parts strays from 50 by one over the root of how many there are. Measured on the bars of 60
    markets, confluence does: docs/guides/signals.md.

    Parameters
    ----------
    threshold : float, points
        Of a bar of which all is known.
    coverage : Array, 0..1, shape (n_bars,)
        Weight that is known; above 0.

    Returns
    -------
    Array, points, shape (n_bars,)
        Beyond 0 or 100 where no confluence reaches it.
    """
    return 50.0 + (threshold - 50.0) / np.sqrt(coverage)


def states(confluence: Array, coverage: Array, settings: SignalSettings, timeframe: Timeframe) -> States:
    """State of each bar: 1 BULLISH, -1 BEARISH, 0 NEUTRAL.

    Parameters
    ----------
    confluence : Array, 0..100, shape (n_bars,)
    coverage : Array, 0..1, shape (n_bars,)
    settings : SignalSettings
    timeframe : Timeframe
        Of the bars.

    Returns
    -------
    array of int8, shape (n_bars,)
        Right from bar `memory - 1` on, or from the first one where history begins there. Uses `x[: t + 1]` only.
    """
    age = memory(settings, timeframe)
    known = np.isfinite(confluence) & (coverage >= settings.min_coverage)
    share = np.where(known & (coverage > 0.0), coverage, 1.0)
    rises, holds = (confluence >= widened(limit, share) for limit in (settings.bull_enter, settings.bull_leave))
    falls, stays = (confluence <= widened(limit, share) for limit in (settings.bear_enter, settings.bear_leave))
    bull = active(known & rises, ~(known & holds), age)
    bear = active(known & falls, ~(known & stays), age)
    return bull.astype(np.int8) - bear.astype(np.int8)


def states_by_edge(edges: Edges, confluence: Array, coverage: Array, settings: SignalSettings, age: int) -> States:
    """State of each bar by what is expected of a hold; as `states`, with `age` the hold in bars."""
    known = np.isfinite(confluence) & (coverage >= settings.min_coverage)
    pays = settings.min_edge * edges.cost
    bull = active(known & (edges.net(1.0) > pays), ~(known & (edges.move > 0.0)), age)
    bear = active(known & (edges.net(-1.0) > pays), ~(known & (edges.move < 0.0)), age)
    return bull.astype(np.int8) - bear.astype(np.int8)


@dataclass(frozen=True, slots=True)
class RuleStates:
    """What the rule says of a stretch of bars; every array has shape (n_bars,).

    Attributes
    ----------
    settings : SignalSettings
    timeframe : Timeframe
    start : int
        Number of the first bar.
    state, before : array of int8
        State of each bar, and of the bar before it (NEUTRAL before history begins).
    confluence, coverage : Array
        What it was judged by.
    edges : Edges, optional
        What was expected, where that decides.
    """

    settings: SignalSettings
    timeframe: Timeframe
    start: int
    state: States
    before: States
    confluence: Array
    coverage: Array
    edges: Edges | None = None

    def changes(self) -> NDArray[np.int64]:
        """Positions at which the state changes: there a signal is issued."""
        return np.flatnonzero(self.state != self.before)

    def reason(self, i: int) -> str:
        """Return why the i-th bar is in its state."""
        if self.edges is not None:
            return self._reason_by_edge(i, self.edges)
        s, score, state, before = self.settings, float(self.confluence[i]), int(self.state[i]), int(self.before[i])
        enter, leave = self._limits(i, before if state == NEUTRAL else state)
        if state != NEUTRAL:
            if state * (score - enter) >= 0:
                return f"confluence {score:.1f} reached {enter:.3g}"
            return f"confluence {score:.1f} has not come back to {leave:.3g} since it reached {enter:.3g}"
        if score != score:
            return "confluence is not known"
        if self.coverage[i] < s.min_coverage:
            return self._too_little(i)
        if before == NEUTRAL:
            bull, bear = self.entries(i)
            return f"confluence {score:.1f} has reached neither {bull:.3g} nor {bear:.3g}"
        if before * (score - leave) < 0:
            return f"confluence {score:.1f} came back past {leave:.3g}"
        return f"confluence {score:.1f}: {enter:.3g} was last reached {s.max_age.text} ago"

    def _reason_by_edge(self, i: int, edges: Edges) -> str:
        """Why a bar is in its state, where what is expected decides."""
        score, state, before = float(self.confluence[i]), int(self.state[i]), int(self.before[i])
        move, pays = float(edges.move[i]), self.settings.min_edge * float(edges.cost[i])
        told = f"expected move of {move:+.0f} bp over {edges.horizon}"
        if state != NEUTRAL:
            enough = float(edges.net(float(state))[i]) > pays
            return f"{told} exceeds {self._trips(i)}" if enough else f"{told} has not turned since it was enough"
        if score != score:
            return "confluence is not known"
        if self.coverage[i] < self.settings.min_coverage:
            return self._too_little(i)
        if move != move:
            return f"what to expect over {edges.horizon} is not known: too few scores whose hold has ended"
        if before != NEUTRAL:
            return f"{told} turned" if before * move <= 0.0 else f"{told} was last enough {edges.horizon} ago"
        return f"{told} does not exceed {self._trips(i)}"

    def _too_little(self, i: int) -> str:
        least = self.settings.min_coverage
        return f"coverage {_below(float(self.coverage[i]), least)} below {least:.2f}"

    def _trips(self, i: int) -> str:
        """What an expected move is to exceed, in words."""
        cost = float(self.edges.cost[i]) if self.edges is not None else float("nan")
        return f"{self.settings.min_edge:g} round trips of {cost:.0f} bp net of funding"

    def awaited(self, i: int) -> str:
        """What would begin a side at the i-th bar."""
        if self.edges is not None:
            return f"the move expected over {self.edges.horizon} exceeds {self._trips(i)}"
        bull, bear = self.entries(i)
        return f"confluence reaches {bull:.3g} or {bear:.3g}"

    def entries(self, i: int) -> tuple[float, float]:
        """Confluence at which BULLISH and BEARISH begin, given what is known at the i-th bar."""
        return self._limits(i, BULLISH)[0], self._limits(i, BEARISH)[0]

    def _limits(self, i: int, side: int) -> tuple[float, float]:
        """Where a side begins and ends at the i-th bar; where nothing is known, as they are set."""
        s, share = self.settings, np.array(self.coverage[i : i + 1])
        share[~(share > 0.0)] = 1.0
        enter, leave = (s.bull_enter, s.bull_leave) if side == BULLISH else (s.bear_enter, s.bear_leave)
        return float(widened(enter, share)[0]), float(widened(leave, share)[0])


def _below(x: float, limit: float) -> str:
    """Write a number that lies below a limit so that it is seen to."""
    return next((text for digits in range(2, 6) if float(text := f"{x:.{digits}f}") < limit), repr(x))


def apply_rule(scores: Scores, settings: SignalSettings) -> RuleStates:
    """Apply the rule to every bar that was scored; the bars it remembers before them are scored as well.

    Raises
    ------
    NotLoadedError
        If bars that the rule remembers exist but were not loaded.
    """
    timeframe, base = scores.frame.timeframe, scores.frame.base
    by_edge = settings.min_edge > 0.0
    age = timeframe.bars(hold_of(scores.prism, settings)) if by_edge else memory(settings, timeframe)
    first = scores.start - age  # one more than the memory, for the state of the bar before
    scores.workspace.require_loaded(timeframe, first)
    confluence, coverage = _with_lead(scores, max(first, base.first), age)
    edges = edges_of(scores, settings, len(confluence) - len(scores)) if by_edge else None
    if edges is None:
        state = states(confluence, coverage, settings, timeframe)
    else:
        state = states_by_edge(edges, confluence, coverage, settings, age)
    lead = len(state) - len(scores)
    before = np.concatenate(([NEUTRAL], state))[lead:-1].astype(np.int8)
    told = None if edges is None else edges.part(slice(lead, None))
    return RuleStates(settings, timeframe, scores.start, state[lead:], before, scores.confluence, scores.coverage, told)


def _with_lead(scores: Scores, first: int, age: int) -> tuple[Array, Array]:
    """Confluence and coverage of the scored bars and of those before them from number `first` on.

    The last `age` bars that were judged are kept beside their workspace, so that live no bar is assembled twice. That
    changes no bit: assembling them again gives the same.
    """
    kept = _JUDGED.setdefault(scores.workspace, {})
    begin, confluence, coverage = kept.get(scores.prism.fingerprint, (0, np.empty(0), np.empty(0)))
    if not (begin <= first and begin + len(confluence) == scores.start):
        lead = assemble(scores.prism, scores.workspace, first, scores.start)
        begin, confluence, coverage = first, lead.confluence, lead.coverage
    confluence = np.concatenate((confluence[first - begin :], scores.confluence))
    coverage = np.concatenate((coverage[first - begin :], scores.coverage))
    old = max(len(confluence) - age, 0)
    kept[scores.prism.fingerprint] = (first + old, confluence[old:].copy(), coverage[old:].copy())
    return confluence, coverage


def apply_rule_to_bars(
    prism: Prism, workspace: Workspace, start: int, stop: int, settings: SignalSettings
) -> RuleStates:
    """Apply the rule to the base bars numbered [start, stop): the same for five years and for one bar."""
    return apply_rule(assemble(prism, workspace, start, stop), settings)
