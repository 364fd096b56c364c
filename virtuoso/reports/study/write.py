"""Write the report of a study into its result: one page, and the same on paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from virtuoso.files.atomic import Disk
from virtuoso.reports.charts.base import FULL, NARROW, WIDE
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.scripts import policy
from virtuoso.reports.study.figures import drawn, growth_chart
from virtuoso.reports.study.page import StudyPage
from virtuoso.reports.study.paper import pdf
from virtuoso.reports.templates import render
from virtuoso.runs.read import read_study
from virtuoso.runs.schema import STUDY_HTML, STUDY_PDF


@dataclass(frozen=True)
class _Shown:
    """A chart under its heading, for a screen and for a phone."""

    heading: str
    words: str
    wide: Markup
    narrow: Markup


def html(page: StudyPage) -> str:
    """Return the page.

    Parameters
    ----------
    page : StudyPage
    """
    small = {one.heading: one.chart for one in drawn(page, NARROW)}
    charts = [
        _Shown(one.heading, one.words, one.chart.svg(), small[one.heading].svg()) for one in drawn(page, FULL)
    ]  # fmt: skip
    first = [chart.svg() for width in (WIDE, NARROW) if (chart := growth_chart(page, width)) is not None]
    how = {"light": LIGHT.css(), "dark": DARK.css(), "policy": policy(())}
    return str(render("study.html", page=page, first=first, charts=charts, **how))


def write_study_report(folder: Path | str, out: Path | str | None = None) -> list[Path]:
    """Write the report of a study, as HTML and as PDF, and return where they are.

    Parameters
    ----------
    folder : Path or str
        `result/` below the study's folder, judged: with its `honesty.json`.
    out : Path or str, optional
        Where to write them; into that folder if absent. Older ones there are replaced.

    Raises
    ------
    NoDataError
        It is not the result of a study.
    UnreadableFileError
        A file of it is not what its name says.
    """
    page = StudyPage(read_study(folder))
    target = Path(folder if out is None else out)
    disk = Disk()
    disk.make_folder(target)
    made = [target / STUDY_HTML, target / STUDY_PDF]
    disk.write(made[0], html(page).encode())
    disk.write(made[1], pdf(page))
    return made
