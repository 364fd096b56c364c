"""Statistics that argue back: what a Sharpe ratio is worth after so many tries on so little data.

1. One track record: `psr` (chance that the true ratio exceeds a benchmark), `sharpe_error`, `min_track_record`.
2. The best of many: `expected_maximum`, `deflated_sharpe`, `effective_trials`, `min_backtest_length`.
3. A whole search: `overfitting_probability` (does what wins in sample win out of sample?).
4. Against a benchmark: `superior_ability` and `stepwise` (is any of them better than doing nothing?), and
   `paired_luck` (is one track record better than another of the same days?).

Sharpe ratios here are per period, never annualised; kurtosis is raw (3 for the normal). NaN is *not testable*. Days
that hang together are fewer than they look: every error is that of `Moments.independent` periods.

Sources: Bailey and Lopez de Prado (2012), Journal of Risk 15(2), for psr and the track record; (2014), Journal of
Portfolio Management 40(5), for the deflated ratio; Bailey, Borwein, Lopez de Prado and Zhu (2014), Notices of the AMS
61(5), for the backtest length, (2017), Journal of Computational Finance 20(4), for CSCV; Hansen (2005), Journal of
Business & Economic Statistics 23(4); Romano and Wolf (2005), Econometrica 73(4); Politis and Romano (1994), Journal of
the American Statistical Association 89(428), for the stationary bootstrap; Lo (2002), Financial Analysts Journal 58(4),
Newey and West (1987), Econometrica 55(3), Andrews (1991), Econometrica 59(3), and Andrews and Monahan (1992),
Econometrica 60(4), for periods that hang together; Kiefer and Vogelsang (2005), Econometric Theory 21(6), for what the
estimate of that adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from math import ceil, e, log, sqrt

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import ROUNDING, spread_is_rounding
from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.jit.kernel import kernel
from virtuoso.types import Array

EULER = 0.5772156649015329
BLOCKS = 16
RESAMPLES = 1_000
LEAST_OBSERVATIONS = 3
LEAST_TRADES = 30
LEAST_TO_INFLATE = 10
"""Periods below which nothing is made of how they hang together."""
MOST_PERSISTENT = 0.97
"""Largest coefficient of an autoregression that is taken out (Andrews and Monahan, 1992)."""
ALIKE = 1e-9
"""Sharpe ratios that differ by less are one: sums of squares lose half of the digits."""
EXACT_UP_TO, PUBLISHED_FROM = 20.0, 45.0
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
    inflation : float
        How many periods amount to one independent one, see `inflation_of`; 1 where they are independent, never less.
    """

    n: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0
    inflation: float = 1.0

    @classmethod
    def of(cls, returns: Array) -> Moments:
        """Measure the known returns; NaN where they do not vary or are too few."""
        known = returns[np.isfinite(returns)]
        n = len(known)
        if n < LEAST_OBSERVATIONS or spread_is_rounding(known):
            return cls(n, NAN, NAN, NAN, NAN)
        mean = float(known.mean())
        away = known - mean
        square = away * away
        total = float(square.sum())
        spread = total / n
        skew, kurtosis = float(square @ away) / n / spread**1.5, float(square @ square) / n / spread**2
        return cls(n, mean / sqrt(total / (n - 1)), skew, kurtosis, inflation_of(away))

    @property
    def independent(self) -> float:
        """Independent periods that all of them amount to; never more than there are."""
        return self.n / self.inflation

    @property
    def plain(self) -> Moments:
        """The same, as if its periods were independent."""
        return replace(self, inflation=1.0)

    @property
    def variance_factor(self) -> float:
        """Variance of the estimated ratio times n - 1; 1 + SR^2 / 2 for normal returns."""
        return 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2


def inflation_of(away: Array) -> float:
    """How much larger the variance of a mean is than if its periods were independent; never less than 1.

    1. An autoregression of one lag takes out what it explains (Andrews and Monahan), its coefficient freed of the bias
       of a short sample.
    2. Of what is left, autocovariances are summed under Bartlett's weights up to Andrews' automatic lag.
    3. The share of the sample that the lags reach over is added as Kiefer and Vogelsang's larger critical value: what
       is estimated from few stretches is uncertain itself.

    Parameters
    ----------
    away : Array, shape (n,)
        Periods less their mean, in order.
    """
    return float(_inflation(np.ascontiguousarray(away, dtype=np.float64)))


