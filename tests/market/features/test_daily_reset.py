"""Folds that begin anew every midnight: what they remember has a bound, and no start can be told from another."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.happenings import DAY, START, trades
from virtuoso.clock import Timeframe
from virtuoso.market.events import concat_events
from virtuoso.market.features.daily_reset import DailyReset
from virtuoso.market.schema.kinds import KINDS

H1 = Timeframe("1h")
FIRST = START // H1.ms
TAPE = concat_events([trades(seed=k, n=300, start=START + k * DAY) for k in range(5)], KINDS["trades"])


class Counts:
    """Says how many trades it has seen since it began: the longest memory a fold can have."""

    kinds = ("trades",)
    columns = ("trades",)

    def __init__(self, timeframe):
        self.timeframe, self.seen = timeframe, 0

    def bars(self, events, first, end):
        edges = np.arange(first + 1, end + 1) * self.timeframe.ms
        counts = self.seen + np.searchsorted(events["trades"].available_at, edges, side="right")
        self.seen += len(events["trades"])
        return {"trades": counts.astype(np.float64)}


def between(first: int, end: int):
    return {"trades": TAPE.between(first * H1.ms, end * H1.ms)}


def folded(first: int, end: int, edges=()):
    fold, edges = DailyReset(Counts, H1), sorted({first, end, *edges})
    parts = [fold.bars(between(a, b), a, b)["trades"] for a, b in pairwise(edges)]
    return np.concatenate(parts)


class TestAnAnchoredFold:
    """Shows of each day what a fold knows that began with the day before."""

    def test_remembers_yesterday_and_today(self):
        counts = folded(FIRST, FIRST + 5 * 24)
        for bar in range(24, 5 * 24):
            since = START + (bar // 24 - 1) * DAY
            assert counts[bar] == len(TAPE.between(since, (FIRST + bar + 1) * H1.ms))

    @given(st.lists(st.integers(FIRST, FIRST + 5 * 24), max_size=12))
    def test_is_the_same_in_any_pieces(self, edges):
        assert (folded(FIRST, FIRST + 5 * 24, edges) == folded(FIRST, FIRST + 5 * 24)).all()

    @pytest.mark.parametrize("day", [1, 2, 3])
    def test_is_the_same_from_any_midnight_on_after_a_day(self, day):
        whole, late = folded(FIRST, FIRST + 5 * 24), folded(FIRST + day * 24, FIRST + 5 * 24)
        assert (late[24:] == whole[(day + 1) * 24 :]).all()
        assert (late[:24] != whole[day * 24 : (day + 1) * 24]).all()

    def test_leaves_out_what_came_before_it_began(self):
        fold = DailyReset(Counts, H1)
        assert fold.bars({"trades": TAPE.between(0, (FIRST + 49) * H1.ms)}, FIRST + 48, FIRST + 49)["trades"][0] < 60

    def test_of_no_bars_is_nothing(self):
        assert len(DailyReset(Counts, H1).bars(between(FIRST, FIRST), FIRST, FIRST)["trades"]) == 0
