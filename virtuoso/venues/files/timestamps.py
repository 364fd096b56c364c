"""Times as files write them, made UTC milliseconds: numbers in some unit, or text and stamps with or without a zone.

1. Numbers: s, ms, us and ns between 2009 and tomorrow do not overlap, so that each number says its unit. One that fits
   none, and a few strays in another unit than all others, are read in the unit of the others and left to validation
   (ingest/validate_bars.py). Digits are taken as they stand, since a float holds no nanoseconds.
2. Text and stamps with an offset say themselves what they mean.
3. Text and stamps without one are rejected until the user names the zone: nobody can see whether 03:00 is UTC.
4. Text is ISO 8601, or has the year first, as `2020.01.31 00:00`; any other form is said by the user: nobody can see
   whether 03/04 is in March or in April.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.errors import AmbiguousError, ConfigError
from virtuoso.types import Mask, Times

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]

EARLIEST_S = 1_230_768_000  # 2009-01-01, the week in which Bitcoin began
NO_TIME = np.iinfo(np.int64).min
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
FEW = 3
FEW_OF_ALL = 0.25
"""So many times, and such a share, that are written otherwise than the others are a fault of their rows."""
LONG = 10_000
"""Rows of a part that another is likely to follow: its last rows may be the first in another unit."""
INTEGER_TEXT = r"^\d{1,19}$"
NUMBER_TEXT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SHORT_INTEGER = r"^\d{1,18}$"
_DECIMAL = r"^\+?(?P<whole>\d{1,19})(?:\.(?P<part>\d*))?$"
_SCIENTIFIC = r"^[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+$"
_MOST_SECONDS = 2**53
_WORDS = "words"
_WORD_OF = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_ISO = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?"
_TWELVE_HOURS = r"^\d{4}-\d{2}-\d{2} \d{1,2}-[AP]M$"  # of CryptoDataDownload, once
_YEAR_FIRST = ((r"^(\d{4})[./](\d{2})[./](\d{2})", r"\1-\2-\3"), (r"^(\d{4}-.*\d) ?(?:UTC|GMT)$", r"\1Z"))
"""Forms that are as plain as ISO 8601, and how it writes them."""
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


def read_times(
    column: Any, name: str, unit: TimeUnit, zone: str | None, now_ms: int, known: dict[str, str] | None = None
) -> FileTimes:
    """Read a column of times, row by row.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    name : str
        Of the column, for messages.
    unit : str
        Of numbers; 'auto' decides from the size of each.
    zone : str or None
        Of times without an offset, such as 'UTC' or 'Europe/London'.
    now_ms : int, ms
    known : dict of str to str, optional
        What earlier parts of the file have shown of its columns, and where this one is written down. Where it says
        something, a part in which no time can be read is no reason to refuse the file.

    Raises
    ------
    AmbiguousError
        The unit or the zone would have to be guessed.
    ConfigError
        There is no such zone.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    known = {} if known is None else known
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _stamps(column, name, zone)
    if pa.types.is_date(kind):
        return _stamps(column.cast(pa.timestamp("us")), name, zone)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(_of_type(column, name), name, unit, now_ms, known)
    if pa.types.is_decimal(kind):
        column = column.cast(pa.decimal128(38, 9)) if kind.scale < 0 else column
    text = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), "")).combine_chunks()
    if not pc.all(pc.match_substring_regex(text, _SHORT_INTEGER)).as_py():  # nearly always digits alone
        if _are_most(text, _TWELVE_HOURS):
            text = in_form(text, "%Y-%m-%d %I-%p").combine_chunks()
        for written, plain in _YEAR_FIRST:
            text = pc.replace_substring_regex(text, written, plain)
    return _of_text(text, name, unit, zone, now_ms, known)


def _are_most(text: Any, form: str) -> bool:
    import pyarrow.compute as pc

    return 2 * int(pc.sum(pc.match_substring_regex(text, form)).as_py() or 0) > len(text)


class _Numbers(NamedTuple):
    """Numbers as a file has them: whole part, billionths, and which of them are numbers; shape (n_rows,) each."""

    whole: Times
    part: Times
    known: Mask


