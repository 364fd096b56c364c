"""Files of trades as exchanges, recorders and data vendors publish them.

1. Binance `aggTrades` and `trades` archives, spot and futures, with and without a header row, in milliseconds or
   microseconds. Their symbol stands in the file's name. `is_buyer_maker` says that the taker sold.
2. tardis.dev `trades`: microseconds, side is the taker's, `local_timestamp` is when the trade was received. Their
   `liquidations` have the same columns, so that the file's name decides.
3. Tables with a header row that names price, size, time and side in the usual words, such as Bybit's. Further columns
   are passed over only if their names are known to say nothing else about the trade: in a table of orders or of one's
   own fills they would.
4. Recordings of Binance's aggTrade stream as lines of `recv_ms, symbol, agg_trade_id, price, qty, trade_ms,
   is_buyer_maker`. Where a wall clock without a day stands for `trade_ms`, the row is rejected: when the trade happened
   is not known, and the moment of receipt is something else.

A file may hold a *selection* of a stream, such as trades above 15,000 USD. Read as if it were all of them it would
give wrong volumes, counts and bars, without a trace. Binance numbers its trades without gaps, so a selection shows:
most steps between ids are longer than one. It is rejected unless the user says that it is to be taken for trades.

A size is in coins. Where a column of the value says otherwise, and where OKX counts contracts of a swap, the file is
refused. Ids that are no numbers, as Bybit's, are told apart by a digest of 62 bits, so that two equal trades in one
millisecond stay two.

An aggregated row says how many single trades it stands for through its first and last id (`count`); where a source says
neither, `count` is NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import markets
from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.types import Times
from virtuoso.venues.files.bar_columns import PRICES, recognise
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import AUTO, DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    Column,
    Fields,
    Layout,
    Table,
    events_by_symbol,
    first_lines,
    of_first_lines,
    tables,
    trimmed,
    without_garbled,
)
from virtuoso.venues.files.timestamps import NUMBER_TEXT
from virtuoso.venues.naming import symbol_of
from virtuoso.venues.raw_events import Counted, RawEvents

AGGREGATED = ("id", "price", "size", "first", "last", "time", "maker", "best")
SINGLE = ("id", "price", "size", "quote", "time", "maker", "best")
RECORDED = ("received", "symbol", "id", "price", "size", "time", "maker")
HEADERLESS: dict[str, tuple[str, ...]] = {
    "nnnnnnbb": AGGREGATED, "nnnnnnb": AGGREGATED[:7], "nnnnnbb": SINGLE, "nnnnnb": SINGLE[:6],
    "nwnnnnb": RECORDED, "nwnnnwb": RECORDED,
}  # fmt: skip
"""Columns by what the fields of a line look like: n a number, b a boolean, w a word."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "id": ("id", "agg_trade_id", "aggtradeid", "trade_id", "tradeid", "trdmatchid", "exec_id", "execid", "a"),
    "price": ("price", "p"),
    "size": ("size", "qty", "quantity", "amount", "q", "volume", "vol"),
    "time": ("time", "timestamp", "transact_time", "trade_time", "event_time", "created_time", "created_at", "t", "ts"),
    "maker": ("is_buyer_maker", "isbuyermaker", "m"),
    "side": ("side", "taker_side", "aggressor"),
    "first": ("first_trade_id", "firsttradeid", "f"),
    "last": ("last_trade_id", "lasttradeid", "l"),
    "quote": ("quote_qty", "quoteqty", "quote_quantity"),
    "value": ("foreignnotional", "quote_volume", "cost"),
    "best": ("is_best_match", "isbestmatch", "was_the_trade_the_best_price_match"),
    "received": ("local_timestamp", "received_at", "recv_ms"),
    "symbol": ("symbol", "instrument_name", "instid", "inst_id", "pair", "product_id"),
    "exchange": ("exchange", "venue"),
}
PASSED_OVER = (
    *("tickdirection", "tick_direction", "grossvalue", "homenotional", "rpi", "is_block_trade", "isblocktrade"),
    *("date", "datetime", "iso_time", ""),
)
"""Columns that say nothing further about a trade."""
_OFF = 0.01  # of price times size; sizes in contracts are off by far more
_FEW = 3
_ID_BITS = 62
_UUID = r"^[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}$"
_MEANING = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
_SIDES = {"buy": 1, "b": 1, "sell": -1, "s": -1, "unknown": 0}
_MAKERS = {"true": -1, "false": 1, "1": -1, "0": 1}


def recognises(head: Head) -> bool:
    """Whether a file looks like a table of trades."""
    lines = first_lines(head)
    return bool(lines) and "liquidation" not in head.path.name.lower() and isinstance(_layout(lines), Layout)


