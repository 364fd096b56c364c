"""Labels: bars by date and by place, with the manners of pandas.

1. A bar is labelled by its close, in UTC: the moment at which it is known. Frames, scores and results share that one
   index, named `close_time`, so that tables of them join without a shift.
2. A slice of dates means what it means in pandas: both ends are in it, and `"2025-08"` is the whole month.
3. A slice of numbers counts bars, as in a list.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import parse_time
from virtuoso.errors import ConfigError, MissingColumnError, did_you_mean
from virtuoso.types import Times

if TYPE_CHECKING:
    import pandas as pd

Moment = int | str | datetime | np.datetime64
"""A moment as users have it: milliseconds since the epoch, text, or a stamp of Python, NumPy or pandas."""

CLOSE = "close_time"
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
