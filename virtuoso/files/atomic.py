"""Writing to a disk: files and folders that appear whole or not at all, and the lock of the one writer.

A file is written under a temporary name, flushed, synced, renamed, and the folder synced after it. A folder is written
beside its place and renamed at the end. Every step passes through `Disk.step`, so that tests can kill the process or
fail the disk between any two of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from virtuoso.errors import LockedError

TEMPORARY = ".tmp"
ASIDE = ".old"
"""Of a folder that stepped aside for a newer one of its name."""
_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)(?P<kind>\.tmp|\.old)")
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_LOCK_BYTE = 1 << 30  # far behind the text, which must stay readable while the lock is held

Lasting = Literal["name", "bytes", "nothing"]
"""What of a new file survives a power cut once it is written: its name and bytes; its bytes where its name does, never
half of them; nothing for certain, for caches whose files are checked when they are read."""


class Disk:
    """The file system, each thing that is done to it a named step."""

    def step(self, name: str, path: Path) -> None:
        """Do nothing before a step: make, open, write, sync, rename, sync folder, move, remove. Tests override it."""

    def write(
        self, path: Path, data: bytes, *, lasting: Lasting = "name", replace: bool = True, mode: int = 0o666
    ) -> None:
        """Write a file, whole or not at all; the parameters are those of `opened`."""
        with self.opened(path, lasting=lasting, replace=replace, mode=mode) as file:
            file.write(data[: len(data) // 2])
            self.step("write", Path(file.name))
            file.write(data[len(data) // 2 :])

    @contextlib.contextmanager
    def opened(
        self, path: Path, *, lasting: Lasting = "name", replace: bool = True, mode: int = 0o666
    ) -> Iterator[IO[bytes]]:
        """Open a file to be written, which appears whole at the end of the block or not at all.

        What writers that were killed left of the same file is removed.

        Parameters
        ----------
        path : Path
        lasting : str
            What survives a power cut: 'name', 'bytes' or 'nothing'.
        replace : bool
            Whether it takes the place of a file of the same name.
        mode : int
            Permissions, less what the umask takes away.

        Raises
        ------
        FileExistsError
            The name is taken, and the file there is not to be replaced.
        """
        self.make_folder(path.parent, durable=lasting != "nothing")
        remove_leftovers(path.parent, path.name)
        temporary = _temporary(path)
        try:
            self.step("open", temporary)
            with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags | _NOFOLLOW, mode)) as file:
                _hold(file.fileno())
                yield file
                if lasting != "nothing":
                    file.flush()
                    self.step("sync", temporary)
                    os.fsync(file.fileno())
            self.step("rename", path)
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike a rename, a link never replaces what is there
                temporary.unlink()
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if lasting == "name":
            self.sync_folder(path.parent)

    @contextlib.contextmanager
    def beside(self, folder: Path, is_ours: Callable[[Path], bool] = lambda path: True) -> Iterator[Path]:
        """Make a folder beside the place of another, in which that is written before `put_in_place`.

        What writers that were killed left there is removed, and this one at the end of the block if it is still there.

        Parameters
        ----------
        folder : Path
        is_ours : callable
            Whether a path with a temporary name was made by such a writer.
        """
        self.make_folder(folder.parent)
        remove_leftovers(folder.parent, is_ours=is_ours)
        fresh = _temporary(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            self.make_folder(fresh)
            with held(fresh):
                yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def put_in_place(self, fresh: Path, folder: Path) -> None:
        """Rename a finished folder to its name; an older one of that name steps aside first and is removed last."""
        old = _temporary(folder, ASIDE)
        self.step("rename", folder)
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
        self.sync_folder(folder.parent)

    def make_folder(self, path: Path, *, durable: bool = True) -> None:
        """Make a folder and the folders above it."""
        if path.is_dir():
            return
        self.make_folder(path.parent, durable=durable)
        self.step("make", path)
        path.mkdir(exist_ok=True)
        if durable:
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


def _temporary(path: Path, suffix: str = TEMPORARY) -> Path:
    """Return a name beside a path that no other living thread uses."""
    main = threading.current_thread() is threading.main_thread()
    return path.with_name(f".{path.name}.{'' if main else f'{threading.get_ident()}.'}{os.getpid()}{suffix}")


def remove_leftovers(folder: Path, name: str = "", is_ours: Callable[[Path], bool] = lambda path: True) -> list[Path]:
    """Remove what writers that were killed left in a folder under temporary names: `.{name}.{pid}.tmp`.

    What stepped aside for a newer one that never came takes its place again.

    Parameters
    ----------
    folder : Path
    name : str
        Of the file or folder that was to be written; all if empty.
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
            if found is None or not path.name.startswith(f".{name}." if name else "."):
                continue
            if not is_ours(path) or is_alive(int(found["pid"])) or _is_held(path):
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
    """Whether a process of that number lives; yes where nobody can know."""
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
        _hold(handle)
        yield
    finally:
        os.close(handle)


def _hold(handle: int) -> None:
    """Lock what is being written for as long as it is open."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # not every file system has locks; the number of the process remains
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


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
