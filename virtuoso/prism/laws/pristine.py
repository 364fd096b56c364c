"""Pristine copies of functions: with whatever they keep from call to call, as it is before the first call."""

from __future__ import annotations

import copy
from functools import partial
from types import CellType, FunctionType
from typing import Any


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
