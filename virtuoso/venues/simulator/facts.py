"""Stylised facts of one-minute bars, simulated or recorded, so that the two can be held side by side.

Source: Cont (2001), Empirical properties of asset returns: stylized facts and statistical issues, Quantitative
Finance 1, 223-236.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MINUTES_OF_A_DAY = 1_440


def stylised_facts(bars: Mapping[str, NDArray[np.int64] | Array]) -> dict[str, float]:
    """Measure what real one-minute markets have in common.

    Parameters
    ----------
    bars : mapping of str to array, shape (n_bars,)
        `close` and `volume`; with `taker_buy_volume` also its relation to returns. A missing minute is passed over.

    Returns
    -------
    dict of str to float
        In the order of telling; the names say unit and lag (minutes).
    """
    close, volume = np.asarray(bars["close"], dtype=np.float64), np.asarray(bars["volume"], dtype=np.float64)
    path = np.log(close)
    returns = np.diff(path)
    size = np.abs(returns)
    facts = {
        "daily volatility, %": 100.0 * float(returns.std()) * float(np.sqrt(MINUTES_OF_A_DAY)),
        "kurtosis": float(((returns - returns.mean()) ** 4).mean() / returns.var() ** 2),
        "autocorrelation of returns, lag 1": _autocorrelation(returns, 1),
        "autocorrelation of returns, lag 60": _autocorrelation(returns, 60),
    }
    for lag in (1, 5, 20, 60, 240):
        facts[f"autocorrelation of |returns|, lag {lag}"] = _autocorrelation(size, lag)
    for span in (15, 60, 240):
        facts[f"variance ratio, {span} minutes"] = float((path[span:] - path[:-span]).var() / (span * returns.var()))
    facts["correlation of volume with |return|"] = _correlation(volume[1:], size)
    facts["autocorrelation of volume, lag 20"] = _autocorrelation(volume, 20)
    if "taker_buy_volume" in bars:
        bought = np.asarray(bars["taker_buy_volume"], dtype=np.float64)
        traded = volume[1:] > 0.0
        balance = 2.0 * bought[1:][traded] / volume[1:][traded] - 1.0
        facts["correlation of taker balance with return"] = _correlation(balance, returns[traded])
        facts["standard deviation of taker balance"] = float(balance.std())
    return facts


def _correlation(a: Array, b: Array) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def _autocorrelation(x: Array, lag: int) -> float:
    return _correlation(x[:-lag], x[lag:])
