"""What a backtest is worth, in plain words, from the facts and tables of its run.

The terminal, `summary.txt`, `words.json` and the tear sheet show the same sentences.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.account.metrics import DEPTH_TAKEN, LEAST_DAYS, LEAST_TRADES
from virtuoso.account.risk import LEAST_SHARED
from virtuoso.clock import iso
from virtuoso.reports.format import DASH, NOT_TESTABLE, number, percent, plural, whole
from virtuoso.reports.metrics import METRICS, Finding
from virtuoso.runs.read import Facts, RunData, RunTable
from virtuoso.runs.schema import BREAKDOWNS, CONFIG, PROVENANCE, TRADES, WORDS, decider_words

ENOUGH_TRADES = 30
"""Closed trades below which chance explains almost any result."""
WIDTH = 100
GROUP_HEADS = ("trades", "win rate", "P&L", "mean R", "95 % interval")
MOST_ROWS = 12
"""Groups of a breakdown that a terminal shows: the rest is in the run folder."""
BRIEF = (
    "total_return", "cagr", "sharpe", "max_drawdown", "exposure", "trades", "win_rate", "profit_factor", "expectancy",
    "mean_r", "fees", "slippage",
)  # fmt: skip
"""Figures of the one screen that a terminal shows first."""
SHOWN_BREAKDOWNS = ("symbol", "side", "regime", "face", "score", "exit reason")
WORDS_OF_LIMITS = {
    "halted": "after the halt",
    "positions": "max positions reached",
    "correlation": "too correlated with an open position",
    "leverage": "max leverage reached",
    "heat": "max open risk (heat) reached",
    "size_step": "below the venue's minimum size",
    "min_notional": "below the venue's minimum notional",
    "no_stop": "no stop on the losing side",
    "volatility": "not known how much the market moves",
}


@dataclass(frozen=True)
class Summary:
    """The words of a run.

    Attributes
    ----------
    run : RunData
        With configuration, provenance, figures, trades and breakdowns.
    """

    run: RunData

    @cached_property
    def instruments(self) -> tuple[Instrument, ...]:
        """What was traded."""
        pairs = (named.split(" ") for named in self.run.fact(PROVENANCE)["instruments"].split(", "))
        return tuple(Instrument(venue, symbol) for symbol, venue in pairs)

    @property
    def timeframe(self) -> str:
        """The base timeframe."""
        return str(self.run.fact(PROVENANCE)["timeframe"])

    @cached_property
    def own(self) -> dict[str, float]:
        """Figures of the strategy."""
        return self.run.figures_of("strategy")

    @cached_property
    def held(self) -> dict[str, float]:
        """Figures of buying and holding."""
        return self.run.figures_of("buy_and_hold")

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each thing happened that a reader should know of."""
        found: Mapping[str, int] = self.run.figures.get("counts", {})
        return found

    @property
    def terms(self) -> Facts:
        """On what terms was traded."""
        found: Facts = self.run.fact(CONFIG)["terms"]
        return found

    @property
    def halt(self) -> Facts | None:
        """When a halt was first reached and what followed; None where none was."""
        found: Facts = self.run.figures.get("halt") or {}
        return found if found.get("reached") else None

    # --- what it is, in a sentence ---

    @property
    def title(self) -> str:
        """What decided, where that is not the shipped rule, instruments and timeframe."""
        decider = decider_words(self.run.fact(CONFIG).get("decided_by") or {})
        names = [str(one) for one in self.instruments]
        symbols = [one.symbol for one in self.instruments]
        some = ", ".join(symbols[:4]) + (", ..." if len(symbols) > 4 else "")
        traded = names[0] if len(names) == 1 else f"{len(names)} instruments ({some})"
        return f"{f'{decider} on ' if decider else ''}{traded} {self.timeframe}"

    @property
    def verdict(self) -> str:
        """What was found, and in a second sentence if paper or live trading would not have gone on."""
        halt = self.halt
        if halt is None or self.terms["reset_halt"]:
            return self._found()
        when = f"{halt['at'][:10]}, after {percent(halt['share'], 0)} of the time"
        if self.terms["halt"]:
            return f"{self._found()} Trading halted {when}, and stayed halted."
        return (
            f"{self._found()} The halt was reached {when}; it is reported and not enforced, and "
            f"{percent(halt['return_after'], signed=True)} followed."
        )

    def _found(self) -> str:
        n, gained, held = int(self.own["trades"]), self.own["total_return"], self.held["total_return"]
        costs = " after costs" if self.own.get("fees") or self.own.get("slippage") else ""
        made = f"{percent(gained, signed=True)}{costs}, buy and hold made {percent(held, signed=True)}"
        if n == 0:
            return f"Nothing was traded: there is nothing to judge. Buy and hold made {percent(held, signed=True)}."
        if n < ENOUGH_TRADES:
            return f"{plural(n, 'closed trade')}, too few to tell skill from chance: {made}."
        if gained <= 0.0:
            return f"It lost money: {made}."
        if gained <= held:
            return f"It made money, less than buy and hold: {made}."
        return f"It beat buy and hold on these bars, and was tested on no others: {made}."

    # --- what stands beside the returns ---

    @property
    def honesty(self) -> list[Finding]:
        """The diagnostics that stand beside the returns, always."""
        own, counts = self.own, self.counts
        costs = own["fees"] + own["slippage"]
        before = float(self.run.table(TRADES)["pnl"].sum()) + costs - own["funding"]
        return [
            self._closed_trades(),
            Finding("Intrabar ambiguity", whole(counts["ambiguous trades"]), self._bounds_words()),
            Finding(
                "Costs paid",
                number(costs, 0),
                f"fees {number(own['fees'], 0)}, slippage {number(own['slippage'], 0)}; before costs and funding "
                f"the trades made {number(before, 0, signed=True)}",
            ),
            Finding("Funding", number(own["funding"], 0, signed=True), self._funding_words()),
            self._random_entries(),
            Finding(
                "Inverted signals",
                percent(self.run.figures_of("inverted")["total_return"], signed=True),
                "return of the opposite trades on the same terms; direction earned something only if ours made more",
            ),
            Finding("P&L on repaired data", percent(own["repaired_share"]), self._repaired_words()),
            self._sharpe(),
            Finding(
                "Tuning",
                "none",
                "this run searched nothing. Changing weights or thresholds after looking at it is tuning, and these "
                "bars are then in-sample",
            ),
            Finding(
                "Not tested here",
                DASH,
                "deflated Sharpe, cost stress, verdict: they depend on what else was tried, so they stand apart, on "
                "the run page; a run is counted when it is made",
            ),
        ]

    def _closed_trades(self) -> Finding:
        """How many trades there are to judge by."""
        n, still_open = int(self.own["trades"]), int(self.own["open_trades"])
        words = f"{plural(still_open, 'more', 'more')} still open; " if still_open else ""
        words += f"{plural(self.counts['intents to open'], 'signal')} asked to open"
        words += f"; under {ENOUGH_TRADES} says little" if n < ENOUGH_TRADES else ""
        return Finding("Closed trades", whole(n), words)

    def _sharpe(self) -> Finding:
        """The Sharpe ratio and what it is made of, or why there is none."""
        own = self.own
        words = f"from {plural(int(own['days']), 'daily return')}, a year of 365 days, risk-free rate 0"
        if own["sharpe"] == own["sharpe"]:
            return Finding("Sharpe", number(own["sharpe"], 2), words)
        if own["trades"] < LEAST_TRADES:
            why = f"needs {LEAST_TRADES} closed trades"
        else:
            why = f"needs {LEAST_DAYS} days" if own["days"] < LEAST_DAYS else "the equity never moved"
        return Finding("Sharpe", NOT_TESTABLE, f"{words}; {why}")

    def _finer(self) -> str:
        """Which finer bars resolve the intrabar path of how many bars; empty where none do."""
        inside = self.run.figures.get("inside")
        if not inside:
            return ""
        some, every = inside["instruments"], len(self.instruments)
        of = "" if some == every else f" ({some} of {every} instruments)"
        share = percent(inside["share"])
        return f"{inside['timeframe']} bars resolve it in {share} of the {self.timeframe} bars{of}"

    def _order_words(self) -> str:
        finer = self._finer()
        if not finer:
            return (
                "Fills are pessimistic: no finer bars resolve the intrabar path, so where one bar holds stop and "
                "target the stop is assumed."
            )
        return (
            f"Where the intrabar path matters, {finer}. Fills are pessimistic in the others, and in a finer bar that "
            "holds stop and target: the stop is assumed."
        )

    def _bounds_words(self) -> str:
        worst, best = self.own["total_return"], self.run.figures_of("optimistic")["total_return"]
        finer = self._finer()
        finer = f"; {finer}" if finer else ""
        if worst == best and not self.counts["ambiguous trades"]:
            return f"no trade depends on the intrabar path{finer}"
        return (
            "trades depend on an intrabar path that nobody recorded. Shown are pessimistic fills, "
            f"{percent(worst, signed=True)}; optimistic fills give {percent(best, signed=True)}, and the truth lies "
            f"between{finer}"
        )

    def _funding_words(self) -> str:
        if all(one.is_spot for one in self.instruments):
            return "spot pays none"
        assumed = next((words for words in self.assumed if words.startswith("funding")), "as it was recorded")
        return f"received if positive, at its own settlements; {assumed}"

    def _random_entries(self) -> Finding:
        chance = self.run.figures["random_entries"]
        if not chance["draws"]:
            return Finding("Random entries", NOT_TESTABLE, f"needs {LEAST_TRADES} closed trades")
        mean, low, high, own = (number(chance[name], 0, signed=True) for name in ("mean", "low", "high", "own"))
        words = (
            f"of {whole(chance['draws'])} runs with the same trades at random entries made less. Their mean P&L is "
            f"{mean}, 95 % of them {low} to {high}; ours {own}"
        )
        return Finding("Random entries", percent(chance["percentile"], 0), words)

    def _repaired_words(self) -> str:
        counts = self.counts
        return (
            "of all gains and losses came from trades held through bars that are repaired, missing or the first after "
            f"a gap: {plural(counts['trades on repaired or missing data'], 'trade')}, "
            f"{number(self.own['repaired_pnl'], 0, signed=True)}; "
            f"{plural(counts['trades across a gap'], 'trade')} held through unknown bars"
        )

    # --- what the account did not let through ---

    @property
    def limits(self) -> list[Finding]:
        """What the account did not let through, and how near it came to the end of its margin and of the book."""
        counts = self.counts
        refused = {_reason(name): n for name, n in counts.items() if name.startswith("refused: ") and n}
        cut = sum(n for name, n in counts.items() if name.startswith("cut: "))
        would = {_reason(name): n for name, n in counts.items() if name.startswith("would have been ")}
        unlimited = "; ".join(f"{whole(n)} {reason}" for reason, n in would.items())
        reported = [Finding("Not limited", whole(sum(would.values())), f"would have been {unlimited}")] if would else []
        paid = " or to what the account could pay" if counts.get("cut: cash") else ""
        listed = "; ".join(f"{whole(n)} {reason}" for reason, n in refused.items())
        sometimes = [
            Finding(
                "Exit not filled in time",
                whole(counts["withdrawn"]),
                "entries were skipped or cut, since the position that was to make room had no bar to exit at",
            ),
            Finding(
                "Correlation unknown",
                whole(counts["correlation_unknown"]),
                "entries were let through beside a position with which they share too few bars (under "
                f"{LEAST_SHARED}), or that does not move: the limit on correlation could not judge them",
            ),
        ]
        return [
            Finding("Refused", whole(sum(refused.values())), listed or "no signal to open was refused"),
            Finding(
                "Size capped",
                whole(cut),
                f"positions were cut to the leverage or the open risk (heat) that was left{paid}",
            ),
            *reported,
            Finding("Drawdown halts", whole(counts["halts"]), self._halt_words()),
            Finding(
                "Liquidations",
                whole(counts["liquidations"]),
                f"at leverage {number(self.terms['leverage'], 1)}; the mean notional was "
                f"{number(self.own['mean_leverage'])} times the equity while positions were held",
            ),
            Finding(
                "Limit entries",
                whole(counts["limit entries"]),
                f"were filled; {whole(counts['limit entries that lapsed'])} lapsed",
            ),
            self._capacity(),
            *(
                finding
                for finding, name in zip(sometimes, ("withdrawn", "correlation_unknown"), strict=True)
                if counts[name]
            ),
        ]

    def _halt_words(self) -> str:
        terms, halt = self.terms, self.halt
        fall = percent(terms["limits"]["max_drawdown"], 0)
        if halt is None:
            return f"equity never fell {fall} from its peak"
        fell = f"equity fell {fall} from its peak, first at {halt['at']}, to {number(halt['equity'], 0)}"
        followed = (
            f"{percent(halt['return_after'], signed=True)} followed, and {whole(halt['signals_after'])} of "
            f"{plural(self.counts['intents to open'], 'signal')} to open"
        )
        if not terms["halt"]:
            stops = "Paper and live trading stop there; this run reports it and trades on (--halt enforces it)"
            return f"{fell}. {stops}: {followed}"
        reset = f"lifted after {plural(terms['reset_halt'], 'day')}" if terms["reset_halt"] else "never lifted"
        return f"{fell}: no position was entered from then on, {reset}; {followed}"

    def _capacity(self) -> Finding:
        cash, known = self.own["capacity_cash"], self.own["capacity_known"]
        if not known:
            words = "the order book is recorded at none of the entries, so what could be traded is not known"
        else:
            words = (
                f"of cash, at which nine in ten entries take at most {percent(DEPTH_TAKEN, 0)} of the depth within 10 "
                f"bp; the book is known at {percent(known, 0)} of the entries"
            )
        return Finding("Capacity", number(cash, 0), words)

    # --- how it was made ---

    @property
    def assumed(self) -> Sequence[str]:
        """What was assumed since it is not known."""
        found: Sequence[str] = self.run.fact(CONFIG).get("assumed", ())
        return found

    @property
    def assumptions(self) -> list[str]:
        """How trades were simulated, in plain words."""
        terms = self.terms
        spot = [one for one in self.instruments if one.is_spot]
        words = [
            "A signal is decided at the close of its bar and filled at the open of the next one. All instruments "
            f"decide at the same instant{', the highest reliability first' if self._is_rule else ''}.",
            f"Market fills and stops pay {percent(terms['taker'], 3)} of the notional, limits and targets "
            f"{percent(terms['maker'], 3)}. The price is {percent(terms['slippage'], 3)} worse than seen at market "
            "fills and stops, or half the recorded spread where that is more.",
            self._size_words(),
            f"{self._order_words()} What opens beyond a stop fills at that open.",
            self._again_words(),
        ]
        if len(spot) < len(self.instruments):
            words.append(
                f"Perpetuals are opened at leverage {number(terms['leverage'], 1)} with {terms['margin']} margin and "
                "are liquidated by the mark price"
                + (", maintenance margin by the venue's tiers." if terms["tiers"] else ".")
            )
        if spot:
            words.append("Spot is long only: a bearish signal sells what is held, and nothing is borrowed.")
        if terms["trail"] > 0.0:
            words.append(f"Stops trail the best price at {number(terms['trail'])} R.")
        words += [f"ASSUMED: {assumed}." for assumed in self.assumed]
        words += [
            "Buy and hold spends equal shares of the cash at the second known open of each instrument, without "
            "leverage, pays funding, and never sells.",
            "Annual figures use a year of 365 days and returns of whole days of 24 hours; with fewer than "
            f"{LEAST_DAYS} days or {LEAST_TRADES} closed trades they are {NOT_TESTABLE}.",
        ]
        return words

    @property
    def _is_rule(self) -> bool:
        """Whether the shipped rule decided; own signals and strategies carry no reliability."""
        return bool(self.run.fact(CONFIG).get("decided_by", {}).get("name", "rule") == "rule")

    def _again_words(self) -> str:
        """What a decision does while a position is open."""
        decided = self.run.fact(CONFIG).get("decided_by", {})
        signals = (
            "A second signal in the direction of an open position changes nothing; one against it closes the position "
            "and opens the other at the same open."
        )
        rebalance = decided.get("rebalance")
        if rebalance is None:
            return signals
        periods = {"change": "when it changes", "bar": "at every bar", "1d": "once a day", "1w": "once a week"}
        when = periods.get(rebalance, f"once every {rebalance}")
        weights = f"A target weight is traded to {when}, at the next open."
        return f"{weights} {signals}" if "class" in decided else weights  # a strategy may give either

    def _size_words(self) -> str:
        """How positions are sized, and what limits them."""
        limits = self.terms["limits"]
        bounds = (
            f"at most {limits['max_positions']} at a time, {number(limits['max_leverage'])} times the equity and "
            f"{percent(limits['heat'], 0)} of it at risk in all"
        )
        if target := self.terms.get("target_volatility", 0.0):
            return (
                f"A position holds as much as moves by {percent(target)} of the equity a day at full reliability, by "
                f"{percent(target * limits['least_scale'])} at none, if its market moves as over the last days; "
                f"{bounds}."
            )
        if self.terms.get("limited", True):
            return (
                f"A position risks {percent(limits['base_size'])} of the equity at its stop at full reliability and "
                f"{percent(limits['base_size'] * limits['least_scale'])} at none; {bounds}."
            )
        return (
            "A position holds the share of the equity that was asked for at the close of its decision, as far as the "
            f"account can pay for it at the open. Risk limits are reported, not enforced (limits=True): {bounds}."
        )

    def words(self) -> dict[str, Any]:
        """Return the content of `words.json`."""
        return {
            "simulated": self.run.is_simulated,
            "title": self.title,
            "verdict": self.verdict,
            "honesty": [finding._asdict() for finding in self.honesty],
            "limits": [finding._asdict() for finding in self.limits],
            "assumptions": self.assumptions,
        }

    # --- the report in plain text ---

    def brief(self, *, bounds: bool = False) -> str:
        """Return what fits a screen: verdict, the main figures, and what calls them into question.

        It is made of whatever an older run folder still holds.

        Parameters
        ----------
        bounds : bool
            Show the figures under optimistic fills beside them.
        """
        lines = [*self._head(), "", *self._figures(bounds, BRIEF)]
        lines += _listed("", list(self._doubts()))
        if self.assumed:
            lines += textwrap.wrap(f"Assumed: {'; '.join(self.assumed)}.", WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def _doubts(self) -> Iterator[Finding]:
        """What a reader of the main figures has to know: a short record, the intrabar path, a halt, repaired data."""
        own, counts, chance = self.own, self.counts, self.run.figures.get("random_entries") or {}
        if own.get("trades", ENOUGH_TRADES) < ENOUGH_TRADES:
            yield self._closed_trades()
        if counts.get("ambiguous trades"):
            words = "depend on an intrabar path that nobody recorded; the figures are of pessimistic fills"
            yield Finding("Ambiguous trades", whole(counts["ambiguous trades"]), words)
        if chance.get("draws"):
            words = f"of {whole(chance['draws'])} runs with the same trades at random entries made less"
            yield Finding("Random entries", percent(chance["percentile"], 0), words)
        if counts.get("halts"):
            yield Finding("Drawdown halts", whole(counts["halts"]), self._halt_words())
        if counts.get("liquidations"):
            yield Finding("Liquidations", whole(counts["liquidations"]), "positions were closed by the venue")
        if own.get("repaired_share", 0.0) > 0.0:
            words = "of all gains and losses came from trades held through repaired or missing bars"
            yield Finding("P&L on repaired data", percent(own["repaired_share"]), words)

    def text(self, *, bounds: bool = False) -> str:
        """Return the report in plain text, at most 100 columns wide.

        Parameters
        ----------
        bounds : bool
            Show the figures of the optimistic run beside them.
        """
        lines = [*self._head(), "", *self._figures(bounds)]
        lines += _listed("Diagnostics", self.honesty)
        lines += _listed("Account limits", self.limits)
        lines += ["", "Compared on the same terms", *self._compared()]
        lines += [line for by in SHOWN_BREAKDOWNS for line in _broken_down(self.run.table(BREAKDOWNS), by)]
        lines += ["", "Assumptions", *(line for words in self.assumptions for line in _hanging("  - ", words))]
        return "\n".join(lines)

    def _head(self) -> list[str]:
        """Lines of what was run and what was found."""
        told, source, times = self.run.fact(WORDS), self.run.fact(PROVENANCE), self.run.close_times
        first, last = source.get("from") or iso(int(times[0])), source.get("to") or iso(int(times[-1]))
        made = "SIMULATED DATA  " if self.run.is_simulated else ""
        title, verdict = told.get("title") or self.run.name or self.title, told.get("verdict") or self.verdict
        heading = f"{made}Backtest of {title}, {_day(first)} to {_day(last)}"
        return [*textwrap.wrap(heading, WIDTH), *textwrap.wrap(verdict, WIDTH)]

    def _figures(self, bounds: bool, shown: Sequence[str] | None = None) -> Iterator[str]:
        """Lines of the table of figures, or of some of them."""
        best = self.run.figures_of("optimistic") if bounds else {}
        heads = f"  {'':<34}{'strategy':>14}{'buy and hold':>16}"
        yield heads + (f"{'optimistic':>16}" if bounds else "")
        for metric in METRICS:
            if metric.name not in self.own or (shown is not None and metric.name not in shown):
                continue
            if shown is not None and metric.unit == "R" and self.own[metric.name] != self.own[metric.name]:
                continue  # without stops there is no R, which takes no line of a screen
            beside = metric.text(self.held[metric.name]) if metric.name in self.held else ""
            bound = metric.text(best[metric.name]) if metric.name in best else ""
            yield f"  {metric.heading:<34}{metric.text(self.own[metric.name]):>14}{beside:>16}{bound:>16}".rstrip()

    def _compared(self) -> Iterator[str]:
        """Lines of the comparison: holding, the opposite, each face alone."""
        yield f"  {'':<24}{'return':>14}{'max drawdown':>14}{'Sharpe':>16}{'trades':>10}"
        figures = self.run.figures
        found = {"strategy": self.own, "buy and hold": self.held, "inverted": self.run.figures_of("inverted")}
        found |= {f"{name.replace('_', ' ')} alone": of for name, of in figures["faces_alone"].items()}
        for name, of in found.items():
            cells = compared_cells(of)
            yield f"  {name:<24}{cells[0]:>14}{cells[1]:>14}{cells[2]:>16}{cells[3]:>10}".rstrip()


def _day(moment: str) -> str:
    """Write a moment at midnight as its day: `2025-01-01`."""
    return moment.removesuffix(" 00:00:00Z")


def _reason(name: str) -> str:
    how, _, limit = name.partition(": ")
    words = WORDS_OF_LIMITS.get(limit, limit)
    return f"{how.removeprefix('would have been ')}: {words}" if how.startswith("would") else words


def compared_cells(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return, max drawdown, Sharpe ratio and trades of what a run is compared with, written."""
    own = {name: float("nan") if value is None else value for name, value in found.items()}
    sharpe = own.get("sharpe", float("nan"))
    return (
        percent(own.get("total_return", float("nan")), signed=True),
        percent(own.get("max_drawdown", float("nan"))),
        number(sharpe) if sharpe == sharpe else NOT_TESTABLE,
        whole(own["trades"]) if "trades" in own else "",
    )


def group_cells(table: RunTable, row: int) -> tuple[str, str, str, str, str]:
    """Trades, win rate, P&L, mean R and its interval of a line of a breakdown, written."""
    low, mean, high = (float(table[name][row]) for name in ("low_r", "mean_r", "high_r"))
    return (
        whole(table["trades"][row]),
        percent(float(table["win_rate"][row]), 0),
        number(float(table["pnl"][row]), 0, signed=True),
        number(mean, signed=True),
        f"{number(low, signed=True)} to {number(high, signed=True)}" if low == low else NOT_TESTABLE,
    )


def most_traded(table: RunTable, by: str, most: int) -> tuple[np.ndarray, int]:
    """Return the rows of a breakdown with the most trades, in their order, and how many are left out."""
    rows = np.flatnonzero(table["by"] == by) if table else np.empty(0, dtype=np.int64)
    if len(rows) <= most:
        return rows, 0
    return rows[np.argsort(-table["trades"][rows], kind="stable")[:most]], len(rows) - most


def _broken_down(table: RunTable, by: str) -> Iterator[str]:
    """Lines of one breakdown; nothing where it has a single group."""
    rows, more = most_traded(table, by, MOST_ROWS)
    if len(rows) < 2:
        return
    yield ""
    yield _placed(f"By {by}", *GROUP_HEADS)
    yield from (_placed(str(table["name"][row]), *group_cells(table, row)) for row in rows)
    if more:
        yield f"  and {more} more, in {BREAKDOWNS}"


def _placed(name: str, trades: str, won: str, pnl: str, mean: str, sure: str) -> str:
    return f"  {name[:23]:<24}{trades:>8}{won:>10}{pnl:>12}{mean:>10}    {sure}"


def _listed(heading: str, findings: Sequence[Finding]) -> list[str]:
    """Lines of a list of findings, their titles in a column."""
    lines = ["", *([heading] if heading else [])]
    for finding in findings:
        lines += _hanging(f"  {finding.title:<24}{finding.value:>13}  ", finding.words)
    return lines


def _hanging(first: str, words: str) -> list[str]:
    """Wrap words under each other beside a first column."""
    return textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
