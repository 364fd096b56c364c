"""Recorded answers of Binance's REST endpoints: funding, open interest, ratios, mark and index prices, rules, tiers.

1. A file holds one answer as it came, the endpoint named in the file's name or plain from the answer's fields; or
   many recorded routes: `{"routes": {path: {method: [{"queryString": …, "data": …}]}}}`.
2. Routes belong to markets: `/fapi/` and `/futures/data/` to binance-usdm, `/api/` to binance-spot. Those of other
   markets are left out, since spot and perpetual share their symbols. COIN-margined ones count contracts, not coins,
   and have no place here.
3. Of `/futures/data/` rows of five minutes are taken, as in the archives; a day's taker ratio would pass for one. What
   their timestamps mean was never measured, as that of the archives was. They are kept, so that both tell of the same
   event, but count as received five minutes later: if they are starts, nothing leaks.
4. An answer of `leverageBracket` carries no time: the file's name must say the day on which it was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from virtuoso.account.instrument import compact
from virtuoso.clock import UNIT_MS, parse_time
from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.venues.files.file_io import Head, checked_digest, decoding, unpacked, whole
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.raw_events import Lines, RawEvents
from virtuoso.venues.rest.rules import RULES_COLUMNS, TIER_COLUMNS, rules_of, tiers_of

MARKETS = {"binance-usdm": ("/fapi/", "/futures/data/"), "binance-spot": ("/api/",)}
COLUMNS = {
    "funding": ("rate", "hours", "mark"),
    "open_interest": ("open_interest", "open_interest_value"),
    "ratios": ("accounts_ratio", "top_accounts_ratio", "top_positions_ratio", "taker_ratio"),
    "prices": ("mark", "index"),
    "instruments": RULES_COLUMNS,
    "tiers": TIER_COLUMNS,
}
LAG_MS = UNIT_MS["m"]
PERIOD_MS = 5 * UNIT_MS["m"]

_SUFFIXES = (".json", ".json.gz")
_KEYS = (b'"routes"', b'"fundingTime"', b'"sumOpenInterest"', b'"longShortRatio"', b'"buySellRatio"', b'"openInterest"')
_RULES_KEYS = (b'"exchangeFilters"', b'"rateLimits"', b'"maintMarginRatio"')
_DAY = re.compile(r"20\d\d-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class _Event:
    """One row of an answer, as events are."""

    row: int
    kind: str
    symbol: str
    time: int
    values: dict[str, float]
    delay: int = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    route: str
    query: dict[str, str]
    rows: list[Any]
    path: Path

    def symbol(self, row: Any) -> str:
        """Symbol of a row, or of the question; empty for a contract that is none of ours."""
        named = row.get("symbol") if isinstance(row, dict) else None
        if named is None and isinstance(row, dict) and "pair" in row:
            return ""  # coin-margined
        named = named or self.query.get("symbol") or self.query.get("pair")
        return "" if named is None or "_" in named else compact(named)


def recognises(head: Head) -> bool:
    """Whether a file looks like recorded answers, from its name and first bytes."""
    if not head.path.name.lower().endswith(_SUFFIXES):
        return False
    keys = (*_KEYS, *_RULES_KEYS) if head.text.lstrip()[:1] in (b"{", b"[") else ()
    return any(key in head.text for key in keys) or (b'"markPrice"' in head.text and b'"indexPrice"' in head.text)


def read_payloads(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int = 0) -> Iterator[RawEvents]:
    """Read recorded answers, the file as a whole.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        Its venue says of which market, its symbol of which contract, where the file does not.
    now_ms : int, ms
        Taken as by every decoder; answers say their unit of time.

    Raises
    ------
    UnreadableFileError
        The file is damaged or holds no answer of these endpoints.
    AmbiguousError
        Its endpoint, market or symbol would have to be guessed.
    """
    sha256 = checked_digest(path)
    with decoding(path), unpacked(path) as stream:
        body = json.loads(whole(path, stream))
    if options.venue not in MARKETS and isinstance(body, dict) and "routes" in body:
        raise AmbiguousError(
            f"{path} holds answers of several markets. Pass --venue, one of {', '.join(sorted(MARKETS))}."
        )
    events: list[_Event] = []
    rejected: list[tuple[int, str, str]] = []
    left_out: set[str] = set()
    number = passed_over = 0
    for answer in _answers(path, body, options):
        reader = _READERS.get(answer.route.rsplit("/", 1)[-1])
        of_periods = any("timestamp" in row for row in answer.rows if isinstance(row, dict))
        if reader is None or not _of_market(answer.route, options) or (of_periods and not _every_five_minutes(answer)):
            left_out.add(answer.route)
            passed_over += len(answer.rows)
            continue
        for row in answer.rows:
            number += 1
            try:
                events += reader(answer, row, number)
            except (KeyError, TypeError, ValueError, IndexError):
                rejected.append((number, "not_a_number", json.dumps(row)[:500]))
    if not events:
        raise UnreadableFileError(
            f"{path} holds no funding, open interest, ratio, price, rule or tier of {options.venue or 'any market'}."
        )
    notes = (f"left out {len(left_out)} routes of other things",) if left_out else ()
    silent = number - len({event.row for event in events} | {row[0] for row in rejected})
    first, *others = _grouped(path, sha256, events, tuple(rejected), notes)
    yield replace(first, lines=Lines(read=number + passed_over), left_out=silent + passed_over)
    yield from others


def _of_market(route: str, options: ImportOptions) -> bool:
    return not route.startswith("/") or not options.venue or route.startswith(MARKETS.get(options.venue, ("/",)))


def _answers(path: Path, body: Any, options: ImportOptions) -> Iterator[_Answer]:
    if isinstance(body, dict) and "routes" in body:
        for route, methods in body["routes"].items():
            for recorded in (answer for answers in methods.values() for answer in answers):
                query = {name: values[0] for name, values in parse_qs(recorded.get("queryString") or "").items()}
                yield _Answer(route, query, _rows(recorded.get("data")), path)
        return
    rows = _rows(body)
    query = {"symbol": options.symbol} if options.symbol else {}
    yield _Answer(_endpoint(path, rows), query, rows, path)


def _rows(data: Any) -> list[Any]:
    """Rows of an answer; an answer that is an error has none."""
    rows = data if isinstance(data, list) else [data]
    return [row for row in rows if isinstance(row, list) or (isinstance(row, dict) and "code" not in row)]


def _endpoint(path: Path, rows: list[Any]) -> str:
    """Endpoint of an answer that was kept alone: in the file's name, or plain from its fields."""
    named = [endpoint for endpoint in _READERS if endpoint.lower() in path.name.lower()]
    if named:
        return max(named, key=len)
    fields = set(rows[0]) if rows and isinstance(rows[0], dict) else set()
    for needed, endpoint in _FIELDS:
        if needed <= fields:
            return endpoint
    raise AmbiguousError(
        f"{path} does not say which endpoint answered it. Put its name into the file's, such as "
        "BTCUSDT-topLongShortPositionRatio.json."
    )


