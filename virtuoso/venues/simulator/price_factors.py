"""What simulated coins are worth: a common factor and one of each coin's own, both made by the same walk.

1. Regimes: a semi-Markov chain of bull, bear, range and turbulent spells; their lengths are not geometric.
2. Variance: quick feedback of the last returns, and news that arrives in bursts and is forgotten over hours and
   days (Gamma-OU processes), times regime, hour and weekday. Their sum forgets slowly, as real volatility does.
3. Change of a minute: Student-t around a drift; the drift follows the last hours in trends and pulls back in ranges.
4. Shocks: now and then news pushes the value for some minutes and partly comes back. Orders and positions
   (orders.py) make of it what is traded.

Arithmetic is + - * / sqrt and comparisons, so one seed gives one market whatever the CPU. Each kind of draw has a
stream of its own, keyed by name, so that neither another symbol nor a longer history changes a number.

Sources: Barndorff-Nielsen and Shephard (2001), J. R. Statist. Soc. B 63, sections 2-3 (superposed Gamma-OU
variance); Bollerslev (1986), J. Econometrics 31 (feedback); Cont (2001), Quantitative Finance 1 (the facts to meet).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.jit.kernel import kernel
from virtuoso.types import Array

Counts = NDArray[np.int64]

DAY = 1_440
LN_2 = 0.6931471805599453
SLICES = 6
"""Steps in a minute: the value is known every ten seconds."""


@dataclass(frozen=True, slots=True)
class Regime:
    """One kind of spell.

    Attributes
    ----------
    name : str
    drift : float
        Mean return over a day, in daily standard deviations of the factor.
    variance : float
        Times the factor's usual variance.
    momentum : float
        How much of the last hours' mean return is added to the next.
    pull : float, per minute
        How much of the distance from the spell's first price is taken back.
    hours : float
        Mean length of a spell.
    next : tuple of float, one per regime
        Probability of what follows.
    """

    name: str
    drift: float
    variance: float
    momentum: float
    pull: float
    hours: float
    next: tuple[float, float, float, float]


REGIMES = (
    Regime("bull", drift=0.7, variance=0.8, momentum=0.08, pull=0.0, hours=30.0, next=(0.0, 0.15, 0.6, 0.25)),
    Regime("bear", drift=-0.8, variance=1.2, momentum=0.08, pull=0.0, hours=22.0, next=(0.15, 0.0, 0.55, 0.3)),
    Regime("range", drift=0.0, variance=0.55, momentum=0.0, pull=0.0025, hours=30.0, next=(0.45, 0.35, 0.0, 0.2)),
    Regime("turbulent", drift=0.0, variance=2.6, momentum=0.0, pull=0.0, hours=9.0, next=(0.3, 0.3, 0.4, 0.0)),
)
REGIME_NAMES = tuple(regime.name for regime in REGIMES)

FREEDOM = 6.0
"""Degrees of freedom of a minute's return: heavy tails, finite kurtosis."""
_LARGEST_MIXING = 64.0  # bounds a minute at 8 times its usual spread, so that no step can reach -100 %

# Shares of the variance: quick feedback, news of hours, news of days; each has mean one.
_QUICK, _HOURS, _DAYS = 0.20, 0.45, 0.35
_LARGEST_SQUARE = 30.0  # one freak minute must not keep the feedback alight for an hour
_QUICK_HALF_LIFE, _HOURS_HALF_LIFE, _DAYS_HALF_LIFE = 8.0, 150.0, 2_500.0  # minutes
_NEWS_SHAPE = 1.0
_TREND_HALF_LIFE, _REGIME_HALF_LIFE = 90.0, 20.0  # minutes

# Activity by hour (UTC) and by weekday from Monday, mean about one: Asia quiet, the American morning loud, weekends
# thin. The shape is that of bitcoin in 2025 and 2026, rounded.
HOURLY = (0.95, 0.85, 0.85, 0.80, 0.80, 0.80, 0.80, 1.00, 1.10, 0.95, 0.85, 0.90,
          1.05, 1.50, 1.80, 1.60, 1.30, 1.05, 0.95, 0.90, 0.80, 0.80, 0.80, 0.80)  # fmt: skip
WEEKLY = (1.10, 1.10, 1.15, 1.10, 1.10, 0.68, 0.77)


