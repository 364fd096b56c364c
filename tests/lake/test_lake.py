"""The lake: what was put in comes out, now and as it was known then."""

import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.archives import JANUARY, MINUTE, NOW, bars, env, flat_bars, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import AmbiguousError, DataError, NoDataError
from virtuoso.lake import resolve
from virtuoso.lake import sql as query_module
from virtuoso.lake.lake import Lake
from virtuoso.lake.read import finer_frames
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN
from virtuoso.market.resample import fold_bars
from virtuoso.market.rows import Rows, traded_rows

M1 = Timeframe("1m")
DAY = 1440 * MINUTE
SPOT = Instrument("binance-spot", "BTCUSDT")
BITFINEX = Instrument("bitfinex-spot", "BTCUSD")


def put(lake: Lake, times, columns, instrument=SPOT, timeframe=M1, **options):
    """Import rows, as the importer does after the border."""
    rows = traded_rows(np.asarray(times, dtype=np.int64), columns, timeframe.ms)
    with lake.writing() as writer:
        (merged,) = writer.add(Batch(instrument, rows, timeframe, **options))
        writer.commit()
    return merged


def only(columns, index):
    return {name: values[index] for name, values in columns.items()}


def stored(lake: Lake, as_of=None) -> Rows:
    (series,) = lake.manifest().readable()
    return lake.read(series, as_of=as_of)


def stored_columns(lake: Lake, name: str) -> np.ndarray:
    return np.concatenate([lake.read(series).column(name) for series in lake.manifest().readable()])


def files_of(lake: Lake) -> set[str]:
    return {path.relative_to(lake.path).as_posix() for path in lake.path.rglob("*") if path.is_file()}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


class TestBarsInTheLake:
    """Come out as they went in, to the last bit."""

    def test_keep_every_bit_over_months(self, lake):
        made = bars(60 * 1440)
        put(lake, minutes(60 * 1440), made)
        frame = lake.frame("BTCUSDT", "1m")
        assert len(frame) == 60 * 1440
        for name, values in made.items():
            assert (frame.base.columns[name] == values).all(), name
        assert (frame.base.state == TRADED).all()
        assert frame.base.complete

    def test_may_come_day_by_day(self, lake):
        made = bars(70 * 1440)
        with lake.writing() as writer:
            for start in range(0, 70 * 1440, 1440):
                one = slice(start, start + 1440)
                writer.add(Batch(SPOT, traded_rows(minutes(70 * 1440)[one], only(made, one), MINUTE), M1))
            writer.commit()
        frame = lake.frame("BTCUSDT", "1m")
        assert (frame.base.columns["close"] == made["close"]).all()
        assert lake.manifest().readable()[0].gaps == ()

    def test_of_a_source_without_taker_volumes_carry_none(self, lake):
        put(lake, minutes(100), flat_bars(np.arange(100.0) + 100))
        assert set(lake.frame("BTCUSDT", "1m").base.columns) == {"open", "high", "low", "close", "volume"}

    def test_of_two_sources_know_taker_volumes_where_one_said_them(self, lake):
        put(lake, minutes(100), flat_bars([100.0] * 100))
        put(lake, minutes(50, JANUARY + 40 * DAY), bars(50))
        taker = lake.frame("BTCUSDT", "1m").base.columns["taker_buy_volume"]
        assert np.isnan(taker[:100]).all()
        assert (taker[-50:] == bars(50)["taker_buy_volume"]).all()

    def test_lie_in_hive_partitions_that_pandas_and_duckdb_read(self, lake):
        import duckdb

        put(lake, minutes(60 * 1440), bars(60 * 1440))
        put(lake, minutes(10), bars(10), Instrument("binance-usdm", "ETHUSDT"))
        put(lake, minutes(20), bars(20), Instrument("binance-usdm", "ETHUSDT"))  # replaces a file
        assert any(
            f"bars/venue=binance-spot/symbol=BTCUSDT/timeframe=1m/month=2024-02/part-{JANUARY + 31 * DAY}" in f
            for f in files_of(lake)
        )
        table = pd.read_parquet(lake.path / "bars")
        assert table.groupby(["venue", "symbol"], observed=True).size().tolist() == [86_400, 20]
        pattern = f"{lake.path}/bars/**/*.parquet"
        counted = duckdb.sql(f"select venue, symbol, count(*) from read_parquet('{pattern}') group by all order by 1")
        assert counted.fetchall() == [("binance-spot", "BTCUSDT", 86_400), ("binance-usdm", "ETHUSDT", 20)]

    def test_put_in_again_write_not_one_byte(self, lake):
        put(lake, minutes(3000), bars(3000))
        before = {name: (lake.path / name).stat().st_mtime_ns for name in files_of(lake)}
        merged = put(lake, minutes(3000), bars(3000))
        assert (merged.duplicates, merged.stored, merged.revised) == (3000, 0, 0)
        after = {name: (lake.path / name).stat().st_mtime_ns for name in files_of(lake)}
        assert before.keys() == after.keys()
        assert [name for name in before if before[name] != after[name] and name != "lock"] == []

    def test_have_one_fingerprint_however_they_are_spread(self, tmp_path):
        made = bars(3000)
        one, many = Lake(tmp_path / "one", env=env()), Lake(tmp_path / "many", env=env())
        put(one, minutes(3000), made)
        for part in (slice(2000, 3000), slice(0, 700), slice(700, 2000)):
            put(many, minutes(3000)[part], only(made, part))
        assert one.fingerprint("BTCUSDT", "1m") == many.fingerprint("BTCUSDT", "1m")
        made["close"][5] = np.nextafter(made["close"][5], 0)
        put(one, minutes(3000), made)
        assert one.fingerprint("BTCUSDT", "1m") != many.fingerprint("BTCUSDT", "1m")


