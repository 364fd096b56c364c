"""Files of liquidations: forced orders, as far as a venue publishes them.

1. Lines that recorders wrote from Binance's `!forceOrder@arr` stream, without a header row: symbol, side, order type,
   time in force, quantity, price, average price, status, last filled, all filled, trade time, notional. The symbol has
   mostly lost its USDT; one that ends in another quote currency is whole.
2. Binance's `liquidationSnapshot` archives; the symbol stands in the file's name.
3. tardis.dev `liquidations`, distinguished from their `trades` by the file's name.

Side is the order's: SELL closed a long, so a long was liquidated. The price is the average at which it was filled, the
size all that was filled: what changed hands, not the bankruptcy price that the order carried. Orders that were not
filled whole are rejected: their next message would count the same contracts again. Two recorders may have written one
file, unsorted and everything twice; validation (ingest/validate_events.py) puts it in order and keeps each event once.

All of it is a sample: Binance publishes at most one liquidation a second and symbol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    Fields,
    Layout,
    Symbols,
    Table,
    events_by_symbol,
    first_lines,
    garbled_rows,
    of_first_lines,
    tables,
)
from virtuoso.venues.naming import symbol_of
from virtuoso.venues.raw_events import RawEvents

RECORDED = (
    *("symbol", "side", "type", "in_force", "quantity", "order_price", "price", "status", "last", "size"),
    *("time", "notional"),
)
ARCHIVE = ("time", "side", "type", "in_force", "quantity", "order_price", "price", "status", "last", "size")
VENDOR = ("exchange", "symbol", "time", "received", "id", "side", "price", "size")
HEADERS: dict[tuple[str, ...], tuple[str, ...]] = {
    (
        *("time", "side", "order_type", "time_in_force", "original_quantity", "price", "average_price"),
        *("order_status", "last_fill_quantity", "accumulated_fill_quantity"),
    ): ARCHIVE,
    ("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"): VENDOR,
}
QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "USD")
"""Currencies in which a recorded symbol may end; without one of them it is in USDT."""

_SIDES = {"buy": 1, "sell": -1}
_FILLED = {"filled": 1, "new": 2, "partially_filled": 2, "canceled": 2, "expired": 2}
_LINE = re.compile(r"[A-Z0-9_]+,(BUY|SELL),[A-Z_]+,[A-Z]+,[\d.]+,[\d.]+,[\d.]+,[A-Z_]+,[\d.]+,[\d.]+,\d{13},[\d.]+")


def recognises(head: Head) -> bool:
    """Whether a file looks like a table of liquidations."""
    lines = first_lines(head)
    found = _layout(lines) if lines else ""
    return isinstance(found, Layout) and (found.names != VENDOR or "liquidation" in head.path.name.lower())


def read_liquidations(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> Iterator[RawEvents]:
    """Read a file of liquidations, part by part.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    now_ms : int, ms
        The present, for the plausible range of times.

    Yields
    ------
    RawEvents
        One a symbol of each part, of kind 'liquidations'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum or holds something else.
    AmbiguousError
        The unit or the zone of its times would have to be guessed.
    """
    for table in tables(path, _layout, "liquidations"):
        yield from _liquidations(table, options, now_ms)


def _liquidations(table: Table, options: ImportOptions, now_ms: int) -> list[RawEvents]:
    received = table.times("received", options, now_ms).ms_up if "received" in table else None
    columns = {
        "side": table.words("side", _SIDES),
        "price": table.numbers("price"),
        "size": table.numbers("size"),
    }
    times = table.times("time", options, now_ms).ms
    symbols, notes = _symbols(table, options)
    garbled = garbled_rows(columns.values())
    rejected, good = table.rejected(garbled, "not_a_number"), ~garbled
    if "status" in table:
        partial = good & (table.words("status", _FILLED).values != 1)
        rejected += table.rejected(partial, "not_filled")
        good &= ~partial
    return events_by_symbol(
        table,
        "liquidations",
        table.rows,
        times,
        {name: column.values for name, column in columns.items()},
        symbols,
        good,
        rejected=rejected,
        venue=options.venue,
        received_at=received,
        notes=notes,
    )


def _layout(lines: Sequence[Fields]) -> Layout | str:
    return of_first_lines(lines, _layout_of)


def _layout_of(fields: Fields) -> Layout | None:
    header = HEADERS.get(tuple(field.lower() for field in fields))
    if header is not None:
        return Layout(header, header=True)
    return Layout(RECORDED, header=False) if _LINE.fullmatch(",".join(fields)) else None


def _symbols(table: Table, options: ImportOptions) -> tuple[Symbols, list[str]]:
    """Symbols of the rows with their quote currency, and a note where it was added."""
    if "symbol" not in table:
        symbol = symbol_of(table.path, options.venue)
        return ([symbol], np.zeros(len(table), dtype=np.int64)), []
    written, code = table.symbols("symbol")
    if "notional" not in table:
        return (written, code), ["a sample: what the venue publishes"]
    whole = [name if _ends_in_quote(name) else f"{name}USDT" for name in written]
    added = sum(a != b for a, b in zip(written, whole, strict=True))
    return (whole, code), [f"{added} of {len(written)} symbols were written without USDT"] if added else []


def _ends_in_quote(symbol: str) -> bool:
    return any(symbol.endswith(quote) and symbol != quote for quote in QUOTES)
