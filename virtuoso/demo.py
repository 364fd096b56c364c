"""The demo: the main job from end to end, offline, on a simulated market, by the road that real data takes.

1. `simulate` makes the market of a seed and writes it as archive files: bars, prices, open interest, ratios, funding
   and liquidations of all days, trades and the order book of the last ones.
2. `collect` imports them into a lake of their own, under `simulated/` of the data root: simulated and recorded data
   never share one.
3. `work` scores, explains, backtests and signals each coin with the same verbs that `virtuoso score` and so on call.
4. `publish` writes the pages, the run folders and the signals, whole or not at all.

What Virtuoso cannot do yet is named on the page instead of faked.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virtuoso import workflows
from virtuoso.clock import UNIT_MS, Env, Timeframe, iso, parse_time
from virtuoso.config import Settings
from virtuoso.errors import ConfigError
from virtuoso.files.atomic import Disk
from virtuoso.files.digest import code_digest
from virtuoso.files.json import to_json
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.demo_page import CoinReport, DemoPage
from virtuoso.reports.format import percent
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.write import write_tearsheet
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.runs.read import read_run
from virtuoso.runs.schema import TEARSHEET_HTML
from virtuoso.runs.write import holds_run
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.message.store import SignalFolder
from virtuoso.venues.simulator import START, record, write_recordings

SIMULATOR = "virtuoso.venues.simulator"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DAYS, SEED = 60, 7
TRADE_DAYS, BOOK_DAYS = 14, 3
"""How many of the last days have every trade and every change of the book: what is large is recorded for a while."""
TIMEFRAME = "5m"
"""The base timeframe: the minutes of the lake are folded to it. On minutes themselves, costs are all that one sees."""
SIGNALS_OF_EACH = 10
MARKET, SUMMARY, PAGE = "market.json", "demo.json", "index.html"
"""What marks a folder as the demo's own, so that it may be made anew."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Step:
    """One thing that was done: its name, what came of it, how long it took, and the command that does it alone."""

    name: str
    command: str
    found: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What was found out about one coin."""

    symbol: str
    scores: Scores
    result: PortfolioResult
    signals: Sequence[Signal]


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made.

    Attributes
    ----------
    root : Path
        Data root of the simulated market.
    folder, page : Path
        Where the pages are, and the first of them.
    works : tuple of Work
    steps : sequence of Step
    timeframe : str
    days, seed : int
    """

    root: Path
    folder: Path
    works: tuple[Work, ...]
    steps: Sequence[Step]
    timeframe: str
    days: int
    seed: int

    @property
    def page(self) -> Path:
        """The page to open."""
        return self.folder / PAGE

    @property
    def seconds(self) -> float:
        """How long it all took."""
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "simulated": True,
            "seed": self.seed,
            "days": self.days,
            "timeframe": self.timeframe,
            "data": self.root,
            "page": self.page,
            "seconds": self.seconds,
            "steps": [{"name": s.name, "found": s.found, "seconds": s.seconds} for s in self.steps],
            "symbols": {work.symbol: _facts(work, self.folder) for work in self.works},
        }


def _facts(work: Work, folder: Path) -> dict[str, Any]:
    scores, result = work.scores, work.result
    return {
        "bars": len(scores),
        "last_close_utc": iso(int(scores.close_times[-1])),
        "confluence": float(scores.confluence[-1]),
        "coverage": float(scores.coverage[-1]),
        "trades": len(result.trade_records),
        "total_return": result.metrics["total_return"],
        "buy_and_hold": result.benchmark_metrics["total_return"],
        "signals": [signal.id for signal in work.signals],
        "page": folder / work.symbol / TEARSHEET_HTML,
    }


@dataclass
class Journal:
    """Steps as they happen, told while they do."""

    say: Say
    clock: Env = field(default_factory=Env)
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, command: str) -> Iterator[Step]:
        """Time a step and tell what came of it."""
        step, before = Step(name, command), self.clock.stopwatch()
        yield step
        step.seconds = self.clock.stopwatch() - before
        self.steps.append(step)
        self.say(f"  {len(self.steps)}. {name:<10} {step.seconds:5.1f} s   {step.found}")


def run(
    settings: Settings,
    *,
    days: int = DAYS,
    seed: int = SEED,
    timeframe: str = TIMEFRAME,
    out: str | Path | None = None,
    say: Say = lambda text: None,
) -> Demo:
    """Run the demo.

    Parameters
    ----------
    settings : Settings
    days : int
        Length of the simulated history.
    seed : int
        Of the simulated market: the same seed gives the same market.
    timeframe : str
        The base timeframe of scores and trades.
    out : str or Path, optional
        Folder of the pages; `demo` among the reports if absent. One that an earlier demo made is made anew.
    say : callable, optional
        Told what is being done, line by line.

    Returns
    -------
    Demo

    Raises
    ------
    ConfigError
        A folder that it would write to holds something that no demo made.
    """
    folder = settings.signals.reports / "demo" if out is None else Path(out)
    root = settings.data.root / "simulated"
    for home, marker in ((root, MARKET), (folder, SUMMARY)):
        _insist_on_ours(home, marker)
    say(f"Virtuoso on a SIMULATED market: {len(SYMBOLS)} coins, {days} days of minutes, seed {seed}")
    journal = Journal(say)
    simulate(root, days, seed, journal)
    collect(root, settings, journal)
    works = work(root, timeframe, days, settings, journal)
    made = Demo(root, folder, works, journal.steps, timeframe, days, seed)
    publish(made, settings, journal)
    return made


