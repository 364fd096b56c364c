"""What a backtest through vectorbt found: trades, equity, metrics, and what it is worth.

| file of its run folder | holds |
|---|---|
| `config.json` | terms of trading and the settings in force |
| `provenance.json` | instrument, stretch, digests of data, prism and intents, versions |
| `metrics.json` | figures, those of buying and holding, counts; null is *not testable* |
| `intents.parquet` | what was decided, one row an intent |
| `trades.parquet`, `equity.parquet` | what became of it |
| `score_buckets.parquet` | forward returns by score |
| `summary.txt`, `results.html` | the same for people |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.account.records import OPEN, REASONS, STOP
from virtuoso.clock import Env, Timeframe, iso
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.result.scores import Scores
from virtuoso.research.crosscheck.orders import Plan, Tape, Terms
from virtuoso.research.validation.quantiles import score_buckets
from virtuoso.runs.write import Result, as_json, as_parquet, fields_of, intents_table, trades_frame
from virtuoso.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.reports.page import ResultsPage
    from virtuoso.research.tracking.experiments import Trial

NAMES = frozenset({
    "config.json", "provenance.json", "metrics.json", "trades.parquet", "equity.parquet", "intents.parquet",
    "score_buckets.parquet", "summary.txt", "results.html",
})  # fmt: skip
"""Files of a whole run folder; a cross-check is a try, and is not judged."""


@dataclass(frozen=True)
class BacktestResult(Result):
    """A backtest, all of it: print it, save it, turn it into pandas.

    Attributes
    ----------
    scores : Scores
    intents : array of INTENT
    terms : Terms
        Fees, slippage, cash, risk.
    tape : Tape
        The known bars that were traded on; `equity`, `position` and `benchmark` have one value a bar of it.
    plan : Plan
        Orders at opens, and the intents that gave none.
    trades : array of TRADE
    equity, benchmark : Array, quote currency, shape (n_bars,)
        At each close; the benchmark buys at the second known open with all the cash and holds.
    position : Array, base currency, shape (n_bars,)
    config : mapping
        Settings in force.
    given_provenance : mapping of str to str
    env : Env
    """

    scores: Scores = field(repr=False)
    intents: np.ndarray = field(repr=False)
    terms: Terms
    tape: Tape = field(repr=False)
    plan: Plan = field(repr=False)
    trades: np.ndarray = field(repr=False)
    equity: Array = field(repr=False)
    position: Array = field(repr=False)
    benchmark: Array = field(repr=False)
    config: Mapping[str, object] = field(repr=False)
    given_provenance: Mapping[str, str] = field(repr=False)
    env: Env = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join((self.summary(), *self.recorded_lines()))

    @property
    def frame(self) -> MarketFrame:
        """The market it was run on."""
        return self.scores.frame

    @property
    def timeframe(self) -> Timeframe:
        """Its base clock."""
        return self.frame.timeframe

    @property
    def start_ms(self) -> int:
        """Open time of the first known bar."""
        return int(self.tape.numbers[0]) * self.timeframe.ms

    @property
    def close_times(self) -> NDArray[np.int64]:
        """Moments of the marks, ms."""
        return (self.tape.numbers + 1) * self.timeframe.ms

    @property
    def daily_returns(self) -> Array:
        """Return of each whole day of 24 hours since the start."""
        return metrics.daily_returns(self.close_times, self.equity, self.terms.cash, self.start_ms)

    @cached_property
    def drawdown(self) -> Array:
        """Fall of the equity from its peak so far, 0 or negative."""
        return metrics.drawdown(self.equity, self.terms.cash)

    @cached_property
    def closed(self) -> np.ndarray:
        """The trades that have ended."""
        ended: np.ndarray = self.trades[self.trades["reason"] != OPEN]
        return ended

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Named figures; NaN is *not testable*."""
        traded = float((self.trades["size"] * self.trades["entry_price"]).sum())
        traded += float((self.closed["size"] * self.closed["exit_price"]).sum())
        days = float(self.close_times[-1] - self.start_ms) / metrics.DAY_MS
        return metrics.judged(
            metrics.account_metrics(self.close_times, self.equity, self.terms.cash, self.start_ms)
            | metrics.trade_metrics(self.trades)
            | {
                "exposure": metrics.exposure(self.position != 0.0),
                "turnover": metrics.turnover(traded, self.equity, days),
                "traded": traded,
                "days": days,
            }
        )

    @cached_property
    def benchmark_metrics(self) -> dict[str, float]:
        """The same figures of buying and holding, as far as an equity alone gives them."""
        return metrics.account_metrics(self.close_times, self.benchmark, self.terms.cash, self.start_ms)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each thing happened that a reader should know of."""
        trades, orders = self.trades, self.plan.orders
        opening = int((orders["side"] != 0).sum())
        taken = orders[np.isin(self.intents["number"][orders["intent"]], trades["number"]) & (orders["side"] != 0)]
        same_bar = self.closed["exit_number"] == self.closed["entry_number"]
        return {
            "intents": len(self.intents),
            "intents to open": int((self.intents["side"] != 0).sum()),
            "opened": len(trades),
            **{f"dropped: {reason}": n for reason, n in self.plan.dropped.items()},
            "dropped: a position was open": opening - len(trades),
            "exits that waited for a known bar": self.plan.deferred_exits,
            "limit entries taken at the market": int(taken["limit"].sum()),
            "trades with more than one target": int(taken["several"].sum()),
            "positions capped by the cash": int(taken["capped"].sum()),
            "openings in a bar without a trade": int(taken["silent"].sum()),
            "ambiguous trades": int(trades["ambiguous"].sum()),
            "stopped on the bar of the entry": int((same_bar & (self.closed["reason"] == STOP)).sum()),
            "trades across a gap": int(trades["across_gap"].sum()),
        }

    @cached_property
    def buckets(self) -> np.ndarray:
        """Mean forward returns by bucket of the confluence, array of BUCKET."""
        return score_buckets(self.scores, env=self.env)

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Where every number came from: digests of data, prism, intents, and the versions that computed them."""
        from importlib.metadata import version

        return {
            "instrument": str(self.frame.instrument),
            "timeframe": self.timeframe.name,
            "from": iso(self.start_ms),
            "to": iso(int(self.close_times[-1])),
            "data": self.frame.fingerprint,
            "prism": self.scores.prism.fingerprint,
            "intents": hashlib.sha256(self.intents.tobytes()).hexdigest(),
            **{f"version {name}": version(name) for name in ("virtuoso", "vectorbt", "numpy")},
            **self.given_provenance,
        }

    def trades_table(self) -> dict[str, Any]:
        """Columns of `trades.parquet`, one row a trade."""
        trades, ms = self.trades, self.timeframe.ms
        columns: dict[str, Any] = {
            "decided_at": (trades["number"] + 1) * ms,
            "side": np.array(["short", "", "long"], dtype=object)[trades["side"].astype(np.int64) + 1],
            "entry_time": trades["entry_number"] * ms,
            "exit_bar_time": trades["exit_number"] * ms,
        }
        same = ("entry_price", "exit_price", "size", "stop", "target", "fees", "slippage", "pnl", "risk")
        columns |= {name: trades[name] for name in same}
        columns["r"] = metrics.r_multiples(trades["pnl"], trades["risk"])
        columns["reason"] = np.array(REASONS, dtype=object)[trades["reason"]]
        return columns | {name: trades[name] for name in ("ambiguous", "across_gap", "score", "reliability")}

    def equity_table(self) -> dict[str, Any]:
        """Columns of `equity.parquet`, one row a bar."""
        return {
            "close_time": self.close_times,
            "equity": self.equity,
            "buy_and_hold": self.benchmark,
            "drawdown": self.drawdown,
            "position": self.position,
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a trade; times in UTC."""
        return trades_frame(self.trades_table())

    def summary(self) -> str:
        """Say what was found and what it is worth, in plain text of at most 100 columns."""
        from virtuoso.research.crosscheck.words import summary

        return summary(self)

    def page(self) -> ResultsPage:
        """Give the content of the results page; `page().html()` is the page."""
        from virtuoso.research.crosscheck.words import page

        return page(self)

    def configuration(self) -> dict[str, Any]:
        """Terms of trading and settings in force; says whether the market was simulated."""
        simulated = self.frame.instrument.is_simulated
        return {"simulated": simulated, "terms": asdict(self.terms), "settings": self.config}

    def files(self) -> dict[str, bytes]:
        """Contents of the files of the run folder, by name."""
        figures = {
            "simulated": self.frame.instrument.is_simulated,
            "strategy": self.metrics,
            "buy_and_hold": self.benchmark_metrics,
            "counts": self.counts,
        }
        return {
            "config.json": as_json(self.configuration()),
            "provenance.json": as_json(self.provenance),
            "metrics.json": as_json(figures),
            "trades.parquet": as_parquet(self.trades_table()),
            "equity.parquet": as_parquet(self.equity_table()),
            "intents.parquet": as_parquet(intents_table(self.intents)),
            "score_buckets.parquet": as_parquet(fields_of(self.buckets)),
            "summary.txt": (self.summary() + "\n").encode(),
            "results.html": self.page().html().encode(),
        }

    @property
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder."""
        return NAMES

    def trial(self) -> Trial:
        """Give its entry in the ledger of trials: one configuration."""
        from virtuoso.research.tracking.experiments import Trial, family_of

        told = self.provenance
        chosen = {
            "fills": "vectorbt",
            "configuration": self.configuration(),
            "prism": told["prism"],
            "intents": told["intents"],
        }
        return Trial(
            command="cross-check",
            instruments=(str(self.frame.instrument),),
            first=self.start_ms,
            stop=int(self.close_times[-1]),
            data=told["data"],
            config=hashlib.sha256(as_json(chosen)).hexdigest(),
            family=family_of(self.scores.prism),
        ).seen(self.daily_returns)

    def judge(self, folder: Path) -> None:
        """Write nothing: a cross-check is a try, and what it is worth the backtest says that it checks."""
