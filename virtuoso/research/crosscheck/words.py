"""What a backtest through vectorbt is worth, in plain words: honesty, limits, assumptions.

research/backtest/findings.py says what every backtest says alike.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from virtuoso.clock import iso
from virtuoso.reports.format import DASH, number, percent, plural, price, whole
from virtuoso.reports.page import METRICS, Finding, ResultsPage
from virtuoso.research.backtest import findings

if TYPE_CHECKING:
    from virtuoso.research.crosscheck.result import BacktestResult


def honesty(result: BacktestResult) -> list[Finding]:
    """What stands beside the returns, always."""
    figures, counts = result.metrics, result.counts
    costs = figures["fees"] + figures["slippage"]
    before = float(result.trades["pnl"].sum()) + costs
    return [
        findings.closed_trades(result),
        Finding("Ambiguous", whole(counts["ambiguous trades"]), _ambiguous_words(result)),
        Finding(
            "Costs paid",
            number(costs, 0),
            f"fees {number(figures['fees'], 0)}, slippage {number(figures['slippage'], 0)}; before costs the trades "
            f"made {number(before, 0, signed=True)}",
        ),
        Finding(
            "Tuning",
            "none",
            "this run searched nothing; weights and thresholds are the configured ones. Whoever changes them after "
            "looking at this page is tuning, and these bars are then in-sample",
        ),
        findings.sharpe(result),
        Finding("Not tested yet", DASH, "deflated Sharpe, PBO, walk-forward, cost stress: absent, not estimated"),
    ]  # fmt: skip


def _ambiguous_words(result: BacktestResult) -> str:
    unclear = result.trades[result.trades["ambiguous"]]
    if not len(unclear):
        return "no bar that closed a trade held both its stop and its target"
    more = float((unclear["side"] * unclear["size"] * (unclear["target"] - unclear["exit_price"])).sum())
    share = len(unclear) / max(len(result.closed), 1)
    return (
        f"{percent(share)} of the trades ended in a bar that held stop and target. The stop was assumed; had the "
        f"target come first each time, {number(more, 0, signed=True)}"
    )


def limits(result: BacktestResult) -> list[Finding]:
    """What this first backtest simulates roughly or not at all, and how often that mattered here."""
    counts = result.counts
    held = float((result.tape.numbers[-1] - result.tape.numbers[0]) * result.timeframe.ms / 3_600_000)
    held *= result.metrics["exposure"]
    perpetual = not result.frame.instrument.is_spot
    return [
        Finding(
            "Partial targets",
            whole(counts["trades with more than one target"]),
            "trades had more than one target; each left whole at its first",
        ),
        Finding(
            "Limit entries",
            whole(counts["limit entries taken at the market"]),
            "trades asked for a better price; they were entered at the next open",
        ),
        Finding(
            "Order within a bar",
            whole(counts["ambiguous trades"]),
            "trades ended in a bar that held stop and target; the stop was taken. No finer bars were consulted",
        ),
        Finding(
            "Stop on the entry bar",
            whole(counts["stopped on the bar of the entry"]),
            "trades were stopped on the bar they were entered on. vectorbt checks no stop there by itself; the fill is "
            "handed to it as a row of its own, so that it does",
        ),
        Finding(
            "Funding",
            f"{number(held, 0)} h" if perpetual else "none due",
            "were spent in positions without paying or receiving funding" if perpetual else "spot knows none",
        ),
        Finding(
            "Leverage, liquidation",
            percent(float(result.drawdown.min())),
            "was the deepest fall of the equity. Positions cost at most the cash, margin and liquidation are not "
            "simulated",
        ),
    ]


def assumptions(result: BacktestResult) -> list[str]:
    """How trades were simulated, in plain words."""
    terms, counts = result.terms, result.counts
    dropped = [f"{whole(n)} ({name[9:]})" for name, n in counts.items() if name.startswith("dropped: ") and n]
    capped, gaps = counts["positions capped by the cash"], counts["trades across a gap"]
    waited, silent = counts["exits that waited for a known bar"], counts["openings in a bar without a trade"]
    return [
        "A signal is decided at the close of its bar and filled at the open of the next one.",
        f"Each fill pays {percent(terms.fees, 3)} of its notional as fee, and a price {percent(terms.slippage, 3)} "
        "worse than seen, at stops and targets too.",
        f"A position is sized to lose {percent(terms.risk)} of the equity at its stop, before costs, and costs at most "
        f"the cash there is: {whole(capped)} of {plural(counts['opened'], 'position')} would have needed leverage and "
        "were held smaller.",
        "A bar that opens beyond a stop or a target fills at that open; one that holds both is taken as stopped.",
        f"Only published bars are traded. {plural(gaps, 'trade')} held through unknown bars, {plural(waited, 'exit')} "
        f"waited for the next known bar, {plural(silent, 'opening')} fell into a bar in which nothing traded, at its "
        "last price.",
        f"Dropped signals: {', '.join(dropped) or 'none'}.",
        findings.ONE_POSITION + (" and opens the other." if terms.shorts else "; spot cannot be sold short."),
        "Buying and holding spends all the cash at the second known open, on the same terms, and never sells.",
        findings.ANNUAL,
    ]


def summary(result: BacktestResult) -> str:
    """The report in plain text, at most 100 columns wide."""
    figures, held = result.metrics, result.benchmark_metrics
    made = "SIMULATED DATA  " if result.frame.instrument.is_simulated else ""
    lines = [
        f"{made}Backtest of {result.frame.instrument} {result.timeframe}, {iso(result.start_ms)} to "
        f"{iso(int(result.close_times[-1]))}",
        *textwrap.wrap(findings.verdict(result), findings.WIDTH),
        "",
        f"  {'':<24}{'strategy':>14}{'buy and hold':>16}",
    ]
    for metric in METRICS:
        beside = metric.text(held[metric.name]) if metric.name in held else ""
        lines.append(f"  {metric.title:<24}{metric.text(figures[metric.name]):>14}{beside:>16}".rstrip())
    lines += findings.listed("Beside the returns", honesty(result), 24)
    lines += findings.listed("Limits of the simulation", limits(result), 24)
    lines += findings.assumed(assumptions(result))
    last = result.trades[-1] if len(result.trades) else None
    if last is not None:
        side = "long" if last["side"] > 0 else "short"
        lines += ["", f"Last trade: {side} at {price(last['entry_price'])}, "
                      f"{iso(int(last['entry_number']) * result.timeframe.ms)}"]  # fmt: skip
    return "\n".join(lines)


def page(result: BacktestResult) -> ResultsPage:
    """Put the findings where the results page wants them."""
    return ResultsPage(
        scores=result.scores,
        trades=result.trades,
        close_times=result.close_times,
        equity=result.equity,
        benchmark=result.benchmark,
        cash=result.terms.cash,
        metrics=result.metrics,
        benchmark_metrics=result.benchmark_metrics,
        buckets=result.buckets,
        verdict=findings.verdict(result),
        honesty=honesty(result),
        limits=limits(result),
        assumptions=assumptions(result),
        counts=result.counts,
        provenance=result.provenance,
    )
