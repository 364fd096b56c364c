"""The contribution table: made once, written for a terminal, for HTML and as plain text.

1. `contribution` turns one face of an explanation (or their total) into rows of finished cells.
2. `to_text`, `to_rich` and `to_html` put the cells where they belong and decide nothing.

A component that is not known shows a dash and the reason, never a 50. The gauge is a bar from the middle: bullish to
the right, bearish to the left, in three textures, so that it reads without colour too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtuoso.clock import iso
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.result.explanation import Explanation, Row
from virtuoso.prism.words import BEARISH_TO, BULLISH_FROM, lean, reliability_words
from virtuoso.reports.format import DASH, number, price
from virtuoso.reports.palette import LIGHT, effect_of_change
from virtuoso.reports.templates import render

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import RenderableType

WIDTH = 100
HEADERS = ("COMPONENT", "SCORE", "WEIGHT", "IMPACT", "DIV", "GAUGE")
TOTAL = "Confluence"

TEXTURES = {"bullish": "▓", "neutral": "▒", "bearish": "░"}
GAUGE_HALF = 12
"""Cells on each side of the middle; one is a little over four points."""

DIV_NOTE = (
    "DIV: points that divergence (price against an oscillator, fast timeframes against slow ones) adds to a score, at "
    "most 10 each way; they are in SCORE and IMPACT already."
)
FOOTNOTE = (
    f"{DIV_NOTE} GAUGE, from the middle of 50: ▓ bullish from {BULLISH_FROM:g}, ▒ neutral, ░ bearish to {BEARISH_TO:g}."
)

AGAINST_NOTE = "A negative WEIGHT counts as 100 - SCORE."
"""Said where one does."""

_COLUMNS = (26, 7, 8, 8, 7)
_STYLES = {
    "bullish": LIGHT.bullish,
    "bearish": LIGHT.bearish,
    "neutral": "",
    "quiet": "dim",
    "unknown": "dim",
}


@dataclass(frozen=True, slots=True)
class ContributionLine:
    """One line of the table, its cells written.

    Attributes
    ----------
    component, score, weight, impact, div : str
    points : float, 0..100
        The score that the gauge shows, NaN where it is not known.
    lean, div_effect : str
        bullish, bearish, neutral, quiet or unknown: how score and DIV are coloured.
    note : str
        The reason why it is not known; empty where it is.
    words, kind : str
        The sentence behind the score, and the kind of divergence.
    """

    component: str
    score: str
    weight: str
    impact: str
    div: str
    points: float
    lean: str
    div_effect: str
    note: str
    words: str
    kind: str

    @property
    def gauge(self) -> str:
        """The bar in textures, or the reason why there is none."""
        return gauge(self.points) if not self.note else self.note

    @property
    def cells(self) -> tuple[str, str, str, str, str, str]:
        """The six cells in order."""
        return (self.component, self.score, self.weight, self.impact, self.div, self.gauge)


def gauge(points: float, half: int = GAUGE_HALF) -> str:
    """Draw a score as a bar from the middle, `2 * half + 1` cells wide.

    Examples
    --------
    >>> gauge(75.0, half=4), gauge(25.0, half=4), gauge(50.0, half=4)
    ('    │▓▓  ', '  ░░│    ', '    │    ')
    """
    texture = TEXTURES.get(lean(points), " ")
    filled = min(int(abs(points - 50.0) / 50.0 * half + 0.5), half) if points == points else 0
    if abs(points - 50.0) > 0.0 and filled == 0:
        filled = 1
    bar = texture * filled
    left, right = (bar.rjust(half), " " * half) if points < 50.0 else (" " * half, bar.ljust(half))
    return f"{left}│{right}"


@dataclass(frozen=True, slots=True)
class Contribution:
    """A contribution table, ready to be written anywhere."""

    title: str
    moment: str
    lines: tuple[ContributionLine, ...]
    final: ContributionLine
    footnote: str = FOOTNOTE

    def to_text(self, *, footnote: bool = True) -> str:
        """Plain text, at most 100 columns."""
        import textwrap

        rule = "─" * WIDTH
        rows = [_placed(HEADERS), rule, *(_placed(line.cells) for line in self.lines), rule, _placed(self.final.cells)]
        below = ["", *textwrap.wrap(self.footnote, WIDTH)] if footnote else []
        return "\n".join([self.title, *textwrap.wrap(self.moment, WIDTH), "", *rows, *below])

    def to_rich(self, *, footnote: bool = True) -> RenderableType:
        """Something rich can print; its console drops the colours under NO_COLOR and in pipes."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), show_footer=False)
        for header, width in zip(HEADERS, (*_COLUMNS, 2 * GAUGE_HALF + 1), strict=True):
            table.add_column(
                header,
                justify="left" if header in ("COMPONENT", "GAUGE") else "right",
                min_width=width - 2 if header not in ("COMPONENT", "GAUGE") else width,
                no_wrap=True,
                overflow="ellipsis",
            )
        for line in self.lines:
            table.add_row(*self._rich_cells(line))
        table.add_section()
        table.add_row(*self._rich_cells(self.final), style="bold")
        parts: list[RenderableType] = [Text(self.title, style="bold"), Text(self.moment, style="dim"), Text(), table]
        if footnote:
            parts += [Text(), Text(self.footnote, style="dim")]
        return Group(*parts)

    def _rich_cells(self, line: ContributionLine) -> list[RenderableType]:
        from rich.text import Text

        styles = ("", _STYLES[line.lean], "", "", _STYLES[line.div_effect], _STYLES[line.lean])
        return [Text(cell, style=style) for cell, style in zip(line.cells, styles, strict=True)]

    def to_html(self, *, footnote: bool = True) -> Markup:
        """Give a `<figure class="contribution">`; the page's style sheet dresses it."""
        return render("contribution.html", table=self, headers=HEADERS, footnote=footnote)