def _of_type(column: Any, name: str) -> _Numbers:
    """Numbers of a column that has a type for them; what does not fit 64 bits with a sign is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = np.asarray(~pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False).astype(bool))
    if pa.types.is_integer(column.type):
        values = pc.fill_null(column, 0).to_numpy()
        known = known & (values <= np.iinfo(np.int64).max)
        return _Numbers(np.where(known, values, 0).astype(np.int64), np.zeros(len(known), dtype=np.int64), known)
    if known.any() and not pa.types.is_float64(column.type):
        raise AmbiguousError(
            f"Times in {name!r} are floats of {column.type.bit_width} bits, which round them to minutes. Write them as "
            "whole numbers, or as floats of 64 bits."
        )
    values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()
    known = known & np.isfinite(values) & (np.abs(values) < 2.0**62)
    values = np.where(known, values, 0.0)
    # a float has some 16 digits: more behind the point are none of the file's
    digits = np.clip(15 - np.ceil(np.log10(np.maximum(np.abs(values), 1.0))), 0, 9)
    whole = np.floor(values)
    part = np.rint((values - whole) * 10.0**digits) * 10.0 ** (9 - digits)
    over = part >= 1e9
    return _Numbers((whole + over).astype(np.int64), np.where(over, 0, part).astype(np.int64), known)


def _of_text(text: Any, name: str, unit: TimeUnit, zone: str | None, now_ms: int, known: dict[str, str]) -> FileTimes:
    """Numbers or words, as most of the rows of the first part are; rows of the other form are read as well."""
    import pyarrow.compute as pc

    numbers = _in_text(text)
    _reject_rounded(text, name, numbers)
    most = 2 * int(numbers.known.sum()) > len(text) if name not in known else known[name] != _WORDS
    others = ~numbers.known & pc.not_equal(text, "").to_numpy(zero_copy_only=False).astype(bool)
    if most:
        read = _numbers(numbers, name, unit, now_ms, known)
        return _joined(read, _words(text, zone), others) if others.any() else read
    read = _text(text, name, zone, known)
    known[name] = _WORDS
    if not numbers.known.any():
        return read
    return _joined(read, _numbers(numbers, name, unit, now_ms, {name: "ms"}), numbers.known)


def _joined(read: FileTimes, others: FileTimes, at: Mask) -> FileTimes:
    """Times of two readings, of some rows those of the second."""
    return FileTimes(np.where(at, others.ms, read.ms), np.where(at, others.exact, read.exact), read.meaning)


def _in_text(text: Any) -> _Numbers:
    """Numbers in text, digit by digit, since nanoseconds do not fit a float; longer ones than 64 bits are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.all(pc.match_substring_regex(text, _SHORT_INTEGER)).as_py():  # nearly always
        whole = text.cast(pa.int64()).to_numpy()
        return _Numbers(whole, np.zeros(len(whole), dtype=np.int64), np.ones(len(whole), dtype=bool))
    found = pc.extract_regex(text, _DECIMAL)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False).astype(bool)
    digits = pc.if_else(pc.is_valid(found), found.field("whole"), "0").cast(pa.uint64()).to_numpy()
    known &= digits <= np.iinfo(np.int64).max
    part = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(found.field("part"), ""), 9, "0"), 0, 9)
    whole = np.where(known, digits, 0).astype(np.int64)
    return _Numbers(whole, pc.if_else(pc.is_valid(found), part, "0").cast(pa.int64()).to_numpy(), known)


def _reject_rounded(text: Any, name: str, numbers: _Numbers) -> None:
    """Reject a column in scientific notation, as spreadsheets write it: its last digits are gone."""
    import pyarrow.compute as pc

    if 2 * int(numbers.known.sum()) > len(text):
        return
    rounded = pc.match_substring_regex(text, _SCIENTIFIC).to_numpy(zero_copy_only=False).astype(bool)
    if 2 * int(rounded.sum()) > len(text):
        example = text[int(rounded.argmax())].as_py()
        raise AmbiguousError(
            f"Times such as {example!r} in {name!r} are in scientific notation, which rounds them. Write them out in "
            "full; in a spreadsheet, give the column the format of a whole number first."
        )


