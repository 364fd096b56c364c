"""The journal of a study: Optuna's journal file, with one driver at a time, batches, and repair.

1. A lock file names its owner. Optuna's own locks survive a kill -9; this one is broken as soon as its owner is dead.
   A driver holds it from its first to its last trial: a journal has no heartbeat, so only then is a RUNNING trial of
   anybody else known to be dead.
2. What is written inside a batch reaches the disk at its end at once, with one sync: a generation costs two.
3. A torn last record is cut back to the last line end, and a record that nobody can read is put into
   `journal.quarantine`: neither stops a study for good.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from virtuoso.errors import LockedError, and_more
from virtuoso.files.atomic import Disk
from virtuoso.research.tuning.owner import is_dead, me

PATIENCE = 30.0
"""Seconds for which a storage may be locked before that is an error."""
_CREATE_TRIAL = re.compile(rb'"op_code": ?4\b')
_STUDY = re.compile(rb'"study_id": ?(\d+)')


class OwnedLock(BaseJournalFileLock):
    """A lock file that names who holds it; that of a dead process is broken.

    Parameters
    ----------
    path : Path
        Of the lock.
    patience : float, seconds
        For how long it waits for a living owner.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.path, self.patience = path, patience

    def acquire(self) -> bool:
        """Take it.

        Raises
        ------
        LockedError
            Another process holds it, for longer than we wait.
        """
        end, pause = time.monotonic() + self.patience, 0.01
        while not self._taken():
            owner = self._owner()
            if owner is not None and is_dead(owner):
                self._break(owner)
                continue
            if time.monotonic() >= end:
                raise LockedError(
                    f"{self.path.parent} is in use: {self.path.name} names {owner or 'no process'}, after "
                    f"{self.patience:g} s of waiting. Wait for that driver to end, or stop it; if you know that none "
                    f"runs, delete {self.path}."
                )
            time.sleep(min(pause, max(end - time.monotonic(), 0.0)))
            pause = min(2.0 * pause, 2.0)
        return True

    def release(self) -> None:
        """Give it back, if it is still ours."""
        if self._owner() == me():
            self.path.unlink(missing_ok=True)

    def _taken(self) -> bool:
        """Put a file that says who we are at the place of the lock, whole or not at all."""
        draft = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            draft.write_text(me())
            os.link(draft, self.path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _owner(self) -> str | None:
        """Whose it is; None where it is gone by now."""
        try:
            return self.path.read_text(errors="replace")
        except FileNotFoundError:  # a link that leads nowhere is a lock, too: Optuna's other kind
            return "" if self.path.is_symlink() else None

    def _break(self, owner: str) -> None:
        """Remove the lock of a dead process, unless somebody was quicker and it is another one by now."""
        aside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):
            self.path.rename(aside)
            if aside.read_text(errors="replace") != owner:
                with suppress(FileExistsError):
                    os.link(aside, self.path)
            aside.unlink(missing_ok=True)


