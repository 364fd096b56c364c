"""How kernels are compiled at a price that the first run on a machine can bear.

That run compiles every kernel and waits for it. What it costs grows with the number of functions, of the arguments they
are given, and of the places at which they read a record. Hence:

- what only kernels call has no doors to Python (`inner`);
- a counter that starts at 0 and is handed on starts at `np.int64(0)`: a bare 0 is a type of its own to numba, and
  everything that is given it would be compiled once more. Read-only arrays are another type too;
- a field of a record that is read more than once is fetched once;
- the garbage collector waits meanwhile: it would look through the compiler's many objects again and again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.core import event

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def inner(kernel: _Kernel) -> _Kernel:
    """Compile a function that only kernels call: without doors to Python, which take a third of the time.

    It divides as NumPy does, without asking whether by zero. Python cannot call it; where it tries, it is told so
    instead of falling through the door that is not there.

    Raises
    ------
    TypeError
        When it is called by Python.
    """

    def refuse(*given: object, **named: object) -> None:
        raise TypeError(
            f"{kernel.__module__}.{kernel.__qualname__} is for other kernels and cannot be called by Python. "
            "To call it from a test, compile it with @njit(cache=True) instead of @inner."
        )

    compiled: _Kernel = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(kernel)  # type: ignore[call-overload]
    dispatcher: Any = compiled  # where Python looks for a compiled form it finds none, and asks for one
    dispatcher._insert = lambda *given, **named: None
    dispatcher._compile_for_args = refuse
    return compiled


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


event.register("numba:compile", _Undisturbed())  # type: ignore[no-untyped-call]
