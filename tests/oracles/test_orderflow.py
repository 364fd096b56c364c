"""The orderflow face against tables by hand, Kyle's regression, and slow Python twins written from the definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.builders import columns, light
from tests.oracles.tables import agree
from virtuoso.clock import Timeframe
from virtuoso.prism.faces.orderflow import CVD, Imbalance, Liquidity, LiquidityZones, Pressure, TradeFlow, flow_bias
from virtuoso.prism.features.candles import CandleBars
from virtuoso.prism.features.derivatives.activity import PositionMoves, Quadrant, usual_size
from virtuoso.prism.features.flow import Delta
from virtuoso.prism.features.levels import LevelMap
from virtuoso.prism.features.volatility import mean_range
from virtuoso.prism.features.windows import known_mean

MINUTE, FIVE = Timeframe("1m"), Timeframe("5m")
BARS = 1_500


@pytest.fixture(scope="module")
def made():
    """A made-up market without dead minutes, with trades and open interest."""
    bars = columns(seed=5, bars=BARS, flats=False)
    return bars | light(5, bars)


def squash(x):
    return x / np.sqrt(1.0 + x * x)


class TestLean:
    def test_of_three_bars_by_hand(self):
        """Net 3, -1, 2 of volumes of 4 and weights 1/6, 2/6, 3/6: flow 7/6; squares 14 x 14/36 and (0.03 x 4)^2."""
        found = flow_bias(np.array([3.0, -1.0, 2.0]), np.full(3, 4.0), np.array([1.0, 2.0, 3.0]) / 6.0)
        assert np.isnan(found[:2]).all()
        assert found[2] == pytest.approx((7.0 / 6.0) / np.sqrt(196.0 / 36.0 + 0.0144))

    def test_is_nearly_one_where_all_bars_agree(self):
        assert flow_bias(np.full(20, 5.0), np.full(20, 5.0), np.full(20, 0.05))[-1] == pytest.approx(1.0, abs=1e-3)

    def test_of_random_sides_has_the_deviation_it_is_said_to_have(self):
        net = np.random.default_rng(3).standard_normal(20_000)
        found = flow_bias(net, np.abs(net), np.full(25, 0.04))
        assert np.nanstd(found) == pytest.approx(0.2, rel=0.05)

    def test_is_not_known_without_trades(self):
        assert np.isnan(flow_bias(np.zeros(30), np.zeros(30), np.full(10, 0.1))).all()


class TestCVD:
    def test_delta_is_what_is_bought_beyond_the_usual_share(self, made):
        volume, bought = made["volume"], made["taker_buy_volume"]
        found = Delta().value(volume, bought, 3)
        for t in range(60, BARS, 97):
            window = slice(t - 39, t + 1)
            share = bought[window].sum() / volume[window].sum()
            assert found[t] == pytest.approx(2.0 * (bought[t] - share * volume[t]), rel=1e-9, abs=1e-9)

    def test_is_the_regression_slope_of_the_cumulative_line_with_that_of_price(self, made):
        """The twin cumulates, fits both lines, and divides by what they would be if all bars agreed."""
        delta = Delta().value(made["volume"], made["taker_buy_volume"], 0)
        unit = mean_range(made["high"], made["low"], made["close"], 14, 0)
        found = CVD().value(made["close"], made["volume"], delta, unit)
        x = np.arange(21.0)
        step = (np.arange(1.0, 21.0) * np.arange(20.0, 0.0, -1.0)) / (20 * 21 * 22 / 6)
        usual = np.sqrt((step**2).sum())
        for t in range(80, BARS, 61):
            d = delta[t - 19 : t + 1]
            slope = np.polyfit(x, np.concatenate(([0.0], np.cumsum(d))), 1)[0]
            calm = 0.03 * made["volume"][t - 19 : t + 1].mean()
            flow = slope / np.sqrt(usual**2 * (d**2).sum() + calm**2)
            moved = np.polyfit(x, made["close"][t - 20 : t + 1], 1)[0] / (usual * unit[t])
            assert found[t] == pytest.approx(flow * (1.0 + 0.5 * squash(flow / usual) * squash(moved)), rel=1e-7)


class TestTradeFlow:
    def test_is_its_slow_twin(self, made):
        net = made["large_buy_volume"] - made["large_sell_volume"]
        found = TradeFlow().value(made["volume"], made["large_buy_volume"], made["large_sell_volume"])
        weights = [(i + 1) / 120 for i in range(15)]
        for t in range(20, BARS, 53):
            window = net[t - 14 : t + 1]
            size = sum(w * w for w in weights) * sum(d * d for d in window)
            calm = 0.03 * made["volume"][t - 14 : t + 1].mean()
            expected = sum(w * d for w, d in zip(weights, window, strict=True)) / np.sqrt(size + calm * calm)
            assert found[t] == pytest.approx(expected)


class TestImbalance:
    def test_of_one_stack_by_hand(self):
        """Half of this bar's ten was bought in a stack, newest weight 8/36: 5 x 8/36 over that and 0.02 x 10."""
        bought = np.zeros(8)
        bought[-1] = 5.0
        found = Imbalance().value(np.full(8, 10.0), bought, np.zeros(8))
        assert found[-1] == pytest.approx((40 / 36) / (40 / 36 + 0.2))


