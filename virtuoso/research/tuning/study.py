"""A study: what is tuned on which market, how it is searched, and what is never looked at while searching.

One YAML file is one study. It is found by its name in `configs/studies/` of the project, then among those that ship, or
by its path. Every key, name and range is checked before anything is run; what is wrong is a `ConfigError` that names
the file, the line, and the nearest right name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from virtuoso.clock import Span, Timeframe, iso, parse_time
from virtuoso.errors import ConfigError, did_you_mean, printable
from virtuoso.files.plain_yaml import KeyPath, dotted, parse_yaml, text_of
from virtuoso.prism.words import REGIMES, RegimeName
from virtuoso.project import project
from virtuoso.settings import RoomSettings, SpanSetting, Table, refuse_bool, shipped

FOLDER = "studies"
"""Folder of studies below `configs/`."""
Sampler = Literal["tpe", "cmaes", "nsga2", "nsga3", "random", "qmc"]
Objective = Literal[
    "sharpe", "net_return", "max_drawdown", "calmar", "sortino", "profit_factor", "turnover", "linear_ic"
]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
OBJECTIVE_NAMES: tuple[Objective, ...] = get_args(Objective)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ONE = "all"
"""Name of the scenario of a study that declares none."""
SHOWN = 10
"""Mistakes that one message names."""


def _moment(value: object) -> int:
    """Read a moment as people write it; bare numbers are `20250704` or milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("moment", "must be a date, such as '2025-07-04' in quotes or 20250704")
    try:
        return parse_time(str(value))
    except ConfigError as refused:
        raise PydanticCustomError("moment", "{message}", {"message": str(refused).rstrip(".")}) from None


MomentSetting = Annotated[
    int, PlainValidator(_moment), PlainSerializer(iso, return_type=str), WithJsonSchema({"type": "string"})
]
Range = tuple[float, float]
Positive = Annotated[float, Field(gt=0.0)]
Fee = Annotated[float, Field(gt=-0.1, lt=0.1)]


class Stretch(RoomSettings):
    """A stretch of time, from inclusive, to exclusive."""

    start: MomentSetting = Field(description="First moment.")
    end: MomentSetting = Field(description="First moment after it.")

    @model_validator(mode="after")
    def _has_length(self) -> Stretch:
        if self.start >= self.end:
            raise PydanticCustomError("stretch", "ends before it starts")
        return self


class MarketSettings(RoomSettings):
    """What is traded, on which clock and over which stretch."""

    symbols: tuple[str, ...] = Field(min_length=1, description="Instruments; they share the capital equally.")
    venue: str | None = Field(None, description="Needed where several venues have a symbol.")
    timeframe: str | None = Field(None, description="Base timeframe; the usual one of the instrument if absent.")
    start: MomentSetting | None = Field(None, description="First moment; the first stored bar if absent.")
    end: MomentSetting | None = Field(None, description="First moment after it; the last stored bar if absent.")

    @field_validator("symbols", mode="before")
    @classmethod
    def _one_is_many(cls, symbols: object) -> object:
        return [symbols] if isinstance(symbols, str) else symbols

    @field_validator("symbols")
    @classmethod
    def _each_once(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(symbols)) < len(symbols):
            raise PydanticCustomError("symbols", "names a symbol twice")
        return symbols

    @field_validator("timeframe")
    @classmethod
    def _is_a_timeframe(cls, name: str | None) -> str | None:
        try:
            return None if name is None else Timeframe(name).name
        except ConfigError as refused:
            raise PydanticCustomError("timeframe", "{message}", {"message": str(refused).rstrip(".")}) from None

    @model_validator(mode="after")
    def _has_length(self) -> MarketSettings:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise PydanticCustomError("stretch", "ends before it starts")
        return self


class Reducer(RoomSettings):
    """How the values of several scenarios become one."""

    by: Literal["mean", "worst", "quantile"] = Field("mean", description="Mean, the worst, or a quantile of them.")
    q: float = Field(0.25, gt=0.0, lt=1.0, description="Of the quantile: 0.25 is the value a quarter falls below.")