class TestAFrameOfTheLake:
    """Holds the asked range, and the history before it to be remembered; nothing after it."""

    def test_wants_answers_for_the_range_and_remembers_what_lies_before(self, lake):
        put(lake, minutes(3000), bars(3000))
        frame = lake.frame("BTCUSDT", "1m", JANUARY + 1000 * MINUTE, JANUARY + 2000 * MINUTE)
        assert len(frame) == 1000
        assert frame.base.first == JANUARY // MINUTE
        assert len(frame.base) == 2000

    def test_takes_words_for_times(self, lake):
        put(lake, minutes(3000), bars(3000))
        assert len(lake.frame("BTCUSDT", "1m", "2024-01-02", "20240103")) == 1440

    def test_is_folded_from_finer_bars(self, lake):
        put(lake, minutes(3000), bars(3000))
        frame = lake.frame("BTC/USDT", "4h")
        whole = fold_bars(lake.frame("BTCUSDT", "1m").base, Timeframe("4h"))
        assert frame.timeframe == Timeframe("4h")
        assert all((frame.base.columns[n] == whole.columns[n]).all() for n in whole.columns)

    def test_takes_the_slowest_bars_that_divide_it(self, lake):
        put(lake, minutes(600, step=5 * MINUTE), flat_bars([7.0] * 600), timeframe=Timeframe("5m"))
        put(lake, minutes(3000), flat_bars([9.0] * 3000))
        assert lake.frame("BTCUSDT", "30m").base.columns["close"][0] == 7.0
        assert lake.frame("BTCUSDT", "1m").base.columns["close"][0] == 9.0

    def test_takes_finer_bars_where_slow_ones_do_not_reach(self, lake):
        put(lake, minutes(60, step=60 * MINUTE), flat_bars([7.0] * 60), timeframe=Timeframe("1h"))
        put(lake, minutes(10 * 1440), flat_bars([9.0] * 14_400))
        assert len(lake.frame("BTCUSDT", "1h")) == 240
        assert lake.frame("BTCUSDT", "1h", JANUARY, JANUARY + 2 * DAY).base.columns["close"][0] == 7.0

    def test_reads_history_before_a_gap_unless_the_gap_would_fill_the_memory(self, lake, monkeypatch):
        """What is known behind a gap depends on it: windows bear a tenth of unknown bars, a beginning bears none."""
        put(lake, minutes(1000), bars(1000))
        put(lake, minutes(2000, JANUARY + 90 * DAY), bars(2000))
        since = JANUARY + 90 * DAY + 500 * MINUTE
        assert len(lake.frame("BTCUSDT", "1m", since).base) == 90 * 1440 + 2000
        assert len(lake.frame("BTCUSDT", "1m").base) == 90 * 1440 + 2000
        monkeypatch.setattr(resolve, "MOST_GAP_BARS", 80 * 1440)
        assert len(lake.frame("BTCUSDT", "1m", since).base) == 2000

    def test_without_a_bar_is_an_error_that_says_what_there_is(self, lake):
        put(lake, minutes(1000), bars(1000))
        with pytest.raises(
            NoDataError, match=r"No closed 1m bar of BTCUSDT binance-spot from 2025.*stored from 2024-01-01"
        ):
            lake.frame("BTCUSDT", "1m", "2025-01-01")

    def test_bridges_short_silences_where_every_bar_is_published(self, lake):
        put(lake, np.delete(minutes(100), slice(20, 28)), only(bars(100), np.r_[0:20, 28:100]))
        state = lake.frame("BTCUSDT", "1m").base.state
        assert state[18:30].tolist() == [TRADED] * 2 + [BRIDGED] * 5 + [UNKNOWN] * 3 + [TRADED] * 2


