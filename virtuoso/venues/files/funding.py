"""Tables of settled funding rates, in the spellings of exchanges, their web pages and collectors.

1. The rate is a fraction of the notional per interval; `0.002184%` is read to the same bits as `0.00002184`. Binance's
   web page cuts the last digit of one rate in eighteen, so it should not be imported over the archive.
2. The interval is taken where the source says it, else it is not known here: it is inferred from the settlements
   before (market/features/derivatives.py).
3. Times of web exports and collectors are wall time of somewhere and need `--time-zone`. The hour that comes twice
   when summer ends is settled by the interval: of 00:00 and 01:00 UTC only one is a multiple of eight hours.
4. Binance, Bybit and OKX settle at multiples of the interval from midnight UTC. Times that do not are in another zone.
5. A table of several venues gives the rows of the wanted one.
6. freqtrade keeps rates as if they were the opens of bars, in files named `-funding_rate`.
7. Polls of a coming rate are no settlements. Where a column says when each comes (`funding_timestamp`,
   `next_funding_time`), the last poll before it, if it was taken within MOST_EARLY_MS of it and later polls show that
   it has passed, is the settlement; the other polls are left out. Where none says so, they are refused
   (ingest/settlements.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import UNIT_MS
from virtuoso.errors import AmbiguousError, did_you_mean
from virtuoso.types import Mask, Times
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import DEFAULTS, ImportOptions
from virtuoso.venues.files.table import (
    Column,
    Fields,
    Layout,
    Table,
    by_symbol,
    plain_layout,
    plain_names,
    raw_events,
    tables,
    to_numbers,
    trimmed,
    unique,
)
from virtuoso.venues.files.timestamps import NO_TIME, FileTimes, read_times
from virtuoso.venues.naming import stem_of, symbol_of
from virtuoso.venues.raw_events import Lines, RawEvents

IN_PERCENT = ("funding_rate_percent", "funding_rate_pct")
"""Names of rates in percent; a `%` in a name makes it the first of them."""
RATES = (*IN_PERCENT, "last_funding_rate", "lastfundingrate", "fundingrate", "funding_rate")
COMING = (
    *("funding_timestamp", "next_funding_time", "nextfundingtime", "next_funding_timestamp", "nextfundingtimestamp"),
    "next_funding_time_ms",
)
"""Columns of the settlement that comes next."""
MOST_EARLY_MS = 10 * UNIT_MS["m"]
TIMES = (
    "calc_time",
    "funding_time_ms",
    "funding_time",
    "fundingtime",
    "timestamp",
    "date",
    "time",
    "funding_timestamp",
)
HOURS = ("funding_interval_hours", "funding_interval")
SYMBOLS = ("symbol", "contracts")
MARKS = ("markprice", "mark_price")
MIDNIGHT_VENUES = ("binance", "bybit", "okx")
_QUOTES = "USDT|USDC|USD|FDUSD|BUSD|PERP"
_NEAR_MS = UNIT_MS["m"]


def recognises(head: Head) -> bool:
    """Whether a file looks like a table of funding rates."""
    names = plain_names(head)
    return _has_rates(names) or (_is_of_freqtrade(head.path) and {"date", "open"} <= names)


def read_funding(path: Path, options: ImportOptions = DEFAULTS, *, now_ms: int) -> Iterator[RawEvents]:
    """Read a table of funding rates, part by part.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        Its venue and symbol say whose rows are wanted, where a file mixes several or does not say.
    now_ms : int, ms
        The present, for the plausible range of times.

    Yields
    ------
    RawEvents
        One a symbol of each part, of kind 'funding'.

    Raises
    ------
    UnreadableFileError
        The file is damaged, differs from its checksum or holds something else.
    AmbiguousError
        The zone of its times, its venue or its symbols would have to be guessed, or the zone cannot be right.
    """
    wanted, polls = _Wanted(options), _Polls()
    for table in tables(path, partial(_layout, path=path), "funding rates"):
        yield from _funding(table, options, now_ms, wanted, polls)
    wanted.reject_none(path)
    polls.reject_none(path)


def _funding(table: Table, options: ImportOptions, now_ms: int, wanted: _Wanted, polls: _Polls) -> list[RawEvents]:
    names = table.names
    hours = _hours(table, _first(HOURS, names))
    at = str(_first(TIMES, names))
    times, meaning = _times(table, at, hours, options, now_ms)
    columns = {
        "rate": _rates(table, str(_first(RATES, names))),
        "hours": Column(hours, np.isinf(hours)),
        "mark": table.numbers(_first(MARKS, names) or ""),
    }
    coming = _first(COMING, names)
    groups, notes = wanted.rows(table)
    if coming not in (None, at) and polls.are_polls(table.times(coming, options, now_ms).ms):
        due = table.times(coming, options, now_ms).ms
        return polls.settlements(table, groups, times, due, columns["rate"], notes)
    left_out = int((~np.any([np.zeros(len(table), dtype=bool), *groups.values()], axis=0)).sum())
    found: list[RawEvents] = []
    for symbol, rows in groups.items():
        _reject_wrong_zone(table, times[rows], hours[rows], options)
        raw = raw_events(table, "funding", symbol, times, columns, rows, (f"times: {meaning}", *notes), first=not found)
        found.append(raw if found else replace(raw, left_out=left_out))
    return found


def _is_of_freqtrade(path: Path) -> bool:
    """Whether it is a file of freqtrade, which keeps rates as if they were the opens of bars."""
    return stem_of(path).endswith("-funding_rate")


def _layout(lines: Sequence[Fields], path: Path) -> Layout | str:
    found = plain_layout(lines)
    if isinstance(found, Layout) and _is_of_freqtrade(path):
        found = found._replace(names=tuple("funding_rate" if name == "open" else name for name in found.names))
    if isinstance(found, Layout) and not _has_rates(found.names):
        return f"its columns are {', '.join(sorted(found.names)[:8])}"
    if isinstance(found, Layout) and found.header:
        percent = [name in RATES and "%" in field for name, field in zip(found.names, lines[0], strict=True)]
        names = [IN_PERCENT[0] if one else name for name, one in zip(found.names, percent, strict=True)]
        return found._replace(names=unique(names))
    return found


def _has_rates(names: Collection[str]) -> bool:
    """Whether a table with columns of these plain names holds funding rates."""
    return _first(RATES, names) is not None and _first(TIMES, names) is not None and "open" not in names


def _first(spellings: tuple[str, ...], names: Collection[str]) -> str | None:
    return next((name for name in spellings if name in names), None)


class _Wanted:
    """Which rows of a table are wanted, over all its parts."""

    def __init__(self, options: ImportOptions) -> None:
        self._options = options
        self._venues: set[str] = set()
        self._coins: set[str] = set()
        self._found = False

    def rows(self, table: Table) -> tuple[dict[str | None, Mask], list[str]]:
        """Return the rows of each symbol, of the wanted venue, and a note; some symbol where there is none."""
        wanted = np.ones(len(table), dtype=bool)
        if "venue" in table:
            wanted = self._of_venue(table)
        named = _first(SYMBOLS, table.names)
        groups: dict[str | None, Mask]
        notes: list[str] = []
        if named is not None:
            of_symbols, notes = by_symbol(table, named, self._options.venue)
            groups = {symbol: rows & wanted for symbol, rows in of_symbols.items()}
        elif "coin" in table:
            groups = {self._options.symbol: wanted & self._of_coin(table, wanted)}
        else:
            groups = {symbol_of(table.path, self._options.venue): wanted}
        with_rows = {symbol: rows for symbol, rows in groups.items() if rows.any()}
        self._found |= bool(with_rows)
        return with_rows or dict(list(groups.items())[:1]), notes

    def reject_none(self, path: Path) -> None:
        """Reject a file of which no row was wanted.

        Raises
        ------
        AmbiguousError
            Its venues or its coins are others, or nobody says which of them is meant.
        """
        venue, symbol = self._options.venue, self._options.symbol
        if self._found:
            return
        if self._venues and not self._venues & set(_spellings(venue)):
            raise AmbiguousError(f"{path} holds no rates of {venue}. {did_you_mean(venue, sorted(self._venues))}")
        if self._coins:
            said = f"none of them is that of {symbol}" if symbol else "it does not say of which contract"
            raise AmbiguousError(
                f"{path} holds the coins {', '.join(sorted(self._coins))}; {said}. Pass --symbol, such as BTCUSDT."
            )

    def _of_venue(self, table: Table) -> Mask:
        written = np.array([str(value).lower() for value in table.data["venue"].to_pylist()])
        self._venues |= {str(name) for name in np.unique(written)}
        if not self._options.venue:
            known = ", ".join(sorted(self._venues))
            raise AmbiguousError(f"{table.path} holds the rates of {known}. Pass --venue, such as binance-usdm.")
        wanted = next((name for name in _spellings(self._options.venue) if name in self._venues), "")
        rows: Mask = written == wanted
        return rows

    def _of_coin(self, table: Table, wanted: Mask) -> Mask:
        """Rows of the coin of the wanted symbol; a table of coins does not say which contract it means."""
        written = np.array([str(value).upper() for value in table.data["coin"].to_pylist()])
        coins = {str(coin) for coin in np.unique(written[wanted])}
        self._coins |= coins
        symbol = self._options.symbol or ""
        of_symbol = [coin for coin in coins if re.fullmatch(rf"{re.escape(coin)}({_QUOTES})?", symbol)]
        rows: Mask = np.isin(written, of_symbol)
        return rows


class _Polls:
    """Polls of coming rates, over all parts of a file, and the settlements that they prove."""

    def __init__(self) -> None:
        self._last: dict[str | None, tuple[int, int, float, int]] = {}  # due, polled at, rate, row
        self._due: set[int] = set()
        self._polled = 0
        self._settled = 0

    def are_polls(self, due: Times) -> bool:
        """Whether several rows tell of the same settlement."""
        known = due[due != NO_TIME]
        self._polled += len(known)
        self._due |= {int(moment) for moment in np.unique(known)}
        return len(self._due) < self._polled

    def settlements(
        self,
        table: Table,
        groups: Mapping[str | None, Mask],
        polled: Times,
        due: Times,
        rates: Column,
        notes: Sequence[str],
    ) -> list[RawEvents]:
        """Return the settlements that have passed; of the last one it is not known."""
        found: list[RawEvents] = []
        settled = 0
        for symbol, rows in groups.items():
            at = np.flatnonzero(rows & (polled != NO_TIME) & (due != NO_TIME) & np.isfinite(rates.values))
            at = at[np.argsort(polled[at], kind="stable")]
            seen = [(int(due[i]), int(polled[i]), float(rates.values[i]), int(table.rows[i])) for i in at]
            seen = [self._last[symbol], *seen] if symbol in self._last else seen
            passed = [
                one
                for one, following in pairwise(seen)
                if one[0] != following[0] and one[1] <= one[0] <= following[1] and one[0] - one[1] <= MOST_EARLY_MS
            ]
            if seen:
                self._last[symbol] = seen[-1]
            settled += len(passed)
            found.append(self._events(table, symbol, passed, notes, first=not found))
        self._settled += settled
        n_rows = len(table) - len(found[0].rejected) + len(table.broken)
        return [replace(found[0], left_out=n_rows - settled), *found[1:]]

    def _events(
        self,
        table: Table,
        symbol: str | None,
        passed: Sequence[tuple[int, int, float, int]],
        notes: Sequence[str],
        *,
        first: bool,
    ) -> RawEvents:
        nothing = np.full(len(passed), np.nan)
        polled = ("polls of a coming rate: the last before each settlement is taken",)
        return RawEvents(
            path=table.path,
            sha256=table.sha256,
            kind="funding",
            symbol=symbol,
            rows=np.array([row for _, _, _, row in passed], dtype=np.int64),
            event_time=np.array([due for due, _, _, _ in passed], dtype=np.int64),
            columns={"rate": np.array([rate for _, _, rate, _ in passed]), "hours": nothing, "mark": nothing},
            rejected=tuple((number, "broken_line", text) for number, text in table.broken) if first else (),
            notes=(*polled, *notes) if first else (),
            simulated=table.simulated,
            lines=table.lines if first else Lines(),
        )

    def reject_none(self, path: Path) -> None:
        """Reject polls that prove no settlement.

        Raises
        ------
        AmbiguousError
        """
        if len(self._due) < self._polled and not self._settled:
            raise AmbiguousError(
                f"{path.name} holds polls of a coming rate, and none within {MOST_EARLY_MS // UNIT_MS['m']} minutes of "
                "a settlement that later ones show to have passed. Nothing was stored. Import the settled rates, such "
                "as "
                "Binance's fundingRate archives."
            )


def _spellings(venue: str) -> tuple[str, str]:
    """Names under which a table may write a venue."""
    return venue, venue.split("-")[0]


def _rates(table: Table, name: str) -> Column:
    """Rates as fractions; percent are shifted as text, so that no bit is lost."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.data[name]
    if name in IN_PERCENT:
        text = pc.utf8_rtrim(trimmed(column), "% ")
        return to_numbers(pc.if_else(pc.equal(text, ""), "", pc.binary_join_element_wise(text, "e-2", "")))
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return to_numbers(column)
    text = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    return to_numbers(pc.replace_substring_regex(text, r"\s*%$", "e-2"))


