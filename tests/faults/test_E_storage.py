"""Faults of the store, by their numbers in the catalogue: E19-E26. Real processes, real files, real signals."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from tests.archives import JANUARY, MINUTE, NOW, env, flat_bars, minutes
from tests.data.make_old_lake import unpacked
from tests.faults.lake_writers import BTC, M1, N, put
from tests.faults.lake_writers import prices as all_prices
from virtuoso.errors import CorruptFileError, LockedError, ManifestError, SchemaVersionError, StoreError
from virtuoso.files.atomic import Disk
from virtuoso.lake import manifest as manifests
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS, FileEntry, Generations, Manifest, Series, dump
from virtuoso.lake.parquet import SCHEMA_VERSION
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.rows import traded_rows

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("VIRTUOSO_KILLS", "0")) or 10
"""Kills over a lake of old."""
SEED = int(os.environ.get("VIRTUOSO_KILLS_SEED", "5"))
KINDS_WRITTEN = [BARS, "open_interest"]


def writer(*arguments, **options) -> subprocess.Popen:
    """Start a process that writes to a lake."""
    command = [sys.executable, "-m", "tests.faults.lake_writers", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)


def prices(lake: Lake, kind: str = BARS) -> list[float]:
    if kind != BARS:
        return sorted(all_prices(lake, kind))
    (series,) = lake.manifest().readable()
    return sorted(set(lake.read(series).columns["close"].tolist()))


def part_of(lake: Lake, which: int = 0, kind: str = BARS) -> Path:
    return sorted((lake.path / kind).rglob("part-*.parquet"))[which]


def newest_manifest(lake: Lake, kind: str = BARS) -> Path:
    return sorted(lake.generations_of(kind).folder.glob("manifest-*.json"))[-1]


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(tmp_path / "lake", env=env())
    put(lake, 1.0)
    put(lake, 2.0)
    return lake


class TestAWriterThatIsKilled:
    """Leaves the previous generation readable, wherever it was killed."""

    @pytest.fixture(scope="class", params=KINDS_WRITTEN)
    @staticmethod
    def kills(request, tmp_path_factory) -> list[dict]:
        with writer("kill", tmp_path_factory.mktemp("kills"), request.param) as process:
            told = [json.loads(line) for line in process.stdout]
        assert process.returncode == 0
        return told

    def test_E19_at_every_step_of_a_write(self, kills):
        steps = [kill["step"].rsplit(" ", 1)[0] for kill in kills]
        assert len(kills) >= 25
        assert {"open", "write", "sync", "rename", "sync folder", "move", "make"} <= set(steps)
        assert all(kill["signal"] == signal.SIGKILL for kill in kills)

    def test_E19_one_whole_generation_is_readable(self, kills):
        seen = [kill["seen"] for kill in kills]
        renamed = next(i for i, kill in enumerate(kills) if kill["step"] == "rename manifest-000002.json")
        assert seen == [[1.0]] * (renamed + 1) + [[2.0]] * (len(kills) - renamed - 1)

    def test_E19_the_next_writer_goes_on(self, kills):
        assert all(kill["then"] == [3.0] and kill["verified"] for kill in kills)

    def test_E26_what_it_left_half_written_is_swept(self, kills):
        assert sum(bool(kill["left"]) for kill in kills) >= 8
        assert all(kill["swept"] for kill in kills)


class RecordingDisk(Disk):
    """Remembers every step."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def step(self, name: str, path: Path) -> None:
        self.steps.append((name, path.name))


