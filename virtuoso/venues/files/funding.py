"""Tables of settled funding rates, in the spellings of exchanges, their web pages and collectors.

1. The rate is a fraction of the notional per interval; `0.002184%` is read to the same bits as `0.00002184`. Binance's
   web page cuts the last digit of one rate in eighteen, so it should not be imported over the archive.
2. The interval is taken where the source says it, else it is not known here: it is inferred from the settlements
   before (market/features/derivatives.py).
3. Times of web exports and collectors are wall time of somewhere and need `--time-zone`. The hour that comes twice
   when summer ends is settled by the interval: of 00:00 and 01:00 UTC only one is a multiple of eight hours.
4. Binance, Bybit and OKX settle at multiples of the interval from midnight UTC. Times that do not are in another zone.
5. A table of several venues gives the rows of the wanted one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.errors import AmbiguousError, did_you_mean
from virtuoso.types import Mask, Times
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    Column,
    Fields,
    Layout,
    Table,
    by_symbol,
    open_table,
    plain_layout,
    plain_names,
    raw_events,
    symbol_in_name,
    to_numbers,
)
from virtuoso.venues.files.timestamps import NO_TIME, FileTimes, read_times
from virtuoso.venues.raw_events import RawEvents

RATES = ("last_funding_rate", "fundingrate", "funding_rate")
TIMES = ("calc_time", "funding_time_ms", "funding_time", "fundingtime", "timestamp", "date", "time")
HOURS = ("funding_interval_hours", "funding_interval")
SYMBOLS = ("symbol", "contracts")
MARKS = ("markprice", "mark_price")
MIDNIGHT_VENUES = ("binance", "bybit", "okx")
_QUOTES = "USDT|USDC|USD|FDUSD|BUSD|PERP"
_NEAR_MS = UNIT_MS["m"]


def recognises(head: Head) -> bool:
    """Whether a file looks like a table of funding rates."""
    return _has_rates(plain_names(head))


def read_funding(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> list[RawEvents]:
    """Read a table of funding rates.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        Its venue and symbol say whose rows are wanted, where a file mixes several or does not say.
    now_ms : int, ms
        The present, for the plausible range of times.

    Returns
    -------
    list of RawEvents
        One a symbol, of kind 'funding'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum or holds something else.
    AmbiguousError
        The zone of its times, its venue or its symbols would have to be guessed, or the zone cannot be right.
    """
    table = open_table(path, _layout, "funding rates")
    names = table.names
    hours = _hours(table, _first(HOURS, names))
    times, meaning = _times(table, str(_first(TIMES, names)), hours, options, now_ms)
    mark = table.numbers(_first(MARKS, names) or "")
    columns = {
        "rate": _rates(table.data[str(_first(RATES, names))]),
        "hours": Column(hours, np.isinf(hours)),
        "mark": mark,
    }
    found: list[RawEvents] = []
    for symbol, rows in _groups(table, options).items():
        _reject_wrong_zone(table, times[rows], hours[rows], options)
        notes = (f"times: {meaning}",)
        found.append(raw_events(table, "funding", symbol, times, columns, rows, notes, first=not found))
    return found


def _layout(lines: Sequence[Fields]) -> Layout | str:
    found = plain_layout(lines)
    if isinstance(found, Layout) and not _has_rates(found.names):
        return f"its columns are {', '.join(sorted(found.names)[:8])}"
    return found


def _has_rates(names: Collection[str]) -> bool:
    """Whether a table with columns of these plain names holds funding rates."""
    return _first(RATES, names) is not None and _first(TIMES, names) is not None and "open" not in names


def _first(spellings: tuple[str, ...], names: Collection[str]) -> str | None:
    return next((name for name in spellings if name in names), None)


def _groups(table: Table, options: ImportOptions) -> dict[str | None, Mask]:
    """Rows of each symbol, of the wanted venue."""
    wanted = np.ones(len(table), dtype=bool)
    if "venue" in table:
        wanted = _of_venue(table, options)
    named = _first(SYMBOLS, table.names)
    if named is not None:
        return {symbol: rows & wanted for symbol, rows in by_symbol(table, named).items() if (rows & wanted).any()}
    if "coin" in table:
        return _of_coin(table, options, wanted)
    return {symbol_in_name(table.path): wanted}


def _of_venue(table: Table, options: ImportOptions) -> Mask:
    written = np.array([str(value).lower() for value in table.data["venue"].to_pylist()])
    known = sorted({str(name) for name in written})
    if not options.venue:
        raise AmbiguousError(f"{table.path} holds the rates of {', '.join(known)}. Pass --venue, such as binance-usdm.")
    for name in (options.venue, options.venue.split("-")[0]):
        if name in known:
            rows: Mask = written == name
            return rows
    raise AmbiguousError(f"{table.path} holds no rates of {options.venue}. {did_you_mean(options.venue, known)}")


def _of_coin(table: Table, options: ImportOptions, wanted: Mask) -> dict[str | None, Mask]:
    """Rows of the coin of the wanted symbol; a table of coins does not say which contract it means."""
    written = np.array([str(value).upper() for value in table.data["coin"].to_pylist()])
    coins = sorted({str(coin) for coin in written[wanted]})
    for coin in coins:
        if options.symbol is not None and re.fullmatch(rf"{re.escape(coin)}({_QUOTES})?", options.symbol):
            return {options.symbol: wanted & (written == coin)}
    said = f"none of them is that of {options.symbol}" if options.symbol else "it does not say of which contract"
    raise AmbiguousError(f"{table.path} holds the coins {', '.join(coins)}; {said}. Pass --symbol, such as BTCUSDT.")


def _rates(column: Any) -> Column:
    """Rates as fractions; percent are shifted as text, so that no bit is lost."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return to_numbers(column)
    text = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    return to_numbers(pc.replace_substring_regex(text, r"\s*%$", "e-2"))


