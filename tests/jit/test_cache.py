"""What was compiled is used again as long as nothing changed that went into it, and no longer."""

from __future__ import annotations

import cProfile
import importlib
import os
import pickle
import shutil
import stat
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numba import typeof
from numba.core import event

from virtuoso.files.digest import compiled_digest
from virtuoso.jit import cache as kept_kernels
from virtuoso.jit.cache import KeptKernels
from virtuoso.jit.kernel import inner, kernel

FLIP_ALL = os.environ.get("VIRTUOSO_FLIPS") == "all"
RACES = 200 if FLIP_ALL else 40

PROGRAM = '''
from numba.core import event
from virtuoso.jit.kernel import kernel
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
from virtuoso.jit.kernel import inner

FEE = 0.25

@inner
def net(price):
    """The price itself."""
    return price
'''
RULES = """
from virtuoso.jit.kernel import inner
SHARE = 0.5

@inner
def rebate(price):
    return SHARE * price
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose kernel was compiled, kept and used again."""
    folder = tmp_path_factory.mktemp("used")
    for name, text in (("program", PROGRAM), ("prices", PRICES), ("rules", RULES)):
        (folder / f"{name}.py").write_text(text)
    assert [told(folder), told(folder)] == ["125.0 compiled", "125.0 kept"]
    return folder


@pytest.fixture
def room(used: Path, tmp_path: Path) -> Path:
    """A copy of it, kernel and all: what is kept is named by what went into it, not by where it lies."""
    return shutil.copytree(used, tmp_path, dirs_exist_ok=True)


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
        edit(room / file, old, new)
        assert [told(room), told(room)] == [f"{price} compiled", f"{price} kept"]

    def test_of_words_alone_compiles_nothing(self, room):
        edit(room / "prices.py", "The price itself.", "The price, as it is.")
        edit(room / "rules.py", "SHARE = 0.5", "SHARE = 0.5  # of what was paid")
        assert told(room) == "125.0 kept"

    def test_code_without_checks_of_bounds_is_not_taken_where_they_are_asked_for(self, room):
        assert told(room) == "125.0 kept"
        assert told(room, NUMBA_BOUNDSCHECK="1") == "125.0 compiled"

    def test_is_told_to_somebody_who_waits_at_a_prompt(self, room):
        edit(room / "prices.py", "FEE = 0.25", "FEE = 0.5")
        at_a_prompt = "import sys, runpy; sys.ps1 = '>>> '; runpy.run_path('program.py', run_name='__main__')"
        env = {
            **os.environ,
            "NUMBA_CACHE_DIR": str(room / "cache"),
            "PYTHONPATH": f"{room}{os.pathsep}{Path(kept_kernels.__file__).parents[2]}",
        }
        said = [
            subprocess.run(
                (sys.executable, "-c", at_a_prompt), cwd=room, env=env, capture_output=True, text=True
            ).stderr
            for _ in range(2)
        ]
        assert said == ["Virtuoso compiles kernels for this machine, once: up to half a minute.\n", ""]

    def test_leaves_no_old_code_behind_for_long(self, room):
        (before,) = kernels(room)
        os.utime(before, (0, 0))
        edit(room / "prices.py", "FEE = 0.25", "FEE = 0.5")
        told(room)
        (after,) = kernels(room)
        assert before != after


def kernels(room: Path) -> list[Path]:
    return sorted((room / "cache" / "virtuoso-kernels").glob("*kept*.nbc"))


SEVERAL = """
import sys
import numpy as np
from virtuoso.jit.kernel import kernel

@kernel
def total(x, start):
    for i in range(len(x)):
        start += x[i]
    return start

GIVEN = [
    (np.arange(4, dtype=np.int64), 1), (np.arange(4.0), 1.5), (np.arange(4, dtype=np.int32), 2), (np.arange(4.0), 1)
]

def all_right():
    for x, start in GIVEN:
        made = total(x, start)
        assert made == x.sum() + start and isinstance(made, type((x[:1].sum() + start).item())), (made, x, start)
"""


