"""Anchored blocks: the one way in which anything is computed, in batch and live.

1. Bars of a timeframe are numbered from the epoch and grouped into blocks of fixed length.
2. The values of a block are computed on exactly the bars [block start - memory, t]: the arrays always start at the
   same absolute bar, so a causal function gives the same bits however the history is cut.
   A node whose bits do not depend on where its window starts may say so (`windowed`): then it is fed the `memory`
   bars that end with the first one that is wanted, and what follows, several blocks at once where they are wanted.
3. A hole cuts: with r the start of the known run that holds t, the function sees [max(block start - memory, r), t],
   and its value counts once t - r >= warmup - 1, else NaN.
4. `Workspace.values` extends what is there up to the bar asked for. Asked for five years at once it walks over whole
   blocks; asked bar by bar it extends the last, growing block with the same function. There is no second path.
5. Features are nodes of their own: computed once per block, cut by their own warm-up, aligned where their timeframe
   differs. Memories add up because each looks back from its own blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe, iso
from virtuoso.errors import (
    DeclarationError,
    MissingColumnError,
    NotLoadedError,
    PrivateCodeError,
    VirtuosoError,
    failure,
)
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.prism.component import Assembled, Node
from virtuoso.prism.engine.buffers import CrossTimeframeInput, NodeBuffer, TimeframeBuffers
from virtuoso.prism.engine.faults import failure_of
from virtuoso.types import Array, Mask

THREADS = 2
"""In which blocks are hashed, read and aggregated beside each other."""
STRIDE = 8_192
"""Bars that a windowed node is asked for at once: enough to forget the price of a call, few enough for the cache."""


HIDDEN = -(1 << 36)
"""Number of no bar; in days it is still a number of ms."""
Numbers = TypeVar("Numbers", int, NDArray[np.int64])


def block_length(timeframe: Timeframe) -> int:
    """Bars in a block: chosen by the cost of one live bar at the worst position of a block."""
    if timeframe.ms <= 60_000:
        return 1_024
    return 512 if timeframe.ms <= 300_000 else 256


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
        self.block = block
        self._extra_memory = extra_memory
        self._buffers: dict[str, TimeframeBuffers] = {}
        self._cuts = _cuts(frame, frame.base.first)
        self.aggregators: dict[str, Any] = {}
        """Aggregators of the prisms that were laid over this workspace, by fingerprint."""
        self.pending: Callable[[Workspace], object] | None = None
        """Loads what another run has cached; called once, before much is computed."""
        self.evictions = 0
        """How often values were dropped: whoever remembers what was computed asks whether it is still there."""

    def buffers(self, timeframe: Timeframe) -> TimeframeBuffers:
        """Return the bars of a timeframe and what was computed on them."""
        buffers = self._buffers.get(timeframe.name)
        if buffers is None:
            bars = self.frame.bars(timeframe)
            buffers = self._buffers[timeframe.name] = TimeframeBuffers(bars, self.block or block_length(timeframe))
        return buffers

    def load_cache(self) -> None:
        """Load what another run has cached, unless that was done."""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending(self)

    def grow(self, frame: MarketFrame) -> None:
        """Go on with a longer frame of the same history: the live step."""
        if len(new := _cuts(frame, self.frame.base.end)):
            self._cuts = np.concatenate((self._cuts, new))
            for buffers in self._buffers.values():
                buffers.forget_alignment()
        self.frame = frame
        for buffers in self._buffers.values():
            buffers.grow(frame.bars(buffers.bars.timeframe))

    def evict(self, number: int, spared: frozenset[NodeBuffer]) -> None:
        """Drop what was computed too long before a base bar to be looked back at from there, unless it is spared.

        What is asked for once more is computed once more.
        """
        self.evictions += 1
        time, reach = number * self.frame.timeframe.ms, 0
        for buffers in sorted(self._buffers.values(), key=lambda buffers: buffers.bars.timeframe):
            ms = buffers.bars.timeframe.ms
            longest = max((buffer.block + buffer.memory for buffer in buffers.by_node.values()), default=0)
            reach = max(reach, longest * ms)  # what runs on a faster timeframe may look at this one
            for buffer in buffers.by_node.values():
                if buffer not in spared:
                    buffer.evict(buffers, (time - reach) // ms)

    def forget(self, room: int) -> None:
        """Drop everything that was computed if it takes more than so many bytes; see `evict`."""
        if self.nbytes > room:
            for buffers in self._buffers.values():
                buffers.by_node.clear()

    @property
    def nbytes(self) -> int:
        """Memory that what was computed takes, bytes."""
        computed = [buffer for buffers in self._buffers.values() for buffer in buffers.by_node.values()]
        return sum(values.nbytes for buffer in computed for values in buffer.outputs)

    def nodes(self) -> dict[str, frozenset[Node]]:
        """Return the nodes of which something was computed, by name of the timeframe."""
        return {name: frozenset(buffers.by_node) for name, buffers in self._buffers.items()}

    def keep_only(self, nodes: Mapping[str, frozenset[Node]]) -> None:
        """Drop what was computed of every other node; see `nodes`."""
        for name, buffers in self._buffers.items():
            for node in set(buffers.by_node) - nodes.get(name, frozenset()):
                del buffers.by_node[node]

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
        buffers = self.buffers(timeframe)
        buffer = buffers.of(node)
        self.compute(buffer, buffers, start, stop)
        return buffer.between(start, stop)

    def compute(self, buffer: NodeBuffer, buffers: TimeframeBuffers, start: int, stop: int) -> None:
        """Compute the bars [start, stop) of a node as far as they are not there yet; raises as `values` does."""
        begun, ended = buffer.ready
        if (begun <= start and stop <= ended) or stop <= start:
            return
        length, done = buffer.block, buffer.done
        missing = len(done) <= (stop - 1) // length - buffer.first_block
        if missing or start < buffer.first or stop > buffer.first + len(buffer.known):
            buffer.make_room(buffers, start, stop)
        for block in range(start // length, (stop - 1) // length + 1):
            end = min(stop, (block + 1) * length)
            if done[block - buffer.first_block] < end:
                if buffer.windowed and end < stop:
                    end = min(stop, _open_end(buffer, buffers, block))
                self._extend_block(buffer, buffers, block, end)
        buffer.ready = (begun, max(ended, stop)) if begun <= start <= ended else (start, stop)

    def _extend_block(self, buffer: NodeBuffer, buffers: TimeframeBuffers, block: int, end: int) -> None:
        """Compute the bars of a block that are not there yet, up to number `end`."""
        if isinstance(buffer.node, Assembled):
            return self._extend_assembled(buffer, buffers, buffer.node, block, end)
        first, held, done = buffers.first, buffer.first, buffer.done
        wanted = done[block - buffer.first_block]
        anchor = wanted + 1 if buffer.windowed else block * buffer.block
        origin = anchor - buffer.memory - self._extra_memory
        low = origin if origin > first else first
        inputs, mask = self._inputs(buffer, buffers, low, end)
        if origin < first and not buffers.bars.complete and (mask is None or mask[0]):
            node, bars = buffer.node, buffers.bars
            raise NotLoadedError(
                f"{node!r} on {bars.timeframe} needs bars from {iso(bars.timeframe.open_time(origin))} to answer for "
                f"{iso(bars.timeframe.open_time(wanted))}, but only those from "
                f"{iso(bars.timeframe.open_time(first))} are loaded. Load an earlier start."
            )
        if mask is not None or low > origin:  # else every bar is answered
            for output in buffer.outputs:
                output[wanted - held : end - held] = np.nan
        if mask is None:
            _run(buffer, buffers, inputs, low, end, wanted, low > origin)
        elif end > wanted + 1 or mask[-1]:  # else the one bar that is wanted is not known
            for r, e in _runs(mask):
                part = [_cut(value, r, e) for value in inputs]
                _run(buffer, buffers, part, low + r, low + e, wanted, low + r > origin)
        for reached in range(block, (end - 1) // buffer.block + 1):
            done[reached - buffer.first_block] = min(end, (reached + 1) * buffer.block)
        if end > buffer.end:
            buffer.end = end
        if end == wanted + 1:
            if not buffer.known[wanted - held]:
                buffer.clear = max(buffer.clear, end)
        elif np.count_nonzero(known := buffer.known[wanted - held : end - held]) < end - wanted:
            buffer.clear = max(buffer.clear, wanted + int(np.flatnonzero(~known)[-1]) + 1)
        return None

    def _extend_assembled(
        self, buffer: NodeBuffer, buffers: TimeframeBuffers, node: Assembled, block: int, end: int
    ) -> None:
        """Do the same for what is assembled on the base timeframe."""
        if buffers.bars.timeframe != self.frame.timeframe:
            raise DeclarationError(f"{node!r} is assembled on {self.frame.timeframe} alone, not on its own timeframe.")
        wanted = buffer.done[block - buffer.first_block]
        here = slice(wanted - buffer.first, end - buffer.first)
        for output, array in zip(buffer.outputs, node.assembled(self, wanted, end), strict=True):
            output[here] = array
        buffer.known[here] = True  # NaN is an answer
        buffer.done[block - buffer.first_block] = end
        buffer.end = max(buffer.end, end)

    def _inputs(
        self, buffer: NodeBuffer, buffers: TimeframeBuffers, low: int, end: int
    ) -> tuple[list[Any], Mask | None]:
        """Inputs over the bars [low, end), one an argument, and where all are known; None where that is everywhere.

        A node that names no column is judged by the nodes it names: they know their own holes.
        """
        a, b = low - buffers.first, end - buffers.first
        inputs: list[Any] = [None] * buffer.arity
        masks: list[Mask] = []
        if buffer.columns:
            if buffer.validity is None:
                self._require_columns(buffer, buffers)
                buffer.validity = buffers.validity(frozenset(name for _, name in buffer.columns))
            columns, here = buffers.columns, slice(a, b)
            for place, name in buffer.columns:
                inputs[place] = columns[name][here]
            known = None if buffer.node.holes else buffer.validity.over(buffers, a, b)
            if known is not None:
                masks.append(known)
        for place, source, outputs in buffer.inner:
            if source.ready[1] < end or source.ready[0] > low:
                self.compute(source, buffers, low, end)
            here = slice(low - source.first, end - source.first)
            if outputs is None:
                inputs[place] = source.outputs[0][here]
            else:
                inputs[place] = outputs(*[values[here] for values in source.outputs])
            if source.clear > low:
                masks.append(source.known[here])
        for slower in buffer.slower:
            self._align_input(slower, buffers.bars.timeframe, low, end)
            inputs[slower.place] = slower.values[0] if slower.outputs is None else slower.outputs(*slower.values)
            if slower.known is not None:
                masks.append(slower.known)
        if buffer.node.holes:
            masks = self._marks(buffers, a, b)
        return inputs, _all(masks) if masks else None

    def _marks(self, buffers: TimeframeBuffers, a: int, b: int) -> list[Mask]:
        """Where history goes on, for nodes that look over holes: nobody looks over a cut."""
        cut = self._cuts // buffers.bars.timeframe.ms - buffers.first - a
        goes_on = np.ones(b - a, dtype=bool)
        goes_on[cut[(cut >= 0) & (cut < b - a)]] = False
        return [] if goes_on.all() else [goes_on]

    def _align_input(self, slower: CrossTimeframeInput, timeframe: Timeframe, low: int, end: int) -> None:
        """Align an input of another timeframe with the bars [low, end), unless they see what the last ones saw."""
        ms, own = timeframe.ms, slower.own.ms
        oldest, newest = (low + 1) * ms // own - 1, end * ms // own - 1
        if oldest == newest and slower.kept == (newest, end - low):
            return
        slower.values, seen = self.aligned(slower.node, slower.own, timeframe, low, end)
        slower.known = None if seen.all() else seen
        closed = oldest == newest < self.buffers(slower.own).bars.end
        closed = closed and (len(self._cuts) == 0 or low * ms >= int(self._cuts[-1]))
        slower.kept = (newest if closed else -1, end - low)

    def _require_columns(self, buffer: NodeBuffer, buffers: TimeframeBuffers) -> None:
        carried = buffers.bars.columns
        missing = sorted(name for _, name in buffer.columns if name not in carried)
        if missing:
            raise MissingColumnError(
                f"{buffer.node!r} needs the column {missing[0]!r} ({COLUMNS[missing[0]].source[:-1].lower()}), but the "
                f"bars of {self.frame.instrument} {buffers.bars.timeframe} carry {', '.join(carried)}."
            )

    def require_loaded(self, timeframe: Timeframe, number: int) -> None:
        """Raise NotLoadedError if a bar that is to be seen exists but was not loaded."""
        bars = self.buffers(timeframe).bars
        if number < bars.first and not bars.complete:
            raise NotLoadedError(
                f"The {timeframe} bar of {iso(timeframe.open_time(number))} is needed, but {self.frame.instrument} is "
                f"loaded only from {iso(timeframe.open_time(bars.first))}. Load an earlier start."
            )

    def visible(self, numbers: NDArray[np.int64], timeframe: Timeframe, own: Timeframe) -> NDArray[np.int64]:
        """Numbers of the last bars of `own` that have closed when bars of `timeframe` close; HIDDEN behind a cut.

        Where history begins anew, the slow bar before is of what is not remembered any more.
        """
        seen = visible(numbers, timeframe, own)
        return np.where(seen < self.begins(numbers, timeframe, own), HIDDEN, seen) if len(self._cuts) else seen

    def cuts_between(self, start: int, stop: int) -> list[int]:
        """Numbers of the base bars in [start, stop) at which history begins anew though none is missing."""
        numbers = self._cuts // self.frame.timeframe.ms
        return [int(number) for number in numbers if start <= number < stop]

    def begins(self, numbers: NDArray[np.int64], timeframe: Timeframe, own: Timeframe) -> NDArray[np.int64]:
        """Numbers of the bar of `own` in which history begins anew for bars of `timeframe`, or HIDDEN."""
        cuts = np.concatenate(([HIDDEN * own.ms], self._cuts))
        begun: NDArray[np.int64] = cuts[np.searchsorted(cuts, (numbers + 1) * timeframe.ms) - 1] // own.ms
        return begun

    def is_hidden(self, seen: int, number: int, own: Timeframe) -> bool:
        """Whether a bar of `own` lies behind the last cut before the close of a base bar, which does not see it."""
        if len(self._cuts) == 0:
            return False
        return bool(seen < self.begins(np.array([number]), self.frame.timeframe, own)[0])

    def aligned(self, node: Node, own: Timeframe, timeframe: Timeframe, low: int, end: int) -> tuple[list[Array], Mask]:
        """Values of a node on its own clock, as seen from the bars [low, end) of another timeframe.

        A bar of the own timeframe is seen from its close on: at the close of bar i the last one seen is
        `(i + 1) * timeframe.ms // own.ms - 1`.
        """
        buffers, n = self.buffers(own), end - low
        bars, buffer = buffers.bars, buffers.of(node)
        oldest, newest = (low + 1) * timeframe.ms // own.ms - 1, end * timeframe.ms // own.ms - 1
        self.require_loaded(own, oldest)
        a, b = max(oldest, bars.first), min(newest, bars.end - 1) + 1
        if a >= b:
            return [np.full(n, np.nan) for _ in buffer.outputs], np.zeros(n, dtype=bool)
        self.compute(buffer, buffers, a, b)
        if oldest == newest and len(self._cuts) == 0:  # all of them see one bar: most single bars do
            at = oldest - buffer.first
            return [np.full(n, values[at]) for values in buffer.outputs], np.full(n, buffer.known[at])
        seen = self.visible(np.arange(low, end), timeframe, own)
        if len(self._cuts) == 0 and oldest >= bars.first and newest < bars.end:
            positions = seen - buffer.first
            return [values[positions] for values in buffer.outputs], buffer.known[positions]
        there = (seen >= bars.first) & (seen < bars.end)
        positions = np.where(there, seen, a) - buffer.first
        arrays = [np.where(there, values[positions], np.nan) for values in buffer.outputs]
        return arrays, there & buffer.known[positions]


def _cuts(frame: MarketFrame, first: int) -> NDArray[np.int64]:
    """Open times of the base bars from a number on at which history begins anew though none is missing, ms."""
    state = frame.base.state[first - frame.base.first :]
    return (first + np.flatnonzero(state > UNKNOWN)) * frame.timeframe.ms


def visible(numbers: Numbers, timeframe: Timeframe, own: Timeframe) -> Numbers:
    """Number of the last bar of `own` that has closed when a bar of `timeframe` closes; of one bar or of many."""
    return (numbers + 1) * timeframe.ms // own.ms - 1


def _open_end(buffer: NodeBuffer, buffers: TimeframeBuffers, block: int) -> int:
    """Number after the last block, of those that follow without a break, in which nothing is computed yet."""
    after, length = block + 1, buffer.block
    most = min(block + max(STRIDE // length, 1), (buffers.bars.end - 1) // length + 1)
    while after < most and buffer.done[after - buffer.first_block] == after * length:
        after += 1
    return after * length


def _run(
    buffer: NodeBuffer, buffers: TimeframeBuffers, inputs: list[Any], start: int, stop: int, wanted: int, fresh: bool
) -> None:
    """Call the function on one run of known bars [start, stop), and keep what counts of its answer.

    `fresh` says that the run begins here and not earlier, so that the warm-up must pass first.
    """
    valid = max(wanted, start + buffer.warmup - 1) if fresh else wanted
    if valid >= stop:
        return
    for place, name in buffer.reserved:
        inputs[place] = start if name == "first" else valid - start if name == "wanted" else buffers.bars.timeframe
    node = buffer.node
    try:
        result = buffer.value(*inputs)
    except VirtuosoError as fault:
        fault.add_note(f"This happened in {node!r} on {buffers.bars.timeframe}.")
        raise
    except Exception as fault:
        raise PrivateCodeError(
            f"{node!r}.{node.function} on {buffers.bars.timeframe} fails {failure_of(fault, node)}"
        ) from fault
    except SystemExit as end:  # a component does not end the program that asks for its scores
        raise PrivateCodeError(f"{node!r}.{node.function} ends the program {failure(end)}. Let it return NaN.") from end
    answers = result if isinstance(result, tuple) else (result,)
    for array in answers:
        if not isinstance(array, np.ndarray):
            raise DeclarationError(
                f"{node!r}.{node.function} gave a {type(array).__name__}; it must give a NumPy array, as long as its "
                "inputs."
            )
        if array.ndim != 1 or len(array) != stop - start:
            raise DeclarationError(
                f"{node!r}.{node.function} gave an array of shape {array.shape} for {stop - start} bars; it must be as "
                "long as its inputs."
            )
    first = buffer.first
    if valid == stop - 1:
        _keep_one(buffer, answers, stop - 1 - first)
    else:
        _keep(buffer, answers, valid - start, slice(valid - first, stop - first))


def _keep(buffer: NodeBuffer, answers: tuple[Array, ...], skip: int, here: slice) -> None:
    """Store answers but for the first few, and where they are known."""
    known = buffer.known[here]
    known[:] = True
    for output, array in zip(buffer.outputs, answers, strict=True):
        answer = array[skip:]
        output[here] = answer
        if not buffer.node.sparse:
            known &= np.isfinite(answer)


def _keep_one(buffer: NodeBuffer, answers: tuple[Array, ...], at: int) -> None:
    """Store the last answer alone, as `_keep` does: a live bar has one, and plain numbers are ten times as quick."""
    known = True
    for output, array in zip(buffer.outputs, answers, strict=True):
        answer = array[-1]
        output[at] = answer
        known = known and isfinite(answer)
    buffer.known[at] = known or buffer.node.sparse


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
