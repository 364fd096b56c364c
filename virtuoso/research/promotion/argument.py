"""What a study comes to, in the words and figures of its report: the content of `honesty.json` and `verdict.json`.

1. `argued` asks the gate and writes down everything that it looked at: answers, rounds, rivals, baselines, regimes,
   scenarios, symbols outside, the neighbourhood of the winner.
2. The page and the paper of a study (reports/study/) are made from these files and the tables beside them alone.

It depends on what else was tried so far, so it is made anew when more was tried; the study's own tables never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from virtuoso.clock import Env
from virtuoso.research.promotion.baselines import Baseline
from virtuoso.research.promotion.evidence import Evidence
from virtuoso.research.promotion.gate import honesty, judge, neighbourhood
from virtuoso.research.tracking.recording import RecordedTrial
from virtuoso.research.validation.overfitting import NAN
from virtuoso.research.validation.robustness import Robustness, annual_sharpe
from virtuoso.research.validation.verdict import Decision, Verdict
from virtuoso.types import Array


@dataclass(frozen=True)
class Argument:
    """A study judged.

    Attributes
    ----------
    evidence : Evidence
    verdict : Verdict
    box : Robustness
    baselines : tuple of Baseline
    recording : RecordedTrial or None
        What the ledger counts; None for a study that was made by hand.
    simulated : bool
        Whether nobody traded at its prices.
    """

    evidence: Evidence
    verdict: Verdict
    box: Robustness
    baselines: tuple[Baseline, ...] = ()
    recording: RecordedTrial | None = None
    simulated: bool = False

    @property
    def passed(self) -> bool:
        """Whether its winner may be promoted."""
        return self.verdict.decision is Decision.SHIP

    @property
    def failed(self) -> list[str]:
        """Names of the questions that stand against it."""
        return [gate.name for gate in self.verdict.gates if gate.needed and not gate.passed]

    def honesty(self) -> dict[str, Any]:
        """Return the content of `honesty.json`."""
        seen, verdict = self.evidence, self.verdict
        near, kept = neighbourhood(seen)
        rows = [[name[:1].upper() + name[1:], figure, note] for name, figure, note in self.box.rows()]
        return {
            "study": seen.study,
            "simulated": self.simulated,
            "decision": verdict.decision.value,
            "testable": verdict.testable,
            "reasons": verdict.reasons,
            "recording": None if self.recording is None else self.recording.told(),
            "rows": rows if self.recording is None else [*rows, self.recording.row()],
            "gates": [
                {"name": gate.name, "passed": gate.passed, "needed": gate.needed, "reason": gate.reason}
                for gate in verdict.gates
            ],
            "rounds": self._rounds(),
            "rivals": [_record(name, daily) for name, daily in seen.rivals.items()],
            "walk": _record("out of sample", seen.walk),
            "baselines": [one.told() for one in self.baselines],
            "scenarios": [_record(name, daily) for name, daily in seen.scenarios.items()],
            "regimes": dict(seen.regimes),
            "outsiders": dict(seen.outsiders),
            "neighbours": {"rows": near, "kept": kept},
        }

    def told(self) -> dict[str, Any]:
        """Return the content of `verdict.json`: small, for pipelines and for `--json`."""
        gates = [gate for gate in self.verdict.gates if gate.needed]
        return {
            "study": self.evidence.study,
            "decision": self.verdict.decision.value,
            "promotable": self.passed,
            "testable": self.verdict.testable,
            "asked": len(gates),
            "passed": sum(gate.passed is True for gate in gates),
            "failed": self.failed,
            "reasons": self.verdict.reasons,
            "tries": self.box.tried.configurations,
            "effective_tries": self.box.tried.effective,
            "sharpe_out_of_sample": self.box.sharpe,
            "sharpe_in_sample": self.box.inside,
            "deflated_sharpe": self.box.deflated,
            "pbo": self.box.overfitting,
            "spa": self.box.superior,
        }

    def _rounds(self) -> list[dict[str, Any]]:
        seen, rows = self.evidence, []
        for k, number in enumerate(np.unique(seen.rounds).tolist()):
            here = seen.rounds == number
            rows.append(
                {
                    "name": f"walk-{number + 1}",
                    "from": int(seen.days[here][0]),
                    "to": int(seen.days[here][-1]),
                    "days": int(here.sum()),
                    "inside": float(seen.inside[k]) if k < len(seen.inside) else NAN,
                    "outside": float(seen.outside[k]) if k < len(seen.outside) else NAN,
                    "net": float(np.nansum(seen.walk[here])),
                    "costs": float(np.nansum(seen.costs[here])),
                }
            )
        return rows


def argued(
    evidence: Evidence,
    baselines: tuple[Baseline, ...] = (),
    recording: RecordedTrial | None = None,
    *,
    simulated: bool = False,
    env: Env | None = None,
) -> Argument:
    """Judge a study, and keep what it was judged by.

    Parameters
    ----------
    evidence : Evidence
    baselines : tuple of Baseline
    recording : RecordedTrial, optional
        What the ledger counts now.
    simulated : bool
    env : Env, optional
        Where bootstraps draw from; seeded with 0 if absent.
    """
    return Argument(
        evidence, judge(evidence, env=env), honesty(evidence, env=env), baselines, recording, simulated=simulated
    )


def _record(name: str, daily: Array) -> Mapping[str, Any]:
    """Sum of the known days of a record, and its Sharpe ratio a year."""
    known = daily[np.isfinite(daily)]
    return {"name": name, "net": float(known.sum()) if len(known) else NAN, "sharpe": annual_sharpe(daily)}