def _hours(table: Table, name: str | None) -> NDArray[np.float64]:
    """Stated intervals in hours, of `8` and of `8h`; NaN where none is stated, infinite where it is garbled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name is None:
        return np.full(len(table), np.nan)
    text = pc.replace_substring_regex(table.data[name].cast(pa.string()), r"\s*h$", "")
    values, garbled = to_numbers(text)
    return np.where(garbled, np.inf, values)


def _times(
    table: Table, name: str, hours: NDArray[np.float64], options: ImportOptions, now_ms: int
) -> tuple[Times, str]:
    try:
        read = table.times(name, options, now_ms)
    except AmbiguousError as error:
        if options.time_zone is not None:
            raise
        hint = _hint_of_zone(table.data[name])
        raise AmbiguousError(f"{table.path}: {error}{hint}") from None
    unread = read.ms == NO_TIME
    if options.time_zone is None or not unread.any() or read.meaning != options.time_zone:
        return read.ms, read.meaning
    return _both_hours(table.data[name], name, read, hours, options, now_ms), read.meaning


def _hint_of_zone(column: Any) -> str:
    """Return in which zones these times would be settlements at 00:00, 08:00 and 16:00 UTC."""
    found = [re.search(r"[ T](\d{2}):00", str(value)) for value in column.slice(0, 100).to_pylist()]
    rest = {int(match[1]) % 8 for match in found if match}
    if len(rest) != 1:
        return ""
    ahead = rest.pop()
    if ahead == 0:
        return " Their hours are multiples of eight, as of settlements in UTC."
    return (
        f" Settlements every eight hours: these are {ahead} hours ahead of UTC (Etc/GMT-{ahead}) or {8 - ahead} behind."
    )


def _both_hours(
    column: Any, name: str, read: FileTimes, hours: NDArray[np.float64], options: ImportOptions, now_ms: int
) -> Times:
    """Return times, of the hour that comes twice the one that is a multiple of the stated interval."""
    import pandas as pd
    import pyarrow as pa

    naive = read_times(column.cast(pa.string()), name, options.time_unit, "UTC", now_ms).ms
    doubtful = (read.ms == NO_TIME) & (naive != NO_TIME)
    local = pd.DatetimeIndex(naive[doubtful].astype("M8[ms]"))
    step = np.where(np.isnan(hours[doubtful]), 0, hours[doubtful] * UNIT_MS["h"]).astype(np.int64)
    answer, fits = np.full(len(local), NO_TIME), np.zeros(len(local), dtype=np.int64)
    for summer in (True, False):
        zoned = local.tz_localize(options.time_zone, ambiguous=np.full(len(local), summer), nonexistent="NaT")
        ms = np.asarray(zoned.tz_convert("UTC").as_unit("ms").asi8, dtype=np.int64)
        fit = (ms != NO_TIME) & (step > 0) & (_off_grid(ms, np.maximum(step, 1)) <= _NEAR_MS)
        answer[fit], fits = ms[fit], fits + fit
    times = read.ms.copy()
    times[doubtful] = np.where(fits == 1, answer, NO_TIME)
    return times


def _off_grid(ms: Times, step: Times) -> Times:
    rest = ms % step
    off: Times = np.minimum(rest, step - rest)
    return off


def _reject_wrong_zone(table: Table, times: Times, hours: NDArray[np.float64], options: ImportOptions) -> None:
    """Reject settlements that are not at multiples of their interval, at venues that settle then."""
    if not options.venue or options.venue.split("-")[0] not in MIDNIGHT_VENUES:
        return
    known = np.unique(times[times != NO_TIME])
    stated = hours[~np.isnan(hours)]
    if len(stated) == 0 and len(known) < 3:
        return
    spacing = float(np.median(stated)) * UNIT_MS["h"] if len(stated) else float(np.median(np.diff(known)))
    step = round(spacing / UNIT_MS["h"]) * UNIT_MS["h"]
    if step < 2 * UNIT_MS["h"] or UNIT_MS["d"] % step:
        return
    off = _off_grid(known, np.full(len(known), step)) > _NEAR_MS
    if 2 * off.sum() > len(known):
        example = np.datetime64(int(known[off][0]), "ms").astype("M8[m]")
        raise AmbiguousError(
            f"{table.path}: settlements every {step // UNIT_MS['h']} h such as that of {example}Z are not at multiples "
            f"of the interval from midnight UTC, as those of {options.venue} are. The time zone is wrong; pass the "
            "right --time-zone, such as Etc/GMT-3."
        )
