"""What is usual at this hour of the week."""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.prism.features.seasonality import UsualVolume

HOUR, FOUR_HOURS = Timeframe("1h"), Timeframe("4h")
WEEKS = 6


def weekly(peak: float = 50.0) -> np.ndarray:
    """Six weeks of hours: quiet, but for three busy hours of each week."""
    volume = np.ones(168 * WEEKS)
    for week in range(WEEKS):
        volume[168 * week + 99 : 168 * week + 102] = peak
    return volume


class TestUsualVolume:
    def test_knows_the_busy_hour_of_the_week(self):
        this, _ = UsualVolume().value(weekly(), HOUR)
        assert this[168 * 5 + 100] == 50.0
        assert this[168 * 5 + 110] == 1.0

    def test_says_before_the_hour_runs_what_will_be_usual_in_it(self):
        this, following = UsualVolume().value(weekly(), HOUR)
        assert following[168 * 5 + 99] == this[168 * 5 + 100] == 50.0

    def test_does_not_look_at_the_hour_itself(self):
        volume = weekly()
        before = UsualVolume().value(volume, HOUR)
        volume[-10:] = 1e9
        after = UsualVolume().value(volume, HOUR)
        assert np.array_equal(before.this, after.this, equal_nan=True)
        assert np.array_equal(before.following, after.following, equal_nan=True)

    def test_is_not_moved_by_one_wild_week(self):
        volume = weekly()
        volume[168 * 3 : 168 * 4] = 1e9
        this, _ = UsualVolume().value(volume, HOUR)
        assert this[168 * 5 + 110] == 1.0

    def test_leaves_missing_hours_out(self):
        volume = weekly()
        volume[168 * 3 : 168 * 4] = np.nan
        this, _ = UsualVolume().value(volume, HOUR)
        assert this[168 * 5 + 100] == 50.0

    def test_is_not_known_where_more_than_half_of_the_past_is_missing(self):
        volume = weekly()
        volume[168 * 2 : 168 * 5] = np.nan
        this, _ = UsualVolume().value(volume, HOUR)
        assert np.isnan(this[168 * 5 + 110])

    def test_runs_on_hours_or_on_slower_bars_of_the_asker(self):
        clocks = {
            name: UsualVolume().clock(Timeframe(name)).name for name in ("1s", "1m", "30m", "1h", "45m", "4h", "1d")
        }
        assert clocks == {"1s": "1h", "1m": "1h", "30m": "1h", "1h": "1h", "45m": "45m", "4h": "4h", "1d": "1d"}

    def test_needs_four_weeks_whatever_the_clock(self):
        assert UsualVolume().memory(HOUR) == 4 * 168 + 2
        assert UsualVolume().memory(FOUR_HOURS) == 4 * 42 + 2
