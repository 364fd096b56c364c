"""What is usual at this hour."""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.prism.features.seasonality import UsualVolume

HOUR, FOUR_HOURS = Timeframe("1h"), Timeframe("4h")
DAYS = 30


def daily(peak: float = 50.0) -> np.ndarray:
    """A month of hours: quiet, but for three busy hours of each day."""
    volume = np.ones(24 * DAYS)
    for day in range(DAYS):
        volume[24 * day + 9 : 24 * day + 12] = peak
    return volume


class TestUsualVolume:
    def test_knows_the_busy_hour_of_the_day(self):
        this, _ = UsualVolume().value(daily(), HOUR)
        assert this[24 * 20 + 10] == 50.0
        assert this[24 * 20 + 16] == 1.0

    def test_says_before_the_hour_runs_what_will_be_usual_in_it(self):
        this, following = UsualVolume().value(daily(), HOUR)
        assert following[24 * 20 + 9] == this[24 * 20 + 10] == 50.0

    def test_does_not_look_at_the_hour_itself(self):
        volume = daily()
        before = UsualVolume().value(volume, HOUR)
        volume[-10:] = 1e9
        after = UsualVolume().value(volume, HOUR)
        assert np.array_equal(before.this, after.this, equal_nan=True)
        assert np.array_equal(before.following, after.following, equal_nan=True)

    def test_is_not_moved_by_three_wild_days(self):
        volume = daily()
        volume[24 * 16 : 24 * 19] = 1e9
        this, _ = UsualVolume().value(volume, HOUR)
        assert this[24 * 20 + 16] == 1.0

    def test_leaves_missing_hours_out(self):
        volume = daily()
        volume[24 * 16 : 24 * 19] = np.nan
        this, _ = UsualVolume().value(volume, HOUR)
        assert this[24 * 20 + 10] == 50.0

    def test_is_not_known_where_more_than_half_of_the_past_is_missing(self):
        volume = daily()
        volume[24 * 15 : 24 * 19] = np.nan
        this, _ = UsualVolume().value(volume, HOUR)
        assert np.isnan(this[24 * 20 + 16])

    def test_runs_on_hours_or_on_slower_bars_of_the_asker(self):
        clocks = {
            name: UsualVolume().clock(Timeframe(name)).name for name in ("1s", "1m", "30m", "1h", "45m", "4h", "1d")
        }
        assert clocks == {"1s": "1h", "1m": "1h", "30m": "1h", "1h": "1h", "45m": "45m", "4h": "4h", "1d": "1d"}

    def test_needs_one_week_whatever_the_clock(self):
        assert UsualVolume().memory(HOUR) == 7 * 24 + 2
        assert UsualVolume().memory(FOUR_HOURS) == 7 * 6 + 2
        assert UsualVolume().memory(Timeframe("1d")) == 7 + 2