class Streams:
    """Independent generators, one for each thing drawn, keyed by whose it is and what it is.

    Parameters
    ----------
    entropy : int or sequence of int
        The seed of the whole market.
    owner : str
        A symbol, or the market itself.
    """

    def __init__(self, entropy: int | tuple[int, ...], owner: str) -> None:
        self._entropy = entropy
        self._owner = owner

    def __call__(self, what: str) -> np.random.Generator:
        """Give the generator of one kind of draw, from its beginning."""
        key = tuple(f"{self._owner}/{what}".encode())
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=key))


@dataclass(frozen=True, slots=True)
class Factor:
    """A walk: what it did in every slice, how lively it was, and in which spell.

    Attributes
    ----------
    steps : Array, fractions, shape (n_minutes, SLICES)
    spread : Array, fractions, shape (n_minutes,)
        Standard deviation of a minute's return as it was before the minute began.
    regime : array of int8, shape (n_minutes,)
        Index into REGIMES.
    """

    steps: Array
    spread: Array
    regime: NDArray[np.int8]


def season(first_minute: int, minutes: int) -> Array:
    """Usual activity of each minute, mean about one: by hour of the day, interpolated, and by weekday (UTC)."""
    number = np.arange(first_minute, first_minute + minutes)
    minute = number % DAY
    hours = np.array((*HOURLY, HOURLY[0]))
    hour, part = minute // 60, (minute % 60) / 60.0
    weekday = (number // DAY + 3) % 7  # the epoch was a Thursday
    by_hour: Array = hours[hour] * (1.0 - part) + hours[hour + 1] * part
    by_weekday: Array = np.array(WEEKLY)[weekday]
    return by_hour * by_weekday


def spells(streams: Streams, minutes: int) -> NDArray[np.int8]:
    """Regime of each minute: index into REGIMES, shape (n_minutes,)."""
    draw = streams("spells")
    out = np.empty(minutes, dtype=np.int8)
    state, begin = int(draw.integers(len(REGIMES))), 0
    while begin < minutes:
        # Gamma with shape 2: a spell seldom ends at once, unlike a Markov chain's.
        length = 60 + int(draw.standard_gamma(2.0) * 30.0 * REGIMES[state].hours)
        out[begin : begin + length] = state
        begin += length
        state = int(np.searchsorted(np.cumsum(REGIMES[state].next), draw.random(), side="right"))
    return out


def news(streams: Streams, what: str, minutes: int, half_life: float) -> Array:
    """A Gamma-OU process with mean one: bursts arrive at random and are forgotten, shape (n_minutes,)."""
    keep = 1.0 - LN_2 / half_life
    arrives = streams(f"{what} arrivals").random(minutes) < (1.0 - keep) * _NEWS_SHAPE
    bursts = np.where(arrives, streams(f"{what} bursts").standard_exponential(minutes) / _NEWS_SHAPE, 0.0)
    out = np.empty(minutes)
    _decay(bursts, keep, 1.0, out)
    return out


def cascades(streams: Streams, minutes: int, per_day: float, usual: float) -> tuple[Array, Array]:
    """Shocks that push the price for some minutes and partly come back, three in four of them downwards.

    Parameters
    ----------
    streams : Streams
    minutes : int
    per_day : float
        How often.
    usual : float, fraction
        Smallest move; the mean is twice that.

    Returns
    -------
    push : Array, fraction per minute, shape (n_minutes,)
    heat : Array, shape (n_minutes,)
        Added to the variance, in multiples of the usual one; halves every 40 minutes.
    """
    begins = np.flatnonzero(streams("cascades").random(minutes) < per_day / DAY)
    draws = streams("cascade shapes").random((len(begins), 4))
    waves = streams("cascade waves").standard_normal((len(begins), 15))
    sizes = streams("cascade sizes").standard_exponential(len(begins))
    push, bursts = np.zeros(minutes + DAY), np.zeros(minutes)
    for begin, (side, long, back, slow), wave, size in zip(begins, draws, waves, sizes, strict=True):
        move = usual * (1.0 + min(size, 4.0)) * (-1.0 if side < 0.75 else 1.0)
        fall, rise = 3 + int(12 * long), 20 + int(100 * slow)
        ramp = np.arange(1.0, fall + 1.0)  # it feeds on itself: each minute a little faster, in waves
        ramp = ramp / ramp.sum() + 1.2 * (wave[:fall] - wave[:fall].mean()) / fall
        push[begin : begin + fall] += move * ramp
        push[begin + fall : begin + fall + rise] -= move * (0.2 + 0.4 * back) / rise
        bursts[begin] += 20.0
    heat = np.empty(minutes)
    _decay(bursts, 1.0 - LN_2 / 40.0, 0.0, heat)
    return push[:minutes], heat


def factor(streams: Streams, first_minute: int, minutes: int, daily: float, shocks: tuple[float, float]) -> Factor:
    """Walk one factor.

    Parameters
    ----------
    streams : Streams
    first_minute : int
        Number of the first minute since the epoch; it sets the season.
    minutes : int
    daily : float, fraction
        Usual standard deviation over a day.
    shocks : tuple of float
        Cascades per day, and the smallest of them in daily standard deviations.
    """
    regime = spells(streams, minutes)
    push, heat = cascades(streams, minutes, shocks[0], shocks[1] * daily)
    mixing = (FREEDOM - 2.0) / (2.0 * streams("mixing").standard_gamma(FREEDOM / 2.0, minutes))
    steps, spread = np.empty((minutes, SLICES)), np.empty(minutes)
    _walk(
        streams("steps").standard_normal((minutes, SLICES)),
        np.minimum(mixing, _LARGEST_MIXING),
        _HOURS * news(streams, "hours", minutes, _HOURS_HALF_LIFE)
        + _DAYS * news(streams, "days", minutes, _DAYS_HALF_LIFE),
        0.3 + 0.7 * season(first_minute, minutes),
        heat,
        push,
        regime,
        np.array([(r.drift / np.sqrt(DAY), r.variance, r.momentum, r.pull) for r in REGIMES]),
        daily / np.sqrt(DAY),
        steps,
        spread,
    )
    return Factor(steps, spread, regime)


@kernel
def _decay(bursts: Array, keep: float, start: float, out: Array) -> None:
    """Bursts that are forgotten by the share `1 - keep` a minute. Uses `bursts[: t + 1]` only."""
    level = start
    for t in range(len(bursts)):
        level = keep * level + bursts[t]
        out[t] = level


@kernel
def _walk(
    normals: Array,
    mixing: Array,
    slow: Array,
    season: Array,
    heat: Array,
    push: Array,
    regime: NDArray[np.int8],
    regimes: Array,
    sigma: float,
    steps: Array,
    spread: Array,
) -> None:
    """Walk minute by minute, each in equal slices. Uses draws up to minute t only for minute t.

    The variance of a minute is the usual one, `sigma ** 2`, times season, regime and what is remembered; its slices
    share one mixing draw, so that the whole minute is Student-t and the path inside it is a plain random walk.
    """
    n_minutes, n_slices = normals.shape
    keep_quick = 1.0 - LN_2 / _QUICK_HALF_LIFE
    keep_trend = 1.0 - LN_2 / _TREND_HALF_LIFE
    keep_regime = 1.0 - LN_2 / _REGIME_HALF_LIFE
    position, anchor, trend, quick = 0.0, 0.0, 0.0, 1.0
    level = regimes[regime[0], 1]
    for t in range(n_minutes):
        drift, variance, momentum, pull = regimes[regime[t]]
        if t > 0 and regime[t] != regime[t - 1]:
            anchor = position
        level = keep_regime * level + (1.0 - keep_regime) * variance
        remembered = _QUICK * quick + slow[t]
        spread[t] = sigma * np.sqrt(season[t] * level * remembered + heat[t])
        mean = (drift * sigma + momentum * trend - pull * (position - anchor) + push[t]) / n_slices
        scale = spread[t] * np.sqrt(mixing[t] / n_slices)
        moved = 0.0
        for k in range(n_slices):
            steps[t, k] = mean + scale * normals[t, k]
            moved += steps[t, k]
        surprise = (moved - mean * n_slices) / spread[t]
        quick = keep_quick * quick + (1.0 - keep_quick) * min(surprise * surprise, _LARGEST_SQUARE)
        trend = keep_trend * trend + (1.0 - keep_trend) * moved
        position += moved
