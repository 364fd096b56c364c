"""Further levels: walls of the book, and squeeze points where they are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.open_interest.analysis import squeezes_at
from virtuoso.prism.prism import Prism
from virtuoso.signals.extra_levels import LEAST_STRENGTH, extra_levels
from virtuoso.signals.levels import level_snapshot
from virtuoso.signals.settings import LevelSettings

FRAME = market(lit=True, bars=9_000, gaps=False)
NUMBERS = FRAME.start + np.arange(6_000, 9_000, 37)
PRISM = Prism.classic()


def with_walls(below: float, above: float) -> Workspace:
    close = FRAME.base.columns["close"]
    columns = {**FRAME.base.columns, "bid_wall": close - below, "ask_wall": close + above}
    return Workspace(MarketFrame(FRAME.instrument, replace(FRAME.base, columns=columns)))


def drawn(workspace: Workspace, **settings):
    return level_snapshot(PRISM, workspace, NUMBERS, LevelSettings(**settings))


class TestWalls:
    """A lasting wall is a level, unless one stands there already."""

    def test_the_nearest_ones_become_the_nearest_levels(self):
        plain, walled = drawn(with_walls(0.001, 0.001), walls=False), drawn(with_walls(0.001, 0.001))
        alone = np.abs(plain.resistances[:, 0] - plain.price) > plain.atr
        assert alone.sum() > 10
        np.testing.assert_allclose(walled.resistances[alone, 0], plain.price[alone] + 0.001)
        np.testing.assert_array_equal(walled.resistances[alone, 1:], plain.resistances[alone, :-1])

    def test_one_beside_a_level_adds_nothing(self):
        plain = drawn(with_walls(np.nan, np.nan))
        beside = plain.resistances[:, 0] - plain.price + 0.01 * plain.atr
        place = NUMBERS - FRAME.base.first
        above = np.full(len(FRAME.base), np.nan)
        above[place] = beside
        walled = drawn(with_walls(np.nan, above))
        known = np.isfinite(beside)
        np.testing.assert_array_equal(walled.resistances[known], plain.resistances[known])

    def test_levels_stay_in_order(self):
        found = drawn(with_walls(0.7, 0.4))
        for levels, side in ((found.supports, -1.0), (found.resistances, 1.0)):
            away = side * (levels - found.price[:, None])
            assert (np.diff(away, axis=1)[np.isfinite(np.diff(away, axis=1))] > 0.0).all()
            assert (away[np.isfinite(away)] > 0.0).all()

    def test_none_are_drawn_where_the_book_is_not_carried(self):
        columns = {n: v for n, v in FRAME.base.columns.items() if not n.endswith("_wall")}
        bare = Workspace(MarketFrame(FRAME.instrument, replace(FRAME.base, columns=columns)))
        assert extra_levels(bare, NUMBERS, LevelSettings()).shape == (len(NUMBERS), 0)


class TestSqueezePoints:
    """Estimates become levels only where that is asked for."""

    def test_are_left_out_by_default(self):
        assert extra_levels(Workspace(FRAME), NUMBERS[:3], LevelSettings(walls=False)).shape[1] == 0

    def test_strong_ones_are_levels_where_asked_for(self):
        workspace = Workspace(FRAME)
        found = extra_levels(workspace, NUMBERS, LevelSettings(walls=False, squeezes=True))
        assert np.isfinite(found).any()
        for row, number in zip(found, NUMBERS, strict=True):
            strong = [p.price for p in squeezes_at(workspace, int(number)) if p.strength >= LEAST_STRENGTH]
            assert row[np.isfinite(row)].tolist() == pytest.approx(strong)
