"""Scripts of the pages, as they are written into one: ours, and the vendored charts (vendor/NOTICE).

1. A page holds its scripts and its data, and fetches nothing: `policy` allows the scripts by their hashes and no
   request at all.
2. What a run says enters as JSON in which no character can end a script (`data_block`), and packed numbers (`packed`);
   the scripts put words on the page by `textContent` alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from markupsafe import Markup

LIBRARY = "vendor/lightweight-charts.standalone.production.js"
UNKNOWN = -(2**31)
"""Whole number that stands for NaN in packed numbers."""
ATTRIBUTION = "TradingView Lightweight Charts™ Copyright (c) 2026 TradingView, Inc."
"""What the licence of the charts asks a page to say, with a link to https://www.tradingview.com/."""
DIGITS = 9
"""Decimals that prices are packed with, at most."""


@cache
def source(name: str) -> Markup:
    """Return a script as it is written into a page."""
    from markupsafe import Markup

    text = files(__name__).joinpath(*name.split("/")).read_text(encoding="utf-8")
    if "</script" in text.lower():
        raise ValueError(f"{name} would end the element that holds it")
    return Markup(text)


def policy(names: Sequence[str]) -> str:
    """Return the Content-Security-Policy of a page with these scripts: they may run, and nothing is fetched.

    Styles stand in the elements of drawings and are set by the charts, so they are allowed inline.
    """
    hashes = [base64.b64encode(hashlib.sha256(source(name).encode()).digest()).decode() for name in names]
    scripts = " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def data_block(content: Mapping[str, Any]) -> Markup:
    """Return JSON that no element can be ended by: `<`, `>`, `&` and everything beyond ASCII are escaped."""
    from markupsafe import Markup

    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def packed(values: NDArray[Any]) -> str:
    """Pack whole numbers for a page: steps from one to the next, their bytes sorted by weight, deflated, as base64.

    Parameters
    ----------
    values : array of integers within 32 bits, shape (n,)
    """
    whole = values.astype(np.int64).astype(np.int32)
    steps = np.diff(whole, prepend=np.int32(0)).astype("<i4")  # wraps, as the script's sums do
    planes = steps.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 6)).decode()


def scaled(values: NDArray[np.float64], digits: int) -> NDArray[np.int64]:
    """Round numbers to so many decimals, as whole numbers of the last one; NaN is UNKNOWN."""
    known = np.isfinite(values)
    whole = np.full(len(values), UNKNOWN, dtype=np.int64)
    limit = float(2**31 - 1)
    whole[known] = np.clip(np.round(values[known] * 10.0**digits), -limit, limit).astype(np.int64)
    return whole


def decimals(*prices: NDArray[np.float64]) -> int:
    """Return how many decimals prices need to be told apart, as far as 32 bits hold them."""
    known = np.concatenate([of[np.isfinite(of)] for of in prices]) if prices else np.empty(0)
    if not len(known):
        return 2
    most = float(np.abs(known).max())
    for digits in range(DIGITS + 1):
        step = 10.0**digits
        if most * step * 10.0 > 2**31 - 1 or (np.abs(np.round(known * step) / step - known) <= 1e-9 * most).all():
            return digits
    return DIGITS
