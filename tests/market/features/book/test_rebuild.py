"""The order book: rebuilt from snapshots and changes, checked by their ids."""

from itertools import pairwise

import numpy as np
import pytest

from tests.books import START, depth_of, ladder, living, message, trades_of, whole
from virtuoso.errors import ConfigError, DataError
from virtuoso.market.events import Events, concat_events, events_of
from virtuoso.market.features.book.rebuild import Book, OutOfSync, drained
from virtuoso.market.features.book.state import HELD_ROWS, SILENCE_MS, feed_rows, new_state, rows_of
from virtuoso.market.schema.kinds import KINDS, NO_ID
from virtuoso.venues.streams.binance import read_recording

BIDS, ASKS = [(100.0, 1.0), (99.0, 2.0), (98.0, 3.0)], [(101.0, 4.0), (102.0, 5.0)]


def book_of(*messages) -> Book:
    book = Book()
    book.feed(depth_of(*messages))
    return book


def sides(book: Book) -> list[list[tuple[float, float]]]:
    return [list(zip(*(values.tolist() for values in book.levels(side)), strict=True)) for side in ("bid", "ask")]


class TestAChange:
    """Sets the size of each level it names, removes those of size 0, leaves all others alone."""

    def test_sets_adds_and_removes(self):
        book = book_of(
            whole(0, 10, BIDS, ASKS), message(5, (11, 12, 10), [(99.0, 0.0), (99.5, 7.0), (97.0, 1.0)], [(101.0, 9.0)])
        )
        assert sides(book) == [
            [(100.0, 1.0), (99.5, 7.0), (98.0, 3.0), (97.0, 1.0)], [(101.0, 9.0), (102.0, 5.0)]
        ]  # fmt: skip
        assert (book.in_sync, book.last_id) == (True, 12)

    def test_may_remove_what_is_not_there_and_may_name_nothing(self):
        book = book_of(whole(0, 10, BIDS, ASKS), message(5, (11, 11, 10), [(50.0, 0.0)]), message(6, (12, 13, 11)))
        assert sides(book) == [BIDS, ASKS]
        assert book.last_id == 13

    def test_keeps_thousands_of_levels_sorted(self):
        events = living(seed=5, seconds=40)["depth"]
        book, twin = Book(), {}
        book.feed(events)
        for side, price, size in zip(events["side"], events["price"], events["size"], strict=True):
            twin[side, price] = size
        expected = {key: size for key, size in twin.items() if size > 0.0}
        bids, asks = sides(book)
        assert bids == sorted(((p, s) for (side, p), s in expected.items() if side == 1), reverse=True)
        assert asks == sorted((p, s) for (side, p), s in expected.items() if side == -1)


class TestTheSequence:
    """Ids prove that nothing is missing; where they do not, the book is not known until the next snapshot."""

    @pytest.mark.parametrize("previous", [10, NO_ID], ids=["pu as USD-M sends it", "U as spot sends it"])
    def test_follows_the_message_before(self, previous):
        assert book_of(whole(0, 10, BIDS, ASKS), message(1, (11, 15, previous), BIDS[:1])).in_sync

    @pytest.mark.parametrize("ids", [(12, 15, 11), (12, 15, NO_ID)], ids=["USD-M", "spot"])
    def test_breaks_at_a_gap_until_the_next_snapshot(self, ids):
        lost = message(50, ids, [(100.0, 9.0)])
        book = book_of(whole(0, 10, BIDS, ASKS), lost)
        assert not book.in_sync
        assert sides(book) == [[], []]
        assert book.gaps == [OutOfSync(START + 50, None, "gap in the sequence")]
        book.feed(depth_of(whole(90, 15, BIDS, ASKS)))
        assert book.gaps == [OutOfSync(START + 50, START + 90, "gap in the sequence")]
        assert sides(book) == [BIDS, ASKS]

    def test_leaves_out_what_the_book_contains_already(self):
        book = book_of(whole(0, 10, BIDS, ASKS), message(1, (5, 10, 4), [(100.0, 77.0)]))
        assert sides(book) == [BIDS, ASKS]

    def test_takes_a_message_that_begins_inside_the_snapshot(self):
        book = book_of(whole(0, 10, BIDS, ASKS), message(1, (8, 12, 7), [(100.0, 77.0)]))
        assert book.levels("bid")[1][0] == 77.0

    def test_is_not_checked_where_the_source_has_no_ids(self):
        nothing = (NO_ID, NO_ID, NO_ID)
        book = book_of(message(0, nothing, BIDS, ASKS, 1), message(1, nothing, [(100.0, 0.0)]))
        assert sides(book)[0] == BIDS[1:]

    def test_of_a_source_without_ids_ends_with_a_minute_of_silence(self):
        nothing = (NO_ID, NO_ID, NO_ID)
        late = SILENCE_MS + 2
        book = book_of(message(0, nothing, BIDS, ASKS, 1), message(late, nothing, [(100.0, 5.0)]))
        assert book.gaps == [OutOfSync(START + SILENCE_MS, None, "silence")]

    def test_survives_silence_where_ids_prove_it_and_says_so(self):
        late = SILENCE_MS + 500
        book = book_of(whole(0, 10, BIDS, ASKS), message(late, (11, 12, 10), [(100.0, 5.0)]))
        assert book.in_sync
        assert book.gaps == [OutOfSync(START + SILENCE_MS, START + late, "silence")]


