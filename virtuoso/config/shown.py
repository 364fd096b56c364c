"""Settings on one screen: section by section, what differs from its default marked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

WIDTH, INDENT = 100, 11
MARK = "*"
LONGEST = 48
TIED = "\N{NO-BREAK SPACE}"
"""Between a name and its value, so that no line breaks there."""
QUIET = ("components.", "parameters.", "certificate.", "standard")
"""Tables of a face and what is said of the weights, shown only where they differ: they fill more than a screen."""


class Shown(NamedTuple):
    """A setting as it is shown: its name in its section, its value, and its default where that is another."""

    name: str
    value: str
    default: str | None

    @property
    def words(self) -> str:
        """Name and value, marked and with the default where they differ."""
        words = f"{self.name} {self.value}".strip()
        return words if self.default is None else f"{MARK}{words}{MARK} (default {self.default})"


def sections_of(masked: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, list[Shown]]:
    """Return the settings of each section that has some.

    Parameters
    ----------
    masked, defaults : mapping
        Plain values in force and by default; secrets are the names of their variables.
    """
    found = {}
    for section, values in masked.items():
        own, usual = (dict(_leaves(of if isinstance(of, Mapping) else {"": of})) for of in (values, defaults[section]))
        rows = [_row(name, own.get(name, "none"), usual.get(name, "none")) for name in dict.fromkeys([*own, *usual])]
        found[section] = [row for row in rows if row.default is not None or not any(part in row.name for part in QUIET)]
    return {section: rows for section, rows in found.items() if rows}


def _row(name: str, value: str, usual: str) -> Shown:
    return Shown(name, value, None if value == usual else usual)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings one by one, by dotted name; the weight of a face is called by the face."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}".removesuffix(".weight"), _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):  # an entry of a list, such as an exchange
        return " ".join(_text(inner) for inner in value.values())
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]" if value else "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def heading_of(fingerprint: str, sections: Mapping[str, list[Shown]]) -> str:
    """Say which settings these are, and how many differ from their default."""
    differing = sum(row.default is not None for rows in sections.values() for row in rows)
    verb = "differs" if differing == 1 else "differ"
    told = f"{differing} {verb} from the default, marked {MARK}" if differing else "all as by default"
    return f"Settings {fingerprint[:12]}: {told}"


def text_of(fingerprint: str, sections: Mapping[str, list[Shown]]) -> str:
    """Write settings as plain text, at most 100 columns wide."""
    lines = [heading_of(fingerprint, sections)]
    for section, rows in sections.items():
        words = ", ".join(row.words.replace(" ", TIED) for row in rows)
        lead = f"{section:<{INDENT}}"
        lines += textwrap.wrap(words, WIDTH, initial_indent=lead, subsequent_indent=" " * INDENT)
    return "\n".join(lines).replace(TIED, " ")


def html_of(fingerprint: str, sections: Mapping[str, list[Shown]]) -> str:
    """Write settings as a table for a notebook, what differs in bold."""
    rows = []
    for section, shown in sections.items():
        words = ", ".join(
            f"<b>{escape(row.words)}</b>" if row.default is not None else escape(row.words) for row in shown
        )
        rows.append(
            f"<tr><th style='text-align:left'>{escape(section)}</th><td style='text-align:left'>{words}</td></tr>"
        )
    return f"<p>{escape(heading_of(fingerprint, sections))}</p><table>{''.join(rows)}</table>"
