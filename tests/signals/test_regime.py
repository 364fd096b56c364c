"""The regime: trend or range, calm or volatile, from closed bars alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import hours, market
from tests.research.scenes import bars
from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.prism import laws
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.signals.regime import REGIMES, UNKNOWN_REGIME, Regime, RegimeState, clock_of, regimes

HOURS, HOUR = hours(bars=2_500), Timeframe("1h")


def told(closes, reach=0.5):
    """The regime of bars that reach so far around their closes."""
    frame = bars(*((c, c + reach, c - reach, c) for c in closes))
    return RegimeState(*Workspace(frame).values(Regime(), frame.timeframe, frame.base.first, frame.base.end))


@pytest.mark.parametrize("law", [laws.cutting, laws.future, laws.memory, laws.purity], ids=lambda law: law.__name__)
def test_obeys(law):
    finding = law(Regime(), HOURS, HOUR, block=64)
    assert finding.holds, str(finding)


class TestTrend:
    """The way over the path."""

    QUIET = 100.0 + 0.5 * (-1.0) ** np.arange(400)

    def test_a_straight_climb_is_a_trend_and_its_sign_is_up(self):
        found = told(np.concatenate((self.QUIET, 100.0 + np.arange(60.0))))
        assert found.efficiency[-1] > 0.8
        assert REGIMES[int(found.code[-1])].endswith("trend")

    def test_the_mirrored_fall_is_the_same_trend_downwards(self):
        climb = np.concatenate((self.QUIET, 100.0 + np.arange(60.0)))
        up, down = told(climb), told(200.0 - climb)
        np.testing.assert_allclose(down.efficiency, -up.efficiency, atol=1e-12)
        np.testing.assert_array_equal(down.code, up.code)

    def test_to_and_fro_is_a_range(self):
        assert REGIMES[int(told(self.QUIET).code[-1])] == "calm range"

    def test_a_trend_stays_one_between_leave_and_enter(self):
        """Hysteresis: an efficiency of 0.27 is a trend after 0.35 was reached, and none before."""
        regime = Regime()
        random = np.random.default_rng(3)
        closes = 100.0 + np.cumsum(0.4 * random.standard_normal(1_500))
        found = told(closes)
        size = np.abs(found.efficiency)
        between = (size >= regime.trend_leave) & (size < regime.trend_enter)
        trending = found.code >= 2.0
        assert trending[between].any()
        assert not trending[between].all()
        assert not trending[size < regime.trend_leave].any()
        assert trending[size >= regime.trend_enter].all()


class TestVolatility:
    """Ranges against their usual."""

    def test_wider_bars_are_volatile_until_they_are_not(self):
        frame = bars(*((100, 100 + r, 100 - r, 100) for r in [0.5] * 400 + [2.0] * 20 + [0.5] * 60))
        code = Workspace(frame).values(Regime(), frame.timeframe, frame.base.first, frame.base.end)[2]
        assert REGIMES[int(code[419])].startswith("volatile")
        assert REGIMES[int(code[-1])].startswith("calm")


class TestAsTheBaseClockSeesIt:
    """A slow regime is seen from its bar's close on."""

    FRAME = market(3, bars=30_000, gaps=False)

    def test_changes_only_when_a_slow_bar_closes(self):
        prism, frame = Prism.standard(), self.FRAME
        code = regimes(prism, Workspace(frame), frame.start, frame.stop)
        slow = clock_of(prism, frame.timeframe)
        changed = frame.start + 1 + np.flatnonzero(np.diff(code))
        assert slow == Timeframe("30m")
        assert len(changed) > 10
        assert ((changed + 1) * 60_000 % slow.ms == 0).all()

    def test_what_follows_changes_nothing(self):
        prism, frame = Prism.standard(), self.FRAME
        whole = regimes(prism, Workspace(frame), frame.start, frame.stop)
        cut = MarketFrame(frame.instrument, replace(frame.base).until(frame.start + 20_000))
        part = regimes(prism, Workspace(cut), cut.start, cut.stop)
        np.testing.assert_array_equal(part, whole[: len(part)])
        assert (whole == UNKNOWN_REGIME).mean() < 0.5
