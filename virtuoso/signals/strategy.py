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
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from virtuoso.account.instrument import Instrument
from virtuoso.account.records import NEXT_OPEN, blank_intents
from virtuoso.clock import Timeframe, iso, parse_time
from virtuoso.errors import ConfigError, NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Float, Int
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.decision import Decisions, decide
from virtuoso.signals.declared import Shape, Strategy
from virtuoso.signals.given import Decided
from virtuoso.signals.message.build import build_signal
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.rule import memory as rule_memory
from virtuoso.signals.rule import states
from virtuoso.signals.settings import LevelSettings, SignalSettings
from virtuoso.types import Array

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


class RuleStrategy(Strategy):
    """The shipped strategy: the rule and levels on the scores of a prism, each instrument by itself.

    `decide` gives the state of the rule, and that is what the laws examine. What is traded are its changes, with a stop
    and targets between the levels of the moment, which only changes are worth looking up for: so it writes its intents
    itself. Its numbers are declared, for sweeps and tuning; `signals` holds the rest, such as regimes and calibration.

    Parameters
    ----------
    prism : Prism, optional
        The standard one if absent.
    signals : SignalSettings, optional
        What the declared numbers are not given for.
    scored : mapping of Instrument to Scores, optional
        Scores that are at hand; they stand for the very frames that they are of, and every other frame is scored.
    **numbers
        Of the declared parameters, such as `bull_enter=60`.

    Raises
    ------
    ParameterError
        A number lies outside its range.
    ConfigError
        Numbers that do not go together, such as thresholds that cross.
    """

    holes = True  # what is not known ends a signal
    bull_enter = Float(68.0, low=50.0, high=100.0, unit="points")
    bull_leave = Float(55.0, low=50.0, high=100.0, unit="points")
    bear_leave = Float(45.0, low=0.0, high=50.0, unit="points")
    bear_enter = Float(32.0, low=0.0, high=50.0, unit="points")
    min_coverage = Float(0.4, low=0.0, high=1.0, unit="share")
    atr_period = Int(14, low=2, high=500, unit="slow bars")
    weakest = Float(0.5, low=0.0, high=10.0, unit="swings")
    apart = Float(0.5, low=0.0, high=10.0, unit="ATR")
    stop_buffer = Float(0.25, low=0.0, high=5.0, unit="ATR")
    stop_min = Float(0.75, low=0.0, high=20.0, unit="ATR")
    stop_max = Float(3.0, low=0.0, high=50.0, unit="ATR")
    min_target_r = Float(1.0, low=0.0, high=20.0, unit="R")
    target_gap_r = Float(0.5, low=0.0, high=20.0, unit="R")
    retest_reach = Float(1.0, low=0.0, high=10.0, unit="ATR")
    signals: SignalSettings
    prism: Prism
    scored: Mapping[Instrument, Scores]

    def __init__(
        self,
        prism: Prism | None = None,
        signals: SignalSettings | None = None,
        scored: Mapping[Instrument, Scores] | None = None,
        **numbers: float,
    ) -> None:
        given = signals or SignalSettings()
        super().__init__(**{name: getattr(_room_of(name, given), name) for name in self.parameters} | numbers)
        object.__setattr__(self, "prism", prism or Prism.standard())
        object.__setattr__(self, "signals", _with(given, numbers))
        object.__setattr__(self, "scored", dict(scored or {}))
        object.__setattr__(self, "_nodes", dict(self._made_inputs(self.prism)))
        object.__setattr__(self, "_key", (type(self), self.prism.fingerprint, self.signals.model_dump_json()))
        object.__setattr__(self, "_hash", hash(self._key))

    @classmethod
    def of(cls, scores: Sequence[Scores], settings: SignalSettings | None = None) -> RuleStrategy:
        """Return the strategy that decides on scores at hand, all of one prism."""
        return cls(scores[0].prism, settings, {one.frame.instrument: one for one in scores})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made with."""
        return _rule_made, (self.prism, self.signals, self._shape)

    def __deepcopy__(self, memo: object) -> RuleStrategy:
        return self  # nothing of it changes from call to call

    def replace(self, **numbers: Any) -> RuleStrategy:
        """Make the same strategy with other numbers."""
        return RuleStrategy(self.prism, self.signals, self.scored, **numbers)

    def memory(self, timeframe: Timeframe) -> int:
        """How many bars the rule remembers."""
        return rule_memory(self.signals, timeframe) + 1

    def warmup(self, timeframe: Timeframe) -> int:
        """It answers at once: where nothing is known yet it is out."""
        return 1

    def decide(self, confluence: Array, coverage: Array, timeframe: Timeframe) -> Array:
        """State of the rule at each bar: 1 BULLISH, -1 BEARISH, 0 NEUTRAL.

        Raises
        ------
        ConfigError
            What is expected of a hold decides, which confluence and coverage do not tell.
        """
        if self.signals.min_edge > 0.0:
            raise ConfigError(
                f"The rule with signals.min_edge={self.signals.min_edge:g} decides by a history that no block of bars "
                "holds, so the laws cannot take it apart. Examine it without, and read the check for look-ahead that "
                "every backtest of it prints."
            )
        return states(confluence, coverage, self.signals, timeframe).astype(np.float64)

    def decisions(self, frame: MarketFrame, workspace: Workspace | None = None) -> Decided:
        """Decide at every change of the rule's state."""
        known = self.scored.get(frame.instrument)
        if known is None or known.frame is not frame:
            own = workspace or Workspace(frame)
            known = assemble(self.prism, own, frame.start, frame.start + len(frame))
        return Decided(intents(known, self.signals), {})


def _rule_made(prism: Prism, signals: SignalSettings, shape: Shape | None) -> RuleStrategy:
    """Make a rule that was pickled; scores at hand do not travel."""
    made = RuleStrategy(prism, signals)
    object.__setattr__(made, "_shape", shape)
    return made


def _room_of(name: str, signals: SignalSettings) -> SignalSettings | LevelSettings:
    """The settings in which a number stands."""
    return signals if name in SignalSettings.model_fields else signals.levels


def _with(signals: SignalSettings, numbers: Mapping[str, float]) -> SignalSettings:
    """The settings with other numbers."""
    if not numbers:
        return signals
    own = {name: value for name, value in numbers.items() if name in SignalSettings.model_fields}
    levels = {name: value for name, value in numbers.items() if name not in own}
    try:
        changed = LevelSettings.model_validate({**dict(signals.levels), **levels})
        return SignalSettings.model_validate({**dict(signals), **own, "levels": changed})
    except ValidationError as refused:
        raise ConfigError(f"RuleStrategy {refused.errors()[0]['msg']}.") from None


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
