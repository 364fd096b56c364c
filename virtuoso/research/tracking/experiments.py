"""The trial ledger: every configuration that was ever tried on some data, whoever tried it, in the whole project.

1. A run is one file in a folder, named by what was run on which data: it is written whole or not at all, several
   processes may write beside each other, nothing is ever changed, and the same run twice is one run.
2. Tries on *this* data are those on any of the same symbols, whatever the venue, over a stretch that overlaps: one day
   more or less does not reset the count, nor does the same market somewhere else.
3. Tries of the same *family* count wherever they were made: whoever picks the best of forty symbols, of five venues or
   of eight years has tried as often.
4. From the Sharpe ratios of all of them, per day, come their variance and how many independent tries they amount to;
   both are measured, neither is assumed.

The best of many is judged by `overfitting.deflated_sharpe` with what `TrialLedger.tried` answers; recording.py says
when a run is recorded, and what becomes of one that cannot be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from virtuoso.account.metrics import DAY_MS, ROUNDING, spread_is_rounding
from virtuoso.account.symbols import symbol_of
from virtuoso.clock import Env
from virtuoso.errors import ConfigError, SchemaVersionError, UnreadableFileError
from virtuoso.files.atomic import Disk, remove_leftovers
from virtuoso.files.json import to_json
from virtuoso.prism.prism import Prism
from virtuoso.research.validation.overfitting import LEAST_OBSERVATIONS, NAN, effective_trials
from virtuoso.types import Array

FOLDER = Path("experiments") / "trials"
"""Where the ledger of a project lies, from its root."""
SCHEMA = 2
"""Schema 1 knew no families; its runs were made by the command line, from components that ship."""
SIMULATED = "simulated-"
"""Begins the name of a run on simulated history alone: what the demo and the tutorial try is not for git."""
SHIPPED = "shipped"
"""Stands for every component that ships with Virtuoso: whatever is made of them is one family."""
HANDED_IN = "handed in"
"""Family of intents that were handed in: what made them is not known."""
MOST_DAYS = 4_000
"""Days of returns that are kept of the chosen configuration; of longer histories none are."""
SHARED_DAYS = 30
"""Days that two chosen configurations must share before their correlation counts."""
MOST_PAIRED = 1_000
"""Runs whose correlations with each other are measured, the newest; those before them count as independent."""
MOST_KEPT = 20_000
"""Runs that are kept in memory between two counts."""


@dataclass(frozen=True)
class Trial:
    """One run: a backtest, or a search over many configurations.

    Attributes
    ----------
    command : str
        What was asked for, for people.
    instruments : tuple of str
        As `str(instrument)` writes them.
    first, stop : int, ms
        The stretch that was traded: open of its first bar, close of its last one.
    data, config : str
        Digests of the bars, and of everything that was chosen: configuration, prism, terms.
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
    family : tuple of str
        What it is made of, see `family_of`; runs whose families share a name are of one family.
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
    family: tuple[str, ...] = (SHIPPED,)
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

    @property
    def is_simulated(self) -> bool:
        """Whether all of it is simulated history."""
        return all(one.rpartition(" ")[2].split("-")[0] == "simulated" for one in self.instruments)

    @property
    def symbols(self) -> frozenset[str]:
        """Symbols that were traded, whatever the venue and however it writes them."""
        return frozenset(map(symbol_of, self.instruments))


