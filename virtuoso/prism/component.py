"""What a component is: a class body that declares everything, and one plain function over arrays.

1. `value(self, close, atr, ...)` names its inputs: columns of the bar, features (class attributes that are features),
   and, where wanted, `first` (absolute number of the first bar of the slice), `wanted` (first output that is needed)
   and `timeframe`. They are checked when the class is created.
2. Parameters are typed fields with a range: `period: int = Int(14, low=2, high=100)`.
3. `memory` is what the engine feeds, `warmup` what must pass before a value counts; both in bars. Plain windows need to
   declare neither.
4. A component is a frozen value: equal if its class and parameters are, and its repr can be pasted back. From that
   follow batch, live, cache keys, search space, documentation and report rows.

`value` uses `x[: t + 1]` only; the laws (laws/laws.py) prove it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

from virtuoso.clock import Timeframe
from virtuoso.errors import DeclarationError, ParameterError, did_you_mean
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.prism.scale import Scale
from virtuoso.types import Array

RESERVED = ("first", "wanted", "timeframe")
"""Inputs the engine itself can hand to a function."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed field with a range, the search space of the tuner.

    Attributes
    ----------
    default, low, high : int or float
        Inclusive range.
    unit : str
        'bars', 'ATR', 'share' ...
    kind : type
        int or float.
    """

    default: Any
    low: float
    high: float
    unit: str
    kind: type

    def check(self, owner: str, name: str, value: Any) -> Any:
        """Return the value in the parameter's type; raise ParameterError that says what is wrong with it."""
        wrong = isinstance(value, bool) or not isinstance(value, (int, float))
        if wrong or (self.kind is int and value % 1 != 0):
            raise ParameterError(f"{owner}.{name} must be {self.kind.__name__}, was {value!r}.")
        if not self.low <= value <= self.high:
            raise ParameterError(f"{owner}.{name} must lie in {self.low}..{self.high} {self.unit}, was {value!r}.")
        return self.kind(value)


def Int(default: int, *, low: int, high: int, unit: str = "bars") -> Any:
    """Declare a whole-number parameter."""
    return Parameter(default, low, high, unit, int)


def Float(default: float, *, low: float, high: float, unit: str = "") -> Any:
    """Declare a real parameter."""
    return Parameter(default, low, high, unit, float)


@dataclass(frozen=True, slots=True)
class NodeInput:
    """Declare that a parameter is itself a node whose values become an input."""


def Of() -> Any:
    """Declare an input that is given when the node is made, such as the oscillator of a divergence."""
    return NodeInput()


