"""A simulated market: one-minute bars of several coins, from a seed.

1. A common factor and one of each coin's own (factors.py) move the price every five seconds.
2. Trades arrive with the season, the range of the minute and news of their own; takers push the way the price goes.
3. Trades are printed on the coin's tick and lot, and the bar is what a venue would publish of them: quote volumes
   are exact sums, a minute without a trade is flat with zero volume.
4. The venue itself fails once: its minutes are missing for every coin, and the price moves on unseen.

Everything made here belongs to the venue `simulated`. What it models and what it does not: docs/guides/simulator.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe, iso, parse_time
from virtuoso.errors import ConfigError
from virtuoso.venues.simulator.coins import DEFAULT_SYMBOLS, MARKET_DAILY, Coin, coin
from virtuoso.venues.simulator.factors import (
    DAY,
    SLICES,
    Array,
    Counts,
    Factor,
    Streams,
    factor,
    news,
    season,
    spells,
)

VENUE = "simulated"
MINUTE = Timeframe("1m")
START = "2025-01-01"

SimulatedBars = dict[str, NDArray[np.int64] | Array]
"""Columns of one coin: `open_time` in ms (int64) and the bar columns of the data dictionary (float64)."""

_MARKET = "market"  # owner of the common streams; a symbol is upper case, so that no coin can share them
_MARKET_SHOCKS = (1.0 / 15.0, 0.6)  # cascades per day, smallest in daily standard deviations
_OWN_SHOCKS = (1.0 / 12.0, 0.5)

OUTAGE_EVERY = 60 * DAY  # minutes; one outage in each stretch, between its second and its fifth day
_OUTAGE_MINUTES = (12, 21)  # longer than is bridged, shorter than a tenth of four hours

_USUAL_REACH = 1.2  # high minus low of a minute, in standard deviations of its return
_TAKERS_PUSH, _TAKERS_NOISE = 0.9, 0.6


def simulate(
    symbols: Iterable[str] = DEFAULT_SYMBOLS,
    days: int = 60,
    seed: int | None = None,
    start: str = START,
    *,
    env: Env | None = None,
) -> dict[str, SimulatedBars]:
    """Make one-minute bars of simulated coins.

    The same seed gives the same bars, whichever other symbols are made beside them; more days only add to the end.

    Parameters
    ----------
    symbols : iterable of str
        Such as `BTCUSDT`; any symbol may be asked for (coins.py).
    days : int
        Length of the history.
    seed : int, optional
        Seed of the whole market. Give this or `env`.
    start : str
        UTC, a whole minute.
    env : Env, optional
        Where randomness comes from instead: `Env(seed=7)` gives the market of `seed=7`.

    Returns
    -------
    dict of str to SimulatedBars
        In the order of `symbols`. The minutes of an outage have no row.

    Raises
    ------
    ConfigError
        If there is no seed, or two, or the time is impossible.

    Examples
    --------
    >>> bars = simulate(["BTCUSDT"], days=1, seed=7)["BTCUSDT"]
    >>> len(bars["open_time"]), sorted(bars)[:3]
    (1440, ['close', 'high', 'low'])
    """
    first, minutes = _stretch(start, days)
    entropy = _entropy(seed, env)
    common = factor(Streams(entropy, _MARKET), first, minutes, MARKET_DAILY, _MARKET_SHOCKS)
    open_time = (first + np.arange(minutes, dtype=np.int64)) * MINUTE.ms
    online = np.ones(minutes, dtype=bool)
    for begin, end in _outages(entropy, minutes):
        online[begin:end] = False
    market: dict[str, SimulatedBars] = {}
    for listed in map(coin, symbols):
        columns = {"open_time": open_time} | _bars(listed, Streams(entropy, listed.symbol), common, first)
        market[listed.symbol] = {name: values[online] for name, values in columns.items()}
    return market


def outages(days: int = 60, *, seed: int, start: str = START) -> list[tuple[int, int]]:
    """When the venue was down in the market of a seed: first minute missing, first minute back, in ms."""
    first, minutes = _stretch(start, days)
    return [
        (MINUTE.open_time(first + begin), MINUTE.open_time(first + end))
        for begin, end in _outages(_entropy(seed, None), minutes)
    ]


def regimes(days: int = 60, *, seed: int, start: str = START) -> NDArray[np.int8]:
    """Tell the truth that no trader knows: the market's regime in each minute, outages included.

    Returns
    -------
    array of int8, shape (n_minutes,)
        Index into REGIME_NAMES.
    """
    return spells(Streams(_entropy(seed, None), _MARKET), _stretch(start, days)[1])


def _stretch(start: str, days: int) -> tuple[int, int]:
    """Number of the first minute since the epoch, and how many there are."""
    begin = parse_time(start)
    if begin % MINUTE.ms:
        raise ConfigError(f"A simulated market starts on a whole minute, was {iso(begin)}.")
    if days < 1:
        raise ConfigError(f"A simulated market lasts at least 1 day, was {days}.")
    return MINUTE.number(begin), days * DAY


def _entropy(seed: int | None, env: Env | None) -> int:
    if (seed is None) == (env is None):
        raise ConfigError(
            f"A simulated market is made from one seed: give seed=7 or env=Env(seed=7), was {seed=}, {env=}."
        )
    if seed is not None and seed < 0:
        raise ConfigError(f"A seed is 0 or more, was {seed}.")
    return int((env or Env(seed=seed)).random().integers(2**63))


def _outages(entropy: int, minutes: int) -> list[tuple[int, int]]:
    """First minute missing and first minute back, counted from the start."""
    draw = Streams(entropy, _MARKET)("outages")
    spans = []
    for stretch in range(0, minutes, OUTAGE_EVERY):
        begin = stretch + DAY + int(draw.integers(4 * DAY))
        spans.append((begin, begin + int(draw.integers(*_OUTAGE_MINUTES))))
    return [(begin, min(end, minutes)) for begin, end in spans if begin < minutes]


def _bars(listed: Coin, streams: Streams, common: Factor, first: int) -> dict[str, Array]:
    """Bar columns of one coin, outages not yet taken out."""
    minutes = len(common.spread)
    own = factor(streams, first, minutes, listed.own_daily, _OWN_SHOCKS)
    steps = listed.beta * common.steps + own.steps
    spread = np.sqrt((listed.beta * common.spread) ** 2 + own.spread**2)
    path = np.empty(steps.size + 1)
    path[0] = 1.0
    np.cumprod(1.0 + steps.ravel(), out=path[1:])
    path *= listed.price
    trades, lots = _activity(listed, streams, path, season(first, minutes))
    pushes = steps / (spread[:, None] / np.sqrt(SLICES))
    ticks, sums = np.empty((4, minutes), dtype=np.int64), np.empty((4, minutes), dtype=np.int64)
    noise = _TAKERS_NOISE * streams("takers").standard_normal(minutes)
    _print_trades(path, pushes, trades, lots, noise, 10.0**listed.tick_decimals, ticks, sums)
    tick, lot = 10**listed.tick_decimals, 10**listed.lot_decimals
    # A whole number divided by a power of ten is the nearest float to the decimal that a venue would print.
    open_, high, low, close = ticks / tick
    return {
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume": sums[0] / lot,
        "quote_volume": sums[2] / (tick * lot),
        "trades": trades.astype(np.float64),
        "taker_buy_volume": sums[1] / lot,
        "taker_buy_quote_volume": sums[3] / (tick * lot),
    }


def _activity(listed: Coin, streams: Streams, path: Array, seasons: Array) -> tuple[Counts, Counts]:
    """Trades of each minute and the lots they move, at least one each.

    Where the price goes far, many trade: volume follows the range of the minute, as both follow the news
    (Clark 1973, Econometrica 41). The rest is season, an interest of its own that lasts for hours, and noise.
    """
    minutes = len(seasons)
    inside, last = path[:-1].reshape(minutes, SLICES), path[SLICES::SLICES]
    reach = np.maximum(inside.max(axis=1), last) - np.minimum(inside.min(axis=1), last)
    usual = _USUAL_REACH * listed.daily / np.sqrt(DAY) * inside[:, 0]
    interest = 0.4 + 0.6 * news(streams, "interest", minutes, 120.0)
    far = reach / usual
    busy = np.sqrt(seasons) * (0.1 + 0.7 * far + 0.1 * far * far) * interest
    noise = 0.15 + 0.85 * streams("activity").standard_gamma(2.5, minutes) / 2.5
    trades = streams("trades").poisson(listed.trades * busy * noise)
    size = listed.trade_size * streams("sizes").standard_gamma(16.0, minutes) / 16.0
    lots = trades + np.rint(trades * size / last * 10.0**listed.lot_decimals).astype(np.int64)
    return trades, lots


@njit(cache=True)
def _print_trades(
    path: Array,
    pushes: Array,
    trades: Counts,
    lots: Counts,
    noise: Array,
    tick: float,
    ticks: Counts,
    sums: Counts,
) -> None:
    """Print the trades of each minute and fold them to a bar, in whole ticks and lots.

    Parameters
    ----------
    path : Array, price, shape (n_minutes * n_slices + 1,)
    pushes : Array, shape (n_minutes, n_slices)
        Steps of the price in their usual spread.
    trades, lots : array of int64, shape (n_minutes,)
    noise : Array, shape (n_minutes,)
        What takers want whatever the price does.
    tick : float
        Ticks in one unit of price.
    ticks : array of int64, shape (4, n_minutes)
        Out: open, high, low, close.
    sums : array of int64, shape (4, n_minutes)
        Out: lots, lots bought by takers, ticks times lots, the same bought by takers.
    """
    n_minutes, n_slices = pushes.shape
    points = n_slices + 1
    last = max(int(np.floor(path[0] * tick)), 1)
    for t in range(n_minutes):
        ticks[:, t] = last
        sums[:, t] = 0
        n = trades[t]
        printing = min(n, points)
        total = 0.0
        for j in range(points):
            if (j + 1) * printing // points > j * printing // points:
                total += 0.5 + abs(pushes[t, max(j - 1, 0)])
        first, weight, given = True, 0.0, 0
        for j in range(points):
            # Fewer trades than points: they are spread evenly, the last one always at the last point.
            if (j + 1) * printing // points == j * printing // points:
                continue
            push = pushes[t, max(j - 1, 0)]
            weight += 0.5 + abs(push)
            upto = int(np.rint(weight / total * (lots[t] - printing)))
            size = 1 + upto - given
            given = upto
            wish = _TAKERS_PUSH * push + noise[t]
            share = 0.5 + 0.5 * wish / np.sqrt(1.0 + wish * wish)
            bought = int(np.rint(share * size)) if n > points else (size if wish > 0.0 else 0)
            # Buyers pay the tick above the price, sellers get the tick below.
            last = max(int(np.floor(path[t * n_slices + j] * tick)) + (1 if push > 0.0 else 0), 1)
            if first:
                ticks[:, t] = last
                first = False
            ticks[1, t] = max(ticks[1, t], last)
            ticks[2, t] = min(ticks[2, t], last)
            ticks[3, t] = last
            sums[0, t] += size
            sums[1, t] += bought
            sums[2, t] += last * size
            sums[3, t] += last * bought
