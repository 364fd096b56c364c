"""Public archive files and other tables of bars, read as they are."""

import numpy as np
import pandas as pd
import pytest

from tests.archives import HEADER, JANUARY, NOW, bars, lines, minutes, write
from virtuoso.errors import AmbiguousError, ConfigError, UnknownContentError, UnreadableFileError
from virtuoso.venues.files.bar_columns import recognise
from virtuoso.venues.files.bars import RawBars, read_bars
from virtuoso.venues.files.file_io import is_simulated
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import NO_TIME, read_times, time_zone

MADE = bars(200)
ROWS = lines(minutes(200), MADE)


def read(path, **options) -> RawBars:
    (raw,) = read_bars(path, ImportOptions(**options), now_ms=NOW)
    return raw


class TestAKlineFile:
    """The same bars come out of every way in which Binance and its users pack them."""

    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip"])
    @pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
    @pytest.mark.parametrize("unit", ["ms", "us"])
    def test_gives_times_and_values_to_the_last_bit(self, tmp_path, name, header, unit):
        raw = read(write(tmp_path / name, lines(minutes(200), MADE, unit), header))
        assert (raw.times.ms == minutes(200)).all()
        assert raw.times.exact.all()
        assert raw.times.meaning == unit
        assert raw.span_ms == 60_000
        for column, values in MADE.items():
            assert (raw.columns[column] == values).all(), column

    def test_of_parquet_is_read_by_the_names_of_its_columns(self, tmp_path):
        table = pd.DataFrame({"symbol": "BTCUSDT", "open_time_ms": minutes(200), **MADE})
        table = table.rename(columns={"trades": "count", "taker_buy_volume": "taker_buy_base_asset_volume"})
        table.to_parquet(tmp_path / "a.parquet")
        raw = read(tmp_path / "a.parquet")
        assert raw.symbols == ("BTCUSDT",)
        assert (raw.columns["trades"] == MADE["trades"]).all()
        assert (raw.columns["taker_buy_volume"] == MADE["taker_buy_volume"]).all()

    def test_knows_the_line_of_each_row(self, tmp_path):
        assert read(write(tmp_path / "a.csv", ROWS)).table.rows[:2].tolist() == [2, 3]
        assert read(write(tmp_path / "b.csv", ROWS, header=False)).table.rows[:2].tolist() == [1, 2]

    def test_with_a_byte_order_mark_is_read_all_the_same(self, tmp_path):
        path = write(tmp_path / "a.csv", ROWS)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert len(read(path)) == 200

    def test_sets_broken_lines_aside_and_keeps_counting(self, tmp_path):
        raw = read(write(tmp_path / "a.csv", [*ROWS[:3], "1704067380000,5,5", *ROWS[3:]]))
        assert raw.table.broken == ((5, "1704067380000,5,5"),)
        assert raw.table.rows[:5].tolist() == [2, 3, 4, 6, 7]
        assert len(raw) == 200


class TestTheChecksum:
    """A file with a `.CHECKSUM` beside it is believed only if its bytes agree."""

    def test_lets_an_unharmed_file_pass(self, tmp_path):
        assert len(read(write(tmp_path / "a.zip", ROWS, checksum=True))) == 200

    def test_refuses_a_file_in_which_one_bit_differs(self, tmp_path):
        path = write(tmp_path / "a.csv", ROWS, checksum=True)
        data = bytearray(path.read_bytes())
        data[-10] ^= 1
        path.write_bytes(data)
        with pytest.raises(UnreadableFileError, match=r"a\.csv differs from its checksum.*Download it again"):
            read(path)

    def test_that_is_none_is_refused_too(self, tmp_path):
        path = write(tmp_path / "a.csv", ROWS)
        path.with_name("a.csv.CHECKSUM").write_text("<html>404</html>")
        with pytest.raises(UnreadableFileError, match="is not a sha256 checksum"):
            read(path)