def _insist_on_ours(folder: Path, marker: str) -> None:
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} holds something that the demo did not make, so it is left alone. Name another folder: "
            "--data for the market, --out for the pages."
        )


# --- 1 the market -----------------------------------------------------------------------------------------------


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


# --- 2 the lake -------------------------------------------------------------------------------------------------


def collect(root: Path, settings: Settings, journal: Journal) -> None:
    """Import the archive files: checksums, units, gaps, quarantine, as with any others."""
    command = f"virtuoso data import {root / 'raw'} --venue simulated --data {root}"
    with journal.step("import", command) as step:
        report = workflows.import_files(root / "raw", venue="simulated", data=root, settings=settings)
        stored = workflows.lake(root).coverage()
        bars, missing = sum(c.bars for c in stored), sum(c.missing for c in stored)
        step.found = f"{report.total('stored'):,} rows stored; the lake holds {bars:,} bars, {missing} are missing"


# --- 3 the work -------------------------------------------------------------------------------------------------


def work(root: Path, timeframe: str, days: int, settings: Settings, journal: Journal) -> tuple[Work, ...]:
    """Score, backtest and signal each coin."""
    start = parse_time(START)
    timerange = f"{start}-{start + days * UNIT_MS['d']}"
    here = f"-i {timeframe} --venue simulated --data {root}"
    with journal.step("score", f"virtuoso score {SYMBOLS[0]} {here}") as step:
        scored = [_score(symbol, timeframe, timerange, root, settings) for symbol in SYMBOLS]
        components = sum(not p.missing for f in scored[0].faces.values() for p in f.components.values())
        step.found = (
            f"{sum(map(len, scored)):,} bars, {components} components on {len(_ladder(scored[0]))} timeframes; "
            + ", ".join(f"{s.frame.instrument.symbol} {s.confluence[-1]:.1f}" for s in scored)
        )
    with journal.step("backtest", f"virtuoso backtest {SYMBOLS[0]} {here}") as step:
        results = [workflows.backtest(scores, settings=settings, data=root, record=False) for scores in scored]
        made = {r.frame.instrument.symbol: percent(r.metrics["total_return"], signed=True) for r in results}
        trades = sum(len(result.trade_records) for result in results)
        step.found = f"{trades} trades; " + ", ".join(f"{symbol} {gained}" for symbol, gained in made.items())
    with journal.step("signals", f"virtuoso signals list {SYMBOLS[0]} {here}") as step:
        issued = [workflows.issued(scores, settings=settings, last=SIGNALS_OF_EACH) for scores in scored]
        step.found = f"the last {sum(map(len, issued))} of them, with levels, insights and provenance"
    return tuple(map(Work, SYMBOLS, scored, results, issued))


def _score(symbol: str, timeframe: str, timerange: str, root: Path, settings: Settings) -> Scores:
    frame = workflows.load(symbol, timeframe, timerange=timerange, data=root, settings=settings)
    scores = workflows.score(frame, settings=settings, cache=workflows.block_cache(root))
    scores.to_parquet(workflows.scores_file(frame, root))
    return scores


def _ladder(scores: Scores) -> list[Timeframe]:
    return [timeframe for timeframe, _ in scores.prism.ladder(scores.frame.timeframe)]


# --- 4 the pages ------------------------------------------------------------------------------------------------


def publish(made: Demo, settings: Settings, journal: Journal) -> None:
    """Write the folder of the demo beside its place, then exchange the two."""
    with journal.step("pages", "virtuoso demo") as step:
        disk = Disk()
        with disk.beside(made.folder, lambda path: path.name.startswith(f".{made.folder.name}.")) as fresh:
            coins = []
            for each in made.works:
                folder = fresh / each.symbol
                _keep_or_save(each.result, made.folder / each.symbol, folder)
                written = [SignalFolder(fresh).save(signal) for signal in each.signals]
                href = f"{each.symbol}/{TEARSHEET_HTML}"
                coins.append(CoinReport(each.scores, TearSheet(read_run(folder)), href, written[::-1]))
            steps = [(done.name, done.found, f"{done.seconds:.1f}", done.command) for done in made.steps]
            page = DemoPage(coins, steps, made.days, made.seed, settings.signals.min_coverage)
            (fresh / PAGE).write_text(page.html(), encoding="utf-8")
            (fresh / SUMMARY).write_text(to_json(made.to_dict()), encoding="utf-8")
            disk.put_in_place(fresh, made.folder)
        step.found = f"{made.page}"


def _keep_or_save(result: PortfolioResult, before: Path, folder: Path) -> None:
    """Write a run folder with its page, or take over the one of an earlier demo that holds this very run."""
    if holds_run(before, result):
        shutil.copytree(before, folder)
    else:
        result.save(folder, finish=lambda fresh: write_tearsheet(fresh, name=folder.name, paper=False))
