"""The open-interest view on the terminal: tables of what is known, sentences, and why the rest is not known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from virtuoso.cli.terminal.console import heading, leaning, moment, pairs, prose, table
from virtuoso.reports.contribution import gauge
from virtuoso.reports.format import DASH, number, percent, price, whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.prism.open_interest.report import OpenInterest


def open_interest_view(found: OpenInterest) -> Iterator[RenderableType]:
    """Everything that the view says, in the order of its keys."""
    yield f"{found.symbol} Open Interest  {found.venue} {found.timeframe}, close of {moment(found.time)}"
    yield pairs(_facts(found))
    yield heading("Change of open interest")
    yield table(
        ("SPAN", "CONTRACTS", "SHARE", "NOTIONAL"),
        (
            (
                delta.span,
                number(delta.change, signed=True),
                percent(delta.share, 2, signed=True),
                _money(delta.notional),
            )
            for delta in found.oi_delta.values()
        ),
    )
    yield heading("Structure by timeframe, moves in usual moves of each")
    yield table(
        ("TIMEFRAME", "QUADRANT", "GAUGE", "PRICE", "CONTRACTS", "SCORE"),
        (
            (
                part.timeframe,
                part.quadrant.replace("_", " ") or DASH,
                leaning(gauge(part.score), part.score),
                number(part.price_move, 1, signed=True),
                number(part.interest_move, 1, signed=True),
                number(part.score, 1),
            )
            for part in found.timeframe_structure.values()
        ),
        left=3,
    )
    yield from _estimates(found)
    yield heading("In words")
    yield from (prose(sentence, 2) for sentence in found.interpretation)
    if found.reasons:
        yield heading("Not known")
        yield from (prose(f"{key}: {reason}", 2) for key, reason in found.reasons.items())


def _facts(found: OpenInterest) -> Iterator[tuple[str, str]]:
    funding, correlation = found.funding, found.oi_price_correlation
    yield "score", f"{number(found.score, 1)}  {gauge(found.score)}"
    yield "price", price(found.price)
    yield "open interest", f"{whole(found.open_interest)} contracts, {_money(found.open_interest_value)} notional"
    moved = f"{number(correlation.value, signed=True)} over {correlation.bars} steps of {correlation.timeframe}"
    yield "with price", moved
    paid = f", {_money(funding.per_day)} a day" if funding.payer in ("longs", "shorts") else ""
    yield "funding", f"{percent(funding.rate, 4, signed=True)} in eight hours, paid by {funding.payer or DASH}{paid}"
    yield "build-up", f"{number(found.concentration.build_up, 1, signed=True)} deviations from its usual"


def _estimates(found: OpenInterest) -> Iterator[RenderableType]:
    """Where positions would be forced out: nobody publishes it, so it is marked."""
    if found.concentration.levels:
        yield heading("Liquidation levels, estimated: as if every position had this leverage")
        yield table(
            ("LEVERAGE", "SIDE", "NEAREST", "MEAN", "NOTIONAL"),
            (
                (f"{level.leverage}x", level.side, price(level.nearest), price(level.price), _money(level.notional))
                for level in found.concentration.levels
            ),
            left=2,
        )
    if found.squeeze_points:
        yield heading("Squeeze points, estimated")
        yield table(
            ("PRICE", "SIDE", "RESTS ON", "STRENGTH", "ATR AWAY"),
            (
                (price(p.price), p.side, ", ".join(p.basis), number(p.strength), number(p.distance, 1))
                for p in found.squeeze_points
            ),
            left=(1, 2),
        )


def _money(value: float) -> str:
    """Write an amount of quote currency as `2.40 M`."""
    for unit, factor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{number(value / factor)} {unit}"
    return number(value, 0)