class FullDisk(Disk):
    """Fails at one step, as a full or broken disk does."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self, name: str, path: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


class TestTheOrderOfWriting:
    """A name becomes visible only when what it names is on the disk; a killed process does not test this."""

    def test_E19_every_file_is_synced_before_it_is_named(self, tmp_path):
        disk = RecordingDisk()
        put(Lake(tmp_path / "lake", env=env(), disk=disk), 1.0)
        for i, (name, file) in enumerate(disk.steps):
            if name == "rename":
                assert disk.steps[i - 1] == ("sync", f".{file}.{os.getpid()}.tmp")
                assert disk.steps[i + 1][0] == "sync folder"

    def test_E19_every_byte_that_is_named_was_synced(self, tmp_path, monkeypatch):
        synced, sync = set(), os.fsync
        monkeypatch.setattr(os, "fsync", lambda handle: (synced.add(os.fstat(handle).st_ino), sync(handle)))
        lake = Lake(tmp_path / "lake", env=env())
        put(lake, 1.0)
        written = [*lake.path.rglob("*.parquet"), *lake.path.rglob("*.json")]
        assert len(written) == 3
        for path in written:
            assert {path.stat().st_ino, path.parent.stat().st_ino} <= synced

    def test_E19_the_manifest_comes_after_everything_it_names(self, tmp_path):
        disk = RecordingDisk()
        put(Lake(tmp_path / "lake", env=env(), disk=disk), 1.0)
        renames = [file for name, file in disk.steps if name == "rename"]
        assert len(renames) == 4
        assert (renames[0], renames[-1]) == ("manifest-000000.json", "manifest-000001.json")

    def test_E19_a_first_write_that_was_cut_short_is_no_lost_manifest(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        put(lake, 1.0)
        lake.generations_of("bars").begin(lake.disk)  # as it lies until the first commit
        newest_manifest(lake).unlink()
        assert Lake(lake.path).manifest().series == {}
        put(Lake(lake.path, env=env()), 2.0)
        assert prices(Lake(lake.path)) == [2.0]

    def test_E19_a_manifest_that_is_lost_after_a_first_write_is_told_and_not_taken_for_an_empty_lake(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        put(lake, 1.0)
        newest_manifest(lake).unlink()
        with pytest.raises(ManifestError, match="rebuild"):
            Lake(lake.path).manifest()


class TestADiskThatIsFull:
    """Aborts the commit, loudly; nothing is lost and nothing half written is seen."""

    @pytest.mark.parametrize("kind", KINDS_WRITTEN)
    def test_E20_at_every_step_the_lake_is_whole(self, tmp_path, kind):
        """Before the manifest has its name, as it was; from then on, as it should be."""
        put(Lake(tmp_path / "base", env=env()), 1.0, kind)
        shutil.copytree(tmp_path / "base", tmp_path / "counted")
        disk = RecordingDisk()
        put(Lake(tmp_path / "counted", env=env(), disk=disk), 2.0, kind)
        named = disk.steps.index(("rename", "manifest-000002.json"))
        assert named > 10
        for at in range(len(disk.steps)):
            path = tmp_path / str(at)
            shutil.copytree(tmp_path / "base", path)
            fails = pytest.raises(StoreError, match="No space left") if at <= named + 1 else nullcontext()
            with fails:
                put(Lake(path, env=env(), disk=FullDisk(at + 1)), 2.0, kind)
            assert prices(Lake(path, env=env()), kind) == [1.0 if at <= named else 2.0]
            assert not list(path.rglob("*.tmp"))
            put(Lake(path, env=env()), 2.0, kind)
            assert prices(Lake(path, env=env()), kind) == [2.0]

    def test_E20_says_what_to_do(self, tmp_path):
        with pytest.raises(StoreError, match=r"No space left.*as it was\..*run the same command again"):
            put(Lake(tmp_path / "lake", env=env(), disk=FullDisk(8)), 1.0)


class TestABitThatFlipped:
    """Is found, named and set aside; the file can be imported again."""

    def flip(self, path: Path, at: int) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 4
        path.write_bytes(data)

    @pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.999])
    def test_E21_verify_names_the_file_and_its_source(self, lake, share):
        path = part_of(lake)
        self.flip(path, int(share * path.stat().st_size))
        found = Lake(lake.path, env=env()).verify()
        assert not found.ok
        (damage,) = found.damaged
        assert damage.path == path.relative_to(lake.path).as_posix()
        assert damage.problem == "differs from its checksum"
        assert (lake.path / damage.moved_to).exists()
        assert not path.exists()
        with pytest.raises(CorruptFileError, match=r"1 of 3 files: bars/venue=.*differs from its checksum.*again"):
            found.raise_if_damaged()

    def test_E21_the_rest_goes_on_and_the_ledger_says_what_is_missing(self, lake):
        self.flip(part_of(lake), 200)
        assert lake.verify().damaged
        assert lake.verify().ok
        (series,) = lake.manifest().readable()
        assert len(lake.read(series)) == N // 2
        assert [(gap.status, gap.end - gap.start) for gap in series.gaps] == [("damaged", N // 2 * MINUTE)]

    def test_E21_importing_again_heals(self, lake):
        before = lake.fingerprint("BTCUSDT", "1m")
        self.flip(part_of(lake), 200)
        lake.verify()
        put(lake, 2.0)
        assert lake.fingerprint("BTCUSDT", "1m") == before
        assert lake.manifest().readable()[0].gaps == ()

    def test_E21_a_hole_in_the_middle_is_marked_as_damage(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        days = 75 * 1440
        with lake.writing() as open_lake:
            open_lake.add(Batch(BTC, traded_rows(minutes(days), flat_bars([1.0] * days), MINUTE), M1))
            open_lake.commit()
        self.flip(next(lake.path.rglob("month=2024-02/*.parquet")), 300)
        lake.verify()
        (gap,) = lake.manifest().readable()[0].gaps
        assert (gap.status, (gap.end - gap.start) // MINUTE) == ("damaged", 29 * 1440)

    def test_E21_no_read_ever_returns_the_wrong_value(self, lake):
        """Whichever byte: an error, or the right values."""
        path = part_of(lake)
        whole, found = path.read_bytes(), []
        for at in range(0, len(whole), 37):
            self.flip(path, at)
            try:
                seen = prices(Lake(lake.path, env=env()))
            except CorruptFileError as error:
                found.append(str(error))
            else:
                assert seen == [2.0]
            path.write_bytes(whole)
        assert len(found) > 50
        assert all("virtuoso data verify" in text for text in found)

    def test_E21_no_query_ever_returns_the_wrong_value(self, lake):
        """Sixty bits, anywhere in the files: the right answer, or an error that names the file."""
        rng = np.random.default_rng(10)
        query = "select count(*) n, sum(close) a, max(high) b, sum(open_time) t, count(distinct month) m from bars"
        right = lake.sql(query).to_numpy().tolist()
        parts = sorted((lake.path / "bars").rglob("part-*.parquet"))
        for _ in range(60):
            path = parts[rng.integers(len(parts))]
            whole = path.read_bytes()
            data = bytearray(whole)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path.write_bytes(data)
            with pytest.raises(CorruptFileError, match=rf"{path.name} differs from its checksum"):
                lake.sql(query)
            path.write_bytes(whole)
        assert lake.sql(query).to_numpy().tolist() == right

    def test_E21_a_query_reads_no_month_that_it_does_not_need(self, lake):
        """So damage in another month does not matter to it."""
        self.flip(part_of(lake, 1), 200)
        assert lake.sql("select count(*) n from bars where month = '2024-01'")["n"].item() > 0
        with pytest.raises(CorruptFileError):
            lake.sql("select max(close) from bars")

    def test_E21_a_file_that_is_gone_is_named(self, lake):
        part_of(lake).unlink()
        with pytest.raises(CorruptFileError, match=r"part-.*is not there.*import its source again"):
            lake.frame("BTCUSDT", "1m")
        assert lake.verify().damaged[0].problem == "is missing"
        assert lake.verify().ok


class TestDamagedEvents:
    """Are found, named, set aside and healed like bars, each kind by itself."""

    @pytest.fixture
    def both(self, lake) -> Lake:
        put(lake, 1.0, "open_interest")
        put(lake, 2.0, "open_interest")
        return lake

    def spoil(self, path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)

    def test_E21_verify_sets_the_file_aside_and_leaves_the_bars_alone(self, both):
        path = part_of(both, kind="open_interest")
        self.spoil(path)
        with pytest.raises(CorruptFileError, match=r"open_interest.*differs from its checksum.*virtuoso data verify"):
            both.events("open_interest", BTC)
        (damage,) = both.verify().damaged
        assert damage.path == path.relative_to(both.path).as_posix()
        assert (both.path / damage.moved_to).exists()
        assert both.verify().ok
        assert len(both.events("open_interest", BTC)) == N // 2
        assert prices(both) == [2.0]
        assert both.manifest().generation == 2

    def test_E21_the_ledger_says_what_is_missing_until_it_is_imported_again(self, both):
        self.spoil(part_of(both, kind="open_interest"))
        both.verify()
        (line,) = both.event_check()
        assert line.coverage.gaps == {"damaged": 1}
        put(both, 2.0, "open_interest")
        (line,) = both.event_check()
        assert (line.coverage.gaps, line.coverage.rows) == ({}, N)

    def test_E22_readers_fall_back_to_the_generation_before(self, both):
        newest_manifest(both, "open_interest").write_text("{")
        fresh = Lake(both.path, env=env())
        assert prices(fresh, "open_interest") == [1.0]
        assert fresh.verify().damaged_manifests == ("open_interest/manifest-000002.json",)
        with pytest.raises(ManifestError, match="--rebuild"):
            put(fresh, 3.0)

    def test_E22_rebuild_needs_no_manifest_at_all(self, both):
        """Not even the revisions are lost: history can still be read as of then."""
        before = both.events("open_interest", BTC).digest(), both.events("open_interest", BTC, as_of=NOW - 1).digest()
        assert before[0] != before[1]
        shutil.rmtree(both.path / "manifests")
        fresh = Lake(both.path, env=env())
        with pytest.raises(ManifestError, match=r"holds open_interest but no manifest.*--rebuild"):
            fresh.events("open_interest", BTC)
        assert fresh.rebuild().rows == 2 * N
        after = fresh.events("open_interest", BTC).digest(), fresh.events("open_interest", BTC, as_of=NOW - 1).digest()
        assert before == after

    @pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 2])
    def test_E25_another_version_is_refused(self, both, version):
        path = newest_manifest(both, "open_interest")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(manifests, "SCHEMA_VERSION", version)
            path.with_name("manifest-000003.json").write_bytes(dump(Manifest(3, "open_interest")))
        with pytest.raises(SchemaVersionError, match=rf"has schema {version}"):
            Lake(both.path).events("open_interest", BTC)

    def test_E25_a_lake_that_knows_no_events_is_read_and_written_on(self, lake):
        """As the version before left it: bars alone, and series that name no kind."""
        path = newest_manifest(lake)
        text = path.read_text().replace(',\n   "kind": "bars"', "").partition(',\n"sha256": "')[0]
        path.write_text(f'{text},\n"sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')
        assert '"kind": "bars"' not in text.partition('"series"')[2]
        fresh = Lake(lake.path, env=env())
        assert prices(fresh) == [2.0]
        put(fresh, 1.0, "open_interest")
        assert prices(fresh, "open_interest") == [1.0]

    def test_E26_orphans_of_a_kind_are_swept_and_foreign_files_left(self, both):
        part = part_of(both, kind="open_interest")
        temporary = part.with_name(f".{part.name}.4711.tmp")
        temporary.write_bytes(b"half")
        notes = part.with_name("notes.txt")
        notes.write_text("mine")
        with both.writing():
            assert not temporary.exists()
        assert notes.read_text() == "mine"
        assert prices(both, "open_interest") == [2.0]


class TestAManifestThatIsDamaged:
    """Costs nothing but the newest generation until it is rebuilt; nothing more is ever lost."""

    @pytest.mark.parametrize("keep", [0, 10, 0.5, -3], ids=["empty", "ten bytes", "half", "the last bytes"])
    def test_E22_readers_fall_back_to_the_generation_before(self, lake, keep):
        path = newest_manifest(lake)
        size = path.stat().st_size
        path.write_bytes(path.read_bytes()[: int(keep * size) if isinstance(keep, float) else keep])
        reader = Lake(lake.path, env=env())
        assert prices(reader) == [1.0]
        assert reader.generations.damaged == ("manifest-000002.json",)
        assert not reader.verify().ok

    def test_E22_a_changed_value_is_damage_too(self, lake):
        path = newest_manifest(lake)
        path.write_text(path.read_text().replace('"rows": 50', '"rows": 51'))
        assert prices(Lake(lake.path, env=env())) == [1.0]

    def test_E22_writers_wait_for_the_rebuild(self, lake):
        newest_manifest(lake).write_text("{")
        with pytest.raises(ManifestError, match=r"writing would forget what it held.*--rebuild"):
            put(Lake(lake.path, env=env()), 3.0)

    def test_E22_rebuild_finds_the_newest_bars_in_the_files(self, lake):
        before = lake.fingerprint("BTCUSDT", "1m")
        newest_manifest(lake).write_text("{")
        fresh = Lake(lake.path, env=env())
        made = fresh.rebuild()
        assert (made.files, made.rows, made.unreadable) == (2, N, ())
        assert fresh.fingerprint("BTCUSDT", "1m") == before
        assert fresh.verify().ok
        put(fresh, 3.0)
        assert prices(fresh) == [3.0]

    def test_E22_rebuild_needs_no_manifest_at_all(self, lake):
        """Not even the revisions are lost: history can still be read as of then."""
        before = lake.fingerprint("BTCUSDT", "1m")
        for path in lake.generations.folder.iterdir():
            path.unlink()
        fresh = Lake(lake.path, env=env())
        with pytest.raises(ManifestError, match=r"holds bars but no manifest.*--rebuild"):
            fresh.frame("BTCUSDT", "1m")
        with pytest.raises(ManifestError, match="holds bars but no manifest"):
            put(fresh, 3.0)
        fresh.rebuild()
        assert fresh.fingerprint("BTCUSDT", "1m") == before
        (series,) = fresh.manifest().readable()
        assert set(fresh.read(series, as_of=NOW - 1).columns["close"]) == {1.0}
        assert {file.month for file in series.files} == {"2024-01", "2024-02"}

    def test_E22_rebuild_takes_the_newest_of_two_parts_of_a_month(self, lake):
        """As a writer leaves them that was killed between the manifest and the retiring."""
        for old in (lake.path / "retired" / "bars").rglob("part-*.parquet"):
            shutil.copy(old, lake.path / old.relative_to(lake.path / "retired"))
        for path in lake.generations.folder.iterdir():
            path.unlink()
        fresh = Lake(lake.path, env=env())
        assert fresh.rebuild().rows == N
        assert prices(fresh) == [2.0]

    def test_E22_if_none_can_be_read_the_error_says_so(self, lake):
        for path in lake.generations.folder.iterdir():
            path.write_text("{")
        with pytest.raises(ManifestError, match=r"No generation in .* can be read"):
            Lake(lake.path, env=env()).instruments()
        assert Lake(lake.path, env=env()).rebuild().rows == N


class TestAReaderWhileAWriterWrites:
    """Sees one consistent generation, never a mixture."""

    def test_E23_of_two_months_both_are_of_one_generation(self, tmp_path):
        put(Lake(tmp_path / "lake", env=env()), 0.5)
        process = writer("rewrite", tmp_path / "lake")
        lake, seen = Lake(tmp_path / "lake", env=env()), []
        try:
            while len(set(seen)) < 12 and process.poll() is None:
                (price,) = prices(lake)
                seen.append(price)
                table = lake.sql("select count(*) n, min(close) a, max(close) b from bars")
                assert table["n"].tolist() == [N]
                assert table["a"].tolist() == table["b"].tolist()
        finally:
            process.kill()
            process.communicate()
        assert len(set(seen)) >= 12
        assert seen == sorted(seen)


class TestTwoWriters:
    """The second fails at once and names the first."""

    def test_E24_the_second_is_told_the_pid_of_the_first(self, lake):
        with writer("hold", lake.path, stdin=subprocess.PIPE) as process:
            assert process.stdout.readline() == "holding\n"
            with pytest.raises(LockedError, match=rf"written by the process with pid {process.pid}\. Wait for it"):
                put(lake, 3.0)
            assert prices(lake) == [2.0]
            process.communicate("")
        put(lake, 3.0)

    def test_E24_a_dead_owner_holds_no_lock(self, lake):
        with writer("hold", lake.path, stdin=subprocess.PIPE) as process:
            process.stdout.readline()
            process.kill()
            process.communicate()
        assert (lake.path / "lock").read_text() == str(process.pid)
        put(lake, 3.0)
        assert prices(lake) == [3.0]

    def test_E24_two_in_one_process_are_two_writers(self, lake):
        with lake.writing(), pytest.raises(LockedError, match=f"pid {os.getpid()}"), Lake(lake.path).writing():
            pass


class TestTheVersionOfTheSchema:
    """This one and the one before it are read; anything newer is refused by name."""

    def old_lake(self, path: Path) -> Lake:
        """A lake of schema 1, as its writer left it: no state, no available_at, no metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        series = Series(BTC.venue, BTC.symbol, "1m")
        inside = f"bars/{series.key}/month=2024-01/part-{JANUARY}-{JANUARY + 9 * MINUTE}-00000000.parquet"
        file = path / inside
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({"open_time": minutes(10), **flat_bars([100.0] * 10)}), file)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        entry = FileEntry(inside, "2024-01", 10, JANUARY, JANUARY + 9 * MINUTE, file.stat().st_size, sha256)
        old = Series(BTC.venue, BTC.symbol, "1m", files=(entry,))
        self.write_manifest(path, Manifest(1, "bars", NOW, {old.key: old}), SCHEMA_VERSION - 1)
        return Lake(path, env=env())

    def write_manifest(self, path: Path, manifest: Manifest, version: int) -> None:
        folder = path / "manifests" / "bars"
        folder.mkdir(parents=True, exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(manifests, "SCHEMA_VERSION", version)
            (folder / f"manifest-{manifest.generation:06d}.json").write_bytes(dump(manifest))

    def test_E25_the_one_before_is_read(self, tmp_path):
        frame = self.old_lake(tmp_path).frame("BTCUSDT", "1m")
        assert (frame.base.columns["close"] == 100).all()

    def test_E25_the_one_before_is_known_at_its_closes(self, tmp_path):
        lake = self.old_lake(tmp_path)
        assert len(lake.frame("BTCUSDT", "1m", as_of=JANUARY + 4 * MINUTE)) == 4

    def test_E25_the_one_before_is_written_on_in_this_one(self, tmp_path):
        lake = self.old_lake(tmp_path)
        with lake.writing() as open_lake:
            open_lake.add(Batch(BTC, traded_rows(minutes(20), flat_bars([100.0] * 20), MINUTE), M1))
            open_lake.commit()
        assert f'"schema_version": {SCHEMA_VERSION},' in newest_manifest(lake).read_text()
        assert len(Lake(tmp_path).frame("BTCUSDT", "1m")) == 20
        assert {f.schema_version for f in lake.manifest().readable()[0].files} == {SCHEMA_VERSION}

    @pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION + 7])
    def test_E25_a_newer_one_is_refused_not_fallen_back_from(self, lake, version):
        self.write_manifest(lake.path, Manifest(3), version)
        fresh = Lake(lake.path)
        for use in (fresh.instruments, fresh.verify, fresh.rebuild, lambda: put(fresh, 3.0)):
            with pytest.raises(SchemaVersionError, match=rf"has schema {version}.*newer Virtuoso.*Upgrade"):
                use()

    def test_E25_one_too_old_is_refused(self, lake):
        self.write_manifest(lake.path, Manifest(3), SCHEMA_VERSION - 2)
        with pytest.raises(SchemaVersionError, match="Import the sources into a new lake"):
            Lake(lake.path).instruments()


