"""Which builders make columns of which events, and how the columns of several builders become one set.

1. A builder (`BUILDERS`) reads what arrived up to the close of the last bar, and nothing later. Cheap builders read all
   stored events: they need little history or their events are rare. The builders of trades and of the book read a day
   at a time and begin anew every day (daily_reset.py), so that neither where a frame starts nor where it is cut changes
   a bit.
2. A column that bars carry themselves stays theirs: volumes of two sources are never mixed, neither in a bar nor in a
   column. So trades give the columns of flow, and give volumes only where the bars were built from them.
3. Where two builders give the same column, the first in `BUILDERS` wins bar by bar: a recorded book over the best bid
   and ask alone, and over bands of depth.
4. An event column is known whether or not something traded in the bar; in bars that are unknown (gaps.py) nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.events import FeatureBuilder
from virtuoso.market.features.book.columns import BandsFeatures, BookFeatures, TickerFeatures
from virtuoso.market.features.daily_reset import DAY_MS, DailyReset
from virtuoso.market.features.derivatives import DerivativesFeatures
from virtuoso.market.features.trades import TradeFeatures
from virtuoso.market.schema.columns import BAR_COLUMNS, POSITIONING_COLUMNS
from virtuoso.types import Array

Columns = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder of columns, and what it reads.

    Attributes
    ----------
    name : str
    kinds : tuple of str
        Kinds of events it reads.
    needs : tuple of str
        Kinds without which it knows nothing.
    begin : callable
        Makes one that has seen nothing.
    daily : bool
        Whether it begins anew every day; its columns are cached then.
    reach_ms : int, ms, or None
        How far before a bar events matter to it; None if without end.
    """

    name: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]
    begin: Callable[[Timeframe], FeatureBuilder]
    daily: bool = False
    reach_ms: int | None = None


POSITIONING = ("open_interest", "ratios", "funding", "prices", "liquidations")
BUILDERS = (
    Builder("trades", ("trades",), ("trades",), TradeFeatures, daily=True),
    Builder("book", ("depth", "trades"), ("depth",), BookFeatures, daily=True),
    Builder("ticker", ("ticker",), ("ticker",), TickerFeatures, daily=True),
    Builder("bands", ("bands",), ("bands",), BandsFeatures, reach_ms=DAY_MS),
    Builder("positioning", POSITIONING, POSITIONING, DerivativesFeatures),
)
"""In order of precedence."""


def builders_of(kinds: Sequence[str], timeframe: Timeframe) -> list[FeatureBuilder]:
    """Return new builders of all columns that events of some kinds give, in order of precedence."""
    used = [builder for builder in BUILDERS if any(kind in kinds for kind in builder.needs)]
    return [DailyReset(builder.begin, timeframe) if builder.daily else builder.begin(timeframe) for builder in used]


def carried(columns: Columns, kinds: Sequence[str]) -> Columns:
    """Return the columns that events of some kinds give: not those of bars, nor those of absent kinds.

    A column that is carried and not known is a gap; one of which there is nothing at all is missing.
    """
    absent = {name for name, column in POSITIONING_COLUMNS.items() if column.kind not in kinds}
    return {name: values for name, values in columns.items() if name not in BAR_COLUMNS and name not in absent}


def first_known(found: Sequence[Mapping[str, Array]]) -> Columns:
    """Return the columns of several builders, the earlier ones over the later, bar by bar."""
    answer: Columns = {}
    for columns in found:
        for name, values in columns.items():
            answer[name] = np.where(np.isnan(answer[name]), values, answer[name]) if name in answer else values
    return answer
