"""Windowed kernels that never drift: what they answer depends on the bars of the window alone.

A running sum that adds the new value and subtracts the old one keeps rounding errors of bars long gone: a flat market
does not stay flat, and the bits depend on where the history began. Here nothing is ever subtracted.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from virtuoso.jit.kernel import kernel
from virtuoso.types import Array

CALM = 0.1
"""Share of its root mean square that is added to a deviation, so that rounding is never divided by rounding."""
KNOWN_SHARE = 0.75
"""Share of a history that must be known to be held against."""


def wsum(x: Array, period: int, first: int) -> Array:
    """Sum of the last `period` values, this bar included.

    Source: van Herk (1992), Pattern Recognition Letters 13(7): the tail of one chunk plus the head of the next, with
    chunks at absolute multiples of the period, so that the bits do not depend on where the slice begins.

    Parameters
    ----------
    x : Array, shape (n_bars,)
    period : int, bars
    first : int
        Absolute number of the first bar.

    Returns
    -------
    Array, unit of `x`, shape (n_bars,)
        Known from bar `period - 1` on. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(x))
    write_sums(x, period, first % period, out)
    return out


@kernel
def write_sums(x: Array, period: int, place: int, out: Array) -> None:
    """Write windowed sums; `place` is that of the first bar in its chunk."""
    tails = np.zeros(period + 1)
    head = 0.0
    for t in range(len(x)):
        if place == 0:
            head = 0.0
            tail = 0.0
            for j in range(period - 1, max(0, period - t - 1), -1):
                tail += x[t - period + j]
                tails[j] = tail
        head += x[t]
        place += 1
        out[t] = head + tails[place] if t >= period - 1 else np.nan
        if place == period:
            place = 0


def wmean(x: Array, period: int, first: int) -> Array:
    """Mean of the last `period` values, this bar included; see `wsum`."""
    out = np.empty(len(x))
    write_means(x, period, first % period, out)
    return out


@kernel
def write_means(x: Array, period: int, place: int, out: Array) -> None:
    """Write windowed means, as `write_sums` writes sums."""
    write_sums(x, period, place, out)
    for t in range(len(out)):
        out[t] /= period


def rms(x: Array, period: int, floor: float, first: int) -> Array:
    """Root mean square of the last `period` values, at least about `floor`.

    Parameters
    ----------
    x : Array, shape (n_bars,)
    period : int, bars
    floor : float, unit of `x`
        Added to it, root of the squares.
    first : int
        Absolute number of the first bar.

    Returns
    -------
    Array, unit of `x`, shape (n_bars,)
        Known from bar `period - 1` on. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(x))
    _rms(x * x, period, first % period, floor * floor, out)
    return out


@kernel
def _rms(squares: Array, period: int, place: int, least: float, out: Array) -> None:
    """Write roots: over a short window one call of a kernel costs a third of the calls of NumPy."""
    write_means(squares, period, place, out)
    for t in range(len(out)):
        out[t] = np.sqrt(out[t] + least)


def each(x: Array | float, n: int) -> Array:
    """A value for each of n bars, shape (n,), where it is one number for all."""
    return x if isinstance(x, np.ndarray) else np.full(n, x)


def deviation(x: Array, period: int, floor: float, first: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the last `period` values, the deviation at least about `floor`; see `rms`."""
    mean, spread = np.empty((2, len(x)))
    _deviation(x, x * x, period, first % period, floor * floor, mean, spread)
    return mean, spread


@kernel
def _deviation(x: Array, squares: Array, period: int, place: int, least: float, mean: Array, spread: Array) -> None:
    """Write both."""
    write_means(x, period, place, mean)
    write_means(squares, period, place, spread)
    for t in range(len(x)):
        variance = spread[t] - mean[t] * mean[t]
        spread[t] = np.sqrt((0.0 if variance < 0.0 else variance) + least)


def unknown(*shape: int) -> Array:
    """Room in which nothing is known yet; a quarter of the time of `np.full`, which a live bar calls often."""
    room = np.empty(shape)
    room.fill(np.nan)
    return room


