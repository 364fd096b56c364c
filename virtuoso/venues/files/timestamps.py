"""Times as files write them, made UTC milliseconds: numbers in some unit, or text and stamps with or without a zone.

1. Numbers: the unit is decided once a file, from the middle of its values, since s, ms, us and ns between 2009 and
   tomorrow do not overlap. A row that does not fit the unit of its file is left to validation
   (ingest/validate_bars.py).
2. Text and stamps with an offset say themselves what they mean.
3. Text and stamps without one are rejected until the user names the zone: nobody can see whether 03:00 is UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.errors import AmbiguousError, ConfigError

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

EARLIEST_S = 1_230_768_000  # 2009-01-01, the week in which Bitcoin began
NO_TIME = np.iinfo(np.int64).min
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
INTEGER_TEXT = r"^\d{1,18}$"
NUMBER_TEXT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ISO = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?"
_NAIVE, _ZONED = rf"{_ISO}$", rf"{_ISO}(Z|[+-]\d{{2}}(:?\d{{2}})?)$"


@dataclass(frozen=True, slots=True)
class FileTimes:
    """A column of times.

    Attributes
    ----------
    ms : array of int64, UTC milliseconds, shape (n_rows,)
        NO_TIME where a time is missing or cannot be read; rounded down to the millisecond.
    exact : array of bool, shape (n_rows,)
        Whether the file's time was a whole millisecond.
    meaning : str
        How it was read: 'us', 'UTC offset in the text', 'Europe/London'.
    """

    ms: NDArray[np.int64]
    exact: NDArray[np.bool_]
    meaning: str

    @property
    def ms_up(self) -> NDArray[np.int64]:
        """Times rounded up to the millisecond, as moments of receipt are: nothing is known before it came."""
        later = ~self.exact & (self.ms != NO_TIME)
        answer: NDArray[np.int64] = self.ms + later
        return answer


def time_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"{name!r} is not a time zone. Try UTC, Europe/London or America/New_York.") from None


def read_times(column: Any, name: str, unit: TimeUnit, zone: str | None, now_ms: int) -> FileTimes:
    """Read a column of times.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    name : str
        Of the column, for messages.
    unit : str
        Of numbers; 'auto' decides from their size.
    zone : str or None
        Of times without an offset, such as 'UTC' or 'Europe/London'.
    now_ms : int, ms

    Raises
    ------
    AmbiguousError
        The unit or the zone would have to be guessed.
    ConfigError
        There is no such zone.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        return _stamps(column, name, zone)
    if pa.types.is_date(kind):
        return _stamps(column.cast(pa.timestamp("us")), name, zone)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(column, name, unit, now_ms)
    text = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    numeric = pc.sum(pc.match_substring_regex(text, NUMBER_TEXT)).as_py() or 0
    if 2 * numeric > len(text):
        return _numbers(_numbers_in_text(text), name, unit, now_ms)
    return _text(text, name, zone)


