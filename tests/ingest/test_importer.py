"""Import of bars from files: identify, judge, merge, and report on each file."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.archives import JANUARY, MINUTE, bars, day, env, flat_bars, lines, minutes, write
from virtuoso.clock import Timeframe
from virtuoso.errors import AmbiguousError, ConfigError, NoDataError
from virtuoso.ingest.importer import ImportReport, import_paths
from virtuoso.lake.lake import Lake
from virtuoso.market.gaps import NO_TRADE
from virtuoso.venues.simulator.archive import COMMENT

DAY = 1440 * MINUTE


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def take(lake: Lake, *paths, **options) -> ImportReport:
    return import_paths(lake, paths, **({"venue": "binance-spot"} | options))


def one(lake: Lake, path, **options):
    (report,) = take(lake, path, **options).files
    return report


def table(path, times, made, **further):
    frame = pd.DataFrame({"open_time": times, **made, **further})
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


class TestAnArchiveFile:
    """Says with its name what it holds; only the venue has to be given."""

    def test_is_imported(self, lake, tmp_path):
        report = one(lake, day(tmp_path))
        assert (report.status, report.rows_read, report.stored) == ("imported", 1440, 1440)
        assert (report.instruments, report.timeframe) == (["BTCUSDT binance-spot"], "1m")
        assert (lake.frame("BTCUSDT", "1m").base.columns["close"] == bars(1440)["close"]).all()

    def test_imported_again_is_unchanged_and_writes_nothing(self, lake, tmp_path):
        first = take(lake, day(tmp_path))
        again = take(lake, day(tmp_path))
        assert (first.generation, again.generation, again.bytes_written) == (1, 1, 0)
        assert (again.files[0].status, again.files[0].duplicates) == ("unchanged", 1440)

    def test_needs_a_venue(self, lake, tmp_path):
        with pytest.raises(AmbiguousError, match="Pass --venue, such as binance-spot"):
            import_paths(lake, day(tmp_path))

    def test_of_a_folder_is_found_with_all_others(self, lake, tmp_path):
        for k in range(3):
            day(tmp_path / "deep" / "er", 1440, JANUARY + k * DAY, seed=k)
        report = take(lake, tmp_path / "deep")
        assert [file.stored for file in report.files] == [1440] * 3
        assert report.generation == 1  # small files share a commit
        assert len(lake.frame("BTCUSDT", "1m")) == 3 * 1440

    def test_that_is_named_with_its_checksum_is_one_file(self, lake, tmp_path):
        path = day(tmp_path)
        beside = path.with_name(f"{path.name}.CHECKSUM")
        assert [file.status for file in take(lake, path, beside).files] == ["imported"]
        assert [file.status for file in take(lake, beside).files] == ["skipped"]

    def test_is_announced_before_it_is_read(self, lake, tmp_path):
        seen = []
        take(lake, day(tmp_path), progress=lambda done, total, name: seen.append((done, total, name)))
        assert seen == [(0, 1, "BTCUSDT-1m-2024-01-01.zip"), (1, 1, "")]

    def test_that_does_not_exist_is_an_error(self, lake, tmp_path):
        with pytest.raises(NoDataError, match=r"gone\.zip does not exist"):
            take(lake, tmp_path / "gone.zip")

    @pytest.mark.parametrize(
        ("option", "error"),
        [
            ({"kind": "tradez"}, "--kind 'tradez' cannot be imported. Did you mean 'trades'"),
            ({"time_unit": "minutes"}, "is none of auto, s, ms, us, ns"),
            ({"time_zone": "Moon"}, "'Moon' is not a time zone"),
        ],
    )
    def test_with_an_impossible_option_is_an_error(self, lake, tmp_path, option, error):
        with pytest.raises(ConfigError, match=error):
            take(lake, day(tmp_path), **option)


class TestTheInstrument:
    """Of a row is what the caller, a column or the file's name say, if they agree."""

    def test_comes_from_a_symbol_column(self, lake, tmp_path):
        path = table(
            tmp_path / "a.parquet", np.tile(minutes(30), 2), bars(60), symbol=["ETH/USDT"] * 30 + ["BTC/USDT"] * 30
        )
        report = one(lake, path)
        assert report.instruments == ["BTCUSDT binance-spot", "ETHUSDT binance-spot"]
        assert report.stored == 60

    def test_may_be_picked_from_several(self, lake, tmp_path):
        path = table(
            tmp_path / "a.parquet", np.tile(minutes(30), 2), bars(60), symbol=["ETHUSDT"] * 30 + ["BTCUSDT"] * 30
        )
        report = one(lake, path, symbol="BTC/USDT")
        assert (report.instruments, report.stored) == (["BTCUSDT binance-spot"], 30)
        assert "left out 1 other symbols" in report.notes

    def test_comes_from_the_name(self, lake, tmp_path):
        path = table(tmp_path / "binance_1m_SOLUSDT_2024.csv", minutes(60), bars(60))
        assert one(lake, path).instruments == ["SOLUSDT binance-spot"]

    @pytest.mark.parametrize(
        ("name", "options", "error"),
        [
            ("prices.csv", {}, "prices.csv names no symbol, and no column does. Pass --symbol"),
            ("BTCUSDT_ETHUSDT.csv", {}, "names BTCUSDT, ETHUSDT"),
            ("BTCUSDT-1m.csv", {"symbol": "ETHUSDT"}, "is named after BTCUSDT, not ETHUSDT"),
        ],
    )
    def test_is_never_guessed(self, lake, tmp_path, name, options, error):
        report = one(lake, table(tmp_path / name, minutes(60), bars(60)), **options)
        assert report.status == "failed"
        assert error in report.error

    def test_that_is_not_in_the_file_is_an_error(self, lake, tmp_path):
        path = table(tmp_path / "a.csv", minutes(60), bars(60), symbol="BTCUSDT")
        assert "holds no BTCUSD. Did you mean 'BTCUSDT'?" in one(lake, path, symbol="BTCUSD").error

    def test_of_spot_and_perpetual_never_merge(self, lake, tmp_path):
        path = table(tmp_path / "a.csv", minutes(60), bars(60), symbol=["BTC/USDT", "BTC/USDT:USDT"] * 30)
        assert "both stored as BTCUSDT. Write one file a market" in one(lake, path, timeframe="1m").error

    def test_that_a_row_does_not_name_leave_it_out(self, lake, tmp_path):
        path = table(tmp_path / "a.parquet", minutes(3), flat_bars([1, 1, 1]), symbol=["BTCUSDT", None, "BTCUSDT"])
        report = one(lake, path, timeframe="1m")
        assert (report.stored, report.left_out, report.lines) == (2, 1, 3)
        assert "left out: 1 row without a symbol" in report.notes

    def test_that_no_row_names_are_an_error(self, lake, tmp_path):
        path = table(tmp_path / "a.parquet", minutes(3), flat_bars([1, 1, 1]), symbol=[None, None, None])
        assert "row 1 names no symbol, and no other row does" in one(lake, path, timeframe="1m").error

    def test_of_simulated_bars_is_the_simulator(self, lake, tmp_path):
        import zipfile

        path = day(tmp_path)
        path.with_name(path.name + ".CHECKSUM").unlink()
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = COMMENT
        assert "was made by the simulator" in one(lake, path).error
        assert one(lake, path, venue="simulated").stored == 1440


