"""Time: timeframes, UTC milliseconds, bar numbers, and the seam to the outside clock.

1. A moment is an `int`: milliseconds since the epoch, UTC. Nothing else is a time inside Virtuoso.
2. A bar of a timeframe has a number, `open_time // timeframe.ms`, the same for everyone for ever.
   Bars are labelled by that number; a bar is known at its `close_time`, the open time of the next one.
3. Wall clock, sleep, randomness and ids come through `Env` alone, so that everything below the edges can be
   replayed.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from virtuoso.errors import ConfigError

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def _span_ms(text: str, what: str) -> int:
    match = re.fullmatch(r"([1-9]\d*)([smhd])", text)
    if match is None:
        if re.fullmatch(r"[1-9]\d*(w|W|M|mo|wk)", text):
            raise ConfigError(
                f"{what} must divide a day so that bars have numbers; weeks and months, such as {text!r}, do not. "
                "Try '1d', and pandas for slower tables: frame.df.resample('W')."
            )
        raise ConfigError(f"{what} must be a number and one of s, m, h, d (such as '5m' or '4h'), was {text!r}.")
    return int(match[1]) * UNIT_MS[match[2]]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, such as `Span("1d")`."""

    text: str
    ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ms", _span_ms(self.text, "A span"))

    def __repr__(self) -> str:
        return f"Span({self.text!r})"


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of a bar, such as `Timeframe("5m")`; it must divide a day.

    Attributes
    ----------
    name : str
        As the field writes it: '1s', '1m', '5m', '4h', '1d'.
    ms : int, milliseconds
        Length of one bar.
    """

    name: str
    ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if re.fullmatch(r"[1-9]\d*[HD]", self.name):  # as pandas and some exchanges write hours and days
            object.__setattr__(self, "name", self.name.lower())
        ms = _span_ms(self.name, "A timeframe")
        if UNIT_MS["d"] % ms:
            raise ConfigError(f"A timeframe must divide a day so that bars have numbers, was {self.name!r}.")
        object.__setattr__(self, "ms", ms)

    def __repr__(self) -> str:
        return f"Timeframe({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __lt__(self, other: Timeframe) -> bool:
        return self.ms < other.ms

    def number(self, time_ms: int) -> int:
        """Number of the bar that contains a moment."""
        return time_ms // self.ms

    def open_time(self, number: int) -> int:
        """First millisecond of a bar."""
        return number * self.ms

    def close_time(self, number: int) -> int:
        """Moment at which a bar is known: the open time of the next one."""
        return (number + 1) * self.ms

    def bars(self, span: Span | str) -> int:
        """How many bars it takes to cover a span, rounded up."""
        ms = (Span(span) if isinstance(span, str) else span).ms
        return -(-ms // self.ms)

    def ratio(self, base: Timeframe) -> int:
        """How many bars of `base` make one of this timeframe."""
        if self.ms % base.ms:
            raise ConfigError(f"{self.name} is not a whole number of {base.name} bars.")
        return self.ms // base.ms


def iso(time_ms: int) -> str:
    """Write a moment as people read it: `2025-10-10 21:15:00Z`."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S") + ("Z" if time_ms % 1000 == 0 else f".{time_ms % 1000:03d}Z")


def parse_time(text: str) -> int:
    """Read a moment: ISO 8601 (taken as UTC where no zone is given), `YYYYMMDD`, or milliseconds.

    Returns
    -------
    int, milliseconds since the epoch, UTC
    """
    if re.fullmatch(r"\d{12,14}", text):
        return int(text)
    try:
        moment = datetime.strptime(text, "%Y%m%d") if re.fullmatch(r"\d{8}", text) else datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a time. Try 2025-10-10T21:15Z, 20251010 or milliseconds since the epoch."
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(moment.timestamp() * 1000)


def parse_timerange(text: str) -> tuple[int | None, int | None]:
    """Read `20250704-20251031`, `20250704-`, `-20251031` or `2025-07-04:2025-10-31`: from inclusive, to exclusive.

    Returns
    -------
    tuple of int or None, milliseconds
    """
    dated = r"(\d{4}-\d{2}-\d{2})?"
    match = re.fullmatch(r"(\d{8}|\d{12,14})?-(\d{8}|\d{12,14})?", text) or re.fullmatch(f"{dated}:{dated}", text)
    if match is None or not any(match.groups()):
        raise ConfigError(f"A timerange is FROM-TO, such as 20250704-20251031, was {text!r}.")
    start, end = (parse_time(part) if part else None for part in match.groups())
    if start is not None and end is not None and start >= end:
        raise ConfigError(f"The timerange {text!r} ends before it starts.")
    return start, end


class Env:
    """The outside world below which nothing is random and nothing knows the hour.

    Tests and replays pass their own: `Env(now_ms=lambda: 0, seed=7)`.
    """

    def __init__(self, *, now_ms: int | None = None, seed: int | None = None) -> None:
        self._now_ms = now_ms
        self._seed = seed

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000 if self._now_ms is None else self._now_ms

    def random(self) -> np.random.Generator:
        """Give a generator that is seeded where a seed was given."""
        return np.random.default_rng(self._seed)

    def new_id(self) -> str:
        """Give an id that nobody has used."""
        return uuid.uuid4().hex

    def stopwatch(self) -> float:
        """Seconds on a clock that only runs forward; for measuring, never for deciding."""
        return time.perf_counter()
