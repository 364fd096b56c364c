"""The digest of own code changes with anything that a component is computed by, and with nothing else."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import virtuoso
from virtuoso.files import digest
from virtuoso.files.digest import code_digest
from virtuoso.prism.engine.fingerprint import ENGINE

TILT = """
from virtuoso.clock import Timeframe
from virtuoso.types import Array
from virtuoso.prism.component import Component, Feature, Int
from virtuoso.prism.scale import Squash
{imports}

class Tilt({base}):
    title = "Tilt"
    source = "own"
    scale = Squash(half=1.0)
    bands = {{0: "tilt {{value:.1f}}"}}
    period: int = Int(5, low=2, high=100)
    {body}

    def memory(self, timeframe):
        return self.period

    def value(self, close, {inputs}first):
        return {value}
"""
FEATURE = """
from virtuoso.prism.component import Feature

class Slope(Feature):
    def memory(self, timeframe):
        return 3

    def value(self, close):
        return {sign}close

def slope():
    return Slope()
"""
KERNEL = """
import numpy as np
from virtuoso.jit.kernel import inner, kernel

@inner
def part(x):
    return {sign}x

@kernel
def whole(x):
    return part(x)
"""
MADE = """
def make(sign):
    def inside(x):
        return sign * x
    return inside

turn = make({sign}1)
"""
THROUGH = """
import functools

def through(f):
    @functools.wraps(f)
    def called(*given):
        return f(*given)
    return called

@through
@functools.lru_cache
def turn(x):
    return {sign}x
