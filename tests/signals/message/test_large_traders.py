"""Participants: shares and ratios of the last hour, from closed bars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.signals.message.large_traders import institutions, market_makers

FRAME = market(lit=True, bars=3_000, gaps=False, flats=False)
LAST = FRAME.stop - 1


def changed(**columns) -> Workspace:
    base = FRAME.base
    return Workspace(MarketFrame(FRAME.instrument, replace(base, columns={**base.columns, **columns})))


def without(*names) -> Workspace:
    columns = {name: values for name, values in FRAME.base.columns.items() if name not in names}
    return Workspace(MarketFrame(FRAME.instrument, replace(FRAME.base, columns=columns)))


class TestInstitutions:
    """The largest tenth of trades."""

    def test_share_and_lean_by_hand(self):
        hour = {name: FRAME.base.columns[name][-60:].sum() for name in
                ("large_buy_volume", "large_sell_volume", "volume")}  # fmt: skip
        bought, sold, volume = hour.values()
        found = institutions(Workspace(FRAME), LAST)
        assert found.share == pytest.approx((bought + sold) / volume)
        assert found.lean == pytest.approx((bought - sold) / (bought + sold))

    def test_is_not_known_without_trades(self):
        assert np.isnan(institutions(without("large_buy_volume"), LAST).share)

    def test_is_not_known_where_most_of_the_hour_is_not(self):
        bought = FRAME.base.columns["large_buy_volume"].copy()
        bought[-40:] = np.nan
        assert np.isnan(institutions(changed(large_buy_volume=bought), LAST).share)


class TestMarketMakers:
    """Quotes against their usual."""

    def test_half_of_the_usual_depth_is_half(self):
        columns = {name: np.full(len(FRAME.base), 100.0) for name in ("bid_depth_50bp", "ask_depth_50bp")}
        for values in columns.values():
            values[-60:] = 50.0
        found = market_makers(changed(**columns), LAST)
        assert found.depth == pytest.approx(50.0 / ((23 * 100.0 + 50.0) / 24))

    def test_refill_and_patience_are_shares_of_what_was_taken(self):
        base = FRAME.base.columns
        found = market_makers(Workspace(FRAME), LAST)
        assert found.bid_refill == pytest.approx(base["bid_refill"][-60:].sum() / base["bid_taken"][-60:].sum())
        assert found.ask_held == pytest.approx(base["ask_absorbed"][-60:].sum() / base["ask_taken"][-60:].sum())


def test_what_follows_changes_nothing():
    number = FRAME.start + 2_000
    cut = Workspace(FRAME.until(FRAME.timeframe.open_time(number + 1)))
    assert market_makers(cut, number) == market_makers(Workspace(FRAME), number)
    assert institutions(cut, number) == institutions(Workspace(FRAME), number)
