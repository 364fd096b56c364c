"""Files of a run folder from which a tear sheet is made later, without the data and without running anything again.

| file | holds |
|---|---|
| `words.json` | title, verdict, findings beside the returns, limits, assumptions |
| `reliability.json` | reliability that signals carried, and the share that was right |
| `fans.json` | equity of the same trades in other orders, and of histories of its own days |
| `prices.parquet` | bars of the most traded instrument: all of the run slowly, its last trades fast |
| `honesty.json` | what is left of it after all tries, under stress, and the decision |

`honesty.json` depends on what else was tried so far, so it is not among the files that the same inputs repeat byte by
byte; `judged` makes it when a run is written.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.account import metrics
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.columns import PRICES
from virtuoso.market.disk import Disk
from virtuoso.market.gaps import TRADED
from virtuoso.reports.candles import stretch
from virtuoso.reports.page import Finding
from virtuoso.reports.tearsheet import HONESTY, write_tearsheet
from virtuoso.research.fans import drawn_days, other_orders, shares
from virtuoso.research.honesty import Evidence, judge
from virtuoso.research.neighbourhood import plateau_of
from virtuoso.research.reliability_diagram import reliability_of
from virtuoso.research.run_folder import as_json, as_parquet
from virtuoso.research.searched import Search, search_of
from virtuoso.research.stress import Case, costs, delay
from virtuoso.research.trials import Trial, TrialLedger, Tried
from virtuoso.research.unseen import Marks, Tail
from virtuoso.research.verdict import Stressed, decide

if TYPE_CHECKING:
    from virtuoso.research.portfolio_result import PortfolioResult

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
    from virtuoso.research import portfolio_words as said

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


def judged(result: PortfolioResult, tried: Tried | None = None, search: Search | None = None) -> dict[str, Any]:
    """Content of `honesty.json`: the box, the stress it was put under, and the decision.

    Parameters
    ----------
    result : PortfolioResult
    tried : Tried, optional
        What the ledger counted on this data, this run included; this run alone if absent.
    search : Search, optional
        What it was chosen from, see `searched.search_of`.
    """
    held = metrics.daily_returns(result.close_times, result.benchmark, result.account.cash, result.start_ms)
    sizes = np.abs(
        shares(result.closed["size"] * result.closed["entry_price"], result.closed["entry_number"], result.run)
    )
    daily, trades = search or (None, None)
    evidence = Evidence(
        result.daily_returns, len(result.closed), daily, trades, held, sizes=sizes, gains=result.closed["pnl"]
    )
    box = judge(evidence, tried, env=result.env)
    (dearer,) = costs(result.stage, result.intents_of, result.account, (2.0,))
    (late,) = delay(result.stage, result.intents_of, result.account, (1,))
    bounds = (result.metrics["total_return"], result.optimistic_metrics["total_return"])
    beside = plateau_of(result)
    verdict = decide(box, Stressed(dearer, late, beside, bounds, Tail.of(result.run), Marks.of(result.stage)))
    return {
        "decision": verdict.decision.value,
        "testable": verdict.testable,
        "reasons": verdict.reasons,
        "rows": [[name[:1].upper() + name[1:], figure, note] for name, figure, note in box.rows()],
        "stress": [_case("Costs doubled", dearer), _case("One bar late", late)],
        "plateau": [_case(case.name, case) for case in (beside.chosen, *beside.neighbours)],
        "gates": [
            {"name": gate.name, "passed": gate.passed, "needed": gate.needed, "reason": gate.reason}
            for gate in verdict.gates
        ],
    }


def trial_of(result: PortfolioResult) -> Trial:
    """A run as the trial ledger counts it: one configuration on the data of its stage."""
    from virtuoso.research.portfolio_files import configuration

    chosen = as_json(configuration(result)) + result.provenance["prism"].encode() + result.run.intents.tobytes()
    return Trial(
        command="backtest",
        instruments=tuple(map(str, result.instruments)),
        first=result.start_ms,
        stop=int(result.close_times[-1]),
        data=result.provenance["stage"],
        config=hashlib.sha256(chosen).hexdigest(),
    ).seen(result.daily_returns)


def write_sheet(result: PortfolioResult, folder: Path, ledger: TrialLedger | None = None) -> dict[str, Any]:
    """Judge a run that was just written, and write its honesty and its tear sheet into its folder.

    Parameters
    ----------
    result : PortfolioResult
    folder : Path
        Its run folder.
    ledger : TrialLedger, optional
        Where the run is recorded, and which says what else was tried; without it the run is judged alone.

    Returns
    -------
    dict of str to Any
        Content of `honesty.json`.
    """
    tried = None
    if ledger is not None:
        trial = trial_of(result)
        ledger.record(trial)
        tried = ledger.tried(trial)
    found = judged(result, tried, search_of(result, folder.parent))
    Disk().write(folder / HONESTY, as_json({"simulated": result.is_simulated, **found}))
    write_tearsheet(folder)
    return found


def _case(name: str, case: Case) -> dict[str, Any]:
    return {"name": name, "net": case.net, "sharpe": case.sharpe, "drawdown": case.drawdown, "entries": case.entries}
