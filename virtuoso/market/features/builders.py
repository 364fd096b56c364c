"""Which builders make columns of which events, and how the columns of several builders become one set.

1. Each builder (`FOLDS`) is fed what arrived up to the close of the last bar, and nothing later. A cheap one is fed all
   stored events: it needs little history or its events are rare. The builders of trades and of the book are fed by the
   day and begin anew every day (daily_reset.py), so that neither where a frame starts nor where it is cut changes a
   bit.
2. A column that bars carry themselves stays theirs: volumes of two sources are never mixed, neither in a bar nor in a
   column. So trades give the columns of flow, and give volumes only where the bars were built from them.
3. Where two builders give the same column, the first in `FOLDS` wins bar by bar: a recorded book over the best bid
   and ask alone, and over bands of depth.
4. An event column is known whether or not something traded in the bar; in bars that are unknown (gaps.py) nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.events import EventFold
from virtuoso.market.features.book.columns import BandsFold, BookFold, TickerFold
from virtuoso.market.features.daily_reset import DAY_MS, Anchored
from virtuoso.market.features.derivatives import PositioningFold
from virtuoso.market.features.trades import TradeFold
from virtuoso.market.schema.columns import BAR_COLUMNS, POSITIONING_COLUMNS, Array

Columns = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Source:
    """A fold, and how it is fed.

    Attributes
    ----------
    name : str
    kinds : tuple of str
        Kinds of events it is fed.
    needs : tuple of str
        Kinds without which it says nothing.
    begin : callable
        Makes a fold that has seen nothing.
    anchored : bool
        Whether it begins anew every day; its columns are kept then.
    reach_ms : int, ms, or None
        How far before a bar events matter to it; None if without end.
    """

    name: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]
    begin: Callable[[Timeframe], EventFold]
    anchored: bool = False
    reach_ms: int | None = None


POSITIONING = ("open_interest", "ratios", "funding", "prices", "liquidations")
FOLDS = (
    Source("trades", ("trades",), ("trades",), TradeFold, anchored=True),
    Source("book", ("depth", "trades"), ("depth",), BookFold, anchored=True),
    Source("ticker", ("ticker",), ("ticker",), TickerFold, anchored=True),
    Source("bands", ("bands",), ("bands",), BandsFold, reach_ms=DAY_MS),
    Source("positioning", POSITIONING, POSITIONING, PositioningFold),
)
"""In order of precedence."""


def builders_of(kinds: Sequence[str], timeframe: Timeframe) -> list[EventFold]:
    """Return new builders of all columns that events of some kinds give, in order of precedence."""
    used = [source for source in FOLDS if any(kind in kinds for kind in source.needs)]
    return [Anchored(source.begin, timeframe) if source.anchored else source.begin(timeframe) for source in used]


def carried(columns: Columns, kinds: Sequence[str]) -> Columns:
    """Columns that events of these kinds tell: not those of bars, nor what a fold could tell of a kind that is absent.

    A column that is carried and not known is a gap; one of which there is nothing at all is missing.
    """
    absent = {name for name, column in POSITIONING_COLUMNS.items() if column.kind not in kinds}
    return {name: values for name, values in columns.items() if name not in BAR_COLUMNS and name not in absent}


def first_known(found: Sequence[Mapping[str, Array]]) -> Columns:
    """Columns of several folds, the earlier ones over the later, bar by bar."""
    answer: Columns = {}
    for columns in found:
        for name, values in columns.items():
            answer[name] = np.where(np.isnan(answer[name]), values, answer[name]) if name in answer else values
    return answer
