"""Calibrating reliability: which share of past signals like it was right, and whether that can be told ahead.

1. BarrierLabels come from barriers.py. Signals are ordered by when they were decided, whatever their instrument.
2. Walk-forward: each step learns an isotonic curve from signals whose whole life lies before its first signal
   (splits.WalkForward, purged), and tells the signals that follow. A last step learns from all, for signals to come.
3. What was told is compared with the base rate, the share of right signals that the same step had seen: by squared
   error, with a bootstrap of blocks of time (reliability.py).
4. A table whose curve was not shown to be better than the base rate says so, and is not saved unless that is forced.

Before the curve is fitted, signals of similar reliability are put together, at least LEAST_TOGETHER at a time, and each
share is drawn a little to the base rate, so that nothing is certain. scikit-learn is needed here only; the table is
read by signals/reliability.py.

Source: Zadrozny & Elkan (2002), Transforming Classifier Scores into Accurate Multiclass Probability Estimates
(isotonic).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, iso, parse_time
from virtuoso.errors import DataError
from virtuoso.files.atomic import Disk
from virtuoso.prism.result.scores import Scores
from virtuoso.research.validation.barriers import BarrierLabels, barrier_labels
from virtuoso.research.validation.quantiles import intervals
from virtuoso.research.validation.reliability import Diagram, blocks_of, by_block, diagram
from virtuoso.research.validation.splits import LabelSpans, WalkForward
from virtuoso.signals.calibration import Calibration, Step
from virtuoso.signals.reliability import rule_digest
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

SPLITS = 5
LEAST_SIGNALS = 100
"""Signals with a known outcome, below which nothing is learned."""
LEAST_LEARNED = 50
"""Signals that a step learns from, at least."""
LEAST_TOGETHER = 25
MOST_GROUPS = 40
PRIOR = 2.0
"""Signals' worth by which the share of each group is drawn to the base rate."""
DIGITS = 6


class About(TypedDict):
    """Where outcomes come from: the fields of the same names of `Calibration`."""

    timeframe: str
    learned_with: str
    instruments: tuple[str, ...]
    data: str


@dataclass(frozen=True)
class Study:
    """A calibration and the evidence for it.

    Attributes
    ----------
    outcomes : BarrierLabels
    calibration : Calibration
        As it would be saved; `is_forced` says False.
    told : Array, shape (n_signals,)
        Probability told to each signal by a step that had not learned from it; NaN before the first step.
    base : Array, shape (n_signals,)
        The same of the base rate.
    gain, low, high : float
        Squared error of the base rate less that of the curve, mean and its 95 % interval; NaN is not testable.
    env : Env
    """

    outcomes: BarrierLabels
    calibration: Calibration
    told: Array
    base: Array
    gain: float
    low: float
    high: float
    env: Env

    @property
    def is_better(self) -> bool:
        """Whether the curve was shown to tell more than the base rate."""
        return self.low > 0.0

    @cached_property
    def diagram(self) -> Diagram:
        """Of what was told out of sample."""
        return diagram(self.told, self.outcomes, env=self.env)

    @cached_property
    def heuristic(self) -> Diagram:
        """Of the heuristic on the same signals, as if it were a probability."""
        plain = np.where(np.isnan(self.told), np.nan, self.outcomes.rows["heuristic"])
        return diagram(plain, self.outcomes, env=self.env)

    def save(self, file: Path | str, *, force: bool = False) -> Path:
        """Write the table; `signals.calibration` names it then.

        Parameters
        ----------
        file : Path or str
            Such as `configs/calibration/btc-5m.yaml`; a file that is there is replaced.
        force : bool
            Write it even if it was not shown to be better than the base rate.

        Raises
        ------
        DataError
            If it was not, and is not forced.
        """
        if not (self.is_better or force):
            raise DataError(f"The calibration is not saved: {self.calibration.verdict}. Force it to save it anyway.")
        table = self.calibration.model_copy(update={"is_forced": not self.is_better})
        target = Path(file)
        Disk().write(target, as_yaml(table).encode())
        return target


def as_yaml(table: Calibration) -> str:
    """Write a table as the file that `signals.calibration` names."""
    import yaml

    head = (
        "# Reliability of signals, learned by virtuoso.research.validation.calibration; named in signals.calibration.\n"
    )
    return head + yaml.safe_dump(table.model_dump(mode="json"), sort_keys=False, width=120, default_flow_style=None)


def calibrate(
    scores: Sequence[Scores], settings: SignalSettings, *, splits: int = SPLITS, env: Env | None = None
) -> Study:
    """Learn how often signals are right, and find out whether that can be told ahead.

    Parameters
    ----------
    scores : sequence of Scores
        One an instrument, of one prism and on one clock; their signals are pooled.
    settings : SignalSettings
        The rule and levels of the signals; a calibration in them is not looked at.
    splits : int
        Stretches that are told after learning from what came before.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    Study

    Raises
    ------
    DataError
        Fewer than LEAST_SIGNALS signals with an outcome, or scores of several prisms or clocks.
    """
    plain = settings.model_copy(update={"calibration": None})
    known = barrier_labels(scores, plain)
    about: About = {
        "timeframe": scores[0].frame.timeframe.name,
        "learned_with": rule_digest(scores[0].prism, plain),
        "instruments": tuple(sorted(str(of_one.frame.instrument) for of_one in scores)),
        "data": hashlib.sha256("\n".join(sorted(of_one.frame.fingerprint for of_one in scores)).encode()).hexdigest(),
    }
    return learn(known, about, splits=splits, env=env)


