"""What a backtest is worth after everything that was tried, under stress: the content of `honesty.json`.

It depends on what else was tried so far, so it is not among the files that the same inputs repeat byte by byte:
`judged` makes it when a run is written, and again when it is met again after more was tried.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.account import metrics
from virtuoso.files.atomic import Disk
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.backtest.files import configuration
from virtuoso.research.tracking.experiments import HANDED_IN, Trial, family_of
from virtuoso.research.tracking.recording import RecordedTrial
from virtuoso.research.tracking.searches import Search, search_of
from virtuoso.research.validation.foresight import Foresight, check, check_rule, check_strategy
from virtuoso.research.validation.plateau import plateau_of
from virtuoso.research.validation.plausibility import Truth
from virtuoso.research.validation.resampling import shares
from virtuoso.research.validation.robustness import Robustness, RunReturns, robustness
from virtuoso.research.validation.stress import Case, costs, delay
from virtuoso.research.validation.tail_risk import Marks, Tail
from virtuoso.research.validation.verdict import Stressed, reach_verdict
from virtuoso.runs.schema import HONESTY, TEARSHEET
from virtuoso.runs.write import as_json
from virtuoso.signals.declared import Strategy


def honesty_facts(
    result: PortfolioFigures, recording: RecordedTrial | None = None, search: Search | None = None
) -> dict[str, Any]:
    """Content of `honesty.json`: the box, the stress it was put under, and the decision.

    Parameters
    ----------
    result : PortfolioFigures
    recording : RecordedTrial, optional
        What the ledger counts now, this run included; without one the run is judged alone and never ships.
    search : Search, optional
        What it was chosen from, see `searches.search_of`.
    """
    known = recording or RecordedTrial.alone(trial_of(result))
    box = robustness_of(result, known, search)
    (dearer,) = costs(result.panel, result.intents_of, result.account, (2.0,))
    (late,) = delay(result.panel, result.intents_of, result.account, (1,))
    bounds = (result.metrics["total_return"], result.optimistic_metrics["total_return"])
    beside = plateau_of(result)
    asked = None if "sharpe" in box.why else foresight_of(result)  # nothing is asked of what is not testable
    truth = Truth.of(result.run, asked, result.explained)
    stressed = Stressed(dearer, late, beside, bounds, Tail.of(result.run), Marks.of(result.panel), truth)
    verdict = reach_verdict(box, stressed)
    return {
        "decision": verdict.decision.value,
        "testable": verdict.testable,
        "reasons": verdict.reasons,
        "recording": known.told(),
        "rows": [
            *([name[:1].upper() + name[1:], figure, note] for name, figure, note in box.rows()),
            known.row(),
        ],
        "stress": [_case("Costs doubled", dearer), _case("One bar late", late)],
        "plateau": [_case(case.name, case) for case in (beside.chosen, *beside.neighbours)],
        "gates": [
            {"name": gate.name, "passed": gate.passed, "needed": gate.needed, "reason": gate.reason}
            for gate in verdict.gates
        ],
    }


def robustness_of(result: PortfolioFigures, recording: RecordedTrial, search: Search | None = None) -> Robustness:
    """What is left of a run after everything that was tried, and of the search that it was chosen from."""
    closed = result.closed
    daily, trades = search or (None, None)
    held = metrics.daily_returns(result.close_times, result.benchmark, result.account.cash, result.start_ms)
    sizes = np.abs(shares(closed["size"] * closed["entry_price"], closed["entry_number"], result.run))
    evidence = RunReturns(result.daily_returns, len(closed), daily, trades, held, sizes, closed["pnl"])
    return robustness(evidence, recording.tried, env=result.env)


def foresight_of(result: PortfolioFigures) -> Foresight | None:
    """Whether the orders of a run know of later bars; None where what decided them was not handed in."""
    frames = {frame.instrument: frame for frame in result.frames}
    if result.rule is not None:
        return check_rule(result.scores[0].prism, result.rule, frames, result.intents_of)
    if isinstance(result.strategy, Strategy):
        return check_strategy(result.strategy, frames, result.intents_of)
    return None if result.strategy is None else check(frames, result.strategy.orders, orders=result.intents_of)


def trial_of(result: PortfolioFigures) -> Trial:
    """A run as the trial ledger counts it: one configuration on the data of its stage."""
    terms = {name: told for name, told in configuration(result).items() if name != "decided_by"}  # its intents say it
    chosen = {
        "configuration": terms,
        "account": account_facts(result.account),
        "prism": result.provenance.get("prism"),
        "intents": hashlib.sha256(result.run.intents.tobytes()).hexdigest(),
    }
    return Trial(
        command="backtest",
        instruments=tuple(map(str, result.instruments)),
        first=result.start_ms,
        stop=int(result.close_times[-1]),
        data=result.provenance["stage"],
        config=hashlib.sha256(as_json(chosen)).hexdigest(),
        family=family_of(result.scores[0].prism) if result.rule is not None else (HANDED_IN,),
    ).seen(result.daily_returns)


def account_facts(account: Account) -> dict[str, Any]:
    """All plain terms of an account by name; a term that is new is among them without being named here."""
    told = {one.name: getattr(account, one.name) for one in fields(account)}
    plain = {name: value for name, value in told.items() if isinstance(value, bool | int | float | str)}
    return plain | {"limits": account.limits._asdict()}


def write_honesty(result: PortfolioFigures, recording: RecordedTrial | None, folder: Path) -> dict[str, Any]:
    """Judge a run, and write what it is worth into its folder, unless it stands there as it is now.

    A tear sheet that shows what was true before is removed: where this is cut off in the middle, the folder is seen
    not to be whole.

    Parameters
    ----------
    result : PortfolioFigures
    recording : RecordedTrial or None
        What the ledger counts now; a run that nobody recorded is judged alone and never ships.
    folder : Path
        Its run folder.

    Returns
    -------
    dict of str to Any
        Content of `honesty.json`.
    """
    found = honesty_facts(result, recording, search_of(result, folder.parent))
    told = as_json({"simulated": result.is_simulated, **found})
    known = folder / HONESTY
    if not known.is_file() or known.read_bytes() != told:
        for sheet in TEARSHEET:
            (folder / sheet).unlink(missing_ok=True)
        Disk().write(known, told)
    return found


def _case(name: str, case: Case) -> dict[str, Any]:
    return {"name": name, "net": case.net, "sharpe": case.sharpe, "drawdown": case.drawdown, "entries": case.entries}