def known_mean(x: Array, period: int, first: int) -> Array:
    """Mean of the known among the last `period` values, as long as three quarters of them are known.

    Parameters
    ----------
    x : Array, shape (n_bars,)
    period : int, bars
    first : int
        Absolute number of the first bar.

    Returns
    -------
    Array, unit of `x`, shape (n_bars,)
        Known from bar `period - 1` on. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(x))
    _known_mean(x, period, first % period, KNOWN_SHARE * period, out)
    return out


@kernel
def _known_mean(x: Array, period: int, place: int, least: float, out: Array) -> None:
    """Sums of the known values and of how many there are, as in `write_sums`."""
    totals, counts = np.zeros(period + 1), np.zeros(period + 1)
    total, count = 0.0, 0.0
    for t in range(len(x)):
        if place == 0:
            total, count = 0.0, 0.0
            for j in range(period - 1, max(0, period - t - 1), -1):
                if np.isfinite(x[t - period + j]):
                    total, count = total + x[t - period + j], count + 1.0
                totals[j], counts[j] = total, count
            total, count = 0.0, 0.0
        if np.isfinite(x[t]):
            total, count = total + x[t], count + 1.0
        place += 1
        known = count + counts[place]
        out[t] = (total + totals[place]) / known if t >= period - 1 and known >= least else np.nan
        if place == period:
            place = 0


def known_rms(x: Array, period: int, floor: float, first: int) -> Array:
    """Root mean square of the known among the last `period` values, at least about `floor`; see `known_mean`."""
    out = np.empty(len(x))
    _known_rms(x * x, period, first % period, KNOWN_SHARE * period, floor * floor, out)
    return out


@kernel
def _known_rms(squares: Array, period: int, place: int, known: float, least: float, out: Array) -> None:
    """Write roots, as `_rms` does."""
    _known_mean(squares, period, place, known, out)
    for t in range(len(out)):
        out[t] = np.sqrt(out[t] + least)


def known_deviation(x: Array, period: int, floor: float, first: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the known among the last `period` values; see `deviation` and `known_mean`."""
    mean, spread = np.empty((2, len(x)))
    _known_deviation(x, x * x, period, first % period, KNOWN_SHARE * period, floor * floor, mean, spread)
    return mean, spread


@kernel
def _known_deviation(
    x: Array, squares: Array, period: int, place: int, known: float, least: float, mean: Array, spread: Array
) -> None:
    """Write both, as `_deviation` does."""
    _known_mean(x, period, place, known, mean)
    _known_mean(squares, period, place, known, spread)
    for t in range(len(x)):
        variance = spread[t] - mean[t] * mean[t]
        spread[t] = np.sqrt((0.0 if variance < 0.0 else variance) + least)


def weighted(x: Array, weights: Array) -> Array:
    """Weighted sum of the last `len(weights)` values, the oldest times the first weight.

    Each answer adds its terms in the same order, however long the slice is (np.convolve and BLAS do not).

    Parameters
    ----------
    x : Array, shape (n_bars,)
    weights : Array, shape (period,)

    Returns
    -------
    Array, unit of `x`, shape (n_bars,)
        Known from bar `period - 1` on. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(x))
    _weighted(x, weights, out)
    return out


@kernel
def _weighted(x: Array, weights: Array, out: Array) -> None:
    """Weight by weight instead of bar by bar: the inner loop is then free of order and runs in SIMD lanes."""
    head = min(len(weights) - 1, len(x))
    out[:head] = np.nan
    answers = out[head:]
    answers[:] = 0.0
    for j in range(len(weights)):
        weight = weights[j]
        shifted = x[j:]
        for i in range(len(answers)):
            answers[i] += weight * shifted[i]


def steps(x: Array) -> Array:
    """Change of each value from the one before it, shape (n_bars,); of the first one it is not known."""
    change = np.empty(len(x))
    _steps(x, change)
    return change


@kernel
def _steps(x: Array, out: Array) -> None:
    """Write changes: over a short window one call of a kernel costs a third of the calls of NumPy."""
    before = np.nan
    for t in range(len(x)):
        out[t] = x[t] - before
        before = x[t]


@cache
def slope_weights(period: int) -> Array:
    """Weights that turn steps into the regression slope of the path they make, shape (period,).

    The least-squares slope of a path of `period + 1` points is a weighted mean of its `period` steps, with the
    parabola j (period + 1 - j) as weights: the steps in the middle turn the line, those at the ends hardly.
    """
    j = np.arange(1.0, period + 1.0)
    parabola = j * (period + 1.0 - j)
    return parabola / (period * (period + 1.0) * (period + 2.0) / 6.0)


@cache
def fading(period: int) -> Array:
    """Weights that fall with age in a straight line, this bar's the largest; they sum to 1; shape (period,)."""
    return np.arange(1.0, period + 1.0) / (period * (period + 1.0) / 2.0)