class TestPressure:
    """Kyle (1985): the price change is lambda times the signed volume; here each side has its own."""

    @staticmethod
    def linear(up, down, bars=400):
        random = np.random.default_rng(1)
        bought, sold = random.gamma(2.0, 5.0, bars), random.gamma(2.0, 5.0, bars)
        return bought, sold, up * bought, -down * sold

    @pytest.mark.parametrize(("up", "down"), [(0.02, 0.01), (0.01, 0.03), (0.02, 0.02)])
    def test_finds_the_lambdas_of_a_linear_market(self, up, down):
        bought, sold, buy_move, sell_move = self.linear(up, down)
        regressed = [
            float(np.linalg.lstsq(side[:, None], move, rcond=None)[0][0])
            for side, move in ((bought, buy_move), (sold, -sell_move))
        ]
        assert regressed == pytest.approx([up, down])
        still = np.full(len(bought), 1e-9)  # a unit too small to matter
        found = Pressure().value(bought + sold, bought, buy_move, sell_move, still, 0)
        expected = (up - down) / np.sqrt(up * up + down * down)
        np.testing.assert_allclose(found[20:], expected, atol=0.015)

    def test_agrees_with_the_regression_in_a_noisy_market(self):
        random = np.random.default_rng(2)
        bought, sold, buy_move, sell_move = self.linear(0.02, 0.01)
        buy_move = buy_move + 0.02 * random.standard_normal(400)
        sell_move = sell_move + 0.02 * random.standard_normal(400)
        lam_up = (buy_move @ bought) / (bought @ bought)
        lam_down = (-sell_move @ sold) / (sold @ sold)
        found = Pressure(period=200).value(bought + sold, bought, buy_move, sell_move, np.full(400, 1e-9), 0)
        assert found[-1] == pytest.approx((lam_up - lam_down) / np.hypot(lam_up, lam_down), abs=0.05)


class TestLiquidity:
    def test_is_its_pandas_twin(self, made):
        delta = Delta().value(made["volume"], made["taker_buy_volume"], 0)
        found = Liquidity().value(made["volume"], made["trades"], delta, 5)
        trades, net, volume = pd.Series(made["trades"]), pd.Series(delta), pd.Series(made["volume"])
        pace = trades.rolling(4).mean() / trades.rolling(20).mean()
        size = np.sqrt((net * net).rolling(4).sum() / 4.0 + (0.03 * volume.rolling(4).mean()) ** 2)
        agree(found, (pace * net.rolling(4).mean() / size).to_numpy(), relative=1e-9)


class TestLiquidityZones:
    def test_is_its_slow_twin(self):
        random = np.random.default_rng(4)
        n = 300
        close = 100.0 + np.cumsum(random.standard_normal(n))
        high, low = close + np.abs(random.standard_normal((2, n)))[0], close - np.abs(random.standard_normal(n))
        unit = 1.0 + 0.2 * random.random(n)
        below, above = 0.5 + random.random((2, n))
        support = np.where(random.random(n) < 0.7, close - below, np.nan)
        resistance = np.where(random.random(n) < 0.7, close + above, np.nan)
        strength = 0.5 + random.random((2, n))
        levels = LevelMap(close, close, support, strength[0], resistance, strength[1])
        candles = CandleBars(close, high, low, close, unit, np.zeros(n))
        found = LiquidityZones().value(levels, candles, 0)
        for t in range(24, n, 7):
            total = 0.0
            for i in range(t - 23, t + 1):
                for level, reached, worth, way in (
                    (support[i - 1], low[i], strength[0][i - 1], 1),
                    (resistance[i - 1], high[i], strength[1][i - 1], -1),
                ):
                    beyond = way * (level - reached)
                    if beyond > 0:
                        swept = worth * beyond / (beyond + 0.5 * unit[i])
                        swept *= min(abs(close[i - 1] - level) / (0.25 * unit[i]), 1)
                        u = (close[t] - level) / (0.75 * unit[t])
                        reclaimed = 1.0 if way * u > 0 else 0.5
                        total += (1 - (t - i) / 24) * swept * reclaimed * 2 * u / (1 + u * u)
            assert found[t] == pytest.approx(total)
        assert np.nanstd(found) > 0.1


class TestOpenInterest:
    def test_moves_are_their_pandas_twin(self, made):
        close, interest = pd.Series(made["close"]), pd.Series(made["open_interest"])
        moves = PositionMoves().value(made["close"], made["volume"], made["open_interest"], 7, FIVE)

        def usual(x):
            return x / np.sqrt((x * x).rolling(96, min_periods=72).mean())

        agree(moves.price[120:], usual(close.diff(12)).to_numpy()[120:], least=1_000)
        agree(moves.interest[120:], usual(interest.pct_change(12, fill_method=None)).to_numpy()[120:], least=900)
        volume = pd.Series(made["volume"])
        agree(moves.turnover, (volume.rolling(12).mean() / volume.rolling(96).mean()).to_numpy())

    def test_quadrant_is_direction_times_a_tenth_to_one(self, made):
        moves = PositionMoves().value(made["close"], made["volume"], made["open_interest"], 7, FIVE)
        found = Quadrant().value(moves)
        expected = squash(moves.price) * (0.55 + 0.45 * squash(moves.interest))
        agree(found, expected, least=900)


class TestMeansOfWhatIsKnown:
    def test_are_those_of_pandas(self):
        x = np.random.default_rng(6).standard_normal(500)
        x[100:115] = x[200:240] = np.nan
        series = pd.Series(x)
        for ours, theirs in (
            (known_mean(x, 40, 11), series.rolling(40, min_periods=30).mean()),
            (usual_size(x, 40, 11), np.sqrt((series * series).rolling(40, min_periods=30).mean())),
        ):
            np.testing.assert_array_equal(np.isnan(ours[40:]), theirs.isna().to_numpy()[40:])
            agree(ours[40:], theirs.to_numpy()[40:])
