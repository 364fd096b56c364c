"""Charts of the tear sheet, from the tables of a run folder: equity, trades on price, score buckets, reliability.

A `Chart` is painted when it is wanted, by one function for a page and for paper alike: `svg` for HTML, and the PDF
paints the same figure on its canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from virtuoso.account.metrics import drawdown
from virtuoso.account.records import REASONS, SIGNAL, TRADE
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.columns import PRICES
from virtuoso.reports.charts.base import (
    SMALL,
    WIDE,
    bucket_height,
    calendar,
    drawing,
    end_labels,
    falls,
    growth_axis,
    instants,
    paint_buckets,
    thinned,
    to_svg,
)
from virtuoso.reports.charts.candles import (
    ChartBars,
    price_panel,
    score_panel,
    score_reach,
    time_axis,
    volume_panel,
)
from virtuoso.reports.format import MINUS, percent, plural, price, whole
from virtuoso.reports.palette import LIGHT
from virtuoso.runs.read import Facts, RunData, RunTable
from virtuoso.runs.schema import EQUITY, RELIABILITY, SCORES, TRADES
from virtuoso.runs.schema import PRICES as PRICES_KEPT
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.5))
GONE = 0.001
"""Share of the cash below which equity is drawn no deeper: a logarithmic axis has no zero."""
BEYOND = 4.0
"""R beyond which the mark of a trade is drawn at the edge."""
MOST_STEPS = 800
"""Points of a line on the page, which holds many of them."""
MANY = 300
"""Trades from which on marks are drawn smaller and paler."""
MOST_LIVES = 1_500
"""Trades drawn as a line from entry to exit; of more, only the entries are marked."""


@dataclass(frozen=True)
class Chart:
    """A chart that can be painted.

    Attributes
    ----------
    name : str
        Unique on a page, with its width.
    label : str
        What it shows, for those who do not see it.
    width, height : int, pixels
    paint : callable
        Takes a figure of that size.
    simulated : bool
        Whether it shows data that nobody traded.
    """

    name: str
    label: str
    width: int
    height: int
    paint: Callable[[Figure], None]
    simulated: bool

    def svg(self, prefix: str = "") -> Markup:
        """Return an `<svg>` for a page; a prefix keeps several charts of one name apart."""
        with drawing(self.width, self.height) as figure:
            self.paint(figure)
            return to_svg(figure, f"{prefix}{self.name}{self.width}", self.label, simulated=self.simulated)


# --- equity -----------------------------------------------------------------------------------------------------


def equity(run: RunData, width: int) -> Chart:
    """Equity against benchmarks on a log axis, between its bounds, and the fall from the peak below."""
    own, held = run.table(EQUITY)["equity"], run.curve("buy_and_hold")
    words = f"Equity {percent(own[-1] / run.cash - 1.0, signed=True)}"
    if held is not None:
        words += f", buy and hold {percent(held[-1] / run.cash - 1.0, signed=True)}"
    height = 480 if width >= WIDE else 400
    return Chart("equity", f"{words}, with the drawdown", width, height, lambda f: _equity(f, run), run.is_simulated)


def _equity(figure: Figure, run: RunData) -> None:
    own = run.table(EQUITY)["equity"]
    bins = thinned(len(own), MOST_STEPS)
    last = np.append(bins[1:], len(own)) - 1
    times = instants(run.close_times[last])
    shown = {name: np.maximum(of / run.cash, GONE) for name, of in _curves(run).items()}
    width = figure.get_figwidth() * figure.dpi
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1), gridspec_kw={"hspace": 0.16})
    looks: dict[str, tuple[str, str, Any, float]] = {
        "strategy": (LIGHT.ink, "bold", "-", 1.6),
        "optimistic fills": (LIGHT.quiet, "normal", "-", 0.7),
        "buy and hold": (LIGHT.quiet, "normal", DASHED, 1.0),
        "inverted": (LIGHT.neutral, "normal", DOTTED, 1.0),
    }
    if "optimistic fills" in shown:
        pair = (shown["strategy"][last], shown["optimistic fills"][last])
        above.fill_between(times, *pair, color=LIGHT.neutral, alpha=0.25, linewidth=0)
    ends = []
    for name in reversed(shown):
        colour, weight, style, thick = looks[name]
        above.plot(times, shown[name][last], color=colour, linestyle=style, linewidth=thick)
        ends.append((name, float(shown[name][-1]), colour, weight))
    growth_axis(above, min(of.min() for of in shown.values()), max(of.max() for of in shown.values()))
    end_labels(above, ends[::-1])
    _falls(below, run, times, bins)
    calendar(below, ticks=9 if width >= WIDE else 5)
    below.set_xlim(times[0], times[-1] if len(times) > 1 else times[0] + 1)
    right = 136 if width >= WIDE else 92
    figure.subplots_adjust(left=60 / width, right=1 - right / width, top=0.945, bottom=0.065)


def _curves(run: RunData) -> dict[str, Array]:
    """Curves that are there; the bound only where it ends elsewhere than the equity."""
    named = {
        "strategy": "equity",
        "optimistic fills": "optimistic",
        "buy and hold": "buy_and_hold",
        "inverted": "inverted",
    }
    found = {name: of for name, column in named.items() if (of := run.curve(column)) is not None}
    bound = found.get("optimistic fills")
    if bound is not None and abs(bound[-1] / run.cash - found["strategy"][-1] / run.cash) < GONE:
        del found["optimistic fills"]
    return found


def _falls(axes: Axes, run: RunData, times: NDArray[np.datetime64], bins: NDArray[np.int64]) -> None:
    """Max drawdown of each bin, of the equity and of buying and holding."""
    own, held = run.table(EQUITY)["equity"], run.curve("buy_and_hold")
    pair = (own, own if held is None else held)
    falls(axes, times, *(np.minimum.reduceat(drawdown(of, run.cash), bins) for of in pair))


# --- trades on price --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traded:
    """The trades of the instrument that was traded most, and the bars that were kept of it.

    Attributes
    ----------
    symbol : str
        Empty where the run does not say.
    trades : mapping of str to array
        RunTable of `trades.parquet`, of this symbol.
    of : int
        Trades of all symbols.
    bars : mapping of str to mapping of str to array
        By view: `whole` and `last`.
    """

    symbol: str
    trades: RunTable
    of: int
    bars: Mapping[str, RunTable]

    @property
    def n(self) -> int:
        """How many trades."""
        return len(self.trades["entry_time"])


def traded(run: RunData) -> Traded | None:
    """Find the instrument that was traded most; None where nothing was traded."""
    trades, prices = run.table(TRADES), run.table(PRICES_KEPT)
    if not len(trades.get("entry_time", ())):
        return None
    names = _instruments(trades)
    if prices:
        symbol = str(_instruments(prices)[0])
    else:
        unique, counts = np.unique(names, return_counts=True)
        symbol = str(unique[counts.argmax()])
    mine = names == symbol
    if not mine.any():
        return None
    own = _instruments(prices) == symbol if prices else np.empty(0, dtype=bool)
    views = {
        view: {name: of[rows] for name, of in prices.items()}
        for view in ("whole", "last")
        if prices and (rows := own & (prices["view"] == view)).any()
    }
    chosen = {name: of[mine] for name, of in trades.items()}
    return Traded(symbol, chosen, len(mine), views)


def _instruments(table: RunTable) -> NDArray[Any]:
    """Symbol and venue of each row; empty where the table says neither."""
    n = len(next(iter(table.values())))
    if "symbol" not in table:
        return np.full(n, "", dtype=object)
    return np.array([f"{a} {b}" for a, b in zip(table["symbol"], table["venue"], strict=True)], dtype=object)


def trades_on_price(run: RunData, found: Traded, width: int) -> Chart:
    """Draw all trades of an instrument on its price, and what each made in R below."""
    words = f"{plural(found.n, 'trade')} of {found.symbol or 'the instrument'} on its price, with the R of each"
    height = 430 if width >= WIDE else 380
    return Chart("trades", words, width, height, lambda f: _trades(f, found), run.is_simulated)


def _trades(figure: Figure, found: Traded) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width = figure.get_figwidth() * figure.dpi
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1), gridspec_kw={"hspace": 0.12})
    if "whole" in found.bars:
        bars = found.bars["whole"]
        bins = thinned(len(bars["open_time"]), MOST_STEPS)
        at = instants(bars["open_time"][bins])
        low, high = np.minimum.reduceat(bars["low"], bins), np.maximum.reduceat(bars["high"], bins)
        above.fill_between(at, low, high, color=LIGHT.neutral, alpha=0.28, linewidth=0, step="post")
        above.plot(at, bars["close"][bins], color=LIGHT.quiet, linewidth=0.7)
    _lives(above, found)
    above.spines["bottom"].set_visible(False)
    above.tick_params(axis="x", length=0)
    above.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    above.yaxis.set_major_formatter(FuncFormatter(lambda x, _: price(x)))
    share = "" if found.n == found.of else f", {whole(found.n)} of {plural(found.of, 'trade')}"
    above.set_title(f"{found.symbol or 'Price'}{share}", loc="left", fontsize=SMALL, color=LIGHT.quiet)
    _gains(below, found)
    calendar(below, ticks=9 if width >= WIDE else 5)
    figure.subplots_adjust(left=56 / width, right=1 - 12 / width, top=0.94, bottom=0.07)


def _lives(axes: Axes, found: Traded) -> None:
    """Mark entries by side, and join them to where they ended."""
    from matplotlib.collections import LineCollection
    from matplotlib.dates import date2num

    trades, many = found.trades, found.n > MANY
    begin, end = (date2num(instants(trades[name])) for name in ("entry_time", "exit_bar_time"))
    first, last = trades["entry_price"], trades["exit_price"]
    if found.n <= MOST_LIVES:
        lines = np.stack((np.column_stack((begin, first)), np.column_stack((end, last))), axis=1)
        axes.add_collection(LineCollection(list(lines), colors=LIGHT.ink, linewidths=0.4 if many else 0.8))
    for side, mark, colour in (("long", "^", LIGHT.bullish), ("short", "v", LIGHT.bearish)):
        mine = trades["side"] == side
        axes.plot(
            begin[mine], first[mine], mark, color=colour, markersize=3.2 if many else 6.0, alpha=0.55 if many else 0.9,
            markeredgewidth=0.0,
        )  # fmt: skip
    axes.autoscale_view()


def _gains(axes: Axes, found: Traded) -> None:
    """Gain of each trade in R where it ended, above or below nothing."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    gained, at = found.trades["r"], instants(found.trades["exit_bar_time"])
    there = np.isfinite(gained)
    reach = min(BEYOND, float(np.ceil(np.abs(gained[there]).max(initial=1.0))))
    seen = np.clip(gained, -reach, reach)
    for part, colour in ((gained > 0.0, LIGHT.bullish), (gained <= 0.0, LIGHT.bearish)):
        mine = part & there
        axes.vlines(at[mine], 0.0, seen[mine], color=colour, linewidth=0.6 if found.n > MANY else 1.2)
    axes.axhline(0.0, color=LIGHT.quiet, linewidth=0.6)
    axes.set_ylim(-reach * 1.08, reach * 1.08)
    axes.yaxis.set_major_locator(FixedLocator([-reach, 0.0, reach]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", MINUS) if x else "0"))
    beyond = int((np.abs(gained[there]) > reach).sum())
    note = f"; {plural(beyond, 'trade')} beyond {reach:g} R drawn at the edge" if beyond else ""
    axes.set_title(f"R of each trade, where it ended{note}", loc="left", fontsize=SMALL, color=LIGHT.quiet)


def last_trades(run: RunData, found: Traded, width: int) -> Chart | None:
    """Candles of the last trades with stops, targets and scores; None where no bars were kept."""
    rows = found.bars.get("last")
    if rows is None:
        return None
    base = Timeframe(f"{run.bar_ms // 1_000}s")
    clock = Timeframe(str(rows["timeframe"][0]))
    columns = {name: rows[name] for name in (*PRICES, "volume")}
    shown = ChartBars(Bars.from_rows(clock, rows["open_time"], columns, GapPolicy("cut", 0)), base)
    strips = _strips(run.fact(SCORES).get("strips"), shown)
    words = f"Last trades of {found.symbol} on {clock} bars" + (", with the scores of the faces" if strips else "")
    wide = width >= WIDE
    height = (470 if wide else 340) + (57 + 44 * len(strips) if strips else 0)
    return Chart("last", words, width, height, lambda f: _last(f, found, shown, strips), run.is_simulated)


def _strips(told: Facts | None, shown: ChartBars) -> dict[str, Array]:
    """Scores at the closes of the bars that are shown, by name; empty where they were not kept."""
    if not told or told["timeframe"] != shown.bars.timeframe.name:
        return {}
    strips = {}
    for name, values in told["scores"].items():
        known = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        at = np.arange(shown.bars.first, shown.bars.end) - int(told["first"])
        inside = (at >= 0) & (at < len(known))
        strips[name] = np.where(inside, known[np.clip(at, 0, len(known) - 1)], np.nan)
    return strips


def _last(figure: Figure, found: Traded, shown: ChartBars, strips: Mapping[str, Array]) -> None:
    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    wide = width >= WIDE
    heights = [9.0 if wide else 7.0, *([1.3, *[1.0] * len(strips)] if strips else [])]
    panels = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=heights, gridspec_kw={"hspace": 0.07}
    )[:, 0].tolist()
    price_panel(panels[0], shown, _as_trades(found.trades, shown.base.ms), wide=wide)
    panels[0].set_title(f"{found.symbol} {shown.bars.timeframe}, the last trades", loc="left", fontsize=SMALL,
                        color=LIGHT.quiet)  # fmt: skip
    if strips:
        volume_panel(panels[1], shown)
    reach = score_reach(strips.values())
    for panel, (name, values) in zip(panels[2:], strips.items(), strict=True):
        score_panel(panel, name, values, reach, wide)
    time_axis(panels, shown, 8 if wide else 5)  # with fewer, 47 hours have no round step
    figure.subplots_adjust(
        left=8 / width, right=1 - (252 if wide else 70) / width, top=1 - 24 / height, bottom=26 / height
    )


def _as_trades(table: RunTable, ms: int) -> np.ndarray:
    """Return rows of `trades.parquet` as the candle chart takes them: array of TRADE."""
    trades = np.zeros(len(table["entry_time"]), dtype=TRADE)
    for name in trades.dtype.names or ():
        if name in table and name not in ("side", "reason"):
            trades[name] = table[name]
    trades["number"] = table["decided_at"] // ms - 1
    trades["entry_number"], trades["exit_number"] = table["entry_time"] // ms, table["exit_bar_time"] // ms
    trades["side"] = np.where(table["side"] == "long", 1, -1)
    trades["reason"] = [REASONS.index(name) if name in REASONS else SIGNAL for name in table["reason"]]
    return trades


# --- scores and reliability -------------------------------------------------------------------------------------


def score_buckets(run: RunData, rows: np.ndarray, width: int) -> Chart:
    """Mean forward return and its 95 % interval by score."""
    height = bucket_height(rows, width)
    words = "Mean forward return by score bucket"
    return Chart("buckets", words, width, height, lambda f: paint_buckets(f, rows, width), run.is_simulated)


def reliability(run: RunData, width: int) -> Chart:
    """Predicted reliability against the share of signals that were right; ranks where it is not calibrated."""
    told = run.fact(RELIABILITY)
    words = f"Calibration, {plural(told['signals'], 'signal')}"
    return Chart("reliability", words, width, 360, lambda f: _reliability(f, told), run.is_simulated)


def _reliability(figure: Figure, told: Mapping[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    axes, calibrated = figure.subplots(), told["basis"] == "calibrated"
    if calibrated:
        axes.plot([0.0, 1.0], [0.0, 1.0], color=LIGHT.quiet, linewidth=0.8, linestyle=DASHED)
    base = told["right"] / told["signals"]
    along = _stretch([row["told"] for row in told["bins"]])
    axes.axhline(base, color=LIGHT.quiet, linewidth=0.8, linestyle=DOTTED)
    axes.text(along[1], base, f"all, {percent(base, 0)}", fontsize=SMALL, color=LIGHT.quiet, ha="right", va="bottom")
    for row in told["bins"]:
        sure = row["low_right"] is not None
        if sure:
            axes.plot([row["told"]] * 2, [row["low_right"], row["high_right"]], color=LIGHT.ink, linewidth=1.4)
        face = LIGHT.ink if sure else "none"
        axes.plot([row["told"]], [row["right"]], "o", color=LIGHT.ink, markersize=6, markerfacecolor=face)
    axes.set_xlim(*along)
    names = ("right", "low_right", "high_right")
    axes.set_ylim(*_stretch([base, *(row[name] for row in told["bins"] for name in names)]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda x, _: percent(x, 0)))
    if not calibrated:  # a rank is no probability: its axis shows none
        axes.set_xticks([])
    axes.set_title("share that was right", loc="left", fontsize=SMALL, color=LIGHT.quiet)
    rank = "reliability from low to high, a rank (uncalibrated)"
    axes.set_xlabel("predicted reliability" if calibrated else rank, fontsize=SMALL)
    figure.subplots_adjust(left=50 / width, right=1 - 14 / width, top=1 - 26 / height, bottom=46 / height)


def _stretch(shares: Sequence[float | None]) -> tuple[float, float]:
    """From where to where an axis of shares reaches: what is known, with room beside it."""
    known = [share for share in shares if share is not None and share == share]
    room = max(0.15 * (max(known) - min(known)), 0.03)
    return max(min(known) - room, 0.0), min(max(known) + room, 1.0)
