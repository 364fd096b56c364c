"""Elsewhere: a fresh process in another world, which must come to the same bits.

1. `Errand` starts a fresh interpreter that carries out one function, and gives back what it answered. The interpreter
   has another hash seed, time zone and working folder; `other_world` moves its clock by more than a year and seeds
   its random numbers otherwise.
2. `values_of` is what the law of purity sends there: many nodes at once, each on the other markets first.
3. `out_of_reach` says why a node cannot be sent: a class typed into a notebook or a function is found by no one else.
"""

from __future__ import annotations

import datetime
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.errors import VirtuosoError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Node
from virtuoso.prism.engine.workspace import Workspace, block_length
from virtuoso.prism.laws.cuts import stretches
from virtuoso.prism.laws.evidence import answers, copied, narrowed, others, outputs
from virtuoso.types import Array

SHIFT_S = 523 * 86_400 + 7 * 3_600 + 23 * 60 + 41
"""How far the clock is moved: another minute, hour, weekday, month and year."""
ZONE = "FAR-11:37"
"""Time zone of the fresh process, as POSIX writes it."""
Stretch = tuple[int, int]
"""Numbers of the bars that are asked for, from inclusive, to exclusive."""


class LostError(VirtuosoError):
    """A fresh process gave no answer."""


class Errand:
    """A function that a fresh process carries out while this one goes on.

    Parameters
    ----------
    function : callable
        Found by name in a module: the fresh process imports it.
    *given
        Its arguments; they are pickled.

    Use it as a context, or call `close`: what was started ends with it.
    """

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="virtuoso-"))
        # the function is named, not pickled: its module must not be imported before the clock is moved
        (self._folder / "given").write_bytes(pickle.dumps((function.__module__, function.__qualname__)))
        with (self._folder / "arguments").open("wb") as file:
            pickle.dump(given, file, protocol=pickle.HIGHEST_PROTOCOL)
        self.answer: Any = None
        with (self._folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from virtuoso.prism.laws.fresh_process import serve; serve()"],
                cwd=self._folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the process to end, at most so long; whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def told(self) -> int:
        """How many steps the function has told of, see `tell`."""
        file = self._folder / "told"
        return file.stat().st_size if file.exists() else 0

    def result(self) -> Any:
        """What the function answered.

        Raises
        ------
        LostError
            If the process ended without an answer; with the last line that it said.
        """
        self.wait()
        file = self._folder / "answer"
        if self._process.returncode != 0 or not file.exists():
            said = (self._folder / "said").read_text(errors="replace").strip().splitlines()
            raise LostError(said[-1] if said else f"the process ended with {self._process.returncode}")
        with file.open("rb") as answer:
            return pickle.load(answer)

    def close(self) -> None:
        """End the process if it runs, and remove what was written for it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Errand:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _environment() -> dict[str, str]:
    """The environment of the fresh process: another hash seed and time zone, the same modules within reach."""
    seed = "4711" if os.environ.get("PYTHONHASHSEED") != "4711" else "1147"
    path = os.pathsep.join(str(Path(entry or ".").resolve()) for entry in sys.path)
    return {**os.environ, "PYTHONHASHSEED": seed, "TZ": ZONE, "PYTHONPATH": path}


def serve() -> None:
    """Carry out an errand in the working folder; what the fresh process runs."""
    other_world()
    module, name = pickle.loads(Path("given").read_bytes())
    with Path("arguments").open("rb") as file:
        given = pickle.load(file)
    __import__(module)
    answer = getattr(sys.modules[module], name)(*given)
    with Path("unfinished").open("wb") as out:
        pickle.dump(answer, out, protocol=pickle.HIGHEST_PROTOCOL)
    Path("unfinished").rename("answer")


def tell() -> None:
    """Tell the process that waits that one more step is done."""
    if Path("given").exists():
        with Path("told").open("ab") as file:
            file.write(b".")


def other_world() -> None:
    """Move the clock, and seed what is random, of this process; components are imported afterwards."""
    now, now_ns, local, gm = time.time, time.time_ns, time.localtime, time.gmtime
    ctime, strftime = time.ctime, time.strftime
    time.time = lambda: now() + SHIFT_S
    time.time_ns = lambda: now_ns() + SHIFT_S * 1_000_000_000
    time.localtime = lambda secs=None: local(time.time() if secs is None else secs)
    time.gmtime = lambda secs=None: gm(time.time() if secs is None else secs)
    time.ctime = lambda secs=None: ctime(time.time() if secs is None else secs)
    time.strftime = lambda form, t=None: strftime(form, time.localtime() if t is None else t)
    _move_datetime()
    random.seed(SHIFT_S)
    np.random.seed(SHIFT_S % 2**32)  # noqa: NPY002 - what components must not use is what is seeded


def _move_datetime() -> None:
    """Put classes in the place of `datetime` and `date` that know another hour and are the same otherwise."""
    moment: Any = datetime.datetime
    day: Any = datetime.date
    ahead = datetime.timedelta(seconds=SHIFT_S)

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, moment if issubclass(cls, moment) else day)

    class Moment(moment, metaclass=Kind):  # type: ignore[misc]
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return moment.now(tz) + ahead

        @classmethod
        def utcnow(cls) -> Any:
            return moment.now(datetime.UTC).replace(tzinfo=None) + ahead

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class Day(day, metaclass=Kind):  # type: ignore[misc]
        @classmethod
        def today(cls) -> Any:
            return (moment.now() + ahead).date()

    datetime.datetime, datetime.date = Moment, Day  # type: ignore[misc]


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


# --- what the law of purity asks there --------------------------------------------------------------------------


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
        tell()
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


class Elsewhere:
    """Many nodes computed by one fresh process, in another world (fresh_process.py), while this one goes on.

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
        self._errand: Errand | None = None
        asked = [task for task in self._tasks.values() if task.stretches]
        if asked:
            self._errand = Errand(values_of, asked, MarketFrame(frame.instrument, frame.base), block)

    def obstacle(self, node: Node) -> str:
        """Why the other process cannot find a node; empty if it can."""
        return self._obstacles[node]

    def reply(self, node: Node, timeframe: Timeframe) -> tuple[Task | None, Reply, str]:
        """What was asked, what the other process found, and why it could not."""
        task = self._tasks.get((node, timeframe))
        if task is None or not task.stretches:
            return task, Reply(), self._obstacles.get(node, "") or "it never answers on this market"
        assert self._errand is not None
        if self._replies is None:
            asked = [key for key, of in self._tasks.items() if of.stretches]
            try:
                self._replies = dict(zip(asked, self._errand.result(), strict=True))
            except LostError as lost:
                self._replies = {key: Reply(failed=f"lost: {lost}") for key in asked}
        reply = self._replies[node, timeframe]
        return task, reply, reply.failed if reply.failed.startswith("lost: ") else ""

    def close(self) -> None:
        """End the other process."""
        if self._errand is not None:
            self._errand.close()

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
    for name in node.arguments:
        source = getattr(node, name, None)
        if isinstance(source, Node) and (reason := out_of_reach(source)):
            return reason
    return ""
