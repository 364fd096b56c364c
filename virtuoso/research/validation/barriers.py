"""What became of signals: whether the first target was touched before the stop, within the life of the signal.

1. The bars tell it, not fills: of each signal with a plan, the bars after its decision up to `signals.max_age` later.
2. Entry is at the next open, or where price trades through the limit before it lapses, as in account/contract.py.
3. What is doubtful is wrong: a bar that touches both stop and target, and a target on the bar of a limit entry whose
   close has fallen back from it. Such bars are counted as ambiguous. Neither touched in time is wrong as well.
4. A signal whose life is not over at the last bar is left out whatever it has reached, since quick outcomes alone would
   be known of the last ones. So is one that was not entered: the next bar is not known, it opened beyond the stop, the
   limit was not reached. All are counted.

Bars that are not known, or bridged, take no part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import NEXT_OPEN
from virtuoso.errors import DataError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, is_published
from virtuoso.market.schema.columns import PRICES
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.decision import Decisions, decide
from virtuoso.signals.history import life_of
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

NEITHER, STOPPED, REACHED = 0, 1, 2

OUTCOME = np.dtype(
    [
        ("instrument", np.int64),  # position among the scores
        ("number", np.int64),  # bar at whose close it was decided
        ("decided", np.int64),  # that close, ms
        ("ends", np.int64),  # when its life ended, ms
        ("side", np.int8),  # 1 long, -1 short
        ("score", np.float64),  # confluence, 0..100
        ("heuristic", np.float64),  # reliability before any calibration, 0..1
        ("told", np.float64),  # reliability that the signal carried, 0..1
        ("calibrated", np.bool_),  # whether that was a probability
        ("touched", np.int8),  # NEITHER, STOPPED, REACHED
        ("right", np.bool_),
        ("ambiguous", np.bool_),
    ]
)
"""One row a signal that was entered, in the order of `decided`."""


@dataclass(frozen=True)
class BarrierLabels:
    """What became of the signals of some instruments.

    Attributes
    ----------
    rows : array of OUTCOME
    left_out : dict of str to int
        Signals that have no outcome, by reason.
    life : int, ms
        `signals.max_age`, or a hold where what is expected of one decides.
    """

    rows: np.ndarray
    left_out: dict[str, int]
    life: int

    def __len__(self) -> int:
        return len(self.rows)


def barrier_labels(scores: Sequence[Scores], settings: SignalSettings) -> BarrierLabels:
    """Find what became of all signals that were issued over scored bars.

    Parameters
    ----------
    scores : sequence of Scores
        One an instrument, of one prism and on one clock.
    settings : SignalSettings

    Returns
    -------
    BarrierLabels

    Raises
    ------
    DataError
        Scores of several prisms or clocks, or none.
    NotLoadedError
        If bars that the rule or the levels remember exist but were not loaded.
    """
    if len({(of_one.prism.fingerprint, of_one.frame.timeframe) for of_one in scores}) != 1:
        raise DataError("Outcomes are of the scores of one prism on one timeframe. Score all instruments alike.")
    parts, left_out = [], Counter[str]()
    for i, of_one in enumerate(scores):
        rows, why = labels_of_decisions(decide(of_one, settings), i)
        parts.append(rows)
        left_out.update(why)
    rows = np.concatenate(parts)
    order = np.lexsort((rows["instrument"], rows["decided"]))
    return BarrierLabels(rows[order], dict(left_out), life_of(scores[0].prism, settings).ms)


def labels_of_decisions(decided: Decisions, instrument: int = 0) -> tuple[np.ndarray, dict[str, int]]:
    """Outcomes of the decisions of one instrument as rows of OUTCOME, and why the other plans have none."""
    scores, plan = decided.scores, decided.plans
    timeframe = scores.frame.timeframe
    age, numbers = timeframe.bars(life_of(scores.prism, decided.settings)), decided.levels.numbers
    prices = _prices(scores.frame)
    over = numbers + age < scores.frame.stop
    whole = over & ~_broken(scores.frame, numbers, age)
    asked = np.flatnonzero(plan.known & whole)
    touched, ambiguous, entry = _walk(prices, decided, asked, age)
    why = {
        "its life is not over": int((plan.known & ~over).sum()),
        "another instrument begins in its life": int((plan.known & over & ~whole).sum()),
    } | {reason: int((entry == code).sum()) for code, reason in NOT_ENTERED.items()}
    there = entry == ENTERED
    at = asked[there]
    rows = np.zeros(len(at), dtype=OUTCOME)
    rows["instrument"], rows["number"], rows["side"] = instrument, numbers[at], plan.side[at]
    rows["decided"] = (numbers[at] + 1) * timeframe.ms
    rows["ends"] = (numbers[at] + 1 + age) * timeframe.ms
    rows["score"], rows["heuristic"] = scores.confluence[decided.at[at]], scores.reliability[decided.at[at]]
    rows["told"], rows["calibrated"] = decided.reliability[at], decided.calibrated[at]
    rows["touched"], rows["right"], rows["ambiguous"] = touched[there], touched[there] == REACHED, ambiguous[there]
    return rows, {reason: n for reason, n in why.items() if n}


WAITS, ENTERED, NOT_KNOWN, BEYOND_STOP = 0, 1, 2, 3
NOT_ENTERED = {
    WAITS: "its limit was not reached",
    NOT_KNOWN: "the next bar is not known",
    BEYOND_STOP: "opened beyond its stop",
}


def _broken(frame: MarketFrame, numbers: NDArray[np.int64], age: int) -> NDArray[np.bool_]:
    """Whether a break lies among the bars that follow each number."""
    breaks = frame.base.first + np.flatnonzero(frame.base.state == BREAK)
    broken: NDArray[np.bool_] = np.searchsorted(breaks, numbers, "right") < np.searchsorted(
        breaks, numbers + age, "right"
    )
    return broken


def _prices(frame: MarketFrame) -> dict[str, Array]:
    """Prices that somebody published; NaN elsewhere."""
    state = frame.base.state
    known = is_published(state)
    return {name: np.where(known, frame.base.columns[name], np.nan) for name in PRICES}


def _walk(
    prices: dict[str, Array], decided: Decisions, asked: NDArray[np.int64], age: int
) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.int8]]:
    """Follow signals bar by bar, all at once: what was touched first, whether that is doubtful, how it was entered."""
    plan, n, first = decided.plans, len(asked), decided.scores.frame.base.first
    toward = plan.side[asked].astype(np.float64)
    limit, stop, target = plan.limit[asked], plan.stop[asked], plan.target[asked, 0]
    numbers, waits_until = decided.levels.numbers[asked], plan.expires[asked]
    touched, ambiguous, entry = np.zeros(n, np.int8), np.zeros(n, bool), np.full(n, WAITS, np.int8)
    for ahead in range(NEXT_OPEN, NEXT_OPEN + age):
        here = numbers + ahead - first
        open_, close = prices["open"][here], prices["close"][here]
        best = np.where(toward > 0.0, prices["high"][here], prices["low"][here])
        worst = np.where(toward > 0.0, prices["low"][here], prices["high"][here])
        fresh = _enter(entry, numbers + ahead, waits_until, toward, open_, worst, limit, stop, ahead == NEXT_OPEN)
        live = (entry == ENTERED) & (touched == NEITHER)
        stops = live & (toward * (worst - stop) <= 0.0)
        pays = live & (toward * (best - target) >= 0.0)
        certain = pays & ~stops & (~fresh | (toward * (close - target) >= 0.0))
        ambiguous |= pays & ~certain
        touched[certain], touched[stops] = REACHED, STOPPED
    return touched, ambiguous, entry


def _enter(
    entry: NDArray[np.int8], bar: NDArray[np.int64], waits_until: NDArray[np.int64], toward: Array, open_: Array,
    worst: Array, limit: Array, stop: Array, is_next: bool,
) -> NDArray[np.bool_]:  # fmt: skip
    """Write who enters in a bar; give those whose limit is met between its open and its close."""
    waiting = (entry == WAITS) & (bar <= waits_until)
    market = waiting & np.isnan(limit) & is_next
    at_open = (market & np.isfinite(open_)) | (waiting & (toward * (open_ - limit) <= 0.0))
    beyond = at_open & (toward * (open_ - stop) <= 0.0)
    inside: NDArray[np.bool_] = waiting & ~at_open & (toward * (worst - limit) < 0.0)
    entry[market & np.isnan(open_)] = NOT_KNOWN
    entry[at_open | inside] = ENTERED
    entry[beyond] = BEYOND_STOP
    return inside
