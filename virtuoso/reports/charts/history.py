"""Charts of what a run went through: rolling figures, what trades were like, and when they were entered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from virtuoso.reports.charts.base import SMALL, WIDE, calendar, instants
from virtuoso.reports.charts.sheet import Chart
from virtuoso.reports.format import MINUS, number, percent, plural
from virtuoso.reports.history import Rolling, by_clock, returns_of_trades, streaks
from virtuoso.reports.palette import LIGHT
from virtuoso.reports.rows import duration
from virtuoso.runs.read import RunTable
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 40
"""Bars of a histogram, at most."""
TAILS = (0.01, 0.99)
"""Shares of the values that a histogram shows to scale: what lies beyond is counted in its last bars."""
MOST_DOTS, MOST_STEPS = 500, 400
"""Trades, and steps of a line, that are drawn: more would only make the page heavy."""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def rolling(found: Rolling, width: int, *, simulated: bool) -> Chart:
    """Draw rolling Sharpe ratio, volatility and exposure."""
    label = f"Sharpe ratio, volatility and exposure of the {found.days} days before each day"
    height = 330 if width >= WIDE else 360
    return Chart("rolling", label, width, height, lambda figure: _rolling(figure, found), simulated)


def _rolling(figure: Figure, found: Rolling) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    shown = [("Sharpe", found.sharpe, False), ("Volatility (annual)", found.volatility, True)]
    if np.isfinite(found.exposure).any():
        shown.append(("Exposure, notional over equity", found.exposure, True))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    some = np.unique(np.linspace(0, len(found.times) - 1, min(len(found.times), MOST_STEPS)).astype(np.int64))
    times = instants(found.times[some])
    for axes, (name, every, share) in zip(panels, shown, strict=True):
        values = every[some]
        axes.plot(times, values, color=LIGHT.ink, linewidth=1.1)
        if not share:
            axes.axhline(0.0, color=LIGHT.quiet, linewidth=0.6)
            axes.fill_between(times, values, 0.0, where=values > 0.0, color=LIGHT.bullish, alpha=0.18, linewidth=0)
            axes.fill_between(times, values, 0.0, where=values < 0.0, color=LIGHT.bearish, alpha=0.18, linewidth=0)
        else:
            axes.set_ylim(0.0, max(float(np.nanmax(values, initial=0.0)) * 1.08, 1e-6))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda x, _, share=share: percent(x, 0 if x >= 0.02 or not x else 1) if share else _plain(x))
        )
        axes.set_title(name, loc="left", fontsize=SMALL, color=LIGHT.quiet)
        axes.set_xlim(times[0], times[-1])
        if axes is not panels[-1]:
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(axis="x", length=0)
    calendar(panels[-1], ticks=9 if width >= WIDE else 5)
    figure.subplots_adjust(left=52 / width, right=1 - 12 / width, top=1 - 22 / height, bottom=24 / height, hspace=0.42)


def distributions(trades: RunTable, width: int, bar_ms: int, *, simulated: bool) -> Chart:
    """Draw how results, excursions, holding times and streaks of the closed trades are spread."""
    wide = width >= WIDE
    label = f"Results, excursions, holding times and streaks of {plural(len(trades['pnl']), 'closed trade')}"
    height = 250 if wide else 470
    return Chart("spread", label, width, height, lambda figure: _distributions(figure, trades, bar_ms), simulated)


def _distributions(figure: Figure, trades: RunTable, bar_ms: int) -> None:
    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    wide = width >= WIDE
    panels = figure.subplots(*((1, 4) if wide else (2, 2)), squeeze=False).ravel()
    gained, unit = returns_of_trades(trades)
    _signed_histogram(panels[0], gained, f"Result of a trade, {unit}; dashed: mean")
    _excursions(panels[1], trades)
    _holding(panels[2], trades, bar_ms)
    _streaks(panels[3], trades["pnl"] > 0.0)
    figure.subplots_adjust(
        left=38 / width, right=1 - 12 / width, top=1 - 26 / height, bottom=40 / height,
        wspace=0.24 if wide else 0.3, hspace=0.5,
    )  # fmt: skip


def _signed_histogram(axes: Axes, values: Array, title: str) -> None:
    """Draw a histogram whose bars are coloured by the side of nothing that they are on."""
    known = values[np.isfinite(values)]
    axes.set_title(title, loc="left", fontsize=SMALL, color=LIGHT.quiet)
    if not len(known):
        return
    low, high = (float(x) for x in np.quantile(known, TAILS))
    step = max((high - low) / BINS, 1e-9)
    edges = step * np.arange(np.floor(low / step), np.ceil(high / step) + 1.0)  # nothing is an edge
    counts, edges = np.histogram(np.clip(known, edges[0], edges[-1]), edges)
    rises = edges[:-1] >= -step / 2.0
    for part, colour in ((rises, LIGHT.bullish), (~rises, LIGHT.bearish)):
        axes.stairs(np.where(part, counts, 0), edges, fill=True, color=colour, alpha=0.75, linewidth=0)
    axes.axvline(0.0, color=LIGHT.quiet, linewidth=0.8)
    axes.axvline(float(known.mean()), color=LIGHT.ink, linewidth=0.9, linestyle=(0, (4, 2)))
    _counted(axes)


def _excursions(axes: Axes, trades: RunTable) -> None:
    """Draw the best price of each trade against its worst one, winners and losers apart by mark."""
    n = len(trades["pnl"])
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_DOTS)).astype(np.int64))
    words = "MAE (across), MFE, %" + (f"; {plural(len(some), 'trade')}" if len(some) < n else "")
    axes.set_title(words, loc="left", fontsize=SMALL, color=LIGHT.quiet)
    if "mae" not in trades:
        axes.text(0.5, 0.5, "not in this run folder", transform=axes.transAxes, ha="center", color=LIGHT.quiet)
        axes.set_yticks([])
        axes.set_xticks([])
        return
    worst, best, won = -100.0 * trades["mae"][some], 100.0 * trades["mfe"][some], trades["pnl"][some] > 0.0
    size = 3.0 if len(won) < 400 else 1.8
    for part, mark, colour in ((won, "^", LIGHT.bullish), (~won, "v", LIGHT.bearish)):
        axes.plot(worst[part], best[part], mark, color=colour, markersize=size, alpha=0.55, markeredgewidth=0.0)
    both = np.concatenate((worst, best))
    both = both[np.isfinite(both)]
    reach = float(np.quantile(both, 0.995)) * 1.05 if len(both) else 1.0
    axes.set_xlim(0.0, reach or 1.0)
    axes.set_ylim(0.0, reach or 1.0)
    _few_ticks(axes)


def _holding(axes: Axes, trades: RunTable, bar_ms: int) -> None:
    """Draw how long trades were held, on a logarithmic axis: winners above, losers below."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    held = (trades["exit_bar_time"] - trades["entry_time"] + bar_ms).astype(np.float64)
    won = trades["pnl"] > 0.0
    low, high = float(held.min()), float(held.max())
    edges = np.geomspace(low, max(high, low * 1.5) * 1.0001, min(BINS // 2, 18) + 1)
    for part, way, colour in ((won, 1.0, LIGHT.bullish), (~won, -1.0, LIGHT.bearish)):
        counts, _ = np.histogram(held[part], edges)
        axes.stairs(way * counts, edges, fill=True, color=colour, alpha=0.75, linewidth=0)
    axes.axhline(0.0, color=LIGHT.quiet, linewidth=0.8)
    axes.set_xscale("log")
    ticks = np.geomspace(edges[0], edges[-1], 4)[[0, 1, 2, 3]]
    axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: duration(round(x))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number(abs(x), 0)))
    axes.set_title("Held: winners up, losers down", loc="left", fontsize=SMALL, color=LIGHT.quiet)


