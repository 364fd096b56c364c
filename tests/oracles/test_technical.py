"""The technical face against TA-Lib, published series and hand-calculated tables.

Where a component departs from the textbook (a tenth of the mean true range in a denominator) its kernel must equal
the textbook with nothing added, and the component must still tell the textbook's story.
"""

from __future__ import annotations

import numpy as np
import pytest
import talib

from tests.builders import columns
from tests.oracles.tables import agree, by_hand, published, quotes
from virtuoso.prism.faces.technical import (
    ADX,
    AO,
    CCI,
    MACD,
    RSI,
    ATRThrust,
    WilliamsR,
    awesome,
    channel_index,
    directional_index,
    williams,
)
from virtuoso.prism.features.volatility import ATR, mean_range, true_range

HLC = ("high", "low", "close")


@pytest.fixture(scope="module")
def made():
    """A made-up market without dead minutes."""
    market = columns(seed=3, bars=3_000, flats=False)
    return [market[name] for name in HLC]


@pytest.fixture(scope="module")
def spy(real_data):
    """502 daily bars of SPY, 2017 and 2018."""
    table = quotes(real_data)
    return [table[name] for name in HLC]


def telling(ours: np.ndarray, textbook: np.ndarray) -> float:
    both = np.isfinite(ours) & np.isfinite(textbook)
    return float(np.corrcoef(ours[both], textbook[both])[0, 1])


class TestRSI:
    @pytest.mark.parametrize("period", [5, 14, 21])
    def test_is_that_of_talib(self, made, period):
        agree(RSI(period=period).value(made[2], 0), talib.RSI(made[2], period))

    def test_is_the_published_one(self, spy, real_data):
        agree(RSI().value(spy[2], 0), published(real_data, "rsi", "rsi"))

    def test_is_the_hand_calculated_one(self, spy, real_data):
        agree(RSI().value(spy[2], 0), by_hand(real_data, "Rsi", "RSI(14)"))


class TestAO:
    def test_is_the_published_one(self, spy, real_data):
        agree(awesome(spy[0], spy[1], 5, 34, 0), published(real_data, "awesome", "oscillator"))

    def test_is_the_hand_calculated_one(self, spy, real_data):
        agree(awesome(spy[0], spy[1], 5, 34, 7), by_hand(real_data, "Awesome", "AO"))

    def test_is_counted_in_published_true_ranges(self, spy, real_data):
        usual = np.convolve(published(real_data, "tr", "tr")[1:], np.ones(34) / 34, "valid")
        expected = published(real_data, "awesome", "oscillator")[34:] / usual
        agree(AO().value(*spy, 0)[34:], expected)


class TestMACD:
    """TA-Lib starts both averages at the same bar, the tables each at its own: they meet after some 300 bars."""

    @pytest.mark.parametrize("source", ["published", "by hand"])
    def test_is_the_histogram_and_half_its_change_in_true_ranges(self, spy, real_data, source):
        histogram = (
            published(real_data, "macd", "histogram") if source == "published" else by_hand(real_data, "Macd", "Histo")
        )
        usual = np.convolve(published(real_data, "tr", "tr")[1:], np.ones(26) / 26, "valid")
        change = histogram[400:502] - histogram[397:499]
        expected = (histogram[400:502] + 0.5 * change) / usual[400 - 26 :]
        agree(MACD().value(*spy, 0)[400:], expected, relative=1e-8)


class TestWilliamsR:
    def test_without_floor_is_the_published_one(self, spy, real_data):
        agree(williams(*spy, 14, 0.0), published(real_data, "willr", "williamsR"))

    def test_without_floor_is_the_hand_calculated_one(self, spy, real_data):
        agree(williams(*spy, 14, 0.0), by_hand(real_data, "WilliamsR", "%R"))

    @pytest.mark.parametrize("period", [5, 14, 30])
    def test_without_floor_is_that_of_talib(self, made, period):
        agree(williams(*made, period, 0.0), talib.WILLR(*made, period))

    def test_tells_the_textbook_story(self, made):
        assert telling(WilliamsR().value(*made, 0), talib.WILLR(*made, 14)) > 0.999


class TestCCI:
    def test_without_floor_is_the_published_one(self, spy, real_data):
        agree(channel_index(*spy, 20, 0, 0.0), published(real_data, "cci", "cci"))

    @pytest.mark.parametrize("period", [5, 20, 50])
    def test_without_floor_is_that_of_talib(self, made, period):
        agree(channel_index(*made, period, 3, 0.0), talib.CCI(*made, period))

    def test_tells_the_textbook_story(self, made):
        assert telling(CCI().value(*made, 0), talib.CCI(*made, 20)) > 0.999


class TestTrueRange:
    def test_is_the_published_one(self, spy, real_data):
        agree(true_range(*spy), published(real_data, "tr", "tr"))

    def test_of_wilder_is_the_published_average(self, spy, real_data):
        agree(ATR().value(*spy), published(real_data, "atr", "atr"))

    def test_of_wilder_is_the_hand_calculated_average(self, spy, real_data):
        agree(ATR().value(*spy), by_hand(real_data, "Atr", "ATR"))

    def test_has_the_plain_mean_of_talib(self, made):
        agree(mean_range(*made, 14, 0)[14:], talib.SMA(talib.TRANGE(*made), 14)[14:])


class TestATRThrust:
    """No published series exists: a slow twin, written bar by bar from the definition."""

    @staticmethod
    def twin(high, low, close, t):
        def reach(i):
            return max(high[i], close[i - 1]) - min(low[i], close[i - 1])

        def usual(i):
            return sum(reach(j) for j in range(i - 59, i + 1)) / 60

        total = 0.0
        for i in range(t - 13, t + 1):
            step = close[i] - close[i - 1]
            side = step / (step**2 + (0.1 * usual(i)) ** 2) ** 0.5
            total += side * max(reach(i) - usual(i), 0.0)
        return total / 14 / usual(t)

    def test_is_its_slow_twin(self, made):
        ours = ATRThrust().value(*made, 11)
        places = np.arange(73, 3_000, 97)
        agree(ours[places], np.array([self.twin(*made, t) for t in places]), least=30)


class TestADX:
    def test_of_wilders_movements_is_the_published_one(self, spy, real_data):
        """Seeds differ, so they meet after some 300 bars."""
        rise, fall = by_hand(real_data, "Adx", "+DM1"), by_hand(real_data, "Adx", "-DM1")
        ours = directional_index(np.nan_to_num(rise), np.nan_to_num(fall), 14)
        agree(ours[400:], published(real_data, "adx", "adx")[400:], relative=1e-8)
        agree(ours[400:], by_hand(real_data, "Adx", "ADX")[400:502], relative=1e-8)

    def test_is_that_of_talib_where_no_bar_lies_outside_the_last(self):
        close = 100.0 + np.cumsum(np.random.default_rng(5).standard_normal(3_000))
        ours = ADX().value(close + 1.0, close - 1.0, 0)
        agree(ours[600:], talib.ADX(close + 1.0, close - 1.0, close, 14)[600:])

    def test_tells_the_textbook_story(self, spy):
        assert telling(ADX().value(spy[0], spy[1], 0)[100:], talib.ADX(*spy, 14)[100:]) > 0.95
