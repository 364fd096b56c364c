"""Tables of bars, as archives and users write them.

1. Columns are recognised by name, in the spellings that exchanges and their users write; a table without a header row
   is taken for Binance klines if it has their twelve columns, else it is not a table of bars.
2. Times become UTC milliseconds, numbers float64. Rows are not validated here: that is the work of the import
   (ingest/validate_bars.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import AmbiguousError
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import Fields, Layout, Table, garbled_rows, is_header, tables, unique
from virtuoso.venues.files.timestamps import NO_TIME, FileTimes
from virtuoso.venues.raw_events import Lines

BARS = "bars"
KLINE_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
"""Columns of a Binance kline file, in order, under the names used here."""

SPELLINGS: dict[str, tuple[str, ...]] = {  # the first that a table carries is taken
    "open_time": (
        *("open_time", "open_time_ms", "opentime", "open_datetime", "open_date", "kline_open_time", "start_time"),
        *("timestamp", "timestamp_ms", "datetime", "date", "time", "unix", "ts", "start", "__index_level_0__"),
    ),
    "close_time": ("close_time", "close_time_ms", "closetime", "close_datetime", "close_date", "end_time"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "quotevolume", "volume_quote", "turnover"),
    "trades": ("trades", "count", "number_of_trades", "num_trades", "n_trades", "trade_count"),
    "taker_buy_volume": (
        "taker_buy_volume",
        "taker_buy_base_asset_volume",
        "taker_buy_base_volume",
        "taker_base_volume",
    ),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume", "taker_quote_volume"),
    "symbol": ("symbol", "pair", "ticker", "instrument"),
    "venue": ("venue", "exchange"),
}
NEEDED = ("open", "high", "low", "close", "volume")
NUMBERS = (*NEEDED, "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def recognise(names: Sequence[str]) -> dict[str, str]:
    """Return the columns of bars among a table's columns: our name to the table's.

    Examples
    --------
    >>> recognise(["Open time", "Open", "Quote asset volume"])
    {'open_time': 'Open time', 'open': 'Open', 'quote_volume': 'Quote asset volume'}
    """
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()), name)
    found = {}
    for meaning, spellings in SPELLINGS.items():
        spelling = next((s for s in spellings if s in plain), None)
        if spelling is not None:
            found[meaning] = plain[spelling]
    return found


def why_no_bars(named: Mapping[str, str], names: Sequence[str]) -> str:
    """Return why a table with these columns does not hold bars; empty if it may."""
    missing = [name for name in NEEDED if name not in named]
    if "open_time" not in named and "close_time" not in named:
        missing.append("the time")
    listed = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:8])
    return f"no column for {', '.join(missing)} among {listed}{', …' if len(names) > 8 else ''}" if missing else ""


@dataclass(frozen=True, slots=True)
class RawBars:
    """Rows of a file, in its order, under our names.

    Attributes
    ----------
    table : Table
    times : FileTimes
        Open times, or close times if `stamped_at_close`.
    stamped_at_close : bool
    span_ms : int or None, ms
        Usual distance from a row's open time to its close time, if the file has both.
    columns : mapping of str to array of float64, shape (n_rows,)
        NaN where the file says nothing, NaN or text.
    garbled : array of bool, shape (n_rows,)
        Rows with text where a number should be.
    symbols : tuple of str, or None
        The symbols it names, as it writes them; None if it has no such column.
    symbol_of_row : array of int, shape (n_rows,)
        Position of each row's symbol among them; -1 where it names none.
    """

    table: Table
    times: FileTimes
    stamped_at_close: bool
    span_ms: int | None
    columns: Mapping[str, NDArray[np.float64]]
    garbled: NDArray[np.bool_]
    symbols: tuple[str, ...] | None
    symbol_of_row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def kind(self) -> str:
        """Return 'bars', as events tell theirs."""
        return BARS

    @property
    def lines(self) -> Lines:
        """Return what of the file was read for them."""
        return self.table.lines

    @property
    def left_out(self) -> int:
        """Return 0, as events tell how many lines make none: a line is a bar."""
        return 0

    @property
    def path(self) -> Path:
        """Return the file that they are from."""
        return self.table.path


def recognises(head: Head) -> bool:
    """Whether it is worth a try: what is no table of bars, `read_bars` says with the reason."""
    return True


def read_bars(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> Iterator[RawBars]:
    """Read a file of bars, part by part.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    now_ms : int, ms
        The present, for the plausible range of times.

    Yields
    ------
    RawBars
        Of a part of the file, all its symbols together.

    Raises
    ------
    UnknownContentError
        The file holds something else.
    UnreadableFileError
        The file is damaged, differs from its checksum or is not what its name says.
    AmbiguousError
        The unit or the zone of its times, or its venue, would have to be guessed.
    """
    venues: set[str] = set()
    for table in tables(path, _layout, "bars"):
        named = recognise(table.names)
        _reject_mixed_venues(table, named, venues)
        yield _raw(table, named, options, now_ms)


def _raw(table: Table, named: Mapping[str, str], options: ImportOptions, now_ms: int) -> RawBars:
    stamped_at_close = "open_time" not in named

    def times_of(meaning: str) -> FileTimes:
        return table.times(named[meaning], options, now_ms)

    times = times_of("close_time" if stamped_at_close else "open_time")
    columns = {meaning: table.numbers(named[meaning]) for meaning in NUMBERS if meaning in named}
    symbols, symbol_of_row = _symbols(table, named)
    return RawBars(
        table=table,
        times=times,
        stamped_at_close=stamped_at_close,
        span_ms=None if stamped_at_close or "close_time" not in named else _span(times, times_of("close_time")),
        columns={meaning: column.values for meaning, column in columns.items()},
        garbled=garbled_rows(columns.values()),
        symbols=symbols,
        symbol_of_row=symbol_of_row,
    )


def _layout(lines: Sequence[Fields]) -> Layout | str:
    fields = lines[0]
    if not is_header(fields) and len(fields) not in (len(KLINE_COLUMNS), len(KLINE_COLUMNS) - 1):
        return f"no header row, and {len(fields)} columns where Binance klines have {len(KLINE_COLUMNS)}"
    names = unique(fields) if is_header(fields) else KLINE_COLUMNS[: len(fields)]
    named = recognise(names)
    wanted = tuple(named.values())
    return why_no_bars(named, names) or Layout(names, header=is_header(fields), renamed=False, wanted=wanted)


def _reject_mixed_venues(table: Table, named: Mapping[str, str], venues: set[str]) -> None:
    """Reject a file of several venues; `venues` are those of its parts so far."""
    if "venue" in named:
        venues |= {str(v) for v in table.data[named["venue"]].unique().to_pylist()}
        if len(venues) > 1:
            raise AmbiguousError(
                f"{table.path} mixes the bars of {len(venues)} venues ({', '.join(sorted(venues)[:5])}). Write one "
                "file a venue."
            )


def _symbols(table: Table, named: Mapping[str, str]) -> tuple[tuple[str, ...] | None, NDArray[np.int64]]:
    """Symbols of the rows: their names, and the position of each row's."""
    if "symbol" not in named:
        return None, np.zeros(len(table), dtype=np.int64)
    symbols, symbol_of_row = table.symbols(named["symbol"])
    return tuple(symbols), symbol_of_row


def _span(opens: FileTimes, closes: FileTimes) -> int:
    """Usual time from a row's open to its close, ms; closes are written as the last ms, us or second, or next open."""
    known = (closes.ms != NO_TIME) & (opens.ms != NO_TIME)
    span = float(np.median(closes.ms[known] - opens.ms[known])) if known.any() else 0.0
    return round(span / 1_000) * 1_000