def _hours(table: Table, name: str | None) -> NDArray[np.float64]:
    """Stated intervals in hours, of `8` and of `8h`; NaN where none is stated, infinite where it is garbled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name is None:
        return np.full(len(table), np.nan)
    text = pc.replace_substring_regex(table.data[name].cast(pa.string()), r"\s*h$", "")
    values, garbled = to_numbers(text)
    return np.where(garbled, np.inf, values)


def _times(
    table: Table, name: str, hours: NDArray[np.float64], options: ImportOptions, now_ms: int
) -> tuple[Times, str]:
    try:
        read = table.times(name, options, now_ms)
    except AmbiguousError as error:
        if options.time_zone is not None:
            raise
        hint = _hint_of_zone(table.data[name])
        raise AmbiguousError(f"{table.path}: {error}{hint}") from None
    unread = read.ms == NO_TIME
    if options.time_zone is None or not unread.any() or read.meaning != options.time_zone:
        return read.ms, read.meaning
    return _both_hours(table.data[name], name, read, hours, options, now_ms), read.meaning


def _hint_of_zone(column: Any) -> str:
    """Return in which zones these times would be settlements at 00:00, 08:00 and 16:00 UTC."""
    found = [re.search(r"[ T](\d{2}):00", str(value)) for value in column.slice(0, 100).to_pylist()]
    rest = {int(match[1]) % 8 for match in found if match}
    if len(rest) != 1:
        return ""
    ahead = rest.pop()
    if ahead == 0:
        return " Their hours are multiples of eight, as of settlements in UTC."
    return (
        f" Settlements every eight hours: these are {ahead} hours ahead of UTC (Etc/GMT-{ahead}) or {8 - ahead} behind."
    )


def _both_hours(
    column: Any, name: str, read: FileTimes, hours: NDArray[np.float64], options: ImportOptions, now_ms: int
) -> Times:
    """Return times, of the hour that comes twice the one that is a multiple of the stated interval."""
    import pandas as pd
    import pyarrow as pa

    naive = read_times(column.cast(pa.string()), name, options.time_unit, "UTC", now_ms).ms
    doubtful = (read.ms == NO_TIME) & (naive != NO_TIME)
    local = pd.DatetimeIndex(naive[doubtful].astype("M8[ms]"))
    step = np.where(np.isnan(hours[doubtful]), 0, hours[doubtful] * UNIT_MS["h"]).astype(np.int64)
    answer, fits = np.full(len(local), NO_TIME), np.zeros(len(local), dtype=np.int64)
    for summer in (True, False):
        zoned = local.tz_localize(options.time_zone, ambiguous=np.full(len(local), summer), nonexistent="NaT")
        ms = np.asarray(zoned.tz_convert("UTC").as_unit("ms").asi8, dtype=np.int64)
        fit = (ms != NO_TIME) & (step > 0) & (_off_grid(ms, np.maximum(step, 1)) <= _NEAR_MS)
        answer[fit], fits = ms[fit], fits + fit
    times = read.ms.copy()
    times[doubtful] = np.where(fits == 1, answer, NO_TIME)
    return times


def _off_grid(ms: Times, step: Times) -> Times:
    rest = ms % step
    off: Times = np.minimum(rest, step - rest)
    return off


def _reject_wrong_zone(table: Table, times: Times, hours: NDArray[np.float64], options: ImportOptions) -> None:
    """Reject settlements that are not at multiples of their interval, at venues that settle then."""
    if not options.venue or options.venue.split("-")[0] not in MIDNIGHT_VENUES:
        return
    known = np.unique(times[times != NO_TIME])
    stated = hours[~np.isnan(hours)]
    if len(stated) == 0 and len(known) < 3:
        return
    spacing = float(np.median(stated)) * UNIT_MS["h"] if len(stated) else float(np.median(np.diff(known)))
    step = round(spacing / UNIT_MS["h"]) * UNIT_MS["h"]
    if step < 2 * UNIT_MS["h"] or UNIT_MS["d"] % step:
        return
    off = _off_grid(known, np.full(len(known), step)) > _NEAR_MS
    if 2 * off.sum() > len(known):
        example = np.datetime64(int(known[off][0]), "ms").astype("M8[m]")
        raise AmbiguousError(
            f"{table.path}: settlements every {step // UNIT_MS['h']} h such as that of {example}Z are not at multiples "
            f"of the interval from midnight UTC, as those of {options.venue} are. The time zone is wrong; pass the "
            "right --time-zone, such as Etc/GMT-3."
        )
