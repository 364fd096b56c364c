"""A fresh process in another world, which must come to the same bits.

1. `FreshProcess` starts an interpreter that carries out one function, and returns what it answered. It remembers
   nothing, has another hash seed, and its clock and its random numbers are others (`other_world`); unless it stays at
   home, its time zone and working folder are others too.
2. `in_fresh_process` asks it one thing and says why that cannot be done: what was typed into a notebook or lives inside
   another function is found by no other process.
3. What a program that is run by itself defines is found: the program is run once more there, up to its main guard.
"""

from __future__ import annotations

import copyreg
import datetime
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import spawn
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from virtuoso.errors import VirtuosoError

SHIFT_S = 523 * 86_400 + 7 * 3_600 + 23 * 60 + 41
"""How far the clock is moved: another minute, hour, weekday, month and year."""
ZONE = "FAR-11:37"
"""Time zone of the fresh process, as POSIX writes it."""
BOUND = ("pandas", "pyarrow")
"""Libraries that are compiled against the classes of `datetime`: they are imported before others take their place."""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_served: Path | None = None
"""Folder of the call that this process serves; None in every other process."""
_is_preparing = False
"""Whether the program that started this process is being run once more."""


class LostError(VirtuosoError):
    """A fresh process gave no answer."""


class FreshProcess:
    """A function that a fresh process carries out while this one goes on.

    Parameters
    ----------
    function : callable
        Found by name in a module: the fresh process imports it.
    *given
        Its arguments; they are pickled.
    at_home : bool
        Whether it keeps the time zone and working folder of this process.

    Use it as a context, or call `close`: what was started ends with it.
    """

    def __init__(self, function: Callable[..., Any], *given: Any, at_home: bool = False) -> None:
        if _is_preparing:
            raise RuntimeError("A fresh process is started while the program that asked for one is run once more.")
        arguments = pickle.dumps(given, protocol=pickle.HIGHEST_PROTOCOL)
        program = _program() if b"__main__" in arguments else {}
        bound = [name for name in BOUND if name in sys.modules]
        self._folder = Path(tempfile.mkdtemp(prefix="virtuoso-"))
        # the function is named, not pickled: its module must not be imported before the clock is moved
        call = (bound, function.__module__, function.__qualname__, program)
        (self._folder / "given").write_bytes(pickle.dumps(call))
        (self._folder / "arguments").write_bytes(arguments)
        serving = f"from virtuoso.prism.laws.fresh_process import serve; serve({str(self._folder)!r})"
        with (self._folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", serving], cwd=None if at_home else self._folder, env=_environment(at_home),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the process to end, at most so long; whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def steps(self) -> int:
        """How many steps the function has reported, see `report_step`."""
        file = self._folder / "steps"
        return file.stat().st_size if file.exists() else 0

    def result(self) -> Any:
        """Return what the function answered.

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

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def in_fresh_process(
    task: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs
) -> tuple[Answer | None, str]:
    """Run a task in a fresh process that keeps the time zone and the working folder.

    Parameters
    ----------
    task : callable
        Of a module; it raises nothing that matters.
    *given, **named
        What it is given.

    Returns
    -------
    tuple of its answer, and str
        None and the obstacle where there can be no such process; the obstacle is empty otherwise.
    """
    obstacle = _unreachable((given, named))
    if obstacle:
        return None, obstacle
    try:
        with FreshProcess(_called, task.__module__, task.__qualname__, given, named, at_home=True) as process:
            return process.result(), ""
    except LostError as lost:
        hint = "does the script keep its calls under __name__ == '__main__'?"
        return None, f"another process ended early ({lost}): {hint}"


def _called(module: str, name: str, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)(*given, **named)


def _environment(at_home: bool) -> dict[str, str]:
    """The environment of the fresh process: another hash seed and time zone, the same modules within reach."""
    seed = "4711" if os.environ.get("PYTHONHASHSEED") != "4711" else "1147"
    path = os.pathsep.join(str(Path(entry or ".").resolve()) for entry in sys.path)
    zone = {} if at_home else {"TZ": ZONE}
    return {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path, **zone}


def _program() -> dict[str, Any]:
    """How this program was started, as the modules of Python that start processes say it."""
    data = spawn.get_preparation_data("virtuoso")
    return {name: data[name] for name in ("sys_argv", "init_main_from_name", "init_main_from_path") if name in data}


def serve(folder: str) -> None:
    """Carry out the call that lies in a folder; what the fresh process runs."""
    global _served, _is_preparing
    _served = Path(folder)
    bound, module, name, program = pickle.loads((_served / "given").read_bytes())
    for library in bound:
        __import__(library)
    other_world()
    if program:
        _is_preparing = True
        spawn.prepare(program)
        _is_preparing = False
    with (_served / "arguments").open("rb") as file:
        given = pickle.load(file)
    __import__(module)
    answer = getattr(sys.modules[module], name)(*given)
    with (_served / "unfinished").open("wb") as out:
        pickle.dump(answer, out, protocol=pickle.HIGHEST_PROTOCOL)
    (_served / "unfinished").rename(_served / "answer")


def report_step() -> None:
    """Report to the process that waits that one more step is done."""
    if _served is not None:
        with (_served / "steps").open("ab") as file:
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


def _reduced(name: str, value: Any) -> tuple[Any, ...]:
    """Pickle a moment or day by the name of its class."""
    return _made_at_home, (name, *value.__reduce_ex__(4)[1])


def _made_at_home(name: str, *state: Any) -> Any:
    """Make a moment or day that was pickled in another world, where their classes are others."""
    return getattr(datetime, name)(*state)


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

    for known, name in ((moment, "datetime"), (Moment, "datetime"), (day, "date"), (Day, "date")):
        copyreg.pickle(known, partial(_reduced, name))
    datetime.datetime, datetime.date = Moment, Day  # type: ignore[misc]


class _Nowhere(pickle.Pickler):
    """Writes nothing; remembers the first function or class that another process would not find."""

    typed: str = ""

    def reducer_override(self, thing: Any) -> Any:
        main = sys.modules["__main__"]
        notebook = getattr(main, "__file__", None) is None and getattr(main, "__spec__", None) is None
        name = getattr(thing, "__qualname__", "")
        if callable(thing) and notebook and getattr(thing, "__module__", "") == "__main__":
            self.typed = self.typed or name
        return NotImplemented


class _Void:
    """Where the bytes go that nobody wants."""

    def write(self, data: Any) -> int:
        return len(data)


def _unreachable(given: Any) -> str:
    """Return what another process could not import; empty if all of it can be."""
    pickler = _Nowhere(_Void())
    try:
        pickler.dump(given)
    except (pickle.PicklingError, AttributeError, TypeError) as refused:
        return f"another process could not import it ({refused}): write it into a module of its own"
    if pickler.typed:
        return f"another process could not import {pickler.typed}: write it into a module of its own"
    return ""
