"""The verdict: ship, iterate or discard, with reasons.

1. Each gate asks one question and is passed, failed, or not testable; the questions are those of the honesty box
   (robustness.py), of the stress tests (stress.py), how much hangs on the order of prices inside bars, what the record
   does not show (tail_risk.py: the worst day, bets that grow after losses, marks that lag behind), whether orders know
   of later bars (foresight.py), whether any market pays so much (plausibility.py), and whether the ledger counts it.
2. *Discard* where the evidence speaks against it: it lost, or luck is the better explanation, or its search is
   overfitted, or its orders know of later bars. *Ship* where every gate that applies is passed. *Iterate* otherwise,
   above all where too little is known.
3. The thresholds are calibrated on simulated worlds (tests/research/worlds.py; figures in docs/guides/honesty.md):
   of worlds without any skill at most 1 % are shipped.

Ship means: go on to paper trading. It never means that money is safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from virtuoso.account.metrics import ROUNDING
from virtuoso.reports.format import NOT_TESTABLE, number, percent, plural
from virtuoso.research.backtest.engine import Account, bounds
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.validation.foresight import Foresight
from virtuoso.research.validation.overfitting import NAN
from virtuoso.research.validation.plausibility import MOST_SHARPE, Truth
from virtuoso.research.validation.robustness import NOTHING_CHOSEN, Robustness
from virtuoso.research.validation.stress import Case, Intents, Plateau, costs, delay
from virtuoso.research.validation.tail_risk import UNSEEN, Marks, Tail

CONFIDENCE = 0.95
"""Deflated Sharpe ratio from which it is taken for real."""
MOST_LUCK = 0.008
"""Chance of luck up to which it is: it rules where few were tried, the deflated ratio where many were.

One try without skill is shipped as often as this says, so it keeps the one percent that is allowed, with some room for
returns that are not normal.
"""
MOST_OVERFITTING, HOPELESS_OVERFITTING = 0.20, 0.50
MOST_SUPERIOR = 0.05
LEAST_KEPT = 0.5
"""Share of its return that the median neighbour on the plateau keeps."""
MOST_AMBIGUOUS = 0.20
"""Share of the net profit that may hang on the order of prices inside bars."""
MOST_GROWTH = 1.5
"""How much larger bets after losses may be than after gains; doubling after each loss comes to about 2.7."""
MOST_LAG = 0.3
"""Correlation of a day's return with that of the day before from which marks, not markets, are the likely reason."""
LEAST_FOLLOWED = 0.8
"""Share of a day's move of the market that the marks must show on that day."""
HOPELESS = 0.5
"""Deflated Sharpe ratio below which luck is the better explanation."""


class Decision(StrEnum):
    """What to do with a strategy."""

    SHIP = "ship"
    ITERATE = "iterate"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Hurdle:
    """One question and its answer.

    Attributes
    ----------
    name : str
    passed : bool or None
        None is not testable, or not tested.
    reason : str
        The figure behind it, in words.
    needed : bool
        Whether shipping needs it; a search's questions are not asked where nothing was searched.
    damning : bool
        Whether its failure is evidence against the strategy.
    """

    name: str
    passed: bool | None
    reason: str
    needed: bool = True
    damning: bool = False


@dataclass(frozen=True)
class Verdict:
    """What was decided and why.

    Attributes
    ----------
    decision : Decision
    testable : bool
        Whether there was enough to judge at all.
    gates : tuple of Hurdle
    """

    decision: Decision
    testable: bool
    gates: tuple[Hurdle, ...]

    @property
    def reasons(self) -> list[str]:
        """What stood against it; for what is shipped, what speaks for it."""
        if self.decision is Decision.SHIP:
            return [gate.reason for gate in self.gates if gate.passed]
        against = [gate for gate in self.gates if gate.needed and not gate.passed]
        if self.decision is Decision.DISCARD:
            against = [gate for gate in against if gate.passed is False and gate.damning]
        return [gate.reason for gate in against]

    def __str__(self) -> str:
        return f"{self.decision.value}: {'; '.join(self.reasons)}"

    @classmethod
    def of(cls, gates: Sequence[Hurdle]) -> Verdict:
        """Decide by the answers: what damns discards, what is needed and not passed keeps from shipping."""
        if any(gate.damning and gate.passed is False for gate in gates):
            return cls(Decision.DISCARD, True, tuple(gates))
        done = all(gate.passed for gate in gates if gate.needed)
        return cls(Decision.SHIP if done else Decision.ITERATE, True, tuple(gates))


