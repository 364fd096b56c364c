"""The fold: fast bars become slow bars, the same function in batch and live.

A slow bar is made of the base bars inside it, in order, by one sequential loop, so its bits do not depend on what
else was loaded. It exists once it has closed. It is known if at least 90 % of its base bars are. Where less is known,
but at least a fifth, it is bridged: made of what is known, so that an outage of two hours does not silence weeks of 4h
bars, and its own score is not known. Each column is judged by itself, so a missing taker volume does not silence the
prices. A slow bar inside which history begins anew (breaks.py) mixes both sides and is not known; one that begins with
such a bar is one itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN, State, is_published
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.types import Array, Mask

KNOWN_SHARE = 0.9
BRIDGED_SHARE = 0.2
SHORT = 4_096
"""Base bars that are copied side by side to be folded at once."""
BLOCK = 1_024
"""Base bars that are looked through, then folded while they are in the first cache."""
_RULES = {"first": 0, "max": 1, "min": 2, "last": 3, "sum": 4, "mean": 5}


def fold_bars(base: Bars, timeframe: Timeframe) -> Bars:
    """Fold base bars into closed bars of a slower timeframe.

    Parameters
    ----------
    base : Bars
    timeframe : Timeframe
        A whole multiple of the base timeframe.

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
    usable = is_published(base.state)
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
    if (base.state > UNKNOWN).any():
        folded[:, state == UNKNOWN] = np.nan  # folded as whole, though it mixes both sides of a break
    return Bars(timeframe, first, dict(zip(base.columns, folded, strict=True)), state, share, base.complete)


@kernel
def _fold_all(
    values: Array, usable: Mask, offset: int, ratio: int, rules: NDArray[np.int64], state: State, out: Array
) -> None:
    """Fold a column a row: for the slow bar that closes live, one call instead of one for each of sixty columns."""
    for c in range(len(rules)):
        _fold(values[c], usable, offset, ratio, rules[c], state, out[c])


@kernel
def _fold(values: Array, usable: Mask, offset: int, ratio: int, rule: int, state: State, out: Array) -> None:
    """Fold one column, block by block: most blocks are whole, and nothing has to be asked of their values."""
    block = max(BLOCK // ratio, 1)
    for s in range(0, len(out), block):
        bars = min(block, len(out) - s)
        start, end = offset + s * ratio, offset + (s + bars) * ratio
        if start >= 0 and _is_whole(values[start:end], usable[start:end]):
            _fold_whole(values[start:end], ratio, rule, out[s : s + bars])
        else:
            for bar in range(s, s + bars):
                out[bar] = _fold_known(values, usable, offset + bar * ratio, ratio, rule, state[bar])


@inner
def _is_whole(values: Array, usable: Mask) -> bool:
    known = 0
    for i in range(len(values)):  # of a slice: where it begins is none of the loop's business
        known += usable[i] & (values[i] == values[i])
    return known == len(values)


@inner
def _fold_whole(values: Array, ratio: int, rule: int, out: Array) -> None:
    """Fold bars of which everything is known, with the bits of `_fold_known`."""
    if rule == 0 or rule == 3:
        at = 0 if rule == 0 else ratio - 1
        for bar in range(len(out)):
            out[bar] = values[bar * ratio + at]
    elif rule == 1 or rule == 2:
        for bar in range(len(out)):
            most = values[bar * ratio]
            for i in range(bar * ratio + 1, (bar + 1) * ratio):
                most = max(most, values[i]) if rule == 1 else min(most, values[i])
            out[bar] = most
    else:
        _add(values, ratio, 1.0 if rule == 4 else float(ratio), out)


@inner
def _add(values: Array, ratio: int, over: float, out: Array) -> None:
    """Sums of bars over a number, of four bars at a time: an addition waits for the one before it in its bar."""
    by_four = len(out) // 4 * 4
    for bar in range(0, by_four, 4):
        inside = values[bar * ratio : (bar + 4) * ratio]
        in_1, in_2, in_3, in_4 = inside[0], inside[ratio], inside[2 * ratio], inside[3 * ratio]
        for i in range(1, ratio):
            in_1 += inside[i]
            in_2 += inside[ratio + i]
            in_3 += inside[2 * ratio + i]
            in_4 += inside[3 * ratio + i]
        out[bar], out[bar + 1], out[bar + 2], out[bar + 3] = in_1 / over, in_2 / over, in_3 / over, in_4 / over
    for bar in range(by_four, len(out)):
        total = values[bar * ratio]
        for i in range(bar * ratio + 1, (bar + 1) * ratio):
            total += values[i]
        out[bar] = total / over


@inner
def _fold_known(values: Array, usable: Mask, start: int, ratio: int, rule: int, state: int) -> float:
    """Fold what is known of the values of a bar; NaN where that is too little for the state of the bar."""
    if state == UNKNOWN:
        return float(np.nan)
    known = 0
    folded = np.nan
    for i in range(start, start + ratio):
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
    least = BRIDGED_SHARE if state == BRIDGED else KNOWN_SHARE
    if known < least * ratio:
        return float(np.nan)
    return folded / known if rule == 5 else folded


@kernel
def _fold_state(state: State, offset: int, ratio: int, share: Array, out: State) -> None:
    """Share of known base bars, and the state that follows from it."""
    block = max(BLOCK // ratio, 1)
    for s in range(0, len(out), block):
        bars = min(block, len(out) - s)
        start, end = offset + s * ratio, offset + (s + bars) * ratio
        is_traded = start >= 0 and _is_traded(state[start:end])
        for bar in range(s, s + bars):
            if is_traded:
                share[bar], out[bar] = 1.0, TRADED
                continue
            known = 0
            traded = 0
            opens = max(offset + bar * ratio, 0)
            mark = TRADED
            for i in range(opens, offset + (bar + 1) * ratio):
                published = state[i] <= NO_TRADE or state[i] > UNKNOWN
                known += published
                traded += published and state[i] != NO_TRADE
                if state[i] > UNKNOWN:
                    mark = state[i] if i == opens else UNKNOWN
            share[bar] = known / ratio
            if mark != TRADED:
                out[bar] = mark if known >= KNOWN_SHARE * ratio else UNKNOWN
            elif known < KNOWN_SHARE * ratio:
                out[bar] = BRIDGED if known >= BRIDGED_SHARE * ratio else UNKNOWN
            else:
                out[bar] = TRADED if traded else NO_TRADE


@inner
def _is_traded(state: State) -> bool:
    traded = 0
    for i in range(len(state)):
        traded += state[i] == TRADED
    return traded == len(state)
