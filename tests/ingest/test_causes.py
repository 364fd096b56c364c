"""One known cause, its own remedy: what is said of files that are read wrongly, or are none."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest

from tests.archives import MINUTE, NOW, bars, env, minutes
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

HOUR = 60 * MINUTE
N = 60
HOURS = minutes(N, step=HOUR)
MADE = bars(N)
NAMES = ("open", "high", "low", "close", "volume")


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def error(lake, path, **said) -> str:
    (report,) = import_paths(lake, path, **({"venue": "binance-spot"} | said)).files
    assert report.status in ("failed", "skipped")
    assert report.stored == 0
    return report.error


def write(path, form="{:.6f}", mark=",", times=HOURS, names=NAMES):
    lines = [mark.join(("time", *NAMES))]
    lines += [mark.join([str(int(t)), *(form.format(MADE[n][i]) for n in names)]) for i, t in enumerate(times)]
    path.write_text("\n".join(lines) + "\n")
    return path


class TestNumbers:
    """In a form that nobody reads are named."""

    def test_with_decimal_commas(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", mark=";")
        path.write_text(path.read_text().replace(".", ","))
        assert "numbers have decimal commas, such as '" in error(lake, path)

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ('"1,234.{:.0f}"', "commas between thousands, such as '1,234."),
            ("${:.2f}", "the sign of a currency, such as '$"),
            ("{:.2f}K", "numbers are abbreviated, such as"),
            ("{:.2f}%", "numbers are in percent"),
        ],
        ids=["thousands", "currency", "abbreviated", "percent"],
    )
    def test_in_other_forms(self, lake, tmp_path, form, said):
        assert said in error(lake, write(tmp_path / "BTCUSDT.csv", form))

    def test_with_points_are_read_whatever_stands_between_them(self, lake, tmp_path):
        for mark in (";", "\t", "|"):
            path = write(tmp_path / f"BTCUSDT {ord(mark)}.csv", mark=mark)
            (report,) = import_paths(lake, path, venue="binance-spot").files
            assert report.stored + report.duplicates == N, mark


class TestTimes:
    """That cannot be right say in which way they are wrong."""

    def test_in_the_future_are_of_another_zone(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", times=minutes(N, NOW + HOUR, HOUR))
        assert "are of another zone than was said: pass the right --time-zone" in error(lake, path)

    def test_off_the_grid_are_no_reason_to_let_half_of_them_pass(self, lake, tmp_path):
        times = minutes(N, step=HOUR)
        times[N // 2 :] += 14_789
        said = error(lake, write(tmp_path / "BTCUSDT-1h.csv", times=times))
        assert "stamped them off the grid" in said
        assert "--max-bad-share" not in said


class TestColumns:
    """In another order than their names say are asked for."""

    def test_that_are_shifted(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", names=("volume", "open", "low", "high", "close"))
        said = error(lake, path)
        assert "--columns" in said
        assert "--max-bad-share" not in said


class TestAFewBadRows:
    """May be let pass, and the share that does it is named."""

    def test_among_many(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", times=minutes(N, step=HOUR))
        lines = path.read_text().splitlines()
        text = [lines[0]] + [
            line if i % 25 else line.rsplit(",", 1)[0] + ",-1" for i, line in enumerate(lines[1:] * 4, start=1)
        ]
        text = [text[0], *(f"{int(line.split(',')[0]) + (i // N) * N * HOUR}," + line.split(",", 1)[1]
                           for i, line in enumerate(text[1:]))]  # fmt: skip
        path.write_text("\n".join(text) + "\n")
        assert "raise --max-bad-share above 0.0" in error(lake, path)


class TestAFileThatIsNone:
    """Of what its name says is told from its first bytes."""

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"<!DOCTYPE html><html><body>404</body></html>", "is a page of HTML or XML"),
            (b"\n <html><body>502</body></html>", "is a page of HTML or XML"),
            (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "is a page of HTML or XML"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a pointer of Git LFS"),
            (b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml", "is a spreadsheet"),
            (b"PK\x03\x04" + b"\0" * 26 + b"BTCUSDT.csv", "is a zip. Name it .zip"),
            (b"\x1f\x8b\x08\x00", "is gzipped. Name it .gz"),
            (b"PAR1" + b"\0" * 20, "is a Parquet file"),
            (b"SQLite format 3\0", "is a database of SQLite"),
            (pickle.dumps({"a": 1}), "is a pickle"),
            (b"Salted__" + b"\0" * 20, "is encrypted"),
        ],
        ids=["html", "proxy", "xml", "lfs", "xlsx", "zip", "gz", "parquet", "sqlite", "pickle", "encrypted"],
    )
    def test_is_named(self, lake, tmp_path, data, said):
        (tmp_path / "BTCUSDT-1m.csv").write_bytes(data)
        assert said in error(lake, tmp_path / "BTCUSDT-1m.csv")

    @pytest.mark.parametrize("name", ["a.zip", "a.csv.gz", "a.parquet", "a.feather", "a.json", "a.csv.xz"])
    def test_is_named_under_any_name(self, lake, tmp_path, name):
        (tmp_path / name).write_bytes(b"<html><body>503 Service Unavailable</body></html>")
        assert "is a page of HTML or XML" in error(lake, tmp_path / name)
        (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        assert "is a pointer of Git LFS" in error(lake, tmp_path / name)

    @pytest.mark.parametrize(
        ("text", "said"),
        [('{"code": -1121, "msg": "Invalid symbol."}', "holds an error of its source, no data: '{"),
         ("[[1704067200000, 1, 2, 1, 2, 5]]", "holds JSON. Name it .json")],
    )  # fmt: skip
    def test_of_json_in_a_csv(self, lake, tmp_path, text, said):
        (tmp_path / "BTCUSDT.csv").write_text(text)
        assert said in error(lake, tmp_path / "BTCUSDT.csv")

    def test_of_an_error_in_json(self, lake, tmp_path):
        (tmp_path / "BTCUSDT.json").write_text(json.dumps({"retCode": 10001, "retMsg": "params error"}))
        assert "an error of its source, no data: 'params error'" in error(lake, tmp_path / "BTCUSDT.json")


class TestTheWrongKind:
    """Is answered with the right one."""

    def test_of_trades_given_as_bars(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv"
        path.write_text("1,100.0,1.0,1,1,1704067200000,true,true\n2,100.0,1.0,2,2,1704067200001,true,true\n")
        said = error(lake, path, kind="bars")
        assert "holds no bars" in said
        assert "pass --kind trades" in said

    def test_of_bars_given_as_trades(self, lake, tmp_path):
        said = error(lake, write(tmp_path / "BTCUSDT.csv"), kind="trades")
        assert "holds no trades in a shape that is known. It seems to hold bars: pass --kind bars" in said


class TestContractsInAColumn:
    """Of another kind are left out beside others, and refused alone."""

    def made(self, path, symbols):
        times = np.tile(minutes(N, step=HOUR), len(symbols))
        columns = {name: np.tile(MADE[name], len(symbols)) for name in NAMES}
        pd.DataFrame({"time": times, "symbol": np.repeat(symbols, N), **columns}).to_csv(path, index=False)
        return path

    def test_are_left_out(self, lake, tmp_path):
        path = self.made(tmp_path / "all.csv", ["BTCUSDT", "BTCUSDT_240628", "BTCUSD_PERP"])
        (report,) = import_paths(lake, path, venue="binance-usdm").files
        assert (report.instruments, report.stored) == (["BTCUSDT binance-usdm"], N)
        assert "left out 2 other symbols" in report.notes

    def test_alone_are_refused_by_name_whatever_the_caller_says(self, lake, tmp_path):
        path = self.made(tmp_path / "all.csv", ["BTCUSDT_240628"])
        assert "BTCUSDT_240628 is a contract with a day of delivery" in error(lake, path, venue="binance-usdm")
        said = error(lake, path, venue="binance-usdm", symbol="BTCUSDT")
        assert "BTCUSDT_240628 is a contract with a day of delivery" in said
