"""Charts: what every one of them shares.

1. A chart is drawn by matplotlib in the colours of the light palette and leaves as SVG with real text.
2. `themed` exchanges the colours for the page's custom properties, so that one drawing serves light, dark and print.
3. Lines are labelled where they end; colour means direction, so equity is drawn in ink.
4. The same values give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from virtuoso.reports.format import MINUS, percent
from virtuoso.reports.palette import LIGHT, SIMULATED_ALPHA
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL, WIDE, NARROW = 1_190, 790, 420
"""Widths in pixels for which charts are drawn: across a page, beside a column, on a phone."""
MOST_POINTS = 1_200
"""Points of a line: more than a screen shows would only make the page heavy."""

DOTS = 72.0  # a unit of the drawing is a pixel
TEXT, SMALL = 12.0, 11.0

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "virtuoso",
    "timezone": "UTC",
    "font.size": TEXT,
    "text.color": LIGHT.ink,
    "axes.edgecolor": LIGHT.line,
    "axes.labelcolor": LIGHT.quiet,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.titley": 1.0,  # left to itself, matplotlib measures every label to place a title there
    "grid.color": LIGHT.line,
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT.line,
    "ytick.color": LIGHT.line,
    "xtick.labelcolor": LIGHT.quiet,
    "ytick.labelcolor": LIGHT.quiet,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "ytick.major.size": 0,
    "hatch.linewidth": 0.5,
}


@contextmanager
def drawing(width: int, height: int) -> Iterator[Figure]:
    """Give a figure of so many pixels, in the house style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / DOTS, height / DOTS), dpi=DOTS)
        figure.patch.set_alpha(0.0)
        yield figure


def to_svg(figure: Figure, name: str, label: str, *, simulated: bool = False) -> Markup:
    """Write a figure as an `<svg>` for a page that holds others.

    Parameters
    ----------
    figure : Figure
    name : str
        Unique on the page.
    label : str
        What it shows, for those who do not see it.
    simulated : bool
        Whether it shows data that nobody traded; it is then marked across.
    """
    if simulated:
        mark_simulated(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Markup(themed(buffer.getvalue(), name, label))  # matplotlib escapes its text


def mark_simulated(figure: Figure) -> None:
    """Write across a figure that nobody traded what it shows."""
    size = min(figure.get_figwidth() * 8.0, figure.get_figheight() * 14.0)
    figure.text(
        0.45, 0.5, "simulated", color=LIGHT.simulated, alpha=SIMULATED_ALPHA, fontsize=size, fontweight="bold",
        rotation=12, ha="center", va="center",
    )  # fmt: skip


_COLOURS = {getattr(LIGHT, field).lower(): f"var(--{field})" for field in LIGHT.__slots__}


def themed(svg: str, name: str, label: str) -> str:
    """Make a drawing part of a page: its colours from the page, its text in the page's type, its ids its own."""
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="[^"]*"', body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r" font-family: [^;\"]*;?", "", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda match: _COLOURS.get(match[0], match[0]), body)
    body = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = re.sub(r"(\d\.\d\d)\d+", r"\1", body)  # a hundredth of a pixel is enough
    body = re.sub(r"\s*\n\s*", "\n", body[body.index(">") + 1 :])
    opening = f'<svg class="chart" {box[0] if box else ""} role="img" aria-label="{escape(label)}"'
    return f'{opening} xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'


