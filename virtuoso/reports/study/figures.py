"""The charts of a study's report, in the order in which they stand; one that has nothing to show is left out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.reports.charts.sheet import Chart
from virtuoso.reports.charts.study import growth, scatter, slices, ways
from virtuoso.reports.study.page import MOST_SLICES, StudyPage, shown_names
from virtuoso.runs.schema import WINNER


class Drawn(NamedTuple):
    """A chart under its heading."""

    heading: str
    words: str
    chart: Chart


def growth_chart(page: StudyPage, width: int) -> Chart | None:
    """Growth out of sample; None where no day was tested."""
    days = np.asarray(page.walk["date"], dtype=np.int64)
    if not len(days):
        return None
    begins = [int(one["from"]) for one in page.facts.get("rounds", ())]
    return growth(days, page.growth, begins, width, page.simulated)


def decay_chart(page: StudyPage, width: int) -> Chart | None:
    """In sample against out of sample, of every trial of the rounds that were tested."""
    pairs = [(f"in_{goal}", f"out_{goal}") for goal in (page.goal,)]
    inside, outside = pairs[0]
    if inside not in page.trials or outside not in page.trials:
        return None
    x, y = (np.asarray(page.trials[name], dtype=np.float64) for name in (inside, outside))
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(known):
        return None
    winners = {(one["round"], one["trial"]) for one in page.run.fact(WINNER).get("rounds", ())}
    named = zip(page.trials["round"], page.trials["number"], strict=True)
    won = np.array([(str(name), int(number)) in winners for name, number in named], dtype=bool)
    ringed = np.flatnonzero(won[known]).tolist()
    words = (f"{page.goal} in sample against out of sample of {len(known)} trials", f"{page.goal} in sample",
             f"{page.goal} out of sample")  # fmt: skip
    return scatter("decay", x[known], y[known], words, ringed, width, page.simulated, diagonal=True)


def plateau_chart(page: StudyPage, width: int) -> Chart | None:
    """The value by distance from the winner."""
    if len(page.final) < 2 or not page.names:
        return None
    points = np.column_stack([page.column(name) for name in page.names])
    span = points.max(axis=0) - points.min(axis=0)
    scaled = points / np.where(span > 0.0, span, 1.0)
    away = np.sqrt(np.mean((scaled - scaled[page.chosen]) ** 2, axis=1))
    near = [int(row) for row in (page.facts.get("neighbours") or {}).get("rows", ()) if row < len(away)]
    words = (f"{page.goal} of every trial by distance from the winner", "distance from the winner, share of the range",
             page.goal)  # fmt: skip
    return scatter("plateau", away, page.value(), words, (page.chosen,), width, page.simulated, near=near)


def front_chart(page: StudyPage, width: int) -> Chart | None:
    """The Pareto front of the first two objectives."""
    if len(page.values) < 2 or not len(page.final):
        return None
    first, second = (name.removeprefix("value_") for name in page.values[:2])
    front = set(page.run.fact(WINNER).get("front", ()))
    rows = [k for k, number in enumerate(np.asarray(page.trials["number"])[page.final]) if int(number) in front]
    words = (f"Pareto front of {first} and {second}", first, second)
    return scatter("front", page.value(0), page.value(1), words, (page.chosen,), width, page.simulated, near=rows)


def ways_chart(page: StudyPage, width: int) -> Chart | None:
    """Parallel coordinates of the names that matter most."""
    names = shown_names(page)
    if len(names) < 2 or len(page.final) < 2:
        return None
    points = np.column_stack([page.column(name) for name in names])
    return ways(names, points, page.value(), page.chosen, width, page.simulated)


def slices_chart(page: StudyPage, width: int) -> Chart | None:
    """The value over the names that matter most."""
    names = shown_names(page)[:MOST_SLICES]
    if not names or len(page.final) < 2:
        return None
    columns = [page.column(name) for name in names]
    return slices(names, columns, page.value(), page.goal, page.chosen, width, page.simulated)


def drawn(page: StudyPage, width: int) -> list[Drawn]:
    """Return the charts below the first one."""
    found = (
        ("In sample against out of sample",
         "One dot a trial of a round that was tested; ringed: the winners. On the dashed line nothing was lost.",
         decay_chart(page, width)),
        ("Plateau or spike", page.neighbour_words, plateau_chart(page, width)),
        ("Pareto front", "One dot a trial of the last round; circled: those that no other beats in everything.",
         front_chart(page, width)),
        ("Parallel coordinates", "The best trials of the last round, the better the darker; in ink: the winner.",
         ways_chart(page, width)),
        ("Slices", "The value of every trial of the last round over the names that explain most of it.",
         slices_chart(page, width)),
    )  # fmt: skip
    return [Drawn(heading, words, chart) for heading, words, chart in found if chart is not None]
