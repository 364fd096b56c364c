"""Files and folders appear whole or not at all; what killed writers left goes, what living ones write stays."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from virtuoso.files.atomic import Disk, remove_leftovers


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class RecordingDisk(Disk):
    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, name: str, path: Path) -> None:
        self.steps.append(name)


class TestAFile:
    @pytest.mark.parametrize(
        ("lasting", "steps"),
        [
            ("name", ["open", "write", "sync", "rename", "sync folder"]),
            ("bytes", ["open", "write", "sync", "rename"]),
            ("nothing", ["open", "write", "rename"]),
        ],
    )
    def test_is_synced_as_far_as_it_shall_last(self, tmp_path, lasting, steps):
        disk = RecordingDisk()
        disk.write(tmp_path / "file", b"whole", lasting=lasting)
        assert disk.steps == steps
        assert (tmp_path / "file").read_bytes() == b"whole"

    @pytest.mark.parametrize("failure", [OSError, ValueError, KeyboardInterrupt])
    def test_that_fails_halfway_leaves_the_one_before_and_nothing_else(self, tmp_path, failure):
        path = tmp_path / "file"
        path.write_bytes(b"before")

        def write() -> None:
            with Disk().opened(path) as file:
                file.write(b"half")
                raise failure

        with pytest.raises(failure):
            write()
        assert (names(tmp_path), path.read_bytes()) == (["file"], b"before")

    def test_is_not_seen_before_it_is_whole(self, tmp_path):
        with Disk().opened(tmp_path / "file") as file:
            file.write(b"half")
            assert not (tmp_path / "file").exists()
        assert (tmp_path / "file").exists()

    def test_takes_no_name_that_is_taken_where_it_shall_not(self, tmp_path):
        path = tmp_path / "file"
        Disk().write(path, b"first", replace=False)
        with pytest.raises(FileExistsError):
            Disk().write(path, b"second", replace=False)
        assert (names(tmp_path), path.read_bytes()) == (["file"], b"first")

    @pytest.mark.skipif(sys.platform == "win32", reason="permissions are of another kind there")
    def test_has_the_permissions_that_are_asked(self, tmp_path):
        Disk().write(tmp_path / "mine", b"", mode=0o600)
        assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o600

    def test_of_two_threads_is_that_of_one_of_them(self, tmp_path):
        """Each writes under a name of its own."""
        path, failed, both = tmp_path / "file", [], threading.Barrier(2)

        def write(text: bytes) -> None:
            try:
                for _ in range(50):
                    with Disk().opened(path, lasting="nothing") as file:
                        file.write(text)
                        both.wait()
            except (OSError, threading.BrokenBarrierError) as error:
                both.abort()
                failed.append(error)

        threads = [threading.Thread(target=write, args=(text * 1_000,)) for text in (b"a", b"b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert path.read_bytes() in (b"a" * 1_000, b"b" * 1_000)
        assert names(tmp_path) == ["file"]


class TestWhatKilledWritersLeft:
    def test_of_a_file_goes_when_it_is_written_again(self, tmp_path, dead):
        left = [f".file.{dead}.tmp", f".file.77.{dead}.tmp", f".other.{dead}.tmp", f".file.{os.getppid()}.tmp"]
        for name in left:
            (tmp_path / name).write_bytes(b"half")
        Disk().write(tmp_path / "file", b"whole")
        assert names(tmp_path) == sorted(["file", *left[2:]])

    @pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked there")
    def test_is_left_alone_while_a_writer_that_cannot_be_seen_holds_it(self, tmp_path, dead):
        """Of another container, say: its number says nothing here, but what it writes is locked."""
        with Disk().opened(tmp_path / "file") as file:
            foreign = tmp_path / f".file.{dead}.tmp"
            Path(file.name).rename(foreign)
            assert remove_leftovers(tmp_path) == []
            foreign.rename(file.name)
        assert remove_leftovers(tmp_path) == []

    def test_of_a_folder_goes_and_what_stepped_aside_returns(self, tmp_path, dead):
        (tmp_path / f".run.{dead}.tmp").mkdir()
        (tmp_path / f".run.{dead}.old").mkdir()
        (tmp_path / f".run.{dead}.old" / "file").touch()
        with Disk().beside(tmp_path / "run") as fresh:
            assert names(tmp_path) == sorted([fresh.name, "run"])
        assert names(tmp_path / "run") == ["file"]


class TestAFolder:
    def test_takes_the_place_of_an_older_one(self, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        (run / "old").touch()
        disk = RecordingDisk()
        with disk.beside(run) as fresh:
            disk.write(fresh / "new", b"")
            assert names(run) == ["old"]
            disk.put_in_place(fresh, run)
        assert (names(tmp_path), names(run)) == (["run"], ["new"])
        assert disk.steps[-2:] == ["rename", "sync folder"]

    def test_that_fails_leaves_the_older_one(self, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        (run / "old").touch()

        def write() -> None:
            with Disk().beside(run) as fresh:
                (fresh / "new").touch()
                raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            write()
        assert (names(tmp_path), names(run)) == (["run"], ["old"])

    def test_that_cannot_be_renamed_lets_the_older_one_return(self, tmp_path):
        run = tmp_path / "run"
        run.mkdir()
        (run / "old").touch()
        with pytest.raises(OSError, match="gone"), Disk().beside(run):
            Disk().put_in_place(tmp_path / "gone", run)
        assert (names(tmp_path), names(run)) == (["run"], ["old"])
