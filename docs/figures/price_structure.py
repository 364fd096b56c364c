"""Draw what the price structure face sees, on real bars, so that a person can judge it.

Run from the repository root: `VIRTUOSO_REAL_DATA=<folder of the data pack> python docs/figures/price_structure.py`.
Writes price_structure.png (an ordinary day) and price_structure_crash.png (2025-10-10) beside itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from virtuoso.clock import iso, parse_time
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Feature
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.price_structure import FACE
from virtuoso.prism.features.candles import CandleBars, Candles
from virtuoso.prism.features.levels import Levels
from virtuoso.prism.features.structure import CHOCH, Structure
from virtuoso.prism.features.swings import Swings, standing
from virtuoso.prism.features.zones import BlockZones, GapZones

UP, DOWN, GREY = "#0072b2", "#d55e00", "#7f8c8d"  # Okabe and Ito: told apart by the colour-blind
FILE = "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet"
BARS = 200


def load(folder: Path) -> MarketFrame:
    """BTCUSDT 5m of the data pack."""
    table = pd.read_parquet(folder / FILE)
    table = table[table["symbol"] == "BTCUSDT"].set_index("open_time_ms")
    table.index = pd.to_datetime(table.index, unit="ms", utc=True)
    return MarketFrame.from_pandas(table[["open", "high", "low", "close", "volume"]], "5m", "BTCUSDT", "binance-usdm")


def values(workspace: Workspace, feature: Feature, start: int, stop: int) -> tuple[np.ndarray, ...]:
    """Outputs of a feature over bars, as its named tuple."""
    assert feature.outputs is not None
    return feature.outputs(*workspace.values(feature, workspace.frame.timeframe, start, stop))


def draw_candles(ax: Axes, bars: CandleBars) -> None:
    """Bodies and wicks."""
    for i, (o, h, low, c) in enumerate(zip(bars.open, bars.high, bars.low, bars.close, strict=True)):
        colour = UP if c >= o else DOWN
        ax.plot([i, i], [low, h], color=colour, lw=0.7, zorder=3)
        ax.add_patch(Rectangle((i - 0.35, min(o, c)), 0.7, max(abs(c - o), 1e-9), color=colour, lw=0, zorder=3))


def draw_swings(ax: Axes, workspace: Workspace, bars: CandleBars, start: int, stop: int) -> None:
    """Each confirmed swing at its own bar, as large as it counts."""
    feature = Swings()
    pivots = values(workspace, feature, start, stop)
    for side, marker in (("high", "v"), ("low", "^")):
        price, weight, height = (getattr(pivots, f"{side}{part}") for part in ("", "_weight", "_height"))
        for i in np.flatnonzero(np.isfinite(price[feature.reach :])) + feature.reach:
            size = standing(weight[i], height[i], bars.unit[i])
            away = (0.25 if side == "high" else -0.25) * bars.unit[i]
            ax.scatter(
                i - feature.reach, price[i] + away, s=4 + 30 * size, marker=marker, color="#2c3e50", lw=0, zorder=4
            )


def draw_structure(ax: Axes, workspace: Workspace, start: int, stop: int) -> None:
    """Breaks of structure and changes of character at the bar and level of the break."""
    state = values(workspace, Structure(), start, stop)
    for i in np.flatnonzero(state.event != 0):
        colour = UP if state.event[i] > 0 else DOWN
        ax.plot([max(i - 12, 0), i], [state.broken[i]] * 2, color=colour, lw=1.2, ls="--", zorder=5)
        name = "CHoCH" if abs(state.event[i]) == CHOCH else "BOS"
        ax.annotate(name, (i, state.broken[i]), xytext=(2, 3 if state.event[i] > 0 else -9),
                    textcoords="offset points", fontsize=7, color=colour, weight="bold", zorder=6)  # fmt: skip


def draw_zones(ax: Axes, zones: tuple[np.ndarray, ...], hatch: str | None, name: str) -> None:
    """The nearest open zone of each side, for as long as it was that, as dark as it was worth."""
    for side, colour in (("bull", UP), ("bear", DOWN)):
        bottom, top, strength = (getattr(zones, f"{side}_{part}") for part in ("bottom", "top", "strength"))
        same = np.concatenate(([False], (bottom[1:] == bottom[:-1]) & (top[1:] == top[:-1])))
        starts = np.flatnonzero(np.isfinite(bottom) & ~same)
        for i in starts:
            j = i + 1
            while j < len(bottom) and same[j]:
                j += 1
            fill, shade = colour if hatch is None else "none", 0.15 + 0.5 * strength[i]
            size = (i, bottom[i]), j - i, top[i] - bottom[i]
            ax.add_patch(Rectangle(*size, lw=0.4, ec=colour, hatch=hatch, fc=fill, alpha=shade, zorder=1))
            if j - i > 12:
                ax.text(i + 1, top[i], name, fontsize=5, color=colour, va="bottom", zorder=2)


def draw_levels(ax: Axes, workspace: Workspace, start: int, stop: int) -> None:
    """Nearest support and resistance of each bar, as wide as they are strong."""
    levels = values(workspace, Levels(), start, stop)
    x = np.arange(stop - start)
    for price, strength, colour in ((levels.support, levels.support_strength, UP),
                                    (levels.resistance, levels.resistance_strength, DOWN)):  # fmt: skip
        ax.scatter(x, price, s=1.5 + 2.5 * np.nan_to_num(strength), color=colour, marker="_", alpha=0.7, zorder=2)


def draw(workspace: Workspace, begin: str, target: Path) -> None:
    """Draw one stretch of bars and the scores under it."""
    timeframe = workspace.frame.timeframe
    start = timeframe.number(parse_time(begin))
    stop = start + BARS
    bars = values(workspace, Candles(), start, stop)
    assert isinstance(bars, CandleBars)

    fig, (ax, low) = plt.subplots(2, 1, figsize=(17, 11), sharex=True, height_ratios=(3, 1.1), layout="constrained")
    draw_candles(ax, bars)
    draw_zones(ax, values(workspace, BlockZones(), start, stop), None, "order block")
    draw_zones(ax, values(workspace, GapZones(), start, stop), "////", "gap")
    draw_levels(ax, workspace, start, stop)
    draw_swings(ax, workspace, bars, start, stop)
    draw_structure(ax, workspace, start, stop)
    title = f"Price structure: BTCUSDT {timeframe}, Binance USD-M, {BARS} bars from {iso(parse_time(begin))}"
    ax.set(ylabel="Price (USDT)", title=title)
    for component in FACE.components:
        points = component.score(workspace.values(component, timeframe, start, stop)[0])
        low.plot(points, lw=1.1, label=component.name)
    low.axhline(50, color=GREY, lw=0.6)
    low.set(ylabel="Score (0-100)", ylim=(0, 115), yticks=range(0, 101, 20), xlabel="Bar")
    low.legend(ncols=7, fontsize=7, loc="upper center", frameon=False)
    fig.savefig(target, dpi=100)


def main() -> None:
    """Draw an ordinary day and the crash of October 2025."""
    folder = os.environ.get("VIRTUOSO_REAL_DATA")
    if folder is None:
        sys.exit("Set VIRTUOSO_REAL_DATA to the folder of the real-data pack.")
    workspace = Workspace(load(Path(folder)))
    here = Path(__file__)
    draw(workspace, "2025-09-15T00:00Z", here.with_suffix(".png"))
    draw(workspace, "2025-10-10T11:00Z", here.with_name("price_structure_crash.png"))


if __name__ == "__main__":
    main()
