"""What a backtest is worth, in plain words: what every kind of backtest says alike.

The words are made once; the terminal, `summary.txt` and the results page show the same sentences. summary.py
and research/crosscheck/words.py add what only one of them knows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from virtuoso.account.metrics import LEAST_DAYS, LEAST_TRADES
from virtuoso.reports.format import NOT_TESTABLE, number, percent, plural, whole
from virtuoso.reports.page import Finding

if TYPE_CHECKING:
    from virtuoso.research.backtest.result import PortfolioResult
    from virtuoso.research.crosscheck.result import BacktestResult

ENOUGH_TRADES = 30
"""Closed trades below which chance explains almost any result."""
WIDTH = 100
ONE_POSITION = (
    "A second signal in the direction of an open position changes nothing; one against it closes the position"
)
ANNUAL = (
    "Annual figures use a year of 365 days and returns of whole days of 24 hours; with fewer than "
    f"{LEAST_DAYS} days or {LEAST_TRADES} closed trades they are {NOT_TESTABLE}."
)


def verdict(result: PortfolioResult | BacktestResult) -> str:
    """Say in a sentence what was found."""
    figures = result.metrics
    n, gained, held = int(figures["trades"]), figures["total_return"], result.benchmark_metrics["total_return"]
    made = f"{percent(gained, signed=True)} after costs, holding made {percent(held, signed=True)}"
    if n == 0:
        return f"Nothing was traded: there is nothing to judge. Holding made {percent(held, signed=True)}."
    if n < ENOUGH_TRADES:
        return f"{plural(n, 'closed trade')}, too few to tell skill from chance: {made}."
    if gained <= 0.0:
        return f"It lost money: {made}."
    if gained <= held:
        return f"It made money, less than doing nothing would have: {made}."
    return f"It made more than holding on these bars, and was tested on no others: {made}."


def closed_trades(result: PortfolioResult | BacktestResult) -> Finding:
    """How many trades there are to judge by."""
    n, counts = int(result.metrics["trades"]), result.counts
    words = (
        f"{plural(int(result.metrics['open_trades']), 'more', 'more')} still open; " if n < len(result.trades) else ""
    )
    words += f"{plural(counts['intents to open'], 'signal')} asked to open"
    words += f"; under {ENOUGH_TRADES} says little" if n < ENOUGH_TRADES else ""
    return Finding("Closed trades", whole(n), words)


def sharpe(result: PortfolioResult | BacktestResult) -> Finding:
    """The Sharpe ratio and what it is made of, or why there is none."""
    value = result.metrics["sharpe"]
    words = f"from {plural(int(result.metrics['days']), 'whole day')} of 24 h, a year of 365, risk-free rate 0"
    if value == value:
        return Finding("Sharpe", number(value, 2), words)
    return Finding("Sharpe", NOT_TESTABLE, words + _why_not(result.metrics))


def _why_not(figures: dict[str, float]) -> str:
    if figures["trades"] < LEAST_TRADES:
        return f"; needs {LEAST_TRADES} closed trades"
    return f"; needs {LEAST_DAYS} days" if figures["days"] < LEAST_DAYS else "; the equity never moved"


def listed(heading: str, findings: Sequence[Finding], width: int) -> list[str]:
    """Lines of a list of findings, their titles in a column of a width."""
    lines = ["", heading]
    for finding in findings:
        lines += hanging(f"  {finding.title:<{width}}{finding.value:>14}  ", finding.words)
    return lines


def assumed(assumptions: Sequence[str]) -> list[str]:
    """Lines that say how trades were simulated."""
    return ["", "Assumptions", *(line for words in assumptions for line in hanging("  - ", words))]


def hanging(first: str, words: str) -> list[str]:
    """Wrap words under each other beside a first column."""
    return textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
