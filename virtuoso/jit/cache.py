"""Compiled kernels are kept between runs, and forgotten when anything changes that went into them.

1. A file holds one form of one kernel and is named by a digest of all that went into it: the code and constants of the
   kernel and of all it reaches (files/digest.py), the types of its arguments, the compiler, its switches and the
   machine. There is no index: two processes that compile at the same moment write different files, or the same one
   twice.
2. A file says the digest of what it holds, together with its name. Both are looked at before anything is unpickled:
   what is damaged, cut, or lies under another name is compiled anew, and written anew.
3. Unpickling runs code. So the folder is ours alone (mode 0700), and a file is taken only if it is a plain file that
   belongs to us and that nobody else may write. Otherwise nothing is kept, and that is said once.
4. Comments and docstrings are not compiled, so they change nothing.

Of numba's inside this uses what `Dispatcher` asks of its cache, and the two methods by which a compiled form is taken
apart and put together. Where a version of numba has them no longer, kernels are compiled at every start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import platform
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from virtuoso.files.atomic import Disk
from virtuoso.files.digest import compiled_digest

MAGIC = b"virtuoso kernel 1\n"
DIGEST = hashlib.sha256().digest_size
NAME_DIGITS = 32
SWITCHES = (
    "OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DISABLE_INTEL_SVML", "USING_SVML",
    "DEBUGINFO_DEFAULT", "LLVM_REFPRUNE_PASS", "CPU_NAME", "CPU_FEATURES",
)  # fmt: skip
"""Settings of numba that change the code it makes."""
FORGOTTEN_S = 7 * 86_400
"""Age beyond that of a new form at which one that nobody has read since is removed."""
TOUCHED_S = 86_400
"""How old the mark of the last reading may be."""
_OURS_ALONE = 0o700
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger(__name__)


class KeptKernels:
    """The forms of one kernel that were compiled, on disk: what numba's dispatcher asks of its cache.

    Parameters
    ----------
    function : function
        What is compiled.
    options : mapping
        How.
    """

    def __init__(self, function: FunctionType, options: object) -> None:
        self._function, self._options = function, options
        self._stamp: str | None = None
        self._stamped = False

    @property
    def cache_path(self) -> str | None:
        """Folder of the files; None where nothing is kept."""
        found = folder()
        return None if found is None else str(found)

    def enable(self) -> None:
        """Nothing to do: it always is."""

    def disable(self) -> None:
        """Compile from now on."""
        self._stamp, self._stamped = None, True

    def flush(self) -> None:
        """Nothing to do: what is out of date has another name."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Give the form for the types of some arguments; None where it has to be compiled."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        data = None if path is None else _read(path)
        if path is None or data is None:
            _say_compiling()
            return None
        try:
            from numba.core.compiler import CompileResult

            made: Any = CompileResult._rebuild(target_context, *pickle.loads(data))  # type: ignore[no-untyped-call]
        except Exception as error:  # it was whole, so it is of another numba than it says: whatever that raises
            log.debug("%s cannot be put together: %s", path, error)
            return None
        return made if tuple(made.signature.args) == tuple(_arguments(sig)) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a form, where it can be and the disk takes it."""
        if data.library.has_dynamic_globals or data.lifted:  # holds addresses of this process
            return
        path = self._path(sig, data.codegen)
        if path is None:
            return
        from numba.core.serialize import dumps

        _write(path, dumps(data._reduce()))  # type: ignore[no-untyped-call]

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        place = folder()
        if place is None:
            return None
        if not self._stamped:  # late: what is called is defined by now
            self._stamp = compiled_digest(self._function, (_compiler(), self._options))
            self._stamped = True
        if self._stamp is None:
            return None
        form = [_told(argument) for argument in _arguments(sig)]
        if any(" at 0x" in text for text in form):  # a function of this process
            return None
        what = hashlib.sha256(repr((self._stamp, form, codegen.magic_tuple())).encode()).hexdigest()
        name = f"{self._function.__module__}.{self._function.__qualname__}".replace("<", "").replace(">", "")
        return place / f"{name[-80:]}.{what[:NAME_DIGITS]}.nbc"


@cache
def _say_compiling() -> None:
    """Say once, to somebody who waits at a prompt or in a notebook, why nothing seems to happen."""
    if hasattr(sys, "ps1") or "ipykernel" in sys.modules:
        print("Virtuoso compiles kernels for this machine, once: up to half a minute.", file=sys.stderr, flush=True)


def _arguments(sig: Any) -> tuple[Any, ...]:
    """Types of the arguments, of a signature or as they are."""
    return tuple(getattr(sig, "args", sig))


def _told(kind: Any) -> str:
    """Describe a type in full: numba leaves out the names of fields, and which class it is that has them."""
    made = getattr(kind, "instance_class", None)
    members = {name: member.value for name, member in getattr(made, "__members__", {}).items()}
    inner = getattr(kind, "types", None)
    parts = [_told(part) for part in inner] if isinstance(inner, tuple) else []
    return f"{kind!r} {getattr(kind, 'fields', '')} {made} {members} {parts}"


@cache
def _compiler() -> tuple[object, ...]:
    """What compiles: versions, switches, and our own ways of asking for it."""
    from importlib.metadata import version

    from numba.core import config

    asked = hashlib.sha256(Path(__file__).with_name("kernel.py").read_bytes()).hexdigest()
    switches = tuple((name, repr(getattr(config, name, None))) for name in SWITCHES)
    versions = *(version(name) for name in ("numba", "llvmlite", "numpy")), sys.version
    return MAGIC, asked, versions, switches, platform.machine(), sys.platform


@cache
def usable() -> bool:
    """Whether this numba has what a cache of its compiled forms needs."""
    try:
        from numba.core.compiler import CompileResult
        from numba.core.dispatcher import Dispatcher
        from numba.core.serialize import dumps
    except ImportError:
        return False
    parts = callable(dumps) and hasattr(CompileResult, "_reduce") and hasattr(CompileResult, "_rebuild")
    return parts and hasattr(Dispatcher, "enable_caching")


@cache
def folder() -> Path | None:
    """Where kernels are kept: the first place that is ours alone; None where there is none.

    `NUMBA_CACHE_DIR` where it is set; else beside the code, so that what belongs to a checkout goes with it; else the
    user's folder for caches.
    """
    refused = []
    for place in _places():
        why = _refused(place)
        if why is None:
            return place
        refused.append(f"{place} {why}")
    log.warning(
        "Compiled kernels are not kept, so every start compiles for half a minute: %s. Set NUMBA_CACHE_DIR to a folder "
        "that you own.",
        "; ".join(refused),
    )
    return None


def _places() -> Iterator[Path]:
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        yield Path(named).absolute() / "virtuoso-kernels"
        return
    yield Path(__file__).resolve().parent / "__pycache__" / "kernels"
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    with suppress(RuntimeError):  # there may be no home
        yield (Path(home) if home else Path.home() / ".cache") / "virtuoso" / "kernels"


def _refused(place: Path) -> str | None:
    """Make a folder that is ours alone; say why it cannot be used."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            place.mkdir(mode=_OURS_ALONE)
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return "is no folder"
        if hasattr(os, "geteuid"):
            if found.st_uid != os.geteuid():
                return "belongs to another user"
            if stat.S_IMODE(found.st_mode) != _OURS_ALONE:
                place.chmod(_OURS_ALONE)  # what others may have left there is looked at file by file
    except OSError as error:
        return f"cannot be used ({error.strerror or error})"
    return None if os.access(place, os.R_OK | os.X_OK) else "cannot be read"


