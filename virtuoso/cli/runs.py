"""`virtuoso runs` and `virtuoso report`: saved runs, one again, several side by side, or the page of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.terminal import complete, options
from virtuoso.cli.terminal.command import Answer, Call
from virtuoso.errors import ConfigError
from virtuoso.runs.schema import RESULT_HASH

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.reports.compare import RunComparison
    from virtuoso.runs.catalog import SavedRun
    from virtuoso.runs.read import RunData

BRIEF_RUNS, BRIEF_DIFFERENCES = 20, 12
LONGEST_VALUE = 24
HASH_DIGITS = 8
"""Of `result_hash` in the list; --json and the run itself give all 64."""


def runs(
    call: Call,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help=f"{options.RUN} All if absent.", autocompletion=complete.runs),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Lay two to five runs side by side, and write them as one page.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Page of --compare; reports/compare.html if absent.")
    ] = None,
) -> Answer:
    """List the runs of this project, show one again, or compare several."""
    from virtuoso import workflows

    said = list(names or ())
    if compare:
        return _compare(call, said, out)
    if out is not None:
        raise ConfigError("--out is where --compare writes its page. Add --compare and the runs to compare.")
    if len(said) > 1:
        raise ConfigError(f"{len(said)} runs are named. Add --compare to lay them side by side, or name one.")
    if said:
        return _one(call, said[0])
    found = workflows.list_runs(settings=call.settings)
    return Answer({"runs": [run.to_dict() for run in found]}, lambda: _listed(call, found), _after_list(call, found))


def _after_list(call: Call, found: list[SavedRun]) -> str:
    """Compare the two newest backtests, show the only one, or make one."""
    whole = [run.short_name for run in found if run.what.startswith("backtest")]
    if len(whole) > 1:
        return call.next("runs --compare", *whole[-2:])
    return call.next("runs last") if whole else call.next("data list")


def _listed(call: Call, found: list[SavedRun]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import table
    from virtuoso.clock import iso
    from virtuoso.reports.format import DASH, number, percent, plural, whole

    if not found:
        yield "There are no runs here yet: `virtuoso backtest SYMBOL` makes one."
        return
    shown = found if call.wants_all else found[-BRIEF_RUNS:]
    readable = [run for run in shown if not run.problem]
    rows = (
        (
            run.short_name,
            iso(run.time)[:16],
            run.what.removeprefix("backtest ") or DASH,
            _traded(run),
            run.timeframe,
            percent(run.total_return, signed=True),
            percent(run.max_drawdown),
            number(run.sharpe),
            whole(run.trades),
            run.verdict or DASH,
            run.result_hash[:HASH_DIGITS] or DASH,
        )
        for run in readable
    )
    if readable:
        heads = (
            "RUN",
            "RUN AT, UTC",
            "WHAT",
            "TRADED",
            "TF",
            "RETURN",
            "MAX DD",
            "SHARPE",
            "TRADES",
            "VERDICT",
            "HASH",
        )
        yield table(heads, rows, left={0, 1, 2, 3, 4, 9, 10})
    yield from (f"{run.name}: {run.problem}" for run in shown if run.problem)
    yield ""
    more = f", the newest {len(shown)} shown; -v lists all" if len(shown) < len(found) else ""
    yield f"{plural(len(found), 'run')}, newest last{more}"


def _traded(run: SavedRun) -> str:
    """The first symbol, and how many more."""
    first, *others = run.instruments or ("",)
    return first.partition(" ")[0] + (f" +{len(others)}" if others else "")


def _one(call: Call, name: str) -> Answer:
    """Show a run again, as it was printed when it was made."""
    from virtuoso import workflows
    from virtuoso.runs.read import read_run
    from virtuoso.runs.schema import TRIALS

    folder = workflows.find_run(name, settings=call.settings)
    following = call.next("report", folder.name)
    if (folder / TRIALS).is_file():
        words = (folder / "summary.txt").read_text(encoding="utf-8").rstrip()
        return Answer(
            {"run": folder.name, "folder": folder}, lambda: [words, f"run folder: {folder}/"], call.next("runs")
        )
    run = read_run(folder)
    data: dict[str, Any] = {"run": run.name, "folder": folder, "facts": run.facts}
    return Answer(data, lambda: _shown(call, run, folder), following)


def _shown(call: Call, run: RunData, folder: Path) -> Iterator[RenderableType]:
    from virtuoso.cli.backtest import judged_lines, where_lines
    from virtuoso.reports.summary import Summary

    yield run.summary if call.wants_all and run.summary else Summary(run).brief()
    yield ""
    yield from judged_lines(folder, everything=call.wants_all)
    yield from [f"{RESULT_HASH}: {run.result_hash}"] if run.result_hash else []
    yield from where_lines(folder, everything=call.wants_all)


def _compare(call: Call, names: list[str], out: Path | None) -> Answer:
    from virtuoso import workflows
    from virtuoso.files.atomic import Disk

    found = workflows.compare_runs(*names, settings=call.settings)
    page = out or call.settings.signals.reports / "compare.html"
    Disk().write(page, found.html().encode())
    data = {
        "runs": dict(found.legend),
        "differences": [row._asdict() for row in found.differences],
        "figures": {run.name: run.figures_of("strategy") for run in found.runs},
        "page": page,
    }
    return Answer(data, lambda: _compared(call, found, page), call.next("report", found.runs[-1].name))


def _compared(call: Call, found: RunComparison, page: Path) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, pairs, prose, table
    from virtuoso.reports.compare import BRIEF

    letters = [letter for letter, _ in found.legend]
    yield from (["SIMULATED DATA"] if found.simulated else [])
    yield pairs(found.legend)
    yield heading("What differs")
    shown = found.differences if call.wants_all else found.differences[:BRIEF_DIFFERENCES]
    cells = ((row.group, row.name, *(_clipped(value) for value in row.values)) for row in shown)
    if shown:
        yield table(("", "NAME", *letters), cells, left=2 + len(letters))
    else:
        yield "Nothing: data, terms, settings and versions are the same."
    if len(shown) < len(found.differences):
        yield f"... and {len(found.differences) - len(shown)} more: -v, or the page"
    yield heading("Figures")
    rows = [(name, *values) for key, name, values in found.figures if call.wants_all or key in BRIEF]
    yield table(("", *letters), rows)
    yield ""
    yield prose(found.basis)
    yield f"page: {page}"


def _clipped(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 3]}..."


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
