"""Fingerprints: by what a value was computed, so that a cache or a journal can tell changed code from changed data."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.files.digest import code_digest, of_house
from virtuoso.prism.component import Node

LIBRARIES = ("numpy", "numba", "TA-Lib")
"""Whose wheels a score runs through."""


@cache
def cpu_level() -> str:
    """Return the widest vector extension NumPy dispatches to here; scoring does not depend on it, other code may."""
    config: Any = np.show_config(mode="dicts")
    simd = config["SIMD Extensions"]
    return str([*simd["baseline"], *simd.get("found", [])][-1])


@cache
def environment() -> dict[str, str]:
    """Versions of the wheels and the CPU level that scores are computed with."""
    return {**{name: version(name) for name in LIBRARIES}, "cpu": cpu_level(), "platform": sys.platform}


ENGINE = "virtuoso.prism.engine.score"
"""Where scoring begins: every module it runs through is imported from here."""


@cache
def sources_digest() -> str:
    """Digest of the sources every score runs through: the engine with all that it imports."""
    return code_digest(modules=[ENGINE])


def node_digest(node: Node) -> str:
    """Digest of the code that the values of a node are computed by: its own, all own code it reaches, the engine."""
    return _unchanging(node) if _is_ours(node) else code_digest([node], [ENGINE])


def _is_ours(node: Node) -> bool:
    """Whether a node and the nodes it is given are Virtuoso's own, which do not change while a process runs."""
    given = (value for value in node.settings().values() if isinstance(value, Node))
    return of_house(type(node).__module__) and all(_is_ours(value) for value in given)


@cache
def _unchanging(node: Node) -> str:
    return code_digest([node], [ENGINE])


def node_fingerprint(node: Node, timeframe: Timeframe, block: int, code: str) -> str:
    """Digest of everything but the data that the values of a node depend on.

    Parameters
    ----------
    node : Node
    timeframe : Timeframe
    block : int, bars
    code : str
        See `node_digest`; the same on every timeframe.
    """
    text = [
        f"{type(node).__module__}.{node!r}",
        f"{timeframe.name} {block} {node.memory(timeframe)} {node.warmup(timeframe)}",
        code,
        str(sorted(environment().items())),
    ]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()
