"""Evidence for and against a node: its values on a market and on disturbed ones, where they differ, and the finding.

The laws (laws.py) are made of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe, iso
from virtuoso.errors import LawBrokenError
from virtuoso.market.bars import Bars
from virtuoso.market.columns import PRICES, Array, mirrored
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Component, Feature, Node

KNOWN_SHARE = 0.5
"""Share of the compared values that must be known, or the comparison proves nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a law found about a node.

    Attributes
    ----------
    law, node, timeframe : str
    holds : bool
    compared : int
        Values that were compared.
    known : float
        Share of them that is known.
    worst : float, points (or differing values)
    at : int or None, ms
        Close time of the first offending bar.
    detail : str
    """

    law: str
    node: str
    timeframe: str
    holds: bool
    compared: int
    known: float
    worst: float = 0.0
    at: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "BROKEN"
        where = f" first at {iso(self.at)}" if self.at is not None else ""
        return f"{self.law} {verdict} for {self.node} {self.timeframe}{where}: {self.detail}"

    def insist(self) -> None:
        """Raise LawBrokenError unless the law holds."""
        if not self.holds:
            raise LawBrokenError(str(self))


# --- what is compared -------------------------------------------------------------------------------------------


def outputs(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> list[Array]:
    """All values of a node over a frame, one array an output; of a component, its raw value."""
    bars = frame.bars(timeframe)
    return [x.copy() for x in Workspace(frame, block).values(node, timeframe, bars.first, bars.end)]


def scores(component: Component, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> Array:
    """Scores of a component over a frame, shape (n_bars,)."""
    return component.score(outputs(component, frame, timeframe, block)[0])


def digest(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> str:
    """Digest of all values, to compare with another process or machine."""
    total = hashlib.sha256()
    for values in outputs(node, frame, timeframe, block):
        total.update(_bits(values).tobytes())
    return total.hexdigest()


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Bit patterns, every NaN the same one; codes stand for themselves."""
    return np.where(np.isnan(values), np.nan, values).view(np.int64) if values.dtype == np.float64 else values


def differing(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ in a bit; unknown equals unknown."""
    different: NDArray[np.bool_] = _bits(a) != _bits(b)
    return different


def any_differing(a: Sequence[Array], b: Sequence[Array]) -> NDArray[np.bool_]:
    """Where any output differs in a bit."""
    different = np.zeros(len(a[0]), dtype=bool)
    for x, y in zip(a, b, strict=True):
        different |= differing(x, y)
    return different


def judge(
    law: str,
    node: Node,
    bars: Bars,
    offending: NDArray[np.bool_],
    known: NDArray[np.bool_],
    worst: float,
    start: int,
    detail: str,
    tolerated: int = 0,
) -> Finding:
    """Make a finding of what offended among bars numbered from `start`."""
    compared, count = len(offending), int(offending.sum())
    share = float(known.mean()) if compared else 0.0
    sparse = isinstance(node, Feature) and node.sparse
    vacuous = compared == 0 or (share < KNOWN_SHARE and not sparse)
    at = bars.timeframe.close_time(start + int(np.argmax(offending))) if count else None
    text = f"{count} of {compared} values differ; {detail}" if count else f"{compared} values compared; {detail}"
    if vacuous:
        text = f"proves nothing, only {share:.0%} of {compared} values are known; {detail}"
    holds = count <= tolerated and not vacuous
    return Finding(law, repr(node), bars.timeframe.name, holds, compared, share, worst, at, text)


def points(node: Node, values: Sequence[Array]) -> list[Array]:
    """What is compared: the score of a component, the outputs of a feature relative to their size."""
    if isinstance(node, Component):
        return [node.score(values[0])]
    return [100.0 * x / max(float(np.nanmax(np.abs(x), initial=0.0)), 1e-300) for x in values]


def distances(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Largest difference at each bar; infinite where one side is known and the other is not."""
    total = np.zeros(len(a[0]))
    for x, y in zip(a, b, strict=True):
        one_sided = np.isnan(x) != np.isnan(y)
        total = np.maximum(total, np.where(one_sided, np.inf, np.nan_to_num(np.abs(x - y))))
    return total


# --- disturbed markets ------------------------------------------------------------------------------------------


def spoiled(frame: MarketFrame, time_ms: int, garbage: str) -> MarketFrame:
    """The frame with everything that opens at or after a moment replaced."""
    base = frame.base
    at = time_ms // base.timeframe.ms - base.first
    order = Env(seed=at).random().permutation(len(base) - at) + at
    columns = {}
    for name, values in base.columns.items():
        spoiled = values.copy()
        spoiled[at:] = {"nan": np.nan, "huge": 1e300}.get(garbage, values[order])
        columns[name] = spoiled
    return MarketFrame(frame.instrument, replace(base, columns=columns))


def reciprocal(frame: MarketFrame, pivot: float) -> dict[str, Array]:
    """The ratio mirror: prices c^2 / p, highs and lows exchanged, buying and selling exchanged."""
    columns = mirrored(frame.base.columns, pivot)
    for name, source in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
        columns[name] = pivot * pivot / frame.base.columns[source]
    return columns


def noisy(frame: MarketFrame, size: float, seed: int) -> MarketFrame:
    """The frame with prices disturbed by a relative noise; bars stay bars."""
    random = Env(seed=seed).random()
    columns = dict(frame.base.columns)
    for name in PRICES:
        columns[name] = columns[name] * (1.0 + size * random.standard_normal(len(frame.base)))
    columns["high"] = np.maximum.reduce([columns[name] for name in PRICES])
    columns["low"] = np.minimum.reduce([columns[name] for name in PRICES])
    return changed(frame, columns)


def changed(frame: MarketFrame, columns: dict[str, Array]) -> MarketFrame:
    """The frame with other columns on the same bars."""
    return MarketFrame(frame.instrument, replace(frame.base, columns=columns))
