"""Explanations: what each component said at one moment, in words and numbers, or why it is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.clock import Span, iso
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.market.gaps import BREAK, BRIDGED, UNKNOWN, begins_anew
from virtuoso.pictures import Plottable
from virtuoso.prism.engine.alignment import seen, seen_scores
from virtuoso.prism.engine.assembly import Aggregator
from virtuoso.prism.engine.graph import bears_holes, columns_of, total_warmup
from virtuoso.prism.engine.regimes import UNKNOWN_REGIME, regimes_at
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.divergence import KINDS
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.face_scores import ComponentScores, FaceScores, faces_of
from virtuoso.prism.words import REGIMES, lean_words, reliability_words

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a contribution table.

    Attributes
    ----------
    name, title : str
    score, raw_score, bonus : float
        NaN where not known.
    weight : float
        Effective: of what is known. Negative where 100 - score counts.
    impact : float
        Size of the weight times what counts; impacts sum to the score above.
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
class Explanation(Plottable):
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
    standing: str = ""
    """Which weights are in force and what they have shown."""
    face: str | None = None
    """The face whose components are shown; the faces themselves if None."""

    def __repr__(self) -> str:
        lines = [
            f"{self.symbol} {self.venue} {self.timeframe} at {iso(self.time)}: confluence {self.confluence:.1f}, "
            f"coverage {self.coverage:.0%}, reliability {reliability_words(self.reliability)}"
        ]
        for row in self.rows:
            shown = row.reason if row.score != row.score else f"{row.score:6.1f} x {row.weight:.3f} = {row.impact:5.1f}"
            lines.append(f"  {row.name:<{16 if self.face is None else 24}} {shown}")
        if self.standing:
            lines.append(f"  {self.standing}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heading = "<br>".join(map(escape, filter(None, (repr(self).splitlines()[0], self.standing))))
        shown = self.to_pandas()[["title", "score", "weight", "impact", "words", "reason"]]
        return f"<p>{heading}</p>{shown.to_html(float_format='{:.2f}'.format, na_rep='not known')}"

    @property
    def rows(self) -> list[Row]:
        """The lines that are shown: the faces, or the components of one of them."""
        return self.total if self.face is None else self.faces[self.face]

    def of(self, face: str) -> Explanation:
        """Return the same moment with the components of one face shown.

        Raises
        ------
        ConfigError
            There is no such face.
        """
        if face not in self.faces:
            raise ConfigError(f"There is no face {face!r}. {did_you_mean(face, self.faces)}")
        return replace(self, face=face)

    def strongest(self, n: int) -> list[tuple[str, Row, float]]:
        """Return the components that move the confluence furthest from 50: face, row, and by how many points.

        Parameters
        ----------
        n : int
            At most; components that are not known, and those at 50, move nothing.
        """
        weights = {row.name: row.weight for row in self.total if row.score == row.score}
        pushes = [
            (face, row, weights[face] * row.weight * (row.score - 50.0))
            for face, rows in self.faces.items()
            for row in rows
            if face in weights and row.score == row.score
        ]
        moving = [push for push in pushes if push[2] != 0.0]
        return sorted(moving, key=lambda push: (-abs(push[2]), push[0], push[1].name))[:n]

    def __getitem__(self, face: str) -> Explanation:
        return self.of(face)

    def to_pandas(self) -> pd.DataFrame:
        """Return the lines that are shown as a table, indexed by name; what is not known is NaN, with the reason."""
        import pandas as pd

        names = ("title", "score", "raw_score", "weight", "impact", "bonus", "divergence", "words", "reason")
        index = pd.Index([row.name for row in self.rows], name="name")
        return pd.DataFrame({name: [getattr(row, name) for row in self.rows] for name in names}, index=index)


def explain(prism: Prism, workspace: Workspace, aggregator: Aggregator, number: int) -> Explanation:
    """Explain a base bar, which is assembled by itself: by the one law it is the bar of any longer stretch."""
    found, standing = aggregator.assemble(workspace, number, number + 1), prism.standing
    if prism.by_regime:
        code = int(regimes_at(prism, workspace, np.array([number]))[0])
        regime = "" if code == UNKNOWN_REGIME else REGIMES[code]
        standing += f"; those of a {regime}" if regime in prism.by_regime else "; those of no regime"
        prism = prism.in_regime(regime)
    faces = faces_of(prism, workspace, number, found, aggregator)
    frame, base = workspace.frame, workspace.frame.base
    return Explanation(
        symbol=frame.instrument.symbol,
        venue=frame.instrument.venue,
        timeframe=frame.timeframe.name,
        time=frame.timeframe.close_time(number),
        price=float(base.columns["close"][number - base.first]),
        confluence=float(found.confluence[0]),
        raw_confluence=float(found.raw_confluence[0]),
        coverage=float(found.known[0]),
        agreement=float(found.agreement[0]),
        reliability=float(found.reliability[0]),
        effective_inputs=float(found.effective_inputs[0]),
        total=[_face_row(face, float(found.known[0]), prism.horizon) for face in faces.values()],
        faces={face.name: _component_rows(prism, workspace, face, number) for face in faces.values()},
        standing=standing,
    )


def impact_of(weight: float, score: float) -> float:
    """Return what a score adds to the one above it: weight x score, or |weight| x (100 - score) where it is negative.

    Examples
    --------
    >>> impact_of(0.25, 80.0), impact_of(-0.25, 80.0)
    (20.0, 5.0)
    """
    return weight * score if weight >= 0.0 else -weight * (100.0 - score)


def _against(title: str, weight: float, score: float, horizon: Span | None) -> str:
    """Say that a negative weight turns a score round; nothing where it does not."""
    if not weight < 0.0 or score != score:
        return ""
    high, counts = ("high", "against") if score >= 50.0 else ("low", "in favour")
    return f"; a {high} {title} counts {counts}{f', at {horizon.text}' if horizon else ''}"


def _face_row(face: FaceScores, coverage: float, horizon: Span | None) -> Row:
    score, raw = float(face.score[0]), float(face.raw_score[0])
    weight = face.weight * float(face.coverage[0]) / coverage if coverage > 0.0 and score == score else 0.0
    missing = all(part.missing for part in face.components.values())
    reason = "" if score == score else "no data for it in the store" if missing else "not known"
    return Row(
        face.name,
        face.title,
        score,
        raw,
        weight,
        impact_of(weight, score),
        score - raw,
        "none",
        face_bias(face.title, score) + _against(face.title, weight, score, horizon),
        reason,
    )


def _component_rows(prism: Prism, workspace: Workspace, face: FaceScores, number: int) -> list[Row]:
    total = sum(abs(part.weight) for part in face.components.values()) + sum(map(abs, face.unavailable.values()))
    known = float(face.coverage[0])
    rows = []
    for name, part in face.components.items():
        arrays = part.arrays()
        score = float(arrays.score[0])
        weight = part.weight / total * float(arrays.coverage[0]) / known if known > 0.0 and score == score else 0.0
        timeframes = _timeframes(prism, workspace, part, number)
        own, value = next(((s, v) for s, v in timeframes.values() if s == s), (float("nan"), float("nan")))
        rows.append(
            Row(
                name,
                part.component.title,
                score,
                float(arrays.raw_score[0]),
                weight,
                impact_of(weight, score),
                float(arrays.divergence_bonus[0]),
                KINDS[int(arrays.divergence_kind[0])],
                part.component.explain(own, value) + _against(part.component.title, weight, score, prism.horizon),
                "" if score == score else _why_unknown(workspace, part, number),
                timeframes,
            )
        )
    nan = float("nan")
    for name in face.unavailable:
        rows.append(Row(name, name, nan, nan, 0.0, nan, 0.0, "none", "", "no data for it in the store"))
    return rows


def _timeframes(
    prism: Prism, workspace: Workspace, part: ComponentScores, number: int
) -> dict[str, tuple[float, float]]:
    """Score and raw value of a component on each timeframe, as a base bar sees them."""
    if part.missing:
        return {}
    found = {}
    for timeframe, _ in prism.ladder(workspace.frame.timeframe):
        arrays, known = seen(part.component, workspace, timeframe, number, number + 1)
        score = seen_scores(part.component, workspace, timeframe, number, number + 1)
        found[timeframe.name] = (float(score[0]), float(arrays[0][0]) if known[0] else float("nan"))
    return found


def why_unknown(prism: Prism, workspace: Workspace, aggregator: Aggregator, number: int, dotted: str) -> str:
    """Return why a component is not known at a base bar; empty where it is."""
    face, _, name = dotted.partition(".")
    faces = faces_of(prism, workspace, number, aggregator.assemble(workspace, number, number + 1), aggregator)
    parts = faces[face].components if face in faces else {}
    if name not in parts:
        known = [f"{f}.{c}" for f, found in faces.items() for c in found.components]
        raise ConfigError(f"There is no component {dotted!r}. {did_you_mean(dotted, known)}")
    return _why_unknown(workspace, parts[name], number)


def _why_unknown(workspace: Workspace, part: ComponentScores, number: int) -> str:
    """Return why a component of one base bar is not known."""
    if np.isfinite(part.score[0]):
        return ""
    if part.missing:
        return f"missing column {', '.join(part.missing)}"
    base = workspace.frame.base
    at = number - base.first
    if base.state[at] == UNKNOWN:
        return "gap"
    if base.state[at] == BRIDGED:
        return "bridged"
    if base.state[at] > UNKNOWN:
        return "history begins anew here: " + ("another instrument" if base.state[at] == BREAK else "after a misprint")
    needed = sorted(columns_of(part.component))
    silent = [name for name in needed if not np.isfinite(base.columns[name][at])]
    if silent:
        return f"not recorded here: {', '.join(silent)}"
    broken = begins_anew(base.state[: at + 1])
    if not bears_holes(part.component):
        broken = broken | ~np.all([np.isfinite(base.columns[name][: at + 1]) for name in needed], axis=0)
    run = at - int(np.flatnonzero(broken)[-1]) if broken.any() else at + 1
    warmup = total_warmup(part.component, workspace.frame.timeframe)
    return f"warmup ({run} of {warmup} bars)" if run < warmup else "degenerate (nothing moved or nothing traded)"


def face_bias(title: str, score: float) -> str:
    """Return a sentence that says which way a face leans."""
    if score != score:
        return f"{title} is not known"
    return f"{title} is {lean_words(score)} at {score:.1f}"
