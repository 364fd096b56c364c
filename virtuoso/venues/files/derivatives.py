"""Files about derivatives: open interest, ratios, depth bands, mark and index prices.

1. Binance `metrics`: open interest and ratios every five minutes. Measured on recorded bars: a row stamped T is about
   the bar that closes at T. Times are UTC, now and then some seconds off the grid, and are kept as they are.
2. Binance `bookDepth`: depth within a percentage of the middle price, UTC.
3. Binance `markPriceKlines` and `indexPriceKlines`: known from klines of trades by folder or name alone, since
   the files look the same. A price is known at the end of its interval.

Rates of funding have a decoder of their own (funding.py), and so have answers of REST endpoints (rest/payloads.py).
Coinalyze's daily table is not read: its funding rates are predictions at the end of days, its liquidations sums of days
and its open interest a composite, up to 1.3 % off the venue's own (measured on 180 days), which would contradict it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.venues.files.bar_layouts import KLINE_COLUMNS
from virtuoso.venues.files.file_io import Head, is_table
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    Fields,
    Layout,
    Table,
    by_symbol,
    in_whole_groups,
    plain_layout,
    plain_names,
    raw_events,
    tables,
    trimmed,
)
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.naming import symbol_of
from virtuoso.venues.raw_events import RawEvents

METRICS = {
    "open_interest": {"open_interest": "sum_open_interest", "open_interest_value": "sum_open_interest_value"},
    "ratios": {
        "accounts_ratio": "count_long_short_ratio",
        "top_accounts_ratio": "count_toptrader_long_short_ratio",
        "top_positions_ratio": "sum_toptrader_long_short_ratio",
        "taker_ratio": "sum_taker_long_short_vol_ratio",
    },
}
"""Columns of `metrics` files, by kind and by our names."""

_METRICS = {"create_time", "symbol", "sum_open_interest"}
_BANDS = {"timestamp", "percentage", "depth", "notional"}
_PRICES = {"markpriceklines": "mark", "indexpriceklines": "index"}
_ROWS_A_DAY = 288  # one every five minutes
_TAIL = 4_096


def recognises(head: Head) -> bool:
    """Whether a file looks like one of metrics, depth bands, mark or index prices."""
    if _price_of(head.path) is not None and is_table(head.path):
        return True
    names = plain_names(head)
    return names >= _METRICS or names >= _BANDS


def read_derivatives(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> Iterator[RawEvents]:
    """Read a file of metrics, depth bands, mark or index prices, part by part.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    now_ms : int, ms
        The present, for the plausible range of times.

    Yields
    ------
    RawEvents
        One for each kind and symbol of each part.

    Raises
    ------
    UnreadableFileError
        The file is damaged, or is none of those named above.
    AmbiguousError
        The zone of its times or its symbol would have to be guessed.
    """
    if _price_of(path) is not None:
        for table in tables(path, _layout_of_prices, "mark or index prices"):
            yield from _prices(table, options, now_ms)
        return
    parts = tables(path, _layout, "metrics, depth bands, mark or index prices")
    for table in in_whole_groups(parts, _last_day):
        yield from (_metrics if "sum_open_interest" in table else _bands)(table, options, now_ms)


def _last_day(table: Table) -> int:
    """Position of the first row of the last day, so that its rows are counted together."""
    if "create_time" not in table:
        return len(table)  # depth bands
    for size in (_TAIL, len(table)):  # a day is short: the text of all times is rarely needed
        first = max(len(table) - size, 0)
        stamps = trimmed(table.data["create_time"].slice(first)).to_numpy()
        today = stamps[-1][:10]
        at = next((at + 1 for at in range(len(stamps) - 1, -1, -1) if not stamps[at].startswith(today)), 0)
        if at or not first:
            return first + at
    return 0


def _layout(lines: Sequence[Fields]) -> Layout | str:
    found = plain_layout(lines)
    if isinstance(found, Layout) and not (set(found.names) >= _METRICS or set(found.names) >= _BANDS):
        return f"its columns are {', '.join(sorted(found.names)[:8])}"
    return found


def _layout_of_prices(lines: Sequence[Fields]) -> Layout | str:
    found = plain_layout(lines, KLINE_COLUMNS)
    if isinstance(found, Layout) and not set(found.names) >= {"close", "close_time"}:
        return f"no columns close and close_time among {', '.join(found.names[:8])}"
    return found


def _metrics(table: Table, options: ImportOptions, now_ms: int) -> list[RawEvents]:
    times = table.times("create_time", options, now_ms, zone="UTC").ms
    found: list[RawEvents] = []
    groups, strange = by_symbol(table, "symbol", options.venue)
    left_out = len(table) - int(np.any(list(groups.values()), axis=0).sum())
    for symbol, rows in groups.items():
        notes = ("times are the ends of the intervals they describe", *_short_days(times[rows]), *strange)
        for kind, names in METRICS.items():
            columns = {name: table.numbers(spelled) for name, spelled in names.items()}
            raw = raw_events(table, kind, symbol, times, columns, rows, notes, first=not found)
            found.append(raw if found else replace(raw, left_out=left_out))
    return found


def _short_days(times: NDArray[np.int64]) -> list[str]:
    """Return a note on the days that miss more than a tenth of their rows."""
    known = times[times != NO_TIME]
    if len(known) == 0:
        return []
    ends = known.min() % UNIT_MS["d"] != 0  # the era of files that run from 00:05 to midnight
    days, counts = np.unique((known - int(ends)) // UNIT_MS["d"], return_counts=True)
    short = [(day, count) for day, count in zip(days, counts, strict=True) if count < 0.9 * _ROWS_A_DAY]
    named = [f"{np.datetime64(int(day), 'D')} has {count} of {_ROWS_A_DAY} rows" for day, count in short[:3]]
    return [", ".join(named) + (f", and {len(short) - 3} days more" if len(short) > 3 else "")] if short else []


def _bands(table: Table, options: ImportOptions, now_ms: int) -> list[RawEvents]:
    times = table.times("timestamp", options, now_ms, zone="UTC").ms
    columns = {name: table.numbers(name) for name in ("percentage", "depth", "notional")}
    return [raw_events(table, "bands", symbol_of(table.path, options.venue), times, columns)]


def _price_of(path: Path) -> str | None:
    """Which price a file of klines is about, from its name and its folders."""
    places = [part.lower() for part in path.parts]
    return next((price for word, price in _PRICES.items() if any(word in place for place in places)), None)


def _prices(table: Table, options: ImportOptions, now_ms: int) -> list[RawEvents]:
    closes = table.times("close_time", options, now_ms).ms  # the last millisecond of the interval, or its end
    ends = np.where(closes == NO_TIME, NO_TIME, -(-np.where(closes == NO_TIME, 0, closes) // 1_000) * 1_000)
    price = _price_of(table.path)
    columns = {name: table.numbers("close" if name == price else "") for name in ("mark", "index")}
    notes = ("times are the ends of the intervals",)
    return [raw_events(table, "prices", symbol_of(table.path, options.venue), ends, columns, notes=notes)]
