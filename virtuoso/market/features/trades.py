"""Order flow: trades become columns of bars, the same in batch and live.

1. A trade counts in the bar in whose (open, close] it became available. `bars_from_trades` alone goes by the time of
   the trade, as the venue's own bars do.
2. A bar is known if the source was recording all through it: no silence longer than `SILENCE_MS`, or than twenty times
   the mean wait between the `WINDOW` orders before where that is longer, touches it. A wait counts for at most
   `LONGEST_WAIT_MS`, so that an outage does not make the next one pass for a calm. A bar in which nothing traded is
   0, not unknown. The bar in which a recording begins is not known. At the moment a recording breaks off nobody can
   tell it from a calm, so up to `SILENCE_MS` of an outage is taken for one; that is the price of not looking ahead.
3. Large trades are larger, in notional, than nine tenths of the `WINDOW` orders before the bar. A taker's order that
   walks the book is printed as several fills; they are put together first (same millisecond, same side, one after
   the other, never at a better price than the fill before), since else the largest orders are the ones that look
   small. Orders end with the bar.
4. Stacked imbalances are those of the bar's footprint (footprint.py).
5. A change of price belongs to the trade that made it; across a silence there is none.
6. A trade without a side counts as volume and on no side. Where a bar holds one, what takers bought is not known,
   since everything else would pass for sold. Likewise `trades` is known only if every row says how many single trades
   it stands for: Binance's aggregated rows do, through their first and last id.

State is the last price, the last `WINDOW` orders and how long each was waited for: a fold that starts anywhere is the
same from there on as soon as so many orders have passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from virtuoso.clock import Timeframe, iso
from virtuoso.errors import DataError
from virtuoso.jit.kernel import inner, kernel
from virtuoso.market.events import Events, no_events
from virtuoso.market.features.belief import FAR_PRICE, Belief
from virtuoso.market.features.footprint import MOST_LEVELS, Sides, fill_levels, mark_stacks
from virtuoso.market.gaps import NO_TRADE, TRADED
from virtuoso.market.rows import Rows
from virtuoso.market.schema.columns import BAR_COLUMNS, FLOW_COLUMNS
from virtuoso.market.schema.kinds import KINDS
from virtuoso.types import Array, Times

SILENCE_MS = 60_000
LONGEST_WAIT_MS = 300_000
MEAN_WAITS = 20
WINDOW = 1_000
LEAST_ORDERS = 200

_NAMES = (
    *("open", "high", "low", "close", "volume", "quote_volume", "trades"),
    *("taker_buy_volume", "taker_buy_quote_volume", "taker_buy_trades"),
    *("large_buy_volume", "large_sell_volume", "stacked_buy_volume", "stacked_sell_volume", "buy_move", "sell_move"),
)
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _QUOTE, _TRADES, *_REST = range(len(_NAMES))
_BUY_VOLUME, _BUY_QUOTE, _BUY_TRADES, *_REST = _REST
_LARGE_BUY, _LARGE_SELL, _STACKED_BUY, _STACKED_SELL, _BUY_MOVE, _SELL_MOVE = _REST
_NEVER = -(2**62)
_SEEN, _WAITED, _LAST, _ORDERED = range(4)


class _State:
    """What a fold remembers: counts and times, the last price, the last orders."""

    def __init__(self, since: int = _NEVER) -> None:
        self.counts = np.array([0, 0, since, since], dtype=np.int64)
        self.price = np.array([np.nan])
        self.notionals = np.empty(WINDOW)
        self.waits = np.zeros(WINDOW, dtype=np.int64)


class TradeFeatures:
    """Trades become columns of bars; a `FeatureBuilder`.

    Parameters
    ----------
    timeframe : Timeframe

    Attributes
    ----------
    columns : tuple of str
        What klines say as well but for the prices (volumes, counts, the takers' share of them), and all of flow.
    """

    kinds: tuple[str, ...] = ("trades",)
    columns: tuple[str, ...] = (
        *("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"),
        *FLOW_COLUMNS,
    )

    def __init__(self, timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        self._state = _State()
        self._belief = Belief(FAR_PRICE)
        self._end: int | None = None

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end), which follow those of the call before.

        Parameters
        ----------
        events : mapping of kind to Events
            Trades that became available after the last bar folded so far, in order; any number of older ones in the
            first call.
        first, end : int
            Numbers of bars.

        Raises
        ------
        DataError
            The bars do not follow, or trades of other bars are among these.
        """
        trades = events.get("trades", no_events(KINDS["trades"]))
        self._check(trades, first, end)
        self._end = end
        doubted = self._belief.doubted(trades["price"])
        trades = trades.take(~doubted) if doubted.any() else trades  # flow is of prices that were paid
        out = _folded(trades, trades.available_at, self.timeframe, first, end, self._state)
        return {name: np.ascontiguousarray(out[:, _NAMES.index(name)]) for name in self.columns}

    def _check(self, trades: Events, first: int, end: int) -> None:
        if self._end is not None and first != self._end:
            raise DataError(f"The next {self.timeframe} bar of this fold is number {self._end}, was {first}.")
        if len(trades) == 0:
            return
        earliest, latest = int(trades.available_at[0]), int(trades.available_at[-1])
        if latest > end * self.timeframe.ms:
            raise DataError(
                f"A trade of {iso(latest)} is not known at the close of the last bar, {iso(end * self.timeframe.ms)}. "
                "Hand in events.between(after, until)."
            )
        if self._end is not None and earliest <= first * self.timeframe.ms:
            raise DataError(f"The bar of a trade of {iso(earliest)} was folded before. Hand in later ones.")


def bars_from_trades(trades: Events, timeframe: Timeframe, since: int | None = None, until: int | None = None) -> Rows:
    """Return bars as the venue would publish them, made of its trades by the time of the trade.

    Parameters
    ----------
    trades : Events
        Of kind 'trades', single or aggregated.
    timeframe : Timeframe
    since, until : int, ms, optional
        From when until when the source is known to have been recording, such as the day of an archive. If absent, from
        the first to the last trade, so that the bars that hold those are left out: part of them was not recorded.

    Returns
    -------
    Rows
        Whole bars alone. Where nothing traded while the source was recording they are flat, and marked NO_TRADE; in
        a longer silence there is none. A bar is available at its close, or when the last of its trades arrived.
    """
    trades = _in_order_of_the_venue(trades)
    times = trades.event_time
    if len(times) == 0:
        return _rows(trades, timeframe, 0, np.empty((0, len(_NAMES))))
    first = int(times[0]) // timeframe.ms if since is None else -(-since // timeframe.ms)
    end = (int(times[-1]) if until is None else until) // timeframe.ms
    state = _State(_NEVER if since is None else since)
    begin = int(times[0]) if since is None else since
    inside = trades.take(slice(*(int(i) for i in np.searchsorted(times, [begin, end * timeframe.ms]))))
    # a trade at the very moment of a close belongs to the next bar here: one millisecond later, it does
    out = _folded(inside, inside.event_time + 1, timeframe, first, max(end, first), state, flow=False)
    return _rows(inside, timeframe, first, out)


def _in_order_of_the_venue(trades: Events) -> Events:
    """The trades by time, those of one millisecond by id."""
    step, later = np.diff(trades.event_time), np.diff(trades["id"]) >= 0
    if ((step > 0) | ((step == 0) & later)).all():
        return trades
    return trades.take(np.lexsort((trades["id"], trades.event_time)))


def _rows(trades: Events, timeframe: Timeframe, first: int, out: Array) -> Rows:
    """The bars of a fold as rows: those that are known and have a price."""
    known = np.flatnonzero(~np.isnan(out[:, _CLOSE]))
    open_time = (first + known) * timeframe.ms
    close_time = open_time + timeframe.ms
    a, b = (np.searchsorted(trades.event_time, edge) for edge in (open_time, close_time))
    traded = b > a
    arrived = np.maximum.accumulate(trades.available_at)
    available_at = close_time.copy()
    available_at[traded] = np.maximum(close_time[traded], arrived[b[traded] - 1])
    columns = {name: out[known, _NAMES.index(name)] for name in BAR_COLUMNS}
    return Rows(open_time, columns, np.where(traded, TRADED, NO_TRADE).astype(np.int8), available_at)


def _folded(
    trades: Events, when: Times, timeframe: Timeframe, first: int, end: int, state: _State, flow: bool = True
) -> Array:
    """All columns of the bars [first, end), shape (n_bars, n_columns); NaN where not known."""
    out = np.full((end - first, len(_NAMES)), np.nan)
    # read-only arrays would compile every kernel a second time
    given = (when, trades.event_time, *(trades[name] for name in ("price", "size", "side", "count")))
    read = [np.require(values, requirements=["C", "W"]) for values in given]
    remembered = (state.counts, state.price, state.notionals, state.waits)
    fold: Callable[..., None] = _fold
    fold(*read, first, timeframe.ms, flow, *remembered, out)
    return out


@kernel
def _fold(
    when: Times, event_time: Times, price: Array, size: Array, side: Sides, count: Array,
    first: int, ms: int, flow: bool,
    counts: Times, last_price: Array, notionals: Array, waits: Times, out: Array,
) -> None:  # fmt: skip
    """Fold bar after bar; bars before the first one leave their mark on the state alone."""
    n = len(when)
    b: Any = np.int64(0)  # a bare 0 would compile everything below once more, for the number 0
    cells = np.empty((2, MOST_LEVELS))
    buy, sell = cells
    buy_stacked, sell_stacked = np.empty(MOST_LEVELS, np.bool_), np.empty(MOST_LEVELS, np.bool_)
    unseen = np.empty(out.shape[1])
    bar = first
    while b < n or bar < first + len(out):
        a = b
        if a < n and when[a] <= first * ms:
            number = (when[a] - 1) // ms
        else:
            number = bar
            bar += 1
        close = (number + 1) * ms
        while b < n and when[b] <= close:
            b += 1
        row = out[number - first] if number >= first else unseen
        ready = counts[_SEEN] >= LEAST_ORDERS
        border = _border(notionals, min(counts[_SEEN], WINDOW)) if flow and ready and a < b else np.nan
        whole = _sum(when, price, size, side, count, a, b, close, counts, last_price, row)
        _orders(when, event_time, price, size, side, a, b, border, counts, notionals, waits, row)
        if flow and a < b:
            levels = fill_levels(price, size, side, a, b, row[_LOW], row[_HIGH], cells)[0]
            mark_stacks(buy, sell, levels, buy_stacked, sell_stacked)
            for k in range(levels):  # each side from the end at which its stacks begin
                row[_STACKED_BUY] += buy[k] if buy_stacked[k] else 0.0
                row[_STACKED_SELL] += sell[levels - 1 - k] if sell_stacked[levels - 1 - k] else 0.0
        if not whole:
            row[:] = np.nan
        elif not ready:
            row[_LARGE_BUY] = np.nan
            row[_LARGE_SELL] = np.nan


@inner
def _sum(
    when: Times, price: Array, size: Array, side: Sides, count: Array, a: int, b: int, close: int,
    counts: Times, last_price: Array, row: Array,
) -> bool:  # fmt: skip
    """Sum the trades [a, b) of a bar into its row; whether the source was recording all through it."""
    limit = SILENCE_MS
    if counts[_SEEN] >= LEAST_ORDERS:
        limit = max(limit, MEAN_WAITS * counts[_WAITED] // min(counts[_SEEN], WINDOW))
    whole = True
    last, previous = counts[_LAST], last_price[0]
    row[:] = 0.0
    high = low = row[_OPEN] = price[a] if a < b else previous
    volume = quote = trades = bought = paid = bought_trades = up = down = 0.0
    for i in range(a, b):
        p, v = price[i], size[i]
        if when[i] - last > limit:
            whole = False
        last = when[i]
        moved = p - previous
        previous = p
        high, low = max(high, p), min(low, p)
        volume += v
        quote += p * v
        trades += count[i]
        # products instead of branches: who takes is a coin toss, which a processor guesses wrong half of the time
        buyer = 1.0 if side[i] > 0 else 0.0 if side[i] < 0 else np.nan
        bought += buyer * v
        paid += buyer * (p * v)
        bought_trades += buyer * count[i]
        up += moved if side[i] > 0 else 0.0
        down += moved if side[i] < 0 else 0.0
    row[_HIGH], row[_LOW], row[_CLOSE] = high, low, previous
    row[_VOLUME], row[_QUOTE], row[_TRADES] = volume, quote, trades
    row[_BUY_VOLUME], row[_BUY_QUOTE] = bought, paid
    row[_BUY_TRADES] = bought_trades + 0.0 * trades  # not known either where the number of all trades is not
    row[_BUY_MOVE], row[_SELL_MOVE] = up, down
    counts[_LAST] = last
    last_price[0] = previous
    return whole and close - last <= limit


@inner
def _orders(
    when: Times, event_time: Times, price: Array, size: Array, side: Sides, a: int, b: int, border: float,
    counts: Times, notionals: Array, waits: Times, row: Array,
) -> None:  # fmt: skip
    """Put fills of one order together, remember its notional, and sum the large ones of each side."""
    volume, notional = 0.0, 0.0
    seen, waited, ordered = counts[_SEEN], counts[_WAITED], counts[_ORDERED]
    place = seen % WINDOW
    for i in range(a, b):
        volume += size[i]
        notional += price[i] * size[i]
        more = i + 1 < b and side[i] != 0 and side[i + 1] == side[i] and event_time[i + 1] == event_time[i]
        if more and (price[i + 1] - price[i]) * side[i] >= 0.0:
            continue
        if notional > border:
            if side[i] > 0:
                row[_LARGE_BUY] += volume
            elif side[i] < 0:
                row[_LARGE_SELL] += volume
        wait = min(when[i] - ordered, LONGEST_WAIT_MS)
        waited += wait - waits[place]
        ordered = when[i]
        notionals[place], waits[place] = notional, wait
        place = place + 1 if place + 1 < WINDOW else 0
        seen += 1
        volume, notional = 0.0, 0.0
    counts[_SEEN], counts[_WAITED], counts[_ORDERED] = seen, waited, ordered


@inner
def _border(notionals: Array, n: int) -> float:
    """The largest of the smallest nine tenths: a tenth of n, rounded down, is larger, unless they are equal."""
    values = notionals[:n].copy()
    wanted = n - n // 10 - 1
    low, high = 0, n - 1
    while low < high:  # quickselect after Hoare (1961)
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return float(values[wanted])
