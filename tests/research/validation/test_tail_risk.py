"""What a record does not show: the worst day, bets that grow after losses, marks that lag behind."""

from dataclasses import replace

import numpy as np
import pytest

from tests.research.scenes import bars, intents
from tests.research.worlds import stressed
from virtuoso.account.risk import Limits
from virtuoso.account.state import MARK_CLOSE
from virtuoso.errors import ConfigError
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.validation.overfitting import growth_after_losses
from virtuoso.research.validation.robustness import RunReturns, robustness
from virtuoso.research.validation.tail_risk import KNOWN_CRASH, UNSEEN, Marks, Tail, follows, worst_day
from virtuoso.research.validation.verdict import Decision, reach_verdict

TERMS = FundingTerms(assume=0.0, mark_is_last=True)
ACCOUNT = Account(maker=0.0, taker=0.0, limits=Limits(max_drawdown=0.99))


def daily_stage(moves, venue="binance-usdm"):
    """A market of one bar a day that moves so."""
    close = 100.0 * np.cumprod(1.0 + np.concatenate(([0.0], moves)))
    before = np.concatenate(([100.0], close[:-1]))
    rows = zip(before, np.maximum(before, close), np.minimum(before, close), close, strict=True)
    frame = bars(*rows, timeframe="1d", venue=venue)
    return frame, SimulationPanel.of([frame], slippage=0.0, terms=TERMS)


def gate(daily, name, given=None, **how):
    (found,) = (
        g
        for g in reach_verdict(robustness(RunReturns(daily, 300, **how)), given or stressed(daily)).gates
        if g.name == name
    )
    return found


class TestTheWorstDay:
    """Laid on what was held, through every stop."""

    def held(self, moves, leverage=3.0, venue="binance-usdm", isolated=True):
        frame, panel = daily_stage(moves, venue)
        made = intents(frame, (1, 1, 50.0, 300.0))
        return run(panel, {frame.instrument: made}, replace(ACCOUNT, leverage=leverage, isolated=isolated))

    def test_is_that_of_the_instrument_and_never_less_than_what_is_known(self):
        assert worst_day(daily_stage([0.01, -0.02, 0.03])[1]) == pytest.approx(0.03)
        assert Tail.of(self.held([0.001] * 40)).shock == KNOWN_CRASH
        assert Tail.of(self.held([0.001] * 40 + [-0.60])).shock == pytest.approx(0.60)
        assert Tail.of(self.held([0.001] * 40), worst=0.7).shock == 0.7

    def test_of_fine_bars_is_a_day_long(self):
        price = 100.0 * np.exp(np.linspace(0.0, np.log(0.8), 49))  # a fifth over two days of hours
        frame = bars(*[(p, p, p, p) for p in price], timeframe="1h")
        assert worst_day(SimulationPanel.of([frame], terms=TERMS)) == pytest.approx(1.0 - np.sqrt(0.8), abs=0.005)

    def test_takes_what_was_held_and_of_isolated_margin_no_more_than_there_is(self):
        done = self.held([0.001] * 40, leverage=2.0)
        share = float((done.exposure / done.equity).max())
        assert share > 0.0
        assert Tail.of(done).most == pytest.approx(share * KNOWN_CRASH)
        at_five = self.held([0.001] * 40, leverage=5.0)
        share = float((at_five.exposure / at_five.equity).max())
        assert Tail.of(at_five).most == pytest.approx(share * (1.0 / 5.0 + ACCOUNT.liquidation_fee))
        crossed = self.held([0.001] * 40, leverage=5.0, isolated=False)
        assert Tail.of(crossed).most == pytest.approx(float((crossed.exposure / crossed.equity).max()) * KNOWN_CRASH)

    def test_counts_the_time_in_which_nothing_was_held(self):
        done = self.held([0.001] * 40, leverage=2.0)
        assert Tail.of(done).mean == pytest.approx(KNOWN_CRASH * float((done.exposure / done.equity).mean()))

    def test_gains_must_outlast_as_many_as_the_record_leaves_room_for(self):
        daily = 0.001 + 0.005 * np.sin(np.arange(800))
        kind = stressed(daily)
        enough = float(daily.sum()) / UNSEEN / KNOWN_CRASH
        assert gate(daily, "tail", replace(kind, tail=Tail.of_days(daily, 0.99 * enough))).passed is True
        assert gate(daily, "tail", replace(kind, tail=Tail.of_days(daily, 1.01 * enough))).passed is False

    def test_one_on_the_most_that_was_held_must_leave_the_account(self):
        daily = 0.01 + 0.005 * np.sin(np.arange(800))
        found = gate(daily, "tail", replace(stressed(daily), tail=Tail(0.4, 0.01, 1.0, 8.0)))
        assert found.passed is False
        assert "ends the account" in found.reason

    def test_is_not_known_where_it_was_not_asked(self):
        daily = 0.001 + 0.005 * np.sin(np.arange(800))
        found = gate(daily, "tail", replace(stressed(daily), tail=None))
        assert (found.passed, found.needed) == (None, True)

    def test_a_seller_of_insurance_is_not_shipped(self):
        random = np.random.default_rng(1)
        for days in (200, 365, 730):
            daily = 0.0012 + 0.003 * random.standard_normal(days)  # the day of -30 % has not come yet
            found = reach_verdict(
                robustness(RunReturns(daily, 300)), replace(stressed(daily), tail=Tail.of_days(daily, 1.0))
            )
            assert found.decision is Decision.ITERATE
            assert any("none of which its record rules out" in reason for reason in found.reasons)