def _numbers(numbers: _Numbers, name: str, unit: TimeUnit, now_ms: int, known: dict[str, str]) -> FileTimes:
    """Each number says its unit by its size; one that fits none is read in the unit of the others."""
    whole, part, there = numbers
    latest_s = (now_ms + UNIT_MS["d"]) // 1_000
    fits = {u: there & (whole >= EARLIEST_S * per_s) & (whole <= latest_s * per_s) for u, per_s in _PER_SECOND.items()}
    counts = {u: int(rows.sum()) for u, rows in fits.items()}
    usual = _usual_unit(counts, whole[there], name, unit, known)
    before = known.get(name, "").split(",")
    units = [usual]
    if unit == "auto":
        units += [u for u in counts if u != usual and counts[u] and (u in before or not _is_stray(fits[u]))]
    said = [u for u in _PER_SECOND if u in (*units, *before)]
    if unit == "auto":
        known[name] = ",".join(said)
    ms, exact = _in_ms(whole, part, usual)
    for u in units[1:]:
        other_ms, other_exact = _in_ms(whole, part, u)
        ms, exact = np.where(fits[u], other_ms, ms), np.where(fits[u], other_exact, exact)
    meaning = said[0] if len(said) == 1 else f"mixes {' and '.join(_WORD_OF[u] for u in said)}, read row by row"
    return FileTimes(np.where(there, ms, NO_TIME), exact & there, usual if unit != "auto" else meaning)


def _is_stray(rows: Mask) -> bool:
    """Whether rows in another unit are a few damaged ones, not those of a file that was joined to this one."""
    return _are_few(rows) and not (rows[-1] and len(rows) > LONG)


def _are_few(rows: Mask) -> bool:
    return bool(rows.sum() <= FEW and rows.mean() <= FEW_OF_ALL)


