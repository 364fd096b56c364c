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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import UnreadableFileError
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import NO_ID
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.raw_events import CHANGE, CUT, WHOLE, RawEvents
from virtuoso.venues.streams.buffers import Gathered, Levels, Scalars, in_order
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
    recording = open_recording(path)
    taken = _Taken(recording)
    for line in messages(recording):
        taken.take(line)
    yield from taken.events(_symbol_in(path.name))


def _symbol_in(name: str) -> str | None:
    found = _NAMED.search(name)
    return found[1].upper() if found else None


class _Taken:
    """The messages of a file, sorted by kind and symbol."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.by_key: dict[tuple[str, str | None], Scalars | Levels] = {}
        self.left_out: Counter[str] = Counter()

    def take(self, line: Line) -> None:
        """Take one message, or each of a list of them."""
        message, stream = line.message, ""
        if isinstance(message, dict) and "stream" in message and "data" in message:
            stream, message = str(message["stream"]), message["data"]
        for one in message if isinstance(message, list) else (message,):
            self._take_one(line, one, stream)

    def _take_one(self, line: Line, message: Any, stream: str) -> None:
        what = _what(message)
        if what not in _READERS:
            self.left_out[what] += 1
            return
        kind, read = _READERS[what]
        try:
            symbol = _symbol(message) or line.symbol or stream.partition("@")[0].upper() or None
            key = (kind, symbol)
            if key not in self.by_key:
                self.by_key[key] = Levels(self.recording) if kind == "depth" else Scalars(_COLUMNS[kind])
            if not read(self.by_key[key], line, message, stream):
                self.left_out[f"{what} beside the market"] += 1
        except KeyError as error:
            self.recording.reject(line.row, "field_missing", f"{error} in {message!r}")
        except (TypeError, ValueError, AttributeError, OverflowError):
            self.recording.reject(line.row, "not_a_number", repr(message))

    def events(self, named: str | None) -> list[RawEvents]:
        """Everything taken, as raw events; `named` is the symbol in the file's name."""
        recording, made = self.recording, []
        symbols = {symbol for _, symbol in self.by_key if symbol}
        nameless = next(iter(symbols)) if len(symbols) == 1 else named
        parts: dict[tuple[str, str | None], list[Gathered]] = {}
        for (kind, symbol), taken in self.by_key.items():
            parts.setdefault((kind, symbol or nameless), []).append(taken.gathered())
        for (kind, symbol), gathered in parts.items():
            found = in_order(gathered)
            if kind == "depth":
                found = _dated(recording, symbol, found)
            if len(found.rows):
                made.append(_raw(recording, kind, symbol, found))
        return self._with_notes(made)

    def _with_notes(self, made: list[RawEvents]) -> list[RawEvents]:
        recording = self.recording
        if not made and recording.rejected:
            row, reason, text = recording.rejected[0]
            raise UnreadableFileError(
                f"{recording.path} holds nothing that can be read: {len(recording.rejected):,} rows are refused, "
                f"the first is row {row} ({reason}): {text[:60]!r}."
            )
        if self.left_out:
            counts = ", ".join(f"{n:,} {what}" for what, n in sorted(self.left_out.items()))
            recording.notes.append(f"left out: {counts}")
        made = _on_the_venues_clock(recording, made)
        if made:
            made[0] = replace(made[0], rejected=tuple(recording.rejected), notes=tuple(recording.notes))
        return made


def _on_the_venues_clock(recording: Recording, made: list[RawEvents]) -> list[RawEvents]:
    """Move receipts later where the recorder's clock ran behind the venue's: nothing is received before it happened.

    All kinds of a file move together, so that their order stays: by the largest lead of an event over its receipt that
    has been met so far, which a live recorder would have known as well.
    """
    stamped = [(raw, raw.received_at) for raw in made if raw.received_at is not None]
    if not stamped:
        return made
    rows = np.concatenate([raw.rows for raw, _ in stamped])
    lead = np.concatenate([np.where(raw.event_time == NO_TIME, 0, raw.event_time - at) for raw, at in stamped])
    behind = np.zeros(int(rows.max()) + 1, dtype=np.int64)
    np.maximum.at(behind, rows, lead)
    behind = np.maximum.accumulate(behind)
    if behind[-1] > 0:
        recording.notes.append(f"the recorder's clock ran up to {behind[-1]:,} ms behind the venue's: receipts moved")
    moved = []
    for raw in made:
        received = raw.received_at
        moved.append(raw if received is None else replace(raw, received_at=received + behind[raw.rows]))
    return moved