class TestResolvingASymbol:
    """One instrument is meant, or an error lists what could be."""

    @pytest.fixture
    def two(self, lake) -> Lake:
        put(lake, minutes(100), bars(100))
        put(lake, minutes(100), bars(100, 2), Instrument("binance-usdm", "BTCUSDT"))
        put(lake, minutes(100), bars(100, 3), Instrument("binance-usdm", "ETHUSDT"))
        return lake

    def test_of_one_venue_needs_no_venue(self, two):
        assert two.resolve("ETHUSDT") == Instrument("binance-usdm", "ETHUSDT")
        assert two.resolve("eth/usdt:usdt") == Instrument("binance-usdm", "ETHUSDT")

    def test_of_two_venues_is_ambiguous(self, two):
        with pytest.raises(AmbiguousError, match=r"stored of 2 venues: binance-spot, binance-usdm\. Pass --venue"):
            two.resolve("BTCUSDT")
        assert two.resolve("BTCUSDT", venue="binance-spot") == SPOT

    def test_as_ccxt_writes_it_tells_spot_from_perpetual(self, two):
        assert two.resolve("BTC/USDT") == SPOT
        assert two.resolve("BTC/USDT:USDT") == Instrument("binance-usdm", "BTCUSDT")

    @pytest.mark.parametrize(
        ("asked", "answer"),
        [
            ({"symbol": "ETHUSD"}, "Did you mean 'ETHUSDT'"),
            ({"symbol": "BTCUSDT", "venue": "binance-sopt"}, "Did you mean 'binance-spot'"),
            ({"symbol": "ETHUSDT", "timeframe": "30s"}, r"30s bars of ETHUSDT cannot be made.*1m \(binance-usdm\)"),
        ],
    )
    def test_that_is_not_there_names_the_nearest(self, two, asked, answer):
        with pytest.raises(NoDataError, match=answer):
            two.resolve(**asked)

    def test_in_an_empty_lake_says_what_to_do(self, lake):
        with pytest.raises(NoDataError, match=r"is empty\. Try: virtuoso data import"):
            lake.resolve("BTCUSDT")
        assert not lake.path.exists()

    def test_lists_what_there_is(self, two):
        assert [str(i) for i in two.instruments()] == [
            "BTCUSDT binance-spot",
            "BTCUSDT binance-usdm",
            "ETHUSDT binance-usdm",
        ]
        assert two.timeframes(SPOT) == [M1]


