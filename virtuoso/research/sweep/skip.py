"""Walking over bars on which nothing can happen: summaries of 8 and of 64 bars that are proved equal to every bar.

1. `advance` passes over bars that reach neither stop nor target nor liquidation, and in which no funding settles.
   To stop at a bar too early costs a step and changes nothing; to pass over one too many would be a fault.
2. `mark` follows equity from close to close: peak, max drawdown, halt, days. Between two events equity is monotone
   in the price, so the least and greatest close of the bars that were passed over tell what any of them did to it.
   Only where their order matters are they looked at one by one.

What is looked at together lies together: a row of each table is one line of the processor's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import state as s
from virtuoso.jit.kernel import uncounted
from virtuoso.types import Array, Mask

SHORT, LONG = 8, 64
"""Bars of the two summaries."""

LOW, HIGH, MARK_LOW, MARK_HIGH, LEAST, MOST, OPENED = range(7)
"""Columns of a row: lowest and highest price, lowest and highest mark, least and greatest close; and of a bar, at which
price it opened."""
ROW_COLUMNS = 8

TOP, DEEPEST, PEAK, HALTED_AT, HELD, DAY, FIRST_HALT, FIRST_EQUITY = range(8)
"""Columns of a record: highest equity, max drawdown, peak since the last halt was lifted, bar of the halt or -1,
bars at whose close something was held, days that have ended, bar of the first halt or -1, equity then."""
RECORD_COLUMNS = 8


class BarSummaries(NamedTuple):
    """Bars and their extremes over 8 and 64 bars, the same for every configuration.

    Attributes
    ----------
    bars : Array, shape (n_bars, ROW_COLUMNS)
        Prices include the open. Where nothing is known nothing is reached; where funding settles everything is. The
        close is the last known mark.
    short, long : Array, shape (n_stretches, ROW_COLUMNS)
        Of SHORT and of LONG bars.
    days : array of int64, shape (n_days,)
        Last bar that has closed by the end of each whole day; -1 where none has.
    """

    bars: Array
    short: Array
    long: Array
    days: NDArray[np.int64]


def summaries_of(bars: Array, begins: Mask, last: int, days: NDArray[np.int64]) -> BarSummaries:
    """Lay out the bars of one instrument and summarise them.

    Parameters
    ----------
    bars : Array, shape (n_bars, BAR_COLUMNS)
    begins : array of bool, shape (n_bars,)
        Bars that another instrument of the same name opens.
    last : int
        Position of the last known bar.
    days : see `BarSummaries`
    """
    nothing = np.array([np.inf, -np.inf, np.inf, -np.inf])
    reach = np.tile(nothing, (len(bars), 1))
    for low, high, column in ((s.LOW, s.HIGH, 0), (s.MARK_LOW, s.MARK_HIGH, 2)):
        opened = bars[:, s.OPEN if column == 0 else s.MARK_OPEN]
        reach[:, column] = np.fmin(reach[:, column], np.fmin(bars[:, low], opened))
        reach[:, column + 1] = np.fmax(reach[:, column + 1], np.fmax(bars[:, high], opened))
    reach[np.flatnonzero(np.nan_to_num(bars[:, s.FUNDING_OPEN :]).any(axis=1))] = -nothing
    reach[begins] = -nothing  # another instrument begins: what is held is settled
    if last < len(bars) - 1:  # delisted: what is held is settled there
        reach[last] = -nothing
    return summarised(reach, bars[:, s.MARK_CLOSE], bars[:, s.OPEN], days)


def summarised(reach: Array, close: Array, opened: Array, days: NDArray[np.int64]) -> BarSummaries:
    """Lay out rows and summarise them.

    Parameters
    ----------
    reach : Array, shape (n_bars, 4)
        The first four columns of a row.
    close : Array, shape (n_bars,)
        NaN where not known: the last known one stands.
    opened : Array, shape (n_bars,)
    days : see `BarSummaries`
    """
    last = np.maximum.accumulate(np.where(np.isnan(close), 0, np.arange(len(close))))
    carried = close[last]
    bars = np.column_stack((reach, carried, carried, opened, np.zeros(len(close))))
    return BarSummaries(bars, _summary(bars, SHORT), _summary(bars, LONG), days)


def _summary(bars: Array, length: int) -> Array:
    """Least of the even columns and greatest of the odd ones in each stretch."""
    starts = np.arange(0, len(bars), length)
    found = np.zeros((len(starts), ROW_COLUMNS))
    for column in range(OPENED):
        extreme = np.minimum if column % 2 == 0 else np.maximum
        found[:, column] = extreme.reduceat(bars[:, column], starts)
    return found


def recorded(n: int, cash: float) -> Array:
    """Records of accounts that have just been opened, shape (n, RECORD_COLUMNS)."""
    records = np.zeros((n, RECORD_COLUMNS))
    records[:, TOP], records[:, PEAK] = cash, cash
    records[:, [HALTED_AT, FIRST_HALT]], records[:, FIRST_EQUITY] = -1.0, np.nan
    return records


@uncounted
def advance(
    summaries: BarSummaries, t: int, stop: int, below: float, above: float, mark_below: float, mark_above: float
) -> tuple[int, float, float]:
    """First bar from t on that reaches one of four prices, or `stop`; least and greatest close of those before it."""
    bars, short, long = summaries.bars, summaries.short, summaries.long
    least, most = np.inf, -np.inf
    while t < stop:
        if t & (LONG - 1) == 0 and t + LONG <= stop and calm(long, t // LONG, below, above, mark_below, mark_above):
            least, most = min(least, long[t // LONG, LEAST]), max(most, long[t // LONG, MOST])
            t += LONG
        elif (
            t & (SHORT - 1) == 0 and t + SHORT <= stop and calm(short, t // SHORT, below, above, mark_below, mark_above)
        ):
            least, most = min(least, short[t // SHORT, LEAST]), max(most, short[t // SHORT, MOST])
            t += SHORT
        elif calm(bars, t, below, above, mark_below, mark_above):
            least, most = min(least, bars[t, LEAST]), max(most, bars[t, MOST])
            t += 1
        else:
            break
    return t, least, most


@uncounted
def calm(rows: Array, i: int, below: float, above: float, mark_below: float, mark_above: float) -> bool:
    """Whether a row reaches none of four prices; it is not cut out of the table, since that costs more than to look."""
    low, high = (
        rows[i, LOW] > below and rows[i, MARK_LOW] > mark_below,
        rows[i, HIGH] < above and rows[i, MARK_HIGH] < mark_above,
    )
    return bool(low and high)


@uncounted
def mark(
    summaries: BarSummaries, a: int, b: int, least: float, most: float, wallet: float, size: float, entry: float,
    limit: float, reset: int, record: Array, daily: Array,
) -> None:  # fmt: skip
    """Mark equity at the closes of the bars [a, b), over which nothing happens.

    Parameters
    ----------
    summaries : BarSummaries
    a, b : int
    least, most : float
        Of their closes; of no account where nothing is held.
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
    if a >= b:
        return
    worst = best = wallet
    if size != 0.0:
        record[HELD] += b - a
        worst, best = wallet + size * (least - entry), wallet + size * (most - entry)
        if size < 0.0:
            worst, best = best, worst
    top, peak = max(record[TOP], best), max(record[PEAK], best)
    deepest, halted = worst / top - 1.0, record[HALTED_AT] >= 0.0
    wakes = halted and reset > 0 and b > int(record[HALTED_AT]) + reset
    halts = not halted and worst <= (1.0 - limit) * peak
    if wakes or halts or (best > record[TOP] and deepest < record[DEEPEST]):
        _mark_each(summaries.bars, a, b, wallet, size, entry, limit, reset, record)
    else:
        record[TOP], record[PEAK], record[DEEPEST] = top, peak, min(record[DEEPEST], deepest)
    day = int(record[DAY])
    while day < len(summaries.days) and summaries.days[day] < b:
        at = summaries.days[day]
        if at >= 0:
            daily[day] = wallet + size * (summaries.bars[at, LEAST] - entry) if size != 0.0 else wallet
        day += 1
    record[DAY] = day


@uncounted
def _mark_each(
    bars: Array, a: int, b: int, wallet: float, size: float, entry: float, limit: float, reset: int, record: Array
) -> None:
    """Mark equity at one close after another: a halt begins or ends, or equity was never as high and then as deep."""
    for t in range(a, b):
        equity = wallet + size * (bars[t, LEAST] - entry) if size != 0.0 else wallet
        if record[HALTED_AT] >= 0.0 and reset > 0 and t - int(record[HALTED_AT]) >= reset:
            record[HALTED_AT], record[PEAK] = -1.0, equity
        record[TOP] = max(record[TOP], equity)
        record[DEEPEST] = min(record[DEEPEST], equity / record[TOP] - 1.0)
        record[PEAK] = max(record[PEAK], equity)
        if record[HALTED_AT] < 0.0 and equity <= (1.0 - limit) * record[PEAK]:
            record[HALTED_AT] = t
            if record[FIRST_HALT] < 0.0:
                record[FIRST_HALT], record[FIRST_EQUITY] = t, equity
