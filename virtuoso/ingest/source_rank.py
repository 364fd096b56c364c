"""How far a source is believed where two of them disagree about a row.

An exchange corrects its archives: a month is made later than its days, and both later than what was asked or recorded
while it happened. What nobody knows the origin of comes last. `--prefer` makes a file right for good, whatever is
imported later.

Of two sources of one rank the values decide (lake/writing/versions.py), so that the order of imports never does.
"""

from __future__ import annotations

import re
from pathlib import Path

from virtuoso.lake.writing.versions import PREFERRED

UNKNOWN, RECORDED, ANSWERED, DAILY, MONTHLY = range(5)
"""A table of the user's; a recorded stream; answers of an exchange's REST interface; archives of a day, of a month."""

_DATED = re.compile(r"[A-Z0-9_]{3,}(?:-[A-Za-z0-9-]+?-|-?)\d{4}-\d{2}(?P<day>-\d{2})?(?:\.[a-z0-9]+)+")


def rank_of(path: Path, *, received: bool = False, prefer: bool = False) -> int:
    """Return the rank of a file.

    Parameters
    ----------
    path : Path
        Archives of exchanges say in their names whether they are of a month or of a day: `BTCUSDT-1m-2020-12.zip`.
    received : bool
        Whether it tells when its rows were received, so that it is a recording.
    prefer : bool
        Whether its caller calls it right.
    """
    if prefer:
        return PREFERRED
    if received:
        return RECORDED
    archive = _DATED.fullmatch(path.name)
    if archive is not None:
        return DAILY if archive["day"] else MONTHLY
    return ANSWERED if ".json" in path.suffixes else UNKNOWN
