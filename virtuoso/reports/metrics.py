"""How the figures of a run are called and written, the same on every page and in the terminal: the field's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from virtuoso.reports.format import NOT_TESTABLE, number, percent, whole


class Finding(NamedTuple):
    """Something a reader should know: what, how much, and in words."""

    title: str
    value: str
    words: str


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

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

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
    Metric("cagr", "CAGR", "signed percent"),
    Metric("volatility", "Volatility (annual)", "percent"),
    Metric("sharpe", "Sharpe", "ratio"),
    Metric("sortino", "Sortino", "ratio"),
    Metric("max_drawdown", "Max drawdown", "percent"),
    Metric("ulcer", "Ulcer index", "percent"),
    Metric("calmar", "Calmar", "ratio"),
    Metric("omega", "Omega", "ratio", "days, threshold 0"),
    Metric("value_at_risk", "Value at risk (95 %)", "percent", "a day"),
    Metric("expected_shortfall", "Expected shortfall (95 %)", "percent", "a day"),
    Metric("exposure", "Exposure", "percent"),
    Metric("turnover", "Turnover", "ratio", "x equity per day"),
    Metric("trades", "Closed trades", "count"),
    Metric("win_rate", "Win rate", "percent"),
    Metric("profit_factor", "Profit factor", "ratio"),
    Metric("payoff", "Payoff ratio", "ratio"),
    Metric("expectancy", "Expectancy", "signed", "quote currency"),
    Metric("mean_r", "Expectancy", "signed", "R"),
    Metric("fees", "Fees", "money", "quote currency"),
    Metric("slippage", "Slippage", "money", "quote currency"),
)
