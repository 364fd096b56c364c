"""Statistics that argue back: what a Sharpe ratio is worth after so many tries on so little data.

1. One track record: `psr` (chance that the true ratio exceeds a benchmark), `sharpe_error`, `min_track_record`.
2. The best of many: `expected_maximum`, `deflated_sharpe`, `effective_trials`, `min_backtest_length`.
3. A whole search: `overfitting_probability` (does what wins in sample win out of sample?).
4. Against a benchmark: `superior_ability` and `stepwise` (is any of them better than doing nothing?).

Sharpe ratios here are per period, never annualised; kurtosis is raw (3 for the normal). NaN is *not testable*.

Sources: Bailey and Lopez de Prado (2012), Journal of Risk 15(2), for psr and the track record; (2014), Journal of
Portfolio Management 40(5), for the deflated ratio; Bailey, Borwein, Lopez de Prado and Zhu (2014), Notices of the AMS
61(5), for the backtest length, (2017), Journal of Computational Finance 20(4), for CSCV; Hansen (2005), Journal of
Business & Economic Statistics 23(4); Romano and Wolf (2005), Econometrica 73(4); Politis and Romano (1994), Journal of
the American Statistical Association 89(428), for the stationary bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import ceil, e, log, sqrt

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env
from virtuoso.compiled import kernel
from virtuoso.errors import ConfigError
from virtuoso.market.columns import Array

EULER = 0.5772156649015329
BLOCKS = 16
RESAMPLES = 1_000
LEAST_OBSERVATIONS = 3
LEAST_TRADES = 30
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Moments:
    """What of a series of returns its Sharpe ratio and the error of it depend on.

    Attributes
    ----------
    n : int
        Known returns.
    sharpe : float
        Mean over standard deviation (n - 1), per period.
    skew, kurtosis : float
        Of the population; 0 and 3 for the normal.
    """

    n: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, returns: Array) -> Moments:
        """Measure the known returns; NaN where they do not vary or are too few."""
        known = returns[np.isfinite(returns)]
        n = len(known)
        if n < LEAST_OBSERVATIONS or np.ptp(known) == 0.0:
            return cls(n, NAN, NAN, NAN)
        away = known - known.mean()
        spread = float(np.mean(away**2))
        sharpe = float(known.mean()) / float(known.std(ddof=1))
        return cls(n, sharpe, float(np.mean(away**3)) / spread**1.5, float(np.mean(away**4)) / spread**2)

    @property
    def variance_factor(self) -> float:
        """Variance of the estimated ratio times n - 1; 1 + SR^2 / 2 for normal returns."""
        return 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2


def _normal(x: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(x))


def _quantile(p: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(p))


def sharpe_error(record: Moments) -> float:
    """Standard error of the Sharpe ratio, per period."""
    return sqrt(record.variance_factor / (record.n - 1)) if record.n > 1 and record.variance_factor > 0.0 else NAN


def psr(record: Moments, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark, 0..1.

    Parameters
    ----------
    record : Moments
    benchmark : float
        Per period.
    """
    error = sharpe_error(record)
    return _normal((record.sharpe - benchmark) / error) if error == error and error > 0.0 else NAN


