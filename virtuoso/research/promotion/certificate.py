"""The certificate of promoted weights: what was tried, what it passed, and of what exactly that holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from virtuoso.prism.weights import Certificate
from virtuoso.research.promotion.argument import Argument
from virtuoso.runs.write import as_json

MOST_SAID = 400
"""Characters of the reason that are kept."""


def certificate_of(
    argument: Argument, identity: Mapping[str, Any], day: str, *, prism: str, result_hash: str = ""
) -> Certificate:
    """Certify what a study found: passed the gate, or forced past it.

    Parameters
    ----------
    argument : Argument
    identity : mapping
        Digests of data, space and code, as the study's `identity.json` holds them.
    day : str
        Of the promotion, UTC, such as '2026-11-30'.
    prism : str
        Fingerprint of the prism that the weights make; of a strategy the digest of its class and parameters.
    result_hash : str
        Of the winner's backtest.

    Returns
    -------
    Certificate
        `forced` where the gate refused: the file says so for ever, and lists what failed.
    """
    verdict = argument.verdict
    reasons = "; ".join(verdict.reasons)
    return Certificate(
        verdict=verdict.decision.value,
        because=reasons if len(reasons) <= MOST_SAID else f"{reasons[: MOST_SAID - 3]}...",
        forced=not argument.passed,
        study=argument.evidence.study,
        date=day,
        tries=max(argument.box.tried.configurations, 1),
        passed=tuple(gate.name for gate in verdict.gates if gate.needed and gate.passed),
        failed=tuple(argument.failed),
        prism=prism,
        data=hashlib.sha256(as_json(identity["data"])).hexdigest(),
        space=str(identity["space"]),
        code=str(identity["code"]),
        result=result_hash or None,
    )
