"""Stylised facts of a market: of its bars, simulated or recorded, and of its orders, book and positions.

Those of one-minute bars can be held beside a recording.

Source: Cont (2001), Empirical properties of asset returns: stylized facts and statistical issues, Quantitative
Finance 1, 223-236.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from virtuoso.types import Array
from virtuoso.venues.simulator.market import Recording

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


def order_facts(recording: Recording) -> dict[str, float]:
    """Measure what order-driven markets with leverage have in common.

    Parameters
    ----------
    recording : Recording
        With trades and the book of some days.

    Returns
    -------
    dict of str to float
        In the order of telling; the names say the unit. NaN where the recording is too short to say.

    Notes
    -----
    An order is what one taker traded at one moment, at however many prices. Sources of the facts: Lillo and Farmer
    (2004), Studies in Nonlinear Dynamics 8 (memory of signs); Bouchaud, Mezard, Potters (2002), Quantitative Finance 2
    (shape of the book).
    """
    facts = {}
    signs = order_signs(recording)
    for lag in (1, 10, 100):
        facts[f"autocorrelation of signs, lag {lag} orders"] = _autocorrelation(signs, lag)
    books = list(book_every(recording, 300_000))
    spread = np.array([(asks[0, 0] - bids[0, 0]) / _middle(bids, asks) for bids, asks in books])
    facts["spread, basis points, median"] = 1e4 * float(np.median(spread))
    facts["spread, basis points, of 100 the 95th"] = 1e4 * float(np.quantile(spread, 0.95))
    for reach in (10, 50, 200):
        depth = [_within(side, _middle(bids, asks), reach) for bids, asks in books for side in (bids, asks)]
        facts[f"notional within {reach} basis points, thousands"] = float(np.mean(depth)) / 1e3
    facts.update(_positions(recording))
    return facts


def order_signs(recording: Recording) -> Array:
    """Sides of the takers' orders: 1 bought, -1 sold."""
    time, side = recording.trades[:, 0], recording.trades[:, 4]
    begins = np.r_[True, (np.diff(time) != 0) | (np.diff(side) != 0)]
    return side[begins].astype(np.float64)


def book_every(recording: Recording, every_ms: int) -> Iterator[tuple[Array, Array]]:
    """Bids and asks as they stood at equal distances of time: price and notional of each level, best first."""
    tick, lot = 10.0**recording.coin.tick_decimals, 10.0**recording.coin.lot_decimals
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}
    due, last, in_snapshot = 0, -1, False
    for time, snapshot, side, price, size in recording.book.tolist():
        if time != last and time >= due > 0 and sides[1] and sides[-1]:
            levels = [np.array(sorted(sides[s].items(), reverse=s == 1), dtype=np.float64) for s in (1, -1)]
            bids, asks = (np.column_stack((of[:, 0] / tick, of[:, 0] * of[:, 1] / (tick * lot))) for of in levels)
            yield bids, asks
        due = time - time % every_ms + every_ms if time >= due else due
        if snapshot and not (in_snapshot and time == last):
            sides = {1: {}, -1: {}}
        in_snapshot, last = bool(snapshot), time
        if size:
            sides[side][price] = size
        else:
            sides[side].pop(price, None)


def _middle(bids: Array, asks: Array) -> float:
    return 0.5 * float(bids[0, 0] + asks[0, 0])


def _within(levels: Array, middle: float, reach: float) -> float:
    return float(levels[np.abs(levels[:, 0] / middle - 1.0) <= 1e-4 * reach, 1].sum())


def _positions(recording: Recording) -> dict[str, float]:
    """What open interest, funding and liquidations have to do with the price."""
    hour = 12  # intervals of five minutes
    interest, price = recording.metrics[::hour, 1], recording.metrics[::hour, 2]
    grew, rose = np.diff(interest) > 0.0, np.diff(price) > 0.0
    facts = {
        f"hours: price {'up' if up else 'down'}, open interest {'up' if more else 'down'}, %": 100.0
        * float(((rose == up) & (grew == more)).mean())
        for up in (True, False)
        for more in (True, False)
    }
    first = int(recording.bars["open_time"][0])
    hours = (int(recording.bars["open_time"][-1]) - first) // 3_600_000 + 1
    forced = np.bincount((recording.liquidations[:, 0] - first) // 3_600_000, minlength=hours).astype(np.float64)
    moved = np.array([np.nan, *np.abs(np.diff(np.log(price)))])
    n = min(len(forced), len(moved))
    known = np.isfinite(moved[:n])
    facts["liquidations an hour"] = float(forced.mean())
    facts["liquidations an hour, variance over mean"] = float(forced.var() / max(forced.mean(), 1e-12))
    facts["correlation of liquidations with |return|, hours"] = _correlation(forced[:n][known], moved[:n][known])
    facts["funding, basis points, mean"] = 1e4 * float(recording.funding[:, 1].mean())
    facts["funding, basis points, spread of it"] = 1e4 * float(recording.funding[:, 1].std())
    return facts
