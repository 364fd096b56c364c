"""The contract: one bar after another, money moves as the venue's rules say, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.account.event_lists import (
    Life,
    as_table,
    bar,
    kinds,
    life,
    lived,
    lived_slowly,
    long_,
    still,
    trade,
)
from tests.account.slow_account import NAN, Bar, Order, Terms
from tests.account.test_margin import BTC, ETH, WALLET, tier
from virtuoso.account import state as s
from virtuoso.account.engine import step
from virtuoso.account.margin import Tiers, liquidation_price
from virtuoso.account.records import BROKEN, KINDS, UNFILLED
from virtuoso.account.state import Books
from virtuoso.errors import DataError

LISTS = 10_000


class TestTheReference:
    """A slow account written from the words agrees event by event, and no money appears or vanishes."""

    def test_agrees_over_ten_thousand_random_lives(self):
        seen = np.zeros(len(KINDS), dtype=int)
        doubted = crosses = 0
        for seed in range(LISTS):
            one = life(seed)
            events, account = lived_slowly(one)
            books, _ = lived(one)
            slow, fast = as_table(events), books.events[: books.written[0]]
            assert slow.shape == fast.shape, seed
            assert (np.abs(slow - fast) <= 1e-8 + 1e-9 * np.abs(slow))[~np.isnan(slow)].all(), seed
            assert (np.isnan(slow) == np.isnan(fast)).all(), seed
            assert abs(account.wallet - books.wallet[0]) <= 1e-8, seed
            _check_identity(fast, one.cash, seed)
            # no more is lost than backs the position: its margin, or the whole account
            assert (fast[:, 10] >= -1e-9).all() if one.isolated else account.positions or account.wallet >= -1e-9, seed
            seen += np.bincount(fast[:, 2].astype(int), minlength=len(KINDS))
            doubted += int(fast[:, -1].sum())
            crosses += (
                not one.isolated and len(one.terms) > 1 and bool((fast[:, 2] == KINDS.index("liquidation")).any())
            )
        least = np.where(np.array(KINDS) == "withdrawn", 0.01, 0.1) * LISTS
        least[BROKEN] = -1.0  # that is before a bar, not of one
        assert (seen > least).all(), dict(zip(KINDS, seen, strict=True))
        assert doubted > 0.1 * LISTS
        assert crosses > 0.005 * LISTS

    def test_equity_is_the_cash_of_all_fills_and_what_is_held_at_its_mark(self):
        checked = 0
        for seed in range(1_000):
            one = life(seed)
            books, equity = lived(one)
            events = books.events[: books.written[0]]
            if max(a.leverage for a in one.terms) > 3.0 or (events[:, 2] == KINDS.index("liquidation")).any():
                continue  # the venue's insurance may have borne a part
            checked += len(events)
            filled = events[:, 4] != 0.0
            filled &= ~np.isin(events[:, 2], UNFILLED)
            paid = (events[:, 4] * events[:, 5])[filled].sum()
            held = (books.positions[:, s.SIZE] * books.positions[:, s.MARK]).sum()
            expected = one.cash - paid - events[:, 6].sum() + events[:, 9].sum() + held
            turnover = np.abs((events[:, 4] * events[:, 5])[filled]).sum()
            assert abs(equity[-1] - expected) <= 1e-9 * (turnover + one.cash), seed
        assert checked > 500

    def test_instruments_in_another_order_fare_the_same(self):
        compared = 0
        for seed in range(800):
            one = life(seed)
            n = len(one.terms)
            for t, orders in enumerate(one.orders):
                for i, order in orders.items():
                    order.rank = 10 * t + i
            turned = Life(
                one.cash, one.terms[::-1], [row[::-1] for row in one.bars],
                [{n - 1 - i: order for i, order in orders.items()} for orders in one.orders],
                one.isolated, one.pessimistic, one.halts,
            )  # fmt: skip
            _, equity = lived(one)
            _, mirrored = lived(turned)
            if n > 1:
                compared += 1
                np.testing.assert_allclose(equity, mirrored, rtol=1e-9, atol=1e-7, err_msg=str(seed))
        assert compared > 300


def _check_identity(events, cash, seed):
    """wallet = cash + realised + funding - fees, after every event, to 1e-9 of the turnover."""
    fills = np.where(np.isin(events[:, 2], UNFILLED), 0.0, np.abs(events[:, 4] * np.nan_to_num(events[:, 5])))
    expected = cash + np.cumsum(events[:, 8] + events[:, 9] - events[:, 6])
    assert (np.abs(events[:, 10] - expected) <= 1e-9 * (cash + np.cumsum(fills))).all(), seed


class TestFunding:
    """-size x mark x rate, at its own times, and the worse case where it is a matter of moments."""

    @pytest.mark.parametrize(("rate", "mark", "owed"), [(0.0001, 2.0, 0.002), (0.0002, 2.5, 0.005)])
    def test_published_units(self, rate, mark, owed):
        events, _ = trade((long_(), still(mark)), (None, still(mark, at_open=rate * mark)))
        assert events["funding"][1] == pytest.approx(-owed)

    def test_shorts_receive_what_longs_pay(self):
        events, _ = trade((Order(quantity=-10.0), still()), (None, still(at_open=0.01)))
        assert events["funding"][1] == pytest.approx(0.1)

    def test_nothing_is_paid_while_flat(self):
        events, _ = trade((None, still(at_open=0.01, inside=0.01)), (None, still(at_open=-0.01)))
        assert len(events) == 0

    @pytest.mark.parametrize(("rate", "paid"), [(0.01, [-0.1]), (-0.01, [])])
    def test_an_entry_at_the_settlement_pays_and_never_receives(self, rate, paid):
        events, _ = trade((long_(), still(at_open=rate)))
        assert events["funding"][1:].tolist() == pytest.approx(paid)

    def test_an_add_at_the_settlement_pays_for_what_it_adds_only(self):
        events, _ = trade((long_(10.0), still()), (long_(5.0), still(at_open=0.01)))
        assert events["funding"][events["funding"] != 0.0].tolist() == pytest.approx([-0.1, -0.05])

    def test_what_settles_inside_is_received_only_by_what_is_still_held(self):
        stopped = bar(100, 100, 94, 99, inside=-0.01)
        events, _ = trade((long_(stop=95.0), still()), (None, stopped))
        assert kinds(events) == ["entry", "stop"]
        events, _ = trade((long_(stop=90.0), still()), (None, stopped))
        assert kinds(events) == ["entry", "funding"]

    def test_what_settles_inside_is_paid_though_the_stop_was_hit(self):
        events, _ = trade((long_(stop=95.0), still()), (None, bar(100, 100, 94, 99, inside=0.01)))
        assert kinds(events) == ["entry", "funding", "stop"]


class TestLimits:
    """A limit entry fills where price trades through it."""

    def test_a_touch_is_not_enough(self):
        events, _ = trade((long_(limit=99.0, expires=0), bar(100, 101, 99, 100)))
        assert kinds(events) == ["lapsed"]

    def test_fills_at_its_price_as_a_maker(self):
        events, _ = trade((long_(limit=99.0), bar(100, 101, 98.9, 100, slippage=0.01)))
        assert (events["price"][0], events["fee"][0]) == (99.0, pytest.approx(10 * 99.0 * 0.0002))

    def test_a_new_one_that_the_open_is_beyond_takes_the_open(self):
        events, _ = trade((long_(limit=99.0), bar(97, 98, 96, 97)))
        assert (events["price"][0], events["fee"][0]) == (97.0, pytest.approx(10 * 97.0 * 0.0005))

    def test_its_limit_bounds_the_slippage(self):
        events, _ = trade((long_(limit=97.5), bar(97, 98, 96, 97, slippage=0.01)))
        assert events["price"][0] == 97.5

    def test_a_resting_one_fills_at_its_price_where_the_open_is_beyond_it(self):
        events, _ = trade((long_(limit=99.0, expires=1), still()), (None, bar(97, 98, 96, 97)))
        assert (events["price"][0], events["fee"][0]) == (99.0, pytest.approx(10 * 99.0 * 0.0002))

    def test_a_gap_through_limit_and_stop_loses_the_difference(self):
        events, _ = trade((long_(limit=99.0, expires=1, stop=98.0), still()), (None, bar(95, 96, 94, 95)))
        assert kinds(events) == ["entry", "stop"]
        assert events["price"].tolist() == [99.0, 95.0]

    def test_a_target_on_its_bar_counts_only_if_the_close_lies_beyond_it(self):
        order = {"limit": 99.0, "targets": [(101.0, 1.0)]}
        before = (long_(**order), bar(100, 102, 98, 100.5))
        events, _ = trade(before, (Order(out=True), still()))
        assert kinds(events) == ["entry", "signal"]
        assert events["ambiguous"].tolist() == [False, True]  # whether it lived to the signal, nobody knows
        events, _ = trade(before, pessimistic=False)
        assert kinds(events) == ["entry", "target"]
        events, _ = trade((long_(**order), bar(100, 102, 98, 101.5)))
        assert kinds(events) == ["entry", "target"]
        assert not events["ambiguous"].any()

    def test_a_trailing_stop_does_not_follow_prices_from_before_the_entry(self):
        order = long_(limit=99.0, trail=2.0, stop=90.0)
        events, _ = trade((order, bar(110, 112, 98, 100)), (None, bar(100, 100, 99, 100)))
        assert kinds(events) == ["entry"]  # 112 - 2 would have stopped it at once; 100 - 2 does not


class TestLiquidation:
    """The mark decides, and no more is lost than what backs the position."""

    @pytest.mark.parametrize("size", [20.0, -20.0])
    @pytest.mark.parametrize("isolated", [True, False])
    def test_is_at_the_price_of_the_formula(self, size, isolated):
        tiers = ((0.0, 0.005), (1_500.0, 0.02))
        wild = bar(100, 180, 20, 100)
        events, _ = trade(
            (Order(quantity=size), still()), (None, wild), cash=400.0, isolated=isolated, tiers=tiers
        )  # fmt: skip
        backing = 200.0 if isolated else events["wallet"][0]
        expected = liquidation_price(Tiers.of(*zip(*tiers, strict=True)).table, size, 100.0, backing, 0.0)
        assert kinds(events) == ["entry", "liquidation"]
        assert events["price"][1] == pytest.approx(expected, rel=1e-9)

    def test_an_open_beyond_it_is_settled_at_that_open_and_costs_the_margin_at_most(self):
        events, books = trade((long_(20.0), still()), (None, still(85.0)))
        assert events["price"][1] == 85.0
        assert events["realised"][1] == pytest.approx(-200.0)
        assert events["fee"][1] == 0.0
        assert books.wallet[0] == pytest.approx(1_000.0 - 1.0 - 200.0)

    def test_comes_before_a_stop_that_lies_behind_it(self):
        events, _ = trade((long_(20.0, stop=80.0), still()), (None, bar(100, 100, 75, 78)))
        assert kinds(events) == ["entry", "liquidation"]

    def test_comes_before_a_stop_at_the_open(self):
        events, _ = trade((long_(20.0, stop=95.0), still()), (None, still(80.0)))
        assert kinds(events) == ["entry", "liquidation"]

    def test_does_not_come_where_the_stop_lies_nearer(self):
        events, _ = trade((long_(20.0, stop=95.0), still()), (None, bar(100, 100, 75, 78)))
        assert kinds(events) == ["entry", "stop"]

    def test_goes_by_the_mark_and_not_by_the_last_price(self):
        spike = Bar(100, 100, 60, 99, 100, 100, 98, 99, 0.0, 0.0, 0.0)
        events, _ = trade((long_(20.0), still()), (None, spike))
        assert kinds(events) == ["entry"]

    def test_a_margin_that_does_not_exceed_maintenance_is_refused(self):
        events, _ = trade((long_(20.0), still()), leverage=50.0, tiers=((0.0, 0.005), (1_000.0, 0.04)))
        assert kinds(events) == ["rejected"]  # 40 of margin against 45 of maintenance: the tier does not allow 50x

    @pytest.mark.parametrize(
        ("fallen", "other", "side", "expected"),
        [(ETH, BTC, 1.0, 1_153.26), (BTC, ETH, 1.0, 26_316.89), (ETH, BTC, -1.0, 1_119.26)],
    )
    def test_cross_is_at_the_published_prices(self, fallen, other, side, expected):
        """Binance's example: one leg falls while the other stands still."""
        events = _cross(fallen, other, side)
        found = events[events["instrument"] == 0]
        assert found["price"][0] == pytest.approx(expected, abs=0.005)

    @pytest.mark.parametrize(("leg", "expected"), [(ETH, 1_114.78), (BTC, 18_778.73)])
    def test_isolated_is_at_the_published_prices(self, leg, expected):
        events = _cross(leg, None, 1.0, isolated=True)
        assert events["price"][0] == pytest.approx(expected, abs=0.005)

    def test_cross_takes_the_whole_account_and_leaves_it_at_maintenance_or_nothing(self):
        events = _cross(ETH, BTC, 1.0)
        assert kinds(events) == ["liquidation", "liquidation"]
        assert events["wallet"][-1] >= 0.0

    @pytest.mark.parametrize("turned", [False, True])
    def test_cross_charges_no_fee_that_the_account_cannot_pay(self, turned):
        """A long loses while a short wins; called together they leave less than both fees."""
        books = Books.opened(2, 100.0, 50)
        bars, terms = np.zeros((2, s.BAR_COLUMNS)), np.tile([0.0002, 0.0005, 0.0125, 100.0], (2, 1))
        long_row, short_row = (1, 0) if turned else (0, 1)
        for i, size, entry in ((long_row, 100.0, 100.0), (short_row, -100.0, 100.8)):
            own = books.positions[i]
            own[s.SIZE], own[s.ENTRY], own[s.MARK], own[s.MAX_SIZE], own[s.MARGIN] = size, entry, 100.0, 100.0, 100.0
            bars[i, s.OPEN : s.SLIPPAGE] = 100.0
        bars[long_row, s.MARK_LOW], bars[short_row, s.MARK_HIGH] = 98.0, 101.0
        step(0, bars, terms, np.array([[[0.0], [0.005], [0.0]]] * 2), books, False, True)
        assert kinds(books.named()) == ["liquidation", "liquidation"]
        assert books.wallet[0] == pytest.approx(0.0, abs=1e-9)


