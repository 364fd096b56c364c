"""Processes that write to a lake, and are killed while they do. Run by the tests of E19, E23 and E24.

python -m tests.faults.lake_writers kill FOLDER KIND   one child a step, each killed there
python -m tests.faults.lake_writers rewrite LAKE    new values over and over, one generation each
python -m tests.faults.lake_writers hold LAKE       holds the lock until its input is closed
python -m tests.faults.lake_writers grow LAKE SEED KILLS   adds to a lake of old, killed at chance steps
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from tests.archives import JANUARY, MINUTE, env, flat_bars, minutes
from tests.data.make_old_lake import IMPORTS, digest
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.files.atomic import Disk
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import Events, events_of
from virtuoso.market.gaps import TRADED
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.kinds import KINDS

BTC = Instrument("binance-spot", "BTCUSDT")
M1 = Timeframe("1m")
START = JANUARY + 31 * 1440 * MINUTE - 50 * MINUTE  # fifty minutes of January, fifty of February
N = 100


class KillingDisk(Disk):
    """Kills its own process before a chosen step."""

    def __init__(self, at: int, note: Path) -> None:
        self.left = at
        self.note = note

    def step(self, name: str, path: Path) -> None:
        self.left -= 1
        if self.left == 0:
            self.note.write_text(f"{name} {path.name}")
            os.kill(os.getpid(), signal.SIGKILL)


def put(lake: Lake, price: float, kind: str = BARS) -> None:
    """Write all bars, or all events, with one price; a higher one holds."""
    times, rank = minutes(N, START), int(price) % 30_000
    with lake.writing() as writer:
        if kind == BARS:
            writer.add(Batch(BTC, traded_rows(times, flat_bars([price] * N), MINUTE), M1, rank=rank))
        else:
            made = events_of(KINDS[kind], times, dict.fromkeys(KINDS[kind].columns, [price] * N))
            writer.add(Batch(BTC, made, rank=rank))
        writer.commit()


def prices(lake: Lake, kind: str = BARS) -> set[float]:
    """All prices that a reader sees."""
    if kind != BARS:
        events = lake.events(kind, BTC)
        assert len(events) == N
        return set(np.unique(events[next(iter(KINDS[kind].columns))]).tolist())
    (series,) = lake.manifest().readable()
    rows = lake.read(series)
    assert len(rows) == N
    return set(np.unique(rows.columns["close"]).tolist())


def kill(path: Path, kind: str) -> None:
    """Replace price 1 by price 2, killed at the first step, at the second, ... until it gets through.

    After each kill a reader looks, and another writer goes on. One line of JSON a step.
    """
    put(Lake(path / "base", env=env()), 1.0, kind)
    for at in range(1, 200):
        here = path / str(at)
        shutil.copytree(path / "base", here)
        child = os.fork()
        if child == 0:
            put(Lake(here, env=env(), disk=KillingDisk(at, path / "step")), 2.0, kind)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return
        seen = prices(Lake(here, env=env()), kind)
        left = sorted(p.name for p in here.rglob("*.tmp"))
        put(Lake(here, env=env()), 3.0, kind)
        swept = not list(here.rglob("*.tmp"))
        verified = Lake(here, env=env()).verify()
        told = {"step": (path / "step").read_text(), "seen": sorted(seen), "left": left, "swept": swept}
        told |= {
            "signal": os.WTERMSIG(status),
            "then": sorted(prices(Lake(here, env=env()), kind)),
            "verified": verified.ok,
        }
        print(json.dumps(told), flush=True)


def rewrite(path: Path) -> None:
    """Write one price after another until killed."""
    for price in range(1, 1_000_000):
        put(Lake(path, env=env()), float(price))


def hold(path: Path) -> None:
    """Hold the lock."""
    with Lake(path, env=env()).writing():
        print("holding", flush=True)
        sys.stdin.read()


class CountingDisk(Disk):
    """Counts its steps."""

    steps = 0

    def step(self, name: str, path: Path) -> None:
        self.steps += 1


def add(lake: Lake, k: int) -> None:
    """Add to every series: its last rows again, days later than old code wrote, and one inside history.

    So every kind gets new rows, and rows that come late or change others, in partitions that hold old ones.
    """
    days = 5 * 1440 * MINUTE
    with lake.writing() as writer:
        for series in lake.manifest().readable():
            rows = lake.read(series)
            traded = np.flatnonzero(rows.state == TRADED)
            some = rows.take(traded[[k, *range(-30, 0)]])
            times = some.open_time + np.r_[0, np.full(30, days)]
            volume = some.columns["volume"] + np.r_[k + 1.0, np.zeros(30)]
            columns = {**some.columns, "volume": volume}
            writer.add(Batch(series.instrument, traded_rows(times, columns, series.clock.ms), series.clock))
        for kind in lake.kinds()[1:]:
            for series in lake.manifest(kind).readable():
                events = lake.events(kind, series.instrument)
                some = events.take(np.r_[len(events) // 2, max(len(events) - 20, 0) : len(events)])
                moved = np.r_[k + 1, np.full(len(some) - 1, days)]
                writer.add(
                    Batch(
                        series.instrument,
                        Events(some.kind, some.event_time + moved, some.available_at + moved, some.columns).sorted(),
                    )
                )
        writer.commit()


def ends(lake: Lake) -> dict[str, int]:
    """Time of the last row of each series, ms."""
    return {series.home: series.last for kind in lake.kinds() for series in lake.manifest(kind).readable()}


def known(lake: Lake, until: dict[str, int]) -> dict[str, list[str]]:
    """Digests of all bars and events up to a time, as they were known at the moments at which old code wrote them."""
    found: dict[str, list[str]] = {}
    for kind in lake.kinds():
        for series in lake.manifest(kind).readable():
            found[series.home] = []
            for moment in IMPORTS:
                if kind == BARS:
                    rows = lake.read(series, as_of=moment)
                    old = rows.take(rows.open_time <= until[series.home])
                    values = (old.open_time, old.available_at, old.state, *old.columns.values())
                else:
                    events = lake.events(kind, series.instrument, as_of=moment)
                    some = events.take(events.event_time <= until[series.home])
                    values = (some.event_time, some.available_at, *some.columns.values())
                found[series.home].append(digest(*values))
    return found


def rows_of(lake: Lake) -> dict[str, int]:
    """How many rows of each series are stored."""
    return {series.home: series.rows for kind in lake.kinds() for series in lake.manifest(kind).readable()}


def grow(path: Path, seed: str, kills: str) -> None:
    """Add to a lake over and over, killed before a chance step; at last a writer lives. One line of JSON a writer."""
    chance, now = random.Random(int(seed)), env(IMPORTS[-1] + 86_400_000)
    until = ends(Lake(path))
    old = known(Lake(path), until)
    shutil.copytree(path, path.with_name("counted"))
    counting = CountingDisk()
    add(Lake(path.with_name("counted"), env=now, disk=counting), 0)
    note = path.with_name("step")
    for k in range(int(kills) + 1):
        before, last, at = rows_of(Lake(path)), k == int(kills), chance.randint(1, counting.steps)
        child = os.fork()
        if child == 0:
            add(Lake(path, env=now, disk=Disk() if last else KillingDisk(at, note)), k)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        after, kept = Lake(path, env=now), rows_of(Lake(path, env=now))
        told = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "code": os.waitstatus_to_exitcode(status),
            "step": "" if last else note.read_text(),
            "same": known(after, until) == old,
            "fewer": sorted(home for home, n in before.items() if kept.get(home, 0) < n),
            "more": sum(kept.get(home, 0) > n for home, n in before.items()),
            "damaged": [damage.path for damage in after.verify(quarantine=False).damaged],
            "left": sorted(file.name for file in path.rglob("*.tmp")),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    {"kill": kill, "rewrite": rewrite, "hold": hold, "grow": grow}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