def _funding(answer: _Answer, row: Any, number: int) -> list[_Event]:
    values = {"rate": float(row["fundingRate"]), "mark": _number(row.get("markPrice"))}
    return _event(answer, row, number, "funding", int(row["fundingTime"]), values)


def _open_interest_now(answer: _Answer, row: Any, number: int) -> list[_Event]:
    return _event(answer, row, number, "open_interest", int(row["time"]), {"open_interest": float(row["openInterest"])})


def _open_interest_then(answer: _Answer, row: Any, number: int) -> list[_Event]:
    values = {
        "open_interest": float(row["sumOpenInterest"]),
        "open_interest_value": _number(row.get("sumOpenInterestValue")),
    }
    return _event(answer, row, number, "open_interest", int(row["timestamp"]), values, PERIOD_MS)


def _ratio(name: str, field: str = "longShortRatio") -> Callable[[_Answer, Any, int], list[_Event]]:
    def read(answer: _Answer, row: Any, number: int) -> list[_Event]:
        return _event(answer, row, number, "ratios", int(row["timestamp"]), {name: float(row[field])}, PERIOD_MS)

    return read


def _premium(answer: _Answer, row: Any, number: int) -> list[_Event]:
    values = {"mark": float(row["markPrice"]), "index": _number(row.get("indexPrice"))}
    return _event(answer, row, number, "prices", int(row["time"]), values)


