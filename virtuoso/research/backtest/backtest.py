"""The backtest that users run: any strategy, one or many instruments, one wallet, perpetual futures bar by bar.

1. `panel.py` puts the bars of all instruments on one clock, with marks and funding, or says what is missing.
2. The strategy decides; `engine.py` steps through the bars, and `round_trips.py` makes trades of what happened.
3. `result.py` measures, compares, breaks it down and writes its run folder; `reports/summary.py` says what it is worth.

`research/crosscheck` trades the same intents through vectorbt, as far as vectorbt models them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.clock import Env, iso
from virtuoso.errors import ConfigError, DataError, NoDataError, and_more
from virtuoso.market.events import Events
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.laws.pristine import pristine
from virtuoso.prism.result.scores import Scores
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.signals.declared import Strategy
from virtuoso.signals.strategy import Decider, Intents, RuleStrategy

LARGEST_SHARE = 0.1
LEAST_BARS = 2


def backtest(
    markets: Sequence[Scores | MarketFrame],
    account: Account,
    *,
    strategy: Decider | None = None,
    intents_of: Mapping[Instrument, Intents] | None = None,
    decided_by: Mapping[str, object] | None = None,
    given_counts: Mapping[str, int] | None = None,
    explained: str = "",
    slippage: float = 0.0002,
    funding: Mapping[Instrument, Events] | None = None,
    funding_terms: FundingTerms | None = None,
    inside: Mapping[Instrument, MarketFrame] | None = None,
    config: Mapping[str, object] | None = None,
    provenance: Mapping[str, str] | None = None,
    env: Env | None = None,
) -> PortfolioResult:
    """Trade what a strategy decides with one wallet.

    Parameters
    ----------
    markets : sequence of Scores or MarketFrame
        One an instrument, on one clock, and of one prism where they are scores; the strategy is given their frames.
        The shipped rule needs scores.
    account : Account
        Cash, fees, leverage, margin mode, limits.
    strategy : Decider, optional
        The shipped rule and levels on these scores if absent. Of any other, faces alone are not compared; whether its
        intents know of later bars is tested, without which nothing is shipped.
    intents_of : mapping of Instrument to array of INTENT, optional
        What is traded where no strategy can be handed in. Whether they know of later bars cannot be tested then.
    decided_by : mapping, optional
        What decided, in the words that a run folder keeps: `name`, and what it was given.
    given_counts : mapping of str to int, optional
        How often something that was given decided nothing, by the reason.
    explained : str
        Why a result that no market pays is right all the same; it is kept with the run, see
        research/validation/plausibility.py.
    slippage : float
        Of the price of each market fill, at least; half the recorded spread where the book is known.
    funding : mapping of Instrument to Events of kind funding, optional
    funding_terms : FundingTerms, optional
        What to assume where funding or mark prices are not known; nothing if absent.
    inside : mapping of Instrument to MarketFrame, optional
        Finer bars that tell the order of prices inside those of the scores, all on one clock.
    config : mapping, optional
        Settings in force, kept with the result.
    provenance : mapping of str to str, optional
        Digests of configuration and code, kept with the result.
    env : Env, optional
        Where bootstraps and random entries draw from; seeded with 0 if absent.

    Returns
    -------
    PortfolioResult

    Raises
    ------
    NoDataError
        Funding or mark prices of a perpetual are not known and nothing says what to assume; or not two bars are known.
    ConfigError
        Terms that no account has, or frames on different clocks.
    DataError
        Intents that are not of these scores.
    """
    _check_terms(account, slippage)
    frames, scores = _ordered(markets)
    panel = SimulationPanel.of(frames, slippage=slippage, funding=funding, terms=funding_terms, inside=inside)
    if (panel.last < LEAST_BARS - 1).all():
        names = ", ".join(map(str, panel.instruments))
        raise NoDataError(f"A backtest of {names} needs at least two known bars. Choose a longer --timerange.")
    if strategy is not None and intents_of is not None:
        raise ConfigError("Hand in either a strategy or intents_of, which it would make: both were given.")
    if intents_of is None:
        strategy = strategy or RuleStrategy.of(scores)
        made, given_counts = _decided(strategy, frames, scores)
        decided_by = decided_by or _told(strategy)
    else:
        made = intents_of
    for market in scores or frames:
        instrument = market.frame.instrument if isinstance(market, Scores) else market.instrument
        if instrument in made:
            check_intents(made[instrument], market.start, market.start + len(market))
            _check_weights(made[instrument], account, instrument, panel.timeframe.ms)
    return PortfolioResult(
        frames=frames,
        scores=scores,
        intents_of=made,
        strategy=strategy,
        run=run(panel, made, account),
        slippage=slippage,
        config=dict(config or {}),
        given_provenance=dict(provenance or {}),
        env=env or Env(seed=0),
        explained=explained.strip(),
        decided_by=dict(decided_by or {"name": "intents"}),
        given_counts=dict(given_counts or {}),
    )


def _decided(
    strategy: Decider, frames: Sequence[MarketFrame], scores: Sequence[Scores]
) -> tuple[Mapping[Instrument, Intents], Mapping[str, int]]:
    """What a strategy decides on frames, and how often it decided nothing, by the reason.

    A copy decides: what is judged afterwards is the strategy as it was handed in.
    """
    deciding = pristine(strategy)
    if not isinstance(deciding, Strategy):
        return deciding.orders({frame.instrument: frame for frame in frames}), {}
    beside = {of_one.frame.instrument: of_one for of_one in scores}
    made, counts = {}, Counter[str]()
    for frame in frames:
        of_one = beside.get(frame.instrument)
        found = deciding.decisions(frame, None if of_one is None else of_one.workspace)
        if of_one is not None:
            found.intents["score"] = of_one.confluence[found.intents["number"] - of_one.start]
        made[frame.instrument] = found.intents
        counts.update(found.counts)
    return made, counts


def _told(strategy: Decider) -> Mapping[str, object]:
    """What decided, in the words that a run folder keeps."""
    if isinstance(strategy, RuleStrategy):
        return {"name": "rule"}
    return strategy.facts() if isinstance(strategy, Strategy) else {"name": type(strategy).__name__}


def _ordered(markets: Sequence[Scores | MarketFrame]) -> tuple[tuple[MarketFrame, ...], tuple[Scores, ...]]:
    """Frames in the order of their instruments, and their scores where all of them come with theirs."""
    scores = [market for market in markets if isinstance(market, Scores)]
    if len({of_one.prism.fingerprint for of_one in scores}) > 1:
        raise DataError("A portfolio trades the scores of one prism. Score all instruments with the same settings.")
    if scores and len(scores) < len(markets):
        raise DataError("A portfolio is given scores of all its instruments or of none. Score all of them, or none.")
    scores.sort(key=lambda of_one: of_one.frame.instrument)
    frames = [market for market in markets if isinstance(market, MarketFrame)]
    frames = [of_one.frame for of_one in scores] or sorted(frames, key=lambda frame: frame.instrument)
    return tuple(frames), tuple(scores)


def _check_weights(intents: np.ndarray, account: Account, instrument: Instrument, ms: int) -> None:
    """Refuse a share of the equity that the account cannot hold."""
    most = 1.0 if instrument.is_spot else account.leverage
    beyond = np.flatnonzero(intents["weight"] > most * (1.0 + 1e-12))
    if len(beyond):
        worst = intents[beyond[0]]
        told = f"{'' if worst['side'] >= 0 else '-'}{worst['weight']:g}"
        leverage = "Spot is bought with cash alone." if instrument.is_spot else "Give a larger --leverage."
        raise ConfigError(
            f"{instrument} is to hold {told} times the equity at {iso((int(worst['number']) + 1) * ms)}"
            f"{and_more(len(beyond) - 1, 'close')}; the account holds from -{most:g} to {most:g}. {leverage}"
        )


def check_intents(intents: np.ndarray, start: int, stop: int) -> None:
    """Refuse what is not a list of intents over the scored bars [start, stop).

    Raises
    ------
    DataError
        Another dtype, out of order, twice at one bar, or decided at a bar that was not scored.
    """
    if intents.dtype != INTENT:
        raise DataError(f"A backtest trades an array of INTENT (virtuoso.account.records), was {intents.dtype}.")
    numbers = intents["number"]
    wrong = np.flatnonzero(np.diff(numbers) <= 0)
    if len(wrong):
        raise DataError(
            f"Intents come one a bar and in order; bar {numbers[wrong[0] + 1]} follows {numbers[wrong[0]]}."
        )
    if len(numbers) and not (start <= numbers[0] and numbers[-1] < stop):
        raise DataError(
            f"Intents were decided at bars {numbers[0]} to {numbers[-1]}, but bars {start} to {stop - 1} were scored. "
            "Make them from these scores."
        )


def _check_terms(account: Account, slippage: float) -> None:
    shares = {"maker": account.maker, "taker": account.taker, "slippage": slippage}
    for name, value in shares.items():
        least = -LARGEST_SHARE if name == "maker" else 0.0
        if not least <= value < LARGEST_SHARE:
            lowest = "-0.1 (a rebate)" if name == "maker" else "0"
            raise ConfigError(
                f"{name} is a share of a fill, from {lowest} to under 0.1 (0.0005 is 5 bp), was {value!r}."
            )
    risk = account.limits.base_size
    if not 0.0 < risk <= 1.0:
        raise ConfigError(f"risk is a share of the equity, above 0 and at most 1 (0.01 is 1 %), was {risk!r}.")
    if not 0.0 < account.cash < float("inf"):
        raise ConfigError(f"cash is what the account begins with, above 0, was {account.cash!r}.")
    if not 1.0 <= account.leverage <= 125.0:
        raise ConfigError(f"leverage is from 1 to 125, was {account.leverage!r}.")
    if not 0.0 <= account.trail < float("inf") or account.reset_halt < 0:
        raise ConfigError(
            f"trail is a distance in R and reset_halt a number of days, from 0 up; were {account.trail!r} and "
            f"{account.reset_halt!r}."
        )