def _streaks(axes: Axes, won: NDArray[np.bool_]) -> None:
    """Draw how many winning and losing streaks of each length there were."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    lengths = streaks(won)
    first = bool(won[0]) if len(won) else True
    winning = (np.arange(len(lengths)) % 2 == 0) == first
    for part, way, colour in ((winning, 1.0, LIGHT.bullish), (~winning, -1.0, LIGHT.bearish)):
        counts = np.bincount(lengths[part], minlength=2)
        axes.stairs(way * counts[1:], np.arange(len(counts)) + 0.5, fill=True, color=colour, alpha=0.75, linewidth=0)
    axes.axhline(0.0, color=LIGHT.quiet, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number(abs(x), 0)))
    axes.set_title("Streaks by length: winning up", loc="left", fontsize=SMALL, color=LIGHT.quiet)


def clock(trades: RunTable, width: int, *, simulated: bool) -> Chart:
    """Draw the mean result of trades by the hour and the weekday of their entry."""
    wide = width >= WIDE
    label = "Mean result of trades by hour and weekday of their entry"
    return Chart("clock", label, width, 190 if wide else 340, lambda figure: _clock(figure, trades), simulated)


def _clock(figure: Figure, trades: RunTable) -> None:
    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    wide = width >= WIDE
    found, (_, unit) = by_clock(trades), returns_of_trades(trades)
    if wide:
        panels = figure.subplots(1, 2, squeeze=False, width_ratios=(24, 9)).ravel()
    else:
        panels = figure.subplots(2, 1, squeeze=False).ravel()
    names = {"hour": [f"{hour:02d}" for hour in range(24)], "weekday": list(WEEKDAYS)}
    for axes, (by, (mean, count)) in zip(panels, found.items(), strict=True):
        place, thick = np.arange(len(mean)), (20.0 if by == "weekday" or wide else 8.0)
        for part, colour in ((mean >= 0.0, LIGHT.bullish), (mean < 0.0, LIGHT.bearish)):
            axes.vlines(place[part], 0.0, mean[part], color=colour, alpha=0.8, linewidth=thick, capstyle="butt")
        axes.set_xlim(-0.7, len(mean) - 0.3)
        axes.axhline(0.0, color=LIGHT.quiet, linewidth=0.8)
        step = 1 if by == "weekday" or wide else 3
        labels = [f"{name}\n{n}" for name, n in zip(names[by], count.tolist(), strict=True)]
        axes.set_xticks(place[::step], labels[::step])
        axes.tick_params(axis="x", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(f"By {by} of entry (UTC): mean, {unit}; below: trades", loc="left", fontsize=SMALL,
                       color=LIGHT.quiet)  # fmt: skip
        _few_ticks(axes, across=False)
    figure.subplots_adjust(
        left=44 / width, right=1 - 8 / width, top=1 - 24 / height, bottom=36 / height, wspace=0.14, hspace=0.5
    )


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _counted(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _plain(x)))


def _few_ticks(axes: Axes, *, across: bool = True) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis) if across else (axes.yaxis,):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda x, _: _plain(x)))