def _kline(name: str) -> Callable[[_Answer, Any, int], list[_Event]]:
    def read(answer: _Answer, row: Any, number: int) -> list[_Event]:
        end = -(-int(row[6]) // 1_000) * 1_000  # the close is written as the last millisecond
        return _event(answer, row, number, "prices", end, {name: float(row[4])})

    return read


def _rules(answer: _Answer, row: Any, number: int) -> list[_Event]:
    time = int(row["serverTime"])
    return [_Event(number, "instruments", symbol, time, values) for symbol, values in rules_of(row).items()]


def _tiers(answer: _Answer, row: Any, number: int) -> list[_Event]:
    day = _DAY.search(answer.path.name)
    if day is None:
        raise AmbiguousError(
            f"{answer.path} does not say when its tiers were in force. Put the day on which the venue gave them into "
            "the file's name, such as leverageBracket-2025-07-01.json."
        )
    time, symbol = parse_time(day.group()), answer.symbol(row)
    return [_Event(number, "tiers", symbol, time, values) for values in tiers_of(row)] if symbol else []


def _event(
    answer: _Answer, row: Any, number: int, kind: str, time: int, values: dict[str, float], delay: int = 0
) -> list[_Event]:
    symbol = answer.symbol(row)
    return [_Event(number, kind, symbol, time, values, delay)] if symbol else []


def _every_five_minutes(answer: _Answer) -> bool:
    """Whether rows of `/futures/data/` are of five minutes: as asked for, else as they are spaced."""
    if "period" in answer.query:
        return answer.query["period"] == "5m"
    stamps = [str(row.get("timestamp", "")) for row in answer.rows]
    steps = np.diff(np.unique([int(stamp) for stamp in stamps if stamp.isdigit()]))
    return len(steps) > 0 and int(steps.min()) == PERIOD_MS


def _number(value: Any) -> float:
    return np.nan if value in (None, "") else float(value)


_READERS: dict[str, Callable[[_Answer, Any, int], list[_Event]]] = {
    "fundingRate": _funding,
    "openInterest": _open_interest_now,
    "openInterestHist": _open_interest_then,
    "globalLongShortAccountRatio": _ratio("accounts_ratio"),
    "topLongShortAccountRatio": _ratio("top_accounts_ratio"),
    "topLongShortPositionRatio": _ratio("top_positions_ratio"),
    "takerlongshortRatio": _ratio("taker_ratio", "buySellRatio"),
    "premiumIndex": _premium,
    "markPriceKlines": _kline("mark"),
    "indexPriceKlines": _kline("index"),
    "exchangeInfo": _rules,
    "leverageBracket": _tiers,
}
_FIELDS = (
    ({"fundingRate", "fundingTime"}, "fundingRate"),
    ({"sumOpenInterest", "timestamp"}, "openInterestHist"),
    ({"openInterest", "time"}, "openInterest"),
    ({"buySellRatio", "timestamp"}, "takerlongshortRatio"),
    ({"markPrice", "indexPrice", "time"}, "premiumIndex"),
    ({"symbols", "serverTime"}, "exchangeInfo"),
    ({"symbol", "brackets"}, "leverageBracket"),
)


def _grouped(
    path: Path, sha256: str, events: list[_Event], rejected: tuple[tuple[int, str, str], ...], notes: tuple[str, ...]
) -> list[RawEvents]:
    """One `RawEvents` for each kind and symbol, in order of their names."""
    found: list[RawEvents] = []
    for kind, symbol in sorted({(event.kind, event.symbol) for event in events}):
        part = [event for event in events if (event.kind, event.symbol) == (kind, symbol)]
        received = [event.time + event.delay + LAG_MS for event in part]
        delayed = any(event.delay for event in part)
        found.append(
            RawEvents(
                path=path,
                sha256=sha256,
                kind=kind,
                symbol=symbol,
                rows=np.array([event.row for event in part], dtype=np.int64),
                event_time=np.array([event.time for event in part], dtype=np.int64),
                columns={name: np.array([event.values.get(name, np.nan) for event in part]) for name in COLUMNS[kind]},
                received_at=np.array(received, dtype=np.int64) if delayed else None,
                rejected=() if found else rejected,
                notes=(*notes, "counted as received five minutes after they would be of an archive")
                if delayed
                else notes,
            )
        )
    return found
