"""A history fed bar by bar is the history, gaps and slow bars included."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import market, rows
from tests.happenings import DAY, START, trades
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.features.daily_reset import DailyReset
from virtuoso.market.features.trades import TradeFeatures
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, NO_TRADE, UNKNOWN, GapPolicy
from virtuoso.market.live import LiveFrame

SLOWER = [Timeframe("5m"), Timeframe("30m"), Timeframe("4h")]


@pytest.mark.parametrize("meaning", ["bridge", "no_trade", "cut"])
def test_bar_by_bar_is_the_whole(meaning):
    policy = GapPolicy(meaning, 0 if meaning == "cut" else 5)
    times, made = rows(seed=5, bars=3_000)
    whole = market(seed=5, bars=3_000, meaning=meaning) if meaning != "cut" else _cut(times, made, policy)
    published = {int(t) // 60_000: i for i, t in enumerate(times)}
    at = 1_777
    live = LiveFrame(whole.until((whole.base.first + at) * 60_000), SLOWER, policy)
    for number in range(whole.base.first + at, whole.base.end):
        i = published.get(number)
        live.close(number, None if i is None else {name: float(v[i]) for name, v in made.items()})
    for timeframe in [Timeframe("1m"), *SLOWER]:
        assert live.frame.bars(timeframe).fingerprint() == whole.bars(timeframe).fingerprint()
        assert np.array_equal(live.frame.bars(timeframe).share, whole.bars(timeframe).share)


def _cut(times, made, policy):
    return MarketFrame(Instrument("simulated", "BTCUSDT"), Bars.from_rows(Timeframe("1m"), times, made, policy))


def test_a_bar_out_of_turn_is_refused():
    frame = market(bars=500)
    with pytest.raises(DataError, match="is number"):
        LiveFrame(frame, SLOWER, GapPolicy("bridge", 5)).close(frame.base.end + 1, None)


class TestACalmBar:
    """A source that was recording says that nothing traded: a flat bar that is a fact, not a bridge."""

    def test_is_no_trade_at_a_venue_that_publishes_every_bar(self):
        frame = market(bars=300, gaps=False, flats=False, lit=True)
        last = {name: float(values[-1]) for name, values in frame.base.columns.items()}
        flat = {**last, **dict.fromkeys(("open", "high", "low"), last["close"]), "volume": 0.0}
        grown = LiveFrame(frame, [], GapPolicy("bridge", 5)).close(frame.stop, flat, no_trade=True).base
        assert (grown.state[-1], grown.share[-1]) == (NO_TRADE, 1.0)
        assert grown.columns["volume"][-1] == 0.0

    def test_does_not_end_a_silence(self):
        frame = market(bars=300, gaps=False, flats=False)
        live, last = (
            LiveFrame(frame, [], GapPolicy("bridge", 1)),
            {n: float(v[-1]) for n, v in frame.base.columns.items()},
        )
        live.close(frame.stop, last, no_trade=True)
        assert live.close(frame.stop + 1, None).base.state[-1] == UNKNOWN

    def test_columns_of_events_are_taken_beside_a_bar_that_is_missing(self):
        frame = market(bars=300, gaps=False, flats=False, lit=True)
        grown = (
            LiveFrame(frame, [], GapPolicy("bridge", 5))
            .close(frame.stop, None, event_columns={"open_interest": 7.0})
            .base
        )
        assert grown.state[-1] == BRIDGED
        assert grown.columns["open_interest"][-1] == 7.0


def test_a_missing_bar_before_anything_traded_is_unknown():
    frame = market(bars=300, gaps=False, flats=False)
    nothing = MarketFrame(frame.instrument, frame.base.until(frame.base.first))
    live = LiveFrame(nothing, [], GapPolicy("bridge", 5))
    assert live.close(frame.base.first, None).base.state[-1] == UNKNOWN


def test_events_since_the_midnight_before_yesterdays_last_are_remembered():
    """Of the orders that tell which trades are large, nearly all came on the day before."""
    clock, hour = Timeframe("5m"), 3_600_000
    tape = trades(seed=3, n=900, start=START + DAY - hour, span=3 * hour)
    day, number = START // clock.ms, (START + DAY) // clock.ms + 1
    end = number + 6
    whole = DailyReset(TradeFeatures, clock).bars({"trades": tape.between(0, end * clock.ms)}, day, end)
    history = MarketFrame(Instrument("simulated", "BTCUSDT"), _flat_bars(clock, day, number))
    live = LiveFrame(history, [], GapPolicy("cut", 0), ["trades"])
    live.remember({"trades": tape.between(0, number * clock.ms)})
    bar = {name: float(values[-1]) for name, values in history.base.columns.items()}
    for k in range(number, end):
        live.close(k, bar, {"trades": tape.between(k * clock.ms, (k + 1) * clock.ms)})
    grown = live.frame.base.since(number).columns["large_buy_volume"]
    assert np.isfinite(grown).all()
    assert np.ascontiguousarray(grown).tobytes() == whole["large_buy_volume"][number - day :].tobytes()


def _flat_bars(clock: Timeframe, first: int, end: int) -> Bars:
    times = np.arange(first, end, dtype=np.int64) * clock.ms
    columns = {name: np.ones(len(times)) for name in ("open", "high", "low", "close", "volume")}
    return Bars.from_rows(clock, times, columns, GapPolicy("cut", 0))