def learn(known: BarrierLabels, about: About, *, splits: int = SPLITS, env: Env | None = None) -> Study:
    """Learn from outcomes; see `calibrate`.

    Parameters
    ----------
    known : BarrierLabels
    about : About
        Where they come from.
    splits, env
        As for `calibrate`.
    """
    if len(known) < LEAST_SIGNALS:
        raise DataError(
            f"{len(known)} signals with a known outcome are too few to learn from; {LEAST_SIGNALS} are needed. "
            "Take a longer --timerange or more symbols."
        )
    how, rows = env or Env(seed=0), known.rows
    steps = _steps(known, splits)
    told, base = _told(steps, known)
    tested = np.isfinite(told)
    errors = np.square(np.column_stack((told, base)) - rows["right"][:, None])[tested]
    gain, low, high = _gain(errors[:, 1] - errors[:, 0], known, tested, how)
    brier, of_base = (float(mean) for mean in errors.mean(axis=0))
    table = Calibration(
        steps=steps,
        **about,
        first=iso(int(rows["decided"][0])),
        last=iso(int(rows["ends"].max())),
        signals=len(rows),
        right=int(rows["right"].sum()),
        brier=round(brier, DIGITS),
        brier_of_base_rate=round(of_base, DIGITS),
        verdict=_verdict(brier, of_base, low, int(tested.sum())),
        is_forced=False,
    )
    return Study(known, table, told, base, gain, low, high, how)


def _steps(known: BarrierLabels, splits: int) -> tuple[Step, ...]:
    """What was learned by the first signal of each stretch, and by the end."""
    rows = known.rows
    labels = LabelSpans(rows["decided"], rows["ends"])
    steps: list[Step] = []
    for past, told in WalkForward(splits, labels=labels).split(rows):
        since = int(rows["decided"][told[0]])
        if len(past) >= LEAST_LEARNED and (not steps or parse_time(steps[-1].since) < since):
            steps.append(_learn(rows[past], since))
    return (*steps, _learn(rows, int(rows["ends"].max()) + 1_000))


def _learn(rows: np.ndarray, since: int) -> Step:
    """Fit a curve that never falls to the shares of right signals among those of similar reliability."""
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(rows["heuristic"], kind="stable")
    heuristic, right = rows["heuristic"][order], rows["right"][order]
    groups = np.array_split(np.arange(len(rows)), max(1, min(len(rows) // LEAST_TOGETHER, MOST_GROUPS)))
    weight = np.array([len(group) for group in groups], dtype=np.float64)
    where = np.array([heuristic[group].mean() for group in groups])
    base = (right.sum() + 1.0) / (len(right) + 2.0)
    share = (np.array([right[group].sum() for group in groups]) + PRIOR * base) / (weight + PRIOR)
    curve = IsotonicRegression(y_min=0.0, y_max=1.0).fit(where.round(DIGITS), share, sample_weight=weight)
    return Step(
        since=iso(since),
        signals=len(rows),
        right=int(right.sum()),
        knots=tuple(curve.X_thresholds_.tolist()),
        probability=tuple(curve.y_thresholds_.round(DIGITS).tolist()),
    )


def _told(steps: Sequence[Step], known: BarrierLabels) -> tuple[Array, Array]:
    """What each signal was told by a step that had not learned from it, and the base rate of that step."""
    rows = known.rows
    begins = np.array([parse_time(step.since) for step in steps])
    step_of = np.searchsorted(begins, rows["decided"], side="right") - 1
    told, base = np.full((2, len(rows)), np.nan)
    for k, step in enumerate(steps):
        mine = step_of == k
        told[mine], base[mine] = step.at(rows["heuristic"][mine]), step.right / step.signals
    return told, base


def _gain(gained: Array, known: BarrierLabels, tested: NDArray[np.bool_], env: Env) -> tuple[float, float, float]:
    """Mean gain of a signal, and its interval."""
    sums, counts = by_block(gained, blocks_of(known)[tested])
    low, high = intervals(sums, counts, env.random())
    return float(gained.mean()), float(low[0]), float(high[0])


def _verdict(brier: float, base: float, low: float, tested: int) -> str:
    compared = f"Brier score {brier:.4f} against {base:.4f} on {tested:,} signals that were not learned from"
    if np.isnan(low):
        return f"not testable, they lie in too few days: {compared}"
    return f"{'better' if low > 0.0 else 'not shown to be better'} than the base rate: {compared}"
