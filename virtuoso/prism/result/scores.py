"""Scores: what the prism found, bar by bar, and why; subscripts, attributes and tables have the manners of pandas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import iso
from virtuoso.errors import MissingColumnError, NotLoadedError, did_you_mean
from virtuoso.files.atomic import Disk
from virtuoso.labels import Moment, Tabular, close_index, is_date, moment_ms, places, unknown_name
from virtuoso.market.frame import MarketFrame
from virtuoso.pictures import Chartable
from virtuoso.prism.engine.aggregate import Codes
from virtuoso.prism.engine.assembly import Aggregated, Aggregator
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.divergence import KINDS
from virtuoso.prism.open_interest.analysis import analyse
from virtuoso.prism.open_interest.report import OpenInterest
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.explanation import Explanation, explain, why_unknown
from virtuoso.prism.result.face_scores import FaceScores, faces_of
from virtuoso.types import Array

if TYPE_CHECKING:
    import pandas as pd

HINTS = {
    "loc": "scores['2025-08-01':'2025-09-01']",
    "iloc": "scores[100:200]",
    "values": "scores.confluence",
    "index": "scores.to_pandas().index",
}
SERIES = ("confluence", "raw_confluence", "coverage", "agreement", "effective_inputs", "reliability")
"""What is known of every bar, before the faces."""
STRETCH = 65_536
"""Bars written at once: bounds the memory of a file that holds every component."""


@dataclass(frozen=True)
class Scores(Tabular, Chartable):
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
    _found: Aggregated = field(repr=False, compare=False)
    _aggregator: Aggregator = field(repr=False, compare=False)

    @classmethod
    def of(cls, prism: Prism, workspace: Workspace, start: int, found: Aggregated, aggregator: Aggregator) -> Scores:
        """Scores of what was assembled, from base bar `start` on."""
        return cls(
            prism, workspace, start, found.confluence, found.raw_confluence, found.known,
            found.agreement, found.effective_inputs, found.reliability, found, aggregator,
        )  # fmt: skip

    @cached_property
    def faces(self) -> Mapping[str, FaceScores]:
        """The faces and their components by name; laid out when asked for, since few look into every bar."""
        return faces_of(self.prism, self.workspace, self.start, self._found, self._aggregator)

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

    def weights_of_faces(self, at: NDArray[np.int64]) -> Array:
        """Return the weights of the faces at some of the scored bars, by their places; shape (n_faces, n)."""
        places, back = np.unique(at, return_inverse=True)
        return self._aggregator.weights_at(self.workspace, self.start + places)[:, back]

    def column(self, name: str) -> Array:
        """A market column over the bars that were scored.

        Raises
        ------
        MissingColumnError
            The market has none of that name; scores are subscripts, `scores["technical"]`.
        """
        if name not in self.frame.base.columns:
            raise MissingColumnError(
                f"The market has no column {name!r}. {did_you_mean(name, self.frame.columns)} Scores are subscripts, "
                "such as scores['technical']."
            )
        at = self.start - self.frame.base.first
        return self.frame.base.columns[name][at : at + len(self)]

    # --- as pandas has it ---

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What a subscript may name: confluence and what belongs to it, the faces, and `face.component`."""
        parts = [f"{face.name}.{name}" for face in self.faces.values() for name in face.components]
        return (*SERIES, *self.faces, *parts)

    def __getitem__(self, key: Any) -> Any:
        """Return a score as a Series, several as a DataFrame, or the scores of a slice of dates or places."""
        if isinstance(key, str) and not is_date(key):
            return self._series(key)
        if isinstance(key, list | tuple):
            import pandas as pd

            return pd.DataFrame({name: self._series(name) for name in key})
        if isinstance(key, slice) or is_date(key):
            first, stop = places(self.close_times, key)
            found = self._aggregator.assemble(self.workspace, self.start + first, self.start + stop)
            return Scores.of(self.prism, self.workspace, self.start + first, found, self._aggregator)
        if isinstance(key, int | np.integer):
            return self[range(len(self))[key] :][:1].to_pandas().iloc[0]
        raise unknown_name(repr(self), key, self.columns)

    def _series(self, name: str) -> pd.Series:
        import pandas as pd

        if name in SERIES:
            values = getattr(self, name)
        else:
            face, _, part = name.partition(".")
            if face not in self.faces or (part and part not in self.faces[face].components):
                raise unknown_name(repr(self), name, self.columns)
            values = self.faces[face].components[part].arrays().score if part else self.faces[face].score
        return pd.Series(values, index=close_index(self.close_times), name=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("workspace", "prism"):
            raise AttributeError(name)
        if name in self.faces:
            return self._series(name)
        remedy = f"Try {HINTS[name]}." if name in HINTS else did_you_mean(name, [*dir(type(self)), *self.faces])
        raise AttributeError(f"Scores have no {name!r}. {remedy}")

    def describe(self) -> pd.DataFrame:
        """Return count, mean, spread and quantiles of confluence and the faces."""
        return self[["confluence", "coverage", *self.faces]].describe()  # type: ignore[no-any-return]

    def _repr_html_(self) -> str:
        simulated = " <b>SIMULATED</b>" if self.frame.instrument.is_simulated else ""
        shown = self[max(len(self) - 5, 0) :][["confluence", "coverage", *self.faces]] if len(self) else None
        table = "" if shown is None else shown.to_html(float_format="{:.1f}".format)
        return f"<p>{escape(repr(self))}{simulated}</p>{table}"

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
                for what, array in part.arrays()._asdict().items():
                    named[f"{dotted}.{what}" if what != "score" else dotted] = array
        return named

    def explain(self, at: Moment | None = None, face: str | None = None) -> Explanation:
        """Explain one moment.

        Parameters
        ----------
        at : int (ms), str or timestamp, optional
            The last bar closed by then; the newest if absent.
        face : str, optional
            The face whose components are shown.

        Raises
        ------
        NotLoadedError
            If no scored bar had closed by then.
        """
        if len(self) == 0:
            raise NotLoadedError("Nothing was scored, so there is nothing to explain.")
        number = self.start + len(self) - 1
        if at is not None:
            number = self.frame.number_at(moment_ms(at))
        i = number - self.start
        if not 0 <= i < len(self):
            raise NotLoadedError(
                f"The bar closing at {iso(self.frame.timeframe.close_time(number))} was not scored; scores go from "
                f"{iso(int(self.close_times[0]))} to {iso(int(self.close_times[-1]))}."
            )
        found = explain(self.prism, self.workspace, self._aggregator, number)
        return found if face is None else found.of(face)

    def reason(self, dotted: str, i: int) -> str:
        """Return why a component is not known at the i-th scored bar; empty where it is."""
        number = range(self.start, self.start + len(self))[i]
        return why_unknown(self.prism, self.workspace, self._aggregator, number, dotted)

    def open_interest(self, at: Moment | None = None) -> OpenInterest:
        """Read the open-interest room at one moment; see `virtuoso.prism.open_interest.analysis.analyse`."""
        return analyse(self.workspace, None if at is None else moment_ms(at))

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
                arrays = part.arrays()
                table[dotted] = arrays.score
                table[f"{dotted}.raw_score"] = arrays.raw_score
                table[f"{dotted}.divergence_bonus"] = arrays.divergence_bonus
                table[f"{dotted}.divergence_type"] = arrays.divergence_kind
        return table

    def _stretches(self) -> Iterator[Scores]:
        """The same scores in stretches short enough to hold every component; assembled anew where there are several."""
        if len(self) <= STRETCH:
            yield self
            return
        for start in range(self.start, self.start + len(self), STRETCH):
            stop = min(start + STRETCH, self.start + len(self))
            found = self._aggregator.assemble(self.workspace, start, stop)
            yield Scores.of(self.prism, self.workspace, start, found, self._aggregator)

    def to_pandas(self) -> pd.DataFrame:
        """One row a bar, indexed by close time (UTC)."""
        import pandas as pd

        table = self.to_table()
        return pd.DataFrame(table, index=close_index(table.pop("close_time")))

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
