"""Issuing: a decision and its explanation become a Signal.

The only place where NaN becomes null; every null says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from virtuoso.prism.result.explanation import Explanation, Row, face_bias
from virtuoso.signals.decision import Decisions
from virtuoso.signals.message.context import SignalContext, context_of
from virtuoso.signals.message.insights import actionable_insights, insights, no_entry_in
from virtuoso.signals.message.provenance import provenance
from virtuoso.signals.message.signal import (
    ComponentScore,
    FaceScore,
    ScoreHistory,
    Signal,
    Target,
    TimeframeScore,
    signal_id,
)
from virtuoso.signals.rule import NEUTRAL, WORDS

VIEWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "momentum": (
        "Momentum",
        ("technical.rsi", "technical.ao", "technical.macd", "technical.williams_r", "technical.cci"),
    ),
    "price_action": (
        "Price action",
        (
            "price_structure.market_structure",
            "price_structure.trend_position",
            "price_structure.support_resistance",
            "price_structure.fair_value_gaps",
        ),
    ),
}
"""Summaries that consumers of this signal format expect beside the faces: the mean of some components."""


def known(value: float) -> float | None:
    """Write a number for JSON: null where it is not known."""
    return None if value != value else float(value)


def points(value: float) -> float | None:
    """Write a score; a weighted mean of hundreds may lie a rounding error above 100."""
    return None if value != value else min(max(float(value), 0.0), 100.0)


def share(value: float) -> float | None:
    """Write a share, which may lie a rounding error above 1 as well."""
    return None if value != value else min(max(float(value), 0.0), 1.0)


def build_signal(decided: Decisions, j: int, config: str | None = None) -> Signal:
    """Write the j-th decision as a signal.

    Parameters
    ----------
    decided : Decisions
    j : int
    config : str, optional
        Digest of the configuration; that of the prism and of the signal settings if absent.
    """
    scores, number = decided.scores, int(decided.levels.numbers[j])
    instrument, timeframe = scores.frame.instrument, scores.frame.timeframe
    time = timeframe.close_time(number)
    explanation = scores.explain(time)
    moment = context_of(decided, j, explanation)
    source = provenance(scores.prism, scores.workspace, decided.settings, number, config)
    trade = moment.trade
    return Signal(
        id=signal_id(instrument.venue, instrument.symbol, timeframe.name, time, source),
        expires_at=moment.lapses,
        simulated=instrument.is_simulated,
        symbol=instrument.symbol,
        venue=instrument.venue,
        timeframe=timeframe.name,
        signal=WORDS[moment.state],
        reason=moment.reason,
        score=points(explanation.confluence),
        reliability_basis=moment.basis,
        reliability=share(moment.reliability),
        coverage=min(explanation.coverage, 1.0),
        agreement=share(explanation.agreement),
        effective_inputs=known(explanation.effective_inputs),
        price=known(explanation.price),
        timestamp=time,
        components=faces(explanation) | views(explanation),
        entry_price=trade.entry if trade else None,
        entry_type=("retest" if trade.is_limit else "market") if trade else None,
        entry_expires_at=trade.expires if trade and trade.is_limit else None,
        stop_loss=trade.stop if trade else None,
        targets={} if trade is None else {
            f"target{k}": Target(price=price, size=size)
            for k, (price, size) in enumerate(zip(trade.targets, trade.sizes, strict=True), 1)
        },
        history=_history(moment),
        weights=moment.standing,
        insights=insights(moment),
        actionable_insights=actionable_insights(moment),
        unknown=_unknown(explanation, moment),
        provenance=source,
    )  # fmt: skip


def _history(moment: SignalContext) -> ScoreHistory | None:
    """What followed scores like this one."""
    after = moment.after
    if after is None:
        return None
    return ScoreHistory(
        text=after.words(),
        horizon=after.horizon,
        score_from=known(after.low),
        score_to=known(after.high),
        bars=after.bars,
        windows=after.windows,
        mean_bp=known(after.mean),
        low_bp=known(after.mean_low),
        high_bp=known(after.mean_high),
        up=share(after.up),
        cost_bp=after.cost,
        funding_bp=known(after.funding),
    )


def _unknown(explanation: Explanation, moment: SignalContext) -> dict[str, str]:
    """Why each field of the signal that is null is null."""
    reasons: dict[str, str] = {}
    if explanation.confluence != explanation.confluence:
        reasons |= dict.fromkeys(("score", "reliability", "agreement"), "no face is known")
    if explanation.effective_inputs != explanation.effective_inputs:
        reasons["effective_inputs"] = "no whole block of component scores is known yet"
    if explanation.price != explanation.price:
        reasons["price"] = "gap: no trade is known in this bar"
    if moment.trade is None:
        reason = "NEUTRAL: there is no entry"
        if moment.state != NEUTRAL:
            reason = f"ATR of {moment.structure_timeframe} or a price is not known, so no level is"
        if moment.is_stopped:
            reason = no_entry_in(moment)
        reasons |= dict.fromkeys(("entry_price", "entry_type", "stop_loss", "targets"), reason)
    if moment.trade is None or not moment.trade.is_limit:
        reasons["entry_expires_at"] = "there is no limit entry"
    return reasons


def faces(explanation: Explanation) -> dict[str, FaceScore]:
    """The six faces with their components."""
    return {row.name: _face(row, explanation.faces[row.name]) for row in explanation.total}


def _face(row: Row, parts: Sequence[Row]) -> FaceScore:
    return FaceScore(
        score=points(row.score),
        impact=known(row.impact),
        weight=min(max(row.weight, -1.0), 1.0),
        interpretation=row.words,
        reason=row.reason,
        components={part.name: _component(part) for part in parts},
    )


def _component(row: Row) -> ComponentScore:
    return ComponentScore(
        score=points(row.score),
        raw_score=points(row.raw_score),
        value=next((known(value) for _, value in row.timeframes.values() if value == value), None),
        weight=min(max(row.weight, -1.0), 1.0),
        impact=known(row.impact),
        divergence_bonus=row.bonus,
        divergence_type=row.divergence,
        interpretation=row.words or f"{row.title} is not known",
        reason=row.reason,
        timeframes={
            name: TimeframeScore(score=points(score), value=known(value))
            for name, (score, value) in row.timeframes.items()
        },
    )


def views(explanation: Explanation) -> dict[str, FaceScore]:
    """The summaries: plain means of the components that are known, without weight and impact."""
    rows = {f"{face}.{row.name}": row for face, parts in explanation.faces.items() for row in parts}
    made = {}
    for name, (title, members) in VIEWS.items():
        scores = [rows[member].score for member in members if member in rows]
        there = [score for score in scores if score == score]
        mean = sum(there) / len(there) if there else float("nan")
        reason = "" if there else "none of its components is known"
        made[name] = FaceScore(
            score=points(mean),
            impact=0.0,
            weight=0.0,
            interpretation=face_bias(title, mean),
            reason=reason,
            components={},
        )
    return made
