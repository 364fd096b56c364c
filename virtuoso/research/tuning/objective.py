"""What a study looks for: values of trials on the days of a window, shrunk towards the prior, and why one has none.

1. An objective is a figure of the days of one window alone, so that nothing of a later day is in it. Those of several
   scenarios are reduced to one by the study's reducer.
2. Weights cost: `shrink` times the mean squared log-ratio to the prior is taken off each value that is tuned on. So a
   fit has to earn its distance from what is in force. It is never taken off what is reported of test windows.
3. A trial without enough trades has no value and a reason; so has one whose value is not a number. Neither is ever 0.

The account of a trial runs through: at the edge of a window it holds what it would have held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.errors import DataError
from virtuoso.research.tracking.experiments import sharpes
from virtuoso.research.tuning.rounds import Round
from virtuoso.research.tuning.study import OBJECTIVE_NAMES, Reducer, Study
from virtuoso.types import Array, Mask, Times

LEAST_DAYS = 5
"""Days below which a Sharpe ratio is not known. Trials are compared by it on the same days, so it may be fewer than a
report asks for, which says what one of them is worth (`account.metrics.LEAST_DAYS`)."""
SUMS = 6
"""What the linear coefficient is made of: how many, and the sums of x, y, xx, yy and xy."""


@dataclass(frozen=True)
class ScenarioReturns:
    """What trials did day by day in one scenario: its instruments share the capital equally.

    Attributes
    ----------
    name : str
    days : array of int64, ms, shape (n_days,)
        First moment of each whole day, UTC.
    daily : Array, shape (n_days, n)
        Net return of each day; NaN of a trial that was not evaluated.
    traded : Array, shape (n_days, n)
        Trades that closed on each day.
    turned : Array, shape (n_days, n)
        Value of the fills of each day as a share of the equity at its beginning.
    costs : Array, shape (n_days, n)
        Fees, slippage and funding of each day as a share of the equity at its beginning; funding received is negative.
    sums : Array, shape (SUMS, n_days, n)
        Of the linear coefficient, on the day on which the return is known; shape (0, n_days, n) where nobody asks.
    """

    name: str
    days: Times
    daily: Array
    traded: Array
    turned: Array
    costs: Array
    sums: Array

    def __len__(self) -> int:
        """How many trials there are."""
        return int(self.daily.shape[1])

    @property
    def trades(self) -> Array:
        """Trades of each trial, shape (n,)."""
        return np.asarray(self.traded.sum(axis=0))

    @property
    def turnover(self) -> Array:
        """Value of all fills over equity, shape (n,)."""
        return np.asarray(self.turned.sum(axis=0))

    @property
    def gross(self) -> Array:
        """Return of each day before costs, shape (n_days, n)."""
        return self.daily + self.costs

    def between(self, first: int, stop: int) -> ScenarioReturns:
        """Return the days [first, stop) alone."""
        here = slice(first, stop)
        return ScenarioReturns(
            self.name, self.days[here], self.daily[here], self.traded[here], self.turned[here], self.costs[here],
            self.sums[:, here],
        )  # fmt: skip


class Goal(NamedTuple):
    """One objective: what is computed of a window, and whether more or less of it is better."""

    value: Callable[[ScenarioReturns], Array]
    direction: Literal["maximize", "minimize"]

    @property
    def sign(self) -> float:
        """1 where more is better, else -1."""
        return 1.0 if self.direction == "maximize" else -1.0


def _sharpe(seen: ScenarioReturns) -> Array:
    """Annual Sharpe ratio of net daily returns: to compare trials on the same days, from few days on."""
    if len(seen.daily) < LEAST_DAYS:
        return np.full(len(seen), np.nan)
    return np.asarray(sharpes(seen.daily) * np.sqrt(DAYS_A_YEAR))


def _growth(seen: ScenarioReturns) -> Array:
    """Net return of the whole window, compounded."""
    return np.asarray(np.prod(1.0 + seen.daily, axis=0) - 1.0)


def _max_drawdown(seen: ScenarioReturns) -> Array:
    """Max drawdown, at the ends of days: 0 or below."""
    equity = np.vstack((np.ones(len(seen)), np.cumprod(1.0 + seen.daily, axis=0)))
    return np.asarray((equity / np.maximum.accumulate(equity, axis=0) - 1.0).min(axis=0))


def _calmar(seen: ScenarioReturns) -> Array:
    """CAGR over the max drawdown; not known where there is none."""
    grown, drawdown = np.maximum(1.0 + _growth(seen), 0.0), -_max_drawdown(seen)
    yearly = grown ** (DAYS_A_YEAR / max(len(seen.daily), 1)) - 1.0
    return _ratio(yearly, drawdown)


def _sortino(seen: ScenarioReturns) -> Array:
    """Annual mean over the deviation below 0 (Sortino and Price 1994, J. of Investing 3(3))."""
    below = np.sqrt(np.mean(np.minimum(seen.daily, 0.0) ** 2, axis=0))
    return _ratio(seen.daily.mean(axis=0) * np.sqrt(DAYS_A_YEAR), below)


def _profit_factor(seen: ScenarioReturns) -> Array:
    """Sum of the days that gained over that of the days that lost; not known where none lost."""
    return _ratio(np.maximum(seen.daily, 0.0).sum(axis=0), np.maximum(-seen.daily, 0.0).sum(axis=0))


def _linear_ic(seen: ScenarioReturns) -> Array:
    """Correlation of confluence with the clipped, volatility-scaled return over the study's horizon."""
    if len(seen.sums) == 0:
        raise DataError("The sums of the linear coefficient were not kept: the study has no objective linear_ic.")
    n, x, y, xx, yy, xy = seen.sums.sum(axis=1)
    spread = np.sqrt(np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0))
    return _ratio(n * xy - x * y, spread)


