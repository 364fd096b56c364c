"""The honesty box: what a result is worth after everything that was tried, printed beside its Sharpe ratio.

1. `RunReturns` is what there is: daily returns and closed trades of what was chosen, and the daily returns of
   everything it was chosen from, where a search gave them.
2. `robustness` measures it against all tries on this data (research/tracking/experiments.py): probability that the
   Sharpe ratio is above 0, after deflation for the tries, chance that luck alone finds as much, length of track record
   that is needed; and of a search the probability of overfitting, superior ability, and what walking forward leaves of
   it.
3. Days that hang together count as fewer (`Moments.independent`), beside what they would say if they did not.
4. What cannot be told is NaN, with its reason in `Robustness.why`: *not testable* is an answer.

The statistics and their sources are those of overfitting.py; verdict.py turns the box into a decision.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from math import ceil, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import DAYS_A_YEAR, LEAST_DAYS, ROUNDING, spread_is_rounding
from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.reports.format import NOT_TESTABLE, number, percent, plural
from virtuoso.research.tracking.experiments import TrialCount, sharpes
from virtuoso.research.validation.overfitting import (
    BLOCKS,
    LEAST_TRADES,
    NAN,
    Moments,
    deflated_sharpe,
    distinct,
    first_lag,
    growth_after_losses,
    min_track_record,
    overfitting_probability,
    psr,
    sharpe_error,
    stepwise,
    superior_ability,
)
from virtuoso.research.validation.splits import WalkForward
from virtuoso.types import Array

FEWER_BLOCKS = 10
WIDTH = 98
MOST_COLUMNS = 200
"""Configurations above which CSCV takes 252 splits instead of 12,870, so that its tables stay small."""
WALKS = 5
NOTHING_CHOSEN = "one configuration, or copies of one: nothing was chosen from anything"
DEFLATED = "deflated Sharpe (DSR)"
"""How the probability that is left after all tries is called in the box."""
DAYS_A_WALK = 10
"""Least days of each stretch of a walk forward."""


@dataclass(frozen=True)
class RunReturns:
    """What is judged.

    Attributes
    ----------
    daily : Array, shape (n_days,)
        Return of each whole day, after all costs, of what was chosen.
    trades : int
        Its closed trades.
    search : Array, shape (n_days, n_configurations), or None
        The same returns of everything it was chosen from, itself included.
    search_trades : array of int64, shape (n_configurations,), or None
        Closed trades of each of them.
    benchmark : Array, shape (n_days,), or None
        What superior ability is measured against, such as buying and holding; doing nothing if None.
    sizes, gains : Array, shape (n_trades,), or None
        Share of the equity that each closed trade held, and what it came to, in the order of the entries; days stand
        for them if None.
    """

    daily: Array
    trades: int
    search: Array | None = None
    search_trades: NDArray[np.int64] | None = None
    benchmark: Array | None = None
    sizes: Array | None = None
    gains: Array | None = None

    def __post_init__(self) -> None:
        if self.search is not None and (self.search.ndim != 2 or len(self.search) != len(self.daily)):
            raise ConfigError(
                f"A search has one row a day and one column a configuration, was {self.search.shape} for "
                f"{len(self.daily)} days of the chosen one. Take all of them over the same stretch."
            )
        if self.benchmark is not None and len(self.benchmark) != len(self.daily):
            raise ConfigError(f"A benchmark of {len(self.benchmark)} days cannot be held against {len(self.daily)}.")
        if (self.sizes is None) != (self.gains is None) or (
            self.sizes is not None and self.gains is not None and len(self.sizes) != len(self.gains)
        ):
            raise ConfigError("Sizes of trades are judged by what they came to. Give both, one a trade.")


@dataclass(frozen=True)
class Robustness:
    """What a result is worth; every figure may be NaN, and then `why` says why it is not testable.

    Attributes
    ----------
    tried : TrialCount
        On this data so far, this run included.
    record : Moments
        Of the daily returns.
    trades : int
    sharpe : float, a year
    psr : float, 0..1
        Probability that the true Sharpe ratio is above 0, if nothing else had been tried.
    plain : float, 0..1
        The same, had every day been independent of the others.
    deflated : float, 0..1
        Probability that it is above what the best of so many tries without skill is expected to show.
    luck : float, 0..1
        Chance that the best of so many tries without skill does as well.
    days_needed : float
        Track record that it takes until `psr` reaches 0.95; infinite for a loss.
    overfitting, loss : float, 0..1
        Share of splits in which the winner in sample is in the lower half out of sample; in which it loses.
    superior : float, 0..1
        Hansen's p-value of "none of the search is better than the benchmark".
    better : int or None
        How many of the search are better than the benchmark, at most 5 % chance of one too many (StepM).
    inside, outside : float, a year
        Sharpe ratio of the winners of a walk forward: where they were chosen, and on what followed.
    halves : tuple of float, a year
        Sharpe ratio of the first and of the second half of the days.
    lag : float, -1..1
        Correlation of each day's return with that of the day before.
    growth : float
        How much larger bets are after losses than after gains; 1 where they do not care.
    why : dict of str to str
        Why a figure is not testable, by its name.
    """

    tried: TrialCount
    record: Moments
    trades: int
    sharpe: float = NAN
    psr: float = NAN
    plain: float = NAN
    deflated: float = NAN
    luck: float = NAN
    days_needed: float = NAN
    overfitting: float = NAN
    loss: float = NAN
    superior: float = NAN
    better: int | None = None
    inside: float = NAN
    outside: float = NAN
    halves: tuple[float, float] = (NAN, NAN)
    lag: float = NAN
    growth: float = NAN
    why: dict[str, str] = field(default_factory=dict)

    @property
    def days(self) -> int:
        """Whole days of returns."""
        return self.record.n

    @property
    def independent(self) -> float:
        """Independent days that they amount to."""
        return self.record.independent

    @property
    def decay(self) -> float:
        """Share of the Sharpe ratio in sample that a walk forward keeps out of sample; 1 is all of it."""
        return self.outside / self.inside if self.inside > ROUNDING else NAN

    def rows(self) -> list[tuple[str, str, str]]:
        """Lines of the box: name, figure, and what it says or why it is not testable."""
        tried = self.tried
        needed = NAN if not isfinite(self.days_needed) else float(ceil(self.days_needed))
        return [
            ("tries so far", f"{tried.configurations:,}", f"{plural(tried.runs, 'run')}, worth {tried.effective:,.1f} "
             f"independent tries{':' if tried.elsewhere else ''} {tried.where}"),
            self._row("Sharpe ratio", "sharpe", number(self.sharpe), f"a year, over {plural(self.days, 'day')} worth "
                      f"{self.independent:,.0f} independent ones"),
            self._row("PSR", "psr", percent(self.psr), "probability that the true Sharpe ratio is above 0, as "
                      f"if nothing else had been tried; {percent(self.plain)} were its days independent"),
            self._row(DEFLATED, "deflated", percent(self.deflated),
                      "the same probability, after all tries"),
            self._row("p-value, best of N", "luck", number(self.luck, 3),
                      "chance that the best of so many tries without skill is as good"),
            self._row("minimum track record", "days_needed", "never" if needed != needed else f"{needed:,.0f} days",
                      "for a PSR of 95 %"),
            self._row("overfitting (PBO)", "overfitting", percent(self.overfitting),
                      f"of splits; the winner loses out of sample in {percent(self.loss)}"),
            self._row("superior ability (SPA)", "superior", number(self.superior, 3),
                      f"p-value; {plural(self.better or 0, 'configuration')} better than the benchmark"),
            self._row("walk forward", "outside", number(self.outside),
                      f"Sharpe ratio out of sample, {number(self.inside)} in sample"),
            self._row("Sharpe by halves", "halves", f"{number(self.halves[0])} / {number(self.halves[1])}",
                      "of the first and of the second half of the days"),
        ]  # fmt: skip

    def _row(self, title: str, name: str, figure: str, note: str) -> tuple[str, str, str]:
        return (title, NOT_TESTABLE, self.why[name]) if name in self.why else (title, figure, note)

    def lines(self) -> list[str]:
        """The box as plain text, at most 98 columns wide."""
        return [
            line
            for name, figure, note in self.rows()
            for line in textwrap.wrap(f"{name:<23} {figure:>12}  {note}", WIDTH, subsequent_indent=" " * 38)
        ]


def robustness(evidence: RunReturns, tried: TrialCount | None = None, *, env: Env | None = None) -> Robustness:
    """Measure what a result is worth.

    Parameters
    ----------
    evidence : RunReturns
    tried : TrialCount, optional
        What the ledger counted, this run included; of the search alone if absent.
    env : Env, optional
        Where bootstraps draw from; seeded with 0 if absent.
    """
    counted = tried or TrialCount.of_search(evidence.daily[:, None] if evidence.search is None else evidence.search)
    record = Moments.of(evidence.daily)
    too_little = _too_little(evidence, record)
    if too_little:
        names = ("sharpe", "psr", "deflated", "luck", "days_needed", "overfitting", "superior", "outside", "halves")
        return Robustness(counted, record, evidence.trades, why=dict.fromkeys(names, too_little))
    why: dict[str, str] = {}
    deflated = _deflated(record, counted, why)
    above = psr(record)
    pbo, loss = _overfitting(evidence, why)
    superior, better = _superior(evidence, why, env)
    inside, outside = _walked(evidence, why)
    half = len(evidence.daily) // 2
    return Robustness(
        counted, record, evidence.trades, annual(record.sharpe), above, psr(record.plain), deflated,
        1.0 - above ** max(counted.effective, 1.0), min_track_record(record), pbo, loss, superior, better, inside,
        outside, (annual_sharpe(evidence.daily[:half]), annual_sharpe(evidence.daily[half:])),
        first_lag(evidence.daily), _growth(evidence), why,
    )  # fmt: skip


def _growth(evidence: RunReturns) -> float:
    """How much bets grow after losses: that of the trades or of the days, whichever grows more."""
    of_days = growth_after_losses(np.abs(evidence.daily), evidence.daily)
    if evidence.sizes is None or evidence.gains is None:
        return of_days
    return float(np.fmax(growth_after_losses(evidence.sizes, evidence.gains), of_days))


def annual(sharpe: float) -> float:
    """Annual Sharpe ratio of a daily one; a year has 365 days."""
    return sharpe * sqrt(DAYS_A_YEAR)


def annual_sharpe(daily: Array) -> float:
    """Annual Sharpe ratio of daily returns; NaN where they do not vary or are too few."""
    return annual(Moments.of(daily).sharpe)


def _too_little(evidence: RunReturns, record: Moments) -> str:
    """Why nothing at all can be told; empty if something can."""
    if evidence.trades < LEAST_TRADES:
        closed = "no trade was closed" if evidence.trades == 0 else f"{plural(evidence.trades, 'closed trade')}"
        return f"{closed}, {LEAST_TRADES} are needed"
    if record.n < LEAST_DAYS:
        return f"{plural(record.n, 'day')}, {LEAST_DAYS} are needed"
    return "the daily returns do not vary by more than rounding" if record.sharpe != record.sharpe else ""


def _deflated(record: Moments, tried: TrialCount, why: dict[str, str]) -> float:
    """Deflated Sharpe ratio; one try needs no deflation.

    What is judged is no part of its own yardstick: among ten tries one that is real doubles their variance. Nor are
    tries without skill alike to less than the error of a Sharpe ratio.
    """
    if tried.configurations <= 1:
        return psr(record)
    if tried.variance != tried.variance:
        why["deflated"] = "of the other tries no Sharpe ratios are known"
        return NAN
    variance = np.fmax(tried.variance_beside(record.sharpe), sharpe_error(record) ** 2)
    return deflated_sharpe(record, max(tried.effective, 1.0), float(variance))


def _of_search(name: str, evidence: RunReturns, why: dict[str, str]) -> Array | None:
    """Returns of the search on the days that all of it knows, if there is one that can be tested."""
    if evidence.search is None or evidence.search.shape[1] < 2:
        why[name] = NOTHING_CHOSEN
        return None
    known = evidence.search[np.isfinite(evidence.search).all(axis=1)]
    if len(known) and distinct(known) < 2:
        why[name] = NOTHING_CHOSEN
        return None
    return known


def _overfitting(evidence: RunReturns, why: dict[str, str]) -> tuple[float, float]:
    returns = _of_search("overfitting", evidence, why)
    if returns is None:
        return NAN, NAN
    moving = returns[:, ~spread_is_rounding(returns)]
    few = moving.shape[1] > MOST_COLUMNS or len(moving) < 2 * BLOCKS
    blocks = FEWER_BLOCKS if few else BLOCKS
    if moving.shape[1] < 2 or len(moving) < 2 * blocks:
        why["overfitting"] = f"{moving.shape[1]} configurations that trade, {plural(len(moving), 'day')}"
        return NAN, NAN
    found = overfitting_probability(moving, blocks)
    if found.probability != found.probability:
        why["overfitting"] = NOTHING_CHOSEN  # those that trade are copies of each other
    return found.probability, found.loss


def _superior(evidence: RunReturns, why: dict[str, str], env: Env | None) -> tuple[float, int | None]:
    if _of_search("superior", evidence, why) is None or evidence.search is None:
        return NAN, None
    benchmark = np.zeros(len(evidence.daily)) if evidence.benchmark is None else evidence.benchmark
    gains = evidence.search - benchmark[:, None]
    gains = gains[np.isfinite(gains).all(axis=1)]
    found = superior_ability(gains, evidence.search_trades, env=env)
    if found.reason:
        why["superior"] = found.reason
        return NAN, None
    return found.consistent, len(stepwise(gains, evidence.search_trades, env=env))


def _walked(evidence: RunReturns, why: dict[str, str]) -> tuple[float, float]:
    """Sharpe ratio a year of the winners of each stretch, where they were chosen and on the stretch that followed."""
    returns = _of_search("outside", evidence, why)
    if returns is None:
        return NAN, NAN
    if len(returns) < (WALKS + 1) * DAYS_A_WALK:
        why["outside"] = f"{plural(len(returns), 'day')}, {(WALKS + 1) * DAYS_A_WALK} are needed"
        return NAN, NAN
    inside, outside = [], []
    for past, following in WalkForward(WALKS).split(returns):
        ratios = sharpes(returns[past])
        if np.isfinite(ratios).any():
            winner = int(np.nanargmax(ratios))
            inside.append(float(ratios[winner]))
            outside.append(returns[following, winner])
    if not outside:
        why["outside"] = "no configuration trades before the last stretch"
        return NAN, NAN
    return annual(float(np.mean(inside))), annual_sharpe(np.concatenate(outside))