class TestWhatKilledWritersLeave:
    """Is swept when the lake is next opened for writing, and only then."""

    def test_E26_orphans_are_swept_at_the_start(self, lake):
        part = part_of(lake)
        temporary = part.with_name(f".{part.name}.4711.tmp")
        temporary.write_bytes(b"half")
        manifest = lake.generations.folder / ".manifest-000009.json.4711.tmp"
        manifest.write_bytes(b"half")
        orphan = part.with_name("part-1-2-ffffffff.parquet")
        orphan.write_bytes(part.read_bytes())
        assert prices(Lake(lake.path)) == [2.0]
        assert temporary.exists()
        with lake.writing():
            assert not temporary.exists()
            assert not manifest.exists()
            assert not orphan.exists()
        assert prices(Lake(lake.path)) == [2.0]

    def test_E26_foreign_files_are_left_alone(self, lake):
        notes = part_of(lake).with_name("notes.txt")
        notes.write_text("mine")
        with lake.writing():
            pass
        assert notes.read_text() == "mine"

    def test_E26_bars_of_a_lost_manifest_are_set_aside_not_deleted(self, lake):
        newest_manifest(lake).unlink()
        fresh = Lake(lake.path, env=env())
        assert prices(fresh) == [1.0]
        with fresh.writing():
            pass
        assert len(list((lake.path / "retired").rglob("part-*.parquet"))) == 4
        assert prices(fresh) == [1.0]


