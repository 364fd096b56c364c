"""Order books as tables: tardis.dev changes and snapshots, and Binance's archived best quotes.

1. tardis.dev `incremental_book_L2`: a row a level, `is_snapshot` rows make a whole book. No ids, so nothing can be
   checked but the book itself (market/book.py).
2. tardis.dev `book_snapshot_5` and `_25`: a row a book, cut at so many levels. Of several books in the same millisecond
   the last counts.
3. Binance `bookTicker` archives: update id, best bid and ask. Their symbol stands in the file's name.

Times are microseconds or milliseconds; `local_timestamp` is when a row was received.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.venues.files.event_tables import (
    NO_ID,
    SUFFIXES,
    EventTable,
    Names,
    events_by_symbol,
    laid_out,
    open_table,
    symbol_in_name,
)
from virtuoso.venues.files.timestamps import TimeUnit
from virtuoso.venues.raw_events import RawEvents, Times
from virtuoso.venues.streams.buffers import CHANGE, CUT, WHOLE

CHANGES: Names = ("exchange", "symbol", "time", "received", "is_snapshot", "side", "price", "size")
QUOTES: Names = ("id", "bid", "bid_size", "ask", "ask_size", "transacted", "time")
LIMITS = (25, 50, 100, 500, 1_000, 5_000)
"""Levels a side at which the snapshots behind tardis.dev's changes are cut."""
_CHANGES = ["exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"]
_QUOTES = [
    "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time",
]  # fmt: skip
_LEVEL = re.compile(r"(bid|ask)s\[(\d+)\]\.(price|amount)")


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file looks like a table of order books.

    Parameters
    ----------
    path : Path
    head : bytes
        Its first bytes, unpacked.
    """
    return path.name.lower().endswith(SUFFIXES) and laid_out(head, _layout) is not None


def read_books(path: Path, *, now_ms: int, time_unit: TimeUnit = "auto") -> list[RawEvents]:
    """Read a table of order books.

    Parameters
    ----------
    path : Path
    now_ms : int, ms
        The present, for the plausible range of times.
    time_unit : str
        'auto' decides once a file, from the size of its times.

    Returns
    -------
    list of RawEvents
        One a symbol, of kind 'depth' or 'ticker'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum, or holds something else.
    AmbiguousError
        The unit of its times would have to be guessed.
    """
    opened = open_table(path, _layout, "order books")
    sent = opened.times("time", time_unit, now_ms)
    received = opened.times("received", time_unit, now_ms, up=True) if "received" in opened else None
    if "id" in opened:
        return _quotes(opened, sent, path)
    if "is_snapshot" in opened:
        return _changes(opened, sent, received)
    return _snapshots(opened, sent, received)


def _layout(fields: list[str]) -> tuple[Names, bool] | None:
    """Columns under our names; of snapshots, levels keep theirs."""
    names = [field.lower() for field in fields]
    if names == _CHANGES:
        return CHANGES, True
    if names == _QUOTES:
        return QUOTES, True
    if names[:4] == _CHANGES[:4] and len(names) > 4 and all(_LEVEL.fullmatch(name) for name in names[4:]):
        return (*CHANGES[:4], *names[4:]), True
    return None


def _quotes(opened: EventTable, sent: Times, path: Path) -> list[RawEvents]:
    columns: dict[str, NDArray[Any]] = {"id": opened.ids("id")}
    columns |= {name: opened.numbers(name) for name in ("bid", "bid_size", "ask", "ask_size")}
    opened.refuse(np.flatnonzero(opened.garbled), "not_a_number")
    symbols = [symbol_in_name(path, "bookTicker")], np.zeros(len(opened), dtype=np.int64)
    return events_by_symbol(opened, "ticker", sent, columns, symbols, None, (), ~opened.garbled)


def _depth(side: NDArray[np.int8], kind: NDArray[np.int8], price: Any, size: Any) -> dict[str, NDArray[Any]]:
    unsaid = np.full(len(side), NO_ID, dtype=np.int64)
    return {
        "first_id": unsaid, "last_id": unsaid, "prev_id": unsaid, "snapshot": kind, "side": side, "price": price,
        "size": size,
    }  # fmt: skip


def _changes(opened: EventTable, sent: Times, received: Times | None) -> list[RawEvents]:
    side = opened.words("side", {"bid": 1, "ask": -1})
    whole = opened.words("is_snapshot", {"true": 1, "false": 0, "1": 1, "0": 0}) == 1
    price, size = opened.numbers("price"), opened.numbers("size")
    opened.refuse(np.flatnonzero(opened.garbled), "not_a_number")
    symbols, code = opened.symbols("symbol")
    kind = np.full(len(side), CHANGE, dtype=np.int8)
    # rows of one book were received together
    of_book = np.unique(
        np.stack((code, received if received is not None else sent))[:, whole], axis=1, return_inverse=True
    )
    number = of_book[1].ravel()
    levels = [np.bincount(number, side[whole] == one, len(of_book[0][0])) for one in (1, -1)]
    cut = np.isin(levels[0], LIMITS) | np.isin(levels[1], LIMITS)
    kind[whole] = np.where(cut, CUT, WHOLE)[number] if whole.any() else WHOLE
    columns = _depth(side, kind, price, size)
    return events_by_symbol(opened, "depth", sent, columns, (symbols, code), received, (), ~opened.garbled)


def _snapshots(opened: EventTable, sent: Times, received: Times | None) -> list[RawEvents]:
    """One row a book becomes one row a level, the best first, bids before asks."""
    found = [_LEVEL.fullmatch(name) for name in opened.table.column_names]
    places = sorted({(m[1] == "ask", int(m[2]), m[1]) for m in found if m})
    price = np.stack([opened.numbers(f"{side}s[{level}].price") for _, level, side in places], 1)
    size = np.stack([opened.numbers(f"{side}s[{level}].amount") for _, level, side in places], 1)
    opened.refuse(np.flatnonzero(opened.garbled), "not_a_number")
    symbols, code = opened.symbols("symbol")
    arrived = received if received is not None else sent
    again = np.zeros(len(opened), dtype=bool)
    again[:-1] = (arrived[:-1] == arrived[1:]) & (sent[:-1] == sent[1:]) & (code[:-1] == code[1:])
    notes = [f"left out: {int(again.sum()):,} books of the same millisecond as the next"] if again.any() else []
    kept = np.isfinite(price) & np.isfinite(size) & ~(again | opened.garbled)[:, None]
    row, place = np.nonzero(kept)
    side = np.array([-1 if ask else 1 for ask, _, _ in places], dtype=np.int8)[place]
    columns = _depth(side, np.full(len(row), CUT, dtype=np.int8), price[row, place], size[row, place])
    opened.rows = opened.rows[row]
    levels = None if received is None else received[row]
    good = np.ones(len(row), dtype=bool)
    return events_by_symbol(opened, "depth", sent[row], columns, (symbols, code[row]), levels, notes, good)
