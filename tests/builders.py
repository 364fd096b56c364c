"""Small markets to test on: seeded, readable, with the defects that real ones have."""

from __future__ import annotations

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.columns import Array
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy

START = 26_300_160  # bar number of 2020-01-03T00:00Z at 1m: a midnight


def columns(seed: int, bars: int, flats: bool = True) -> dict[str, Array]:
    """A random walk with momentum and clustered volatility, taker volumes, dead minutes and empty minutes."""
    random = np.random.default_rng(seed)
    size = 0.0006 * np.exp(0.6 * np.sin(np.arange(bars) / 300.0) + 0.5 * random.standard_normal(bars))
    drift = 0.00006 * np.sign(np.sin(np.arange(bars) / 173.0))
    steps = np.cumsum(size * random.standard_t(4, bars) + drift)
    middle = 100.0 * (1.0 + 0.25 * np.sin(steps)) + 3.0 * np.sin(np.arange(bars) / 900.0)
    close = middle + 0.02 * random.standard_normal(bars)
    open_ = np.concatenate((close[:1], close[:-1])) + 0.01 * random.standard_normal(bars)
    reach = 0.03 * np.abs(random.standard_normal((2, bars)))
    high, low = np.maximum(open_, close) + reach[0], np.minimum(open_, close) - reach[1]
    volume = 5.0 * random.gamma(2.0, 1.0, bars) * (1.0 + 30.0 * size / size.mean() / 30.0)
    lean = 0.5 + 0.4 * (close - open_) / (high - low) + 0.05 * random.standard_normal(bars)
    made = {
        "open": open_, "high": high, "low": low, "close": close, "volume": volume,
        "quote_volume": volume * (high + low + close) / 3.0,
        "trades": np.floor(volume * 7.0) + 1.0,
        "taker_buy_volume": volume * np.clip(lean, 0.02, 0.98),
    }  # fmt: skip
    made["taker_buy_quote_volume"] = made["taker_buy_volume"] * (high + low + close) / 3.0
    if flats:
        dead = slice(bars // 3, bars // 3 + 40)
        for name in ("open", "high", "low", "close"):
            made[name][dead] = made["close"][bars // 3 - 1]
        for name in ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"):
            made[name][bars // 3 + 5 : bars // 3 + 30] = 0.0
    return made


def missing(bars: int) -> np.ndarray:
    """Positions without a row: single minutes, a short silence, an outage of 30 minutes and a long one."""
    gone = [bars // 4, bars // 4 + 90, *range(bars // 2, bars // 2 + 4)]
    gone += [*range(bars * 2 // 3, bars * 2 // 3 + 30), *range(bars * 9 // 10, bars * 9 // 10 + min(200, bars // 20))]
    return np.array([g for g in gone if 0 < g < bars - 1])


def rows(seed: int, bars: int, gaps: bool = True, flats: bool = True) -> tuple[np.ndarray, dict[str, Array]]:
    """Published rows: open times (ms) and columns."""
    made = columns(seed, bars, flats)
    keep = np.ones(bars, dtype=bool)
    if gaps:
        keep[missing(bars)] = False
    times = (np.arange(bars, dtype=np.int64) + START) * 60_000
    return times[keep], {name: values[keep] for name, values in made.items()}


def market(
    seed: int = 7,
    bars: int = 6_000,
    gaps: bool = True,
    flats: bool = True,
    meaning: str = "bridge",
    venue: str = "simulated",
    symbol: str = "BTCUSDT",
) -> MarketFrame:
    """One-minute bars of a made-up market."""
    times, made = rows(seed, bars, gaps, flats)
    policy = GapPolicy(meaning, 5)  # type: ignore[arg-type]
    return MarketFrame(Instrument(venue, symbol), Bars.from_rows(Timeframe("1m"), times, made, policy))


def hours(seed: int = 11, bars: int = 5_000) -> MarketFrame:
    """Hourly bars of a made-up market, without gaps."""
    times = (np.arange(bars, dtype=np.int64) + START // 60) * 3_600_000
    bars_ = Bars.from_rows(Timeframe("1h"), times, columns(seed, bars), GapPolicy("cut", 0))
    return MarketFrame(Instrument("simulated", "BTCUSDT"), bars_)
