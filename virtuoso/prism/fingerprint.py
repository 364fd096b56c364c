"""Fingerprints: by what a value was computed, so that a cache or a journal can tell changed code from changed data."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.prism.component import Node

LIBRARIES = ("numpy", "numba", "TA-Lib")
"""Whose wheels a score runs through."""


@cache
def cpu_level() -> str:
    """Name the widest vector extension NumPy dispatches to here; scoring does not depend on it, other code may."""
    config: Any = np.show_config(mode="dicts")
    simd = config["SIMD Extensions"]
    return str([*simd["baseline"], *simd.get("found", [])][-1])


@cache
def environment() -> dict[str, str]:
    """Versions of the wheels and the CPU level that scores are computed with."""
    return {**{name: version(name) for name in LIBRARIES}, "cpu": cpu_level(), "platform": sys.platform}


@cache
def sources_digest() -> str:
    """Digest of the sources every score runs through: the prism, the fold, the gaps and the columns."""
    package = Path(__file__).resolve().parents[1]
    files = sorted((package / "prism").rglob("*.py"))
    files += [package / "market" / f"{name}.py" for name in ("bars", "columns", "fold", "gaps")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def class_digest(cls: type) -> str:
    """Digest of the code of a component: of its module, and of its methods where it was written in a notebook."""
    digest = hashlib.sha256()
    for owner in cls.__mro__:
        if owner.__module__.startswith("virtuoso.prism") or owner is object:
            continue
        digest.update(f"{owner.__module__}.{owner.__qualname__}\0{_module_source(owner.__module__)}".encode())
        for name, method in sorted(vars(owner).items()):
            code = getattr(method, "__code__", None)
            if code is not None:
                digest.update(f"{name}\0{code.co_consts!r}\0{code.co_names!r}\0".encode() + code.co_code)
    return digest.hexdigest()


@cache
def _module_source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        return ""  # a notebook cell: the code of the methods stands for it


def node_fingerprint(node: Node, timeframe: Timeframe, block: int) -> str:
    """Digest of everything but the data that the values of a node depend on."""
    text = [
        f"{type(node).__module__}.{node!r}",
        f"{timeframe.name} {block} {node.memory(timeframe)} {node.warmup(timeframe)}",
        class_digest(type(node)),
        str(sorted((k, repr(v)) for k, v in vars(type(node)).items() if not callable(v) and not k.startswith("_"))),
        sources_digest(),
        str(sorted(environment().items())),
    ]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()
