"""What the lake does to a disk, each a named step, and the lock of the one writer.

A file comes into being whole or not at all: written under a temporary name, flushed, synced, renamed, and the folder
synced after it. Every step passes through `Disk.step`, so that tests can kill the process or fail the disk between
any two of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from virtuoso.errors import LockedError

TEMPORARY = ".tmp"
ASIDE = ".old"
"""Of a folder that stepped aside for a newer one of its name."""
_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)(?P<kind>\.tmp|\.old)")
_LOCK_BYTE = 1 << 30  # far behind the text, which must stay readable while the lock is held


class Disk:
    """The file system as the lake uses it."""

    def step(self, name: str, path: Path) -> None:
        """Be told that a step is about to happen: make, open, write, sync, rename, sync folder, move, remove."""

    def write(self, path: Path, data: bytes, *, settled: bool = True) -> None:
        """Bring a file into being, whole or not at all.

        Parameters
        ----------
        path : Path
        data : bytes
        settled : bool
            Whether its name is durable, too, when this returns; else a power cut may lose the file, never half of it.
        """
        self.make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
        try:
            self.step("open", temporary)
            with temporary.open("wb") as file:
                file.write(data[: len(data) // 2])
                self.step("write", temporary)
                file.write(data[len(data) // 2 :])
                file.flush()
                self.step("sync", temporary)
                os.fsync(file.fileno())
            self.step("rename", path)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if settled:
            self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Make a folder and the folders above it, durably."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        self.step("make", path)
        path.mkdir(exist_ok=True)
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Make a folder's list of names durable."""
        self.step("sync folder", path)
        if sys.platform == "win32":  # a folder cannot be opened there; the rename itself is durable
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def move(self, source: Path, target: Path) -> None:
        """Move a file, if it is still there."""
        self.make_folder(target.parent)
        self.step("move", source)
        with contextlib.suppress(FileNotFoundError):
            source.replace(target)

    def remove(self, path: Path) -> None:
        """Delete a file, if it is still there."""
        self.step("remove", path)
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, is_ours: Callable[[Path], bool] = lambda path: True) -> list[Path]:
    """Remove what writers that were killed left in a folder under temporary names: `.{name}.{pid}.tmp`.

    What stepped aside for a newer one that never came takes its place again.

    Parameters
    ----------
    folder : Path
    is_ours : callable
        Whether a path with such a name was made by Virtuoso.

    Returns
    -------
    list of Path
        What was removed or put back; nothing of a writer that lives.
    """
    removed = []
    with contextlib.suppress(OSError):  # what is disposable never stops anyone
        for path in sorted(folder.glob(".*.*")):
            found = _LEFT.fullmatch(path.name)
            if found is None or not is_ours(path) or is_alive(int(found["pid"])) or _is_held(path):
                continue
            target = folder / found["name"]
            if found["kind"] == ASIDE and not target.exists():
                path.rename(target)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def is_alive(pid: int) -> bool:
    """Whether a process of that number lives; yes where that cannot be told."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let others know for a while that a folder is being written, in containers that do not see this process, too."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system locks folders; the number of the process remains
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _is_held(path: Path) -> bool:
    if sys.platform == "win32":
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the lock of the one writer; the operating system frees it when its owner dies.

    Raises
    ------
    LockedError
        Another process writes; names its pid.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            _lock(file.fileno())
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise LockedError(
                f"{path.parent} is being written by the process with pid {owner}. Wait for it to end, or stop it."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _LOCK_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
