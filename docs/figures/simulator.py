"""Draw the stylised facts of the simulated market, so that a person can judge how near it comes to a real one.

Run from the repository root: `python docs/figures/simulator.py`. Writes simulator.png beside itself; the same seed
draws the same figure.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from virtuoso.reports.palette import LIGHT
from virtuoso.venues.simulator import Recording, book_every, order_signs, record

DAYS, BOOK_DAYS, SEED = 60, 3, 7
HOUR_MS = 3_600_000
BUY, SELL, QUIET, INK = LIGHT.bullish, LIGHT.bearish, LIGHT.neutral, LIGHT.ink
STYLE = {
    "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": LIGHT.quiet, "axes.labelcolor": LIGHT.quiet,
    "axes.grid": True, "grid.color": LIGHT.line, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.linewidth": 0.8,
    "xtick.color": LIGHT.quiet, "ytick.color": LIGHT.quiet, "text.color": INK, "axes.titlecolor": INK,
    "legend.frameon": False, "legend.fontsize": 8, "figure.facecolor": LIGHT.paper,
}  # fmt: skip


def autocorrelation(x: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Of a series, at each lag."""
    return np.array([np.corrcoef(x[:-lag], x[lag:])[0, 1] for lag in lags])


def returns(of: Recording) -> np.ndarray:
    """Log returns of minutes that follow one another."""
    follows = np.diff(of.bars["open_time"]) == 60_000
    return np.diff(np.log(of.bars["close"]))[follows]


def draw_price(ax: Axes, of: Recording) -> None:
    """The close of every hour, with the hours of most forced selling and buying marked."""
    times, closes = of.bars["open_time"][::60].astype("M8[ms]"), of.bars["close"][::60]
    ax.plot(times, closes, color=INK, lw=0.9)
    forced, first = of.liquidations, int(of.bars["open_time"][0])
    tick, lot = 10.0**of.coin.tick_decimals, 10.0**of.coin.lot_decimals
    notional = forced[:, 3] * forced[:, 4] / (tick * lot)
    hour = (forced[:, 0] - first) // HOUR_MS
    for side, colour, word, marker in ((-1, SELL, "longs", "v"), (1, BUY, "shorts", "^")):
        sums = np.bincount(hour[forced[:, 1] == side], notional[forced[:, 1] == side])
        most = np.sort(np.argsort(sums)[-12:])
        when = (first + most * HOUR_MS).astype("M8[ms]")
        sizes = 12 + 120 * sums[most] / sums.max()
        price = np.interp(when.astype(float), times.astype(float), closes)
        ax.scatter(when, price, s=sizes, marker=marker, color=colour, alpha=0.85, lw=0, zorder=3,
                   label=f"{word} liquidated (12 largest hours)")  # fmt: skip
    ax.xaxis.set_major_formatter(ConciseDateFormatter(AutoDateLocator()))
    ax.set(title=f"{of.coin.symbol}: {DAYS} days, and what was liquidated", ylabel="USDT")
    ax.legend(loc="lower right")


def draw_tails(ax: Axes, markets: dict[str, Recording]) -> None:
    """How often a minute moves by more than so many standard deviations."""
    for (symbol, of), shade in zip(markets.items(), (INK, BUY, SELL), strict=True):
        size = np.sort(np.abs(returns(of)) / returns(of).std())[::-1]
        ax.plot(size, np.arange(1, len(size) + 1) / len(size), color=shade, lw=1.3, label=symbol)
    rng = np.linspace(0.05, 4.6, 60)
    tail = np.array([np.mean(np.abs(np.random.default_rng(0).standard_normal(400_000)) > x) for x in rng])
    ax.plot(rng, np.maximum(tail, 1e-9), color=QUIET, lw=1.2, ls="--", label="normal")
    ax.set(xscale="log", yscale="log", xlim=(0.1, 60), ylim=(1e-5, 1.3))
    ax.set(title="Fat tails of a minute", xlabel="|return|, standard deviations", ylabel="share beyond")
    ax.legend(loc="lower left")


def draw_memory(ax: Axes, of: Recording) -> None:
    """Returns forget at once, their size does not."""
    lags = np.unique(np.rint(np.geomspace(1, 600, 28)).astype(int))
    series = returns(of)
    ax.plot(lags, autocorrelation(np.abs(series), lags), color=INK, lw=1.3, marker=".", label="|return|")
    ax.plot(lags, autocorrelation(series, lags), color=QUIET, lw=1.1, marker=".", label="return")
    ax.axhline(0, color=LIGHT.quiet, lw=0.8)
    ax.set(xscale="log", title="Volatility clusters", xlabel="lag, minutes", ylabel="autocorrelation")
    ax.legend()


def draw_signs(ax: Axes, markets: dict[str, Recording]) -> None:
    """Buying follows buying, for a long time."""
    lags = np.unique(np.rint(np.geomspace(1, 1_000, 24)).astype(int))
    for (symbol, of), shade in zip(markets.items(), (INK, BUY, SELL), strict=True):
        found = autocorrelation(order_signs(of), lags)
        ax.plot(lags, np.where(found > 0, found, np.nan), color=shade, lw=1.2, marker=".", label=symbol)
    ax.plot(lags, 0.2 * lags**-0.5, color=QUIET, ls="--", lw=1.1, label="power law, exponent 0.5")
    ax.set(xscale="log", yscale="log", ylim=(1e-3, 0.4))
    ax.set(title="Takers' signs remember", xlabel="lag, orders", ylabel="autocorrelation")
    ax.legend(loc="lower left")