def instants(times_ms: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Moments as matplotlib's date axis takes them."""
    return times_ms.astype("M8[ms]")


def calendar(axes: Axes, *, ticks: int) -> None:
    """Label a time axis (UTC) with few and short dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=ticks)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def thinned(n: int, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Where each bin of a long series begins, at most so many bins."""
    return np.unique(np.linspace(0, n, min(n, most) + 1).astype(np.int64))[:-1] if n else np.empty(0, np.int64)


def growth_axis(axes: Axes, low: float, high: float) -> None:
    """Make the axis of equity over cash: logarithmic, written as gain since the start, with the start marked.

    Parameters
    ----------
    axes : Axes
    low, high : float
        Least and most that is shown; 1 is the start.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = min(low, 1.0), max(high, 1.0)
    axes.set_yscale("log")
    axes.axhline(1.0, color=LIGHT.quiet, linewidth=0.6)
    axes.set_ylim(low / (high / low) ** 0.06 / 1.0005, high * (high / low) ** 0.06 * 1.0005)
    steps = np.asarray(MaxNLocator(6).tick_values(low - 1.0, high - 1.0)) + 1.0
    decades = LogLocator(10.0, subs=(1.0, 2.0, 5.0))
    axes.yaxis.set_major_locator(decades if high / low > 6.0 else FixedLocator(steps[steps > 0.0].tolist()))
    axes.yaxis.set_minor_locator(NullLocator())
    decimals = 0 if high / low > 1.08 else 1
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: percent(x - 1.0, decimals, signed=True)))
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_title("Equity since the start, log axis", loc="left", fontsize=SMALL, color=LIGHT.quiet)


def end_labels(axes: Axes, ends: Sequence[tuple[str, float, str, str]], *, apart: float = 0.13) -> None:
    """Name lines where they end, far enough apart to read.

    Parameters
    ----------
    axes : Axes
        With a logarithmic axis of equity over cash.
    ends : sequence of tuple
        Name, last value, colour and weight of each line.
    apart : float
        Least distance of two names, as a share of the height.
    """
    low, high = (float(np.log(limit)) for limit in axes.get_ylim())
    places = _spread([(float(np.log(value)) - low) / (high - low) for _, value, _, _ in ends], apart)
    for place, (name, value, colour, weight) in zip(places, ends, strict=True):
        axes.text(
            1.015, place, f"{name}\n{percent(value - 1.0, signed=True)}", transform=axes.transAxes, color=colour,
            fontweight=weight, va="center", fontsize=SMALL, linespacing=1.25,
        )  # fmt: skip


def _spread(places: Sequence[float], apart: float) -> list[float]:
    """Move places apart in their order, each by as little as it takes."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    groups: list[list[float]] = []  # of names that touch: the place of the lowest, and how many there are
    for k in order:
        groups.append([places[k], 1.0])
        while len(groups) > 1 and groups[-1][0] < groups[-2][0] + groups[-2][1] * apart:
            lowest, n = groups.pop()
            below, m = groups[-1]
            middle = ((below + (m - 1.0) * apart / 2.0) * m + (lowest + (n - 1.0) * apart / 2.0) * n) / (m + n)
            groups[-1] = [middle - (m + n - 1.0) * apart / 2.0, m + n]
    moved = [lowest + k * apart for lowest, n in groups for k in range(int(n))]
    found = [0.0] * len(places)
    for k, place in zip(order, moved, strict=True):
        found[k] = place
    return found


def falls(axes: Axes, times: NDArray[np.datetime64], fall: Array, benchmark_fall: Array) -> None:
    """Draw the fall from the peak, and that of what it is compared with."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.fill_between(times, fall, 0.0, color=LIGHT.bearish, alpha=0.30, linewidth=0)
    axes.plot(times, fall, color=LIGHT.bearish, linewidth=0.9)
    axes.plot(times, benchmark_fall, color=LIGHT.quiet, linewidth=0.8, linestyle=(0, (4, 2)))
    deepest = min(fall.min(), benchmark_fall.min(), -0.001)
    axes.set_ylim(deepest * 1.08, 0.0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: percent(x, 0 if deepest < -0.03 else 1)))
    axes.set_title("Drawdown", loc="left", fontsize=SMALL, color=LIGHT.quiet)


def bucket_height(buckets: np.ndarray, width: int) -> int:
    """Height in pixels of the chart of forward returns by score.

    Parameters
    ----------
    buckets : array
        Fields horizon, low, high, bars, mean_bp, low_bp, high_bp; the row from 0 to 100 is all bars together.
    width : int, pixels
    """
    return 60 + 250 * _bucket_rows(len(np.unique(buckets["horizon"])), width)[0]


def _bucket_rows(horizons: int, width: int) -> tuple[int, int]:
    """Rows and columns of panels."""
    columns = horizons if width >= WIDE else min(horizons, 2)
    return -(-horizons // max(columns, 1)), columns


def paint_buckets(figure: Figure, buckets: np.ndarray, width: int) -> None:
    """Paint mean forward returns by score and their 95 % intervals, one panel a horizon, on a figure of that height."""
    horizons = list(dict.fromkeys(buckets["horizon"].tolist()))
    rows, columns = _bucket_rows(len(horizons), width)
    height = bucket_height(buckets, width)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for k, panel in enumerate(panels):
        if k < len(horizons):
            bucket_panel(panel, buckets[buckets["horizon"] == horizons[k]], f"after {horizons[k]}, bp")
        else:
            panel.set_visible(False)
    figure.subplots_adjust(
        left=64 / width, right=1 - 12 / width, top=1 - 30 / height, bottom=40 / height, wspace=0.12, hspace=0.32
    )


def bucket_panel(axes: Axes, rows: np.ndarray, title: str) -> None:
    """Paint mean forward returns by score and their intervals, of one horizon."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    every = (rows["low"] == 0.0) & (rows["high"] == 100.0)
    market, rows = float(rows["mean_bp"][every][0]), rows[~every]
    place = np.arange(len(rows), dtype=np.float64)
    sure = np.isfinite(rows["low_bp"])
    apart = sure & ((rows["low_bp"] > market) | (rows["high_bp"] < market))
    axes.axvline(0.0, color=LIGHT.line, linewidth=1.0)
    if market == market:
        axes.axvline(market, color=LIGHT.quiet, linewidth=0.8, linestyle=(0, (4, 2)))
    there, better = np.isfinite(rows["mean_bp"]), rows["mean_bp"] > market
    for colour, of in (
        (LIGHT.neutral, there & ~apart),
        (LIGHT.bullish, there & apart & better),
        (LIGHT.bearish, there & apart & ~better),
    ):
        axes.hlines(place[of & sure], rows["low_bp"][of & sure], rows["high_bp"][of & sure], colour, linewidth=1.6)
        for some, face in ((of & sure, colour), (of & ~sure, "none")):
            axes.plot(rows["mean_bp"][some], place[some], "o", color=colour, markersize=5, markerfacecolor=face)
    reach = np.concatenate((rows["low_bp"][sure], rows["high_bp"][sure], rows["mean_bp"][sure], [market, 0.0]))
    reach = reach[np.isfinite(reach)]
    room = 0.08 * max(float(np.ptp(reach)), 1.0)
    axes.set_xlim(float(reach.min()) - room, float(reach.max()) + room)
    axes.set_yticks(place, [f"{row['low']:g} to {row['high']:g}" for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", MINUS) if x else "0"))
    axes.set_title(title, loc="left", fontsize=SMALL, color=LIGHT.quiet)
