"""Trades on price: candles of the last trades, their stops and targets, and the scores of the faces below.

1. `stretch` chooses bars: the fastest clock of the ladder on which the last trade is short enough to be seen whole.
2. Only bars that were in the data are drawn. What is not known is hatched, and the scores have a gap there too.
3. Faces lean above or below their middle line: position says what colour says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import OPEN, SIGNAL
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN, has_traded
from virtuoso.market.schema.columns import PRICES
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.charts.base import DOTS, SMALL, instants
from virtuoso.reports.format import number, percent, price
from virtuoso.reports.palette import LIGHT
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 180
"""Bars that are shown, at most."""
AFTER = 24
"""Bars shown after the end of the last trade."""
LONGEST = 110
"""Bars that the last trade may take before a slower clock is chosen."""
BODY = 0.66
CLOCKS = tuple(map(Timeframe, ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "12h", "1d")))


def slower_clocks(base: Timeframe) -> list[Timeframe]:
    """Return a clock and the usual ones that it divides, fastest first."""
    return [base, *(clock for clock in CLOCKS if clock > base and not clock.ms % base.ms)]


@dataclass(frozen=True)
class ChartBars:
    """Bars that are shown.

    Attributes
    ----------
    bars : Bars
        On the clock of the chart, cut to the stretch.
    base : Timeframe
        Clock of the trades and scores.
    """

    bars: Bars
    base: Timeframe

    @property
    def ratio(self) -> int:
        """Base bars in one bar."""
        return self.bars.timeframe.ratio(self.base)

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """Whether a bar was in the data: traded, and every price of it known."""
        prices = [self.bars.columns[name] for name in PRICES]
        whole: NDArray[np.bool_] = has_traded(self.bars.state) & np.isfinite(prices).all(axis=0)
        return whole

    def place(self, base_number: NDArray[np.int64]) -> Array:
        """Where a base bar lies on the axis, in bars of the chart from its first one."""
        where: Array = (base_number + 0.5) / self.ratio - 0.5 - self.bars.first
        return where


def chart_bars(market: Scores | MarketFrame, trades: np.ndarray, bars: int = BARS) -> ChartBars:
    """Choose the clock and the bars on which the last trades can be seen.

    Parameters
    ----------
    market : Scores or MarketFrame
        Scores are shown on a clock of their ladder, a frame on one of the usual ones.
    trades : array of TRADE
    bars : int
        How many to show, at most.
    """
    if isinstance(market, MarketFrame):
        frame, clocks = market, slower_clocks(market.timeframe)
    else:
        frame, clocks = market.frame, [timeframe for timeframe, _ in market.prism.ladder(market.frame.timeframe)]
    last, chosen = market.start + len(market), clocks[0]
    if len(trades):
        span = int(trades["exit_number"][-1] - trades["entry_number"][-1])
        fits = [timeframe for timeframe in clocks if span <= LONGEST * timeframe.ratio(frame.timeframe)]
        chosen = fits[0] if fits else clocks[-1]
    ratio = chosen.ratio(frame.timeframe)
    end = last // ratio
    if len(trades):
        end = min(end, int(trades["exit_number"][-1]) // ratio + 1 + AFTER)
    first = max(end - bars, -(-market.start // ratio))
    shown = frame.bars(chosen)
    return ChartBars(shown.since(first).until(end), frame.timeframe)


def time_axis(panels: list[Axes], shown: ChartBars, ticks: int) -> None:
    """Bars stand at whole numbers; dates are written where the calendar has round ones."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date

    bars = shown.bars
    first, ms = bars.timeframe.open_time(bars.first), bars.timeframe.ms
    edges = date2num(instants(np.array([first, first + len(bars) * ms])))
    locator = AutoDateLocator(minticks=2, maxticks=ticks)
    dates = [date for date in locator.tick_values(*num2date(edges)) if edges[0] <= date <= edges[1]]
    labels = ConciseDateFormatter(locator, show_offset=False).format_ticks(dates)
    places = [(date - edges[0]) * 86_400_000 / ms - 0.5 for date in dates]
    panels[-1].set_xticks(places, labels)
    panels[-1].set_xlim(-1.0, len(bars))
    for panel in panels[:-1]:
        panel.tick_params(axis="x", length=0, labelbottom=False)
        panel.spines["bottom"].set_visible(False)
    for panel in panels:
        _hatch_unknown(panel, shown)


