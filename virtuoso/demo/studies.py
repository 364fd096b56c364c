"""Two short studies of the demo: of the market as it is, and of one into which an effect was planted.

They run in a process of their own. The data root of the demo is the project of the first; the planted market has a data
root in it that is the project of the second, since the gate asks the other symbols of a lake. Ledger of tries, studies
and what is promoted lie there: nothing is written into the project of the user.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from virtuoso import workflows
from virtuoso.clock import UNIT_MS, parse_time
from virtuoso.config import Settings
from virtuoso.demo import exhibits, ideas
from virtuoso.errors import RefusedError, VirtuosoError
from virtuoso.files.atomic import Disk
from virtuoso.project import MARK, VARIABLE
from virtuoso.reports.exhibits import Judged
from virtuoso.research.tuning.result import RESULT, StudyResult
from virtuoso.runs.write import as_parquet
from virtuoso.venues.simulator import START

PLANTED = {"BTCUSDT": "PLANTEDUSDT", "ETHUSDT": "PLANTED2USDT"}
"""Coins into which the effect is planted, and what they are called then; the study knows the first alone."""
PLANTED_BP = 60.0
"""Drift an hour at a score of 100: what a strategy can live on after costs."""
STUDY, PLANTED_STUDY = "demo", "planted"
"""Names of the studies; the second is that of its data root, too."""


def run_studies(root: Path, timeframe: str, days: int, settings: Settings) -> list[Judged]:
    """Run both studies in the demo's data root; what cannot be tuned says why."""
    alone = settings.model_copy(update={"tracking": settings.tracking.model_copy(update={"enabled": False})})
    as_it_is, there = root.resolve(), root.resolve() / PLANTED_STUDY
    _store_planted(as_it_is, there, timeframe, days, alone)
    return [_judged(STUDY, as_it_is, alone), _judged(PLANTED_STUDY, there, alone)]


def _store_planted(root: Path, there: Path, timeframe: str, days: int, settings: Settings) -> None:
    """Plant the effect into some coins and import them into a lake of their own, by the road that files take."""
    start = parse_time(START)
    for coin, symbol in PLANTED.items():
        frame = workflows.load(
            coin, timeframe, start=start, end=start + days * UNIT_MS["d"], data=root, settings=settings
        )
        alone = exhibits.alone(ideas.TradeSize(), clock=timeframe)
        bars = exhibits.plant(frame, workflows.score(frame, alone, settings=settings), PLANTED_BP).base
        known = np.isfinite(bars.columns["close"])
        opened = (bars.first + np.flatnonzero(known)) * bars.timeframe.ms
        columns = {name: values[known] for name, values in bars.columns.items()}
        file = there / "raw" / f"{symbol}-{timeframe}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        Disk().write(file, as_parquet({"open_time": opened, **columns}))
        workflows.import_files(
            file, venue="simulated", symbol=symbol, timeframe=timeframe, data=there, settings=settings
        )


def _judged(name: str, root: Path, settings: Settings) -> Judged:
    """Tune in a project of its own, ask the gate, and promote what passes."""
    (root / MARK).touch()
    os.environ[VARIABLE] = str(root)
    os.chdir(root)
    try:
        found = workflows.tune(name, jobs=1, anyway=True, track=False, settings=settings, data=root)
    except VirtuosoError as refused:
        return Judged(name, reason=str(refused))
    try:
        promoted = workflows.promote(found.folder, settings=settings, data=root).files
    except RefusedError:
        promoted = ()  # the page says what failed
    return _facts(found, tuple(path.relative_to(root).as_posix() for path in promoted))


def _facts(found: StudyResult, promoted: tuple[str, ...]) -> Judged:
    result, verdict, out = found.folder / RESULT, found.verdict, found.outside
    return Judged(
        found.study.name, folder=result, trials=found.n_trials, days=len(found.walk_forward["date"]),
        rounds=tuple((one.round_name, one.inside["sharpe"], one.outside["sharpe"]) for one in found.chosen),
        sharpes=(out["sharpe_return"], out["sharpe_untuned"], out["sharpe_buy_and_hold"]),
        growths=(out["growth_return"], out["growth_untuned"], out["growth_buy_and_hold"]),
        passed=verdict["passed"], asked=verdict["asked"], reasons=tuple(verdict["reasons"]), promoted=promoted,
    )  # fmt: skip
