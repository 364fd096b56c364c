"""Gaps, classified with what is known at the bar itself.

At minute 5 of a gap nobody knows whether it will last 6 or 100 minutes. So the state of a bar depends on how
long the gap has lasted *so far*, never on how long it turned out to be: classifying a gap by its total length is
look-ahead.

- TRADED     a bar as published.
- NO_TRADE   nothing traded, at a source that publishes only bars with trades: one of the first bars of a gap.
             A fact: flat at the last close, zero volume. Written to the store.
- BRIDGED    the bar is missing elsewhere, one of the first of a gap: flat inside functions, its own score NaN.
- UNKNOWN    the rest of the gap: it cuts the run, and nothing is known until the warm-up has passed.
- CUT        a bar as published that shows that one shortly before it was a misprint (breaks.py): history begins anew
             after it.
- BREAK      the first bar, as published, of another instrument under the same name: nothing reaches over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TRADED, NO_TRADE, BRIDGED, UNKNOWN, CUT, BREAK = range(6)
STATE_NAMES = ("traded", "no_trade", "bridged", "unknown", "cut", "break")

State = NDArray[np.int8]

NEVER = np.iinfo(np.int64).max
"""Length of a gap at whose beginning nothing traded."""
LONGEST_GAP_MS = 5 * 60_000
TRADES_ONLY_VENUES = frozenset({"bitfinex-spot"})
"""Venues that publish a bar only where something traded."""


@dataclass(frozen=True, slots=True)
class GapPolicy:
    """What a missing bar means at a source.

    Attributes
    ----------
    meaning : str
        'no_trade' where only bars with trades are published, 'bridge' elsewhere, 'cut' to bridge nothing.
    bars : int
        How many bars of a gap it holds for.
    """

    meaning: Literal["no_trade", "bridge", "cut"]
    bars: int


def is_published(state: State) -> NDArray[np.bool_]:
    """Return which bars hold what somebody published, a bar without a trade among them."""
    published: NDArray[np.bool_] = (state <= NO_TRADE) | (state > UNKNOWN)
    return published


def has_traded(state: State) -> NDArray[np.bool_]:
    """Return which bars hold trades, as published."""
    traded: NDArray[np.bool_] = (state == TRADED) | (state > UNKNOWN)
    return traded


def begins_anew(state: State) -> NDArray[np.bool_]:
    """Return which bars cut the run: nothing at or before them is remembered after them."""
    cuts: NDArray[np.bool_] = state >= UNKNOWN
    return cuts


def policy_for(venue: str, timeframe_ms: int) -> GapPolicy:
    """Return what a missing bar means at a venue: five one-minute bars, fewer of slower ones, none from 6m on."""
    bars = min(5, LONGEST_GAP_MS // timeframe_ms) if timeframe_ms <= 60_000 else 0
    if not bars:
        return GapPolicy("cut", 0)
    return GapPolicy("no_trade" if venue in TRADES_ONLY_VENUES else "bridge", bars)


def gap_length(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many bars a gap has lasted at each bar, 0 where a bar is present. Uses `present[: t + 1]` only."""
    index = np.arange(len(present))
    last = np.maximum.accumulate(np.where(present, index, -1))
    return np.where(last < 0, NEVER, index - last)


def classify(present: NDArray[np.bool_], policy: GapPolicy) -> State:
    """Return the state of each bar of a dense grid. Uses `present[: t + 1]` only.

    Parameters
    ----------
    present : array of bool, shape (n_bars,)
        Whether a row was published.
    policy : GapPolicy

    Returns
    -------
    array of int8, shape (n_bars,)
    """
    return state_in_gap(gap_length(present), policy)


def state_in_gap(length: NDArray[np.int64], policy: GapPolicy) -> State:
    """Return the state of bars from how long the gap has lasted at each, in bars; 0 where a bar is present."""
    short = NO_TRADE if policy.meaning == "no_trade" else BRIDGED
    state = np.where(length == 0, TRADED, np.where(length <= policy.bars, short, UNKNOWN))
    return state.astype(np.int8)