def _hatch_unknown(axes: Axes, shown: ChartBars) -> None:
    """Hatch the stretches that are not known, over the whole height."""
    unknown = np.concatenate(([0], (shown.bars.state == UNKNOWN).astype(np.int8), [0]))
    for a, b in np.flatnonzero(np.diff(unknown)).reshape(-1, 2):
        axes.axvspan(a - 0.5, b - 0.5, facecolor="none", edgecolor=LIGHT.line, hatch="////", linewidth=0)


def price_panel(axes: Axes, shown: ChartBars, trades: np.ndarray, *, wide: bool) -> None:
    """Draw candles with the trades that touch the stretch, and the levels of the last of them at the right edge.

    Parameters
    ----------
    axes : Axes
    shown : ChartBars
    trades : array of TRADE
    wide : bool
        Whether there is room to write prices beside the levels.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    _candles(axes, shown)
    visible = trades[
        (shown.place(trades["exit_number"]) >= 0.0) & (shown.place(trades["entry_number"]) < len(shown.bars))
    ]
    for trade in visible:
        _trade(axes, shown, trade)
    if len(visible):
        _levels(axes, visible[-1], wide)
    axes.yaxis.tick_right()
    axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: price(x)))


def _candles(axes: Axes, shown: ChartBars) -> None:
    """Hollow where the close is higher, filled where it is lower: readable without colour."""
    from matplotlib.collections import LineCollection, PolyCollection

    at = np.flatnonzero(shown.drawn).astype(np.float64)
    open_, high, low, close = (shown.bars.columns[name][shown.drawn] for name in PRICES)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    for rises, colour in ((True, LIGHT.bullish), (False, LIGHT.bearish)):
        chosen = (close >= open_) == rises
        x, body_top, body_bottom = at[chosen], top[chosen], bottom[chosen]
        left, right = x - BODY / 2.0, x + BODY / 2.0
        lower = np.stack((np.column_stack((x, low[chosen])), np.column_stack((x, body_bottom))), axis=1)
        upper = np.stack((np.column_stack((x, body_top)), np.column_stack((x, high[chosen]))), axis=1)
        axes.add_collection(LineCollection(list(lower) + list(upper), colors=colour, linewidths=0.8))
        corners = ((left, body_bottom), (right, body_bottom), (right, body_top), (left, body_top))
        boxes = list(np.stack([np.column_stack(corner) for corner in corners], axis=1))
        face = "none" if rises else colour
        axes.add_collection(PolyCollection(boxes, facecolors=face, edgecolors=colour, linewidths=0.8))
    if len(at):
        axes.update_datalim(np.column_stack((np.tile(at, 2), np.concatenate((low, high)))))
    axes.autoscale_view()


def _trade(axes: Axes, shown: ChartBars, trade: np.void) -> None:
    """Mark where a trade began and ended, and what it risked and hoped for in between."""
    start, end = float(shown.place(trade["entry_number"])), float(shown.place(trade["exit_number"]))
    side, entry = int(trade["side"]), float(trade["entry_price"])
    for level, colour in ((float(trade["stop"]), LIGHT.bearish), (float(trade["target"]), LIGHT.bullish)):
        if level == level:
            axes.fill_between([start, end], [entry] * 2, [level] * 2, color=colour, alpha=0.09, linewidth=0)
            axes.plot([start, end], [level] * 2, color=colour, linewidth=0.9, linestyle=(0, (3, 2)))
    axes.plot([start, end], [entry, float(trade["exit_price"])], color=LIGHT.ink, linewidth=0.8, linestyle=(0, (1, 2)))
    _entry_mark(axes, shown, start, entry, side)
    if trade["reason"] != OPEN:
        axes.plot([end], [float(trade["exit_price"])], "x", color=LIGHT.ink, markersize=6, markeredgewidth=1.4)


def _entry_mark(axes: Axes, shown: ChartBars, start: float, entry: float, side: int) -> None:
    """Put an arrow clear of the bar of the entry: below it pointing up, or above it pointing down."""
    from matplotlib.transforms import ScaledTranslation

    bar = round(start)
    clear = entry
    if 0 <= bar < len(shown.bars) and shown.drawn[bar]:
        clear = float(shown.bars.columns["low" if side > 0 else "high"][bar])
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes that are drawn on belong to one
    away = ScaledTranslation(0.0, -side * 9.0 / DOTS, figure.dpi_scale_trans)
    colour = LIGHT.bullish if side > 0 else LIGHT.bearish
    axes.plot(
        [start], [clear], "^" if side > 0 else "v", color=colour, markersize=10, markeredgecolor=LIGHT.paper,
        markeredgewidth=1.0, transform=axes.transData + away, zorder=4,
    )  # fmt: skip


def _levels(axes: Axes, trade: np.void, wide: bool) -> None:
    """Write the levels of the last trade at the right edge: name, price, distance, R."""
    entry, stop, side = float(trade["entry_price"]), float(trade["stop"]), int(trade["side"])
    named = [("stop", stop), ("entry", entry), ("target", float(trade["target"]))]
    if trade["reason"] == SIGNAL:
        named.append(("exit", float(trade["exit_price"])))
    low, high = axes.get_ylim()
    below = -np.inf
    for name, level in sorted(((n, v) for n, v in named if v == v), key=lambda pair: pair[1]):
        text = f"{name} {price(level)}" if wide else name
        if name != "entry" and wide:
            risked = side * (level - entry) / abs(entry - stop) if stop == stop else float("nan")
            text += f", {percent(level / entry - 1.0, 2, signed=True)}"
            text += f", {number(risked, 1, signed=True)} R" if risked == risked else ""
        below = max((level - low) / (high - low), below + 0.05)
        axes.text(
            1.062 if wide else 0.99, below, text, transform=axes.transAxes, ha="left" if wide else "right", va="center",
            fontsize=SMALL, color=LIGHT.ink, fontweight="bold" if name == "entry" else "normal",
        )  # fmt: skip


def volume_panel(axes: Axes, shown: ChartBars) -> None:
    """Draw the volume of the bars that were in the data."""
    from matplotlib.collections import PolyCollection

    at = np.flatnonzero(shown.drawn)
    left, right, top = at - BODY / 2, at + BODY / 2, shown.bars.columns["volume"][at]
    corners = ((left, 0 * top), (left, top), (right, top), (right, 0 * top))
    outlines = np.stack([np.column_stack(corner) for corner in corners], axis=1)
    axes.add_collection(PolyCollection(list(outlines), facecolors=LIGHT.neutral, alpha=0.45, linewidths=0))
    axes.autoscale_view()
    axes.set_ylim(bottom=0.0)
    axes.set_yticks([])
    axes.text(0.0, 0.98, "volume", transform=axes.transAxes, fontsize=SMALL, color=LIGHT.quiet, va="top")


def score_lines(scores: Scores, shown: ChartBars) -> dict[str, Array]:
    """Return confluence and the faces that are known anywhere, as they stood at the close of each bar that is shown."""
    at = np.arange(shown.bars.first + 1, shown.bars.end + 1) * shown.ratio - 1 - scores.start
    inside = (at >= 0) & (at < len(scores))

    def seen(values: Array) -> Array:
        found = np.full(len(at), np.nan)
        found[inside] = values[at[inside]]
        return found

    faces = {face.title: seen(face.score) for face in scores.faces.values() if np.isfinite(face.score).any()}
    return {"Confluence": seen(scores.confluence), **faces}


def score_reach(lines: Iterable[Array]) -> float:
    """How far from 50 the strips reach: the farthest score that is shown, in tens, the same for all."""
    far = [np.abs(values[np.isfinite(values)] - 50.0).max() for values in lines if np.isfinite(values).any()]
    return min(float(np.ceil(max(far, default=10.0) / 10.0)) * 10.0, 50.0)


def score_panel(axes: Axes, name: str, values: Array, reach: float, wide: bool) -> None:
    """Draw a score as an area around its middle: above is bullish, below bearish."""
    at, known = np.arange(len(values), dtype=np.float64), np.isfinite(values)
    for colour, part in ((LIGHT.bullish, values >= 50.0), (LIGHT.bearish, values <= 50.0)):
        area = np.where(part, values, 50.0)
        axes.fill_between(at, 50.0, area, where=known, step="mid", color=colour, alpha=0.55, linewidth=0)
    axes.axhline(50.0, color=LIGHT.line, linewidth=0.8)
    axes.set_ylim(50.0 - reach, 50.0 + reach)
    axes.set_yticks([])
    first, last = name == "Confluence", number(float(values[-1]), 0) if len(values) else ""
    scale = f"   (strips: 50 ± {reach:.0f})" if first and wide else ""
    look: dict[str, Any] = {"fontsize": SMALL, "color": LIGHT.ink, "fontweight": "bold" if first else "normal"}
    axes.text(1.008, 0.5, f"{last}   {name}{scale}" if wide else last, transform=axes.transAxes, va="center", **look)
    if not wide:
        axes.text(0.0, 0.98, name, transform=axes.transAxes, va="top", **look)
