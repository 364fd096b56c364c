"""`virtuoso promote`: the winner of a study becomes a file of the project, if it passes the gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from virtuoso.cli.terminal.command import Answer, Call

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.workflows.promotion import Promotion


def promote(
    call: Call,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A study's name, its folder, or last.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the file; that of the study if absent.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it although the gate refuses; the file says so for ever.")
    ] = False,
) -> Answer:
    """Write the winner of a study into configs/, if the gate of promotion lets it pass."""
    from virtuoso import workflows

    done = workflows.promote(run, name, force=force, settings=call.settings)
    weights = done.files[0]
    following = call.next("runs") if weights.parent.name == "strategies" else (
        call.next("config show", config=[str(done.files[1])]) if len(done.files) > 1
        else call.next("config show", set=[f"prism.weights=weights/{weights.name}"])
    )  # fmt: skip
    return Answer(done.to_dict(), lambda: _promoted(done), following)


def _promoted(done: Promotion) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import prose

    simulated = "SIMULATED DATA  " if done.argument.simulated else ""
    if done.certificate.forced:
        yield prose(
            f"{simulated}FORCED past the gate: {done.study} failed {', '.join(done.certificate.failed)}. The file says "
            "so for ever, and so does everything that uses it."
        )
    else:
        yield prose(f"{simulated}{done.study} {done.certificate.words()}.")
    for file in done.files:
        yield f"written: {file}"
    yield f"report: {done.folder / 'study.html'}"
