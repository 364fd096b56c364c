"""What the open-interest room found at one moment: raw numbers, and the sentences that are read from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from virtuoso.market.schema.columns import NEUTRAL_FUNDING
from virtuoso.prism.open_interest.squeeze import LiquidationLevel, SqueezePoint

CLEAR = 0.25
"""Usual moves below which price or open interest is said to stand still."""
ABNORMAL = 1.5
"""Deviations from which a build-up is called abnormal."""
TOGETHER = 0.3
"""Correlation from which open interest is said to move with price, or against it."""
PAYING = 1.0
"""Usual sizes from which funding is said to be unusual."""

QUADRANTS = {
    (1, 1): ("strong_bullish", "price rises on new contracts: buyers commit"),
    (1, -1): ("strong_bearish", "price falls on new contracts: sellers commit"),
    (-1, 1): ("weak_bullish", "price rises while contracts are closed: shorts cover, the rise may turn"),
    (-1, -1): ("weak_bearish", "price falls while contracts are closed: longs give up, the fall may turn"),
}
"""Side of open interest and of price, to the name of the quadrant and what it means."""

DIVERGENCE_WORDS = {
    "regular_bullish": "a lower low on fewer open contracts: the fall is not sold into any more, an early warning",
    "hidden_bullish": "a higher low on more open contracts: the rise is joined",
    "regular_bearish": "a higher high on fewer open contracts: the rise is not joined, an early warning",
    "hidden_bearish": "a lower high on more open contracts: the fall is joined",
}


@dataclass(frozen=True, slots=True)
class InterestDelta:
    """Change of open interest over a span: base currency, share of what it was, and notional at today's price."""

    span: str
    change: float
    share: float
    notional: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """Rolling correlation of the steps of open interest with those of the price it was counted at."""

    value: float
    timeframe: str
    bars: int


@dataclass(frozen=True, slots=True)
class PivotDivergence:
    """A divergence of price and open interest on confirmed swings; strength is 0..1, kind a word of KINDS."""

    timeframe: str
    kind: str
    strength: float
    words: str


@dataclass(frozen=True, slots=True)
class Funding:
    """Who pays to hold.

    Attributes
    ----------
    rate : float
        Of eight hours.
    payer : str
        'longs', 'shorts', 'nobody', or '' where not known.
    per_day : float, quote currency
        What the payers pay a day for the open contracts at this rate.
    against_usual : float
        Funding beyond neutral, in its usual size of the last week; longs paying above 0.
    """

    rate: float
    payer: str
    per_day: float
    against_usual: float


@dataclass(frozen=True, slots=True)
class Concentration:
    """How far open interest has built up against its own history, and where liquidation would cascade: estimates."""

    build_up: float
    abnormal: bool
    levels: tuple[LiquidationLevel, ...]
    estimate: bool = True


@dataclass(frozen=True, slots=True)
class TimeframeStructure:
    """The quadrant on one clock.

    Attributes
    ----------
    price_move, interest_move : float
        In usual moves of that clock.
    quadrant : str
        strong_bullish, weak_bullish, strong_bearish, weak_bearish, still; '' where not known.
    score : float, 0..100
    words : str
    """

    timeframe: str
    price_move: float
    interest_move: float
    quadrant: str
    score: float
    words: str


