"""Sessions: the UTC day for fast bars, the ISO week for slow ones."""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe, parse_time
from virtuoso.prism.features.session import Session, SessionVWAP

MINUTE, FOUR_HOURS, DAY = Timeframe("1m"), Timeframe("4h"), Timeframe("1d")


def vwap(price, volume, first, timeframe=MINUTE):
    price, volume = np.asarray(price, dtype=float), np.asarray(volume, dtype=float)
    return SessionVWAP().value(price, price, price, volume, first, timeframe)


def opens(timeframe: Timeframe, time: str) -> bool:
    session = Session.of(timeframe)
    return (timeframe.number(parse_time(time)) - session.offset) % session.length == 0


class TestASessionOpens:
    def test_at_midnight_for_bars_shorter_than_four_hours(self):
        assert opens(MINUTE, "2024-02-14T00:00")
        assert not opens(MINUTE, "2024-02-14T00:01")

    def test_on_monday_for_bars_of_four_hours_and_more(self):
        for timeframe in (FOUR_HOURS, DAY):
            assert opens(timeframe, "2024-02-12T00:00")
            assert not opens(timeframe, "2024-02-13T00:00")
        assert not opens(FOUR_HOURS, "2024-02-12T04:00")


class TestTheSessionPrice:
    MIDNIGHT = MINUTE.number(parse_time("2024-02-14"))

    def test_is_not_known_before_the_first_session_start(self):
        price, _ = vwap([10.0] * 6, [1.0] * 6, self.MIDNIGHT - 3)
        assert np.isnan(price).tolist() == [True, True, True, False, False, False]

    def test_weighs_by_volume(self):
        price, deviation = vwap([10.0, 20.0], [3.0, 1.0], self.MIDNIGHT)
        assert price.tolist() == [10.0, 12.5]
        assert deviation[1] == np.sqrt((3.0 * 2.5**2 + 7.5**2) / 4.0)

    def test_forgets_the_session_before(self):
        prices = np.full(1_500, 10.0)
        prices[1_440:] = 20.0
        price, deviation = vwap(prices, np.ones(1_500), self.MIDNIGHT)
        assert price[1_439] == 10.0
        assert price[1_440] == 20.0
        assert deviation[1_440] == 0.0

    def test_waits_for_the_first_trade_of_a_session(self):
        price, _ = vwap([10.0, 11.0, 12.0], [0.0, 0.0, 2.0], self.MIDNIGHT)
        assert np.isnan(price).tolist() == [True, True, False]
        assert price[2] == 12.0

    def test_does_not_cancel_far_from_zero(self):
        """The deviation of a tick at a price of a billion is a tick."""
        _, deviation = vwap(1e9 + np.tile([0.0, 1.0], 500), np.ones(1_000), self.MIDNIGHT)
        assert abs(deviation[-1] - 0.5) < 1e-9
