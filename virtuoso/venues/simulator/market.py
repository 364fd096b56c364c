"""A simulated market: everything that a venue publishes of several coins, from a seed.

1. A common factor and one of each coin's own (factors.py) say every five seconds what a coin is worth.
2. Takers, makers and forced orders meet in its order book (orders.py): trades, the book, positions, liquidations,
   funding. Bars are folded from those trades: quote volumes are exact sums, a minute without a trade is flat.
3. `simulate` gives the bars alone, `record` everything; streams (trades, the book) are recorded for the last days,
   as somebody would who has started a recorder. What is recorded changes nothing of what happens.
4. The venue itself fails once: its minutes are missing for every coin, and the market moves on unseen.

Everything made here belongs to the venue `simulated`. What it models and what it does not: docs/guides/simulator.md.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe, iso, parse_time
from virtuoso.errors import ConfigError
from virtuoso.types import Array
from virtuoso.venues.simulator.coin_profiles import DEFAULT_SYMBOLS, MARKET_DAILY, Coin, coin
from virtuoso.venues.simulator.orders import trade
from virtuoso.venues.simulator.price_factors import (
    DAY,
    SLICES,
    Counts,
    Factor,
    Streams,
    factor,
    news,
    season,
    spells,
)
from virtuoso.venues.simulator.state import Tape, new_tape, opened

VENUE = "simulated"
MINUTE = Timeframe("1m")
START = "2025-01-01"
METRICS_MINUTES, SNAPSHOT_MINUTES = 5, 60

SimulatedBars = dict[str, NDArray[np.int64] | Array]
"""Columns of one coin: `open_time` in ms (int64) and the bar columns of the data dictionary (float64)."""

_MARKET = "market"  # owner of the common streams; a symbol is upper case, so that no coin can share them
_MARKET_SHOCKS = (1.0 / 15.0, 0.6)  # cascades per day, smallest in daily standard deviations
_OWN_SHOCKS = (1.0 / 12.0, 0.5)

OUTAGE_EVERY = 60 * DAY  # minutes; one outage in each stretch, between its second and its fifth day
_OUTAGE_MINUTES = (12, 21)  # longer than is bridged, shorter than a tenth of four hours

_ROOM_OF_TAPE = 1 << 17


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recorder of the simulated venue has of one coin.

    Attributes
    ----------
    coin : Coin
    bars : SimulatedBars
        The minutes of an outage have no row.
    trades : array of int64, shape (n_trades, 5)
        Time (ms), id, price (ticks), size (lots), side of the taker (1 bought, -1 sold).
    book : array of int64, shape (n_rows, 5)
        Time (ms), whether it belongs to a snapshot, side (1 bid, -1 ask), price (ticks), size (lots, 0 removes). Each
        hour, and what follows an outage, begins with a snapshot.
    metrics : Array, shape (n_intervals, 7)
        End of the interval (ms), open interest (lots), mark price (ticks), long over short of accounts, of large
        accounts, of their positions, of takers in the interval; NaN is not known.
    funding : Array, shape (n_settlements, 3)
        Time (ms), rate of eight hours, mark price (ticks).
    prices : Array, shape (n_minutes, 3)
        End of the minute (ms), mark and index (ticks).
    liquidations : array of int64, shape (n_forced, 5)
        Time (ms), side of the order (-1 sold a long), limit price and average price (ticks), size (lots).
    """

    coin: Coin
    bars: SimulatedBars
    trades: Counts
    book: Counts
    metrics: Array
    funding: Array
    prices: Array
    liquidations: Counts


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
    made = record(symbols, days, seed, start, trade_days=0, book_days=0, env=env)
    return {symbol: recording.bars for symbol, recording in made.items()}


def record(
    symbols: Iterable[str] = DEFAULT_SYMBOLS,
    days: int = 60,
    seed: int | None = None,
    start: str = START,
    *,
    trade_days: int | None = None,
    book_days: int | None = None,
    env: Env | None = None,
) -> dict[str, Recording]:
    """Make a market of simulated coins and record what the venue publishes.

    Parameters
    ----------
    symbols, days, seed, start, env
        As in `simulate`, which gives the same bars.
    trade_days, book_days : int, optional
        How many of the last days have every trade, and every change of the book; all of them if absent.

    Returns
    -------
    dict of str to Recording
        In the order of `symbols`.

    Raises
    ------
    ConfigError
        As of `simulate`.
    """
    first, minutes = _stretch(start, days)
    entropy = _entropy(seed, env)
    common = factor(Streams(entropy, _MARKET), first, minutes, MARKET_DAILY, _MARKET_SHOCKS)
    online = np.ones(minutes, dtype=bool)
    for begin, end in _outages(entropy, minutes):
        online[begin:end] = False
    since = [minutes - min(max(days if of is None else of, 0), days) * DAY for of in (trade_days, book_days)]
    listed = [coin(symbol) for symbol in symbols]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each coin on its own; the kernel leaves the interpreter alone
        made = pool.map(
            lambda each: _recorded(each, Streams(entropy, each.symbol), common, first, online, since[0], since[1]),
            listed,
        )
        return {each.symbol: recording for each, recording in zip(listed, made, strict=True)}


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


