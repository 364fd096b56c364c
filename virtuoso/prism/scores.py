"""Scores: what the prism found, bar by bar, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import iso, parse_time
from virtuoso.errors import ConfigError, NotLoadedError, did_you_mean
from virtuoso.market.columns import Array
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, UNKNOWN
from virtuoso.prism.assembly import CHUNK, Assembled, Assembly
from virtuoso.prism.blend import Blended, Codes
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.component import Component
from virtuoso.prism.divergence import KINDS
from virtuoso.prism.views import bears_holes, columns_of, missing_columns, seen, seen_scores, total_warmup

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.prism.interest_report import OpenInterest
    from virtuoso.prism.prism import Prism


STRETCH = 65_536
"""Bars written at once: bounds the memory of a file that holds every component."""


@dataclass(slots=True)
class ComponentScores:
    """One component on the base clock, its timeframes blended; `blend.Blended` describes its arrays.

    Attributes
    ----------
    component : Component
    weight : float
        Within its face.
    missing : tuple of str
        Columns it needs that the frame does not carry; it is then not known anywhere.
    blended : callable
        Gives its arrays. Over a long history they are made when they are asked for, and only those of the component
        that was asked last are kept: what is to be used twice is best taken once.
    """

    component: Component
    weight: float
    missing: tuple[str, ...]
    blended: Callable[[], Blended]

    @property
    def raw_score(self) -> Array:
        """Score before divergence, 0..100, shape (n_bars,)."""
        return self.blended().raw_score

    @property
    def score(self) -> Array:
        """Score after divergence, 0..100, shape (n_bars,)."""
        return self.blended().score

    @property
    def divergence_bonus(self) -> Array:
        """Points that divergence adds, shape (n_bars,)."""
        return self.blended().divergence_bonus

    @property
    def divergence_kind(self) -> Codes:
        """Code of divergence.KINDS, shape (n_bars,)."""
        return self.blended().divergence_kind

    @property
    def coverage(self) -> Array:
        """Weight of the timeframes that are known, 0..1, shape (n_bars,)."""
        return self.blended().coverage


class _Asked:
    """Components by their rows: all of them over a short stretch, else blended when asked for; the last one is kept."""

    def __init__(self, parts: Blended | None, make: Callable[[int], Blended]) -> None:
        self._parts, self._make = parts, make
        self._row, self._last = -1, Blended.unknown(0)

    def row(self, row: int) -> Blended:
        if self._parts is not None:
            return Blended._make([array[row] for array in self._parts])
        if row != self._row:
            self._row, self._last = -1, Blended.unknown(0)  # let go of the one before first
            self._last, self._row = self._make(row), row
        return self._last


@dataclass(slots=True)
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
    confluence: Array
    raw_confluence: Array
    coverage: Array
    agreement: Array
    effective_inputs: Array
    reliability: Array
    _found: Assembled = field(repr=False, compare=False)
    _assembly: Assembly | None = field(repr=False, compare=False)

    @classmethod
    def empty(cls, prism: Prism, workspace: Workspace, start: int, stop: int) -> Scores:
        """Scores of which nothing is known, for the base bars [start, stop)."""
        n = max(stop - start, 0)
        assembled = Assembled.empty(len(prism.faces), n)
        assembled.rows[:] = np.nan
        assembled.coverage[:], assembled.known[:], assembled.gate[:] = 0.0, 0.0, 1.0
        return cls.of(prism, workspace, start, assembled, None)

    @classmethod
    def of(cls, prism: Prism, workspace: Workspace, start: int, found: Assembled, assembly: Assembly | None) -> Scores:
        """Scores of what was assembled, from base bar `start` on; without an assembly no component is known."""
        return cls(
            prism, workspace, start, found.confluence, found.raw_confluence, found.known,
            found.agreement, found.effective_inputs, found.reliability, found, assembly,
        )  # fmt: skip

    @cached_property
    def faces(self) -> Mapping[str, FaceScores]:
        """The faces and their components by name; laid out when asked for, since few look into every bar."""
        found, prism, n = self._found, self.prism, len(self)
        assembly, workspace, start = self._assembly, self.workspace, self.start

        def make(row: int) -> Blended:
            assert assembly is not None
            return assembly.component(workspace, row, start, start + n)

        asked = _Asked(found.parts, make)
        unknown = partial(Blended.unknown, n)
        rows = assembly.row_of if assembly is not None else {}
        carried = frozenset(workspace.frame.base.columns)
        faces = {}
        for f, face in enumerate(prism.faces):
            components = {
                component.name: ComponentScores(
                    component,
                    weight,
                    () if component in rows else missing_columns(component, carried),
                    partial(asked.row, rows[component]) if component in rows else unknown,
                )
                for component, weight in face.components.items()
            }
            faces[face.name] = FaceScores(
                face.name, face.title, prism.face_weights[face.name], components, face.waiting,
                found.raw_score[f], found.score[f], found.coverage[f], found.gate[f],
            )  # fmt: skip
        return faces

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
                for what, array in part.blended()._asdict().items():
                    named[f"{dotted}.{what}" if what != "score" else dotted] = array
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
            faces=self._by_component(i),
        )

    def open_interest(self, at: int | str | None = None) -> OpenInterest:
        """Read the open-interest room at one moment; see `virtuoso.prism.open_interest.analyse`."""
        from virtuoso.prism.open_interest import analyse

        return analyse(self.workspace, at)

    def _face_row(self, face: FaceScores, i: int) -> Row:
        score, coverage = float(face.score[i]), float(self.coverage[i])
        weight = face.weight * float(face.coverage[i]) / coverage if coverage > 0.0 and score == score else 0.0
        reason = (
            ""
            if score == score
            else ("no data for it in the store" if all(p.missing for p in face.components.values()) else "not known")
        )
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

    def _by_component(self, i: int) -> dict[str, list[Row]]:
        """Rows of every face; one bar of a long history is assembled by itself instead of blending all of it."""
        if len(self) > CHUNK:
            number = self.start + i
            return self.prism.assemble(self.workspace, number, number + 1)._by_component(0)
        return {face.name: self._component_rows(face, i) for face in self.faces.values()}

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
        base, at = self.frame.base, self.start + i - self.frame.base.first
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
        warmup = total_warmup(part.component, self.frame.timeframe)
        return f"warmup ({run} of {warmup} bars)" if run < warmup else "degenerate (nothing moved or nothing traded)"

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
                blended = part.blended()
                table[dotted] = blended.score
                table[f"{dotted}.raw_score"] = blended.raw_score
                table[f"{dotted}.divergence_bonus"] = blended.divergence_bonus
                table[f"{dotted}.divergence_type"] = blended.divergence_kind
        return table

    def _stretches(self) -> Iterator[Scores]:
        """The same scores in stretches short enough to hold every component; assembled anew where there are several."""
        if len(self) <= STRETCH:
            yield self
            return
        for start in range(self.start, self.start + len(self), STRETCH):
            yield self.prism.assemble(self.workspace, start, min(start + STRETCH, self.start + len(self)))

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
        about = {
            "instrument": str(self.frame.instrument),
            "simulated": self.frame.instrument.is_simulated,
            "timeframe": self.frame.timeframe.name,
            "data": self.frame.fingerprint,
            "prism": self.prism.fingerprint,
        }
        temporary = target.with_name(target.name + ".tmp")
        writer: pq.ParquetWriter | None = None
        for part in self._stretches():
            arrays = {}
            for name, values in part._columns().items():
                array = pa.array(values, from_pandas=True)  # what is not known is null
                arrays[name] = pa.DictionaryArray.from_arrays(array, list(KINDS)) if values.dtype == np.int8 else array
            table = pa.table(arrays).replace_schema_metadata({"virtuoso": json.dumps(about)})
            if writer is None:
                # scores repeat no value, so a dictionary of them costs time and space; planes of bytes compress better
                floats = [name for name, array in arrays.items() if pa.types.is_floating(array.type)]
                words = [name for name, array in arrays.items() if pa.types.is_dictionary(array.type)]
                writer = pq.ParquetWriter(
                    temporary, table.schema, compression="zstd", use_dictionary=words, use_byte_stream_split=floats
                )
            writer.write_table(table)
        assert writer is not None
        writer.close()
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
