"""`virtuoso calibrate`: how often signals were right, and whether their reliability can be made a probability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.backtest import scores_of
from virtuoso.cli.terminal import options
from virtuoso.cli.terminal.command import Answer, Call
from virtuoso.cli.terminal.context import about, next_about

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.research.validation.calibration import Study

FOLDER = Path("configs/calibration")


def calibrate(
    call: Call,
    symbols: options.Symbols,
    timeframe: options.Timeframe = None,
    timerange: options.Timerange = None,
    venue: options.Venue = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The table; configs/calibration/TF.yaml if absent.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if it was not shown to be better than the base rate.")
    ] = False,
    seed: options.Seed = 0,
) -> Answer:
    """Learn from past signals how often they were right; write the calibration."""
    from virtuoso import workflows
    from virtuoso.clock import Env
    from virtuoso.research.validation import calibration

    scores = [scores_of(call, symbol, timeframe, timerange, venue) for symbol in symbols]
    study = calibration.calibrate(scores, call.settings.signals, env=Env(seed=seed))
    frame = scores[0].frame
    file = out or FOLDER / f"{frame.timeframe.name}.yaml"
    saved = study.save(file, force=force) if study.is_better or force else None
    data = {"instruments": [about(of_one.frame) for of_one in scores], **_facts(study), "file": saved}
    needed = workflows.assumptions_needed(frame.instrument.symbol, venue=frame.instrument.venue, settings=call.settings)
    using = call if saved is None else replace(call, set=[*call.set, f"signals.calibration={saved.absolute()}"])
    following = next_about(using, "backtest", frame, timerange=timerange, **needed)
    simulated = any(of_one.frame.instrument.is_simulated for of_one in scores)
    return Answer(data, lambda: _calibrated(study, file, saved, simulated), following)


def _facts(study: Study) -> dict[str, Any]:
    bins = study.diagram.bins
    return {
        "verdict": study.calibration.verdict,
        "is_better": study.is_better,
        "gain": study.gain,
        "gain_low": study.low,
        "gain_high": study.high,
        "left_out": study.outcomes.left_out,
        "calibration_error": study.diagram.calibration_error,
        "brier": study.diagram.brier._asdict(),
        "diagram": [dict(zip(bins.dtype.names or (), row, strict=True)) for row in bins.tolist()],
        "calibration": study.calibration.model_dump(mode="json"),
    }


def _calibrated(study: Study, file: Path, saved: Path | None, simulated: bool) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, pairs, prose, table
    from virtuoso.reports.format import percent, whole

    learned, rows = study.calibration, study.outcomes.rows
    left_out = ", ".join(f"{n:,} {reason}" for reason, n in study.outcomes.left_out.items())
    marked = "SIMULATED DATA  " if simulated else ""
    yield f"{marked}Outcomes of the signals of {', '.join(learned.instruments)} on {learned.timeframe}"
    yield ""
    yield pairs(
        (
            ("signals", f"{len(rows):,}, {learned.first} to {learned.last}"),
            ("right", f"{percent(learned.right / learned.signals)}, first target before stop in time"),
            ("ambiguous", f"{int(rows['ambiguous'].sum()):,}, counted as wrong"),
            ("left out", left_out or "none"),
        )
    )
    yield heading("Calibration, out of sample: predicted reliability against the share that was right")
    cells = (
        (
            f"{percent(row['low'])} to {percent(row['high'])}",
            whole(row["signals"]),
            percent(row["told"]),
            percent(row["right"]),
            _interval(row["low_right"], row["high_right"]),
        )
        for row in study.diagram.bins
    )
    yield table(("PREDICTED", "SIGNALS", "MEAN", "RIGHT", "95 % INTERVAL"), cells)
    yield ""
    yield prose(f"Verdict: {learned.verdict}.")
    if saved is None:
        yield f"{file} was not written; --force writes it anyway."
    else:
        yield f"written: {saved}; name it in signals.calibration"


def _interval(low: float, high: float) -> str:
    from virtuoso.reports.format import percent

    return f"{percent(low)} to {percent(high)}" if low == low else percent(low)
