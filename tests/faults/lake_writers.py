"""Processes that write to a lake, and are killed while they do. Run by the tests of E19, E23 and E24.

python -m tests.faults.lake_writers kill FOLDER KIND   one child a step, each killed there
python -m tests.faults.lake_writers rewrite LAKE    new values over and over, one generation each
python -m tests.faults.lake_writers hold LAKE       holds the lock until its input is closed
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from tests.archives import JANUARY, MINUTE, env, flat_bars, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.files.atomic import Disk
from virtuoso.lake.lake import Lake
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import events_of
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
    """Write all bars, or all events, with one price."""
    times = minutes(N, START)
    with lake.writing() as writer:
        if kind == BARS:
            writer.add(Batch(BTC, traded_rows(times, flat_bars([price] * N), MINUTE), M1))
        else:
            writer.add(Batch(BTC, events_of(KINDS[kind], times, dict.fromkeys(KINDS[kind].columns, [price] * N))))
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


if __name__ == "__main__":
    {"kill": kill, "rewrite": rewrite, "hold": hold}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
