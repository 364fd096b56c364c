"""Validation of events: every event is checked before anything is stored.

1. An event that breaks a rule is rejected, with the first rule it breaks as the reason; it goes to quarantine as it
   came. Open interest of zero is an outage of the venue: rejected as well, but it does not speak against the file.
2. A ratio of zero or a NULL says nothing and is NaN. An event in which nothing is known is left out: nobody's fault.
3. Settlements of funding are stamped some milliseconds after their minute, differently at every source; they are put
   on it, so that two sources of one settlement hold one event.
4. The same event twice is stored once. Whatever a further row tells besides goes to the lake as another version of
   the event, where what only one of them knows is joined, and one of those that contradict each other holds.
5. If too many events are rejected, the file is not what it claims to be, and nothing of it is stored (validated.py).

Rules read one event at a time, and an event breaks one only if it is impossible by itself. A price or an open interest
far off the events around it is stored as published; the columns of bars do not believe it until it stays
(market/features/belief.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.ingest.event_rules import CLEANED, RULES, broken_rules
from virtuoso.ingest.validated import EARLIEST_MS, RejectedRow, Validated
from virtuoso.lake.event_rows import known
from virtuoso.market.events import Events, events_of
from virtuoso.market.schema.kinds import Kind, kind_of
from virtuoso.types import Mask, Times
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.raw_events import RawEvents

Codes = NDArray[np.int8]

FUTURE_MS = UNIT_MS["m"]  # clocks of venues run ahead of ours by less
SKEW_MS = 1_000  # an event that was received so long before it happened shows that a clock is off
JITTER_MS = 2_000  # settlements are stamped up to 31 ms late in recordings of four years
_NAMES = tuple(RULES)
_CODES = {rule: code for code, rule in enumerate(_NAMES, start=1)}


def validate_events(raw: RawEvents, now_ms: int) -> Validated[Events]:
    """Validate the events of a source.

    Parameters
    ----------
    raw : RawEvents
        In any order.
    now_ms : int, ms
        The present; later events are rejected.
    """
    kind = kind_of(raw.kind)
    columns = {name: CLEANED.get(raw.kind, {}).get(name, _as_it_is)(values) for name, values in raw.columns.items()}
    times, moved = _settled_times(raw)
    code = _first_broken(raw, columns, now_ms)
    empty = (code == 0) & _knows_nothing(kind, columns)
    good = np.flatnonzero((code == 0) & ~empty)
    received = None if raw.received_at is None else raw.received_at[good]
    taken = {name: values[good] for name, values in columns.items()}
    arrived = received if received is not None else times[good]
    kept, superseded, duplicates = _once(events_of(kind, times[good], taken, received))
    return Validated(
        accepted=kept,
        superseded=superseded,
        duplicates=duplicates,
        left_out=int(empty.sum()),
        rejected=_rejected(raw, code),
        disordered=bool((np.diff(arrived) < 0).any()),
        notes=(*raw.notes, *_notes(raw, code, int(empty.sum()), moved)),
    )


def _as_it_is(values: NDArray[Any]) -> NDArray[Any]:
    return values


def _settled_times(raw: RawEvents) -> tuple[Times, int]:
    """Event times, of funding on their minute; and how many were moved."""
    if raw.kind != "funding":
        return raw.event_time, 0
    minute = UNIT_MS["m"]
    nearest = (raw.event_time + minute // 2) // minute * minute
    off = np.where(raw.event_time == NO_TIME, 0, raw.event_time - nearest)
    near = (off != 0) & (np.abs(off) <= JITTER_MS)
    return np.where(near, nearest, raw.event_time), int(near.sum())


def _first_broken(raw: RawEvents, columns: Mapping[str, NDArray[Any]], now_ms: int) -> Codes:
    """First rule that each event breaks; 0 for none."""
    latest = now_ms + FUTURE_MS
    unread = raw.event_time == NO_TIME
    out = ~unread & ((raw.event_time < EARLIEST_MS) | (raw.event_time > latest))
    if raw.received_at is not None:
        out |= (raw.received_at < EARLIEST_MS) | (raw.received_at > latest)
    broken = {"time_unreadable": unread, "time_out_of_range": out, **broken_rules(raw.kind, columns)}
    code = np.zeros(len(raw), dtype=np.int8)
    for rule in reversed(broken):
        code[broken[rule]] = _CODES[rule]
    return code


def _knows_nothing(kind: Kind, columns: Mapping[str, NDArray[Any]]) -> Mask:
    """Which events say nothing at all; only kinds of nothing but values that may be unknown can."""
    if kind.key or any(kind.columns[name] is not np.float64 for name in kind.columns):
        return np.zeros(len(next(iter(columns.values()))), dtype=bool)
    answer: Mask = np.isnan(np.vstack([columns[name] for name in columns])).all(axis=0)
    return answer


def _once(events: Events) -> tuple[Events, Events, int]:
    """Each event once; further rows that tell something else of one; the number of repetitions."""
    keys = [events.event_time, *(events.columns[name] for name in events.kind.key)]
    order = np.lexsort(keys[::-1])  # stable: the same event in order of arrival
    again = np.ones(max(len(order) - 1, 0), dtype=bool)
    for values in keys:
        again &= _same(values[order[1:]], values[order[:-1]])
    if not again.any():
        return events, events.take(slice(0)), 0
    group = np.cumsum(np.append(True, ~again))
    repeats = np.zeros(len(order), dtype=bool)
    for lag in range(1, int(np.bincount(group).max())):
        earlier, later = order[:-lag], order[lag:]
        tells = np.zeros(len(later), dtype=bool)
        for name in events.kind.columns:
            values = events.columns[name]
            tells |= known(values[later]) & (values[later] != values[earlier])
        repeats[lag:] |= (group[lag:] == group[:-lag]) & ~tells
    first = np.append(True, ~again)
    further = np.sort(order[~first & ~repeats])
    return events.take(np.sort(order[first])), events.take(further), int(repeats.sum())


def _same(a: NDArray[Any], b: NDArray[Any]) -> Mask:
    """Equality in which NaN equals NaN."""
    answer: Mask = (a == b) | ((a != a) & (b != b))
    return answer


def _rejected(raw: RawEvents, code: Codes) -> tuple[RejectedRow, ...]:
    """Everything that goes to quarantine, in the order of the source."""
    found = [RejectedRow(number, reason, text, None) for number, reason, text in raw.rejected]
    for i in np.flatnonzero(code):
        moment = None if raw.event_time[i] == NO_TIME else int(raw.event_time[i])
        values = {name: column[i].item() for name, column in raw.columns.items()}
        said = {name: value if value == value else None for name, value in values.items()}
        text = json.dumps({"event_time": moment, **said})
        found.append(RejectedRow(int(raw.rows[i]), _NAMES[code[i] - 1], text, moment))
    return tuple(sorted(found, key=lambda event: event.number))


def _notes(raw: RawEvents, code: Codes, empty: int, moved: int) -> list[str]:
    silent = int((code == _CODES["outage"]).sum())
    notes = []
    if moved:
        notes.append(f"{_count(moved, 'settlement')} stamped milliseconds off the minute, put on it")
    if silent:
        notes.append(f"{_count(silent, 'row')} of an outage: open interest zero or missing")
    if empty:
        notes.append(f"{_count(empty, 'row')} in which nothing is known, left out")
    if raw.received_at is not None and len(raw):
        early = np.where(raw.event_time == NO_TIME, 0, raw.event_time - raw.received_at)
        if early.max() > SKEW_MS:
            many = _count(int((early > SKEW_MS).sum()), "event")
            notes.append(f"{many} received before happening, by up to {int(early.max()):,} ms: a clock was off")
    return notes


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
