"""The open-interest room: what the positions of a market say at one moment, and why.

1. `analyse` reads a frame as it was known at a moment: open interest counts from when it was published.
2. Everything that moves with the bars is a node of the engine (features/derivatives/interest.py), so that a moment of a
   batch, of a replay and of a live session are one number. What stands at the end (liquidation levels, squeeze points)
   is drawn from the bars of a fixed window (squeeze.py).
3. `OpenInterest` (report.py) holds the raw numbers and the sentences; what is not known is NaN, and `reasons`
   says why.

The score asks on four clocks which quadrant the market is in, and adds at most ten points of divergence.
"""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Span, Timeframe, parse_time
from virtuoso.errors import MissingColumnError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, UNKNOWN
from virtuoso.prism.component import Feature, Node
from virtuoso.prism.engine.alignment import seen, seen_scores
from virtuoso.prism.engine.graph import columns_of
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.derivatives.interest import (
    AccountsLean,
    FundingLean,
    InterestCorrelation,
    InterestDivergence,
    InterestLevel,
    InterestMoves,
    InterestQuadrant,
    counted_at,
)
from virtuoso.prism.features.divergence import KINDS
from virtuoso.prism.features.swings import Pivots, Swings
from virtuoso.prism.features.volatility import MeanRange
from virtuoso.prism.open_interest.report import (
    ABNORMAL,
    DIVERGENCE_WORDS,
    Concentration,
    Correlation,
    Funding,
    InterestDelta,
    OpenInterest,
    PivotDivergence,
    TimeframeStructure,
    quadrant,
    sentences,
)
from virtuoso.prism.open_interest.squeeze import (
    CrowdSide,
    Positions,
    SqueezePoint,
    liquidation_levels,
    squeeze_points,
    standing_positions,
    unbroken_swings,
)
from virtuoso.prism.scale import ratio
from virtuoso.types import Array

STRUCTURE = {"5m": 0.40, "30m": 0.30, "4h": 0.20, "1d": 0.10}
"""Clocks on which the structure is read, and what each weighs in the score."""
PACE = Timeframe("5m")
"""Open interest is published about as often; a faster base timeframe is read at this one."""
SPANS = ("5m", "30m", "4h", "1d")
BUILD_SPAN = Span("3d")
"""How far back positions are looked for that still stand."""
CHART = Timeframe("30m")
CHART_BARS = 240
"""Where, and how far back, swings are looked for that hold stops."""
DIVERGENCE_POINTS = 10.0
TELLING = 0.10
"""Strength from which a divergence is reported."""
PAYMENTS_A_DAY = 3.0
"""Funding is kept as a rate for eight hours."""
NEEDED = ("open_interest", "open_interest_value")
NAN = float("nan")


def structure_timeframes(base: Timeframe) -> list[Timeframe]:
    """Clocks of the structure that a base timeframe allows, fastest first."""
    return [clock for clock in map(Timeframe, STRUCTURE) if clock.ms >= base.ms and clock.ms % base.ms == 0]


def pace(base: Timeframe) -> Timeframe:
    """Clock on which open interest is read: its own pace, or the base timeframe where that is slower."""
    return base if base.ms >= PACE.ms else structure_timeframes(base)[0]


def position_score(workspace: Workspace, a: int, b: int) -> Array:
    """Score of the room for the base bars numbered [a, b), 0..100: the same for five years and for one bar.

    The weighted mean of the quadrants of the clocks that are known, and at most ten points of divergence.

    Returns
    -------
    Array, shape (b - a,)
        NaN where no clock is known. Uses what had closed and been published by each bar's close only.
    """
    base = workspace.frame.timeframe
    total, weight = np.zeros(b - a), np.zeros(b - a)
    for clock in structure_timeframes(base):
        own = seen_scores(InterestQuadrant(), workspace, clock, a, b)
        known = np.isfinite(own)
        total += np.where(known, STRUCTURE[clock.name] * own, 0.0)
        weight += np.where(known, STRUCTURE[clock.name], 0.0)
    (strength, _), told = seen(InterestDivergence(), workspace, pace(base), a, b)
    bonus = np.where(told, DIVERGENCE_POINTS * strength, 0.0)
    points: Array = np.clip(ratio(total, weight) + bonus, 0.0, 100.0)
    return points


def analyse(market: MarketFrame | Workspace, at: int | str | None = None) -> OpenInterest:
    """Read the room at one moment.

    Parameters
    ----------
    market : MarketFrame or Workspace
        With `open_interest` and `open_interest_value`; funding and ratios are used where they are there.
    at : int (ms) or str, optional
        The last bar closed by then; the newest if absent.

    Returns
    -------
    OpenInterest

    Raises
    ------
    MissingColumnError
        The frame carries no open interest.
    NotLoadedError
        The moment, or bars that are remembered, are not loaded.
    """
    workspace = market if isinstance(market, Workspace) else Workspace(market)
    frame = workspace.frame
    missing = [name for name in NEEDED if name not in frame.base.columns]
    if missing:
        raise MissingColumnError(
            f"{frame.instrument} carries no column {' and '.join(missing)}, so there is nothing to say about open "
            "interest. Import the venue's metrics beside the bars, of a derivative and not of spot."
        )
    number = frame.stop - 1
    if at is not None:
        number = frame.number_at(parse_time(at) if isinstance(at, str) else at)
    return _Reading(workspace, number).found()


