"""The regime: trend or range, calm or volatile, from closed bars alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import hours, market
from tests.research.scenes import bars
from tests.signals import scenes
from virtuoso.clock import Span, Timeframe
from virtuoso.config import Settings
from virtuoso.errors import ConfigError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.laws import laws
from virtuoso.prism.prism import Prism
from virtuoso.signals.decision import decide, stopped_entries
from virtuoso.signals.message.build import build_signal
from virtuoso.signals.regime import REGIMES, UNKNOWN_REGIME, Regime, RegimeState, admits, regime_timeframe, regimes
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import intents_of

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
        prism, frame = Prism.classic(), self.FRAME
        code = regimes(prism, Workspace(frame), frame.start, frame.stop)
        slow = regime_timeframe(prism, frame.timeframe)
        changed = frame.start + 1 + np.flatnonzero(np.diff(code))
        assert slow == Timeframe("30m")
        assert len(changed) > 10
        assert ((changed + 1) * 60_000 % slow.ms == 0).all()

    def test_each_base_bar_sees_the_last_slow_bar_that_has_closed(self):
        prism, frame, workspace = Prism.classic(), self.FRAME, Workspace(self.FRAME)
        slow = regime_timeframe(prism, frame.timeframe)
        bars = frame.bars(slow)
        code = RegimeState(*workspace.values(Regime(), slow, bars.first, bars.end)).code
        closes = (np.arange(bars.first, bars.end) + 1) * slow.ms
        found = regimes(prism, workspace, frame.start, frame.stop)
        for i in range(15_000, 30_000, 7):
            last = int((closes <= (frame.start + i + 1) * 60_000).sum()) - 1
            assert found[i] == (UNKNOWN_REGIME if np.isnan(code[last]) else code[last])

    def test_what_follows_changes_nothing(self):
        prism, frame = Prism.classic(), self.FRAME
        whole = regimes(prism, Workspace(frame), frame.start, frame.stop)
        cut = MarketFrame(frame.instrument, replace(frame.base).until(frame.start + 20_000))
        part = regimes(prism, Workspace(cut), cut.start, cut.stop)
        np.testing.assert_array_equal(part, whole[: len(part)])
        assert (whole == UNKNOWN_REGIME).mean() < 0.5


HOURLY = replace(scenes.PRISM, timeframes={"1h": 0.7, "4h": 0.3})
RULE = SignalSettings(min_coverage=0.1, max_age=Span("12h"), bull_enter=60.0, bear_enter=40.0)
SCORES = score(HOURLY, hours(bars=5_000), block=scenes.BLOCK)


def gated(*names):
    return RULE.model_copy(update={"regimes": names})


class TestAsAGate:
    """`signals.regimes` names where positions are entered; exits and states are untouched."""

    PLAIN = decide(SCORES, RULE)
    VOLATILE = decide(SCORES, gated("volatile range", "volatile trend"))

    def test_all_regimes_stop_nothing_even_where_it_is_not_known(self):
        assert not self.PLAIN.stopped.any()
        assert stopped_entries(SCORES, RULE) == {}
        assert admits(REGIMES, np.array([UNKNOWN_REGIME, 0, 3], dtype=np.int8)).all()

    def test_an_unknown_regime_is_not_one_of_those_named(self):
        assert admits(("calm trend",), np.array([UNKNOWN_REGIME, 0, 2], dtype=np.int8)).tolist() == [False, False, True]

    def test_entries_are_made_in_the_named_regimes_alone(self):
        entered = intents_of(self.VOLATILE)["side"] != 0
        assert 3 < entered.sum() < (intents_of(self.PLAIN)["side"] != 0).sum()
        assert (self.VOLATILE.regime[entered] % 2 == 1).all()

    def test_what_is_entered_and_left_stays_as_it_was(self):
        plain, volatile = intents_of(self.PLAIN), intents_of(self.VOLATILE)
        np.testing.assert_array_equal(volatile["number"], plain["number"])
        same = ~self.VOLATILE.stopped
        assert volatile[same].tobytes() == plain[same].tobytes()
        assert (volatile["side"][~same] == 0).all()
        np.testing.assert_array_equal(self.VOLATILE.rule.state, self.PLAIN.rule.state)

    def test_what_is_stopped_is_counted_by_regime(self):
        counted = stopped_entries(SCORES, gated("volatile range", "volatile trend"))
        assert sum(counted.values()) == self.VOLATILE.stopped.sum() > 0
        assert set(counted) <= {"", "calm range", "calm trend"}
        for name, n in counted.items():
            code = REGIMES.index(name) if name else UNKNOWN_REGIME
            assert n == ((self.VOLATILE.regime == code) & self.VOLATILE.stopped).sum()

    def test_a_signal_says_that_its_entry_was_stopped(self):
        j = int(np.flatnonzero(self.VOLATILE.stopped & (self.VOLATILE.regime >= 0))[0])
        made = build_signal(self.VOLATILE, j)
        name = REGIMES[self.VOLATILE.regime[j]]
        assert made.signal != "NEUTRAL"
        assert made.targets == {}
        assert f"the regime on 1h is {name}" in made.unknown["stop_loss"]
        assert "entries are made in volatile range and volatile trend only" in made.actionable_insights[-1]
        assert f"Regime: {name} on 1h." in made.insights

    def test_every_decision_knows_the_regime_of_its_own_close(self):
        whole = regimes(HOURLY, SCORES.workspace, SCORES.start, SCORES.start + len(SCORES))
        np.testing.assert_array_equal(self.PLAIN.regime, whole[self.PLAIN.at])

    @pytest.mark.parametrize("bars", [3_321, 4_600])
    def test_what_follows_stops_and_admits_nothing(self, bars):
        part = decide(
            score(HOURLY, hours(bars=5_000).until((SCORES.frame.base.first + bars) * HOUR.ms), block=scenes.BLOCK),
            gated("volatile range"),
        )
        whole = decide(SCORES, gated("volatile range"))
        assert len(part) > 20
        np.testing.assert_array_equal(part.stopped, whole.stopped[: len(part)])
        np.testing.assert_array_equal(part.regime, whole.regime[: len(part)])

    def test_a_name_that_is_none_is_refused_with_the_nearest(self, tmp_path):
        file = tmp_path / "mine.yaml"
        file.write_text("signals: {regimes: [calm trends]}")
        with pytest.raises(ConfigError, match=r"signals\.regimes\[0\].*'calm trend'"):
            Settings.load(file, root=tmp_path, env={})
        file.write_text("signals: {regimes: []}")
        with pytest.raises(ConfigError, match=r"signals\.regimes.*at least 1"):
            Settings.load(file, root=tmp_path, env={})
