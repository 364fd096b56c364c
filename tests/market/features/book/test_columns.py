"""The order book as columns of bars."""

from dataclasses import replace

import numpy as np
import pytest

from tests.books import START, depth_of, ladder, living, message, trades_of, whole
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.events import events_of
from virtuoso.market.features.book.columns import BandsFeatures, BookFeatures, TickerFeatures
from virtuoso.market.features.book.rebuild import Book
from virtuoso.market.schema.columns import BOOK_COLUMNS, COLUMNS, mirrored, scaled
from virtuoso.market.schema.kinds import KINDS

S1, S10, M1 = Timeframe("1s"), Timeframe("10s"), Timeframe("1m")
MIDDLE = 2_000.0
BIDS, ASKS = ladder(MIDDLE)


def fold(events, seconds, timeframe=S1, kind=BookFeatures):
    """Columns of so many seconds from START on."""
    first = timeframe.number(START)
    return kind(timeframe).bars(events, first, first + seconds * 1_000 // timeframe.ms)


def depth(*messages):
    return {"depth": depth_of(whole(1, 10, BIDS, ASKS), *messages)}


def change(at, number, bids=(), asks=()):
    return message(at, (number, number, number - 1), bids, asks)


def in_pieces(events, seconds, timeframe, sizes, kind=BookFeatures):
    folding, at = kind(timeframe), timeframe.number(START)
    end, parts = at + seconds * 1_000 // timeframe.ms, []
    while at < end:
        until = min(at + next(sizes), end)
        after = timeframe.open_time(at) if parts else 0
        part = {name: found.between(after, timeframe.open_time(until)) for name, found in events.items()}
        parts.append(folding.bars(part, at, until))
        at = until
    return {name: np.concatenate([part[name] for part in parts]) for name in folding.columns}, folding


def differing(a, b):
    return [name for name in a if a[name].tobytes() != b[name].tobytes()]


class TestTheLaw:
    """Whole, bar by bar and in random pieces: the same bits."""

    @pytest.mark.parametrize("timeframe", [S1, S10], ids=str)
    def test_of_cutting(self, timeframe):
        events = living(seed=4, seconds=100, lost_at=50)
        whole_, folding = BookFeatures(timeframe), None
        first = timeframe.number(START)
        at_once = whole_.bars(events, first, first + 100_000 // timeframe.ms)
        random = np.random.default_rng(8)
        for sizes in (iter(lambda: 1, 0), iter(lambda: int(random.integers(1, 9)), 0)):
            parts, folding = in_pieces(events, 100, timeframe, sizes)
            assert not differing(at_once, parts)
            assert folding.gaps == whole_.gaps
        known = [name for name in at_once if np.isfinite(at_once[name]).any()]
        assert set(BOOK_COLUMNS) - set(known) <= {"bid_wall", "bid_wall_size", "ask_wall", "ask_wall_size"}

    def test_of_older_events(self):
        """Starting later, with all that came before handed in, changes nothing."""
        events = living(seed=4, seconds=60)
        first = S1.number(START)
        late = BookFeatures(S1).bars(events, first + 40, first + 60)
        assert not differing({name: values[40:] for name, values in fold(events, 60).items()}, late)

    def test_of_order(self):
        folding, first = BookFeatures(S1), S1.number(START)
        folding.bars({}, first, first + 5)
        with pytest.raises(DataError, match=f"up to bar {first + 5} of 1s"):
            folding.bars({}, first + 6, first + 7)
        with pytest.raises(DataError, match="was handed depth"):
            folding.bars(depth(), first + 5, first + 6)
        with pytest.raises(DataError, match="was handed depth"):
            fold(depth(change(2_500, 11)), 2)


class TestUnits:
    """Powers of two go through exactly; the mirrored market gives the mirrored columns."""

    EVENTS = living(seed=9, seconds=90, lost_at=30)

    def changed(self, price, size):
        return {
            kind: replace(found, columns={**found.columns, "price": price(found), "size": found["size"] * size})
            for kind, found in self.EVENTS.items()
        }

    def test_prices_and_sizes_scaled(self):
        expected = scaled(fold(self.EVENTS, 90), 8.0, 4.0)
        assert not differing(expected, fold(self.changed(lambda found: found["price"] * 8.0, 4.0), 90))

    def test_mirror(self):
        pivot = 2_070.0  # no level lies on the edge of a band, whose width is a share of the price
        flipped = {
            kind: replace(found, columns={**found.columns, "side": -found["side"]})
            for kind, found in self.changed(lambda found: 2.0 * pivot - found["price"], 1.0).items()
        }
        expected, found = mirrored(fold(self.EVENTS, 90), pivot), fold(flipped, 90)
        for name in expected:
            both = np.isfinite(expected[name]) & np.isfinite(found[name])
            assert (np.isfinite(expected[name]) == np.isfinite(found[name])).mean() > 0.98, name
            if both.any():
                size = np.abs(expected[name][both]).mean() + 1e-12
                # notional is at the mirrored price, so that shares differ by the distance from the pivot
                assert np.abs(found[name][both] - expected[name][both]).mean() <= 0.02 * size, name


class TestASlowTwin:
    """A dictionary and plain loops give the same numbers."""

    def test_agrees(self):
        events = living(seed=12, seconds=40)
        ours, book = fold(events, 40), Book()
        quotes = book.feed(events["depth"])
        times, prices = quotes.available_at, [quotes[name] for name in ("bid", "bid_size", "ask", "ask_size")]
        for bar in range(2, 40):
            opened = START + bar * 1_000
            at = [np.searchsorted(times, opened + 100 * k, side="right") - 1 for k in range(1, 11)]
            assert ours["bid"][bar] == prices[0][at[-1]]
            assert ours["ask_size"][bar] == prices[3][at[-1]]
            assert ours["spread"][bar] == pytest.approx(np.mean([prices[2][i] - prices[0][i] for i in at]))
            lean = [prices[1][i] / (prices[1][i] + prices[3][i]) - 0.5 for i in at]
            assert ours["micro_lean"][bar] == pytest.approx(np.mean(lean), abs=1e-12)
            flow, inside = 0.0, np.flatnonzero((times > opened) & (times <= opened + 1_000))
            for i in inside:
                (b0, q0, a0, r0), (b1, q1, a1, r1) = ([column[k] for column in prices] for k in (i - 1, i))
                flow += (b1 >= b0) * b1 * q1 - (b1 <= b0) * b0 * q0 - (a1 <= a0) * a1 * r1 + (a1 >= a0) * a0 * r0
            assert ours["ofi_best"][bar] == pytest.approx(flow, abs=1e-6)
            assert ours["book_updates"][bar] == len(inside)
            traded = events["trades"].between(opened, opened + 1_000)
            sold = traded["side"] < 0
            if bar > 5:
                assert ours["bid_taken"][bar] == pytest.approx((traded["price"] * traded["size"])[sold].sum())


class TestASample:
    """Is of the book as it was available at one of ten instants; nine of them make a bar."""

    def test_of_the_close_gives_prices_and_sizes(self):
        found = fold(depth(change(1_999, 11, [(1_999.75, 8.0)]), change(2_001, 12, [(1_999.75, 9.0)])), 3)
        assert found["bid_size"].tolist() == [2.0, 8.0, 9.0]

    def test_in_a_bar_that_had_a_book_too_late_gives_nothing(self):
        late = fold({"depth": depth_of(whole(150, 10, BIDS, ASKS))}, 2)
        later = fold({"depth": depth_of(whole(250, 10, BIDS, ASKS))}, 2)
        assert np.isfinite(late["spread"]).tolist() == [True, True]
        assert np.isfinite(later["spread"]).tolist() == [False, True]

    def test_adds_up_the_bands(self):
        found = fold(depth(), 1)
        for band, share in (("10bp", 0.001), ("50bp", 0.005), ("500bp", 0.05)):
            inside = sum(price * size for price, size in BIDS if MIDDLE - price <= share * MIDDLE)
            assert found[f"bid_depth_{band}"][0] == pytest.approx(inside)

    def test_does_not_know_a_band_that_reaches_beyond_a_cut_snapshot(self):
        found = fold({"depth": depth_of(whole(1, 10, BIDS, ASKS, cut=True))}, 1)
        known = [name for name in found if "_depth_" in name and np.isfinite(found[name][0])]
        assert known == [f"{side}_depth_{band}" for band in ("10bp", "50bp") for side in ("bid", "ask")]
        assert BIDS[-1][0] == MIDDLE * (1 - 0.009875)

    def test_leans_to_the_heavier_side_the_nearer_the_more(self):
        near = fold(depth(change(2, 11, [(1_999.75, 4.0)])), 1)["book_lean"][0]
        far = fold(depth(change(2, 11, [(1_998.25, 4.0)])), 1)["book_lean"][0]
        assert near > far > 0.0
        assert fold(depth(), 1)["book_lean"][0] == pytest.approx(0.0, abs=1e-3)

    def test_of_a_silent_book_gives_nothing(self):
        found = fold(depth(), 70)
        assert np.isfinite(found["bid"]).sum() == 60


class TestOrderFlow:
    """What bids gain minus what asks gain, in notional (Cont, Kukanov and Stoikov 2014)."""

    @pytest.mark.parametrize(
        ("bids", "asks", "expected"),
        [
            ([(1_999.75, 5.0)], [], 3.0 * 1_999.75),
            ([(1_999.75, 0.5)], [], -1.5 * 1_999.75),
            ([(2_000.0, 1.0)], [], 2_000.0),
            ([(1_999.75, 0.0)], [], -2.0 * 1_999.75),
            ([], [(2_000.25, 5.0)], -3.0 * 2_000.25),
            ([], [(2_000.0, 1.0)], -2_000.0),
            ([], [(2_000.25, 0.0)], 2.0 * 2_000.25),
            ([(1_990.0, 7.0)], [], 0.0),
        ],
    )
    def test_of_the_best_level(self, bids, asks, expected):
        assert fold(depth(change(1_500, 11, bids, asks)), 3)["ofi_best"].tolist() == [0.0, expected, 0.0]

    def test_of_ten_levels_weighs_the_third_a_third(self):
        found = fold(depth(change(1_500, 11, [(1_998.75, 5.0)])), 2)
        assert found["ofi_deep"][1] == pytest.approx(3.0 * 1_998.75 / 3.0)

    def test_forgets_the_book_before_a_gap(self):
        lost = message(1_200, (20, 20, 19), [(1_999.75, 9.0)])
        found = fold(depth(lost, whole(1_250, 20, [(1_999.75, 50.0), *BIDS[1:]], ASKS)), 3)
        assert found["ofi_best"][1:].tolist() == [0.0, 0.0]


class TestTakenAndPutBack:
    """Trades take from a side; what returns within five seconds is a refill, what stands after one has absorbed."""

    HIT = (2_500, 1_999.75, 1.5, -1)
    BEFORE = (500, 2_000.25, 0.25, 1)  # from then on trades are recorded

    def folded(self, *messages, seconds=12, trades=(BEFORE, HIT)):
        return fold({**depth(*messages), "trades": trades_of(*trades)}, seconds)

    def test_counts_trades_against_their_side(self):
        found = self.folded()
        assert found["bid_taken"][1:4].tolist() == [0.0, 1.5 * 1_999.75, 0.0]
        assert found["ask_taken"][1:4].tolist() == [0.0, 0.0, 0.0]

    def test_is_not_known_in_the_bar_in_which_trades_begin(self):
        assert np.isnan(self.folded()["ask_taken"][0])

    def test_counts_what_the_best_level_lost_where_no_trades_are_recorded(self):
        found = fold(depth(change(1_500, 11, [(1_999.75, 0.5)])), 3)
        assert found["bid_taken"].tolist() == [0.0, 1.5 * 1_999.75, 0.0]
        assert np.isnan(found["bid_absorbed"]).all()

    def test_counts_at_most_what_was_taken_as_put_back(self):
        found = self.folded(change(2_510, 11, [(1_999.75, 0.5)]), change(4_100, 12, [(1_999.75, 9.0)]))
        assert found["bid_refill"][2:6].tolist() == [0.0, 0.0, 1.5 * 1_999.75, 0.0]

    def test_counts_what_comes_inside_the_best_price(self):
        found = self.folded(
            change(2_510, 11, [(1_999.75, 0.0)]), change(3_100, 12, [(1_999.25, 2.25), (1_999.75, 0.5)])
        )
        assert found["bid_refill"][3] == pytest.approx(0.5 * 1_999.75 + 0.25 * 1_999.25)

    def test_does_not_count_what_comes_too_late(self):
        found = self.folded(change(2_510, 11, [(1_999.75, 0.5)]), change(7_700, 12, [(1_999.75, 9.0)]))
        assert found["bid_refill"][1:].sum() == 0.0

    def test_has_absorbed_where_the_price_still_stands_a_second_later(self):
        found = self.folded(change(2_510, 11, [(1_999.75, 0.5)]))
        assert found["bid_absorbed"][1:5].tolist() == [0.0, 0.0, 1.5 * 1_999.75, 0.0]

    def test_has_not_absorbed_where_the_price_gave_way(self):
        found = self.folded(change(2_510, 11, [(1_999.75, 0.0)]))
        assert found["bid_absorbed"][1:5].tolist() == [0.0, 0.0, 0.0, 0.0]


class TestLargeOrders:
    """That leave within seconds, untraded, are fleeting; that stay for half a minute are walls."""

    BEFORE = (500, 2_000.25, 0.25, 1)
    USUAL = 2.0

    def folded(self, *messages, seconds=10, trades=(BEFORE,)):
        return fold({**depth(*messages), "trades": trades_of(*trades)}, seconds)

    def test_leaves_at_once(self):
        found = self.folded(change(3_000, 11, [(1_998.75, 30.0)]), change(5_500, 12, [(1_998.75, 2.0)]))
        assert found["bid_fleeting"][1:7].tolist() == [0.0, 0.0, 0.0, 0.0, 28.0 * 1_998.75, 0.0]

    @pytest.mark.parametrize(
        ("size", "left_at", "trades"),
        [(9.0, 4_000, ()), (30.0, 8_500, ()), (30.0, 4_000, ((3_500, 1_998.75, 25.0, -1),))],
        ids=["usual size", "after five seconds", "traded"],
    )
    def test_is_not_fleeting(self, size, left_at, trades):
        found = self.folded(
            change(3_000, 11, [(1_998.75, size)]), change(left_at, 12, [(1_998.75, 2.0)]), trades=(self.BEFORE, *trades)
        )
        assert found["bid_fleeting"][1:].sum() == 0.0

    def test_is_not_seen_in_snapshots_alone(self):
        found = fold({"depth": depth_of(whole(1, 10, BIDS, ASKS), whole(1_500, 11, BIDS, ASKS))}, 2)
        assert np.isnan(found["bid_fleeting"]).all()

    def test_stands_as_a_wall_after_half_a_minute(self):
        ticks = [change(2_000 + 1_000 * k, 12 + k) for k in range(48)]
        found = self.folded(change(1_900, 11, [], [(2_004.25, 40.0)]), *ticks, seconds=50)
        assert np.flatnonzero(np.isfinite(found["ask_wall"]))[0] == 31
        assert found["ask_wall"][40] == 2_004.25
        assert found["ask_wall_size"][40] == 40.0 * 2_004.25
        assert np.isnan(found["bid_wall"]).all()

    def test_begins_anew_where_it_left_in_between(self):
        ticks = [change(2_000 + 1_000 * k, 12 + k) for k in range(18)]
        away = [change(20_000, 30, [], [(2_004.25, 2.0)]), change(21_000, 31, [], [(2_004.25, 40.0)])]
        more = [change(22_000 + 1_000 * k, 32 + k) for k in range(28)]
        found = self.folded(change(1_900, 11, [], [(2_004.25, 40.0)]), *ticks, *away, *more, seconds=50)
        assert np.isnan(found["ask_wall"]).all()


class TestTheColumns:
    """Are those of the data dictionary."""

    @pytest.mark.parametrize("kind", [BookFeatures, TickerFeatures, BandsFeatures])
    def test_by_name(self, kind):
        assert set(kind.columns) <= set(COLUMNS)

    def test_all_of_the_book(self):
        assert BookFeatures.columns == tuple(BOOK_COLUMNS)


class TestQuotesAlone:
    """Give what they can, the same as the book they are of."""

    def quotes(self, events):
        return {"ticker": Book().feed(events["depth"])}

    def test_agree_with_the_book(self):
        events = living(seed=15, seconds=60)
        book, ticker = fold(events, 60), fold(self.quotes(events), 60, kind=TickerFeatures)
        for name in TickerFeatures.columns:
            assert ticker[name][1:] == pytest.approx(book[name][1:], rel=1e-12), name

    def test_obey_the_law_of_cutting(self):
        events = self.quotes(living(seed=16, seconds=60))
        parts, _ = in_pieces(events, 60, S1, iter(lambda: 7, 0), TickerFeatures)
        assert not differing(fold(events, 60, kind=TickerFeatures), parts)

    def test_hold_for_five_seconds(self):
        quote = {"id": [1], "bid": [99.0], "bid_size": [1.0], "ask": [101.0], "ask_size": [3.0]}
        found = fold({"ticker": events_of(KINDS["ticker"], np.array([START + 50]), quote)}, 8, kind=TickerFeatures)
        assert np.isfinite(found["bid"]).tolist() == [True] * 5 + [False] * 3
        assert found["micro_lean"][0] == -0.25


class TestArchivedBands:
    """Are means of what arrived in a bar, else the last for five minutes."""

    def bands(self, *rows):
        made = np.array(rows, dtype=np.float64)
        columns = {"percentage": made[:, 1], "depth": np.ones(len(made)), "notional": made[:, 2]}
        return {"bands": events_of(KINDS["bands"], START + made[:, 0].astype(np.int64), columns)}

    def test_by_side_and_band(self):
        rows = [(100, -1, 10.0), (100, 1, 20.0), (100, -5, 30.0), (100, -0.2, 99.0), (30_000, -1, 14.0)]
        found = fold(self.bands(*rows), 120, M1, BandsFeatures)
        assert found["bid_depth_100bp"].tolist() == [12.0, 14.0]
        assert found["ask_depth_100bp"].tolist() == [20.0, 20.0]
        assert found["bid_depth_500bp"].tolist() == [30.0, 30.0]
        assert np.isnan(found["ask_depth_200bp"]).all()

    def test_are_not_known_after_five_minutes(self):
        found = fold(self.bands((100, 1, 20.0)), 480, M1, BandsFeatures)
        assert np.isfinite(found["ask_depth_100bp"]).tolist() == [True] * 5 + [False] * 3

    def test_obey_the_law_of_cutting(self):
        random = np.random.default_rng(2)
        rows = [
            (30_000 * k + 10, share, float(random.gamma(2.0)))
            for k in range(40) if k % 17 < 13 for share in (-5, -2, -1, 1, 2, 5)
        ]  # fmt: skip
        events = self.bands(*rows)
        parts, _ = in_pieces(events, 1_500, M1, iter(lambda: 1, 0), BandsFeatures)
        assert not differing(fold(events, 1_500, M1, BandsFeatures), parts)
