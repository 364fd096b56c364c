"""Price structure against slow twins, written from the definitions in docs/faces/price_structure.md.

A twin looks at one bar and gathers everything that matters for it from scratch, where the kernels carry state from
bar to bar. Charts: two random markets (one with dead minutes), BTCUSDT 5m through the crash of 2025-10-10, and
FILUSDT 1m, whose coarse ticks make equal highs the rule.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.builders import columns
from virtuoso.clock import Timeframe
from virtuoso.prism.faces.price_structure import RangeAnalysis, TrendPosition
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.levels import Levels
from virtuoso.prism.features.structure import Structure
from virtuoso.prism.features.swings import Pivots, Swings
from virtuoso.prism.features.zones import BlockZones, GapZones

MINUTE = Timeframe("1m")
BARS = 1_500
REAL = {
    "btc-crash": ("ohlcv/binance_um_5m_6sym_20250704_20251031.parquet", "BTCUSDT", 27_700),
    "fil": ("ohlcv/binance_um_1m_FILUSDT_202304_202306.parquet", "FILUSDT", 50_000),
}


def drawn(request: pytest.FixtureRequest, name: str, bars: int) -> CandleBars:
    """Candles of a chart, all known, their unit too; real ones only where the data pack is."""
    if name in REAL:
        file, symbol, start = REAL[name]
        folder: Path = request.getfixturevalue("real_data")
        table = pd.read_parquet(folder / file)
        table = table[table["symbol"] == symbol].sort_values("open_time_ms").iloc[start : start + bars]
        made = {column: table[column].to_numpy(float) for column in ("open", "high", "low", "close")}
    else:
        made = columns(seed=5, bars=bars, flats=name != "random")
    candles = Candles().value(*(made[column] for column in ("open", "high", "low", "close")), 0, 0)
    return CandleBars(*(np.ascontiguousarray(x[30:]) for x in candles))


@pytest.fixture(scope="module", params=["random", "dead minutes", *REAL])
def chart(request) -> CandleBars:
    return drawn(request, request.param, BARS)


@pytest.fixture(scope="module")
def swings(chart) -> Pivots:
    return Swings().value(chart, 0)


def some(chart: CandleBars, count: int = 250) -> list[int]:
    """Bars to look at: every kind of place."""
    return sorted(np.random.default_rng(1).choice(len(chart.close), count, replace=False).tolist())


def clipped(x: float) -> float:
    return min(max(x, 0.0), 1.0)


# --- candles and swings -----------------------------------------------------------------------------------------


def test_candles_bridge_five_bars_and_measure_their_range():
    made = columns(seed=3, bars=400)
    for gone in ([50], range(100, 105), range(200, 206), range(300, 340)):
        for name in ("open", "high", "low", "close"):
            made[name][list(gone)] = np.nan
    bars = Candles().value(made["open"], made["high"], made["low"], made["close"], 0, 0)
    table = pd.DataFrame({name: made[name] for name in ("open", "high", "low", "close")})
    closes = table["close"].ffill(limit=5)
    expected = table.apply(lambda x: x.fillna(closes))
    for name in expected:
        np.testing.assert_array_equal(getattr(bars, name), expected[name])
    before = expected["close"].shift()
    true_range = np.maximum(expected["high"], before) - np.minimum(expected["low"], before)
    true_range[expected["close"].isna() | before.isna()] = np.nan
    np.testing.assert_allclose(bars.unit, true_range.rolling(30).mean(), rtol=1e-9)


def swing_twin(top: np.ndarray, other: np.ndarray, c: int, reach: int) -> tuple[float, float] | None:
    """Weight and height of a bar as a swing high, None if it is none; lows are given in negative prices."""
    before, after = max(top[c - reach : c]), max(top[c + 1 : c + reach + 1])
    left, right = min(other[c - reach : c]), min(other[c + 1 : c + reach + 1])
    if before >= top[c]:
        return None
    tie = 0.02 * (max(top[c], after) - min(left, right))
    weight = clipped((top[c] - before) / tie) * clipped(1.0 - (after - top[c]) / tie)
    return (weight, top[c] - max(left, right)) if weight > 0 else None


def test_swings(chart, swings):
    reach = 5
    for t in range(2 * reach, len(chart.close)):
        c = t - reach
        for name, top, other in (("high", chart.high, chart.low), ("low", -chart.low, -chart.high)):
            expected = swing_twin(top, other, c, reach)
            price, weight, height = (getattr(swings, name + part)[t] for part in ("", "_weight", "_height"))
            if expected is None:
                assert np.isnan(price), (t, name)
            else:
                assert price == getattr(chart, name)[c]
                assert (weight, height) == pytest.approx(expected, rel=1e-9), (t, name)


def confirmed(chart: CandleBars, swings: Pivots) -> list[tuple[int, str, float, float]]:
    """Bar of confirmation, side, price and how much it counts, of each swing."""
    found = []
    for t in range(len(chart.close)):
        for side in ("high", "low"):
            price, weight, height = (getattr(swings, side + part)[t] for part in ("", "_weight", "_height"))
            if np.isfinite(price) and chart.unit[t] > 0:
                counts = weight * clipped(height / chart.unit[t] - 0.5)
                if counts > 0:
                    found.append((t, side, price, counts))
    return found


# --- levels -----------------------------------------------------------------------------------------------------


def test_levels(chart, swings):
    age, near, width = 240, 1.0, 0.5
    known = confirmed(chart, swings)
    out = Levels().value(chart, swings, 0, MINUTE)
    for t in some(chart):
        unit, close = chart.unit[t], chart.close[t]
        if not unit > 0:
            assert np.isnan(out.below[t])
            continue
        sides = {"below": 0.0, "above": 0.0}
        named = {"below": [], "above": []}
        for k, (s, _, price, counts) in enumerate(known):
            if not t - age < s <= t:
                continue
            strength = counts
            for i, (r, _, other, others) in enumerate(known):
                if i < k and r > s - age:
                    overlap = 1.0 - abs(other - price) / (width * chart.unit[s])
                    strength += max(overlap, 0.0) * others * (1.0 - (s - r) / age)
                elif i > k and r <= t:
                    strength += max(1.0 - abs(other - price) / (width * chart.unit[r]), 0.0) * others
            fresh = 1.0 - (t - s) / age
            u = abs(close - price) / (near * unit) / sqrt(3)
            side = "below" if price < close else "above"
            sides[side] += counts * fresh * 16 / (3 * sqrt(3)) * u / (1 + u * u) ** 2
            if strength * fresh >= 0.5 and price != close:
                named[side].append((abs(close - price), price, strength * fresh))
        assert (out.below[t], out.above[t]) == pytest.approx((sides["below"], sides["above"]), abs=1e-9), t
        for side, price, strength in (
            ("below", out.support[t], out.support_strength[t]),
            ("above", out.resistance[t], out.resistance_strength[t]),
        ):
            nearest = min(named[side], default=None)
            if nearest is None:
                assert np.isnan(price)
            else:
                same = [worth for _, level, worth in named[side] if level == nearest[1]]
                assert price == nearest[1]
                assert any(strength == pytest.approx(worth) for worth in same)


# --- zones ------------------------------------------------------------------------------------------------------


def block_twin(o, h, low, c, unit, s) -> tuple[float, float, float] | None:
    """Strength, bottom and top of the bullish order block that bar s makes."""
    if s < 6 or unit[s - 1] <= 0 or c[s] - o[s] <= unit[s - 1]:
        return None
    shares, given = [], 0.0
    for i in range(s - 1, s - 7, -1):  # the nearest candle takes as much as it is a falling one, the next of the rest
        share = (1.0 - given) * clipped((o[i] - c[i]) / (0.2 * unit[s - 1]))
        shares.append((share, low[i], h[i]))
        given += share
    if given == 0.0:
        return None
    bottom = sum(share * b for share, b, _ in shares) / given
    top = sum(share * b for share, _, b in shares) / given
    strength = clipped((c[s] - o[s]) / unit[s - 1] - 1.0) * clipped((c[s] - top) / (0.25 * unit[s - 1])) * given
    return strength, bottom, top


def gap_twin(o, h, low, c, unit, s) -> tuple[float, float, float] | None:
    """Strength, bottom and top of the bullish gap that bar s completes."""
    if s < 2 or unit[s - 2] <= 0 or low[s] <= h[s - 2]:
        return None
    x = (low[s] - h[s - 2]) / unit[s - 2]
    return x * x / (0.25 + x * x), h[s - 2], low[s]


@pytest.mark.parametrize(("feature", "twin", "age"), [(BlockZones(), block_twin, 240), (GapZones(), gap_twin, 120)])
def test_zones(chart, feature, twin, age):
    out = feature.value(chart, 0, MINUTE)
    o, h, low, c, unit, _ = chart
    made = {
        "bull": ((o, h, low, c), [twin(o, h, low, c, unit, s) for s in range(len(c))]),
        "bear": ((-o, -low, -h, -c), [twin(-o, -low, -h, -c, unit, s) for s in range(len(c))]),
    }
    assert sum(zone is not None for zone in made["bull"][1]) > 20
    for t in some(chart):
        for side, ((_, _, lows, closes), zones) in made.items():
            pull, named = 0.0, []
            for s in range(max(t - age + 1, 0), t + 1):
                if zones[s] is None:
                    continue
                strength, bottom, top = zones[s]
                edge = bottom - 0.1 * unit[s]
                reached = min(lows[s + 1 : t + 1], default=np.inf)
                worth = strength * clipped((reached - edge) / (top - edge)) * (1.0 - (t - s) / age)
                away = max(closes[t] - top, 0.0) / (2.0 * unit[t]) if unit[t] > 0 else 0.0
                pull += worth / (1.0 + away * away)
                if worth >= 0.1:
                    named.append((top, bottom, worth))
            if not unit[t] > 0:
                assert np.isnan(getattr(out, side)[t])
                continue
            assert getattr(out, side)[t] == pytest.approx(pull, abs=1e-9), (t, side)
            got = [getattr(out, f"{side}_{part}")[t] for part in ("top", "bottom", "strength")]
            if not named:
                assert np.isnan(got).all(), (t, side)
                continue
            sign = 1.0 if side == "bull" else -1.0
            here = (sign * got[0], sign * got[1]) if side == "bull" else (sign * got[1], sign * got[0])
            best = max(named)
            assert here[0] == pytest.approx(best[0])
            assert any((here[1], got[2]) == pytest.approx(zone[1:]) for zone in named if zone[0] == best[0])


# --- market structure -------------------------------------------------------------------------------------------


class Analyst:
    """Follows a chart bar by bar with pencil and eraser, in real prices."""

    def __init__(self, chart: CandleBars, swings: Pivots) -> None:
        self.chart, self.swings = chart, swings
        self.highs: list[float] = []  # the swing high before, the last one
        self.lows: list[float] = []
        self.high_seen = self.low_seen = None
        self.high_whole = self.low_whole = False  # not broken yet
        self.dip = self.rally = None  # lowest low since the last swing high was made, highest high since the last low
        self.leg_high, self.leg_low = -np.inf, np.inf
        self.trend, self.protected, self.level, self.broke_at, self.conviction = 0, None, None, None, 0.0

    def note(self, t: int, side: str) -> None:
        price, weight, height = (getattr(self.swings, side + part)[t] for part in ("", "_weight", "_height"))
        unit = self.chart.unit[t]
        if np.isnan(price) or unit <= 0:
            return
        weight *= clipped(height / unit - 0.5)
        pair = self.highs if side == "high" else self.lows
        if weight > 0:
            if not pair:
                pair += [price, price]
            pair[0] += weight * (pair[1] - pair[0])
            pair[1] += weight * (price - pair[1])
            setattr(self, f"{side}_seen", t)
        if weight >= 0.5:
            since = slice(max(t - 5, 0), t + 1)
            if side == "high":
                self.high_whole, self.dip = True, self.chart.low[since].min()
            else:
                self.low_whole, self.rally = True, self.chart.high[since].max()

    def watched(self, t: int) -> tuple[float | None, float | None]:
        """Levels whose breach upward and downward would matter now."""
        guarded = self.trend != 0 and t - self.broke_at < 24
        up = self.protected if guarded and self.trend < 0 else (self.highs[1] if self.high_whole else None)
        down = self.protected if guarded and self.trend > 0 else (self.lows[1] if self.low_whole else None)
        return up, down

    def step(self, t: int) -> tuple[float, float, float]:
        """Conviction, event code and sequence after bar t."""
        high, low, close, unit = (getattr(self.chart, n)[t] for n in ("high", "low", "close", "unit"))
        self.leg_high, self.leg_low = max(self.leg_high, high), min(self.leg_low, low)
        self.dip = low if self.dip is None else min(self.dip, low)
        self.rally = high if self.rally is None else max(self.rally, high)
        self.note(t, "high")
        self.note(t, "low")
        lost = 0.0
        if self.trend and unit > 0:
            lost = clipped(self.trend * (self.level - close) / unit)
        self.conviction *= 1.0 - (1.0 + 4.0 * lost) * 4.0 / 240
        event = 0.0
        up, down = self.watched(t)
        if unit > 0 and up is not None and close > up:
            beyond = clipped((close - up) / (0.25 * unit))
            self.conviction = max(self.conviction, 2 * beyond - 1)
            if beyond == 1.0:
                event = 1.0 if self.trend > 0 else 2.0
                self.protected = self.dip if self.trend > 0 else self.leg_low
                self.turn(t, 1, up)
        elif unit > 0 and down is not None and close < down:
            beyond = clipped((down - close) / (0.25 * unit))
            self.conviction = min(self.conviction, 1 - 2 * beyond)
            if beyond == 1.0:
                event = -1.0 if self.trend < 0 else -2.0
                self.protected = self.rally if self.trend < 0 else self.leg_high
                self.turn(t, -1, down)
        if self.trend and unit > 0:
            beyond = clipped(self.trend * (close - self.level) / (0.25 * unit))
            worth = 2 * beyond * max(1 - (t - self.broke_at) / 240, 0.0) - 1
            self.conviction = self.trend * max(self.trend * self.conviction, worth)
        return self.conviction, event, self.sequence(t, unit)

    def turn(self, t: int, trend: int, level: float) -> None:
        self.trend, self.level, self.broke_at = trend, level, t
        if trend > 0:
            self.high_whole = False
        else:
            self.low_whole = False
        self.leg_high, self.leg_low = self.chart.high[t], self.chart.low[t]

    def sequence(self, t: int, unit: float) -> float:
        total = 0.0
        for pair, seen in ((self.highs, self.high_seen), (self.lows, self.low_seen)):
            if pair and unit > 0 and t - seen < 240:
                x = (pair[1] - pair[0]) / (1.5 * unit)
                total += (1 - (t - seen) / 240) * x / sqrt(1 + x * x)
        return total / 2


def test_market_structure(chart, swings):
    state = Structure().value(chart, swings, 0)
    analyst = Analyst(chart, swings)
    breaks = 0
    for t in range(len(chart.close)):
        conviction, event, sequence = analyst.step(t)
        if chart.unit[t] > 0:
            assert state.event[t] == event, t
            assert state.conviction[t] == pytest.approx(conviction, abs=1e-9), t
            assert state.sequence[t] == pytest.approx(sequence, abs=1e-9), t
            assert state.trend[t] == analyst.trend
            if analyst.trend:
                assert state.protected[t] == pytest.approx(analyst.protected)
        breaks += event != 0
    assert breaks > 20


# --- range and trend --------------------------------------------------------------------------------------------


def test_range_analysis(chart):
    value = RangeAnalysis().value(chart, 0)
    for t in some(chart):
        unit, close = chart.unit[t], chart.close[t]
        if t < 119 or not unit > 0:
            assert np.isnan(value[t])
            continue
        ceiling, floor = chart.high[t - 119 : t - 23].max(), chart.low[t - 119 : t - 23].min()
        over = max(0.0, *((1 - k / 24) * (chart.high[t - k] - ceiling) for k in range(24)))
        under = max(0.0, *((1 - k / 24) * (floor - chart.low[t - k]) for k in range(24)))
        upthrust = over / (over + unit / 2) * clipped((ceiling - close) / (unit / 2))
        spring = under / (under + unit / 2) * clipped((close - floor) / (unit / 2))
        place = (close - (ceiling + floor) / 2) / ((ceiling - floor) / 2 + 0.05 * unit)
        assert value[t] == pytest.approx(place / sqrt(1 + place**2) + spring - upthrust, abs=1e-9), t


def test_trend_position(chart):
    close = pd.Series(chart.close)
    lines = [close] + [close.ewm(span=n, adjust=False).mean() for n in (10, 20, 50, 100, 200)]
    total = 0.0
    for k, n in enumerate((10, 20, 50, 100, 200), start=1):
        usual = 0.3 * np.sqrt(n) * chart.unit
        for faster in {0, k - 1}:
            away = lines[faster] - lines[k]
            with np.errstate(invalid="ignore"):
                total = total + away / np.sqrt(usual**2 + away**2)
    expected = np.where(chart.unit > 0, total / 9, np.nan)
    np.testing.assert_allclose(TrendPosition().value(chart, 0), expected, atol=1e-9)


# --- the machine forgets where it was started -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", *REAL])
def test_none_of_10_000_starts_of_market_structure_is_felt_after_its_memory(request, name):
    chart = drawn(request, name, 25_000)
    swings = Swings().value(chart, 0)
    feature = Structure()
    memory = feature.memory(MINUTE)
    whole = feature.value(chart, swings, 0)
    felt = 0
    for s in np.random.default_rng(4).integers(1_000, len(chart.close) - memory, 10_000):
        part = slice(s, s + memory)
        late = feature.value(CandleBars(*(x[part] for x in chart)), Pivots(*(x[part] for x in swings)), memory - 1)
        for field in ("conviction", "sequence"):
            a, b = getattr(late, field)[-1], getattr(whole, field)[s + memory - 1]
            felt += not (abs(a - b) <= 1e-8 or (np.isnan(a) and np.isnan(b)))
    assert felt == 0


@pytest.mark.parametrize("wanted", [1, 119, 500, 1_200, 1_469])
def test_skipping_what_lies_before_the_first_wanted_bar_changes_no_bit(chart, swings, wanted):
    for run in (
        lambda w: Swings().value(chart, w),
        lambda w: Levels().value(chart, swings, w, MINUTE),
        lambda w: BlockZones().value(chart, w, MINUTE),
        lambda w: GapZones().value(chart, w, MINUTE),
        lambda w: Structure().value(chart, swings, w),
        lambda w: (TrendPosition().value(chart, w),),
        lambda w: (RangeAnalysis().value(chart, w),),
    ):
        for all_of_it, from_wanted in zip(run(0), run(wanted), strict=True):
            np.testing.assert_array_equal(all_of_it[wanted:], from_wanted[wanted:])
