"""The tear sheet on A4: the same words, cells and charts as the page, with page numbers and embedded fonts.

Sections keep their heading with what follows; tables repeat theirs on the next page. The same run folder gives the same
bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from virtuoso.reports.charts.base import FULL, NARROW, WIDE
from virtuoso.reports.charts.sheet import Chart
from virtuoso.reports.contribution import DIV_NOTE, HEADERS
from virtuoso.reports.format import DASH
from virtuoso.reports.metrics import Finding
from virtuoso.reports.palette import LIGHT, SIMULATED_ALPHA
from virtuoso.reports.rows import MONTHS
from virtuoso.reports.tearsheet.model import Figures, Group, TearSheet
from virtuoso.reports.tearsheet.mpl_canvas import BOLD, MONO, PLAIN, fonts, paint

MARGIN = 36.0
BREADTH = A4[0] - 2.0 * MARGIN
GAP = 16.0
ASIDE = 172.0
"""Width of the honesty box, points."""
COLUMN = (BREADTH - GAP) / 2.0
SIZE = 7.5
PLAIN_COLUMNS = 4
"""Columns of a breakdown that need no R: name, trades, win rate, P&L."""

INK, QUIET, LINE, PANEL = (HexColor(c) for c in (LIGHT.ink, LIGHT.quiet, LIGHT.line, LIGHT.panel))
LEAN = {"bullish": HexColor(LIGHT.bullish), "bearish": HexColor(LIGHT.bearish_ink)}


def _style(name: str, **changes: Any) -> ParagraphStyle:
    plain: dict[str, Any] = {"fontName": PLAIN, "fontSize": SIZE, "leading": SIZE * 1.4, "textColor": INK}
    return ParagraphStyle(name, **{**plain, **changes})


TEXT = _style("text")
NOTE = _style("note", textColor=QUIET, spaceAfter=4)
TITLE = _style("title", fontName=BOLD, fontSize=14, leading=18)
VERDICT = _style("verdict", fontSize=10, leading=14, spaceBefore=4)
HEAD = _style("head", fontName=BOLD, fontSize=10, leading=13, spaceBefore=10, spaceAfter=3, keepWithNext=1)
SMALL_HEAD = _style("small head", fontName=BOLD, fontSize=8, leading=11, spaceBefore=5, spaceAfter=1, keepWithNext=1)
POINT = _style("point", leftIndent=10, bulletIndent=0, spaceAfter=1.5)
RIGHT = _style("right", fontName=BOLD, alignment=TA_RIGHT)
BOLD_TEXT = _style("bold", fontName=BOLD)
FINE = _style("fine", fontSize=6.5, leading=9, textColor=QUIET)
HASH = _style("hash", fontName=MONO, fontSize=6, leading=8, textColor=QUIET, splitLongWords=1)


def pdf(sheet: TearSheet) -> bytes:
    """Write a tear sheet on A4.

    Parameters
    ----------
    sheet : TearSheet
    """
    pages = numbered_pages(footer(sheet), simulated=sheet.simulated)
    return document(f"{sheet.title} tear sheet", sheet.period, lambda: _story(sheet), pages)


def document(title: str, subject: str, story: Callable[[], list[Flowable]], pages: type[Canvas]) -> bytes:
    """Write a story on A4; the same one gives the same bytes.

    Parameters
    ----------
    title, subject : str
        Of the file.
    story : callable
        Makes the parts, once the fonts are known.
    pages : type of Canvas
        See `numbered_pages`.
    """
    fonts()
    buffer = io.BytesIO()
    made = BaseDocTemplate(
        buffer, pagesize=A4, title=title, author="Virtuoso", subject=subject, invariant=1,
        leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN + 12,
    )  # fmt: skip
    frame = Frame(MARGIN, MARGIN + 12, BREADTH, A4[1] - 2 * MARGIN - 12, 0, 0, 0, 0)
    made.addPageTemplates(PageTemplate(frames=[frame]))
    made.build(story(), canvasmaker=pages)
    return buffer.getvalue()


def _story(sheet: TearSheet) -> list[Flowable]:
    """Everything in its order."""
    return [
        *_first(sheet),
        *_figures(sheet),
        *_trades(sheet),
        *_spread(sheet),
        *_months(sheet),
        *_rolling(sheet),
        *_breakdowns(sheet),
        *_fans(sheet),
        *_buckets(sheet),
        *_scores(sheet),
        *_reliability(sheet),
        *_limits(sheet),
        *_made(sheet),
    ]


# --- parts ------------------------------------------------------------------------------------------------------


class Painted(Flowable):  # type: ignore[misc]  # reportlab carries no types
    """A chart among paragraphs."""

    def __init__(self, chart: Chart, width: float) -> None:
        super().__init__()
        self.chart, self.width = chart, width
        self.height = width * chart.height / chart.width

    def draw(self) -> None:
        """Paint it where the page has room for it."""
        paint(self.chart, self.canv, self.width)


class Strip(Flowable):  # type: ignore[misc]
    """Mean R of a group and its interval, around nothing."""

    def __init__(self, group: Group, reach: float, width: float) -> None:
        super().__init__()
        self.group, self.reach, self.width, self.height = group, reach, width, SIZE

    def draw(self) -> None:
        """Draw the zero, the interval and the mean; hollow where there is no interval."""
        canvas, middle, half = self.canv, self.height / 2.0 - 1.0, self.width / 2.0
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.5)
        canvas.line(0.0, middle, self.width, middle)
        canvas.setStrokeColor(QUIET)
        canvas.line(half, middle - 3.0, half, middle + 3.0)
        canvas.setStrokeColor(INK)
        group, sure = self.group, self.group.low == self.group.low
        if sure:
            canvas.setLineWidth(1.2)
            canvas.line(half + half * group.low / self.reach, middle, half + half * group.high / self.reach, middle)
        if group.mean == group.mean:
            canvas.setLineWidth(0.6)
            canvas.setFillColor(INK if sure else HexColor(LIGHT.paper))
            canvas.circle(half + half * group.mean / self.reach, middle, 1.8, stroke=1, fill=1)


def paragraph(text: str, style: ParagraphStyle = TEXT) -> Paragraph:
    """Return text as it is: nothing in it is markup."""
    return Paragraph(escape(text), style)


def set_table(
    headers: Sequence[str], rows: Sequence[Sequence[Any]], widths: Sequence[float | None], more: Sequence[Any] = ()
) -> Table:
    """Set a table: names to the left, numbers to the right, lines between rows only."""
    made = Table([list(headers), *(list(row) for row in rows)], colWidths=list(widths), repeatRows=1, hAlign="LEFT")
    made.setStyle(
        [
            ("FONT", (0, 0), (-1, -1), PLAIN, SIZE),
            ("TEXTCOLOR", (0, 0), (-1, -1), INK),
            ("TEXTCOLOR", (0, 0), (-1, 0), QUIET),
            ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.6, LINE),
            ("LINEBELOW", (0, 1), (-1, -2), 0.25, LINE),
            ("TOPPADDING", (0, 0), (-1, -1), 1.6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.2),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-2, -1), 6),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            *more,
        ]
    )
    return made


def _figures_table(found: Figures, width: float) -> Table:
    """Set figures; columns are as wide as what stands in them, names wrap."""
    lines = [found.headers, *found.rows]
    needed = [max(len(str(line[k])) for line in lines) * SIZE * 0.6 + 8.0 for k in range(1, len(found.headers))]
    lead = max(width - sum(needed), width * 0.26)
    spread = (width - lead) / max(sum(needed), 1.0)
    rows = [[paragraph(str(row[0])), *row[1:]] for row in found.rows]
    return set_table(found.headers, rows, [lead, *(each * spread for each in needed)])


def side_by_side(left: Sequence[Flowable], right: Sequence[Flowable], widths: tuple[float, float]) -> Table:
    """Put two columns beside each other."""
    made = Table([[list(left), "", list(right)]], colWidths=[widths[0], GAP, widths[1]], hAlign="LEFT")
    made.setStyle(
        [("VALIGN", (0, 0), (-1, -1), "TOP"), *(padding(side) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM"))]
    )
    return made


def padding(side: str, points: float = 0.0) -> tuple[Any, ...]:
    """Return the padding of all cells on one side."""
    return (f"{side}PADDING", (0, 0), (-1, -1), points)


def set_findings(found: Sequence[Finding], width: float) -> list[Flowable]:
    """Title and value on a line, the words below."""
    parts: list[Flowable] = []
    for finding in found:
        wide = min(max(len(finding.value) * SIZE * 0.62 + 6.0, width * 0.25), width * 0.55)
        line = Table(
            [[paragraph(finding.title, BOLD_TEXT), paragraph(finding.value, RIGHT)]], colWidths=[width - wide, wide]
        )
        line.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *(padding(s) for s in ("LEFT", "RIGHT", "BOTTOM")),
                       padding("TOP", 2.5)])  # fmt: skip
        parts.append(line)
        if finding.words:
            parts.append(paragraph(finding.words, FINE))
    return parts


# --- sections ---------------------------------------------------------------------------------------------------


def _first(sheet: TearSheet) -> list[Flowable]:
    """Title, verdict, equity, and the honesty box beside it."""
    inner = ASIDE - 16.0
    decision = Table(
        [[paragraph("Before you believe it", BOLD_TEXT), paragraph(sheet.decision, RIGHT)]],
        colWidths=[inner * 0.6, inner * 0.4],
    )
    decision.setStyle([padding(side) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")])
    reasons = [paragraph(sheet.reasons, FINE)] if sheet.gates else []
    box = Table([[[decision, *reasons, *set_findings(sheet.honesty, inner)]]], colWidths=[ASIDE])
    box.setStyle(
        [("BACKGROUND", (0, 0), (-1, -1), PANEL), *(padding(side, 8.0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM"))]
    )
    chart = BREADTH - ASIDE - GAP
    return [
        paragraph(sheet.title, TITLE),
        paragraph(sheet.period, NOTE),
        paragraph(sheet.verdict, VERDICT),
        Spacer(0, 8),
        side_by_side(
            [Painted(sheet.equity_chart(WIDE), chart), Spacer(0, 10), _figures_table(sheet.figures, chart)],
            [box],
            (chart, ASIDE),
        ),
    ]


def _figures(sheet: TearSheet) -> list[Flowable]:
    """Both bounds where they differ, and the comparisons."""
    bounds: list[Flowable] = []
    if sheet.bounds.rows:
        bounds = [paragraph("Optimistic and pessimistic fills", HEAD), paragraph(sheet.bounds_words, NOTE)]
        bounds.append(_figures_table(sheet.bounds, COLUMN))
    compared: list[Flowable] = []
    if sheet.comparisons.rows:
        compared = [paragraph("Compared on the same terms", HEAD), paragraph(sheet.chance, NOTE)]
        compared.append(_figures_table(sheet.comparisons, COLUMN))
    columns = [column for column in (bounds, compared) if column]
    if len(columns) == 2:
        return [CondPageBreak(120), Spacer(0, 10), side_by_side(bounds, compared, (COLUMN, COLUMN))]
    said = [] if bounds else [paragraph(sheet.bounds_words, NOTE)]
    return [Spacer(0, 8), *said, *(part for column in columns for part in column)]


def _months(sheet: TearSheet) -> list[Flowable]:
    """Months and years, and the deepest drawdowns beside or below them."""
    names, years = sheet.monthly
    rows: list[list[str]] = []
    more: list[Any] = []
    for year in years:
        own, held = _cells(year["own"]), _cells(year["held"])
        for column, cell in enumerate(own, 1):
            if cell["lean"] in LEAN:
                tint = LEAN[cell["lean"]].clone(alpha=float(cell["tint"]) / 100.0)
                more.append(("BACKGROUND", (column, len(rows) + 1), (column, len(rows) + 1), tint))
        rows.append([str(year["year"]), *(cell["text"] for cell in own)])
        if held:
            rows.append(["hold", *(cell["text"] for cell in held)])
            more.append(("TEXTCOLOR", (0, len(rows)), (-1, len(rows)), QUIET))
    note = "Return in %, calendar months in UTC" + ("; buying and holding below in grey." if more else ".")
    look = [*more, padding("RIGHT", 3), ("FONTSIZE", (0, 0), (-1, -1), 7)]
    width = BREADTH * min(1.0, (len(names) + 2) / len(MONTHS))
    widths = [34, *[(width - 34) / (len(names) + 1)] * (len(names) + 1)]
    return [
        CondPageBreak(90),
        paragraph("Months and years", HEAD),
        paragraph(note, NOTE),
        set_table(("", *names, "Year"), rows, widths, look),
        KeepTogether(
            [
                paragraph("Worst drawdowns", HEAD),
                paragraph("Of the equity at the closes, from its peak to its recovery.", NOTE),
                _figures_table(sheet.drawdowns, BREADTH),
            ]
        ),
    ]


def _rolling(sheet: TearSheet) -> list[Flowable]:
    chart = sheet.rolling_chart(FULL)
    if chart is None:
        return []
    return [
        KeepTogether([paragraph("Rolling figures", HEAD), paragraph(f"{chart.label}.", NOTE), Painted(chart, BREADTH)])
    ]


def _spread(sheet: TearSheet) -> list[Flowable]:
    """What the trades were like: their distributions, by hour and weekday, streaks and extremes."""
    spread, clock = sheet.spread_chart(FULL), sheet.clock_chart(FULL)
    if spread is None or clock is None:
        return []
    note = (
        "Closed trades. MAE and MFE: how far prices went against and in favour of a trade between its entry and its "
        "exit, from the entry's price; R: P&L over what was risked to the stop."
    )
    rows = sheet.trade_figures.rows
    half = -(-len(rows) // 2)
    columns = [_figures_table(Figures(("", ""), some), COLUMN) for some in (rows[:half], rows[half:])]
    heading = [paragraph("What the trades were like", HEAD), paragraph(note, NOTE)]
    return [
        KeepTogether([*heading, Painted(spread, BREADTH)]),
        KeepTogether([Painted(clock, BREADTH)]),
        KeepTogether([side_by_side([columns[0]], [columns[1]], (COLUMN, COLUMN))]),
    ]


def _cells(found: Any) -> list[dict[str, str]]:
    cells: list[dict[str, str]] = found
    return cells


def _fans(sheet: TearSheet) -> list[Flowable]:
    chart = sheet.fan_chart(FULL)
    heading = [paragraph("Monte-Carlo", HEAD), paragraph(sheet.fan_words, NOTE)]
    return heading if chart is None else [CondPageBreak(260), *heading, Painted(chart, BREADTH)]


def _trades(sheet: TearSheet) -> list[Flowable]:
    chart, last = sheet.trades_chart(FULL), sheet.last_chart(FULL)
    if chart is None:
        return [paragraph("Trades on price", HEAD), paragraph(sheet.price_words, NOTE)]
    parts = [
        CondPageBreak(260),
        paragraph("Trades on price", HEAD),
        paragraph(sheet.price_words, NOTE),
        Painted(chart, BREADTH),
    ]
    parts += _extremes(sheet)
    return parts if last is None else [*parts, Spacer(0, 8), Painted(last, BREADTH)]


def _extremes(sheet: TearSheet) -> list[Flowable]:
    """The best and the worst trades, one table each."""
    names = ("side", "opened", "held", "entry", "stop", "target", "exit", "reason", "pnl", "r")
    heads = ("opened", "held", "entry", "stop", "target", "exit", "exit reason", "P&L", "R")
    widths = [84.0, 76.0, 36.0, 46.0, 46.0, 46.0, 46.0, 62.0, 46.0, BREADTH - 488.0]
    look = [("ALIGN", (7, 0), (7, -1), "LEFT"), padding("RIGHT", 3), ("LEFTPADDING", (7, 0), (7, -1), 8),
            ("FONTSIZE", (0, 0), (-1, -1), 6.5)]  # fmt: skip
    parts: list[Flowable] = []
    for heading, found in zip(("best trades", "worst trades"), sheet.extremes, strict=True):
        rows = [[row[name] for name in names] for row in found]
        if rows:
            parts += [Spacer(0, 8), KeepTogether([set_table((heading, *heads), rows, widths, look)])]
    return parts


def _scores(sheet: TearSheet) -> list[Flowable]:
    """Why it signalled the last time, and how much of each component is known."""
    if not sheet.contributions:
        return []
    note = f"{DIV_NOTE} Weights are those of what is known."
    parts: list[Flowable] = [CondPageBreak(160), paragraph(sheet.explanation_heading, HEAD), paragraph(note, NOTE)]
    widths = [150.0, 44.0, 44.0, 44.0, 44.0, BREADTH - 326.0]
    look = [("ALIGN", (5, 0), (5, -1), "LEFT"), ("LEFTPADDING", (5, 0), (5, -1), 12), padding("TOP", 1.0),
            padding("BOTTOM", 1.6)]  # fmt: skip
    for found in sheet.contributions:
        rows = [
            [line.component, line.score, line.weight, line.impact, line.div, paragraph(line.note or line.words, FINE)]
            for line in (*found.lines, found.final)
        ]
        parts += [CondPageBreak(60), paragraph(found.title, SMALL_HEAD), paragraph(found.moment, FINE)]
        parts += [set_table((*HEADERS[:5], "IN WORDS"), rows, widths, look), Spacer(0, 4)]
    parts += [CondPageBreak(120), paragraph("What was known", HEAD)]
    parts.append(paragraph("Share of the bars on which each component has a score.", NOTE))
    for face in sheet.coverage:
        known = "; ".join(f"{title} {text}" for title, _, text in face.components)
        lacking = f"; no data yet for {', '.join(face.unavailable)}" if face.unavailable else ""
        parts.append(paragraph(f"{face.title}, weight {face.weight}: {known}{lacking}", FINE))
    return parts


def _buckets(sheet: TearSheet) -> list[Flowable]:
    """Forward returns by score; nothing of a run without scores."""
    if not sheet.has_scores:
        return []
    chart = sheet.bucket_chart(FULL)
    if chart is None:
        return [
            paragraph("What prices did after each score", HEAD),
            paragraph("This run folder holds no score buckets.", NOTE),
        ]
    note = (
        "Mean return from the next open by confluence, with its 95 % interval (block bootstrap), no costs. Coloured "
        "where the interval lies apart from the mean of all bars, the dashed line; hollow where too little is known."
    )
    horizons, rows = sheet.bucket_rows
    cells = [
        [
            row["name"],
            row["bars"],
            *(text for cell in _cells(row["cells"]) for text in (cell["mean"], cell["interval"])),
        ]
        for row in rows
    ]
    heads = ("confluence", "bars", *(head for horizon in horizons for head in (f"{horizon}, bp", "95 %")))
    lead, each = 62.0, (BREADTH - 62.0 - 40.0) / max(len(horizons), 1)
    widths = [lead, 40.0, *[each * 0.38, each * 0.62] * len(horizons)]
    look = [("FONTSIZE", (0, 0), (-1, -1), 6.5), padding("RIGHT", 3)]
    return [
        CondPageBreak(340),
        paragraph("What prices did after each score", HEAD),
        paragraph(note, NOTE),
        Painted(chart, BREADTH),
        Spacer(0, 4),
        set_table(heads, cells, widths, look),
    ]


def _breakdowns(sheet: TearSheet) -> list[Flowable]:
    """One table a way of grouping, all in the same columns."""
    found = sheet.breakdowns
    if not found:
        return []
    note = (
        "R is what a trade risked to its stop. Strips: mean R and its 95 % interval (bootstrap over whole blocks of "
        "time) around nothing; hollow where it is not testable."
    )
    parts: list[Flowable] = [
        CondPageBreak(120),
        paragraph("Breakdowns", HEAD),
        *([paragraph(note, NOTE)] if sheet.has_r else []),
    ]
    widths = [140.0, 50.0, 50.0, 60.0, 50.0, 80.0, BREADTH - 430.0]
    some = len(widths) if sheet.has_r else PLAIN_COLUMNS
    for one in found:
        rows = [[group.name, *group.cells, Strip(group, one.reach, widths[-1] - 14.0)][:some] for group in one.groups]
        heads = (f"by {one.by}", "trades", "win rate", "P&L", "mean R", "95 % interval", f"±{one.reach:.2g} R")[:some]
        look = [("FONT", (0, 0), (0, 0), BOLD, SIZE), ("TEXTCOLOR", (0, 0), (0, 0), INK), padding("TOP", 1.0),
                padding("BOTTOM", 1.6)]  # fmt: skip
        parts += [CondPageBreak(44), set_table(heads, rows, widths[:some], look), Spacer(0, 6)]
        if one.more:
            parts.append(paragraph(f"and {one.more} more with fewer trades, in breakdowns.parquet", FINE))
    return parts


def _reliability(sheet: TearSheet) -> list[Flowable]:
    """Predicted reliability against what was right; nothing of a run without scores."""
    if not sheet.has_scores:
        return []
    heading = [
        CondPageBreak(220),
        paragraph("Calibration of the reliability", HEAD),
        paragraph(sheet.reliability_words, NOTE),
    ]
    chart = sheet.reliability_chart(NARROW)
    if chart is None:
        return heading[1:]
    wide = COLUMN * 0.9
    return [
        *heading,
        side_by_side([Painted(chart, wide)], [_figures_table(sheet.reliability_rows, COLUMN)], (COLUMN, COLUMN)),
    ]


def _limits(sheet: TearSheet) -> list[Flowable]:
    """What stands beside the returns, what was not let through, and what was asked before the verdict."""
    found = [("Diagnostics", sheet.beside), ("Limits, and how often they mattered", sheet.limits)]
    columns = [[paragraph(heading, HEAD), *set_findings(some, COLUMN)] for heading, some in found if some]
    parts: list[Flowable] = []
    if columns:
        right = columns[1] if len(columns) > 1 else [Spacer(0, 0)]
        parts += [CondPageBreak(200), Spacer(0, 10), side_by_side(columns[0], right, (COLUMN, COLUMN))]
    if sheet.gates:
        rows = [[paragraph(name), paragraph(answer), paragraph(reason, FINE)] for name, answer, reason in sheet.gates]
        widths = [70.0, 70.0, BREADTH - 140.0]
        look = [("ALIGN", (0, 0), (-1, -1), "LEFT")]
        parts += [CondPageBreak(120), paragraph("What was asked before the verdict", HEAD)]
        parts.append(set_table(("question", "answer", "reason"), rows, widths, look))
    return parts


def _made(sheet: TearSheet) -> list[Flowable]:
    """Assumptions, provenance, and what is absent."""
    parts: list[Flowable] = [paragraph("Assumptions", HEAD)]
    parts += [Paragraph(escape(words), POINT, bulletText=DASH) for words in sheet.assumptions]
    if not sheet.assumptions:
        parts.append(
            paragraph(
                "They are in the summary below." if sheet.summary else "This run folder holds none in words.", NOTE
            )
        )
    parts += [CondPageBreak(60), paragraph("Provenance", HEAD), set_pairs(sheet.provenance.items())]
    if sheet.absent:
        parts += [CondPageBreak(60), paragraph("Absent from this run folder", HEAD), set_pairs(sheet.absent)]
    if sheet.summary:
        parts.append(paragraph("The summary as it was written", HEAD))
        parts += [
            Paragraph(escape(line).replace(" ", "\u00a0") or "\u00a0", HASH) for line in sheet.summary.split("\n")
        ]
    return parts


def set_pairs(found: Any) -> Table:
    """Set names and values, small."""
    rows = [[paragraph(str(name), FINE), paragraph(str(value), HASH)] for name, value in found]
    made = Table(rows, colWidths=[110.0, BREADTH - 110.0], hAlign="LEFT")
    made.setStyle(
        [("VALIGN", (0, 0), (-1, -1), "TOP"), *(padding(side, 0.6) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM"))]
    )
    return made


# --- pages ------------------------------------------------------------------------------------------------------


def footer(sheet: TearSheet) -> str:
    """What stands at the foot of every page."""
    made = "Made by Virtuoso from a run folder. A statement about the past under the assumptions in it; not advice."
    return f"SIMULATED DATA: nobody traded at these prices. {made}" if sheet.simulated else made


def numbered_pages(foot: str, *, simulated: bool) -> type[Canvas]:
    """Return a canvas that knows how many pages there are before it numbers them, and marks what nobody traded."""

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.kept: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self.kept.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, state in enumerate(self.kept, 1):
                self.__dict__.update(state)
                self._dress(number, len(self.kept))
                super().showPage()
            super().save()

        def _dress(self, number: int, of: int) -> None:
            if simulated:
                self.saveState()
                self.setFillColor(HexColor(LIGHT.simulated), alpha=SIMULATED_ALPHA)
                self.setFont(BOLD, 15)
                self.drawRightString(A4[0] - MARGIN, A4[1] - MARGIN + 8, "simulated")
                self.restoreState()
            self.setFont(PLAIN, 6.5)
            self.setFillColor(QUIET)
            self.drawString(MARGIN, MARGIN - 8, foot)
            self.drawRightString(A4[0] - MARGIN, MARGIN - 8, f"{number} / {of}")

    return Numbered
