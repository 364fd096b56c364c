"""Where history begins anew though no bar is missing: after a misprint was shown to be one, and at a break.

1. Nothing that was published is taken away. A price far off its surroundings may be true (a collapse, a wick), and at
   its close nobody can tell.
2. A bar was a misprint if its high or its low is more than fifty times off the median of the three closes before it,
   and off that of the three closes after it in the same direction. That is known at the close of the third bar after
   it, and there the bar is CUT: what is computed later does not reach back over it. Until then the bar stands as it
   was published, as whoever was there saw it. A level that holds for four bars is believed.
3. After a gap of a day and of three bars, a first price more than ten times off the last one, and further than six
   daily moves of 5 % would bring it in the root of the time, is that of another instrument under the same name: a
   coin that was launched again, a redenomination. That bar is a BREAK. Years that were never imported are none: in that
   time a price may go anywhere.
4. What the rule cannot see, a user says: `virtuoso data break SYMBOL --at T`.

Each bar is judged by itself and by those before it, so a longer history changes nothing that was judged, and
`LiveFrame` says the same bar by bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import BREAK, CUT, TRADED, UNKNOWN, has_traded, is_published
from virtuoso.market.rows import Rows
from virtuoso.types import Array, Mask

FAR = 50.0
"""How many times off its surroundings a price is a misprint."""
NEIGHBOURS = 3
"""Closes on each side that judge it."""
SEEN = 2 * NEIGHBOURS + 1
"""Bars with trades that tell whether the last of them shows a misprint."""
OTHER_LEVEL = 10.0
"""Least factor between two instruments of one name: below it, a halt after a theft has moved prices of one."""
DRIFT = 0.3
"""Six daily moves of 5 %, as a logarithm: how far a price may go in a day that nobody saw, more by its root."""
LEAST_GAP_BARS, LEAST_GAP_MS = 3, UNIT_MS["d"]
BLOCK = 4_096
"""Bars that are looked at together, by their extremes, before any is looked at by itself."""

Positions = NDArray[np.int64]


def marked(bars: Bars, said: Sequence[int] = ()) -> Bars:
    """Mark the bars at which history begins anew, CUT and BREAK; every other bar stays as it is.

    Parameters
    ----------
    bars : Bars
        TRADED, NO_TRADE, BRIDGED and UNKNOWN ones.
    said : sequence of int, ms
        Moments from which on, as the user says, the name means another instrument. The first bar with trades that opens
        then or later is the BREAK; those from the moment on before it, of which the first mixes both, are not known.
    """
    bars = _as_said(bars, said)
    if not bars.state.any():  # most series: each bar has traded
        shown = shows_misprint(*(bars.columns[name] for name in ("high", "low", "close")))
        return replace(bars, state=np.where(shown, CUT, TRADED).astype(np.int8)) if shown.any() else bars
    state = bars.state.copy()
    published = np.flatnonzero(is_published(state))
    close, opened = bars.columns["close"], bars.columns["open"]
    holes = np.flatnonzero(np.diff(published) > LEAST_GAP_BARS)
    before, after = published[holes], published[holes + 1]
    other = another_level(after - before, close[before], opened[after], bars.timeframe) & has_traded(state[after])
    state[after[other]] = BREAK
    traded = np.flatnonzero(has_traded(state))
    edges = np.searchsorted(traded, [0, *np.flatnonzero(state == BREAK), len(state)])
    for a, b in pairwise(edges):
        of = traded[a:b]
        shown = shows_misprint(*(bars.columns[name][of] for name in ("high", "low", "close")))
        state[of[shown]] = CUT
    return replace(bars, state=state) if (state > UNKNOWN).any() else bars


def unmarked(bars: Bars) -> Bars:
    """Return bars without marks, to be put together with others and marked again."""
    marks = bars.state > UNKNOWN
    return replace(bars, state=np.where(marks, TRADED, bars.state).astype(np.int8)) if marks.any() else bars


def breaks_of(bars: Bars) -> list[tuple[int, int]]:
    """Return of each break the close of the last bar before it and the open of its own, ms."""
    published = np.flatnonzero(is_published(bars.state))
    own = np.flatnonzero(bars.state == BREAK)
    before = published[np.searchsorted(published, own) - 1]
    return [(int(bars.close_times[a]), int(bars.open_times[b])) for a, b in zip(before, own, strict=True)]


def still_broken(bars: Bars, breaks: Sequence[tuple[int, int]]) -> list[int]:
    """Return the breaks of finer series in whose gap no bar is known, by the open of their first bar, ms."""
    published = is_published(bars.state)
    opens, closes = bars.open_times[published], bars.close_times[published]
    return [b for a, b in breaks if np.searchsorted(opens, a) >= np.searchsorted(closes, b, side="right")]


def misprints_of(bars: Bars) -> list[tuple[int, int]]:
    """Return open times of misprints that are loaded, and of the bars that show each, ms."""
    shown = np.flatnonzero(bars.state == CUT)
    if len(shown) == 0:
        return []
    traded = np.flatnonzero(has_traded(bars.state))
    place = np.searchsorted(traded, shown) - NEIGHBOURS
    loaded = place >= 0
    times = bars.open_times
    return [(int(times[i]), int(times[j])) for i, j in zip(traded[place[loaded]], shown[loaded], strict=True)]


def suspects(rows: Rows) -> Positions:
    """Return positions of the rows, in order of time, that later rows show to be misprints."""
    shown = np.flatnonzero(shows_misprint(*(rows.columns[name] for name in ("high", "low", "close"))))
    return shown - NEIGHBOURS


def another_level(step: Positions, before: Array, after: Array, timeframe: Timeframe) -> Mask:
    """Return where a price after a gap is that of another instrument.

    Parameters
    ----------
    step : array of int64, bars, shape (n,)
        Distance of two published bars.
    before, after : Array, shape (n,)
        Close of the first, open of the second.
    timeframe : Timeframe
    """
    gap = step - 1
    answer = (gap >= LEAST_GAP_BARS) & (gap * timeframe.ms >= LEAST_GAP_MS)
    if answer.any():
        days = gap[answer] * (timeframe.ms / UNIT_MS["d"])
        most = np.maximum(OTHER_LEVEL, np.exp(DRIFT * np.sqrt(days)))
        old, new = before[answer], after[answer]
        answer[answer] = (new > most * old) | (old > most * new)
    return answer


def shows_misprint(high: Array, low: Array, close: Array) -> Mask:
    """Return which bars with trades show that the third one before them was a misprint.

    Parameters
    ----------
    high, low, close : Array, shape (n,)
        Of one bar with trades after the other, of one instrument. At its beginning those closes judge that there are;
        the first bar is judged by those after it alone. Bar j uses `x[j - 6 : j + 1]` only.
    """
    n = len(close)
    answer = np.zeros(n, dtype=bool)
    for a, b in _suspicious(high, low, close):
        first = max(a - SEEN + 1, 0)
        answer[a:b] = _judged(high[first:b], low[first:b], close[first:b])[a - first :]
    return answer


def _suspicious(high: Array, low: Array, close: Array) -> list[tuple[int, int]]:
    """Stretches of bars that may show a misprint: the others hold no price so far off any close beside it."""
    found, n = [], len(close)
    for a in range(0, n, BLOCK):
        b = min(a + BLOCK, n)
        near = slice(max(a - SEEN + 1, 0), b)
        least, most = np.fmin.reduce(close[near]), np.fmax.reduce(close[near])
        if np.fmax.reduce(high[near]) > FAR * least or np.fmin.reduce(low[near]) * FAR < most:
            found.append((a, b))
    return found


def _judged(high: Array, low: Array, close: Array) -> Mask:
    """As `shows_misprint`, bar by bar."""
    answer = np.zeros(len(close), dtype=bool)
    if len(close) <= NEIGHBOURS:
        return answer
    middle = _median(close[:-2], close[1:-1], close[2:])
    after = middle[1:]  # of the closes after bar i, for i = 0, 1, ...
    before = np.concatenate(([after[0], close[0], min(close[0], close[1])], middle))[: len(after)]
    i = slice(0, len(after))
    answer[NEIGHBOURS:] = (high[i] > FAR * np.maximum(before, after)) | (low[i] * FAR < np.minimum(before, after))
    return answer


def _median(a: Array, b: Array, c: Array) -> Array:
    answer: Array = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return answer


def _as_said(bars: Bars, said: Sequence[int]) -> Bars:
    """Put the breaks that a user says; from the bar in which one lies up to it nothing is known."""
    if len(said) == 0:
        return bars
    traded = np.flatnonzero(bars.state == TRADED)
    state, share, nothing = bars.state.copy(), bars.share.copy(), np.zeros(len(bars), dtype=bool)
    for moment in said:
        inside = max(moment // bars.timeframe.ms - bars.first, 0)
        old, new = np.searchsorted(traded, [inside, -(-moment // bars.timeframe.ms) - bars.first])
        until = int(traded[new]) if new < len(traded) else len(bars)
        nothing[inside:until] = True
        if old > 0:
            state[until : until + 1] = BREAK
    if not nothing.any():
        return replace(bars, state=state)
    state[nothing], share[nothing] = UNKNOWN, 0.0
    columns = {name: np.where(nothing, np.nan, values) for name, values in bars.columns.items()}
    return replace(bars, columns=columns, state=state, share=share)


def close_window(bars: Bars) -> tuple[Array, Array, Array]:
    """Return high, low and close of the last bars with trades since the last break, as many as judge the next one."""
    reach = SEEN
    while True:
        start = max(len(bars) - reach, 0)
        state = bars.state[start:]
        broken = np.flatnonzero(state == BREAK)
        traded = np.flatnonzero(has_traded(state))
        if len(broken):
            traded = traded[traded >= broken[-1]]
        if start == 0 or len(broken) or len(traded) >= SEEN - 1:
            at = start + traded[-(SEEN - 1) :]
            high, low, close = (bars.columns[name][at] for name in ("high", "low", "close"))
            return high, low, close
        reach *= 4


def last_published(bars: Bars) -> tuple[int, float] | None:
    """Return number and close of the last published bar; None where there is none."""
    reach = SEEN
    while True:
        start = max(len(bars) - reach, 0)
        at = np.flatnonzero(is_published(bars.state[start:]))
        if len(at):
            i = start + int(at[-1])
            return bars.first + i, float(bars.columns["close"][i])
        if start == 0:
            return None
        reach *= 4


def state_of(before: Bars, number: int, bar: Mapping[str, float], said: bool = False) -> int:
    """Return the state of the bar with trades that follows others: TRADED, CUT or BREAK, as `marked` has it.

    Parameters
    ----------
    before : Bars
        Marked.
    number : int
    bar : mapping of str to float
        Open, high, low and close among it.
    said : bool
        Whether a user says that another instrument begins here.
    """
    last = last_published(before)
    if last is not None:
        level = another_level(
            np.array([number - last[0]]), np.array([last[1]]), np.array([bar["open"]]), before.timeframe
        )
        if said or level[0]:
            return BREAK
    window = close_window(before)
    high, low, close = (np.append(old, bar[name]) for old, name in zip(window, ("high", "low", "close"), strict=True))
    return CUT if shows_misprint(high, low, close)[-1] else TRADED
