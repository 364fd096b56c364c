"""The numbers of a portfolio backtest: trades, equity, figures, and everything that belongs beside them.

What takes time (benchmarks, breakdowns, the optimistic bound) is worked out when it is asked for, once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.account.instrument import Instrument
from virtuoso.account.state import OPEN
from virtuoso.clock import Env, Timeframe, iso
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.result.scores import Scores
from virtuoso.prism.words import REGIMES
from virtuoso.research.backtest import benchmarks, engine
from virtuoso.research.backtest.benchmarks import RandomEntries
from virtuoso.research.backtest.breakdown import breakdowns, labels_of
from virtuoso.research.backtest.engine import Account, PortfolioRun
from virtuoso.research.backtest.metrics import (
    Halted,
    across_gap,
    capacity,
    close_times,
    counts,
    halted,
    measure,
    repaired_share,
)
from virtuoso.research.backtest.outcome import result_hash
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.backtest.round_trips import STILL_OPEN, lives
from virtuoso.research.validation.quantiles import BUCKET, score_buckets
from virtuoso.signals.decision import stopped_entries
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import Decider, RuleStrategy
from virtuoso.types import Array


@dataclass(frozen=True)
class PortfolioFigures:
    """What a portfolio backtest was run on, and what it found.

    Attributes
    ----------
    frames : tuple of MarketFrame
        The markets it was run on, in the order of the stage's instruments.
    scores : tuple of Scores
        Theirs; empty where signals of one's own were given without scores. What is said about scores is absent then.
    intents_of : mapping of Instrument to array of INTENT
    strategy : Decider or None
        What decided; None where the intents were handed in.
    run : PortfolioRun
        Pessimistic about the order of prices inside bars.
    slippage : float
        Of the price of each market fill, at least.
    config : mapping
        Settings in force.
    given_provenance : mapping of str to str
    env : Env
    explained : str
        Why a result that no market pays is right all the same, in the user's words.
    decided_by : mapping
        What decided, see `Decider`.
    given_counts : mapping of str to int
        How often something that was given decided nothing, by the reason.
    """

    frames: tuple[MarketFrame, ...] = field(repr=False)
    scores: tuple[Scores, ...] = field(repr=False)
    intents_of: Mapping[Instrument, np.ndarray] = field(repr=False)
    strategy: Decider | None = field(repr=False)
    run: PortfolioRun = field(repr=False)
    slippage: float
    config: Mapping[str, object] = field(repr=False)
    given_provenance: Mapping[str, str] = field(repr=False)
    env: Env = field(repr=False)
    explained: str = ""
    decided_by: Mapping[str, object] = field(default_factory=dict, repr=False)
    given_counts: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def rule(self) -> SignalSettings | None:
        """Settings of the shipped rule; None where something else decided."""
        return self.strategy.signals if isinstance(self.strategy, RuleStrategy) else None

    @property
    def panel(self) -> SimulationPanel:
        """The bars that were traded on."""
        return self.run.panel

    @property
    def account(self) -> Account:
        """The terms it was traded on."""
        return self.run.account

    @property
    def assumed(self) -> tuple[str, ...]:
        """What was assumed since it is not known, in words."""
        unknown = [one.symbol for one in self.instruments if not one.is_spot and one not in self.account.tiers]
        named = f" of {', '.join(unknown)}" if self.account.tiers else ""
        tiers = (f"maintenance tiers{named}: flat 0.5 %",) if unknown else ()
        return (*self.panel.assumptions, *tiers)

    @property
    def told_share(self) -> float:
        """Share of the known bars inside which finer ones tell the order of prices; 0 where there are none."""
        inside, known = self.panel.inside, np.isfinite(self.panel.closes)
        return 0.0 if inside is None else float(inside.told[known].mean())

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What was traded, in the order of `trade_records["instrument"]`."""
        return self.panel.instruments

    @property
    def frame(self) -> MarketFrame:
        """The market of the first instrument."""
        return self.frames[0]

    @property
    def timeframe(self) -> Timeframe:
        """The base clock."""
        return self.panel.timeframe

    @property
    def is_simulated(self) -> bool:
        """Whether any of the markets was made by the simulator."""
        return any(instrument.is_simulated for instrument in self.instruments)

    @property
    def start_ms(self) -> int:
        """Open time of the first bar."""
        return int(self.panel.open_times[0])

    @property
    def close_times(self) -> NDArray[np.int64]:
        """Moments of the marks, ms."""
        return close_times(self.run)

    @property
    def daily_returns(self) -> Array:
        """Return of each whole day of 24 hours since the start."""
        return metrics.daily_returns(self.close_times, self.run.equity, self.account.cash, self.start_ms)

    @cached_property
    def drawdown(self) -> Array:
        """Fall of the equity from its peak so far, 0 or negative."""
        return metrics.drawdown(self.run.equity, self.account.cash)

    @cached_property
    def trade_records(self) -> np.ndarray:
        """One row the life of a position, array of LIFE."""
        return lives(self.run)

    @cached_property
    def closed(self) -> np.ndarray:
        """The trades that have ended."""
        ended: np.ndarray = self.trade_records[self.trade_records["reason"] != STILL_OPEN]
        return ended

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Named figures; NaN is *not testable*."""
        return (
            measure(self.run, self.trade_records)
            | repaired_share(self.trade_records)
            | capacity(self.run, self.trade_records, self.frames)
        )

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each thing happened that a reader should know of."""
        found = counts(self.run, self.trade_records) | self._stopped_by_regime()
        return found | {f"refused: {name}": n for name, n in self.given_counts.items()}

    @cached_property
    def halted(self) -> Halted | None:
        """When a halt was first reached and what followed, whether it was enforced or not; None where none was."""
        return halted(self.run)

    def _stopped_by_regime(self) -> dict[str, int]:
        """Entries that `signals.regimes` stopped; none where every regime is named."""
        found: Counter[str] = Counter()
        if self.rule is None or set(self.rule.regimes) == set(REGIMES):
            return {}
        for of_one in self.scores:
            found.update(stopped_entries(of_one, self.rule))
        return {f"refused: in a {name}" if name else "refused: regime not known": n for name, n in found.items()}

    @cached_property
    def result_hash(self) -> str:
        """Hash of what it came to: the same trades give the same one, however they were decided (outcome.py)."""
        return result_hash(self.run)

    # bounds

    @cached_property
    def optimistic(self) -> PortfolioRun:
        """The same run, optimistic about the order of prices inside bars."""
        return engine.run(self.panel, self.intents_of, self.account, pessimistic=False)

    @cached_property
    def optimistic_metrics(self) -> dict[str, float]:
        """Figures of the optimistic run."""
        return measure(self.optimistic, lives(self.optimistic))

    # comparisons

    @cached_property
    def benchmark(self) -> Array:
        """Equity of buying and holding, quote currency, at each close."""
        return benchmarks.buy_and_hold(self.panel, self.account, self.slippage)

    @cached_property
    def benchmark_metrics(self) -> dict[str, float]:
        """The same figures of buying and holding, as far as an equity alone gives them."""
        return metrics.account_metrics(self.close_times, self.benchmark, self.account.cash, self.start_ms)

    @cached_property
    def random_entries(self) -> RandomEntries:
        """What the closed trades would have made when entered by lot."""
        return benchmarks.random_entries(self.panel, self.closed, env=self.env)

    @cached_property
    def inverted(self) -> PortfolioRun:
        """The run of the opposite intents."""
        other = {name: benchmarks.inverted(made) for name, made in self.intents_of.items()}
        return engine.run(self.panel, other, self.account)

    @cached_property
    def inverted_metrics(self) -> dict[str, float]:
        """Figures of the opposite intents."""
        return measure(self.inverted, lives(self.inverted))

    @cached_property
    def faces_alone(self) -> dict[str, dict[str, float]]:
        """Figures of each face as the whole confluence; none where the intents were handed in."""
        if self.rule is None:
            return {}
        found = {}
        for name in benchmarks.known_faces(self.scores):
            made = benchmarks.intents_of_face(self.scores, name, self.rule)
            alone = engine.run(self.panel, made, self.account)
            found[name] = measure(alone, lives(alone))
        return found

    @cached_property
    def breakdowns(self) -> np.ndarray:
        """Closed trades by symbol, side, month, exit reason, and by scores where there are any, array of BREAKDOWN."""
        labels = labels_of(self.run, self.closed, self.scores)
        return breakdowns(self.closed, labels, self.timeframe.ms, self.env)

    @cached_property
    def buckets(self) -> np.ndarray:
        """Mean forward returns of the instrument that is shown, by bucket of the confluence, array of BUCKET."""
        return np.empty(0, BUCKET) if self.shown is None else score_buckets(self.shown, env=self.env)

    @cached_property
    def most_traded(self) -> int:
        """Position of the instrument that was traded most: that which a page draws."""
        return int(np.bincount(self.trade_records["instrument"], minlength=len(self.frames)).argmax())

    @property
    def shown(self) -> Scores | None:
        """Scores of the instrument that was traded most; None where there are none."""
        return self.scores[self.most_traded] if self.scores else None

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Bars of which at least one instrument's is known, shape (n_bars,)."""
        there: NDArray[np.bool_] = (~np.isnan(self.panel.bars[:, :, OPEN])).sum(axis=1) > 0
        return there

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Where every number came from: digests of data, prism, intents, and the versions that computed them."""
        panel, inside = hashlib.sha256(self.panel.bars.tobytes()), self.panel.inside
        if inside is not None:
            panel.update(inside.bars.tobytes())
        return {
            "instruments": ", ".join(map(str, self.instruments)),
            "timeframe": self.timeframe.name,
            "from": iso(self.start_ms),
            "to": iso(int(self.close_times[-1])),
            **{f"data {frame.instrument}": frame.fingerprint for frame in self.frames},
            "stage": panel.hexdigest(),
            **({"prism": self.scores[0].prism.fingerprint} if self.scores else {}),
            "intents": hashlib.sha256(self.run.intents.tobytes() + self.run.instrument_of.tobytes()).hexdigest(),
            **{f"version {name}": version(name) for name in ("virtuoso", "numpy", "numba")},
            **self.given_provenance,
        }

    @cached_property
    def across_gap(self) -> NDArray[np.bool_]:
        """Whether bars of a trade's life are not known, shape (n_trades,)."""
        return across_gap(self.run, self.trade_records)