@pytest.fixture
def several(tmp_path, monkeypatch):
    """A kernel of several forms in a module of its own, and a cache that is empty."""
    (tmp_path / "several_forms.py").write_text(SEVERAL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    kept_kernels.folder.cache_clear()
    sys.modules.pop("several_forms", None)
    importlib.invalidate_caches()
    yield importlib.import_module("several_forms")
    kept_kernels.folder.cache_clear()


def again(several: ModuleType) -> int:
    """Use every form as another process would, and give how many had to be compiled."""
    several.total = kernel(several.total.py_func)
    with event.install_recorder("numba:compile") as compiled:
        several.all_right()
    return len(compiled.buffer) // 2


def files_of(several: ModuleType) -> list[Path]:
    return sorted(Path(several.total._cache.cache_path).glob("*.nbc"))


class TestDamage:
    """Is compiled anew, once, and never run."""

    @pytest.mark.parametrize("how", ["cut", "empty", "zeroed", "longer", "a folder", "a link", "swapped"])
    def test_of_every_file_is_healed(self, several, tmp_path, how):
        several.all_right()
        files = files_of(several)
        assert len(files) == len(several.GIVEN)
        whole = [file.read_bytes() for file in files]
        for file, data, other in zip(files, whole, [*whole[1:], whole[0]], strict=True):
            if how in ("a folder", "a link"):
                file.unlink()
            if how == "a folder":
                file.mkdir()
            elif how == "a link":
                (tmp_path / file.name).write_bytes(data)
                file.symlink_to(tmp_path / file.name)
            else:
                told = {"cut": data[:-7], "empty": b"", "zeroed": bytes(len(data)), "longer": data + b"x"}
                file.write_bytes(told.get(how, other))
        assert again(several) == len(several.GIVEN)
        if how != "a folder":  # which nobody here may remove
            assert again(several) == 0

    def test_a_flipped_bit_of_any_byte_is_noticed_before_anything_is_unpickled(self, several, monkeypatch):
        several.total(*several.GIVEN[0])
        (file,) = files_of(several)
        whole = bytearray(file.read_bytes())
        monkeypatch.setattr(kept_kernels.pickle, "loads", lambda data: pytest.fail("it was unpickled"))
        at = range(len(whole)) if FLIP_ALL else {*range(60), *range(60, len(whole), 211), len(whole) - 1}
        for place in at:
            whole[place] ^= 1 << place % 8
            file.write_bytes(whole)
            assert kept_kernels._read(file) is None, place
            whole[place] ^= 1 << place % 8
        file.write_bytes(whole)
        assert kept_kernels._read(file) is not None

    def test_a_flipped_bit_gives_the_right_result_and_is_gone(self, several):
        several.all_right()
        rng = np.random.default_rng(5)
        for file in files_of(several):
            data = bytearray(file.read_bytes())
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            file.write_bytes(data)
        assert [again(several), again(several)] == [len(several.GIVEN), 0]


class Planted:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["NUMBA_CACHE_DIR"]) / "it ran"),)


class TestAPlantedFile:
    """Is not unpickled: what is ours alone is taken, and nothing else."""

    def plant(self, file: Path) -> None:
        data = pickle.dumps(Planted())
        file.unlink()
        file.write_bytes(kept_kernels.MAGIC + kept_kernels._digest(file, data) + data)

    @pytest.mark.parametrize("planted", ["by another user", "where others may write", "a bare pickle"])
    def test_is_compiled_anew(self, several, tmp_path, planted, caplog):
        several.total(*several.GIVEN[0])
        (file,) = files_of(several)
        self.plant(file)
        if planted == "by another user":
            if not hasattr(os, "chown") or os.geteuid() != 0:
                pytest.skip("only root can give files away")
            os.chown(file, 12_345, 12_345)
        elif planted == "where others may write":
            file.chmod(0o666)
        else:
            file.write_bytes(pickle.dumps(Planted()))
        again(several)
        assert not (tmp_path / "cache" / "it ran").exists()
        assert ("is not taken" in caplog.text) == (planted != "a bare pickle")
        assert again(several) == len(several.GIVEN) - len(files_of(several)) == 0

    def test_a_folder_is_made_for_us_alone_and_made_so_again(self, several):
        several.total(*several.GIVEN[0])
        place = Path(several.total._cache.cache_path)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert stat.S_IMODE(files_of(several)[0].stat().st_mode) == 0o600
        place.chmod(0o777)
        kept_kernels.folder.cache_clear()
        again(several)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700

    @pytest.mark.parametrize("wrong", ["a file", "of another user", "a link"])
    def test_a_folder_that_is_not_ours_is_not_used_and_that_is_said(self, several, tmp_path, wrong, caplog):
        place = tmp_path / "cache" / "virtuoso-kernels"
        if wrong == "a file":
            place.parent.mkdir()
            place.write_text("")
        elif wrong == "a link":
            (tmp_path / "elsewhere").mkdir()
            place.parent.mkdir()
            place.symlink_to(tmp_path / "elsewhere")
        else:
            if not hasattr(os, "chown") or os.geteuid() != 0:
                pytest.skip("only root can give folders away")
            place.mkdir(parents=True)
            os.chown(place, 12_345, 12_345)
        kept_kernels.folder.cache_clear()
        assert again(several) == again(several) == len(several.GIVEN)
        assert caplog.text.count("Compiled kernels are not kept") == 1
        assert kept_kernels.folder() is None


