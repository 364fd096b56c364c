"""The stage: the bars of all instruments of a portfolio on one clock, as the contract takes them.

1. Every instrument stands at its own bars' numbers; where its bar is not known (before listing, after delisting, in a
   gap, bridged) there is NaN, and nothing is filled.
2. Funding settles at its own times, against the mark price. Where a perpetual has none over the stretch, or has no mark
   price, there is no stage: `FundingTerms` must say what to assume, and everything that is shown says so. What settles
   in a bar that is not known is paid at the next one that is: who held through a gap held through its settlements.
3. Slippage is half the recorded spread where the book is known, and never less than the configured share.
4. Where finer bars are given as well, they stand beside it and tell the order of prices inside its bars (intrabar.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.clock import UNIT_MS, Timeframe, iso
from virtuoso.errors import ConfigError, NoDataError
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import misprints_of
from virtuoso.market.events import Events
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, NO_TRADE, TRADED, is_published
from virtuoso.research.backtest.intrabar import Intrabar, prices_of, spread
from virtuoso.signals.moves import daily_deviations
from virtuoso.types import Array

HOUR = UNIT_MS["h"]
USUAL_INTERVAL = 8 * HOUR
LONGEST_INTERVAL = 8 * HOUR
JITTER = 60_000
"""A settlement may be stamped up to this long after its hour."""
USUAL_RATE = "0.0001"
"""Rate of funding per eight hours at which venues begin: what a message suggests where none is recorded."""
NAMED = 3
"""Instruments that a message names, at most."""


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """What to do where funding or mark prices are not known.

    Attributes
    ----------
    assume : float or None
        Rate per eight hours that is assumed for perpetuals without recorded funding; None refuses.
    mark_is_last : bool
        Whether the last price may stand for the mark price; else instruments without mark prices are refused.
    """

    assume: float | None = None
    mark_is_last: bool = False


@dataclass(frozen=True)
class SimulationPanel:
    """Bars of a portfolio on one clock.

    Attributes
    ----------
    instruments : tuple of Instrument
    timeframe : Timeframe
    first : int
        Number of the first bar.
    bars : Array, shape (n_bars, n_instruments, BAR_COLUMNS)
    repaired : array of bool, shape (n_bars, n_instruments)
        Bars that are not to be relied on: bridged ones, misprints, and those that follow one of them or a gap.
    last : array of int64, shape (n_instruments,)
        Position of each instrument's last known bar; -1 where there is none.
    assumptions : tuple of str
        What was assumed, in words.
    inside : Inside or None
        Finer bars that tell the order of prices inside these; None where there are none.
    breaks : tuple of (int, int)
        Positions of the bars that another instrument of the same name opens, and of the instrument.
    volatility : Array or None, shape (n_bars, n_instruments)
        Deviation of a day's return as known at each close, as a share of price, bars before these included; NaN where
        it is not known. None where nobody measured it.
    """

    instruments: tuple[Instrument, ...]
    timeframe: Timeframe
    first: int
    bars: Array
    repaired: NDArray[np.bool_]
    last: NDArray[np.int64]
    assumptions: tuple[str, ...] = ()
    inside: Intrabar | None = None
    breaks: tuple[tuple[int, int], ...] = ()
    volatility: Array | None = None

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def open_times(self) -> NDArray[np.int64]:
        """Open time of each bar, ms."""
        return (self.first + np.arange(len(self), dtype=np.int64)) * self.timeframe.ms

    @property
    def closes(self) -> Array:
        """Closes, NaN where not known or where another instrument begins, shape (n_bars, n_instruments)."""
        closes: Array = self.bars[:, :, s.CLOSE]
        return np.where(self.begins(), np.nan, closes) if self.breaks else closes

    def begins(self, every: int = 1) -> NDArray[np.bool_]:
        """Return which bars, or first finer ones, another instrument opens, shape (n_bars * every, n_instruments)."""
        begins = np.zeros((len(self.bars) * every, len(self.instruments)), dtype=bool)
        for at, i in self.breaks:
            begins[at * every, i] = True
        return begins

    def last_of_one(self, i: int, start: int = 0) -> int:
        """Return the position of the last known bar of the instrument that is traded at a bar, or -1."""
        following = [at for at, of in self.breaks if of == i and at > start]
        known = np.flatnonzero(np.isfinite(self.bars[: min(following, default=len(self.bars)), i, s.OPEN]))
        return int(known[-1]) if len(known) else -1

    @classmethod
    def of(
        cls,
        frames: Sequence[MarketFrame],
        *,
        slippage: float = 0.0002,
        funding: Mapping[Instrument, Events] | None = None,
        terms: FundingTerms | None = None,
        inside: Mapping[Instrument, MarketFrame] | None = None,
    ) -> SimulationPanel:
        """Put frames of one clock beside each other.

        Parameters
        ----------
        frames : sequence of MarketFrame
            One an instrument; their windows are what is traded on.
        slippage : float
            Of the price of each market fill, at least.
        funding : mapping of Instrument to Events of kind funding, optional
        terms : FundingTerms, optional
        inside : mapping of Instrument to MarketFrame, optional
            Finer bars, all on one clock, of some instruments or of all.

        Raises
        ------
        ConfigError
            The frames have different clocks, or an instrument comes twice.
        NoDataError
            Funding or mark prices of a perpetual are not known, and nothing says what to assume.
        """
        timeframe = _one_clock(frames)
        order = sorted(frames, key=lambda frame: frame.instrument)
        first, stop = min(frame.start for frame in order), max(frame.stop for frame in order)
        bars = np.full((stop - first, len(order), s.BAR_COLUMNS), np.nan)
        repaired = np.zeros((stop - first, len(order)), dtype=bool)
        volatility = np.full((stop - first, len(order)), np.nan)
        given, allowed, said = funding or {}, terms or FundingTerms(), []
        settled: dict[int, Settlements] = {}
        breaks: list[tuple[int, int]] = []
        lacking: list[tuple[str, str]] = []
        for i, frame in enumerate(order):
            here = slice(frame.start - first, frame.stop - first)
            part = bars[here, i]
            part[:, : s.CLOSE + 1], known = prices_of(frame, frame.start, len(frame))
            part[:, s.SLIPPAGE] = _slippage(frame, slippage)
            begun = np.flatnonzero(frame.base.state[_loaded(frame)] == BREAK)
            breaks += [(frame.start - first + int(at), i) for at in begun]
            said += [_break(frame, int(at)) for at in begun]
            words, no_mark = _mark(frame, part, begun, allowed)
            settled[i], assumed, no_funding = _settlements(frame, given.get(frame.instrument), allowed)
            lacking += [(no_mark, no_funding)] if no_mark or no_funding else []
            settled[i] = _not_across(settled[i], known, begun, frame)
            said += [*words, *assumed]
            part[:, s.FUNDING_OPEN], part[:, s.FUNDING_INSIDE] = 0.0, 0.0
            _pay(part, known, settled[i], frame.start * timeframe.ms, timeframe.ms)
            part[~known] = np.nan
            repaired[here, i] = _repaired(frame.base, frame.start, frame.stop)
            volatility[here, i] = daily_deviations(frame.base, frame.start, len(frame))
        _require(lacking)
        there = np.isfinite(bars[:, :, s.OPEN])
        last = np.where(there.any(axis=0), len(bars) - 1 - np.argmax(there[::-1], axis=0), -1)
        names = tuple(frame.instrument for frame in order)
        panel = cls(
            names, timeframe, first, bars, repaired, last, tuple(dict.fromkeys(said)), None, tuple(breaks), volatility
        )
        return panel if not inside else replace(panel, inside=_inside(panel, inside, settled))

    def dearer(self, factor: float) -> SimulationPanel:
        """The same with slippage times a factor."""
        bars = self.bars.copy()
        bars[:, :, s.SLIPPAGE] *= factor
        if self.inside is None:
            return replace(self, bars=bars)
        finer = self.inside.bars.copy()
        finer[:, :, s.SLIPPAGE] *= factor
        return replace(self, bars=bars, inside=replace(self.inside, bars=finer))


def _one_clock(frames: Sequence[MarketFrame]) -> Timeframe:
    clocks = {frame.timeframe.name for frame in frames}
    if len(clocks) != 1:
        listed = ", ".join(sorted(clocks)) or "none"
        raise ConfigError(f"A portfolio trades on one timeframe, was given {listed}. Load all with the same.")
    names = [str(frame.instrument) for frame in frames]
    if len(set(names)) < len(names):
        raise ConfigError(f"A portfolio holds each instrument once, was given {', '.join(sorted(names))}.")
    return frames[0].timeframe


def _slippage(frame: MarketFrame, least: float) -> Array:
    """Half the spread that was known when the bar opened, as a share of price; at least the configured share."""
    here = np.full(len(frame), least)
    if "spread" not in frame.base.columns:
        return here
    before = np.arange(frame.start, frame.stop) - frame.base.first - 1
    seen = before >= 0
    half = 0.5 * frame.base.columns["spread"][before[seen]] / frame.base.columns["close"][before[seen]]
    here[seen] = np.fmax(least, half)
    return here


def _break(frame: MarketFrame, at: int) -> str:
    """Say that another instrument begins at the bar at a position of a frame's window."""
    moment = iso((frame.start + at) * frame.timeframe.ms)
    return f"{frame.instrument.symbol} is another instrument from {moment} on: what is held is settled before it"


