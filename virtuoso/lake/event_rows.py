"""Events as they are stored: what happened, when it could be known, since when it is stored, and all that as Parquet.

A row is one event of a kind (market/schema/kinds.py). Beside the event it carries

- `rank`       its place among the events of its source that arrived in the same millisecond, so that their order is
               kept however they are spread over files;
- `stored_at`  when it came into the lake, where it came into history that was stored already, else 0. It tells what
               could be read at a moment (`as_of`), and decides nothing else.

Rows are kept in the order of arrival: when they could be known, then the sequence number that the venue gave, then
the rank. That order is the same in whatever order files were imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.market.events import Events
from virtuoso.market.schema.kinds import NO_ID, Kind
from virtuoso.types import Mask, Times

SEQUENCE = {"trades": "id", "ticker": "id", "depth": "last_id"}
"""Column by which a venue numbers the events of a kind."""


@dataclass(frozen=True, slots=True)
class EventRows:
    """Events of one kind and instrument, as stored.

    Attributes
    ----------
    kind : Kind
    event_time, available_at : array of int64, ms, shape (n_events,)
    columns : mapping of str to array, shape (n_events,)
        Those of the kind, in its types.
    rank : array of int64, shape (n_events,)
        Place among the events of the same source and millisecond of arrival.
    stored_at : array of int64, ms, shape (n_events,)
        When a row came into stored history; 0 where it was the first to tell of its time.
    source_rank : array of int16, shape (n_events,)
        How far their source is believed where sources disagree.
    """

    kind: Kind
    event_time: Times
    available_at: Times
    columns: Mapping[str, NDArray[Any]]
    rank: Times
    stored_at: Times
    source_rank: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.event_time)

    def take(self, index: NDArray[Any] | slice) -> EventRows:
        """Return some of the rows, by position, mask or slice."""
        columns = {name: values[index] for name, values in self.columns.items()}
        times = self.event_time[index], self.available_at[index]
        stored = self.rank[index], self.stored_at[index]
        return EventRows(self.kind, *times, columns, *stored, self.source_rank[index])

    def sorted(self) -> EventRows:
        """The rows in order of arrival; equal ones in the order of their columns, so that there is one order only."""
        sequence = self.columns[SEQUENCE[self.kind.name]] if self.kind.name in SEQUENCE else self.event_time
        keys = (self.rank, sequence, self.available_at)
        if _ascending(keys):
            return self
        further = [self.columns[name] for name in reversed(self.kind.key)]
        return self.take(np.lexsort((*further, self.event_time, *keys)))

    def numbers(self) -> NDArray[np.intp]:
        """Return a number for each row, the same for versions of the same event."""
        order, same = same_event(self)
        numbers = np.zeros(len(self), dtype=np.intp)
        numbers[order[1:]] = np.cumsum(~same)
        return numbers

    @property
    def read_from(self) -> Times:
        """Return since when a reader could see each row, ms: it had arrived and was stored."""
        return np.maximum(self.available_at, self.stored_at)

    def known_by(self, moment: int) -> Mask:
        """Return which rows a reader could have seen at a moment, ms."""
        return self.read_from <= moment

    def events(self) -> Events:
        """Return the events without rank and moment of storage; the rows must be in order."""
        return Events(self.kind, self.event_time, self.available_at, self.columns)


def _ascending(keys: Sequence[NDArray[Any]]) -> bool:
    """Whether rows ascend strictly by several keys, the last one first."""
    ascends = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        step = np.diff(key)
        ascends = (step > 0) | ((step == 0) & ascends)
    return bool(ascends.all())


def rows_of_events(events: Events) -> EventRows:
    """Return the rows of events that come new from one source, in order of arrival."""
    starts = np.diff(events.available_at, prepend=np.iinfo(np.int64).min) != 0
    position = np.arange(len(events), dtype=np.int64)
    rank = position - np.maximum.accumulate(np.where(starts, position, 0))
    nothing = np.zeros(len(events), dtype=np.int64)
    unranked = np.zeros(len(events), dtype=np.int16)
    return EventRows(events.kind, events.event_time, events.available_at, events.columns, rank, nothing, unranked)


def no_rows(kind: Kind) -> EventRows:
    """Return no rows."""
    nothing = np.empty(0, dtype=np.int64)
    columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in kind.columns.items()}
    return EventRows(kind, nothing, nothing, columns, nothing, nothing, np.empty(0, dtype=np.int16))


def concat_event_rows(parts: Sequence[EventRows], kind: Kind) -> EventRows:
    """Return the rows one after the other."""
    parts = [part for part in parts if len(part)]
    if len(parts) <= 1:
        return parts[0] if parts else no_rows(kind)

    def whole(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in kind.columns}
    told = whole("rank"), whole("stored_at"), whole("source_rank")
    return EventRows(kind, whole("event_time"), whole("available_at"), columns, *told)


def same_event(rows: EventRows) -> tuple[Times, Mask]:
    """Put rows that are the same event beside each other.

    Returns
    -------
    tuple of array of int, shape (n_rows,), and array of bool, shape (n_rows - 1,)
        An order in which equal ones stand together in the order in which they came, and whether each is the same
        event as the one that follows.
    """
    keys = [rows.event_time, *(rows.columns[name] for name in rows.kind.key)]
    if _ascending(keys[::-1]):  # so are the chunks of an archive, and sorting them costs more than all else
        return np.arange(len(rows)), np.zeros(max(len(rows) - 1, 0), dtype=bool)
    order = np.lexsort(keys[::-1])
    same = np.ones(max(len(rows) - 1, 0), dtype=bool)
    for key in keys:
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    return order, same


def known(values: NDArray[Any]) -> Mask:
    """Return where a column says something."""
    answer: Mask = np.ones(len(values), dtype=bool)
    if values.dtype == np.float64:
        answer = ~np.isnan(values)
    elif values.dtype == np.int64:
        answer = values != NO_ID
    return answer


def partition_of(kind: Kind, times: Times) -> NDArray[np.str_]:
    """Name the partition of each moment, UTC: `2024-08-08` of a kind of days, else `2024-08`."""
    unit, digits = ("M8[D]", "U10") if kind.partition == "day" else ("M8[M]", "U7")
    return times.astype("M8[ms]").astype(unit).astype(digits)


def by_partition(rows: EventRows) -> Iterator[tuple[str, EventRows]]:
    """Split rows by the partition of their event's time; each keeps the order of arrival."""
    unit = "M8[D]" if rows.kind.partition == "day" else "M8[M]"
    numbers = rows.event_time.astype("M8[ms]").astype(unit).astype(np.int64)
    for number in np.unique(numbers):
        part = rows if (inside := numbers == number).all() else rows.take(inside)
        yield str(partition_of(rows.kind, part.event_time[:1])[0]), part