def _cross(fallen, other, side, isolated=False):
    """Two positions as the venue's page has them; the mark of the first falls to a third."""
    legs = [(fallen, 1.0)] + ([(other, side)] if other else [])
    n = len(legs)
    books = Books.opened(n, WALLET, 50)
    bars, terms = np.zeros((n, s.BAR_COLUMNS)), np.zeros((n, s.TERM_COLUMNS))
    terms[:, s.LEVERAGE] = 10.0
    for i, (leg, sign) in enumerate(legs):
        own = books.positions[i]
        own[s.SIZE], own[s.ENTRY] = sign * leg["size"], leg["entry"]
        own[s.MARK], own[s.MAX_SIZE] = leg["mark"], leg["size"]
        own[s.MARGIN] = WALLET
        bars[i, s.OPEN : s.SLIPPAGE] = leg["mark"]
    bars[0, s.MARK_LOW] = fallen["mark"] / 3.0
    step(0, bars, terms, np.array([tier(leg) for leg, _ in legs]), books, isolated, True)
    assert np.isnan(books.positions[:, s.LIQ_PRICE]).all()
    return books.named()


class TestPositions:
    """Adds, parts, reversals and trails."""

    def test_an_add_averages_the_entry_and_brings_the_bracket_of_the_whole(self):
        first = long_(10.0, stop=90.0, targets=[(110.0, 1.0)])
        add = long_(10.0, stop=95.0, targets=[(120.0, 0.5)])
        events, books = trade((first, still(100.0)), (add, still(104.0)), (None, bar(104, 125, 96, 104)))
        assert kinds(events) == ["entry", "entry", "target"]
        assert (events["size"][2], events["price"][2]) == (-10.0, 120.0)
        assert events["realised"][2] == pytest.approx(10 * (120.0 - 102.0))
        assert books.positions[0, s.ENTRY] == 102.0

    def test_targets_take_their_shares_of_the_whole(self):
        order = long_(10.0, targets=[(102.0, 0.5), (104.0, 0.3), (106.0, 0.2)])
        events, _ = trade((order, bar(100, 103, 100, 103)), (None, bar(103, 107, 103, 107)))
        assert events["size"].tolist() == [10.0, -5.0, -3.0, -2.0]
        assert events["price"].tolist() == [100.0, 102.0, 104.0, 106.0]

    def test_a_target_fills_at_its_price_where_the_open_is_beyond_it(self):
        events, _ = trade((long_(targets=[(102.0, 1.0)]), still()), (None, still(105.0)))
        assert events["price"][1] == 102.0

    def test_a_reversal_leaves_and_enters_at_one_open_and_pays_twice(self):
        turn = Order(out=True, quantity=-10.0)
        events, _ = trade((long_(), still()), (turn, still(101.0, slippage=0.01)))
        assert kinds(events) == ["entry", "signal", "entry"]
        assert events["price"].tolist() == [100.0, pytest.approx(101 * 0.99), pytest.approx(101 * 0.99)]
        assert (events["fee"][1:] > 0.0).all()

    def test_the_other_side_without_a_way_out_is_refused(self):
        events, _ = trade((long_(), still()), (Order(quantity=-4.0), still()))
        assert kinds(events) == ["entry", "rejected"]

    @pytest.mark.parametrize("order", [long_(stop=100.0), long_(targets=[(100.0, 1.0)]), long_(1_000.0)])
    def test_refuses_what_is_beyond_its_stop_its_target_or_the_account(self, order):
        events, books = trade((order, still()))
        assert kinds(events) == ["rejected"]
        assert books.wallet[0] == 1_000.0

    def test_a_trailing_stop_follows_the_best_price_and_never_turns_back(self):
        order = long_(trail=3.0, stop=97.0)
        rise, dip = bar(100, 110, 100, 109), bar(109, 109, 107.5, 108)
        events, _ = trade((order, rise), (None, dip), (None, bar(108, 108, 106, 107)))
        assert kinds(events) == ["entry", "stop"]
        assert events["price"][1] == 107.0

    def test_a_way_out_waits_for_a_bar_that_is_known_and_an_entry_does_not(self):
        events, _ = trade((long_(), still()), (Order(out=True), None), (None, still(97.0)))
        assert kinds(events) == ["entry", "signal"]
        events, _ = trade((long_(expires=0), None), (None, still()))
        assert kinds(events) == ["lapsed"]

    def test_in_a_gap_a_position_stands_at_its_last_mark(self):
        terms = Terms(0.0, 0.0, 0.0125, 10.0, [(0.0, 0.005)])
        bars = [[still(100.0)], [still(120.0)], [None]]
        _, equity = lived(Life(1_000.0, [terms], bars, [{0: long_()}, {}, {}], True, True))
        assert equity == [1_000.0, 1_200.0, 1_200.0]

    def test_entries_come_by_rank_and_the_last_finds_no_margin(self):
        terms = Terms(0.0, 0.0, 0.0125, 1.0, [(0.0, 0.005)])
        orders = [{0: long_(8.0, rank=2), 1: long_(8.0, rank=1)}]
        books, _ = lived(Life(1_000.0, [terms] * 2, [[still(), still()]], orders, True, True))
        events = books.named()
        assert list(zip(events["instrument"], kinds(events), strict=True)) == [(1, "entry"), (0, "rejected")]

    def test_what_one_instrument_frees_at_the_open_another_may_use(self):
        terms = Terms(0.0, 0.0, 0.0125, 1.0, [(0.0, 0.005)])
        orders = [{1: long_(8.0)}, {0: long_(8.0), 1: Order(out=True)}]
        books, _ = lived(Life(1_000.0, [terms] * 2, [[still(), still()]] * 2, orders, True, True))
        assert kinds(books.named()) == ["entry", "signal", "entry"]


