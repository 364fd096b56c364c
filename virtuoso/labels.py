"""Labels: bars by date and by place, with the manners of pandas.

1. A bar is labelled by its close, in UTC: the moment at which it is known. Frames, scores and results share that one
   index, named `close_time`, so that tables of them join without a shift.
2. A slice of dates means what it means in pandas: both ends are in it, and `"2025-08"` is the whole month.
3. A slice of numbers counts bars, as in a list.
4. What a user gives for bars is taken by its index, never by place where it has one, and never shifted in silence
   (`at_closes`): labels that are the open times of the bars are refused.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import iso, parse_time
from virtuoso.errors import ConfigError, DataError, MissingColumnError, and_more, did_you_mean
from virtuoso.types import Array, Times

if TYPE_CHECKING:
    import pandas as pd

Moment = int | str | datetime | np.datetime64
"""A moment as users have it: milliseconds since the epoch, text, or a stamp of Python, NumPy or pandas."""

OPEN, CLOSE = "open_time", "close_time"
_DATE = re.compile(r"\d{4}(-\d{2}){0,2}([ T].*)?Z?")


def moment_ms(moment: Moment) -> int:
    """Return a moment in milliseconds since the epoch; one without a time zone is taken as UTC.

    Raises
    ------
    ConfigError
        It is no moment.

    Examples
    --------
    >>> moment_ms("2025-10-10T21:15Z") == moment_ms(np.datetime64("2025-10-10T21:15"))
    True
    """
    if isinstance(moment, str):
        return parse_time(moment)
    if moment != moment:  # NaT, of NumPy and of pandas, which calls it a datetime
        raise ConfigError("NaT is not a moment.")
    if isinstance(moment, np.datetime64):
        return int(moment.astype("M8[ms]").astype(np.int64))
    if isinstance(moment, datetime):  # a Timestamp of pandas is one
        zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return round(zoned.timestamp() * 1_000)
    if isinstance(moment, int | np.integer) and not isinstance(moment, bool):
        return int(moment)
    raise ConfigError(
        f"{moment!r} is not a moment. Try '2025-10-10T21:15Z', a pandas Timestamp, or milliseconds since the epoch."
    )


def close_index(close_times: Times) -> pd.DatetimeIndex:
    """Return the index of bars: their closes in UTC."""
    import pandas as pd

    return pd.DatetimeIndex(close_times.astype("M8[ms]"), name=CLOSE).tz_localize("UTC")


def is_date(key: object) -> bool:
    """Whether a subscript is a date: a stamp, or text such as `2025-08` or `2025-08-01 12:00`."""
    return isinstance(key, datetime | np.datetime64) or (isinstance(key, str) and bool(_DATE.fullmatch(key)))


def places(close_times: Times, key: slice | Moment) -> tuple[int, int]:
    """Return which bars a subscript means: the place of the first, and the place after the last.

    Parameters
    ----------
    close_times : array of int64, ms, shape (n_bars,)
        Ascending.
    key : slice or moment
        A slice of dates or of places; text that names a day, a month or a year means all of it.

    Raises
    ------
    ConfigError
        A slice with a step, or of something else than dates or places.
    """
    n = len(close_times)
    if not isinstance(key, slice):
        key = slice(key, key)
    if key.step not in (None, 1):
        raise ConfigError(f"Bars follow each other: a step of {key.step!r} leaves some out. Try .resample('1h').")
    ends = [end for end in (key.start, key.stop) if end is not None]
    if all(isinstance(end, int | np.integer) for end in ends):
        start, stop, _ = key.indices(n)
        return start, max(start, stop)
    for end in ends:
        if not is_date(end):
            raise ConfigError(f"{end!r} is neither a date nor a place. Try '2025-08-01' or 100.")
    low, high = (None if end is None else _label(end) for end in (key.start, key.stop))
    found = close_index(close_times).slice_indexer(low, high)
    return int(found.start or 0), int(n if found.stop is None else found.stop)


def _label(end: Any) -> Any:
    """Return the end of a slice as pandas takes it: text stays text, a stamp gets its zone."""
    import pandas as pd

    if isinstance(end, str):
        return end.removesuffix("Z") if len(end) <= len("2025-08-01Z") else end
    stamp = pd.Timestamp(end)
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


class Tabular(ABC):
    """Bars that can be taken apart by a slice and shown as a table: what `head`, `tail` and `df` need."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, key: Any) -> Any: ...

    @abstractmethod
    def to_pandas(self) -> pd.DataFrame:
        """One row a bar, indexed by close time (UTC)."""

    @property
    def df(self) -> pd.DataFrame:
        """The table, as `to_pandas()` gives it."""
        return self.to_pandas()

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first bars as a table; all but the last `-n` where n is negative."""
        table: pd.DataFrame = self[:n].to_pandas()
        return table

    def tail(self, n: int = 5) -> pd.DataFrame:
        """Return the last bars as a table; all but the first `-n` where n is negative."""
        table: pd.DataFrame = self[-n if n < 0 else max(len(self) - n, 0) :].to_pandas()
        return table


def unknown_name(owner: str, name: object, known: Iterable[str]) -> MissingColumnError:
    """Return the error of a subscript that names nothing."""
    return MissingColumnError(
        f"{owner} holds nothing named {name!r}. {did_you_mean(str(name), list(known))} A date is written 2025-08-01."
    )


# --- what a user gives for bars ---


def at_closes(given: Any, close_times: Times, ms: int, name: str, *, flags: bool = False) -> Array:
    """Return what a user gave as one number a bar: pandas objects by their index, arrays and lists by place.

    Parameters
    ----------
    given : Series, array or list
    close_times : array of int64, ms, shape (n_bars,)
        Ascending.
    ms : int
        Length of a bar.
    name : str
        What it is called in errors.
    flags : bool
        Whether it says yes and no: 1.0 true, 0.0 false.

    Returns
    -------
    Array, shape (n_bars,)
        NaN where it says nothing.

    Raises
    ------
    DataError
        Labels that are not those of the bars, another length, or values of another kind.
    """
    if not len(close_times):
        return np.empty(0)
    index = getattr(given, "index", None)
    if index is None or callable(index):  # lists have an `index` too
        values = _numbers(given, name, flags)
        if values.shape != close_times.shape:
            raise DataError(
                f"{name} is an array of shape {values.shape} for {len(close_times):,} bars. Without an index it must "
                f"hold one value a bar; a Series with frame.df.index is taken by its labels."
            )
        _check_values(values, close_times, name, flags)
        return values
    labels = moments_of(index, name)
    places = _places_of(labels, index.name, close_times, ms, name)
    values = _numbers(given, name, flags)
    _check_values(values, labels, name, flags)
    found: Array = np.full(len(close_times), np.nan)
    found[places] = values
    return found


def moments_of(index: Any, name: str) -> Times:
    """Return the labels of an index, UTC ms; refuse an index that holds no moments, or one of them twice."""
    import pandas as pd

    if not isinstance(index, pd.DatetimeIndex):
        if index.dtype.kind in "OT":  # text, or stamps that pandas does not know as such
            kind = type(index[0]).__name__ if len(index) else "nothing"
            raise DataError(
                f"{name} is labelled by {kind}, not by times that pandas knows. Try "
                f"{name}.index = pd.to_datetime({name}.index, utc=True)."
            )
        raise DataError(
            f"{name} is labelled by a {type(index).__name__}, not by times. Set {name}.index = frame.df.index if it "
            f"holds one value a bar, or pass {name}.to_numpy()."
        )
    if index.hasnans:
        raise DataError(f"{name} has a label that is NaT. Try {name}[{name}.index.notna()].")
    if not index.is_unique:
        twice = index[index.duplicated()]
        raise DataError(
            f"{name} holds {_said(twice[0])} twice{and_more(len(twice) - 1, 'label', ', and ')}. Try "
            f"{name}[~{name}.index.duplicated(keep='last')]."
        )
    utc = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    fine = utc.as_unit("ns").asi8
    return np.where(fine % 1_000_000, -1, fine // 1_000_000)  # finer than a millisecond: never that of a bar


def _places_of(labels: Times, index_name: object, close_times: Times, ms: int, name: str) -> Times:
    """Return the place of each label among the closes."""
    if not len(labels):
        return np.empty(0, dtype=np.int64)
    first, last = int(close_times[0]), int(close_times[-1])
    shift = f"{name}.index = {name}.index + pd.Timedelta({_span(ms)!r})"
    low, high = int(labels.min()), int(labels.max())
    ends_early = index_name != CLOSE and high == last - ms and len(close_times) > 1
    if index_name == OPEN or low == first - ms or ends_early:
        raise DataError(
            f"{name} is labelled by open times, from {_said(low)} to {_said(high)}; bars are labelled by their closes, "
            f"from {_said(first)} to {_said(last)}: what is known at the close of a bar cannot be known at its open. "
            f"Shift it: {shift}. If these are closes, say so: {name}.index.name = 'close_time'. A table goes in with "
            "vt.MarketFrame.from_pandas(df, ..., index='open')."
        )
    places = np.searchsorted(close_times, labels)
    there = close_times[np.minimum(places, len(close_times) - 1)] == labels
    lacking = labels[~there]
    if not len(lacking):
        return places
    told = f"{_said(int(lacking[0]))}{and_more(len(lacking) - 1, 'label', ', and ')}, of {len(labels):,}"
    between = (lacking > first) & (lacking < last)
    if between.any():
        raise DataError(
            f"{name} has labels that are no close of a {_span(ms)} bar: {told}. Take what was known at each close: "
            f"{name}.sort_index().reindex(frame.df.index, method='ffill')."
        )
    raise DataError(
        f"{name} has labels that the frame lacks: {told}; its closes go from {_said(first)} to {_said(last)}. Try "
        f"{name}.reindex(frame.df.index). If they are open times, shift them first: {shift}."
    )


def _numbers(given: Any, name: str, flags: bool) -> Array:
    """Return values as numbers, NaN where they are missing; refuse what is neither a number nor true or false."""
    dtype = getattr(given, "dtype", None)
    if dtype is not None and hasattr(dtype, "na_value") and dtype.kind in "biuf":
        return np.asarray(given.to_numpy(dtype=np.float64, na_value=np.nan))
    values = np.asarray(given)
    if values.dtype == object and values.ndim == 1:  # what `shift` and `reindex` make of booleans
        known = np.array([isinstance(one, bool | np.bool_) for one in values], dtype=bool)
        if all(there or _is_missing(one) for there, one in zip(known, values, strict=True)):
            found: Array = np.full(len(values), np.nan)
            found[known] = values[known].astype(np.float64)
            return found
    if values.dtype.kind not in "biuf" or values.ndim != 1:
        remedy = f"{name}.astype('boolean')" if flags else f"{name}.astype(float)"
        shown = f"{values.ndim} dimensions" if values.ndim != 1 else f"dtype {dtype or values.dtype}"
        raise DataError(
            f"{name} is of {shown}; it must hold one {'boolean' if flags else 'number'} a bar. Try {remedy}."
        )
    return values.astype(np.float64)


def _is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pd.NA."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _check_values(values: Array, times: Times, name: str, flags: bool) -> None:
    """Refuse what is neither true nor false, or not finite."""
    wrong = np.isinf(values)
    if flags:
        wrong |= ~np.isnan(values) & (values != 0.0) & (values != 1.0)
    at = np.flatnonzero(wrong)
    if not len(at):
        return
    told = f"{name} is {values[at[0]]:g} at {_said(int(times[at[0]]))}{and_more(len(at) - 1, 'bar')}"
    if flags:
        raise DataError(
            f"{told}, neither true nor false. Compare, as in entries=signal == 1, short_entries=signal == -1."
        )
    raise DataError(f"{told}. Where nothing is known it is NaN.")


def _span(ms: int) -> str:
    """Write a length of time as pandas reads it."""
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def _said(moment: Any) -> str:
    """Write a label."""
    if not isinstance(moment, int | np.integer):
        return str(moment)
    return iso(int(moment)) if moment >= 0 else "a time finer than a millisecond"
