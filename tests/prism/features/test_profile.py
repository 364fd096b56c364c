"""The volume profile: where the business was done, without a price grid."""

from __future__ import annotations

import numpy as np
import pytest

from virtuoso.clock import Timeframe
from virtuoso.prism.features.profile import SMEAR_BARS, ValueArea


def levels(high, low, volume, period=10, first=0, wanted=0):
    return ValueArea(period=period).value(high, low, volume, first, wanted)


def boxes(*spans: tuple[float, float, float], before: int = SMEAR_BARS):
    """Bars of low, high and volume, after bars without volume that say how far to smear."""
    lows, highs, volumes = (np.array(part) for part in zip(*spans, strict=True))
    quiet = np.full(before, 0.0)
    return np.concatenate((quiet + 1.0, highs)), np.concatenate((quiet, lows)), np.concatenate((quiet, volumes))


class TestThePointOfControl:
    def test_is_where_most_was_traded_per_unit_of_price(self):
        spans = [(100.0, 101.0, 1.0)] * 5 + [(104.0, 105.0, 3.0)] * 3 + [(100.0, 110.0, 5.0)] * 2
        control, _, _ = levels(*boxes(*spans))
        assert 104.0 <= control[-1] <= 105.0

    def test_lies_inside_the_value_area(self):
        random = np.random.default_rng(3)
        low = 100.0 + np.cumsum(random.standard_normal(500))
        control, bottom, top = levels(low + random.gamma(2.0, 1.0, 500), low, random.gamma(2.0, 5.0, 500), 96)
        known = np.isfinite(control)
        assert known.sum() > 380
        assert (bottom[known] <= control[known]).all()
        assert (control[known] <= top[known]).all()

    def test_forgets_what_has_left_the_window(self):
        spans = [(100.0, 101.0, 1e6)] + [(200.0, 201.0, 1.0)] * 10
        control, _, _ = levels(*boxes(*spans))
        assert 100.0 <= control[-2] <= 101.0
        assert 200.0 <= control[-1] <= 201.0


class TestTheValueArea:
    def test_of_one_even_box_is_its_middle_share(self):
        control, low, high = levels(*boxes(*[(100.0, 110.0, 1.0)] * 10, before=30))
        smear = 0.25 * (4 * 1.0 + 10 * 10.0) / 14  # of the last box; those before it reached less far
        assert control[-1] == pytest.approx(105.0)
        assert high[-1] - 105.0 == pytest.approx(105.0 - low[-1])
        assert 0.5 * 10.0 < high[-1] - low[-1] < 0.7 * (10.0 + 2.0 * smear)

    def test_takes_from_the_other_side_what_one_side_lacks(self):
        """Control near the top: most of the value lies below it."""
        spans = [(100.0, 110.0, 1.0)] * 8 + [(109.0, 110.0, 1.0)] * 2
        control, low, high = levels(*boxes(*spans))
        assert control[-1] > 108.5
        assert control[-1] - low[-1] > 2.0 * (high[-1] - control[-1])


class TestWhatIsNotKnown:
    def test_is_a_profile_without_volume(self):
        control, _, _ = levels(*boxes(*[(100.0, 101.0, 0.0)] * 12))
        assert np.isnan(control).all()

    def test_is_a_profile_of_a_market_that_does_not_move(self):
        flat = np.full(40, 100.0)
        assert np.isnan(levels(flat, flat, np.ones(40))[0]).all()

    def test_is_a_window_of_which_more_than_a_tenth_is_missing(self):
        high, low, volume = boxes(*[(100.0, 101.0 + i, 1.0) for i in range(40)])
        high[30] = np.nan
        one, _, _ = levels(high, low, volume)
        assert np.isfinite(one[24:]).all()
        high[31] = np.nan
        two, _, _ = levels(high, low, volume)
        assert np.isnan(two[31:40]).all()
        assert np.isfinite(two[40:]).all()


class TestTheClock:
    @pytest.mark.parametrize(
        ("asked", "built"),
        [("1s", "1m"), ("1m", "5m"), ("5m", "30m"), ("30m", "2h"), ("2h", "4h"), ("4h", "4h"), ("1d", "1d")],
    )
    def test_is_the_next_slower_one(self, asked, built):
        assert ValueArea().clock(Timeframe(asked)) == Timeframe(built)

    def test_answers_only_what_is_wanted(self):
        high, low, volume = boxes(*[(100.0, 101.0 + i, 1.0) for i in range(40)])
        whole, late = levels(high, low, volume)[0], levels(high, low, volume, wanted=45)[0]
        assert np.isnan(late[:45]).all()
        assert np.array_equal(whole[45:], late[45:])