@cache
def snake(name: str) -> str:
    """Write a class name as the field writes components: `RelativeVolume` becomes `relative_volume`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Node:
    """Anything the engine evaluates over bars in anchored blocks: a component or a feature.

    Class attributes that follow from the declaration
    -------------------------------------------------
    parameters : mapping of str to Parameter or NodeInput
    arguments : tuple of str
        Parameter names of `value`, in order.
    """

    parameters: ClassVar[Mapping[str, Parameter | NodeInput]] = {}
    arguments: ClassVar[tuple[str, ...]] = ()
    sparse: ClassVar[bool] = False
    """Whether NaN is an answer of this node ('there is none') and must not cut the run of what builds on it."""
    windowed: ClassVar[bool] = False
    """Whether the bits of a value depend on its last `memory` bars alone, wherever the slice starts. A live bar then
    costs its window, not its block. The law of cutting proves the claim: it compares single bars with whole blocks."""
    blocks: ClassVar[int] = 1
    """How many blocks of its timeframe are one of this node: a cheap function is called less often, a live bar costs
    the longer block."""
    holes: ClassVar[bool] = False
    """Whether the function itself deals with unknown bars, NaN in its inputs, instead of starting anew after each:
    for long windows of which a tenth may be missing. Never for black boxes: after one NaN TA-Lib answers nonsense."""
    decides: ClassVar[bool] = False
    """Whether its values are decisions: the last digit of a price turns one where it is a close call."""
    outputs: ClassVar[type[tuple[Any, ...]] | None] = None
    """NamedTuple class of the arrays that it gives; None where it gives one."""
    function: ClassVar[str] = "value"
    """Name of the function that a class body writes, whose arguments name the inputs."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = {k: v for k, v in vars(cls).items() if isinstance(v, (Parameter, NodeInput))}
        cls.parameters = {**cls.parameters, **declared}
        if cls.function in vars(cls):
            cls.arguments = tuple(inspect.signature(getattr(cls, cls.function)).parameters)[1:]
            cls._check_inputs()

    @classmethod
    def _inputs(cls) -> set[str]:
        """Names that an argument of the function may have."""
        features = {k for k in dir(cls) if isinstance(getattr(cls, k, None), Node)}
        nodes = {k for k, p in cls.parameters.items() if isinstance(p, NodeInput)}
        return {*COLUMNS, *features, *nodes, *RESERVED}

    @classmethod
    def _check_inputs(cls) -> None:
        said, known = f"{cls.__name__}.{cls.function}", cls._inputs()
        for name in cls.arguments:
            if isinstance(cls.parameters.get(name), Parameter):
                raise DeclarationError(
                    f"{said} names the input {name!r}, which is a parameter: read it as self.{name}."
                )
            if isinstance(kind := getattr(cls, name, None), type) and issubclass(kind, Node):
                raise DeclarationError(f"{cls.__name__}.{name} is a class. Make one of it: {name} = {kind.__name__}().")
            if name not in known:
                raise DeclarationError(
                    f"{said} names the input {name!r}, which is neither a column nor a feature "
                    f"of the class. {did_you_mean(name, known)}"
                )
        if not set(cls.arguments) - set(RESERVED):
            raise DeclarationError(f"{said} names no input. Name a column, such as `close`.")

    def __init__(self, **parameters: Any) -> None:
        cls = type(self)
        for name in parameters:
            if name not in cls.parameters:
                raise ParameterError(f"{cls.__name__} has no parameter {name!r}. {did_you_mean(name, cls.parameters)}")
        for name, declared in cls.parameters.items():
            if isinstance(declared, NodeInput):
                if not isinstance(parameters.get(name), Node):
                    raise ParameterError(f"{cls.__name__}.{name} must be a component or feature.")
                value = parameters[name]
            else:
                value = declared.check(cls.__name__, name, parameters.get(name, declared.default))
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_key", (cls, tuple((n, getattr(self, n)) for n in cls.parameters)))
        object.__setattr__(self, "_hash", hash(self._key))

    _key: tuple[Any, ...]
    _hash: int

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen. Make another with .replace({name}=...).")

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Node) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        changed = (
            f"{name}={getattr(self, name)!r}"
            for name, declared in self.parameters.items()
            if isinstance(declared, NodeInput) or getattr(self, name) != declared.default
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle class and parameters, to be made anew: hashes of names differ from process to process."""
        return _made, (type(self), self.settings())

    def replace(self, **parameters: Any) -> Self:
        """Make the same node with other parameters."""
        return type(self)(**{**self.settings(), **parameters})

    def settings(self) -> dict[str, Any]:
        """Parameters and their values."""
        return {name: getattr(self, name) for name in self.parameters}

    @property
    def n_outputs(self) -> int:
        """How many arrays it gives."""
        return 1 if self.outputs is None else len(self.outputs._fields)  # type: ignore[attr-defined]

    def input_of(self, name: str) -> Node | None:
        """Return the node whose values are the input of a name; None where the input is a column or reserved."""
        given = None if name in RESERVED else getattr(self, name, None)
        return given if isinstance(given, Node) else None

    def longest(self) -> int:
        """Return the longest of the parameters in bars, 0 if there is none."""
        lengths = (
            getattr(self, name)
            for name, declared in self.parameters.items()
            if isinstance(declared, Parameter) and declared.kind is int and declared.unit == "bars"
        )
        return max(lengths, default=0)

    def memory(self, timeframe: Timeframe) -> int:
        """How many bars before a block the function is fed, so that its start is forgotten to 1e-6 points.

        The default is right for plain windows: the longest of the parameters in bars, and the bar before it. What looks
        further back, or does not forget, declares its own; the law of memory finds out what did not.
        """
        return self.longest() + 1

    def warmup(self, timeframe: Timeframe) -> int:
        """How many bars of an unbroken run must have passed, this one included, before a value counts."""
        return self.memory(timeframe)

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Timeframe this node is computed on when something on `timeframe` asks for it."""
        return timeframe

    value: ClassVar[Any]
    """The function: arrays of equal length in, arrays of that length out."""


def _made(cls: type[Node], settings: Mapping[str, Any]) -> Node:
    """Make a node that was pickled."""
    return cls(**settings)


class Feature(Node):
    """Named arrays that several components, levels or insights build on: ATR, swings, profiles.

    `outputs` is a NamedTuple class of arrays, or None where `value` returns one array.
    """


class Assembled(Feature):
    """A feature of which the engine asks stretches of bars, for what no function of arrays computes: scores."""

    def assembled(self, workspace: Any, start: int, stop: int) -> tuple[Array, ...]:
        """Return its outputs over the base bars numbered [start, stop) of a workspace; the past of each bar alone."""
        raise NotImplementedError

    def parts(self, timeframe: Timeframe) -> Iterator[tuple[Node, Timeframe]]:
        """Yield the nodes that it is made of, each with the timeframes it is asked for on; all where columns allow."""
        raise NotImplementedError


class Component(Node):
    """A score of 0..100 with its explanation; see the module's story and docs/guides/components.md.

    Class attributes to declare
    ---------------------------
    title, source : str
        What it is called, and where it comes from.
    scale : Scale
        Raw value to score.
    bands : mapping of float to str
        Lower edge of a score band to a sentence; `{value}` and `{score}` may be formatted in.
    mirror : 'difference' or 'ratio'
        The mirrored market in which it must score 100 - score.
    oscillator : bool
        Whether classic divergence against price is looked for.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    scale: ClassVar[Scale]
    bands: ClassVar[Mapping[float, str]]
    mirror: ClassVar[Literal["difference", "ratio", "same"]] = "difference"
    oscillator: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "words" in vars(cls):
            raise DeclarationError(f"{cls.__name__} declares words(score, value); its name is explain(score, value).")
        if "value" not in vars(cls):
            return
        for attribute in ("title", "source", "scale", "bands"):
            if not hasattr(cls, attribute):
                raise DeclarationError(f"{cls.__name__} declares no {attribute}.")
        if min(cls.bands) > 0:
            raise DeclarationError(f"{cls.__name__}.bands must reach down to 0, lowest is {min(cls.bands)}.")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Raise AttributeError that names what does the work of a former method."""
            hint = " Its name is explain(score, value)." if name == "words" else ""
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.{hint}", name=name, obj=self)

    @property
    def name(self) -> str:
        """The word the field uses: `rsi`, `relative_volume`; dotted with the face it stands in elsewhere."""
        return snake(type(self).__name__)

    def score(self, value: Array) -> Array:
        """Score of raw values, 0..100, shape (n_bars,)."""
        return self.scale(value)

    def explain(self, score: float, value: float) -> str:
        """Return one sentence for a score, from its raw value; 'not known' where it is NaN."""
        if score != score:
            return f"{self.title} is not known"
        edge = max(edge for edge in self.bands if edge <= score)
        return self.bands[edge].format(value=value, score=score)


class Gate(Component):
    """A quantity without direction: 100 lets reliability through, 0 takes it away; never bullish or bearish."""

    mirror: ClassVar[Literal["difference", "ratio", "same"]] = "same"
