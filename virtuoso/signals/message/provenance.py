"""Provenance: from which data, by which configuration and by which code a signal was made.

1. Data: the bars that went in, from the first one that any component, the rule or a level looked at to the bar of the
   decision. The range depends on that bar alone, so batch and live give the same digest.
2. Config: the prism with its weights and parameters, and the settings of this room.
3. Code: the sources that scoring and signals run through, private components included.

Whoever has these bars, this configuration and this code gets the same signal, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from virtuoso.clock import Timeframe
from virtuoso.files import digest as own
from virtuoso.market.bars import Bars
from virtuoso.prism.component import Node
from virtuoso.prism.engine import fingerprint
from virtuoso.prism.engine.graph import columns_of, nodes_of, reach
from virtuoso.prism.engine.workspace import Workspace, visible
from virtuoso.prism.prism import Prism
from virtuoso.signals import history, levels, rule
from virtuoso.signals.message import context
from virtuoso.signals.settings import SignalSettings

BUILD = "virtuoso.signals.message.build"
"""Where signals are made: every module of the room that has a part in them is imported from here."""
HASHED_BARS = 4_096
"""Base bars hashed at once: whole chunks are hashed once a workspace."""


@dataclass(slots=True)
class _Traced:
    """What was found out about a workspace once and holds for as long as it lives.

    Attributes
    ----------
    hashed : dict of int to bytes
        Digests of whole chunks of base bars.
    reached : dict of tuple to int, ms
        How far back the scores of a block reach, by prism, timeframe and block.
    codes : dict of tuple of Node to str
        Digests of the code that nodes and signals run through.
    """

    hashed: dict[int, bytes] = field(default_factory=dict)
    reached: dict[tuple[str, str, int], int] = field(default_factory=dict)
    codes: dict[tuple[Node, ...], str] = field(default_factory=dict)


_TRACED: WeakKeyDictionary[Workspace, _Traced] = WeakKeyDictionary()


class Provenance(BaseModel):
    """Where a signal comes from, as digests (SHA-256), and what computed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = Field(description="Digest of the bars that went in.")
    data_from: int = Field(description="Open time of the first of them, ms UTC.")
    data_to: int = Field(description="Close time of the last of them, ms UTC.")
    config: str = Field(description="Digest of weights, parameters and signal settings.")
    code: str = Field(description="Digest of the sources that scoring and signals run through.")
    weights: str = Field("", description="Which weights are in force and what they have shown, in one line.")
    model: str | None = Field(None, description="Digest of the trained validator, null where none was used.")
    commit: str | None = Field(None, description="Git commit of the checkout, null where there is none.")
    environment: dict[str, str] = Field(description="Versions of the libraries, CPU level and platform.")


def first_needed(prism: Prism, workspace: Workspace, settings: SignalSettings, number: int) -> int:
    """Number of the first base bar that a signal decided at base bar `number` depends on.

    What loads history for signals loads from here on (or from the beginning of history, where that is later).
    """
    base = workspace.frame.timeframe
    lead = number - max(rule.memory(settings, base), history.looked_back(prism, settings, base))
    earliest = min(base.open_time(lead), base.open_time(number - context.TICK_BARS + 1))
    for timeframe, _ in prism.ladder(base):
        earliest = min(earliest, _reach_of_scores(prism, workspace, timeframe, visible(lead, base, timeframe)))
    # independence is measured over the last whole block, at the remembered bars as well
    earliest = min(earliest, _reach_of_scores(prism, workspace, base, lead - workspace.buffers(base).block))
    slow = levels.structure_timeframe(prism, base, settings.levels)
    looked_at = [(node, slow, settings.levels.memory - 1) for node in levels.features(settings.levels)]
    for node, timeframe, bars in [*looked_at, *context.looks_at(prism, base)]:
        if columns_of(node) <= set(workspace.frame.base.columns):
            earliest = min(earliest, _earliest(node, workspace, timeframe, visible(number, base, timeframe) - bars))
    return earliest // base.ms


