"""The trades of a backtest beside those that vectorbt makes of the same intents: what differs, and why.

1. Intents of each instrument go through vectorbt with so little at risk that money decides nothing (simulate.py):
   what is compared are the bars and prices of entries and exits and why a trade ended.
2. A trade is known by its instrument and the bar of its decision.
3. Each difference has a cause: something that the contract models and vectorbt does not, an earlier difference that it
   follows from, or none that is known. The last kind is what to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from virtuoso.account.records import BROKEN, LAPSED, LIQUIDATED, REJECTED, TARGETED, WITHDRAWN
from virtuoso.account.records import REASONS as WORDS_OF_VECTORBT
from virtuoso.account.state import SLIPPAGE
from virtuoso.clock import iso
from virtuoso.errors import ConfigError
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.backtest.round_trips import REASONS as WORDS_OF_CONTRACT
from virtuoso.research.crosscheck.simulate import simulate

LITTLE = 1e-4
"""Share of the equity at risk in vectorbt's trades: no position is capped by the cash, none can ruin the account."""
SAME = 1e-9
"""Share by which two prices of one fill may differ."""
LIMIT_ENTRY = "limit entry"
SEVERAL_TARGETS = "several targets"
TARGET = "target"
SPREAD = "spread"
INSIDE = "intrabar path"
LIQUIDATION = "liquidation"
BREAK = "break"
TRAILING = "trailing stop"
LIMITS = "limits of risk"
FOLLOWS = "follows"
UNEXPLAINED = "unexplained"
CAUSES = {
    LIMIT_ENTRY: "the contract waits for the limit, vectorbt enters at the next open",
    SEVERAL_TARGETS: "the contract leaves in parts, vectorbt whole at the first target",
    TARGET: "a resting limit fills at its price; vectorbt's target slips, and fills at an open beyond it",
    SPREAD: "the contract pays half the recorded spread where that is more than the slippage",
    INSIDE: "stop and target lie in one bar: finer bars or the worse case decide, vectorbt takes the stop",
    LIQUIDATION: "vectorbt knows no margin",
    BREAK: "another instrument begins under the name: the contract settles what is held, vectorbt holds on",
    TRAILING: "vectorbt's stop stays where it was",
    LIMITS: "the account let the entry through not at all, or not whole",
    FOLLOWS: "another trade was open, since an earlier one differs",
    UNEXPLAINED: "no cause is known: look at these",
}
"""Why trades differ, in the order in which causes are looked for."""


class Side(NamedTuple):
    """A trade as one of the two made it.

    Attributes
    ----------
    entry, exit : int
        Numbers of the bars of the first and the last fill.
    entry_price, exit_price : float
    reason : str
        Why it ended.
    """

    entry: int
    exit: int
    entry_price: float
    exit_price: float
    reason: str

    def equals(self, other: Side) -> bool:
        """Whether they are the same bars, prices and reason."""
        prices = (self.entry_price, self.exit_price), (other.entry_price, other.exit_price)
        return (self.entry, self.exit, self.reason) == (other.entry, other.exit, other.reason) and bool(
            np.allclose(*prices, rtol=SAME, atol=0.0)
        )


class Difference(NamedTuple):
    """A trade that the two do not make alike.

    Attributes
    ----------
    instrument : str
    number : int
        Bar at whose close it was decided.
    side : int
        1 long, -1 short.
    contract, vectorbt : Side or None
        None where one of them made no such trade.
    cause : str
        One of CAUSES.
    """

    instrument: str
    number: int
    side: int
    contract: Side | None
    vectorbt: Side | None
    cause: str


