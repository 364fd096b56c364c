"""The growing end of a history: one closed bar and the events that arrived in it, the same frame as from the whole.

Columns of events are made by the same builders as in batch (features/builders.py), what is missing is classified and
filled by the same rule (gaps.py, `Column.in_gap`), and slow bars are folded when they close, from their own base bars
only: not one bit differs. Arrays grow by half, so a bar costs the same on the first day and on the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import state_of
from virtuoso.market.events import Events
from virtuoso.market.features.builders import Columns, builders_of, carried, first_known
from virtuoso.market.features.daily_reset import DAY_MS
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, NEVER, NO_TRADE, UNKNOWN, GapPolicy, has_traded, state_in_gap
from virtuoso.market.resample import fold_bars
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.types import Array


class LiveFrame:
    """A market frame that grows by one closed base bar at a time.

    Parameters
    ----------
    frame : MarketFrame
        History so far.
    timeframes : sequence of Timeframe
        Slower clocks to keep folded.
    policy : GapPolicy
        What a missing bar means at this source.
    kinds : sequence of str
        Kinds of events that are recorded. Their columns that history lacks are not known in it.
    breaks : sequence of int, ms
        Moments from which on, as the user says, the name means another instrument; those in history are marked there.

    Examples
    --------
    >>> live = LiveFrame(frame, [Timeframe("1h")], policy, ["trades", "depth"])     # doctest: +SKIP
    >>> live.remember(stored_events)                                               # doctest: +SKIP
    >>> frame = live.close(number, bar, arrived_events)                            # doctest: +SKIP
    """

    def __init__(
        self, frame: MarketFrame, timeframes: Sequence[Timeframe], policy: GapPolicy, kinds: Sequence[str] = (),
        breaks: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.instrument = frame.instrument
        self.policy = policy
        self._kinds = tuple(kinds)
        self._builders = builders_of(kinds, frame.timeframe)
        built = carried(first_known([dict.fromkeys(b.columns, np.empty(0)) for b in self._builders]), kinds)
        base = frame.base
        unknown = {name: np.full(len(base), np.nan) for name in built if name not in base.columns}
        if unknown:
            base = replace(base, columns={**base.columns, **unknown})
            frame = MarketFrame(frame.instrument, base)
        self._base = _Growing(base)
        self._slow = [_Growing(frame.bars(tf)) for tf in timeframes if tf != frame.timeframe]
        traded = np.flatnonzero(has_traded(base.state[::-1]))
        self._gap = int(traded[0]) if len(traded) else None
        last = base.end - 1 - self._gap if self._gap is not None else base.first - 1
        self._breaks = sorted(moment for moment in breaks if moment > last * base.timeframe.ms)

    @property
    def frame(self) -> MarketFrame:
        """The history up to the last bar that was handed in; views, not copies."""
        folded = {growing.bars.timeframe.name: growing.bars for growing in self._slow}
        return MarketFrame(self.instrument, self._base.bars, None, folded)

    def remember(self, events: Mapping[str, Events]) -> None:
        """Take events in that arrived by the last close of history.

        Parameters
        ----------
        events : mapping of kind to Events
            In order of arrival. The builders that begin anew every day need those since the midnight before the day of
            the next bar.
        """
        base, day = self._base.bars, DAY_MS // self._base.bars.timeframe.ms
        first = (base.end // day - 1) * day
        broken = np.flatnonzero(base.state == BREAK)
        if len(broken):  # what came before another instrument began is not of it
            begun = base.first + int(broken[-1])
            first = max(first, begun)
            opened, closed = begun * base.timeframe.ms, base.end * base.timeframe.ms
            events = {kind: some.between(opened, closed) for kind, some in events.items()}
        self._built(events, first, base.end)

    def close(
        self,
        number: int,
        bar: Mapping[str, float] | None,
        events: Mapping[str, Events] | None = None,
        *,
        event_columns: Mapping[str, float] | None = None,
        no_trade: bool = False,
    ) -> MarketFrame:
        """Take the bar that has just closed.

        Parameters
        ----------
        number : int
            Absolute number of the bar: the one after the last.
        bar : mapping of str to float, or None
            Its columns; None where none was published for it.
        events : mapping of kind to Events, optional
            Those that became available in it.
        event_columns : mapping of str to float, optional
            Columns of events that were built elsewhere. Like those built here they are known whether or not a bar was
            published.
        no_trade : bool
            Whether nothing traded in the bar, as a source says that was recording: flat, and a fact.

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
        state = self._state(base, bar, no_trade)
        if state == BREAK:
            self._builders = builders_of(self._kinds, base.timeframe)
        built = {name: float(values[0]) for name, values in self._built(events or {}, number, number + 1).items()}
        self._base.append(*self._completed(base, bar, {**built, **(event_columns or {})}, state))
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

    def _built(self, events: Mapping[str, Events], first: int, end: int) -> Columns:
        """Columns that the builders make of events."""
        built = [
            builder.bars({kind: some for kind, some in events.items() if kind in builder.kinds}, first, end)
            for builder in self._builders
        ]
        return carried(first_known(built), self._kinds)

    def _state(self, base: Bars, bar: Mapping[str, float] | None, no_trade: bool) -> int:
        """State of the next bar; of a missing one as `Bars.from_rows` has it, of a published one as `marked` has."""
        traded = bar is not None and not no_trade
        if traded:
            self._gap = 0
        elif self._gap is not None:
            self._gap += 1
        opened, closed = base.end * base.timeframe.ms, (base.end + 1) * base.timeframe.ms
        said = [moment for moment in self._breaks if moment < closed]
        if said and not (traded and said[-1] <= opened):
            return UNKNOWN  # it is neither of the one instrument nor of the other
        self._breaks = self._breaks[len(said) :]
        if bar is None:
            length = np.array(NEVER if self._gap is None else self._gap)
            return int(state_in_gap(length, self.policy).item())
        return state_of(base, base.end, bar, bool(said)) if traded else NO_TRADE

    def _completed(
        self, base: Bars, bar: Mapping[str, float] | None, beside: Mapping[str, float], state: int
    ) -> tuple[Array, int, float]:
        """Values, state and known share of a bar; a missing one is filled as `Bars.from_rows` has it."""
        if state == UNKNOWN:
            return np.full(len(base.columns), np.nan), state, 0.0
        if bar is not None:
            given = {**bar, **beside}
            return np.array([given.get(name, np.nan) for name in base.columns]), state, 1.0
        close = base.columns["close"][-1]
        filled = {name: COLUMNS[name].in_gap(values[-1], close) for name, values in base.columns.items()}
        filled |= {name: value for name, value in beside.items() if name in filled}
        return np.array(list(filled.values())), state, 1.0 if state == NO_TRADE else 0.0


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
