"""The trial ledger: every configuration that was ever tried on some data, whoever tried it, in the whole project.

1. A run is one file in a folder, named by what was run on which data: it is written whole or not at all, several
   processes may write beside each other, nothing is ever changed, and the same run twice is one run.
2. Tries on *this* data are those on any of the same instruments over a stretch that overlaps: one day more or less
   does not reset the count.
3. From the Sharpe ratios of all of them, per day, come their variance and how many independent tries they amount to;
   both are measured, neither is assumed.

The best of many is judged by `overfitting.deflated_sharpe` with what `TrialLedger.tried` answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.account.metrics import DAY_MS, ROUNDING, spread_is_rounding
from virtuoso.clock import Env
from virtuoso.errors import ConfigError, SchemaVersionError, UnreadableFileError
from virtuoso.market.columns import Array
from virtuoso.market.disk import Disk
from virtuoso.research.overfitting import LEAST_OBSERVATIONS, NAN, effective_trials

FOLDER = Path("experiments") / "trials"
"""Where the ledger of a project lies, from its root."""
SCHEMA = 1
MOST_DAYS = 4_000
"""Days of returns that are kept of the chosen configuration; of longer histories none are."""
SHARED_DAYS = 30
"""Days that two chosen configurations must share before their correlation counts."""


@dataclass(frozen=True)
class Trial:
    """One run: a backtest, or a search over many configurations.

    Attributes
    ----------
    command : str
        What was asked for, for people.
    instruments : tuple of str
    first, stop : int, ms
        The stretch that was traded: open of its first bar, close of its last one.
    data, config : str
        Digests of the bars, and of everything that was chosen.
    configurations : int
        How many were looked at.
    moving : int
        How many of them ever gained or lost anything; the Sharpe ratio of the others is not known.
    sharpe, variance : float
        Mean and variance (n - 1) of their Sharpe ratios, per day; NaN where not known.
    correlation : float
        Mean over all pairs of their daily returns; NaN where there is no pair.
    daily : Array, shape (n_days,)
        Return of each whole day since `first`, of the one that was chosen; empty where not kept.
    when : int, ms
        When it was first recorded.
    """

    command: str
    instruments: tuple[str, ...]
    first: int
    stop: int
    data: str
    config: str
    configurations: int = 1
    moving: int = 0
    sharpe: float = NAN
    variance: float = NAN
    correlation: float = NAN
    daily: Array = field(default_factory=lambda: np.empty(0), compare=False, repr=False)
    when: int = 0

    def __post_init__(self) -> None:
        if self.configurations < 1 or not 0 <= self.moving <= self.configurations:
            raise ConfigError(
                f"A trial looks at one configuration or more, of which some move; was {self.configurations} and "
                f"{self.moving}."
            )
        if self.stop <= self.first or not self.instruments:
            raise ConfigError("A trial has instruments and a stretch of time; give those of the stage that was traded.")

    def seen(self, returns: Array, chosen: int = 0) -> Trial:
        """Measure what was looked at.

        Parameters
        ----------
        returns : Array, shape (n_days,) or (n_days, n_configurations)
            Daily returns of everything that was looked at.
        chosen : int
            Which one was chosen.
        """
        table = returns[:, None] if returns.ndim == 1 else returns
        ratios = sharpes(table)
        ratios = ratios[np.isfinite(ratios)]
        return replace(
            self,
            configurations=table.shape[1],
            moving=len(ratios),
            sharpe=float(ratios.mean()) if len(ratios) else NAN,
            variance=float(ratios.var(ddof=1)) if len(ratios) > 1 else NAN,
            correlation=mean_correlation(table),
            daily=table[:, chosen].copy() if len(table) <= MOST_DAYS else np.empty(0),
        )

    @property
    def identity(self) -> str:
        """Digest of what was run on which data; neither command nor clock is part of it."""
        what = (sorted(self.instruments), self.first, self.stop, self.data, self.config, self.configurations)
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]

    @property
    def effective(self) -> float:
        """Independent tries that its configurations amount to; all of them where their correlation is not known."""
        return effective_trials(self.configurations, 0.0 if self.correlation != self.correlation else self.correlation)


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried on some data so far.

    Attributes
    ----------
    runs, configurations : int
    correlation : float
        Mean over all pairs of configurations; within a run as measured, between two runs that of the chosen ones.
    effective : float
        Independent tries they amount to.
    moving : int
        How many Sharpe ratios are known.
    sharpe, variance : float
        Mean and variance (n - 1) of them, per day; NaN where fewer than two are known.
    """

    runs: int
    configurations: int
    correlation: float
    effective: float
    moving: int
    sharpe: float
    variance: float

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Tried:
        """Take runs together."""
        count = sum(trial.configurations for trial in trials)
        if count == 0:
            return cls(0, 0, NAN, 0.0, 0, NAN, NAN)
        correlation = _correlation(trials, count)
        effective = effective_trials(count, correlation) if count > 1 else 1.0
        return cls(len(trials), count, correlation, max(effective, *(t.effective for t in trials), 1.0),
                   *_ratios(trials))  # fmt: skip

    @classmethod
    def of_search(cls, returns: Array) -> Tried:
        """Count the configurations of one search alone, where no ledger is kept.

        Parameters
        ----------
        returns : Array, shape (n_days, n_configurations)
        """
        return cls.of([Trial("", ("any",), 0, 1, "", "").seen(returns)])

    def variance_beside(self, sharpe: float) -> float:
        """Variance (n - 1) of the Sharpe ratios of all others, of which this is one; NaN of fewer than two others."""
        if self.moving < 3:
            return NAN
        away = (sharpe - self.sharpe) ** 2 * self.moving / (self.moving - 1)
        return max((self.moving - 1) * self.variance - away, 0.0) / (self.moving - 2)


