"""The order book as columns of bars: the rebuilt book, best quotes alone (`TickerFeatures`), archived bands.

Everything is as *available*: an event counts in the bar in whose (open, close] it arrived, and a bar ends with the book
as it was known at its close. One object keeps the state between two calls, so a history may come whole or a bar at a
time and gives the same bits. Events are taken in order of arrival, a trade before a message of the book that arrived in
the same millisecond.

- *Samples*: ten instants a bar, the last its close. Prices and sizes are of the close, `spread`, `micro_lean`,
  `book_lean` and the depth bands are means. A bar with fewer than nine known samples is not known; neither is a band
  that reaches beyond what the last snapshot showed.
- *Order-flow imbalance* after every message (Cont, Kukanov and Stoikov 2014, The Price Impact of Order Book Events,
  eq. 2-4), each size times its price; `ofi_deep` adds the ten best levels rank by rank, weighted 1, 1/2, ... 1/10 (Xu,
  Gould and Howison 2018, Multi-Level Order-Flow Imbalance).
- *taken* is what trades took from a side. Where no trades are recorded, it is what the best level lost, cancelled
  orders included, and *absorbed* is not known.
- *refill* is what came at or inside the best price of a side, as far as so much had been taken from it within the five
  seconds before.
- *absorbed* is what was traded at prices no better than the best price that still stands one second later; it counts
  in the bar in which that second ends.
- *fleeting* are orders of at least five usual levels within 1 % of the middle that leave again within five seconds,
  less what was traded at their price. A usual level is the mean notional of a level within 1 %, averaged over about
  five minutes.
- A *wall* is a level within 2 % of the middle that holds five times the mean of the twenty levels around it for at
  least thirty seconds; of several the largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.jit.kernel import inner, kernel
from virtuoso.market.events import Events, no_events
from virtuoso.market.features.book.orderflow import (
    UPDATES,
    Trades,
    compare_tops,
    new_tally,
    settle,
    take_trade,
    watch_large,
)
from virtuoso.market.features.book.rebuild import OutOfSync, drained, open_gap
from virtuoso.market.features.book.sampling import LEAST_SAMPLES, look_over, sample, write_bar
from virtuoso.market.features.book.state import (
    CHANGE,
    BookState,
    Integers,
    Record,
    Rows,
    message_end,
    new_state,
    rows_of,
    take_message,
    with_room,
)
from virtuoso.market.schema.columns import BANDS, BOOK_COLUMNS
from virtuoso.market.schema.kinds import KINDS
from virtuoso.types import Array

SAMPLES = 10
"""Instants of a bar at which the book is looked at; the last is the close."""
_SECOND = 1_000
_LATER = np.iinfo(np.int64).max

_ROWS_AT_ONCE = 1 << 20  # rows of the book in one pass over whole bars


class _InOrder:
    """Keeps the calls of a fold in order: each bar once, each event in its bar."""

    kinds: tuple[str, ...]

    def __init__(self, timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        self._end: int | None = None

    def _take(self, events: Mapping[str, Events], first: int, end: int) -> tuple[dict[str, Events], int]:
        """Events of each kind, and the bar from which to fold: where older events are handed in, the one of the first.

        Raises
        ------
        DataError
            A bar is missing or comes twice, or an event belongs to another call.
        """
        timeframe, name = self.timeframe, type(self).__name__
        if end < first or (self._end is not None and first != self._end):
            raise DataError(f"{name} has folded up to bar {self._end} of {timeframe}; next are not [{first}, {end}).")
        given = {kind: events.get(kind, no_events(KINDS[kind])) for kind in self.kinds}
        start = first
        for kind, found in given.items():
            if len(found) == 0:
                continue
            oldest, latest = int(found.available_at[0]), int(found.available_at[-1])
            if latest > timeframe.open_time(end) or (self._end is not None and oldest <= timeframe.open_time(first)):
                raise DataError(
                    f"{name} was handed {kind} of {oldest} to {latest} ms for bars [{first}, {end}) of {timeframe}: "
                    f"after {timeframe.open_time(first)} up to {timeframe.open_time(end)} ms."
                )
            start = min(start, timeframe.number(oldest - 1))
        self._end = end
        return given, start


class BookFeatures(_InOrder):
    """Folds changes of the book, and trades where there are some, into every column of the book.

    Parameters
    ----------
    timeframe : Timeframe
        Of the bars, from 1s on.
    """

    kinds = ("depth", "trades")
    columns = tuple(BOOK_COLUMNS)

    def __init__(self, timeframe: Timeframe) -> None:
        super().__init__(timeframe)
        self._book, self._tally = new_state(), new_tally()
        self._gaps: list[OutOfSync] = []

    @property
    def gaps(self) -> list[OutOfSync]:
        """Stretches in which the book was not known (ms, why); the last may still be open."""
        return [*self._gaps, *open_gap(self._book)]

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end); see `FeatureBuilder`."""
        given, start = self._take(events, first, end)
        depth, trades = given["depth"], given["trades"]
        out = np.empty((len(self.columns), end - start))
        at = start
        while at < end:
            until = self._until(depth, at, end)
            opened, closed = self.timeframe.open_time(at), self.timeframe.open_time(until)
            part, traded = depth.between(opened, closed), trades.between(opened, closed)
            self._book = with_room(self._book, len(part))
            gaps = np.empty((len(part) + 2, 3), dtype=np.int64)
            into = np.empty((len(self.columns), until - at))
            rows, old = rows_of(part), np.empty(len(part))
            fold_events(self._book, self._tally, rows, _trades_of(traded), old, gaps, opened, self.timeframe.ms, into)
            out[:, at - start : until - start] = into
            self._gaps += drained(self._book, gaps)
            at = until
        return {name: out[i, first - start :].copy() for i, name in enumerate(self.columns)}

    def _until(self, depth: Events, at: int, end: int) -> int:
        """Bar up to which one pass goes: about a million rows, whole bars."""
        behind = int(np.searchsorted(depth.available_at, self.timeframe.open_time(at), side="right")) + _ROWS_AT_ONCE
        if behind >= len(depth):
            return end
        return min(max(self.timeframe.number(int(depth.available_at[behind])), at + 1), end)


