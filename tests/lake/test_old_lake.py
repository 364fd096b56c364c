"""A lake that commit d698bd1 wrote is read by today's code, to the bit, and goes on from there.

`tests/data/make_old_lake.py` made it and says what it holds. No migration is needed as long as these pass.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import virtuoso
from tests.data.make_old_lake import AS_OF, IMPORTS, MIDNIGHT, MINUTE, derived, stored, unpacked
from virtuoso.cli import main

HERE = Path(__file__).parents[1] / "data"
ARCHIVE = HERE / "lake_d698bd1.tar.gz"
ANSWERS: dict[str, Any] = json.loads((HERE / "lake_d698bd1.json").read_text())
PERP = {"symbol": "BTCUSDT", "venue": "binance-usdm"}
KINDS = {
    *("trades", "depth", "ticker", "bands", "open_interest", "ratios", "funding", "prices", "liquidations"),
    *("instruments", "tiers"),
}
BEFORE = [str(moment) for moment in AS_OF if moment is not None]


def classic(frame: virtuoso.MarketFrame) -> virtuoso.Scores:
    """Score with the weights that were shipped that day."""
    return virtuoso.score(frame, virtuoso.Prism.classic())


def plain(answers: dict[str, Any]) -> dict[str, Any]:
    """Answers as JSON gives them back."""
    same: dict[str, Any] = json.loads(json.dumps(answers))
    return same


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> virtuoso.Lake:
    """The lake, which tests only read."""
    return virtuoso.Lake(unpacked(ARCHIVE, tmp_path_factory.mktemp("old") / "lake"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a lake of one's own."""
    unpacked(ARCHIVE, tmp_path / "data" / "lake")
    return tmp_path / "data"


class TestTheLake:
    """Holds everything that a lake of that day could hold; else the tests below prove little."""

    def test_has_every_kind(self):
        found = ANSWERS["stored"]
        assert {name.split()[0] for name in found["events"]} == KINDS
        assert sorted(found["bars"]) == [
            "BTCUSDT binance-usdm 1m", "BTCUSDT binance-usdm 5m", "BTCUSDT simulated 1m", "ETHUSD bitfinex-spot 1m",
        ]  # fmt: skip

    def test_has_every_defect(self):
        bars, events = ANSWERS["stored"]["check"], ANSWERS["stored"]["event_check"]
        for what in ("gaps", "no_trade", "revisions", "late", "quarantined", "refused"):
            assert any(series[what] for series in bars), what
        for what in ("gaps", "revisions", "late", "quarantined", "refused"):
            assert sum(bool(series[what]) for series in events) >= 2, what

    def test_says_something_else_at_every_import(self):
        for name, found in {**ANSWERS["stored"]["bars"], **ANSWERS["stored"]["events"]}.items():
            assert len({json.dumps(then) for then in found.values()}) >= 2, name
        bars = ANSWERS["stored"]["bars"]["BTCUSDT binance-usdm 1m"]
        for at in IMPORTS[:3]:
            assert bars[str(at - 1)] != bars[str(at)]


class TestReading:
    """Gives what the commit that wrote it read."""

    @pytest.fixture(scope="class")
    @staticmethod
    def found(lake: virtuoso.Lake) -> dict[str, Any]:
        return plain(stored(lake))

    def test_finds_no_damage(self, lake):
        verified = lake.verify()
        assert verified.ok
        assert verified.files >= 50

    @pytest.mark.parametrize("what", ["bars", "events"])
    def test_rows_are_those_that_were_known_at_every_moment(self, found, what):
        assert found[what] == ANSWERS["stored"][what]

    @pytest.mark.parametrize("what", ["frames", "check", "event_check", "quarantine"])
    def test_newest_is_the_same(self, found, what):
        assert found[what] == ANSWERS["stored"][what]

    def test_frames_fingerprints_and_scores_are_those_of_the_commit_before_the_move(self, lake):
        found = plain(derived(lake, classic))
        assert found == ANSWERS["derived"]
        assert len(found["scores"]["BTCUSDT binance-usdm 1m"]) >= 60


