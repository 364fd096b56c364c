"""The evidence of a finished study, gathered from its result and by trading a few points once more.

1. The winner of each round, the untuned default and equal weights are evaluated over the round's test window, by the
   evaluator that evaluated the trials: the same market, the same terms, the same days.
2. Holding and a plain past return are computed from the closes of the same days, at the same costs.
3. What was searched is in `daily.parquet` and `trials.parquet`; what the winner's own backtest answered, in its folder.

Nothing that is gathered here is chosen from, so that none of it counts as a try.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.account.metrics import DAY_MS
from virtuoso.errors import NoDataError
from virtuoso.project import project
from virtuoso.research.promotion.baselines import Baseline, held, of_backtest, past_return
from virtuoso.research.promotion.evidence import (
    EQUAL,
    HOLD,
    LEAST_RIVALS,
    ONE_SET,
    PAST,
    UNTUNED,
    Evidence,
    HoldOut,
    Space,
)
from virtuoso.research.tracking.experiments import FOLDER, Trial, TrialLedger, sharpes
from virtuoso.research.tracking.holdouts import HoldoutRecord
from virtuoso.research.tracking.recording import RecordedTrial, record
from virtuoso.research.tuning.driver import generation_digest
from virtuoso.research.tuning.evaluate import Evaluator
from virtuoso.research.tuning.objective import OBJECTIVES, ScenarioReturns
from virtuoso.research.tuning.parts import SLIPPAGE
from virtuoso.research.tuning.rounds import Round
from virtuoso.research.validation.overfitting import NAN
from virtuoso.research.validation.robustness import annual
from virtuoso.research.validation.verdict import Hurdle
from virtuoso.runs.schema import (
    BREAKDOWNS,
    CONFIG,
    DAILY,
    FIGURES,
    HONESTY,
    TRADES,
    TRIALS,
)
from virtuoso.runs.schema import WINNER as WINNER_FACTS
from virtuoso.types import Array, Times

WINNER = "winner"
"""Folder of the winner's own backtest, in the result of its study."""
COMPLETE, FINAL = "complete", "final"
CASH = 10_000.0

Table = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Gathered:
    """What a study is judged by, and what its report shows beside it.

    Attributes
    ----------
    evidence : Evidence
    baselines : tuple of Baseline
    recording : RecordedTrial
    simulated : bool
    """

    evidence: Evidence
    baselines: tuple[Baseline, ...]
    recording: RecordedTrial
    simulated: bool


@dataclass(frozen=True)
class _Walked:
    """Days out of sample of one scenario: of the winners, untuned, with equal weights, with one set of weights."""

    days: Times
    daily: Array  # (n_days, 3), or 4 where weights differ by regime
    gross: Array
    costs: Array
    turned: Array
    trades: float
    rounds: Array


def gathered(
    folder: Path,
    evaluator: Evaluator,
    *,
    outsiders: Mapping[str, float] | None = None,
    holdout: HoldoutRecord | None = None,
) -> Gathered:
    """Gather the evidence of a finished study.

    Parameters
    ----------
    folder : Path
        `result/` below the study's folder.
    evaluator : Evaluator
        Of the study, as it was run.
    outsiders : mapping of str to float, optional
        Net return of the winner on symbols that the study does not name.
    holdout : HoldoutRecord, optional
        What the ledger says of its hold-out; None where it names none.

    Raises
    ------
    NoDataError
        The study is not finished.
    """
    told = _facts(folder / WINNER_FACTS)
    rounds = {one.name: one for one in evaluator.rounds}
    winners = {one["round"]: np.array(one["point"], dtype=np.float64) for one in told["rounds"]}
    walked = [(rounds[name], point) for name, point in winners.items() if name != FINAL]
    scenarios = _walked(evaluator, walked)
    whole, hold = _combined(scenarios), _holding_days(folder / WINNER)
    inside, outside = _ratios(evaluator, walked)
    recording = _recording(folder, evaluator)
    evidence = Evidence(
        study=evaluator.study.name,
        tried=recording.tried,
        days=whole.days,
        walk=whole.daily[:, 0],
        trades=round(whole.trades),
        rounds=whole.rounds.astype(np.int64),
        inside=inside,
        outside=outside,
        gross=whole.gross,
        costs=whole.costs,
        turnover=whole.turned,
        hold=hold,
        rivals=_rivals(evaluator, whole, hold),
        least=LEAST_RIVALS if evaluator.space.groups else (UNTUNED, HOLD, PAST),
        **_searched(folder, evaluator, told),
        asked=tuple(_asked(folder / WINNER)),
        scenarios={name: one.daily[:, 0] for name, one in scenarios.items()} if len(scenarios) > 1 else {},
        regimes=_regimes(folder / WINNER),
        outsiders=dict(outsiders or {}),
        holdout=_holdout(evaluator, holdout, folder),
    )
    simulated = any(place.instrument.is_simulated for place in evaluator.places)
    return Gathered(evidence, _baselines(folder / WINNER), recording, simulated)


