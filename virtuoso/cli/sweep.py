"""`virtuoso sweep`: many configurations at once, and what the best of so many is worth."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.backtest import CONTRACT, recording_of, scores_of
from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call
from virtuoso.cli.terminal.context import about, next_about
from virtuoso.cli.terminal.named import strategy_named
from virtuoso.errors import ConfigError
from virtuoso.runs.schema import SWEEP_HTML

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.research.sweep.result import SweepResult
    from virtuoso.research.validation.robustness import Robustness


def sweep(
    call: Call,
    symbol: options.Symbol,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    strategy: options.Strategy = None,
    param: options.Param = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="NAME=VALUES",
            help="Values of a parameter: 5:50, 20:200:5 (without the end) or 60,65,70; repeatable: all combinations.",
        ),
    ] = None,
    configurations: Annotated[
        int,
        typer.Option("--configurations", metavar="N", min=1, help="How many to draw; the first as it is."),
    ] = 1_000,
    seed: options.Seed = 0,
    by: Annotated[str, typer.Option("--by", metavar="FIGURE", help="What they are ranked by.")] = "sharpe",
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many are shown.")] = 5,
    cash: options.Cash = None,
    risk: options.Risk = None,
    leverage: options.Leverage = None,
    fees: options.Fees = None,
    maker: options.Maker = None,
    taker: options.Taker = None,
    slippage: options.Slippage = None,
    mark: options.Mark = None,
    assume_funding: options.AssumeFunding = None,
    halt: options.Halt = False,
    reset_halt: options.ResetHalt = None,
    fills: options.Fills = CONTRACT,
    no_record: options.NoRecord = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help=options.OUT_FOLDER)] = None,
) -> Answer:
    """Try many parameters, or weights and thresholds; say what the best of them is worth."""
    from virtuoso import workflows
    from virtuoso.research.tracking.recording import NOTHING_YET, said_if_stopped

    told = {
        "cash": cash, "risk": risk, "leverage": leverage, "fees": fees, "maker": maker, "taker": taker,
        "slippage": slippage, "mark": mark, "assume_funding": assume_funding, "halt": halt or None,
        "reset_halt": reset_halt,
    }  # fmt: skip
    terms: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    own, tried = strategy_named(strategy, param), grid_of(grid) if grid else configurations
    with said_if_stopped(NOTHING_YET):
        if own is None:
            market: Any = scores_of(call, symbol, timeframe, timerange, venue)
        else:
            market = workflows.load(symbol, timeframe, timerange=timerange, venue=venue, settings=call.settings)
    with call.progress("sweeping") as tick:
        result = workflows.sweep(
            market, *([tried] if own is None else [own, tried]), settings=call.settings, seed=seed, fills=fills, by=by,
            record=not no_record, progress=tick, **terms,
        )  # fmt: skip
    folder, fresh = workflows.save_run(result, out, settings=call.settings)
    honesty = result.honesty(result.chosen)
    if not fresh:
        call.note(f"This very sweep is there already, in {folder}; it was only judged anew.")
    data = {
        **about(result.frame), "configurations": len(result), "fills": fills, "ranked_by": by, "halt": result.halt,
        "result_hash": result.result_hash, "best": list(result.lines(top)), "honesty": dict(_told(honesty)),
        "folder": folder, "fresh": fresh, "recording": recording_of(result),
    }  # fmt: skip
    # a sweep knows no finer bars: the same trades need none
    told = {"timerange": timerange, "inside": "none", **terms}
    if own is None:
        full = next_about(call, "backtest", result.frame, fills=fills, **told)
        following = f"{full} --config {shlex.quote(str(folder / 'best.yaml'))}"  # the last one wins
    else:
        best = [f"{name}={value:g}" for name, value in result.strategy().settings().items()]
        following = next_about(call, "backtest", result.frame, strategy=strategy, param=best, **told)
    return Answer(data, lambda: _swept(call, result, honesty, top, folder), following)


def grid_of(said: Sequence[str]) -> dict[str, list[float]]:
    """Return the values of each `NAME=VALUES`: `5:50`, `20:200:5` as Python's ranges, or `60,65,70`.

    Raises
    ------
    ConfigError
        It is not of that form, or a name comes twice.
    """
    grid: dict[str, list[float]] = {}
    for one in said:
        name, equals, values = (part.strip() for part in one.partition("="))
        try:
            found = _span(values) if ":" in values else [float(value) for value in values.split(",")]
        except ValueError:
            found = []
        if not (name and equals and found):
            raise ConfigError(
                f"--grid {one} gives no values. Write --grid NAME=VALUES: fast=5:50, slow=20:200:5 or stop=0.01,0.02."
            )
        if name in grid:
            raise ConfigError(f"--grid names {name} twice. Give all its values at once: {name}=5,10,20.")
        grid[name] = found
    return grid


def _span(said: str) -> list[float]:
    start, stop, *steps = (float(part) for part in said.split(":"))
    step = steps[0] if steps else 1.0
    if len(steps) > 1 or not step > 0.0:
        raise ValueError(said)
    return [round(start + step * k, 12) for k in range(ceil((stop - start) / step - 1e-9))]


def _told(honesty: Robustness) -> Iterator[tuple[str, Any]]:
    """The box by name; null is *not testable*."""
    yield "tries", honesty.tried.configurations
    yield "effective_tries", honesty.tried.effective
    names = ("sharpe", "psr", "deflated", "luck", "days_needed", "overfitting", "loss", "superior", "inside", "outside")
    for name in names:
        yield name, getattr(honesty, name)
    yield "not_testable", dict(honesty.why)


def _box(honesty: Robustness) -> list[str]:
    """Lines of the box; where nothing can be tested for one reason, that reason once."""
    from virtuoso.reports.format import NOT_TESTABLE

    reasons = set(honesty.why.values())
    if len(reasons) == 1 and len(honesty.why) == len(honesty.rows()) - 1:
        tries = [line for line in honesty.lines() if NOT_TESTABLE not in line]
        return [*tries, f"{'all other figures':<23} {NOT_TESTABLE:>12}  {reasons.pop()}"]
    return honesty.lines()


def _swept(call: Call, result: SweepResult, honesty: Robustness, top: int, folder: Path) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, table
    from virtuoso.clock import iso
    from virtuoso.reports.format import DASH, number, percent, whole

    yield ("SIMULATED DATA  " if result.frame.instrument.is_simulated else "") + repr(result).strip("<>")
    shown = list(result.lines(top))
    named = result.ranked_by.replace("_", " ")
    first = "what is in force" if result.scores is not None else "the first that was tried"
    halts = any(row["halted"] for row in shown)
    best = len(result.best(top))
    ranked = f"The best {best} by {named}" if best else f"None can be ranked by {named}"
    yield heading(f"{ranked}; 0 is {first}")
    varied = result.varied if result.scores is None else []
    cells = (
        (
            whole(row["configuration"]),
            *(f"{result.configurations.columns[name][row['configuration']]:g}" for name in varied),
            whole(row["trades"]),
            percent(row["net_return"]),
            number(row["sharpe"]),
            percent(row["max_drawdown"]),
            number(row["profit_factor"]),
            percent(row["exposure"]),
            *(
                (
                    iso(int(row["halted_at"]))[:10] if row["halted"] else DASH,
                    percent(row["return_after_halt"], signed=True) if row["halted"] else DASH,
                )
                if halts
                else ()
            ),
        )
        for row in shown
    )
    heads = ("NO.", "TRADES", "RETURN", "SHARPE", "MAX DD", "PROFIT FACTOR", "EXPOSURE")
    yield table(
        (heads[0], *(name.upper() for name in varied), *heads[1:], *(("HALTED", "AFTER IT") if halts else ())),
        cells,
        left=0,
    )
    yield prose(result.plateau_words)
    yield prose(result.halt_words)
    yield heading("What the best of so many is worth")
    yield from (f"  {line}" for line in (honesty.lines() if call.wants_all else _box(honesty)))
    yield ""
    yield prose(
        "The best of many owes much to chance: run it in full on data it was not chosen from before you believe it."
    )
    yield from result.recorded_lines()
    yield from result.closing_lines()
    if (folder / SWEEP_HTML).is_file():
        yield f"page: {folder / SWEEP_HTML}"
    yield f"run folder: {folder}/"
    yield "Every configuration is a row of trials.parquet; best.yaml holds the best one."
