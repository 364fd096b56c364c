"""How kernels are compiled."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit
from numba.core import event

from virtuoso.jit.kernel import inner, kernel


@inner
def doubled(x: float) -> float:
    return x + x


@inner
def share(x: float, of: float) -> float:
    return x / of


@njit
def fourfold(x: float) -> float:
    return doubled(doubled(x))


@njit
def shared(x: float, of: float) -> float:
    return share(x, of)


@kernel
def both(x, y):
    return x + y


KEPT = """
from numba.core import event
from virtuoso.jit.kernel import inner, kernel

@inner
def trebled(x):
    return 3.0 * x

@kernel
def ninefold(x):
    return trebled(trebled(x))

if __name__ == "__main__":
    with event.install_recorder("numba:compile") as compiled:
        print(ninefold(2.0), len(compiled.buffer) // 2)
"""
"""A program of two functions; prints what they make, and how many of them were compiled for it."""


class Collecting(event.Listener):
    """Whether the collector was on while a function was compiled."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def on_start(self, event: event.Event) -> None:
        self.seen.append(gc.isenabled())

    def on_end(self, event: event.Event) -> None:
        pass


class TestInner:
    """A function that only kernels call."""

    def test_kernels_call_it(self):
        assert fourfold(1.5) == 6.0

    def test_python_that_calls_it_is_told_so(self):
        with pytest.raises(TypeError, match=r"tests\.jit\.test_kernel\.doubled is for other kernels.*@kernel"):
            doubled(1.5)

    def test_it_divides_as_numpy_does(self):
        assert shared(1.0, 0.0) == np.inf

    def test_it_comes_with_a_kernel_that_was_kept(self, tmp_path):
        program = tmp_path / "program.py"
        program.write_text(KEPT)
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        told = [subprocess.check_output((sys.executable, str(program)), env=env, text=True) for _ in range(2)]
        assert told == ["18.0 2\n", "18.0 0\n"]


class TestOperators:
    """What an operator gives is found once for the types that it is given, not once for all."""

    def test_other_types_are_another_question(self):
        assert isinstance(both(1, 2), int)
        assert isinstance(both(1, 2.0), float)
        np.testing.assert_array_equal(both(np.arange(3), 1), [1, 2, 3])
        assert both("a", "b") == "ab"
        assert isinstance(both(1, 2), int)

    def test_what_cannot_be_added_is_refused_every_time(self):
        for _ in range(2):
            with pytest.raises(Exception, match="No implementation of function"):
                both("a", 1.0)


class TestCollector:
    """The garbage collector waits while kernels are compiled, and not longer."""

    def test_it_waits_for_a_kernel_and_those_that_it_calls(self):
        @inner
        def below(x: float) -> float:
            return x - 1.0

        @njit
        def above(x: float) -> float:
            return below(x)

        with event.install_listener("numba:compile", Collecting()) as collecting:
            assert above(2.0) == 1.0
        assert collecting.seen  # the caller, and the callee where no cache holds it
        assert not any(collecting.seen)
        assert gc.isenabled()

    def test_it_is_back_after_a_kernel_that_cannot_be_compiled(self):
        @njit
        def wrong(x: float) -> float:
            return x.nothing

        with pytest.raises(Exception, match="nothing"):
            wrong(2.0)
        assert gc.isenabled()

    def test_where_it_was_off_it_stays_off(self):
        @njit
        def other(x: float) -> float:
            return x - 2.0

        gc.disable()
        try:
            other(2.0)
            assert not gc.isenabled()
        finally:
            gc.enable()
