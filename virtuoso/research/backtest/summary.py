"""What a portfolio backtest is worth, in plain words: verdict, honesty, comparisons, limits, assumptions.

findings.py says what every backtest says alike.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from virtuoso.account.metrics import LEAST_TRADES
from virtuoso.account.records import LIQUIDATION, OPEN, SIGNAL, STOP, TARGET, TRADE
from virtuoso.account.risk import LEAST_SHARED
from virtuoso.clock import iso
from virtuoso.reports.format import DASH, NOT_TESTABLE, number, percent, plural, whole
from virtuoso.reports.page import METRICS, Finding, PageTable, ResultsPage
from virtuoso.research.backtest import findings
from virtuoso.research.backtest.metrics import TAKEN
from virtuoso.research.backtest.round_trips import REASONS

if TYPE_CHECKING:
    from virtuoso.research.backtest.result import PortfolioResult

GROUP_HEADS = ("trades", "gained", "P&L", "mean R", "95 % interval")
MOST_ROWS = 12
"""Groups of a breakdown that a terminal shows: the rest is in the run folder."""
SHOWN_BREAKDOWNS = ("symbol", "side", "regime", "face", "score", "way out")
WORDS_OF_LIMITS = {
    "halted": "after the halt",
    "positions": "too many positions",
    "correlation": "too like a position that was open",
    "leverage": "leverage spent",
    "heat": "too much at risk already",
    "size_step": "below the venue's least size",
    "min_notional": "below the venue's least notional",
    "no_stop": "no stop on the losing side",
}


def title(result: PortfolioResult) -> str:
    """Name the instruments and the clock."""
    names = [str(one) for one in result.instruments]
    listed = names[0] if len(names) == 1 else f"{len(names)} instruments ({_listed(result)})"
    return f"{listed} {result.timeframe}"


def _listed(result: PortfolioResult) -> str:
    symbols = [one.symbol for one in result.instruments]
    return ", ".join(symbols[:4]) + (", ..." if len(symbols) > 4 else "")


def verdict(result: PortfolioResult) -> str:
    """Say in a sentence what was found, and in a second one if paper or live trading would not have gone on."""
    words, halted = findings.verdict(result), result.halted
    if halted is None or result.account.reset_halt:
        return words
    when = f"{iso(halted.at)[:10]}, after {percent(halted.share, 0)} of the time"
    if result.account.halt:
        return f"{words} Trading halted {when}, and stayed halted."
    return (
        f"{words} The halt was reached {when}; it is reported and not enforced, and "
        f"{percent(halted.return_after, signed=True)} followed."
    )


def honesty(result: PortfolioResult) -> list[Finding]:
    """What stands beside the returns, always."""
    figures, counts = result.metrics, result.counts
    costs = figures["fees"] + figures["slippage"]
    before = float(result.trades["pnl"].sum()) + costs - figures["funding"]
    return [
        findings.closed_trades(result),
        Finding("Order within bars", whole(counts["ambiguous trades"]), _bounds_words(result)),
        Finding(
            "Costs paid",
            number(costs, 0),
            f"fees {number(figures['fees'], 0)}, slippage {number(figures['slippage'], 0)}; before costs and funding "
            f"the trades made {number(before, 0, signed=True)}",
        ),
        Finding("Funding", number(figures["funding"], 0, signed=True), _funding_words(result)),
        Finding("Random entries", _percentile(result), _random_words(result)),
        Finding(
            "Inverted signals",
            percent(result.inverted_metrics["total_return"], signed=True),
            "made the opposite trades on the same terms; direction earned something only if ours made clearly more",
        ),
        Finding("Doubtful data", _share(figures["repaired_share"]), _repaired_words(result)),
        findings.sharpe(result),
        Finding(
            "Tuning",
            "none",
            "this run searched nothing. Whoever changes weights or thresholds after looking at it is tuning, and these "
            "bars are then in-sample",
        ),
        Finding(
            "Not tested here",
            DASH,
            "deflated Sharpe, cost stress, verdict: they depend on what else was tried, so they stand apart, in the "
            "tear sheet; a run is counted when it is made",
        ),
    ]  # fmt: skip


def _told(result: PortfolioResult) -> str:
    """Which finer bars told the order of prices inside how many bars; empty where none did."""
    inside = result.stage.inside
    if inside is None:
        return ""
    some, all_ = int(inside.told.any(axis=0).sum()), len(result.instruments)
    of = "" if some == all_ else f" ({some} of {all_} instruments)"
    return f"{inside.timeframe} bars tell it inside {percent(result.told_share)} of the {result.timeframe} bars{of}"


def _order_words(result: PortfolioResult) -> str:
    told = _told(result)
    if not told:
        return (
            "No finer bars tell the order of prices inside a bar: where one holds stop and target, the stop is assumed."
        )
    return (
        f"Where the order of prices inside a bar matters, {told}; inside the others, and inside a finer bar that holds "
        "stop and target, the stop is assumed."
    )


def _bounds_words(result: PortfolioResult) -> str:
    worst, best = result.metrics["total_return"], result.optimistic_metrics["total_return"]
    told = _told(result)
    told = f"; {told}" if told else ""
    if worst == best and not result.counts["ambiguous trades"]:
        return f"no bar that decided a trade could have been passed through in another order{told}"
    return (
        "trades were decided by an order of prices that nobody recorded. Shown is the worse order, "
        f"{percent(worst, signed=True)}; the better one gives {percent(best, signed=True)}, and the truth lies "
        f"between{told}"
    )


def _funding_words(result: PortfolioResult) -> str:
    if all(one.is_spot for one in result.instruments):
        return "spot knows none"
    assumed = [words for words in result.stage.assumptions if words.startswith("funding")]
    return "received if positive, at its own settlements" + (f"; {assumed[0]}" if assumed else "; as it was recorded")


def _percentile(result: PortfolioResult) -> str:
    chance = result.random_entries
    return percent(chance.percentile, 0) if chance.draws else NOT_TESTABLE


def _random_words(result: PortfolioResult) -> str:
    chance = result.random_entries
    if not chance.draws:
        return f"needs {LEAST_TRADES} closed trades"
    return (
        f"of {whole(chance.draws)} draws that entered the same trades by lot made less. They made "
        f"{number(chance.mean, 0, signed=True)} in the mean, 95 % of them {number(chance.low, 0, signed=True)} to "
        f"{number(chance.high, 0, signed=True)}; ours {number(chance.own, 0, signed=True)}"
    )


def _share(value: float) -> str:
    return percent(value) if value == value else DASH


def _repaired_words(result: PortfolioResult) -> str:
    counts = result.counts
    return (
        "of all gains and losses came from trades held through bars that are repaired, missing or the first after a "
        f"gap: {plural(counts['trades on repaired or missing data'], 'trade')}, "
        f"{number(result.metrics['repaired_pnl'], 0, signed=True)}; "
        f"{plural(counts['trades across a gap'], 'trade')} held through unknown bars"
    )


def limits(result: PortfolioResult) -> list[Finding]:
    """What the account did not let through, and how near it came to the end of its margin and of the book."""
    counts, figures = result.counts, result.metrics
    refused = {_reason(name): n for name, n in counts.items() if name.startswith("refused: ") and n}
    cut = sum(n for name, n in counts.items() if name.startswith("cut: "))
    withdrawn, unknown = counts["withdrawn"], counts["correlation_unknown"]
    sometimes = [
        Finding(
            "Not left in time",
            whole(withdrawn),
            "entries were left out, or cut, since what was to make room for them had no bar to leave at",
        ),
        Finding(
            "Correlation unknown",
            whole(unknown),
            f"entries were let through beside a position with which they share too few bars (under {LEAST_SHARED}), or "
            "that does not move: the limit on correlation could not judge them",
        ),
    ]
    return [
        Finding("Refused", whole(sum(refused.values())), _listed_counts(refused) or "no signal to open was refused"),
        Finding("Held smaller", whole(cut), "positions were cut to the leverage or the heat that was left"),
        Finding("Halts", whole(counts["halts"]), _halt_words(result)),
        Finding(
            "Liquidations",
            whole(counts["liquidations"]),
            f"at leverage {number(result.account.leverage, 1)}; the mean notional was "
            f"{number(figures['mean_leverage'])} times the equity while positions were held",
        ),
        Finding(
            "Limit entries",
            whole(counts["limit entries"]),
            f"were filled; {whole(counts['limit entries that lapsed'])} lapsed",
        ),
        Finding("Capacity", _capacity(result), _capacity_words(result)),
        *(finding for finding, n in zip(sometimes, (withdrawn, unknown), strict=True) if n),
    ]  # fmt: skip


def _reason(name: str) -> str:
    limit = name.removeprefix("refused: ")
    return WORDS_OF_LIMITS.get(limit, limit)


def _listed_counts(found: dict[str, int]) -> str:
    return "; ".join(f"{whole(n)} {reason}" for reason, n in found.items())


def _halt_words(result: PortfolioResult) -> str:
    account, halted = result.account, result.halted
    fall = percent(account.limits.max_drawdown, 0)
    if halted is None:
        return f"equity never fell {fall} from its peak"
    fell = f"equity fell {fall} from its peak, first at {iso(halted.at)}, to {number(halted.equity, 0)}"
    followed = (
        f"{percent(halted.return_after, signed=True)} followed, and {whole(halted.signals_after)} of "
        f"{plural(result.counts['intents to open'], 'signal')} to open"
    )
    if not account.halt:
        stops = "Paper and live trading stop there; this run reports it and trades on (--halt enforces it)"
        return f"{fell}. {stops}: {followed}"
    reset = f"lifted after {plural(account.reset_halt, 'day')}" if account.reset_halt else "never lifted"
    return f"{fell}: no position was entered from then on, {reset}; {followed}"


def _capacity(result: PortfolioResult) -> str:
    cash = result.metrics["capacity_cash"]
    return number(cash, 0) if cash == cash else DASH


def _capacity_words(result: PortfolioResult) -> str:
    known = result.metrics["capacity_known"]
    if not known:
        return "the order book is recorded at none of the entries, so what could be traded is not known"
    return (
        f"of cash, at which nine in ten entries take at most {percent(TAKEN, 0)} of the depth within 10 bp; the book "
        f"is known at {percent(known, 0)} of the entries"
    )


def comparisons(result: PortfolioResult) -> list[tuple[str, dict[str, float]]]:
    """Name and figures of what it is compared with: holding, the opposite, each face alone."""
    faces = [(f"{name.replace('_', ' ')} alone", found) for name, found in result.faces_alone.items()]
    return [("buy and hold", result.benchmark_metrics), ("inverted", result.inverted_metrics), *faces]


def assumptions(result: PortfolioResult) -> list[str]:
    """How trades were simulated, in plain words."""
    account, spot = result.account, [one for one in result.instruments if one.is_spot]
    perpetual = len(spot) < len(result.instruments)
    words = [
        "A signal is decided at the close of its bar and filled at the open of the next one. All instruments decide at "
        "the same instant, the most reliable first.",
        f"Market fills and stops pay {percent(account.taker, 3)} of the notional, limits and targets "
        f"{percent(account.maker, 3)}. The price is {percent(result.slippage, 3)} worse than seen at market fills and "
        "stops, or half the recorded spread where that is more.",
        f"A position risks {percent(account.limits.base_size)} of the equity at its stop at full reliability and "
        f"{percent(account.limits.base_size * account.limits.least_scale)} at none; at most "
        f"{account.limits.max_positions} at a time, {number(account.limits.max_leverage)} times the equity and "
        f"{percent(account.limits.heat, 0)} of it at risk in all.",
        f"{_order_words(result)} What opens beyond a stop fills at that open.",
        f"{findings.ONE_POSITION} and opens the other at the same open.",
    ]
    if perpetual:
        words.append(
            f"Perpetuals are opened at leverage {number(account.leverage, 1)} with "
            f"{'isolated' if account.isolated else 'cross'} margin and are liquidated by the mark price"
            + (", maintenance margin by the venue's tiers." if account.tiers else ".")
        )
    if spot:
        words.append("Spot is long only: a bearish signal sells what is held, and nothing is borrowed.")
    if account.trail > 0.0:
        words.append(f"Stops trail the best price at {number(account.trail)} R.")
    words += [_sentence(assumed) for assumed in result.assumed]
    words += [
        "Buying and holding spends equal shares of the cash at the second known open of each instrument, without "
        "leverage, pays funding, and never sells.",
        findings.ANNUAL,
    ]
    return words


def _sentence(words: str) -> str:
    return f"ASSUMED: {words}."


def summary(result: PortfolioResult, *, bounds: bool = False) -> str:
    """The report in plain text, at most 100 columns wide."""
    made = "SIMULATED DATA  " if result.is_simulated else ""
    lines = [
        *textwrap.wrap(
            f"{made}Backtest of {title(result)}, {iso(result.start_ms)} to {iso(int(result.close_times[-1]))}",
            findings.WIDTH,
        ),
        *textwrap.wrap(verdict(result), findings.WIDTH),
        "",
        *_figures(result, bounds),
    ]
    lines += findings.listed("Beside the returns", honesty(result), 20)
    lines += findings.listed("Limits of the account", limits(result), 20)
    lines += ["", "Compared on the same terms", *_compared(result)]
    lines += [line for by in SHOWN_BREAKDOWNS for line in _broken_down(result, by)]
    lines += findings.assumed(assumptions(result))
    return "\n".join(lines)


def _figures(result: PortfolioResult, bounds: bool) -> Iterator[str]:
    """Lines of the table of figures."""
    figures, held, best = result.metrics, result.benchmark_metrics, result.optimistic_metrics if bounds else {}
    heads = f"  {'':<34}{'strategy':>14}{'buy and hold':>16}"
    yield heads + (f"{'optimistic':>16}" if bounds else "")
    for metric in METRICS:
        beside = metric.text(held[metric.name]) if metric.name in held else ""
        bound = metric.text(best[metric.name]) if bounds else ""
        name = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
        yield f"  {name:<34}{metric.text(figures[metric.name]):>14}{beside:>16}{bound:>16}".rstrip()


def _compared(result: PortfolioResult) -> Iterator[str]:
    yield f"  {'':<24}{'return':>14}{'drawdown':>14}{'Sharpe':>16}{'trades':>10}"
    for name, found in [("strategy", result.metrics), *comparisons(result)]:
        first, *cells = _compared_cells(name, found)
        yield f"  {first:<24}{cells[0]:>14}{cells[1]:>14}{cells[2]:>16}{cells[3]:>10}".rstrip()


def _compared_cells(name: str, found: dict[str, float]) -> tuple[str, ...]:
    """Cells of one line of the comparison."""
    sharpe = number(found["sharpe"]) if found["sharpe"] == found["sharpe"] else NOT_TESTABLE
    trades = whole(found["trades"]) if "trades" in found else ""
    return name, percent(found["total_return"], signed=True), percent(found["max_drawdown"]), sharpe, trades


def _broken_down(result: PortfolioResult, by: str) -> Iterator[str]:
    """Lines of one breakdown; nothing where it has a single group."""
    rows = result.breakdowns[result.breakdowns["by"] == by]
    if len(rows) < 2:
        return
    yield ""
    heads = (f"By {by}", *GROUP_HEADS)
    yield _placed(heads)
    shown = rows if len(rows) <= MOST_ROWS else rows[np.argsort(-rows["trades"], kind="stable")[:MOST_ROWS]]
    yield from (_placed(_group_cells(row)) for row in shown)
    if len(rows) > len(shown):
        yield f"  and {len(rows) - len(shown)} more, in breakdowns.parquet"


def _placed(cells: tuple[str, ...]) -> str:
    name, trades, gained, pnl, mean, sure = cells
    return f"  {name[:23]:<24}{trades:>8}{gained:>10}{pnl:>12}{mean:>10}    {sure}"


def _group_cells(row: np.void) -> tuple[str, ...]:
    """Cells of one line of a breakdown."""
    sure = f"{number(row['low_r'], 2, signed=True)} to {number(row['high_r'], 2, signed=True)}"
    return (
        str(row["name"]),
        whole(row["trades"]),
        percent(row["hit_rate"], 0),
        number(row["pnl"], 0, signed=True),
        number(row["mean_r"], 2, signed=True),
        sure if row["low_r"] == row["low_r"] else NOT_TESTABLE,
    )


def page(result: PortfolioResult) -> ResultsPage:
    """Put the findings where the results page wants them; prices and scores are those of the most traded instrument."""
    there = result.known
    return ResultsPage(
        scores=result.shown,
        trades=_trades_of(result, result.most_traded),
        close_times=result.close_times[there],
        equity=result.equity[there],
        benchmark=result.benchmark[there],
        cash=result.account.cash,
        metrics=result.metrics,
        benchmark_metrics=result.benchmark_metrics,
        buckets=result.buckets,
        verdict=verdict(result),
        honesty=honesty(result),
        limits=limits(result),
        assumptions=assumptions(result),
        counts=result.counts,
        provenance=result.provenance,
        name=title(result),
        tables=_tables(result),
    )


def _tables(result: PortfolioResult) -> list[PageTable]:
    """Comparisons and breakdowns as tables of a page."""
    compared = [_compared_cells(name, found) for name, found in [("strategy", result.metrics), *comparisons(result)]]
    tables = [PageTable("Compared on the same terms", ("", "return", "drawdown", "Sharpe", "trades"), compared)]
    for by in dict.fromkeys(result.breakdowns["by"].tolist()):
        rows = [_group_cells(row) for row in result.breakdowns[result.breakdowns["by"] == by]]
        if len(rows) > 1:
            tables.append(PageTable(f"Trades by {by}", ("", *GROUP_HEADS), rows))
    return tables


_CODES = {"open": OPEN, "stop": STOP, "target": TARGET, "signal": SIGNAL, "liquidation": LIQUIDATION}


def _trades_of(result: PortfolioResult, instrument: int) -> np.ndarray:
    """Lives of one instrument as a page draws them: array of TRADE."""
    mine = result.trades["instrument"] == instrument
    lives = result.trades[mine]
    trades = np.empty(len(lives), dtype=TRADE)
    for name in trades.dtype.names or ():
        if name in (lives.dtype.names or ()):
            trades[name] = lives[name]
    trades["target"] = result.run.intents["target"][lives["intent"], 0]
    trades["across_gap"] = result.across_gap[mine]
    trades["reason"] = [_CODES[REASONS[int(code)]] for code in lives["reason"]]
    return trades
