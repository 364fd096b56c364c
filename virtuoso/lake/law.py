"""The law of reading, on a lake: what answers at a bar depends on what is stored there, and on nothing else.

1. Range: the bars of a part of history are those of the whole, bit for bit, columns of events included.
2. More: of everything that can answer, one series is left out as if it had never been imported. What is known without
   it is known with it, and is the same up to the rounding of sums. Where two series contradict each other the order of
   precedence decides (splice.py); that is no fault of reading, so it is counted and reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import NoDataError
from virtuoso.lake import resolve
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.manifest import Series
from virtuoso.lake.read import load_frame, spliced
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import NO_TRADE, UNKNOWN
from virtuoso.market.splice import ROUNDING
from virtuoso.types import Array, Mask

PARTS = ((0.0, 0.3), (0.45, 0.55), (0.6, 1.0))
"""Ranges that are asked, as shares of history."""


@dataclass(frozen=True, slots=True)
class ReadingFinding:
    """What one examination found.

    Attributes
    ----------
    what : str
    holds : bool
    compared : int
        Values.
    known : float
        Share of them that is known.
    offending : int
        Bars that differ, or are not known any more.
    at : int or None, ms
        Close of the first of them.
    detail : str
    contradiction : bool
        Whether two stored series disagree, so that the law cannot be tested there.
    """

    what: str
    holds: bool
    compared: int
    known: float
    offending: int = 0
    at: int | None = None
    detail: str = ""
    contradiction: bool = False


def examine(catalog: Catalog, instrument: Instrument, clock: Timeframe) -> list[ReadingFinding]:
    """Examine what answers of an instrument on a timeframe.

    Parameters
    ----------
    catalog : Catalog
    instrument : Instrument
    clock : Timeframe

    Returns
    -------
    list of ReadingFinding
        One of ranges; then, where several series can answer, one or two of each of them.
    """
    several = resolve.answering(catalog.manifest(), instrument, clock)
    trades = catalog.event_series("trades", instrument)
    if trades is not None:
        several.append(trades)
    found = [_ranges(catalog, instrument, clock)]
    if len(several) > 1:
        whole = spliced(catalog, instrument, clock, (None, None), None).bars()[0]
        for series in several:
            found += _without(catalog, instrument, clock, series, whole)
    return found


def _ranges(catalog: Catalog, instrument: Instrument, clock: Timeframe) -> ReadingFinding:
    """Ask for parts of history, and compare them with the whole."""
    whole = load_frame(catalog, instrument, clock, None, None, None).base
    compared = known = offending = 0
    first_at = None
    for low, high in PARTS:
        first, end = (whole.first + int(share * len(whole)) for share in (low, high))
        other = _since_known(catalog, instrument, clock, whole, first, end)
        there, of_part = _values(whole, first, end), _values(other, first, end) if other is not None else {}
        nothing = np.full(end - first, np.nan)
        wrong = np.zeros(end - first, dtype=bool)
        for name in there.keys() | of_part.keys():
            mine, theirs = there.get(name, nothing), of_part.get(name, nothing)
            wrong |= ~((mine == theirs) | (np.isnan(mine) & np.isnan(theirs)))
            compared, known = compared + len(mine), known + int((~np.isnan(mine)).sum())
        if wrong.any() and first_at is None:
            first_at = clock.close_time(first + int(np.argmax(wrong)))
        offending += int(wrong.sum())
    detail = f"{len(PARTS)} ranges asked, compared bit for bit with the whole history"
    if offending:
        detail += f"; {offending:,} bars differ"
    return ReadingFinding(
        "the range that is asked", offending == 0, compared, known / max(compared, 1), offending, first_at, detail
    )


def _since_known(
    catalog: Catalog, instrument: Instrument, clock: Timeframe, whole: Bars, first: int, end: int
) -> Bars | None:
    """The bars of a range; None where it says that there are none."""
    until = None if end == whole.end else end * clock.ms
    try:
        return load_frame(catalog, instrument, clock, first * clock.ms, until, None).base
    except NoDataError:
        return None


def _values(bars: Bars, first: int, end: int) -> dict[str, Array]:
    """Columns of the bars [first, end), NaN where nothing is known of a bar; and their states, as numbers."""
    a, b = np.clip([first - bars.first, end - bars.first], 0, len(bars))
    at = slice(bars.first + a - first, bars.first + b - first)
    found = {}
    for name, values in {**bars.columns, "#state": np.where(bars.state == UNKNOWN, np.nan, bars.state)}.items():
        out = np.full(end - first, np.nan)
        out[at] = values[a:b]
        found[name] = out
    return found


def _without(
    catalog: Catalog, instrument: Instrument, clock: Timeframe, series: Series, whole: Bars
) -> list[ReadingFinding]:
    """Leave a series out, and compare what is known then with what is known with it."""
    rest = spliced(catalog, instrument, clock, (None, None), None, without={series.home})
    if not len(rest):
        return []
    fewer, name = rest.bars()[0], resolve.label_of(series, clock)
    before, after = (_values(bars, fewer.first, fewer.end) for bars in (fewer, whole))
    known = fewer.state <= NO_TRADE
    entire = known & (fewer.share == 1.0)
    lost, other, compared = np.zeros(len(fewer), dtype=bool), np.zeros(len(fewer), dtype=bool), 0
    for column in fewer.columns:
        mine, theirs = before[column], after.get(column, np.full(len(fewer), np.nan))
        said = known & ~np.isnan(mine)
        lost |= said & np.isnan(theirs)
        other |= said & entire & (np.abs(theirs - mine) > ROUNDING * np.abs(mine))
        compared += int(said.sum())
    lost |= known & ~(after["#state"] <= NO_TRADE)
    share = float(known.mean()) if len(known) else 0.0
    told = "what is known without them is known with them"
    if lost.any():
        told = f"{int(lost.sum()):,} bars that are known without them are not with them"
    found = [_finding(f"bars {name}", lost, compared, share, fewer, told)]
    if other.any():
        n = int(other.sum())
        told = (
            f"{n:,} of {int(entire.sum()):,} bars contradict those of the other series, first the one of "
            f"{iso(clock.open_time(fewer.first + int(np.argmax(other))))}; the slower ones answer"
        )
        found.append(ReadingFinding(f"bars {name}", True, compared, share, n, None, told, contradiction=True))
    return found


def _finding(what: str, wrong: Mask, compared: int, known: float, bars: Bars, detail: str) -> ReadingFinding:
    at = bars.timeframe.close_time(bars.first + int(np.argmax(wrong))) if wrong.any() else None
    return ReadingFinding(what, not wrong.any(), compared, known, int(wrong.sum()), at, detail)
