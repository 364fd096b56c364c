"""Insights: what the faces say when they are read together, in sentences with prices.

1. Each rule is a small function of a moment (context.py). It says a sentence, or None where it does not apply or where
   what it compares is not known. `INSIGHTS` lists the rules in the order in which they are read.
2. `ACTIONS` says what follows: bias, risk, key levels, timing, strategy.

Nothing here is a forecast: where reliability is not calibrated no sentence speaks of chances.
"""

from __future__ import annotations

from collections.abc import Callable

from virtuoso.clock import iso
from virtuoso.prism.words import BULLISH_FROM, reliability_words
from virtuoso.signals.message.context import MOMENTUM, SignalContext
from virtuoso.signals.rule import BULLISH, NEUTRAL, WORDS

TAKES_SIDE = 10.0
"""Points from 50 at which a face is said to take a side."""
FOLLOWS = BULLISH_FROM - 50.0
"""Points from 50 at which volume is said to follow a break, or a timeframe to lean."""
TELLING_BONUS = 3.0
"""Points of divergence that are worth a sentence."""
SHOWN_LEVELS = 3
TELLING_SHARE, TELLING_LEAN = 0.25, 0.15
"""Share of large orders in the volume, and their lean, from which they are spoken of."""
WITHDRAWN, WIDE, CLEARLY = 0.6, 1.5, 1.5
"""Depth and spread against their usual, and one side against the other, from which they are spoken of."""
TELLING_SQUEEZE = 0.4

Rule = Callable[[SignalContext], str | None]


def side_of(score: float | None, points: float = TAKES_SIDE) -> int:
    """Return which side a score takes: 1 bullish, -1 bearish, 0 none; 0 where it is not known."""
    if score is None or score != score:
        return 0
    return 1 if score >= 50.0 + points else -1 if score <= 50.0 - points else 0


def _opposed(m: SignalContext, one: str, other: str) -> int:
    """Side of one face where another takes the other side; 0 otherwise."""
    side = side_of(m.faces.get(one))
    return side if side == -side_of(m.faces.get(other)) else 0


def _together(m: SignalContext, one: str, other: str) -> int:
    """Side that both faces take; 0 otherwise."""
    side = side_of(m.faces.get(one))
    return side if side == side_of(m.faces.get(other)) else 0


def _word(side: int) -> str:
    return WORDS[side].lower()


# --- rules that read faces against each other -------------------------------------------------------------------


def distribution_or_accumulation(m: SignalContext) -> str | None:
    """Technical against orderflow: strength that is sold into, weakness that is bought."""
    side = _opposed(m, "technical", "orderflow")
    if side == 0:
        return None
    name, what = ("Distribution", "strength is sold into") if side > 0 else ("Accumulation", "weakness is bought")
    return (
        f"{name}: {what} at {m.shown(m.price)}, technical {m.faces['technical']:.0f} against "
        f"orderflow {m.faces['orderflow']:.0f}."
    )


def complacency_or_opportunity(m: SignalContext) -> str | None:
    """Sentiment against technical: the crowd leans too far the way the chart goes."""
    side = _opposed(m, "technical", "sentiment")
    if side == 0:
        return None
    name, crowd = ("Complacency", "crowded long") if side > 0 else ("Opportunity", "crowded short")
    return (
        f"{name}: positioning is {crowd} at {m.shown(m.price)}, technical {m.faces['technical']:.0f} against "
        f"sentiment {m.faces['sentiment']:.0f}."
    )


def reinforced(m: SignalContext) -> str | None:
    """Orderbook and structure agree: resting size stands where the chart says it should."""
    side = _together(m, "orderbook", "price_structure")
    if side == 0:
        return None
    level = (m.supports if side > 0 else m.resistances)[:1]
    where = f" at {m.shown(level[0])}" if level else ""
    return (
        f"Reinforced: orderbook {m.faces['orderbook']:.0f} and price structure {m.faces['price_structure']:.0f} "
        f"hold the {'support' if side > 0 else 'resistance'}{where}."
    )


