"""`virtuoso tune`: run a study, or go on with one that was stopped; say what it found out of sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call
from virtuoso.runs.schema import STUDY_HTML

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.research.tuning.estimate import Estimate
    from virtuoso.research.tuning.result import StudyResult

SHOWN = 5


def tune(
    call: Call,
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study of configs/studies/ by its name, or the path of its file.")
    ],
    jobs: options.Jobs = None,
    executor: options.Executor = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", metavar="N", min=1, help="Of all rounds together, in place of the study's."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="Database of the trials; else tracking.studies, else a journal file."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="In place of the study's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and write nothing.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Where data or code changed, begin another study, STUDY-2.")
    ] = False,
    track: Annotated[
        bool | None,
        typer.Option("--track/--no-track", help="Write it to MLflow at its end; tracking.enabled if absent."),
    ] = None,
    no_record: options.NoRecord = False,
) -> Answer:
    """Tune weights, thresholds and parameters by walk-forward; resume what was stopped."""
    from virtuoso import workflows

    again = _options(call)
    with call.progress("tuning") as tick:
        found: Any = workflows.tune(
            study, jobs=jobs, executor=executor, trials=trials, storage=storage, seed=seed, dry_run=dry_run,
            anyway=anyway, record=not no_record, track=track, settings=call.settings, progress=tick, say=call.note,
            options=again,
        )  # fmt: skip
    if dry_run:
        return Answer(found.told_as(), lambda: _estimated(found), call.next("tune", study))
    data = {
        "study": found.study.name, "folder": found.folder / "result", "fresh": found.fresh, "trials": found.n_trials,
        "out_of_sample": found.outside, "winner": found.winner.number, "front": list(found.front),
        "rounds": [
            {"round": one.round_name, "trial": one.number, "in": one.inside, "out": one.outside} for one in found.chosen
        ],
        "result_hash": found.result_hash, "command": found.command, "simulated": found.config["simulated"],
        "verdict": found.verdict,
    }  # fmt: skip
    return Answer(data, lambda: _tuned(found), found.command)


def _options(call: Call) -> list[str]:
    """Return the common options that the winner's command needs as well."""
    return call.next("").split()[1:]


def _estimated(cost: Estimate) -> Iterator[RenderableType]:
    yield repr(cost)


def _tuned(found: StudyResult) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, table
    from virtuoso.reports.format import number, percent, whole

    yield ("SIMULATED DATA  " if found.config["simulated"] else "") + repr(found).strip("<>")
    first = found.study.objectives[0]
    yield heading(f"Winners of the rounds by {first}")
    cells = (
        (one.round_name, whole(one.number), number(one.inside[first], 3), number(one.outside[first], 3))
        for one in found.chosen
    )
    yield table(("ROUND", "TRIAL", "IN SAMPLE", "OUT OF SAMPLE"), cells, left=1)
    out = found.outside
    if len(found.walk_forward["date"]):
        yield heading("Out of sample: days that no winner had seen")
        names = (("tuned", "return"), ("untuned", "untuned"), ("buy and hold", "buy_and_hold"))
        rows = ((name, number(out[f"sharpe_{key}"]), percent(out[f"growth_{key}"], signed=True)) for name, key in names)
        yield table(("", "SHARPE", "RETURN"), rows, left=1)
    if len(found.front) > 1:
        yield prose(f"Pareto front: {len(found.front)} trials; the winner is {found.config['winner_rule']}.")
    judged = found.verdict
    if judged:
        yield ""
        asked = f"{judged['passed']} of {judged['asked']} questions passed, {whole(judged['tries'])} tries"
        yield f"verdict: {judged['decision']} ({asked})"
        yield from (prose(f"- {reason}", 2) for reason in judged["reasons"][:SHOWN])
        if len(judged["reasons"]) > SHOWN:
            yield f"  - and {len(judged['reasons']) - SHOWN} more"
    yield ""
    yield f"result_hash of the winner: {found.result_hash}"
    page = found.folder / "result" / STUDY_HTML
    if page.is_file():
        yield f"page: {page}"
    yield f"run folder: {found.folder / 'result'}/"
    yield "Every trial is a row of trials.parquet and a try in the ledger; winner.yaml holds the best one."