def _loaded(frame: MarketFrame) -> slice:
    """Where the bars for which answers are wanted lie among those that are loaded."""
    return slice(frame.start - frame.base.first, frame.stop - frame.base.first)


def _require(lacking: list[tuple[str, str]]) -> None:
    """Refuse markets of which something is not known, all of it at once, with everything that would have to be said."""
    if not lacking:
        return
    said = [part for of_one in lacking[:NAMED] for part in of_one if part]
    said += [f"So it is of {len(lacking) - NAMED} more."] if len(lacking) > NAMED else []
    marks, funding = (any(of_one[k] for of_one in lacking) for k in (0, 1))
    options = " ".join((f"--assume-funding {USUAL_RATE}",) * funding + ("--mark last",) * marks)
    why = " and ".join(("assume that rate per eight hours",) * funding + ("take the last price for the mark",) * marks)
    raise NoDataError(
        f"{' '.join(said)} Positions pay, and are liquidated, by them. Import them, or pass {options} to {why}."
    )


def _mark(frame: MarketFrame, part: Array, begun: NDArray[np.int64], terms: FundingTerms) -> tuple[list[str], str]:
    """Write mark prices: recorded ones, or the last price where that may stand; return what was assumed, and lacks."""
    columns, here = frame.base.columns, _loaded(frame)
    part[:, s.MARK_OPEN : s.MARK_CLOSE + 1] = part[:, s.OPEN : s.CLOSE + 1]
    if frame.instrument.is_spot:
        return [], ""
    recorded = columns["mark"][here] if "mark" in columns else np.full(len(frame), np.nan)
    known = np.isfinite(part[:, s.CLOSE])
    if np.isfinite(recorded[known]).all() and known.any():
        # within the bar the mark is known at its close only: its extremes are those of the last price, shifted by the
        # larger of the premiums at both ends, so that a liquidation is rather seen than missed
        premium = recorded / part[:, s.CLOSE]
        seen = np.isfinite(premium)
        latest = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), np.argmax(seen)))
        earlier = premium[np.append(latest[:1], latest[:-1])]  # after a gap, that of before it
        earlier[begun] = premium[begun]
        part[:, s.MARK_OPEN] = part[:, s.OPEN] * earlier
        part[:, s.MARK_HIGH] = part[:, s.HIGH] * np.fmax(premium, earlier)
        part[:, s.MARK_LOW] = part[:, s.LOW] * np.fmin(premium, earlier)
        part[:, s.MARK_CLOSE] = recorded
        return [], ""
    if not terms.mark_is_last:
        missing = int((~np.isfinite(recorded) & known).sum())
        of_all = f"{missing:,} of {int(known.sum()):,} bars"
        return [], f"Mark prices of {frame.instrument} are not known for {of_all}."
    return ["the last price stands for the mark price"], ""


