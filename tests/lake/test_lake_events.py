"""Events in the lake: what was put in comes out, in whatever order it came, now and as it was known then."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.archives import NOW, bars, env, minutes
from tests.happenings import DAY, MINUTE, START, depth, funding, open_interest, trades
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, DataError
from virtuoso.lake.event_rows import SEQUENCE
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing.transaction import Batch
from virtuoso.lake.writing.versions import MergedCounts
from virtuoso.market.events import Events, events_of
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.kinds import KINDS

PERP = Instrument("binance-usdm", "BTCUSDT")
MADE = {"trades": trades(), "depth": depth(), "open_interest": open_interest(), "funding": funding()}


def put(lake: Lake, *parts: Events, instrument=PERP, rank: int = 0) -> MergedCounts:
    """Import events, as the importer does after the border; what became of the last part."""
    with lake.writing() as writer:
        counts = [merged for part in parts for merged in writer.add(Batch(instrument, part, rank=rank))]
        writer.commit()
    return counts[-1]


def files_of(lake: Lake) -> dict[str, int]:
    paths = [path for path in lake.path.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.relative_to(lake.path).as_posix(): path.stat().st_mtime_ns for path in paths}


def same(one: Events, other: Events) -> bool:
    return one.digest() == other.digest()


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


class TestEventsInTheLake:
    """Come out as they went in, to the last bit, in order of arrival."""

    @pytest.mark.parametrize("kind", MADE)
    def test_keep_every_bit(self, lake, kind):
        put(lake, MADE[kind])
        assert same(lake.events(kind, PERP), MADE[kind])

    @pytest.mark.parametrize("kind", MADE)
    def test_put_in_again_write_not_one_byte(self, lake, kind):
        put(lake, MADE[kind])
        before = files_of(lake)
        counts = put(lake, MADE[kind])
        assert (counts.duplicates, counts.stored, counts.revised) == (len(MADE[kind]), 0, 0)
        assert files_of(lake) == before

    def test_lie_by_day_or_by_month_as_their_kind_says(self, lake):
        put(lake, MADE["trades"], trades(5, 100, START + DAY))
        put(lake, MADE["open_interest"])
        parts = [name.rsplit("/", 1)[0] for name in files_of(lake) if name.endswith(".parquet")]
        home = "venue=binance-usdm/symbol=BTCUSDT"
        assert sorted(parts) == [
            f"open_interest/{home}/month=2024-08",
            f"trades/{home}/day=2024-08-08",
            f"trades/{home}/day=2024-08-09",
        ]

    def test_are_read_by_pandas_without_virtuoso(self, lake):
        put(lake, MADE["depth"])
        table = pd.read_parquet(lake.path / "depth")
        assert len(table) == len(MADE["depth"])
        assert {"event_time", "available_at", *KINDS["depth"].columns} <= set(table.columns)

    def test_of_one_millisecond_keep_the_order_of_their_source(self, lake):
        n = 6
        columns = {"id": np.full(n, -1), "price": np.array([5.0, 3, 4, 1, 2, 6]), "size": np.ones(n)}
        columns |= {"side": np.ones(n), "count": np.ones(n)}
        put(lake, events_of(KINDS["trades"], np.full(n, START), columns))
        assert lake.events("trades", PERP)["price"].tolist() == [5, 3, 4, 1, 2, 6]

    def test_arrive_after_a_moment_up_to_another(self, lake):
        put(lake, MADE["trades"])
        moment = int(MADE["trades"].available_at[2000])
        found = lake.events("trades", PERP, moment, moment + 30 * MINUTE)
        assert same(found, MADE["trades"].between(moment, moment + 30 * MINUTE))
        assert len(lake.events("trades", PERP, end=moment)) + len(lake.events("trades", PERP, moment)) == 4_000

    def test_of_nobody_are_none(self, lake):
        assert len(lake.events("trades", PERP)) == 0
        assert not lake.path.exists()

    def test_of_an_unknown_kind_name_the_nearest(self, lake):
        with pytest.raises(ConfigError, match="Did you mean 'trades'"):
            lake.events("trade", PERP)

    def test_do_not_make_bars(self, lake):
        put(lake, MADE["open_interest"])
        assert lake.instruments() == []

    def test_do_not_change_generations_of_bars(self, lake):
        with lake.writing() as writer:
            writer.add(Batch(PERP, traded_rows(minutes(10), bars(10), MINUTE), Timeframe("1m")))
            writer.commit()
        put(lake, MADE["trades"])
        put(lake, trades(9, 50, START + DAY))
        assert (lake.manifest().generation, lake.manifest("trades").generation) == (1, 2)


class TestTheOrderOfFiles:
    """Does not matter: the same events in any pieces, order and number of commits are one store."""

    @pytest.mark.parametrize("kind", MADE)
    @given(cuts=st.lists(st.integers(1, 5_000), max_size=4), seed=st.integers(0, 9), together=st.booleans())
    def test_leaves_no_trace(self, tmp_path_factory, kind, cuts, seed, together):
        """Pieces overlap, as the files of two recorders do."""
        whole, random = MADE[kind], np.random.default_rng(seed)
        moments = np.unique(whole.available_at)
        edges = sorted({0, *(cut % len(moments) for cut in cuts), len(moments) - 1})
        pieces = [whole.between(moments[max(a - 5, 0)] - 1, moments[b]) for a, b in itertools.pairwise(edges)]
        random.shuffle(pieces)
        lake = Lake(tmp_path_factory.mktemp("any"), env=env())
        for group in [pieces] if together else [[piece] for piece in pieces]:
            put(lake, *group)
        assert same(lake.events(kind, PERP), whole)
        generation = lake.manifest(kind).generation
        put(lake, whole)
        assert lake.manifest(kind).generation == generation

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_of_two_recorders_and_an_archive_gives_the_earlier_receipt(self, lake, order):
        received = MADE["trades"]
        plain = events_of(KINDS["trades"], received.event_time, received.columns)
        slower = events_of(KINDS["trades"], received.event_time, received.columns, received.available_at + 50)
        sources = [received, plain, slower]
        for k in order:
            put(lake, sources[k])
        assert same(lake.events("trades", PERP), received)

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_does_not_matter_to_what_only_one_of_two_sources_says(self, lake, order):
        settled = MADE["funding"]
        columns = {**settled.columns, "rate": settled["rate"], "hours": np.full(6, np.nan), "mark": np.full(6, 6e4)}
        marks = events_of(KINDS["funding"], settled.event_time, columns)
        for k in order:
            put(lake, (settled, marks)[k])
        found = lake.events("funding", PERP)
        assert (found["hours"] == 8).all()
        assert (found["mark"] == 6e4).all()

    def test_decides_by_the_number_of_the_venue_within_a_millisecond(self, lake):
        """Two files that meet in the same millisecond."""
        assert SEQUENCE["trades"] == "id"
        columns = {"id": np.arange(8), "price": np.arange(8.0), "size": np.ones(8), "side": np.ones(8)}
        whole = events_of(KINDS["trades"], np.full(8, START), {**columns, "count": np.ones(8)})
        put(lake, whole.take(slice(4, 8)))
        put(lake, whole.take(slice(0, 4)))
        assert lake.events("trades", PERP)["id"].tolist() == list(range(8))


class TestARevisedEvent:
    """Takes the place of the stored one; the old one stays readable as of then."""

    LATER = NOW + 5 * DAY

    def revised(self, lake) -> Lake:
        put(lake, MADE["open_interest"])
        values = {name: column.copy() for name, column in MADE["open_interest"].columns.items()}
        values["open_interest"][100] += 7.0
        later = Lake(lake.path, env=env(self.LATER))
        made = MADE["open_interest"]
        counts = put(later, events_of(made.kind, made.event_time, values), rank=1)
        assert (counts.revised, counts.duplicates, counts.conflicts) == (1, 575, 0)
        return later

    def test_is_what_one_reads_now(self, lake):
        found = self.revised(lake).events("open_interest", PERP)
        assert found["open_interest"][100] == MADE["open_interest"]["open_interest"][100] + 7.0

    def test_is_not_what_one_read_then(self, lake):
        later = self.revised(lake)
        assert same(later.events("open_interest", PERP, as_of=self.LATER - 1), MADE["open_interest"])

    def test_does_not_come_back_with_an_old_file(self, lake):
        later = self.revised(lake)
        before = files_of(later)
        counts = put(later, MADE["open_interest"])
        assert (counts.duplicates, counts.conflicts) == (575, 1)
        assert files_of(later) == before

    def test_decides_nothing_by_when_it_was_stored(self, lake):
        """The folds go by arrival; only reading as of then goes by the moment of storing."""
        found = self.revised(lake).events("open_interest", PERP)
        assert (found.available_at == MADE["open_interest"].available_at).all()


class TestALateEvent:
    """That comes into stored history could not be read before it came."""

    def test_is_not_known_as_of_before(self, lake):
        whole = MADE["trades"]
        put(lake, whole.take(np.r_[0:1_000, 2_000:4_000]))
        later = Lake(lake.path, env=env(NOW + DAY))
        assert put(later, whole).late == 1_000
        assert len(later.events("trades", PERP, as_of=NOW + DAY - 1)) == 3_000
        assert same(later.events("trades", PERP), whole)

    def test_as_of_hides_what_had_not_arrived(self, lake):
        put(lake, MADE["trades"])
        moment = int(MADE["trades"].available_at[10])
        assert len(lake.events("trades", PERP, as_of=moment)) == 11


class TestTheLedgerOfEvents:
    """Knows silences, lost messages and days with few rows."""

    def test_of_a_recorder_that_was_off(self, lake):
        put(lake, trades(1, 4_000, START, 3_600_000), trades(2, 4_000, START + DAY, 3_600_000))
        (line,) = lake.event_check()
        assert [(round((b - a) / 3_600_000), status) for a, b, status in line.gaps] == [(23, "silent")]
        assert (line.coverage.rows, line.coverage.partitions, line.coverage.gaps) == (8_000, 2, {"silent": 1})

    def test_of_lost_messages(self, lake):
        whole = depth(messages=400, span=600_000)
        put(lake, whole.take((whole["last_id"] < 10_000) | (whole["last_id"] > 11_000)))
        (line,) = lake.event_check()
        assert [status for _, _, status in line.gaps] == ["sequence"]

    def test_of_a_day_with_163_rows(self, lake):
        keep = np.sort(np.r_[0:288, 288 + np.random.default_rng(1).choice(288, 163, replace=False), 576:864])
        put(lake, open_interest(n=864).take(keep))
        (line,) = lake.event_check()
        (short,) = [gap for gap in line.gaps if gap[2] == "short day"]
        assert (short[0] - START) // DAY == 1

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
    def test_is_the_same_however_history_arrived(self, tmp_path, order):
        days = [open_interest(n=200, start=START + k * 20 * DAY) for k in range(3)]
        one, many = Lake(tmp_path / "one", env=env()), Lake(tmp_path / "many", env=env())
        put(one, *days)
        for k in order:
            put(many, days[k])
        ledgers = [lake.manifest("open_interest").readable()[0].gaps for lake in (one, many)]
        assert ledgers[0] == ledgers[1]
        assert [gap.status for gap in ledgers[0]] == ["silent", "silent"]

    def test_forgets_a_gap_that_was_filled(self, lake):
        whole = open_interest()
        put(lake, whole.take(np.r_[0:100, 200:576]))
        put(lake, whole)
        assert lake.manifest("open_interest").readable()[0].gaps == ()


class TestSqlOfEvents:
    """Sees one view a kind."""

    def test_beside_bars(self, lake):
        put(lake, MADE["trades"], MADE["funding"])
        table = lake.sql("select (select count(*) from trades) t, (select max(rate) from funding) f")
        assert table.iloc[0].tolist() == [4_000, MADE["funding"]["rate"].max()]
        assert lake.sql("select min(time) t from trades")["t"].iloc[0] >= pd.Timestamp("2024-08-08")

    def test_names_the_views_there_are(self, lake):
        put(lake, MADE["trades"])
        with pytest.raises(DataError, match="Views: trades"):
            lake.sql("select * from depth")