def read_trades(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> Iterator[RawEvents]:
    """Read a file of trades, part by part.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        If its kind is 'trades', a selection of trades is read as well.
    now_ms : int, ms
        The present, for the plausible range of times.

    Yields
    ------
    RawEvents
        One a symbol of each part, of kind 'trades'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum, holds something else, or a selection of trades only.
    AmbiguousError
        The unit or the zone of its times, or what it holds, would have to be guessed.
    """
    selection = _Selection()
    for table in tables(path, _layout, "trades"):
        if "exchange" in table and "received" in table and options.kind == AUTO and "trade" not in path.name.lower():
            raise AmbiguousError(
                f"{path} may hold trades or liquidations: vendors give both the same columns. Name the file "
                "EXCHANGE_trades_DATE_SYMBOL.csv.gz, or say which with --kind."
            )
        yield from _trades(table, options, now_ms, selection)


def _trades(table: Table, options: ImportOptions, now_ms: int, selection: _Selection) -> list[RawEvents]:
    times = table.times("time", options, now_ms).ms
    received = table.times("received", options, now_ms).ms_up if "received" in table else None
    columns, notes = _columns(table)
    symbols = (
        table.symbols("symbol")
        if "symbol" in table
        else ([symbol_of(table.path, options.venue)], np.zeros(len(table), np.int64))
    )
    if "maker" in table and selection.see(columns["id"].values, symbols[1]):
        if options.kind == AUTO:
            raise UnreadableFileError(
                f"{table.path} holds a selection of trades: most of its ids do not follow each other. Folded as all of "
                "them they would give wrong volumes. Pass --kind trades if that is what you want."
            )
        notes.append("a selection of trades: volumes, counts and bars made of it are too small")
    good, rejected = without_garbled(table, columns)
    found = events_by_symbol(
        table,
        "trades",
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
    _reject_other_units(table, columns, options)  # a contract is refused by its name before its sizes are
    return found


def _layout(lines: Sequence[Fields]) -> Layout | str:
    if set(PRICES) <= recognise(lines[0]).keys():
        return "it holds bars"
    return of_first_lines(lines, _layout_of)


def _layout_of(fields: Fields) -> Layout | None:
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower()) for name in fields]
    names = [_MEANING.get(name, f"passed_over_{i}" if name in PASSED_OVER else "") for i, name in enumerate(plain)]
    if all(names) and len(names) == len(set(names)) and {"price", "size", "time"} <= set(names):
        return Layout(tuple(names), header=True) if {"maker", "side"} & set(names) else None
    looks = "".join(
        "b" if f.lower() in ("true", "false") else "n" if re.fullmatch(NUMBER_TEXT, f) else "w" for f in fields
    )
    return Layout(HEADERLESS[looks], header=False) if looks in HEADERLESS else None


def _columns(table: Table) -> tuple[dict[str, Column], list[str]]:
    """Columns of the kind, and what is worth knowing of how they were read."""
    notes: list[str] = []
    if "exchange" in table:
        notes.append(f"recorded at {', '.join(sorted(table.symbols('exchange')[0])[:5])}")
    side = table.words("side", _SIDES) if "side" in table else table.words("maker", _MAKERS)
    if (side.values == 0).any():
        notes.append(Counted("{n} trades without a side", int((side.values == 0).sum())))
    columns = {
        "id": _ids(table),
        "price": table.numbers("price"),
        "size": table.numbers("size"),
        "side": side,
        "count": _counts(table),
    }
    return columns, notes


def _ids(table: Table) -> Column:
    """Ids of the trades; of ids that are text digests, which are the same whenever the file is read."""
    import pyarrow.compute as pc

    if "id" not in table or not pc.all(pc.match_substring_regex(trimmed(table.data["id"]), _UUID)).as_py():
        return table.ids("id")
    texts = trimmed(table.data["id"]).to_pylist()
    digests = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> (64 - _ID_BITS) for text in texts]
    return Column(np.array(digests, dtype=np.int64), np.zeros(len(table), dtype=bool))


def _reject_other_units(table: Table, columns: Mapping[str, Column], options: ImportOptions) -> None:
    """Reject trades whose sizes are not in coins.

    Raises
    ------
    AmbiguousError
    """
    name = next((name for name in ("value", "quote") if name in table), None)
    if name is None:
        if markets.split(options.venue)[0] in ("okx", "okex") and markets.named_market(options.venue) == "linear":
            raise AmbiguousError(
                f"{table.path.name}: the size of a trade of OKX's swaps counts contracts, not coins. Nothing was "
                "stored. Multiply sizes by the size of a contract, and add a column quote_qty of price times size, "
                "which shows that they are coins."
            )
        return
    said, price, size = table.numbers(name).values, columns["price"].values, columns["size"].values
    with np.errstate(over="ignore", invalid="ignore"):
        known = (said > 0) & (price > 0) & (size > 0) & np.isfinite(price * size) & np.isfinite(said)
    if known.sum() < _FEW:
        return
    said, price, size = said[known], price[known], size[known]
    share, value = said / (price * size), said / size
    unit = (
        f"contracts of {np.median(share):.2g} coins" if _is_constant(share) and abs(np.median(share) - 1) > _OFF else ""
    )
    if _is_constant(value) and abs(np.median(value) - 1) <= _OFF and not _is_constant(share):
        unit = "quote currency"
    if unit:
        raise AmbiguousError(
            f"{table.path.name}: by its column of values the size of a trade counts {unit}, not coins. Nothing was "
            "stored. Write sizes in coins."
        )


def _is_constant(ratios: NDArray[np.float64]) -> bool:
    low, middle, high = np.percentile(ratios, (10, 50, 90))
    return bool(high - low <= _OFF * middle)


def _counts(table: Table) -> Column:
    """How many single trades each row stands for; Binance writes -1 for ids that there are not."""
    first, last = table.numbers("first"), table.numbers("last")
    if "first" not in table or "last" not in table:
        return Column(np.full(len(table), 1.0 if "quote" in table else np.nan), np.zeros(len(table), dtype=bool))
    single = last.values - first.values + 1.0
    return Column(np.where((single >= 1.0) & (first.values >= 0.0), single, np.nan), first.garbled | last.garbled)


class _Selection:
    """Counts, over all parts of a file, how many trades of a symbol follow the trade before."""

    def __init__(self) -> None:
        self._following = 0
        self._skipping = 0

    def see(self, ids: Times, symbol: NDArray[np.int64]) -> bool:
        """Take the ids of a part; say whether most trades so far do not follow the trade before."""
        order = np.lexsort((ids, symbol))
        step = np.diff(ids[order])[np.diff(symbol[order]) == 0]
        self._following += int((step == 1).sum())
        self._skipping += int((step > 1).sum())
        return self._skipping > 0 and self._skipping >= self._following
