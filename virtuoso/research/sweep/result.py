"""What a sweep found: one row a configuration, and how much of the best one luck explains."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.account import metrics
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.files.atomic import Disk
from virtuoso.market.frame import MarketFrame
from virtuoso.pictures import Plottable
from virtuoso.prism.result.scores import Scores
from virtuoso.research.backtest.outcome import hash_of
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.parameters import ParameterGrid
from virtuoso.research.sweep.plans import FIGURES
from virtuoso.research.sweep.scores import Rows
from virtuoso.research.tracking.experiments import Trial, TrialCount, sharpes
from virtuoso.research.tracking.recording import RecordedTrial
from virtuoso.research.tracking.run import Run
from virtuoso.research.validation.robustness import Robustness, RunReturns, robustness
from virtuoso.research.validation.verdict import LEAST_KEPT
from virtuoso.runs.schema import RESULT_HASH, SWEEP_HTML, TRIALS
from virtuoso.runs.write import as_json, as_parquet
from virtuoso.signals.declared import Strategy
from virtuoso.types import Array, Times

if TYPE_CHECKING:
    import pandas as pd


RANKED = ("sharpe", "net_return", "profit_factor", "max_drawdown", "win_rate")
"""What configurations may be ranked by, the larger the better."""
FILLS = "contract"
"""How orders fill: as in the account of a backtest."""
MOST_DAILY = 2_000
"""Configurations up to which the equity of every day is written too, a column each."""
HONESTY, HONEST_WORDS = "honesty.json", "honesty.txt"
"""What the best one is worth after everything that was tried, for programs and for people."""
NAMES = frozenset({
    "config.json", "provenance.json", "best.json", "best.yaml", TRIALS, "summary.txt", HONESTY, HONEST_WORDS,
    SWEEP_HTML,
})  # fmt: skip
"""Files of a whole run folder, `daily.parquet` apart."""


@dataclass(frozen=True)
class SweepResult(Run, Plottable):
    """A sweep, all of it: print it, rank it, turn it into pandas.

    Attributes
    ----------
    frame : MarketFrame
        What was traded on.
    configurations : Configurations or ParameterGrid
    cash : float, quote currency
    figures : Array, shape (n_configurations, len(FIGURES))
    daily : Array, quote currency, shape (n_configurations, n_days)
        Equity at the end of each whole day.
    config : mapping
        Terms and settings in force, kept with the result.
    given_provenance : mapping of str to str
    ranked_by : str
        One of RANKED.
    halt : bool
        Whether a halt was enforced, or only reported.
    scores : Scores or None
        Those whose weights, thresholds and levels were swept; None where a strategy's parameters were.
    """

    frame: MarketFrame = field(repr=False)
    configurations: Configurations | ParameterGrid
    cash: float
    figures: Array = field(repr=False)
    daily: Array = field(repr=False)
    config: Mapping[str, object] = field(default_factory=dict, repr=False)
    given_provenance: Mapping[str, str] = field(default_factory=dict, repr=False)
    ranked_by: str = "sharpe"
    halt: bool = False
    scores: Scores | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.figures)

    def __repr__(self) -> str:
        frame, density = self.frame, float(self.column("trades").mean())
        own = self.configurations
        of = f"configurations of {own.name}" if isinstance(own, ParameterGrid) else "configurations"
        return (
            f"<Sweep of {frame.instrument} {frame.timeframe}: {len(self):,} {of} over {len(self.close_times):,} bars, "
            f"{density:,.0f} trades each on average, {FILLS} fills>"
        )

    @property
    def close_times(self) -> Times:
        """Close of each bar that was traded on, ms."""
        return self.frame.close_times if self.scores is None else self.scores.close_times

    def __str__(self) -> str:
        return "\n".join((repr(self), self.plateau_words, *self.recorded_lines(), *self.closing_lines()))

    def _repr_html_(self) -> str:
        """The best five, for notebooks."""
        shown = ["configuration", *self.varied[:6], "trades", "net_return", "sharpe", "max_drawdown", "exposure"]
        best = self.to_pandas().iloc[self.best(5)][shown]
        lines = (repr(self).strip("<>"), self.plateau_words, *self.recorded_lines(), *self.closing_lines())
        said = "".join(f"<p>{escape(line)}</p>" for line in lines)
        return said + str(best.to_html(index=False, float_format="{:.4g}".format, border=0))

    def column(self, name: str) -> Array:
        """A column of `FIGURES`, shape (n_configurations,)."""
        values: Array = self.figures[:, FIGURES.index(name)]
        return values

    @cached_property
    def daily_returns(self) -> Array:
        """Return of each whole day, shape (n_days, n_configurations): what the statistics of a search take."""
        return metrics.returns_of(np.ascontiguousarray(self.daily.T), self.cash)

    @cached_property
    def metrics(self) -> dict[str, Array]:
        """Figures of every configuration; NaN is *not testable*."""
        trades, lost = self.column("trades"), self.column("lost")
        few = trades < metrics.LEAST_TRADES
        return {
            "trades": trades,
            "net_return": self.column("equity") / self.cash - 1.0,
            "sharpe": np.where(few, np.nan, self._sharpes()),
            "max_drawdown": self.column("max_drawdown"),
            "profit_factor": _ratio(self.column("gained"), np.where(few, 0.0, lost)),
            "win_rate": _ratio(self.column("won"), np.where(few, 0.0, trades)),
            "exposure": self.column("held") / len(self.close_times),
            "ambiguous": self.column("ambiguous"),
            "fees": self.column("fees"),
            "funding": self.column("funding"),
            "slippage": self.column("slippage"),
            "halted": self.column("halted"),
            **self._halts(),
        }

    @property
    def halt_words(self) -> str:
        """How many reached a halt, and whether it was enforced, in a sentence."""
        reached = f"{int(self.column('halted').sum()):,} of {len(self):,} configurations reached the halt"
        if self.halt:
            return f"{reached}. It was enforced: nothing was entered any more, or not before it was lifted."
        return f"{reached}. It is reported and not enforced: all traded on (--halt enforces it)."

    def _halts(self) -> dict[str, Array]:
        """When each one's equity first fell so far that it halts (close, UTC ms), and its return from there on."""
        reached = self.column("halted") > 0.0
        bar = np.where(reached, self.column("halted_on"), np.nan)
        equity = np.where(reached, self.column("halted_equity"), 0.0)
        start = self.close_times[0]
        return {
            "halted_at": start + bar * self.timeframe.ms,
            "return_after_halt": _ratio(self.column("equity") - equity, equity),
        }

    def _sharpes(self) -> Array:
        """Annual Sharpe ratios of the daily returns; NaN below a month of days, and where nothing moves."""
        returns = self.daily_returns
        if len(returns) < metrics.LEAST_DAYS:
            return np.full(len(self), np.nan)
        yearly: Array = sharpes(returns) * np.sqrt(metrics.DAYS_A_YEAR)
        return yearly

    @property
    def chosen(self) -> int:
        """Row of the best configuration; of what is in force where none can be ranked."""
        best = self.best(1)
        return int(best[0]) if len(best) else 0

    def best(self, n: int = 5, by: str | None = None) -> Rows:
        """Rows of the best configurations, the best first; what is not testable is never among them.

        Raises
        ------
        ConfigError
            If they cannot be ranked by that.
        """
        values = self.metrics[ranking(by or self.ranked_by)]
        order = np.argsort(-values, kind="stable")  # NaN comes last
        rows: Rows = order[np.isfinite(values[order])][:n]
        return rows

    @property
    def varied(self) -> list[str]:
        """Names of the columns of configurations that differ between rows."""
        return [name for name, values in self.configurations.columns.items() if (values != values[0]).any()]

    def strategy(self, row: int | None = None) -> Strategy:
        """Return the strategy of a row, for `vt.backtest`; of the best one if absent.

        Raises
        ------
        ConfigError
            Weights, thresholds and levels of the shipped rule were swept: `best.yaml` of the run folder holds them.
        """
        if not isinstance(self.configurations, ParameterGrid):
            raise ConfigError(
                "This sweep is of the shipped rule, not of a strategy: configurations.prism(row) and "
                "configurations.signal_settings(row) are one of its rows."
            )
        return self.configurations[self.chosen if row is None else row]

    def neighbours(self, row: int) -> Rows:
        """Return the rows that differ from one in a single column, by one step of the values that were tried."""
        columns = self.configurations.columns.values()
        steps = np.stack([np.unique(values, return_inverse=True)[1] for values in columns])
        apart = np.abs(steps - steps[:, [row]])
        beside: Rows = np.flatnonzero(apart.sum(axis=0) == 1)
        return beside

    @property
    def plateau_words(self) -> str:
        """Whether the best one stands on a plateau or on a spike, in a sentence."""
        named = self.ranked_by.replace("_", " ")
        beside, figure = self.metrics[self.ranked_by][self.neighbours(self.chosen)], self.metrics[self.ranked_by]
        beside, best = beside[np.isfinite(beside)], float(figure[self.chosen])
        if not len(beside) or not best > 0.0:
            why = "the best one does not gain" if len(beside) else "no configuration is one step beside the best"
            return f"Plateau around the best: not testable, {why}."
        kept = float(np.median(beside)) / best
        return (
            f"Plateau around the best: its {len(beside)} neighbours, one step away, keep {kept:.0%} of its {named} "
            f"(median; the worst {float(beside.min()) / best:.0%}): a {'plateau' if kept >= LEAST_KEPT else 'spike'}."
        )

    def honesty(self, row: int, tried: TrialCount | None = None) -> Robustness:
        """Measure what one configuration is worth, after all that it was chosen from.

        Parameters
        ----------
        row : int
        tried : TrialCount, optional
            What was tried; if absent what the ledger counts by now, and this sweep alone where it was not recorded.
        """
        trades = self.column("trades").astype(np.int64)
        search = self.daily_returns
        known = tried or (self.recording or RecordedTrial.alone(self.trial())).tried
        return robustness(RunReturns(search[:, row].copy(), int(trades[row]), search, trades), known)

    def table(self) -> dict[str, np.ndarray]:
        """Columns of `trials.parquet`, one row a configuration: what it is, then what it did."""
        rows: dict[str, np.ndarray] = {"configuration": np.arange(len(self), dtype=np.int64)}
        return rows | dict(self.configurations.columns) | self.metrics

    @cached_property
    def result_hash(self) -> str:
        """Hash of what its configurations came to, in their order: figures and the equity of every day."""
        columns = {name: self.figures[:, k] for k, name in enumerate(FIGURES)}
        return hash_of(
            ("sweep", self.timeframe.name, str(self.frame.instrument)),
            {"close_time": self.close_times, **columns, "daily": self.daily.ravel()},
        )

    def trial(self) -> Trial:
        """Give the entry of this sweep in the ledger of trials: all its configurations, of which one is chosen.

        By what they are ranked is no part of it: the same configurations on the same terms are the same tries.
        """
        frame, told = self.frame, self.provenance
        ends = (int(self.close_times[0]) - frame.timeframe.ms, int(self.close_times[-1]))
        given = {name: part for name, part in self.configuration().items() if name != "ranked_by"}
        chosen = {
            "configurations": told["configurations"], **self.configurations.identity, "configuration": given,
        }  # fmt: skip
        return Trial(
            command="sweep",
            instruments=(str(frame.instrument),),
            first=ends[0],
            stop=ends[1],
            data=told["data"],
            config=hashlib.sha256(as_json(chosen)).hexdigest(),
            family=self.configurations.family,
        ).seen(self.daily_returns, self.chosen)

    @property
    def timeframe(self) -> Timeframe:
        """The base clock."""
        return self.frame.timeframe

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Where every number came from: digests of data and configurations, and what else was told."""
        digest = hashlib.sha256()
        for name, values in self.configurations.columns.items():
            digest.update(name.encode() + values.tobytes())
        frame = self.frame
        return {
            "instrument": str(frame.instrument),
            "timeframe": frame.timeframe.name,
            "from": iso(int(self.close_times[0]) - frame.timeframe.ms),
            "to": iso(int(self.close_times[-1])),
            "data": frame.fingerprint,
            "configurations": digest.hexdigest(),
            **self.given_provenance,
        }

    def configuration(self) -> dict[str, Any]:
        """Terms of trading and settings in force; says whether the market was simulated."""
        simulated = self.frame.instrument.is_simulated
        how = {"fills": FILLS, "halt": self.halt, "ranked_by": self.ranked_by}
        return {"simulated": simulated, **how, **self.config}

    def files(self) -> dict[str, bytes]:
        """Contents of the files of a run, by name.

        Every configuration is a row of `trials.parquet`; `best.yaml` holds the best one as settings.
        """
        days = {f"{k}": values for k, values in enumerate(self.daily)} if len(self) <= MOST_DAILY else {}
        files = {
            "config.json": as_json(self.configuration()),
            "provenance.json": as_json(self.provenance),
            "best.json": as_json(
                {
                    "simulated": self.frame.instrument.is_simulated,
                    RESULT_HASH: self.result_hash,
                    "best": list(self.lines(10)),
                }
            ),
            "best.yaml": self.configurations.written(self.chosen).encode(),
            TRIALS: as_parquet(self.table()),
            "summary.txt": "".join(
                f"{line}\n"
                for line in (
                    repr(self).strip("<>"),
                    self.halt_words,
                    self.plateau_words,
                    f"{RESULT_HASH}: {self.result_hash}",
                )
            ).encode(),
        }
        return files | ({"daily.parquet": as_parquet(days)} if days else {})

    @property
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder, honesty included."""
        return NAMES | ({"daily.parquet"} if len(self) <= MOST_DAILY else set())

    def judge(self, folder: Path) -> None:
        """Write what the best one is worth into a run folder, unless it stands there as it is now."""
        known = self.recording or RecordedTrial.alone(self.trial())
        box = self.honesty(self.chosen, known.tried)
        told = {
            "simulated": self.frame.instrument.is_simulated,
            "configuration": self.chosen,
            "recording": known.told(),
            "rows": [*(list(row) for row in box.rows()), known.row()],
        }
        name, figure, note = known.row()
        last = f"{name.lower():<23} {figure:>12}  {note}"
        words = "\n".join([repr(self).strip("<>"), self.halt_words, self.plateau_words, "", *box.lines(), last]) + "\n"
        for file, data in ((HONEST_WORDS, words.encode()), (HONESTY, as_json(told))):
            if not (folder / file).is_file() or (folder / file).read_bytes() != data:
                Disk().write(folder / file, data)

    def to_pandas(self) -> pd.DataFrame:
        """One row a configuration."""
        import pandas as pd

        return pd.DataFrame(self.table())

    def lines(self, n: int = 5) -> Iterator[dict[str, Any]]:
        """Give the best configurations and what is in force, as plain values."""
        for row in dict.fromkeys([*self.best(n).tolist(), 0]):
            yield {"configuration": row, **{name: float(values[row]) for name, values in self.metrics.items()}}


def ranking(by: str) -> str:
    """Give what configurations are to be ranked by.

    Raises
    ------
    ConfigError
        If they cannot be ranked by that.
    """
    if by not in RANKED:
        raise ConfigError(f"A sweep cannot be ranked by {by!r}. {did_you_mean(by, RANKED)}")
    return by


def _ratio(a: Array, b: Array) -> Array:
    """NaN where b is 0."""
    out = np.full(len(a), np.nan)
    np.divide(a, b, out=out, where=b != 0.0)
    return out
