"""The growing end of a history: one bar at a time, with the same fold and the same gaps as the whole.

Each base bar that closes is handed in, or None where nothing was published for it. Slow bars are folded when they
close, from their own base bars only. Arrays grow by half, so a bar costs the same on the first day and on the last.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN, GapPolicy
from virtuoso.market.resample import fold_bars
from virtuoso.market.schema.columns import COLUMNS, Array


class Feed:
    """A market frame that grows.

    Parameters
    ----------
    frame : MarketFrame
        History so far.
    timeframes : sequence of Timeframe
        Slower clocks to keep folded.
    policy : GapPolicy
        What a missing bar means at this source.
    """

    def __init__(self, frame: MarketFrame, timeframes: list[Timeframe], policy: GapPolicy) -> None:
        self.instrument = frame.instrument
        self.policy = policy
        self._base = _Growing(frame.base)
        self._slow = [_Growing(frame.bars(tf)) for tf in timeframes if tf != frame.timeframe]
        silent = np.flatnonzero(frame.base.state[::-1] == TRADED)
        self._silence = int(silent[0]) if len(silent) else len(frame.base)

    @property
    def frame(self) -> MarketFrame:
        """The history up to the last bar that was handed in; views, not copies."""
        folded = {growing.bars.timeframe.name: growing.bars for growing in self._slow}
        return MarketFrame(self.instrument, self._base.bars, None, folded)

    def close(
        self,
        number: int,
        values: Mapping[str, float] | None,
        beside: Mapping[str, float] | None = None,
        *,
        calm: bool = False,
    ) -> MarketFrame:
        """Take the bar that has just closed, or None where none was published for it.

        Parameters
        ----------
        number : int
            Absolute number of the bar: the one after the last.
        values : mapping of str to float, or None
        beside : mapping of str to float, optional
            Columns of events (market/features/enrich.py), which are known whether or not a bar was published.
        calm : bool
            Whether the values are those of a bar in which nothing traded, as a source says that was recording: flat,
            and a fact.

        Returns
        -------
        MarketFrame
            The history with it.
        """
        base = self._base.bars
        if number != base.end:
            raise DataError(
                f"The next {base.timeframe} bar of {self.instrument} is number {base.end}, was {number}. Hand in None "
                "for bars that were not published."
            )
        self._silence = 0 if values is not None and not calm else self._silence + 1
        self._base.append(*self._completed(base, values, beside or {}, calm))
        base = self._base.bars
        for slow in self._slow:
            timeframe = slow.bars.timeframe
            if base.end * base.timeframe.ms % timeframe.ms == 0:
                start = max(slow.bars.end * timeframe.ms // base.timeframe.ms, base.first)
                folded = fold_bars(_from(base, start), timeframe)
                for i in range(len(folded)):
                    row = np.array([column[i] for column in folded.columns.values()])
                    slow.append(row, folded.state.item(i), folded.share.item(i))
        return self.frame

    def _completed(
        self, base: Bars, values: Mapping[str, float] | None, beside: Mapping[str, float], calm: bool
    ) -> tuple[Array, int, float]:
        """Values, state and known share of a bar, flat where it is silent."""
        if values is not None:
            given = {**values, **beside}
            return np.array([given.get(name, np.nan) for name in base.columns]), NO_TRADE if calm else TRADED, 1.0
        short = NO_TRADE if self.policy.meaning == "no_trade" else BRIDGED
        state = short if self._silence <= self.policy.bars else UNKNOWN
        if state == UNKNOWN:
            return np.full(len(base.columns), np.nan), state, 0.0
        last = {"close": base.columns["close"][-1], "zero": 0.0}
        flat = {name: last.get(COLUMNS[name].silence, values[-1]) for name, values in base.columns.items()}
        flat |= {name: value for name, value in beside.items() if name in flat}
        return np.array(list(flat.values())), state, 1.0 if state == NO_TRADE else 0.0


def _from(base: Bars, start: int) -> Bars:
    part = base.since(start)
    return part if part.first > base.first else base


class _Growing:
    """Bars with room at the end.

    Attributes
    ----------
    bars : Bars
        All of them, as views of the room.
    """

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self._move()

    def _move(self) -> None:
        """Move the bars to where half as many again fit, a column a row."""
        n, names = len(self.bars), list(self.bars.columns)
        room = n + n // 2 + 64
        self._values = np.empty((len(names), room))
        self._columns = dict(zip(names, self._values, strict=True))
        for name, column in self._columns.items():
            column[:n] = self.bars.columns[name]
        self._state, self._share = np.empty(room, dtype=np.int8), np.empty(room)
        self._state[:n], self._share[:n] = self.bars.state, self.bars.share

    def append(self, values: Array, state: int, share: float) -> None:
        """Add a bar, its values in the order of the columns."""
        n, was = len(self.bars), self.bars
        if n == len(self._state):
            self._move()
        self._values[:, n], self._state[n], self._share[n] = values, state, share
        columns = {name: column[: n + 1] for name, column in self._columns.items()}
        self.bars = Bars(was.timeframe, was.first, columns, self._state[: n + 1], self._share[: n + 1], was.complete)