"""

CASES: dict[str, dict[str, str]] = {
    "constant of a module": {
        "imports": "import PKG.helper as h", "value": "h.SIGN * close", "helper": "SIGN = {sign}1",
    },
    "constant that was imported": {
        "imports": "from PKG.helper import SIGN", "value": "SIGN * close", "helper": "SIGN = {sign}1",
    },
    "relative import": {"imports": "from . import helper", "value": "helper.SIGN * close", "helper": "SIGN = {sign}1"},
    "relative import of a name": {
        "imports": "from .helper import SIGN as S", "value": "S * close", "helper": "SIGN = {sign}1",
    },
    "package above": {"imports": "from . import SIGN", "value": "SIGN * close", "__init__": "SIGN = {sign}1"},
    "function": {
        "imports": "from .helper import f", "value": "f(close)", "helper": "def f(x):\n    return {sign}x",
    },
    "helper of a helper": {
        "imports": "from .helper import f", "value": "f(close)",
        "helper": "from .deeper import g\n\ndef f(x):\n    return g(x)", "deeper": "def g(x):\n    return {sign}x",
    },
    "star": {
        "imports": "from .helper import *", "value": "f(close)", "helper": "def f(x):\n    return {sign}x",
    },
    "import inside a function": {
        "value": "self.turned(close)", "helper": "SIGN = {sign}1",
        "body": "def turned(self, x):\n        from PKG.helper import SIGN\n        return SIGN * x",
    },
    "import inside a function of a helper": {
        "imports": "from .helper import f", "value": "f(close)",
        "helper": "def f(x):\n    from .deeper import SIGN\n    return SIGN * x", "deeper": "SIGN = {sign}1",
    },
    "import by a name in quotes": {
        "imports": "from importlib import import_module", "value": "import_module('PKG.helper').SIGN * close",
        "helper": "SIGN = {sign}1",
    },
    "class it inherits": {
        "imports": "from .helper import Base", "base": "Base", "value": "self.turned(close)",
        "helper": "from virtuoso.prism.component import Component\n\nclass Base(Component):\n"
        "    def turned(self, x):\n        return {sign}x",
    },
    "mixin": {
        "imports": "from .helper import Mixin", "base": "Mixin, Component", "value": "self.turned(close)",
        "helper": "class Mixin:\n    FACTORS = {{'up': {sign}1}}\n    def turned(self, x):\n"
        "        return self.FACTORS['up'] * x",
    },
    "feature": {
        "imports": "from .helper import Slope", "inputs": "slope, ", "value": "slope", "body": "slope = Slope()",
        "helper": FEATURE,
    },
    "feature that a function made": {
        "imports": "from .helper import slope as made", "inputs": "slope, ", "value": "slope", "body": "slope = made()",
        "helper": FEATURE,
    },
    "kernel": {"imports": "from .helper import whole", "value": "whole(close)", "helper": KERNEL},
    "closure": {"imports": "from .helper import turn", "value": "turn(close)", "helper": MADE},
    "decorated": {"imports": "from .helper import turn", "value": "turn(close)", "helper": THROUGH},
    "table": {
        "imports": "from .helper import TABLE", "value": "TABLE[2] * close",
        "helper": "import numpy as np\nTABLE = np.zeros(5_000)\nTABLE[2_500] = {sign}1",
    },
    "default": {
        "imports": "from .helper import f", "value": "f(close)",
        "helper": "def f(x, sign={sign}1):\n    return sign * x",
    },
    "functions in a table": {
        "imports": "from .helper import BY", "value": "BY['f'](close)",
        "helper": "from .deeper import g\nBY = {{'f': g}}", "deeper": "def g(x):\n    return {sign}x",
    },
    "object": {
        "imports": "from .helper import TURN", "value": "TURN(close)",
        "helper": "class Turn:\n    def __init__(self, sign):\n        self.sign = sign\n    def __call__(self, x):\n"
        "        return self.sign * x\n\nTURN = Turn({sign}1)",
    },
    "scale": {
        "imports": "from .helper import SCALE", "body": "scale = SCALE", "value": "close",
        "helper": "from virtuoso.prism.scale import Squash\nSCALE = Squash(half={sign}1.0)",
    },
}  # fmt: skip
EMPTY = {"imports": "", "base": "Component", "body": "", "inputs": ""}


class Package:
    """A private package of one component and what it calls, that can be written and imported anew."""

    def __init__(self, folder: Path, case: dict[str, str]) -> None:
        self.folder, self.case = folder / "private_tilt", case
        self.folder.mkdir()
        self.clock = 1_000_000_000

    def tilt(self, sign: str = "+", **further: str):
        """The component as it is after the file of a helper was written with a sign."""
        case = {**EMPTY, **self.case}
        helpers = {name: case[name] for name in ("helper", "deeper", "__init__") if name in case}
        files = {"__init__": "", **{n: text.format(sign=sign) for n, text in helpers.items()}, **further}
        files["tilt"] = TILT.format(**case)
        self.clock += 10
        for name, text in files.items():
            file = self.folder / f"{name}.py"
            file.write_text(text.replace("PKG", "private_tilt"))
            os.utime(file, (self.clock, self.clock))  # Python looks at seconds
        self.forget()
        importlib.invalidate_caches()
        return importlib.import_module("private_tilt.tilt").Tilt()

    def forget(self) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "private_tilt"]:
            del sys.modules[name]


@pytest.fixture
def package(tmp_path, monkeypatch):
    made: list[Package] = []

    def make(case: dict[str, str]) -> Package:
        made.append(Package(tmp_path, case))
        return made[-1]

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for one in made:
        one.forget()


class TestAnEdit:
    """Of anything own that a component reaches is noticed."""

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_changes_the_digest_and_nothing_else_does(self, package, case):
        written = package(case)
        before, again = code_digest([written.tilt("+")]), code_digest([written.tilt("+")])
        assert before == again
        assert code_digest([written.tilt("-")]) != before

    @pytest.mark.parametrize("case", ["constant of a module", "closure", "table", "object", "class it inherits"])
    def test_is_noticed_by_what_is_loaded_too_not_by_its_text_alone(self, package, case):
        """A process that was started before the edit computes with the old code and must not sign with the new."""
        written = package(CASES[case])
        old = written.tilt("+")
        before = code_digest([old])
        new = code_digest([written.tilt("-")])
        assert code_digest([old]) not in (before, new)

    def test_of_what_it_does_not_reach_changes_nothing(self, package):
        written = package(CASES["function"])
        before = code_digest([written.tilt("+")])
        assert code_digest([written.tilt("+", other="SIGN = 1")]) == before
        assert code_digest([written.tilt("+", other="SIGN = -1")]) == before

    def test_by_hand_of_a_loaded_constant_is_noticed(self, package):
        tilt = package(CASES["constant of a module"]).tilt("+")
        before = code_digest([tilt])
        sys.modules["private_tilt.helper"].SIGN = -1
        assert code_digest([tilt]) != before

    def test_of_a_file_that_a_module_reads_when_it_is_imported_is_noticed(self, package, tmp_path):
        case = {**CASES["constant of a module"]}
        case["helper"] = f"from pathlib import Path\nSIGN = float(Path({str(tmp_path / 'sign.txt')!r}).read_text())"
        (tmp_path / "sign.txt").write_text("1")
        written = package(case)
        before = code_digest([written.tilt()])
        (tmp_path / "sign.txt").write_text("-1")
        assert code_digest([written.tilt()]) != before

    def test_of_a_class_without_a_file_is_noticed(self):
        """As in a notebook."""

        def typed(sign: int):
            space: dict[str, object] = {"__name__": "__main__", "SIGN": sign}
            exec(TILT.format(**{**EMPTY, "value": "SIGN * close"}), space)
            return space["Tilt"]()

        assert code_digest([typed(1)]) == code_digest([typed(1)])
        assert code_digest([typed(1)]) != code_digest([typed(-1)])


def test_every_process_finds_the_same(package, tmp_path):
    """Whatever its hashes of strings, and whether the sources had been compiled before."""
    case = {
        **CASES["feature"],
        "imports": "from .helper import Slope\nWORDS = {'one', 'two', 'three', 'four', ('five', 6)}",
        "value": "slope * len(WORDS) * ('a' in {'a', 'b', 'c'})",
    }
    package(case).tilt()
    imports = "from virtuoso.files.digest import code_digest\nfrom private_tilt.tilt import Tilt"
    program = f"{imports}\nprint(code_digest([Tilt()]))"
    told = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": ""}
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(virtuoso.__file__).parents[1])])
        told.add(subprocess.check_output((sys.executable, "-c", program), env=env, text=True))
    assert len(told) == 1


def imported(text: str, package: str) -> set[str]:
    """What a source imports, by Python's own parser."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(digest._UNRUN.sub("", text))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= set(digest._resolved(node.module or "", node.level, package, [n.name for n in node.names]))
    return {part for name in found for part in digest._with_parents(name)}