def _ratio(above: Array, below: Array) -> Array:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0.0))


OBJECTIVES: Mapping[str, Goal] = {
    "sharpe": Goal(_sharpe, "maximize"),
    "net_return": Goal(_growth, "maximize"),
    "max_drawdown": Goal(_max_drawdown, "maximize"),  # 0 or below: more is less of it
    "calmar": Goal(_calmar, "maximize"),
    "sortino": Goal(_sortino, "maximize"),
    "profit_factor": Goal(_profit_factor, "maximize"),
    "turnover": Goal(lambda seen: seen.turnover / max(len(seen.daily), 1), "minimize"),
    "linear_ic": Goal(_linear_ic, "maximize"),
}
"""Objectives by name; turnover is a day, in times of the equity."""
assert tuple(OBJECTIVES) == OBJECTIVE_NAMES


class Judged(NamedTuple):
    """Values of trials in one round.

    Attributes
    ----------
    values : Array, shape (n, n_objectives)
        What a sampler is told: in sample, reduced over the scenarios, shrunk. NaN where there is a reason.
    inside, outside : Array, shape (n, n_objectives)
        In sample and on the test window, reduced over the scenarios and not shrunk; NaN where not known.
    trades, turnover : Array, shape (n,)
        In sample, of all scenarios together: trades, and fills over equity.
    reasons : tuple of str or None
        Why a trial has no value.
    """

    values: Array
    inside: Array
    outside: Array
    trades: Array
    turnover: Array
    reasons: tuple[str | None, ...]


def directions(study: Study) -> tuple[Literal["maximize", "minimize"], ...]:
    """Return for each objective of a study whether it is maximised."""
    return tuple(OBJECTIVES[name].direction for name in study.objectives)


