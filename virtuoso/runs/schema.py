"""What a run folder holds, said once for those who write it and those who read it.

| file | holds |
|---|---|
| `config.json` | terms of trading, what was assumed, and the settings in force |
| `provenance.json` | instruments, stretch, digests of data, prism and intents, versions |
| `metrics.json` | `result_hash`, figures, both bounds, benchmarks, counts; null is *not testable* |
| `intents.parquet` | what was decided, one row an intent |
| `events.parquet` | what happened to the account, one row an event |
| `trades.parquet` | one row a trade: a position from its first fill to its last |
| `equity.parquet` | equity at each close, its bound and what it is compared with |
| `breakdowns.parquet` | trades by symbol, side, month, regime, leading face, score and exit reason |
| `score_buckets.parquet` | forward returns by score |
| `words.json` | title, verdict, findings beside the returns, limits, assumptions |
| `scores.json` | why it signalled the last time, and how much of each component is known |
| `reliability.json` | reliability that signals carried, and the share that was right |
| `fans.json` | equity of the same trades in other orders, and of histories of its own days |
| `prices.parquet` | bars to draw: each instrument's whole run, slowly where it is long, and those around each trade |
| `panes.parquet` | scores at the close of each of those bars, row by row; what was held where there are no scores |
| `summary.txt` | the same for people |
| `honesty.json` | what is left of it after all tries, under stress, and the decision |
| `tearsheet.html` | all of it on a page; `tearsheet.pdf`, where it was asked for, on paper |
| `crosscheck.json` | trades that vectorbt makes of the same intents, where that was asked for |

The same inputs give the same bytes, with the same versions of the libraries: no clock and no path is written. Honesty
and tear sheet stand apart: they are made anew when more was tried. A sweep shares `config.json`, `provenance.json`,
`honesty.json` and `summary.txt`, and has `trials.parquet` and `sweep.html`; research/sweep/result.py says what else.
A study shares `config.json`, `provenance.json`, `trials.parquet` and `summary.txt`; research/tuning/result.py says what
else it has, and research/promotion/argument.py what `honesty.json` and `verdict.json` hold of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CONFIG: Final = "config.json"
PROVENANCE: Final = "provenance.json"
FIGURES: Final = "metrics.json"
RESULT_HASH: Final = "result_hash"
"""Key of it, and of `best.json` of a sweep: hash of what a run came to. It stands beside the figures, since what a run
was made of (`provenance.json`) decides its name and does not know what came of it."""
INTENTS: Final = "intents.parquet"
EVENTS: Final = "events.parquet"
TRADES: Final = "trades.parquet"
EQUITY: Final = "equity.parquet"
BREAKDOWNS: Final = "breakdowns.parquet"
SCORE_BUCKETS: Final = "score_buckets.parquet"
WORDS: Final = "words.json"
SCORES: Final = "scores.json"
RELIABILITY: Final = "reliability.json"
FANS: Final = "fans.json"
PRICES: Final = "prices.parquet"
PANES: Final = "panes.parquet"
POSITION: Final = "Position"
"""Column of it: notional over equity, negative where it is short."""
SUMMARY: Final = "summary.txt"
HONESTY: Final = "honesty.json"
TEARSHEET_HTML: Final = "tearsheet.html"
TEARSHEET_PART: Final = "tearsheet_{}.html"
"""Of one instrument, where one page would be too heavy."""
TEARSHEET_PDF: Final = "tearsheet.pdf"
TRIALS: Final = "trials.parquet"
SWEEP_HTML: Final = "sweep.html"
DAILY: Final = "daily.parquet"
WALK_FORWARD: Final = "walk_forward.parquet"
WINNER: Final = "winner.json"
VERDICT: Final = "verdict.json"
STUDY_HTML: Final = "study.html"
STUDY_PDF: Final = "study.pdf"
CROSSCHECK: Final = "crosscheck.json"

REQUIRED = (FIGURES, EQUITY)
"""Files without which a folder is not that of a run."""
PARTS = {
    CONFIG: "terms of trading and settings",
    PROVENANCE: "where the numbers came from",
    WORDS: "verdict and assumptions in words",
    SCORES: "why it signalled the last time, and what was known",
    HONESTY: "what is left of it after everything that was tried",
    RELIABILITY: "calibration: reliability of the signals against the share that was right",
    FANS: "Monte-Carlo: the same trades and the same days shuffled",
    TRADES: "trades",
    BREAKDOWNS: "breakdowns of the trades",
    SCORE_BUCKETS: "forward returns by score",
    PRICES: "bars to draw trades on",
}
"""Files that the tear sheet shows and an older run folder may lack, and what they hold."""
BESIDE = (PANES,)
"""Files that it shows where they are there: a run without scores has nothing to put into them."""
REPEATED = frozenset(
    {
        CONFIG, PROVENANCE, FIGURES, INTENTS, EVENTS, TRADES, EQUITY, BREAKDOWNS, SCORE_BUCKETS, WORDS, SCORES,
        RELIABILITY, FANS, PRICES, PANES, SUMMARY,
    }
)  # fmt: skip
"""Files of a backtest that the same inputs repeat byte by byte."""
TEARSHEET = (TEARSHEET_HTML, TEARSHEET_PDF)
WHOLE = REPEATED | {HONESTY, TEARSHEET_HTML}
"""Files of a whole run folder of a backtest; the PDF is written on request (`virtuoso report`)."""
OF_SCORES = frozenset({SCORE_BUCKETS, SCORES, RELIABILITY})
"""Files that a run without scores does not have: signals of one's own decided."""
PAGES = (TEARSHEET_HTML, SWEEP_HTML)
"""Pages of a run and of a sweep: written with it where they are wanted."""
OF_SWEEP = (CONFIG, PROVENANCE, HONESTY, TRIALS)
"""Files that the page of a sweep is made from."""
OF_STUDY = (CONFIG, PROVENANCE, HONESTY, VERDICT, WINNER, TRIALS, WALK_FORWARD)
"""Files that the report of a study is made from."""
SUFFIXES = (".json", ".parquet", ".txt", ".yaml", ".html", ".pdf")
"""Of the files of run folders."""

