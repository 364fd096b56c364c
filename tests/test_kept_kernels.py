"""What was compiled is used again as long as nothing changed that went into it, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from virtuoso.compiled import inner, kernel
from virtuoso.kept_kernels import _NamedByContent, ingredients

PROGRAM = '''
from numba.core import event
from virtuoso.compiled import kernel
from prices import FEE, net
import rules

@kernel
def kept(price):
    """What is left of a price."""
    return net(price) - FEE * price + rules.rebate(price)

if __name__ == "__main__":
    with event.install_recorder("numba:compile") as compiled:
        print(kept(100.0), "compiled" if compiled.buffer else "kept")
'''
PRICES = '''
from virtuoso.compiled import inner

FEE = 0.25

@inner
def net(price):
    """The price itself."""
    return price
'''
RULES = """
from virtuoso.compiled import inner
SHARE = 0.5

@inner
def rebate(price):
    return SHARE * price
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    for name, text in (("program", PROGRAM), ("prices", PRICES), ("rules", RULES)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def told(room: Path, **further: str) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(room / "cache"), "PYTHONDONTWRITEBYTECODE": "1", **further}
    return subprocess.check_output((sys.executable, str(room / "program.py")), env=env, text=True).strip()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class TestAnEditOfAnotherFile:
    """Is noticed by the kernels that took something from it."""

    @pytest.mark.parametrize(
        ("file", "old", "new", "price"),
        [
            ("prices.py", "return price", "return 2.0 * price", "225.0"),
            ("prices.py", "FEE = 0.25", "FEE = 0.5", "100.0"),
            ("rules.py", "return SHARE * price", "return SHARE + price", "175.5"),
            ("rules.py", "SHARE = 0.5", "SHARE = 0.75", "150.0"),
        ],
        ids=["function", "constant", "function of a module", "constant of such a function"],
    )
    def test_that_changes_the_code_compiles_it_anew(self, room, file, old, new, price):
        assert [told(room), told(room)] == ["125.0 compiled", "125.0 kept"]
        edit(room / file, old, new)
        assert [told(room), told(room)] == [f"{price} compiled", f"{price} kept"]

    def test_of_words_alone_compiles_nothing(self, room):
        assert told(room) == "125.0 compiled"
        edit(room / "prices.py", "The price itself.", "The price, as it is.")
        edit(room / "rules.py", "SHARE = 0.5", "SHARE = 0.5  # of what was paid")
        assert told(room) == "125.0 kept"

    def test_code_without_checks_of_bounds_is_not_taken_where_they_are_asked_for(self, room):
        assert told(room) == "125.0 compiled"
        assert told(room, NUMBA_BOUNDSCHECK="1") == "125.0 compiled"

    def test_leaves_no_old_code_behind(self, room):
        told(room)
        before = {path.name for path in (room / "cache").rglob("*kept*.nbc")}
        edit(room / "prices.py", "FEE = 0.25", "FEE = 0.5")
        told(room)
        after = {path.name for path in (room / "cache").rglob("*kept*.nbc")}
        assert len(before) == len(after) == 1
        assert before != after


class TestTwoProcesses:
    """That compile two forms of one kernel at the same moment."""

    def test_never_give_one_the_code_of_the_other(self, tmp_path):
        one, other = (_NamedByContent(str(tmp_path), "step-1.py311", "stamp") for _ in range(2))
        save = one._save_data

        def interrupted(name, data):
            other.save("float64", "code for numbers")
            save(name, data)

        one._save_data = interrupted
        one.save("int64", "code for counts")
        assert one.load("int64") == "code for counts"
        assert one.load("float64") in (None, "code for numbers")
        other.save("float64", "code for numbers")
        assert (one.load("int64"), one.load("float64")) == ("code for counts", "code for numbers")


TABLE = np.array([1.0, 2.0])
LIMIT = 3.0


@inner
def limited(x: float) -> float:
    return min(x, LIMIT)


@kernel
def looked_up(i: int) -> float:
    return limited(TABLE[i])


def test_ingredients_are_code_constants_and_tables_of_all_that_is_called(monkeypatch):
    before = ingredients(looked_up.py_func)
    assert any("limited LIMIT 3.0" in line for line in before)
    assert any("looked_up TABLE float64 (2,)" in line for line in before)
    monkeypatch.setattr(sys.modules[__name__], "TABLE", np.array([1.0, 4.0]))
    assert ingredients(looked_up.py_func) != before
