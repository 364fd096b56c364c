"""Messages of a recording, gathered into columns: scalars as they come, levels of the book in large batches."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.raw_events import CHANGE, Counted
from virtuoso.venues.streams.recordings import Recording

DIGITS = re.compile(r"[0-9.eE+-]*")
_BATCH = 50_000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MOST = 2**63 - 1


class RefusedError(ValueError):
    """A message cannot be taken; the reason is the name of a rule."""


def number(value: Any) -> float:
    """Return a number as JSON or a string in it writes one; no truth value, no other digits, nothing without end."""
    if (type(value) is str and _NUMBER.fullmatch(value)) or type(value) in (int, float):
        found = float(value)
    else:
        raise RefusedError("not_a_number")
    if not math.isfinite(found):
        raise RefusedError("not_finite")
    return found


def whole(value: Any, reason: str) -> int:
    """Return a whole number from 0 to 2^63 - 1, as JSON or a string in it writes one."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if type(value) is int and 0 <= value <= _MOST:
        return value
    raise RefusedError(reason)


class Gathered(NamedTuple):
    """Rows of one kind and symbol: numbers, times sent, times received (NO_TIME where unknown), columns."""

    rows: NDArray[np.int64]
    event_time: NDArray[np.int64]
    received_at: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    def where(self, mask: NDArray[Any]) -> Gathered:
        """Some of the rows, by mask or position."""
        columns = {name: values[mask] for name, values in self.columns.items()}
        return Gathered(self.rows[mask], self.event_time[mask], self.received_at[mask], columns)


def in_order(parts: Sequence[Gathered]) -> Gathered:
    """Rows of several parts in the order of the file."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    rows, times, received = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Gathered(rows, times, received, columns).where(np.argsort(rows, kind="stable"))


def _times(values: list[int | None]) -> NDArray[np.int64]:
    return np.array([NO_TIME if value is None else value for value in values], dtype=np.int64)


class Scalars:
    """Messages that make one row each."""

    def __init__(self, dtypes: dict[str, type]) -> None:
        self.dtypes = dtypes
        self.rows: list[int] = []
        self.sent: list[int | None] = []
        self.received: list[int | None] = []
        self.values: list[tuple[float, ...]] = []

    def add(self, row: int, sent: int | None, received: int | None, values: tuple[float, ...]) -> None:
        """Take the row of a message."""
        self.rows.append(row)
        self.sent.append(sent if sent is not None else received)
        self.received.append(received)
        self.values.append(values)

    def gathered(self) -> Gathered:
        """Give all rows since they were last asked for."""
        by_column = list(zip(*self.values, strict=True)) or [()] * len(self.dtypes)
        columns: dict[str, NDArray[Any]] = {
            name: np.array(values, dtype=dtype)
            for (name, dtype), values in zip(self.dtypes.items(), by_column, strict=True)
        }
        made = Gathered(np.array(self.rows, dtype=np.int64), _times(self.sent), _times(self.received), columns)
        self.rows, self.sent, self.received, self.values = [], [], [], []
        return made


class Levels:
    """Messages of the book, a row a level."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.changes_seen = False
        self.heads: list[tuple[int, ...]] = []
        self.sent: list[int | None] = []
        self.received: list[int | None] = []
        self.pending: list[Sequence[str]] = []
        self.done = 0  # messages whose levels are numbers already
        self.numbers: list[NDArray[np.float64]] = []

    def add(
        self, row: int, sent: int | None, received: int | None, ids: tuple[int, int, int], what: tuple[int, bool],
        bids: list[Sequence[str]], asks: list[Sequence[str]],
    ) -> None:  # fmt: skip
        """Take a message: `ids` are first, last and previous, `what` its kind and whether it is of a partial stream."""
        self.heads.append((row, *ids, what[0], int(what[1]), len(bids), len(asks)))
        self.sent.append(sent if sent is not None else received)
        self.received.append(received)
        self.pending += bids
        self.pending += asks
        if len(self.pending) >= _BATCH:
            self._convert()

    def _convert(self) -> None:
        """Make numbers of the levels that wait; a message with one that is none is rejected."""
        try:
            values = list(chain.from_iterable(self.pending))
            if len(values) != 2 * len(self.pending) or not DIGITS.fullmatch("".join(values)):
                raise ValueError("a level is a price and a size")  # noqa: TRY301
            flat = np.fromiter(map(float, values), dtype=np.float64)
            self.numbers.append(flat.reshape(-1, 2))
        except (ValueError, TypeError):
            self._convert_one_by_one()
        self.pending, self.done = [], len(self.heads)

    def _convert_one_by_one(self) -> None:
        kept: list[int] = list(range(self.done))
        start = 0
        for i in range(self.done, len(self.heads)):
            end = start + self.heads[i][6] + self.heads[i][7]
            levels = self.pending[start:end]
            start = end
            try:  # very old messages carry an empty list behind each size
                made = [(number(level[0]), number(level[1])) for level in levels]
            except (ValueError, TypeError, LookupError):
                self.recording.reject(self.heads[i][0], "not_a_number", repr(levels))
                continue
            self.numbers.append(np.array(made, dtype=np.float64).reshape(-1, 2))
            kept.append(i)
        self.heads = [self.heads[i] for i in kept]
        self.sent, self.received = [self.sent[i] for i in kept], [self.received[i] for i in kept]

    def gathered(self) -> Gathered:
        """Give all rows since they were last asked for; a message without a level is a row of side 0."""
        self._convert()
        made = self._made()
        self.heads, self.sent, self.received, self.numbers, self.done = [], [], [], [], 0
        return made

    def _made(self) -> Gathered:
        heads = np.array(self.heads, dtype=np.int64).reshape(-1, 8)
        bids, asks = heads[:, 6], heads[:, 7]
        repeats = np.maximum(bids + asks, 1)
        level = np.repeat(bids + asks > 0, repeats)
        side = np.zeros(len(level), dtype=np.int8)
        side[level] = np.repeat(
            np.tile(np.array([1, -1], dtype=np.int8), len(heads)), np.stack((bids, asks), 1).ravel()
        )
        numbers = np.full((len(level), 2), np.nan)
        if self.numbers:
            numbers[level] = np.concatenate(self.numbers)
        spread = {name: np.repeat(heads[:, i], repeats) for i, name in enumerate(_HEADS)}
        partial = spread.pop("partial").astype(bool)
        columns: dict[str, NDArray[Any]] = {
            **{name: spread[name] for name in ("first_id", "last_id", "prev_id")},
            "snapshot": spread["snapshot"].astype(np.int8), "side": side, "price": numbers[:, 0], "size": numbers[:, 1],
        }  # fmt: skip
        sent, received = np.repeat(_times(self.sent), repeats), np.repeat(_times(self.received), repeats)
        made = Gathered(spread["row"], sent, received, columns)
        self.changes_seen |= bool((made.columns["snapshot"] == CHANGE).any())
        return self._without_partial(made, partial)

    def _without_partial(self, made: Gathered, partial: NDArray[np.bool_]) -> Gathered:
        """Beside changes of the whole book, repeated best levels would only cut it."""
        if not partial.any() or not self.changes_seen:
            return made
        left_out = len(np.unique(made.rows[partial]))
        self.recording.left_out += left_out
        self.recording.notes.append(Counted("left out: {n} partial books, since the changes are here too", left_out))
        return made.where(~partial)


_HEADS = ("row", "first_id", "last_id", "prev_id", "snapshot", "partial")
