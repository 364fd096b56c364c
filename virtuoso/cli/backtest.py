"""`virtuoso backtest`: what the signals of one or many instruments would have been worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call
from virtuoso.cli.terminal.context import about, next_about
from virtuoso.cli.terminal.named import strategy_named
from virtuoso.errors import ConfigError
from virtuoso.runs.schema import CROSSCHECK, TEARSHEET_HTML, TEARSHEET_PDF

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.prism.result.scores import Scores
    from virtuoso.research.backtest.result import PortfolioResult
    from virtuoso.research.crosscheck.compare import Comparison
    from virtuoso.research.tracking.run import Run

CONTRACT = "contract"
BESIDE = ("optimistic", "inverted", "faces_alone", "random_entries", "halt", "halted_at", "inside")
"""Figures of `metrics.json` that --json gives as they are."""
SHOWN_REASONS = 3
"""Reasons of a verdict on the first screen."""
MADE_BY = ("contract", "vectorbt")
MOST_DIFFERENCES = 12
"""Trades that a cross-check lists in the terminal: all of them are in the run folder."""


def backtest(
    call: Call,
    symbols: options.Symbols,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    strategy: options.Strategy = None,
    param: options.Param = None,
    cash: options.Cash = None,
    risk: options.Risk = None,
    leverage: options.Leverage = None,
    margin: options.Margin = None,
    fees: options.Fees = None,
    maker: options.Maker = None,
    taker: options.Taker = None,
    slippage: options.Slippage = None,
    mark: options.Mark = None,
    assume_funding: options.AssumeFunding = None,
    trail: options.Trail = None,
    halt: options.Halt = False,
    reset_halt: options.ResetHalt = None,
    inside: options.Intrabar = None,
    explained: options.Explained = None,
    bounds: options.Bounds = False,
    crosscheck: options.CrossCheck = False,
    fills: Annotated[str, typer.Option(hidden=True)] = CONTRACT,
    seed: options.Seed = 0,
    no_record: options.NoRecord = False,
    no_report: options.NoReport = False,
    track: options.Track = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help=options.OUT_FOLDER)] = None,
) -> Answer:
    """Trade the signals, or a strategy of yours, on one or many instruments; write a run."""
    from virtuoso import workflows
    from virtuoso.reports.summary import Summary
    from virtuoso.research.tracking.recording import NOTHING_YET, said_if_stopped

    told = {
        "cash": cash, "risk": risk, "leverage": leverage, "margin": margin, "fees": fees, "maker": maker,
        "taker": taker, "slippage": slippage, "mark": mark, "assume_funding": assume_funding, "trail": trail,
        "halt": halt or None, "reset_halt": reset_halt, "inside": inside, "explained": explained,
    }  # fmt: skip
    terms: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    if fills != CONTRACT:
        raise ConfigError("A backtest fills by the contract. --crosscheck compares its trades with those of vectorbt.")
    own = strategy_named(strategy, param)
    if own is not None and trail is not None:
        raise ConfigError(f"--trail is for the shipped rule; the decide of {own!r} gives its own trail.")
    markets: list[Any]
    with said_if_stopped(NOTHING_YET):
        if own is not None:
            asked = {"timerange": timerange, "venue": venue, "settings": call.settings}
            markets = [workflows.load(symbol, timeframe, **asked) for symbol in symbols]
        else:
            markets = [scores_of(call, symbol, timeframe, timerange, venue) for symbol in symbols]
    result = workflows.backtest(markets, own, settings=call.settings, seed=seed, record=not no_record, **terms)
    summary = result.summary(bounds=bounds) if call.wants_all else Summary(result.data).brief(bounds=bounds)
    folder, fresh = workflows.save_run(result, out, settings=call.settings, report=not no_report)
    if not fresh:
        call.note(f"This very run is there already, in {folder}; it was only judged anew.")
    if track:
        workflows.track(result, folder, settings=call.settings)
    told_of = [about(getattr(market, "frame", market)) for market in markets]  # in the order that was asked for
    data = {**told_of[0], "instruments": told_of, **_backtest_facts(result), "folder": folder, "fresh": fresh}
    data["honesty"] = _honesty(folder)
    data["recording"] = recording_of(result)
    data["tracking"] = None if result.tracked is None else result.tracked.told()
    checked = workflows.cross_check(result, folder) if crosscheck else None
    if checked is not None:
        data["crosscheck"] = checked.to_dict()
    following = next_about(call, "signals list", result.frame, timerange=timerange)
    if own is not None:
        following = next_about(call, "verify", result.frame, timerange=timerange, strategy=strategy, param=param)
    return Answer(data, lambda: _backtested(call, result, summary, folder, checked), following)


def scores_of(call: Call, symbol: str, timeframe: str | None, timerange: str | None, venue: str | None) -> Scores:
    """Scores of one instrument, from the cache where they are there."""
    from virtuoso import workflows

    frame = workflows.load(symbol, timeframe, timerange=timerange, venue=venue, settings=call.settings)
    with call.progress(f"scoring {symbol}") as tick:
        cache = workflows.block_cache(settings=call.settings)
        return workflows.score(frame, settings=call.settings, cache=cache, progress=tick)


def _backtest_facts(result: PortfolioResult) -> dict[str, Any]:
    told = result.data.figures
    return {
        "result_hash": result.result_hash,
        "metrics": result.metrics,
        "buy_and_hold": result.benchmark_metrics,
        **{name: told[name] for name in BESIDE},
        "assumed": list(result.assumed),
        "breakdowns": _rows(result.breakdowns),
        "counts": result.counts,
        "score_buckets": _rows(result.buckets),
        "provenance": result.provenance,
        "decided_by": dict(result.decided_by),
    }


def recording_of(result: Run) -> dict[str, Any] | None:
    """Whether a run is in the ledger of trials, and what that counts by now, for --json."""
    found = result.recording
    return None if found is None else found.told()


def _honesty(folder: Path) -> dict[str, Any] | None:
    """What the run was judged to be worth; None where it was not judged."""
    import json

    from virtuoso.runs.schema import HONESTY

    file = folder / HONESTY
    return json.loads(file.read_bytes()) if file.is_file() else None


def _rows(table: Any) -> list[dict[str, Any]]:
    """Rows of a structured array, for --json."""
    names = table.dtype.names or ()
    return [dict(zip(names, row, strict=True)) for row in table.tolist()]


def _backtested(
    call: Call, result: PortfolioResult, summary: str, folder: Path, checked: Comparison | None
) -> Iterator[RenderableType]:
    yield summary
    if call.wants_all:
        yield from _buckets(result)
    if checked is not None:
        yield from _cross_checked(checked)
    yield ""
    yield from judged_lines(folder, everything=call.wants_all)
    yield from result.recorded_lines()
    yield from result.closing_lines()
    yield from where_lines(folder, everything=call.wants_all)


def judged_lines(folder: Path, *, everything: bool) -> Iterator[RenderableType]:
    """Say the verdict on a run and its reasons, or the first of them."""
    from virtuoso.cli.terminal.console import prose

    judged = _honesty(folder)
    if not judged:
        return
    yield f"verdict: {judged['decision']}"
    reasons = judged["reasons"] if everything else judged["reasons"][:SHOWN_REASONS]
    yield from (prose(f"- {reason}", 2) for reason in reasons)
    if len(reasons) < len(judged["reasons"]):
        yield f"  - and {len(judged['reasons']) - len(reasons)} more"


def where_lines(folder: Path, *, everything: bool) -> Iterator[RenderableType]:
    """Say where a run was written; the page holds what one screen leaves out."""
    page, pdf = folder / TEARSHEET_HTML, folder / TEARSHEET_PDF
    if page.is_file():
        yield f"page: {page}"
        yield from [f"PDF:  {pdf}" if pdf.is_file() else f"PDF:  virtuoso report {folder}"] if everything else []
    yield f"run folder: {folder}/"
    if not everything:
        yield (
            "all of it: -v, or the page" if page.is_file() else "all of it: -v; `virtuoso report last` writes the page"
        )


def _cross_checked(checked: Comparison) -> Iterator[RenderableType]:
    """Causes of all differences, and the first trades that differ."""
    from virtuoso.cli.terminal.console import table

    yield ""
    yield repr(checked)
    if not checked.differences:
        return
    found = checked.to_dict()["differences"]
    cells = (
        (one["decided_at"][:16], _traded(one), one["cause"], *(_made(one[name]) for name in MADE_BY))
        for one in found[:MOST_DIFFERENCES]
    )
    yield table(("DECIDED", "TRADE", "CAUSE", "CONTRACT", "VECTORBT"), cells)
    if len(found) > MOST_DIFFERENCES:
        yield f"and {len(found) - MOST_DIFFERENCES} more, in {CROSSCHECK}"
    yield ""


def _traded(one: dict[str, Any]) -> str:
    """Direction and symbol of a trade."""
    arrow = "▲" if one["side"] == "long" else "▼"
    return f"{arrow} {one['instrument'].partition(' ')[0]}"


def _made(trade: dict[str, Any] | None) -> str:
    """Prices of entry and exit and why a trade ended."""
    from virtuoso.reports.format import price

    if trade is None:
        return "no trade"
    return f"{price(trade['entry_price'])}\N{EN DASH}{price(trade['exit_price'])} {trade['reason']}"


def _buckets(result: PortfolioResult) -> Iterator[RenderableType]:
    """What prices did after each score, at one horizon that is neither noise nor regime."""
    from virtuoso.cli.terminal.console import heading, table
    from virtuoso.reports.format import number, percent, whole

    horizons = list(dict.fromkeys(result.buckets["horizon"].tolist()))
    if not horizons:
        return
    shown = "4h" if "4h" in horizons else horizons[-1]
    rows = result.buckets[(result.buckets["horizon"] == shown) & (result.buckets["bars"] > 0)]
    yield heading(f"Mean forward return over {shown} by confluence, in basis points")
    cells = (
        (
            "all" if row["high"] - row["low"] == 100.0 else f"{row['low']:.0f} to {row['high']:.0f}",
            whole(row["bars"]),
            whole(row["windows"]),
            number(row["mean_bp"], 1, signed=True),
            f"{number(row['low_bp'], 1, signed=True)} to {number(row['high_bp'], 1, signed=True)}",
            percent(row["up_share"]),
        )
        for row in rows
    )
    yield table(("CONFLUENCE", "BARS", "WINDOWS", "MEAN bp", "95 % INTERVAL bp", "UP"), cells)
    yield "WINDOWS: disjoint stretches of that length; returns that share their path are counted once."
