"""The results page: one HTML file that needs nothing else, for screen, phone and print, light and dark.

1. `ResultsPage` holds what is to be shown; research fills it, the page decides nothing.
2. The first screen is equity against buy-and-hold with the drawdown, and the honesty beside it.
3. Everything is inline: style, charts (SVG with real text), no script, no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from virtuoso.account.metrics import r_multiples
from virtuoso.account.records import REASONS
from virtuoso.clock import iso
from virtuoso.prism.result.explanation import Explanation
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.charts.base import FULL, NARROW, WIDE, bucket_chart, equity_chart
from virtuoso.reports.charts.candles import candle_chart
from virtuoso.reports.contribution import DIV_NOTE, contribution
from virtuoso.reports.format import NOT_TESTABLE, number, percent, price, whole
from virtuoso.reports.palette import DARK, LIGHT, effect_of_change
from virtuoso.reports.rows import MONTHS, bucket_rows, month_rows, span
from virtuoso.reports.templates import render
from virtuoso.types import Array

LAST_TRADES = 12


class Finding(NamedTuple):
    """Something a reader should know: what, how much, and in words."""

    title: str
    value: str
    words: str


class PageTable(NamedTuple):
    """A table of finished cells; all columns but the first are numbers."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure, how it is called and how it is written.

    Attributes
    ----------
    name, title : str
    kind : str
        'percent', 'signed percent', 'ratio', 'signed', 'money' or 'count'.
    unit : str
        Said once, beside the title.
    """

    name: str
    title: str
    kind: str
    unit: str = ""

    def text(self, value: float) -> str:
        """Write a value; NaN is *not testable*."""
        if value != value:
            return NOT_TESTABLE
        written = {
            "percent": lambda: percent(value),
            "signed percent": lambda: percent(value, signed=True),
            "ratio": lambda: number(value),
            "signed": lambda: number(value, signed=True),
            "money": lambda: number(value, 0),
            "count": lambda: whole(value),
        }
        return written[self.kind]()


METRICS = (
    Metric("total_return", "Total return", "signed percent"),
    Metric("cagr", "Growth a year", "signed percent"),
    Metric("volatility", "Volatility a year", "percent"),
    Metric("sharpe", "Sharpe", "ratio"),
    Metric("sortino", "Sortino", "ratio"),
    Metric("max_drawdown", "Deepest drawdown", "percent"),
    Metric("calmar", "Calmar", "ratio"),
    Metric("exposure", "Time in the market", "percent"),
    Metric("turnover", "Turnover", "ratio", "equities a day"),
    Metric("trades", "Closed trades", "count"),
    Metric("hit_rate", "Trades that gained", "percent"),
    Metric("profit_factor", "Profit factor", "ratio", "gains over losses"),
    Metric("expectancy", "Mean trade", "signed", "quote currency"),
    Metric("mean_r", "Mean trade", "signed", "R"),
    Metric("fees", "Fees", "money", "quote currency"),
    Metric("slippage", "Slippage", "money", "quote currency"),
)


@dataclass(frozen=True)
class ResultsPage:
    """Content of a results page.

    Attributes
    ----------
    scores : Scores
    trades : array of TRADE
    close_times : array of int64, ms, shape (n,)
    equity, benchmark : Array, quote currency, shape (n,)
    cash : float
        What both began with.
    metrics, benchmark_metrics : mapping of str to float
        NaN is *not testable*.
    buckets : array
        Fields horizon, low, high, bars, windows, mean_bp, low_bp, high_bp, up_share.
    verdict : str
    honesty, limits : sequence of Finding
    assumptions : sequence of str
    counts : mapping of str to int
    provenance : mapping of str to str
    name : str
        What was traded; instrument and clock of the scores if empty.
    tables : sequence of PageTable
        Comparisons and breakdowns.
    """

    scores: Scores
    trades: np.ndarray
    close_times: NDArray[np.int64]
    equity: Array
    benchmark: Array
    cash: float
    metrics: Mapping[str, float]
    benchmark_metrics: Mapping[str, float]
    buckets: np.ndarray
    verdict: str
    honesty: Sequence[Finding]
    limits: Sequence[Finding]
    assumptions: Sequence[str]
    counts: Mapping[str, int]
    provenance: Mapping[str, str]
    name: str = ""
    tables: Sequence[PageTable] = ()

    def html(self) -> str:
        """Write the whole page."""
        return str(
            render("results.html", page=self, light=LIGHT.css(), dark=DARK.css(), div_note=DIV_NOTE, months=MONTHS)
        )

    @property
    def simulated(self) -> bool:
        """Whether the market was made by the simulator."""
        return self.scores.frame.instrument.is_simulated

    @property
    def title(self) -> str:
        """What was traded, and on which clock."""
        return self.name or f"{self.scores.frame.instrument} {self.scores.frame.timeframe}"

    @property
    def period(self) -> str:
        """From, to, and how much of it is known."""
        n, known = len(self.scores), len(self.close_times)
        first = self.scores.start * self.scores.frame.timeframe.ms
        return (
            f"{iso(first)} to {iso(int(self.close_times[-1]))}: {whole(n)} bars, {percent(known / n, 2)} of them "
            f"known, {percent(float(np.isfinite(self.scores.confluence).mean()), 2)} scored"
        )

    @property
    def equity_charts(self) -> list[Markup]:
        """For a desk and for a phone."""
        curves = (self.close_times, self.equity, self.benchmark, self.cash)
        return [equity_chart(*curves, width=width, simulated=self.simulated) for width in (WIDE, NARROW)]

    @property
    def bucket_charts(self) -> list[Markup]:
        """For a desk and for a phone."""
        return [bucket_chart(self.buckets, width=width, simulated=self.simulated) for width in (FULL, NARROW)]

    @property
    def candle_charts(self) -> list[Markup]:
        """For a desk and for a phone."""
        return [candle_chart(self.scores, self.trades, width=width) for width in (FULL, NARROW)]

    @property
    def metric_rows(self) -> list[dict[str, str]]:
        """Figures of the strategy and, where they exist, of buying and holding."""
        return [
            {
                "title": metric.title,
                "unit": metric.unit,
                "strategy": metric.text(self.metrics[metric.name]),
                "hold": metric.text(self.benchmark_metrics[metric.name])
                if metric.name in self.benchmark_metrics
                else "",
            }
            for metric in METRICS
        ]

    @property
    def monthly(self) -> list[dict[str, object]]:
        """One row a year: its months and the whole year, of the strategy and of buying and holding."""
        return month_rows(self.close_times, self.equity, self.benchmark, self.cash)

    @property
    def bucket_rows(self) -> tuple[list[str], list[dict[str, object]]]:
        """Horizons, and one row a bucket with a cell for each."""
        return bucket_rows(self.buckets)

    @property
    def trade_rows(self) -> list[dict[str, str]]:
        """The last trades, newest first."""
        ms = self.scores.frame.timeframe.ms
        multiples = r_multiples(self.trades["pnl"], self.trades["risk"])
        return [
            {
                "side": "▲ long" if trade["side"] > 0 else "▼ short",
                "lean": "bullish" if trade["side"] > 0 else "bearish",
                "opened": iso(int(trade["entry_number"]) * ms),
                "held": span(int(trade["exit_number"] - trade["entry_number"]) * ms),
                "entry": price(trade["entry_price"]),
                "stop": price(trade["stop"]),
                "target": price(trade["target"]),
                "exit": price(trade["exit_price"]),
                "reason": REASONS[trade["reason"]] + (", ambiguous" if trade["ambiguous"] else ""),
                "pnl": number(trade["pnl"], 2, signed=True),
                "gain": effect_of_change(float(np.sign(trade["pnl"]))),
                "r": number(multiple, 2, signed=True),
            }
            for trade, multiple in list(zip(self.trades, multiples, strict=True))[: -LAST_TRADES - 1 : -1]
        ]

    @cached_property
    def explanation(self) -> Explanation:
        """Of the last signal that became a trade; of the last scored bar if none did."""
        if not len(self.trades):
            return self.scores.explain()
        return self.scores.explain((int(self.trades["number"][-1]) + 1) * self.scores.frame.timeframe.ms)

    @property
    def contributions(self) -> list[Markup]:
        """The table of the confluence, then those of the faces of which something is known."""
        known = [name for name, rows in self.explanation.faces.items() if any(row.score == row.score for row in rows)]
        return [contribution(self.explanation, face).to_html(footnote=False) for face in (None, *known)]

    @property
    def silent_faces(self) -> list[str]:
        """Faces of which nothing is known at that moment."""
        return [row.title for row in self.explanation.total if row.score != row.score]

    @property
    def coverage(self) -> list[dict[str, object]]:
        """Share of the bars on which each component is known, face by face."""
        return [
            {
                "title": face.title,
                "weight": percent(face.weight, 0),
                "waiting": list(face.waiting),
                "parts": [
                    {
                        "name": part.component.title,
                        "share": (share := float(np.isfinite(part.score).mean())),
                        "text": f"needs {', '.join(part.missing)}" if part.missing else percent(share, 2),
                        "missing": bool(part.missing),
                    }
                    for part in face.components.values()
                ],
            }
            for face in self.scores.faces.values()
        ]
