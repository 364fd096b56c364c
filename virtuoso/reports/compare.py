"""Runs side by side: what differs in how they were made, their figures, and their equity on one axis.

They are compared as their folders hold them; nothing is computed anew but equity rebased to a common start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import iso
from virtuoso.errors import ConfigError
from virtuoso.reports.charts.base import FULL, calendar, drawing, end_labels, growth_axis, instants, thinned, to_svg
from virtuoso.reports.format import DASH
from virtuoso.reports.metrics import METRICS
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.summary import BRIEF as MAIN_FIGURES
from virtuoso.reports.templates import render
from virtuoso.runs.read import RunData
from virtuoso.runs.schema import CONFIG, EQUITY, HONESTY, PROVENANCE, RESULT_HASH
from virtuoso.types import Array

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

LETTERS = "ABCDE"
"""What the runs are called in tables: at most so many fit a screen."""
GROUPS = ("data", "decided by", "terms", "settings", "made with")
"""What the facts of a run are about, what a reader asks first at the head."""
MADE_WITH = ("code", "prism", "config", "intents", "stage")
"""Digests of provenance: of code, prism and settings, of what was decided and of the market as it was traded."""
DIGEST, SHOWN_DIGITS = 64, 10
DASHES: Sequence[Any] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)))
LOWEST = 1e-3
"""Share of the start below which equity is drawn no deeper: a logarithmic axis has no zero."""
HEIGHT = 420
BRIEF = frozenset({*MAIN_FIGURES, "verdict", RESULT_HASH})
"""Figures of one screen."""


class Difference(NamedTuple):
    """A setting, term or fact that is not the same in all runs: its group, its name, and its value in each run."""

    group: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side.

    Attributes
    ----------
    runs : tuple of RunData
        Two to five.

    Raises
    ------
    ConfigError
        Fewer or more are given, or one of them twice.
    """

    runs: tuple[RunData, ...]

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        if not 2 <= len(names) <= len(LETTERS):
            raise ConfigError(
                f"2 to {len(LETTERS)} runs are compared, were {len(names)}. Name them one after the other."
            )
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{twice} is named twice. Name runs that differ.")

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Letter and name of each run."""
        return [(letter, run.name) for letter, run in zip(LETTERS, self.runs, strict=False)]

    @property
    def simulated(self) -> bool:
        """Whether a market of any of them was made by the simulator."""
        return any(run.is_simulated for run in self.runs)

    @cached_property
    def differences(self) -> list[Difference]:
        """What is not the same in all of them, in the order of GROUPS."""
        facts = [dict(_facts(run)) for run in self.runs]
        found = []
        for key in dict.fromkeys(key for of in facts for key in of):
            values = tuple(of.get(key, DASH) for of in facts)
            if len(set(values)) > 1:
                found.append(Difference(*key, tuple(map(_short, values))))
        return sorted(found, key=lambda one: GROUPS.index(one.group))

    @cached_property
    def figures(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Figures of the strategy of each run, and its verdict: key, heading, and each as text."""
        own = [run.figures_of("strategy") for run in self.runs]
        rows = [
            (
                metric.name,
                metric.heading,
                tuple(metric.text(of[metric.name]) if metric.name in of else DASH for of in own),
            )
            for metric in METRICS
            if any(metric.name in of for of in own)
        ]
        rows.append(
            ("verdict", "Verdict", tuple(str(run.fact(HONESTY).get("decision") or "not judged") for run in self.runs))
        )
        rows.append((RESULT_HASH, "Result hash", tuple(_short(run.result_hash) or DASH for run in self.runs)))
        return rows

    @cached_property
    def start(self) -> int | None:
        """First close that all of them know, ms: equity is rebased there; None where they share no time."""
        first, last = max(int(run.close_times[0]) for run in self.runs), min(int(r.close_times[-1]) for r in self.runs)
        return first if first < last else None

    @property
    def basis(self) -> str:
        """What the curves and the figures are of, in words."""
        figures = "Figures are of each run's own period."
        if self.start is None:
            return f"The runs share no time: each curve begins at its own start. {figures}"
        return f"Equity is rebased to {iso(self.start)[:16]}Z, the first moment that all runs know. {figures}"

    def curves(self) -> list[tuple[str, NDArray[np.int64], Array]]:
        """Return letter, closes in ms and equity over that of the common start, of each run."""
        found = []
        for letter, run in zip(LETTERS, self.runs, strict=False):
            times, equity = run.close_times, run.table(EQUITY)["equity"]
            at = 0 if self.start is None else int(np.searchsorted(times, self.start))
            found.append((letter, times[at:], np.maximum(equity[at:] / equity[at], LOWEST)))
        return found

    def svg(self, width: int = FULL) -> Markup:
        """Draw the equity of all of them on one logarithmic axis."""
        with drawing(width, HEIGHT) as figure:
            self._paint(figure, width)
            return to_svg(figure, "compare", "Equity of the runs, rebased", simulated=self.simulated)

    def _paint(self, figure: Figure, width: int) -> None:
        axes, ends = figure.subplots(), []
        curves = self.curves()
        for (letter, times, growth), dashes in zip(curves, DASHES, strict=False):
            last = np.append(thinned(len(growth))[1:], len(growth)) - 1
            axes.plot(instants(times[last]), growth[last], color=LIGHT.ink, linewidth=1.3, linestyle=dashes)
            ends.append((letter, float(growth[-1]), LIGHT.ink, "bold"))
        growth_axis(axes, min(float(of.min()) for *_, of in curves), max(float(of.max()) for *_, of in curves))
        axes.set_title("Equity since the common start, log axis", loc="left", color=LIGHT.quiet)
        end_labels(axes, ends)
        calendar(axes, ticks=9)
        figure.subplots_adjust(left=60 / width, right=1 - 92 / width, top=0.93, bottom=0.075)

    def html(self) -> str:
        """Return one self-contained page."""
        return str(render("compare.html", page=self, light=LIGHT.css(), dark=DARK.css()))


def _facts(run: RunData) -> Iterator[tuple[tuple[str, str], str]]:
    """What a run was made of: data, terms, settings, digests and versions, as (group, name) and text."""
    source, config = run.fact(PROVENANCE), run.fact(CONFIG)
    later = [key for key in source if key in MADE_WITH or key.startswith("version ")]
    yield from ((("data", key), str(value)) for key, value in source.items() if key not in later)
    yield from ((("decided by", key), value) for key, value in _flat(config.get("decided_by") or {}))
    yield from ((("terms", key), value) for key, value in _flat(config.get("terms") or {}))
    yield ("terms", "assumed"), "; ".join(map(str, config.get("assumed") or ())) or DASH
    yield from ((("settings", key), value) for key, value in _flat(config.get("settings") or {}))
    yield from ((("made with", key), str(source[key])) for key in later)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Values one by one, by dotted name."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:g}" if isinstance(value, float) else str(value)


def _short(value: str) -> str:
    """A digest by its first digits: enough to tell two apart."""
    return value[:SHOWN_DIGITS] if len(value) == DIGEST and value.isalnum() else value
