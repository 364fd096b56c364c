"""Why so many rows of a file are bad, and what mends it: one known cause, its own remedy.

To let bad rows pass is no remedy where they are many: then the file is read wrongly, or is another than it seems.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from virtuoso.venues.files.timestamps import EARLIEST_S

FEW_BAD = 0.05
"""Largest share of bad rows that a caller may be told to let pass."""
_COMMA = r"-?\d{1,3}(\.\d{3})*,\d{1,2}|-?\d+(\.\d{3})*,(\d{1,2}|\d{4,})"
_FORMS = (
    (_COMMA, "numbers have decimal commas, such as {0!r}. Write them with points, 1234.5"),
    (r"-?\d{1,3}(,\d{3})+(\.\d+)?", "numbers have commas between thousands, such as {0!r}. Write them without, 1234.5"),
    (r"-?\d{1,3}( \d{3})+(\.\d+)?", "numbers have spaces between thousands, such as {0!r}. Write them without, 1234.5"),
    (
        r"[$€£¥]\s?-?[\d.,]+|-?[\d.,]+\s?[$€£¥]",
        "numbers carry the sign of a currency, such as {0!r}. Write them without",
    ),
    (
        r"-?[\d.,]+\s?[KMBkmb]",
        "numbers are abbreviated, such as {0!r}, which rounds them. Get the file with all digits",
    ),
    (r"-?[\d.,]+\s?%", "numbers are in percent, such as {0!r}. Write them as fractions"),
)


class Example(NamedTuple):
    """A row that was rejected: its text as the source has it or as JSON, and its time, ms, as far as it was read."""

    text: str
    time: int | None


def remedy_for(counts: Mapping[str, int], examples: Mapping[str, Example], bad: int, total: int) -> str:
    """Return what mends a file with so many bad rows.

    Parameters
    ----------
    counts : mapping of str to int
        Bad rows by the rule that they break.
    examples : mapping of str to Example
        The first row that breaks each.
    bad, total : int
        Rows.
    """
    rule = max(counts, key=lambda one: counts[one])
    said = _cause(rule, examples[rule]) if 2 * counts[rule] >= bad else ""
    if bad < total and bad <= FEW_BAD * total:
        share = f"To keep the good ones and quarantine the bad ones, raise --max-bad-share above {bad / total:.3g}."
        return f"{said} {share}".strip()
    if said:
        return said
    whole = "Not one is good" if bad == total else "They are too many to be let pass"
    return f"{whole}: is it the right file, and does it need --kind, --time-unit or --time-zone?"


def _cause(rule: str, example: Example) -> str:
    """Return the cause that is known for a rule, with its remedy; empty if none is."""
    if rule == "not_a_number":
        return _of_numbers(example.text)
    if rule == "time_out_of_range" and example.time is not None:
        if example.time < EARLIEST_S * 1_000:
            return "Times before 2009 are in another unit than was read: pass the right --time-unit."
        return "Times in the future are of another zone than was said: pass the right --time-zone."
    return _CAUSES.get(rule, "")


_CAUSES = {
    "time_unreadable": "Times are not in the form of the others: write them alike, or say it with --time-format.",
    "off_grid": "Their source stamped them off the grid, or they are of another --timeframe, or of a --time-zone with "
    "half hours; get the stretch from another source, or fold it from trades.",
    "high_below_low": "The columns seem to stand in another order than was read: name them, such as --columns "
    'open="…",high="…",low="…",close="…".',
    "outside_range": "The columns seem to stand in another order than was read: name them, such as --columns "
    'open="…",high="…",low="…",close="…".',
    "taker_above_volume": "The volumes seem to be in different units: name the right columns, such as --columns "
    'volume="…",taker_buy_volume="…".',
    "broken_line": "Lines have too few or too many fields: a field holds the mark that stands between fields, or the "
    "file was cut. Quote such fields, or get the file again.",
}


def _of_numbers(text: str) -> str:
    """Return in which form the numbers of a row are that no one reads."""
    try:
        row = json.loads(text)
    except ValueError:
        return ""
    values = [str(value).strip() for value in row.values()] if isinstance(row, dict) else []
    for form, said in _FORMS:
        found = next((value for value in values if re.fullmatch(form, value)), None)
        if found is not None:
            return f"Its {said.format(found)}."
    return ""
