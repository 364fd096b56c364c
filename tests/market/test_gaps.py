"""A missing bar is classified by how long the silence has lasted so far."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN, GapPolicy, classify, policy_for

T, F, B, U = TRADED, NO_TRADE, BRIDGED, UNKNOWN


def states(text: str, policy: GapPolicy) -> list[int]:
    return classify(np.array([c == "x" for c in text]), policy).tolist()


class TestASilence:
    def test_is_a_fact_for_five_minutes_where_only_trades_are_published(self):
        assert states("x.....x", GapPolicy("no_trade", 5)) == [T, F, F, F, F, F, T]

    def test_is_unknown_from_the_sixth_minute_on(self):
        assert states("x.......x", GapPolicy("no_trade", 5)) == [T, F, F, F, F, F, U, U, T]

    def test_is_bridged_elsewhere(self):
        assert states("x..x", GapPolicy("bridge", 5)) == [T, B, B, T]

    def test_cuts_at_once_where_nothing_is_bridged(self):
        assert states("x.x", GapPolicy("cut", 0)) == [T, U, T]

    def test_before_the_first_bar_is_unknown(self):
        assert states("..x", GapPolicy("no_trade", 5)) == [U, U, T]

    @given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 59))
    def test_is_judged_by_the_past_alone(self, present, cut):
        rows, policy = np.array(present), GapPolicy("bridge", 5)
        assert classify(rows[:cut], policy).tolist() == classify(rows, policy)[:cut].tolist()


class TestThePolicy:
    @pytest.mark.parametrize(
        ("venue", "ms", "policy"),
        [
            ("bitfinex-spot", 60_000, GapPolicy("no_trade", 5)),
            ("binance-usdm", 60_000, GapPolicy("bridge", 5)),
            ("binance-usdm", 300_000, GapPolicy("cut", 0)),
            ("bitfinex-spot", 14_400_000, GapPolicy("cut", 0)),
        ],
    )
    def test_depends_on_the_venue_and_the_timeframe(self, venue, ms, policy):
        assert policy_for(venue, ms) == policy
