"""The words and cells of a study's report, from its run folder alone: verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.clock import iso
from virtuoso.reports.format import DASH, MINUS, NOT_TESTABLE, number, percent, plural, whole
from virtuoso.reports.metrics import Finding
from virtuoso.runs.read import RunData, RunTable
from virtuoso.runs.schema import CONFIG, HONESTY, PROVENANCE, TRIALS, VERDICT, WALK_FORWARD, WINNER
from virtuoso.types import Array

COMPLETE = "complete"
FINAL = "final"
FIXED = ("number", "round", "generation", "state", "reason", "trades", "turnover", "seconds")
"""Columns of the trials that are neither a value nor a name of the space."""
LINES = {"return": "out of sample", "untuned": "untuned", "buy_and_hold": "buy and hold"}
"""Columns of the walk forward, and how they are called."""
DECISIONS = {
    "ship": "Passed the gate: fit for paper trading, and no more than that.",
    "iterate": "Not promoted: too little is known, or not everything was passed.",
    "discard": "Refused: what was found speaks against it.",
}
BINS = 8
"""Parts of a name's range whose means say how much it matters."""
MOST_NAMES, MOST_SLICES, MOST_REASONS = 16, 6, 8
YES, NO, UNKNOWN = "passed", "failed", NOT_TESTABLE


class Gate(NamedTuple):
    """One question and its answer."""

    name: str
    answer: str
    reason: str
    lean: str


