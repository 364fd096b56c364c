"""A task on its way: checked where it is given, run where it is sent, its answer read where it came from.

Question and answer are text: nothing is pickled, so that an error of anybody's class comes back, and a worker that
holds another version of it cannot mistake it.
"""

from __future__ import annotations

import importlib
import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from virtuoso.errors import ConfigError, TaskError, VirtuosoError, did_you_mean, printable

MOST_TASKS = 20_000
"""Tasks at once. Dask's scheduler keeps what it knows of every task; two seconds of work a task are worth its way."""
MOST_LOSSES = 12
"""Workers that one task may lose before it is taken for the cause."""
LONGEST_TRACEBACK, LONGEST_IDS = 20_000, 300

Ids = Mapping[str, Any]


def function_of(name: str) -> Callable[[dict[str, Any]], Any]:
    """Return the function that a name such as `package.module:function` means.

    Raises
    ------
    ConfigError
        There is none.
    """
    module, colon, wanted = name.partition(":")
    if not (module and colon and wanted):
        raise ConfigError(f"A task is a function by name, package.module:function, was {name!r}.")
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"The task {name} cannot be imported: {missing}. Install its package, or put its folder on PYTHONPATH."
        ) from missing
    found = getattr(home, wanted, None)
    if not callable(found):
        functions = [key for key, value in vars(home).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"{module} has no function {wanted!r}. {did_you_mean(wanted, functions)}")
    return found  # type: ignore[no-any-return]


def questions(function: str, ids: Sequence[Ids]) -> list[str]:
    """Return the tasks as text, checked.

    Raises
    ------
    ConfigError
        There is no such function, an identifier is not JSON, or there are too many.
    """
    function_of(function)
    if len(ids) > MOST_TASKS:
        raise ConfigError(
            f"{len(ids):,} tasks are more than the {MOST_TASKS:,} that are run at once. Give each task more to do: "
            f"chunks {-(-len(ids) // MOST_TASKS)} times as large."
        )
    return [_question(one, k) for k, one in enumerate(ids)]


def _question(ids: Ids, k: int) -> str:
    if not isinstance(ids, Mapping):
        raise ConfigError(f"Identifiers of a task are a mapping of names, number {k} is a {type(ids).__name__}.")
    try:
        return json.dumps(dict(ids), allow_nan=False)
    except (TypeError, ValueError) as wrong:
        raise ConfigError(
            f"Identifiers of task {k} are not JSON: {wrong}. Give text and numbers that name what it is to read, such "
            "as a path or a digest, never the thing itself."
        ) from wrong


def perform(function: str, question: str) -> str:
    """Run one task and answer in text; whatever it raises is an answer as well.

    Parameters
    ----------
    function : str
    question : str
        Its identifiers as JSON.

    Returns
    -------
    str
        JSON: `path`, or `fault`, `traceback` and `exit_code`.
    """
    try:
        return json.dumps({"path": _path(function_of(function)(json.loads(question)), function)})
    except (Exception, SystemExit) as fault:  # a task that ends the program is at fault like one that raises
        said = str(fault) if isinstance(fault, VirtuosoError) else f"{type(fault).__name__}: {fault}".removesuffix(": ")
        told = {
            "fault": printable(said),
            "traceback": printable(traceback.format_exc(), LONGEST_TRACEBACK),
            "exit_code": fault.exit_code if isinstance(fault, VirtuosoError) else TaskError.exit_code,
        }
        return json.dumps(told)


def _path(found: object, function: str) -> str:
    if not isinstance(found, str | os.PathLike):
        raise TypeError(f"{function} returned a {type(found).__name__}, and a task returns the path of what it wrote")
    return str(os.fspath(found))


def path_in(answer: str, function: str, question: str, place: str) -> str:
    """Return the path that a task answered with.

    Parameters
    ----------
    answer : str
    function, question : str
        The task.
    place : str
        Which of them it is, such as `3 of 40`.

    Raises
    ------
    TaskError
        It raised, or returned no path.
    """
    told = json.loads(answer)
    if "path" in told:
        return str(told["path"])
    error = TaskError(f"Task {place}, {named(function, question)}, failed: {told['fault']}")
    error.exit_code = int(told["exit_code"])
    error.add_note(str(told["traceback"]).rstrip())
    raise error


def refuse_lost(function: str, question: str, place: str, losses: int, cause: str) -> None:
    """Refuse to run a task again whose workers die.

    Raises
    ------
    TaskError
        It lost as many as it may.
    """
    if losses >= MOST_LOSSES:
        raise TaskError(
            f"Task {place}, {named(function, question)}, lost its worker {losses} times; the last one {cause}. A "
            "worker that is killed mostly wanted more memory than there is: give a task less to do, or run fewer at "
            "once."
        )


def named(function: str, question: str) -> str:
    """Return a task as people read it."""
    return f"{function}({printable(question, LONGEST_IDS)})"


def echo(ids: Mapping[str, Any]) -> str:
    """Return the path that it is given: the least task there is."""
    return str(ids["path"])
