"""Tables of settled funding rates, in the spellings of exchanges, their web pages and collectors.

1. The rate is a fraction of the notional per interval; `0.002184%` is read to the same bits as `0.00002184`. Binance's
   web page cuts the last digit of one rate in eighteen, so it should not be imported over the archive.
2. The interval is taken where the source says it, else it is not known here: the fold infers it from the settlements
   before (market/positioning.py).
3. Times of web exports and collectors are wall time of somewhere and need `--time-zone`. The hour that comes twice
   when summer ends is settled by the interval: of 00:00 and 01:00 UTC only one is a multiple of eight hours.
4. Binance, Bybit and OKX settle at multiples of the interval from midnight UTC. Times that do not are in another zone.
5. A table of several venues gives the rows of the wanted one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.errors import AmbiguousError, did_you_mean
from virtuoso.venues.files.file_io import to_numbers
from virtuoso.venues.files.table import Asked, Table, raw_events, symbol_in_name
from virtuoso.venues.files.timestamps import NO_TIME, FileTimes, read_times
from virtuoso.venues.raw_events import RawEvents

Mask = NDArray[np.bool_]
Times = NDArray[np.int64]

RATES = ("last_funding_rate", "fundingrate", "funding_rate")
TIMES = ("calc_time", "funding_time_ms", "funding_time", "fundingtime", "timestamp", "date", "time")
HOURS = ("funding_interval_hours", "funding_interval")
SYMBOLS = ("symbol", "contracts")
MARKS = ("markprice", "mark_price")
MIDNIGHT_VENUES = ("binance", "bybit", "okx")
_QUOTES = "USDT|USDC|USD|FDUSD|BUSD|PERP"
_NEAR_MS = UNIT_MS["m"]


def has_funding(names: Collection[str]) -> bool:
    """Whether a table with columns of these plain names holds funding rates."""
    return _first(RATES, names) is not None and _first(TIMES, names) is not None and "open" not in names


def read_funding(table: Table, asked: Asked) -> list[RawEvents]:
    """Read a table of funding rates.

    Raises
    ------
    AmbiguousError
        The zone of its times, its venue or its symbols would have to be guessed, or the zone cannot be right.
    """
    names = table.columns.keys()
    hours = _hours(table, _first(HOURS, names))
    times, meaning = _times(table, str(_first(TIMES, names)), hours, asked)
    mark = table.numbers(_first(MARKS, names) or "")
    columns = {
        "rate": _rates(table.columns[str(_first(RATES, names))]),
        "hours": (hours, np.isinf(hours)),
        "mark": mark,
    }
    found: list[RawEvents] = []
    for symbol, rows in _groups(table, asked).items():
        _refuse_wrong_zone(table, times[rows], hours[rows], asked)
        notes = (f"times: {meaning}",)
        found.append(raw_events(table, "funding", symbol, times, columns, rows, notes, first=not found))
    return found


def _first(spellings: tuple[str, ...], names: Collection[str]) -> str | None:
    return next((name for name in spellings if name in names), None)


def _groups(table: Table, asked: Asked) -> dict[str | None, Mask]:
    """Rows of each symbol, of the wanted venue."""
    wanted = np.ones(len(table), dtype=bool)
    if "venue" in table.columns:
        wanted = _of_venue(table, asked)
    named = _first(SYMBOLS, table.columns)
    if named is not None:
        return {symbol: rows & wanted for symbol, rows in table.symbols(named).items() if (rows & wanted).any()}
    if "coin" in table.columns:
        return _of_coin(table, asked, wanted)
    return {symbol_in_name(table.path): wanted}


def _of_venue(table: Table, asked: Asked) -> Mask:
    written = np.array([str(value).lower() for value in table.columns["venue"].to_pylist()])
    known = sorted({str(name) for name in written})
    if asked.venue is None:
        raise AmbiguousError(f"{table.path} holds the rates of {', '.join(known)}. Pass --venue, such as binance-usdm.")
    for name in (asked.venue, asked.venue.split("-")[0]):
        if name in known:
            rows: Mask = written == name
            return rows
    raise AmbiguousError(f"{table.path} holds no rates of {asked.venue}. {did_you_mean(asked.venue, known)}")


def _of_coin(table: Table, asked: Asked, wanted: Mask) -> dict[str | None, Mask]:
    """Rows of the coin of the wanted symbol; a table of coins does not say which contract it means."""
    written = np.array([str(value).upper() for value in table.columns["coin"].to_pylist()])
    coins = sorted({str(coin) for coin in written[wanted]})
    for coin in coins:
        if asked.symbol is not None and re.fullmatch(rf"{re.escape(coin)}({_QUOTES})?", asked.symbol):
            return {asked.symbol: wanted & (written == coin)}
    said = f"none of them is that of {asked.symbol}" if asked.symbol else "it does not say of which contract"
    raise AmbiguousError(f"{table.path} holds the coins {', '.join(coins)}; {said}. Pass --symbol, such as BTCUSDT.")


def _rates(column: Any) -> tuple[NDArray[np.float64], Mask]:
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
    text = pc.replace_substring_regex(table.columns[name].cast(pa.string()), r"\s*h$", "")
    values, garbled = to_numbers(text)
    return np.where(garbled, np.inf, values)


def _times(table: Table, name: str, hours: NDArray[np.float64], asked: Asked) -> tuple[Times, str]:
    try:
        read = table.times(name, asked)
    except AmbiguousError as error:
        if asked.time_zone is not None:
            raise
        hint = _hint_of_zone(table.columns[name])
        raise AmbiguousError(f"{table.path}: {error}{hint}") from None
    unread = read.ms == NO_TIME
    if asked.time_zone is None or not unread.any() or read.meaning != asked.time_zone:
        return read.ms, read.meaning
    return _both_hours(table.columns[name], name, read, hours, asked), read.meaning


def _hint_of_zone(column: Any) -> str:
    """Say in which zones these times would be settlements at 00:00, 08:00 and 16:00 UTC."""
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


def _both_hours(column: Any, name: str, read: FileTimes, hours: NDArray[np.float64], asked: Asked) -> Times:
    """Settle times in the hour that comes twice: the one of the two that is a multiple of the stated interval."""
    import pandas as pd
    import pyarrow as pa

    naive = read_times(column.cast(pa.string()), name, asked.time_unit, "UTC", asked.now_ms).ms
    doubtful = (read.ms == NO_TIME) & (naive != NO_TIME)
    local = pd.DatetimeIndex(naive[doubtful].astype("M8[ms]"))
    step = np.where(np.isnan(hours[doubtful]), 0, hours[doubtful] * UNIT_MS["h"]).astype(np.int64)
    answer, fits = np.full(len(local), NO_TIME), np.zeros(len(local), dtype=np.int64)
    for summer in (True, False):
        zoned = local.tz_localize(asked.time_zone, ambiguous=np.full(len(local), summer), nonexistent="NaT")
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


def _refuse_wrong_zone(table: Table, times: Times, hours: NDArray[np.float64], asked: Asked) -> None:
    """Refuse settlements that are not at multiples of their interval, at venues that settle then."""
    if asked.venue is None or asked.venue.split("-")[0] not in MIDNIGHT_VENUES:
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
            f"of the interval from midnight UTC, as those of {asked.venue} are. The time zone is wrong; pass the right "
            "--time-zone, such as Etc/GMT-3."
        )
