"""The volume face: whose business it was, and when nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import START, columns, hours, market
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import MissingColumnError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.volume import ADL, CMF, FACE, OBV, VWAP, RelativeVolume, VolumeDelta, VolumeProfile

MINUTE, HOUR, FOUR_HOURS = Timeframe("1m"), Timeframe("1h"), Timeframe("4h")
EVERYTHING = list(FACE.components)


def scores(component, frame, timeframe=None) -> np.ndarray:
    timeframe = timeframe or frame.timeframe
    bars = frame.bars(timeframe)
    return component.score(Workspace(frame).values(component, timeframe, bars.first, bars.end)[0])


def frame_of(bars: dict, timeframe=MINUTE, start: int = START) -> MarketFrame:
    times = (np.arange(len(bars["close"]), dtype=np.int64) + start) * timeframe.ms
    rows = Bars.from_rows(timeframe, times, bars, GapPolicy("cut", 0))
    return MarketFrame(Instrument("simulated", "BTCUSDT"), rows)


def quiet(bars: int = 600, seed: int = 1) -> dict[str, np.ndarray]:
    """A market that goes nowhere: closes anywhere in their bars, takers on both sides."""
    random = np.random.default_rng(seed)
    close = 1_000.0 + 0.3 * random.standard_normal(bars)
    open_ = np.concatenate((close[:1], close[:-1]))
    volume = random.gamma(4.0, 5.0, bars)
    return {
        "open": open_, "high": np.maximum(open_, close) + 0.5 * random.random(bars),
        "low": np.minimum(open_, close) - 0.5 * random.random(bars), "close": close,
        "volume": volume, "taker_buy_volume": volume * np.clip(0.5 + 0.1 * random.standard_normal(bars), 0.0, 1.0),
    }  # fmt: skip


class TestVolumeDelta:
    def test_is_bullish_when_takers_buy_more_than_they_used_to(self):
        bars = quiet()
        bars["taker_buy_volume"][-20:] = 0.8 * bars["volume"][-20:]
        assert scores(VolumeDelta(), frame_of(bars))[-1] > 85.0

    def test_is_bearish_when_takers_sell_more_than_they_used_to(self):
        bars = quiet()
        bars["taker_buy_volume"][-20:] = 0.2 * bars["volume"][-20:]
        assert scores(VolumeDelta(), frame_of(bars))[-1] < 15.0

    def test_does_not_call_a_lasting_lean_news(self):
        """Some venues lean all year long: what counts is the change."""
        bars = quiet()
        bars["taker_buy_volume"] = 0.3 * bars["volume"]
        np.testing.assert_allclose(scores(VolumeDelta(), frame_of(bars))[300:], 50.0, atol=1e-6)

    def test_does_not_know_the_side_of_bars_without_taker_volumes(self):
        bars = quiet()
        del bars["taker_buy_volume"]
        with pytest.raises(MissingColumnError, match="taker_buy_volume"):
            scores(VolumeDelta(), frame_of(bars))

    def test_leaves_a_silent_hour_out_of_the_history(self):
        bars = quiet(900)
        bars["volume"][500:560] = bars["taker_buy_volume"][500:560] = 0.0
        found = scores(VolumeDelta(), frame_of(bars))
        assert np.isnan(found[519:560]).all()
        assert np.isfinite(found[560:]).all()


class TestADL:
    def test_is_bullish_when_a_falling_price_is_accumulated(self):
        bars = quiet()
        drop = 0.05 * np.maximum(np.arange(600.0) - 570.0, 0.0)
        for name in ("open", "high", "low", "close"):
            bars[name] = bars[name] - drop
        bars["close"][-30:] = bars["high"][-30:]
        assert scores(ADL(), frame_of(bars))[-1] > 80.0

    def test_is_bearish_when_a_rising_price_is_distributed(self):
        bars = quiet()
        rise = 0.05 * np.maximum(np.arange(600.0) - 570.0, 0.0)
        for name in ("open", "high", "low", "close"):
            bars[name] = bars[name] + rise
        bars["close"][-30:] = bars["low"][-30:]
        assert scores(ADL(), frame_of(bars))[-1] < 20.0


class TestCMF:
    def test_is_bullish_when_bars_close_at_their_highs(self):
        bars = quiet()
        bars["close"][-20:] = bars["high"][-20:]
        assert scores(CMF(), frame_of(bars))[-1] > 90.0

    def test_is_bearish_when_bars_close_at_their_lows(self):
        bars = quiet()
        bars["close"][-20:] = bars["low"][-20:]
        assert scores(CMF(), frame_of(bars))[-1] < 10.0

    def test_is_not_decided_by_one_tick_between_high_and_low(self):
        """The textbook calls a close at the high of a one-tick bar full buying of all its volume."""
        bars = quiet()
        for name in ("open", "high", "low"):
            bars[name][-5:] = bars["close"][-5:]
        bars["high"][-5:] += 1e-6
        bars["close"][-5:] = bars["high"][-5:]
        bars["volume"][-5:] *= 100.0
        assert abs(scores(CMF(), frame_of(bars))[-1] - 50.0) < 5.0


class TestRelativeVolume:
    """Heavy volume is not bullish: it is heavy."""

    @staticmethod
    def last_bar(open_, close, volume, bars=None):
        bars = bars or quiet(1_000)
        bars["open"][-1], bars["close"][-1] = open_, close
        bars["high"][-1], bars["low"][-1] = max(open_, close) + 0.1, min(open_, close) - 0.1
        bars["volume"][-1] = volume
        return scores(RelativeVolume(), frame_of(bars, HOUR, START // 60))[-1]

    def test_is_bullish_for_a_heavy_bar_that_closes_up(self):
        assert self.last_bar(1_000.0, 1_002.0, 100.0) > 90.0

    def test_is_bearish_for_a_heavy_bar_that_closes_down(self):
        assert self.last_bar(1_000.0, 998.0, 100.0) < 10.0

    def test_takes_no_side_for_a_heavy_bar_that_goes_nowhere(self):
        assert self.last_bar(1_000.0, 1_000.0, 1e6) == pytest.approx(50.0, abs=1.0)

    def test_takes_hardly_a_side_for_a_thin_bar(self):
        assert abs(self.last_bar(1_000.0, 1_002.0, 1.0) - 50.0) < 5.0

    def test_knows_that_some_hours_are_always_busy(self):
        usual = self.last_bar(1_000.0, 1_002.0, 100.0)
        bars = quiet(1_000)
        for day in range(1, 8):
            for beside in (-1, 0, 1):
                bars["volume"][999 - 24 * day + beside] = 100.0
        assert self.last_bar(1_000.0, 1_002.0, 100.0, bars) < usual - 10.0

    def test_compares_minutes_with_the_hour_that_runs_and_not_with_the_one_before(self):
        """The busy hour of the day begins: its own minutes are usual, although the hour seen last was quiet."""
        bars = 9 * 1_440
        made = columns(seed=2, bars=bars, flats=False)
        made["volume"] = np.ones(bars)
        busy = (np.arange(bars) + START) // 60 % 24 == 10
        beside = [np.roll(busy, 60 * shift) for shift in (-1, 1)]
        made["volume"][busy | beside[0] | beside[1]] = 50.0
        frame = frame_of({name: made[name] for name in ("open", "high", "low", "close", "volume")})
        found = Workspace(frame).values(RelativeVolume(), MINUTE, START, START + bars)[0]
        known = np.isfinite(found)
        quiet_after = known & ~busy & np.roll(beside[1], 60) & ~beside[0] & ~beside[1]
        assert (known & busy).sum() >= 60
        assert np.abs(found[known & busy]).max() <= 1.0
        assert np.abs(found[quiet_after]).max() <= 1.0

    def test_survives_a_missing_hour_three_weeks_ago(self):
        frame = hours(bars=1_200)
        holed = frame.base.columns["volume"].copy()
        holed[600:605] = np.nan
        bars = {name: values.copy() for name, values in frame.base.columns.items()} | {"volume": holed}
        found = scores(RelativeVolume(), frame_of(bars, HOUR, START // 60))
        assert np.isnan(found[600:605]).all()
        assert np.isfinite(found[700:]).all()

    def test_needs_a_week(self):
        found = scores(RelativeVolume(), hours(bars=1_200))
        assert int(np.argmax(np.isfinite(found))) == 7 * 24 + 1


class TestOBV:
    def test_is_bullish_when_volume_goes_with_rising_bars(self):
        bars = quiet()
        rising = np.diff(bars["close"], prepend=1_000.0) > 0
        bars["volume"][-20:] = np.where(rising[-20:], 60.0, 5.0)
        assert scores(OBV(), frame_of(bars))[-1] > 75.0

    def test_is_bearish_when_volume_goes_with_falling_bars(self):
        bars = quiet()
        rising = np.diff(bars["close"], prepend=1_000.0) > 0
        bars["volume"][-20:] = np.where(rising[-20:], 5.0, 60.0)
        assert scores(OBV(), frame_of(bars))[-1] < 25.0


class TestTheVolumeProfile:
    def test_is_bullish_above_value_and_bearish_below(self):
        bars = quiet(900)
        for last, low, high in ((1_005.0, 85.0, 100.0), (995.0, 0.0, 15.0), (1_000.0, 30.0, 70.0)):
            bars["close"][-1] = last
            bars["high"][-1], bars["low"][-1] = max(last, bars["open"][-1]) + 0.1, min(last, bars["open"][-1]) - 0.1
            assert low < scores(VolumeProfile(), frame_of(bars))[-1] < high

    def test_sees_a_slow_bar_from_its_close_on(self):
        """A burst of business at another price moves the profile when its five minutes are over."""
        bars = quiet(900)
        at = 900 - 12
        for name in ("open", "high", "low", "close"):
            bars[name][at:] += 5.0
        bars["volume"][at:] *= 1e4
        found = scores(VolumeProfile(), frame_of(bars))
        closes = [t for t in range(at, 900) if (START + t + 1) % 5 == 0]
        assert (found[at : closes[0]] > 95.0).all()
        assert found[closes[1]] < 90.0


class TestVWAP:
    def test_is_not_known_before_the_first_midnight_of_a_run(self):
        frame = frame_of(quiet(2_000), start=START + 700)
        known = np.isfinite(scores(VWAP(), frame))
        assert not known[:740].any()
        assert known[740:].all()

    def test_is_bullish_above_what_the_session_paid_and_bearish_below(self):
        bars = quiet(600)
        bars["close"][-2:] = 1_003.0, 997.0
        bars["high"][-2:], bars["low"][-2:] = 1_003.5, 996.5
        found = scores(VWAP(), frame_of(bars))
        assert found[-2] > 80.0
        assert found[-1] < 20.0

    def test_starts_the_day_in_balance(self):
        """One bar into the session its deviation is zero: the mean range keeps the first minutes calm."""
        bars = quiet(3_000)
        found = scores(VWAP(), frame_of(bars))
        assert (np.abs(found[[1_440, 2_880]] - 50.0) < 25.0).all()

    def test_of_four_hour_bars_starts_anew_on_monday(self):
        frame = frame_of(quiet(200), FOUR_HOURS, FOUR_HOURS.number(1_577_836_800_000))  # Wednesday 2020-01-01
        known = np.isfinite(scores(VWAP(), frame))
        assert int(np.argmax(known)) == 5 * 6


class TestTheFace:
    def test_holds_the_components_of_the_book_with_their_weights(self):
        weights = {component.name: weight for component, weight in FACE.components.items()}
        assert weights == {
            "volume_delta": 0.20, "adl": 0.15, "cmf": 0.15, "relative_volume": 0.15, "obv": 0.15,
            "volume_profile": 0.10, "vwap": 0.10,
        }  # fmt: skip
        assert sum(weights.values()) == pytest.approx(1.0)

    def test_looks_for_divergence_in_what_oscillates(self):
        assert {c.name for c in EVERYTHING if c.oscillator} == {"adl", "cmf", "obv"}

    @pytest.mark.parametrize("component", EVERYTHING, ids=lambda c: c.name)
    def test_does_not_care_how_volume_is_counted(self, component):
        """In lots of a thousand, not a power of two: the same but for rounding."""
        frame = hours(bars=1_200) if component.name == "relative_volume" else market(bars=2_000, gaps=False)
        bars = {name: values.copy() for name, values in frame.base.columns.items()}
        lots = bars | {name: bars[name] / 1_000.0 for name in ("volume", "taker_buy_volume")}
        found, other = (scores(component, frame_of(b, frame.timeframe, frame.base.first)) for b in (bars, lots))
        assert np.isfinite(found).sum() > 300
        np.testing.assert_allclose(found, other, atol=1e-9)

    @pytest.mark.parametrize("component", EVERYTHING, ids=lambda c: c.name)
    def test_explains_itself_in_a_sentence_at_every_score(self, component):
        for score in (0.0, 19.9, 20.0, 50.0, 80.0, 100.0):
            assert component.explain(score, 0.123).strip()