COLUMNS = {
    TRADES: (
        "symbol",
        "venue",
        "decided_at",  # close of the decision, UTC ms
        "side",  # long or short
        "entry_time",  # open of the bar of the first fill, UTC ms
        "exit_bar_time",  # open of the bar of the last fill, UTC ms
        "entry_price",  # mean of the fills, slippage included
        "exit_price",
        "size",  # base currency
        "stop",  # price when it was entered, null for none
        "target",  # the first one
        "fees",  # quote currency, as all that follow up to `risk`
        "slippage",
        "funding",  # received if positive
        "gross",
        "pnl",
        "risk",  # lost if the fill at the stop were exact
        "r",  # pnl over risk
        "mae",  # worst price of its bars from the entry's, in the trade's favour, a share of it: 0 or negative
        "mfe",  # best one, 0 or positive
        "reason",  # open, signal, stop, target or liquidation
        "targets",  # how many were reached
        "ambiguous",  # the order of prices inside a bar decided it
        "across_gap",  # bars of its life are not known
        "repaired",  # a bar of its life is repaired or follows a gap
        "score",  # confluence of the intent, 0..100
        "reliability",  # of the intent, 0..1
    ),
    EVENTS: (
        "bar_time",  # open of its bar, UTC ms
        "symbol",
        "kind",
        "size",  # signed change of the position, base currency
        "price",
        "fee",
        "slippage",
        "realised",
        "funding",
        "wallet",  # afterwards
        "ambiguous",
        "intent",  # row of `intents.parquet`
    ),
    EQUITY: (
        "close_time",  # UTC ms
        "equity",  # quote currency
        "optimistic",  # under the better order of prices inside bars
        "buy_and_hold",
        "inverted",  # of the opposite intents
        "drawdown",
        "exposure",
    ),
    PRICES: (
        "view",  # whole: all of the run; near: around each trade; last: the last trades of the most traded one
        "venue",
        "symbol",
        "timeframe",
        "open_time",  # UTC ms
        "open",
        "high",
        "low",
        "close",
        "volume",
    ),
}
"""Columns of tables that are made for the folder alone; those of the others are fields of record arrays."""


def decider_words(decided_by: Mapping[str, Any]) -> str:
    """Return what decided, as people name it: `EmaCross(fast=10, slow=50)`, `own signals`; empty for the shipped rule.

    Parameters
    ----------
    decided_by : mapping
        As `config.json` holds it under that name; empty in old run folders.
    """
    name = str(decided_by.get("name", "rule"))
    if name in ("rule", "intents"):
        return ""
    name = "target weights" if name == "weights" else name
    given = decided_by.get("parameters") or {}
    numbers = ", ".join(f"{key}={value}" for key, value in given.items() if isinstance(value, int | float))
    return f"{name}({numbers})" if "class" in decided_by else name
