"""Reading events of the lake: those that arrived in a stretch of time, as known at a moment, in pieces if need be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.lake.event_rows import EventRows, joined_rows
from virtuoso.lake.manifest import FileEntry, Series
from virtuoso.market.events import Events
from virtuoso.market.schema.kinds import kind_of

if TYPE_CHECKING:
    from virtuoso.lake.lake import Lake

_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def read_events(lake: Lake, series: Series, after: int | None, until: int | None, as_of: int | None) -> EventRows:
    """Read the events that arrived after a moment, up to and at another (ms), as known at `as_of`.

    Returns
    -------
    EventRows
        In order of arrival.
    """
    kind = kind_of(series.kind)
    low, high = _FIRST if after is None else after, _LAST if until is None else until
    parts = [_within(lake.event_rows_of(file, kind), low, high) for file in files_within(series, low, high)]
    if as_of is not None:
        parts = [part.take((part.available_at <= as_of) & (part.stored_at <= as_of)) for part in parts]
        for versions, superseded_at in lake.event_revisions(series):
            then = (versions.available_at <= as_of) & (versions.stored_at <= as_of) & (superseded_at > as_of)
            parts.append(_within(versions.take(then), low, high))
    return joined_rows(parts, kind).sorted()


def files_within(series: Series, after: int, until: int) -> list[FileEntry]:
    """Files that hold events which arrived after a moment, up to and at another (ms)."""
    return [file for file in series.files if file.max_available_at > after and file.min_available_at <= until]


def _within(rows: EventRows, after: int, until: int) -> EventRows:
    inside = (rows.available_at > after) & (rows.available_at <= until)
    return rows if inside.all() else rows.take(inside)


class EventReader:
    """Reads events of an instrument stretch by stretch; files that two stretches share are decoded once.

    Parameters
    ----------
    lake : Lake
    instrument : Instrument
    kinds : sequence of str
        Those to read.
    as_of : int, ms, optional
        What was known then.
    """

    def __init__(self, lake: Lake, instrument: Instrument, kinds: Sequence[str], as_of: int | None = None) -> None:
        self.lake = lake
        self.instrument = instrument
        self.as_of = as_of
        found = {kind: lake.event_series(kind, instrument) for kind in kinds}
        self.series = {kind: series for kind, series in found.items() if series is not None}
        self._decoded: dict[str, dict[str, EventRows]] = {kind: {} for kind in self.series}

    def files(self, kinds: Sequence[str], after: int, until: int) -> list[str]:
        """Checksums of the files of some kinds that hold what arrived after a moment, up to and at another (ms)."""
        series = [self.series[kind] for kind in kinds if kind in self.series]
        return [file.sha256 for one in series for file in files_within(one, after, until)]

    def between(self, after: int | None, until: int) -> dict[str, Events]:
        """Events of each kind that arrived after a moment, up to and at another (ms), in order of arrival."""
        return {kind: self._between(series, after, until) for kind, series in self.series.items()}

    def _between(self, series: Series, after: int | None, until: int) -> Events:
        if self.as_of is not None:
            return read_events(self.lake, series, after, until, self.as_of).events()
        kind, low = kind_of(series.kind), _FIRST if after is None else after
        before, now = self._decoded[series.kind], {}
        for file in files_within(series, low, until):
            now[file.path] = before[file.path] if file.path in before else self.lake.event_rows_of(file, kind)
        self._decoded[series.kind] = dict(list(now.items())[-2:])
        return joined_rows([_within(rows, low, until) for rows in now.values()], kind).sorted().events()