def squeezes_at(workspace: Workspace, number: int) -> tuple[SqueezePoint, ...]:
    """Squeeze points at the close of a base bar; none where open interest is not carried."""
    if not set(NEEDED) <= workspace.frame.base.columns.keys():
        return ()
    return _Reading(workspace, number).squeezes()


class _Reading:
    """One moment of one workspace."""

    def __init__(self, workspace: Workspace, number: int) -> None:
        self.workspace, self.number = workspace, number
        self.base = workspace.frame.timeframe
        self.pace = pace(self.base)
        self.reasons: dict[str, str] = {}
        self.price = self._column("close", self.base)
        self.interest = self._column("open_interest", self.pace)
        self.value = self._column("open_interest_value", self.pace)

    def found(self) -> OpenInterest:
        """Everything that is known at the moment."""
        instrument = self.workspace.frame.instrument
        if self.interest != self.interest:
            self.reasons["open_interest"] = self._silence(self.pace)
        points = float(position_score(self.workspace, self.number, self.number + 1)[0])
        if points != points:
            self.reasons["score"] = "no timeframe of the structure is known"
        deltas = {span: self._delta(span) for span in SPANS if Span(span).ms % self.pace.ms == 0}
        correlation = Correlation(self._at(InterestCorrelation(), self.pace)[0], self.pace.name,
                                  InterestCorrelation().period)  # fmt: skip
        self._why("oi_price_correlation", correlation.value, self.pace)
        funding, (concentration, points_of_squeeze) = self._funding(), self._positions()
        structure = {clock.name: self._structure(clock) for clock in structure_timeframes(self.base)}
        divergences = tuple(found for clock in self._pivot_structure_timeframes() for found in self._divergences(clock))
        return OpenInterest(
            instrument.symbol, instrument.venue, self.base.name, self.base.close_time(self.number), self.price,
            self.interest, self.value, deltas, correlation, divergences, funding, concentration, structure,
            points_of_squeeze, points,
            tuple(sentences(deltas, correlation, divergences, funding, concentration, structure, points_of_squeeze)),
            self.reasons,
        )  # fmt: skip

    def squeezes(self) -> tuple[SqueezePoint, ...]:
        """The squeeze points alone."""
        return self._squeeze(self._standing())

    # --- reading ------------------------------------------------------------------------------------------------

    def _seen(self, clock: Timeframe) -> int:
        """Number of the last bar of a clock that has closed."""
        return int(self.workspace.visible(np.array([self.number]), self.base, clock)[0])

    def _window(self, clock: Timeframe, length: int) -> slice:
        """Positions of the last `length` bars of a clock, fewer where history begins."""
        bars, last = self.workspace.buffers(clock).bars, self._seen(clock)
        self.workspace.require_loaded(clock, last - length + 1)
        first = max(last - length + 1, self._begun(clock))
        return slice(max(first - bars.first, 0), max(last + 1 - bars.first, 0))

    def _begun(self, clock: Timeframe) -> int:
        """Number of the bar of a clock in which history begins anew; far away where it never did."""
        return int(self.workspace.begins(np.array([self.number]), self.base, clock)[0])

    def _column(self, name: str, clock: Timeframe, back: int = 0) -> float:
        """Value of a column `back` bars before the last one that has closed; NaN where it is not known."""
        bars, at = self.workspace.buffers(clock).bars, self._seen(clock) - back
        self.workspace.require_loaded(clock, at)
        if name not in bars.columns or not max(bars.first, self._begun(clock)) <= at < bars.end:
            return NAN
        return float(bars.columns[name][at - bars.first])

    def _at(self, node: Node, clock: Timeframe) -> list[float]:
        """Outputs of a node on a clock as the moment sees them; NaN where not known or its columns are not there."""
        outputs = node.outputs if isinstance(node, Feature) else None
        width = len(outputs._fields) if outputs is not None else 1  # type: ignore[attr-defined]
        if not columns_of(node) <= set(self.workspace.frame.base.columns):
            return [NAN] * width
        arrays, known = seen(node, self.workspace, clock, self.number, self.number + 1)
        return [float(values[0]) if known[0] else NAN for values in arrays]

    def _silence(self, clock: Timeframe) -> str:
        """Return why open interest is not known on a clock."""
        bars, at = self.workspace.buffers(clock).bars, self._seen(clock)
        if not bars.first <= at < bars.end:
            return f"no {clock} bar has closed yet"
        state = bars.state[at - bars.first]
        if state in (UNKNOWN, BRIDGED):
            return f"the {clock} bar is missing"
        interest = bars.columns["open_interest"][at - bars.first]
        return (
            "open interest was not published in time"
            if interest != interest
            else "too little history, or nothing moved"
        )

    def _why(self, key: str, value: float, clock: Timeframe) -> None:
        if value != value:
            self.reasons[key] = self._silence(clock)

    # --- the six parts ------------------------------------------------------------------------------------------

    def _delta(self, span: str) -> InterestDelta:
        before = self._column("open_interest", self.pace, Span(span).ms // self.pace.ms)
        change = self.interest - before
        self._why(f"oi_delta.{span}", change, self.pace)
        price = self.value / self.interest if self.interest > 0.0 else NAN
        return InterestDelta(span, change, change / before if before > 0.0 else NAN, change * price)

    def _funding(self) -> Funding:
        rate = self._column("funding_rate", self.base)
        usual = self._at(FundingLean(), FundingLean().clock(self.base))[0]
        if rate != rate:
            there = "funding_rate" in self.workspace.frame.base.columns
            self.reasons["funding"] = "no settled rate in force" if there else "the source has no funding"
        elif usual != usual:
            self.reasons["funding.against_usual"] = "too little history"
        payer = "" if rate != rate else "longs" if rate > 0.0 else "shorts" if rate < 0.0 else "nobody"
        return Funding(rate, payer, PAYMENTS_A_DAY * abs(rate) * self.value, usual)

    def _positions(self) -> tuple[Concentration, tuple[SqueezePoint, ...]]:
        """How much has built up, where it would be liquidated, and where that would squeeze."""
        build_up = self._at(InterestLevel(), self.pace)[0]
        self._why("concentration", build_up, self.pace)
        positions = self._standing()
        levels = tuple(liquidation_levels(positions))
        if not levels:
            self.reasons["concentration.levels"] = f"open interest was not seen to grow within {BUILD_SPAN.text}"
        return Concentration(build_up, abs(build_up) >= ABNORMAL, levels), self._squeeze(positions)

    def _standing(self) -> Positions:
        """Positions that were opened within BUILD_SPAN and still stand."""
        here = self._window(self.pace, self.pace.bars(BUILD_SPAN))
        columns = self.workspace.buffers(self.pace).bars.columns
        interest, value, close, low, high = (
            columns[name][here] for name in ("open_interest", "open_interest_value", "close", "low", "high")
        )
        return standing_positions(interest, counted_at(interest, value, close), low, high)

    def _squeeze(self, positions: Positions) -> tuple[SqueezePoint, ...]:
        chart = CHART if CHART.ms >= self.pace.ms and CHART.ms % self.base.ms == 0 else self.pace
        here, bars = self._window(chart, CHART_BARS), self.workspace.buffers(chart).bars
        a, b = here.start + bars.first, here.stop + bars.first
        if a >= b:
            self.reasons["squeeze_points"] = f"no {chart} bar has closed yet"
            return ()
        unit = self.workspace.values(MeanRange(), chart, a, b)[0]
        swings = Pivots(*self.workspace.values(Swings(), chart, a, b))
        low, high = bars.columns["low"][here], bars.columns["high"][here]
        above, below = (unbroken_swings(swings, unit, low, high, side) for side in ("above", "below"))
        funding = self._at(FundingLean(), FundingLean().clock(self.base))[0]
        crowd = CrowdSide.of(funding, self._at(AccountsLean(), self.pace)[0])
        found = tuple(squeeze_points(self.price, float(unit[-1]), positions, above, below, crowd))
        if not found:
            self.reasons["squeeze_points"] = "no unbroken swing and no estimated liquidation level is known"
        return found

    def _structure(self, clock: Timeframe) -> TimeframeStructure:
        price, interest = self._at(InterestMoves(), clock)
        points = float(seen_scores(InterestQuadrant(), self.workspace, clock, self.number, self.number + 1)[0])
        self._why(f"timeframe_structure.{clock}", points, clock)
        name, words = quadrant(price, interest)
        return TimeframeStructure(clock.name, price, interest, name, points, words)

    def _pivot_structure_timeframes(self) -> list[Timeframe]:
        return [self.pace, *(clock for clock in structure_timeframes(self.base) if self.pace.ms < clock.ms <= CHART.ms)]

    def _divergences(self, clock: Timeframe) -> list[PivotDivergence]:
        strength, kind = self._at(InterestDivergence(), clock)
        self._why(f"divergences.{clock}", strength, clock)
        if not abs(strength) >= TELLING:
            return []
        name = KINDS[int(kind)]
        return [PivotDivergence(clock.name, name, abs(strength), DIVERGENCE_WORDS[name])]
