"""Metrics: what a history of equity and trades amounts to."""

import numpy as np
import pytest

from virtuoso.account import metrics
from virtuoso.account.records import OPEN, STOP, TARGET, TRADE

NAN = float("nan")
MIXED = np.array([NAN, 1, 10, -4, 2, 3, 2, 1, -10]) / 100  # empyrical's own test series
RISING = np.array([1, 2, 1, 1, 1, 1, 1, 1, 1]) / 100
FALLING = np.array([0, -6, -7, -1, -9, -2, -6, -8, -5]) / 100


def grown(returns, cash=1.0):
    return cash * np.cumprod(1.0 + np.nan_to_num(np.asarray(returns, dtype=float)))


def trades(*pnl, reason=STOP):
    made = np.zeros(len(pnl), dtype=TRADE)
    made["pnl"], made["reason"], made["risk"] = pnl, reason, 10.0
    return made


class TestAgainstThePublishedNumbers:
    """The reference series of empyrical's test suite, annualised by 252 as it is there."""

    @pytest.mark.parametrize(
        ("returns", "expected"),
        [(MIXED, 1.7238613961706866), (RISING, 52.915026221291804), (FALLING, -24.406808633910085)],
    )
    def test_sharpe(self, returns, expected):
        assert metrics.sharpe(returns, 252) == pytest.approx(expected, rel=1e-12)

    def test_sortino(self):
        assert metrics.sortino(MIXED, 252) == pytest.approx(2.605531251673693, rel=1e-12)

    def test_calmar(self):
        equity = grown(MIXED)
        yearly = metrics.cagr(metrics.total_return(equity, 1.0), len(MIXED) / 252)
        assert metrics.calmar(yearly, metrics.max_drawdown(equity, 1.0)) == pytest.approx(19.135925373194233, rel=1e-9)

    def test_the_deepest_drawdown(self):
        assert metrics.max_drawdown(grown(MIXED), 1.0) == pytest.approx(-0.10, abs=1e-12)

    def test_a_loss_on_the_first_bar_is_a_drawdown(self):
        assert metrics.max_drawdown(grown([-0.10, 0.05]), 1.0) == pytest.approx(-0.10, abs=1e-15)

    def test_sharpe_above_a_benchmark(self):
        """The series of pypbo's own tests, not annualised."""
        returns = np.array([0.259, 0.198, 0.364, -0.081, 0.057, 0.055, 0.188, 0.317, 0.24, 0.184, -0.01, 0.526])
        assert metrics.sharpe(returns - 0.05, 1) == pytest.approx(0.834364, abs=1e-6)


class TestAgainstOtherImplementations:
    """empyrical-reloaded and vectorbt on random returns, with a year of 365 days."""

    @pytest.fixture(params=[0, 1, 2])
    def returns(self, request):
        return np.random.default_rng(request.param).standard_t(4, 700) * 0.02 + 0.0005

    def test_empyrical(self, returns):
        import empyrical

        equity = grown(returns)
        assert metrics.sharpe(returns, 365) == pytest.approx(
            empyrical.sharpe_ratio(returns, annualization=365), rel=1e-10
        )
        assert metrics.sortino(returns, 365) == pytest.approx(
            empyrical.sortino_ratio(returns, annualization=365), rel=1e-10
        )
        yearly = metrics.cagr(metrics.total_return(equity, 1.0), len(returns) / 365)
        assert yearly == pytest.approx(empyrical.annual_return(returns, annualization=365), rel=1e-10)
        deepest = metrics.max_drawdown(equity, 1.0)
        assert deepest == pytest.approx(empyrical.max_drawdown(returns), rel=1e-10)
        assert metrics.calmar(yearly, deepest) == pytest.approx(
            empyrical.calmar_ratio(returns, annualization=365), rel=1e-10
        )
        assert metrics.volatility(returns, 365) == pytest.approx(
            empyrical.annual_volatility(returns, annualization=365), rel=1e-10
        )

    def test_vectorbt(self, returns):
        import pandas as pd
        import vectorbt  # noqa: F401  # registers the accessor

        index = pd.date_range("2020-01-01", periods=len(returns), freq="1D")
        theirs = pd.Series(returns, index).vbt.returns(freq="1D", year_freq="365 days")
        assert metrics.sharpe(returns, 365) == pytest.approx(theirs.sharpe_ratio(), rel=1e-10)
        assert metrics.sortino(returns, 365) == pytest.approx(theirs.sortino_ratio(), rel=1e-10)
        assert metrics.volatility(returns, 365) == pytest.approx(theirs.annualized_volatility(), rel=1e-10)
        growth = metrics.total_return(grown(returns), 1.0)
        assert metrics.cagr(growth, len(returns) / 365) == pytest.approx(theirs.annualized(), rel=1e-10)


class TestNotTestable:
    """NaN says that nothing can be said; 0 and infinity would be claims."""

    @pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0]])
    def test_a_ratio_of_nothing(self, returns):
        assert np.isnan(metrics.sharpe(np.array(returns), 365))
        assert np.isnan(metrics.sortino(np.array(returns), 365))

    def test_sortino_without_a_loss(self):
        assert np.isnan(metrics.sortino(RISING, 365))

    def test_calmar_without_a_drawdown(self):
        assert np.isnan(metrics.calmar(0.5, 0.0))

    @pytest.mark.parametrize("pnl", [[], [5.0]])
    def test_E48_no_trade_and_one_trade(self, pnl):
        found = metrics.trade_metrics(trades(*pnl))
        assert found["trades"] == len(pnl)
        for name in ("win_rate", "profit_factor", "expectancy", "mean_r"):
            assert np.isnan(found[name]), name

    @pytest.mark.parametrize("n", [0, 1])
    def test_E48_an_account_that_hardly_traded_has_no_sharpe(self, n):
        judged = metrics.judged({"trades": n, "sharpe": 3.0, "calmar": 2.0, "total_return": 0.1})
        assert np.isnan(judged["sharpe"])
        assert np.isnan(judged["calmar"])
        assert judged["total_return"] == 0.1

    def test_profit_factor_without_a_loss(self):
        assert np.isnan(metrics.profit_factor(np.array([1.0, 2.0])))

    def test_a_lucky_week_is_not_annualised(self):
        closes = np.arange(1, 7 * 24 + 1) * 3_600_000
        found = metrics.account_metrics(closes, np.linspace(101.0, 110.0, len(closes)), 100.0, 0)
        assert found["total_return"] == pytest.approx(0.10)
        assert np.isnan(found["cagr"])
        assert np.isnan(found["sharpe"])