def judge(
    study: Study,
    returns: Sequence[ScenarioReturns],
    round_: Round,
    distance: Array,
    failed: Sequence[str | None] | None = None,
) -> Judged:
    """Judge trials on the windows of a round.

    Parameters
    ----------
    study : Study
    returns : sequence of ScenarioReturns
        One a scenario, of the same trials; of the days before the end of the round at least.
    round_ : Round
    distance : Array, shape (n,)
        Mean squared log-ratio of the weights to the prior: `Space.distance`.
    failed : sequence of str or None, optional
        Why a trial could not be evaluated.

    Returns
    -------
    Judged
    """
    windows = [round_.windows[one.name] for one in returns]
    trained = [one.between(w.train_first, w.train_stop) for one, w in zip(returns, windows, strict=True)]
    tested = [one.between(w.test_first, w.test_stop) for one, w in zip(returns, windows, strict=True)]
    goals = [OBJECTIVES[name] for name in study.objectives]
    inside = np.column_stack([_reduced(goal, trained, study.reducer) for goal in goals])
    none = np.full(inside.shape, np.nan)
    outside = none if round_.is_final else np.column_stack([_reduced(goal, tested, study.reducer) for goal in goals])
    signs = np.array([goal.sign for goal in goals])
    values = inside - signs * study.shrink * distance[:, None]
    reasons: list[str | None] = list(failed) if failed is not None else [None] * len(distance)
    for k in range(len(distance)):
        reasons[k] = reasons[k] or _reason(study, trained, k, inside[k])
    values[[reason is not None for reason in reasons]] = np.nan
    trades = np.sum([one.trades for one in trained], axis=0)
    turnover = np.sum([one.turnover for one in trained], axis=0)
    return Judged(values, inside, outside, trades, turnover, tuple(reasons))


def _reason(study: Study, trained: Sequence[ScenarioReturns], k: int, values: Array) -> str | None:
    """Why a trial has no value; None where it has one."""
    for one in trained:
        if not np.isfinite(one.daily[:, k]).all():
            return f"equity is not known on some days of {one.name}"
        trades = int(one.trades[k])
        if trades < study.least_trades and set(study.objectives) != {"linear_ic"}:
            where = f" in {one.name}" if len(trained) > 1 else ""
            some = "no trade" if trades == 0 else f"{trades} trade{'s' if trades > 1 else ''}"
            return f"{some}{where} in the days that are tuned on, fewer than {study.least_trades}"
    for name, value in zip(study.objectives, values.tolist(), strict=True):
        if not np.isfinite(value):
            return f"{name} is not known in the days that are tuned on"
    return None


def _reduced(goal: Goal, seen: Sequence[ScenarioReturns], reducer: Reducer) -> Array:
    """One value a trial of those of all scenarios; NaN where one of them is not known."""
    with np.errstate(invalid="ignore", over="ignore"):
        values = goal.sign * np.array([goal.value(one) for one in seen])
        if reducer.by == "mean":
            found = values.mean(axis=0)
        elif reducer.by == "worst":
            found = values.min(axis=0)
        else:
            found = np.quantile(values, reducer.q, axis=0)
    return np.asarray(goal.sign * found + 0.0)  # no -0


def survivors(study: Study, so_far: Sequence[ScenarioReturns], round_: Round, alive: Mask) -> Mask:
    """Return which trials of a generation go on after a part of it, by the first objective so far.

    Parameters
    ----------
    study : Study
        Which prunes.
    so_far : sequence of ScenarioReturns
        Of the parts that are done.
    round_ : Round
    alive : array of bool, shape (n,)

    Returns
    -------
    array of bool, shape (n,)
        All that are alive where the study does not prune. What has no value so far goes last.
    """
    rules, count = study.pruning, int(alive.sum())
    if rules is None or count <= rules.least:
        return alive
    goal = OBJECTIVES[study.objectives[0]]
    windows = [round_.windows[one.name] for one in so_far]
    trained = [one.between(w.train_first, w.train_stop) for one, w in zip(so_far, windows, strict=True)]
    value = goal.sign * _reduced(goal, trained, study.reducer)
    value = np.where(np.isfinite(value) & alive, value, -np.inf)
    keep = max(rules.least, int(np.ceil(rules.keep * count)))
    order = np.argsort(-value, kind="stable")
    order = order[alive[order]][:keep]
    going: NDArray[np.bool_] = np.zeros(len(alive), dtype=bool)
    going[order] = True
    return going
