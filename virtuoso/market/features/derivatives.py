"""The fold of positioning: what traders hold, pay and lose, as columns of bars.

1. Open interest, ratios, mark and index price are states. A bar shows the newest value that was available at its close,
   if that is no older than its kind allows (market/schema/kinds.py), else NaN; never a nearer one that came later.
2. A funding rate is settled once an interval and shown per eight hours until an eighth of an interval after the next
   settlement was due. Where the source does not say the interval, it is the distance from the settlement before: a
   shorter one than usual is believed at once, since no settlement can be missed into it, a longer one when it comes
   twice in a row, since one could have been. Until then the rate per eight hours is not known.
3. Liquidations are sums over the bar in which they arrived, lower bounds, since venues publish a sample of them. No
   liquidation and no recording look the same, so a bar is known only if the last one was at no moment in it more than
   an hour old. The bar in which a recording begins is therefore not known; nor are quiet hours of small markets.
4. Open interest, notional, mark and index price that leap are not believed until they stay (belief.py), and meanwhile
   not known; a liquidation at such a price is left out of the sum.

Every value of bar t uses what was available up to its close only. State is kept between calls, so that a history may
be folded whole, in pieces or bar by bar, to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.market.events import Events, no_events
from virtuoso.market.features.belief import FAR_INTEREST, FAR_PRICE, Belief
from virtuoso.market.schema.columns import POSITIONING_COLUMNS
from virtuoso.market.schema.kinds import KINDS
from virtuoso.types import Array, Mask, Times

HOUR_MS = UNIT_MS["h"]
QUIET_MS = HOUR_MS
"""A market without a liquidation for longer may as well not be recorded."""
SLACK_MS = UNIT_MS["m"]
"""How far a settlement may be off the hour."""
OVERDUE = 9, 8
"""A funding rate is held for nine eighths of its interval."""

_STATES = tuple(name for name, column in POSITIONING_COLUMNS.items() if column.kind not in ("funding", "liquidations"))
_LONG_AGO = -(1 << 62)  # far enough from now that the difference still fits
_SETTLED, _STEP, _USUAL, _DOUBTED = range(4)  # of the state of funding, ms


class DerivativesFeatures:
    """Columns of open interest, ratios, funding, prices and liquidations; a `FeatureBuilder` of events.py.

    Parameters
    ----------
    timeframe : Timeframe
    """

    kinds = ("open_interest", "ratios", "funding", "prices", "liquidations")
    columns = tuple(POSITIONING_COLUMNS)

    def __init__(self, timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        held = (*_STATES, "funding_rate")
        self._time = {name: np.array([_LONG_AGO, 0]) for name in held}  # event time and hold of the value, ms
        self._value = {name: np.array([np.nan]) for name in held}
        self._beliefs = {name: Belief(FAR_INTEREST) for name in ("open_interest", "open_interest_value")}
        self._beliefs |= {name: Belief(FAR_PRICE) for name in ("mark", "index", "liquidations")}
        self._funding = np.array([_LONG_AGO, 0, 0, 0])
        self._liquidated = np.array([_LONG_AGO])

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end), which follow those of the call before.

        Parameters
        ----------
        events : mapping of kind to Events
            In order of arrival, none later than the close of bar `end - 1`; kinds without events may be absent.
        first, end : int
            Numbers of bars.

        Returns
        -------
        dict of str to Array, shape (end - first,)
        """
        given = {kind: events.get(kind) or no_events(KINDS[kind]) for kind in self.kinds}
        closes = np.arange(first + 1, end + 1, dtype=np.int64) * self.timeframe.ms
        answer = {}
        for name in _STATES:
            kind = POSITIONING_COLUMNS[name].kind
            hold = np.full(len(given[kind]), KINDS[kind].hold_ms, dtype=np.int64)
            answer[name] = self._held(name, given[kind], _own(given[kind][name]), hold, closes)
        rates = given["funding"]
        per_eight, hold = np.empty(len(rates)), np.empty(len(rates), dtype=np.int64)
        _settle(_own(rates.event_time), _own(rates["rate"]), _own(rates["hours"]), self._funding, per_eight, hold)
        answer["funding_rate"] = self._held("funding_rate", rates, per_eight, hold, closes)
        answer |= self._sums(given["liquidations"], closes)
        return {name: answer[name] for name in self.columns}

    def _held(self, name: str, events: Events, values: Array, hold: Times, closes: Times) -> Array:
        out = np.empty(len(closes))
        when, known = _own(events.event_time), _own(events.available_at)
        doubted = self._beliefs[name].doubted(values) if name in self._beliefs else np.zeros(len(values), dtype=bool)
        _as_of(when, known, values, doubted, hold, closes, self._time[name], self._value[name], out)
        return out

    def _sums(self, events: Events, closes: Times) -> dict[str, Array]:
        long, short = np.empty(len(closes)), np.empty(len(closes))
        known, side = _own(events.available_at), _own(events["side"])
        price, size = _own(events["price"]), _own(events["size"])
        size[self._beliefs["liquidations"].doubted(price)] = 0.0
        _sum_sides(known, side, price, size, closes, self._liquidated, long, short)
        return {"long_liquidations": long, "short_liquidations": short}