# --- days out of sample -----------------------------------------------------------------------------------------


def _walked(evaluator: Evaluator, chosen: Sequence[tuple[Round, Array]]) -> dict[str, _Walked]:
    """Trade the winners and their rivals on the test window of each round.

    Rivals are the default, equal weights, and of weights by regime the same with one set of weights.
    """
    found: dict[str, list[tuple[int, ScenarioReturns]]] = {name: [] for name in evaluator.scenarios}
    space = evaluator.space
    for round_, point in chosen:
        beside = [point, space.prior, equal_point(evaluator)]
        if space.has_regimes:
            beside.append(space.without_regimes(point))
        for one in evaluator.evaluate(np.vstack(beside), round_).returns:
            window = round_.windows[one.name]
            found[one.name].append((round_.number, one.between(window.test_first, window.test_stop)))
    return {name: _joined(parts) for name, parts in found.items() if parts}


def _joined(parts: Sequence[tuple[int, ScenarioReturns]]) -> _Walked:
    """Put the test windows of one scenario behind each other."""
    seen = [one for _, one in parts]
    return _Walked(
        days=np.concatenate([one.days for one in seen]),
        daily=np.concatenate([one.daily for one in seen]),
        gross=np.concatenate([one.gross[:, 0] for one in seen]),
        costs=np.concatenate([one.costs[:, 0] for one in seen]),
        turned=np.concatenate([one.turned[:, 0] for one in seen]),
        trades=float(sum(one.traded[:, 0].sum() for one in seen)),
        rounds=np.concatenate([np.full(len(one.days), number) for number, one in parts]),
    )


def _combined(scenarios: Mapping[str, _Walked]) -> _Walked:
    """Put scenarios together: the mean over those that have a day."""
    if not scenarios:
        none = np.empty(0)
        return _Walked(np.empty(0, np.int64), np.empty((0, 3)), none, none, none, 0.0, none)
    several = list(scenarios.values())
    days = np.unique(np.concatenate([one.days for one in several]))
    count = np.zeros(len(days))
    for one in several:
        count[np.searchsorted(days, one.days)] += 1.0

    def mean(name: str) -> Array:
        total: Array | None = None
        for one in several:
            values = getattr(one, name)
            laid = np.zeros((len(days), *values.shape[1:]))
            laid[np.searchsorted(days, one.days)] = values
            total = laid if total is None else total + laid
        assert total is not None
        return np.asarray(total / count.reshape(-1, *[1] * (total.ndim - 1)))

    rounds = np.zeros(len(days))
    for one in several:
        rounds[np.searchsorted(days, one.days)] = one.rounds
    return _Walked(days, mean("daily"), mean("gross"), mean("costs"), mean("turned"),
                   sum(one.trades for one in several), rounds)  # fmt: skip


def _ratios(evaluator: Evaluator, chosen: Sequence[tuple[Round, Array]]) -> tuple[Array, Array]:
    """Sharpe ratio a year of each round's winner on the days that it was tuned on, and on those of its test."""
    found: list[tuple[float, float]] = []
    for round_, point in chosen:
        returns = evaluator.evaluate(point[None], round_).returns
        windows = [(one, round_.windows[one.name]) for one in returns]
        tuned = [one.between(window.train_first, window.train_stop) for one, window in windows]
        tested = [one.between(window.test_first, window.test_stop) for one, window in windows]
        found.append((_ratio(tuned), _ratio(tested)))
    table = np.array(found).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _ratio(parts: Sequence[ScenarioReturns]) -> float:
    daily = np.concatenate([part.daily[:, 0] for part in parts])
    return annual(float(sharpes(daily[:, None])[0]))