@dataclass(frozen=True, slots=True)
class TrialCount:
    """What was tried so far, on some data and of some family.

    Attributes
    ----------
    runs, configurations : int
        On this data and of this family elsewhere, together.
    correlation : float
        Mean over all pairs of configurations; within a run as measured, between two runs that of the chosen ones.
    effective : float
        Independent tries they amount to.
    moving : int
        How many Sharpe ratios are known.
    sharpe, variance : float
        Mean and variance (n - 1) of them, per day; NaN where fewer than two are known.
    elsewhere : int
        Configurations among them of the same family on other data.
    recorded : bool
        Whether the run that is judged is in the ledger and everything there was counted; else nothing ships.
    reason : str
        Why not.
    """

    runs: int
    configurations: int
    correlation: float
    effective: float
    moving: int
    sharpe: float
    variance: float
    elsewhere: int = 0
    recorded: bool = True
    reason: str = ""

    @classmethod
    def of(cls, trials: Sequence[Trial], elsewhere: Sequence[Trial] = ()) -> TrialCount:
        """Take runs together: those on some data, and those of the same family on other data."""
        every = [*trials, *elsewhere]
        count = sum(trial.configurations for trial in every)
        if count == 0:
            return cls(0, 0, NAN, 0.0, 0, NAN, NAN)
        correlation = _correlation(every, count)
        effective = effective_trials(count, correlation) if count > 1 else 1.0
        largest = max(trial.effective for trial in every)
        return cls(
            len(every), count, correlation, max(effective, largest, 1.0), *_ratios(every),
            elsewhere=sum(trial.configurations for trial in elsewhere),
        )  # fmt: skip

    @classmethod
    def of_search(cls, returns: Array) -> TrialCount:
        """Count the configurations of one search alone, where no ledger is kept.

        Parameters
        ----------
        returns : Array, shape (n_days, n_configurations)
        """
        return cls.of([Trial("", ("any",), 0, 1, "", "").seen(returns)])

    def __str__(self) -> str:
        tries = f"{self.configurations:,} {'try' if self.configurations == 1 else 'tries'}"
        return f"{tries}{':' if self.elsewhere else ''} {self.where}"

    @property
    def where(self) -> str:
        """Where they were made, in words."""
        if not self.elsewhere:
            return "on this data"
        here = self.configurations - self.elsewhere
        return f"{here:,} on this data, {self.elsewhere:,} of the same family elsewhere"

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
        path = self.folder / f"{SIMULATED if trial.is_simulated else ''}{trial.identity}.json"
        if path.exists():
            return False
        self._disk.write(path, _written(replace(trial, when=self._env.now_ms())), lasting="bytes")
        return True

    @property
    def stamp(self) -> tuple[int, int]:
        """What changes when a run is recorded: how many files there are, and when the folder was last changed."""
        try:
            return sum(1 for _ in self.folder.iterdir()), self.folder.stat().st_mtime_ns
        except OSError:
            return 0, 0

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

    def tried(self, trial: Trial) -> TrialCount:
        """Count what was tried so far on the data of a run and of its family elsewhere, this run included."""
        remove_leftovers(self.folder)
        alike = [other for other in self.trials() if other.identity != trial.identity]
        here = [other for other in alike if _same_data(other, trial)]
        there = [other for other in alike if not _same_data(other, trial) and _same_family(other, trial)]
        return TrialCount.of([*here, trial], there)


def family_of(prism: Prism) -> tuple[str, ...]:
    """Say what a prism is made of, for telling whether two runs are of one family.

    Weights, parameters, thresholds and terms are no part of it, nor does it matter which of the components that ship
    take part: they are one family. A component of one's own is one by its name, so that a prism with it and a prism
    with it and others are of one family, too.
    """
    own = {c.name for _, c, weight in prism if weight > 0.0 and not type(c).__module__.startswith("virtuoso.")}
    shipped = any(weight > 0.0 and type(c).__module__.startswith("virtuoso.") for _, c, weight in prism)
    return (*([SHIPPED] if shipped or not own else []), *sorted(own))


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
    overlap = one.first < other.stop and other.first < one.stop
    return overlap and not one.symbols.isdisjoint(other.symbols)


def _same_family(one: Trial, other: Trial) -> bool:
    return not set(one.family).isdisjoint(other.family)


def _correlation(trials: Sequence[Trial], count: int) -> float:
    """Mean over all pairs of configurations; what is not known counts as independent."""
    if count < 2:
        return NAN
    sizes = np.array([float(trial.configurations) for trial in trials])
    own = np.array([trial.correlation for trial in trials])
    within = float((np.nan_to_num(own) * sizes * (sizes - 1.0)).sum())
    paired = sorted(trials, key=lambda trial: (trial.when == 0, trial.when))[-MOST_PAIRED:]  # 0: not yet recorded
    sizes = np.array([float(trial.configurations) for trial in paired])
    between = float((_between(paired) * sizes[:, None] * sizes).sum())
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
    return to_json(values, indent=None).encode()


def _read(path: Path) -> Trial:
    """Read a run; what was read once is not read again while its file stays the same."""
    found = path.stat()
    return _parsed(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=MOST_KEPT)
def _parsed(path: Path, changed: int, size: int) -> Trial:
    try:
        values: dict[str, Any] = orjson.loads(path.read_bytes())
        schema = int(values.pop("schema"))
        if schema > SCHEMA:
            raise SchemaVersionError(f"{path} was written by a newer Virtuoso (schema {schema}). Update this one.")
        values["instruments"] = tuple(values["instruments"])
        values["family"] = tuple(values["family"] if schema > 1 else (SHIPPED,))
        values["daily"] = np.array([NAN if x is None else x for x in values["daily"]], dtype=np.float64)
        numbers = [f.name for f in fields(Trial) if f.type == "float"]
        values |= {name: NAN for name in numbers if values[name] is None}
        return Trial(**values)
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as fault:
        raise UnreadableFileError(
            f"{path} is not a trial ({fault}), so that what was tried is not known. Restore it from a backup or git; "
            "if that cannot be, remove it and count its tries by hand."
        ) from None
