"""Charts of a study's report: growth out of sample, in against out, parallel coordinates, slices, front, neighbourhood.

Trials are drawn in the neutral colour, the winner in ink with a ring: colour means direction, and a trial has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.reports.charts.base import SMALL, WIDE, calendar, end_labels, growth_axis, instants, thinned
from virtuoso.reports.charts.sheet import DASHED, DOTTED, GONE, Chart
from virtuoso.reports.format import MINUS, number
from virtuoso.reports.palette import LIGHT
from virtuoso.types import Array, Times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DOTS, MOST_WAYS = 1_500, 60
"""Trials that are drawn as dots, and as lines across parallel axes."""
LOOKS = {
    "out of sample": (LIGHT.ink, "bold", "-", 1.6),
    "untuned": (LIGHT.neutral, "normal", DOTTED, 1.1),
    "buy and hold": (LIGHT.quiet, "normal", DASHED, 1.0),
}


def growth(days: Times, curves: Mapping[str, Array], begins: Sequence[int], width: int, simulated: bool) -> Chart:
    """Growth of the winners of the rounds on days that none of them saw, beside what else one could have done.

    Parameters
    ----------
    days : array of int64, ms, shape (n_days,)
    curves : mapping of str to Array, shape (n_days,)
        Growth of one unit.
    begins : sequence of int, ms
        Where each round's test window begins.
    width : int, pixels
    simulated : bool
    """
    ends = ", ".join(f"{name} {number(100.0 * (of[-1] - 1.0), 1, signed=True)} %" for name, of in curves.items())
    label = f"Growth out of sample: {ends}"
    height = 360 if width >= WIDE else 320

    def paint(figure: Figure) -> None:
        wide, axes = figure.get_figwidth() * figure.dpi, figure.subplots()
        last = np.append(thinned(len(days))[1:], len(days)) - 1
        times = instants(days[last])
        shown = {name: np.maximum(of, GONE) for name, of in curves.items()}
        for name in reversed(shown):
            colour, _, style, thick = LOOKS[name]
            axes.plot(times, shown[name][last], color=colour, linestyle=style, linewidth=thick)
        growth_axis(axes, min(of.min() for of in shown.values()), max(of.max() for of in shown.values()))
        for begin in begins:
            axes.axvline(instants(np.array([begin]))[0], color=LIGHT.line, linewidth=0.8)
        end_labels(axes, [(name, float(of[-1]), *LOOKS[name][:2]) for name, of in shown.items()])
        calendar(axes, ticks=9 if width >= WIDE else 5)
        axes.set_xlim(times[0], times[-1] if len(times) > 1 else times[0] + 1)
        right = 128 if width >= WIDE else 92
        figure.subplots_adjust(left=60 / wide, right=1 - right / wide, top=0.93, bottom=0.09)

    return Chart("growth", label, width, height, paint, simulated)


def scatter(
    name: str, x: Array, y: Array, words: tuple[str, str, str], ringed: Sequence[int], width: int, simulated: bool,
    *, diagonal: bool = False, near: Sequence[int] = (),
) -> Chart:  # fmt: skip
    """One dot a trial.

    Parameters
    ----------
    name : str
        Unique on the page.
    x, y : Array, shape (n_trials,)
    words : tuple of str
        What it shows, and what stands on either axis.
    ringed : sequence of int
        Rows that are winners.
    width : int, pixels
    simulated : bool
    diagonal : bool
        Whether a line marks where both are alike.
    near : sequence of int
        Rows that are circled.
    """
    height = 340 if width >= WIDE else 300

    def paint(figure: Figure) -> None:
        wide, high = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
        axes = figure.subplots()
        _dots(axes, x, y, ringed, near)
        if diagonal:
            known = np.concatenate((x[np.isfinite(x)], y[np.isfinite(y)]))
            if len(known):
                ends = (float(known.min()), float(known.max()))
                axes.plot(ends, ends, color=LIGHT.quiet, linewidth=0.8, linestyle=DASHED)
            axes.axhline(0.0, color=LIGHT.quiet, linewidth=0.6)
        _plain_axes(axes)
        axes.set_xlabel(words[1], fontsize=SMALL)
        axes.set_title(words[2], loc="left", fontsize=SMALL, color=LIGHT.quiet)
        figure.subplots_adjust(left=54 / wide, right=1 - 14 / wide, top=1 - 26 / high, bottom=44 / high)

    return Chart(name, words[0], width, height, paint, simulated)


def ways(names: Sequence[str], points: Array, values: Array, chosen: int, width: int, simulated: bool) -> Chart:
    """Parallel coordinates: an axis a name from the least to the most that was tried, a line a trial.

    Parameters
    ----------
    names : sequence of str
    points : Array, shape (n_trials, n_names)
    values : Array, shape (n_trials,)
        The best are drawn, the better the darker.
    chosen : int
    width : int, pixels
    simulated : bool
    """
    label = f"Parallel coordinates of the best trials over {len(names)} names"

    def paint(figure: Figure) -> None:
        wide, high = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
        axes = figure.subplots()
        low, high_ = points.min(axis=0), points.max(axis=0)
        scaled = (points - low) / np.where(high_ > low, high_ - low, 1.0)
        known = np.flatnonzero(np.isfinite(values))
        best = known[np.argsort(-values[known], kind="stable")][:MOST_WAYS]
        at = np.arange(len(names))
        for rank, row in reversed(list(enumerate(best))):
            axes.plot(scaled[row], at, color=LIGHT.neutral, alpha=0.55 - 0.5 * rank / MOST_WAYS, linewidth=0.9)
        axes.plot(scaled[chosen], at, color=LIGHT.ink, linewidth=2.0, marker="o", markersize=4)
        for k in range(len(names)):
            axes.axhline(k, color=LIGHT.line, linewidth=0.6, zorder=0)
            axes.text(1.01, k, f"{low[k]:.3g} to {high_[k]:.3g}".replace("-", MINUS), fontsize=SMALL - 1,
                      color=LIGHT.quiet, va="center", transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_yticks(at, [name if len(name) < 34 else f"…{name[-32:]}" for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-0.01, 1.01)
        axes.set_xticks([])
        left = 8 + 6.2 * max(min(len(name), 33) for name in names)
        figure.subplots_adjust(left=left / wide, right=1 - 112 / wide, top=1 - 8 / high, bottom=8 / high)

    return Chart("ways", label, width, 40 + 24 * len(names), paint, simulated)


def slices(
    names: Sequence[str], columns: Sequence[Array], values: Array, goal: str, chosen: int, width: int, simulated: bool
) -> Chart:
    """The value over each of some names, a panel each, the other names being as they were.

    Parameters
    ----------
    names : sequence of str
    columns : sequence of Array, shape (n_trials,)
    values : Array, shape (n_trials,)
    goal : str
    chosen : int
    width : int, pixels
    simulated : bool
    """
    across = 3 if width >= WIDE else 2
    rows = -(-len(names) // across)
    label = f"{goal} of every trial over {', '.join(names)}"

    def paint(figure: Figure) -> None:
        wide, high = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
        panels = figure.subplots(rows, across, squeeze=False, sharey=True).ravel()
        for k, axes in enumerate(panels):
            if k >= len(names):
                axes.set_visible(False)
                continue
            _dots(axes, columns[k], values, (chosen,))
            _plain_axes(axes)
            axes.set_title(names[k][-36:], loc="left", fontsize=SMALL, color=LIGHT.quiet)
        figure.subplots_adjust(left=46 / wide, right=1 - 12 / wide, top=1 - 24 / high, bottom=28 / high, hspace=0.42,
                               wspace=0.10)  # fmt: skip

    return Chart("slices", label, width, 30 + 190 * rows, paint, simulated)


def _dots(axes: Axes, x: Array, y: Array, ringed: Sequence[int], near: Sequence[int] = ()) -> None:
    some = thinned(len(x), MOST_DOTS)
    axes.plot(x[some], y[some], "o", color=LIGHT.neutral, markersize=3.2, alpha=0.5, markeredgewidth=0)
    rows = list(near)
    if rows:
        axes.plot(x[rows], y[rows], "o", markersize=7, markerfacecolor="none", markeredgecolor=LIGHT.quiet,
                  markeredgewidth=0.9)  # fmt: skip
    kept = list(ringed)
    if kept:
        axes.plot(x[kept], y[kept], "o", color=LIGHT.ink, markersize=5)
        axes.plot(x[kept], y[kept], "o", markersize=11, markerfacecolor="none", markeredgecolor=LIGHT.accent,
                  markeredgewidth=1.6)  # fmt: skip


def _plain_axes(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", MINUS)))