def _read(path: Path) -> bytes | None:
    """Read what a file holds; None where it is not ours, or not what was written under this name."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not _trusted(found):
                log.warning("%s is not taken: it belongs to another user, or others may write it.", path)
                return None
            data = file.read()
        front = len(MAGIC) + DIGEST
        if not data.startswith(MAGIC) or data[len(MAGIC) : front] != _digest(path, data[front:]):
            log.debug("%s is compiled anew: it is not what was written.", path)
            return None
        _touch(path, found)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.debug("%s cannot be read: %s", path, error)
        return None
    return data[front:]


def _trusted(found: os.stat_result) -> bool:
    ours = not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE)
    return stat.S_ISREG(found.st_mode) and ours


def _digest(path: Path, data: bytes) -> bytes:
    """Digest of a name and what lies under it."""
    return hashlib.sha256(path.name.encode() + b"\0" + data).digest()


def _touch(path: Path, found: os.stat_result) -> None:
    """Mark a file as read: the marks of its folder tell what has not been used for long."""
    newest = path.parent.stat().st_mtime
    if newest - found.st_mtime > TOUCHED_S:
        with suppress(OSError):
            os.utime(path)


def _write(path: Path, data: bytes) -> None:
    """Bring a file into being, whole or not at all; a disk that refuses costs time, nothing else."""
    try:
        Disk().write(path, MAGIC + _digest(path, data) + data, lasting="nothing", mode=0o600)
        _sweep(path)
    except OSError as error:
        log.debug("%s could not be kept: %s", path, error)


def _sweep(path: Path) -> None:
    """Remove forms of a kernel that have not been read for long."""
    now = path.stat().st_mtime
    base = path.name.rsplit(".", 2)[0]
    for other in path.parent.glob(f"{base}.*"):
        with suppress(OSError):
            if now - other.stat().st_mtime > FORGOTTEN_S:
                other.unlink()