@kernel
def _inflation(away: Array) -> float:
    n, own, crossed = len(away), 0.0, 0.0
    for i in range(n):
        own += away[i] * away[i]
    for i in range(1, n):
        crossed += away[i] * away[i - 1]
    if n < LEAST_TO_INFLATE or own <= 0.0:
        return 1.0
    rho = min(max(crossed / own, -MOST_PERSISTENT), MOST_PERSISTENT)
    rho = min(max(rho + (1.0 + 3.0 * rho) / n, -MOST_PERSISTENT), MOST_PERSISTENT)
    left = np.empty(n - 1)
    mean = 0.0
    for i in range(1, n):
        left[i - 1] = away[i] - rho * away[i - 1]
        mean += left[i - 1]
    left -= mean / (n - 1)
    lags = _andrews(left, n)
    spread = 0.0
    for i in range(n - 1):
        spread += left[i] * left[i]
    for k in range(1, min(int(lags) + 1, n - 1)):
        shared = 0.0
        for i in range(k, n - 1):
            shared += left[i] * left[i - k]
        spread += 2.0 * (1.0 - k / (lags + 1.0)) * shared
    reach = max(lags, _lags_of(rho, n)) / n
    longrun = max(spread, 0.0) / (n - 1) / (1.0 - rho) ** 2
    critical = 1.0 + (2.1859 * reach + 0.3142 * reach**2 - 0.3427 * reach**3) / 1.6449
    return max(longrun / (own / n) * critical * critical, 1.0)


@kernel
def _andrews(left: Array, n: int) -> float:
    own, crossed = 0.0, 0.0
    for i in range(len(left)):
        own += left[i] * left[i]
        if i:
            crossed += left[i] * left[i - 1]
    return _lags_of(crossed / own, n) if own > 0.0 else 0.0


@kernel
def _lags_of(rho: float, n: int) -> float:
    """Andrews (1991), eq. 6.2 and 6.4, for Bartlett's weights; at most a quarter of the periods."""
    rho = min(max(rho, -MOST_PERSISTENT), MOST_PERSISTENT)
    alpha = 4.0 * rho * rho / ((1.0 - rho) * (1.0 + rho)) ** 2
    lags: float = 1.1447 * (alpha * n) ** (1.0 / 3.0)
    return min(lags, n / 4.0)


def first_lag(returns: Array) -> float:
    """Correlation of the known returns with those before them; NaN where they do not vary or are too few."""
    known = returns[np.isfinite(returns)]
    if len(known) < LEAST_TO_INFLATE or spread_is_rounding(known):
        return NAN
    away = known - known.mean()
    return float(away[1:] @ away[:-1]) / float(away @ away)


def growth_after_losses(sizes: Array, gains: Array) -> float:
    """How much larger what follows a loss is than what follows a gain: medians of the sizes.

    Parameters
    ----------
    sizes : Array, 0 or positive, shape (n,)
        Of bets in order, or how far days moved where the bets behind them are not known. A size of 0 is no bet.
    gains : Array, shape (n,)
        What each came to.

    Returns
    -------
    float
        1 for sizes that do not care; about 2.7 where they double; NaN where fewer than LEAST_TRADES follow on either.
    """
    bets = np.isfinite(sizes) & np.isfinite(gains) & (sizes > ROUNDING)
    size, before = sizes[bets][1:], gains[bets][:-1]
    after_loss, after_gain = size[before < 0.0], size[before > 0.0]
    if min(len(after_loss), len(after_gain)) < LEAST_TRADES:
        return NAN
    return float(np.median(after_loss) / np.median(after_gain))


def _normal(x: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(x))


def _quantile(p: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(p))


def sharpe_error(record: Moments) -> float:
    """Standard error of the Sharpe ratio, per period."""
    independent, factor = record.independent, record.variance_factor
    return sqrt(factor / (independent - 1.0)) if independent > 1.0 and factor > 0.0 else NAN


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
    """How many periods it takes until `psr` reaches a confidence, if they go on hanging together as they do.

    Infinite at the benchmark and below.
    """
    if not record.sharpe > benchmark:
        return NAN if record.sharpe != record.sharpe else float("inf")
    apart = record.sharpe - benchmark
    if apart <= ROUNDING * max(abs(record.sharpe), abs(benchmark)):
        return float("inf")
    return record.inflation * (1.0 + record.variance_factor * (_quantile(confidence) / apart) ** 2)


