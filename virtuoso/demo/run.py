"""The main job from end to end, offline, on a simulated market, by the road that real data takes.

1. `simulate` makes the market of a seed and writes it as archive files: bars, prices, open interest, ratios, funding
   and liquidations of all days, trades and the order book of the last ones.
2. `collect` imports them into a lake of their own, under `simulated/` of the data root: simulated and recorded data
   never share one.
3. `work` scores, explains, backtests and signals the coins with the same verbs that `virtuoso score` and so on call.
4. `show` makes the exhibits: what the tool catches, finds and judges.
5. `tune` waits for two short studies (studies.py): one that is refused, and one of a planted effect that is promoted.
6. `publish` writes the page, the run folders and the signals, whole or not at all.

What Virtuoso cannot do yet is named on the page instead of faked.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso import workflows
from virtuoso.clock import UNIT_MS, Timeframe, iso, parse_time
from virtuoso.config import Settings
from virtuoso.demo import exhibits, ideas
from virtuoso.demo.journal import Journal, Say, Step
from virtuoso.demo.market import DAYS, MARKET, SEED, SYMBOLS, collect, simulate
from virtuoso.demo.studies import run_studies
from virtuoso.errors import ConfigError
from virtuoso.files.atomic import Disk
from virtuoso.files.json import to_json
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.laws.certificate import Certificate
from virtuoso.prism.laws.fresh_process import FreshProcess, LostError
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.demo_page import CoinReport, DemoPage
from virtuoso.reports.exhibits import Judged, Leak, OwnIdea, Planted
from virtuoso.reports.format import percent, plural
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.write import write_tearsheet
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.runs.read import read_run
from virtuoso.runs.schema import STUDY_HTML, STUDY_PDF, TEARSHEET_HTML, VERDICT
from virtuoso.runs.write import holds_run
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.message.store import SignalFolder
from virtuoso.venues.simulator import START

TIMEFRAME = "5m"
"""The base timeframe: the minutes of the lake are folded to it. On minutes themselves, costs are all that one sees."""
SIGNALS_OF_EACH = 10
SUMMARY, PAGE = "demo.json", "index.html"
"""The first marks a folder of pages as the demo's own, so that it may be made anew."""
SHIPPED, OWN = "shipped-weights", "own-idea"
"""Run folders of the page."""
STUDIES = "studies"
"""Folder of the studies' own pages."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the shipped weights came to.

    Attributes
    ----------
    scores : sequence of Scores
        One a coin.
    result : PortfolioResult
        Of all coins in one account.
    signals : sequence of sequence of Signal
        The last ones of each coin, oldest first.
    """

    scores: Sequence[Scores]
    result: PortfolioResult
    signals: Sequence[Sequence[Signal]]


