"""`virtuoso sweep`: many configurations at once, and what the best of so many is worth."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.backtest import CONTRACT, recording_of, scores_of
from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call
from virtuoso.cli.terminal.context import about, next_about

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
    configurations: Annotated[
        int, typer.Option("--configurations", metavar="N", min=1, help="How many; the first is what is in force.")
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
    """Try many weights, thresholds and levels; say what the best of them is worth."""
    from virtuoso import workflows
    from virtuoso.research.tracking.recording import NOTHING_YET, said_if_stopped

    told = {
        "cash": cash, "risk": risk, "leverage": leverage, "fees": fees, "maker": maker, "taker": taker,
        "slippage": slippage, "mark": mark, "assume_funding": assume_funding, "halt": halt or None,
        "reset_halt": reset_halt,
    }  # fmt: skip
    terms: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    with said_if_stopped(NOTHING_YET):
        scores = scores_of(call, symbol, timeframe, timerange, venue)
    with call.progress("sweeping") as tick:
        result = workflows.sweep(
            scores, configurations, settings=call.settings, seed=seed, fills=fills, by=by, record=not no_record,
            progress=tick, **terms,
        )  # fmt: skip
    folder, fresh = workflows.save_run(result, out, settings=call.settings)
    honesty = result.honesty(result.chosen)
    if not fresh:
        call.note(f"This very sweep is there already, in {folder}; it was only judged anew.")
    data = {
        **about(scores.frame), "configurations": len(result), "fills": fills, "ranked_by": by, "halt": result.halt,
        "best": list(result.lines(top)), "honesty": dict(_told(honesty)), "folder": folder, "fresh": fresh,
        "recording": recording_of(result),
    }  # fmt: skip
    # a sweep knows no finer bars: the same trades need none
    full = next_about(call, "backtest", scores.frame, timerange=timerange, fills=fills, inside="none", **terms)
    following = f"{full} --config {shlex.quote(str(folder / 'best.yaml'))}"  # the last one wins
    return Answer(data, lambda: _swept(result, honesty, top, folder), following)


def _told(honesty: Robustness) -> Iterator[tuple[str, Any]]:
    """The box by name; null is *not testable*."""
    yield "tries", honesty.tried.configurations
    yield "effective_tries", honesty.tried.effective
    names = ("sharpe", "psr", "deflated", "luck", "days_needed", "overfitting", "loss", "superior", "inside", "outside")
    for name in names:
        yield name, getattr(honesty, name)
    yield "not_testable", dict(honesty.why)


def _swept(result: SweepResult, honesty: Robustness, top: int, folder: Path) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, table
    from virtuoso.clock import iso
    from virtuoso.reports.format import DASH, number, percent, whole

    yield ("SIMULATED DATA  " if result.frame.instrument.is_simulated else "") + repr(result).strip("<>")
    shown = list(result.lines(top))
    yield heading(f"The best {len(shown) - 1} by {result.ranked_by.replace('_', ' ')}, and 0, which is in force")
    cells = (
        (
            whole(row["configuration"]),
            whole(row["trades"]),
            percent(row["net_return"]),
            number(row["sharpe"]),
            percent(row["max_drawdown"]),
            number(row["profit_factor"]),
            percent(row["exposure"]),
            iso(int(row["halted_at"]))[:10] if row["halted"] else DASH,
            percent(row["return_after_halt"], signed=True) if row["halted"] else DASH,
        )
        for row in shown
    )
    heads = ("CONFIGURATION", "TRADES", "RETURN", "SHARPE", "DRAWDOWN", "PROFIT FACTOR", "EXPOSURE")
    yield table((*heads, "HALTED", "AFTER IT"), cells, left=0)
    yield prose(result.halt_words)
    yield heading("What the best of so many is worth")
    yield from (f"  {line}" for line in honesty.lines())
    yield ""
    yield prose(
        "The best of many owes much to chance: run it in full on data it was not chosen from before you believe it."
    )
    yield f"run folder: {folder}/"
    yield from result.recorded_lines()
    yield "Every configuration is a row of trials.parquet; best.yaml holds the best one as settings."