def _raw(recording: Recording, kind: str, symbol: str | None, found: Gathered) -> RawEvents:
    received: NDArray[np.int64] | None = found.received_at
    if received is not None and (received == NO_TIME).any():
        # without a receive time it counts from its own; where no row has one, the kind's lag decides
        received = None if (received == NO_TIME).all() else np.where(received == NO_TIME, found.event_time, received)
    return RawEvents(
        recording.path, recording.sha256, kind, symbol, found.rows, found.event_time, found.columns, received
    )


def _dated(recording: Recording, symbol: str | None, found: Gathered) -> Gathered:
    """Date snapshots that were saved without a time by the first change that goes beyond them."""
    undated = (found.event_time == NO_TIME) & (found.columns["snapshot"] != CHANGE)
    if not undated.any():
        return found
    changes = [(found.columns["last_id"][~undated], found.event_time[~undated])]
    if undated.all():
        changes = [
            (raw.columns["last_id"], raw.event_time)
            for beside in _files_beside(recording.path)
            for raw in _changes_in(beside)
            if raw.symbol == symbol
        ]
    times = found.event_time.copy()
    for last_id in np.unique(found.columns["last_id"][undated]):
        beyond = [int(when[ids > last_id].min()) for ids, when in changes if (ids > last_id).any()]
        if beyond:
            times[undated & (found.columns["last_id"] == last_id)] = min(beyond)
    if (times[undated] == NO_TIME).any():
        recording.notes.append(
            "a snapshot was saved without a time, and no change that goes beyond it is here to date it"
        )
    return found._replace(event_time=times)


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
        taken = _Taken(open_recording(path))
        for line in messages(taken.recording):
            if isinstance(line.message, dict) and ("U" in line.message or "data" in line.message):
                taken.take(line)
        return [raw for raw in taken.events(None) if raw.kind == "depth"]
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
    return str(named).upper() if named else None


def _ms(time: Any) -> int | None:
    if time is None:
        return None
    return int(time) // 1_000 if int(time) > _MICROSECONDS else int(time)


def _side(word: Any, meaning: dict[Any, int]) -> int:
    if word not in meaning:
        raise ValueError(f"{word!r} is no side")
    return meaning[word]


def _change(into: Levels, line: Line, message: dict[str, Any], stream: str) -> bool:
    partial = _PARTIAL.search(stream) is not None  # USD-M sends the best levels in the form of changes
    ids = (int(message["U"]), int(message["u"]), int(message.get("pu", NO_ID)))
    what = (CUT if partial else CHANGE, partial)
    into.add(line.row, _ms(message.get("E")), line.received_at, ids, what, message["b"], message["a"])
    return True


def _snapshot(into: Levels, line: Line, message: dict[str, Any], stream: str) -> bool:
    last, bids, asks = int(message["lastUpdateId"]), message["bids"], message["asks"]
    cut = len(bids) in LIMITS or len(asks) in LIMITS
    what = (CUT if cut else WHOLE, _PARTIAL.search(stream) is not None)
    into.add(line.row, _ms(message.get("E")), line.received_at, (last, last, NO_ID), what, bids, asks)
    return True


def _ticker(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    values = (int(message["u"]), *(float(message[name]) for name in ("b", "B", "a", "A")))
    into.add(line.row, _ms(message.get("E")), line.received_at, values)
    return True


def _trade(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    if message.get("X", "MARKET") != "MARKET":  # insurance fund and auto-deleveraging
        return False
    return _any_trade(into, line, message, int(message["t"]), 1)


def _aggregated(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    return _any_trade(into, line, message, int(message["a"]), int(message["l"]) - int(message["f"]) + 1)


def _any_trade(into: Scalars, line: Line, message: dict[str, Any], number: int, count: int) -> bool:
    side = _side(message["m"], _MAKERS)
    values = (number, float(message["p"]), float(message["q"]), side, count)
    into.add(line.row, _ms(message["T"]), line.received_at, values)
    return True


def _liquidation(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    order = message["o"]
    average = float(order["ap"])
    side = _side(order["S"], _SIDES)
    price, size = (average, float(order["z"])) if average > 0.0 else (float(order["p"]), float(order["q"]))
    into.add(line.row, _ms(order["T"]), line.received_at, (side, price, size))
    return True


def _prices(into: Scalars, line: Line, message: dict[str, Any], stream: str) -> bool:
    index = message.get("i")
    into.add(line.row, _ms(message["E"]), line.received_at, (float(message["p"]), float(index) if index else np.nan))
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