def equal_point(evaluator: Evaluator) -> Array:
    """Return the point at which every component counts the same, and every timeframe; all else is as in force.

    Weights that the study does not vary stay as they are; one that counts against keeps its sign.
    """
    space = evaluator.space
    point = space.prior.copy()
    known = {face.name: sum(1 for weight in face.components.values() if weight) for face in space.prism.faces}
    for group in space.groups:
        own = group.name.rpartition(".")[0] + "." if group.beside else ""  # the regime, before each name
        names = [member.removeprefix(own) for member in group.members]
        wanted = [float(max(known.get(name, 1), 1)) if group.name == f"{own}faces" else 1.0 for name in names]
        at = list(group.at)
        apart = np.log(wanted) - np.log(np.abs(np.array(group.weights)))
        if group.beside:
            apart = apart - point[list(group.beside)]
        point[at] = np.clip(apart - apart.mean(), space.low[at], space.high[at])
    return point


def _rivals(evaluator: Evaluator, whole: _Walked, hold: float) -> dict[str, Array]:
    """What else one could have done on the same days."""
    rivals = {UNTUNED: whole.daily[:, 1]}
    if evaluator.space.groups:
        rivals[EQUAL] = whole.daily[:, 2]
    if evaluator.space.has_regimes and len(whole.days):
        rivals[ONE_SET] = whole.daily[:, 3]
    loaded = [evaluator.part(number).loaded for number in range(len(evaluator.places))]
    if not len(whole.days) or not loaded:
        return rivals
    first = min(one.first_day for one in loaded)
    last = max(one.first_day + one.n_days for one in loaded)
    closes = np.full((last - first, len(loaded)), np.nan)
    for k, one in enumerate(loaded):
        closes[one.first_day - first : one.first_day - first + one.n_days, k] = _closes(one)
    at = whole.days // DAY_MS - first
    slippage = evaluator.study.terms.slippage
    cost = loaded[0].account.taker + (SLIPPAGE if slippage is None else slippage)
    rivals[HOLD] = held(closes)[at]
    if hold == hold:
        rivals[PAST] = past_return(closes, hold, cost)[at]
    return rivals


