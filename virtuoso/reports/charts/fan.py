"""The fans of the tear sheet: equity of the same trades in other orders, and of histories of the run's own days.

Both stand beside each other on one axis; below each a strip tells how deep they fell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.reports.charts.base import SMALL, WIDE, growth_axis
from virtuoso.reports.charts.sheet import GONE, Chart
from virtuoso.reports.format import percent, plural, whole
from virtuoso.reports.palette import LIGHT
from virtuoso.runs.read import Facts, RunData
from virtuoso.runs.schema import FANS as FANS_KEPT
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FANS = ("trades", "days")
TOO_FEW = "Too few trades and days to draw others from."
ABSENT = "This run folder holds no fans."


def fans_of(run: RunData) -> dict[str, Facts]:
    """The fans that a run folder holds."""
    told = run.fact(FANS_KEPT)
    return {name: told[name] for name in FANS if told.get(name)}


def words(run: RunData) -> str:
    """What the fans say."""
    found = fans_of(run)
    if not found:
        return TOO_FEW if FANS_KEPT in run.facts else ABSENT
    said = ["Nine in ten draws lie in the pale band, half of them in the darker one; the line is the run itself."]
    if "trades" in found:
        said.append(
            "Shuffled trades end where the run ended, since they are the same; they are taken to be independent."
        )
    if "days" in found:
        fan = found["days"]
        said.append(
            f"Of the histories drawn from its own days, {percent(fan['losing'])} end with a loss and nine in ten "
            f"between {_gain(fan['bands'][0][-1])} and {_gain(fan['bands'][-1][-1])}: so much of the result is "
            "chance, if the next days are like these."
        )
    return " ".join(said)


def chart(run: RunData, width: int) -> Chart | None:
    """Draw the fans; None where there are none."""
    found = fans_of(run)
    if not found:
        return None
    beside = width >= WIDE
    height = 400 if beside else 380 * len(found)
    label = "Monte-Carlo: equity and max drawdown of the same trades shuffled, and of histories of the same days"
    return Chart("fans", label, width, height, lambda figure: _paint(figure, found, beside=beside), run.is_simulated)


def _paint(figure: Figure, found: Mapping[str, Facts], *, beside: bool) -> None:
    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    n = len(found)
    rows, columns = (2, n) if beside else (2 * n, 1)
    panels = figure.subplots(rows, columns, squeeze=False, height_ratios=[5.0, 1.0] * (rows // 2))
    lines = [np.maximum(np.array([*fan["bands"], fan["real"]]), GONE) for fan in found.values()]
    low, high = min(of.min() for of in lines), max(of.max() for of in lines)
    deepest = min(min(fan["fall"].values()) for fan in found.values())
    for k, (name, fan) in enumerate(found.items()):
        above, below = (panels[0, k], panels[1, k]) if beside else (panels[2 * k, 0], panels[2 * k + 1, 0])
        _fan(above, name, fan, lines[k], (float(low), float(high)))
        _fall(below, fan["fall"], deepest)
    figure.subplots_adjust(
        left=56 / width, right=1 - 16 / width, top=1 - 26 / height, bottom=26 / height, wspace=0.12, hspace=0.5
    )


def _fan(axes: Axes, name: str, fan: Facts, lines: Array, reach: tuple[float, float]) -> None:
    """Draw the bands, their middle, and what really was."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    steps = np.asarray(fan["steps"])
    for outer, alpha in ((0, 0.16), (1, 0.26)):
        axes.fill_between(steps, lines[outer], lines[4 - outer], color=LIGHT.neutral, alpha=alpha, linewidth=0)
    axes.plot(steps, lines[2], color=LIGHT.quiet, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.plot(steps, lines[5], color=LIGHT.ink, linewidth=1.5)
    growth_axis(axes, *reach)
    axes.set_xlim(0, int(steps[-1]))
    axes.tick_params(axis="x", pad=8)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: whole(x)))
    n = int(steps[-1])
    if name == "trades":
        title = f"{plural(n, 'closed trade')} shuffled {whole(fan['draws'])} times"
    else:
        title = f"{plural(n, 'day')} drawn {whole(fan['draws'])} times, {whole(fan['block'])} together in the mean"
    axes.set_title(title, loc="left", fontsize=SMALL, color=LIGHT.quiet)


def _fall(axes: Axes, fall: Mapping[str, Any], deepest: float) -> None:
    """Draw how deep they fell: nine in ten of them, their middle, and the run itself."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.plot([fall["low"], fall["high"]], [0.0, 0.0], color=LIGHT.neutral, linewidth=6.0, alpha=0.35,
              solid_capstyle="butt")  # fmt: skip
    axes.plot([fall["middle"]], [0.0], "|", color=LIGHT.quiet, markersize=12, markeredgewidth=1.2)
    axes.plot([fall["real"]], [0.0], "o", color=LIGHT.ink, markersize=6)
    axes.set_ylim(-1.0, 1.0)
    axes.set_yticks([])
    axes.set_xlim(min(deepest * 1.06, -0.001), 0.0)
    axes.grid(axis="x", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: percent(x, 0 if deepest < -0.05 else 1)))
    numbers = f"{percent(fall['low'])} to {percent(fall['high'])}, middle {percent(fall['middle'])}"
    axes.set_title(f"max drawdown {numbers}; really {percent(fall['real'])}", loc="left", fontsize=SMALL,
                   color=LIGHT.quiet)  # fmt: skip


def _gain(multiple: float) -> str:
    return percent(multiple - 1.0, signed=True)
