"""Events become columns of frames: the same bits from the lake, in any stretch, in any order, and live."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.archives import bars, env, minutes
from tests.happenings import DAY, MINUTE, START, depth, funding, open_interest, trades
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.lake import cache, enrich
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import Events, concat_events, events_of
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import NO_TRADE, TRADED, UNKNOWN, policy_for
from virtuoso.market.live import LiveFrame
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.columns import BAR_COLUMNS, BOOK_COLUMNS, FLOW_COLUMNS, POSITIONING_COLUMNS
from virtuoso.market.schema.kinds import KINDS

PERP = Instrument("binance-usdm", "BTCUSDT")
M5 = Timeframe("5m")
N = 3 * 288
HOLES = np.r_[400:402, 500:520]


HOURS = 3_600_000
NIGHT = slice(288 - 20, 288 + 20)  # bars around the first midnight


def some_days() -> dict[str, Events]:
    """Three days: trades and a book around both midnights, the book from the first on; open interest and funding."""
    nights = [START + k * DAY - 2 * HOURS for k in (1, 2)]
    tapes = [trades(seed=k, n=4_000, start=night, span=4 * HOURS) for k, night in enumerate(nights)]
    books = [depth(seed=9 + k, messages=1_200, start=night, span=4 * HOURS) for k, night in enumerate(nights)]
    return {
        "trades": concat_events(tapes, KINDS["trades"]),
        "depth": concat_events(books, KINDS["depth"]).between(START + DAY, START + 9 * DAY),
        "open_interest": open_interest(n=3 * 288),
        "funding": funding(9),
    }


EVENTS = some_days()


def put(lake: Lake, events=EVENTS, keep=None) -> Lake:
    """Bars of five minutes with holes, and events."""
    keep = np.delete(np.arange(N), HOLES) if keep is None else keep
    columns = {name: values[keep] for name, values in bars(N).items()}
    with lake.writing() as writer:
        writer.add(Batch(PERP, traded_rows(minutes(N, START, M5.ms)[keep], columns, M5.ms), M5))
        for part in events.values():
            writer.add(Batch(PERP, part))
        writer.commit()
    return lake


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Lake:
    return put(Lake(tmp_path_factory.mktemp("shared"), env=env()))


def differing(one, other) -> list[str]:
    """Names of columns that differ in a bit."""
    assert one.keys() == other.keys()
    return [name for name in one if one[name].tobytes() != np.ascontiguousarray(other[name]).tobytes()]


class TestAFrameOfBarsAndEvents:
    """Carries the columns of every kind that is stored."""

    def test_has_all_of_them(self, shared):
        columns = shared.frame("BTCUSDT", "5m").base.columns
        stored = {name for name, column in POSITIONING_COLUMNS.items() if column.kind in shared.kinds()}
        assert {*BAR_COLUMNS, *FLOW_COLUMNS, *stored} <= columns.keys()
        assert {name for name, column in BOOK_COLUMNS.items() if column.kind == "depth"} <= columns.keys()

    def test_carries_nothing_of_a_kind_that_is_not_stored(self, shared):
        """What is carried and not known is a gap; what is not there at all is missing, and said to be."""
        absent = {name for name, column in POSITIONING_COLUMNS.items() if column.kind not in shared.kinds()}
        assert absent
        assert not absent & shared.frame("BTCUSDT", "5m").base.columns.keys()

    def test_knows_them_where_they_were_recorded(self, shared):
        columns = shared.frame("BTCUSDT", "5m").base.columns
        assert np.isnan(columns["bid"][: 2 * 288 - 24]).all()
        assert np.isfinite(columns["bid"][2 * 288 - 20 : 2 * 288 + 20]).mean() > 0.9
        assert np.isfinite(columns["taker_buy_trades"][NIGHT]).all()
        assert np.isfinite(columns["open_interest"]).mean() > 0.95

    def test_leaves_the_columns_of_its_bars_alone(self, shared, tmp_path):
        plain = put(Lake(tmp_path, env=env()), {}).frame("BTCUSDT", "5m").base
        with_events = shared.frame("BTCUSDT", "5m").base
        assert set(plain.columns) == set(BAR_COLUMNS)
        assert differing(plain.columns, {name: with_events.columns[name] for name in plain.columns}) == []

    def test_shows_open_interest_a_minute_after_its_interval(self, shared):
        """A row stamped at a close is known a minute later, so the bar shows the one before."""
        columns = shared.frame("BTCUSDT", "5m").base.columns
        assert columns["open_interest"][10] == EVENTS["open_interest"]["open_interest"][9]

    def test_knows_nothing_in_unknown_bars_and_everything_in_silent_ones(self, shared):
        base = shared.frame("BTCUSDT", "5m").base
        unknown = base.state == UNKNOWN
        assert unknown.sum() == len(HOLES)
        assert all(np.isnan(values[unknown]).all() for values in base.columns.values())

    def test_folds_slower_bars_from_them(self, shared):
        frame = shared.frame("BTCUSDT", "5m")
        slow = frame.bars(Timeframe("1h")).columns["open_interest"]
        assert slow[0] == frame.base.columns["open_interest"][11]


def quotes(start: int, span: int) -> Events:
    """Best quotes twice a minute, of another price and size than the book of `depth` has."""
    times = start + np.arange(0, span, MINUTE // 2)
    k = np.arange(len(times))
    columns = {
        "id": k,
        "bid": 59_000.5 - k % 3,
        "ask": 59_003.0 + k % 5,
        "bid_size": 1.0 + k % 7,
        "ask_size": 2.0 + k % 4,
    }
    return events_of(KINDS["ticker"], times, columns)


def bands(start: int, span: int) -> Events:
    """Notional within 1, 2 and 5 percent of the middle, once a minute, other than the book of `depth` holds."""
    shares = np.array([-5.0, -2.0, -1.0, 1.0, 2.0, 5.0])
    times = np.repeat(start + np.arange(0, span, MINUTE), len(shares))
    share = np.tile(shares, len(times) // len(shares))
    base = 5_000.0 * np.abs(share) + np.arange(len(times)) % 11
    return events_of(KINDS["bands"], times, {"percentage": share, "depth": base, "notional": 59_000.0 * base})


class TestSeveralSourcesOfTheBook:
    """Are joined bar by bar: a recorded book over best quotes alone, and over bands of depth."""

    SOURCES = {
        "depth": depth(seed=4, messages=900, start=START + 4 * HOURS, span=6 * HOURS),
        "ticker": quotes(START + 2 * HOURS, 12 * HOURS),
        "bands": bands(START, 16 * HOURS),
    }

    @pytest.fixture(scope="class")
    @staticmethod
    def alone(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
        """Columns of frames with one of the sources."""
        return {
            kind: TestSeveralSourcesOfTheBook.columns_of(tmp_path_factory.mktemp(kind), kind)
            for kind in TestSeveralSourcesOfTheBook.SOURCES
        }

    @staticmethod
    def columns_of(folder: Path, *kinds: str) -> dict[str, np.ndarray]:
        events = {kind: TestSeveralSourcesOfTheBook.SOURCES[kind] for kind in kinds}
        lake = put(Lake(folder, env=env()), events, np.arange(N))
        return dict(lake.frame("BTCUSDT", "5m").base.columns)

    @pytest.mark.parametrize("other", ["ticker", "bands"])
    def test_the_book_wins_where_both_are_known(self, alone, tmp_path, other):
        together = self.columns_of(tmp_path, "depth", other)
        shared = (alone["depth"].keys() & alone[other].keys()) - BAR_COLUMNS.keys()
        compared = 0
        for name in shared:
            book, rest = alone["depth"][name], alone[other][name]
            both = np.isfinite(book) & np.isfinite(rest)
            compared += int((both & (book != rest)).sum())
            assert together[name][both].tobytes() == book[both].tobytes(), name
        assert len(shared) >= 8
        assert compared >= 300  # bars at which it matters who wins

    @pytest.mark.parametrize("other", ["ticker", "bands"])
    def test_the_other_is_seen_where_the_book_is_not_known(self, alone, tmp_path, other):
        together = self.columns_of(tmp_path, "depth", other)
        seen = 0
        for name in (alone["depth"].keys() & alone[other].keys()) - BAR_COLUMNS.keys():
            book, rest = alone["depth"][name], alone[other][name]
            missing = np.isnan(book)
            seen += int(np.isfinite(rest[missing]).sum())
            assert together[name][missing].tobytes() == rest[missing].tobytes(), name
        assert seen >= 300

    def test_all_three_give_what_the_first_that_knows_says(self, alone, tmp_path):
        together = self.columns_of(tmp_path, *self.SOURCES)
        for name in together.keys() - BAR_COLUMNS.keys():
            told = [alone[kind][name] for kind in self.SOURCES if name in alone[kind]]
            expected = told[0]
            for further in told[1:]:
                expected = np.where(np.isnan(expected), further, expected)
            assert together[name].tobytes() == expected.tobytes(), name

    def test_quotes_go_before_bands(self):
        """No column is told by both today; the order is that of the folds."""
        assert [source.name for source in enrich.BUILDERS if source.name in ("book", "ticker", "bands")] == [
            "book", "ticker", "bands",
        ]  # fmt: skip
        first, second = np.array([1.0, np.nan, np.nan]), np.array([2.0, 3.0, np.nan])
        assert np.array_equal(
            enrich.first_known([{"bid": first}, {"bid": second}])["bid"], [1, 3, np.nan], equal_nan=True
        )


class TestTheStartAndTheEndOfAFrame:
    """Change no bit of what lies between them."""

    @pytest.mark.parametrize(("since", "until"), [(0, 600), (100, 700), (290, 300), (577, 864)])
    @pytest.mark.parametrize("fresh", [True, False], ids=["folded again", "kept"])
    def test_wherever_they_are(self, shared, tmp_path, since, until, fresh):
        whole = shared.frame("BTCUSDT", "5m").base
        lake = put(Lake(tmp_path, env=env())) if fresh else shared
        part = lake.frame("BTCUSDT", "5m", START + since * M5.ms, START + until * M5.ms).base.since(whole.first + since)
        cut = whole.until(whole.first + until).since(whole.first + since)
        assert differing({n: np.ascontiguousarray(v) for n, v in cut.columns.items()}, part.columns) == []

    def test_nothing_after_the_end_is_used(self, shared, tmp_path):
        end = START + 500 * M5.ms
        early = {kind: events.between(0, end) for kind, events in EVENTS.items()}
        lake = put(Lake(tmp_path, env=env()), early)
        one, other = (home.frame("BTCUSDT", "5m", end=end).base.columns for home in (lake, shared))
        assert differing(one, other) == []

    def test_events_that_arrive_later_do_not_matter(self, shared, tmp_path):
        """Of the past they tell of: what counts is when it could be known."""
        lake = put(Lake(tmp_path, env=env()))
        made = EVENTS["open_interest"]
        late = events_of(
            KINDS["open_interest"], made.event_time[:300] + 1,
            {name: values[:300] * 3.0 for name, values in made.columns.items()},
            np.full(300, START + 600 * M5.ms),
        )  # fmt: skip
        with lake.writing() as writer:
            writer.add(Batch(PERP, late))
            writer.commit()
        one, other = (home.frame("BTCUSDT", "5m").base.until(START // M5.ms + 599).columns for home in (lake, shared))
        assert differing({n: np.ascontiguousarray(v) for n, v in one.items()}, other) == []

    def test_as_of_a_moment_is_what_was_known_then(self, shared):
        moment = START + 500 * M5.ms
        then, now = shared.frame("BTCUSDT", "5m", as_of=moment).base, shared.frame("BTCUSDT", "5m", end=moment).base
        assert differing(then.columns, now.columns) == []


class TestBatchAndLive:
    """One law: events to lake to frame, and events bar by bar, give the same bits."""

    @pytest.mark.parametrize("joins", [0, 2 * 288 - 30], ids=["from the first bar", "in the middle of a day"])
    def test_are_equal_bit_for_bit(self, shared, joins):
        frame = shared.frame("BTCUSDT", "5m")
        number = frame.base.first + joins
        history = frame.base.until(number)
        if not joins:  # nothing of the past is there: the columns of events are those of what is recorded
            history = replace(history, columns={name: history.columns[name] for name in BAR_COLUMNS})
        live = LiveFrame(MarketFrame(PERP, history), [Timeframe("1h")], policy_for(PERP.venue, M5.ms), list(EVENTS))
        if joins:
            live.remember({kind: events.between(0, number * M5.ms) for kind, events in EVENTS.items()})
        published = np.isin(np.arange(N), HOLES, invert=True)
        for i in range(number, frame.base.end):
            arrived = {kind: events.between(i * M5.ms, (i + 1) * M5.ms) for kind, events in EVENTS.items()}
            k = i - frame.base.first
            own = {name: float(frame.base.columns[name][k]) for name in BAR_COLUMNS}
            live.close(i, own if published[k] else None, arrived)
        grown = {name: values[joins:] for name, values in live.frame.base.columns.items()}
        assert differing(grown, {name: values[joins:] for name, values in frame.base.columns.items()}) == []
        built = [np.isfinite(values).sum() for name, values in grown.items() if name not in BAR_COLUMNS]
        assert np.median(built) >= 40
        assert differing(live.frame.base.columns, frame.base.columns) == []
        assert (live.frame.base.state == frame.base.state).all()
        one, other = (f.bars(Timeframe("1h")).columns for f in (live.frame, frame))
        assert differing({n: np.ascontiguousarray(v) for n, v in one.items()}, other) == []


class TestKeptColumns:
    """Save work and decide nothing."""

    def files(self, lake: Lake) -> list[Path]:
        return sorted((lake.path / "derived").rglob("*.parquet"))

    @pytest.fixture
    def lake(self, tmp_path) -> Lake:
        return put(Lake(tmp_path / "lake", env=env()))

    def test_are_one_file_a_day_and_fold(self, lake):
        lake.frame("BTCUSDT", "5m")
        assert len(self.files(lake)) == 3 + 2
        lake.frame("BTCUSDT", "5m")
        assert len(self.files(lake)) == 5

    def test_spare_the_folding(self, lake, monkeypatch):
        before = lake.frame("BTCUSDT", "5m").base.columns
        monkeypatch.setattr(enrich.DailyReset, "bars", None)
        assert differing(before, lake.frame("BTCUSDT", "5m").base.columns) == []

    @pytest.mark.parametrize("spoil", ["flip", "cut", "empty"])
    def test_that_are_damaged_are_folded_again(self, lake, spoil):
        before = lake.frame("BTCUSDT", "5m").base.columns
        for path in self.files(lake):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 4
            path.write_bytes({"flip": bytes(data), "cut": bytes(data[:100]), "empty": b""}[spoil])
        assert differing(before, lake.frame("BTCUSDT", "5m").base.columns) == []

    def test_of_a_day_that_grew_are_folded_again(self, lake, tmp_path):
        early = {kind: events.between(0, START + 2 * DAY + DAY // 2) for kind, events in EVENTS.items()}
        grown = put(Lake(tmp_path / "grown", env=env()), early)
        grown.frame("BTCUSDT", "5m")
        put(grown)
        assert differing(lake.frame("BTCUSDT", "5m").base.columns, grown.frame("BTCUSDT", "5m").base.columns) == []
        assert len(self.files(grown)) == 5

    def test_are_not_read_after_the_source_changed(self, lake, monkeypatch):
        lake.frame("BTCUSDT", "5m")
        before = self.files(lake)
        monkeypatch.setattr(cache, "columns_digest", lambda: "another")
        lake.frame("BTCUSDT", "5m")
        assert not set(before) & set(self.files(lake))

    def test_that_cannot_be_written_cost_time_only(self, lake, tmp_path):
        (lake.path / "derived").write_text("no folder")
        fresh = put(Lake(tmp_path / "fresh", env=env()))
        assert differing(lake.frame("BTCUSDT", "5m").base.columns, fresh.frame("BTCUSDT", "5m").base.columns) == []


class TestAnInstrumentWithTradesAlone:
    """Has bars folded from them, from a second on."""

    @pytest.fixture(scope="class")
    @staticmethod
    def recorded(tmp_path_factory) -> Lake:
        lake = Lake(tmp_path_factory.mktemp("recorded"), env=env())
        tape = trades(n=6_000, start=START + DAY - 1_800_000, span=3_600_000)
        with lake.writing() as writer:
            writer.add(Batch(PERP, tape))
            writer.commit()
        return lake

    def test_loads_by_the_second_and_by_the_minute(self, recorded):
        seconds, minute = recorded.frame("BTCUSDT", "1s").base, recorded.frame("BTCUSDT", "1m").base
        assert len(seconds) > 3_500
        assert 58 <= len(minute) <= 60
        assert set(np.unique(seconds.state)) == {TRADED, NO_TRADE}

    def test_agrees_with_itself_between_the_two(self, recorded):
        """A minute is made of its seconds, across midnight too."""
        frame, minute = recorded.frame("BTCUSDT", "1s"), recorded.frame("BTCUSDT", "1m").base
        folded = frame.bars(Timeframe("1m"))
        some = slice(5, 50)
        for name in ("close", "trades"):
            ours = folded.since(minute.first).columns[name][some]
            assert (ours == minute.columns[name][some]).all(), name

    def test_is_found_by_its_symbol(self, recorded):
        assert recorded.instruments() == [PERP]
        assert recorded.timeframes(PERP) == [Timeframe("1s"), Timeframe("1m")]

    def test_gives_the_asked_range_alone(self, recorded):
        start, end = START + DAY, START + DAY + 10 * MINUTE
        frame = recorded.frame("BTCUSDT", "1m", start, end)
        assert (len(frame), frame.base.end * MINUTE) == (10, end)

    def test_carries_the_columns_of_flow(self, recorded):
        base = recorded.frame("BTCUSDT", "1m").base
        assert np.isfinite(base.columns["taker_buy_trades"][5:]).all()