def test_generations_are_pruned(tmp_path):
    """The last twenty are kept, so that a damaged newest one has others behind it."""
    lake = Lake(tmp_path / "lake", env=env())
    for price in range(1, 26):
        put(lake, float(price))
    assert len(Generations(lake.generations.folder).names()) <= manifests.KEPT_GENERATIONS + 1
    assert np.isclose(prices(lake)[0], 25.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_E19_a_lake_of_old_loses_nothing_to_writers_that_are_killed(tmp_path):
    """Writers add to a lake that commit d698bd1 wrote, each killed before a chance step; VIRTUOSO_KILLS says how many.

    After each of them every row of old is there as it was known at every moment at which it was written: bars and
    recordings, which nobody can download again. At last a writer lives and sweeps.
    """
    old = unpacked(ROOT / "tests" / "data" / "lake_d698bd1.tar.gz", tmp_path / "lake")
    with writer("grow", old, SEED, KILLS) as process:
        *kills, lived = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert len(kills) == KILLS
    assert all(kill["signal"] == signal.SIGKILL for kill in kills)
    assert len({kill["step"].split()[0] for kill in kills}) >= min(KILLS // 3, 5)
    for told in (*kills, lived):
        assert (told["same"], told["fewer"], told["damaged"]) == (True, [], []), told
    assert sum(bool(kill["more"]) for kill in kills) >= KILLS // 3  # some kinds of what it added were there already
    assert sum(bool(kill["left"]) for kill in kills) >= KILLS // 5
    assert (lived["code"], lived["more"], lived["left"]) == (0, 16, [])