def _reach_of_scores(prism: Prism, workspace: Workspace, timeframe: Timeframe, number: int) -> int:
    """Open time, ms, of the first bar that any score on a timeframe depends on at one of its bars."""
    block = number // workspace.buffers(timeframe).block
    reached = _TRACED.setdefault(workspace, _Traced()).reached
    key = (prism.fingerprint, timeframe.name, block)
    if key not in reached:
        nodes = nodes_of(prism, workspace.frame.base.columns)
        reached[key] = min(
            (_earliest(node, workspace, timeframe, number) for node in nodes), default=number * timeframe.ms
        )
    return reached[key]


def _earliest(node: Node, workspace: Workspace, timeframe: Timeframe, number: int) -> int:
    """Open time, ms, of the first bar that the value of a node at a bar depends on."""
    first = reach(node, timeframe, number, lambda other: workspace.buffers(other).block)
    return min(other.open_time(bar) for other, bar in first.items())


def data_digest(workspace: Workspace, start: int, stop: int) -> str:
    """Digest of the instrument and the logical values of the base bars numbered [start, stop)."""
    frame = workspace.frame
    digest = hashlib.sha256(f"{frame.instrument} {frame.timeframe} {start} {stop}".encode())
    hashed = _TRACED.setdefault(workspace, _Traced()).hashed
    at = start
    while at < stop:
        chunk = at // HASHED_BARS
        end = min((chunk + 1) * HASHED_BARS, stop)
        if end - at < HASHED_BARS:
            digest.update(_hash(frame.base, at, end))
        else:
            if chunk not in hashed:
                hashed[chunk] = _hash(frame.base, at, end)
            digest.update(hashed[chunk])
        at = end
    return digest.hexdigest()


def _hash(bars: Bars, start: int, stop: int) -> bytes:
    here = slice(start - bars.first, stop - bars.first)
    digest = hashlib.sha256(np.ascontiguousarray(bars.state[here]).data)
    for name in sorted(bars.columns):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(bars.columns[name][here]).data)
    return digest.digest()


def config_digest(prism: Prism, settings: SignalSettings) -> str:
    """Digest of all that is set and that a signal depends on: faces, weights, parameters, thresholds, levels."""
    text = json.dumps(settings.model_dump(mode="json", exclude={"reports"}), sort_keys=True)
    unavailable = sorted((face.name, name, weight) for face in prism.faces for name, weight in face.unavailable.items())
    return hashlib.sha256(f"{prism.fingerprint}\n{unavailable!r}\n{text}".encode()).hexdigest()


def signal_code_digest(prism: Prism, *modules: str) -> str:
    """Digest of the code of scoring, signals and named modules, private components and all they reach included."""
    private = {type(node) for node in _scored_by(prism) if not own.of_house(type(node).__module__)}
    ordered = sorted(private, key=lambda cls: (cls.__module__, cls.__qualname__))
    return own.code_digest(ordered, [fingerprint.ENGINE, BUILD, *modules])


def _scored_by(prism: Prism) -> tuple[Node, ...]:
    return (*(node for _, node, _ in prism), *(gate for face in prism.faces for gate in face.gates))


@cache
def signal_environment() -> dict[str, str]:
    """Versions of what scores and signals are computed with, the CPU level and the platform."""
    return {**fingerprint.environment(), "pandas": version("pandas")}


@cache
def commit() -> str | None:
    """Git commit of the checkout that this package lies in; None where it was installed without one."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def provenance(
    prism: Prism, workspace: Workspace, settings: SignalSettings, number: int, config: str | None = None
) -> Provenance:
    """Trace a signal decided at a base bar.

    Parameters
    ----------
    prism, workspace, settings
        What it was made with.
    number : int
        Base bar at whose close it was decided.
    config : str, optional
        Digest of the configuration where a larger one is to be recorded; that of prism and settings if absent.
    """
    base = workspace.frame.base
    start = max(first_needed(prism, workspace, settings, number), base.first)
    codes, nodes = _TRACED.setdefault(workspace, _Traced()).codes, _scored_by(prism)
    if nodes not in codes:
        codes[nodes] = signal_code_digest(prism)
    return Provenance(
        data=data_digest(workspace, start, number + 1),
        data_from=base.timeframe.open_time(start),
        data_to=base.timeframe.close_time(number),
        config=config or config_digest(prism, settings),
        code=codes[nodes],
        weights=prism.standing,
        commit=commit(),
        environment=signal_environment(),
    )