def _recorded(
    listed: Coin,
    streams: Streams,
    common: Factor,
    first: int,
    online: NDArray[np.bool_],
    trades_from: int,
    book_from: int,
) -> Recording:
    """One coin: its value, its orders, what was recorded of them."""
    minutes = len(online)
    own = factor(streams, first, minutes, listed.own_daily, _OWN_SHOCKS)
    path = np.empty(own.steps.size + 1)
    path[0] = 1.0
    np.cumprod(1.0 + (listed.beta * common.steps + own.steps).ravel(), out=path[1:])
    path *= listed.price * 10.0**listed.tick_decimals
    np.maximum(path, 2.0, out=path)  # a price is a tick at least
    spread = np.sqrt((listed.beta * common.spread) ** 2 + own.spread**2)
    takers = _takers(listed, streams, path, season(first, minutes))
    snapshots = np.zeros(minutes, dtype=bool)
    snapshots[book_from::SNAPSHOT_MINUTES] = True
    snapshots[book_from:] |= (online & ~np.roll(online, 1))[book_from:]
    shown = opened(listed, path[0], int(streams("orders").integers(1, 2**63)))
    tape = new_tape(minutes, _ROOM_OF_TAPE)
    rows: tuple[list[Counts], ...] = ([], [], [])
    for begin, end in itertools.pairwise(sorted({0, trades_from, book_from, minutes})):
        tape.room[:] = [_ROOM_OF_TAPE * (begin >= since) for since in (trades_from, book_from, 0)]
        at = begin * SLICES
        while at < end * SLICES:
            at = trade(shown, tape, path, spread, takers, snapshots, first, at, end * SLICES)
            for kept, written, used in zip(rows, tape.rows, tape.used, strict=True):
                kept.append(written[:used].copy())
            tape.used[:] = 0
    trades, book, forced = (np.concatenate(kept) for kept in rows)
    seen = [part[online[part[:, 0] // MINUTE.ms - first]] for part in (trades, book, forced)]
    bars = _bars(listed, tape.bars[:, :4].T, tape.bars[:, 4:].T)
    open_time = (first + np.arange(minutes, dtype=np.int64)) * MINUTE.ms
    columns = {"open_time": open_time} | bars
    prices: Array = np.column_stack((open_time + MINUTE.ms, tape.told[:, 0], tape.told[:, 1])).astype(np.float64)
    return Recording(
        listed,
        {name: values[online] for name, values in columns.items()},
        seen[0],
        seen[1],
        _metrics(tape, open_time + MINUTE.ms, online),
        _settled(tape, open_time + MINUTE.ms),
        prices[online],
        seen[2],
    )


def _takers(listed: Coin, streams: Streams, path: Array, seasons: Array) -> NDArray[np.int16]:
    """Takers who know nothing in each slice: more by season, while the value moves far, and by an interest of hours.

    Volume follows the news as the price does (Clark 1973, Econometrica 41).
    """
    minutes = len(seasons)
    interest = 0.4 + 0.6 * news(streams, "interest", minutes, 120.0)
    noise = 0.15 + 0.85 * streams("activity").standard_gamma(2.5, minutes) / 2.5
    usual = listed.daily / np.sqrt(DAY * SLICES)
    far = (np.abs(np.diff(path) / path[:-1]) / usual).reshape(minutes, SLICES)
    busy = (seasons * interest * noise)[:, None] * (0.2 + 0.6 * far + 0.3 * far * far)
    rate = 0.58 * listed.trades / SLICES * busy
    drawn: NDArray[np.int16] = streams("takers").poisson(np.minimum(rate, 60.0)).astype(np.int16)
    return drawn


def _bars(listed: Coin, ticks: Counts, sums: Counts) -> dict[str, Array]:
    """Bar columns; a whole number divided by a power of ten is the float nearest to the decimal a venue would print."""
    tick, lot = 10**listed.tick_decimals, 10**listed.lot_decimals
    return {
        "open": ticks[0] / tick,
        "high": ticks[1] / tick,
        "low": ticks[2] / tick,
        "close": ticks[3] / tick,
        "volume": sums[0] / lot,
        "quote_volume": sums[2] / (tick * lot),
        "trades": sums[4].astype(np.float64),
        "taker_buy_volume": sums[1] / lot,
        "taker_buy_quote_volume": sums[3] / (tick * lot),
    }


def _metrics(tape: Tape, ends: Counts, online: NDArray[np.bool_]) -> Array:
    """Open interest and ratios at the end of every five minutes; no row while the venue was down."""
    at = np.flatnonzero(ends % (METRICS_MINUTES * MINUTE.ms) == 0)
    at = at[at >= METRICS_MINUTES - 1]
    window = at[:, None] - np.arange(METRICS_MINUTES)
    bought, traded = tape.bars[window, 5].sum(axis=1), tape.bars[window, 4].sum(axis=1)
    known = online[window].all(axis=1) & (bought < traded)
    ratio = np.where(known, bought / np.maximum(traded - bought, 1), np.nan)
    table: Array = np.column_stack((ends[at], tape.told[at, 2], tape.told[at, 0], tape.told[at, 3:6], ratio))
    return table[online[at]]


def _settled(tape: Tape, ends: Counts) -> Array:
    """Funding that was settled, with the mark price it was paid on."""
    at = np.flatnonzero(np.isfinite(tape.told[:, 6]))
    return np.column_stack((ends[at], tape.told[at, 6], tape.told[at, 0]))