@cache
def even(period: int) -> Array:
    """Weights that are all the same; they sum to 1; shape (period,)."""
    return np.full(period, 1.0 / period)


def mean_deviation(x: Array, mean: Array, period: int) -> Array:
    """Mean absolute distance of the last `period` values from a mean given at each bar.

    Parameters
    ----------
    x, mean : Array, shape (n_bars,)
    period : int, bars

    Returns
    -------
    Array, unit of `x`, shape (n_bars,)
        Known from bar `period - 1` on. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(x))
    _mean_deviation(x, mean, period, out)
    return out


@kernel
def _mean_deviation(x: Array, mean: Array, period: int, out: Array) -> None:
    """Distance by distance, as in `_weighted`."""
    head = min(period - 1, len(x))
    out[:head] = np.nan
    answers, means = out[head:], mean[head:]
    answers[:] = 0.0
    for j in range(period):
        shifted = x[j:]
        for i in range(len(answers)):
            answers[i] += abs(shifted[i] - means[i])
    for i in range(len(answers)):
        answers[i] /= period


def zscore(x: Array, period: int, first: int) -> Array:
    """Distance from the mean of the last `period` values, this one included, in their standard deviations.

    Unknown values are left out of the history as long as three quarters of it are known. Where all of it is 0 nothing
    is known.

    Parameters
    ----------
    x : Array, shape (n_bars,)
    period : int, bars
    first : int
        Absolute number of the first bar.

    Returns
    -------
    Array, standard deviations, shape (n_bars,)
        Known from bar `period - 1` on. Uses `x[: t + 1]` only.
    """
    out = np.empty(len(x))
    _zscore(x, period, first % period, KNOWN_SHARE * period, CALM * CALM, out)
    return out


@kernel
def _zscore(x: Array, period: int, place: int, least: float, calm: float, out: Array) -> None:
    """Sums of values, squares and of how many are known, as in `write_sums`."""
    values, squares, counts = np.zeros(period + 1), np.zeros(period + 1), np.zeros(period + 1)
    value, square, count = 0.0, 0.0, 0.0
    for t in range(len(x)):
        if place == 0:
            value, square, count = 0.0, 0.0, 0.0
            for j in range(period - 1, max(0, period - t - 1), -1):
                past = x[t - period + j]
                if not np.isnan(past):
                    value, square, count = value + past, square + past * past, count + 1.0
                values[j], squares[j], counts[j] = value, square, count
            value, square, count = 0.0, 0.0, 0.0
        if not np.isnan(x[t]):
            value, square, count = value + x[t], square + x[t] * x[t], count + 1.0
        place += 1
        out[t] = np.nan
        known = count + counts[place]
        if t >= period - 1 and known >= least:
            mean = (value + values[place]) / known
            power = (square + squares[place]) / known
            spread = max(power - mean * mean, 0.0) + calm * power
            if spread > 0.0:
                out[t] = (x[t] - mean) / np.sqrt(spread)
        if place == period:
            place = 0
