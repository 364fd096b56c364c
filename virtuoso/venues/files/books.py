"""Order books as tables: tardis.dev changes and snapshots, and Binance's archived best quotes.

1. tardis.dev `incremental_book_L2`: a row a level, `is_snapshot` rows make a whole book. No ids, so nothing can be
   checked but the book itself (market/features/book/).
2. tardis.dev `book_snapshot_5` and `_25`: a row a book, cut at so many levels. Of several books in the same millisecond
   the last counts.
3. Binance `bookTicker` archives: update id, best bid and ask. Their symbol stands in the file's name.

Times are microseconds or milliseconds; `local_timestamp` is when a row was received.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.types import Times
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    NO_ID,
    Fields,
    Layout,
    Table,
    events_by_symbol,
    first_lines,
    garbled_rows,
    in_whole_groups,
    of_first_lines,
    tables,
    without_garbled,
)
from virtuoso.venues.naming import symbol_of
from virtuoso.venues.raw_events import CHANGE, CUT, WHOLE, Counted, RawEvents

CHANGES = ("exchange", "symbol", "time", "received", "is_snapshot", "side", "price", "size")
QUOTES = ("id", "bid", "bid_size", "ask", "ask_size", "transacted", "time")
LIMITS = (25, 50, 100, 500, 1_000, 5_000)
"""Levels a side at which the snapshots behind tardis.dev's changes are cut."""
_CHANGES = ["exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"]
_QUOTES = [
    "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time",
]  # fmt: skip
_LEVEL = re.compile(r"(bid|ask)s\[(\d+)\]\.(price|amount)")


def recognises(head: Head) -> bool:
    """Whether a file looks like a table of order books."""
    lines = first_lines(head)
    return bool(lines) and isinstance(_layout(lines), Layout)


