"""Files about derivatives: open interest, ratios, depth bands, mark and index prices, funding (funding.py).

1. Binance `metrics`: open interest and ratios every five minutes. Measured on recorded bars: a row stamped T is about
   the bar that closes at T. Times are UTC, now and then some seconds off the grid, and are kept as they are.
2. Binance `bookDepth`: depth within a percentage of the middle price, UTC.
3. Binance `markPriceKlines` and `indexPriceKlines`: told from klines of trades by their folder or name alone, since
   the files look the same. A price is known at the end of its interval.
4. Answers of Binance's REST endpoints (venues/rest/payloads.py).

Coinalyze's daily table is not read: its funding rates are predictions at the end of days, its liquidations sums of days
and its open interest a composite, up to 1.3 % off the venue's own (measured on 180 days), which would contradict it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.errors import UnreadableFileError
from virtuoso.venues.files import funding
from virtuoso.venues.files.file_io import looks_like_a_table
from virtuoso.venues.files.headers import KLINE_COLUMNS
from virtuoso.venues.files.table import Asked, Table, open_table, peek, raw_events, symbol_in_name
from virtuoso.venues.files.timestamps import NO_TIME, TimeUnit
from virtuoso.venues.raw_events import RawEvents
from virtuoso.venues.rest import payloads

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


def recognises(path: Path, head: bytes) -> bool:
    """Whether `read_derivatives` can read a file.

    Parameters
    ----------
    path : Path
    head : bytes
        The first bytes of the file, as they lie there.
    """
    if payloads.recognises(path, head):
        return True
    if _price_of(path) is not None and looks_like_a_table(path):
        return True
    names = set(peek(path, head))
    return any(wanted <= names for wanted in (_METRICS, _BANDS)) or funding.has_funding(names)


def read_derivatives(
    path: Path,
    *,
    now_ms: int,
    venue: str | None = None,
    symbol: str | None = None,
    time_zone: str | None = None,
    time_unit: TimeUnit = "auto",
) -> list[RawEvents]:
    """Read a file about derivatives.

    Parameters
    ----------
    path : Path
    now_ms : int, ms
        The present, for the plausible range of times.
    venue, symbol : str, optional
        Whose rows are wanted, where a file mixes several venues or markets or does not say.
    time_zone : str, optional
        Of times that carry none.
    time_unit : str
        Of numeric times; 'auto' decides once a file.

    Returns
    -------
    list of RawEvents
        One for each kind and symbol.

    Raises
    ------
    UnreadableFileError
        The file is damaged, or is none of those named above.
    AmbiguousError
        The zone of its times, its venue or its symbol would have to be guessed.
    """
    asked = Asked(now_ms, venue, symbol, time_zone, time_unit)
    if payloads.is_payload(path):
        return payloads.read_payloads(path, asked)
    if _price_of(path) is not None:
        return _prices(open_table(path, KLINE_COLUMNS), asked)
    table = open_table(path)
    names = set(table.columns)
    if names >= _METRICS:
        return _metrics(table, asked)
    if names >= _BANDS:
        return _bands(table, asked)
    if funding.has_funding(names):
        return funding.read_funding(table, asked)
    raise UnreadableFileError(
        f"{path} holds neither metrics, funding rates, depth bands nor mark or index prices; its columns are "
        f"{', '.join(sorted(names)[:8])}."
    )


def _metrics(table: Table, asked: Asked) -> list[RawEvents]:
    times = table.times("create_time", asked, zone="UTC").ms
    found: list[RawEvents] = []
    for symbol, rows in table.symbols("symbol").items():
        notes = ("times are the ends of the intervals they describe", *_short_days(times[rows]))
        for kind, names in METRICS.items():
            columns = {name: table.numbers(spelled) for name, spelled in names.items()}
            found.append(raw_events(table, kind, symbol, times, columns, rows, notes, first=not found))
    return found


def _short_days(times: NDArray[np.int64]) -> list[str]:
    """Say which days miss more than a tenth of their rows."""
    known = times[times != NO_TIME]
    if len(known) == 0:
        return []
    ends = known.min() % UNIT_MS["d"] != 0  # the era of files that run from 00:05 to midnight
    days, counts = np.unique((known - int(ends)) // UNIT_MS["d"], return_counts=True)
    short = [(day, count) for day, count in zip(days, counts, strict=True) if count < 0.9 * _ROWS_A_DAY]
    named = [f"{np.datetime64(int(day), 'D')} has {count} of {_ROWS_A_DAY} rows" for day, count in short[:3]]
    return [", ".join(named) + (f", and {len(short) - 3} days more" if len(short) > 3 else "")] if short else []


def _bands(table: Table, asked: Asked) -> list[RawEvents]:
    times = table.times("timestamp", asked, zone="UTC").ms
    columns = {name: table.numbers(name) for name in ("percentage", "depth", "notional")}
    return [raw_events(table, "bands", symbol_in_name(table.path), times, columns)]


def _price_of(path: Path) -> str | None:
    """Which price a file of klines is about, from its name and its folders."""
    places = [part.lower() for part in path.parts]
    return next((price for word, price in _PRICES.items() if any(word in place for place in places)), None)


def _prices(table: Table, asked: Asked) -> list[RawEvents]:
    closes = table.times("close_time", asked).ms  # the last millisecond of the interval, or its end
    ends = np.where(closes == NO_TIME, NO_TIME, -(-np.where(closes == NO_TIME, 0, closes) // 1_000) * 1_000)
    price = _price_of(table.path)
    columns = {name: table.numbers("close" if name == price else "") for name in ("mark", "index")}
    notes = ("times are the ends of the intervals",)
    return [raw_events(table, "prices", symbol_in_name(table.path), ends, columns, notes=notes)]
