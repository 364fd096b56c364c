"""The fold: pandas is the oracle where everything is known; the rule of nine tenths elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import market
from virtuoso.clock import Timeframe
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN
from virtuoso.market.resample import fold_bars

RULES = {"open": "first", "high": "max", "low": "min", "close": "last"}


@pytest.mark.parametrize(("name", "pandas_name"), [("5m", "5min"), ("30m", "30min"), ("1h", "1h"), ("4h", "4h")])
def test_equals_pandas_where_everything_is_known(name, pandas_name):
    frame = market(bars=4_800, gaps=False)
    table = frame.to_pandas().drop(columns="state")
    expected = table.resample(pandas_name).agg({c: RULES.get(c, "sum") for c in table.columns})
    folded = frame.bars(Timeframe(name))
    assert len(folded) == len(expected)
    for column in table.columns:
        assert np.allclose(folded.columns[column], expected[column], rtol=1e-13, atol=0), column
        if RULES.get(column):
            assert np.array_equal(folded.columns[column], expected[column]), column


class TestASlowBar:
    """It is known if nine tenths of its base bars are, and bridged if a fifth is."""

    @staticmethod
    def with_holes(count: int):
        frame = market(bars=60, gaps=False, flats=False)
        state = frame.base.state.copy()
        state[10 : 10 + count] = UNKNOWN
        from dataclasses import replace

        return fold_bars(replace(frame.base, state=state), Timeframe("30m"))

    def test_is_known_with_three_of_thirty_missing(self):
        folded = self.with_holes(3)
        assert folded.state[0] == TRADED
        assert folded.share[0] == pytest.approx(0.9)

    def test_is_bridged_by_what_is_known_with_four_of_thirty_missing(self):
        folded, frame = self.with_holes(4), market(bars=60, gaps=False, flats=False)
        assert folded.state.tolist() == [BRIDGED, TRADED]
        assert folded.columns["close"][0] == frame.base.columns["close"][29]
        known = np.setdiff1d(np.arange(30), np.arange(10, 14))
        assert folded.columns["high"][0] == frame.base.columns["high"][known].max()

    def test_is_unknown_with_less_than_a_fifth_known(self):
        folded = TestASlowBar.of_short_holes(25)
        assert folded.state[0] == UNKNOWN
        assert np.isnan(folded.columns["close"][0])

    @staticmethod
    def of_short_holes(count: int):
        frame = market(bars=60, gaps=False, flats=False)
        state = frame.base.state.copy()
        state[:count] = UNKNOWN
        from dataclasses import replace

        return fold_bars(replace(frame.base, state=state), Timeframe("30m"))

    def test_that_has_not_closed_does_not_exist(self):
        frame = market(bars=59, gaps=False)
        assert len(frame.bars(Timeframe("30m"))) == 1

    def test_in_which_nothing_traded_says_so(self):
        frame = market(bars=60, gaps=False, flats=False)
        from dataclasses import replace

        quiet = replace(frame.base, state=np.full(60, NO_TRADE, np.int8))
        assert fold_bars(quiet, Timeframe("30m")).state.tolist() == [NO_TRADE, NO_TRADE]


@pytest.mark.parametrize("name", ["5m", "30m", "4h"])
def test_bars_folded_alone_are_those_folded_together(name):
    """To the bit, where all is known and where single values are not: a block of bars is judged as a whole."""
    base, slow = market(bars=14_400, lit=True).base, Timeframe(name)
    base.columns["volume"][[7, 5_000, 9_999]] = np.nan
    base.columns["high"][6_000:6_020] = np.nan
    together, ratio = fold_bars(base, slow), slow.ratio(base.timeframe)
    for bar in range(0, len(together), max(len(together) // 60, 1)):
        first = (together.first + bar) * ratio - base.first
        alone = fold_bars(base.since(base.first + max(first, 0)).until(base.first + first + ratio), slow)
        for column, values in together.columns.items():
            assert alone.columns[column][-1:].tobytes() == values[bar : bar + 1].tobytes(), (column, bar)


def test_a_missing_taker_volume_does_not_silence_the_prices():
    frame = market(bars=60, gaps=False)
    frame.base.columns["taker_buy_volume"][:20] = np.nan
    folded = fold_bars(frame.base, Timeframe("30m"))
    assert np.isnan(folded.columns["taker_buy_volume"][0])
    assert np.isfinite(folded.columns["close"]).all()
    assert np.isfinite(folded.columns["taker_buy_volume"][1])


def test_a_bar_that_would_need_bars_which_were_not_loaded_is_left_out():
    frame = market(bars=300, gaps=False)
    part = frame.base.since(frame.base.first + 31)
    folded = fold_bars(part, Timeframe("30m"))
    assert folded.first == frame.bars(Timeframe("30m")).first + 2
