"""Events of one kind and instrument in memory: arrays, in order of arrival.

Rows of bars are `Rows` (rows.py); everything that is not a bar is `Events`. Feature builders (features/) turn them into
columns of bars: one object reads a whole history or a bar at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.schema.kinds import Kind
from virtuoso.types import Array, Times


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one kind and instrument.

    Attributes
    ----------
    kind : Kind
    event_time : array of int64, ms, shape (n_events,)
        What each describes.
    available_at : array of int64, ms, shape (n_events,)
        When each could be known; the rows are in this order, and in the order of the source within a millisecond.
    columns : mapping of str to array, shape (n_events,)
        Those of the kind, in its types.
    """

    kind: Kind
    event_time: Times
    available_at: Times
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.event_time)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def take(self, index: NDArray[Any] | slice) -> Events:
        """Return some of the events, by position, mask or slice."""
        columns = {name: values[index] for name, values in self.columns.items()}
        return Events(self.kind, self.event_time[index], self.available_at[index], columns)

    def sorted(self) -> Events:
        """Return the events in order of arrival; those of one moment keep their order."""
        if len(self) == 0 or (np.diff(self.available_at) >= 0).all():
            return self
        return self.take(np.argsort(self.available_at, kind="stable"))

    def between(self, after: int, until: int) -> Events:
        """Return the events that arrived after a moment, up to and at another (ms); they must be in order."""
        a, b = np.searchsorted(self.available_at, [after, until], side="right")
        return self.take(slice(int(a), int(b)))

    def digest(self) -> str:
        """Return the digest of the logical values: the same wherever and however they are stored."""
        digest = hashlib.sha256(self.kind.name.encode())
        for values in (self.event_time, self.available_at, *(self.columns[name] for name in self.kind.columns)):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def events_of(kind: Kind, event_time: Times, columns: Mapping[str, Any], available_at: Times | None = None) -> Events:
    """Make events, sorted by arrival, in the kind's types.

    Parameters
    ----------
    kind : Kind
    event_time : array of int64, ms, shape (n_events,)
    columns : mapping of str to array, shape (n_events,)
        Each column of the kind; optional ones are NaN if absent.
    available_at : array of int64, ms, optional
        When each was received; the event's time and the kind's lag if absent.

    Raises
    ------
    DataError
        A column is absent, or one is of another kind.
    """
    when = np.asarray(event_time, dtype=np.int64)
    unsaid = {name: np.full(len(when), np.nan) for name in kind.optional if name not in columns}
    given = {**columns, **unsaid}
    if set(given) != set(kind.columns):
        wrong = sorted(set(given) ^ set(kind.columns))
        raise DataError(f"Events of kind {kind.name!r} carry {', '.join(kind.columns)}; wrong or absent: {wrong}.")
    typed: dict[str, NDArray[Any]] = {
        name: np.asarray(given[name], dtype=dtype) for name, dtype in kind.columns.items()
    }
    known = when + kind.lag_ms if available_at is None else np.asarray(available_at, dtype=np.int64)
    return Events(kind, when, known, typed).sorted()


def no_events(kind: Kind) -> Events:
    """Return no events."""
    nothing = np.empty(0, dtype=np.int64)
    return Events(kind, nothing, nothing, {name: np.empty(0, dtype) for name, dtype in kind.columns.items()})


def concat_events(parts: Sequence[Events], kind: Kind) -> Events:
    """Return events one after the other, in order of arrival."""
    if not parts:
        return no_events(kind)
    if len(parts) == 1:
        return parts[0].sorted()
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in kind.columns}
    times = np.concatenate([part.event_time for part in parts])
    return Events(kind, times, np.concatenate([part.available_at for part in parts]), columns).sorted()


class FeatureBuilder(Protocol):
    """Turns events into columns of bars; keeps its state, so that a history may come in pieces of any size."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of events it is fed."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it gives, of the data dictionary."""
        ...

    def __init__(self, timeframe: Timeframe) -> None: ...

    def bars(self, events: Mapping[str, Events], first: int, end: int) -> dict[str, Array]:
        """Return the columns of the bars [first, end), which follow those of the call before.

        Parameters
        ----------
        events : mapping of kind to Events
            Those that became available after the last bar folded so far (all older ones in the first call), in order
            of arrival. Later ones than the close of bar `end - 1` must not be there; kinds without events may be
            absent.
        first, end : int
            Numbers of bars. An event counts in the bar in whose (open, close] it became available.

        Returns
        -------
        dict of str to Array, shape (end - first,)
            NaN where not known: a source that was not recording says nothing, which is not zero.
        """
        ...
