"""What the lake does to a disk, each a named step, and the lock of the one writer.

A file comes into being whole or not at all: written under a temporary name, flushed, synced, renamed, and the folder
synced after it. Every step passes through `Disk.step`, so that tests can kill the process or fail the disk between
any two of them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from virtuoso.errors import LockedError

TEMPORARY = ".tmp"
_LOCK_BYTE = 1 << 30  # far behind the text, which must stay readable while the lock is held


class Disk:
    """The file system as the lake uses it."""

    def step(self, name: str, path: Path) -> None:
        """Be told that a step is about to happen: make, open, write, sync, rename, sync folder, move, remove."""

    def write(self, path: Path, data: bytes) -> None:
        """Bring a file into being, whole or not at all."""
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
