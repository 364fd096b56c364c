"""Faults and bad input at the border, by their numbers in the catalogue: the import half of E03-E09, E37, E38, E40."""

import json

import numpy as np
import pytest
import talib

from tests.archives import JANUARY, MINUTE, NOW, bars, env, flat_bars, lines, minutes, write
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.ingest.importer import FileReport, import_paths
from virtuoso.lake.lake import Lake
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import CUT, GapPolicy

N = 5_000
ROWS = lines(minutes(N), bars(N))


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def take(lake: Lake, tmp_path, rows, name="BTCUSDT-1m-2024-01.csv", **options) -> FileReport:
    path = write(tmp_path / name, rows)
    (report,) = import_paths(lake, path, venue="binance-spot", **options).files
    return report


def changed(line: str, **fields) -> str:
    """A line with some of its fields replaced."""
    names = ("open_time", "open", "high", "low", "close", "volume", "close_time")
    values = line.split(",")
    for name, value in fields.items():
        values[names.index(name)] = str(value)
    return ",".join(values)


def with_row(row: int, **fields) -> list[str]:
    return [*ROWS[:row], changed(ROWS[row], **fields), *ROWS[row + 1 :]]


def times_stored(lake: Lake) -> list[int]:
    (series,) = lake.manifest().readable()
    return lake.read(series).open_time.tolist()


def quarantined(lake: Lake) -> list[dict]:
    (series,) = lake.manifest().readable()
    return [
        json.loads(line) for entry in series.quarantine for line in (lake.path / entry.path).read_text().splitlines()
    ]


