"""One coin of the simulated market, as it stands at a moment: what a venue would answer if it were asked then.

Nothing here is of one venue's protocol: whole ticks and lots become the decimals that a venue prints, minutes become
bars of any length, and nothing that happens after the moment is ever seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.types import Array
from virtuoso.venues.simulator import Coin, Recording
from virtuoso.venues.wire.book import BookCursor

MINUTE = 60_000
DAY = 1_440 * MINUTE
WEEK = 7 * DAY
MONDAY = 4 * DAY  # the epoch was a Thursday
FUNDING_MS = 8 * 60 * MINUTE
MONTH = -1
"""Length of a calendar month, which is no number of milliseconds."""
METRICS = ("interest", "mark", "accounts", "large_accounts", "large_positions", "takers")
_SUMS = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of any length.

    Attributes
    ----------
    open_time, close_time : int
        First and last millisecond.
    open, high, low, close : float
    volume, quote_volume, taker_buy_volume, taker_buy_quote_volume : float
    trades : int
    """

    open_time: int
    close_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    quote_volume: float = 0.0
    trades: int = 0
    taker_buy_volume: float = 0.0
    taker_buy_quote_volume: float = 0.0


def open_time_of(time: int, length: int) -> int:
    """Say when the bar that holds a moment opened; weeks begin on Monday, months on their first day."""
    if length == MONTH:
        return int(np.datetime64(time, "ms").astype("M8[M]").astype("M8[ms]").astype(np.int64))
    shift = MONDAY if length == WEEK else 0
    return (time - shift) // length * length + shift


def next_open(open_time: int, length: int) -> int:
    """Say when the next bar opens."""
    if length == MONTH:
        month = np.datetime64(open_time, "ms").astype("M8[M]") + np.timedelta64(1, "M")
        return int(month.astype("M8[ms]").astype(np.int64))
    return open_time + length