class Settlements(NamedTuple):
    """Funding of a perpetual: when it settles, at which rate, and on which mark, NaN for that of the bar."""

    times: NDArray[np.int64]
    rates: Array
    marks: Array


def _settlements(frame: MarketFrame, events: Events | None, terms: FundingTerms) -> tuple[Settlements, list[str], str]:
    """Find the settlements of a frame, recorded ones and assumed ones; return what was assumed, and what lacks."""
    if frame.instrument.is_spot or len(frame) == 0:
        return Settlements(np.empty(0, np.int64), np.empty(0), np.empty(0)), [], ""
    start, stop = frame.start * frame.timeframe.ms, frame.stop * frame.timeframe.ms
    hole: int | None = start
    recorded = np.empty(0, dtype=np.int64)
    found = Settlements(recorded, np.empty(0), np.empty(0))
    if events is not None and len(events):
        stretches = _unbroken(frame)
        recorded = _on_the_hour(events.event_time)
        inside = (recorded >= start) & (recorded < stop)
        found = Settlements(recorded[inside], events["rate"][inside], events["mark"][inside])
        hole = next((hole for a, b in stretches if (hole := _hole(recorded, a, b)) is not None), None)
    if hole is None:
        return found, [], ""
    if terms.assume is None:
        return found, [], f"Funding of {frame.instrument} is not known from {iso(hole)} on."
    times = np.arange(-(-start // USUAL_INTERVAL) * USUAL_INTERVAL, stop, USUAL_INTERVAL, dtype=np.int64)
    before, upto = np.searchsorted(recorded, times - USUAL_INTERVAL, "right"), np.searchsorted(recorded, times, "right")
    times = times[before == upto]  # what was recorded stays as it was
    assumed = Settlements(times, np.full(len(times), terms.assume), np.full(len(times), np.nan))
    both = Settlements(*(np.concatenate(parts) for parts in zip(found, assumed, strict=True)))
    return both, [f"funding of {terms.assume:.4%} every eight hours is assumed where none is recorded"], ""


def _unbroken(frame: MarketFrame) -> list[tuple[int, int]]:
    """Stretches of time, ms, in which a frame trades one instrument each: what lies between them settles nothing."""
    state, ms = frame.base.state[_loaded(frame)], frame.timeframe.ms
    published = np.flatnonzero(is_published(state))
    begun = np.flatnonzero(state == BREAK)
    ended = (published[np.maximum(np.searchsorted(published, begun) - 1, 0)] + 1).tolist()
    return [
        ((frame.start + int(a)) * ms, (frame.start + int(b)) * ms)
        for a, b in zip([0, *begun], [*ended, len(state)], strict=True)
        if a < b
    ]


def _not_across(
    settled: Settlements, known: NDArray[np.bool_], begun: NDArray[np.int64], frame: MarketFrame
) -> Settlements:
    """Leave out what settles after the last bar of an instrument and before the first of the one that follows it."""
    if len(begun) == 0 or len(settled.times) == 0:
        return settled
    start, ms = frame.start * frame.timeframe.ms, frame.timeframe.ms
    bar, _ = _bars_of(settled, known, start, ms)
    fell = (settled.times - start) // ms
    kept = np.searchsorted(begun, fell, "right") == np.searchsorted(begun, bar, "right")
    return Settlements(*(of[kept] for of in settled))


def _on_the_hour(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Settlements at their hour: they are stamped some ms later."""
    late = times % HOUR
    return np.where(late <= JITTER, times - late, times)


def _hole(times: NDArray[np.int64], start: int, stop: int) -> int | None:
    """First moment from which no settlement is known for longer than any interval; None if there is no such hole."""
    within = times[(times >= start - LONGEST_INTERVAL) & (times < stop)]
    edges = np.concatenate(([start - 1], within[within >= start], [stop]))
    if len(within) and within[0] < start:
        edges[0] = within[within < start][-1]
    apart = np.flatnonzero(np.diff(edges) > LONGEST_INTERVAL + 1)
    return int(max(edges[apart[0]], start)) if len(apart) else None


def _pay(part: Array, known: NDArray[np.bool_], settled: Settlements, start: int, ms: int) -> None:
    """Add funding rate times mark price where it settles: at the open of a bar, or inside it.

    What settles in a bar that is not known is paid at the next one that is.
    """
    bar, at_open = _bars_of(settled, known, start, ms)
    paid = bar < len(part)  # after the last known bar nothing is held any more
    bar, at_open, rates, marks = bar[paid], at_open[paid], settled.rates[paid], settled.marks[paid]
    opened = np.where(np.isfinite(marks), marks, part[bar, s.MARK_OPEN])
    closed = np.where(np.isfinite(marks), marks, part[bar, s.MARK_CLOSE])
    np.add.at(part[:, s.FUNDING_OPEN], bar[at_open], (rates * opened)[at_open])
    np.add.at(part[:, s.FUNDING_INSIDE], bar[~at_open], (rates * closed)[~at_open])


def _bars_of(
    settled: Settlements, known: NDArray[np.bool_], start: int, ms: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Positions of the bars at which settlements are paid, and whether at their opens; past the end where at none."""
    fell, there = (settled.times - start) // ms, np.append(np.flatnonzero(known), len(known))
    bar = there[np.searchsorted(there, fell)]
    return bar, (settled.times % ms == 0) | (bar != fell)


def _inside(
    panel: SimulationPanel, frames: Mapping[Instrument, MarketFrame], settled: Mapping[int, Settlements]
) -> Intrabar:
    """Put finer bars inside those of a stage."""
    timeframe = _one_clock(list(frames.values()))
    if timeframe.ms >= panel.timeframe.ms or panel.timeframe.ms % timeframe.ms:
        raise ConfigError(
            f"Bars of {timeframe} do not resolve the intrabar path of bars of {panel.timeframe}. Give finer ones that "
            "divide them."
        )
    every, n = panel.timeframe.ratio(timeframe), len(panel)
    start, first = panel.first * panel.timeframe.ms, panel.first * every
    bars = np.empty((n * every, len(panel.instruments), s.BAR_COLUMNS))
    told = np.zeros((n, len(panel.instruments)), dtype=bool)
    for i, name in enumerate(panel.instruments):
        prices, known = np.full((n * every, s.CLOSE + 1), np.nan), np.zeros(n * every, dtype=bool)
        if name in frames:
            prices, known = prices_of(frames[name], first, n * every)
        slow = panel.bars[:, i]
        fine, told[:, i] = spread(slow, prices.reshape(n, every, s.CLOSE + 1), known.reshape(n, every))
        bar, _ = _bars_of(settled[i], np.isfinite(slow[:, s.OPEN]), start, panel.timeframe.ms)
        mine = np.append(told[:, i], False)[bar]
        bars[:, i] = fine.reshape(n * every, s.BAR_COLUMNS)
        paid = Settlements(*(of[mine] for of in settled[i]))
        _pay(bars[:, i], np.repeat(told[:, i], every), paid, start, timeframe.ms)
    return Intrabar(timeframe, bars, told)


def _repaired(bars: Bars, start: int, stop: int) -> NDArray[np.bool_]:
    """Bars that were bridged or misprinted, or are the first known ones after bars that are not."""
    odd: NDArray[np.bool_] = (bars.state != TRADED) & (bars.state != NO_TRADE)
    odd[[at // bars.timeframe.ms - bars.first for at, _ in misprints_of(bars)]] = True
    unknown = odd[max(start - 1, bars.first) - bars.first : stop - bars.first]
    if start > bars.first:
        return np.logical_or(unknown[1:], unknown[:-1])
    return np.logical_or(unknown, np.concatenate(([False], unknown[:-1])))
