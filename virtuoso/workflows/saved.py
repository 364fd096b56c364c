"""Runs that were saved: which there are, which one is meant, and several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from virtuoso.config import Settings
from virtuoso.errors import NoDataError
from virtuoso.runs import catalog
from virtuoso.runs.catalog import SavedRun
from virtuoso.runs.schema import TRIALS
from virtuoso.workflows.paths import settings_of

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.reports.compare import RunComparison


def runs_home(settings: Settings | None = None) -> Path:
    """Return the folder in which runs are saved if nobody says otherwise: `runs/` among the reports."""
    return settings_of(settings).signals.reports / "runs"


def list_runs(*, settings: Settings | None = None) -> list[SavedRun]:
    """Return the saved runs of this project, the newest last; damaged and foreign folders with the reason."""
    return catalog.saved_runs(runs_home(settings))


def saved_runs(*, settings: Settings | None = None) -> pd.DataFrame:
    """Return the saved runs of this project as a table, the newest last.

    Returns
    -------
    DataFrame
        Indexed by name: `time` (UTC), `what`, `instruments`, `timeframe`, `start`, `end`, `total_return`,
        `max_drawdown`, `sharpe`, `trades`, `verdict`, `simulated`, `folder`, and `problem` where one cannot be read.
    """
    import pandas as pd

    rows = [run.to_dict() for run in list_runs(settings=settings)]
    names = list(SavedRun.__dataclass_fields__)
    table = pd.DataFrame(rows, columns=names).set_index("name")
    table["time"] = pd.to_datetime(table["time"], unit="ms", utc=True)
    return table


def find_run(run: str | Path, *, settings: Settings | None = None) -> Path:
    """Return the folder of a run.

    Parameters
    ----------
    run : str or Path
        A run folder, its name among the runs, the beginning of it where that fits one, or `last`.
    settings : Settings, optional

    Raises
    ------
    NoDataError
        There is no such run.
    ConfigError
        Several runs begin so.
    """
    return catalog.find_run(runs_home(settings), run)


def compare_runs(*runs: str | Path, settings: Settings | None = None) -> RunComparison:
    """Lay two to five runs side by side.

    Parameters
    ----------
    *runs : str or Path
        As `find_run` takes them.
    settings : Settings, optional

    Raises
    ------
    NoDataError
        There is no such run, or one is a sweep.
    ConfigError
        Fewer or more are named, one of them twice, or a name fits several.
    UnreadableFileError
        A file of a run is not what its name says.
    """
    from virtuoso.reports.compare import RunComparison
    from virtuoso.runs.read import read_run

    folders = [find_run(run, settings=settings) for run in runs]
    for folder in folders:
        if (folder / TRIALS).is_file():
            raise NoDataError(
                f"{folder.name} is a sweep of many configurations. Backtest its best one: virtuoso backtest SYMBOL "
                f"--config {folder / 'best.yaml'}"
            )
    return RunComparison(tuple(read_run(folder) for folder in folders))
