"""Plain values from YAML: no tags, no anchors, no duplicate keys, nothing that YAML 1.1 and 1.2 read differently.

What people write by hand is read here: settings (`virtuoso.config`) and studies (`virtuoso.research.tuning`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from virtuoso.errors import ConfigError

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)
"""Numbers that every version of YAML takes for the same one: not 1:30 (90 in YAML 1.1), 010 (8) or 1_000."""
TIMESTAMP = "tag:yaml.org,2002:timestamp"
READ_DIFFERENTLY = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", TIMESTAMP


def dotted(path: KeyPath) -> str:
    """Write a key as people do: `exchanges[0].api_key`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class _Reader:
    """Turns YAML nodes into plain values and remembers the line of each key."""

    def __init__(self, text: str, source: str, dates: bool) -> None:
        self._loader = yaml.SafeLoader(text)
        self._source, self._dates = source, dates
        self.lines: dict[KeyPath, int] = {}

    def read(self) -> Any:
        root = self._loader.get_single_node()
        return None if root is None else self._value(root, ())

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self.lines |= {(*path, i): item.start_mark.line + 1 for i, item in enumerate(node.value)}
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        if self._dates and node.tag == TIMESTAMP:
            return str(node.value)
        if node.tag in READ_DIFFERENTLY and not PLAIN_NUMBER.fullmatch(node.value):
            raise ConfigError(
                f"{dotted(path)} in {self._source}, line {node.start_mark.line + 1}: some readers of YAML take this "
                "value for a number or a date, others for text or another number. Quote it if it is text; write a "
                "number in plain digits, such as 90 for 1:30."
            )
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                raise ConfigError(f"{self._source}, line {line}: a key must be text; quote it if it is one.")
            key = key_node.value
            here = (*path, key)
            if key in values:
                raise ConfigError(
                    f"{dotted(here)} stands twice in {self._source}, lines {self.lines[here]} and {line}. Keep one."
                )
            self.lines[here] = line
            values[key] = self._value(value_node, here)
        return values


def parse_yaml(text: str, source: str, *, dates: bool = False) -> tuple[Any, dict[KeyPath, int]]:
    """Read plain values from YAML.

    Parameters
    ----------
    text, source : str
        The source is what errors name.
    dates : bool
        Whether a date that is not quoted is taken as the text that stands there; refused otherwise.

    Returns
    -------
    tuple
        The values, and the line of each key.

    Raises
    ------
    ConfigError
        If it is not YAML, or holds tags, anchors, duplicate keys or keys that are not text. The text itself is never
        part of the message, since it may hold a secret.
    """
    try:
        _refuse_what_is_not_plain(text, source)
        reader = _Reader(text, source, dates)
        return reader.read(), reader.lines
    except yaml.MarkedYAMLError as broken:
        line = f", line {broken.problem_mark.line + 1}" if broken.problem_mark else ""
        remedy = ' Inside {...} and [...] write references in quotes: "${NAME}".' if "${" in text else ""
        raise ConfigError(f"{source}{line} is not valid YAML: {broken.problem}.{remedy}") from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(
            f"{source} is not valid YAML: it holds a character or a value that YAML cannot hold."
        ) from None


def _refuse_what_is_not_plain(text: str, source: str) -> None:
    """Refuse tags, anchors and depth before anything is built; PyYAML takes minutes over `[[[[...`."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{source}, line {line} is nested more than {MAX_DEPTH} deep; settings are not.")
        if isinstance(token, (yaml.TagToken, yaml.AnchorToken, yaml.AliasToken)):
            raise ConfigError(
                f"{source}, line {line}: tags (!), anchors (&) and aliases (*) are refused. "
                "Write the value out, or quote it if it is text."
            )


def text_of(file: Path, source: str) -> str:
    """Read a small UTF-8 file.

    Raises
    ------
    ConfigError
        If it cannot be read, is larger than MAX_BYTES or not UTF-8; `source` is how the message names it.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as refused:
        raise ConfigError(f"{source} cannot be read: {refused.strerror}.") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{source} is larger than {MAX_BYTES:,} bytes; that is not a configuration file.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        raise ConfigError(f"{source} is not UTF-8 text (byte {broken.start}). Save it as UTF-8.") from None