class TestARevision:
    """Takes the place of the stored bar; the old one stays readable as of then."""

    LATER = NOW + 5 * DAY

    @pytest.fixture
    def revised(self, lake) -> Lake:
        made = bars(1000)
        put(lake, minutes(1000), made)
        made["close"][500] = made["high"][500]
        lake = Lake(lake.path, env=env(self.LATER))
        merged = put(lake, minutes(1000), made, rank=1)
        assert (merged.revised, merged.duplicates, merged.stored, merged.late) == (1, 999, 0, 1)
        return lake

    def test_is_what_one_reads_now(self, revised):
        rows = stored(revised)
        assert rows.columns["close"][500] == bars(1000)["high"][500]
        assert rows.available_at[500] == self.LATER
        assert (np.delete(rows.available_at, 500) == np.delete(minutes(1000) + MINUTE, 500)).all()

    def test_is_not_what_one_read_then(self, revised):
        then = stored(revised, as_of=self.LATER - 1)
        assert (then.columns["close"] == bars(1000)["close"]).all()
        assert len(then) == 1000
        assert stored(revised, as_of=self.LATER).columns["close"][500] == bars(1000)["high"][500]

    def test_reaches_frames_through_as_of(self, revised):
        old = revised.frame("BTCUSDT", "1m", as_of=self.LATER - 1)
        assert old.base.columns["close"][500] == bars(1000)["close"][500]
        assert len(revised.frame("BTCUSDT", "1m", as_of=JANUARY + 100 * MINUTE).base) == 100

    def test_does_not_come_back_with_an_old_file(self, revised):
        before = files_of(revised)
        merged = put(revised, minutes(1000), bars(1000))
        assert (merged.duplicates, merged.revised, merged.conflicts) == (999, 0, 1)
        assert files_of(revised) == before

    def test_is_later_than_what_it_revises_whatever_the_clock_says(self, lake):
        made = bars(10)
        put(lake, minutes(10), made)
        for step in (1, 2, 3):
            made["close"][5] = made["low"][5] + step * 1e-6
            put(lake, minutes(10), made, rank=step)
        assert stored(lake).available_at[5] == NOW + 2
        assert len({stored(lake, as_of=NOW + k).columns["close"][5] for k in (-1, 0, 1, 2)}) == 4

    def test_does_not_mix_two_bars(self, lake):
        """A column that the revision does not carry is not known any more."""
        put(lake, minutes(10), bars(10))
        other = only(bars(10, seed=1), np.arange(10))
        plain = {name: other[name] for name in ("open", "high", "low", "close", "volume")}
        plain["close"] = plain["low"].copy()
        put(lake, minutes(10), plain, rank=1)
        assert np.isnan(stored(lake).column("trades")).all()

    def test_may_add_columns_to_bars_that_agree(self, lake):
        made = bars(10)
        put(lake, minutes(10), {name: made[name] for name in ("open", "high", "low", "close", "volume")})
        merged = put(lake, minutes(10), made)
        assert (merged.filled, merged.duplicates, merged.revised, merged.conflicts, merged.late) == (10, 10, 0, 0, 0)
        assert (lake.coverage()[0].revisions, lake.coverage()[0].late) == (0, 0)
        assert (stored(lake).available_at == minutes(10) + MINUTE).all()
        assert (stored(lake).columns["trades"] == made["trades"]).all()
        assert (
            "trades" not in stored(lake, as_of=NOW - 1).columns
            or np.isnan(stored(lake, as_of=NOW - 1).columns["trades"]).all()
        )

    def test_of_fewer_columns_that_agree_is_none(self, lake):
        made = bars(10)
        put(lake, minutes(10), made)
        merged = put(lake, minutes(10), {name: made[name] for name in ("open", "high", "low", "close", "volume")})
        assert (merged.duplicates, merged.revised) == (10, 0)


class TestALateBar:
    """A bar that fills a hole in stored history counts from when it came."""

    def test_is_not_known_before_it_came(self, lake):
        made, hole = bars(100), np.r_[0:40, 60:100]
        put(lake, minutes(100)[hole], only(made, hole))
        merged = put(lake, minutes(100), made)
        assert (merged.stored, merged.late) == (20, 20)
        assert len(stored(lake, as_of=NOW - 1)) == 80
        assert len(stored(lake)) == 100
        assert lake.coverage()[0].late == 20

    def test_outside_stored_history_counts_from_its_close(self, lake):
        made = bars(300)
        for part in (slice(100, 200), slice(200, 300), slice(0, 100)):
            assert put(lake, minutes(300)[part], only(made, part)).late == 0
        assert len(stored(lake, as_of=JANUARY + 150 * MINUTE)) == 150

    def test_of_one_import_may_come_in_any_order(self, lake):
        made = bars(300)
        with lake.writing() as writer:
            for part in (slice(0, 100), slice(200, 300), slice(100, 200)):
                rows = traded_rows(minutes(300)[part], only(made, part), MINUTE)
                assert writer.add(Batch(SPOT, rows, M1))[0].late == 0
            writer.commit()
        assert len(stored(lake)) == 300


