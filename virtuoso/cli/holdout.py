"""`virtuoso holdout`: seal a stretch of history from research, list what is sealed, open it for a committed winner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from virtuoso.cli.terminal.command import Answer, Call, verb
from virtuoso.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.research.tracking.holdouts import HoldoutRecord, Opening

app = typer.Typer(help="Hold-outs of studies: seal, list, open.")

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name in configs/studies.")]


@verb(app, "seal", "virtuoso holdout seal demo --timerange 20250110-20250112")
def seal(
    call: Call,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name in configs/studies, or its file.")],
    timerange: Annotated[
        str | None,
        typer.Option("--timerange", metavar="FROM-TO", help="Of a study that names no hold-out itself; UTC."),
    ] = None,
) -> Answer:
    """Seal the hold-out of a study: research in this project no longer reads it."""
    from virtuoso import workflows
    from virtuoso.clock import parse_timerange

    stretch = None
    if timerange is not None:
        start, end = parse_timerange(timerange)
        if start is None or end is None:
            raise ConfigError("A hold-out has two ends. Pass --timerange FROM-TO, such as 20250704-20251031.")
        stretch = start, end
    record = workflows.seal_holdout(study, stretch, settings=call.settings)
    if record is None:
        raise ConfigError(f"Study {study!r} names no holdout. Name one there, or pass --timerange FROM-TO.")
    return Answer(record.to_dict(), lambda: _sealed(record), call.next("holdout list"))


def _sealed(record: HoldoutRecord) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import prose

    one = record.seal
    yield prose(f"sealed: {', '.join(one.symbols)}, {one}. Nothing in research reads it, of any venue and any kind.")
    if record.seen_before:
        runs = "1 run of the ledger" if record.seen_before == 1 else f"{record.seen_before:,} runs of the ledger"
        yield prose(f"{runs} had traded some of it before it was sealed: it is not unseen.")


@verb(app, "list", "virtuoso holdout list")
def list_(call: Call) -> Answer:
    """Show what is sealed, by which study, and every look that was taken."""
    from virtuoso import workflows

    found = workflows.holdouts()
    return Answer({"holdouts": [one.to_dict() for one in found]}, lambda: _listed(found), call.next("data list"))


def _listed(found: list[HoldoutRecord]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import day, heading, table
    from virtuoso.reports.format import whole

    if not found:
        yield "No study of this project has sealed a hold-out."
        return
    headers = ("STUDY", "SYMBOLS", "FROM", "TO", "SEALED", "WINNER", "LOOKS", "SEEN BEFORE")
    rows = (
        (
            one.seal.study, _symbols(one), day(one.seal.start), day(one.seal.end), day(one.seal.at),
            "committed" if one.winner else "none yet", whole(one.looks), whole(one.seen_before),
        )
        for one in found
    )  # fmt: skip
    yield table(headers, rows, left=6)
    for one in found:
        if one.openings:
            yield heading(f"Looks at the hold-out of {one.seal.study}")
            yield from (_look(opening) for opening in one.openings)


def _symbols(record: HoldoutRecord) -> str:
    first, *others = record.seal.symbols
    return (f"{first} and {len(others)} more" if others else first) + (
        ", simulated" if record.seal.is_simulated else ""
    )


def _look(opening: Opening) -> RenderableType:
    from virtuoso.cli.terminal.console import moment, prose

    return prose(
        f"{opening.number}. {moment(opening.at)} by {opening.study}, because {opening.because}: {_came(opening)}"
    )


def _came(opening: Opening) -> str:
    """What came of a look, in words."""
    from virtuoso.reports.format import number, percent, plural

    told = opening.result
    if told is None:
        return "it was stopped before it was done"
    if "failed" in told:
        return f"it failed, {told['failed']}"
    figures = {
        name: float("nan") if told[name] is None else told[name] for name in ("net_return", "sharpe", "deflated")
    }
    return (
        f"{percent(figures['net_return'], 1)} net over {told['days']} days and {told['trades']} trades, Sharpe "
        f"{number(figures['sharpe'])}, deflated by {plural(opening.number, 'look')} {percent(figures['deflated'])}"
    )


@verb(app, "open", 'virtuoso holdout open demo --because "the study is done"')
def open_(
    call: Call,
    study: StudyName,
    because: Annotated[str, typer.Option("--because", metavar="WORDS", help="Why; it is kept for ever.")],
) -> Answer:
    """Trade a sealed hold-out by the committed winner of its study; every look is counted."""
    from virtuoso import workflows
    from virtuoso.config.sources import option_layers

    record, opening, result = workflows.open_holdout(
        study, because, config=call.config, profile=call.profile, layers=option_layers(call.set, call.data),
        data=call.data,
    )  # fmt: skip
    told = {**record.to_dict(), "opening": opening.to_dict()}
    return Answer(told, lambda: _opened(record, opening, result.recorded_lines()), call.next("holdout list"))


def _opened(record: HoldoutRecord, opening: Opening, recorded: list[str]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import prose

    simulated = "SIMULATED DATA  " if record.seal.is_simulated else ""
    yield prose(f"{simulated}{', '.join(record.seal.symbols)}, {record.seal}, look {opening.number}: {_came(opening)}.")
    if opening.number > 1:
        yield prose(
            f"It is look {opening.number} at this stretch: the first was evidence, and of this one only what is left "
            "after deflating by their number."
        )
    if record.seen_before:
        yield prose(f"Before it was sealed, {record.seen_before:,} recorded runs had traded some of it.")
    yield from recorded
