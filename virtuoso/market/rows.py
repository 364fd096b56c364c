"""Rows of bars in memory: what was published of each bar, and when it could be known.

A row is (open_time, columns, state, available_at). Sources give rows and the lake stores them; `Bars` (bars.py) are
the dense grid that everything above computes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.market.gaps import NO_TRADE, TRADED, GapPolicy, State
from virtuoso.market.schema.columns import BAR_COLUMNS, REQUIRED
from virtuoso.types import Array, Mask, Times


@dataclass(frozen=True, slots=True)
class Rows:
    """Bars of one instrument and timeframe, as stored.

    Attributes
    ----------
    open_time : array of int64, ms, shape (n_rows,)
    columns : mapping of str to Array, shape (n_rows,)
        NaN where the source did not say.
    state : array of int8, shape (n_rows,)
        TRADED or NO_TRADE.
    available_at : array of int64, ms, shape (n_rows,)
        When the row could be known: the bar's close; of repairs, revisions and late bars the later moment at which they
        were stored.
    source_rank : array of int16, shape (n_rows,)
        How far their source is believed where sources disagree; 0 if absent.
    """

    open_time: Times
    columns: Mapping[str, Array]
    state: State
    available_at: Times
    source_rank: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, dtype=np.int16))

    def __post_init__(self) -> None:
        if len(self.source_rank) != len(self.open_time):
            object.__setattr__(self, "source_rank", np.zeros(len(self.open_time), dtype=np.int16))

    def __len__(self) -> int:
        return len(self.open_time)

    def take(self, index: NDArray[Any] | slice) -> Rows:
        """Return some of the rows, by position, mask or slice."""
        columns = {name: values[index] for name, values in self.columns.items()}
        return Rows(
            self.open_time[index], columns, self.state[index], self.available_at[index], self.source_rank[index]
        )

    def sorted(self) -> Rows:
        """Return the rows in order of time; rows of the same time keep their order."""
        step = np.diff(self.open_time)
        return self if (step >= 0).all() else self.take(np.argsort(self.open_time, kind="stable"))

    def numbers(self) -> NDArray[np.intp]:
        """Return a number for each row, the same for versions of the same bar."""
        return np.unique(self.open_time, return_inverse=True)[1]

    @property
    def read_from(self) -> Times:
        """Return since when a reader could see each row, ms."""
        return self.available_at

    def known_by(self, moment: int) -> Mask:
        """Return which rows a reader could have seen at a moment, ms."""
        return self.read_from <= moment

    def column(self, name: str) -> Array:
        """Return a column, NaN throughout where the source does not carry it."""
        return self.columns[name] if name in self.columns else np.full(len(self), np.nan)

    def differs(self, other: Rows) -> Mask:
        """Return, row by row, whether any column that both sides know differs from rows of the same times."""
        answer = np.zeros(len(self), dtype=bool)
        for name in self.columns.keys() & other.columns.keys():
            mine, theirs = self.columns[name], other.columns[name]
            answer |= (mine != theirs) & ~np.isnan(mine) & ~np.isnan(theirs)
        return answer

    def fills(self, other: Rows) -> Mask:
        """Return, row by row, whether a column is known here that rows of the same times do not know."""
        answer = np.zeros(len(self), dtype=bool)
        for name, mine in self.columns.items():
            answer |= ~np.isnan(mine) & np.isnan(other.column(name))
        return answer

    def digest(self) -> str:
        """Return the digest of the logical values: the same wherever and however they are stored."""
        digest = hashlib.sha256(self.open_time.tobytes() + np.ascontiguousarray(self.state).tobytes())
        for name in sorted(self.columns):
            if not np.isnan(self.columns[name]).all():
                digest.update(name.encode() + np.ascontiguousarray(self.columns[name]).tobytes())
        return digest.hexdigest()


def traded_rows(open_time: Times, columns: Mapping[str, Array], timeframe_ms: int) -> Rows:
    """Return the rows as an archive publishes them: all traded, all known at their close."""
    return Rows(open_time, columns, np.full(len(open_time), TRADED, dtype=np.int8), open_time + timeframe_ms)


def empty_rows() -> Rows:
    """Return no rows."""
    return traded_rows(np.empty(0, np.int64), {name: np.empty(0) for name in REQUIRED}, 0)


def concat_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows one after the other; a column that a part does not carry is NaN there."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty_rows()
    names = [name for name in BAR_COLUMNS if any(name in part.columns for part in parts)]
    return Rows(
        np.concatenate([part.open_time for part in parts]),
        {name: np.concatenate([part.column(name) for part in parts]) for name in names},
        np.concatenate([part.state for part in parts]),
        np.concatenate([part.available_at for part in parts]),
        np.concatenate([part.source_rank for part in parts]),
    )


def flat_rows(traded: Rows, policy: GapPolicy, timeframe_ms: int) -> Rows:
    """Return the rows for the bars in which nothing traded: flat at the last close, zero volume, marked NO_TRADE.

    Parameters
    ----------
    traded : Rows
        In order of time.
    policy : GapPolicy
        How many missing bars of a gap mean that nothing traded.
    timeframe_ms : int, ms

    Returns
    -------
    Rows
        For a gap that has ended only: at the end of history nobody knows yet whether it is one.
    """
    if policy.meaning != "no_trade" or len(traded) < 2:
        return empty_rows()
    missing = np.diff(traded.open_time) // timeframe_ms - 1
    fill = np.minimum(missing, policy.bars)
    before = np.repeat(np.arange(len(fill)), fill)
    step = np.arange(len(before)) - np.repeat(np.cumsum(fill) - fill, fill) + 1
    times = traded.open_time[before] + step * timeframe_ms
    close = traded.columns["close"][before]
    columns = {
        name: close if BAR_COLUMNS[name].in_gaps == "close" else np.where(np.isnan(values[before]), np.nan, 0.0)
        for name, values in traded.columns.items()
    }
    state = np.full(len(times), NO_TRADE, dtype=np.int8)
    return Rows(times, columns, state, times + timeframe_ms)
