"""Compiled kernels are kept between runs, and forgotten when anything changes that went into them.

Numba's own cache looks at one file, the kernel's. But functions from other files are linked into the kernels that call
them, and constants become code: after an update that touched another file only, kernels would go on with the old
arithmetic, and nobody would notice. Here a kernel is stamped with everything that it takes from elsewhere, found by
following the names it uses, and with how numba was told to compile it. Comments and docstrings are not compiled, so
they change nothing.

Numba also counts the files of a kernel's forms (`step.1.nbc`, `step.2.nbc`), so that two processes that compile two
forms at the same moment may both write number 1, and one of them later runs what was compiled for other arguments. Here
a file is named by what it holds; the worst that such a moment can do is that a form is compiled once more.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher

_CONSTANTS = (bool, int, float, complex, str, tuple, np.generic, np.dtype)
_NAME = re.compile(r"[A-Za-z_]\w*")
_LIBRARIES = {"numba", "numpy", *sys.stdlib_module_names}
_COMPILER = hashlib.sha256(Path(__file__).with_name("compiled.py").read_bytes()).hexdigest()


class KeptKernels(FunctionCache):
    """The forms of one kernel that were compiled, on disk.

    Parameters
    ----------
    function : function
        What is compiled.
    """

    _stamped = False

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        if not self._stamped:  # numba looks here before it compiles, when all that is called is there
            how = f"{_COMPILER} {config.BOUNDSCHECK} {config.OPT}"  # type: ignore[attr-defined]
            stamp = hashlib.sha256("\n".join([how, *ingredients(self._py_func)]).encode()).hexdigest()
            self._cache_file = _NamedByContent(self._cache_path, self._impl.filename_base, stamp)  # type: ignore[no-untyped-call]
            self._stamped = True
        return super()._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


class _NamedByContent(IndexDataCacheFile):
    """Files of compiled forms, each named by its code, its arguments and the machine, and an index of them."""

    def save(self, key: Any, data: Any) -> None:
        digest = hashlib.sha256(repr((self._source_stamp, key)).encode()).hexdigest()[:16]
        base = self._index_name.removesuffix(".nbi")
        name = f"{base}.{digest}.nbc"
        kept = self._load_index()  # type: ignore[no-untyped-call]
        if not kept:  # what lies there is of other code; who is about to read it compiles it once more
            for path in Path(self._cache_path).glob(f"{base}.*.nbc"):
                path.unlink(missing_ok=True)
        self._save_data(name, data)  # type: ignore[no-untyped-call]
        self._save_index({**kept, key: name})  # type: ignore[no-untyped-call]


def ingredients(function: FunctionType) -> list[str]:
    """Describe all that becomes the code of a kernel: its own, that of functions it calls, and constants."""
    found: dict[FunctionType, list[str]] = {}
    _gather(function, found)
    return sorted(f"{f.__module__}.{f.__qualname__} {line}" for f, lines in found.items() for line in lines)


def _gather(function: FunctionType, found: dict[FunctionType, list[str]]) -> None:
    lines = found[function] = [_code(function)]
    for name, value in _used(function).items():
        if isinstance(value, Dispatcher):
            lines.append(f"{name} {value.targetoptions}")
            if value.py_func not in found:
                _gather(value.py_func, found)
        elif isinstance(value, np.ndarray):
            lines.append(f"{name} {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
        elif isinstance(value, _CONSTANTS):
            lines.append(f"{name} {value!r}")
        elif hasattr(value, "_fields"):
            lines.append(f"{name} {value._fields} {value.__annotations__}")


def _used(function: FunctionType) -> dict[str, Any]:
    """Give what a function finds under the names it uses, in its modules too, and the classes of its arguments."""
    names = {*_names(function.__code__), *_NAME.findall(" ".join(map(str, function.__annotations__.values())))}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around = {**function.__globals__, **{name: cell.cell_contents for name, cell in cells}}
    used = {name: around[name] for name in names if name in around}
    for module in [value for value in used.values() if isinstance(value, ModuleType)]:
        if module.__name__.partition(".")[0] not in _LIBRARIES:
            used |= {f"{module.__name__}.{name}": getattr(module, name) for name in names if hasattr(module, name)}
    return used


def _names(code: CodeType) -> Iterator[str]:
    """Names of globals and attributes in a function and in what is defined inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _code(function: FunctionType) -> str:
    """Digest of what Python made of a function, without its docstring."""
    text = f"{function.__defaults__} {function.__kwdefaults__} "
    waiting = [function.__code__]
    for code in waiting:
        inside = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        constants = [constant for constant in code.co_consts if constant not in inside and constant != function.__doc__]
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount
        text += f"{code.co_code.hex()} {constants} {names}"
        waiting += inside
    return hashlib.sha256(text.encode()).hexdigest()
