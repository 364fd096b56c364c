"""The volume face against TA-Lib, published series, hand-calculated tables and slow Python twins.

Where a component departs from the textbook (a tenth of the mean true range in a denominator) its kernel must equal
the textbook with nothing added. What has no textbook has a twin, written from the definition without a clever loop.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import talib

from tests.builders import columns
from tests.oracles.tables import agree, by_hand, published, quotes
from virtuoso.clock import Timeframe
from virtuoso.prism.faces.volume import ADL, CMF, OBV, RelativeVolume, VolumeDelta, balance_steps
from virtuoso.prism.features.flow import MoneyFlow, money_flow
from virtuoso.prism.features.profile import ValueArea
from virtuoso.prism.features.seasonality import Usual, UsualVolume
from virtuoso.prism.features.session import SessionVWAP
from virtuoso.prism.features.volatility import MeanRange, mean_range
from virtuoso.prism.features.windows import slope_weights, steps, weighted, wsum
from virtuoso.prism.scale import ratio

MINUTE, HOUR, FOUR_HOURS = Timeframe("1m"), Timeframe("1h"), Timeframe("4h")
MIDNIGHT = 1_440 * 18_264


@pytest.fixture(scope="module")
def made():
    """A made-up market without dead minutes."""
    return columns(seed=5, bars=3_000, flats=False)


@pytest.fixture(scope="module")
def spy(real_data):
    """502 daily bars of SPY, 2017 and 2018."""
    return quotes(real_data)


def prices(table, *names):
    return [table[name] for name in names or ("high", "low", "close", "volume")]


class TestAccumulationDistribution:
    def test_steps_without_floor_are_the_published_ones(self, spy, real_data):
        agree(money_flow(*prices(spy), 0.0), published(real_data, "adl", "moneyFlowVolume"))

    def test_line_without_floor_is_the_hand_calculated_one(self, spy, real_data):
        agree(np.cumsum(money_flow(*prices(spy), 0.0)), by_hand(real_data, "Adl", "adl"))

    def test_line_without_floor_is_that_of_talib(self, made):
        agree(np.cumsum(money_flow(*prices(made), 0.0)), talib.AD(*prices(made)))

    def test_component_is_the_regression_slope_of_line_and_price_against_their_history(self, made):
        """The twin fits a line to each path and scores it with pandas."""
        unit = mean_range(*prices(made, "high", "low", "close"), 14, 0)
        flow = MoneyFlow().value(*prices(made), unit)

        def slopes(change):
            paths = [np.concatenate(([0.0], np.cumsum(change[t - 29 : t + 1]))) for t in range(29, len(change))]
            fits = [np.polyfit(np.arange(31), path, 1)[0] for path in paths]
            return pd.Series([np.nan] * 29 + fits)

        def deviations(x):
            window = x.rolling(200)
            return (x - window.mean()) / np.sqrt(window.var(ddof=0) + 0.01 * (x * x).rolling(200).mean())

        expected = deviations(slopes(flow)) - 0.5 * deviations(slopes(steps(made["close"])))
        agree(ADL().value(made["close"], flow, 7), expected.to_numpy(), relative=1e-7)


class TestCMF:
    def test_without_floor_is_the_published_one(self, spy, real_data):
        flow = money_flow(*prices(spy), 0.0)
        ours = CMF().value(spy["volume"], flow, np.ones(len(flow)), 0)
        agree(ours, published(real_data, "cmf", "cmf"))
        agree(ours, by_hand(real_data, "Cmf", "cmf"))

    def test_tells_the_textbook_story(self, made):
        unit = mean_range(*prices(made, "high", "low", "close"), 14, 0)
        ours = CMF().value(made["volume"], MoneyFlow().value(*prices(made), unit), unit, 0)
        textbook = CMF().value(made["volume"], money_flow(*prices(made), 0.0), unit, 0)
        both = np.isfinite(ours) & np.isfinite(textbook)
        assert np.corrcoef(ours[both], textbook[both])[0, 1] > 0.98


class TestOBV:
    def test_steps_without_floor_are_the_published_ones(self, spy, real_data):
        ours = balance_steps(spy["close"], spy["volume"], 0.0)
        agree(np.cumsum(ours[1:]), published(real_data, "obv", "obv")[1:])
        agree(np.cumsum(ours[1:]), by_hand(real_data, "Obv", "obv")[1:])

    def test_steps_without_floor_are_those_of_talib(self, made):
        agree(
            balance_steps(made["close"], made["volume"], 0.0)[1:], np.diff(talib.OBV(*prices(made, "close", "volume")))
        )

    def test_component_tells_the_story_of_talibs_line(self, made):
        unit = mean_range(*prices(made, "high", "low", "close"), 14, 0)
        ours = OBV().value(made["close"], made["volume"], unit, 0)
        line = pd.Series(talib.LINEARREG_SLOPE(talib.OBV(*prices(made, "close", "volume")), 21))
        textbook = ((line - line.rolling(200).mean()) / line.rolling(200).std()).to_numpy()
        both = np.isfinite(ours) & np.isfinite(textbook)
        assert np.corrcoef(ours[both], textbook[both])[0, 1] > 0.95

    def test_regression_slope_is_that_of_talib(self, made):
        path = np.cumsum(made["volume"])
        agree(weighted(steps(path), slope_weights(20)), talib.LINEARREG_SLOPE(path, 21), relative=1e-8)


class TestVolumeDelta:
    def test_is_its_pandas_twin(self, made):
        volume, bought = pd.Series(made["volume"]), pd.Series(made["taker_buy_volume"])
        share = (2.0 * bought - volume).rolling(20).sum() / volume.rolling(20).sum()
        window = share.rolling(240)
        spread = np.sqrt(window.var(ddof=0) + 0.01 * (share * share).rolling(240).mean())
        expected = ((share - window.mean()) / spread).to_numpy()
        agree(VolumeDelta().value(made["volume"], made["taker_buy_volume"], 3), expected, relative=1e-7)


class TestSessionVWAP:
    def test_of_the_first_session_is_the_hand_calculated_one(self, real_data):
        bars = quotes(real_data, "intraday")
        vwap, _ = SessionVWAP().value(*prices(bars), MIDNIGHT, MINUTE)
        agree(vwap[:1_440], by_hand(real_data, "Vwap", "VWAP")[:1_440])

    @pytest.mark.parametrize(("timeframe", "length", "first"), [(MINUTE, 1_440, MIDNIGHT + 1_000), (FOUR_HOURS, 42, 5)])
    def test_is_its_slow_twin(self, made, timeframe, length, first):
        """Days from midnight, weeks from Monday: 1970-01-05 was the first, 24 bars of 4h after the epoch."""
        vwap, deviation = SessionVWAP().value(*prices(made), first, timeframe)
        offset = 24 if timeframe == FOUR_HOURS else 0
        typical = (made["high"] + made["low"] + made["close"]) / 3.0
        places = np.arange(1_500 if timeframe == MINUTE else 43, 3_000, 31)
        means, deviations = [], []
        for t in places:
            session = slice(t - (first + t - offset) % length, t + 1)
            mean = np.average(typical[session], weights=made["volume"][session])
            means.append(mean)
            deviations.append(np.sqrt(np.average((typical[session] - mean) ** 2, weights=made["volume"][session])))
        agree(vwap[places], np.array(means), least=40)
        agree(deviation[places], np.array(deviations), relative=1e-7, least=40)


class TestUsualVolume:
    @pytest.mark.parametrize(("timeframe", "day"), [(HOUR, 24), (FOUR_HOURS, 6)])
    def test_is_the_median_of_the_same_bars_of_a_week_and_those_beside_them(self, timeframe, day):
        volume = np.random.default_rng(2).gamma(2.0, 5.0, 1_200)
        volume[700:720] = np.nan
        this, following = UsualVolume().value(volume, timeframe)
        for t in range(680, 1_199, 13):
            past = [volume[t - day * k + d] for k in range(1, 8) for d in (-1, 0, 1)]
            assert this[t] == pytest.approx(np.nanmedian(past)) or np.isnan(past).mean() > 0.5
            assert following[t - 1] == this[t] or np.isnan(this[t])

    def test_of_days_is_the_median_of_the_days_before(self):
        volume = np.random.default_rng(2).gamma(2.0, 5.0, 400)
        this, _ = UsualVolume().value(volume, Timeframe("1d"))
        assert this[399] == pytest.approx(np.median(volume[392:399]))


class TestRelativeVolume:
    def test_is_volume_over_its_usual_times_body_and_close_location(self, made):
        bars = {name: made[name][:600] for name in ("open", "high", "low", "close", "volume")}
        unit = mean_range(*prices(bars, "high", "low", "close"), 14, 0)
        usual = Usual(np.full(600, 300.0), np.full(600, 480.0))
        ours = RelativeVolume().value(*prices(bars, "open", "high", "low", "close", "volume"), usual, unit, 7, MINUTE)
        for t in range(20, 600, 7):
            o, h, lo, c, v = (bars[name][t] for name in ("open", "high", "low", "close", "volume"))
            expected = 300.0 if (7 + t + 1) % 60 == 0 else 480.0
            side = ((c - o) + (2 * c - h - lo)) / 2 / (h - lo + 0.1 * unit[t])
            times = v / (expected / 60)
            assert ours[t] == pytest.approx(times / np.sqrt(1 + (times / 5) ** 2) * side)


class TestValueArea:
    """The twin asks for every price how much was traded below it, box by box, and searches by halving."""

    @staticmethod
    def twin(high, low, volume, t):
        boxes = []
        for i in range(t - 95, t + 1):
            smear = 0.25 * np.mean(high[i - 13 : i + 1] - low[i - 13 : i + 1])
            boxes.append((low[i] - smear, high[i] + smear, volume[i]))
        edges = sorted({edge for a, b, _ in boxes for edge in (a, b)})
        span = edges[-1] - edges[0]
        heights = []
        for a, b in pairwise(edges):
            middle = (a + b) / 2
            height = sum(v / (top - bottom) for bottom, top, v in boxes if bottom < middle < top)
            heights.append(height * min((b - a) / (0.001 * span), 1.0))
        total = sum(v for _, _, v in boxes)
        boxes.append((edges[0], edges[-1], 0.001 * total))  # a little everywhere

        def below(price):
            return sum(v * min(max((price - a) / (b - a), 0.0), 1.0) for a, b, v in boxes)

        steps = [
            (max(h / max(heights) - 0.98, 0.0) * (b - a), a, b)
            for h, (a, b) in zip(heights, pairwise(edges), strict=True)
        ]
        control = sum(w * (a + b) / 2 for w, a, b in steps) / sum(w for w, _, _ in steps)
        held = sum(w * (below(a) + below(b)) / 2 for w, a, b in steps if w > 0.0) / sum(w for w, _, _ in steps)

        def price_of(share):
            a, b = edges[0], edges[-1]
            for _ in range(60):
                middle = (a + b) / 2
                a, b = (middle, b) if below(middle) < share else (a, middle)
            return a

        total = sum(v for _, _, v in boxes)
        start = held - min(held, max(0.35 * total, 0.70 * total - (total - held)))
        return control, price_of(start), price_of(start + 0.70 * total)

    def test_is_its_slow_twin(self, made):
        places = np.arange(150, 3_000, 301)
        levels = ValueArea().value(*prices(made, "high", "low", "volume"), 17, 0)
        expected = np.array([self.twin(*prices(made, "high", "low", "volume"), t) for t in places]).T
        for ours, theirs in zip(levels, expected, strict=True):
            np.testing.assert_allclose(ours[places], theirs, rtol=1e-9)

    def test_is_its_slow_twin_on_real_bars(self, real_data):
        table = pd.read_parquet(real_data / "ohlcv" / "binance_um_5m_6sym_20250704_20251031.parquet")
        bars = {
            n: table.loc[table["symbol"] == "BTCUSDT", n].to_numpy()[28_000:29_200] for n in ("high", "low", "volume")
        }
        places = np.array([400, 700, 1_000, 1_199])
        levels = ValueArea().value(*prices(bars, "high", "low", "volume"), 28_000, 300)
        expected = np.array([self.twin(*prices(bars, "high", "low", "volume"), t) for t in places]).T
        for ours, theirs in zip(levels, expected, strict=True):
            np.testing.assert_allclose(ours[places], theirs, rtol=1e-9)


def test_mean_range_is_a_plain_mean_of_talibs_true_range(made):
    bars = prices(made, "high", "low", "close")
    expected = talib.SMA(talib.TRANGE(*bars), 14)
    agree(MeanRange().value(*bars, 5)[14:], expected[14:])
    assert np.isnan(MeanRange().value(*bars, 5)[:14]).all()


def test_windowed_sums_are_those_of_pandas(made):
    agree(wsum(made["volume"], 20, 11), pd.Series(made["volume"]).rolling(20).sum().to_numpy())
    assert np.isnan(ratio(np.ones(3), np.zeros(3))).all()
