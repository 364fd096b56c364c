"""A fresh process: it remembers nothing, has another hash seed, and its clocks show another day and hour.

What a function answers there must be what it answers here: it then keeps nothing from call to call that matters,
iterates over no set whose order matters, and does not look at the time. What it is asked of must be importable: another
process finds nothing that was typed into a notebook or lives inside another function.
"""

from __future__ import annotations

import copy
import datetime
import multiprocessing
import pickle
import sys
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any, ParamSpec, TypeVar

LATER_S = 100 * 86_400 + 7 * 3_600 + 13 * 60
"""Seconds by which its clocks are ahead: another month, day of the week, hour and minute."""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def elsewhere(task: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs) -> tuple[Answer | None, str]:
    """Run a task in a fresh process.

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
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(partial(_at_another_time, task), *given, **named).result(), ""
    except BrokenProcessPool:
        # a fresh process runs the program that started it once more, up to its main guard
        return None, "another process ended early: does the script keep its calls under __name__ == '__main__'?"


def pristine(thing: Any, seen: frozenset[int] = frozenset()) -> Any:
    """Copy a function with whatever it keeps from call to call: what it closes over, its defaults, its object.

    What has no copy, and the names of its module, are shared: of those a fresh process is free.
    """
    if isinstance(thing, FunctionType) and id(thing) not in seen:
        inside = seen | {id(thing)}
        cells = tuple(CellType(*_content(cell, inside)) for cell in thing.__closure__ or ())
        defaults = None if thing.__defaults__ is None else tuple(pristine(one, inside) for one in thing.__defaults__)
        copied = FunctionType(thing.__code__, thing.__globals__, thing.__name__, defaults, cells)
        if thing.__kwdefaults__ is not None:
            copied.__kwdefaults__ = {name: pristine(one, inside) for name, one in thing.__kwdefaults__.items()}
        return copied
    if isinstance(thing, partial):
        given = {name: pristine(one, seen) for name, one in thing.keywords.items()}
        return partial(pristine(thing.func, seen), *(pristine(one, seen) for one in thing.args), **given)
    try:
        return copy.deepcopy(thing)
    except Exception:  # whatever refuses to be copied: locks, files, connections
        return thing


def _content(cell: CellType, seen: frozenset[int]) -> tuple[Any, ...]:
    try:
        return (pristine(cell.cell_contents, seen),)
    except ValueError:  # an empty cell
        return ()


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
    """Say what another process could not import; empty if all of it can be."""
    pickler = _Nowhere(_Void())
    try:
        pickler.dump(given)
    except (pickle.PicklingError, AttributeError, TypeError) as refused:
        return f"another process could not import it ({refused}): write it into a module of its own"
    if pickler.typed:
        return f"another process could not import {pickler.typed}: write it into a module of its own"
    return ""


def _at_another_time(task: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs) -> Answer:
    """Put the clocks of this process forward, and do it then.

    The clocks of `time` are changed for everybody. `datetime` is compiled into half of the libraries, so it is changed
    where people's own modules name it.
    """
    clocks = {
        "time": _ahead(time.time, LATER_S), "time_ns": _ahead(time.time_ns, LATER_S * 10**9),
        "localtime": _of_now(time.localtime), "gmtime": _of_now(time.gmtime),
    }  # fmt: skip
    dates = ModuleType("datetime")
    vars(dates).update({**vars(datetime), "datetime": _Later})
    changed: dict[int, Any] = {id(getattr(time, name)): clock for name, clock in clocks.items()}
    changed |= {id(datetime): dates, id(datetime.datetime): _Later}
    for module in _own_modules():
        for name, thing in list(vars(module).items()):
            if id(thing) in changed:
                setattr(module, name, changed[id(thing)])
    for name, clock in clocks.items():
        setattr(time, name, clock)
    return task(*given, **named)


def _own_modules() -> list[ModuleType]:
    """Modules that came neither with Python nor from its packages."""
    paths = sysconfig.get_paths()
    shared = tuple(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    named = [(module, getattr(module, "__file__", None)) for module in list(sys.modules.values())]
    return [module for module, file in named if file and not file.startswith(shared) and module.__name__ != __name__]


def _ahead(clock: Callable[[], float], shift: int) -> Callable[[], float]:
    return lambda: clock() + shift


def _of_now(part: Callable[[float], time.struct_time]) -> Callable[..., time.struct_time]:
    return lambda seconds=None: part(time.time() if seconds is None else seconds)


class _Like(type):
    """Any moment is one of the class below, whoever made it."""

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, datetime.datetime)


class _Later(datetime.datetime, metaclass=_Like):
    """Moments as ever, but now is later."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return datetime.datetime.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return datetime.datetime.fromtimestamp(time.time())  # noqa: DTZ006  # what it stands in for is naive