class TestADamagedFile:
    """What cannot be read is an error with the file's name, never half a history."""

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.zip"])
    def test_that_was_cut_off_is_refused(self, tmp_path, name):
        path = write(tmp_path / name, ROWS)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UnreadableFileError, match=name):
            read(path)

    def test_of_parquet_that_was_cut_off_is_refused(self, tmp_path):
        pd.DataFrame({"open_time": minutes(200), **MADE}).to_parquet(tmp_path / "a.parquet")
        path = tmp_path / "a.parquet"
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(UnreadableFileError, match=r"a\.parquet is damaged"):
            read(path)

    def test_that_is_an_error_page_is_refused(self, tmp_path):
        (tmp_path / "a.zip").write_text("<html><body>503 Service Unavailable</body></html>")
        with pytest.raises(UnreadableFileError, match="is a page of HTML or XML"):
            read(tmp_path / "a.zip")

    def test_with_two_tables_in_its_zip_is_refused(self, tmp_path):
        import zipfile

        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("a.csv", "1")
            archive.writestr("b.csv", "2")
        with pytest.raises(UnreadableFileError, match=r"should hold one CSV, holds a\.csv, b\.csv"):
            read(tmp_path / "a.zip")

    @pytest.mark.parametrize(("text", "why"), [("", "is empty"), (f"{HEADER}\n", "holds no row")])
    def test_without_a_row_is_refused(self, tmp_path, text, why):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(UnreadableFileError, match=why):
            read(tmp_path / "a.csv")


class TestATableOfSomethingElse:
    """Files without bars say why they are left out, and are never half imported."""

    @pytest.mark.parametrize(
        ("name", "text", "why"),
        [
            (
                "funding.csv",
                "symbol,funding_time_ms,fundingRate\nBTCUSDT,1,2\n",
                "no column for open, high, low, close",
            ),
            ("trades.csv", "1,2.0,3.0,4,5,1704067200000,true,true\n", "no header row, and 8 columns"),
            ("notes.md", "hello", r"\.md is none of \.csv, \.tsv, \.txt and \.json"),
            ("notes.txt", "hello", "no column for open, high, low, close, volume, the time among hello"),
            ("prices.csv", "timestamp,close\n1704067200000,5\n", "no column for open, high, low, volume"),
        ],
    )
    def test_is_named_with_its_reason(self, tmp_path, name, text, why):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnknownContentError, match=why):
            list(read_bars(tmp_path / name, now_ms=NOW))

    def test_of_several_venues_is_refused(self, tmp_path):
        table = pd.DataFrame({"timestamp": minutes(200), "venue": ["binance", "bybit"] * 100, **MADE})
        table.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(AmbiguousError, match="mixes the bars of 2 venues"):
            read(tmp_path / "a.csv")


class TestColumnNames:
    """Columns are found under the names that exchanges and their users write."""

    def test_of_a_spreadsheet_are_found(self):
        names = ["Open time", "Open", "High", "Low", "Close", "Volume", "Quote asset volume", "Number of trades"]
        assert recognise(names) == {
            "open_time": "Open time",
            "open": "Open",
            "high": "High",
            "low": "Low",
            "close": "Close",
            "volume": "Volume",
            "quote_volume": "Quote asset volume",
            "trades": "Number of trades",
        }

    def test_prefer_the_open_time_to_a_date(self):
        assert recognise(["date", "open_time_ms", "timestamp"])["open_time"] == "open_time_ms"


class TestValuesOfAFile:
    """Numbers are numbers; the rest is left for the border to judge."""

    def test_that_are_text_are_marked(self, tmp_path):
        rows = [ROWS[0], ROWS[1].replace(f"{MADE['close'][1]:.8f}", "n/a?"), *ROWS[2:]]
        raw = read(write(tmp_path / "a.csv", rows))
        assert np.flatnonzero(raw.garbled).tolist() == [1]
        assert np.isnan(raw.columns["close"][1])
        assert '"close": "n/a?"' in next(raw.table.texts(np.array([1])))

    @pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity", "", "null"])
    def test_that_are_missing_or_endless_are_not_finite(self, tmp_path, text):
        fields = ROWS[1].split(",")
        fields[4] = text
        raw = read(write(tmp_path / "a.csv", [ROWS[0], ",".join(fields), *ROWS[2:]]))
        assert not np.isfinite(raw.columns["close"][1])
        assert not raw.garbled.any()

    @pytest.mark.parametrize("text", ["1_000", "0x10", "1e5x", "1,5"])
    def test_in_spellings_of_programmers_are_text(self, tmp_path, text):
        fields = ROWS[1].split(",")
        fields[4] = f'"{text}"'
        assert read(write(tmp_path / "a.csv", [ROWS[0], ",".join(fields), *ROWS[2:]])).garbled[1]


