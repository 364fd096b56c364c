"""Strategy: the one place where scores and levels become intents and signals.

1. The rule gives each bar its state (rule.py). Where the state changes something is to be done.
2. On a change to BULLISH or BEARISH levels are drawn (levels.py) and an intent to be long or short carries them.
   Without known levels, or in a regime that `signals.regimes` does not name, the intent is to be out.
3. On a change to NEUTRAL the intent is to be out.

Intents are decided at the close of their bar; backtest, paper and live act on the same records, `NEXT_OPEN` later at
the earliest. What an account cannot do (short on spot) the account refuses and counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.intent import INTENT, NEXT_OPEN
from virtuoso.clock import iso, parse_time
from virtuoso.errors import NotLoadedError
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.decision import Decisions, decide
from virtuoso.signals.message.build import build_signal
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.settings import SignalSettings

Intents = NDArray[np.void]


def intents(scores: Scores, settings: SignalSettings) -> Intents:
    """What is to be done: one record for every change of the rule's state.

    Parameters
    ----------
    scores : Scores
    settings : SignalSettings

    Returns
    -------
    structured array of dtype account.intent.INTENT, shape (n_intents,)
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
    made = np.zeros(len(at), dtype=INTENT)
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
    """Give the signals that were issued: one at every change of the rule's state.

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
    """Give the signal of one moment on request, whether the state changed there or not.

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
