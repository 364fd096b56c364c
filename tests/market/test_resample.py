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
    expected = table.resample(pandas_name, closed="right", label="right").agg(
        {c: RULES.get(c, "sum") for c in table.columns}
    )
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

    @pytest.mark.parametrize(
        ("slow", "known", "state"),
        [
            # nine tenths of 10, 20, 30, 60 and 240 are whole numbers; of 5, all five are the fewest
            ("5m", 5, TRADED), ("5m", 4, BRIDGED), ("10m", 9, TRADED), ("10m", 8, BRIDGED),
            ("20m", 18, TRADED), ("20m", 17, BRIDGED), ("30m", 27, TRADED), ("30m", 26, BRIDGED),
            ("1h", 54, TRADED), ("1h", 53, BRIDGED), ("4h", 216, TRADED), ("4h", 215, BRIDGED),
            # a fifth
            ("5m", 1, BRIDGED), ("5m", 0, UNKNOWN), ("10m", 2, BRIDGED), ("10m", 1, UNKNOWN),
            ("20m", 4, BRIDGED), ("20m", 3, UNKNOWN), ("30m", 6, BRIDGED), ("30m", 5, UNKNOWN),
            ("1h", 12, BRIDGED), ("1h", 11, UNKNOWN), ("4h", 48, BRIDGED), ("4h", 47, UNKNOWN),
        ],
    )  # fmt: skip
    def test_changes_its_state_at_nine_tenths_and_at_a_fifth_of_any_ratio(self, slow, known, state):
        folded, base, inside = self.of_known(slow, known)
        ratio = len(inside)
        assert folded.state.tolist() == [state, TRADED]
        assert folded.share.tolist() == [known / ratio, 1.0]
        for name, values in folded.columns.items():
            assert np.isnan(values[0]) == (state == UNKNOWN), name
        if state != UNKNOWN:
            assert folded.columns["high"][0] == base.columns["high"][:ratio][inside].max()
            assert folded.columns["close"][0] == base.columns["close"][:ratio][inside][-1]

    @pytest.mark.parametrize("slow", ["10m", "30m", "4h"])
    def test_needs_nine_tenths_of_a_column_where_it_is_known_and_a_fifth_where_it_is_bridged(self, slow):
        """Each column is judged by itself, with the share that made the bar what it is."""
        ratio = Timeframe(slow).ratio(Timeframe("1m"))
        for bar_known, column_known, tells in [
            (ratio, ratio * 9 // 10, True),
            (ratio, ratio * 9 // 10 - 1, False),
            (ratio * 9 // 10 - 1, ratio // 5, True),
            (ratio * 9 // 10 - 1, ratio // 5 - 1, False),
        ]:
            folded, _, _ = self.of_known(slow, bar_known, column_known)
            assert np.isfinite(folded.columns["taker_buy_volume"][0]) == tells, (bar_known, column_known)
            assert np.isfinite(folded.columns["close"][0])

    @staticmethod
    def of_known(slow: str, known: int, of_a_column: int | None = None):
        """Two slow bars, of the first of which so many base bars are known, spread over it; and of one column fewer."""
        from dataclasses import replace

        ratio = Timeframe(slow).ratio(Timeframe("1m"))
        frame = market(bars=2 * ratio, gaps=False, flats=False)
        places = np.random.default_rng(ratio + known).permutation(ratio)[:known]
        inside = np.isin(np.arange(ratio), places)
        state = frame.base.state.copy()
        state[:ratio][~inside] = UNKNOWN
        columns = {name: values.copy() for name, values in frame.base.columns.items()}
        if of_a_column is not None:
            columns["taker_buy_volume"][places[of_a_column:]] = np.nan
        return fold_bars(replace(frame.base, state=state, columns=columns), Timeframe(slow)), frame.base, inside

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