class TestASnapshotThatComesLate:
    """Changes that arrived before it are held, and applied as far as it does not contain them."""

    def test_is_brought_up_to_date(self):
        book = book_of(
            message(0, (1, 5, 0), [(100.0, 50.0)]), message(1, (6, 12, 5), [(99.0, 60.0)]),
            message(2, (13, 14, 12), [(98.0, 70.0)]), whole(3, 10, BIDS, ASKS),
            message(4, (15, 15, 14), [(97.0, 80.0)]),
        )  # fmt: skip
        assert sides(book)[0] == [(100.0, 1.0), (99.0, 60.0), (98.0, 70.0), (97.0, 80.0)]
        assert book.gaps == [OutOfSync(START, START + 3, "no snapshot yet")]

    def test_is_not_enough_where_changes_in_between_are_missing(self):
        early = whole(3, 10, BIDS, ASKS)
        book = book_of(message(0, (21, 25, 20), [(100.0, 50.0)]), early)
        assert not book.in_sync
        book.feed(depth_of(whole(5, 22, BIDS, ASKS)))
        assert book.levels("bid")[1][0] == 50.0

    def test_older_than_the_book_is_left_out(self):
        book = book_of(whole(0, 10, BIDS, ASKS), message(1, (11, 12, 10), [(100.0, 9.0)]), whole(2, 11, ASKS[:0], ASKS))
        assert book.levels("bid")[1][0] == 9.0

    def test_finds_as_many_held_changes_as_there_is_room_for(self):
        n = HELD_ROWS + 500
        changes = [message(k, (k + 1, k + 1, k), [(100.0, k + 1.0)]) for k in range(n)]
        assert not book_of(*changes, whole(n, 400, BIDS, ASKS)).in_sync
        assert book_of(*changes, whole(n, 600, BIDS, ASKS)).levels("bid")[1][0] == float(n)


class TestATableThatIsTooSmall:
    """Nothing is written beyond its end, and nothing of it is used."""

    @pytest.mark.parametrize(("capacity", "gaps", "what"), [(4, 9, "levels"), (64, 0, "gaps")])
    def test_is_refused(self, capacity, gaps, what):
        book = new_state(capacity)
        lost = message(100, (50, 51, 49), bids=[(99.0, 1.0)])
        depth = depth_of(whole(0, 10, *ladder(100.0, levels=9)), lost, whole(500, 60, *ladder(100.0, levels=9)))
        table = np.empty((gaps, 3), dtype=np.int64)
        quotes = np.empty((len(depth), 2), dtype=np.int64), np.empty((len(depth), 4))
        feed_rows(book, rows_of(depth), np.empty(len(depth)), *quotes, table)
        with pytest.raises(DataError, match=f"{what} of an order book"):
            drained(book, table)
        assert (book.now["count"] <= capacity).all()