class TrialLedger:
    """The runs of a project, a file each.

    Examples
    --------
    >>> ledger = TrialLedger(Path("experiments/trials"))     # doctest: +SKIP
    >>> ledger.record(trial)                                 # doctest: +SKIP
    >>> ledger.tried(trial).configurations                   # doctest: +SKIP
    1204
    """

    def __init__(self, folder: Path = FOLDER, *, env: Env | None = None, disk: Disk | None = None) -> None:
        self.folder = folder
        self._env = env or Env()
        self._disk = disk or Disk()

    def record(self, trial: Trial) -> bool:
        """Write a run down; say whether it is a new one."""
        path = self.folder / f"{trial.identity}.json"
        if path.exists():
            return False
        self._disk.write(path, _written(replace(trial, when=self._env.now_ms())))
        return True

    def trials(self) -> list[Trial]:
        """All runs, in the order in which they were recorded.

        Raises
        ------
        UnreadableFileError
            If a file is damaged; what it counted is not known.
        SchemaVersionError
            If a newer version wrote it.
        """
        found = [_read(path) for path in sorted(self.folder.glob("[!.]*.json"))]
        return sorted(found, key=lambda trial: (trial.when, trial.identity))

    def tried(self, trial: Trial) -> Tried:
        """Count what was tried on the data of a run so far, this run included."""
        others = [t for t in self.trials() if t.identity != trial.identity and _same_data(t, trial)]
        return Tried.of([*others, trial])


def sharpes(returns: Array) -> Array:
    """Sharpe ratio per day of each column, over the days it knows, shape (n_configurations,).

    Parameters
    ----------
    returns : Array, shape (n_days, n_configurations)

    Returns
    -------
    Array
        NaN where a column does not vary or knows too few days, as `Moments.of` has it.
    """
    known = np.isfinite(returns)
    n = known.sum(axis=0)
    mean = np.where(known, returns, 0.0).sum(axis=0) / np.maximum(n, 1)
    away = np.where(known, returns - mean, 0.0)
    moves = (n >= LEAST_OBSERVATIONS) & ~spread_is_rounding(returns)
    spread = np.sqrt((away * away).sum(axis=0) / np.maximum(n - 1, 1))
    ratios: Array = np.where(moves, mean / np.where(moves, spread, 1.0), NAN)
    return ratios


