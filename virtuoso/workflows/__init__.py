"""What users do, each a function: import, load, score, explain, backtest, sweep, report, verify.

Notebooks call them as `vt.load`, `vt.score` and so on; every command of the command line is a thin caller of one.
Each is imported when it is first used, so that loading bars does not wait for statistics and charts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from virtuoso.caller import at_the_door

if TYPE_CHECKING:
    from virtuoso.workflows.data import checks, event_checks, find, import_files, load, set_break
    from virtuoso.workflows.holdout import holdouts, open_holdout, seal_holdout
    from virtuoso.workflows.paths import block_cache, lake, scores_file
    from virtuoso.workflows.promotion import argue, promote
    from virtuoso.workflows.runs import cross_check, report, run_folder, save_run, track, track_promotion, track_study
    from virtuoso.workflows.saved import compare_runs, find_run, list_runs, saved_runs
    from virtuoso.workflows.scoring import (
        explain,
        issued,
        known_shares,
        open_interest,
        save_certificate,
        score,
        score_many,
        signal_folder,
        verify,
    )
    from virtuoso.workflows.trading import assumptions_needed, backtest, sweep
    from virtuoso.workflows.tuning import tune

__all__ = [
    "argue",
    "assumptions_needed",
    "backtest",
    "block_cache",
    "checks",
    "compare_runs",
    "cross_check",
    "event_checks",
    "explain",
    "find",
    "find_run",
    "holdouts",
    "import_files",
    "issued",
    "known_shares",
    "lake",
    "list_runs",
    "load",
    "open_holdout",
    "open_interest",
    "promote",
    "report",
    "run_folder",
    "save_certificate",
    "save_run",
    "saved_runs",
    "score",
    "score_many",
    "scores_file",
    "seal_holdout",
    "set_break",
    "signal_folder",
    "sweep",
    "track",
    "track_promotion",
    "track_study",
    "tune",
    "verify",
]
_MODULES = {
    "data": ("checks", "event_checks", "find", "import_files", "load", "set_break"),
    "holdout": ("holdouts", "open_holdout", "seal_holdout"),
    "paths": ("block_cache", "lake", "scores_file"),
    "promotion": ("argue", "promote"),
    "runs": ("cross_check", "report", "run_folder", "save_run", "track", "track_promotion", "track_study"),
    "saved": ("compare_runs", "find_run", "list_runs", "saved_runs"),
    "scoring": (
        "explain",
        "issued",
        "known_shares",
        "open_interest",
        "save_certificate",
        "score",
        "score_many",
        "signal_folder",
        "verify",
    ),
    "trading": ("assumptions_needed", "backtest", "sweep"),
    "tuning": ("tune",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            found = at_the_door(getattr(import_module(f"{__name__}.{module}"), name))
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
