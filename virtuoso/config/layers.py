"""Settings from several places laid over each other, each key with its origin, so that an error can name it.

1. A `Layer` is what one file, one environment variable or the command line says.
2. `Merged` lays layers over each other: mappings merge, everything else is replaced by the later one.
3. `Merged.filled` replaces `${NAME}` by the environment's value, except in secrets.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virtuoso.errors import ConfigError
from virtuoso.files.plain_yaml import KeyPath, dotted
from virtuoso.settings import REFERENCE


def pattern(path: KeyPath) -> str:
    """Write a key without the numbers of list items: `exchanges[].api_key`."""
    return re.sub(r"\[\d+\]", "[]", dotted(path))


@dataclass(frozen=True, eq=False)
class Layer:
    """Settings from one place.

    Attributes
    ----------
    source : str
        The place, as a message names it.
    tree : mapping
        Nested settings.
    lines : mapping of key to int
        Line of each key, where there are lines.
    folder : Path or None
        Folder of the file; other files that it names are looked for there.
    """

    source: str
    tree: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    folder: Path | None = None

    def where(self, path: KeyPath) -> str:
        """Say where a key stands."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.source}, line {self.lines[path]}" if path else self.source

    def under(self, *prefix: str) -> Layer:
        """The same settings, one section further down."""
        tree: Mapping[str, Any] = self.tree
        for part in reversed(prefix):
            tree = {part: tree}
        lines = {(*prefix, *path): line for path, line in self.lines.items()}
        return Layer(self.source, tree, lines, self.folder)


class Merged:
    """Layers laid over each other: mappings merge, everything else is replaced by the later layer.

    Parameters
    ----------
    whole : container of keys
        Mappings that are replaced as a whole, such as the ladder of timeframes.
    """

    def __init__(self, whole: Container[KeyPath] = ()) -> None:
        self.tree: dict[str, Any] = {}
        self._whole = whole
        self._origins: dict[KeyPath, Layer] = {}
        self._order: list[Layer] = []

    def add(self, layer: Layer) -> None:
        """Lay settings over what is there."""
        self._order.append(layer)
        self._merge(self.tree, layer.tree, (), layer)

    def _merge(self, into: dict[str, Any], tree: Mapping[str, Any], path: KeyPath, layer: Layer) -> None:
        for key, value in tree.items():
            here = (*path, key)
            if isinstance(value, Mapping) and here not in self._whole:
                if not isinstance(into.get(key), dict):
                    self._forget(here, into.get(key))
                    into[key] = {}
                self._merge(into[key], value, here, layer)
                if not value:
                    self._origins.setdefault(here, layer)
            else:
                self._forget(here, into.get(key))
                into[key] = value
                self._origins[here] = layer

    def _forget(self, path: KeyPath, replaced: Any) -> None:
        """Forget who wrote a value and what lies below it; walking it costs its size, not that of everything."""
        self._origins.pop(path, None)
        for key, value in replaced.items() if isinstance(replaced, dict) else ():
            self._forget((*path, key), value)

    def origin(self, path: KeyPath) -> Layer | None:
        """Which layer wrote a key; for a section, the last layer that wrote into it; None for a default."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]]
        below = [layer for known, layer in self._origins.items() if known[: len(path)] == path]
        return max(below, key=self._order.index, default=None)

    def filled(self, env: Mapping[str, str], secrets: Container[str]) -> dict[str, Any]:
        """Fill in `${NAME}` everywhere but in secrets, which keep the name.

        Parameters
        ----------
        env : mapping
            The variables.
        secrets : container of str
            Keys that are secrets, written `exchanges[].api_key`.

        Raises
        ------
        ConfigError
            If a reference is broken or its variable is not set.
        """
        tree: dict[str, Any] = self._filled(self.tree, (), env, secrets)
        return tree

    def _filled(self, value: Any, path: KeyPath, env: Mapping[str, str], secrets: Container[str]) -> Any:
        if isinstance(value, Mapping):
            return {key: self._filled(item, (*path, key), env, secrets) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, (*path, i), env, secrets) for i, item in enumerate(value)]
        if not isinstance(value, str) or pattern(path) in secrets:
            return value
        if "${" in REFERENCE.sub("", value):
            raise ConfigError(
                f"{dotted(path)} {self.where(path)} holds a broken reference (its text is not shown). "
                "Write ${NAME}, with letters, digits and _ in the name."
            )
        for name in REFERENCE.findall(value):
            if not env.get(name):
                raise ConfigError(
                    f"{dotted(path)} {self.where(path)} names ${{{name}}}, which is set neither in the environment "
                    f"nor in .env. Set it, or write the value."
                )
        return REFERENCE.sub(lambda match: env[match[1]], value)

    def where(self, path: KeyPath) -> str:
        """Say where a key stands, for a message: `in configs/base.yaml, line 3`."""
        layer = self.origin(path)
        return f"in {layer.where(path)}" if layer else "by default"

    def raw(self, path: KeyPath) -> Any:
        """Give a value as it was written, None if there is none."""
        value: Any = self.tree
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def origins(self) -> Iterator[tuple[KeyPath, Layer]]:
        """Every key that was written, and by whom."""
        yield from self._origins.items()