def conviction(m: SignalContext) -> str | None:
    """Orderflow and sentiment agree: aggression and positioning point the same way."""
    side = _together(m, "orderflow", "sentiment")
    if side == 0:
        return None
    return (
        f"Conviction: orderflow {m.faces['orderflow']:.0f} and sentiment {m.faces['sentiment']:.0f} are both "
        f"{_word(side)} at {m.shown(m.price)}."
    )


# --- rules about who takes part ---------------------------------------------------------------------------------


def institutional_share(m: SignalContext) -> str | None:
    """Large orders: how much of the volume, and on which side."""
    found = m.institutions
    if found.share != found.share or found.lean != found.lean or found.share < TELLING_SHARE:
        return None
    side = "on both sides alike"
    if abs(found.lean) >= TELLING_LEAN:
        side = f"mostly {'buying' if found.lean > 0 else 'selling'} ({found.lean:+.0%})"
    return (
        f"Institutions: large orders are {found.share:.0%} of the last {found.over}'s volume, {side}, at "
        f"{m.shown(m.price)}."
    )


def market_maker_behaviour(m: SignalContext) -> str | None:
    """Quotes: withdrawn or wide, refilled faster on one side, patient on one side."""
    found, said = m.market_makers, []
    if found.depth <= WITHDRAWN:
        said.append(f"depth is {found.depth:.0%} of usual, quotes are withdrawn")
    if found.spread >= WIDE:
        said.append(f"the spread is {found.spread:.1f} x usual")
    stronger = _stronger(found.bid_refill, found.ask_refill)
    if stronger:
        said.append(f"{stronger} are refilled faster ({found.bid_refill:.0%} bids, {found.ask_refill:.0%} asks)")
    patient = _stronger(found.bid_held, found.ask_held)
    if patient:
        said.append(f"{patient} hold against takers ({found.bid_held:.0%} bids, {found.ask_held:.0%} asks)")
    return f"Market makers: {'; '.join(said)}." if said else None


def _stronger(bids: float, asks: float) -> str:
    """Return the side whose figure is clearly larger; nothing where it is not or not known."""
    if not bids > 0.0 or not asks > 0.0:
        return ""
    return "bids" if bids >= CLEARLY * asks else "asks" if asks >= CLEARLY * bids else ""


def squeeze(m: SignalContext) -> str | None:
    """The strongest estimated squeeze point on either side."""
    strongest = max(m.squeezes, key=lambda point: point.strength, default=None)
    if strongest is None or strongest.strength < TELLING_SQUEEZE:
        return None
    who = "shorts" if strongest.side == "above" else "longs"
    return (
        f"Squeeze point (estimate): {who} would be forced out {strongest.side} {m.shown(strongest.price)}, "
        f"{strongest.distance:.1f} ATR away; it rests on {', '.join(strongest.basis)}."
    )


def wall(m: SignalContext) -> str | None:
    """A lasting wall of the book, and how far away it stands."""
    said = [
        f"{word} at {m.shown(price)} ({abs(price / m.price - 1.0):.2%} away)"
        for word, price in (("bid", m.bid_wall), ("ask", m.ask_wall))
        if price == price
    ]
    return f"Book wall: {', '.join(said)}; it has stood, and may still be taken away." if said else None


# --- rules about a break of structure ---------------------------------------------------------------------------


def _volume_behind(m: SignalContext) -> tuple[str, float] | None:
    """What is known of volume and its direction: that of the bar against its usual, or else the face."""
    if "volume.relative_volume" in m.components:
        return "relative volume", m.components["volume.relative_volume"]
    return ("volume", m.faces["volume"]) if "volume" in m.faces else None


def weak_breakout(m: SignalContext) -> str | None:
    """Structure without volume: a level is broken and volume does not follow."""
    volume = _volume_behind(m)
    if m.broken is None or volume is None or m.broken.side * (volume[1] - 50.0) >= FOLLOWS:
        return None
    return (
        f"Weak breakout: {m.broken.kind} on {m.broken.timeframe} {'above' if m.broken.side > 0 else 'below'} "
        f"{m.shown(m.broken.price)}, and {volume[0]} {volume[1]:.0f} does not follow."
    )


