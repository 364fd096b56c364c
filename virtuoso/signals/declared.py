"""A strategy declared once: typed parameters, inputs by name, and one function over arrays.

    class EmaCross(vt.Strategy):
        fast = vt.Int(10, low=2, high=100)
        slow = vt.Int(50, low=5, high=300)

        def decide(self, close):
            return np.where(talib.EMA(close, self.fast) > talib.EMA(close, self.slow), 1.0, 0.0)

1. `decide` names its inputs: columns of the bar, features and components of the class (of a component, its score), the
   faces and the confluence of its prism. They are checked when the class is created.
2. It gives target weights, one a bar, or a dict with the names of `vt.backtest`: entries, exits, short_entries,
   short_exits, stop, target, trail, size. NaN is no decision.
3. It is evaluated in anchored blocks like a component (prism/engine/workspace.py): fed `memory` bars before each block,
   and answering for nothing before `warmup`. So the last bar alone, live, says what the whole history says.
4. What it gives becomes intents by the very functions that own signals go through (given.py): position state is the
   engine's.
"""

from __future__ import annotations

import inspect
from collections import namedtuple
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import DeclarationError, did_you_mean
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component, Node, snake
from virtuoso.prism.engine.score_inputs import ComponentScore, PrismScores, ScoreOf, names_of
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.registry import private_class
from virtuoso.signals.given import MOST_TARGETS, Decided, intents_of_position, intents_of_signals
from virtuoso.types import Array

POSITION = "position"
SIDES = ("entries", "exits", "short_entries", "short_exits")
SIZE = "size"
LEVELS = ("stop", "target", "trail", SIZE)
NAMES = (POSITION, *SIDES, *LEVELS)
LEAST_MEMORY, LENGTHS = 1_000, 20
"""Bars that a strategy is fed before each block if it declares nothing: as many lengths of its longest parameter, after
which an exponential average has forgotten where it began to the last digit of a float."""

Shape = tuple[tuple[str, Any], ...]
"""What a function gives: under each name the place of its array, or the number that stands for every bar; None of a
size that follows from what is risked to the stop."""


