"""Pictures for a notebook: one function a class, each on one pair of axes, in the house style.

`.plot()` of frames, scores, explanations, results, sweeps, certificates and information tables comes here
(pictures.py). What is simulated is marked across, and what is not known is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.clock import iso
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.labels import close_index
from virtuoso.reports.charts.base import SMALL, STYLE, calendar, thinned
from virtuoso.reports.format import percent
from virtuoso.reports.palette import LIGHT, SIMULATED_ALPHA

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from virtuoso.market.frame import MarketFrame
    from virtuoso.prism.laws.certificate import Certificate
    from virtuoso.prism.result.explanation import Explanation
    from virtuoso.prism.result.scores import Scores

SIZE = (10.0, 4.0)
DASHED = (0, (4, 2))
MOST_ROWS = 20
"""Lines of an information table that are drawn, those with the largest coefficients."""

Painter = Callable[..., None]


def _picture(paint: Painter) -> Callable[..., Axes]:
    """Make axes where none are given, and draw in the house style."""

    @wraps(paint)
    def drawn(what: Any, ax: Axes | None = None, **how: Any) -> Axes:
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        with mpl.rc_context(STYLE):
            axes = plt.subplots(figsize=SIZE, layout="constrained")[1] if ax is None else ax
            paint(what, axes, **how)
        return axes

    return drawn


@_picture
def frame(market: MarketFrame, axes: Axes) -> None:
    """Draw the close, and the range from low to high behind it."""
    _check(len(market), "frame")
    starts = thinned(len(market))
    table = market.to_pandas()
    low = np.fmin.reduceat(table["low"].to_numpy(), starts)
    high = np.fmax.reduceat(table["high"].to_numpy(), starts)
    last = np.append(starts[1:], len(table)) - 1
    at = table.index.to_numpy()[last]
    axes.fill_between(at, low, high, color=LIGHT.line, linewidth=0)
    axes.plot(at, table["close"].to_numpy()[last], color=LIGHT.ink, linewidth=1.0)
    _dress(axes, f"{market.instrument} {market.timeframe}: close, low to high", market.instrument.is_simulated)


@_picture
def scores(found: Scores, axes: Axes, *, of: str = "confluence") -> None:
    """Draw a score as an area around 50: above is bullish, below bearish; `of` names it, as a subscript does."""
    _check(len(found), "scores")
    series = found[of]
    starts = thinned(len(series))
    last = np.append(starts[1:], len(series)) - 1
    at, values = series.index.to_numpy()[last], series.to_numpy()[last]
    known = np.isfinite(values)
    for colour, part in ((LIGHT.bullish, values >= 50.0), (LIGHT.bearish, values <= 50.0)):
        axes.fill_between(at, 50.0, np.where(part, values, 50.0), where=known, color=colour, alpha=0.55, linewidth=0)
    axes.axhline(50.0, color=LIGHT.quiet, linewidth=0.8)
    axes.set_ylim(0.0, 100.0)
    instrument = found.frame.instrument
    _dress(axes, f"{instrument} {found.frame.timeframe}: {of}, 0 to 100", instrument.is_simulated)


@_picture
def explanation(moment: Explanation, axes: Axes) -> None:
    """Draw what each line adds to, or takes from, a score of 50: its weight times its distance from 50."""
    rows = [row for row in moment.rows if row.score == row.score][::-1]
    _check(len(rows), "explanation")
    pushed = np.array([row.weight * (row.score - 50.0) for row in rows])
    colours = np.where(pushed >= 0.0, LIGHT.bullish, LIGHT.bearish)
    axes.barh([row.title for row in rows], pushed, color=colours.tolist(), height=0.7)
    axes.axvline(0.0, color=LIGHT.quiet, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    total = 50.0 + float(pushed.sum())
    what = "confluence" if moment.face is None else moment.face
    _title(axes, f"{moment.symbol} {moment.venue} {moment.timeframe} at {iso(moment.time)}: {what} {total:.1f}, "
                 "points from 50")  # fmt: skip


@_picture
def result(run: Any, axes: Axes) -> None:
    """Draw the growth of a backtest's equity and of buying and holding, in percent of the cash at the start."""
    starts = thinned(len(run.close_times))
    last = np.append(starts[1:], len(run.close_times)) - 1
    at = close_index(run.close_times).to_numpy()[last]
    lines = (
        ("buy and hold", run.benchmark, LIGHT.quiet, DASHED, 1.0),
        ("strategy", run.run.equity, LIGHT.ink, "solid", 1.5),
    )
    for name, equity, colour, style, width in lines:
        grown = equity[last] / run.account.cash - 1.0
        axes.plot(at, 100.0 * grown, color=colour, linestyle=style, linewidth=width, label=name)
        axes.annotate(f" {name} {percent(float(grown[-1]), signed=True)}", (at[-1], 100.0 * grown[-1]), color=colour,
                      fontsize=SMALL, va="center", annotation_clip=False)  # fmt: skip
    axes.axhline(0.0, color=LIGHT.line, linewidth=0.8)
    _dress(axes, f"{', '.join(map(str, run.instruments[:3]))} {run.timeframe}: growth, %", run.is_simulated)