class TestMinutesWithoutATrade:
    """At a venue that publishes only minutes with trades, the first five of a silence are written flat."""

    def test_are_written_and_marked(self, lake):
        times = minutes(20)[np.r_[0:5, 8:20]]
        merged = put(lake, times, flat_bars(np.arange(17.0) + 100), BITFINEX)
        assert merged.flat == 3
        rows = stored(lake)
        assert rows.state[3:10].tolist() == [TRADED] * 2 + [NO_TRADE] * 3 + [TRADED] * 2
        assert rows.columns["close"][4:9].tolist() == [104, 104, 104, 104, 105]
        assert rows.columns["volume"][5:8].tolist() == [0, 0, 0]
        assert (rows.available_at == rows.open_time + MINUTE).all()

    def test_are_five_at_most(self, lake):
        times = minutes(40)[np.r_[0:5, 25:40]]
        put(lake, times, flat_bars([100.0] * 20), BITFINEX)
        frame = lake.frame("BTCUSD", "1m")
        assert frame.base.state[4:26].tolist() == [TRADED] + [NO_TRADE] * 5 + [UNKNOWN] * 15 + [TRADED]
        assert [(g.start, g.end) for g in lake.manifest().readable()[0].gaps] == [
            (JANUARY + 10 * MINUTE, JANUARY + 25 * MINUTE)
        ]

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the later file first"])
    def test_reach_over_the_border_of_two_files(self, lake, order):
        """The last bar of January and the first of February, three minutes apart."""
        end = JANUARY + 31 * DAY
        parts = [(minutes(60, end - 61 * MINUTE), 100.0), (minutes(60, end + 2 * MINUTE), 200.0)]
        for i in order:
            put(lake, parts[i][0], flat_bars([parts[i][1]] * 60), BITFINEX)
        rows = stored(lake)
        silent = rows.state == NO_TRADE
        assert rows.open_time[silent].tolist() == [end - MINUTE, end, end + MINUTE]
        assert (rows.columns["close"][silent] == 100).all()
        assert {f.month for f in lake.manifest().readable()[0].files} == {"2024-01", "2024-02"}

    def test_end_where_a_late_bar_comes_to_light(self, lake):
        """The flat bar becomes a traded one, those after it follow its close, and the silence begins again."""
        put(lake, minutes(20)[np.r_[0:5, 15:20]], flat_bars([100.0] * 10), BITFINEX)
        put(lake, [JANUARY + 7 * MINUTE], flat_bars([107.0]), BITFINEX)
        now, then = stored(lake), stored(lake, as_of=NOW - 1)
        assert now.state[4:13].tolist() == [TRADED, NO_TRADE, NO_TRADE, TRADED] + [NO_TRADE] * 5
        assert now.columns["close"][5:13].tolist() == [100, 100] + [107] * 6
        assert then.columns["close"].tolist() == [100.0] * 15
        assert then.state[5:10].tolist() == [NO_TRADE] * 5

    def test_that_the_venue_publishes_after_all_are_bars_like_others(self, lake):
        put(lake, minutes(20)[np.r_[0:5, 8:20]], flat_bars([100.0] * 17), BITFINEX)
        published = flat_bars([100.0]) | {"volume": np.zeros(1)}
        merged = put(lake, [JANUARY + 6 * MINUTE], published, BITFINEX)
        assert (merged.revised, merged.conflicts) == (1, 0)
        assert stored(lake).state[4:9].tolist() == [TRADED, NO_TRADE, TRADED, NO_TRADE, TRADED]

    def test_are_not_invented_elsewhere(self, lake):
        put(lake, minutes(20)[np.r_[0:5, 8:20]], flat_bars([100.0] * 17))
        assert len(stored(lake)) == 17

    def test_are_not_invented_after_the_last_trade(self, lake):
        put(lake, minutes(5), flat_bars([100.0] * 5), BITFINEX)
        assert len(stored(lake)) == 5