class TestTheTimeframe:
    """Is what the caller, the name and the bars themselves agree on."""

    @pytest.mark.parametrize(("step", "name"), [(1_000, "1s"), (300_000, "5m"), (14_400_000, "4h"), (86_400_000, "1d")])
    def test_is_seen_from_the_spacing(self, lake, tmp_path, step, name):
        path = table(tmp_path / "BTCUSDT.csv", minutes(60, step=step), bars(60))
        assert one(lake, path).timeframe == name

    def test_is_seen_through_holes(self, lake, tmp_path):
        keep = np.delete(np.arange(200), slice(50, 90, 3))
        path = table(tmp_path / "BTCUSDT.csv", minutes(200)[keep], {n: v[keep] for n, v in bars(200).items()})
        assert one(lake, path).timeframe == "1m"

    def test_is_asked_for_where_nothing_tells_it(self, lake, tmp_path):
        path = table(tmp_path / "BTCUSDT.csv", minutes(1), bars(1))
        assert "its bars do not tell it. Pass --timeframe" in one(lake, path).error
        assert one(lake, path, timeframe="1m").stored == 1

    @pytest.mark.parametrize("name", ["BTCUSDT-1m-2024-01-01.csv", "BTCUSDT.csv"])
    def test_that_contradicts_the_bars_is_an_error(self, lake, tmp_path, name):
        path = table(tmp_path / name, minutes(60, step=300_000), bars(60))
        report = one(lake, path, timeframe=None if "1m" in name else "1m")
        assert "holds 5m bars, but" in report.error
        assert "Pass --timeframe 5m" in report.error


