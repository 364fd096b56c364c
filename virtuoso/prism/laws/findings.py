"""Findings of the laws (laws.py): where the values of a node differ from what they must be, and what that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe, iso
from virtuoso.errors import LawBrokenError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import begins_anew
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.types import Array

KNOWN_SHARE = 0.5
"""Share of the compared values that must be known, or the comparison proves nothing."""
CONFIDENCE = 0.95

Verdict = Literal["holds", "noted", "BROKEN", "not tested"]
"""What a law can find: a breach that is no look-ahead is noted, and what was not tested neither accuses nor acquits."""
MEANING = {
    "memory": "by itself no look-ahead: the value depends on where its history begins, so it jumps where a block does",
    "units": "by itself no look-ahead: another price level or another unit of volume scores otherwise",
    "mirror": "by itself no look-ahead: the score is not symmetric, upside down it does not say the opposite",
    "continuity": "by itself no look-ahead: a knife edge, a billionth of the price decides",
}
"""Laws whose breach is no look-ahead, and what it is instead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a law found about a node.

    Attributes
    ----------
    law, node, timeframe : str
    verdict : str
        `holds`; `noted`, a breach that is no look-ahead; `BROKEN`; or `not tested`, for the reason in `detail`.
    compared : int
        Values that were compared.
    known : float
        Share of them that is known.
    worst : float, points (or differing values)
    at : int or None, ms
        Close time of the first offending bar.
    detail : str
    rarest : int or None
        A leak on one bar in so many is caught with 95 %, 1 where every bar was tried; None of laws that do not sample.
    """

    law: str
    node: str
    timeframe: str
    verdict: Verdict
    compared: int
    known: float
    worst: float = 0.0
    at: int | None = None
    detail: str = ""
    rarest: int | None = None

    @property
    def holds(self) -> bool:
        """Whether the law was tested and holds."""
        return self.verdict == "holds"

    @property
    def broken(self) -> bool:
        """Whether the law is broken: the node cannot be relied on."""
        return self.verdict == "BROKEN"

    def __str__(self) -> str:
        where = f" first at {iso(self.at)}" if self.at is not None else ""
        return f"{self.law} {self.verdict} for {self.node} {self.timeframe}{where}: {self.detail}"

    def insist(self, strictly: bool = False) -> None:
        """Raise LawBrokenError if the law is broken; strictly, unless it was tested and holds."""
        if self.broken or (strictly and not self.holds):
            raise LawBrokenError(str(self))


def untested(law: str, node: Node, timeframe: Timeframe, reason: str) -> Finding:
    """Return why a law could not be tested."""
    return Finding(law, repr(node), timeframe.name, "not tested", 0, 0.0, detail=reason)


# --- what is compared -------------------------------------------------------------------------------------------


def outputs(node: Node, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> list[Array]:
    """All values of a node over a frame, one array an output; of a component, its raw value."""
    bars = frame.bars(timeframe)
    return [x.copy() for x in Workspace(frame, block).values(node, timeframe, bars.first, bars.end)]


def answers(node: Node, values: Sequence[Array]) -> list[Array]:
    """What a node says of some bars: its outputs, and of a component the score that is made of them together."""
    return [*values, node.score(values[0])] if isinstance(node, Component) else list(values)


def scores(component: Component, frame: MarketFrame, timeframe: Timeframe, block: int | None = None) -> Array:
    """Scores of a component over a frame, shape (n_bars,)."""
    return component.score(outputs(component, frame, timeframe, block)[0])


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


def finding_of(
    law: str,
    node: Node,
    bars: Bars,
    offending: NDArray[np.bool_],
    known: NDArray[np.bool_],
    worst: float,
    start: int,
    detail: str,
    tolerated: int = 0,
    also: str = "",
    seen: NDArray[np.bool_] | None = None,
) -> Finding:
    """Make a finding of what offended among bars numbered from `start`.

    A difference is evidence however little is known; where there is none, most of what was compared must be known.
    `also` says what else is wrong, which no bar shows; `seen` which bars were compared, all if absent.
    """
    compared, count = len(offending) if seen is None else int(seen.sum()), int(offending.sum())
    share = float(known.mean()) if len(known) else 0.0
    vacuous = compared == 0 or (share < KNOWN_SHARE and not node.sparse)
    at = bars.timeframe.close_time(start + int(np.argmax(offending))) if count else None
    text = f"{count} of {compared} values differ; {detail}" if count else f"{compared} values compared; {detail}"
    verdict: Verdict = "holds"
    if count > tolerated or also:
        verdict = "noted" if law in MEANING else "BROKEN"
        text = "; ".join(part for part in (also, text, MEANING.get(law)) if part)
    elif vacuous:
        verdict = "not tested"
        text = f"proves nothing, only {share:.0%} of {compared} values are known; {detail}"
    return Finding(law, repr(node), bars.timeframe.name, verdict, compared, share, worst, at, text)


def known_of_bars(values: Array, bars: Bars) -> NDArray[np.bool_]:
    """Where something is known, of the bars that are: a halt is no fault of what is examined."""
    known: NDArray[np.bool_] = np.isfinite(values)[~begins_anew(bars.state)]
    return known


def rarest(cuts: int, bars: int) -> int:
    """Of how many bars a leak may show on one and still be caught with 95 % by cuts spread over all of them.

    One cut in each of as many equal stretches misses a leak on a share p of the bars with at most (1 - p)^cuts.
    """
    return 1 if cuts >= bars else int(1.0 / (1.0 - (1.0 - CONFIDENCE) ** (1.0 / cuts)))


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