class TestTheLedgerOfGaps:
    """Knows every stretch of bars that should exist and do not."""

    @given(
        present=st.lists(st.booleans(), min_size=60, max_size=400).map(np.array),
        cuts=st.lists(st.integers(1, 59), max_size=4),
        seed=st.integers(0, 5),
        at_once=st.booleans(),
    )
    def test_is_the_same_however_history_arrived(self, tmp_path_factory, present, cuts, seed, at_once):
        """Any holes, pieces, order and commits: one store, one ledger, and importing again changes nothing."""
        times = minutes(len(present), JANUARY + 31 * DAY - 100 * MINUTE)[present]
        if len(times) == 0:
            return
        made = flat_bars(100 + np.arange(len(times)) % 7)
        one = Lake(tmp_path_factory.mktemp("one"), env=env())
        many = Lake(tmp_path_factory.mktemp("many"), env=env())
        put(one, times, made, BITFINEX)
        edges = [0, *sorted({min(c, len(times)) for c in cuts}), len(times)]
        pieces = [slice(a, b) for a, b in pairwise(edges) if a < b]
        np.random.default_rng(seed).shuffle(pieces)
        if at_once:
            with many.writing() as writer:
                for piece in pieces:
                    writer.add(Batch(BITFINEX, traded_rows(times[piece], only(made, piece), MINUTE), M1))
                writer.commit()
        else:
            for piece in pieces:
                put(many, times[piece], only(made, piece), BITFINEX)
        assert one.fingerprint("BTCUSD", "1m") == many.fingerprint("BTCUSD", "1m")
        assert one.manifest().readable()[0].gaps == many.manifest().readable()[0].gaps
        generation = many.manifest().generation
        put(many, times, made, BITFINEX)
        assert many.manifest().generation == generation

    def test_counts_what_is_missing(self, lake):
        keep = np.r_[0:10, 12:50, 80:100]
        put(lake, minutes(100)[keep], only(bars(100), keep))
        (line,) = lake.coverage()
        assert (line.bars, line.missing, line.gaps) == (68, 32, 2)
        assert line.share == 0.68
        (check,) = lake.check()
        assert [(g[2], g[3]) for g in check.gaps] == [(2, "missing"), (30, "missing")]
        assert check.to_dict()["gaps"][1]["start_utc"] == "2024-01-01 00:50:00Z"

    def test_forgets_a_gap_that_was_filled(self, lake):
        keep = np.r_[0:10, 12:50, 80:100]
        put(lake, minutes(100)[keep], only(bars(100), keep))
        put(lake, minutes(100)[50:80], only(bars(100), slice(50, 80)))
        assert [g.end - g.start for g in lake.manifest().readable()[0].gaps] == [2 * MINUTE]


