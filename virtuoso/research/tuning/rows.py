"""A trial as it stands in a storage, whichever that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

RUNNING, WAITING = "running", "waiting"
PLACE, OWNER, OUTCOME = "place", "driver", "outcome"
"""Attributes of a trial: generation, slot and attempt; who runs it; what became of it."""


class TakenError(Exception):
    """Another driver was quicker."""


@dataclass(frozen=True, slots=True)
class Row:
    """A trial as it stands in the storage.

    Attributes
    ----------
    trial, number : int
        Its id, and its number within its round.
    state : str
        'running', 'waiting', 'complete', 'pruned' or 'fail'.
    params : mapping of str to float
        As Optuna keeps them.
    attributes : mapping
    values : tuple of float
    since : datetime or None
        When it began.
    """

    trial: int
    number: int
    state: str
    params: Mapping[str, float]
    attributes: Mapping[str, Any]
    values: tuple[float, ...] = ()
    since: datetime | None = None

    @property
    def place(self) -> tuple[int, int, int] | None:
        """Generation, slot and attempt; None of what was made by other means."""
        found = self.attributes.get(PLACE)
        return tuple(found) if isinstance(found, list) and len(found) == 3 else None
