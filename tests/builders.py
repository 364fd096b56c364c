"""Small markets to test on: seeded, readable, with the defects that real ones have."""

from __future__ import annotations

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.columns import BOOK_COLUMNS
from virtuoso.types import Array

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


def light(seed: int, made: dict[str, Array]) -> dict[str, Array]:
    """Columns of flow, book and positioning that go with the bars of `columns`: everything a component may name."""
    random = np.random.default_rng([seed, 1])
    bars = len(made["close"])
    close, volume, bought = made["close"], made["volume"], made["taker_buy_volume"]
    sold, notional = volume - bought, volume * close

    def wander(pull: float, size: float) -> Array:
        """A mean-reverting walk around 0."""
        steps = size * random.standard_normal(bars)
        for t in range(1, bars):
            steps[t] += (1.0 - pull) * steps[t - 1]
        return steps

    def positive(scale: float) -> Array:
        return scale * np.exp(0.4 * random.standard_normal(bars))

    lean, mood = np.tanh(wander(0.05, 0.15)), wander(0.002, 0.02)
    reach = np.abs(random.standard_normal((4, bars)))
    usual = float(np.mean(notional))
    spread = 0.01 * (1.0 + 0.3 * reach[0])
    oi = 50_000.0 * (1.0 + 0.2 * np.sin(np.cumsum(0.004 * random.standard_normal(bars) + 0.002 * lean)))
    made_light = {
        "taker_buy_trades": np.floor(made["trades"] * np.clip(bought / np.maximum(volume, 1e-9), 0.0, 1.0)),
        "large_buy_volume": bought * np.clip(0.4 + 0.2 * random.standard_normal(bars), 0.0, 1.0),
        "large_sell_volume": sold * np.clip(0.4 + 0.2 * random.standard_normal(bars), 0.0, 1.0),
        "stacked_buy_volume": bought * np.clip(random.standard_normal(bars) - 0.5, 0.0, 1.0),
        "stacked_sell_volume": sold * np.clip(random.standard_normal(bars) - 0.5, 0.0, 1.0),
        "buy_move": 0.004 * bought * positive(1.0) + 0.01 * random.standard_normal(bars),
        "sell_move": -0.004 * sold * positive(1.0) + 0.01 * random.standard_normal(bars),
        "bid": close - spread / 2.0,
        "ask": close + spread / 2.0,
        "bid_size": positive(3.0) * (1.0 + 0.6 * lean),
        "ask_size": positive(3.0) * (1.0 - 0.6 * lean),
        "spread": spread,
        "spread_high": spread * (1.0 + reach[1]),
        "micro_lean": np.clip(0.3 * lean + 0.08 * random.standard_normal(bars), -0.5, 0.5),
        "book_lean": np.clip(0.6 * lean + 0.15 * random.standard_normal(bars), -1.0, 1.0),
        "ofi_best": usual * (0.2 * lean + 0.3 * random.standard_normal(bars)),
        "ofi_deep": usual * (0.5 * lean + 0.5 * random.standard_normal(bars)),
        "bid_wall": np.where(reach[2] > 1.5, close - 0.8, np.nan),
        "ask_wall": np.where(reach[3] > 1.5, close + 0.8, np.nan),
        "bid_wall_size": np.where(reach[2] > 1.5, 4.0 * usual, np.nan),
        "ask_wall_size": np.where(reach[3] > 1.5, 4.0 * usual, np.nan),
        "book_updates": np.floor(200.0 * positive(1.0)),
        "open_interest": oi,
        "open_interest_value": oi * close,
        "accounts_ratio": np.exp(0.4 * mood + 0.2 * wander(0.01, 0.05)),
        "top_accounts_ratio": np.exp(0.3 * mood + 0.2 * wander(0.01, 0.05)),
        "top_positions_ratio": np.exp(0.2 * mood + 0.2 * wander(0.01, 0.05)),
        "taker_ratio": np.exp(0.5 * lean + 0.2 * random.standard_normal(bars)),
        "funding_rate": np.repeat(0.0001 + 0.0002 * wander(0.05, 0.4)[::60], 60)[:bars],
        "mark": close * (1.0 + 0.0001 * lean),
        "index": close * (1.0 - 0.0001 * lean),
        "long_liquidations": usual * np.maximum(random.standard_normal(bars) - 1.2 - lean, 0.0),
        "short_liquidations": usual * np.maximum(random.standard_normal(bars) - 1.2 + lean, 0.0),
    }
    for i, band in enumerate(("10bp", "50bp", "100bp", "200bp", "500bp")):
        made_light[f"bid_depth_{band}"] = usual * 3.0 * (i + 1) * (1.0 + 0.5 * lean) * positive(1.0)
        made_light[f"ask_depth_{band}"] = usual * 3.0 * (i + 1) * (1.0 - 0.5 * lean) * positive(1.0)
    for side, taken, sign in (("bid", sold, 1.0), ("ask", bought, -1.0)):
        taken_notional = 0.8 * taken * close
        made_light[f"{side}_taken"] = taken_notional
        made_light[f"{side}_refill"] = taken_notional * np.clip(0.7 + 0.3 * sign * lean, 0.0, 1.5) * positive(1.0)
        share = np.clip(0.4 + 0.3 * sign * lean + 0.1 * random.standard_normal(bars), 0.0, 1.0)
        made_light[f"{side}_absorbed"] = taken_notional * share
        made_light[f"{side}_fleeting"] = usual * np.maximum(random.standard_normal(bars) - 1.0, 0.0)
    outage = slice(bars * 2 // 5, bars * 2 // 5 + 50)  # open interest and ratios fail together, as they do
    for name in ("open_interest", "open_interest_value", "accounts_ratio", "top_accounts_ratio", "top_positions_ratio"):
        made_light[name][outage] = np.nan
    lost = slice(bars * 4 // 5, bars * 4 // 5 + 20)  # the book is lost and found again
    for name, column in BOOK_COLUMNS.items():
        made_light[name][lost if column.kind == "depth" else slice(0)] = np.nan
    return made_light


def thin(seed: int, bars: int) -> dict[str, Array]:
    """A market that hardly trades: prices on a coarse tick, lots of a few units, and many bars that are alike.

    Everything ties: highs, lows, walls, the steps of a profile. Prices and sizes are small multiples of a power of
    two, so that their mirror is exact and what is left of a mirror's difference is a choice between equals.
    """
    made = columns(seed, bars)
    random = np.random.default_rng([seed, 2])
    tick = 0.5
    on_tick = {name: np.round(made[name] / tick) * tick for name in ("open", "high", "low", "close")}
    for name, values in light(seed, made).items():
        steps = 256.0 if name.startswith("open_interest") else 4.0
        quantum = 2.0 ** np.round(np.log2(max(float(np.nanmean(np.abs(values))), 1e-12) / steps))
        made[name] = np.round(values / quantum) * quantum
    made |= on_tick
    late = slice(bars // 2, None)  # from here on a step of a tick now and then, and every bar as long as the other
    made["close"][late] = made["close"][late][0] + tick * np.cumsum(
        random.choice([-1, 0, 1], bars - bars // 2, p=[0.05, 0.9, 0.05])
    )
    made["open"][late] = np.concatenate((made["close"][late][:1], made["close"][late][:-1]))
    made["high"][late], made["low"][late] = made["close"][late] + tick, made["close"][late] - tick
    for name in ("accounts_ratio", "top_accounts_ratio", "top_positions_ratio", "taker_ratio"):
        made[name] = np.exp2(np.round(2.0 * np.log2(np.maximum(made[name], 0.25))) / 2.0)
    made["bid"], made["ask"] = made["close"] - tick / 4.0, made["close"] + tick / 4.0
    made["spread"] = np.full(bars, tick / 2.0)
    for name, sign in (("bid_wall", -1.0), ("ask_wall", 1.0)):
        made[name] = np.where(np.isnan(made[name]), np.nan, made["close"] + sign * 2.0 * tick)
    lots = np.floor(1.0 + 2.0 * random.random(bars)) * (made["volume"] > 0.0)
    lots *= random.random(bars) < np.where(np.arange(bars) < bars * 3 // 4, 0.8, 0.04)
    bought = np.floor(random.random(bars) * (lots + 1.0))
    made["volume"], made["taker_buy_volume"], made["trades"] = lots, bought, lots
    made["taker_buy_trades"] = bought
    price = (made["high"] + made["low"]) / 2.0
    made["quote_volume"], made["taker_buy_quote_volume"] = lots * price, bought * price
    for side, own in (("buy", bought), ("sell", lots - bought)):
        for name in (f"large_{side}_volume", f"stacked_{side}_volume"):
            made[name] = own * (random.random(bars) < 0.5)
    return made


def missing(bars: int) -> np.ndarray:
    """Positions without a row: single minutes, a short silence, an outage of 30 minutes and a long one."""
    gone = [bars // 4, bars // 4 + 90, *range(bars // 2, bars // 2 + 4)]
    gone += [*range(bars * 2 // 3, bars * 2 // 3 + 30), *range(bars * 9 // 10, bars * 9 // 10 + min(200, bars // 20))]
    return np.array([g for g in gone if 0 < g < bars - 1])


def rows(
    seed: int, bars: int, gaps: bool = True, flats: bool = True, lit: bool = False
) -> tuple[np.ndarray, dict[str, Array]]:
    """Published rows: open times (ms) and columns; with flow, book and positioning if `lit`."""
    made = columns(seed, bars, flats)
    if lit:
        made |= light(seed, made)
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
    lit: bool = False,
) -> MarketFrame:
    """One-minute bars of a made-up market; with every column of the data dictionary if `lit`."""
    times, made = rows(seed, bars, gaps, flats, lit)
    policy = GapPolicy(meaning, 5)  # type: ignore[arg-type]
    return MarketFrame(Instrument(venue, symbol), Bars.from_rows(Timeframe("1m"), times, made, policy))


def hours(seed: int = 11, bars: int = 5_000, lit: bool = False) -> MarketFrame:
    """Hourly bars of a made-up market, without gaps; with every column of the data dictionary if `lit`."""
    times = (np.arange(bars, dtype=np.int64) + START // 60) * 3_600_000
    made = columns(seed, bars)
    if lit:
        made |= light(seed, made)
    bars_ = Bars.from_rows(Timeframe("1h"), times, made, GapPolicy("cut", 0))
    return MarketFrame(Instrument("simulated", "BTCUSDT"), bars_)


def thin_market(seed: int = 5, bars: int = 9_000, timeframe: str = "1m") -> MarketFrame:
    """Bars of `thin`, with gaps; with every column of the data dictionary."""
    clock, keep = Timeframe(timeframe), np.ones(bars, dtype=bool)
    keep[missing(bars)] = False
    times = (np.arange(bars, dtype=np.int64) + START * 60_000 // clock.ms) * clock.ms
    made = {name: values[keep] for name, values in thin(seed, bars).items()}
    policy = GapPolicy("bridge", 5)
    return MarketFrame(Instrument("simulated", "THIN"), Bars.from_rows(clock, times[keep], made, policy))
