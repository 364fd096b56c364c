"""JSON that any reader takes: one document, NaN and infinity as null, times as they are, nothing a terminal obeys."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON may hold as it is, inside strings alone, and a terminal obeys: escaped, it reads the same."""


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold."""
    if isinstance(value, str | int | bool | None):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(inner) for inner in value)
    if isinstance(value, datetime | date):
        return value.isoformat() if value == value else None  # pandas says NaT for a missing time
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist())
    return str(value)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Return one document, with a newline at its end; on one line where nothing is indented."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