class BatchedFile(JournalFileBackend):
    """A journal file that its one driver writes in batches."""

    def __init__(self, path: Path, lock: OwnedLock) -> None:
        super().__init__(str(path), lock)
        self._path = path
        self._waiting: list[dict[str, Any]] | None = None
        self._read = 0

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep what is written until the end of the block, then write it with one sync; nothing of it if that fails."""
        self._waiting = []
        try:
            yield
            waiting, self._waiting = self._waiting, None
            self.append_logs(waiting)
            self._read += len(waiting)
        finally:
            self._waiting = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records, or keep them inside of a batch."""
        if self._waiting is not None:
            self._waiting.extend(logs)
            return
        if not logs:
            return
        before = self._path.stat().st_size
        data = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode()
        try:
            with self._path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.truncate(self._path, before)  # half a batch is none
            raise

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read records from a number on; of the file nothing is read twice inside of a batch."""
        if self._waiting is None or log_number_from < self._read:
            for log in super().read_logs(log_number_from):
                log_number_from += 1
                self._read = max(self._read, log_number_from)
                yield log
        if self._waiting is not None:
            yield from self._waiting[log_number_from - self._read :]


@contextmanager
def opened(path: Path, patience: float, say: Callable[[str], object]) -> Iterator[tuple[JournalStorage, BatchedFile]]:
    """Open a journal as its only driver; mend it where it is damaged.

    Parameters
    ----------
    path : Path
    patience : float, seconds
        For how long another driver is waited for.
    say : callable
        Told in a sentence what was mended.

    Raises
    ------
    LockedError
        Another driver has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = OwnedLock(path.with_name(f"{path.name}.lock"), patience)
    lock.acquire()
    try:
        _cut_torn(path, say)
        backend = BatchedFile(path, lock)
        try:
            storage = JournalStorage(backend)
        except Exception:  # whatever a foreign record makes Optuna raise
            _quarantine(path, say)
            backend = BatchedFile(path, lock)
            storage = JournalStorage(backend)
        yield storage, backend
    finally:
        lock.release()


def quarantine_of(path: Path) -> Path:
    """Where records of a journal go that nobody can read."""
    return path.with_name(f"{path.stem}.quarantine")


def _cut_torn(path: Path, say: Callable[[str], object]) -> None:
    """Cut a journal back to its last line end: what a killed writer left behind it is no record."""
    if not path.is_file():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        _put_aside(path, [data[whole:]])
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
        say(f"The last record of {path.name} was torn; {len(data) - whole:,} bytes of it are in {_name(path)}.")
    last = data[:whole].rstrip(b"\n").rpartition(b"\n")[2]
    if last and not _is_json(last):  # Optuna meets it only when something follows
        _quarantine(path, say)


def _quarantine(path: Path, say: Callable[[str], object]) -> None:
    """Put aside what nobody can read, and write the journal anew without it."""
    kept, foreign = [], []
    feed = _OneByOne()
    storage = JournalStorage(feed)
    for line in path.read_bytes().splitlines():
        if feed.takes(storage, line):
            kept.append(line)
            continue
        foreign.append(line)
        # trials are numbered by their records: without one that is damaged, all later ones would move
        if _CREATE_TRIAL.search(line) and not _is_json(line):
            stand_in = _stand_in(line)
            if feed.takes(storage, stand_in):
                kept.append(stand_in)
    if foreign:
        _put_aside(path, foreign)
        Disk().write(path, b"".join(line + b"\n" for line in kept))
        more = and_more(len(foreign) - 1, "record", before=" and ")
        say(f"A record of {path.name}{more} could not be read and is in {_name(path)} now; the study goes on without.")


class _OneByOne(BaseJournalBackend):
    """Shows a storage one record at a time, to learn which of them it takes."""

    def __init__(self) -> None:
        self._record: list[dict[str, Any]] = []

    def takes(self, storage: JournalStorage, line: bytes) -> bool:
        """Whether a storage can read a record."""
        try:
            self._record = [json.loads(line)]
            storage.get_all_studies()
        except Exception:  # whatever it is, it is not a record of Optuna's
            return False
        finally:
            self._record = []
        return True

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise OSError("A record is only tried here; nothing is written.")


def _stand_in(line: bytes) -> bytes:
    """A failed trial in place of one whose record is damaged."""
    found = _STUDY.search(line)
    record = {
        "op_code": 4, "worker_id": "quarantined", "study_id": int(found[1]) if found else 0, "state": 3,
        "datetime_start": None, "value": None, "values": None, "distributions": {}, "params": {}, "user_attrs": {},
        "system_attrs": {}, "intermediate_values": {},
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":")).encode()


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _put_aside(path: Path, lines: Iterable[bytes]) -> None:
    with quarantine_of(path).open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def _name(path: Path) -> str:
    return quarantine_of(path).name
