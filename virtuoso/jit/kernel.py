"""How kernels are compiled at a price that the first run on a machine can bear.

That run compiles every kernel and waits for it. What it costs grows with the number of functions, of the arguments they
are given, and of the places at which they read an array or a record; two fifths of it is LLVM's, the rest is Python.
Hence:

- what Python calls is a `kernel`: one set of options for all, since those that differ in one do not share what numba
  compiles of its own library;
- what only kernels call is `inner`: it has no doors to Python, and its code is linked into its callers', which optimise
  it with their own. Optimised and made machine code by itself it would be for nothing, once for every level of calls;
- a counter that starts at 0 and is handed on starts at `np.int64(0)`: a bare 0 is a type of its own to numba, and
  everything that is given it would be compiled once more. Read-only arrays are another type too;
- a field of a record that is read more than once is fetched once;
- what an operator gives for types is found once: numba asks at every use, and tries an array that is indexed as a
  string, a list and a dictionary first;
- the garbage collector waits meanwhile: it would look through the compiler's many objects again and again;
- a first run that makes its data meanwhile can have a second process compile what it will need last
  (`virtuoso.precompile`).

Measured in turns, function by function: the linking spares a tenth to a seventh, remembering what operators give a
sixth, one set of options and no doors to C a twentieth. Not worth their words: code that does not count references
(2 %), no passes over single functions before linking (2 %), no colours in numba's messages (1 %). Less optimisation of
everything (`NUMBA_OPT=1`) would spare 6 %.
"""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import event
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.types import Function

from virtuoso.jit.cache import KeptKernels, usable

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])
_OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Kernels do not touch Python's objects, divide as NumPy does, without asking whether by zero, and C calls none."""


def kernel(function: _Kernel) -> _Kernel:
    """Compile a function that Python calls, and keep what was compiled for the next run."""
    compiled: _Kernel = njit(**_OPTIONS)(function)  # type: ignore[call-overload]
    if usable():
        dispatcher: Any = compiled
        dispatcher._cache = KeptKernels(cast(FunctionType, function), _OPTIONS)
    return compiled


def inner(function: _Kernel) -> _Kernel:
    """Compile a function that only kernels call, for them to link.

    Python cannot call it; where it tries, it is told so instead of falling through the door that is not there. It is
    kept with the kernels that call it, not by itself.

    Raises
    ------
    TypeError
        When it is called by Python.
    """
    return _linked(function)


def uncounted(function: _Kernel) -> _Kernel:
    """Compile an `inner` function that neither makes nor keeps an array, into whoever calls it.

    Numba counts who holds an array, wherever one is handed on or taken out of a record. Each count is an atomic
    instruction; together they can cost more than the work. Whoever calls such a function holds its arrays until it
    returns, so there is nothing to count. No array can be made in it, nor in what it calls: numba refuses.
    """
    return _linked(function, forceinline=True, _nrt=False)


def _linked(function: _Kernel, **options: bool) -> _Kernel:
    """Compile a function that has no door for Python."""

    def refuse(*given: object, **named: object) -> None:
        raise TypeError(
            f"{function.__module__}.{function.__qualname__} is for other kernels and cannot be called by Python. "
            "To call it from a test, compile it with @kernel instead of @inner."
        )

    def add(made: Any) -> None:
        made = made._replace(entry_point=object())  # stands for the address that it does not have
        dispatcher.targetctx.insert_user_function(made.entry_point, made.fndesc, [made.library])
        dispatcher.overloads[made.signature.args] = made

    compiled: _Kernel = njit(no_cpython_wrapper=True, pipeline_class=_ForLinking, **_OPTIONS, **options)(function)  # type: ignore[call-overload]
    dispatcher: Any = compiled  # where Python looks for a compiled form it finds none, and asks for one
    dispatcher.add_overload = add
    dispatcher._compile_for_args = refuse
    return compiled


class _ForLinking(CompilerBase):
    """Compiles as numba does, up to the code that is linked."""

    def define_pipelines(self) -> list[Any]:
        state = self.state
        state.flags.no_compile = True
        state.library = _Linked(state.targetctx.codegen(), state.func_id.func_qualname)  # type: ignore[no-untyped-call]
        return [DefaultPassBuilder.define_nopython_pipeline(state)]  # type: ignore[no-untyped-call]


class _Linked(JITCodeLibrary):
    """Code that is linked into that of others as it is: neither optimised as a whole nor made machine code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._finalized = True


_OFTEN = {abs, bool, float, int, len, max, min, range, *filter(callable, vars(operator).values())}


def _remembering(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """What numba finds when it asks what an operator gives for types, found once for these types."""
    found: dict[Any, Any] = {}

    def get_call_type(function: Function, context: Any, args: Sequence[Any], kws: dict[str, Any]) -> Any:
        if kws or function.typing_key not in _OFTEN:
            return resolve(function, context, args, kws)
        asked = function, context, *args
        if asked not in found:
            found[asked] = resolve(function, context, args, kws)
        return found[asked]

    return get_call_type


class _Undisturbed(event.Listener):
    """Lets the garbage collector wait while numba compiles: one kernel at a time, callees inside callers."""

    def __init__(self) -> None:
        self._open = 0
        self._collects = False

    def on_start(self, event: event.Event) -> None:
        if self._open == 0:
            self._collects = gc.isenabled()
            gc.disable()
        self._open += 1

    def on_end(self, event: event.Event) -> None:
        self._open -= 1
        if self._open == 0 and self._collects:
            gc.enable()


Function.get_call_type = _remembering(Function.get_call_type)  # type: ignore[method-assign]
event.register("numba:compile", _Undisturbed())  # type: ignore[no-untyped-call]