@dataclass(frozen=True)
class Stressed:
    """What the stress tests found, as far as they were run.

    Attributes
    ----------
    costs_doubled, one_bar_late : Case or None
    plateau : Plateau or None
        Asked only where something was chosen from several configurations.
    bounds : tuple of float, or None
        Net profit under the pessimistic and the optimistic order of prices inside bars.
    tail : Tail or None
        Days as bad as the worst known one, on what was held.
    marks : Marks or None
        How the marks moved beside the market; the returns alone are asked without them.
    truth : Truth or None
        Whether its orders know of later bars, and what of it no market pays.
    """

    costs_doubled: Case | None = None
    one_bar_late: Case | None = None
    plateau: Plateau | None = None
    bounds: tuple[float, float] | None = None
    tail: Tail | None = None
    marks: Marks | None = None
    truth: Truth | None = None

    @classmethod
    def of(
        cls,
        panel: SimulationPanel,
        intents: Intents,
        account: Account,
        plateau: Plateau | None = None,
        foresight: Foresight | None = None,
        explained: str = "",
    ) -> Stressed:
        """Run the stress tests of a portfolio; the plateau needs the function that makes intents, see `stress.plateau`.

        Parameters
        ----------
        panel : SimulationPanel
        intents : mapping of Instrument to array of INTENT
        account : Account
        plateau : Plateau, optional
        foresight : Foresight, optional
            What `foresight.check` found of the function that made the intents.
        explained : str
            Why a result that no market pays is right all the same.
        """
        (doubled,) = costs(panel, intents, account, (2.0,))
        (late,) = delay(panel, intents, account, (1,))
        worse, better = bounds(panel, intents, account)
        low, high = (float(done.equity[-1]) - account.cash for done in (worse, better))
        truth = Truth.of(worse, foresight, explained)
        return cls(doubled, late, plateau, (low, high), Tail.of(worse), Marks.of(panel), truth)


def reach_verdict(honesty: Robustness, stressed: Stressed | None = None) -> Verdict:
    """Judge a result.

    Parameters
    ----------
    honesty : Robustness
    stressed : Stressed, optional
        Without it nothing is shipped: what was not tested is not known.
    """
    if "sharpe" in honesty.why:
        return Verdict(Decision.ITERATE, False, (Hurdle("sample", None, f"{NOT_TESTABLE}: {honesty.why['sharpe']}"),))
    given = stressed or Stressed()
    return Verdict.of(
        (
            *chance(honesty),
            *search(honesty),
            *_reality(given, honesty.tried.configurations > 1),
            _tail(given.tail),
            _size(honesty.growth),
            _marks(honesty.lag, given.marks),
            *_truth(given.truth, honesty.sharpe),
            recorded(honesty),
        )
    )


def figure_gate(
    name: str, figure: float, passed: bool, reason: str, missing: str, *, needed: bool = True, damning: bool = False
) -> Hurdle:
    """Answer a question by a figure, if the figure is known."""
    if figure != figure:
        return Hurdle(name, None, missing, needed)
    return Hurdle(name, passed, reason, needed, damning)


def recorded(honesty: Robustness) -> Hurdle:
    """Ask whether it is counted among the tries: what nobody knows of deflates nothing."""
    told = "it is in the ledger of trials" if honesty.tried.recorded else f"not recorded: {honesty.tried.reason}"
    return Hurdle("recorded", honesty.tried.recorded, told)


def chance(honesty: Robustness) -> Sequence[Hurdle]:
    """Ask whether it gained, and whether that is luck."""
    tries = plural(honesty.tried.configurations, "try", "tries")
    sharpe, deflated, luck = honesty.sharpe, honesty.deflated, honesty.luck
    record = f"{plural(honesty.days, 'day')} and {plural(honesty.trades, 'trade')}"
    return (
        figure_gate(
            "gain", sharpe, sharpe > 0.0, f"Sharpe ratio {number(sharpe)} a year over {record}", "", damning=True,
        ),
        figure_gate(
            "deflated", deflated, deflated >= CONFIDENCE,
            f"deflated Sharpe {percent(deflated)} after {tries}",
            f"cannot be deflated: {honesty.why.get('deflated', NOT_TESTABLE)}", damning=deflated < HOPELESS,
        ),
        figure_gate(
            "p-value", luck, luck <= MOST_LUCK, f"p-value {number(luck, 3)} of the best of {tries}", NOT_TESTABLE,
        ),
    )  # fmt: skip


def search(honesty: Robustness) -> Sequence[Hurdle]:
    """Ask whether what wins in sample wins out of sample; nothing is asked where nothing was searched."""
    pbo, superior, outside = honesty.overfitting, honesty.superior, honesty.outside
    missing = {name: f"{name} {NOT_TESTABLE}: {reason}" for name, reason in honesty.why.items()}
    searched = {name: honesty.why.get(name) != NOTHING_CHOSEN for name in ("overfitting", "superior", "outside")}
    doubted = not honesty.deflated >= CONFIDENCE  # a single PBO scatters too much to be read alone
    return (
        figure_gate(
            "overfitting", pbo, pbo <= MOST_OVERFITTING, f"probability of backtest overfitting (PBO) {percent(pbo)}",
            missing.get("overfitting", ""), needed=searched["overfitting"],
            damning=pbo > HOPELESS_OVERFITTING and doubted,
        ),
        figure_gate(
            "superior", superior, superior <= MOST_SUPERIOR,
            f"p-value {number(superior, 3)} that nothing in the search beats the benchmark (SPA)",
            missing.get("superior", ""), needed=searched["superior"],
        ),
        figure_gate(
            "walk forward", outside, outside > 0.0,
            f"walk-forward Sharpe ratio {number(outside)} out of sample, {number(honesty.inside)} in sample",
            missing.get("outside", ""), needed=searched["outside"],
        ),
    )  # fmt: skip


