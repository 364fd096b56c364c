"""Tables of bars, as archives and users write them.

1. Columns are recognised by name, in the spellings that exchanges and their users write (bar_columns.py); a table
   without a header row by the form of its rows (bar_layouts.py).
2. Times become UTC milliseconds, numbers float64. Rows are not validated here: that is the work of the import
   (ingest/validate_bars.py).
3. Volume that the source does not tell in coins is NaN, not known: where it is in quote currency alone, where ticks are
   counted, and where the caller says that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.markets import EXCHANGES
from virtuoso.errors import AmbiguousError
from virtuoso.types import Array, Mask
from virtuoso.venues.files.bar_columns import CLOCK, NUMBERS, PRICES, TICKS, recognise
from virtuoso.venues.files.bar_layouts import Shape, layout_of, named_columns, shape_of
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    Column,
    Fields,
    Layout,
    Table,
    first_lines,
    garbled_rows,
    plain_name,
    tables,
    trimmed,
    without_symbol,
)
from virtuoso.venues.files.timestamps import NO_TIME, FileTimes
from virtuoso.venues.naming import is_other_exchange
from virtuoso.venues.raw_events import Lines

BARS = "bars"
_OPEN = -1
_CLOSED = {"1": 1, "true": 1, "1.0": 1, "yes": 1, "0": _OPEN, "false": _OPEN, "0.0": _OPEN, "no": _OPEN}


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
    garbled, forming, no_volume : array of bool, shape (n_rows,)
        Rows with text where a number should be, rows that the source says had not closed, and those of which it is
        known that no volume is known.
    symbols : tuple of str, or None
        The symbols it names, as it writes them; None if it has no such column.
    symbol_of_row : array of int, shape (n_rows,)
        Position of each row's symbol among them; -1 where it names none.
    notes : tuple of str
        What is worth knowing of how they were read.
    """

    table: Table
    times: FileTimes
    stamped_at_close: bool
    span_ms: int | None
    columns: Mapping[str, NDArray[np.float64]]
    garbled: Mask
    forming: Mask
    no_volume: Mask
    symbols: tuple[str, ...] | None
    symbol_of_row: NDArray[np.int64]
    notes: tuple[str, ...] = ()

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


def names_prices(head: Head) -> bool:
    """Whether the header of a file names the prices of bars."""
    lines = first_lines(head)
    return bool(lines) and set(PRICES) <= recognise(lines[0]).keys()


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
    shapes: list[Shape] = []

    def layout(lines: Sequence[Fields]) -> Layout | str:
        shapes.append(shape_of(lines, path))
        return layout_of(lines, path, options)

    for table in tables(path, layout, "bars"):
        named = named_columns(table.names, path, options)
        _reject_other_venues(table, named, venues, options)
        yield _raw(table, named, shapes[-1], options, now_ms)


def _raw(table: Table, named: Mapping[str, str], shape: Shape, options: ImportOptions, now_ms: int) -> RawBars:
    stamped_at_close = "open_time" not in named

    def times_of(meaning: str) -> FileTimes:
        return table.times(named[meaning], options, now_ms, None if options.time_zone else shape.zone)

    times = _day_and_clock(table, named, shape, options, now_ms) or times_of(
        "close_time" if stamped_at_close else "open_time"
    )
    numbers = {meaning: table.numbers(named[meaning]) for meaning in NUMBERS if meaning in named}
    closed = _closed(table, named)
    columns, no_volume, notes = _volumes(table, {name: c.values for name, c in numbers.items()}, shape, options)
    symbols, symbol_of_row = _symbols(table, named, shape)
    return RawBars(
        table=table,
        times=times,
        stamped_at_close=stamped_at_close,
        span_ms=None if stamped_at_close or "close_time" not in named else _span(times, times_of("close_time")),
        columns=columns,
        garbled=garbled_rows([*numbers.values(), *([closed] if closed else [])]),
        forming=np.zeros(len(table), dtype=bool) if closed is None else closed.values == _OPEN,
        no_volume=no_volume,
        symbols=symbols,
        symbol_of_row=symbol_of_row,
        notes=(*notes, *(without_symbol(table, symbol_of_row) if symbols is not None else ())),
    )


