"""Anchored blocks: the one way in which anything is computed, in batch and live.

1. Bars of a timeframe are numbered from the epoch and grouped into blocks of fixed length.
2. The values of a block are computed on exactly the bars [block start - memory, t]: the arrays always start at the
   same absolute bar, so a causal function gives the same bits however the history is cut.
   A node whose bits do not depend on where its window starts may say so (`windowed`): then it is fed from
   `memory` bars before the first bar that is wanted, which is the block's start in batch.
3. A hole cuts: with r the start of the known run that holds t, the function sees [max(block start - memory, r), t],
   and its value counts once t - r >= warmup - 1, else NaN.
4. `Workspace.values` extends what is there up to the bar asked for. Asked for five years at once it walks over whole
   blocks; asked bar by bar it extends the last, growing block with the same function. There is no second path.
5. Features are nodes of their own: computed once per block, cut by their own warm-up, aligned where their clock
   differs. Memories add up because each looks back from its own blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe, iso
from virtuoso.errors import DeclarationError, MissingColumnError, NotLoadedError
from virtuoso.market.bars import Bars
from virtuoso.market.columns import COLUMNS, Array
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN
from virtuoso.prism.component import RESERVED, Feature, Node

Mask = NDArray[np.bool_]


def block_length(timeframe: Timeframe) -> int:
    """Bars in a block: chosen by the cost of one live bar at the worst position of a block."""
    if timeframe.ms <= 60_000:
        return 1_024
    return 512 if timeframe.ms <= 300_000 else 256


class Source(NamedTuple):
    """Where one argument of a function comes from: a column, a node, or the engine itself."""

    name: str
    node: Node | None
    own: Timeframe | None
    outputs: type[tuple[Any, ...]] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node asks for on one timeframe, looked up once.

    Attributes
    ----------
    memory, warmup : int, bars
    columns : frozenset of str
        Columns it names.
    sources : tuple of Source
        One an argument, in order.
    reserved : tuple of (int, str)
        Place and name of the arguments that the engine itself gives.
    """

    memory: int
    warmup: int
    columns: frozenset[str]
    sources: tuple[Source, ...]
    reserved: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, node: Node, timeframe: Timeframe) -> Plan:
        """Plan of a node."""
        memory, warmup = node.memory(timeframe), node.warmup(timeframe)
        if warmup > memory:
            raise DeclarationError(f"{node!r} on {timeframe} has memory {memory} below its warm-up {warmup}.")
        sources = []
        for name in node.arguments:
            given = None if name in RESERVED else getattr(node, name, None)
            if isinstance(given, Node):
                outputs = given.outputs if isinstance(given, Feature) else None
                sources.append(Source(name, given, given.clock(timeframe), outputs))
            else:
                sources.append(Source(name, None, None, None))
        columns = frozenset(s.name for s in sources if s.node is None and s.name not in RESERVED)
        reserved = tuple((i, name) for i, name in enumerate(node.arguments) if name in RESERVED)
        return cls(memory, warmup, columns, tuple(sources), reserved)


@dataclass(slots=True)
class Series:
    """The growing values of one node on one timeframe.

    Attributes
    ----------
    outputs : list of Array, shape (capacity,)
        Value of bar `first + i` at position i, NaN where not known.
    known : array of bool, shape (capacity,)
        Where the node answered.
    done : list of int
        Number after the last bar computed in each block; the block's start if none.
    clear : int
        Number from which on the node answered at every bar that was computed.
    plan : Plan
        What the node asks for on this timeframe.
    """

    outputs: list[Array]
    known: Mask
    done: list[int]
    clear: int
    plan: Plan

    def mend(self, first: int) -> None:
        """Find `clear` anew after values were put in from elsewhere; `first` is the number of the first bar."""
        unknown = np.flatnonzero(~self.known[: max(self.done, default=first) - first])
        if len(unknown):
            self.clear = max(self.clear, first + int(unknown[-1]) + 1)