class TestWhatDoesNotLeave:
    """A place is free when it is free: what counts on an exit is cut to what fits beside it if that has no bar."""

    def lived(self, order, second):
        terms = Terms(0.0, 0.0, 0.0125, 10.0, [(0.0, 0.005)])
        bars = [[still(), still()], [still(), second], [still(97.0), still()], [still(97.0), still()]]
        orders = [{1: long_(8.0)}, {0: order, 1: Order(out=True)}, {}, {}]
        books, _ = lived(Life(1_000.0, [terms] * 2, bars, orders, True, True))
        events = books.named()
        return list(zip(events["instant"], events["instrument"], kinds(events), events["size"], strict=True))

    def test_an_entry_takes_the_place_of_what_leaves_at_the_same_open(self):
        assert self.lived(long_(8.0, firm=0.0), still()) == [
            (0, 1, "entry", 8.0), (1, 1, "signal", -8.0), (1, 0, "entry", 8.0),
        ]  # fmt: skip

    @pytest.mark.parametrize("limit", [NAN, 98.0])
    def test_an_entry_is_withdrawn_where_that_has_no_bar(self, limit):
        waiting = long_(8.0, firm=0.0, limit=limit, expires=9)
        assert self.lived(waiting, None) == [(0, 1, "entry", 8.0), (1, 0, "withdrawn", 8.0), (2, 1, "signal", -8.0)]

    @pytest.mark.parametrize(("limit", "at"), [(NAN, 1), (98.0, 2)])
    def test_an_entry_is_cut_to_what_fits_beside_it(self, limit, at):
        found = self.lived(long_(8.0, firm=3.0, limit=limit, expires=9), None)
        assert (1, 0, "withdrawn", 5.0) in found
        assert (at, 0, "entry", 3.0) in found

    def test_one_that_counts_on_nothing_is_left_alone(self):
        assert (1, 0, "entry", 8.0) in self.lived(long_(8.0), None)