def expected_maximum(trials: float) -> float:
    """Expected largest of independent standard normal values; 0 for one of them, never decreasing.

    Exact up to EXACT_UP_TO trials, for shares of a trial too: the integral over x from 0 of 1 - P(x)^N - P(-x)^N. From
    PUBLISHED_FROM on Bailey and Lopez de Prado's approximation, which the published deflated ratios take and which lies
    1 % above it; in between it goes over from the one to the other. Below two trials that approximation is negative.

    Parameters
    ----------
    trials : float
        At least 1, else NaN.
    """
    if not 1.0 <= trials < float("inf"):
        return NAN
    if trials == 1.0:
        return 0.0
    if trials <= EXACT_UP_TO:
        return _exact_maximum(trials)
    published = (1.0 - EULER) * _quantile_above(1.0 / trials) + EULER * _quantile_above(1.0 / (trials * e))
    if trials >= PUBLISHED_FROM:
        return published
    share = log(trials / EXACT_UP_TO) / log(PUBLISHED_FROM / EXACT_UP_TO)
    return (1.0 - share) * _exact_maximum(trials) + share * published


def _exact_maximum(trials: float) -> float:
    weights, below, above = _gauss_legendre()
    return max(float(weights @ (-np.expm1(trials * below) - np.exp(trials * above))), 0.0)


@cache
def _gauss_legendre() -> tuple[Array, Array, Array]:
    """Weights of points from 0 to 9, beyond which nothing is left, and the logs of the shares below and above them."""
    from scipy.special import log_ndtr

    nodes, weights = np.polynomial.legendre.leggauss(96)
    x = 4.5 * (nodes + 1.0)
    return 4.5 * weights, log_ndtr(x), log_ndtr(-x)


def _quantile_above(share: float) -> float:
    """Standard normal value above which such a share lies; right where 1 - share would round to 1."""
    return -_quantile(share)


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

    Returns
    -------
    Overfitting
        NaN throughout where fewer than two trials differ: nothing was chosen from anything. Where several win in sample
        alike, the one that comes first is the winner; out of sample those that are alike share their ranks.

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
    if distinct(returns) < 2:
        return Overfitting(NAN, np.full(_halves(blocks), NAN), NAN, NAN)
    edges = np.linspace(0, periods, blocks + 1).astype(np.int64)
    sums = np.add.reduceat(returns, edges[:-1], axis=0)
    squares = np.add.reduceat(returns * returns, edges[:-1], axis=0)
    chosen = _picked_halves(blocks)
    size = chosen @ np.diff(edges)
    inside = _sharpes(chosen @ sums, chosen @ squares, size)
    outside = _sharpes((1.0 - chosen) @ sums, (1.0 - chosen) @ squares, periods - size)
    winner = inside.argmax(axis=1)
    own = outside[np.arange(len(winner)), winner]
    apart = outside - own[:, None]
    alike = np.abs(apart) <= ALIKE * (1.0 + np.abs(own[:, None]))
    rank = ((apart < 0.0) & ~alike).sum(axis=1) + (alike.sum(axis=1) + 1) / 2
    relative = rank / (trials + 1)
    logits = np.log(relative / (1.0 - relative))
    best = inside[np.arange(len(winner)), winner]
    slope = NAN
    if not spread_is_rounding(best):
        slope = float(np.mean((best - best.mean()) * (own - own.mean()))) / float(np.var(best))
    return Overfitting(float(np.mean(logits <= 0.0)), logits, slope, float(np.mean(own < 0.0)))


def distinct(returns: Array) -> int:
    """How many columns differ from each other by more than rounding; 2 stands for two or more.

    Parameters
    ----------
    returns : Array, shape (n_periods, n_columns)
        Known throughout.
    """
    if returns.shape[1] == 0 or not len(returns):
        return 0
    away = np.abs(returns - returns[:, :1])
    return 2 if (away > ROUNDING * (1.0 + np.abs(returns[:, :1]))).any() else 1


@cache
def _picked_halves(blocks: int) -> Array:
    """Every half of the blocks: 1 for those in sample, shape (n_splits, blocks)."""
    chosen = np.zeros((_halves(blocks), blocks))
    for i, picked in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[i, list(picked)] = 1.0
    return chosen