@dataclass(frozen=True, slots=True)
class Shown:
    """The exhibits, on the first coin."""

    leak: Leak
    planted: Planted
    own: PortfolioResult


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made.

    Attributes
    ----------
    root : Path
        Data root of the simulated market.
    folder, page : Path
        Where the pages are, and the first of them.
    work : Work
    shown : Shown
    judged : sequence of Judged
    steps : sequence of Step
    timeframe : str
    days, seed : int
    """

    root: Path
    folder: Path
    work: Work
    shown: Shown
    judged: Sequence[Judged]
    steps: Sequence[Step]
    timeframe: str
    days: int
    seed: int

    @property
    def page(self) -> Path:
        """The page to open."""
        return self.folder / PAGE

    @property
    def symbols(self) -> list[str]:
        """The coins."""
        return [scores.frame.instrument.symbol for scores in self.work.scores]

    @property
    def seconds(self) -> float:
        """How long it all took."""
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        result, own = self.work.result, self.shown.own
        return {
            "simulated": True,
            "seed": self.seed,
            "days": self.days,
            "timeframe": self.timeframe,
            "data": self.root,
            "page": self.page,
            "seconds": self.seconds,
            "steps": [{"name": s.name, "found": s.found, "seconds": s.seconds} for s in self.steps],
            "leak": self.shown.leak.to_dict(),
            "planted": self.shown.planted.to_dict(),
            "studies": [one.to_dict() for one in self.judged],
            "own_idea": {**_figures(own), "page": self.folder / OWN / TEARSHEET_HTML},
            "shipped_weights": {**_figures(result), "page": self.folder / SHIPPED / TEARSHEET_HTML},
            "symbols": {s.frame.instrument.symbol: _facts(s, of) for s, of in self._by_coin()},
        }

    def _by_coin(self) -> list[tuple[Scores, Sequence[Signal]]]:
        return list(zip(self.work.scores, self.work.signals, strict=True))


def _figures(result: PortfolioResult) -> dict[str, Any]:
    return {
        "trades": len(result.trade_records),
        "total_return": result.metrics["total_return"],
        "buy_and_hold": result.benchmark_metrics["total_return"],
    }


def _facts(scores: Scores, signals: Sequence[Signal]) -> dict[str, Any]:
    return {
        "bars": len(scores),
        "last_close_utc": iso(int(scores.close_times[-1])),
        "confluence": float(scores.confluence[-1]),
        "coverage": float(scores.coverage[-1]),
        "signals": [signal.id for signal in signals],
    }


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
    frames = load(root, timeframe, days, settings)
    with (  # meanwhile, on another core
        FreshProcess(exhibits.examined, frames[0], at_home=True) as examining,
        ProcessPoolExecutor(1, get_context("spawn")) as others,
    ):
        tuning = others.submit(run_studies, root.resolve(), timeframe, days, settings)
        works = work(frames, root, settings, journal)
        shown = show(works, examining, settings, journal)
        judged = tune(tuning, root, journal)
    made = Demo(root, folder, works, shown, judged, journal.steps, timeframe, days, seed)
    publish(made, settings, journal)
    return made


def _insist_on_ours(folder: Path, marker: str) -> None:
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} holds something that the demo did not make, so it is left alone. Name another folder: "
            "--data for the market, --out for the pages."
        )


# --- the work -------------------------------------------------------------------------------------------------


def load(root: Path, timeframe: str, days: int, settings: Settings) -> list[MarketFrame]:
    """Load each coin."""
    start = parse_time(START)
    span = f"{start}-{start + days * UNIT_MS['d']}"
    return [workflows.load(one, timeframe, timerange=span, data=root, settings=settings) for one in SYMBOLS]


def work(frames: Sequence[MarketFrame], root: Path, settings: Settings, journal: Journal) -> Work:
    """Score and signal each coin, and backtest all of them in one account."""
    here = f"-i {frames[0].timeframe} --venue simulated --data {root}"
    with journal.step("score", f"virtuoso score {SYMBOLS[0]} {here}") as step:
        scored = [_score(frame, root, settings) for frame in frames]
        components = sum(not p.missing for f in scored[0].faces.values() for p in f.components.values())
        step.found = (
            f"{sum(map(len, scored)):,} bars, {components} components on {len(_ladder(scored[0]))} timeframes; "
            + ", ".join(f"{s.frame.instrument.symbol} {s.confluence[-1]:.1f}" for s in scored)
        )
    with journal.step("backtest", f"virtuoso backtest {' '.join(SYMBOLS)} {here}") as step:
        result = workflows.backtest(scored, settings=settings, data=root, record=False)
        made = percent(result.metrics["total_return"], signed=True)
        step.found = f"{plural(len(result.trade_records), 'trade')} of {len(scored)} coins in one account: {made}"
    with journal.step("signals", f"virtuoso signals list {SYMBOLS[0]} {here}") as step:
        issued = [workflows.issued(scores, settings=settings, last=SIGNALS_OF_EACH) for scores in scored]
        step.found = f"the last {sum(map(len, issued))} of them, with levels, insights and provenance"
    return Work(scored, result, issued)


def _score(frame: MarketFrame, root: Path, settings: Settings) -> Scores:
    scores = workflows.score(frame, settings=settings, cache=workflows.block_cache(root))
    scores.to_parquet(workflows.scores_file(frame, root))
    return scores


def _ladder(scores: Scores) -> list[Timeframe]:
    return [timeframe for timeframe, _ in scores.prism.ladder(scores.frame.timeframe)]


# --- the exhibits -----------------------------------------------------------------------------------------------


def show(works: Work, examining: FreshProcess, settings: Settings, journal: Journal) -> Shown:
    """Make the exhibits on the first coin, whose ideas another process examines."""
    frame = works.scores[0].frame
    here = f"{frame.instrument.symbol} -i {frame.timeframe} --venue simulated"
    with journal.step("leak", "vt.verify(frame, prism)") as step:
        leak = exhibits.leak(frame, settings, _certificate(examining, frame))
        step.found = (
            leak.heading + ": " + ", ".join(f"{one.name} {percent(one.made, signed=True)}" for one in leak.believed)
        )
    with journal.step("planted", 'vt.information(scores, ["1h"])') as step:
        planted = exhibits.planted(frame, settings)
        step.found = planted.verdict
    with journal.step("own idea", f"virtuoso backtest {here} --strategy virtuoso.demo.ideas:EmaCross") as step:
        own = exhibits.own(frame, settings)
        made = percent(own.metrics["total_return"], signed=True)
        step.found = f"EmaCross: {plural(len(own.trade_records), 'trade')}, {made}"
    return Shown(leak, planted, own)


def tune(tuning: Future[list[Judged]], root: Path, journal: Journal) -> list[Judged]:
    """Wait for the studies that another process runs; where it was lost, say so."""
    with journal.step("tune", f"cd {root} && virtuoso tune demo --data .") as step:
        try:
            judged = tuning.result()
        except BrokenProcessPool:
            judged = [Judged("demo", reason="the process that tuned was lost, perhaps for want of memory")]
        step.found = "; ".join(f"{one.heading.lower()}: {one.verdict[0].lower()}{one.verdict[1:]}" for one in judged)
    return judged


def _certificate(examining: FreshProcess, frame: MarketFrame) -> Certificate:
    """Return what the other process found; where it was lost, examine here."""
    try:
        found: Certificate = examining.result()
    except LostError:
        return exhibits.examined(frame)
    return found


# --- the pages --------------------------------------------------------------------------------------------------


def publish(made: Demo, settings: Settings, journal: Journal) -> None:
    """Write the folder of the demo beside its place, then exchange the two."""
    with journal.step("pages", "virtuoso demo") as step:
        disk = Disk()
        with disk.beside(made.folder, lambda path: path.name.startswith(f".{made.folder.name}.")) as fresh:
            runs = {SHIPPED: made.work.result, OWN: made.shown.own}
            for name, result in runs.items():
                _keep_or_save(result, made.folder / name, fresh / name)
            for one in made.judged:
                _copy_study(one, fresh / STUDIES / one.name)
            page = _page(made, fresh, settings)
            (fresh / PAGE).write_text(page.html(), encoding="utf-8")
            (fresh / SUMMARY).write_text(to_json(made.to_dict()), encoding="utf-8")
            disk.put_in_place(fresh, made.folder)
        step.found = f"{made.page}"


def _page(made: Demo, fresh: Path, settings: Settings) -> DemoPage:
    """Put the page together; signals are written on the way."""
    trades = made.work.result.trade_records
    gained = trades["pnl"].astype(np.float64)
    coins = []
    for k, (scores, signals) in enumerate(zip(made.work.scores, made.work.signals, strict=True)):
        written = [SignalFolder(fresh).save(signal) for signal in signals]
        mine = gained[trades["instrument"] == k]
        coins.append(CoinReport(scores, len(mine), float(mine.sum()), written[::-1]))
    own = OwnIdea(
        made.work.scores[0].frame.instrument.symbol,
        exhibits.code_of(ideas.EmaCross),
        TearSheet(read_run(fresh / OWN)),
        f"{OWN}/{TEARSHEET_HTML}",
    )
    steps = [(done.name, done.found, f"{done.seconds:.1f}", done.command) for done in made.steps]
    shipped = TearSheet(read_run(fresh / SHIPPED))
    hrefs = {one.name: f"{STUDIES}/{one.name}/{STUDY_HTML}" for one in made.judged if one.folder is not None}
    return DemoPage(
        coins, shipped, f"{SHIPPED}/{TEARSHEET_HTML}", made.shown.leak, made.shown.planted, own, made.judged, hrefs,
        steps, made.days, made.seed, settings.signals.min_coverage,
    )  # fmt: skip


def _copy_study(judged: Judged, folder: Path) -> None:
    """Copy the pages of a study beside the page of the demo."""
    if judged.folder is not None:
        folder.mkdir(parents=True)
        for name in (STUDY_HTML, STUDY_PDF, VERDICT):
            shutil.copyfile(judged.folder / name, folder / name)


def _keep_or_save(result: PortfolioResult, before: Path, folder: Path) -> None:
    """Write a run folder with its page, or take over the one of an earlier demo that holds this very run."""
    if holds_run(before, result):
        shutil.copytree(before, folder)
    else:
        result.save(folder, finish=lambda fresh: write_tearsheet(fresh, name=folder.name, paper=False))
