"""Decisions: the rule's changes of state with the levels, plans and reliability that belong to them.

1. Where the regime is not among `signals.regimes` no position is entered; the state of the rule stays what it is.
2. Reliability is the probability of the calibration where there is a plan, and the heuristic elsewhere.

Intents (strategy.py) and signals (signals/message/build.py) are two ways to write the same decisions down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from virtuoso.prism.result.scores import Scores
from virtuoso.signals.history import Past
from virtuoso.signals.levels import LevelSnapshot, Plans, level_snapshot, plans
from virtuoso.signals.regime import Codes, admits, regime_name, regimes_at
from virtuoso.signals.reliability import misfit
from virtuoso.signals.rule import NEUTRAL, RuleStates, States, apply_rule
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array


@dataclass(frozen=True)
class Decisions:
    """What was decided at the close of some scored bars.

    Attributes
    ----------
    scores : Scores
    settings : SignalSettings
    rule : RuleStates
        Of every scored bar.
    at : array of int64, shape (n,)
        Positions among the scored bars; levels and plans are of these.
    levels : LevelSnapshot
    plans : Plans
        Without a side where the rule is NEUTRAL or the regime stops entries.
    regime : array of int8, shape (n,)
        Codes of REGIMES.
    stopped : array of bool, shape (n,)
        Where the rule takes a side and the regime stops the entry.
    reliability : Array, 0..1, shape (n,)
    calibrated : array of bool, shape (n,)
        Where reliability is a probability; a heuristic elsewhere.
    """

    scores: Scores
    settings: SignalSettings
    rule: RuleStates
    at: NDArray[np.int64]
    levels: LevelSnapshot
    plans: Plans
    regime: Codes
    stopped: NDArray[np.bool_]
    reliability: Array
    calibrated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def past(self) -> Past:
        """History of the scored bars; gathered when it is asked for, which intents never do."""
        return Past.of(self.scores, self.settings)

    @property
    def state(self) -> States:
        """State of the rule at each decision."""
        return self.rule.state[self.at]


def decide(scores: Scores, settings: SignalSettings, at: NDArray[np.int64] | None = None) -> Decisions:
    """Decide at every change of the rule's state, or at given positions among the scored bars.

    Raises
    ------
    NotLoadedError
        If bars that the rule or the levels remember exist but were not loaded.
    """
    rule = apply_rule(scores, settings)
    where = rule.changes() if at is None else at
    state, numbers = rule.state[where], where + scores.start
    snapshot = level_snapshot(scores.prism, scores.workspace, numbers, settings.levels)
    regime, stopped = _gate(scores, settings, numbers, state)
    side = np.where(stopped, NEUTRAL, state).astype(np.int8)
    plan = plans(snapshot, side, settings.levels, scores.frame.timeframe)
    reliability, calibrated = _reliability(scores, settings, where, plan)
    return Decisions(scores, settings, rule, where, snapshot, plan, regime, stopped, reliability, calibrated)


def stopped_entries(scores: Scores, settings: SignalSettings) -> dict[str, int]:
    """How many entries were stopped in each regime by `signals.regimes`; those where it is not known count under ''."""
    rule = apply_rule(scores, settings)
    where = rule.changes()
    regime, stopped = _gate(scores, settings, where + scores.start, rule.state[where])
    codes, counts = np.unique(regime[stopped], return_counts=True)
    return {regime_name(int(code)): int(n) for code, n in zip(codes, counts, strict=True)}


def _gate(
    scores: Scores, settings: SignalSettings, numbers: NDArray[np.int64], state: States
) -> tuple[Codes, NDArray[np.bool_]]:
    """Regime at some closes, and where it stops an entry."""
    regime = regimes_at(scores.prism, scores.workspace, numbers)
    return regime, (state != NEUTRAL) & ~admits(settings.regimes, regime)


def _reliability(
    scores: Scores, settings: SignalSettings, where: NDArray[np.int64], plan: Plans
) -> tuple[Array, NDArray[np.bool_]]:
    """Reliability of each decision, and where it is calibrated."""
    heuristic = scores.reliability[where]
    if settings.calibration is None or misfit(scores, settings):
        return heuristic, np.zeros(len(where), dtype=bool)
    probability = settings.calibration.probability(heuristic, scores.close_times[where])
    calibrated = plan.known & np.isfinite(probability)
    return np.where(calibrated, probability, heuristic), calibrated
