"""The tear sheet of a run: what it made, what that is worth, and how it was made.

1. It is made from a run folder alone (runs/read.py), so that older runs can be read again; the numbers in it are those
   of the folder, and nothing is computed anew but sums that are shown (months, growth).
2. `TearSheet` holds the words, cells and charts; html.py and pdf.py only set them, write.py writes both.
3. The first screen is equity against what it is compared with, and the honesty box beside it.
4. What the folder does not hold is listed as absent at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from virtuoso.prism.result.explanation import Explanation, Row
from virtuoso.prism.words import reliability_rank
from virtuoso.reports.charts import fan
from virtuoso.reports.charts import history as history_charts
from virtuoso.reports.charts import sheet as sheet_charts
from virtuoso.reports.charts.base import FULL, NARROW, WIDE
from virtuoso.reports.charts.sheet import Chart, Traded
from virtuoso.reports.contribution import Contribution, contribution
from virtuoso.reports.format import NOT_TESTABLE, number, percent, plural, price, whole
from virtuoso.reports.history import (
    Rolling,
    closed_trades,
    drawdown_rows,
    extremes,
    minutes,
    rolling,
    trade_figures,
)
from virtuoso.reports.metrics import METRICS, Finding
from virtuoso.reports.palette import effect_of_change
from virtuoso.reports.rows import bucket_rows, duration, month_rows
from virtuoso.reports.summary import compared_cells, group_cells, most_traded
from virtuoso.runs.read import RunData
from virtuoso.runs.schema import (
    BREAKDOWNS,
    CONFIG,
    EQUITY,
    HONESTY,
    PARTS,
    PROVENANCE,
    RELIABILITY,
    SCORE_BUCKETS,
    SCORES,
    TRADES,
    WORDS,
)

IN_THE_BOX = ("Closed trades", "Intrabar ambiguity", "Order within bars", "Ambiguous")
"""What the box says of the run itself, after what is left of it."""
SAID_BY_THE_BOX = ("Sharpe", "Not tested here", "Not tested yet")
"""What a run says of itself before it is judged."""
COMPARED = {
    "strategy": "strategy",
    "optimistic": "optimistic fills",
    "buy_and_hold": "buy and hold",
    "inverted": "inverted",
}
"""Columns of the table of figures: their name in `metrics.json`, and their heading."""
BOUNDED = ("total_return", "max_drawdown", "sharpe", "trades", "win_rate", "mean_r")
"""Figures that are shown under both orders of prices inside bars."""
MOST_GROUPS = 14
"""Groups of a breakdown that are shown, those with the most trades."""
NOT_JUDGED = (
    "deflated Sharpe ratio, probability of overfitting, walk-forward decay and cost stress are absent, not estimated"
)


class Group(NamedTuple):
    """A line of a breakdown.

    Attributes
    ----------
    name : str
    cells : tuple of str
        Trades, share that gained, P&L, mean R, its 95 % interval.
    low, mean, high : float, R
        What the strip shows; NaN where it is not testable.
    """

    name: str
    cells: tuple[str, ...]
    low: float
    mean: float
    high: float


class Breakdown(NamedTuple):
    """Trades of each group; `reach` is the R at either end of the strips, `more` how many groups are left out."""

    by: str
    groups: list[Group]
    reach: float
    more: int


class Figures(NamedTuple):
    """A table: headers, and rows of cells of which the first is a name."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


class FaceCoverage(NamedTuple):
    """How much is known of a face.

    Attributes
    ----------
    title, weight : str
    components : list of tuple
        Title, share of the bars on which it is known, and that in words, of each.
    unavailable : list of str
        Components for which the store holds no data.
    """

    title: str
    weight: str
    components: list[tuple[str, float, str]]
    unavailable: list[str]


