"""Run folders: what went into a run, where it is written, and its tear sheet."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtuoso.config import Settings
from virtuoso.errors import SecretError
from virtuoso.files.atomic import Disk
from virtuoso.files.digest import code_digest
from virtuoso.prism.engine.fingerprint import environment
from virtuoso.prism.prism import Prism
from virtuoso.project import project
from virtuoso.reports.sweep_page import write_sweep_page
from virtuoso.reports.tearsheet.write import write_tearsheet
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.crosscheck.compare import Comparison, compare
from virtuoso.research.sweep.result import SweepResult
from virtuoso.research.tracking.recording import NOTHING_YET, said_if_stopped
from virtuoso.research.tracking.run import Run
from virtuoso.runs.schema import CONFIG, CROSSCHECK, PAGES, SWEEP_HTML, TEARSHEET_HTML, TRIALS
from virtuoso.runs.write import as_json, complete_run, holds_run, is_whole
from virtuoso.signals.declared import Strategy
from virtuoso.signals.message.provenance import config_digest, signal_code_digest
from virtuoso.workflows.paths import NAME_DIGITS, settings_of
from virtuoso.workflows.saved import find_run, runs_home

if TYPE_CHECKING:
    from virtuoso.research.tracking.mlflow import TrackedRun

log = logging.getLogger(__name__)


def config_of_run(settings: Settings) -> dict[str, Any]:
    """Settings that a backtest runs by."""
    config = {name: part for name, part in settings.masked().items() if name in ("prism", "signals", "trading", "risk")}
    del config["signals"]["reports"]  # where things are written changes no result
    return config


def provenance_of_run(prism: Prism | None, settings: Settings, seed: int) -> dict[str, str]:
    """What a run was made of: digests of configuration, prism and code, the seed, and versions."""
    of_prism = {} if prism is None else {
        "config": config_digest(prism, settings.signals),
        "prism": prism.fingerprint,
        "weights": prism.standing,
        "code": signal_code_digest(prism, "virtuoso.workflows.trading"),
    }  # fmt: skip
    return {
        **of_prism,
        "seed": str(seed),
        **{f"version {name}": text for name, text in environment().items()},
    }


def provenance_of_strategy(strategy: Strategy, seed: int) -> dict[str, str]:
    """What a run of a strategy was made of: digests of its code and of ours, the seed, and versions."""
    return {
        "code": code_digest([type(strategy)], ["virtuoso.workflows.trading"]),
        "seed": str(seed),
        **{f"version {name}": text for name, text in environment().items()},
    }


def run_folder(result: PortfolioResult | SweepResult, settings: Settings | None = None) -> Path:
    """Where a run is written if nobody says otherwise: `runs/` among the reports, named by what went into it.

    The same data, configuration, code and terms give the same name, so that a run never meets another one there.
    """
    went_in = hashlib.sha256(as_json(result.provenance) + as_json(result.configuration())).hexdigest()
    first, *others = result.instruments if isinstance(result, PortfolioResult) else (result.frame.instrument,)
    traded = f"{first.venue}_{first.symbol}" + (f"_and_{len(others)}_more" if others else "")
    kind = "_sweep" if isinstance(result, SweepResult) else ""
    name = f"{traded}_{result.timeframe}{kind}_{went_in[:NAME_DIGITS]}"
    return runs_home(settings) / name


def save_run(
    result: PortfolioResult | SweepResult,
    folder: str | Path | None = None,
    *,
    settings: Settings | None = None,
    report: bool = True,
) -> tuple[Path, bool]:
    """Write the run folder of a backtest or a sweep, unless this very run is there already, whole.

    A backtest by the contract gets its tear sheet as well, a sweep what its best one is worth. Both are judged against
    everything that was tried by now; where more was tried since the folder was written, it is judged anew.

    Parameters
    ----------
    result : PortfolioResult or SweepResult
        It is recorded in the ledger of trials first, if that was not done yet.
    folder : str or Path, optional
        See `run_folder` for where it is written if absent.
    settings : Settings, optional
    report : bool
        Whether it gets its page now; `virtuoso report` writes it at any later time, of a backtest with a PDF.

    Returns
    -------
    tuple of Path and bool
        The folder, and whether it was written now.

    Raises
    ------
    ConfigError
        Another run lies in `folder`; a run is never overwritten.
    """
    with said_if_stopped(NOTHING_YET):
        target = run_folder(result, settings) if folder is None else Path(folder)
    known = result.record()
    counted = "The try is in the ledger" if known.recorded else "The try is not recorded"

    def finish(fresh: Path) -> None:
        _judge(result, fresh, target.name, report)

    try:
        if not holds_run(target, result):
            result.save(target, finish=finish)
        elif not is_whole(target, result, without=() if report else PAGES):
            complete_run(result, target, finish=finish)
        else:
            _judge_again(result, target, report)
            _stamp(target)
            return target, False
    except KeyboardInterrupt as stopped:
        there = "is there, whole" if holds_run(target, result) and is_whole(target, result) else "was not written"
        stopped.add_note(f"{counted}; its run folder {target} {there}.")
        raise
    return target, True


def track(result: Run, folder: str | Path, *, settings: Settings | None = None) -> TrackedRun:
    """Write the run folder of a backtest to MLflow.

    A store that is broken or out of reach loses nothing: the answer says why, and so does the result.

    Parameters
    ----------
    result : PortfolioResult
        It says from now on where it is.
    folder : str or Path
        Its run folder.
    settings : Settings, optional
        `tracking.uri` says where.

    Returns
    -------
    TrackedRun
    """
    from virtuoso.research.tracking.mlflow import track_run

    found = _tracked(lambda place: track_run(Path(folder), **place), settings_of(settings))
    result.__dict__["_tracked"] = found
    return found


def track_study(folder: str | Path, *, settings: Settings | None = None) -> TrackedRun:
    """Write a finished study to MLflow: one run, a child for each of its best trials.

    Parameters
    ----------
    folder : str or Path
        Of the study.
    settings : Settings, optional
        `tracking.uri` says where.

    Returns
    -------
    TrackedRun

    Raises
    ------
    NoDataError
        The study is not finished.
    """
    from virtuoso.research.tracking.studies import track_study as write

    return _tracked(lambda place: write(Path(folder), **place), settings_of(settings))


def track_promotion(
    folder: str | Path, written: Path, *, forced: bool = False, settings: Settings | None = None
) -> TrackedRun:
    """Write what was promoted of a study to MLflow, as a child of the study's run.

    Parameters
    ----------
    folder : str or Path
        Of the study.
    written : Path
        The file with its certificate.
    forced : bool
        Whether the gate had refused it.
    settings : Settings, optional
    """
    from virtuoso.research.tracking.studies import track_promotion as write

    return _tracked(lambda place: write(Path(folder), written, forced=forced, **place), settings_of(settings))


def _tracked(write: Callable[[dict[str, Any]], TrackedRun], settings: Settings) -> TrackedRun:
    """Write something to the store of the settings; a password that is not set is a reason, and no error."""
    from virtuoso.research.tracking.mlflow import TrackedRun

    try:
        uri = settings.tracking.uri.reveal("tracking.uri").get_secret_value()
    except SecretError as missing:
        return TrackedRun(reason=str(missing))
    return write({"uri": uri, "root": project().root, "secrets": secrets_of(settings)})


def secrets_of(settings: Settings) -> list[str]:
    """Return the values of the secrets that settings name and that are set: what nothing may be written with."""
    keys = [key for one in settings.exchanges for key in (one.api_key, one.api_secret) if key and not key.missing]
    return [key.reveal("exchanges").get_secret_value() for key in keys]


def _judge(result: Run, folder: Path, name: str, report: bool) -> None:
    """Write what a run is worth into its folder, and its page where that is wanted."""
    result.judge(folder)
    if not report:
        return
    if TEARSHEET_HTML in result.names and not (folder / TEARSHEET_HTML).is_file():
        write_tearsheet(folder, name=name, paper=False)
    if SWEEP_HTML in result.names:  # quick, and the box on it may be new
        write_sweep_page(folder, name=name)


def _judge_again(result: Run, folder: Path, report: bool) -> None:
    """Bring what a whole run folder says of its worth up to date, if it may be written."""
    try:
        _judge(result, folder, folder.name, report)
    except OSError as refused:
        log.warning("not judged anew", extra={"folder": str(folder), "reason": refused.strerror})


def _stamp(folder: Path) -> None:
    """Make a run that was run again the last one, if it may be written; its bytes stay."""
    with contextlib.suppress(OSError):
        os.utime(folder / CONFIG)


def cross_check(result: PortfolioResult, folder: str | Path | None = None) -> Comparison:
    """Trade the intents of a backtest through vectorbt, and name each trade that differs.

    No return is shown, so it is no try.

    Parameters
    ----------
    result : PortfolioResult
    folder : str or Path, optional
        Its run folder, where `crosscheck.json` is written.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        vectorbt is not installed.
    """
    found = compare(result)
    if folder is not None:
        Disk().write(Path(folder) / CROSSCHECK, as_json(found.to_dict()))
    return found


def report(run: str | Path, out: str | Path | None = None, *, settings: Settings | None = None) -> list[Path]:
    """Write the page of a run from its run folder alone: of a backtest with its PDF, of a sweep without one.

    Parameters
    ----------
    run : str or Path
        The run folder, its name below `runs/` among the reports, the beginning of it, or `last`.
    out : str or Path, optional
        Where to write; into the run folder if absent.
    settings : Settings, optional

    Returns
    -------
    list of Path
        The page, and the PDF of a backtest.

    Raises
    ------
    NoDataError
        There is no such run.
    UnreadableFileError
        A file of the run is not what its name says.
    """
    folder = find_run(run, settings=settings)
    return [write_sweep_page(folder, out)] if (folder / TRIALS).is_file() else write_tearsheet(folder, out)
