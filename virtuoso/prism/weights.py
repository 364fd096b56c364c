"""What a file of weights says of itself: for which hold they are meant, and what they have shown.

1. `Standard` is the mean and spread of the confluence over the stretch that weights were fitted on.
2. `Certificate` is what a study and its gate found: what was tried, what was passed, and of which prism that holds.
   `virtuoso promote` writes it; nothing else may claim an edge.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from virtuoso.settings import RoomSettings

DIGEST = r"^[0-9a-f]{64}$"
NO_EDGE = "no edge shown"

CertificateVerdict = Literal["no edge shown", "ship", "iterate", "discard"]


class Standard(RoomSettings):
    """Where confluence usually lies: measured on the stretch that weights were fitted on, and on nothing later."""

    mean: float = Field(ge=0, le=100, description="Mean of the confluence, points.")
    sd: float = Field(gt=0, le=100, description="Standard deviation of the confluence, points.")


class Certificate(RoomSettings):
    """What weights have shown: written by the promotion gate, read wherever the weights are used."""

    verdict: CertificateVerdict = Field(
        description="`ship` where the gate was passed; `no edge shown` where nothing was fitted."
    )
    because: str = Field("", description="Why, in one sentence.")
    forced: bool = Field(False, description="Whether the weights were written although the gate refused them.")
    study: str | None = Field(None, description="Study that they come from.")
    date: str | None = Field(
        None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="Day of the promotion, UTC, such as '2026-11-30'."
    )
    tries: int | None = Field(None, ge=1, description="Everything that had been tried on the data by then.")
    passed: tuple[str, ...] = Field((), description="Questions of the gate that were passed.")
    failed: tuple[str, ...] = Field((), description="Questions that were failed or could not be tested.")
    prism: str | None = Field(None, pattern=DIGEST, description="Fingerprint of the prism that it is about.")
    data: str | None = Field(None, pattern=DIGEST, description="Digest of the data of the study.")
    space: str | None = Field(None, pattern=DIGEST, description="Digest of its search space.")
    code: str | None = Field(None, pattern=DIGEST, description="Digest of the code that it ran.")
    result: str | None = Field(None, pattern=DIGEST, description="`result_hash` of the winner's backtest.")

    @model_validator(mode="after")
    def _claims_are_backed(self) -> Certificate:
        judged = self.verdict != NO_EDGE
        if judged and not (self.study and self.tries and self.prism):
            raise PydanticCustomError(
                "certificate",
                "needs study, tries and prism beside the verdict {verdict}; virtuoso promote writes them",
                {"verdict": self.verdict},
            )
        if self.verdict == "ship" and self.failed:
            raise PydanticCustomError(
                "certificate",
                "has the verdict ship, but lists failed questions: {failed}",
                {"failed": ", ".join(self.failed)},
            )
        if self.forced != (self.verdict in ("iterate", "discard")):
            raise PydanticCustomError(
                "certificate",
                "needs forced: true with the verdicts iterate and discard, and with no other; was {verdict}",
                {"verdict": self.verdict},
            )
        return self

    def words(self) -> str:
        """Return what a study's weights have shown, in one line."""
        tried = f"{self.tries:,} {'try' if self.tries == 1 else 'tries'}"
        if self.forced:
            return f"forced past the gate after {tried}, which refused them: {', '.join(self.failed) or self.verdict}"
        return f"passed the gate after {tried}{f' on {self.date}' if self.date else ''}"
