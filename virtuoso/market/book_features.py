"""Features of many order books at once: snapshots of a fixed number of levels, as vendors sell them.

One pass reads each level once and keeps nothing but sums, so that memory is the limit. The definitions are those of the
fold (book_fold.py): notional by band, lean weighted by closeness, microprice, spread.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from virtuoso.compiled import inner
from virtuoso.errors import DataError
from virtuoso.market.book_sampling import LEAN_REACH
from virtuoso.market.columns import BANDS, Array

FEATURES = (
    "spread", "micro_lean", "book_lean", *(f"{side}_depth_{band}" for band in BANDS for side in ("bid", "ask")),
)  # fmt: skip
_SHARES = tuple(BANDS.values())


def snapshot_features(prices: Array, sizes: Array) -> dict[str, Array]:
    """Give spread, lean and depth of each of many books.

    Parameters
    ----------
    prices : array, quote currency, shape (n_books, 2, n_levels)
        Bids, then asks, the best first; NaN where there is no level.
    sizes : array, base currency, same shape

    Returns
    -------
    dict of str to Array, shape (n_books,)
        Under the names of the data dictionary. NaN for a book that is crossed, locked or has one side only. Levels
        beyond the last one count as nothing: bands wider than the snapshot are lower bounds.

    Raises
    ------
    DataError
        The shapes differ, or are not those of books.
    """
    if prices.ndim != 3 or prices.shape[1] != 2 or prices.shape != sizes.shape:
        raise DataError(f"Books are arrays of shape (n_books, 2, n_levels), were {prices.shape} and {sizes.shape}.")
    out = np.empty((len(FEATURES), len(prices)))
    bids_and_asks = [np.require(array, np.float64, requirements=["C", "W"]) for array in (prices, sizes)]
    fill_features(bids_and_asks[0], bids_and_asks[1], out)
    return dict(zip(FEATURES, out, strict=True))


@njit(cache=True, error_model="numpy")
def fill_features(prices: Array, sizes: Array, out: Array) -> None:
    """Fill `out`, shape (n_features, n_books)."""
    for i in range(len(prices)):
        bid, ask = prices[i, 0, 0], prices[i, 1, 0]
        bids, asks = sizes[i, 0, 0], sizes[i, 1, 0]
        if not (bid < ask):
            out[:, i] = np.nan
            continue
        middle = (bid + ask) / 2.0
        reach = LEAN_REACH * middle + ask - bid
        out[0, i], out[1, i] = ask - bid, (bids - asks) / (bids + asks) / 2.0
        bid_near = add_side(prices[i, 0], sizes[i, 0], middle, 1.0, reach, out, 3, i)
        ask_near = add_side(prices[i, 1], sizes[i, 1], middle, -1.0, reach, out, 4, i)
        out[2, i] = (bid_near - ask_near) / (bid_near + ask_near)


@inner
def add_side(
    prices: Array, sizes: Array, middle: float, sign: float, reach: float, out: Array, at: int, i: int,
) -> float:  # fmt: skip
    """Fill the bands of a side; give its notional weighted by closeness. A level of NaN counts as nothing."""
    weight = 1.0 / reach
    to_1, to_2, to_3, to_4, to_5 = (
        _SHARES[0] * middle, _SHARES[1] * middle, _SHARES[2] * middle, _SHARES[3] * middle, _SHARES[4] * middle,
    )  # fmt: skip
    near = in_1 = in_2 = in_3 = in_4 = in_5 = 0.0
    for r in range(len(prices)):  # without a branch: where bands end cannot be predicted
        away = (middle - prices[r]) * sign
        notional = prices[r] * sizes[r]
        near += notional * (1.0 - away * weight) if away < reach else 0.0
        in_1 += notional if away <= to_1 else 0.0
        in_2 += notional if away <= to_2 else 0.0
        in_3 += notional if away <= to_3 else 0.0
        in_4 += notional if away <= to_4 else 0.0
        in_5 += notional if away <= to_5 else 0.0
    out[at, i], out[at + 2, i], out[at + 4, i], out[at + 6, i], out[at + 8, i] = in_1, in_2, in_3, in_4, in_5
    return near