@dataclass(frozen=True)
class TearSheet:
    """Words and cells of a tear sheet.

    Attributes
    ----------
    run : RunData
    parts : tuple of tuple of str
        Symbol and file of the pages of the instruments, where the trades are too many for one page.
    """

    run: RunData
    parts: tuple[tuple[str, str], ...] = ()

    # --- what it is ---

    @property
    def simulated(self) -> bool:
        """Whether any of the markets was made by the simulator."""
        return self.run.is_simulated

    @property
    def title(self) -> str:
        """What was traded, and on which clock."""
        found = self.run.fact(PROVENANCE)
        told = self.run.fact(WORDS).get("title")
        traded = found.get("instruments", found.get("instrument", self.run.name))
        return str(told or f"{traded} {found.get('timeframe', '')}".strip())

    @property
    def period(self) -> str:
        """From, to, how many bars, and how much of them is known and scored."""
        times, told = self.run.close_times, self.run.fact(SCORES)
        first = minutes(int(times[0]) - self.run.bar_ms)
        words = f"{first} to {minutes(int(times[-1]))}, {plural(len(times), 'bar')}"
        if not told:
            return words
        return f"{words}: {percent(told['known'], 2)} of them known, {percent(told['scored'], 2)} scored"

    @property
    def decision(self) -> str:
        """Ship, iterate, discard; *not judged* where nobody did."""
        judged = self.run.fact(HONESTY)
        return str(judged["decision"]) if judged.get("decision") else "not judged"

    @property
    def reasons(self) -> str:
        """What the decision rests on."""
        judged = self.run.fact(HONESTY)
        words = "; ".join(judged.get("reasons", ())) if judged else NOT_JUDGED
        return words[:1].upper() + words[1:]

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        told = self.run.fact(WORDS).get("verdict")
        if told:
            return str(told)
        own, held = self.run.figures_of("strategy"), self.run.figures_of("buy_and_hold")
        made = f"{plural(own.get('trades', 0.0), 'closed trade')}: {percent(own['total_return'], signed=True)}"
        costs = " after costs" if own.get("fees") or own.get("slippage") else ""
        return f"{made}{costs}" + (
            f", buy and hold made {percent(held['total_return'], signed=True)}." if held else "."
        )

    # --- what it is worth ---

    @property
    def honesty(self) -> list[Finding]:
        """The box: what is left after everything that was tried and under stress, and how much is not known."""
        told = self.run.fact(HONESTY)
        if not told:
            return [Finding("Tries, overfitting", "not judged", NOT_JUDGED), *self._told]
        stressed = [
            Finding(
                case["name"], percent(_nan(case["net"]), signed=True), f"Sharpe ratio {number(_nan(case['sharpe']))}"
            )
            for case in told.get("stress", ())
        ]
        rows = _together([Finding(*map(str, row)) for row in told.get("rows", ())])
        return [*rows, *stressed, *(finding for finding in self._told if finding.title in IN_THE_BOX)]

    @property
    def beside(self) -> list[Finding]:
        """What else stands beside the returns, where the box is full."""
        if not self.run.fact(HONESTY):
            return []
        said = (*IN_THE_BOX, *SAID_BY_THE_BOX)
        return [finding for finding in self._told if finding.title not in said]

    @cached_property
    def _told(self) -> list[Finding]:
        """What the run says beside its returns; of a run without words, what can be read from its figures."""
        told = [_finding(one) for one in self.run.fact(WORDS).get("honesty", ())]
        if told:
            return told
        own, counts = self.run.figures_of("strategy"), self.run.figures.get("counts", {})
        costs = own.get("fees", float("nan")) + own.get("slippage", float("nan"))
        return [
            Finding("Closed trades", whole(own.get("trades", float("nan"))), ""),
            Finding("Intrabar ambiguity", whole(counts.get("ambiguous trades", float("nan"))), "ambiguous trades"),
            Finding("Costs paid", number(costs, 0), "fees and slippage, quote currency"),
        ]

    @property
    def limits(self) -> list[Finding]:
        """What the simulation did not let through or knows only roughly."""
        return [_finding(one) for one in self.run.fact(WORDS).get("limits", ())]

    @property
    def gates(self) -> list[tuple[str, str, str]]:
        """Questions of the verdict: name, answer, reason."""
        answers = {True: "passed", False: "failed", None: NOT_TESTABLE}
        return [
            (str(gate["name"]), answers[gate["passed"]] if gate.get("needed", True) else "not asked",
             str(gate["reason"]))
            for gate in self.run.fact(HONESTY).get("gates", ())
        ]  # fmt: skip

    @property
    def figures(self) -> Figures:
        """Figures of the strategy, and of what it is compared with, as far as they are there."""
        told = {name: found for name in COMPARED if (found := self.run.figures_of(name))}
        if not self.bounds.rows:
            told.pop("optimistic", None)
        rows = []
        for metric in METRICS:
            if metric.name not in told["strategy"] or (metric.name == "mean_r" and not self.has_r):
                continue
            rows.append(
                (metric.heading, *(metric.text(of[metric.name]) if metric.name in of else "" for of in told.values()))
            )
        return Figures(("", *(COMPARED[name] for name in told)), rows)

    @property
    def comparisons(self) -> Figures:
        """Each face alone, and entries by lot."""
        rows: list[tuple[str, ...]] = []
        for name, found in (self.run.figures.get("faces_alone") or {}).items():
            rows.append((f"{name.replace('_', ' ')} alone", *compared_cells(found)))
        chance = self.run.figures.get("random_entries") or {}
        if chance.get("draws"):
            made = chance["mean"] / self.run.cash
            rows.append((f"random entries, mean of {whole(chance['draws'])}", percent(made, signed=True), "", "", ""))
        return Figures(("", "return", "max drawdown", "Sharpe", "trades"), rows)

    @property
    def chance(self) -> str:
        """Where the trades lie among those entered by lot, in words."""
        chance = self.run.figures.get("random_entries") or {}
        if not chance.get("draws"):
            return ""
        low, high = (number(chance[name], 0, signed=True) for name in ("low", "high"))
        return (
            f"The same trades at random entries made {low} to {high} in 95 % of {whole(chance['draws'])} draws; "
            f"these made {number(chance['own'], 0, signed=True)}, more than {percent(chance['percentile'], 0)} of them."
        )

    @cached_property
    def has_r(self) -> bool:
        """Whether any trade had a stop, so that its P&L can be told in R; so taken where the folder does not say."""
        r = self.run.table(TRADES).get("r")
        return r is None or not len(r) or bool(np.isfinite(r).any())

    @property
    def has_scores(self) -> bool:
        """Whether scores decided, or stood beside the signals: a run without them says nothing of scores."""
        return self.run.has_scores

    @property
    def bounds(self) -> Figures:
        """Figures under pessimistic and optimistic fills; no rows where only one is known, or where none differs."""
        worse, better = self.run.figures_of("strategy"), self.run.figures_of("optimistic")
        if all(_same(worse[name], better[name]) for name in BOUNDED if name in worse and name in better):
            return Figures(("", "", ""), [])
        titles = {metric.name: metric for metric in METRICS}
        rows = [
            (titles[name].heading, titles[name].text(worse[name]), titles[name].text(better[name]))
            for name in BOUNDED
            if name in worse and name in better and (name != "mean_r" or self.has_r)
        ]
        return Figures(("", "pessimistic fills", "optimistic fills"), rows)

    @property
    def bounds_words(self) -> str:
        """How many trades hang on the order of prices inside bars."""
        n = self.run.figures.get("counts", {}).get("ambiguous trades")
        if n is None:
            return "How many trades depend on the intrabar path was not recorded."
        words = (
            f"{plural(n, 'trade')} ended in a bar whose intrabar path nobody recorded. All figures are of pessimistic "
            "fills: the stop before the target."
        )
        if not self.run.figures_of("optimistic"):
            return f"{words} Optimistic fills were not run, so only one bound is known."
        if not self.bounds.rows:
            return (
                "No figure depends on the intrabar path." if not n else f"{words} Optimistic fills make no difference."
            )
        return f"{words} The truth lies between both."

    # --- tables ---

    @property
    def monthly(self) -> tuple[list[str], list[dict[str, object]]]:
        """Months of the run, and one row a year."""
        run = self.run
        return month_rows(run.close_times, run.table(EQUITY)["equity"], run.curve("buy_and_hold"), run.cash)

    @property
    def drawdowns(self) -> Figures:
        """The deepest drawdowns of the equity."""
        return Figures(("max drawdown", "start", "trough", "recovery", "length"), drawdown_rows(self.run))

    @property
    def trade_figures(self) -> Figures:
        """What the trades were like, one by one."""
        return Figures(("", ""), trade_figures(self.run))

    @property
    def extremes(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """The best and the worst closed trades."""
        best, worst = extremes(self.run)
        several = len(np.unique(self.run.table(TRADES).get("symbol", np.empty(0)))) > 1
        return [_trade_row(row, several) for row in best], [_trade_row(row, several) for row in worst]

    @cached_property
    def _buckets(self) -> np.ndarray | None:
        table = self.run.table(SCORE_BUCKETS)
        if not len(table.get("horizon", ())):
            return None
        names = [name for name in table if name != "horizon"]
        rows = np.empty(len(table["horizon"]), dtype=[("horizon", "U8"), *((name, np.float64) for name in names)])
        for name, of in table.items():
            rows[name] = of
        return rows

    @property
    def bucket_rows(self) -> tuple[list[str], list[dict[str, object]]]:
        """Horizons, and one row a bucket with a cell for each."""
        return ([], []) if self._buckets is None else bucket_rows(self._buckets)

    @property
    def breakdowns(self) -> list[Breakdown]:
        """Trades by symbol, side, regime and whatever else was broken down into more than one group."""
        table = self.run.table(BREAKDOWNS)
        found = [_breakdown(table, str(by)) for by in dict.fromkeys(table.get("by", np.empty(0)).tolist())]
        return [one for one in found if len(one.groups) > 1]

    @property
    def reliability_rows(self) -> Figures:
        """Bins of the reliability diagram."""
        told = self.run.fact(RELIABILITY)
        bins = told.get("bins", ())
        if told.get("basis") != "calibrated":
            return Figures(
                ("rank", "signals", "right", "95 % interval"),
                [(reliability_rank(_nan(row["told"])), whole(row["signals"]), *_right(row)) for row in bins],
            )
        rows = [
            (f"{percent(_nan(row['low']), 0)} to {percent(_nan(row['high']), 0)}", whole(row["signals"]),
             percent(_nan(row["told"])), *_right(row))
            for row in bins
        ]  # fmt: skip
        return Figures(("predicted", "signals", "predicted, mean", "right", "95 % interval"), rows)

    @property
    def reliability_words(self) -> str:
        """What the reliability diagram says."""
        told = self.run.fact(RELIABILITY)
        if not told.get("bins"):
            return str(told.get("reason", "No reliability diagram is in this run folder."))
        right = (
            f"Of {plural(told['signals'], 'signal')} {percent(told['right'] / told['signals'])} touched the first "
            "target before the stop."
        )
        bars = "Bars hold 95 % (block bootstrap); hollow where too little is known."
        if told["basis"] != "calibrated":
            return (
                f"Uncalibrated: a rank that orders signals and was never fitted to be a probability. {right} Where the "
                f"rank means something, the share rises from low to high. {bars}"
            )
        error, brier = _nan(told.get("calibration_error")), _nan((told.get("brier") or {}).get("score"))
        return (
            f"Probabilities, calibrated on past signals only. {right} Brier score {number(brier, 4)}, mean distance "
            f"from the diagonal {percent(error)}. {bars}"
        )

    # --- what the scores said ---

    @cached_property
    def explanation(self) -> Explanation | None:
        """Of the last signal that became a trade, of the last scored bar if none did; None where it was not kept."""
        told = self.run.fact(SCORES).get("explanation")
        return None if told is None else _explanation(told)

    @property
    def explanation_heading(self) -> str:
        """What that explains."""
        return "Why it signalled, the last time" if self.run.fact(SCORES)["of_trade"] else "The scores of the last bar"

    @property
    def contributions(self) -> list[Contribution]:
        """The table of the confluence, then those of the faces of which something is known."""
        if self.explanation is None:
            return []
        known = [name for name, rows in self.explanation.faces.items() if any(row.score == row.score for row in rows)]
        return [contribution(self.explanation, face) for face in (None, *known)]

    @property
    def unknown_faces(self) -> list[str]:
        """Faces of which nothing is known at that moment."""
        rows = [] if self.explanation is None else self.explanation.total
        return [row.title for row in rows if row.score != row.score]

    @property
    def coverage(self) -> list[FaceCoverage]:
        """Share of the bars on which each component is known, face by face."""
        return [
            FaceCoverage(
                face["title"],
                percent(face["weight"], 0),
                [
                    (part["title"], part["share"],
                     f"needs {', '.join(part['missing'])}" if part["missing"] else percent(part["share"], 2))
                    for part in face["components"]
                ],
                list(face["unavailable"]),
            )
            for face in self.run.fact(SCORES).get("coverage", ())
        ]  # fmt: skip

    # --- charts: for a desk and for a phone ---

    @cached_property
    def traded(self) -> Traded | None:
        """The instrument that was traded most."""
        return sheet_charts.traded(self.run)

    def equity_chart(self, width: int = WIDE) -> Chart:
        """Equity with drawdown against benchmarks."""
        return sheet_charts.equity(self.run, width)

    def trades_chart(self, width: int = FULL) -> Chart | None:
        """All trades of the most traded instrument; None where nothing was traded."""
        return None if self.traded is None else sheet_charts.trades_on_price(self.run, self.traded, width)

    def last_chart(self, width: int = FULL) -> Chart | None:
        """Candles of its last trades; None where no bars were kept."""
        return None if self.traded is None else sheet_charts.last_trades(self.run, self.traded, width)

    def bucket_chart(self, width: int = FULL) -> Chart | None:
        """Forward returns by score; None where they were not kept."""
        return None if self._buckets is None else sheet_charts.score_buckets(self.run, self._buckets, width)

    def reliability_chart(self, width: int = NARROW) -> Chart | None:
        """Told against right; None where it is not known."""
        there = self.run.fact(RELIABILITY).get("bins")
        return sheet_charts.reliability(self.run, width) if there else None

    def rolling_chart(self, width: int = FULL) -> Chart | None:
        """Rolling figures; None where the run is too short for them."""
        found = self._rolling
        return None if found is None else history_charts.rolling(found, width, simulated=self.simulated)

    @cached_property
    def _rolling(self) -> Rolling | None:
        return rolling(self.run)

    def spread_chart(self, width: int = FULL) -> Chart | None:
        """How results, excursions, holding times and streaks are spread; None where nothing has ended."""
        trades = closed_trades(self.run)
        if not trades:
            return None
        return history_charts.distributions(trades, width, self.run.bar_ms, simulated=self.simulated)

    def clock_chart(self, width: int = FULL) -> Chart | None:
        """Results by hour and weekday of the entry; None where nothing has ended."""
        trades = closed_trades(self.run)
        return history_charts.clock(trades, width, simulated=self.simulated) if trades else None

    def fan_chart(self, width: int = FULL) -> Chart | None:
        """What else the same trades and days might have come to; None where it is not known."""
        return fan.chart(self.run, width)

    @property
    def fan_words(self) -> str:
        """What that chart says."""
        return fan.words(self.run)

    @property
    def price_words(self) -> str:
        """How to read the trades on price, or why there is nothing to read."""
        if self.traded is None:
            there = TRADES in self.run.tables
            return "Nothing was traded." if there else "This run folder holds no trades."
        words = "▲ long, ▼ short, at the price and time of entry; a line leads to where the trade ended."
        if "whole" not in self.traded.bars:
            words += " The run folder holds no bars: what lies between the trades is not drawn."
        return words

    # --- how it was made ---

    @property
    def assumptions(self) -> list[str]:
        """How trades were simulated, in plain words."""
        told = self.run.fact(WORDS).get("assumptions")
        if told:
            return [str(words) for words in told]
        return [f"ASSUMED: {words}." for words in self.run.fact(CONFIG).get("assumed", ())]

    @property
    def summary(self) -> str:
        """The summary as it was written, where the folder has no words of its own."""
        return "" if WORDS in self.run.facts else self.run.summary

    @property
    def provenance(self) -> dict[str, str]:
        """Where every number came from."""
        return {"run": self.run.name} | {k: str(v) for k, v in self.run.fact(PROVENANCE).items()}

    @property
    def absent(self) -> list[tuple[str, str]]:
        """Files that this run folder does not hold, and what would be in them."""
        return [(name, PARTS[name]) for name in self.run.absent]


def _nan(value: float | None) -> float:
    """A figure of a JSON file; null is NaN."""
    return float("nan") if value is None else float(value)


def _right(row: Mapping[str, Any]) -> tuple[str, str]:
    """Share of the signals of a bin that were right, and its 95 % interval."""
    known = row["low_right"] is not None
    interval = f"{percent(row['low_right'], 0)} to {percent(row['high_right'], 0)}" if known else NOT_TESTABLE
    return percent(_nan(row["right"])), interval


def _finding(told: Mapping[str, str]) -> Finding:
    return Finding(told["title"], told["value"], told["words"])


def _same(one: float, other: float) -> bool:
    """Whether two figures are written alike, as far as a share of a thousandth tells."""
    return one == other or (one != one and other != other) or abs(one - other) < 5e-4


def _trade_row(trade: Mapping[str, Any], several: bool) -> dict[str, str]:
    """Cells of a trade; its symbol stands before its side where there are several."""
    long, pnl, r = trade["side"] == "long", float(trade["pnl"]), float(trade["r"])
    return {
        "side": (f"{trade['symbol']} " if several else "") + ("▲ long" if long else "▼ short"),
        "lean": "bullish" if long else "bearish",
        "opened": minutes(int(trade["entry_time"])),
        "held": duration(int(trade["exit_bar_time"] - trade["entry_time"])),
        "entry": price(float(trade["entry_price"])),
        "stop": price(float(trade["stop"])),
        "target": price(float(trade["target"])),
        "exit": price(float(trade["exit_price"])),
        "reason": str(trade["reason"]) + (", ambiguous" if trade.get("ambiguous") else ""),
        "pnl": number(pnl, 2, signed=True),
        "gain": effect_of_change(float(np.sign(pnl))),
        "r": number(r, 2, signed=True),
    }


def _together(found: Sequence[Finding]) -> list[Finding]:
    """Findings that say the same, such as *not testable* for one reason, as one."""
    names: dict[tuple[str, str], list[str]] = {}
    for finding in found:
        names.setdefault((finding.value, finding.words), []).append(finding.title)
    return [Finding(", ".join([first, *map(_inside_a_list, more)]), *said) for said, (first, *more) in names.items()]


def _inside_a_list(name: str) -> str:
    """A name behind others: with a small letter, unless it is somebody's name or an abbreviation."""
    word = re.split(r"[\s-]", name)[0]
    return name if word.isupper() or word in ("Sharpe", "Monte") else name[:1].lower() + name[1:]


def _breakdown(table: Mapping[str, Any], by: str) -> Breakdown:
    rows, more = most_traded(table, by, MOST_GROUPS)
    groups = []
    for row in np.sort(rows).tolist():
        low, mean, high = (float(table[name][row]) for name in ("low_r", "mean_r", "high_r"))
        groups.append(Group(str(table["name"][row]), group_cells(table, row), low, mean, high))
    far = [abs(x) for group in groups for x in (group.low, group.mean, group.high) if x == x]
    return Breakdown(by, groups, max(far, default=1.0) or 1.0, more)


def _explanation(told: Mapping[str, Any]) -> Explanation:
    """An explanation as `scores.json` holds it; null is NaN."""
    plain: dict[str, Any] = {name: _nan(value) if value is None else value for name, value in told.items()}
    faces = {name: [_row(row) for row in rows] for name, rows in told["faces"].items()}
    return Explanation(**plain | {"total": [_row(row) for row in told["total"]], "faces": faces})


def _row(told: Mapping[str, Any]) -> Row:
    plain: dict[str, Any] = {name: _nan(value) if value is None else value for name, value in told.items()}
    seen = {clock: (_nan(score), _nan(value)) for clock, (score, value) in told["timeframes"].items()}
    return Row(**plain | {"timeframes": seen})