class TestADiskThatRefuses:
    """Costs the time of compiling, and is no error."""

    def test_that_is_full(self, several, monkeypatch):
        def full(*given, **named):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(kept_kernels.os, "open", full)
        assert again(several) == len(several.GIVEN)

    def test_that_is_read_only(self, several, monkeypatch):
        monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/none")
        kept_kernels.folder.cache_clear()
        assert again(several) == len(several.GIVEN)

    def test_a_numba_without_what_a_cache_needs(self, several, monkeypatch):
        from numba.core.compiler import CompileResult

        kept_kernels.usable.cache_clear()
        with monkeypatch.context() as patch:
            patch.delattr(CompileResult, "_rebuild")
            assert not kept_kernels.usable()
            assert not isinstance(kernel(several.total.py_func)._cache, KeptKernels)
        kept_kernels.usable.cache_clear()


RACING = """
import os, sys
import several_forms as several
from virtuoso.jit.kernel import kernel
from virtuoso.jit import cache as kept_kernels

which = int(sys.argv[1])
x, start = several.GIVEN[which]
several.total(x, start)
sig = several.total.signatures[0]
made = several.total.overloads[sig]
cache, context = several.total._cache, several.total.targetctx
print("ready", flush=True)
for line in sys.stdin:
    cache.save_overload(sig, made)          # both write at the same moment
    for k in (which, 1 - which):            # and read what either wrote
        y, other = several.GIVEN[k]
        form = tuple(several.total.typeof_pyval(v) for v in (y, other))
        found = cache.load_overload(form, context)
        assert found is None or found.signature.args == form, (k, found.signature)
        assert k != which or found is not None
    print("done", flush=True)
fresh = kernel(several.total.py_func)
for y, other in several.GIVEN[:2]:
    assert fresh(y, other) == y.sum() + other
print("right", flush=True)
"""


def test_two_processes_that_write_two_forms_at_once_never_get_one_for_the_other(tmp_path):
    """In numba 0.68 both may number their form 1, and later run what was compiled for other arguments."""
    (tmp_path / "several_forms.py").write_text(SEVERAL)
    (tmp_path / "racing.py").write_text(RACING)
    path = os.pathsep.join([str(tmp_path), str(Path(kept_kernels.__file__).parents[2])])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": path}
    both = [
        subprocess.Popen(
            (sys.executable, str(tmp_path / "racing.py"), str(which)),
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for which in range(2)
    ]  # fmt: skip
    assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
    place = tmp_path / "cache" / "virtuoso-kernels"
    for _ in range(RACES):
        for file in place.glob("*total*.nbc"):
            file.unlink()
        for one in both:
            one.stdin.write("go\n")
            one.stdin.flush()
        assert [one.stdout.readline() for one in both] == ["done\n"] * 2
    assert [one.communicate()[0] for one in both] == ["right\n"] * 2


TABLE = np.array([1.0, 2.0])
LIMIT = 3.0


@inner
def limited(x: float) -> float:
    return min(x, LIMIT)


@kernel
def looked_up(i: int) -> float:
    return limited(TABLE[i])


def test_a_stamp_is_of_code_constants_and_tables_of_all_that_is_called(monkeypatch):
    def stamp():
        return compiled_digest(looked_up.py_func, "asked")

    before = stamp()
    assert before == stamp() != compiled_digest(looked_up.py_func, "asked otherwise")
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[__name__], "TABLE", np.array([1.0, 4.0]))
        assert stamp() != before
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[__name__], "LIMIT", 4.0)
        assert stamp() != before
    assert stamp() == before


def test_a_stamp_is_the_same_while_the_function_is_profiled():
    before = compiled_digest(looked_up.py_func, "asked")
    with cProfile.Profile():
        assert compiled_digest(looked_up.py_func, "asked") == before


def test_what_does_not_tell_what_it_is_made_of_is_not_kept():
    lock = threading.Lock()

    def held():
        return lock

    assert compiled_digest(held, "asked") is None


def test_records_of_the_same_types_under_other_names_are_other_arguments():
    old, new = (typeof(namedtuple("Old", fields)(1.0, 2.0)) for fields in ("a b", "b a"))
    assert repr(old) == repr(new)
    assert kept_kernels._told(old) != kept_kernels._told(new)