class TestOneBadFile:
    """Never loses the others, and is never half imported."""

    def test_has_its_own_line_in_the_report(self, lake, tmp_path):
        good = [day(tmp_path, 1440, JANUARY + k * DAY, seed=k) for k in range(3)]
        good[1].write_bytes(good[1].read_bytes()[:-100])
        (tmp_path / "README.md").write_text("hello")
        report = take(lake, tmp_path)
        statuses = {file.path.rsplit("/", 1)[-1]: file.status for file in report.files}
        assert statuses == {
            "BTCUSDT-1m-2024-01-01.zip": "imported",
            "BTCUSDT-1m-2024-01-02.zip": "failed",
            "BTCUSDT-1m-2024-01-03.zip": "imported",
            "README.md": "skipped",
        }
        assert not report.ok
        assert "differs from its checksum" in report.failed[0].error
        assert len(lake.manifest().readable()[0].gaps) == 1

    def test_of_several_symbols_is_taken_whole_or_not_at_all(self, lake, tmp_path):
        made = bars(200)
        made["high"][101::2] = 1e-3  # one of the two symbols is rotten
        path = table(tmp_path / "a.csv", minutes(200), made, symbol=["BTCUSDT", "ETHUSDT"] * 100)
        report = one(lake, path, timeframe="1m")
        assert report.status == "failed"
        assert not lake.instruments()


class TestAnyBytesAtAll:
    """Become bars or a line in the report; the importer never falls over."""

    @given(
        name=st.sampled_from(["BTCUSDT-1m.csv", "BTCUSDT-1m.csv.gz", "BTCUSDT-1m.zip", "BTCUSDT-1m.parquet"]),
        places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.integers(0, 2)), min_size=1, max_size=12),
    )
    def test_that_were_spoilt(self, tmp_path_factory, name, places):
        folder = tmp_path_factory.mktemp("spoilt")
        path = folder / name
        if name.endswith("parquet"):
            table(path, minutes(60), bars(60))
        else:
            write(path, lines(minutes(60), bars(60)))
        data = bytearray(path.read_bytes())
        for where, byte, how in places:
            at = int(where * (len(data) - 1))
            data[at : at + how] = bytes([byte])
        path.write_bytes(data)
        (report,) = take(Lake(folder / "lake", env=env()), path).files
        assert report.status in ("imported", "skipped", "failed")
        assert (report.status == "imported") == (report.stored > 0)
        assert bool(report.error) == (report.status != "imported")


