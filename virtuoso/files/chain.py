"""A chain: one file of JSON lines, each with the hash of the one before it, to which lines are only ever added.

    {"number": 1, "before": "", ..., "sha256": "<of this line without this>"}
    {"number": 2, "before": "<sha256 of line 1>", ..., "sha256": "..."}
    {"end": 2, "sha256": "<of line 2>"}

1. The last line says how many there are, so that a line that is missing at the end is found like one in the middle.
   The file `head` beside it holds the last hash: a chain that is gone, or is an older one, is found as well.
2. Both are written whole under another name and renamed, under a lock: no crash of ours leaves half of one. Where it
   came between the two, `head` names a line before the last, which is no fault.
3. What does not hold is an error, never a shorter chain. It guards against accidents, disks and second thoughts;
   whoever writes the whole chain anew is seen by whoever kept a hash of it, such as git.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from virtuoso.errors import BrokenChainError, SealedError
from virtuoso.files.atomic import Disk, writer_lock

HEAD = "head"
LOCK = ".lock"
ABSENT = (FileNotFoundError, NotADirectoryError)
_SEALED = re.compile(r'(?P<text>\{.*), "sha256": "(?P<sha>[0-9a-f]{64})"\}')
Link = dict[str, Any]


class Chain:
    """A file of chained lines.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    disk : Disk, optional
        The file system; tests pass one that fails.
    """

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or Disk()

    @property
    def stamp(self) -> tuple[int, ...]:
        """What changes when the files do; empty where there are none."""
        found = []
        for path in (self.path, self._head):
            with contextlib.suppress(*ABSENT):
                now = path.stat()
                found += [now.st_mtime_ns, now.st_size, now.st_ino]
        return tuple(found)

    @property
    def _head(self) -> Path:
        return self.path.with_name(HEAD)

    def links(self) -> tuple[Link, ...]:
        """Return every line, the oldest first.

        Raises
        ------
        BrokenChainError
            The file cannot be read, or a line of it is torn, missing or not what was written.
        """
        head, data = self._read(self._head), self._read(self.path)  # in this order: the chain is written first
        if data is None and head is None:
            return ()
        if data is None:
            raise self._broken("it is gone")
        links = self._checked(data)
        if head is not None and head.decode(errors="replace").strip() not in {link["sha256"] for link in links}:
            raise self._broken(f"it lacks the line that {self._head.name} names")
        return links

    def _read(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except ABSENT:
            return None
        except OSError as error:
            raise self._broken(f"{path.name} cannot be read: {error.strerror or error}") from None

    def append(self, link: Mapping[str, Any]) -> Link:
        """Add a line.

        Returns
        -------
        dict
            The line, with its number and hashes.

        Raises
        ------
        BrokenChainError
            What is there does not hold: nothing is added to it.
        LockedError
            Another process adds a line.
        """
        self._disk.make_folder(self.path.parent)
        with writer_lock(self.path.with_name(LOCK)):
            before = self.links()
            last = before[-1]["sha256"] if before else ""
            text = json.dumps({"number": len(before) + 1, "before": last, **link}, allow_nan=False)
            sha = hashlib.sha256(text.encode()).hexdigest()
            lines = [json.dumps(one) for one in before] + [f'{text[:-1]}, "sha256": "{sha}"}}']
            lines.append(json.dumps({"end": len(lines), "sha256": sha}))
            self._disk.write(self.path, ("\n".join(lines) + "\n").encode())
            self._disk.write(self._head, f"{sha}\n".encode())
        return {**json.loads(text), "sha256": sha}

    def _checked(self, data: bytes) -> tuple[Link, ...]:
        try:
            *lines, end = data.decode().removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            raise self._broken("it is no text") from None
        links: list[Link] = []
        for number, line in enumerate(lines, 1):
            sealed = _SEALED.fullmatch(line)
            if sealed is None or hashlib.sha256(f"{sealed['text']}}}".encode()).hexdigest() != sealed["sha"]:
                raise self._broken(f"line {number} is not what was written")
            link: Link = json.loads(line)
            if link.get("number") != number or link.get("before") != (links[-1]["sha256"] if links else ""):
                raise self._broken(f"line {number} does not follow the one before it")
            links.append(link)
        last = {"end": len(links), "sha256": links[-1]["sha256"] if links else ""}
        if not data.endswith(b"\n") or end != json.dumps(last):
            raise self._broken(f"its end is torn or missing, after {len(links)} whole lines")
        return tuple(links)

    def _broken(self, why: str) -> SealedError:
        return BrokenChainError(
            f"{self.path} is not what was written: {why}. What it seals is not known, so nothing is read. Bring the "
            f"folder {self.path.parent.name} back as it was, from git or a backup."
        )
