"""The page of a run as one HTML file that needs nothing else: screen, phone and print, light and dark.

Without scripts it is still the whole page: what they add is the market that can be moved and the list of all trades.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from virtuoso.reports.contribution import DIV_NOTE
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.scripts import ATTRIBUTION, data_block, policy, source
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.payload import SCRIPTS, instruments, market_payload, only, outline, payload
from virtuoso.reports.templates import render
from virtuoso.runs.schema import TEARSHEET_HTML, TEARSHEET_PART

HEAVIEST = 3_000_000
"""Bytes of a page, at most, before each instrument gets one of its own."""


def html(sheet: TearSheet) -> str:
    """Return the page.

    Parameters
    ----------
    sheet : TearSheet
    """
    data = outline(sheet.run) if sheet.parts else payload(sheet.run)
    return str(render("tearsheet.html", page=sheet, div_note=DIV_NOTE, **_parts(data)))


def pages(sheet: TearSheet) -> dict[str, str]:
    """Return the page by its name; where it is too heavy, its outline and a page an instrument.

    Parameters
    ----------
    sheet : TearSheet
    """
    whole = html(sheet)
    names = instruments(sheet.run)
    if len(whole.encode()) <= HEAVIEST or len(names) < 2:
        return {TEARSHEET_HTML: whole}
    files = {name: TEARSHEET_PART.format(k) for k, name in enumerate(names, 1)}
    parts = tuple((name[0] or "Price", file) for name, file in files.items())
    split = {TEARSHEET_HTML: html(replace(sheet, parts=parts))}
    for name, file in files.items():
        title = f"{name[0]} {name[1]}: trades of {sheet.title}".strip()
        how = {"title": title, "simulated": sheet.simulated, "near": "Around trades", "trades": True}
        data = market_payload(only(sheet.run, name))
        split[file] = str(render("chart.html", list=TEARSHEET_HTML, **how, **_parts(data)))
    return split


def _parts(data: dict[str, Any]) -> dict[str, Any]:
    """What every page with charts is filled with."""
    return {
        "light": LIGHT.css(),
        "dark": DARK.css(),
        "policy": policy(SCRIPTS),
        "early": source(SCRIPTS[0]),
        "scripts": [source(name) for name in SCRIPTS[1:]],
        "data": data_block(data),
        "attribution": ATTRIBUTION,
    }
