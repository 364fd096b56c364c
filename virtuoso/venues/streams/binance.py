"""Recorded Binance streams, spot and USD-M, as events: what was sent, under our names, not validated yet.

1. `recordings.py` gives the messages of a file: lines with a receive time, or one JSON list.
2. Each message is known by its `e`, or by its fields where Binance sends none: `depthUpdate` and REST snapshots become
   depth, `bookTicker` ticker, `trade` and `aggTrade` trades, `forceOrder` liquidations, `markPriceUpdate` prices. What
   else was recorded beside them is counted in the notes and left out.
3. `m: true` says that the buyer was the maker: the taker sold, side -1.
4. A snapshot does not name its symbol: it is the one asked for, else the only one of the file, else that of its name.
   One that was saved without a time counts from the first change that goes beyond it, in its own file or in one beside
   it: only then it is certain to have been there.
5. A snapshot of exactly 5, 10, 20, 50, 100, 500, 1000 or 5000 levels of a side was cut there (`snapshot` 2).

Times are as sent (`E`, of trades `T`); the receive time is rounded up to the millisecond.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import compact
from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.types import Mask, Times
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import NO_ID
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.raw_events import CHANGE, CUT, NO_LINES, WHOLE, Counted, RawEvents
from virtuoso.venues.streams.buffers import Gathered, Levels, RefusedError, Scalars, in_order, number, whole
from virtuoso.venues.streams.recordings import Line, Recording, messages, open_recording

LIMITS = (5, 10, 20, 50, 100, 500, 1_000, 5_000)
"""Levels a side at which Binance cuts snapshots."""

_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".gz", ".txt", ".log")
_HEAD = re.compile(
    rb'\s*(\[\s*\{\s*"(e|stream|lastUpdateId|u)"|(\d{13,19} |\d{9,10}(\.\d+)?: |https?://\S+ -> \d+(\.\d+)?: )?\{'
    rb'\s*"(e|stream|lastUpdateId|u)"|wss://\S*binance)'
)
_QUOTES = "USDT|USDC|FDUSD|BUSD|TUSD|USD|BTC|ETH|BNB|EUR|TRY"
_NAMED = re.compile(rf"(?:^|[_\-.@ ])([A-Z0-9]{{2,20}}(?:{_QUOTES}))(?=[_\-.@ ]|$)", re.IGNORECASE)
_PARTIAL = re.compile(r"@depth(5|10|20)(@|$)")
_MAKERS, _SIDES = {True: -1, False: 1}, {"BUY": 1, "SELL": -1}
_WRITTEN = re.compile(r"[A-Za-z0-9_-]{0,40}")
_MICROSECONDS = 10**14  # a time above this is not in milliseconds for three thousand years


def recognises(head: Head) -> bool:
    """Whether a file looks like a recording of Binance streams."""
    return head.path.name.lower().endswith(_SUFFIXES) and _HEAD.match(head.text) is not None


def read_recording(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int = 0) -> Iterator[RawEvents]:
    """Read a recording.

    Parameters
    ----------
    path : Path
        Lines or one JSON list, plain or gzipped.
    options : ImportOptions
    now_ms : int, ms
        Both taken as by every decoder; a recording says itself what they would.

    Yields
    ------
    RawEvents
        One for each kind and symbol, in the order in which they appear; empty where nothing is understood. Refused
        rows and notes are of the whole file, with the first of them.

    Raises
    ------
    UnreadableFileError
        The file is damaged or empty.
    """
    taken = _Taken(open_recording(path), _symbol_in(path.name))
    stretches = messages(taken.recording)
    stretch = next(stretches, None)
    while stretch is not None:
        for line in stretch:
            taken.take(line)
        stretch = next(stretches, None)
        yield from taken.events(last=stretch is None)


def _symbol_in(name: str) -> str | None:
    found = _NAMED.search(name)
    return found[1].upper() if found else None


class _Taken:
    """The messages of a file, sorted by kind and symbol.

    Parameters
    ----------
    recording : Recording
    named : str or None
        Symbol in the file's name.
    """

    def __init__(self, recording: Recording, named: str | None) -> None:
        self.recording = recording
        self.named = named
        self.by_key: dict[tuple[str, str | None], Scalars | Levels] = {}
        self.left_out: Counter[str] = Counter()
        self.undated: dict[str | None, Gathered] = {}
        """Snapshots saved without a time that wait for a change which goes beyond them."""
        self.dated: set[str | None] = set()
        self.behind = 0
        """Milliseconds by which the recorder's clock ran behind the venue's so far."""
        self.before: RawEvents | None = None

    def take(self, line: Line) -> None:
        """Take one message, or each of a list of them."""
        message, stream = line.message, ""
        if isinstance(message, dict) and "stream" in message and "data" in message:
            stream, message = str(message["stream"]), message["data"]
        every = message if isinstance(message, list) else [message]
        taken = [self._take_one(line, one, stream) for one in every]
        if not any(taken):
            self.recording.left_out += 1

    def _take_one(self, line: Line, message: Any, stream: str) -> bool:
        """Take a message; say whether it was taken or refused."""
        what = _what(message)
        if what not in _READERS:
            self.left_out[what] += 1
            return False
        kind, read = _READERS[what]
        try:
            symbol = _symbol(message) or line.symbol or stream.partition("@")[0].upper() or None
            if symbol is not None and not _is_ours(symbol):
                self.left_out[f"{what} of other markets"] += 1
                return False
            key = (kind, symbol)
            if key not in self.by_key:
                self.by_key[key] = Levels(self.recording) if kind == "depth" else Scalars(_COLUMNS[kind])
            if not read(self.by_key[key], line, message, stream):
                self.left_out[f"{what} beside the market"] += 1
                return False
        except RefusedError as error:
            self.recording.reject(line.row, str(error), repr(message))
        except KeyError as error:
            self.recording.reject(line.row, "field_missing", f"{error} in {message!r}")
        except (TypeError, ValueError, AttributeError, OverflowError):
            self.recording.reject(line.row, "not_a_number", repr(message))
        return True

    def events(self, *, last: bool) -> list[RawEvents]:
        """Give everything taken since the last time as raw events; at the end of the file, what waited as well."""
        recording, made = self.recording, []
        symbols = {symbol for _, symbol in self.by_key if symbol}
        nameless = next(iter(symbols)) if len(symbols) == 1 else self.named
        parts: dict[tuple[str, str | None], list[Gathered]] = {}
        for (kind, symbol), taken in self.by_key.items():
            parts.setdefault((kind, symbol or nameless), []).append(taken.gathered())
        for (kind, symbol), gathered in parts.items():
            found = in_order(gathered)
            if kind == "depth":
                found = self._with_dates(symbol, found, last=last)
            if len(found.rows):
                made.append(_raw(recording, kind, symbol, found))
        return self._with_notes(made, last=last)

    def _with_notes(self, made: list[RawEvents], *, last: bool) -> list[RawEvents]:
        """Add what is to be said of all that was read to the first of the events."""
        recording = self.recording
        if last and not made and self.before is None and recording.rejected:
            row, reason, text = recording.rejected[0]
            raise UnreadableFileError(
                f"{recording.path} holds nothing that can be read: {len(recording.rejected):,} rows are refused, "
                f"the first is row {row} ({reason}): {text[:60]!r}."
            )
        if last and self.left_out:
            counts = ", ".join(f"{n:,} {what}" for what, n in sorted(self.left_out.items()))
            recording.notes.append(f"left out: {counts}")
        made = self._on_the_venues_clock(made)
        if last and not made and self.before is not None:
            made = [_nothing_of(self.before)]
        if made:
            made[0] = replace(
                made[0],
                rejected=tuple(recording.rejected),
                notes=tuple(recording.notes),
                lines=recording.lines,
                left_out=recording.left_out,
            )
            recording.rejected, recording.notes, recording.lines, recording.left_out = [], [], NO_LINES, 0
            self.before = made[-1]
        return made

    def _on_the_venues_clock(self, made: list[RawEvents]) -> list[RawEvents]:
        """Move receipts later where the recorder's clock ran behind the venue's: nothing comes before it happened.

        All kinds of a file move together, so that their order stays: by the largest lead of an event over its receipt
        that has been met so far, which a live recorder would have known as well.
        """
        stamped = [(raw, raw.received_at) for raw in made if raw.received_at is not None]
        if not stamped:
            return made
        rows = np.concatenate([raw.rows for raw, _ in stamped])
        first = int(rows.min())
        lead = np.concatenate([np.where(raw.event_time == NO_TIME, 0, raw.event_time - at) for raw, at in stamped])
        behind = np.zeros(int(rows.max()) - first + 1, dtype=np.int64)
        behind[0] = self.behind
        np.maximum.at(behind, rows - first, lead)
        behind = np.maximum.accumulate(behind)
        if behind[-1] > self.behind:
            self.behind = int(behind[-1])
            said = "the recorder's clock ran up to {most} ms behind the venue's: receipts moved"
            self.recording.notes.append(Counted(said, 1, self.behind))
        moved = []
        for raw in made:
            at = raw.received_at
            moved.append(raw if at is None else replace(raw, received_at=at + behind[raw.rows - first]))
        return moved

    def _with_dates(self, symbol: str | None, found: Gathered, *, last: bool) -> Gathered:
        """Date snapshots that were saved without a time by the first change that goes beyond them, or wait for one."""
        waiting = self.undated.pop(symbol, None)
        if waiting is not None:
            found = in_order([waiting, found])
        undated = (found.event_time == NO_TIME) & (found.columns["snapshot"] != CHANGE)
        if not undated.all():
            self.dated.add(symbol)
        if not undated.any():
            return found
        changes = [(found.columns["last_id"][~undated], found.event_time[~undated])]
        if last and symbol not in self.dated:
            changes = [
                (raw.columns["last_id"], raw.event_time)
                for beside in _files_beside(self.recording.path)
                for raw in _changes_in(beside)
                if raw.symbol == symbol
            ]
        found = _dated(found, undated, changes)
        late = undated & (found.event_time == NO_TIME)
        if late.any() and not last:
            self.undated[symbol] = found.where(late)
            return found.where(~late)
        if late.any():
            self.recording.notes.append(
                "a snapshot was saved without a time, and no change that goes beyond it is here to date it"
            )
        return found


def _nothing_of(raw: RawEvents) -> RawEvents:
    """Return no events of a kind and symbol, to carry what is to be said of a file at its end."""
    none = slice(0, 0)
    received = None if raw.received_at is None else raw.received_at[none]
    columns = {name: values[none] for name, values in raw.columns.items()}
    return replace(raw, rows=raw.rows[none], event_time=raw.event_time[none], columns=columns, received_at=received)


def _dated(found: Gathered, undated: Mask, changes: list[tuple[Times, Times]]) -> Gathered:
    """Give each snapshot without a time that of the first change that goes beyond it."""
    times = found.event_time.copy()
    for last_id in np.unique(found.columns["last_id"][undated]):
        beyond = [int(when[ids > last_id].min()) for ids, when in changes if (ids > last_id).any()]
        if beyond:
            times[undated & (found.columns["last_id"] == last_id)] = min(beyond)
    return found._replace(event_time=times)


def _raw(recording: Recording, kind: str, symbol: str | None, found: Gathered) -> RawEvents:
    received: NDArray[np.int64] | None = found.received_at
    if received is not None and (received == NO_TIME).any():
        # without a receive time it counts from its own; where no row has one, the kind's lag decides
        received = None if (received == NO_TIME).all() else np.where(received == NO_TIME, found.event_time, received)
    return RawEvents(
        recording.path, recording.sha256, kind, symbol, found.rows, found.event_time, found.columns, received
    )


def _files_beside(path: Path) -> list[Path]:
    """Files named alike up to the word 'snapshot': `ETHBTC_T09_update` beside `ETHBTC_T09_snapshot`."""
    alike, word, _ = path.name.partition("snapshot")
    if not word:
        return []
    others = (other for other in path.parent.iterdir() if other.name.startswith(alike) and other != path)
    return sorted(other for other in others if other.name.lower().endswith(_SUFFIXES) and "snapshot" not in other.name)


def _changes_in(path: Path) -> list[RawEvents]:
    """Changes of the book in a file; none where it cannot be read."""
    try:
        return [raw for raw in read_recording(path, now_ms=0) if raw.kind == "depth"]
    except UnreadableFileError:
        return []


def _what(message: Any) -> str:
    """Which event a message is; Binance names some by their fields alone."""
    if not isinstance(message, dict):
        return "no event"
    if "e" in message:
        return str(message["e"])
    if "lastUpdateId" in message:
        return "snapshot"
    return "bookTicker" if {"u", "b", "B", "a", "A"} <= message.keys() else "answer"


def _symbol(message: dict[str, Any]) -> str | None:
    order = message.get("o")
    named = order.get("s") if isinstance(order, dict) else message.get("s")
    if named is None:
        return None
    if not isinstance(named, str):
        raise RefusedError("no_symbol")
    return _in_capitals(named) or None


@lru_cache(maxsize=4_096)
def _in_capitals(symbol: str) -> str:
    if not _WRITTEN.fullmatch(symbol):
        raise RefusedError("no_symbol")
    return symbol.upper()


@lru_cache(maxsize=4_096)
def _is_ours(symbol: str) -> bool:
    """Whether a symbol is one of a spot or linear perpetual market."""
    try:
        compact(symbol)
    except AmbiguousError:
        return False
    return True


def _ms(time: Any) -> int | None:
    if time is None:
        return None
    moment = whole(time, "time_unreadable")
    return moment // 1_000 if moment > _MICROSECONDS else moment


def _side(word: Any, meaning: dict[Any, int]) -> int:
    if not isinstance(word, bool | str) or word not in meaning:
        raise RefusedError("side_unknown")
    return meaning[word]


def _ids(message: dict[str, Any], first: str, last: str) -> tuple[int, int]:
    """Return the first and the last id of a message, which must not come before the first."""
    found = whole(message[first], "id_unreadable"), whole(message[last], "id_unreadable")
    if found[1] < found[0]:
        raise RefusedError("ids_reversed")
    return found


def _change(into: Levels, line: Line, message: dict[str, Any], stream: str) -> bool:
    partial = _PARTIAL.search(stream) is not None  # USD-M sends the best levels in the form of changes
    before = message.get("pu", NO_ID)
    ids = (*_ids(message, "U", "u"), before if before == NO_ID else whole(before, "id_unreadable"))
    what = (CUT if partial else CHANGE, partial)
    into.add(line.row, _ms(message.get("E")), line.received_at, ids, what, message["b"], message["a"])
    return True


def _snapshot(into: Levels, line: Line, message: dict[str, Any], stream: str) -> bool:
    last, bids, asks = whole(message["lastUpdateId"], "id_unreadable"), message["bids"], message["asks"]
    cut = len(bids) in LIMITS or len(asks) in LIMITS
    what = (CUT if cut else WHOLE, _PARTIAL.search(stream) is not None)
    into.add(line.row, _ms(message.get("E")), line.received_at, (last, last, NO_ID), what, bids, asks)
    return True


def _ticker(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    values = (whole(message["u"], "id_unreadable"), *(number(message[name]) for name in ("b", "B", "a", "A")))
    into.add(line.row, _ms(message.get("E")), line.received_at, values)
    return True


def _trade(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    if message.get("X", "MARKET") != "MARKET":  # insurance fund and auto-deleveraging
        return False
    return _any_trade(into, line, message, "t", 1)


def _aggregated(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    first, last = _ids(message, "f", "l")
    return _any_trade(into, line, message, "a", last - first + 1)


def _any_trade(into: Scalars, line: Line, message: dict[str, Any], named: str, count: int) -> bool:
    side = _side(message["m"], _MAKERS)
    values = (whole(message[named], "id_unreadable"), number(message["p"]), number(message["q"]), side, count)
    into.add(line.row, _moment(message, "T"), line.received_at, values)
    return True


def _moment(message: dict[str, Any], name: str) -> int:
    return _ms(whole(message[name], "time_unreadable")) or 0


def _liquidation(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    order = message["o"]
    average = number(order["ap"])
    side = _side(order["S"], _SIDES)
    price, size = (average, order["z"]) if average > 0.0 else (number(order["p"]), order["q"])
    into.add(line.row, _moment(order, "T"), line.received_at, (side, price, number(size)))
    return True


def _prices(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    index = message.get("i")
    known = np.nan if index is None or index == "" else number(index)
    into.add(line.row, _moment(message, "E"), line.received_at, (number(message["p"]), known))
    return True


_READERS: dict[str, tuple[str, Callable[..., bool]]] = {
    "depthUpdate": ("depth", _change),
    "snapshot": ("depth", _snapshot),
    "bookTicker": ("ticker", _ticker),
    "trade": ("trades", _trade),
    "aggTrade": ("trades", _aggregated),
    "forceOrder": ("liquidations", _liquidation),
    "markPriceUpdate": ("prices", _prices),
}
_COLUMNS: dict[str, dict[str, type]] = {
    "ticker": {"id": np.int64, "bid": np.float64, "bid_size": np.float64, "ask": np.float64, "ask_size": np.float64},
    "trades": {"id": np.int64, "price": np.float64, "size": np.float64, "side": np.int8, "count": np.float64},
    "liquidations": {"side": np.int8, "price": np.float64, "size": np.float64},
    "prices": {"mark": np.float64, "index": np.float64},
}