def breakout_with_volume(m: SignalContext) -> str | None:
    """Volume rises with a breakout."""
    volume = _volume_behind(m)
    if m.broken is None or volume is None or m.broken.side * (volume[1] - 50.0) < FOLLOWS:
        return None
    return (
        f"Breakout with volume: {m.broken.kind} on {m.broken.timeframe} {'above' if m.broken.side > 0 else 'below'} "
        f"{m.shown(m.broken.price)}, carried by {volume[0]} {volume[1]:.0f}."
    )


# --- rules about timeframes and momentum ------------------------------------------------------------------------


def timeframes_agree(m: SignalContext) -> str | None:
    """All timeframes of the ladder lean the same way."""
    sides = {side_of(score, FOLLOWS) for score in m.timeframes.values()}
    if len(m.timeframes) < 2 or len(sides) != 1 or sides == {0}:
        return None
    scores = ", ".join(f"{name} {score:.0f}" for name, score in m.timeframes.items())
    return f"All timeframes agree and are {_word(sides.pop())}: {scores}."


def changing_speed(m: SignalContext) -> str | None:
    """Acceleration or deceleration: MACD and AO stand on the same side and both gain, or both lose, height."""
    slopes = [m.slopes.get(name) for name in MOMENTUM]
    if any(slope is None or slope.value == 0.0 for slope in slopes):
        return None
    known = [slope for slope in slopes if slope is not None]
    sides = {1 if slope.value > 0.0 else -1 for slope in known}
    gains = {
        1 if slope.value * slope.change > 0.0 else -1 if slope.value * slope.change < 0.0 else 0 for slope in known
    }
    if len(sides) != 1 or len(gains) != 1 or gains == {0}:
        return None
    move = "rise" if sides.pop() > 0 else "fall"
    verb, name = ("gains", "Acceleration") if gains.pop() > 0 else ("loses", "Deceleration")
    both = ", ".join(f"{MOMENTUM[key]} {s.value:+.2f} ({s.change:+.2f})" for key, s in m.slopes.items())
    return f"{name}: the {move} {verb} speed on {m.slope_timeframe} at {m.shown(m.price)}: {both} ranges."


def strongest_divergence(m: SignalContext) -> str | None:
    """The divergence that moves a component most."""
    largest = max(m.divergences, key=lambda divergence: abs(divergence.bonus), default=None)
    if largest is None or abs(largest.bonus) < TELLING_BONUS:
        return None
    what = largest.kind.replace("_", " ")
    return f"Divergence: {what} on {largest.title}, {largest.bonus:+.1f} points, at {m.shown(m.price)}."


# --- rules about levels, and about what is not known ------------------------------------------------------------


def level_in_the_way(m: SignalContext) -> str | None:
    """An opposing level stands between entry and the first target."""
    if m.trade is None:
        return None
    opposing = m.resistances if m.trade.side > 0 else m.supports
    between = [level for level in opposing if abs(level - m.trade.entry) < abs(m.trade.targets[0] - m.trade.entry)]
    if not between:
        return None
    word = "resistance" if m.trade.side > 0 else "support"
    return f"In the way: {word} at {m.shown(between[0])} stands before the first target {m.shown(m.trade.targets[0])}."


def market_regime(m: SignalContext) -> str | None:
    """Trend or range, calm or volatile."""
    return f"Regime: {m.regime} on {m.regime_timeframe}." if m.regime else None


def unseen_faces(m: SignalContext) -> str | None:
    """What the score does not rest on."""
    if not m.unseen:
        return None
    return f"Not seen: {', '.join(m.unseen)}; the score rests on {m.coverage:.0%} of the weight."


def independent_inputs(m: SignalContext) -> str | None:
    """How often the confluence agrees with itself."""
    if m.effective_inputs != m.effective_inputs:
        return None
    return f"Independence: {len(m.components)} component scores carry {m.effective_inputs:.1f} independent inputs."


