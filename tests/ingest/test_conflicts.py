"""Files that contradict each other: one lake in any order, counted, named, and settled with --prefer."""

import itertools
import json
from pathlib import Path

import pytest

from tests.archives import JANUARY, MINUTE, env
from virtuoso.cli import main
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

RIGHT, WRONG = 100.0, 107.0


def bars(folder: Path, name: str, price: float, n: int = 400, few: int = 20) -> Path:
    """Bars of a day, the last few of which close at a price."""
    folder.mkdir(exist_ok=True)
    closes = [100.5] * (n - few) + [price] * few
    lines = [f"{JANUARY + k * MINUTE},100,110,90,{close},5" for k, close in enumerate(closes)]
    (folder / name).write_text("open_time,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    return folder / name


def funding(folder: Path, name: str, rate: float, n: int = 30) -> Path:
    """Settlements of ten days, one of which has another rate."""
    folder.mkdir(exist_ok=True)
    rows = [f"{JANUARY + k * 480 * MINUTE},8,{rate if k == 7 else 0.0001}" for k in range(n)]
    (folder / name).write_text("calc_time,funding_interval_hours,last_funding_rate\n" + "\n".join(rows) + "\n")
    return folder / name


MADE = {
    "a day and its month": (bars, "BTCUSDT-1m-2024-01-01.csv", "BTCUSDT-1m-2024-01.csv", "bars"),
    "two of unknown origin": (bars, "BTCUSDT-1m-right.csv", "BTCUSDT-1m-stale.csv", "bars"),
    "funding": (funding, "BTCUSDT-fundingRate-right.csv", "BTCUSDT-fundingRate-stale.csv", "funding"),
}
PRICES = {"bars": (RIGHT, WRONG), "funding": (0.0002, 0.0003)}


def take(lake: Lake, path: Path, **options):
    (file,) = import_paths(lake, path, venue="binance-usdm", **options).files
    return file


def now(lake: Lake, kind: str) -> str:
    (series,) = lake.manifest(kind).readable()
    return (
        lake.read(series).digest() if kind == "bars" else lake.read_events(series, None, None, None).events().digest()
    )


@pytest.fixture(params=MADE)
def made(request, tmp_path) -> tuple[Path, Path, str]:
    """The right file, the wrong one, and what they hold."""
    make, right, wrong, kind = MADE[request.param]
    values = PRICES[kind]
    return make(tmp_path / "in", right, values[0]), make(tmp_path / "in", wrong, values[1]), kind


class TestTwoFilesThatContradictEachOther:
    """Give one lake, whichever comes first and however often."""

    def test_in_any_order(self, made, tmp_path):
        right, wrong, kind = made
        seen = set()
        for k, order in enumerate([(right, wrong), (wrong, right), (right, wrong, right), (wrong, right, wrong)]):
            lake = Lake(tmp_path / str(k), env=env())
            reports = [take(lake, path, max_revised_share=1.0) for path in order]
            for report in reports:
                assert report.stored + report.duplicates + report.revisions + report.conflicts == report.rows_read
            assert reports[1].revisions + reports[1].conflicts == (20 if kind == "bars" else 1)
            (note,) = [note for note in reports[1].notes if "contradicts" in note]
            assert "--prefer" in note
            assert all(report.revisions == report.stored == 0 for report in reports[2:])
            (series,) = lake.manifest(kind).readable()
            (conflict,) = series.conflicts
            assert conflict.rows == (20 if kind == "bars" else 1)
            assert conflict.sources == tuple(sorted((right.name, wrong.name)))
            seen.add(now(lake, kind))
        assert len(seen) == 1

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_the_preferred_one_holds_in_any_order(self, made, tmp_path, order):
        right, wrong, kind = made
        alone = Lake(tmp_path / "alone", env=env())
        take(alone, right)
        lake = Lake(tmp_path / "lake", env=env())
        steps = [(right, {}), (wrong, {}), (right, {"prefer": True})]
        for k in order:
            take(lake, steps[k][0], max_revised_share=1.0, **steps[k][1])
        assert now(lake, kind) == now(alone, kind)
        assert lake.manifest(kind).readable()[0].conflicts == ()
        generation = lake.manifest(kind).generation
        assert take(lake, right, prefer=True).status == "unchanged"
        assert lake.manifest(kind).generation == generation


class TestTheCommands:
    """Say how many rows, between which files, and what settles it."""

    def run(self, tmp_path, *said: str) -> int:
        return main(["data", *said, "--data", str(tmp_path)])

    def test_import_and_check(self, tmp_path, capsys):
        right = bars(tmp_path / "in", "BTCUSDT-1m-2024-01-01.csv", RIGHT)
        wrong = bars(tmp_path / "in", "BTCUSDT-1m-2024-01.csv", WRONG)
        for path in (right, wrong):
            assert self.run(tmp_path, "import", str(path), "--venue", "binance-usdm") == 0
        out = capsys.readouterr().out
        assert "contradicts BTCUSDT-1m-2024-01-01.csv in 20 of its rows" in out
        assert self.run(tmp_path, "check") == 0
        out = capsys.readouterr().out
        assert "BTCUSDT binance-usdm 1m: versions of 20 rows disagree" in out
        assert "BTCUSDT-1m-2024-01-01.csv, BTCUSDT-1m-2024-01.csv" in out
        assert "virtuoso data import FILE --venue binance-usdm --prefer" in out
        assert self.run(tmp_path, "import", str(right), "--venue", "binance-usdm", "--prefer") == 0
        capsys.readouterr()
        assert self.run(tmp_path, "check", "--json") == 0
        (series,) = json.loads(capsys.readouterr().out)["series"]
        assert "disagreeing" not in series

    def test_a_file_of_another_market_is_told_of_prefer(self, tmp_path, capsys):
        first = bars(tmp_path / "a", "BTCUSDT-1m-a.csv", RIGHT, few=300)
        assert self.run(tmp_path, "import", str(first), "--venue", "okx-linear") == 0
        capsys.readouterr()
        path = bars(tmp_path / "b", "BTCUSDT-1m-b.csv", WRONG, few=300)
        assert self.run(tmp_path, "import", str(path), "--venue", "okx-linear") != 0
        assert "import it with --prefer" in " ".join(capsys.readouterr().out.split())
