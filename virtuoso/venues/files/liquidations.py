"""Files of liquidations: forced orders, as far as a venue publishes them.

1. Lines that recorders wrote from Binance's `!forceOrder@arr` stream, without a header row: symbol, side, order type,
   time in force, quantity, price, average price, status, last filled, all filled, trade time, notional. The symbol has
   mostly lost its USDT; one that ends in another quote currency is whole.
2. Binance's `liquidationSnapshot` archives; the symbol stands in the file's name.
3. tardis.dev `liquidations`, told from their `trades` by the file's name.

Side is the order's: SELL closed a long, so a long was liquidated. The price is the average at which it was filled, the
size all that was filled: what changed hands, not the bankruptcy price that the order carried. Orders that were not
filled whole are refused: their next message would count the same contracts again. Two recorders may have written one
file, unsorted and everything twice; the border (market/event_quality.py) puts it in order and keeps each event once.

All of it is a sample: Binance publishes at most one liquidation a second and symbol.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.venues.files.event_tables import (
    SUFFIXES,
    EventTable,
    Names,
    events_by_symbol,
    laid_out,
    open_table,
    symbol_in_name,
)
from virtuoso.venues.files.timestamps import TimeUnit
from virtuoso.venues.raw_events import RawEvents

RECORDED = (
    *("symbol", "side", "type", "in_force", "quantity", "order_price", "price", "status", "last", "size"),
    *("time", "notional"),
)
ARCHIVE = ("time", "side", "type", "in_force", "quantity", "order_price", "price", "status", "last", "size")
VENDOR = ("exchange", "symbol", "time", "received", "id", "side", "price", "size")
HEADERS: dict[Names, Names] = {
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


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file looks like a table of liquidations.

    Parameters
    ----------
    path : Path
    head : bytes
        Its first bytes, unpacked.
    """
    found = laid_out(head, _layout)
    named = found is not None and (found[0] != VENDOR or "liquidation" in path.name.lower())
    return path.name.lower().endswith(SUFFIXES) and named


def read_liquidations(
    path: Path, *, now_ms: int, time_unit: TimeUnit = "auto", kind: str | None = None
) -> list[RawEvents]:
    """Read a file of liquidations.

    Parameters
    ----------
    path : Path
    now_ms : int, ms
        The present, for the plausible range of times.
    time_unit : str
        'auto' decides once a file, from the size of its times.
    kind : str, optional
        'liquidations' if the user says so; nothing depends on it here.

    Returns
    -------
    list of RawEvents
        One a symbol, of kind 'liquidations'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum or holds something else.
    AmbiguousError
        The unit or the zone of its times would have to be guessed.
    """
    opened = open_table(path, _layout, "liquidations")
    received = opened.times("received", time_unit, now_ms, up=True) if "received" in opened else None
    columns: dict[str, NDArray[Any]] = {
        "side": opened.words("side", _SIDES),
        "price": opened.numbers("price"),
        "size": opened.numbers("size"),
    }
    times = opened.times("time", time_unit, now_ms)
    symbols, notes = _symbols(opened)
    opened.refuse(np.flatnonzero(opened.garbled), "not_a_number")
    good = ~opened.garbled
    if "status" in opened:
        partial = good & (opened.words("status", _FILLED) != 1)
        opened.refuse(np.flatnonzero(partial), "not_filled")
        good &= ~partial
    return events_by_symbol(opened, "liquidations", times, columns, symbols, received, notes, good)


def _layout(fields: list[str]) -> tuple[Names, bool] | None:
    header = HEADERS.get(tuple(field.lower() for field in fields))
    if header is not None:
        return header, True
    return (RECORDED, False) if _LINE.fullmatch(",".join(fields)) else None


def _symbols(opened: EventTable) -> tuple[tuple[list[str | None], NDArray[np.int64]], list[str]]:
    """Symbols of the rows with their quote currency, and a note where it was added."""
    if "symbol" not in opened:
        symbol = symbol_in_name(opened.path, "liquidationSnapshot")
        return ([symbol], np.zeros(len(opened), dtype=np.int64)), []
    written, code = opened.symbols("symbol")
    if "notional" not in opened:
        return (list(written), code), ["a sample: what the venue publishes"]
    whole = [name if _ends_in_quote(name) else f"{name}USDT" for name in written]
    added = sum(a != b for a, b in zip(written, whole, strict=True))
    return (list(whole), code), [f"{added} of {len(written)} symbols were written without USDT"] if added else []


def _ends_in_quote(symbol: str) -> bool:
    return any(symbol.endswith(quote) and symbol != quote for quote in QUOTES)
