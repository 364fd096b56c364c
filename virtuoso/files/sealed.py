"""Sealed files: plain arrays that can be made anew, with the sums that tell whether they are what was written.

    magic, length and digest of the head | head: what the file is about, its arrays and their sums | arrays

1. The head is digested, each array is added up: one that is damaged is not believed, and the others still are.
2. A sum is a digest of the sums of rows and columns of its words, at the speed of memory. It guards against decay and
   disks that lie, not against a person.
3. Nothing is parsed before its digest has held. What is read is read, so that a disk that fails is an error like any
   other; only large arrays that are wanted whole are mapped, which takes a tenth of the time. Arrays begin at words.
4. Reading gives None and writing gives False where anything is wrong, whatever it is. What is disposable fails no run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import mmap
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from virtuoso.files.atomic import Disk

MAGIC = b"virtuoso sealed 2\n"
DIGEST = hashlib.sha256().digest_size
LENGTH = 8
WORD = 8
ROW = 512
"""Words that are added up to one sum of a row."""

log = logging.getLogger(__name__)

Anything = NDArray[Any]


def _whole_words(n_bytes: int) -> int:
    return -(-n_bytes // WORD) * WORD


def _bytes_of(array: Anything) -> memoryview:
    return array.data.cast("B") if array.size else memoryview(b"")


def sum_of(array: Anything) -> str:
    """Sum of an array that is contiguous: every flipped bit, and words that changed places, change it."""
    data = _bytes_of(array)
    whole = len(data) // (WORD * ROW) * WORD * ROW
    words = np.frombuffer(data[:whole], np.uint64).reshape(-1, ROW)
    digest = hashlib.sha256(words.sum(axis=0, dtype=np.uint64).data)
    digest.update(words.sum(axis=1, dtype=np.uint64).data)
    digest.update(data[whole:])
    return digest.hexdigest()


@dataclass(slots=True)
class Sealed:
    """A sealed file that is open; its head held.

    Attributes
    ----------
    about : dict
        What the writer noted about it.
    names : tuple of str
        Its arrays.
    """

    about: dict[str, Any]
    names: tuple[str, ...]
    _path: Path
    _file: FileIO
    _arrays: dict[str, tuple[int, str, tuple[int, ...], str]]
    _mapped: mmap.mmap | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def read(self, name: str, out: Anything | None = None) -> Anything | None:
        """Read an array; None where it is not what was written.

        Parameters
        ----------
        name : str
        out : array, optional
            Where to: contiguous, of the same shape and type. What it holds afterwards counts only if it is returned.
        """
        at, dtype, shape, total = self._arrays[name]
        if out is None:
            out = np.empty(shape, dtype)
        if out.shape != shape or out.dtype.str != dtype:
            return None
        try:
            self._file.seek(at)
            if self._file.readinto(_bytes_of(out)) != out.nbytes:
                return None
        except OSError as error:
            log.debug("%s cannot be read: %s", self._path, error)
            return None
        return out if sum_of(out) == total else None

    def map(self, name: str) -> Anything | None:
        """Lay an array over the file; None where it is not what was written.

        It is private and copied on writing: no reader can change what another one sees, or the file. It outlives the
        closing of the file.
        """
        at, dtype, shape, total = self._arrays[name]
        try:
            if self._mapped is None:
                self._mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
            found = np.frombuffer(self._mapped, dtype, math.prod(shape), at).reshape(shape)
        except (OSError, ValueError) as error:
            log.debug("%s cannot be mapped: %s", self._path, error)
            return None
        return found if sum_of(found) == total else None


def opened(path: Path) -> Sealed | None:
    """Open a sealed file; None where there is none, or it is not what was written."""
    with ExitStack() as stack:
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            found = _head_of(path, stack.enter_context(FileIO(handle)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.debug("%s is made anew: %s", path, error)
            return None
        stack.pop_all()  # it stays open
        return found


def _head_of(path: Path, file: FileIO) -> Sealed:
    """Read the head of a file; ValueError where it is not what was written."""
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no file")
    front = file.read(len(MAGIC) + LENGTH + DIGEST)
    length = int.from_bytes(front[len(MAGIC) : len(MAGIC) + LENGTH], "little")
    head = file.read(length) if front.startswith(MAGIC) and length <= found.st_size else b""
    if hashlib.sha256(head).digest() != front[len(MAGIC) + LENGTH :]:
        raise ValueError("its head is not what was written")
    text, arrays, at = json.loads(head), {}, len(front) + length
    for name, dtype, shape, total in text["arrays"]:
        arrays[name] = at, dtype, tuple(shape), total
        at += _whole_words(np.dtype(dtype).itemsize * math.prod(shape))
    return Sealed(text["about"], tuple(arrays), path, file, arrays)


def write(path: Path, about: Mapping[str, Any], arrays: Mapping[str, Anything]) -> bool:
    """Write arrays to a file that appears whole or not at all; say whether the disk took it."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    sums = [(name, array.dtype.str, array.shape, sum_of(array)) for name, array in contiguous.items()]
    head = json.dumps({"about": about, "arrays": sums}).encode()
    front = len(MAGIC) + LENGTH + DIGEST
    head = head.ljust(_whole_words(front + len(head)) - front)
    try:
        with Disk().opened(path, lasting="nothing") as file:
            file.write(MAGIC + len(head).to_bytes(LENGTH, "little") + hashlib.sha256(head).digest() + head)
            for array in contiguous.values():
                file.write(_bytes_of(array))
                file.write(bytes(_whole_words(array.nbytes) - array.nbytes))
    except OSError as error:
        log.debug("%s could not be kept: %s", path, error)
        return False
    return True
