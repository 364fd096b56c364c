"""The verbs: import, load, score, explain, backtest, sweep, report, verify.

Notebooks call them as `vt.load`, `vt.score` and so on; every command of the command line is a thin caller of one.
Nothing heavy is imported before it is needed.
"""

from virtuoso.workflows.data import checks, event_checks, find, import_files, load
from virtuoso.workflows.paths import Progress, block_cache, lake, scores_file, signal_folder
from virtuoso.workflows.runs import cross_check, report, run_folder, save_run
from virtuoso.workflows.scoring import explain, issued, known_shares, open_interest, save_certificate, score, verify
from virtuoso.workflows.trading import assumptions_needed, backtest, sweep

__all__ = [
    "Progress",
    "assumptions_needed",
    "backtest",
    "block_cache",
    "checks",
    "cross_check",
    "event_checks",
    "explain",
    "find",
    "import_files",
    "issued",
    "known_shares",
    "lake",
    "load",
    "open_interest",
    "report",
    "run_folder",
    "save_certificate",
    "save_run",
    "score",
    "scores_file",
    "signal_folder",
    "sweep",
    "verify",
]