def mean_correlation(returns: Array) -> float:
    """Mean correlation over all pairs of columns that move; NaN where there is no pair.

    Parameters
    ----------
    returns : Array, shape (n_days, n_configurations)
        Days on which any is not known are left out.
    """
    known = returns[np.isfinite(returns).all(axis=1)]
    moving = known[:, ~spread_is_rounding(known)]
    n = moving.shape[1]
    if n < 2 or len(moving) < SHARED_DAYS:
        return NAN
    away = moving - moving.mean(axis=0)
    together = (away / np.sqrt(np.mean(away * away, axis=0))).sum(axis=1)
    # the variance of a sum of n standardised series is n plus twice the sum of their correlations
    return float((np.mean(together * together) - n) / (n * (n - 1)))


def _same_data(one: Trial, other: Trial) -> bool:
    shared = not set(one.instruments).isdisjoint(other.instruments)
    return shared and one.first < other.stop and other.first < one.stop


def _correlation(trials: Sequence[Trial], count: int) -> float:
    """Mean over all pairs of configurations; what is not known counts as independent."""
    if count < 2:
        return NAN
    sizes = np.array([float(trial.configurations) for trial in trials])
    own = np.array([trial.correlation for trial in trials])
    within = float((np.nan_to_num(own) * sizes * (sizes - 1.0)).sum())
    between = float((_between(trials) * sizes[:, None] * sizes).sum())
    return (within + between) / (count * (count - 1.0))


def _between(trials: Sequence[Trial]) -> Array:
    """Correlations of the chosen configurations of runs over the days each two share, shape (n_runs, n_runs).

    Returns
    -------
    Array
        0 on the diagonal, and where too few days are shared.
    """
    starts = [round(trial.first / DAY_MS) for trial in trials]
    first = min(starts)
    days = max(start + len(trial.daily) for start, trial in zip(starts, trials, strict=True)) - first
    table = np.full((days, len(trials)), NAN)
    for k, (start, trial) in enumerate(zip(starts, trials, strict=True)):
        table[start - first : start - first + len(trial.daily), k] = trial.daily
    there = np.isfinite(table).astype(np.float64)
    known = np.where(there > 0.0, table, 0.0)
    shared = there.T @ there
    n = np.maximum(shared, 1.0)
    mean = known.T @ there / n  # of the first of a pair, over the days it shares with the second
    spread = np.maximum((known * known).T @ there / n - mean * mean, 0.0)
    both = np.sqrt(spread * spread.T)
    told = (shared >= SHARED_DAYS) & (both > ROUNDING**2) & ~np.eye(len(trials), dtype=bool)
    found = (known.T @ known / n - mean * mean.T) / np.where(told, both, 1.0)
    return np.where(told, np.clip(found, -1.0, 1.0), 0.0)


def _ratios(trials: Iterable[Trial]) -> tuple[int, float, float]:
    """Number, mean and variance (n - 1) of all known Sharpe ratios: that within runs, and that between them."""
    known = [t for t in trials if t.moving and isfinite(t.sharpe)]
    count = sum(t.moving for t in known)
    if count < 2 or any(t.moving > 1 and not isfinite(t.variance) for t in known):
        return count, NAN, NAN
    mean = sum(t.moving * t.sharpe for t in known) / count
    within = sum((t.moving - 1) * t.variance for t in known if t.moving > 1)
    between = sum(t.moving * (t.sharpe - mean) ** 2 for t in known)
    return count, mean, (within + between) / (count - 1)


def _written(trial: Trial) -> bytes:
    values: dict[str, Any] = {"schema": SCHEMA} | asdict(trial)
    values["daily"] = [float(f"{x:.9g}") for x in trial.daily]
    plain = {name: _null(value) for name, value in values.items()}
    return (json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _null(value: Any) -> Any:
    if isinstance(value, list):
        return [_null(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _read(path: Path) -> Trial:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        schema = int(values.pop("schema"))
        if schema > SCHEMA:
            raise SchemaVersionError(f"{path} was written by a newer Virtuoso (schema {schema}). Update this one.")
        values["instruments"] = tuple(values["instruments"])
        values["daily"] = np.array([NAN if x is None else x for x in values["daily"]], dtype=np.float64)
        numbers = [f.name for f in fields(Trial) if f.type == "float"]
        values |= {name: NAN for name in numbers if values[name] is None}
        return Trial(**values)
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as fault:
        raise UnreadableFileError(
            f"{path} is not a trial ({fault}), so that what was tried is not known. Restore it from a backup or git; "
            "if that cannot be, remove it and count its tries by hand."
        ) from None
