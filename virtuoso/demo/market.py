"""The market of the demo: made from a seed, written as archive files, imported by the road that real data takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from virtuoso import workflows
from virtuoso.config import Settings
from virtuoso.demo.journal import Journal
from virtuoso.files.digest import code_digest
from virtuoso.venues.simulator import record, write_recordings

SIMULATOR = "virtuoso.venues.simulator"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DAYS, SEED = 60, 7
TRADE_DAYS, BOOK_DAYS = 14, 3
"""How many of the last days have every trade and every change of the book: what is large is recorded for a while."""
MARKET = "market.json"
"""What marks a data root as the demo's own, so that it may be made anew."""


def simulate(root: Path, days: int, seed: int, journal: Journal) -> None:
    """Make the market and write its archive files, unless they are there already."""
    with journal.step("simulate", f"virtuoso demo --days {days} --seed {seed}") as step:
        streams = {"trade_days": TRADE_DAYS, "book_days": BOOK_DAYS}
        market = {
            "simulated": True,
            "seed": seed,
            "code": code_digest(modules=[SIMULATOR]),
            "symbols": list(SYMBOLS),
            **streams,
        }
        known = _read_market(root)
        if {**known, "days": 0} == {**market, "days": 0} and known["days"] >= days:
            step.found = f"{known['days']} days are there already, in {root / 'raw'}"
            return
        if known:
            shutil.rmtree(root)  # of another seed, or of a simulator that has changed: it can be made again
        recorded = record(SYMBOLS, days, seed, trade_days=TRADE_DAYS, book_days=BOOK_DAYS)
        files = write_recordings(root / "raw", recorded)
        bars = sum(len(each.bars["open_time"]) for each in recorded.values())
        trades, changes = (sum(len(getattr(each, rows)) for each in recorded.values()) for rows in ("trades", "book"))
        (root / MARKET).write_text(json.dumps({**market, "days": days}, indent=2) + "\n", encoding="utf-8")
        step.found = (
            f"{bars:,} bars, {trades:,} trades, {changes:,} changes of the book of {len(recorded)} coins, "
            f"in {len(files)} files in {files[0].parent}"
        )


def _read_market(root: Path) -> dict[str, Any]:
    path = root / MARKET
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def collect(root: Path, settings: Settings, journal: Journal) -> None:
    """Import the archive files: checksums, units, gaps, quarantine, as with any others."""
    command = f"virtuoso data import {root / 'raw'} --venue simulated --data {root}"
    with journal.step("import", command) as step:
        report = workflows.import_files(root / "raw", venue="simulated", data=root, settings=settings)
        stored = workflows.lake(root).coverage()
        bars, missing = sum(c.bars for c in stored), sum(c.missing for c in stored)
        step.found = f"{report.total('stored'):,} rows stored; the lake holds {bars:,} bars, {missing} are missing"
