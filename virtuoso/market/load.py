"""A frame from the lake: bars, stored or folded, and the columns of all events beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import NoDataError
from virtuoso.market import choose
from virtuoso.market.attach import attached, bars_of_trades
from virtuoso.market.bar_cache import bars_of, bars_until
from virtuoso.market.bars import Bars
from virtuoso.market.fold import fold_bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.manifest import Manifest, Series

if TYPE_CHECKING:
    from virtuoso.market.store import Lake

Range = tuple[int | None, int | None]
"""From inclusive, to exclusive, ms."""


def load_frame(
    lake: Lake, instrument: Instrument, clock: Timeframe, since: int | None, until: int | None, as_of: int | None
) -> MarketFrame:
    """Read the bars of an instrument and the columns of its events.

    Parameters
    ----------
    lake : Lake
    instrument : Instrument
    clock : Timeframe
        The base clock.
    since, until : int, ms, optional
        Answers are wanted for bars that open from `since` on and before `until`. Nothing after `until` is used.
    as_of : int, ms, optional
        What was known then.

    Raises
    ------
    NoDataError
        No bar lies in the range.
    """
    stored = [s for s in lake.manifest().readable() if s.instrument == instrument and choose.answers(s, clock)]
    read = _stored_bars if stored else _bars_of_trades
    bars, source = read(lake, instrument, clock, (since, until), as_of)
    if bars is None:
        raise NoDataError(choose.nothing_there(source, clock, since, until, as_of))
    frame = MarketFrame(instrument, attached(bars, instrument, lake, as_of)).within(since, until)
    if len(frame) == 0:
        raise NoDataError(choose.nothing_there(source, clock, since, until, as_of))
    return frame


def finer_frames(
    lake: Lake, spans: Mapping[Instrument, tuple[int, int]], clock: Timeframe, finer: Timeframe | None = None
) -> dict[Instrument, MarketFrame]:
    """Read stored bars that are finer than a clock, without the columns of events.

    Parameters
    ----------
    lake : Lake
    spans : mapping of Instrument to tuple of int, ms
        From inclusive, to exclusive.
    clock : Timeframe
    finer : Timeframe, optional
        Which ones; if absent those that the most instruments have, of these the finest.

    Returns
    -------
    dict of Instrument to MarketFrame
        All on one clock; instruments without such bars in their span are left out.
    """

    def read(manifest: Manifest) -> dict[Instrument, MarketFrame]:
        stored = [
            s for s in manifest.readable()
            if s.instrument in spans and s.clock < clock and clock.ms % s.clock.ms == 0 and finer in (None, s.clock)
            and s.first < spans[s.instrument][1] and s.last >= spans[s.instrument][0]
        ]  # fmt: skip
        counted = Counter(s.clock for s in stored)
        chosen = min(counted, key=lambda of: (-counted[of], of.ms), default=None)
        rows = {s: lake.read(s, *spans[s.instrument]) for s in stored if s.clock == chosen}
        return {s.instrument: MarketFrame(s.instrument, bars_of(s, some)) for s, some in rows.items() if len(some)}

    return lake.consistently(read)


def _stored_bars(
    lake: Lake, instrument: Instrument, clock: Timeframe, wanted: Range, as_of: int | None
) -> tuple[Bars | None, Series]:
    """Stored bars, folded if need be, and the series they come from."""

    def read(manifest: Manifest) -> tuple[Bars | None, Series]:
        series = choose.best_series(manifest, instrument, clock, *wanted)
        start = choose.memory_start(series, wanted[0])
        if start is None and as_of is None:
            return bars_until(lake, series, wanted[1]), series
        rows = lake.read(series, start, wanted[1], as_of)
        return bars_of(series, rows) if len(rows) else None, series

    bars, series = lake.consistently(read)
    return bars if bars is None or series.clock == clock else fold_bars(bars, clock), series


def _bars_of_trades(
    lake: Lake, instrument: Instrument, clock: Timeframe, wanted: Range, as_of: int | None
) -> tuple[Bars | None, Series]:
    """Bars folded from stored trades, and the series they come from."""

    def read(manifest: Manifest) -> tuple[Bars | None, Series]:
        series = manifest.series[Series(instrument.venue, instrument.symbol, "", kind="trades").key]
        since = choose.recording_start(series, wanted[0])
        return bars_of_trades(lake, series, clock, since, wanted[1], as_of), series

    return lake.consistently(read, "trades")