class TestBarsThatContradictTheLake:
    """So many revisions at once are another market, another zone or another symbol."""

    def test_are_refused(self, lake, tmp_path):
        one(lake, day(tmp_path / "a"))
        report = one(lake, day(tmp_path / "b", seed=2))
        assert "of 1,440 bars differ from those stored of BTCUSDT binance-spot" in report.error
        assert (lake.frame("BTCUSDT", "1m").base.columns["close"] == bars(1440)["close"]).all()

    def test_are_taken_if_the_user_says_so(self, lake, tmp_path):
        one(lake, day(tmp_path / "a"))
        report = one(lake, day(tmp_path / "b", seed=2), max_revised_share=1.0)
        assert report.revisions + report.conflicts == 1440
        assert min(report.revisions, report.conflicts) > 0  # of one rank, the values decide

    def test_are_taken_for_right_if_the_user_prefers_them(self, lake, tmp_path):
        one(lake, day(tmp_path / "a"))
        refused = one(lake, day(tmp_path / "b", seed=2))
        assert "If this file is right, import it with --prefer" in refused.error
        report = one(lake, day(tmp_path / "b", seed=2), prefer=True)
        assert (report.revisions, report.conflicts) == (1440, 0)
        one(lake, day(tmp_path / "a"), max_revised_share=1.0)
        assert (lake.frame("BTCUSDT", "1m").base.columns["close"] == bars(1440, 2)["close"]).all()
        assert lake.check()[0].coverage.conflicts == 0

    def test_in_one_file_are_refused_too(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT-1m-x.csv", lines(minutes(100), bars(100)) + lines(minutes(100), bars(100, 2)))
        assert "holds 100 bars twice with different values" in one(lake, path).error


class TestTheReport:
    """Is plain values: printed by the command line, written by `--json`."""

    def test_is_json(self, lake, tmp_path):
        told = json.loads(json.dumps(take(lake, day(tmp_path)).to_dict()))
        assert told["ok"] is True
        assert told["total"]["stored"] == 1440
        assert told["files"][0]["notes"] == ["times: ms"]

    def test_of_the_store_is_json(self, lake, tmp_path):
        take(lake, day(tmp_path))
        for found in (*lake.coverage(), *lake.check(), lake.verify()):
            json.dumps(found.to_dict())

    def test_without_any_bars_is_not_ok(self, lake, tmp_path):
        (tmp_path / "notes.txt").write_text("hello")
        assert not take(lake, tmp_path / "notes.txt").ok


# 2026-09, later than every recording
PRESENT = 1_790_000_000_000


@pytest.fixture(scope="module")
def full(real_data, tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("pack") / "lake", env=env(PRESENT))
    ohlcv, raw = real_data / "ohlcv", real_data / "raw_archives"
    perpetuals = [*sorted(ohlcv.glob("binance_um_*")), raw / "LINKUSDT-1m-2023-02.csv.gz"]
    spot = [*sorted(ohlcv.glob("binance_spot_*")), *sorted(raw.glob("BTCUSDT-*"))]
    reports = [
        import_paths(lake, perpetuals, venue="binance-usdm"),
        import_paths(lake, spot, venue="binance-spot"),
        import_paths(lake, ohlcv / "bitfinex_1m_BTCUSD_2019.parquet", venue="bitfinex-spot"),
    ]
    return lake, {file.path.rsplit("/", 1)[-1]: file for report in reports for file in report.files}


@pytest.mark.real_data
class TestTheRecordedPack:
    """Everything in the pack that holds bars becomes the rows that its manifest promises."""

    def test_row_by_row(self, full, real_data):
        _, files = full
        promised = pd.read_csv(real_data / "MANIFEST.csv").set_index("file")["rows"].dropna()
        tables = [name for name in promised.index if name.startswith("ohlcv/")]
        assert len(tables) == 7
        for name in tables:
            assert files[name.removeprefix("ohlcv/")].stored == promised[name], name
        archives = {name: file.stored for name, file in files.items() if "-1m-20" in name}
        assert archives == {
            "BTCUSDT-1m-2020-01-01.zip": 1440,
            "BTCUSDT-1m-2020-01-02.zip": 1440,
            "BTCUSDT-1m-2020-01-03.zip": 1440,
            "BTCUSDT-1m-2026-03.zip": 44_640,
            "LINKUSDT-1m-2023-02.csv.gz": 40_320,
        }

    def test_from_the_files_that_the_manifest_means(self, full, real_data):
        lake, _ = full
        promised = pd.read_csv(real_data / "MANIFEST.csv").set_index("file")["sha256"]
        sources = [source for series in lake.manifest().readable() for source in series.sources]
        folders = ("ohlcv", "raw_archives")
        known = {name.split("/")[-1]: sha for name, sha in promised.items() if name.startswith(folders)}
        assert len({source.name for source in sources}) == 12
        assert all(source.sha256 == known[source.name] for source in sources)
        assert lake.verify().ok

    def test_without_one_row_in_quarantine(self, full):
        _, files = full
        assert sum(file.quarantined + file.revisions + file.forming for file in files.values()) == 0
        assert {file.status for file in files.values()} == {"imported"}

    def test_with_every_value_as_it_was_recorded(self, full, real_data):
        lake, _ = full
        told = pd.read_parquet(real_data / "ohlcv/binance_um_1m_FILUSDT_202304_202306.parquet")
        columns = lake.frame("FILUSDT", "1m", venue="binance-usdm").base.columns
        for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume"):
            assert (columns[name] == told[name].to_numpy()).all(), name
        assert (columns["trades"] == told["count"].to_numpy()).all()

    def test_with_local_times_moved_to_utc(self, full):
        """The stored minute of the local file agrees with the day's first published minute of the hour before."""
        lake, _ = full
        frame = lake.frame("BTCUSDT", "1m", "2024-11-30", "2024-12-16", venue="binance-spot")
        known = frame.base.open_times[frame.base.state <= NO_TRADE]
        assert known[-1] == 1_734_303_540_000  # 2024-12-15T22:59Z
        assert frame.gaps()[-2][1] == 1_733_007_600_000  # 2024-11-30T23:00Z

    def test_with_the_minutes_that_had_no_trade(self, full):
        lake, files = full
        assert files["bitfinex_1m_BTCUSD_2019.parquet"].flat > 11_000
        frame = lake.frame("BTCUSD", "1m")
        assert len(frame) == 525_600
        assert frame.base.share.mean() > 0.997

    def test_with_the_crash(self, full):
        lake, _ = full
        frame = lake.frame("BTCUSDT", "5m", "2025-10-10T21:00Z", "2025-10-10T22:00Z", venue="binance-usdm")
        low = frame.base.columns["low"][frame.start - frame.base.first :]
        assert low.min() < 103_000

    def test_whose_hours_agree_with_its_five_minutes(self, full):
        """The published 1h bars against the fold of the published 5m bars, bit for bit."""
        lake, _ = full
        (series,) = [s for s in lake.manifest().readable() if s.symbol == "ETHUSDT" and s.timeframe == "1h"]
        published = lake.read(series)
        frame = lake.frame("ETHUSDT", "5m", venue="binance-usdm")
        hours = frame.bars(Timeframe("1h"))
        at = published.open_time // 3_600_000 - hours.first
        for name in ("open", "high", "low", "close"):
            assert (hours.columns[name][at] == published.columns[name]).all(), name

    def test_again_writes_not_one_byte(self, full, real_data):
        lake, _ = full
        again = import_paths(lake, real_data / "ohlcv/bitfinex_1m_BTCUSD_2019.parquet", venue="bitfinex-spot")
        assert (again.bytes_written, again.files[0].duplicates) == (0, 512_727)

    def test_of_other_kinds_is_left_out_with_a_reason(self, tmp_path, real_data):
        lake = Lake(tmp_path / "lake", env=env(PRESENT))
        paths = [real_data / name for name in ("derivatives", "liquidations", "trades", "reference/quotes")]
        report = import_paths(lake, paths, venue="binance-usdm", kind="bars")
        assert not lake.instruments()
        assert report.total("stored") == 0
        assert all(file.error for file in report.files)
        failed = {file.path.rsplit("/", 1)[-1] for file in report.failed}
        assert failed == {
            "multivenue_candles_1h_BTC_ETH_Unlicense.parquet",  # four venues in one table
            *("bad.csv", "bitcoin.csv", "default.csv", "intraday.csv", "zeros.csv"),  # dates without a zone
        }
