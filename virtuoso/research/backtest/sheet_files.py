"""Files of a run folder from which a tear sheet is made later, without the data and without running anything again.

| file | holds |
|---|---|
| `words.json` | title, verdict, findings beside the returns, limits, assumptions |
| `reliability.json` | reliability that signals carried, and the share that was right |
| `fans.json` | equity of the same trades in other orders, and of histories of its own days |
| `prices.parquet` | bars of the most traded instrument: all of the run slowly, its last trades fast |
| `honesty.json` | what is left of it after all tries, under stress, and the decision |

`honesty.json` depends on what else was tried so far, so it is not among the files that the same inputs repeat byte by
byte; `judged` makes it when a run is written, and again when it is met again after more was tried.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.account import metrics
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.files.atomic import Disk
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import TRADED
from virtuoso.market.schema.columns import PRICES
from virtuoso.reports.charts.candles import stretch
from virtuoso.reports.page import Finding
from virtuoso.reports.tearsheet.page import HONESTY, HTML, PDF, write_tearsheet
from virtuoso.research.backtest.stress import Case, costs, delay
from virtuoso.research.tracking.experiments import HANDED_IN, Trial, family_of
from virtuoso.research.tracking.recording import Recording
from virtuoso.research.tracking.searches import Search, search_of
from virtuoso.research.validation.foresight import Foresight, check, check_rule
from virtuoso.research.validation.plateau import plateau_of
from virtuoso.research.validation.plausibility import Truth
from virtuoso.research.validation.reliability import reliability_of
from virtuoso.research.validation.resampling import drawn_days, other_orders, shares
from virtuoso.research.validation.robustness import Evidence, Honesty, judge
from virtuoso.research.validation.tail_risk import Marks, Tail
from virtuoso.research.validation.verdict import Stressed, decide
from virtuoso.runs.write import as_json, as_parquet

if TYPE_CHECKING:
    from virtuoso.research.backtest.engine import Account
    from virtuoso.research.backtest.result import PortfolioResult

MOST_BARS = 2_000
"""Bars of the whole run that are kept, on the fastest clock that has no more."""
CLOCKS = tuple(map(Timeframe, ("1m", "5m", "15m", "1h", "4h", "1d")))


def sheet_files(result: PortfolioResult) -> dict[str, bytes]:
    """Contents of the files that the same inputs repeat, by name."""
    return {
        "words.json": as_json({"simulated": result.is_simulated, **words(result)}),
        "reliability.json": as_json({"simulated": result.is_simulated, **reliability(result)}),
        "fans.json": as_json({"simulated": result.is_simulated, **fans(result)}),
        "prices.parquet": as_parquet(prices(result)),
    }


def words(result: PortfolioResult) -> dict[str, Any]:
    """What a reader should know, in sentences."""
    from virtuoso.research.backtest import summary as said

    return {
        "title": said.title(result),
        "verdict": said.verdict(result),
        "honesty": _findings(said.honesty(result)),
        "limits": _findings(said.limits(result)),
        "assumptions": said.assumptions(result),
    }


def _findings(found: list[Finding]) -> list[dict[str, str]]:
    return [finding._asdict() for finding in found]


def reliability(result: PortfolioResult) -> dict[str, Any]:
    """What reliability told against what was right; a reason instead where that cannot be known."""
    if result.rule is None:
        return {"reason": "The intents were handed in, so there are no signals whose reliability could be followed."}
    try:
        found = reliability_of(result.scores, result.rule, env=result.env)
    except DataError as refused:
        return {"reason": str(refused)}
    bins, of_bin = found.diagram.bins, found.diagram.bins.dtype.names or ()
    if not len(bins):
        return {"reason": "No signal of this run has an outcome that is known."}
    signals = int(bins["signals"].sum())
    return {
        "basis": found.basis,
        "signals": signals,
        "right": round(float((bins["right"] * bins["signals"]).sum())),
        "ambiguous": int(found.outcomes.rows["ambiguous"].sum()),
        "left_out": found.outcomes.left_out,
        "brier": found.diagram.brier._asdict(),
        "calibration_error": found.diagram.calibration_error,
        "bins": [dict(zip(of_bin, row, strict=True)) for row in bins.tolist()],
    }


def fans(result: PortfolioResult) -> dict[str, Any]:
    """What else the same trades and the same days might have come to; null where they are too few."""
    ended = result.closed[np.argsort(result.closed["exit_number"], kind="stable")]
    of_trades = other_orders(shares(ended["pnl"], ended["entry_number"], result.run), env=result.env)
    of_days = drawn_days(result.daily_returns, env=result.env)
    return {name: fan.told() if fan else None for name, fan in (("trades", of_trades), ("days", of_days))}


def prices(result: PortfolioResult) -> dict[str, Any]:
    """Columns of `prices.parquet`: one row a bar that was published; `view` is `whole` or `last`."""
    i = result.most_traded
    trades = result.trades[result.trades["instrument"] == i]
    parts = {"whole": _whole(result), "last": stretch(result.shown, trades).bars}
    kept = {view: np.flatnonzero(_published(bars)) for view, bars in parts.items()}
    columns: dict[str, Any] = {
        "view": [view for view, rows in kept.items() for _ in rows],
        "venue": [result.instruments[i].venue for rows in kept.values() for _ in rows],
        "symbol": [result.instruments[i].symbol for rows in kept.values() for _ in rows],
        "timeframe": [parts[view].timeframe.name for view, rows in kept.items() for _ in rows],
    }
    columns = {name: np.array(values, dtype=object) for name, values in columns.items()}
    columns["open_time"] = np.concatenate(
        [(parts[view].first + rows) * parts[view].timeframe.ms for view, rows in kept.items()]
    )
    for name in (*PRICES, "volume"):
        columns[name] = np.concatenate([parts[view].columns[name][rows] for view, rows in kept.items()])
    return columns


def _published(bars: Bars) -> np.ndarray:
    whole: np.ndarray = (bars.state == TRADED) & np.isfinite([bars.columns[name] for name in PRICES]).all(axis=0)
    return whole


def _whole(result: PortfolioResult) -> Bars:
    """Bars of the whole run on the fastest clock that does not need too many."""
    shown, base = result.shown, result.timeframe
    clocks = [base, *(clock for clock in CLOCKS if clock > base and not clock.ms % base.ms)]
    clock = next((clock for clock in clocks if len(shown) <= MOST_BARS * clock.ratio(base)), clocks[-1])
    ratio = clock.ratio(base)
    bars = result.frames[result.most_traded].bars(clock)
    return bars.since(-(-shown.start // ratio)).until((shown.start + len(shown)) // ratio)


def judged(result: PortfolioResult, recording: Recording | None = None, search: Search | None = None) -> dict[str, Any]:
    """Content of `honesty.json`: the box, the stress it was put under, and the decision.

    Parameters
    ----------
    result : PortfolioResult
    recording : Recording, optional
        What the ledger counts now, this run included; without one the run is judged alone and never ships.
    search : Search, optional
        What it was chosen from, see `searched.search_of`.
    """
    known = recording or Recording.alone(trial_of(result))
    box = box_of(result, known, search)
    (dearer,) = costs(result.stage, result.intents_of, result.account, (2.0,))
    (late,) = delay(result.stage, result.intents_of, result.account, (1,))
    bounds = (result.metrics["total_return"], result.optimistic_metrics["total_return"])
    beside = plateau_of(result)
    asked = None if "sharpe" in box.why else foresight_of(result)  # nothing is asked of what is not testable
    truth = Truth.of(result.run, asked, result.explained)
    stressed = Stressed(dearer, late, beside, bounds, Tail.of(result.run), Marks.of(result.stage), truth)
    verdict = decide(box, stressed)
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


def box_of(result: PortfolioResult, recording: Recording, search: Search | None = None) -> Honesty:
    """What is left of a run after everything that was tried, and of the search that it was chosen from."""
    closed = result.closed
    daily, trades = search or (None, None)
    held = metrics.daily_returns(result.close_times, result.benchmark, result.account.cash, result.start_ms)
    sizes = np.abs(shares(closed["size"] * closed["entry_price"], closed["entry_number"], result.run))
    evidence = Evidence(result.daily_returns, len(closed), daily, trades, held, sizes, closed["pnl"])
    return judge(evidence, recording.tried, env=result.env)


def foresight_of(result: PortfolioResult) -> Foresight | None:
    """Whether the orders of a run know of later bars; None where what decided them was not handed in."""
    frames = {frame.instrument: frame for frame in result.frames}
    if result.rule is not None:
        return check_rule(result.scores[0].prism, result.rule, frames, result.intents_of)
    return None if result.strategy is None else check(frames, result.strategy.decide, orders=result.intents_of)


def trial_of(result: PortfolioResult) -> Trial:
    """A run as the trial ledger counts it: one configuration on the data of its stage."""
    from virtuoso.research.backtest.files import configuration

    chosen = {
        "configuration": configuration(result),
        "account": account_facts(result.account),
        "prism": result.provenance["prism"],
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


def write_sheet(result: PortfolioResult, folder: Path) -> dict[str, Any]:
    """Judge a run, and write its honesty and its tear sheet into its folder, unless they stand there as they are now.

    Parameters
    ----------
    result : PortfolioResult
        One that nobody recorded is judged alone and never ships.
    folder : Path
        Its run folder.

    Returns
    -------
    dict of str to Any
        Content of `honesty.json`.
    """
    found = judged(result, result.recording, search_of(result, folder.parent))
    told = as_json({"simulated": result.is_simulated, **found})
    sheets = [folder / HTML, folder / PDF]
    known = folder / HONESTY
    if known.is_file() and known.read_bytes() == told and all(sheet.is_file() for sheet in sheets):
        return found
    for sheet in sheets:  # where this is cut off in the middle, the folder is seen not to be whole
        sheet.unlink(missing_ok=True)
    Disk().write(known, told)
    write_tearsheet(folder)
    return found


def _case(name: str, case: Case) -> dict[str, Any]:
    return {"name": name, "net": case.net, "sharpe": case.sharpe, "drawdown": case.drawdown, "entries": case.entries}
