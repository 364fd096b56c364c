"""The report of a study on A4: the same words, cells and charts as the page."""

from __future__ import annotations

from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Spacer, Table

from virtuoso.reports.charts.base import FULL, WIDE
from virtuoso.reports.study.figures import drawn, growth_chart
from virtuoso.reports.study.page import Cells, StudyPage
from virtuoso.reports.tearsheet.pdf import (
    ASIDE,
    BOLD_TEXT,
    BREADTH,
    COLUMN,
    FINE,
    GAP,
    HEAD,
    NOTE,
    PANEL,
    RIGHT,
    TEXT,
    TITLE,
    VERDICT,
    Painted,
    document,
    numbered_pages,
    padding,
    paragraph,
    set_findings,
    set_pairs,
    set_table,
    side_by_side,
)

SIDES = ("LEFT", "RIGHT", "TOP", "BOTTOM")
LETTER = 4.2
"""Width of a letter of a table, points."""


def footer(page: StudyPage) -> str:
    """Return what stands at the foot of every page."""
    made = "Made by Virtuoso from the result of a study. A statement about the past under its assumptions; not advice."
    return f"SIMULATED DATA: nobody traded at these prices. {made}" if page.simulated else made


def pdf(page: StudyPage) -> bytes:
    """Write the report of a study on A4.

    Parameters
    ----------
    page : StudyPage
    """
    pages = numbered_pages(footer(page), simulated=page.simulated)
    return document(page.title, page.period, lambda: _story(page), pages)


def _story(page: StudyPage) -> list[Flowable]:
    parts = [*_first(page), *_gates(page), *_under("Walk-forward", page.rounds, BREADTH)]
    for one in drawn(page, FULL):
        heading = [paragraph(one.heading, HEAD), paragraph(one.words, NOTE)]
        parts.append(KeepTogether([*heading, Painted(one.chart, BREADTH)]))
    tables = [("What matters", page.importance_rows), ("Trials", page.states), *page.parts]
    for k in range(0, len(tables), 2):
        pair = [_under(heading, cells, COLUMN) for heading, cells in tables[k : k + 2]]
        right = pair[1] if len(pair) > 1 else [Spacer(0, 0)]
        parts += [CondPageBreak(140), side_by_side(pair[0], right, (COLUMN, COLUMN))]
    if page.baselines.rows:
        parts += _under("Baselines", page.baselines, BREADTH)
    return [*parts, paragraph("Provenance", HEAD), set_pairs(page.provenance.items())]


def _first(page: StudyPage) -> list[Flowable]:
    """Verdict and reasons, growth out of sample, and the honesty box beside it."""
    inner, wide = ASIDE - 16.0, BREADTH - ASIDE - GAP
    decision = Table(
        [[paragraph("Before you believe it", BOLD_TEXT), paragraph(page.decision, RIGHT)]],
        colWidths=[inner * 0.6, inner * 0.4],
    )
    decision.setStyle([padding(side) for side in SIDES])
    box = Table([[[decision, *set_findings(page.honesty, inner)]]], colWidths=[ASIDE])
    box.setStyle([("BACKGROUND", (0, 0), (-1, -1), PANEL), *(padding(side, 8.0) for side in SIDES)])
    reasons = [paragraph(f"\N{EN DASH} {reason}", TEXT) for reason in page.reasons]
    chart = growth_chart(page, WIDE)
    shown = [] if chart is None else [Spacer(0, 8), paragraph(page.sharpe_words, NOTE), Painted(chart, wide)]
    left = [*reasons, *shown, Spacer(0, 8), _cells(page.outcomes, wide)]
    return [
        paragraph(page.title, TITLE),
        paragraph(page.period, NOTE),
        paragraph(page.verdict, VERDICT),
        Spacer(0, 8),
        side_by_side(left, [box], (wide, ASIDE)),
    ]


def _gates(page: StudyPage) -> list[Flowable]:
    rows = [[paragraph(gate.name), paragraph(gate.answer), paragraph(gate.reason, FINE)] for gate in page.gates]
    widths = [110.0, 70.0, BREADTH - 180.0]
    look = [("ALIGN", (0, 0), (-1, -1), "LEFT")]
    return [
        CondPageBreak(160),
        paragraph("What was asked", HEAD),
        paragraph(page.asked, NOTE),
        set_table(("question", "answer", "reason"), rows, widths, look),
    ]


def _under(heading: str, cells: Cells, width: float) -> list[Flowable]:
    return [paragraph(heading, HEAD), _cells(cells, width)]


def _cells(cells: Cells, width: float) -> Flowable:
    """Set a table; columns are as wide as what stands in them, the last one wraps where it holds a sentence."""
    if not cells.rows:
        return paragraph("None.", NOTE)
    needed = [max(len(line[k]) for line in (cells.headers, *cells.rows)) * LETTER + 10.0
              for k in range(1, len(cells.headers))]  # fmt: skip
    if sum(needed) > 0.7 * width:
        needed = [one * 0.7 * width / sum(needed) for one in needed]
    rows = [[paragraph(row[0]), *(paragraph(text, FINE) if len(text) > 28 else text for text in row[1:])]
            for row in cells.rows]  # fmt: skip
    return set_table(cells.headers, rows, [width - sum(needed), *needed])