class TestCommands:
    """Work on it as on a lake of today."""

    @pytest.mark.parametrize("command", ["check", "list", "verify"])
    def test_say_that_all_is_well(self, root, capsys, command):
        assert main(["data", command, "--data", str(root), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)

    def test_rebuild_of_its_manifests_loses_nothing(self, root):
        assert main(["data", "verify", "--rebuild", "--data", str(root), "-q"]) == 0
        found = plain(stored(virtuoso.Lake(root / "lake")))
        for what in ("bars", "events", "frames", "check", "event_check"):
            assert found[what] == ANSWERS["stored"][what], what

    def test_rebuild_without_any_manifest_finds_the_rows_again(self, root):
        """Everything that a manifest knows of a file stands in the file."""
        shutil.rmtree(root / "lake" / "manifests")
        assert main(["data", "verify", "--rebuild", "--data", str(root), "-q"]) == 0
        found = plain(stored(virtuoso.Lake(root / "lake")))
        for what in ("bars", "events", "frames"):
            assert found[what] == ANSWERS["stored"][what], what
        assert [series["gaps"] for series in found["check"]] == [x["gaps"] for x in ANSWERS["stored"]["check"]]


class TestWriting:
    """Goes on from it: old rows stay readable as they were, new ones are on top."""

    REVISED = MIDNIGHT - 110 * MINUTE
    ADDED = IMPORTS[3] + 8 * 60 * MINUTE

    @pytest.fixture
    def grown(self, root: Path, tmp_path: Path) -> virtuoso.Lake:
        """The lake with a revised bar, a late event and a new one."""
        bar = f"{self.REVISED},9,11,8,10,7,{self.REVISED + MINUTE - 1},70,3,1,10,0"
        (tmp_path / "BTCUSDT-1m-2024-01-31.csv").write_text(bar + "\n")
        head = "create_time,symbol,sum_open_interest,sum_open_interest_value\n"
        late, new = "2024-01-31 22:21:30,BTCUSDT,8000,1\n", "2024-02-04 02:00:00,BTCUSDT,9000,2\n"
        (tmp_path / "BTCUSDT-metrics-2024-02-04.csv").write_text(head + late + new)
        trade = f"77000,5,0.5,90000,90001,{self.ADDED},true\n"
        (tmp_path / "BTCUSDT-aggTrades-2024-02-04.csv").write_text(trade)
        files = [str(file) for file in sorted(tmp_path.glob("*.csv"))]
        said = ["--venue", "binance-usdm", "--timeframe", "1m", "--data", str(root), "-q"]
        assert main(["data", "import", *files, *said]) == 0
        return virtuoso.Lake(root / "lake")

    def test_new_rows_are_there(self, grown):
        frame = grown.frame(timeframe="1m", **PERP, end=MIDNIGHT)
        at = self.REVISED // MINUTE - frame.base.first
        assert [frame.base.columns[name][at] for name in ("open", "high", "low", "close", "volume")] == [
            9,
            11,
            8,
            10,
            7,
        ]
        (instrument,) = [one for one in grown.instruments() if one.venue == "binance-usdm"]
        events = {kind: grown.events(kind, instrument) for kind in ("open_interest", "trades")}
        before = {kind: ANSWERS["stored"]["events"][f"{kind} {instrument}"]["None"]["rows"] for kind in events}
        assert {kind: len(some) - before[kind] for kind, some in events.items()} == {"open_interest": 2, "trades": 1}
        assert events["trades"].event_time[-1] == self.ADDED

    def test_what_was_known_before_stays_as_it_was(self, grown):
        found = plain(stored(grown))
        for what in ("bars", "events"):
            for name, then in ANSWERS["stored"][what].items():
                assert {at: found[what][name][at] for at in BEFORE} == {at: then[at] for at in BEFORE}, name

    def test_is_counted(self, grown):
        def of_perp(series: list[dict[str, Any]], **said: str) -> dict[str, Any]:
            (one,) = [one for one in series if said.items() <= one.items()]
            return one

        before = of_perp(ANSWERS["stored"]["check"], **PERP, timeframe="1m")
        after = of_perp([series.to_dict() for series in grown.check()], **PERP, timeframe="1m")
        assert after["bars"] == before["bars"]
        assert after["revisions"] == before["revisions"] + 1
        assert after["late"] == before["late"] + 1
        assert grown.verify().ok

    def test_the_generation_before_can_still_be_read(self, grown):
        """Where the newest manifest is damaged, readers fall back to what the old code wrote."""
        newest = sorted((grown.path / "manifests" / "bars").glob("*.json"))[-1]
        newest.write_text("damaged")
        found = plain(stored(virtuoso.Lake(grown.path)))
        assert found["bars"] == ANSWERS["stored"]["bars"]
        assert found["check"] == ANSWERS["stored"]["check"]