def read_books(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> Iterator[RawEvents]:
    """Read a table of order books, part by part.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    now_ms : int, ms
        The present, for the plausible range of times.

    Yields
    ------
    RawEvents
        One a symbol of each part, of kind 'depth' or 'ticker'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum, or holds something else.
    AmbiguousError
        The unit of its times would have to be guessed.
    """
    for table in in_whole_groups(tables(path, _layout, "order books"), _last_book):
        yield from _books(table, options, now_ms)


def _last_book(table: Table) -> int:
    """Position of the first row that was received with the last one: a book, or its next rows, may go on after it."""
    if "id" in table:
        return len(table)  # quotes are a row each
    stamps = table.data["received" if "received" in table else "time"].to_numpy()
    earlier = np.flatnonzero(stamps != stamps[-1])
    return int(earlier[-1]) + 1 if len(earlier) else 0


def _books(table: Table, options: ImportOptions, now_ms: int) -> list[RawEvents]:
    sent = table.times("time", options, now_ms).ms
    received = table.times("received", options, now_ms).ms_up if "received" in table else None
    if "id" in table:
        return _quotes(table, sent, options.venue)
    if "is_snapshot" in table:
        return _changes(table, sent, received, options.venue)
    return _snapshots(table, sent, received, options.venue)


def _layout(lines: Sequence[Fields]) -> Layout | str:
    return of_first_lines(lines, _layout_of)


def _layout_of(fields: Fields) -> Layout | None:
    """Columns under our names; of snapshots, levels keep theirs."""
    names = [field.lower() for field in fields]
    if names == _CHANGES:
        return Layout(CHANGES, header=True)
    if names == _QUOTES:
        return Layout(QUOTES, header=True)
    if names[:4] == _CHANGES[:4] and len(names) > 4 and all(_LEVEL.fullmatch(name) for name in names[4:]):
        return Layout((*CHANGES[:4], *names[4:]), header=True)
    return None


def _quotes(table: Table, sent: Times, venue: str) -> list[RawEvents]:
    columns = {"id": table.ids("id")}
    columns |= {name: table.numbers(name) for name in ("bid", "bid_size", "ask", "ask_size")}
    good, rejected = without_garbled(table, columns)
    return events_by_symbol(
        table,
        "ticker",
        table.rows,
        sent,
        {name: column.values for name, column in columns.items()},
        ([symbol_of(table.path, venue)], np.zeros(len(table), dtype=np.int64)),
        good,
        rejected=rejected,
        venue=venue,
    )


def _depth(side: NDArray[np.int8], kind: NDArray[np.int8], price: Any, size: Any) -> dict[str, NDArray[Any]]:
    unsaid = np.full(len(side), NO_ID, dtype=np.int64)
    return {
        "first_id": unsaid, "last_id": unsaid, "prev_id": unsaid, "snapshot": kind, "side": side, "price": price,
        "size": size,
    }  # fmt: skip


def _changes(table: Table, sent: Times, received: Times | None, venue: str) -> list[RawEvents]:
    sides = table.words("side", {"bid": 1, "ask": -1})
    snapshot = table.words("is_snapshot", {"true": 1, "false": 0, "1": 1, "0": 0})
    price, size = table.numbers("price"), table.numbers("size")
    garbled = garbled_rows((sides, snapshot, price, size))
    side, whole = sides.values, snapshot.values == 1
    symbols, code = table.symbols("symbol")
    kind = np.full(len(side), CHANGE, dtype=np.int8)
    # rows of one book were received together
    of_book = np.unique(
        np.stack((code, received if received is not None else sent))[:, whole], axis=1, return_inverse=True
    )
    number = of_book[1].ravel()
    levels = [np.bincount(number, side[whole] == one, len(of_book[0][0])) for one in (1, -1)]
    cut = np.isin(levels[0], LIMITS) | np.isin(levels[1], LIMITS)
    kind[whole] = np.where(cut, CUT, WHOLE)[number] if whole.any() else WHOLE
    return events_by_symbol(
        table,
        "depth",
        table.rows,
        sent,
        _depth(side, kind, price.values, size.values),
        (symbols, code),
        ~garbled,
        rejected=table.rejected(garbled, "not_a_number"),
        venue=venue,
        received_at=received,
    )


def _snapshots(table: Table, sent: Times, received: Times | None, venue: str) -> list[RawEvents]:
    """One row a book becomes one row a level, the best first, bids before asks."""
    found = [_LEVEL.fullmatch(name) for name in table.names]
    places = sorted({(m[1] == "ask", int(m[2]), m[1]) for m in found if m})
    prices = [table.numbers(f"{side}s[{level}].price") for _, level, side in places]
    sizes = [table.numbers(f"{side}s[{level}].amount") for _, level, side in places]
    price, size = (np.stack([column.values for column in columns], 1) for columns in (prices, sizes))
    garbled = garbled_rows((*prices, *sizes))
    symbols, code = table.symbols("symbol")
    arrived = received if received is not None else sent
    again = np.zeros(len(table), dtype=bool)
    again[:-1] = (arrived[:-1] == arrived[1:]) & (sent[:-1] == sent[1:]) & (code[:-1] == code[1:])
    many = int(again.sum())
    notes = [Counted("left out: {n} books of the same millisecond as the next", many)] if many else []
    kept = np.isfinite(price) & np.isfinite(size) & ~(again | garbled)[:, None]
    row, place = np.nonzero(kept)
    side = np.array([-1 if ask else 1 for ask, _, _ in places], dtype=np.int8)[place]
    return events_by_symbol(
        table,
        "depth",
        table.rows[row],
        sent[row],
        _depth(side, np.full(len(row), CUT, dtype=np.int8), price[row, place], size[row, place]),
        (symbols, code[row]),
        np.ones(len(row), dtype=bool),
        rejected=table.rejected(garbled, "not_a_number"),
        venue=venue,
        received_at=None if received is None else received[row],
        notes=notes,
    )
