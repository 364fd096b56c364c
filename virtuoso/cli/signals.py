"""`virtuoso signals`: what was said, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call, verb, written

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from virtuoso.signals.message.signal import Signal

app = typer.Typer(help="Signals: list, show.")

SHOWN = 20
SHORT_ID = 8
NAN = float("nan")


@verb(app, "list", "virtuoso signals list BTCUSDT -i 5m --write")
def list_(
    call: Call,
    symbol: Annotated[
        str | None,
        typer.Argument(metavar="[SYMBOL]", help="Derive its signals from history; without it, list those on file."),
    ] = None,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many, newest first.")] = SHOWN,
    write: Annotated[bool, typer.Option("--write", help="Write them to the reports folder as JSON.")] = False,
) -> Answer:
    """List signals, newest first: those on file, or those that a history gives."""
    from virtuoso import workflows

    folder = workflows.signal_folder(call.settings)
    if symbol is None:
        found = list(folder.list(limit=limit))
        where = f"on file in {folder.folder}"
    else:
        frame = workflows.load(symbol, timeframe, timerange=timerange, venue=venue, settings=call.settings)
        with call.progress("scoring") as tick:
            cache = workflows.block_cache(settings=call.settings)
            scores = workflows.score(frame, settings=call.settings, cache=cache, progress=tick)
        found = workflows.issued(scores, settings=call.settings, last=limit)[::-1]
        where = f"of {frame.instrument} {frame.timeframe}"
        if write:
            found = [folder.save(signal) for signal in found]
            where += f", written to {folder.folder}"
    data = {"signals": [signal.model_dump(mode="json") for signal in found]}
    return Answer(
        data,
        lambda: _listed(found, where, mixed=symbol is None),
        _following(call, found, on_file=symbol is None or write),
    )


def _following(call: Call, found: Sequence[Signal], *, on_file: bool) -> str:
    if not found:
        return call.next("data list")
    if on_file:
        return call.next("signals show", found[0].id)
    return _why(call, found[0])


def _why(call: Call, signal: Signal) -> str:
    """The command that explains a signal."""
    at = written(signal.timestamp)
    return call.next("explain", signal.symbol, timeframe=signal.timeframe, at=at, venue=signal.venue)


def _listed(found: Sequence[Signal], where: str, *, mixed: bool) -> Iterator[RenderableType]:
    """One line a signal; of mixed instruments each line names its own, and leaves out what then has no room."""
    from virtuoso.cli.terminal.console import leaning, moment, table
    from virtuoso.prism.words import reliability_rank
    from virtuoso.reports.format import number, plural, price

    simulated = any(signal.simulated for signal in found)
    yield f"{'SIMULATED DATA  ' if simulated else ''}{plural(len(found), 'signal')} {where}, newest first"
    if not found:
        return

    def row(s: Signal) -> Iterator[str | Text]:
        yield moment(s.timestamp)
        if mixed:
            yield f"{s.symbol} {s.venue} {s.timeframe}"
        yield leaning(s.signal, {"BULLISH": 100.0, "BEARISH": 0.0}.get(s.signal, 50.0))
        yield s.id[:SHORT_ID]
        yield number(_or_nan(s.score), 1)
        yield reliability_rank(_or_nan(s.reliability), s.reliability_basis)
        yield price(_or_nan(s.entry_price))
        yield price(_or_nan(s.stop_loss))
        if not mixed:
            yield price(s.targets["target1"].price if "target1" in s.targets else NAN)

    headers = ["CLOSE", *(["INSTRUMENT"] if mixed else []), "SIGNAL", "ID", "SCORE", "RELIABILITY", "ENTRY", "STOP"]
    headers += [] if mixed else ["TARGET 1"]
    yield table(headers, (tuple(row(s)) for s in found), left=4 if mixed else 3)
    if any(signal.reliability_basis == "heuristic" for signal in found):
        yield "RELIABILITY: low, medium or high is a rank that was never compared with outcomes (virtuoso calibrate)."


def _or_nan(value: float | None) -> float:
    return NAN if value is None else value


@verb(app, "show", "virtuoso signals show last")
def show(
    call: Call,
    key: Annotated[
        str, typer.Argument(metavar="ID|FILE", help="An id, its first 8 digits, a file, or last: the newest on file.")
    ],
) -> Answer:
    """Show one signal: levels, insights, and where it came from."""
    from virtuoso import workflows

    path = Path(key)
    if path.is_file():
        from virtuoso.signals.message.signal import Signal

        signal = Signal.from_json(path.read_bytes(), where=key)
    else:
        folder = workflows.signal_folder(call.settings)
        newest = folder.list(limit=1) if key == "last" else []
        signal = newest[0] if newest else folder.read(key)
    return Answer(signal.model_dump(mode="json"), lambda: _shown(signal, call.wants_all), _why(call, signal))


def _shown(signal: Signal, everything: bool) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, leaning, moment, pairs, prose, table
    from virtuoso.prism.words import reliability_words
    from virtuoso.reports.format import number, percent, price

    score = _or_nan(signal.score)
    simulated = "SIMULATED DATA  " if signal.simulated else ""
    yield leaning(f"{simulated}{signal.signal} {signal.symbol} {signal.venue} {signal.timeframe}", score)
    yield pairs(
        [
            ("decided", f"close of {moment(signal.timestamp)}, lapses {moment(signal.expires_at)}"),
            ("score", f"{number(score, 1)} of 100: {signal.reason}"),
            ("reliability", reliability_words(_or_nan(signal.reliability), signal.reliability_basis)),
            ("coverage", f"{percent(signal.coverage, 0)} of the weight is known"),
            ("price", price(_or_nan(signal.price))),
        ]
    )
    if signal.history is not None:
        yield prose(f"{signal.history.text}.")
    if signal.weights:
        yield prose(f"{signal.weights}.")
    if signal.entry_price is not None and signal.stop_loss is not None:
        yield heading("Levels")
        yield table(
            ("LEVEL", "PRICE", "FROM ENTRY", "R", "SIZE"), _levels(signal, signal.entry_price, signal.stop_loss)
        )
    yield heading("Insights")
    yield from (prose(sentence, 2) for sentence in (*signal.insights, *signal.actionable_insights))
    source = signal.provenance
    if not everything:
        yield ""
        yield f"id {signal.id}; where it came from: -v"
        return
    yield heading("Provenance")
    facts = [("id", signal.id), ("data", source.data), ("config", source.config), ("code", source.code)]
    facts.append(("weights", source.weights or "not recorded"))
    yield pairs([*facts, ("bars", f"{moment(source.data_from)} to {moment(source.data_to)}")])


def _levels(signal: Signal, entry: float, stop: float) -> Iterator[tuple[str, ...]]:
    from virtuoso.reports.format import number, percent, price

    r = abs(entry - stop)
    side = 1.0 if stop < entry else -1.0
    prices: list[tuple[str, float, float | None]] = [("entry", entry, None), ("stop", stop, None)]
    prices += [(name, target.price, target.size) for name, target in signal.targets.items()]
    for name, at, share in prices:
        gained = percent(at / entry - 1.0, 2, signed=True) if name != "entry" else ""
        multiple = number(side * (at - entry) / r, 2, signed=True) if name != "entry" else ""
        yield name, price(at), gained, multiple, "" if share is None else percent(share, 0)
