"""Rows become dense bars, or are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.builders import rows
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError, MissingColumnError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, NO_TRADE, UNKNOWN, GapPolicy

MINUTE = Timeframe("1m")
BRIDGE = GapPolicy("bridge", 5)


def seven() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Seven minutes with round prices."""
    close = np.arange(100.0, 107.0)
    columns = {"open": close - 1, "high": close + 2, "low": close - 2, "close": close, "volume": np.arange(1.0, 8.0)}
    return np.arange(7, dtype=np.int64) * 60_000, columns


def without(gone: list[int], policy: GapPolicy) -> Bars:
    times, columns = seven()
    keep = np.setdiff1d(np.arange(7), gone)
    return Bars.from_rows(MINUTE, times[keep], {k: v[keep] for k, v in columns.items()}, policy)


class TestDenseBars:
    def test_are_flat_at_the_last_close_where_nothing_traded(self):
        bars = without([2, 3], GapPolicy("no_trade", 5))
        assert bars.state[2:4].tolist() == [NO_TRADE, NO_TRADE]
        for name in ("open", "high", "low", "close"):
            assert bars.columns[name][2:4].tolist() == [101.0, 101.0]
        assert bars.columns["volume"][2:4].tolist() == [0.0, 0.0]
        assert bars.share[2:4].tolist() == [1.0, 1.0]

    def test_are_flat_but_not_known_where_they_are_bridged(self):
        bars = without([2], BRIDGE)
        assert bars.state[2] == BRIDGED
        assert bars.columns["close"][2] == 101.0
        assert bars.share[2] == 0.0

    def test_are_nan_where_they_are_unknown(self):
        bars = without([1, 2, 3], GapPolicy("bridge", 1))
        assert bars.state[2:4].tolist() == [UNKNOWN, UNKNOWN]
        assert np.isnan(bars.columns["close"][2:4]).all()
        assert np.isnan(bars.columns["volume"][2:4]).all()

    def test_fingerprint_is_of_values_not_of_where_they_came_from(self):
        assert without([], BRIDGE).fingerprint() == without([], BRIDGE).fingerprint()
        assert without([], BRIDGE).fingerprint() != without([3], BRIDGE).fingerprint()

    def test_cut_at_the_start_are_no_longer_complete(self):
        assert without([], BRIDGE).complete
        assert not without([], BRIDGE).since(3).complete
        assert without([], BRIDGE).until(3).complete


class TestRowsAreRefused:
    """E37 and E38: nothing ambiguous and nothing double passes the border."""

    def test_E38_that_come_twice(self):
        times, columns = seven()
        times[3] = times[2]
        with pytest.raises(DataError, match="comes twice"):
            Bars.from_rows(MINUTE, times, columns, BRIDGE)

    def test_that_are_out_of_order(self):
        times, columns = seven()
        with pytest.raises(DataError, match="out of order"):
            Bars.from_rows(MINUTE, times[::-1], columns, BRIDGE)

    def test_that_are_off_the_grid(self):
        times, columns = seven()
        with pytest.raises(DataError, match="not on the 1m grid"):
            Bars.from_rows(MINUTE, times + 1_000, columns, BRIDGE)

    def test_E37_that_carry_times_which_are_no_integers(self):
        times, columns = seven()
        with pytest.raises(DataError, match="integers in UTC milliseconds"):
            Bars.from_rows(MINUTE, times.astype("M8[ms]"), columns, BRIDGE)

    def test_E37_tables_without_a_zone(self):
        times, columns = seven()
        naive = pd.DataFrame(columns, index=pd.DatetimeIndex(times.astype("M8[ms]")))
        with pytest.raises(DataError, match="tz_localize"):
            MarketFrame.from_pandas(naive, "1m")

    def test_without_a_required_column(self):
        times, columns = seven()
        del columns["volume"]
        with pytest.raises(MissingColumnError, match="'volume'"):
            Bars.from_rows(MINUTE, times, columns, BRIDGE)

    def test_with_a_column_nobody_knows(self):
        times, columns = seven()
        with pytest.raises(MissingColumnError, match=r"Did you mean 'volume'\?"):
            Bars.from_rows(MINUTE, times, {**columns, "volumee": columns["volume"]}, BRIDGE)

    def test_that_are_none(self):
        with pytest.raises(DataError, match="not one 1m bar"):
            Bars.from_rows(MINUTE, np.empty(0, np.int64), seven()[1], BRIDGE)


class TestATableOfPandas:
    """A frame goes to pandas and back."""

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_in_any_resolution(self, unit):
        times, columns = rows(seed=1, bars=400, gaps=False)
        index = pd.DatetimeIndex(times.astype("M8[ms]")).as_unit(unit).tz_localize("UTC")
        frame = MarketFrame.from_pandas(pd.DataFrame(columns, index=index), "1m")
        assert frame.base.open_times.tolist() == times.tolist()
        back = frame.to_pandas().drop(columns="state")
        assert MarketFrame.from_pandas(back, "1m").base.fingerprint() == frame.base.fingerprint()

    def test_in_any_zone(self):
        times, columns = rows(seed=1, bars=400, gaps=False)
        index = pd.DatetimeIndex(times.astype("M8[ms]")).tz_localize("UTC").tz_convert("Europe/Berlin")
        assert MarketFrame.from_pandas(pd.DataFrame(columns, index=index), "1m").base.open_times[0] == times[0]
