"""The folder of signals: named by the contract, whole or not at all, never overwritten."""

from __future__ import annotations

import json
from functools import cache

import pytest

from tests.signals import scenes
from virtuoso.errors import AmbiguousError, NoDataError, UnreadableFileError
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.message.store import NAME, SignalFolder
from virtuoso.signals.strategy import signals


@cache
def issued() -> tuple[Signal, ...]:
    return tuple(signals(scenes.scores(), scenes.SETTINGS)[-5:])


def real(signal: Signal, venue: str = "binance-usdm", number: int = 0) -> Signal:
    """The same signal as if it were of a real market."""
    return signal.model_copy(update={"venue": venue, "simulated": False, "id": f"{number:024x}"})


@pytest.fixture
def folder(tmp_path) -> SignalFolder:
    return SignalFolder(tmp_path / "reports")


class TestNames:
    """`{SYMBOL}_{YYYYMMDD_HHMMSS}_data.json`, and more only where it is needed."""

    def test_are_symbol_and_close_time(self, folder):
        signal = real(issued()[0])
        saved = folder.save(signal)
        from datetime import UTC, datetime

        time = datetime.fromtimestamp(signal.timestamp / 1000, UTC).strftime("%Y%m%d_%H%M%S")
        assert saved.file_references == {
            "json": f"/reports/json/BTCUSDT_{time}_data.json",
            "pdf": None,
            "chart": None,
        }
        assert [file.name for file in folder.folder.iterdir()] == [f"BTCUSDT_{time}_data.json"]

    def test_of_its_other_files_follow(self, folder):
        saved = folder.save(real(issued()[0]), kinds=("json", "pdf", "chart"))
        stem = saved.file_references["json"].removeprefix("/reports/json/").removesuffix("_data.json")
        assert saved.file_references["pdf"] == f"/reports/pdfs/{stem}_report.pdf"
        assert saved.file_references["chart"] == f"/reports/charts/{stem}_chart.png"

    def test_of_a_simulated_market_say_so(self, folder):
        assert "/BTCUSDT-SIMULATED_" in folder.save(issued()[0]).file_references["json"]

    def test_carry_venue_and_timeframe_where_the_name_is_taken(self, folder):
        first = folder.save(real(issued()[0], number=1))
        second = folder.save(real(issued()[0], venue="bybit-linear", number=2))
        assert "/BTCUSDT-BYBIT-LINEAR-1M_" in second.file_references["json"]
        assert folder.read(first.id).venue == "binance-usdm"
        assert folder.read(second.id).venue == "bybit-linear"

    def test_carry_the_id_where_that_is_taken_too(self, folder):
        made = [folder.save(real(issued()[0], number=n << 64)) for n in (1, 2, 3)]
        assert "-1M-00000000_" not in made[1].file_references["json"]
        assert len({m.file_references["json"] for m in made}) == 3
        assert all(NAME.fullmatch(m.file_references["json"].removeprefix("/reports/json/")) for m in made)

    def test_nothing_is_ever_overwritten(self, folder):
        folder.save(real(issued()[0], number=1))
        before = {file: file.read_bytes() for file in folder.folder.iterdir()}
        for number in range(2, 5):
            folder.save(real(issued()[0], number=number << 64))
        assert all(file.read_bytes() == data for file, data in before.items())
        assert len(list(folder.folder.iterdir())) == 4


class TestSaving:
    """A signal is written once, whole."""

    def test_twice_is_once(self, folder):
        once = folder.save(issued()[0])
        assert folder.save(issued()[0]) == once
        assert len(list(folder.folder.iterdir())) == 1

    def test_leaves_nothing_else_behind(self, folder):
        for signal in issued():
            folder.save(signal)
        assert all(NAME.fullmatch(file.name) for file in folder.folder.iterdir())

    def test_what_is_on_disk_is_what_is_returned(self, folder):
        saved = folder.save(issued()[0])
        assert Signal.from_json((folder.folder / saved.file_references["json"].split("/")[-1]).read_text()) == saved

    def test_a_write_that_fails_leaves_no_file(self, folder, monkeypatch):
        import os

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            folder.save(issued()[0])
        assert not folder.folder.exists() or list(folder.folder.iterdir()) == []


class TestReading:
    """By id, by the beginning of an id, by file name; lists are newest first."""

    def test_by_id_and_by_name(self, folder):
        saved = [folder.save(signal) for signal in issued()]
        for signal in saved:
            assert folder.read(signal.id) == signal
            assert folder.read(signal.id[:12]) == signal
            assert folder.read(signal.file_references["json"].split("/")[-1]) == signal

    def test_lists_are_newest_first(self, folder):
        for signal in issued():
            folder.save(signal)
        assert [s.id for s in folder.list()] == [s.id for s in reversed(issued())]
        assert [s.id for s in folder.list(limit=2)] == [s.id for s in reversed(issued()[-2:])]

    def test_lists_are_filtered(self, folder):
        for signal in issued():
            folder.save(signal)
        middle = issued()[2].timestamp
        assert [s.id for s in folder.list(since_ms=middle)] == [s.id for s in reversed(issued()[2:])]
        assert [s.id for s in folder.list(until_ms=middle)] == [s.id for s in reversed(issued()[:2])]
        assert len(folder.list("BTC/USDT:USDT")) == 5
        assert list(folder.list("ETHUSDT")) == []

    def test_an_empty_folder_is_an_empty_list(self, folder):
        assert list(folder.list()) == []

    @pytest.mark.parametrize("key", ["0" * 24, "../../etc/passwd", "BTCUSDT_20200101_000000_data.json", "x", "0f"])
    def test_what_is_not_there_is_said(self, folder, key):
        with pytest.raises(NoDataError, match="virtuoso signals list"):
            folder.read(key)

    def test_a_beginning_that_fits_several_is_refused(self, folder):
        for number in (1, 2):
            folder.save(real(issued()[0], number=number))
        with pytest.raises(AmbiguousError, match="fits 2 signals"):
            folder.read("0" * 12)

    def test_a_broken_file_is_named(self, folder):
        saved = folder.save(issued()[0])
        file = folder.folder / saved.file_references["json"].split("/")[-1]
        file.write_text(json.dumps({"schema_version": "1.0"}))
        with pytest.raises(UnreadableFileError, match=r"_data\.json is not a signal"):
            folder.list()
