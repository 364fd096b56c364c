"""`virtuoso report`: the tear sheet of a run, made again from its run folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtuoso.cli.terminal import complete, options
from virtuoso.cli.terminal.command import Answer, Call

if TYPE_CHECKING:
    from rich.console import RenderableType


def report(
    call: Call,
    run: Annotated[str, typer.Argument(metavar="RUN", help=options.RUN, autocompletion=complete.runs)],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help=options.OUT_FOLDER)] = None,
) -> Answer:
    """Write the page of a run, and the PDF of a backtest; only its run folder is needed."""
    from virtuoso import workflows

    files = workflows.report(run, out, settings=call.settings)
    data = {"run": run, **{file.suffix[1:]: file for file in files}}
    return Answer(data, lambda: _reported(files), call.next("runs"))


def _reported(files: list[Path]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import size

    for file in files:
        yield f"-> {file} ({size(file.stat().st_size)})"
