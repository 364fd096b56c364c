"""The fold: fast bars become slow bars, the same function in batch and live.

A slow bar is made of the base bars inside it, in order, by one sequential loop, so its bits do not depend on what
else was loaded. It exists once it has closed. It is known if at least 90 % of its base bars are. Where less is known,
but at least a fifth, it is bridged: made of what is known, so that an outage of two hours does not silence weeks of 4h
bars, and its own score is not known. Each column is judged by itself, so a missing taker volume does not silence the
prices.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.columns import COLUMNS, Array
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN, State

Mask = NDArray[np.bool_]

KNOWN_SHARE = 0.9
BRIDGED_SHARE = 0.2
SHORT = 4_096
"""Base bars that are copied side by side to be folded at once."""
_RULES = {"first": 0, "max": 1, "min": 2, "last": 3, "sum": 4, "mean": 5}


def fold_bars(base: Bars, timeframe: Timeframe) -> Bars:
    """Fold base bars into closed bars of a slower timeframe.

    Parameters
    ----------
    base : Bars
    timeframe : Timeframe
        A whole multiple of the base clock.

    Returns
    -------
    Bars
        From the slow bar that holds the first base bar to the last that has closed. Where older base bars exist
        but are not loaded, a slow bar that would need them is left out, not guessed.
    """
    ratio = timeframe.ratio(base.timeframe)
    first = base.first // ratio if base.complete else -(-base.first // ratio)
    count = max(base.end // ratio - first, 0)
    offset = first * ratio - base.first
    usable = (base.state == TRADED) | (base.state == NO_TRADE)
    share = np.empty(count)
    state: State = np.empty(count, dtype=np.int8)
    _fold_state(base.state, offset, ratio, share, state)
    rules = [_RULES[COLUMNS[name].fold] for name in base.columns]
    folded = np.empty((len(rules), count))
    if len(base) <= SHORT:
        _fold_all(np.array(list(base.columns.values())), usable, offset, ratio, np.array(rules), state, folded)
    else:
        for values, rule, out in zip(base.columns.values(), rules, folded, strict=True):
            _fold(np.ascontiguousarray(values), usable, offset, ratio, rule, state, out)
    return Bars(timeframe, first, dict(zip(base.columns, folded, strict=True)), state, share, base.complete)


@njit(cache=True)
def _fold_all(
    values: Array, usable: Mask, offset: int, ratio: int, rules: NDArray[np.int64], state: State, out: Array
) -> None:
    """Fold a column a row: for the slow bar that closes live, one call instead of one for each of sixty columns."""
    for c in range(len(rules)):
        _fold(values[c], usable, offset, ratio, rules[c], state, out[c])


@njit(cache=True)
def _fold(values: Array, usable: Mask, offset: int, ratio: int, rule: int, state: State, out: Array) -> None:
    """Fold one column; NaN where too few of its base values are known for the state of the bar."""
    for s in range(len(out)):
        if state[s] == UNKNOWN:
            out[s] = np.nan
            continue
        known = 0
        folded = np.nan
        for i in range(offset + s * ratio, offset + (s + 1) * ratio):
            if i < 0 or not usable[i] or np.isnan(values[i]):
                continue
            value = values[i]
            if known == 0 or rule == 3:
                folded = value
            elif rule == 1:
                folded = max(folded, value)
            elif rule == 2:
                folded = min(folded, value)
            elif rule >= 4:
                folded += value
            known += 1
        least = BRIDGED_SHARE if state[s] == BRIDGED else KNOWN_SHARE
        out[s] = np.nan if known < least * ratio else folded / known if rule == 5 else folded


@njit(cache=True)
def _fold_state(state: State, offset: int, ratio: int, share: Array, out: State) -> None:
    """Share of known base bars, and the state that follows from it."""
    for s in range(len(out)):
        known = 0
        traded = 0
        for i in range(offset + s * ratio, offset + (s + 1) * ratio):
            if i >= 0 and state[i] <= NO_TRADE:
                known += 1
                traded += state[i] == TRADED
        share[s] = known / ratio
        if known < KNOWN_SHARE * ratio:
            out[s] = BRIDGED if known >= BRIDGED_SHARE * ratio else UNKNOWN
        else:
            out[s] = TRADED if traded else NO_TRADE
