"""The order book in numbers without a unit: depth near the middle, its asymmetry, and shares of what was taken."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from virtuoso.market.columns import BANDS, Array
from virtuoso.prism.features.windows import known_mean, wsum
from virtuoso.prism.scale import ratio

REACHES = tuple(BANDS.values())
"""Distance of each band from the middle, as a share of it, nearest first."""
LEAST_BANDS = 2
"""Bands that make a slope; one alone says what the imbalance says already."""


def mean(x: Array, period: int, first: int) -> Array:
    """Plain mean of the last `period` values, shape (n_bars,); NaN where one of them is. Uses `x[: t + 1]` only."""
    return wsum(x, period, first) / period


def unusual(x: Array, history: int, floor: float, first: int) -> Array:
    """Distance from the mean of the last `history` values, this one included, in their standard deviations.

    Parameters
    ----------
    x : Array, without a unit, shape (n_bars,)
    history : int, bars
    floor : float
        Deviation below which a change means nothing: it is added to the measured one, root of the squares, so that a
        book that hardly moves is not blown up into news.
    first : int
        Absolute number of the first bar.

    Returns
    -------
    Array, standard deviations, shape (n_bars,)
        NaN where one of the values is. Uses `x[: t + 1]` only.
    """
    usual = mean(x, history, first)
    spread = np.maximum(mean(x * x, history, first) - usual * usual, 0.0)
    return (x - usual) / np.sqrt(spread + floor * floor)


def usual_size(x: Array, history: int, floor: float, first: int) -> Array:
    """Root mean square of the last `history` values, at least about `floor`, shape (n_bars,).

    What is divided by it is told in usual sizes on every timeframe, and keeps its side: a lean that lasts stays one.
    Uses `x[: t + 1]` only.
    """
    return np.sqrt(mean(x * x, history, first) + floor * floor)


def in_usual_size(x: Array, history: int, floor: float, first: int) -> Array:
    """Each value over the root mean square of the known of the last `history` values, shape (n_bars,).

    Uses `x[: t + 1]` only.
    """
    return x / np.sqrt(known_mean(x * x, history, first) + floor * floor)


def near_depth(bid_depth: Array, ask_depth: Array) -> Array:
    """Mean notional of one side within the nearest band, or that of the side that is known, shape (n_bars,).

    The depth D of Cont, Kukanov and Stoikov (2014), with a band in the place of the best level, whose size at one
    moment says little. A snapshot may reach far enough on one side only; as a unit that side will do.
    """
    both = (bid_depth + ask_depth) / 2.0
    return np.where(np.isfinite(both), both, np.where(np.isfinite(bid_depth), bid_depth, ask_depth))


def lean(bid: Array, ask: Array) -> Array:
    """(bid - ask) / (bid + ask), -1..1; NaN where both are 0 or one is not known."""
    return ratio(bid - ask, bid + ask)


def depth_lean(bids: tuple[Array, ...], asks: tuple[Array, ...]) -> Array:
    """Asymmetry of depth and of its slope, over the bands that are known.

    The asymmetry of depth is the mean over the bands of (bids - asks) / (bids + asks): each distance counts alike.
    The slope of a side is its depth per distance, summed over the bands, which nearer orders dominate; its asymmetry
    is that of both slopes. The answer is the mean of the two.

    Parameters
    ----------
    bids, asks : tuple of Array, quote currency, each of shape (n_bars,)
        Cumulative depth of the bands of REACHES, nearest first; NaN where a source does not say.

    Returns
    -------
    Array, -1..1, shape (n_bars,)
        NaN where fewer than two bands are known. Uses `x[: t + 1]` only.
    """
    sums = np.zeros((4, len(bids[0])))
    for reach, bid, ask in zip(REACHES, bids, asks, strict=True):
        _add_band(bid, ask, 1.0 / reach, sums)
    asymmetry = 0.5 * (ratio(sums[0], sums[1]) + lean(sums[2], sums[3]))
    return np.where(sums[1] >= LEAST_BANDS, asymmetry, np.nan)


@njit(cache=True)
def _add_band(bid: Array, ask: Array, per_reach: float, sums: Array) -> None:
    """Add a band where it is known: its lean, how many there are, and the slope of each side."""
    for t in range(len(bid)):
        both = bid[t] + ask[t]
        if both > 0.0:
            sums[0, t] += (bid[t] - ask[t]) / both
            sums[1, t] += 1.0
            sums[2, t] += bid[t] * per_reach
            sums[3, t] += ask[t] * per_reach


def share_gap(bid_part: Array, bid_taken: Array, ask_part: Array, ask_taken: Array) -> Array:
    """Share of what was taken that was answered, of bids minus asks, discounted where one side was hardly hit.

    With shares s = part / taken the answer is (s_bid - s_ask) x 4 bid_taken ask_taken / (bid_taken + ask_taken)^2:
    a side from which next to nothing was taken has shown nothing, and is not divided by.

    Parameters
    ----------
    bid_part, bid_taken, ask_part, ask_taken : Array, quote currency, shape (n_bars,)

    Returns
    -------
    Array, shares, shape (n_bars,)
        NaN where nothing was taken from either side.
    """
    total = bid_taken + ask_taken
    return ratio(4.0 * (bid_part * ask_taken - ask_part * bid_taken), total * total)


@cache
def decay_weights(half: int, length: int) -> Array:
    """Weights that halve every `half` bars, the newest last, summing to 1, shape (length,).

    The root of one half is found by halving the interval: power differs between processors.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        grown = 1.0
        for _ in range(half):
            grown *= middle
        low, high = (middle, high) if grown < 0.5 else (low, middle)
    weights = np.empty(length)
    weight, total = 1.0, 0.0
    for k in range(length - 1, -1, -1):
        weights[k] = weight
        total += weight
        weight *= low
    return weights / total