class TestSql:
    """Looks at bars, and at nothing else."""

    @pytest.fixture
    def full(self, lake) -> Lake:
        put(lake, minutes(100), bars(100))
        put(lake, minutes(50), bars(50), Instrument("binance-usdm", "ETHUSDT"))
        return lake

    def test_a_file_is_read_by_the_thread_that_wants_its_rows(self, full, monkeypatch):
        """A thread of Arrow that opened it would wait for Python's lock, whose owner may wait for Arrow: for ever."""
        opened = []
        read = query_module.StoredFile.read

        def watched(file):
            opened.append((file.inside, threading.current_thread()))
            return read(file)

        monkeypatch.setattr(query_module.StoredFile, "read", watched)
        files = [
            query_module.StoredFile(full.locate(file), file.path, file.sha256)
            for series in full.manifest().readable()
            for file in series.files
        ]
        dataset = query_module._Checked({"bars": files}).datasets["bars"]
        reader = dataset.scanner(columns=["open_time"], filter=None).to_reader()
        assert opened == []
        assert reader.read_all().num_rows > 0
        assert {inside for inside, _ in opened} == {file.inside for file in files}
        assert {thread for _, thread in opened} == {threading.current_thread()}

    def test_sees_one_view_of_all_bars(self, full):
        table = full.sql("select symbol, timeframe, count(*) n, min(time) t from bars group by all order by 1")
        assert table["n"].tolist() == [100, 50]
        assert table["t"].iloc[0] == pd.Timestamp("2024-01-01")

    @pytest.mark.parametrize(
        "query",
        [
            "drop view bars",
            "copy bars to 'x.csv'",
            "attach 'x.db'",
            "set threads = 1",
            "create table t as select 1",
            "select 1; select 2",
            "pragma database_list",
            "install httpfs",
            "load httpfs",
            "export database 'x'",
            "call pragma_version()",
            "prepare p as select 1",
            "execute p",
            "insert into bars values (1)",
            "checkpoint",
            "explain copy bars to 'x.csv'",
            "explain analyze copy bars to 'x.csv'",
            "EXPLAIN\n ANALYZE\tcopy bars to 'x.csv'",
            "explain /* select */ copy bars to 'x.csv'",
            "explain analyze create table t as select 1",
            "/* a comment */",
            "",
        ],
    )
    def test_is_a_single_select(self, full, query):
        with pytest.raises(DataError, match="Only a single SELECT"):
            full.sql(query)

    @pytest.mark.parametrize(
        "query", ["from bars", "with x as (from bars) select * from x", "describe bars", "explain analyze from bars"]
    )
    def test_may_be_written_in_any_way(self, full, query):
        assert len(full.sql(query)) > 0

    @pytest.mark.parametrize(
        "query",
        [
            "copy bars to '{path}' (format parquet)",
            "explain analyze copy bars to '{path}'",
            "copy (select 1) to '{path}' (format csv)",
            "export database '{path}'",
            "attach '{path}' as other",
            "pragma enable_profiling = 'json'; pragma profiling_output = '{path}'",
            "from enable_logging('QueryLog', storage = 'file', storage_config = {{'path': '{path}'}})",
            "set enable_external_access = true",
            "set disabled_filesystems = ''",
            "set temp_directory = '{path}'",
        ],
    )
    def test_could_write_nowhere_if_it_were_no_select(self, full, query, monkeypatch, tmp_path):
        monkeypatch.setattr(query_module, "_refuse_all_but_select", lambda query: None)
        before = {path: (full.path / path).read_bytes() for path in files_of(full)}
        for target in (tmp_path / "new", full.locate(full.manifest().readable()[0].files[0])):
            with pytest.raises(DataError, match="DuckDB refuses the query"):
                full.sql(query.format(path=target))
        assert before == {path: (full.path / path).read_bytes() for path in files_of(full)}
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        "query",
        [
            "select * from read_text('/etc/passwd')",
            "select * from read_blob('/etc/passwd')",
            "select * from read_csv('/etc/passwd', sep = ':')",
            "select * from sniff_csv('/etc/passwd')",
            "select * from glob('/etc/*')",
            "select * from '/etc/passwd'",
            "select * from read_parquet('{lake}/bars/**/*.parquet')",
            "select * from parquet_metadata('{part}')",
            "select * from read_csv('https://example.org/x.csv')",
            "select getenv('HOME')",
            "select * from secret_of_the_program",
        ],
    )
    def test_reaches_nothing_but_the_views(self, full, query):
        secret_of_the_program = pd.DataFrame({"a": [1]})
        assert len(secret_of_the_program) == 1
        part = full.locate(full.manifest().readable()[0].files[0])
        with pytest.raises(DataError, match="DuckDB refuses the query"):
            full.sql(query.format(lake=full.path, part=part))

    def test_knows_what_is_not_known_as_duckdb_does(self, full):
        """NaN is the largest number to DuckDB, also where Arrow filters the rows."""
        counted = full.sql("select count(*) n from bars where taker_buy_volume > 1e300")
        unknown = np.isnan(stored_columns(full, "taker_buy_volume")).sum()
        assert counted["n"].tolist() == [unknown]

    def test_ends_when_its_time_is_up(self, full):
        with pytest.raises(DataError, match=r"longer than 0\.2 s.*seconds="):
            full.sql("select count(*) from range(100000000000)", seconds=0.2)

    def test_ends_when_it_takes_too_much_memory(self, full):
        with pytest.raises(DataError, match=r"more than 64 MB of memory.*memory_mb="):
            full.sql("select distinct range from range(100000000)", memory_mb=64)

    def test_ends_when_the_answer_is_too_large(self, full):
        with pytest.raises(DataError, match=r"larger than 64 MB.*memory_mb="):
            full.sql("select range from range(100000000)", memory_mb=64)

    def test_gives_long_answers_whole(self, full):
        found = full.sql("select range n, if(range = 300000, null, range) m from range(500000)")
        assert found["n"].tolist() == list(range(500_000))
        assert found["m"].isna().sum() == 1

    def test_may_not_be_a_book(self, full):
        with pytest.raises(DataError, match="characters"):
            full.sql(f"select '{'x' * 200_000}'")
        with pytest.raises(DataError) as told:
            full.sql(f"select '{'x' * 50_000}' + [1] from bars")
        assert len(str(told.value)) < 1_000

    def test_names_what_is_wrong_with_a_query(self, full):
        with pytest.raises(DataError, match="symbl"):
            full.sql("select symbl from bars")

    def test_of_an_empty_lake_says_so(self, lake):
        with pytest.raises(NoDataError, match="is empty"):
            lake.sql("select 1 from bars")


