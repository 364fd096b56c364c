"""The growing end of a history: one bar at a time, with the same fold and the same gaps as the whole.

Each base bar that closes is handed in, or None where nothing was published for it. Slow bars are folded when they
close, from their own base bars only. Arrays grow by half, so a bar costs the same on the first day and on the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.columns import COLUMNS
from virtuoso.market.fold import fold_bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN, GapPolicy


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
        self, number: int, values: Mapping[str, float] | None, beside: Mapping[str, float] | None = None
    ) -> MarketFrame:
        """Take the bar that has just closed, or None where none was published for it.

        Parameters
        ----------
        number : int
            Absolute number of the bar: the one after the last.
        values : mapping of str to float, or None
        beside : mapping of str to float, optional
            Columns of events (attach.py), which are known whether or not a bar was published.

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
        self._silence = 0 if values is not None else self._silence + 1
        self._base.append(*self._completed(base, values, beside or {}))
        base = self._base.bars
        for slow in self._slow:
            timeframe = slow.bars.timeframe
            if base.end * base.timeframe.ms % timeframe.ms == 0:
                start = max(slow.bars.end * timeframe.ms // base.timeframe.ms, base.first)
                for name, part in _single(fold_bars(_from(base, start), timeframe)):
                    slow.append(name, *part)
        return self.frame

    def _completed(
        self, base: Bars, values: Mapping[str, float] | None, beside: Mapping[str, float]
    ) -> tuple[dict[str, float], int, float]:
        """Values, state and known share of a bar, flat where it is silent."""
        if values is not None:
            given = {**values, **beside}
            return {name: float(given.get(name, np.nan)) for name in base.columns}, TRADED, 1.0
        short = NO_TRADE if self.policy.meaning == "no_trade" else BRIDGED
        state = short if self._silence <= self.policy.bars else UNKNOWN
        if state == UNKNOWN:
            return dict.fromkeys(base.columns, float("nan")), state, 0.0
        last = {"close": float(base.columns["close"][-1]), "zero": 0.0}
        flat = {name: last.get(COLUMNS[name].silence, float(values[-1])) for name, values in base.columns.items()}
        flat |= {name: float(value) for name, value in beside.items() if name in flat}
        return flat, state, 1.0 if state == NO_TRADE else 0.0


def _from(base: Bars, start: int) -> Bars:
    part = base.since(start)
    return part if part.first > base.first else base


def _single(bars: Bars) -> list[tuple[dict[str, float], tuple[int, float]]]:
    """The bars of a short stretch, one by one."""
    return [
        ({name: float(v[i]) for name, v in bars.columns.items()}, (int(bars.state[i]), float(bars.share[i])))
        for i in range(len(bars))
    ]


class _Growing:
    """Bars with room at the end."""

    def __init__(self, bars: Bars) -> None:
        self._timeframe, self._first, self._complete = bars.timeframe, bars.first, bars.complete
        self._n = len(bars)
        self._columns = {name: _roomy(values) for name, values in bars.columns.items()}
        self._state, self._share = _roomy(bars.state), _roomy(bars.share)

    @property
    def bars(self) -> Bars:
        n = self._n
        columns = {name: values[:n] for name, values in self._columns.items()}
        return Bars(self._timeframe, self._first, columns, self._state[:n], self._share[:n], self._complete)

    def append(self, values: Mapping[str, float], state: int, share: float) -> None:
        if self._n == len(self._state):
            self._columns = {name: _roomy(array) for name, array in self._columns.items()}
            self._state, self._share = _roomy(self._state), _roomy(self._share)
        for name, array in self._columns.items():
            array[self._n] = values[name]
        self._state[self._n], self._share[self._n] = state, share
        self._n += 1


def _roomy(values: NDArray[Any]) -> NDArray[Any]:
    """The values with half as much room again behind them."""
    out = np.empty(len(values) + len(values) // 2 + 64, dtype=values.dtype)
    out[: len(values)] = values
    return out
