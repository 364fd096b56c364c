"""Scores: what the prism found, bar by bar, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import iso, parse_time
from virtuoso.errors import NotLoadedError
from virtuoso.files.atomic import Disk
from virtuoso.market.frame import MarketFrame
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

STRETCH = 65_536
"""Bars written at once: bounds the memory of a file that holds every component."""


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
                for what, array in part.arrays()._asdict().items():
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
        return explain(self.prism, self.workspace, self._aggregator, number)

    def reason(self, dotted: str, i: int) -> str:
        """Return why a component is not known at the i-th scored bar; empty where it is."""
        number = range(self.start, self.start + len(self))[i]
        return why_unknown(self.prism, self.workspace, self._aggregator, number, dotted)

    def open_interest(self, at: int | str | None = None) -> OpenInterest:
        """Read the open-interest room at one moment; see `virtuoso.prism.open_interest.analysis.analyse`."""
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
