"""Explanations: what each component said at one moment, in words and numbers, or why it is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.clock import iso
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.market.gaps import BRIDGED, UNKNOWN
from virtuoso.prism.engine.assembly import CHUNK
from virtuoso.prism.engine.graph import bears_holes, columns_of, seen, seen_scores, total_warmup
from virtuoso.prism.faces.divergence import KINDS

if TYPE_CHECKING:
    from virtuoso.prism.result.scores import ComponentScores, FaceScores, Scores


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a contribution table.

    Attributes
    ----------
    name, title : str
    score, raw_score, impact, bonus : float
        NaN where not known.
    weight : float
        Effective: of what is known.
    divergence : str
        Word of divergence.KINDS.
    words : str
        The sentence that explains the score.
    reason : str
        Why it is not known; empty where it is.
    timeframes : mapping of str to tuple of float
        Score and raw value on each timeframe.
    """

    name: str
    title: str
    score: float
    raw_score: float
    weight: float
    impact: float
    bonus: float
    divergence: str
    words: str
    reason: str = ""
    timeframes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one moment: the contribution tables of the faces and of the confluence.

    Attributes
    ----------
    symbol, venue, timeframe : str
    time : int, ms
        Close of the bar that is explained.
    price : float
        Its close, NaN where it is not known.
    confluence, coverage, agreement, reliability, effective_inputs : float
    total : list of Row
        One row a face; their impacts sum to the confluence.
    faces : mapping of str to list of Row
        One row a component; their impacts sum to the face's score.
    """

    symbol: str
    venue: str
    timeframe: str
    time: int
    price: float
    confluence: float
    raw_confluence: float
    coverage: float
    agreement: float
    reliability: float
    effective_inputs: float
    total: list[Row]
    faces: Mapping[str, list[Row]]

    def __repr__(self) -> str:
        lines = [
            f"{self.symbol} {self.venue} {self.timeframe} at {iso(self.time)}: confluence {self.confluence:.1f}, "
            f"coverage {self.coverage:.0%}, reliability {self.reliability:.2f} (heuristic)"
        ]
        for row in self.total:
            shown = row.reason if row.score != row.score else f"{row.score:6.1f} x {row.weight:.3f} = {row.impact:5.1f}"
            lines.append(f"  {row.name:<16} {shown}")
        return "\n".join(lines)


def explained(scores: Scores, i: int) -> Explanation:
    """Explain the i-th scored bar."""
    return Explanation(
        symbol=scores.frame.instrument.symbol,
        venue=scores.frame.instrument.venue,
        timeframe=scores.frame.timeframe.name,
        time=int(scores.close_times[i]),
        price=float(scores.column("close")[i]),
        confluence=float(scores.confluence[i]),
        raw_confluence=float(scores.raw_confluence[i]),
        coverage=float(scores.coverage[i]),
        agreement=float(scores.agreement[i]),
        reliability=float(scores.reliability[i]),
        effective_inputs=float(scores.effective_inputs[i]),
        total=[_face_row(scores, face, i) for face in scores.faces.values()],
        faces=_by_component(scores, i),
    )


def _face_row(scores: Scores, face: FaceScores, i: int) -> Row:
    score, coverage = float(face.score[i]), float(scores.coverage[i])
    weight = face.weight * float(face.coverage[i]) / coverage if coverage > 0.0 and score == score else 0.0
    missing = all(part.missing for part in face.components.values())
    reason = "" if score == score else "no data for it in the store" if missing else "not known"
    return Row(
        face.name,
        face.title,
        score,
        float(face.raw_score[i]),
        weight,
        weight * score if score == score else float("nan"),
        score - float(face.raw_score[i]),
        "none",
        lean(face.title, score),
        reason,
    )


def _by_component(scores: Scores, i: int) -> dict[str, list[Row]]:
    """Rows of every face; one bar of a long history is assembled by itself instead of blending all of it."""
    if len(scores) > CHUNK:
        number = scores.start + i
        scores, i = scores.prism.assemble(scores.workspace, number, number + 1), 0
    return {face.name: _component_rows(scores, face, i) for face in scores.faces.values()}


def _component_rows(scores: Scores, face: FaceScores, i: int) -> list[Row]:
    total = sum(part.weight for part in face.components.values()) + sum(face.waiting.values())
    known = float(face.coverage[i])
    rows = []
    for name, part in face.components.items():
        score = float(part.score[i])
        weight = part.weight / total * float(part.coverage[i]) / known if known > 0.0 and score == score else 0.0
        timeframes = _timeframes(scores, part, i)
        own, value = next(((s, v) for s, v in timeframes.values() if s == s), (float("nan"), float("nan")))
        rows.append(
            Row(
                name,
                part.component.title,
                score,
                float(part.raw_score[i]),
                weight,
                weight * score if score == score else float("nan"),
                float(part.divergence_bonus[i]),
                KINDS[int(part.divergence_kind[i])],
                part.component.words(own, value),
                "" if score == score else why_unknown(scores, f"{face.name}.{name}", i),
                timeframes,
            )
        )
    nan = float("nan")
    for name in face.waiting:
        rows.append(Row(name, name, nan, nan, 0.0, nan, 0.0, "none", "", "no data for it in the store"))
    return rows


def _timeframes(scores: Scores, part: ComponentScores, i: int) -> dict[str, tuple[float, float]]:
    """Score and raw value of a component on each timeframe, as bar i sees them."""
    if part.missing:
        return {}
    number = scores.start + i
    found = {}
    for timeframe, _ in scores.prism.ladder(scores.frame.timeframe):
        arrays, known = seen(part.component, scores.workspace, timeframe, number, number + 1)
        score = seen_scores(part.component, scores.workspace, timeframe, number, number + 1)
        found[timeframe.name] = (float(score[0]), float(arrays[0][0]) if known[0] else float("nan"))
    return found


def why_unknown(scores: Scores, dotted: str, i: int) -> str:
    """Say why a component is not known at the i-th scored bar; empty where it is."""
    face, _, name = dotted.partition(".")
    parts = scores.faces[face].components if face in scores.faces else {}
    if name not in parts:
        known = [f"{f}.{c}" for f, found in scores.faces.items() for c in found.components]
        raise ConfigError(f"There is no component {dotted!r}. {did_you_mean(dotted, known)}")
    part = parts[name]
    if np.isfinite(part.score[i]):
        return ""
    if part.missing:
        return f"missing column {', '.join(part.missing)}"
    base, at = scores.frame.base, scores.start + i - scores.frame.base.first
    if base.state[at] == UNKNOWN:
        return "gap"
    if base.state[at] == BRIDGED:
        return "bridged"
    needed = sorted(columns_of(part.component))
    silent = [name for name in needed if not np.isfinite(base.columns[name][at])]
    if silent:
        return f"not recorded here: {', '.join(silent)}"
    broken = base.state[: at + 1] == UNKNOWN
    if not bears_holes(part.component):
        broken = broken | ~np.all([np.isfinite(base.columns[name][: at + 1]) for name in needed], axis=0)
    run = at - int(np.flatnonzero(broken)[-1]) if broken.any() else at + 1
    warmup = total_warmup(part.component, scores.frame.timeframe)
    return f"warmup ({run} of {warmup} bars)" if run < warmup else "degenerate (nothing moved or nothing traded)"


def lean(title: str, score: float) -> str:
    """Say which way a face leans."""
    if score != score:
        return f"{title} is not known"
    words = "strongly bullish" if score >= 70 else "bullish" if score >= 56 else "balanced"
    if score <= 44:
        words = "strongly bearish" if score <= 30 else "bearish"
    return f"{title} is {words} at {score:.0f}"
