"""How functions are compiled that only other compiled functions call.

The first run on a machine compiles every kernel, and waits for it. What that costs grows with the number of functions
and of the arguments they are given: each array is taken apart and put together at the doors to Python, and a function
is compiled again for every combination of types that it meets. Hence two habits:

- what only kernels call has no doors (`inner`);
- a counter that starts at 0 and is handed on starts at `np.int64(0)`: a bare 0 is a type of its own to numba, and
  everything that is given it would be compiled once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def inner(kernel: _Kernel) -> _Kernel:
    """Compile a function that only kernels call: without doors to Python, which take a third of the time.

    It divides as NumPy does, without asking whether by zero. Python must not call it: there is no way in.
    """
    compiled: _Kernel = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(kernel)  # type: ignore[call-overload]
    return compiled