def _closes(loaded: Any) -> Array:
    """Last known close of each whole day of a part."""
    frame = loaded.frame
    first = frame.start - frame.base.first
    close = frame.base.columns["close"][first : first + len(frame)]
    ends = np.arange(1, loaded.n_days + 1) * (DAY_MS // frame.timeframe.ms) - 1
    known = np.isfinite(close)
    last = np.maximum.accumulate(np.where(known, np.arange(len(close)), -1))[ends]
    return np.where(last >= 0, close[np.maximum(last, 0)], np.nan)


# --- what was searched ------------------------------------------------------------------------------------------


def _searched(folder: Path, evaluator: Evaluator, told: Mapping[str, Any]) -> dict[str, Any]:
    """Daily returns of the completed trials of the last round, and where they lie."""
    trials, daily = _table(folder / TRIALS), _table(folder / DAILY)
    rows = np.flatnonzero((trials["round"] == FINAL) & (trials["state"] == COMPLETE))
    numbers = [int(number) for number in trials["number"][rows]]
    kept = [k for k, number in enumerate(numbers) if str(number) in daily]
    rows, numbers = rows[kept], [numbers[k] for k in kept]
    if told["trial"] not in numbers:
        return {"search": np.empty((len(daily["date"]), 0)), "search_trades": None, "space": None}
    search = np.column_stack([daily[str(number)] for number in numbers])
    names, study = evaluator.space.names, evaluator.study
    points = np.column_stack([trials[name][rows].astype(np.float64) for name in names])
    span = evaluator.space.high - evaluator.space.low
    goal = study.objectives[0]
    value = trials["value" if "value" in trials else f"value_{goal}"][rows].astype(np.float64)
    chosen = numbers.index(told["trial"])
    scaled = (points - evaluator.space.low) / np.where(span > 0.0, span, 1.0)
    return {
        "search": search,
        "search_trades": np.nan_to_num(trials["trades"][rows]).astype(np.int64),
        "space": Space(scaled, OBJECTIVES[goal].sign * value, chosen),
    }


def _recording(folder: Path, evaluator: Evaluator) -> RecordedTrial:
    """What the ledger counts: a generation of the study stands for it, and all other tries are counted beside."""
    trials = _table(folder / TRIALS)
    mine = set(_generations(trials, evaluator))
    found = [one for one in TrialLedger(project().root / FOLDER).trials() if one.config in mine]
    if found:
        return record(found[-1])
    first, stop = _stretch(evaluator)
    instruments = tuple(dict.fromkeys(str(place.instrument) for place in evaluator.places))
    alone = Trial("tune", instruments, first, stop, "", evaluator.study.digest, family=tuple(evaluator.family))
    counted = replace(alone, configurations=max(len(trials["number"]), 1))
    return RecordedTrial.alone(counted, "none of its generations is in the ledger")


def _generations(trials: Table, evaluator: Evaluator) -> Iterator[str]:
    """What the driver calls each whole generation in the ledger; one that was stopped in the middle has other names."""
    identity = {name: value for name, value in evaluator.identity.items() if name != "study"}
    points = np.column_stack([trials[name].astype(np.float64) for name in evaluator.space.names])
    for name in dict.fromkeys(trials["round"].tolist()):
        of_round = trials["round"] == name
        for generation in np.unique(trials["generation"][of_round]):
            rows = np.flatnonzero(of_round & (trials["generation"] == generation))
            rows = rows[np.argsort(trials["number"][rows], kind="stable")]
            yield generation_digest(points[rows], name, identity, evaluator.study)


def _stretch(evaluator: Evaluator) -> tuple[int, int]:
    several = [stretch for of in evaluator.stretches.values() for stretch in of.values()]
    return min(first for first, _ in several), max(stop for _, stop in several)


# --- the winner's own backtest ----------------------------------------------------------------------------------


def _asked(folder: Path) -> Iterator[Hurdle]:
    """Answers that the winner's backtest gave."""
    for gate in _facts(folder / HONESTY, needed=False).get("gates", ()):
        yield Hurdle(gate["name"], gate["passed"], gate["reason"], gate["needed"])


def _holding_days(folder: Path) -> float:
    """Mean time between entry and exit of the winner's trades, days; NaN where there are none."""
    file = folder / TRADES
    if not file.is_file():
        return NAN
    trades = _table(file)
    known = trades["exit_bar_time"] >= trades["entry_time"]
    if not known.any():
        return NAN
    return float((trades["exit_bar_time"][known] - trades["entry_time"][known]).mean()) / DAY_MS


def _regimes(folder: Path) -> dict[str, float]:
    """Profit of the winner in each state of the market, over the cash."""
    file = folder / BREAKDOWNS
    if not file.is_file():
        return {}
    table, cash = _table(file), _cash(folder)
    mine = np.flatnonzero(table["by"] == "regime")
    return {str(table["name"][row]): float(table["pnl"][row]) / cash for row in mine}


def _baselines(folder: Path) -> tuple[Baseline, ...]:
    return of_backtest(_facts(folder / FIGURES, needed=False), _cash(folder))


def _cash(folder: Path) -> float:
    return float(_facts(folder / CONFIG, needed=False).get("terms", {}).get("cash") or CASH)


def _holdout(evaluator: Evaluator, known: HoldoutRecord | None, folder: Path) -> HoldOut | None:
    """What the ledger says of the hold-out, as far as it is of the winner that is there."""
    if known is None:
        return None if evaluator.study.holdout is None else HoldOut(False)
    winner = hashlib.sha256((folder / "winner.yaml").read_bytes()).hexdigest()
    results = [one.result for one in known.own if one.winner == winner and one.result and "failed" not in one.result]
    if not results:
        return HoldOut(False, openings=known.looks)
    last = results[-1]
    return HoldOut(True, _float(last.get("net_return")), known.looks, _float(last.get("deflated")))


def _float(value: Any) -> float:
    return NAN if value is None else float(value)


# --- files ------------------------------------------------------------------------------------------------------


def _facts(file: Path, *, needed: bool = True) -> dict[str, Any]:
    if not file.is_file():
        if needed:
            raise NoDataError(f"{file} is not there: the study is not finished. Run it: virtuoso tune")
        return {}
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def _table(file: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    if not file.is_file():
        raise NoDataError(f"{file} is not there: the study is not finished. Run it: virtuoso tune")
    table = pq.read_table(file)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
