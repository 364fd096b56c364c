"""A power cut at any moment of a write leaves the old generation or the new one, whole.

Every operation on the file system is noted where Python hands it to the system (`os`), in order. What a cut leaves is
made anew from the folder as it was before and the operations until the cut:

- what was written to a file is there if the file was synced, else nothing of it;
- a name that was made, changed or removed is so for certain once its folder was synced. Before that it may or may not
  be: every combination is tried.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.archives import JANUARY, MINUTE, env, flat_bars, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import events_of
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.kinds import KINDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the names of open files under /proc")

BTC = Instrument("binance-spot", "BTCUSDT")
M1 = Timeframe("1m")
START = JANUARY + 31 * 1440 * MINUTE - 50 * MINUTE  # fifty minutes of January, fifty of February
KINDS_WRITTEN = (BARS, "open_interest")


@dataclass(frozen=True)
class Operation:
    """What the system was asked for: to sync a file or a folder, to make a folder, to rename or to remove."""

    name: str
    path: Path
    target: Path | None = None
    data: bytes = b""

    @property
    def folders(self) -> set[Path]:
        """Folders whose lists of names it changes."""
        return {path.parent for path in (self.path, self.target) if path is not None}


@contextmanager
def noted() -> Iterator[list[Operation]]:
    """Note what `os` is asked for, after it was done."""
    done: list[Operation] = []

    def after(real, note):
        def asked(first, *others, **options):
            answer = real(first, *others, **options)
            done.append(note(first, *others))
            return answer

        return asked

    def sync(handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        return Operation("sync folder", path) if path.is_dir() else Operation("sync", path, data=path.read_bytes())

    def rename(source, target, *_):
        return Operation("rename", Path(source), Path(target))

    notes = {
        "fsync": sync, "replace": rename, "rename": rename,
        "mkdir": lambda path, *_: Operation("make", Path(path)),
        "unlink": lambda path, *_: Operation("remove", Path(path)),
        "remove": lambda path, *_: Operation("remove", Path(path)),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        for name, note in notes.items():
            patched.setattr(os, name, after(getattr(os, name), note))
        yield done


def cuts(done: list[Operation]) -> Iterator[tuple[int, list[Operation]]]:
    """Each moment of a write, and each list of operations that a power cut at that moment may leave behind."""
    for moment in range(len(done) + 1):
        happened = done[:moment]
        doubtful = [
            operation
            for i, operation in enumerate(happened)
            if not operation.name.startswith("sync")
            and not any(later.name == "sync folder" and later.path in operation.folders for later in happened[i:])
        ]
        for lost in itertools.product((False, True), repeat=len(doubtful)):
            gone = {id(operation) for operation in itertools.compress(doubtful, lost)}
            yield moment, [operation for operation in happened if id(operation) not in gone]


def tree_of(root: Path) -> dict[Path, bytes | None]:
    """Everything below a folder: what is in each file, None for a folder."""
    return {path.relative_to(root): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}


def left_behind(operations: list[Operation], before: dict, root: Path) -> dict[Path, bytes | None]:
    """What the operations make of a tree; they were noted below `root`."""
    tree = {Path(): None, **before}
    for operation in operations:
        path = operation.path.relative_to(root)
        if path.parent not in tree:
            continue  # the folder itself was lost
        if operation.name == "make":
            tree[path] = None
        elif operation.name == "sync":
            tree[path] = operation.data
        elif operation.name == "remove":
            tree.pop(path, None)
        elif operation.target is not None and (target := operation.target.relative_to(root)).parent in tree:
            tree[target] = tree.pop(path, b"")  # without a sync before, a name for nothing
    return tree


def laid_out(tree: dict[Path, bytes | None], at: Path) -> Lake:
    """Open a lake of a tree."""
    for path, data in sorted(tree.items()):
        if data is None:
            (at / path).mkdir(parents=True)
        else:
            (at / path).write_bytes(data)
    return Lake(at, env=env())


def put(lake: Lake, price: float) -> None:
    """Write bars and open interest of two months at one price, of which a higher one holds; one row is refused."""
    times = minutes(100, START)
    bars = traded_rows(times, flat_bars([price] * 100), MINUTE)
    interest = events_of(KINDS[KINDS_WRITTEN[1]], times, dict.fromkeys(KINDS[KINDS_WRITTEN[1]].columns, [price] * 100))
    refused = RejectedRows(rows=[7], reasons=["not_finite"], open_times=[START], raw=[f"NaN at {price}"])
    with lake.writing() as writer:
        source = (f"{price}.csv", "0" * 64, 101)
        writer.add(Batch(BTC, bars, M1, refused=refused, source=source, rank=int(price)))
        writer.add(Batch(BTC, interest, rank=int(price)))
        writer.commit()


def seen(lake: Lake, kind: str) -> tuple[str, int]:
    """Digest of all that a reader finds of a kind, revisions and quarantine too, and the generation it found."""
    manifest, found = lake.manifest(kind), hashlib.sha256()
    for series in manifest.readable():
        rows = lake.read(series) if kind == BARS else lake.events(kind, BTC)
        for values in (rows.available_at, *(rows.columns[name] for name in sorted(rows.columns))):
            found.update(values.tobytes())
        for version, at in lake.revisions(series) if kind == BARS else lake.event_revisions(series):
            found.update(at.tobytes() + b"".join(version.columns[name].tobytes() for name in sorted(version.columns)))
        for entry in series.quarantine:
            found.update((lake.path / entry.path).read_bytes())
    return found.hexdigest(), manifest.generation


@pytest.fixture(scope="module", params=["the first write", "a write over another"])
def written(request, tmp_path_factory) -> dict:
    """A write, what it asked of the system, and the folder before it."""
    folder = tmp_path_factory.mktemp("cut")
    lake = Lake(folder / "lake", env=env())
    lake.path.mkdir()
    if request.param != "the first write":
        put(lake, 1.0)
    old = {kind: seen(Lake(lake.path, env=env()), kind) for kind in KINDS_WRITTEN}
    before = tree_of(lake.path)
    with noted() as done:
        put(lake, 2.0)
    new = {kind: seen(Lake(lake.path, env=env()), kind) for kind in KINDS_WRITTEN}
    return {"folder": folder, "root": lake.path, "before": before, "done": done, "old": old, "new": new}


def test_a_power_cut_leaves_one_generation_whole(written, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # of those who come after the cut nobody asks it
    done, known = written["done"], {}
    for moment, operations in cuts(done):
        tree = left_behind(operations, written["before"], written["root"])
        key = frozenset(tree.items())
        if key not in known:
            here = written["folder"] / f"cut {len(known)}"
            lake = laid_out(tree, here)
            known[key] = {kind: seen(lake, kind) for kind in KINDS_WRITTEN}
            put(Lake(here, env=env()), 2.0)  # and the next writer completes it
            again = {kind: seen(Lake(here, env=env()), kind)[0] for kind in KINDS_WRITTEN}
            assert again == {kind: digest for kind, (digest, _) in written["new"].items()}, done[moment - 1]
            shutil.rmtree(here)
        for kind in KINDS_WRITTEN:
            assert known[key][kind] in (written["old"][kind], written["new"][kind]), (kind, done[moment - 1])
        if moment == len(done):  # the writer was told that all is stored
            assert known[key] == written["new"]
    assert len(known) > 30
    assert {operation.name for operation in done} >= {"sync", "rename", "sync folder", "make"}
