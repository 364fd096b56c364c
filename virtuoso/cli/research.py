"""`virtuoso score`, `explain`, `information`, `verify`: from the lake to what scores are and what they are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.backtest import backtest, scores_of
from virtuoso.cli.calibrate import calibrate
from virtuoso.cli.promote import promote
from virtuoso.cli.runs import report, runs
from virtuoso.cli.sweep import sweep
from virtuoso.cli.terminal import complete, options
from virtuoso.cli.terminal.command import Answer, Call, verb, written
from virtuoso.cli.terminal.context import about, next_about
from virtuoso.cli.terminal.named import strategy_named
from virtuoso.cli.tune import tune
from virtuoso.errors import ConfigError, LawBrokenError, NoDataError, did_you_mean

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.market.frame import MarketFrame
    from virtuoso.prism.laws.certificate import Certificate
    from virtuoso.prism.result.explanation import Explanation
    from virtuoso.prism.result.scores import Scores
    from virtuoso.research.validation.ic import Information

SHOWN_FINDINGS, BRIEF_FINDINGS = 20, 4
SHOWN_COMPONENTS = 8
REPAIR = "See docs/guides/components.md: memory and warmup, then inputs that are known too early."


def add_research(app: typer.Typer) -> None:
    """Register the research verbs."""
    verb(app, "score", "virtuoso score BTCUSDT -i 5m --timerange 20250105-20250110")(score)
    verb(app, "explain", "virtuoso explain BTCUSDT -i 5m --face technical")(explain)
    verb(app, "information", "virtuoso information BTCUSDT -i 5m --assume-funding 0.0001")(information)
    verb(app, "backtest", "virtuoso backtest BTCUSDT ETHUSDT -i 5m --assume-funding 0.0001 --mark last")(backtest)
    verb(app, "report", "virtuoso report last")(report)
    verb(app, "runs", "virtuoso runs last")(runs)
    verb(app, "sweep", "virtuoso sweep BTCUSDT -i 5m --configurations 200 --assume-funding 0.0001 --mark last")(sweep)
    verb(app, "tune", "virtuoso tune demo --dry-run")(tune)
    verb(app, "promote", "virtuoso promote last --force")(promote)
    verb(app, "calibrate", "virtuoso calibrate BTCUSDT ETHUSDT -i 1m --set signals.bull_enter=60")(calibrate)
    verb(app, "verify", "virtuoso verify BTCUSDT -i 5m --live-bars 500")(verify)


# --- score ------------------------------------------------------------------------------------------------------


def score(
    call: Call,
    symbols: Annotated[
        list[str],
        typer.Argument(metavar="SYMBOL...", help="One or many, such as BTCUSDT.", autocompletion=complete.symbols),
    ],
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write the Parquet file.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compute every block anew, and keep none.")] = False,
    jobs: options.Jobs = None,
    executor: options.Executor = None,
) -> Answer:
    """Score every bar of an instrument, or of many, and write the scores to Parquet."""
    from virtuoso import workflows
    from virtuoso.clock import Env

    clock, symbol = Env(), symbols[0]
    if len(symbols) > 1 or executor is not None:
        if out is not None:
            raise ConfigError(f"--out names one file, and {len(symbols)} symbols are scored. Leave it out.")
        before = clock.stopwatch()
        with call.progress("scoring") as tick:
            files = workflows.score_many(
                symbols, timeframe, timerange=timerange, venue=venue, settings=call.settings, jobs=jobs,
                executor=executor, cache=not no_cache, progress=tick,
            )  # fmt: skip
        told = {"symbols": symbols, "files": files, "seconds": clock.stopwatch() - before}
        again = call.next("backtest", *symbols, timeframe=timeframe, venue=venue, timerange=timerange)
        return Answer(told, lambda: _scored_many(told), again)
    frame = workflows.load(symbol, timeframe, timerange=timerange, venue=venue, settings=call.settings)
    cache = None if no_cache else workflows.block_cache(settings=call.settings)
    before = clock.stopwatch()
    with call.progress("scoring") as tick:
        scores = workflows.score(frame, settings=call.settings, cache=cache, progress=tick)
    took = clock.stopwatch() - before
    file = scores.to_parquet(out or workflows.scores_file(frame, settings=call.settings))
    data = {**about(frame), **_scored_facts(scores, took), "file": file}
    return Answer(data, lambda: _scored(scores, data, file, call.wants_all), next_about(call, "explain", frame))


def _scored_many(told: dict[str, Any]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import seconds, size
    from virtuoso.reports.format import plural

    yield f"scored {plural(len(told['files']), 'instrument')} in {seconds(told['seconds'])}"
    yield from (f"-> {file} ({size(file.stat().st_size)})" for file in told["files"])


def _scored_facts(scores: Scores, took: float) -> dict[str, Any]:
    import numpy as np

    from virtuoso.workflows import known_shares

    shares = known_shares(scores)
    components = sum(1 for found in shares.values() if found)
    return {
        "seconds": took,
        "components": components,
        "ns_per_bar_per_component": 1e9 * took / max(len(scores) * components, 1),
        "known": float(np.isfinite(scores.confluence).mean()),
        "known_shares": shares,
        "prism": scores.prism.fingerprint,
        "bars_from": scores.frame.sources,
        "last": {
            "close_time": int(scores.close_times[-1]),
            "confluence": float(scores.confluence[-1]),
            "coverage": float(scores.coverage[-1]),
            "reliability": float(scores.reliability[-1]),
            "faces": {name: float(face.score[-1]) for name, face in scores.faces.items()},
        },
    }


def _scored(scores: Scores, facts: dict[str, Any], file: Path, everything: bool) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, leaning, moment, prose, seconds, size, stretch, table
    from virtuoso.prism.words import CONFLUENCE_NOTE, COVERAGE_NOTE, GLOSSARY
    from virtuoso.reports.contribution import gauge
    from virtuoso.reports.format import number, percent, whole

    frame, last = scores.frame, facts["last"]
    yield (
        f"{_simulated(frame)}scored {whole(len(scores))} bars of {frame.instrument} {frame.timeframe}, "
        f"{stretch(facts['start'], facts['end'])}, in {seconds(facts['seconds'])}"
    )
    speed = f", {number(facts['ns_per_bar_per_component'], 0)} ns a bar a component on all timeframes"
    yield (
        f"{facts['components']} of {len(facts['known_shares'])} components have data{speed if everything else ''}; "
        f"confluence known on {percent(facts['known'])} of the bars"
    )
    if len(facts["bars_from"]) > 1:
        yield f"bars: {frame.made_of}"
    yield f"-> {file} ({size(file.stat().st_size)})"
    if everything:
        yield heading("Share of bars on which each component is known")
        yield _known(scores, facts["known_shares"])
    yield heading(f"Last bar, closed {moment(last['close_time'])}")
    found = [("confluence", last["confluence"], last["coverage"])]
    found += [(name, float(face.score[-1]), float(face.coverage[-1])) for name, face in scores.faces.items()]
    lines = (
        (name.replace("_", " "), leaning(gauge(points), points), number(points, 1), percent(covered, 0))
        for name, points, covered in found
    )
    yield table(("FACE", "GAUGE", "SCORE", "COVERAGE"), lines, left=2)
    yield ""
    yield prose(f"{CONFLUENCE_NOTE} {COVERAGE_NOTE} Words: {GLOSSARY}.")
    if not everything:
        yield "On how many bars each component is known: -v."


def _known(scores: Scores, shares: dict[str, dict[str, float]]) -> RenderableType:
    """On how many bars each component that has data is known, timeframe by timeframe."""
    from virtuoso.cli.terminal.console import table
    from virtuoso.reports.format import percent

    ladder = [timeframe.name for timeframe, _ in scores.prism.ladder(scores.frame.timeframe)]
    rows = ((name, *(percent(of[timeframe]) for timeframe in ladder)) for name, of in shares.items() if of)
    return table(("COMPONENT", *ladder), rows)


def _simulated(frame: MarketFrame) -> str:
    return "SIMULATED DATA  " if frame.instrument.is_simulated else ""


# --- explain ----------------------------------------------------------------------------------------------------


def explain(
    call: Call,
    symbol: options.Symbol,
    timeframe: options.Timeframe = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="Such as 2025-10-10T21:15Z; the newest bar if absent.")
    ] = None,
    face: Annotated[
        str | None, typer.Option("--face", metavar="FACE", help="Only this one, such as technical.")
    ] = None,
    venue: options.Venue = None,
    words: Annotated[bool, typer.Option("--words", help="Add the sentence behind each score.")] = False,
    open_interest: Annotated[
        bool, typer.Option("--open-interest", help="Explain open interest instead of the scores.")
    ] = False,
) -> Answer:
    """Explain one moment: what each component says, its weight and its impact."""
    from virtuoso import workflows

    if open_interest:
        return _open_interest(call, symbol, timeframe, at, venue)
    found = workflows.explain(symbol, timeframe, at, venue=venue, settings=call.settings)
    if face is not None and face not in found.faces:
        raise ConfigError(f"There is no face {face!r} to explain. {did_you_mean(face, found.faces)}")
    same = {"timeframe": found.timeframe, "venue": found.venue}
    needed = workflows.assumptions_needed(found.symbol, venue=found.venue, settings=call.settings)
    following = call.next("backtest", found.symbol, **same, **needed)
    return Answer(asdict(found), lambda: _explained(found, face, words, call.wants_all), following)


def _open_interest(call: Call, symbol: str, timeframe: str | None, at: str | None, venue: str | None) -> Answer:
    """Explain what open interest says at one moment."""
    from virtuoso import workflows
    from virtuoso.cli.terminal.open_interest import open_interest_view

    found = workflows.open_interest(symbol, timeframe, at, venue=venue, settings=call.settings)
    same = {"timeframe": found.timeframe, "venue": found.venue}
    following = call.next("explain", found.symbol, **same, at=written(found.time))
    return Answer(found.to_dict(), lambda: open_interest_view(found), following)


def _explained(found: Explanation, face: str | None, words: bool, everything: bool) -> Iterator[RenderableType]:
    """The confluence and what moves it most, or the face that is asked for; with -v each face that is known."""
    from virtuoso.cli.terminal.console import prose
    from virtuoso.reports.contribution import contribution

    silent = [] if face else [row.title for row in found.total if row.score != row.score]
    known = [name for name, rows in found.faces.items() if any(row.score == row.score for row in rows)]
    wanted = [face] if face else [None, *(known if everything else [])]
    for number, name in enumerate(wanted, 1):
        table = contribution(found, name)
        if number > 1:
            yield ""
        yield table.to_rich(footnote=face is not None or (everything and number == len(wanted)))
        if words:
            yield ""
            yield from (prose(f"{line.component}: {line.words}", 2) for line in table.lines if line.words)
    if face is None and not everything:
        yield from _strongest(found)
    if silent:
        yield ""
        yield f"Nothing is known of {', '.join(silent)}. Their tables: --face NAME."


def _strongest(found: Explanation) -> Iterator[RenderableType]:
    """The components that move the confluence furthest from 50, with the sentence behind each."""
    from virtuoso.cli.terminal.console import heading, leaning, prose, table
    from virtuoso.prism.words import CONFLUENCE_NOTE
    from virtuoso.reports.format import number

    pushes = found.strongest(SHOWN_COMPONENTS)
    if pushes:
        yield heading(f"The {len(pushes)} components that move it most, in points of confluence from 50")
        rows = (
            (leaning(number(points, 2, signed=True), 50.0 + 50.0 * (points > 0) - 50.0 * (points < 0)), row.title,
             face.replace("_", " "), row.words)
            for face, row, points in pushes
        )  # fmt: skip
        yield table(("POINTS", "COMPONENT", "FACE", "WHY"), rows, left=(1, 2, 3))
    yield ""
    yield prose(f"{CONFLUENCE_NOTE} Every component: -v, or --face NAME.")


# --- information ------------------------------------------------------------------------------------------------


def information(
    call: Call,
    symbol: options.Symbol,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    horizon: Annotated[
        list[str] | None, typer.Option("--horizon", metavar="SPAN", help="Such as 4h; repeatable. 15m to 3d if absent.")
    ] = None,
    fees: options.Fees = None,
    taker: options.Taker = None,
    slippage: options.Slippage = None,
    assume_funding: options.AssumeFunding = None,
    seed: options.Seed = 0,
) -> Answer:
    """Measure what scores knew of the returns that followed, and what a trade costs."""
    from virtuoso import workflows
    from virtuoso.clock import Env
    from virtuoso.research.validation.ic import SPANS
    from virtuoso.research.validation.ic import information as measure

    scores = scores_of(call, symbol, timeframe, timerange, venue)
    with call.progress("measuring") as _:
        found = measure(
            scores, horizon or SPANS, fees=fees, taker=taker, slippage=slippage, assume_funding=assume_funding,
            env=Env(seed=seed),
        )  # fmt: skip
    data = {**about(scores.frame), **found.to_dict()}
    needed = workflows.assumptions_needed(symbol, venue=scores.frame.instrument.venue, settings=call.settings)
    following = next_about(call, "backtest", scores.frame, timerange=timerange, **needed)
    return Answer(data, lambda: _informed(scores, found, call.wants_all), following)


def _informed(scores: Scores, found: Information, everything: bool) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, table

    yield f"{_simulated(scores.frame)}{found.market}"
    for title, headers, rows in found.tables(everything=everything):
        yield heading(title)
        yield table(tuple(header.upper() for header in headers), rows)
    yield ""
    yield from (prose(sentence) for sentence in found.words())
    if not everything:
        yield "Every component: -v."


VERDICTS = ("BROKEN", "noted", "holds", "not tested")
"""What a law can find, the worst first; not tested is what nothing else was found of."""

# --- verify -----------------------------------------------------------------------------------------------------


def verify(
    call: Call,
    symbol: options.Symbol,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    strategy: options.Strategy = None,
    param: options.Param = None,
    live_bars: Annotated[
        int, typer.Option("--live-bars", metavar="N", min=0, help="Bars that another process scores one by one.")
    ] = 3_000,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Cut every component at every bar: no leak is too rare to be caught.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help=options.OUT_FOLDER)] = None,
) -> Answer:
    """Certify no look-ahead and parity of batch and live, of components or a strategy."""
    from virtuoso import workflows

    own = strategy_named(strategy, param)
    frame = workflows.load(symbol, timeframe, timerange=timerange, venue=venue, settings=call.settings)
    with call.progress("examining") as tick:
        found = workflows.verify(
            frame, strategy=own, settings=call.settings, live_bars=live_bars, exhaustive=exhaustive, progress=tick
        )
    if all(finding.law in ("live", "door") or finding.verdict == "not tested" for finding in found.findings):
        raise NoDataError(
            f"{len(frame):,} bars of {frame.instrument} {frame.timeframe} are too few to examine "
            f"{'one component' if own is None else repr(own)} on: "
            f"{found.untested[0]}. Choose a longer --timerange."
        )
    folder = out or call.settings.signals.reports / "certificates"
    files = workflows.save_certificate(found, folder)
    data = {**found.to_dict(), "files": files}
    needed = workflows.assumptions_needed(symbol, venue=frame.instrument.venue, settings=call.settings)
    following = next_about(call, "backtest", frame, timerange=timerange, strategy=strategy, param=param, **needed)
    if not found.holds:
        first = found.broken[0]
        at = written(first.at) if first.at is not None else None
        following = next_about(call, "explain", frame, at=at)
        where_first = f" first at the bar that closed {at}" if at else ""
        call.complain(f"{first.node} breaks the law of {first.law} on {first.timeframe}{where_first}.", REPAIR)
    code = 0 if found.holds else LawBrokenError.exit_code
    return Answer(data, lambda: _certified(found, files, call.wants_all), following, code)


def _certified(found: Certificate, files: list[Path], everything: bool) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, table
    from virtuoso.prism.laws.certificate import rarest_words

    shown = SHOWN_FINDINGS if everything else BRIEF_FINDINGS
    yield str(found).partition("\n")[0]
    yield table(
        ("LAW", "VERDICT", "EXAMINED", "BROKEN", "NOTED", "NOT TESTED", "VALUES COMPARED"), _by_law(found), left=2
    )
    if found.rarest:
        yield prose(f"{rarest_words(found.rarest)}.", 0)
    if found.broken:
        yield heading("Broken, the earliest first")
        yield from _some(found.broken, shown)
    if found.noted:
        yield heading("Noted, no look-ahead")
        yield from _some(found.noted, shown)
    if found.untested:
        yield heading("Not tested")
        yield from _some(list(_untested(found.untested)), shown)
    yield ""
    yield from (f"-> {file}" for file in files)


def _some(findings: Sequence[object], shown: int) -> Iterator[RenderableType]:
    """The first findings, and how many more there are."""
    from virtuoso.cli.terminal.console import prose

    yield from (prose(str(finding), 2) for finding in findings[:shown])
    if len(findings) > shown:
        yield f"  and {len(findings) - shown} more, in the certificate"


def _by_law(found: Certificate) -> list[tuple[str, ...]]:
    """A row a law: its worst verdict, and how many examinations came to each."""
    from virtuoso.reports.format import whole

    rows = []
    for law in sorted({finding.law for finding in found.findings}):
        of_law = [finding for finding in found.findings if finding.law == law]
        counts = {verdict: sum(finding.verdict == verdict for finding in of_law) for verdict in VERDICTS}
        worst = next(verdict for verdict in VERDICTS if counts[verdict])
        compared = sum(finding.compared for finding in of_law)
        numbers = (len(of_law), counts["BROKEN"], counts["noted"], counts["not tested"], compared)
        rows.append((law, worst, *(whole(number) for number in numbers)))
    return rows


def _untested(reasons: list[str]) -> Iterator[str]:
    """What could not be tested, one line a timeframe."""
    by_clock: dict[str, list[str]] = {}
    for reason in reasons:
        clock = reason.partition(":")[0].partition(" on ")[2]
        by_clock.setdefault(clock, []).append(reason)
    for clock, of_clock in by_clock.items():
        if clock and len(of_clock) > 1:
            yield f"on {clock}: {len(of_clock)} components, such as {of_clock[0]}"
        else:
            yield from of_clock