@kernel
def fold_events(
    book: BookState,
    tallies: NDArray[Any],
    rows: Rows,
    trades: Trades,
    old: Array,
    gaps: Integers,
    start: int,
    length: int,
    out: Array,
) -> None:
    """Fold events into bars of `length` ms from `start` on; `out` has shape (n_columns, n_bars)."""
    tally = tallies[0]
    step = length // SAMPLES
    i: Any = np.int64(0)  # a bare 0 would compile everything below once more, for the number 0
    j: Any = np.int64(0)
    for bar in range(out.shape[1]):
        opened = start + bar * length
        now = opened
        while now < opened + length:
            now = min((now // _SECOND + 1) * _SECOND, opened + ((now - opened) // step + 1) * step)
            while True:
                message = rows.arrived[i] if i < len(rows.arrived) else _LATER
                trade = trades.arrived[j] if j < len(trades.arrived) else _LATER
                if min(message, trade) > now:
                    break
                if trade <= message:
                    take_trade(tally, trade, trades.side[j], trades.price[j], trades.size[j])
                    j += 1
                else:
                    i = take_rows(book, tally, rows, old, gaps, i)
            settle(book, tally, now)
            if now % _SECOND == 0:
                look_over(book, tally, now)
            if (now - opened) % step == 0:
                sample(book, tally, now)
        write_bar(tally, out, bar)


@inner
def take_rows(book: BookState, tally: Record, rows: Rows, old: Array, gaps: Integers, start: int) -> int:
    """Take the message that starts at a row; give where the next one does."""
    now, change = rows.arrived[start], rows.kind[start] == CHANGE
    settle(book, tally, now - 1)
    end = message_end(rows, start)
    applied = take_message(book, rows, start, end, old, gaps)
    tally.sums[UPDATES] += 1.0
    tally.changes += 1 if change else 0
    tally.snapshots += 0 if change else 1
    if applied and change:
        watch_large(tally, rows, old, start, end)
    if applied:
        compare_tops(book, tally, now)
    elif book.now[0].in_sync == 0:
        tally.has_top, tally.large = 0, 0
        tally.wall_count[:] = 0
    return end


def _trades_of(trades: Events) -> Trades:
    arrays = (trades.available_at, trades["side"], trades["price"], trades["size"])
    return Trades(*(np.require(array, requirements=["C", "W"]) for array in arrays))


class TickerFeatures(_InOrder):
    """Folds best quotes alone into the columns that they can give; a quote holds for as long as its kind says.

    Parameters
    ----------
    timeframe : Timeframe
    """

    kinds = ("ticker",)
    columns = ("bid", "ask", "bid_size", "ask_size", "spread", "spread_high", "micro_lean", "ofi_best")

    def __init__(self, timeframe: Timeframe) -> None:
        super().__init__(timeframe)
        self._last = np.full(5, np.nan)  # bid, its size, ask, its size, until when it holds

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end); see `FeatureBuilder`."""
        given, start = self._take(events, first, end)
        ticker = given["ticker"]
        quotes = np.stack([ticker[name] for name in ("bid", "bid_size", "ask", "ask_size")])
        out = np.empty((len(self.columns), end - start))
        times = np.require(ticker.available_at, requirements=["C", "W"]), ticker.event_time + KINDS["ticker"].hold_ms
        fold_quotes(self._last, *times, quotes, self.timeframe.open_time(start), self.timeframe.ms, out)
        return {name: out[i, first - start :].copy() for i, name in enumerate(self.columns)}


@kernel
def fold_quotes(
    last: Array, arrived: Integers, holds: Integers, quotes: Array, start: int, length: int, out: Array,
) -> None:  # fmt: skip
    """Fold quotes into bars; `last` is the quote before, `out` has shape (8, n_bars)."""
    step = length // SAMPLES
    i = 0
    for bar in range(out.shape[1]):
        samples, spread, widest, lean, flow = 0, 0.0, 0.0, 0.0, 0.0
        known = False
        for k in range(1, SAMPLES + 1):
            now = start + bar * length + k * step
            while i < len(arrived) and arrived[i] <= now:
                bid, bids, ask, asks = quotes[0, i], quotes[1, i], quotes[2, i], quotes[3, i]
                crossed = bid >= ask  # it is no market, and tells nothing
                # nothing is known of the flow since a quote that no longer held
                if arrived[i] <= last[4] and not crossed:
                    gained = (bid * bids if bid >= last[0] else 0.0) - (last[0] * last[1] if bid <= last[0] else 0.0)
                    lost = (ask * asks if ask <= last[2] else 0.0) - (last[2] * last[3] if ask >= last[2] else 0.0)
                    flow += gained - lost
                last[0], last[1], last[2], last[3] = bid, bids, ask, asks
                last[4] = arrived[i] - 1 if crossed else holds[i]
                widest = max(widest, ask - bid)
                i += 1
            known = last[0] < last[2] and now <= last[4]
            if known:
                samples += 1
                spread += last[2] - last[0]
                widest = max(widest, last[2] - last[0])
                lean += (last[1] - last[3]) / (last[1] + last[3]) / 2.0
        out[:, bar] = np.nan
        if samples >= LEAST_SAMPLES:
            if known:
                out[0, bar], out[1, bar], out[2, bar], out[3, bar] = last[0], last[2], last[1], last[3]
            out[4, bar], out[5, bar], out[6, bar], out[7, bar] = spread / samples, widest, lean / samples, flow


class BandsFeatures(_InOrder):
    """Folds Binance's archived depth bands into the depth columns that they can give.

    The files hold the depth within 1, 2 and 5 % of the middle about twice a minute; the nearer bands are not known, and
    are given as such, since depth is told from those that are. A bar is the mean of those that
    arrived in it; without one the last counts for as long as its kind says.

    Parameters
    ----------
    timeframe : Timeframe
    """

    kinds = ("bands",)
    columns = tuple(f"{side}_depth_{band}" for band in BANDS for side in ("bid", "ask"))

    def __init__(self, timeframe: Timeframe) -> None:
        super().__init__(timeframe)
        self._last = dict.fromkeys(self.columns, (np.nan, 0))

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end); see `FeatureBuilder`."""
        given, start = self._take(events, first, end)
        bands, timeframe = given["bands"], self.timeframe
        closes = (np.arange(start, end, dtype=np.int64) + 1) * timeframe.ms
        bar = (bands.available_at - 1) // timeframe.ms - start
        return {name: self._column(name, bands, bar, closes)[first - start :] for name in self.columns}

    def _column(self, name: str, bands: Events, bar: Integers, closes: Integers) -> Array:
        side, _, band = name.split("_")
        share = 100.0 * BANDS[band] * (-1.0 if side == "bid" else 1.0)
        mine = bands["percentage"] == share
        at, notional, until = bar[mine], bands["notional"][mine], bands.event_time[mine] + KINDS["bands"].hold_ms
        counts = np.bincount(at, minlength=len(closes))
        sums = np.bincount(at, notional, len(closes))  # one after the other, so that pieces give the same bits
        last = np.cumsum(counts) - 1  # position of the last one so far, -1 for that of an earlier call
        held = np.concatenate((notional, [self._last[name][0]]))[last]
        held_until = np.concatenate((until, np.array([self._last[name][1]], dtype=np.int64)))[last]
        if len(notional):
            self._last[name] = float(notional[-1]), int(until[-1])
        with np.errstate(invalid="ignore"):
            return np.where(counts > 0, sums / np.maximum(counts, 1), np.where(closes <= held_until, held, np.nan))
