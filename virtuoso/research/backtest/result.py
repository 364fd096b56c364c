"""A portfolio backtest as users hold it: print it, save it, turn it into pandas or a portfolio of vectorbt.

figures.py holds its numbers, files.py what its folder is made of, judgement.py what it is worth; the words are those of
reports/summary.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtuoso.account import metrics
from virtuoso.account.state import CLOSE
from virtuoso.clock import iso
from virtuoso.labels import close_index
from virtuoso.pictures import Chartable
from virtuoso.reports.format import percent
from virtuoso.reports.metrics import METRICS
from virtuoso.reports.summary import Summary
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.backtest.files import configuration, drawn_data, run_data, run_files, trades_table
from virtuoso.research.backtest.judgement import robustness_of, trial_of, write_honesty
from virtuoso.research.crosscheck.vectorbt import portfolio_of
from virtuoso.research.tracking.experiments import Trial
from virtuoso.research.tracking.run import Run
from virtuoso.research.validation.robustness import DEFLATED
from virtuoso.runs.read import RunData
from virtuoso.runs.schema import OF_SCORES, WHOLE, decider_words
from virtuoso.runs.write import trades_frame

if TYPE_CHECKING:
    import pandas as pd

FIRST = (
    "total_return",
    "cagr",
    "max_drawdown",
    "sharpe",
    "trades",
    "win_rate",
    "profit_factor",
    "mean_r",
    "exposure",
    "fees",
)
"""Figures that are shown first."""


@dataclass(frozen=True, repr=False)
class PortfolioResult(PortfolioFigures, Run, Chartable):
    """A portfolio backtest, all of it."""

    def __repr__(self) -> str:
        """One screen: what was traded and the figures that everybody asks for."""
        width = max(len(name) for name, _ in self._figures)
        lines = [self._title, *(f"  {name:<{width}}  {value}" for name, value in self._figures), *self.recorded_lines()]
        lines += self.closing_lines()
        return "\n".join(
            [*lines, "print(result) shows it all; .trades, .equity, .returns, .drawdowns, .monthly, .stats()"]
        )

    def __str__(self) -> str:
        return "\n".join((self.summary(), *self.recorded_lines(), *self.closing_lines()))

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in self._figures)
        said = "".join(f"<p>{escape(line)}</p>" for line in (*self.recorded_lines(), *self.closing_lines()))
        return f"<p>{escape(self._title)}</p><table>{rows}</table>{said}"

    @property
    def _title(self) -> str:
        traded = ", ".join(map(str, self.instruments[:3])) + (" and more" if len(self.instruments) > 3 else "")
        made, decider = "SIMULATED " if self.is_simulated else "", decider_words(self.decided_by)
        traded = f"{decider} on {traded}" if decider else traded
        return f"{made}Backtest of {traded} {self.timeframe}, {iso(self.start_ms)} to {iso(int(self.close_times[-1]))}"

    @cached_property
    def _figures(self) -> list[tuple[str, str]]:
        """Names and values of the figures that fit a screen."""
        shown = [(one.heading, one.text(self.metrics[one.name])) for one in METRICS if one.name in FIRST]
        held = percent(self.benchmark_metrics["total_return"], signed=True)
        return [*shown, ("Buy and hold", held)]

    @cached_property
    def data(self) -> RunData:
        """Its facts and tables, as the run folder holds them."""
        return run_data(self)

    @cached_property
    def drawn(self) -> RunData:
        """Its bars, scores and trades: what `.chart()` shows, without any figure."""
        return drawn_data(self)

    def summary(self, *, bounds: bool = False) -> str:
        """Return what was found and what it is worth, in plain text of at most 100 columns.

        Parameters
        ----------
        bounds : bool
            Show the figures of the optimistic run beside them.
        """
        return Summary(self.data).text(bounds=bounds)

    def trades_table(self) -> dict[str, Any]:
        """Return the columns of `trades.parquet`, one row the life of a position."""
        return trades_table(self)

    # --- as pandas has it ---

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row a trade, those that are still open included; times in UTC.

        `r` is the P&L over what was risked to the stop; `mae` and `mfe` are the worst and the best price on the way,
        from the entry's, as a share of it and in the trade's favour: the extremes of the bars of its life, so that they
        may lie before its entry or after its exit inside these.
        """
        return trades_frame(self.trades_table())

    def to_pandas(self) -> pd.DataFrame:
        """Return the trades, as `.trades`."""
        return self.trades

    @cached_property
    def equity(self) -> pd.Series:
        """Equity at each close, quote currency; at the last known marks where a bar is not known."""
        import pandas as pd

        return pd.Series(self.run.equity, index=close_index(self.close_times), name="equity")

    @property
    def returns(self) -> pd.Series:
        """Return of each bar."""
        before = self.equity.shift(fill_value=self.account.cash)
        return (self.equity / before - 1.0).where(before > 0.0).rename("return")

    @cached_property
    def drawdowns(self) -> pd.DataFrame:
        """Falls of the equity from a peak, the deepest first.

        Columns are start (the close of the peak, or the open of the first bar), trough, recovery (NaT where it is still
        under water), depth and length.
        """
        import pandas as pd

        found = pd.DataFrame(
            metrics.drawdown_periods(self.close_times, self.run.equity, self.account.cash, self.start_ms)
        )
        for name in ("start", "trough", "recovery"):
            found[name] = pd.to_datetime(found[name].where(found[name] >= 0), unit="ms", utc=True)
        found["length"] = pd.to_timedelta(found["length"], unit="ms")
        return found.sort_values("depth", kind="stable").reset_index(drop=True)

    @property
    def monthly(self) -> pd.Series:
        """Return of each calendar month (UTC)."""
        import pandas as pd

        found = metrics.monthly_returns(self.close_times, self.run.equity, self.account.cash)
        return pd.Series(list(found.values()), index=pd.PeriodIndex(list(found), freq="M", name="month"), name="return")

    def stats(self) -> pd.DataFrame:
        """Return all figures, beside those of buying and holding; NaN is not testable."""
        import pandas as pd

        columns = {"strategy": self.metrics, "buy and hold": self.benchmark_metrics}
        return pd.DataFrame(columns, index=list(self.metrics), dtype=float)

    def to_vectorbt(self) -> Any:
        """Return its fills as a portfolio of vectorbt, one column an instrument, with one cash.

        vectorbt knows neither funding nor margin: what was paid or received as funding is not in it, and borrowed cash
        is negative cash.

        Returns
        -------
        vectorbt.Portfolio

        Raises
        ------
        ConfigError
            vectorbt is not installed.
        """
        close = self.panel.bars[:, :, CLOSE]
        names = [str(one) for one in self.instruments]
        return portfolio_of(
            self.run.events, close, self.close_times, self.panel.first, names, self.account.cash, self.timeframe
        )

    # the ledger and the folder

    def recorded_lines(self) -> list[str]:
        """Return what is said of it with every result: whether it is recorded, and what is left after all tries."""
        found = self.recording
        if found is None:
            return []
        name, figure, note = next(row for row in robustness_of(self, found).rows() if row[0] == DEFLATED)
        return [*super().recorded_lines(), f"{name}: {figure}, {note}"]

    def configuration(self) -> dict[str, Any]:
        """Return terms of trading and settings in force."""
        return configuration(self)

    def files(self) -> dict[str, bytes]:
        """Return the contents of the files of the run folder that the same inputs repeat, by name."""
        return run_files(self, self.data, self.summary())

    @property
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder, honesty and tear sheet included."""
        return WHOLE if self.scores else WHOLE - OF_SCORES

    def trial(self) -> Trial:
        """Return its entry in the ledger of trials: one configuration."""
        return trial_of(self)

    def judge(self, folder: Path) -> None:
        """Write what it is worth into its run folder."""
        write_honesty(self, self.recording, folder)
