"""The command line: which verbs there are. Importing this imports no numbers, no tables, no settings."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from virtuoso import __version__
from virtuoso.cli import data, holdout, research, signals, system, venue

EPILOG = """\b
Exit codes: 0 done, 1 unexpected, 2 usage or settings, 3 data, 4 a law is broken,
5 the gate of promotion refused, 130 interrupted.
Errors are two lines on stderr: what is wrong, what to do.
"""

ORDER = (
    "demo",
    "data",
    "score",
    "explain",
    "information",
    "backtest",
    "sweep",
    "tune",
    "holdout",
    "promote",
    "report",
    "runs",
    "calibrate",
    "verify",
    "signals",
    "venue",
    "config",
    "doctor",
)


class InOrder(TyperGroup):
    """Lists the verbs in the order in which a newcomer meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names as --help shows them."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="virtuoso",
    cls=InOrder,
    help="A vectorized, backtest-first research platform for crypto: history, scores, signals, backtests.",
    epilog=EPILOG,
    rich_markup_mode=None,  # plain text: no boxes, and rich is not imported for --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"virtuoso {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.add_typer(data.app, name="data")
research.add_research(app)
app.add_typer(holdout.app, name="holdout")
app.add_typer(signals.app, name="signals")
system.add_system(app)
venue.add_venue(app)
