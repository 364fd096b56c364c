"""Decisions: the rule's changes of state with the charts and plans that belong to them.

Intents (strategy.py) and signals (issue.py) are two ways to write the same decisions down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.prism.scores import Scores
from virtuoso.signals.levels import Charts, Plans, charts, plans
from virtuoso.signals.rule import States, Verdicts, judge
from virtuoso.signals.settings import SignalSettings


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
    """

    scores: Scores
    settings: SignalSettings
    verdicts: Verdicts
    at: NDArray[np.int64]
    charts: Charts
    plans: Plans

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
    chart = charts(scores.prism, scores.workspace, where + scores.start, settings.levels)
    plan = plans(chart, verdicts.state[where], settings.levels, scores.frame.timeframe)
    return Decisions(scores, settings, verdicts, where, chart, plan)