def draw_depth(ax: Axes, of: Recording) -> None:
    """Mean notional of the book by distance from the middle."""
    edges = np.concatenate(([0.0], np.geomspace(0.5, 600, 24)))
    sums, count = np.zeros((2, len(edges) - 1)), 0
    for books in book_every(of, 60_000):
        middle = 0.5 * (books[0][0, 0] + books[1][0, 0])
        for i, levels in enumerate(books):
            away = 1e4 * np.abs(levels[:, 0] / middle - 1.0)
            sums[i] += np.histogram(away, edges, weights=levels[:, 1])[0]
        count += 1
    for i, (word, colour, sign) in enumerate((("bids", BUY, -1), ("asks", SELL, 1))):
        held = np.cumsum(sums[i]) / count / 1e6
        ax.step(sign * edges[1:], held, where="pre" if sign > 0 else "post", color=colour, lw=1.3, label=word)
        ax.fill_between(sign * edges[1:], held, step="pre" if sign > 0 else "post", color=colour, alpha=0.15, lw=0)
    ax.set(xscale="symlog", title="Depth of the book", xlabel="basis points from the middle",
           ylabel="notional up to there, millions")  # fmt: skip
    ax.set_xticks([-500, -50, -5, 0, 5, 50, 500], ["-500", "-50", "-5", "0", "5", "50", "500"])
    ax.legend(loc="upper center")


def draw_spread(ax: Axes, markets: dict[str, Recording]) -> None:
    """Spreads, minute by minute."""
    for (symbol, of), shade in zip(markets.items(), (INK, BUY, SELL), strict=True):
        spreads = [2e4 * (a[0, 0] - b[0, 0]) / (a[0, 0] + b[0, 0]) for b, a in book_every(of, 60_000)]
        ax.hist(spreads, np.geomspace(0.05, 20, 45), density=False, histtype="step", color=shade, lw=1.3, label=symbol)
    ax.set(xscale="log", title="Spreads", xlabel="basis points", ylabel="minutes")
    ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    ax.legend()


def draw_quadrants(ax: Axes, of: Recording) -> None:
    """Changes of price and of open interest over four hours."""
    interest, price = of.metrics[::48, 1], of.metrics[::48, 2]
    x, y = 100 * np.diff(price) / price[:-1], 100 * np.diff(interest) / interest[:-1]
    ax.scatter(x, y, s=9, color=[BUY if a > 0 else SELL for a in x], alpha=0.65, lw=0)
    ax.axhline(0, color=LIGHT.quiet, lw=0.8)
    ax.axvline(0, color=LIGHT.quiet, lw=0.8)
    words = (("new longs", 1, 1), ("shorts close", 1, -1), ("new shorts", -1, 1), ("longs close", -1, -1))
    for word, right, up in words:
        share = np.mean((np.sign(x) == right) & (np.sign(y) == up))
        ax.text(0.98 if right > 0 else 0.02, 0.96 if up > 0 else 0.03, f"{word} {share:.0%}", transform=ax.transAxes,
                ha="right" if right > 0 else "left", va="top" if up > 0 else "bottom", fontsize=8)  # fmt: skip
    ax.set(title="Price and open interest, 4 h", xlabel="price, %", ylabel="open interest, %")


def draw_funding(ax: Axes, of: Recording) -> None:
    """Premium of the mark price over the index, and the funding settled from it."""
    every = 60
    times = of.prices[::every, 0].astype(np.int64).astype("M8[ms]")
    premium = 1e4 * (of.prices[::every, 1] / of.prices[::every, 2] - 1)
    ax.plot(times, premium, color=QUIET, lw=0.6, label="premium, hourly")
    when = of.funding[:, 0].astype(np.int64).astype("M8[ms]")
    ax.step(when, 1e4 * of.funding[:, 1], where="post", color=LIGHT.accent, lw=1.4, label="funding rate, 8 h")
    ax.xaxis.set_major_formatter(ConciseDateFormatter(AutoDateLocator()))
    ax.set(title="Funding follows the premium", ylabel="basis points")
    ax.legend(loc="lower left", ncols=2)


def main() -> None:
    """Draw all of them."""
    markets = record(days=DAYS, seed=SEED, trade_days=14, book_days=BOOK_DAYS)
    bitcoin = markets["BTCUSDT"]
    with plt.rc_context(STYLE):
        fig, axes = plt.subplot_mosaic(
            [["price", "price", "tails"], ["memory", "signs", "spread"], ["depth", "quadrants", "funding"]],
            figsize=(14, 11), layout="constrained",
        )  # fmt: skip
        draw_price(axes["price"], bitcoin)
        draw_tails(axes["tails"], markets)
        draw_memory(axes["memory"], bitcoin)
        draw_signs(axes["signs"], markets)
        draw_spread(axes["spread"], markets)
        draw_depth(axes["depth"], bitcoin)
        draw_quadrants(axes["quadrants"], bitcoin)
        draw_funding(axes["funding"], bitcoin)
        title = f"The simulated market, seed {SEED}: stylised facts"
        fig.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=13)
        fig.text(0.5, 0.5, "SIMULATED", fontsize=110, color=LIGHT.simulated, alpha=0.07, ha="center", va="center",
                 rotation=28)  # fmt: skip
        fig.savefig(Path(__file__).with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