ODD = r"""
import a.b as c, d; import e
if True: from f import g
from .h import (i,  # one)
    j as k,
    # two
    l,
)
from.m import n
from . import o
from .. \
    p import q
try: import r
except ImportError: pass
text = "#"; import s
"""


class TestImports:
    """Are found without parsing, which would cost a second a process."""

    def test_of_our_own_sources_are_all_found(self):
        root = Path(virtuoso.__file__).parent
        for path in sorted(root.rglob("*.py"))[::4]:
            name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
            inside = name.endswith(".__init__")
            name = name.removesuffix(".__init__")
            text = path.read_text()
            package = name if inside else name.rpartition(".")[0]
            assert imported(text, package) <= set(digest._imports(name, text, inside, quoted=False)), name

    def test_that_are_written_oddly_are_found(self):
        assert imported(ODD, "x.y") <= set(digest._imports("x.y.z", ODD, False, quoted=False))


class TestWhatAnEngineReaches:
    """Is what the hand-kept lists of files once named, and more."""

    def test_holds_every_module_that_scoring_runs_through(self):
        reached, waiting = set(), [ENGINE]
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting += digest._house_imports(module)
        for name in (
            "clock",
            "jit.kernel",
            "jit.cache",
            "market.bars",
            "market.resample",
            "market.gaps",
            "prism.engine.aggregate",
        ):
            assert f"virtuoso.{name}" in reached
        assert not {name for name in reached if name.split(".")[1:2] in (["cli"], ["workflows"], ["research"])}

    def test_an_array_that_cannot_be_followed_is_no_reason_to_fail(self):
        class Closed:
            def __reduce_ex__(self, protocol):
                raise TypeError("no")

        assert code_digest([Closed(), (np.array([object], dtype=object), {1: {2}})])


class TestANotebook:
    """What is typed in a notebook stands beside all its variables."""

    def test_a_variable_that_is_named_like_an_attribute_is_not_part_of_the_code(self):
        def digested(**variables):
            space = {"__name__": "__main__", **variables}
            exec("class Cross:\n    def decide(self, close):\n        return close * self.fast", space)
            return code_digest([space["Cross"]])

        assert digested() == digested(fast=np.arange(3)) == digested(fast=np.arange(4))

    def test_a_variable_that_is_used_is(self):
        def digested(fast):
            space = {"__name__": "__main__", "fast": fast}
            exec("class Cross:\n    def decide(self, close):\n        return close * fast", space)
            return code_digest([space["Cross"]])

        assert digested(3) == digested(3) != digested(4)

    def test_a_pandas_series_may_be_one_of_them(self):
        import pandas as pd

        space = {"__name__": "__main__", "fast": pd.Series([1.0, 2.0])}
        exec("class Cross:\n    def decide(self, close):\n        return close * fast.iloc[0]", space)
        assert code_digest([space["Cross"]]) == code_digest([space["Cross"]])
