"""Rows in JSON: a list of lists, as ccxt, freqtrade and exchanges' answers have them, or of objects.

A list may stand inside of an answer: `{"code": "0", "data": [[...]]}`, `{"result": {"list": [[...]]}}`. An object of
equally long lists is a table by columns. Digits are taken as they stand, since a float holds no nanoseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from virtuoso.errors import UnreadableFileError
from virtuoso.venues.files.file_io import WHOLE_BYTES, Bytes

_PIECE = 4 << 20
_LIST = re.compile(rb"[\xef\xbb\xbf \t\r\n]*\[")
_FLAT = re.compile(rb"[\xef\xbb\xbf \t\r\n]*\[\s*\[")
"""How a list begins, and one of flat rows, which is read in pieces whatever its size."""
_BETWEEN = re.compile(rb"[\]}](?=\s*,\s*[\[{])")
_DEPTH = 3
_LEAST_COLUMNS = 5
_ERRORS = ("msg", "message", "retMsg", "error", "errmsg", "errors")


def json_rows(path: object, stream: Bytes) -> Iterator[list[Any]]:
    """Yield the rows of a file of JSON, some at a time; of a large list of flat rows never all at once.

    Raises
    ------
    UnreadableFileError
        It holds no list of rows, but an error, or nothing.
    ValueError
        It is no JSON.
    """
    data = bytearray(_piece(stream))
    flat = _FLAT.match(data) is not None
    while not flat and len(data) <= WHOLE_BYTES and (piece := _piece(stream)):
        data += piece
    if not flat and len(data) <= WHOLE_BYTES:
        yield _rows_in(path, _values(bytes(data)))
        return
    if not _LIST.match(data):
        raise UnreadableFileError(
            f"{path} holds more than {WHOLE_BYTES >> 20} MiB of JSON in one object. Split it, or write its rows as one "
            "list."
        )
    rest = b""
    for piece in _pieces(data[data.index(b"[") + 1 :], stream):
        rest += piece
        ends = [found.end() for found in _BETWEEN.finditer(rest)]
        if ends:
            yield _loads(b"[" + rest[: ends[-1]] + b"]")
            rest = rest[ends[-1] :].lstrip().removeprefix(b",")
    yield _loads(b"[" + rest)


def _pieces(data: bytearray, stream: Bytes) -> Iterator[bytes]:
    """Yield what was read of a stream, and what is left of it."""
    for start in range(0, len(data), _PIECE):
        yield bytes(data[start : start + _PIECE])
    while piece := _piece(stream):
        yield piece


def _piece(stream: Bytes) -> bytes:
    """Return so many bytes of a stream, fewer only at its end."""
    found = bytearray()
    while len(found) < _PIECE and (part := stream.read(_PIECE - len(found))):
        found += part
    return bytes(found)


def _loads(data: bytes) -> Any:
    return json.loads(data.decode("utf-8-sig", "replace"), parse_float=str, parse_int=str, parse_constant=str)


def _values(data: bytes) -> Any:
    """Return a value of JSON, or those of lines that hold one each."""
    try:
        return _loads(data)
    except ValueError:
        lines = [line for line in data.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith((b"{", b"[")) for line in lines):
            raise
        return [_loads(line) for line in lines]


def _rows_in(path: object, value: Any, depth: int = 0) -> list[Any]:
    """Rows of an answer: the first list of lists or objects in it."""
    found = _search(value, depth)
    if found:
        return found
    said = next((str(value[name]) for name in _ERRORS if isinstance(value, dict) and value.get(name)), "")
    if said:
        raise UnreadableFileError(f"{path} holds an error of its source, no data: {said[:200]!r}. Download it again.")
    raise UnreadableFileError(f"{path} holds no row.")


def _search(value: Any, depth: int = 0) -> list[Any]:
    if isinstance(value, list):
        return value if value and isinstance(value[0], list | dict) else []
    if not isinstance(value, dict) or depth > _DEPTH:
        return []
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):  # as pandas splits a table
        return [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
    tables = [column for column in value.values() if isinstance(column, dict)]
    if len(tables) >= _LEAST_COLUMNS and len(tables) == len(value) and len({tuple(one) for one in tables}) == 1:
        return [{"index": key, **{name: column[key] for name, column in value.items()}} for key in tables[0]]
    lists = {name: column for name, column in value.items() if isinstance(column, list)}
    if len(lists) >= _LEAST_COLUMNS and len({len(column) for column in lists.values()}) == 1 and not _is_nested(lists):
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return next(filter(None, (_search(inner, depth + 1) for inner in value.values())), [])


def _is_nested(lists: Mapping[str, Sequence[Any]]) -> bool:
    return any(isinstance(column[0], list | dict) for column in lists.values() if column)


def as_text(value: Any) -> str | None:
    """Return a value of JSON as a table writes it."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
