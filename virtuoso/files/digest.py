"""Own code: one digest of everything that we or the user wrote and that a value is computed by.

1. From objects: a node, a function, a kernel. Followed from name to name: functions with their defaults and closures,
   classes with all they inherit, attributes of modules, and constants: numbers, tables, arrays, objects. So what is
   loaded counts, wherever it came from: a file that was edited since, a notebook, a value that was set by hand.
2. From sources: the text of every module that is reached from there by an import, also by one inside a function that
   has not run yet, and of the packages around it.
3. Own is what is no installed library, and Virtuoso itself. Of libraries the versions count. Virtuoso's own modules are
   taken from their sources alone, read once a process: nothing of it is changed while it runs.

Better a digest too many than one too few: a changed comment computes a block anew; a helper that is missed would give
yesterday's numbers for today's code.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Set
from enum import Enum
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

HOUSE = __name__.partition(".")[0]
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), np.dtype)
_BUILT_IN = (BuiltinFunctionType, MethodWrapperType, WrapperDescriptorType)
_OF_PYTHON = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__firstlineno__",
    "__static_attributes__",
    "_abc_impl",
}
"""Attributes of classes that Python keeps for itself."""
_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_FLAGS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
"""Those that say what a function does; others change while it is compiled and profiled."""
_LIBRARY_FOLDERS = {"site-packages", "dist-packages"}

_UNRUN = re.compile(r"^if (?:typing\.)?TYPE_CHECKING:\n(?:[ \t]+.*\n|[ \t]*\n)+", re.MULTILINE)
_CONTINUED = re.compile(r"\\\r?\n")
_IMPORT = re.compile(
    r"(?:^|[;:])[ \t]*(?:from\b[ \t]*(?P<origin>[.\w \t]+?)[ \t]*\bimport\b[ \t]*"
    r"(?:\((?P<within>(?:[\w\s,*]|#.*)*)\)|(?P<names>[\w \t,*]+))|import[ \t]+(?P<modules>[\w \t.,]+))",
    re.MULTILINE,
)
_QUOTED = re.compile(r"""["']([A-Za-z_]\w*(?:\.\w+)*)["']""")


def code_digest(objects: Iterable[object] = (), modules: Iterable[str] = ()) -> str:
    """Digest of all own code that objects and modules reach, and of the versions of the libraries that it imports.

    Parameters
    ----------
    objects : iterable
        Components, functions, classes: whatever computes.
    modules : iterable of str
        Names of modules, loaded or not.

    Returns
    -------
    str
        SHA-256, the same in every process that would compute the same.
    """
    roots = list(objects)
    walk = _Walk({_module_of(root).partition(".")[0] for root in roots})
    walk.follow(roots)
    sources = _sources(walk.modules | set(modules), walk.tops)
    return hashlib.sha256(f"{walk.digest.hexdigest()}\n{sources}".encode()).hexdigest()


def compiled_digest(function: FunctionType, how: object) -> str | None:
    """Return the digest of what a compiler makes a function of: code and constants of all it reaches, no words.

    Parameters
    ----------
    function : function
    how : object
        What else it depends on, such as the compiler's switches.

    Returns
    -------
    str or None
        None where something is reached of which nobody knows whether it changed.
    """
    walk = _Walk(set(), of_house=True)
    walk.follow([how, function])
    return None if walk.opaque else walk.digest.hexdigest()


class _Walk:
    """One way through objects, each digested once and in an order of its own; later it is a number.

    Parameters
    ----------
    tops : set of str
        Packages that are own although they lie among the libraries.
    of_house : bool
        Whether Virtuoso's own functions are followed as well.

    Attributes
    ----------
    modules : set of str
        Own modules that were met.
    opaque : bool
        Whether something was met that does not tell what it is made of.
    """

    def __init__(self, tops: set[str], of_house: bool = False) -> None:
        self.tops, self._of_house = tops, of_house
        self.digest = hashlib.sha256()
        self.modules: set[str] = set()
        self.opaque = False
        self._met: dict[int, tuple[int, object]] = {}  # holds what it numbers: an id lives as long as its object
        self._waiting: list[object] = []
        self._inside: list[int] = []

    def follow(self, roots: Iterable[object]) -> None:
        """Tell all that roots reach."""
        for root in roots:
            self._see(root)
        for value in self._waiting:  # grows meanwhile
            self._expand(value)

    def _say(self, *words: object) -> None:
        self.digest.update("\x1f".join(map(str, words)).encode(errors="surrogatepass") + b"\0")

    def _see(self, value: object) -> None:
        """Tell a plain value at once; number what is more, and tell it later."""
        if isinstance(value, Enum):
            self._say("member", value.name)
            self._number(type(value))
        elif type(value) in _PLAIN or isinstance(value, np.dtype):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, (np.ndarray, np.generic)):
            self._see_array(np.asarray(value))
        elif type(value) in (tuple, list, dict, MappingProxyType, set, frozenset):
            self._see_container(value)
        else:
            self._number(value)

    def _see_array(self, array: np.ndarray[Any, Any]) -> None:
        self._say("array", array.dtype, array.shape)
        if array.dtype.hasobject:
            self._see(array.tolist())
        else:
            self.digest.update(array.tobytes())

    def _see_container(self, value: Any) -> None:
        if id(value) in self._inside:
            return self._say("again", len(self._inside) - self._inside.index(id(value)))
        self._inside.append(id(value))
        self._say(type(value).__name__, len(value))
        if isinstance(value, (set, frozenset)):
            self._say(*sorted(self._alone(item) for item in value))
        elif isinstance(value, (dict, MappingProxyType)):
            for key, item in value.items():
                self._see(key)
                self._see(item)
        else:
            for item in value:
                self._see(item)
        self._inside.pop()
        return None

    def _alone(self, value: object) -> str:
        """Digest of an item of a set, which has no order."""
        walk = _Walk(self.tops, self._of_house)
        walk.follow([value])
        self.modules |= walk.modules
        self.opaque |= walk.opaque
        return walk.digest.hexdigest()

    def _number(self, value: object) -> None:
        if id(value) not in self._met:
            self._met[id(value)] = len(self._met), value
            self._waiting.append(value)
        self._say("number", self._met[id(value)][0])

    def _expand(self, value: Any) -> None:
        """Tell what was numbered."""
        if isinstance(value, ModuleType):
            self._follows(value.__name__)
        elif isinstance(value, CodeType):
            self._expand_code(value, None)
        elif isinstance(value, FunctionType):
            self._expand_function(value)
        elif isinstance(value, MethodType):
            self._see((value.__func__, value.__self__))
        elif isinstance(value, _BUILT_IN):
            self._say("built in", getattr(value, "__module__", ""), value.__qualname__)
        elif isinstance(value, type):
            self._expand_class(value)
        elif isinstance(value, property):
            self._see((value.fget, value.fset, value.fdel))
        elif isinstance(value, (staticmethod, classmethod)):
            self._see(value.__func__)
        elif isinstance(getattr(value, "py_func", None), FunctionType):  # what numba compiles
            self._see((value.py_func, dict(getattr(value, "targetoptions", {}))))
        elif isinstance(getattr(value, "__wrapped__", None), FunctionType):
            self._see((type(value).__qualname__, value.__wrapped__))
        else:
            self._expand_instance(value)

    def _follows(self, module: str) -> bool:
        """Note the module of something, and return whether its parts are digested one by one."""
        self._say(module)
        if not _is_own(module, self.tops):
            self._say(_version(module.partition(".")[0]))
            return False
        self.modules.add(module)
        return self._of_house or not of_house(module)

    def _expand_function(self, function: FunctionType) -> None:
        follows = self._follows(function.__module__ or "")
        self._say(function.__qualname__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._say(name)
            try:
                self._see(cell.cell_contents)
            except ValueError:
                self._say("empty")
        self._see(getattr(function, "__wrapped__", None))
        if not follows:
            return
        self._see((function.__defaults__, function.__kwdefaults__))
        self._expand_code(function.__code__, function.__doc__)
        names = sorted(_names(function.__code__))
        for name in sorted(_globals(function.__code__)):
            if name in function.__globals__:
                self._see_under(name, function.__globals__[name], names)
        for module in _imported_inside(function):
            if _is_own(module, self.tops):
                self.modules.add(module)
                if module in sys.modules:
                    self._see_under(module, sys.modules[module], names)

    def _see_under(self, name: str, value: object, names: list[str]) -> None:
        """Tell what lies under a name, and of own modules what is used of them."""
        self._say(name)
        waiting, met = [value], []
        for found in waiting:
            self._see(found)
            if isinstance(found, ModuleType) and found not in met and _is_own(found.__name__, self.tops):
                met.append(found)
                if self._of_house or not of_house(found.__name__):
                    for part in names:
                        if part in vars(found):
                            self._say(part)
                            waiting.append(vars(found)[part])

    def _expand_code(self, code: CodeType, words: str | None) -> None:
        self._say(code.co_name, code.co_code.hex(), code.co_exceptiontable.hex(), code.co_flags & _FLAGS)
        self._see((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
        self._see((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._expand_code(constant, None)
            elif words is None or constant != words:
                self._see(constant)

    def _expand_class(self, cls: type) -> None:
        # of a class with a property of that name Python answers with the property
        follows = self._follows(cls.__module__ if isinstance(cls.__module__, str) else "")
        self._say(cls.__qualname__)
        if follows:
            self._see((type(cls), cls.__bases__))
            for name, value in sorted(vars(cls).items()):
                if name not in _OF_PYTHON:
                    self._say(name)
                    self._see(value)

    def _expand_instance(self, value: object) -> None:
        """Tell an object as it would be pickled: by its class and its state."""
        self._number(type(value))
        try:
            made = value.__reduce_ex__(4)
        except Exception:  # whatever a stranger's object raises: it cannot tell what it is made of
            self.opaque = True
            return self._say("opaque")
        if isinstance(made, str):
            return self._say(made)
        parts = [*made, None, None, None][:5]
        self._see(parts[:3])
        self._see([list(part) if part is not None else None for part in parts[3:]])
        return None


def _module_of(root: object) -> str:
    return str(getattr(root if isinstance(root, (type, FunctionType)) else type(root), "__module__", ""))


def _names(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in what is defined inside it."""
    inside = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names, *(name for names in inside for name in names)}


def _globals(code: CodeType) -> set[str]:
    """Names of globals alone: the attribute of `self.fast` is not the variable `fast` of a notebook."""
    codes, found = [code], set()
    for one in codes:
        codes += [constant for constant in one.co_consts if isinstance(constant, CodeType)]
        found |= {str(step.argval) for step in dis.get_instructions(one) if step.opname in _GLOBAL}
    return found


def _imported_inside(function: FunctionType) -> list[str]:
    """Modules that a function may import when it runs."""
    found: set[str] = set()
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        if _IMPORT_NAME not in code.co_code[::2]:
            continue
        before: list[Any] = [None, None]
        for step in dis.get_instructions(code):
            if step.opcode == _IMPORT_NAME:
                level, names = (b.argval if b is not None else None for b in before)
                package = str(function.__globals__.get("__package__") or "")
                found |= set(_resolved(str(step.argval), int(level or 0), package, names or ()))
            before = [before[1], step]
    return sorted(found)


def _resolved(name: str, level: int, package: str, names: Iterable[str]) -> Iterator[str]:
    """Modules that an import may mean: the one it names, and what it takes from it."""
    if level:
        around = package.split(".")
        name = ".".join([*around[: len(around) - level + 1], *([name] if name else [])])
    if name:
        yield name
        yield from (f"{name}.{part}" for part in names if part != "*")


def of_house(module: str) -> bool:
    """Whether a module is one of Virtuoso's."""
    return module.partition(".")[0] == HOUSE


@cache
def _standard() -> tuple[str, ...]:
    return tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib"))


def _is_own(module: str, tops: Set[str] = frozenset()) -> bool:
    """Whether a module was written here: no part of Python, and no installed library."""
    top = module.partition(".")[0]
    if top == HOUSE or top in tops - sys.stdlib_module_names:
        return True
    return bool(module) and top not in sys.stdlib_module_names and not _is_library(top)


def _is_library(top: str) -> bool:
    """Whether a package lies where libraries are installed; what has no file was typed in, or is nowhere."""
    file = _file_of(top)
    if file is None:
        return False
    return bool(_LIBRARY_FOLDERS & set(file.parts)) or str(file).startswith(_standard())


@lru_cache(4_096)
def _version(top: str) -> str:
    """Version of a library; of one that is installed under another name, a digest of its first file."""
    if top in sys.stdlib_module_names:
        return ""
    try:
        return version(top)
    except (PackageNotFoundError, ValueError):
        return _text_of(top)[1]


def _sources(modules: Set[str], tops: Set[str]) -> str:
    """Digest of the sources of modules and of all own ones that they import."""
    found: dict[str, str] = {}
    waiting = [part for module in sorted(modules) for part in _with_parents(module)]
    house: set[str] = set()
    for module in waiting:  # grows meanwhile
        if module in found:
            continue
        if of_house(module):
            house.add(module)
        elif not _is_own(module, tops):
            found[module.partition(".")[0]] = _version(module.partition(".")[0])
        else:
            text, found[module] = _text_of(module)
            waiting += _imports(module, text, _is_package(module), quoted=True)
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(found.items()) if digest)
    return hashlib.sha256(f"{text}\n{_house_sources(frozenset(house))}".encode()).hexdigest()


@cache
def _house_sources(modules: frozenset[str]) -> str:
    """Digest of the sources of Virtuoso that modules of it reach; its own modules are read once a process."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= set(_house_imports(module)) - found
    text = "\n".join(f"{module} {_house_text(module)[1]}" for module in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _house_text(module: str) -> tuple[str, str]:
    return _text_of(module)


@cache
def _house_imports(module: str) -> tuple[str, ...]:
    """Modules of Virtuoso that one of them imports."""
    reached = _imports(module, _house_text(module)[0], _is_package(module), quoted=False)
    return tuple(name for name in reached if of_house(name) and _house_text(name)[1])


def _with_parents(module: str) -> Iterator[str]:
    """Return a module and the packages around it, whose code runs before it does."""
    parts = module.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


@lru_cache(4_096)
def _imports(module: str, text: str, is_package: bool, quoted: bool) -> list[str]:
    """Modules that a source imports anywhere, and, where it is asked for, those that it names in quotes."""
    package = module if is_package else module.rpartition(".")[0]
    text = _CONTINUED.sub(" ", _UNRUN.sub("", text))
    found: set[str] = set()
    for match in _IMPORT.finditer(text):
        if match["modules"]:
            found |= {part.split()[0] for part in match["modules"].split(",") if part.strip()}
            continue
        origin = re.sub(r"\s", "", match["origin"])
        name = origin.lstrip(".")
        taken = re.sub(r"#.*", "", match["within"] or match["names"] or "").split(",")
        names = [part.split()[0] for part in taken if part.strip()]
        found |= set(_resolved(name, len(origin) - len(name), package, names))
    if quoted:
        found |= {name for name in _QUOTED.findall(text) if not of_house(name) and _is_there(name)}
    return sorted({part for name in found for part in _with_parents(name)})


def _is_there(name: str) -> bool:
    """Whether something in quotes is the name of an own module."""
    return name.partition(".")[0] not in sys.stdlib_module_names and _is_own(name) and _file_of(name) is not None


def _is_package(module: str) -> bool:
    file = _file_of(module)
    return file is not None and file.stem == "__init__"


def _file_of(module: str) -> Path | None:
    """File of a module, loaded or not; it is not imported for that."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if isinstance(file, str) else None
    spec = _spec_of(module)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _spec_of(module: str) -> ModuleSpec | None:
    parent, _, _ = module.rpartition(".")
    try:
        if not parent:
            return find_spec(module)
        around: Any = sys.modules.get(parent)
        places = (
            around.__path__ if around is not None else getattr(_spec_of(parent), "submodule_search_locations", None)
        )
        return PathFinder.find_spec(module, places) if places is not None else None
    except (ImportError, AttributeError, ValueError):
        return None


def _text_of(module: str) -> tuple[str, str]:
    """Text of a module that has one, and the digest of its file; empty where there is none."""
    file = _file_of(module)
    try:
        data = file.read_bytes() if file is not None else b""
    except OSError:
        data = b""
    if not data:
        return "", ""
    text = data.decode(errors="replace").replace("\r\n", "\n") if file is not None and file.suffix == ".py" else ""
    return text, hashlib.sha256(data).hexdigest()