class Search(RoomSettings):
    """What is varied; ranges are those that are declared, or narrower ones that are given."""

    weights: tuple[str, ...] = Field(
        (),
        description="`faces`, `components`, a face (its components), `timeframes`, or one component; true: faces and "
        "components.",
    )
    by_regime: tuple[RegimeName, ...] = Field(
        (), description="Regimes in which those weights may differ from what they are elsewhere; true: all four."
    )
    span: float = Field(
        2.0, gt=0.0, le=10.0, description="How far the logarithm of a weight goes from what is in force, either way."
    )
    thresholds: Table[Range | None] = Field(
        default_factory=lambda: Table({}),
        description="bull_enter ... min_coverage, or `enter` and `leave` for both sides alike.",
    )
    components: Table[Range | None] = Field(
        default_factory=lambda: Table({}), description="Parameters of components, such as `technical.rsi.period`."
    )
    levels: Table[Range | None] = Field(default_factory=lambda: Table({}), description="Measures of levels.")
    parameters: Table[Range | None] = Field(
        default_factory=lambda: Table({}), description="Parameters that the strategy declares."
    )

    @field_validator("by_regime", mode="before")
    @classmethod
    def _regimes(cls, given: object) -> object:
        if given is None or given is False:
            return ()
        return REGIMES if given is True else [given] if isinstance(given, str) else given

    @field_validator("weights", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        if given is None or given is False:
            return ()
        return ("*",) if given is True else [given] if isinstance(given, str) else given

    @field_validator("thresholds", "components", "levels", "parameters", mode="before")
    @classmethod
    def _ranges(cls, given: object) -> object:
        """Read a table of ranges, names alone (their declared ranges), or true for everything there is."""
        if isinstance(given, Table | dict):
            for value in given.values():
                for bound in value if isinstance(value, list | tuple) else ():
                    refuse_bool(bound)
            return given
        if given is None or given is False:
            return {}
        names = ["*"] if given is True else [given] if isinstance(given, str) else given
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise PydanticCustomError(
                "ranges", "must be true, names, or names with ranges, such as {technical.rsi.period: [7, 28]}"
            )
        return dict.fromkeys(names)

    @field_validator("thresholds", "components", "levels", "parameters")
    @classmethod
    def _low_to_high(cls, given: Table[Range | None]) -> Table[Range | None]:
        for name, ends in given.items():
            if ends is not None and not ends[0] < ends[1]:
                raise PydanticCustomError(
                    "range",
                    "{message}",
                    {"message": f"has {name} from {ends[0]:g} to {ends[1]:g}; write the lower end first"},
                )
        return given

    @property
    def is_empty(self) -> bool:
        """Whether nothing is varied."""
        return not (self.weights or self.thresholds or self.components or self.levels or self.parameters)


class WalkForwardSettings(RoomSettings):
    """How the stretch is cut into what is tuned on and what is tested on."""

    splits: int = Field(5, ge=0, le=100, description="Test windows; 0 tunes on everything and tests nothing.")
    purge: SpanSetting | None = Field(Span("1d"), description="Dropped before each test window; null: nothing.")
    embargo: SpanSetting | None = Field(None, description="Dropped besides; nothing if absent.")
    scheme: Literal["expanding", "rolling"] = Field("expanding", description="All of the past, or the last of it.")
    train: SpanSetting | None = Field(None, description="Length of the past when rolling; that of the first if absent.")
    test: SpanSetting | None = Field(None, description="Length of a test window; days / (splits + 1) if absent.")
    least: SpanSetting = Field(Span("30d"), description="Days that are tuned on, at least.")
    least_test: SpanSetting = Field(Span("5d"), description="Days of a test window, at least.")


class PruningSettings(RoomSettings):
    """Hopeless trials are dropped after each scenario and instrument; they are counted as tries all the same."""

    keep: float = Field(0.5, gt=0.0, lt=1.0, description="Share of a generation that goes on after each part.")
    least: int = Field(8, ge=1, description="Trials that go on, at least.")


class TermsSettings(RoomSettings):
    """Terms of trading, as those of a backtest; what is absent is as there."""

    cash: Positive | None = None
    risk: Positive | None = None
    fees: Fee | None = None
    maker: Fee | None = None
    taker: Fee | None = None
    leverage: Positive | None = None
    slippage: Annotated[float, Field(ge=0.0, lt=0.1)] | None = None
    assume_funding: Fee | None = None
    mark: Literal["last"] | None = None
    halt: bool | None = None
    reset_halt: Annotated[int, Field(ge=0)] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is not left to the defaults."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}


class Study(RoomSettings):
    """A study as it is declared; `Study.read` reads one."""

    name: str = Field(description="Name; that of the file if absent.")
    market: MarketSettings = Field(description="What is traded.")
    scenarios: Table[MarketSettings] = Field(
        default_factory=lambda: Table({}),
        description="Several markets or stretches by name, in place of that one; what one leaves out is as in market.",
    )
    reducer: Reducer = Field(default_factory=Reducer, description="How their values become one.")
    strategy: str | None = Field(
        None, pattern=r"^[\w.]+:\w+$", description="Own strategy as `module:Class`; the shipped rule if absent."
    )
    search: Search = Field(description="What is varied.")
    objectives: tuple[Objective, ...] = Field(("sharpe",), min_length=1, description="What is looked for.")
    shrink: float = Field(
        0.5, ge=0.0, description="Taken off an objective a unit of the mean squared log-ratio of weights to the prior."
    )
    sampler: Sampler = Field("tpe", description="How points are proposed.")
    trials: int = Field(2_000, ge=1, le=1_000_000, description="Trials of all rounds together.")
    generation: int = Field(256, ge=1, le=65_536, description="Trials that are proposed before any is told.")
    horizon: SpanSetting = Field(Span("1d"), description="Of the return that linear_ic is measured against.")
    least_trades: int = Field(10, ge=1, description="Trades below which a trial has no value.")
    explained: str = Field(
        "", description="Why results that no market pays are right all the same; shown in the verdict."
    )
    walk_forward: WalkForwardSettings = Field(default_factory=WalkForwardSettings, description="The rounds.")
    pruning: PruningSettings | None = Field(None, description="Whether hopeless trials are dropped early.")
    terms: TermsSettings = Field(default_factory=TermsSettings, description="Terms of trading.")
    holdout: Stretch | None = Field(None, description="Stretch that nothing in research reads.")
    seed: int = Field(0, ge=0, description="Of every draw.")

    _source: str = PrivateAttr("the study")
    _lines: dict[KeyPath, int] = PrivateAttr(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise PydanticCustomError("name", "must be a plain name of letters, digits, '.', '_' and '-'")
        return name

    @field_validator("objectives", mode="before")
    @classmethod
    def _one_is_many(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("reducer", mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        return {"by": given} if isinstance(given, str) else given

    @model_validator(mode="before")
    @classmethod
    def _scenarios_inherit(cls, given: Any) -> Any:
        """Lay each scenario over the market of the study."""
        if not isinstance(given, Mapping) or not isinstance(given.get("scenarios"), Mapping):
            return given
        market = given.get("market") or {}
        if not isinstance(market, Mapping):
            return given
        laid = {
            name: {**market, **own} if isinstance(own, Mapping) else own for name, own in given["scenarios"].items()
        }
        first = next((one for one in laid.values() if isinstance(one, Mapping)), {})
        return {**given, "scenarios": laid, "market": market if "symbols" in market else first}

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        search, twice = self.search, len(set(self.objectives)) < len(self.objectives)
        if search.is_empty:
            raise PydanticCustomError("search", "varies nothing", {"at": ("search",)})
        rule = [name for name in ("weights", "thresholds", "components", "levels") if getattr(search, name)]
        if self.strategy is not None and rule:
            raise PydanticCustomError(
                "search",
                "names {what}, which the shipped rule has; a study of a strategy varies parameters",
                {"what": rule[0], "at": ("search", rule[0])},
            )
        if self.strategy is None and search.parameters:
            raise PydanticCustomError(
                "search",
                "belong to a strategy; name it (strategy: module:Class), or vary search.components",
                {"at": ("search", "parameters")},
            )
        if search.by_regime and not search.weights:
            raise PydanticCustomError(
                "search", "needs weights that differ by regime; name them", {"at": ("search", "by_regime")}
            )
        if len(set(search.by_regime)) < len(search.by_regime):
            raise PydanticCustomError("search", "names a regime twice", {"at": ("search", "by_regime")})
        if twice:
            raise PydanticCustomError("objectives", "names one twice", {"at": ("objectives",)})
        if self.strategy is not None and "linear_ic" in self.objectives:
            raise PydanticCustomError(
                "objectives", "has linear_ic, which is of scores; a strategy has none", {"at": ("objectives",)}
            )
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise PydanticCustomError(
                "sampler",
                "is cmaes, which takes one objective; of several choose nsga2, nsga3 or tpe",
                {"at": ("sampler",)},
            )
        if len({market.timeframe for market in self.markets.values()}) > 1:
            raise PydanticCustomError("scenarios", "must share one timeframe", {"at": ("scenarios",)})
        return self

    def __eq__(self, other: object) -> bool:  # where it was read from is no part of it
        return isinstance(other, Study) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def read(cls, name: str | Path, root: Path | None = None) -> Study:
        """Read a study.

        Parameters
        ----------
        name : str or Path
            Its name in `configs/studies/`, or the path of its file.
        root : Path, optional
            Root of the project; the one that is found if absent.

        Raises
        ------
        ConfigError
            There is no such study, or what stands in it is not possible.
        """
        home = project().root if root is None else root
        file = _find(name, home)
        source = file.relative_to(home).as_posix() if file.is_relative_to(home) else str(file)
        tree, lines = parse_yaml(text_of(file, source), source, dates=True)
        if not isinstance(tree, dict):
            raise ConfigError(f"{source} must hold a study, such as 'market: ...' and 'search: ...'.")
        return cls.of({"name": file.stem, **tree}, source, lines)

    @classmethod
    def of(
        cls, given: Mapping[str, Any], source: str = "the study", lines: Mapping[KeyPath, int] | None = None
    ) -> Study:
        """Check plain values.

        Parameters
        ----------
        given : mapping
        source : str
            Where they stand, for messages.
        lines : mapping of key to int, optional

        Raises
        ------
        ConfigError
        """
        known = dict(lines or {})
        try:
            study = cls.model_validate(dict(given))
        except ValidationError as refused:
            raise ConfigError("\n".join(_mistakes(refused.errors(), source, known))) from None
        study._source, study._lines = source, known
        return study

    def changed(self, **given: Any) -> Study:
        """Return the study with other values, checked like those of a file."""
        return type(self).of(self.model_dump(mode="json") | given, self._source, self._lines)

    def where(self, *path: str) -> str:
        """Say where a key stands: `search.levels in configs/studies/slow.yaml, line 12`."""
        return f"{dotted(path)} in {_place(self._source, self._lines, path)}"

    @property
    def markets(self) -> dict[str, MarketSettings]:
        """Scenarios by name; one, `all`, of a study that declares none."""
        return dict(self.scenarios) or {ONE: self.market}

    @property
    def rounds(self) -> int:
        """How many rounds there are, the final one included."""
        return self.walk_forward.splits + 1

    def trials_of(self, number: int) -> int:
        """How many trials a round has; the last one takes what does not divide."""
        each = self.trials // self.rounds
        return each if number < self.rounds - 1 else self.trials - each * (self.rounds - 1)

    def written(self) -> str:
        """Write the study as YAML, every key in its order; read again it is the same study."""
        import yaml

        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=120))

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of everything that is declared."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def studies(root: Path | None = None) -> dict[str, Path]:
    """Return the files of the studies that a project can name, by name; its own win over those that ship."""
    home = project().root if root is None else root
    folders = (shipped(FOLDER), home / "configs" / FOLDER)
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _find(name: str | Path, root: Path) -> Path:
    """Find a study by its name, or by the path of its file."""
    path, known = Path(name), studies(root)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if path.is_file():
            return path.absolute()
        beside = [one.name for one in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(f"There is no study {path}. {did_you_mean(path.name, beside or known)}")
    if str(name) not in known:
        raise ConfigError(
            f"There is no study {printable(str(name))!r} in configs/{FOLDER}. {did_you_mean(str(name), known)}"
        )
    return known[str(name)]


def _place(source: str, lines: Mapping[KeyPath, int], path: KeyPath) -> str:
    while path and path not in lines:
        path = path[:-1]
    return f"{source}, line {lines[path]}" if path else source


def _mistakes(errors: list[ErrorDetails], source: str, lines: Mapping[KeyPath, int]) -> Iterator[str]:
    """Say what is wrong with a study, a line each, with the remedy."""
    errors = [one for one in errors if one["type"] != "too_short" or not one["input"]]  # else the item is named
    for error in errors[:SHOWN]:
        path = tuple(error.get("ctx", {}).get("at", error["loc"]))
        path = tuple(part for part in path if not str(part).startswith("function-"))
        where = f"{dotted(path)} in {_place(source, lines, path)}" if path else _place(source, lines, ())
        if error["type"] == "extra_forbidden":
            yield f"{where}: there is no such key in a study. {did_you_mean(str(path[-1]), _keys(path[:-1]))}"
        elif error["type"] == "missing":
            yield f"{where} is missing. Write it into the study."
        elif error["type"] == "literal_error":
            known = [part.strip().strip("'") for part in error["ctx"]["expected"].replace(" or ", ",").split(",")]
            yield f"{where} was {error['input']!r}. {did_you_mean(str(error['input']), known)}"
        else:
            said = error["msg"][:1].lower() + error["msg"][1:]
            value = "" if isinstance(error["input"], Mapping | BaseModel) else f" Was {error['input']!r}."
            yield printable(f"{where}: {said}.{value}")
    if len(errors) > SHOWN:
        yield f"{len(errors) - SHOWN} more."


def _keys(path: KeyPath) -> list[str]:
    """Keys that may stand at a place of a study."""
    model: Any = Study
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            continue  # a name in a table: what stands below it is what the table is of
        annotation = model.model_fields[str(part)].annotation
        options = [annotation, *get_args(annotation)]
        model = next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return list(model.model_fields) if model is not None else []