@dataclass(frozen=True)
class Comparison:
    """Trades of a backtest beside those of vectorbt.

    Attributes
    ----------
    timeframe_ms : int
    simulated : bool
        Whether a market was made by the simulator.
    contract, vectorbt, same : int
        Trades of each, and those that are the same.
    differences : sequence of Difference
        In the order of decisions.
    """

    timeframe_ms: int
    simulated: bool
    contract: int
    vectorbt: int
    same: int
    differences: Sequence[Difference]

    @property
    def causes(self) -> dict[str, int]:
        """How many trades differ for each cause."""
        found = Counter(one.cause for one in self.differences)
        return {cause: found[cause] for cause in CAUSES if found[cause]}

    def __repr__(self) -> str:
        lines = [
            f"Cross-check: {self.contract} trades by the contract, {self.vectorbt} by vectorbt of the same intents, "
            f"{self.same} the same"
        ]
        lines += [f"  {n:>6}  {cause}: {CAUSES[cause]}" for cause, n in self.causes.items()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `crosscheck.json`."""
        return {
            "simulated": self.simulated,
            "trades": {"contract": self.contract, "vectorbt": self.vectorbt, "same": self.same},
            "causes": {cause: {"trades": n, "words": CAUSES[cause]} for cause, n in self.causes.items()},
            "differences": [
                {
                    "instrument": one.instrument,
                    "decided_at": iso((one.number + 1) * self.timeframe_ms),
                    "side": "long" if one.side > 0 else "short",
                    "cause": one.cause,
                    "contract": self._told(one.contract),
                    "vectorbt": self._told(one.vectorbt),
                }
                for one in self.differences
            ],
        }

    def _told(self, side: Side | None) -> dict[str, Any] | None:
        if side is None:
            return None
        times = {"entry_time": iso(side.entry * self.timeframe_ms), "exit_bar_time": iso(side.exit * self.timeframe_ms)}
        return times | {"entry_price": side.entry_price, "exit_price": side.exit_price, "reason": side.reason}


def compare(result: PortfolioFigures) -> Comparison:
    """Trade the intents of a backtest through vectorbt, and name what differs.

    Parameters
    ----------
    result : PortfolioFigures

    Raises
    ------
    ConfigError
        vectorbt is not installed, or target weights were traded: adds and reductions make no trades to compare.
    """
    if any(made["adjust"].any() for made in result.intents_of.values()):
        raise ConfigError(
            "The cross-check compares trades from entry to exit, and target weights add to positions and reduce them. "
            "result.to_vectorbt() gives their fills as a portfolio of vectorbt."
        )
    contract = vectorbt = same = 0
    found: list[Difference] = []
    for i, instrument in enumerate(result.instruments):
        if instrument not in result.intents_of:
            continue
        lives = result.trade_records[result.trade_records["instrument"] == i]
        ours = {int(life["number"]): _side(life, WORDS_OF_CONTRACT[int(life["reason"])]) for life in lives}
        made = simulate(
            result.frames[i],
            result.intents_of[instrument],
            fees=result.account.taker,
            slippage=result.slippage,
            cash=result.account.cash,
            risk=LITTLE,
        )
        theirs = {int(t["number"]): _side(t, WORDS_OF_VECTORBT[int(t["reason"])]) for t in made.trades}
        contract, vectorbt = contract + len(ours), vectorbt + len(theirs)
        differences = list(_differences(result, i, ours, theirs))
        same += len(ours.keys() | theirs.keys()) - len(differences)
        found += differences
    ordered = sorted(found, key=lambda one: (one.number, one.instrument))
    return Comparison(result.timeframe.ms, result.is_simulated, contract, vectorbt, same, ordered)


def _side(trade: np.void, reason: str) -> Side:
    return Side(
        int(trade["entry_number"]), int(trade["exit_number"]), float(trade["entry_price"]), float(trade["exit_price"]),
        reason,
    )  # fmt: skip


def _differences(result: PortfolioFigures, i: int, ours: dict[int, Side], theirs: dict[int, Side]) -> list[Difference]:
    """Trades of one instrument that are not the same."""
    instrument = result.instruments[i]
    intents = {int(row["number"]): row for row in result.intents_of[instrument]}
    found: list[Difference] = []
    for number in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(number), theirs.get(number)
        if mine is not None and other is not None and mine.equals(other):
            continue
        intent = intents[number]
        if mine is not None and other is not None:
            cause = _cause_of_both(result, i, intent, mine, other)
        else:
            cause = _cause_of_one(result, i, intent, mine, ours, theirs, found)
        found.append(Difference(str(instrument), number, int(intent["side"]), mine, other, cause))
    return found


def _cause_of_both(result: PortfolioFigures, i: int, intent: np.void, ours: Side, theirs: Side) -> str:
    """Why a trade that both made differs."""
    limit, entered = bool(np.isfinite(intent["entry"])), np.isclose(ours.entry_price, theirs.entry_price, rtol=SAME)
    if ours.entry != theirs.entry or not entered:
        if limit:
            return LIMIT_ENTRY
        return SPREAD if _wide(result, i, ours.entry) else UNEXPLAINED
    if ours.reason == WORDS_OF_CONTRACT[LIQUIDATED]:
        return LIQUIDATION
    if ours.reason == WORDS_OF_CONTRACT[BROKEN]:
        return BREAK
    target = WORDS_OF_CONTRACT[TARGETED]
    if np.isfinite(intent["target"]).sum() > 1 and target in (ours.reason, theirs.reason):
        return SEVERAL_TARGETS
    if np.isfinite(intent["target"]).sum() > 1 and _parts(result, i, int(intent["number"])):
        return SEVERAL_TARGETS
    if result.account.trail > 0.0 or intent["trail"] > 0.0:
        return TRAILING
    if ours.exit == theirs.exit and ours.reason == theirs.reason:
        if ours.reason == target:
            return TARGET
        return SPREAD if _wide(result, i, ours.exit) else UNEXPLAINED
    if min(ours.exit, theirs.exit) in _ambiguous_bars(result, i, intent):
        return INSIDE
    return UNEXPLAINED


def _parts(result: PortfolioFigures, i: int, number: int) -> bool:
    """Whether a trade of ours left in parts."""
    mine = (result.trade_records["instrument"] == i) & (result.trade_records["number"] == number)
    return bool((result.trade_records["targets"][mine] > 0).any())


def _wide(result: PortfolioFigures, i: int, number: int) -> bool:
    """Whether the recorded spread made the fill of a bar dearer than slippage did."""
    return bool(result.panel.bars[number - result.panel.first, i, SLIPPAGE] > result.slippage * (1.0 + SAME))


def _ambiguous_bars(result: PortfolioFigures, i: int, intent: np.void) -> set[int]:
    """Numbers of the bars from the decision on that hold both the stop and the first target."""
    base = result.frames[i].base
    low, high = base.columns["low"], base.columns["high"]
    below, above = sorted((float(intent["stop"]), float(intent["target"][0])))
    both = np.flatnonzero((low <= below) & (high >= above)) + base.first
    return set(both[both > intent["number"]].tolist())


def _cause_of_one(
    result: PortfolioFigures, i: int, intent: np.void, ours: Side | None, our_trades: dict[int, Side],
    their_trades: dict[int, Side], earlier: Sequence[Difference],
) -> str:  # fmt: skip
    """Why only one of them made a trade."""
    number, limit = int(intent["number"]), bool(np.isfinite(intent["entry"]))
    if ours is None:
        kinds = _kinds_of(result, i, number)
        if limit and LAPSED in kinds:
            return LIMIT_ENTRY
        if LAPSED in kinds and any(of == i for _, of in result.panel.breaks):
            return BREAK
        if kinds & {REJECTED, WITHDRAWN}:
            return LIMITS
    others = their_trades if ours is not None else our_trades
    held = [n for n, trade in others.items() if n < number and trade.exit > number]
    differs = {one.number for one in earlier}
    if any(n in differs for n in held):
        return FOLLOWS
    if limit:
        return LIMIT_ENTRY
    if ours is None and any(result.run.refused.values()):
        return LIMITS
    return UNEXPLAINED


def _kinds_of(result: PortfolioFigures, i: int, number: int) -> set[int]:
    """Kinds of the events behind which an intent stands."""
    run = result.run
    rows = np.flatnonzero((run.instrument_of == i) & (run.intents["number"] == number))
    return set(run.events["kind"][np.isin(run.intent_of, rows)].tolist())
