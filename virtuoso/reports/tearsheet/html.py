"""The tear sheet as one HTML file that needs nothing else: screen, phone and print, light and dark; no script."""

from __future__ import annotations

from virtuoso.reports.contribution import DIV_NOTE
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.rows import MONTHS
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.templates import render


def html(sheet: TearSheet) -> str:
    """Return the page.

    Parameters
    ----------
    sheet : TearSheet
    """
    how = {"light": LIGHT.css(), "dark": DARK.css(), "months": MONTHS, "div_note": DIV_NOTE}
    return str(render("tearsheet.html", page=sheet, **how))
