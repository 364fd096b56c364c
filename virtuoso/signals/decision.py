"""Decisions: the rule's changes of state with the charts, plans and reliability that belong to them.

1. Where the regime is not among `signals.regimes` no position is entered; the state of the rule stays what it is.
2. Reliability is the probability of the calibration where there is a plan, and the heuristic elsewhere.

Intents (strategy.py) and signals (signals/message/build.py) are two ways to write the same decisions down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.prism.result.scores import Scores
from virtuoso.signals.levels import Charts, Plans, charts, plans
from virtuoso.signals.regime import Codes, admits, name_of, regimes_at
from virtuoso.signals.reliability import misfit
from virtuoso.signals.rule import NEUTRAL, States, Verdicts, judge
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided at the close of some scored bars.

    Attributes
    ----------
    scores : Scores
    settings : SignalSettings
    verdicts : Verdicts
        Of every scored bar.
    at : array of int64, shape (n,)
        Positions among the scored bars; charts and plans are of these.
    charts : Charts
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
    verdicts: Verdicts
    at: NDArray[np.int64]
    charts: Charts
    plans: Plans
    regime: Codes
    stopped: NDArray[np.bool_]
    reliability: Array
    calibrated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.at)

    @property
    def state(self) -> States:
        """State of the rule at each decision."""
        return self.verdicts.state[self.at]


def decide(scores: Scores, settings: SignalSettings, at: NDArray[np.int64] | None = None) -> Decisions:
    """Decide at every change of the rule's state, or at given positions among the scored bars.

    Raises
    ------
    NotLoadedError
        If bars that the rule or the levels remember exist but were not loaded.
    """
    verdicts = judge(scores, settings)
    where = verdicts.changes() if at is None else at
    state, numbers = verdicts.state[where], where + scores.start
    chart = charts(scores.prism, scores.workspace, numbers, settings.levels)
    regime, stopped = _gate(scores, settings, numbers, state)
    side = np.where(stopped, NEUTRAL, state).astype(np.int8)
    plan = plans(chart, side, settings.levels, scores.frame.timeframe)
    reliability, calibrated = _reliability(scores, settings, where, plan)
    return Decisions(scores, settings, verdicts, where, chart, plan, regime, stopped, reliability, calibrated)


def stopped_entries(scores: Scores, settings: SignalSettings) -> dict[str, int]:
    """How many entries were stopped in each regime by `signals.regimes`; those where it is not known count under ''."""
    verdicts = judge(scores, settings)
    where = verdicts.changes()
    regime, stopped = _gate(scores, settings, where + scores.start, verdicts.state[where])
    codes, counts = np.unique(regime[stopped], return_counts=True)
    return {name_of(int(code)): int(n) for code, n in zip(codes, counts, strict=True)}


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