def _own(values: NDArray[Any]) -> NDArray[Any]:
    """Return a writeable copy: kernels are compiled once, not again for read-only arrays of files."""
    return np.array(values)


@kernel
def _as_of(
    event_time: Times,
    available_at: Times,
    values: Array,
    doubted: Mask,
    hold: Times,
    closes: Times,
    time_state: Times,
    value_state: Array,
    out: Array,
) -> None:
    """Newest value available at each close, if it may still be used. Uses `available_at <= closes[t]` only.

    A value replaces the one before it if it is of the same moment or a later one, so that a straggler does not. One
    that is doubted replaces it by nothing.
    """
    i = 0
    for t in range(len(closes)):
        while i < len(values) and available_at[i] <= closes[t]:
            if not np.isnan(values[i]) and event_time[i] >= time_state[0]:
                time_state[0], time_state[1] = event_time[i], hold[i]
                value_state[0] = np.nan if doubted[i] else values[i]
            i += 1
        out[t] = value_state[0] if closes[t] - time_state[0] <= time_state[1] else np.nan


@kernel
def _settle(event_time: Times, rate: Array, hours: Array, state: Times, per_eight: Array, hold: Times) -> None:
    """Rates per eight hours, and how long they hold, ms; NaN where the interval is not known yet.

    Uses settlements `[: i + 1]` only.
    """
    for i in range(len(rate)):
        since = event_time[i] - state[_SETTLED]
        step = 0
        if not np.isnan(hours[i]):
            step = int(hours[i] * HOUR_MS)
        elif since == 0:  # the same settlement again, revised
            step = state[_STEP]
        elif since > 0 and state[_SETTLED] != _LONG_AGO:
            step = _interval(since, state)
        if since >= 0:
            state[_SETTLED], state[_STEP] = event_time[i], step
            if step > 0:
                state[_USUAL], state[_DOUBTED] = step, 0
        per_eight[i] = rate[i] * (8.0 * HOUR_MS / step) if step > 0 else np.nan
        hold[i] = step * OVERDUE[0] // OVERDUE[1]


@inner
def _interval(since: int, state: Times) -> int:
    """Interval that ends with a settlement so long after the one before it, ms; 0 if it is not known."""
    whole = (since + HOUR_MS // 2) // HOUR_MS
    if abs(since - whole * HOUR_MS) > SLACK_MS or whole not in (1, 2, 4, 8):
        state[_DOUBTED] = 0
        return 0
    step = whole * HOUR_MS
    if state[_USUAL] == 0 or step <= state[_USUAL] or step == state[_DOUBTED]:
        return step
    state[_DOUBTED] = step
    return 0


@kernel
def _sum_sides(
    available_at: Times,
    side: NDArray[np.int8],
    price: Array,
    size: Array,
    closes: Times,
    state: Times,
    long: Array,
    short: Array,
) -> None:
    """Notional of liquidated longs and shorts; NaN where some of it may not have been recorded.

    Uses `available_at <= closes[t]` only.
    """
    i = 0
    for t in range(len(closes)):
        recorded = True
        longs = 0.0
        shorts = 0.0
        while i < len(price) and available_at[i] <= closes[t]:
            recorded = recorded and available_at[i] - state[0] <= QUIET_MS
            state[0] = available_at[i]
            if side[i] < 0:
                longs += price[i] * size[i]
            elif side[i] > 0:
                shorts += price[i] * size[i]
            i += 1
        recorded = recorded and closes[t] - state[0] <= QUIET_MS
        long[t] = longs if recorded else np.nan
        short[t] = shorts if recorded else np.nan