class Strategy(Node):
    """A trading idea: typed parameters and one function `decide`; see docs/guides/strategies.md.

    Class attributes that may be declared
    -------------------------------------
    rebalance : str
        When target weights are traded: `change` of the given value, every `bar`, or once a timeframe such as `1d`.
    prism : Prism
        Whose faces and confluence `decide` may name; the standard one if absent.
    """

    function = "decide"
    sparse = True
    blocks = 16
    decides = True
    rebalance: str = "change"
    prism: Prism | None = None
    decide: ClassVar[Any]
    """The function to write: arrays of equal length in; target weights, or a dict of signals and levels, out."""
    _nodes: Mapping[str, Node] = MappingProxyType({})
    _shape: Shape | None = None
    _asks_for: Strategy | None = None
    """The strategy for which this one is asked what it gives, and nothing else."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "value" in vars(cls):
            raise DeclarationError(
                f"{cls.__name__} declares value(...), as components do; a strategy's is decide(...)."
            )
        if not (cls.prism is None or isinstance(cls.prism, Prism)):
            raise DeclarationError(f"{cls.__name__}.prism must be a vt.Prism, was a {type(cls.prism).__name__}.")
        super().__init_subclass__(**kwargs)

    @classmethod
    def _inputs(cls) -> set[str]:
        return {*super()._inputs(), *names_of(cls.prism or Prism.standard())}

    @classmethod
    def _check_inputs(cls) -> None:
        for name, given in list(inspect.signature(cls.decide).parameters.items())[1:]:
            if given.kind is not given.POSITIONAL_OR_KEYWORD or given.default is not given.empty:
                raise DeclarationError(
                    f"{cls.__name__}.decide names the input {str(given)!r}; inputs are plain names, such as `close`. A "
                    f"parameter is declared in the class, {name} = vt.Int(14, low=2, high=50), and read as self.{name}."
                )
        super()._check_inputs()
        cls._nodes = dict(cls._made_inputs(cls.prism))

    @classmethod
    def _made_inputs(cls, prism: Prism | None) -> Iterator[tuple[str, Node]]:
        """Nodes behind the inputs that are no columns, nor given as parameters; scores are those of a prism."""
        scores: PrismScores | None = None
        for name in cls.arguments:
            own = getattr(cls, name, None)
            if isinstance(own, Component):
                yield name, ComponentScore(component=own)
            elif isinstance(own, Node):
                yield name, own
            elif name not in Node._inputs() and name not in cls.parameters:
                scores = scores or PrismScores(prism or Prism.standard())
                yield name, ScoreOf(scores, names_of(scores.prism)[name])

    def __init__(self, **parameters: Any) -> None:
        if not hasattr(self, "decide"):
            raise DeclarationError(f"{type(self).__name__} declares no decide(self, close, ...).")
        super().__init__(**parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle class, parameters and what it was found to give."""
        return _made, (type(self), self.settings(), self._shape)

    @property
    def name(self) -> str:
        """What runs call it: the class as the field writes names, `ema_cross`."""
        return snake(type(self).__name__)

    def facts(self) -> dict[str, Any]:
        """Return what a run folder keeps of it: name, class and parameters."""
        cls = type(self)
        return {
            "name": cls.__name__,
            "class": f"{cls.__module__}:{cls.__qualname__}",
            "parameters": self.settings(),
            "rebalance": self.rebalance,
        }

    def input_of(self, name: str) -> Node | None:
        """Return the node behind an input; None of a column."""
        return self._nodes[name] if name in self._nodes else super().input_of(name)

    def memory(self, timeframe: Timeframe) -> int:
        """How many bars before a block `decide` is fed; 20 lengths of the longest parameter, 1,000 at least.

        What sums up all of history, or waits for an event for longer, declares its own.
        """
        return max(LEAST_MEMORY, LENGTHS * self.longest(), self.warmup(timeframe))

    def warmup(self, timeframe: Timeframe) -> int:
        """How many bars of an unbroken run must have passed before a decision counts; the longest parameter."""
        return max(self.longest(), 1)

    # --- what it decides ---

    @property
    def outputs(self) -> type[tuple[Any, ...]] | None:  # type: ignore[override]
        """NamedTuple class of the arrays that `decide` was found to give."""
        return None if self._shape is None else _arrays(_count(self._shape))

    def value(self, *inputs: Any) -> tuple[Array, ...]:
        """Call `decide` on some bars, and lay out what it gives as arrays."""
        shape, arrays = _laid_out(self, self.decide(*inputs), _length(inputs))
        if self._asks_for is not None:
            object.__setattr__(self._asks_for, "_shape", shape)
            return (np.full(len(arrays[0]), np.nan),)
        if shape != self._shape:
            raise DeclarationError(
                f"{self!r}.decide gave {_words(shape)} for some bars, {_words(self._shape or ())} for others; it must "
                "give the same names at every call, and numbers that do not change: an array may."
            )
        return arrays

    def shaped_on(self, workspace: Workspace) -> Strategy:
        """Find out what `decide` gives on the first bars on which it is called, unless that is known; return itself."""
        base, clock = workspace.frame.base, workspace.frame.timeframe
        buffers, start, asking = workspace.buffers(clock), base.first, self.replace()
        object.__setattr__(asking, "_asks_for", self)
        while self._shape is None and start < base.end:
            stop = min((start // buffers.block + 1) * buffers.block, base.end)
            workspace.values(asking, clock, start, stop)
            del buffers.by_node[asking]  # it holds no decisions
            start = stop
        return self

    def decided(self, workspace: Workspace, start: int, stop: int) -> dict[str, Any]:
        """What `decide` says of the base bars numbered [start, stop), each evaluated in its anchored block.

        Parameters
        ----------
        workspace : Workspace
            Of the frame; what is computed on it stays.
        start, stop : int

        Returns
        -------
        dict of str to Array, shape (stop - start,), or number
            `position` alone, or the names of signals and levels; 1.0 true, 0.0 false, NaN not known. A target may be a
            list of up to three. All of `position` is NaN where `decide` is never called, for want of known bars.

        Raises
        ------
        MissingColumnError, NotLoadedError, DeclarationError
        PrivateCodeError
            `decide` fails: names the line of its file.
        """
        if self.shaped_on(workspace)._shape is None:
            return {POSITION: np.full(stop - start, np.nan)}
        arrays = workspace.values(self, workspace.frame.timeframe, start, stop)
        return {name: _filled(spec, arrays) for name, spec in self._shape or ()}

    def decisions(self, frame: MarketFrame, workspace: Workspace | None = None) -> Decided:
        """What is to be traded on the window of a frame, as INTENTs, and how often something decided nothing.

        Parameters
        ----------
        frame : MarketFrame
        workspace : Workspace, optional
            Of this frame; a fresh one if absent.

        Returns
        -------
        Decided
            That of `vt.backtest(frame, position=...)` or `vt.backtest(frame, entries=...)` with what it decides.
        """
        given = self.decided(workspace or Workspace(frame), frame.start, frame.start + len(frame))
        if POSITION in given:
            return intents_of_position(frame, given[POSITION], self.rebalance)
        sides = {name: given[name] == 1.0 for name in SIDES if name in given}  # not known is no decision
        return intents_of_signals(frame, **sides, **{name: given[name] for name in LEVELS if name in given})

    def orders(self, frames: Mapping[Instrument, MarketFrame]) -> dict[Instrument, np.ndarray[Any, Any]]:
        """Decide on each instrument by itself."""
        return {name: self.decisions(frame).intents for name, frame in frames.items()}


def strategy_of(
    given: Strategy | type[Strategy] | str, parameters: Mapping[str, Any] | None = None, said: str = "strategy"
) -> Strategy:
    """Return the strategy that is meant: an instance, a class with its defaults, or `module:Class`.

    Parameters
    ----------
    given : Strategy, subclass of Strategy, or str
    parameters : mapping of str to number, optional
        Other values of its parameters.
    said : str
        Where it is named, for errors.

    Raises
    ------
    TypeError
        It is none of these.
    ConfigError, PrivateCodeError, DeclarationError, ParameterError
        See `virtuoso.prism.registry.private_class`; or a parameter does not exist or lies outside its range.
    """
    if isinstance(given, str):
        given = private_class(given, said, Strategy)
    if isinstance(given, type) and issubclass(given, Strategy):
        return given(**(parameters or {}))
    if isinstance(given, Strategy):
        return given.replace(**parameters) if parameters else given
    raise TypeError(
        f"A strategy is a subclass of vt.Strategy, an instance of one, or 'module:Class'; was a {type(given).__name__}."
    )


def _made(cls: type[Strategy], settings: Mapping[str, Any], shape: Shape | None) -> Strategy:
    """Make a strategy that was pickled."""
    made = cls(**settings)
    object.__setattr__(made, "_shape", shape)
    return made


# --- what decide gives ---


def _length(inputs: tuple[Any, ...]) -> int:
    """How many bars a function was called on."""
    arrays = (one[0] if isinstance(one, tuple) else one for one in inputs)
    return next(len(array) for array in arrays if isinstance(array, np.ndarray))


def _laid_out(strategy: Strategy, answer: Any, n: int) -> tuple[Shape, tuple[Array, ...]]:
    """Lay what `decide` gave out as a shape and arrays, in the order of NAMES."""
    given = answer if isinstance(answer, Mapping) else {POSITION: answer}
    if answer is None:
        raise DeclarationError(f"{strategy!r}.decide gave None. Does it end without return?")
    for name in given:
        if name not in NAMES:
            raise DeclarationError(f"{strategy!r}.decide gave {name!r}. {did_you_mean(str(name), NAMES)}")
    unsized = SIZE in given and given[SIZE] is None
    given = {name: given[name] for name in NAMES if given.get(name) is not None}
    if unsized:
        given[SIZE] = None
    if not {POSITION, *SIDES} & set(given):
        raise DeclarationError(f"{strategy!r}.decide gave neither a position nor entries.")
    if POSITION in given and len(given) > 1:
        other = next(name for name in given if name != POSITION)
        raise DeclarationError(
            f"{strategy!r}.decide gave a position and {other}. A position says at every bar how much is held; give "
            "entries and exits where stops and targets end a trade."
        )
    arrays: list[Array] = []

    def spec(name: str, one: Any) -> Any:
        if name == "target" and isinstance(one, list | tuple):
            if not 0 < len(one) <= MOST_TARGETS:
                raise DeclarationError(f"{strategy!r}.decide gave {len(one)} targets; one to three are possible.")
            return tuple(
                (spec(name, part[0]), float(part[1])) if isinstance(part, tuple) else (spec(name, part), None)
                for part in one
            )
        if one is None:
            return None
        if np.ndim(one) == 0 and name in LEVELS:
            return _number(strategy, name, one)
        arrays.append(_array(strategy, name, one, n))
        return len(arrays) - 1

    return tuple((name, spec(name, one)) for name, one in given.items()), tuple(arrays)


def _number(strategy: Strategy, name: str, given: Any) -> float:
    if isinstance(given, bool | np.bool_ | str | bytes) or not np.isreal(given):
        raise DeclarationError(f"{strategy!r}.decide gave {name} = {given!r}; it must be a number or an array.")
    return float(given)


def _array(strategy: Strategy, name: str, given: Any, n: int) -> Array:
    """Make an array of what was given for each bar: booleans and pandas objects too, NaN where they know nothing."""
    said = f"{strategy!r}.decide gave {name}"
    if hasattr(given, "to_numpy"):
        given = given.to_numpy(dtype=np.float64, na_value=np.nan) if _is_masked(given) else given.to_numpy()
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise DeclarationError(f"{said} of {array.dtype}; it must be an array of numbers or booleans.")
    if array.ndim == 0:
        array = np.full(n, array)
    if array.shape != (n,):
        raise DeclarationError(f"{said} of shape {array.shape} for {n} bars; it must be as long as its inputs.")
    if array.dtype.kind != "b" and name in SIDES and not np.isin(array[np.isfinite(array)], (0.0, 1.0)).all():
        raise DeclarationError(f"{said} with values that are neither true nor false. Compare, as in score > 60.")
    values = array.astype(np.float64)
    if np.isinf(values).any():
        raise DeclarationError(f"{said} with an infinite value. Where nothing is known it is NaN.")
    return values


def _is_masked(given: Any) -> bool:
    """Whether a pandas object marks what is missing beside its values, as nullable booleans do."""
    return getattr(getattr(given, "dtype", None), "na_value", None) is not None


def _filled(spec: Any, arrays: list[Array]) -> Any:
    """Put arrays into their places."""
    if isinstance(spec, tuple):
        parts = [(_filled(part, arrays), share) for part, share in spec]
        return [part if share is None else (part, share) for part, share in parts]
    return arrays[spec] if isinstance(spec, int) else spec


def _count(shape: Shape) -> int:
    """How many arrays a shape holds."""

    def inside(spec: Any) -> int:
        return sum(inside(part) for part, _ in spec) if isinstance(spec, tuple) else isinstance(spec, int)

    return sum(inside(spec) for _, spec in shape)


def _words(shape: Shape) -> str:
    return ", ".join(f"{name} = {spec:g}" if isinstance(spec, float) else name for name, spec in shape)


@lru_cache(64)
def _arrays(count: int) -> type[tuple[Any, ...]]:
    return namedtuple("Arrays", [f"array_{k}" for k in range(count)])
