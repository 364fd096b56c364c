"""The footprint: by hand, and in the mirror."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tape import tape, trades
from virtuoso.market.events import Events
from virtuoso.market.features.footprint import footprint


def ladder(bought: list[float], sold: list[float], low: float = 100.0, tick: float = 0.5) -> Events:
    """Trades that buy and sell so much at each tick, from the lowest up; a size of 0 is no trade."""
    rows = []
    for k, sizes in enumerate(zip(bought, sold, strict=True)):
        rows += [(len(rows), low + k * tick, size, side) for side, size in zip((1, -1), sizes, strict=True) if size]
    return trades(*rows)


class TestVolumeAtPrice:
    """Each tick is a level of its own until there are forty-eight of them."""

    def test_by_hand(self):
        got = footprint(ladder([1, 5, 0, 2], [3, 0, 4, 1]))
        assert got.price.tolist() == [100.0, 100.5, 101.0, 101.5]
        assert got.buy.tolist() == [1, 5, 0, 2]
        assert got.sell.tolist() == [3, 0, 4, 1]
        assert got.height == 0.5

    @pytest.mark.parametrize(("ticks", "levels", "per_level"), [(0, 1, 0), (1, 2, 1), (46, 47, 1), (47, 48, 1),
                                                              (48, 17, 3), (49, 18, 3), (800, 17, 49)])  # fmt: skip
    def test_a_level_is_an_odd_number_of_ticks(self, ticks, levels, per_level):
        got = footprint(ladder([1.0] * (ticks + 1), [0.0] * (ticks + 1)))
        assert len(got.price) == levels
        assert got.height == per_level * 0.5
        assert got.buy.sum() == ticks + 1
        assert (got.buy[1:-1] == max(per_level, 1)).all()

    def test_the_tick_is_that_of_the_tape_whatever_the_venue_declares(self):
        small, large = ladder([1, 2, 3], [3, 2, 1], tick=1 / 64), ladder([1, 2, 3], [3, 2, 1], tick=8.0)
        assert footprint(small).height == 1 / 64
        np.testing.assert_array_equal(footprint(small).buy, footprint(large).buy)

    def test_ticks_that_are_not_exact_in_binary_keep_their_levels(self):
        rows = [(i, round(61_800.0 + 0.1 * k, 1), 1.0, 1) for i, k in enumerate([*range(15), *range(14, -1, -1)])]
        got = footprint(trades(*rows))
        assert got.buy.tolist() == [2.0] * 15
        np.testing.assert_allclose(got.price, 61_800 + 0.1 * np.arange(15), rtol=1e-12)

    def test_a_trade_without_a_side_is_at_no_level(self):
        got = footprint(trades((0, 100.0, 1.0, 1), (1, 100.5, 7.0, 0), (2, 101.0, 1.0, -1)))
        assert got.buy.sum() + got.sell.sum() == 2.0
        assert len(got.price) == 3

    def test_no_trades_no_levels(self):
        assert len(footprint(trades((0, 1.0, 1.0, 1)).take(slice(0, 0))).price) == 0


class TestStackedImbalances:
    """Three levels in a row at which one side outweighs the other across the diagonal by three to one."""

    def test_buying_against_the_selling_one_level_below(self):
        got = footprint(ladder([1, 6, 6, 6, 1], [2, 2, 2, 2, 2]))
        assert got.buy_stacked.tolist() == [False, True, True, True, False]
        assert not got.sell_stacked.any()

    def test_selling_against_the_buying_one_level_above(self):
        got = footprint(ladder([2, 2, 2, 2, 2], [1, 6, 6, 6, 1]))
        assert got.sell_stacked.tolist() == [False, True, True, True, False]
        assert not got.buy_stacked.any()

    def test_two_in_a_row_are_no_stack(self):
        assert not footprint(ladder([1, 6, 6, 5, 1], [2, 2, 2, 2, 2])).buy_stacked.any()

    def test_dust_against_nothing_is_no_imbalance(self):
        assert not footprint(ladder([50, 0.1, 0.1, 0.1, 50], [50, 0, 0, 0, 50])).buy_stacked.any()
        assert footprint(ladder([5, 5, 5, 5, 5], [5, 0, 0, 0, 5])).buy_stacked.tolist() == [
            False, False, True, True, True,
        ]  # fmt: skip

    def test_the_end_of_the_range_has_nothing_to_be_held_against(self):
        got = footprint(ladder([9, 9, 9, 9], [0, 0, 0, 0]))
        assert got.buy_stacked.tolist() == [False, True, True, True]

    @pytest.mark.parametrize("orders", [2, 3, 9, 40, 400])
    def test_the_mirrored_bar_is_the_mirrored_footprint(self, orders):
        for seed in range(20):
            made = tape(seed, orders)
            columns = {**made.columns, "price": 256.0 - made["price"], "side": -made["side"]}
            ours = footprint(made)
            mirrored = footprint(Events(made.kind, made.event_time, made.available_at, columns))
            np.testing.assert_allclose(mirrored.price, 256.0 - ours.price[::-1], rtol=1e-14)
            np.testing.assert_array_equal(mirrored.sell, ours.buy[::-1])
            np.testing.assert_array_equal(mirrored.sell_stacked, ours.buy_stacked[::-1])
            np.testing.assert_array_equal(mirrored.buy_stacked, ours.sell_stacked[::-1])

    def test_so_it_is_where_a_price_lies_on_the_middle_between_two_levels(self):
        """Three steps of 2.5 make a range of 7, as far as the tape shows; 3.5 is in its middle."""
        for side in (1, -1):
            rows = [(0, 0.0, 1.0, 1), (1, 3.5, 2.0, side), (2, 1.0, 4.0, -1), (3, 7.0, 8.0, 1)]
            got, other = footprint(trades(*rows)), footprint(trades(*((t, 8.0 - p, v, -s) for t, p, v, s in rows)))
            assert len(got.price) == 4
            np.testing.assert_array_equal(other.sell, got.buy[::-1])
            np.testing.assert_array_equal(other.buy, got.sell[::-1])


class TestRealTrades:
    """An hour of Binance's spot trades."""

    @pytest.fixture(scope="class")
    @classmethod
    def minutes(cls, real_data):
        import gzip
        import json

        packed = (real_data / "trades" / "binance_spot_aggTrade_BTCUSDT_20201101T09.json.gz").read_bytes()
        told = json.loads(gzip.decompress(packed))
        rows = [(t["T"], float(t["p"]), float(t["q"]), -1 if t["m"] else 1) for t in told]
        start = rows[0][0]
        made = trades(*((when - start, *rest) for when, *rest in rows))
        return [
            made.between(made.available_at[0] + i * 60_000, made.available_at[0] + (i + 1) * 60_000) for i in range(60)
        ]

    def test_its_tick_is_found_and_all_volume_is_at_a_level(self, minutes):
        heights = []
        for minute in minutes:
            got = footprint(minute)
            np.testing.assert_allclose(got.buy.sum() + got.sell.sum(), minute["size"].sum(), rtol=1e-12)
            assert 17 <= len(got.price) <= 48
            heights.append(got.height / 0.01)
        np.testing.assert_allclose(heights, np.round(heights), atol=1e-6)

    def test_a_stack_is_neither_in_every_minute_nor_in_none(self, minutes):
        stacked = [bool(f.buy_stacked.any() or f.sell_stacked.any()) for f in map(footprint, minutes)]
        assert 0.05 < np.mean(stacked) < 0.5