def _placed(cells: tuple[str, ...]) -> str:
    name, *numbers, last = cells
    first = f"{name[: _COLUMNS[0]]:<{_COLUMNS[0]}}"
    middle = "".join(f"{cell:>{width}}" for cell, width in zip(numbers, _COLUMNS[1:], strict=True))
    return f"{first}{middle}   {last}"[:WIDTH].rstrip()


def contribution(explanation: Explanation, face: str | None = None) -> Contribution:
    """Make the table of one face, or of the confluence.

    Parameters
    ----------
    explanation : Explanation
    face : str, optional
        Such as 'technical'; the confluence with one row a face if absent.

    Raises
    ------
    ConfigError
        If there is no such face.
    """
    if face is not None and face not in explanation.faces:
        raise ConfigError(f"There is no face {face!r} to explain. {did_you_mean(face, explanation.faces)}")
    rows = explanation.total if face is None else explanation.faces[face]
    total = {row.name: row for row in explanation.total}
    title, score = (TOTAL, explanation.confluence) if face is None else (total[face].title, total[face].score)
    sure = f"coverage {explanation.coverage:.0%}, reliability {reliability_words(explanation.reliability)}"
    sure = f"{sure}; {explanation.standing}" if explanation.standing else sure
    where = f"{explanation.venue} {explanation.timeframe}, close of {iso(explanation.time)}"
    return Contribution(
        title=f"{explanation.symbol} {title} Score Contribution Breakdown",
        moment=f"{where} at {price(explanation.price)}" + (f"; {sure}" if face is None else ""),
        lines=tuple(_line(row) for row in rows),
        final=_final(rows, score),
        footnote=FOOTNOTE + (f" {AGAINST_NOTE}" if any(row.weight < 0.0 for row in rows) else ""),
    )


def contributions(explanation: Explanation) -> Iterator[Contribution]:
    """Every table of a moment: the confluence first, then each face."""
    yield contribution(explanation)
    for face in explanation.faces:
        yield contribution(explanation, face)


def _line(row: Row) -> ContributionLine:
    known = row.score == row.score
    bonus = row.bonus if known else float("nan")
    effect = -bonus if row.weight < 0.0 else bonus
    return ContributionLine(
        component=row.title,
        score=number(row.score, 1),
        weight=number(row.weight, 3) if known else DASH,
        impact=number(row.impact, 2),
        div=number(bonus, 1, signed=True),
        points=row.score,
        lean=lean(row.score),
        div_effect=effect_of_change(effect) if known else "unknown",
        note="" if known else row.reason or "not known",
        words=row.words if known else "",
        kind="" if row.divergence == "none" else row.divergence.replace("_", " "),
    )


def _final(rows: list[Row], score: float) -> ContributionLine:
    """The last line: the score itself, with the sums of what is known above it."""
    known = [row for row in rows if row.score == row.score]
    bonus = sum(-row.bonus if row.weight < 0.0 else row.bonus for row in known) if known else float("nan")
    return ContributionLine(
        component="FINAL SCORE",
        score=number(score, 1),
        weight=number(sum(abs(row.weight) for row in known), 3) if known else DASH,
        impact=number(sum(row.impact for row in known), 2) if known else DASH,
        div=number(bonus, 1, signed=True),
        points=score,
        lean=lean(score),
        div_effect=effect_of_change(bonus) if known else "unknown",
        note="" if score == score else "nothing is known",
        words="",
        kind="",
    )
