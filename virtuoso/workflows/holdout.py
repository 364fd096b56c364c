"""Hold-outs: seal one before a study looks at anything, and open it, once, for the winner that was committed.

The seal itself is lake/seal.py, its ledger research/tracking/holdouts.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from virtuoso.account.instrument import Instrument, compact
from virtuoso.account.symbols import symbol_of
from virtuoso.clock import iso
from virtuoso.config import Settings
from virtuoso.config.layers import Layer
from virtuoso.config.sources import read_yaml
from virtuoso.errors import ConfigError, SealedError
from virtuoso.lake.seal import Seal, opened
from virtuoso.prism.registry import prism_from
from virtuoso.project import project
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.tracking.experiments import FOLDER as TRIALS
from virtuoso.research.tracking.experiments import TrialLedger
from virtuoso.research.tracking.holdouts import (
    HoldoutRecord,
    Opening,
    begin_opening,
    commit_winner,
    end_opening,
    holdout_record,
    holdout_records,
    record_or_refuse,
    seal_stretch,
)
from virtuoso.research.tuning.study import Study
from virtuoso.research.validation.overfitting import Moments, deflated_sharpe, psr
from virtuoso.research.validation.robustness import annual
from virtuoso.runs.schema import PROVENANCE
from virtuoso.signals.declared import Strategy, strategy_of
from virtuoso.signals.message.provenance import config_digest
from virtuoso.workflows.data import find, load
from virtuoso.workflows.scoring import score
from virtuoso.workflows.trading import backtest

STUDIES = Path("experiments") / "studies"
"""Where studies lie, from the root of a project."""
WINNER = "winner.yaml"
MOST_SAID = 500
"""Characters that are kept of why a look failed."""

log = logging.getLogger(__name__)


def seal_holdout(
    study: Study | str | Path,
    stretch: tuple[int, int] | None = None,
    *,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> HoldoutRecord | None:
    """Seal the hold-out of a study; from then on nothing in research reads it. `tune` does it before its first trial.

    Parameters
    ----------
    study : Study, str or Path
        Or its name, or its file.
    stretch : tuple of int, ms, optional
        From inclusive, to exclusive: of a study that names no `holdout` itself.
    data : str or Path, optional
    settings : Settings, optional

    Returns
    -------
    HoldoutRecord or None
        What the ledger says of it; None where the study names no hold-out and no stretch is given.

    Raises
    ------
    SealedError
        The study has sealed another stretch, or other symbols.
    ConfigError
        The study tunes on some of the stretch, or names another one than is given.
    """
    told = study if isinstance(study, Study) else Study.read(study)
    named = None if told.holdout is None else (told.holdout.start, told.holdout.end)
    if stretch is not None and named not in (None, stretch):
        raise ConfigError(f"{told.where('holdout')} is another stretch than the one that is given. Leave that out.")
    wanted = named or stretch
    if wanted is None:
        return None
    _refuse_tuned(told, wanted)
    known = holdout_record(told.name)
    instruments = _instruments(told, data, settings)
    seen = 0 if known is not None else _seen(instruments, *wanted)
    seal = seal_stretch(told.name, instruments, *wanted, digest=told.digest, seen_before=seen)
    if known is None:
        log.info("sealed", extra={"study": told.name, "start": iso(seal.start), "end": iso(seal.end)})
    return record_or_refuse(told.name)


def _refuse_tuned(study: Study, stretch: tuple[int, int]) -> None:
    """Refuse a hold-out on which the study itself is tuned."""
    start, end = stretch
    for name, market in study.markets.items():
        if (market.end is not None and market.end > start) and (market.start is None or market.start < end):
            where = "market" if name not in study.scenarios else f"scenarios.{name}"
            raise ConfigError(
                f"{study.where(*where.split('.'))} goes on to {iso(market.end)}, into the hold-out, {iso(start)} to "
                f"{iso(end)}. End it by {iso(start)}, or leave its end out."
            )


def _instruments(study: Study, data: str | Path | None, settings: Settings | None) -> list[Instrument]:
    """All instruments of all markets of a study."""
    found: set[Instrument] = set()
    for market in (study.market, *study.markets.values()):
        for symbol in market.symbols:
            if market.venue is not None:
                found.add(Instrument(market.venue, compact(symbol)))
            else:
                found.add(find(symbol, market.timeframe, data=data, settings=settings))
    return sorted(found)


def _seen(instruments: Iterable[Instrument], start: int, end: int) -> int:
    """How many runs of the ledger of trials traded some of a stretch."""
    sealed = {(symbol_of(one.symbol), one.is_simulated) for one in instruments}
    seen = 0
    for trial in TrialLedger(project().root / TRIALS).trials():
        named = [text.split() for text in trial.instruments]
        traded = {(symbol_of(one[0]), Instrument(one[1], one[0]).is_simulated) for one in named if len(one) == 2}
        seen += trial.first < end and start < trial.stop and not sealed.isdisjoint(traded)
    return seen


def commit(study: str) -> bool:
    """Write down with which winner a study ended, by the hash of its `winner.yaml`; `tune` does it at its end.

    Returns
    -------
    bool
        Whether that is new; never of a study that sealed no hold-out.
    """
    return commit_winner(study, _digest(_winner(study)))


def open_holdout(
    study: str,
    because: str,
    *,
    config: Sequence[str | Path] = (),
    profile: str | None = None,
    layers: Iterable[Layer] = (),
    data: str | Path | None = None,
) -> tuple[HoldoutRecord, Opening, PortfolioResult]:
    """Open the hold-out of a study: its committed winner trades it, and what came of it is written down for ever.

    The look is counted before anything is read, so one that is stopped has been taken. The stretch stays sealed to
    everything else.

    Parameters
    ----------
    study : str
        Its name.
    because : str
        Why it is opened; kept with the look.
    config, profile, layers
        As for `Settings.load`: those that the study ran with. The winner lies above them.
    data : str or Path, optional
        The data root; configuration says it if absent.

    Returns
    -------
    tuple of HoldoutRecord, Opening and PortfolioResult

    Raises
    ------
    NoDataError
        The study has sealed no hold-out.
    SealedError
        Its winner is not the one that was committed, or other settings are in force than when it was found.
    """
    known, file = record_or_refuse(study), _winner(study)
    told = Study.read(_folder(study) / "study.yaml")
    overlay = read_yaml(file, project().root).tree
    own = strategy_of(overlay["strategy"], overlay["parameters"]) if "strategy" in overlay else None
    chosen = Settings.load(*config, *([] if own else [file]), profile=profile, layers=layers)
    if own is None:
        _refuse_changed(study, file.parent, chosen)
    opening = begin_opening(study, because, _digest(file))
    try:
        with opened(known.seal):
            result = _traded(told, known.seal, own, chosen, data)
        figures = {"result_hash": result.result_hash, **_figures(result, opening.number)}
    except BaseException as stopped:
        end_opening(opening, {"failed": f"{type(stopped).__name__}: {stopped}"[:MOST_SAID]})
        raise
    end_opening(opening, figures)
    now = record_or_refuse(study)
    return now, now.own[-1], result


def _folder(study: str) -> Path:
    return project().root / STUDIES / study


def _winner(study: str) -> Path:
    """The file of the winner of a study."""
    file = _folder(study) / "result" / WINNER
    if not file.is_file():
        raise ConfigError(f"Study {study!r} has no winner yet: there is no {file}. Try: virtuoso tune {study}")
    return file


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _refuse_changed(study: str, result: Path, settings: Settings) -> None:
    """Refuse to trade the winner by other settings than those it was found with."""
    told = result / "winner" / PROVENANCE
    before = json.loads(told.read_text(encoding="utf-8")).get("config") if told.is_file() else None
    if before is not None and before != config_digest(prism_from(settings.prism), settings.signals):
        raise SealedError(
            f"The settings in force are not those that the winner of study {study!r} was found with, so nothing was "
            "opened. Pass the --config and --profile of its `virtuoso tune`, or take back what was changed since."
        )


def _traded(
    study: Study, seal: Seal, own: Strategy | None, settings: Settings, data: str | Path | None
) -> PortfolioResult:
    """Trade the sealed stretch by the winner, all instruments of the study on one account."""
    asked = {(symbol, market.venue): market for market in study.markets.values() for symbol in market.symbols}
    frames = [
        load(symbol, market.timeframe, start=seal.start, end=seal.end, venue=venue, data=data, settings=settings)
        for (symbol, venue), market in asked.items()
    ]
    terms: dict[str, Any] = {"inside": "none", **study.terms.given()}  # as the trials were traded
    if own is not None:
        return backtest(frames, own, settings=settings, data=data, seed=study.seed, **terms)
    scores = [score(frame, settings=settings) for frame in frames]
    return backtest(scores, settings=settings, data=data, seed=study.seed, **terms)


def _figures(result: PortfolioResult, looks: int) -> dict[str, Any]:
    """What a look found; what is left of its Sharpe ratio after so many looks."""
    record = Moments.of(result.daily_returns)
    # of looks at one stretch nothing is known but their number: without skill their ratios vary as that of one does
    chance = 1.0 / record.n if record.n else float("nan")
    return {
        "from": iso(result.start_ms),
        "to": iso(int(result.close_times[-1])),
        "days": len(result.daily_returns),
        "trades": len(result.trade_records),
        "net_return": float(result.run.equity[-1]) / result.account.cash - 1.0,
        "sharpe": annual(record.sharpe),
        "probability": psr(record),
        "deflated": deflated_sharpe(record, looks, chance),
    }


def holdouts() -> list[HoldoutRecord]:
    """Return what the ledger says of every hold-out of the project, the oldest first."""
    return holdout_records()
