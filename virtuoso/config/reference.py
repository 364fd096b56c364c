"""Every key of a configuration file: its default, its meaning, and what is said of a value that it cannot have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, NamedTuple, TypeGuard, get_args, get_origin

from pydantic_core import ErrorDetails, PydanticUndefined

from virtuoso.config.layers import Merged, pattern
from virtuoso.errors import did_you_mean
from virtuoso.files.plain_yaml import KeyPath, dotted
from virtuoso.settings import RoomSettings, SecretText, Table

LONGEST_SHOWN = 24  # characters; exchange keys are longer
PLAIN_WORDS = {  # for people who do not speak Python
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "dict_type": "must hold names with values",
    "model_type": "must hold keys of its own",
    "missing": "required",
}
HOLD_SECRETS = ("exchanges", "alerts", "tracking")  # a misspelt key in them may be a secret
SENSITIVE = re.compile(r"key|secret|token|pass|auth|credential", re.IGNORECASE)


class Key(NamedTuple):
    """One setting: `Key("api.port", "8000", "Port to listen on.", is_secret=False)`."""

    name: str
    default: str
    meaning: str
    is_secret: bool


def keys_of(model: type[RoomSettings], defaults: Mapping[str, Any], prefix: str = "") -> Iterator[Key]:
    """Every key of a section and of those below it; items of a list are written `exchanges[].name`, of a table NAME.

    A section that may be absent has its keys named like any other.

    Parameters
    ----------
    model : type of RoomSettings
    defaults : mapping
        Its values where nothing is set.
    prefix : str
        Of the names, with a dot at its end.
    """
    for name, field in model.model_fields.items():
        kind, here = field.annotation, f"{prefix}{name}"
        section = kind if _is_room(kind) else next(filter(_is_room, _alternatives(kind)), None)
        if section is not None:
            yield from keys_of(section, defaults.get(name) or {}, f"{here}.")
            continue
        default = defaults.get(name, field.default)
        text = "required" if default is PydanticUndefined else json.dumps(_short(default))
        yield Key(here, text, field.description or "", _mentions(kind, SecretText))
        one = f"{here}.NAME." if get_origin(kind) is Table else f"{here}[]."
        for item in filter(_is_room, get_args(kind)):
            yield from keys_of(item, {}, one)


def _short(value: Any) -> Any:
    """The same value with numbers that a reader can take in: 0.166667, not 0.16666666666666666."""
    if isinstance(value, Mapping):
        return {name: _short(part) for name, part in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if isinstance(kind, UnionType) else ()


def _is_room(kind: Any) -> TypeGuard[type[RoomSettings]]:
    return isinstance(kind, type) and issubclass(kind, RoomSettings)


def _mentions(kind: Any, wanted: type) -> bool:
    return kind is wanted or any(_mentions(part, wanted) for part in get_args(kind))


def table_of(keys: Sequence[Key]) -> str:
    """Keys as a table of Markdown."""
    rows = [f"| `{key.name}` | {key.default} | {key.meaning} |" for key in keys]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def explained(error: ErrorDetails, merged: Merged, keys: Sequence[Key]) -> str:
    """Turn one of pydantic's errors into ours: key, place, value, remedy."""
    path: KeyPath = error.get("ctx", {}).get("at", error["loc"])
    place = f"{dotted(path)} {merged.where(path)}"
    shown = _shown(path, merged.raw(path), keys)
    if error["type"] == "extra_forbidden":
        return f"{place}: not a setting{shown}. {_nearest_key(path, keys)}"
    if error["type"] == "secret":
        return f"{place}: {error['msg']}."
    message = PLAIN_WORDS.get(error["type"]) or error["msg"].replace("Input should be", "must be").rstrip(".")
    return f"{place}: {message}{shown}. {_remedy(path, error, keys)}".rstrip()


def _shown(path: KeyPath, value: Any, keys: Sequence[Key]) -> str:
    """Show a wrong value, unless it could be a secret that landed on the wrong key."""
    if value is None or isinstance(value, (dict, list)):
        return ""
    is_known = any(key.name == pattern(path) for key in keys)
    is_hidden = (
        any(SENSITIVE.search(str(part)) for part in path)
        or len(str(value)) > LONGEST_SHOWN
        or (path[0] in HOLD_SECRETS and not is_known)
    )
    return ", was a value that is not shown" if is_hidden else f", was {value!r}"


def _nearest_key(path: KeyPath, keys: Sequence[Key]) -> str:
    """Suggest a key of the same section, else the section where a key of this name is at home."""
    names = [key.name for key in keys]
    prefix = pattern(path[:-1]) + "." if len(path) > 1 else ""
    beside = {re.split(r"[.\[]", name.removeprefix(prefix))[0] for name in names if name.startswith(prefix)}
    near = did_you_mean(str(path[-1]), beside)
    elsewhere = [name for name in names if name.rsplit(".", 1)[-1] == path[-1]]
    return near if near.startswith("Did you mean") or not elsewhere else f"Did you mean {elsewhere[0]!r}?"


def _remedy(path: KeyPath, error: ErrorDetails, keys: Sequence[Key]) -> str:
    if error["type"] == "literal_error":
        near = did_you_mean(str(error["input"]), re.findall(r"'([^']+)'", error["ctx"]["expected"]))
        if near.startswith("Did you mean"):
            return near
    known = next((key for key in keys if key.name == pattern(path)), None)
    if known is None or known.default.startswith("{"):
        return ""  # a section or a table: the message has said it all
    return known.meaning if known.default == "required" else f"{known.meaning} The default is {known.default}."