@_picture
def sweep(found: Any, axes: Axes, *, by: str | None = None) -> None:
    """Draw a figure of every configuration: as a heat map where a grid varies two columns, else in order of size."""
    by = by or found.ranked_by
    if by not in found.metrics:
        raise ConfigError(f"A sweep has no figure {by!r}. {did_you_mean(by, found.metrics)}")
    values = found.metrics[by]
    varied = found.varied
    simulated = found.frame.instrument.is_simulated
    if len(varied) == 2 and _heat_map(found, axes, varied, values):
        _title(axes, f"{by} of {len(found):,} configurations, simulated" if simulated else
               f"{by} of {len(found):,} configurations")  # fmt: skip
        return
    known = np.sort(values[np.isfinite(values)])
    _check(len(known), f"figure {by!r}")
    axes.plot(np.linspace(0.0, 100.0, len(known)), known, color=LIGHT.ink, linewidth=1.2)
    axes.axhline(float(values[0]), color=LIGHT.quiet, linewidth=0.8, linestyle=DASHED)
    axes.set_xlabel("share of the configurations, %", fontsize=SMALL)
    _dress(axes, f"{by} of {len(known):,} configurations in order; dashed: the first", simulated, times=False)


@_picture
def study(found: Any, axes: Axes) -> None:
    """Draw what the winners of a study's rounds came to on days that none had seen, beside the default and holding."""
    walk = found.walk_forward
    _check(len(walk["date"]), "study, which tested nothing out of sample,")
    at = walk["date"].astype("datetime64[ms]")
    lines = (
        ("buy and hold", "buy_and_hold", LIGHT.quiet, DASHED, 1.0),
        ("untuned", "untuned", LIGHT.quiet, "solid", 1.0),
        ("tuned", "return", LIGHT.ink, "solid", 1.5),
    )
    for name, column, colour, style, width in lines:
        grown = 100.0 * (np.cumprod(1.0 + walk[column]) - 1.0)
        axes.plot(at, grown, color=colour, linestyle=style, linewidth=width)
        axes.annotate(f" {name}", (at[-1], grown[-1]), color=colour, fontsize=SMALL, va="center", annotation_clip=False)
    for first in np.flatnonzero(walk["round"][1:] != walk["round"][:-1]) + 1:
        axes.axvline(at[first], color=LIGHT.line, linewidth=0.8)
    axes.axhline(0.0, color=LIGHT.line, linewidth=0.8)
    _dress(axes, f"{found.study.name}: growth out of sample, %; a line where another winner begins",
           bool(found.config["simulated"]))  # fmt: skip


def _heat_map(found: Any, axes: Axes, varied: list[str], values: np.ndarray) -> bool:
    """Draw a full grid of two columns; False where it is none."""
    across, up = (np.unique(found.configurations.columns[name]) for name in varied)
    if len(across) * len(up) != len(found):
        return False
    grid = np.full((len(up), len(across)), np.nan)
    place = [np.searchsorted(axis, found.configurations.columns[name]) for axis, name in
             zip((across, up), varied, strict=True)]  # fmt: skip
    grid[place[1], place[0]] = values
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="cividis")
    axes.set_xticks(range(len(across)), [f"{value:g}" for value in across])
    axes.set_yticks(range(len(up)), [f"{value:g}" for value in up])
    axes.set_xlabel(varied[0], fontsize=SMALL)
    axes.set_ylabel(varied[1], fontsize=SMALL)
    axes.grid(visible=False)
    figure = axes.get_figure()
    if figure is not None:
        figure.colorbar(image, ax=axes)
    return True


