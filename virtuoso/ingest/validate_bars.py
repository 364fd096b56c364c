"""Validation of bars: every row is checked before anything is stored.

1. A row that breaks a rule is rejected, with the first rule it breaks as the reason; it goes to quarantine as it came.
2. A bar that has not closed yet is left out. It is nobody's fault, so it is not quarantined.
3. The same bar twice with the same values is stored once. With different values each is a version of the bar, and the
   lake decides which of them holds, whatever their order (lake/writing/versions.py).
4. If too many rows are rejected, the file is not what it claims to be, and nothing of it is stored (validated.py).

Rules read one row at a time, and a row breaks one only if it is impossible by itself. A price far off its neighbours
may be true: it is stored as published, and counted in a note. What it was, later bars show (market/breaks.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe, iso
from virtuoso.ingest.validated import EARLIEST_MS, LARGEST_AMOUNT, RejectedRow, Validated
from virtuoso.market.breaks import FAR, suspects
from virtuoso.market.rows import Rows, traded_rows
from virtuoso.market.schema.columns import BAR_COLUMNS, PRICES, REQUIRED
from virtuoso.types import Array, Mask, Times
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.timestamps import NO_TIME

RULES = {
    "broken_line": "the line has too few or too many fields, or a stray quote",
    "time_unreadable": "the time is missing or cannot be read",
    "not_a_number": "a field is text where a number should be",
    "not_finite": "a price or the volume is missing, NaN or infinite",
    "time_out_of_range": "the time lies before 2009 or in the future",
    "off_grid": "the bar does not open on the grid of its timeframe",
    "price_not_positive": "a price is zero or negative",
    "impossible_amount": "a number is larger than any price or amount",
    "high_below_low": "the high is below the low",
    "outside_range": "open or close lies outside low to high",
    "negative_volume": "a volume or count is negative",
    "taker_above_volume": "takers bought more than was traded",
}
_CODES = {rule: code for code, rule in enumerate(RULES, start=1)}
_FORMING = -1


class Inspected(NamedTuple):
    """What was found in rows of bars.

    Attributes
    ----------
    rows : Rows
        Accepted, in order of time, one a bar.
    superseded : Rows
        Earlier versions of accepted bars among the same rows, in order of time.
    duplicates, forming : int
        Repeated rows with equal values; bars that had not closed.
    bad : array of int64, shape (n_bad,)
        Positions of the rejected rows.
    reasons : tuple of str
        The rule that each of them breaks.
    disordered : bool
        Whether the rows were out of order.
    """

    rows: Rows
    superseded: Rows
    duplicates: int
    forming: int
    bad: NDArray[np.int64]
    reasons: tuple[str, ...]
    disordered: bool


def validate_bars(
    raw: RawBars, rows: Mask, timeframe: Timeframe, now_ms: int, *, first: bool = True
) -> Validated[Rows]:
    """Validate the rows of one instrument in a file of bars.

    Parameters
    ----------
    raw : RawBars
    rows : array of bool, shape (n_rows,)
        Those of the instrument.
    timeframe : Timeframe
    now_ms : int, ms
        The present; bars that close after it are still forming.
    first : bool
        Whether it is the first instrument of the file: it carries the lines that are no rows.
    """
    times: Times = raw.times.ms[rows]
    unread = times == NO_TIME
    if raw.stamped_at_close:
        opens, off_grid = opens_from_closes(np.where(unread, 0, times), timeframe)
    else:
        opens, off_grid = np.where(unread, 0, times), ~raw.times.exact[rows]
    columns = {name: values[rows] for name, values in raw.columns.items()}
    found = inspect(
        opens,
        columns,
        timeframe,
        now_ms,
        no_time=unread,
        off_grid=off_grid,
        garbled=raw.garbled[rows],
        forming=raw.forming[rows],
        no_volume=raw.no_volume[rows],
    )
    broken = raw.table.broken if first else ()
    rejected = [RejectedRow(number, "broken_line", text, None) for number, text in broken]
    bad = np.flatnonzero(rows)[found.bad]
    for at, reason, text in zip(bad, found.reasons, raw.table.texts(bad), strict=True):
        moment = None if raw.times.ms[at] == NO_TIME else int(raw.times.ms[at])
        rejected.append(RejectedRow(int(raw.table.rows[at]), reason, text, moment))
    return Validated(
        accepted=found.rows,
        superseded=found.superseded,
        duplicates=found.duplicates,
        left_out=found.forming,
        rejected=tuple(rejected),
        disordered=found.disordered,
        notes=(
            f"times: {raw.times.meaning}{', stamped at the close' if raw.stamped_at_close else ''}",
            *raw.notes,
            *_suspect(found.rows),
        ),
    )


def inspect(
    open_time: Times,
    columns: Mapping[str, Array],
    timeframe: Timeframe,
    now_ms: int,
    *,
    no_time: Mask | None = None,
    off_grid: Mask | None = None,
    garbled: Mask | None = None,
    forming: Mask | None = None,
    no_volume: Mask | None = None,
) -> Inspected:
    """Check rows of bars.

    Parameters
    ----------
    open_time : array of int64, ms, shape (n_rows,)
        In any order.
    columns : mapping of str to Array, shape (n_rows,)
    timeframe : Timeframe
    now_ms : int, ms
        The present; bars that close after it are still forming.
    no_time, off_grid, garbled : array of bool, shape (n_rows,), optional
        Rows whose time could not be read, whose time is finer than a millisecond, and that hold text for a number.
    forming, no_volume : array of bool, shape (n_rows,), optional
        Rows that the source says had not closed, and those of which it is known that no volume is known.
    """
    n = len(open_time)
    none = np.zeros(n, dtype=bool)
    code = _row_codes(
        open_time,
        columns,
        timeframe,
        now_ms,
        none if no_time is None else no_time,
        none if off_grid is None else off_grid,
        none if garbled is None else garbled,
        none if no_volume is None else no_volume,
    )
    if forming is not None:
        code[(code == 0) & forming] = _FORMING
    good = np.flatnonzero(code == 0)
    order = good[np.argsort(open_time[good], kind="stable")]
    rows = traded_rows(open_time[order], {name: columns[name][order] for name in columns}, timeframe.ms)
    last = np.append(np.diff(rows.open_time) > 0, True)[: len(rows)]
    kept, earlier = rows.take(last), rows.take(~last)
    kept_of_earlier = kept.take(np.searchsorted(kept.open_time, earlier.open_time))
    differs = earlier.differs(kept_of_earlier) | earlier.fills(kept_of_earlier)
    bad = np.flatnonzero(code > 0)
    names = tuple(RULES)
    return Inspected(
        rows=kept,
        superseded=earlier.take(differs),
        duplicates=int((~differs).sum()),
        forming=int((code == _FORMING).sum()),
        bad=bad,
        reasons=tuple(names[c - 1] for c in code[bad]),
        disordered=bool((np.diff(open_time[good]) < 0).any()),
    )


def _row_codes(
    open_time: Times,
    columns: Mapping[str, Array],
    timeframe: Timeframe,
    now_ms: int,
    no_time: Mask,
    off_grid: Mask,
    garbled: Mask,
    no_volume: Mask,
) -> NDArray[np.int8]:
    """First rule that each row breaks; 0 for none, -1 for a bar that is still forming."""
    opened, high, low, close = (columns[name] for name in PRICES)
    optional = [columns[name] for name in columns if name not in REQUIRED]
    finite = np.isfinite(np.vstack([columns[name] for name in PRICES])).all(axis=0)
    finite &= np.isfinite(columns["volume"]) | (no_volume & np.isnan(columns["volume"]))
    for values in optional:
        finite &= ~np.isinf(values)  # NaN in a further column means that the source does not say
    amounts = [columns[name] for name in columns if BAR_COLUMNS[name].in_gaps == "zero"]
    with np.errstate(invalid="ignore"):
        broken = {
            "time_unreadable": no_time,
            "not_a_number": garbled,
            "not_finite": ~finite,
            "time_out_of_range": (open_time < EARLIEST_MS) | (open_time > now_ms + timeframe.ms),
            "off_grid": off_grid | (open_time % timeframe.ms != 0),
            "price_not_positive": (np.minimum(np.minimum(opened, close), np.minimum(high, low)) <= 0),
            "impossible_amount": np.any([np.abs(values) > LARGEST_AMOUNT for values in columns.values()], axis=0),
            "high_below_low": high < low,
            "outside_range": (np.maximum(opened, close) > high) | (np.minimum(opened, close) < low),
            "negative_volume": np.any([values < 0 for values in amounts], axis=0),
            "taker_above_volume": _taker_above(columns, "volume") | _taker_above(columns, "quote_volume"),
        }
    code = np.zeros(len(open_time), dtype=np.int8)
    for rule in reversed(broken):
        code[broken[rule]] = _CODES[rule]
    code[(code == 0) & (open_time + timeframe.ms > now_ms)] = _FORMING
    return code


def _taker_above(columns: Mapping[str, Array], whole: str) -> Mask:
    part = f"taker_buy_{whole}"
    if part not in columns or whole not in columns:
        return np.zeros(len(columns["close"]), dtype=bool)
    # exchanges round the two sums separately
    return columns[part] > columns[whole] * (1 + 1e-6) + 1e-6


def _suspect(rows: Rows) -> list[str]:
    """A note on prices that the rows after them show to be misprints; they are stored as published."""
    at = suspects(rows)
    if len(at) == 0:
        return []
    first = f"{iso(int(rows.open_time[at[0]]))}, {rows.columns['low'][at[0]]:g} to {rows.columns['high'][at[0]]:g}"
    many = f"{len(at):,} bars" if len(at) > 1 else "1 bar"
    return [f"{many} more than {FAR:.0f} times off the closes around, kept as published; the first at {first}"]


def opens_from_closes(close_time: Times, timeframe: Timeframe) -> tuple[Times, Mask]:
    """Open times of bars that are stamped with their close, and which stamps are no close of this timeframe.

    Exchanges write the close as the last millisecond of the bar (…59.999), as its last second, or as the open of the
    next bar.

    Parameters
    ----------
    close_time : array of int64, ms, shape (n_rows,)
    timeframe : Timeframe
    """
    remainder = close_time % timeframe.ms
    following = close_time + (timeframe.ms - remainder) % timeframe.ms
    return following - timeframe.ms, (remainder != 0) & (remainder < timeframe.ms - 1000)