class Listing:
    """A coin and everything that was recorded of it.

    Attributes
    ----------
    recording : Recording
    coin : Coin
    symbol : str
        Such as `BTCUSDT`.
    listed : int, ms
        First minute of its history.
    book : BookCursor
        For answers; whoever follows the book has a cursor of his own: `book.fresh()`.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.coin: Coin = recording.coin
        self.symbol = recording.coin.symbol
        self.tick, self.lot = 10.0**recording.coin.tick_decimals, 10.0**recording.coin.lot_decimals
        self._minutes: NDArray[np.int64] = recording.bars["open_time"].astype(np.int64)
        self._bars = recording.bars
        self.trades = recording.trades
        self.liquidations = recording.liquidations
        self._metrics, self._prices, self._funding = recording.metrics, recording.prices, recording.funding
        self.listed = int(self._minutes[0])
        self.book = BookCursor(recording.book)

    def price(self, value: float) -> str:
        """Write a price with the decimals of its tick."""
        return f"{value:.{self.coin.tick_decimals}f}"

    def size(self, value: float) -> str:
        """Write a quantity with the decimals of its lot."""
        return f"{value:.{self.coin.lot_decimals}f}"

    def ticks(self, value: float) -> str:
        """Write a price that is given in ticks."""
        return self.price(value / self.tick)

    def lots(self, value: float) -> str:
        """Write a quantity that is given in lots."""
        return self.size(value / self.lot)

    def bars(self, length: int, first: int, until: int, most: int, *, newest: bool, now: int) -> list[Bar]:
        """Give bars of trades whose open times lie in [first, until], the one that is still forming among them.

        Parameters
        ----------
        length : int, ms
            Of a bar; MONTH for calendar months.
        first, until : int, ms
            Bounds of the open time, both inclusive.
        most : int
            How many at most.
        newest : bool
            Whether the newest or the oldest are kept where there are more.
        now : int, ms
            What happens later is not seen.

        Returns
        -------
        list of Bar
            Oldest first. A stretch in which the venue was down has none.
        """
        begins = self._opens(length, first, min(until, now), most, newest)
        if not begins:
            return []
        found = self._folded(begins, length, now // MINUTE * MINUTE)
        begin = begins[-1]
        forming = self._forming(begin, next_open(begin, length), now)
        if forming is not None:
            told = found.pop() if found and found[-1].open_time == begin else None
            found.append(forming if told is None else _joined(told, forming))
        return found

    def _opens(self, length: int, first: int, last: int, most: int, newest: bool) -> list[int]:
        first = max(first, open_time_of(self.listed, length))
        begin = open_time_of(first, length)
        begin = begin if begin >= first else next_open(begin, length)
        end = open_time_of(last, length)
        if end < begin or most < 1:
            return []
        if length != MONTH:
            opens = range(begin, end + 1, length)
            return list(opens[-most:] if newest else opens[:most])
        months = [begin]
        while next_open(months[-1], length) <= end:
            months.append(next_open(months[-1], length))
        return months[-most:] if newest else months[:most]

    def _folded(self, begins: list[int], length: int, before: int) -> list[Bar]:
        """Fold the minutes that were over by `before`; bars of which there are none are left out."""
        lo, hi = np.searchsorted(self._minutes, (begins[0], min(next_open(begins[-1], length), before)))
        edges = np.unique(np.searchsorted(self._minutes[lo:hi], begins))
        edges = edges[edges < hi - lo]
        if len(edges) == 0:
            return []
        ends = np.append(edges[1:], hi - lo) - 1
        part = {name: values[lo:hi] for name, values in self._bars.items()}
        opens = np.array(begins)[np.searchsorted(begins, part["open_time"][edges], side="right") - 1].tolist()
        sums = [np.add.reduceat(part[name], edges).tolist() for name in _SUMS]
        high, low = np.maximum.reduceat(part["high"], edges), np.minimum.reduceat(part["low"], edges)
        prices = [part["open"][edges].tolist(), high.tolist(), low.tolist(), part["close"][ends].tolist()]
        return [
            Bar(at, next_open(at, length) - 1, o, h, low, c, volume, quote, int(count), bought, value)
            for at, o, h, low, c, volume, quote, count, bought, value in zip(opens, *prices, *sums, strict=True)
        ]

    def _forming(self, open_time: int, end: int, now: int) -> Bar | None:
        """Give the trades of the minute that is not over, where it belongs to the bar that is asked for."""
        minute = now // MINUTE * MINUTE
        if not open_time <= minute < end:
            return None
        rows = self.trades_in(minute, now)
        last = self.last_price(minute - 1)
        if len(rows) == 0:
            return None if last is None else Bar(open_time, end - 1, last, last, last, last)
        price, size = rows[:, 2] / self.tick, rows[:, 3] / self.lot
        bought = rows[:, 4] > 0
        value = price * size
        return Bar(
            open_time, end - 1, float(price[0]), float(price.max()), float(price.min()), float(price[-1]),
            float(size.sum()), float(value.sum()), len(rows), float(size[bought].sum()), float(value[bought].sum()),
        )  # fmt: skip

    def last_price(self, now: int) -> float | None:
        """Give the price of the last trade, None before the first."""
        n = int(np.searchsorted(self.trades[:, 0], now, side="right"))
        if n:
            return float(self.trades[n - 1, 2] / self.tick)
        minute = int(np.searchsorted(self._minutes, now // MINUTE * MINUTE)) - 1
        return float(self._bars["close"][minute]) if minute >= 0 else None

    def trades_in(self, first: int, until: int) -> NDArray[np.int64]:
        """Give trades with times in [first, until]: time, id, price (ticks), size (lots), side of the taker."""
        lo, hi = np.searchsorted(self.trades[:, 0], (first, until + 1))
        return self.trades[lo:hi]

    def trades_from(self, identifier: int, now: int) -> NDArray[np.int64]:
        """Give trades from an id on, as far as they have happened."""
        lo = int(np.searchsorted(self.trades[:, 1], identifier))
        hi = int(np.searchsorted(self.trades[:, 0], now + 1))
        return self.trades[lo:hi]

    def liquidations_in(self, first: int, until: int) -> NDArray[np.int64]:
        """Give forced orders in [first, until]: time, side of the order, limit and average price (ticks), size."""
        lo, hi = np.searchsorted(self.liquidations[:, 0], (first, until + 1))
        return self.liquidations[lo:hi]

    def day(self, now: int) -> Bar:
        """Fold the last 24 hours."""
        first = now - DAY
        minute = first // MINUTE * MINUTE + MINUTE
        rows = slice(*np.searchsorted(self._minutes, (minute, now // MINUTE * MINUTE)))
        forming = self._forming(minute, now + 1, now)
        if rows.stop <= rows.start:
            last = self.last_price(now) or self.coin.price
            return forming or Bar(first, now, last, last, last, last)
        part = {name: values[rows] for name, values in self._bars.items()}
        volume, quote, count, bought, value = (float(part[name].sum()) for name in _SUMS)
        told = Bar(
            first, now, float(part["open"][0]), float(part["high"].max()), float(part["low"].min()),
            float(part["close"][-1]), volume, quote, int(count), bought, value,
        )  # fmt: skip
        return told if forming is None else _joined(told, forming)

    def mark_and_index(self, now: int) -> tuple[float, float]:
        """Give the mark price and the index price as they were last told, quote currency."""
        n = int(np.searchsorted(self._prices[:, 0], now, side="right"))
        mark, index = self._prices[max(n - 1, 0), 1:3] / self.tick
        return float(mark), float(index)

    def told_bars(
        self, which: str, length: int, first: int, until: int, most: int, *, newest: bool, now: int
    ) -> list[Bar]:
        """Give bars of the mark price, the index price or the premium: `mark`, `index`, `premium`; as `bars`."""
        begins = self._opens(length, first, min(until, now), most, newest)
        ends = self._prices[:, 0]
        values = {"mark": self._prices[:, 1] / self.tick, "index": self._prices[:, 2] / self.tick}
        values["premium"] = values["mark"] / values["index"] - 1.0
        told = values[which]
        out = []
        for begin in begins:
            end = next_open(begin, length)
            lo, hi = np.searchsorted(ends, (begin, min(end, now)), side="right")
            inside: Array = told[max(lo - 1, 0) : hi]
            if hi > lo or (len(inside) and begin <= now < end):  # of the one that forms the last price is known
                out.append(
                    Bar(begin, end - 1, float(inside[0]), float(inside.max()), float(inside.min()), float(inside[-1]))
                )
        return out

    def settlements(self, first: int, until: int) -> Array:
        """Give settled funding in [first, until]: time (ms), rate, mark price (ticks)."""
        lo, hi = np.searchsorted(self._funding[:, 0], (first, until + 1))
        rows: Array = self._funding[lo:hi]
        return rows

    def funding(self, now: int) -> tuple[float, int]:
        """Give the last settled rate, 0.0001 before the first, and when the next one is settled (ms)."""
        n = int(np.searchsorted(self._funding[:, 0], now, side="right"))
        return (float(self._funding[n - 1, 1]) if n else 0.0001), (now // FUNDING_MS + 1) * FUNDING_MS

    def metrics_in(self, first: int, until: int, step: int) -> Array:
        """Give open interest and ratios at multiples of `step` in [first, until]: end (ms), then METRICS."""
        lo, hi = np.searchsorted(self._metrics[:, 0], (first, until + 1))
        rows: Array = self._metrics[lo:hi]
        on_grid: Array = rows[rows[:, 0].astype(np.int64) % step == 0]
        return on_grid

    def open_interest(self, now: int) -> tuple[float, int] | None:
        """Give the last open interest that was told, in the base currency, and when; None before the first."""
        n = int(np.searchsorted(self._metrics[:, 0], now, side="right"))
        return (float(self._metrics[n - 1, 1] / self.lot), int(self._metrics[n - 1, 0])) if n else None

    def takers(self, first: int, until: int) -> tuple[float, float]:
        """Sum what takers bought and sold in the minutes that opened in [first, until), base currency."""
        lo, hi = np.searchsorted(self._minutes, (first, until))
        bought = float(self._bars["taker_buy_volume"][lo:hi].sum())
        return bought, float(self._bars["volume"][lo:hi].sum()) - bought


def _joined(first: Bar, last: Bar) -> Bar:
    """Make one bar of two that follow each other."""
    return Bar(
        first.open_time, last.close_time, first.open, max(first.high, last.high), min(first.low, last.low), last.close,
        first.volume + last.volume, first.quote_volume + last.quote_volume, first.trades + last.trades,
        first.taker_buy_volume + last.taker_buy_volume, first.taker_buy_quote_volume + last.taker_buy_quote_volume,
    )  # fmt: skip
