"""Scores: what the prism found, bar by bar, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import iso, parse_time
from virtuoso.errors import NotLoadedError
from virtuoso.files.atomic import Disk
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component
from virtuoso.prism.engine.aggregate import Blended, Codes
from virtuoso.prism.engine.assembly import Assembled, Assembly
from virtuoso.prism.engine.graph import missing_columns
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.divergence import KINDS
from virtuoso.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.prism.open_interest.report import OpenInterest
    from virtuoso.prism.prism import Prism
    from virtuoso.prism.result.explanation import Explanation


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
        from virtuoso.prism.result.explanation import explained

        return explained(self, i)

    def reason(self, dotted: str, i: int) -> str:
        """Say why a component is not known at the i-th scored bar; empty where it is."""
        from virtuoso.prism.result.explanation import why_unknown

        return why_unknown(self, dotted, i)

    def open_interest(self, at: int | str | None = None) -> OpenInterest:
        """Read the open-interest room at one moment; see `virtuoso.prism.open_interest.analysis.analyse`."""
        from virtuoso.prism.open_interest.analysis import analyse

        return analyse(self.workspace, at)

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
        about = {
            "instrument": str(self.frame.instrument),
            "simulated": self.frame.instrument.is_simulated,
            "timeframe": self.frame.timeframe.name,
            "data": self.frame.fingerprint,
            "prism": self.prism.fingerprint,
        }
        writer: pq.ParquetWriter | None = None
        with Disk().opened(target) as file, ExitStack() as stack:
            for part in self._stretches():
                arrays = {}
                for name, values in part._columns().items():
                    array = pa.array(values, from_pandas=True)  # what is not known is null
                    words = pa.DictionaryArray.from_arrays(array, list(KINDS)) if values.dtype == np.int8 else array
                    arrays[name] = words
                table = pa.table(arrays).replace_schema_metadata({"virtuoso": json.dumps(about)})
                if writer is None:
                    # scores repeat no value: a dictionary of them costs time and space; planes of bytes compress better
                    floats = [name for name, array in arrays.items() if pa.types.is_floating(array.type)]
                    coded = [name for name, array in arrays.items() if pa.types.is_dictionary(array.type)]
                    writer = pq.ParquetWriter(
                        file, table.schema, compression="zstd", use_dictionary=coded, use_byte_stream_split=floats
                    )
                    stack.enter_context(writer)
                writer.write_table(table)
        return target