def times_of(values, **options):
    import pyarrow as pa

    return read_times(
        pa.chunked_array([pa.array(values)]), "time", **{"unit": "auto", "zone": None, "now_ms": NOW} | options
    )


class TestTheUnitOfTimes:
    """Decided once a file, from the size of its numbers."""

    @pytest.mark.parametrize(("unit", "scale"), [("s", 0.001), ("ms", 1), ("us", 1_000), ("ns", 1_000_000)])
    @pytest.mark.parametrize("form", [int, str, float])
    def test_is_seen_from_their_size(self, unit, scale, form):
        values = [form(int(t * scale)) for t in minutes(5)]
        read = times_of(values)
        assert read.meaning == unit
        assert read.ms.tolist() == minutes(5).tolist()
        assert read.exact.all()

    def test_is_not_changed_by_a_stray_row(self):
        read = times_of([*minutes(5).tolist(), 7, 1_704_067_500])
        assert read.meaning == "ms"
        assert read.ms[-2:].tolist() == [7, 1_704_067_500]

    def test_finer_than_a_millisecond_is_marked(self):
        assert times_of([t * 1_000 + 1 for t in minutes(3).tolist()]).exact.sum() == 0

    def test_nanoseconds_keep_every_digit(self):
        assert times_of([JANUARY * 1_000_000 + 1, JANUARY * 1_000_000]).exact.tolist() == [False, True]

    def test_that_the_caller_has_wrong_is_an_error(self):
        with pytest.raises(AmbiguousError, match=r"are us, not ms\. Pass --time-unit us"):
            times_of((minutes(5) * 1_000).tolist(), unit="ms")

    def test_that_fits_nothing_is_an_error(self):
        with pytest.raises(AmbiguousError, match="in none of s, ms, us, ns"):
            times_of([1, 2, 3])

    def test_of_the_future_fits_nothing(self):
        with pytest.raises(AmbiguousError, match="between 2009 and tomorrow"):
            times_of(minutes(5, NOW + 10 * 86_400_000).tolist())


class TestTimesInWords:
    """Text with an offset says what it means; text without one is refused until its zone is named."""

    def test_with_an_offset_become_utc(self):
        read = times_of(["2024-12-01 00:00:59.999000+01:00", "2024-12-01T00:00:00Z", "2024-12-01T00:00:00-0500"])
        assert [np.datetime64(int(t), "ms").item().isoformat() for t in read.ms] == [
            "2024-11-30T23:00:59.999000",
            "2024-12-01T00:00:00",
            "2024-12-01T05:00:00",
        ]

    @pytest.mark.parametrize("text", ["2024-12-01", "2024-12-01 00:00", "2024-12-01T00:00:00.123"])
    def test_without_one_are_refused_with_the_option_that_helps(self, text):
        with pytest.raises(AmbiguousError, match=r"say neither zone nor offset.*--time-zone UTC.*Europe/London"):
            times_of([text])

    def test_without_one_are_read_in_the_zone_that_is_named(self):
        read = times_of(["2024-07-01 12:00", "2024-12-01 12:00"], zone="Europe/London")
        assert [np.datetime64(int(t), "ms").item().hour for t in read.ms] == [11, 12]

    def test_of_the_hour_that_comes_twice_or_never_are_no_times(self):
        read = times_of(["2024-10-27 01:30", "2024-03-31 01:30", "2024-10-27 12:00"], zone="Europe/London")
        assert (read.ms == NO_TIME).tolist() == [True, True, False]

    def test_some_with_and_some_without_are_refused(self):
        with pytest.raises(AmbiguousError, match="Some times in 'time' carry an offset and some do not"):
            times_of(["2024-12-01T00:00:00Z", "2024-12-01T00:01:00"])

    def test_with_the_month_first_are_refused(self):
        with pytest.raises(AmbiguousError, match="day and month could be either way round"):
            times_of(["01/03/2017", "01/04/2017"])

    def test_that_no_calendar_knows_are_no_times(self):
        assert times_of(["2024-02-30T00:00Z", "2024-02-29T00:00Z"]).ms.tolist() == [NO_TIME, 1_709_164_800_000]

    def test_that_are_typed_say_their_zone(self):
        import pyarrow as pa

        zoned = pa.array(minutes(3).tolist(), pa.timestamp("ms", tz="Asia/Tokyo"))
        assert times_of(zoned).ms.tolist() == minutes(3).tolist()
        with pytest.raises(AmbiguousError, match="neither zone nor offset"):
            times_of(zoned.cast(pa.timestamp("ms")))

    def test_in_a_zone_that_does_not_exist_are_an_error(self):
        with pytest.raises(ConfigError, match="'Mars/Olympus' is not a time zone"):
            time_zone("Mars/Olympus")


