"""Import of files of events: the right decoder, the right instrument, all or nothing of a file."""

import gzip
import json

import numpy as np
import pytest

from tests.archives import JANUARY, bars, env, lines, minutes, write
from tests.derivatives import METRICS
from virtuoso.account.instrument import Instrument
from virtuoso.ingest.importer import ImportReport, import_paths
from virtuoso.lake.lake import Lake

PERP = Instrument("binance-usdm", "BTCUSDT")
PRESENT = 1_790_000_000_000  # 2026-09


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def take(lake: Lake, *paths, **options) -> ImportReport:
    return import_paths(lake, paths, **({"venue": "binance-usdm"} | options))


def agg_trades(folder, n=200, name="BTCUSDT-aggTrades-2024-01-01.csv"):
    """An archive of aggregated trades, one every 300 ms."""
    path = folder / name
    rows = [
        f"{1000 + k},{42_000 + k % 7}.5,0.{k % 9 + 1},{k},{k},{JANUARY + 300 * k},{'true' if k % 3 else 'false'}"
        for k in range(n)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def recording(folder, n=40):
    """A recording of the book and of trades: lines of receive time and message."""
    path, out = folder / "btcusdt_20240101.gz", []
    book = {"lastUpdateId": 100, "bids": [["42000.0", "2"]], "asks": [["42000.5", "3"]], "E": JANUARY, "T": JANUARY}
    out.append(f"{(JANUARY + 5) * 1_000_000} {json.dumps(book)}")
    for k in range(n):
        sent = JANUARY + 100 * k + 10
        change = {
            "e": "depthUpdate", "E": sent, "T": sent, "s": "BTCUSDT", "U": 101 + k, "u": 101 + k, "pu": 100 + k,
            "b": [["42000.0", f"{k % 5 + 1}"]], "a": [],
        }  # fmt: skip
        trade = {"e": "trade", "E": sent, "T": sent, "s": "BTCUSDT", "t": 7 + k, "p": "42000.5", "q": "0.1", "m": False}
        out += [f"{(sent + 3) * 1_000_000} {json.dumps(message)}" for message in (change, trade)]
    path.write_bytes(gzip.compress("\n".join(out).encode(), mtime=0))
    return path


class TestAFileOfEvents:
    """Is found out by its content; only the venue has to be given."""

    def test_is_imported(self, lake, tmp_path):
        (file,) = take(lake, agg_trades(tmp_path)).files
        assert (file.status, file.kinds, file.instruments) == ("imported", ["trades"], ["BTCUSDT binance-usdm"])
        assert (file.rows_read, file.stored, file.timeframe) == (200, 200, "")
        assert lake.events("trades", PERP)["side"].tolist()[:3] == [1, -1, -1]

    def test_counts_a_row_that_fills_another_in_as_read(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-metrics-2024-01-01.csv"
        path.write_text(f"{METRICS}\n2024-01-01 00:05:00,BTCUSDT,1,1,1,1,,1\n2024-01-01 00:05:00,BTCUSDT,1,1,1,1,2,1\n")
        (file,) = take(lake, path).files
        assert (file.rows_read, file.stored, file.duplicates) == (4, 2, 2)  # two rows of each of two kinds
        (series,) = lake.manifest("ratios").readable()
        assert [source.rows for source in series.sources] == [2]

    @pytest.mark.parametrize("versions", [2, 3, 5])
    def test_of_rows_that_contradict_each_other_is_unchanged_the_second_time(self, lake, tmp_path, versions):
        path = tmp_path / "BTCUSDT-metrics-2024-01-01.csv"
        rows = [f"2024-01-01 0{i}:05:00,BTCUSDT,{1 + v},1,1,1,{2 + v},1" for v in range(versions) for i in range(9)]
        path.write_text("\n".join([METRICS, *rows]))
        (file,) = take(lake, path, max_revised_share=1.0).files
        assert (file.stored, file.revisions, file.conflicts) == (18, 0, 18 * (versions - 1))
        found = lake.events("open_interest", Instrument("binance-usdm", "BTCUSDT"))
        assert len(set(found["open_interest"])) == 1
        (file,) = take(lake, path, max_revised_share=1.0).files
        assert (file.status, file.stored, file.revisions) == ("unchanged", 0, 0)
        assert (file.duplicates, file.conflicts) == (18, 18 * (versions - 1))

    def test_of_some_rows_that_contradict_each_other_is_no_other_market(self, lake, tmp_path):
        """What a file says twice is not compared with what others said."""
        path = tmp_path / "BTCUSDT-metrics-2024-01-01.csv"
        rows = [f"2024-01-01 {k // 12:02d}:{k % 12 * 5:02d}:00,BTCUSDT,{k + 1},1,1,1,2,1" for k in range(200)]
        again = [row.replace(",1,1,1,2,1", ",7,1,1,2,1") for row in rows[:20]]
        path.write_text("\n".join([METRICS, *rows, *again]))
        (file,) = take(lake, path).files
        assert (file.status, file.stored, file.conflicts, file.duplicates) == ("imported", 400, 20, 20)

    def test_imported_again_is_unchanged_and_writes_nothing(self, lake, tmp_path):
        path = agg_trades(tmp_path)
        take(lake, path)
        again = take(lake, path)
        assert (again.files[0].status, again.files[0].duplicates, again.bytes_written) == ("unchanged", 200, 0)

    def test_of_several_kinds_is_stored_by_kind(self, lake, tmp_path):
        (file,) = take(lake, recording(tmp_path)).files
        assert file.kinds == ["depth", "trades"]
        assert len(lake.events("depth", PERP)) == 42
        assert (lake.events("trades", PERP).available_at - lake.events("trades", PERP).event_time == 3).all()

    def test_lies_beside_bars_in_one_folder(self, lake, tmp_path):
        agg_trades(tmp_path)
        write(tmp_path / "BTCUSDT-1m-2024-01-01.zip", lines(minutes(60), bars(60)), header=False)
        recording(tmp_path)
        (tmp_path / "notes.txt").write_text("mine")
        report = take(lake, tmp_path)
        held = {file.path.rsplit("/", 1)[-1]: file.kinds for file in report.files if file.status == "imported"}
        assert held == {
            "BTCUSDT-1m-2024-01-01.zip": ["bars"],
            "BTCUSDT-aggTrades-2024-01-01.csv": ["trades"],
            "btcusdt_20240101.gz": ["depth", "trades"],
        }
        assert report.ok
        assert [file.status for file in report.files if file.path.endswith("notes.txt")] == ["skipped"]

    @pytest.mark.parametrize(("kind", "stored"), [("trades", {"trades"}), ("depth", {"depth"}), ("bars", set())])
    def test_gives_the_kind_alone_that_is_asked_for(self, lake, tmp_path, kind, stored):
        take(lake, recording(tmp_path), kind=kind)
        assert set(lake.kinds()) - {"bars"} == stored

    def test_without_what_is_asked_for_is_skipped_with_the_reason(self, lake, tmp_path):
        (file,) = take(lake, agg_trades(tmp_path), kind="funding").files
        assert (file.status, file.error) == (
            "skipped",
            "BTCUSDT-aggTrades-2024-01-01.csv holds no funding in a shape that is known. It seems to hold trades: pass "
            "--kind trades, or leave it out.",
        )

    def test_of_another_symbol_is_left_out(self, lake, tmp_path):
        (file,) = take(lake, recording(tmp_path), symbol="ETHUSDT").files
        assert (file.status, file.stored) == ("unchanged", 0)

    def test_that_is_damaged_never_loses_the_others(self, lake, tmp_path):
        good = agg_trades(tmp_path)
        cut = tmp_path / "BTCUSDT-aggTrades-2024-01-02.csv.gz"
        cut.write_bytes(gzip.compress(good.read_bytes())[:-200])
        report = take(lake, cut, good)
        assert [file.status for file in report.files] == ["failed", "imported"]


class TestRefusedRows:
    """Go to quarantine with their reason, or fail the file."""

    def spoil(self, folder, share: int):
        path = agg_trades(folder, 6_000)
        rows = path.read_text().splitlines()
        rows[::share] = [row.replace(".5,", ".5,-", 1) for row in rows[::share]]
        path.write_text("\n".join(rows) + "\n")
        return path

    def test_are_kept_with_their_reason(self, lake, tmp_path):
        (file,) = take(lake, self.spoil(tmp_path, 2_500)).files
        assert (file.stored, file.quarantined, file.refused) == (5_997, 3, {"size_not_positive": 3})
        (line,) = lake.event_check()
        assert line.refused == {"size_not_positive": 3}
        (kept,) = (lake.path / "quarantine").rglob("*.jsonl")
        assert [json.loads(row)["reason"] for row in kept.read_text().splitlines()] == ["size_not_positive"] * 3

    def test_of_a_rotten_file_lose_it_whole(self, lake, tmp_path):
        (file,) = take(lake, self.spoil(tmp_path, 10)).files
        assert file.status == "failed"
        assert "Nothing was stored" in file.error
        assert lake.event_coverage() == []


class TestEventsOfAnotherMarket:
    """Contradict what is stored, and are refused."""

    def metrics(self, folder, scale: float):
        path = folder / "BTCUSDT-metrics-2024-01-01.csv"
        head = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
        head += "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
        rows = [
            f"2024-01-01 {k // 12:02d}:{k % 12 * 5:02d}:00,BTCUSDT,{(80_000 + k) * scale},{3.4e9 + k},1.1,1.2,1.3,0.9"
            for k in range(1, 200)
        ]
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    def test_nothing_of_the_file_is_stored(self, lake, tmp_path):
        assert take(lake, self.metrics(tmp_path, 1.0)).files[0].stored == 398
        (file,) = take(lake, self.metrics(tmp_path, 1.5)).files
        assert file.status == "failed"
        assert "199 of 199 open_interest differ from those stored of BTCUSDT binance-usdm" in file.error
        assert lake.events("open_interest", PERP)["open_interest"][0] == 80_001

    def test_unless_the_caller_says_they_are_right(self, lake, tmp_path):
        take(lake, self.metrics(tmp_path, 1.0))
        (file,) = take(lake, self.metrics(tmp_path, 1.5), max_revised_share=1.0).files
        assert (file.status, file.revisions + file.conflicts) == ("imported", 199)


@pytest.mark.real_data
class TestTradesToldTwice:
    """Single trades and the aggregated rows that stand for them are numbered apart; both would count double."""

    def singles(self, folder, n=200, name="BTCUSDT-trades-2024-01-01.csv", since=0):
        """The trades that `agg_trades` stands for, in two fills each."""
        rows = [
            f"{50_000 + 2 * k + fill},{42_000 + k % 7}.5,{(k % 9 + 1) / 20:.2f},1.0,{JANUARY + 300 * k},"
            f"{'true' if k % 3 else 'false'}"
            for k in range(since, since + n)
            for fill in (0, 1)
        ]
        (folder / name).write_text("\n".join(rows) + "\n")
        return folder / name

    def test_are_refused_whichever_comes_first(self, tmp_path):
        single, aggregated = self.singles(tmp_path), agg_trades(tmp_path)
        for first, second in ((single, aggregated), (aggregated, single)):
            lake = Lake(tmp_path / f"lake of {first.stem}", env=env())
            stored = take(lake, first).files[0].stored
            (file,) = take(lake, second).files
            assert (file.status, file.stored) == ("failed", 0)
            assert "100% of the trades" in file.error
            assert "each trade would count twice" in file.error
            assert len(lake.events("trades", PERP)) == stored

    def test_are_refused_where_only_a_stretch_is_there_twice(self, lake, tmp_path):
        take(lake, self.singles(tmp_path, n=40, since=60))
        assert take(lake, agg_trades(tmp_path)).files[0].status == "failed"

    def test_of_another_time_are_taken(self, lake, tmp_path):
        take(lake, self.singles(tmp_path, n=40, since=500))
        assert take(lake, agg_trades(tmp_path)).files[0].status == "imported"

    def test_of_one_source_in_two_files_are_taken(self, lake, tmp_path):
        take(
            lake,
            self.singles(tmp_path, n=60),
            self.singles(tmp_path, n=60, since=30, name="BTCUSDT-trades-2024-01-02.csv"),
        )
        assert len(lake.events("trades", PERP)) == 180


class TestTheRecordedPack:
    """Every kind of the pack is imported, and its defects are where the pack says they are."""

    @pytest.fixture(scope="class")
    @staticmethod
    def full(tmp_path_factory, real_data) -> Lake:
        lake = Lake(tmp_path_factory.mktemp("pack"), env=env(PRESENT))
        for venue, pattern in (
            ("binance-usdm", "l2/binance_usdm*"),
            ("binance-spot", "l2/binance_spot_btcusdt*"),
            ("binance-spot", "l2/binance_spot_ETHBTC_20201101T09*"),
            ("binance-spot", "trades/binance_spot_aggTrade_ETHBTC*"),
            ("binance-usdm", "derivatives/binance_um_metrics_5m_4sym*"),
            ("binance-usdm", "derivatives/binance_um_metrics_5m_BTCUSDT_2022H1*"),
            ("binance-usdm", "derivatives/funding/binance_um_funding*"),
            ("binance-usdm", "liquidations/paul*"),
        ):
            report = import_paths(lake, sorted(real_data.glob(pattern)), venue=venue)
            assert report.ok, [file.error for file in report.failed]
        return lake

    def test_recordings_load_by_the_second_with_their_book(self, full):
        frame = full.frame("BTCUSDT", "1s", venue="binance-usdm")
        known = {name: np.isfinite(frame.base.columns[name]).mean() for name in ("close", "bid", "taker_buy_trades")}
        assert len(frame) == 342
        assert min(known.values()) > 0.95

    def test_two_recordings_are_one_history_over_midnight(self, full):
        frame = full.frame("BTCUSDT", "1s", venue="binance-spot")
        assert len(frame) > 600
        assert np.isfinite(frame.base.columns["ask"]).mean() > 0.95

    def test_an_hour_of_one_second_changes_of_the_book(self, full):
        frame = full.frame("ETHBTC", "1m")
        assert len(frame) == 59
        assert np.isfinite(frame.base.columns["bid"]).mean() > 0.9

    def test_no_message_of_the_book_is_lost(self, full):
        gaps = {(c.coverage.kind, c.coverage.venue): c.coverage.gaps for c in full.event_check()}
        assert not any("sequence" in found for found in gaps.values())

    def test_outages_of_open_interest_are_in_the_ledger(self, full):
        (line,) = [
            c for c in full.event_check() if (c.coverage.kind, c.coverage.symbol) == ("open_interest", "BTCUSDT")
        ]
        assert line.refused == {"outage": 127}
        assert line.coverage.gaps["silent"] >= 3

    def test_doubled_liquidations_are_stored_once(self, full):
        assert sum(line.rows for line in full.event_coverage() if line.kind == "liquidations") == 1_837