def _closed(table: Table, named: Mapping[str, str]) -> Column | None:
    """Which bars had closed, as far as a column of that name says so; None if it is about something else."""
    import pyarrow as pa

    name = named.get("closed")
    if name is None or pa.types.is_nested(table.data[name].type):
        return None
    said = table.words(name, _CLOSED)
    return None if 2 * said.garbled.sum() > len(table) else said


def _day_and_clock(
    table: Table, named: Mapping[str, str], shape: Shape, options: ImportOptions, now_ms: int
) -> FileTimes | None:
    """Times of a column of days and one of clocks beside it, as MetaTrader writes them; None if there are no two."""
    import pyarrow.compute as pc

    clock = next((name for name in table.names if plain_name(name) == CLOCK), None)
    day = named.get("open_time")
    if clock is None or day is None or clock == day or plain_name(day) != "date":
        return None
    said = trimmed(table.data[clock])
    if not pc.any(pc.match_substring_regex(said, r"^\d{1,2}:\d{2}")).as_py():
        return None
    both = pc.binary_join_element_wise(trimmed(table.data[day]), said, " ")
    return table.times_of(both, f"{day} {clock}", options, now_ms, options.time_zone or shape.zone)


def _volumes(
    table: Table, columns: dict[str, Array], shape: Shape, options: ImportOptions
) -> tuple[dict[str, Array], Mask, tuple[str, ...]]:
    """Columns of bars with volume in coins, or NaN where that is not known: the rows, and why."""
    nothing = np.full(len(table), np.nan)
    if options.no_volume:
        prices = {name: columns[name] for name in PRICES}
        return {**prices, "volume": nothing}, np.ones(len(table), dtype=bool), ("without volume, as was asked",)
    if shape.quote_alone and "volume" in columns and "quote_volume" not in columns:
        columns["quote_volume"] = columns.pop("volume")
    ticks = next((table.numbers(name).values for name in table.names if plain_name(name) in TICKS), None)
    if "volume" not in columns:
        counted = "in quote currency" if ticks is None else "in ticks"
        said = f"the volume is counted {counted} alone; in coins it is not known"
        return {**columns, "volume": nothing}, np.ones(len(table), dtype=bool), (said,)
    if ticks is None:
        return columns, np.zeros(len(table), dtype=bool), ()
    only_ticks = (columns["volume"] == 0) & (ticks > 0)
    columns["volume"] = np.where(only_ticks, np.nan, columns["volume"])
    notes = ("the volume is counted in ticks alone; in coins it is not known",) if only_ticks.any() else ()
    return columns, only_ticks, notes


def _reject_other_venues(table: Table, named: Mapping[str, str], venues: set[str], options: ImportOptions) -> None:
    """Reject a file of several venues, or of another exchange; `venues` are those of its parts so far."""
    if "venue" not in named:
        return
    venues |= {str(v) for v in table.data[named["venue"]].unique().to_pylist()}
    if len(venues) > 1:
        raise AmbiguousError(
            f"{table.path} mixes the bars of {len(venues)} venues ({', '.join(sorted(venues)[:5])}). Write one file a "
            "venue."
        )
    exchange = re.split(r"[^a-z0-9]", next(iter(venues)).lower())[0]
    if options.venue and exchange in EXCHANGES and is_other_exchange(exchange, options.venue):
        raise AmbiguousError(
            f"{table.path.name} says that its bars are of {exchange}, not of {options.venue}. Pass the right --venue."
        )


def _symbols(table: Table, named: Mapping[str, str], shape: Shape) -> tuple[tuple[str, ...] | None, NDArray[np.int64]]:
    """Symbols of the rows: their names, and the position of each row's."""
    if "symbol" not in named:
        return (shape.symbol,) if shape.symbol else None, np.zeros(len(table), dtype=np.int64)
    symbols, symbol_of_row = table.symbols(named["symbol"])
    return tuple(symbols), symbol_of_row


def _span(opens: FileTimes, closes: FileTimes) -> int:
    """Usual time from a row's open to its close, ms; closes are written as the last ms, us or second, or next open."""
    known = (closes.ms != NO_TIME) & (opens.ms != NO_TIME)
    span = float(np.median(closes.ms[known] - opens.ms[known])) if known.any() else 0.0
    return round(span / 1_000) * 1_000
