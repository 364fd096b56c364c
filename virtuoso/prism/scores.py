"""Scores: what the prism found, bar by bar, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import iso, parse_time
from virtuoso.errors import ConfigError, NotLoadedError, did_you_mean
from virtuoso.market.columns import Array
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, UNKNOWN
from virtuoso.prism.blend import Codes
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Component
from virtuoso.prism.divergence import KINDS
from virtuoso.prism.views import columns_of, seen, seen_scores, total_warmup

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.prism.prism import Prism


@dataclass(frozen=True, slots=True)
class ComponentScores:
    """One component on the base clock, its timeframes blended; every array has shape (n_bars,).

    Attributes
    ----------
    component : Component
    weight : float
        Within its face.
    missing : tuple of str
        Columns it needs that the frame does not carry; it is then not known anywhere.
    raw_score, score : Array, 0..100
        Before and after divergence.
    divergence_bonus : Array, points
    divergence_kind : array of int8
        Code of divergence.KINDS.
    coverage : Array, 0..1
        Weight of the timeframes that are known.
    """

    component: Component
    weight: float
    missing: tuple[str, ...]
    raw_score: Array
    score: Array
    divergence_bonus: Array
    divergence_kind: Codes
    coverage: Array


@dataclass(frozen=True, slots=True)
class FaceScores:
    """One face: its score before and after divergence, its coverage and what its gates let through."""

    name: str
    title: str
    weight: float
    components: Mapping[str, ComponentScores]
    waiting: Mapping[str, float]
    raw_score: Array
    score: Array
    coverage: Array
    gate: Array


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


@dataclass(frozen=True)
class Scores:
    """What the prism found over a stretch of base bars; every array has shape (n_bars,).

    Attributes
    ----------
    prism : Prism
    workspace : Workspace
        Where the values on each timeframe can be looked up.
    start : int
        Number of the first base bar.
    faces : mapping of str to FaceScores
    confluence, raw_confluence : Array, 0..100
        With and without divergence.
    coverage : Array, 0..1
        Weight that is known, of all six faces.
    agreement : Array, 0..1
        One minus the weighted deviation of the known faces, in half-ranges.
    effective_inputs : Array
        Effective number of independent component scores over the last finished block.
    reliability : Array, 0..1
        Heuristic: coverage x agreement x gates x conviction.
    """

    prism: Prism
    workspace: Workspace
    start: int
    faces: Mapping[str, FaceScores]
    confluence: Array
    raw_confluence: Array
    coverage: Array
    agreement: Array
    effective_inputs: Array
    reliability: Array

    @classmethod
    def empty(cls, prism: Prism, workspace: Workspace, start: int, stop: int) -> Scores:
        """Scores of which nothing is known yet, for the base bars [start, stop)."""
        n = max(stop - start, 0)
        carried = frozenset(workspace.frame.base.columns)
        parts = sum(len(face.components) for face in prism.faces)
        unknown = iter(np.full((2 * parts + 2 * len(prism.faces) + 5, n), np.nan))
        nothing = iter(np.zeros((2 * parts + len(prism.faces) + 1, n)))
        kinds = iter(np.zeros((parts, n), dtype=np.int8))
        faces = {}
        for face in prism.faces:
            components = {
                component.name: ComponentScores(
                    component,
                    weight,
                    tuple(sorted(columns_of(component) - carried)),
                    raw_score=next(unknown),
                    score=next(unknown),
                    divergence_bonus=next(nothing),
                    divergence_kind=next(kinds),
                    coverage=next(nothing),
                )
                for component, weight in face.components.items()
            }
            faces[face.name] = FaceScores(
                face.name,
                face.title,
                prism.face_weights[face.name],
                components,
                face.waiting,
                raw_score=next(unknown),
                score=next(unknown),
                coverage=next(nothing),
                gate=np.ones(n),
            )
        return cls(
            prism,
            workspace,
            start,
            faces,
            confluence=next(unknown),
            raw_confluence=next(unknown),
            coverage=next(nothing),
            agreement=next(unknown),
            effective_inputs=next(unknown),
            reliability=next(unknown),
        )

    def __len__(self) -> int:
        return len(self.confluence)

    def __repr__(self) -> str:
        if len(self) == 0:
            return f"<Scores of {self.frame.instrument} {self.frame.timeframe}: no bar>"
        known = float(np.isfinite(self.confluence).mean())
        last = f"; last {self.confluence[-1]:.1f} at {iso(int(self.close_times[-1]))}"
        return (
            f"<Scores of {self.frame.instrument} {self.frame.timeframe}: {len(self):,} bars, {known:.1%} known{last}>"
        )

    @property
    def frame(self) -> MarketFrame:
        """The market that was scored."""
        return self.workspace.frame

    @property
    def close_times(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Moment each score is known, ms."""
        ms = self.frame.timeframe.ms
        return (np.arange(self.start, self.start + len(self), dtype=np.int64) + 1) * ms

    def column(self, name: str) -> Array:
        """A market column over the bars that were scored."""
        at = self.start - self.frame.base.first
        return self.frame.base.columns[name][at : at + len(self)]

    def arrays(self) -> dict[str, Array | Codes]:
        """Every array by a dotted name, in fixed order: what the laws compare."""
        named: dict[str, Array | Codes] = {
            "confluence": self.confluence,
            "raw_confluence": self.raw_confluence,
            "coverage": self.coverage,
            "agreement": self.agreement,
            "effective_inputs": self.effective_inputs,
            "reliability": self.reliability,
        }
        for face in self.faces.values():
            for what in ("score", "raw_score", "coverage", "gate"):
                named[f"{face.name}.{what}" if what != "score" else face.name] = getattr(face, what)
            for name, part in face.components.items():
                dotted = f"{face.name}.{name}"
                named[dotted] = part.score
                for what in ("raw_score", "divergence_bonus", "divergence_kind", "coverage"):
                    named[f"{dotted}.{what}"] = getattr(part, what)
        return named

    def explain(self, at: int | str | None = None) -> Explanation:
        """Explain one moment.

        Parameters
        ----------
        at : int (ms) or str, optional
            The last bar closed by then; the newest if absent.

        Raises
        ------
        NotLoadedError
            If no scored bar had closed by then.
        """
        if len(self) == 0:
            raise NotLoadedError("Nothing was scored, so there is nothing to explain.")
        number = self.start + len(self) - 1
        if at is not None:
            number = self.frame.number_at(parse_time(at) if isinstance(at, str) else at)
        i = number - self.start
        if not 0 <= i < len(self):
            raise NotLoadedError(
                f"The bar closing at {iso(self.frame.timeframe.close_time(number))} was not scored; scores go from "
                f"{iso(int(self.close_times[0]))} to {iso(int(self.close_times[-1]))}."
            )
        return Explanation(
            symbol=self.frame.instrument.symbol,
            venue=self.frame.instrument.venue,
            timeframe=self.frame.timeframe.name,
            time=int(self.close_times[i]),
            price=float(self.column("close")[i]),
            confluence=float(self.confluence[i]),
            raw_confluence=float(self.raw_confluence[i]),
            coverage=float(self.coverage[i]),
            agreement=float(self.agreement[i]),
            reliability=float(self.reliability[i]),
            effective_inputs=float(self.effective_inputs[i]),
            total=[self._face_row(face, i) for face in self.faces.values()],
            faces={face.name: self._component_rows(face, i) for face in self.faces.values()},
        )

    def _face_row(self, face: FaceScores, i: int) -> Row:
        score, coverage = float(face.score[i]), float(self.coverage[i])
        weight = face.weight * float(face.coverage[i]) / coverage if coverage > 0.0 and score == score else 0.0
        reason = "" if score == score else ("no data for it in the store" if not face.components else "not known")
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

    def _component_rows(self, face: FaceScores, i: int) -> list[Row]:
        total = sum(part.weight for part in face.components.values()) + sum(face.waiting.values())
        known = float(face.coverage[i])
        rows = []
        for name, part in face.components.items():
            score = float(part.score[i])
            weight = part.weight / total * float(part.coverage[i]) / known if known > 0.0 and score == score else 0.0
            timeframes = self._timeframes(part, i)
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
                    "" if score == score else self.reason(f"{face.name}.{name}", i),
                    timeframes,
                )
            )
        nan = float("nan")
        for name in face.waiting:
            rows.append(Row(name, name, nan, nan, 0.0, nan, 0.0, "none", "", "no data for it in the store"))
        return rows

    def _timeframes(self, part: ComponentScores, i: int) -> dict[str, tuple[float, float]]:
        """Score and raw value of a component on each timeframe, as bar i sees them."""
        if part.missing:
            return {}
        number = self.start + i
        found = {}
        for timeframe, _ in self.prism.ladder(self.frame.timeframe):
            arrays, known = seen(part.component, self.workspace, timeframe, number, number + 1)
            score = seen_scores(part.component, self.workspace, timeframe, number, number + 1)
            found[timeframe.name] = (float(score[0]), float(arrays[0][0]) if known[0] else float("nan"))
        return found

    def reason(self, dotted: str, i: int) -> str:
        """Say why a component is not known at the i-th scored bar; empty where it is."""
        face, _, name = dotted.partition(".")
        parts = self.faces[face].components if face in self.faces else {}
        if name not in parts:
            known = [f"{f}.{c}" for f, found in self.faces.items() for c in found.components]
            raise ConfigError(f"There is no component {dotted!r}. {did_you_mean(dotted, known)}")
        part = parts[name]
        if np.isfinite(part.score[i]):
            return ""
        if part.missing:
            return f"missing column {', '.join(part.missing)}"
        state = self.frame.base.state[self.start + i - self.frame.base.first]
        if state == UNKNOWN:
            return "gap"
        if state == BRIDGED:
            return "bridged"
        run = self._run_length(self.start + i)
        warmup = total_warmup(part.component, self.frame.timeframe)
        return f"warmup ({run} of {warmup} bars)" if run < warmup else "degenerate (nothing moved or nothing traded)"

    def _run_length(self, number: int) -> int:
        """Length of the unbroken run that ends at a bar."""
        state = self.frame.base.state[: number - self.frame.base.first + 1]
        gaps = np.flatnonzero(state == UNKNOWN)
        return int(len(state) - 1 - gaps[-1]) if len(gaps) else len(state)

    def to_table(self) -> dict[str, Any]:
        """Columns of the file that `score --out` writes, one row a bar."""
        kinds = np.array(KINDS, dtype=object)
        return {name: kinds[x] if x.dtype == np.int8 else x for name, x in self._columns().items()}

    def _columns(self) -> dict[str, Any]:
        """The same columns, kinds of divergence as codes."""
        table: dict[str, Any] = {
            "close_time": self.close_times,
            "confluence": self.confluence,
            "confluence_without_divergence": self.raw_confluence,
            "coverage": self.coverage,
            "agreement": self.agreement,
            "effective_inputs": self.effective_inputs,
            "reliability": self.reliability,
        }
        for face in self.faces.values():
            table[face.name] = face.score
            for name, part in face.components.items():
                dotted = f"{face.name}.{name}"
                table[dotted] = part.score
                table[f"{dotted}.raw_score"] = part.raw_score
                table[f"{dotted}.divergence_bonus"] = part.divergence_bonus
                table[f"{dotted}.divergence_type"] = part.divergence_kind
        return table

    def to_pandas(self) -> pd.DataFrame:
        """One row a bar, indexed by close time (UTC)."""
        import pandas as pd

        table = self.to_table()
        index = pd.DatetimeIndex(table.pop("close_time").astype("M8[ms]"), name="close_time").tz_localize("UTC")
        return pd.DataFrame(table, index=index)

    def to_parquet(self, path: Path | str) -> Path:
        """Write one row a bar; the file appears whole or not at all. Its metadata says what was scored by what."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for name, values in self._columns().items():
            array = pa.array(values, from_pandas=True)  # what is not known is null
            arrays[name] = pa.DictionaryArray.from_arrays(array, list(KINDS)) if values.dtype == np.int8 else array
        about = {
            "instrument": str(self.frame.instrument),
            "simulated": self.frame.instrument.is_simulated,
            "timeframe": self.frame.timeframe.name,
            "data": self.frame.fingerprint,
            "prism": self.prism.fingerprint,
        }
        table = pa.table(arrays).replace_schema_metadata({"virtuoso": json.dumps(about)})
        floats = [name for name, array in arrays.items() if pa.types.is_floating(array.type)]
        words = [name for name, array in arrays.items() if pa.types.is_dictionary(array.type)]
        temporary = target.with_name(target.name + ".tmp")
        # scores repeat no value, so a dictionary of them costs time and space; their bytes in planes compress better
        pq.write_table(table, temporary, compression="zstd", use_dictionary=words, use_byte_stream_split=floats)
        temporary.replace(target)
        return target


def lean(title: str, score: float) -> str:
    """Say which way a face leans."""
    if score != score:
        return f"{title} is not known"
    words = "strongly bullish" if score >= 70 else "bullish" if score >= 56 else "balanced"
    if score <= 44:
        words = "strongly bearish" if score <= 30 else "bearish"
    return f"{title} is {words} at {score:.0f}"
