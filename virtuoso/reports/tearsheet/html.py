"""The page of a run as one HTML file that needs nothing else: screen, phone and print, light and dark.

Without scripts it is still the whole page: what they add is the market that can be moved and the list of all trades.
"""

from __future__ import annotations

from virtuoso.reports.contribution import DIV_NOTE
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.scripts import ATTRIBUTION, data_block, policy, source
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.payload import SCRIPTS, payload
from virtuoso.reports.templates import render


def html(sheet: TearSheet) -> str:
    """Return the page.

    Parameters
    ----------
    sheet : TearSheet
    """
    how = {
        "light": LIGHT.css(),
        "dark": DARK.css(),
        "div_note": DIV_NOTE,
        "policy": policy(SCRIPTS),
        "early": source(SCRIPTS[0]),
        "scripts": [source(name) for name in SCRIPTS[1:]],
        "data": data_block(payload(sheet.run)),
        "attribution": ATTRIBUTION,
    }
    return str(render("tearsheet.html", page=sheet, **how))