class Clock:
    """The bars of one timeframe and all that was computed on them."""

    def __init__(self, bars: Bars, block: int) -> None:
        self.block = block
        self.first_block = bars.first // block
        self.grow(bars)
        self.series: dict[Node, Series] = {}
        self.scored: dict[Node, tuple[int, list[Array]]] = {}
        self.viewed: dict[Node, tuple[int, list[Array]]] = {}
        self._known: dict[frozenset[str], tuple[Mask, NDArray[np.int64], int]] = {}

    def known(self, columns: frozenset[str], low: int, end: int) -> Mask | None:
        """Where columns are known among the bars [low, end); None where that is everywhere.

        Extended, not recomputed, when bars were added; how many are unknown is a difference of running counts.
        """
        n = self.n
        mask, unknown, done = self._known.get(columns, (np.empty(0, bool), np.zeros(1, np.int64), 0))
        if done < n:
            if n > len(mask):
                room = n if done == 0 else max(n, len(mask) + len(mask) // 2)
                mask, unknown = _padded(mask, room, False), _padded(unknown, room + 1, 0)
            fresh = slice(done, n)
            mask[fresh] = self.bars.state[fresh] != UNKNOWN
            for name in columns:
                mask[fresh] &= np.isfinite(self.bars.columns[name][fresh])
            unknown[done + 1 : n + 1] = unknown[done] + np.cumsum(~mask[fresh])
            self._known[columns] = (mask, unknown, n)
        a, b = low - self.bars.first, end - self.bars.first
        return None if unknown[a] == unknown[b] else mask[a:b]

    def grow(self, bars: Bars) -> None:
        """Take longer bars in the place of the ones known so far; what was computed stays."""
        self.bars = bars
        self.n = len(bars)
        self.blocks = (bars.end - 1) // self.block - self.first_block + 1 if self.n else 0

    def open_series(self, node: Node) -> Series:
        """Find or start the series of a node, with room for all bars."""
        series = self.series.get(node)
        if series is None:
            kind = node.outputs if isinstance(node, Feature) else None
            width = len(kind._fields) if kind is not None else 1  # type: ignore[attr-defined]
            outputs, plan = [np.empty(0) for _ in range(width)], Plan.of(node, self.bars.timeframe)
            series = Series(outputs, np.empty(0, dtype=bool), [], self.bars.first, plan)
            self.series[node] = series
        if len(series.known) < self.n or len(series.done) < self.blocks:
            self._enlarge(series)
        return series

    def _enlarge(self, series: Series) -> None:
        """Give a series room for all bars, and half as much again where it grows, so that growing stays cheap."""
        n = self.n
        have = len(series.known)
        if n > have:
            room = n if have == 0 else max(n, have + have // 2)
            series.outputs = [_padded(values, room, np.nan) for values in series.outputs]
            series.known = _padded(series.known, room, False)
        for block in range(self.first_block + len(series.done), self.first_block + self.blocks):
            series.done.append(max(block * self.block, self.bars.first))


def _padded(values: NDArray[Any], room: int, fill: float | bool) -> NDArray[Any]:
    out = np.full(room, fill, dtype=values.dtype)
    out[: len(values)] = values
    return out


class Workspace:
    """The market frame of one symbol with everything computed on it so far.

    Parameters
    ----------
    frame : MarketFrame
    block : int, optional
        Length of a block on every timeframe; tests set 64. The standard lengths if absent.
    extra_memory : int, bars
        Feed every node this much more than it declares; only the memory law does.
    """

    def __init__(self, frame: MarketFrame, block: int | None = None, extra_memory: int = 0) -> None:
        self.frame = frame
        self._block = block
        self._extra_memory = extra_memory
        self._clocks: dict[str, Clock] = {}
        self.participation: dict[str, dict[int, float]] = {}

    def clock(self, timeframe: Timeframe) -> Clock:
        """Bars and series of a timeframe."""
        if timeframe.name not in self._clocks:
            bars = self.frame.bars(timeframe)
            self._clocks[timeframe.name] = Clock(bars, self._block or block_length(timeframe))
        return self._clocks[timeframe.name]

    def grow(self, frame: MarketFrame) -> None:
        """Go on with a longer frame of the same history: the live step."""
        self.frame = frame
        for clock in self._clocks.values():
            clock.grow(frame.bars(clock.bars.timeframe))

    def values(self, node: Node, timeframe: Timeframe, start: int, stop: int) -> list[Array]:
        """Values of the bars numbered [start, stop) of a timeframe, one array an output.

        Parameters
        ----------
        node : Node
        timeframe : Timeframe
            On which the bars are numbered; the node must run on it.
        start, stop : int
            Within the bars of the timeframe.

        Returns
        -------
        list of Array, shape (stop - start,)
            Views: copy before writing.

        Raises
        ------
        MissingColumnError
            An input column is not in the frame.
        NotLoadedError
            Older bars exist that the node needs and that were not loaded.
        """
        clock = self.clock(timeframe)
        series, first = self._computed(node, clock, start, stop), clock.bars.first
        return [values[start - first : stop - first] for values in series.outputs]

    def _computed(self, node: Node, clock: Clock, start: int, stop: int) -> Series:
        """The series of a node, computed for the bars [start, stop)."""
        series = clock.open_series(node)
        if stop > start:
            length, done = clock.block, series.done
            for block in range(start // length, (stop - 1) // length + 1):
                end = min(stop, (block + 1) * length)
                if done[block - clock.first_block] < end:
                    self._extend_block(node, clock, series, block, end)
        return series

    def _extend_block(self, node: Node, clock: Clock, series: Series, block: int, end: int) -> None:
        """Compute the bars of a block that are not there yet, up to number `end`."""
        bars, plan, first = clock.bars, series.plan, clock.bars.first
        wanted = series.done[block - clock.first_block]
        anchor = wanted if node.windowed else block * clock.block
        origin = anchor - plan.memory - self._extra_memory
        low = max(origin, first)
        inputs, masks = self._inputs(node, plan, clock, low, end)
        mask = None if node.holes or not masks else _all(masks)
        if origin < first and not bars.complete and (mask is None or mask[0]):
            raise NotLoadedError(
                f"{node!r} on {bars.timeframe} needs bars from {iso(bars.timeframe.open_time(origin))} to answer for "
                f"{iso(bars.timeframe.open_time(wanted))}, but only those from "
                f"{iso(bars.timeframe.open_time(first))} are loaded. Load an earlier start."
            )
        if mask is None:
            _run(node, clock, series, inputs, low, end, wanted, fresh=low > origin)
        else:
            for r, e in _runs(mask):
                part = [_cut(value, r, e) for value in inputs]
                _run(node, clock, series, part, low + r, low + e, wanted, fresh=low + r > origin)
        series.done[block - clock.first_block] = end
        known = series.known[wanted - first : end - first]
        if not known.all():
            series.clear = max(series.clear, wanted + int(np.flatnonzero(~known)[-1]) + 1)

    def _inputs(self, node: Node, plan: Plan, clock: Clock, low: int, end: int) -> tuple[list[Any], list[Mask]]:
        """Inputs over the bars [low, end), one an argument, and the masks of those that are not known throughout."""
        columns, a, b = clock.bars.columns, low - clock.bars.first, end - clock.bars.first
        inputs: list[Any] = []
        masks: list[Mask] = []
        if plan.columns:  # a node that names no column is judged by the nodes it names: they know their own holes
            if not plan.columns <= columns.keys():
                raise self._missing_column(node, plan, clock)
            known = clock.known(plan.columns, low, end)
            if known is not None:
                masks.append(known)
        for source in plan.sources:
            if source.node is None:
                inputs.append(columns[source.name][a:b] if source.name in columns else None)
            elif source.own is clock.bars.timeframe or source.own == clock.bars.timeframe:
                series = self._computed(source.node, clock, low, end)
                arrays = [values[a:b] for values in series.outputs]
                inputs.append(arrays[0] if source.outputs is None else source.outputs(*arrays))
                if series.clear > low:
                    masks.append(series.known[a:b])
            else:
                assert source.own is not None
                arrays, seen = self.aligned(source.node, source.own, clock.bars.timeframe, low, end)
                inputs.append(arrays[0] if source.outputs is None else source.outputs(*arrays))
                masks.append(seen)
        return inputs, masks

    def _missing_column(self, node: Node, plan: Plan, clock: Clock) -> MissingColumnError:
        carried = clock.bars.columns
        name = min(plan.columns - carried.keys())
        return MissingColumnError(
            f"{node!r} needs the column {name!r} ({COLUMNS[name].source[:-1].lower()}), but the bars of "
            f"{self.frame.instrument} {clock.bars.timeframe} carry {', '.join(carried)}."
        )

    def insist_loaded(self, timeframe: Timeframe, number: int) -> None:
        """Raise NotLoadedError if a bar that is to be seen exists but was not loaded."""
        bars = self.clock(timeframe).bars
        if number < bars.first and not bars.complete:
            raise NotLoadedError(
                f"The {timeframe} bar of {iso(timeframe.open_time(number))} is needed, but {self.frame.instrument} is "
                f"loaded only from {iso(timeframe.open_time(bars.first))}. Load an earlier start."
            )

    def aligned(self, node: Node, own: Timeframe, timeframe: Timeframe, low: int, end: int) -> tuple[list[Array], Mask]:
        """Values of a node on its own clock, as seen from the bars [low, end) of another timeframe.

        A bar of the own clock is seen from its close on: at the close of bar i the last one seen is
        `(i + 1) * timeframe.ms // own.ms - 1`.
        """
        bars = self.clock(own).bars
        seen = visible(np.arange(low, end), timeframe, own)
        self.insist_loaded(own, int(seen[0]))
        there = (seen >= bars.first) & (seen < bars.end)
        if not there.any():
            width = len(self.clock(own).open_series(node).outputs)
            return [np.full(end - low, np.nan) for _ in range(width)], there
        a, b = max(int(seen[0]), bars.first), min(int(seen[-1]), bars.end - 1) + 1
        series = self._computed(node, self.clock(own), a, b)
        at = np.where(there, seen - bars.first, a - bars.first)
        arrays = [np.where(there, values[at], np.nan) for values in series.outputs]
        return arrays, there & series.known[at]


def visible(numbers: NDArray[np.int64], timeframe: Timeframe, own: Timeframe) -> NDArray[np.int64]:
    """Number of the last bar of `own` that has closed when each bar of `timeframe` closes."""
    return (numbers + 1) * timeframe.ms // own.ms - 1


def _run(
    node: Node, clock: Clock, series: Series, inputs: list[Any], start: int, stop: int, wanted: int, *, fresh: bool
) -> None:
    """Call the function on one run of known bars [start, stop), and keep what counts of its answer.

    `fresh` says that the run begins here and not earlier, so that the warm-up must pass first.
    """
    plan = series.plan
    valid = max(wanted, start + plan.warmup - 1) if fresh else wanted
    if valid >= stop:
        return
    arguments = inputs
    for i, name in plan.reserved:
        arguments[i] = start if name == "first" else valid - start if name == "wanted" else clock.bars.timeframe
    result = node.value(*arguments)
    keep = slice(valid - clock.bars.first, stop - clock.bars.first)
    known = series.known[keep]
    known[:] = True
    for output, array in zip(series.outputs, result if isinstance(result, tuple) else (result,), strict=True):
        if array.shape != (stop - start,):
            raise DeclarationError(
                f"{node!r}.value gave an array of shape {array.shape} for {stop - start} bars; it must be as long as "
                "its inputs."
            )
        answer = array[valid - start :]
        output[keep] = answer
        if not node.sparse:
            known &= np.isfinite(answer)


def _cut(value: Any, r: int, e: int) -> Any:
    """An input cut to the run [r, e)."""
    if isinstance(value, tuple):
        return type(value)(*(part[r:e] for part in value))
    return None if value is None else value[r:e]


def _all(masks: list[Mask]) -> Mask | None:
    """Where everything is known, or None where that is everywhere."""
    known: Mask = masks[0] if len(masks) == 1 else np.logical_and.reduce(masks)
    return None if known.all() else known


def _runs(mask: Mask) -> list[tuple[int, int]]:
    """Stretches of known bars: position of the first, position after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