class TestABadRow:
    """One bad row among thousands goes to quarantine with its reason; the rest is stored."""

    @pytest.mark.parametrize("text", ["NaN", "inf", "-inf", "1e400", ""])
    @pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
    def test_E03_nan_and_inf_are_quarantined(self, lake, tmp_path, text, field):
        report = take(lake, tmp_path, with_row(77, **{field: text}))
        assert (report.stored, report.refused) == (N - 1, {"not_finite": 1})
        assert times_stored(lake) == np.delete(minutes(N), 77).tolist()
        (kept,) = quarantined(lake)
        assert (kept["row"], kept["reason"], kept["open_time"]) == (79, "not_finite", JANUARY + 77 * MINUTE)
        assert json.loads(kept["raw"])[field] == text

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"high": 1.0, "low": 99.0}, "high_below_low"),
            ({"close": 9_999.0}, "outside_range"),
            ({"open": 2.1}, "outside_range"),
            ({"volume": -0.5}, "negative_volume"),
            ({"low": 0}, "price_not_positive"),
        ],
    )
    def test_E04_impossible_bars_are_quarantined_with_the_reason(self, lake, tmp_path, fields, reason):
        report = take(lake, tmp_path, with_row(77, **fields))
        assert (report.stored, report.refused) == (N - 1, {reason: 1})
        assert quarantined(lake)[0]["reason"] == reason

    @pytest.mark.parametrize(
        "time",
        [(JANUARY + 77 * MINUTE) // 1_000, (JANUARY + 77 * MINUTE) * 1_000, NOW + 3_600_000, 7, ""],
        ids=["seconds", "microseconds", "future", "seven", "nothing"],
    )
    def test_E05_a_time_out_of_range_is_rejected(self, lake, tmp_path, time):
        report = take(lake, tmp_path, with_row(77, open_time=time))
        assert (report.stored, report.quarantined) == (N - 1, 1)
        assert JANUARY + 77 * MINUTE not in times_stored(lake)

    @pytest.mark.parametrize("unit", ["ms", "us"])
    def test_E05_an_archive_may_tell_its_unit(self, lake, tmp_path, unit):
        assert take(lake, tmp_path, lines(minutes(N), bars(N), unit)).stored == N
        assert times_stored(lake) == minutes(N).tolist()

    def test_E05_too_many_bad_rows_fail_the_file_and_nothing_is_stored(self, lake, tmp_path):
        rows = [changed(row, low=0) if i % 500 == 0 else row for i, row in enumerate(ROWS)]
        report = take(lake, tmp_path, rows)
        assert report.status == "failed"
        assert "10 of 5,000 rows are bad" in report.error
        assert not list(lake.path.rglob("*.parquet"))
        assert take(lake, tmp_path, rows, max_bad_share=0.01).quarantined == 10

    def test_a_refused_row_is_kept_once_however_often_it_comes(self, lake, tmp_path):
        for _ in range(3):
            take(lake, tmp_path, with_row(77, low=0))
        assert len(quarantined(lake)) == 1
        assert lake.manifest().generation == 1


class TestTheSameBarAgain:
    """Is never stored twice, and never lost."""

    def test_E06_an_identical_duplicate_is_stored_once_and_counted(self, lake, tmp_path):
        report = take(lake, tmp_path, [*ROWS, ROWS[5], ROWS[5], ROWS[900]])
        assert (report.stored, report.duplicates, report.revisions) == (N, 3, 0)
        assert times_stored(lake) == minutes(N).tolist()

    def test_E07_of_different_values_one_holds_whatever_their_order_and_the_other_is_kept(self, lake, tmp_path):
        """The catalogue says "newest closed kept, revision stored"; since 0.1.0 rank and digest decide, not order."""
        other = changed(ROWS[5], close=float(ROWS[5].split(",")[2]))
        report = take(lake, tmp_path, [*ROWS, other])
        assert (report.stored, report.revisions, report.conflicts) == (N, 0, 1)
        (series,) = lake.manifest().readable()
        ((kept, _),) = lake.revisions(series)
        assert kept.open_time.tolist() == [JANUARY + 5 * MINUTE]
        told = {float(row.split(",")[4]) for row in (ROWS[5], other)}
        assert {lake.read(series).columns["close"][5], kept.columns["close"][0]} == told
        turned = Lake(tmp_path / "turned", env=lake.env)
        take(turned, tmp_path, [*ROWS[:5], other, *ROWS[5:]], name="BTCUSDT-1m-turned.csv")
        assert turned.fingerprint("BTCUSDT", "1m") == lake.fingerprint("BTCUSDT", "1m")

    def test_E07_a_file_with_another_value_is_a_revision_or_a_conflict(self, lake, tmp_path):
        other = with_row(5, close=float(ROWS[5].split(",")[2]))
        take(lake, tmp_path, ROWS)
        report = take(lake, tmp_path, other, name="BTCUSDT-1m-again.csv")
        assert (report.revisions + report.conflicts, report.duplicates) == (1, N - 1)
        assert report.late == lake.check()[0].coverage.revisions == report.revisions
        turned = Lake(tmp_path / "turned", env=lake.env)
        take(turned, tmp_path, other, name="BTCUSDT-1m-again.csv")
        assert take(turned, tmp_path, ROWS).conflicts == report.revisions
        assert turned.fingerprint("BTCUSDT", "1m") == lake.fingerprint("BTCUSDT", "1m")

    def test_E07_importing_everything_again_changes_nothing(self, lake, tmp_path):
        write(tmp_path / "in" / "BTCUSDT-1m-a.csv", [*ROWS, changed(ROWS[5], close=float(ROWS[5].split(",")[2]))])
        write(tmp_path / "in" / "BTCUSDT-1m-b.csv", with_row(9, close=float(ROWS[9].split(",")[2])))
        first = import_paths(lake, tmp_path / "in", venue="binance-spot")
        before = lake.fingerprint("BTCUSDT", "1m")
        again = import_paths(lake, tmp_path / "in", venue="binance-spot")
        assert (again.generation, again.bytes_written, again.total("revisions")) == (first.generation, 0, 0)
        assert lake.fingerprint("BTCUSDT", "1m") == before


class TestTheOrderOfRows:
    """Does not matter."""

    @pytest.mark.parametrize("order", ["newest first", "pages out of order"])
    def test_E08_rows_out_of_order_are_sorted(self, lake, tmp_path, order):
        pages = [ROWS[i : i + 500] for i in range(0, N, 500)]
        shuffled = (
            ROWS[::-1] if order == "newest first" else [row for i in (3, 0, 9, 1, 2, 8, 4, 7, 5, 6) for row in pages[i]]
        )
        report = take(lake, tmp_path, shuffled)
        assert report.stored == N
        assert "rows were out of order and have been sorted" in report.notes
        (series,) = lake.manifest().readable()
        assert series.gaps == ()
        assert (lake.read(series).columns["close"] == bars(N)["close"]).all()


class TestABarThatHasNotClosed:
    """Is not stored until it has."""

    def test_E09_the_forming_bar_is_dropped(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env(JANUARY + (N - 1) * MINUTE + 30_000))
        report = take(lake, tmp_path, ROWS)
        assert (report.stored, report.forming, report.quarantined) == (N - 1, 1, 0)

    def test_E09_it_is_stored_once_it_has_closed(self, tmp_path):
        take(Lake(tmp_path / "lake", env=env(JANUARY + (N - 1) * MINUTE + 30_000)), tmp_path, ROWS)
        later = Lake(tmp_path / "lake", env=env(JANUARY + N * MINUTE))
        report = take(later, tmp_path, ROWS)
        assert (report.stored, report.duplicates, report.revisions) == (1, N - 1, 0)


class TestTimesThatCouldMeanAnything:
    """Are refused at the border."""

    def table(self, tmp_path, times) -> str:
        import pandas as pd

        path = tmp_path / "BTCUSDT-1m.csv"
        pd.DataFrame({"date": times, **bars(len(times))}).to_csv(path, index=False)
        return str(path)

    def test_E37_naive_times_are_refused_until_the_zone_is_named(self, lake, tmp_path):
        path = self.table(tmp_path, np.datetime_as_string(minutes(100).astype("M8[ms]"), unit="s"))
        (report,) = import_paths(lake, path, venue="binance-spot").files
        assert report.status == "failed"
        assert "pass --time-zone UTC" in report.error
        (report,) = import_paths(lake, path, venue="binance-spot", time_zone="Asia/Tokyo").files
        assert report.stored == 100
        assert times_stored(lake)[0] == JANUARY - 9 * 3_600_000

    def test_E37_offsets_in_the_text_become_utc(self, lake, tmp_path):
        stamps = [f"{t}+01:00" for t in np.datetime_as_string((minutes(100) + 3_600_000).astype("M8[ms]"), unit="ms")]
        (report,) = import_paths(lake, self.table(tmp_path, stamps), venue="binance-spot").files
        assert report.stored == 100
        assert times_stored(lake) == minutes(100).tolist()

    def test_E37_mixed_units_are_read_row_by_row(self, lake, tmp_path):
        report = take(lake, tmp_path, [*ROWS[:3_000], *lines(minutes(N), bars(N), "us")[3_000:]])
        assert (report.status, report.stored) == ("imported", N)
        assert "times: mixes milliseconds and microseconds, read row by row" in report.notes
        assert times_stored(lake) == minutes(N).tolist()

    def test_E37_text_with_and_without_an_offset_is_read_where_the_zone_is_named(self, lake, tmp_path):
        stamps = np.datetime_as_string(minutes(100).astype("M8[ms]"), unit="s").tolist()
        stamps[50] += "Z"
        (report,) = import_paths(lake, self.table(tmp_path, stamps), venue="binance-spot", time_zone="UTC").files
        assert report.stored == 100
        assert times_stored(lake) == minutes(100).tolist()

    def test_E37_a_text_that_lost_its_offset_is_the_fault_of_its_row(self, lake, tmp_path):
        stamps = [f"{t}Z" for t in np.datetime_as_string(minutes(100).astype("M8[ms]"), unit="s")]
        stamps[50] = stamps[50].removesuffix("Z")
        (report,) = import_paths(lake, self.table(tmp_path, stamps), venue="binance-spot").files
        assert (report.stored, report.refused) == (99, {"time_unreadable": 1})

    def test_E37_text_of_which_half_lacks_an_offset_fails_the_file(self, lake, tmp_path):
        stamps = np.datetime_as_string(minutes(100).astype("M8[ms]"), unit="s").tolist()
        stamps[::2] = [f"{stamp}Z" for stamp in stamps[::2]]
        (report,) = import_paths(lake, self.table(tmp_path, stamps), venue="binance-spot").files
        assert "Some times in 'date' carry an offset and some do not" in report.error


class TestDuplicatesBehindTheBorder:
    """Rows that come twice never reach a computation."""

    def test_E38_duplicated_bars_are_an_error(self):
        times = np.append(minutes(10), minutes(10)[-1])
        with pytest.raises(DataError, match=r"comes twice\. Import it through the store"):
            Bars.from_rows(Timeframe("1m"), times, flat_bars([100.0] * 11), GapPolicy("cut", 0))

    def test_E38_no_two_rows_of_the_store_share_a_time(self, lake, tmp_path):
        take(lake, tmp_path, ROWS)
        take(lake, tmp_path, [*ROWS[2_000:], *ROWS[:100]], name="BTCUSDT-1m-other.csv")
        counted = lake.sql("select count(*) n, count(distinct open_time) d from bars")
        assert counted["n"].tolist() == counted["d"].tolist() == [N]


class TestABadTick:
    """A price that may never have been is kept as published; once later bars show it, nothing looks back at it."""

    @pytest.mark.parametrize(
        ("field", "price"),
        [
            *((field, "1e12") for field in ("open", "high", "close")),
            *((field, "1e-9") for field in ("open", "low", "close")),
        ],
    )
    def test_E40_is_kept_and_told(self, lake, tmp_path, field, price):
        rows = with_row(2_500, **({"high": price, field: price} if float(price) > 1 else {"low": price, field: price}))
        report = take(lake, tmp_path, rows)
        assert (report.stored, report.quarantined) == (N, 0)
        assert any("50 times off" in note for note in report.notes)
        (check,) = lake.check()
        at = [open_time for open_time, _ in check.misprints]
        assert int(minutes(N)[2_500]) in at

    def test_E40_leaves_the_windows_after_it_as_they_were(self, lake, tmp_path):
        """History begins anew where three closes have shown it; a window of what follows holds nothing of it."""
        take(lake, tmp_path, with_row(2_500, high="1e12", close="1e12"))
        base = lake.frame("BTCUSDT", "1m").base
        cuts = np.flatnonzero(base.state == CUT)
        assert cuts.tolist() == [2_503]
        close, clean = base.columns["close"], bars(N)["close"]
        assert (np.delete(close, 2_500) == np.delete(clean, 2_500)).all()
        drift = np.abs(talib.SMA(close[2_504:], 50) - talib.SMA(clean[2_504:], 50))
        assert np.nanmax(drift) < 1e-8
