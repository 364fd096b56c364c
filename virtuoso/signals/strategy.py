"""What decides, and the shipped strategy, the place where scores and levels become intents and signals.

`Decider` is the seam: frames in, intents out. Backtest and the check for look-ahead take any; `RuleStrategy` is the
shipped one:

1. The rule gives each bar its state (rule.py). Where the state changes something is to be done.
2. On a change to BULLISH or BEARISH levels are drawn (levels.py) and an intent to be long or short carries them.
   Without known levels, or in a regime that `signals.regimes` does not name, the intent is to be out.
3. On a change to NEUTRAL the intent is to be out.

Intents are decided at the close of their bar; backtest, paper and live act on the same records, `NEXT_OPEN` later at
the earliest. What an account cannot do (short on spot) the account refuses and counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import Instrument
from virtuoso.account.records import NEXT_OPEN, blank_intents
from virtuoso.clock import iso, parse_time
from virtuoso.errors import NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.decision import Decisions, decide
from virtuoso.signals.message.build import build_signal
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.settings import SignalSettings

Intents = NDArray[np.void]
Frames = Mapping[Instrument, MarketFrame]
Orders = Mapping[Instrument, Intents]


class Decider(Protocol):
    """What decides over the frames of all instruments; a strategy that is declared (declared.py) is one.

    Backtest, paper and live act on what it decides; sizes, limits and refusals are the account's. A class in a module
    of its own can be checked for look-ahead in a fresh process (research/validation/foresight.py).
    """

    def orders(self, frames: Frames) -> Orders:
        """Decide at closes of the frames' bars.

        Parameters
        ----------
        frames : mapping of Instrument to MarketFrame
            All instruments, on one clock.

        Returns
        -------
        mapping of Instrument to array of INTENT
            In the order of `number`. An intent uses bars up to its close alone; an instrument may be left out.
        """
        ...


@dataclass(frozen=True)
class RuleStrategy:
    """The shipped strategy: the rule and levels on the scores of a prism, each instrument by itself.

    Attributes
    ----------
    prism : Prism
    settings : SignalSettings
    scored : mapping of Instrument to Scores
        Scores that are at hand; they stand for the very frames that they are of, and every other frame is scored.
    """

    prism: Prism
    settings: SignalSettings = field(default_factory=SignalSettings)
    scored: Mapping[Instrument, Scores] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, scores: Sequence[Scores], settings: SignalSettings | None = None) -> RuleStrategy:
        """Return the strategy that decides on scores at hand, all of one prism."""
        known = {one.frame.instrument: one for one in scores}
        return cls(scores[0].prism, settings or SignalSettings(), known)

    def orders(self, frames: Frames) -> Orders:
        """Decide at every change of the rule's state."""
        return {name: intents(self._scores_of(name, frame), self.settings) for name, frame in frames.items()}

    def _scores_of(self, name: Instrument, frame: MarketFrame) -> Scores:
        known = self.scored.get(name)
        return known if known is not None and known.frame is frame else score(self.prism, frame)

    def __deepcopy__(self, memo: object) -> RuleStrategy:
        return self  # nothing of it changes from call to call


def intents(scores: Scores, settings: SignalSettings) -> Intents:
    """What is to be done: one record for every change of the rule's state.

    Parameters
    ----------
    scores : Scores
    settings : SignalSettings

    Returns
    -------
    structured array of dtype account.records.INTENT, shape (n_intents,)
        In the order of `number`, the bar at whose close it was decided.

    Raises
    ------
    NotLoadedError
        If bars that the rule or the levels remember exist but were not loaded.
    """
    return intents_of(decide(scores, settings))


def intents_of(decided: Decisions) -> Intents:
    """Write decisions as intents."""
    scores, plan, at = decided.scores, decided.plans, decided.at
    trades = plan.known
    made = blank_intents(len(at))
    made["number"] = decided.levels.numbers
    made["side"] = np.where(trades, plan.side, 0)
    made["price"] = decided.levels.price
    made["entry"] = np.where(trades, plan.limit, np.nan)
    made["expires"] = np.where(trades, plan.expires, decided.levels.numbers + NEXT_OPEN)
    made["stop"] = np.where(trades, plan.stop, np.nan)
    made["target"] = np.where(trades[:, None], plan.target, np.nan)
    made["size"] = np.where(trades[:, None], plan.size, 0.0)
    made["score"] = scores.confluence[at]
    made["reliability"] = decided.reliability
    return made


def signals(scores: Scores, settings: SignalSettings, config: str | None = None) -> list[Signal]:
    """Return the signals that were issued: one at every change of the rule's state.

    Parameters
    ----------
    scores : Scores
    settings : SignalSettings
    config : str, optional
        Digest of the configuration for their provenance; that of the prism and of `settings` if absent.

    Returns
    -------
    list of Signal
        Oldest first. Those of a shorter history are the beginning of those of a longer one.

    Raises
    ------
    NotLoadedError
        If bars that the rule or the levels remember exist but were not loaded.
    """
    decided = decide(scores, settings)
    return [build_signal(decided, j, config) for j in range(len(decided))]


def signal_at(
    scores: Scores, settings: SignalSettings, at: int | str | None = None, config: str | None = None
) -> Signal:
    """Return the signal of one moment on request, whether the state changed there or not.

    Parameters
    ----------
    scores, settings, config : see `signals`
    at : int (ms) or str, optional
        The last bar closed by then; the newest if absent.

    Raises
    ------
    NotLoadedError
        If no scored bar had closed by then.
    """
    number = scores.start + len(scores) - 1
    if at is not None:
        number = scores.frame.number_at(parse_time(at) if isinstance(at, str) else at)
    if not scores.start <= number < scores.start + len(scores):
        raise NotLoadedError(
            f"The bar closing at {iso(scores.frame.timeframe.close_time(number))} was not scored; scores go from "
            f"{iso(int(scores.close_times[0]))} to {iso(int(scores.close_times[-1]))}. Score a range that holds it."
        )
    return build_signal(decide(scores, settings, np.array([number - scores.start])), 0, config)