@pytest.mark.real_data
class TestRecordedFiles:
    """The traps of the data pack."""

    def test_microseconds_since_2025(self, real_data):
        (raw,) = read_bars(real_data / "raw_archives/BTCUSDT-1m-2026-03.zip", now_ms=1_780_000_000_000)
        assert raw.times.meaning == "us"
        assert len(raw) == 31 * 1440
        assert raw.times.ms[0] == 1_772_323_200_000  # 2026-03-01T00:00Z

    def test_milliseconds_before(self, real_data):
        (raw,) = read_bars(real_data / "raw_archives/BTCUSDT-1m-2020-01-01.zip", now_ms=1_780_000_000_000)
        assert raw.times.meaning == "ms"
        assert raw.times.ms[0] == 1_577_836_800_000

    def test_a_close_time_in_words_with_an_offset(self, real_data):
        path = real_data / "ohlcv/binance_spot_1m_BTCUSDT_202412_localtz_MIT.parquet"
        (raw,) = read_bars(path, now_ms=1_780_000_000_000)
        assert raw.stamped_at_close
        # 2024-12-01 00:00:59.999 at +01:00 is 23:00:59.999 of the day before
        assert raw.times.ms[0] == 1_733_007_659_999

    @pytest.mark.parametrize("name", ["default.csv", "bitcoin.csv", "intraday.csv"])
    def test_dates_without_a_zone(self, real_data, name):
        with pytest.raises(AmbiguousError, match="--time-zone"):
            list(read_bars(real_data / "reference/quotes" / name, now_ms=1_780_000_000_000))

    @pytest.mark.parametrize("name", ["bad.csv", "zeros.csv"])
    def test_dates_with_the_month_first(self, real_data, name):
        with pytest.raises(AmbiguousError, match="either way round"):
            list(read_bars(real_data / "reference/quotes" / name, now_ms=1_780_000_000_000))


class TestASimulatedFile:
    """Says so in the comment of its zip or gzip, since files are moved."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (b"\x1f\x8b\x08\x10" + bytes(4) + b"\x00\xff" + b"simulated by Virtuoso\x00", True),
            (b"\x1f\x8b\x08\x18" + bytes(4) + b"\x00\xff" + b"name.csv\x00simulated\x00", True),
            (b"\x1f\x8b\x08\x10" + bytes(4) + b"\x00\xff" + b"recorded\x00", False),
            (b"\x1f\x8b\x08\x08" + bytes(4) + b"\x00\xff" + b"simulated.csv\x00", False),
            (b"\x1f\x8b", False),
        ],
        ids=["comment", "name and comment", "another comment", "only a name", "cut short"],
    )
    def test_is_told_by_the_comment_of_a_gzip(self, tmp_path, header, expected):
        path = tmp_path / "book.csv.gz"
        path.write_bytes(header)
        assert is_simulated(path) is expected