class Cells(NamedTuple):
    """A table: heads, and rows of text; the first of each names it."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class StudyPage:
    """Words and cells of a study's report.

    Attributes
    ----------
    run : RunData
        As `read_study` reads it.
    """

    run: RunData

    # --- the head ---

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the gate wrote down."""
        return self.run.fact(HONESTY)

    @property
    def simulated(self) -> bool:
        """Whether any of the markets was made by the simulator."""
        return bool(self.facts.get("simulated"))

    @property
    def title(self) -> str:
        """Name of the study."""
        return f"Study {self.facts.get('study', self.run.name)}"

    @property
    def period(self) -> str:
        """What was traded, out of sample from when to when, and how many trials."""
        traded = self.run.fact(PROVENANCE).get("instruments") or self.run.fact(CONFIG).get("instruments") or ""
        traded = ", ".join(map(str, traded)) if isinstance(traded, list | tuple) else str(traded)
        days = self.walk["date"]
        stretch = f"out of sample {iso(int(days[0]))[:10]} to {iso(int(days[-1]))[:10]}" if len(days) else "no test day"
        return ", ".join(part for part in (traded, stretch, plural(len(self.trials["number"]), "trial")) if part)

    @property
    def decision(self) -> str:
        """Ship, iterate or discard."""
        return str(self.facts.get("decision", "not judged"))

    @property
    def verdict(self) -> str:
        """The verdict in a sentence."""
        return DECISIONS.get(self.decision, "Nobody judged it.")

    @property
    def reasons(self) -> list[str]:
        """Everything that stands against it; for what passed, the first of what speaks for it."""
        against = [gate.reason for gate in self.gates if gate.answer in (NO, UNKNOWN)]
        return against or [str(reason) for reason in self.facts.get("reasons", ())][:MOST_REASONS]

    @property
    def honesty(self) -> list[Finding]:
        """The honesty box."""
        return [Finding(*map(str, row)) for row in self.facts.get("rows", ())]

    @cached_property
    def gates(self) -> list[Gate]:
        """Every question, those that were refused first."""
        found = [_gate(told) for told in self.facts.get("gates", ())]
        order = {NO: 0, UNKNOWN: 1, YES: 2}
        return sorted(found, key=lambda gate: order.get(gate.answer, 3))

    @property
    def asked(self) -> str:
        """How many questions were asked, and how many of them passed."""
        told = self.run.fact(VERDICT)
        count, passed = int(told.get("asked", 0)), int(told.get("passed", 0))
        return f"{passed} of {plural(count, 'question')} passed. What could not be tested does not pass."

    # --- what was tried ---

    @cached_property
    def trials(self) -> RunTable:
        """One row a trial of any round."""
        return self.run.table(TRIALS)

    @cached_property
    def walk(self) -> RunTable:
        """Days of the rounds' winners."""
        return self.run.table(WALK_FORWARD)

    @cached_property
    def values(self) -> list[str]:
        """Columns of what the tuner was told."""
        return [name for name in self.trials if name == "value" or name.startswith("value_")]

    @cached_property
    def names(self) -> list[str]:
        """Names of the space."""
        told = set(self.values) | set(FIXED)
        return [name for name in self.trials if name not in told and not name.startswith(("in_", "out_"))]

    @cached_property
    def final(self) -> np.ndarray:
        """Rows of the completed trials of the last round."""
        done = np.array([str(state).lower() == COMPLETE for state in self.trials["state"]], dtype=bool)
        last = np.array([str(name) == FINAL for name in self.trials["round"]], dtype=bool)
        return np.flatnonzero(done & last)

    @cached_property
    def chosen(self) -> int:
        """Row of the winner among those; the best where the folder does not say."""
        number_ = self.run.fact(WINNER).get("trial")
        found = np.flatnonzero(np.asarray(self.trials["number"])[self.final] == number_)
        if len(found):
            return int(found[0])
        value = self.value()
        return int(np.nanargmax(value)) if len(value) and np.isfinite(value).any() else 0

    def value(self, which: int = 0) -> Array:
        """Return a value of the completed trials of the last round."""
        return self.column(self.values[which]) if self.values else np.empty(0)

    def column(self, name: str) -> Array:
        """Return a column of the completed trials of the last round."""
        return np.asarray(np.asarray(self.trials[name], dtype=np.float64)[self.final])

    @property
    def goal(self) -> str:
        """What was looked for."""
        told = self.run.fact(CONFIG).get("objectives") or (self.run.fact(CONFIG).get("study") or {}).get("objectives")
        return str(told[0]) if isinstance(told, list | tuple) and told else "value"

    @property
    def states(self) -> Cells:
        """How many trials each round made, and what became of them."""
        rounds = [str(name) for name in self.trials["round"]]
        states = [str(state).lower() for state in self.trials["state"]]
        rows = []
        for name in dict.fromkeys(rounds):
            mine = [state for state, of in zip(states, rounds, strict=True) if of == name]
            rows.append((name, *(whole(mine.count(state)) for state in (COMPLETE, "pruned", "fail"))))
        return Cells(("round", "completed", "pruned", "failed"), rows)

    @cached_property
    def importance(self) -> list[tuple[str, float]]:
        """Share of the variance of the value that the parts of a name's range explain, the largest first.

        Source: Pearson's correlation ratio; nothing is said of names together.
        """
        value = self.value()
        found = [(name, _explained(self.column(name), value)) for name in self.names]
        return sorted((pair for pair in found if pair[1] == pair[1]), key=lambda pair: -pair[1])

    @property
    def importance_rows(self) -> Cells:
        """The names that matter most, and where the winner lies."""
        rows = [
            (name, percent(share, 0), _plain(float(self.column(name)[self.chosen])))
            for name, share in self.importance[:MOST_NAMES]
        ]
        return Cells(("name", "explains", "winner"), rows)

    # --- what it rests on ---

    @property
    def outcomes(self) -> Cells:
        """Days out of sample: the winners' and what else one could have done."""
        found = [self.facts.get("walk") or {}, *self.facts.get("rivals", ())]
        rows = [(str(one["name"]), _share(one["net"]), _ratio(one["sharpe"])) for one in found if one]
        return Cells(("on the same days", "sum of returns", "Sharpe"), rows)

    @property
    def rounds(self) -> Cells:
        """The rounds of the walk forward."""
        rows = [
            (str(one["name"]), iso(int(one["from"]))[:10], iso(int(one["to"]))[:10], whole(one["days"]),
             _ratio(one["inside"]), _ratio(one["outside"]), _share(one["net"]), _share(one["costs"]))
            for one in self.facts.get("rounds", ())
        ]  # fmt: skip
        heads = ("round", "tested from", "to", "days", "Sharpe in sample", "out of sample", "net", "costs")
        return Cells(heads, rows)

    @property
    def baselines(self) -> Cells:
        """What comparisons of the winner's own backtest came to."""
        rows = [
            (str(one["name"]), _share(one["net"]), _ratio(one["sharpe"]), str(one.get("words", "")))
            for one in self.facts.get("baselines", ())
        ]
        return Cells(("on the days that it was tuned on", "net", "Sharpe", ""), rows)

    @property
    def parts(self) -> list[tuple[str, Cells]]:
        """Per scenario, per state of the market, and symbols outside, as far as there are any."""
        facts = self.facts
        scenarios = [(str(one["name"]), _share(one["net"]), _ratio(one["sharpe"])) for one in facts["scenarios"]]
        regimes = [(name, _share(net)) for name, net in (facts.get("regimes") or {}).items()]
        outsiders = [(name, _share(net)) for name, net in (facts.get("outsiders") or {}).items()]
        found = [
            ("Per scenario, out of sample", Cells(("scenario", "sum of returns", "Sharpe"), scenarios)),
            ("Per state of the market", Cells(("state", "profit over cash"), regimes)),
            ("Symbols outside the study", Cells(("symbol", "net"), outsiders)),
        ]
        return [(heading, cells) for heading, cells in found if cells.rows]

    @property
    def stress(self) -> list[Gate]:
        """Costs, delay and the order of prices inside bars, as they were answered."""
        return [gate for gate in self.gates if gate.name in ("costs", "delay", "ambiguity", "turnover")]

    @property
    def neighbour_words(self) -> str:
        """What lies beside the winner."""
        told = self.facts.get("neighbours") or {}
        rows, kept = told.get("rows") or [], told.get("kept")
        if kept is None or kept != kept:
            return f"{plural(len(rows), 'trial')} near the winner: too few to tell a plateau from a spike."
        return f"The median of the {len(rows)} nearest keeps {percent(float(kept), 0)} of the winner's value; circled."

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where every number came from."""
        winner = self.run.fact(WINNER)
        told = {"study": self.run.name} | {k: str(v) for k, v in self.run.fact(PROVENANCE).items()}
        found = {"result_hash": winner.get("result_hash"), "repeat it": winner.get("command")}
        return told | {name: str(value) for name, value in found.items() if value}

    @property
    def growth(self) -> dict[str, Array]:
        """Growth of one unit over the days out of sample, by name; what is not known stands still."""
        return {
            title: np.asarray(np.cumprod(1.0 + np.nan_to_num(self.walk[name].astype(np.float64))))
            for name, title in LINES.items()
            if name in self.walk
        }

    @property
    def sharpe_words(self) -> str:
        """The reported number."""
        daily = np.asarray(self.walk["return"], dtype=np.float64)
        known = daily[np.isfinite(daily)]
        spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
        ratio = float(known.mean()) / spread * np.sqrt(DAYS_A_YEAR) if spread > 0.0 else float("nan")
        return f"Sharpe ratio out of sample {number(ratio)} a year over {plural(len(known), 'day')}, net of costs."


def _gate(told: Mapping[str, Any]) -> Gate:
    if told["passed"] is None:
        answer = UNKNOWN if told["needed"] else "not asked"
        return Gate(str(told["name"]), answer, str(told["reason"]), "unknown")
    return Gate(
        str(told["name"]), YES if told["passed"] else NO, str(told["reason"]), "" if told["passed"] else "bearish"
    )


def _explained(x: Array, y: Array) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) < 2 * BINS or float(np.ptp(x)) == 0.0 or float(np.ptp(y)) == 0.0:
        return float("nan")
    edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, BINS + 1)))
    at = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(at, minlength=len(edges) - 1)
    mean = np.bincount(at, weights=y, minlength=len(edges) - 1) / np.maximum(count, 1)
    between = float((count * (mean - y.mean()) ** 2).sum())
    return between / float(((y - y.mean()) ** 2).sum())


def _share(value: Any) -> str:
    return DASH if value is None else percent(float(value), signed=True)


def _ratio(value: Any) -> str:
    return DASH if value is None else number(float(value))


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS) if value == value else DASH


def shown_names(page: StudyPage) -> Sequence[str]:
    """Return the names that matter most, for parallel coordinates."""
    return [name for name, _ in page.importance[:MOST_NAMES]] or page.names[:MOST_NAMES]