class TestTrades:
    """Closed trades are judged; an open one is only counted."""

    def test_win_rate_profit_factor_expectancy(self):
        found = metrics.trade_metrics(trades(30.0, -10.0, 20.0, -10.0))
        assert found["win_rate"] == 0.5
        assert found["profit_factor"] == 2.5
        assert found["expectancy"] == 7.5
        assert found["mean_r"] == 0.75

    def test_an_open_trade_is_not_judged(self):
        made = trades(30.0, -10.0, 1_000.0, reason=TARGET)
        made["reason"][-1] = OPEN
        found = metrics.trade_metrics(made)
        assert (found["trades"], found["open_trades"], found["expectancy"]) == (2, 1, 10.0)

    def test_a_trade_without_a_stop_has_no_r(self):
        multiples = metrics.r_multiples(np.array([5.0, 5.0]), np.array([NAN, 2.5]))
        assert np.isnan(multiples[0])
        assert multiples[1] == 2.0


class TestTheCalendar:
    """Days of 24 hours since the start, months of the calendar in UTC."""

    def test_returns_of_whole_days(self):
        closes = np.arange(1, 61) * 3_600_000  # two days and a half, hourly
        daily = metrics.daily_returns(closes, np.where(np.arange(60) < 24, 110.0, 121.0), 100.0, 0)
        assert daily == pytest.approx([0.10, 0.10])

    def test_a_day_without_a_mark_carries_the_equity_on(self):
        closes = np.array([1, 3]) * metrics.DAY_MS
        assert metrics.daily_returns(closes, np.array([110.0, 121.0]), 100.0, 0) == pytest.approx([0.10, 0.0, 0.10])

    def test_the_bar_that_closes_at_midnight_belongs_to_the_month_before(self):
        february = np.datetime64("2024-02-01", "ms").astype(np.int64)
        closes = np.array([february - 1_000, february, february + 60_000])
        found = metrics.monthly_returns(closes, np.array([100.0, 110.0, 99.0]), 100.0)
        assert list(found) == ["2024-01", "2024-02"]
        assert found["2024-01"] == pytest.approx(0.10)
        assert found["2024-02"] == pytest.approx(-0.10)

    def test_turnover_is_a_rate_per_day(self):
        assert metrics.turnover(4_000.0, np.array([1_000.0, 1_000.0]), 2.0) == 2.0
        assert np.isnan(metrics.turnover(4_000.0, np.array([]), 2.0))

    def test_exposure(self):
        assert metrics.exposure(np.array([True, False, False, True])) == 0.5


class TestTheTail:
    """Value at risk, expected shortfall, Omega, payoff and Ulcer: empyrical where it has them, else by hand."""

    @pytest.fixture(params=[0, 1, 2])
    def returns(self, request):
        return np.random.default_rng(request.param).standard_t(4, 701) * 0.02 + 0.0005

    def test_empyrical(self, returns):
        import empyrical

        assert metrics.value_at_risk(returns) == pytest.approx(empyrical.value_at_risk(returns), rel=1e-12)
        assert metrics.expected_shortfall(returns) == pytest.approx(
            empyrical.conditional_value_at_risk(returns), rel=1e-12
        )
        assert metrics.omega(returns) == pytest.approx(empyrical.omega_ratio(returns, annualization=1), rel=1e-10)

    def test_omega_by_hand(self):
        """Gains of 19 % over losses of 14 %."""
        assert metrics.omega(MIXED) == pytest.approx(19.0 / 14.0, rel=1e-12)

    def test_ulcer_by_hand(self):
        """Falls of 10/110 and 5/110 after a rise without one: the root of their mean square over four bars."""
        expected = np.sqrt(((10.0 / 110.0) ** 2 + (5.0 / 110.0) ** 2) / 4.0)
        assert metrics.ulcer(np.array([105.0, 110.0, 100.0, 105.0]), 100.0) == pytest.approx(expected, rel=1e-12)

    def test_payoff_by_hand(self):
        assert metrics.payoff(np.array([30.0, -10.0, 10.0, -30.0, 0.0])) == 1.0

    @pytest.mark.parametrize("won", [[], [True], [False, True, True, False, True], [True] * 4, [False] * 3])
    def test_the_longest_streak(self, won):
        longest = max((len(run) for run in "".join("x" if one else " " for one in won).split()), default=0)
        assert metrics.longest_streak(np.array(won, dtype=bool)) == longest

    def test_what_has_no_loss_and_no_days_is_not_testable(self):
        assert np.isnan(metrics.omega(RISING))
        assert np.isnan(metrics.payoff(np.array([1.0, 2.0])))
        assert np.isnan(metrics.value_at_risk(np.array([0.01])))
        assert np.isnan(metrics.expected_shortfall(np.array([])))

    def test_the_shortfall_is_no_better_than_the_value_at_risk(self, returns):
        assert metrics.expected_shortfall(returns) <= metrics.value_at_risk(returns) < 0.0
