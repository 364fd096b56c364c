"""Faults of the order book, named by their number in the reference list of faults."""

from __future__ import annotations

import numpy as np
import pytest

from tests.books import START, depth_of, ladder, message, whole
from virtuoso.clock import Timeframe
from virtuoso.market.features.book.columns import BookFeatures

S1 = Timeframe("1s")
BIDS, ASKS = ladder(2_000.0)
CROSSED, IMPOSSIBLE = "crossed or locked", "impossible level"


def folded(*messages, seconds=4):
    fold = BookFeatures(S1)
    first = S1.number(START)
    return fold.bars({"depth": depth_of(*messages)}, first, first + seconds), fold


def known_bars(columns) -> list[bool]:
    """Which bars anything is known of."""
    return np.isfinite(np.stack(list(columns.values()))).any(axis=0).tolist()


class TestABookThatSaysNothing:
    """Leaves its columns unknown, and is in sync all the same: the next level may come."""

    @pytest.mark.parametrize(("bids", "asks"), [([], []), (BIDS, []), ([], ASKS)], ids=["empty", "no asks", "no bids"])
    def test_E31_empty_and_one_sided_books_are_not_known(self, bids, asks):
        columns, fold = folded(whole(1, 10, bids, asks))
        assert known_bars(columns) == [False] * 4
        assert [gap.end for gap in fold.gaps if gap.end is None] == []

    def test_E31_a_side_that_empties_and_fills_again(self):
        gone = message(1_050, (11, 11, 10), [(price, 0.0) for price, _ in BIDS])
        columns, _ = folded(whole(1, 10, BIDS, ASKS), gone, message(2_050, (12, 12, 11), BIDS[:3]))
        assert known_bars(columns) == [True, False, True, True]
        assert columns["bid_size"][0] == columns["bid_size"][3] == 2.0


class TestABookThatCannotBe:
    """Is out of sync until the next snapshot, and the ledger says so."""

    @pytest.mark.parametrize(
        ("bids", "asks", "reason"),
        [
            ([(2_000.5, 1.0)], [], CROSSED),
            ([(2_000.25, 1.0)], [], CROSSED),
            ([], [(1_999.75, 1.0)], CROSSED),
            ([(1_999.75, -1.0)], [], IMPOSSIBLE),
            ([(1_999.75, np.nan)], [], IMPOSSIBLE),
            ([(1_999.75, np.inf)], [], IMPOSSIBLE),
            ([], [(0.0, 1.0)], IMPOSSIBLE),
            ([(-5.0, 1.0)], [], IMPOSSIBLE),
            ([], [(np.nan, 1.0)], IMPOSSIBLE),
        ],
        ids=[
            "crossed",
            "locked",
            "locked by an ask",
            "negative",
            "NaN",
            "infinite",
            "price 0",
            "price < 0",
            "no price",
        ],
    )
    def test_E32_asks_for_a_snapshot(self, bids, asks, reason):
        columns, fold = folded(
            whole(1, 10, BIDS, ASKS), message(1_000, (11, 11, 10), bids, asks),
            message(1_500, (12, 12, 11), [(1_999.75, 5.0)]), whole(2_050, 13, BIDS, ASKS),
        )  # fmt: skip
        assert known_bars(columns) == [True, False, True, True]
        assert fold.gaps[-1] == (START + 1_000, START + 2_050, reason)

    @pytest.mark.parametrize("size", [0.0, -2.0])
    def test_E32_an_empty_level_of_a_snapshot(self, size):
        columns, fold = folded(whole(1, 10, [*BIDS, (1_900.0, size)], ASKS), whole(1_000, 11, BIDS, ASKS))
        assert known_bars(columns) == [False, True, True, True]
        assert len(fold.gaps) == 1

    def test_E32_a_crossed_snapshot(self):
        columns, fold = folded(whole(1, 10, BIDS, [(1_990.0, 1.0)]))
        assert known_bars(columns) == [False] * 4
        assert fold.gaps[0].end is None
