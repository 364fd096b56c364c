"""Features of many order books at once: snapshots of a fixed number of levels, as vendors sell them.

The definitions are those of the fold (columns.py): notional by band, lean weighted by closeness, microprice, spread.
One pass reads each level once and keeps nothing but sums, four of each, of every fourth level, which the machine adds
side by side. A sum is then (1st + 2nd) + (3rd + 4th): that order is the definition, on every machine and however many
books are read at once.
"""

from __future__ import annotations

import numpy as np

from virtuoso.errors import DataError
from virtuoso.jit.kernel import inner, kernel
from virtuoso.market.features.book.sampling import LEAN_REACH
from virtuoso.market.schema.columns import BANDS
from virtuoso.types import Array

FEATURES = (
    "spread", "micro_lean", "book_lean", *(f"{side}_depth_{band}" for band in BANDS for side in ("bid", "ask")),
)  # fmt: skip
_SHARES = tuple(BANDS.values())
LANES, DEEP = 4, 5
"""Levels that are added side by side, and how many rows of them before the sums go back to memory."""


def snapshot_features(prices: Array, sizes: Array) -> dict[str, Array]:
    """Return spread, lean and depth of each of many books.

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
    fill_features(bids_and_asks[0], bids_and_asks[1], LANES, out)
    return dict(zip(FEATURES, out, strict=True))


@kernel
def fill_features(prices: Array, sizes: Array, lanes: int, out: Array) -> None:
    """Fill `out`, shape (n_features, n_books). A level of NaN counts as nothing.

    `lanes` is `LANES`: a loop whose length the compiler knows is unrolled before it could be vectorised. Rows of
    levels are added five at a time; what is left of a book one at a time, in the same order.
    """
    n_books, _, n_levels = prices.shape
    whole = n_levels - n_levels % (LANES * DEEP)
    sums = np.empty((2, LANES * (1 + len(_SHARES))))
    for i in range(n_books):
        bid, ask = prices[i, 0, 0], prices[i, 1, 0]
        bids, asks = sizes[i, 0, 0], sizes[i, 1, 0]
        if not (bid < ask):
            out[:, i] = np.nan
            continue
        middle = (bid + ask) / 2.0
        reach = LEAN_REACH * middle + ask - bid
        to_1, to_2, to_3, to_4, to_5 = (
            _SHARES[0] * middle, _SHARES[1] * middle, _SHARES[2] * middle, _SHARES[3] * middle, _SHARES[4] * middle,
        )  # fmt: skip
        weight = 1.0 / reach
        sums[:] = 0.0
        for side in range(2):
            sign = 1.0 - 2.0 * side
            added = sums[side]
            for start in range(0, whole, LANES * DEEP):
                price, size = prices[i, side, start:], sizes[i, side, start:]
                for lane in range(lanes):  # sums of a lane stand `LANES` apart
                    near, in_1, in_2 = added[lane], added[lane + LANES], added[lane + 2 * LANES]
                    in_3, in_4, in_5 = added[lane + 3 * LANES], added[lane + 4 * LANES], added[lane + 5 * LANES]
                    for row in range(DEEP):  # without a branch: where bands end cannot be predicted
                        away = (middle - price[lane + row * LANES]) * sign
                        notional = price[lane + row * LANES] * size[lane + row * LANES]
                        near = near + notional * (1.0 - away * weight) if away < reach else near
                        in_1 = in_1 + notional if away <= to_1 else in_1
                        in_2 = in_2 + notional if away <= to_2 else in_2
                        in_3 = in_3 + notional if away <= to_3 else in_3
                        in_4 = in_4 + notional if away <= to_4 else in_4
                        in_5 = in_5 + notional if away <= to_5 else in_5
                    added[lane], added[lane + LANES], added[lane + 2 * LANES] = near, in_1, in_2
                    added[lane + 3 * LANES], added[lane + 4 * LANES], added[lane + 5 * LANES] = in_3, in_4, in_5
            for start in range(whole, n_levels, LANES):
                price, size = prices[i, side, start:], sizes[i, side, start:]
                for lane in range(min(lanes, n_levels - start)):
                    away, notional = (middle - price[lane]) * sign, price[lane] * size[lane]
                    added[lane] += notional * (1.0 - away * weight) if away < reach else 0.0
                    added[lane + LANES] += notional if away <= to_1 else 0.0
                    added[lane + 2 * LANES] += notional if away <= to_2 else 0.0
                    added[lane + 3 * LANES] += notional if away <= to_3 else 0.0
                    added[lane + 4 * LANES] += notional if away <= to_4 else 0.0
                    added[lane + 5 * LANES] += notional if away <= to_5 else 0.0
        bid_near, ask_near = lanes_together(sums[0], 0), lanes_together(sums[1], 0)
        out[0, i], out[1, i] = ask - bid, (bids - asks) / (bids + asks) / 2.0
        out[2, i] = (bid_near - ask_near) / (bid_near + ask_near)
        for band in range(len(_SHARES)):
            out[3 + 2 * band, i] = lanes_together(sums[0], band + 1)
            out[4 + 2 * band, i] = lanes_together(sums[1], band + 1)


@inner
def lanes_together(added: Array, which: int) -> float:
    """Add the lanes of a sum, in their one order."""
    at = which * LANES
    return float((added[at] + added[at + 1]) + (added[at + 2] + added[at + 3]))