def _numbers_in_text(text: Any) -> Any:
    """Whole numbers stay whole, since nanoseconds do not fit a float; anything else is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for pattern, kind in ((INTEGER_TEXT, pa.int64()), (NUMBER_TEXT, pa.float64())):
        fits = pc.match_substring_regex(text, pattern)
        numbers = pc.if_else(fits, text, None).cast(kind)
        if kind == pa.float64() or numbers.null_count * 2 < len(text):
            return numbers
    raise AssertionError("unreachable: the last kind always returns")


def _numbers(column: Any, name: str, unit: TimeUnit, now_ms: int) -> FileTimes:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = ~pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False).astype(bool)
    if pa.types.is_floating(column.type):
        values = pc.fill_null(column, 0.0).to_numpy()
        known &= np.isfinite(values) & (np.abs(values) < 2.0**62)
    else:
        values = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    values = np.where(known, values, 0)
    if not known.any():
        raise AmbiguousError(f"The column {name!r} holds no time.")
    meant = _unit_of(values[known], name, unit, now_ms)
    per_ms = _PER_SECOND[meant] / 1_000
    if per_ms >= 1:
        ms, rest = np.divmod(values, int(per_ms))
        exact = rest == 0
    else:
        ms = values * 1_000
        exact = ms == np.floor(ms)
    return FileTimes(np.where(known, np.floor(ms), NO_TIME).astype(np.int64), exact, meant)


def _unit_of(values: NDArray[Any], name: str, unit: TimeUnit, now_ms: int) -> str:
    """Unit in which the middle of the values lies between 2009 and tomorrow."""
    middle = float(np.median(values))
    latest_s = (now_ms + UNIT_MS["d"]) / 1_000
    fitting = [u for u, per_s in _PER_SECOND.items() if EARLIEST_S * per_s <= middle <= latest_s * per_s]
    if unit != "auto":
        if fitting and unit not in fitting:
            raise AmbiguousError(
                f"Times such as {middle:.0f} in {name!r} are {fitting[0]}, not {unit}. Pass --time-unit {fitting[0]}."
            )
        return unit
    if not fitting:
        raise AmbiguousError(
            f"Times such as {middle:.0f} in {name!r} lie between 2009 and tomorrow in none of s, ms, us, ns. "
            "If they are right, pass --time-unit."
        )
    return fitting[0]


def _stamps(column: Any, name: str, zone: str | None) -> FileTimes:
    import pyarrow as pa

    if column.type.tz is None:
        example = next(_known(column), "none")
        return _localised(_to_us(column), name, zone, f"{example}")
    return _from_us(_to_us(column.cast(pa.timestamp(column.type.unit))), "UTC offset in the type")


def _known(column: Any) -> Iterator[Any]:
    return (value for value in column.slice(0, 100).to_pylist() if value is not None)


def _to_us(column: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    whole = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    values: NDArray[np.int64] = whole.fill_null(NO_TIME).to_numpy()
    return values


def _from_us(us: NDArray[np.int64], meaning: str) -> FileTimes:
    known = us != NO_TIME
    return FileTimes(np.where(known, us // 1_000, NO_TIME), us % 1_000 == 0, meaning)


def _localised(us: NDArray[np.int64], name: str, zone: str | None, example: str) -> FileTimes:
    """Local wall time to UTC; an hour that comes twice or never in its zone is no time."""
    import pandas as pd

    if zone is None:
        raise AmbiguousError(
            f"Times such as {example} in {name!r} say neither zone nor offset. If they are UTC pass --time-zone UTC, "
            "else their zone, such as --time-zone Europe/London."
        )
    naive = pd.DatetimeIndex(us.astype("M8[us]"))
    utc = naive.tz_localize(time_zone(zone), ambiguous="NaT", nonexistent="NaT").tz_convert("UTC").as_unit("us")
    return _from_us(np.asarray(utc.asi8, dtype=np.int64), zone)


def _text(text: Any, name: str, zone: str | None) -> FileTimes:
    import pandas as pd
    import pyarrow.compute as pc

    zoned = pc.match_substring_regex(text, _ZONED).to_numpy(zero_copy_only=False).astype(bool)
    naive = pc.match_substring_regex(text, _NAIVE).to_numpy(zero_copy_only=False).astype(bool)
    if 2 * (zoned.sum() + naive.sum()) <= len(text):
        example = next((value for value in text.slice(0, 100).to_pylist() if value), "")
        raise AmbiguousError(
            f"Times such as {example!r} in {name!r} are neither numbers nor ISO 8601; day and month could be either "
            "way round. Write them as 2025-10-10T21:15:00Z or as milliseconds since the epoch."
        )
    if zoned.any() and naive.any():
        raise AmbiguousError(
            f"Some times in {name!r} carry an offset and some do not, such as {text[int(naive.argmax())].as_py()!r}. "
            "Write all of them with one."
        )
    shown = pc.if_else(zoned | naive, text, None).to_pandas()
    read = pd.DatetimeIndex(pd.to_datetime(shown, format="ISO8601", errors="coerce", utc=bool(zoned.any())))
    us = np.asarray(read.as_unit("us").asi8, dtype=np.int64)
    if zoned.any():
        return _from_us(us, "UTC offset in the text")
    return _localised(us, name, zone, repr(text[int(naive.argmax())].as_py()))
