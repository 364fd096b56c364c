"""What is usual at this hour of the week: markets sleep and wake with the people who trade them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.compiled import kernel
from virtuoso.market.columns import Array
from virtuoso.prism.component import Feature, Int
from virtuoso.prism.features.windows import unknown

HOUR = Timeframe("1h")
WEEK_MS = 7 * UNIT_MS["d"]
LEAST_SHARE = 0.5
"""Share of the past bars that must be known for their median to be called usual."""


class Usual(NamedTuple):
    """Usual volume of a bar and of the one that follows it.

    Attributes
    ----------
    this, following : Array, base units, shape (n_bars,)
        Inside an hour the last closed bar is that of the hour before: it tells what is usual in the hour that runs.
    """

    this: Array
    following: Array


class UsualVolume(Feature):
    """Median volume of the bars at the same time of the week, in the last weeks.

    Computed on hours (on the asker's clock where it is slower), with the hour before and after: four weeks of one
    hour are too few to be calm. A hole in the past leaves that bar out instead of silencing four weeks.

    Source: Admati and Pfleiderer (1988), Review of Financial Studies 1(1), for the pattern; the median is ours.
    """

    outputs = Usual
    windowed = True
    holes = True

    weeks: int = Int(4, low=2, high=12, unit="weeks")

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Hours, or the asker's own bars where they are longer or do not fill an hour."""
        return HOUR if HOUR.ms % timeframe.ms == 0 else timeframe

    def memory(self, timeframe: Timeframe) -> int:
        """The weeks, the neighbour before, and a first bar that may have begun before the history."""
        return self.weeks * (WEEK_MS // timeframe.ms) + 2

    def value(self, volume: Array, timeframe: Timeframe, wanted: int = 0) -> Usual:
        """Usual volume of each bar and the one after it. Uses `x[: t + 1]` only."""
        usual = unknown(len(volume) + 1)
        _usual(volume, WEEK_MS // timeframe.ms, self.weeks, int(timeframe == HOUR), wanted, usual)
        return Usual(usual[:-1], usual[1:])


@kernel
def _usual(volume: Array, week: int, weeks: int, reach: int, wanted: int, out: Array) -> None:
    """Write the median of the same bars of past weeks and their neighbours; bar t uses `volume[: t]` only."""
    past = np.empty(weeks * (2 * reach + 1))
    for t in range(wanted, len(out)):
        known = 0
        for k in range(1, weeks + 1):
            for i in range(t - k * week - reach, t - k * week + reach + 1):
                if i >= 0 and not np.isnan(volume[i]):
                    j = known
                    while j > 0 and past[j - 1] > volume[i]:
                        past[j] = past[j - 1]
                        j -= 1
                    past[j] = volume[i]
                    known += 1
        if known > 0 and known >= LEAST_SHARE * len(past):
            out[t] = (past[(known - 1) // 2] + past[known // 2]) / 2.0