def _halves(blocks: int) -> int:
    from math import comb

    return comb(blocks, blocks // 2)


def _sharpes(sums: Array, squares: Array, size: Array) -> Array:
    """Sharpe ratios from sums; a trial that never moves has 0, since it wins nothing and loses nothing."""
    mean = sums / size[:, None]
    variance = np.maximum(squares / size[:, None] - mean * mean, 0.0)
    still = variance <= np.maximum(1e-14 * squares / size[:, None], ROUNDING**2)
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
    drawn: Array | None = None,
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
    drawn : Array, shape (resamples, n_periods), optional
        Resamples that were drawn already, see `resamples_of`; for many tests of as many periods.

    Returns
    -------
    Superiority
        Not testable where no strategy differs from the benchmark: a strategy that never trades would 'win'.
    """
    kept, reason = _testable(gains, trades)
    if reason:
        return Superiority(NAN, NAN, NAN, reason)
    draws = _bootstrap_means(kept, block, resamples, env, drawn)
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
    enough &= ~spread_is_rounding(gains)
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


def paired_luck(own: Array, other: Array, *, resamples: int = RESAMPLES, env: Env | None = None) -> float:
    """Chance that a record without the better Sharpe ratio seems as much better than another one of the same days.

    Days are drawn in pairs (stationary bootstrap), so that what both share cancels; ratios are compared, so that what
    moves more is no better for it. The differences of the resamples, less the one that was observed, are those of two
    records that are alike (Ledoit and Wolf 2008, Journal of Empirical Finance 15(5)).

    Parameters
    ----------
    own, other : Array, shape (n_periods,)
        Returns of the same periods; those that either does not know are left out.
    resamples : int
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    float, 0..1
        One-sided; NaN where either does not vary, or fewer than LEAST_TRADES periods are shared.
    """
    known = np.isfinite(own) & np.isfinite(other)
    pair = np.column_stack((own[known], other[known]))
    if len(pair) < LEAST_TRADES or spread_is_rounding(pair).any():
        return NAN
    if distinct(pair) < 2:
        return 1.0
    drawn = resamples_of(len(pair), block_length(pair[:, :1] - pair[:, 1:]), resamples, env)
    size = np.full(len(drawn), float(len(pair)))
    ratios = _sharpes(drawn @ pair, drawn @ (pair * pair), size)
    found = _sharpes(pair.sum(axis=0)[None, :], (pair * pair).sum(axis=0)[None, :], size[:1])[0]
    observed = float(found[0] - found[1])
    return float(np.mean(ratios[:, 0] - ratios[:, 1] - observed >= observed))


def _testable(gains: Array, trades: NDArray[np.int64] | None) -> tuple[Array, str]:
    """The strategies that can be tested, and why there are none."""
    if len(gains) < LEAST_TRADES:
        return gains, f"{len(gains)} periods, {LEAST_TRADES} are needed"
    moves = ~spread_is_rounding(gains)
    if not moves.any():
        return gains, "no strategy ever differs from the benchmark"
    enough = moves if trades is None else moves & (np.asarray(trades) >= LEAST_TRADES)
    if not enough.any():
        return gains, f"no strategy closed {LEAST_TRADES} trades"
    return gains[:, enough], ""


def resamples_of(n: int, length: float, resamples: int = RESAMPLES, env: Env | None = None) -> Array:
    """How often each resample of the stationary bootstrap draws each period, shape (resamples, n).

    Parameters
    ----------
    n : int
        Periods.
    length : float
        Mean length of a block.
    resamples : int
    env : Env, optional
        Where they are drawn from; seeded with 0 if absent.
    """
    rng = (env or Env(seed=0)).random()
    counts = np.empty((resamples, n))
    for i in range(resamples):
        counts[i] = _stationary(rng.integers(0, n, n), rng.random(n) < 1.0 / length)
    return counts


def _bootstrap_means(
    gains: Array, block: float | None, resamples: int, env: Env | None, drawn: Array | None = None
) -> Array:
    """Means of the stationary bootstrap's resamples, shape (resamples, n_strategies)."""
    if drawn is None:
        drawn = resamples_of(len(gains), block_length(gains) if block is None else max(block, 1.0), resamples, env)
    means: Array = drawn @ gains / len(gains)
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


def block_length(gains: Array) -> float:
    """Mean block length: as long as the mean strategy's gains stay correlated, at least the cube root of n."""
    n = len(gains)
    series = gains.mean(axis=1) - gains.mean()
    spread, noise = float(series @ series), 2.0 / sqrt(n)
    most = max(1, min(n // 5, ceil(10.0 * n**0.25)))
    lag = 1
    while lag < most and spread > ROUNDING**2 * n and abs(float(series[lag:] @ series[:-lag])) / spread > noise:
        lag += 1
    return float(max(lag, round(n ** (1.0 / 3.0))))