class TestBetsThatGrow:
    """After losses."""

    def doubled(self, factor=2.0, seed=2):
        daily, size = 0.002 * np.random.default_rng(seed).standard_normal(600), 1.0
        for t in range(len(daily)):
            daily[t] *= size
            size = min(size * factor, 256.0) if daily[t] < 0.0 else 1.0
        return daily

    @pytest.mark.parametrize("factor", [1.5, 2.0, 3.0])
    def test_are_named(self, factor):
        daily = self.doubled(factor)
        found = gate(daily, "size")
        assert found.passed is False
        assert "doubling up" in found.reason

    @pytest.mark.parametrize("seed", range(5))
    def test_those_that_do_not_are_not_accused(self, seed):
        random = np.random.default_rng(seed)
        daily = 0.01 * random.standard_t(3, 400) * (random.random(400) < 0.5)  # in the market every other day
        assert gate(daily, "size").passed in (True, None)

    def test_sizes_of_trades_tell_where_days_do_not(self):
        random = np.random.default_rng(3)
        gains = random.standard_normal(300)
        sizes = np.where(np.concatenate(([1.0], gains[:-1])) < 0.0, 2.0, 1.0)
        daily = 0.01 * random.standard_normal(400)
        assert growth_after_losses(sizes, gains) == 2.0
        assert gate(daily, "size").passed is True
        assert gate(daily, "size", sizes=sizes, gains=gains).passed is False

    def test_few_are_not_testable_and_not_asked(self):
        assert np.isnan(growth_after_losses(np.ones(40), np.ones(40)))
        found = gate(np.abs(self.doubled()), "size")
        assert (found.passed, found.needed) == (None, False)

    def test_sizes_come_with_what_they_came_to(self):
        with pytest.raises(ConfigError, match="Give both"):
            RunReturns(np.zeros(40), 300, sizes=np.ones(3))


class TestMarks:
    """They move as the market does."""

    def smoothed(self, moves, over):
        _, panel = daily_stage(moves)
        closes = panel.closes[:, 0]
        panel.bars[over - 1 :, 0, MARK_CLOSE] = np.convolve(closes, np.ones(over) / over, "valid")
        return panel

    @pytest.mark.parametrize(("over", "shown"), [(1, 1.0), (2, 0.5), (5, 0.2)])
    def test_smoothing_is_seen(self, over, shown):
        moves = 0.02 * np.random.default_rng(4).standard_normal(200)
        assert Marks.of(self.smoothed(moves, over)).follow == pytest.approx(shown, abs=0.05)

    def test_those_that_lag_are_not_shipped(self):
        daily = 0.002 + 0.005 * np.random.default_rng(5).standard_normal(600)
        assert gate(daily, "marks", replace(stressed(daily), marks=Marks(0.97))).passed is True
        found = gate(daily, "marks", replace(stressed(daily), marks=Marks(0.2)))
        assert found.passed is False
        assert "marks show 20.0 %" in found.reason

    @pytest.mark.parametrize("over", [2, 5, 10])
    def test_returns_alone_give_them_away(self, over):
        drawn = 0.01 * np.random.default_rng(6).standard_normal(500)
        daily = 0.001 + np.convolve(drawn, np.ones(over) / over, "valid")
        assert gate(daily, "marks").passed is False
        assert gate(0.001 + drawn, "marks").passed is True

    def test_too_few_days_tell_nothing(self):
        assert np.isnan(Marks.of(self.smoothed([0.01, -0.01] * 10, 1)).follow)
        assert np.isnan(follows(np.zeros(100), np.zeros(100)))