class TestAReaderOfAnOldGeneration:
    """Still finds the files that a writer has replaced meanwhile."""

    def test_reads_what_it_began_with(self, lake):
        put(lake, minutes(100), bars(100))
        old = lake.manifest()
        put(lake, minutes(200), bars(200))
        (series,) = old.readable()
        assert len(lake.read(series)) == 100

    def test_starts_again_where_they_are_gone(self, lake):
        put(lake, minutes(100), bars(100))
        reader = Lake(lake.path, env=env())
        old = reader.manifest()
        put(lake, minutes(200), bars(200))
        for path in (lake.path / "retired").rglob("*.parquet"):
            path.unlink()
        tries = []

        def read(manifest):
            tries.append(manifest.generation)
            return len(reader.read(manifest.readable()[0]))

        reader.manifest = lambda kind: old if not tries else Lake.manifest(reader, kind)
        assert reader.consistently(read) == 200
        assert tries == [1, 2]

    def test_loses_them_only_after_the_grace_period(self, lake):
        hour = 3_600_000
        for k in range(8):
            put(Lake(lake.path, env=env(NOW + k * hour)), minutes(100 + k), bars(100 + k))
        waiting = [path for path in files_of(lake) if path.startswith("retired/")]
        assert 3 <= len(waiting) <= 5


class TestImportingTheStore:
    """Costs next to nothing: the command line imports it to print its help."""

    def test_loads_no_heavy_library(self):
        heavy = ["pandas", "duckdb", "pyarrow", "numba", "matplotlib"]
        code = f"import sys, virtuoso.ingest.importer; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestFinerBars:
    """What is stored finer than a clock, to tell what happens inside its bars."""

    DAY = 86_400_000

    @pytest.fixture
    def lake(self, tmp_path) -> Lake:
        """Five minutes and hours of two symbols, single minutes of one."""
        lake = Lake(tmp_path / "lake", env=env())
        for symbol, clocks in (("BTCUSDT", ("1m", "5m", "1h")), ("ETHUSDT", ("5m", "1h"))):
            for clock in map(Timeframe, clocks):
                some = slice(None, None, clock.ms // MINUTE)
                of = Instrument("binance-spot", symbol)
                put(lake, minutes(2 * 1440)[some], only(bars(2 * 1440), some), of, clock)
        return lake

    def spans(self, *symbols, days=(0, 2)):
        start = int(minutes(1)[0])
        return {
            Instrument("binance-spot", s): (start + days[0] * self.DAY, start + days[1] * self.DAY) for s in symbols
        }

    def found(self, lake, *args, **options):
        return {i.symbol: frame.timeframe.name for i, frame in finer_frames(lake, *args, **options).items()}

    def test_are_of_the_clock_that_most_have_then_of_the_finest(self, lake):
        hour = Timeframe("1h")
        assert self.found(lake, self.spans("BTCUSDT", "ETHUSDT"), hour) == {"BTCUSDT": "5m", "ETHUSDT": "5m"}
        assert self.found(lake, self.spans("BTCUSDT"), hour) == {"BTCUSDT": "1m"}
        assert self.found(lake, self.spans("BTCUSDT", "ETHUSDT"), hour, finer=Timeframe("1m")) == {"BTCUSDT": "1m"}

    def test_are_finer_and_divide_the_clock(self, lake):
        assert self.found(lake, self.spans("ETHUSDT"), Timeframe("5m")) == {}
        assert self.found(lake, self.spans("ETHUSDT"), Timeframe("8m")) == {}

    def test_lie_in_the_span(self, lake):
        (frame,) = finer_frames(lake, self.spans("ETHUSDT", days=(1, 2)), Timeframe("1h")).values()
        assert len(frame) == 288
        assert finer_frames(lake, self.spans("ETHUSDT", days=(5, 6)), Timeframe("1h")) == {}