def _reality(stressed: Stressed, chosen: bool) -> Sequence[Hurdle]:
    """Ask whether it survives costs, delay, other parameters, and what is not known of the bars."""
    count = plural(len(stressed.plateau.neighbours), "neighbour") if stressed.plateau is not None else ""
    kept = stressed.plateau.kept if stressed.plateau is not None else NAN
    if stressed.plateau is None:
        untried = "its neighbours were not tried"
    else:
        untried = "there is no return to keep" if stressed.plateau.neighbours else "no step beside it changes anything"
    return (
        _survives("costs", "with costs doubled", stressed.costs_doubled),
        _survives("delay", "one bar late", stressed.one_bar_late),
        figure_gate("plateau", kept, kept >= LEAST_KEPT, f"the median of {count} keeps {percent(kept)} of the return",
              untried, needed=chosen),
        _ambiguity(stressed.bounds),
    )  # fmt: skip


def _survives(name: str, what: str, case: Case | None) -> Hurdle:
    if case is None:
        return Hurdle(name, None, f"it was not tried {what}")
    return Hurdle(name, case.net > 0.0, f"{what} it nets {percent(case.net, signed=True)}")


def _ambiguity(bounds: tuple[float, float] | None) -> Hurdle:
    if bounds is None:
        return Hurdle("ambiguity", None, "only one intrabar path was tried")
    pessimistic, optimistic = bounds
    if not pessimistic > 0.0:
        return Hurdle("ambiguity", False, "with pessimistic fills there is no profit")
    share = abs(optimistic - pessimistic) / pessimistic if pessimistic > ROUNDING * abs(optimistic) else float("inf")
    return Hurdle("ambiguity", share <= MOST_AMBIGUOUS, f"{percent(share)} of the profit depends on the intrabar path")


def _tail(tail: Tail | None) -> Hurdle:
    """Ask for the day that has not come yet: through every stop, on what was held."""
    if tail is None or tail.left != tail.left:
        return Hurdle("tail", None, "the worst known day was not laid on what it held")
    if not tail.most < 1.0:
        return Hurdle(
            "tail", False, f"a day that moves {percent(tail.shock)} against the most it held ends the account"
        )
    days = f"{UNSEEN:g} days that move {percent(tail.shock)} against what it held"
    if not tail.left > 0.0:
        return Hurdle("tail", False, f"{days}, none of which its record rules out, take {percent(UNSEEN * tail.mean)}; "
                    f"it gained {percent(tail.gained)}")  # fmt: skip
    return Hurdle("tail", True, f"{days} leave {percent(tail.left)} of a gain of {percent(tail.gained)}")


def _size(growth: float) -> Hurdle:
    """Ask whether bets grow after losses: then the loss that ends it is not in the record."""
    hides = ": doubling up hides the loss that ends it" if growth > MOST_GROWTH else ""
    return figure_gate(
        "size", growth, growth <= MOST_GROWTH, f"bets after losses are {number(growth)} times those after gains{hides}",
        "too few follow on losses and on gains to compare their sizes", needed=growth == growth,
    )  # fmt: skip


def _marks(lag: float, marks: Marks | None) -> Hurdle:
    """Ask whether marks move as the market does: smoothed ones hide losses and let luck look steady."""
    if marks is not None and marks.follow < LEAST_FOLLOWED:
        return Hurdle("marks", False, f"marks show {percent(marks.follow)} of a day's move of the market on that day")
    return figure_gate(
        "marks", lag, lag <= MOST_LAG, f"days follow those before them with a correlation of {number(lag)}"
        + ("" if lag <= MOST_LAG else ": marks may lag behind the market"), "too few days to see whether marks lag",
        needed=lag == lag,
    )  # fmt: skip


def _truth(truth: Truth | None, sharpe: float) -> Sequence[Hurdle]:
    """Ask whether orders know of later bars, and whether any market pays so much."""
    asked = truth.foresight if truth is not None else None
    if asked is None:
        seen = Hurdle("foresight", None, "whether orders know of later bars was not tested: hand in what decides them")
    else:
        seen = Hurdle("foresight", asked.holds, asked.detail, damning=asked.damning)
    odd = [f"a Sharpe ratio of {number(sharpe)} a year"] if sharpe > MOST_SHARPE else []
    if truth is None:
        reason = f"{odd[0]} is not explained" if odd else "its fills were not looked at"
        return seen, Hurdle("plausible", False if odd else None, reason)
    odd += truth.oddities
    if not odd:
        return seen, Hurdle("plausible", True, "its costs, fills and trades are such as markets give")
    told = f"explained: {truth.explained}" if truth.explained else "not explained"
    return seen, Hurdle("plausible", bool(truth.explained), f"{'; '.join(odd)} ({told})")
