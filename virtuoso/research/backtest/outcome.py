"""What a run comes to, as one hash: two ways to the same trades give the same one.

Hashed are the instruments, the clock, the closes with the equity at each of them, and what was filled, paid or
received. Left out is what led there (settings, provenance, which row of the intents an event belongs to) and what is
only told of it: orders that never filled, scores, marks of doubtful data. So booleans, weights and a strategy that make
the same trades agree, and so does a run whose halt or limits are enforced but never bind.

Every bit of a price counts: runs agree exactly or not at all. Minus zero is zero, and NaN is one value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import records as r
from virtuoso.research.backtest.engine import PortfolioRun

MONEY = ("size", "price", "fee", "slippage", "realised", "funding")
"""Numbers of an event that count; `wallet` follows from them."""


def hash_of(words: Iterable[str], columns: Mapping[str, NDArray[np.generic]]) -> str:
    """Hash words and named columns of numbers, each value in one form.

    Parameters
    ----------
    words : iterable of str
        What the columns are of.
    columns : mapping of str to array
        Whole numbers and booleans as int64, others as float64, in the order given.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits, the same on every machine.
    """
    found = hashlib.sha256()
    for word in words:
        found.update(b"word %d " % len(word.encode()) + word.encode())
    for name, values in columns.items():
        found.update(f"column {name} {len(values)} ".encode() + _canonical(values))
    return found.hexdigest()


def _canonical(values: NDArray[np.generic]) -> bytes:
    """Bytes of a column, little-endian, with one zero and one NaN."""
    if values.dtype.kind in "iub":
        return values.astype("<i8").tobytes()
    numbers = values.astype("<f8") + 0.0  # minus zero becomes zero
    numbers[np.isnan(numbers)] = np.nan
    return numbers.tobytes()


def result_hash(run: PortfolioRun) -> str:
    """Return the hash of what a portfolio came to.

    Parameters
    ----------
    run : PortfolioRun

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    panel = run.panel
    happened = run.events[~np.isin(run.events["kind"], r.UNFILLED)]
    happened = happened[np.lexsort((happened["instrument"], happened["instant"]))]
    return hash_of(
        ("backtest", panel.timeframe.name, *map(str, panel.instruments)),
        {
            "close_time": panel.open_times + panel.timeframe.ms,
            "equity": run.equity,
            "bar_time": happened["instant"] * panel.timeframe.ms,
            "instrument": happened["instrument"],
            "kind": happened["kind"],
            **{name: happened[name] for name in MONEY},
        },
    )
