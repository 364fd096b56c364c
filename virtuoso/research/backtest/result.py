"""A portfolio backtest as users hold it: print it, save it, turn it into pandas or a portfolio of vectorbt.

figures.py holds its numbers, files.py what its folder is made of, judgement.py what it is worth; the words are those of
reports/summary.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtuoso.account.state import CLOSE
from virtuoso.reports.summary import Summary
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.backtest.files import configuration, run_data, run_files, trades_table
from virtuoso.research.backtest.judgement import robustness_of, trial_of, write_honesty
from virtuoso.research.crosscheck.vectorbt import portfolio_of
from virtuoso.research.tracking.experiments import Trial
from virtuoso.research.tracking.run import Run
from virtuoso.runs.read import RunData
from virtuoso.runs.schema import WHOLE
from virtuoso.runs.write import trades_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class PortfolioResult(PortfolioFigures, Run):
    """A portfolio backtest, all of it."""

    def __repr__(self) -> str:
        return "\n".join((self.summary(), *self.recorded_lines()))

    @cached_property
    def data(self) -> RunData:
        """Its facts and tables, as the run folder holds them."""
        return run_data(self)

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

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a trade; times in UTC."""
        return trades_frame(self.trades_table())

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
        name, figure, note = next(row for row in robustness_of(self, found).rows() if row[0] == "deflated")
        return [*super().recorded_lines(), f"{name} Sharpe ratio: {figure}, {note}"]

    def configuration(self) -> dict[str, Any]:
        """Return terms of trading and settings in force."""
        return configuration(self)

    def files(self) -> dict[str, bytes]:
        """Return the contents of the files of the run folder that the same inputs repeat, by name."""
        return run_files(self, self.data, self.summary())

    @property
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder, honesty and tear sheet included."""
        return WHOLE

    def trial(self) -> Trial:
        """Return its entry in the ledger of trials: one configuration."""
        return trial_of(self)

    def judge(self, folder: Path) -> None:
        """Write what it is worth into its run folder."""
        write_honesty(self, self.recording, folder)
