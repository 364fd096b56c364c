"""The sentiment face against textbook semivariances, tables by hand, and pandas twins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.builders import columns, light
from tests.oracles.tables import agree
from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import NEUTRAL_FUNDING
from virtuoso.prism.faces.sentiment import Liquidations, Volatility
from virtuoso.prism.features.derivatives.activity import Activity, PositionMoves
from virtuoso.prism.features.derivatives.crowd import (
    Crowded,
    CrowdLean,
    FundingExtreme,
    FundingLevel,
    Leverage,
    Shares,
    UsualFunding,
    UsualShares,
    extremity,
)

HOUR, FIVE, EIGHT_HOURS = Timeframe("1h"), Timeframe("5m"), Timeframe("8h")
BARS = 1_500


@pytest.fixture(scope="module")
def made():
    """A made-up market without dead bars, with positions."""
    bars = columns(seed=6, bars=BARS, flats=False)
    return bars | light(6, bars)


def squash(x):
    return x / np.sqrt(1.0 + x * x)


class TestFunding:
    def test_level_is_that_of_pandas(self):
        rate = pd.Series(0.0001 + 0.0001 * np.random.default_rng(2).standard_normal(400))
        mean, spread, away = UsualFunding().value(rate.to_numpy(), 5, EIGHT_HOURS)
        agree(mean, rate.rolling(63).mean().to_numpy())
        agree(spread, rate.rolling(63).std(ddof=0).to_numpy(), relative=1e-7)
        agree(away, (rate - 0.0001).abs().rolling(63).mean().to_numpy())

    def test_extremity_by_hand(self):
        """A rate of 0.03 % in a market of 0.02 +/- 0.01 %, usually 0.01 % from neutral: one deviation, told in full."""
        level = FundingLevel(np.array([0.0002]), np.array([0.0001]), np.array([0.0001]))
        assert extremity(np.array([0.0003]), level)[0] == pytest.approx(1.0, abs=0.02)
        assert extremity(np.array([NEUTRAL_FUNDING]), level)[0] == 0.0
        half = extremity(np.array([NEUTRAL_FUNDING - 0.00001]), level)[0]  # a tenth of the usual distance: told to 0.71
        assert half == pytest.approx(-1.1 / 1.01 * np.sqrt(0.5), rel=0.02)

    def test_of_the_mirrored_rate_is_the_opposite(self):
        rate = 0.0001 + 0.0001 * np.random.default_rng(3).standard_normal(200)
        here, there = (
            FundingExtreme().value(r, UsualFunding().value(r, 0, EIGHT_HOURS)) for r in (rate, 0.0002 - rate)
        )
        agree(here, -there)


class TestLiquidations:
    def test_is_its_slow_twin(self, made):
        found = Liquidations().value(
            made["close"], made["volume"], made["long_liquidations"], made["short_liquidations"], 9
        )
        net = (made["short_liquidations"] - made["long_liquidations"]) / made["close"]
        gross = (made["short_liquidations"] + made["long_liquidations"]) / made["close"]
        for t in range(60, BARS, 37):
            running = sum((5 - k) / 15 * net[t - k] for k in range(5))
            spent = sum((30 - k) / 465 * net[t - k] for k in range(30))
            usual = gross[t - 59 : t + 1].mean() + 0.002 * made["volume"][t - 59 : t + 1].mean()
            assert found[t] == pytest.approx((running - 0.75 * spent) / usual)


class TestLongShortRatio:
    def test_usual_shares_are_those_of_pandas(self, made):
        ratios = [made[f"{name}_ratio"] for name in ("accounts", "top_accounts", "top_positions")]
        found = UsualShares().value(*ratios, 5, HOUR)
        for k, ratio in enumerate(ratios):
            share = pd.Series(ratio / (1.0 + ratio))
            window = share.rolling(168, min_periods=126)
            agree(found[2 * k][168:], window.mean().to_numpy()[168:])
            spread = np.sqrt(window.var(ddof=0) + 0.005**2)
            agree(found[2 * k + 1][168:], spread.to_numpy()[168:], relative=1e-7)

    def test_by_hand(self):
        """Crowd 60 % long of a usual 50 +/- 5: two deviations; the large as usual, one of them not published."""
        usual = Shares(*(np.array([x]) for x in (0.5, 0.05, 0.5, 0.05, 0.5, 0.05)))
        found = CrowdLean().value(np.array([1.5]), np.array([1.0]), np.array([np.nan]), usual)
        assert found[0] == pytest.approx(0.6 * 2.0 / 0.8)


class TestVolatility:
    def test_is_upside_minus_downside_semivariance_over_both(self, made):
        """Barndorff-Nielsen, Kinnebrock and Shephard (2010): sums of squared rises and of squared falls."""
        unit = np.full(BARS, 0.01)
        found = Volatility().value(made["close"], unit, 3)
        for t in range(100, BARS, 41):
            step = np.diff(made["close"][t - 96 : t + 1])
            up, down = (step[step > 0] ** 2).sum(), (step[step < 0] ** 2).sum()
            assert found[t] == pytest.approx((up - down) / (up + down + 96 * 0.001**2))

    def test_of_four_steps_by_hand(self):
        """Steps +3, -1, -1, -1: 9 up, 3 down, and a tenth of a unit of 10 a step."""
        close = np.array([10.0, 13.0, 12.0, 11.0, 10.0, 10.0])
        found = Volatility(period=5).value(close, np.full(6, 10.0), 0)
        assert found[-1] == pytest.approx((9.0 - 3.0) / (12.0 + 5 * 1.0))


class TestMarketActivity:
    def test_is_direction_times_how_much_money_joined(self, made):
        moves = PositionMoves(period=36, history=216).value(
            made["close"], made["volume"], made["open_interest"], 0, FIVE
        )
        busy = squash(2.0 * (moves.turnover - 1.0))
        expected = squash(moves.price) * (0.55 + 0.45 * (squash(moves.interest) + busy) / 2.0)
        agree(Activity().value(moves), expected)


class TestRisk:
    def test_leverage_is_its_pandas_twin(self, made):
        found = Leverage().value(made["volume"], made["open_interest"], made["funding_rate"], 0, HOUR)
        days = pd.Series(made["open_interest"]) / pd.Series(made["volume"]).rolling(24, min_periods=18).mean()
        window = days.rolling(168, min_periods=126)
        spread = np.sqrt(window.var(ddof=0) + 0.0025 * (days * days).rolling(168, min_periods=126).mean())
        agree(found.leverage[192:], ((days - window.mean()) / spread).to_numpy()[192:], relative=1e-7)
        agree(found.paid, pd.Series(made["funding_rate"]).rolling(24).mean().to_numpy())

    def test_is_the_side_that_pays_times_its_leverage(self, made):
        crowding = Leverage().value(made["volume"], made["open_interest"], made["funding_rate"], 0, HOUR)
        usual = UsualFunding().value(made["funding_rate"], 0, EIGHT_HOURS)
        expected = squash(extremity(crowding.paid, usual)) * (0.55 + 0.45 * squash(crowding.leverage))
        agree(Crowded().value(crowding, usual), expected)