def _in_ms(whole: Times, part: Times, unit: str) -> tuple[Times, Mask]:
    """Milliseconds of numbers in a unit, rounded down, and which of them are whole ones."""
    if unit == "s":
        fit = np.abs(whole) < _MOST_SECONDS
        return np.where(fit, whole * fit * 1_000 + part // 1_000_000, NO_TIME), part % 1_000_000 == 0
    ms, rest = np.divmod(whole, _PER_SECOND[unit] // 1_000)
    return ms, (rest == 0) & (part == 0)


def _usual_unit(counts: Mapping[str, int], values: Times, name: str, unit: TimeUnit, known: Mapping[str, str]) -> str:
    """Unit in which most of the values lie between 2009 and tomorrow."""
    fitting = max(counts, key=lambda u: counts[u])
    if counts[fitting] == 0 and name in known and known[name] != _WORDS:
        return known[name].split(",")[0] if unit == "auto" else unit
    if len(values) == 0:
        raise AmbiguousError(f"The column {name!r} holds no time.")
    middle = int(np.median(values.astype(np.float64)))
    if unit != "auto":
        if counts[fitting] and not counts[unit]:
            raise AmbiguousError(
                f"Times such as {middle} in {name!r} are {fitting}, not {unit}. Pass --time-unit {fitting}."
            )
        return unit
    if counts[fitting] == 0:
        raise AmbiguousError(
            f"Times such as {middle} in {name!r} lie between 2009 and tomorrow in none of s, ms, us, ns. "
            f"If they are {_written_together(middle) or 'right, pass --time-unit.'}"
        )
    return fitting


def _stamps(column: Any, name: str, zone: str | None) -> FileTimes:
    import pyarrow as pa

    whole, per_ms = column.cast(pa.int64()).fill_null(NO_TIME).to_numpy(), _PER_SECOND[column.type.unit] / 1_000
    known = whole != NO_TIME
    if per_ms >= 1:
        ms, rest = np.divmod(whole, np.int64(per_ms))
        exact = rest == 0
    else:
        known &= np.abs(whole) < _MOST_SECONDS
        ms, exact = np.where(known, whole, 0) * 1_000, np.ones(len(whole), dtype=bool)
    read = FileTimes(np.where(known, ms, NO_TIME), exact, "UTC offset in the type")
    if column.type.tz is not None:
        return read
    example = next(_known(column), "none")
    return _localised(read, name, zone, f"{example}")


def _known(column: Any) -> Iterator[Any]:
    return (value for value in column.slice(0, 100).to_pylist() if value is not None)


def _localised(naive: FileTimes, name: str, zone: str | None, example: str) -> FileTimes:
    """Local wall time to UTC; an hour that comes twice or never in its zone is no time."""
    import pandas as pd

    if zone is None:
        raise AmbiguousError(
            f"Times such as {example} in {name!r} say neither zone nor offset. If they are UTC pass --time-zone UTC, "
            "else their zone, such as --time-zone Europe/London."
        )
    local = pd.DatetimeIndex(naive.ms.astype("M8[ms]"))
    utc = local.tz_localize(time_zone(zone), ambiguous="NaT", nonexistent="NaT").tz_convert("UTC").as_unit("ms")
    return FileTimes(np.asarray(utc.asi8, dtype=np.int64), naive.exact, zone)


def _text(text: Any, name: str, zone: str | None, known: Mapping[str, str]) -> FileTimes:
    """Words, each with an offset or in the zone that is named; without a zone, few without an offset are no times."""
    zoned, naive = _forms(text)
    if 2 * (zoned.sum() + naive.sum()) <= len(text) and name not in known:
        example = next((value for value in text.slice(0, 100).to_pylist() if value), "")
        raise AmbiguousError(
            f"Times such as {example!r} in {name!r} are neither numbers nor ISO 8601; day and month could be either "
            f"way round. Pass their form, such as --time-format {_form_of(example)!r}."
        )
    if zone is None and naive.any():
        example = repr(text[int(naive.argmax())].as_py())
        if not zoned.any():
            _localised(_read(text, naive), name, None, example)
        if not _are_few(naive):
            raise AmbiguousError(
                f"Some times in {name!r} carry an offset and some do not, such as {example}. Write all of them with "
                "one, or say with --time-zone where the others are from."
            )
    return _words(text, zone)


def _written_together(value: int) -> str:
    """Return what to do with dates without marks between year, month and day; empty for any other number."""
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(str(value)), "")
    return f"dates, pass --time-format '{form}'." if form and str(value).startswith("20") else ""


def _form_of(example: str) -> str:
    """Return a form to suggest for a time: with the clock of twelve hours where it shows one."""
    if re.search(r"(?i)[ap]\.?m", example):
        return "%Y-%m-%d %I-%p" if re.match(r"\d{4}-", example) else "%m/%d/%Y %I:%M:%S %p"
    return "%m/%d/%Y %H:%M" if "/" in example else "%d.%m.%Y %H:%M"


def in_form(column: Any, form: str) -> Any:
    """Return times in a form of `strftime` as ISO 8601; what does not fit is left as it is.

    Parameters
    ----------
    column : pyarrow.ChunkedArray or pyarrow.Array
    form : str
        Such as '%d.%m.%Y %H:%M'.

    Raises
    ------
    ConfigError
        It is no form of times.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    zoned = "%z" in form
    try:
        read = pd.DatetimeIndex(pd.to_datetime(text.to_pandas(), format=form, errors="coerce", utc=zoned))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--time-format {form!r} is none: {error}. Try '%d.%m.%Y %H:%M'.") from None
    iso = pa.array(read.strftime("%Y-%m-%dT%H:%M:%S.%f" + ("Z" if zoned else "")), pa.string(), from_pandas=True)
    return pa.chunked_array([pc.if_else(pc.is_valid(iso), iso, text)])


def _forms(text: Any) -> tuple[Mask, Mask]:
    """Which times carry an offset, and which do not."""
    import pyarrow.compute as pc

    zoned, naive = (
        pc.match_substring_regex(text, form).to_numpy(zero_copy_only=False).astype(bool) for form in (_ZONED, _NAIVE)
    )
    return zoned, naive


def _words(text: Any, zone: str | None) -> FileTimes:
    """Times in words as far as they can be read."""
    zoned, naive = _forms(text)
    read = _read(text, zoned)
    if zone is None or not naive.any():
        return read
    local = _localised(_read(text, naive), "", zone, "")
    return _joined(read, local, naive) if zoned.any() else local


def _read(text: Any, rows: Mask) -> FileTimes:
    """Times of some rows, an offset taken off where there is one."""
    import pandas as pd
    import pyarrow.compute as pc

    shown = pc.if_else(rows, text, None).to_pandas()
    index = pd.DatetimeIndex(pd.to_datetime(shown, format="ISO8601", errors="coerce", utc=True))
    us = np.asarray(index.as_unit("us").asi8, dtype=np.int64)
    known = us != NO_TIME
    return FileTimes(np.where(known, us // 1_000, NO_TIME), us % 1_000 == 0, "UTC offset in the text")