class TestFeedingInPieces:
    """Any pieces give the same bits, and two books share nothing."""

    def test_gives_the_same_quotes_and_levels(self):
        events = living(seed=6, seconds=60, lost_at=25)["depth"]
        at_once, in_pieces = Book(), Book()
        quotes = at_once.feed(events)
        cuts = np.unique(events.available_at)[[30, 31, 120, 200]]
        edges = [0, *cuts.tolist(), int(events.available_at[-1])]
        parts = [in_pieces.feed(events.between(a, b)) for a, b in pairwise(edges)]
        assert concat_events(parts, KINDS["ticker"]).digest() == quotes.digest()
        assert sides(in_pieces) == sides(at_once)
        assert in_pieces.gaps == at_once.gaps
        assert len(at_once.gaps) == 1

    def test_leaves_another_book_alone(self):
        one, other = book_of(whole(0, 10, BIDS, ASKS)), book_of(whole(0, 10, *ladder(50.0)))
        other.feed(depth_of(message(1, (11, 11, 10), [(49.75, 0.0)])))
        assert sides(one) == [BIDS, ASKS]

    def test_refuses_what_comes_too_late(self):
        book = book_of(whole(5, 10, BIDS, ASKS))
        with pytest.raises(DataError, match="a millisecond in one piece"):
            book.feed(depth_of(message(5, (11, 11, 10), BIDS)))

    def test_refuses_other_events_and_other_sides(self):
        with pytest.raises(DataError, match="not of trades"):
            Book().feed(trades_of((0, 1.0, 1.0, 1)))
        with pytest.raises(ConfigError, match="'bid' and 'ask'"):
            Book().levels("buy")

    def test_of_nothing_changes_nothing(self):
        assert len(Book().feed(depth_of())) == 0


def recorded(real_data, kind: str, *names: str) -> Events:
    raws = [raw for name in names for raw in read_recording(real_data / "l2" / name) if raw.kind == kind]
    return concat_events([events_of(KINDS[kind], r.event_time, r.columns, r.received_at) for r in raws], KINDS[kind])


@pytest.mark.real_data
class TestRecordings:
    """The rebuilt book is the venue's own, at every update id that both name."""

    @pytest.mark.parametrize(
        ("names", "least"),
        [
            (["binance_usdm_btcusdt_20240808.gz"], 126),
            (["binance_spot_btcusdt_20240808.gz", "binance_spot_btcusdt_20240809.gz"], 1_000),
        ],
        ids=["USD-M", "spot"],
    )
    def test_agree_with_the_best_quotes_that_were_recorded_beside(self, real_data, names, least):
        depth, ticker = recorded(real_data, "depth", *names), recorded(real_data, "ticker", *names)
        book = Book()
        quotes = book.feed(depth)
        _, ours, theirs = np.intersect1d(quotes["id"], ticker["id"], return_indices=True)
        assert len(ours) >= least
        for name in ("bid", "bid_size", "ask", "ask_size"):
            assert (quotes[name][ours] == ticker[name][theirs]).all()
        assert [gap.reason for gap in book.gaps] == ["no snapshot yet"]
        assert (quotes["bid"] < quotes["ask"]).all()

    def test_lead_to_the_snapshot_an_hour_later_but_for_the_changes_that_were_not_recorded(self, real_data):
        """The last change ends at 1737948024, the snapshot is of 1737948101: about one message is missing."""
        names = ["binance_spot_ETHBTC_20201101T09_snapshot.json.gz", "binance_spot_ETHBTC_20201101T09_update.json.gz"]
        depth = recorded(real_data, "depth", *names)
        (later,) = read_recording(real_data / "l2" / "binance_spot_ETHBTC_20201101T10_snapshot.json.gz")
        book = Book()
        book.feed(depth)
        assert (book.last_id, int(later.columns["last_id"][0])) == (1_737_948_024, 1_737_948_101)
        shown = later.columns["side"] == 1
        theirs = set(zip(later.columns["price"][shown][:800], later.columns["size"][shown][:800], strict=True))
        missing = theirs - set(zip(*book.levels("bid"), strict=True))
        _, rows = np.unique(depth["last_id"], return_counts=True)
        assert len(missing) <= np.median(rows)
