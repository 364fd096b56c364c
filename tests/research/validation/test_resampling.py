"""Fans: what else the same trades, and the same days, might have come to."""

import numpy as np
import pytest

from tests.research.validation.test_stress import ACCOUNT, scene, stage_of
from virtuoso.research.backtest.engine import run
from virtuoso.research.backtest.round_trips import lives
from virtuoso.research.validation import resampling
from virtuoso.research.validation.resampling import drawn_days, other_orders, shares

GAINS = np.random.default_rng(5).permutation([0.05, -0.02, 0.03, -0.04, 0.01, 0.02, -0.01] * 20)


class TestOtherOrders:
    """The same trades end where they ended, by other ways."""

    def test_the_end_is_the_same_and_the_way_is_not(self):
        fan = other_orders(GAINS, 200)
        np.testing.assert_allclose(fan.bands[:, -1], fan.real[-1])
        np.testing.assert_allclose(fan.real, np.concatenate(([1.0], np.cumprod(1.0 + GAINS)))[fan.steps])
        assert (np.diff(fan.bands[:, 1:-1], axis=0) >= 0.0).all()
        assert (fan.bands[0, 1:-1] < fan.bands[4, 1:-1]).all()

    def test_the_fall_of_a_usual_history_lies_among_those_drawn(self):
        fall = other_orders(GAINS, 500).fall
        growth = np.cumprod(1.0 + GAINS)
        assert fall.real == pytest.approx((growth / np.maximum.accumulate(np.append(1.0, growth))[1:]).min() - 1.0)
        assert fall.low <= fall.middle <= fall.high <= 0.0
        assert fall.low <= fall.real <= fall.high

    def test_losses_first_are_a_fall_from_the_beginning(self):
        fan = other_orders(np.sort(GAINS), 50)
        assert fan.fall.real == pytest.approx(np.prod(1.0 + GAINS[GAINS < 0.0]) - 1.0)
        assert fan.fall.real < fan.fall.low

    def test_few_trades_have_none(self):
        assert other_orders(GAINS[:29]) is None

    def test_many_trades_are_drawn_in_parts_and_kept_at_few_steps(self, monkeypatch):
        monkeypatch.setattr(resampling, "AT_ONCE", 700)
        fan = other_orders(np.tile(GAINS, 5), 300)
        assert fan.draws == 300
        assert len(fan.steps) == fan.bands.shape[1] == resampling.MOST_STEPS + 1
        assert fan.steps[-1] == 700


class TestDrawnDays:
    """Histories of blocks of days end elsewhere: as widely as the result is uncertain."""

    def test_they_spread_around_what_was(self):
        days = 0.01 * np.random.default_rng(1).standard_normal(900)
        days += 0.0005 - days.mean()
        fan = drawn_days(days, 2_000)
        ends = np.log(fan.bands[:, -1])
        assert fan.block == 10
        assert ends[2] == pytest.approx(np.log(fan.real[-1]), abs=0.05)
        assert ends[4] - ends[0] == pytest.approx(2.0 * 1.645 * 0.01 * np.sqrt(900), rel=0.15)
        assert fan.losing == pytest.approx(0.07, abs=0.03)

    def test_what_hangs_together_within_a_block_stays_together(self):
        days = np.repeat([0.02, -0.02], 40)  # two runs of days: apart they would cancel out
        days = np.tile(days, 10)
        together, shuffled = drawn_days(days, 400), drawn_days(np.random.default_rng(2).permutation(days), 400)
        assert together.fall.middle < shuffled.fall.middle

    def test_the_same_seed_gives_the_same_fan(self):
        assert drawn_days(GAINS, 50).told() == drawn_days(GAINS, 50).told()

    def test_few_days_have_none(self):
        assert drawn_days(GAINS[:29]) is None


class TestShares:
    """Gains of trades as shares of the equity."""

    def test_shares_of_equity_compound_to_the_account(self):
        frame, made = scene(2, every=12)
        made[frame.instrument]["side"][1::2] = 0  # in and out, never turned around
        done = run(stage_of(frame), made, ACCOUNT)
        kept = lives(done)
        gained = shares(kept["pnl"], kept["entry_number"], done)
        assert len(gained) > 20
        assert np.prod(1.0 + gained) == pytest.approx(done.equity[-1] / ACCOUNT.cash, rel=1e-4)
