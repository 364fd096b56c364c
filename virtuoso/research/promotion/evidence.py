"""What a study is judged by, and nothing else: records of days, each of which says where it comes from.

1. `walk`: the days after each round's training, returned by that round's winner. No winner saw them; they are the
   number that is reported.
2. `search`: the days of every completed trial of the last round, in which the winner was chosen; what was searched can
   be seen there, and nothing of it is out of sample.
3. `rivals`: what else one could have done on the days of `walk`: untuned, equal weights, holding, a past return.
4. `asked`: answers of the winner's own backtest: costs, delay, fills, tail, foresight.

What is not there is left out or NaN, and the gate then says *not testable*. Everything may be made by hand, which is
how simulated studies are put through the gate (tests/research/promotion/studies.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import ConfigError
from virtuoso.research.tracking.experiments import TrialCount
from virtuoso.research.validation.overfitting import NAN
from virtuoso.research.validation.verdict import Hurdle
from virtuoso.types import Array

UNTUNED, EQUAL, HOLD, PAST = "the untuned default", "equal weights", "buy and hold", "a plain past return"
ONE_SET = "one set of weights in every regime"
"""What a study that weighs by regime must beat besides."""
"""What a study is held against on the same days."""
LEAST_RIVALS = (EQUAL, HOLD, PAST)
"""Without which nothing is promoted."""


@dataclass(frozen=True)
class Space:
    """Trials as points, to see what lies beside the winner.

    Attributes
    ----------
    points : Array, shape (n_trials, n_names)
        Each name on one scale, such as shares of its range.
    values : Array, shape (n_trials,)
        What the tuner was given for each, more is better; NaN for a trial without a value.
    chosen : int
        Row of the winner.
    """

    points: Array
    values: Array
    chosen: int


@dataclass(frozen=True)
class Claim:
    """What a study claims to know, as a linear information coefficient, and how much it takes to know so much.

    Attributes
    ----------
    ic : float, -1..1
        Correlation of what was held, or of the score, with the return of the horizon that followed.
    windows : float
        Disjoint horizons that it was measured on.
    breakeven : float
        Coefficient at which costs eat all of it.
    """

    ic: float
    windows: float
    breakeven: float

    @property
    def needed(self) -> float:
        """Windows at which such a coefficient lies two errors above nothing: (2 / IC)^2."""
        return (2.0 / self.ic) ** 2 if self.ic > 0.0 else float("inf")


@dataclass(frozen=True)
class HoldOut:
    """The sealed stretch that a study names.

    Attributes
    ----------
    opened : bool
        Whether it was opened for this study.
    net : float
        Return of the committed winner on it; NaN before it is opened.
    openings : int
        How often it was opened, by any study.
    deflated : float, 0..1
        What is left of its Sharpe ratio after so many openings.
    """

    opened: bool
    net: float = NAN
    openings: int = 0
    deflated: float = NAN


@dataclass(frozen=True)
class Evidence:
    """What a study is judged by.

    Attributes
    ----------
    study : str
    tried : TrialCount
        All tries in the project's ledger on this data and of this family, those of all rounds included.
    days : array of int64, ms, shape (n_days,)
        Beginning of each day out of sample, UTC, increasing.
    walk : Array, shape (n_days,)
        Net return of each day out of sample, of the winner of its round.
    trades : int
        Closed on those days.
    rounds : array of int64, shape (n_days,)
        Round of each of those days.
    inside, outside : Array, shape (n_rounds,), a year
        Sharpe ratio of each round's winner on its training days and on its test days.
    gross, costs, turnover : Array, shape (n_days,)
        The same days before costs, what fees, slippage and funding took, and what was traded, as shares of the equity.
    hold : float, days
        How long a position is held in the mean; at least a bar, NaN where not known.
    rivals : mapping of str to Array, shape (n_days,)
        Net return of what else one could have done, on the same days.
    least : tuple of str
        Rivals that it must be better than, and have been measured against.
    search : Array, shape (n_tuned_days, n_trials)
        Net daily returns of every completed trial of the last round.
    search_trades : array of int64, shape (n_trials,), or None
    space : Space or None
    asked : tuple of Hurdle
        Answers of the winner's own backtest.
    scenarios : mapping of str to Array
        Net daily returns out of sample of each scenario; empty where the study has one only.
    regimes : mapping of str to float
        Profit of the winner in each state of the market, as a share of the cash; empty without scores.
    outsiders : mapping of str to float
        Net return of the winner on symbols that the study does not name.
    claim : Claim or None
        As measured on the score; from what was held where None.
    holdout : HoldOut or None
        None where the study names none.
    """

    study: str
    tried: TrialCount
    days: NDArray[np.int64]
    walk: Array
    trades: int
    rounds: NDArray[np.int64]
    inside: Array
    outside: Array
    gross: Array
    costs: Array
    turnover: Array
    hold: float
    rivals: Mapping[str, Array]
    search: Array
    search_trades: NDArray[np.int64] | None = None
    least: tuple[str, ...] = LEAST_RIVALS
    space: Space | None = None
    asked: tuple[Hurdle, ...] = ()
    scenarios: Mapping[str, Array] = field(default_factory=dict)
    regimes: Mapping[str, float] = field(default_factory=dict)
    outsiders: Mapping[str, float] = field(default_factory=dict)
    claim: Claim | None = None
    holdout: HoldOut | None = None

    def __post_init__(self) -> None:
        n = len(self.walk)
        named = {"days": self.days, "rounds": self.rounds, "gross": self.gross, "costs": self.costs,
                 "turnover": self.turnover, **self.rivals}  # fmt: skip
        for name, values in named.items():
            if len(values) != n:
                raise ConfigError(
                    f"The evidence of study {self.study} has {n} days out of sample, but {len(values)} of {name}. "
                    "Take all of them on the same days."
                )

    @property
    def claimed(self) -> Claim:
        """What it claims to know: as measured on the score, else as what was held did it.

        The return of a window over its spread is the correlation of a position of one size with what followed; costs
        over the same spread are the coefficient at which nothing is left.
        """
        if self.claim is not None:
            return self.claim
        known = np.isfinite(self.gross) & np.isfinite(self.costs)
        held = max(self.hold, 1.0) if self.hold == self.hold else NAN
        windows = known.sum() / held
        if not windows >= 2.0:
            return Claim(NAN, 0.0, NAN)
        per_day, spread = float(self.gross[known].mean()), float(self.gross[known].std())
        if not spread > 0.0:
            return Claim(NAN, float(windows), NAN)
        scale = np.sqrt(held) / spread  # days of one window are taken as independent
        return Claim(per_day * scale, float(windows), float(self.costs[known].mean()) * scale)
