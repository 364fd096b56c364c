"""What a run went through: drawdowns, rolling figures, streaks and clocks against plain loops."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.reports.run_folders import HOUR, run_folder
from virtuoso.reports.format import MINUS, number
from virtuoso.reports.history import (
    by_clock,
    closed_trades,
    drawdown_rows,
    extremes,
    minutes,
    returns_of_trades,
    rolling,
    streaks,
    trade_figures,
)
from virtuoso.runs.read import read_run
from virtuoso.runs.schema import EQUITY, TRADES

DAY = 86_400_000


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return read_run(run_folder(tmp_path_factory.mktemp("runs") / "run"))


def with_equity(run, equity, **more):
    closes = run.close_times[0] + HOUR * np.arange(len(equity))
    table = {"close_time": closes, "equity": np.asarray(equity, dtype=np.float64), **more}
    return replace(run, tables={**run.tables, EQUITY: table})


class TestDrawdowns:
    def test_the_deepest_come_first_and_an_open_one_says_so(self, run):
        equity = [10_000.0, 9_900.0, 10_050.0, 9_000.0, 9_500.0, 10_100.0, 10_000.0]
        rows = drawdown_rows(with_equity(run, equity))
        assert [row[0] for row in rows] == [f"{MINUS}10.4 %", f"{MINUS}1.0 %", f"{MINUS}1.0 %"]
        assert rows[0][4] == "3.0 h"
        assert rows[2][3] == "not yet"

    def test_no_more_than_five(self, run):
        falls = np.tile([10_000.0, 9_990.0], 20) + np.arange(40)
        assert len(drawdown_rows(with_equity(run, falls))) == 5


class TestRolling:
    def test_each_window_is_measured_alone(self, run):
        equity = run.table(EQUITY)["equity"]
        exposure = np.where(np.arange(len(equity)) % 2, 0.5 * equity, 0.0)
        found = rolling(with_equity(run, equity, exposure=exposure))
        ends = np.concatenate(([run.cash], equity[23::24]))
        daily = ends[1:] / ends[:-1] - 1.0
        for k in (0, 7, len(found.times) - 1):
            window = daily[k : k + 30]
            assert found.volatility[k] == pytest.approx(window.std(ddof=1) * np.sqrt(365), rel=1e-12)
            assert found.sharpe[k] == pytest.approx(window.mean() / window.std(ddof=1) * np.sqrt(365), rel=1e-12)
        np.testing.assert_allclose(found.exposure, 0.25)

    def test_a_short_run_has_none(self, run):
        assert rolling(with_equity(run, np.full(24 * 40, 10_000.0))) is None


class TestTrades:
    def test_the_best_and_the_worst_do_not_overlap(self, run):
        best, worst = extremes(run)
        pnl = np.sort(run.table(TRADES)["pnl"])
        assert [row["pnl"] for row in best] == pnl[::-1][:10].tolist()
        assert [row["pnl"] for row in worst] == pnl[:10].tolist()
        few = {name: of[:3] for name, of in run.table(TRADES).items()}
        best, worst = extremes(replace(run, tables={**run.tables, TRADES: few}))
        assert (len(best), len(worst)) == (2, 1)

    def test_figures_are_those_of_a_plain_loop(self, run):
        trades = closed_trades(run)
        told = dict(trade_figures(run))
        longest = best = 0
        for gained in trades["pnl"] < 0.0:
            longest = longest + 1 if gained else 0
            best = max(best, longest)
        assert told["Longest losing streak"] == f"{best} trades"
        won = trades["pnl"][trades["pnl"] > 0.0]
        assert told["Average winner, quote currency"] == number(float(won.mean()), 2, signed=True)

    def test_open_trades_are_left_out(self, run):
        table = {name: of.copy() for name, of in run.table(TRADES).items()}
        table["reason"][:39] = "open"
        assert len(closed_trades(replace(run, tables={**run.tables, TRADES: table}))["pnl"]) == 1
        table["reason"][:] = "open"
        assert closed_trades(replace(run, tables={**run.tables, TRADES: table})) == {}

    def test_hours_and_weekdays_are_those_of_the_calendar(self, run):
        trades = closed_trades(run)
        found = by_clock(trades)
        hours, weekdays = {}, {}
        for at, r in zip(trades["entry_time"], trades["r"], strict=True):
            moment = datetime.fromtimestamp(at / 1_000, UTC)
            hours.setdefault(moment.hour, []).append(r)
            weekdays.setdefault(moment.weekday(), []).append(r)
        for name, expected, n in (("hour", hours, 24), ("weekday", weekdays, 7)):
            mean, count = found[name]
            assert count.tolist() == [len(expected.get(k, ())) for k in range(n)]
            for k, values in expected.items():
                assert mean[k] == pytest.approx(np.mean(values))

    def test_without_stops_results_are_shares_of_what_was_entered(self):
        trades = {
            "r": np.array([np.nan]),
            "pnl": np.array([5.0]),
            "size": np.array([2.0]),
            "entry_price": np.array([50.0]),
        }
        gained, unit = returns_of_trades(trades)
        assert (gained.tolist(), unit) == ([5.0], "%")

    def test_streaks(self):
        assert streaks(np.array([1, 1, 0, 1, 0, 0, 0], dtype=bool)).tolist() == [2, 1, 1, 3]


def test_moments_are_written_to_the_minute():
    assert minutes(int(datetime(2025, 10, 10, 21, 15, tzinfo=UTC).timestamp()) * 1_000) == "2025-10-10 21:15Z"
    assert minutes(1_000).endswith("01Z")


def test_the_day_is_a_day():
    from virtuoso.reports.history import DAY_MS

    assert DAY_MS == DAY