@dataclass(frozen=True, slots=True)
class OpenInterest:
    """What open interest says at one moment; the keys of `to_dict` are those of the API and the reports.

    Attributes
    ----------
    symbol, venue, timeframe : str
    time : int, ms
        Close of the bar that is explained.
    price : float
    open_interest, open_interest_value : float, base and quote currency
    oi_delta : mapping of span to InterestDelta
    oi_price_correlation : Correlation
    divergences : tuple of PivotDivergence
    funding : Funding
    concentration : Concentration
    timeframe_structure : mapping of timeframe to TimeframeStructure
    squeeze_points : tuple of SqueezePoint
    score : float, 0..100
    interpretation : tuple of str
    reasons : mapping of key to str
        Why something is not known.
    """

    symbol: str
    venue: str
    timeframe: str
    time: int
    price: float
    open_interest: float
    open_interest_value: float
    oi_delta: Mapping[str, InterestDelta]
    oi_price_correlation: Correlation
    divergences: tuple[PivotDivergence, ...]
    funding: Funding
    concentration: Concentration
    timeframe_structure: Mapping[str, TimeframeStructure]
    squeeze_points: tuple[SqueezePoint, ...]
    score: float
    interpretation: tuple[str, ...]
    reasons: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the keys of components.md; NaN where not known."""
        return asdict(self)


def quadrant(price_move: float, interest_move: float) -> tuple[str, str]:
    """Name of a quadrant and what it means; empty where one of the moves is not known."""
    if price_move != price_move or interest_move != interest_move:
        return "", "not known"
    if abs(price_move) < CLEAR:
        opened = interest_move >= CLEAR
        held = (
            "so does open interest"
            if abs(interest_move) < CLEAR
            else f"contracts are {'opened' if opened else 'closed'}"
        )
        return "still", f"price stands still, {held}"
    if abs(interest_move) < CLEAR:
        return "still", "price moves, open interest stands still: positions only change hands"
    return QUADRANTS[1 if interest_move > 0.0 else -1, 1 if price_move > 0.0 else -1]


def sentences(
    deltas: Mapping[str, InterestDelta],
    correlation: Correlation,
    divergences: Sequence[PivotDivergence],
    funding: Funding,
    concentration: Concentration,
    structure: Mapping[str, TimeframeStructure],
    squeezes: Sequence[SqueezePoint],
) -> Iterator[str]:
    """Read the raw numbers aloud; what is not known is not spoken of."""
    changes = [f"{d.share:+.2%} in {d.span}" for d in deltas.values() if d.share == d.share]
    if changes:
        yield f"Open interest changed by {', '.join(changes)}."
    for part in structure.values():
        if part.quadrant:
            yield f"{part.timeframe}: {part.words} ({part.quadrant.replace('_', ' ')})."
    if correlation.value == correlation.value:
        yield _correlation(correlation)
    yield from (f"Divergence on {d.timeframe}: {d.words} (strength {d.strength:.2f})." for d in divergences)
    if funding.payer:
        yield _funding(funding)
    if concentration.build_up == concentration.build_up:
        word = "abnormal" if concentration.abnormal else "ordinary"
        yield f"Open interest is {concentration.build_up:+.1f} deviations from its usual: {word}."
    for side, forced in (("below", "longs"), ("above", "shorts")):
        points = [point for point in squeezes if point.side == side]
        if points:
            strongest = max(points, key=lambda point: point.strength)
            yield (
                f"Squeeze point (estimate): {forced} would be forced out around {shown(strongest.price)}, "
                f"{strongest.distance:.1f} ATR {side}, strength {strongest.strength:.2f}; it rests on "
                f"{', '.join(strongest.basis)}."
            )


def _correlation(found: Correlation) -> str:
    what = "moves without regard to price"
    if abs(found.value) >= TOGETHER:
        what = "grows with price: buyers open" if found.value > 0.0 else "grows as price falls: sellers open"
    return f"Open interest {what} (correlation {found.value:+.2f} over {found.bars} steps of {found.timeframe})."


def _funding(found: Funding) -> str:
    if found.payer == "nobody":
        return "Funding is 0: nobody pays to hold."
    paid = "shorts" if found.payer == "longs" else "longs"
    cost = f", {found.per_day:,.0f} in quote currency a day" if found.per_day == found.per_day else ""
    usual = ""
    if abs(found.against_usual) >= PAYING:
        side = "longs" if found.against_usual > 0.0 else "shorts"
        lean = f"{abs(found.against_usual):.1f} x usual"
        usual = f"; against the neutral {NEUTRAL_FUNDING:.2%} it leans to the {side}, {lean}"
    return f"Funding {found.rate:+.4%} in eight hours: {found.payer} pay {paid}{cost}{usual}."


def shown(price: float) -> str:
    """Write a price with six digits that matter."""
    return f"{price:,.0f}" if abs(price) >= 100_000.0 else f"{price:.6g}"
