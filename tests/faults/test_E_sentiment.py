"""Faults of derivatives data, named by their number in the reference list of faults: the faces that read them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import hours
from tests.prism.lit import frame_of, scores
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.orderflow import OpenInterest
from virtuoso.prism.faces.sentiment import FundingRate, MarketActivity, Risk
from virtuoso.prism.features.derivatives.crowd import FundingExtreme

LIT = hours(bars=1_200, lit=True)


def changed(**columns):
    """The hourly market with some columns changed at some bars."""
    base = LIT.base
    made = {name: values.copy() for name, values in base.columns.items()}
    for name, (place, value) in columns.items():
        made[name][place] = value
    times = (np.arange(len(base), dtype=np.int64) + base.first) * base.timeframe.ms
    return frame_of(base.timeframe, times, made, "simulated", "BTCUSDT")


class TestE39ExtremeFunding:
    """A settled rate of two per cent: scored within 0..100, and its raw value kept."""

    @pytest.mark.parametrize(("rate", "low", "high"), [(0.02, 0.0, 1.0), (-0.02, 99.0, 100.0)])
    def test_E39_is_scored_within_bounds(self, rate, low, high):
        frame = changed(funding_rate=(slice(1_000, 1_008), rate))
        found = scores(FundingRate(), frame)
        assert low <= found[1_000] <= found[1_004] <= high
        known = np.concatenate([x[np.isfinite(x)] for x in (found, scores(Risk(), frame))])
        assert (known >= 0.0).all()
        assert (known <= 100.0).all()

    def test_E39_keeps_the_raw_value(self):
        frame = changed(funding_rate=(slice(1_000, 1_008), 0.02))
        assert frame.base.columns["funding_rate"][1_003] == 0.02
        raw = Workspace(frame).values(FundingExtreme(), frame.timeframe, frame.base.first, frame.base.end)[0]
        assert raw[1_000] > 20.0

    def test_E39_is_no_extreme_any_more_once_it_is_history(self):
        """One settlement moves the mean of three weeks, and does not silence what follows."""
        frame = changed(funding_rate=(slice(700, 708), 0.02))
        found = scores(FundingRate(), frame)
        assert np.isfinite(found[708:]).all()
        assert 20.0 < np.mean(found[708:]) < 80.0


class TestE33NoOpenInterest:
    """An outage is not a market that everybody left: not known while it lasts, and known again after it."""

    @pytest.mark.parametrize("component", [OpenInterest(), MarketActivity(), Risk()], ids=lambda c: c.name)
    def test_E33_is_not_known_while_it_lasts_and_known_again_after_it(self, component):
        found = scores(component, changed(open_interest=(slice(1_000, 1_010), np.nan)))
        before = scores(component, LIT)
        assert np.isfinite(before[900:]).all()
        assert np.isnan(found[1_000:1_010]).all()
        assert np.isfinite(found[1_010 + 36 :]).all()
        np.testing.assert_array_equal(found[:1_000], before[:1_000])
