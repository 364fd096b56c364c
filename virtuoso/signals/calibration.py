"""Calibration of reliability: a plain table turns the heuristic into the probability that a signal is right.

1. Right means that the first target was touched before the stop within `signals.max_age`.
2. The table has steps. Each was learned from signals whose outcome was known before its `since`, and is applied to
   signals decided from then on, up to the next step. So a backtest over old bars uses what was known at the time;
   before the first step reliability stays a heuristic.
3. Between two knots the probability is interpolated linearly, beyond the outermost it stays what it is there.
4. A table fits the weights, thresholds and timeframe that it was learned with, and no others (reliability.py).

Learning is `virtuoso.research.validation.calibration`; here the table is only read, with + - x / and comparisons.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from virtuoso.clock import iso, parse_time
from virtuoso.errors import VirtuosoError
from virtuoso.types import Array, Times

Basis = Literal["heuristic", "calibrated"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

DIGEST = r"^[0-9a-f]{64}$"


def _time(text: str) -> str:
    try:
        return iso(parse_time(text))
    except VirtuosoError as refused:
        raise PydanticCustomError("time", "{message}", {"message": str(refused).rstrip(".")}) from None


TimeText = Annotated[str, AfterValidator(_time)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Step(_Table):
    """What was learned by a moment."""

    since: TimeText = Field(description="From here on this step applies to signals, UTC.")
    signals: int = Field(ge=1, description="Signals it was learned from; their outcomes were known before `since`.")
    right: int = Field(ge=0, description="How many of them were right.")
    knots: tuple[Share, ...] = Field(min_length=1, description="Heuristic reliability, increasing.")
    probability: tuple[Share, ...] = Field(min_length=1, description="Share of right signals there; never falling.")

    @model_validator(mode="after")
    def _is_a_rising_curve(self) -> Step:
        if len(self.knots) != len(self.probability):
            raise PydanticCustomError(
                "knots",
                "has {knots} knots and {values} probabilities; each knot has one",
                {"knots": len(self.knots), "values": len(self.probability)},
            )
        if (np.diff(self.knots) <= 0.0).any() or (np.diff(self.probability) < 0.0).any():
            raise PydanticCustomError("knots", "needs knots that increase and probabilities that never fall")
        return self

    def at(self, heuristic: Array) -> Array:
        """Probability of being right, NaN where the heuristic is not known; shape of `heuristic`."""
        knots, values = np.array(self.knots), np.array(self.probability)
        if len(knots) == 1:
            return np.where(np.isnan(heuristic), np.nan, values[0])
        k = np.clip(np.searchsorted(knots, heuristic, side="right") - 1, 0, len(knots) - 2)
        low, high = values[k], values[k + 1]
        share = (heuristic - knots[k]) / (knots[k + 1] - knots[k])
        between: Array = np.clip(low + share * (high - low), low, high)
        return between


class Calibration(_Table):
    """The table: its steps, and from what they were learned."""

    steps: tuple[Step, ...] = Field(min_length=1, description="Oldest first.")
    timeframe: str = Field(description="Base timeframe of the signals.")
    learned_with: str = Field(pattern=DIGEST, description="Digest of the weights and signal settings; see rule_digest.")
    instruments: tuple[str, ...] = Field(min_length=1, description="Whose signals were learned from, as venue:symbol.")
    data: str = Field(pattern=DIGEST, description="Digest of their bars.")
    first: TimeText = Field(description="When the first signal was decided, UTC.")
    last: TimeText = Field(description="When the life of the last one ended, UTC.")
    signals: int = Field(ge=1, description="How many there were.")
    right: int = Field(ge=0, description="How many of them were right.")
    brier: float = Field(ge=0.0, le=1.0, description="Mean squared error on signals that were not learned from.")
    brier_of_base_rate: float = Field(ge=0.0, le=1.0, description="The same of the share of right signals before.")
    verdict: str = Field(description="What that comparison says.")
    is_forced: bool = Field(description="Whether it is in use although it was not shown to be better.")

    @model_validator(mode="after")
    def _steps_follow_each_other(self) -> Calibration:
        times = [parse_time(step.since) for step in self.steps]
        if (np.diff(times) <= 0).any():
            raise PydanticCustomError("steps", "needs steps whose `since` increases")
        return self

    def probability(self, heuristic: Array, decided: Times) -> Array:
        """Probability that signals are right, by what was known when they were decided.

        Parameters
        ----------
        heuristic : Array, 0..1, shape (n,)
        decided : array of int64, ms, shape (n,)

        Returns
        -------
        Array, 0..1, shape (n,)
            NaN where the heuristic is not known, or where nothing had been learned.
        """
        found = np.full(len(heuristic), np.nan)
        begins = np.array([parse_time(step.since) for step in self.steps])
        step_of = np.searchsorted(begins, decided, side="right") - 1
        for k, step in enumerate(self.steps):
            found[step_of == k] = step.at(heuristic[step_of == k])
        return found
