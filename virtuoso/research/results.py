"""What a backtest found: trades, equity, metrics, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.account.trades import OPEN, REASONS, STOP
from virtuoso.clock import Env, Timeframe, iso
from virtuoso.market.columns import Array
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.scores import Scores
from virtuoso.research.buckets import score_buckets
from virtuoso.research.plan import Plan, Tape, Terms

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.reports.page import ResultsPage


@dataclass(frozen=True)
class BacktestResult:
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
        return self.summary()

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
        import hashlib
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

    def to_pandas(self) -> pd.DataFrame:
        """One row a trade; times in UTC."""
        import pandas as pd

        table = pd.DataFrame(self.trades_table())
        for name in ("decided_at", "entry_time", "exit_bar_time"):
            table[name] = pd.to_datetime(table[name], unit="ms", utc=True)
        return table

    def summary(self) -> str:
        """Say what was found and what it is worth, in plain text of at most 100 columns."""
        from virtuoso.research.findings import summary

        return summary(self)

    def page(self) -> ResultsPage:
        """Give the content of the results page; `page().html()` is the page."""
        from virtuoso.research.findings import page

        return page(self)

    def configuration(self) -> dict[str, Any]:
        """Terms of trading and settings in force."""
        from virtuoso.research.run_folder import configuration

        return configuration(self)

    def files(self) -> dict[str, bytes]:
        """Contents of the files of the run folder, by name."""
        from virtuoso.research.run_folder import run_files

        return run_files(self)

    def save(self, folder: Path | str, *, replace: bool = False) -> Path:
        """Write a run folder with everything needed to repeat this, whole or not at all.

        Parameters
        ----------
        folder : Path or str
        replace : bool
            Whether a run folder that is already there may be replaced.

        Raises
        ------
        ConfigError
            If the folder exists and may not be replaced.
        """
        from virtuoso.research.run_folder import save

        return save(self, Path(folder), replace=replace)
