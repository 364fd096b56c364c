"""Walking over bars on which nothing can happen: summaries of 8 and of 64 bars that are proved equal to every bar.

1. `next_event` passes over bars that reach neither stop nor target nor liquidation, and in which no funding settles.
   A bar more than needed changes nothing: what is found is stepped through by the books. A bar less would be a fault.
2. `mark` follows equity from close to close: peak, deepest drawdown, halt, days. Between two events equity is monotone
   in the price, so the least and greatest close of a stretch tell whether any of its bars can matter. If so, its own
   bars are looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.market.columns import Array

SHORT, LONG = 8, 64
"""Bars of the two summaries."""

TOP, DEEPEST, PEAK, HALTED_AT, HELD, DAY = range(6)
"""Columns of a record: highest equity, deepest drawdown, peak since the last halt was lifted, bar of the halt or -1,
bars at whose close something was held, days that have ended."""
RECORD_COLUMNS = 6


class Ground(NamedTuple):
    """What is walked over, the same for every configuration.

    Attributes
    ----------
    reach : Array, shape (n_bars, 4)
        Lowest and highest price, lowest and highest mark. Where nothing is known nothing is reached; where funding
        settles everything is.
    short_reach, long_reach : Array, shape (n_stretches, 4)
        Of SHORT and of LONG bars.
    close : Array, shape (n_bars,)
        Last known mark at each close.
    short_close, long_close : Array, shape (n_stretches, 2)
        Least and greatest.
    days : array of int64, shape (n_days,)
        Last bar that has closed by the end of each whole day; -1 where none has.
    """

    reach: Array
    short_reach: Array
    long_reach: Array
    close: Array
    short_close: Array
    long_close: Array
    days: NDArray[np.int64]


def ground_of(reach: Array, close: Array, days: NDArray[np.int64]) -> Ground:
    """Summarise.

    Parameters
    ----------
    reach : Array, shape (n_bars, 4)
    close : Array, shape (n_bars,)
        NaN where not known: the last known one stands.
    days : see `Ground`
    """
    last = np.maximum.accumulate(np.where(np.isnan(close), 0, np.arange(len(close))))
    carried = close[last]
    ends = np.column_stack((carried, carried))
    return Ground(
        reach, _summary(reach, SHORT), _summary(reach, LONG), carried, _summary(ends, SHORT), _summary(ends, LONG), days
    )


def _summary(table: Array, length: int) -> Array:
    """Least of the even columns and greatest of the odd ones in each stretch."""
    starts = np.arange(0, len(table), length)
    found = np.empty((len(starts), table.shape[1]))
    for column in range(table.shape[1]):
        extreme = np.minimum if column % 2 == 0 else np.maximum
        found[:, column] = extreme.reduceat(table[:, column], starts)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def next_event(
    ground: Ground, t: int, stop: int, below: float, above: float, mark_below: float, mark_above: float
) -> int:
    """First bar from t on that reaches one of four prices, or `stop`."""
    reach, short, long = ground.reach, ground.short_reach, ground.long_reach
    while t < stop:
        if t % LONG == 0 and t + LONG <= stop and _calm(long, t // LONG, below, above, mark_below, mark_above):
            t += LONG
        elif t % SHORT == 0 and t + SHORT <= stop and _calm(short, t // SHORT, below, above, mark_below, mark_above):
            t += SHORT
        elif _calm(reach, t, below, above, mark_below, mark_above):
            t += 1
        else:
            return t
    return stop


@njit(cache=True, nogil=True, error_model="numpy")
def _calm(reach: Array, i: int, below: float, above: float, mark_below: float, mark_above: float) -> bool:
    """Whether a row reaches none of four prices; it is not cut out of the table, since that costs more than to look."""
    low, high = reach[i, 0] > below and reach[i, 2] > mark_below, reach[i, 1] < above and reach[i, 3] < mark_above
    return bool(low and high)


@njit(cache=True, nogil=True, error_model="numpy")
def mark(
    ground: Ground, a: int, b: int, wallet: float, size: float, entry: float, limit: float, reset: int, record: Array,
    daily: Array,
) -> None:  # fmt: skip
    """Mark equity at the closes of the bars [a, b), over which nothing happens.

    Parameters
    ----------
    ground : Ground
    a, b : int
    wallet, size, entry : float
        What is held over them.
    limit : float
        Drawdown that halts, as a share.
    reset : int, bars
        After which a halt is lifted; 0 never.
    record : Array, shape (RECORD_COLUMNS,)
        Changed.
    daily : Array, quote currency, shape (n_days,)
        Written: equity at the end of each day.
    """
    close, short, long = ground.close, ground.short_close, ground.long_close
    if size != 0.0:
        record[HELD] += b - a
    t = a
    while t < b:
        wakes = b
        if record[HALTED_AT] >= 0.0 and reset > 0:
            wakes = min(b, max(int(record[HALTED_AT]) + reset, t))
        if size == 0.0 and t < wakes:
            _look(t, wallet, limit, record)
            t = wakes
        elif t % LONG == 0 and t + LONG <= wakes and _dull(long, t // LONG, wallet, size, entry, limit, record):
            t += LONG
        elif t % SHORT == 0 and t + SHORT <= wakes and _dull(short, t // SHORT, wallet, size, entry, limit, record):
            t += SHORT
        else:
            equity = wallet + size * (close[t] - entry) if size != 0.0 else wallet
            if record[HALTED_AT] >= 0.0 and reset > 0 and t - int(record[HALTED_AT]) >= reset:
                record[HALTED_AT], record[PEAK] = -1.0, equity
            _look(t, equity, limit, record)
            t += 1
    day = int(record[DAY])
    while day < len(ground.days) and ground.days[day] < b:
        at = ground.days[day]
        if at >= 0:
            daily[day] = wallet + size * (ground.close[at] - entry) if size != 0.0 else wallet
        day += 1
    record[DAY] = day


@njit(cache=True, nogil=True, error_model="numpy")
def _look(t: int, equity: float, limit: float, record: Array) -> None:
    """Look at the equity of one close."""
    record[TOP] = max(record[TOP], equity)
    record[DEEPEST] = min(record[DEEPEST], equity / record[TOP] - 1.0)
    record[PEAK] = max(record[PEAK], equity)
    if record[HALTED_AT] < 0.0 and equity <= (1.0 - limit) * record[PEAK]:
        record[HALTED_AT] = t


@njit(cache=True, nogil=True, error_model="numpy")
def _dull(ends: Array, i: int, wallet: float, size: float, entry: float, limit: float, record: Array) -> bool:
    """Whether no close of a stretch can deepen the drawdown or halt; the peaks are then raised to its highest."""
    least, most = wallet + size * (ends[i, 0] - entry), wallet + size * (ends[i, 1] - entry)
    if size < 0.0:
        least, most = most, least
    top, peak = max(record[TOP], most), max(record[PEAK], most)
    if least / top - 1.0 < record[DEEPEST] or (record[HALTED_AT] < 0.0 and least <= (1.0 - limit) * peak):
        return False
    record[TOP], record[PEAK] = top, peak
    return True
