"""What a lake holds is a function of the set of rows that it was given, never of their order, pieces or commits."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.archives import JANUARY, MINUTE, NOW, env, flat_bars, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing import pieces, transaction, versions
from virtuoso.lake.writing.transaction import Batch
from virtuoso.lake.writing.versions import PREFERRED, UNION, digests, settle
from virtuoso.market.events import Events, events_of
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.kinds import KINDS

M1 = Timeframe("1m")
PERP = Instrument("binance-usdm", "BTCUSDT")
SPARSE = Instrument("bitfinex-spot", "BTCUSD")
"""Where silent minutes are written flat."""
DAY = 1440 * MINUTE
SOMETIMES = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def bars_told(random: np.random.Generator, share: float, instrument: Instrument) -> Batch:
    """Bars of twelve minutes with few values, some of them unknown; zero has either sign."""
    kept = np.flatnonzero(random.random(12) < share)
    n, price = len(kept), random.choice([1.0, 2.0], 12)[kept]
    columns = {"open": price, "high": price + 1, "low": price, "close": price}
    columns["volume"] = random.choice([0.0, -0.0], n)
    for name in ("trades", "quote_volume"):
        if random.random() < 0.6:
            columns[name] = random.choice([np.nan, 5.0, 6.0], n)
    return Batch(instrument, traded_rows(minutes(12)[kept], columns, MINUTE), M1, **said(random, n))


def events_told(random: np.random.Generator, share: float, name: str) -> Batch:
    """Events of ten minutes with few values, some of them unknown, received or not."""
    kind, kept = KINDS[name], np.flatnonzero(random.random(10) < share)
    n, times = len(kept), minutes(10)[kept]
    columns = {column: random.choice([np.nan, 1.0, 2.0], n) for column in kind.columns}
    if "id" in columns:
        columns["id"] = kept
    received = times + random.integers(1, 5, n) if random.random() < 0.5 else None
    return Batch(PERP, events_of(kind, times, columns, received), **said(random, n))


def said(random: np.random.Generator, n: int) -> dict[str, object]:
    return {"source": (f"{random.integers(1e9)}.csv", "0" * 64, n), "rank": int(random.choice([0, 0, 1, PREFERRED]))}


MAKERS = {
    "bars": lambda random, share=0.7: bars_told(random, share, PERP),
    "flat bars": lambda random, share=0.7: bars_told(random, share, SPARSE),
    "prices": lambda random, share=0.7: events_told(random, share, "prices"),
    "ticker": lambda random, share=0.7: events_told(random, share, "ticker"),
}


def cut(random: np.random.Generator, batch: Batch) -> list[Batch]:
    """The batch in two chunks or one, in either order."""
    at = int(random.integers(0, len(batch.rows) + 1))
    parts = [replace(batch, rows=batch.rows.take(some)) for some in (slice(0, at), slice(at, None))]
    random.shuffle(parts)
    return [part for part in parts if len(part.rows)]


def view(lake: Lake) -> dict[str, object]:
    """All that a reader sees now, the gaps and the conflicts."""
    found: dict[str, object] = {}
    for kind in lake.kinds():
        for series in lake.manifest(kind).readable():
            now = lake.read(series) if kind == "bars" else lake.read_events(series, None, None, None).events()
            conflicts = [(one.partition, one.rows) for one in series.conflicts]
            found[series.home] = (now.digest(), series.gaps, conflicts)
    return found


class TestTheSetOfFiles:
    """Decides alone, whatever overlaps, contradicts and adds."""

    @pytest.mark.parametrize("what", MAKERS)
    @given(seed=st.integers(0, 10**6))
    @SOMETIMES
    def test_gives_one_lake_in_all_orders_and_chunks(self, tmp_path_factory, what, seed):
        random = np.random.default_rng(seed)
        files = [MAKERS[what](random) for _ in range(3)]
        seen = []
        for order in itertools.permutations(files):
            lake = Lake(tmp_path_factory.mktemp("any"), env=env())
            with pytest.MonkeyPatch.context() as little:
                if random.random() < 0.5:
                    little.setattr(pieces, "PIECE_ROWS", 3)
                    little.setattr(transaction, "HELD_ROWS", 5)
                self.fill(lake, random, order)
            seen.append(view(lake))
            with lake.writing() as writer:
                writer.add(*order)
                writer.commit()
            assert view(lake) == seen[-1]
            assert writer.bytes_written == 0
        assert all(one == seen[0] for one in seen)

    def fill(self, lake: Lake, random: np.random.Generator, order) -> None:
        with lake.writing() as writer:
            for batch in order:
                for chunk in cut(random, batch):
                    (counts,) = writer.add(chunk)
                    told = (counts.stored, counts.duplicates, counts.revised, counts.conflicts)
                    assert sum(told) == len(chunk.rows)
                    assert min(told) >= 0
                if random.random() < 0.5:
                    writer.commit()
            writer.commit()

    @given(seed=st.integers(0, 10**6))
    @SOMETIMES
    def test_is_read_as_of_before_each_arrival_as_it_was(self, tmp_path_factory, seed):
        random = np.random.default_rng(seed)
        what = MAKERS[str(random.choice(list(MAKERS)))]
        path = tmp_path_factory.mktemp("any")
        then: dict[int, str] = {}
        for k in range(4):
            lake = Lake(path, env=env(NOW + k * DAY))
            with lake.writing() as writer:
                writer.add(what(random, 0.7 if k else 1.0))  # what lies outside stored history counts from its close
                writer.commit()
            then[NOW + (k + 1) * DAY - 1] = known(lake, None)
        assert {moment: known(lake, moment) for moment in then} == then


def known(lake: Lake, as_of: int | None) -> str:
    """What the only series of a lake tells."""
    (series,) = (series for kind in lake.kinds() for series in lake.manifest(kind).readable())
    if series.kind == "bars":
        return lake.read(series, as_of=as_of).digest()
    return lake.read_events(series, None, None, as_of).events().digest()


def put(lake: Lake, batch: Batch):
    with lake.writing() as writer:
        (counts,) = writer.add(batch)
        writer.commit()
    return counts


def bars(close: float, rank: int = 0, name: str = "a.csv", n: int = 10) -> Batch:
    made = flat_bars([close] * n)
    return Batch(PERP, traded_rows(minutes(n), made, MINUTE), M1, source=(name, "0" * 64, n), rank=rank)


def prices(name: str, **known_of: float) -> Batch:
    columns = {column: np.full(100, known_of.get(column, np.nan)) for column in ("mark", "index")}
    return Batch(PERP, events_of(KINDS["prices"], minutes(100), columns), source=(name, "0" * 64, 100))


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


class TestADeclaredRank:
    """Stands above the values, in either order."""

    @pytest.mark.parametrize("order", [(1.0, 2.0), (2.0, 1.0)])
    @pytest.mark.parametrize("right", [1.0, 2.0])
    def test_decides(self, lake, order, right):
        for close in order:
            put(lake, bars(close, rank=3 if close == right else 2))
        (series,) = lake.manifest().readable()
        assert (lake.read(series).columns["close"] == right).all()

    def test_of_a_preferred_file_holds_whatever_is_imported_later(self, lake):
        for close, rank in ((1.0, 4), (2.0, PREFERRED), (3.0, 4), (1.0, 4)):
            put(lake, bars(close, rank, f"{close}.csv"))
        (series,) = lake.manifest().readable()
        assert (lake.read(series).columns["close"] == 2.0).all()
        assert series.conflicts == ()

    def test_of_a_source_that_says_the_same_is_kept(self, lake):
        """A month confirms a day; what contradicts both later is no better than the month."""
        put(lake, bars(1.0, rank=3))
        assert put(lake, bars(1.0, rank=4)).duplicates == 10
        assert put(lake, bars(2.0, rank=3)).conflicts == 10
        assert put(lake, bars(2.0, rank=4)).stored == 0

    def test_lets_the_right_file_win_by_importing_it_again(self, lake):
        winner = max((1.0, 2.0), key=lambda close: stands(close))
        loser = 3.0 - winner
        for close in (loser, winner, loser):
            put(lake, bars(close))
        assert put(lake, bars(loser, PREFERRED)).revised == 10
        (series,) = lake.manifest().readable()
        assert (lake.read(series).columns["close"] == loser).all()


def stands(close: float) -> int:
    """The digest by which bars of one rank are put in order."""
    return int(digests({name: values[:1] for name, values in flat_bars([close]).items()})[0])


class TestTheLedgerOfConflicts:
    """Counts rows whose versions disagree, and names the files that tell of that time."""

    def test_names_both_files(self, lake):
        put(lake, bars(1.0, 4, "month.csv", 50))
        counts = put(lake, bars(2.0, 3, "day.csv"))
        assert (counts.conflicts, counts.revised, counts.against) == (10, 0, ("month.csv",))
        (conflict,) = lake.manifest().readable()[0].conflicts
        assert (conflict.partition, conflict.rows, conflict.sources) == ("2024-01", 10, ("day.csv", "month.csv"))

    def test_does_not_name_a_file_of_another_time(self, lake):
        for start, close, name in ((0, 1.0, "a.csv"), (100, 1.0, "later.csv"), (0, 2.0, "b.csv")):
            rows = traded_rows(minutes(10) + start * MINUTE, flat_bars([close] * 10), MINUTE)
            put(lake, Batch(PERP, rows, M1, source=(name, "0" * 64, 10)))
        (conflict,) = lake.manifest().readable()[0].conflicts
        assert conflict.sources == ("a.csv", "b.csv")


class TestWhatOnlyAddsAColumn:
    """Revises nothing, is not late, and was not known before it came."""

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("names", [("mark", "index"), ("index", "mark")])
    def test_of_mark_and_index_in_two_files(self, lake, names, together):
        first, second = (prices(f"{name}.csv", **{name: 7.0}) for name in names)
        if together:
            with lake.writing() as writer:
                counts = [writer.add(batch)[0] for batch in (first, second)]
                writer.commit()
        else:
            later = Lake(lake.path, env=env(NOW + DAY))
            counts = [put(lake, first), put(later, second)]
        assert (counts[1].duplicates, counts[1].filled, counts[1].revised, counts[1].late) == (100, 100, 0, 0)
        (line,) = lake.event_check()
        assert (line.coverage.revisions, line.coverage.late, line.coverage.conflicts) == (0, 0, 0)
        found = lake.events("prices", PERP)
        assert ((found["mark"] == 7.0) & (found["index"] == 7.0)).all()
        before = lake.events("prices", PERP, as_of=NOW + DAY - 1)
        assert np.isnan(before[names[1]]).all() == (not together)
        assert (before[names[0]] == 7.0).all()

    def test_twice_is_read_as_of_each(self, lake):
        funding = KINDS["funding"]

        def told(**known_of: float) -> Events:
            columns = {name: np.array([known_of.get(name, np.nan)]) for name in funding.columns}
            return events_of(funding, np.array([JANUARY]), columns)

        for k, some in enumerate(({"rate": 1.0}, {"hours": 8.0}, {"mark": 5.0})):
            put(Lake(lake.path, env=env(NOW + k * DAY)), Batch(PERP, told(**some)))
        seen = [lake.events("funding", PERP, as_of=NOW + k * DAY) for k in range(3)]
        assert [int(np.isnan([one[name][0] for name in funding.columns]).sum()) for one in seen] == [2, 1, 0]


class TestVersions:
    """Are settled by rules that see a set."""

    def test_that_tell_nothing_of_their_own_are_needless(self):
        told = {"a": np.array([1.0, 1.0, 1.0]), "b": np.array([np.nan, 2.0, 2.0])}
        settled = settle(np.zeros(3, np.intp), np.array([0, 1, 1], np.int16), told)
        assert (settled.rank.tolist(), settled.kept.sum()) == ([1], 0)

    def test_of_a_higher_rank_are_not_needless(self):
        told = {"a": np.array([1.0, 1.0]), "b": np.array([np.nan, 2.0])}
        settled = settle(np.zeros(2, np.intp), np.array([1, 0], np.int16), told)
        assert (settled.rank.tolist(), settled.kept.tolist()) == ([UNION], [True, True])
        assert settled.columns["b"].tolist() == [2.0]

    def test_are_never_mixed(self):
        """The first contradicts the second, which alone knows b."""
        told = {"a": np.array([1.0, 9.0]), "b": np.array([np.nan, 2.0])}
        settled = settle(np.zeros(2, np.intp), np.array([1, 0], np.int16), told)
        assert (settled.columns["a"].tolist(), np.isnan(settled.columns["b"]).tolist()) == ([1.0], [True])
        assert settled.contradicts.tolist() == [False, True]

    def test_of_equal_digests_are_ordered_by_their_values(self, monkeypatch):
        monkeypatch.setattr(versions, "digests", lambda columns: np.zeros(2, np.uint64))
        for values in ([1.0, 2.0], [2.0, 1.0]):
            settled = settle(np.zeros(2, np.intp), np.zeros(2, np.int16), {"a": np.array(values)})
            assert settled.columns["a"].tolist() == [1.0]