class TestTheLatch:
    """At the latch of a halt every waiting entry lapses; exits stay."""

    def test_a_limit_that_waits_enters_no_more(self):
        terms = Terms(0.0, 0.0, 0.0125, 10.0, [(0.0, 0.005)])
        bars = [[still(), still()], [still(), still()], [still(90.0), still()]]
        orders = [{0: long_(4.0, limit=95.0, expires=9), 1: long_(2.0)}, {}, {}]
        for halts, expected in (((), [(0, 1, 0), (2, 0, 0)]), ((1,), [(0, 1, 0), (1, 0, 6)])):
            books, _ = lived(Life(1_000.0, [terms] * 2, bars, orders, True, True, halts))
            events = books.named()
            assert list(zip(events["instant"], events["instrument"], events["kind"], strict=True)) == expected

    def test_a_way_out_stays(self):
        bars = [[still()], [None], [still(99.0)]]
        terms = Terms(0.0, 0.0, 0.0125, 10.0, [(0.0, 0.005)])
        orders = [{0: long_(4.0)}, {0: Order(out=True, quantity=-4.0, limit=101.0, expires=9)}, {}]
        books, _ = lived(Life(1_000.0, [terms], bars, orders, True, True, (1,)))
        assert kinds(books.named()) == ["entry", "lapsed", "signal"]


class TestTheRoomForEvents:
    """A table that is too small is never written beyond its end, and never believed."""

    def test_what_does_not_fit_is_counted_and_refused(self):
        books = Books.opened(1, 1_000.0, 2)
        behind = np.full((5, books.events.shape[1]), 7.0)
        books = books._replace(events=behind[:2])
        bars = np.zeros((1, s.BAR_COLUMNS))
        bars[0, : s.SLIPPAGE] = 100.0
        terms, tiers = np.array([[0.0, 0.0, 0.0, 10.0]]), Tiers.of([0.0], [0.005]).table[None]
        for t in range(5):
            books.orders[0, :4] = 1.0, 1.0, NAN, t
            step(t, bars, terms, tiers, books, True, True)
        assert books.written[0] == 9
        assert (behind[2:] == 7.0).all()
        with pytest.raises(DataError, match="room for 2 events of an account, and 9 came"):
            books.named()


def test_nan_is_no_stop_and_no_limit():
    events, _ = trade((long_(5.0, stop=NAN, limit=NAN), bar(100, 150, 50, 100)), leverage=1.0)
    assert kinds(events) == ["entry"]