@_picture
def certificate(found: Certificate, axes: Axes) -> None:
    """Draw how many findings of each law hold, are broken, are noted or could not be tested."""
    counts: Counter[tuple[str, str]] = Counter((finding.law, finding.verdict) for finding in found.findings)
    laws = list(dict.fromkeys(finding.law for finding in found.findings))[::-1]
    _check(len(laws), "certificate")
    left = np.zeros(len(laws))
    colours = {"holds": LIGHT.bullish, "BROKEN": LIGHT.bearish, "noted": LIGHT.accent, "not tested": LIGHT.line}
    for verdict, colour in colours.items():
        width = np.array([counts[law, verdict] for law in laws], dtype=np.float64)
        if width.any():
            axes.barh(laws, width, left=left, color=colour, height=0.7, label=verdict)
        left += width
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, fontsize=SMALL)
    _title(axes, f"{found.instrument} {found.timeframe}: findings by law")


@_picture
def information(found: Any, axes: Axes, *, horizon: str | None = None) -> None:
    """Draw both coefficients of one horizon with their 95 % intervals, those with the largest rank IC."""
    horizons = list(dict.fromkeys(found.rows["horizon"].tolist()))
    _check(len(horizons), "information table")
    chosen = horizon or horizons[len(horizons) // 2]
    if chosen not in horizons:
        raise ConfigError(f"There is no horizon {chosen!r} in the table. {did_you_mean(chosen, horizons)}")
    rows = found.rows[(found.rows["horizon"] == chosen) & np.isfinite(found.rows["ic"])]
    rows = rows[np.argsort(-np.abs(rows["ic"]), kind="stable")][:MOST_ROWS][::-1]
    place = np.arange(len(rows), dtype=float)
    for of, ends, marker, colour, shift, words in (
        ("ic", ("low", "high"), "o", LIGHT.ink, 0.16, "rank IC: hits"),
        ("linear", ("linear_low", "linear_high"), "D", LIGHT.accent, -0.16, "linear IC: money"),
    ):
        axes.hlines(place + shift, rows[ends[0]], rows[ends[1]], color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(rows[of], place + shift, marker, color=colour, markersize=3.5, label=words)
    needed = found.break_even["needed_ic"][found.break_even["horizon"] == chosen][0]
    if needed < 2.0 * np.nanmax(np.abs(np.concatenate([rows[name] for name in ("low", "high", "ic")]))):
        axes.axvline(needed, color=LIGHT.bearish, linewidth=0.9, linestyle=DASHED, label="earns a round trip")
    axes.legend(frameon=False, fontsize=SMALL, loc="lower right")
    axes.axvline(0.0, color=LIGHT.quiet, linewidth=0.8)
    axes.set_yticks(place, rows["name"].tolist(), fontsize=SMALL)
    axes.grid(axis="y", visible=False)
    _title(axes, f"Information coefficients after {chosen}, 95 % intervals: the {len(rows)} largest rank ICs")


def _check(n: int, what: str) -> None:
    if n == 0:
        raise ConfigError(f"This {what} holds nothing that could be drawn.")


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, loc="left", fontsize=SMALL, color=LIGHT.quiet)


def _dress(axes: Axes, words: str, simulated: bool, *, times: bool = True) -> None:
    """Label the axes, and mark across them what nobody traded."""
    if times:
        calendar(axes, ticks=8)
    if simulated:
        axes.text(0.5, 0.5, "simulated", transform=axes.transAxes, color=LIGHT.simulated, alpha=SIMULATED_ALPHA,
                  fontsize=48, fontweight="bold", rotation=12, ha="center", va="center")  # fmt: skip
    _title(axes, words)