def min_track_record(record: Moments, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """How many periods it takes until `psr` reaches a confidence; infinite below the benchmark."""
    if not record.sharpe > benchmark:
        return NAN if record.sharpe != record.sharpe else float("inf")
    return 1.0 + record.variance_factor * (_quantile(confidence) / (record.sharpe - benchmark)) ** 2


def expected_maximum(trials: float) -> float:
    """Expected largest of independent standard normal values; 0 for one of them."""
    if trials < 1.0:
        return NAN
    if trials == 1.0:
        return 0.0
    return (1.0 - EULER) * _quantile(1.0 - 1.0 / trials) + EULER * _quantile(1.0 - 1.0 / (trials * e))


def effective_trials(trials: float, correlation: float) -> float:
    """Independent trials that so many trials with a mean correlation amount to."""
    rho = min(max(correlation, 0.0), 1.0)
    return rho + (1.0 - rho) * trials


def deflated_sharpe(record: Moments, trials: float, variance: float) -> float:
    """Probability that the true ratio of the best of many trials exceeds what luck alone would have found.

    Parameters
    ----------
    record : Moments
        Of the one that was chosen.
    trials : float
        Effective number of independent trials.
    variance : float
        Of the Sharpe ratios of the trials, per period; it is measured, never assumed.
    """
    if not variance >= 0.0:
        return NAN
    return psr(record, sqrt(variance) * expected_maximum(trials))


def min_backtest_length(trials: float, sharpe: float = 1.0) -> float:
    """Years below which the best of so many trials without skill is expected to show an annual Sharpe ratio."""
    return (expected_maximum(trials) / sharpe) ** 2


@dataclass(frozen=True, slots=True)
class Overfitting:
    """Combinatorially symmetric cross-validation of a search.

    Attributes
    ----------
    probability : float, 0..1
        Share of the splits in which the winner in sample ranks in the lower half out of sample.
    logits : Array, shape (n_splits,)
        Of the winner's relative rank out of sample.
    slope : float
        Of the winner's Sharpe ratio out of sample on that in sample; NaN where those do not vary.
    loss : float, 0..1
        Share of the splits in which the winner loses money out of sample.
    """

    probability: float
    logits: Array
    slope: float
    loss: float


def overfitting_probability(returns: Array, blocks: int = BLOCKS) -> Overfitting:
    """Probability of backtest overfitting of a search.

    Parameters
    ----------
    returns : Array, shape (n_periods, n_trials)
        Known returns of every trial in the same periods.
    blocks : int
        Even; the periods are cut into so many, and each half of them is once in sample.

    Raises
    ------
    ConfigError
        If the blocks are odd, or fewer than two trials or periods a block are there.
    """
    periods, trials = returns.shape
    if blocks % 2 or blocks < 2 or trials < 2 or periods < 2 * blocks:
        raise ConfigError(
            f"PBO needs an even number of blocks, two trials and two periods a block; was {blocks} blocks, {trials} "
            f"trials, {periods} periods."
        )
    if not np.isfinite(returns).all():
        raise ConfigError("PBO needs returns of every trial in every period. Leave out periods that one does not know.")
    edges = np.linspace(0, periods, blocks + 1).astype(np.int64)
    sums = np.add.reduceat(returns, edges[:-1], axis=0)
    squares = np.add.reduceat(returns * returns, edges[:-1], axis=0)
    chosen = np.zeros((_halves(blocks), blocks))
    for i, picked in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[i, list(picked)] = 1.0
    size = chosen @ np.diff(edges)
    inside = _sharpes(chosen @ sums, chosen @ squares, size)
    outside = _sharpes((1.0 - chosen) @ sums, (1.0 - chosen) @ squares, periods - size)
    winner = inside.argmax(axis=1)
    own = outside[np.arange(len(winner)), winner]
    rank = (outside < own[:, None]).sum(axis=1) + ((outside == own[:, None]).sum(axis=1) + 1) / 2
    relative = rank / (trials + 1)
    logits = np.log(relative / (1.0 - relative))
    best = inside[np.arange(len(winner)), winner]
    spread = float(np.var(best))
    slope = float(np.mean((best - best.mean()) * (own - own.mean()))) / spread if spread > 0.0 else NAN
    return Overfitting(float(np.mean(logits <= 0.0)), logits, slope, float(np.mean(own < 0.0)))


def _halves(blocks: int) -> int:
    from math import comb

    return comb(blocks, blocks // 2)


def _sharpes(sums: Array, squares: Array, size: Array) -> Array:
    """Sharpe ratios from sums; a trial that never moves has 0, since it wins nothing and loses nothing."""
    mean = sums / size[:, None]
    variance = np.maximum(squares / size[:, None] - mean * mean, 0.0)
    still = variance <= 1e-14 * np.maximum(squares / size[:, None], 1e-300)
    ratio = mean / np.sqrt(np.where(still, 1.0, variance))
    return np.where(still, 0.0, ratio)


@dataclass(frozen=True, slots=True)
class Superiority:
    """Whether the best of many strategies beats a benchmark by more than luck.

    Attributes
    ----------
    lower, consistent, upper : float, 0..1
        Hansen's p-values of "none is better than the benchmark"; NaN is not testable.
    reason : str
        Why it is not testable; empty where it is.
    """

    lower: float
    consistent: float
    upper: float
    reason: str = ""


def superior_ability(
    gains: Array,
    trades: NDArray[np.int64] | None = None,
    *,
    block: float | None = None,
    resamples: int = RESAMPLES,
    env: Env | None = None,
) -> Superiority:
    """Test of superior predictive ability.

    Parameters
    ----------
    gains : Array, shape (n_periods, n_strategies)
        Returns above the benchmark's in each period.
    trades : array of int64, shape (n_strategies,), optional
        Closed trades of each; a strategy with fewer than LEAST_TRADES takes no part.
    block : float, optional
        Mean length of a block of the stationary bootstrap; from the autocorrelation of the gains if absent.
    resamples : int
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    Superiority
        Not testable where no strategy differs from the benchmark: a strategy that never trades would 'win'.
    """
    kept, reason = _testable(gains, trades)
    if reason:
        return Superiority(NAN, NAN, NAN, reason)
    draws = _bootstrap_means(kept, block, resamples, env)
    n, mean = len(kept), kept.mean(axis=0)
    scale = np.sqrt(n) / np.sqrt(n * draws.var(axis=0))
    observed = max(float(np.max(scale * mean)), 0.0)
    allowed = sqrt(2.0 * log(log(n))) / scale

    def share_beyond(centre: Array) -> float:
        """Share of the resamples in which the best of them, centred, does as well as what was observed."""
        best = np.maximum((scale * (draws - centre)).max(axis=1), 0.0)
        return float(np.mean(best >= observed))

    return Superiority(
        lower=share_beyond(np.maximum(mean, 0.0)),
        consistent=share_beyond(np.where(mean >= -allowed, mean, 0.0)),
        upper=share_beyond(mean),
    )


def stepwise(
    gains: Array,
    trades: NDArray[np.int64] | None = None,
    *,
    level: float = 0.05,
    block: float | None = None,
    resamples: int = RESAMPLES,
    env: Env | None = None,
) -> NDArray[np.int64]:
    """Which strategies beat the benchmark, with at most `level` chance that any of them does not (StepM, studentised).

    Returns
    -------
    array of int64
        Positions, increasing; none where nothing is testable.
    """
    enough = np.ones(gains.shape[1], bool) if trades is None else np.asarray(trades) >= LEAST_TRADES
    enough &= np.ptp(gains, axis=0) > 0.0
    left = np.flatnonzero(enough)
    superior: list[int] = []
    if len(left) == 0 or len(gains) < LEAST_TRADES:
        return np.array(superior, dtype=np.int64)
    draws = _bootstrap_means(gains[:, left], block, resamples, env)
    mean, error = gains[:, left].mean(axis=0), draws.std(axis=0)
    open_ = np.ones(len(left), dtype=bool)
    while open_.any():
        critical = np.quantile(((draws - mean) / error)[:, open_].max(axis=1), 1.0 - level)
        beaten = open_ & (mean / error > critical)
        if not beaten.any():
            break
        superior += left[beaten].tolist()
        open_ &= ~beaten
    return np.array(sorted(superior), dtype=np.int64)


def _testable(gains: Array, trades: NDArray[np.int64] | None) -> tuple[Array, str]:
    """The strategies that can be tested, and why there are none."""
    if len(gains) < LEAST_TRADES:
        return gains, f"{len(gains)} periods, {LEAST_TRADES} are needed"
    moves = np.ptp(gains, axis=0) > 0.0
    if not moves.any():
        return gains, "no strategy ever differs from the benchmark"
    enough = moves if trades is None else moves & (np.asarray(trades) >= LEAST_TRADES)
    if not enough.any():
        return gains, f"no strategy closed {LEAST_TRADES} trades"
    return gains[:, enough], ""


def _bootstrap_means(gains: Array, block: float | None, resamples: int, env: Env | None) -> Array:
    """Means of the stationary bootstrap's resamples, shape (resamples, n_strategies)."""
    rng = (env or Env(seed=0)).random()
    n = len(gains)
    length = _block_of(gains) if block is None else max(block, 1.0)
    means = np.empty((resamples, gains.shape[1]))
    for i in range(resamples):
        counts = _stationary(rng.integers(0, n, n), rng.random(n) < 1.0 / length)
        means[i] = counts @ gains / n
    return means


@kernel
def _stationary(starts: NDArray[np.int64], restart: NDArray[np.bool_]) -> Array:
    """How often each period is drawn: go on from the last one, or restart anywhere; the end is joined to the start."""
    n = len(starts)
    counts = np.zeros(n)
    at = starts[0]
    for i in range(n):
        at = starts[i] if restart[i] or i == 0 else (at + 1) % n
        counts[at] += 1.0
    return counts


def _block_of(gains: Array) -> float:
    """Mean block length: as long as the mean strategy's gains stay correlated, at least the cube root of n."""
    n = len(gains)
    series = gains.mean(axis=1) - gains.mean()
    spread, noise = float(series @ series), 2.0 / sqrt(n)
    most = max(1, min(n // 5, ceil(10.0 * n**0.25)))
    lag = 1
    while lag < most and spread > 0.0 and abs(float(series[lag:] @ series[:-lag])) / spread > noise:
        lag += 1
    return float(max(lag, round(n ** (1.0 / 3.0))))
