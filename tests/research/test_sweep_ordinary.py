"""An ordinary bar: what the sweep does to the books instead of the contract's step is what the step does."""

import numpy as np
import pytest
from numba import njit

from virtuoso.account import state as s
from virtuoso.account.engine import step
from virtuoso.account.margin import Tiers
from virtuoso.account.records import CLOSED, ENTERED, REJECTED, STOPPED, TARGETED
from virtuoso.account.state import Books
from virtuoso.research.sweep.ordinary import liquidated_at, ordinary
from virtuoso.research.sweep.skip import summarised


@njit
def passed(instant, t, summaries, bars, term, tiers, books, pessimistic):
    own = books.positions[0]
    called = liquidated_at(tiers, own[s.SIZE], own[s.ENTRY], own[s.MARGIN])
    return ordinary(instant, t, summaries, bars, term, tiers, called, books, pessimistic)


def any_bar(random):
    """A known bar about 100 with marks of its own, shape (1, BAR_COLUMNS); most settle no funding."""
    bar = np.zeros((1, s.BAR_COLUMNS))
    for first in (s.OPEN, s.MARK_OPEN):
        prices = 100.0 + random.normal(0.0, 2.0, 4).round(1)
        bar[0, first : first + 4] = prices[0], prices.max(), prices.min(), prices[1]
    bar[0, s.SLIPPAGE] = random.choice([0.0, 0.0005])
    bar[0, s.FUNDING_OPEN] = random.choice([0.0, 0.01], p=[0.9, 0.1])
    return bar


def reach_of(bar):
    """What `Sweep` makes of a bar: everything is reached where funding settles."""
    if bar[0, [s.FUNDING_OPEN, s.FUNDING_INSIDE]].any():
        return np.array([[-np.inf, np.inf, -np.inf, np.inf]])
    low, high = bar[0, [s.OPEN, s.LOW]].min(), bar[0, [s.OPEN, s.HIGH]].max()
    return np.array([[low, high, bar[0, [s.MARK_OPEN, s.MARK_LOW]].min(), bar[0, [s.MARK_OPEN, s.MARK_HIGH]].max()]])


def any_position(random):
    own = np.zeros(s.POSITION_COLUMNS)
    own[[s.STOP, s.TRAIL, s.LIQ_PRICE]] = np.nan
    if random.random() < 0.7:
        side, size, entry = random.choice([-1.0, 1.0]), random.uniform(1.0, 60.0), 100.0 + random.normal(0.0, 2.0)
        own[[s.SIZE, s.MAX_SIZE, s.ENTRY]] = side * size, size * random.uniform(1.0, 2.0), entry
        own[[s.MARGIN, s.STOP, s.ENTRY_ORDER]] = size * entry / 10.0, entry - side * random.exponential(3.0), 3.0
        own[s.TARGET : s.TARGET + 3] = entry + side * np.sort(random.exponential(2.0, 3)).round(1)
        own[s.SHARE : s.SHARE + 3] = random.choice([0.0, 0.3, 0.4], 3)
    return own


def any_order(random):
    order = np.zeros(s.ORDER_COLUMNS)
    order[s.LIMIT], order[s.CLOSE_FIRST], order[s.EXPIRES] = np.nan, random.choice([0.0, 1.0]), 5.0
    if random.random() < 0.5:
        side = random.choice([-1.0, 1.0])
        order[s.QUANTITY], order[s.RANK] = side * random.uniform(1.0, 900.0), 4.0
        order[s.ORDER_STOP], order[s.ORDER_TRAIL] = 100.0 - side * random.exponential(4.0), np.nan
        order[s.ORDER_TARGET : s.ORDER_TARGET + 3] = 100.0 + side * np.sort(random.exponential(4.0, 3))
        order[s.ORDER_SHARE : s.ORDER_SHARE + 3] = 0.3, 0.3, 0.4
        if random.random() < 0.2:
            order[s.LIMIT] = 100.0 - side
    return order


class TestOrdinaryBars:
    """An ordinary bar does to the books what the contract's step does, bit for bit, or nothing at all."""

    @pytest.mark.parametrize("pessimistic", [True, False])
    def test_random_bars_on_random_books(self, pessimistic):
        random, done, kinds = np.random.default_rng(12), 0, set()
        term, tiers = np.array([[0.0002, 0.0005, 0.01, 10.0]]), Tiers.of([0.0, 3_000.0], [0.01, 0.02]).table[None]
        for _ in range(4_000):
            bar, held, order = any_bar(random), any_position(random), any_order(random)
            summaries = summarised(reach_of(bar), bar[:, s.MARK_CLOSE], bar[:, s.OPEN], np.empty(0, np.int64))
            books, own = (Books.opened(1, 10_000.0, s.EVENTS_A_BAR) for _ in range(2))
            for each in (books, own):
                each.positions[0], each.orders[0] = held, order
            before = [part.copy() for part in own[:3]]
            if not passed(5, 0, summaries, bar[None], term[0], tiers[0], own, pessimistic):
                assert all(now.tobytes() == was.tobytes() for now, was in zip(own[:3], before, strict=True))
                assert own.written[0] == 0
                continue
            step(5, bar, term, tiers, books, True, pessimistic)
            assert own.named().tobytes() == books.named().tobytes()
            np.testing.assert_array_equal(own.positions, books.positions)
            np.testing.assert_array_equal(own.orders, books.orders)
            assert own.wallet == books.wallet
            kinds |= set(own.named()["kind"].tolist())
            done += 1
        assert done > 1_000
        assert {ENTERED, CLOSED, STOPPED, TARGETED, REJECTED} <= kinds

    def test_refuses_what_only_the_contract_knows(self):
        bar, term = any_bar(np.random.default_rng(1)), np.array([0.0, 0.0, 0.0, 5.0])
        tiers = Tiers.of([0.0], [0.005]).table
        books = Books.opened(1, 10_000.0, s.EVENTS_A_BAR)
        books.orders[0, [s.QUANTITY, s.ORDER_STOP]] = 1.0, 50.0

        def passes(**changed):
            other = bar.copy()
            for name, value in changed.items():
                other[0, getattr(s, name)] = value
            summaries = summarised(reach_of(other), other[:, s.MARK_CLOSE], other[:, s.OPEN], np.empty(0, np.int64))
            return passed(5, 0, summaries, other[None], term, tiers, books, True)

        assert not passes(OPEN=np.nan)
        assert not passes(FUNDING_OPEN=0.1)
        assert not passes(FUNDING_INSIDE=-0.1)
        assert not passes(MARK_LOW=0.01)
        books.orders[0, s.LIMIT] = 100.0
        assert not passes()
        books.orders[0, s.LIMIT] = np.nan
        assert passes()
