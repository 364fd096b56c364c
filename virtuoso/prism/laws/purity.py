"""Purity elsewhere: what the law of purity asks a fresh process (fresh_process.py), many nodes at once.

1. `values_of` computes nodes there, each on the other markets first, and notes what was opened meanwhile.
2. `FreshValues` starts that process and hands its replies out node by node.
3. `out_of_reach` says why a node cannot be sent: a class typed into a notebook or a function is found by no one else.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Self

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Node
from virtuoso.prism.engine.graph import parts, sources
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws.cuts import stretches
from virtuoso.prism.laws.disturb import copied, narrowed, others
from virtuoso.prism.laws.findings import answers, outputs
from virtuoso.prism.laws.fresh_process import SHIFT_S, FreshProcess, LostError, report_step
from virtuoso.types import Array

Stretch = tuple[int, int]
"""Numbers of the bars that are asked for, from inclusive, to exclusive."""


@dataclass(frozen=True)
class Task:
    """Some stretches of one node on one timeframe."""

    node: Node
    timeframe: Timeframe
    stretches: tuple[Stretch, ...]


@dataclass
class Reply:
    """What a fresh process found about one node.

    Attributes
    ----------
    values : list of list of Array
        Answers over the stretches, laid end to end: a list a market, the one that is asked about last.
    opened : list of str
        What was opened, connected to or started while it was computed.
    failed : str
        What was raised, empty if nothing.
    """

    values: list[list[Array]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    failed: str = ""


def values_of(tasks: Sequence[Task], frame: MarketFrame, block: int | None) -> list[Reply]:
    """Compute tasks where nothing was computed before: the other markets first, the one that is asked about last."""
    _move_libraries()
    watch, replies = _Watch(), []
    for task in tasks:
        reply = Reply()
        own = copied(narrowed(frame, task.node))
        with watch.over(reply.opened):
            try:
                reply.values = [over(task, market, block) for market in [*others(own), own]]
            except Exception as error:
                reply.failed = f"{type(error).__name__}: {error}"
        replies.append(reply)
        report_step()
    return replies


def over(task: Task, frame: MarketFrame, block: int | None) -> list[Array]:
    """Answers of a node over some stretches, laid end to end, one array an output and the score."""
    workspace = Workspace(frame, block)
    parts = [
        [x.copy() for x in answers(task.node, workspace.values(task.node, task.timeframe, a, b))]
        for a, b in task.stretches
    ]
    return [np.concatenate(of_output) for of_output in zip(*parts, strict=True)]


class _Watch:
    """Notes what is opened, by whom it is not: compilers and imports may read what they need."""

    EVENTS = frozenset({"open", "socket.connect", "subprocess.Popen", "os.system", "os.listdir", "os.scandir"})
    MACHINERY = frozenset({"numba", "llvmlite", "importlib._bootstrap", "importlib._bootstrap_external", "linecache",
                           "inspect", "virtuoso.jit.cache", "zipimport", "zoneinfo"})  # fmt: skip

    def __init__(self) -> None:
        self._seen: list[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if self._seen is None or event not in self.EVENTS:
            return
        seen, self._seen = self._seen, None  # what this function opens is not meant
        try:
            if self.MACHINERY.isdisjoint(_modules_that_run()):
                seen.append(f"{event} {given[1] if event == 'socket.connect' else given[0]}")
        finally:
            self._seen = seen

    def over(self, seen: list[str]) -> _Watching:
        """Note what is opened within a context."""
        return _Watching(self, seen)


class _Watching:
    """A context in which something is watched."""

    def __init__(self, watch: _Watch, seen: list[str]) -> None:
        self._watch, self._own = watch, seen

    def __enter__(self) -> None:
        self._watch._seen = self._own

    def __exit__(self, *raised: object) -> None:
        self._watch._seen = None


def _modules_that_run() -> Iterator[str]:
    """Names of the modules whose code runs now, and of the packages they are in."""
    caller: FrameType | None = sys._getframe()
    while caller is not None:
        name = str(caller.f_globals.get("__name__", ""))
        yield name
        yield name.partition(".")[0]
        caller = caller.f_back


class FreshValues:
    """Values of many nodes, computed by one fresh process while this one goes on.

    Parameters
    ----------
    pairs : sequence of tuple of Node and Timeframe
    frame : MarketFrame
    block : int, optional

    Use it as a context: the process ends with it.
    """

    def __init__(self, pairs: Sequence[tuple[Node, Timeframe]], frame: MarketFrame, block: int | None = None) -> None:
        self._replies: dict[tuple[Node, Timeframe], Reply] | None = None
        self._obstacles = {node: out_of_reach(node) for node, _ in pairs}
        self._tasks = {}
        for node, timeframe in pairs:
            if not self._obstacles[node]:
                own, length = copied(narrowed(frame, node)), block or block_length(timeframe)
                value = outputs(node, own, timeframe, block)[0]
                self._tasks[node, timeframe] = Task(node, timeframe, stretches(value, own.bars(timeframe), length))
        self._process: FreshProcess | None = None
        asked = [task for task in self._tasks.values() if task.stretches]
        if asked:
            self._process = FreshProcess(values_of, asked, MarketFrame(frame.instrument, frame.base), block)

    def obstacle(self, node: Node) -> str:
        """Why the other process cannot find a node; empty if it can."""
        return self._obstacles[node]

    def reply(self, node: Node, timeframe: Timeframe) -> tuple[Task | None, Reply, str]:
        """What was asked, what the other process found, and why it could not."""
        task = self._tasks.get((node, timeframe))
        if task is None or not task.stretches:
            return task, Reply(), self._obstacles.get(node, "") or "it never answers on this market"
        assert self._process is not None
        if self._replies is None:
            asked = [key for key, of in self._tasks.items() if of.stretches]
            try:
                self._replies = dict(zip(asked, self._process.result(), strict=True))
            except LostError as lost:
                self._replies = {key: Reply(failed=f"lost: {lost}") for key in asked}
        reply = self._replies[node, timeframe]
        return task, reply, reply.failed if reply.failed.startswith("lost: ") else ""

    def close(self) -> None:
        """End the other process."""
        if self._process is not None:
            self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def out_of_reach(node: Node) -> str:
    """Why a fresh process could not find the class of a node, or of one it builds on; empty if it can."""
    cls = type(node)
    module = sys.modules.get(cls.__module__)
    found: Any = module
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    if cls.__module__ == "__main__" or found is not cls or not getattr(module, "__file__", None):
        return f"it could not import {cls.__name__}: write it into a module of its own"
    return next(filter(None, map(out_of_reach, [*sources(node), *parts(node)])), "")


def _move_libraries() -> None:
    """Move the clocks of NumPy, and of pandas where a component has imported it."""
    genuine: Any = np.datetime64
    ahead = np.timedelta64(SHIFT_S, "s")

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, genuine)

    class Moved(genuine, metaclass=Kind):  # type: ignore[misc]
        def __new__(cls, *given: Any) -> Any:
            now = bool(given) and given[0] in ("now", "today")
            return genuine(genuine("now", "s") + ahead, *given[1:]) if now else genuine(*given)

    np.datetime64 = Moved  # type: ignore[misc]
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None:
        stamp, later = pandas.Timestamp, datetime.timedelta(seconds=SHIFT_S)
        now_of = stamp.now
        stamp.now = classmethod(lambda cls, tz=None: now_of(tz) + later)
        stamp.today = stamp.now
        stamp.utcnow = classmethod(lambda cls: now_of("UTC") + later)
