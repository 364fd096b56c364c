"""The order book in numbers without a unit: depth near the middle, its asymmetry, and shares of what was taken."""

from __future__ import annotations

from functools import cache

import numpy as np

from virtuoso.jit.kernel import kernel
from virtuoso.market.schema.columns import BANDS
from virtuoso.prism.features.windows import deviation, known_rms
from virtuoso.types import Array

REACHES = tuple(BANDS.values())
"""Distance of each band from the middle, as a share of it, nearest first."""
PER_REACH = tuple(1.0 / reach for reach in REACHES)
LEAST_BANDS = 2
"""Bands that make a slope; one alone says what the imbalance says already."""


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
    usual, spread = deviation(x, history, floor, first)
    return (x - usual) / spread


def in_usual_size(x: Array, history: int, floor: float, first: int) -> Array:
    """Each value over the root mean square of the known of the last `history` values, shape (n_bars,).

    Uses `x[: t + 1]` only.
    """
    return x / known_rms(x, history, floor, first)


def near_depth(bid_depth: Array, ask_depth: Array) -> Array:
    """Mean notional of one side within the nearest band, or that of the side that is known, shape (n_bars,).

    The depth D of Cont, Kukanov and Stoikov (2014), with a band in the place of the best level, whose size at one
    moment says little. A snapshot may reach far enough on one side only; as a unit that side will do.
    """
    depth = np.empty(len(bid_depth))
    _near_depth(bid_depth, ask_depth, depth)
    return depth


@kernel
def _near_depth(bid: Array, ask: Array, out: Array) -> None:
    """Write the mean of both sides, or the side that is known."""
    for t in range(len(out)):
        both = (bid[t] + ask[t]) / 2.0
        out[t] = both if np.isfinite(both) else bid[t] if np.isfinite(bid[t]) else ask[t]


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
    asymmetry = np.empty(len(bids[0]))
    _depth_lean(bids, asks, PER_REACH, asymmetry)
    return asymmetry


@kernel
def _depth_lean(bids: tuple[Array, ...], asks: tuple[Array, ...], per_reach: tuple[float, ...], out: Array) -> None:
    """Add up the bands that are known: their leans, how many there are, and the slope of each side."""
    for t in range(len(out)):
        leans, bands, bid_slope, ask_slope = 0.0, 0.0, 0.0, 0.0
        for k in range(len(bids)):
            bid, ask = bids[k][t], asks[k][t]
            both = bid + ask
            if both > 0.0:
                leans += (bid - ask) / both
                bands += 1.0
                bid_slope += bid * per_reach[k]
                ask_slope += ask * per_reach[k]
        if bands >= LEAST_BANDS:
            out[t] = 0.5 * (leans / bands + (bid_slope - ask_slope) / (bid_slope + ask_slope))
        else:
            out[t] = np.nan


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
    gap = np.empty(len(bid_part))
    _share_gap(bid_part, bid_taken, ask_part, ask_taken, gap)
    return gap


@kernel
def _share_gap(bid_part: Array, bid_taken: Array, ask_part: Array, ask_taken: Array, out: Array) -> None:
    """Write gaps."""
    for t in range(len(out)):
        total = bid_taken[t] + ask_taken[t]
        square = total * total
        apart = 4.0 * (bid_part[t] * ask_taken[t] - ask_part[t] * bid_taken[t])
        out[t] = apart / square if square != 0.0 else np.nan


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