INSIGHTS: tuple[Rule, ...] = (
    distribution_or_accumulation,
    complacency_or_opportunity,
    reinforced,
    conviction,
    breakout_with_volume,
    weak_breakout,
    timeframes_agree,
    changing_speed,
    strongest_divergence,
    institutional_share,
    market_maker_behaviour,
    squeeze,
    wall,
    level_in_the_way,
    market_regime,
    unseen_faces,
    independent_inputs,
)


# --- what follows -----------------------------------------------------------------------------------------------


def bias(m: SignalContext) -> str:
    """Which way, how strongly, how surely."""
    if m.state == NEUTRAL:
        return f"Bias: neutral, {m.reason}."
    if m.basis == "calibrated":
        sure = f"{m.reliability:.0%} of past signals like it reached their first target before their stop (calibrated)"
    else:
        sure = f"reliability {reliability_words(m.reliability, m.basis, m.misfit)}"
    return f"Bias: {_word(m.state)}, {m.reason}; {sure}."


def risk(m: SignalContext) -> str:
    """What is lost where the idea is wrong."""
    if m.trade is None:
        atr = f"ATR {m.shown(m.atr)} on {m.structure_timeframe}" if m.atr == m.atr else "ATR is not known"
        return f"Risk: none is taken; {atr}."
    r = abs(m.trade.entry - m.trade.stop)
    return (
        f"Risk: 1 R is {m.shown(r)} ({r / m.trade.entry:.2%}, {r / m.atr:.1f} ATR of {m.structure_timeframe}), from "
        f"{m.shown(m.trade.entry)} to the stop at {m.shown(m.trade.stop)}."
    )


def key_levels(m: SignalContext) -> str:
    """Prices to watch."""
    sides = (("support", m.supports), ("resistance", m.resistances))
    named = [f"{word} {', '.join(map(m.shown, levels[:SHOWN_LEVELS]))}" for word, levels in sides if levels]
    if m.broken is not None:
        named.append(f"broken {m.shown(m.broken.price)}")
    return f"Key levels: {'; '.join(named)}." if named else f"Key levels: none is confirmed on {m.structure_timeframe}."


def no_entry_in(m: SignalContext) -> str:
    """Why the regime stops an entry."""
    is_so = f"is {m.regime}" if m.regime else "is not known"
    return f"the regime on {m.regime_timeframe} {is_so} and entries are made in {' and '.join(m.entered_in)} only"


def timing(m: SignalContext) -> str:
    """From when, and until when."""
    if m.state == NEUTRAL:
        return f"Timing: decided at the close of {iso(m.decided)}, in force from the next open."
    return f"Timing: decided at the close of {iso(m.decided)}, in force from the next open, lapses {iso(m.lapses)}."


def strategy(m: SignalContext) -> str:
    """What to do, with prices."""
    if m.state == NEUTRAL:
        return f"Strategy: be out until {m.awaited}."
    if m.is_stopped:
        return f"Strategy: no entry, since {no_entry_in(m)}."
    if m.trade is None:
        return f"Strategy: no entry, since entry, stop and targets are not known on {m.structure_timeframe}."
    verb = "buy" if m.state == BULLISH else "sell short"
    where = (
        f"at {m.shown(m.trade.entry)} or better, until {iso(m.trade.expires)}"
        if m.trade.is_limit
        else "at the next open"
    )
    r = abs(m.trade.entry - m.trade.stop)
    takes = ", ".join(
        f"{size:.0%} at {m.shown(target)} ({abs(target - m.trade.entry) / r:.1f} R)"
        for target, size in zip(m.trade.targets, m.trade.sizes, strict=True)
        if size > 0.0
    )
    return f"Strategy: {verb} {where}, stop {m.shown(m.trade.stop)}; take {takes}."


ACTIONS: tuple[Callable[[SignalContext], str], ...] = (bias, risk, key_levels, timing, strategy)


def insights(moment: SignalContext) -> list[str]:
    """Every sentence whose rule applies, in fixed order."""
    return [sentence for rule in INSIGHTS if (sentence := rule(moment)) is not None]


def actionable_insights(moment: SignalContext) -> list[str]:
    """Bias, risk, key levels, timing and strategy."""
    return [action(moment) for action in ACTIONS]
